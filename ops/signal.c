/* signal.c - DFT and STFT: lines of a tensor are read into double, transformed there, and written. Complex tensors have
 * a last dimension of 2, real ones of 1. */
#include <string.h>

#include "ops/fft.h"
#include "ops/scalar.h"

/* Inputs of DFT and, after the signal, of STFT; all but the signal (and STFT's step) may be missing. */
enum { SIGNAL, LENGTH, AXIS };
enum { STEP = 1, WINDOW, FRAME_LENGTH };

/* Lines of a tensor (outer, length, inner, parts); a line of the result has `bins` of `parts_out`. STFT: outer is the
 * batch, and a line is one of `frames` windows that begin `step` apart. */
typedef struct signal {
    ingot_fft fft;
    int64_t outer, length, inner, parts, bins, parts_out;
    int64_t frames, step;
    bool inverse, onesided;
    const ingot_op_ctx *ctx;
} signal;

/* One integer from input i, `otherwise` when it is left out. LATER while it is not known. */
static ingot_status read_scalar(ingot_op_ctx *c, int i, int64_t otherwise, int64_t *value)
{
    int n;
    ingot_status st = ingot_ints(c, i, value, 1, &n);

    if (!st && ingot_has(c, i) && n != 1)
        return ingot_op_fail(c, INGOT_INVALID, "input %d must be one number", i);
    if (!st && !ingot_has(c, i))
        *value = otherwise;
    return st;
}

/* Outputs of an n-point transform that are kept: with onesided the first half, as the rest of a real signal's
 * spectrum mirrors it. */
static int64_t kept_bins(const signal *s, int64_t n) { return s->onesided && !s->inverse ? n / 2 + 1 : n; }

/* DFT's sizes. dft_length cuts the signal or fills it with zeros; an inverse onesided transform takes half a spectrum
 * and gives real numbers, 2 (length - 1) of them by default. INVALID for the last dimension as the axis. */
static ingot_status read_dft(ingot_op_ctx *c, signal *s, int *axis)
{
    const ingot_tensor *x = c->in[SIGNAL];
    int64_t wanted, n;
    ingot_status st;

    memset(s, 0, sizeof *s);
    if (x->rank < 2 || (x->shape[x->rank - 1] != 1 && x->shape[x->rank - 1] != 2))
        return ingot_op_fail(c, INGOT_INVALID, "the signal's last dimension must be 1 or 2");
    if ((st = read_scalar(c, AXIS, -2, &wanted)) || (st = ingot_axis(c, wanted, x->rank, axis)))
        return st;
    if (*axis == x->rank - 1)
        return ingot_op_fail(c, INGOT_INVALID, "the last dimension cannot be transformed");
    /* The lines: along the axis, with the last dimension as parts of a number. */
    s->inverse = ingot_attr_int(c->node, "inverse", 0) != 0;
    s->onesided = ingot_attr_int(c->node, "onesided", 0) != 0;
    s->outer = ingot_span(x, 0, *axis);
    s->length = x->shape[*axis];
    s->inner = ingot_span(x, *axis + 1, x->rank - 1);
    s->parts = x->shape[x->rank - 1];
    s->parts_out = s->inverse && s->onesided ? 1 : 2;
    s->frames = 1;
    if ((st = read_scalar(c, LENGTH, s->inverse && s->onesided ? 2 * (s->length - 1) : s->length, &n)))
        return st;
    if (n < 1 || n > INT64_C(1) << 40)
        return ingot_op_fail(c, INGOT_INVALID, "a transform of length %lld is not possible", (long long)n);
    s->fft.n = n;
    s->bins = kept_bins(s, n);
    return INGOT_OK;
}

/* X's shape with the axis as long as the kept outputs. */
static ingot_status infer_dft(ingot_op_ctx *c)
{
    int64_t shape[INGOT_MAX_RANK];
    const ingot_tensor *x = c->in[SIGNAL];
    signal s;
    int axis;
    ingot_status st = read_dft(c, &s, &axis);

    if (st)
        return st;
    memcpy(shape, x->shape, sizeof shape);
    shape[axis] = s.bins;
    shape[x->rank - 1] = s.parts_out;
    return ingot_out(c, 0, x->dtype, x->rank, shape);
}

/* STFT's sizes: signal (batch, length, 1 or 2); frame_length is the window's, or all of the signal when both are left
 * out. INVALID when frames do not fit. */
static ingot_status read_stft(ingot_op_ctx *c, signal *s)
{
    const ingot_tensor *x = c->in[SIGNAL], *window = ingot_has(c, WINDOW) ? c->in[WINDOW] : NULL;
    int64_t n;
    ingot_status st;

    memset(s, 0, sizeof *s);
    if (x->rank != 3 || (x->shape[2] != 1 && x->shape[2] != 2) || (window && window->rank != 1))
        return ingot_op_fail(c, INGOT_INVALID,
                             "the signal must have shape (batch, length, 1 or 2), and the window rank 1");
    /* The frames of each signal of the batch. */
    s->onesided = ingot_attr_int(c->node, "onesided", 1) != 0;
    s->outer = x->shape[0];
    s->length = x->shape[1];
    s->inner = 1;
    s->parts = x->shape[2];
    s->parts_out = 2;
    if ((st = read_scalar(c, STEP, 1, &s->step)) ||
        (st = read_scalar(c, FRAME_LENGTH, window ? window->shape[0] : s->length, &n)))
        return st;
    if (s->step < 1 || n < 1 || n > s->length || (window && window->shape[0] != n))
        return ingot_op_fail(c, INGOT_INVALID, "frames of %lld, %lld apart, do not fit a signal of %lld or the window",
                             (long long)n, (long long)s->step, (long long)s->length);
    s->fft.n = n;
    s->frames = (s->length - n) / s->step + 1;
    s->bins = kept_bins(s, n);
    return INGOT_OK;
}

/* (batch, frames, bins, 2). */
static ingot_status infer_stft(ingot_op_ctx *c)
{
    signal s;
    ingot_status st = read_stft(c, &s);
    return st ? st : ingot_out(c, 0, c->in[SIGNAL]->dtype, 4, (int64_t[]){ s.outer, s.frames, s.bins, 2 });
}

/* Tables for the length once per plan; scratch of a thread: a complex line, and what its transform needs. */
static ingot_status prepare_signal(ingot_op_ctx *c)
{
    signal *s = c->state = ingot_keep(c, sizeof *s);
    int axis;
    ingot_status st;

    if (!s)
        return ingot_op_out_of_memory(c);
    if ((st = *c->op->op_type == 'S' ? read_stft(c, s) : read_dft(c, s, &axis)))
        return st;
    if (!ingot_fft_plan(c, s->fft.n, &s->fft))
        return ingot_op_out_of_memory(c);
    ingot_want_scratch(c, 0, (size_t)(2 * s->fft.n + ingot_fft_scratch(&s->fft)) * sizeof(double));
    c->kernel = s->fft.chirp ? "chirp" : "power of two";
    return INGOT_OK;
}

/* Element j of the line that begins at element `at` (counted in values of `parts`); zero past the signal's end. */
static void read_value(const signal *s, int64_t at, int64_t j, int64_t limit, double value[2])
{
    const ingot_tensor *x = s->ctx->in[SIGNAL];
    const int64_t from = (at + j * s->inner) * s->parts;

    value[0] = j < limit ? ingot_double_at(x, from) : 0;
    value[1] = j < limit && s->parts == 2 ? ingot_double_at(x, from + 1) : 0;
}

/* One side of a symmetric spectrum gives the whole of it: value n - k is the conjugate of value k. */
static void read_half(const signal *s, int64_t at, double *line)
{
    const int64_t n = s->fft.n;

    for (int64_t k = 0; k <= n / 2; k++) {
        double value[2];
        read_value(s, at, k, s->length, value);
        /* These are their own mirror image, and real. */
        if (k == 0 || 2 * k == n)
            value[1] = 0;
        line[2 * k] = line[2 * ((n - k) % n)] = value[0];
        line[2 * ((n - k) % n) + 1] = -value[1];
        line[2 * k + 1] = value[1];
    }
}

/* Task over lines [begin, end), counted through outer, frames and inner: read, window, transform, write. */
static void transform_lines(void *argument, int64_t begin, int64_t end, int thread)
{
    const signal *s = argument;
    const ingot_tensor *window = *s->ctx->op->op_type == 'S' && ingot_has(s->ctx, WINDOW) ? s->ctx->in[WINDOW] : NULL;
    const int64_t n = s->fft.n;
    double *line = (double *)(void *)ingot_thread_scratch(s->ctx, thread);

    for (int64_t i = begin; i < end; i++) {
        const int64_t inner = i % s->inner, frame = i / s->inner % s->frames, outer = i / s->inner / s->frames;
        const int64_t at = (outer * s->length + frame * s->step) * s->inner + inner;
        if (s->inverse && s->onesided)
            read_half(s, at, line);
        else
            for (int64_t j = 0; j < n; j++)
                read_value(s, at, j, s->length, line + 2 * j);
        for (int64_t j = 0; j < 2 * n && window; j++)
            line[j] *= ingot_double_at(window, j / 2);
        ingot_fft_run(&s->fft, line, line + 2 * n, s->inverse);
        /* The line's place in the result, whose bins lie `inner` apart. */
        const int64_t to = ((outer * s->frames + frame) * s->bins * s->inner + inner) * s->parts_out;
        for (int64_t k = 0; k < s->bins; k++)
            for (int64_t part = 0; part < s->parts_out; part++)
                ingot_put_double(s->ctx->out[0], to + k * s->inner * s->parts_out + part, line[2 * k + part]);
    }
}

/* Lines are shared out, many short ones to a task. */
static ingot_status run_signal(ingot_op_ctx *c)
{
    signal *s = c->state;

    s->ctx = c;
    ingot_parallel(c->team, s->outer * s->frames * s->inner, 1 + 1024 / s->fft.n, transform_lines, s);
    return INGOT_OK;
}

#define F INGOT_TYPES_FLOAT
#define I INGOT_TYPES_INDEX

const ingot_op ingot_ops_signal[] = {
    { "DFT", 20, 1, 3, { F, I, I }, infer_dft, run_signal, .prepare = prepare_signal },
    { "STFT", 17, 2, 4, { F, I, F, I }, infer_stft, run_signal, .prepare = prepare_signal },
    {0},
};
