/* compare_errors.c - how far two values are apart, as numbers for a table: no verdict. */
#include "cli/cli.h"

#include <math.h>
#include <string.h>

/* Floats in their order as integers, so that neighbours differ by one; -0 and 0 are the same. */
static int64_t float_rank(double x)
{
    const float f = (float)x;
    int32_t bits;
    memcpy(&bits, &f, sizeof bits);
    return bits < 0 ? -(int64_t)(bits & INT32_MAX) : bits;
}

/* What the sums of a comparison are kept in. */
typedef struct sums {
    double rtol, atol, absolute, relative, product, got, want;
} sums;

/* Add one pair to the sums and the largest errors. Pairs that are equal, or of which one is no number, are settled
 * first, since a difference with infinity or NaN tells nothing; they enter the lengths that the cosine is made of as
 * equal. */
static void add_element(cli_errors *e, sums *s, double x, double y, int64_t index)
{
    if (x == y || (isnan(x) && isnan(y)) || !isfinite(x) || !isfinite(y)) {
        if (!(x == y || (isnan(x) && isnan(y)))) { /* only one is a number, or they are different infinities */
            e->n_special++;
            e->n_differ++;
            e->max_abs = e->max_rel = e->max_ulps = INFINITY;
            e->worst = index;
        }
        if (isfinite(x))
            s->product += x * x, s->got += x * x, s->want += x * x;
        return;
    }
    const double error = fabs(x - y), size = fabs(y), ulps = fabs((double)(float_rank(x) - float_rank(y)));
    s->absolute += error;
    s->product += x * y;
    s->got += x * x;
    s->want += y * y;
    if (error > e->max_abs) {
        e->max_abs = error;
        e->worst = index;
    }
    e->max_ulps = ulps > e->max_ulps ? ulps : e->max_ulps;
    e->n_differ += error > s->atol + s->rtol * size;
    if (size > 0) {
        s->relative += error / size;
        e->max_rel = fmax(e->max_rel, error / size);
    }
}

/* Only tensors of numbers with as many elements are measured; all else leaves max_abs infinite and `measured` false. */
cli_errors cli_measure(const ingot_tensor *got, const ingot_tensor *want, double rtol, double atol)
{
    cli_errors e = {.max_abs = INFINITY};
    const bool numbers = got->kind == INGOT_TENSOR && want->kind == INGOT_TENSOR && got->dtype != INGOT_STRING &&
                         want->dtype != INGOT_STRING;
    const int64_t n = numbers ? ingot_tensor_count(got) : 0;
    if (!numbers || n != ingot_tensor_count(want))
        return e;
    const bool exact = !cli_is_float(got->dtype) && !cli_is_float(want->dtype);
    sums s = {.rtol = exact ? 0 : rtol, .atol = exact ? 0 : atol};
    e = (cli_errors){.measured = true, .worst = -1, .n = n};
    for (int64_t i = 0; i < n; i++)
        add_element(&e, &s, cli_element(got, i), cli_element(want, i), i);
    const double count = n ? (double)n : 1;
    e.mean_abs = s.absolute / count;
    e.mean_rel = s.relative / count;
    e.rms = sqrt(s.want / count);
    const double lengths = sqrt(s.got) * sqrt(s.want);
    e.cosine = lengths > 0 ? fmin(1, s.product / lengths) : s.got == s.want ? 1 : 0;
    return e;
}
