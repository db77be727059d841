/* reshape.c - operators that give the same elements another shape: Reshape, Flatten, Squeeze, Unsqueeze. No element
 * moves when the plan lets output and input share memory. */
#include "ops/movement.h"

/* Is every dimension but one the input's? */
static bool keeps_others(const ingot_tensor *x, const int64_t *shape, int rank, int one)
{
    bool same = rank == x->rank;

    for (int d = 0; same && d < rank; d++)
        same = d == one || shape[d] == x->shape[d];
    return same;
}

/* The shape is an input: -1 is what is left over, 0 copies the input's dimension unless allowzero; at most one -1. Of
 * no elements (a batch may be empty) it is the input's dimension where all others are the input's as well.
 * LATER while the shape is not known; INVALID when the elements do not fit it. */
static ingot_status infer_reshape(ingot_op_ctx *c)
{
    const ingot_tensor *x = c->in[0];
    const bool allow_zero = ingot_attr_int(c->node, "allowzero", 0) != 0;
    int64_t shape[INGOT_MAX_RANK], product = 1;
    int rank, free_dim = -1;
    bool has_zero = false;
    const ingot_status status = ingot_ints(c, 1, shape, INGOT_MAX_RANK, &rank);
    if (status)
        return status;
    /* Each entry: the free one, a copied one, or a size. */
    for (int d = 0; d < rank; d++) {
        if (shape[d] == -1) {
            if (free_dim >= 0)
                return ingot_op_fail(c, INGOT_INVALID, "'shape' has more than one -1, at %d and %d", free_dim, d);
            free_dim = d;
            continue;
        }
        if (shape[d] == 0 && !allow_zero) {
            if (d >= x->rank)
                return ingot_op_fail(c, INGOT_INVALID, "'shape' copies dimension %d of an input of rank %d", d,
                                     x->rank);
            shape[d] = x->shape[d];
        }
        if (shape[d] < 0 || __builtin_mul_overflow(product, shape[d], &product))
            return ingot_op_fail(c, INGOT_INVALID, "'shape' has %lld as dimension %d", (long long)shape[d], d);
        has_zero |= shape[d] == 0;
    }
    const int64_t count = ingot_count(x);
    /* What is left over for the free one. */
    if (free_dim >= 0) {
        if (has_zero && !keeps_others(x, shape, rank, free_dim))
            return ingot_op_fail(c, INGOT_INVALID, "'shape' has -1 next to a dimension of 0, so it is not determined");
        shape[free_dim] = has_zero ? x->shape[free_dim] : count / product;
        product *= shape[free_dim];
    }
    if (product != count) {
        char text[200];
        return ingot_op_fail(c, INGOT_INVALID, "%lld elements of shape %s do not fit 'shape'", (long long)count,
                             ingot_shape_text(x, text, sizeof text));
    }
    return ingot_out(c, 0, x->dtype, rank, shape);
}

/* (d0 * .. * d(axis-1), rest): unlike elsewhere, axis may equal the rank, and an empty product is 1. */
static ingot_status infer_flatten(ingot_op_ctx *c)
{
    const ingot_tensor *x = c->in[0];
    int64_t axis = ingot_attr_int(c->node, "axis", 1);
    if (axis < -x->rank || axis > x->rank)
        return ingot_op_fail(c, INGOT_INVALID, "axis %lld is not allowed for rank %d", (long long)axis, x->rank);
    if (axis < 0)
        axis += x->rank;
    /* Both spans are products of sizes that X has, so that they cannot overflow. */
    const int64_t shape[2] = {ingot_span(x, 0, (int)axis), ingot_span(x, (int)axis, x->rank)};
    return ingot_out(c, 0, x->dtype, 2, shape);
}

/* The axes of input 1 as flags over `rank` dimensions, *n of them. LATER while they are not known; INVALID for one
 * that is out of range or named twice. */
static ingot_status read_axes(ingot_op_ctx *c, int rank, bool *chosen, int *n)
{
    int64_t axes[INGOT_MAX_RANK];
    ingot_status status = ingot_ints(c, 1, axes, INGOT_MAX_RANK, n);
    for (int d = 0; d < INGOT_MAX_RANK; d++)
        chosen[d] = false;
    /* Negative axes count from the end of `rank`. */
    for (int i = 0; i < *n && !status; i++) {
        int axis = 0;
        status = ingot_axis(c, axes[i], rank, &axis);
        if (!status && chosen[axis])
            status = ingot_op_fail(c, INGOT_INVALID, "axis %d is listed twice", axis);
        chosen[axis] = true;
    }
    return status;
}

/* Without axes every dimension of 1 goes; an axis that is named must have size 1. */
static ingot_status infer_squeeze(ingot_op_ctx *c)
{
    const ingot_tensor *x = c->in[0];
    bool chosen[INGOT_MAX_RANK];
    int64_t shape[INGOT_MAX_RANK];
    int n, rank = 0;
    const ingot_status status = read_axes(c, x->rank, chosen, &n);
    if (status)
        return status;
    for (int d = 0; d < x->rank; d++) {
        if (ingot_has(c, 1) ? chosen[d] : x->shape[d] == 1) {
            if (x->shape[d] != 1)
                return ingot_op_fail(c, INGOT_INVALID, "dimension %d to be removed has size %lld, not 1", d,
                                     (long long)x->shape[d]);
            continue;
        }
        shape[rank++] = x->shape[d];
    }
    return ingot_out(c, 0, x->dtype, rank, shape);
}

/* Axes count in the output's rank, which is the input's plus how many axes there are. */
static ingot_status infer_unsqueeze(ingot_op_ctx *c)
{
    const ingot_tensor *x = c->in[0];
    bool chosen[INGOT_MAX_RANK];
    int64_t shape[INGOT_MAX_RANK], n_axes;
    int n = 0;
    if (c->in[1]->rank > 1 || (n_axes = ingot_count(c->in[1])) > INGOT_MAX_RANK - x->rank)
        return ingot_op_fail(c, INGOT_INVALID, "'axes' must be a list of at most %d axes", INGOT_MAX_RANK - x->rank);
    const int rank = x->rank + (int)n_axes;
    const ingot_status status = read_axes(c, rank, chosen, &n);
    if (status)
        return status;
    for (int d = 0, from = 0; d < rank; d++)
        shape[d] = chosen[d] ? 1 : x->shape[from++];
    return ingot_out(c, 0, x->dtype, rank, shape);
}

#define LIST INGOT_TYPE(INT64)

const ingot_op ingot_ops_reshape[] = {
    {"Reshape", 5, 2, 2, {INGOT_TYPES_ALL, LIST}, infer_reshape, ingot_run_view, .flags = INGOT_OP_VIEW},
    {"Flatten", 1, 1, 1, {INGOT_TYPES_ALL}, infer_flatten, ingot_run_view, .flags = INGOT_OP_VIEW},
    {"Squeeze", 13, 1, 2, {INGOT_TYPES_ALL, LIST}, infer_squeeze, ingot_run_view, .flags = INGOT_OP_VIEW},
    {"Unsqueeze", 13, 2, 2, {INGOT_TYPES_ALL, LIST}, infer_unsqueeze, ingot_run_view, .flags = INGOT_OP_VIEW},
    {0},
};
