/* softmax_rows.c - softmax and its logarithm over a row: exp(x - max) / sum, log of it as x - max - log(sum).
 * A row that holds NaN or only -infinity gives NaN, as the formulas do. dst may be src. */
#include <math.h>

#include "ops/kernels/vmath.h"

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

/* The largest element, where NaN is passed over: the exponentials will hold it. Two chains, as each step waits for the
 * one before. */
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

/* data (unless NULL) becomes exp(scale x + mask - most), 0 where that is next to nothing: denormals cost a
 * hundred times as much, here and in the product with the values. Returns the sum. */
INGOT_INLINE float scaled_exp(float *data, const scaled_row *row, int64_t n, float most)
{
    const int64_t whole = n - n % VF32_LANES;
    const vf32 shift = vf32_set1(most);
    vf32 sum = vf32_zero(), sum2 = sum;
    int64_t i = 0;

    for (; i + 2 * VF32_LANES <= whole; i += 2 * VF32_LANES) {
        const vf32 a = vf32_exp_below(vf32_sub(scaled_at(row, i), shift));
        const vf32 b = vf32_exp_below(vf32_sub(scaled_at(row, i + VF32_LANES), shift));
        sum = vf32_add(sum, a);
        sum2 = vf32_add(sum2, b);
        if (data) {
            vf32_store(data + i, a);
            vf32_store(data + i + VF32_LANES, b);
        }
    }
    if (i < whole) {
        const vf32 a = vf32_exp_below(vf32_sub(scaled_at(row, i), shift));
        sum = vf32_add(sum, a);
        if (data)
            vf32_store(data + i, a);
    }
    if (whole < n) {
        const vf32 a = vf32_exp_below(vf32_sub(scaled_rest(row, whole, n), shift));
        sum2 = vf32_add(sum2, a);
        if (data)
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
    const scaled_row row = { src, NULL, vf32_set1(1.0f) };
    const vf32 divisor = vf32_set1(scaled_exp(dst, &row, n, scaled_max(&row, n)));
    int64_t i = 0;

    for (; i + VF32_LANES <= n; i += VF32_LANES)
        vf32_store(dst + i, vf32_div(vf32_load(dst + i), divisor));
    if (i < n)
        vf32_store_n(dst + i, vf32_div(vf32_load_n(dst + i, (size_t)(n - i)), divisor), (size_t)(n - i));
}

/* x - max - log(sum): the exponentials are only added up, and dst is written once. */
void INGOT_FN(log_softmax_f32)(float *dst, const float *src, int64_t n)
{
    const scaled_row row = { src, NULL, vf32_set1(1.0f) };
    const float most = scaled_max(&row, n), log_sum = logf(scaled_exp(NULL, &row, n, most));
    const vf32 shift = vf32_set1(most), log_sums = vf32_set1(log_sum);
    int64_t i = 0;

    for (; i + VF32_LANES <= n; i += VF32_LANES)
        vf32_store(dst + i, vf32_sub(vf32_sub(vf32_load(src + i), shift), log_sums));
    for (; i < n; i++)
        dst[i] = src[i] - most - log_sum;
}
