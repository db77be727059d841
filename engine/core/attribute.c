/* attribute.c - reading and setting the decoded attributes of nodes. */
#include "engine/core/graph.h"

#include <string.h>

/* A linear search: nodes have few attributes, and they are looked up while planning, not while running. The attribute
 * stays the graph's, and the pointer valid until an attribute of the node is set or removed. */
const ingot_attr *ingot_node_attr(const ingot_node *node, const char *name)
{
    for (size_t i = 0; i < node->n_attrs; i++)
        if (!strcmp(node->attrs[i].name, name))
            return &node->attrs[i];
    return NULL;
}

/* The attribute if it has this type and at least one item; anything else counts as absent, and the getters give their
 * default. */
static const ingot_attr *find_typed(const ingot_node *node, const char *name, ingot_attr_type type)
{
    const ingot_attr *attr = ingot_node_attr(node, name);
    return attr && attr->type == type && attr->n ? attr : NULL;
}

/* Also `otherwise` where the attribute has another type: a caller that minds has had the schema check it. */
int64_t ingot_attr_int(const ingot_node *node, const char *name, int64_t otherwise)
{
    const ingot_attr *attr = find_typed(node, name, INGOT_ATTR_INT);
    return attr ? attr->ints[0] : otherwise;
}

/* The number is compared before it becomes an enumeration's: one beyond 32 bits must not look like a type. */
ingot_dtype ingot_attr_dtype(const ingot_node *node, const char *name, ingot_dtype otherwise)
{
    const int64_t number = ingot_attr_int(node, name, (int64_t)otherwise);
    return number > 0 && number < INGOT_N_DTYPES ? (ingot_dtype)number : INGOT_UNDEFINED;
}

/* As ingot_attr_int(), for floats. */
float ingot_attr_float(const ingot_node *node, const char *name, float otherwise)
{
    const ingot_attr *attr = find_typed(node, name, INGOT_ATTR_FLOAT);
    return attr ? attr->floats[0] : otherwise;
}

/* The text lives in the graph's arena and is terminated, although the file's string may hold 0 bytes itself. */
const char *ingot_attr_string(const ingot_node *node, const char *name, const char *otherwise)
{
    const ingot_attr *attr = find_typed(node, name, INGOT_ATTR_STRING);
    return attr ? attr->strings[0].data : otherwise;
}

/* Like the attribute, the graph lives in the model's arena. NULL where there is none. */
const ingot_graph *ingot_attr_graph(const ingot_node *node, const char *name)
{
    const ingot_attr *attr = find_typed(node, name, INGOT_ATTR_GRAPH);
    return attr ? attr->graphs[0] : NULL;
}

/* The order of the others stays. False when there is none of that name. */
bool ingot_node_remove_attr(ingot_node *node, const char *name)
{
    for (size_t i = 0; i < node->n_attrs; i++)
        if (!strcmp(node->attrs[i].name, name)) {
            memmove(&node->attrs[i], &node->attrs[i + 1], (--node->n_attrs - i) * sizeof *node->attrs);
            return true;
        }
    return false;
}

/* Set or replace an attribute whose items are `data`, copied into the graph's arena. The array of attributes is made
 * anew, as nodes may share one. False when memory is out; the node is then as it was. */
static bool set_attr(ingot_graph *graph, ingot_node *node, const char *name, ingot_attr_type type, const void *data,
                     size_t n, size_t item_bytes)
{
    ingot_attr *attrs = ingot_arena_array(graph->arena, node->n_attrs + 1, sizeof *attrs);
    void *items = ingot_arena_copy(graph->arena, data, n * item_bytes);
    char *own_name = ingot_arena_string(graph->arena, name, strlen(name));
    if (!attrs || !items || !own_name)
        return false;
    ingot_node_remove_attr(node, name);
    if (node->n_attrs)
        memcpy(attrs, node->attrs, node->n_attrs * sizeof *attrs);
    attrs[node->n_attrs] = (ingot_attr){.name = own_name, .type = type, .n = n, .ints = items};
    node->attrs = attrs;
    node->n_attrs++;
    return true;
}

/* `values` may be NULL for n 0. False when memory is out. */
bool ingot_node_set_ints(ingot_graph *graph, ingot_node *node, const char *name, const int64_t *values, size_t n)
{
    return set_attr(graph, node, name, INGOT_ATTR_INTS, values, n, sizeof *values);
}

/* False when memory is out. */
bool ingot_node_set_int(ingot_graph *graph, ingot_node *node, const char *name, int64_t value)
{
    return set_attr(graph, node, name, INGOT_ATTR_INT, &value, 1, sizeof value);
}

/* False when memory is out. */
bool ingot_node_set_float(ingot_graph *graph, ingot_node *node, const char *name, float value)
{
    return set_attr(graph, node, name, INGOT_ATTR_FLOAT, &value, 1, sizeof value);
}

/* Items of a string attribute are ingot_strings, so the text and its record are copied one after the other. */
bool ingot_node_set_string(ingot_graph *graph, ingot_node *node, const char *name, const char *value)
{
    const size_t length = strlen(value);
    const ingot_string text = {ingot_arena_string(graph->arena, value, length), length};
    return text.data && set_attr(graph, node, name, INGOT_ATTR_STRING, &text, 1, sizeof text);
}
