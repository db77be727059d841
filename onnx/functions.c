/* functions.c - calls of the model's own functions, replaced by the nodes of their bodies. A body has a scope of its
 * own: its inputs and outputs stand for the values of the call, everything else becomes a new value whose name starts
 * with the call's. How much inlining may produce is bounded (see count_node() in reader.c), how deep by the call's
 * depth; a function that reaches itself is refused. */
#include "onnx/reader.h"

#include <stdio.h>
#include <string.h>

/* NULL, absent text, is equal to "". */
static bool same(const char *a, const char *b) { return !strcmp(a ? a : "", b ? b : ""); }

/* Domain and overload tell functions of one name apart. overload came with IR version 10; it is absent in older
 * files. */
static bool has_identity(const Onnx__FunctionProto *f, const char *domain, const char *overload)
{
    return !strcmp(ingot_plain_domain(f->domain), ingot_plain_domain(domain)) && same(f->overload, overload);
}

/* The function that a node calls, or NULL where its operator is no function of the model. The newest of a name is
 * looked at first. */
const Onnx__FunctionProto *ingot_find_function(const ingot_reader *reader, const Onnx__NodeProto *node)
{
    int i = INGOT_NONE;
    if (node->op_type)
        ingot_name_table_find(&reader->functions, node->op_type, &i);
    while (i != INGOT_NONE && !has_identity(reader->model->functions[i], node->domain, node->overload))
        i = reader->next_function[i];
    return i == INGOT_NONE ? NULL : reader->model->functions[i];
}

/* Names of functions lead to a list, as domains and overloads may share them. Names are the message's and not copied:
 * the reader lives shorter. INGOT_INVALID where one is missing or two functions are the same. */
ingot_status ingot_list_functions(ingot_reader *reader)
{
    const size_t n = reader->model->n_functions;
    reader->next_function = ingot_arena_array(&reader->onnx->arena, n, sizeof *reader->next_function);
    if (!reader->next_function)
        return ingot_reader_out_of_memory(reader);
    for (size_t i = 0; i < n; i++) {
        const Onnx__FunctionProto *f = reader->model->functions[i];
        const Onnx__NodeProto call = {.op_type = f->name, .domain = f->domain, .overload = f->overload};
        int first = INGOT_NONE;
        if (!f->name || !*f->name)
            return ingot_fail(reader->error, INGOT_INVALID, "a function has no name");
        if (ingot_find_function(reader, &call))
            return ingot_fail(reader->error, INGOT_INVALID, "function '%s' is defined twice", f->name);
        ingot_name_table_find(&reader->functions, f->name, &first);
        reader->next_function[i] = first;
        if (!ingot_name_table_set(&reader->onnx->arena, &reader->functions, f->name, (int)i))
            return ingot_reader_out_of_memory(reader);
    }
    return INGOT_OK;
}

/* What the call gives for an attribute of the function, or NULL. The list has as many entries as the call has
 * attributes. */
static const ingot_binding *find_binding(const ingot_scope *scope, const char *name)
{
    for (size_t i = 0; i < scope->n_bindings; i++)
        if (!strcmp(scope->bindings[i].name, name))
            return &scope->bindings[i];
    return NULL;
}

/* A reference stands for what the call gives, else for the function's default, else for nothing: the node then has no
 * such attribute and its operator's own default holds. Source: onnx.proto, AttributeProto.ref_attr_name, and
 * FunctionProto.attribute_proto for defaults. *value is NULL for nothing. */
ingot_status ingot_attribute_value(const ingot_reader *reader, const Onnx__AttributeProto *proto, ingot_scope **scope,
                                   const Onnx__AttributeProto **value)
{
    const Onnx__FunctionProto *function = (*scope)->function;
    const char *name = proto->ref_attr_name;
    *value = proto;
    if (!name || !*name)
        return INGOT_OK;
    if (!function)
        return ingot_fail(reader->error, INGOT_INVALID, "refers to attribute '%s' outside of a function", name);
    /* What the call gives, else the function's default. */
    const ingot_binding *binding = find_binding(*scope, name);
    *value = NULL;
    if (binding) {
        *value = binding->value;
        *scope = binding->scope;
    }
    for (size_t i = 0; !*value && i < function->n_attribute_proto; i++)
        if (same(function->attribute_proto[i]->name, name))
            *value = function->attribute_proto[i];
    if (*value && (*value)->ref_attr_name && *(*value)->ref_attr_name)
        return ingot_fail(reader->error, INGOT_INVALID, "the default of attribute '%s' is a reference", name);
    if (*value && proto->has_type && (*value)->has_type && proto->type != (*value)->type)
        return ingot_fail(reader->error, INGOT_INVALID, "attribute '%s' of the function has another type", name);
    return INGOT_OK;
}

/* The call's attributes; those that refer to the caller's own are looked up now. So a chain of calls that hand an
 * attribute on never has to be followed later. */
static ingot_status bind_attributes(ingot_reader *reader, const Onnx__NodeProto *call, ingot_scope *caller,
                                    ingot_scope *scope)
{
    scope->bindings = ingot_arena_array(&reader->onnx->arena, call->n_attribute, sizeof *scope->bindings);
    if (!scope->bindings)
        return ingot_reader_out_of_memory(reader);
    for (size_t i = 0; i < call->n_attribute; i++) {
        ingot_binding *binding = &scope->bindings[scope->n_bindings];
        *binding = (ingot_binding){call->attribute[i]->name ? call->attribute[i]->name : "", NULL, caller};
        const ingot_status status =
            ingot_attribute_value(reader, call->attribute[i], &binding->scope, &binding->value);
        if (status) {
            ingot_error_prefix(reader->error, "attribute '%s'", binding->name);
            return status;
        }
        scope->n_bindings += binding->value != NULL;
    }
    return INGOT_OK;
}

/* The names of the function's inputs mean the values of the call; INGOT_NONE where it leaves one out, so that nodes of
 * the body see an input that is left out as well. Inputs behind the call's last are left out as well. */
static ingot_status bind_inputs(ingot_reader *reader, const Onnx__NodeProto *call, ingot_scope *caller,
                                ingot_scope *scope)
{
    const Onnx__FunctionProto *function = scope->function;
    int ignored;
    if (call->n_input > function->n_input)
        return ingot_fail(reader->error, INGOT_INVALID, "has %zu inputs, the function takes %zu", call->n_input,
                          function->n_input);
    for (size_t i = 0; i < function->n_input; i++) {
        const char *actual = i < call->n_input ? call->input[i] : "";
        int value = INGOT_NONE;
        const ingot_status status = *actual ? ingot_scope_resolve(reader, caller, actual, &value) : INGOT_OK;
        if (status)
            return status;
        if (value == INGOT_NONE && *actual && !ingot_scope_find(caller, actual, &ignored))
            return ingot_fail(reader->error, INGOT_INVALID, "input %zu: nothing produces '%s'", i, actual);
        if (ingot_scope_find(scope, function->input[i], &ignored))
            return ingot_fail(reader->error, INGOT_INVALID, "the function has input '%s' twice", function->input[i]);
        if (!ingot_scope_define(reader, scope, function->input[i], value))
            return ingot_reader_out_of_memory(reader);
    }
    return INGOT_OK;
}

/* The value that the call's output i is; INGOT_NONE where the call leaves it out. All outputs of a call were declared
 * before nodes were read, so the name is there. */
static int actual_output(const Onnx__NodeProto *call, const ingot_scope *caller, size_t i)
{
    int value = INGOT_NONE;
    if (i < call->n_output && *call->output[i])
        ingot_scope_find(caller, call->output[i], &value);
    return value;
}

/* Outputs that the body computes are the call's own values; what it merely passes on (an input, or the same value
 * again) is left to pass_on(). Fewer outputs than the function has are allowed; more are not. */
static ingot_status bind_outputs(ingot_reader *reader, const Onnx__NodeProto *call, const ingot_scope *caller,
                                 ingot_scope *scope)
{
    const Onnx__FunctionProto *function = scope->function;
    int ignored;
    if (call->n_output > function->n_output)
        return ingot_fail(reader->error, INGOT_INVALID, "has %zu outputs, the function gives %zu", call->n_output,
                          function->n_output);
    for (size_t i = 0; i < function->n_output; i++) {
        const int value = actual_output(call, caller, i);
        if (value == INGOT_NONE || ingot_scope_find(scope, function->output[i], &ignored))
            continue;
        if (!ingot_scope_define(reader, scope, function->output[i], value))
            return ingot_reader_out_of_memory(reader);
    }
    return INGOT_OK;
}

/* Identity nodes for the outputs that no node of the body writes to directly. Identity's oldest form will do in any
 * version, so the function's own opset is named. */
static ingot_status pass_on(ingot_reader *reader, const Onnx__NodeProto *call, const ingot_scope *caller,
                            ingot_scope *scope)
{
    const Onnx__FunctionProto *function = scope->function;
    for (size_t i = 0; i < call->n_output; i++) {
        const int wanted = actual_output(call, caller, i);
        int value = INGOT_NONE, version;
        if (wanted == INGOT_NONE)
            continue;
        if (!ingot_scope_find(scope, function->output[i], &value) || value == INGOT_NONE)
            return ingot_fail(reader->error, INGOT_INVALID, "output %zu of the function is not there", i);
        if (value == wanted)
            continue;
        const ingot_status status = ingot_scope_version(reader, scope, "", &version);
        if (status)
            return status;
        if (!ingot_graph_add_node(scope->graph, scope->prefix, "Identity", "", version, &value, 1, &wanted, 1))
            return ingot_reader_out_of_memory(reader);
    }
    return INGOT_OK;
}

/* A name for a value of the body that no other value of the graph has: PREFIX/NAME, or PREFIX/NAME_N, where N goes on
 * counting through the model: calls of one name are many, and starting over would look at all of them each time. NULL
 * when memory is out. 16 bytes are enough for slash, underscore, number and terminator. */
static const char *unique_name(ingot_reader *reader, const ingot_scope *scope, const char *name)
{
    const size_t size = strlen(scope->prefix) + strlen(name) + 16;
    char *full = ingot_arena_alloc(&reader->onnx->arena, size);
    if (!full)
        return NULL;
    snprintf(full, size, "%s/%s", scope->prefix, name);
    while (ingot_graph_find_value(scope->graph, full) != INGOT_NONE)
        snprintf(full, size, "%s/%s_%u", scope->prefix, name, 1 + ++reader->n_renamed);
    return full;
}

/* The values that the body's nodes put out, but for those that stand for the call's. n_outputs_bound is how many names
 * bind_outputs() gave the call's values: each of them must be met once among the nodes' outputs. */
static ingot_status declare_body(ingot_reader *reader, ingot_scope *scope, int n_outputs_bound)
{
    const Onnx__FunctionProto *function = scope->function;
    int n_bound = 0;
    for (size_t i = 0; i < function->n_node; i++)
        for (size_t k = 0; k < function->node[i]->n_output; k++) {
            const char *name = function->node[i]->output[k];
            int value;
            if (!*name)
                continue;
            if (ingot_scope_find(scope, name, &value)) {
                n_bound++;
                continue;
            }
            const char *full = unique_name(reader, scope, name);
            value = full ? ingot_graph_add_value(scope->graph, full) : INGOT_NONE;
            if (value == INGOT_NONE || !ingot_scope_define(reader, scope, name, value))
                return ingot_reader_out_of_memory(reader);
        }
    if (n_bound != n_outputs_bound) /* a name twice, or an output that no node computes */
        return ingot_fail(reader->error, INGOT_INVALID, "the function does not define each of its values once");
    return INGOT_OK;
}

/* PREFIX/CALL, for the names within the call. In the arena; NULL when memory is out. */
static const char *call_prefix(ingot_arena *arena, const Onnx__NodeProto *call, const ingot_scope *caller)
{
    const char *label = ingot_node_label(call);
    const char *outer = caller->prefix ? caller->prefix : "";
    char *prefix = ingot_arena_alloc(arena, strlen(outer) + strlen(label) + 2);
    if (prefix)
        strcat(strcat(strcpy(prefix, outer), caller->prefix ? "/" : ""), label);
    return prefix;
}

/* The chain of scopes leads from the call to the main graph, through subgraphs and through calls. Recursion through
 * other functions is found too, as the chain holds every call that is being inlined. */
static ingot_status check_call(const ingot_reader *reader, const Onnx__FunctionProto *function,
                               const ingot_scope *caller)
{
    if (caller->depth >= INGOT_MAX_SUBGRAPHS)
        return ingot_fail(reader->error, INGOT_LIMIT, "functions and graphs nest more than %d deep",
                          INGOT_MAX_SUBGRAPHS);
    for (const ingot_scope *s = caller; s; s = s->outer ? s->outer : s->caller)
        if (s->function == function)
            return ingot_fail(reader->error, INGOT_INVALID, "the function calls itself");
    for (size_t i = 0; i < function->n_input; i++)
        if (!*function->input[i])
            return ingot_fail(reader->error, INGOT_INVALID, "the function has an input without a name");
    return INGOT_OK;
}

/* First every name of the body gets its value, then the nodes are read like any others, calls among them. The call
 * itself leaves no node. After an error the graph is half built and goes with the model. */
ingot_status ingot_inline_call(ingot_reader *reader, const Onnx__FunctionProto *function, const Onnx__NodeProto *call,
                               ingot_scope *caller)
{
    ingot_status status = check_call(reader, function, caller);
    if (status)
        return status;
    /* In the arena: graphs that are handed to functions further in keep a pointer to it. */
    ingot_scope *scope = ingot_arena_alloc(&reader->onnx->arena, sizeof *scope);
    if (!scope)
        return ingot_reader_out_of_memory(reader);
    *scope = (ingot_scope){.graph = caller->graph, .caller = caller, .depth = caller->depth + 1,
                           .function = function, .prefix = call_prefix(&reader->onnx->arena, call, caller)};
    if (!scope->prefix)
        return ingot_reader_out_of_memory(reader);
    if ((status = bind_attributes(reader, call, caller, scope)) || (status = bind_inputs(reader, call, caller, scope)))
        return status;
    /* Names from here on belong to outputs, which declare_body() has to find again. */
    const size_t n_inputs = scope->names.n;
    if ((status = bind_outputs(reader, call, caller, scope)) ||
        (status = declare_body(reader, scope, (int)(scope->names.n - n_inputs))))
        return status;
    for (size_t i = 0; i < function->n_node; i++)
        if ((status = ingot_read_node(reader, function->node[i], scope)))
            return status;
    return pass_on(reader, call, caller, scope);
}
