/* resize_loops.h - interpolation along one axis for one element type: T, and TYPED() which gives names their ending. */

/* One axis inside of all moving ones: every output gathers its inputs. */
static void TYPED(resize_row)(const ingot_resize_axis *axis, const T *src, T *dst)
{
    const int64_t taps = axis->taps, *index = axis->index;
    const T *weight = axis->TYPED(weight);

    if (taps == 2) {
        for (int64_t o = 0; o < axis->out; o++)
            dst[o] = weight[2 * o] * src[index[2 * o]] + weight[2 * o + 1] * src[index[2 * o + 1]];
        return;
    }
    for (int64_t o = 0; o < axis->out; o++, index += taps, weight += taps) {
        T sum = 0;
        for (int64_t k = 0; k < taps; k++)
            sum += weight[k] * src[index[k]];
        dst[o] = sum;
    }
}

/* All passes over one item; `spare` are two buffers for what lies between them. */
static void TYPED(resize_item)(const resize_state *s, const T *src, T *dst, T *const spare[2])
{
    int64_t shape[INGOT_MAX_RANK];

    for (int a = 0; a < s->n_axes; a++)
        shape[a] = s->axes[a].in;
    for (int p = 0; p < s->n_passes; p++) {
        const ingot_resize_axis *axis = &s->axes[s->pass[p]];
        T *to = p == s->n_passes - 1 ? dst : spare[p % 2];
        int64_t outer = 1, inner = s->inner;
        for (int a = 0; a < s->n_axes; a++) {
            outer *= a < s->pass[p] ? shape[a] : 1;
            inner *= a > s->pass[p] ? shape[a] : 1;
        }
        for (int64_t i = 0; i < outer; i++) {
            const T *from = src + i * axis->in * inner;
            if (inner == 1)
                TYPED(resize_row)(axis, from, to + i * axis->out);
            else
                TYPED(resize_rows)(s, axis, from, to + i * axis->out * inner, inner);
        }
        shape[s->pass[p]] = axis->out;
        src = to;
    }
}
