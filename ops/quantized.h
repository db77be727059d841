/* quantized.h - what operators on 8-bit integers share: types, limits, and parameters that belong to a tensor or to
 * each of its channels. */
#ifndef INGOT_OPS_QUANTIZED_H
#define INGOT_OPS_QUANTIZED_H

#include "ops/op.h"

#define INGOT_TYPES_BYTE (INGOT_TYPE(UINT8) | INGOT_TYPE(INT8))
#define INGOT_TYPES_SCALE (INGOT_TYPE(FLOAT) | INGOT_TYPE(FLOAT16) | INGOT_TYPE(BFLOAT16))

/* Input i, or NULL where there is none (i may be INGOT_NONE). */
const ingot_tensor *ingot_quantized_input(const ingot_op_ctx *c, int i);

/* Does input i (if there is one) have one element, or `lines`, or `lines` for each of `matrices`, and a type of
 * `allowed`? lines 0: one element only. */
ingot_status ingot_quantized_check(ingot_op_ctx *c, int i, int64_t lines, int64_t matrices, uint64_t allowed);

/* Element of a parameter for a line of a matrix, as checked above; where it is left out, `otherwise`. */
double ingot_quantized_at(const ingot_tensor *parameter, int64_t lines, int64_t matrix, int64_t line, double otherwise);

/* The one element of input i, or 0 (a zero point) and 1 (a scale) where it is left out. */
int ingot_quantized_zero(const ingot_op_ctx *c, int i);
float ingot_quantized_scale(const ingot_op_ctx *c, int i);

/* Bytes of `dtype` with zero point `zero`: the output's kind, limits and zero. */
void ingot_quantized_out(ingot_dtype dtype, int zero, ingot_dot_out *out);

/* Scale and zero point that DynamicQuantizeLinear gives n floats, and what lies from low <= 0 to high >= 0. */
void ingot_dynamic_scale_between(float low, float high, float *scale, int *zero);
void ingot_dynamic_scale(const ingot_kernels *kernels, const float *x, int64_t n, float *scale, int *zero);

/* Are input i and what it depends on there when planning, for good? */
bool ingot_quantized_known(const ingot_op_ctx *c, int i);

#endif
