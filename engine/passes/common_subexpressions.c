/* common_subexpressions.c - nodes that compute the same from the same are one node, and small constants of equal
 * content one constant. Found by hashing; operators that are random or hold subgraphs are left alone. */
#include "engine/passes/pass.h"

#include <string.h>

#include "engine/passes/rewrite.h"
#include "ops/op.h"

/* Larger constants are not compared: weights hardly ever repeat, and reading them would load the whole file. */
enum { SMALL_BYTES = 4096 }; /* larger constants are not compared */

/* Open addressing with linear probing. ids are node or value numbers, INGOT_NONE (all bits set) where a slot is free;
 * what an entry hashes to is not kept, as a comparison follows anyway. */
typedef struct table {
    ingot_memory *memory;
    uint32_t capacity; /* a power of two, at least twice the entries */
    int *ids;
} table;

/* An empty table with room for n ids, at most half full. False when memory is out. */
static bool create_table(table *t, ingot_memory *memory, int n)
{
    t->memory = memory;
    for (t->capacity = 64; t->capacity < 2 * (uint32_t)n; t->capacity *= 2)
        continue;
    t->ids = ingot_alloc(memory, t->capacity * sizeof *t->ids);
    if (t->ids)
        memset(t->ids, 0xff, t->capacity * sizeof *t->ids);
    return t->ids;
}

/* Continue a hash over bytes. Fowler, Noll and Vo's 32-bit FNV-1a; it begins at their offset basis, 2166136261. */
static uint32_t mix(uint32_t hash, const void *data, size_t size_bytes)
{
    const unsigned char *bytes = data;
    for (size_t i = 0; i < size_bytes; i++)
        hash = (hash ^ bytes[i]) * 16777619u; /* FNV-1a */
    return hash;
}

/* ---- constants ---- */

/* A constant that another one could stand for: no input, and no output that has to keep its name. */
static bool is_small(const ingot_value *value)
{
    const ingot_const *constant = value->constant;
    return constant && !value->is_input && !value->is_capture && !value->n_outputs && value->n_uses &&
           constant->tensor.kind == INGOT_TENSOR && constant->tensor.dtype != INGOT_STRING && !constant->scale &&
           constant->source && ingot_storage_bytes(&constant->tensor) <= SMALL_BYTES;
}

/* To the bit, so that 0 and -0 are two and a NaN is itself. */
static bool same_constant(const ingot_const *a, const ingot_const *b)
{
    return a->tensor.dtype == b->tensor.dtype && ingot_same_shape(&a->tensor, &b->tensor) &&
           !memcmp(a->source, b->source, ingot_storage_bytes(&a->tensor));
}

/* Exporters write one constant per use: axes, shapes and epsilons repeat a hundred times. Before: two constants; after:
 * readers of the second read the first, which has the lower id. Merging constants is not counted as a rewrite. */
static ingot_status merge_constants(ingot_pass_ctx *c)
{
    ingot_graph *graph = c->graph;
    table t;
    bool ok = true;
    if (!create_table(&t, graph->arena->memory, graph->n_values))
        return ingot_pass_out_of_memory(c);
    for (int v = 0; ok && v < graph->n_values; v++) {
        const ingot_const *constant = graph->values[v].constant;
        if (!is_small(&graph->values[v]))
            continue;
        uint32_t slot = mix(2166136261u, constant->source, ingot_storage_bytes(&constant->tensor));
        slot = mix(slot, constant->tensor.shape, (size_t)constant->tensor.rank * sizeof *constant->tensor.shape);
        for (slot &= t.capacity - 1; t.ids[slot] != INGOT_NONE; slot = (slot + 1) & (t.capacity - 1))
            if (same_constant(graph->values[t.ids[slot]].constant, constant))
                break;
        if (t.ids[slot] == INGOT_NONE)
            t.ids[slot] = v;
        else
            ok = ingot_graph_replace(graph, v, t.ids[slot]);
    }
    ingot_release(t.memory, t.ids);
    return ok ? INGOT_OK : ingot_pass_out_of_memory(c);
}

/* ---- nodes ---- */

/* 0 for attributes that are not compared by their bytes. */
static size_t item_bytes(ingot_attr_type type)
{
    return type == INGOT_ATTR_FLOAT || type == INGOT_ATTR_FLOATS ? sizeof(float)
           : type == INGOT_ATTR_INT || type == INGOT_ATTR_INTS   ? sizeof(int64_t)
                                                                 : 0;
}

static bool is_text(ingot_attr_type type) { return type == INGOT_ATTR_STRING || type == INGOT_ATTR_STRINGS; }

/* A graph output has to keep its own node, as each output needs its name. Random operators differ from call to call;
 * attributes other than numbers and text are not compared. A node of an unknown operator may be anything. */
static bool is_mergeable(const ingot_graph *graph, const ingot_node *node)
{
    bool known;
    const ingot_op *op = ingot_op_find(node->domain, node->op_type, node->version, &known);
    if (!op || (op->flags & INGOT_OP_RANDOM) || node->n_captures || node->n_fused)
        return false;
    for (size_t a = 0; a < node->n_attrs; a++)
        if (!item_bytes(node->attrs[a].type) && !is_text(node->attrs[a].type))
            return false;
    for (int i = 0; i < node->n_outputs; i++)
        if (node->outputs[i] != INGOT_NONE && graph->values[node->outputs[i]].n_outputs)
            return false;
    return true;
}

/* b is NULL where the other node does not have it. Floats are compared as bits: 0 and -0 differ, and a NaN equals
 * itself. */
static bool same_attribute(const ingot_attr *a, const ingot_attr *b)
{
    if (!b || a->type != b->type || a->n != b->n)
        return false;
    if (!is_text(a->type))
        return !a->n || !memcmp(a->ints, b->ints, a->n * item_bytes(a->type));
    for (size_t i = 0; i < a->n; i++)
        if (a->strings[i].size_bytes != b->strings[i].size_bytes ||
            memcmp(a->strings[i].data, b->strings[i].data, a->strings[i].size_bytes))
            return false;
    return true;
}

/* Inputs are compared by value id: merging in running order has made equal inputs one value. Equal counts of attributes
 * and every one of a's found in b make the sets equal, whatever their order. */
static bool same_node(const ingot_node *a, const ingot_node *b)
{
    if (strcmp(a->op_type, b->op_type) || strcmp(a->domain, b->domain) || a->version != b->version ||
        a->n_inputs != b->n_inputs || a->n_outputs != b->n_outputs || a->n_attrs != b->n_attrs ||
        (a->n_inputs && memcmp(a->inputs, b->inputs, (size_t)a->n_inputs * sizeof *a->inputs)))
        return false;
    for (size_t i = 0; i < a->n_attrs; i++)
        if (!same_attribute(&a->attrs[i], ingot_node_attr(b, a->attrs[i].name)))
            return false;
    for (int i = 0; i < a->n_outputs; i++)
        if ((a->outputs[i] == INGOT_NONE) != (b->outputs[i] == INGOT_NONE))
            return false;
    return true;
}

/* Readers of the second node's outputs read those of the first. Outputs that the first node leaves out are left out by
 * the second as well, see same_node(). False when memory is out. */
static bool merge_into(ingot_graph *graph, int kept, int index)
{
    const ingot_node *node = graph->nodes[index];
    const int *outputs = node->outputs, n = node->n_outputs;
    ingot_graph_remove_node(graph, index);
    for (int i = 0; i < n; i++)
        if (outputs[i] != INGOT_NONE && !ingot_graph_replace(graph, outputs[i], graph->nodes[kept]->outputs[i]))
            return false;
    return true;
}

/* Constants go first, so that nodes that differ only in copies of one constant are found too. Before: b = f(x), c =
 * f(x); after: readers of c read b. Nodes that become equal by a merge are behind it in running order, so one walk
 * finds chains too. */
ingot_status ingot_common_subexpressions(ingot_pass_ctx *c)
{
    ingot_graph *graph = c->graph;
    table t;
    ingot_status status = merge_constants(c);
    if (status)
        return status;
    if (!create_table(&t, graph->arena->memory, graph->n_nodes))
        return ingot_pass_out_of_memory(c);
    for (int i = 0; i < graph->n_nodes; i++) { /* running order: inputs have been merged before their readers */
        const ingot_node *node = graph->nodes[i];
        if (!node->op_type || !is_mergeable(graph, node))
            continue;
        uint32_t slot = mix(2166136261u, node->op_type, strlen(node->op_type));
        slot = mix(slot, node->inputs, (size_t)node->n_inputs * sizeof *node->inputs);
        for (slot &= t.capacity - 1; t.ids[slot] != INGOT_NONE; slot = (slot + 1) & (t.capacity - 1))
            if (same_node(graph->nodes[t.ids[slot]], node))
                break;
        if (t.ids[slot] == INGOT_NONE) {
            t.ids[slot] = i;
        } else if (merge_into(graph, t.ids[slot], i)) {
            c->n_done++;
        } else {
            status = ingot_pass_out_of_memory(c);
            break;
        }
    }
    ingot_release(t.memory, t.ids);
    return status;
}
