/* onnx.h - ONNX files: read into a graph, and written back. What the engine uses of this folder. */
#ifndef INGOT_ONNX_ONNX_H
#define INGOT_ONNX_ONNX_H

#include "engine/core/graph.h"

/* Newest ONNX that is understood. */
enum { INGOT_NEWEST_IR = 14, INGOT_NEWEST_OPSET = 28 };

typedef struct ingot_opset {
    const char *domain; /* "" is ai.onnx */
    int version;
} ingot_opset;

typedef struct ingot_property {
    const char *key, *value;
} ingot_property;

/* Bytes that are in use: the model's, or those of a file with external data. */
typedef struct ingot_source {
    const char *location; /* as external_data names it; NULL for the model */
    ingot_content content;
    ingot_file file;      /* open where the content is in it */
    void *owned;          /* what a file was read into at once, of the account; else NULL */
    struct ingot_source *next;
} ingot_source;

/* A graph output as the file declares it: passes may replace the value, yet the name and type stay. */
typedef struct ingot_declared {
    const char *name;
    ingot_type type;
} ingot_declared;

/* What a loaded file owns. Everything in it stays valid until ingot_onnx_close(). */
typedef struct ingot_onnx {
    ingot_memory *memory;
    ingot_arena arena;          /* of the graph, too */
    ingot_graph *graph;
    const char *path;           /* NULL: loaded from memory */
    const char *external_root;  /* the option external_data_root, or NULL */
    bool no_mmap;               /* the option */
    ingot_source *sources;
    ingot_file *files;          /* those that are read while the model is used */
    int64_t ir_version, model_version;
    int opset;                  /* of the default domain; 0 when it is not imported */
    size_t n_opsets;
    ingot_opset *opsets;        /* each domain once */
    const char *producer_name, *producer_version, *domain;
    size_t n_properties;
    ingot_property *properties; /* metadata_props */
    ingot_declared *outputs;    /* of the main graph, in order */
    int64_t n_parameters;       /* elements of initializers */
    uint64_t weight_bytes;      /* of the same */
} ingot_onnx;

/**
 * Read a model and build its graph: functions inlined, sparse tensors dense, attributes decoded, nodes in running
 * order.
 * path     the file to read; NULL to use `data`, which must stay unchanged until ingot_onnx_close().
 * options  NULL for the defaults.
 * memory   counts what is allocated; outlives the result.
 * onnx     receives the result; NULL on failure.
 * Returns  INGOT_OK, INGOT_IO, INGOT_INVALID, INGOT_UNSUPPORTED or INGOT_LIMIT.
 */
ingot_status ingot_onnx_open(const char *path, const void *data, size_t size_bytes, const ingot_model_options *options,
                             ingot_memory *memory, ingot_onnx **onnx, ingot_error *error);
void ingot_onnx_close(ingot_onnx *onnx); /* NULL is allowed */

/**
 * Write a graph as an ONNX file: the one of `onnx`, as passes left it. Fused nodes are written as the nodes they were
 * made of. More than 2 GiB of constants go to a file of external data beside it (PATH.data).
 * Returns  INGOT_OK, INGOT_IO or INGOT_LIMIT; the file at `path` is replaced at once or stays as it was.
 */
ingot_status ingot_onnx_write(const ingot_onnx *onnx, const ingot_graph *graph, const char *path, ingot_error *error);

#endif
