/* loss.c - NegativeLogLikelihoodLoss and SoftmaxCrossEntropyLoss: scores (N, C, ...), the right class of every place
 * (N, ...), a weight for each class. Sums are in double. */
#include <math.h>
#include <string.h>

#include "ops/op.h"
#include "ops/scalar.h"

enum { SCORES, TARGET, WEIGHT };
enum { LOSS, LOG_PROB };

/* scores (N, C, d1...), target (N, d1...) of class numbers, weights (C). 'none' keeps the target's shape, 'mean' and
 * 'sum' give a scalar. INVALID: shapes that do not fit, or another reduction. LOG_PROB, the optional second output of
 * SoftmaxCrossEntropyLoss, is like the scores. */
static ingot_status infer_loss(ingot_op_ctx *c)
{
    const ingot_tensor *x = c->in[SCORES], *target = c->in[TARGET];
    const char *reduction = ingot_attr_string(c->node, "reduction", "mean");
    bool fits = x->rank >= 2 && target->rank == x->rank - 1 && target->shape[0] == x->shape[0];

    /* The target has every dimension of the scores but that of the classes. */
    for (int i = 2; i < x->rank && fits; i++)
        fits = target->shape[i - 1] == x->shape[i];
    if (!fits)
        return ingot_op_fail(c, INGOT_INVALID, "the shape of the target does not fit that of the scores");
    if (ingot_has(c, WEIGHT) && (c->in[WEIGHT]->rank != 1 || c->in[WEIGHT]->shape[0] != x->shape[1]))
        return ingot_op_fail(c, INGOT_INVALID, "there must be one weight for each of %lld classes",
                             (long long)x->shape[1]);
    const bool none = !strcmp(reduction, "none");
    if (!none && strcmp(reduction, "mean") && strcmp(reduction, "sum"))
        return ingot_op_fail(c, INGOT_INVALID, "attribute 'reduction': '%.40s' is not known", reduction);
    const ingot_status st = ingot_out(c, LOSS, x->dtype, none ? target->rank : 0, target->shape);
    return st ? st : ingot_out_like(c, LOG_PROB, x);
}

/* Logarithm of the sum of exponentials of the scores at a place. Classes are `apart` elements from each other. The
 * largest score is taken off first, so that exp() cannot overflow; where it is infinite there is no finite answer.
 * Floats that lie side by side take the kernels. */
static double log_sum(const ingot_op_ctx *c, int64_t at, int64_t classes, int64_t apart)
{
    const ingot_tensor *x = c->in[SCORES];
    double largest = -INFINITY, sum = 0;

    if (x->dtype == INGOT_FLOAT && apart == 1) {
        const float *scores = (const float *)x->data + at;
        const float shift = (float)c->kernels->fold_row_f32(INGOT_FOLD_MAX, scores, (size_t)classes, 0);
        sum = isinf(shift) ? 1 : c->kernels->fold_row_f32(INGOT_FOLD_EXP, scores, (size_t)classes, shift);
        return (double)shift + log(sum);
    }
    for (int64_t i = 0; i < classes; i++)
        largest = fmax(largest, ingot_double_at(x, at + i * apart));
    if (isinf(largest))
        return largest;
    for (int64_t i = 0; i < classes; i++)
        sum += exp(ingot_double_at(x, at + i * apart) - largest);
    return largest + log(sum);
}

/* Loss and weight of one place whose scores begin at `at`; `shift` is what the softmax takes off. A class of
 * ignore_index counts neither in the loss nor in the weights. INVALID: another class that does not exist. */
static ingot_status place_loss(ingot_op_ctx *c, int64_t place, int64_t at, int64_t apart, double shift, double *loss,
                               double *weight)
{
    const ingot_attr *ignore = ingot_node_attr(c->node, "ignore_index");
    const int64_t class = ingot_int_at(c->in[TARGET], place), classes = c->in[SCORES]->shape[1];

    *loss = *weight = 0;
    if (ignore && class == ingot_attr_int(c->node, "ignore_index", 0))
        return INGOT_OK;
    if (class < 0 || class >= classes)
        return ingot_op_fail(c, INGOT_INVALID, "target %lld is class %lld of %lld", (long long)place, (long long)class,
                             (long long)classes);
    *weight = ingot_has(c, WEIGHT) ? ingot_double_at(c->in[WEIGHT], class) : 1;
    *loss = *weight * (shift - ingot_double_at(c->in[SCORES], at + class * apart));
    return INGOT_OK;
}

/* Serves NegativeLogLikelihoodLoss and, with a log-softmax before it, SoftmaxCrossEntropyLoss. The mean divides by the
 * sum of weights, in double. One thread goes through the places in order, so that the sum has one value; a mean without
 * weights is 0 / 0, NaN. */
static ingot_status run_loss(ingot_op_ctx *c)
{
    const ingot_tensor *x = c->in[SCORES];
    const char *reduction = ingot_attr_string(c->node, "reduction", "mean");
    const bool softmax = *c->op->op_type == 'S', none = !strcmp(reduction, "none");
    const int64_t places = ingot_count(c->in[TARGET]), classes = x->shape[1], apart = ingot_span(x, 2, x->rank);
    ingot_tensor *log_prob = softmax && c->n_out > LOG_PROB ? c->out[LOG_PROB] : NULL;
    double sum = 0, weights = 0;

    for (int64_t place = 0; place < places; place++) {
        /* Where the place's first class lies in the scores; `shift` makes a logarithm of a probability of each. */
        const int64_t at = place / apart * classes * apart + place % apart;
        const double shift = softmax ? log_sum(c, at, classes, apart) : 0;
        double loss, weight;
        const ingot_status st = place_loss(c, place, at, apart, shift, &loss, &weight);
        if (st)
            return st;
        sum += loss;
        weights += weight;
        if (none && c->out[LOSS])
            ingot_put_double(c->out[LOSS], place, loss);
        for (int64_t i = 0; i < classes && log_prob; i++)
            ingot_put_double(log_prob, at + i * apart, ingot_double_at(x, at + i * apart) - shift);
    }
    if (!none && c->out[LOSS])
        ingot_put_double(c->out[LOSS], 0, *reduction == 's' ? sum : sum / weights);
    return INGOT_OK;
}

#define TYPES { INGOT_TYPES_FLOAT, INGOT_TYPES_INDEX, INGOT_TYPES_FLOAT }

const ingot_op ingot_ops_loss[] = {
    { "NegativeLogLikelihoodLoss", 12, 2, 3, TYPES, infer_loss, run_loss },
    { "SoftmaxCrossEntropyLoss", 12, 2, 3, TYPES, infer_loss, run_loss },
    {0},
};
