/* fold_constants.c - computes nodes whose inputs are all constant, once and for all, by running them. Shape and what is
 * taken from it are folded too where the dimensions are known, although the value itself is not. */
#include "engine/passes/pass.h"

#include <string.h>

#include "engine/passes/rewrite.h"
#include "engine/passes/shapes.h"
#include "ops/op.h"

/* A folded result larger than this must not be larger than what it was made of: an Expand would fill the memory. */
enum { LARGE_BYTES = 16 << 20 };

/* Known here, a function of its inputs, all of them constant; no subgraph, which would need an executor of its own.
 * Random operators give other numbers in every run. */
static bool is_foldable(const ingot_graph *graph, const ingot_node *node)
{
    bool known;
    const ingot_op *op = ingot_op_find(node->domain, node->op_type, node->version, &known);
    if (!op || (op->flags & INGOT_OP_RANDOM) || node->n_captures || node->n_fused)
        return false;
    for (size_t a = 0; a < node->n_attrs; a++)
        if (node->attrs[a].type == INGOT_ATTR_GRAPH || node->attrs[a].type == INGOT_ATTR_GRAPHS)
            return false;
    for (int i = 0; i < node->n_all_inputs; i++)
        if (node->inputs[i] != INGOT_NONE && !ingot_constant(graph, node->inputs[i]))
            return false;
    for (int i = 0; i < node->n_outputs; i++) /* a graph output stays a node's */
        if (node->outputs[i] != INGOT_NONE && graph->values[node->outputs[i]].n_outputs)
            return false;
    return true;
}

/* Bytes of the constants among values; SIZE_MAX where they overflow. Constants that lie in the file count as
 * well: the limit is about growth. */
static size_t bytes_of(const ingot_graph *graph, const int *values, int n)
{
    size_t sum = 0;
    for (int i = 0; i < n; i++) {
        const ingot_const *constant = values[i] == INGOT_NONE ? NULL : graph->values[values[i]].constant;
        if (constant && !ingot_add_size(sum, ingot_storage_bytes(&constant->tensor), &sum))
            return SIZE_MAX;
    }
    return sum;
}

/* Would the result be too large? Known beforehand only where its shape is. Symbols count as 1, and an unknown type as 8
 * bytes, so this is a first guess: evaluate() looks again when it is done. */
static bool is_too_large(const ingot_shape *out, size_t input_bytes)
{
    size_t size_bytes = out->dtype ? ingot_dtype_size_bytes(out->dtype) : 8;
    for (int d = 0; d < out->rank; d++)
        if (out->dim[d] >= 0 && !ingot_mul_size(size_bytes, (size_t)out->dim[d], &size_bytes))
            return true;
    return size_bytes > LARGE_BYTES && size_bytes > input_bytes;
}

/* Run it, and keep the result when it is not too large. What cannot be computed now is left for the run to report. The
 * error text is dropped on purpose. True when the node is gone and its outputs are constants. */
static bool evaluate(ingot_pass_ctx *c, const ingot_shapes *shapes, int index)
{
    ingot_graph *graph = c->graph;
    ingot_node *node = graph->nodes[index];
    const size_t input_bytes = bytes_of(graph, node->inputs, node->n_all_inputs);
    if (!node->n_outputs || is_too_large(ingot_shape_of(shapes, node->outputs[0]), input_bytes))
        return false;
    if (c->options->evaluate(c->options->engine, graph, index, NULL)) {
        for (int i = 0; i < node->n_outputs; i++) /* nothing half done */
            if (node->outputs[i] != INGOT_NONE)
                graph->values[node->outputs[i]].constant = NULL;
        return false;
    }
    /* Now the sizes are known for certain. */
    const size_t output_bytes = bytes_of(graph, node->outputs, node->n_outputs);
    if (output_bytes > LARGE_BYTES && output_bytes > input_bytes) {
        for (int i = 0; i < node->n_outputs; i++)
            if (node->outputs[i] != INGOT_NONE)
                graph->values[node->outputs[i]].constant = NULL;
        return false;
    }
    ingot_graph_remove_node(graph, index);
    return true;
}

/* A node whose elements are known although its inputs are not: Shape, Size, and what is taken from them. Only results
 * that are int64 scalars or vectors, the types that shapes are computed in. A symbol among the elements leaves the node
 * as it is. False, too, when memory is out: not folding is never wrong. */
static bool fold_elements(ingot_graph *graph, const ingot_shapes *shapes, int index)
{
    const ingot_node *node = graph->nodes[index];
    const int out = node->n_outputs == 1 ? node->outputs[0] : INGOT_NONE;
    const ingot_shape *known = ingot_shape_of(shapes, out);
    if (node->opaque || out == INGOT_NONE || known->rank > 1 || graph->values[out].n_outputs)
        return false;
    ingot_const *constant = ingot_elements_constant(graph->arena, known);
    if (!constant)
        return false;
    graph->values[out].constant = constant;
    ingot_graph_remove_node(graph, index);
    return true;
}

/* In running order, so that results of folded nodes fold the nodes behind them in the same walk. Outputs that are the
 * graph's stay nodes' results. Shapes computed at the start stay right while folding, as folding changes none. */
static ingot_status fold_all(ingot_pass_ctx *c, const ingot_shapes *shapes)
{
    ingot_graph *graph = c->graph;
    for (int i = 0; i < graph->n_nodes; i++)
        if (graph->nodes[i]->op_type &&
            (is_foldable(graph, graph->nodes[i]) && c->options->evaluate ? evaluate(c, shapes, i)
                                                                         : fold_elements(graph, shapes, i)))
            c->n_done++;
    return INGOT_OK;
}

/* Before: y = f(c) for constants c; after: y is a constant. */
ingot_status ingot_fold_constants(ingot_pass_ctx *c) { return ingot_with_shapes(c, fold_all); }
