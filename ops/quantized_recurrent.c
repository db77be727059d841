/* quantized_recurrent.c - DynamicQuantizeLSTM's products: weights are bytes; inputs and states become bytes before they
 * meet them, as DynamicQuantizeLinear does it, with a scale and zero point for all inputs at once, and for the state
 * anew in every step. Sums are exact; they come back to float by both scales. All else is recurrent.c's float LSTM.
 *
 * W is (D, inputs, 4 hidden) and R (D, hidden, 4 hidden), transposed against LSTM's. Scales and zero points are one for
 * a direction or one for each of its columns. */
#include "ops/recurrent.h"

#include <string.h>

enum { W = 1, R = 2, B = 3, W_SCALE = 8, W_ZERO, R_SCALE, R_ZERO };

/* Rows that become bytes at a time: their sums are scratch memory. */
enum { ROWS = 32 };

/* A row is one stretch: a window of one tap at distance 0. */
static const int64_t one_tap[1] = { 0 };

bool ingot_recurrent_is_integer(const ingot_op_ctx *c) { return !strcmp(c->op->op_type, "DynamicQuantizeLSTM"); }

/* A scale or zero point of direction d and column j of n. */
static double parameter_at(const ingot_tensor *t, int directions, int64_t n, int d, int64_t j, double otherwise)
{
    if (!t)
        return otherwise;
    return ingot_double_at(t, ingot_count(t) == directions ? d : d * n + j);
}

/* One for each direction or each column, of the type that it must have; INVALID otherwise. */
static ingot_status check_parameter(ingot_op_ctx *c, int i, const ingot_recurrent *r, ingot_dtype dtype)
{
    const ingot_tensor *t = ingot_quantized_input(c, i);
    const int64_t n = t ? ingot_count(t) : 0;
    if (!t && dtype != INGOT_FLOAT)
        return INGOT_OK;
    if (!t || t->dtype != dtype || (n != r->directions && n != r->directions * r->gates * r->hidden))
        return ingot_op_fail(c, INGOT_INVALID, "input %d is no scale or zero point of %d directions of %lld columns", i,
                             r->directions, (long long)(r->gates * r->hidden));
    return INGOT_OK;
}

/* The two products, W's and R's; zero points of B count unless the kernels' middle is meant everywhere. */
static void describe(const ingot_op_ctx *c, const ingot_recurrent *r, int weights, int64_t k, ingot_byte_product *p)
{
    const bool is_signed = c->in[weights]->dtype == INGOT_INT8;
    const ingot_tensor *zeros = ingot_quantized_input(c, weights == W ? W_ZERO : R_ZERO);
    bool any = zeros && !zeros->data;

    for (int64_t i = 0; !any && i < (zeros ? ingot_count(zeros) : 1); i++)
        any = (zeros ? ingot_int_at(zeros, i) : 0) != (is_signed ? 0 : 128);
    p->k = k;
    p->length = (k + INGOT_BLOCK - 1) / INGOT_BLOCK * INGOT_BLOCK;
    p->dot = (ingot_dot){ .n = r->gates * r->hidden, .taps = 1, .blocks = p->length / INGOT_BLOCK, .tap_at = one_tap,
                          .block_step = INGOT_BLOCK, .row_step = p->length, .b_zeros = any, .b_signed = is_signed };
}

/* Sizes of packed weights, in floats as recurrent.c counts them, and of a direction's scratch. LIMIT where they cannot
 * be counted. */
ingot_status ingot_integer_plan(ingot_op_ctx *c, ingot_recurrent *r)
{
    const size_t n = (size_t)(r->gates * r->hidden);
    size_t most;
    ingot_status st;

    if ((st = check_parameter(c, W_SCALE, r, INGOT_FLOAT)) || (st = check_parameter(c, R_SCALE, r, INGOT_FLOAT)) ||
        (st = check_parameter(c, W_ZERO, r, c->in[W]->dtype)) || (st = check_parameter(c, R_ZERO, r, c->in[R]->dtype)))
        return st;
    describe(c, r, W, r->inputs, &r->bytes[0]);
    describe(c, r, R, r->hidden, &r->bytes[1]);
    const int64_t length = MAX(r->bytes[0].length, r->bytes[1].length);
    if (!ingot_mul_size((size_t)length + 64, 4 * (n + 64), &most) || most > PTRDIFF_MAX / 64)
        return ingot_op_out_of_memory(c);
    r->columns = MAX(c->kernels->dot_columns_i8(&r->bytes[0].dot), c->kernels->dot_columns_i8(&r->bytes[1].dot));
    r->packed_w = (int64_t)(ingot_aligned_bytes(c->kernels->dot_packed_i8(&r->bytes[0].dot), 1) / sizeof(float));
    r->packed_r = (int64_t)(ingot_aligned_bytes(c->kernels->dot_packed_i8(&r->bytes[1].dot), 1) / sizeof(float));
    r->packed_direction =
        r->packed_w + r->packed_r +
        (int64_t)(ingot_aligned_bytes((r->gates + 1) * r->units, sizeof(float)) / sizeof(float));
    /* a row as bytes, rows as operand elements, scales, what is added, and sums */
    r->integer_bytes = ingot_aligned_bytes(length, 1) +
                       ingot_aligned_bytes(ROWS * length, (size_t)c->kernels->dot_bytes) +
                       2 * ingot_aligned_bytes(r->columns, sizeof(float)) +
                       ingot_aligned_bytes(ROWS * r->gates * r->hidden, sizeof(float));
    return INGOT_OK;
}

/* Both weights of direction d into `to`; zeros has room for r->columns numbers. */
void ingot_integer_pack(const ingot_op_ctx *c, const ingot_recurrent *r, int d, char *to, int32_t *zeros)
{
    const int64_t n = r->gates * r->hidden;

    for (int i = 0; i < 2; i++) {
        const ingot_byte_product *p = &r->bytes[i];
        const ingot_tensor *zero = ingot_quantized_input(c, i ? R_ZERO : W_ZERO);
        for (int64_t j = 0; j < n; j++)
            zeros[j] = (int32_t)parameter_at(zero, r->directions, n, d, j, 0);
        c->kernels->dot_pack_i8(&p->dot, to, (const char *)c->in[i ? R : W]->data + d * p->k * n, n, 1, p->k, zeros, 0,
                                c->kernels->dot_panels_i8(&p->dot));
        to += (size_t)r->packed_w * sizeof(float);
    }
}

/* The range of all rows, by which they become bytes. The state of a sample that has ended counts for one step more, as
 * in onnxruntime, whose state is 0 from then on. */
static void scale_of_rows(const ingot_kernels *kernels, const ingot_integer_job *j, float *scale, int *zero)
{
    float low = 0, high = 0;

    for (int64_t i = 0; i < j->rows; i++) {
        float least, most;
        if (j->lens && j->step > j->lens[i])
            continue;
        kernels->range_f32(j->x + i * j->x_row, j->k, &least, &most);
        low = MIN(low, least);
        high = MAX(high, most);
    }
    ingot_dynamic_scale_between(low, high, scale, zero);
}

/* Sums of one row to where its gates lie: [block of units][gate][lane]. */
static void add_row(const ingot_recurrent *r, const float *sums, float *gates)
{
    const int64_t lanes = r->kernels.lanes;

    for (int64_t g = 0; g < r->gates; g++)
        for (int64_t unit = 0; unit < r->hidden; unit++)
            gates[(unit / lanes * r->gates + g) * lanes + unit % lanes] += sums[g * r->hidden + unit];
}

/* job->gates += x times W (which 0) or R (1) of direction d. Some rows at a time; the scale is that of all. */
void ingot_integer_add(const ingot_op_ctx *c, const ingot_recurrent *r, int which, int d, const ingot_integer_job *j)
{
    const ingot_byte_product *p = &r->bytes[which];
    const ingot_kernels *kernels = c->kernels;
    const ingot_tensor *scales = c->in[which ? R_SCALE : W_SCALE];
    const int64_t n = r->gates * r->hidden, size = kernels->dot_bytes;
    const size_t parameters = ingot_aligned_bytes(r->columns, sizeof(float));
    uint8_t *row = (uint8_t *)j->scratch;
    char *operand = j->scratch + ingot_aligned_bytes(MAX(r->bytes[0].length, r->bytes[1].length), 1);
    float *scale = (float *)(void *)(operand + ingot_aligned_bytes(ROWS * MAX(r->bytes[0].length, r->bytes[1].length),
                                                                   (size_t)size));
    int32_t *add = (int32_t *)(void *)((char *)scale + parameters);
    float *sums = (float *)(void *)((char *)add + parameters);
    float x_scale;
    int zero;

    scale_of_rows(kernels, j, &x_scale, &zero);
    memset(scale, 0, parameters);
    for (int64_t i = 0; i < n; i++)
        scale[i] = x_scale * (float)parameter_at(scales, r->directions, n, d, i, 1);
    kernels->dot_add_i8(&p->dot, j->packed, NULL, zero, add);
    const ingot_dot_out out = { .kind = INGOT_DOT_FLOAT, .add = add, .scale = scale, .row = n, .block = INGOT_BLOCK };
    memset(operand, 0, (size_t)(ROWS * p->length * size)); /* what fills up the last piece meets zeros of B */
    for (int64_t first = 0; first < j->rows; first += ROWS) {
        const int64_t rows = MIN(ROWS, j->rows - first);
        for (int64_t i = 0; i < rows; i++) {
            kernels->quantize_i8(row, j->x + (first + i) * j->x_row, p->k, x_scale, zero, (float)-zero,
                                 255.0f - (float)zero);
            kernels->dot_line_i8(operand + i * p->length * size, row, p->k, false, zero);
        }
        kernels->dot_i8(&p->dot, operand, j->packed, sums, &out, rows, 0, kernels->dot_panels_i8(&p->dot));
        for (int64_t i = 0; i < rows; i++)
            add_row(r, sums + i * n, j->gates + (first + i) * j->gates_row);
    }
}
