/* roi.c - RoiAlign and MaxRoiPool: regions of an image, each brought to one size. A sample of RoiAlign lies between
 * four pixels; its row and its column are found once per region and shared by all channels. Averages of floats go along
 * rows first, then along columns. */
#include <math.h>
#include <string.h>

#include "ops/weights.h"

/* Inputs; MaxRoiPool has the image's number in rois. */
enum { X, ROIS, BATCH_INDICES };
enum { MAX_SAMPLES = 1 << 24 };          /* along both sides of a region */

/* A sample's place along one side: between pixels low and high, `part` of the way; outside samples count as 0. */
typedef struct roi_sample {
    int64_t low, high;
    double part;
    bool inside;
} roi_sample;

/* One run of either operator. batch and samples are RoiAlign's; a thread has thread_samples of them, for both sides
 * of its region. */
typedef struct roi_call {
    int64_t channels, height, width, bins[2];              /* bins: down, across */
    int64_t ratio;                                         /* samples per bin and side; 0: as many as it has pixels */
    double scale;
    bool half_pixel, max;
    const void *x, *rois;
    const int64_t *batch;
    void *y;
    roi_sample *samples;
    int64_t thread_samples;
    const ingot_kernels *kernels;
    char *work;                                            /* of average_regions(), thread_work bytes for each thread */
    size_t thread_work;
} roi_call;

#define T float
#define TYPED(name) name##_f32
#include "ops/roi_loops.h"
#undef T
#undef TYPED
#define T double
#define TYPED(name) name##_f64
#include "ops/roi_loops.h"

/* ---- averages of floats ---- */

/* The samples along one side of a region as terms of weighted sums: those of bin b are [end[b - 1], end[b]). */
typedef struct roi_side {
    int64_t *end, *pixel;
    float *weight;
} roi_side;

/* The room that average_regions() needs: two sides, and a row of pixels. */
static size_t average_bytes(const roi_call *call)
{
    return (size_t)(call->bins[0] + call->bins[1] + 2 * call->thread_samples) * sizeof(int64_t) +
           (size_t)(2 * call->thread_samples + call->width) * sizeof(float);
}

/* A bin's terms, from number `first` to `end`, and one more; neighbouring samples share pixels. Returns the end. */
static int64_t add_term(roi_side *side, int64_t first, int64_t end, int64_t pixel, double weight)
{
    for (int64_t i = end - 1; i >= first && i >= end - 2; i--)
        if (side->pixel[i] == pixel) {
            side->weight[i] += (float)weight;
            return end;
        }
    side->pixel[end] = pixel;
    side->weight[end] = (float)weight;
    return end + 1;
}

/* Fills a side from its samples, `grid` to a bin, and returns how many terms it has. */
static int64_t make_side(roi_side *side, const roi_sample *samples, int64_t bins, int64_t grid)
{
    int64_t end = 0;

    for (int64_t b = 0; b < bins; b++) {
        const int64_t first = end;
        for (int64_t i = 0; i < grid; i++, samples++)
            if (samples->inside) {
                end = add_term(side, first, end, samples->low, (1 - samples->part) / (double)grid);
                end = add_term(side, first, end, samples->high, samples->part / (double)grid);
            }
        side->end[b] = end;
    }
    return end;
}

/* One bin's row of a channel: the sums of columns of `strip`. */
static void average_columns(const roi_side *across, int64_t bins, const float *strip, float *y)
{
    for (int64_t b = 0, t = 0; b < bins; b++) {
        float sum = 0;
        for (; t < across->end[b]; t++)
            sum += across->weight[t] * strip[across->pixel[t]];
        y[b] = sum;
    }
}

/* Region `roi` in all channels. An average over samples is one along the columns of one along the rows, so that rows
 * of pixels are summed first, into `strip`, between the first and the last column that is sampled. */
static void average_region(const roi_call *call, int64_t roi, const roi_side *down, roi_side *across, float *strip)
{
    const int64_t n_across = across->end[call->bins[1] - 1];
    int64_t first = call->width, last = -1;

    for (int64_t t = 0; t < n_across; t++) {
        first = MIN(first, across->pixel[t]);
        last = MAX(last, across->pixel[t]);
    }
    for (int64_t t = 0; t < n_across; t++)
        across->pixel[t] -= first;
    for (int64_t channel = 0; channel < call->channels; channel++) {
        const float *x =
            (const float *)call->x + (call->batch[roi] * call->channels + channel) * call->height * call->width;
        float *y = (float *)call->y + (roi * call->channels + channel) * call->bins[0] * call->bins[1];
        for (int64_t b = 0, t = 0; b < call->bins[0]; t = down->end[b++], y += call->bins[1]) {
            const int64_t n = down->end[b] - t;
            if (n > 0 && n_across > 0) {
                call->kernels->blend_rows_f32(strip, 0, x + first, call->width, down->pixel + t, down->weight + t, n, 1,
                                              last - first + 1);
                average_columns(across, call->bins[1], strip, y);
            } else {
                memset(y, 0, (size_t)call->bins[1] * sizeof *y);
            }
        }
    }
}

/* Task over regions. */
static void average_regions(void *argument, int64_t begin, int64_t end, int thread)
{
    const roi_call *call = argument;
    roi_sample *samples = call->samples + thread * call->thread_samples;
    int64_t *whole = (int64_t *)(void *)(call->work + (size_t)thread * call->thread_work);
    int64_t *pixels = whole + call->bins[0] + call->bins[1];
    float *weights = (float *)(pixels + 2 * call->thread_samples);
    float *strip = weights + 2 * call->thread_samples;

    for (int64_t roi = begin; roi < end; roi++) {
        float start[2], bin[2], grid[2];
        measure_region_f32(call, roi, start, bin, grid);
        roi_side side[2] = { { whole, pixels, weights } };
        for (int d = 0; d < 2; d++) {
            const int64_t samples_each = grid[d] > 0 ? (int64_t)grid[d] : 0;
            place_samples_f32(start[d], bin[d], call->bins[d], samples_each, d ? call->width : call->height, samples);
            const int64_t n = make_side(&side[d], samples, call->bins[d], samples_each);
            if (d == 0)
                side[1] = (roi_side){ whole + call->bins[0], pixels + n, weights + n };
        }
        average_region(call, roi, &side[0], &side[1], strip);
    }
}

/* What both operators have: X (N, C, H, W) and rois (number, columns) of one type, and an output size. INVALID when
 * they do not fit. */
static ingot_status read_roi(ingot_op_ctx *c, roi_call *call, int columns)
{
    const ingot_tensor *x = c->in[X], *rois = c->in[ROIS];

    if (x->dtype != rois->dtype)
        return ingot_op_fail(c, INGOT_INVALID, "X and rois have different types");
    if (x->rank != 4 || rois->rank != 2 || rois->shape[1] != columns)
        return ingot_op_fail(c, INGOT_INVALID, "X must have rank 4 and rois shape (number, %d)", columns);
    if (call->bins[0] < 1 || call->bins[1] < 1)
        return ingot_op_fail(c, INGOT_INVALID, "an output of %lld x %lld is not possible", (long long)call->bins[0],
                             (long long)call->bins[1]);
    call->channels = x->shape[1];
    call->height = x->shape[2];
    call->width = x->shape[3];
    call->scale = (double)ingot_attr_float(c->node, "spatial_scale", 1);
    return INGOT_OK;
}

/* Y is (regions, C, bins high, bins wide). */
static ingot_status out_roi(ingot_op_ctx *c, const roi_call *call)
{
    const int64_t shape[4] = { c->in[ROIS]->shape[0], call->channels, call->bins[0], call->bins[1] };
    return ingot_out(c, 0, c->in[X]->dtype, 4, shape);
}

/* RoiAlign's attributes and inputs: rois (number, 4) as corners x1, y1, x2, y2, batch_indices (number). */
static ingot_status read_align(ingot_op_ctx *c, roi_call *call)
{
    const char *mode = ingot_attr_string(c->node, "mode", "avg");
    const char *coordinates = ingot_attr_string(c->node, "coordinate_transformation_mode", "half_pixel");

    *call =
        (roi_call){ .bins = { ingot_attr_int(c->node, "output_height", 1), ingot_attr_int(c->node, "output_width", 1) },
                    .ratio = ingot_attr_int(c->node, "sampling_ratio", 0) };
    call->max = !strcmp(mode, "max");
    call->half_pixel = !strcmp(coordinates, "half_pixel");
    /* Both words are of the standard's lists; half_pixel moves boxes by half a pixel. */
    if ((!call->max && strcmp(mode, "avg")) || (!call->half_pixel && strcmp(coordinates, "output_half_pixel")))
        return ingot_op_fail(c, INGOT_INVALID, "mode '%.40s' or coordinate_transformation_mode '%.40s' is not known",
                             mode, coordinates);
    if (c->in[BATCH_INDICES]->rank != 1 || c->in[ROIS]->rank < 1 ||
        c->in[BATCH_INDICES]->shape[0] != c->in[ROIS]->shape[0])
        return ingot_op_fail(c, INGOT_INVALID, "batch_indices must have one entry for each region");
    return read_roi(c, call, 4);
}

static ingot_status infer_align(ingot_op_ctx *c)
{
    roi_call call;
    ingot_status st = read_align(c, &call);
    return st ? st : out_roi(c, &call);
}

/* MaxRoiPool's: rois (number, 5), the first of which is the image. */
static ingot_status read_pool(ingot_op_ctx *c, roi_call *call)
{
    const ingot_attr *shape = ingot_node_attr(c->node, "pooled_shape");

    if (!shape || shape->type != INGOT_ATTR_INTS || shape->n != 2)
        return ingot_op_fail(c, INGOT_INVALID, "attribute 'pooled_shape' must be two integers");
    *call = (roi_call){ .bins = { shape->ints[0], shape->ints[1] } };
    return read_roi(c, call, 5);
}

static ingot_status infer_pool(ingot_op_ctx *c)
{
    roi_call call;
    ingot_status st = read_pool(c, &call);
    return st ? st : out_roi(c, &call);
}

/* 16-bit floats are widened around the loops. */
static ingot_status prepare_roi(ingot_op_ctx *c)
{
    ingot_want_scratch(c, ingot_widen_bytes(c), 0);
    return INGOT_OK;
}

/* Images are checked before anything is indexed by them. How many samples a region has follows from its size, which
 * is data: too many are LIMIT, and memory for them is asked for in the run. */
static ingot_status run_align_plain(ingot_op_ctx *c)
{
    const int64_t n_rois = c->in[ROIS]->shape[0];
    const bool is_double = c->in[X]->dtype == INGOT_DOUBLE;
    roi_call call;
    ingot_status st = read_align(c, &call);

    if (st || ingot_count(c->out[0]) == 0)
        return st;
    if (call.height < 1 || call.width < 1)
        return ingot_op_fail(c, INGOT_INVALID, "X has no pixels");
    call.x = c->in[X]->data;
    call.rois = c->in[ROIS]->data;
    call.batch = c->in[BATCH_INDICES]->data;
    call.y = c->out[0]->data;
    /* Which image each region belongs to. */
    for (int64_t i = 0; i < n_rois; i++)
        if (call.batch[i] < 0 || call.batch[i] >= c->in[X]->shape[0])
            return ingot_op_fail(c, INGOT_INVALID, "batch index %lld is out of range", (long long)call.batch[i]);
    /* Room for the samples of the largest region. */
    call.thread_samples = is_double ? count_samples_f64(&call, n_rois) : count_samples_f32(&call, n_rois);
    if (call.thread_samples < 0)
        return ingot_op_fail(c, INGOT_LIMIT, "a region needs too many samples");
    call.samples = ingot_run_alloc(c, (size_t)(ingot_team_size(c->team) * call.thread_samples) * sizeof *call.samples);
    if (!call.samples)
        return ingot_op_out_of_memory(c);
    if (is_double || call.max) {
        ingot_parallel(c->team, n_rois, 1, is_double ? align_regions_f64 : align_regions_f32, &call);
        return INGOT_OK;
    }
    call.kernels = c->kernels;
    call.thread_work = (average_bytes(&call) + 63) / 64 * 64;
    call.work = ingot_run_alloc(c, (size_t)ingot_team_size(c->team) * call.thread_work);
    if (!call.work)
        return ingot_op_out_of_memory(c);
    ingot_parallel(c->team, n_rois, 1, average_regions, &call);
    return INGOT_OK;
}

/* Coordinates are bounded too, so that they may be cast to integers. */
static ingot_status run_pool_plain(ingot_op_ctx *c)
{
    const int64_t n_rois = c->in[ROIS]->shape[0];
    roi_call call;
    ingot_status st = read_pool(c, &call);

    if (st || ingot_count(c->out[0]) == 0)
        return st;
    for (int64_t i = 0; i < n_rois; i++) {
        const double image = ingot_double_at(c->in[ROIS], 5 * i);
        /* NaN fails each of these comparisons. */
        bool valid = image >= 0 && image < (double)c->in[X]->shape[0];
        for (int64_t k = 1; k < 5; k++)
            valid &= fabs(ingot_double_at(c->in[ROIS], 5 * i + k) * call.scale) < 0x1p40;
        if (!valid)
            return ingot_op_fail(c, INGOT_INVALID, "region %lld is out of range", (long long)i);
    }
    call.x = c->in[X]->data;
    call.rois = c->in[ROIS]->data;
    call.y = c->out[0]->data;
    ingot_parallel(c->team, n_rois * call.channels, 1,
                   c->in[X]->dtype == INGOT_DOUBLE ? pool_regions_f64 : pool_regions_f32, &call);
    return INGOT_OK;
}

/* 16-bit floats are computed as floats. */
static ingot_status run_align(ingot_op_ctx *c)
{
    return ingot_is_16bit(c->in[X]->dtype) ? ingot_run_widened(c, run_align_plain) : run_align_plain(c);
}

static ingot_status run_pool(ingot_op_ctx *c)
{
    return ingot_is_16bit(c->in[X]->dtype) ? ingot_run_widened(c, run_pool_plain) : run_pool_plain(c);
}

const ingot_op ingot_ops_roi[] = {
    { "RoiAlign", 16, 3, 3, { INGOT_TYPES_FLOAT, INGOT_TYPES_FLOAT, INGOT_TYPE(INT64) }, infer_align, run_align,
      .prepare = prepare_roi },
    { "MaxRoiPool", 1, 2, 2, { INGOT_TYPES_FLOAT }, infer_pool, run_pool, .prepare = prepare_roi },
    {0},
};
