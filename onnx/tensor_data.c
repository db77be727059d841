/* tensor_data.c - element by element between files and memory.
 *
 * A TensorProto has its elements in one of two forms. Raw data is the elements as bytes, little-endian (as every
 * machine this builds for is), 2-, 4- and 6-bit types packed with the first element in the lowest bits. Else they are
 * in the typed field for their type: float_data, int32_data, ... In memory each element has whole bytes, so packed
 * types are unpacked, signed ones with their sign, and a bool is 0 or 1 whatever the file has. */
#include "onnx/tensor_data.h"

#include <string.h>

_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "raw data is copied as it is");

/* Bits of a packed element; 0 for types of whole bytes. Source: onnx.proto, comments at TensorProto.DataType and
 * int32_data. */
static int packed_bits(ingot_dtype dtype)
{
    switch (dtype) {
    case INGOT_UINT4:
    case INGOT_INT4:
    case INGOT_FLOAT4E2M1: return 4;
    case INGOT_UINT2:
    case INGOT_INT2: return 2;
    case INGOT_FLOAT6E2M3:
    case INGOT_FLOAT6E3M2: return 6;
    default: return 0;
    }
}

/* The same in int32_data, where a 6-bit element has an item for itself. */
static int typed_bits(ingot_dtype dtype) { return packed_bits(dtype) == 6 ? 0 : packed_bits(dtype); }

/* Those types have several elements to a byte in raw data, and one in memory. */
bool ingot_is_packed(ingot_dtype dtype) { return packed_bits(dtype) != 0; }

/* Packed elements fill bytes without gaps, the last byte rounded up. count is that of a checked shape, so nothing
 * overflows. */
size_t ingot_raw_size_bytes(ingot_dtype dtype, int64_t count)
{
    const int bits = packed_bits(dtype);
    return bits ? ((size_t)count * (size_t)bits + 7) / 8 : (size_t)count * ingot_dtype_size_bytes(dtype);
}

/* Unpack elements of a few bits from bytes that lie `stride` apart. One of 6 bits may lie in two bytes. The first
 * element is in the lowest bits. (x ^ sign) - sign extends the sign of a number of few bits. */
static void unpack_bits(ingot_dtype dtype, const uint8_t *src, size_t stride, uint8_t *dst, int64_t count)
{
    const int bits = packed_bits(dtype);
    const int mask = (1 << bits) - 1;
    const int sign = dtype == INGOT_INT4 || dtype == INGOT_INT2 ? 1 << (bits - 1) : 0;
    for (int64_t i = 0; i < count; i++) {
        const size_t at = (size_t)(i * bits / 8);
        const int shift = (int)(i * bits % 8);
        int value = src[at * stride] >> shift;
        if (shift + bits > 8)
            value |= src[(at + 1) * stride] << (8 - shift);
        dst[i] = (uint8_t)(((value & mask) ^ sign) - sign);
    }
}

/* Bits that are left over in the last byte are 0. dst has ingot_raw_size_bytes() bytes. */
static void pack_bits(ingot_dtype dtype, const uint8_t *src, uint8_t *dst, int64_t count)
{
    const int bits = packed_bits(dtype);
    memset(dst, 0, ingot_raw_size_bytes(dtype, count));
    for (int64_t i = 0; i < count; i++) {
        const int shift = (int)(i * bits % 8), value = src[i] & ((1 << bits) - 1);
        dst[i * bits / 8] |= (uint8_t)(value << shift);
        if (shift + bits > 8)
            dst[i * bits / 8 + 1] |= (uint8_t)(value >> (8 - shift));
    }
}

/* raw has ingot_raw_size_bytes() bytes; both may be at any alignment. */
void ingot_raw_decode(const ingot_tensor *tensor, const uint8_t *raw, void *dst)
{
    const int64_t count = ingot_count(tensor);
    if (ingot_is_packed(tensor->dtype)) {
        unpack_bits(tensor->dtype, raw, 1, dst, count);
    } else if (tensor->dtype == INGOT_BOOL) {
        for (int64_t i = 0; i < count; i++)
            ((uint8_t *)dst)[i] = raw[i] != 0;
    } else if (count) {
        memcpy(dst, raw, ingot_raw_size_bytes(tensor->dtype, count));
    }
}

/* The counterpart of ingot_raw_decode(); raw has ingot_raw_size_bytes() bytes. */
void ingot_raw_encode(const ingot_tensor *tensor, uint8_t *raw)
{
    const int64_t count = ingot_count(tensor);
    if (ingot_is_packed(tensor->dtype))
        pack_bits(tensor->dtype, tensor->data, raw, count);
    else if (count)
        memcpy(raw, tensor->data, ingot_raw_size_bytes(tensor->dtype, count));
}

/* What raw_data holds after ingot_unpack() is a range of the file: see wire.h. False for a tensor without raw data; the
 * length is checked against what the skim writes. */
bool ingot_proto_raw(const Onnx__TensorProto *proto, ingot_raw *raw)
{
    if (!proto->has_raw_data || proto->raw_data.len != sizeof *raw)
        return false;
    memcpy(raw, proto->raw_data.data, sizeof *raw);
    return true;
}

/* More dimensions than a tensor can have are not supported; negative ones and sizes that overflow are invalid. Fills
 * rank and shape of the tensor, whose dtype must be set: sizes are checked in bytes. */
ingot_status ingot_checked_shape(const int64_t *dims, size_t n, ingot_tensor *tensor, ingot_error *error)
{
    if (n > INGOT_MAX_RANK)
        return ingot_fail(error, INGOT_UNSUPPORTED, "rank %zu; Ingot takes up to %d", n, INGOT_MAX_RANK);
    tensor->rank = (int32_t)n;
    for (size_t i = 0; i < n; i++)
        tensor->shape[i] = dims[i];
    if (!ingot_checked_size(tensor, NULL, NULL)) {
        char text[128];
        return ingot_fail(error, INGOT_INVALID, "impossible shape %s", ingot_shape_text(tensor, text, sizeof text));
    }
    return INGOT_OK;
}

/* Type and shape, checked. `segment` marks a part of a larger tensor. An element type that ONNX does not have is
 * invalid. */
ingot_status ingot_proto_shape(const Onnx__TensorProto *proto, ingot_tensor *tensor, ingot_error *error)
{
    *tensor = (ingot_tensor){0};
    if (proto->segment)
        return ingot_fail(error, INGOT_UNSUPPORTED, "tensors in segments are not supported");
    if (proto->data_type <= 0 || proto->data_type >= INGOT_N_DTYPES)
        return ingot_fail(error, INGOT_INVALID, "element type %d is not one of ONNX's", proto->data_type);
    tensor->dtype = (ingot_dtype)proto->data_type;
    return ingot_checked_shape(proto->dims, proto->n_dims, tensor, error);
}

/* The line for bytes that do not fit type and shape; `what` says which bytes. */
ingot_status ingot_raw_mismatch(const ingot_tensor *tensor, uint64_t size_bytes, const char *what, ingot_error *error)
{
    char text[128];
    return ingot_fail(error, INGOT_INVALID, "%s has %llu bytes, %s%s takes %zu", what, (unsigned long long)size_bytes,
                      ingot_dtype_name(tensor->dtype), ingot_shape_text(tensor, text, sizeof text),
                      ingot_raw_size_bytes(tensor->dtype, ingot_count(tensor)));
}

/* int32_data holds every type of at most 32 bits but float and uint32. A packed type has one byte in each item. float16
 * and bfloat16 lie there as their bits. Numbers out of range are cut. */
static void copy_int32_data(const int32_t *src, const ingot_tensor *tensor, void *dst)
{
    const int64_t count = ingot_count(tensor);
    if (typed_bits(tensor->dtype)) {
        unpack_bits(tensor->dtype, (const uint8_t *)src, sizeof *src, dst, count);
        return;
    }
    switch (ingot_dtype_size_bytes(tensor->dtype)) {
    case 4: memcpy(dst, src, (size_t)count * sizeof *src); break;
    case 2:
        for (int64_t i = 0; i < count; i++)
            ((uint16_t *)dst)[i] = (uint16_t)src[i];
        break;
    default:
        for (int64_t i = 0; i < count; i++)
            ((uint8_t *)dst)[i] = tensor->dtype == INGOT_BOOL            ? src[i] != 0
                                  : ingot_is_packed(tensor->dtype) ? (uint8_t)(src[i] & 0x3f)
                                                                    : (uint8_t)src[i];
    }
}

/* The bytes stay in the message: whoever keeps the strings copies them. dst has room for n. */
static void copy_strings(const ProtobufCBinaryData *src, size_t n, ingot_string *dst)
{
    for (size_t i = 0; i < n; i++)
        dst[i] = (ingot_string){(const char *)src[i].data, src[i].len};
}

/* The typed field that holds elements of the type, how many items are in it, and how many the tensor takes. Returns its
 * name for error lines. Source: onnx.proto, comments at TensorProto's data fields. */
static const char *typed_field(const Onnx__TensorProto *proto, const ingot_tensor *tensor, const void **items,
                               size_t *n, size_t *wanted)
{
    const int bits = typed_bits(tensor->dtype);
    *wanted = bits ? ingot_raw_size_bytes(tensor->dtype, ingot_count(tensor)) : (size_t)ingot_count(tensor);
    switch (tensor->dtype) {
    case INGOT_COMPLEX64:
        *wanted *= 2; /* fall through */
    case INGOT_FLOAT: return *items = proto->float_data, *n = proto->n_float_data, "float_data";
    case INGOT_COMPLEX128:
        *wanted *= 2; /* fall through */
    case INGOT_DOUBLE: return *items = proto->double_data, *n = proto->n_double_data, "double_data";
    case INGOT_INT64: return *items = proto->int64_data, *n = proto->n_int64_data, "int64_data";
    case INGOT_UINT32:
    case INGOT_UINT64: return *items = proto->uint64_data, *n = proto->n_uint64_data, "uint64_data";
    case INGOT_STRING: return *items = proto->string_data, *n = proto->n_string_data, "string_data";
    default: return *items = proto->int32_data, *n = proto->n_int32_data, "int32_data";
    }
}

/* This comes before memory is asked for: the count bounds what the shape may take. INGOT_INVALID where the counts
 * differ, also where the shape has elements and the field is empty. */
ingot_status ingot_check_typed(const Onnx__TensorProto *proto, const ingot_tensor *tensor, ingot_error *error)
{
    const void *items;
    size_t n, wanted;
    const char *field = typed_field(proto, tensor, &items, &n, &wanted);
    if (n == wanted)
        return INGOT_OK;
    return ingot_fail(error, INGOT_INVALID, "%s has %zu items, its type and shape take %zu", field, n, wanted);
}

/* uint32 lies in uint64_data, complex numbers as pairs in float_data and double_data, the rest as it says.
 * ingot_check_typed() must have passed; dst has ingot_storage_bytes() bytes. */
void ingot_typed_decode(const Onnx__TensorProto *proto, const ingot_tensor *tensor, void *dst)
{
    const void *items;
    size_t n, wanted;
    typed_field(proto, tensor, &items, &n, &wanted);
    if (!n)
        return;
    switch (tensor->dtype) {
    case INGOT_STRING: copy_strings(items, n, dst); break;
    case INGOT_UINT32:
        for (size_t i = 0; i < n; i++)
            ((uint32_t *)dst)[i] = (uint32_t)proto->uint64_data[i];
        break;
    case INGOT_FLOAT:
    case INGOT_DOUBLE:
    case INGOT_COMPLEX64:
    case INGOT_COMPLEX128:
    case INGOT_INT64:
    case INGOT_UINT64: memcpy(dst, items, ingot_raw_size_bytes(tensor->dtype, ingot_count(tensor))); break;
    default: copy_int32_data(items, tensor, dst);
    }
}

/* Strings are pointed at, not copied. False when memory is out. */
static bool strings_to_proto(ingot_arena *arena, const ingot_tensor *tensor, Onnx__TensorProto *proto)
{
    const ingot_string *strings = tensor->data;
    const size_t n = (size_t)ingot_count(tensor);
    proto->string_data = ingot_arena_array(arena, n, sizeof *proto->string_data);
    if (!proto->string_data)
        return false;
    for (size_t i = 0; i < n; i++)
        proto->string_data[i] = (ProtobufCBinaryData){strings[i].size_bytes, (uint8_t *)strings[i].data};
    proto->n_string_data = n;
    return true;
}

/* Raw data for every type but strings, which have no raw form. Elements that need no packing are pointed at, as the
 * shape and the name are: all must outlive the message. False when memory is out. */
bool ingot_tensor_to_proto(ingot_arena *arena, const ingot_tensor *tensor, const char *name, Onnx__TensorProto *proto)
{
    onnx__tensor_proto__init(proto);
    proto->name = (char *)name;
    proto->has_data_type = true;
    proto->data_type = (int32_t)tensor->dtype;
    proto->n_dims = (size_t)tensor->rank;
    proto->dims = (int64_t *)tensor->shape;
    if (tensor->dtype == INGOT_STRING)
        return strings_to_proto(arena, tensor, proto);
    proto->has_raw_data = true;
    proto->raw_data.len = ingot_raw_size_bytes(tensor->dtype, ingot_count(tensor));
    proto->raw_data.data = tensor->data;
    if (!ingot_is_packed(tensor->dtype))
        return true;
    proto->raw_data.data = ingot_arena_alloc(arena, proto->raw_data.len);
    if (proto->raw_data.data)
        ingot_raw_encode(tensor, proto->raw_data.data);
    return proto->raw_data.data != NULL;
}
