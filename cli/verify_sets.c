/* verify_sets.c - `ingot verify` with a folder of many dumps: every folder in it that holds output_0.pb
 * (test_data_set_0, test_data_set_1, ...) and every .npz, .pt and .safetensors file is one. Each is run in a session of
 * its own, so that no input of one set is left for the next. */
#include <dirent.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cli/verify.h"

enum { MOST_SETS = 1000000, MOST_SHOWN = 20 };

/* What all sets together say of one output. */
typedef struct output_sum {
    size_t n_sets, n_agree, worst; /* worst: the set with the largest error; of `sets.names` */
    double max_abs, max_rel, mean_abs;
    int64_t n_elements, n_rows, n_equal; /* rows of a classifier's scores, and those with the same largest one */
} output_sum;

/* All sets of a folder, and what came of them so far. */
typedef struct sets {
    const char *folder;
    char **names;
    size_t n, capacity, n_agree, n_shown;
    output_sum *outputs;
    cli_json *json;
} sets;

/* ---- the folder ------------------------------------------------------------------------------------------------- */

/* Is there FOLDER/NAME/FILE? */
static bool has_file(const char *folder, const char *name, const char *file)
{
    char path[4096];
    return snprintf(path, sizeof path, "%s/%s/%s", folder, name, file) < (int)sizeof path && !access(path, F_OK);
}

/* Folders in the layout of the ONNX tests are sets; files are where there is no such folder, as a model's own folder
 * may hold other files beside its sets. */
static bool is_set(const char *folder, const char *name, bool files)
{
    return name[0] != '.' && (files ? cli_is_bundle(name) : has_file(folder, name, "output_0.pb"));
}

/* Numbers in names by their value: set_2 before set_10. */
static int by_number(const void *a, const void *b)
{
    const char *x = *(char *const *)a, *y = *(char *const *)b;
    while (*x && *x == *y && !strchr("0123456789", *x)) {
        x++;
        y++;
    }
    const size_t n = strspn(x, "0123456789"), m = strspn(y, "0123456789");
    return n && m && n != m ? (n > m) - (n < m) : strcmp(x, y);
}

/* False when memory is out or the list is full. */
static bool add_name(sets *s, const char *name)
{
    if (s->n == s->capacity) {
        const size_t capacity = 2 * s->capacity + 16;
        char **larger = realloc(s->names, capacity * sizeof *larger);
        if (!larger)
            return false;
        s->names = larger;
        s->capacity = capacity;
    }
    return (s->names[s->n] = strdup(name)) && ++s->n < MOST_SETS;
}

/* Add the sets of one kind. False when memory is out, or there are too many. */
static bool list_kind(sets *s, bool files)
{
    DIR *folder = opendir(s->folder);
    bool done = true;
    for (const struct dirent *item; done && folder && (item = readdir(folder));)
        if (is_set(s->folder, item->d_name, files))
            done = add_name(s, item->d_name);
    if (folder)
        closedir(folder);
    return done;
}

/* Names in their order; a path that is no folder has none. */
static bool list_sets(sets *s)
{
    if (!list_kind(s, false) || (!s->n && !list_kind(s, true)))
        return false;
    if (s->n)
        qsort(s->names, s->n, sizeof *s->names, by_number);
    return true;
}

/* The list of sets; nothing else of it. */
static void free_names(sets *s)
{
    for (size_t i = 0; i < s->n; i++)
        free(s->names[i]);
    free(s->names);
}

/* A folder that is a set itself has none, whatever lies beside its files. Where memory is out there was one to list:
 * verify_sets() says what is wrong. */
bool verify_has_sets(const char *folder)
{
    sets s = {.folder = folder};
    const bool is_one = has_file(folder, ".", "output_0.pb") || has_file(folder, ".", "input_0.pb");
    const bool found = !is_one && (!list_sets(&s) || s.n);
    free_names(&s);
    return found;
}

/* ---- one set ---------------------------------------------------------------------------------------------------- */

/* Index of the largest element of a row of (N, C); the first of equals, and NaN is never larger. */
static int64_t find_largest(const ingot_tensor *t, int64_t row)
{
    const int64_t n = t->shape[1];
    int64_t best = 0;
    for (int64_t i = 1; i < n; i++)
        if (cli_element(t, row * n + i) > cli_element(t, row * n + best))
            best = i;
    return best;
}

/* Scores of classes are (N, C) floats. */
static void count_top(output_sum *sum, const ingot_tensor *got, const ingot_tensor *want)
{
    if (got->kind != INGOT_TENSOR || !cli_is_float(got->dtype) || got->rank != 2 || want->rank != 2 ||
        got->shape[0] != want->shape[0] || got->shape[1] != want->shape[1] || got->shape[1] < 2)
        return;
    for (int64_t row = 0; row < got->shape[0]; row++) {
        sum->n_rows++;
        sum->n_equal += find_largest(got, row) == find_largest(want, row);
    }
}

/* One output of one set into the sums; the first MOST_SHOWN that differ are told. Returns whether it agrees. */
static bool add_output(sets *s, size_t set, size_t k, const char *name, const ingot_tensor *got,
                       const ingot_tensor *want)
{
    output_sum *sum = &s->outputs[k];
    cli_difference d;
    const bool same = cli_compare(got, want, verify_opts.rtol, verify_opts.atol, &d);
    const cli_errors e = cli_measure(got, want, verify_opts.rtol, verify_opts.atol);
    /* the largest error so far, and whose it is */
    if (!sum->n_sets || d.max_abs > sum->max_abs) {
        sum->max_abs = d.max_abs;
        sum->worst = set;
    }
    sum->max_rel = fmax(sum->max_rel, d.max_rel);
    sum->mean_abs += e.measured ? e.mean_abs * (double)e.n : 0;
    sum->n_elements += e.measured ? e.n : 0;
    sum->n_sets++;
    sum->n_agree += same;
    count_top(sum, got, want);
    if (!same && !s->json && !common.quiet && s->n_shown++ < MOST_SHOWN) {
        cli_progress_end();
        printf("DIFFERS %s  %s  max abs %.3g  max rel %.3g; %s\n", cli_printable(s->names[set]), cli_printable(name),
               d.max_abs, d.max_rel, d.first);
    }
    return same;
}

/* Compare what the run computed with all outputs that the set has. */
static ingot_status add_outputs(sets *s, size_t set, const ingot_model *model, const ingot_session *session,
                                cli_dump *dump, const char *path, ingot_error *error)
{
    bool agrees = true, any = false;
    for (size_t k = 0; k < ingot_model_n_outputs(model); k++) {
        const ingot_value_info *info = ingot_model_output(model, k);
        const ingot_tensor *got = ingot_session_output(session, k);
        cli_value want = {.decoded = false};
        bool found;
        const ingot_status st = cli_dump_read(dump, "output", k, info, &found, &want, error);
        if (st)
            return st;
        if (found && got)
            agrees &= add_output(s, set, k, info->name, got, &want.tensor);
        any |= found && got;
        cli_value_free(&want);
    }
    s->n_agree += agrees;
    return any ? INGOT_OK : cli_fail_file(error, INGOT_BAD_INPUT, path, "holds no output to compare with");
}

/* The model is shared by all sets, packed weights with it; only the session is new. */
static ingot_status run_set(sets *s, size_t set, ingot_model *model, ingot_error *error)
{
    char path[4096];
    cli_dump *dump = NULL;
    ingot_session *session = NULL;
    cli_inputs inputs = {.n = 0};
    if (snprintf(path, sizeof path, "%s/%s", s->folder, s->names[set]) >= (int)sizeof path)
        return cli_fail_file(error, INGOT_IO, s->folder, "the path is too long");
    ingot_status st = cli_dump_open(path, &dump, error);
    if (!st && !(st = cli_open(model, false, &session, error)) &&
        !(st = verify_bind(model, session, dump, false, &inputs, error)) && !(st = ingot_session_run(session, error)))
        st = add_outputs(s, set, model, session, dump, path, error);
    cli_close(session);
    cli_inputs_free(&inputs);
    cli_dump_close(dump);
    return st;
}

/* ---- the report ------------------------------------------------------------------------------------------------- */

/* One output over all sets, for programs. */
static void json_output(const sets *s, const output_sum *sum, const char *name, cli_json *row)
{
    cli_json_text(row, "name", name);
    cli_json_int(row, "sets", (int64_t)sum->n_sets);
    cli_json_int(row, "agree", (int64_t)sum->n_agree);
    cli_json_number(row, "max_abs", sum->max_abs);
    cli_json_number(row, "max_rel", sum->max_rel);
    cli_json_number(row, "mean_abs", sum->n_elements ? sum->mean_abs / (double)sum->n_elements : 0);
    cli_json_text(row, "worst_set", s->names[sum->worst]);
    if (sum->n_rows)
        cli_json_number(row, "same_top_1", (double)sum->n_equal / (double)sum->n_rows);
}

/* The same for people; the share of equal top classes only where the output looks like scores. */
static void print_output(const sets *s, const output_sum *sum, const char *name)
{
    printf("%s: %zu of %zu sets agree; worst max abs %.3g (%s), max rel %.3g; mean abs %.3g of all\n",
           cli_printable(name), sum->n_agree, sum->n_sets, sum->max_abs, cli_printable(s->names[sum->worst]),
           sum->max_rel, sum->n_elements ? sum->mean_abs / (double)sum->n_elements : 0);
    if (sum->n_rows)
        printf("%s: the same top class for %lld of %lld rows (%.2f %%)\n", cli_printable(name), (long long)sum->n_equal,
               (long long)sum->n_rows, 100.0 * (double)sum->n_equal / (double)sum->n_rows);
}

/* Outputs that no set has are left out. */
static void report(const sets *s, const ingot_model *model)
{
    cli_json *rows = s->json ? cli_json_array(s->json, "outputs") : NULL;
    for (size_t k = 0; k < ingot_model_n_outputs(model); k++) {
        if (!s->outputs[k].n_sets)
            continue;
        if (rows)
            json_output(s, &s->outputs[k], ingot_model_output(model, k)->name, cli_json_append(rows));
        else if (!common.quiet)
            print_output(s, &s->outputs[k], ingot_model_output(model, k)->name);
    }
    if (s->json) {
        cli_json_int(s->json, "sets", (int64_t)s->n);
        cli_json_int(s->json, "agreeing_sets", (int64_t)s->n_agree);
        cli_json_bool(s->json, "agrees", s->n_agree == s->n);
        cli_json_number(s->json, "rtol", verify_opts.rtol);
        cli_json_number(s->json, "atol", verify_opts.atol);
    } else if (!common.quiet) {
        printf("%zu of %zu sets agree (rtol %g, atol %g)\n", s->n_agree, s->n, verify_opts.rtol, verify_opts.atol);
    }
}

/* The model is loaded once. A set that cannot be run ends it all with its error: a part of the sets would look like
 * a verdict on all of them. */
ingot_status verify_sets(const char *path, const char *folder, ingot_error *error)
{
    sets s = {.folder = folder};
    ingot_model *model = NULL;
    ingot_status st = verify_opts.json ? cli_json_new(&s.json, error) : INGOT_OK;
    if (!st)
        st = cli_load(path, false, &model, error);
    if (!st && (!list_sets(&s) || !(s.outputs = calloc(ingot_model_n_outputs(model) + 1, sizeof *s.outputs))))
        st = cli_fail_file(error, INGOT_LIMIT, folder, "out of memory, or more sets than %d", MOST_SETS);
    for (size_t i = 0; i < s.n && !st; i++) {
        cli_progress("sets", i, s.n);
        st = run_set(&s, i, model, error);
    }
    cli_progress_end();
    if (!st)
        report(&s, model);
    if (!st && s.json) {
        cli_json_print(s.json);
        s.json = NULL;
    }
    if (s.json)
        cli_json_free(s.json);
    const bool all = s.n_agree == s.n;
    free_names(&s);
    free(s.outputs);
    ingot_model_free(model);
    return st ? st : all ? INGOT_OK : INGOT_DIFFERS;
}
