/* ml_tree_reader.c - trees from attributes. The newer form has arrays of nodes and of leaves that name each other by
 * index. The older one has a list of nodes, leaves among them, that are named by pairs (tree, node); the weights of
 * leaves are another list that names them so. Pairs are sorted once and found by bisection. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "ops/ml_trees.h"

/* Memory of the plan; where there is none, t remembers it: a list that is NULL for that reason is no mistake of the
 * model's. */
static void *keep(ingot_op_ctx *c, ingot_trees *t, size_t size_bytes)
{
    void *memory = ingot_keep(c, size_bytes);
    t->ran_out |= !memory;
    return memory;
}

/* The elements of a tensor attribute as doubles, *n of them; NULL and 0 when there is none. */
static double *tensor_doubles(ingot_op_ctx *c, ingot_trees *t, const char *name, int64_t *n)
{
    const ingot_attr *a = ingot_node_attr(c->node, name);

    *n = 0;
    if (!a || a->type != INGOT_ATTR_TENSOR || !a->n)
        return NULL;
    ingot_tensor elements = a->tensors[0]->tensor;
    if (!((INGOT_TYPES_FLOAT | INGOT_TYPE(UINT8)) >> elements.dtype & 1))
        return NULL;
    double *values = keep(c, t, (size_t)ingot_count(&elements) * sizeof *values);
    elements.data = values ? keep(c, t, ingot_storage_bytes(&elements)) : NULL;
    if (!elements.data)
        return NULL;
    ingot_const_read(a->tensors[0], elements.data);
    *n = ingot_count(&elements);
    for (int64_t i = 0; i < *n; i++)
        values[i] = ingot_double_at(&elements, i);
    return values;
}

/* The attribute `name`, floats, or its form in doubles, `name`_as_tensor; NULL and *n = 0 when neither is given. */
static double *doubles_of(ingot_op_ctx *c, ingot_trees *t, const char *name, int64_t *n)
{
    char tensor_name[60];
    const float *floats = ingot_ml_floats(c, name, n);

    snprintf(tensor_name, sizeof tensor_name, "%s_as_tensor", name);
    if (!floats)
        return tensor_doubles(c, t, tensor_name, n);
    double *values = keep(c, t, (size_t)*n * sizeof *values);
    *n = values ? *n : 0;
    for (int64_t i = 0; i < *n; i++)
        values[i] = (double)floats[i];
    return values;
}

/* An attribute of integers with n elements, or NULL. */
static const int64_t *ints_of(const ingot_op_ctx *c, const char *name, int64_t n)
{
    int64_t given;
    const int64_t *ints = ingot_ml_ints(c, name, &given);
    return given == n ? ints : NULL;
}

/* Memory for what the counts in t say. Indices are kept in 32 bits, so that a node is small: larger counts are
 * UNSUPPORTED. */
static ingot_status allocate(ingot_op_ctx *c, ingot_trees *t)
{
    if (t->n_nodes > INT32_MAX || t->n_leaves > INT32_MAX)
        return ingot_op_fail(c, INGOT_UNSUPPORTED, "more than 2^31 nodes");
    t->nodes = ingot_keep(c, (size_t)t->n_nodes * sizeof *t->nodes);
    t->roots = ingot_keep(c, (size_t)t->n_roots * sizeof *t->roots);
    t->first_weight = ingot_keep(c, (size_t)(t->n_leaves + 1) * sizeof *t->first_weight);
    t->weights = ingot_keep(c, (size_t)t->n_weights * sizeof *t->weights);
    return t->nodes && t->roots && t->first_weight && t->weights ? INGOT_OK : ingot_op_out_of_memory(c);
}

/* Trees whose nodes all compare by <= and send NaN to the false side can be walked without looking at the mode. */
static void note_plain(ingot_trees *t)
{
    t->plain = true;
    for (int64_t i = 0; i < t->n_nodes; i++)
        t->plain &= t->nodes[i].mode == INGOT_TREE_LEQ && !t->nodes[i].missing_is_true;
}

/* ---- TreeEnsemble ---- */

/* The members of every set, in the order of the nodes that test them; each set ends with a NaN. */
static ingot_status read_members(ingot_op_ctx *c, ingot_trees *t)
{
    int64_t n = 0, at = 0;

    t->members = tensor_doubles(c, t, "membership_values", &n);
    for (int64_t i = 0; i < t->n_nodes; i++) {
        ingot_tree_node *node = &t->nodes[i];
        if (node->mode != INGOT_TREE_MEMBER)
            continue;
        /* The set's members up to its NaN. */
        node->set.first = (int32_t)at;
        while (at < n && !isnan(t->members[at]))
            at++;
        if (at == n || n > INT32_MAX)
            return ingot_op_fail(c, INGOT_INVALID, "membership_values does not have a set for node %lld", (long long)i);
        node->set.n = (int32_t)at++ - node->set.first;
    }
    return INGOT_OK;
}

/* A branch to node or leaf `index`; false where there is none. */
static bool make_branch(const ingot_trees *t, int64_t index, bool is_leaf, int32_t *branch)
{
    if (index < 0 || index >= (is_leaf ? t->n_leaves : t->n_nodes))
        return false;
    *branch = (int32_t)(is_leaf ? -1 - index : index);
    return true;
}

/* Fills t->nodes from the attributes nodes_*. Everything that a walk will index is checked here: modes, features
 * below `width`, branches that exist. Circles are not looked for: the walk is bounded. */
static ingot_status read_nodes(ingot_op_ctx *c, ingot_trees *t, int64_t width, const double *modes)
{
    const int64_t n = t->n_nodes;
    int64_t n_splits;
    const double *splits = tensor_doubles(c, t, "nodes_splits", &n_splits);
    const int64_t *features = ints_of(c, "nodes_featureids", n),
                  *missing = ints_of(c, "nodes_missing_value_tracks_true", n);
    const int64_t *yes = ints_of(c, "nodes_truenodeids", n), *no = ints_of(c, "nodes_falsenodeids", n);
    const int64_t *yes_leaf = ints_of(c, "nodes_trueleafs", n), *no_leaf = ints_of(c, "nodes_falseleafs", n);

    if (!splits || n_splits != n || !features || !yes || !no || !yes_leaf || !no_leaf)
        return ingot_op_fail(c, INGOT_INVALID, "the attributes nodes_* do not all have the same number of elements");
    /* All that a walk will follow is checked here, node by node. */
    for (int64_t i = 0; i < n; i++) {
        ingot_tree_node *node = &t->nodes[i];
        node->split = splits[i];
        node->missing_is_true = missing && missing[i];
        if (!(modes[i] >= 0 && modes[i] < INGOT_TREE_N_MODES) || features[i] < 0 || features[i] >= width ||
            features[i] > INT32_MAX || !make_branch(t, yes[i], yes_leaf[i] != 0, &node->to[0]) ||
            !make_branch(t, no[i], no_leaf[i] != 0, &node->to[1]))
            return ingot_op_fail(c, INGOT_INVALID, "tree node %lld: mode, feature or branch is out of range",
                                 (long long)i);
        node->feature = (int32_t)features[i];
        node->mode = (uint8_t)modes[i];
    }
    return read_members(c, t);
}

/* Trees of TreeEnsemble (opset 5 of ai.onnx.ml) for rows of `width` features. In t, n_targets is given, all else is
 * filled. Each leaf has exactly one weight. INVALID where lists do not fit each other. */
static ingot_status read_trees(ingot_op_ctx *c, ingot_trees *t, int64_t width)
{
    const double *modes = tensor_doubles(c, t, "nodes_modes", &t->n_nodes);
    const double *weights = tensor_doubles(c, t, "leaf_weights", &t->n_leaves);
    const int64_t *targets = ints_of(c, "leaf_targetids", t->n_leaves);
    const int64_t *roots = ingot_ml_ints(c, "tree_roots", &t->n_roots);

    if (!modes || !weights || !targets)
        return ingot_op_fail(c, INGOT_INVALID, "nodes_modes, leaf_weights or leaf_targetids is missing or too short");
    t->n_weights = t->n_leaves;
    ingot_status st = allocate(c, t);
    if (st || (st = read_nodes(c, t, width, modes)))
        return st;
    /* One weight for each leaf, in the leaves' order. */
    for (int64_t i = 0; i < t->n_leaves; i++) {
        if (targets[i] < 0 || targets[i] >= t->n_targets)
            return ingot_op_fail(c, INGOT_INVALID, "leaf %lld has target %lld of %lld", (long long)i,
                                 (long long)targets[i], (long long)t->n_targets);
        t->first_weight[i] = i;
        t->weights[i] = (ingot_tree_weight){ targets[i], weights[i] };
    }
    t->first_weight[t->n_leaves] = t->n_leaves;
    for (int64_t i = 0; i < t->n_roots; i++)
        if (!make_branch(t, roots[i], false, &t->roots[i]))
            return ingot_op_fail(c, INGOT_INVALID, "tree root %lld is no node", (long long)roots[i]);
    note_plain(t);
    return INGOT_OK;
}

/* ---- TreeEnsembleClassifier and TreeEnsembleRegressor ---- */

/* A node's name and where it stands. */
typedef struct named_node {
    int64_t tree, node, index;
} named_node;

/* By tree, then by node. */
static int by_name(const void *a, const void *b)
{
    const named_node *x = a, *y = b;
    if (x->tree != y->tree)
        return x->tree < y->tree ? -1 : 1;
    return (x->node > y->node) - (x->node < y->node);
}

/* The attributes nodes_* of the older form, n elements each (missing may be NULL), and the names sorted. */
typedef struct old_nodes {
    int64_t n;
    const int64_t *trees, *ids, *features, *yes, *no, *missing;
    const ingot_string *modes;
    const double *splits;
    named_node *sorted;
    int32_t *places;             /* of node i: a branch that leads to it */
} old_nodes;

/* INGOT_TREE_N_MODES is a leaf; -1 no mode at all. */
static int mode_of(const ingot_string *text)
{
    static const char *const names[] = { "BRANCH_LEQ", "BRANCH_LT", "BRANCH_GTE", "BRANCH_GT", "BRANCH_EQ",
                                         "BRANCH_NEQ", "",          "LEAF" };
    for (int i = 0; i <= INGOT_TREE_N_MODES; i++)
        if (i != INGOT_TREE_MEMBER && text->size_bytes == strlen(names[i]) && !strcmp(text->data, names[i]))
            return i;
    return -1;
}

/* Index of a node in the list, or INGOT_NONE. */
static int64_t find_node(const old_nodes *o, int64_t tree, int64_t node)
{
    const named_node key = { tree, node, 0 };
    const named_node *found = bsearch(&key, o->sorted, (size_t)o->n, sizeof key, by_name);
    return found ? found->index : INGOT_NONE;
}

/* The lists as they are, all of one length, and names sorted; two nodes of one name are INVALID. */
static ingot_status read_old_lists(ingot_op_ctx *c, ingot_trees *t, old_nodes *o)
{
    int64_t n_splits;
    o->modes = ingot_ml_strings(c, "nodes_modes", &o->n);
    const int64_t n = o->n;
    o->trees = ints_of(c, "nodes_treeids", n);
    o->ids = ints_of(c, "nodes_nodeids", n);
    o->features = ints_of(c, "nodes_featureids", n);
    o->yes = ints_of(c, "nodes_truenodeids", n);
    o->no = ints_of(c, "nodes_falsenodeids", n);
    o->missing = ints_of(c, "nodes_missing_value_tracks_true", n);
    o->splits = doubles_of(c, t, "nodes_values", &n_splits);
    if (!n || !o->trees || !o->ids || !o->features || !o->yes || !o->no || !o->splits || n_splits != n)
        return ingot_op_fail(c, INGOT_INVALID, "the attributes nodes_* do not all have the same number of elements");
    /* Names are sorted, so that children are found by bisection and twins are neighbours. */
    o->sorted = ingot_keep(c, (size_t)n * sizeof *o->sorted);
    o->places = ingot_keep(c, (size_t)n * sizeof *o->places);
    if (!o->sorted || !o->places)
        return ingot_op_out_of_memory(c);
    for (int64_t i = 0; i < n; i++)
        o->sorted[i] = (named_node){ o->trees[i], o->ids[i], i };
    qsort(o->sorted, (size_t)n, sizeof *o->sorted, by_name);
    for (int64_t i = 1; i < n; i++)
        if (!by_name(&o->sorted[i - 1], &o->sorted[i]))
            return ingot_op_fail(c, INGOT_INVALID, "two nodes are number %lld of tree %lld",
                                 (long long)o->sorted[i].node, (long long)o->sorted[i].tree);
    return INGOT_OK;
}

/* Branches and leaves get numbers of their own; a tree begins with the first of its nodes in the list. */
static ingot_status number_nodes(ingot_op_ctx *c, ingot_trees *t, old_nodes *o)
{
    for (int64_t i = 0; i < o->n; i++) {
        const int mode = mode_of(&o->modes[i]);
        if (mode < 0)
            return ingot_op_fail(c, INGOT_INVALID, "nodes_modes has '%.40s'", o->modes[i].data);
        if (t->n_nodes == INT32_MAX || t->n_leaves == INT32_MAX)
            return ingot_op_fail(c, INGOT_UNSUPPORTED, "more than 2^31 nodes");
        /* Leaves are negative numbers, so that a branch tells where it leads. */
        o->places[i] = (int32_t)(mode == INGOT_TREE_N_MODES ? -1 - t->n_leaves++ : t->n_nodes++);
    }
    for (int64_t i = 0; i < o->n; i++)
        t->n_roots += !i || o->sorted[i].tree != o->sorted[i - 1].tree;
    return INGOT_OK;
}

/* Branch nodes by the numbers that number_nodes gave them, then the roots: for each tree, its node that comes first
 * in the list. Names of children that do not exist and features out of range are INVALID. */
static ingot_status fill_nodes(ingot_op_ctx *c, ingot_trees *t, const old_nodes *o, int64_t width)
{
    for (int64_t i = 0; i < o->n; i++) {
        if (o->places[i] < 0)
            continue;
        ingot_tree_node *node = &t->nodes[o->places[i]];
        const int64_t yes = find_node(o, o->trees[i], o->yes[i]), no = find_node(o, o->trees[i], o->no[i]);
        if (yes == INGOT_NONE || no == INGOT_NONE || o->features[i] < 0 || o->features[i] >= width ||
            o->features[i] > INT32_MAX)
            return ingot_op_fail(c, INGOT_INVALID, "node %lld of tree %lld: feature or branch is out of range",
                                 (long long)o->ids[i], (long long)o->trees[i]);
        *node = (ingot_tree_node){ .split = o->splits[i], .feature = (int32_t)o->features[i],
                                   .to = { o->places[yes], o->places[no] },
                                   .mode = (uint8_t)mode_of(&o->modes[i]),
                                   .missing_is_true = o->missing && o->missing[i] };
    }
    /* Roots: of the names of one tree, the one that stands first in the list. */
    int64_t root = -1, first = 0;
    for (int64_t i = 0; i < o->n; i++) {
        if (!i || o->sorted[i].tree != o->sorted[i - 1].tree) {
            root++;
            first = o->sorted[i].index;
        }
        first = MIN(first, o->sorted[i].index);
        t->roots[root] = o->places[first];
    }
    return INGOT_OK;
}

/* The lists KIND_treeids, _nodeids, _ids and _weights: a weight for a target of a leaf, several for some. They are
 * counted by leaf, then put in place (a counting sort, so that a leaf's weights lie together). Weights of branches
 * are never reached and left out. INVALID for a leaf that does not exist or a target out of range. */
static ingot_status fill_weights(ingot_op_ctx *c, ingot_trees *t, const old_nodes *o, const char *kind)
{
    static const char *const parts[3] = { "treeids", "nodeids", "ids" };
    const int64_t *lists[3];
    char name[40];

    snprintf(name, sizeof name, "%s_weights", kind);
    /* The three lists that say which leaf and target a weight is for. */
    const double *weights = doubles_of(c, t, name, &t->n_weights);
    for (int i = 0; i < 3; i++) {
        snprintf(name, sizeof name, "%s_%s", kind, parts[i]);
        lists[i] = ints_of(c, name, t->n_weights);
    }
    if (!weights || !lists[0] || !lists[1] || !lists[2])
        return ingot_op_fail(c, INGOT_INVALID, "the attributes %s_* do not all have the same number of elements", kind);
    t->weights = ingot_keep(c, (size_t)t->n_weights * sizeof *t->weights);
    if (!t->weights)
        return ingot_op_out_of_memory(c);
    /* First pass: count by leaf, then sum up to starts. Second pass: put in place. */
    for (int pass = 0; pass < 2; pass++) {
        for (int64_t i = 0; i < t->n_weights; i++) {
            const int64_t node = find_node(o, lists[0][i], lists[1][i]);
            if (node == INGOT_NONE || lists[2][i] < 0 || lists[2][i] >= t->n_targets)
                return ingot_op_fail(c, INGOT_INVALID, "weight %lld: no such leaf, or target %lld of %lld",
                                     (long long)i, (long long)lists[2][i], (long long)t->n_targets);
            const int64_t leaf = -1 - (int64_t)o->places[node];
            if (leaf >= 0 && !pass)
                t->first_weight[leaf + 1]++;
            else if (leaf >= 0)
                t->weights[t->first_weight[leaf]++] = (ingot_tree_weight){ lists[2][i], weights[i] };
        }
        for (int64_t leaf = 0; leaf < t->n_leaves && !pass; leaf++)
            t->first_weight[leaf + 1] += t->first_weight[leaf];
    }
    for (int64_t leaf = t->n_leaves; leaf > 0; leaf--)       /* filling moved each start to its end */
        t->first_weight[leaf] = t->first_weight[leaf - 1];
    t->first_weight[0] = 0;
    return INGOT_OK;
}

/* Trees of the two older operators; kind: "target" or "class", the prefix of the lists of weights. base_values is one
 * number for each target, or one for all, or missing. */
static ingot_status read_old_trees(ingot_op_ctx *c, ingot_trees *t, int64_t width, const char *kind)
{
    old_nodes o = { 0 };
    ingot_status st;

    t->base = doubles_of(c, t, "base_values", &t->n_base);
    if (t->n_base > 1 && t->n_base != t->n_targets)
        return ingot_op_fail(c, INGOT_INVALID, "base_values has %lld elements for %lld targets", (long long)t->n_base,
                             (long long)t->n_targets);
    if ((st = read_old_lists(c, t, &o)) || (st = number_nodes(c, t, &o)) || (st = allocate(c, t)) ||
        (st = fill_nodes(c, t, &o, width)) || (st = fill_weights(c, t, &o, kind)))
        return st;
    note_plain(t);
    return INGOT_OK;
}

/* ---- both ---- */

/* Lists that could not be had for want of memory look as if they were missing; this tells the two apart. */
ingot_status ingot_read_trees(ingot_op_ctx *c, ingot_trees *t, int64_t width)
{
    const ingot_status status = read_trees(c, t, width);
    return t->ran_out ? ingot_op_out_of_memory(c) : status;
}

ingot_status ingot_read_old_trees(ingot_op_ctx *c, ingot_trees *t, int64_t width, const char *kind)
{
    const ingot_status status = read_old_trees(c, t, width, kind);
    return t->ran_out ? ingot_op_out_of_memory(c) : status;
}
