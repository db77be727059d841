/* conv_part.h - a Conv as one operator of a step of several: with constant weights, and nothing but an activation
 * behind it. Its result is blocked. */
#ifndef INGOT_OPS_CONV_PART_H
#define INGOT_OPS_CONV_PART_H

#include "ops/conv_plain.h"

/* What the kernels are given. */
typedef struct ingot_conv_part {
    ingot_conv conv;
    const float *packed;
    ingot_epilogue end;
} ingot_conv_part;

/* Is it one? Its shape, and the same in the kernels' terms. A context as it is after infer(). */
bool ingot_conv_part_read(const ingot_op_ctx *c, ingot_conv_shape *shape, ingot_conv *d);

/* Packs the weights for a source in this layout, and puts bias and activation together. `c` is a context of the Conv's
 * own, whose result needs no memory yet. */
ingot_status ingot_conv_part_prepare(ingot_op_ctx *c, int src_layout, ingot_conv_part *part);

#endif
