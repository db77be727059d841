/* linear_attention_loops.h - LinearAttention and CausalConvWithState for one element type: T, EXP() for it, and
 * TYPED(), which gives names their ending. */

/* One place of one key head: S = exp(decay) S, then S += beta k (v - k' S) in the delta rules, or k v without them.
 * `lacks` holds v_depth floats: the value, less what the decayed state already gives for the key. */
static void TYPED(update)(const recurrence *r, int64_t place, int64_t head, T *state, T *lacks)
{
    const T *key = (const T *)r->key + (place * r->kv_heads + head) * r->depth;
    const T *value = (const T *)r->value + (place * r->kv_heads + head) * r->v_depth;
    const int64_t decay_step = r->n_decay == r->kv_heads ? 0 : 1;
    const T *decay =
        r->decay ? (const T *)r->decay + place * r->n_decay + head * (decay_step ? r->depth : 1) : NULL;
    const T beta = r->beta ? ((const T *)r->beta)[place * r->n_beta + (r->n_beta == 1 ? 0 : head)] : 1;

    /* What the state lacks: the value, less what the decayed state gives for the key. */
    for (int64_t m = 0; m < r->v_depth; m++)
        lacks[m] = value[m];
    for (int64_t d = 0; d < r->depth; d++) {
        T *row = state + d * r->v_depth;
        const T keeps = decay ? EXP(decay[d * decay_step]) : 1, k = r->beta ? key[d] : 0;
        for (int64_t m = 0; m < r->v_depth; m++) {
            row[m] *= keeps;
            lacks[m] -= k * row[m];
        }
    }
    for (int64_t d = 0; d < r->depth; d++) {
        T *row = state + d * r->v_depth;
        const T k = key[d] * beta;
        for (int64_t m = 0; m < r->v_depth; m++)
            row[m] += k * lacks[m];
    }
}

/* Y of one head at one place = scale * q^T S, with S (depth, v_depth). Heads of one group read the same state. */
static void TYPED(read_state)(const recurrence *r, int64_t place, int64_t head, const T *state)
{
    const T *query = (const T *)r->query + (place * r->heads + head) * r->depth;
    T *y = (T *)r->y + (place * r->heads + head) * r->v_depth;

    for (int64_t m = 0; m < r->v_depth; m++)
        y[m] = 0;
    for (int64_t d = 0; d < r->depth; d++)
        for (int64_t m = 0; m < r->v_depth; m++)
            y[m] += query[d] * state[d * r->v_depth + m];
    for (int64_t m = 0; m < r->v_depth; m++)
        y[m] *= (T)r->scale;
}

/* Task over key heads of all sequences. Places follow each other, since each one's state comes from the one before;
 * a place is read after it has been written. */
static void TYPED(recur)(void *argument, int64_t begin, int64_t end, int thread)
{
    const recurrence *r = argument;
    T *lacks = (T *)(void *)ingot_thread_scratch(r->ctx, thread);
    const int64_t group = r->heads / r->kv_heads;

    for (int64_t item = begin; item < end; item++) {
        /* The state of one head stays in the cache while all places go by. */
        const int64_t sequence = item / r->kv_heads, head = item % r->kv_heads;
        T *state = (T *)r->state + item * r->depth * r->v_depth;
        for (int64_t i = 0; i < r->length; i++) {
            const int64_t place = sequence * r->length + i;
            TYPED(update)(r, place, head, state, lacks);
            for (int64_t g = 0; g < group; g++)
                TYPED(read_state)(r, place, head * group + g, state);
        }
    }
}

/* Element i of a line that has its state in front: i may be as low as 1 - taps. Without a past state it is 0 there. */
static T TYPED(element)(const causal *v, int64_t line, int64_t i)
{
    if (i >= 0)
        return ((const T *)v->x)[line * v->length + i];
    return v->past ? ((const T *)v->past)[line * (v->taps - 1) + v->taps - 1 + i] : 0;
}

/* Task over (image, channel) lines; positions before the first come from past_state or are 0. */
static void TYPED(convolve_lines)(void *argument, int64_t begin, int64_t end, int thread)
{
    const causal *v = argument;
    T *y = v->y, *state = v->state;

    (void)thread;
    for (int64_t line = begin; line < end; line++) {
        const T *weight = (const T *)v->weight + line % v->channels * v->taps;
        const T bias = v->bias ? ((const T *)v->bias)[line % v->channels] : 0;
        for (int64_t i = 0; i < v->length && y; i++) {
            T sum = bias;
            for (int64_t t = 0; t < v->taps; t++)
                sum += weight[t] * TYPED(element)(v, line, i - (v->taps - 1) + t);
            y[line * v->length + i] = v->silu ? sum / (1 + EXP(-sum)) : sum;
        }
        for (int64_t i = 0; i < v->taps - 1 && state; i++)
            state[line * (v->taps - 1) + i] = TYPED(element)(v, line, v->length - (v->taps - 1) + i);
    }
}
