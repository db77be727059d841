/* grouped_attention.c - GroupQueryAttention, as language models for ONNX Runtime have it: several heads of queries
 * share keys and values, which are kept from run to run in a buffer that may be longer than what is in it. Each
 * sequence has a length of its own (seqlens_k + 1). First the keys, turned by their places where do_rotary says so, and
 * values join those of the past; then blocks of rows of each head look at them, never ahead.
 * Source: https://github.com/microsoft/onnxruntime/blob/main/docs/ContribOperators.md#com.microsoft.GroupQueryAttention
 */
#include <math.h>
#include <string.h>

#include "ops/op.h"

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
    float scale, softcap;
    size_t cache_bytes;                  /* of keys or values in scratch memory, where no output takes them */
    float *keys, *values;                /* (batch, kv_heads, present, depth) */
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
                    .scale = ingot_attr_float(c->node, "scale", 0) };
    if (g->heads < 1 || g->kv_heads < 1 || g->heads % g->kv_heads || g->heads > INT32_MAX)
        return ingot_op_fail(c, INGOT_INVALID, "%lld heads cannot share %lld", (long long)g->heads,
                             (long long)g->kv_heads);
    for (int i = LENGTHS; i < c->n_in; i++) {
        const uint64_t types = i <= TOTAL || i == PLACES ? INGOT_TYPES_INDEX : INGOT_TYPE(FLOAT);
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
        g->scale = 1.0f / sqrtf((float)g->depth);
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
        st = ingot_out(c, i, INGOT_FLOAT, i == Y ? 3 : 4, i == Y ? y : present);
    return st;
}

/* Scratch memory: keys and values where no output takes them; a thread's rows of queries and of scores. LIMIT where the
 * sizes do not fit an address. */
static ingot_status prepare_grouped(ingot_op_ctx *c)
{
    grouped *g = c->state = ingot_keep(c, sizeof *g);
    const ingot_status st = g ? read_grouped(c, g) : ingot_op_out_of_memory(c);
    size_t bytes = sizeof(float);

    if (st || ingot_count(c->in[Q]) == 0)
        return st;
    if (!ingot_mul_size(bytes, (size_t)(g->batch * g->kv_heads), &bytes) ||
        !ingot_mul_size(bytes, (size_t)g->present, &bytes) || !ingot_mul_size(bytes, (size_t)g->depth, &bytes))
        return ingot_op_fail(c, INGOT_LIMIT, "the caches are too large");
    g->cache_bytes = (bytes + INGOT_ALIGNMENT) / INGOT_ALIGNMENT * INGOT_ALIGNMENT;
    ingot_want_scratch(c, 2 * g->cache_bytes, sizeof(float) * ROWS * (size_t)(g->depth + g->present));
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

/* A head's row, turned by its place: pairs of elements of both halves of what the caches know, or neighbours
 * (rotary_interleaved). Elements past the pairs stay as they are. Without do_rotary this is a copy. Source: Su et al.,
 * RoFormer, 2021. */
static void turn(const grouped *g, float *to, const float *from, int64_t batch, int64_t row)
{
    memcpy(to, from, (size_t)g->depth * sizeof *to);
    if (!g->rotary)
        return;
    const int64_t pairs = g->c->in[COSINE]->shape[1], place = place_of(g, batch, row);
    const float *cosine = (const float *)g->c->in[COSINE]->data + place * pairs;
    const float *sine = (const float *)g->c->in[SINE]->data + place * pairs;
    for (int64_t i = 0; i < pairs; i++) {
        const int64_t a = g->interleaved ? 2 * i : i, b = g->interleaved ? 2 * i + 1 : i + pairs;
        to[a] = from[a] * cosine[i] - from[b] * sine[i];
        to[b] = from[a] * sine[i] + from[b] * cosine[i];
    }
}

/* Row `row` of a head: `first` is that of the head in a row of the tensor. `width` is the length of a row of the
 * tensor, in elements. */
static const float *row_at(const grouped *g, const ingot_tensor *t, int64_t batch, int64_t row, int64_t width,
                           int64_t first)
{
    return (const float *)t->data + (batch * g->length + row) * width + first * g->depth;
}

/* Task over (batch, heads of keys): the past, then this run's rows, then zeros. memmove(), because the present may lie
 * in the memory of the past. */
static void fill_caches(void *argument, int64_t begin, int64_t end, int thread)
{
    const grouped *g = argument;
    const ingot_op_ctx *c = g->c;
    const ingot_tensor *kt = g->packed ? c->in[Q] : c->in[K], *vt = g->packed ? c->in[Q] : c->in[V];

    (void)thread;
    for (int64_t i = begin; i < end; i++) {
        const int64_t batch = i / g->kv_heads, head = i % g->kv_heads, past = past_of(g, batch);
        float *keys = g->keys + i * g->present * g->depth, *values = g->values + i * g->present * g->depth;
        const int64_t rest = (g->present - past - g->length) * g->depth;
        if (past > 0) {
            memmove(keys, (const float *)c->in[PAST_K]->data + i * g->past * g->depth,
                    (size_t)(past * g->depth) * sizeof *keys);
            memmove(values, (const float *)c->in[PAST_V]->data + i * g->past * g->depth,
                    (size_t)(past * g->depth) * sizeof *keys);
        }
        for (int64_t row = 0; row < g->length; row++) {
            const int64_t first = head + (g->packed ? g->heads : 0);
            turn(g, keys + (past + row) * g->depth, row_at(g, kt, batch, row, g->k_row, first), batch, row);
            memcpy(values + (past + row) * g->depth,
                   row_at(g, vt, batch, row, g->k_row, first + (g->packed ? g->kv_heads : 0)),
                   (size_t)g->depth * sizeof *values);
        }
        memset(keys + (past + g->length) * g->depth, 0, (size_t)rest * sizeof *keys);
        memset(values + (past + g->length) * g->depth, 0, (size_t)rest * sizeof *values);
    }
}

/* Scores of a row that sees places [0, seen) into weights; those outside of the window count nothing. A sink takes a
 * part of the weights that goes nowhere. `all` scores are stored for the row; those from `seen` on belong to rows that
 * come after it. The largest score is taken off before exp(), which then cannot overflow. smooth_softmax is a sink of
 * score 0. */
static void weigh(const grouped *g, float *scores, int64_t batch, int64_t head, int64_t row, int64_t seen, int64_t all)
{
    const ingot_op_ctx *c = g->c;
    const int64_t first = g->window > 0 && seen > g->window ? seen - g->window : 0;
    const bool sink = g->smooth || ingot_has(c, SINK);

    for (int64_t t = first; t < seen && g->softcap > 0; t++)
        scores[t] = g->softcap * tanhf(scores[t] / g->softcap);
    if (ingot_has(c, BIAS)) {
        const ingot_tensor *bias = c->in[BIAS];
        const int64_t b = bias->shape[0] == 1 ? 0 : batch, h = bias->shape[1] == 1 ? 0 : head;
        const float *from = (const float *)bias->data + ((b * bias->shape[1] + h) * g->length + row) * bias->shape[3];
        for (int64_t t = first; t < seen; t++)
            scores[t] += from[t];
    }
    memset(scores, 0, (size_t)first * sizeof *scores);
    memset(scores + seen, 0, (size_t)(all - seen) * sizeof *scores);
    if (!sink) {
        c->kernels->softmax_f32(scores + first, scores + first, seen - first);
        return;
    }
    float most = ingot_has(c, SINK) ? ((const float *)c->in[SINK]->data)[head] : 0.0f, sum;
    const float extra = most;
    for (int64_t t = first; t < seen; t++)
        most = MAX(most, scores[t]);
    sum = expf(extra - most);
    for (int64_t t = first; t < seen; t++)
        sum += scores[t] = expf(scores[t] - most);
    for (int64_t t = first; t < seen; t++)
        scores[t] /= sum;
}

/* Task over (batch, head, block of rows). Scores are Q K' for all rows of the block at once, then each row's weights,
 * then weights times V into Y. The key head is that of the group. */
static void attend(void *argument, int64_t begin, int64_t end, int thread)
{
    const grouped *g = argument;
    const ingot_op_ctx *c = g->c;
    const int64_t parts = (g->length + ROWS - 1) / ROWS, width = g->heads * g->depth;
    const ingot_epilogue nothing = { .act = INGOT_ACT_NONE };
    float *queries = (float *)(void *)ingot_thread_scratch(c, thread), *scores = queries + ROWS * g->depth;

    for (int64_t i = begin; i < end; i++) {
        const int64_t batch = i / parts / g->heads, head = i / parts % g->heads, row = i % parts * ROWS;
        const int64_t rows = MIN(ROWS, g->length - row), past = past_of(g, batch), all = past + row + rows;
        const int64_t cache = (batch * g->kv_heads + head / (g->heads / g->kv_heads)) * g->present * g->depth;
        ingot_gemm p = { .m = rows, .n = all, .k = g->depth, .alpha = g->scale, .a_row = g->depth, .a_col = 1,
                         .ldc = all };
        for (int64_t r = 0; r < rows; r++)
            turn(g, queries + r * g->depth, row_at(g, c->in[Q], batch, row + r, g->q_row, head), batch, row + r);
        c->kernels->gemm_dot_f32(&p, queries, g->keys + cache, g->depth, scores, &nothing, 0, all);
        for (int64_t r = 0; r < rows; r++)
            weigh(g, scores + r * all, batch, head, row + r, past + row + r + 1, all);
        p = (ingot_gemm){ .m = rows, .n = g->depth, .k = all, .alpha = 1, .a_row = all, .a_col = 1, .ldc = width };
        c->kernels->gemm_axpy_f32(&p, scores, g->values + cache, g->depth,
                                  (float *)c->out[Y]->data + (batch * g->length + row) * width + head * g->depth,
                                  &nothing, 0, g->depth);
    }
}

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
static ingot_status run_grouped(ingot_op_ctx *c)
{
    grouped *g = c->state;
    const ingot_status st = check_data(c, g);

    if (st || ingot_count(c->in[Q]) == 0)
        return st;
    g->c = c;
    g->keys = c->n_out > PRESENT_K && c->out[PRESENT_K] ? c->out[PRESENT_K]->data : (void *)c->scratch;
    g->values = c->n_out > PRESENT_V && c->out[PRESENT_V] ? c->out[PRESENT_V]->data
                                                          : (void *)(c->scratch + g->cache_bytes);
    ingot_parallel(c->team, g->batch * g->kv_heads, 1, fill_caches, g);
    ingot_parallel(c->team, g->batch * g->heads * ((g->length + ROWS - 1) / ROWS), 1, attend, g);
    return INGOT_OK;
}

/* the last set of types stands for the inputs after it as well: all are float or integers there */
#define F INGOT_TYPE(FLOAT)

const ingot_op ingot_ops_grouped_attention[] = {
    { "GroupQueryAttention", 1, 1, N_INPUTS, { F, F, F, F, F, F | INGOT_TYPES_INDEX }, infer_grouped, run_grouped,
      .prepare = prepare_grouped, .domain = "com.microsoft" },
    { 0 }
};
