/* rewrite.c - helpers of the passes: asking what a value is, reading small constants, adding values with names that are
 * still free, and taking nodes out without losing the name of a graph output. */
#include "engine/passes/rewrite.h"

#include <stdio.h>
#include <string.h>

#include "ops/op.h"

/* Removed nodes have no op_type, so they are no operator at all. */
bool ingot_is_op(const ingot_node *node, const char *op_type)
{
    return node && node->op_type && !node->opaque && !*node->domain && !strcmp(node->op_type, op_type);
}

/* A number stays valid while nodes are added or removed, but not through ingot_graph_sort(). */
int ingot_node_of(const ingot_graph *graph, int value)
{
    return value == INGOT_NONE ? INGOT_NONE : graph->values[value].producer;
}

/* Nodes are allocated one by one, so the pointer outlives additions to the graph. */
ingot_node *ingot_producer(const ingot_graph *graph, int value)
{
    const int node = ingot_node_of(graph, value);
    return node == INGOT_NONE ? NULL : graph->nodes[node];
}

/* A node that reads the value twice counts as two readers. */
ingot_node *ingot_single_reader(const ingot_graph *graph, int value)
{
    const int node = value == INGOT_NONE ? INGOT_NONE : ingot_graph_only_user(graph, value);
    return node == INGOT_NONE ? NULL : graph->nodes[node];
}

/* Passes run before operators are resolved for good, so the registry is asked. */
static const ingot_op *operator_of(const ingot_node *node)
{
    bool known;
    return node && node->op_type && !node->opaque
               ? ingot_op_find(node->domain, node->op_type, node->version, &known)
               : NULL;
}

/* A node of an operator that is not known here hosts nothing. */
bool ingot_can_host(const ingot_node *node)
{
    const ingot_op *op = operator_of(node);
    return op && (op->flags & INGOT_OP_FUSES);
}

/* Operators with any number of inputs have no optional ones to keep in place. */
bool ingot_fuse_into(ingot_graph *graph, int host, int node, int chain_slot)
{
    const int max_inputs = operator_of(graph->nodes[host])->max_inputs;
    return (max_inputs == INGOT_MANY || graph->nodes[host]->n_inputs >= max_inputs ||
            ingot_node_set_n_inputs(graph, host, max_inputs)) &&
           ingot_graph_fuse(graph, host, node, chain_slot);
}

/* n_inputs counts the operator's own inputs: captures and inputs of fused nodes behind them are never returned. */
int ingot_input(const ingot_node *node, int slot) { return slot < node->n_inputs ? node->inputs[slot] : INGOT_NONE; }
int ingot_output(const ingot_node *node) { return node->n_outputs ? node->outputs[0] : INGOT_NONE; }

/* Removed nodes' outputs that were folded are constants too. */
const ingot_const *ingot_constant(const ingot_graph *graph, int value)
{
    return value == INGOT_NONE || graph->values[value].is_input ? NULL : graph->values[value].constant;
}

/* Whatever the width of the type, and lazy or not. Scalars and vectors only. The buffer on the stack holds the widest
 * type, so more than 2 * INGOT_MAX_RANK elements are a no whatever the capacity. */
bool ingot_constant_ints(const ingot_graph *graph, int value, int64_t *elements, int capacity, int *n)
{
    const ingot_const *constant = ingot_constant(graph, value);
    int64_t raw[INGOT_MAX_RANK * 2];
    if (!constant || constant->tensor.kind != INGOT_TENSOR || constant->tensor.rank > 1 ||
        !ingot_is_integer(constant->tensor.dtype))
        return false;
    const int64_t count = ingot_count(&constant->tensor);
    if (count > capacity || count > INGOT_MAX_RANK * 2)
        return false;
    ingot_tensor t = constant->tensor;
    ingot_const_read(constant, raw);
    t.data = raw;
    for (int64_t i = 0; i < count; i++)
        elements[i] = ingot_int_at(&t, i);
    *n = (int)count;
    return true;
}

/* Rank does not matter: [[2]] is the number 2. */
bool ingot_constant_number(const ingot_graph *graph, int value, double *number)
{
    const ingot_const *constant = ingot_constant(graph, value);
    double raw[2];
    if (!constant || constant->tensor.kind != INGOT_TENSOR || ingot_count(&constant->tensor) != 1 ||
        !(ingot_is_integer(constant->tensor.dtype) || ingot_is_float(constant->tensor.dtype)))
        return false;
    ingot_tensor t = constant->tensor;
    ingot_const_read(constant, raw);
    t.data = raw;
    *number = ingot_double_at(&t, 0);
    return true;
}

/* The scale is applied in double here, so that a second factor does not round on top of the first. `raw` and `elements`
 * may be halves of one allocation, but not overlap. */
void ingot_const_doubles(const ingot_const *constant, int64_t first, int64_t n, void *raw, double *elements)
{
    ingot_const plain = *constant;
    const ingot_tensor *t = &constant->tensor;
    plain.scale = NULL;
    ingot_const_read_range(&plain, first, n, raw);
    for (int64_t i = 0; i < n; i++)
        elements[i] = t->dtype == INGOT_FLOAT ? (double)((const float *)raw)[i] : ((const double *)raw)[i];
    if (!constant->scale)
        return;
    const int64_t inner = ingot_span(t, constant->scale_axis + 1, t->rank), size = t->shape[constant->scale_axis];
    for (int64_t i = 0; i < n; i++)
        elements[i] *= constant->scale[(first + i) / inner % size];
}

/* The second half of the allocation is where the elements are read to; the caller sees the first. */
double *ingot_const_all_doubles(const ingot_graph *graph, const ingot_const *constant)
{
    const int64_t n = ingot_count(&constant->tensor);
    size_t size_bytes;
    if (!ingot_mul_size((size_t)n, 2 * sizeof(double), &size_bytes))
        return NULL;
    double *elements = ingot_alloc(graph->arena->memory, size_bytes + 1);
    if (elements)
        ingot_const_doubles(constant, 0, n, elements + n, elements);
    return elements;
}

/* `name`, or `name` with the first free number behind it. Names are cut at 200 bytes, so that a number always fits; the
 * loop ends as a graph has finitely many names. */
static const char *unique_name(const ingot_graph *graph, const char *name, char *text, size_t capacity)
{
    snprintf(text, capacity, "%.200s", *name ? name : "value");
    const size_t length = strlen(text);
    for (unsigned k = 1; ingot_graph_find_value(graph, text) != INGOT_NONE; k++)
        snprintf(text + length, capacity - length, "_%u", k);
    return text;
}

/* The text is copied by the graph. */
int ingot_add_unique_value(ingot_graph *graph, const char *name)
{
    char text[240];
    return ingot_graph_add_value(graph, unique_name(graph, name, text, sizeof text));
}

/* dtype is FLOAT, or anything else for double. */
int ingot_add_doubles(ingot_graph *graph, const char *name, ingot_dtype dtype, int rank, const int64_t *shape,
                      const double *elements)
{
    char text[240];
    ingot_tensor t = {.dtype = dtype, .rank = rank};
    for (int i = 0; i < rank; i++)
        t.shape[i] = shape[i];
    const int64_t n = ingot_count(&t);
    t.data = ingot_alloc(graph->arena->memory, (size_t)n * sizeof(double) + 1);
    if (!t.data)
        return INGOT_NONE;
    for (int64_t i = 0; i < n; i++)
        if (dtype == INGOT_FLOAT)
            ((float *)t.data)[i] = (float)elements[i];
        else
            ((double *)t.data)[i] = elements[i];
    const int id = ingot_graph_add_constant(graph, unique_name(graph, name, text, sizeof text), &t);
    ingot_release(graph->arena->memory, t.data);
    return id;
}

/* An empty list still needs an address, for which a local stands in until it has been copied. */
int ingot_add_ints(ingot_graph *graph, const char *name, const int64_t *elements, int64_t n)
{
    char text[240];
    int64_t none = 0, *data = n ? ingot_arena_copy(graph->arena, elements, (size_t)n * sizeof *elements) : &none;
    const ingot_tensor t = {.dtype = INGOT_INT64, .rank = 1, .shape = {n}, .data = data};
    return data ? ingot_graph_add_constant(graph, unique_name(graph, name, text, sizeof text), &t) : INGOT_NONE;
}

/* Its place in running order is found by the sort that follows each pass. */
int ingot_add_op(ingot_graph *graph, const char *name, const char *op_type, int version, const int *inputs,
                 int n_inputs)
{
    const int value = ingot_add_unique_value(graph, name);
    if (value == INGOT_NONE || !ingot_graph_add_node(graph, name, op_type, "", version, inputs, n_inputs, &value, 1))
        return INGOT_NONE;
    return value;
}

/* Named after the value that it makes. */
bool ingot_add_cast(ingot_graph *graph, int from, int to, ingot_dtype dtype)
{
    ingot_node *cast = ingot_graph_add_node(graph, graph->values[to].name, "Cast", "", 13, &from, 1, &to, 1);
    return cast && ingot_node_set_int(graph, cast, "to", dtype);
}

/* As a rule `value` is what the node that goes has made. False where `node` has no output. */
bool ingot_take_over_output(ingot_graph *graph, int node, int value, int remove)
{
    ingot_graph_remove_node(graph, remove);
    return ingot_node_set_output(graph, node, 0, value);
}

/* Either readers move up to `in`, or, to keep an output's name, the maker of `in` and all its readers move down to it.
 * A graph output whose source is a graph input, a constant or another graph output cannot be renamed: *done is false.
 * Call order matters: the node goes first, so that it is not moved along as one of the readers. */
bool ingot_bypass(ingot_graph *graph, int index, int in, bool *done)
{
    const int out = graph->nodes[index]->outputs[0], maker = graph->values[in].producer;
    const bool renames = graph->values[out].n_outputs > 0;
    *done = !renames || (maker != INGOT_NONE && !graph->values[in].n_outputs);
    if (!*done)
        return true;
    ingot_graph_remove_node(graph, index);
    if (!renames)
        return ingot_graph_replace(graph, out, in);
    for (int i = 0; i < graph->nodes[maker]->n_outputs; i++)
        if (graph->nodes[maker]->outputs[i] == in && !ingot_node_set_output(graph, maker, i, out))
            return false;
    return ingot_graph_replace(graph, in, out);
}

/* The result is in the graph's account and the caller's to release. */
ingot_graph **ingot_all_graphs(ingot_graph *graph, int *n)
{
    ingot_memory *memory = graph->arena->memory;
    int capacity = 16;
    ingot_graph **all = ingot_alloc(memory, (size_t)capacity * sizeof *all);
    if (!all)
        return NULL;
    all[0] = graph;
    *n = 1;
    for (int g = 0; g < *n; g++) /* the list grows while it is walked: breadth first, no recursion */
        for (int i = 0; i < all[g]->n_nodes; i++) {
            const ingot_node *node = all[g]->nodes[i];
            for (size_t a = 0; node->op_type && a < node->n_attrs; a++) {
                const ingot_attr *attr = &node->attrs[a];
                if (attr->type != INGOT_ATTR_GRAPH && attr->type != INGOT_ATTR_GRAPHS)
                    continue;
                for (size_t k = 0; k < attr->n; k++) {
                    /* Doubled by hand, as the account has no realloc. */
                    if (*n == capacity) {
                        ingot_graph **larger = ingot_alloc(memory, 2 * (size_t)capacity * sizeof *all);
                        if (larger)
                            memcpy(larger, all, (size_t)capacity * sizeof *all);
                        ingot_release(memory, all);
                        if (!(all = larger))
                            return NULL;
                        capacity *= 2;
                    }
                    all[(*n)++] = attr->graphs[k];
                }
            }
        }
    return all;
}
