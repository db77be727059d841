/* bench.c - `ingot bench`: how long a model takes to load, the first time and every time after. */
#include "cli/cli.h"

#include <math.h>
#include <stdlib.h>
#include <sys/resource.h>

/* What the options write to; a process runs one command, so that these need no owner. */
static cli_list inputs, dims;
static int64_t iterations = 50, warmup = 5;
static bool json;

static const cli_option options[] = {
    {"input", OPTION_LIST, &inputs, "[NAME=]FILE", "an input: .npy .npz .pb .pt .png .jpg .webp; else random", 0},
    {"iterations", OPTION_INT, &iterations, "N", "timed runs (default 50)", 1},
    {"warmup", OPTION_INT, &warmup, "N", "runs before them, the first included (default 5)", 0},
    {"dim", OPTION_LIST, &dims, "NAME=N", "size of a free dimension of inputs that are not given", 0},
    {"json", OPTION_FLAG, &json, NULL, "print one line of JSON", 0},
    {NULL, OPTION_FLAG, NULL, NULL, NULL, 0},
};

/* The times of the runs that count, and that of the very first one. */
typedef struct timing {
    double first_ms, *times_ms; /* sorted in the end */
    size_t n;
} timing;

/* Ascending, for qsort(). */
static int by_size(const void *a, const void *b)
{
    const double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

/* Of sorted times, the smallest that is not exceeded by that share of them. */
static double percentile(const timing *t, double share)
{
    const size_t rank = (size_t)ceil(share * (double)t->n);
    return t->times_ms[rank ? rank - 1 : 0];
}

/* Of sorted times; between the two in the middle where their number is even. */
static double median(const timing *t)
{
    return (t->times_ms[(t->n - 1) / 2] + t->times_ms[t->n / 2]) / 2;
}

/* Nothing but the run is timed: inputs are bound once, and outputs are not looked at. */
static ingot_status timed_run(ingot_session *session, double *time_ms, ingot_error *error)
{
    const double start = cli_now_ms();
    const ingot_status st = ingot_session_run(session, error);
    *time_ms = cli_now_ms() - start;
    return st;
}

/* The first run plans, packs weights and touches memory for the first time, so it is told apart from the others and
 * counts as one of the warm-up. The times are sorted in the end. */
static ingot_status measure(ingot_session *session, timing *t, ingot_error *error)
{
    double ignored;
    const size_t n_warmup = warmup > 1 ? (size_t)warmup - 1 : 0, total = n_warmup + (size_t)iterations;
    ingot_status st = timed_run(session, &t->first_ms, error);
    for (size_t i = 0; !st && i < total; i++) {
        st = timed_run(session, i < n_warmup ? &ignored : &t->times_ms[t->n], error);
        t->n += i >= n_warmup;
        cli_progress("runs", i + 1, total);
    }
    cli_progress_end();
    qsort(t->times_ms, t->n, sizeof *t->times_ms, by_size);
    return st;
}

/* Of the whole process since its start: model, packed weights, activations and the libraries. Linux counts in KiB. */
static double peak_mib(void)
{
    struct rusage usage;
    return getrusage(RUSAGE_SELF, &usage) ? 0 : (double)usage.ru_maxrss / 1024;
}

/* One list makes the table and the JSON. */
static void print_results(const cli_setup *s, const timing *t, cli_json *object)
{
    const struct {
        const char *key, *label;
        double value;
    } rows[] = {
        {"median_ms", "median", median(t)},
        {"min_ms", "fastest", t->times_ms[0]},
        {"p90_ms", "90 %", percentile(t, 0.90)},
        {"p99_ms", "99 %", percentile(t, 0.99)},
        {"load_ms", "load", s->load_ms},
        {"first_ms", "first run", t->first_ms},
        {"peak_mib", "peak memory", peak_mib()},
    };
    const int64_t n_threads = ingot_session_n_threads(s->session);
    const size_t n_rows = sizeof rows / sizeof *rows;
    if (object) {
        for (size_t i = 0; i < n_rows; i++)
            cli_json_number(object, rows[i].key, rows[i].value);
        cli_json_int(object, "iterations", iterations);
        cli_json_int(object, "threads", n_threads);
        cli_json_text(object, "isa", ingot_isa());
        return;
    }
    for (size_t i = 0; i < n_rows; i++)
        printf("%-12s %10.3f %s\n", rows[i].label, rows[i].value, i + 1 < n_rows ? "ms" : "MiB");
    printf("%lld runs, %lld thread%s, %s\n", (long long)iterations, (long long)n_threads, n_threads == 1 ? "" : "s",
           ingot_isa());
}

/* Results are collected before they are printed, so that a failed run prints no half table and no half JSON. */
static ingot_status run(const char *const *operands, ingot_error *error)
{
    cli_setup s = {.model = NULL};
    cli_json *object = NULL;
    ingot_status st = json ? cli_json_new(&object, error) : INGOT_OK;
    if (st)
        return st;
    timing t = {.times_ms = calloc((size_t)iterations, sizeof *t.times_ms)};
    if (!t.times_ms)
        st = cli_fail(error, INGOT_LIMIT, "out of memory for %lld times", (long long)iterations);
    else if (!(st = cli_set_up(operands[0], &inputs, &dims, false, &s, error)))
        st = measure(s.session, &t, error);
    if (!st && (json || !common.quiet))
        print_results(&s, &t, object);
    if (object && !st)
        cli_json_print(object);
    else if (object)
        cli_json_free(object);
    free(t.times_ms);
    cli_tear_down(&s);
    return st;
}

const cli_command command_bench = {
    .name = "bench",
    .operands = "MODEL",
    .summary = "time a model: loading, the first run, and many more",
    .options = options,
    .takes_pictures = true,
    .run = run,
    .examples = "  ingot bench MyNet.onnx --threads 1\n"
                "  ingot bench bert.onnx --dim batch=8 --dim sequence=128 --iterations 200\n"
                "  ingot bench MyNet.onnx --input x.npy --json\n",
};
