/* nms.c - NonMaxSuppression: of boxes that overlap, the one with the best score, class by class. */
#include <math.h>

#include "ops/op.h"
#include "ops/order.h"

/* A box by its corners, x0 <= x1 and y0 <= y1. */
typedef struct nms_box {
    float x0, y0, x1, y1;
} nms_box;

/* boxes (N, boxes, 4), scores (N, classes, boxes); the other three inputs are optional scalars. How many are selected
 * is known after the run only: Y is (selected, 3) of image, class and box. INVALID when the shapes do not fit each
 * other. */
static ingot_status infer_nms(ingot_op_ctx *c)
{
    const ingot_tensor *boxes = c->in[0], *scores = c->in[1];
    const int64_t *b = boxes->shape, *s = scores->shape;
    if (boxes->rank != 3 || scores->rank != 3 || b[2] != 4 || b[0] != s[0] || b[1] != s[2]) {
        char x[200], y[200];
        return ingot_op_fail(c, INGOT_INVALID, "boxes of shape %s do not go with scores of shape %s",
                             ingot_shape_text(boxes, x, sizeof x), ingot_shape_text(scores, y, sizeof y));
    }
    for (int i = 2; i < 5; i++)
        if (ingot_has(c, i) && ingot_count(c->in[i]) > 1)
            return ingot_op_fail(c, INGOT_INVALID, "input %d has %lld elements, expected 1", i,
                                 (long long)ingot_count(c->in[i]));
    return ingot_out_unknown(c, 0, INGOT_TENSOR, INGOT_INT64);
}

/* An optional input may also be there and empty. */
static bool has_value(const ingot_op_ctx *c, int i) { return ingot_has(c, i) && ingot_count(c->in[i]) == 1; }

/* Corners in order, from any two of them (y, x, y, x) or from centre and size (x, y, width, height), as
 * center_point_box says. */
static nms_box read_box(const float *b, bool centered)
{
    if (centered)
        return (nms_box){b[0] - b[2] / 2, b[1] - b[3] / 2, b[0] + b[2] / 2, b[1] + b[3] / 2};
    return (nms_box){MIN(b[1], b[3]), MIN(b[0], b[2]), MAX(b[1], b[3]), MAX(b[0], b[2])};
}

/* Is intersection over union above the threshold? Boxes that only touch, or without area, never overlap; a NaN
 * anywhere says no. */
static bool overlaps(nms_box a, nms_box b, float threshold)
{
    const float width = MIN(a.x1, b.x1) - MAX(a.x0, b.x0), height = MIN(a.y1, b.y1) - MAX(a.y0, b.y0);
    if (!(width > 0) || !(height > 0))
        return false;
    const float shared = width * height;
    const float area_a = (a.x1 - a.x0) * (a.y1 - a.y0), area_b = (b.x1 - b.x0) * (b.y1 - b.y0);
    const float all = area_a + area_b - shared;
    return area_a > 0 && area_b > 0 && all > 0 && shared / all > threshold;
}

/* Thresholds of the node and working memory for one class; all of it is used again for the next. */
typedef struct nms_job {
    int64_t n_boxes, limit;
    float iou, score;
    bool has_score, centered;
    ingot_keyed *candidates; /* room for 2 n_boxes */
    uint64_t *keys;
    nms_box *kept_boxes;
} nms_job;

/* The boxes of one class that stay, as indices in `kept`; returns how many. Greedy, as the standard has it: by
 * falling score, a box stays unless it overlaps one that stayed. Scores of the class begin at element `first`; a
 * score must be above the threshold, where there is one. */
static int64_t select_boxes(const nms_job *job, const float *boxes, const ingot_tensor *scores, int64_t first,
                            int64_t *kept)
{
    int64_t n = 0, n_kept = 0;
    ingot_order_keys(scores, first, 1, job->n_boxes, job->keys);
    for (int64_t i = 0; i < job->n_boxes; i++)
        if (!job->has_score || ((const float *)scores->data)[first + i] > job->score)
            job->candidates[n++] = (ingot_keyed){~job->keys[i], i};
    const ingot_keyed *sorted = ingot_sort_keyed(job->candidates, job->candidates + job->n_boxes, n);
    for (int64_t i = 0; i < n && n_kept < job->limit; i++) {
        const nms_box box = read_box(boxes + 4 * sorted[i].index, job->centered);
        int64_t k = 0;
        while (k < n_kept && !overlaps(box, job->kept_boxes[k], job->iou))
            k++;
        if (k == n_kept) {
            job->kept_boxes[n_kept] = box;
            kept[n_kept++] = sorted[i].index;
        }
    }
    return n_kept;
}

/* Each (image, class) pair is on its own; results are joined in that order. max_output_boxes_per_class is 0 by
 * default: nothing is selected. An iou_threshold outside of 0 to 1 is INVALID. Memory comes from the run, in the
 * sizes of the inputs: no more than `limit` boxes of a class are kept. */
static ingot_status run_nms(ingot_op_ctx *c)
{
    const ingot_tensor *boxes = c->in[0], *scores = c->in[1];
    const int64_t n_batches = scores->shape[0], n_classes = scores->shape[1];
    nms_job job = {.n_boxes = scores->shape[2]};
    /* The optional inputs. */
    job.limit = has_value(c, 2) ? MAX(MIN(ingot_int_at(c->in[2], 0), job.n_boxes), 0) : 0;
    job.iou = has_value(c, 3) ? *(const float *)c->in[3]->data : 0;
    job.has_score = has_value(c, 4);
    job.score = job.has_score ? *(const float *)c->in[4]->data : 0;
    job.centered = ingot_attr_int(c->node, "center_point_box", 0) != 0;
    if (!(job.iou >= 0 && job.iou <= 1))
        return ingot_op_fail(c, INGOT_INVALID, "'iou_threshold' is %g, expected 0 to 1", (double)job.iou);
    const int64_t n_pairs = ingot_count(scores) && job.limit ? n_batches * n_classes : 0, n = n_pairs ? job.n_boxes : 0;
    const size_t each = 2 * sizeof(ingot_keyed) + sizeof(uint64_t) + sizeof(nms_box);
    /* Working memory of one class, and the kept boxes of each pair until all are counted. */
    char *memory = ingot_run_alloc(c, (size_t)n * each);
    int64_t **kept = ingot_run_alloc(c, (size_t)n_pairs * sizeof *kept), total = 0;
    int64_t *counts = ingot_run_alloc(c, (size_t)n_pairs * sizeof *counts);
    int64_t *list = ingot_run_alloc(c, (size_t)(n_pairs ? job.limit : 0) * sizeof *list);
    if (!memory || !kept || !counts || !list)
        return ingot_op_out_of_memory(c);
    job.candidates = (ingot_keyed *)memory;
    job.keys = (uint64_t *)(job.candidates + 2 * n);
    job.kept_boxes = (nms_box *)(job.keys + n);
    for (int64_t p = 0; p < n_pairs; p++) {
        const float *b = (const float *)boxes->data + p / n_classes * n * 4;
        counts[p] = select_boxes(&job, b, scores, p * n, list);
        kept[p] = ingot_run_alloc(c, (size_t)counts[p] * sizeof **kept);
        if (!kept[p])
            return ingot_op_out_of_memory(c);
        for (int64_t i = 0; i < counts[p]; i++)
            kept[p][i] = list[i];
        total += counts[p];
    }
    /* All counts are known now: the output gets its shape and is filled. */
    const int64_t shape[2] = {total, 3};
    const ingot_status status = ingot_out_resize(c, 0, INGOT_INT64, 2, shape);
    if (status)
        return status;
    int64_t *y = c->out[0]->data;
    for (int64_t p = 0; p < n_pairs; p++)
        for (int64_t i = 0; i < counts[p]; i++) {
            *y++ = p / n_classes;
            *y++ = p % n_classes;
            *y++ = kept[p][i];
        }
    return INGOT_OK;
}

#define F32 INGOT_TYPE(FLOAT)

const ingot_op ingot_ops_nms[] = {
    {"NonMaxSuppression", 10, 2, 5, {F32, F32, INGOT_TYPE(INT64), F32, F32}, infer_nms, run_nms},
    {0},
};
