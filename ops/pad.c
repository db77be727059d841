/* pad.c - Pad and CenterCropPad: a box around, or within, a tensor. Every dimension gets a map from indices of the
 * result to indices of the input, -1 for the constant; the result is then written row by row, in one pass for every
 * mode. Dimensions that are not padded merge with their neighbours first. */
#include <string.h>

#include "ops/movement.h"

/* Bytes of a task at least. */
enum { GRAIN_BYTES = 32 * 1024 };

/* In the order of the words in read_mode(). */
typedef enum pad_mode { PAD_CONSTANT, PAD_REFLECT, PAD_EDGE, PAD_WRAP } pad_mode;

/* A padded copy, dimensions merged. map[d] gives the input's index for each index of the result along d, -1 for the
 * constant; NULL where dimension d is as in the input. */
typedef struct pad_job {
    const char *from;
    char *to;
    const char *constant;
    size_t item_bytes;
    int rank;
    int64_t shape[INGOT_MAX_RANK], from_step[INGOT_MAX_RANK]; /* of the result; steps in items */
    const int64_t *map[INGOT_MAX_RANK];
    int64_t left, middle; /* of a row: items before the part that is as in the input, and its length */
} pad_job;

/* Elements added (or, if negative, taken away) before and after each dimension. */
typedef struct pad_sizes {
    int64_t before[INGOT_MAX_RANK], after[INGOT_MAX_RANK];
} pad_sizes;

/* The attribute mode; INVALID for a text that the standard does not have. */
static ingot_status read_mode(ingot_op_ctx *c, pad_mode *mode)
{
    static const char *const names[] = {"constant", "reflect", "edge", "wrap"};
    const char *text = ingot_attr_string(c->node, "mode", "constant");
    for (int i = 0; i < 4; i++)
        if (!strcmp(text, names[i])) {
            *mode = (pad_mode)i;
            return INGOT_OK;
        }
    return ingot_op_fail(c, INGOT_INVALID, "'mode' is '%s', expected constant, reflect, edge or wrap", text);
}

/* Inputs 'pads' and 'axes': pads has all befores, then all afters, for the axes that are listed, or for all. Axes
 * that are not listed are not padded. LATER while the contents are not known; INVALID for another count or an axis
 * listed twice. */
static ingot_status read_pads(ingot_op_ctx *c, pad_sizes *sizes)
{
    const int rank = c->in[0]->rank;
    int64_t pads[2 * INGOT_MAX_RANK], axes[INGOT_MAX_RANK];
    bool seen[INGOT_MAX_RANK] = {false};
    int n_pads, n_axes;
    ingot_status status = ingot_ints(c, 1, pads, 2 * INGOT_MAX_RANK, &n_pads);
    if (status || (status = ingot_ints(c, 3, axes, INGOT_MAX_RANK, &n_axes)))
        return status;
    const int n = ingot_has(c, 3) ? n_axes : rank;
    if (n_pads != 2 * n)
        return ingot_op_fail(c, INGOT_INVALID, "'pads' has %d entries for %d axes", n_pads, n);
    memset(sizes, 0, sizeof *sizes);
    for (int i = 0; i < n; i++) {
        int axis;
        if ((status = ingot_axis(c, ingot_has(c, 3) ? axes[i] : i, rank, &axis)))
            return status;
        if (seen[axis])
            return ingot_op_fail(c, INGOT_INVALID, "axis %d is listed twice", axis);
        seen[axis] = true;
        sizes->before[axis] = pads[i];
        sizes->after[axis] = pads[n + i];
    }
    return INGOT_OK;
}

/* Negative pads crop. Every sum is overflow-checked, as pads are the model's; the repeating modes need something to
 * repeat. INVALID where more is cropped than there is. */
static ingot_status infer_padded(ingot_op_ctx *c, pad_mode mode, const pad_sizes *sizes)
{
    const ingot_tensor *x = c->in[0];
    int64_t shape[INGOT_MAX_RANK];
    for (int d = 0; d < x->rank; d++) {
        const int64_t before = sizes->before[d], after = sizes->after[d];
        /* What is left of the input after cropping, and the size of the result. */
        int64_t kept;
        if (__builtin_add_overflow(x->shape[d], MIN(before, 0), &kept) ||
            __builtin_add_overflow(kept, MIN(after, 0), &kept) || kept < 0 ||
            __builtin_add_overflow(x->shape[d], before, &shape[d]) ||
            __builtin_add_overflow(shape[d], after, &shape[d]))
            return ingot_op_fail(c, INGOT_INVALID, "pads of %lld and %lld do not fit dimension %d of size %lld",
                                 (long long)before, (long long)after, d, (long long)x->shape[d]);
        if (mode != PAD_CONSTANT && kept == 0 && shape[d] > 0)
            return ingot_op_fail(c, INGOT_INVALID, "nothing to repeat in dimension %d, which is empty", d);
    }
    return ingot_out(c, 0, x->dtype, x->rank, shape);
}

/* constant_value is optional: one element of X's type. */
static ingot_status infer_pad(ingot_op_ctx *c)
{
    pad_sizes sizes;
    pad_mode mode = PAD_CONSTANT;
    ingot_status status = read_mode(c, &mode);
    if (status || (status = read_pads(c, &sizes)))
        return status;
    if (ingot_has(c, 2) && (ingot_count(c->in[2]) != 1 || c->in[2]->dtype != c->in[0]->dtype))
        return ingot_op_fail(c, INGOT_INVALID, "'constant_value' must be one element of the type of 'data'");
    return infer_padded(c, mode, &sizes);
}

/* Index of the input, of which [first, first + size) are kept, for result index i counted from the first kept one; -1
 * for the constant. Reflection does not repeat the edge, so that it has a period of 2 (size - 1); pads may be longer
 * than that, and go on to and fro. */
static int64_t source_index(pad_mode mode, int64_t i, int64_t first, int64_t size)
{
    if (i >= 0 && i < size)
        return first + i;
    const int64_t period = mode == PAD_REFLECT ? MAX(2 * (size - 1), 1) : size;
    switch (mode) {
    case PAD_EDGE: return first + (i < 0 ? 0 : size - 1);
    case PAD_REFLECT:
    case PAD_WRAP:
        i %= period;
        i += i < 0 ? period : 0;
        return first + (i < size ? i : period - i);
    default: return -1;
    }
}

/* A dimension without a map is as in the input. */
static inline int64_t map_index(const int64_t *map, int64_t i) { return map ? map[i] : i; }

/* One row of the result from the input's row `from`, NULL where another dimension is in its padding: constants, or
 * mapped items, on both sides of a middle that is copied at once. */
static void pad_row(const pad_job *job, char *to, const char *from)
{
    const size_t item = job->item_bytes;
    const int64_t n = job->shape[job->rank - 1], *columns = job->map[job->rank - 1];
    const int64_t middle = from ? job->middle : 0, left = from ? job->left : n;
    for (int64_t k = 0; k < left; k++) {
        const int64_t column = from ? columns[k] : -1;
        memcpy(to + (size_t)k * item, column >= 0 ? from + (size_t)column * item : job->constant, item);
    }
    if (middle > 0)
        memcpy(to + (size_t)left * item, from + (size_t)map_index(columns, left) * item, (size_t)middle * item);
    for (int64_t k = left + middle; k < n; k++)
        memcpy(to + (size_t)k * item, columns[k] >= 0 ? from + (size_t)columns[k] * item : job->constant, item);
}

/* Task over rows of the last dimension: a row outside of the input in any other is all constant. */
static void pad_rows(void *argument, int64_t begin, int64_t end, int thread)
{
    const pad_job *job = argument;
    const int outer = job->rank - 1;
    const int64_t none[INGOT_MAX_RANK] = {0};
    int64_t index[INGOT_MAX_RANK], ignored = ingot_locate(outer, job->shape, none, begin, index);
    (void)thread;
    for (int64_t r = begin; r < end; r++) {
        int64_t from = 0;
        bool inside = true;
        for (int d = 0; d < outer && inside; d++) {
            const int64_t i = map_index(job->map[d], index[d]);
            inside = i >= 0;
            from += i * job->from_step[d];
        }
        pad_row(job, job->to + (size_t)(r * job->shape[outer]) * job->item_bytes,
                inside ? job->from + from * (int64_t)job->item_bytes : NULL);
        ingot_advance(outer, job->shape, none, index, &ignored);
    }
}

/* Merge neighbours that are not padded, and write the maps of the others into scratch memory. */
static void split_dims(ingot_op_ctx *c, pad_mode mode, const pad_sizes *sizes, pad_job *job)
{
    const ingot_tensor *x = c->in[0], *y = c->out[0];
    int64_t *map = (int64_t *)c->scratch, in_shape[INGOT_MAX_RANK], step = 1;
    for (int d = 0; d < y->rank; d++) {
        const int64_t before = sizes->before[d], after = sizes->after[d];
        const bool whole = before == 0 && after == 0;
        if (whole && job->rank > 0 && !job->map[job->rank - 1]) {
            job->shape[job->rank - 1] *= y->shape[d];
            in_shape[job->rank - 1] *= x->shape[d];
            continue;
        }
        job->shape[job->rank] = y->shape[d];
        in_shape[job->rank] = x->shape[d];
        job->map[job->rank++] = whole ? NULL : map;
        if (whole)
            continue;
        /* A padded dimension: its map, and which part of the result lies as in the input. */
        const int64_t first = MAX(-before, 0), kept = x->shape[d] - first + MIN(after, 0);
        for (int64_t i = 0; i < y->shape[d]; i++)
            *map++ = source_index(mode, i - MAX(before, 0), first, kept);
        job->left = MAX(before, 0);
        job->middle = kept;
    }
    if (job->rank == 0) { /* a scalar */
        job->shape[job->rank] = in_shape[job->rank] = 1;
        job->rank++;
    }
    if (!job->map[job->rank - 1]) {
        job->left = 0;
        job->middle = job->shape[job->rank - 1];
    }
    for (int d = job->rank; d-- > 0; step *= in_shape[d])
        job->from_step[d] = step;
}

/* Writes the whole output; `constant` is one element. An empty output has no rows to divide by, hence the early
 * return. */
static ingot_status run_padded(ingot_op_ctx *c, pad_mode mode, const pad_sizes *sizes, const void *constant)
{
    const ingot_tensor *x = c->in[0], *y = c->out[0];
    pad_job job = {.from = x->data, .to = y->data, .constant = constant,
                   .item_bytes = ingot_dtype_size_bytes(x->dtype)};
    if (ingot_count(y) == 0)
        return INGOT_OK;
    split_dims(c, mode, sizes, &job);
    const int64_t row = job.shape[job.rank - 1];
    ingot_parallel(c->team, ingot_count(y) / row, MAX(GRAIN_BYTES / (row * (int64_t)job.item_bytes), 1), pad_rows,
                   &job);
    return INGOT_OK;
}

/* Scratch memory for the maps: an index for each index of each dimension of the result. */
static ingot_status prepare_pad(ingot_op_ctx *c)
{
    size_t n = 0;
    for (int d = 0; d < c->out[0]->rank; d++)
        n += ingot_count(c->out[0]) ? (size_t)c->out[0]->shape[d] : 0;
    ingot_want_scratch(c, n * sizeof(int64_t), 0);
    return INGOT_OK;
}

/* Attributes and pads are read again, as they may be data of the run. Without constant_value padding is 0, or the
 * empty string. */
static ingot_status run_pad(ingot_op_ctx *c)
{
    pad_sizes sizes;
    pad_mode mode = PAD_CONSTANT;
    ingot_status status = read_mode(c, &mode);
    if (!status)
        status = read_pads(c, &sizes);
    return status ? status
                  : run_padded(c, mode, &sizes, ingot_has(c, 2) ? c->in[2]->data : ingot_zero_of(c->in[0]->dtype));
}

/* CenterCropPad: the wanted shape as padding and cropping around the middle; the odd element goes to the end. `shape`
 * has an entry for each of the axes, by default all. Negative sizes are INVALID. */
static ingot_status read_crop(ingot_op_ctx *c, pad_sizes *sizes)
{
    const ingot_tensor *x = c->in[0];
    const ingot_attr *axes = ingot_node_attr(c->node, "axes");
    int64_t shape[INGOT_MAX_RANK];
    int n;
    ingot_status status = ingot_ints(c, 1, shape, INGOT_MAX_RANK, &n);
    if (status)
        return status;
    if (axes ? axes->n != (size_t)n : n != x->rank)
        return ingot_op_fail(c, INGOT_INVALID, "'shape' has %d entries for %d axes", n, axes ? (int)axes->n : x->rank);
    memset(sizes, 0, sizeof *sizes);
    for (int i = 0; i < n; i++) {
        int axis;
        if ((status = ingot_axis(c, axes ? axes->ints[i] : i, x->rank, &axis)))
            return status;
        if (shape[i] < 0)
            return ingot_op_fail(c, INGOT_INVALID, "entry %d of 'shape' is %lld", i, (long long)shape[i]);
        const int64_t added = shape[i] - x->shape[axis];
        sizes->before[axis] = added / 2;
        sizes->after[axis] = added - added / 2;
    }
    return INGOT_OK;
}

/* Cropping is negative padding. */
static ingot_status infer_crop(ingot_op_ctx *c)
{
    pad_sizes sizes;
    const ingot_status status = read_crop(c, &sizes);
    return status ? status : infer_padded(c, PAD_CONSTANT, &sizes);
}

/* What is added is always 0. */
static ingot_status run_crop(ingot_op_ctx *c)
{
    pad_sizes sizes;
    const ingot_status status = read_crop(c, &sizes);
    return status ? status : run_padded(c, PAD_CONSTANT, &sizes, ingot_zero_of(c->in[0]->dtype));
}

#define LIST INGOT_TYPE(INT64)

const ingot_op ingot_ops_pad[] = {
    {"Pad", 11, 2, 4, {INGOT_TYPES_ALL, LIST, INGOT_TYPES_ALL, INGOT_TYPES_INDEX}, infer_pad, run_pad, prepare_pad,
     .flags = INGOT_OP_LONG},
    {"CenterCropPad", 18, 2, 2, {INGOT_TYPES_ALL, INGOT_TYPES_INDEX}, infer_crop, run_crop, prepare_pad,
     .flags = INGOT_OP_LONG},
    {0},
};
