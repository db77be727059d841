/* ml_trees.h - an ensemble of decision trees as it is walked, whichever form its attributes had. */
#ifndef INGOT_OPS_ML_TREES_H
#define INGOT_OPS_ML_TREES_H

#include "ops/ml.h"

typedef enum ingot_tree_mode {
    INGOT_TREE_LEQ, INGOT_TREE_LT, INGOT_TREE_GTE, INGOT_TREE_GT, INGOT_TREE_EQ, INGOT_TREE_NEQ, INGOT_TREE_MEMBER,
    INGOT_TREE_N_MODES
} ingot_tree_mode;

typedef enum ingot_tree_aggregate {
    INGOT_TREE_AVERAGE, INGOT_TREE_SUM, INGOT_TREE_MIN, INGOT_TREE_MAX, INGOT_TREE_N_AGGREGATES
} ingot_tree_aggregate;

/* A node compares one feature and leads to to[0] where it is true, else to to[1]: another node, or, below 0, leaf
 * -1 - index. */
typedef struct ingot_tree_node {
    union {
        double split;
        struct {
            int32_t first, n;        /* of MEMBER: the set, in `members` */
        } set;
    };
    int32_t feature, to[2];
    uint8_t mode;
    bool missing_is_true;            /* NaN takes the true branch */
} ingot_tree_node;

/* What a leaf adds to a target. */
typedef struct ingot_tree_weight {
    int64_t target;
    double weight;
} ingot_tree_weight;

typedef struct ingot_trees {
    ingot_tree_node *nodes;
    int32_t *roots;                  /* nodes or leaves, as a branch */
    int64_t *first_weight;           /* of leaf i, up to that of i + 1 */
    ingot_tree_weight *weights;
    double *members;
    const double *base;              /* n_base numbers that are added at the end: none, one, or one for each target */
    int64_t n_nodes, n_leaves, n_roots, n_weights, n_targets, n_base;
    bool ran_out;                    /* a list is missing because memory was */
    bool plain;                      /* every node is LEQ and treats NaN as false */
    ingot_tree_aggregate aggregate;
    ingot_ml_transform transform;
} ingot_trees;

/* In prepare(), with n_targets set: nodes, leaves and roots from the attributes of TreeEnsemble, or from those of the
 * older TreeEnsembleClassifier ("class") and TreeEnsembleRegressor ("target"). Every index is checked, and features
 * are below `width`. Memory is that of the plan. */
ingot_status ingot_read_trees(ingot_op_ctx *c, ingot_trees *trees, int64_t width);
ingot_status ingot_read_old_trees(ingot_op_ctx *c, ingot_trees *trees, int64_t width, const char *kind);

#endif
