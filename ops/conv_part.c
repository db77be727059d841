/* conv_part.c - a Conv as one operator of a step of several. */
#include "ops/conv_part.h"

#include "ops/conv_blocked.h"
#include "ops/fused.h"
#include "ops/weights.h"

/* Inputs of Conv. */
enum { X, W, B };

/* Bias, if it has one; constant or not. */
static const ingot_tensor *bias_of(const ingot_op_ctx *c) { return c->node->n_inputs > B ? c->in[B] : NULL; }

bool ingot_conv_part_read(const ingot_op_ctx *c, ingot_conv_shape *shape, ingot_conv *d)
{
    ingot_op_ctx copy = *c;
    const bool constant = c->constants[W] && (!bias_of(c) || c->constants[B]);

    if (!constant || !ingot_chain_is_activation(c) ||
        ingot_conv_shape_read(&copy, c->in[X], c->in[W], bias_of(c), shape) || !ingot_conv_blocked_fits(shape))
        return false;
    ingot_conv_describe(shape, d);
    return true;
}

ingot_status ingot_conv_part_prepare(ingot_op_ctx *c, int src_layout, ingot_conv_part *part)
{
    ingot_conv_shape shape;
    ingot_conv_blocked blocked;
    ingot_chain chain;
    ingot_status st = ingot_conv_shape_read(c, c->in[X], c->in[W], bias_of(c), &shape);

    if (st || (st = ingot_conv_blocked_prepare(c, &shape, W, src_layout, INGOT_BLOCKED, &blocked)) ||
        (st = ingot_chain_prepare(c, c->out[0], INGOT_CHAIN_ACT, &chain)))
        return st;
    *part = (ingot_conv_part){ .conv = blocked.conv, .packed = blocked.packed, .end = chain.kernel };
    return bias_of(c) ? ingot_constant_floats(c, B, &part->end.bias) : INGOT_OK;
}
