/* flex_attention.c - FlexAttention: attention with a subgraph that changes the scores, and one that changes the
 * weights. Where there is one, attention runs in stages with all scores in memory. */
#include <math.h>
#include <string.h>

#include "ops/attention.h"
#include "ops/convert.h"

enum { Q, K, V };

/* Sizes and steps of Q (N, heads, queries, depth), K and V (N, kv_heads, keys, depth or v_depth); heads is a multiple
 * of kv_heads. The scale is 1 / sqrt(depth) unless given. INVALID: other ranks, types or sizes, or a softmax_precision
 * that is no float type. Doubles are used where either Q or the softmax asks for them. */
static ingot_status read_flex(ingot_op_ctx *c, ingot_attention *a)
{
    const ingot_tensor *q = c->in[Q], *k = c->in[K], *v = c->in[V];
    const int64_t precision = ingot_attr_int(c->node, "softmax_precision", 0);

    *a = (ingot_attention){ .left = -1 };
    if (q->rank != 4 || k->rank != 4 || v->rank != 4)
        return ingot_op_fail(c, INGOT_INVALID, "Q, K and V must have rank 4");
    *a = (ingot_attention){ .batch = q->shape[0],
                            .heads = q->shape[1],
                            .queries = q->shape[2],
                            .depth = q->shape[3],
                            .kv_heads = k->shape[1],
                            .keys = k->shape[2],
                            .v_depth = v->shape[3],
                            .left = -1,
                            .right = -1 };
    if (a->kv_heads < 1 || a->heads % a->kv_heads || a->depth < 1 || k->shape[3] != a->depth ||
        k->shape[0] != a->batch || v->shape[0] != a->batch || v->shape[1] != a->kv_heads || v->shape[2] != a->keys ||
        k->dtype != q->dtype || v->dtype != q->dtype)
        return ingot_op_fail(c, INGOT_INVALID, "Q, K and V do not fit each other");
    if (precision && precision != INGOT_FLOAT && precision != INGOT_DOUBLE && precision != INGOT_FLOAT16 &&
        precision != INGOT_BFLOAT16)
        return ingot_op_fail(c, INGOT_INVALID, "attribute 'softmax_precision' is %lld", (long long)precision);
    /* All four lie in row-major order: steps between batches, heads, rows, elements. */
    a->q_at = (ingot_heads){ a->heads * a->queries * a->depth, a->queries * a->depth, a->depth, 1 };
    a->k_at = (ingot_heads){ a->kv_heads * a->keys * a->depth, a->keys * a->depth, a->depth, 1 };
    a->v_at = (ingot_heads){ a->kv_heads * a->keys * a->v_depth, a->keys * a->v_depth, a->v_depth, 1 };
    a->y_at = (ingot_heads){ a->heads * a->queries * a->v_depth, a->queries * a->v_depth, a->v_depth, 1 };
    a->dtype = q->dtype == INGOT_DOUBLE || precision == INGOT_DOUBLE ? INGOT_DOUBLE : INGOT_FLOAT;
    a->precision = precision ? (ingot_dtype)precision : a->dtype;
    a->scale =
        ingot_node_attr(c->node, "scale") ? (double)ingot_attr_float(c->node, "scale", 1) : 1 / sqrt((double)a->depth);
    return INGOT_OK;
}

/* Y (N, heads, queries, v_depth) has Q's type. */
static ingot_status infer_flex(ingot_op_ctx *c)
{
    ingot_attention a;
    ingot_status st = read_flex(c, &a);
    return st ? st : ingot_out(c, 0, c->in[Q]->dtype, 4, (int64_t[]){ a.batch, a.heads, a.queries, a.v_depth });
}

/* Each thread's scratch; the scores of all heads, where a subgraph wants to see them, are taken by run_stages(). */
static ingot_status prepare_flex(ingot_op_ctx *c)
{
    ingot_attention a;
    ingot_status st = read_flex(c, &a);

    if (!st)
        ingot_want_scratch(c, 0, ingot_attention_scratch(c, &a));
    return st;
}

/* Everything here is taken from the run's memory, so that no cleanup is needed. */
/* A copy of n elements in another type, or the elements themselves; NULL: memory is out. What it takes lives as long as
 * the run. */
static void *converted(ingot_op_ctx *c, const void *data, int64_t n, ingot_dtype from, ingot_dtype to)
{
    const ingot_conversion conversion = { .from = from, .to = to };
    void *copy = from == to ? (void *)(uintptr_t)data : ingot_run_alloc(c, (size_t)n * ingot_dtype_size_bytes(to));

    if (copy && copy != data)
        ingot_convert(&conversion, copy, data, n);
    return copy;
}

/* Put the scores through the subgraph of attribute `name`, if there is one, in softmax_precision: its input and its
 * output are (N, heads, queries, keys) of that type. The result replaces a->scores. INVALID: a subgraph of other inputs
 * or outputs, or one whose result has another type or shape. */
static ingot_status modify(ingot_op_ctx *c, const ingot_attention *a, const char *name)
{
    const ingot_graph *graph = ingot_attr_graph(c->node, name);
    const ingot_conversion back = { .from = a->precision, .to = a->dtype };
    ingot_tensor scores = { .dtype = a->precision, .rank = 4, .shape = { a->batch, a->heads, a->queries, a->keys } };
    ingot_tensor result = { .dtype = INGOT_UNDEFINED };
    const ingot_tensor *argument = &scores;

    if (!graph)
        return INGOT_OK;
    if (graph->n_inputs != 1 || graph->n_outputs != 1)
        return ingot_op_fail(c, INGOT_INVALID, "attribute '%s' must have one input and one output", name);
    /* The subgraph sees the scores in its own type: a copy, or the scores themselves. */
    scores.data = converted(c, a->scores, ingot_count(&scores), a->dtype, a->precision);
    if (!scores.data)
        return ingot_op_out_of_memory(c);
    const ingot_status st = ingot_call(c, graph, &argument, 1, &result, 1);
    if (st)
        return st;
    if (result.kind != INGOT_TENSOR || result.dtype != scores.dtype || !ingot_same_shape(&result, &scores))
        return ingot_op_fail(c, INGOT_INVALID, "the result of attribute '%s' has not the type and shape of its input",
                             name);
    if (result.data != a->scores)
        ingot_convert(&back, a->scores, result.data, ingot_count(&scores));
    return INGOT_OK;
}

/* Scores of all heads, score_mod, softmax, prob_mod, values. LIMIT where memory for the scores is out; their count is a
 * product of sizes that the tensors themselves do not have, so it is checked for overflow. */
static ingot_status run_stages(ingot_op_ctx *c, ingot_attention *a)
{
    ingot_status st;
    size_t n, bytes;

    if (!ingot_mul_size((size_t)(a->batch * a->heads * a->queries), (size_t)a->keys, &n) ||
        !ingot_mul_size(n, ingot_dtype_size_bytes(a->dtype), &bytes) || !(a->scores = ingot_run_alloc(c, bytes)))
        return ingot_op_out_of_memory(c);
    /* Each stage goes through all heads, as the subgraphs work on all of them at once. */
    a->stage = INGOT_STAGE_SCORES;
    ingot_attention_run(c, a);
    if ((st = modify(c, a, "score_mod")))
        return st;
    a->stage = INGOT_STAGE_SOFTMAX;
    ingot_attention_run(c, a);
    if ((st = modify(c, a, "prob_mod")))
        return st;
    a->stage = INGOT_STAGE_VALUES;
    ingot_attention_run(c, a);
    return INGOT_OK;
}

/* Without subgraphs this is the ordinary attention. Without keys there is nothing to weigh: Y is 0. 16-bit floats, and
 * floats whose softmax is done in double, are converted before and after. */
static ingot_status run_flex(ingot_op_ctx *c)
{
    const int64_t n = ingot_count(c->out[0]);
    const ingot_dtype dtype = c->in[Q]->dtype;
    ingot_attention a;
    ingot_status st = read_flex(c, &a);

    if (st || n == 0)
        return st;
    if (a.keys == 0) {
        memset(c->out[0]->data, 0, ingot_storage_bytes(c->out[0]));
        return INGOT_OK;
    }
    const ingot_conversion back = { .from = a.dtype, .to = dtype };
    /* Inputs in the type of the arithmetic, and a place for Y where its type is another. */
    a.q = converted(c, c->in[Q]->data, ingot_count(c->in[Q]), dtype, a.dtype);
    a.k = converted(c, c->in[K]->data, ingot_count(c->in[K]), dtype, a.dtype);
    a.v = converted(c, c->in[V]->data, ingot_count(c->in[V]), dtype, a.dtype);
    a.y = dtype == a.dtype ? c->out[0]->data : ingot_run_alloc(c, (size_t)n * ingot_dtype_size_bytes(a.dtype));
    if (!a.q || !a.k || !a.v || !a.y)
        return ingot_op_out_of_memory(c);
    if (ingot_attr_graph(c->node, "score_mod") || ingot_attr_graph(c->node, "prob_mod"))
        st = run_stages(c, &a);
    else
        ingot_attention_run(c, &a);
    if (!st && dtype != a.dtype)
        ingot_convert(&back, c->out[0]->data, a.y, n);
    return st;
}

const ingot_op ingot_ops_flex_attention[] = {
    { "FlexAttention", 1, 3, 3, { INGOT_TYPES_FLOAT, 0 }, infer_flex, run_flex, .prepare = prepare_flex,
      .domain = "ai.onnx.preview" },
    {0},
};
