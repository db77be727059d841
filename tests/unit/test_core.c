/* test_core.c - memory, tensors, graphs and the team of threads. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "engine/core/graph.h"
#include "engine/core/region.h"
#include "engine/core/team.h"

/* An allocation beyond limit_bytes fails, and one that is released makes room again; blocks are aligned; a size that
 * wraps around when its header is added is refused. */
static void test_limit_is_kept(void **state)
{
    (void)state;
    ingot_memory memory = {.limit_bytes = 10000};
    /* two blocks that fit one after the other but not together */
    void *first = ingot_alloc(&memory, 4000);
    assert_non_null(first);
    assert_null(ingot_alloc(&memory, 8000));
    ingot_release(&memory, first);
    void *second = ingot_alloc(&memory, 8000);
    assert_non_null(second);
    assert_int_equal((uintptr_t)second % INGOT_ALIGNMENT, 0);
    ingot_release(&memory, second);
    assert_int_equal(memory.used_bytes, 0);
    assert_null(ingot_alloc(&memory, SIZE_MAX - 8));
}

/* A large block that was given back serves again where its size fits, and makes room where it does not: never more is
 * in use than without spares, and the limit is reached no sooner. */
static void test_spares(void **state)
{
    (void)state;
    const size_t mib = 1 << 20;
    ingot_memory memory = {.limit_bytes = 4 * mib};
    void *first = ingot_alloc_spare(&memory, mib);
    assert_non_null(first);
    const uint64_t one = memory.used_bytes;
    ingot_release_spare(&memory, first);
    assert_int_equal(memory.used_bytes, one);
    void *second = ingot_alloc_spare(&memory, mib - mib / 8);
    assert_ptr_equal(second, first);
    ingot_release_spare(&memory, second);
    /* too much would be wasted; then too small; then there is room for both */
    ingot_release_spare(&memory, ingot_alloc_spare(&memory, mib / 2));
    assert_in_range(memory.used_bytes, 0, one);
    void *large = ingot_alloc_spare(&memory, 2 * mib);
    assert_non_null(large);
    assert_in_range(memory.used_bytes, 2 * mib, 2 * mib + 128);
    void *small = ingot_alloc_spare(&memory, mib);
    ingot_release_spare(&memory, large);
    ingot_release_spare(&memory, small);
    assert_in_range(memory.used_bytes, 3 * mib, 3 * mib + 256);
    assert_ptr_equal(ingot_alloc_spare(&memory, 2 * mib), large);
    assert_ptr_equal(ingot_alloc_spare(&memory, mib), small);
    ingot_release_spare(&memory, large);
    ingot_release_spare(&memory, small);
    /* what is kept is given back for others */
    void *other = ingot_alloc(&memory, 3 * mib);
    assert_non_null(other);
    assert_in_range(memory.used_bytes, 3 * mib, 3 * mib + 128);
    ingot_release(&memory, other);
    ingot_release_spare(&memory, ingot_alloc_spare(&memory, mib));
    ingot_drop_spares(&memory);
    assert_int_equal(memory.used_bytes, 0);
    assert_false(memory.ran_out);
}

/* Pieces of all sizes below `end`, each zeroed, and large ones on a cache line. Filled after the look, so that a piece
 * that overlaps one before it would not be zeros. */
static void take_pieces(ingot_arena *arena, size_t end)
{
    for (size_t n = 0; n < end; n += 37) {
        char *piece = ingot_arena_alloc(arena, n);
        assert_non_null(piece);
        for (size_t i = 0; i < n; i++)
            assert_int_equal(piece[i], 0);
        memset(piece, 0xff, n);
        assert_int_equal((uintptr_t)piece % (n >= 1024 ? 64 : 16), 0);
    }
}

/* An arena that was reset hands out zeros again and keeps at most a chunk; the same whether there was none yet, one
 * of which little was used, many, or a large piece after them. */
static void test_arena_reset(void **state)
{
    (void)state;
    ingot_memory memory = {0};
    ingot_arena arena = {.memory = &memory};
    for (size_t end = 0; end < 6000; end += 500) {
        take_pieces(&arena, end);
        if (end % 1000 == 0)
            memset(ingot_arena_alloc(&arena, 100000), 0xff, 100000);
        ingot_arena_reset(&arena);
        assert_in_range(memory.used_bytes, 0, 70000);
        const uint64_t kept = memory.used_bytes;
        take_pieces(&arena, 500);
        assert_true(!kept || memory.used_bytes == kept);
    }
    ingot_arena_free(&arena);
    assert_int_equal(memory.used_bytes, 0);
}

/* Pieces across many chunks of the arena. A product of sizes that overflows is refused, and one call gives all of it
 * back. */
static void test_arena_pieces(void **state)
{
    (void)state;
    ingot_memory memory = {0};
    ingot_arena arena = {.memory = &memory};
    take_pieces(&arena, 5000);
    /* a count times a size that overflows */
    assert_null(ingot_arena_array(&arena, SIZE_MAX / 2, 3));
    ingot_arena_free(&arena);
    assert_int_equal(memory.used_bytes, 0);
}

/* All 65536 values of either 16-bit type survive the way through float and back; NaN stays a NaN. The table has
 * ties, which go to the even neighbour, the largest number that is still finite, and the ends of the denormal
 * numbers. */
static void test_half_and_bfloat(void **state)
{
    (void)state;
    for (uint32_t bits = 0; bits < 0x10000; bits++) {
        const float value = ingot_half_to_float((uint16_t)bits);
        const bool nan = (bits & 0x7fff) > 0x7c00;
        if (!nan)
            assert_int_equal(ingot_float_to_half(value), bits);
        else
            assert_true(value != value && (ingot_float_to_half(value) & 0x7fff) > 0x7c00);
        if (!((bits & 0x7fff) > 0x7f80))
            assert_int_equal(ingot_float_to_bfloat(ingot_bfloat_to_float((uint16_t)bits)), bits);
    }
    /* halfway cases, the largest finite number and the smallest denormal */
    static const struct { float value; uint16_t half; } ties[] = {
        {2049.0f, 0x6800}, {2051.0f, 0x6802}, {65519.0f, 0x7bff}, {65520.0f, 0x7c00}, {0x1p-25f, 0}, {0x1.8p-25f, 1},
    };
    for (size_t i = 0; i < sizeof ties / sizeof *ties; i++)
        assert_int_equal(ingot_float_to_half(ties[i].value), ties[i].half);
}

/* Shapes from a file: zero dimensions are fine, negative ones are not, nor are products that overflow, be it in
 * bytes alone or beside a zero that would hide it. */
static void test_sizes_are_checked(void **state)
{
    (void)state;
    static const struct { int64_t shape[3]; bool fine; } rows[] = {
        {{2, 3, 4}, true}, {{0, 1LL << 40, 1LL << 40}, false}, {{0, 3, 4}, true}, {{-1, 3, 4}, false},
        {{1LL << 31, 1LL << 31, 2}, false}, {{1LL << 62, 1, 1}, false},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        ingot_tensor t = {.dtype = INGOT_FLOAT, .rank = 3};
        memcpy(t.shape, rows[i].shape, sizeof rows[i].shape);
        assert_int_equal(ingot_checked_size(&t, NULL, NULL), rows[i].fine);
    }
}

/* a -> A -> b -> B -> c, built in the wrong order. With `cycle` node A reads c instead, so that neither node can be
 * the first. */
static ingot_graph *chain(ingot_arena *arena, bool cycle)
{
    ingot_graph *g = ingot_graph_create(arena, "chain");
    const int a = ingot_graph_add_value(g, "a"), b = ingot_graph_add_value(g, "b"), c = ingot_graph_add_value(g, "c");
    const int *first = cycle ? &c : &a;
    ingot_graph_add_input(g, a);
    ingot_graph_add_output(g, c);
    assert_non_null(ingot_graph_add_node(g, "B", "Neg", "", 13, &b, 1, &c, 1));
    assert_non_null(ingot_graph_add_node(g, "A", "Abs", "", 13, first, 1, &b, 1));
    return g;
}

/* Nodes come out in running order, and the links from a value to its producer and its users follow them. In a cycle
 * no order exists: that is an error of the model, and its line names a node. */
static void test_sorting(void **state)
{
    (void)state;
    ingot_memory memory = {0};
    ingot_arena arena = {.memory = &memory};
    ingot_error error;
    ingot_graph *g = chain(&arena, false);
    assert_int_equal(ingot_graph_sort(g, &error), INGOT_OK);
    assert_string_equal(g->nodes[0]->name, "A");
    assert_string_equal(g->nodes[1]->name, "B");
    assert_int_equal(g->values[ingot_graph_find_value(g, "b")].producer, 0);
    assert_int_equal(g->values[ingot_graph_find_value(g, "b")].uses->node, 1);
    /* the same nodes in a circle */
    assert_int_equal(ingot_graph_sort(chain(&arena, true), &error), INGOT_INVALID);
    assert_non_null(strstr(error.message, "node 'B'"));
    ingot_arena_free(&arena);
}

/* The worst order for a sort that looks for the next node from the beginning each time, or that calls itself for
 * what a node reads: 20000 nodes take no time and no stack. */
static void test_long_reversed_chain_sorts(void **state)
{
    (void)state;
    enum { N = 20000 };
    ingot_memory memory = {0};
    ingot_arena arena = {.memory = &memory};
    ingot_graph *g = ingot_graph_create(&arena, "long");
    for (int i = 0; i <= N; i++)
        ingot_graph_add_value(g, NULL);
    ingot_graph_add_input(g, 0);
    /* the last node first */
    for (int i = N - 1; i >= 0; i--)
        ingot_graph_add_node(g, "", "Neg", "", 13, &(int){i}, 1, &(int){i + 1}, 1);
    assert_int_equal(ingot_graph_sort(g, NULL), INGOT_OK);
    for (int i = 0; i < N; i++)
        assert_int_equal(g->nodes[i]->inputs[0], i);
    ingot_arena_free(&arena);
}

/* What passes do to a graph: an Add becomes part of the Conv before it, whose further inputs come behind its own;
 * then the Conv gets a bias, which moves those; then one of them is replaced. Use counts follow each time. */
static void test_fusing_and_replacing(void **state)
{
    (void)state;
    ingot_memory memory = {0};
    ingot_arena arena = {.memory = &memory};
    ingot_graph *g = ingot_graph_create(&arena, "fuse");
    int v[6];
    for (int i = 0; i < 6; i++)
        v[i] = ingot_graph_add_value(g, (char[]){(char)('a' + i), 0});
    /* c = Conv(a, b); e = Add(d, c): the chain enters at slot 1 */
    ingot_graph_add_node(g, "conv", "Conv", "", 11, v, 2, &v[2], 1);
    ingot_graph_add_node(g, "add", "Add", "", 14, (int[]){v[3], v[2]}, 2, &v[4], 1);
    ingot_graph_add_output(g, v[4]);
    /* one user, so the Add may go into the Conv, by its input 1 */
    assert_int_equal(ingot_graph_only_user(g, v[2]), 1);
    assert_true(ingot_graph_fuse(g, 0, 1, 1));
    assert_int_equal(ingot_graph_sort(g, NULL), INGOT_OK);
    assert_int_equal(g->n_nodes, 1);
    const ingot_node *host = g->nodes[0];
    /* the host's own inputs first, then the one that the Add brought along */
    assert_int_equal(host->n_inputs, 2);
    assert_int_equal(host->n_all_inputs, 3);
    assert_int_equal(host->inputs[2], v[3]);
    assert_int_equal(host->outputs[0], v[4]);
    assert_int_equal(host->fused[0].first_input, 2);
    assert_true(ingot_node_set_n_inputs(g, 0, 3)); /* a bias slot moves the fused inputs up */
    assert_int_equal(host->fused[0].first_input, 3);
    assert_int_equal(host->inputs[3], v[3]);
    /* another value in its place */
    assert_true(ingot_graph_replace(g, v[3], v[5]));
    assert_int_equal(host->inputs[3], v[5]);
    assert_int_equal(g->values[v[3]].n_uses, 0);
    assert_int_equal(g->values[v[5]].n_uses, 1);
    ingot_arena_free(&arena);
}

/* A constant that is scaled along an axis when it is read, from a place in the file that no float may be read at
 * directly; whole, and a range that begins in the middle of a row. */
static void test_lazy_constant(void **state)
{
    (void)state;
    char bytes[1 + 6 * sizeof(float)];
    const float values[6] = {1, 2, 3, 4, 5, 6};
    memcpy(bytes + 1, values, sizeof values); /* not aligned */
    const ingot_const constant = {.tensor = {.dtype = INGOT_FLOAT, .rank = 2, .shape = {2, 3}}, .source = bytes + 1,
                                  .scale = (double[]){0.5, 2, 10}, .scale_axis = 1};
    float got[6];
    assert_true(ingot_const_is_lazy(&constant));
    /* columns times 0.5, 2 and 10 */
    ingot_const_read(&constant, got);
    assert_memory_equal(got, ((float[]){0.5f, 4, 30, 2, 10, 60}), sizeof got);
    ingot_const_read_range(&constant, 2, 3, got);
    assert_memory_equal(got, ((float[]){30, 2, 10}), 3 * sizeof *got);
}

/* An error is one line, whatever the model's names hold: control characters and bytes that are no UTF-8 are escaped,
 * other letters stay, long text is cut, and a prefix still finds room. */
static void test_error_lines(void **state)
{
    (void)state;
    ingot_error error;
    char text[2000];
    memset(text, 'x', sizeof text);
    text[sizeof text - 1] = 0;
    assert_int_equal(ingot_fail(&error, INGOT_INVALID, "a\nb\x01 \xff caf\xc3\xa9 %s", text), INGOT_INVALID);
    assert_int_equal(strncmp(error.message, "a\\x0ab\\x01 \\xff caf\xc3\xa9 xxx", 24), 0);
    assert_true(strlen(error.message) < sizeof error.message);
    /* the prefix pushes the text on, and the line is still within its bounds */
    ingot_error_prefix(&error, "node '%s'", "n");
    assert_int_equal(strncmp(error.message, "node 'n': a", 11), 0);
}

/* ---- threads ---- */

/* Adds up 0 .. n-1 on a team: what the ranges gave, and how many there were. */
typedef struct sum_job {
    ingot_team *team;
    int64_t n;
    _Atomic int64_t total;
    _Atomic int n_calls;
} sum_job;

/* One range of the job, on whichever thread of the team it comes to. */
static void add_range(void *argument, int64_t begin, int64_t end, int thread)
{
    sum_job *job = argument;
    assert_true(thread >= 0 && thread < ingot_team_size(job->team));
    int64_t sum = 0;
    for (int64_t i = begin; i < end; i++)
        sum += i;
    atomic_fetch_add(&job->total, sum);
    atomic_fetch_add(&job->n_calls, 1);
}

/* Jobs follow each other at once, so that a thread that is late for one meets the next. */
static void many_jobs(void *argument)
{
    sum_job *job = argument;
    for (int round = 0; round < 2000; round++) {
        atomic_store(&job->total, 0);
        ingot_parallel(job->team, job->n, 7, add_range, job);
        assert_int_equal(job->total, job->n * (job->n - 1) / 2);
    }
}

/* Teams of 1 to 5 threads, more than many machines have, and ranges from none to many. */
static void test_team(void **state)
{
    (void)state;
    for (int threads = 1; threads <= 5; threads++) {
        ingot_team *team = ingot_team_create(threads);
        assert_non_null(team);
        assert_int_equal(ingot_team_size(team), ingot_region_most(threads));
        /* none, and numbers that the pieces of seven do not divide */
        for (int64_t n = 0; n < 200; n += 61) {
            sum_job job = {.team = team, .n = n};
            ingot_team_run(team, many_jobs, &job);
        }
        ingot_team_free(team);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_limit_is_kept),      cmocka_unit_test(test_arena_pieces),
        cmocka_unit_test(test_arena_reset),        cmocka_unit_test(test_spares),
        cmocka_unit_test(test_half_and_bfloat),    cmocka_unit_test(test_sizes_are_checked),
        cmocka_unit_test(test_sorting),            cmocka_unit_test(test_long_reversed_chain_sorts),
        cmocka_unit_test(test_fusing_and_replacing), cmocka_unit_test(test_lazy_constant),
        cmocka_unit_test(test_error_lines),        cmocka_unit_test(test_team),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
