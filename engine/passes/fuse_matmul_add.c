/* fuse_matmul_add.c - MatMul of two matrices and Add of a constant row is Gemm, which adds the row in its epilogue and
 * into which a BatchNormalization folds. The left operand's rank must be proven to be 2. */
#include "engine/passes/pass.h"

#include "engine/passes/rewrite.h"
#include "engine/passes/shapes.h"

/* Does constant `value` broadcast into (rows, n) without varying between rows? (n), (1, n) and single elements do; a
 * column (m, 1) varies between rows. */
static bool is_row(const ingot_graph *graph, int value, int64_t n)
{
    const ingot_const *constant = ingot_constant(graph, value);
    if (!constant || constant->tensor.kind != INGOT_TENSOR || constant->tensor.rank > 2)
        return false;
    const ingot_tensor *t = &constant->tensor;
    return ingot_count(t) == 1 || (t->shape[t->rank - 1] == n && ingot_count(t) == n);
}

/* The product becomes a Gemm in place and takes over the result of the Add. A left operand of higher rank stays a
 * MatMul: Gemm takes matrices only. */
static ingot_status fuse_all(ingot_pass_ctx *c, const ingot_shapes *shapes)
{
    ingot_graph *graph = c->graph;
    ingot_status status = INGOT_OK;
    for (int i = 0; !status && i < graph->n_nodes; i++) {
        ingot_node *product = graph->nodes[i];
        if (!ingot_is_op(product, "MatMul") || product->n_fused || product->n_inputs != 2)
            continue;
        /* A matrix of known width, and an Add as the only reader of the product. */
        const ingot_shape *a = ingot_shape_of(shapes, product->inputs[0]);
        const ingot_shape *b = ingot_shape_of(shapes, product->inputs[1]);
        const ingot_node *add = ingot_single_reader(graph, ingot_output(product));
        if (!ingot_is_op(add, "Add") || ingot_output(add) == INGOT_NONE || add->n_inputs != 2 || add->n_fused ||
            b->rank != 2 || b->dim[1] < 0)
            continue;
        const int bias = add->inputs[add->inputs[0] == product->outputs[0] ? 1 : 0];
        if (!is_row(graph, bias, b->dim[1]))
            continue;
        if (a->rank != 2) {
            ingot_pass_kept(c, product, a->rank < 0 ? "the rank of its input is not known" : "its input has rank %d",
                            a->rank);
            continue;
        }
        /* In place: the node keeps its number and its first two inputs. */
        const int out = add->outputs[0], index = graph->values[product->outputs[0]].uses->node;
        product->op_type = "Gemm";
        product->op = NULL;
        product->version = MAX(product->version, 7); /* from there on C is broadcast */
        if (!ingot_node_set_n_inputs(graph, i, 3) || !ingot_node_set_input(graph, i, 2, bias) ||
            !ingot_take_over_output(graph, i, out, index))
            status = ingot_pass_out_of_memory(c);
        c->n_done++;
    }
    return status;
}

/* Before: z = Add(MatMul(A, B), c); after: z = Gemm(A, B, c) with alpha and beta left at 1. */
ingot_status ingot_fuse_matmul_add(ingot_pass_ctx *c) { return ingot_with_shapes(c, fuse_all); }
