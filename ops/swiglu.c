/* swiglu.c - SwiGLU: Y = A sigmoid(alpha A) B, the gate of many language models. */
#include "ops/broadcast.h"

enum { CHUNK = 512 };          /* elements whose gate lies in the L1 cache between the two loops */

/* What the loops need besides A and B. */
typedef struct gate {
    const ingot_kernels *kernels;
    float alpha;
} gate;

/* swish(A) * B in chunks: the gated values stay in the first cache. */
static void row_float(void *dst, const void *const *in, const int *step, int64_t n, const void *argument)
{
    const gate *g = argument;
    float gated[CHUNK];

    (void)step;                /* both inputs have n elements, or n is 1 */
    for (int64_t at = 0; at < n; at += CHUNK) {
        const int64_t some = MIN(n - at, CHUNK);
        g->kernels->map_f32(INGOT_MAP_SWISH, gated, (const float *)in[0] + at, some, g->alpha, 0);
        g->kernels->binary_f32(INGOT_BINARY_MUL, (float *)dst + at, (ingot_operand){ gated, 0 },
                               (ingot_operand){ (const float *)in[1] + at, 0 }, some);
    }
}

/* The same for doubles, one after the other. */
static void row_double(void *dst, const void *const *in, const int *step, int64_t n, const void *argument)
{
    const gate *g = argument;

    (void)step;
    for (int64_t i = 0; i < n; i++) {
        double gated;
        g->kernels->map_f64(INGOT_MAP_SWISH, &gated, (const double *)in[0] + i, 1, (double)g->alpha, 0);
        ((double *)dst)[i] = gated * ((const double *)in[1])[i];
    }
}

/* No broadcasting here: A and B have one type and one shape, else INVALID. */
static ingot_status infer_swiglu(ingot_op_ctx *c)
{
    if (c->in[0]->dtype != c->in[1]->dtype || !ingot_same_shape(c->in[0], c->in[1]))
        return ingot_op_fail(c, INGOT_INVALID, "A and B must have one type and one shape");
    return ingot_out_like(c, 0, c->in[0]);
}

/* 16-bit floats go through f32 rows, a chunk at a time. */
static ingot_status run_swiglu(ingot_op_ctx *c)
{
    const gate g = { c->kernels, ingot_attr_float(c->node, "alpha", 1.0f) };
    const ingot_dtype dtype = c->in[0]->dtype;
    const ingot_narrow narrow = { c->kernels, .row = row_float, .argument = &g, .dtype = dtype, .n_in = 2 };

    if (dtype == INGOT_FLOAT || dtype == INGOT_DOUBLE)
        return ingot_broadcast(c, c->out[0], c->in, 2, 8192, dtype == INGOT_FLOAT ? row_float : row_double, &g);
    return ingot_broadcast(c, c->out[0], c->in, 2, 8192, ingot_row_narrow, &narrow);
}

const ingot_op ingot_ops_swiglu[] = {
    { "SwiGLU", 28, 2, 2, { INGOT_TYPES_FLOAT, 0 }, infer_swiglu, run_swiglu, .flags = INGOT_OP_INPLACE },
    {0},
};
