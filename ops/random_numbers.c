/* random_numbers.c - RandomNormal and RandomUniform (and their Like forms), Bernoulli and Multinomial. A node with a
 * seed gives the same numbers in every run. */
#include <math.h>
#include <string.h>

#include "ops/scalar.h"
#include "ops/twister.h"

/* The attribute dtype, else `otherwise`; INVALID unless it is one of `allowed`. */
static ingot_status read_dtype(ingot_op_ctx *c, ingot_dtype otherwise, uint64_t allowed, ingot_dtype *dtype)
{
    const int64_t wanted = ingot_attr_int(c->node, "dtype", otherwise);

    if (wanted <= 0 || wanted >= INGOT_N_DTYPES || !(allowed >> wanted & 1))
        return ingot_op_fail(c, INGOT_INVALID, "attribute 'dtype': type %lld is not allowed", (long long)wanted);
    *dtype = (ingot_dtype)wanted;
    return INGOT_OK;
}

/* The attribute shape, which the operators without inputs must have. */
static ingot_status infer_random(ingot_op_ctx *c)
{
    const ingot_attr *shape = ingot_node_attr(c->node, "shape");
    ingot_dtype dtype = INGOT_UNDEFINED;
    ingot_status st = read_dtype(c, INGOT_FLOAT, INGOT_TYPES_FLOAT, &dtype);

    if (st)
        return st;
    if (!shape || shape->type != INGOT_ATTR_INTS || shape->n > INGOT_MAX_RANK)
        return ingot_op_fail(c, INGOT_INVALID, "attribute 'shape' is missing or too long");
    return ingot_out(c, 0, dtype, (int)shape->n, shape->ints);
}

/* X gives the shape, and the type unless dtype does. */
static ingot_status infer_random_like(ingot_op_ctx *c)
{
    ingot_dtype dtype = INGOT_UNDEFINED;
    ingot_status st = read_dtype(c, c->in[0]->dtype, INGOT_TYPES_FLOAT, &dtype);
    return st ? st : ingot_out(c, 0, dtype, c->in[0]->rank, c->in[0]->shape);
}

/* Numbers are drawn one after the other by one thread, so that a seed gives the same ones whatever the team. */
static ingot_status run_normal(ingot_op_ctx *c)
{
    const double mean = (double)ingot_attr_float(c->node, "mean", 0),
                 scale = (double)ingot_attr_float(c->node, "scale", 1);
    ingot_twister random;

    ingot_twister_start(&random, c->node);
    for (int64_t i = 0, n = ingot_count(c->out[0]); i < n && !ingot_cancelled_at(c, i); i++)
        ingot_put_double(c->out[0], i, ingot_draw_normal(&random) * scale + mean);
    return INGOT_OK;
}

/* Numbers of [low, high), drawn as in run_normal(). */
static ingot_status run_uniform(ingot_op_ctx *c)
{
    const double low = (double)ingot_attr_float(c->node, "low", 0), high = (double)ingot_attr_float(c->node, "high", 1);
    ingot_twister random;

    ingot_twister_start(&random, c->node);
    for (int64_t i = 0, n = ingot_count(c->out[0]); i < n && !ingot_cancelled_at(c, i); i++)
        ingot_put_double(c->out[0], i, ingot_draw(&random) * (high - low) + low);
    return INGOT_OK;
}

/* What a 0 or 1 can be stored as. */
#define BERNOULLI_TYPES (INGOT_TYPES_NUMERIC | INGOT_TYPE(BOOL))

/* X's shape; any numeric type or bool. */
static ingot_status infer_bernoulli(ingot_op_ctx *c)
{
    ingot_dtype dtype = INGOT_UNDEFINED;
    ingot_status st = read_dtype(c, c->in[0]->dtype, BERNOULLI_TYPES, &dtype);
    return st ? st : ingot_out(c, 0, dtype, c->in[0]->rank, c->in[0]->shape);
}

/* 1 with the probability that the element says; outside of 0 to 1 (or NaN) is INVALID. Which end of the drawn number
 * counts depends on the half that p is in. */
static ingot_status run_bernoulli(ingot_op_ctx *c)
{
    ingot_twister random;

    ingot_twister_start(&random, c->node);
    for (int64_t i = 0, n = ingot_count(c->out[0]); i < n && !ingot_cancelled_at(c, i); i++) {
        const double p = ingot_double_at(c->in[0], i);
        if (!(p >= 0 && p <= 1))
            return ingot_op_fail(c, INGOT_INVALID, "element %lld is %g, which is no probability", (long long)i, p);
        const double u = ingot_draw(&random);
        ingot_put_double(c->out[0], i, p <= 0.5 ? u > 1 - p : u <= p);
    }
    return INGOT_OK;
}

/* (batch, sample_size) of class indices, int32 or int64. */
static ingot_status infer_multinomial(ingot_op_ctx *c)
{
    const int64_t samples = ingot_attr_int(c->node, "sample_size", 1);
    ingot_dtype dtype = INGOT_UNDEFINED;
    ingot_status st = read_dtype(c, INGOT_INT32, INGOT_TYPES_INDEX, &dtype);

    if (st)
        return st;
    if (c->in[0]->rank != 2 || c->in[0]->shape[1] < 1 || samples < 1)
        return ingot_op_fail(c, INGOT_INVALID, "input 0 must have shape (batch, classes), and sample_size be positive");
    return ingot_out(c, 0, dtype, 2, (int64_t[]){ c->in[0]->shape[0], samples });
}

/* The elements of a row are logarithms of weights: a class is drawn by its share of their sum. Weights are shifted by
 * the largest, against overflow. What rounding leaves over goes to the last class that has any weight. A row of zero
 * weights, or with a NaN, is INVALID. */
static ingot_status run_multinomial(ingot_op_ctx *c)
{
    const ingot_tensor *x = c->in[0];
    const int64_t classes = x->shape[1], samples = c->out[0]->shape[1];
    ingot_twister random;

    ingot_twister_start(&random, c->node);
    for (int64_t row = 0; row < x->shape[0]; row++) {
        double largest = -INFINITY, sum = 0;
        for (int64_t i = 0; i < classes; i++)
            largest = fmax(largest, ingot_double_at(x, row * classes + i));
        for (int64_t i = 0; i < classes; i++)
            sum += exp(ingot_double_at(x, row * classes + i) - largest);
        if (!(sum > 0))
            return ingot_op_fail(c, INGOT_INVALID, "row %lld has no class that can be drawn", (long long)row);
        /* Walk through the weights until the drawn share of their sum is used up. */
        for (int64_t s = 0; s < samples; s++) {
            double rest = ingot_draw(&random) * sum;
            int64_t drawn = 0, i = 0;
            for (; i < classes && rest >= 0; i++) {
                const double weight = exp(ingot_double_at(x, row * classes + i) - largest);
                drawn = weight > 0 ? i : drawn;
                rest -= weight;
            }
            ingot_put_int(c->out[0], row * samples + s, drawn);
        }
    }
    return INGOT_OK;
}

const ingot_op ingot_ops_random_numbers[] = {
    { "RandomNormal", 1, 0, 0, { 0 }, infer_random, run_normal, .flags = INGOT_OP_RANDOM },
    { "RandomUniform", 1, 0, 0, { 0 }, infer_random, run_uniform, .flags = INGOT_OP_RANDOM },
    { "RandomNormalLike", 1, 1, 1, { INGOT_TYPES_ALL }, infer_random_like, run_normal,
      .flags = INGOT_OP_RANDOM | INGOT_OP_SHAPE_ONLY },
    { "RandomUniformLike", 1, 1, 1, { INGOT_TYPES_ALL }, infer_random_like, run_uniform,
      .flags = INGOT_OP_RANDOM | INGOT_OP_SHAPE_ONLY },
    { "Bernoulli", 15, 1, 1, { INGOT_TYPES_FLOAT }, infer_bernoulli, run_bernoulli, .flags = INGOT_OP_RANDOM },
    { "Multinomial", 7, 1, 1, { INGOT_TYPES_FLOAT }, infer_multinomial, run_multinomial, .flags = INGOT_OP_RANDOM },
    {0},
};
