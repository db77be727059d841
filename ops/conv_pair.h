/* conv_pair.h - a Conv that mixes channels and the depthwise Conv that alone reads its result, as one step. */
#ifndef INGOT_OPS_CONV_PAIR_H
#define INGOT_OPS_CONV_PAIR_H

#include "ops/op.h"

/* What the planner leaves in the state of such a step, whose node is the depthwise Conv. The step's inputs are all
 * those of the first Conv, then those of the second without its X. */
typedef struct ingot_conv_pair {
    const ingot_node *mix;
    int n_mix;                           /* inputs of the first Conv */
} ingot_conv_pair;

/* Do the kernels take these two Convs as one, and is it worth it? Contexts as they are after infer(). */
bool ingot_conv_pair_fits(const ingot_op_ctx *mix, const ingot_op_ctx *depthwise);

/* The operator's record. */
const ingot_op *ingot_conv_pair_op(void);

#endif
