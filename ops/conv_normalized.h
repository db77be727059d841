/* conv_normalized.h - a BatchNormalization and the 1x1 Conv that alone reads its result, as one step. */
#ifndef INGOT_OPS_CONV_NORMALIZED_H
#define INGOT_OPS_CONV_NORMALIZED_H

#include "ops/op.h"

/* Can they be one step? Contexts as they are after infer(). */
bool ingot_conv_normalized_fits(const ingot_op_ctx *conv, const ingot_op_ctx *norm);

/* The operator's record. The step's node is the Conv; its inputs are all those of the Conv, with what is normalized as
 * X, and then those of the BatchNormalization but for its X. */
const ingot_op *ingot_conv_normalized_op(void);

#endif
