/* types.c - TypeProto to ingot_type and back. A type is a tensor's, or that of a sequence, optional or map of some
 * other type: they nest in one line, so a loop suffices. Declared types are what the model says of itself; what is
 * computed from the inputs counts more. Sparse tensor types become dense ones, as all sparse tensors do here. */
#include "onnx/reader.h"
#include "onnx/writer.h"

#include <string.h>

/* Levels of sequences, optionals and maps; models have two or three. */
enum { MAX_NESTED_TYPES = 16 };

/* 0 is a type that is not declared. Numbers are those of TensorProto.DataType. */
static ingot_status read_dtype(const ingot_reader *reader, int32_t number, ingot_dtype *dtype)
{
    if (number < 0 || number >= INGOT_N_DTYPES)
        return ingot_fail(reader->error, INGOT_INVALID, "element type %d is not one of ONNX's", number);
    *dtype = (ingot_dtype)number;
    return INGOT_OK;
}

/* An undeclared rank stays -1; a dimension without value, or a negative one, is free. Names of dimensions are kept for
 * those who look at the model; equal names are not trusted to be equal sizes. */
static ingot_status read_shape(const ingot_reader *reader, const Onnx__TensorShapeProto *proto, ingot_type *type)
{
    ingot_arena *arena = &reader->onnx->arena;
    if (!proto)
        return INGOT_OK;
    if (proto->n_dim > INGOT_MAX_RANK)
        return ingot_fail(reader->error, INGOT_UNSUPPORTED, "rank %zu; Ingot takes up to %d", proto->n_dim,
                          INGOT_MAX_RANK);
    type->rank = (int32_t)proto->n_dim;
    type->shape = ingot_arena_array(arena, proto->n_dim, sizeof *type->shape);
    type->symbols = ingot_arena_array(arena, proto->n_dim, sizeof *type->symbols);
    if (!type->shape || !type->symbols)
        return ingot_reader_out_of_memory(reader);
    /* A dimension is a number, a name, or neither. */
    for (size_t i = 0; i < proto->n_dim; i++) {
        const Onnx__TensorShapeProto__Dimension *dim = proto->dim[i];
        type->shape[i] = -1;
        if (dim->value_case == ONNX__TENSOR_SHAPE_PROTO__DIMENSION__VALUE_DIM_VALUE)
            type->shape[i] = MAX(dim->dim_value, -1);
        if (dim->value_case != ONNX__TENSOR_SHAPE_PROTO__DIMENSION__VALUE_DIM_PARAM || !*dim->dim_param)
            continue;
        type->symbols[i] = ingot_arena_string(arena, dim->dim_param, strlen(dim->dim_param));
        if (!type->symbols[i])
            return ingot_reader_out_of_memory(reader);
    }
    return INGOT_OK;
}

/* One level: fills *type, and *item with the type inside it, if any. A TypeProto without a value is a type that is not
 * declared, and no error. */
static ingot_status read_level(const ingot_reader *reader, const Onnx__TypeProto *proto, ingot_type *type,
                               const Onnx__TypeProto **item)
{
    ingot_status status;
    *item = NULL;
    switch (proto->value_case) {
    case ONNX__TYPE_PROTO__VALUE_TENSOR_TYPE:
        status = read_dtype(reader, proto->tensor_type->elem_type, &type->dtype);
        return status ? status : read_shape(reader, proto->tensor_type->shape, type);
    case ONNX__TYPE_PROTO__VALUE_SPARSE_TENSOR_TYPE: /* sparse tensors are dense here */
        status = read_dtype(reader, proto->sparse_tensor_type->elem_type, &type->dtype);
        return status ? status : read_shape(reader, proto->sparse_tensor_type->shape, type);
    case ONNX__TYPE_PROTO__VALUE_SEQUENCE_TYPE:
        type->kind = INGOT_SEQUENCE;
        *item = proto->sequence_type->elem_type;
        return INGOT_OK;
    case ONNX__TYPE_PROTO__VALUE_OPTIONAL_TYPE:
        type->kind = INGOT_OPTIONAL;
        *item = proto->optional_type->elem_type;
        return INGOT_OK;
    case ONNX__TYPE_PROTO__VALUE_MAP_TYPE:
        type->kind = INGOT_MAP;
        *item = proto->map_type->value_type;
        return read_dtype(reader, proto->map_type->key_type, &type->key_dtype);
    case ONNX__TYPE_PROTO__VALUE_OPAQUE_TYPE:
        return ingot_fail(reader->error, INGOT_UNSUPPORTED, "opaque types are not supported");
    default: return INGOT_OK;
    }
}

/* NULL is a type that is not declared at all. The outermost record is the caller's, those inside are the arena's. */
ingot_status ingot_read_type(ingot_reader *reader, const Onnx__TypeProto *proto, ingot_type *type)
{
    ingot_type *levels[MAX_NESTED_TYPES];
    int n = 0;
    *type = (ingot_type){.rank = -1};
    /* Down the line, one level a round; levels[] remembers the way back. */
    for (ingot_type *level = type; proto; n++) {
        const Onnx__TypeProto *item;
        if (n == MAX_NESTED_TYPES)
            return ingot_fail(reader->error, INGOT_LIMIT, "types nest more than %d deep", MAX_NESTED_TYPES);
        levels[n] = level;
        const ingot_status status = read_level(reader, proto, level, &item);
        if (status)
            return status;
        if (item) {
            level->item = ingot_arena_alloc(&reader->onnx->arena, sizeof *level->item);
            if (!level->item)
                return ingot_reader_out_of_memory(reader);
            level->item->rank = -1;
            level = level->item;
        }
        proto = item;
    }
    for (int i = n - 2; i >= 0; i--) /* the elements' type is told at every level */
        levels[i]->dtype = levels[i + 1]->dtype;
    return INGOT_OK;
}

/* ---- back ---- */

/* Free dimensions keep their names, as other tools match them by it. NULL when memory is out. */
static Onnx__TensorShapeProto *shape_to_proto(ingot_arena *arena, const ingot_type *type)
{
    Onnx__TensorShapeProto *proto = ingot_arena_alloc(arena, sizeof *proto);
    Onnx__TensorShapeProto__Dimension *dims = ingot_arena_array(arena, (size_t)type->rank, sizeof *dims);
    if (!proto || !dims)
        return NULL;
    onnx__tensor_shape_proto__init(proto);
    proto->n_dim = (size_t)type->rank;
    proto->dim = ingot_arena_array(arena, proto->n_dim, sizeof *proto->dim);
    if (!proto->dim)
        return NULL;
    /* Each dimension is a message of its own; the records are one array. */
    for (size_t i = 0; i < proto->n_dim; i++) {
        proto->dim[i] = &dims[i];
        onnx__tensor_shape_proto__dimension__init(&dims[i]);
        if (type->shape[i] >= 0) {
            dims[i].value_case = ONNX__TENSOR_SHAPE_PROTO__DIMENSION__VALUE_DIM_VALUE;
            dims[i].dim_value = type->shape[i];
        } else if (type->symbols && type->symbols[i]) {
            dims[i].value_case = ONNX__TENSOR_SHAPE_PROTO__DIMENSION__VALUE_DIM_PARAM;
            dims[i].dim_param = (char *)type->symbols[i];
        }
    }
    return proto;
}

/* One level of a type on its way into a message: TypeProto and the members of its oneof, of which one is used. */
typedef struct type_level {
    Onnx__TypeProto proto;
    Onnx__TypeProto__Tensor tensor;
    Onnx__TypeProto__Sequence sequence;
    Onnx__TypeProto__Optional optional;
    Onnx__TypeProto__Map map;
} type_level;

/* One level; *inner becomes the slot for the type inside it, where there is one. A tensor has no type inside it, and
 * leaves *inner alone. False when memory is out. */
static bool fill_level(ingot_arena *arena, const ingot_type *type, type_level *level, Onnx__TypeProto ***inner)
{
    onnx__type_proto__init(&level->proto);
    switch (type->kind) {
    case INGOT_SEQUENCE:
        onnx__type_proto__sequence__init(&level->sequence);
        level->proto.value_case = ONNX__TYPE_PROTO__VALUE_SEQUENCE_TYPE;
        level->proto.sequence_type = &level->sequence;
        *inner = &level->sequence.elem_type;
        return true;
    case INGOT_OPTIONAL:
        onnx__type_proto__optional__init(&level->optional);
        level->proto.value_case = ONNX__TYPE_PROTO__VALUE_OPTIONAL_TYPE;
        level->proto.optional_type = &level->optional;
        *inner = &level->optional.elem_type;
        return true;
    case INGOT_MAP:
        onnx__type_proto__map__init(&level->map);
        level->proto.value_case = ONNX__TYPE_PROTO__VALUE_MAP_TYPE;
        level->proto.map_type = &level->map;
        level->map.has_key_type = true;
        level->map.key_type = (int32_t)type->key_dtype;
        *inner = &level->map.value_type;
        return true;
    default: break;
    }
    if (type->dtype == INGOT_UNDEFINED)
        return true; /* nothing was declared */
    onnx__type_proto__tensor__init(&level->tensor);
    level->proto.value_case = ONNX__TYPE_PROTO__VALUE_TENSOR_TYPE;
    level->proto.tensor_type = &level->tensor;
    level->tensor.has_elem_type = true;
    level->tensor.elem_type = (int32_t)type->dtype;
    return type->rank < 0 || (level->tensor.shape = shape_to_proto(arena, type));
}

/* From the outside in: each level leaves the slot that the next one goes into. NULL when memory is out. Strings are
 * pointed at. */
Onnx__TypeProto *ingot_type_to_proto(ingot_arena *arena, const ingot_type *type)
{
    Onnx__TypeProto *outermost = NULL, **slot = &outermost;
    for (; type; type = type->kind == INGOT_TENSOR ? NULL : type->item) {
        type_level *level = ingot_arena_alloc(arena, sizeof *level);
        if (!level)
            return NULL;
        *slot = &level->proto;
        if (!fill_level(arena, type, level, &slot))
            return NULL;
    }
    return outermost;
}
