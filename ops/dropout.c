/* dropout.c - Dropout. In inference Y = X and the mask is true throughout. In training elements are dropped by random
 * numbers from the attribute seed; without one every run draws others. */
#include <string.h>

#include "ops/convert.h"
#include "ops/twister.h"

enum { CHUNK = 256 };

/* Inputs: X, ratio, training_mode, of which the last two may be left out. Y is like X, the mask is bool of the same
 * shape. */
static ingot_status infer_dropout(ingot_op_ctx *c)
{
    const ingot_tensor *x = c->in[0];
    const ingot_status st = ingot_out_like(c, 0, x);

    for (int i = 1; i <= 2; i++)
        if (ingot_has(c, i) && ingot_count(c->in[i]) != 1)
            return ingot_op_fail(c, INGOT_INVALID, "ratio and training_mode must be one number each");
    return st ? st : ingot_out(c, 1, INGOT_BOOL, x->rank, x->shape);
}

/* Inference, or a ratio of 0: Y = X. Y and the mask may both be left out, and Y may share X's memory. */
static ingot_status keep_all(ingot_op_ctx *c)
{
    const ingot_tensor *x = c->in[0];

    if (c->out[0] && c->out[0]->data != x->data && ingot_storage_bytes(x))
        memcpy(c->out[0]->data, x->data, ingot_storage_bytes(x));
    if (c->n_out > 1 && c->out[1] && ingot_count(x))
        memset(c->out[1]->data, 1, (size_t)ingot_count(x));
    return INGOT_OK;
}

/* Y = X / (1 - ratio) where a number in [0, 1) is not below the ratio, else 0. Numbers are drawn in the order of the
 * elements in one thread, so that a seed gives the same mask for any number of threads. Every type goes through
 * double. */
static void drop(ingot_op_ctx *c, double ratio, ingot_twister *random)
{
    const ingot_tensor *x = c->in[0];
    const ingot_conversion read = { .from = x->dtype, .to = INGOT_DOUBLE };
    const ingot_conversion write = { .from = INGOT_DOUBLE, .to = x->dtype, .saturate = true };
    const int64_t n = ingot_count(x), size_bytes = (int64_t)ingot_dtype_size_bytes(x->dtype);
    uint8_t *mask = c->n_out > 1 && c->out[1] ? c->out[1]->data : NULL;
    double values[CHUNK];

    for (int64_t at = 0; at < n; at += CHUNK) {
        /* A chunk in double, each number kept and scaled or dropped, and back. */
        const int64_t some = MIN(n - at, CHUNK);
        ingot_convert(&read, values, (const char *)x->data + at * size_bytes, some);
        for (int64_t i = 0; i < some; i++) {
            const bool keep = ingot_draw(random) >= ratio;
            values[i] = keep ? values[i] / (1 - ratio) : 0;
            if (mask)
                mask[at + i] = keep;
        }
        if (c->out[0])
            ingot_convert(&write, (char *)c->out[0]->data + at * size_bytes, values, some);
    }
}

/* The attribute seed is read by ingot_twister_start(). INVALID: a ratio outside of [0, 1); the comparison also refuses
 * NaN. */
static ingot_status run_dropout(ingot_op_ctx *c)
{
    double ratio = 0.5;
    ingot_twister random;

    if (!ingot_has(c, 2) || !ingot_int_at(c->in[2], 0))
        return keep_all(c);
    if (ingot_has(c, 1)) {
        const ingot_conversion read = { .from = c->in[1]->dtype, .to = INGOT_DOUBLE };
        ingot_convert(&read, &ratio, c->in[1]->data, 1);
    }
    if (!(ratio >= 0 && ratio < 1))
        return ingot_op_fail(c, INGOT_INVALID, "ratio %g is not in [0, 1)", ratio);
    if (ratio == 0)
        return keep_all(c);
    ingot_twister_start(&random, c->node);
    drop(c, ratio, &random);
    return INGOT_OK;
}

#define TYPES_DROPOUT (INGOT_TYPES_FLOAT | INGOT_TYPES_FLOAT8)

const ingot_op ingot_ops_dropout[] = {
    { "Dropout", 12, 1, 3, { TYPES_DROPOUT, TYPES_DROPOUT, INGOT_TYPE(BOOL) }, infer_dropout, run_dropout,
      .flags = INGOT_OP_RANDOM },
    {0},
};
