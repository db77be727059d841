/* ml.c - lists, labels and scores of ai.onnx.ml. Scores are doubles until they are written. */
#include "ops/ml.h"

#include <math.h>
#include <string.h>

#include "ops/scalar.h"

/* A list attribute of the given type, or NULL with *n = 0 where it is missing, empty or of another type: the
 * operators of ai.onnx.ml take all of these for "not given". The typed readers below hand out the list itself, which
 * the graph owns. */
static const ingot_attr *list_of(const ingot_op_ctx *c, const char *name, ingot_attr_type type, int64_t *n)
{
    const ingot_attr *a = ingot_node_attr(c->node, name);
    const bool given = a && a->type == type && a->n;
    *n = given ? (int64_t)a->n : 0;
    return given ? a : NULL;
}

/* The list of floats of an attribute, *n of them; NULL and 0 when it is not given. */
const float *ingot_ml_floats(const ingot_op_ctx *c, const char *name, int64_t *n)
{
    const ingot_attr *a = list_of(c, name, INGOT_ATTR_FLOATS, n);
    return a ? a->floats : NULL;
}

/* Likewise of integers. */
const int64_t *ingot_ml_ints(const ingot_op_ctx *c, const char *name, int64_t *n)
{
    const ingot_attr *a = list_of(c, name, INGOT_ATTR_INTS, n);
    return a ? a->ints : NULL;
}

/* Likewise of strings, which are the model's own. */
const ingot_string *ingot_ml_strings(const ingot_op_ctx *c, const char *name, int64_t *n)
{
    const ingot_attr *a = list_of(c, name, INGOT_ATTR_STRINGS, n);
    return a ? a->strings : NULL;
}

/* Features are (n, width), or one row of `width`: n = 1. Other ranks are INVALID. */
ingot_status ingot_ml_rows(ingot_op_ctx *c, int64_t *n, int64_t *width)
{
    const ingot_tensor *x = c->in[0];

    if (x->rank != 1 && x->rank != 2)
        return ingot_op_fail(c, INGOT_INVALID, "features of rank %d; expected rows of them, or one row", x->rank);
    *n = x->rank == 2 ? x->shape[0] : 1;
    *width = x->shape[x->rank - 1];
    return INGOT_OK;
}

/* A row of features as doubles, whatever their type. */
void ingot_ml_read_row(const ingot_tensor *x, int64_t row, int64_t width, double *values)
{
    const int64_t at = row * width;

    if (x->dtype == INGOT_FLOAT)
        for (int64_t i = 0; i < width; i++)
            values[i] = (double)((const float *)x->data)[at + i];
    else
        for (int64_t i = 0; i < width; i++)
            values[i] = ingot_double_at(x, at + i);
}

/* Labels of classes: the attribute named `ints` if it is given, else classlabels_strings; n = 0 where neither is. */
ingot_ml_labels ingot_ml_read_labels(const ingot_op_ctx *c, const char *ints)
{
    ingot_ml_labels labels = { 0 };

    labels.ints = ingot_ml_ints(c, ints, &labels.n);
    if (!labels.ints)
        labels.strings = ingot_ml_strings(c, "classlabels_strings", &labels.n);
    return labels;
}

/* Labels are strings or int64; without any they are indices, int64 too. */
ingot_dtype ingot_ml_label_dtype(const ingot_ml_labels *labels)
{
    return labels->strings ? INGOT_STRING : INGOT_INT64;
}

/* Write the label of class `index` to a row. Without labels, or past their end, the label is the index itself (for
 * texts: the empty one), and 0 for INGOT_NONE. */
void ingot_ml_put_label(ingot_tensor *out, int64_t row, const ingot_ml_labels *labels, int64_t index)
{
    const bool named = index >= 0 && index < labels->n;

    if (labels->strings)
        ((ingot_string *)out->data)[row] = named ? labels->strings[index] : (ingot_string){ "", 0 };
    else
        ((int64_t *)out->data)[row] = named ? labels->ints[index] : MAX(index, 0);
}

/* The attribute post_transform; INVALID when it is none of the standard's. */
ingot_status ingot_ml_read_transform(ingot_op_ctx *c, ingot_ml_transform *transform)
{
    static const char *const names[] = { "NONE", "SOFTMAX", "LOGISTIC", "SOFTMAX_ZERO", "PROBIT" };
    const char *name = ingot_attr_string(c->node, "post_transform", "NONE");

    for (int i = 0; i < INGOT_ML_N_TRANSFORMS; i++)
        if (!strcmp(name, names[i])) {
            *transform = (ingot_ml_transform)i;
            return INGOT_OK;
        }
    return ingot_op_fail(c, INGOT_INVALID, "attribute 'post_transform' is '%.40s'", name);
}

/* Winitzki's approximation of the inverse error function, which the reference has: relative error below 2e-3. 0.147
 * is the constant of the formula; at -1 and 1, where the function is infinite, it gives 0. */
static double inverse_erf(double x)
{
    const double product = (1 - x) * (1 + x), pi = 3.14159265358979323846;

    if (product == 0)
        return 0;
    const double logarithm = log(product), v = 2 / (pi * 0.147) + 0.5 * logarithm;
    return copysign(sqrt(-v + sqrt(v * v - logarithm / 0.147)), x);
}

/* SOFTMAX_ZERO: a softmax where numbers that are too small to tell from 0 keep next to nothing, and a sum of 0 gives
 * 0.5 for each. */
static void softmax_zero(double *scores, int64_t n)
{
    double largest = -INFINITY, sum = 0;

    for (int64_t i = 0; i < n; i++)
        largest = MAX(largest, scores[i]);
    for (int64_t i = 0; i < n; i++) {
        scores[i] = fabs(scores[i]) <= 1e-7 ? scores[i] * exp(-largest) : exp(scores[i] - largest);
        sum += scores[i];
    }
    for (int64_t i = 0; i < n; i++)
        scores[i] = sum == 0 ? 0.5 : scores[i] / sum;
}

/* Transform n scores of one row in place. */
void ingot_ml_apply(ingot_ml_transform transform, double *scores, int64_t n)
{
    switch (transform) {
    case INGOT_ML_SOFTMAX: ingot_softmax_f64(scores, n); break;
    case INGOT_ML_SOFTMAX_ZERO: softmax_zero(scores, n); break;
    case INGOT_ML_LOGISTIC:
        for (int64_t i = 0; i < n; i++)
            scores[i] = 1 / (1 + exp(-scores[i]));
        break;
    case INGOT_ML_PROBIT:
        for (int64_t i = 0; i < n; i++)
            scores[i] = 1.41421356 * inverse_erf(scores[i] * 2 - 1);
        break;
    default: break;
    }
}

/* Index of the largest score, the first of equal ones; a NaN counts as largest, as numpy has it. INGOT_NONE when n is
 * 0. */
int64_t ingot_ml_best(const double *scores, int64_t n)
{
    int64_t best = n > 0 ? 0 : INGOT_NONE;

    for (int64_t i = 1; i < n; i++)
        if (scores[i] > scores[best] || (isnan(scores[i]) && !isnan(scores[best])))
            best = i;
    return best;
}
