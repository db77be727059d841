/* broadcast.c - the odometer behind ingot_broadcast(): dimensions of size 1 go, neighbours that every input walks alike
 * merge, and what is left innermost has stride 1 or 0 in every input. Work is cut into pieces of rows, so that one long
 * row is shared by the threads as well as many short ones. Short rows go to a function of many, if there is one. */
#include "ops/broadcast.h"

#include <string.h>

enum {
    CHUNK = 512,               /* floats that stand for 16-bit ones at a time; three buffers stay in the L1 cache */
    PIECE = 8192,              /* elements of a row that are handed out together */
    SHORT = 128,               /* elements of a row that does not pay for a call */
};

/* The plan of one broadcast: `rank` outer dimensions that the odometer counts through, and a row of `inner` elements
 * that is cut into `pieces` of at most `piece`. Offsets count elements of each input; a stride of 0 repeats it. */
typedef struct walk {
    ingot_row_fn *row;
    ingot_rows_fn *rows;       /* for short rows, or NULL */
    const void *argument;
    char *out;
    size_t out_bytes;          /* of an element */
    int n_in, rank;            /* rank: of the outer dimensions */
    const char *in[INGOT_BROADCAST_INPUTS];
    size_t in_bytes[INGOT_BROADCAST_INPUTS];
    int step[INGOT_BROADCAST_INPUTS];
    int64_t inner, piece, pieces;
    int64_t shape[INGOT_MAX_RANK];
    int64_t stride[INGOT_MAX_RANK][INGOT_BROADCAST_INPUTS]; /* elements */
} walk;

/* One row, or a piece of it. `at` holds the inputs' offsets. `row` counts all outer dimensions together, because the
 * output is contiguous. */
static void run_piece(const walk *w, int64_t row, const int64_t *at, int64_t begin, int64_t end)
{
    const void *in[INGOT_BROADCAST_INPUTS] = { NULL };

    for (int i = 0; i < w->n_in; i++)
        in[i] = w->in[i] + (size_t)(at[i] + begin * w->step[i]) * w->in_bytes[i];
    w->row(w->out + (size_t)(row * w->inner + begin) * w->out_bytes, in, w->step, end - begin, w->argument);
}

/* `count` whole rows, which differ in the last outer dimension. */
static void run_rows(const walk *w, int64_t row, const int64_t *at, int64_t count)
{
    const void *in[INGOT_BROADCAST_INPUTS] = { NULL };

    for (int i = 0; i < w->n_in; i++)
        in[i] = w->in[i] + (size_t)at[i] * w->in_bytes[i];
    w->rows(w->out + (size_t)(row * w->inner) * w->out_bytes, in, w->step, w->stride[w->rank - 1], count, w->inner,
            w->argument);
}

/* From one row to the one `count` rows further, which the last dimension holds or ends before: where that is at its
 * end it goes back, and the dimension before goes on by one. */
static void advance(const walk *w, int64_t *at, int64_t *index, int64_t count)
{
    for (int d = w->rank - 1; d >= 0; d--, count = 1) {
        index[d] += count;
        const bool wraps = index[d] == w->shape[d];
        for (int i = 0; i < w->n_in; i++)
            at[i] += w->stride[d][i] * (wraps ? count - w->shape[d] : count);
        if (!wraps)
            break;
        index[d] = 0;
    }
}

/* Task over pieces of output rows: finds the index of its first row once, then counts on like an odometer. */
static void walk_range(void *argument, int64_t begin, int64_t end, int thread)
{
    const walk *w = argument;
    int64_t row = begin / w->pieces, piece = begin % w->pieces, rest = row;
    int64_t at[INGOT_BROADCAST_INPUTS] = { 0 }, index[INGOT_MAX_RANK] = { 0 };

    (void)thread;
    /* The index of the first row, digit by digit, and where the inputs are at it. */
    for (int d = w->rank - 1; d >= 0; d--) {
        index[d] = rest % w->shape[d];
        rest /= w->shape[d];
        for (int i = 0; i < w->n_in; i++)
            at[i] += index[d] * w->stride[d][i];
    }
    for (int64_t k = begin, count = 1; k < end; k += count) {
        if (w->rows) {
            count = MIN(end - k, w->shape[w->rank - 1] - index[w->rank - 1]);
            run_rows(w, k, at, count);
            advance(w, at, index, count);
            continue;
        }
        run_piece(w, row, at, piece * w->piece, MIN(w->inner, (piece + 1) * w->piece));
        if (++piece < w->pieces)
            continue;
        piece = 0;
        row++;
        advance(w, at, index, 1);
    }
}

/* Strides of input i over out's dimensions; false when it does not broadcast. Shapes are aligned at their last
 * dimension; what the input lacks in front counts as 1. */
static bool find_strides(walk *w, int i, const ingot_tensor *in, const ingot_tensor *out)
{
    int64_t stride = 1;

    if (in->rank > out->rank)
        return false;
    for (int d = out->rank - 1; d >= 0; d--) {
        const int own = d - (out->rank - in->rank);
        const int64_t size = own < 0 ? 1 : in->shape[own];
        if (size != 1 && size != out->shape[d])
            return false;
        w->stride[d][i] = size == 1 ? 0 : stride;
        stride *= size;
    }
    return true;
}

/* Does every input walk dimension `outer` as the continuation of `inner`? A repeated input has stride 0 in both, which
 * passes as well. */
static bool continues(const walk *w, int outer, int inner)
{
    for (int i = 0; i < w->n_in; i++)
        if (w->stride[outer][i] != w->stride[inner][i] * w->shape[inner])
            return false;
    return true;
}

/* Drop dimensions of one and join neighbours that every input walks through evenly: the innermost row gets as long as
 * it can, and most broadcasts end with rank 0 or 1. On return w->shape and w->stride hold the outer dimensions,
 * w->inner the row and w->step whether it moves (1 or 0). */
static void collapse(walk *w, const ingot_tensor *out)
{
    int n = 0;

    for (int d = 0; d < out->rank; d++) {
        if (out->shape[d] == 1)
            continue;
        w->shape[n] = out->shape[d];
        memmove(w->stride[n], w->stride[d], sizeof w->stride[d]);
        if (n > 0 && continues(w, n - 1, n)) {
            w->shape[n - 1] *= w->shape[n];
            memcpy(w->stride[n - 1], w->stride[n], sizeof w->stride[n]);
        } else {
            n++;
        }
    }
    w->rank = MAX(n - 1, 0);
    w->inner = n ? w->shape[n - 1] : 1;
    for (int i = 0; i < w->n_in; i++)
        w->step[i] = n ? (int)w->stride[n - 1][i] : 0;
}

/* Call row for runs of the output's last dimension, with numpy's broadcasting of the inputs. INVALID if an input does
 * not fit; the check is repeated here because out need not come from shape inference. Tasks take pieces, not rows, so
 * that the grain holds for long and for short rows. */
ingot_status ingot_broadcast_rows(ingot_op_ctx *c, const ingot_tensor *out, ingot_tensor *const *in, int n_in,
                                  int64_t grain, ingot_row_fn *row, ingot_rows_fn *rows, const void *argument)
{
    walk w = { .row = row, .argument = argument, .out = out->data, .out_bytes = ingot_dtype_size_bytes(out->dtype),
               .n_in = n_in };
    const int64_t count = ingot_count(out);

    for (int i = 0; i < n_in; i++) {
        w.in[i] = in[i]->data;
        w.in_bytes[i] = ingot_dtype_size_bytes(in[i]->dtype);
        if (!find_strides(&w, i, in[i], out))
            return ingot_op_fail(c, INGOT_INVALID, "input %d does not broadcast to the output's shape", i);
    }
    if (!count)
        return INGOT_OK;
    collapse(&w, out);
    /* Rows in pieces of nearly equal length, so that no thread gets a short rest. */
    w.pieces = (w.inner + PIECE - 1) / PIECE;
    w.piece = (w.inner + w.pieces - 1) / w.pieces;
    w.rows = w.rank > 0 && w.inner <= SHORT ? rows : NULL;
    ingot_parallel(c->team, count / w.inner * w.pieces, MAX(grain / w.piece, 1), walk_range, &w);
    return INGOT_OK;
}

/* Rows of any length one by one. */
ingot_status ingot_broadcast(ingot_op_ctx *c, const ingot_tensor *out, ingot_tensor *const *in, int n_in, int64_t grain,
                             ingot_row_fn *row, const void *argument)
{
    return ingot_broadcast_rows(c, out, in, n_in, grain, row, NULL, argument);
}

/* A row function for f16 and bf16: widens a chunk of each input, calls the f32 row, rounds back. An operand with step 0
 * is widened once. Bool passes as it is where it is the first input (first_is_bool) or the result (to_bool). */
void ingot_row_narrow(void *dst, const void *const *in, const int *step, int64_t n, const void *narrow)
{
    const ingot_narrow *a = narrow;
    float wide[INGOT_BROADCAST_INPUTS][CHUNK], result[CHUNK];

    for (int64_t at = 0; at < n; at += CHUNK) {
        const int64_t some = MIN(n - at, CHUNK);
        const void *inputs[INGOT_BROADCAST_INPUTS] = { NULL };
        for (int i = 0; i < a->n_in; i++) {
            if (i == 0 && a->first_is_bool) {
                inputs[i] = (const char *)in[i] + at * step[i];
                continue;
            }
            inputs[i] = wide[i];
            if (step[i] || at == 0)
                ingot_widen(a->kernels, wide[i], (const uint16_t *)in[i] + at * step[i], step[i] ? some : 1, a->dtype);
        }
        if (a->to_bool) {
            a->row((char *)dst + at, inputs, step, some, a->argument);
            continue;
        }
        a->row(result, inputs, step, some, a->argument);
        ingot_narrow_to(a->kernels, (uint16_t *)dst + at, result, some, a->dtype);
    }
}
