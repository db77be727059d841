/* fused.h - what convolutions and matrix products do with the nodes that a pass fused into them: as much as possible
 * inside the kernel, while results are in registers; the rest as passes of their own with the operators' usual code. */
#ifndef INGOT_OPS_FUSED_H
#define INGOT_OPS_FUSED_H

#include "ops/op.h"

enum { INGOT_FUSED_INPUTS = 8 };           /* inputs that a fused node may have */

/* A fused node that runs as a pass of its own. */
typedef struct ingot_chain_stage {
    ingot_op_ctx ctx;
    ingot_tensor *in[INGOT_FUSED_INPUTS];
    const ingot_const *constants[INGOT_FUSED_INPUTS];
    ingot_tensor *loaded[INGOT_FUSED_INPUTS];  /* inputs that are constants read from the file; else NULL */
    ingot_tensor chain, *out;              /* chain: the result before it */
    int chain_slot, first_input;
} ingot_chain_stage;

/* The fused nodes of one node, compiled by ingot_chain_prepare(). */
typedef struct ingot_chain {
    ingot_epilogue kernel;                 /* for the host's kernel: activation; residual when running; no bias */
    int residual, bias;                    /* the inputs that are kernel.residual and kernel.bias, or INGOT_NONE */
    ingot_tensor *loaded_residual, *loaded_bias; /* these when they are constants read from the file; else NULL */
    int n_stages;                          /* what the kernel does not do */
    ingot_chain_stage *stages;
    size_t scratch_bytes;                  /* for results in the middle that do not fit the output's memory */
} ingot_chain;

/* Last thing in the host's infer(): output 0 holds the host's own type and shape, and receives the chain's. */
ingot_status ingot_chain_infer(ingot_op_ctx *c);

/* The host's layout, as its fused nodes allow it: adds their inputs that should be blocked, or becomes plain. */
ingot_layout ingot_chain_layout(const ingot_op_ctx *c, ingot_layout own);

/* Are the host's fused nodes nothing, or one activation that its kernel can apply before it stores a result? */
bool ingot_chain_is_activation(const ingot_op_ctx *c);

/* What the host's kernel can do before it stores a result. */
enum { INGOT_CHAIN_ACT = 1, INGOT_CHAIN_RESIDUAL = 2, INGOT_CHAIN_BIAS = 4 /* along the last dimension */ };

/* Compile the chain. `host` is output 0's type and layout with the host's own shape. in_kernel: INGOT_CHAIN_ bits. */
ingot_status ingot_chain_prepare(ingot_op_ctx *c, const ingot_tensor *host, unsigned in_kernel, ingot_chain *chain);

/* In run(): where the host writes its result (`scratch`: chain->scratch_bytes that nothing else uses), with the
 * kernel's part in *kernel; and the passes that come after it. */
void *ingot_chain_begin(ingot_op_ctx *c, ingot_chain *chain, char *scratch, ingot_epilogue *kernel);
ingot_status ingot_chain_finish(ingot_op_ctx *c, ingot_chain *chain);

#endif
