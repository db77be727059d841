/* linear_attention.c - LinearAttention and CausalConvWithState: operators that carry a state from one run to the next.
 *
 * Attention without a softmax is a recurrence: a matrix S per key head decays, takes in the outer product of a key with
 * its value (or with what the value lacks, in the delta rules), and is read by the queries. Heads are independent. */
#include <math.h>
#include <string.h>

#include "ops/weights.h"

/* The inputs of LinearAttention, then those of CausalConvWithState. */
enum { QUERY, KEY, VALUE, PAST, DECAY, BETA };
enum { INPUT, WEIGHT, BIAS, STATE };

/* LinearAttention while it runs. past, decay and beta are NULL where they are left out; state is (batch, kv_heads,
 * depth, v_depth) and changes with each place. */
typedef struct recurrence {
    int64_t batch, length, heads, kv_heads, depth, v_depth;
    int64_t n_decay, n_beta;             /* per place: one per head or per element; one per head or one */
    double scale;
    const void *query, *key, *value, *past, *decay, *beta;
    void *y, *state;
    const ingot_op_ctx *ctx;
} recurrence;

/* CausalConvWithState while it runs. bias and past are NULL where they are left out, y and state where nobody wants
 * them. */
typedef struct causal {
    int64_t batch, channels, length, taps;
    bool silu;
    const void *x, *weight, *bias, *past;
    void *y, *state;
} causal;

#define T float
#define EXP expf
#define TYPED(name) name##_f32
#include "ops/linear_attention_loops.h"
#undef T
#undef EXP
#undef TYPED
#define T double
#define EXP exp
#define TYPED(name) name##_f64
#include "ops/linear_attention_loops.h"

/* Is t (d0, d1, any)? */
static bool is_shape3(const ingot_tensor *t, int64_t d0, int64_t d1)
{
    return t->rank == 3 && t->shape[0] == d0 && t->shape[1] == d1;
}

/* The update rule decides which of decay and beta must be there; one too many is as wrong as one missing. linear: none;
 * gated: decay; delta: beta; gated_delta, the default: both. INVALID otherwise. */
static ingot_status read_rule(ingot_op_ctx *c, bool *gated, bool *delta)
{
    const char *rule = ingot_attr_string(c->node, "update_rule", "gated_delta");

    *gated = !strcmp(rule, "gated") || !strcmp(rule, "gated_delta");
    *delta = !strcmp(rule, "delta") || !strcmp(rule, "gated_delta");
    if (!*gated && !*delta && strcmp(rule, "linear"))
        return ingot_op_fail(c, INGOT_INVALID, "attribute 'update_rule': '%.40s' is not known", rule);
    if (*gated != ingot_has(c, DECAY) || *delta != ingot_has(c, BETA))
        return ingot_op_fail(c, INGOT_INVALID, "decay and beta do not fit update_rule '%s'", rule);
    return INGOT_OK;
}

/* Q (N, T, heads * depth), K (N, T, kv_heads * depth) and V (N, T, kv_heads * v_depth); query heads share key heads in
 * groups. decay is (N, T, kv_heads) or (N, T, kv_heads * depth), beta (N, T, kv_heads) or (N, T, 1). A scale of 0
 * stands for 1 / sqrt(depth). INVALID: anything that does not fit. */
static ingot_status read_recurrence(ingot_op_ctx *c, recurrence *r)
{
    const ingot_tensor *q = c->in[QUERY], *k = c->in[KEY], *v = c->in[VALUE];
    bool gated, delta;
    ingot_status st = read_rule(c, &gated, &delta);

    if (st)
        return st;
    *r = (recurrence){ .heads = ingot_attr_int(c->node, "q_num_heads", 0),
                       .kv_heads = ingot_attr_int(c->node, "kv_num_heads", 0) };
    if (r->kv_heads < 1 || r->heads < 1 || r->heads % r->kv_heads)
        return ingot_op_fail(c, INGOT_INVALID, "q_num_heads must be a positive multiple of kv_num_heads");
    if (q->rank != 3 || !is_shape3(k, q->shape[0], q->shape[1]) || !is_shape3(v, q->shape[0], q->shape[1]) ||
        q->shape[2] % r->heads || k->shape[2] % r->kv_heads || v->shape[2] % r->kv_heads ||
        q->shape[2] / r->heads != k->shape[2] / r->kv_heads || k->dtype != q->dtype || v->dtype != q->dtype)
        return ingot_op_fail(c, INGOT_INVALID,
                             "the shapes of query, key and value do not fit each other and the heads");
    /* Sizes, and the inputs that the rule wants. */
    r->batch = q->shape[0];
    r->length = q->shape[1];
    r->depth = q->shape[2] / r->heads;
    r->v_depth = v->shape[2] / r->kv_heads;
    if (gated && (!is_shape3(c->in[DECAY], r->batch, r->length) ||
                  (c->in[DECAY]->shape[2] != r->kv_heads && c->in[DECAY]->shape[2] != r->kv_heads * r->depth)))
        return ingot_op_fail(c, INGOT_INVALID, "the shape of decay does not fit");
    if (delta && (!is_shape3(c->in[BETA], r->batch, r->length) ||
                  (c->in[BETA]->shape[2] != r->kv_heads && c->in[BETA]->shape[2] != 1)))
        return ingot_op_fail(c, INGOT_INVALID, "the shape of beta does not fit");
    r->n_decay = gated ? c->in[DECAY]->shape[2] : 0;
    r->n_beta = delta ? c->in[BETA]->shape[2] : 0;
    const int64_t want[4] = { r->batch, r->kv_heads, r->depth, r->v_depth };
    if (ingot_has(c, PAST) && (c->in[PAST]->rank != 4 || memcmp(c->in[PAST]->shape, want, sizeof want)))
        return ingot_op_fail(c, INGOT_INVALID, "the shape of past_state does not fit");
    const float scale = ingot_attr_float(c->node, "scale", 0);
    r->scale = scale != 0 ? (double)scale : r->depth ? 1 / sqrt((double)r->depth) : 1;
    return INGOT_OK;
}

/* Y is (N, T, heads * v_depth); the state is (N, kv_heads, depth, v_depth). The state has the past state's type, else
 * the query's. */
static ingot_status infer_linear_attention(ingot_op_ctx *c)
{
    recurrence r;
    ingot_status st = read_recurrence(c, &r);

    if (st || (st = ingot_out(c, 0, c->in[QUERY]->dtype, 3, (int64_t[]){ r.batch, r.length, r.heads * r.v_depth })))
        return st;
    return ingot_out(c, 1, c->in[ingot_has(c, PAST) ? PAST : QUERY]->dtype, 4,
                     (int64_t[]){ r.batch, r.kv_heads, r.depth, r.v_depth });
}

/* The state is kept as wide as the inputs are computed. */
static size_t state_bytes(const ingot_op_ctx *c, const recurrence *r)
{
    const size_t size = ingot_any_double(c) ? sizeof(double) : sizeof(float);
    return (size_t)(r->batch * r->kv_heads * r->depth * r->v_depth) * size;
}

/* The state needs scratch when nobody takes it as an output; each thread needs one row of values. */
static ingot_status prepare_linear_attention(ingot_op_ctx *c)
{
    recurrence r;
    ingot_status st = read_recurrence(c, &r);

    if (!st)
        ingot_want_scratch(c, ingot_one_type_bytes(c) + state_bytes(c, &r), (size_t)r.v_depth * sizeof(double));
    return st;
}

/* An optional input's elements, or NULL. */
static const void *data_of(const ingot_op_ctx *c, int input) { return ingot_has(c, input) ? c->in[input]->data : NULL; }

/* Starts from the past state or zeros and updates it in place, in the present_state output where there is one. */
static ingot_status run_linear_plain(ingot_op_ctx *c)
{
    recurrence r;
    ingot_status st = read_recurrence(c, &r);

    if (st)
        return st;
    if (!c->out[0])
        return ingot_op_fail(c, INGOT_UNSUPPORTED, "output 0 is left out");
    r.ctx = c;
    r.query = c->in[QUERY]->data;
    r.key = c->in[KEY]->data;
    r.value = c->in[VALUE]->data;
    r.past = data_of(c, PAST);
    r.decay = data_of(c, DECAY);
    r.beta = data_of(c, BETA);
    r.y = c->out[0]->data;
    r.state = c->n_out > 1 && c->out[1] ? c->out[1]->data : (void *)c->scratch;
    const size_t bytes = state_bytes(c, &r);
    if (r.past && bytes)
        memcpy(r.state, r.past, bytes);
    else if (bytes)
        memset(r.state, 0, bytes);
    ingot_parallel(c->team, r.batch * r.kv_heads, 1, c->in[QUERY]->dtype == INGOT_DOUBLE ? recur_f64 : recur_f32, &r);
    return INGOT_OK;
}

/* The public way in: types first. */
static ingot_status run_linear_attention(ingot_op_ctx *c) { return ingot_run_in_one_type(c, run_linear_plain); }

/* ---- CausalConvWithState: y[i] = bias + sum weight[t] x[i - (k - 1) + t], where x goes on into the state before 0
 * ---- */

/* X (N, C, L), weight (C, 1, k), past_state (N, C, k - 1): a depthwise convolution that sees no later position.
 * INVALID: an unknown activation, or shapes that do not fit. swish is another name of silu. */
static ingot_status read_causal(ingot_op_ctx *c, causal *v)
{
    const ingot_tensor *x = c->in[INPUT], *w = c->in[WEIGHT];
    const char *activation = ingot_attr_string(c->node, "activation", "none");

    *v = (causal){ .silu = !strcmp(activation, "silu") || !strcmp(activation, "swish") };
    if (!v->silu && strcmp(activation, "none"))
        return ingot_op_fail(c, INGOT_INVALID, "attribute 'activation': '%.40s' is not known", activation);
    if (x->rank != 3 || w->rank != 3 || w->shape[0] != x->shape[1] || w->shape[1] != 1 || w->shape[2] < 1)
        return ingot_op_fail(c, INGOT_INVALID, "input must have shape (N, C, L) and weight (C, 1, k)");
    v->batch = x->shape[0];
    v->channels = x->shape[1];
    v->length = x->shape[2];
    v->taps = w->shape[2];
    if (ingot_has(c, BIAS) && (c->in[BIAS]->rank != 1 || c->in[BIAS]->shape[0] != v->channels))
        return ingot_op_fail(c, INGOT_INVALID, "bias must have one element for each channel");
    if (ingot_has(c, STATE) &&
        (!is_shape3(c->in[STATE], v->batch, v->channels) || c->in[STATE]->shape[2] != v->taps - 1))
        return ingot_op_fail(c, INGOT_INVALID, "past_state must have shape (N, C, k - 1)");
    return INGOT_OK;
}

/* present_state holds the last k - 1 inputs for the next call. */
static ingot_status infer_causal(ingot_op_ctx *c)
{
    causal v;
    ingot_status st = read_causal(c, &v);

    if (st || (st = ingot_out_like(c, 0, c->in[INPUT])))
        return st;
    return ingot_out(c, 1, c->in[INPUT]->dtype, 3, (int64_t[]){ v.batch, v.channels, v.taps - 1 });
}

/* Only widening needs memory. */
static ingot_status prepare_causal(ingot_op_ctx *c)
{
    ingot_want_scratch(c, ingot_one_type_bytes(c), 0);
    return INGOT_OK;
}

/* Lines are independent; short ones are handed out several at a time. */
static ingot_status run_causal_plain(ingot_op_ctx *c)
{
    causal v;
    ingot_status st = read_causal(c, &v);

    if (st)
        return st;
    v.x = c->in[INPUT]->data;
    v.weight = c->in[WEIGHT]->data;
    v.bias = data_of(c, BIAS);
    v.past = data_of(c, STATE);
    v.y = c->out[0] ? c->out[0]->data : NULL;
    v.state = c->n_out > 1 && c->out[1] ? c->out[1]->data : NULL;
    ingot_parallel(c->team, v.batch * v.channels, 1 + 4096 / (1 + v.length * v.taps),
                   c->in[INPUT]->dtype == INGOT_DOUBLE ? convolve_lines_f64 : convolve_lines_f32, &v);
    return INGOT_OK;
}

/* Likewise. */
static ingot_status run_causal(ingot_op_ctx *c) { return ingot_run_in_one_type(c, run_causal_plain); }

/* Double is more than the standard has: float64 runs beside need it. */
#define F INGOT_TYPES_FLOAT

const ingot_op ingot_ops_linear_attention[] = {
    { "LinearAttention", 27, 3, 6, { F, F, F, F, F, F }, infer_linear_attention, run_linear_attention,
      .prepare = prepare_linear_attention },
    { "CausalConvWithState", 27, 2, 4, { F, 0 }, infer_causal, run_causal, .prepare = prepare_causal },
    {0},
};
