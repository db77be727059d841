/* narrow.h - arithmetic on 16-bit floats that are held as float: results are rounded where the ONNX reference
 * rounds. */
#ifndef INGOT_OPS_NARROW_H
#define INGOT_OPS_NARROW_H

#include "engine/core/tensor.h"
#include "ops/kernels/kernels.h"

/* Round n floats in place to what `dtype` (FLOAT16 or BFLOAT16) can hold. */
void ingot_round_to(const ingot_kernels *kernels, float *values, int64_t n, ingot_dtype dtype);

/* Softmax of a row in place. Difference, power, sum and quotient are rounded to `dtype`, one after the other. A row of
 * -inf alone becomes NaN, as for wide types. */
void ingot_softmax_narrow(const ingot_kernels *kernels, float *row, int64_t n, ingot_dtype dtype);

#endif
