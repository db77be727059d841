/* unary.c - operators of one float input applied element by element: Y = f(X). Type and shape pass through unchanged,
 * and Y may share X's memory. To add one: write its function in ops/kernels/map.c and map_f64.c, name it in kernels.h,
 * and give it a row in both tables below. */
#include "ops/unary.h"

#include <string.h>

#include "ops/half.h"

enum { CHUNK = 1024 };         /* floats that stand for 16-bit ones at a time */

/* What the threads share: a function with its two parameters, from src to dst, which may be the same. */
typedef struct map_work {
    const ingot_kernels *kernels;
    ingot_map function;
    double a, b;
    ingot_dtype dtype;
    const char *src;
    char *dst;
} map_work;

/* Task over elements; 16-bit floats are widened a chunk at a time, on the stack. */
static void map_range(void *argument, int64_t begin, int64_t end, int thread)
{
    const map_work *w = argument;
    const int64_t size_bytes = (int64_t)ingot_dtype_size_bytes(w->dtype);
    const char *src = w->src + begin * size_bytes;
    char *dst = w->dst + begin * size_bytes;
    const float a = (float)w->a, b = (float)w->b;

    (void)thread;
    if (w->dtype == INGOT_FLOAT) {
        w->kernels->map_f32(w->function, (float *)(void *)dst, (const float *)(const void *)src, end - begin, a, b);
        return;
    }
    if (w->dtype == INGOT_DOUBLE) {
        w->kernels->map_f64(w->function, (double *)(void *)dst, (const double *)(const void *)src, end - begin, w->a,
                            w->b);
        return;
    }
    for (int64_t at = begin; at < end; at += CHUNK) {
        float wide[CHUNK];
        const int64_t n = MIN(end - at, CHUNK);
        ingot_widen(w->kernels, wide, w->src + at * size_bytes, n, w->dtype);
        w->kernels->map_f32(w->function, wide, wide, n, a, b);
        ingot_narrow_to(w->kernels, w->dst + at * size_bytes, wide, n, w->dtype);
    }
}

/* Run one of the kernels' functions on all of input 0. Counts stored elements, not logical ones: a blocked tensor's
 * padding lanes are mapped too. Functions of few instructions get larger tasks. */
ingot_status ingot_run_map(ingot_op_ctx *c, ingot_map function, double a, double b)
{
    const ingot_tensor *src = c->in[0];
    map_work w = { c->kernels, function, a, b, src->dtype, src->data, c->out[0]->data };
    /* Memory is what these wait for, so that a thread takes a long piece. */
    const bool cheap = function <= INGOT_MAP_RECIPROCAL || function == INGOT_MAP_RELU || function == INGOT_MAP_CLIP;
    const size_t n = ingot_storage_bytes(c->out[0]) / ingot_dtype_size_bytes(src->dtype);

    ingot_parallel(c->team, (int64_t)n, cheap ? 32768 : 8192, map_range, &w);
    return INGOT_OK;
}

/* Elementwise work takes any layout of f32. A function that is not bounded on the padding lanes' zeros needs whole
 * blocks. */
ingot_layout ingot_map_layout(const ingot_op_ctx *c, bool bounded)
{
    const ingot_tensor *x = c->in[0];
    if (x->dtype != INGOT_FLOAT || x->rank < 3 || (!bounded && x->shape[1] % INGOT_BLOCK))
        return (ingot_layout){ INGOT_LAYOUT_PLAIN, 0 };
    return (ingot_layout){ INGOT_LAYOUT_FOLLOW, 1 };
}

/* Operators by name: their function, and the attributes that are its parameters. */
typedef struct map_op {
    const char *op_type;
    ingot_map function;
    bool unbounded;            /* may make infinities and NaN of finite numbers */
    const char *a, *b;
    float a_default, b_default;
} map_op;

/* One row for each operator of the table at the end. */
static const map_op map_ops[] = {
    { "Acos", INGOT_MAP_ACOS, .unbounded = true },
    { "Acosh", INGOT_MAP_ACOSH, .unbounded = true },
    { "Asin", INGOT_MAP_ASIN, .unbounded = true },
    { "Asinh", INGOT_MAP_ASINH },
    { "Atan", INGOT_MAP_ATAN },
    { "Atanh", INGOT_MAP_ATANH, .unbounded = true },
    { "Ceil", INGOT_MAP_CEIL },
    { "Celu", INGOT_MAP_CELU, .a = "alpha", .a_default = 1.0f },
    { "Cos", INGOT_MAP_COS },
    { "Cosh", INGOT_MAP_COSH, .unbounded = true },
    { "Elu", INGOT_MAP_ELU, .a = "alpha", .a_default = 1.0f },
    { "Exp", INGOT_MAP_EXP, .unbounded = true },
    { "Floor", INGOT_MAP_FLOOR },
    { "Gelu", INGOT_MAP_GELU },
    { "HardSigmoid", INGOT_MAP_HARD_SIGMOID, .a = "alpha", .b = "beta", .a_default = 0.2f, .b_default = 0.5f },
    { "HardSwish", INGOT_MAP_HARD_SWISH },
    { "LeakyRelu", INGOT_MAP_LEAKY_RELU, .a = "alpha", .a_default = 0.01f },
    { "Log", INGOT_MAP_LOG, .unbounded = true },
    { "Mish", INGOT_MAP_MISH },
    { "Reciprocal", INGOT_MAP_RECIPROCAL, .unbounded = true },
    { "Round", INGOT_MAP_ROUND },
    { "Selu", INGOT_MAP_SELU, .a = "alpha", .b = "gamma", .a_default = 1.67326319217681884765625f,
      .b_default = 1.05070102214813232421875f },
    { "Sigmoid", INGOT_MAP_SIGMOID },
    { "Sin", INGOT_MAP_SIN },
    { "Sinh", INGOT_MAP_SINH, .unbounded = true },
    { "Softplus", INGOT_MAP_SOFTPLUS },
    { "Softsign", INGOT_MAP_SOFTSIGN },
    { "Sqrt", INGOT_MAP_SQRT, .unbounded = true },
    { "Swish", INGOT_MAP_SWISH, .a = "alpha", .a_default = 1.0f },
    { "Tan", INGOT_MAP_TAN },
    { "Tanh", INGOT_MAP_TANH },
    { "ThresholdedRelu", INGOT_MAP_THRESHOLDED_RELU, .a = "alpha", .a_default = 1.0f },
};

/* The row of an operator's name. */
static const map_op *find_map(const char *op_type)
{
    const map_op *m = map_ops;
    while (strcmp(m->op_type, op_type))
        m++;                   /* every record below has its row */
    return m;
}

/* Any layout, but for functions that make infinities of the zeros past the last channel. */
static ingot_layout layout_map(const ingot_op_ctx *c)
{
    return ingot_map_layout(c, !find_map(c->op->op_type)->unbounded);
}

/* What prepare_map() leaves for run_map(). */
typedef struct map_call {
    ingot_map function;
    double a, b;
} map_call;

/* Gelu has two formulas, told apart by a word. */
static ingot_status find_function(ingot_op_ctx *c, ingot_map *function)
{
    *function = find_map(c->op->op_type)->function;
    if (*function != INGOT_MAP_GELU)
        return INGOT_OK;
    const char *form = ingot_attr_string(c->node, "approximate", "none");
    if (!strcmp(form, "tanh"))
        *function = INGOT_MAP_GELU_TANH;
    else if (strcmp(form, "none"))
        return ingot_op_fail(c, INGOT_INVALID, "attribute approximate is neither none nor tanh");
    return INGOT_OK;
}

/* The function and its two parameters, from attributes with ONNX's defaults. */
static ingot_status prepare_map(ingot_op_ctx *c)
{
    const map_op *m = find_map(c->op->op_type);
    map_call *call = c->state = ingot_keep(c, sizeof *call);

    if (!call)
        return ingot_op_out_of_memory(c);
    if (m->a)
        call->a = ingot_attr_float(c->node, m->a, m->a_default);
    if (m->b)
        call->b = ingot_attr_float(c->node, m->b, m->b_default);
    return find_function(c, &call->function);
}

/* Parameters were read when planning. */
static ingot_status run_map(ingot_op_ctx *c)
{
    const map_call *call = c->state;
    return ingot_run_map(c, call->function, call->a, call->b);
}

static ingot_status infer_map(ingot_op_ctx *c)
{
    ingot_map function;
    const ingot_status status = find_function(c, &function);
    return status ? status : ingot_out_like(c, 0, c->in[0]);
}

#define MAP(name, since)                                                                                               \
    {                                                                                                                  \
        name, since, 1, 1, { INGOT_TYPES_FLOAT }, infer_map, run_map, prepare_map,                                     \
            INGOT_OP_INPLACE | INGOT_OP_LONG, .layout = layout_map                                                     \
    }

const ingot_op ingot_ops_unary[] = {
    MAP("Acos", 7),
    MAP("Acosh", 9),
    MAP("Asin", 7),
    MAP("Asinh", 9),
    MAP("Atan", 7),
    MAP("Atanh", 9),
    MAP("Ceil", 1),
    MAP("Celu", 12),
    MAP("Cos", 7),
    MAP("Cosh", 9),
    MAP("Elu", 1),
    MAP("Exp", 1),
    MAP("Floor", 1),
    MAP("Gelu", 20),
    MAP("HardSigmoid", 1),
    MAP("HardSwish", 14),
    MAP("LeakyRelu", 1),
    MAP("Log", 1),
    MAP("Mish", 18),
    MAP("Reciprocal", 1),
    MAP("Round", 11),
    MAP("Selu", 6),            /* version 1 has other defaults */
    MAP("Sigmoid", 1),
    MAP("Sin", 7),
    MAP("Sinh", 9),
    MAP("Softplus", 1),
    MAP("Softsign", 1),
    MAP("Sqrt", 1),
    MAP("Swish", 24),
    MAP("Tan", 7),
    MAP("Tanh", 1),
    MAP("ThresholdedRelu", 10),
    {0},
};
