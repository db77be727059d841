/* tensor_data.h - the elements of a TensorProto, from and to the form they have in files. */
#ifndef INGOT_ONNX_TENSOR_DATA_H
#define INGOT_ONNX_TENSOR_DATA_H

#include "engine/core/tensor.h"
#include "onnx/wire.h"

/* Type and shape of a TensorProto, checked: a known element type, sensible dimensions. data becomes NULL. */
ingot_status ingot_proto_shape(const Onnx__TensorProto *proto, ingot_tensor *tensor, ingot_error *error);

/* Fill dims of a shape that has its element type: n dimensions from a file. */
ingot_status ingot_checked_shape(const int64_t *dims, size_t n, ingot_tensor *tensor, ingot_error *error);

/* Bytes that `count` elements take as raw data, where the 2- and 4-bit types are packed. */
size_t ingot_raw_size_bytes(ingot_dtype dtype, int64_t count);
bool ingot_is_packed(ingot_dtype dtype);

/* Elements between raw form and the form in memory. Not for strings; nothing is checked. */
void ingot_raw_decode(const ingot_tensor *tensor, const uint8_t *raw, void *dst);
void ingot_raw_encode(const ingot_tensor *tensor, uint8_t *raw);

/* The range of the file that is the tensor's raw data; false when it has none. */
bool ingot_proto_raw(const Onnx__TensorProto *proto, ingot_raw *raw);

/* Do the typed fields (float_data, ...) hold as many elements as the shape takes? INGOT_INVALID if not. */
ingot_status ingot_check_typed(const Onnx__TensorProto *proto, const ingot_tensor *tensor, ingot_error *error);

/* Elements from the typed fields, checked before, to dst. Strings: dst receives ingot_strings that point into proto. */
void ingot_typed_decode(const Onnx__TensorProto *proto, const ingot_tensor *tensor, void *dst);

/* "raw data has 12 bytes, float[2,2] takes 16": INGOT_INVALID. */
ingot_status ingot_raw_mismatch(const ingot_tensor *tensor, uint64_t size_bytes, const char *what, ingot_error *error);

/* Fill a TensorProto, to be packed while tensor, name and arena live. Elements are shared with the tensor, unless they
 * have to be packed. False when memory is out. */
bool ingot_tensor_to_proto(ingot_arena *arena, const ingot_tensor *tensor, const char *name, Onnx__TensorProto *proto);

#endif
