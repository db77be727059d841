/* test_passes.c - the passes on a graph built by hand: what they report, that the constants are right to the last bit,
 * that names of passes are checked, and that memory running out anywhere ends in an error. What they make of a graph is
 * run by tests/python/test_passes.py. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "engine/passes/pass.h"
#include "engine/passes/rewrite.h"
#include "engine/passes/shapes.h"

/* A graph under construction with the memory that it lives in. */
typedef struct builder {
    ingot_memory memory;
    ingot_arena arena;
    ingot_graph *graph;
    bool failed; /* memory ran out while building */
} builder;

/* The value of this name, made where there is none yet. */
static int value(builder *b, const char *name)
{
    const int id = ingot_graph_find_value(b->graph, name);
    return id != INGOT_NONE ? id : ingot_graph_add_value(b->graph, name);
}

/* A float constant whose elements are 0.37, 0.74, ... times factor. */
static void constant(builder *b, const char *name, int rank, const int64_t *shape, float factor)
{
    float elements[2048];
    ingot_tensor t = {.dtype = INGOT_FLOAT, .rank = rank, .data = elements};
    memcpy(t.shape, shape, (size_t)rank * sizeof *shape);
    assert_true(ingot_count(&t) <= 2048);
    for (int i = 0; i < ingot_count(&t); i++)
        elements[i] = factor * 0.37f * (float)(i % 23 + 1);
    b->failed |= ingot_graph_add_constant(b->graph, name, &t) == INGOT_NONE;
}

/* An int64 constant of rank 1; the elements are not copied. */
static void ints(builder *b, const char *name, int n, const int64_t *elements)
{
    const ingot_tensor t = {.dtype = INGOT_INT64, .rank = 1, .shape = {n}, .data = (void *)elements};
    b->failed |= ingot_graph_add_constant(b->graph, name, &t) == INGOT_NONE;
}

/* "Conv c = x w b": one node with one output, of this operator version; "-" is an input that is left out. Values
 * come to be when they are named. NULL where memory ran out, which b->failed tells too. */
static ingot_node *add(builder *b, const char *text, int version)
{
    char line[128], *word, *rest;
    int inputs[8], n = 0;
    snprintf(line, sizeof line, "%s", text);
    const char *op_type = strtok_r(line, " ", &rest);
    const int output = value(b, strtok_r(NULL, " =", &rest));
    while ((word = strtok_r(NULL, " =", &rest)))
        inputs[n++] = strcmp(word, "-") ? value(b, word) : INGOT_NONE;
    ingot_node *node = ingot_graph_add_node(b->graph, op_type, op_type, "", version, inputs, n, &output, 1);
    b->failed |= !node;
    return node;
}

/* An empty graph whose input x is float (N, 4, 6, 6), N free. */
static void begin(builder *b)
{
    *b = (builder){0};
    b->arena.memory = &b->memory;
    b->graph = ingot_graph_create(&b->arena, "test");
    static int64_t shape[4] = {-1, 4, 6, 6};
    const int x = value(b, "x");
    b->graph->values[x].type = (ingot_type){.dtype = INGOT_FLOAT, .rank = 4, .shape = shape};
    ingot_graph_add_input(b->graph, x);
}

/* The four constants of a BatchNormalization, whose elements are 0.37 k times 1, 2, 3 and 4. */
static void normalization(builder *b, int64_t channels)
{
    static const char *const names[] = {"scale", "shift", "mean", "var"};
    for (int i = 0; i < 4; i++)
        constant(b, names[i], 1, &channels, 1.0f + (float)i);
}

/* Make `output` the graph's output, sort the nodes and run the passes. */
static ingot_status finish(builder *b, const char *output, const ingot_pass_options *options, ingot_error *error)
{
    ingot_graph_add_output(b->graph, value(b, output));
    const ingot_status status = ingot_graph_sort(b->graph, error);
    return status ? status : ingot_passes_run(b->graph, options, error);
}

/* A report's sink: keep the line on fold-batch-normalization, in 200 bytes. */
static void keep_line(void *sink, const char *line)
{
    char *text = sink;
    if (!strncmp(line, "fold-batch", 10))
        snprintf(text, 200, "%s", line);
}

/* The weights of the tests' convolutions: 4 to 4 channels, 3x3. */
static const int64_t w_shape[4] = {4, 4, 3, 3};

/* A normalization whose input another node reads as well cannot go into the Conv: the report says how many were
 * found, how many were folded, and why one was not. */
static void test_report(void **state)
{
    (void)state;
    builder b;
    ingot_error error = {0};
    char line[200] = "";
    begin(&b);
    constant(&b, "w", 4, w_shape, 1);
    normalization(&b, 4);
    add(&b, "Conv c = x w", 11);
    add(&b, "BatchNormalization n = c scale shift mean var", 15);
    /* a second reader of what the normalization would change */
    add(&b, "Abs y = c", 13);
    ingot_graph_add_output(b.graph, value(&b, "y"));
    assert_int_equal(finish(&b, "n", &(ingot_pass_options){.report = keep_line, .sink = line}, &error), INGOT_OK);
    assert_string_equal(line, "fold-batch-normalization: 0 of 1; kept 'BatchNormalization': its input feeds 2 nodes");
    ingot_arena_free(&b.arena);
}

/* Folding scales the weights in double from the float constants and rounds once at the end: the test computes the
 * same and wants equal floats. The weights' own elements are not copied, but scaled as they are read. */
static void test_constants_are_rounded_once(void **state)
{
    (void)state;
    builder b;
    ingot_error error = {0};
    begin(&b);
    constant(&b, "w", 4, w_shape, 1);
    constant(&b, "bias", 1, w_shape, 3);
    normalization(&b, 4);
    /* the elements, to see that no copy is made */
    const float *w = b.graph->values[value(&b, "w")].constant->source;
    add(&b, "Conv c = x w bias", 11);
    add(&b, "BatchNormalization n = c scale shift mean var", 15);
    assert_int_equal(finish(&b, "n", NULL, &error), INGOT_OK);
    assert_int_equal(b.graph->n_nodes, 1);
    const ingot_node *conv = b.graph->nodes[0];
    assert_int_equal(conv->outputs[0], value(&b, "n"));
    const ingot_const *weights = ingot_constant(b.graph, conv->inputs[1]),
                      *bias = ingot_constant(b.graph, conv->inputs[2]);
    assert_ptr_equal(weights->source, w); /* the elements are shared */
    float got[144], got_bias[4];
    ingot_const_read(weights, got);
    ingot_const_read(bias, got_bias);
    /* each channel's factor and shift by the definition of BatchNormalization, in double */
    for (int c = 0; c < 4; c++) {
        const double unit = (double)(0.37f * (float)(c + 1)), var = (double)(4 * 0.37f * (float)(c + 1));
        const double mean = (double)(3 * 0.37f * (float)(c + 1)), shift = (double)(2 * 0.37f * (float)(c + 1));
        const double scale = unit / __builtin_sqrt(var + (double)1e-5f);
        for (int i = 0; i < 36; i++)
            assert_true(got[c * 36 + i] == (float)((double)w[c * 36 + i] * scale));
        assert_true(got_bias[c] == (float)((shift - mean * scale) + mean * scale)); /* the bias equals the mean here */
    }
    ingot_arena_free(&b.arena);
}

/* Passes to leave out are given by name: "all", or that of one which may be left out. Any other name is wrong usage,
 * a part of a name included. */
static void test_names_are_checked(void **state)
{
    (void)state;
    static const struct {
        const char *name;
        ingot_status status;
    } rows[] = {
        {"all", INGOT_OK}, {"fuse-pad", INGOT_OK}, {"upgrade-opset", INGOT_USAGE},
        {"", INGOT_USAGE}, {"fuse", INGOT_USAGE},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        const char *const disabled[] = {rows[i].name, NULL};
        builder b;
        ingot_error error = {0};
        begin(&b);
        add(&b, "Abs y = x", 13);
        assert_int_equal(finish(&b, "y", &(ingot_pass_options){.disabled = disabled}, &error), rows[i].status);
        ingot_arena_free(&b.arena);
    }
    for (size_t i = 0; ingot_pass_name(i); i++)
        assert_true(*ingot_pass_name(i));
}

/* Sizes that nobody knows yet are still compared, by where they come from: two ways of the same strides from an
 * image of unknown size agree; other paddings do not. */
static void test_symbolic_shapes(void **state)
{
    (void)state;
    builder b;
    ingot_error error = {0};
    begin(&b);
    static int64_t shape[4] = {-1, 4, -1, -1};
    static const int64_t strides[2] = {2, 2}, pads[4] = {1, 1, 1, 1}, one[4] = {4, 4, 1, 1};
    b.graph->values[value(&b, "x")].type.shape = shape;
    constant(&b, "w", 4, w_shape, 1);
    constant(&b, "v", 4, one, 1);
    ingot_node *p = add(&b, "Conv p = x w", 11), *q = add(&b, "Conv q = x v", 11), *r = add(&b, "Conv r = x w", 11);
    assert_true(ingot_node_set_ints(b.graph, p, "strides", strides, 2) &&
                ingot_node_set_ints(b.graph, p, "pads", pads, 4));
    assert_true(ingot_node_set_ints(b.graph, q, "strides", strides, 2) &&
                ingot_node_set_ints(b.graph, r, "strides", strides, 2));
    assert_int_equal(ingot_graph_sort(b.graph, &error), INGOT_OK);
    ingot_shapes s;
    assert_true(ingot_shapes_infer(&s, b.graph, true));
    /* 3x3 with a border of one and 1x1 without, both by two; the third has no border */
    const ingot_shape *of_p = ingot_shape_of(&s, value(&b, "p"));
    assert_true(ingot_same_known_shape(of_p, ingot_shape_of(&s, value(&b, "q"))));
    assert_false(ingot_same_known_shape(of_p, ingot_shape_of(&s, value(&b, "r"))));
    assert_int_equal(of_p->dim[1], 4);
    ingot_shapes_free(&s);
    ingot_arena_free(&b.arena);
}

/* A graph on which every pass has something to do, some of it in an old form. Whether memory ran out on the way
 * shows in b->failed. */
static void build_everything(builder *b)
{
    static const int64_t k_shape[2] = {144, 8}, n_shape[1] = {8}, one[1] = {1}, turn[4] = {0, 2, 3, 1},
                         back[4] = {0, 3, 1, 2};
    static const int64_t pads[8] = {0, 0, 1, 1, 0, 0, 1, 1};
    begin(b);
    constant(b, "w", 4, w_shape, 1);
    constant(b, "w2", 2, k_shape, 0.1f);
    constant(b, "row", 1, n_shape, 1);
    constant(b, "two", 1, one, 2);
    constant(b, "factor", 1, one, 3);
    ints(b, "pads", 8, pads);
    normalization(b, 4);
    /* to be dropped, and a padding for the Conv behind it */
    add(b, "Identity i = x", 13);
    add(b, "Pad p = i pads", 13);
    add(b, "Conv c = p w", 11);
    /* a scale and a normalization to fold into the Conv, and a sum behind it */
    add(b, "Mul m = c factor", 13);
    add(b, "BatchNormalization n = m scale shift mean var", 8);
    add(b, "Add a = n x", 6);
    /* an activation to recognize, and two Transposes that undo each other */
    add(b, "Sigmoid s = a", 13);
    add(b, "Mul silu = s a", 13);
    ingot_node *t = add(b, "Transpose t = silu", 13), *u = add(b, "Transpose u = t", 13);
    b->failed |= !t || !u || !ingot_node_set_ints(b->graph, t, "perm", turn, 4) ||
                 !ingot_node_set_ints(b->graph, u, "perm", back, 4);
    ingot_node *clip = add(b, "Clip l = u", 6);
    b->failed |= !clip || !ingot_node_set_float(b->graph, clip, "max", 6);
    add(b, "Softmax f = l", 11);
    /* a product with a bias, and two equal nodes */
    add(b, "Flatten g = f", 13);
    add(b, "MatMul mm = g w2", 13);
    add(b, "Add mr = mm row", 13);
    add(b, "Exp e1 = mr", 13);
    add(b, "Exp e2 = mr", 13);
    add(b, "Sub y = e1 e2", 13);
}

/* Each allocation of the arena or beside it fails in turn: by what is left of the arena's chunk, and by the limit.
 * It ends with a status and a line, or well; nothing stays allocated. Both must have happened often enough to mean
 * something. */
static void test_out_of_memory(void **state)
{
    (void)state;
    int n_failed = 0, n_done = 0;
    for (int round = 0; round < 700; round++) {
        builder b;
        ingot_error error = {0};
        build_everything(&b);
        assert_false(b.failed);
        if (round < 600) { /* nothing but the first `round` pieces of the chunk's rest */
            while (b.arena.free_bytes > (size_t)round * 96)
                assert_non_null(ingot_arena_alloc(&b.arena, 32));
            b.memory.limit_bytes = b.memory.used_bytes + (16 << 10);
        } else {
            b.memory.limit_bytes = b.memory.used_bytes + (uint64_t)(round - 600) * 512;
        }
        const ingot_status status = finish(&b, "y", NULL, &error);
        assert_true(status == INGOT_OK || status == INGOT_LIMIT);
        assert_true(status == INGOT_OK || *error.message);
        n_failed += status != INGOT_OK;
        n_done += status == INGOT_OK;
        ingot_arena_free(&b.arena);
        assert_int_equal(b.memory.used_bytes, 0);
    }
    assert_true(n_failed > 50 && n_done > 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_report),
        cmocka_unit_test(test_constants_are_rounded_once),
        cmocka_unit_test(test_names_are_checked),
        cmocka_unit_test(test_symbolic_shapes),
        cmocka_unit_test(test_out_of_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
