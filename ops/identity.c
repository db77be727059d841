/* identity.c - Identity: Y = X, for every kind of value. */
#include <string.h>

#include "ops/op.h"

/* Identity passes sequences and optionals too; their shapes are not known before the run. Tensors keep type and
 * shape. */
static ingot_status infer_identity(ingot_op_ctx *c)
{
    if (c->in[0]->kind != INGOT_TENSOR)
        return ingot_out_unknown(c, 0, c->in[0]->kind, c->in[0]->dtype);
    return ingot_out_like(c, 0, c->in[0]);
}

/* The planner lets output and input share memory where it can, and then there is nothing to do. */
static ingot_status run_identity(ingot_op_ctx *c)
{
    if (c->in[0]->kind != INGOT_TENSOR) {
        *c->out[0] = *c->in[0]; /* items live in run memory */
        return INGOT_OK;
    }
    if (c->out[0]->data != c->in[0]->data)
        memcpy(c->out[0]->data, c->in[0]->data, ingot_storage_bytes(c->out[0]));
    return INGOT_OK;
}

const ingot_op ingot_ops_identity[] = {
    {"Identity", 1, 1, 1, {INGOT_TYPES_ALL}, infer_identity, run_identity, .flags = INGOT_OP_VIEW | INGOT_OP_KINDS},
    {0},
};
