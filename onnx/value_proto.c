/* value_proto.c - single values in protobuf form: TensorProto, SequenceProto, OptionalProto and MapProto, as the files
 * beside a model hold them. Each tensor's elements are one block of malloc() memory, the strings' bytes behind the
 * array of them; the items of the other kinds are tensors in such a block. */
#include <stdlib.h>
#include <string.h>

#include "onnx/onnx-data.pb-c.h"
#include "onnx/tensor_data.h"

enum { MAX_NESTED_VALUES = 16 };

/* A message being decoded. `bytes` are those that raw data is a range of; `depth` counts values within values. */
typedef struct decoder {
    const uint8_t *bytes;
    ingot_error *error;
    int depth;
} decoder;

/* The line that every want of memory gets. */
static ingot_status out_of_memory(ingot_error *error) { return ingot_fail(error, INGOT_LIMIT, "out of memory"); }

/* Zeroed, for free(). Never NULL for a size of 0. */
static void *allocate(size_t size_bytes)
{
    const size_t padded = (size_bytes + INGOT_ALIGNMENT) / INGOT_ALIGNMENT * INGOT_ALIGNMENT; /* never 0 */
    void *block = aligned_alloc(INGOT_ALIGNMENT, padded);
    if (block)
        memset(block, 0, padded);
    return block;
}

/* The items of the other kinds are ingot_tensors, larger than any element: their number is checked as if each had the
 * most bytes an element can have, for which ingot_checked_size() leaves a factor of 16. data is NULL after a failure,
 * so the tensor can be freed either way. */
ingot_status ingot_tensor_alloc(ingot_tensor *tensor, ingot_error *error)
{
    ingot_tensor items = *tensor;
    size_t size_bytes;
    tensor->data = NULL;
    if (!ingot_checked_size(tensor, NULL, &size_bytes))
        return ingot_fail(error, INGOT_BAD_INPUT, "impossible shape");
    if (tensor->kind != INGOT_TENSOR) {
        items.dtype = INGOT_COMPLEX128; /* any whose size times 16 covers an item: the shape is checked for that */
        if (!ingot_checked_size(&items, NULL, NULL))
            return ingot_fail(error, INGOT_BAD_INPUT, "impossible number of items");
        size_bytes = (size_t)ingot_count(tensor) * sizeof(ingot_tensor);
    }
    tensor->data = allocate(size_bytes);
    return tensor->data ? INGOT_OK : out_of_memory(error);
}

/* Items nest no deeper than decoding lets them. NULL, and a tensor without data, are allowed; so is a container whose
 * items were only filled in part, since its memory was cleared. */
void ingot_tensor_free(ingot_tensor *tensor)
{
    if (!tensor || !tensor->data)
        return;
    ingot_tensor *items = tensor->data;
    for (int64_t i = 0; tensor->kind != INGOT_TENSOR && i < ingot_count(tensor); i++)
        ingot_tensor_free(&items[i]);
    free(tensor->data);
    tensor->data = NULL;
}

/* ---- decoding ---- */

/* One block: the array, and behind it the bytes that it points to. So free() frees both. The bytes were in the message,
 * so their sum cannot overflow. */
static ingot_status decode_strings(const ProtobufCBinaryData *src, size_t n, ingot_tensor *tensor, ingot_error *error)
{
    size_t size_bytes = n * sizeof(ingot_string);
    for (size_t i = 0; i < n; i++)
        size_bytes += src[i].len;
    ingot_string *strings = tensor->data = allocate(size_bytes);
    if (!strings)
        return out_of_memory(error);
    char *next = (char *)(strings + n);
    for (size_t i = 0; i < n; i++) {
        strings[i] = (ingot_string){next, src[i].len};
        if (src[i].len)
            memcpy(next, src[i].data, src[i].len);
        next += src[i].len;
    }
    return INGOT_OK;
}

/* As constants.c does it for models, but always with a copy, and without external data. On failure the tensor is left
 * with what it has, for ingot_tensor_free(). */
static ingot_status decode_tensor(const decoder *d, const Onnx__TensorProto *proto, ingot_tensor *tensor)
{
    ingot_raw raw;
    ingot_status status = ingot_proto_shape(proto, tensor, d->error);
    if (status)
        return status;
    if (proto->data_location == ONNX__TENSOR_PROTO__DATA_LOCATION__EXTERNAL)
        return ingot_fail(d->error, INGOT_UNSUPPORTED, "external data is supported in models only");
    const bool is_raw = ingot_proto_raw(proto, &raw) && tensor->dtype != INGOT_STRING;
    /* Counts are checked before anything is allocated by them. */
    if (!is_raw && (status = ingot_check_typed(proto, tensor, d->error)))
        return status;
    if (is_raw && raw.size_bytes != ingot_raw_size_bytes(tensor->dtype, ingot_count(tensor)))
        return ingot_raw_mismatch(tensor, raw.size_bytes, "raw data", d->error);
    if (tensor->dtype == INGOT_STRING)
        return decode_strings(proto->string_data, proto->n_string_data, tensor, d->error);
    if ((status = ingot_tensor_alloc(tensor, d->error)))
        return status;
    if (is_raw)
        ingot_raw_decode(tensor, d->bytes + raw.offset, tensor->data);
    else
        ingot_typed_decode(proto, tensor, tensor->data);
    return INGOT_OK;
}

/* A container for n items. Cleared, so that it can be freed at any moment while it is filled. */
static ingot_status begin_items(const decoder *d, ingot_kind kind, size_t n, ingot_tensor *value)
{
    *value = (ingot_tensor){.kind = (uint8_t)kind, .rank = 1, .shape = {(int64_t)n}};
    return ingot_tensor_alloc(value, d->error);
}

/* The container's element type is that of its items. All items of a sequence must have one kind and element type; those
 * of a map are keys and values, and dtype is that of the values. */
static ingot_status end_items(const decoder *d, ingot_tensor *value)
{
    const ingot_tensor *items = value->data;
    const int64_t last = value->shape[0] - 1;
    if (last >= 0)
        value->dtype = items[last].dtype;
    for (int64_t i = 0; i < last && value->kind == INGOT_SEQUENCE; i++)
        if (items[i].dtype != value->dtype || items[i].kind != items[last].kind)
            return ingot_fail(d->error, INGOT_INVALID, "a sequence of different types");
    return INGOT_OK;
}

/* Integer keys are int64 in the message, whatever key_type says; memcpy() of the low bytes cuts them, as the machine is
 * little-endian. */
static ingot_status decode_keys(const decoder *d, const Onnx__MapProto *proto, ingot_tensor *keys)
{
    const int32_t type = proto->key_type;
    if (type == INGOT_STRING) {
        *keys = (ingot_tensor){.dtype = INGOT_STRING, .rank = 1, .shape = {(int64_t)proto->n_string_keys}};
        return decode_strings(proto->string_keys, proto->n_string_keys, keys, d->error);
    }
    if (type < 0 || type >= INGOT_N_DTYPES || !ingot_is_integer((ingot_dtype)type))
        return ingot_fail(d->error, INGOT_INVALID, "a map's keys are integers or strings");
    *keys = (ingot_tensor){.dtype = (ingot_dtype)type, .rank = 1, .shape = {(int64_t)proto->n_keys}};
    const ingot_status status = ingot_tensor_alloc(keys, d->error);
    const size_t width = ingot_dtype_size_bytes(keys->dtype);
    for (size_t i = 0; !status && i < proto->n_keys; i++)
        memcpy((char *)keys->data + i * width, &proto->keys[i], width); /* the low bytes */
    return status;
}

/* Values within values: decode_item() is the one way in, and counts how deep. */
static ingot_status decode_item(decoder *d, const ProtobufCMessage *message, ingot_tensor *value);

/* A map is its keys, a tensor of one dimension, and its values, a sequence. INGOT_INVALID where their numbers
 * differ. */
static ingot_status decode_map(decoder *d, const Onnx__MapProto *proto, ingot_tensor *value)
{
    ingot_status status = begin_items(d, INGOT_MAP, 2, value);
    if (status)
        return status;
    ingot_tensor *items = value->data;
    if ((status = decode_keys(d, proto, &items[0])) ||
        (status = decode_item(d, proto->values ? &proto->values->base : NULL, &items[1])))
        return status;
    if (items[0].shape[0] != items[1].shape[0])
        return ingot_fail(d->error, INGOT_INVALID, "a map of %lld keys and %lld values", (long long)items[0].shape[0],
                          (long long)items[1].shape[0]);
    return end_items(d, value);
}

/* A SequenceProto has a field for each kind of item, of which one is used. Its elem_type adds nothing to that. An empty
 * one is of kind sequence with no element type. */
static ingot_status decode_sequence(decoder *d, const Onnx__SequenceProto *proto, ingot_tensor *value)
{
    const struct {
        size_t n;
        const void *items; /* array of pointers to messages */
    } fields[] = {{proto->n_tensor_values, proto->tensor_values}, {proto->n_sequence_values, proto->sequence_values},
                  {proto->n_map_values, proto->map_values},       {proto->n_optional_values, proto->optional_values}};
    /* Which of the fields is used, and whether only one is. */
    size_t field = 0, n = 0;
    for (size_t i = 0; i < sizeof fields / sizeof *fields; i++)
        if (fields[i].n) {
            n += fields[i].n;
            field = i;
        }
    if (proto->n_sparse_tensor_values)
        return ingot_fail(d->error, INGOT_UNSUPPORTED, "sequences of sparse tensors are not supported");
    if (n != fields[field].n)
        return ingot_fail(d->error, INGOT_INVALID, "a sequence of different kinds of items");
    ingot_status status = begin_items(d, INGOT_SEQUENCE, n, value);
    ProtobufCMessage *const *messages = fields[field].items;
    for (size_t i = 0; !status && i < n; i++)
        status = decode_item(d, messages[i], (ingot_tensor *)value->data + i);
    return status ? status : end_items(d, value);
}

/* Whichever field is there; none is an optional without a value. */
static ingot_status decode_optional(decoder *d, const Onnx__OptionalProto *proto, ingot_tensor *value)
{
    const ProtobufCMessage *item = NULL;
    if (proto->tensor_value)
        item = &proto->tensor_value->base;
    else if (proto->sequence_value)
        item = &proto->sequence_value->base;
    else if (proto->map_value)
        item = &proto->map_value->base;
    else if (proto->optional_value)
        item = &proto->optional_value->base;
    if (proto->sparse_tensor_value)
        return ingot_fail(d->error, INGOT_UNSUPPORTED, "optional sparse tensors are not supported");
    ingot_status status = begin_items(d, INGOT_OPTIONAL, item != NULL, value);
    if (!status && item)
        status = decode_item(d, item, value->data);
    return status ? status : end_items(d, value);
}

static ingot_status decode_item(decoder *d, const ProtobufCMessage *message, ingot_tensor *value)
{
    ingot_status status;
    if (!message)
        return ingot_fail(d->error, INGOT_INVALID, "a value is missing");
    if (d->depth == MAX_NESTED_VALUES)
        return ingot_fail(d->error, INGOT_LIMIT, "values nest more than %d deep", MAX_NESTED_VALUES);
    d->depth++;
    if (message->descriptor == &onnx__tensor_proto__descriptor)
        status = decode_tensor(d, (const Onnx__TensorProto *)message, value);
    else if (message->descriptor == &onnx__sequence_proto__descriptor)
        status = decode_sequence(d, (const Onnx__SequenceProto *)message, value);
    else if (message->descriptor == &onnx__map_proto__descriptor)
        status = decode_map(d, (const Onnx__MapProto *)message, value);
    else
        status = decode_optional(d, (const Onnx__OptionalProto *)message, value);
    d->depth--;
    return status;
}

/* The message that a value of the kind is serialized as. */
static const ProtobufCMessageDescriptor *descriptor_of(ingot_kind kind)
{
    switch (kind) {
    case INGOT_SEQUENCE: return &onnx__sequence_proto__descriptor;
    case INGOT_OPTIONAL: return &onnx__optional_proto__descriptor;
    case INGOT_MAP: return &onnx__map_proto__descriptor;
    default: return &onnx__tensor_proto__descriptor;
    }
}

/* There is no limit of memory here but the one in proportion to size_bytes. The caller frees the tensor with
 * ingot_tensor_free(). After a failure it holds nothing. */
ingot_status ingot_tensor_decode(const void *data, size_t size_bytes, ingot_kind kind, ingot_tensor *tensor,
                                 ingot_error *error)
{
    ingot_memory memory = {0};
    ingot_unpacked unpacked;
    decoder d = {data, error, 0};
    *tensor = (ingot_tensor){0};
    const ingot_content content = {.data = data, .size_bytes = size_bytes};
    ingot_status status = ingot_unpack(descriptor_of(kind), &content, &memory, &unpacked, error);
    if (!status)
        status = decode_item(&d, unpacked.message, tensor);
    ingot_unpacked_free(&unpacked);
    if (status)
        ingot_tensor_free(tensor);
    if (status == INGOT_INVALID) { /* of a model; here it is an input that is malformed */
        status = INGOT_BAD_INPUT;
        if (error)
            error->status = status;
    }
    return status;
}

/* ---- encoding ---- */

/* The message for a value, in the arena; NULL when memory is out or values nest too deep. */
static ProtobufCMessage *encode_item(ingot_arena *arena, const ingot_tensor *value, const char *name, int depth);

/* Messages of the n items of a value, as an array for a repeated field. NULL when one cannot be encoded. */
static ProtobufCMessage **encode_items(ingot_arena *arena, const ingot_tensor *items, int64_t n, int depth)
{
    ProtobufCMessage **messages = ingot_arena_array(arena, (size_t)n, sizeof *messages);
    for (int64_t i = 0; messages && i < n; i++)
        if (!(messages[i] = encode_item(arena, &items[i], NULL, depth)))
            return NULL;
    return messages;
}

/* An empty sequence says that it is one of tensors: nothing else is known of it. NULL when memory is out. */
static ProtobufCMessage *encode_sequence(ingot_arena *arena, const ingot_tensor *value, const char *name, int depth)
{
    static const int32_t elem_types[] = {
        [INGOT_TENSOR] = ONNX__SEQUENCE_PROTO__DATA_TYPE__TENSOR,
        [INGOT_SEQUENCE] = ONNX__SEQUENCE_PROTO__DATA_TYPE__SEQUENCE,
        [INGOT_OPTIONAL] = ONNX__SEQUENCE_PROTO__DATA_TYPE__OPTIONAL,
        [INGOT_MAP] = ONNX__SEQUENCE_PROTO__DATA_TYPE__MAP};
    const size_t n = (size_t)value->shape[0];
    const ingot_kind kind = n ? ((const ingot_tensor *)value->data)->kind : INGOT_TENSOR;
    Onnx__SequenceProto *proto = ingot_arena_alloc(arena, sizeof *proto);
    void *items = encode_items(arena, value->data, (int64_t)n, depth);
    if (!proto || !items)
        return NULL;
    onnx__sequence_proto__init(proto);
    proto->name = (char *)name;
    proto->has_elem_type = true;
    proto->elem_type = elem_types[kind];
    switch (kind) {
    case INGOT_SEQUENCE: proto->n_sequence_values = n, proto->sequence_values = items; break;
    case INGOT_OPTIONAL: proto->n_optional_values = n, proto->optional_values = items; break;
    case INGOT_MAP: proto->n_map_values = n, proto->map_values = items; break;
    default: proto->n_tensor_values = n, proto->tensor_values = items; break;
    }
    return &proto->base;
}

/* Without a value elem_type stays 0, as onnx.numpy_helper writes it. */
static ProtobufCMessage *encode_optional(ingot_arena *arena, const ingot_tensor *value, const char *name, int depth)
{
    Onnx__OptionalProto *proto = ingot_arena_alloc(arena, sizeof *proto);
    if (!proto)
        return NULL;
    onnx__optional_proto__init(proto);
    proto->name = (char *)name;
    proto->has_elem_type = true;
    if (!value->shape[0])
        return &proto->base;
    void *item = encode_item(arena, value->data, NULL, depth);
    switch (((const ingot_tensor *)value->data)->kind) {
    case INGOT_SEQUENCE:
        proto->sequence_value = item;
        proto->elem_type = ONNX__OPTIONAL_PROTO__DATA_TYPE__SEQUENCE;
        break;
    case INGOT_OPTIONAL:
        proto->optional_value = item;
        proto->elem_type = ONNX__OPTIONAL_PROTO__DATA_TYPE__OPTIONAL;
        break;
    case INGOT_MAP:
        proto->map_value = item;
        proto->elem_type = ONNX__OPTIONAL_PROTO__DATA_TYPE__MAP;
        break;
    default:
        proto->tensor_value = item;
        proto->elem_type = ONNX__OPTIONAL_PROTO__DATA_TYPE__TENSOR;
    }
    return item ? &proto->base : NULL;
}

/* Integer keys are all int64 in the message; key_type says what they are. */
static ProtobufCMessage *encode_map(ingot_arena *arena, const ingot_tensor *value, const char *name, int depth)
{
    const ingot_tensor *keys = value->data, *values = keys + 1;
    const size_t n = (size_t)keys->shape[0];
    Onnx__MapProto *proto = ingot_arena_alloc(arena, sizeof *proto);
    void *items = ingot_arena_array(arena, n, MAX(sizeof *proto->keys, sizeof *proto->string_keys));
    if (!proto || !items)
        return NULL;
    onnx__map_proto__init(proto);
    proto->name = (char *)name;
    proto->has_key_type = true;
    proto->key_type = (int32_t)keys->dtype;
    if (keys->dtype == INGOT_STRING) {
        proto->string_keys = items;
        proto->n_string_keys = n;
    } else {
        proto->keys = items;
        proto->n_keys = n;
    }
    /* Strings are pointed at; integers are widened to int64. */
    for (size_t i = 0; i < n; i++)
        if (keys->dtype == INGOT_STRING) {
            const ingot_string *key = (const ingot_string *)keys->data + i;
            proto->string_keys[i] = (ProtobufCBinaryData){key->size_bytes, (uint8_t *)key->data};
        } else {
            proto->keys[i] = ingot_int_at(keys, (int64_t)i);
        }
    ProtobufCMessage *sequence = values->kind == INGOT_SEQUENCE ? encode_sequence(arena, values, NULL, depth) : NULL;
    proto->values = (Onnx__SequenceProto *)sequence;
    return sequence ? &proto->base : NULL;
}

static ProtobufCMessage *encode_item(ingot_arena *arena, const ingot_tensor *value, const char *name, int depth)
{
    if (depth == MAX_NESTED_VALUES)
        return NULL;
    switch (value->kind) {
    case INGOT_SEQUENCE: return encode_sequence(arena, value, name, depth + 1);
    case INGOT_OPTIONAL: return encode_optional(arena, value, name, depth + 1);
    case INGOT_MAP: return encode_map(arena, value, name, depth + 1);
    default: break;
    }
    Onnx__TensorProto *proto = ingot_arena_alloc(arena, sizeof *proto);
    return proto && ingot_tensor_to_proto(arena, value, name, proto) ? &proto->base : NULL;
}

/* The message is built in an arena, with the elements pointed at where they are, and packed at once. *data is the
 * caller's to free(), NULL after a failure. Nesting deeper than MAX_NESTED_VALUES is told as want of memory. */
ingot_status ingot_tensor_encode(const ingot_tensor *tensor, const char *name, void **data, size_t *size_bytes,
                                 ingot_error *error)
{
    ingot_memory memory = {0};
    ingot_arena arena = {.memory = &memory};
    ingot_status status = INGOT_OK;
    *data = NULL;
    const ProtobufCMessage *message = encode_item(&arena, tensor, name, 0);
    if (message) {
        *size_bytes = protobuf_c_message_get_packed_size(message);
        *data = malloc(*size_bytes + 1);
    }
    if (*data)
        protobuf_c_message_pack(message, *data);
    else
        status = out_of_memory(error);
    ingot_arena_free(&arena);
    return status;
}
