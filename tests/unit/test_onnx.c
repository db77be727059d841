/* test_onnx.c - the reader on a model that has everything (a function, subgraphs, sparse and typed data): read and
 * written again; cut at every byte, with every bit changed, and with memory running out at every allocation. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "onnx/onnx.h"
#include "onnx/writer.h"

/* ---- serialized protobuf, written by hand ---- */

/* A message under construction. It has a fixed size so that tests can hand messages around by value, and need no
 * cleanup when an assertion fails. */
typedef struct text {
    unsigned char bytes[4096];
    size_t n;
} text;

/* Append bytes; a message that outgrows its fixed size is a mistake of this file. */
static void put(text *t, const void *bytes, size_t n)
{
    assert_true(t->n + n <= sizeof t->bytes);
    memcpy(t->bytes + t->n, bytes, n);
    t->n += n;
}

/* Protobuf's numbers: seven bits a byte, the lowest first, the top bit set while more follow. */
static void put_varint(text *t, uint64_t value)
{
    for (; value > 127; value >>= 7)
        put(t, &(unsigned char){(unsigned char)(value | 128)}, 1);
    put(t, &(unsigned char){(unsigned char)value}, 1);
}

/* A field that is a number (wire type 0). */
static void put_int(text *t, unsigned field, uint64_t value)
{
    put_varint(t, field << 3);
    put_varint(t, value);
}

/* A field with a length (wire type 2): a string, bytes, packed numbers or a message. */
static void put_bytes(text *t, unsigned field, const void *bytes, size_t n)
{
    put_varint(t, field << 3 | 2);
    put_varint(t, n);
    put(t, bytes, n);
}

/* A field that is text. */
static void put_string(text *t, unsigned field, const char *string) { put_bytes(t, field, string, strlen(string)); }

/* A message within a message. */
static void put_text(text *t, unsigned field, const text *content) { put_bytes(t, field, content->bytes, content->n); }

/* Field numbers of onnx.proto. */
enum { NODE_INPUT = 1, NODE_OUTPUT = 2, NODE_OP_TYPE = 4, NODE_ATTRIBUTE = 5, NODE_DOMAIN = 7 };
enum { GRAPH_NODE = 1, GRAPH_NAME = 2, GRAPH_INITIALIZER = 5, GRAPH_INPUT = 11, GRAPH_OUTPUT = 12, GRAPH_SPARSE = 15 };
enum { ATTRIBUTE_NAME = 1, ATTRIBUTE_I = 3, ATTRIBUTE_G = 6, ATTRIBUTE_TYPE = 20, ATTRIBUTE_REF = 21 };
enum { TENSOR_DIMS = 1, TENSOR_TYPE = 2, TENSOR_FLOATS = 4, TENSOR_INT64S = 7, TENSOR_NAME = 8, TENSOR_RAW = 9 };

/* An operator with up to two inputs, given by one letter each, and one output. */
static text node(const char *op_type, const char *inputs, const char *output)
{
    text t = {{0}, 0};
    for (; *inputs; inputs++)
        put_bytes(&t, NODE_INPUT, inputs, 1);
    put_string(&t, NODE_OUTPUT, output);
    put_string(&t, NODE_OP_TYPE, op_type);
    return t;
}

/* A value of type float[N]: shape within tensor type within type, each a message of its own. N is a name, not a
 * number. */
static text value_info(const char *name)
{
    text t = {{0}, 0}, type = {{0}, 0}, tensor = {{0}, 0}, shape = {{0}, 0}, dim = {{0}, 0};
    put_string(&dim, 2, "N");
    put_text(&shape, 1, &dim);
    put_int(&tensor, 1, INGOT_FLOAT);
    put_text(&tensor, 2, &shape);
    put_text(&type, 1, &tensor);
    put_string(&t, 1, name);
    put_text(&t, 2, &type);
    return t;
}

/* One node that reads x of the graph around. */
static text branch(const char *op_type, const char *output)
{
    text t = {{0}, 0};
    const text inner = node(op_type, "x", output), info = value_info(output);
    put_text(&t, GRAPH_NODE, &inner);
    put_string(&t, GRAPH_NAME, "branch");
    put_text(&t, GRAPH_OUTPUT, &info);
    return t;
}

/* An attribute whose value is a graph, as the branches of If are, added to a node. */
static void put_graph_attribute(text *t, const char *name, const text *graph)
{
    text attribute = {{0}, 0};
    put_string(&attribute, ATTRIBUTE_NAME, name);
    put_text(&attribute, ATTRIBUTE_G, graph);
    put_int(&attribute, ATTRIBUTE_TYPE, INGOT_ATTR_GRAPH);
    put_text(t, NODE_ATTRIBUTE, &attribute);
}

/* A tensor without elements so far: rank 1, or rank 0 where n is negative. */
static text tensor(const char *name, ingot_dtype dtype, int64_t n)
{
    text t = {{0}, 0};
    if (n >= 0)
        put_int(&t, TENSOR_DIMS, (uint64_t)n);
    put_int(&t, TENSOR_TYPE, dtype);
    put_string(&t, TENSOR_NAME, name);
    return t;
}

/* w: raw data, cut out by the skim; v: a typed field; c: a bool; s: sparse, with values at 1 and 5. */
static void put_constants(text *graph)
{
    const float floats[400] = {1, 2, 3};
    text raw = tensor("w", INGOT_FLOAT, 400), typed = tensor("v", INGOT_FLOAT, 1), flag = tensor("c", INGOT_BOOL, -1);
    text sparse = {{0}, 0}, values = tensor("s", INGOT_FLOAT, 2), indices = tensor("", INGOT_INT64, 2);
    put_bytes(&raw, TENSOR_RAW, floats, sizeof floats);
    put_bytes(&typed, TENSOR_FLOATS, floats, sizeof *floats);
    put_bytes(&flag, TENSOR_RAW, "\1", 1);
    put_bytes(&values, TENSOR_RAW, floats, 2 * sizeof *floats);
    put_bytes(&indices, TENSOR_INT64S, "\1\5", 2);
    put_text(&sparse, 1, &values);
    put_text(&sparse, 2, &indices);
    put_int(&sparse, 3, 400);
    put_text(graph, GRAPH_INITIALIZER, &raw);
    put_text(graph, GRAPH_INITIALIZER, &typed);
    put_text(graph, GRAPH_INITIALIZER, &flag);
    put_text(graph, GRAPH_SPARSE, &sparse);
}

/* An opset_import of a model or a function. */
static void put_opset(text *t, unsigned field, const char *domain, unsigned version)
{
    text opset = {{0}, 0};
    put_string(&opset, 1, domain);
    put_int(&opset, 2, version);
    put_text(t, field, &opset);
}

/* F(a) = Cast(a, to) in domain "local": the attribute has no value, but refers to the call's attribute "type", which
 * inlining must put in its place. */
static void put_function(text *model)
{
    text function = {{0}, 0}, cast = node("Cast", "a", "b"), to = {{0}, 0};
    put_string(&to, ATTRIBUTE_NAME, "to");
    put_string(&to, ATTRIBUTE_REF, "type");
    put_int(&to, ATTRIBUTE_TYPE, INGOT_ATTR_INT);
    put_text(&cast, NODE_ATTRIBUTE, &to);
    put_string(&function, 1, "F");
    put_string(&function, 4, "a");
    put_string(&function, 5, "b");
    put_string(&function, 6, "type");
    put_text(&function, 7, &cast);
    put_opset(&function, 9, "", 17);
    put_string(&function, 10, "local");
    put_text(model, 25, &function);
}

/* y = F(If(c, Relu(x), Neg(x)) + v + w + s), its nodes out of order: a call of a function with an attribute,
 * branches that read a value of the graph around them, and constants in each form that the format has. */
static text everything(void)
{
    /* the parts of the graph */
    text model = {{0}, 0}, graph = {{0}, 0}, call = node("F", "q", "y"), choose = node("If", "c", "p"), type = {{0}, 0};
    const text then_branch = branch("Relu", "r"), else_branch = branch("Neg", "n"), input = value_info("x"),
               output = value_info("y"), sum = node("Sum", "pvws", "q");
    put_string(&type, ATTRIBUTE_NAME, "type");
    put_int(&type, ATTRIBUTE_I, INGOT_FLOAT);
    put_int(&type, ATTRIBUTE_TYPE, INGOT_ATTR_INT);
    put_text(&call, NODE_ATTRIBUTE, &type);
    put_string(&call, NODE_DOMAIN, "local");
    put_graph_attribute(&choose, "then_branch", &then_branch);
    put_graph_attribute(&choose, "else_branch", &else_branch);
    /* the nodes, from the last to the first */
    put_text(&graph, GRAPH_NODE, &call);
    put_text(&graph, GRAPH_NODE, &sum);
    put_text(&graph, GRAPH_NODE, &choose);
    put_string(&graph, GRAPH_NAME, "everything");
    put_constants(&graph);
    put_text(&graph, GRAPH_INPUT, &input);
    put_text(&graph, GRAPH_OUTPUT, &output);
    /* the model around the graph: IR version 8, opset 17, and the domain of the function */
    put_int(&model, 1, 8);
    put_text(&model, 7, &graph);
    put_opset(&model, 8, "", 17);
    put_opset(&model, 8, "local", 1);
    put_function(&model);
    return model;
}

/* ---- tests ---- */

/* Whatever the bytes are: a model or one line, one of the statuses that a file can lead to, and no memory left over.
 * Returns that status; a limit may be set in `memory` before. */
static ingot_status try_open(const void *data, size_t n, ingot_memory *memory)
{
    ingot_error error = {0};
    ingot_onnx *onnx;
    const ingot_status status = ingot_onnx_open(NULL, data, n, NULL, memory, &onnx, &error);
    assert_true(status ? onnx == NULL && *error.message : onnx != NULL);
    assert_true(!status || status == INGOT_INVALID || status == INGOT_UNSUPPORTED || status == INGOT_LIMIT);
    ingot_onnx_close(onnx);
    assert_int_equal(memory->used_bytes, 0);
    return status;
}

/* Nodes in running order, the function inlined with its attribute, captures counted, the weights not copied, and the
 * sparse constant dense. */
static void test_everything_is_read(void **state)
{
    (void)state;
    const text model = everything();
    ingot_memory memory = {0};
    ingot_error error = {0};
    ingot_onnx *onnx;
    if (ingot_onnx_open(NULL, model.bytes, model.n, NULL, &memory, &onnx, &error))
        fail_msg("%s", error.message);
    const ingot_graph *graph = onnx->graph;
    assert_int_equal(graph->n_nodes, 3);
    assert_string_equal(graph->nodes[0]->op_type, "If");
    assert_string_equal(graph->nodes[1]->op_type, "Sum");
    assert_string_equal(graph->nodes[2]->op_type, "Cast");
    assert_int_equal(ingot_attr_int(graph->nodes[2], "to", 0), INGOT_FLOAT);
    assert_int_equal(graph->nodes[0]->n_captures, 2);
    /* w, v, c, and s as large as it is when dense */
    assert_int_equal(onnx->n_parameters, 400 + 1 + 1 + 400);
    const ingot_const *sparse = graph->values[ingot_graph_find_value(graph, "s")].constant;
    float dense[400];
    ingot_const_read(sparse, dense);
    /* the sparse constant, made dense when it is read */
    assert_true(dense[1] == 1 && dense[5] == 2 && dense[0] == 0 && dense[399] == 0);
    const ingot_const *raw = graph->values[ingot_graph_find_value(graph, "w")].constant;
    /* the weights are read where the caller has them */
    assert_true(!raw->file && (const unsigned char *)raw->source > model.bytes &&
                (const unsigned char *)raw->source < model.bytes + model.n);
    ingot_onnx_close(onnx);
    assert_int_equal(memory.used_bytes, 0);
}

/* A file may end anywhere, as a download that broke off does. */
static void test_every_cut(void **state)
{
    (void)state;
    const text model = everything();
    for (size_t n = 0; n < model.n; n++) {
        ingot_memory memory = {0};
        unsigned char *copy = malloc(n + 1); /* of its own, so that a sanitizer sees reads past its end */
        memcpy(copy, model.bytes, n);
        try_open(copy, n, &memory);
        free(copy);
    }
}

/* Most changes hit a length, a tag or a type: each must be noticed, or make another valid model. Nothing may be left
 * allocated, which try_open() sees to. */
static void test_every_bit(void **state)
{
    (void)state;
    text model = everything();
    for (size_t i = 0; i < model.n; i++)
        for (int bit = 0; bit < 8; bit++) {
            ingot_memory memory = {0};
            model.bytes[i] ^= (unsigned char)(1 << bit);
            try_open(model.bytes, model.n, &memory);
            model.bytes[i] ^= (unsigned char)(1 << bit);
        }
}

/* With a limit that grows by 64 bytes, each allocation in turn is the first that fails. It ends well at last, and
 * not within the first few limits. */
static void test_memory_runs_out(void **state)
{
    (void)state;
    const text model = everything();
    ingot_status status = INGOT_LIMIT;
    uint64_t limit = 64;
    for (; status == INGOT_LIMIT && limit < 1 << 24; limit += 64) {
        ingot_memory memory = {.limit_bytes = limit};
        status = try_open(model.bytes, model.n, &memory);
    }
    assert_int_equal(status, INGOT_OK);
    assert_true(limit > 4096);
}

/* Once as one file, once with external data: the same graph and the same elements come back, and the second file is
 * there only in the second case. */
static void test_written_and_read_again(void **state)
{
    (void)state;
    const text model = everything();
    char folder[] = "/tmp/ingot-onnx-XXXXXX", path[64], data_path[72];
    assert_non_null(mkdtemp(folder));
    snprintf(path, sizeof path, "%s/model.onnx", folder);
    snprintf(data_path, sizeof data_path, "%s.data", path);
    const size_t limits[] = {INT32_MAX, 100}; /* with 100 bytes the constants go to a file of their own */
    for (int i = 0; i < 2; i++) {
        ingot_memory memory = {0};
        ingot_error error = {0};
        ingot_onnx *onnx, *again;
        struct stat info;
        assert_int_equal(ingot_onnx_open(NULL, model.bytes, model.n, NULL, &memory, &onnx, &error), INGOT_OK);
        assert_int_equal(ingot_onnx_write_limited(onnx, onnx->graph, path, limits[i], &error), INGOT_OK);
        assert_int_equal(stat(data_path, &info), i ? 0 : -1);
        if (ingot_onnx_open(path, NULL, 0, NULL, &memory, &again, &error))
            fail_msg("%s", error.message);
        assert_int_equal(again->graph->n_nodes, 3);
        assert_int_equal(again->n_parameters, onnx->n_parameters);
        float first[400], second[400];
        ingot_const_read(onnx->graph->values[ingot_graph_find_value(onnx->graph, "w")].constant, first);
        ingot_const_read(again->graph->values[ingot_graph_find_value(again->graph, "w")].constant, second);
        assert_memory_equal(first, second, sizeof first);
        ingot_onnx_close(onnx);
        ingot_onnx_close(again);
        assert_int_equal(memory.used_bytes, 0);
    }
    unlink(path);
    unlink(data_path);
    assert_int_equal(rmdir(folder), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_everything_is_read),    cmocka_unit_test(test_every_cut),
        cmocka_unit_test(test_every_bit),             cmocka_unit_test(test_memory_runs_out),
        cmocka_unit_test(test_written_and_read_again),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
