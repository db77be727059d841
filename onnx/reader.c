/* reader.c - GraphProto to graph.
 *
 * All names of a graph are declared before its nodes are read, so nodes may come in any order; ingot_graph_sort()
 * then puts them right. Every value is defined once in its scope (SSA), and by one of: a graph input, an
 * initializer, a node. An initializer with the name of an input is that input's default (all initializers were
 * inputs up to IR version 3).
 *
 * Three kinds of node leave none behind: Constant becomes its value's constant, a call of a function becomes the
 * nodes of its body (functions.c), and what a node's attributes hold as graphs is read by ingot_read_graph() again.
 * Recursion follows subgraphs and function calls only and ends at INGOT_MAX_SUBGRAPHS levels. */
#include "onnx/reader.h"

#include <string.h>

/* The one text for every allocation that fails while reading. */
ingot_status ingot_reader_out_of_memory(const ingot_reader *reader)
{
    return ingot_fail(reader->error, INGOT_LIMIT, "out of memory while reading the model");
}

/* A new value that is in scope from now on. INGOT_INVALID for a name that is there already: values are assigned once
 * (ONNX IR specification, "Graphs"). */
static ingot_status declare(ingot_reader *reader, ingot_scope *scope, const char *name, int *value)
{
    int other;
    *value = INGOT_NONE;
    if (ingot_scope_find(scope, name, &other))
        return ingot_fail(reader->error, INGOT_INVALID, "value '%s' is defined twice", name);
    *value = ingot_graph_add_value(scope->graph, name);
    return *value != INGOT_NONE && ingot_scope_define(reader, scope, name, *value) ? INGOT_OK
                                                                                  : ingot_reader_out_of_memory(reader);
}

/* The type that a ValueInfoProto declares, with the value's name in the error line. */
static ingot_status read_value_type(ingot_reader *reader, const Onnx__ValueInfoProto *info, ingot_type *type)
{
    const ingot_status status = ingot_read_type(reader, info->type, type);
    if (status)
        ingot_error_prefix(reader->error, "value '%s'", info->name);
    return status;
}

/* Graph inputs come first, so that an initializer finds the one it is the default of. n_inputs is looked at because
 * ingot_graph_add_input() tells want of memory by it alone. */
static ingot_status read_inputs(ingot_reader *reader, const Onnx__GraphProto *proto, ingot_scope *scope)
{
    for (size_t i = 0; i < proto->n_input; i++) {
        const Onnx__ValueInfoProto *info = proto->input[i];
        ingot_type type;
        int value;
        if (!info->name || !*info->name)
            return ingot_fail(reader->error, INGOT_INVALID, "graph input %zu has no name", i);
        ingot_status status = declare(reader, scope, info->name, &value);
        if (status || (status = read_value_type(reader, info, &type)))
            return status;
        scope->graph->values[value].type = type;
        ingot_graph_add_input(scope->graph, value);
        if (scope->graph->n_inputs != (int)i + 1)
            return ingot_reader_out_of_memory(reader);
    }
    return INGOT_OK;
}

/* Declare a value with the constant; a graph input of the name gets it as its default. Its own type is declared from
 * the tensor; an input keeps the type that it declares. */
static ingot_status add_initializer(ingot_reader *reader, ingot_scope *scope, const char *name, ingot_const *constant)
{
    ingot_onnx *onnx = reader->onnx;
    const ingot_tensor *tensor = &constant->tensor;
    int value;
    if (ingot_scope_find(scope, name, &value)) {
        if (scope->graph->values[value].constant || !scope->graph->values[value].is_input)
            return ingot_fail(reader->error, INGOT_INVALID, "initializer '%s' is defined twice", name);
    } else {
        const ingot_status status = declare(reader, scope, name, &value);
        if (status)
            return status;
        ingot_type *type = &scope->graph->values[value].type;
        *type = (ingot_type){.dtype = tensor->dtype, .rank = tensor->rank};
        type->shape = ingot_arena_copy(&onnx->arena, tensor->shape, (size_t)tensor->rank * sizeof *type->shape);
        type->symbols = ingot_arena_array(&onnx->arena, (size_t)tensor->rank, sizeof *type->symbols);
        if (!type->shape || !type->symbols)
            return ingot_reader_out_of_memory(reader);
    }
    constant->from_file = true;
    scope->graph->values[value].constant = constant;
    /* What the summary of the model tells. */
    onnx->n_parameters += ingot_count(tensor);
    onnx->weight_bytes += ingot_raw_size_bytes(tensor->dtype, ingot_count(tensor));
    return INGOT_OK;
}

/* Sparse ones first; they are named by their values. */
static ingot_status read_initializers(ingot_reader *reader, const Onnx__GraphProto *proto, ingot_scope *scope)
{
    const size_t n_sparse = proto->n_sparse_initializer;
    for (size_t i = 0; i < proto->n_initializer + n_sparse; i++) {
        const Onnx__SparseTensorProto *sparse = i < n_sparse ? proto->sparse_initializer[i] : NULL;
        const Onnx__TensorProto *tensor = sparse ? sparse->values : proto->initializer[i - n_sparse];
        ingot_const *constant;
        const char *name = tensor && tensor->name ? tensor->name : "";
        if (!*name)
            return ingot_fail(reader->error, INGOT_INVALID, "an initializer has no name");
        ingot_status status = sparse ? ingot_read_sparse(reader, sparse, &constant)
                                     : ingot_read_tensor(reader, tensor, &constant);
        if (status)
            ingot_error_prefix(reader->error, "initializer '%s'", name);
        else
            status = add_initializer(reader, scope, name, constant);
        if (status)
            return status;
    }
    return INGOT_OK;
}

/* What nodes put out, and the types that value_info tells of. value_info of names that nothing defines is ignored, as
 * exporters leave such behind. */
static ingot_status declare_values(ingot_reader *reader, const Onnx__GraphProto *proto, ingot_scope *scope)
{
    int value;
    for (size_t i = 0; i < proto->n_node; i++)
        for (size_t k = 0; k < proto->node[i]->n_output; k++) {
            const char *name = proto->node[i]->output[k];
            const ingot_status status = *name ? declare(reader, scope, name, &value) : INGOT_OK;
            if (status)
                return status;
        }
    for (size_t i = 0; i < proto->n_value_info; i++) {
        const Onnx__ValueInfoProto *info = proto->value_info[i];
        ingot_type type;
        if (!info->name || !ingot_scope_find(scope, info->name, &value) || scope->graph->values[value].is_input)
            continue;
        const ingot_status status = read_value_type(reader, info, &type);
        if (status)
            return status;
        scope->graph->values[value].type = type;
    }
    return INGOT_OK;
}

/* A graph output is any value in scope; in a subgraph also one of the graphs around, which becomes a capture. A type
 * that the output declares replaces that of value_info. */
static ingot_status read_outputs(ingot_reader *reader, const Onnx__GraphProto *proto, ingot_scope *scope)
{
    for (size_t i = 0; i < proto->n_output; i++) {
        const Onnx__ValueInfoProto *info = proto->output[i];
        ingot_type type;
        int value = INGOT_NONE;
        ingot_status status = info->name ? ingot_scope_resolve(reader, scope, info->name, &value) : INGOT_OK;
        if (status || (status = read_value_type(reader, info, &type)))
            return status;
        if (value == INGOT_NONE)
            return ingot_fail(reader->error, INGOT_INVALID, "nothing produces graph output '%s'",
                              info->name ? info->name : "");
        if (info->type)
            scope->graph->values[value].type = type;
        ingot_graph_add_output(scope->graph, value);
        if (scope->graph->n_outputs != (int)i + 1)
            return ingot_reader_out_of_memory(reader);
    }
    return INGOT_OK;
}

/* scope is new, with `outer` and `depth` set; it receives the graph and what the graph captures. The graph is sorted
 * when this returns INGOT_OK. After an error it is half built, and goes with the model. */
ingot_status ingot_read_graph(ingot_reader *reader, const Onnx__GraphProto *proto, ingot_scope *scope)
{
    ingot_status status;
    if (scope->depth > INGOT_MAX_SUBGRAPHS)
        return ingot_fail(reader->error, INGOT_LIMIT, "graphs nest more than %d deep", INGOT_MAX_SUBGRAPHS);
    scope->graph = ingot_graph_create(&reader->onnx->arena, proto->name);
    if (!scope->graph)
        return ingot_reader_out_of_memory(reader);
    if ((status = read_inputs(reader, proto, scope)) || (status = read_initializers(reader, proto, scope)) ||
        (status = declare_values(reader, proto, scope)))
        return status;
    for (size_t i = 0; i < proto->n_node; i++)
        if ((status = ingot_read_node(reader, proto->node[i], scope)))
            return status;
    if ((status = read_outputs(reader, proto, scope)))
        return status;
    return ingot_graph_sort(scope->graph, reader->error);
}

/* Its name, else that of its first output, else "". The text is the message's. */
const char *ingot_node_label(const Onnx__NodeProto *proto)
{
    if (proto->name && *proto->name)
        return proto->name;
    for (size_t i = 0; i < proto->n_output; i++)
        if (*proto->output[i])
            return proto->output[i];
    return "";
}

/* Ids of one node at a time: ingot_graph_add_node() copies them before attributes may read further nodes. Doubled, so
 * that a file of growing nodes takes linear memory. False when memory is out. */
static bool reserve_ids(ingot_reader *reader, size_t n)
{
    if (n <= reader->ids_capacity)
        return true;
    reader->ids = ingot_arena_array(&reader->onnx->arena, 2 * n, sizeof *reader->ids);
    reader->ids_capacity = reader->ids ? 2 * n : 0;
    return reader->ids != NULL;
}

/* The ids of a node's inputs and outputs, into reader->ids. Inputs that are left out at the end are not counted.
 * Outputs are INGOT_NONE where they are left out; a name of an output was declared before, or is a function's. */
static ingot_status read_operands(ingot_reader *reader, const Onnx__NodeProto *proto, ingot_scope *scope, int *n_inputs)
{
    /* ONNX lets a file write "" for inputs that are left out, also at the end. */
    size_t n = proto->n_input;
    while (n && !*proto->input[n - 1])
        n--;
    if (n + proto->n_output > INT32_MAX / 8 || !reserve_ids(reader, n + proto->n_output + 1))
        return ingot_reader_out_of_memory(reader);
    *n_inputs = (int)n;
    for (size_t i = 0; i < n; i++) {
        const char *name = proto->input[i];
        int ignored;
        reader->ids[i] = INGOT_NONE;
        if (!*name)
            continue;
        const ingot_status status = ingot_scope_resolve(reader, scope, name, &reader->ids[i]);
        if (status)
            return status;
        if (reader->ids[i] == INGOT_NONE && !ingot_scope_find(scope, name, &ignored))
            return ingot_fail(reader->error, INGOT_INVALID, "input %zu: nothing produces '%s'", i, name);
    }
    for (size_t i = 0; i < proto->n_output; i++) {
        reader->ids[n + i] = INGOT_NONE;
        if (*proto->output[i] && !ingot_scope_find(scope, proto->output[i], &reader->ids[n + i]))
            return ingot_fail(reader->error, INGOT_INVALID, "output '%s' is not declared", proto->output[i]);
    }
    return INGOT_OK;
}

/* A Constant node becomes its value's constant and leaves no node. The value keeps its id. Of a function's body the
 * constant is read again at each call. */
static ingot_status read_constant(ingot_reader *reader, const Onnx__NodeProto *proto, ingot_scope *scope)
{
    ingot_const *constant;
    int value = INGOT_NONE;
    if (proto->n_output != 1 || proto->n_input)
        return ingot_fail(reader->error, INGOT_INVALID, "takes no input and has one output");
    const ingot_status status = ingot_read_constant_node(reader, proto, scope, &constant);
    if (!status && *proto->output[0] && ingot_scope_find(scope, proto->output[0], &value) && value != INGOT_NONE)
        scope->graph->values[value].constant = constant;
    return status;
}

/* A node that stays one. Within a function's body its name starts with the call's, as the body may be there often.
 * Attributes come last, as graphs among them add captures to the node. */
static ingot_status read_plain_node(ingot_reader *reader, const Onnx__NodeProto *proto, ingot_scope *scope,
                                    const char *domain)
{
    ingot_graph *graph = scope->graph;
    const char *label = ingot_node_label(proto), *name = label;
    int n_inputs = 0, version;
    ingot_status status = ingot_scope_version(reader, scope, domain, &version);
    if (status || (status = read_operands(reader, proto, scope, &n_inputs)))
        return status;
    if (scope->prefix) {
        char *full = ingot_arena_alloc(graph->arena, strlen(scope->prefix) + strlen(label) + 2);
        if (!full)
            return ingot_reader_out_of_memory(reader);
        strcat(strcat(strcpy(full, scope->prefix), "/"), label);
        name = full;
    }
    if (!ingot_graph_add_node(graph, name, proto->op_type, domain, version, reader->ids, n_inputs,
                              reader->ids + n_inputs, (int)proto->n_output) ||
        !ingot_module_path(graph->arena, proto, &graph->nodes[graph->n_nodes - 1]->module))
        return ingot_reader_out_of_memory(reader);
    return ingot_read_attributes(reader, proto, scope, graph->n_nodes - 1);
}

/* Every node of every graph and function comes by here, so here is where growth is bounded: functions that call
 * functions can multiply without end. */
static ingot_status count_node(ingot_reader *reader)
{
    if (++reader->n_nodes > reader->node_limit)
        return ingot_fail(reader->error, INGOT_LIMIT, "functions grow the model beyond %llu nodes (--max-nodes allows "
                                                      "more)", (unsigned long long)reader->node_limit);
    if (reader->onnx->memory->used_bytes > reader->memory_limit)
        return ingot_fail(reader->error, INGOT_LIMIT, "functions and sparse tensors grow the model beyond what a file "
                                                      "of its size may take");
    return INGOT_OK;
}

/* One node of the file becomes none, one, or the nodes of a function. Errors get the node's name and operator in
 * front. */
ingot_status ingot_read_node(ingot_reader *reader, const Onnx__NodeProto *proto, ingot_scope *scope)
{
    const char *domain = ingot_plain_domain(proto->domain);
    const Onnx__FunctionProto *function = ingot_find_function(reader, proto);
    ingot_status status = count_node(reader);
    if (status)
        ; /* told below */
    else if (!proto->op_type || !*proto->op_type)
        status = ingot_fail(reader->error, INGOT_INVALID, "has no op_type");
    else if (function)
        status = ingot_inline_call(reader, function, proto, scope);
    else if (!*domain && !strcmp(proto->op_type, "Constant"))
        status = read_constant(reader, proto, scope);
    else
        status = read_plain_node(reader, proto, scope, domain);
    /* Of many levels the innermost are told: the line is of limited length. */
    if (status && strlen(reader->error->message) < 2 * sizeof reader->error->message / 3)
        ingot_error_prefix(reader->error, "node '%s' (%s)", ingot_node_label(proto),
                           proto->op_type ? proto->op_type : "");
    return status;
}
