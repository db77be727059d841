/* verify_shadow.c - is a departure rounding, or a mistake?
 *
 * The graph is run in float64, whose own errors are far below those of float32: what it computes is taken for the
 * truth. Then it is run N_NOISY times more, in float64 as well, but with what float32 would have rounded disturbed at
 * random by as much: weights, and every element that float32 does not hold exactly. How far these runs come to lie from
 * the truth is how far rounding carries a result of this graph on these inputs, with all that the layers amplify or
 * cancel. A result within FACTOR times of it is rounding; one further away is a mistake: Ingot's, if it is Ingot's
 * result, or else the model is not what was dumped. Source of the idea: Parker, "Monte Carlo Arithmetic" (1997);
 * Vignes, "Discrete Stochastic Arithmetic" (2004). */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "cli/verify.h"

enum { N_NOISY = 3 };
static const double FACTOR = 8, FLOAT_EPSILON = 0x1p-24, HALF_EPSILON = 0x1p-11, BFLOAT_EPSILON = 0x1p-8;

/* One run in float64 on its way: the rows that it fills, and the state of the noise. */
typedef struct shadow {
    const verify_graph *graph;
    verify_rows *rows;
    uint64_t random; /* 0: the run without noise */
    ingot_status status;
    ingot_error *error;
} shadow;

/* Half a unit in the last place of the type that the value has in the file. */
static double epsilon_of(ingot_dtype dtype)
{
    return dtype == INGOT_FLOAT16 ? HALF_EPSILON : dtype == INGOT_BFLOAT16 ? BFLOAT_EPSILON : FLOAT_EPSILON;
}

/* xorshift64* (Vigna, 2016), as a number from -1 to 1. */
static double next_random(shadow *s)
{
    s->random ^= s->random >> 12;
    s->random ^= s->random << 25;
    s->random ^= s->random >> 27;
    return (double)(int64_t)(s->random * UINT64_C(0x2545f4914f6cdd1d)) * 0x1p-63;
}

/* Elements that the narrow type holds exactly are not rounded: whole numbers, zeros, what was only moved. */
static void disturb(shadow *s, ingot_tensor *tensor, double epsilon)
{
    double *elements = tensor->data;
    const int64_t n = ingot_tensor_count(tensor);
    for (int64_t i = 0; i < n; i++)
        if (epsilon > FLOAT_EPSILON || (double)(float)elements[i] != elements[i])
            elements[i] *= 1 + epsilon * next_random(s);
}

/* Over all elements; NaN equals NaN, and what only one of the two has is infinitely far. */
static verify_distance distance(const ingot_tensor *a, const ingot_tensor *b)
{
    verify_distance d = {0, 0};
    const int64_t n = ingot_tensor_count(b);
    if (ingot_tensor_count(a) != n)
        return (verify_distance){INFINITY, INFINITY};
    for (int64_t i = 0; i < n; i++) {
        const double x = cli_element(a, i), y = cli_element(b, i);
        if (x == y || (isnan(x) && isnan(y)))
            continue;
        const double error = isfinite(x - y) ? fabs(x - y) : INFINITY;
        d.max = fmax(d.max, error);
        d.rms += error * error;
    }
    d.rms = sqrt(d.rms / (double)(n ? n : 1));
    return d;
}

/* With --isolate the nodes that follow read the dump's values here too. */
static bool put_wanted(const verify_row *row, ingot_tensor *tensor)
{
    const int64_t n = ingot_tensor_count(tensor);
    if (!verify_opts.isolate || n != ingot_tensor_count(&row->want.tensor) ||
        (tensor->dtype != INGOT_DOUBLE && tensor->dtype != row->want.tensor.dtype))
        return false;
    if (tensor->dtype != INGOT_DOUBLE) {
        memcpy(tensor->data, row->want.tensor.data, n ? (size_t)n * ingot_dtype_size_bytes(tensor->dtype) : 0);
        return true;
    }
    for (int64_t i = 0; i < n; i++)
        ((double *)tensor->data)[i] = cli_element(&row->want.tensor, i);
    return true;
}

/* Whole numbers are not disturbed themselves, but may follow from what is (quantized values). */
static bool watch(void *user, const char *name, const char *node, ingot_tensor *tensor)
{
    shadow *s = user;
    const int64_t index = verify_graph_find(s->graph, name);
    (void)node;
    if (s->status || index < 0 || tensor->kind != INGOT_TENSOR || tensor->dtype == INGOT_STRING)
        return false;
    const verify_value *value = &s->graph->values[index];
    verify_row *row = value->row < 0 ? NULL : &s->rows->rows[value->row];
    const bool is_widened = tensor->dtype == INGOT_DOUBLE && value->dtype != INGOT_DOUBLE;
    if (s->random && is_widened)
        disturb(s, tensor, epsilon_of(value->dtype));
    /* without noise: the value is the truth; with it: its distance from the truth */
    if (row && !s->random) {
        cli_value_free(&row->exact);
        s->status = verify_copy(tensor, &row->exact, s->error);
        row->has_bound = !s->status;
    } else if (row && row->has_bound) {
        const verify_distance d = distance(tensor, &row->exact.tensor);
        row->bound.max = fmax(row->bound.max, d.max);
        row->bound.rms = fmax(row->bound.rms, d.rms);
    }
    return (row && put_wanted(row, tensor)) || (s->random && is_widened);
}

/* One run: seed 0 without noise. */
static ingot_status run_once(const char *path, cli_dump *dump, shadow *s, uint64_t seed, char *note, size_t capacity)
{
    const ingot_model_options options = {.size_bytes = sizeof options,
                                         .max_memory_bytes = common.max_memory_bytes,
                                         .portable = common.portable,
                                         .in_double = true,
                                         .noise = seed ? FLOAT_EPSILON : 0,
                                         .noise_seed = seed};
    ingot_model *model = NULL;
    s->random = seed * UINT64_C(0x9e3779b97f4a7c15);
    ingot_status st = ingot_model_load(path, &options, &model, s->error);
    if (!st && !seed && ingot_model_pass_report(model, 0) && !strstr(ingot_model_pass_report(model, 0), ": 0 nodes"))
        snprintf(note, capacity, "%s", ingot_model_pass_report(model, 0));
    if (!st && !(st = verify_watch(model, dump, true, watch, s, s->error)))
        st = s->status;
    ingot_model_free(model);
    return st;
}

/* Both by the largest element and by all of them: one wrong element counts, and so do many that are a little off. */
bool verify_is_near(verify_distance d, verify_distance bound) { return d.max <= bound.max && d.rms <= bound.rms; }

/* No bound is below two roundings of the result itself. */
static void judge(const verify_graph *graph, verify_row *row)
{
    const ingot_dtype dtype = graph->values[row->value].dtype;
    const double least = cli_is_float(dtype) ? 2 * epsilon_of(dtype) : 0;
    double mean, rms, largest = 0;
    verify_describe(&row->exact.tensor, &mean, &rms);
    for (int64_t i = 0; i < ingot_tensor_count(&row->exact.tensor); i++) {
        const double size = fabs(cli_element(&row->exact.tensor, i));
        largest = isfinite(size) ? fmax(largest, size) : largest;
    }
    /* what rounding explains, and how far Ingot's result and the dump's are from the truth */
    row->bound.max = FACTOR * fmax(row->bound.max, least * largest);
    row->bound.rms = FACTOR * fmax(row->bound.rms, least * rms);
    row->ours = distance(&row->got.tensor, &row->exact.tensor);
    row->theirs = distance(&row->want.tensor, &row->exact.tensor);
    if (!verify_is_near(row->ours, row->bound) || !verify_is_near(row->theirs, row->bound))
        row->verdict = VERDICT_MISTAKE;
    else if (row->verdict == VERDICT_DEPARTS && row->errors.measured)
        row->verdict = VERDICT_ROUNDING;
}

/* The run without noise first, as the others are measured against it; then the rows are judged anew. Where a run
 * fails, the note says why and the tolerances' verdicts stay. */
ingot_status verify_shadow(const char *path, verify_graph *graph, cli_dump *dump, verify_rows *rows, char *note,
                           size_t capacity, ingot_error *error)
{
    shadow s = {.graph = graph, .rows = rows, .error = error};
    ingot_status st = INGOT_OK;
    for (uint64_t seed = 0; seed <= N_NOISY && !st; seed++)
        st = run_once(path, dump, &s, seed, note, capacity);
    for (size_t i = 0; i < rows->n; i++) {
        verify_row *row = &rows->rows[i];
        if (st)
            row->has_bound = false;
        else if (row->seen && row->has_bound)
            judge(graph, row);
    }
    if (st && st != INGOT_CANCELLED) { /* tolerances have judged already */
        snprintf(note, capacity, "no float64 run to tell rounding from mistakes: %s", error->message);
        error->message[0] = 0;
        st = INGOT_OK;
    }
    return st;
}
