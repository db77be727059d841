/* conv_plain.c - each task computes whole planes of the output, so that the order of additions depends on the shape
 * alone. A transposed convolution runs the window backwards: input and output sizes change places in it. */
#include "ops/conv_plain.h"

#include <string.h>

/* One convolution as its tasks share it; plane() computes plane `index` of the output, counted through images and
 * channels, for the type and the direction at hand. */
typedef struct conv_call {
    const ingot_conv_shape *shape;
    const void *x, *w, *b;
    void *y;
    void (*plane)(const struct conv_call *call, int64_t index);
} conv_call;

/* Channels, groups and bias against each other. `shape->oc` is known, and ranks have been checked. INVALID where the
 * groups do not divide both channels, the weights have other input channels, or the bias is not (oc). */
static ingot_status check_parts(ingot_op_ctx *c, const ingot_tensor *x, const ingot_tensor *w, const ingot_tensor *b,
                                const ingot_conv_shape *shape)
{
    if (shape->group < 1 || x->shape[1] % shape->group || shape->oc % shape->group ||
        (shape->transposed ? w->shape[0] != x->shape[1] : w->shape[1] != x->shape[1] / shape->group))
        return ingot_op_fail(c, INGOT_INVALID,
                             "%lld input channels and weights (%lld, %lld, ...) do not go with group %lld",
                             (long long)x->shape[1], (long long)w->shape[0], (long long)w->shape[1],
                             (long long)shape->group);
    if (b && (b->rank != 1 || b->shape[0] != shape->oc))
        return ingot_op_fail(c, INGOT_INVALID, "the bias does not have one element for each of %lld output channels",
                             (long long)shape->oc);
    return INGOT_OK;
}

/* Input and weights have the same axes, of which at least one is spatial. INVALID otherwise. */
static ingot_status check_ranks(ingot_op_ctx *c, const ingot_tensor *x, const ingot_tensor *w)
{
    if (x->rank >= 3 && w->rank == x->rank)
        return INGOT_OK;
    return ingot_op_fail(c, INGOT_INVALID, "input has rank %d and weights %d, expected the same and at least 3",
                         x->rank, w->rank);
}

/* All fields are set, so that a caller may begin with any memory. The weights are (oc, ic / group, kernel...). */
ingot_status ingot_conv_shape_read(ingot_op_ctx *c, const ingot_tensor *x, const ingot_tensor *w, const ingot_tensor *b,
                                   ingot_conv_shape *shape)
{
    ingot_status st = check_ranks(c, x, w);

    if (st)
        return st;
    *shape = (ingot_conv_shape){ .n = x->shape[0], .ic = x->shape[1], .oc = w->shape[0],
                                 .group = ingot_attr_int(c->node, "group", 1) };
    st = check_parts(c, x, w, b, shape);
    return st ? st : ingot_window_resolve(c, x, w, &shape->window);
}

/* Output channels are a product of two numbers from the file, hence the limits. */
ingot_status ingot_conv_transposed_shape_read(ingot_op_ctx *c, const ingot_tensor *x, const ingot_tensor *w,
                                              const ingot_tensor *b, ingot_conv_shape *shape)
{
    const int64_t group = ingot_attr_int(c->node, "group", 1);
    ingot_status st = check_ranks(c, x, w);

    if (st)
        return st;
    if (group < 1 || group > INT32_MAX || w->shape[1] > INT32_MAX)
        return ingot_op_fail(c, INGOT_INVALID, "attribute 'group': %lld groups of %lld output channels",
                             (long long)group, (long long)w->shape[1]);
    *shape = (ingot_conv_shape){ .n = x->shape[0], .ic = x->shape[1], .oc = w->shape[1] * group, .group = group,
                                 .transposed = true };
    st = check_parts(c, x, w, b, shape);
    return st ? st : ingot_window_resolve_transposed(c, x, w, &shape->window);
}

/* The row that output row `at` reads under `tap`, both without their last dimension; false when it is padding. The
 * loops step through the last dimension themselves, where ranges without padding are known beforehand. */
static bool input_row(const ingot_window *v, const int64_t *at, const int64_t *tap, int64_t *row)
{
    *row = 0;
    for (int i = 0; i < v->rank - 1; i++) {
        const int64_t x = at[i] * v->stride[i] + tap[i] * v->dilation[i] - v->pad_begin[i];
        if (x < 0 || x >= v->in[i])
            return false;
        *row = *row * v->in[i] + x;
    }
    return true;
}

#define T float
#define TYPED(name) name##_f32
#include "ops/conv_plain_loops.h"
#undef T
#undef TYPED
#define T double
#define TYPED(name) name##_f64
#include "ops/conv_plain_loops.h"

/* Task over planes of the output, of all images and channels. */
static void run_planes(void *argument, int64_t begin, int64_t end, int thread)
{
    const conv_call *call = argument;

    (void)thread;
    for (int64_t i = begin; i < end; i++)
        call->plane(call, i);
}

/* A transposed convolution scatters what an ordinary one gathers: input and output change places in the window. An
 * output without pixels needs no task. */
void ingot_conv_plain(ingot_team *team, ingot_dtype dtype, const ingot_conv_shape *shape, const void *x, const void *w,
                      const void *b, void *y)
{
    ingot_conv_shape seen = *shape;
    conv_call call = { &seen, x, w, b, y, dtype == INGOT_DOUBLE ? conv_plane_f64 : conv_plane_f32 };

    /* Input and output exchanged, as the loops of the transposed form want them. */
    if (shape->transposed) {
        call.plane = dtype == INGOT_DOUBLE ? conv_transpose_plane_f64 : conv_transpose_plane_f32;
        memcpy(seen.window.in, shape->window.out, sizeof seen.window.in);
        memcpy(seen.window.out, shape->window.in, sizeof seen.window.out);
    }
    if (ingot_window_volume(shape->window.out, shape->window.rank) > 0)
        ingot_parallel(team, shape->n * shape->oc, 1, run_planes, &call);
}
