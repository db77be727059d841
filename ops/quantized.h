/* quantized.h - what the integer products share: operands widened to 16 bits with their zero points taken off, products
 * of those summed exactly, and sums turned back into quantized elements. */
#ifndef INGOT_OPS_QUANTIZED_H
#define INGOT_OPS_QUANTIZED_H

#include "ops/op.h"

/* Elements of UINT8 or INT8 less their zero point lie in [-255, 255], and their products fit int32 with room for
 * many. */
#define INGOT_TYPES_BYTE (INGOT_TYPE(UINT8) | INGOT_TYPE(INT8))
#define INGOT_TYPES_SCALE (INGOT_TYPE(FLOAT) | INGOT_TYPE(FLOAT16) | INGOT_TYPE(BFLOAT16))

/* The rows of a widened operand are padded with zeros to a multiple of this many elements. */
enum { INGOT_WIDE_STEP = 16 };
int64_t ingot_wide_length(int64_t k);

/* dst[i] = src[i * step] - zero for i < n, and zeros up to ingot_wide_length(n); dtype is UINT8 or INT8. */
void ingot_widen_bytes_row(int16_t *dst, const void *src, ingot_dtype dtype, int64_t n, int64_t step, int zero);

/* dst[i * dst_row + j * dst_column] = sum over k < length of a[i][k] * b[j][k], modulo 2^32, for m rows of a and n of
 * b, both `length` (a multiple of INGOT_WIDE_STEP) elements apart. */
void ingot_multiply_wide(int32_t *dst, int64_t dst_row, int64_t dst_column, const int16_t *a, int64_t m,
                         const int16_t *b, int64_t n, int64_t length);

/* dst[i] = saturate(round(src[i] * scale[i * scale_step]) + zero), ties to even; dtype is UINT8 or INT8. */
void ingot_requantize(void *dst, ingot_dtype dtype, const int32_t *src, int64_t n, const float *scale, int scale_step,
                      int zero);

#endif
