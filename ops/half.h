/* half.h - many 16-bit floats to float and back. */
#ifndef INGOT_OPS_HALF_H
#define INGOT_OPS_HALF_H

#include "engine/core/tensor.h"

/* n elements of dtype INGOT_FLOAT16 or INGOT_BFLOAT16; rounding to nearest, ties to even. NaN stays NaN. */
void ingot_widen(float *dst, const void *src, int64_t n, ingot_dtype dtype);
void ingot_narrow_to(void *dst, const float *src, int64_t n, ingot_dtype dtype);

#endif
