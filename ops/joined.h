/* joined.h - steps that the planner makes of two nodes, the second of which alone read the first one's result. */
#ifndef INGOT_OPS_JOINED_H
#define INGOT_OPS_JOINED_H

#include "ops/op.h"

/* What the planner leaves in such a step's state for prepare(): the first node, and how many inputs it has, those of
 * fused nodes included. The step's node is the second. */
typedef struct ingot_joined {
    const ingot_node *before;
    int n_before;
} ingot_joined;

/* In prepare(): a context for the node whose inputs are `first` and then those of the step from number `from` on.
 * False: memory is out. */
bool ingot_joined_rest(ingot_op_ctx *c, ingot_tensor *first, int from, ingot_op_ctx *rest);

#endif
