/* conv_ready.c - what a convolution that only mixes channels reads, made ready: pixels that a stride leaves, patches of
 * a row-major image as channels, or what a normalization and an activation make of the source. */
#include "ops/kernels/conv_ready.h"
#include "ops/kernels/conv_end.h"

/* Pixels of a blocked source, or patches of a row-major one which fill blocks: weights are then packed as if they were
 * channels. */
int64_t INGOT_FN(conv_mix_scratch_f32)(const ingot_conv *d)
{
    const ingot_conv ready = ready_conv(d);
    bool fits = d->groups == 1 && (!d->plain_src || (ready.ic > d->ic && ready.ic % BLOCK == 0));

    for (int i = 0; i < 3; i++) {
        const bool patches = d->plain_src && d->kernel[i] <= d->stride[i] && d->dilation[i] == 1;
        fits &= d->pad[i] == 0 && (d->out[i] - 1) * d->stride[i] + d->kernel[i] <= d->in[i] &&
                (d->kernel[i] == 1 || patches);
    }
    if (!fits)
        return 0;

    const conv_shape s = INGOT_FN(conv_shape_of)(&ready, NULL);
    return s.ic_blocks * ready_plane(&s);
}

int64_t INGOT_FN(conv_mix_items_f32)(const ingot_conv *d)
{
    const ingot_conv ready = ready_conv(d);
    return INGOT_FN(conv_place_items)(&ready, NULL);
}

/* Pixels [from, to) of the outputs, in one channel block, row by row. */
static void collect_pixels(const ingot_conv *d, float *dst, const float *src, int64_t from, int64_t to)
{
    const int64_t step = d->stride[2] * BLOCK;

    while (from < to) {
        const int64_t row = from / d->out[2], x = from % d->out[2], n = min64(to - from, d->out[2] - x);
        const int64_t in_row = row / d->out[1] * d->stride[0] * d->in[1] + row % d->out[1] * d->stride[1];
        const float *pixel = src + in_row * d->in[2] * BLOCK + x * step;

        for (int64_t i = 0; i < n; i++, pixel += step, dst += BLOCK)
            vf8_store(dst, vf8_load(pixel));
        from += n;
    }
}

/* `count` numbers of n neighbouring patches, `step` apart, to the channels from `to` on. */
INGOT_INLINE void copy_runs(float *to, const float *src, ptrdiff_t step, int64_t n, int count)
{
    for (int64_t i = 0; i < n; i++, src += step, to += BLOCK)
        for (int c = 0; c < count; c++)
            to[c] = src[c];
}

/* Patches [from, to) of a row-major source: each row of a patch is some channels of the output's pixel. */
static void collect_patches(const ingot_conv *d, float *dst, ptrdiff_t plane, const float *src, int64_t from,
                            int64_t to)
{
    const int64_t rows = d->ic * d->kernel[0] * d->kernel[1], width = d->kernel[2], step = d->stride[2];

    while (from < to) {
        const int64_t row = from / d->out[2], x = from % d->out[2], n = min64(to - from, d->out[2] - x);
        const int64_t z = row / d->out[1] * d->stride[0], y = row % d->out[1] * d->stride[1];

        for (int64_t r = 0; r < rows; r++) {
            const int64_t tap_y = r % d->kernel[1], tap_z = r / d->kernel[1] % d->kernel[0];
            const int64_t channel = r / d->kernel[1] / d->kernel[0];
            const float *at = src + ((channel * d->in[0] + z + tap_z) * d->in[1] + y + tap_y) * d->in[2] + x * step;

            for (int64_t k = 0; k < width;) {
                const int64_t c = r * width + k, count = min64(width - k, BLOCK - c % BLOCK);
                float *block = dst + c / BLOCK * plane + c % BLOCK;

                if (count == BLOCK)
                    copy_runs(block, at + k, step, n, BLOCK);
                else if (count == BLOCK / 2)
                    copy_runs(block, at + k, step, n, BLOCK / 2);
                else
                    copy_runs(block, at + k, step, n, (int)count);
                k += count;
            }
        }
        dst += n * BLOCK;
        from += n;
    }
}

/* n pixels of a channel block, normalized and clipped; dst may be src. */
static void normalize_pixels(float *dst, const float *src, int64_t n, const float *p, float low, float high)
{
    const vf8 sub = vf8_load(p), mul = vf8_load(p + BLOCK), add = vf8_load(p + 2 * BLOCK);
    const vf8 least = vf8_set1(low), most = vf8_set1(high);

    for (int64_t i = 0; i < n * BLOCK; i += BLOCK) {
        const vf8 x = vf8_fma(vf8_sub(vf8_load(src + i), sub), mul, add);
        vf8_store(dst + i, vf8_min(most, vf8_max(least, x)));
    }
}

void INGOT_FN(conv_make_ready)(const ingot_conv *d, const ingot_prologue *first, const conv_shape *s, float *dst,
                               const float *src, int64_t from, int64_t to)
{
    const int64_t plane = d->in[0] * d->in[1] * d->in[2] * BLOCK, n = to - from;
    const bool moves = !first || plane != s->in_plane;
    float low = 0, high = 0;

    if (d->plain_src) {
        collect_patches(d, dst, ready_plane(s), src, from, to);
        return;
    }
    if (first)
        clip_range(&first->act, &low, &high);
    for (int64_t b = 0; b < s->ic_blocks; b++, src += plane, dst += ready_plane(s)) {
        if (moves)
            collect_pixels(d, dst, src, from, to);
        if (first)
            normalize_pixels(dst, moves ? dst : src + from * BLOCK, n, first->parameters + 3 * BLOCK * b, low, high);
        if (first && act_follows(&first->act))
            INGOT_FN(act_rows_f32)(dst, 0, 1, n * BLOCK, &first->act);
    }
}
