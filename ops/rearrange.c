/* rearrange.c - copies that treat parts of a tensor differently: ReverseSequence, Trilu. */
#include <string.h>

#include "ops/movement.h"

/* ReverseSequence: the batch and time axes are the first two, in either order; one length for each batch entry. Y is
 * like X. INVALID for other axes or another number of lengths. */
static ingot_status infer_reverse(ingot_op_ctx *c)
{
    const ingot_tensor *x = c->in[0], *lengths = c->in[1];
    const int64_t batch = ingot_attr_int(c->node, "batch_axis", 1), time = ingot_attr_int(c->node, "time_axis", 0);
    if (x->rank < 2 || batch < 0 || batch > 1 || time != 1 - batch)
        return ingot_op_fail(c, INGOT_INVALID, "'batch_axis' %lld and 'time_axis' %lld must be 0 and 1, or 1 and 0",
                             (long long)batch, (long long)time);
    if (lengths->rank != 1 || lengths->shape[0] != x->shape[batch])
        return ingot_op_fail(c, INGOT_INVALID, "'sequence_lens' must have %lld elements", (long long)x->shape[batch]);
    return ingot_out_like(c, 0, x);
}

/* The first 'length' steps are turned round, the others copied; a length outside of 0 to steps is INVALID. */
static ingot_status run_reverse(ingot_op_ctx *c)
{
    const ingot_tensor *x = c->in[0];
    const int64_t batch_axis = ingot_attr_int(c->node, "batch_axis", 1);
    const int64_t n_batches = x->shape[batch_axis], n_steps = x->shape[1 - batch_axis];
    const size_t run_bytes = (size_t)ingot_span(x, 2, x->rank) * ingot_dtype_size_bytes(x->dtype);
    /* A step of a sequence is `run_bytes` long; both axes in front of it are walked in runs. */
    const int64_t batch_step = batch_axis == 0 ? n_steps : 1, time_step = batch_axis == 0 ? 1 : n_batches;
    for (int64_t b = 0; b < n_batches; b++) {
        const int64_t length = ingot_int_at(c->in[1], b);
        if (length < 0 || length > n_steps)
            return ingot_op_fail(c, INGOT_INVALID, "length %lld of sequence %lld is outside of 0 to %lld",
                                 (long long)length, (long long)b, (long long)n_steps);
        for (int64_t t = 0; t < n_steps && run_bytes; t++) {
            const int64_t from = t < length ? length - 1 - t : t;
            memcpy((char *)c->out[0]->data + (size_t)(b * batch_step + t * time_step) * run_bytes,
                   (const char *)x->data + (size_t)(b * batch_step + from * time_step) * run_bytes, run_bytes);
        }
    }
    return INGOT_OK;
}

/* X (..., M, N), k one number: which diagonal divides the matrix, 0 when it is left out. Y is like X. */
static ingot_status infer_trilu(ingot_op_ctx *c)
{
    if (c->in[0]->rank < 2)
        return ingot_op_fail(c, INGOT_INVALID, "input has rank %d, expected at least 2", c->in[0]->rank);
    if (ingot_has(c, 1) && ingot_count(c->in[1]) != 1)
        return ingot_op_fail(c, INGOT_INVALID, "'k' has %lld elements, expected 1", (long long)ingot_count(c->in[1]));
    return ingot_out_like(c, 0, c->in[0]);
}

/* All matrices of X one behind the other, `rows` rows each; k is clamped. */
typedef struct trilu_job {
    const char *from;
    char *to;
    size_t item_bytes;
    int64_t rows, columns, k;
    bool upper;
    const void *zero;                   /* NULL where it is bytes of 0: not of strings */
} trilu_job;

/* Rows [begin, end) of all matrices: the part on one side of the diagonal is copied, the other is 0. */
static void trilu_part(void *argument, int64_t begin, int64_t end, int thread)
{
    const trilu_job *job = argument;
    const size_t item = job->item_bytes, row_bytes = (size_t)job->columns * item;
    (void)thread;
    for (int64_t r = begin; r < end; r++) {
        char *to = job->to + (size_t)r * row_bytes;
        /* Where the kept part of the row begins (upper) or ends (lower). */
        const int64_t diagonal = MAX(MIN(r % job->rows + job->k + !job->upper, job->columns), 0);
        const int64_t kept = job->upper ? diagonal : 0, past = job->upper ? job->columns : diagonal;
        const int64_t zeroed = job->upper ? 0 : diagonal, zero_end = job->upper ? diagonal : job->columns;
        memcpy(to + (size_t)kept * item, job->from + (size_t)r * row_bytes + (size_t)kept * item,
               (size_t)(past - kept) * item);
        if (!job->zero)
            memset(to + (size_t)zeroed * item, 0, (size_t)(zero_end - zeroed) * item);
        for (int64_t i = zeroed; job->zero && i < zero_end; i++)
            memcpy(to + (size_t)i * item, job->zero, item);
    }
}

/* k is clamped to the matrix, so that row + k cannot overflow. */
static ingot_status run_trilu(ingot_op_ctx *c)
{
    const ingot_tensor *x = c->in[0];
    const int64_t rows = x->shape[x->rank - 2], columns = x->shape[x->rank - 1];
    const int64_t k = ingot_has(c, 1) ? ingot_int_at(c->in[1], 0) : 0;
    /* One diagonal past either corner means all or nothing, so that a larger k says no more. */
    trilu_job job = {.from = x->data, .to = c->out[0]->data, .item_bytes = ingot_dtype_size_bytes(x->dtype),
                     .rows = rows, .columns = columns, .k = MAX(MIN(k, columns), -rows - 1),
                     .upper = ingot_attr_int(c->node, "upper", 1) != 0,
                     .zero = x->dtype == INGOT_STRING ? ingot_zero_of(x->dtype) : NULL};
    if (ingot_count(x))
        ingot_parallel(c->team, ingot_count(x) / columns, MAX(16384 / columns, 1), trilu_part, &job);
    return INGOT_OK;
}

const ingot_op ingot_ops_rearrange[] = {
    {"ReverseSequence", 10, 2, 2, {INGOT_TYPES_ALL, INGOT_TYPE(INT64)}, infer_reverse, run_reverse},
    {"Trilu", 14, 1, 2, {INGOT_TYPES_ALL, INGOT_TYPE(INT64)}, infer_trilu, run_trilu, .flags = INGOT_OP_LONG},
    {0},
};
