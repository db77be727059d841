/* refused.c - what keeps verdicts the same with passes and without: a node that would be refused must be there to be
 * refused, so passes ask here before they take one out or leave its results unread. */
#include "engine/passes/rewrite.h"
#include "engine/passes/shapes.h"
#include "ops/op.h"

bool ingot_value_stays(const ingot_shapes *shapes, int value)
{
    return value >= 0 && value < shapes->n && shapes->stays[value];
}

/* What no node makes, what is an output, and what is read by a node that wants more than a shape or a type. */
bool ingot_find_stays(ingot_shapes *s, const ingot_graph *graph)
{
    if (!(s->stays = ingot_alloc(s->memory, (size_t)s->n * sizeof *s->stays)))
        return false;
    for (int v = 0; v < s->n; v++)
        s->stays[v] = graph->values[v].producer == INGOT_NONE || graph->values[v].n_outputs;
    for (int i = 0; i < graph->n_nodes; i++) {
        const ingot_node *node = graph->nodes[i];
        const bool asks = ingot_is_op(node, "Shape") || ingot_is_op(node, "Size");
        const int n = !node->op_type || asks ? 0 : ingot_is_op(node, "CastLike") ? 1 : node->n_all_inputs;
        for (int k = 0; k < n; k++)
            if (node->inputs[k] != INGOT_NONE)
                s->stays[node->inputs[k]] = true;
    }
    return true;
}

bool ingot_types_fit(const ingot_shapes *shapes, const ingot_node *node)
{
    bool known;
    const ingot_op *op = ingot_op_find(node->domain, node->op_type, node->version, &known);
    const ingot_dtype first = ingot_shape_of(shapes, ingot_input(node, 0))->dtype;
    for (int i = 0; op && i < node->n_inputs; i++) {
        const ingot_dtype dtype = ingot_shape_of(shapes, node->inputs[i])->dtype;
        const uint64_t allowed = ingot_op_types(op, i);
        if (dtype && (allowed ? !(allowed >> dtype & 1) : first && dtype != first))
            return false;
    }
    return op;
}
