/* select.c - operators whose result is as long as the data says: NonZero, Compress, Unique. */
#include <string.h>

#include "ops/convert.h"
#include "ops/movement.h"
#include "ops/order.h"
#include "ops/row_loops.h"

enum { FLAGS = 1024 }; /* elements that NonZero looks at together */

/* Results are as long as the data say, so memory is asked for in the run. */
/* (rank, how many there are), which the run finds out. */
static ingot_status infer_non_zero(ingot_op_ctx *c) { return ingot_out_unknown(c, 0, INGOT_TENSOR, INGOT_INT64); }

/* Anything but 0, -0, false and the empty string. */
static bool is_nonzero(const ingot_tensor *x, int64_t i)
{
    switch (x->dtype) {
    case INGOT_STRING: return ((const ingot_string *)x->data)[i].size_bytes > 0;
    case INGOT_COMPLEX64: return ((const float *)x->data)[2 * i] != 0 || ((const float *)x->data)[2 * i + 1] != 0;
    case INGOT_COMPLEX128: return ((const double *)x->data)[2 * i] != 0 || ((const double *)x->data)[2 * i + 1] != 0;
    default: return ingot_is_float(x->dtype) ? ingot_double_at(x, i) != 0 : ingot_int_at(x, i) != 0;
    }
}

/* Which of n elements from `first` on are not zero, as bytes of 0 or 1. */
static void flag_nonzero(const ingot_op_ctx *c, int64_t first, int64_t n, uint8_t *flags)
{
    const ingot_tensor *x = c->in[0];
    const ingot_conversion as = {.from = x->dtype, .to = INGOT_BOOL, .kernels = c->kernels};
    if ((INGOT_TYPES_NUMERIC | INGOT_TYPE(BOOL)) >> x->dtype & 1)
        ingot_convert(&as, flags, (const char *)x->data + (size_t)first * ingot_dtype_size_bytes(x->dtype), n);
    else
        for (int64_t i = 0; i < n; i++)
            flags[i] = is_nonzero(x, first + i);
}

/* Bytes of 0 or 1, added up. */
INGOT_VECTOR_LOOPS static int64_t count_flags(const uint8_t *flags, int64_t n)
{
    int32_t sum = 0;
    for (int64_t i = 0; i < n; i++)
        sum += flags[i];
    return sum;
}

/* The next flag at or after i of n; n where there is none. Eight at a time, as most masks are mostly zeros. */
static int64_t next_flag(const uint8_t *flags, int64_t i, int64_t n)
{
    for (uint64_t eight = 0; i + 8 <= n && !eight; i += eight ? 0 : 8)
        memcpy(&eight, flags + i, 8);
    while (i < n && !flags[i])
        i++;
    return i;
}

/* Two walks over stretches of FLAGS elements: one counts, one writes. y[d] has the indices of dimension d, in row-major
 * order of the elements. */
static ingot_status run_non_zero(ingot_op_ctx *c)
{
    const ingot_tensor *x = c->in[0];
    const int64_t n = ingot_count(x), inner = x->rank ? x->shape[x->rank - 1] : 1, none[INGOT_MAX_RANK] = {0};
    int64_t found = 0, index[INGOT_MAX_RANK] = {0}, ignored = 0;
    uint8_t flags[FLAGS];
    for (int64_t first = 0; first < n && !ingot_cancelled(c); first += FLAGS) {
        const int64_t some = MIN(FLAGS, n - first);
        flag_nonzero(c, first, some, flags);
        found += count_flags(flags, some);
    }
    const int64_t shape[2] = {x->rank, found};
    const ingot_status status = ingot_out_resize(c, 0, INGOT_INT64, 2, shape);
    if (status)
        return status;
    /* y is (rank, found): a column for each element that was found. index: of the row that begins at element `row`. */
    int64_t *y = c->out[0]->data, at = 0, row = 0;
    for (int64_t first = 0; first < n && at < found && !ingot_cancelled(c); first += FLAGS) {
        const int64_t some = MIN(FLAGS, n - first);
        flag_nonzero(c, first, some, flags);
        for (int64_t i = next_flag(flags, 0, some); i < some && at < found; i = next_flag(flags, i + 1, some), at++) {
            for (; first + i >= row + inner; row += inner)
                ingot_advance(x->rank - 1, x->shape, none, index, &ignored);
            for (int d = 0; d < x->rank - 1; d++)
                y[d * found + at] = index[d];
            if (x->rank)
                y[(x->rank - 1) * found + at] = first + i - row;
        }
    }
    return INGOT_OK;
}

/* The tensor as (outer, size, inner) around the axis, or all of it as one list. */
typedef struct select_view {
    int64_t outer, size, inner;
    int axis; /* -1: none given */
} select_view;

/* The view for the attribute axis; INVALID when it is out of range. */
static ingot_status read_view(ingot_op_ctx *c, select_view *view)
{
    const ingot_tensor *x = c->in[0];
    *view = (select_view){1, ingot_count(x), 1, -1};
    if (!ingot_node_attr(c->node, "axis"))
        return INGOT_OK;
    const ingot_status status = ingot_axis(c, ingot_attr_int(c->node, "axis", 0), x->rank, &view->axis);
    if (status)
        return status;
    view->outer = ingot_span(x, 0, view->axis);
    view->size = x->shape[view->axis];
    view->inner = ingot_span(x, view->axis + 1, x->rank);
    return INGOT_OK;
}

/* Output 0 from the n slices of the view whose numbers are given, in that order; its memory is asked for here.
 * Without an axis the result is a vector. */
static ingot_status take_slices(ingot_op_ctx *c, const select_view *view, const int64_t *numbers, int64_t n)
{
    const ingot_tensor *x = c->in[0];
    const size_t run_bytes = (size_t)view->inner * ingot_dtype_size_bytes(x->dtype);
    int64_t shape[INGOT_MAX_RANK] = {n};
    for (int d = 0; view->axis >= 0 && d < x->rank; d++)
        shape[d] = d == view->axis ? n : x->shape[d];
    const ingot_status status = ingot_out_resize(c, 0, x->dtype, view->axis < 0 ? 1 : x->rank, shape);
    if (status || !c->out[0] || !run_bytes)
        return status;
    /* Slices are runs of bytes within each index of the outer dimensions. */
    char *to = c->out[0]->data;
    for (int64_t o = 0; o < view->outer; o++)
        for (int64_t i = 0; i < n; i++, to += run_bytes)
            memcpy(to, (const char *)x->data + (size_t)(o * view->size + numbers[i]) * run_bytes, run_bytes);
    return INGOT_OK;
}

/* condition is a vector of bool, which may be shorter than the axis: what it does not speak of is left out. */
static ingot_status infer_compress(ingot_op_ctx *c)
{
    select_view view;
    const ingot_status status = read_view(c, &view);
    if (status)
        return status;
    if (c->in[1]->rank != 1)
        return ingot_op_fail(c, INGOT_INVALID, "'condition' has rank %d, expected 1", c->in[1]->rank);
    return ingot_out_unknown(c, 0, INGOT_TENSOR, c->in[0]->dtype);
}

/* The numbers of what is kept; a true past the end of the axis is INVALID. */
static ingot_status run_compress(ingot_op_ctx *c)
{
    const uint8_t *condition = c->in[1]->data;
    select_view view = {0};
    const ingot_status status = read_view(c, &view);
    if (status)
        return status;
    const int64_t n = c->in[1]->shape[0];
    int64_t *numbers = ingot_run_alloc(c, (size_t)n * sizeof *numbers), kept = 0;
    if (!numbers)
        return ingot_op_out_of_memory(c);
    for (int64_t i = 0; i < n; i++) {
        if (condition[i] && i >= view.size)
            return ingot_op_fail(c, INGOT_INVALID, "'condition' selects %lld of %lld", (long long)i,
                                 (long long)view.size);
        if (condition[i])
            numbers[kept++] = i;
    }
    return take_slices(c, &view, numbers, kept);
}

/* What comparing slices needs. Keys order as the elements do, so that types need no loops of their own. */
typedef struct unique_job {
    const ingot_tensor *x;
    const uint64_t *keys; /* of every element; two for complex numbers; NULL for strings */
    int per_element;
    select_view view;
} unique_job;

/* By bytes, then by length. */
static int compare_strings(ingot_string a, ingot_string b)
{
    const size_t n = MIN(a.size_bytes, b.size_bytes);
    const int order = n ? memcmp(a.data, b.data, n) : 0;
    return order ? order : (a.size_bytes > b.size_bytes) - (a.size_bytes < b.size_bytes);
}

/* Order of two slices: by their first elements that differ. */
static int compare_slices(const unique_job *job, int64_t a, int64_t b)
{
    const select_view *view = &job->view;
    for (int64_t o = 0; o < view->outer; o++) {
        const int64_t at = (o * view->size + a) * view->inner, bt = (o * view->size + b) * view->inner;
        if (!job->keys) {
            const ingot_string *text = job->x->data;
            for (int64_t i = 0; i < view->inner; i++) {
                const int order = compare_strings(text[at + i], text[bt + i]);
                if (order)
                    return order;
            }
            continue;
        }
        const uint64_t *ka = job->keys + at * job->per_element, *kb = job->keys + bt * job->per_element;
        for (int64_t i = 0; i < view->inner * job->per_element; i++)
            if (ka[i] != kb[i])
                return ka[i] < kb[i] ? -1 : 1;
    }
    return 0;
}

/* Merge sort, bottom up and stable: the numbers of equal slices stay in order. Returns the one of the two lists that is
 * sorted at last. */
static int64_t *sort_slices(const unique_job *job, int64_t *list, int64_t *other)
{
    const int64_t n = job->view.size;
    for (int64_t width = 1; width < n; width *= 2) {
        for (int64_t begin = 0; begin < n; begin += 2 * width) {
            const int64_t middle = MIN(begin + width, n), end = MIN(middle + width, n);
            int64_t a = begin, b = middle;
            for (int64_t to = begin; to < end; to++)
                other[to] =
                    b == end || (a < middle && compare_slices(job, list[a], list[b]) <= 0) ? list[a++] : list[b++];
        }
        int64_t *const sorted = other;
        other = list;
        list = sorted;
    }
    return list;
}

/* The same of slices that are one key each. NULL without memory. */
static const int64_t *sort_elements(ingot_op_ctx *c, const unique_job *job, int64_t *list)
{
    const int64_t n = job->view.size;
    ingot_keyed *keyed = ingot_run_alloc(c, 2 * (size_t)n * sizeof *keyed);
    if (!keyed)
        return NULL;
    for (int64_t i = 0; i < n; i++)
        keyed[i] = (ingot_keyed){job->keys[i], i};
    keyed = ingot_sort_keyed(keyed, keyed + n, n);
    for (int64_t i = 0; i < n; i++)
        list[i] = keyed[i].index;
    return list;
}

/* All four outputs are as long as there are distinct slices, or as the axis. */
static ingot_status infer_unique(ingot_op_ctx *c)
{
    select_view view;
    const ingot_status status = read_view(c, &view);
    if (status)
        return status;
    ingot_out_unknown(c, 0, INGOT_TENSOR, c->in[0]->dtype);
    for (int i = 1; i < 4; i++)
        ingot_out_unknown(c, i, INGOT_TENSOR, INGOT_INT64);
    return INGOT_OK;
}

/* Keys of all elements, in memory of the run. */
static ingot_status read_keys(ingot_op_ctx *c, unique_job *job)
{
    const ingot_tensor *x = c->in[0];
    ingot_tensor parts = *x; /* complex numbers as twice as many floats */
    job->x = x;
    job->per_element = x->dtype == INGOT_COMPLEX64 || x->dtype == INGOT_COMPLEX128 ? 2 : 1;
    if (x->dtype == INGOT_STRING)
        return INGOT_OK;
    if (job->per_element == 2)
        parts.dtype = x->dtype == INGOT_COMPLEX64 ? INGOT_FLOAT : INGOT_DOUBLE;
    /* Keys are made once, since a slice is compared many times. */
    const int64_t n = ingot_count(x) * job->per_element;
    uint64_t *keys = ingot_run_alloc(c, (size_t)n * sizeof *keys);
    if (!keys)
        return ingot_op_out_of_memory(c);
    ingot_order_keys(&parts, 0, 1, n, keys);
    job->keys = keys;
    return INGOT_OK;
}

/* Output `index` as a list of n numbers; NULL when nobody wants it. */
static ingot_status list_output(ingot_op_ctx *c, int index, int64_t n, int64_t **data)
{
    const ingot_status status = ingot_out_resize(c, index, INGOT_INT64, 1, &n);
    *data = !status && index < c->n_out && c->out[index] ? c->out[index]->data : NULL;
    return status;
}

/* Slices are sorted as numbers; equal neighbours are a group, whose first member (the sort is stable) is the one that
 * is kept. Outputs: slices, index of each first, group of each slice, size of each group. */
static ingot_status run_unique(ingot_op_ctx *c)
{
    unique_job job = {0};
    ingot_status status = read_view(c, &job.view);
    if (status || (status = read_keys(c, &job)))
        return status;
    const int64_t n = job.view.size;
    const bool sorted = ingot_attr_int(c->node, "sorted", 1) != 0;
    int64_t *memory = ingot_run_alloc(c, 4 * (size_t)n * sizeof *memory), n_groups = 0;
    if (!memory)
        return ingot_op_out_of_memory(c);
    /* group[i]: which of the distinct slices, in the order of the result, slice i is; first[g]: the first that is g. */
    int64_t *group = memory + 2 * n, *first = memory + 3 * n;
    for (int64_t i = 0; i < n; i++)
        memory[i] = i;
    /* Equal slices become neighbours; each new one begins a group. */
    const bool single = job.keys && job.view.outer * job.view.inner * job.per_element == 1;
    const int64_t *order = single ? sort_elements(c, &job, memory) : sort_slices(&job, memory, memory + n);
    if (!order)
        return ingot_op_out_of_memory(c);
    for (int64_t i = 0; i < n; i++) {
        if (i == 0 || compare_slices(&job, order[i - 1], order[i]))
            first[n_groups++] = order[i];
        group[order[i]] = n_groups - 1;
    }
    if (!sorted) { /* number the groups anew, as they come */
        int64_t *const number = memory; /* `order` has done its work */
        for (int64_t i = 0; i < n_groups; i++)
            number[i] = -1;
        int64_t next = 0;
        for (int64_t i = 0; i < n; i++) {
            if (number[group[i]] < 0) {
                number[group[i]] = next;
                first[next++] = i;
            }
            group[i] = number[group[i]];
        }
    }
    /* The outputs. */
    int64_t *indices, *inverse, *counts;
    if ((status = take_slices(c, &job.view, first, n_groups)) || (status = list_output(c, 1, n_groups, &indices)) ||
        (status = list_output(c, 2, n, &inverse)) || (status = list_output(c, 3, n_groups, &counts)))
        return status;
    if (indices && n_groups)
        memcpy(indices, first, (size_t)n_groups * sizeof *indices);
    if (inverse && n)
        memcpy(inverse, group, (size_t)n * sizeof *inverse);
    if (counts) {
        for (int64_t g = 0; g < n_groups; g++)
            counts[g] = 0;
        for (int64_t i = 0; i < n; i++)
            counts[group[i]]++;
    }
    return INGOT_OK;
}

#define PLAIN_TYPES \
    (INGOT_TYPES_NUMERIC | INGOT_TYPE(BOOL) | INGOT_TYPE(STRING) | INGOT_TYPE(COMPLEX64) | INGOT_TYPE(COMPLEX128))

const ingot_op ingot_ops_select[] = {
    {"NonZero", 9, 1, 1, {PLAIN_TYPES}, infer_non_zero, run_non_zero},
    {"Compress", 9, 2, 2, {INGOT_TYPES_ALL, INGOT_TYPE(BOOL)}, infer_compress, run_compress},
    {"Unique", 11, 1, 1, {PLAIN_TYPES}, infer_unique, run_unique},
    {0},
};
