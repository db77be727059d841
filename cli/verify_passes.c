/* verify_passes.c - `ingot verify --bisect-passes`: which pass breaks a model that agrees without passes, and which
 * node did it rewrite? Passes run in a fixed order, some of them several times; the model is loaded with the first k of
 * these runs for ever fewer k until one run is left. Then the values of the graph before that run and after it are
 * compared by name: the first that differs comes out of the node that was rewritten. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "cli/verify.h"

/* The model after the first k runs of passes; k 0: none at all. */
static ingot_status load_after(const char *path, size_t k, ingot_model **model, ingot_error *error)
{
    const ingot_model_options options = {.size_bytes = sizeof options,
                                         .max_memory_bytes = common.max_memory_bytes,
                                         .portable = common.portable,
                                         .disabled_passes = common.disabled_passes.items,
                                         .no_passes = !k,
                                         .most_pass_runs = k};
    return ingot_model_load(path, &options, model, error);
}

/* ---- does it agree? --------------------------------------------------------------------------------------------- */

/* Every output that the dump has, within tolerance. */
static ingot_status check_outputs(const ingot_model *model, const ingot_session *session, cli_dump *dump, bool *agrees,
                                  ingot_error *error)
{
    ingot_status st = INGOT_OK;
    *agrees = true;
    for (size_t k = 0; !st && *agrees && k < ingot_model_n_outputs(model); k++) {
        const ingot_value_info *info = ingot_model_output(model, k);
        const ingot_tensor *got = ingot_session_output(session, k);
        cli_value want = {.decoded = false};
        cli_difference d;
        bool found;
        if (!(st = cli_dump_read(dump, "output", k, info, &found, &want, error)) && found)
            *agrees = got && cli_compare(got, &want.tensor, verify_opts.rtol, verify_opts.atol, &d);
        cli_value_free(&want);
    }
    return st;
}

/* Run the model after k runs of passes on the dump's inputs: are its outputs the dump's? */
static ingot_status try_after(const char *path, cli_dump *dump, size_t k, bool *agrees, ingot_error *error)
{
    ingot_model *model = NULL;
    ingot_session *session = NULL;
    cli_inputs inputs = {.n = 0};
    ingot_status st = load_after(path, k, &model, error);
    if (!st && !(st = cli_open(model, false, &session, error)) &&
        !(st = verify_bind(model, session, dump, false, &inputs, error)) && !(st = ingot_session_run(session, error)))
        st = check_outputs(model, session, dump, agrees, error);
    cli_close(session);
    cli_inputs_free(&inputs);
    ingot_model_free(model);
    return st;
}

/* ---- which node? ------------------------------------------------------------------------------------------------ */

/* A value of the run before, with memory of its own. */
typedef struct kept {
    char *name;
    cli_value value;
} kept;

/* The values of one run by name, and the first of another that differs from them. */
typedef struct comparison {
    kept *values;
    size_t n, capacity;
    char value[300], node[300]; /* "" until something differs */
    double error, size;
    ingot_status status;
    ingot_error *why;
} comparison;

/* A watcher that copies every value; values of later nodes with the same name do not occur. */
static bool keep_value(void *user, const char *name, const char *node, ingot_tensor *tensor)
{
    comparison *c = user;
    (void)node;
    if (c->status || tensor->kind != INGOT_TENSOR || tensor->dtype == INGOT_STRING)
        return false;
    if (c->n == c->capacity) {
        const size_t capacity = 2 * c->capacity + 64;
        kept *larger = realloc(c->values, capacity * sizeof *larger);
        if (!larger) {
            c->status = cli_fail(c->why, INGOT_LIMIT, "out of memory");
            return false;
        }
        c->values = larger;
        c->capacity = capacity;
    }
    c->values[c->n] = (kept){.name = strdup(name)};
    c->status = verify_copy(tensor, &c->values[c->n++].value, c->why);
    return false;
}

/* A rewrite that is right changes elements by some roundings of the largest at most. */
static bool compare_value(void *user, const char *name, const char *node, ingot_tensor *tensor)
{
    comparison *c = user;
    for (size_t i = 0; i < c->n && !*c->value && tensor->kind == INGOT_TENSOR; i++) {
        if (!c->values[i].name || strcmp(c->values[i].name, name))
            continue;
        const cli_errors e = cli_measure(tensor, &c->values[i].value.tensor, 0, 0);
        if (e.max_abs > 1e-3 * e.rms + 1e-9) {
            snprintf(c->value, sizeof c->value, "%s", name);
            snprintf(c->node, sizeof c->node, "%s", node);
            c->error = e.max_abs;
            c->size = e.rms;
        }
    }
    return false;
}

/* Fill in which node of the graph after run k differs first from the graph before it. */
static ingot_status find_node(const char *path, cli_dump *dump, size_t k, comparison *c, ingot_error *error)
{
    ingot_model *before = NULL, *after = NULL;
    ingot_status st = load_after(path, k - 1, &before, error);
    if (!st && !(st = verify_watch(before, dump, false, keep_value, c, error)) && !(st = c->status) &&
        !(st = load_after(path, k, &after, error)))
        st = verify_watch(after, dump, false, compare_value, c, error);
    ingot_model_free(before);
    ingot_model_free(after);
    for (size_t i = 0; i < c->n; i++) {
        free(c->values[i].name);
        cli_value_free(&c->values[i].value);
    }
    free(c->values);
    return st;
}

/* ---- the search ------------------------------------------------------------------------------------------------- */

/* How many runs of passes the loaded model has behind it. */
static size_t count_runs(const ingot_model *model)
{
    size_t n = 0;
    while (ingot_model_pass_run(model, n))
        n++;
    return n;
}

/* Say what was found, on paper or in JSON. */
static void report(const char *pass, size_t run, size_t n_runs, const comparison *c, cli_json *json)
{
    if (json) {
        cli_json *found = cli_json_object(json, "bisect_passes");
        cli_json_text(found, "pass", pass);
        cli_json_int(found, "run", (int64_t)run);
        cli_json_text(found, "node", c->node);
        cli_json_text(found, "value", c->value);
        cli_json_number(found, "max_abs", c->error);
    } else if (!common.quiet && *c->value) {
        printf(
            "pass '%s' (run %zu of %zu) breaks it: node '%s', value '%s' changes by %.3g where its elements are %.3g\n",
            pass, run, n_runs, cli_printable(c->node), cli_printable(c->value), c->error, c->size);
    } else if (!common.quiet) {
        printf("pass '%s' (run %zu of %zu) breaks it; no value that is there before and after it differs\n", pass, run,
               n_runs);
    }
}

/* Nothing is searched for where the outputs agree with all passes, or differ without any. Else, at every step:
 * `good` runs agree, `bad` runs do not. */
ingot_status verify_bisect(const char *path, cli_dump *dump, const ingot_model *model, cli_json *json,
                           ingot_error *error)
{
    const size_t n_runs = count_runs(model);
    size_t good = 0, bad = n_runs;
    bool agrees = true;
    comparison c = {.why = error};
    ingot_status st = n_runs ? try_after(path, dump, n_runs, &agrees, error) : INGOT_OK;
    if (!st && agrees && !json && !common.quiet)
        puts("passes: the outputs agree with all of them");
    if (st || agrees)
        return st;
    if ((st = try_after(path, dump, 0, &agrees, error)))
        return st;
    /* without passes it must agree, or they are not to blame */
    if (!agrees) {
        if (!json && !common.quiet)
            puts("passes are not to blame: the outputs differ without them, too");
        return INGOT_OK;
    }
    /* halve what lies between, then look for the node at the run that is left */
    while (!st && bad - good > 1) {
        const size_t middle = good + (bad - good) / 2;
        st = try_after(path, dump, middle, &agrees, error);
        *(agrees ? &good : &bad) = middle;
    }
    if (!st && !(st = find_node(path, dump, bad, &c, error)))
        report(ingot_model_pass_run(model, bad - 1), bad, n_runs, &c, json);
    return st;
}
