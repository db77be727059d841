/* ml_features.c - operators of ai.onnx.ml that rearrange, scale or threshold features: ArrayFeatureExtractor,
 * Binarizer, FeatureVectorizer, Imputer, Normalizer, OneHotEncoder, Scaler. To add one of these, give it its functions
 * and a row in the table below. */
#include <math.h>
#include <string.h>

#include "ops/ml.h"
#include "ops/scalar.h"

/* ---- ArrayFeatureExtractor: columns of the last axis, by number ---- */

/* (..., width) becomes (..., number of columns). A vector counts as a matrix of one row. */
static ingot_status infer_extract(ingot_op_ctx *c)
{
    const ingot_tensor *x = c->in[0];
    int64_t shape[INGOT_MAX_RANK] = { 1, 1 };
    const int rank = MAX(x->rank, 2);

    if (x->rank < 1 || ingot_count(c->in[1]) < 1)
        return ingot_op_fail(c, INGOT_INVALID, "an input of rank %d and %lld columns to extract", x->rank,
                             (long long)ingot_count(c->in[1]));
    if (x->rank > 1)
        memcpy(shape, x->shape, (size_t)x->rank * sizeof *shape);
    shape[rank - 1] = ingot_count(c->in[1]);
    return ingot_out(c, 0, x->dtype, rank, shape);
}

/* Columns are data of the run: one out of range is BAD_INPUT. Elements are copied as bytes, strings included, since a
 * string is a reference to text that the input owns. */
static ingot_status run_extract(ingot_op_ctx *c)
{
    const ingot_tensor *x = c->in[0], *columns = c->in[1];
    const int64_t width = x->shape[x->rank - 1], rows = ingot_span(x, 0, x->rank - 1), n = ingot_count(columns);
    const size_t item = ingot_dtype_size_bytes(x->dtype);
    char *to = c->out[0]->data;

    for (int64_t j = 0; j < n; j++) {
        const int64_t column = ingot_int_at(columns, j);
        if (column < 0 || column >= width)
            return ingot_op_fail(c, INGOT_BAD_INPUT, "column %lld of %lld", (long long)column, (long long)width);
        for (int64_t i = 0; i < rows; i++)
            memcpy(to + (size_t)(i * n + j) * item, (const char *)x->data + (size_t)(i * width + column) * item, item);
    }
    return INGOT_OK;
}

/* ---- element by element: Binarizer, Scaler, Imputer ---- */

static ingot_status infer_same(ingot_op_ctx *c) { return ingot_out_like(c, 0, c->in[0]); }

/* Scaler and the like give floats whatever they take. */
static ingot_status infer_float(ingot_op_ctx *c)
{
    return ingot_out(c, 0, INGOT_FLOAT, c->in[0]->rank, c->in[0]->shape);
}

/* 1 above the threshold, else 0. */
static void binarize(void *argument, int64_t begin, int64_t end, int thread)
{
    const ingot_op_ctx *c = argument;
    const double threshold = (double)ingot_attr_float(c->node, "threshold", 0.0f);

    (void)thread;
    for (int64_t i = begin; i < end; i++)
        ingot_put_double(c->out[0], i, ingot_double_at(c->in[0], i) > threshold ? 1.0 : 0.0);
}

/* A list has an element for each feature of the last axis, or one for all, or none; *step is how far to go between
 * features. INVALID when its length is neither. */
static ingot_status check_list(ingot_op_ctx *c, const char *name, int64_t n, int64_t *step)
{
    const ingot_tensor *x = c->in[0];
    const int64_t width = x->rank ? x->shape[x->rank - 1] : 1;

    *step = n > 1;
    if (n > 1 && n != width)
        return ingot_op_fail(c, INGOT_INVALID, "attribute '%s' has %lld elements for %lld features", name, (long long)n,
                             (long long)width);
    return INGOT_OK;
}

/* (x - offset) * scale, in doubles; left out, they are 0 and 1. Task over elements. */
static void scale_range(void *argument, int64_t begin, int64_t end, int thread)
{
    const ingot_op_ctx *c = argument;
    int64_t n_offsets, n_scales;
    const float *offsets = ingot_ml_floats(c, "offset", &n_offsets), *scales = ingot_ml_floats(c, "scale", &n_scales);
    const int64_t width = c->in[0]->rank ? c->in[0]->shape[c->in[0]->rank - 1] : 1;

    (void)thread;
    for (int64_t i = begin; i < end; i++) {
        const double offset = offsets ? (double)offsets[n_offsets > 1 ? i % width : 0] : 0;
        const double scale = scales ? (double)scales[n_scales > 1 ? i % width : 0] : 1;
        ingot_put_double(c->out[0], i, (ingot_double_at(c->in[0], i) - offset) * scale);
    }
}

/* Both lists are checked here, so that the task may index them. */
static ingot_status run_scaler(ingot_op_ctx *c)
{
    int64_t n_offsets, n_scales, step;
    ingot_status st;

    ingot_ml_floats(c, "offset", &n_offsets);
    ingot_ml_floats(c, "scale", &n_scales);
    if ((st = check_list(c, "offset", n_offsets, &step)) || (st = check_list(c, "scale", n_scales, &step)))
        return st;
    ingot_parallel(c->team, ingot_count(c->in[0]), 8192, scale_range, c);
    return INGOT_OK;
}

/* The threshold is an attribute, so that nothing can fail. */
static ingot_status run_binarizer(ingot_op_ctx *c)
{
    ingot_parallel(c->team, ingot_count(c->in[0]), 8192, binarize, c);
    return INGOT_OK;
}

/* Imputer: elements equal to replaced_value become the feature's imputed value. Float inputs use the lists of floats,
 * integer ones those of integers; the list for the input's type must be given. A NaN as replaced_value replaces NaN,
 * which equals nothing. */
static ingot_status run_imputer(ingot_op_ctx *c)
{
    const ingot_tensor *x = c->in[0];
    const bool real = ingot_is_float(x->dtype);
    const double replaced = (double)ingot_attr_float(c->node, "replaced_value_float", 0);
    const int64_t replaced_int = ingot_attr_int(c->node, "replaced_value_int64", 0);
    const int64_t width = x->rank ? x->shape[x->rank - 1] : 1;
    int64_t n_floats, n_ints, step;
    const float *floats = ingot_ml_floats(c, "imputed_value_floats", &n_floats);
    const int64_t *ints = ingot_ml_ints(c, "imputed_value_int64s", &n_ints);

    /* The list for the type of the input is the one that counts. */
    if (real ? !floats : !ints)
        return ingot_op_fail(c, INGOT_INVALID, "no values for missing elements of type %s", ingot_dtype_name(x->dtype));
    const ingot_status st = check_list(c, "imputed_value", real ? n_floats : n_ints, &step);
    for (int64_t i = 0; i < ingot_count(x) && !st; i++) {
        const int64_t k = step * (i % width);
        if (real) {
            const double value = ingot_double_at(x, i);
            const bool missing = isnan(replaced) ? isnan(value) : value == replaced;
            ingot_put_double(c->out[0], i, missing ? (double)floats[k] : value);
        } else {
            const int64_t value = ingot_int_at(x, i);
            ingot_put_int(c->out[0], i, value == replaced_int ? ints[k] : value);
        }
    }
    return st;
}

/* ---- Normalizer: rows divided by their largest magnitude, or sum of magnitudes, or length ---- */

/* kind: 'M' largest magnitude, '1' sum of magnitudes, '2' length. */
static double norm_of(const double *row, int64_t n, char kind)
{
    double norm = 0;

    for (int64_t i = 0; i < n; i++) {
        const double size = fabs(row[i]);
        norm = kind == 'M' ? MAX(norm, size) : norm + (kind == '1' ? size : size * size);
    }
    return kind == '2' ? sqrt(norm) : norm;
}

/* Y is float and like X, whose rows are normalized each by itself. */
static ingot_status infer_normalizer(ingot_op_ctx *c)
{
    int64_t n, width;
    const ingot_status st = ingot_ml_rows(c, &n, &width);
    return st ? st : infer_float(c);
}

/* Each thread holds one row as doubles. */
static ingot_status prepare_normalizer(ingot_op_ctx *c)
{
    const char *norm = ingot_attr_string(c->node, "norm", "MAX");
    int64_t n, width;
    const ingot_status st = ingot_ml_rows(c, &n, &width);

    if (!st && strcmp(norm, "MAX") && strcmp(norm, "L1") && strcmp(norm, "L2"))
        return ingot_op_fail(c, INGOT_INVALID, "attribute 'norm' is '%.40s'", norm);
    if (!st)
        ingot_want_scratch(c, 0, (size_t)width * sizeof(double));
    return st;
}

/* A row of zeros stays one: its norm counts as 1e-30. */
static void normalize_rows(void *argument, int64_t begin, int64_t end, int thread)
{
    const ingot_op_ctx *c = argument;
    const char *norm = ingot_attr_string(c->node, "norm", "MAX");
    const int64_t width = c->in[0]->shape[c->in[0]->rank - 1];
    double *values = (double *)(void *)ingot_thread_scratch(c, thread);
    float *y = c->out[0]->data;

    for (int64_t row = begin; row < end; row++) {
        ingot_ml_read_row(c->in[0], row, width, values);
        const double size = MAX(norm_of(values, width, *norm == 'M' ? 'M' : norm[1]), 1e-30);
        for (int64_t i = 0; i < width; i++)
            y[row * width + i] = (float)(values[i] / size);
    }
}

/* Rows are shared out; a vector is one row. */
static ingot_status run_normalizer(ingot_op_ctx *c)
{
    const ingot_tensor *x = c->in[0];
    ingot_parallel(c->team, x->rank == 2 ? x->shape[0] : 1, 256, normalize_rows, c);
    return INGOT_OK;
}

/* ---- OneHotEncoder: an axis of categories behind the others ---- */

/* The shape of X with the number of categories behind it. Categories of the input's kind must be given: integers also
 * serve for floats. */
static ingot_status infer_one_hot(ingot_op_ctx *c)
{
    const ingot_tensor *x = c->in[0];
    int64_t shape[INGOT_MAX_RANK + 1], n_ints, n_strings;

    ingot_ml_ints(c, "cats_int64s", &n_ints);
    ingot_ml_strings(c, "cats_strings", &n_strings);
    const int64_t n = x->dtype == INGOT_STRING ? n_strings : n_ints;
    if (!n)
        return ingot_op_fail(c, INGOT_INVALID, "no categories of type %s", ingot_dtype_name(x->dtype));
    memcpy(shape, x->shape, (size_t)x->rank * sizeof *shape);
    shape[x->rank] = n;
    return ingot_out(c, 0, INGOT_FLOAT, x->rank + 1, shape);
}

/* The category of element i, the last of equal ones; INGOT_NONE where it has none. */
static int64_t category_of(const ingot_tensor *x, int64_t i, const int64_t *ints, const ingot_string *strings,
                           int64_t n)
{
    for (int64_t k = n; k-- > 0;) {
        if (x->dtype != INGOT_STRING) {
            const bool same = ingot_is_float(x->dtype) ? ingot_double_at(x, i) == (double)ints[k]
                                                       : ingot_int_at(x, i) == ints[k];
            if (same)
                return k;
            continue;
        }
        const ingot_string *text = (const ingot_string *)x->data + i;
        if (text->size_bytes == strings[k].size_bytes &&
            (!text->size_bytes || !memcmp(text->data, strings[k].data, text->size_bytes)))
            return k;
    }
    return INGOT_NONE;
}

/* 1 at an element's category. One in no category gives zeros, or is BAD_INPUT when the attribute zeros is 0. */
static ingot_status run_one_hot(ingot_op_ctx *c)
{
    const ingot_tensor *x = c->in[0];
    const bool zeros = ingot_attr_int(c->node, "zeros", 1) != 0;
    const int64_t n = c->out[0]->shape[x->rank];
    int64_t unused;
    const int64_t *ints = ingot_ml_ints(c, "cats_int64s", &unused);
    const ingot_string *strings = ingot_ml_strings(c, "cats_strings", &unused);
    float *y = c->out[0]->data;

    for (int64_t i = 0; i < ingot_count(x); i++, y += n) {
        const int64_t category = category_of(x, i, ints, strings, n);
        if (category == INGOT_NONE && !zeros)
            return ingot_op_fail(c, INGOT_BAD_INPUT, "element %lld is in no category", (long long)i);
        for (int64_t k = 0; k < n; k++)
            y[k] = k == category;
    }
    return INGOT_OK;
}

/* ---- FeatureVectorizer: columns of all inputs side by side ---- */

/* Input i gives inputdimensions[i] columns: cut, or filled with zeros. A vector is a column. All inputs have the same
 * number of rows. */
static ingot_status infer_vectorizer(ingot_op_ctx *c)
{
    int64_t n_widths, width = 0;
    const int64_t *widths = ingot_ml_ints(c, "inputdimensions", &n_widths);

    if (n_widths != c->node->n_inputs)
        return ingot_op_fail(c, INGOT_INVALID, "inputdimensions has %lld elements for %d inputs", (long long)n_widths,
                             c->node->n_inputs);
    for (int i = 0; i < c->node->n_inputs; i++) {
        const ingot_tensor *x = c->in[i];
        if (!x || x->rank < 1 || x->rank > 2 || x->shape[0] != c->in[0]->shape[0] || widths[i] < 0 ||
            widths[i] > INT32_MAX)
            return ingot_op_fail(c, INGOT_INVALID, "input %d does not fit the others or inputdimensions", i);
        width += widths[i];
    }
    return ingot_out(c, 0, INGOT_FLOAT, 2, (int64_t[]){ c->in[0]->shape[0], width });
}

/* Input by input into its columns of Y (rows, sum of inputdimensions). */
static ingot_status run_vectorizer(ingot_op_ctx *c)
{
    int64_t n_widths, at = 0;
    const int64_t *widths = ingot_ml_ints(c, "inputdimensions", &n_widths);
    const int64_t rows = c->out[0]->shape[0], width = c->out[0]->shape[1];
    float *y = c->out[0]->data;

    for (int i = 0; i < c->node->n_inputs; at += widths[i], i++) {
        const int64_t own = c->in[i]->rank == 2 ? c->in[i]->shape[1] : 1;
        for (int64_t row = 0; row < rows; row++)
            for (int64_t k = 0; k < widths[i]; k++)
                y[row * width + at + k] = k < own ? (float)ingot_double_at(c->in[i], row * own + k) : 0.0f;
    }
    return INGOT_OK;
}

#define F INGOT_TYPES_FEATURE
#define ML .domain = INGOT_ML_DOMAIN

const ingot_op ingot_ops_ml_features[] = {
    { "ArrayFeatureExtractor", 1, 2, 2, { F | INGOT_TYPE(STRING), INGOT_TYPE(INT64) }, infer_extract, run_extract, ML },
    { "Binarizer", 1, 1, 1, { F }, infer_same, run_binarizer, ML },
    { "FeatureVectorizer", 1, 1, INGOT_MANY, { F, F, F, F, F, F }, infer_vectorizer, run_vectorizer, ML },
    { "Imputer", 1, 1, 1, { F }, infer_same, run_imputer, ML },
    { "Normalizer", 1, 1, 1, { F }, infer_normalizer, run_normalizer, prepare_normalizer, ML },
    { "OneHotEncoder", 1, 1, 1, { F | INGOT_TYPE(STRING) }, infer_one_hot, run_one_hot, ML },
    { "Scaler", 1, 1, 1, { F }, infer_float, run_scaler, ML },
    { 0 }
};
