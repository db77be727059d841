/* ml.h - what the operators of ai.onnx.ml share: lists in attributes, rows of features, labels of classes, and what
 * becomes of scores. */
#ifndef INGOT_OPS_ML_H
#define INGOT_OPS_ML_H

#include "ops/op.h"

#define INGOT_ML_DOMAIN "ai.onnx.ml"
#define INGOT_TYPES_FEATURE (INGOT_TYPE(FLOAT) | INGOT_TYPE(DOUBLE) | INGOT_TYPES_INDEX)

/* Attributes that are lists: their elements, and *n of them; NULL and 0 where there is no such attribute, or it is of
 * another type, or empty. */
const float *ingot_ml_floats(const ingot_op_ctx *c, const char *name, int64_t *n);
const int64_t *ingot_ml_ints(const ingot_op_ctx *c, const char *name, int64_t *n);
const ingot_string *ingot_ml_strings(const ingot_op_ctx *c, const char *name, int64_t *n);

/* Rows of features: (n, width), where a tensor of rank 1 is one row. INVALID for other ranks than 1 and 2. */
ingot_status ingot_ml_rows(ingot_op_ctx *c, int64_t *n, int64_t *width);

/* Row `row` of the input as doubles. */
void ingot_ml_read_row(const ingot_tensor *x, int64_t row, int64_t width, double *values);

/* The names of classes: integers or strings, or neither (n is 0): then a class is its number. */
typedef struct ingot_ml_labels {
    int64_t n;
    const int64_t *ints;
    const ingot_string *strings;
} ingot_ml_labels;

/* From the attribute `ints` (classlabels_ints, classlabels_int64s) or classlabels_strings. */
ingot_ml_labels ingot_ml_read_labels(const ingot_op_ctx *c, const char *ints);
ingot_dtype ingot_ml_label_dtype(const ingot_ml_labels *labels);
/* Element `row` of the output becomes the name of class `index`; INGOT_NONE is no class: 0 or "". */
void ingot_ml_put_label(ingot_tensor *out, int64_t row, const ingot_ml_labels *labels, int64_t index);

/* What `post_transform` makes of the scores of a row. */
typedef enum ingot_ml_transform {
    INGOT_ML_NONE, INGOT_ML_SOFTMAX, INGOT_ML_LOGISTIC, INGOT_ML_SOFTMAX_ZERO, INGOT_ML_PROBIT, INGOT_ML_N_TRANSFORMS
} ingot_ml_transform;

ingot_status ingot_ml_read_transform(ingot_op_ctx *c, ingot_ml_transform *transform);
void ingot_ml_apply(ingot_ml_transform transform, double *scores, int64_t n);
/* The first of the largest scores; NaN counts as larger than any. INGOT_NONE of no scores. */
int64_t ingot_ml_best(const double *scores, int64_t n);

#endif
