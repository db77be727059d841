/* fuse_conv_add.c - Add after a convolution or matrix product becomes part of it: a residual connection is then added
 * while results are in registers. Where both operands are candidates the one that runs later takes the other in, so that
 * nothing waits for it. */
#include "engine/passes/pass.h"

#include "engine/passes/rewrite.h"

static bool is_host(const ingot_graph *graph, int value)
{
    const ingot_node *node = ingot_producer(graph, value);
    return ingot_can_host(node) && node->n_fused == 0 && node->outputs[0] == value && ingot_graph_only_user(graph, value) != INGOT_NONE;
}

ingot_status ingot_fuse_conv_add(ingot_pass_ctx *c)
{
    ingot_graph *graph = c->graph;
    for (int i = 0; i < graph->n_nodes; i++) {
        const ingot_node *node = graph->nodes[i];
        if (!ingot_is_op(node, "Add") || node->n_inputs != 2 || node->n_fused)
            continue;
        int slot = INGOT_NONE;
        for (int k = 0; k < 2; k++)
            if (node->inputs[k] != INGOT_NONE && is_host(graph, node->inputs[k]) &&
                (slot == INGOT_NONE || ingot_node_of(graph, node->inputs[k]) > ingot_node_of(graph, node->inputs[slot])))
                slot = k;
        if (slot == INGOT_NONE)
            continue;
        if (!ingot_graph_fuse(graph, ingot_node_of(graph, node->inputs[slot]), i, slot))
            return ingot_pass_out_of_memory(c);
        c->n_done++;
    }
    return INGOT_OK;
}
