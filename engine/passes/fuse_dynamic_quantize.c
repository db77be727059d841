/* fuse_dynamic_quantize.c - what dynamic quantization makes of a product, DynamicQuantizeLinear, MatMulInteger, Cast,
 * Mul by both scales and Add of a bias, is one operator: DynamicQuantizeMatMul, or MatMulIntegerToFloat where several
 * products read what was quantized. Both are ONNX Runtime's; the numbers are those of the nodes, to the bit. */
#include "engine/passes/pass.h"

#include <string.h>

#include "engine/passes/rewrite.h"

/* The nodes of one product: values, and node numbers. scale is that of the quantized input, weight_scale one number or
 * one for each column, bias a vector or INGOT_NONE. quantize stays where others read it. */
typedef struct chain {
    int product, cast, mul, add;         /* add INGOT_NONE: there is none */
    int scale, weight_scale, bias;
    const ingot_node *quantize;
} chain;

/* The number of the node that alone reads the value, if it is this operator. INGOT_NONE for a graph output, too: it has
 * to stay. */
static int only_reader(const ingot_graph *graph, int value, const char *op_type)
{
    const int node = value == INGOT_NONE ? INGOT_NONE : ingot_graph_only_user(graph, value);
    return node != INGOT_NONE && ingot_is_op(graph->nodes[node], op_type) ? node : INGOT_NONE;
}

/* The other operand of a node of two. For a node that reads the value twice this is the value itself. */
static int other(const ingot_node *node, int value) { return node->inputs[node->inputs[0] == value ? 1 : 0]; }

/* A float constant of one element, or (`vector` alone) of n in one dimension. */
static bool is_row(const ingot_graph *graph, int value, int64_t n, bool vector)
{
    const ingot_const *constant = ingot_constant(graph, value);
    const ingot_tensor *t = constant ? &constant->tensor : NULL;
    return t && t->kind == INGOT_TENSOR && t->dtype == INGOT_FLOAT &&
           ((t->rank == 1 && t->shape[0] == n) || (!vector && t->rank <= 1 && ingot_count(t) == 1));
}

/* Does Mul node `index` multiply `sums` by the scale of what was quantized and constant scales of the weights?
 * Exporters multiply both scales first, Mul(scale, weight_scale), and the sums by that. The Mul of the scales has no
 * other check: it is left without readers, or stays for those it has. */
static bool find_scales(const ingot_graph *graph, chain *c, int sums, int64_t n)
{
    const ingot_node *product = ingot_producer(graph, other(graph->nodes[c->mul], sums));
    if (!ingot_is_op(product, "Mul") || product->n_inputs != 2)
        return false;
    c->scale = c->quantize->outputs[1];
    if (product->inputs[0] != c->scale && product->inputs[1] != c->scale)
        return false;
    c->weight_scale = other(product, c->scale);
    return is_row(graph, c->weight_scale, n, false);
}

/* The chain that begins with MatMulInteger node `index`, whose weights are a matrix. The values between must have one
 * reader each, since they are not computed any more. A bias that does not fit is left to an Add of its own, and the
 * chain ends before it. */
static bool find_chain(const ingot_graph *graph, int index, chain *c)
{
    const ingot_node *product = graph->nodes[index];
    const ingot_const *weights = ingot_constant(graph, ingot_input(product, 1));
    *c = (chain){.product = index, .add = INGOT_NONE, .bias = INGOT_NONE,
                 .quantize = ingot_producer(graph, ingot_input(product, 0))};
    if (!weights || weights->tensor.rank != 2 || !ingot_is_op(c->quantize, "DynamicQuantizeLinear") ||
        c->quantize->n_outputs != 3 || c->quantize->outputs[0] != product->inputs[0] ||
        c->quantize->outputs[2] != ingot_input(product, 2) || c->quantize->outputs[1] == INGOT_NONE)
        return false;
    const int64_t n = weights->tensor.shape[1];
    /* MatMulInteger gives int32 sums, which the Cast makes floats. */
    c->cast = only_reader(graph, ingot_output(product), "Cast");
    if (c->cast == INGOT_NONE || ingot_attr_int(graph->nodes[c->cast], "to", INGOT_UNDEFINED) != INGOT_FLOAT)
        return false;
    const int sums = ingot_output(graph->nodes[c->cast]);
    c->mul = only_reader(graph, sums, "Mul");
    if (c->mul == INGOT_NONE || graph->nodes[c->mul]->n_fused || !find_scales(graph, c, sums, n))
        return false;
    const int scaled = ingot_output(graph->nodes[c->mul]);
    /* A bias is optional. */
    c->add = only_reader(graph, scaled, "Add");
    if (c->add != INGOT_NONE) {
        c->bias = other(graph->nodes[c->add], scaled);
        if (graph->nodes[c->add]->n_fused || !is_row(graph, c->bias, n, true))
            c->add = c->bias = INGOT_NONE;
    }
    return true;
}

/* The product becomes the operator, and makes the result of the chain's last node. DynamicQuantizeMatMul quantizes by
 * itself, so it stands for the DynamicQuantizeLinear as well; that is right only where nobody else reads what this
 * makes. False when memory is out. */
static bool fuse(ingot_graph *graph, const chain *c)
{
    ingot_node *product = graph->nodes[c->product];
    const int *made = c->quantize->outputs, zero = ingot_input(product, 3), weights = product->inputs[1];
    bool alone = true;
    for (int i = 0; i < 3; i++) /* the scale is read by the Mul of the scales, which goes as well */
        alone &= graph->values[made[i]].n_uses == 1 && !graph->values[made[i]].n_outputs;
    const int last = c->add == INGOT_NONE ? c->mul : c->add, result = ingot_output(graph->nodes[last]);
    const int dynamic[] = {c->quantize->inputs[0], weights, c->weight_scale, zero, c->bias};
    const int shared[] = {made[0], weights, c->scale, c->weight_scale, made[2], zero, c->bias};
    const int *inputs = alone ? dynamic : shared, n = alone ? 5 : 7;
    product->op_type = alone ? "DynamicQuantizeMatMul" : "MatMulIntegerToFloat";
    product->domain = "com.microsoft";
    product->version = 1;
    product->op = NULL;
    bool ok = ingot_node_set_n_inputs(graph, c->product, c->bias == INGOT_NONE ? n - 1 : n);
    for (int i = 0; ok && i < product->n_inputs; i++)
        ok = ingot_node_set_input(graph, c->product, i, inputs[i]);
    ingot_graph_remove_node(graph, c->cast);
    if (last != c->mul)
        ingot_graph_remove_node(graph, c->mul);
    return ok && ingot_take_over_output(graph, c->product, result, last);
}

/* Before: y = Add(Mul(Cast(MatMulInteger(q, W, ...)), Mul(scale, w_scale)), b), q and scale from
 * DynamicQuantizeLinear(x); after: y = DynamicQuantizeMatMul(x, W, w_scale, zero, b). */
ingot_status ingot_fuse_dynamic_quantize(ingot_pass_ctx *c)
{
    for (int i = 0; i < c->graph->n_nodes; i++) {
        chain found;
        if (!ingot_is_op(c->graph->nodes[i], "MatMulInteger") || !find_chain(c->graph, i, &found))
            continue;
        if (!fuse(c->graph, &found))
            return ingot_pass_out_of_memory(c);
        c->n_done++;
    }
    return INGOT_OK;
}
