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

/* A vector is eight channels of one pixel, or of two that are neighbours. Eight vectors are a group, whose sums become
 * vectors with a lane for each pixel. PIXELS are the most whose moments are held. */
enum { VECTOR_PIXELS = VF32_LANES / 8, GROUP = 8 * VECTOR_PIXELS, PIXELS = 64, HELD_FLOATS = 4096 };

/* Per pixel, eight times over: the mean, and one by the deviation. */
typedef struct moments {
    float mean[8 * PIXELS], factor[8 * PIXELS];
} moments;

/* Channels of an image's pixels; lanes past the last channel may hold anything finite, and count as 0. */
typedef struct channels {
    int64_t n, stride;                   /* stride: from block to block */
    float share, epsilon;                /* share: 1 / n */
} channels;

/* Which lanes of the block from channel c on there are: 1, or else 0. */
INGOT_INLINE vf8 lanes_from(const channels *d, int64_t c)
{
    static const float ones[8] = { 1, 1, 1, 1, 1, 1, 1, 1 };
    return d->n - c >= 8 ? vf8_load(ones) : vf8_load_n(ones, (size_t)(d->n - c));
}

/* Of a group's pixels from src on: the mean of all channels, or with a mean, one by their deviation from it. */
INGOT_INLINE void moment_of_group(const channels *d, const float *src, const float *mean, float *to)
{
    float sums[8][VF32_LANES], values[8];
    vf32 sum[8];
    vf8 part[8];

    INGOT_UNROLL
    for (int i = 0; i < 8; i++)
        sum[i] = vf32_zero();
    for (int64_t c = 0; c < d->n; c += 8, src += d->stride) {
        const bool whole = d->n - c >= 8;
        const vf32 lanes = whole ? vf32_zero() : vf32_repeat8(lanes_from(d, c));

        INGOT_UNROLL
        for (int i = 0; i < 8; i++) {
            vf32 x = vf32_load(src + i * VF32_LANES);
            if (mean)
                x = vf32_sub(x, vf32_load(mean + i * VF32_LANES));
            if (!whole)
                x = vf32_mul(x, lanes);
            sum[i] = mean ? vf32_fma(x, x, sum[i]) : vf32_add(sum[i], x);
        }
    }
    INGOT_UNROLL
    for (int i = 0; i < 8; i++)
        vf32_store(sums[i], sum[i]);
    /* a vector's first pixel, then its second: from sums of their lanes to a lane for each pixel, and to eight each */
    for (int pixel = 0; pixel < VECTOR_PIXELS; pixel++, to += 8) {
        for (int i = 0; i < 8; i++)
            part[i] = vf8_load(sums[i] + 8 * pixel);
        vf8_transpose(part);
        vf8 x = vf8_add(vf8_add(vf8_add(part[0], part[1]), vf8_add(part[2], part[3])),
                        vf8_add(vf8_add(part[4], part[5]), vf8_add(part[6], part[7])));
        x = vf8_mul(x, vf8_set1(d->share));
        if (mean)
            x = vf8_div(vf8_set1(1.0f), vf8_sqrt(vf8_add(x, vf8_set1(d->epsilon))));
        vf8_store(values, x);
        for (int i = 0; i < 8; i++)
            vf8_store(to + i * VF32_LANES, vf8_set1(values[i]));
    }
}

/* The same of a single pixel, to the bit. */
static float moment_of_pixel(const channels *d, const float *src, float mean, bool second)
{
    float l[8];
    vf8 sum = vf8_zero();

    for (int64_t c = 0; c < d->n; c += 8, src += d->stride) {
        vf8 x = vf8_sub(vf8_load(src), vf8_set1(mean));
        if (d->n - c < 8)
            x = vf8_mul(x, lanes_from(d, c));
        sum = second ? vf8_fma(x, x, sum) : vf8_add(sum, x);
    }
    vf8_store(l, sum);
    const float x = (((l[0] + l[1]) + (l[2] + l[3])) + ((l[4] + l[5]) + (l[6] + l[7]))) * d->share;
    return second ? 1.0f / sqrtf(x + d->epsilon) : x;
}

/* Moments of n pixels. Each step is one for all groups: its end is a chain of steps, which other groups fill up. */
static void find_moments(const channels *d, const float *src, int64_t n, moments *m)
{
    const int64_t whole = n / GROUP * GROUP;

    for (int64_t i = 0; i < 8 * whole; i += 8 * GROUP)
        moment_of_group(d, src + i, NULL, m->mean + i);
    for (int64_t i = 0; i < 8 * whole; i += 8 * GROUP)
        moment_of_group(d, src + i, m->mean + i, m->factor + i);
    for (int64_t i = 8 * whole; i < 8 * n; i += 8) {
        const float mean = moment_of_pixel(d, src + i, 0, false);
        vf8_store(m->mean + i, vf8_set1(mean));
        vf8_store(m->factor + i, vf8_set1(moment_of_pixel(d, src + i, mean, true)));
    }
}

/* n pixels of a block. */
INGOT_INLINE void normalize_block(float *dst, const float *src, int64_t n, const moments *m, vf32 scale, vf32 add)
{
    int64_t i = 0;

    for (; i + VF32_LANES <= 8 * n; i += VF32_LANES) {
        const vf32 x = vf32_sub(vf32_load(src + i), vf32_load(m->mean + i));
        vf32_store(dst + i, vf32_fma(vf32_mul(x, vf32_load(m->factor + i)), scale, add));
    }
    if (i < 8 * n) {
        const vf32 x = vf32_sub(vf32_load_n(src + i, 8), vf32_load(m->mean + i));
        vf32_store_n(dst + i, vf32_fma(vf32_mul(x, vf32_load(m->factor + i)), scale, add), 8);
    }
}

/* As many pixels at a time as stay in the first-level cache. */
void INGOT_FN(norm_channels_f32)(float *dst, const float *src, int64_t n_channels, int64_t n_pixels, int64_t p0,
                                 int64_t p1, float epsilon, const float *scale, const float *add)
{
    const channels d = { n_channels, 8 * n_pixels, 1.0f / (float)n_channels, epsilon };
    const int64_t step = max64(1, min64(PIXELS, HELD_FLOATS / n_channels) / GROUP) * GROUP;
    moments m;

    for (int64_t p = p0; p < p1; p += step) {
        const int64_t n = min64(step, p1 - p);

        find_moments(&d, src + 8 * p, n, &m);
        for (int64_t c = 0; c < n_channels; c += 8) {
            const int64_t at = c / 8 * d.stride + 8 * p;
            normalize_block(dst + at, src + at, n, &m, vf32_repeat8(load_channels(scale, c, n_channels)),
                            vf32_repeat8(add ? load_channels(add, c, n_channels) : vf8_zero()));
        }
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
