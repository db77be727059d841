/* transpose.c - permutations of dimensions: Transpose, and DepthToSpace and SpaceToDepth, which are Reshape, Transpose,
 * Reshape in one. */
#include <string.h>

#include "ops/movement.h"

/* perm must name each axis once, else INVALID; without it the axes are reversed. */
static ingot_status read_perm(ingot_op_ctx *c, int *perm)
{
    const int rank = c->in[0]->rank;
    const ingot_attr *attr = ingot_node_attr(c->node, "perm");
    bool seen[INGOT_MAX_RANK] = {false};
    if (attr && attr->n != (size_t)rank)
        return ingot_op_fail(c, INGOT_INVALID, "'perm' has %zu entries for an input of rank %d", attr->n, rank);
    /* An axis that was seen before, or is out of range, cannot be part of a permutation. */
    for (int d = 0; d < rank; d++) {
        const int64_t axis = attr ? attr->ints[d] : rank - 1 - d;
        if (axis < 0 || axis >= rank || seen[axis])
            return ingot_op_fail(c, INGOT_INVALID, "'perm' is no permutation: entry %d is %lld", d, (long long)axis);
        seen[axis] = true;
        perm[d] = (int)axis;
    }
    return INGOT_OK;
}

/* Dimension d of Y is dimension perm[d] of X. */
static ingot_status infer_transpose(ingot_op_ctx *c)
{
    int perm[INGOT_MAX_RANK];
    int64_t shape[INGOT_MAX_RANK];
    const ingot_status status = read_perm(c, perm);
    if (status)
        return status;
    for (int d = 0; d < c->in[0]->rank; d++)
        shape[d] = c->in[0]->shape[perm[d]];
    return ingot_out(c, 0, c->in[0]->dtype, c->in[0]->rank, shape);
}

/* For readers that can walk with strides: the permuted tensor without copying it. */
static bool strided_transpose(ingot_op_ctx *c, int output, int64_t *offset, int64_t *strides)
{
    int perm[INGOT_MAX_RANK];
    int64_t steps[INGOT_MAX_RANK];
    (void)output;
    if (read_perm(c, perm))
        return false;
    /* Strides of Y's dimensions are those of X's, permuted. */
    ingot_steps(c->in[0], steps);
    for (int d = 0; d < c->in[0]->rank; d++)
        strides[d] = steps[perm[d]];
    *offset = 0;
    return true;
}

/* A copy of a box whose source steps are permuted; movement.c finds the fast way. */
static ingot_status run_transpose(ingot_op_ctx *c)
{
    const ingot_tensor *y = c->out[0];
    int perm[INGOT_MAX_RANK];
    int64_t in_steps[INGOT_MAX_RANK], from[INGOT_MAX_RANK], to[INGOT_MAX_RANK];
    const ingot_status status = read_perm(c, perm);
    if (status)
        return status;
    ingot_steps(c->in[0], in_steps);
    ingot_steps(y, to);
    for (int d = 0; d < y->rank; d++)
        from[d] = in_steps[perm[d]];
    const ingot_copy copy = ingot_copy_box(y, y->rank, y->shape, from, to);
    ingot_copy_run(c->team, &copy, c->in[0]->data, y->data);
    return INGOT_OK;
}

/* Are channels ordered (depth, block row, block column), not (block row, block column, depth)? */
static bool is_column_first(const ingot_op_ctx *c)
{
    return !strcmp(ingot_attr_string(c->node, "mode", "DCR"), "CRD");
}

/* Both block operators: (N, C, H, W) and a block size from 1 on whose square is an int64. */
static ingot_status read_block(ingot_op_ctx *c, int64_t *block)
{
    const char *mode = ingot_attr_string(c->node, "mode", "DCR");
    *block = ingot_attr_int(c->node, "blocksize", 0);
    if (strcmp(mode, "DCR") && !is_column_first(c))
        return ingot_op_fail(c, INGOT_INVALID, "'mode' is '%s', expected DCR or CRD", mode);
    if (*block < 1 || *block > INT32_MAX)
        return ingot_op_fail(c, INGOT_INVALID, "'blocksize' is %lld", (long long)*block);
    if (c->in[0]->rank != 4)
        return ingot_op_fail(c, INGOT_INVALID, "input has rank %d, expected 4", c->in[0]->rank);
    return INGOT_OK;
}

/* (N, C, H, W) to (N, C / b^2, H * b, W * b); products are overflow-checked, as blocksize comes from the model. */
static ingot_status infer_depth_to_space(ingot_op_ctx *c)
{
    const int64_t *x = c->in[0]->shape;
    int64_t block;
    const ingot_status status = read_block(c, &block);
    if (status)
        return status;
    const int64_t square = block * block;
    if (x[1] % square)
        return ingot_op_fail(c, INGOT_INVALID, "%lld channels are no multiple of 'blocksize' squared (%lld)",
                             (long long)x[1], (long long)square);
    /* Channels shrink by the square, both sides grow. */
    int64_t shape[4] = {x[0], x[1] / square};
    if (__builtin_mul_overflow(x[2], block, &shape[2]) || __builtin_mul_overflow(x[3], block, &shape[3]))
        return ingot_op_fail(c, INGOT_INVALID, "'blocksize' of %lld is too large", (long long)block);
    return ingot_out(c, 0, c->in[0]->dtype, 4, shape);
}

/* One copy of a box of six dimensions; DCR and CRD differ in where the blocks' steps come from. */
static ingot_status run_depth_to_space(ingot_op_ctx *c)
{
    const int64_t b = ingot_attr_int(c->node, "blocksize", 1), *y = c->out[0]->shape;
    const int64_t h = c->in[0]->shape[2], w = c->in[0]->shape[3], plane = h * w, depth = y[1];
    const bool column_first = is_column_first(c);
    /* y (n, depth, h, block row, w, block column) */
    const int64_t shape[6] = {y[0], depth, h, b, w, b};
    /* How far apart the channels of neighbouring places in a block lie. */
    const int64_t in_block = column_first ? plane : depth * plane;
    const int64_t from[6] = {depth * b * b * plane, column_first ? b * b * plane : plane, w, b * in_block, 1, in_block};
    const int64_t to[6] = {depth * h * b * w * b, h * b * w * b, b * w * b, w * b, b, 1};
    const ingot_copy copy = ingot_copy_box(c->out[0], 6, shape, from, to);
    ingot_copy_run(c->team, &copy, c->in[0]->data, c->out[0]->data);
    return INGOT_OK;
}

/* (N, C, H, W) to (N, C * b^2, H / b, W / b). */
static ingot_status infer_space_to_depth(ingot_op_ctx *c)
{
    const int64_t *x = c->in[0]->shape;
    int64_t block;
    const ingot_status status = read_block(c, &block);
    if (status)
        return status;
    if (x[2] % block || x[3] % block)
        return ingot_op_fail(c, INGOT_INVALID, "size %lld x %lld is no multiple of 'blocksize' (%lld)", (long long)x[2],
                             (long long)x[3], (long long)block);
    int64_t shape[4] = {x[0], x[1], x[2] / block, x[3] / block};
    if (__builtin_mul_overflow(x[1], block * block, &shape[1]))
        return ingot_op_fail(c, INGOT_INVALID, "'blocksize' of %lld is too large", (long long)block);
    return ingot_out(c, 0, c->in[0]->dtype, 4, shape);
}

/* The inverse copy: blocks of pixels become channels, in front of depth (DCR) or behind it (CRD). */
static ingot_status run_space_to_depth(ingot_op_ctx *c)
{
    const int64_t b = ingot_attr_int(c->node, "blocksize", 1), *x = c->in[0]->shape;
    const int64_t h = x[2] / b, w = x[3] / b, depth = x[1];
    const int64_t plane = x[2] * x[3], out = h * w;
    /* y (n, block row, block column, depth, h, w), or with depth before the blocks */
    const int64_t dcr_shape[6] = {x[0], b, b, depth, h, w}, crd_shape[6] = {x[0], depth, b, b, h, w};
    const int64_t dcr_from[6] = {depth * plane, x[3], 1, plane, b * x[3], b};
    const int64_t crd_from[6] = {depth * plane, plane, x[3], 1, b * x[3], b};
    const int64_t dcr_to[6] = {b * b * depth * out, b * depth * out, depth * out, out, w, 1};
    const int64_t crd_to[6] = {depth * b * b * out, b * b * out, b * out, out, w, 1};
    const ingot_copy copy = is_column_first(c) ? ingot_copy_box(c->out[0], 6, crd_shape, crd_from, crd_to)
                                               : ingot_copy_box(c->out[0], 6, dcr_shape, dcr_from, dcr_to);
    ingot_copy_run(c->team, &copy, c->in[0]->data, c->out[0]->data);
    return INGOT_OK;
}

const ingot_op ingot_ops_transpose[] = {
    {"Transpose", 1, 1, 1, {INGOT_TYPES_ALL}, infer_transpose, run_transpose, .flags = INGOT_OP_LONG,
     .strided = strided_transpose},
    {"DepthToSpace", 1, 1, 1, {INGOT_TYPES_ALL}, infer_depth_to_space, run_depth_to_space},
    {"SpaceToDepth", 1, 1, 1, {INGOT_TYPES_ALL}, infer_space_to_depth, run_space_to_depth},
    {0},
};
