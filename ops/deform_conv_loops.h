/* deform_conv_loops.h - sampling for DeformConv, for one element type: T, and TYPED() which gives names their
 * ending. */

/* The image at (y, x), between pixels by their distances; 0 outside. */
static T TYPED(sample_at)(const T *image, int64_t height, int64_t width, T y, T x)
{
    if (!(y > -1 && y < (T)height && x > -1 && x < (T)width))
        return 0;
    const int64_t top = (int64_t)floor((double)y), left = (int64_t)floor((double)x);
    const T down = y - (T)top, right = x - (T)left;
    T sum = 0;
    for (int i = 0; i < 2; i++)
        for (int j = 0; j < 2; j++) {
            const int64_t row = top + i, column = left + j;
            if (row >= 0 && row < height && column >= 0 && column < width)
                sum += (i ? down : 1 - down) * (j ? right : 1 - right) * image[row * width + column];
        }
    return sum;
}

/* Columns of positions [first, first + n) of an image and a group: to[l][p] for every channel of the group and tap
 * l. */
static void TYPED(sample_columns)(const deformed *d, int64_t image, int64_t group, int64_t first, int64_t n, T *to)
{
    const ingot_window *w = &d->w;
    const int64_t in_pixels = w->in[0] * w->in[1], positions = w->out[0] * w->out[1],
                  taps = w->kernel[0] * w->kernel[1];

    for (int64_t l = 0; l < d->group_channels * taps; l++, to += POSITIONS) {
        const int64_t channel = group * d->group_channels + l / taps, tap = l % taps;
        const int64_t of = (image * d->offset_groups + channel / (d->channels / d->offset_groups)) * taps + tap;
        const T *x = (const T *)d->x + (image * d->channels + channel) * in_pixels;
        const T *offset = (const T *)d->offset + 2 * of * positions,
                *mask = d->mask ? (const T *)d->mask + of * positions : NULL;
        for (int64_t p = 0; p < n; p++) {
            const int64_t at = first + p;
            const T y = (T)(at / w->out[1] * w->stride[0] - w->pad_begin[0] + tap / w->kernel[1] * w->dilation[0]);
            const T z = (T)(at % w->out[1] * w->stride[1] - w->pad_begin[1] + tap % w->kernel[1] * w->dilation[1]);
            const T value = TYPED(sample_at)(x, w->in[0], w->in[1], y + offset[at], z + offset[positions + at]);
            to[p] = mask ? mask[at] * value : value;
        }
    }
}

/* y[o][p] = bias + sum w[o][l] columns[l][p] */
static void TYPED(multiply_columns)(const deformed *d, int64_t image, int64_t group, int64_t first, int64_t n,
                                    const T *columns)
{
    const int64_t positions = d->w.out[0] * d->w.out[1], depth = d->group_channels * d->w.kernel[0] * d->w.kernel[1];

    for (int64_t o = 0; o < d->group_outputs; o++) {
        const int64_t output = group * d->group_outputs + o;
        const T *weight = (const T *)d->weights + output * depth;
        T *y = (T *)d->y + (image * d->outputs + output) * positions + first;
        T sum[POSITIONS];
        for (int64_t p = 0; p < n; p++)
            sum[p] = d->bias ? ((const T *)d->bias)[output] : 0;
        for (int64_t l = 0; l < depth; l++)
            for (int64_t p = 0; p < n; p++)
                sum[p] += weight[l] * columns[l * POSITIONS + p];
        for (int64_t p = 0; p < n; p++)
            y[p] = sum[p];
    }
}
