/* profile.c - `ingot profile`: where the time of a run goes, step by step. */
#include "cli/cli.h"

#include <stdlib.h>

static cli_list inputs, dims;
static int64_t iterations = 10, most_rows = 30;
static const char *trace_path;

static const cli_option options[] = {
    {"input", OPTION_LIST, &inputs, "[NAME=]FILE", "an input: .npy .npz .pb .pt .png .jpg; random when not given", 0},
    {"iterations", OPTION_INT, &iterations, "N", "runs to take each step's shortest time of (default 10)", 1},
    {"rows", OPTION_INT, &most_rows, "N", "steps to print, the slowest first (default 30)", 1},
    {"trace", OPTION_TEXT, &trace_path, "FILE.json", "write the last run for chrome://tracing or ui.perfetto.dev", 0},
    {"dim", OPTION_LIST, &dims, "NAME=N", "size of a free dimension of inputs that are not given", 0},
    {NULL, OPTION_FLAG, NULL, NULL, NULL, 0},
};

typedef struct step_time {
    size_t index;
    uint64_t time_ns;
} step_time;

/* The slowest first; in running order where times are equal. */
static int by_time(const void *a, const void *b)
{
    const step_time *x = a, *y = b;
    if (x->time_ns != y->time_ns)
        return x->time_ns < y->time_ns ? 1 : -1;
    return (x->index > y->index) - (x->index < y->index);
}

/* Run again and again; of every step keep the shortest time. */
static ingot_status measure(ingot_session *session, step_time **times, size_t *n, ingot_error *error)
{
    ingot_step_info step;
    for (int64_t run = 0; run < iterations; run++) {
        const ingot_status st = ingot_session_run(session, error);
        if (st)
            return st;
        for (*n = run ? *n : 0; !run && ingot_session_step(session, *n, &step);)
            ++*n;
        if (!run && !(*times = calloc(*n + 1, sizeof **times)))
            return cli_fail(error, INGOT_LIMIT, "out of memory");
        for (size_t i = 0; i < *n && ingot_session_step(session, i, &step); i++)
            if (!run || step.time_ns < (*times)[i].time_ns)
                (*times)[i] = (step_time){i, step.time_ns};
    }
    return INGOT_OK;
}

/* One row for each step, the slowest first, and the sum of all steps, shown or not. */
static void print_table(const ingot_session *session, step_time *times, size_t n)
{
    uint64_t total = 0;
    for (size_t i = 0; i < n; i++)
        total += times[i].time_ns;
    qsort(times, n, sizeof *times, by_time);
    printf("%10s %6s %8s  %-20s %-24s %-24s %s\n", "ms", "%", "GFLOP/s", "operator", "output", "kernel", "node");
    for (size_t i = 0; i < n && i < (size_t)most_rows; i++) {
        ingot_step_info step;
        char type[120] = "";
        const double ns = (double)times[i].time_ns;
        if (!ingot_session_step(session, times[i].index, &step))
            break;
        if (step.output)
            cli_type_text(step.output, type, sizeof type);
        printf("%10.4f %6.1f %8.1f  %-20s %-24s %-24s %s\n", ns * 1e-6, total ? 100 * ns / (double)total : 0,
               ns > 0 ? (double)step.flops / ns : 0, cli_printable(step.op_type), type, cli_printable(step.kernel),
               cli_printable(step.node));
    }
    printf("%10.4f  100.0 %8s  %zu steps\n", (double)total * 1e-6, "", n);
}

/* The last run in the trace event format: one complete event ("X") for each step, times in microseconds.
 * Source: Google, "Trace Event Format". */
static void fill_trace(const ingot_session *session, cli_json *trace)
{
    cli_json *events = cli_json_array(trace, "traceEvents");
    ingot_step_info step;
    for (size_t i = 0; ingot_session_step(session, i, &step); i++) {
        char type[120] = "";
        cli_json *event = cli_json_append(events);
        cli_json_text(event, "name", step.op_type);
        cli_json_text(event, "ph", "X");
        cli_json_int(event, "pid", 1);
        cli_json_int(event, "tid", 1);
        cli_json_micros(event, "ts", step.start_ns);
        cli_json_micros(event, "dur", step.time_ns);
        cli_json *arguments = cli_json_object(event, "args");
        cli_json_text(arguments, "node", step.node);
        cli_json_text(arguments, "kernel", step.kernel);
        cli_json_text(arguments, "output", step.output ? cli_type_text(step.output, type, sizeof type) : "");
        cli_json_int(arguments, "flops", step.flops);
        cli_json_int(arguments, "bytes", step.bytes);
    }
}

static ingot_status run(const char *const *operands, ingot_error *error)
{
    cli_setup s = {.model = NULL};
    step_time *times = NULL;
    size_t n = 0;
    cli_json *trace = NULL;
    ingot_status st = trace_path ? cli_json_new(&trace, error) : INGOT_OK;
    if (!st && !(st = cli_set_up(operands[0], &inputs, &dims, true, &s, error)) &&
        !(st = measure(s.session, &times, &n, error))) {
        if (!common.quiet)
            print_table(s.session, times, n);
        if (trace) {
            fill_trace(s.session, trace);
            st = cli_json_write(trace, trace_path, error);
        }
    }
    if (trace)
        cli_json_free(trace);
    free(times);
    cli_tear_down(&s);
    return st;
}

const cli_command command_profile = {
    .name = "profile",
    .operands = "MODEL",
    .summary = "where the time of a run goes, step by step",
    .options = options,
    .run = run,
    .examples = "  ingot profile MyNet.onnx --threads 1\n"
                "  ingot profile bert.onnx --dim batch=8 --rows 10\n"
                "  ingot profile MyNet.onnx --trace MyNet.json       one bar for each step of the last run\n",
};
