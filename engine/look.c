/* look.c - what a tool that shows or compares models asks beyond ingot_model_node(): operator sets, constants and
 * attributes of a model, and where a session's plan keeps what. Nothing here is needed for running. */
#include <string.h>

#include "engine/model.h"

/* False past the last. The text is the model's. */
bool ingot_model_opset(const ingot_model *model, size_t index, const char **domain, int64_t *version)
{
    if (index >= model->onnx->n_opsets)
        return false;
    *domain = model->onnx->opsets[index].domain;
    *version = model->onnx->opsets[index].version;
    return true;
}

/* ---- constants -------------------------------------------------------------------------------------------------- */

/* Ids of the constants that something reads, or that are outputs; NULL when memory is out. */
static const int *list_weights(ingot_model *model)
{
    const ingot_graph *graph = model->onnx->graph;
    int *ids = ingot_arena_array(&model->onnx->arena, (size_t)graph->n_values + 1, sizeof *ids);
    for (int i = 0; i < graph->n_values && ids; i++)
        if (graph->values[i].constant && (graph->values[i].n_uses || graph->values[i].n_outputs))
            ids[model->n_weights++] = i;
    return ids;
}

/* The index-th of them, or NULL. The list is made at the first call, which may come from any thread. */
static const ingot_value *weight_at(const ingot_model *model, size_t index)
{
    ingot_model *owner = (ingot_model *)model; /* its arena holds the list */
    const ingot_value *value = NULL;
    pthread_mutex_lock(&owner->nodes_mutex);
    if (!owner->weights)
        owner->weights = list_weights(owner);
    if (owner->weights && index < owner->n_weights)
        value = &owner->onnx->graph->values[owner->weights[index]];
    pthread_mutex_unlock(&owner->nodes_mutex);
    return value;
}

/* Type and shape alone: elements may lie in the file at any alignment, or be scaled when they are read. */
bool ingot_model_weight(const ingot_model *model, size_t index, const char **name, ingot_tensor *type)
{
    const ingot_value *value = weight_at(model, index);
    if (!value)
        return false;
    *name = value->name;
    *type = value->constant->tensor;
    type->data = NULL;
    return true;
}

/* The caller knows the size from ingot_model_weight(). Strings stay the model's. */
bool ingot_model_weight_read(const ingot_model *model, size_t index, void *data)
{
    const ingot_value *value = weight_at(model, index);
    if (!value || value->constant->tensor.kind != INGOT_TENSOR)
        return false;
    ingot_const_read(value->constant, data);
    return !ingot_files_check(model->onnx->files, NULL);
}

/* NULL past the last node, too. */
const char *ingot_model_node_reads(const ingot_model *model, size_t node, size_t index)
{
    const ingot_graph *graph = model->onnx->graph;
    const ingot_node *reader = node < (size_t)graph->n_nodes ? graph->nodes[node] : NULL;
    if (!reader || index >= (size_t)(reader->n_all_inputs - reader->n_inputs))
        return NULL;
    const int id = reader->inputs[reader->n_inputs + (int)index];
    return id == INGOT_NONE ? "" : graph->values[id].name;
}

/* ---- attributes ------------------------------------------------------------------------------------------------- */

/* FNV-1a, as the hash of names; `hash` is what came before. */
static uint64_t hash_bytes(uint64_t hash, const void *data, size_t n)
{
    for (const unsigned char *p = data, *end = p + n; p < end; p++)
        hash = (hash ^ *p) * UINT64_C(0x100000001b3);
    return hash;
}

/* With its end, so that "a", "bc" is not "ab", "c". */
static uint64_t hash_text(uint64_t hash, const char *text) { return hash_bytes(hash, text, strlen(text) + 1); }

/* Type, shape and elements, a lazy one piece by piece. */
static uint64_t hash_const(uint64_t hash, const ingot_const *constant)
{
    const ingot_tensor *t = &constant->tensor;
    const size_t size = ingot_dtype_size_bytes(t->dtype);
    _Alignas(ingot_string) char piece[4096];
    hash = hash_bytes(hash, &t->dtype, sizeof t->dtype);
    hash = hash_bytes(hash, t->shape, (size_t)MAX(t->rank, 0) * sizeof *t->shape);
    if (t->kind != INGOT_TENSOR || !size)
        return hash;
    const int64_t n = ingot_count(t), most = (int64_t)(sizeof piece / size);
    for (int64_t i = 0; i < n; i += most) {
        const int64_t now = MIN(most, n - i);
        ingot_const_read_range(constant, i, now, piece);
        for (int64_t k = 0; k < now && t->dtype == INGOT_STRING; k++) {
            const ingot_string *string = (const ingot_string *)piece + k;
            hash = hash_bytes(hash_bytes(hash, string->data, string->size_bytes), &string->size_bytes,
                              sizeof string->size_bytes);
        }
        if (t->dtype != INGOT_STRING)
            hash = hash_bytes(hash, piece, (size_t)now * size);
    }
    return hash;
}

static uint64_t hash_attr(uint64_t hash, const ingot_attr *attr);

/* Operators, attributes and names of values. Loading has bounded how deep graphs nest. */
static uint64_t hash_graph(uint64_t hash, const ingot_graph *graph)
{
    for (int i = 0; i < graph->n_nodes; i++) {
        const ingot_node *node = graph->nodes[i];
        hash = hash_text(hash_text(hash, node->op_type), node->domain);
        for (int k = 0; k < node->n_inputs + node->n_outputs; k++) {
            const int id = k < node->n_inputs ? node->inputs[k] : node->outputs[k - node->n_inputs];
            hash = hash_text(hash, id == INGOT_NONE ? "" : graph->values[id].name);
        }
        for (size_t a = 0; a < node->n_attrs; a++)
            hash = hash_attr(hash, &node->attrs[a]);
    }
    for (int i = 0; i < graph->n_values; i++)
        if (graph->values[i].constant && graph->values[i].n_uses)
            hash = hash_const(hash_text(hash, graph->values[i].name), graph->values[i].constant);
    for (int i = 0; i < graph->n_outputs; i++)
        hash = hash_text(hash, graph->values[graph->outputs[i]].name);
    return hash;
}

static uint64_t hash_attr(uint64_t hash, const ingot_attr *attr)
{
    hash = hash_bytes(hash_text(hash, attr->name), &attr->type, sizeof attr->type);
    for (size_t i = 0; i < attr->n; i++)
        switch (attr->type) {
        case INGOT_ATTR_FLOAT:
        case INGOT_ATTR_FLOATS: hash = hash_bytes(hash, &attr->floats[i], sizeof *attr->floats); break;
        case INGOT_ATTR_INT:
        case INGOT_ATTR_INTS: hash = hash_bytes(hash, &attr->ints[i], sizeof *attr->ints); break;
        case INGOT_ATTR_STRING:
        case INGOT_ATTR_STRINGS:
            hash = hash_bytes(hash, &attr->strings[i].size_bytes, sizeof attr->strings[i].size_bytes);
            hash = hash_bytes(hash, attr->strings[i].data, attr->strings[i].size_bytes);
            break;
        case INGOT_ATTR_GRAPH:
        case INGOT_ATTR_GRAPHS: hash = hash_graph(hash, attr->graphs[i]); break;
        case INGOT_ATTR_TYPE:
        case INGOT_ATTR_TYPES:
            hash = hash_bytes(hash, &attr->types[i].dtype, sizeof attr->types[i].dtype);
            hash = hash_bytes(hash, attr->types[i].shape, (size_t)MAX(attr->types[i].rank, 0) * sizeof(int64_t));
            break;
        default: hash = hash_const(hash, attr->tensors[i]); break;
        }
    return hash;
}

/* False past the last node or attribute. Arrays are the model's. */
bool ingot_model_attribute(const ingot_model *model, size_t node, size_t index, ingot_attribute_info *info)
{
    const ingot_graph *graph = model->onnx->graph;
    if (node >= (size_t)graph->n_nodes || index >= graph->nodes[node]->n_attrs)
        return false;
    const ingot_attr *attr = &graph->nodes[node]->attrs[index];
    const bool floats = attr->type == INGOT_ATTR_FLOAT || attr->type == INGOT_ATTR_FLOATS;
    const bool ints = attr->type == INGOT_ATTR_INT || attr->type == INGOT_ATTR_INTS;
    const bool strings = attr->type == INGOT_ATTR_STRING || attr->type == INGOT_ATTR_STRINGS;
    *info = (ingot_attribute_info){.name = attr->name, .type = (int32_t)attr->type, .n = attr->n,
                                   .floats = floats ? attr->floats : NULL, .ints = ints ? attr->ints : NULL,
                                   .strings = strings ? attr->strings : NULL,
                                   .hash = hash_attr(UINT64_C(0xcbf29ce484222325), attr)};
    return true;
}

/* ---- plans ------------------------------------------------------------------------------------------------------ */

/* What planning found out. A value that passes removed is not there. */
bool ingot_plan_value_type(const ingot_plan *plan, const char *name, ingot_tensor *type)
{
    const int id = plan ? ingot_graph_find_value(plan->graph, name) : INGOT_NONE;
    if (id == INGOT_NONE)
        return false;
    *type = plan->values[id]->tensor;
    type->data = NULL;
    type->layout = INGOT_PLAIN;
    return type->dtype != INGOT_UNDEFINED;
}

/* Only roots have a place of their own: views and parts lie inside theirs. */
bool ingot_plan_place(const ingot_plan *plan, size_t index, ingot_place_info *info)
{
    if (!plan || index >= (size_t)plan->n_values)
        return false;
    const ingot_plan_value *value = plan->values[index];
    const bool placed = value->place == INGOT_PLACE_ARENA && value->producer != INGOT_NONE;
    *info = (ingot_place_info){.value = (int)index < plan->graph->n_values ? plan->graph->values[index].name : "",
                               .offset = value->offset, .size_bytes = placed ? value->size_bytes : 0};
    if (placed) {
        info->first = (size_t)value->first;
        info->last = (size_t)value->last;
    }
    return true;
}
