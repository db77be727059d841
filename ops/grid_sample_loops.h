/* grid_sample_loops.h - GridSample for one element type: T, WEIGHT that multiplies it, and TYPED() which gives names
 * their ending. */

/* Positions [first, first + n) of image `image`, all channels: sums of taps. */
static void TYPED(sample)(const sampler *s, const tap *taps, const int *n_taps, int64_t image, int64_t first, int64_t n)
{
    for (int64_t channel = 0; channel < s->channels; channel++) {
        const T *x = (const T *)s->x + (image * s->channels + channel) * s->pixels;
        T *y = (T *)s->y + (image * s->channels + channel) * s->positions + first;
        for (int64_t p = 0; p < n; p++) {
            const tap *t = taps + p * s->most_taps;
            T sum = 0;
            for (int i = 0; i < n_taps[p]; i++)
                sum += (WEIGHT)t[i].weight * x[t[i].offset];
            y[p] = sum;
        }
    }
}
