/* verify_run.c - the runs of a verification. Each is watched (ingot_session_observe), so that no value has to be kept
 * by the engine: what a row needs is copied when it comes by. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "cli/verify.h"

/* A session of its own for each run, so that nothing is left over from the one before. */
ingot_status verify_watch(ingot_model *model, cli_dump *dump, bool in_double, ingot_observe_fn *observe, void *user,
                          ingot_error *error)
{
    ingot_session *session = NULL;
    cli_inputs inputs = {.n = 0};
    ingot_status st = cli_open(model, false, &session, error);
    if (!st)
        st = verify_bind(model, session, dump, in_double, &inputs, error);
    if (!st) {
        ingot_session_observe(session, observe, user);
        st = ingot_session_run(session, error);
    }
    cli_close(session);
    cli_inputs_free(&inputs);
    return st;
}

/* ---- survey ----------------------------------------------------------------------------------------------------- */

/* A watcher that notes type, shape and size of a value. It changes nothing, which false says. */
static bool survey_value(void *user, const char *name, const char *node, ingot_tensor *tensor)
{
    verify_graph *graph = user;
    const int64_t index = verify_graph_find(graph, name);
    (void)node;
    if (index < 0 || tensor->kind != INGOT_TENSOR)
        return false;
    verify_value *value = &graph->values[index];
    value->dtype = tensor->dtype;
    value->rank = tensor->rank;
    memcpy(value->shape, tensor->shape, sizeof value->shape);
    verify_describe(tensor, &value->mean, &value->rms);
    return false;
}

/* Mean and root mean square of the finite elements. */
void verify_describe(const ingot_tensor *tensor, double *mean, double *rms)
{
    const int64_t n = tensor->dtype == INGOT_STRING ? 0 : ingot_tensor_count(tensor);
    double sum = 0, squares = 0;
    for (int64_t i = 0; i < n; i++) {
        const double x = cli_element(tensor, i);
        if (isfinite(x)) {
            sum += x;
            squares += x * x;
        }
    }
    *mean = n ? sum / (double)n : 0;
    *rms = n ? sqrt(squares / (double)n) : 0;
}

/* One run of the graph without passes, for the shapes that only a run shows. */
ingot_status verify_survey(verify_graph *graph, cli_dump *dump, ingot_error *error)
{
    return verify_watch(graph->model, dump, false, survey_value, graph, error);
}

/* ---- rows ------------------------------------------------------------------------------------------------------- */

/* What the watcher of a run that fills rows works with. */
typedef struct filler {
    const verify_graph *graph;
    verify_rows *rows;
    bool unfused;
    ingot_status status; /* of the first thing that went wrong; nothing is looked at after it */
    ingot_error *error;
} filler;

/* Not of strings, whose elements point elsewhere. */
ingot_status verify_copy(const ingot_tensor *from, cli_value *to, ingot_error *error)
{
    to->tensor = *from;
    const ingot_status st = cli_value_alloc(to, 0, error);
    if (!st && ingot_tensor_count(from))
        memcpy(to->tensor.data, from->data, (size_t)ingot_tensor_count(from) * ingot_dtype_size_bytes(from->dtype));
    return st;
}

/* The same rank and the same sizes; types are not looked at. */
static bool same_shape(const ingot_tensor *a, const ingot_tensor *b)
{
    return a->rank == b->rank && !memcmp(a->shape, b->shape, (size_t)a->rank * sizeof *a->shape);
}

/* Keep the value and, with --isolate, put the dump's in its place for the nodes that follow. */
static bool fill_row(void *user, const char *name, const char *node, ingot_tensor *tensor)
{
    filler *f = user;
    const int64_t index = verify_graph_find(f->graph, name);
    (void)node;
    if (f->status || index < 0 || f->graph->values[index].row < 0 || tensor->kind != INGOT_TENSOR ||
        tensor->dtype == INGOT_STRING)
        return false;
    verify_row *row = &f->rows->rows[f->graph->values[index].row];
    const ingot_tensor *want = &row->want.tensor;
    cli_value_free(&row->got);
    if ((f->status = verify_copy(tensor, &row->got, f->error)))
        return false;
    row->seen = true;
    row->unfused = f->unfused;
    /* the dump's value for the nodes that follow, where it fits */
    if (!verify_opts.isolate || tensor->dtype != want->dtype || ingot_tensor_count(tensor) != ingot_tensor_count(want))
        return false;
    if (ingot_tensor_count(want))
        memcpy(tensor->data, want->data, (size_t)ingot_tensor_count(want) * ingot_dtype_size_bytes(want->dtype));
    return true;
}

/* Values of another shape agree where the dump's was found by its module: PyTorch's flatten may come before or after
 * the exporter's. */
static void judge(verify_row *row)
{
    row->errors = cli_measure(&row->got.tensor, &row->want.tensor, verify_opts.rtol, verify_opts.atol);
    row->same_shape = same_shape(&row->got.tensor, &row->want.tensor);
    /* the count of elements fits; the shape must too, unless the key was a module's */
    const bool fits = row->errors.measured && (row->same_shape || row->match != MATCH_NAME);
    row->verdict = fits && !row->errors.n_differ ? VERDICT_AGREES : VERDICT_DEPARTS;
}

/* The run without passes comes first; what the model as it is run computes then takes its place. */
ingot_status verify_fill(const char *path, verify_graph *graph, cli_dump *dump, cli_bundle *layers, verify_rows *rows,
                         ingot_error *error)
{
    filler f = {.graph = graph, .rows = rows, .unfused = true, .error = error};
    ingot_model *model = NULL;
    ingot_status st = INGOT_OK;
    for (size_t i = 0; i < rows->n && !st; i++)
        st = cli_bundle_read(layers, rows->rows[i].entry, INGOT_UNDEFINED, &rows->rows[i].want, error);
    if (!st && !(st = verify_watch(graph->model, dump, false, fill_row, &f, error)))
        st = f.status;
    if (!st)
        st = cli_load(path, false, &model, error);
    f.unfused = false;
    if (!st && !(st = verify_watch(model, dump, false, fill_row, &f, error)))
        st = f.status;
    for (size_t i = 0; i < rows->n && !st; i++)
        if (rows->rows[i].seen)
            judge(&rows->rows[i]);
    ingot_model_free(model);
    return st;
}
