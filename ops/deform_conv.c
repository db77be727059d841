/* deform_conv.c - DeformConv: a convolution of images whose taps each read the image at a place of their own, shifted
 * by an offset and weighted by a mask. A block of positions at a time is sampled into columns, which the weights
 * multiply. */
#include <math.h>

#include "ops/weights.h"
#include "ops/window.h"

enum { X, W, OFFSET, B, MASK };
enum { POSITIONS = 64 };

typedef struct deformed {
    ingot_window w;
    int64_t images, channels, outputs, groups, offset_groups, group_channels, group_outputs;
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

static bool has_shape4(const ingot_tensor *t, int64_t d0, int64_t d1, const int64_t *spatial)
{
    return t->rank == 4 && t->shape[0] == d0 && t->shape[1] == d1 && t->shape[2] == spatial[0] &&
           t->shape[3] == spatial[1];
}

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
    const int64_t maps = d->offset_groups * d->w.kernel[0] * d->w.kernel[1];
    if (!has_shape4(c->in[OFFSET], d->images, 2 * maps, d->w.out) ||
        (ingot_has(c, MASK) && !has_shape4(c->in[MASK], d->images, maps, d->w.out)) ||
        (ingot_has(c, B) && (c->in[B]->rank != 1 || c->in[B]->shape[0] != d->outputs)))
        return ingot_op_fail(c, INGOT_INVALID, "the shape of offset, mask or B does not fit an output of %lld x %lld",
                             (long long)d->w.out[0], (long long)d->w.out[1]);
    return INGOT_OK;
}

static ingot_status infer_deformed(ingot_op_ctx *c)
{
    deformed d;
    ingot_status st = read_deformed(c, &d);
    return st ? st : ingot_out(c, 0, c->in[X]->dtype, 4, (int64_t[]){ d.images, d.outputs, d.w.out[0], d.w.out[1] });
}

static ingot_status prepare_deformed(ingot_op_ctx *c)
{
    deformed *d = c->state = ingot_keep(c, sizeof *d);
    ingot_status st;

    if (!d)
        return ingot_op_fail(c, INGOT_LIMIT, "memory is out");
    if ((st = read_deformed(c, d)))
        return st;
    const size_t size = c->in[X]->dtype == INGOT_DOUBLE ? sizeof(double) : sizeof(float);
    ingot_want_scratch(c, ingot_widen_bytes(c),
                       (size_t)(d->group_channels * d->w.kernel[0] * d->w.kernel[1]) * POSITIONS * size);
    return INGOT_OK;
}

/* Blocks [begin, end) of positions of all images and groups. */
static void run_blocks(void *argument, int64_t begin, int64_t end, int thread)
{
    const deformed *d = argument;
    const int64_t positions = d->w.out[0] * d->w.out[1], blocks = (positions + POSITIONS - 1) / POSITIONS;
    void *columns = ingot_thread_scratch(d->ctx, thread);

    for (int64_t item = begin; item < end; item++) {
        const int64_t first = item % blocks * POSITIONS, n = MIN(positions - first, POSITIONS);
        const int64_t group = item / blocks % d->groups, image = item / blocks / d->groups;
        if (d->ctx->in[X]->dtype == INGOT_DOUBLE) {
            sample_columns_f64(d, image, group, first, n, columns);
            multiply_columns_f64(d, image, group, first, n, columns);
        } else {
            sample_columns_f32(d, image, group, first, n, columns);
            multiply_columns_f32(d, image, group, first, n, columns);
        }
    }
}

static ingot_status run_plain(ingot_op_ctx *c)
{
    deformed *d = c->state;
    const int64_t blocks = (d->w.out[0] * d->w.out[1] + POSITIONS - 1) / POSITIONS;

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

static ingot_status run_deformed(ingot_op_ctx *c)
{
    return ingot_is_16bit(c->in[X]->dtype) ? ingot_run_widened(c, run_plain) : run_plain(c);
}

static int64_t count_flops(const ingot_op_ctx *c)
{
    const deformed *d = c->state;
    return 2 * ingot_count(c->out[0]) * d->group_channels * d->w.kernel[0] * d->w.kernel[1];
}

#define F INGOT_TYPES_FLOAT

const ingot_op ingot_ops_deform_conv[] = {
    { "DeformConv", 19, 3, 5, { F, F, F, F, F }, infer_deformed, run_deformed, .prepare = prepare_deformed,
      .flops = count_flops },
    {0},
};
