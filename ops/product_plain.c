/* product_plain.c - matrix products of doubles, by their kernel, and of integers as their definition says: one row of C
 * at a time. */
#include "ops/product.h"

/* The loops of ops/product_loops.h for each type. Unsigned arithmetic wraps, as integers do in ONNX, without the
 * undefined overflow of signed ones. */
#define T uint32_t                       /* signed integers too: the low bits are the same */
#define FACTOR int64_t
#define TYPED(name) name##_u32
#include "ops/product_loops.h"
#undef T
#undef TYPED
#define T uint64_t
#define TYPED(name) name##_u64
#include "ops/product_loops.h"

/* A product of doubles, as its tasks share it. */
typedef struct double_call {
    const ingot_product *p;
    const ingot_kernels *kernels;
} double_call;

/* Task over rows of all matrices: those of one matrix at a time. */
static void product_rows_f64(void *argument, int64_t begin, int64_t end, int thread)
{
    const double_call *call = argument;
    const ingot_product *p = call->p;
    const double alpha = (double)p->alpha, beta = (double)p->beta;

    (void)thread;
    for (int64_t i = begin, rows; i < end; i += rows) {
        const int64_t matrix = i / p->m, row = i % p->m;
        rows = MIN(end - i, p->m - row);
        const ingot_gemm_f64 g = { rows, p->n, p->k, p->a_row, p->a_col, p->b_row, p->b_col, p->n };
        double *c = (double *)p->c + i * p->n;
        call->kernels->gemm_f64(&g, c, (const double *)p->a + (p->a_at ? p->a_at[matrix] : 0) + row * p->a_row,
                                (const double *)p->b + (p->b_at ? p->b_at[matrix] : 0));
        for (int64_t k = 0; k < rows * p->n && p->alpha != 1.0f; k++)
            c[k] *= alpha;
        for (int64_t r = 0; r < rows && p->d; r++)
            for (int64_t j = 0; j < p->n; j++)
                c[r * p->n + j] += beta * ((const double *)p->d)[(row + r) * p->d_row + j * p->d_col];
    }
}

/* p has addresses and sizes as for the kernels, and the same meaning of D and beta. Rows of doubles go by dozens, as B
 * is copied for each task. */
void ingot_product_plain(const ingot_op_ctx *c, ingot_dtype dtype, ingot_product *p)
{
    const int64_t least = 1 + 16384 / (1 + p->n * MAX(p->k, 1));

    if (p->n > 0 && dtype == INGOT_DOUBLE)
        ingot_parallel(c->team, p->matrices * p->m, MAX(least, 48), product_rows_f64, &(double_call){ p, c->kernels });
    else if (p->n > 0)
        ingot_parallel(c->team, p->matrices * p->m, least,
                       ingot_dtype_size_bytes(dtype) == 8 ? product_rows_u64 : product_rows_u32, p);
}
