/* quantized_concat.c - QLinearConcat and QLinearSoftmax, as ONNX Runtime's quantizers write them. */
#include <string.h>

#include "ops/axis_copy.h"
#include "ops/quantized.h"

/* Values of a byte: the size of a table. */
enum { BYTES = 256 };

/* ---- QLinearConcat: Y's scale and zero point, then (tensor, scale, zero point) for each part ---- */

enum { Y_SCALE, Y_ZERO, FIRST };

/* The first part's shape, with the sum of sizes along the axis. INVALID when parts differ in rank, type or another
 * dimension, or when inputs do not come in threes. */
static ingot_status infer_concat(ingot_op_ctx *c)
{
    const ingot_tensor *first = c->n_in > FIRST ? c->in[FIRST] : NULL;
    int64_t shape[INGOT_MAX_RANK];
    int axis = 0;
    ingot_status st;

    if (!first || (c->n_in - FIRST) % 3)
        return ingot_op_fail(c, INGOT_INVALID, "%d inputs are not whole parts", c->n_in);
    if ((st = ingot_quantized_check(c, Y_SCALE, 0, 1, INGOT_TYPES_SCALE)) ||
        (st = ingot_quantized_check(c, Y_ZERO, 0, 1, UINT64_C(1) << first->dtype)) ||
        (st = ingot_axis(c, ingot_attr_int(c->node, "axis", 0), first->rank, &axis)))
        return st;
    /* Parts differ along the axis alone, whose sizes add up. */
    memcpy(shape, first->shape, sizeof shape);
    shape[axis] = 0;
    for (int i = FIRST; i < c->n_in; i += 3) {
        const ingot_tensor *t = c->in[i];
        bool fits = t && t->rank == first->rank && t->dtype == first->dtype;
        for (int d = 0; fits && d < t->rank; d++)
            fits = d == axis || t->shape[d] == shape[d];
        if (!fits || __builtin_add_overflow(shape[axis], t->shape[axis], &shape[axis]))
            return ingot_op_fail(c, INGOT_INVALID, "part %d does not fit the first one", (i - FIRST) / 3);
        if ((st = ingot_quantized_check(c, i + 1, 0, 1, INGOT_TYPES_SCALE)) ||
            (st = ingot_quantized_check(c, i + 2, 0, 1, UINT64_C(1) << t->dtype)))
            return st;
    }
    return ingot_out(c, 0, first->dtype, first->rank, shape);
}

/* What each byte of part i becomes: all 256 values through dequantizing and quantizing, which is exact and cheaper
 * than each element for tensors of more. */
static void make_table(const ingot_op_ctx *c, int i, uint8_t *table)
{
    ingot_dot_out limits = { 0 };
    uint8_t all[BYTES];
    float values[BYTES];

    for (int k = 0; k < BYTES; k++)
        all[k] = (uint8_t)k;
    ingot_quantized_out(c->out[0]->dtype, ingot_quantized_zero(c, Y_ZERO), &limits);
    c->kernels->dequantize_i8(values, all, BYTES, c->in[i]->dtype == INGOT_INT8, ingot_quantized_scale(c, i + 1),
                              ingot_quantized_zero(c, i + 2));
    c->kernels->quantize_i8(table, values, BYTES, ingot_quantized_scale(c, Y_SCALE), limits.zero, limits.low,
                            limits.high);
}

/* A part is copied as it is, then goes through its table in place, unless its scale and zero point are Y's. */
static ingot_status run_concat(ingot_op_ctx *c)
{
    const ingot_tensor *y = c->out[0];
    int axis = 0;
    int64_t at = 0;
    const ingot_status st = ingot_axis(c, ingot_attr_int(c->node, "axis", 0), y->rank, &axis);
    const int64_t outer = ingot_span(y, 0, axis), inner = ingot_span(y, axis + 1, y->rank);

    for (int i = FIRST; i < c->n_in && !st; i += 3) {
        const int64_t n = c->in[i]->shape[axis];
        const bool same = ingot_quantized_scale(c, i + 1) == ingot_quantized_scale(c, Y_SCALE) &&
                          ingot_quantized_zero(c, i + 2) == ingot_quantized_zero(c, Y_ZERO);
        uint8_t table[BYTES];

        ingot_copy_axis((ingot_axis_view){ y->data, y->shape[axis], at }, (ingot_axis_view){ c->in[i]->data, n, 0 }, n,
                        outer, (size_t)inner);
        /* Another scale: each byte of the copied part is replaced by what it stands for in Y's. */
        if (!same)
            make_table(c, i, table);
        for (int64_t o = 0; o < outer && !same; o++) {
            uint8_t *to = (uint8_t *)y->data + (o * y->shape[axis] + at) * inner;
            for (int64_t k = 0; k < n * inner; k++)
                to[k] = table[to[k]];
        }
        at += n;
    }
    return st;
}

/* ---- QLinearSoftmax ---- */

/* Inputs; zero points may be missing. */
enum { X, X_SCALE, X_ZERO, R_SCALE, R_ZERO };

/* Y like X. Scales and zero points belong to whole tensors. */
static ingot_status infer_softmax(ingot_op_ctx *c)
{
    const uint64_t type = UINT64_C(1) << c->in[X]->dtype;
    ingot_status st;
    int axis;

    if ((st = ingot_quantized_check(c, X_SCALE, 0, 1, INGOT_TYPES_SCALE)) ||
        (st = ingot_quantized_check(c, X_ZERO, 0, 1, type)) ||
        (st = ingot_quantized_check(c, R_SCALE, 0, 1, INGOT_TYPES_SCALE)) ||
        (st = ingot_quantized_check(c, R_ZERO, 0, 1, type)) ||
        (st = ingot_axis(c, ingot_attr_int(c->node, "axis", -1), c->in[X]->rank, &axis)))
        return st;
    return ingot_out_like(c, 0, c->in[X]);
}

/* Rows of n elements, `inner` apart; before opset 13 everything from the axis on was one row. */
static ingot_status prepare_softmax(ingot_op_ctx *c)
{
    int axis = 0;
    const ingot_status st = ingot_axis(c, ingot_attr_int(c->node, "axis", -1), c->in[X]->rank, &axis);

    ingot_want_scratch(c, sizeof(float) * (size_t)ingot_span(c->in[X], axis, c->in[X]->rank), 0);
    return st;
}

/* Each row is dequantized, goes through the float kernel, and is quantized. */
static ingot_status run_softmax(ingot_op_ctx *c)
{
    const ingot_tensor *x = c->in[X];
    const bool one_row = ingot_attr_int(c->node, "opset", 13) < 13, is_signed = x->dtype == INGOT_INT8;
    float *row = (float *)(void *)c->scratch;
    ingot_dot_out limits = { 0 };
    int axis = 0;
    const ingot_status st = ingot_axis(c, ingot_attr_int(c->node, "axis", -1), x->rank, &axis);
    const int64_t inner = one_row ? 1 : ingot_span(x, axis + 1, x->rank);
    const int64_t n = one_row ? ingot_span(x, axis, x->rank) : x->shape[axis];
    const float x_scale = ingot_quantized_scale(c, X_SCALE), scale = ingot_quantized_scale(c, R_SCALE);
    const int x_zero = ingot_quantized_zero(c, X_ZERO);

    /* Strip by strip: gather as floats, softmax, scatter as bytes. */
    ingot_quantized_out(x->dtype, ingot_quantized_zero(c, R_ZERO), &limits);
    for (int64_t i = 0; i < ingot_count(x) / MAX(n, 1) && !st; i++) {
        const int64_t at = i / inner * n * inner + i % inner;
        const uint8_t *from = (const uint8_t *)x->data + at;
        uint8_t *to = (uint8_t *)c->out[0]->data + at;
        for (int64_t k = 0; k < n; k++)
            c->kernels->dequantize_i8(row + k, from + k * inner, 1, is_signed, x_scale, x_zero);
        c->kernels->softmax_f32(row, row, n);
        for (int64_t k = 0; k < n; k++)
            c->kernels->quantize_i8(to + k * inner, row + k, 1, scale, limits.zero, limits.low, limits.high);
    }
    return st;
}

#define BYTE INGOT_TYPES_BYTE
#define SCALES INGOT_TYPES_SCALE

const ingot_op ingot_ops_quantized_concat[] = {
    { "QLinearConcat", 1, 3, INGOT_MANY, { SCALES, BYTE, BYTE, SCALES, BYTE | SCALES, BYTE | SCALES },
      infer_concat, run_concat, .domain = "com.microsoft" },
    { "QLinearSoftmax", 1, 4, 5, { BYTE, SCALES, BYTE, SCALES, BYTE }, infer_softmax, run_softmax, prepare_softmax,
      .domain = "com.microsoft" },
    { 0 }
};
