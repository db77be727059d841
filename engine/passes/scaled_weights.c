/* scaled_weights.c - constants times a factor per index. Along one axis that is only noted, in the constant itself;
 * where factors go with two axes (groups), or with another axis than the one that has factors already, the elements are
 * computed here, row by row. */
#include <string.h>

#include "engine/passes/absorb.h"
#include "engine/passes/rewrite.h"

/* Nothing but float and double can be scaled without losing more than one rounding. Inputs with a default are none: a
 * run may replace them. */
bool ingot_is_weights(const ingot_graph *graph, int value, int min_rank)
{
    const ingot_const *constant = ingot_constant(graph, value);
    return constant && constant->tensor.kind == INGOT_TENSOR && constant->tensor.rank >= min_rank &&
           (constant->tensor.dtype == INGOT_FLOAT || constant->tensor.dtype == INGOT_DOUBLE);
}

/* A new value for a constant that shares its elements with the one of value `like`. The old value keeps its record:
 * other nodes may read it. INGOT_NONE when memory is out. */
static int add_const(ingot_graph *graph, int like, const ingot_const *constant)
{
    ingot_const *own = ingot_arena_copy(graph->arena, constant, sizeof *own);
    const int id = own ? ingot_add_unique_value(graph, graph->values[like].name) : INGOT_NONE;
    if (id != INGOT_NONE) {
        own->from_file = false;
        graph->values[id].constant = own;
        graph->values[id].type.dtype = own->tensor.dtype;
    }
    return id;
}

/* The record of the file is left out: its pages are let go. */
int ingot_add_computed(ingot_graph *graph, int value, void *data)
{
    ingot_const computed = *graph->values[value].constant;
    computed.tensor.data = data;
    computed.source = data;
    computed.scale = NULL;
    computed.file = NULL;
    computed.narrow = NULL;
    return add_const(graph, value, &computed);
}

/* Which factor belongs to an element: factors[index0 / rows * stride0 + index1 * stride1]. */
typedef struct choice {
    const double *factors;
    int64_t rows, stride0, stride1;
} choice;

/* The elements of `value` (of rank 2 or more) times their factors, computed. Factors that the constant has already are
 * applied in the same double, so there is one rounding in all. The result is in the arena; pages of the file are let
 * go. INGOT_NONE when memory is out. */
static int compute_scaled(ingot_graph *graph, int value, const choice *of)
{
    const ingot_const *before = graph->values[value].constant;
    const ingot_tensor *t = &before->tensor;
    const int64_t inner = ingot_span(t, 2, t->rank), row = t->shape[1] * inner;
    double *elements = ingot_alloc(graph->arena->memory, 2 * (size_t)row * sizeof *elements);
    char *data = ingot_arena_alloc(graph->arena, ingot_storage_bytes(t));
    int id = INGOT_NONE;
    if (elements && data) {
        for (int64_t r = 0; r < t->shape[0]; r++) {
            const double *of_row = of->factors + r / of->rows * of->stride0;
            ingot_const_doubles(before, r * row, row, elements + row, elements);
            for (int64_t i = 0; i < row; i++) {
                const double product = elements[i] * of_row[i / inner * of->stride1];
                if (t->dtype == INGOT_FLOAT)
                    ((float *)data)[r * row + i] = (float)product;
                else
                    ((double *)data)[r * row + i] = product;
            }
        }
        id = ingot_add_computed(graph, value, data);
    }
    ingot_release(graph->arena->memory, elements);
    return id;
}

/* Factors along one axis compose without touching an element. Where the constant has factors along another axis, new
 * ones along axis 0 or 1 are computed; along a later axis they are refused with INGOT_NONE. */
int ingot_scale_axis(ingot_graph *graph, int value, int axis, const double *factors)
{
    ingot_const scaled = *graph->values[value].constant;
    const int64_t n = scaled.tensor.shape[axis];
    if (scaled.scale && scaled.scale_axis != axis && axis <= 1)
        return compute_scaled(graph, value, axis ? &(choice){factors, 1, 0, 1} : &(choice){factors, 1, 1, 0});
    if (scaled.scale && scaled.scale_axis != axis)
        return INGOT_NONE;
    double *scale = ingot_arena_array(graph->arena, (size_t)n, sizeof *scale);
    if (!scale)
        return INGOT_NONE;
    for (int64_t i = 0; i < n; i++)
        scale[i] = factors[i] * (scaled.scale ? scaled.scale[i] : 1);
    scaled.tensor.data = NULL;
    scaled.scale = scale;
    scaled.scale_axis = axis;
    return add_const(graph, value, &scaled);
}

/* With one group the factors go with axis 1 alone, and nothing need be computed. */
int ingot_scale_groups(ingot_graph *graph, int value, int64_t group, const double *factors)
{
    const ingot_tensor *t = &graph->values[value].constant->tensor;
    if (group == 1)
        return ingot_scale_axis(graph, value, 1, factors);
    return compute_scaled(graph, value, &(choice){factors, MAX(t->shape[0] / group, 1), t->shape[1], 1});
}

/* factor is a Gemm's beta, which the new bias takes in. scale NULL stands for ones. The result always has n elements,
 * also where the old bias had one. */
int ingot_affine_bias(ingot_graph *graph, int value, const char *name, ingot_dtype dtype, int64_t n, double factor,
                      const double *scale, const double *shift)
{
    double *bias = ingot_row_doubles(graph, value, n);
    for (int64_t i = 0; bias && i < n; i++)
        bias[i] = shift[i] + (value == INGOT_NONE ? 0 : bias[i] * factor * (scale ? scale[i] : 1));
    const int id = bias ? ingot_add_doubles(graph, name, dtype, 1, &n, bias) : INGOT_NONE;
    ingot_release(graph->arena->memory, bias);
    return id;
}

/* One element is spread to n. */
double *ingot_row_doubles(const ingot_graph *graph, int value, int64_t n)
{
    const ingot_const *constant = value == INGOT_NONE ? NULL : graph->values[value].constant;
    double *row = ingot_alloc(graph->arena->memory, (size_t)n * sizeof *row + 1);
    double *stored = constant ? ingot_const_all_doubles(graph, constant) : NULL;
    if (constant && !stored) {
        ingot_release(graph->arena->memory, row);
        return NULL;
    }
    const bool spread = constant && ingot_count(&constant->tensor) == 1;
    for (int64_t i = 0; row && i < n; i++)
        row[i] = stored ? stored[spread ? 0 : i] : 0;
    ingot_release(graph->arena->memory, stored);
    return row;
}

/* A vector along the last axis, perhaps with a one in front of it: Gemm refuses a higher rank. */
bool ingot_is_row_bias(const ingot_graph *graph, int value, int64_t n)
{
    if (value == INGOT_NONE)
        return true;
    if (!ingot_is_weights(graph, value, 0))
        return false;
    const ingot_tensor *t = &graph->values[value].constant->tensor;
    const int64_t count = ingot_count(t);
    return t->rank <= 2 && (count == 1 || (count == n && t->rank >= 1 && t->shape[t->rank - 1] == n));
}

/* Both ids come straight from functions that give INGOT_NONE for want of memory, so one test here serves all
 * callers. */
bool ingot_set_weights(ingot_graph *graph, int node, int weights, int bias)
{
    if (weights == INGOT_NONE || bias == INGOT_NONE)
        return false;
    return (graph->nodes[node]->n_inputs > 2 || ingot_node_set_n_inputs(graph, node, 3)) &&
           ingot_node_set_input(graph, node, 1, weights) && ingot_node_set_input(graph, node, 2, bias);
}
