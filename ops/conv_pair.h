/* conv_pair.h - a Conv that mixes channels and the depthwise Conv that alone reads its result, as one step. */
#ifndef INGOT_OPS_CONV_PAIR_H
#define INGOT_OPS_CONV_PAIR_H

#include "ops/op.h"

/* Do the kernels take these two Convs as one, and is it worth it? Contexts as they are after infer(). */
bool ingot_conv_pair_fits(const ingot_op_ctx *mix, const ingot_op_ctx *depthwise);

/* The operator's record. The step's node is the depthwise Conv; its inputs are all those of the first Conv, and then
 * those of the second but for its X. */
const ingot_op *ingot_conv_pair_op(void);

#endif
