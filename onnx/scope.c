/* scope.c - names. Each graph and each inlined function body has a table of its own; a subgraph's leads to the one
 * around it. A name from further out passes through every graph between, so that each level captures only from the
 * next. */
#include "onnx/reader.h"

#include <string.h>

/* A name that is there already means the new value from now on: callers look first. False when memory is out. */
bool ingot_scope_define(ingot_reader *reader, ingot_scope *scope, const char *name, int value)
{
    return ingot_name_table_set(&reader->onnx->arena, &scope->names, name, value);
}

/* *value may be INGOT_NONE for a name that is there: a function's input that its call leaves out. */
bool ingot_scope_find(const ingot_scope *scope, const char *name, int *value)
{
    return ingot_name_table_find(&scope->names, name, value);
}

/* Make `from`, a value of the graph around scope's, a captured value of scope's graph. The new value has the outer
 * one's name and declared type. captures and captured grow together, by doubling. */
static ingot_status capture(ingot_reader *reader, ingot_scope *scope, const char *name, int from, int *value)
{
    ingot_graph *graph = scope->graph;
    if (graph->n_captures == scope->captured_capacity) {
        const int capacity = scope->captured_capacity ? 2 * scope->captured_capacity : 8;
        int *captured = ingot_arena_array(graph->arena, (size_t)capacity, sizeof *captured);
        int *captures = ingot_arena_array(graph->arena, (size_t)capacity, sizeof *captures);
        if (!captured || !captures)
            return ingot_reader_out_of_memory(reader);
        if (graph->n_captures) {
            memcpy(captured, scope->captured, (size_t)graph->n_captures * sizeof *captured);
            memcpy(captures, graph->captures, (size_t)graph->n_captures * sizeof *captures);
        }
        scope->captured = captured;
        graph->captures = captures;
        scope->captured_capacity = capacity;
    }
    const ingot_value *outer = &scope->outer->graph->values[from];
    const ingot_type type = outer->type;
    *value = ingot_graph_add_value(graph, outer->name);
    if (*value == INGOT_NONE || !ingot_scope_define(reader, scope, name, *value))
        return ingot_reader_out_of_memory(reader);
    graph->values[*value].is_capture = true;
    graph->values[*value].type = type;
    graph->captures[graph->n_captures] = *value;
    scope->captured[graph->n_captures++] = from;
    return INGOT_OK;
}

/* First outward to the scope that knows the name, then inward again with a capture at each graph. The way out ends at a
 * function's body at the latest: it sees nothing but its inputs. Source: ONNX IR specification: names of outer graphs
 * are visible in a subgraph. The path has room, as depth is bounded where scopes are made. */
ingot_status ingot_scope_resolve(ingot_reader *reader, ingot_scope *scope, const char *name, int *value)
{
    ingot_scope *path[INGOT_MAX_SUBGRAPHS + 1];
    int n = 0;
    *value = INGOT_NONE;
    ingot_scope *s = scope;
    for (; s && !ingot_scope_find(s, name, value); s = s->outer)
        path[n++] = s;
    if (!s || *value == INGOT_NONE) /* nowhere, or a function's input that the call leaves out */
        return INGOT_OK;
    while (n > 0) {
        const ingot_status status = capture(reader, path[n - 1], name, *value, value);
        if (status)
            return status;
        n--;
    }
    return INGOT_OK;
}

/* "ai.onnx", "" and no domain at all are the same one: "". The text given is returned, not a copy. */
const char *ingot_plain_domain(const char *domain)
{
    return !domain || !strcmp(domain, "ai.onnx") ? "" : domain;
}

/* A function imports its own opsets, which need not be the model's; what it leaves out is taken from the model.
 * INGOT_INVALID where neither imports the domain. */
ingot_status ingot_scope_version(const ingot_reader *reader, const ingot_scope *scope, const char *domain, int *version)
{
    const Onnx__FunctionProto *function = scope->function;
    for (size_t i = 0; function && i < function->n_opset_import; i++) {
        const Onnx__OperatorSetIdProto *import = function->opset_import[i];
        if (strcmp(ingot_plain_domain(import->domain), domain))
            continue;
        if (import->version < 1 || import->version > INT32_MAX)
            return ingot_fail(reader->error, INGOT_INVALID, "the function imports version %lld of domain '%s'",
                              (long long)import->version, domain);
        if (!*domain && import->version > INGOT_NEWEST_OPSET)
            return ingot_fail(reader->error, INGOT_UNSUPPORTED, "the function needs opset %lld; Ingot has up to %d",
                              (long long)import->version, INGOT_NEWEST_OPSET);
        *version = (int)import->version;
        return INGOT_OK;
    }
    for (size_t i = 0; i < reader->onnx->n_opsets; i++)
        if (!strcmp(reader->onnx->opsets[i].domain, domain)) {
            *version = reader->onnx->opsets[i].version;
            return INGOT_OK;
        }
    return ingot_fail(reader->error, INGOT_INVALID, "the model imports no opset of domain '%s'",
                      *domain ? domain : "ai.onnx");
}
