/* ml_linear.c - LinearClassifier and LinearRegressor: a score for each row of coefficients, that is x . row +
 * intercept, and for the classifier the label of the largest. */
#include "ops/ml.h"
#include "ops/scalar.h"

/* One operator's attributes and sizes. A classifier of two labels and one score writes two scores, -s and s:
 * n_written is then one more than n_scores. intercept_step is 0 where one intercept serves all. */
typedef struct linear_state {
    int64_t n, width, n_scores;          /* rows of x; features; rows of coefficients */
    int64_t n_written;                   /* scores of an output row */
    const float *coefficients, *intercepts;
    int64_t intercept_step;
    ingot_ml_transform transform;
    ingot_ml_labels labels;
} linear_state;

/* Coefficients by rows of `width`; an intercept for each row, or one for all, or none. Common to both operators.
 * INVALID when the lists do not fit the width of X. */
static ingot_status read_linear(ingot_op_ctx *c, linear_state *s)
{
    int64_t n_coefficients, n_intercepts;
    ingot_status st = ingot_ml_rows(c, &s->n, &s->width);

    if (st || (st = ingot_ml_read_transform(c, &s->transform)))
        return st;
    s->coefficients = ingot_ml_floats(c, "coefficients", &n_coefficients);
    s->intercepts = ingot_ml_floats(c, "intercepts", &n_intercepts);
    if (!n_coefficients || !s->width || n_coefficients % s->width)
        return ingot_op_fail(c, INGOT_INVALID, "%lld coefficients for %lld features", (long long)n_coefficients,
                             (long long)s->width);
    s->n_scores = s->n_written = n_coefficients / s->width;
    s->intercept_step = n_intercepts > 1;
    if (n_intercepts > 1 && n_intercepts != s->n_scores)
        return ingot_op_fail(c, INGOT_INVALID, "%lld intercepts for %lld scores", (long long)n_intercepts,
                             (long long)s->n_scores);
    return INGOT_OK;
}

/* Adds the labels, which may be missing (the label then is the index). One score of two classes becomes two. Fewer
 * labels than scores are INVALID. */
static ingot_status read_classifier(ingot_op_ctx *c, linear_state *s)
{
    const ingot_status st = read_linear(c, s);

    s->labels = ingot_ml_read_labels(c, "classlabels_ints");
    if (!st && s->n_scores == 1 && s->labels.n == 2)
        s->n_written = 2;
    if (!st && s->n_written > 1 && s->labels.n && s->labels.n < s->n_written)
        return ingot_op_fail(c, INGOT_INVALID, "%lld labels for %lld scores", (long long)s->labels.n,
                             (long long)s->n_written);
    return st;
}

/* Labels (n), and scores (n, n_written). */
static ingot_status infer_classifier(ingot_op_ctx *c)
{
    linear_state s = { 0 };
    ingot_status st = read_classifier(c, &s);

    if (st || (st = ingot_out(c, 0, ingot_ml_label_dtype(&s.labels), 1, &s.n)))
        return st;
    return ingot_out(c, 1, INGOT_FLOAT, 2, (int64_t[]){ s.n, s.n_written });
}

/* Y is (n, targets); the coefficients must be for that many targets. */
static ingot_status infer_regressor(ingot_op_ctx *c)
{
    linear_state s = { 0 };
    const ingot_status st = read_linear(c, &s);

    if (st)
        return st;
    if (ingot_attr_int(c->node, "targets", 1) != s.n_scores)
        return ingot_op_fail(c, INGOT_INVALID, "coefficients for %lld targets", (long long)s.n_scores);
    return ingot_out(c, 0, INGOT_FLOAT, 2, (int64_t[]){ s.n, s.n_scores });
}

/* Memory of a thread: one row of features and its scores, as doubles. */
static ingot_status prepare_linear(ingot_op_ctx *c)
{
    linear_state *s = c->state = ingot_keep(c, sizeof *s);

    if (!s)
        return ingot_op_out_of_memory(c);
    const ingot_status st = read_classifier(c, s);           /* a regressor has no labels */
    if (!st)
        ingot_want_scratch(c, 0, (size_t)(s->width + s->n_written) * sizeof(double));
    return st;
}

/* The class that the written scores of a row name: the largest. A single score says yes from the middle on, which is
 * 0, or 0.5 once it is a probability. */
static int64_t choose(const linear_state *s, const double *scores)
{
    if (s->n_written > 1)
        return ingot_ml_best(scores, s->n_written);
    const bool yes = scores[0] >= (s->transform == INGOT_ML_NONE ? 0.0 : 0.5);
    return s->labels.n ? yes ? 0 : INGOT_NONE : yes;
}

/* Task over rows of x: products in doubles, post_transform, then scores and label. Either output of the classifier
 * may be unwanted. */
static void score_rows(void *argument, int64_t begin, int64_t end, int thread)
{
    const ingot_op_ctx *c = argument;
    const linear_state *s = c->state;
    const bool classifies = c->node->op_type[6] == 'C';
    ingot_tensor *out = classifies ? c->n_out > 1 ? c->out[1] : NULL : c->out[0];
    double *x = (double *)(void *)ingot_thread_scratch(c, thread), *scores = x + s->width;

    for (int64_t row = begin; row < end; row++) {
        ingot_ml_read_row(c->in[0], row, s->width, x);
        /* x . row + intercept, for each row of coefficients. */
        for (int64_t k = 0; k < s->n_scores; k++) {
            const float *coefficients = s->coefficients + k * s->width;
            scores[k] = s->intercepts ? (double)s->intercepts[k * s->intercept_step] : 0;
            for (int64_t i = 0; i < s->width; i++)
                scores[k] += x[i] * (double)coefficients[i];
        }
        /* Two classes by one score: that of no is the opposite of that of yes. */
        if (s->n_written > s->n_scores) {
            scores[1] = scores[0];
            scores[0] = -scores[0];
        }
        ingot_ml_apply(s->transform, scores, s->n_written);
        for (int64_t k = 0; k < s->n_written && out; k++)
            ingot_put_double(out, row * s->n_written + k, scores[k]);
        if (classifies && c->out[0])
            ingot_ml_put_label(c->out[0], row, &s->labels, choose(s, scores));
    }
}

/* A task gets about 16 thousand multiplications, at least a row. */
static ingot_status run_linear(ingot_op_ctx *c)
{
    const linear_state *s = c->state;

    ingot_parallel(c->team, s->n, 1 + 16384 / (1 + s->width * s->n_scores), score_rows, c);
    return INGOT_OK;
}

/* A multiply and an add for each coefficient and row. */
static int64_t count_flops(const ingot_op_ctx *c)
{
    const linear_state *s = c->state;
    return 2 * s->n * s->n_scores * s->width;
}

const ingot_op ingot_ops_ml_linear[] = {
    { "LinearClassifier", 1, 1, 1, { INGOT_TYPES_FEATURE }, infer_classifier, run_linear, prepare_linear,
      .flops = count_flops, .domain = INGOT_ML_DOMAIN },
    { "LinearRegressor", 1, 1, 1, { INGOT_TYPES_FEATURE }, infer_regressor, run_linear, prepare_linear,
      .flops = count_flops, .domain = INGOT_ML_DOMAIN },
    { 0 }
};
