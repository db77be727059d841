/* verify.h - what the files of `ingot verify` share: the graph as the file has it, the values of a dump of layers that
 * are paired with the graph's, and what the runs found out about each pair. */
#ifndef CLI_VERIFY_H
#define CLI_VERIFY_H

#include "cli/html.h"

enum { VERIFY_NONE = -1 };

/* A value of the graph that some node makes. */
typedef struct verify_value {
    const char *name;
    size_t node;       /* that makes it */
    ingot_dtype dtype; /* of the survey (verify_survey); rank -1: no run showed it as a tensor */
    int32_t rank;
    int64_t shape[INGOT_MAX_RANK];
    double mean, rms; /* of its elements, to know it again by */
    int64_t row;      /* its row, or VERIFY_NONE */
} verify_value;

/* The graph without passes, as the file has it: nodes in running order, and their values. */
typedef struct verify_graph {
    ingot_model *model;
    ingot_node_info *nodes;
    size_t n_nodes;
    verify_value *values; /* in running order */
    size_t n_values;
    size_t *by_name; /* indices into values, sorted by name */
} verify_graph;

ingot_status verify_graph_load(const char *path, verify_graph *graph, ingot_error *error);
void verify_graph_free(verify_graph *graph);
int64_t verify_graph_find(const verify_graph *graph, const char *name); /* a value, or VERIFY_NONE */
bool verify_is_within(const char *module, const char *path);            /* is the module `path`, or inside it? */

/* How a key of the dump was found to be a value of the graph. */
typedef enum verify_match { MATCH_NAME, MATCH_MODULE, MATCH_FOLDED, MATCH_GUESS } verify_match;

typedef enum verify_verdict {
    VERDICT_AGREES,   /* within tolerance and, where a bound is known, within it */
    VERDICT_ROUNDING, /* out of tolerance, but rounding explains it */
    VERDICT_DEPARTS,  /* out of tolerance, where no bound is known */
    VERDICT_MISTAKE   /* more than rounding explains */
} verify_verdict;

/* How far two tensors are apart. */
typedef struct verify_distance {
    double max, rms;
} verify_distance;

/* A pair: a value of the dump and one of the graph. */
typedef struct verify_row {
    size_t entry; /* of the dump */
    const char *key;
    int64_t value; /* of the graph */
    verify_match match;
    bool seen, unfused;  /* computed; only in a run without passes */
    cli_value got, want; /* Ingot's and the dump's; kept until the rows are freed */
    cli_errors errors;   /* of the first against the second */
    bool same_shape;
    verify_verdict verdict;
    bool has_bound;               /* the shadow run reached it; the rest is valid then */
    cli_value exact;              /* computed in float64 */
    verify_distance bound;        /* how far rounding may carry a result from it */
    verify_distance ours, theirs; /* how far Ingot's and the dump's are from it */
} verify_row;

typedef struct verify_rows {
    verify_row *rows; /* in running order */
    size_t n;
    const char **unpaired; /* keys that are in no row */
    size_t n_unpaired;
} verify_rows;

/* Pair the entries of `layers` with values that the survey has seen (verify_pair.c): by value name, by module path,
 * else by shape and order. INGOT_BAD_INPUT where nothing fits. */
ingot_status verify_pair(verify_graph *graph, cli_bundle *layers, verify_rows *rows, ingot_error *error);
void verify_rows_free(verify_rows *rows);

typedef struct verify_options {
    double rtol, atol;
    bool json, isolate, no_shadow, bisect;
    const char *layers, *extract, *folder, *html;
} verify_options;
extern verify_options verify_opts;

/** Bind the inputs of a dump to a session; what it holds is kept alive in `inputs` (verify.c). */
ingot_status verify_bind(const ingot_model *model, ingot_session *session, cli_dump *dump, bool in_double,
                         cli_inputs *inputs, ingot_error *error);

/** Run a model on the dump's inputs, watched (verify_run.c). in_double: it was loaded so. */
ingot_status verify_watch(ingot_model *model, cli_dump *dump, bool in_double, ingot_observe_fn *observe, void *user,
                          ingot_error *error);

/** Mean and root mean square of a tensor's finite elements. */
void verify_describe(const ingot_tensor *tensor, double *mean, double *rms);

/** Note type, shape and size of every value that a run of the graph shows. */
ingot_status verify_survey(verify_graph *graph, cli_dump *dump, ingot_error *error);

/** Fill the rows: with what the model computes as it is run, and for values that the passes removed with what the
 * graph computes without passes. With --isolate every node reads the dump's values instead of Ingot's. */
ingot_status verify_fill(const char *path, verify_graph *graph, cli_dump *dump, cli_bundle *layers, verify_rows *rows,
                         ingot_error *error);

/* A copy of a tensor with memory of its own. */
ingot_status verify_copy(const ingot_tensor *from, cli_value *to, ingot_error *error);

/** Run the graph in float64, and several times with roundings of float32 made at random, and judge the rows anew: what
 * rounding explains, and what it does not (verify_shadow.c). A graph that cannot run so leaves them as they are; `note`
 * says why, or which nodes have no float64 form. */
ingot_status verify_shadow(const char *path, verify_graph *graph, cli_dump *dump, verify_rows *rows, char *note,
                           size_t capacity, ingot_error *error);

/** Write the smallest model around a node to a folder, with the inputs and outputs that the dump has for it, else those
 * that the graph computes (verify_extract.c). name: of the node or a value; "first" for the one that departs first.
 * rows: NULL where there are none. */
ingot_status verify_extract(const verify_graph *graph, cli_dump *dump, const verify_rows *rows, const char *name,
                            const char *folder, ingot_error *error);

/** Find the pass that breaks a model which agrees without passes, and the node that it rewrote (verify_passes.c). */
ingot_status verify_bisect(const char *path, cli_dump *dump, const ingot_model *model, cli_json *json,
                           ingot_error *error);

/** Write what was found as one page (verify_html.c). */
ingot_status verify_write_html(const verify_graph *graph, const verify_rows *rows, const char *path, const char *model,
                               const char *note, ingot_error *error);

/** Verify a model against a dump and put what was found on a page: its outputs, and with a file of layers (or NULL) all
 * that verify_write_html() tells (verify_page.c). */
ingot_status verify_add(cli_page *page, const char *path, const char *dump_path, const char *layers_path,
                        ingot_error *error);
ingot_status verify_add_sections(cli_page *page, const verify_graph *graph, const verify_rows *rows, const char *note,
                                 ingot_error *error);

/* What a row was found to be, as a word. */
const char *verify_verdict_name(const verify_row *row);

/** Is it a folder of several dumps (verify_sets.c)? */
bool verify_has_sets(const char *folder);

/** Verify a model against each of them, and tell the worst, the whole, and how often a classifier's top class is the
 * same. INGOT_DIFFERS where a set does not agree. */
ingot_status verify_sets(const char *path, const char *folder, ingot_error *error);

bool verify_is_near(verify_distance d, verify_distance bound);

/** The first row that departs by more than rounding, or VERIFY_NONE (verify_report.c). */
int64_t verify_first(const verify_rows *rows);

/** Print the table and the first departure, or put both into a JSON object. */
void verify_print_rows(const verify_graph *graph, const verify_rows *rows, const char *note);
void verify_json_rows(const verify_graph *graph, const verify_rows *rows, cli_json *report);

#endif
