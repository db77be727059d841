/* quantized_float8.c - QLinearMatMul of 8-bit floats (opset 21), by its definition: operands are scaled back,
 * multiplied in double and rounded once to the result's type. Plain loops: processors have no such products. */
#include "ops/quantized_float8.h"

#include "ops/matmul_shape.h"
#include "ops/quantized.h"
#include "ops/small_float.h"

enum { A, A_SCALE, A_ZERO, B, B_SCALE, B_ZERO, Y_SCALE, Y_ZERO };

/* What the tasks share. a and b are the scaled operands; offsets count matrices of them. */
typedef struct float8_call {
    ingot_op_ctx *ctx;
    ingot_product product;
    const double *a, *b;
    const int64_t *a_at, *b_at;
} float8_call;

/* Sizes, and every parameter checked against them; the result has the type of Y's zero point. */
static ingot_status read_float8(ingot_op_ctx *c, ingot_product *p, int64_t *shape, int *rank)
{
    const ingot_tensor *a = c->in[A], *b = c->in[B];
    ingot_status st = ingot_matmul_shape(c, a, b, p, shape, rank);
    const int64_t a_matrices = ingot_span(a, 0, MAX(a->rank - 2, 0));
    const int64_t b_matrices = ingot_span(b, 0, MAX(b->rank - 2, 0));

    if (st || (st = ingot_quantized_check(c, A_SCALE, p->m, a_matrices, INGOT_TYPES_SCALE)) ||
        (st = ingot_quantized_check(c, A_ZERO, p->m, a_matrices, UINT64_C(1) << a->dtype)) ||
        (st = ingot_quantized_check(c, B_SCALE, p->n, b_matrices, INGOT_TYPES_SCALE)) ||
        (st = ingot_quantized_check(c, B_ZERO, p->n, b_matrices, UINT64_C(1) << b->dtype)) ||
        (st = ingot_quantized_check(c, Y_SCALE, p->m, p->matrices, INGOT_TYPES_SCALE)))
        return st;
    return ingot_quantized_check(c, Y_ZERO, p->m, p->matrices, INGOT_TYPES_FLOAT8);
}

ingot_status ingot_float8_matmul_infer(ingot_op_ctx *c)
{
    ingot_product p;
    int64_t shape[INGOT_MAX_RANK + 2];
    int rank;
    const ingot_status st = read_float8(c, &p, shape, &rank);

    return st ? st : ingot_out(c, 0, c->in[Y_ZERO]->dtype, rank, shape);
}

/* A parameter's number for a line of a matrix; zero points are 8-bit floats themselves. */
static double parameter_at(const ingot_tensor *t, int64_t lines, int64_t matrix, int64_t line)
{
    const int64_t n = ingot_count(t), at = n == 1 ? 0 : n == lines ? line : matrix * lines + line;
    return INGOT_TYPES_FLOAT8 >> t->dtype & 1 ? (double)ingot_small_to_float(((const uint8_t *)t->data)[at], t->dtype)
                                              : ingot_quantized_at(t, lines, matrix, line, 1);
}

/* (x - zero) scale of a whole operand of `matrices`, rows x columns; its lines are the rows, or the columns. */
static void scale_operand(const ingot_op_ctx *c, int first, int64_t matrices, int64_t rows, int64_t columns,
                          bool by_row, double *to)
{
    const ingot_tensor *x = c->in[first], *scale = c->in[first + 1], *zero = c->in[first + 2];
    const uint8_t *codes = x->data;
    const int64_t lines = by_row ? rows : columns;

    for (int64_t m = 0; m < matrices; m++)
        for (int64_t i = 0; i < rows * columns; i++, codes++, to++) {
            const int64_t line = by_row ? i / columns : i % columns;
            *to = (ingot_small_to_float(*codes, x->dtype) - parameter_at(zero, lines, m, line)) *
                  parameter_at(scale, lines, m, line);
        }
}

/* Task over rows of all results. */
static void multiply_rows(void *argument, int64_t begin, int64_t end, int thread)
{
    const float8_call *call = argument;
    const ingot_product *p = &call->product;
    const ingot_tensor *y = call->ctx->out[0], *scale = call->ctx->in[Y_SCALE], *zero = call->ctx->in[Y_ZERO];

    (void)thread;
    for (int64_t row = begin; row < end; row++) {
        const int64_t matrix = row / p->m, i = row % p->m;
        const double *a = call->a + call->a_at[matrix] + i * p->k, *b = call->b + call->b_at[matrix];
        const double y_scale = parameter_at(scale, p->m, matrix, i), y_zero = parameter_at(zero, p->m, matrix, i);
        for (int64_t j = 0; j < p->n; j++) {
            double sum = 0;
            for (int64_t k = 0; k < p->k; k++)
                sum += a[k] * b[k * p->n + j];
            ((uint8_t *)y->data)[row * p->n + j] = ingot_double_to_small(sum / y_scale + y_zero, y->dtype, true);
        }
    }
}

/* Operands are scaled once, in memory of the run. */
ingot_status ingot_float8_matmul_run(ingot_op_ctx *c)
{
    const ingot_tensor *a = c->in[A], *b = c->in[B];
    float8_call call = {.ctx = c};
    ingot_product *p = &call.product;
    int64_t shape[INGOT_MAX_RANK + 2];
    int rank;
    const ingot_status st = read_float8(c, p, shape, &rank);

    if (st)
        return st;
    const int n_batch = MAX(MAX(a->rank, b->rank) - 2, 0);
    double *scaled_a = ingot_run_alloc(c, (size_t)MAX(ingot_count(a), 1) * sizeof *scaled_a);
    double *scaled_b = ingot_run_alloc(c, (size_t)MAX(ingot_count(b), 1) * sizeof *scaled_b);
    int64_t *at = ingot_run_alloc(c, 2 * (size_t)MAX(p->matrices, 1) * sizeof *at);
    if (!scaled_a || !scaled_b || !at)
        return ingot_op_out_of_memory(c);
    scale_operand(c, A, ingot_span(a, 0, MAX(a->rank - 2, 0)), p->m, p->k, true, scaled_a);
    scale_operand(c, B, ingot_span(b, 0, MAX(b->rank - 2, 0)), p->k, p->n, false, scaled_b);
    ingot_matmul_offsets(a, shape, n_batch, p->m * p->k, at, p->matrices);
    ingot_matmul_offsets(b, shape, n_batch, p->k * p->n, at + p->matrices, p->matrices);
    call.a = scaled_a;
    call.b = scaled_b;
    call.a_at = at;
    call.b_at = at + p->matrices;
    ingot_parallel(c->team, p->matrices * p->m, 1 + 4096 / (1 + p->k * p->n), multiply_rows, &call);
    return INGOT_OK;
}
