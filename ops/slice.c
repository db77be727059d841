/* slice.c - boxes cut out of a tensor or repeated from one: Slice, Expand, Tile. */
#include "ops/movement.h"

/* What is taken of a dimension: n elements from start on, `step` apart. */
typedef struct slice_range {
    int64_t start, step, n;
} slice_range;

/* What `start`, `end`, `step` select of a dimension, by the rules of Python but one: bounds are clamped, negative ones
 * count from the end; a start before the first element is that element for a negative step too, as the standard
 * says. */
static slice_range clamp_range(int64_t size, int64_t start, int64_t end, int64_t step)
{
    const int64_t lowest = step > 0 ? 0 : -1, highest = step > 0 ? size : size - 1;
    const int64_t first = MIN(0, highest);
    if (start < 0)
        start = start < -size ? first : start + size;
    if (end < 0)
        end = end < -size ? lowest : end + size;
    /* With a negative step the end may lie before the first element, at -1. */
    start = MAX(MIN(start, highest), first);
    end = MAX(MIN(end, highest), lowest);
    /* Counted without sign, as a span or the step may be the smallest integer. */
    const uint64_t span = step > 0 ? (uint64_t)MAX(end - start, 0) : (uint64_t)MAX(start - end, 0);
    const uint64_t by = step > 0 ? (uint64_t)step : 0 - (uint64_t)step;
    return (slice_range){start, step, (int64_t)(span / by + (span % by != 0))};
}

/* starts, ends, and perhaps axes and steps are lists of one length; dimensions that are not named stay whole. LATER
 * while one is not known; INVALID for a step of 0 or an axis named twice. */
static ingot_status read_ranges(ingot_op_ctx *c, slice_range *ranges)
{
    const ingot_tensor *x = c->in[0];
    int64_t values[4][INGOT_MAX_RANK]; /* starts, ends, axes, steps */
    bool seen[INGOT_MAX_RANK] = {false};
    int n[4];
    /* The four lists, of which the first two must be there. */
    for (int i = 0; i < 4; i++) {
        const ingot_status status = ingot_ints(c, i + 1, values[i], INGOT_MAX_RANK, &n[i]);
        if (status)
            return status;
        if (n[i] != n[0] && (i == 1 || ingot_has(c, i + 1)))
            return ingot_op_fail(c, INGOT_INVALID, "input %d has %d entries, 'starts' has %d", i + 1, n[i], n[0]);
    }
    /* Whole dimensions, but for those that are named. */
    for (int d = 0; d < x->rank; d++)
        ranges[d] = (slice_range){0, 1, x->shape[d]};
    /* Then each axis that is named, in any order. */
    for (int i = 0; i < n[0]; i++) {
        int axis;
        const ingot_status status = ingot_axis(c, ingot_has(c, 3) ? values[2][i] : i, x->rank, &axis);
        const int64_t step = ingot_has(c, 4) ? values[3][i] : 1;
        if (status)
            return status;
        if (seen[axis] || step == 0)
            return ingot_op_fail(c, INGOT_INVALID, step ? "axis %d is listed twice" : "the step of axis %d is 0", axis);
        seen[axis] = true;
        ranges[axis] = clamp_range(x->shape[axis], values[0][i], values[1][i], step);
    }
    return INGOT_OK;
}

/* Each dimension has as many elements as its range. */
static ingot_status infer_slice(ingot_op_ctx *c)
{
    slice_range ranges[INGOT_MAX_RANK];
    int64_t shape[INGOT_MAX_RANK];
    const ingot_status status = read_ranges(c, ranges);
    if (status)
        return status;
    for (int d = 0; d < c->in[0]->rank; d++)
        shape[d] = ranges[d].n;
    return ingot_out(c, 0, c->in[0]->dtype, c->in[0]->rank, shape);
}

/* The first element that is selected, and the steps from there. */
static int64_t selected(const ingot_tensor *x, const slice_range *ranges, int64_t *from)
{
    int64_t first = 0;
    ingot_steps(x, from);
    for (int d = 0; d < x->rank; d++) {
        first += ranges[d].start * from[d];
        from[d] = ranges[d].n > 1 ? from[d] * ranges[d].step : 0; /* a huge step selects one element */
    }
    return first;
}

/* For readers that can walk with strides: the slice without copying it. */
static bool strided_slice(ingot_op_ctx *c, int output, int64_t *offset, int64_t *strides)
{
    slice_range ranges[INGOT_MAX_RANK];
    (void)output;
    if (read_ranges(c, ranges) || ingot_count(c->out[0]) == 0)
        return false;
    *offset = selected(c->in[0], ranges, strides);
    return true;
}

/* A copy whose source begins at the first selected element and moves by its steps, which may be negative. */
static ingot_status run_slice(ingot_op_ctx *c)
{
    const ingot_tensor *x = c->in[0], *y = c->out[0];
    slice_range ranges[INGOT_MAX_RANK];
    int64_t from[INGOT_MAX_RANK], to[INGOT_MAX_RANK];
    const ingot_status status = read_ranges(c, ranges);
    if (status || ingot_count(y) == 0)
        return status;
    const int64_t first = selected(x, ranges, from);
    ingot_steps(y, to);
    const ingot_copy copy = ingot_copy_box(y, y->rank, y->shape, from, to);
    ingot_copy_run(c->team, &copy, (const char *)x->data + first * (int64_t)copy.item_bytes, y->data);
    return INGOT_OK;
}

/* Both shapes broadcast against each other: a 1 in `shape` leaves a dimension as it is. */
static ingot_status infer_expand(ingot_op_ctx *c)
{
    const ingot_tensor *x = c->in[0];
    int64_t shape[INGOT_MAX_RANK], wide[INGOT_MAX_RANK];
    int n;
    const ingot_status status = ingot_ints(c, 1, shape, INGOT_MAX_RANK, &n);
    if (status)
        return status;
    /* Dimension by dimension of the result, both shapes counted from the end. */
    const int rank = MAX(n, x->rank);
    for (int d = 0; d < rank; d++) {
        const int64_t want = d < rank - n ? 1 : shape[d - (rank - n)];
        const int64_t have = d < rank - x->rank ? 1 : x->shape[d - (rank - x->rank)];
        if (want != have && want != 1 && have != 1)
            return ingot_op_fail(c, INGOT_INVALID, "dimension %d of the result: %lld does not broadcast to %lld", d,
                                 (long long)have, (long long)want);
        wide[d] = have == 1 ? want : have;
    }
    return ingot_out(c, 0, x->dtype, rank, wide);
}

/* A copy whose source does not move along repeated dimensions. */
static ingot_status run_expand(ingot_op_ctx *c)
{
    const ingot_tensor *x = c->in[0], *y = c->out[0];
    int64_t steps[INGOT_MAX_RANK], from[INGOT_MAX_RANK], to[INGOT_MAX_RANK];
    const int added = y->rank - x->rank;
    ingot_steps(x, steps);
    ingot_steps(y, to);
    for (int d = 0; d < y->rank; d++)
        from[d] = d < added || x->shape[d - added] == 1 ? 0 : steps[d - added];
    const ingot_copy copy = ingot_copy_box(y, y->rank, y->shape, from, to);
    ingot_copy_run(c->team, &copy, x->data, y->data);
    return INGOT_OK;
}

/* An entry of repeats for each dimension; products are overflow-checked. LATER while they are not known. */
static ingot_status infer_tile(ingot_op_ctx *c)
{
    const ingot_tensor *x = c->in[0];
    int64_t repeats[INGOT_MAX_RANK];
    int n;
    const ingot_status status = ingot_ints(c, 1, repeats, INGOT_MAX_RANK, &n);
    if (status)
        return status;
    if (n != x->rank)
        return ingot_op_fail(c, INGOT_INVALID, "'repeats' has %d entries for an input of rank %d", n, x->rank);
    for (int d = 0; d < n; d++)
        if (repeats[d] < 0 || __builtin_mul_overflow(repeats[d], x->shape[d], &repeats[d]))
            return ingot_op_fail(c, INGOT_INVALID, "entry %d of 'repeats' is negative or too large", d);
    return ingot_out(c, 0, x->dtype, n, repeats);
}

/* A box of twice the rank: along the repeats the source stands still. copy has zeros in from_step for them. */
static ingot_status run_tile(ingot_op_ctx *c)
{
    const ingot_tensor *x = c->in[0], *y = c->out[0];
    int64_t x_steps[INGOT_MAX_RANK], y_steps[INGOT_MAX_RANK];
    ingot_copy copy = {.rank = 2 * x->rank, .item_bytes = ingot_dtype_size_bytes(x->dtype)};
    if (ingot_count(y) == 0)
        return INGOT_OK;
    ingot_steps(x, x_steps);
    ingot_steps(y, y_steps);
    for (int d = 0; d < x->rank; d++) { /* each dimension of y as (repeat, index in x) */
        copy.shape[2 * d] = y->shape[d] / x->shape[d];
        copy.to_step[2 * d] = y_steps[d] * x->shape[d];
        copy.shape[2 * d + 1] = x->shape[d];
        copy.to_step[2 * d + 1] = y_steps[d];
        copy.from_step[2 * d + 1] = x_steps[d];
    }
    ingot_copy_run(c->team, &copy, x->data, y->data);
    return INGOT_OK;
}

#define LIST INGOT_TYPE(INT64)

const ingot_op ingot_ops_slice[] = {
    {"Slice", 10, 3, 5, {INGOT_TYPES_ALL, INGOT_TYPES_INDEX, INGOT_TYPES_INDEX, INGOT_TYPES_INDEX, INGOT_TYPES_INDEX},
     infer_slice, run_slice, .flags = INGOT_OP_LONG, .strided = strided_slice},
    {"Expand", 8, 2, 2, {INGOT_TYPES_ALL, LIST}, infer_expand, run_expand, .flags = INGOT_OP_LONG},
    {"Tile", 6, 2, 2, {INGOT_TYPES_ALL, LIST}, infer_tile, run_tile, .flags = INGOT_OP_LONG},
    {0},
};
