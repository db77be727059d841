/* half.h - many 16-bit floats to float and back. */
#ifndef INGOT_OPS_HALF_H
#define INGOT_OPS_HALF_H

#include "engine/core/tensor.h"
#include "ops/kernels/kernels.h"

/* n elements of dtype INGOT_FLOAT16 or INGOT_BFLOAT16; rounding to nearest, ties to even. NaN stays NaN. kernels NULL,
 * where none are at hand: the same, number by number. */
void ingot_widen(const ingot_kernels *kernels, float *dst, const void *src, int64_t n, ingot_dtype dtype);
void ingot_narrow_to(const ingot_kernels *kernels, void *dst, const float *src, int64_t n, ingot_dtype dtype);

#endif
