/* gather.c - elements picked by an index tensor: Gather, GatherElements, GatherND. Every index is checked before the
 * first element moves, so that a wrong one is an error, not a read outside of the tensor. */
#include <string.h>

#include "ops/index.h"
#include "ops/movement.h"

enum { GRAIN_BYTES = 32 * 1024 };

/* One loop for all three: a number of equal runs, each from a place of its own in the source. `to` is the output, where
 * runs follow each other; run_bytes is a run's size. */
typedef struct gather_job {
    const ingot_tensor *data, *indices;
    char *to;
    size_t run_bytes;
    int axis;
    int64_t n_picked, axis_size, inner; /* Gather: (outer, axis_size, inner) to (outer, n_picked, inner) */
    int64_t data_steps[INGOT_MAX_RANK], index_shape[INGOT_MAX_RANK];
    int64_t depth;                      /* GatherND: entries of an index tuple */
    int64_t n_batch, batch_runs, batch_elements;
} gather_job;

/* Y has data's shape with dimension 'axis' replaced by all dimensions of indices; its rank may pass the maximum, which
 * ingot_out reports. indices may be a scalar, which takes the dimension away. */
static ingot_status infer_gather(ingot_op_ctx *c)
{
    const ingot_tensor *x = c->in[0], *indices = c->in[1];
    int64_t shape[2 * INGOT_MAX_RANK];
    int axis, rank = 0;
    const ingot_status status = ingot_axis(c, ingot_attr_int(c->node, "axis", 0), x->rank, &axis);
    if (status)
        return status;
    for (int d = 0; d < axis; d++)
        shape[rank++] = x->shape[d];
    for (int d = 0; d < indices->rank; d++)
        shape[rank++] = indices->shape[d];
    for (int d = axis + 1; d < x->rank; d++)
        shape[rank++] = x->shape[d];
    return ingot_out(c, 0, x->dtype, rank, shape);
}

/* Task over (outer, index) pairs; indices were checked before, negative ones count from the end. outer and k count
 * along, to spare a division for each run. */
static void gather_part(void *argument, int64_t begin, int64_t end, int thread)
{
    const gather_job *job = argument;
    int64_t outer = begin / job->n_picked, k = begin % job->n_picked;
    (void)thread;
    for (int64_t i = begin; i < end; i++) {
        const int64_t index = ingot_index_at(job->indices, k, job->axis_size);
        ingot_copy_few(job->to + (size_t)i * job->run_bytes,
                       (const char *)job->data->data + (size_t)(outer * job->axis_size + index) * job->run_bytes,
                       job->run_bytes);
        if (++k == job->n_picked) {
            k = 0;
            outer++;
        }
    }
}

/* Runs for each turn, so that a thread moves at least GRAIN_BYTES. The work of a run is the bytes that it moves. */
static int64_t grain(size_t run_bytes) { return MAX(GRAIN_BYTES / (int64_t)MAX(run_bytes, (size_t)1), 1); }

/* All indices are checked before anything is copied, so that tasks cannot fail. INVALID: an index outside of [-size,
 * size). */
static ingot_status run_gather(ingot_op_ctx *c)
{
    const ingot_tensor *x = c->in[0], *indices = c->in[1];
    int axis;
    ingot_status status = ingot_axis(c, ingot_attr_int(c->node, "axis", 0), x->rank, &axis);
    if (!status)
        status = ingot_check_indices(c, indices, axis, x->shape[axis]);
    if (status || ingot_count(c->out[0]) == 0)
        return status;
    /* A run is what lies behind the axis: one index of it, whole. */
    gather_job job = {.data = x, .indices = indices, .to = c->out[0]->data};
    job.n_picked = ingot_count(indices);
    job.axis_size = x->shape[axis];
    job.run_bytes = (size_t)ingot_span(x, axis + 1, x->rank) * ingot_dtype_size_bytes(x->dtype);
    ingot_parallel(c->team, ingot_span(x, 0, axis) * job.n_picked, grain(job.run_bytes), gather_part, &job);
    return INGOT_OK;
}

/* The only index, where it is known before a run: from the planner's data or from a constant that was not read yet. */
static bool known_index(const ingot_op_ctx *c, int64_t *index)
{
    const ingot_tensor *indices = c->in[1];
    const ingot_const *constant = c->constants ? c->constants[1] : NULL;
    int64_t element = 0;
    ingot_tensor copy = *indices;
    if (ingot_count(indices) != 1 || (!indices->data && !constant))
        return false;
    if (!indices->data) {
        ingot_const_read(constant, &element);
        copy.data = &element;
    }
    *index = ingot_int_at(&copy, 0);
    return true;
}

/* One index that is known picks a slice: X from at * steps[axis] on, without the axis. Dimensions of indices, all of
 * size 1, have step 0. False: several indices, an unknown one, or one out of range, which run() reports. */
static bool strided_gather(ingot_op_ctx *c, int output, int64_t *offset, int64_t *strides)
{
    const ingot_tensor *x = c->in[0], *indices = c->in[1];
    int64_t steps[INGOT_MAX_RANK];
    int64_t index;
    int axis, n = 0;
    (void)output;
    if (!known_index(c, &index) || c->out[0]->rank > INGOT_MAX_RANK ||
        ingot_axis(c, ingot_attr_int(c->node, "axis", 0), x->rank, &axis))
        return false;
    /* The index must be right before its slice can be promised. */
    const int64_t at = index < 0 ? index + x->shape[axis] : index;
    if (at < 0 || at >= x->shape[axis])
        return false;
    /* Steps of X without the axis, and 0 for each dimension of indices in its place. */
    ingot_steps(x, steps);
    for (int d = 0; d < x->rank; d++)
        if (d != axis)
            strides[n++] = steps[d];
        else
            for (int k = 0; k < indices->rank; k++)
                strides[n++] = 0;
    *offset = at * steps[axis];
    return true;
}

/* Y is shaped like indices, which may be smaller than data in every dimension but the axis. INVALID: other ranks or
 * larger sizes. */
static ingot_status infer_gather_elements(ingot_op_ctx *c)
{
    const ingot_tensor *x = c->in[0], *indices = c->in[1];
    int axis;
    const ingot_status status = ingot_axis(c, ingot_attr_int(c->node, "axis", 0), x->rank, &axis);
    if (status)
        return status;
    if (indices->rank != x->rank)
        return ingot_op_fail(c, INGOT_INVALID, "'indices' has rank %d, 'data' has rank %d", indices->rank, x->rank);
    for (int d = 0; d < x->rank; d++)
        if (d != axis && indices->shape[d] > x->shape[d])
            return ingot_op_fail(c, INGOT_INVALID, "'indices' has size %lld in dimension %d, 'data' %lld",
                                 (long long)indices->shape[d], d, (long long)x->shape[d]);
    return ingot_out(c, 0, x->dtype, x->rank, indices->shape);
}

/* n elements of four bytes, by indices of int64: what models gather as a rule. Places in `from` are counted from that
 * of the row's beginning. */
static void pick_words(uint32_t *to, const uint32_t *from, const int64_t *indices, int64_t n, int64_t size,
                       int64_t axis_step, int64_t step)
{
    for (int64_t j = 0; j < n; j++) {
        const int64_t index = indices[j] + (indices[j] >> 63 & size);
        to[j] = from[j * step + index * axis_step];
    }
}

/* Task over elements, row by row of the indices: base is the place without the axis, the index adds its part. */
static void gather_elements_part(void *argument, int64_t begin, int64_t end, int thread)
{
    const gather_job *job = argument;
    /* The walk goes through indices' shape with data's steps, as both have the same rank. */
    const int rank = job->indices->rank, axis = job->axis, last = rank - 1;
    const int64_t axis_step = job->data_steps[axis];
    const size_t run_bytes = job->run_bytes;
    int64_t steps[INGOT_MAX_RANK], at[INGOT_MAX_RANK];
    (void)thread;
    memcpy(steps, job->data_steps, sizeof steps);
    steps[axis] = 0; /* the index takes its place */
    int64_t base = ingot_locate(rank, job->indices->shape, steps, begin, at);
    for (int64_t i = begin, n; i < end; i += n) {
        n = MIN(end - i, job->indices->shape[last] - at[last]);
        const char *from = (const char *)job->data->data + (size_t)base * run_bytes;
        char *to = job->to + (size_t)i * run_bytes;
        if (run_bytes == 4 && job->indices->dtype == INGOT_INT64)
            pick_words((void *)to, (const void *)from, (const int64_t *)job->indices->data + i, n, job->axis_size,
                       axis_step, steps[last]);
        else
            for (int64_t j = 0; j < n; j++, to += run_bytes, from += (size_t)steps[last] * run_bytes) {
                const int64_t index = ingot_index_at(job->indices, i + j, job->axis_size);
                ingot_copy_few(to, from + (size_t)(index * axis_step) * run_bytes, run_bytes);
            }
        at[last] += n - 1;
        base += (n - 1) * steps[last];
        ingot_advance(rank, job->indices->shape, steps, at, &base);
    }
}

/* Element by element, hence a grain eight times finer than for runs. INVALID: an index outside of the axis. */
static ingot_status run_gather_elements(ingot_op_ctx *c)
{
    const ingot_tensor *x = c->in[0];
    gather_job job = {.data = x, .indices = c->in[1], .to = c->out[0]->data};
    ingot_status status = ingot_axis(c, ingot_attr_int(c->node, "axis", 0), x->rank, &job.axis);
    if (!status)
        status = ingot_check_indices(c, c->in[1], job.axis, x->shape[job.axis]);
    if (status)
        return status;
    job.axis_size = x->shape[job.axis];
    job.run_bytes = ingot_dtype_size_bytes(x->dtype);
    ingot_steps(x, job.data_steps);
    ingot_parallel(c->team, ingot_count(c->in[1]), grain(job.run_bytes) / 8, gather_elements_part, &job);
    return INGOT_OK;
}

/* Index tuples have at most rank - batch_dims entries; what they leave of data's dimensions ends the shape of Y.
 * INVALID: longer tuples, batch_dims that reach past either rank, or batch dimensions that differ. */
static ingot_status infer_gather_nd(ingot_op_ctx *c)
{
    const ingot_tensor *x = c->in[0], *indices = c->in[1];
    const int64_t batch_dims = ingot_attr_int(c->node, "batch_dims", 0);
    int64_t shape[2 * INGOT_MAX_RANK];
    int rank = 0;
    if (x->rank < 1 || indices->rank < 1 || batch_dims < 0 || batch_dims >= MIN(x->rank, indices->rank))
        return ingot_op_fail(c, INGOT_INVALID, "'batch_dims' of %lld does not fit ranks %d and %d",
                             (long long)batch_dims, x->rank, indices->rank);
    const int64_t depth = indices->shape[indices->rank - 1];
    if (depth > x->rank - batch_dims)
        return ingot_op_fail(c, INGOT_INVALID, "index tuples of %lld entries are too long for rank %d",
                             (long long)depth, x->rank);
    /* The first batch_dims dimensions are shared by both inputs. */
    for (int d = 0; d < batch_dims; d++)
        if (indices->shape[d] != x->shape[d])
            return ingot_op_fail(c, INGOT_INVALID, "batch dimension %d is %lld in 'indices', %lld in 'data'", d,
                                 (long long)indices->shape[d], (long long)x->shape[d]);
    /* Y: the dimensions that list the tuples (batch included), then what a tuple leaves. */
    for (int d = 0; d < indices->rank - 1; d++)
        shape[rank++] = indices->shape[d];
    for (int d = (int)(batch_dims + depth); d < x->rank; d++)
        shape[rank++] = x->shape[d];
    return ingot_out(c, 0, x->dtype, rank, shape);
}

/* Task over tuples, each with one run to copy; a batch adds its own part of data. Negative entries count from the end
 * of their dimension. */
static void gather_nd_part(void *argument, int64_t begin, int64_t end, int thread)
{
    const gather_job *job = argument;
    (void)thread;
    for (int64_t i = begin; i < end; i++) {
        const int64_t offset = i / job->batch_runs * job->batch_elements +
                               ingot_tuple_offset(job->indices, i, job->depth, job->index_shape, job->data_steps);
        ingot_copy_few(job->to + (size_t)i * job->run_bytes,
                       (const char *)job->data->data + (size_t)offset * ingot_dtype_size_bytes(job->data->dtype),
                       job->run_bytes);
    }
}

/* Tuples are checked against the dimensions after batch_dims before the copy begins. Tuple i belongs to batch i /
 * batch_runs, whose elements begin at that number times batch_elements. */
static ingot_status run_gather_nd(ingot_op_ctx *c)
{
    const ingot_tensor *x = c->in[0], *indices = c->in[1];
    const int batch_dims = (int)ingot_attr_int(c->node, "batch_dims", 0);
    gather_job job = {.data = x, .indices = indices, .to = c->out[0]->data};
    int64_t steps[INGOT_MAX_RANK];
    job.depth = indices->shape[indices->rank - 1];
    ingot_steps(x, steps);
    /* Entry d of a tuple is an index of dimension batch_dims + d. */
    for (int d = 0; d < job.depth; d++) {
        job.index_shape[d] = x->shape[batch_dims + d];
        job.data_steps[d] = steps[batch_dims + d];
    }
    const int64_t n = ingot_span(indices, 0, indices->rank - 1);
    const ingot_status status = ingot_check_tuples(c, indices, n, job.depth, job.index_shape);
    if (status || ingot_count(c->out[0]) == 0)
        return status;
    job.batch_runs = ingot_span(indices, batch_dims, indices->rank - 1);
    job.batch_elements = ingot_span(x, batch_dims, x->rank);
    job.run_bytes = (size_t)ingot_span(x, batch_dims + (int)job.depth, x->rank) * ingot_dtype_size_bytes(x->dtype);
    ingot_parallel(c->team, n, MAX(grain(job.run_bytes) / 8, 1), gather_nd_part, &job);
    return INGOT_OK;
}

const ingot_op ingot_ops_gather[] = {
    {"Gather", 1, 2, 2, {INGOT_TYPES_ALL, INGOT_TYPES_INDEX}, infer_gather, run_gather,
     .flags = INGOT_OP_LONG, .strided = strided_gather},
    {"GatherElements", 11, 2, 2, {INGOT_TYPES_ALL, INGOT_TYPES_INDEX}, infer_gather_elements, run_gather_elements},
    {"GatherND", 11, 2, 2, {INGOT_TYPES_ALL, INGOT_TYPE(INT64)}, infer_gather_nd, run_gather_nd},
    {0},
};
