/* search.c - where the largest or smallest elements are: ArgMax, ArgMin, TopK. */
#include <string.h>

#include "ops/movement.h"
#include "ops/order.h"
#include "ops/row_loops.h"

/* WIDTH neighbouring results are found together; GRAIN elements make a task. */
enum { WIDTH = 256, GRAIN = 8 * 1024 };

/* One run of ArgMax, ArgMin or TopK. last: of equal elements the last is to be told (select_last_index); k is
 * TopK's. */
typedef struct search_job {
    ingot_op_ctx *c;
    int64_t size, inner, k; /* x as (outer, size, inner) */
    bool largest, last, may_be_nan;
} search_job;

/* Keys of n neighbouring elements that are larger for what is to be found; NaN is found first either way, as numpy has
 * it. */
INGOT_VECTOR_LOOPS static void rank_keys(const search_job *job, int64_t first, int64_t n, uint64_t *keys)
{
    const uint64_t nan = job->may_be_nan ? UINT64_MAX : 0;
    ingot_order_keys(job->c->in[0], first, 1, n, keys);
    if (job->largest)
        return;
    for (int64_t j = 0; j < n; j++)
        keys[j] = nan && keys[j] == nan ? nan : ~keys[j];
}

/* The largest of n keys, by four searches side by side, since each comparison waits for the one before it. */
INGOT_VECTOR_LOOPS static uint64_t largest_key(const uint64_t *keys, int64_t n)
{
    uint64_t most[4] = {0};
    int64_t j = 0;
    for (; j + 4 <= n; j += 4)
        for (int l = 0; l < 4; l++)
            most[l] = MAX(most[l], keys[j + l]);
    for (; j < n; j++)
        most[0] = MAX(most[0], keys[j]);
    return MAX(MAX(most[0], most[1]), MAX(most[2], most[3]));
}

/* Indices with the axis as 1, or gone with keepdims = 0. An empty axis has no largest element: INVALID, unless there
 * is no result either. */
static ingot_status infer_arg(ingot_op_ctx *c)
{
    const ingot_tensor *x = c->in[0];
    const bool keep = ingot_attr_int(c->node, "keepdims", 1) != 0;
    int64_t shape[INGOT_MAX_RANK];
    int axis = 0, rank = 0;
    /* A scalar counts as a list of one. */
    if (x->rank > 0 || ingot_attr_int(c->node, "axis", 0) != 0) {
        const ingot_status status = ingot_axis(c, ingot_attr_int(c->node, "axis", 0), x->rank, &axis);
        if (status)
            return status;
    }
    /* The axis becomes 1, or goes. */
    for (int d = 0; d < x->rank; d++)
        if (d != axis || keep)
            shape[rank++] = d == axis ? 1 : x->shape[d];
    const ingot_status status = ingot_out(c, 0, INGOT_INT64, rank, shape);
    if (!status && x->rank > 0 && x->shape[axis] == 0 && ingot_span(x, 0, axis) * ingot_span(x, axis + 1, x->rank) > 0)
        return ingot_op_fail(c, INGOT_INVALID, "dimension %d is empty", axis);
    return status;
}

/* Task over blocks [begin, end) of up to WIDTH neighbouring results; each element along the axis is compared with the
 * best. */
static void arg_part(void *argument, int64_t begin, int64_t end, int thread)
{
    const search_job *job = argument;
    const int64_t blocks = (job->inner + WIDTH - 1) / WIDTH;
    int64_t *y = job->c->out[0]->data;
    (void)thread;
    for (int64_t block = begin; block < end; block++) {
        const int64_t outer = block / blocks, column = block % blocks * WIDTH, n = MIN(WIDTH, job->inner - column);
        int64_t *best = y + outer * job->inner + column;
        /* All columns of the block are compared at once, row after row along the axis. */
        uint64_t best_keys[WIDTH], keys[WIDTH];
        for (int64_t i = 0; i < job->size; i++) {
            rank_keys(job, (outer * job->size + i) * job->inner + column, n, keys);
            for (int64_t j = 0; j < n; j++)
                if (i == 0 || keys[j] > best_keys[j] || (job->last && keys[j] == best_keys[j])) {
                    best_keys[j] = keys[j];
                    best[j] = i;
                }
        }
    }
}

/* The same where the axis is innermost: one result for each row, read WIDTH keys at a time. Where they have what beats
 * the best so far, it is looked for from the end that counts. */
static void arg_rows(void *argument, int64_t begin, int64_t end, int thread)
{
    const search_job *job = argument;
    int64_t *y = job->c->out[0]->data;
    (void)thread;
    for (int64_t row = begin; row < end; row++) {
        uint64_t best_key = 0, keys[WIDTH];
        int64_t best = 0;
        for (int64_t first = 0; first < job->size; first += WIDTH) {
            const int64_t n = MIN(WIDTH, job->size - first);
            rank_keys(job, row * job->size + first, n, keys);
            const uint64_t key = largest_key(keys, n);
            if (first > 0 && (key < best_key || (key == best_key && !job->last)))
                continue;
            int64_t j = job->last ? n - 1 : 0;
            while (keys[j] != key)
                j += job->last ? -1 : 1;
            best_key = key;
            best = first + j;
        }
        y[row] = best;
    }
}

/* The two loops above for float, by the kernels. */
static void arg_part_f32(void *argument, int64_t begin, int64_t end, int thread)
{
    const search_job *job = argument;
    const int64_t blocks = (job->inner + WIDTH - 1) / WIDTH;
    const float *x = job->c->in[0]->data, sign = job->largest ? 1.0f : -1.0f;
    int64_t *y = job->c->out[0]->data;
    (void)thread;
    for (int64_t block = begin; block < end; block++) {
        const int64_t outer = block / blocks, column = block % blocks * WIDTH, n = MIN(WIDTH, job->inner - column);
        const float *src = x + outer * job->size * job->inner + column;
        int32_t index[WIDTH] = {0};
        float best[WIDTH];
        for (int64_t j = 0; j < n; j++)
            best[j] = src[j] * sign;
        for (int64_t i = 1; i < job->size; i++)
            job->c->kernels->arg_rows_f32(best, index, src + i * job->inner, (size_t)n, (int32_t)i, sign, job->last);
        for (int64_t j = 0; j < n; j++)
            y[outer * job->inner + column + j] = index[j];
    }
}

/* Rows of floats, by the kernel for one row. */
static void arg_rows_f32(void *argument, int64_t begin, int64_t end, int thread)
{
    const search_job *job = argument;
    const float *x = job->c->in[0]->data, sign = job->largest ? 1.0f : -1.0f;
    int64_t *y = job->c->out[0]->data;
    (void)thread;
    for (int64_t row = begin; row < end; row++) {
        float best;
        y[row] = job->c->kernels->arg_row_f32(&best, x + row * job->size, (size_t)job->size, sign, job->last);
    }
}

/* The loop for the type and place of the axis; the kernels count in 32 bits. */
static ingot_task *arg_task(const search_job *job)
{
    if (job->c->in[0]->dtype == INGOT_FLOAT && job->size <= INT32_MAX)
        return job->inner == 1 ? arg_rows_f32 : arg_part_f32;
    return job->inner == 1 ? arg_rows : arg_part;
}

/* The tensor as (outer, size, inner) around the axis; a scalar is a list of one. */
static ingot_status run_arg(ingot_op_ctx *c)
{
    const ingot_tensor *x = c->in[0];
    search_job job = {.c = c, .size = 1, .inner = 1, .largest = !strcmp(c->op->op_type, "ArgMax")};
    int64_t outer = 1;
    job.last = ingot_attr_int(c->node, "select_last_index", 0) != 0;
    job.may_be_nan = ingot_is_float(x->dtype);
    if (x->rank > 0) {
        int axis;
        const ingot_status status = ingot_axis(c, ingot_attr_int(c->node, "axis", 0), x->rank, &axis);
        if (status)
            return status;
        outer = ingot_span(x, 0, axis);
        job.size = x->shape[axis];
        job.inner = ingot_span(x, axis + 1, x->rank);
    }
    if (ingot_count(c->out[0]) == 0)
        return INGOT_OK;
    const int64_t width = MIN(job.inner, WIDTH), n = outer * ((job.inner + WIDTH - 1) / WIDTH);
    ingot_parallel(c->team, n, MAX(GRAIN / (job.size * width), 1), arg_task(&job), &job);
    return INGOT_OK;
}

/* K is an input, and in the shape: LATER while it is not known. More than there are is INVALID. Values have X's type,
 * indices int64. */
static ingot_status infer_top_k(ingot_op_ctx *c)
{
    const ingot_tensor *x = c->in[0];
    int64_t shape[INGOT_MAX_RANK], k;
    int axis, n;
    ingot_status status = ingot_axis(c, ingot_attr_int(c->node, "axis", -1), x->rank, &axis);
    if (status)
        return status;
    if (ingot_count(c->in[1]) != 1)
        return ingot_op_fail(c, INGOT_INVALID, "'K' has %lld elements, expected 1", (long long)ingot_count(c->in[1]));
    if ((status = ingot_ints(c, 1, &k, 1, &n)))
        return status;
    if (k < 0 || k > x->shape[axis])
        return ingot_op_fail(c, INGOT_INVALID, "'K' is %lld, but dimension %d has size %lld", (long long)k, axis,
                             (long long)x->shape[axis]);
    for (int d = 0; d < x->rank; d++)
        shape[d] = d == axis ? k : x->shape[d];
    status = ingot_out(c, 0, x->dtype, x->rank, shape);
    return status ? status : ingot_out(c, 1, INGOT_INT64, x->rank, shape);
}

/* Are so many of a row wanted that sorting the whole of it is less work than a heap? */
static bool wants_most(int64_t k, int64_t size) { return k > size / 8; }

/* Every thread keeps the best k of a row, or the row twice to sort it, and the keys of a stretch of it. */
static ingot_status prepare_top_k(ingot_op_ctx *c)
{
    const ingot_tensor *y = c->out[0] ? c->out[0] : c->out[1];
    int axis = 0;
    const ingot_status status = ingot_axis(c, ingot_attr_int(c->node, "axis", -1), y->rank, &axis);
    const int64_t k = ingot_count(y) ? y->shape[axis] : 0, size = c->in[0]->shape[axis];
    ingot_want_scratch(c, 0, (size_t)(wants_most(k, size) ? 2 * size : k) * sizeof(ingot_keyed) +
                                 WIDTH * sizeof(uint64_t));
    return status;
}

/* Is a to be told after b? Keys are such that larger ones come first; of equal ones the first. */
static inline bool is_after(ingot_keyed a, ingot_keyed b) { return a.key != b.key ? a.key < b.key : a.index > b.index; }

/* Restore the heap below `at`, whose top is the candidate to be told last. */
static void sift_down(ingot_keyed *heap, int64_t n, int64_t at)
{
    const ingot_keyed moving = heap[at];
    for (int64_t child; (child = 2 * at + 1) < n; at = child) {
        if (child + 1 < n && is_after(heap[child + 1], heap[child]))
            child++;
        if (!is_after(heap[child], moving))
            break;
        heap[at] = heap[child];
    }
    heap[at] = moving;
}

/* The best k of the row that starts at `first`, best first. A heap of k candidates has the worst on top, which a
 * better element replaces; taking the top away again and again then sorts them. O(n log k), and memory for k only. */
static void select_top(const search_job *job, int64_t first, ingot_keyed *heap, uint64_t *keys)
{
    for (int64_t begin = 0; begin < job->size; begin += WIDTH) {
        const int64_t n = MIN(WIDTH, job->size - begin);
        ingot_order_keys(job->c->in[0], first + begin * job->inner, job->inner, n, keys);
        for (int64_t i = 0; i < n; i++) {
            const ingot_keyed next = {job->largest ? keys[i] : ~keys[i], begin + i};
            /* The first k fill the heap, which is put in order when it is full. */
            if (next.index < job->k) {
                heap[next.index] = next;
                for (int64_t at = job->k / 2; next.index == job->k - 1 && at-- > 0;)
                    sift_down(heap, job->k, at);
            } else if (is_after(heap[0], next)) {
                heap[0] = next;
                sift_down(heap, job->k, 0);
            }
        }
    }
    /* From heap to order: the worst goes last. */
    for (int64_t n = job->k; n-- > 1;) {
        const ingot_keyed last = heap[0];
        heap[0] = heap[n];
        heap[n] = last;
        sift_down(heap, n, 0);
    }
}

/* The same where many are wanted: all of the row in order. `list` has room for the row twice. */
static const ingot_keyed *sort_row(const search_job *job, int64_t first, ingot_keyed *list, uint64_t *keys)
{
    for (int64_t begin = 0; begin < job->size; begin += WIDTH) {
        const int64_t n = MIN(WIDTH, job->size - begin);
        ingot_order_keys(job->c->in[0], first + begin * job->inner, job->inner, n, keys);
        for (int64_t i = 0; i < n; i++)
            list[begin + i] = (ingot_keyed){job->largest ? ~keys[i] : keys[i], begin + i};
    }
    return ingot_sort_keyed(list, list + job->size, job->size);
}

/* Task over rows, counted through outer and inner; either output may be unwanted. Results are always sorted, as the
 * standard allows for sorted = 0. */
static void top_k_part(void *argument, int64_t begin, int64_t end, int thread)
{
    const search_job *job = argument;
    ingot_tensor *values = job->c->out[0], *indices = job->c->out[1];
    const ingot_tensor *x = job->c->in[0];
    const size_t item = ingot_dtype_size_bytes(x->dtype);
    uint64_t *keys = (uint64_t *)ingot_thread_scratch(job->c, thread);
    ingot_keyed *const room = (ingot_keyed *)(keys + WIDTH);
    for (int64_t row = begin; row < end && !ingot_cancelled(job->c); row++) {
        const int64_t outer = row / job->inner, column = row % job->inner;
        const int64_t first = outer * job->size * job->inner + column, to = outer * job->k * job->inner + column;
        /* Found by keys; values are copied from X, so that they keep their bits. */
        const ingot_keyed *best = room;
        if (wants_most(job->k, job->size))
            best = sort_row(job, first, room, keys);
        else
            select_top(job, first, room, keys);
        for (int64_t i = 0; i < job->k; i++) {
            if (indices)
                ((int64_t *)indices->data)[to + i * job->inner] = best[i].index;
            if (values)
                memcpy((char *)values->data + (size_t)(to + i * job->inner) * item,
                       (const char *)x->data + (size_t)(first + best[i].index * job->inner) * item, item);
        }
    }
}

/* k is read off the output, whose shape inference has settled. */
static ingot_status run_top_k(ingot_op_ctx *c)
{
    const ingot_tensor *x = c->in[0], *y = c->out[0] ? c->out[0] : c->out[1];
    int axis = 0;
    const ingot_status status = ingot_axis(c, ingot_attr_int(c->node, "axis", -1), x->rank, &axis);
    if (status || ingot_count(y) == 0)
        return status;
    /* Rows lie along the axis, `inner` apart. */
    search_job job = {.c = c, .size = x->shape[axis], .inner = ingot_span(x, axis + 1, x->rank), .k = y->shape[axis]};
    job.largest = ingot_attr_int(c->node, "largest", 1) != 0;
    ingot_parallel(c->team, ingot_span(x, 0, axis) * job.inner, MAX(GRAIN / job.size, 1), top_k_part, &job);
    return INGOT_OK;
}

const ingot_op ingot_ops_search[] = {
    {"ArgMax", 1, 1, 1, {INGOT_TYPES_NUMERIC}, infer_arg, run_arg},
    {"ArgMin", 1, 1, 1, {INGOT_TYPES_NUMERIC}, infer_arg, run_arg},
    {"TopK", 10, 2, 2, {INGOT_TYPES_NUMERIC, INGOT_TYPE(INT64)}, infer_top_k, run_top_k, prepare_top_k},
    {0},
};
