/* use_floats.c - 16-bit floats have kernels for what goes element by element; products, windows and sums are computed
 * in float, and rounded to 16 bits once. Here their nodes become float ones between Casts, so that weights are widened
 * and packed once, and float's layouts and fusions serve 16-bit models. What is fused into a product anyway, such as a
 * bias or a BatchNormalization, reads the float before it is rounded. */
#include "engine/passes/pass.h"

#include <string.h>

#include "engine/passes/rewrite.h"
#include "engine/passes/shapes.h"
#include "ops/weights.h"

/* Operators that are worth the Casts. */
static const char *const costly[] = {
    "Conv",      "ConvTranspose", "MatMul",     "Gemm",     "MaxPool",  "LSTM",         "GRU",
    "RNN",       "CumSum",        "ReduceMax",  "ReduceMin", "ReduceMean", "ReduceSum", "ReduceProd",
    "ReduceL1",  "ReduceL2",      "ReduceLogSum", "ReduceLogSumExp", "ReduceSumSquare"};

/* Those that read the float result of such a node where they alone read it, with constants beside it. */
static const char *const followers[] = {"Relu", "Clip", "BatchNormalization", "Add", "MaxPool"};

/* By value: the float that it is rounded from; and it as float again, a constant or made by a Cast. Or INGOT_NONE. */
typedef struct widening {
    ingot_graph *graph;
    const ingot_shapes *shapes;
    int n, *exact, *wide;
} widening;

/* Is the node one of the operators? */
static bool is_any(const ingot_node *node, const char *const *op_types, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (ingot_is_op(node, op_types[i]))
            return true;
    return false;
}
#define IS_ANY(node, op_types) is_any(node, op_types, sizeof(op_types) / sizeof *(op_types))

/* Is the value known to be of 16-bit floats? Values that were added since the types were inferred are not. */
static bool is_narrow(const widening *w, int value)
{
    return ingot_is_16bit(ingot_shape_of(w->shapes, value)->dtype);
}

/* The input of a follower that a node alone made for it, or INGOT_NONE. */
static int followed_input(const widening *w, const ingot_node *node)
{
    int followed = INGOT_NONE;

    if (!IS_ANY(node, followers) || node->n_outputs != 1)
        return INGOT_NONE;
    for (int i = 0; i < node->n_inputs; i++) {
        const int value = node->inputs[i];
        if (value == INGOT_NONE || ingot_constant(w->graph, value))
            continue;
        if (followed != INGOT_NONE || !is_narrow(w, value) || w->exact[value] == INGOT_NONE ||
            ingot_graph_only_user(w->graph, value) == INGOT_NONE)
            return INGOT_NONE;
        followed = i;
    }
    return followed;
}

/* Can the node be a float one? All types have to be known, and those of floats equal, as a node that would be refused
 * must be refused still. */
static bool can_widen(const widening *w, const ingot_node *node)
{
    if (node->n_fused || node->n_captures || !is_narrow(w, ingot_input(node, 0)) || !ingot_types_fit(w->shapes, node))
        return false;
    const ingot_dtype first = ingot_shape_of(w->shapes, node->inputs[0])->dtype;
    for (int i = 1; i < node->n_inputs; i++) {
        const ingot_dtype dtype = ingot_shape_of(w->shapes, node->inputs[i])->dtype;
        if (node->inputs[i] != INGOT_NONE && (!dtype || (ingot_is_float(dtype) && dtype != first)))
            return false;
    }
    for (int i = 0; i < node->n_outputs; i++)
        if (node->outputs[i] != INGOT_NONE && !ingot_shape_of(w->shapes, node->outputs[i])->dtype)
            return false;
    return true;
}

/* The value as float: constants stay where they are and are widened when they are read. INGOT_NONE when memory is
 * out. */
static int widen(const widening *w, int value)
{
    const ingot_const *constant = ingot_constant(w->graph, value);
    int *wide = &w->wide[value];

    if (*wide != INGOT_NONE)
        return *wide;
    *wide = ingot_add_unique_value(w->graph, w->graph->values[value].name);
    if (*wide == INGOT_NONE)
        return INGOT_NONE;
    if (constant && ingot_count(&constant->tensor))
        return (w->graph->values[*wide].constant = ingot_const_widened(w->graph->arena, constant)) ? *wide : INGOT_NONE;
    return ingot_add_cast(w->graph, value, *wide, INGOT_FLOAT) ? *wide : INGOT_NONE;
}

/* Node `index` reads and makes floats; `followed` is an input that is read unrounded, or INGOT_NONE. */
static bool make_float(const widening *w, int index, int followed)
{
    const ingot_node *node = w->graph->nodes[index];

    for (int i = 0; i < node->n_inputs; i++) {
        const int value = node->inputs[i];
        if (value == INGOT_NONE || !is_narrow(w, value))
            continue;
        const int wide = i == followed ? w->exact[value] : widen(w, value);
        if (wide == INGOT_NONE || !ingot_node_set_input(w->graph, index, i, wide))
            return false;
        if (i == followed)         /* nobody reads it rounded */
            ingot_graph_remove_node(w->graph, ingot_node_of(w->graph, value));
    }
    for (int i = 0; i < node->n_outputs; i++) {
        const int value = node->outputs[i];
        if (value == INGOT_NONE || !is_narrow(w, value))
            continue;
        const ingot_dtype dtype = ingot_shape_of(w->shapes, value)->dtype;
        const int exact = w->exact[value] = ingot_add_unique_value(w->graph, w->graph->values[value].name);
        if (exact == INGOT_NONE || !ingot_node_set_output(w->graph, index, i, exact) ||
            !ingot_add_cast(w->graph, exact, value, dtype))
            return false;
    }
    return true;
}

/* All nodes that there were; false when memory is out. */
static bool widen_nodes(const widening *w, int *n_done)
{
    const int n_nodes = w->graph->n_nodes;

    for (int v = 0; v < w->n; v++)
        w->exact[v] = w->wide[v] = INGOT_NONE;
    for (int i = 0; i < n_nodes; i++) {
        const ingot_node *node = w->graph->nodes[i];
        const int followed = followed_input(w, node);
        if ((followed == INGOT_NONE && !IS_ANY(node, costly)) || !can_widen(w, node))
            continue;
        if (!make_float(w, i, followed))
            return false;
        ++*n_done;
    }
    return true;
}

/* Before: y = Conv(x, W) of float16; after: y = Cast(Conv(Cast(x), W as float)). */
ingot_status ingot_use_floats(ingot_pass_ctx *c)
{
    ingot_shapes shapes;
    widening w = {c->graph, &shapes, c->graph->n_values, NULL, NULL};
    bool done = ingot_shapes_infer(&shapes, c->graph, c->is_main);

    w.exact = done ? ingot_alloc(c->graph->arena->memory, (size_t)w.n * 2 * sizeof *w.exact + 1) : NULL;
    w.wide = w.exact ? w.exact + w.n : NULL;
    done = w.exact && widen_nodes(&w, &c->n_done);
    ingot_release(c->graph->arena->memory, w.exact);
    ingot_shapes_free(&shapes);
    return done ? INGOT_OK : ingot_pass_out_of_memory(c);
}
