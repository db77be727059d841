/* dead_code.c - takes out nodes whose results nobody reads. ONNX nodes have no effect but their outputs. Walking
 * against the running order, a node is seen after all of its readers, so that one walk is enough. */
#include "engine/passes/pass.h"

/* A removed node's inputs lose their use at once, so whole chains go in one walk. */
ingot_status ingot_dead_code(ingot_pass_ctx *c)
{
    ingot_graph *graph = c->graph;
    for (int i = graph->n_nodes - 1; i >= 0; i--) {
        const ingot_node *node = graph->nodes[i];
        bool wanted = false;
        for (int k = 0; node->op_type && k < node->n_outputs; k++)
            if (node->outputs[k] != INGOT_NONE) {
                const ingot_value *value = &graph->values[node->outputs[k]];
                wanted |= value->n_uses || value->n_outputs;
            }
        if (node->op_type && !wanted) {
            ingot_graph_remove_node(graph, i);
            c->n_done++;
        }
    }
    return INGOT_OK;
}
