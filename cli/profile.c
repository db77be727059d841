/* profile.c - `ingot profile`: where the time of a run goes, step by step, and how near it is to what the machine can
 * do.
 *
 * A step's roof is the least time for it: its arithmetic at the measured multiply-add rate, or its bytes at the rate
 * of the nearest memory that holds them all, whichever takes longer. Its share of the peak is that over its time. */
#include "cli/profile.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* What the options write to. */
static cli_list inputs, dims;
static int64_t iterations = 10, most_rows = 30;
static const char *trace_path, *html_path;
static bool json;

static const cli_option options[] = {
    {"input", OPTION_LIST, &inputs, "[NAME=]FILE", "an input: .npy .npz .pb .pt .png .jpg .webp; else random", 0},
    {"iterations", OPTION_INT, &iterations, "N", "runs to take each step's shortest time of (default 10)", 1},
    {"rows", OPTION_INT, &most_rows, "N", "steps to print, the slowest first (default 30)", 1},
    {"json", OPTION_FLAG, &json, NULL, "print one line of JSON", 0},
    {"trace", OPTION_TEXT, &trace_path, "FILE.json", "write the fastest run for ui.perfetto.dev", 0},
    {"html", OPTION_TEXT, &html_path, "FILE.html", "write a page: table, timeline, roofline plot, graph", 0},
    {"dim", OPTION_LIST, &dims, "NAME=N", "size of a free dimension of inputs that are not given", 0},
    {NULL, OPTION_FLAG, NULL, NULL, NULL, 0},
};

/* ---- measuring -------------------------------------------------------------------------------------------------- */

/* Places for the steps of the plan that the first run made. */
static ingot_status allocate_steps(profile *p, ingot_error *error)
{
    ingot_step_info step;
    while (ingot_session_step(p->session, p->n_steps, &step))
        p->n_steps++;
    p->steps = calloc(p->n_steps + 1, sizeof *p->steps);
    return p->steps ? INGOT_OK : cli_fail(error, INGOT_LIMIT, "out of memory");
}

/* Keep what the fastest run so far recorded. */
static ingot_status keep_run(profile *p, ingot_error *error)
{
    ingot_stretch stretch;
    size_t n = 0;
    for (size_t i = 0; i < p->n_steps; i++)
        ingot_session_step(p->session, i, &p->steps[i].info);
    while (ingot_session_stretch(p->session, n, &stretch))
        n++;
    free(p->stretches);
    p->n_stretches = n;
    if (!(p->stretches = calloc(n + 1, sizeof *p->stretches)))
        return cli_fail(error, INGOT_LIMIT, "out of memory");
    for (size_t i = 0; i < n; i++)
        ingot_session_stretch(p->session, i, &p->stretches[i]);
    return INGOT_OK;
}

/* Ascending, for qsort(). */
static int by_number(const void *a, const void *b)
{
    const double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

/* The first run plans and is not counted. Of every step the shortest time of all runs is kept, as what made it
 * longer was something else; of the whole runs the median is told. */
static ingot_status measure(profile *p, ingot_session *session, ingot_error *error)
{
    double *runs = calloc((size_t)iterations, sizeof *runs), fastest = INFINITY;
    ingot_status st = runs ? ingot_session_run(session, error) : cli_fail(error, INGOT_LIMIT, "out of memory");
    if (!st)
        st = allocate_steps(p, error);
    for (int64_t run = 0; run < iterations && !st; run++) {
        const double start = cli_now_ms();
        if ((st = ingot_session_run(session, error)))
            break;
        runs[run] = cli_now_ms() - start;
        cli_progress("runs", (size_t)run, (size_t)iterations);
        for (size_t i = 0; i < p->n_steps; i++) {
            ingot_step_info step;
            if (ingot_session_step(session, i, &step) && (!run || step.time_ns < p->steps[i].time_ns))
                p->steps[i].time_ns = step.time_ns;
        }
        /* the fastest run is kept as a whole, for the timeline and the trace */
        if (runs[run] < fastest) {
            fastest = runs[run];
            st = keep_run(p, error);
        }
    }
    cli_progress_end();
    if (!st) {
        qsort(runs, (size_t)iterations, sizeof *runs, by_number);
        p->run_ms = (runs[(iterations - 1) / 2] + runs[iterations / 2]) / 2;
        p->n_runs = iterations;
    }
    free(runs);
    return st;
}

/* Time for the step's bytes where they all fit, and for its arithmetic: the longer of the two. */
static double roof_ns(const profile *p, const ingot_step_info *step)
{
    const double bytes = (double)step->bytes, cores_l2 = (double)p->machine.l2_bytes * p->n_threads;
    const double rate = bytes <= cores_l2                      ? p->rates->l2_gbs
                        : bytes <= (double)p->machine.l3_bytes ? p->rates->l3_gbs
                                                               : p->rates->dram_gbs;
    return fmax(bytes / rate, (double)step->flops_done / p->rates->gflops);
}

/* What follows from the measurements: texts, roofs, sums. */
static void conclude(profile *p)
{
    for (size_t i = 0; i < p->n_steps; i++) {
        profile_step *step = &p->steps[i];
        const ingot_step_info *info = &step->info;
        step->index = i;
        step->roof_ns = info->time_ns ? roof_ns(p, info) : 0;
        snprintf(step->op, sizeof step->op, "%s%s%s", cli_printable(info->op_type), info->fused[0] ? " + " : "",
                 cli_printable(info->fused));
        snprintf(step->kind, sizeof step->kind, "%s%s%s", cli_printable(info->op_type), info->kernel[0] ? ", " : "",
                 cli_printable(info->kernel));
        if (info->output)
            cli_type_text(info->output, step->output, sizeof step->output);
        if (info->tile_rows)
            snprintf(step->tile, sizeof step->tile, "%dx%d", info->tile_rows, info->tile_columns);
        p->total.time_ns += step->time_ns;
        p->total.roof_ns += step->roof_ns;
        p->total.info.flops += info->flops;
        p->total.info.flops_done += info->flops_done;
        p->total.info.bytes += info->bytes;
    }
    for (size_t i = 0; i < p->n_stretches; i++) {
        const ingot_stretch *s = &p->stretches[i];
        if (s->thread && s->step < p->n_steps && p->steps[s->step].info.time_ns)
            p->steps[s->step].helped +=
                (double)s->time_ns / (double)p->steps[s->step].info.time_ns / (p->n_threads - 1);
    }
}

/* By definition of the operation, so that algorithms can be compared: Winograd's way may be above the peak. */
double profile_gflops(const profile_step *step)
{
    return step->time_ns && step->info.flops ? (double)step->info.flops / (double)step->time_ns : NAN;
}

/* Steps that compute and move nothing have none. */
double profile_share(const profile_step *step)
{
    return step->time_ns && step->roof_ns > 0 ? step->roof_ns / (double)step->time_ns : NAN;
}

/* The slowest first; in running order where times are equal. */
static int by_time(const void *a, const void *b)
{
    const profile_step *x = *(const profile_step *const *)a, *y = *(const profile_step *const *)b;
    if (x->time_ns != y->time_ns)
        return x->time_ns < y->time_ns ? 1 : -1;
    return (x->index > y->index) - (x->index < y->index);
}

/* The slowest first; by name where times are equal. */
static int by_group_time(const void *a, const void *b)
{
    const profile_group *x = a, *y = b;
    return x->time_ns != y->time_ns ? (x->time_ns < y->time_ns ? 1 : -1) : strcmp(x->kind, y->kind);
}

/* n for a kind that is not among them. */
size_t profile_group_of(const profile_group *groups, size_t n, const char *kind)
{
    size_t i = 0;
    while (i < n && strcmp(groups[i].kind, kind))
        i++;
    return i;
}

/* Kinds are few, so that looking through all of them for every step costs little. */
profile_group *profile_groups(const profile *p, size_t *n)
{
    profile_group *groups = calloc(p->n_steps + 1, sizeof *groups);
    *n = 0;
    for (size_t i = 0; groups && i < p->n_steps; i++) {
        const size_t g = profile_group_of(groups, *n, p->steps[i].kind);
        *n += g == *n;
        groups[g].kind = p->steps[i].kind;
        groups[g].n++;
        groups[g].time_ns += p->steps[i].time_ns;
        groups[g].roof_ns += p->steps[i].roof_ns;
    }
    if (groups)
        qsort(groups, *n, sizeof *groups, by_group_time);
    return groups;
}

/* ---- the table -------------------------------------------------------------------------------------------------- */

/* One line of the machine's rates. */
static void print_rates(const char *label, const ingot_rates *rates)
{
    printf("%-11s %8.1f GFLOP/s, reads %.0f GB/s from L2, %.0f from L3, %.0f from memory\n", label, rates->gflops,
           rates->l2_gbs, rates->l3_gbs, rates->dram_gbs);
}

/* A number, or blanks where there is none. */
static void print_number(const char *format, int width, double value)
{
    if (isnan(value))
        printf("%*s ", width, "");
    else
        printf(format, value);
}

/* One row of the table. */
static void print_step(const profile *p, const profile_step *step)
{
    printf("%10.4f %6.1f ", (double)step->time_ns * 1e-6,
           p->total.time_ns ? 100 * (double)step->time_ns / (double)p->total.time_ns : 0);
    print_number("%8.1f ", 8, profile_gflops(step));
    print_number("%6.1f  ", 7, 100 * profile_share(step));
    printf("%-24s %-24s %-24s %-6s %s\n", step->op, step->output, cli_printable(step->info.kernel), step->tile,
           cli_printable(step->info.node));
}

/* One row for each step, the slowest first, and the sum of all steps, shown or not. */
static ingot_status print_table(const profile *p, ingot_error *error)
{
    const profile_step **order = calloc(p->n_steps + 1, sizeof *order);
    char done[40], whole[40], bytes[40];
    if (!order)
        return cli_fail(error, INGOT_LIMIT, "out of memory");
    for (size_t i = 0; i < p->n_steps; i++)
        order[i] = &p->steps[i];
    qsort(order, p->n_steps, sizeof *order, by_time);
    /* the machine, then the slowest steps, then the sums */
    print_rates("1 thread:", &p->machine.one);
    if (p->n_threads > 1) {
        char label[40];
        snprintf(label, sizeof label, "%d threads:", p->n_threads);
        print_rates(label, p->rates);
    }
    printf("\n%10s %6s %8s %6s  %-24s %-24s %-24s %-6s %s\n", "ms", "%", "GFLOP/s", "peak %", "operator", "output",
           "kernel", "tile", "node");
    for (size_t i = 0; i < p->n_steps && i < (size_t)most_rows; i++)
        print_step(p, order[i]);
    printf("%10.4f  100.0 ", (double)p->total.time_ns * 1e-6);
    print_number("%8.1f ", 8, profile_gflops(&p->total));
    print_number("%6.1f  ", 7, 100 * profile_share(&p->total));
    printf("%zu steps: %s of arithmetic, %s as computed, %s read and written\n", p->n_steps,
           cli_amount((double)p->total.info.flops, "FLOP", whole, sizeof whole),
           cli_amount((double)p->total.info.flops_done, "FLOP", done, sizeof done),
           cli_amount((double)p->total.info.bytes, "B", bytes, sizeof bytes));
    printf("%10.4f  ms for a whole run: median of %lld, %d thread%s, %s\n", p->run_ms, (long long)p->n_runs,
           p->n_threads, p->n_threads == 1 ? "" : "s", p->machine.isa);
    free(order);
    return INGOT_OK;
}

/* ---- JSON and trace --------------------------------------------------------------------------------------------- */

/* The machine's rates on one thread or on all. */
static void add_rates(cli_json *machine, const char *key, const ingot_rates *rates)
{
    cli_json *object = cli_json_object(machine, key);
    cli_json_number(object, "gflops", rates->gflops);
    cli_json_number(object, "l2_gbs", rates->l2_gbs);
    cli_json_number(object, "l3_gbs", rates->l3_gbs);
    cli_json_number(object, "dram_gbs", rates->dram_gbs);
}

/* What JSON and trace tell of a step alike. */
static void add_step_facts(cli_json *object, const profile_step *step)
{
    cli_json_text(object, "node", step->info.node);
    cli_json_text(object, "fused", step->info.fused);
    cli_json_text(object, "kernel", step->info.kernel);
    cli_json_text(object, "tile", step->tile);
    cli_json_text(object, "layout", step->info.layout);
    cli_json_text(object, "output", step->output);
    cli_json_int(object, "flops", step->info.flops);
    cli_json_int(object, "flops_done", step->info.flops_done);
    cli_json_int(object, "bytes", step->info.bytes);
    cli_json_number(object, "peak_share", profile_share(step));
    cli_json_number(object, "helped", step->helped);
}

/* All that is not of a single step. */
static void add_totals(cli_json *object, const profile *p)
{
    cli_json_text(object, "isa", p->machine.isa);
    cli_json_int(object, "threads", p->n_threads);
    cli_json_int(object, "runs", p->n_runs);
    cli_json_number(object, "run_ms", p->run_ms);
    cli_json_number(object, "steps_ms", (double)p->total.time_ns * 1e-6);
    cli_json_int(object, "flops", p->total.info.flops);
    cli_json_int(object, "flops_done", p->total.info.flops_done);
    cli_json_int(object, "bytes", p->total.info.bytes);
    cli_json_number(object, "peak_share", profile_share(&p->total));
    cli_json *machine = cli_json_object(object, "machine");
    cli_json_int(machine, "l2_bytes", (int64_t)p->machine.l2_bytes);
    cli_json_int(machine, "l3_bytes", (int64_t)p->machine.l3_bytes);
    add_rates(machine, "one_thread", &p->machine.one);
    add_rates(machine, "all_threads", p->rates);
}

/* Keys are part of the tool's contract: add to them, but do not rename or remove any. */
static void fill_json(const profile *p, cli_json *object)
{
    add_totals(object, p);
    cli_json *steps = cli_json_array(object, "steps");
    for (size_t i = 0; i < p->n_steps; i++) {
        cli_json *row = cli_json_append(steps);
        cli_json_text(row, "op_type", p->steps[i].info.op_type);
        cli_json_micros(row, "time_us", p->steps[i].time_ns);
        add_step_facts(row, &p->steps[i]);
    }
}

/* An event of the trace on a thread's track; times in microseconds. */
static cli_json *add_event(cli_json *events, const char *name, const char *phase, int32_t thread)
{
    cli_json *event = cli_json_append(events);
    cli_json_text(event, "name", name);
    cli_json_text(event, "ph", phase);
    cli_json_int(event, "pid", 1);
    cli_json_int(event, "tid", thread + 1);
    return event;
}

/* "ts" and "dur" are microseconds; "cat" lets a viewer filter. */
static void add_times(cli_json *event, const char *category, uint64_t start_ns, uint64_t time_ns)
{
    cli_json_text(event, "cat", category);
    cli_json_micros(event, "ts", start_ns);
    cli_json_micros(event, "dur", time_ns);
}

/* The fastest run in the trace event format: a track for each thread, a complete event ("X") for each step, and inside
 * it and on the other tracks one for each stretch of work. Source: Google, "Trace Event Format". */
static void fill_trace(const profile *p, cli_json *trace)
{
    cli_json *events = cli_json_array(trace, "traceEvents");
    cli_json_text(cli_json_object(add_event(events, "process_name", "M", 0), "args"), "name", p->model);
    for (int32_t t = 0; t < p->n_threads; t++) {
        char name[40];
        snprintf(name, sizeof name, "thread %d", t);
        cli_json_text(cli_json_object(add_event(events, "thread_name", "M", t), "args"), "name", name);
    }
    for (size_t i = 0; i < p->n_steps; i++) {
        cli_json *event = add_event(events, p->steps[i].info.op_type, "X", 0);
        add_times(event, "step", p->steps[i].info.start_ns, p->steps[i].info.time_ns);
        add_step_facts(cli_json_object(event, "args"), &p->steps[i]);
    }
    for (size_t i = 0; i < p->n_stretches; i++) {
        const ingot_stretch *s = &p->stretches[i];
        if (s->step >= p->n_steps)
            continue;
        const ingot_step_info *step = &p->steps[s->step].info;
        cli_json *event = add_event(events, s->thread ? step->op_type : "work", "X", s->thread);
        add_times(event, "work", s->start_ns, s->time_ns);
        cli_json_text(cli_json_object(event, "args"), "node", step->node);
    }
    cli_json_text(trace, "displayTimeUnit", "ms");
}

/* ---- the command ------------------------------------------------------------------------------------------------ */

/* The machine is measured last: by then the model's memory is there, as it is while the model runs. */
static ingot_status make_profile(profile *p, ingot_session *session, ingot_error *error)
{
    ingot_status st = measure(p, session, error);
    p->n_threads = ingot_session_n_threads(session);
    if (st || (st = ingot_machine_measure(p->n_threads, &p->machine, error)))
        return st;
    p->rates = &p->machine.all;
    conclude(p);
    return INGOT_OK;
}

/* Whatever was asked for, in any combination. `object` and `trace` are NULL where they were not. */
static ingot_status tell(const profile *p, cli_json *object, cli_json *trace, ingot_error *error)
{
    ingot_status st = INGOT_OK;
    if (trace) {
        fill_trace(p, trace);
        st = cli_json_write(trace, trace_path, error);
    }
    if (!st && html_path)
        st = profile_write_html(p, html_path, error);
    if (!st && object)
        fill_json(p, object);
    else if (!st && !common.quiet)
        st = print_table(p, error);
    return st;
}

static void free_profile(profile *p)
{
    free(p->steps);
    free(p->stretches);
}

ingot_status profile_add(cli_page *page, const char *path, const cli_list *sizes, ingot_error *error)
{
    static const cli_list no_files;
    cli_setup s = {.model = NULL};
    profile p = {.model = path};
    ingot_status st = cli_set_up(path, &no_files, sizes, true, &s, error);
    p.session = s.session;
    if (!st && !(st = make_profile(&p, s.session, error)))
        st = profile_add_sections(&p, page, error);
    free_profile(&p);
    cli_tear_down(&s);
    return st;
}

/* JSON objects are made first, since a tool without json-c cannot make them: nothing is measured in vain. */
static ingot_status run(const char *const *operands, ingot_error *error)
{
    cli_setup s = {.model = NULL};
    cli_json *object = NULL, *trace = NULL;
    profile p = {.model = operands[0]};
    ingot_status st = trace_path ? cli_json_new(&trace, error) : INGOT_OK;
    if (!st && json)
        st = cli_json_new(&object, error);
    if (!st && !(st = cli_set_up(operands[0], &inputs, &dims, true, &s, error))) {
        p.session = s.session;
        if (!(st = make_profile(&p, s.session, error)))
            st = tell(&p, object, trace, error);
    }
    if (object && !st)
        cli_json_print(object);
    else if (object)
        cli_json_free(object);
    if (trace)
        cli_json_free(trace);
    free_profile(&p);
    cli_tear_down(&s);
    return st;
}

const cli_command command_profile = {
    .name = "profile",
    .operands = "MODEL",
    .summary = "where the time of a run goes, step by step, and how near it is to what the machine can do",
    .options = options,
    .takes_pictures = true,
    .run = run,
    .examples = "  ingot profile MyNet.onnx --threads 1\n"
                "  ingot profile bert.onnx --dim batch=8 --rows 10\n"
                "  ingot profile MyNet.onnx --html MyNet.html       a page with timeline, roofline plot and graph\n"
                "  ingot profile MyNet.onnx --trace MyNet.json      a track for each thread, for ui.perfetto.dev\n",
};
