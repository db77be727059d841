/* quantized_elementwise.c - QLinearAdd and QLinearMul of two tensors of bytes, and functions of one byte
 * (QLinearSigmoid, QLinearLeakyRelu), which are a table of 256 results: as ONNX Runtime's quantizers write them. Each
 * result is that of the float operator on dequantized numbers, quantized again. */
#include <math.h>
#include <string.h>

#include "ops/quantized.h"

/* Inputs of QLinearAdd and QLinearMul; zero points may be missing. */
enum { A, A_SCALE, A_ZERO, B, B_SCALE, B_ZERO, Y_SCALE, Y_ZERO };
enum { GRAIN = 16384, BYTES = 256 };

/* ---- two tensors ---- */

/* The result as (outer indices, runs of n elements), with the operands' steps along each outer dimension. */
typedef struct mix_state {
    int rank;
    int64_t shape[INGOT_MAX_RANK], a_step[INGOT_MAX_RANK], b_step[INGOT_MAX_RANK];
    int64_t n, runs;
    bool a_single, b_single;     /* one element for the whole run */
} mix_state;

/* What the threads share in a run. */
typedef struct mix_work {
    const mix_state *state;
    const ingot_kernels *kernels;
    ingot_mix mix, swapped;      /* swapped: with a and b in each other's place */
    const uint8_t *a, *b;
    uint8_t *y;
} mix_work;

/* All three are of one type; scales and zero points belong to whole tensors. Y's zero point, and those of A and B,
 * may be missing. */
static ingot_status check_mix(ingot_op_ctx *c)
{
    const uint64_t type = UINT64_C(1) << c->in[A]->dtype;
    ingot_status st;

    if ((st = ingot_quantized_check(c, A_SCALE, 0, 1, INGOT_TYPES_SCALE)) ||
        (st = ingot_quantized_check(c, A_ZERO, 0, 1, type)) ||
        (st = ingot_quantized_check(c, B_SCALE, 0, 1, INGOT_TYPES_SCALE)) ||
        (st = ingot_quantized_check(c, B_ZERO, 0, 1, type)) ||
        (st = ingot_quantized_check(c, Y_SCALE, 0, 1, INGOT_TYPES_SCALE)))
        return st;
    return ingot_quantized_check(c, Y_ZERO, 0, 1, type);
}

/* A and B broadcast against each other; the other inputs do not take part. */
static ingot_status infer_mix(ingot_op_ctx *c)
{
    const ingot_tensor *a = c->in[A], *b = c->in[B];
    const int rank = MAX(a->rank, b->rank);
    int64_t shape[INGOT_MAX_RANK];
    const ingot_status st = check_mix(c);

    if (st)
        return st;
    for (int d = 0; d < rank; d++) {
        const int da = d - (rank - a->rank), db = d - (rank - b->rank);
        const int64_t sa = da < 0 ? 1 : a->shape[da], sb = db < 0 ? 1 : b->shape[db];
        if (sa != sb && sa != 1 && sb != 1)
            return ingot_op_fail(c, INGOT_INVALID, "dimension %d of %lld does not broadcast to %lld", d, (long long)sa,
                                 (long long)sb);
        shape[d] = sa == 1 ? sb : sa;
    }
    return ingot_out(c, 0, a->dtype, rank, shape);
}

/* Blocked where both have the result's shape, or B is one number. */
static ingot_layout layout_mix(const ingot_op_ctx *c)
{
    const ingot_tensor *a = c->in[A], *b = c->in[B], *y = c->out[0];
    const bool fits = y->rank >= 3 && y->rank <= 5 && ingot_same_shape(a, y) && ingot_count(y) > 0 &&
                      (ingot_same_shape(b, y) || ingot_count(b) == 1);
    return (ingot_layout){ fits ? INGOT_LAYOUT_FOLLOW : INGOT_LAYOUT_PLAIN,
                           fits ? 1u << A | (ingot_same_shape(b, y) ? 1u << B : 0u) : 0u };
}

/* Element step of tensor t along dimension d of the result of rank `rank`: 0 where it repeats. */
static int64_t step_of(const ingot_tensor *t, int rank, int d)
{
    const int own = d - (rank - t->rank);
    return own < 0 || t->shape[own] == 1 ? 0 : ingot_span(t, own + 1, t->rank);
}

/* Trailing dimensions along which each operand either moves on or repeats are one run; what is left in front are
 * outer dimensions. Blocked tensors are one run of all their bytes, in whatever order those lie. */
static ingot_status prepare_mix(ingot_op_ctx *c)
{
    mix_state *s = c->state = ingot_keep(c, sizeof *s);
    const ingot_tensor *a = c->in[A], *b = c->in[B], *y = c->out[0];

    if (!s)
        return ingot_op_out_of_memory(c);
    s->n = s->runs = 1;
    if (y->layout == INGOT_BLOCKED) {
        s->n = (int64_t)ingot_storage_bytes(y);
        s->b_single = ingot_count(b) == 1 && !ingot_same_shape(b, y);
        return INGOT_OK;
    }
    int d = y->rank;
    /* Take in dimensions from the last one on, as long as both operands behave alike along them. */
    while (d > 0) {
        const bool ones = y->shape[d - 1] == 1;
        const bool a_repeats = step_of(a, y->rank, d - 1) == 0, b_repeats = step_of(b, y->rank, d - 1) == 0;
        if (!ones && s->n > 1 && (a_repeats != s->a_single || b_repeats != s->b_single))
            break;
        if (!ones) {
            s->a_single = a_repeats;
            s->b_single = b_repeats;
        }
        s->n *= y->shape[--d];
    }
    s->rank = d;
    for (int i = 0; i < d; i++) {
        s->shape[i] = y->shape[i];
        s->a_step[i] = step_of(a, y->rank, i);
        s->b_step[i] = step_of(b, y->rank, i);
        s->runs *= y->shape[i];
    }
    return INGOT_OK;
}

/* Elements [from, to) of run `run`: one call of the kernel, whose second operand is the one that may be single. So
 * operands change places when A is. */
static void mix_run(const mix_work *w, int64_t run, int64_t from, int64_t to)
{
    const mix_state *s = w->state;
    int64_t a = 0, b = 0, rest = run;

    for (int d = s->rank - 1; d >= 0; d--) {
        a += rest % s->shape[d] * s->a_step[d];
        b += rest % s->shape[d] * s->b_step[d];
        rest /= s->shape[d];
    }
    const uint8_t *pa = w->a + a + (s->a_single ? 0 : from), *pb = w->b + b + (s->b_single ? 0 : from);
    uint8_t *y = w->y + run * s->n + from;
    if (s->a_single)
        w->kernels->mix_i8(y, pb, pa, to - from, &w->swapped);
    else
        w->kernels->mix_i8(y, pa, pb, to - from, &w->mix);
}

/* Task over elements of the result in order, whichever runs they belong to: few long runs and many short ones are
 * shared out alike. */
static void mix_range(void *argument, int64_t begin, int64_t end, int thread)
{
    const mix_work *w = argument;
    const int64_t n = w->state->n;

    (void)thread;
    while (begin < end) {
        const int64_t run = begin / n, to = MIN(end, (run + 1) * n);
        mix_run(w, run, begin - run * n, to - run * n);
        begin = to;
    }
}

/* Scales are folded so that the kernel multiplies once for each operand: by a_scale / y_scale and b_scale / y_scale
 * for a sum, by a_scale b_scale / y_scale for a product. */
static ingot_status run_mix(ingot_op_ctx *c)
{
    const mix_state *s = c->state;
    const float a_scale = ingot_quantized_scale(c, A_SCALE), b_scale = ingot_quantized_scale(c, B_SCALE);
    const float y_scale = ingot_quantized_scale(c, Y_SCALE);
    const bool product = !strcmp(c->node->op_type, "QLinearMul");
    ingot_dot_out limits = { 0 };
    mix_work w = { .state = s, .kernels = c->kernels, .a = c->in[A]->data, .b = c->in[B]->data,
                   .y = c->out[0]->data };

    ingot_quantized_out(c->out[0]->dtype, ingot_quantized_zero(c, Y_ZERO), &limits);
    w.mix = (ingot_mix){ .product = product, .is_signed = c->out[0]->dtype == INGOT_INT8, .b_single = s->b_single,
                         .a_zero = ingot_quantized_zero(c, A_ZERO), .b_zero = ingot_quantized_zero(c, B_ZERO),
                         .zero = limits.zero, .low = limits.low, .high = limits.high,
                         .a_scale = product ? a_scale * b_scale / y_scale : a_scale / y_scale,
                         .b_scale = b_scale / y_scale };
    /* The same with the operands changed. */
    w.swapped = w.mix;
    w.swapped.b_single = true;
    w.swapped.a_zero = w.mix.b_zero;
    w.swapped.b_zero = w.mix.a_zero;
    if (!product) {
        w.swapped.a_scale = w.mix.b_scale;
        w.swapped.b_scale = w.mix.a_scale;
    }
    if (s->n > 0)
        ingot_parallel(c->team, s->n * s->runs, GRAIN, mix_range, &w);
    return INGOT_OK;
}

/* ---- one tensor ---- */

/* Inputs of the functions of one byte. */
enum { X, X_SCALE, X_ZERO, R_SCALE, R_ZERO };

/* Y like X, with a scale and zero point of its own. */
static ingot_status infer_map(ingot_op_ctx *c)
{
    const uint64_t type = UINT64_C(1) << c->in[X]->dtype;
    ingot_status st;

    if ((st = ingot_quantized_check(c, X_SCALE, 0, 1, INGOT_TYPES_SCALE)) ||
        (st = ingot_quantized_check(c, X_ZERO, 0, 1, type)) ||
        (st = ingot_quantized_check(c, R_SCALE, 0, 1, INGOT_TYPES_SCALE)) ||
        (st = ingot_quantized_check(c, R_ZERO, 0, 1, type)))
        return st;
    return ingot_out_like(c, 0, c->in[X]);
}

/* Byte by byte, so that the order does not matter. */
static ingot_layout layout_map(const ingot_op_ctx *c)
{
    const bool fits = c->in[X]->rank >= 3 && c->in[X]->rank <= 5 && ingot_count(c->in[X]) > 0;
    return (ingot_layout){ fits ? INGOT_LAYOUT_FOLLOW : INGOT_LAYOUT_PLAIN, fits };
}

/* table[x]: what each byte becomes. */
typedef struct table_work {
    uint8_t table[BYTES];
    const uint8_t *x;
    uint8_t *y;
} table_work;

/* Task over bytes. */
static void map_range(void *argument, int64_t begin, int64_t end, int thread)
{
    const table_work *w = argument;

    (void)thread;
    for (int64_t i = begin; i < end; i++)
        w->y[i] = w->table[w->x[i]];
}

/* The operator's float kernel on all 256 numbers, then rounding: exact, and for tensors the cost of a look-up. */
static ingot_status run_map(ingot_op_ctx *c)
{
    const bool sigmoid = !strcmp(c->node->op_type, "QLinearSigmoid");
    const bool is_signed = c->in[X]->dtype == INGOT_INT8;
    ingot_dot_out limits = { 0 };
    table_work w = { .x = c->in[X]->data, .y = c->out[0]->data };
    uint8_t all[BYTES];
    float values[BYTES];

    for (int i = 0; i < BYTES; i++)
        all[i] = (uint8_t)i;
    ingot_quantized_out(c->in[X]->dtype, ingot_quantized_zero(c, R_ZERO), &limits);
    c->kernels->dequantize_i8(values, all, BYTES, is_signed, ingot_quantized_scale(c, X_SCALE),
                              ingot_quantized_zero(c, X_ZERO));
    c->kernels->map_f32(sigmoid ? INGOT_MAP_SIGMOID : INGOT_MAP_LEAKY_RELU, values, values, BYTES,
                        sigmoid ? 0.0f : ingot_attr_float(c->node, "alpha", 0.01f), 0.0f);
    c->kernels->quantize_i8(w.table, values, BYTES, ingot_quantized_scale(c, R_SCALE), limits.zero, limits.low,
                            limits.high);
    ingot_parallel(c->team, (int64_t)ingot_storage_bytes(c->in[X]), GRAIN, map_range, &w);
    return INGOT_OK;
}

#define MIX(name) \
    { name, 1, 7, 8, { INGOT_TYPES_BYTE, INGOT_TYPES_SCALE, INGOT_TYPES_BYTE, INGOT_TYPES_BYTE, INGOT_TYPES_SCALE, \
                       INGOT_TYPES_BYTE | INGOT_TYPES_SCALE }, \
      infer_mix, run_mix, prepare_mix, .layout = layout_mix, .domain = "com.microsoft" }
#define MAP(name) \
    { name, 1, 4, 5, { INGOT_TYPES_BYTE, INGOT_TYPES_SCALE, INGOT_TYPES_BYTE, INGOT_TYPES_SCALE, INGOT_TYPES_BYTE }, \
      infer_map, run_map, .flags = INGOT_OP_INPLACE, .layout = layout_map, .domain = "com.microsoft" }

const ingot_op ingot_ops_quantized_elementwise[] = {
    MIX("QLinearAdd"),
    MIX("QLinearMul"),
    MAP("QLinearLeakyRelu"),
    MAP("QLinearSigmoid"),
    { 0 }
};
