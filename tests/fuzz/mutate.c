/* mutate.c - a mutator that knows ONNX: it changes operators, attributes, shapes, types, names and elements of a model,
 * so that most of what comes out is still a model and reaches planning and kernels. One mutation in four is libFuzzer's
 * own, on bytes. */
#include <string.h>

#include "ops/op.h"
#include "tests/fuzz/fuzz.h"

/* One mutation of a model: random state, and the model unpacked. New strings and lists come from the arena, which
 * all of it goes with. */
typedef struct mutation {
    uint64_t state;
    ingot_arena arena;
    Onnx__ModelProto *model;
    Onnx__GraphProto *graph;
} mutation;

/* A number below n, 0 where n is 0; splitmix64, whose state is the seed that libFuzzer gave. */
static size_t below(mutation *m, size_t n)
{
    uint64_t z = m->state += 0x9e3779b97f4a7c15u;
    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
    z = (z ^ z >> 27) * 0x94d049bb133111ebu;
    return n ? (size_t)((z ^ z >> 31) % n) : 0;
}

/* Numbers at which code breaks, and small ones: sizes around vectors and bytes, the ends of 32 and 64 bits, and what
 * overflows when it is doubled or counted in bytes. */
static int64_t interesting(mutation *m)
{
    static const int64_t numbers[] = {0,
                                      1,
                                      2,
                                      3,
                                      4,
                                      5,
                                      7,
                                      8,
                                      16,
                                      17,
                                      64,
                                      255,
                                      256,
                                      65536,
                                      INT32_MAX,
                                      (int64_t)INT32_MAX + 1,
                                      -1,
                                      -2,
                                      -3,
                                      INT32_MIN,
                                      INT64_MAX,
                                      INT64_MIN,
                                      INT64_MIN + 1,
                                      INT64_MAX / 2,
                                      1LL << 40};
    const size_t i = below(m, sizeof numbers / sizeof *numbers + 8);
    return i < sizeof numbers / sizeof *numbers ? numbers[i] : (int64_t)below(m, 6) - 1;
}

/* protobuf-c's allocator on the arena: nothing is freed by itself, all of it goes with the arena. */
static void *take(void *argument, size_t size_bytes) { return ingot_arena_alloc(argument, size_bytes + 16); }

/* The allocator's free(), which does nothing. */
static void keep(void *argument, void *pointer)
{
    (void)argument;
    (void)pointer;
}

/* A node of the main graph; NULL where there are none. */
static Onnx__NodeProto *any_node(mutation *m)
{
    return m->graph->n_node ? m->graph->node[below(m, m->graph->n_node)] : NULL;
}

/* The name of some value; "" where it has none. */
static char *any_value(mutation *m)
{
    const size_t kind = below(m, 3);
    const Onnx__NodeProto *node = any_node(m);
    char *name = NULL;
    if (kind == 0 && m->graph->n_input)
        name = m->graph->input[below(m, m->graph->n_input)]->name;
    else if (kind == 1 && m->graph->n_initializer)
        name = m->graph->initializer[below(m, m->graph->n_initializer)]->name;
    else if (node && node->n_output)
        name = node->output[below(m, node->n_output)];
    return name ? name : (char *)(uintptr_t) "";
}

/* Bytes changed by libFuzzer, up to 64 more. */
static void mutate_bytes(mutation *m, ProtobufCBinaryData *bytes)
{
    uint8_t *copy = ingot_arena_alloc(&m->arena, bytes->len + 64);
    FUZZ_CHECK(copy);
    if (bytes->len)
        memcpy(copy, bytes->data, bytes->len);
    bytes->len = LLVMFuzzerMutate(copy, bytes->len, bytes->len + 64);
    bytes->data = copy;
}

/* Another operator in the same place, of all that the engine knows: its inputs and attributes will rarely fit. */
static void change_op_type(mutation *m)
{
    Onnx__NodeProto *node = any_node(m);
    size_t n = 0;
    while (ingot_op_at(n))
        n++;
    if (node)
        node->op_type = (char *)(uintptr_t)ingot_op_at(below(m, n))->op_type;
}

/* Each value that an attribute has, or now and then its type, so that value and type disagree. */
static void change_attribute(mutation *m)
{
    const Onnx__NodeProto *node = any_node(m);
    if (!node || !node->n_attribute)
        return;
    Onnx__AttributeProto *a = node->attribute[below(m, node->n_attribute)];
    if (a->has_i)
        a->i = interesting(m);
    if (a->n_ints)
        a->ints[below(m, a->n_ints)] = interesting(m);
    if (a->n_ints && !below(m, 4))
        a->n_ints--;
    if (a->has_s)
        mutate_bytes(m, &a->s);
    if (a->has_f)
        a->f = (float)interesting(m) / 4;
    if (!below(m, 8))
        a->type = (Onnx__AttributeProto__AttributeType)below(m, 15);
}

/* One attribute more, of those that many operators share: a number, or a list of up to four. */
static void add_attribute(mutation *m)
{
    static const char *const numbers[] = {"axis",      "group",      "keepdims",    "to",
                                          "ceil_mode", "batch_dims", "num_outputs", "block_size",
                                          "exclusive", "reverse",    "transA",      "noop_with_empty_axes"};
    static const char *const lists[] = {"axes",         "pads", "strides",      "dilations",
                                        "kernel_shape", "perm", "output_shape", "output_padding"};
    Onnx__NodeProto *node = any_node(m);
    if (!node)
        return;
    const size_t n_numbers = sizeof numbers / sizeof *numbers, n_lists = sizeof lists / sizeof *lists;
    const size_t which = below(m, n_numbers + n_lists);
    Onnx__AttributeProto *a = ingot_arena_alloc(&m->arena, sizeof *a);
    Onnx__AttributeProto **all = ingot_arena_array(&m->arena, node->n_attribute + 1, sizeof *all);
    FUZZ_CHECK(a && all);
    onnx__attribute_proto__init(a);
    a->has_type = true;
    if (which < n_numbers) {
        a->name = (char *)(uintptr_t)numbers[which];
        a->type = ONNX__ATTRIBUTE_PROTO__ATTRIBUTE_TYPE__INT;
        a->has_i = true;
        a->i = interesting(m);
    } else {
        a->name = (char *)(uintptr_t)lists[which - n_numbers];
        a->type = ONNX__ATTRIBUTE_PROTO__ATTRIBUTE_TYPE__INTS;
        a->n_ints = below(m, 5);
        a->ints = ingot_arena_array(&m->arena, 4, sizeof *a->ints);
        FUZZ_CHECK(a->ints);
        for (size_t i = 0; i < a->n_ints; i++)
            a->ints[i] = below(m, 2) ? (int64_t)below(m, 4) : interesting(m);
    }
    if (node->n_attribute)
        memcpy(all, node->attribute, node->n_attribute * sizeof *all);
    all[node->n_attribute++] = a;
    node->attribute = all;
}

/* A node reads another value, or one less, or a graph's output is another value. */
static void change_wiring(mutation *m)
{
    Onnx__NodeProto *node = any_node(m);
    if (!node)
        return;
    if (node->n_input && below(m, 4))
        node->input[below(m, node->n_input)] = any_value(m);
    else if (node->n_input && below(m, 2))
        node->n_input--;
    else if (m->graph->n_output)
        m->graph->output[below(m, m->graph->n_output)]->name = any_value(m);
}

/* An initializer's shape, type or elements, each without the others. 8 bytes of raw data become one number, which
 * hits int64 shapes and axes best. */
static void change_tensor(mutation *m)
{
    if (!m->graph->n_initializer)
        return;
    Onnx__TensorProto *t = m->graph->initializer[below(m, m->graph->n_initializer)];
    const size_t what = below(m, 6);
    if (what == 0 && t->n_dims)
        t->dims[below(m, t->n_dims)] = interesting(m);
    else if (what == 1 && t->n_dims)
        t->n_dims--;
    else if (what == 2)
        t->data_type = (int32_t)below(m, INGOT_N_DTYPES + 1);
    else if (t->n_int64_data)
        t->int64_data[below(m, t->n_int64_data)] = interesting(m);
    else if (t->raw_data.len >= 8) {
        const int64_t number = interesting(m);
        memcpy(t->raw_data.data + below(m, t->raw_data.len / 8) * 8, &number, 8);
    } else if (t->has_raw_data)
        mutate_bytes(m, &t->raw_data);
}

/* A graph input's element type, one of its sizes, or its rank. */
static void change_input(mutation *m)
{
    if (!m->graph->n_input)
        return;
    const Onnx__ValueInfoProto *input = m->graph->input[below(m, m->graph->n_input)];
    if (!input->type || input->type->value_case != ONNX__TYPE_PROTO__VALUE_TENSOR_TYPE)
        return;
    Onnx__TypeProto__Tensor *tensor = input->type->tensor_type;
    if (!below(m, 4))
        tensor->elem_type = (int32_t)below(m, INGOT_N_DTYPES);
    if (!tensor->shape || !tensor->shape->n_dim)
        return;
    Onnx__TensorShapeProto__Dimension *dim = tensor->shape->dim[below(m, tensor->shape->n_dim)];
    if (dim->value_case == ONNX__TENSOR_SHAPE_PROTO__DIMENSION__VALUE_DIM_VALUE)
        dim->dim_value = below(m, 3) ? (int64_t)below(m, 9) : interesting(m);
    if (!below(m, 8))
        tensor->shape->n_dim--;
}

/* A node twice in a row, reading what the first gave, or one node less. */
static void change_nodes(mutation *m)
{
    Onnx__GraphProto *graph = m->graph;
    if (!graph->n_node)
        return;
    /* one time of three a node goes; its readers find nothing then */
    const size_t at = below(m, graph->n_node);
    if (!below(m, 3)) {
        memmove(&graph->node[at], &graph->node[at + 1], (--graph->n_node - at) * sizeof *graph->node);
        return;
    }
    /* else a copy of it at the end of the list */
    Onnx__NodeProto **nodes = ingot_arena_array(&m->arena, graph->n_node + 1, sizeof *nodes);
    Onnx__NodeProto *copy = ingot_arena_copy(&m->arena, graph->node[at], sizeof *copy);
    FUZZ_CHECK(nodes && copy);
    memcpy(nodes, graph->node, graph->n_node * sizeof *nodes);
    nodes[graph->n_node++] = copy;
    graph->node = nodes;
    if (!copy->n_output || !copy->n_input)
        return;
    /* new names for its outputs, and one of its inputs is what the first gave */
    char **names = ingot_arena_array(&m->arena, copy->n_output + copy->n_input, sizeof *names);
    FUZZ_CHECK(names);
    memcpy(names + copy->n_output, copy->input, copy->n_input * sizeof *names);
    names[copy->n_output + below(m, copy->n_input)] = copy->output[0];
    for (size_t i = 0; i < copy->n_output; i++) {
        const char name[] = {'m', (char)('a' + below(m, 26)), (char)('a' + below(m, 26)), (char)('a' + below(m, 26))};
        names[i] = ingot_arena_string(&m->arena, name, sizeof name);
    }
    copy->output = names;
    copy->input = names + copy->n_output;
    if (graph->n_output && below(m, 2))
        graph->output[below(m, graph->n_output)]->name = names[0];
}

/* Any version up to one beyond the newest: old ones take the way through the upgrades. */
static void change_opset(mutation *m)
{
    if (m->model->n_opset_import)
        m->model->opset_import[below(m, m->model->n_opset_import)]->version = (int64_t)below(m, INGOT_NEWEST_OPSET + 2);
}

/* The message, where it can be unpacked and has a graph: how deep it nests is checked first, as protobuf-c recurses,
 * by the reader's own check. */
static bool unpack(mutation *m, ProtobufCAllocator *allocator, const uint8_t *data, size_t size)
{
    uint8_t *slim;
    size_t slim_bytes;
    const ingot_content content = {.data = data, .size_bytes = size};
    if (ingot_wire_slim(&onnx__model_proto__descriptor, &content, m->arena.memory, &slim, &slim_bytes, NULL))
        return false;
    ingot_release(m->arena.memory, slim);
    m->model = onnx__model_proto__unpack(allocator, size, data);
    m->graph = m->model ? m->model->graph : NULL;
    return m->graph != NULL;
}

/* One to three changes of a model that can be unpacked; the result must fit max_size. What is no model, or gets too
 * long, is left to libFuzzer. */
size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t size, size_t max_size, unsigned seed)
{
    static void (*const changes[])(mutation *) = {change_op_type, change_attribute, change_wiring, change_tensor,
                                                  change_input,   change_nodes,     change_opset,  add_attribute};
    ingot_memory memory = {.limit_bytes = 256 << 20};
    mutation m = {.state = seed, .arena = {.memory = &memory}};
    ProtobufCAllocator allocator = {take, keep, &m.arena};
    size_t result = 0;
    if (below(&m, 4) && size <= 1 << 16 && unpack(&m, &allocator, data, size)) {
        /* changes of the unpacked message, then packed again */
        for (size_t i = 1 + below(&m, 3); i; i--)
            changes[below(&m, sizeof changes / sizeof *changes)](&m);
        const size_t packed = onnx__model_proto__get_packed_size(m.model);
        if (packed <= max_size)
            result = onnx__model_proto__pack(m.model, data);
    }
    ingot_arena_free(&m.arena);
    return result ? result : LLVMFuzzerMutate(data, size, max_size);
}
