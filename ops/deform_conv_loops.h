/* deform_conv_loops.h - sampling for DeformConv, for one element type: T, and TYPED() which gives names their
 * ending. */

/* The four pixels around a place and their weights, with the mask in them. A pixel outside has weight 0. */
typedef struct TYPED(place) {
    int64_t at[4];
    T weight[4];
} TYPED(place);

static void TYPED(find_place)(const ingot_window *w, T y, T x, T mask, TYPED(place) *place)
{
    const bool inside = y > -1 && y < (T)w->in[0] && x > -1 && x < (T)w->in[1];
    const int64_t top = inside ? (int64_t)floor((double)y) : 0, left = inside ? (int64_t)floor((double)x) : 0;
    const T down = y - (T)top, right = x - (T)left;

    for (int i = 0; i < 4; i++) {
        const int64_t row = top + i / 2, column = left + i % 2;
        const bool within = inside && row >= 0 && row < w->in[0] && column >= 0 && column < w->in[1];
        place->at[i] = MIN(MAX(row, 0), w->in[0] - 1) * w->in[1] + MIN(MAX(column, 0), w->in[1] - 1);
        place->weight[i] = within ? mask * (i / 2 ? down : 1 - down) * (i % 2 ? right : 1 - right) : 0;
    }
}

/* Places of all taps for positions [first, first + n) of an offset group: [tap][POSITIONS]. */
static void TYPED(find_places)(const deformed *d, int64_t map, int64_t first, int64_t n, TYPED(place) *places)
{
    const ingot_window *w = &d->w;
    const int64_t positions = w->out[0] * w->out[1], taps = w->kernel[0] * w->kernel[1];

    for (int64_t tap = 0; tap < taps; tap++, places += POSITIONS) {
        const T *offset = (const T *)d->offset + 2 * (map * taps + tap) * positions;
        const T *mask = d->mask ? (const T *)d->mask + (map * taps + tap) * positions : NULL;
        for (int64_t p = 0; p < n; p++) {
            const int64_t at = first + p;
            const int64_t y = at / w->out[1] * w->stride[0] - w->pad_begin[0] + tap / w->kernel[1] * w->dilation[0];
            const int64_t x = at % w->out[1] * w->stride[1] - w->pad_begin[1] + tap % w->kernel[1] * w->dilation[1];
            TYPED(find_place)(w, (T)y + offset[at], (T)x + offset[positions + at], mask ? mask[at] : 1, &places[p]);
        }
    }
}

/* Columns of positions [first, first + n) of an image and a group: to[l][p] for each of its channels and taps. */
static void TYPED(sample_columns)(const deformed *d, int64_t image, int64_t group, int64_t first, int64_t n, T *to,
                                  TYPED(place) *places)
{
    const int64_t pixels = d->w.in[0] * d->w.in[1], taps = d->w.kernel[0] * d->w.kernel[1];
    int64_t placed = -1;                 /* offset group that the places are those of */

    for (int64_t i = 0; i < d->group_channels; i++) {
        const int64_t channel = group * d->group_channels + i, map = channel / (d->channels / d->offset_groups);
        const T *x = (const T *)d->x + (image * d->channels + channel) * pixels;
        if (map != placed)
            TYPED(find_places)(d, image * d->offset_groups + map, first, n, places);
        placed = map;
        for (int64_t tap = 0; tap < taps; tap++, to += POSITIONS)
            for (int64_t p = 0; p < n; p++) {
                const TYPED(place) *at = &places[tap * POSITIONS + p];
                to[p] = at->weight[0] * x[at->at[0]] + at->weight[1] * x[at->at[1]] + at->weight[2] * x[at->at[2]] +
                        at->weight[3] * x[at->at[3]];
            }
    }
}
