/* quantized_float8.h - QLinearMatMul of 8-bit floats. */
#ifndef INGOT_OPS_QUANTIZED_FLOAT8_H
#define INGOT_OPS_QUANTIZED_FLOAT8_H

#include "ops/op.h"

/* As an operator's infer() and run(), for inputs 0 and 3 of FLOAT8* types. Nothing to prepare. */
ingot_op_fn ingot_float8_matmul_infer, ingot_float8_matmul_run;

#endif
