/* softmax_rows.c - softmax and its logarithm over a row: exp(x - max) / sum, log of it as x - max - log(sum).
 * A row that holds NaN or only -infinity gives NaN, as the formulas do. dst may be src. */
#include <math.h>

#include "ops/kernels/vmath.h"

static float row_max(const float *src, int64_t n)
{
    vf32 most = vf32_set1(-INFINITY);
    float result = -INFINITY;
    int64_t i = 0;

    for (; i + VF32_LANES <= n; i += VF32_LANES)
        most = vf32_max(vf32_load(src + i), most);
    if (i > 0)
        result = vf32_hmax(most);
    for (; i < n; i++)
        result = src[i] > result ? src[i] : result;
    return result;
}

/* dst (unless NULL) becomes exp(src - most); returns the sum. */
INGOT_INLINE float exp_row(float *dst, const float *src, int64_t n, float most)
{
    const vf32 shift = vf32_set1(most);
    vf32 sum = vf32_zero();
    float result = 0.0f;
    int64_t i = 0;

    for (; i + VF32_LANES <= n; i += VF32_LANES) {
        const vf32 e = vf32_exp(vf32_sub(vf32_load(src + i), shift));
        sum = vf32_add(sum, e);
        if (dst)
            vf32_store(dst + i, e);
    }
    if (i < n) {
        float last[VF32_LANES] = { 0 };
        vf32_store(last, vf32_exp(vf32_sub(vf32_load_n(src + i, (size_t)(n - i)), shift)));
        for (int64_t k = 0; k < n - i; k++) {
            result += last[k];
            if (dst)
                dst[i + k] = last[k];
        }
    }
    return result + vf32_hsum(sum);
}

void INGOT_FN(softmax_f32)(float *dst, const float *src, int64_t n)
{
    const float sum = exp_row(dst, src, n, row_max(src, n));
    const vf32 divisor = vf32_set1(sum);
    int64_t i = 0;

    for (; i + VF32_LANES <= n; i += VF32_LANES)
        vf32_store(dst + i, vf32_div(vf32_load(dst + i), divisor));
    for (; i < n; i++)
        dst[i] /= sum;
}

void INGOT_FN(log_softmax_f32)(float *dst, const float *src, int64_t n)
{
    const float most = row_max(src, n), log_sum = logf(exp_row(NULL, src, n, most));
    const vf32 shift = vf32_set1(most), log_sums = vf32_set1(log_sum);
    int64_t i = 0;

    for (; i + VF32_LANES <= n; i += VF32_LANES)
        vf32_store(dst + i, vf32_sub(vf32_sub(vf32_load(src + i), shift), log_sums));
    for (; i < n; i++)
        dst[i] = src[i] - most - log_sum;
}
