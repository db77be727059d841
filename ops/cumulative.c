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

/* Lines [begin, end): each along the axis, at one outer and one inner index. The running value begins at 0 for sums and
 * at 1 for products, which is the number of `product`. With `exclusive` an element gets the value before itself, so the
 * first gets the beginning; with `reverse` the line is walked from its end. Integers wrap as the type does when they
 * are stored. */
static void cumulative_part(void *argument, int64_t begin, int64_t end, int thread)
{
    const cumulative_job *job = argument;
    const bool integers = ingot_is_integer(job->x->dtype);
    (void)thread;
    for (int64_t line = begin; line < end; line++) {
        const int64_t first = line / job->inner * job->size * job->inner + line % job->inner;
        double real = job->product;
        uint64_t integer = job->product;
        for (int64_t i = 0; i < job->size; i++) {
            /* The line's element in the order of the walk; what was there before it, for `exclusive`. */
            const int64_t at = first + (job->reverse ? job->size - 1 - i : i) * job->inner;
            const double before = real;
            const uint64_t integer_before = integer;
            if (integers) {
                const uint64_t x = (uint64_t)ingot_int_at(job->x, at);
                integer = job->product ? integer * x : integer + x;
                ingot_put_int(job->y, at, (int64_t)(job->exclusive ? integer_before : integer));
            } else {
                const double x = ingot_double_at(job->x, at);
                real = job->product ? real * x : real + x;
                ingot_put_double(job->y, at, job->exclusive ? before : real);
            }
        }
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
