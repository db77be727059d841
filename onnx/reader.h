/* reader.h - what the files that make a graph of a ModelProto share. */
#ifndef INGOT_ONNX_READER_H
#define INGOT_ONNX_READER_H

#include "onnx/name_table.h"
#include "onnx/onnx.h"
#include "onnx/tensor_data.h"

enum {
    INGOT_MAX_SUBGRAPHS = 64,          /* levels of graphs within graphs, and of functions calling functions */
    INGOT_MAX_DENSE_BYTES = 256 << 20, /* of all sparse tensors made dense */
};

/* An attribute that a call of a function gives a value to. `value` and `name` are the message's. */
typedef struct ingot_binding {
    const char *name;
    const Onnx__AttributeProto *value;
    struct ingot_scope *scope; /* where names in its graphs are looked up */
} ingot_binding;

/* Where names are looked up: a graph, or the body of a function that is being inlined into a graph. */
typedef struct ingot_scope {
    ingot_graph *graph;         /* takes the nodes */
    struct ingot_scope *outer;  /* of a subgraph: the scope around it */
    struct ingot_scope *caller; /* of a function: the scope of the call */
    ingot_name_table names;     /* those of the file: not copied, they live as long as the unpacked message */
    int depth;
    const Onnx__FunctionProto *function; /* whose body this is, also within its subgraphs; NULL in the model's graph */
    const char *prefix;         /* of a function: before the names of its values */
    ingot_binding *bindings;
    size_t n_bindings;
    int *captured;              /* of a subgraph: what its captures are in outer->graph */
    int captured_capacity;
} ingot_scope;

/* State of reading one model, on the stack of unpack_and_build(). Whatever it allocates is the model's arena's. */
typedef struct ingot_reader {
    ingot_onnx *onnx;
    const Onnx__ModelProto *model;
    const ingot_content *content; /* the model's bytes */
    uint64_t memory_limit;      /* of memory->used_bytes: what a file of this size may grow to */
    uint64_t node_limit, n_nodes; /* nodes read so far, those of inlined functions at each call */
    size_t dense_bytes;         /* of sparse tensors so far */
    unsigned n_renamed;         /* for names of inlined values that are taken */
    ingot_name_table functions; /* by name: index of the last one */
    int *next_function;         /* of the same name, by index; INGOT_NONE ends the list */
    int *ids;                   /* scratch for a node's inputs and outputs */
    size_t ids_capacity;
    ingot_error *error;
} ingot_reader;

/* reader.c */
ingot_status ingot_read_graph(ingot_reader *reader, const Onnx__GraphProto *proto, ingot_scope *scope);
ingot_status ingot_read_node(ingot_reader *reader, const Onnx__NodeProto *proto, ingot_scope *scope);
/* What a node is called in error lines, and in the graph when the file leaves it unnamed. */
const char *ingot_node_label(const Onnx__NodeProto *proto);
ingot_status ingot_reader_out_of_memory(const ingot_reader *reader);

/* module_path.c: the path of the PyTorch module that a node comes from, "layer1.0.conv1"; NULL where the exporter left
 * none. False when memory is out. */
bool ingot_module_path(ingot_arena *arena, const Onnx__NodeProto *proto, const char **path);

/* scope.c */
bool ingot_scope_define(ingot_reader *reader, ingot_scope *scope, const char *name, int value);
bool ingot_scope_find(const ingot_scope *scope, const char *name, int *value); /* in this scope alone */
/* In this scope or those around it; a value from outside becomes a capture of every graph on the way. INGOT_NONE with
 * INGOT_OK where there is none of the name. */
ingot_status ingot_scope_resolve(ingot_reader *reader, ingot_scope *scope, const char *name, int *value);
/* Opset version of a node's domain there. */
ingot_status ingot_scope_version(const ingot_reader *reader, const ingot_scope *scope, const char *domain,
                                 int *version);
const char *ingot_plain_domain(const char *domain); /* "ai.onnx" and NULL become "" */

/* functions.c: a function is found by domain, name and overload, so no two may share all three. */
ingot_status ingot_list_functions(ingot_reader *reader);
const Onnx__FunctionProto *ingot_find_function(const ingot_reader *reader, const Onnx__NodeProto *node);
ingot_status ingot_inline_call(ingot_reader *reader, const Onnx__FunctionProto *function, const Onnx__NodeProto *call,
                               ingot_scope *scope);
/* The value that an attribute has: itself, or what it refers to in the function around it (NULL: nothing). *scope
 * becomes that where the value was written. */
ingot_status ingot_attribute_value(const ingot_reader *reader, const Onnx__AttributeProto *proto, ingot_scope **scope,
                                   const Onnx__AttributeProto **value);

/* attributes.c */
ingot_status ingot_read_attributes(ingot_reader *reader, const Onnx__NodeProto *proto, ingot_scope *scope, int node);
ingot_status ingot_read_constant_node(ingot_reader *reader, const Onnx__NodeProto *proto, ingot_scope *scope,
                                      ingot_const **constant);

/* constants.c */
ingot_status ingot_read_tensor(ingot_reader *reader, const Onnx__TensorProto *proto, ingot_const **constant);
ingot_status ingot_read_sparse(ingot_reader *reader, const Onnx__SparseTensorProto *proto, ingot_const **constant);

/* types.c */
ingot_status ingot_read_type(ingot_reader *reader, const Onnx__TypeProto *proto, ingot_type *type);

/* external.c: the bytes that external_data names, from *offset on, checked to lie within the file; the tensor takes
 * size_bytes. */
ingot_status ingot_external_data(ingot_reader *reader, const Onnx__TensorProto *proto, size_t size_bytes,
                                 const ingot_content **content, uint64_t *offset);
/* The model's own file, or the caller's bytes. */
ingot_status ingot_open_model(ingot_onnx *onnx, const void *data, size_t size_bytes, ingot_error *error);
void ingot_close_sources(ingot_onnx *onnx);

#endif
