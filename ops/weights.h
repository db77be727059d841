/* weights.h - what operators with weights share: constants that still lie in the file, and 16-bit floats. */
#ifndef INGOT_OPS_WEIGHTS_H
#define INGOT_OPS_WEIGHTS_H

#include "ops/op.h"

/* In prepare() of an operator with INGOT_OP_LAZY: *loaded receives a tensor with the elements of input `input` when
 * that is a lazy constant (shared by all plans), else NULL: then in[input] has them when running. */
ingot_status ingot_load_constant(ingot_op_ctx *c, int input, ingot_tensor **loaded);

/* In prepare(), where input `input` is a constant of floats: its elements, loaded where they were not. */
ingot_status ingot_constant_floats(ingot_op_ctx *c, int input, const float **floats);

/* Run `run` on float copies of the 16-bit float inputs and outputs (at most INGOT_WIDEN_MAX of each). The copies take
 * ingot_widen_bytes() of scratch memory from c->scratch on; `run` sees the scratch memory after them. */
enum { INGOT_WIDEN_MAX = 16 };
size_t ingot_widen_bytes(const ingot_op_ctx *c);
ingot_status ingot_run_widened(ingot_op_ctx *c, ingot_op_fn *run);
bool ingot_is_16bit(ingot_dtype dtype);

/* One of those copies, and back; `from` or `to` is a 16-bit tensor. */
void ingot_widen_tensor(const ingot_op_ctx *c, float *to, const ingot_tensor *from);
void ingot_narrow_tensor(const ingot_op_ctx *c, const ingot_tensor *to, float *from);

/* The same with double copies of all other floats, for inputs of which some are double. */
size_t ingot_widen_bytes_to_double(const ingot_op_ctx *c);
ingot_status ingot_run_in_double(ingot_op_ctx *c, ingot_op_fn *run);

/* One of the two ways: in double where an input is double, else in float. */
bool ingot_any_double(const ingot_op_ctx *c);
size_t ingot_one_type_bytes(const ingot_op_ctx *c);
ingot_status ingot_run_in_one_type(ingot_op_ctx *c, ingot_op_fn *run);

/* In a copy of a context: the first `bytes` of the shared scratch memory are taken. */
void ingot_advance_scratch(ingot_op_ctx *copy, size_t bytes);

#endif
