/* inspect_html.c - a model as one page: its graph as it is in the file and as the passes leave it, where the plan keeps
 * what during a run, its constants with what they hold, and what the passes did. A profile and a verification become
 * chapters of the same page. */
#include <math.h>
#include <stdlib.h>

#include "cli/inspect.h"
#include "cli/profile.h"
#include "cli/verify.h"

/* A graph with a plan for inputs of zeros. */
typedef struct planned {
    diff_side side;
    ingot_session *session;
    cli_inputs inputs;
    ingot_error why; /* why there is no plan */
} planned;

static void free_planned(planned *p)
{
    cli_close(p->session);
    cli_inputs_free(&p->inputs);
    diff_free(&p->side);
}

/* A graph that cannot be planned is shown without shapes. */
static ingot_status load_planned(const char *path, bool with_passes, const cli_list *dims, planned *p,
                                 ingot_error *error)
{
    static const cli_list no_files;
    ingot_status st = diff_load(path, with_passes, &p->side, error);
    if (st)
        return st;
    if (!(st = cli_open(p->side.model, false, &p->session, &p->why)) &&
        !(st = cli_bind_inputs(p->side.model, p->session, &no_files, dims, MISSING_ZERO, &p->inputs, &p->why)))
        st = ingot_session_plan(p->session, &p->why);
    if (st) {
        cli_close(p->session);
        p->session = NULL;
    }
    return st == INGOT_CANCELLED ? cli_fail(error, st, "%s", p->why.message) : INGOT_OK;
}

/* ---- overview --------------------------------------------------------------------------------------------------- */

/* Bytes of all places without any sharing. */
static uint64_t unshared_bytes(const ingot_session *session)
{
    ingot_place_info place;
    uint64_t sum = 0;
    for (size_t i = 0; ingot_session_place(session, i, &place); i++)
        sum += place.size_bytes;
    return sum;
}

/* The figures to know first. */
static void add_facts(cli_page *page, const planned *file, const planned *run)
{
    ingot_model_summary s;
    ingot_step_info step;
    char value[60], note[200];
    double flops = 0;
    ingot_model_summarize(run->side.model, &s);
    for (size_t i = 0; run->session && ingot_session_step(run->session, i, &step); i++)
        flops += (double)step.flops;
    cli_page_section(page, "Overview", run->session ? "" : run->why.message);
    cli_facts_begin(page);
    snprintf(value, sizeof value, "%zu", run->side.n_nodes);
    snprintf(note, sizeof note, "after the passes; %zu in the file", file->side.n_nodes);
    cli_fact(page, "nodes", value, note);
    snprintf(note, sizeof note, "in %zu constants",  file->side.n_constants);
    cli_fact(page, "parameters", cli_amount((double)s.n_parameters, "", value, sizeof value), note);
    cli_fact(page, "weights", cli_amount((double)s.weight_bytes, "B", value, sizeof value), "in the file");
    if (run->session) {
        cli_fact(page, "arithmetic of a run", cli_amount(flops, "FLOP", value, sizeof value),
                 "free dimensions as --dim says, else 1");
        snprintf(note, sizeof note, "%s without sharing",
                 cli_amount((double)unshared_bytes(run->session), "B", value, sizeof value));
        cli_fact(page, "memory of a run",
                 cli_amount((double)ingot_session_planned_bytes(run->session), "B", value, sizeof value), note);
        cli_fact(page, "packed weights",
                 cli_amount((double)ingot_session_packed_bytes(run->session), "B", value, sizeof value),
                 "shared by all sessions");
    }
    snprintf(value, sizeof value, "opset %lld", (long long)s.opset);
    snprintf(note, sizeof note, "IR %lld, by %.100s %.40s", (long long)s.ir_version,
             s.producer[0] ? cli_printable(s.producer) : "an unknown tool", cli_printable(s.producer_version));
    cli_fact(page, "made for", value, note);
    cli_facts_end(page);
}

/* What goes in and out, then the metadata. */
static void add_interface(cli_page *page, const ingot_model *model)
{
    static const cli_column columns[] = {{"", NULL, false}, {"name", NULL, false}, {"type", NULL, false}};
    const size_t n_inputs = ingot_model_n_inputs(model), n_outputs = ingot_model_n_outputs(model);
    const char *key, *text;
    char type[400];
    cli_page_section(page, "Inputs and outputs", "");
    cli_table_begin(page, columns, 3);
    for (size_t i = 0; i < n_inputs + n_outputs; i++) {
        const ingot_value_info *info =
            i < n_inputs ? ingot_model_input(model, i) : ingot_model_output(model, i - n_inputs);
        cli_table_row(page);
        cli_table_text(page, i < n_inputs ? "input" : "output");
        cli_table_text(page, info->name);
        cli_table_text(page, cli_info_text(info, type, sizeof type));
    }
    for (size_t i = 0; ingot_model_property(model, i, &key, &text); i++) {
        cli_table_row(page);
        cli_table_text(page, "metadata");
        cli_table_text(page, key);
        cli_table_text(page, text);
    }
    cli_table_end(page);
}

/* ---- memory ----------------------------------------------------------------------------------------------------- */

/* A rectangle for each place: from the step that first writes it to the last that reads it, where it lies in memory. */
static void add_memory(cli_page *page, const planned *run)
{
    ingot_place_info place;
    ingot_step_info step;
    size_t n_steps = 0;
    char tip[600], size[40];
    while (ingot_session_step(run->session, n_steps, &step))
        n_steps++;
    double most = 1;
    for (size_t i = 0; ingot_session_place(run->session, i, &place); i++)
        most = fmax(most, (double)(place.offset + place.size_bytes));
    if (!n_steps || most <= 1)
        return;
    const char *unit = most >= 1 << 20 ? "MiB" : most >= 1 << 10 ? "KiB" : "bytes";
    const double one = most >= 1 << 20 ? 1 << 20 : most >= 1 << 10 ? 1 << 10 : 1;
    cli_page_section(page, "Memory over time", "Every rectangle is a value of the plan: when it is in use, and which "
                     "part of the one block of memory it has. Point at one for its name.");
    cli_chart chart = cli_chart_begin(page, (cli_axis){"step", 0, (double)n_steps, false, true},
                                      (cli_axis){unit, 0, most / one, false, false});
    for (size_t i = 0; ingot_session_place(run->session, i, &place); i++) {
        if (!place.size_bytes)
            continue;
        const size_t last = place.last < n_steps ? place.last : n_steps - 1;
        ingot_session_step(run->session, place.first, &step);
        snprintf(tip, sizeof tip, "%.150s\n%s at %llu\nsteps %zu to %zu, made by %.100s",
                 place.value[0] ? cli_printable(place.value) : "a copy in another layout",
                 cli_amount((double)place.size_bytes, "B", size, sizeof size), (unsigned long long)place.offset,
                 place.first, last, cli_printable(step.op_type));
        cli_chart_rect(&chart, (double)place.first, (double)place.offset / one, (double)last + 1,
                       (double)(place.offset + place.size_bytes) / one, cli_colour(i % 8), tip);
    }
    cli_chart_end(&chart);
}

/* ---- parameters ------------------------------------------------------------------------------------------------- */

/* Smallest, largest, mean and deviation of the finite elements. */
typedef struct spread {
    double least, most, mean, deviation;
    int64_t n_zero, n_bad;
} spread;

static spread spread_of(const ingot_tensor *t)
{
    const int64_t n = ingot_tensor_count(t);
    spread s = {INFINITY, -INFINITY, 0, 0, 0, 0};
    double squares = 0;
    for (int64_t i = 0; i < n; i++) {
        const double x = cli_element(t, i);
        s.n_bad += !isfinite(x);
        s.n_zero += x == 0;
        if (!isfinite(x))
            continue;
        s.least = fmin(s.least, x);
        s.most = fmax(s.most, x);
        s.mean += x;
        squares += x * x;
    }
    const double count = (double)(n - s.n_bad);
    s.mean /= count;
    s.deviation = sqrt(fmax(0, squares / count - s.mean * s.mean));
    return s;
}

static const cli_column columns[] = {
    {"name", NULL, false}, {"type", NULL, false}, {"elements", NULL, true}, {"KB", NULL, true},
    {"least", NULL, true}, {"largest", NULL, true}, {"mean", NULL, true}, {"deviation", "standard deviation", true},
    {"zeros %", "share of elements that are 0", true}, {"not finite", "infinities and NaN", true},
};

/* One row; the elements are read for it and let go. */
static ingot_status add_parameter(cli_page *page, const diff_side *side, size_t index, double most, ingot_error *error)
{
    const diff_constant *c = &side->constants[index];
    const bool numbers = c->type.kind == INGOT_TENSOR && c->type.dtype != INGOT_STRING;
    cli_value value = {.tensor = c->type};
    char type[300];
    ingot_status st = numbers ? cli_value_alloc(&value, 0, error) : INGOT_OK;
    if (st)
        return st;
    const double n = numbers ? (double)ingot_tensor_count(&c->type) : NAN;
    spread s = {NAN, NAN, NAN, NAN, 0, 0};
    if (numbers && ingot_model_weight_read(side->model, index, value.tensor.data) && n > 0)
        s = spread_of(&value.tensor);
    const double kb = n * (double)ingot_dtype_size_bytes(c->type.dtype) * 1e-3;
    cli_table_row(page);
    cli_table_text(page, c->name);
    cli_table_text(page, cli_type_text(&c->type, type, sizeof type));
    cli_table_number(page, n, "%.0f");
    cli_table_bar(page, kb, "%.1f", kb / most);
    cli_table_number(page, isfinite(s.least) ? s.least : NAN, "%.4g");
    cli_table_number(page, isfinite(s.most) ? s.most : NAN, "%.4g");
    cli_table_number(page, s.mean, "%.3g");
    cli_table_number(page, s.deviation, "%.3g");
    cli_table_number(page, n > 0 ? 100 * (double)s.n_zero / n : NAN, "%.1f");
    cli_table_number(page, s.n_bad ? (double)s.n_bad : NAN, "%.0f");
    if (numbers)
        cli_value_free(&value);
    return INGOT_OK;
}

/* In the order of the graph; the bars are relative to the largest. */
static ingot_status add_parameters(cli_page *page, const diff_side *side, ingot_error *error)
{
    ingot_status st = INGOT_OK;
    double most = 1e-9;
    for (size_t i = 0; i < side->n_constants; i++)
        if (side->constants[i].type.kind == INGOT_TENSOR)
            most = fmax(most, (double)ingot_tensor_count(&side->constants[i].type) *
                                  (double)ingot_dtype_size_bytes(side->constants[i].type.dtype) * 1e-3);
    cli_page_section(page, "Parameters", "The constants of the file; a click on a column's head sorts by it.");
    cli_table_begin(page, columns, sizeof columns / sizeof *columns);
    for (size_t i = 0; i < side->n_constants && !st; i++) {
        cli_progress("constants", i, side->n_constants);
        st = add_parameter(page, side, i, most, error);
    }
    cli_progress_end();
    cli_table_end(page);
    return st;
}

/* ---- passes ----------------------------------------------------------------------------------------------------- */

/* "name: 52 of 53; kept 'bn7': ..." in three columns. */
static void add_passes(cli_page *page, const ingot_model *model)
{
    static const cli_column head[] = {{"pass", NULL, false}, {"done", "rewrites, and what they were tried on", false},
                                      {"kept as it was, and why", NULL, false}};
    const char *line;
    cli_page_section(page, "Passes", "What each pass did, in their order.");
    cli_table_begin(page, head, 3);
    for (size_t i = 0; (line = ingot_model_pass_report(model, i)); i++) {
        const char *colon = strchr(line, ':'), *note = strchr(line, ';');
        char name[80], counts[80];
        snprintf(name, sizeof name, "%.*s", colon ? (int)(colon - line) : (int)strlen(line), line);
        snprintf(counts, sizeof counts, "%.*s", colon ? (int)(note ? note - colon - 2 : 70) : 0,
                 colon ? colon + 2 : "");
        cli_table_row(page);
        cli_table_text(page, name);
        cli_table_text(page, counts);
        cli_table_text(page, note ? note + 2 : "");
    }
    cli_table_end(page);
}

/* ---- the page --------------------------------------------------------------------------------------------------- */

/* The model's own chapter. */
static ingot_status add_model(cli_page *page, const planned *file, const planned *run, ingot_error *error)
{
    const inspect_view views[] = {{"after the passes", &run->side, run->session},
                                  {"as in the file", &file->side, file->session}};
    cli_page_chapter(page, "Model");
    add_facts(page, file, run);
    cli_page_section(page, "Graph", "A click on a dashed box unfolds its module; the outline folds it again. Enter in "
                     "the search goes from one find to the next.");
    cli_page_view_begin(page);
    for (size_t i = 0; i < 2; i++) {
        cli_page_add(page, "%s", i ? "," : "");
        inspect_add_graph(page, &views[i]);
    }
    cli_page_view_end(page);
    add_interface(page, file->side.model);
    if (run->session)
        add_memory(page, run);
    add_passes(page, run->side.model);
    return add_parameters(page, &file->side, error);
}

/* Plans are made and freed before a profile begins, so that it has the machine for itself. */
ingot_status inspect_write_html(const char *path, const inspect_options *options, ingot_error *error)
{
    planned file = {.session = NULL}, run = {.session = NULL};
    cli_page *page = NULL;
    ingot_status st = load_planned(path, false, &options->dims, &file, error);
    if (!st)
        st = load_planned(path, true, &options->dims, &run, error);
    if (!st)
        st = cli_page_new(&page, cli_short_path(path), "what the model is made of", error);
    if (!st)
        st = add_model(page, &file, &run, error);
    free_planned(&file);
    free_planned(&run);
    if (!st && options->profile) {
        cli_page_chapter(page, "Profile");
        st = profile_add(page, path, &options->dims, error);
    }
    if (!st && options->dump) {
        cli_page_chapter(page, "Verification");
        st = verify_add(page, path, options->dump, options->layers, error);
    }
    if (!st)
        st = cli_page_write(page, options->html, error);
    cli_page_free(page);
    return st;
}
