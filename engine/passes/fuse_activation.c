/* fuse_activation.c - an activation after a convolution or matrix product becomes part of it: it is then computed while
 * results are in registers. Only those are fused that the kernels' epilogue has. */
#include "engine/passes/pass.h"

#include "engine/passes/rewrite.h"

/* Operators of the default domain, by name. */
static const char *const activations[] = {"Relu",      "Clip",        "LeakyRelu", "Sigmoid", "Tanh",
                                          "HardSwish", "HardSigmoid", "Gelu",      "Swish",   "Elu"};

/* Is it one of the list? */
static bool is_activation(const ingot_node *node)
{
    for (size_t i = 0; i < sizeof activations / sizeof *activations; i++)
        if (ingot_is_op(node, activations[i]))
            return true;
    return false;
}

/* A residual Add may be fused already: the activation comes after it. Nothing comes after an activation. */
static bool is_host(const ingot_node *node)
{
    return ingot_can_host(node) && (!node->n_fused || !is_activation(node->fused[node->n_fused - 1].node));
}

/* The bounds of a Clip have to be numbers that do not change. The epilogue takes its parameters when it is prepared.
 * Operators other than Clip have one input, so that the loop finds nothing. */
static bool has_constant_bounds(const ingot_graph *graph, const ingot_node *node)
{
    double number;
    for (int i = 1; i < node->n_inputs; i++)
        if (node->inputs[i] != INGOT_NONE && !ingot_constant_number(graph, node->inputs[i], &number))
            return false;
    return true;
}

/* The value between must have the activation as its only reader and be no graph output, since it is never written.
 * Before: y = Conv(x), z = Relu(y); after: z = Conv(x) with Relu in its list of fused nodes. The node is kept whole,
 * and the writer takes it out again. */
ingot_status ingot_fuse_activation(ingot_pass_ctx *c)
{
    ingot_graph *graph = c->graph;
    for (int i = 0; i < graph->n_nodes; i++) {
        const ingot_node *node = graph->nodes[i];
        if (!is_activation(node) || node->n_fused || ingot_input(node, 0) == INGOT_NONE ||
            ingot_output(node) == INGOT_NONE)
            continue;
        const int value = node->inputs[0], host = ingot_node_of(graph, value);
        if (host == INGOT_NONE || !is_host(graph->nodes[host]) || graph->nodes[host]->outputs[0] != value ||
            ingot_graph_only_user(graph, value) == INGOT_NONE || !has_constant_bounds(graph, node))
            continue;
        if (!ingot_fuse_into(graph, host, i, 0))
            return ingot_pass_out_of_memory(c);
        c->n_done++;
    }
    return INGOT_OK;
}
