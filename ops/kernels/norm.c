/* norm.c - what normalizations are made of: moments of a strip, and scale and shift. Sums are taken in vectors over
 * chunks of some thousand elements and added up in double, so that long strips lose nothing. */
#include <math.h>

#include "ops/kernels/isa.h"

enum { CHUNK = 64 * VF32_LANES };

/* Sum of (src - shift)^2 (square), or of src - shift, over one chunk. */
INGOT_INLINE double chunk_sum(const float *src, int64_t n, float shift, bool square)
{
    static const float ones[] = { 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1 };
    const vf32 shifts = vf32_set1(shift);
    vf32 sum = vf32_zero(), sum2 = vf32_zero();
    int64_t i = 0;

    for (; i + 2 * VF32_LANES <= n; i += 2 * VF32_LANES) {
        const vf32 a = vf32_sub(vf32_load(src + i), shifts), b = vf32_sub(vf32_load(src + i + VF32_LANES), shifts);
        sum = square ? vf32_fma(a, a, sum) : vf32_add(sum, a);
        sum2 = square ? vf32_fma(b, b, sum2) : vf32_add(sum2, b);
    }
    if (i + VF32_LANES <= n) {
        const vf32 a = vf32_sub(vf32_load(src + i), shifts);
        sum = square ? vf32_fma(a, a, sum) : vf32_add(sum, a);
        i += VF32_LANES;
    }
    if (i < n) {    /* lanes past the end: 0 - 0 */
        const size_t rest = (size_t)(n - i);
        const vf32 a = vf32_sub(vf32_load_n(src + i, rest), vf32_mul(vf32_load_n(ones, rest), shifts));
        sum2 = square ? vf32_fma(a, a, sum2) : vf32_add(sum2, a);
    }
    return (double)vf32_hsum(vf32_add(sum, sum2));
}

/* The same over any number of elements. */
INGOT_INLINE double strip_sum(const float *src, int64_t n, float shift, bool square)
{
    double sum = 0;

    for (int64_t i = 0; i < n; i += CHUNK)
        sum += chunk_sum(src + i, n - i < CHUNK ? n - i : CHUNK, shift, square);
    return sum;
}

/* The variance where the mean is known. */
INGOT_INLINE double variance_about(const float *src, int64_t n, double mean)
{
    const double off = mean - (double)(float)mean;
    const double variance = strip_sum(src, n, (float)mean, true) / (double)(n > 0 ? n : 1) - off * off;

    return variance < 0 ? 0 : variance;
}

/* The mean first, about the first element: neither sums nor squares lose anything to a mean that is large beside the
 * deviation. */
void INGOT_FN(moments_f32)(const float *src, int64_t n, double *mean, double *variance)
{
    const float first = n > 0 ? src[0] : 0.0f;

    *mean = (double)first + strip_sum(src, n, first, false) / (double)(n > 0 ? n : 1);
    *variance = variance_about(src, n, *mean);
}

/* What RMS normalization divides by, before the mean and the root. */
double INGOT_FN(sum_squares_f32)(const float *src, int64_t n) { return strip_sum(src, n, 0.0f, true); }

/* (x - sub) mul + add with one number each for the whole strip. */
void INGOT_FN(scale_shift_f32)(float *dst, const float *src, int64_t n, float sub, float mul, float add)
{
    const vf32 s = vf32_set1(sub), m = vf32_set1(mul), a = vf32_set1(add);
    int64_t i = 0;

    for (; i + VF32_LANES <= n; i += VF32_LANES)
        vf32_store(dst + i, vf32_fma(vf32_sub(vf32_load(src + i), s), m, a));
    if (i < n)
        vf32_store_n(dst + i, vf32_fma(vf32_sub(vf32_load_n(src + i, (size_t)(n - i)), s), m, a), (size_t)(n - i));
}

/* The same for n pixels of a block, with numbers for each of its channels. */
void INGOT_FN(scale_shift_blocked_f32)(float *dst, const float *src, int64_t n, const float *sub, const float *mul,
                                       const float *add)
{
    const vf8 s = vf8_load(sub), m = vf8_load(mul), a = vf8_load(add);

    for (int64_t i = 0; i < n; i++)
        vf8_store(dst + 8 * i, vf8_fma(vf8_sub(vf8_load(src + 8 * i), s), m, a));
}

/* Channels of the block from channel c on. */
INGOT_INLINE vf8 load_channels(const float *p, int64_t c, int64_t channels)
{
    return channels - c >= 8 ? vf8_load(p + c) : vf8_load_n(p + c, (size_t)(channels - c));
}

/* What a few neighbouring pixels need of their channels; lanes past the last channel count as 0. */
typedef struct pixels {
    const float *src;
    float *dst;
    int64_t channels, stride;            /* stride: from block to block */
} pixels;

/* Per pixel of `count` <= 8: the sum over all channels of x - shift, or of its square. */
INGOT_INLINE vf8 sum_channels(const pixels *p, const float *shift, int count, bool square)
{
    static const float ones[8] = { 1, 1, 1, 1, 1, 1, 1, 1 };
    vf8 sum[8];

    INGOT_UNROLL
    for (int i = 0; i < 8; i++)
        sum[i] = vf8_zero();
    for (int64_t c = 0; c < p->channels; c += 8) {
        const float *at = p->src + c / 8 * p->stride;
        /* lanes past the last channel are multiplied by 0, as they may hold anything finite */
        const bool whole = p->channels - c >= 8;
        const vf8 lanes = whole ? vf8_load(ones) : vf8_load_n(ones, (size_t)(p->channels - c));

        for (int i = 0; i < count; i++) {
            vf8 x = vf8_sub(vf8_load(at + 8 * i), vf8_set1(shift[i]));
            if (!whole)
                x = vf8_mul(x, lanes);
            sum[i] = square ? vf8_fma(x, x, sum[i]) : vf8_add(sum[i], x);
        }
    }
    /* from sums of a pixel's lanes to one vector with a lane for each pixel */
    vf8_transpose(sum);
    return vf8_add(vf8_add(vf8_add(sum[0], sum[1]), vf8_add(sum[2], sum[3])),
                   vf8_add(vf8_add(sum[4], sum[5]), vf8_add(sum[6], sum[7])));
}

/* All channels of `count` <= 8 neighbouring pixels, in three passes that stay in the first-level cache. */
INGOT_INLINE void norm_pixels(const pixels *p, int count, float epsilon, const float *scale, const float *add)
{
    const vf8 share = vf8_set1(1.0f / (float)p->channels), zero = vf8_zero();
    float mean[8] = { 0 }, factor[8];

    vf8_store(mean, vf8_mul(sum_channels(p, mean, count, false), share));
    const vf8 variance = vf8_mul(sum_channels(p, mean, count, true), share);
    vf8_store(factor, vf8_div(vf8_set1(1.0f), vf8_sqrt(vf8_add(variance, vf8_set1(epsilon)))));
    for (int64_t c = 0; c < p->channels; c += 8) {
        const vf8 s = load_channels(scale, c, p->channels), a = add ? load_channels(add, c, p->channels) : zero;

        for (int i = 0; i < count; i++) {
            const ptrdiff_t at = c / 8 * p->stride + 8 * i;
            const vf8 x = vf8_mul(vf8_sub(vf8_load(p->src + at), vf8_set1(mean[i])), vf8_set1(factor[i]));
            vf8_store(p->dst + at, vf8_fma(x, s, a));
        }
    }
}

/* Eight pixels at a time, so that sums over channels become one vector of eight sums. */
void INGOT_FN(norm_channels_f32)(float *dst, const float *src, int64_t channels, int64_t n_pixels, int64_t p0,
                                 int64_t p1, float epsilon, const float *scale, const float *add)
{
    for (int64_t i = p0; i < p1; i += 8) {
        const pixels p = { src + 8 * i, dst + 8 * i, channels, 8 * n_pixels };

        if (p1 - i >= 8)
            norm_pixels(&p, 8, epsilon, scale, add);
        else
            norm_pixels(&p, (int)(p1 - i), epsilon, scale, add);
    }
}

/* (x - sub) mul, then scale and shift by numbers for each element; add may be NULL. */
INGOT_INLINE void scale_row(float *dst, const float *src, int64_t n, float sub, float mul, const float *scale,
                            const float *add)
{
    const vf32 s = vf32_set1(sub), m = vf32_set1(mul);
    int64_t i = 0;

    for (; i + VF32_LANES <= n; i += VF32_LANES) {
        const vf32 x = vf32_mul(vf32_sub(vf32_load(src + i), s), m);
        vf32_store(dst + i, vf32_fma(x, vf32_load(scale + i), add ? vf32_load(add + i) : vf32_zero()));
    }
    if (i < n) {
        const size_t count = (size_t)(n - i);
        const vf32 x = vf32_mul(vf32_sub(vf32_load_n(src + i, count), s), m);
        const vf32 a = add ? vf32_load_n(add + i, count) : vf32_zero();
        vf32_store_n(dst + i, vf32_fma(x, vf32_load_n(scale + i, count), a), count);
    }
}

void INGOT_FN(scale_row_f32)(float *dst, const float *src, int64_t n, float sub, float mul, const float *scale,
                             const float *add)
{
    scale_row(dst, src, n, sub, mul, scale, add);
}

/* A few rows at a time, each pass over all of them, so that one row's sums do not wait for those before. */
void INGOT_FN(norm_rows_f32)(float *dst, const float *src, int64_t rows, int64_t n, double epsilon, const float *scale,
                             const float *add)
{
    enum { ROWS = 8 };

    for (int64_t first = 0; first < rows; first += ROWS) {
        const int64_t count = rows - first < ROWS ? rows - first : ROWS, at = first * n;
        double mean[ROWS];
        float inverse[ROWS];

        for (int64_t r = 0; r < count; r++)
            mean[r] = strip_sum(src + at + r * n, n, 0.0f, false) / (double)n;
        for (int64_t r = 0; r < count; r++)
            inverse[r] = (float)(1 / sqrt(variance_about(src + at + r * n, n, mean[r]) + epsilon));
        for (int64_t r = 0; r < count; r++)
            scale_row(dst + at + r * n, src + at + r * n, n, (float)mean[r], inverse[r], scale, add);
    }
}
