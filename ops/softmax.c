/* softmax.c - Softmax, LogSoftmax, Hardmax. Since version 13 they run along one axis; before, along all axes from
 * `axis` on, taken as one. Either way the tensor is (outer, n, inner) and a strip is n elements that lie `inner`
 * apart. Strips of floats side by side are done together, so that vectors run along memory. */
#include <math.h>
#include <string.h>

#include "ops/narrow.h"
#include "ops/weights.h"

/* The operators, by the first letter of their names. */
enum { SOFTMAX, LOG_SOFTMAX, HARDMAX };

enum { WIDTH = 512 };                    /* floats that strips side by side are taken by */

/* One node: strips of n elements, `inner` apart, in each of the three kinds. */
typedef struct softmax_call {
    int64_t n, inner, strips;
    int64_t pieces, width;               /* floats: `inner` strips side by side, in pieces of at most so many */
    int kind;
    ingot_dtype narrow;                  /* 16-bit type that the floats stand for, or UNDEFINED */
    const ingot_op_ctx *ctx;
    const void *x;
    void *y;
    const ingot_kernels *kernels;
} softmax_call;

#define T float
#define TYPED(name) name##_f32
#include "ops/softmax_loops.h"
#undef T
#undef TYPED
#define T double
#define TYPED(name) name##_f64
#include "ops/softmax_loops.h"

/* Y like X; INVALID for an axis out of range. Older versions allow the rank itself. */
static ingot_status infer_softmax(ingot_op_ctx *c)
{
    const int rank = c->in[0]->rank;
    const bool flattens = c->op->until != 0;
    int axis;
    ingot_status st = ingot_axis(c, ingot_attr_int(c->node, "axis", flattens ? 1 : -1), rank + flattens, &axis);
    return st ? st : ingot_out_like(c, 0, c->in[0]);
}

/* Strips from the axis. Scratch: widened copies, and a row for each thread where 16-bit floats are rounded at several
 * steps. */
static ingot_status prepare_softmax(ingot_op_ctx *c)
{
    softmax_call *s = c->state = ingot_keep(c, sizeof *s);
    const ingot_tensor *x = c->in[0];
    const bool flattens = c->op->until != 0;
    int axis;

    if (!s)
        return ingot_op_out_of_memory(c);
    ingot_status st = ingot_axis(c, ingot_attr_int(c->node, "axis", flattens ? 1 : -1), x->rank + flattens, &axis);
    if (st)
        return st;
    /* One axis, or all from it on as one. */
    s->n = flattens ? ingot_span(x, axis, x->rank) : x->shape[axis];
    s->inner = flattens ? 1 : ingot_span(x, axis + 1, x->rank);
    s->strips = ingot_span(x, 0, axis) * s->inner;
    s->pieces = (s->inner + WIDTH / 2 - 1) / (WIDTH / 2);
    s->width = s->pieces ? (s->inner + s->pieces - 1) / s->pieces : 0;
    s->kind = *c->node->op_type == 'S' ? SOFTMAX : *c->node->op_type == 'L' ? LOG_SOFTMAX : HARDMAX;
    s->narrow = s->kind == SOFTMAX && ingot_is_16bit(x->dtype) ? x->dtype : INGOT_UNDEFINED;
    s->kernels = c->kernels;
    ingot_want_scratch(c, ingot_widen_bytes(c), s->narrow ? (size_t)s->n * sizeof(float) : 0);
    return INGOT_OK;
}

/* Task over strips: whole rows by the kernels, else a loop. */
static void run_strips_f32(void *argument, int64_t begin, int64_t end, int thread)
{
    const softmax_call *s = argument;
    const bool rows = s->inner == 1 && s->kind != HARDMAX;

    (void)thread;
    for (int64_t i = begin; i < end; i++) {
        const int64_t at = i / s->inner * s->n * s->inner + i % s->inner;
        if (rows)
            (s->kind == SOFTMAX ? s->kernels->softmax_f32
                                : s->kernels->log_softmax_f32)((float *)s->y + at, (const float *)s->x + at, s->n);
        else
            softmax_strip_f32(s, at);
    }
}

/* `group` rows of `width` numbers, one behind the other: the function of all rows, number by number, ends in each. */
static void fold_rows(const ingot_kernels *kernels, ingot_binary function, float *rows, int64_t width, int64_t group)
{
    for (int64_t left = group; left > 1; left -= left / 2)
        kernels->binary_f32(function, rows, (ingot_operand){ rows, 0 },
                            (ingot_operand){ rows + (left - left / 2) * width, 0 }, left / 2 * width);
    for (int64_t done = 1; done < group; done *= 2)
        memcpy(rows + done * width, rows, (size_t)(MIN(done, group - done) * width) * sizeof *rows);
}

/* `width` strips side by side. Where they are all that there are, several of their rows are one row of vectors: column
 * j of it belongs to strip j % width. Sums are taken by columns first, then over those of a strip. y may be x. */
static void softmax_strips(const softmax_call *s, float *y, const float *x, int64_t width)
{
    const ingot_kernels *k = s->kernels;
    const int64_t n = s->n, group = width == s->inner ? MAX(1, MIN(WIDTH / width, n)) : 1;
    float most[WIDTH], sum[WIDTH], power[WIDTH];
    const ingot_operand mosts = { most, 0 }, sums = { sum, 0 }, powers = { power, 0 };

    memcpy(most, x, (size_t)(group * width) * sizeof *most);
    for (int64_t i = group; i < n; i += group)
        k->binary_f32(INGOT_BINARY_MAX, most, mosts, (ingot_operand){ x + i * s->inner, 0 },
                      MIN(group, n - i) * width);
    fold_rows(k, INGOT_BINARY_MAX, most, width, group);
    /* The exponentials, which only Softmax keeps. */
    memset(sum, 0, (size_t)(group * width) * sizeof *sum);
    for (int64_t i = 0; i < n; i += group) {
        const int64_t count = MIN(group, n - i) * width;
        float *e = s->kind == SOFTMAX ? y + i * s->inner : power;
        k->binary_f32(INGOT_BINARY_SUB, power, (ingot_operand){ x + i * s->inner, 0 }, mosts, count);
        k->map_f32(INGOT_MAP_EXP, e, power, count, 0, 0);
        k->binary_f32(INGOT_BINARY_ADD, sum, sums, (ingot_operand){ e, 0 }, count);
    }
    fold_rows(k, INGOT_BINARY_ADD, sum, width, group);
    if (s->kind == LOG_SOFTMAX)
        k->map_f32(INGOT_MAP_LOG, sum, sum, group * width, 0, 0);
    for (int64_t i = 0; i < n; i += group) {
        const int64_t count = MIN(group, n - i) * width;
        float *to = y + i * s->inner;
        if (s->kind == LOG_SOFTMAX)
            k->binary_f32(INGOT_BINARY_SUB, power, (ingot_operand){ x + i * s->inner, 0 }, mosts, count);
        k->binary_f32(s->kind == SOFTMAX ? INGOT_BINARY_DIV : INGOT_BINARY_SUB, to,
                      s->kind == SOFTMAX ? (ingot_operand){ to, 0 } : powers, sums, count);
    }
}

/* Task over pieces of strips side by side. */
static void run_pieces_f32(void *argument, int64_t begin, int64_t end, int thread)
{
    const softmax_call *s = argument;

    (void)thread;
    for (int64_t i = begin; i < end; i++) {
        const int64_t first = i % s->pieces * s->width, at = i / s->pieces * s->n * s->inner + first;
        softmax_strips(s, (float *)s->y + at, (const float *)s->x + at, MIN(s->width, s->inner - first));
    }
}

/* Strips of 16-bit floats are gathered, since they are rounded at several steps. */
static void run_strips_narrow(void *argument, int64_t begin, int64_t end, int thread)
{
    const softmax_call *s = argument;
    float *row = (float *)(void *)ingot_thread_scratch(s->ctx, thread);

    for (int64_t i = begin; i < end; i++) {
        const int64_t at = i / s->inner * s->n * s->inner + i % s->inner;
        const float *x = (const float *)s->x + at;
        float *y = (float *)s->y + at;
        if (s->inner == 1) {
            memmove(y, x, (size_t)s->n * sizeof *y);
            ingot_softmax_narrow(s->kernels, y, s->n, s->narrow);
            continue;
        }
        for (int64_t k = 0; k < s->n; k++)
            row[k] = x[k * s->inner];
        ingot_softmax_narrow(s->kernels, row, s->n, s->narrow);
        for (int64_t k = 0; k < s->n; k++)
            y[k * s->inner] = row[k];
    }
}

/* Task over strips of doubles. */
static void run_strips_f64(void *argument, int64_t begin, int64_t end, int thread)
{
    const softmax_call *s = argument;

    (void)thread;
    for (int64_t i = begin; i < end; i++)
        softmax_strip_f64(s, i / s->inner * s->n * s->inner + i % s->inner);
}

/* f32 and f64, and 16-bit floats in their widened form. */
static ingot_status run_plain(ingot_op_ctx *c)
{
    softmax_call *s = c->state;

    s->x = c->in[0]->data;
    s->y = c->out[0]->data;
    s->ctx = c;
    if (s->n > 0 && c->in[0]->dtype == INGOT_FLOAT && !s->narrow && s->inner > 1 && s->kind != HARDMAX)
        ingot_parallel(c->team, s->strips / s->inner * s->pieces, 1 + 4096 / s->n / s->width, run_pieces_f32, s);
    else if (s->n > 0)
        ingot_parallel(c->team, s->strips, 1 + 4096 / s->n,
                       s->narrow                            ? run_strips_narrow
                       : c->in[0]->dtype == INGOT_DOUBLE ? run_strips_f64
                                                            : run_strips_f32,
                       s);
    return INGOT_OK;
}

/* 16-bit floats are widened around the loops. */
static ingot_status run_softmax(ingot_op_ctx *c)
{
    return ingot_is_16bit(c->in[0]->dtype) ? ingot_run_widened(c, run_plain) : run_plain(c);
}

/* Two records each: until opset 12 everything from the axis on is one row. */
#define ROWS(name) \
    { name, 1, 1, 1, { INGOT_TYPES_FLOAT }, infer_softmax, run_softmax, .prepare = prepare_softmax, .until = 12, \
      .flags = INGOT_OP_LONG }, \
    { name, 13, 1, 1, { INGOT_TYPES_FLOAT }, infer_softmax, run_softmax, .prepare = prepare_softmax, \
      .flags = INGOT_OP_INPLACE | INGOT_OP_LONG }

const ingot_op ingot_ops_softmax[] = {
    ROWS("Softmax"),
    ROWS("LogSoftmax"),
    ROWS("Hardmax"),
    { 0 }
};
