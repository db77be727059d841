/* ml_trees.c - TreeEnsemble: walks every row of features down each tree and adds up the leaves' weights by target. The
 * attributes' node arrays are checked when planning: an index in range for every branch, features within the input. A
 * walk takes at most as many steps as there are nodes, so that a cycle in the arrays ends it. */
#include <float.h>
#include <math.h>
#include <string.h>

#include "ops/scalar.h"
#include "ops/op.h"

enum tree_mode { MODE_LEQ, MODE_LT, MODE_GTE, MODE_GT, MODE_EQ, MODE_NEQ, MODE_MEMBER, N_MODES };
enum aggregate { AGGREGATE_AVERAGE, AGGREGATE_SUM, AGGREGATE_MIN, AGGREGATE_MAX, N_AGGREGATES };
enum transform { TRANSFORM_NONE, TRANSFORM_SOFTMAX, TRANSFORM_LOGISTIC, TRANSFORM_SOFTMAX_ZERO, N_TRANSFORMS };

/* Where a branch leads: a node, or a leaf. */
typedef struct branch {
    int64_t index;
    bool is_leaf;
} branch;

typedef struct tree_node {
    enum tree_mode mode;
    bool missing_is_true;        /* NaN takes the true branch */
    int64_t feature;
    double split;
    int64_t first_member, n_members;
    branch yes, no;
} tree_node;

typedef struct ensemble {
    tree_node *nodes;
    int64_t n_nodes, n_leaves, n_roots, n_targets;
    const int64_t *roots, *leaf_targets;
    double *leaf_weights, *members;
    enum aggregate aggregate;
    enum transform transform;
} ensemble;

/* An attribute of integers with n elements, or NULL. n INGOT_NONE: any number but 0. */
static const int64_t *ints_of(const ingot_op_ctx *c, const char *name, int64_t n)
{
    const ingot_attr *a = ingot_node_attr(c->node, name);
    return a && a->type == INGOT_ATTR_INTS && a->n && (n == INGOT_NONE || (int64_t)a->n == n) ? a->ints : NULL;
}

/* The elements of a tensor attribute as doubles, *n of them, in memory of the plan; NULL when there is none. */
static double *doubles_of(ingot_op_ctx *c, const char *name, int64_t *n)
{
    const ingot_attr *a = ingot_node_attr(c->node, name);

    *n = 0;
    if (!a || a->type != INGOT_ATTR_TENSOR || !a->n)
        return NULL;
    ingot_tensor elements = a->tensors[0]->tensor;
    if (!((INGOT_TYPES_FLOAT | INGOT_TYPE(UINT8)) >> elements.dtype & 1))
        return NULL;
    double *values = ingot_keep(c, (size_t)ingot_count(&elements) * sizeof *values);
    elements.data = values ? ingot_keep(c, ingot_storage_bytes(&elements)) : NULL;
    if (!elements.data)
        return NULL;
    ingot_const_read(a->tensors[0], elements.data);
    *n = ingot_count(&elements);
    for (int64_t i = 0; i < *n; i++)
        values[i] = ingot_double_at(&elements, i);
    return values;
}

static ingot_status infer_ensemble(ingot_op_ctx *c)
{
    const ingot_tensor *x = c->in[0];
    const int64_t targets = ingot_attr_int(c->node, "n_targets", 1);

    if (x->rank != 2 || targets < 1)
        return ingot_op_fail(c, INGOT_INVALID, "input of rank %d (expected 2) and %lld targets", x->rank,
                             (long long)targets);
    return ingot_out(c, 0, x->dtype, 2, (const int64_t[]){ x->shape[0], targets });
}

/* The members of every set, in the order of the nodes that test them; each set ends with a NaN. */
static ingot_status read_members(ingot_op_ctx *c, ensemble *e)
{
    int64_t n = 0, at = 0;

    e->members = doubles_of(c, "membership_values", &n);
    for (int64_t i = 0; i < e->n_nodes; i++) {
        tree_node *node = &e->nodes[i];
        if (node->mode != MODE_MEMBER)
            continue;
        node->first_member = at;
        while (at < n && !isnan(e->members[at]))
            at++;
        if (at == n)
            return ingot_op_fail(c, INGOT_INVALID, "membership_values does not have a set for node %lld", (long long)i);
        node->n_members = at++ - node->first_member;
    }
    return INGOT_OK;
}

static bool leads_somewhere(const ensemble *e, branch to)
{
    return to.index >= 0 && to.index < (to.is_leaf ? e->n_leaves : e->n_nodes);
}

static ingot_status read_nodes(ingot_op_ctx *c, ensemble *e)
{
    int64_t n_modes, n_splits;
    const double *modes = doubles_of(c, "nodes_modes", &n_modes), *splits = doubles_of(c, "nodes_splits", &n_splits);
    const int64_t n = e->n_nodes = n_modes;
    const int64_t *features = ints_of(c, "nodes_featureids", n),
                  *missing = ints_of(c, "nodes_missing_value_tracks_true", n);
    const int64_t *yes = ints_of(c, "nodes_truenodeids", n), *no = ints_of(c, "nodes_falsenodeids", n);
    const int64_t *yes_leaf = ints_of(c, "nodes_trueleafs", n), *no_leaf = ints_of(c, "nodes_falseleafs", n);

    if (!modes || !splits || n_splits != n || !features || !yes || !no || !yes_leaf || !no_leaf)
        return ingot_op_fail(c, INGOT_INVALID, "the attributes nodes_* do not all have the same number of elements");
    e->nodes = ingot_keep(c, (size_t)n * sizeof *e->nodes);
    if (!e->nodes)
        return ingot_op_fail(c, INGOT_LIMIT, "memory is out");
    for (int64_t i = 0; i < n; i++) {
        tree_node *node = &e->nodes[i];
        *node = (tree_node){ .missing_is_true = missing && missing[i], .feature = features[i], .split = splits[i],
                             .yes = { yes[i], yes_leaf[i] != 0 }, .no = { no[i], no_leaf[i] != 0 } };
        if (!(modes[i] >= 0 && modes[i] < N_MODES) || features[i] < 0 || features[i] >= c->in[0]->shape[1] ||
            !leads_somewhere(e, node->yes) || !leads_somewhere(e, node->no))
            return ingot_op_fail(c, INGOT_INVALID, "tree node %lld: mode, feature or branch is out of range",
                                 (long long)i);
        node->mode = (enum tree_mode)modes[i];
    }
    return read_members(c, e);
}

static ingot_status read_leaves(ingot_op_ctx *c, ensemble *e)
{
    e->leaf_weights = doubles_of(c, "leaf_weights", &e->n_leaves);
    e->leaf_targets = ints_of(c, "leaf_targetids", e->n_leaves);
    if (!e->leaf_weights || !e->leaf_targets)
        return ingot_op_fail(c, INGOT_INVALID, "leaf_weights and leaf_targetids do not go together");
    for (int64_t i = 0; i < e->n_leaves; i++)
        if (e->leaf_targets[i] < 0 || e->leaf_targets[i] >= e->n_targets)
            return ingot_op_fail(c, INGOT_INVALID, "leaf %lld has target %lld of %lld", (long long)i,
                                 (long long)e->leaf_targets[i], (long long)e->n_targets);
    return INGOT_OK;
}

static ingot_status prepare_ensemble(ingot_op_ctx *c)
{
    ensemble *e = c->state = ingot_keep(c, sizeof *e);
    const ingot_attr *roots = ingot_node_attr(c->node, "tree_roots");
    const int64_t aggregate = ingot_attr_int(c->node, "aggregate_function", AGGREGATE_SUM);
    const int64_t transform = ingot_attr_int(c->node, "post_transform", TRANSFORM_NONE);
    ingot_status st;

    if (!e)
        return ingot_op_fail(c, INGOT_LIMIT, "memory is out");
    e->n_targets = ingot_attr_int(c->node, "n_targets", 1);
    e->roots = ints_of(c, "tree_roots", INGOT_NONE);
    e->n_roots = e->roots ? (int64_t)roots->n : 0;
    if (aggregate < 0 || aggregate >= N_AGGREGATES || transform < 0 || transform >= N_TRANSFORMS)
        return ingot_op_fail(c, INGOT_UNSUPPORTED, "aggregate_function %lld with post_transform %lld",
                             (long long)aggregate, (long long)transform);
    e->aggregate = (enum aggregate)aggregate;
    e->transform = (enum transform)transform;
    if ((st = read_leaves(c, e)) || (st = read_nodes(c, e)))
        return st;
    for (int64_t i = 0; i < e->n_roots; i++)
        if (e->roots[i] < 0 || e->roots[i] >= e->n_nodes)
            return ingot_op_fail(c, INGOT_INVALID, "tree root %lld is no node", (long long)e->roots[i]);
    ingot_want_scratch(c, 0, (size_t)e->n_targets * sizeof(double));
    return INGOT_OK;
}

static bool takes_true(const ensemble *e, const tree_node *node, double x)
{
    if (isnan(x) && node->missing_is_true)
        return true;
    switch (node->mode) {
    case MODE_LEQ: return x <= node->split;
    case MODE_LT: return x < node->split;
    case MODE_GTE: return x >= node->split;
    case MODE_GT: return x > node->split;
    case MODE_EQ: return x == node->split;
    case MODE_NEQ: return x != node->split;
    default:
        for (int64_t i = 0; i < node->n_members; i++)
            if (e->members[node->first_member + i] == x)
                return true;
        return false;
    }
}

/* The leaf that row `row` reaches from `root`, or INGOT_NONE where the nodes go in a circle. A tree that is a leaf
 * alone is a node whose branches are both that leaf. */
static int64_t find_leaf(const ensemble *e, const ingot_tensor *x, int64_t row, int64_t root)
{
    branch at = { root, false };

    for (int64_t step = 0; step <= e->n_nodes && !at.is_leaf; step++) {
        const tree_node *node = &e->nodes[at.index];
        at = takes_true(e, node, ingot_double_at(x, row * x->shape[1] + node->feature)) ? node->yes : node->no;
    }
    return at.is_leaf ? at.index : INGOT_NONE;
}

static double aggregate_with(enum aggregate how, double sum, double weight)
{
    if (how == AGGREGATE_MIN)
        return MIN(sum, weight);
    return how == AGGREGATE_MAX ? MAX(sum, weight) : sum + weight;
}

/* Softmax over the targets; the zero form leaves targets of (almost) 0 out of it. */
static void transform_softmax(double *y, int64_t n, bool keep_zero)
{
    double largest = -DBL_MAX, sum = 0.0;

    for (int64_t i = 0; i < n; i++)
        largest = MAX(largest, y[i]);
    for (int64_t i = 0; i < n; i++) {
        y[i] = keep_zero && fabs(y[i]) <= 1e-7 ? 0.0 : exp(y[i] - largest);
        sum += y[i];
    }
    for (int64_t i = 0; i < n && sum > 0.0; i++)
        y[i] /= sum;
}

typedef struct predict_work {
    const ingot_op_ctx *c;
    _Atomic bool lost;           /* a walk came to no leaf */
} predict_work;

static void predict_rows(void *argument, int64_t begin, int64_t end, int thread)
{
    predict_work *w = argument;
    const ingot_op_ctx *c = w->c;
    const ensemble *e = c->state;
    double *y = (double *)(void *)ingot_thread_scratch(c, thread);
    const double start = e->aggregate == AGGREGATE_MIN ? FLT_MAX : e->aggregate == AGGREGATE_MAX ? -FLT_MAX : 0.0;

    for (int64_t row = begin; row < end; row++) {
        for (int64_t i = 0; i < e->n_targets; i++)
            y[i] = start;
        for (int64_t t = 0; t < e->n_roots; t++) {
            const int64_t leaf = find_leaf(e, c->in[0], row, e->roots[t]);
            if (leaf == INGOT_NONE)
                w->lost = true;
            else
                y[e->leaf_targets[leaf]] =
                    aggregate_with(e->aggregate, y[e->leaf_targets[leaf]], e->leaf_weights[leaf]);
        }
        for (int64_t i = 0; i < e->n_targets && e->aggregate == AGGREGATE_AVERAGE && e->n_roots; i++)
            y[i] /= (double)e->n_roots;
        if (e->transform == TRANSFORM_SOFTMAX || e->transform == TRANSFORM_SOFTMAX_ZERO)
            transform_softmax(y, e->n_targets, e->transform == TRANSFORM_SOFTMAX_ZERO);
        for (int64_t i = 0; i < e->n_targets; i++)
            ingot_put_double(c->out[0], row * e->n_targets + i,
                             e->transform == TRANSFORM_LOGISTIC ? 1.0 / (1.0 + exp(-y[i])) : y[i]);
    }
}

static ingot_status run_ensemble(ingot_op_ctx *c)
{
    predict_work w = { .c = c };

    ingot_parallel(c->team, c->in[0]->shape[0], 64, predict_rows, &w);
    return w.lost ? ingot_op_fail(c, INGOT_INVALID, "the nodes of a tree go in a circle") : INGOT_OK;
}

const ingot_op ingot_ops_ml_trees[] = {
    { "TreeEnsemble", 5, 1, 1, { INGOT_TYPE(FLOAT) | INGOT_TYPE(DOUBLE) | INGOT_TYPE(FLOAT16) }, infer_ensemble,
      run_ensemble, prepare_ensemble, .domain = "ai.onnx.ml" },
    { 0 }
};
