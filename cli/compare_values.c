/* compare_values.c - do two values agree? |got - want| <= atol + rtol * |want| for floats, with NaN equal to NaN and
 * infinities equal to themselves; everything else must be the same. Types and shapes are part of a value. */
#include "cli/cli.h"

#include <math.h>
#include <string.h>

enum { MOST_DEPTH = 8 }; /* of sequences in optionals in sequences */

/* One comparison on its way through a value: the tolerances, what was found so far, and where in it we are. */
typedef struct comparison {
    double rtol, atol;
    cli_difference *d;
    char where[120]; /* "item 3, " for what is inside a sequence */
} comparison;

/* "[0,3,1]" of the element with this index */
static void index_text(const ingot_tensor *t, int64_t index, char *text, size_t capacity)
{
    int64_t at[INGOT_MAX_RANK];
    size_t used = (size_t)snprintf(text, capacity, "[");
    for (int32_t i = t->rank - 1; i >= 0; i--) {
        at[i] = index % t->shape[i];
        index /= t->shape[i];
    }
    for (int32_t i = 0; i < t->rank && used + 24 < capacity; i++)
        used += (size_t)snprintf(text + used, capacity - used, "%s%lld", i ? "," : "", (long long)at[i]);
    snprintf(text + used, capacity - used, "]");
}

/* An element as text, by way of the printer that `run` uses. */
static void element_text(const ingot_tensor *t, int64_t index, char *text, size_t capacity)
{
    FILE *out = fmemopen(text, capacity, "w");
    text[0] = 0;
    if (!out)
        return;
    cli_print_element(out, t, index);
    fclose(out);
    text[capacity - 1] = 0;
}

/* Count an element that differs; the first one is told with its index and both values. */
static void note_element(const comparison *c, const ingot_tensor *got, const ingot_tensor *want, int64_t i)
{
    char index[120], mine[70], theirs[70];
    if (c->d->n_differ++)
        return;
    index_text(want, i, index, sizeof index);
    element_text(got, i, mine, sizeof mine);
    element_text(want, i, theirs, sizeof theirs);
    if (!strcmp(mine, theirs)) { /* six digits do not tell them apart */
        snprintf(mine, sizeof mine, "%.17g", cli_element(got, i));
        snprintf(theirs, sizeof theirs, "%.17g", cli_element(want, i));
    }
    snprintf(c->d->first, sizeof c->d->first, "%.30s%.60s is %s, expected %s", c->where, index, mine, theirs);
}

/* Values of different types or shapes are not compared any further. Returns false for its callers to pass on. */
static bool note_type(const comparison *c, const ingot_tensor *got, const ingot_tensor *want)
{
    char mine[100], theirs[100];
    if (!c->d->n_differ++)
        snprintf(c->d->first, sizeof c->d->first, "%.30s%.90s, expected %.90s", c->where,
                 cli_type_text(got, mine, sizeof mine), cli_type_text(want, theirs, sizeof theirs));
    return false;
}

/* Equal, or both NaN. */
static bool same_number(double x, double y) { return x == y || (isnan(x) && isnan(y)); }

/* Is x close enough to y? Keeps the largest errors. */
static bool close_enough(const comparison *c, double x, double y, double error)
{
    if (same_number(x, y))
        return true;
    if (!isfinite(x) || !isfinite(y)) {
        c->d->max_abs = INFINITY;
        return false;
    }
    const double size = fabs(y);
    c->d->max_abs = error > c->d->max_abs ? error : c->d->max_abs;
    if (size > 0 && error / size > c->d->max_rel)
        c->d->max_rel = error / size;
    return error <= c->atol + c->rtol * size;
}

/* Every float type is compared as double, which holds all of their values. */
static void compare_floats(const comparison *c, const ingot_tensor *got, const ingot_tensor *want, int64_t n)
{
    for (int64_t i = 0; i < n; i++) {
        const double x = cli_element(got, i), y = cli_element(want, i);
        if (!close_enough(c, x, y, fabs(x - y)))
            note_element(c, got, want, i);
    }
}

/* Complex numbers by the size of their difference. */
static void compare_complex(const comparison *c, const ingot_tensor *got, const ingot_tensor *want, int64_t n)
{
    ingot_tensor x = *got, y = *want; /* the same numbers, as parts */
    x.dtype = y.dtype = got->dtype == INGOT_COMPLEX64 ? INGOT_FLOAT : INGOT_DOUBLE;
    for (int64_t i = 0; i < n; i++) {
        const double re = cli_element(&x, 2 * i), im = cli_element(&x, 2 * i + 1);
        const double want_re = cli_element(&y, 2 * i), want_im = cli_element(&y, 2 * i + 1);
        const bool same = same_number(re, want_re) && same_number(im, want_im);
        const double error = hypot(re - want_re, im - want_im), size = hypot(want_re, want_im);
        const bool finite = isfinite(error); /* else a part is no number, or infinite, in one of them alone */
        if (!same && !close_enough(c, finite ? size + error : INFINITY, finite ? size : 0, error))
            note_element(c, got, want, i);
    }
}

/* Integers and booleans: no tolerance, and no rounding of 64-bit numbers to doubles on the way. */
static void compare_exactly(const comparison *c, const ingot_tensor *got, const ingot_tensor *want, int64_t n)
{
    const size_t size = ingot_dtype_size_bytes(got->dtype);
    const char *x = got->data, *y = want->data;
    for (int64_t i = 0; i < n; i++, x += size, y += size) {
        if (!memcmp(x, y, size))
            continue;
        const double error = fabs(cli_element(got, i) - cli_element(want, i));
        c->d->max_abs = error > c->d->max_abs ? error : c->d->max_abs;
        note_element(c, got, want, i);
    }
}

/* Strings are bytes: no normalization, no tolerance. */
static bool same_string(const ingot_string *x, const ingot_string *y)
{
    return x->size_bytes == y->size_bytes && (!x->size_bytes || !memcmp(x->data, y->data, x->size_bytes));
}

/* Each string that differs counts once, however much of it does. */
static void compare_strings(const comparison *c, const ingot_tensor *got, const ingot_tensor *want, int64_t n)
{
    const ingot_string *x = got->data, *y = want->data;
    for (int64_t i = 0; i < n; i++)
        if (!same_string(&x[i], &y[i]))
            note_element(c, got, want, i);
}

/* Types and shapes first: equal elements in another shape are another value. Then the elements, in the way of their
 * type; returns whether none of them differs. */
static bool compare_tensors(const comparison *c, const ingot_tensor *got, const ingot_tensor *want)
{
    if (got->dtype != want->dtype || got->rank != want->rank ||
        memcmp(got->shape, want->shape, (size_t)got->rank * sizeof *got->shape))
        return note_type(c, got, want);
    const int64_t n = ingot_tensor_count(got), before = c->d->n_differ;
    c->d->n += n;
    if (cli_is_float(got->dtype))
        compare_floats(c, got, want, n);
    else if (got->dtype == INGOT_COMPLEX64 || got->dtype == INGOT_COMPLEX128)
        compare_complex(c, got, want, n);
    else if (got->dtype == INGOT_STRING)
        compare_strings(c, got, want, n);
    else
        compare_exactly(c, got, want, n);
    return c->d->n_differ == before;
}

static bool compare_values(comparison *c, const ingot_tensor *got, const ingot_tensor *want, int depth);

/* Index of the key that `want` has at i among the keys of `got`; they are often in the same order. -1: none. */
static int64_t find_key(const ingot_tensor *got, const ingot_tensor *want, int64_t i)
{
    const size_t size = ingot_dtype_size_bytes(want->dtype);
    const int64_t n = ingot_tensor_count(got);
    for (int64_t k = 0; k < n; k++) {
        const int64_t at = i + k < n ? i + k : i + k - n;
        const char *x = (const char *)got->data + (size_t)at * size, *y = (const char *)want->data + (size_t)i * size;
        if (want->dtype != INGOT_STRING ? !memcmp(x, y, size) : same_string((const void *)x, (const void *)y))
            return at;
    }
    return -1;
}

/* Value i of a map, whose values are a sequence or a tensor. */
static ingot_tensor map_value(const ingot_tensor *map, int64_t i)
{
    const ingot_tensor *values = (const ingot_tensor *)map->data + 1;
    if (values->kind != INGOT_TENSOR)
        return ((const ingot_tensor *)values->data)[i];
    return (ingot_tensor){.dtype = values->dtype,
                          .data = (char *)values->data + (size_t)i * ingot_dtype_size_bytes(values->dtype)};
}

/* Maps have no order: the values of equal keys are compared. */
static bool compare_maps(comparison *c, const ingot_tensor *got, const ingot_tensor *want, int depth)
{
    const ingot_tensor *keys = got->data, *wanted = want->data;
    const size_t n_where = strlen(c->where);
    const int64_t n = ingot_tensor_count(wanted);
    char key[70];
    bool same = true;
    /* as many keys of the same type, then the value of each */
    if (keys->dtype != wanted->dtype || ingot_tensor_count(keys) != n)
        return note_type(c, keys, wanted);
    for (int64_t i = 0; i < n; i++) {
        const int64_t at = find_key(keys, wanted, i);
        element_text(wanted, i, key, sizeof key);
        snprintf(c->where + n_where, sizeof c->where - n_where, "key %s ", key);
        if (at < 0) {
            if (!c->d->n_differ++)
                snprintf(c->d->first, sizeof c->d->first, "%.80s is missing", c->where);
            same = false;
        } else {
            const ingot_tensor x = map_value(got, at), y = map_value(want, i);
            same &= compare_values(c, &x, &y, depth);
        }
    }
    c->where[n_where] = 0;
    return same;
}

/* One level of two values: types first, then what is inside. Calls itself for that, MOST_DEPTH deep at most; `where`
 * grows on the way in and is cut back on the way out. */
static bool compare_values(comparison *c, const ingot_tensor *got, const ingot_tensor *want, int depth)
{
    const size_t n_where = strlen(c->where);
    bool same = true;
    /* tensors end the walk; of containers the number of items must agree, and then each item */
    if (got->kind != want->kind)
        return note_type(c, got, want);
    if (got->kind == INGOT_TENSOR)
        return compare_tensors(c, got, want);
    if (got->shape[0] != want->shape[0] || depth == MOST_DEPTH)
        return note_type(c, got, want);
    if (got->kind == INGOT_MAP)
        return compare_maps(c, got, want, depth + 1);
    for (int64_t i = 0; i < got->shape[0]; i++) {
        if (got->kind == INGOT_SEQUENCE)
            snprintf(c->where + n_where, sizeof c->where - n_where, "item %lld ", (long long)i);
        same &= compare_values(c, (const ingot_tensor *)got->data + i, (const ingot_tensor *)want->data + i, depth + 1);
    }
    c->where[n_where] = 0;
    return same;
}

/* Fills *difference with counts, the largest errors and the first difference as text; true where everything agrees. */
bool cli_compare(const ingot_tensor *got, const ingot_tensor *want, double rtol, double atol,
                 cli_difference *difference)
{
    comparison c = {.rtol = rtol, .atol = atol, .d = difference};
    *difference = (cli_difference){.n = 0};
    return compare_values(&c, got, want, 0);
}
