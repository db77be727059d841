/* grouped_attention_loops.h - the arithmetic of GroupQueryAttention for one element type: T, MATH() for its functions,
 * and TYPED(), which gives names their ending. TYPED(dot), TYPED(mix) and TYPED(softmax) are the includer's. */

/* A head's row, turned by its place: pairs of elements of both halves of what the caches know, or neighbours
 * (rotary_interleaved). Elements past the pairs stay as they are. Without do_rotary this is a copy. Source: Su et al.,
 * RoFormer, 2021. */
static void TYPED(turn)(const grouped *g, T *to, const T *from, int64_t batch, int64_t row)
{
    memcpy(to, from, (size_t)g->depth * sizeof *to);
    if (!g->rotary)
        return;
    const int64_t pairs = g->c->in[COSINE]->shape[1], place = place_of(g, batch, row);
    const T *cosine = (const T *)g->c->in[COSINE]->data + place * pairs;
    const T *sine = (const T *)g->c->in[SINE]->data + place * pairs;
    for (int64_t i = 0; i < pairs; i++) {
        const int64_t a = g->interleaved ? 2 * i : i, b = g->interleaved ? 2 * i + 1 : i + pairs;
        to[a] = from[a] * cosine[i] - from[b] * sine[i];
        to[b] = from[a] * sine[i] + from[b] * cosine[i];
    }
}

/* Row `row` of a head: `first` is that of the head in a row of the tensor. `width` is the length of a row of the
 * tensor, in elements. */
static const T *TYPED(row_at)(const grouped *g, const ingot_tensor *t, int64_t batch, int64_t row, int64_t width,
                              int64_t first)
{
    return (const T *)t->data + (batch * g->length + row) * width + first * g->depth;
}

/* Task over (batch, heads of keys): the past, then this run's rows, then zeros. memmove(), because the present may lie
 * in the memory of the past. */
static void TYPED(fill_caches)(void *argument, int64_t begin, int64_t end, int thread)
{
    const grouped *g = argument;
    const ingot_op_ctx *c = g->c;
    const ingot_tensor *kt = g->packed ? c->in[Q] : c->in[K], *vt = g->packed ? c->in[Q] : c->in[V];

    (void)thread;
    for (int64_t i = begin; i < end; i++) {
        const int64_t batch = i / g->kv_heads, head = i % g->kv_heads, past = past_of(g, batch);
        T *keys = (T *)g->keys + i * g->present * g->depth, *values = (T *)g->values + i * g->present * g->depth;
        const int64_t rest = (g->present - past - g->length) * g->depth;
        if (past > 0) {
            memmove(keys, (const T *)c->in[PAST_K]->data + i * g->past * g->depth,
                    (size_t)(past * g->depth) * sizeof *keys);
            memmove(values, (const T *)c->in[PAST_V]->data + i * g->past * g->depth,
                    (size_t)(past * g->depth) * sizeof *keys);
        }
        for (int64_t row = 0; row < g->length; row++) {
            const int64_t first = head + (g->packed ? g->heads : 0);
            TYPED(turn)(g, keys + (past + row) * g->depth, TYPED(row_at)(g, kt, batch, row, g->k_row, first), batch,
                        row);
            memcpy(values + (past + row) * g->depth,
                   TYPED(row_at)(g, vt, batch, row, g->k_row, first + (g->packed ? g->kv_heads : 0)),
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
static void TYPED(weigh)(const grouped *g, T *scores, int64_t batch, int64_t head, int64_t row, int64_t seen,
                         int64_t all)
{
    const ingot_op_ctx *c = g->c;
    const int64_t first = g->window > 0 && seen > g->window ? seen - g->window : 0;

    for (int64_t t = first; t < seen && g->softcap > 0; t++)
        scores[t] = (T)g->softcap * MATH(tanh)(scores[t] / (T)g->softcap);
    if (ingot_has(c, BIAS)) {
        const ingot_tensor *bias = c->in[BIAS];
        const int64_t b = bias->shape[0] == 1 ? 0 : batch, h = bias->shape[1] == 1 ? 0 : head;
        const T *from = (const T *)bias->data + ((b * bias->shape[1] + h) * g->length + row) * bias->shape[3];
        for (int64_t t = first; t < seen; t++)
            scores[t] += from[t];
    }
    memset(scores, 0, (size_t)first * sizeof *scores);
    memset(scores + seen, 0, (size_t)(all - seen) * sizeof *scores);
    if (!g->smooth && !ingot_has(c, SINK)) {
        TYPED(softmax)(c, scores + first, seen - first);
        return;
    }
    const T extra = ingot_has(c, SINK) ? ((const T *)c->in[SINK]->data)[head] : 0;
    T most = extra;
    for (int64_t t = first; t < seen; t++)
        most = MAX(most, scores[t]);
    T sum = MATH(exp)(extra - most);
    for (int64_t t = first; t < seen; t++)
        sum += scores[t] = MATH(exp)(scores[t] - most);
    for (int64_t t = first; t < seen; t++)
        scores[t] /= sum;
}

/* Task over (batch, head, block of rows). Scores are Q K' for all rows of the block at once, then each row's weights,
 * then weights times V into Y. The key head is that of the group. */
static void TYPED(attend)(void *argument, int64_t begin, int64_t end, int thread)
{
    const grouped *g = argument;
    const ingot_op_ctx *c = g->c;
    const int64_t parts = (g->length + ROWS - 1) / ROWS, width = g->heads * g->depth;
    T *queries = (T *)(void *)ingot_thread_scratch(c, thread), *scores = queries + ROWS * g->depth;

    for (int64_t i = begin; i < end; i++) {
        const int64_t batch = i / parts / g->heads, head = i / parts % g->heads, row = i % parts * ROWS;
        const int64_t rows = MIN(ROWS, g->length - row), past = past_of(g, batch), all = past + row + rows;
        const int64_t cache = (batch * g->kv_heads + head / (g->heads / g->kv_heads)) * g->present * g->depth;
        for (int64_t r = 0; r < rows; r++)
            TYPED(turn)(g, queries + r * g->depth, TYPED(row_at)(g, c->in[Q], batch, row + r, g->q_row, head), batch,
                        row + r);
        TYPED(dot)(g, rows, all, queries, (const T *)g->keys + cache, scores);
        for (int64_t r = 0; r < rows; r++)
            TYPED(weigh)(g, scores + r * all, batch, head, row + r, past + row + r + 1, all);
        TYPED(mix)(g, rows, all, scores, (const T *)g->values + cache,
                   (T *)c->out[Y]->data + (batch * g->length + row) * width + head * g->depth);
    }
}
