/* attention.c - Attention: shapes, the cache of past keys and values, the mask. attention_rows.c has the arithmetic. */
#include "ops/attention.h"

#include <math.h>
#include <string.h>

#include "ops/narrow.h"
#include "ops/weights.h"

/* Inputs and outputs in the order of the standard. VALID is nonpad_kv_seqlen, SCORES is qk_matmul_output. */
enum { Q, K, V, MASK, PAST_K, PAST_V, VALID, N_INPUTS };
enum { Y, PRESENT_K, PRESENT_V, SCORES };

/* What prepare leaves for run: the sizes and strides, and how scratch memory is divided. It is laid out as: what
 * ingot_run_widened() takes, past and new keys, past and new values, scaled keys. */
typedef struct attention_state {
    ingot_attention attention;
    bool caches[2];                      /* keys, values: are past and new ones put together? */
    size_t cache_bytes[2];               /* scratch for that; 0 where an output receives them */
    int64_t first[3];                    /* of Q, K and V, for an attention that the planner found */
    size_t scaled_bytes;                 /* scratch for scaled keys, where they are 16-bit floats */
} attention_state;

/* Heads and their size in Q, K or V. Rank 4 is (N, heads, rows, depth) and says both; rank 3 is (N, rows, heads *
 * depth) and needs the attribute `name`. *at receives the steps, so that the arithmetic never asks which of the two it
 * was. INVALID: heads that do not divide the row, none of them, or an attribute that contradicts the shape. */
static ingot_status read_heads(ingot_op_ctx *c, int input, const char *name, int64_t *heads, int64_t *depth,
                               ingot_heads *at)
{
    const ingot_tensor *t = c->in[input];
    const int64_t declared = ingot_attr_int(c->node, name, 0);

    if (t->rank == 4) {
        *heads = t->shape[1];
        *depth = t->shape[3];
        *at = (ingot_heads){ t->shape[1] * t->shape[2] * t->shape[3], t->shape[2] * t->shape[3], t->shape[3], 1 };
    } else {
        if (declared < 1 || t->shape[2] % declared)
            return ingot_op_fail(c, INGOT_INVALID, "attribute '%s' is %lld, for %lld elements", name,
                                 (long long)declared, (long long)t->shape[2]);
        *heads = declared;
        *depth = t->shape[2] / declared;
        *at = (ingot_heads){ t->shape[1] * t->shape[2], *depth, t->shape[2], 1 };
    }
    if (*heads < 1 || *depth < 1 || (declared && declared != *heads))
        return ingot_op_fail(c, INGOT_INVALID, "input %d: %lld heads of %lld elements are not possible", input,
                             (long long)*heads, (long long)*depth);
    return INGOT_OK;
}

/* past_key (N, kv_heads, past, depth) and past_value come together and in front of K and V, so they must agree with
 * both. nonpad_kv_seqlen speaks of an outside cache and excludes them. Sets a->past, and adds it to a->keys, which then
 * counts what the queries may see. */
static ingot_status check_past(ingot_op_ctx *c, ingot_attention *a)
{
    if (ingot_has(c, PAST_K) != ingot_has(c, PAST_V))
        return ingot_op_fail(c, INGOT_INVALID, "past_key and past_value must be given together");
    if (!ingot_has(c, PAST_K))
        return INGOT_OK;
    const ingot_tensor *k = c->in[PAST_K], *v = c->in[PAST_V];
    if (k->rank != 4 || v->rank != 4 || k->shape[0] != a->batch || v->shape[0] != a->batch ||
        k->shape[1] != a->kv_heads || v->shape[1] != a->kv_heads || k->shape[2] != v->shape[2] ||
        k->shape[3] != a->depth || v->shape[3] != a->v_depth || k->dtype != c->in[K]->dtype ||
        v->dtype != c->in[V]->dtype)
        return ingot_op_fail(c, INGOT_INVALID, "past_key or past_value do not fit K and V");
    a->past = k->shape[2];
    a->keys += a->past;
    if (ingot_has(c, VALID))
        return ingot_op_fail(c, INGOT_INVALID, "nonpad_kv_seqlen cannot be given with past_key");
    return INGOT_OK;
}

/* The mask broadcasts to (batch, heads, queries, keys), but its last dimension may be shorter. What it does not speak
 * of is hidden: the standard pads it with -infinity. A dimension of 1 repeats, which is a step of 0. */
static ingot_status check_mask(ingot_op_ctx *c, ingot_attention *a)
{
    const int64_t want[3] = { a->batch, a->heads, a->queries };
    int64_t step[3] = { 0 }, next;

    if (!ingot_has(c, MASK))
        return INGOT_OK;
    const ingot_tensor *mask = c->in[MASK];
    /* From the right, as broadcasting aligns shapes; dimensions that the mask lacks keep their step of 0. */
    bool fits = mask->rank >= 1 && mask->rank <= 4 && mask->shape[mask->rank - 1] <= a->keys;
    next = a->mask_keys = fits ? mask->shape[mask->rank - 1] : 0;
    for (int d = 2, own = mask->rank - 2; d >= 0 && own >= 0 && fits; d--, own--) {
        fits = mask->shape[own] == 1 || mask->shape[own] == want[d];
        step[d] = mask->shape[own] == 1 ? 0 : next;
        next *= mask->shape[own];
    }
    if (!fits)
        return ingot_op_fail(c, INGOT_INVALID, "attn_mask does not broadcast to %lld x %lld x %lld x %lld",
                             (long long)a->batch, (long long)a->heads, (long long)a->queries, (long long)a->keys);
    a->mask_at = (ingot_heads){ step[0], step[1], step[2], 1 };
    return INGOT_OK;
}

/* The attributes with ONNX's defaults: scale is 1/sqrt(depth), a window of -1 is unbounded. Values the specification
 * does not list are INVALID. A softmax_precision that is the inputs' own 16-bit type counts as not given. */
static ingot_status read_options(ingot_op_ctx *c, ingot_attention *a)
{
    const int64_t precision = ingot_attr_int(c->node, "softmax_precision", 0);
    const int64_t shown = ingot_attr_int(c->node, "qk_matmul_output_mode", 0);

    a->is_causal = ingot_attr_int(c->node, "is_causal", 0) != 0;
    a->left = ingot_attr_int(c->node, "left_window_size", -1);
    a->right = ingot_attr_int(c->node, "right_window_size", -1);
    a->softcap = (double)ingot_attr_float(c->node, "softcap", 0);
    a->scale =
        ingot_node_attr(c->node, "scale") ? (double)ingot_attr_float(c->node, "scale", 1) : 1 / sqrt((double)a->depth);
    if (a->left < -1 || a->right < -1 || shown < 0 || shown > 3)
        return ingot_op_fail(c, INGOT_INVALID, "a window size or qk_matmul_output_mode is out of range");
    if (precision && precision != INGOT_FLOAT && precision != INGOT_DOUBLE && precision != INGOT_FLOAT16 &&
        precision != INGOT_BFLOAT16)
        return ingot_op_fail(c, INGOT_INVALID, "attribute 'softmax_precision' is %lld", (long long)precision);
    a->precision = (ingot_dtype)precision;
    a->narrow = ingot_is_16bit(c->in[Q]->dtype) && a->dtype == INGOT_FLOAT ? c->in[Q]->dtype : INGOT_UNDEFINED;
    if (precision == (int64_t)a->narrow)
        a->precision = INGOT_UNDEFINED;
    a->shown = (ingot_scores)shown;
    return INGOT_OK;
}

/* Everything that shapes and attributes say, checked: Q (N, heads, queries, depth) or (N, queries, heads * depth), K
 * and V likewise with kv_heads, of which heads is a multiple (grouped queries). Called by infer and by prepare, so it
 * reads no elements: those of nonpad_kv_seqlen are checked by run. V may have another type than Q and K; where one of
 * them is double, all is computed in double. */
static ingot_status read_attention(ingot_op_ctx *c, ingot_attention *a)
{
    const ingot_tensor *q = c->in[Q], *k = c->in[K], *v = c->in[V];
    int64_t v_heads;
    ingot_status st;

    memset(a, 0, sizeof *a);
    if ((q->rank != 3 && q->rank != 4) || k->rank != q->rank || v->rank != q->rank)
        return ingot_op_fail(c, INGOT_INVALID, "Q, K and V must all have rank 3 or all rank 4");
    if (k->dtype != q->dtype)
        return ingot_op_fail(c, INGOT_INVALID, "Q and K of types %s and %s, which must be one",
                             ingot_dtype_name(q->dtype), ingot_dtype_name(k->dtype));
    int64_t k_depth;
    if ((st = read_heads(c, Q, "q_num_heads", &a->heads, &a->depth, &a->q_at)) ||
        (st = read_heads(c, K, "kv_num_heads", &a->kv_heads, &k_depth, &a->k_at)) ||
        (st = read_heads(c, V, "kv_num_heads", &v_heads, &a->v_depth, &a->v_at)))
        return st;
    a->batch = q->shape[0];
    a->queries = q->shape[q->rank - 2];
    a->keys = k->shape[k->rank - 2];
    a->dtype = q->dtype == INGOT_DOUBLE || v->dtype == INGOT_DOUBLE ? INGOT_DOUBLE : INGOT_FLOAT;
    if (a->heads % a->kv_heads || v_heads != a->kv_heads || k_depth != a->depth || k->shape[0] != a->batch ||
        v->shape[0] != a->batch || v->shape[v->rank - 2] != a->keys)
        return ingot_op_fail(c, INGOT_INVALID, "the shapes of Q, K and V do not fit each other");
    /* Y is laid out as Q is, with v_depth in place of depth. */
    a->y_at.batch = a->heads * a->queries * a->v_depth;
    a->y_at.head = q->rank == 4 ? a->queries * a->v_depth : a->v_depth;
    a->y_at.row = q->rank == 4 ? a->v_depth : a->heads * a->v_depth;
    if (ingot_has(c, VALID) &&
        (c->in[VALID]->dtype != INGOT_INT64 || c->in[VALID]->rank != 1 || c->in[VALID]->shape[0] != a->batch))
        return ingot_op_fail(c, INGOT_INVALID, "nonpad_kv_seqlen must have one int64 for each sample");
    if ((st = check_past(c, a)) || (st = check_mask(c, a)))
        return st;
    return read_options(c, a);
}

/* Y takes Q's form: (N, queries, heads * v_depth) for rank 3, else (N, heads, queries, v_depth). The caches and the
 * scores are rank 4 always. */
static ingot_status infer_attention(ingot_op_ctx *c)
{
    ingot_attention a;
    ingot_status st = read_attention(c, &a);

    if (st)
        return st;
    /* The presents are past and new rows together, which is what a->keys counts by now. */
    const int64_t y3[3] = { a.batch, a.queries, a.heads * a.v_depth },
                  y4[4] = { a.batch, a.heads, a.queries, a.v_depth };
    const int rank = c->in[Q]->rank;
    if ((st = ingot_out(c, Y, c->in[Q]->dtype, rank, rank == 4 ? y4 : y3)) ||
        (st = ingot_out(c, PRESENT_K, c->in[K]->dtype, 4, (int64_t[]){ a.batch, a.kv_heads, a.keys, a.depth })) ||
        (st = ingot_out(c, PRESENT_V, c->in[V]->dtype, 4, (int64_t[]){ a.batch, a.kv_heads, a.keys, a.v_depth })))
        return st;
    return ingot_out(c, SCORES, c->in[Q]->dtype, 4, (int64_t[]){ a.batch, a.heads, a.queries, a.keys });
}

/* An optional output may be past the end of the list or left unnamed inside it. Reading c->out[] past n_out would be a
 * read outside of the array. */
static bool is_wanted(const ingot_op_ctx *c, int output) { return output < c->n_out && c->out[output]; }

/* Scratch memory of the copies that run_attention() makes. */
static size_t widen_bytes(const ingot_op_ctx *c, const ingot_attention *a)
{
    return a->dtype == INGOT_DOUBLE ? ingot_widen_bytes_to_double(c) : ingot_widen_bytes(c);
}

/* Shapes are checked and scratch is sized here, once per shape. A cache nobody reads as an output still needs memory
 * when there is a past to join to K and V. The fast way of columns is only for a plain attention: nothing masked,
 * counted or shown. */
static ingot_status prepare_attention(ingot_op_ctx *c)
{
    attention_state *s = c->state = ingot_keep(c, sizeof *s);
    ingot_status st;

    if (!s)
        return ingot_op_out_of_memory(c);
    ingot_attention *a = &s->attention;
    if ((st = read_attention(c, a)))
        return st;
    for (int i = 0; i < 2; i++) {
        s->caches[i] = ingot_has(c, PAST_K) || is_wanted(c, PRESENT_K + i);
        if (s->caches[i] && !is_wanted(c, PRESENT_K + i))
            s->cache_bytes[i] = (size_t)(a->batch * a->kv_heads * a->keys * (i ? a->v_depth : a->depth)) *
                                ingot_dtype_size_bytes(a->dtype);
    }
    if (a->narrow)
        s->scaled_bytes = (size_t)(a->batch * a->kv_heads * a->keys * a->depth) * sizeof(float);
    c->kernel = ingot_attention_choose(c, a, !ingot_has(c, MASK) && !ingot_has(c, VALID) && !is_wanted(c, SCORES));
    ingot_want_scratch(c, widen_bytes(c, a) + s->cache_bytes[0] + s->cache_bytes[1] + s->scaled_bytes,
                       ingot_attention_scratch(c, a));
    return INGOT_OK;
}

/* Past and new rows of all heads, one after the other, into (batch, heads, keys, depth). `past` is NULL without a past;
 * `at` holds the steps of `fresh`, a->keys - a->past rows for each head. */
static void fill_cache(const ingot_attention *a, const ingot_tensor *past, const void *fresh, const ingot_heads *at,
                       int64_t depth, char *to)
{
    const size_t size = ingot_dtype_size_bytes(a->dtype), row_bytes = (size_t)depth * size;
    const size_t past_bytes = (size_t)a->past * row_bytes;

    for (int64_t head = 0; head < a->batch * a->kv_heads; head++) {
        const int64_t from = head / a->kv_heads * at->batch + head % a->kv_heads * at->head;
        if (past_bytes)
            memcpy(to, (const char *)past->data + (size_t)head * past_bytes, past_bytes);
        to += past_bytes;
        for (int64_t row = 0; row < a->keys - a->past; row++, to += row_bytes)
            memcpy(to, (const char *)fresh + (size_t)(from + row * at->row) * size, row_bytes);
    }
}

/* An argument of scale_range(): `to` receives `from` times `scale`, rounded to `narrow`. Both may be the same
 * memory. */
typedef struct scale_call {
    float *to;
    const float *from;
    float scale;
    ingot_dtype narrow;
    const ingot_kernels *kernels;
} scale_call;

/* Task over elements. */
static void scale_range(void *argument, int64_t begin, int64_t end, int thread)
{
    const scale_call *call = argument;

    (void)thread;
    for (int64_t i = begin; i < end; i++)
        call->to[i] = call->from[i] * call->scale;
    ingot_round_to(call->kernels, call->to + begin, end - begin, call->narrow);
}

/* 16-bit queries and keys are each multiplied by the root of the scale and rounded, as the specification's function
 * does; then scores need no scale. Q lies in scratch memory already, K may be an output and is copied. */
static void scale_narrow(ingot_op_ctx *c, ingot_attention *a, float *scaled_k)
{
    float root = (float)sqrt(a->scale);

    ingot_round_to(c->kernels, &root, 1, a->narrow);
    scale_call call = { c->in[Q]->data, a->q, root, a->narrow, c->kernels };
    ingot_parallel(c->team, ingot_count(c->in[Q]), 16384, scale_range, &call);
    call = (scale_call){ scaled_k, a->k, root, a->narrow, c->kernels };
    ingot_parallel(c->team, a->batch * a->kv_heads * a->keys * a->depth, 16384, scale_range, &call);
    a->k = scaled_k;
    a->scale = 1;
}

/* Attention in one element type, f32 or f64: join the caches, then hand pointers and strides to the row code. Elements
 * of 16 bits have been widened by now, outputs too, so that there are only two types. INVALID: a length in
 * nonpad_kv_seqlen that is negative or past the keys. */
static ingot_status run_plain(ingot_op_ctx *c)
{
    const attention_state *s = c->state;
    ingot_attention a = s->attention;
    char *scratch = c->scratch;

    a.q = c->in[Q]->data;
    a.k = c->in[K]->data;
    a.v = c->in[V]->data;
    /* Keys, then values: joined with the past where there is one, or copied because an output wants them. */
    for (int i = 0; i < 2; i++) {
        const int64_t depth = i ? a.v_depth : a.depth;
        ingot_heads *at = i ? &a.v_at : &a.k_at;
        char *cache = is_wanted(c, PRESENT_K + i) ? c->out[PRESENT_K + i]->data : scratch;
        scratch += s->cache_bytes[i];
        if (!s->caches[i])
            continue;
        fill_cache(&a, ingot_has(c, PAST_K) ? c->in[PAST_K + i] : NULL, i ? a.v : a.k, at, depth, cache);
        *at = (ingot_heads){ a.kv_heads * a.keys * depth, a.keys * depth, depth, 1 };
        *(i ? &a.v : &a.k) = cache;
    }
    /* What follows the caches in scratch memory is for the scaled keys. */
    if (a.narrow)
        scale_narrow(c, &a, (float *)(void *)scratch);
    a.mask = ingot_has(c, MASK) ? c->in[MASK] : NULL;
    a.valid = ingot_has(c, VALID) ? c->in[VALID]->data : NULL;
    for (int64_t i = 0; a.valid && i < a.batch; i++)
        if (a.valid[i] < 0 || a.valid[i] > a.keys)
            return ingot_op_fail(c, INGOT_INVALID, "nonpad_kv_seqlen is %lld, for %lld keys", (long long)a.valid[i],
                                 (long long)a.keys);
    a.scores = is_wanted(c, SCORES) ? c->out[SCORES]->data : NULL;
    a.y = c->out[Y]->data;
    ingot_attention_run(c, &a);
    return INGOT_OK;
}

/* Narrow inputs are widened first, to double where there is one; one narrow input among wide ones is enough to take
 * that way. */
static ingot_status run_attention(ingot_op_ctx *c)
{
    const attention_state *s = c->state;
    bool narrow = false;

    if (!c->out[Y])
        return ingot_op_fail(c, INGOT_UNSUPPORTED, "output Y is left out");
    for (int i = 0; i < c->n_in; i++)
        narrow |= c->in[i] && ingot_is_16bit(c->in[i]->dtype);
    if (s->attention.dtype == INGOT_DOUBLE)
        return ingot_run_in_double(c, run_plain);
    return narrow ? ingot_run_widened(c, run_plain) : run_plain(c);
}

/* Two products per head, Q K^T and the weights with V; a multiply and an add each. */
static int64_t count_flops(const ingot_op_ctx *c)
{
    const ingot_attention *a = &((const attention_state *)c->state)->attention;
    return 2 * a->batch * a->heads * a->queries * a->keys * (a->depth + a->v_depth);
}

/* ---- attention that the planner found ---- */

/* Unpacks the attribute "form" (see ingot_attention_form). Scratch memory is the threads' alone: nothing is joined, and
 * the inputs are floats that are read where they lie. */
static ingot_status prepare_found(ingot_op_ctx *c)
{
    attention_state *s = c->state = ingot_keep(c, sizeof *s);
    const ingot_attr *attr = ingot_node_attr(c->node, "form");
    ingot_attention_form form;
    float scale;

    if (!s)
        return ingot_op_out_of_memory(c);
    memcpy(&form, attr->ints, sizeof form);
    memcpy(&scale, &form.scale_bits, sizeof scale);
    s->first[Q] = form.q_first;
    s->first[K] = form.k_first;
    s->first[V] = form.v_first;
    s->attention = (ingot_attention){
        .batch = form.batch, .heads = form.heads, .kv_heads = form.heads, .queries = form.queries, .keys = form.keys,
        .depth = form.depth, .v_depth = form.v_depth, .q_at = form.q_at, .k_at = form.k_at, .v_at = form.v_at,
        .y_at = form.y_at, .mask_at = form.mask_at, .mask_keys = form.keys, .left = -1, .right = -1,
        .scale = (double)scale, .exact = true, .nan_is_zero = form.nan_is_zero != 0, .dtype = INGOT_FLOAT,
    };
    s->attention.mask = ingot_has(c, MASK) ? c->in[MASK] : NULL;
    c->kernel = ingot_attention_choose(c, &s->attention, true);
    ingot_want_scratch(c, 0, ingot_attention_scratch(c, &s->attention));
    return INGOT_OK;
}

/* Q, K and V begin inside of the inputs: they are often pieces of one tensor, such as of one product with all
 * weights. */
static ingot_status run_found(ingot_op_ctx *c)
{
    const attention_state *s = c->state;
    ingot_attention a = s->attention;

    a.q = (const float *)c->in[Q]->data + s->first[Q];
    a.k = (const float *)c->in[K]->data + s->first[K];
    a.v = (const float *)c->in[V]->data + s->first[V];
    a.mask = ingot_has(c, MASK) ? c->in[MASK] : NULL;
    a.y = c->out[Y]->data;
    ingot_attention_run(c, &a);
    return INGOT_OK;
}

#define F INGOT_TYPES_FLOAT

const ingot_op ingot_ops_attention[] = {                  /* the last type holds for nonpad_kv_seqlen as well */
    { "Attention", 23, 3, 7, { F, F, F, INGOT_TYPES_NUMERIC | INGOT_TYPE(BOOL), F, F | INGOT_TYPE(INT64) },
      infer_attention, run_attention,
      .prepare = prepare_attention, .flops = count_flops, .flags = INGOT_OP_LONG },
    { "Attention", 1, 3, 4, { INGOT_TYPE(FLOAT) }, ingot_infer_made, run_found, .prepare = prepare_found,
      .flops = count_flops, .flags = INGOT_OP_LONG, .domain = "ingot.internal" },
    {0},
};
