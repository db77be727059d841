/* strip.c - float goes to the kernels; double is rare enough for plain loops. */
#include "ops/strip.h"

/* Mean and population variance of n elements from at on. Two passes in f64; the f32 kernel has its own way. */
void ingot_strip_moments(const ingot_strips *s, int64_t at, int64_t n, double *mean, double *variance)
{
    if (s->dtype == INGOT_FLOAT) {
        s->kernels->moments_f32((const float *)s->src + at, n, mean, variance);
        return;
    }
    const double *x = (const double *)s->src + at, count = n > 0 ? (double)n : 1;
    /* The mean first, since differences from it lose no digits. */
    double sum = 0, squares = 0;
    for (int64_t i = 0; i < n; i++)
        sum += x[i];
    *mean = sum / count;
    for (int64_t i = 0; i < n; i++)
        squares += (x[i] - *mean) * (x[i] - *mean);
    *variance = squares / count;
}

/* Sum of squares of n elements from `at` on, in double for both types. */
double ingot_strip_squares(const ingot_strips *s, int64_t at, int64_t n)
{
    if (s->dtype == INGOT_FLOAT)
        return s->kernels->sum_squares_f32((const float *)s->src + at, n);
    const double *x = (const double *)s->src + at;
    double squares = 0;
    for (int64_t i = 0; i < n; i++)
        squares += x[i] * x[i];
    return squares;
}

/* dst = (src - sub) * mul + add over n elements with the same parameters. */
void ingot_strip_scale(const ingot_strips *s, int64_t at, int64_t n, double sub, double mul, double add)
{
    if (s->dtype == INGOT_FLOAT) {
        s->kernels->scale_shift_f32((float *)s->dst + at, (const float *)s->src + at, n, (float)sub, (float)mul,
                                    (float)add);
        return;
    }
    const double *x = (const double *)s->src + at;
    double *y = (double *)s->dst + at;
    for (int64_t i = 0; i < n; i++)
        y[i] = (x[i] - sub) * mul + add;
}

/* As ingot_strip_scale, with a scale for each element and, unless NULL, a term to add; both have n elements of the
 * strips' type. */
void ingot_strip_scale_row(const ingot_strips *s, int64_t at, int64_t n, double sub, double mul, const void *scale,
                           const void *add)
{
    if (s->dtype == INGOT_FLOAT) {
        s->kernels->scale_row_f32((float *)s->dst + at, (const float *)s->src + at, n, (float)sub, (float)mul, scale,
                                  add);
        return;
    }
    const double *x = (const double *)s->src + at, *scales = scale, *adds = add;
    double *y = (double *)s->dst + at;
    for (int64_t i = 0; i < n; i++)
        y[i] = (x[i] - sub) * mul * scales[i] + (adds ? adds[i] : 0);
}

/* Element index of a per-channel parameter of any float type; one that is left out counts as 0. */
double ingot_parameter(const ingot_tensor *tensor, int64_t index)
{
    if (!tensor)
        return 0;
    if (tensor->dtype == INGOT_FLOAT)
        return (double)((const float *)tensor->data)[index];
    return ingot_double_at(tensor, index);
}
