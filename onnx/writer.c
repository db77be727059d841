/* writer.c - a graph to an ONNX file. The message is built in an arena, with elements pointed at where they lie;
 * protobuf-c then packs it piece by piece into the file, and constants that exist only in part (lazy ones) are read on
 * the way. The file has another name until it is complete. */
#include "onnx/writer.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum {
    MODEL_BYTES = INT32_MAX,   /* what protobuf takes in one message */
    EXTERNAL_BYTES = 1024,     /* smaller initializers stay in the model */
    EXTERNAL_ALIGNMENT = 4096, /* so that other engines can map them too */
    CHUNK_BYTES = 1 << 16,
};

/* ---- a file that replaces another at once ---- */

/* stream NULL: not opened, or finished. path is the temporary name. */
typedef struct new_file {
    FILE *stream;
    char *path, *final_path;
} new_file;

/* The system's own words. Returns INGOT_IO. */
static ingot_status io_error(ingot_error *error, const char *path, int number)
{
    return ingot_fail(error, INGOT_IO, "%s: %s", path, strerror(number));
}

/* A file beside the one it will replace: rename() works only within a file system. What is there already must be a
 * regular file, lest a device be replaced. The name holds the process id, and O_EXCL refuses a file that is there: two
 * processes do not write into each other's. Nothing is left after a failure. */
static ingot_status open_new(new_file *file, ingot_arena *arena, const char *path, const char *suffix,
                             ingot_error *error)
{
    const size_t size = strlen(path) + strlen(suffix) + 32;
    struct stat info;
    file->path = ingot_arena_alloc(arena, size);
    file->final_path = ingot_arena_alloc(arena, size);
    if (!file->path || !file->final_path)
        return ingot_fail(error, INGOT_LIMIT, "%s: out of memory", path);
    snprintf(file->final_path, size, "%s%s", path, suffix);
    snprintf(file->path, size, "%s%s.%ld.tmp", path, suffix, (long)getpid());
    if (!stat(file->final_path, &info) && !S_ISREG(info.st_mode))
        return ingot_fail(error, INGOT_IO, "%s: not a regular file", file->final_path);
    const int descriptor = open(file->path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
    if (descriptor < 0)
        return io_error(error, file->path, errno);
    file->stream = fdopen(descriptor, "wb");
    if (file->stream)
        return INGOT_OK;
    close(descriptor);
    unlink(file->path);
    return io_error(error, file->path, errno);
}

/* All bytes are on the disk before the name changes, so that a crash leaves one file or the other. On failure the
 * temporary file is removed, and what was there before stays. */
static ingot_status finish_new(new_file *file, ingot_error *error)
{
    if (!file->stream)
        return INGOT_OK;
    /* An error of any write before shows in ferror(). */
    bool done = !ferror(file->stream) && !fflush(file->stream) && !fsync(fileno(file->stream));
    int failed = errno;
    if (fclose(file->stream) && done) {
        failed = errno;
        done = false;
    }
    file->stream = NULL;
    if (done && !rename(file->path, file->final_path))
        return INGOT_OK;
    if (done)
        failed = errno;
    unlink(file->path);
    return io_error(error, file->final_path, failed ? failed : EIO);
}

/* After a failure: nothing is left behind. Does nothing to a file that is finished or was never opened. */
static void abandon_new(new_file *file)
{
    if (!file->stream)
        return;
    fclose(file->stream);
    unlink(file->path);
    file->stream = NULL;
}

/* ---- packing ---- */

/* protobuf-c hands every piece of the message to append_piece(). */
typedef struct packer {
    ProtobufCBuffer base;
    const ingot_writer *w;
    FILE *stream;
} packer;

/* By address, for qsort() and bsearch(). */
static int compare_lazy(const void *a, const void *b)
{
    const uintptr_t x = (uintptr_t)((const ingot_lazy_data *)a)->constant;
    const uintptr_t y = (uintptr_t)((const ingot_lazy_data *)b)->constant;
    return (x > y) - (x < y);
}

/* In chunks, so that a model can be written that is larger than memory. Elements come scaled, as every reader sees
 * them. Failures stay in the stream. */
static void write_lazy(const ingot_const *constant, FILE *stream)
{
    const size_t item = ingot_dtype_size_bytes(constant->tensor.dtype);
    const int64_t count = ingot_count(&constant->tensor), step = (int64_t)(CHUNK_BYTES / item);
    union {
        char bytes[CHUNK_BYTES];
        double alignment;
    } chunk;
    for (int64_t i = 0; i < count; i += step) {
        const int64_t n = MIN(step, count - i);
        ingot_const_read_range(constant, i, n, chunk.bytes);
        fwrite(chunk.bytes, item, (size_t)n, stream);
    }
}

/* Bytes, or the constant that stands for them. A failure stays in the stream. Told apart by address and length: a
 * constant's record is never a piece of the message itself. */
static void write_piece(const ingot_writer *w, size_t n, const uint8_t *data, FILE *stream)
{
    const ingot_lazy_data key = {.constant = (const ingot_const *)(const void *)data};
    const ingot_lazy_data *lazy =
        w->n_lazy ? bsearch(&key, w->lazy, w->n_lazy, sizeof *w->lazy, compare_lazy) : NULL;
    if (lazy && lazy->size_bytes == n)
        write_lazy(lazy->constant, stream);
    else if (n)
        fwrite(data, 1, n, stream);
}

/* What protobuf-c calls. It cannot be told of a failure: finish_new() asks the stream. */
static void append_piece(ProtobufCBuffer *base, size_t n, const uint8_t *data)
{
    const packer *p = (const packer *)base;
    write_piece(p->w, n, data, p->stream);
}

/* ---- external data ---- */

/* A key and a copy of its value. The key is static text. False when memory is out. */
static bool set_entry(ingot_arena *arena, Onnx__StringStringEntryProto **slot, const char *key, const char *value)
{
    Onnx__StringStringEntryProto *entry = ingot_arena_alloc(arena, sizeof *entry);
    if (!entry)
        return false;
    onnx__string_string_entry_proto__init(entry);
    entry->key = (char *)key;
    entry->value = ingot_arena_string(arena, value, strlen(value));
    *slot = entry;
    return entry->value != NULL;
}

/* Say that the tensor's data is at `offset` of the file, and no longer in the message. Source: onnx.proto,
 * TensorProto.external_data. raw_data.len stays for the caller. False when memory is out. */
static bool refer(ingot_arena *arena, Onnx__TensorProto *proto, const char *location, uint64_t offset)
{
    char offset_text[24], length_text[24];
    snprintf(offset_text, sizeof offset_text, "%llu", (unsigned long long)offset);
    snprintf(length_text, sizeof length_text, "%zu", proto->raw_data.len);
    proto->external_data = ingot_arena_array(arena, 3, sizeof *proto->external_data);
    proto->n_external_data = 3;
    proto->has_data_location = true;
    proto->data_location = ONNX__TENSOR_PROTO__DATA_LOCATION__EXTERNAL;
    proto->has_raw_data = false;
    return proto->external_data && set_entry(arena, &proto->external_data[0], "location", location) &&
           set_entry(arena, &proto->external_data[1], "offset", offset_text) &&
           set_entry(arena, &proto->external_data[2], "length", length_text);
}

/* Move the large initializers of the main graph to PATH.data, in order, each at the start of a page. The location is
 * the file's name without folders, as it is looked up beside the model. Once opened the file stays open, for
 * finish_new() or abandon_new(). */
static ingot_status write_external(ingot_writer *w, const char *path, new_file *file, ingot_error *error)
{
    uint64_t offset = 0;
    ingot_status status = open_new(file, &w->arena, path, ".data", error);
    const char *slash = status ? NULL : strrchr(file->final_path, '/');
    for (size_t i = 0; !status && i < w->n_initializers; i++) {
        Onnx__TensorProto *proto = w->initializers[i];
        if (!proto->has_raw_data || proto->raw_data.len < EXTERNAL_BYTES)
            continue;
        for (; offset % EXTERNAL_ALIGNMENT; offset++)
            putc(0, file->stream);
        write_piece(w, proto->raw_data.len, proto->raw_data.data, file->stream);
        if (!refer(&w->arena, proto, slash ? slash + 1 : file->final_path, offset))
            status = ingot_fail(error, INGOT_LIMIT, "%s: out of memory", path);
        offset += proto->raw_data.len;
    }
    return status;
}

/* ---- the model ---- */

/* The oldest IR version for an opset of the default domain. Source: the table in ONNX's Versioning.md. */
static int64_t ir_version_for(int opset)
{
    static const struct {
        int opset, ir_version;
    } first[] = {{28, 14}, {25, 13}, {24, 12}, {23, 11}, {21, 10}, {19, 9}, {15, 8}, {12, 7}, {11, 6}, {10, 5}};
    for (size_t i = 0; i < sizeof first / sizeof *first; i++)
        if (opset >= first[i].opset)
            return first[i].ir_version;
    return 4; /* the first in which initializers need not be inputs */
}

/* A newer opset than the file's asks for a newer IR version as well. Versions are those that write_graph.c found. False
 * when memory is out. */
static bool fill_opsets(ingot_writer *w, Onnx__ModelProto *model)
{
    Onnx__OperatorSetIdProto *imports = ingot_arena_array(&w->arena, w->n_opsets, sizeof *imports);
    model->opset_import = ingot_arena_array(&w->arena, w->n_opsets, sizeof *model->opset_import);
    model->n_opset_import = w->n_opsets;
    if (!imports || !model->opset_import)
        return false;
    /* The records are one array, the message has pointers to them. */
    for (size_t i = 0; i < w->n_opsets; i++) {
        onnx__operator_set_id_proto__init(&imports[i]);
        imports[i].domain = (char *)w->opsets[i].domain;
        imports[i].has_version = true;
        imports[i].version = w->opsets[i].version;
        model->opset_import[i] = &imports[i];
        if (!*w->opsets[i].domain && w->opsets[i].version > w->onnx->opset)
            model->ir_version = MAX(model->ir_version, ir_version_for(w->opsets[i].version));
    }
    return true;
}

/* The file's own header, around the new graph. Everything but the bytes of constants is in place afterwards. False when
 * memory is out. */
static bool fill_model(ingot_writer *w, const ingot_graph *graph, Onnx__ModelProto *model)
{
    const ingot_onnx *onnx = w->onnx;
    onnx__model_proto__init(model);
    model->has_ir_version = model->has_model_version = true;
    model->ir_version = MAX(onnx->ir_version, ir_version_for(0));
    model->model_version = onnx->model_version;
    model->producer_name = (char *)onnx->producer_name;
    model->producer_version = (char *)onnx->producer_version;
    model->domain = (char *)onnx->domain;
    model->graph = ingot_graph_to_proto(w, graph);
    model->metadata_props = ingot_arena_array(&w->arena, onnx->n_properties, sizeof *model->metadata_props);
    if (!model->graph || !model->metadata_props || !fill_opsets(w, model))
        return false;
    for (; model->n_metadata_props < onnx->n_properties; model->n_metadata_props++) {
        const ingot_property *property = &onnx->properties[model->n_metadata_props];
        if (!set_entry(&w->arena, &model->metadata_props[model->n_metadata_props], property->key, property->value))
            return false;
    }
    return true;
}

/* The message first, as its size decides where the constants go; then the data file, then the model. The size is asked
 * for twice, as moving constants out changes it. */
static ingot_status write_model(ingot_writer *w, const ingot_graph *graph, const char *path, size_t limit_bytes,
                                new_file *model_file, new_file *data_file, ingot_error *error)
{
    Onnx__ModelProto model;
    ingot_status status;
    if (!fill_model(w, graph, &model))
        return ingot_fail(error, INGOT_LIMIT, "%s: out of memory", path);
    if (w->n_lazy)
        qsort(w->lazy, w->n_lazy, sizeof *w->lazy, compare_lazy);
    if (onnx__model_proto__get_packed_size(&model) > limit_bytes &&
        (status = write_external(w, path, data_file, error)))
        return status;
    if (onnx__model_proto__get_packed_size(&model) > MODEL_BYTES)
        return ingot_fail(error, INGOT_LIMIT, "%s: more than 2 GiB besides the initializers", path);
    if ((status = open_new(model_file, &w->arena, path, "", error)))
        return status;
    packer p = {{append_piece}, w, model_file->stream};
    onnx__model_proto__pack_to_buffer(&model, &p.base);
    if ((status = ingot_files_check(w->onnx->files, error)))
        return status;
    /* The data first: a model must not be seen without it. */
    status = finish_new(data_file, error);
    return status ? status : finish_new(model_file, error);
}

/* The graph is not touched, and nothing of the message outlives the call. A failure leaves neither file, unless it came
 * between the two renames: then the data file is there. */
ingot_status ingot_onnx_write_limited(const ingot_onnx *onnx, const ingot_graph *graph, const char *path,
                                      size_t limit_bytes, ingot_error *error)
{
    ingot_memory memory = {0};
    ingot_writer w = {.onnx = onnx, .arena = {.memory = &memory}};
    new_file model_file = {0}, data_file = {0};
    const ingot_status status = write_model(&w, graph, path, limit_bytes, &model_file, &data_file, error);
    abandon_new(&model_file);
    abandon_new(&data_file);
    ingot_arena_free(&w.arena);
    return status;
}

/* Constants go to PATH.data when the model would pass protobuf's 2 GiB. */
ingot_status ingot_onnx_write(const ingot_onnx *onnx, const ingot_graph *graph, const char *path, ingot_error *error)
{
    return ingot_onnx_write_limited(onnx, graph, path, MODEL_BYTES, error);
}
