/* quantized.c - integer products. 8-bit elements less their zero points need 9 bits and a sign: they are widened to 16
 * bits once, and pairs of products are summed in 32 bits. That is exact for any values (nothing saturates on the way),
 * and compilers turn the inner loop into the multiply-add of 16-bit pairs that every instruction set has. */
#include "ops/quantized.h"

/* Elements of k whose products' sum cannot leave int32: 255 * 255 * 16384 < 2^31. */
enum { EXACT_RUN = 16384, TILE = 4 };

#define ROUNDER                                                                                                        \
    12582912.0f /* 1.5 * 2^23: below 2^22, adding and subtracting it rounds to whole numbers, ties to even */

/* Rows of 16-bit numbers are padded with zeros to a whole number of vector steps, so products have no tail. */
int64_t ingot_wide_length(int64_t k) { return (k + INGOT_WIDE_STEP - 1) / INGOT_WIDE_STEP * INGOT_WIDE_STEP; }

/* n bytes, step apart, less their zero point, as 16-bit numbers: the difference of two bytes needs nine bits. */
void ingot_widen_bytes_row(int16_t *dst, const void *src, ingot_dtype dtype, int64_t n, int64_t step, int zero)
{
    const uint8_t *u = src;
    const int8_t *s = src;

    if (dtype == INGOT_UINT8 && step == 1)
        for (int64_t i = 0; i < n; i++)
            dst[i] = (int16_t)(u[i] - zero);
    else if (dtype == INGOT_UINT8)
        for (int64_t i = 0; i < n; i++)
            dst[i] = (int16_t)(u[i * step] - zero);
    else
        for (int64_t i = 0; i < n; i++)
            dst[i] = (int16_t)(s[i * step] - zero);
    for (int64_t i = n; i < ingot_wide_length(n); i++)
        dst[i] = 0;
}

/* sums[j] += the product of a with row j of b, for `rows` rows (1 to TILE). */
static void add_products(uint32_t *sums, const int16_t *a, const int16_t *b, int rows, int64_t stride, int64_t length)
{
    int s0 = 0, s1 = 0, s2 = 0, s3 = 0;

    if (rows == TILE) {
        const int16_t *b1 = b + stride, *b2 = b1 + stride, *b3 = b2 + stride;
        for (int64_t k = 0; k < length; k++) {
            s0 += a[k] * b[k];
            s1 += a[k] * b1[k];
            s2 += a[k] * b2[k];
            s3 += a[k] * b3[k];
        }
        sums[0] += (uint32_t)s0;
        sums[1] += (uint32_t)s1;
        sums[2] += (uint32_t)s2;
        sums[3] += (uint32_t)s3;
        return;
    }
    for (int j = 0; j < rows; j++) {
        int s = 0;
        for (int64_t k = 0; k < length; k++)
            s += a[k] * b[j * stride + k];
        sums[j] += (uint32_t)s;
    }
}

/* dst[i, j] = a row i times b row j. Sums wrap modulo 2^32, as int32 accumulators of the specification would. */
void ingot_multiply_wide(int32_t *dst, int64_t dst_row, int64_t dst_column, const int16_t *a, int64_t m,
                         const int16_t *b, int64_t n, int64_t length)
{
    for (int64_t j = 0; j < n; j += TILE) {
        const int rows = (int)MIN(TILE, n - j);
        for (int64_t i = 0; i < m; i++) {
            uint32_t sums[TILE] = { 0 };
            for (int64_t k = 0; k < length; k += EXACT_RUN)
                add_products(sums, a + i * length + k, b + j * length + k, rows, length, MIN(EXACT_RUN, length - k));
            for (int r = 0; r < rows; r++)
                dst[i * dst_row + (j + r) * dst_column] = (int32_t)sums[r];
        }
    }
}

/* dst = saturate(round(src * scale) + zero). Clamped before rounding, so the ROUNDER trick (ties to even) stays in
 * its range. */
void ingot_requantize(void *dst, ingot_dtype dtype, const int32_t *src, int64_t n, const float *scale, int scale_step,
                      int zero)
{
    const float low = (float)((dtype == INGOT_INT8 ? -128 : 0) - zero), high = low + 255.0f;
    uint8_t *bytes = dst;

    for (int64_t i = 0; i < n; i++) {
        const float v = (float)src[i] * scale[i * scale_step], above = v > low ? v : low,
                    x = above < high ? above : high;
        bytes[i] = (uint8_t)((int32_t)((x + ROUNDER) - ROUNDER) + zero);
    }
}
