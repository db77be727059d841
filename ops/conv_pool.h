/* conv_pool.h - a network's first Conv and the MaxPool that alone reads its result, as one step. */
#ifndef INGOT_OPS_CONV_POOL_H
#define INGOT_OPS_CONV_POOL_H

#include "ops/op.h"

/* Do the kernels take these two as one, and is it worth it? Contexts as they are after infer(). */
bool ingot_conv_pool_fits(const ingot_op_ctx *conv, const ingot_op_ctx *pool);

/* The operator's record. The step's node is the MaxPool; its inputs are those of the Conv. */
const ingot_op *ingot_conv_pool_op(void);

#endif
