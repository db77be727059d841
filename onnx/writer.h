/* writer.h - what the files that make an ONNX file of a graph share. */
#ifndef INGOT_ONNX_WRITER_H
#define INGOT_ONNX_WRITER_H

#include "onnx/name_table.h"
#include "onnx/onnx.h"
#include "onnx/tensor_data.h"

/* A constant whose elements are read while writing: raw_data.data points to the ingot_const itself, not to bytes. */
typedef struct ingot_lazy_data {
    const ingot_const *constant;
    size_t size_bytes;
} ingot_lazy_data;

/* State of writing one model, on the stack of ingot_onnx_write_limited(); its arena is freed with everything in it. */
typedef struct ingot_writer {
    const ingot_onnx *onnx;
    ingot_arena arena;          /* everything that goes into the message */
    ingot_name_table values, nodes; /* names that are taken, in all graphs */
    unsigned n_names_made;
    ingot_opset *opsets;        /* what the nodes need, and what the file imported */
    size_t n_opsets, opset_capacity;
    ingot_lazy_data *lazy;      /* sorted by address once all are known */
    size_t n_lazy, lazy_capacity;
    Onnx__TensorProto **initializers; /* of the main graph */
    size_t n_initializers;
} ingot_writer;

/* write_graph.c: the message of a whole graph; NULL when memory is out. */
Onnx__GraphProto *ingot_graph_to_proto(ingot_writer *writer, const ingot_graph *graph);

/* types.c */
Onnx__TypeProto *ingot_type_to_proto(ingot_arena *arena, const ingot_type *type);

/* Make room for one more item in an array of an arena. */
bool ingot_writer_grow(ingot_arena *arena, void *array, size_t n, size_t *capacity, size_t item_bytes);

/* As ingot_onnx_write(), with another limit for the size of the model file. */
ingot_status ingot_onnx_write_limited(const ingot_onnx *onnx, const ingot_graph *graph, const char *path,
                                      size_t limit_bytes, ingot_error *error);

#endif
