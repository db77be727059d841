/* ml_trees.c - TreeEnsemble, TreeEnsembleClassifier, TreeEnsembleRegressor: every row of features walks down each tree,
 * and the leaves' weights are put together by target. A block of rows walks at once, step by step, so that one row's
 * cache misses hide behind those of the others. A walk takes at most as many steps as there are nodes, so that a circle
 * of nodes ends it. */
#include "ops/ml_trees.h"

#include <float.h>
#include <math.h>
#include <string.h>

#include "ops/scalar.h"

enum { BLOCK = 16 };                     /* rows that walk at once */

/* One node of a graph: its trees, the shape of x, and for a classifier its labels. labels.n is 0 for the other two
 * operators. */
typedef struct trees_state {
    ingot_trees trees;
    int64_t n, width, n_written;         /* rows and features of x; scores of an output row */
    ingot_ml_labels labels;
    int64_t binary;                      /* the only class that has weights, or INGOT_NONE */
} trees_state;

/* ---- TreeEnsemble and TreeEnsembleRegressor ---- */

/* Sizes for the operators that predict numbers; n_targets below 1 is INVALID. */
static ingot_status read_targets(ingot_op_ctx *c, int64_t *n, int64_t *width, int64_t *targets)
{
    const ingot_status st = ingot_ml_rows(c, n, width);

    *targets = ingot_attr_int(c->node, "n_targets", 1);
    if (!st && *targets < 1)
        return ingot_op_fail(c, INGOT_INVALID, "attribute 'n_targets' is %lld", (long long)*targets);
    return st;
}

/* (n, targets), in the type of X; the older operator always gives floats. */
static ingot_status infer_ensemble(ingot_op_ctx *c)
{
    int64_t n, width, targets;
    const ingot_status st = read_targets(c, &n, &width, &targets);
    return st ? st : ingot_out(c, 0, c->in[0]->dtype, 2, (int64_t[]){ n, targets });
}

/* (n, targets) of float. */
static ingot_status infer_regressor(ingot_op_ctx *c)
{
    int64_t n, width, targets;
    const ingot_status st = read_targets(c, &n, &width, &targets);
    return st ? st : ingot_out(c, 0, INGOT_FLOAT, 2, (int64_t[]){ n, targets });
}

/* Memory of a thread: a block of rows and, for each, its targets and two more, as a binary classifier writes two
 * scores whatever its targets. */
static void want_scratch(ingot_op_ctx *c, const trees_state *s)
{
    ingot_want_scratch(c, 0, (size_t)(MIN(BLOCK, s->n) * (s->width + s->trees.n_targets + 2)) * sizeof(double));
}

/* The newer form has aggregate and transform as numbers, which the enums repeat. */
static ingot_status prepare_ensemble(ingot_op_ctx *c)
{
    trees_state *s = c->state = ingot_keep(c, sizeof *s);
    const int64_t aggregate = ingot_attr_int(c->node, "aggregate_function", INGOT_TREE_SUM);
    const int64_t transform = ingot_attr_int(c->node, "post_transform", INGOT_ML_NONE);

    if (!s)
        return ingot_op_out_of_memory(c);
    ingot_status st = read_targets(c, &s->n, &s->width, &s->trees.n_targets);
    if (st)
        return st;
    if (aggregate < 0 || aggregate >= INGOT_TREE_N_AGGREGATES || transform < 0 || transform >= INGOT_ML_N_TRANSFORMS)
        return ingot_op_fail(c, INGOT_INVALID, "aggregate_function %lld with post_transform %lld", (long long)aggregate,
                             (long long)transform);
    s->trees.aggregate = (ingot_tree_aggregate)aggregate;
    s->trees.transform = (ingot_ml_transform)transform;
    s->n_written = s->trees.n_targets;
    want_scratch(c, s);
    return ingot_read_trees(c, &s->trees, s->width);
}

/* The older form has names for them, in the same order. */
static ingot_status prepare_regressor(ingot_op_ctx *c)
{
    static const char *const names[] = { "AVERAGE", "SUM", "MIN", "MAX" };
    const char *name = ingot_attr_string(c->node, "aggregate_function", "SUM");
    trees_state *s = c->state = ingot_keep(c, sizeof *s);
    int k = 0;

    if (!s)
        return ingot_op_out_of_memory(c);
    ingot_status st = read_targets(c, &s->n, &s->width, &s->trees.n_targets);
    if (st || (st = ingot_ml_read_transform(c, &s->trees.transform)))
        return st;
    while (k < INGOT_TREE_N_AGGREGATES && strcmp(name, names[k]))
        k++;
    if (k == INGOT_TREE_N_AGGREGATES)
        return ingot_op_fail(c, INGOT_INVALID, "attribute 'aggregate_function' is '%.40s'", name);
    s->trees.aggregate = (ingot_tree_aggregate)k;
    s->n_written = s->trees.n_targets;
    want_scratch(c, s);
    return ingot_read_old_trees(c, &s->trees, s->width, "target");
}

/* ---- TreeEnsembleClassifier ---- */

/* Labels and number of scores. Where all weights are of one class, its score is that of yes: two are written. Labels
 * must be given. */
static ingot_status read_classes(ingot_op_ctx *c, trees_state *s)
{
    const ingot_status st = ingot_ml_rows(c, &s->n, &s->width);
    int64_t n;
    const int64_t *ids = ingot_ml_ints(c, "class_ids", &n);

    s->labels = ingot_ml_read_labels(c, "classlabels_int64s");
    s->binary = n ? ids[0] : INGOT_NONE;
    for (int64_t i = 0; i < n; i++)
        if (ids[i] != s->binary)
            s->binary = INGOT_NONE;
    s->trees.n_targets = s->labels.n;
    if (s->labels.n > 2)
        s->binary = INGOT_NONE;
    s->n_written = s->binary == INGOT_NONE ? s->labels.n : 2;
    if (!st && !s->labels.n)
        return ingot_op_fail(c, INGOT_INVALID, "no labels are given");
    return st;
}

/* Labels (n) and scores (n, n_written). */
static ingot_status infer_classifier(ingot_op_ctx *c)
{
    trees_state s = { .n = 0 };
    ingot_status st = read_classes(c, &s);

    if (st || (st = ingot_out(c, 0, ingot_ml_label_dtype(&s.labels), 1, &s.n)))
        return st;
    return ingot_out(c, 1, INGOT_FLOAT, 2, (int64_t[]){ s.n, s.n_written });
}

/* A classifier always sums the weights of leaves. */
static ingot_status prepare_classifier(ingot_op_ctx *c)
{
    trees_state *s = c->state = ingot_keep(c, sizeof *s);
    ingot_status st;

    if (!s)
        return ingot_op_out_of_memory(c);
    if ((st = read_classes(c, s)) || (st = ingot_ml_read_transform(c, &s->trees.transform)))
        return st;
    s->trees.aggregate = INGOT_TREE_SUM;
    want_scratch(c, s);
    return ingot_read_old_trees(c, &s->trees, s->width, "class");
}

/* ---- running ---- */

/* Does a row whose feature is x take the true branch? A NaN compares false unless the node sends missing values to
 * true; != alone holds for it. Sets are short and searched one by one. */
static bool takes_true(const ingot_trees *t, const ingot_tree_node *node, double x)
{
    if (isnan(x) && node->missing_is_true)
        return true;
    switch (node->mode) {
    case INGOT_TREE_LEQ: return x <= node->split;
    case INGOT_TREE_LT: return x < node->split;
    case INGOT_TREE_GTE: return x >= node->split;
    case INGOT_TREE_GT: return x > node->split;
    case INGOT_TREE_EQ: return x == node->split;
    case INGOT_TREE_NEQ: return x != node->split;
    default:
        for (int32_t i = 0; i < node->set.n; i++)
            if (t->members[node->set.first + i] == x)
                return true;
        return false;
    }
}

/* Where each of `n` rows of x comes to from a root: at[r] becomes a leaf. False where nodes go in a circle. `plain` is
 * t->plain, as a constant for the compiler. */
static inline bool walk(const ingot_trees *t, const double *x, int64_t width, int64_t n, int32_t *at, bool plain)
{
    bool walking = true;

    for (int64_t step = 0; walking && step <= t->n_nodes; step++) {
        walking = false;
        for (int64_t r = 0; r < n; r++) {
            if (at[r] < 0)
                continue;
            const ingot_tree_node *node = &t->nodes[at[r]];
            const double value = x[r * width + node->feature];
            at[r] = node->to[!(plain ? value <= node->split : takes_true(t, node, value))];
            walking = true;
        }
    }
    return !walking;
}

/* The weights of a leaf into the targets y of one row. */
static void add_leaf(const ingot_trees *t, int64_t leaf, double *y)
{
    for (int64_t i = t->first_weight[leaf]; i < t->first_weight[leaf + 1]; i++) {
        const double weight = t->weights[i].weight;
        double *to = &y[t->weights[i].target];
        *to = t->aggregate == INGOT_TREE_MIN   ? MIN(*to, weight)
              : t->aggregate == INGOT_TREE_MAX ? MAX(*to, weight)
                                               : *to + weight;
    }
}

/* All trees of n <= BLOCK rows; y has `step` numbers for each of them, of which n_targets are set: aggregated,
 * averaged over trees where asked, base values added last. False where one of them never ends. */
static bool predict(const ingot_trees *t, const double *x, int64_t width, int64_t n, double *y, int64_t step)
{
    const double start = t->aggregate == INGOT_TREE_MIN ? FLT_MAX : t->aggregate == INGOT_TREE_MAX ? -FLT_MAX : 0.0;
    int32_t at[BLOCK];

    for (int64_t i = 0; i < n * step; i++)
        y[i] = start;
    /* Tree by tree: all rows walk, then their leaves are added. */
    for (int64_t k = 0; k < t->n_roots; k++) {
        for (int64_t r = 0; r < n; r++)
            at[r] = t->roots[k];
        if (!(t->plain ? walk(t, x, width, n, at, true) : walk(t, x, width, n, at, false)))
            return false;
        for (int64_t r = 0; r < n; r++)
            add_leaf(t, -1 - (int64_t)at[r], y + r * step);
    }
    for (int64_t r = 0; r < n; r++)
        for (int64_t i = 0; i < t->n_targets; i++) {
            double *to = &y[r * step + i];
            if (t->aggregate == INGOT_TREE_AVERAGE && t->n_roots)
                *to /= (double)t->n_roots;
            if (t->n_base)
                *to += t->base[t->n_base > 1 ? i : 0];
        }
    return true;
}

/* The score of yes to those of no and yes: 1 - s for a probability, -s for what a transform will make one. */
static void split_score(const trees_state *s, double *y)
{
    const bool probability = s->trees.transform == INGOT_ML_NONE || s->trees.transform == INGOT_ML_PROBIT;

    y[1] = y[s->binary];
    y[0] = probability ? 1 - y[1] : -y[1];
}

/* What the threads share. */
typedef struct predict_work {
    const ingot_op_ctx *c;
    _Atomic bool lost;                   /* a walk came to no leaf */
} predict_work;

/* The label of a row; either output may be unwanted. Class 0 of two with one label has no name. */
static void put_class(const ingot_op_ctx *c, const trees_state *s, int64_t row, int64_t class)
{
    const bool single = s->labels.n == 1 && s->n_written == 2;
    if (c->out[0])
        ingot_ml_put_label(c->out[0], row, &s->labels, single ? class - 1 : class);
}

/* Row `row` of the outputs from its targets. */
static void write_row(const ingot_op_ctx *c, const trees_state *s, int64_t row, double *y)
{
    const bool classifies = s->labels.n > 0;
    ingot_tensor *out = !classifies ? c->out[0] : c->n_out > 1 ? c->out[1] : NULL;

    if (classifies && s->binary != INGOT_NONE)
        split_score(s, y);
    ingot_ml_apply(s->trees.transform, y, s->n_written);
    for (int64_t i = 0; i < s->n_written && out; i++)
        ingot_put_double(out, row * s->n_written + i, y[i]);
    if (classifies)
        put_class(c, s, row, ingot_ml_best(y, s->n_written));
}

/* Task over rows, in blocks; ends early when a tree turns out to be circular, since no row can be right then. */
static void predict_rows(void *argument, int64_t begin, int64_t end, int thread)
{
    predict_work *w = argument;
    const trees_state *s = w->c->state;
    const int64_t step = s->trees.n_targets + 2;
    double *x = (double *)(void *)ingot_thread_scratch(w->c, thread), *y = x + MIN(BLOCK, s->n) * s->width;

    for (int64_t row = begin; row < end; row += BLOCK) {
        const int64_t n = MIN(end - row, BLOCK);
        for (int64_t r = 0; r < n; r++)
            ingot_ml_read_row(w->c->in[0], row + r, s->width, x + r * s->width);
        if (!predict(&s->trees, x, s->width, n, y, step)) {
            w->lost = true;
            return;
        }
        for (int64_t r = 0; r < n; r++)
            write_row(w->c, s, row + r, y + r * step);
    }
}

/* Rows are shared out, with fewer in a task where there are many trees. */
static ingot_status run_trees(ingot_op_ctx *c)
{
    const trees_state *s = c->state;
    predict_work w = { .c = c };

    ingot_parallel(c->team, s->n, 1 + 4096 / (1 + 8 * s->trees.n_roots), predict_rows, &w);
    return w.lost ? ingot_op_fail(c, INGOT_INVALID, "the nodes of a tree go in a circle") : INGOT_OK;
}

/* A comparison for each step of a walk; a tree of n nodes is taken to be log2(n) deep. */
static int64_t count_flops(const ingot_op_ctx *c)
{
    const trees_state *s = c->state;
    const double per_tree = (double)s->trees.n_nodes / (double)MAX(s->trees.n_roots, 1);
    return (int64_t)((double)s->n * (double)s->trees.n_roots * log2(2 + per_tree));
}

#define ML .domain = INGOT_ML_DOMAIN, .flops = count_flops

const ingot_op ingot_ops_ml_trees[] = {
    { "TreeEnsemble", 5, 1, 1, { INGOT_TYPE(FLOAT) | INGOT_TYPE(DOUBLE) | INGOT_TYPE(FLOAT16) }, infer_ensemble,
      run_trees, prepare_ensemble, ML },
    { "TreeEnsembleClassifier", 1, 1, 1, { INGOT_TYPES_FEATURE }, infer_classifier, run_trees, prepare_classifier, ML },
    { "TreeEnsembleRegressor", 1, 1, 1, { INGOT_TYPES_FEATURE }, infer_regressor, run_trees, prepare_regressor, ML },
    { 0 }
};
