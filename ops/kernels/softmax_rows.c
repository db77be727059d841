/* softmax_rows.c - softmax and its logarithm over a row: exp(x - max) / sum, log of it as x - max - log(sum).
 * A row that holds NaN or only -infinity gives NaN, as the formulas do. dst may be src. */
#include <math.h>

#include "ops/kernels/vmath.h"

/* NaN is passed over: the exponentials will hold it. */
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
        /* the tail lane by lane: lanes past the end would count as exp(-most) */
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

/* A row of scale x + mask. What is past its end counts as -infinity. */
typedef struct scaled_row {
    const float *src, *mask;
    vf32 scale;
} scaled_row;

/* The vector from element i on. */
INGOT_INLINE vf32 scaled_at(const scaled_row *row, int64_t i)
{
    const vf32 x = vf32_load(row->src + i);
    return row->mask ? vf32_fma(x, row->scale, vf32_load(row->mask + i)) : vf32_mul(x, row->scale);
}

/* The last n - i < VF32_LANES elements. */
INGOT_INLINE vf32 scaled_rest(const scaled_row *row, int64_t i, int64_t n)
{
    static const float ends[32] = { [16] = -INFINITY, -INFINITY, -INFINITY, -INFINITY, -INFINITY, -INFINITY, -INFINITY,
                                    -INFINITY, -INFINITY, -INFINITY, -INFINITY, -INFINITY, -INFINITY, -INFINITY,
                                    -INFINITY, -INFINITY };
    const size_t count = (size_t)(n - i);
    const vf32 x = vf32_load_n(row->src + i, count), end = vf32_load(ends + 16 - count);

    return vf32_fma(x, row->scale, row->mask ? vf32_add(vf32_load_n(row->mask + i, count), end) : end);
}

/* The largest element; two chains, as each step waits for the one before. */
INGOT_INLINE float scaled_max(const scaled_row *row, int64_t n)
{
    const int64_t whole = n - n % VF32_LANES;
    vf32 most = whole < n ? scaled_rest(row, whole, n) : vf32_set1(-INFINITY), most2 = most;
    int64_t i = 0;

    for (; i + 2 * VF32_LANES <= whole; i += 2 * VF32_LANES) {
        most = vf32_max(scaled_at(row, i), most);
        most2 = vf32_max(scaled_at(row, i + VF32_LANES), most2);
    }
    if (i < whole)
        most = vf32_max(scaled_at(row, i), most);
    return vf32_hmax(vf32_max(most, most2));
}

/* data becomes exp(scale x + mask - most); returns the sum. */
INGOT_INLINE float scaled_exp(float *data, const scaled_row *row, int64_t n, float most)
{
    const int64_t whole = n - n % VF32_LANES;
    const vf32 shift = vf32_set1(most);
    vf32 sum = vf32_zero(), sum2 = sum;
    int64_t i = 0;

    for (; i + 2 * VF32_LANES <= whole; i += 2 * VF32_LANES) {
        const vf32 a = vf32_exp(vf32_sub(scaled_at(row, i), shift));
        const vf32 b = vf32_exp(vf32_sub(scaled_at(row, i + VF32_LANES), shift));
        sum = vf32_add(sum, a);
        sum2 = vf32_add(sum2, b);
        vf32_store(data + i, a);
        vf32_store(data + i + VF32_LANES, b);
    }
    if (i < whole) {
        const vf32 a = vf32_exp(vf32_sub(scaled_at(row, i), shift));
        sum = vf32_add(sum, a);
        vf32_store(data + i, a);
    }
    if (whole < n) {
        const vf32 a = vf32_exp(vf32_sub(scaled_rest(row, whole, n), shift));
        sum2 = vf32_add(sum2, a);
        vf32_store_n(data + whole, a, (size_t)(n - whole));
    }
    return vf32_hsum(vf32_add(sum, sum2));
}

/* What is left of a division by the sum. */
INGOT_INLINE void multiply_row(float *data, int64_t n, float factor)
{
    const vf32 factors = vf32_set1(factor);
    int64_t i = 0;

    for (; i + VF32_LANES <= n; i += VF32_LANES)
        vf32_store(data + i, vf32_mul(vf32_load(data + i), factors));
    if (i < n)
        vf32_store_n(data + i, vf32_mul(vf32_load_n(data + i, (size_t)(n - i)), factors), (size_t)(n - i));
}

/* A few rows, each pass over all of them, so that one row's end does not wait for the next one's begin. NaN may get
 * lost on the way to the largest element, but not in what is made of it. */
INGOT_INLINE void softmax_scaled_rows(float *data, ptrdiff_t stride, int rows, int64_t n, float scale,
                                      const float *mask, ptrdiff_t mask_stride)
{
    float most[8], sum[8];
    scaled_row row = { data, mask, vf32_set1(scale) };

    for (int i = 0; i < rows; i++) {
        row.src = data + i * stride;
        row.mask = mask ? mask + i * mask_stride : NULL;
        most[i] = scaled_max(&row, n);
    }
    for (int i = 0; i < rows; i++) {
        row.src = data + i * stride;
        row.mask = mask ? mask + i * mask_stride : NULL;
        sum[i] = scaled_exp(data + i * stride, &row, n, most[i]);
    }
    for (int i = 0; i < rows; i++)
        multiply_row(data + i * stride, n, 1.0f / sum[i]);
}

/* Eight rows at a time; copies of the loop with and without a mask. */
void INGOT_FN(softmax_scaled_f32)(float *data, ptrdiff_t stride, int64_t rows, int64_t n, float scale,
                                  const float *mask, ptrdiff_t mask_stride)
{
    for (int64_t i = 0; i < rows; i += 8) {
        const int count = (int)min64(8, rows - i);

        if (mask)
            softmax_scaled_rows(data + i * stride, stride, count, n, scale, mask + i * mask_stride, mask_stride);
        else
            softmax_scaled_rows(data + i * stride, stride, count, n, scale, NULL, 0);
    }
}

/* exp(x - max) of all elements, then a true division by their sum. */
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

/* x - max - log(sum): the exponentials are only added up, and dst is written once. */
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
