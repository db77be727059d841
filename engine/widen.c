/* widen.c - a float model made a double one, in memory: the shadow that a verification holds results against. Every
 * float type becomes double: initializers, declared types, the types that attributes name. An operator that has no
 * double form keeps its float one between two Casts, and the report names it.
 *
 * With noise, each weight w becomes w * (1 + noise * u) for a random u of -1 to 1: how far the results of several such
 * models lie apart shows how far rounding may carry them. A sum of k products rounds k times, so that noise grows with
 * the square root of k. Only weights get noise: a size or a limit that is a float must stay what it is. */
#include "engine/widen.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "engine/passes/rewrite.h"
#include "engine/passes/shapes.h"
#include "ops/op.h"

enum { REPORT_BYTES = 400 };

/* State of one call. The random numbers go on from constant to constant, so that the seed decides all of them. */
typedef struct widening {
    double noise;
    uint64_t random; /* state of the generator */
    int n_narrow;    /* nodes that stay float */
    char report[REPORT_BYTES];
} widening;

/* Types that become double; the 8-bit floats are quantized values and stay. */
static bool is_narrow(ingot_dtype dtype)
{
    return dtype == INGOT_FLOAT || dtype == INGOT_FLOAT16 || dtype == INGOT_BFLOAT16;
}

/* Types that do not become double are given back as they are. */
ingot_dtype ingot_wide_dtype(ingot_dtype dtype) { return is_narrow(dtype) ? INGOT_DOUBLE : dtype; }

/* SplitMix64 (Steele, Lea and Flood, 2014), as a number from -1 to 1. One step of the generator. */
static double next_random(widening *w)
{
    uint64_t z = w->random += UINT64_C(0x9e3779b97f4a7c15);
    z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
    return (double)(int64_t)(z ^ (z >> 31)) * 0x1p-63;
}

/* ---- constants -------------------------------------------------------------------------------------------------- */

/* How strongly a value's elements are to be disturbed: 0 unless all that read it take it for a weight. The factor is
 * that of the sum's rounding: half the square root of its length, at least 1. */
static double noise_of(const widening *w, const ingot_graph *graph, const ingot_value *value)
{
    static const char *const readers[] = {"Conv",
                                          "ConvTranspose",
                                          "Gemm",
                                          "MatMul",
                                          "BatchNormalization",
                                          "PRelu",
                                          "LayerNormalization",
                                          "GroupNormalization",
                                          "InstanceNormalization",
                                          "RMSNormalization",
                                          "Add",
                                          "Sub",
                                          "Mul",
                                          "Div",
                                          "LSTM",
                                          "GRU",
                                          "RNN"};
    const ingot_tensor *t = &value->constant->tensor;
    int64_t length = 1; /* of a sum of products, as far as the shape tells */
    for (const ingot_use *use = value->uses; use; use = use->next) {
        const ingot_node *node = graph->nodes[use->node];
        bool known = false;
        for (size_t i = 0; i < sizeof readers / sizeof *readers; i++)
            known |= ingot_is_op(node, readers[i]);
        if (!strcmp(node->op_type, "MatMulNBits") && use->slot == 2) { /* scales: the noise of the weights is theirs */
            length = MAX(length, ingot_attr_int(node, "K", 1));
            known = true;
        }
        if (!known)
            return 0;
    }
    if (t->rank == 2)
        length = MAX(length, MAX(t->shape[0], t->shape[1]));
    else if (t->rank > 2 && t->shape[0])
        length = MAX(length, ingot_count(t) / t->shape[0]);
    return w->noise * fmax(1, 0.5 * sqrt((double)length));
}

/* A constant of doubles with the same elements. NULL when memory is out. The copy is in the arena; the old constant is
 * left to others that share it. */
static ingot_const *widen_constant(ingot_arena *arena, const ingot_const *from, double noise, widening *w)
{
    const int64_t n = ingot_count(&from->tensor);
    ingot_const *to = ingot_arena_alloc(arena, sizeof *to);
    double *elements = ingot_arena_array(arena, (size_t)n + 1, sizeof *elements);
    ingot_const plain = *from;
    if (!to || !elements || !ingot_const_materialize(arena, &plain))
        return NULL;
    for (int64_t i = 0; i < n; i++) {
        elements[i] = ingot_double_at(&plain.tensor, i);
        if (noise > 0)
            elements[i] *= 1 + noise * next_random(w);
    }
    *to = (ingot_const){.tensor = from->tensor, .source = elements, .from_file = from->from_file};
    to->tensor.dtype = INGOT_DOUBLE;
    to->tensor.data = elements;
    return to;
}

/* Declared types, down to the items of sequences and optionals. */
void ingot_widen_type(ingot_type *type)
{
    for (; type; type = type->item)
        type->dtype = ingot_wide_dtype(type->dtype);
}

/* Types of all values, and the elements of constants. Constants that were shared by several values get a copy for each.
 * False when memory is out. */
static bool widen_values(ingot_graph *graph, widening *w)
{
    for (int v = 0; v < graph->n_values; v++) {
        ingot_value *value = &graph->values[v];
        ingot_widen_type(&value->type);
        if (!value->constant || value->constant->tensor.kind != INGOT_TENSOR ||
            !is_narrow(value->constant->tensor.dtype))
            continue;
        if (!(value->constant = widen_constant(graph->arena, value->constant, noise_of(w, graph, value), w)))
            return false;
    }
    return true;
}

/* ---- attributes ------------------------------------------------------------------------------------------------- */

/* Attributes that name the type of a result, or hold the elements of one. Tensors of attributes get no noise: they are
 * no weights. False when memory is out. */
static bool widen_attributes(ingot_graph *graph, ingot_node *node, widening *w)
{
    static const char *const names[] = {"to", "dtype", "output_datatype"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        if (is_narrow((ingot_dtype)ingot_attr_int(node, names[i], INGOT_UNDEFINED)) &&
            !ingot_node_set_int(graph, node, names[i], INGOT_DOUBLE))
            return false;
    for (size_t a = 0; a < node->n_attrs; a++) {
        ingot_attr *attr = &node->attrs[a];
        if (attr->type != INGOT_ATTR_TENSOR || !is_narrow(attr->tensors[0]->tensor.dtype))
            continue;
        ingot_const **tensors = ingot_arena_array(graph->arena, 1, sizeof *tensors);
        if (!tensors || !(tensors[0] = widen_constant(graph->arena, attr->tensors[0], 0, w)))
            return false;
        attr->tensors = (ingot_const *const *)tensors;
    }
    return true;
}

/* ---- operators without a double form ---------------------------------------------------------------------------- */

/* The types that the operator takes at input i, or 0: any that input 0 has. A set of 0 at this input or one before it
 * stands for input 0's. */
static uint64_t types_at(const ingot_op *op, int i)
{
    for (int k = 0; k <= i && k < 6; k++)
        if (!op->types[k])
            return op->types[0];
    return op->types[MIN(i, 5)];
}

/* Can input i be float but not double? */
static bool takes_only_float(const ingot_op *op, int i)
{
    const uint64_t types = types_at(op, i);
    return types & INGOT_TYPE(FLOAT) && !(types & INGOT_TYPE(DOUBLE));
}

/* Is output i a float one, where the operator is one of those that have no double form? DynamicQuantizeLinear's output
 * 1 is its scale. */
static bool gives_float(const ingot_node *node, int i)
{
    static const char *const never[] = {"QuantizeLinear", "QLinearConv", "QLinearMatMul", "NonMaxSuppression"};
    for (size_t k = 0; k < sizeof never / sizeof *never; k++)
        if (ingot_is_op(node, never[k]))
            return false;
    return !ingot_is_op(node, "DynamicQuantizeLinear") || i == 1;
}

/* Put Casts around a node. Inputs whose type is known to be no float one are left as they are. Outputs are cast back
 * only where input 0 (or a scale of DequantizeLinear) was cast: else they are double by themselves. *any tells whether
 * there was an input to cast. False when memory is out. */
static bool keep_narrow(ingot_graph *graph, int index, const ingot_op *op, const ingot_shapes *shapes, bool *any)
{
    const ingot_node *node = graph->nodes[index];
    bool first = false;
    for (int i = 0; i < node->n_inputs; i++) {
        const int value = node->inputs[i];
        if (value == INGOT_NONE || !takes_only_float(op, i))
            continue;
        const ingot_dtype dtype = ingot_shape_of(shapes, value)->dtype;
        if (dtype && !is_narrow(dtype))
            continue;
        const int cast = ingot_add_unique_value(graph, "narrowed");
        if (cast == INGOT_NONE || !ingot_add_cast(graph, value, cast, INGOT_FLOAT) ||
            !ingot_node_set_input(graph, index, i, cast))
            return false;
        *any = true;
        first |= i == 0 || ingot_is_op(node, "DequantizeLinear");
    }
    for (int i = 0; first && i < node->n_outputs; i++) {
        const int value = node->outputs[i];
        if (value == INGOT_NONE || !gives_float(node, i))
            continue;
        const int narrow = ingot_add_unique_value(graph, "narrow");
        if (narrow == INGOT_NONE || !ingot_node_set_output(graph, index, i, narrow) ||
            !ingot_add_cast(graph, narrow, value, INGOT_DOUBLE))
            return false;
    }
    return true;
}

/* One line for the report; of many nodes the first. Four of them; the rest is counted. */
static void note_narrow(widening *w, const ingot_node *node)
{
    const size_t used = strlen(w->report);
    if (w->n_narrow++ < 4)
        snprintf(w->report + used, sizeof w->report - used, "%s'%.50s' (%.30s)", w->n_narrow > 1 ? ", " : "",
                 node->name, node->op_type);
}

/* Attributes of all nodes, and Casts around those that have no double form; nodes added here are behind n_nodes. Nodes
 * of unknown operators are left alone: they are an error later. */
static bool widen_nodes(ingot_graph *graph, const ingot_shapes *shapes, widening *w)
{
    const int n_nodes = graph->n_nodes;
    for (int i = 0; i < n_nodes; i++) {
        ingot_node *node = graph->nodes[i];
        bool known, narrow = false;
        const ingot_op *op = ingot_op_find(node->domain, node->op_type, node->version, &known);
        if (!widen_attributes(graph, node, w) || (op && !keep_narrow(graph, i, op, shapes, &narrow)))
            return false;
        if (narrow && !ingot_is_op(node, "Resize")) /* whose scales alone are float */
            note_narrow(w, node);
    }
    return true;
}

/* Types are inferred before anything changes: they tell which inputs are float. Each graph is sorted again, as Casts
 * were added at the end. After a failure the graph can only be freed. */
ingot_status ingot_widen_graph(ingot_graph *graph, double noise, uint64_t seed,
                               void (*report)(void *sink, const char *line), void *sink, ingot_error *error)
{
    widening w = {.noise = noise, .random = seed};
    char line[REPORT_BYTES + 80];
    int n_graphs;
    ingot_graph **graphs = ingot_all_graphs(graph, &n_graphs);
    bool done = graphs != NULL;
    ingot_status status = INGOT_OK;
    for (int g = 0; g < n_graphs && done && !status; g++) {
        ingot_shapes shapes;
        done = ingot_shapes_infer(&shapes, graphs[g], g == 0) && widen_values(graphs[g], &w) &&
               widen_nodes(graphs[g], &shapes, &w);
        ingot_shapes_free(&shapes);
        if (done)
            status = ingot_graph_sort(graphs[g], error);
    }
    ingot_release(graph->arena->memory, graphs);
    if (!done)
        return ingot_out_of_memory(error);
    snprintf(line, sizeof line, "float64: %d nodes stay float32%s%s%s", w.n_narrow, w.n_narrow ? ": " : "", w.report,
             w.n_narrow > 4 ? ", ..." : "");
    if (report)
        report(sink, line);
    return status;
}
