/* norm.c - what normalizations are made of: moments of a strip, and scale and shift. Sums are taken in vectors over
 * chunks of some thousand elements and added up in double, so that long strips lose nothing. */
#include "ops/kernels/isa.h"

enum { CHUNK = 64 * VF32_LANES };

/* Sum of (src - shift)^2 (square), or of src - shift, over one chunk. */
INGOT_INLINE double chunk_sum(const float *src, int64_t n, float shift, bool square)
{
    const vf32 shifts = vf32_set1(shift);
    vf32 sum = vf32_zero(), sum2 = vf32_zero();
    float rest = 0.0f;
    int64_t i = 0;

    for (; i + 2 * VF32_LANES <= n; i += 2 * VF32_LANES) {
        const vf32 a = vf32_sub(vf32_load(src + i), shifts), b = vf32_sub(vf32_load(src + i + VF32_LANES), shifts);
        sum = square ? vf32_fma(a, a, sum) : vf32_add(sum, a);
        sum2 = square ? vf32_fma(b, b, sum2) : vf32_add(sum2, b);
    }
    for (; i < n; i++) {
        const float a = src[i] - shift;
        rest += square ? a * a : a;
    }
    return (double)vf32_hsum(vf32_add(sum, sum2)) + (double)rest;
}

INGOT_INLINE double strip_sum(const float *src, int64_t n, float shift, bool square)
{
    double sum = 0;

    for (int64_t i = 0; i < n; i += CHUNK)
        sum += chunk_sum(src + i, n - i < CHUNK ? n - i : CHUNK, shift, square);
    return sum;
}

void INGOT_FN(moments_f32)(const float *src, int64_t n, double *mean, double *variance)
{
    const double count = n > 0 ? (double)n : 1;
    const double about = strip_sum(src, n, 0.0f, false) / count;
    const double off = about - (double)(float)about;

    *mean = about;
    *variance = strip_sum(src, n, (float)about, true) / count - off * off;
    if (*variance < 0)
        *variance = 0;
}

double INGOT_FN(sum_squares_f32)(const float *src, int64_t n) { return strip_sum(src, n, 0.0f, true); }

void INGOT_FN(scale_shift_f32)(float *dst, const float *src, int64_t n, float sub, float mul, float add)
{
    const vf32 s = vf32_set1(sub), m = vf32_set1(mul), a = vf32_set1(add);
    int64_t i = 0;

    for (; i + VF32_LANES <= n; i += VF32_LANES)
        vf32_store(dst + i, vf32_fma(vf32_sub(vf32_load(src + i), s), m, a));
    if (i < n)
        vf32_store_n(dst + i, vf32_fma(vf32_sub(vf32_load_n(src + i, (size_t)(n - i)), s), m, a), (size_t)(n - i));
}

void INGOT_FN(scale_shift_blocked_f32)(float *dst, const float *src, int64_t n, const float *sub, const float *mul,
                                       const float *add)
{
    const vf8 s = vf8_load(sub), m = vf8_load(mul), a = vf8_load(add);

    for (int64_t i = 0; i < n; i++)
        vf8_store(dst + 8 * i, vf8_fma(vf8_sub(vf8_load(src + 8 * i), s), m, a));
}

void INGOT_FN(scale_row_f32)(float *dst, const float *src, int64_t n, float sub, float mul, const float *scale,
                             const float *add)
{
    const vf32 s = vf32_set1(sub), m = vf32_set1(mul);

    for (int64_t i = 0; i < n; i += VF32_LANES) {
        const size_t count = (size_t)(n - i < VF32_LANES ? n - i : VF32_LANES);
        const vf32 x = vf32_mul(vf32_sub(vf32_load_n(src + i, count), s), m);
        const vf32 a = add ? vf32_load_n(add + i, count) : vf32_zero();
        vf32_store_n(dst + i, vf32_fma(x, vf32_load_n(scale + i, count), a), count);
    }
}
