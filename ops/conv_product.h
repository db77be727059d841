/* conv_product.h - a Conv of row-major images, its flattened result times a constant matrix: one step. */
#ifndef INGOT_OPS_CONV_PRODUCT_H
#define INGOT_OPS_CONV_PRODUCT_H

#include "ops/op.h"

/* Can they be one step? Contexts as they are after infer(). */
bool ingot_conv_product_fits(const ingot_op_ctx *conv, const ingot_op_ctx *gemm);

/* The operator's record. The step's node is the Gemm; its inputs are all those of the Conv, and then those of the Gemm
 * but for its A. */
const ingot_op *ingot_conv_product_op(void);

#endif
