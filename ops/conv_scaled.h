/* conv_scaled.h - a Mul of the channels of an image and the 1x1 Conv that alone reads its result, as one step. */
#ifndef INGOT_OPS_CONV_SCALED_H
#define INGOT_OPS_CONV_SCALED_H

#include "ops/op.h"

/* May the Mul by its input `scale`, one number for each channel, be done to the weights of the Conv instead, and is
 * that less work? Contexts as they are after infer(). */
bool ingot_conv_scaled_fits(const ingot_op_ctx *conv, const ingot_op_ctx *mul, int scale);

/* The operator's record. The step's node is the Conv; its inputs are all those of the Conv, with what is scaled as X,
 * and then the scale. */
const ingot_op *ingot_conv_scaled_op(void);

#endif
