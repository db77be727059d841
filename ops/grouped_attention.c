/* grouped_attention.c - GroupQueryAttention, as language models for ONNX Runtime have it: several heads of queries
 * share keys and values, which are kept from run to run in a buffer that may be longer than what is in it. Each
 * sequence has a length of its own (seqlens_k + 1). First the keys, turned by their places where do_rotary says so, and
 * values join those of the past; then blocks of rows of each head look at them, never ahead.
 * Source: https://github.com/microsoft/onnxruntime/blob/main/docs/ContribOperators.md#com.microsoft.GroupQueryAttention
 */
#include <math.h>
#include <string.h>

#include "ops/scalar.h"
#include "ops/weights.h"

/* The inputs in the operator's order. LENGTHS is seqlens_k, TOTAL total_sequence_length, PLACES position_ids, BIAS
 * attention_bias, SINK head_sink. ROWS: queries of one task, whose scores lie in its scratch memory. */
enum { Q, K, V, PAST_K, PAST_V, LENGTHS, TOTAL, COSINE, SINE, PLACES, BIAS, SINK, N_INPUTS };
enum { Y, PRESENT_K, PRESENT_V };
enum { ROWS = 16 };

/* The node between prepare and run. `packed`: Q holds K and V behind it in each row, which are then left out. `prompt`:
 * the first run of a sequence, whose buffers hold nothing yet. */
typedef struct grouped {
    int64_t batch, length, heads, kv_heads, depth;
    int64_t past, present;               /* rows of the buffers */
    int64_t q_row, k_row, angles;        /* elements of a row of Q and K; rows of the caches */
    int64_t window;
    bool packed, rotary, interleaved, smooth, prompt;
    double scale;
    float softcap;
    size_t cache_bytes;                  /* of keys or values in scratch memory, where no output takes them */
    void *keys, *values;                 /* (batch, kv_heads, present, depth) */
    const ingot_op_ctx *c;
} grouped;

/* ---- shapes ---- */

/* Is t (batch, kv_heads, any, depth)? */
static bool is_buffer(const ingot_tensor *t, const grouped *g)
{
    return t->rank == 4 && t->shape[0] == g->batch && t->shape[1] == g->kv_heads && t->shape[3] == g->depth;
}

/* The caches (places, pairs) have an angle for each pair of elements of a head, or of its first part. INVALID: caches
 * left out, different from each other, or longer than a head; position_ids that are not one for each row. */
static ingot_status read_rotary(ingot_op_ctx *c, grouped *g)
{
    g->rotary = ingot_attr_int(c->node, "do_rotary", 0) != 0;
    g->interleaved = ingot_attr_int(c->node, "rotary_interleaved", 0) != 0;
    if (!g->rotary)
        return INGOT_OK;
    if (!ingot_has(c, COSINE) || !ingot_has(c, SINE) || !ingot_same_shape(c->in[COSINE], c->in[SINE]) ||
        c->in[COSINE]->rank != 2 || c->in[COSINE]->shape[1] < 1 || 2 * c->in[COSINE]->shape[1] > g->depth)
        return ingot_op_fail(c, INGOT_INVALID, "cos_cache and sin_cache do not fit heads of %lld elements",
                             (long long)g->depth);
    g->angles = c->in[COSINE]->shape[0];
    if (ingot_has(c, PLACES) && ingot_count(c->in[PLACES]) != g->batch * g->length)
        return ingot_op_fail(c, INGOT_INVALID, "position_ids do not have a place for each row");
    return INGOT_OK;
}

/* What does not depend on shapes: the attributes, the types of the later inputs (the record has one set of types for
 * all of them), and what is UNSUPPORTED: quantized caches and an output of scores. A window of -1 is none. */
static ingot_status read_attributes(ingot_op_ctx *c, grouped *g)
{
    *g = (grouped){ .heads = ingot_attr_int(c->node, "num_heads", 0), .c = c,
                    .kv_heads = ingot_attr_int(c->node, "kv_num_heads", 0),
                    .window = ingot_attr_int(c->node, "local_window_size", -1),
                    .smooth = ingot_attr_int(c->node, "smooth_softmax", 0) != 0,
                    .softcap = ingot_attr_float(c->node, "softcap", 0), .packed = !ingot_has(c, K),
                    .scale = (double)ingot_attr_float(c->node, "scale", 0) };
    if (g->heads < 1 || g->kv_heads < 1 || g->heads % g->kv_heads || g->heads > INT32_MAX)
        return ingot_op_fail(c, INGOT_INVALID, "%lld heads cannot share %lld", (long long)g->heads,
                             (long long)g->kv_heads);
    for (int i = LENGTHS; i < c->n_in; i++) {
        const uint64_t types = i <= TOTAL || i == PLACES ? INGOT_TYPES_INDEX : INGOT_TYPES_FLOAT;
        if (ingot_has(c, i) && !(types >> c->in[i]->dtype & 1))
            return ingot_op_fail(c, INGOT_UNSUPPORTED, "input %d has type %s", i, ingot_dtype_name(c->in[i]->dtype));
    }
    if (ingot_attr_int(c->node, "k_quant_type", 0) || ingot_attr_int(c->node, "qk_output", 0) || c->n_in > N_INPUTS ||
        (c->n_out > 3 && c->out[3]))
        return ingot_op_fail(c, INGOT_UNSUPPORTED, "quantized caches or an output of scores");
    return INGOT_OK;
}

/* Sizes, with every input checked against them: Q (batch, length, heads * depth), K and V likewise with kv_heads. The
 * presents are as long as total_sequence_length or the buffer, whichever is more. LATER until total_sequence_length is
 * known, as it gives shapes; seqlens_k is data and is checked by run. */
static ingot_status read_grouped(ingot_op_ctx *c, grouped *g)
{
    const ingot_tensor *q = c->in[Q], *k = ingot_has(c, K) ? c->in[K] : NULL, *v = ingot_has(c, V) ? c->in[V] : NULL;
    ingot_status st = read_attributes(c, g);

    if (!st && (!ingot_has(c, LENGTHS) || !ingot_has(c, TOTAL)))
        return ingot_op_fail(c, INGOT_INVALID, "seqlens_k or total_sequence_length is missing");
    if (st || (st = ingot_need(c, TOTAL)))
        return st;
    const int64_t all = g->packed ? g->heads + 2 * g->kv_heads : g->heads;
    if (q->rank != 3 || q->shape[2] % all || q->shape[2] < all || ingot_count(c->in[TOTAL]) != 1)
        return ingot_op_fail(c, INGOT_INVALID, "query does not consist of %lld heads", (long long)all);
    /* Sizes from the query, then each other input against them. */
    g->batch = q->shape[0];
    g->length = q->shape[1];
    g->depth = q->shape[2] / all;
    g->q_row = q->shape[2];
    g->k_row = g->packed ? g->q_row : g->kv_heads * g->depth;
    if (!g->packed && (!v || !ingot_same_shape(k, v) || k->rank != 3 || k->shape[0] != g->batch ||
                       k->shape[1] != g->length || k->shape[2] != g->k_row))
        return ingot_op_fail(c, INGOT_INVALID, "key or value does not fit query");
    if (ingot_has(c, PAST_K) != ingot_has(c, PAST_V) ||
        (ingot_has(c, PAST_K) && (!is_buffer(c->in[PAST_K], g) || !ingot_same_shape(c->in[PAST_K], c->in[PAST_V]))))
        return ingot_op_fail(c, INGOT_INVALID, "past_key or past_value does not fit query");
    /* How long the buffers are, and whether there is a past at all. */
    const int64_t total = ingot_int_at(c->in[TOTAL], 0);
    g->past = ingot_has(c, PAST_K) ? c->in[PAST_K]->shape[2] : 0;
    g->present = MAX(total, g->past);
    g->prompt = total == g->length;
    if (total < g->length || ingot_count(c->in[LENGTHS]) != g->batch)
        return ingot_op_fail(c, INGOT_INVALID, "total_sequence_length %lld or seqlens_k does not fit query",
                             (long long)total);
    const ingot_tensor *bias = ingot_has(c, BIAS) ? c->in[BIAS] : NULL;
    if (bias && (bias->rank != 4 || (bias->shape[0] != 1 && bias->shape[0] != g->batch) ||
                 (bias->shape[1] != 1 && bias->shape[1] != g->heads) || bias->shape[2] != g->length ||
                 bias->shape[3] < total))
        return ingot_op_fail(c, INGOT_INVALID, "attention_bias does not fit query");
    if (ingot_has(c, SINK) && ingot_count(c->in[SINK]) != g->heads)
        return ingot_op_fail(c, INGOT_INVALID, "head_sink does not have a number for each head");
    if (g->scale == 0)
        g->scale = 1 / sqrt((double)g->depth);
    return read_rotary(c, g);
}

/* Y (batch, length, heads * depth), then the presents (batch, kv_heads, present, depth). */
static ingot_status infer_grouped(ingot_op_ctx *c)
{
    grouped g;
    ingot_status st = read_grouped(c, &g);
    if (st)
        return st;
    const int64_t y[3] = { g.batch, g.length, g.heads * g.depth };
    const int64_t present[4] = { g.batch, g.kv_heads, g.present, g.depth };
    for (int i = 0; i < 3 && !st; i++)
        st = ingot_out(c, i, c->in[Q]->dtype, i == Y ? 3 : 4, i == Y ? y : present);
    return st;
}

/* Scratch memory: what widening takes; keys and values where no output takes them; a thread's rows of queries and of
 * scores. LIMIT where the sizes do not fit an address. */
static ingot_status prepare_grouped(ingot_op_ctx *c)
{
    grouped *g = c->state = ingot_keep(c, sizeof *g);
    const ingot_status st = g ? read_grouped(c, g) : ingot_op_out_of_memory(c);
    const size_t size = ingot_any_double(c) ? sizeof(double) : sizeof(float);
    size_t bytes = size;

    if (st || ingot_count(c->in[Q]) == 0)
        return st;
    if (!ingot_mul_size(bytes, (size_t)(g->batch * g->kv_heads), &bytes) ||
        !ingot_mul_size(bytes, (size_t)g->present, &bytes) || !ingot_mul_size(bytes, (size_t)g->depth, &bytes))
        return ingot_op_fail(c, INGOT_LIMIT, "the caches are too large");
    g->cache_bytes = (bytes + INGOT_ALIGNMENT) / INGOT_ALIGNMENT * INGOT_ALIGNMENT;
    ingot_want_scratch(c, ingot_one_type_bytes(c) + 2 * g->cache_bytes, size * ROWS * (size_t)(g->depth + g->present));
    return INGOT_OK;
}

/* ---- running ---- */

/* Rows in the buffers before this run's. seqlens_k counts the last row's place from 0, hence the 1. */
static int64_t past_of(const grouped *g, int64_t batch)
{
    return g->prompt ? 0 : ingot_int_at(g->c->in[LENGTHS], batch) + 1 - g->length;
}

/* The place of row `row` in its sequence, by which it is turned: from position_ids, else after the past. */
static int64_t place_of(const grouped *g, int64_t batch, int64_t row)
{
    return ingot_has(g->c, PLACES) ? ingot_int_at(g->c->in[PLACES], batch * g->length + row) : past_of(g, batch) + row;
}

/* scores = scale Q K' of `rows` queries and `all` keys; both have rows of `depth`. */
static void dot_f32(const grouped *g, int64_t rows, int64_t all, const float *q, const float *k, float *scores)
{
    const ingot_gemm p = { .m = rows, .n = all, .k = g->depth, .alpha = (float)g->scale, .a_row = g->depth, .a_col = 1,
                           .ldc = all };
    g->c->kernels->gemm_dot_f32(&p, q, k, g->depth, scores, &(ingot_epilogue){ .act = INGOT_ACT_NONE }, 0, all);
}

static void dot_f64(const grouped *g, int64_t rows, int64_t all, const double *q, const double *k, double *scores)
{
    for (int64_t i = 0; i < rows * all; i++) {
        double sum = 0;
        for (int64_t d = 0; d < g->depth; d++)
            sum += q[i / all * g->depth + d] * k[i % all * g->depth + d];
        scores[i] = g->scale * sum;
    }
}

/* y = weights V; the rows of y are those of the output. */
static void mix_f32(const grouped *g, int64_t rows, int64_t all, const float *weights, const float *v, float *y)
{
    const ingot_gemm p = { .m = rows, .n = g->depth, .k = all, .alpha = 1, .a_row = all, .a_col = 1,
                           .ldc = g->heads * g->depth };
    g->c->kernels->gemm_axpy_f32(&p, weights, v, g->depth, y, &(ingot_epilogue){ .act = INGOT_ACT_NONE }, 0, g->depth);
}

static void mix_f64(const grouped *g, int64_t rows, int64_t all, const double *weights, const double *v, double *y)
{
    for (int64_t r = 0; r < rows; r++, y += g->heads * g->depth, weights += all) {
        memset(y, 0, (size_t)g->depth * sizeof *y);
        for (int64_t t = 0; t < all; t++)
            for (int64_t d = 0; d < g->depth; d++)
                y[d] += weights[t] * v[t * g->depth + d];
    }
}

static void softmax_f32(const ingot_op_ctx *c, float *scores, int64_t n)
{
    c->kernels->softmax_f32(scores, scores, n);
}

static void softmax_f64(const ingot_op_ctx *c, double *scores, int64_t n)
{
    (void)c;
    ingot_softmax_f64(scores, n);
}

#define T float
#define MATH(name) name##f
#define TYPED(name) name##_f32
#include "ops/grouped_attention_loops.h"
#undef T
#undef MATH
#undef TYPED
#define T double
#define MATH(name) name
#define TYPED(name) name##_f64
#include "ops/grouped_attention_loops.h"

/* Lengths and places come from data and are checked before anything is read by them. All of it INVALID, in one thread,
 * before tasks begin that could not report it. */
static ingot_status check_data(ingot_op_ctx *c, const grouped *g)
{
    for (int64_t b = 0; b < g->batch; b++) {
        const int64_t past = past_of(g, b);
        if (past < 0 || past > g->past || past > g->present - g->length)
            return ingot_op_fail(c, INGOT_INVALID, "seqlens_k %lld of sequence %lld does not fit the caches",
                                 (long long)ingot_int_at(c->in[LENGTHS], b), (long long)b);
        if (ingot_has(c, BIAS) && past + g->length > c->in[BIAS]->shape[3])
            return ingot_op_fail(c, INGOT_INVALID, "attention_bias is shorter than sequence %lld", (long long)b);
        for (int64_t row = 0; row < g->length && g->rotary; row++)
            if (place_of(g, b, row) < 0 || place_of(g, b, row) >= g->angles)
                return ingot_op_fail(c, INGOT_INVALID, "place %lld has no row in cos_cache",
                                     (long long)place_of(g, b, row));
    }
    return INGOT_OK;
}

/* Caches first, for all heads: queries of several heads read the same ones. */
static ingot_status run_plain(ingot_op_ctx *c)
{
    grouped *g = c->state;
    const bool in_double = c->in[Q]->dtype == INGOT_DOUBLE;
    g->c = c;
    const ingot_status st = check_data(c, g);

    if (st || ingot_count(c->in[Q]) == 0)
        return st;
    g->keys = c->n_out > PRESENT_K && c->out[PRESENT_K] ? c->out[PRESENT_K]->data : (void *)c->scratch;
    g->values = c->n_out > PRESENT_V && c->out[PRESENT_V] ? c->out[PRESENT_V]->data
                                                          : (void *)(c->scratch + g->cache_bytes);
    ingot_parallel(c->team, g->batch * g->kv_heads, 1, in_double ? fill_caches_f64 : fill_caches_f32, g);
    ingot_parallel(c->team, g->batch * g->heads * ((g->length + ROWS - 1) / ROWS), 1,
                   in_double ? attend_f64 : attend_f32, g);
    return INGOT_OK;
}

static ingot_status run_grouped(ingot_op_ctx *c) { return ingot_run_in_one_type(c, run_plain); }

/* The last set of types stands for the inputs after it as well: all are float or integers there. Double is more than
 * there is elsewhere: float64 runs beside need it. */
#define F INGOT_TYPES_FLOAT

const ingot_op ingot_ops_grouped_attention[] = {
    { "GroupQueryAttention", 1, 1, N_INPUTS, { F, F, F, F, F, F | INGOT_TYPES_INDEX }, infer_grouped, run_grouped,
      .prepare = prepare_grouped, .domain = "com.microsoft" },
    { 0 }
};
