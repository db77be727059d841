/* pass.h - rewriting a graph before it is planned. What the engine calls is ingot_passes_run(); the rest is for the
 * passes themselves. To add a pass: write its file, declare it at the end of this header and give it a row in passes.c.
 *
 * A pass leaves a valid graph in running order that the writer can save and any other ONNX runtime can run: fused nodes
 * come out again as the nodes they were. */
#ifndef INGOT_PASSES_PASS_H
#define INGOT_PASSES_PASS_H

#include "engine/core/graph.h"

typedef struct ingot_pass_options {
    const char *const *disabled; /* names of passes to leave out, NULL-terminated; "all" for every one; NULL: none */

    /* Inputs with a default count as constants and are inputs no more. For files of IR version 3 and older, where every
     * initializer had to be listed as an input and runtimes hold them for constants. */
    bool fix_defaults;

    const char *producer; /* that the file names, or NULL: see ingot_upgrade() */

    /* Run node number `node`, whose inputs are all constants, and set values[outputs[i]].constant for every output that
     * is not INGOT_NONE (the pass takes the node out then). Any failure leaves graph and node as they were. NULL:
     * constants are not folded. */
    ingot_status (*evaluate)(void *engine, ingot_graph *graph, int node, ingot_error *error);
    void *engine;

    uint64_t deadline_ns; /* of the monotonic clock, after which a pass more ends in INGOT_CANCELLED; 0: none */

    /* Stop after so many runs of passes; 0: no limit. `ran` (or NULL) is told of each run. */
    size_t most_runs;
    void (*ran)(void *sink, const char *name);

    /* Receives one line per pass, such as "fold-batch-normalization: 53 of 53". The text is valid during the call.
     * NULL: no reports. */
    void (*report)(void *sink, const char *line);
    void *sink;
} ingot_pass_options;

/* Run every pass that is not disabled over the graph and its subgraphs. options may be NULL. The graph must be sorted,
 * and stays so; node indices change. Nodes of the default domain have the newest form of their operator afterwards,
 * whatever is disabled: the version to write is the largest node->version. Returns INGOT_OK; INGOT_USAGE for an unknown
 * name in `disabled`; INGOT_INVALID or INGOT_UNSUPPORTED for an old node that cannot be brought up to date (the line
 * names it); INGOT_LIMIT when memory is out. */
ingot_status ingot_passes_run(ingot_graph *graph, const ingot_pass_options *options, ingot_error *error);

/* Only the part that cannot be switched off: bring old forms up to date. For models loaded without passes. For producer
 * see ingot_upgrade(). */
ingot_status ingot_passes_upgrade(ingot_graph *graph, const char *producer, ingot_error *error);

/* --- for the passes --- */

enum { INGOT_PASS_NOTES = 6 }; /* reasons told in a report; further ones are counted */

typedef struct ingot_pass_ctx {
    ingot_graph *graph; /* the main graph and each subgraph in turn */
    bool is_main;       /* the main graph, whose declared inputs every run checks */
    const ingot_pass_options *options;
    ingot_error *error;
    int n_done; /* rewrites made, in all runs of the pass */
    int n_kept; /* places where it could not, in the newest run */
    bool refused; /* see ingot_try_nodes() */
    char notes[INGOT_PASS_NOTES][160];
} ingot_pass_ctx;

/* Returns INGOT_OK, or INGOT_LIMIT when memory is out; "cannot do it here" is no failure. */
typedef ingot_status ingot_pass_fn(ingot_pass_ctx *c);

/* Count a place that stays as it is, and why: "its input feeds 2 nodes". */
void ingot_pass_kept(ingot_pass_ctx *c, const ingot_node *node, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

ingot_status ingot_pass_out_of_memory(ingot_pass_ctx *c);

/* Do `work` with what is known of the graph's shapes now; what it changes changes nothing there. */
struct ingot_shapes;
ingot_status ingot_with_shapes(ingot_pass_ctx *c,
                               ingot_status (*work)(ingot_pass_ctx *c, const struct ingot_shapes *shapes));

ingot_pass_fn ingot_common_subexpressions, ingot_dead_code, ingot_eliminate_identity, ingot_eliminate_transpose,
    ingot_fold_batch_normalization, ingot_fold_constants, ingot_fold_scale_shift, ingot_fuse_activation,
    ingot_fuse_conv_add, ingot_fuse_dynamic_quantize, ingot_fuse_matmul_add, ingot_fuse_pad, ingot_merge_parallel,
    ingot_pick_early, ingot_recognize, ingot_use_floats, ingot_use_integers;

/* Before the first pass: sets c->refused where the planner will refuse a node of the main graph, so that no pass may
 * run, and makes other nodes that it will refuse opaque. */
ingot_pass_fn ingot_try_nodes;

#endif
