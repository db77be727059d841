/* arithmetic.c - Add, Sub, Mul, Div, Min, Max, Sum, Mean and PRelu, with NumPy broadcasting. float runs on the
 * kernels, 16-bit floats through them, the other types through the loops of row_loops.h. Integers wrap; x / 0 is 0.
 *
 * Blocked tensors: inputs of the output's shape are blocked too; the others are plain and are one number, or one number
 * for each channel (of each image), which repeats in the lanes of a block. */
#include <string.h>

#include "ops/row_loops.h"
#include "ops/weights.h"

/* ---- rows: T and W are the element type and the unsigned type that wraps ---- */

/* What becomes of x and y. Integers are computed in W, because overflow of a signed type is undefined in C. An integer
 * divided by 0 gives 0, since the instruction would trap; so would the lowest number divided by -1, hence the
 * negation. */
#define add_of(T, W) (T)((W)x + (W)y)
#define sub_of(T, W) (T)((W)x - (W)y)
#define mul_of(T, W) (T)((W)x * (W)y)
#define div_of(T, W) (T)(y == 0 ? 0 : y == (T)-1 ? (T)((W)0 - (W)x) : (T)(x / y))
#define quotient_of(T, W) (T)(y == 0 ? 0 : x / y)
#define min_of(T, W) (y < x ? y : x)
#define max_of(T, W) (x < y ? y : x)
#define prelu_of(T, W) (T)(x < 0 ? (T)((W)x * (W)y) : x)
#define keep_of(T, W) ((void)y, x)

#define ROW(op, dtype, T, W) INGOT_ROW(op##_##dtype, T, T, T, op##_of(T, W))
/* Sums, differences and products of int32 are what models have many of, beside floats. */
#define LOOPS_INT8
#define LOOPS_INT16
#define LOOPS_INT32 INGOT_VECTOR_LOOPS
#define LOOPS_INT64
#define LOOPS_UINT8
#define LOOPS_UINT16
#define LOOPS_UINT32
#define LOOPS_UINT64
#define USUAL_ROW(op, dtype, T, W) LOOPS_##dtype ROW(op, dtype, T, W)
INGOT_INTEGER_ROWS(USUAL_ROW, add)
INGOT_INTEGER_ROWS(USUAL_ROW, sub)
INGOT_INTEGER_ROWS(USUAL_ROW, mul)
INGOT_SIGNED_ROWS(ROW, div)
INGOT_UNSIGNED_ROWS(ROW, quotient)
INGOT_INTEGER_ROWS(ROW, min)
INGOT_INTEGER_ROWS(ROW, max)
INGOT_SIGNED_ROWS(ROW, prelu)
INGOT_UNSIGNED_ROWS(ROW, keep)
INGOT_ROW(add_DOUBLE, double, double, double, x + y)
INGOT_ROW(sub_DOUBLE, double, double, double, x - y)
INGOT_ROW(mul_DOUBLE, double, double, double, x * y)
INGOT_ROW(div_DOUBLE, double, double, double, x / y)
/* x != x: a NaN on the left stays; one on the right comes through because comparing with it is false. */
INGOT_ROW(min_DOUBLE, double, double, double, x != x || x < y ? x : y)
INGOT_ROW(max_DOUBLE, double, double, double, x != x || x > y ? x : y)
INGOT_ROW(prelu_DOUBLE, double, double, double, x < 0 ? x * y : x)

/* The row function of each operation and element type; NULL where ONNX does not have the pair. FLOAT goes to the
 * kernels. */
static ingot_row_fn *const rows[INGOT_N_BINARIES][INGOT_N_DTYPES] = {
    [INGOT_BINARY_ADD] = { INGOT_INTEGER_ROWS(INGOT_ROW_ENTRY, add) [INGOT_DOUBLE] = add_DOUBLE },
    [INGOT_BINARY_SUB] = { INGOT_INTEGER_ROWS(INGOT_ROW_ENTRY, sub) [INGOT_DOUBLE] = sub_DOUBLE },
    [INGOT_BINARY_MUL] = { INGOT_INTEGER_ROWS(INGOT_ROW_ENTRY, mul) [INGOT_DOUBLE] = mul_DOUBLE },
    [INGOT_BINARY_DIV] = { INGOT_SIGNED_ROWS(INGOT_ROW_ENTRY, div) INGOT_UNSIGNED_ROWS(INGOT_ROW_ENTRY, quotient)
                           [INGOT_DOUBLE] = div_DOUBLE },
    [INGOT_BINARY_MIN] = { INGOT_INTEGER_ROWS(INGOT_ROW_ENTRY, min) [INGOT_DOUBLE] = min_DOUBLE },
    [INGOT_BINARY_MAX] = { INGOT_INTEGER_ROWS(INGOT_ROW_ENTRY, max) [INGOT_DOUBLE] = max_DOUBLE },
    [INGOT_BINARY_PRELU] = { INGOT_SIGNED_ROWS(INGOT_ROW_ENTRY, prelu) INGOT_UNSIGNED_ROWS(INGOT_ROW_ENTRY, keep)
                             [INGOT_DOUBLE] = prelu_DOUBLE },
};

/* What row_float() needs besides its operands. */
typedef struct float_row {
    const ingot_kernels *kernels;
    ingot_binary function;
} float_row;

/* One broadcast row of f32 for ingot_broadcast: a step of 0 marks an operand that is one repeated number. */
static void row_float(void *dst, const void *const *in, const int *step, int64_t n, const void *argument)
{
    const float_row *f = argument;
    f->kernels->binary_f32(f->function, dst, (ingot_operand){ in[0], !step[0] }, (ingot_operand){ in[1], !step[1] }, n);
}

/* Many short ones. */
static void rows_float(void *dst, const void *const *in, const int *step, const int64_t *row_step, int64_t count,
                       int64_t n, const void *argument)
{
    const float_row *f = argument;
    f->kernels->binary_rows_f32(f->function, dst, (ingot_operand){ in[0], !step[0] }, row_step[0],
                                (ingot_operand){ in[1], !step[1] }, row_step[1], count, n);
}

/* ---- blocked tensors ---- */

/* How input i of a blocked operation is read. */
typedef struct lanes {
    const float *p;
    bool full;                 /* laid out as the output */
    int64_t image, channel;    /* else: steps from image to image and channel to channel; 0 where it repeats */
} lanes;

/* Does the plain tensor `in` hold one number for everything, or for each channel? Its steps go to *l. */
static bool reads_lanes(const ingot_tensor *in, const ingot_tensor *out, lanes *l)
{
    const int shift = out->rank - in->rank;

    if (shift < 0 || out->rank < 2)
        return false;
    for (int d = 0; d < in->rank; d++)
        if (in->shape[d] != 1 && (d + shift > 1 || in->shape[d] != out->shape[d + shift]))
            return false;
    /* An input of fewer dimensions lacks the first ones: it has no images of its own, perhaps no channels. */
    const int64_t channels = shift <= 1 ? in->shape[1 - shift] : 1;
    l->channel = channels != 1;
    l->image = shift == 0 && in->shape[0] != 1 ? channels : 0;
    return true;
}

/* A blocked operation, as its tasks share it. Block `at` of the output is block at % blocks of image at / blocks. */
typedef struct blocked_work {
    const ingot_kernels *kernels;
    ingot_binary function;
    lanes in[2];
    float *out;
    int64_t channels, blocks, row; /* row: floats of one block of 8 channels */
} blocked_work;

/* Input `l` for block `at`; lanes that repeat are gathered into `buffer`. */
static ingot_operand block_operand(const blocked_work *w, const lanes *l, int64_t at, float buffer[INGOT_BLOCK])
{
    const int64_t image = at / w->blocks, first = at % w->blocks * INGOT_BLOCK;

    if (l->full)
        return (ingot_operand){ l->p + at * w->row, 0 };
    for (int64_t k = 0; k < INGOT_BLOCK; k++)
        buffer[k] = l->p[image * l->image + MIN(first + k, w->channels - 1) * l->channel];
    return (ingot_operand){ buffer, INGOT_BLOCK };
}

/* Task over (image, channel block) pairs of a blocked output; each pair is one contiguous row of pixels *
 * INGOT_BLOCK floats. */
static void run_blocks(void *argument, int64_t begin, int64_t end, int thread)
{
    const blocked_work *w = argument;
    float x[INGOT_BLOCK], y[INGOT_BLOCK];

    (void)thread;
    for (int64_t at = begin; at < end; at++)
        w->kernels->binary_f32(w->function, w->out + at * w->row, block_operand(w, &w->in[0], at, x),
                               block_operand(w, &w->in[1], at, y), w->row);
}

/* The output is in blocks of channels: an operand is either blocked too, or small enough to be read lane by lane.
 * Anything else is a layout this family should not have offered, hence UNSUPPORTED. */
static ingot_status run_blocked(ingot_op_ctx *c, ingot_binary function)
{
    const ingot_tensor *out = c->out[0];
    const int64_t channels = out->shape[1], blocks = (channels + INGOT_BLOCK - 1) / INGOT_BLOCK;
    blocked_work w = { .kernels = c->kernels, .function = function, .out = out->data, .channels = channels,
                       .blocks = blocks, .row = ingot_span(out, 2, out->rank) * INGOT_BLOCK };

    for (int i = 0; i < 2; i++) {
        w.in[i].p = c->in[i]->data;
        w.in[i].full = c->in[i]->layout == INGOT_BLOCKED;
        if (!w.in[i].full && !reads_lanes(c->in[i], out, &w.in[i]))
            return ingot_op_fail(c, INGOT_UNSUPPORTED, "input %d does not fit a blocked output", i);
    }
    ingot_parallel(c->team, out->shape[0] * blocks, MAX(32768 / MAX(w.row, 1), 1), run_blocks, &w);
    return INGOT_OK;
}

/* Channels that do not fill the last block leave lanes of arbitrary numbers, which a division may make infinite; they
 * must stay finite, so that weights of 0 cancel them. An input takes part as blocked when it has the output's shape,
 * else it must be one number, or one for each channel. */
static ingot_layout follow_blocked(const ingot_op_ctx *c)
{
    const ingot_tensor *out = c->out[0];
    ingot_layout layout = { INGOT_LAYOUT_FOLLOW, 0 };

    if (!out || out->dtype != INGOT_FLOAT || out->rank < 3 || c->n_in != 2)
        return (ingot_layout){ INGOT_LAYOUT_PLAIN, 0 };
    if (!strcmp(c->op->op_type, "Div") && out->shape[1] % INGOT_BLOCK)
        return (ingot_layout){ INGOT_LAYOUT_PLAIN, 0 };
    /* Each input: blocked with the output, or small enough to be read lane by lane. */
    for (int i = 0; i < 2; i++) {
        lanes unused;
        if (ingot_same_shape(c->in[i], out))
            layout.inputs |= UINT32_C(1) << i;
        else if (!reads_lanes(c->in[i], out, &unused))
            return (ingot_layout){ INGOT_LAYOUT_PLAIN, 0 };
    }
    if (!layout.inputs)
        layout.kind = INGOT_LAYOUT_PLAIN;
    return layout;
}

/* ---- operators ---- */

/* out = x function y with ONNX (numpy) broadcasting; 16-bit floats are computed in f32 a chunk at a time. out may
 * be x or y themselves when the shapes agree. */
static ingot_status apply(ingot_op_ctx *c, ingot_binary function, ingot_tensor *x, ingot_tensor *y, ingot_tensor *out)
{
    const float_row f = { c->kernels, function };
    const ingot_narrow narrow = { c->kernels, .row = row_float, .argument = &f, .dtype = out->dtype, .n_in = 2 };
    ingot_tensor *const in[] = { x, y };

    if (out->dtype == INGOT_FLOAT)
        return ingot_broadcast_rows(c, out, in, 2, 32768, row_float, rows_float, &f);
    if (out->dtype == INGOT_FLOAT16 || out->dtype == INGOT_BFLOAT16)
        return ingot_broadcast(c, out, in, 2, 8192, ingot_row_narrow, &narrow);
    if (!rows[function][out->dtype])
        return ingot_op_fail(c, INGOT_UNSUPPORTED, "element type %s", ingot_dtype_name(out->dtype));
    return ingot_broadcast(c, out, in, 2, 16384, rows[function][out->dtype], NULL);
}

/* The two-input operators: layout decides between the blocked rows and the broadcasting walk. INVALID where an input
 * does not broadcast to the output. */
static ingot_status run_pair(ingot_op_ctx *c, ingot_binary function)
{
    if (c->out[0]->layout == INGOT_BLOCKED)
        return run_blocked(c, function);
    return apply(c, function, c->in[0], c->in[1], c->out[0]);
}

/* Min, Max, Sum and Mean take one input or more and fold from the left; the output holds the running result, so no
 * scratch is needed. */
static ingot_status run_many(ingot_op_ctx *c, ingot_binary function)
{
    ingot_tensor *out = c->out[0];

    if (c->n_in == 1) {
        if (out->data != c->in[0]->data)
            memcpy(out->data, c->in[0]->data, ingot_storage_bytes(out));
        return INGOT_OK;
    }
    ingot_status st = run_pair(c, function);
    for (int i = 2; i < c->n_in && !st; i++)
        st = apply(c, function, out, c->in[i], out);
    return st;
}

/* The functions that the table below names, one for each operator. */
static ingot_status run_add(ingot_op_ctx *c) { return run_pair(c, INGOT_BINARY_ADD); }
static ingot_status run_sub(ingot_op_ctx *c) { return run_pair(c, INGOT_BINARY_SUB); }
static ingot_status run_mul(ingot_op_ctx *c) { return run_pair(c, INGOT_BINARY_MUL); }
static ingot_status run_div(ingot_op_ctx *c) { return run_pair(c, INGOT_BINARY_DIV); }
static ingot_status run_prelu(ingot_op_ctx *c) { return run_pair(c, INGOT_BINARY_PRELU); }
static ingot_status run_min(ingot_op_ctx *c) { return run_many(c, INGOT_BINARY_MIN); }
static ingot_status run_max(ingot_op_ctx *c) { return run_many(c, INGOT_BINARY_MAX); }
/* Are terms added up in float, beside the output, and the result rounded once? */
static bool sums_aside(const ingot_op_ctx *c)
{
    return c->out[0] && c->n_in > 1 && (c->out[0]->dtype == INGOT_FLOAT16 || c->out[0]->dtype == INGOT_BFLOAT16);
}

/* Scratch memory of that way: the sum, then the term that is added to it. */
static ingot_status prepare_sum(ingot_op_ctx *c)
{
    int64_t most = 0;

    if (!sums_aside(c))
        return INGOT_OK;
    for (int i = 0; i < c->n_in; i++)
        most = MAX(most, ingot_count(c->in[i]));
    ingot_want_scratch(c, ingot_aligned_bytes(ingot_count(c->out[0]), sizeof(float)) +
                              ingot_aligned_bytes(most, sizeof(float)), 0);
    return INGOT_OK;
}

/* The sum starts at -0, which leaves every first term what it is, -0 too. */
static ingot_status sum_aside(ingot_op_ctx *c, bool divide)
{
    const int64_t n = ingot_count(c->out[0]);
    float *total = (float *)(void *)c->scratch, count = (float)c->n_in;
    ingot_tensor sum = *c->out[0], divisor = { .dtype = INGOT_FLOAT, .data = &count };
    ingot_status st = INGOT_OK;

    sum.dtype = INGOT_FLOAT;
    sum.data = total;
    for (int64_t i = 0; i < n; i++)
        total[i] = -0.0f;
    for (int i = 0; i < c->n_in && !st; i++) {
        ingot_tensor term = *c->in[i];
        term.dtype = INGOT_FLOAT;
        term.data = c->scratch + ingot_aligned_bytes(n, sizeof(float));
        ingot_widen_tensor(c, term.data, c->in[i]);
        st = apply(c, INGOT_BINARY_ADD, &sum, &term, &sum);
    }
    if (!st && divide)
        st = apply(c, INGOT_BINARY_DIV, &sum, &divisor, &sum);
    if (!st)
        ingot_narrow_tensor(c, c->out[0], total);
    return st;
}

static ingot_status run_sum(ingot_op_ctx *c)
{
    return sums_aside(c) ? sum_aside(c, false) : run_many(c, INGOT_BINARY_ADD);
}

/* Mean = Sum / n. The divisor is made in the output's own element type, so the division is an ordinary one. */
static ingot_status run_mean(ingot_op_ctx *c)
{
    float n_float = (float)c->n_in;
    double n_double = c->n_in;
    const bool wide = c->out[0]->dtype == INGOT_DOUBLE;
    ingot_tensor n = { .dtype = c->out[0]->dtype, .data = wide ? (void *)&n_double : (void *)&n_float };

    if (sums_aside(c))
        return sum_aside(c, true);
    const ingot_status st = run_many(c, INGOT_BINARY_ADD);
    return st || c->n_in == 1 ? st : apply(c, INGOT_BINARY_DIV, c->out[0], &n, c->out[0]);
}

/* Y has the broadcast shape of all inputs. ONNX has no mixed-type arithmetic: a second element type is INVALID. */
static ingot_status infer_broadcast(ingot_op_ctx *c)
{
    for (int i = 1; i < MIN(c->n_in, c->node->n_inputs); i++)
        if (!c->in[i] || c->in[i]->dtype != c->in[0]->dtype)
            return ingot_op_fail(c, INGOT_INVALID, "inputs have different element types");
    return ingot_out_broadcast(c, 0, c->in[0]->dtype);
}

/* Of PRelu: the slope broadcasts to X and never the other way, so that Y is always like X. */
static ingot_status infer_like_first(ingot_op_ctx *c)
{
    return ingot_out_like(c, 0, c->in[0]);
}

/* One operation for each output element and each input after the first. */
static int64_t count_flops(const ingot_op_ctx *c) { return ingot_count(c->out[0]) * MAX(c->n_in - 1, 1); }

#define PAIR(name, since, types, infer, run) \
    { name, since, 2, 2, { types, 0 }, infer, run, .flags = INGOT_OP_INPLACE | INGOT_OP_LONG, \
      .layout = follow_blocked, .flops = count_flops }
#define MANY(name, since, types, run, get_ready) \
    { name, since, 1, INGOT_MANY, { types, 0 }, infer_broadcast, run, .prepare = get_ready, .flags = INGOT_OP_LONG, \
      .flops = count_flops }

const ingot_op ingot_ops_arithmetic[] = {
    PAIR("Add", 7, INGOT_TYPES_NUMERIC, infer_broadcast, run_add),
    PAIR("Sub", 7, INGOT_TYPES_NUMERIC, infer_broadcast, run_sub),
    PAIR("Mul", 7, INGOT_TYPES_NUMERIC, infer_broadcast, run_mul),
    PAIR("Div", 7, INGOT_TYPES_NUMERIC, infer_broadcast, run_div),
    PAIR("PRelu", 7, INGOT_TYPES_NUMERIC, infer_like_first, run_prelu),
    MANY("Min", 1, INGOT_TYPES_NUMERIC, run_min, NULL),
    MANY("Max", 1, INGOT_TYPES_NUMERIC, run_max, NULL),
    MANY("Sum", 1, INGOT_TYPES_FLOAT, run_sum, prepare_sum),
    MANY("Mean", 1, INGOT_TYPES_FLOAT, run_mean, prepare_sum),
    {0},
};
