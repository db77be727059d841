/* gemm_f64.c - matrix products of doubles: tiles of up to 8 rows and two vectors, over panels of B that are copied to
 * the stack a few hundred rows at a time. Each result is summed over k in order, so that neither m nor n changes it. */
#include "ops/kernels/isa.h"

enum { COLUMNS = 2 * VF64_LANES, DEPTH = 256 };

/* Rows of C, of which there are as many as the constant says, plus those of A times a panel; or that alone. */
INGOT_INLINE void tile(const ingot_gemm_f64 *g, double *c, ptrdiff_t ldc, const double *a, const double *b,
                       ptrdiff_t b_row, int64_t k, bool first, int rows)
{
    vf64 acc[GEMM_MR_64][2];

    INGOT_UNROLL
    for (int r = 0; r < rows; r++) {
        acc[r][0] = first ? vf64_set1(0) : vf64_load(c + r * ldc);
        acc[r][1] = first ? vf64_set1(0) : vf64_load(c + r * ldc + VF64_LANES);
    }
    for (int64_t l = 0; l < k; l++, a += g->a_col, b += b_row) {
        const vf64 b0 = vf64_load(b), b1 = vf64_load(b + VF64_LANES);
        INGOT_UNROLL
        for (int r = 0; r < rows; r++) {
            const vf64 x = vf64_set1(a[r * g->a_row]);
            acc[r][0] = vf64_acc(acc[r][0], x, b0);
            acc[r][1] = vf64_acc(acc[r][1], x, b1);
        }
    }
    INGOT_UNROLL
    for (int r = 0; r < rows; r++) {
        vf64_store(c + r * ldc, acc[r][0]);
        vf64_store(c + r * ldc + VF64_LANES, acc[r][1]);
    }
}

/* As many rows as m has, up to a tile's and a power of two; returns how many. */
static int64_t rows_of(const ingot_gemm_f64 *g, double *c, ptrdiff_t ldc, const double *a, const double *b,
                       ptrdiff_t b_row, int64_t k, bool first, int64_t m)
{
    if (m >= GEMM_MR_64)
        return tile(g, c, ldc, a, b, b_row, k, first, GEMM_MR_64), GEMM_MR_64;
    if (m >= 2)
        return tile(g, c, ldc, a, b, b_row, k, first, 2), 2;
    return tile(g, c, ldc, a, b, b_row, k, first, 1), 1;
}

/* All rows at the `columns` columns of a panel; where they are fewer than a tile's, by way of a tile on the stack. */
static void panel(const ingot_gemm_f64 *g, double *c, const double *a, const double *b, ptrdiff_t b_row, int64_t k,
                  bool first, int64_t columns)
{
    double some[GEMM_MR_64 * COLUMNS] = {0};
    const bool whole = columns == COLUMNS;

    for (int64_t i = 0, rows; i < g->m; i += rows) {
        const int64_t most = whole ? 0 : min64(g->m - i, GEMM_MR_64);
        double *to = c + i * g->ldc;
        for (int64_t r = 0; r < most; r++)
            memcpy(some + r * COLUMNS, to + r * g->ldc, (size_t)columns * sizeof *some);
        rows = rows_of(g, whole ? to : some, whole ? g->ldc : COLUMNS, a + i * g->a_row, b, b_row, k, first, g->m - i);
        for (int64_t r = 0; r < min64(most, rows); r++)
            memcpy(to + r * g->ldc, some + r * COLUMNS, (size_t)columns * sizeof *some);
    }
}

/* One row of a panel, filled up with zeros. */
static void pack(double *dst, const double *src, ptrdiff_t step, int64_t columns)
{
    if (columns == COLUMNS && step == 1) {
        vf64_store(dst, vf64_load(src));
        vf64_store(dst + VF64_LANES, vf64_load(src + VF64_LANES));
        return;
    }
    memset(dst, 0, COLUMNS * sizeof *dst);
    for (; columns-- > 0; src += step)
        *dst++ = *src;
}

/* C = A B. Few rows do not pay for copying B, where its columns lie together. */
void INGOT_FN(gemm_f64)(const ingot_gemm_f64 *g, double *c, const double *a, const double *b)
{
    double packed[DEPTH * COLUMNS];
    int64_t l = 0;

    do {
        const int64_t depth = min64(g->k - l, DEPTH);
        for (int64_t j = 0; j < g->n; j += COLUMNS) {
            const int64_t columns = min64(g->n - j, COLUMNS);
            const double *from = b + l * g->b_row + j * g->b_col;
            ptrdiff_t step = g->b_row;
            if (columns < COLUMNS || g->b_col != 1 || g->m >= 8) {
                for (int64_t r = 0; r < depth; r++)
                    pack(packed + r * COLUMNS, from + r * g->b_row, g->b_col, columns);
                from = packed;
                step = COLUMNS;
            }
            panel(g, c + j, a + l * g->a_col, from, step, depth, l == 0, columns);
        }
        l += DEPTH;
    } while (l < g->k);
}
