/* constants.c - TensorProto and SparseTensorProto to constants.
 *
 * A model is mostly weights, and loading should cost neither time nor memory for them. So raw data of some size stays
 * in the file until it is packed or used: the constant is lazy, its data NULL, and readers take copies of ranges
 * through ingot_const_read_range(). So is one in memory that is not aligned for its type (protobuf aligns nothing);
 * what is aligned there is used as it lies. Everything else, small tensors, packed types, typed fields and strings, is
 * decoded into the arena here. */
#include "onnx/reader.h"

#include <string.h>

/* Raw data up to this size is read while loading. Passes compare constants of up to 4 KiB. */
enum { EAGER_BYTES = 4096 };

/* What a pointer to elements has to be a multiple of. A complex number is two floats. */
static size_t alignment_of(ingot_dtype dtype)
{
    const size_t size_bytes = ingot_dtype_size_bytes(dtype);
    return dtype == INGOT_COMPLEX64 || dtype == INGOT_COMPLEX128 ? size_bytes / 2 : size_bytes;
}

/* Can the raw bytes serve as elements? Packed types cannot, and neither can bools other than 0 and 1. A bool is looked
 * at byte by byte. */
static bool usable_as_is(const ingot_tensor *tensor, const uint8_t *raw)
{
    if (ingot_is_packed(tensor->dtype))
        return false;
    if (tensor->dtype != INGOT_BOOL)
        return true;
    const int64_t count = ingot_count(tensor);
    uint8_t all = 0;
    for (int64_t i = 0; i < count; i++)
        all |= raw[i];
    return all <= 1;
}

/* Elements that the raw bytes have to be decoded for, into the arena. */
static ingot_status decode_raw(ingot_reader *reader, ingot_const *constant, const uint8_t *raw)
{
    ingot_tensor *tensor = &constant->tensor;
    tensor->data = ingot_arena_alloc(&reader->onnx->arena, ingot_storage_bytes(tensor));
    if (!tensor->data)
        return ingot_reader_out_of_memory(reader);
    ingot_raw_decode(tensor, raw, tensor->data);
    constant->source = tensor->data;
    return INGOT_OK;
}

/* Of an open file. Small tensors are read now, as passes look at them; so are those that need decoding. */
static ingot_status use_file(ingot_reader *reader, ingot_const *constant, const ingot_content *content, uint64_t offset,
                             size_t size_bytes)
{
    const ingot_tensor *tensor = &constant->tensor;
    ingot_memory *memory = reader->onnx->memory;
    if (size_bytes > EAGER_BYTES && !ingot_is_packed(tensor->dtype) && tensor->dtype != INGOT_BOOL) {
        constant->file = content->file;
        constant->offset = offset;
        return INGOT_OK;
    }
    uint8_t *raw = ingot_alloc(memory, size_bytes);
    if (!raw)
        return ingot_reader_out_of_memory(reader);
    ingot_file_read(content->file, offset, raw, size_bytes);
    const ingot_status status = decode_raw(reader, constant, raw);
    ingot_release(memory, raw);
    return status;
}

/* From `offset` on there are exactly the bytes that the shape takes, and they stay. */
static ingot_status use_raw(ingot_reader *reader, ingot_const *constant, const ingot_content *content, uint64_t offset,
                            size_t size_bytes)
{
    ingot_tensor *tensor = &constant->tensor;
    if (!content->data)
        return use_file(reader, constant, content, offset, size_bytes);
    const uint8_t *raw = content->data + offset;
    if (!usable_as_is(tensor, raw))
        return decode_raw(reader, constant, raw);
    constant->source = raw;
    tensor->data = (uintptr_t)raw % alignment_of(tensor->dtype) ? NULL : (void *)raw;
    return INGOT_OK;
}

/* Strings get memory of their own: the unpacked message goes away. Each is terminated. False when memory is out. */
static bool keep_strings(ingot_arena *arena, ingot_string *strings, int64_t n)
{
    for (int64_t i = 0; i < n; i++) {
        strings[i].data = ingot_arena_string(arena, strings[i].data, strings[i].size_bytes);
        if (!strings[i].data)
            return false;
    }
    return true;
}

/* The count is checked before memory is asked for: a shape of many elements in a file of few bytes is cheap to refuse.
 * Typed fields are repeated numbers in the message, so they are always copied. */
static ingot_status use_typed(ingot_reader *reader, const Onnx__TensorProto *proto, ingot_const *constant)
{
    ingot_tensor *tensor = &constant->tensor;
    const ingot_status status = ingot_check_typed(proto, tensor, reader->error);
    if (status)
        return status;
    tensor->data = ingot_arena_alloc(&reader->onnx->arena, ingot_storage_bytes(tensor));
    if (!tensor->data)
        return ingot_reader_out_of_memory(reader);
    ingot_typed_decode(proto, tensor, tensor->data);
    constant->source = tensor->data;
    if (tensor->dtype == INGOT_STRING && !keep_strings(&reader->onnx->arena, tensor->data, ingot_count(tensor)))
        return ingot_reader_out_of_memory(reader);
    return INGOT_OK;
}

/* Data is external, raw or in the typed field, in this order when a file has more than one of them. *result is the
 * model's. Raw data must have exactly the bytes that type and shape take. */
ingot_status ingot_read_tensor(ingot_reader *reader, const Onnx__TensorProto *proto, ingot_const **result)
{
    ingot_const *constant = ingot_arena_alloc(&reader->onnx->arena, sizeof *constant);
    if (!constant)
        return ingot_reader_out_of_memory(reader);
    *result = constant;
    ingot_tensor *tensor = &constant->tensor;
    const ingot_content *content = reader->content;
    uint64_t offset;
    ingot_raw raw;
    ingot_status status = ingot_proto_shape(proto, tensor, reader->error);
    if (status)
        return status;
    const size_t size_bytes = ingot_raw_size_bytes(tensor->dtype, ingot_count(tensor));
    const bool is_external = proto->data_location == ONNX__TENSOR_PROTO__DATA_LOCATION__EXTERNAL;
    const bool is_raw = ingot_proto_raw(proto, &raw);
    if ((is_external || is_raw) && tensor->dtype == INGOT_STRING)
        return ingot_fail(reader->error, INGOT_INVALID, "strings cannot be raw data");
    if (is_external) {
        status = ingot_external_data(reader, proto, size_bytes, &content, &offset);
        return status ? status : use_raw(reader, constant, content, offset, size_bytes);
    }
    if (!is_raw)
        return use_typed(reader, proto, constant);
    if (raw.size_bytes != size_bytes)
        return ingot_raw_mismatch(tensor, raw.size_bytes, "raw data", reader->error);
    return use_raw(reader, constant, content, raw.offset, size_bytes);
}

/* Where value i of a sparse tensor goes: indices are positions in the dense tensor, or one coordinate tuple each.
 * Source: onnx.proto, SparseTensorProto: indices of shape [n] are linear, those of shape [n, rank] coordinates. False
 * where the position is outside. */
static bool dense_position(const ingot_tensor *dense, const ingot_tensor *indices, int64_t i, int64_t *position)
{
    const int64_t *index = indices->data;
    if (indices->rank == 1) {
        *position = index[i];
        return *position >= 0 && *position < ingot_count(dense);
    }
    *position = 0;
    for (int axis = 0; axis < dense->rank; axis++) {
        const int64_t coordinate = index[i * dense->rank + axis];
        if (coordinate < 0 || coordinate >= dense->shape[axis])
            return false;
        *position = *position * dense->shape[axis] + coordinate;
    }
    return true;
}

/* Each value to its place; what has none stays zero. Of two values at one place the later stays; onnx.proto forbids it,
 * but it harms nobody. */
static ingot_status scatter(ingot_reader *reader, const ingot_const *values, const ingot_const *indices,
                            ingot_tensor *dense)
{
    const size_t item = ingot_dtype_size_bytes(dense->dtype);
    const int64_t n = ingot_count(&values->tensor);
    for (int64_t i = 0; i < n; i++) {
        int64_t position;
        if (!dense_position(dense, &indices->tensor, i, &position))
            return ingot_fail(reader->error, INGOT_INVALID, "index %lld is outside of the shape", (long long)i);
        memcpy((char *)dense->data + (size_t)position * item, (const char *)values->tensor.data + (size_t)i * item,
               item);
    }
    return INGOT_OK;
}

/* A few bytes can name a huge shape, so the dense tensor has a limit of its own besides that of memory. The limit is
 * one for all sparse tensors of the file, counted in reader->dense_bytes. */
ingot_status ingot_read_sparse(ingot_reader *reader, const Onnx__SparseTensorProto *proto, ingot_const **result)
{
    ingot_arena *arena = &reader->onnx->arena;
    ingot_const *values, *indices, *dense = ingot_arena_alloc(arena, sizeof *dense);
    ingot_status status;
    if (!dense)
        return ingot_reader_out_of_memory(reader);
    if (!proto->values || !proto->indices)
        return ingot_fail(reader->error, INGOT_INVALID, "a sparse tensor without values or indices");
    if ((status = ingot_read_tensor(reader, proto->values, &values)) ||
        (status = ingot_read_tensor(reader, proto->indices, &indices)))
        return status;
    /* Values are one list, and there is an index, or a tuple of rank coordinates, for each. */
    const ingot_tensor *v = &values->tensor, *x = &indices->tensor;
    ingot_tensor *d = &dense->tensor;
    d->dtype = v->dtype;
    if ((status = ingot_checked_shape(proto->dims, proto->n_dims, d, reader->error)))
        return status;
    if (x->dtype != INGOT_INT64 || v->rank != 1 || x->rank < 1 || x->rank > 2 || x->shape[0] != v->shape[0] ||
        (x->rank == 2 && x->shape[1] != d->rank))
        return ingot_fail(reader->error, INGOT_INVALID, "a sparse tensor takes values [n] and int64 indices [n] or "
                                                        "[n,rank]");
    if (d->dtype == INGOT_STRING)
        return ingot_fail(reader->error, INGOT_UNSUPPORTED, "sparse tensors of strings are not supported");
    if (ingot_storage_bytes(d) > INGOT_MAX_DENSE_BYTES - reader->dense_bytes)
        return ingot_fail(reader->error, INGOT_LIMIT, "sparse tensors take more than %d MiB when dense",
                          INGOT_MAX_DENSE_BYTES >> 20);
    reader->dense_bytes += ingot_storage_bytes(d);
    d->data = ingot_arena_alloc(arena, ingot_storage_bytes(d));
    if (!d->data || !ingot_const_materialize(arena, values) || !ingot_const_materialize(arena, indices))
        return ingot_reader_out_of_memory(reader);
    dense->source = d->data;
    *result = dense;
    return scatter(reader, values, indices, d);
}
