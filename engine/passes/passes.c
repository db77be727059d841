/* passes.c - the passes in their order, and the loop that runs them. Rows that are marked `repeated` simplify for each
 * other: neighbours among them run again until a round changes nothing. Each pass runs over the main graph and then
 * over every subgraph; a graph is sorted again after each pass, so that a pass finds nodes in running order. */
#include "engine/passes/pass.h"

#include <stdio.h>
#include <string.h>

#include "engine/core/team.h"
#include "engine/passes/rewrite.h"
#include "engine/passes/shapes.h"
#include "ops/microsoft.h"
#include "ops/op.h"
#include "ops/upgrade.h"

/* The order matters: integers before weights are folded to floats; simplifying before patterns are looked for, and
 * those before Casts come between their nodes; rows that nobody reads go while operators are apart; what adds to
 * constants (scale-shift, batch-normalization) before what fuses nodes into hosts, since folding stops at a fused node;
 * dead code at the end. */
static const struct row {
    const char *name;
    ingot_pass_fn *run;
    bool repeated;
} rows[] = {
    {"use-integers", ingot_use_integers, false},
    {"eliminate-identity", ingot_eliminate_identity, true},
    {"fold-constants", ingot_fold_constants, true},
    {"common-subexpressions", ingot_common_subexpressions, true},
    {"eliminate-transpose", ingot_eliminate_transpose, true},
    {"fuse-dynamic-quantize", ingot_fuse_dynamic_quantize, false},
    {"recognize", ingot_recognize, false},
    {"use-floats", ingot_use_floats, false},
    {"pick-early", ingot_pick_early, false},
    {"fuse-matmul-add", ingot_fuse_matmul_add, true},
    {"fold-scale-shift", ingot_fold_scale_shift, true},
    {"fold-batch-normalization", ingot_fold_batch_normalization, true},
    {"merge-parallel", ingot_merge_parallel, true},
    {"fuse-pad", ingot_fuse_pad, false},
    {"fuse-conv-add", ingot_fuse_conv_add, false},
    {"fuse-activation", ingot_fuse_activation, false},
    {"dead-code", ingot_dead_code, false},
};

/* MAX_ROUNDS ends what should end by itself: a pair of passes that undo each other must not hang. */
enum { N_ROWS = sizeof rows / sizeof *rows, MAX_ROUNDS = 8 };

/* The text is static. */
const char *ingot_pass_name(size_t index) { return index < N_ROWS ? rows[index].name : NULL; }

/* Notes past INGOT_PASS_NOTES are counted alone; a long one is cut. The node is named by its operator where it has no
 * name. */
void ingot_pass_kept(ingot_pass_ctx *c, const ingot_node *node, const char *format, ...)
{
    if (c->n_kept < INGOT_PASS_NOTES) {
        char *note = c->notes[c->n_kept];
        const size_t size = sizeof c->notes[0];
        const int length = snprintf(note, size, "'%.60s': ", *node->name ? node->name : node->op_type);
        va_list arguments;
        va_start(arguments, format);
        vsnprintf(note + length, size - (size_t)length, format, arguments);
        va_end(arguments);
    }
    c->n_kept++;
}

/* The one text for it, and the status to return. */
ingot_status ingot_pass_out_of_memory(ingot_pass_ctx *c)
{
    return ingot_out_of_memory(c->error);
}

/* The list of shapes is freed in either case. */
ingot_status ingot_with_shapes(ingot_pass_ctx *c, ingot_status (*work)(ingot_pass_ctx *c, const ingot_shapes *shapes))
{
    ingot_shapes shapes;
    const ingot_status status =
        ingot_shapes_infer(&shapes, c->graph, c->is_main) ? work(c, &shapes) : ingot_pass_out_of_memory(c);
    ingot_shapes_free(&shapes);
    return status;
}

/* A name that was misspelled must not pass for one that was switched off. INGOT_USAGE with the name. */
static ingot_status check_names(const ingot_pass_options *options, ingot_error *error)
{
    for (const char *const *name = options->disabled; name && *name; name++) {
        bool known = !strcmp(*name, "all");
        for (int i = 0; i < N_ROWS; i++)
            known |= !strcmp(*name, rows[i].name);
        if (!known)
            return ingot_fail(error, INGOT_USAGE, "there is no pass '%s'", *name);
    }
    return INGOT_OK;
}

/* Names are known by now, see check_names(). */
static bool is_disabled(const ingot_pass_options *options, const char *pass)
{
    for (const char *const *name = options->disabled; name && *name; name++)
        if (!strcmp(*name, pass) || !strcmp(*name, "all"))
            return true;
    return false;
}

/* Counts the runs, and ends them where the options say so. For finding the pass that breaks a model: run 1, 2, 3... of
 * them and compare the results. */
static bool may_run(const ingot_pass_options *options, const char *name, size_t *n_runs)
{
    if (options->most_runs && *n_runs == options->most_runs)
        return false;
    ++*n_runs;
    if (options->ran)
        options->ran(options->sink, name);
    return true;
}

/* "name: 52 of 53; kept 'bn7': its input feeds 2 nodes". line[] has room for every note and what is put between
 * them. */
static void report(const ingot_pass_ctx *c, const char *name)
{
    char line[256 + INGOT_PASS_NOTES * sizeof c->notes[0]];
    int length = snprintf(line, sizeof line, "%s: %d of %d", name, c->n_done, c->n_done + c->n_kept);
    for (int i = 0; i < c->n_kept && i < INGOT_PASS_NOTES; i++)
        length += snprintf(line + length, sizeof line - (size_t)length, "; kept %s", c->notes[i]);
    if (c->n_kept > INGOT_PASS_NOTES)
        snprintf(line + length, sizeof line - (size_t)length, "; and %d more", c->n_kept - INGOT_PASS_NOTES);
    if (c->options->report)
        c->options->report(c->options->sink, line);
}

/* Run one pass over all graphs. *changed becomes true when it did something. n_kept is reset, as the newest run tells
 * what stays; n_done adds up. A pass may add nodes at the end of the list, so graphs that changed are sorted. The list
 * of graphs is made anew for each pass, since a pass can drop nodes that hold subgraphs. */
static ingot_status run_pass(ingot_graph *graph, const struct row *row, ingot_pass_ctx *c, bool *changed)
{
    int n_graphs;
    ingot_graph **graphs = ingot_all_graphs(graph, &n_graphs);
    const int done = c->n_done;
    ingot_status status = graphs ? INGOT_OK : ingot_pass_out_of_memory(c);
    c->n_kept = 0;
    for (int g = 0; !status && g < n_graphs; g++) {
        const int before = c->n_done;
        c->graph = graphs[g];
        c->is_main = g == 0;
        if (c->options->deadline_ns && ingot_now_ns() > c->options->deadline_ns)
            status = ingot_fail(c->error, INGOT_CANCELLED, "loading was cancelled: its time is up (--timeout)");
        else
            status = row->run(c);
        if (!status && c->n_done != before)
            status = ingot_graph_sort(graphs[g], c->error);
    }
    ingot_release(graph->arena->memory, graphs);
    *changed |= c->n_done != done;
    return status;
}

/* What nobody reads goes first, with passes and without: whether it could run must not depend on them. Parents come
 * before their subgraphs in the list, so that a node which goes is looked at no more. */
static ingot_status drop_unused(ingot_graph *graph, ingot_error *error)
{
    static const ingot_pass_options none = {0};
    static const struct row row = {"unused", ingot_dead_code, false};
    ingot_pass_ctx c = {.options = &none, .error = error};
    bool changed = false;
    return run_pass(graph, &row, &c, &changed);
}

/* The inputs of each node whose operator is Ingot's own: passes take nodes out that would be refused for them. */
static ingot_status check_inputs(const ingot_graph *graph, ingot_error *error)
{
    ingot_status status = INGOT_OK;
    for (int i = 0; i < graph->n_nodes && !status; i++) {
        const ingot_node *node = graph->nodes[i];
        bool known;
        const ingot_op *op = ingot_op_find(node->domain, node->op_type, node->version, &known);
        status = op ? ingot_op_check_inputs(op, node, error) : INGOT_OK;
    }
    return status;
}

/* Subgraphs first appear in the list behind their parents; the order does not matter here. Microsoft's operators that
 * are standard ones under another name go first, so that ingot_upgrade() finds standard forms only. */
ingot_status ingot_passes_upgrade(ingot_graph *graph, const char *producer, ingot_error *error)
{
    int n_graphs = 0, n_upgraded = 0;
    ingot_status status = drop_unused(graph, error);
    ingot_graph **graphs = status ? NULL : ingot_all_graphs(graph, &n_graphs);
    if (!status && !graphs)
        status = ingot_out_of_memory(error);
    for (int g = 0; !status && g < n_graphs; g++) {
        status = ingot_microsoft_rewrite(graphs[g], &n_upgraded, error);
        if (!status)
            status = ingot_upgrade(graphs[g], producer, &n_upgraded, error);
        if (!status)
            status = ingot_graph_sort(graphs[g], error);
        if (!status)
            status = check_inputs(graphs[g], error);
    }
    ingot_release(graph->arena->memory, graphs);
    /* a form may have read more than the one it became */
    return !status && n_upgraded ? drop_unused(graph, error) : status;
}

/* See ingot_pass_options. The order of the inputs that stay is kept. */
static void fix_defaults(ingot_graph *graph)
{
    int n = 0;
    for (int i = 0; i < graph->n_inputs; i++) {
        ingot_value *value = &graph->values[graph->inputs[i]];
        value->is_input = !value->constant;
        if (value->is_input)
            graph->inputs[n++] = graph->inputs[i];
    }
    graph->n_inputs = n;
}

/* A failure leaves a graph that can only be freed: passes do not undo themselves. */
ingot_status ingot_passes_run(ingot_graph *graph, const ingot_pass_options *options, ingot_error *error)
{
    static const ingot_pass_options defaults = {0};
    ingot_pass_ctx contexts[N_ROWS] = {{0}};
    options = options ? options : &defaults;
    ingot_status status = check_names(options, error);
    if (!status)
        status = ingot_passes_upgrade(graph, options->producer, error);
    if (options->fix_defaults)
        fix_defaults(graph);
    for (int i = 0; i < N_ROWS; i++)
        contexts[i] = (ingot_pass_ctx){.options = options, .error = error};

    static const struct row trial = {"try", ingot_try_nodes, false};
    ingot_pass_ctx tried = {.options = options, .error = error};
    bool changes = false;
    if (!status)
        status = run_pass(graph, &trial, &tried, &changes);
    size_t n_runs = 0;
    /* Blocks of rows: neighbours that are `repeated` go round together until nothing changes, any other row runs
     * once. */
    for (int first = 0, last; !status && !tried.refused && first < N_ROWS; first = last) {
        last = first + 1;
        while (rows[first].repeated && last < N_ROWS && rows[last].repeated)
            last++;
        bool changed = true;
        for (int round = 0; changed && round < (rows[first].repeated ? MAX_ROUNDS : 1); round++) {
            changed = false;
            for (int i = first; !status && i < last; i++)
                if (!is_disabled(options, rows[i].name) && may_run(options, rows[i].name, &n_runs))
                    status = run_pass(graph, &rows[i], &contexts[i], &changed);
        }
    }
    for (int i = 0; !status && i < N_ROWS; i++)
        if (!is_disabled(options, rows[i].name))
            report(&contexts[i], rows[i].name);
    return status;
}
