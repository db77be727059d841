/* write_graph.c - a graph as GraphProto. Every value gets a name that no other value of the file has, in whatever
 * graph, so that a subgraph's names never hide those it captures; inputs and outputs of the model keep theirs. A fused
 * node comes out as the nodes it was made of. Strings, shapes and elements are pointed at where they are, not
 * copied. */
#include "onnx/writer.h"

#include <stdio.h>
#include <string.h>

/* One graph on its way. nodes and names are the writer's arena's. */
typedef struct target {
    ingot_writer *w;
    const ingot_graph *graph;
    const char **names; /* of values, by id */
    Onnx__NodeProto **nodes;
    size_t n_nodes, node_capacity;
} target;

static Onnx__GraphProto *graph_to_proto(ingot_writer *w, const ingot_graph *graph, const char *const *captured);

/* Doubled, as arrays in an arena cannot grow where they are; `array` is the address of the pointer to it. False when
 * memory is out; the array is as it was. */
bool ingot_writer_grow(ingot_arena *arena, void *array, size_t n, size_t *capacity, size_t item_bytes)
{
    void **items = array;
    if (n < *capacity)
        return true;
    void *larger = ingot_arena_array(arena, 2 * n + 16, item_bytes);
    if (!larger)
        return false;
    if (n)
        memcpy(larger, *items, n * item_bytes);
    *items = larger;
    *capacity = 2 * n + 16;
    return true;
}

/* ---- names ---- */

/* `name` if it is free, else one made from it; taken from now on. NULL when memory is out. The number goes on through
 * the file, so that a row of equal names takes linear time. */
static const char *free_name(ingot_writer *w, ingot_name_table *taken, const char *name)
{
    const size_t size = strlen(name) + 24;
    if (!*name || ingot_name_table_find(taken, name, NULL)) {
        char *made = ingot_arena_alloc(&w->arena, size);
        if (!made)
            return NULL;
        do
            snprintf(made, size, "%s_%u", *name ? name : "unnamed", ++w->n_names_made);
        while (ingot_name_table_find(taken, made, NULL));
        name = made;
    }
    return ingot_name_table_set(&w->arena, taken, name, 0) ? name : NULL;
}

/* The model's inputs and outputs come first: they keep their names. A value that has its name as an input keeps it as
 * an output; output_name() makes up for another declared one. */
static bool name_interface(target *t)
{
    const ingot_graph *graph = t->graph;
    ingot_writer *w = t->w;
    for (int i = 0; i < graph->n_inputs; i++) {
        const int value = graph->inputs[i];
        t->names[value] = graph->values[value].name;
        if (!ingot_name_table_set(&w->arena, &w->values, t->names[value], 0))
            return false;
    }
    for (int i = 0; i < graph->n_outputs; i++) {
        const char *name = w->onnx->outputs[i].name;
        if (!t->names[graph->outputs[i]])
            t->names[graph->outputs[i]] = name;
        if (!ingot_name_table_set(&w->arena, &w->values, name, 0))
            return false;
    }
    return true;
}

/* Every value that has no name yet, in the order of ids, so that names do not depend on where values are used. Captures
 * have the names that the graph around gave them. False when memory is out. */
static bool name_values(target *t, const char *const *captured)
{
    const ingot_graph *graph = t->graph;
    t->names = ingot_arena_array(&t->w->arena, (size_t)graph->n_values, sizeof *t->names);
    if (!t->names)
        return false;
    for (int i = 0; i < graph->n_captures; i++)
        t->names[graph->captures[i]] = captured[i];
    if (!captured && !name_interface(t))
        return false;
    for (int i = 0; i < graph->n_values; i++)
        if (!t->names[i] && !(t->names[i] = free_name(t->w, &t->w->values, graph->values[i].name)))
            return false;
    return true;
}

/* ---- constants ---- */

/* Elements that are usable in memory are pointed at; lazy ones get a stand-in, see ingot_lazy_data.
 * NULL when memory is out. */
static Onnx__TensorProto *constant_to_proto(ingot_writer *w, const ingot_const *constant, const char *name)
{
    Onnx__TensorProto *proto = ingot_arena_alloc(&w->arena, sizeof *proto);
    if (!proto || !ingot_tensor_to_proto(&w->arena, &constant->tensor, name, proto))
        return NULL;
    if (!ingot_const_is_lazy(constant) || !proto->raw_data.len)
        return proto;
    if (!ingot_writer_grow(&w->arena, &w->lazy, w->n_lazy, &w->lazy_capacity, sizeof *w->lazy))
        return NULL;
    w->lazy[w->n_lazy++] = (ingot_lazy_data){constant, proto->raw_data.len};
    proto->raw_data.data = (uint8_t *)constant;
    return proto;
}

/* Those that something reads. Values that a node makes are its, even where their constant is known. */
static bool add_initializers(target *t, Onnx__GraphProto *proto)
{
    const ingot_graph *graph = t->graph;
    proto->initializer = ingot_arena_array(&t->w->arena, (size_t)graph->n_values, sizeof *proto->initializer);
    if (!proto->initializer)
        return false;
    for (int i = 0; i < graph->n_values; i++) {
        const ingot_value *value = &graph->values[i];
        const bool is_wanted = value->n_uses || value->n_outputs || value->is_input;
        if (!value->constant || value->is_capture || value->producer != INGOT_NONE || !is_wanted)
            continue;
        Onnx__TensorProto *tensor = constant_to_proto(t->w, value->constant, t->names[i]);
        if (!tensor)
            return false;
        proto->initializer[proto->n_initializer++] = tensor;
    }
    return true;
}

/* ---- attributes ---- */

/* One string or many. False when memory is out, as all functions here. */
static bool strings_to_proto(ingot_arena *arena, const ingot_attr *attr, Onnx__AttributeProto *proto)
{
    ProtobufCBinaryData *strings = ingot_arena_array(arena, attr->n, sizeof *strings);
    if (!strings)
        return false;
    for (size_t i = 0; i < attr->n; i++)
        strings[i] = (ProtobufCBinaryData){attr->strings[i].size_bytes, (uint8_t *)attr->strings[i].data};
    if (attr->type == INGOT_ATTR_STRING) {
        proto->has_s = true;
        proto->s = strings[0];
    } else {
        proto->n_strings = attr->n;
        proto->strings = strings;
    }
    return true;
}

/* One tensor or many; those that were sparse in the file are dense from now on. */
static bool tensors_to_proto(ingot_writer *w, const ingot_attr *attr, Onnx__AttributeProto *proto)
{
    Onnx__TensorProto **tensors = ingot_arena_array(&w->arena, attr->n, sizeof *tensors);
    for (size_t i = 0; tensors && i < attr->n; i++)
        if (!(tensors[i] = constant_to_proto(w, attr->tensors[i], NULL)))
            return false;
    if (tensors && attr->type == INGOT_ATTR_TENSOR) {
        proto->t = tensors[0];
    } else {
        proto->n_tensors = attr->n;
        proto->tensors = tensors;
    }
    return tensors != NULL;
}

/* captured are the names of what the graphs capture, those of the node's earlier graphs taken off. So each graph takes
 * its own from the front of what is left. */
static bool graphs_to_proto(ingot_writer *w, const ingot_attr *attr, const char *const **captured,
                            Onnx__AttributeProto *proto)
{
    Onnx__GraphProto **graphs = ingot_arena_array(&w->arena, attr->n, sizeof *graphs);
    for (size_t i = 0; graphs && i < attr->n; i++) {
        if (!(graphs[i] = graph_to_proto(w, attr->graphs[i], *captured)))
            return false;
        *captured += attr->graphs[i]->n_captures;
    }
    if (graphs && attr->type == INGOT_ATTR_GRAPH) {
        proto->g = graphs[0];
    } else {
        proto->n_graphs = attr->n;
        proto->graphs = graphs;
    }
    return graphs != NULL;
}

/* Types, as the sequence and optional operators have them. */
static bool types_to_proto(ingot_arena *arena, const ingot_attr *attr, Onnx__AttributeProto *proto)
{
    Onnx__TypeProto **types = ingot_arena_array(arena, attr->n, sizeof *types);
    for (size_t i = 0; types && i < attr->n; i++)
        if (!(types[i] = ingot_type_to_proto(arena, &attr->types[i])))
            return false;
    if (types && attr->type == INGOT_ATTR_TYPE) {
        proto->tp = types[0];
    } else {
        proto->n_type_protos = attr->n;
        proto->type_protos = types;
    }
    return types != NULL;
}

/* The type is always told, whatever the file did. Numbers are pointed at, not copied. */
static bool attribute_to_proto(ingot_writer *w, const ingot_attr *attr, const char *const **captured,
                               Onnx__AttributeProto *proto)
{
    static const int types[] = {
        [INGOT_ATTR_FLOAT] = ONNX__ATTRIBUTE_PROTO__ATTRIBUTE_TYPE__FLOAT,
        [INGOT_ATTR_INT] = ONNX__ATTRIBUTE_PROTO__ATTRIBUTE_TYPE__INT,
        [INGOT_ATTR_STRING] = ONNX__ATTRIBUTE_PROTO__ATTRIBUTE_TYPE__STRING,
        [INGOT_ATTR_TENSOR] = ONNX__ATTRIBUTE_PROTO__ATTRIBUTE_TYPE__TENSOR,
        [INGOT_ATTR_GRAPH] = ONNX__ATTRIBUTE_PROTO__ATTRIBUTE_TYPE__GRAPH,
        [INGOT_ATTR_FLOATS] = ONNX__ATTRIBUTE_PROTO__ATTRIBUTE_TYPE__FLOATS,
        [INGOT_ATTR_INTS] = ONNX__ATTRIBUTE_PROTO__ATTRIBUTE_TYPE__INTS,
        [INGOT_ATTR_STRINGS] = ONNX__ATTRIBUTE_PROTO__ATTRIBUTE_TYPE__STRINGS,
        [INGOT_ATTR_TENSORS] = ONNX__ATTRIBUTE_PROTO__ATTRIBUTE_TYPE__TENSORS,
        [INGOT_ATTR_GRAPHS] = ONNX__ATTRIBUTE_PROTO__ATTRIBUTE_TYPE__GRAPHS,
        [INGOT_ATTR_TYPE] = ONNX__ATTRIBUTE_PROTO__ATTRIBUTE_TYPE__TYPE_PROTO,
        [INGOT_ATTR_TYPES] = ONNX__ATTRIBUTE_PROTO__ATTRIBUTE_TYPE__TYPE_PROTOS,
    };
    onnx__attribute_proto__init(proto);
    proto->name = (char *)attr->name;
    proto->has_type = true;
    proto->type = types[attr->type];
    switch (attr->type) {
    case INGOT_ATTR_FLOAT: proto->has_f = true, proto->f = attr->floats[0]; return true;
    case INGOT_ATTR_INT: proto->has_i = true, proto->i = attr->ints[0]; return true;
    case INGOT_ATTR_FLOATS: proto->n_floats = attr->n, proto->floats = (float *)attr->floats; return true;
    case INGOT_ATTR_INTS: proto->n_ints = attr->n, proto->ints = (int64_t *)attr->ints; return true;
    case INGOT_ATTR_STRING:
    case INGOT_ATTR_STRINGS: return strings_to_proto(&w->arena, attr, proto);
    case INGOT_ATTR_TENSOR:
    case INGOT_ATTR_TENSORS: return tensors_to_proto(w, attr, proto);
    case INGOT_ATTR_GRAPH:
    case INGOT_ATTR_GRAPHS: return graphs_to_proto(w, attr, captured, proto);
    case INGOT_ATTR_TYPE:
    case INGOT_ATTR_TYPES: return types_to_proto(&w->arena, attr, proto);
    default: return false; /* the reader makes no other */
    }
}

/* ---- nodes ---- */

/* The version of a domain is the newest that a node needs. The domain's text is the graph's. */
static bool need_opset(ingot_writer *w, const char *domain, int version)
{
    for (size_t i = 0; i < w->n_opsets; i++)
        if (!strcmp(w->opsets[i].domain, domain)) {
            w->opsets[i].version = MAX(w->opsets[i].version, version);
            return true;
        }
    if (!ingot_writer_grow(&w->arena, &w->opsets, w->n_opsets, &w->opset_capacity, sizeof *w->opsets))
        return false;
    w->opsets[w->n_opsets++] = (ingot_opset){domain, version};
    return true;
}

/* An array for a repeated field; the texts are shared. */
static char **copy_names(ingot_arena *arena, const char *const *names, size_t n)
{
    return ingot_arena_copy(arena, names, n * sizeof *names);
}

/* A node without operands so far. Names of nodes are unique in the file too: some engines insist. NULL when memory is
 * out. */
static Onnx__NodeProto *add_node(target *t, const char *name, const char *op_type, const char *domain, int version)
{
    ingot_arena *arena = &t->w->arena;
    Onnx__NodeProto *proto = ingot_arena_alloc(arena, sizeof *proto);
    if (!proto || !need_opset(t->w, domain, version) ||
        !ingot_writer_grow(arena, &t->nodes, t->n_nodes, &t->node_capacity, sizeof *t->nodes))
        return NULL;
    onnx__node_proto__init(proto);
    if (*name && !(proto->name = (char *)free_name(t->w, &t->w->nodes, name)))
        return NULL;
    proto->op_type = (char *)op_type;
    proto->domain = *domain ? (char *)domain : NULL;
    t->nodes[t->n_nodes++] = proto;
    return proto;
}

/* The node alone: inputs are the names of its own inputs, then of its captures. Inputs left out at the end are not
 * written at all. */
static bool write_node(target *t, const ingot_node *node, const char *const *inputs, const char *const *outputs)
{
    ingot_arena *arena = &t->w->arena;
    Onnx__NodeProto *proto = add_node(t, node->name, node->op_type, node->domain, node->version);
    Onnx__AttributeProto *attributes = ingot_arena_array(arena, node->n_attrs, sizeof *attributes);
    const char *const *captured = inputs + node->n_inputs;
    if (!proto || !attributes)
        return false;
    proto->n_input = (size_t)node->n_inputs;
    while (proto->n_input && !*inputs[proto->n_input - 1])
        proto->n_input--;
    proto->n_output = (size_t)node->n_outputs;
    proto->n_attribute = node->n_attrs;
    proto->input = copy_names(arena, inputs, proto->n_input);
    proto->output = copy_names(arena, outputs, proto->n_output);
    proto->attribute = ingot_arena_array(arena, node->n_attrs, sizeof *proto->attribute);
    if (!proto->input || !proto->output || !proto->attribute)
        return false;
    /* Graphs among the attributes take their captures' names one after the other. */
    for (size_t i = 0; i < node->n_attrs; i++) {
        proto->attribute[i] = &attributes[i];
        if (!attribute_to_proto(t->w, &node->attrs[i], &captured, &attributes[i]))
            return false;
    }
    return true;
}

/* "" is how ONNX writes an operand that is left out. */
static const char *name_of(const target *t, int value) { return value == INGOT_NONE ? "" : t->names[value]; }

/* The value between the host (or the fused node before) and fused node i. */
static const char *chain_name(const target *t, const ingot_fused *fused)
{
    return name_of(t, fused->node->inputs[fused->chain_slot]);
}

/* The node, and those fused into it one after the other. inputs are the names of all its inputs. Recursion is as deep
 * as fused nodes have others fused into them. */
static bool write_chain(target *t, const ingot_node *node, const char *const *inputs, const char *result)
{
    const char **outputs = ingot_arena_array(&t->w->arena, (size_t)node->n_outputs + 1, sizeof *outputs);
    if (!outputs)
        return false;
    /* The node itself, up to the value that the first fused node reads. */
    outputs[0] = node->n_fused ? chain_name(t, &node->fused[0]) : result;
    for (int i = 1; i < node->n_outputs; i++)
        outputs[i] = name_of(t, node->outputs[i]);
    if (!write_node(t, node, inputs, outputs))
        return false;
    /* Then each fused node: the chain, and its other inputs from the host's list in order. The last one makes the
     * result. */
    for (int i = 0; i < node->n_fused; i++) {
        const ingot_fused *fused = &node->fused[i];
        const int n = fused->node->n_all_inputs;
        const char **operands = ingot_arena_array(&t->w->arena, (size_t)n, sizeof *operands);
        if (!operands)
            return false;
        for (int k = 0, at = fused->first_input; k < n; k++)
            operands[k] = k == fused->chain_slot ? chain_name(t, fused) : inputs[at++];
        if (!write_chain(t, fused->node, operands, i + 1 < node->n_fused ? chain_name(t, fused + 1) : result))
            return false;
    }
    return true;
}

/* In running order, as ONNX asks; removed nodes are skipped. */
static bool write_nodes(target *t)
{
    for (int i = 0; i < t->graph->n_nodes; i++) {
        const ingot_node *node = t->graph->nodes[i];
        if (!node->op_type)
            continue;
        const char **inputs = ingot_arena_array(&t->w->arena, (size_t)node->n_all_inputs, sizeof *inputs);
        if (!inputs)
            return false;
        for (int k = 0; k < node->n_all_inputs; k++)
            inputs[k] = name_of(t, node->inputs[k]);
        if (!write_chain(t, node, inputs, node->n_outputs ? name_of(t, node->outputs[0]) : ""))
            return false;
    }
    return true;
}

/* An Identity node from one name to another, for outputs that are not a value of their own. Version 1 of Identity asks
 * nothing of the opset. */
static bool write_identity(target *t, const char *from, const char *to)
{
    Onnx__NodeProto *proto = add_node(t, "", "Identity", "", 1);
    if (!proto)
        return false;
    proto->n_input = proto->n_output = 1;
    proto->input = copy_names(&t->w->arena, &from, 1);
    proto->output = copy_names(&t->w->arena, &to, 1);
    return proto->input && proto->output;
}

/* ---- inputs and outputs ---- */

/* A name with its declared type; the type is empty where none was declared. NULL when memory is out. */
static Onnx__ValueInfoProto *value_to_proto(ingot_arena *arena, const char *name, const ingot_type *type)
{
    Onnx__ValueInfoProto *proto = ingot_arena_alloc(arena, sizeof *proto);
    if (!proto)
        return NULL;
    onnx__value_info_proto__init(proto);
    proto->name = (char *)name;
    proto->type = ingot_type_to_proto(arena, type);
    return proto->type ? proto : NULL;
}

/* Output i's name: the value's, unless another output has it already, it is not the declared one, or the value comes
 * from the graph around; then an Identity gives it a name of its own. NULL when memory is out. */
static const char *output_name(target *t, int i, bool is_main)
{
    const int value = t->graph->outputs[i];
    bool is_own = is_main || !t->graph->values[value].is_capture;
    for (int k = 0; k < i; k++)
        is_own &= t->graph->outputs[k] != value;
    /* A subgraph's outputs go by position, so any free name will do. */
    const char *declared = is_main ? t->w->onnx->outputs[i].name : "output";
    if (is_own && (!is_main || !strcmp(declared, t->names[value])))
        return t->names[value];
    const char *name = is_main ? declared : free_name(t->w, &t->w->values, declared);
    return name && write_identity(t, t->names[value], name) ? name : NULL;
}

/* Declared types of inputs and outputs. Those of values between are left out: passes make them wrong, and every engine
 * infers them. */
static bool write_interface(target *t, Onnx__GraphProto *proto, bool is_main)
{
    const ingot_graph *graph = t->graph;
    ingot_arena *arena = &t->w->arena;
    proto->n_input = (size_t)graph->n_inputs;
    proto->n_output = (size_t)graph->n_outputs;
    proto->input = ingot_arena_array(arena, proto->n_input, sizeof *proto->input);
    proto->output = ingot_arena_array(arena, proto->n_output, sizeof *proto->output);
    if (!proto->input || !proto->output)
        return false;
    for (int i = 0; i < graph->n_inputs; i++) {
        const ingot_value *value = &graph->values[graph->inputs[i]];
        if (!(proto->input[i] = value_to_proto(arena, t->names[graph->inputs[i]], &value->type)))
            return false;
    }
    for (int i = 0; i < graph->n_outputs; i++) {
        const ingot_type *type =
            is_main ? &t->w->onnx->outputs[i].type : &graph->values[graph->outputs[i]].type;
        const char *name = output_name(t, i, is_main);
        if (!name || !(proto->output[i] = value_to_proto(arena, name, type)))
            return false;
    }
    return true;
}

/* captured: the names of what a subgraph captures; NULL for the main graph. Calls itself for subgraphs, by way of
 * attributes; the reader has bounded their depth. NULL when memory is out. */
static Onnx__GraphProto *graph_to_proto(ingot_writer *w, const ingot_graph *graph, const char *const *captured)
{
    target t = {.w = w, .graph = graph};
    Onnx__GraphProto *proto = ingot_arena_alloc(&w->arena, sizeof *proto);
    if (!proto)
        return NULL;
    onnx__graph_proto__init(proto);
    proto->name = (char *)(*graph->name ? graph->name : "graph");
    if (!name_values(&t, captured) || !add_initializers(&t, proto) || !write_nodes(&t) ||
        !write_interface(&t, proto, !captured))
        return NULL;
    proto->node = t.nodes;
    proto->n_node = t.n_nodes;
    return proto;
}

/* The main graph. Opsets that the file imported stay imported, used or not. Initializers are noted in the writer, which
 * may move them to a file of their own. */
Onnx__GraphProto *ingot_graph_to_proto(ingot_writer *w, const ingot_graph *graph)
{
    Onnx__GraphProto *proto = graph_to_proto(w, graph, NULL);
    for (size_t i = 0; i < w->onnx->n_opsets; i++)
        if (!need_opset(w, w->onnx->opsets[i].domain, w->onnx->opsets[i].version))
            return NULL;
    if (proto) {
        w->initializers = proto->initializer;
        w->n_initializers = proto->n_initializer;
    }
    return proto;
}
