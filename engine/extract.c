/* extract.c - a model of one node: what a bug report needs. The node is taken from a session that has run, since only a
 * run knows the types and shapes of all that the node reads. Its constants stay constants; the rest become inputs. */
#include <string.h>

#include "engine/model.h"

/* One extraction. The plan tells types, the old graph names and constants; the new graph is in an arena that goes when
 * it is written. */
typedef struct extraction {
    const ingot_plan *plan;
    const ingot_graph *from;
    ingot_graph *graph;
    ingot_declared *outputs;
    int *ids; /* of the node's inputs and outputs in the new graph */
} extraction;

/* The type that a value had in the newest run. False when memory is out. Sizes are fixed, as no symbol is kept: the
 * model is for these inputs. */
static bool type_of(ingot_arena *arena, const ingot_tensor *tensor, ingot_type *type)
{
    *type = (ingot_type){.dtype = tensor->dtype, .rank = tensor->rank};
    type->shape = ingot_arena_copy(arena, tensor->shape, (size_t)tensor->rank * sizeof *type->shape);
    type->symbols = ingot_arena_array(arena, (size_t)tensor->rank + 1, sizeof *type->symbols);
    return type->shape && type->symbols;
}

/* The value's twin in the new graph, made at first need; an input of it unless it is a constant or the node's own.
 * INGOT_NONE with an error line where it cannot be. Names are unique, so they serve to find what was copied before.
 * Constants are shared with the model, which outlives the new graph. */
static int copy_value(extraction *e, int value, bool is_output, ingot_error *error)
{
    const ingot_value *original = &e->from->values[value];
    const ingot_tensor *tensor = &e->plan->values[value]->tensor;
    int id = ingot_graph_find_value(e->graph, original->name);
    if (id != INGOT_NONE)
        return id;
    if (tensor->kind != INGOT_TENSOR || tensor->rank < 0) {
        ingot_fail(error, INGOT_UNSUPPORTED, "value '%.80s' is no tensor, or was not computed", original->name);
        return INGOT_NONE;
    }
    id = ingot_graph_add_value(e->graph, original->name);
    if (id == INGOT_NONE || !type_of(e->graph->arena, tensor, &e->graph->values[id].type)) {
        ingot_out_of_memory(error);
        return INGOT_NONE;
    }
    if (original->constant && !original->is_input)
        e->graph->values[id].constant = original->constant;
    else if (!is_output)
        ingot_graph_add_input(e->graph, id);
    return id;
}

/* The node by its name, or by that of a value it makes. The name of a node goes before that of a value. NULL where
 * there is neither. */
static const ingot_node *find_node(const ingot_graph *graph, const char *name)
{
    const int value = ingot_graph_find_value(graph, name);
    for (int i = 0; i < graph->n_nodes; i++)
        if (*name && !strcmp(graph->nodes[i]->name, name))
            return graph->nodes[i];
    return value == INGOT_NONE || graph->values[value].producer == INGOT_NONE
               ? NULL
               : graph->nodes[graph->values[value].producer];
}

/* Fill the new graph with the node and its values. Outputs that nobody computed are left out. Captures become inputs or
 * constants of the new main graph, as the node's subgraphs still read them through the node. Attributes are shared. */
static ingot_status copy_node(extraction *e, const ingot_node *node, ingot_error *error)
{
    const int n_in = node->n_inputs + node->n_captures;
    int n_outputs = 0;
    for (int i = 0; i < n_in + node->n_outputs; i++) {
        const bool is_output = i >= n_in;
        const int value = is_output ? node->outputs[i - n_in] : node->inputs[i];
        e->ids[i] = INGOT_NONE;
        if (value == INGOT_NONE || (is_output && e->plan->values[value]->place == INGOT_PLACE_NONE))
            continue;
        if ((e->ids[i] = copy_value(e, value, is_output, error)) == INGOT_NONE)
            return error ? error->status : INGOT_LIMIT;
        if (is_output) {
            const ingot_value *copy = &e->graph->values[e->ids[i]];
            e->outputs[n_outputs++] = (ingot_declared){copy->name, copy->type};
        }
    }
    ingot_node *copy = ingot_graph_add_node(e->graph, node->name, node->op_type, node->domain, node->version, e->ids,
                                            node->n_inputs, e->ids + n_in, node->n_outputs);
    if (!copy || (node->n_captures && !ingot_node_add_captures(e->graph, 0, e->ids + node->n_inputs, node->n_captures)))
        return ingot_out_of_memory(error);
    copy->attrs = node->attrs;
    copy->n_attrs = node->n_attrs;
    for (int i = n_in; i < n_in + node->n_outputs; i++)
        if (e->ids[i] != INGOT_NONE)
            ingot_graph_add_output(e->graph, e->ids[i]);
    return INGOT_OK;
}

/* The model must have been loaded without passes, or at least the node have nothing fused into it. All memory of it is
 * freed before it returns; on failure no file is left (see ingot_onnx_write()). */
ingot_status ingot_extract(const ingot_model *model, const ingot_plan *plan, const char *name, const char *path,
                           ingot_error *error)
{
    const ingot_node *node = find_node(model->onnx->graph, name);
    if (!node)
        return ingot_fail(error, INGOT_BAD_INPUT, "%.150s: there is no node '%.80s'", ingot_model_name(model), name);
    if (node->n_fused)
        return ingot_fail(error, INGOT_UNSUPPORTED,
                          "%.150s: node '%.80s' has others fused into it; load without passes", ingot_model_name(model),
                          name);
    /* An account of its own without limit: the model's must not grow by looking at it. */
    ingot_memory memory = {.limit_bytes = 0};
    ingot_arena arena = {.memory = &memory};
    extraction e = {.plan = plan, .from = model->onnx->graph, .graph = ingot_graph_create(&arena, "extracted")};
    e.ids = ingot_arena_array(&arena, (size_t)(node->n_all_inputs + node->n_outputs) + 1, sizeof *e.ids);
    e.outputs = ingot_arena_array(&arena, (size_t)node->n_outputs + 1, sizeof *e.outputs);
    ingot_onnx onnx = *model->onnx;
    onnx.outputs = e.outputs;
    onnx.n_properties = 0;
    ingot_status status = e.graph && e.ids && e.outputs
                              ? copy_node(&e, node, error)
                              : ingot_out_of_memory(error);
    if (!status)
        status = ingot_onnx_write(&onnx, e.graph, path, error);
    ingot_arena_free(&arena);
    return status;
}
