/* attributes.c - attributes, decoded once into typed form, so that nobody behind the reader sees protobuf.
 *
 * The declared type decides which field holds the value; old files leave the type out, then it is the one field that
 * is there. A number that is missing is 0, as some writers leave zeros out; a tensor, graph or type that is missing
 * is an error. Sparse tensors come out dense and with the types of dense ones. Which attributes an operator has, and
 * whether their values make sense, is the operator's business.
 *
 * An attribute of a function's node may be a reference: ingot_attribute_value() finds what it stands for at this
 * call. */
#include "onnx/reader.h"

#include <string.h>

/* The type of an attribute that does not declare one, as files of IR version 1 do: of the one field that is there. 0
 * where there is none, as with an empty list. */
static ingot_attr_type infer_type(const Onnx__AttributeProto *a)
{
    if (a->has_f)
        return INGOT_ATTR_FLOAT;
    if (a->has_i)
        return INGOT_ATTR_INT;
    if (a->has_s)
        return INGOT_ATTR_STRING;
    const struct {
        bool is_there;
        ingot_attr_type type;
    } fields[] = {
        {a->t != NULL, INGOT_ATTR_TENSOR},         {a->g != NULL, INGOT_ATTR_GRAPH},
        {a->sparse_tensor != NULL, INGOT_ATTR_SPARSE_TENSOR}, {a->tp != NULL, INGOT_ATTR_TYPE},
        {a->n_floats > 0, INGOT_ATTR_FLOATS},      {a->n_ints > 0, INGOT_ATTR_INTS},
        {a->n_strings > 0, INGOT_ATTR_STRINGS},    {a->n_tensors > 0, INGOT_ATTR_TENSORS},
        {a->n_graphs > 0, INGOT_ATTR_GRAPHS},      {a->n_sparse_tensors > 0, INGOT_ATTR_SPARSE_TENSORS},
        {a->n_type_protos > 0, INGOT_ATTR_TYPES},
    };
    for (size_t i = 0; i < sizeof fields / sizeof *fields; i++)
        if (fields[i].is_there)
            return fields[i].type;
    return 0;
}

/* The declared type, or the inferred one; 0 when there is none that ONNX knows. protobuf numbers the types by age, we
 * with the singular ones first. */
static ingot_attr_type type_of(const Onnx__AttributeProto *a)
{
    static const ingot_attr_type types[] = {
        [ONNX__ATTRIBUTE_PROTO__ATTRIBUTE_TYPE__FLOAT] = INGOT_ATTR_FLOAT,
        [ONNX__ATTRIBUTE_PROTO__ATTRIBUTE_TYPE__INT] = INGOT_ATTR_INT,
        [ONNX__ATTRIBUTE_PROTO__ATTRIBUTE_TYPE__STRING] = INGOT_ATTR_STRING,
        [ONNX__ATTRIBUTE_PROTO__ATTRIBUTE_TYPE__TENSOR] = INGOT_ATTR_TENSOR,
        [ONNX__ATTRIBUTE_PROTO__ATTRIBUTE_TYPE__GRAPH] = INGOT_ATTR_GRAPH,
        [ONNX__ATTRIBUTE_PROTO__ATTRIBUTE_TYPE__SPARSE_TENSOR] = INGOT_ATTR_SPARSE_TENSOR,
        [ONNX__ATTRIBUTE_PROTO__ATTRIBUTE_TYPE__TYPE_PROTO] = INGOT_ATTR_TYPE,
        [ONNX__ATTRIBUTE_PROTO__ATTRIBUTE_TYPE__FLOATS] = INGOT_ATTR_FLOATS,
        [ONNX__ATTRIBUTE_PROTO__ATTRIBUTE_TYPE__INTS] = INGOT_ATTR_INTS,
        [ONNX__ATTRIBUTE_PROTO__ATTRIBUTE_TYPE__STRINGS] = INGOT_ATTR_STRINGS,
        [ONNX__ATTRIBUTE_PROTO__ATTRIBUTE_TYPE__TENSORS] = INGOT_ATTR_TENSORS,
        [ONNX__ATTRIBUTE_PROTO__ATTRIBUTE_TYPE__GRAPHS] = INGOT_ATTR_GRAPHS,
        [ONNX__ATTRIBUTE_PROTO__ATTRIBUTE_TYPE__SPARSE_TENSORS] = INGOT_ATTR_SPARSE_TENSORS,
        [ONNX__ATTRIBUTE_PROTO__ATTRIBUTE_TYPE__TYPE_PROTOS] = INGOT_ATTR_TYPES,
    };
    const int type = (int)a->type;
    if (!a->has_type || type == ONNX__ATTRIBUTE_PROTO__ATTRIBUTE_TYPE__UNDEFINED)
        return infer_type(a);
    return type > 0 && type < (int)(sizeof types / sizeof *types) ? types[type] : 0;
}

/* An item that its type promises is not there. Returns INGOT_INVALID; the caller puts the attribute's name in front. */
static ingot_status missing(const ingot_reader *reader)
{
    return ingot_fail(reader->error, INGOT_INVALID, "has no value of its type");
}

/* Copies: the message they are in goes away. A 0 byte behind each is not counted. ONNX strings are bytes and may hold
 * zeros, hence the length. */
static ingot_status read_strings(ingot_reader *reader, const ProtobufCBinaryData *items, size_t n, ingot_attr *attr)
{
    ingot_arena *arena = &reader->onnx->arena;
    ingot_string *strings = ingot_arena_array(arena, n, sizeof *strings);
    if (!strings)
        return ingot_reader_out_of_memory(reader);
    for (size_t i = 0; i < n; i++) {
        strings[i].data = ingot_arena_string(arena, (const char *)items[i].data, items[i].len);
        strings[i].size_bytes = items[i].len;
        if (!strings[i].data)
            return ingot_reader_out_of_memory(reader);
    }
    attr->n = n;
    attr->strings = strings;
    return INGOT_OK;
}

/* Tensors, or sparse ones where `sparse` is given. One of the two arrays is NULL. Constants are the model's; attr is
 * filled only when all could be read. */
static ingot_status read_tensors(ingot_reader *reader, Onnx__TensorProto *const *dense,
                                 Onnx__SparseTensorProto *const *sparse, size_t n, ingot_attr *attr)
{
    ingot_const **tensors = ingot_arena_array(&reader->onnx->arena, n, sizeof *tensors);
    if (!tensors)
        return ingot_reader_out_of_memory(reader);
    for (size_t i = 0; i < n; i++) {
        if (sparse ? !sparse[i] : !dense[i])
            return missing(reader);
        const ingot_status status = sparse ? ingot_read_sparse(reader, sparse[i], &tensors[i])
                                           : ingot_read_tensor(reader, dense[i], &tensors[i]);
        if (status)
            return status;
    }
    attr->n = n;
    attr->tensors = tensors;
    return INGOT_OK;
}

/* Graphs; what they capture becomes the node's. `scope` is where the graphs were written, which for a function's
 * attribute is the caller's; `owner` holds node number `node`. The order of captures is that of the graphs. */
static ingot_status read_graphs(ingot_reader *reader, Onnx__GraphProto *const *protos, size_t n, ingot_scope *scope,
                                int node, ingot_graph *owner, ingot_attr *attr)
{
    ingot_graph **graphs = ingot_arena_array(&reader->onnx->arena, n, sizeof *graphs);
    if (!graphs)
        return ingot_reader_out_of_memory(reader);
    /* Captures can be added to a node of the graph that is being read only. */
    if (node == INGOT_NONE)
        return ingot_fail(reader->error, INGOT_INVALID, "a constant cannot be a graph");
    if (scope->graph != owner)
        return ingot_fail(reader->error, INGOT_UNSUPPORTED, "a graph that is handed to a function and used in a graph "
                                                            "within it is not supported");
    for (size_t i = 0; i < n; i++) {
        ingot_scope inner = {.outer = scope, .depth = scope->depth + 1, .function = scope->function,
                             .bindings = scope->bindings, .n_bindings = scope->n_bindings};
        if (!protos[i])
            return missing(reader);
        const ingot_status status = ingot_read_graph(reader, protos[i], &inner);
        if (status)
            return status;
        graphs[i] = inner.graph;
        if (inner.graph->n_captures &&
            !ingot_node_add_captures(owner, node, inner.captured, inner.graph->n_captures))
            return ingot_reader_out_of_memory(reader);
    }
    attr->n = n;
    attr->graphs = graphs;
    return INGOT_OK;
}

/* Types, as the sequence and optional operators have them. Types nest, but in one line: see types.c. */
static ingot_status read_types(ingot_reader *reader, Onnx__TypeProto *const *protos, size_t n, ingot_attr *attr)
{
    ingot_type *types = ingot_arena_array(&reader->onnx->arena, n, sizeof *types);
    if (!types)
        return ingot_reader_out_of_memory(reader);
    for (size_t i = 0; i < n; i++) {
        if (!protos[i])
            return missing(reader);
        const ingot_status status = ingot_read_type(reader, protos[i], &types[i]);
        if (status)
            return status;
    }
    attr->n = n;
    attr->types = types;
    return INGOT_OK;
}

/* Floats or integers, told apart by their size. The message goes away, hence the copy. */
static ingot_status copy_numbers(ingot_reader *reader, const void *items, size_t n, size_t item_bytes, ingot_attr *attr)
{
    const void *copy = ingot_arena_copy(&reader->onnx->arena, items, n * item_bytes);
    if (!copy)
        return ingot_reader_out_of_memory(reader);
    attr->n = n;
    if (item_bytes == sizeof *attr->ints)
        attr->ints = copy;
    else
        attr->floats = copy;
    return INGOT_OK;
}

/* The value of `a`, written in `scope`, as an attribute of a node in `owner` (INGOT_NONE: of none). Singular types give
 * one item, so that readers need not tell the forms apart. */
static ingot_status read_attribute(ingot_reader *reader, const Onnx__AttributeProto *a, ingot_scope *scope, int node,
                                   ingot_graph *owner, ingot_attr *attr)
{
    attr->type = type_of(a);
    switch (attr->type) {
    case INGOT_ATTR_FLOAT: return copy_numbers(reader, &a->f, 1, sizeof a->f, attr);
    case INGOT_ATTR_INT: return copy_numbers(reader, &a->i, 1, sizeof a->i, attr);
    case INGOT_ATTR_STRING: return read_strings(reader, &a->s, 1, attr);
    case INGOT_ATTR_TENSOR: return read_tensors(reader, &a->t, NULL, 1, attr);
    case INGOT_ATTR_GRAPH: return read_graphs(reader, &a->g, 1, scope, node, owner, attr);
    case INGOT_ATTR_TYPE: return read_types(reader, &a->tp, 1, attr);
    case INGOT_ATTR_FLOATS: return copy_numbers(reader, a->floats, a->n_floats, sizeof *a->floats, attr);
    case INGOT_ATTR_INTS: return copy_numbers(reader, a->ints, a->n_ints, sizeof *a->ints, attr);
    case INGOT_ATTR_STRINGS: return read_strings(reader, a->strings, a->n_strings, attr);
    case INGOT_ATTR_TENSORS: return read_tensors(reader, a->tensors, NULL, a->n_tensors, attr);
    case INGOT_ATTR_GRAPHS: return read_graphs(reader, a->graphs, a->n_graphs, scope, node, owner, attr);
    case INGOT_ATTR_TYPES: return read_types(reader, a->type_protos, a->n_type_protos, attr);
    case INGOT_ATTR_SPARSE_TENSOR:
        attr->type = INGOT_ATTR_TENSOR;
        return read_tensors(reader, NULL, &a->sparse_tensor, 1, attr);
    case INGOT_ATTR_SPARSE_TENSORS:
        attr->type = INGOT_ATTR_TENSORS;
        return read_tensors(reader, NULL, a->sparse_tensors, a->n_sparse_tensors, attr);
    default: return ingot_fail(reader->error, INGOT_INVALID, "has no value, or a type that is not one of ONNX's");
    }
}

/* Read the attributes of a node into attrs (n_attribute of them); *n receives how many have a value. attrs is zeroed
 * memory of the model. An attribute that refers to nothing is left out, as if it were not there; a name given twice is
 * an error. */
static ingot_status read_all(ingot_reader *reader, const Onnx__NodeProto *proto, ingot_scope *scope, int node,
                             ingot_attr *attrs, size_t *n)
{
    *n = 0;
    for (size_t i = 0; i < proto->n_attribute; i++) {
        const char *name = proto->attribute[i]->name ? proto->attribute[i]->name : "";
        const Onnx__AttributeProto *value;
        ingot_scope *origin = scope;
        for (size_t k = 0; k < *n; k++)
            if (!strcmp(attrs[k].name, name))
                return ingot_fail(reader->error, INGOT_INVALID, "attribute '%s' is given twice", name);
        ingot_status status = ingot_attribute_value(reader, proto->attribute[i], &origin, &value);
        if (!status && !value) /* refers to an attribute that the call leaves out: not there */
            continue;
        ingot_attr *attr = &attrs[*n];
        if (!status)
            status = read_attribute(reader, value, origin, node, scope->graph, attr);
        if (status) {
            ingot_error_prefix(reader->error, "attribute '%s'", name);
            return status;
        }
        attr->name = ingot_arena_string(&reader->onnx->arena, name, strlen(name));
        if (!attr->name)
            return ingot_reader_out_of_memory(reader);
        ++*n;
    }
    return INGOT_OK;
}

/* Of node number `node` of the scope's graph. Graphs among the attributes add captures to the node on the way. The
 * limit of 1024 keeps the search for duplicates short. On failure the node has those that were read before. */
ingot_status ingot_read_attributes(ingot_reader *reader, const Onnx__NodeProto *proto, ingot_scope *scope, int node)
{
    ingot_node *target = scope->graph->nodes[node];
    if (!proto->n_attribute)
        return INGOT_OK;
    if (proto->n_attribute > 1024)
        return ingot_fail(reader->error, INGOT_LIMIT, "%zu attributes", proto->n_attribute);
    target->attrs = ingot_arena_array(&reader->onnx->arena, proto->n_attribute, sizeof *target->attrs);
    if (!target->attrs)
        return ingot_reader_out_of_memory(reader);
    return read_all(reader, proto, scope, node, target->attrs, &target->n_attrs);
}

/* The value of a Constant node, whose only attribute says it in one of several forms. Lists have one dimension, single
 * values none. Source: ONNX, Constant-13: value, sparse_value, value_float, value_floats and so on, exactly one of
 * them. */
ingot_status ingot_read_constant_node(ingot_reader *reader, const Onnx__NodeProto *proto, ingot_scope *scope,
                                      ingot_const **constant)
{
    ingot_arena *arena = &reader->onnx->arena;
    ingot_attr *attrs = ingot_arena_array(arena, MIN(proto->n_attribute, 1024), sizeof *attrs);
    size_t n;
    if (!attrs || proto->n_attribute > 1024)
        return ingot_reader_out_of_memory(reader);
    const ingot_status status = read_all(reader, proto, scope, INGOT_NONE, attrs, &n);
    if (status)
        return status;
    if (n != 1)
        return ingot_fail(reader->error, INGOT_INVALID, "has %zu values, not one", n);
    /* Items are in the arena already: the constant takes them over. */
    ingot_tensor tensor = {.rank = attrs->type >= INGOT_ATTR_FLOATS, .shape = {(int64_t)attrs->n}};
    tensor.data = (void *)attrs->floats;
    switch (attrs->type) {
    case INGOT_ATTR_TENSOR:
        /* The file's own tensors are shared, not copied. */
        *constant = attrs->tensors[0];
        return INGOT_OK;
    case INGOT_ATTR_FLOAT:
    case INGOT_ATTR_FLOATS: tensor.dtype = INGOT_FLOAT; break;
    case INGOT_ATTR_INT:
    case INGOT_ATTR_INTS: tensor.dtype = INGOT_INT64; break;
    case INGOT_ATTR_STRING:
    case INGOT_ATTR_STRINGS: tensor.dtype = INGOT_STRING; break;
    default: return ingot_fail(reader->error, INGOT_INVALID, "attribute '%s': not the value of a tensor", attrs->name);
    }
    *constant = ingot_arena_alloc(arena, sizeof **constant);
    if (!*constant)
        return ingot_reader_out_of_memory(reader);
    (*constant)->tensor = tensor;
    (*constant)->source = tensor.data;
    return INGOT_OK;
}
