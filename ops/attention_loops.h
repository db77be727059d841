/* attention_loops.h - what happens to a row of attention scores, for one element type: T, and TYPED(). */

/* Add the mask to scores [low, high); returns whether any of them may be attended to. */
static bool TYPED(add_mask)(const ingot_attention *a, int64_t at, T *score, int64_t low, int64_t high)
{
    bool any = false;

    if (!a->mask)
        return low < high;
    if (a->mask->dtype == INGOT_BOOL) {
        const uint8_t *mask = (const uint8_t *)a->mask->data + at;
        for (int64_t j = low; j < high; j++) {
            score[j] = mask[j] ? score[j] : -(T)INFINITY;
            any |= mask[j] != 0;
        }
    } else if (a->mask->dtype == a->dtype) {
        const T *mask = (const T *)a->mask->data + at;
        for (int64_t j = low; j < high; j++) {
            score[j] += mask[j];
            any |= mask[j] != -(T)INFINITY;
        }
    } else {
        for (int64_t j = low; j < high; j++) {
            const T mask = (T)ingot_double_at(a->mask, at + j);
            score[j] += mask;
            any |= mask != -(T)INFINITY;
        }
    }
    return any;
}

static void TYPED(show)(const ingot_attention *a, ingot_scores what, int64_t row, const T *score)
{
    if (a->scores && a->shown == what && a->stage == INGOT_STAGE_ALL)
        memcpy((T *)a->scores + row * a->keys, score, (size_t)a->keys * sizeof(T));
}

/* Softmax in another precision than T. */
static void TYPED(rounded_softmax)(const ingot_attention *a, T *score, int64_t low, int64_t high)
{
    double largest = -INFINITY, sum = 0;

    for (int64_t j = low; j < high; j++) {
        score[j] = (T)round_to(a->precision, (double)score[j]);
        largest = MAX(largest, (double)score[j]);
    }
    for (int64_t j = low; j < high; j++)
        sum += exp((double)score[j] - largest);
    for (int64_t j = low; j < high; j++)
        score[j] = (T)round_to(a->precision, exp((double)score[j] - largest) / sum);
}

/* softcap tanh(score / softcap), each of the three steps rounded where T stands for a narrow type. */
static void TYPED(cap)(const ingot_attention *a, T *score)
{
    for (int64_t j = 0; j < a->keys; j++)
        score[j] = (T)round_to(a->narrow, (double)score[j] / a->softcap);
    for (int64_t j = 0; j < a->keys; j++)
        score[j] = (T)round_to(a->narrow, tanh((double)score[j]));
    for (int64_t j = 0; j < a->keys; j++)
        score[j] = (T)round_to(a->narrow, a->softcap * (double)score[j]);
}

/* From scores to weights. `row` counts through batches, heads and queries. */
static void TYPED(finish_row)(const ingot_kernels *kernels, const ingot_attention *a, int64_t row, T *score)
{
    const int64_t query = row % a->queries, head = row / a->queries % a->heads, batch = row / a->queries / a->heads;
    const int64_t mask_at = batch * a->mask_at.batch + head * a->mask_at.head + query * a->mask_at.row;
    int64_t low, high;

    attended(a, batch, query, &low, &high);
    TYPED(narrow_row)(kernels, a, score, a->scores ? a->keys : high);
    TYPED(show)(a, INGOT_SCORES_RAW, row, score);
    if (a->softcap > 0)
        TYPED(cap)(a, score);
    TYPED(show)(a, INGOT_SCORES_CAPPED, row, score);
    for (int64_t j = 0; j < low; j++)
        score[j] = -(T)INFINITY;
    for (int64_t j = high; j < a->keys; j++)
        score[j] = -(T)INFINITY;
    const bool any = TYPED(add_mask)(a, mask_at, score, low, high);
    if (a->mask)
        TYPED(narrow_row)(kernels, a, score + low, high - low);
    TYPED(show)(a, INGOT_SCORES_BIASED, row, score);
    if (!any)
        low = high = 0;
    for (int64_t j = 0; j < low; j++)
        score[j] = 0;
    for (int64_t j = high; j < a->keys; j++)
        score[j] = 0;
    if (a->precision != INGOT_UNDEFINED && a->precision != a->dtype && any)
        TYPED(rounded_softmax)(a, score, low, high);
    else if (any)
        TYPED(softmax_row)(kernels, a, score + low, high - low);
    TYPED(narrow_row)(kernels, a, score + low, high - low);
    TYPED(show)(a, INGOT_SCORES_SOFTMAX, row, score);
}
