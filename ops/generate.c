/* generate.c - tensors made from nothing but a shape or a few numbers: Constant, ConstantOfShape, Shape, Size, Range,
 * EyeLike, OneHot. */
#include <math.h>
#include <string.h>

#include "ops/convert.h"
#include "ops/movement.h"
#include "ops/scalar.h"

enum { STRETCH = 256 }; /* numbers of a Range that are converted together */

/* The dimensions [*begin, *end) that Shape tells. Negative ones count from the end; both are cut to [0, rank], and an
 * empty range is allowed (attributes since opset 15). */
static void shape_bounds(const ingot_op_ctx *c, int *begin, int *end)
{
    const int64_t rank = c->in[0]->rank;
    const int64_t start = ingot_attr_int(c->node, "start", 0), stop = ingot_attr_int(c->node, "end", rank);
    *begin = (int)MAX(MIN(start < 0 ? start + rank : start, rank), 0);
    *end = (int)MAX(MIN(stop < 0 ? stop + rank : stop, rank), *begin);
}

/* Shape gives (end - begin) int64 numbers after both bounds are clamped to the rank. */
static ingot_status infer_shape(ingot_op_ctx *c)
{
    int begin, end;
    shape_bounds(c, &begin, &end);
    const int64_t n = end - begin;
    return ingot_out(c, 0, INGOT_INT64, 1, &n);
}

/* Reads the shape alone; the elements need not be there. */
static ingot_status run_shape(ingot_op_ctx *c)
{
    int begin, end;
    shape_bounds(c, &begin, &end);
    for (int d = begin; d < end; d++)
        ((int64_t *)c->out[0]->data)[d - begin] = c->in[0]->shape[d];
    return INGOT_OK;
}

/* Size is a scalar. */
static ingot_status infer_size(ingot_op_ctx *c) { return ingot_out(c, 0, INGOT_INT64, 0, NULL); }

/* 1 for a scalar, 0 where a dimension is 0. */
static ingot_status run_size(ingot_op_ctx *c)
{
    *(int64_t *)c->out[0]->data = ingot_count(c->in[0]);
    return INGOT_OK;
}

/* The shape is the input's content, so it must be known here; 'value' is one element and f32 zero without it. LATER
 * until the shape is known; INVALID where 'value' has several elements. No dimensions make a scalar. */
static ingot_status infer_constant_of_shape(ingot_op_ctx *c)
{
    const ingot_attr *value = ingot_node_attr(c->node, "value");
    int64_t shape[INGOT_MAX_RANK];
    int rank;
    const ingot_status status = ingot_ints(c, 0, shape, INGOT_MAX_RANK, &rank);
    if (status)
        return status;
    if (value && ingot_count(&value->tensors[0]->tensor) != 1)
        return ingot_op_fail(c, INGOT_INVALID, "'value' has %lld elements, expected 1",
                             (long long)ingot_count(&value->tensors[0]->tensor));
    return ingot_out(c, 0, value ? value->tensors[0]->tensor.dtype : INGOT_FLOAT, rank, shape);
}

/* 16 bytes hold one element of every type that may be here. Complex doubles are the largest. */
static ingot_status run_constant_of_shape(ingot_op_ctx *c)
{
    const ingot_attr *value = ingot_node_attr(c->node, "value");
    char item[16] = {0};
    if (value)
        ingot_const_read(value->tensors[0], item);
    ingot_fill(c->team, c->out[0]->data, ingot_count(c->out[0]), item, ingot_dtype_size_bytes(c->out[0]->dtype));
    return INGOT_OK;
}

/* The reader makes constants of these nodes, so that none is left to run; the row tells that there is the operator. */
static ingot_status never_run(ingot_op_ctx *c)
{
    return ingot_op_fail(c, INGOT_UNSUPPORTED, "a Constant is read with the model, not run");
}

/* How many numbers start, limit and delta of a Range make. INVALID: inputs that are not one number each, a delta of 0,
 * more numbers than can be counted. Integers are counted in unsigned arithmetic, as limit - start may not fit int64. */
static ingot_status range_count(ingot_op_ctx *c, int64_t *n)
{
    for (int i = 0; i < 3; i++)
        if (ingot_count(c->in[i]) != 1)
            return ingot_op_fail(c, INGOT_INVALID, "input %d has %lld elements, expected 1", i,
                                 (long long)ingot_count(c->in[i]));
    if (ingot_is_integer(c->in[0]->dtype)) {
        const int64_t start = ingot_int_at(c->in[0], 0), limit = ingot_int_at(c->in[1], 0);
        const int64_t delta = ingot_int_at(c->in[2], 0);
        if (delta == 0)
            return ingot_op_fail(c, INGOT_INVALID, "'delta' is 0");
        /* How far it is to the limit in the direction of delta, without a sign; rounded up to whole steps. */
        const bool any = delta > 0 ? limit > start : limit < start;
        const uint64_t span = delta > 0 ? (uint64_t)limit - (uint64_t)start : (uint64_t)start - (uint64_t)limit;
        const uint64_t by = delta > 0 ? (uint64_t)delta : 0 - (uint64_t)delta;
        const uint64_t count = any ? span / by + (span % by != 0) : 0;
        if (count > INT64_MAX)
            return ingot_op_fail(c, INGOT_INVALID, "the range has too many elements");
        *n = (int64_t)count;
        return INGOT_OK;
    }
    const double start = ingot_double_at(c->in[0], 0), delta = ingot_double_at(c->in[2], 0);
    /* A float range that would not end, or NaN anywhere, fails one of the comparisons below. */
    const double count = ceil((ingot_double_at(c->in[1], 0) - start) / delta);
    if (!(delta != 0) || !(count < 1e15))
        return ingot_op_fail(c, INGOT_INVALID, "'delta' of %g does not lead to the limit", delta);
    *n = count > 0 ? (int64_t)count : 0;
    return INGOT_OK;
}

/* The length is ceil((limit - start) / delta), so all three inputs must be known by now. LATER otherwise. */
static ingot_status infer_range(ingot_op_ctx *c)
{
    int64_t n = 0;
    ingot_status status = INGOT_OK;
    for (int i = 0; i < 3 && !status; i++)
        status = ingot_need(c, i);
    if (!status)
        status = range_count(c, &n);
    return status ? status : ingot_out(c, 0, c->in[0]->dtype, 1, &n);
}

/* start + i * delta, not repeated addition, so errors do not pile up; unsigned arithmetic wraps where signed would be
 * undefined. The last number may lie short of the limit, never past it. */
static ingot_status run_range(ingot_op_ctx *c)
{
    ingot_tensor *y = c->out[0];
    const int64_t n = ingot_count(y);
    const bool integers = ingot_is_integer(y->dtype);
    const ingot_conversion as = {.from = integers ? INGOT_INT64 : INGOT_DOUBLE, .to = y->dtype, .kernels = c->kernels};
    const uint64_t first = integers ? (uint64_t)ingot_int_at(c->in[0], 0) : 0;
    const uint64_t step = integers ? (uint64_t)ingot_int_at(c->in[2], 0) : 0;
    const double start = integers ? 0 : ingot_double_at(c->in[0], 0);
    const double delta = integers ? 0 : ingot_double_at(c->in[2], 0);
    union {
        uint64_t whole[STRETCH];
        double real[STRETCH];
    } row;

    for (int64_t begin = 0; begin < n; begin += STRETCH) {
        const int64_t some = MIN(STRETCH, n - begin);
        for (int64_t i = 0; i < some; i++)
            if (integers)
                row.whole[i] = first + (uint64_t)(begin + i) * step;
            else
                row.real[i] = start + (double)(begin + i) * delta;
        ingot_convert(&as, (char *)y->data + (size_t)begin * ingot_dtype_size_bytes(y->dtype), &row, some);
    }
    return INGOT_OK;
}

/* A matrix like the input, in the type 'dtype' asks for. INVALID: another rank. UNSUPPORTED: a type other than numbers
 * and bool. */
static ingot_status infer_eye_like(ingot_op_ctx *c)
{
    const ingot_tensor *x = c->in[0];
    const int64_t dtype = ingot_attr_int(c->node, "dtype", x->dtype);
    const uint64_t types = INGOT_TYPES_NUMERIC | INGOT_TYPE(BOOL);
    if (x->rank != 2)
        return ingot_op_fail(c, INGOT_INVALID, "input has rank %d, expected 2", x->rank);
    if (dtype < 0 || dtype >= INGOT_N_DTYPES || !(types >> dtype & 1))
        return ingot_op_fail(c, INGOT_UNSUPPORTED, "'dtype' %lld", (long long)dtype);
    return ingot_out(c, 0, (ingot_dtype)dtype, 2, x->shape);
}

/* k is clamped to the matrix first, so r + k cannot overflow. k > 0 is above the main diagonal; where k leaves the
 * matrix it is all zeros. */
static ingot_status run_eye_like(ingot_op_ctx *c)
{
    ingot_tensor *y = c->out[0];
    const int64_t rows = y->shape[0], columns = y->shape[1];
    const int64_t k = MAX(MIN(ingot_attr_int(c->node, "k", 0), columns), -rows);
    ingot_fill_zero(c->team, y);
    for (int64_t r = MAX(0, -k); r < rows && r + k < columns; r++)
        ingot_put_double(y, r * columns + r + k, 1);
    return INGOT_OK;
}

/* The new axis counts among rank + 1 dimensions. -1, the default, makes it the last. */
static ingot_status one_hot_axis(ingot_op_ctx *c, int *axis)
{
    return ingot_axis(c, ingot_attr_int(c->node, "axis", -1), c->in[0]->rank + 1, axis);
}

/* depth is content that shapes Y; a float depth is cut to an integer, saturated. INVALID: a negative depth, or inputs
 * of other sizes. LATER until depth is known. */
static ingot_status infer_one_hot(ingot_op_ctx *c)
{
    const ingot_tensor *indices = c->in[0], *depth = c->in[1];
    int64_t shape[INGOT_MAX_RANK + 1];
    int axis = 0;
    ingot_status status = one_hot_axis(c, &axis);
    if (status)
        return status;
    if (ingot_count(depth) != 1 || c->in[2]->rank != 1 || c->in[2]->shape[0] != 2)
        return ingot_op_fail(c, INGOT_INVALID, "'depth' must have one element and 'values' two");
    if ((status = ingot_need(c, 1)))
        return status;
    for (int d = 0; d <= indices->rank; d++)
        shape[d] = d == axis ? ingot_saturated_int(depth, 0) : indices->shape[d - (d > axis)];
    if (shape[axis] < 0)
        return ingot_op_fail(c, INGOT_INVALID, "'depth' is %lld", (long long)shape[axis]);
    return ingot_out(c, 0, c->in[2]->dtype, indices->rank + 1, shape);
}

/* Fill with the "off" value, then place one "on" value for each index in range. values are [off, on]. An index below 0
 * counts from the end of the depth. */
static ingot_status run_one_hot(ingot_op_ctx *c)
{
    const ingot_tensor *indices = c->in[0], *y = c->out[0];
    const size_t item = ingot_dtype_size_bytes(y->dtype);
    const char *values = c->in[2]->data;
    int axis = 0;
    const ingot_status status = one_hot_axis(c, &axis);
    if (status)
        return status;
    const int64_t n = ingot_count(indices), inner = ingot_span(y, axis + 1, y->rank), depth = y->shape[axis];
    /* Off everywhere, then on where an index says so. */
    ingot_fill(c->team, y->data, ingot_count(y), values, item);
    for (int64_t i = 0; i < n; i++) {
        int64_t index = ingot_saturated_int(indices, i);
        index += index < 0 ? depth : 0;
        if (index >= 0 && index < depth) /* others are valid: a row without the "on" value */
            memcpy((char *)y->data + (size_t)((i / inner * depth + index) * inner + i % inner) * item, values + item,
                   item);
    }
    return INGOT_OK;
}

#define RANGE_TYPES (INGOT_TYPES_FLOAT | INGOT_TYPES_INDEX | INGOT_TYPE(INT16))
#define EYE_TYPES (INGOT_TYPES_NUMERIC | INGOT_TYPE(BOOL))

const ingot_op ingot_ops_generate[] = {
    {"Constant", 1, 0, 0, {0}, never_run, never_run},
    {"ConstantOfShape", 9, 1, 1, {INGOT_TYPE(INT64)}, infer_constant_of_shape, run_constant_of_shape,
     .flags = INGOT_OP_LONG},
    {"Shape", 1, 1, 1, {INGOT_TYPES_ALL}, infer_shape, run_shape, .flags = INGOT_OP_SHAPE_ONLY},
    {"Size", 1, 1, 1, {INGOT_TYPES_ALL}, infer_size, run_size, .flags = INGOT_OP_SHAPE_ONLY},
    {"Range", 11, 3, 3, {RANGE_TYPES}, infer_range, run_range},
    {"EyeLike", 9, 1, 1, {EYE_TYPES}, infer_eye_like, run_eye_like, .flags = INGOT_OP_SHAPE_ONLY},
    {"OneHot", 9, 3, 3, {INGOT_TYPES_NUMERIC, INGOT_TYPES_NUMERIC, INGOT_TYPES_ALL}, infer_one_hot, run_one_hot},
    {0},
};
