/* gemv.c - matrix products of few rows, where time is the weights' way from memory: they are read once, in place.
 *
 * Weights stored [n][k] (a transposed B) make dot products: a small tile of rows of A and of weights, vectors along k,
 * one horizontal sum each. Weights stored [k][n] make sums of scaled rows: for weights at hand those of some columns
 * stay in registers; else eight rows at a time, as they come from memory, are added to a strip of C that stays in the
 * first-level cache. Either way every sum is taken in the same order. Stripes of 16 rows of B, each stored [n][16], are
 * dot products whose weights are one stream: for a classifier's few columns over very long rows. */
#include "ops/kernels/isa.h"

/* More weights than a second-level cache holds beside all else, and floats of a cache line. */
enum { FAR = 256 * 1024, LINE_FLOATS = 16 };

/* C[i][j] for rm rows of A from i and rn rows of weights from j, without the activation. The rest of k that fills no
 * vector goes through one more multiply-add, with zeros past the end. Weights from afar are asked for eight rows
 * beforehand, as what the processor fetches by itself ends with every page; not where units have 512 bits: on Intel's
 * processors with those it took longer. */
INGOT_INLINE void dot_tile(const ingot_gemm *g, const float *a, const float *w, ptrdiff_t ldw, float *c,
                           const ingot_epilogue *e, int64_t i, int64_t j, int rm, int rn)
{
    const int64_t whole = g->k - g->k % VF32_LANES;
    const float *ai = a + i * g->a_row, *wj = w + j * ldw;
    const bool far = rm == 1 && rn == 8 && g->k > FAR / g->n && ingot_wide_is_split();
    vf32 acc[4][8];

    INGOT_UNROLL
    for (int t = 0; t < rm * rn; t++)
        acc[t / rn][t % rn] = vf32_zero();
    for (int64_t l = 0; l < whole; l += VF32_LANES) {
        if (far && l % LINE_FLOATS == 0) {
            INGOT_UNROLL
            for (int t = 0; t < rn; t++)
                __builtin_prefetch(wj + (t + rn) * ldw + l, 0, 2);
        }
        INGOT_UNROLL
        for (int t = 0; t < rm * rn; t++)
            acc[t / rn][t % rn] = vf32_fma(vf32_load(ai + (t / rn) * g->a_row + l),
                                           vf32_load(wj + (t % rn) * ldw + l), acc[t / rn][t % rn]);
    }
    INGOT_UNROLL
    for (int t = 0; t < rm * rn; t++) {
        /* the rest of k, the lanes' sum, and the epilogue but for the activation */
        const size_t rest = (size_t)(g->k - whole);
        const int64_t row = i + t / rn, col = j + t % rn;
        const vf32 sum = vf32_fma(vf32_load_n(ai + (t / rn) * g->a_row + whole, rest),
                                  vf32_load_n(wj + (t % rn) * ldw + whole, rest), acc[t / rn][t % rn]);
        float x = g->alpha * vf32_hsum(sum) + (e->bias ? e->bias[col] : 0.0f);

        x += e->row_bias ? e->row_bias[row] : 0.0f;
        c[row * g->ldc + col] = e->residual ? x + e->residual[row * g->ldc + col] : x;
    }
}

/* All rows of A against the weights from row j; returns how many weights were taken. Tiles are chosen so that eight
 * sums are under way at once, or four, where there are enough rows and weights: one alone waits for itself at every
 * step. */
static int dot_columns(const ingot_gemm *g, const float *a, const float *w, ptrdiff_t ldw, float *c,
                       const ingot_epilogue *e, int64_t j, int64_t left)
{
    const int rn = g->m == 1 && left >= 8 ? 8 : left >= 4 ? 4 : 1;
    int64_t i = 0;

    for (; rn == 4 && i + 2 <= g->m; i += 2)
        dot_tile(g, a, w, ldw, c, e, i, j, 2, 4);
    for (; rn == 1 && i + 4 <= g->m; i += 4)
        dot_tile(g, a, w, ldw, c, e, i, j, 4, 1);
    for (; i < g->m; i++) {
        if (rn == 8)
            dot_tile(g, a, w, ldw, c, e, i, j, 1, 8);
        else if (rn == 4)
            dot_tile(g, a, w, ldw, c, e, i, j, 1, 4);
        else
            dot_tile(g, a, w, ldw, c, e, i, j, 1, 1);
    }
    return rn;
}

/* Columns [n0, n1) of the product with a B stored [n][k]; the activation follows while they are in the cache. */
void INGOT_FN(gemm_dot_f32)(const ingot_gemm *g, const float *a, const float *w, ptrdiff_t ldw, float *c,
                            const ingot_epilogue *e, int64_t n0, int64_t n1)
{
    for (int64_t j = n0; j < n1;)
        j += dot_columns(g, a, w, ldw, c, e, j, n1 - j);
    INGOT_FN(act_rows_f32)(c + n0, g->ldc, g->m, n1 - n0, e);
}

/* c[0..n) += sum over `rows` <= 8 rows l of scale[l] b[l][0..n) */
INGOT_INLINE void add_rows(float *c, const float *b, ptrdiff_t ldb, const float *scale, int rows, int64_t n)
{
    int64_t j = 0;

    for (; j + VF32_LANES <= n; j += VF32_LANES) {
        vf32 sum = vf32_load(c + j);
        INGOT_UNROLL
        for (int l = 0; l < rows; l++)
            sum = vf32_fma(vf32_set1(scale[l]), vf32_load(b + l * ldb + j), sum);
        vf32_store(c + j, sum);
    }
    if (j < n) {
        const size_t rest = (size_t)(n - j);
        vf32 sum = vf32_load_n(c + j, rest);
        for (int l = 0; l < rows; l++)
            sum = vf32_fma(vf32_set1(scale[l]), vf32_load_n(b + l * ldb + j, rest), sum);
        vf32_store_n(c + j, sum, rest);
    }
}

/* A copy with a known number of rows. */
static void add_eight_rows(float *c, const float *b, ptrdiff_t ldb, const float *scale, int64_t n)
{
    add_rows(c, b, ldb, scale, 8, n);
}

/* nv vectors of c, or the first n elements of one: += sum over l of alpha a[l] b[l][...]. */
INGOT_INLINE void add_columns(const ingot_gemm *g, const float *a, const float *b, ptrdiff_t ldb, float *c, int nv,
                              size_t n)
{
    vf32 sum[8];

    INGOT_UNROLL
    for (int v = 0; v < nv; v++)
        sum[v] = n < VF32_LANES ? vf32_load_n(c, n) : vf32_load(c + v * VF32_LANES);
    for (int64_t l = 0; l < g->k; l++, b += ldb) {
        const vf32 scale = vf32_set1(g->alpha * a[l * g->a_col]);
        INGOT_UNROLL
        for (int v = 0; v < nv; v++)
            sum[v] = vf32_fma(scale, n < VF32_LANES ? vf32_load_n(b, n) : vf32_load(b + v * VF32_LANES), sum[v]);
    }
    INGOT_UNROLL
    for (int v = 0; v < nv; v++) {
        if (n < VF32_LANES)
            vf32_store_n(c, sum[v], n);
        else
            vf32_store(c + v * VF32_LANES, sum[v]);
    }
}

/* Columns [j, j1) of one row of the product, onto what is there. */
static void add_all_columns(const ingot_gemm *g, const float *a, const float *b, ptrdiff_t ldb, float *c, int64_t j,
                            int64_t j1)
{
    for (; j + 8 * VF32_LANES <= j1; j += 8 * VF32_LANES)
        add_columns(g, a, b + j, ldb, c + j, 8, VF32_LANES);
    for (; j + 2 * VF32_LANES <= j1; j += 2 * VF32_LANES)
        add_columns(g, a, b + j, ldb, c + j, 2, VF32_LANES);
    for (; j + VF32_LANES <= j1; j += VF32_LANES)
        add_columns(g, a, b + j, ldb, c + j, 1, VF32_LANES);
    if (j < j1)
        add_columns(g, a, b + j, ldb, c + j, 1, (size_t)(j1 - j));
}

/* The start of a strip: bias + residual. */
static void start_strip(const ingot_gemm *g, float *c, const ingot_epilogue *e, int64_t row, int64_t n0, int64_t n1)
{
    const vf32 row_bias = vf32_set1(e->row_bias ? e->row_bias[row] : 0.0f);

    for (int64_t j = n0; j < n1; j += VF32_LANES) {
        const size_t n = (size_t)min64(n1 - j, VF32_LANES);
        const int64_t at = row * g->ldc + j;
        vf32 x = e->bias ? vf32_add(vf32_load_n(e->bias + j, n), row_bias) : row_bias;

        if (e->residual)
            x = vf32_add(x, vf32_load_n(e->residual + at, n));
        vf32_store_n(c + at, x, n);
    }
}

/* Columns [n0, n1) of the product with a B stored [k][n], in strips. Both ways below add the rows of B in the order
 * of k, so that the choice between them changes no bit. */
void INGOT_FN(gemm_axpy_f32)(const ingot_gemm *g, const float *a, const float *b, ptrdiff_t ldb, float *c,
                             const ingot_epilogue *e, int64_t n0, int64_t n1)
{
    enum { STRIP = 2048 };         /* columns: 8 KiB of C */
    const bool at_hand = max64(g->k, g->whole_k) <= INGOT_FLOATS_AT_HAND / max64(1, ldb);

    for (int64_t j0 = n0; j0 < n1; j0 += STRIP) {
        const int64_t j1 = min64(n1, j0 + STRIP);

        for (int64_t i = 0; i < g->m; i++)
            start_strip(g, c, e, i, j0, j1);
        /* B at hand: some columns in registers over all of k */
        for (int64_t i = 0; at_hand && i < g->m; i++)
            add_all_columns(g, a + i * g->a_row, b, ldb, c + i * g->ldc, j0, j1);
        /* B from far: eight rows at a time as they come, onto the strip of C */
        for (int64_t l = 0; !at_hand && l < g->k; l += 8)
            for (int64_t i = 0; i < g->m; i++) {
                const int rows = (int)min64(8, g->k - l);
                float scale[8];

                for (int r = 0; r < rows; r++)
                    scale[r] = g->alpha * a[i * g->a_row + (l + r) * g->a_col];
                if (rows == 8)
                    add_eight_rows(c + i * g->ldc + j0, b + l * ldb + j0, ldb, scale, j1 - j0);
                else
                    add_rows(c + i * g->ldc + j0, b + l * ldb + j0, ldb, scale, rows, j1 - j0);
            }
        INGOT_FN(act_rows_f32)(c + j0, g->ldc, g->m, j1 - j0, e);
    }
}

/* Sums that stay in registers beside what they are made of, and the rows of a tile of five columns. Rows that pass
 * together over a piece of k, whose part of A and B takes PIECE_FLOATS of the first-level cache. */
enum { STRIPE_SUMS = GEMM_MR * 2 - 2, STRIPE_ROWS = GEMM_MR == 12 ? 4 : 2, PIECE_ROWS = 8,
       PIECE_FLOATS = 8192, MOST_COLUMNS = 32 };

/* A piece of k: [begin, end), where the sums of a group of rows lie between pieces ([row][column]), and whether it is
 * the first and the last one. */
typedef struct stripes_piece {
    int64_t begin, end;
    vf32 *sums;
    bool first, last;
} stripes_piece;

/* With eight lanes loads are what is short: a vector of B is loaded once for all rows, where gcc would load it with
 * every multiply-add. */
enum { LOAD_ONCE = VF32_LANES == 8 && GEMM_MR == 6 };

/* C[i][j] for rm rows from i and rn columns from j: a vector of sums each, over the stripes in order. */
INGOT_INLINE void stripes_tile(const ingot_gemm *g, const stripes_piece *piece, const float *a, const float *stripes,
                               float *c, int64_t i, int64_t j, int rm, int rn)
{
    const float *ai = a + i * g->a_row, *b = stripes + piece->begin * g->n + j * INGOT_STRIPE;
    vf32 acc[4][10], *sums = piece->sums + i % PIECE_ROWS * g->n + j;

    INGOT_UNROLL
    for (int t = 0; t < rm * rn; t++)
        acc[t / rn][t % rn] = piece->first ? vf32_zero() : sums[t / rn * g->n + t % rn];
    for (int64_t l = piece->begin; l < piece->end; l += INGOT_STRIPE, b += g->n * INGOT_STRIPE) {
        INGOT_UNROLL
        for (int u = 0; u < INGOT_STRIPE; u += VF32_LANES) {
            /* past k A counts as zeros, so what fills up the last stripe does not matter */
            const int64_t left = g->k - l - u;
            vf32 x[4];
            INGOT_UNROLL
            for (int r = 0; r < rm; r++)
                x[r] = left >= VF32_LANES ? vf32_load(ai + r * g->a_row + l + u)
                                          : vf32_load_n(ai + r * g->a_row + l + u, left > 0 ? (size_t)left : 0);
            INGOT_UNROLL
            for (int v = 0; v < rn; v++) {
                const vf32 y = vf32_load(b + v * INGOT_STRIPE + u);
                INGOT_UNROLL
                for (int r = 0; r < rm; r++)
                    acc[r][v] = LOAD_ONCE ? vf32_acc(acc[r][v], x[r], y) : vf32_fma(x[r], y, acc[r][v]);
            }
        }
    }
    INGOT_UNROLL
    for (int t = 0; t < rm * rn; t++)
        if (piece->last)
            c[(i + t / rn) * g->ldc + j + t % rn] = g->alpha * vf32_hsum(acc[t / rn][t % rn]);
        else
            sums[t / rn * g->n + t % rn] = acc[t / rn][t % rn];
}

/* All columns of rows [i, i + rm), as many at a time as leave their sums in registers. Ten are as many classes as the
 * usual small data sets have. */
INGOT_INLINE void stripes_rows(const ingot_gemm *g, const stripes_piece *piece, const float *a, const float *stripes,
                               float *c, int64_t i, int rm)
{
    int64_t j = 0;

    for (; rm * 10 <= STRIPE_SUMS && j + 10 <= g->n; j += 10)
        stripes_tile(g, piece, a, stripes, c, i, j, rm, 10);
    for (; j + 5 <= g->n; j += 5)
        stripes_tile(g, piece, a, stripes, c, i, j, rm, 5);
    for (; j + 2 <= g->n; j += 2)
        stripes_tile(g, piece, a, stripes, c, i, j, rm, 2);
    for (; j < g->n; j++)
        stripes_tile(g, piece, a, stripes, c, i, j, rm, 1);
}

/* Groups of rows, each in pieces of k which stay in the first-level cache for as many rows at a time as leave five sums
 * of each in registers. A group that passes as a whole takes k as a whole. */
void INGOT_FN(gemm_stripes_f32)(const ingot_gemm *g, const float *a, const float *stripes, float *c)
{
    vf32 sums[PIECE_ROWS * MOST_COLUMNS];
    const int64_t k = ceil_div(g->k, INGOT_STRIPE) * INGOT_STRIPE;
    const int64_t fitting = PIECE_FLOATS / (g->n + PIECE_ROWS) / INGOT_STRIPE * INGOT_STRIPE;

    for (int64_t i = 0; i < g->m; i += PIECE_ROWS) {
        const int64_t end = min64(g->m, i + PIECE_ROWS);
        const bool whole = end - i <= STRIPE_ROWS || g->n > MOST_COLUMNS;
        const int64_t length = whole ? max64(k, INGOT_STRIPE) : fitting;

        for (int64_t l = 0; l == 0 || l < k; l += length) {
            const stripes_piece piece = { .begin = l, .end = min64(k, l + length), .sums = sums, .first = l == 0,
                                          .last = l + length >= k };
            int64_t row = i;

            for (; row + STRIPE_ROWS <= end; row += STRIPE_ROWS)
                stripes_rows(g, &piece, a, stripes, c, row, STRIPE_ROWS);
            for (; STRIPE_ROWS > 2 && row + 2 <= end; row += 2)
                stripes_rows(g, &piece, a, stripes, c, row, 2);
            for (; row < end; row++)
                stripes_rows(g, &piece, a, stripes, c, row, 1);
        }
    }
}
