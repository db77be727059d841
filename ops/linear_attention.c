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
    float scale;
    const float *query, *key, *value, *past, *decay, *beta;
    float *y, *state;
    const ingot_op_ctx *ctx;
} recurrence;

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
    r->scale = scale != 0 ? scale : r->depth ? 1 / sqrtf((float)r->depth) : 1;
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

/* The state is kept in f32 whatever the inputs are. 16-bit ones are widened and rounded around the run. */
static size_t state_bytes(const recurrence *r)
{
    return (size_t)(r->batch * r->kv_heads * r->depth * r->v_depth) * sizeof(float);
}

/* The state needs scratch when nobody takes it as an output; each thread needs one row of values. */
static ingot_status prepare_linear_attention(ingot_op_ctx *c)
{
    recurrence r;
    ingot_status st = read_recurrence(c, &r);

    if (!st)
        ingot_want_scratch(c, ingot_widen_bytes(c) + state_bytes(&r), (size_t)r.v_depth * sizeof(float));
    return st;
}

/* One place of one key head: S = exp(decay) S, then S += beta k (v - k' S) in the delta rules, or k v without them.
 * `lacks` holds v_depth floats: the value, less what the decayed state already gives for the key. */
static void update(const recurrence *r, int64_t place, int64_t head, float *state, float *lacks)
{
    const float *key = r->key + (place * r->kv_heads + head) * r->depth;
    const float *value = r->value + (place * r->kv_heads + head) * r->v_depth;
    const int64_t decay_step = r->n_decay == r->kv_heads ? 0 : 1;
    const float *decay = r->decay ? r->decay + place * r->n_decay + head * (decay_step ? r->depth : 1) : NULL;
    const float beta = r->beta ? r->beta[place * r->n_beta + (r->n_beta == 1 ? 0 : head)] : 1;

    /* What the state lacks: the value, less what the decayed state gives for the key. */
    for (int64_t m = 0; m < r->v_depth; m++)
        lacks[m] = value[m];
    for (int64_t d = 0; d < r->depth; d++) {
        float *row = state + d * r->v_depth;
        const float keeps = decay ? expf(decay[d * decay_step]) : 1, k = r->beta ? key[d] : 0;
        for (int64_t m = 0; m < r->v_depth; m++) {
            row[m] *= keeps;
            lacks[m] -= k * row[m];
        }
    }
    for (int64_t d = 0; d < r->depth; d++) {
        float *row = state + d * r->v_depth;
        const float k = key[d] * beta;
        for (int64_t m = 0; m < r->v_depth; m++)
            row[m] += k * lacks[m];
    }
}

/* Y of one head at one place = scale * q^T S, with S (depth, v_depth). Heads of one group read the same state. */
static void read_state(const recurrence *r, int64_t place, int64_t head, const float *state)
{
    const float *query = r->query + (place * r->heads + head) * r->depth;
    float *y = r->y + (place * r->heads + head) * r->v_depth;

    for (int64_t m = 0; m < r->v_depth; m++)
        y[m] = 0;
    for (int64_t d = 0; d < r->depth; d++)
        for (int64_t m = 0; m < r->v_depth; m++)
            y[m] += query[d] * state[d * r->v_depth + m];
    for (int64_t m = 0; m < r->v_depth; m++)
        y[m] *= r->scale;
}

/* Key heads [begin, end) of all sequences. Places follow each other, since each one's state comes from the one before;
 * a place is read after it has been written. */
static void recur(void *argument, int64_t begin, int64_t end, int thread)
{
    const recurrence *r = argument;
    float *lacks = (float *)(void *)ingot_thread_scratch(r->ctx, thread);
    const int64_t group = r->heads / r->kv_heads;

    for (int64_t item = begin; item < end; item++) {
        /* The state of one head stays in the cache while all places go by. */
        const int64_t sequence = item / r->kv_heads, head = item % r->kv_heads;
        float *state = r->state + item * r->depth * r->v_depth;
        for (int64_t i = 0; i < r->length; i++) {
            const int64_t place = sequence * r->length + i;
            update(r, place, head, state, lacks);
            for (int64_t g = 0; g < group; g++)
                read_state(r, place, head * group + g, state);
        }
    }
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
    if (r.past && state_bytes(&r))
        memcpy(r.state, r.past, state_bytes(&r));
    else
        memset(r.state, 0, state_bytes(&r));
    ingot_parallel(c->team, r.batch * r.kv_heads, 1, recur, &r);
    return INGOT_OK;
}

/* Is any input of 16-bit floats? One is enough for the way that widens all of them. */
static bool any_narrow(const ingot_op_ctx *c)
{
    bool narrow = false;
    for (int i = 0; i < c->n_in; i++)
        narrow |= c->in[i] && ingot_is_16bit(c->in[i]->dtype);
    return narrow;
}

/* In float, after widening where it takes that. */
static ingot_status run_linear_attention(ingot_op_ctx *c)
{
    return any_narrow(c) ? ingot_run_widened(c, run_linear_plain) : run_linear_plain(c);
}

/* ---- CausalConvWithState: y[i] = bias + sum weight[t] x[i - (k - 1) + t], where x goes on into the state before 0
 * ---- */

/* CausalConvWithState while it runs. bias and past are NULL where they are left out, y and state where nobody wants
 * them. */
typedef struct causal {
    int64_t batch, channels, length, taps;
    bool silu;
    const float *x, *weight, *bias, *past;
    float *y, *state;
} causal;

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
    ingot_want_scratch(c, ingot_widen_bytes(c), 0);
    return INGOT_OK;
}

/* Element i of a line that has its state in front: i may be as low as 1 - taps. Without a past state it is 0 there. */
static float element(const causal *v, int64_t line, int64_t i)
{
    if (i >= 0)
        return v->x[line * v->length + i];
    return v->past ? v->past[line * (v->taps - 1) + v->taps - 1 + i] : 0;
}

/* Task over (image, channel) lines; positions before the first come from past_state or are 0. */
static void convolve_lines(void *argument, int64_t begin, int64_t end, int thread)
{
    const causal *v = argument;

    (void)thread;
    for (int64_t line = begin; line < end; line++) {
        const float *weight = v->weight + line % v->channels * v->taps;
        const float bias = v->bias ? v->bias[line % v->channels] : 0;
        for (int64_t i = 0; i < v->length && v->y; i++) {
            float sum = bias;
            for (int64_t t = 0; t < v->taps; t++)
                sum += weight[t] * element(v, line, i - (v->taps - 1) + t);
            v->y[line * v->length + i] = v->silu ? sum / (1 + expf(-sum)) : sum;
        }
        for (int64_t i = 0; i < v->taps - 1 && v->state; i++)
            v->state[line * (v->taps - 1) + i] = element(v, line, v->length - (v->taps - 1) + i);
    }
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
    ingot_parallel(c->team, v.batch * v.channels, 1 + 4096 / (1 + v.length * v.taps), convolve_lines, &v);
    return INGOT_OK;
}

/* In float, after widening where it takes that. */
static ingot_status run_causal(ingot_op_ctx *c)
{
    return any_narrow(c) ? ingot_run_widened(c, run_causal_plain) : run_causal_plain(c);
}

#define F (INGOT_TYPE(FLOAT) | INGOT_TYPE(FLOAT16) | INGOT_TYPE(BFLOAT16))

const ingot_op ingot_ops_linear_attention[] = {
    { "LinearAttention", 27, 3, 6, { F, F, F, F, F, F }, infer_linear_attention, run_linear_attention,
      .prepare = prepare_linear_attention },
    { "CausalConvWithState", 27, 2, 4, { F, 0 }, infer_causal, run_causal, .prepare = prepare_causal },
    {0},
};
