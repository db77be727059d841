/* fold_constants.c - computes nodes whose inputs are all constant, once and for all, by running them. Shape, Size and a
 * Gather of a Shape are folded too where the dimensions are known, although the value itself is not. */
#include "engine/passes/pass.h"

#include <string.h>

#include "engine/passes/rewrite.h"
#include "engine/passes/shapes.h"
#include "ops/op.h"

/* A folded result larger than this must not be larger than what it was made of: an Expand would fill the memory. */
enum { LARGE_BYTES = 16 << 20 };

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

/* Would the result be too large? Known beforehand only where its shape is. */
static bool is_too_large(const ingot_shape *out, size_t input_bytes)
{
    size_t size_bytes = out->dtype ? ingot_dtype_size_bytes(out->dtype) : 8;
    for (int d = 0; d < out->rank; d++)
        if (out->dim[d] >= 0 && !ingot_mul_size(size_bytes, (size_t)out->dim[d], &size_bytes))
            return true;
    return size_bytes > LARGE_BYTES && size_bytes > input_bytes;
}

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

/* The dimensions [start, end) that a Shape node gives; false where one is not known. */
static bool shape_range(const ingot_shapes *shapes, const ingot_node *node, int64_t *dims, int *n)
{
    const ingot_shape *x = ingot_shape_of(shapes, node->inputs[0]);
    if (x->rank < 0)
        return false;
    int64_t start = ingot_attr_int(node, "start", 0), end = ingot_attr_int(node, "end", x->rank);
    start = MIN(MAX(start < 0 ? start + x->rank : start, 0), x->rank);
    end = MIN(MAX(end < 0 ? end + x->rank : end, 0), x->rank);
    *n = 0;
    for (int64_t d = start; d < end; d++)
        dims[(*n)++] = x->dim[d];
    return true;
}

static bool make_ints(ingot_graph *graph, int index, int rank, const int64_t *elements, int64_t n)
{
    const int out = graph->nodes[index]->outputs[0];
    int64_t copy[INGOT_SHAPE_RANK + 1] = {0};
    memcpy(copy, elements, (size_t)n * sizeof *copy);
    const ingot_tensor t = {.dtype = INGOT_INT64, .rank = rank, .shape = {n}, .data = copy};
    ingot_const *constant = graph->values[out].n_outputs ? NULL : ingot_const_create(graph->arena, &t);
    if (!constant)
        return false;
    graph->values[out].constant = constant;
    ingot_graph_remove_node(graph, index);
    return true;
}

/* Shape, Size and Gather(Shape(x), constants), as far as the dimensions of x are known. */
static bool fold_shape(ingot_graph *graph, const ingot_shapes *shapes, int index)
{
    const ingot_node *node = graph->nodes[index];
    int64_t dims[INGOT_SHAPE_RANK], picked[INGOT_SHAPE_RANK], count = 1;
    int n, n_indices;
    const bool is_gather = ingot_is_op(node, "Gather"), is_size = ingot_is_op(node, "Size");
    const ingot_node *source = is_gather ? ingot_producer(graph, ingot_input(node, 0)) : node;
    if (!(is_gather ? ingot_is_op(source, "Shape") : is_size || ingot_is_op(node, "Shape")) ||
        ingot_input(source, 0) == INGOT_NONE || !node->n_outputs || node->outputs[0] == INGOT_NONE ||
        !shape_range(shapes, source, dims, &n))
        return false;
    if (is_gather) {
        if (!ingot_constant_ints(graph, ingot_input(node, 1), picked, INGOT_SHAPE_RANK, &n_indices))
            return false;
        for (int i = 0; i < n_indices; i++) {
            const int64_t at = picked[i] < 0 ? picked[i] + n : picked[i];
            if (at < 0 || at >= n || dims[at] < 0)
                return false;
            picked[i] = dims[at];
        }
        const int rank = ingot_constant(graph, node->inputs[1])->tensor.rank;
        return make_ints(graph, index, rank, picked, n_indices);
    }
    for (int i = 0; i < n; i++)
        if (dims[i] < 0 || __builtin_mul_overflow(count, dims[i], &count))
            return false;
    return is_size ? make_ints(graph, index, 0, &count, 1) : make_ints(graph, index, 1, dims, n);
}

ingot_status ingot_fold_constants(ingot_pass_ctx *c)
{
    ingot_graph *graph = c->graph;
    ingot_shapes shapes;
    if (!ingot_shapes_infer(&shapes, graph, c->is_main)) {
        ingot_shapes_free(&shapes);
        return ingot_pass_out_of_memory(c);
    }
    for (int i = 0; i < graph->n_nodes; i++)
        if (graph->nodes[i]->op_type &&
            (fold_shape(graph, &shapes, i) ||
             (c->options->evaluate && is_foldable(graph, graph->nodes[i]) && evaluate(c, &shapes, i))))
            c->n_done++;
    ingot_shapes_free(&shapes);
    return INGOT_OK;
}
