/* scatter.c - elements written to where an index tensor points: Scatter, ScatterElements, ScatterND, TensorScatter. The
 * writing goes through the updates in order on one thread, so that repeated indices mean the same in every run. */
#include <math.h>
#include <string.h>

#include "ops/index.h"
#include "ops/movement.h"
#include "ops/scalar.h"

/* The attribute reduction: what becomes of an element and an update that meets it. */
typedef enum scatter_reduction { SCATTER_NONE, SCATTER_ADD, SCATTER_MUL, SCATTER_MAX, SCATTER_MIN } scatter_reduction;

/* The attribute's word, in the order of the enum; UNSUPPORTED for types that have no arithmetic. */
static ingot_status read_reduction(ingot_op_ctx *c, scatter_reduction *reduction)
{
    static const char *const names[] = {"none", "add", "mul", "max", "min"};
    const char *text = ingot_attr_string(c->node, "reduction", "none");
    const uint64_t types = INGOT_TYPES_NUMERIC | INGOT_TYPE(BOOL);
    int i = 0;
    while (i < 5 && strcmp(text, names[i]))
        i++;
    if (i == 5)
        return ingot_op_fail(c, INGOT_INVALID, "'reduction' is '%s', expected none, add, mul, max or min", text);
    /* Without a reduction elements are only copied, which any type allows. */
    if (i && !(types >> c->in[0]->dtype & 1))
        return ingot_op_fail(c, INGOT_UNSUPPORTED, "'reduction' of %s", ingot_dtype_name(c->in[0]->dtype));
    *reduction = (scatter_reduction)i;
    return INGOT_OK;
}

/* An element and an update, as floats. NaN wins in max and min, as in numpy. */
static double reduce_reals(scatter_reduction reduction, double a, double b)
{
    switch (reduction) {
    case SCATTER_ADD: return a + b;
    case SCATTER_MUL: return a * b;
    case SCATTER_MAX: return a >= b || isnan(a) ? a : b;
    case SCATTER_MIN: return a <= b || isnan(a) ? a : b;
    default: return b;
    }
}

/* As integers: wraps in add and mul, in unsigned arithmetic; uint64 is compared as such. */
static int64_t reduce_integers(scatter_reduction reduction, int64_t a, int64_t b, bool is_unsigned)
{
    const bool less = is_unsigned ? (uint64_t)a < (uint64_t)b : a < b;
    switch (reduction) {
    case SCATTER_ADD: return (int64_t)((uint64_t)a + (uint64_t)b);
    case SCATTER_MUL: return (int64_t)((uint64_t)a * (uint64_t)b);
    case SCATTER_MAX: return less ? b : a;
    case SCATTER_MIN: return less ? a : b;
    default: return b;
    }
}

/* Put n elements of `updates` from `from` on into y from `to` on. */
static void put_run(scatter_reduction reduction, ingot_tensor *y, int64_t to, const ingot_tensor *updates, int64_t from,
                    int64_t n)
{
    const size_t item = ingot_dtype_size_bytes(y->dtype);
    if (reduction == SCATTER_NONE) {
        ingot_copy_few((char *)y->data + (size_t)to * item, (const char *)updates->data + (size_t)from * item,
                       (size_t)n * item);
        return;
    }
    if (reduction == SCATTER_ADD && y->dtype == INGOT_FLOAT) {       /* as graph networks sum */
        float *sums = (float *)y->data + to;
        const float *terms = (const float *)updates->data + from;
        for (int64_t i = 0; i < n; i++)
            sums[i] += terms[i];
        return;
    }
    for (int64_t i = 0; i < n; i++)
        if (ingot_is_float(y->dtype)) /* one double operation rounded to the type gives what the type's own would */
            ingot_put_double(y, to + i, reduce_reals(reduction, ingot_double_at(y, to + i),
                                                     ingot_double_at(updates, from + i)));
        else
            ingot_put_int(y, to + i,
                          reduce_integers(reduction, ingot_int_at(y, to + i), ingot_int_at(updates, from + i),
                                          y->dtype == INGOT_UINT64));
}

/* Y is data before updates, unless it shares its memory already. */
static void start_with_data(ingot_op_ctx *c)
{
    if (c->out[0]->data != c->in[0]->data)
        ingot_copy_bytes(c->team, c->out[0]->data, c->in[0]->data, ingot_storage_bytes(c->out[0]));
}

/* X gives the shape; indices and updates have one shape, which is no larger than X's but along the axis. INVALID
 * otherwise. */
static ingot_status infer_scatter_elements(ingot_op_ctx *c)
{
    const ingot_tensor *x = c->in[0], *indices = c->in[1], *updates = c->in[2];
    scatter_reduction reduction;
    int axis;
    ingot_status status = ingot_axis(c, ingot_attr_int(c->node, "axis", 0), x->rank, &axis);
    if (status || (status = read_reduction(c, &reduction)))
        return status;
    if (updates->dtype != x->dtype || !ingot_same_shape(indices, updates) || indices->rank != x->rank)
        return ingot_op_fail(c, INGOT_INVALID,
                             "'indices' and 'updates' must have one shape, of the rank of 'data' (%d)", x->rank);
    for (int d = 0; d < x->rank; d++)
        if (d != axis && indices->shape[d] > x->shape[d])
            return ingot_op_fail(c, INGOT_INVALID, "'indices' has size %lld in dimension %d, 'data' %lld",
                                 (long long)indices->shape[d], d, (long long)x->shape[d]);
    return ingot_out_like(c, 0, x);
}

/* n updates of four bytes, none of them reduced, by indices of int64: what models scatter as a rule. Places in `y` are
 * counted from that of the row's beginning. */
static void place_words(uint32_t *y, const uint32_t *updates, const int64_t *indices, int64_t n, int64_t size,
                        int64_t axis_step, int64_t step)
{
    for (int64_t j = 0; j < n; j++) {
        const int64_t index = indices[j] + (indices[j] >> 63 & size);
        y[j * step + index * axis_step] = updates[j];
    }
}

/* Y[.., index, ..] takes each update. Indices are checked before anything is written; negative ones count from the
 * end. */
static ingot_status run_scatter_elements(ingot_op_ctx *c)
{
    const ingot_tensor *indices = c->in[1], *updates = c->in[2];
    ingot_tensor *y = c->out[0];
    scatter_reduction reduction = SCATTER_NONE;
    int64_t steps[INGOT_MAX_RANK], at[INGOT_MAX_RANK] = {0}, base = 0;
    int axis = 0;
    ingot_status status = ingot_axis(c, ingot_attr_int(c->node, "axis", 0), y->rank, &axis);
    if (!status)
        status = read_reduction(c, &reduction);
    if (!status)
        status = ingot_check_indices(c, indices, axis, y->shape[axis]);
    if (status)
        return status;
    /* Nothing is written before all indices are known to be good. */
    start_with_data(c);
    /* `base` follows the indices' position in Y along all axes but the one that they name. */
    ingot_steps(y, steps);
    const int64_t n = ingot_count(indices), axis_step = steps[axis];
    steps[axis] = 0; /* the index takes its place */
    const int64_t row = indices->shape[y->rank - 1], step = steps[y->rank - 1];
    const bool words = reduction == SCATTER_NONE && ingot_dtype_size_bytes(y->dtype) == sizeof(uint32_t) &&
                       indices->dtype == INGOT_INT64;
    for (int64_t i = 0; i < n; i += row) {
        if (words)
            place_words((uint32_t *)y->data + base, (const uint32_t *)updates->data + i,
                        (const int64_t *)indices->data + i, row, y->shape[axis], axis_step, step);
        for (int64_t j = 0; j < row && !words; j++)
            put_run(reduction, y, base + j * step + ingot_index_at(indices, i + j, y->shape[axis]) * axis_step,
                    updates, i + j, 1);
        /* to the next row: past its last element */
        at[y->rank - 1] = row - 1;
        base += (row - 1) * step;
        ingot_advance(y->rank, indices->shape, steps, at, &base);
    }
    return INGOT_OK;
}

/* indices (.., depth) are tuples that name elements or, when shorter than the rank, slices of X; updates have the
 * tuples' shape, then that of a slice. INVALID otherwise. */
static ingot_status infer_scatter_nd(ingot_op_ctx *c)
{
    const ingot_tensor *x = c->in[0], *indices = c->in[1], *updates = c->in[2];
    scatter_reduction reduction;
    const ingot_status status = read_reduction(c, &reduction);
    if (status)
        return status;
    if (x->rank < 1 || indices->rank < 1 || updates->dtype != x->dtype)
        return ingot_op_fail(c, INGOT_INVALID, "'data' and 'indices' must have a rank of at least 1");
    /* How many axes a tuple names; the others make up the slice. */
    const int64_t depth = indices->shape[indices->rank - 1];
    bool fits = depth <= x->rank && updates->rank == indices->rank - 1 + x->rank - depth;
    for (int d = 0; fits && d < updates->rank; d++)
        fits =
            updates->shape[d] == (d < indices->rank - 1 ? indices->shape[d] : x->shape[d - indices->rank + 1 + depth]);
    if (!fits) {
        char a[200], b[200];
        return ingot_op_fail(c, INGOT_INVALID, "'updates' of shape %s do not fit 'indices' of shape %s",
                             ingot_shape_text(updates, a, sizeof a), ingot_shape_text(indices, b, sizeof b));
    }
    return ingot_out_like(c, 0, x);
}

/* Each tuple's slice takes its update. */
static ingot_status run_scatter_nd(ingot_op_ctx *c)
{
    const ingot_tensor *indices = c->in[1], *updates = c->in[2];
    ingot_tensor *y = c->out[0];
    const int64_t n = ingot_span(indices, 0, indices->rank - 1), depth = indices->shape[indices->rank - 1];
    const int64_t run = ingot_span(y, (int)depth, y->rank);
    scatter_reduction reduction = SCATTER_NONE;
    int64_t steps[INGOT_MAX_RANK];
    ingot_status status = read_reduction(c, &reduction);
    if (!status)
        status = ingot_check_tuples(c, indices, n, depth, y->shape);
    if (status)
        return status;
    start_with_data(c);
    ingot_steps(y, steps);
    for (int64_t i = 0; i < n && run > 0; i++)
        put_run(reduction, y, ingot_tuple_offset(indices, i, depth, y->shape, steps), updates, i * run, run);
    return INGOT_OK;
}

/* The axis may not be the first one, which is the batch; the mode is linear or circular. */
static ingot_status tensor_scatter_axis(ingot_op_ctx *c, int *axis)
{
    const char *mode = ingot_attr_string(c->node, "mode", "linear");
    const ingot_status status = ingot_axis(c, ingot_attr_int(c->node, "axis", -2), c->in[0]->rank, axis);
    if (status)
        return status;
    if (*axis == 0 || (strcmp(mode, "linear") && strcmp(mode, "circular")))
        return ingot_op_fail(c, INGOT_INVALID, "'axis' %d or 'mode' '%s' is not allowed", *axis, mode);
    return INGOT_OK;
}

/* update is like past_cache but may be shorter along the axis; write_indices, optional, has a place for each batch
 * entry. */
static ingot_status infer_tensor_scatter(ingot_op_ctx *c)
{
    const ingot_tensor *x = c->in[0], *update = c->in[1];
    int axis;
    const ingot_status status = tensor_scatter_axis(c, &axis);
    if (status)
        return status;
    /* Nothing but the length along the axis may differ, and it may not be larger. */
    bool fits = update->rank == x->rank && update->dtype == x->dtype;
    for (int d = 0; fits && d < x->rank; d++)
        fits = d == axis ? update->shape[d] <= x->shape[d] : update->shape[d] == x->shape[d];
    if (!fits)
        return ingot_op_fail(c, INGOT_INVALID,
                             "'update' may differ from 'past_cache' in dimension %d alone, by being smaller", axis);
    if (ingot_has(c, 2) && (c->in[2]->rank != 1 || c->in[2]->shape[0] != x->shape[0]))
        return ingot_op_fail(c, INGOT_INVALID, "'write_indices' must have %lld elements", (long long)x->shape[0]);
    return ingot_out_like(c, 0, x);
}

/* The update is copied to its place, a row at a time. Places are data: past the end is INVALID, or begins anew when
 * circular. */
static ingot_status run_tensor_scatter(ingot_op_ctx *c)
{
    const ingot_tensor *update = c->in[1];
    ingot_tensor *y = c->out[0];
    const bool circular = !strcmp(ingot_attr_string(c->node, "mode", "linear"), "circular");
    int axis = 0;
    const ingot_status status = tensor_scatter_axis(c, &axis);
    if (status)
        return status;
    const int64_t outer = ingot_span(y, 0, axis), inner = ingot_span(y, axis + 1, y->rank);
    const int64_t size = y->shape[axis], length = update->shape[axis];
    start_with_data(c);
    for (int64_t o = 0; o < outer; o++) {
        const int64_t batch = o / ingot_span(y, 1, axis);
        /* The place of this entry of the batch, 0 when none is given. */
        const int64_t start = ingot_has(c, 2) ? ingot_int_at(c->in[2], batch) : 0;
        if (start < 0 || (!circular && start > size - length))
            return ingot_op_fail(c, INGOT_INVALID,
                                 "write index %lld of batch %lld is outside of dimension %d of size %lld",
                                 (long long)start, (long long)batch, axis, (long long)size);
        for (int64_t i = 0; i < length; i++)
            put_run(SCATTER_NONE, y, (o * size + (start % size + i) % size) * inner, update, (o * length + i) * inner,
                    inner);
    }
    return INGOT_OK;
}

#define WITH_INDICES(types) {INGOT_TYPES_ALL, types, INGOT_TYPES_ALL}

const ingot_op ingot_ops_scatter[] = {
    {"Scatter", 9, 3, 3, WITH_INDICES(INGOT_TYPES_INDEX), infer_scatter_elements, run_scatter_elements, .until = 10},
    {"ScatterElements", 11, 3, 3, WITH_INDICES(INGOT_TYPES_INDEX), infer_scatter_elements, run_scatter_elements},
    {"ScatterND", 11, 3, 3, WITH_INDICES(INGOT_TYPE(INT64)), infer_scatter_nd, run_scatter_nd},
    {"TensorScatter", 24, 2, 3, {INGOT_TYPES_ALL, INGOT_TYPES_ALL, INGOT_TYPE(INT64)}, infer_tensor_scatter,
     run_tensor_scatter},
    {0},
};
