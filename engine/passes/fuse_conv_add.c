/* fuse_conv_add.c - Add after a convolution or matrix product becomes part of it: a residual connection is then added
 * while results are in registers. Where both operands are candidates the one that runs later takes the other in, so
 * that nothing waits for it. The other operand must be proven not to make the result larger. */
#include "engine/passes/pass.h"

#include "engine/passes/rewrite.h"
#include "engine/passes/shapes.h"

/* Only the Add may read the result, and nothing is fused yet but a constant (the bias) into a MatMul. A bias is added
 * before a residual, so the order of fused nodes is the order of the arithmetic. */
static bool is_host(const ingot_graph *graph, int value)
{
    const ingot_node *node = ingot_producer(graph, value);
    if (!ingot_can_host(node) || node->outputs[0] != value || ingot_graph_only_user(graph, value) == INGOT_NONE)
        return false;
    return node->n_fused == 0 ||
           (node->n_fused == 1 && ingot_is_op(node, "MatMul") && ingot_is_op(node->fused[0].node, "Add") &&
            ingot_constant(graph, node->inputs[node->fused[0].first_input]));
}

/* Is the sum of result and other sure to have the shape of result? Each dimension of `other` must be 1 or equal to that
 * of the result, aligned at the end. Equal symbols are equal sizes; anything unknown is a no. */
static bool keeps_shape(const ingot_graph *graph, const ingot_shapes *shapes, int result, int other)
{
    const ingot_shape *a = ingot_shape_of(shapes, result), *b = ingot_shape_of(shapes, other);
    const ingot_node *host = ingot_producer(graph, result);
    if (a->rank < 0 && b->rank == 1 && ingot_is_op(host, "MatMul")) { /* a row, whatever the rank */
        const ingot_shape *weights = ingot_shape_of(shapes, ingot_input(host, 1));
        return weights->rank >= 2 && (b->dim[0] == 1 || b->dim[0] == weights->dim[weights->rank - 1]);
    }
    bool keeps = a->rank >= 0 && b->rank >= 0 && b->rank <= a->rank;
    for (int d = 1; keeps && d <= b->rank; d++)
        keeps = b->dim[b->rank - d] == 1 || b->dim[b->rank - d] == a->dim[a->rank - d];
    return keeps;
}

/* The later of two candidates is the host: the other operand is then there when it runs. Both may be candidates where
 * two branches meet: node numbers are running order here, as the graph was sorted before. */
static ingot_status fuse_all(ingot_pass_ctx *c, const ingot_shapes *shapes)
{
    ingot_graph *graph = c->graph;
    for (int i = 0; i < graph->n_nodes; i++) {
        const ingot_node *node = graph->nodes[i];
        if (!ingot_is_op(node, "Add") || node->n_inputs != 2 || node->n_fused || ingot_output(node) == INGOT_NONE)
            continue;
        int slot = INGOT_NONE;
        for (int k = 0; k < 2; k++)
            if (node->inputs[k] != INGOT_NONE && is_host(graph, node->inputs[k]) &&
                keeps_shape(graph, shapes, node->inputs[k], node->inputs[1 - k]) &&
                (slot == INGOT_NONE ||
                 ingot_node_of(graph, node->inputs[k]) > ingot_node_of(graph, node->inputs[slot])))
                slot = k;
        if (slot == INGOT_NONE)
            continue;
        if (!ingot_fuse_into(graph, ingot_node_of(graph, node->inputs[slot]), i, slot))
            return ingot_pass_out_of_memory(c);
        c->n_done++;
    }
    return INGOT_OK;
}

/* Before: y = Conv(x), z = Add(y, r); after: z = Conv(x) with r as a further input and the Add in its list of fused
 * nodes. */
ingot_status ingot_fuse_conv_add(ingot_pass_ctx *c) { return ingot_with_shapes(c, fuse_all); }
