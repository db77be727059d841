/* conv_plain.c - each task computes whole planes of the output, so that the order of additions depends on the shape
 * alone. A transposed convolution runs the window backwards: input and output sizes change places in it. */
#include "ops/conv_plain.h"

typedef struct conv_call {
    const ingot_conv_shape *shape;
    const void *x, *w, *b;
    void *y;
    void (*plane)(const struct conv_call *call, int64_t index);
} conv_call;

ingot_status ingot_conv_shape_read(ingot_op_ctx *c, const ingot_tensor *x, const ingot_tensor *w, const ingot_tensor *b,
                                   ingot_conv_shape *shape)
{
    const int64_t group = ingot_attr_int(c->node, "group", 1);

    if (x->rank < 3 || w->rank != x->rank)
        return ingot_op_fail(c, INGOT_INVALID, "input has rank %d and weights %d, expected the same and at least 3",
                             x->rank, w->rank);
    shape->n = x->shape[0];
    shape->ic = x->shape[1];
    shape->oc = w->shape[0];
    shape->group = group;
    if (group < 1 || shape->ic % group || shape->oc % group || w->shape[1] != shape->ic / group)
        return ingot_op_fail(c, INGOT_INVALID,
                             "%lld input channels, weights for %lld and %lld output channels do not go "
                             "with group %lld",
                             (long long)shape->ic, (long long)w->shape[1], (long long)shape->oc, (long long)group);
    if (b && (b->rank != 1 || b->shape[0] != shape->oc))
        return ingot_op_fail(c, INGOT_INVALID, "the bias does not have one element for each of %lld output channels",
                             (long long)shape->oc);
    return ingot_window_resolve(c, x, w, &shape->window);
}

/* The row that output row `at` reads under `tap`, both without their last dimension; false when it is padding. */
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

static void run_planes(void *argument, int64_t begin, int64_t end, int thread)
{
    const conv_call *call = argument;

    (void)thread;
    for (int64_t i = begin; i < end; i++)
        call->plane(call, i);
}

static void run_call(ingot_team *team, conv_call *call, int64_t plane)
{
    if (plane > 0)
        ingot_parallel(team, call->shape->n * call->shape->oc, 1, run_planes, call);
}

void ingot_conv_plain(ingot_team *team, ingot_dtype dtype, const ingot_conv_shape *shape, const void *x, const void *w,
                      const void *b, void *y)
{
    conv_call call = { shape, x, w, b, y, dtype == INGOT_DOUBLE ? conv_plane_f64 : conv_plane_f32 };

    run_call(team, &call, ingot_window_volume(shape->window.out, shape->window.rank));
}

void ingot_conv_transpose_plain(ingot_team *team, ingot_dtype dtype, const ingot_conv_shape *shape, const void *x,
                                const void *w, const void *b, void *y)
{
    ingot_conv_shape backwards = *shape;
    conv_call call = { &backwards, x, w, b, y, dtype == INGOT_DOUBLE ? conv_transpose_plane_f64
                                                                     : conv_transpose_plane_f32 };

    for (int i = 0; i < shape->window.rank; i++) {
        backwards.window.in[i] = shape->window.out[i];
        backwards.window.out[i] = shape->window.in[i];
    }
    run_call(team, &call, ingot_window_volume(shape->window.out, shape->window.rank));
}
