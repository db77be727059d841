/* ml_svm.c - SVMClassifier and SVMRegressor: kernels of a row with every support vector, weighed. A classifier of
 * support vectors decides between every two classes: their scores, votes, and perhaps probabilities (Wu, Lin and Weng,
 * 2004, as libsvm computes them). Without support vectors it is linear: a row of coefficients for each class. */
#include <math.h>
#include <string.h>

#include "ops/ml.h"
#include "ops/scalar.h"

/* The attribute kernel_type, in the order of the names in read_kernel. */
enum kernel { KERNEL_LINEAR, KERNEL_POLY, KERNEL_RBF, KERNEL_SIGMOID, N_KERNELS };

/* The attributes by their own names, and what follows from them. vectors is (n_vectors, width), grouped by class as
 * per_class counts; n_pairs = n_classes (n_classes - 1) / 2. Without vectors the operator is linear. prob_a is NULL
 * unless probabilities are to be computed. */
typedef struct svm_state {
    int64_t n, width;                    /* rows and features of x */
    int64_t n_vectors, n_classes, n_pairs;
    int64_t n_written;                   /* scores of an output row */
    enum kernel kernel;
    double gamma, offset, degree;
    const float *vectors, *coefficients, *rho, *prob_a, *prob_b;
    const int64_t *per_class;            /* support vectors of each class */
    ingot_ml_transform transform;
    ingot_ml_labels labels;
    bool one_class;                      /* a regressor that tells inside from outside */
    bool all_positive;                   /* no coefficient is negative */
    bool two_sided;                      /* one score s is written as -s and s */
} svm_state;

/* ---- attributes ---- */

/* kernel_type and kernel_params (gamma, coef0, degree), which may be missing. Without support vectors the kernel is
 * linear, whatever is named. The degree is cut to a whole number. INVALID for another name or count. */
static ingot_status read_kernel(ingot_op_ctx *c, svm_state *s)
{
    static const char *const names[] = { "LINEAR", "POLY", "RBF", "SIGMOID" };
    const char *name = ingot_attr_string(c->node, "kernel_type", "LINEAR");
    int64_t n;
    const float *parameters = ingot_ml_floats(c, "kernel_params", &n);
    int k = 0;

    while (k < N_KERNELS && strcmp(name, names[k]))
        k++;
    if (k == N_KERNELS)
        return ingot_op_fail(c, INGOT_INVALID, "attribute 'kernel_type' is '%.40s'", name);
    if (n && n != 3)
        return ingot_op_fail(c, INGOT_INVALID, "kernel_params has %lld elements; expected gamma, coef0, degree",
                             (long long)n);
    s->kernel = s->n_vectors ? (enum kernel)k : KERNEL_LINEAR;
    s->gamma = parameters ? (double)parameters[0] : 0;
    s->offset = parameters ? (double)parameters[1] : 0;
    s->degree = parameters ? trunc((double)parameters[2]) : 0;
    return INGOT_OK;
}

/* What both operators have: sizes of X, kernel, coefficients, vectors and rho. `per_vector` coefficients for each
 * support vector, or for each feature without any; at least n_rho of rho. INVALID when a list has another length, so
 * that scoring indexes them without checks. */
static ingot_status read_common(ingot_op_ctx *c, svm_state *s, int64_t per_vector, int64_t n_rho)
{
    int64_t n_coefficients, n_values, n;
    ingot_status st = ingot_ml_rows(c, &s->n, &s->width);

    if (st || (st = read_kernel(c, s)) || (st = ingot_ml_read_transform(c, &s->transform)))
        return st;
    s->coefficients = ingot_ml_floats(c, "coefficients", &n_coefficients);
    s->vectors = ingot_ml_floats(c, "support_vectors", &n_values);
    s->rho = ingot_ml_floats(c, "rho", &n);
    const int64_t width = MAX(s->width, 1), of = s->n_vectors ? s->n_vectors : s->width;
    /* Each list must have the length that the others ask for. */
    if (n < n_rho || !n)
        return ingot_op_fail(c, INGOT_INVALID, "rho has %lld elements; expected %lld", (long long)n, (long long)n_rho);
    if (s->n_vectors && (n_values % width || n_values / width != s->n_vectors))
        return ingot_op_fail(c, INGOT_INVALID, "support_vectors has %lld elements for %lld vectors of %lld features",
                             (long long)n_values, (long long)s->n_vectors, (long long)s->width);
    if (of < 1 || n_coefficients % of || n_coefficients / of != per_vector)
        return ingot_op_fail(c, INGOT_INVALID, "coefficients has %lld elements; expected %lld times %lld",
                             (long long)n_coefficients, (long long)per_vector, (long long)of);
    s->all_positive = true;
    for (int64_t i = 0; i < n_coefficients; i++)
        s->all_positive &= s->coefficients[i] >= 0;
    return INGOT_OK;
}

enum { MOST_CLASSES = 1 << 15 };         /* pairs of them fit 32 bits */

/* The sizes in an order where each is known before it is used. Counts of vectors are bounded one by one, so that
 * their sum cannot overflow. n_written: a score for each class where it is linear or has probabilities, else for
 * every pair. */
static ingot_status read_classifier(ingot_op_ctx *c, svm_state *s)
{
    int64_t n_counts, n_a, n_b;

    s->labels = ingot_ml_read_labels(c, "classlabels_ints");
    s->n_classes = MAX(s->labels.n, 1);
    s->per_class = ingot_ml_ints(c, "vectors_per_class", &n_counts);
    for (int64_t i = 0; i < n_counts; i++) {
        if (s->per_class[i] < 0 || s->per_class[i] > INT32_MAX)
            return ingot_op_fail(c, INGOT_INVALID, "vectors_per_class has %lld", (long long)s->per_class[i]);
        s->n_vectors += s->per_class[i];
    }
    if (s->n_classes > MOST_CLASSES || (s->n_vectors && (n_counts != s->n_classes || n_counts < 2)))
        return ingot_op_fail(c, INGOT_INVALID, "support vectors of %lld classes, with %lld labels", (long long)n_counts,
                             (long long)s->labels.n);
    /* Now all counts are known that the common lists depend on. */
    s->n_pairs = s->n_vectors ? s->n_classes * (s->n_classes - 1) / 2 : 0;
    const ingot_status st =
        read_common(c, s, s->n_vectors ? s->n_classes - 1 : s->n_classes, s->n_vectors ? s->n_pairs : 1);
    if (st)
        return st;
    /* Probabilities are for support vectors alone. */
    s->prob_a = ingot_ml_floats(c, "prob_a", &n_a);
    s->prob_b = ingot_ml_floats(c, "prob_b", &n_b);
    if (!s->n_vectors || !s->prob_a)
        s->prob_a = NULL;
    else if (n_a < s->n_pairs || n_b < s->n_pairs)
        return ingot_op_fail(c, INGOT_INVALID, "prob_a or prob_b has no element for each two classes");
    const int64_t n_scores = s->prob_a || !s->n_vectors ? s->n_classes : s->n_pairs;
    s->two_sided = n_scores == 1 && s->labels.n == 2 && s->transform != INGOT_ML_PROBIT;
    s->n_written = s->two_sided ? 2 : n_scores;
    return INGOT_OK;
}

/* One score for each row; coefficients for each support vector, and one rho. */
static ingot_status read_regressor(ingot_op_ctx *c, svm_state *s)
{
    s->n_vectors = MAX(ingot_attr_int(c->node, "n_supports", 0), 0);
    s->n_classes = s->n_written = 1;
    s->one_class = ingot_attr_int(c->node, "one_class", 0) != 0;
    return read_common(c, s, 1, 1);
}

/* One file for two operators: SVMClassifier, SVMRegressor. */
static bool classifies(const ingot_op_ctx *c) { return c->node->op_type[3] == 'C'; }

/* The classifier gives labels (n) and scores (n, n_written), the regressor (n, 1). */
static ingot_status infer_svm(ingot_op_ctx *c)
{
    svm_state s = { 0 };
    ingot_status st = classifies(c) ? read_classifier(c, &s) : read_regressor(c, &s);

    if (!st && classifies(c))
        st = ingot_out(c, 0, ingot_ml_label_dtype(&s.labels), 1, &s.n);
    return st ? st : ingot_out(c, classifies(c), INGOT_FLOAT, 2, (int64_t[]){ s.n, s.n_written });
}

/* Scratch of a thread: the row, kernels, scores, votes, and for probabilities two matrices and a vector of classes. */
static ingot_status prepare_svm(ingot_op_ctx *c)
{
    svm_state *s = c->state = ingot_keep(c, sizeof *s);

    if (!s)
        return ingot_op_out_of_memory(c);
    const ingot_status st = classifies(c) ? read_classifier(c, s) : read_regressor(c, s);
    const int64_t n = s->n_classes, matrices = s->prob_a ? 2 * n * n + n : 0;
    if (!st)
        ingot_want_scratch(c, 0, (size_t)(s->width + s->n_vectors + MAX(s->n_pairs, n) + 2 * n + 2 + matrices) *
                                     sizeof(double));
    return st;
}

/* ---- scores ---- */

/* K(x, v) by the kernel's formula: products or, for RBF, squared distances in double precision. */
static double kernel_of(const svm_state *s, const double *x, const float *v)
{
    double sum = 0;

    for (int64_t i = 0; i < s->width && s->kernel == KERNEL_RBF; i++)
        sum += (x[i] - (double)v[i]) * (x[i] - (double)v[i]);
    for (int64_t i = 0; i < s->width && s->kernel != KERNEL_RBF; i++)
        sum += x[i] * (double)v[i];
    switch (s->kernel) {
    case KERNEL_POLY: return pow(s->gamma * sum + s->offset, s->degree);
    case KERNEL_RBF: return exp(-s->gamma * sum);
    case KERNEL_SIGMOID: return tanh(s->gamma * sum + s->offset);
    default: return sum;
    }
}

/* Scores of every two classes i < j, and how often each class won. Coefficients lie in rows: class i has, for its
 * vectors, row j - 1 against a later class j, and row j against an earlier one. */
static void score_pairs(const svm_state *s, const double *kernels, double *scores, double *votes)
{
    int64_t pair = 0, first_i = 0;

    for (int64_t i = 0; i < s->n_classes; i++)
        votes[i] = 0;
    for (int64_t i = 0; i < s->n_classes; first_i += s->per_class[i], i++)
        for (int64_t j = i + 1, first_j = first_i + s->per_class[i]; j < s->n_classes;
             first_j += s->per_class[j], j++) {
            double sum = (double)s->rho[pair];
            for (int64_t k = first_i; k < first_i + s->per_class[i]; k++)
                sum += (double)s->coefficients[(j - 1) * s->n_vectors + k] * kernels[k];
            for (int64_t k = first_j; k < first_j + s->per_class[j]; k++)
                sum += (double)s->coefficients[i * s->n_vectors + k] * kernels[k];
            scores[pair++] = sum;
            votes[sum > 0 ? i : j]++;
        }
}

/* r[i][j]: how probable class i is against class j alone, 1 / (1 + exp(a s + b)) of their score s (Platt's sigmoid,
 * whose a and b training has found). Kept away from 0 and 1, as the coupling divides by them. */
static void pair_probabilities(const svm_state *s, const double *scores, double *r)
{
    const int64_t n = s->n_classes;
    int64_t pair = 0;

    for (int64_t i = 0; i < n; i++)
        for (int64_t j = i + 1; j < n; j++, pair++) {
            const double value = scores[pair] * (double)s->prob_a[pair] + (double)s->prob_b[pair];
            const double p = 1 / (1 + exp(value));
            r[i * n + j] = MIN(MAX(p, 1e-7), 1 - 1e-7);
            r[j * n + i] = 1 - r[i * n + j];
        }
}

/* Probabilities p of n classes from those of every two, by at most MAX(100, n) rounds of coordinate descent: p
 * minimizes p'Qp under a sum of 1, and is there when all of Qp equal p'Qp. q has room for n x n, qp for n numbers.
 * Each step keeps p, Qp and p'Qp scaled to a sum of 1. */
static void couple(int64_t n, const double *r, double *q, double *qp, double *p)
{
    for (int64_t t = 0; t < n; t++) {
        p[t] = 1 / (double)n;
        q[t * n + t] = 0;
        for (int64_t j = 0; j < n; j++)
            if (j != t) {
                q[t * n + t] += r[j * n + t] * r[j * n + t];
                q[t * n + j] = -r[j * n + t] * r[t * n + j];
            }
    }
    for (int64_t round = 0; round < MAX(n, 100); round++) {
        /* Qp and p'Qp of this round, and how far they are apart. */
        double pqp = 0, largest = 0;
        for (int64_t t = 0; t < n; t++) {
            qp[t] = 0;
            for (int64_t j = 0; j < n; j++)
                qp[t] += q[t * n + j] * p[j];
            pqp += p[t] * qp[t];
        }
        for (int64_t t = 0; t < n; t++)
            largest = MAX(largest, fabs(qp[t] - pqp));
        if (largest < 0.005 / (double)n)
            return;
        for (int64_t t = 0; t < n; t++) {
            const double step = (pqp - qp[t]) / q[t * n + t];
            p[t] += step;
            pqp = (pqp + step * (step * q[t * n + t] + 2 * qp[t])) / (1 + step) / (1 + step);
            for (int64_t j = 0; j < n; j++) {
                qp[j] = (qp[j] + step * q[t * n + j]) / (1 + step);
                p[j] /= 1 + step;
            }
        }
    }
}

/* ---- rows ---- */

/* The class of a row from its votes (or, for a linear one, scores). One score alone says yes or no: with two labels
 * and no negative coefficient, a largest weight of 0.5 or more says the second. */
static int64_t choose(const svm_state *s, const double *weights)
{
    const int64_t best = ingot_ml_best(weights, s->n_classes);
    int64_t n_rho = s->n_vectors ? s->n_pairs : 1;

    if (n_rho != 1)
        return best;
    if (s->labels.n == 2)
        return !s->prob_a && s->all_positive && weights[best] >= 0.5 ? 1 : best;
    return s->labels.n ? best : weights[best] > 0;
}

/* Kernels, pairs and perhaps probabilities: leaves the row's scores in `scores`; returns its class. */
static int64_t classify(const svm_state *s, const double *x, double *memory, double **scores)
{
    double *kernels = memory, *pairs = kernels + s->n_vectors, *votes = pairs + MAX(s->n_pairs, s->n_classes),
           *final = votes + s->n_classes, *r = final + s->n_classes + 2, *q = r + s->n_classes * s->n_classes,
           *qp = q + s->n_classes * s->n_classes;

    *scores = final;
    if (!s->n_vectors) {
        for (int64_t k = 0; k < s->n_classes; k++)
            final[k] = (double)s->rho[0] + kernel_of(s, x, s->coefficients + k * s->width);
        return choose(s, final);
    }
    for (int64_t k = 0; k < s->n_vectors; k++)
        kernels[k] = kernel_of(s, x, s->vectors + k * s->width);
    score_pairs(s, kernels, pairs, votes);
    if (s->prob_a) {
        pair_probabilities(s, pairs, r);
        couple(s->n_classes, r, q, qp, final);
    } else {
        *scores = pairs;
    }
    return choose(s, votes);
}

/* Task over rows: labels, and scores after post_transform. A single score is not transformed, except by PROBIT. */
static void classify_rows(void *argument, int64_t begin, int64_t end, int thread)
{
    const ingot_op_ctx *c = argument;
    const svm_state *s = c->state;
    ingot_tensor *out = c->n_out > 1 ? c->out[1] : NULL;
    double *x = (double *)(void *)ingot_thread_scratch(c, thread), *scores;

    for (int64_t row = begin; row < end; row++) {
        ingot_ml_read_row(c->in[0], row, s->width, x);
        const int64_t class = classify(s, x, x + s->width, &scores);
        double both[2] = { -scores[0], scores[0] };
        if (s->two_sided)
            scores = both;
        if (s->n_written > 1 || s->transform == INGOT_ML_PROBIT)
            ingot_ml_apply(s->transform, scores, s->n_written);
        for (int64_t k = 0; k < s->n_written && out; k++)
            ingot_put_double(out, row * s->n_written + k, scores[k]);
        if (c->out[0])
            ingot_ml_put_label(c->out[0], row, &s->labels, class);
    }
}

/* Task over rows: y = rho + the weighed sum of kernels; a one-class machine answers 1 or -1. */
static void regress_rows(void *argument, int64_t begin, int64_t end, int thread)
{
    const ingot_op_ctx *c = argument;
    const svm_state *s = c->state;
    double *x = (double *)(void *)ingot_thread_scratch(c, thread);

    for (int64_t row = begin; row < end; row++) {
        ingot_ml_read_row(c->in[0], row, s->width, x);
        double y = (double)s->rho[0];
        if (!s->n_vectors)
            y += kernel_of(s, x, s->coefficients);
        for (int64_t k = 0; k < s->n_vectors; k++)
            y += (double)s->coefficients[k] * kernel_of(s, x, s->vectors + k * s->width);
        if (s->one_class)
            y = y > 0 ? 1 : -1;
        ingot_ml_apply(s->transform, &y, 1);
        ingot_put_double(c->out[0], row, y);
    }
}

/* About 16 thousand multiplications for each part of the work. */
static ingot_status run_svm(ingot_op_ctx *c)
{
    const svm_state *s = c->state;
    const int64_t work = 1 + s->width * MAX(s->n_vectors, s->n_classes);

    ingot_parallel(c->team, s->n, 1 + 16384 / work, classifies(c) ? classify_rows : regress_rows, c);
    return INGOT_OK;
}

/* Of the kernels, as products of a row with every vector; the rest is small beside them. */
static int64_t count_flops(const ingot_op_ctx *c)
{
    const svm_state *s = c->state;
    return 2 * s->n * s->width * MAX(s->n_vectors, s->n_classes);
}

#define ML .flops = count_flops, .domain = INGOT_ML_DOMAIN

const ingot_op ingot_ops_ml_svm[] = {
    { "SVMClassifier", 1, 1, 1, { INGOT_TYPES_FEATURE }, infer_svm, run_svm, prepare_svm, ML },
    { "SVMRegressor", 1, 1, 1, { INGOT_TYPES_FEATURE }, infer_svm, run_svm, prepare_svm, ML },
    { 0 }
};
