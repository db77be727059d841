/* roi.c - RoiAlign and MaxRoiPool: regions of an image, each brought to one size. A sample of RoiAlign lies between
 * four pixels; its row and its column are found once per region and shared by all channels. */
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
} roi_call;

#define T float
#define TYPED(name) name##_f32
#include "ops/roi_loops.h"
#undef T
#undef TYPED
#define T double
#define TYPED(name) name##_f64
#include "ops/roi_loops.h"

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
    ingot_parallel(c->team, n_rois, 1, is_double ? align_regions_f64 : align_regions_f32, &call);
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
