/* cumulative.c - CumSum and CumProd: running sums and products along an axis. The running value is a double, or an
 * integer modulo the type's size. */
#include <string.h>

#include "ops/movement.h"
#include "ops/scalar.h"

/* One run over X seen as (outer, size, inner), where the axis is the middle one. */
typedef struct cumulative_job {
    const ingot_tensor *x;
    ingot_tensor *y;
    int64_t size, inner; /* x as (outer, size, inner) */
    bool product, reverse, exclusive;
} cumulative_job;

/* Y is like X. The axis is an input, and only its count is checked here: its value may not be known until the run. */
static ingot_status infer_cumulative(ingot_op_ctx *c)
{
    if (ingot_count(c->in[1]) != 1)
        return ingot_op_fail(c, INGOT_INVALID, "'axis' has %lld elements, expected 1",
                             (long long)ingot_count(c->in[1]));
    return ingot_out_like(c, 0, c->in[0]);
}

/* Lines side by side that are walked together; and those of usual sums whose loop has a known count, so that it becomes
 * vector code. */
enum { LINES = 512, BLOCK = 8 };

/* Walk n lines that lie side by side, from their first element on; their running values are of type A and stored as
 * T. A wraps as the type does, or is a double. */
#define WALK(dtype, T, A) \
    static void walk_##dtype(const cumulative_job *job, int64_t first, int64_t n) \
    { \
        const bool product = job->product, exclusive = job->exclusive; \
        const int64_t step = job->reverse ? -job->inner : job->inner; \
        int64_t at = first + (job->reverse ? (job->size - 1) * job->inner : 0); \
        A running[LINES]; \
        for (int64_t i = 0; i < n; i++) \
            running[i] = product; \
        for (int64_t k = 0; k < job->size; k++, at += step) { \
            const T *x = (const T *)job->x->data + at; \
            T *y = (T *)job->y->data + at; \
            int64_t i = 0; \
            for (A sums[BLOCK]; i + BLOCK <= n && !product && !exclusive; i += BLOCK) { \
                for (int j = 0; j < BLOCK; j++) \
                    sums[j] = running[i + j] + (A)x[i + j]; \
                memcpy(running + i, sums, sizeof sums); \
                for (int j = 0; j < BLOCK; j++) \
                    y[i + j] = (T)sums[j]; \
            } \
            for (; i < n; i++) { \
                const A before = running[i]; \
                running[i] = product ? before * (A)x[i] : before + (A)x[i]; \
                y[i] = (T)(exclusive ? before : running[i]); \
            } \
        } \
    }
WALK(FLOAT, float, double)
WALK(DOUBLE, double, double)
WALK(UINT32, uint32_t, uint32_t)
WALK(UINT64, uint64_t, uint64_t)

/* The same for the types that have no loop of their own. */
static void walk_any(const cumulative_job *job, int64_t first, int64_t n)
{
    for (int64_t line = first; line < first + n; line++) {
        double running = job->product;
        for (int64_t i = 0; i < job->size; i++) {
            const int64_t at = line + (job->reverse ? job->size - 1 - i : i) * job->inner;
            const double before = running, x = ingot_double_at(job->x, at);
            running = job->product ? running * x : running + x;
            ingot_put_double(job->y, at, job->exclusive ? before : running);
        }
    }
}

/* Signed integers are computed as unsigned ones: the bits are the same. */
static void walk(const cumulative_job *job, int64_t first, int64_t n)
{
    switch (job->x->dtype) {
    case INGOT_FLOAT: walk_FLOAT(job, first, n); break;
    case INGOT_DOUBLE: walk_DOUBLE(job, first, n); break;
    case INGOT_INT32: case INGOT_UINT32: walk_UINT32(job, first, n); break;
    case INGOT_INT64: case INGOT_UINT64: walk_UINT64(job, first, n); break;
    default: walk_any(job, first, n);
    }
}

/* Lines [begin, end): each along the axis, at one outer and one inner index. The running value begins at 0 for sums and
 * at 1 for products, which is the number of `product`. With `exclusive` an element gets the value before itself, so the
 * first gets the beginning; with `reverse` the line is walked from its end. */
static void cumulative_part(void *argument, int64_t begin, int64_t end, int thread)
{
    const cumulative_job *job = argument;
    (void)thread;
    for (int64_t line = begin, n; line < end; line += n) {
        const int64_t inner = line % job->inner;
        n = MIN(MIN(LINES, end - line), job->inner - inner);
        walk(job, line / job->inner * job->size * job->inner + inner, n);
    }
}

/* INVALID: an axis out of range. A line is walked by one thread, since each element needs the one before. */
static ingot_status run_cumulative(ingot_op_ctx *c)
{
    const ingot_tensor *x = c->in[0];
    cumulative_job job = {.x = x, .y = c->out[0], .product = !strcmp(c->op->op_type, "CumProd")};
    const int64_t wanted = ingot_int_at(c->in[1], 0);
    int axis = 0;
    if (x->rank == 0 && (wanted == 0 || wanted == -1)) { /* a scalar counts as a list of one */
        job.size = job.inner = 1;
    } else {
        const ingot_status status = ingot_axis(c, wanted, x->rank, &axis);
        if (status)
            return status;
        job.size = x->shape[axis];
        job.inner = ingot_span(x, axis + 1, x->rank);
    }
    if (ingot_count(x) == 0)
        return INGOT_OK;
    /* Without elements a size may be 0, by which the lines cannot be counted; hence the return above. */
    job.reverse = ingot_attr_int(c->node, "reverse", 0) != 0;
    job.exclusive = ingot_attr_int(c->node, "exclusive", 0) != 0;
    ingot_parallel(c->team, ingot_count(x) / job.size, MAX(4096 / job.size, 1), cumulative_part, &job);
    return INGOT_OK;
}

#define SUMMABLE (INGOT_TYPES_FLOAT | INGOT_TYPES_INDEX | INGOT_TYPE(UINT32) | INGOT_TYPE(UINT64))

const ingot_op ingot_ops_cumulative[] = {
    {"CumSum", 11, 2, 2, {SUMMABLE, INGOT_TYPES_INDEX}, infer_cumulative, run_cumulative,
     .flags = INGOT_OP_LONG},
    {"CumProd", 26, 2, 2, {SUMMABLE, INGOT_TYPES_INDEX}, infer_cumulative, run_cumulative,
     .flags = INGOT_OP_LONG},
    {0},
};
