/* det.c - Det: determinants of square matrices, by elimination with row exchanges, in double. */
#include <math.h>
#include <string.h>

#include "ops/op.h"
#include "ops/scalar.h"

/* X (..., n, n) to Y (...). INVALID: a matrix that is not square, or a rank below 2. */
static ingot_status infer_det(ingot_op_ctx *c)
{
    const ingot_tensor *x = c->in[0];

    if (x->rank < 2 || x->shape[x->rank - 1] != x->shape[x->rank - 2])
        return ingot_op_fail(c, INGOT_INVALID, "the last two dimensions must be there and the same");
    return ingot_out(c, 0, x->dtype, x->rank - 2, x->shape);
}

/* A matrix as doubles. It cannot overflow: a tensor of that many elements exists. */
static size_t matrix_bytes(const ingot_tensor *x)
{
    const size_t n = (size_t)x->shape[x->rank - 1];
    return n * n * sizeof(double);
}

/* Each thread copies a matrix, since elimination destroys it. Without elements n may be any number, and n * n too
 * large. */
static ingot_status prepare_det(ingot_op_ctx *c)
{
    if (ingot_count(c->in[0]) > 0)
        ingot_want_scratch(c, 0, matrix_bytes(c->in[0]));
    return INGOT_OK;
}

/* The determinant of the row-major n x n matrix, which is destroyed: the product of the pivots of Gaussian elimination.
 * The largest number of a column is taken as its pivot, which keeps the factors at 1 or below; each exchange of rows
 * changes the sign. A column of zeros makes it 0, and a matrix of size 0 has determinant 1. */
static double determinant(double *m, int64_t n)
{
    double product = 1;

    for (int64_t k = 0; k < n; k++) {
        int64_t pivot = k;
        for (int64_t i = k + 1; i < n; i++)
            if (fabs(m[i * n + k]) > fabs(m[pivot * n + k]))
                pivot = i;
        if (m[pivot * n + k] == 0)
            return 0;
        /* Elements before column k are not read again. */
        for (int64_t j = k; j < n && pivot != k; j++) {
            const double moved = m[k * n + j];
            m[k * n + j] = m[pivot * n + j];
            m[pivot * n + j] = moved;
        }
        product *= pivot == k ? m[k * n + k] : -m[k * n + k];
        for (int64_t i = k + 1; i < n; i++) {
            const double factor = m[i * n + k] / m[k * n + k];
            for (int64_t j = k + 1; j < n; j++)
                m[i * n + j] -= factor * m[k * n + j];
        }
    }
    return product;
}

/* Task over matrices. */
static void run_matrices(void *argument, int64_t begin, int64_t end, int thread)
{
    const ingot_op_ctx *c = argument;
    const int64_t n = c->in[0]->shape[c->in[0]->rank - 1];
    double *matrix = (double *)(void *)ingot_thread_scratch(c, thread);

    for (int64_t i = begin; i < end; i++) {
        for (int64_t e = 0; e < n * n; e++)
            matrix[e] = ingot_double_at(c->in[0], i * n * n + e);
        ingot_put_double(c->out[0], i, determinant(matrix, n));
    }
}

/* Elimination takes n^3 / 3 steps: large matrices are worth a task each. */
static ingot_status run_det(ingot_op_ctx *c)
{
    const int64_t n = c->in[0]->shape[c->in[0]->rank - 1];

    ingot_parallel(c->team, ingot_count(c->out[0]), 1 + 32768 / (n * n * n + 1), run_matrices, c);
    return INGOT_OK;
}

const ingot_op ingot_ops_det[] = {
    { "Det", 11, 1, 1, { INGOT_TYPES_FLOAT }, infer_det, run_det, .prepare = prepare_det },
    {0},
};
