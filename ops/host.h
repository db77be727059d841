/* host.h - the engine's side of an operator's context: what op.c forwards to. Operators use op.h, not this. */
#ifndef INGOT_OPS_HOST_H
#define INGOT_OPS_HOST_H

#include "ops/op.h"

/* What constants are read into while they are packed: one block for one after the other, so that its pages come in
 * once. Kept until all steps are prepared. */
typedef struct ingot_read_block {
    void *data;
    size_t size_bytes;
    bool taken;
} ingot_read_block;

struct ingot_host {
    ingot_memory *memory;
    ingot_read_block *block;
    void *(*keep)(ingot_op_ctx *c, size_t size_bytes);
    void *(*packed)(ingot_op_ctx *c, const ingot_node *node, uint64_t tag, size_t size_bytes, bool *fill);
    void *(*run_alloc)(ingot_op_ctx *c, size_t size_bytes);
    bool (*allocate_output)(ingot_op_ctx *c, int index); /* memory for the shape that out[index] has now */
    ingot_status (*call)(ingot_op_ctx *c, const ingot_graph *graph, const ingot_tensor *const *inputs, int n_inputs,
                         ingot_tensor *outputs, int n_outputs);
};

#endif
