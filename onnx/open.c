/* open.c - a model file from its bytes to its graph: what is said of the model as a whole.
 *
 * The steps: open the file; skim it and unpack what is not weights (wire.c, unpack.c); check versions; build the graph
 * (reader.c); free the unpacked message. Strings and numbers are copied into the arena on the way, so nothing refers to
 * the message afterwards; raw data stays where it is until it is used.
 *
 * An error line is made where the trouble is and gets its context ("node 'x' (Add)", "attribute 'y'", the file's name)
 * on the way out. */
#include "onnx/reader.h"

#include <string.h>

/* A file may grow to this many times its size, and this much more, before it is refused. Far above what a model
 * takes. */
static const uint64_t growth_factor = 64, growth_extra_bytes = 256 << 20;

/* Nodes that inlining may make beyond one for each of these bytes of the file, which is more than it can hold itself.
 * */
static const uint64_t extra_nodes = 40000, node_bytes = 16;

/* A copy that lives as long as the model; "" for NULL. NULL when memory is out. */
static const char *keep(ingot_onnx *onnx, const char *text)
{
    return ingot_arena_string(&onnx->arena, text ? text : "", text ? strlen(text) : 0);
}

/* Each domain once, with a version that can be had. IR versions 1 and 2 mean version 1 of the default domain. */
static ingot_status read_opsets(ingot_reader *reader)
{
    const Onnx__ModelProto *model = reader->model;
    ingot_onnx *onnx = reader->onnx;
    onnx->opsets = ingot_arena_array(&onnx->arena, model->n_opset_import + 1, sizeof *onnx->opsets);
    if (!onnx->opsets)
        return ingot_reader_out_of_memory(reader);
    for (size_t i = 0; i < model->n_opset_import; i++) {
        const char *domain = ingot_plain_domain(model->opset_import[i]->domain);
        const int64_t version = model->opset_import[i]->version;
        size_t k = 0;
        if (version < 1 || version > INT32_MAX)
            return ingot_fail(reader->error, INGOT_INVALID, "imports version %lld of domain '%s'", (long long)version,
                              *domain ? domain : "ai.onnx");
        while (k < onnx->n_opsets && strcmp(onnx->opsets[k].domain, domain))
            k++;
        if (k < onnx->n_opsets && onnx->opsets[k].version != version)
            return ingot_fail(reader->error, INGOT_INVALID, "imports domain '%s' in versions %d and %lld", domain,
                              onnx->opsets[k].version, (long long)version);
        if (k < onnx->n_opsets)
            continue;
        onnx->opsets[onnx->n_opsets++] = (ingot_opset){keep(onnx, domain), (int)version};
        if (!onnx->opsets[k].domain)
            return ingot_reader_out_of_memory(reader);
        if (!*domain)
            onnx->opset = (int)version;
    }
    /* Files older than opset imports. */
    if (!model->n_opset_import && onnx->ir_version < 3) {
        onnx->opsets[onnx->n_opsets++] = (ingot_opset){"", 1};
        onnx->opset = 1;
    }
    if (onnx->opset > INGOT_NEWEST_OPSET)
        return ingot_fail(reader->error, INGOT_UNSUPPORTED, "needs opset %d; Ingot has up to %d", onnx->opset,
                          INGOT_NEWEST_OPSET);
    return INGOT_OK;
}

/* Everything in a ModelProto but the graph and the functions. Source: onnx.proto, ModelProto. Newer IR versions are
 * refused, since they may change what fields mean. */
static ingot_status read_header(ingot_reader *reader)
{
    const Onnx__ModelProto *model = reader->model;
    ingot_onnx *onnx = reader->onnx;
    if (!model->graph || !model->has_ir_version || model->ir_version < 1)
        return ingot_fail(reader->error, INGOT_INVALID, "not an ONNX model: no %s",
                          model->graph ? "IR version" : "graph");
    if (model->ir_version > INGOT_NEWEST_IR)
        return ingot_fail(reader->error, INGOT_UNSUPPORTED, "has IR version %lld; Ingot knows up to %d",
                          (long long)model->ir_version, INGOT_NEWEST_IR);
    onnx->ir_version = model->ir_version;
    onnx->model_version = model->model_version;
    onnx->producer_name = keep(onnx, model->producer_name);
    onnx->producer_version = keep(onnx, model->producer_version);
    onnx->domain = keep(onnx, model->domain);
    onnx->properties = ingot_arena_array(&onnx->arena, model->n_metadata_props, sizeof *onnx->properties);
    if (!onnx->producer_name || !onnx->producer_version || !onnx->domain || !onnx->properties)
        return ingot_reader_out_of_memory(reader);
    for (size_t i = 0; i < model->n_metadata_props; i++) {
        ingot_property *property = &onnx->properties[onnx->n_properties++];
        *property = (ingot_property){keep(onnx, model->metadata_props[i]->key),
                                     keep(onnx, model->metadata_props[i]->value)};
        if (!property->key || !property->value)
            return ingot_reader_out_of_memory(reader);
    }
    return read_opsets(reader);
}

/* Names and types of the outputs, which stay when passes replace the values. Types are copied as records; what they
 * point to is the arena's. */
static ingot_status remember_outputs(ingot_reader *reader)
{
    ingot_onnx *onnx = reader->onnx;
    const ingot_graph *graph = onnx->graph;
    onnx->outputs = ingot_arena_array(&onnx->arena, (size_t)graph->n_outputs, sizeof *onnx->outputs);
    if (!onnx->outputs)
        return ingot_reader_out_of_memory(reader);
    for (int i = 0; i < graph->n_outputs; i++) {
        const ingot_value *value = &graph->values[graph->outputs[i]];
        if (value->n_outputs > 1)
            return ingot_fail(reader->error, INGOT_INVALID, "graph output '%s' is listed twice", value->name);
        onnx->outputs[i] = (ingot_declared){value->name, value->type};
    }
    return INGOT_OK;
}

/* In the order in which one needs the other: opsets for nodes, functions for calls. The graph is the model's only when
 * all of it was read. */
static ingot_status build(ingot_reader *reader)
{
    ingot_scope scope = {0};
    ingot_status status;
    if ((status = read_header(reader)) || (status = ingot_list_functions(reader)) ||
        (status = ingot_read_graph(reader, reader->model->graph, &scope)))
        return status;
    reader->onnx->graph = scope.graph;
    return remember_outputs(reader);
}

/* The unpacked message lives in here only. The limits on growth are set here, since the file's size is known. */
static ingot_status unpack_and_build(ingot_onnx *onnx, uint64_t max_nodes, ingot_error *error)
{
    ingot_unpacked unpacked;
    const ingot_content *content = &onnx->sources->content;
    ingot_reader reader = {.onnx = onnx, .content = content, .error = error};
    ingot_status status =
        ingot_unpack(&onnx__model_proto__descriptor, content, onnx->memory, &unpacked, error);
    if (status == INGOT_INVALID)
        ingot_error_prefix(error, "not an ONNX model");
    if (!status) {
        reader.model = (const Onnx__ModelProto *)unpacked.message;
        if (__builtin_mul_overflow(growth_factor, content->size_bytes, &reader.memory_limit) ||
            __builtin_add_overflow(reader.memory_limit, growth_extra_bytes + onnx->memory->used_bytes,
                                   &reader.memory_limit))
            reader.memory_limit = UINT64_MAX;
        reader.node_limit = max_nodes ? max_nodes : extra_nodes + content->size_bytes / node_bytes;
        status = build(&reader);
    }
    ingot_unpacked_free(&unpacked);
    return status;
}

/* result is set only when everything went well; what was made until a failure is undone by ingot_onnx_close(). The line
 * begins with the path. Bytes that the caller gave must stay while the model is open. */
ingot_status ingot_onnx_open(const char *path, const void *data, size_t size_bytes, const ingot_model_options *options,
                             ingot_memory *memory, ingot_onnx **result, ingot_error *error)
{
    ingot_error line; /* every failure is told, whether or not the caller wants to know */
    *result = NULL;
    ingot_onnx *onnx = ingot_zalloc(memory, sizeof *onnx);
    if (!onnx)
        return ingot_fail(error, INGOT_LIMIT, "%s: out of memory", path ? path : "model");
    onnx->memory = memory;
    onnx->arena.memory = memory;
    const char *root = options ? options->external_data_root : NULL;
    onnx->no_mmap = options && options->no_mmap;
    ingot_status status = INGOT_OK;
    if ((path && !(onnx->path = keep(onnx, path))) || (root && !(onnx->external_root = keep(onnx, root))))
        status = ingot_fail(&line, INGOT_LIMIT, "out of memory");
    if (!status)
        status = ingot_open_model(onnx, data, size_bytes, &line);
    if (!status)
        status = unpack_and_build(onnx, options ? options->max_nodes : 0, &line);
    if (!status || status == INGOT_INVALID) { /* what looks malformed may have changed while it was read */
        const ingot_status changed = ingot_files_check(onnx->files, &line);
        status = changed ? changed : status;
    }
    if (status) {
        ingot_onnx_close(onnx);
        return ingot_fail(error, status, "%s: %s", path ? path : "model", line.message);
    }
    *result = onnx;
    return INGOT_OK;
}

/* The graph, its constants and all strings go with the arena. NULL, or a model that was only half read, is allowed. */
void ingot_onnx_close(ingot_onnx *onnx)
{
    if (!onnx)
        return;
    ingot_memory *memory = onnx->memory;
    ingot_close_sources(onnx);
    ingot_arena_free(&onnx->arena);
    ingot_release(memory, onnx);
}
