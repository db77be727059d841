/* deform_conv.c - DeformConv: a convolution of images whose taps each read the image at a place of their own, shifted
 * by an offset and weighted by a mask. A block of positions at a time is sampled into columns, which the weights
 * multiply. */
#include <math.h>

#include "ops/weights.h"
#include "ops/window.h"

/* X (N, C, H, W), W (oc, C / group, kh, kw), OFFSET (N, 2 * offset groups * kh * kw, oh, ow), B (oc), MASK (N, offset
 * groups * kh * kw, oh, ow). B and MASK may be left out: 0 and 1. POSITIONS are sampled together, so that the weights
 * are read once for all of them. */
enum { X, W, OFFSET, B, MASK };
enum { POSITIONS = 64 };

/* The node between prepare and run. Groups share out the channels and outputs as in Conv; offset groups share out the
 * channels once more, each with offsets of its own. A thread's memory holds the columns (depth, POSITIONS), then the
 * places of the taps, then packed columns. */
typedef struct deformed {
    ingot_window w;
    int64_t images, channels, outputs, groups, offset_groups, group_channels, group_outputs;
    int64_t depth;                       /* taps of all channels of a group */
    size_t column_bytes, place_bytes;    /* of a thread's memory */
    const ingot_op_ctx *ctx;
    const void *x, *weights, *offset, *bias, *mask;
    void *y;
} deformed;

#define T float
#define TYPED(name) name##_f32
#include "ops/deform_conv_loops.h"
#undef T
#undef TYPED
#define T double
#define TYPED(name) name##_f64
#include "ops/deform_conv_loops.h"

/* y[o][p] = bias + sum w[o][l] columns[l][p] for the outputs of a group; `spare` holds the packed columns. */
static void multiply_f32(const deformed *d, int64_t output, float *y, int64_t n, const float *columns, float *spare)
{
    const ingot_kernels *k = d->ctx->kernels;
    const ingot_gemm g = { .m = d->group_outputs, .n = n, .k = d->depth, .alpha = 1, .a_row = d->depth, .a_col = 1,
                           .ldc = d->w.out[0] * d->w.out[1] };
    const ingot_epilogue e = { .row_bias = d->bias ? (const float *)d->bias + output : NULL };

    k->gemm_pack_f32(spare, columns, POSITIONS, 1, n, d->depth, 0, k->gemm_panels_f32(n));
    k->gemm_f32(&g, (const float *)d->weights + output * d->depth, spare, y, &e, 0, g.m, 0, k->gemm_panels_f32(n));
}

/* The same for doubles, by plain loops. */
static void multiply_f64(const deformed *d, int64_t output, double *y, int64_t n, const double *columns)
{
    for (int64_t o = output; o < output + d->group_outputs; o++, y += d->w.out[0] * d->w.out[1]) {
        const double *weight = (const double *)d->weights + o * d->depth;
        for (int64_t p = 0; p < n; p++)
            y[p] = d->bias ? ((const double *)d->bias)[o] : 0;
        for (int64_t l = 0; l < d->depth; l++)
            for (int64_t p = 0; p < n; p++)
                y[p] += weight[l] * columns[l * POSITIONS + p];
    }
}

/* Is t (d0, d1, spatial[0], spatial[1])? */
static bool has_shape4(const ingot_tensor *t, int64_t d0, int64_t d1, const int64_t *spatial)
{
    return t->rank == 4 && t->shape[0] == d0 && t->shape[1] == d1 && t->shape[2] == spatial[0] &&
           t->shape[3] == spatial[1];
}

/* All sizes, and every input checked against them. INVALID: inputs of several types, groups that do not divide the
 * channels, shapes that do not fit. UNSUPPORTED: images of other than two dimensions. */
static ingot_status read_deformed(ingot_op_ctx *c, deformed *d)
{
    const ingot_tensor *x = c->in[X], *w = c->in[W];
    ingot_status st;

    if (x->rank != 4 || w->rank != 4)
        return ingot_op_fail(c, x->rank == w->rank ? INGOT_UNSUPPORTED : INGOT_INVALID,
                             "X has rank %d and W rank %d (both must have 4)", x->rank, w->rank);
    for (int i = 1; i < c->node->n_inputs; i++)
        if (ingot_has(c, i) && c->in[i]->dtype != x->dtype)
            return ingot_op_fail(c, INGOT_INVALID, "input %d has another type than X", i);
    if ((st = ingot_window_resolve(c, x, w, &d->w)))
        return st;
    d->images = x->shape[0];
    d->channels = x->shape[1];
    d->outputs = w->shape[0];
    d->groups = ingot_attr_int(c->node, "group", 1);
    d->offset_groups = ingot_attr_int(c->node, "offset_group", 1);
    if (d->groups < 1 || d->offset_groups < 1 || d->channels % d->groups || d->outputs % d->groups ||
        w->shape[1] != d->channels / d->groups || d->channels % d->offset_groups || d->channels < 1)
        return ingot_op_fail(c, INGOT_INVALID, "%lld channels do not fit W, %lld groups and %lld offset groups",
                             (long long)d->channels, (long long)d->groups, (long long)d->offset_groups);
    d->group_channels = d->channels / d->groups;
    d->group_outputs = d->outputs / d->groups;
    d->depth = d->group_channels * d->w.kernel[0] * d->w.kernel[1];
    /* Two offsets for each tap of each offset group, one number of the mask. */
    const int64_t maps = d->offset_groups * d->w.kernel[0] * d->w.kernel[1];
    if (!has_shape4(c->in[OFFSET], d->images, 2 * maps, d->w.out) ||
        (ingot_has(c, MASK) && !has_shape4(c->in[MASK], d->images, maps, d->w.out)) ||
        (ingot_has(c, B) && (c->in[B]->rank != 1 || c->in[B]->shape[0] != d->outputs)))
        return ingot_op_fail(c, INGOT_INVALID, "the shape of offset, mask or B does not fit an output of %lld x %lld",
                             (long long)d->w.out[0], (long long)d->w.out[1]);
    return INGOT_OK;
}

/* Y is (N, oc, oh, ow). */
static ingot_status infer_deformed(ingot_op_ctx *c)
{
    deformed d;
    ingot_status st = read_deformed(c, &d);
    return st ? st : ingot_out(c, 0, c->in[X]->dtype, 4, (int64_t[]){ d.images, d.outputs, d.w.out[0], d.w.out[1] });
}

/* Sizes once more, and memory: shared for widened inputs, and each thread's columns. */
static ingot_status prepare_deformed(ingot_op_ctx *c)
{
    deformed *d = c->state = ingot_keep(c, sizeof *d);
    ingot_status st;

    if (!d)
        return ingot_op_out_of_memory(c);
    if ((st = read_deformed(c, d)))
        return st;
    const bool is_double = c->in[X]->dtype == INGOT_DOUBLE;
    const size_t taps = (size_t)(d->w.kernel[0] * d->w.kernel[1]);
    d->column_bytes = (size_t)d->depth * POSITIONS * (is_double ? sizeof(double) : sizeof(float));
    d->place_bytes = taps * POSITIONS * (is_double ? sizeof(place_f64) : sizeof(place_f32));
    ingot_want_scratch(c, ingot_widen_bytes(c), d->column_bytes + d->place_bytes +
                       (is_double ? 0 : (size_t)c->kernels->gemm_packed_f32(POSITIONS, d->depth) * sizeof(float)));
    return INGOT_OK;
}

/* Blocks [begin, end) of positions of all images and groups: item = (image * groups + group) * blocks + block. Each is
 * sampled and multiplied by itself, so the bits do not depend on who does it. */
static void run_blocks(void *argument, int64_t begin, int64_t end, int thread)
{
    const deformed *d = argument;
    const int64_t positions = d->w.out[0] * d->w.out[1], blocks = (positions + POSITIONS - 1) / POSITIONS;
    char *columns = ingot_thread_scratch(d->ctx, thread);
    void *places = columns + d->column_bytes, *spare = columns + d->column_bytes + d->place_bytes;

    for (int64_t item = begin; item < end; item++) {
        /* Positions, group and image of the item, and where its part of Y begins. */
        const int64_t first = item % blocks * POSITIONS, n = MIN(positions - first, POSITIONS);
        const int64_t group = item / blocks % d->groups, image = item / blocks / d->groups;
        const int64_t output = group * d->group_outputs, to = (image * d->outputs + output) * positions + first;
        if (d->ctx->in[X]->dtype == INGOT_DOUBLE) {
            sample_columns_f64(d, image, group, first, n, (double *)(void *)columns, places);
            multiply_f64(d, output, (double *)d->y + to, n, (const double *)(const void *)columns);
        } else {
            sample_columns_f32(d, image, group, first, n, (float *)(void *)columns, places);
            multiply_f32(d, output, (float *)d->y + to, n, (const float *)(const void *)columns, spare);
        }
    }
}

/* In f32 or f64. An image without pixels has nothing that taps could read: INVALID, unless Y is empty. */
static ingot_status run_plain(ingot_op_ctx *c)
{
    deformed *d = c->state;
    const int64_t blocks = (d->w.out[0] * d->w.out[1] + POSITIONS - 1) / POSITIONS;

    if (ingot_count(c->out[0]) == 0)
        return INGOT_OK;
    if (d->w.in[0] < 1 || d->w.in[1] < 1)
        return ingot_op_fail(c, INGOT_INVALID, "X has no pixels");
    d->ctx = c;
    d->x = c->in[X]->data;
    d->weights = c->in[W]->data;
    d->offset = c->in[OFFSET]->data;
    d->bias = ingot_has(c, B) ? c->in[B]->data : NULL;
    d->mask = ingot_has(c, MASK) ? c->in[MASK]->data : NULL;
    d->y = c->out[0]->data;
    ingot_parallel(c->team, d->images * d->groups * blocks, 1, run_blocks, d);
    return INGOT_OK;
}

/* 16-bit floats are widened, as all inputs have one type. */
static ingot_status run_deformed(ingot_op_ctx *c)
{
    return ingot_is_16bit(c->in[X]->dtype) ? ingot_run_widened(c, run_plain) : run_plain(c);
}

/* A multiply and an add for each tap of each output; the interpolation is not counted. */
static int64_t count_flops(const ingot_op_ctx *c)
{
    const deformed *d = c->state;
    return 2 * ingot_count(c->out[0]) * d->depth;
}

#define F INGOT_TYPES_FLOAT

const ingot_op ingot_ops_deform_conv[] = {
    { "DeformConv", 19, 3, 5, { F, F, F, F, F }, infer_deformed, run_deformed, .prepare = prepare_deformed,
      .flops = count_flops, .flags = INGOT_OP_LONG },
    {0},
};
