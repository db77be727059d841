/* unary_typed.c - operators of one input that integers have too: Abs, Neg, Sign, Relu, Erf, Clip, Shrink, BitwiseNot,
 * Not. The float types run as in unary.c. Integers wrap: the absolute value of the smallest one is itself. */
#include <math.h>
#include <string.h>

#include "ops/row_loops.h"
#include "ops/unary.h"

/* The parameters of a loop: the bounds of Clip, lambd and bias of Shrink. */
typedef struct limits {
    int64_t low, high;         /* uint64 as its bits */
    double lambd, bias;
} limits;

/* One operator's loop for one type: n elements. */
typedef void loop_fn(void *dst, const void *src, int64_t n, const limits *p);

/* ---- loops; W is the unsigned type to compute in ---- */

/* Shrink of an integer, computed in double and cut toward 0. Out of range is cut off, as far as int64 goes. */
static int64_t shrink(double x, const limits *p)
{
    const double y = x < -p->lambd ? x + p->bias : x > p->lambd ? x - p->bias : 0;
    return y >= -9e18 && y <= 9e18 ? (int64_t)y : y > 0 ? INT64_MAX : INT64_MIN;
}

/* The expressions: x is the element, T its type, p the parameters. */
#define abs_of(T, W) (T)(x < 0 ? (W)0 - (W)x : (W)x)
#define same_of(T, W) x
#define neg_of(T, W) (T)((W)0 - (W)x)
#define sign_of(T, W) (T)((x > 0) - (x < 0))
#define positive_of(T, W) (T)(x > 0)
#define relu_of(T, W) (T)(x < 0 ? 0 : x)
#define erf_of(T, W) (T)(float)erf((double)x)
#define not_of(T, W) (T)~(W)x
#define clip_of(T, W) (x < (T)p->low ? MIN((T)p->low, (T)p->high) : MIN(x, (T)p->high))
#define shrink_of(T, W) (T)shrink((double)x, p)

/* One loop: expression `op` over elements of type T. Compilers make vector code of it. */
#define LOOP(op, dtype, T, W) \
    static void op##_##dtype(void *dst, const void *src, int64_t n, const limits *p) \
    { \
        T *to = dst; \
        const T *from = src; \
        (void)p; \
        for (int64_t i = 0; i < n; i++) { \
            const T x = from[i]; \
            to[i] = op##_of(T, W); \
        } \
    }
INGOT_SIGNED_ROWS(LOOP, abs)
INGOT_UNSIGNED_ROWS(LOOP, same)
INGOT_SIGNED_ROWS(LOOP, neg)
INGOT_SIGNED_ROWS(LOOP, sign)
INGOT_UNSIGNED_ROWS(LOOP, positive)
INGOT_SIGNED_ROWS(LOOP, relu)
INGOT_INTEGER_ROWS(LOOP, erf)
INGOT_INTEGER_ROWS(LOOP, not)
INGOT_INTEGER_ROWS(LOOP, clip)
INGOT_INTEGER_ROWS(LOOP, shrink)

/* A bool is one byte, 0 or 1; eight are turned at once. */
static void not_BOOL(void *dst, const void *src, int64_t n, const limits *p)
{
    int64_t i = 0;
    (void)p;
    for (uint64_t word; i + (int64_t)sizeof word <= n; i += (int64_t)sizeof word) {
        memcpy(&word, (const char *)src + i, sizeof word);
        word ^= 0x0101010101010101;
        memcpy((char *)dst + i, &word, sizeof word);
    }
    for (; i < n; i++)
        ((uint8_t *)dst)[i] = ((const uint8_t *)src)[i] ^ 1;
}

/* Loops by element type; NULL where an operator does not have the type. */
typedef loop_fn *const loop_table[INGOT_N_DTYPES];

/* Unsigned integers are their own absolute value. */
static loop_table abs_loops = { INGOT_SIGNED_ROWS(INGOT_ROW_ENTRY, abs) INGOT_UNSIGNED_ROWS(INGOT_ROW_ENTRY, same) };
static loop_table neg_loops = { INGOT_SIGNED_ROWS(INGOT_ROW_ENTRY, neg) };
static loop_table sign_loops = { INGOT_SIGNED_ROWS(INGOT_ROW_ENTRY, sign)
                                     INGOT_UNSIGNED_ROWS(INGOT_ROW_ENTRY, positive) };
static loop_table relu_loops = { INGOT_SIGNED_ROWS(INGOT_ROW_ENTRY, relu) };
static loop_table erf_loops = { INGOT_INTEGER_ROWS(INGOT_ROW_ENTRY, erf) };
static loop_table not_loops = { INGOT_INTEGER_ROWS(INGOT_ROW_ENTRY, not) [INGOT_BOOL] = not_BOOL };
static loop_table clip_loops = { INGOT_INTEGER_ROWS(INGOT_ROW_ENTRY, clip) };
static loop_table shrink_loops = { INGOT_INTEGER_ROWS(INGOT_ROW_ENTRY, shrink) };

/* What the threads share. */
typedef struct loop_work {
    loop_fn *loop;
    char *dst;
    const char *src;
    int64_t size_bytes;        /* of an element */
    const limits *p;
} loop_work;

/* Task over elements of one integer type. */
static void loop_range(void *argument, int64_t begin, int64_t end, int thread)
{
    const loop_work *w = argument;
    (void)thread;
    w->loop(w->dst + begin * w->size_bytes, w->src + begin * w->size_bytes, end - begin, w->p);
}

/* Run the loop for input 0's type. UNSUPPORTED for a type that the table has no loop for, which the operator's record
 * should not have let in. */
static ingot_status run_loop(ingot_op_ctx *c, const loop_table *table, const limits *p)
{
    const ingot_tensor *x = c->in[0];
    loop_work w = { (*table)[x->dtype], c->out[0]->data, x->data, (int64_t)ingot_dtype_size_bytes(x->dtype), p };

    if (!w.loop)
        return ingot_op_fail(c, INGOT_UNSUPPORTED, "element type %s", ingot_dtype_name(x->dtype));
    ingot_parallel(c->team, ingot_count(x), 32768, loop_range, &w);
    return INGOT_OK;
}

/* ---- operators ---- */

/* Floats take the vector kernels, integers a loop of their own type. */
static ingot_status run_typed(ingot_op_ctx *c, ingot_map function, const loop_table *table)
{
    return ingot_is_float(c->in[0]->dtype) ? ingot_run_map(c, function, 0, 0) : run_loop(c, table, NULL);
}

static ingot_status run_abs(ingot_op_ctx *c) { return run_typed(c, INGOT_MAP_ABS, &abs_loops); }
static ingot_status run_neg(ingot_op_ctx *c) { return run_typed(c, INGOT_MAP_NEG, &neg_loops); }
static ingot_status run_sign(ingot_op_ctx *c) { return run_typed(c, INGOT_MAP_SIGN, &sign_loops); }
static ingot_status run_relu(ingot_op_ctx *c) { return run_typed(c, INGOT_MAP_RELU, &relu_loops); }
static ingot_status run_erf(ingot_op_ctx *c) { return run_typed(c, INGOT_MAP_ERF, &erf_loops); }
static ingot_status run_not(ingot_op_ctx *c) { return run_loop(c, &not_loops, NULL); }

/* lambd and bias are floats for all types. */
static ingot_status run_shrink(ingot_op_ctx *c)
{
    const limits p = { .lambd = ingot_attr_float(c->node, "lambd", 0.5f),
                       .bias = ingot_attr_float(c->node, "bias", 0.0f) };
    return ingot_is_float(c->in[0]->dtype) ? ingot_run_map(c, INGOT_MAP_SHRINK, p.lambd, p.bias)
                                           : run_loop(c, &shrink_loops, &p);
}

/* The smallest and the largest number of an integer type. */
static limits range_of(ingot_dtype dtype)
{
    const int bits = 8 * (int)ingot_dtype_size_bytes(dtype);
    if (INGOT_TYPES_SIGNED >> dtype & 1)
        return (limits){ .low = -(INT64_C(1) << (bits - 2)) * 2, .high = (int64_t)(UINT64_MAX >> (65 - bits)) };
    return (limits){ .low = 0, .high = (int64_t)(UINT64_MAX >> (64 - bits)) };
}

/* Bounds that are left out are infinite, or the type's own range for integers. A lower bound above the upper one
 * gives the upper one. */
static ingot_status run_clip(ingot_op_ctx *c)
{
    const ingot_tensor *low = ingot_has(c, 1) ? c->in[1] : NULL, *high = ingot_has(c, 2) ? c->in[2] : NULL;

    if (ingot_is_float(c->in[0]->dtype))
        return ingot_run_map(c, INGOT_MAP_CLIP, low ? ingot_double_at(low, 0) : -INFINITY,
                             high ? ingot_double_at(high, 0) : INFINITY);
    limits p = range_of(c->in[0]->dtype);
    if (low)
        p.low = ingot_int_at(low, 0);
    if (high)
        p.high = ingot_int_at(high, 0);
    return run_loop(c, &clip_loops, &p);
}

static ingot_status infer_same(ingot_op_ctx *c) { return ingot_out_like(c, 0, c->in[0]); }

/* Y like X; INVALID for bounds of another type or of several elements. */
static ingot_status infer_clip(ingot_op_ctx *c)
{
    for (int i = 1; i <= 2; i++)
        if (ingot_has(c, i) && (c->in[i]->dtype != c->in[0]->dtype || ingot_count(c->in[i]) != 1))
            return ingot_op_fail(c, INGOT_INVALID, "a bound must be one number of the input's type");
    return infer_same(c);
}

static ingot_layout layout_same(const ingot_op_ctx *c) { return ingot_map_layout(c, true); }

#define ONE(name, since, types, run) \
    { name, since, 1, 1, { types }, infer_same, run, .flags = INGOT_OP_INPLACE | INGOT_OP_LONG, .layout = layout_same }
#define SIGNED_NUMERIC (INGOT_TYPES_SIGNED | INGOT_TYPES_FLOAT)

const ingot_op ingot_ops_unary_typed[] = {
    ONE("Abs", 1, INGOT_TYPES_NUMERIC, run_abs),
    ONE("Neg", 1, SIGNED_NUMERIC, run_neg),
    ONE("Sign", 9, INGOT_TYPES_NUMERIC, run_sign),
    ONE("Relu", 1, SIGNED_NUMERIC, run_relu),
    ONE("Erf", 9, INGOT_TYPES_NUMERIC, run_erf),
    ONE("Shrink", 9, INGOT_TYPES_NUMERIC, run_shrink),
    ONE("Not", 1, INGOT_TYPE(BOOL), run_not),
    ONE("BitwiseNot", 18, INGOT_TYPES_INTEGER, run_not),
    { "Clip", 11, 1, 3, { INGOT_TYPES_NUMERIC, INGOT_TYPES_NUMERIC, INGOT_TYPES_NUMERIC }, infer_clip, run_clip,
      .flags = INGOT_OP_INPLACE, .layout = layout_same },
    {0},
};
