/* ml_features.c - operators of ai.onnx.ml that rearrange or threshold features: ArrayFeatureExtractor and Binarizer. To
 * add one of these, give it its functions and a row in the table below. */
#include <string.h>

#include "ops/scalar.h"
#include "ops/op.h"

#define DOMAIN "ai.onnx.ml"
#define TYPES_FEATURE (INGOT_TYPE(FLOAT) | INGOT_TYPE(DOUBLE) | INGOT_TYPES_INDEX)

/* ---- ArrayFeatureExtractor: columns of the last axis, by number ---- */

/* A vector counts as a matrix of one row. */
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

/* ---- Binarizer: 1 above the threshold, else 0 ---- */

static ingot_status infer_same(ingot_op_ctx *c) { return ingot_out_like(c, 0, c->in[0]); }

static void binarize(void *argument, int64_t begin, int64_t end, int thread)
{
    const ingot_op_ctx *c = argument;
    const double threshold = (double)ingot_attr_float(c->node, "threshold", 0.0f);

    (void)thread;
    for (int64_t i = begin; i < end; i++)
        ingot_put_double(c->out[0], i, ingot_double_at(c->in[0], i) > threshold ? 1.0 : 0.0);
}

static ingot_status run_binarizer(ingot_op_ctx *c)
{
    ingot_parallel(c->team, ingot_count(c->in[0]), 8192, binarize, c);
    return INGOT_OK;
}

const ingot_op ingot_ops_ml_features[] = {
    { "ArrayFeatureExtractor", 1, 2, 2, { TYPES_FEATURE | INGOT_TYPE(STRING), INGOT_TYPE(INT64) }, infer_extract,
      run_extract, .domain = DOMAIN },
    { "Binarizer", 1, 1, 1, { TYPES_FEATURE }, infer_same, run_binarizer, .domain = DOMAIN },
    { 0 }
};
