/* gemm.c - f32 matrix product with B packed into panels, and the epilogue applied before the result leaves the cache.
 *
 * B is cut into panels of PANEL columns (two vectors), each stored [k][PANEL]; the last is one vector wide when that is
 * enough, and padded with zeros. A tile of up to GEMM_MR rows by one panel lives in registers; A is read in place, one
 * broadcast per row and step. Panels are taken in blocks that stay in the second-level cache while all rows pass.
 * Long k is cut into chunks of fixed length, whose sums are added up in C; the first brings bias and residual along, so
 * that the residual may be C itself, and the last clips. */
#include "ops/kernels/epilogue.h"

enum {
    PANEL = 2 * VF32_LANES,
    K_CHUNK = 1024,            /* steps per pass: a panel's chunk is at most 128 KiB */
    BLOCK_FLOATS = 96 * 1024,  /* of packed B that stay in the second-level cache: 384 KiB */
};

/* One tile's work: everything a strip of rows meets at one panel. */
typedef struct tile_job {
    const float *a, *b;
    float *c;
    const float *bias, *row_bias;
    const float *onto;         /* what to add, laid out as c: the residual, or c itself from the second chunk on */
    ptrdiff_t a_row, a_col, ldc;
    int64_t k;
    int n;                     /* columns that exist, <= PANEL */
    float alpha, low, high;
} tile_job;

INGOT_INLINE vf32 load_columns(const float *p, int n, int v)
{
    const int left = n - v * VF32_LANES;
    return left >= VF32_LANES ? vf32_load(p + v * VF32_LANES) : vf32_load_n(p + v * VF32_LANES, (size_t)left);
}

INGOT_INLINE void store_columns(float *p, vf32 x, int n, int v)
{
    const int left = n - v * VF32_LANES;
    if (left >= VF32_LANES)
        vf32_store(p + v * VF32_LANES, x);
    else
        vf32_store_n(p + v * VF32_LANES, x, (size_t)left);
}

/* A chunk's sum into C: alpha x + bias + residual, or onto what earlier chunks left; clipped last, which keeps NaN. */
INGOT_INLINE void finish(const tile_job *t, vf32 x, int row, int v)
{
    float *c = t->c + row * t->ldc;

    if (t->alpha != 1.0f)
        x = vf32_mul(x, vf32_set1(t->alpha));
    if (t->bias)
        x = vf32_add(x, load_columns(t->bias, t->n, v));
    if (t->row_bias)
        x = vf32_add(x, vf32_set1(t->row_bias[row]));
    if (t->onto)
        x = vf32_add(x, load_columns(t->onto + row * t->ldc, t->n, v));
    store_columns(c, vf32_min(vf32_set1(t->high), vf32_max(vf32_set1(t->low), x)), t->n, v);
}

/* mr rows by nv vectors. */
INGOT_INLINE void tile(const tile_job *t, int mr, int nv)
{
    enum { MAX_ROWS = 12 };
    vf32 acc[MAX_ROWS][2];
    const float *a = t->a, *b = t->b;
    const ptrdiff_t row = t->a_row, col = t->a_col;
    const int64_t k = t->k;

    INGOT_UNROLL
    for (int i = 0; i < mr; i++) {
        INGOT_UNROLL
        for (int v = 0; v < nv; v++)
            acc[i][v] = vf32_zero();
    }
    for (int64_t l = 0; l < k; l++) {
        vf32 bv[2];
        INGOT_UNROLL
        for (int v = 0; v < nv; v++)
            bv[v] = vf32_load(b + v * VF32_LANES);
        INGOT_UNROLL
        for (int i = 0; i < mr; i++) {
            const vf32 av = vf32_set1(a[i * row]);
            INGOT_UNROLL
            for (int v = 0; v < nv; v++)
                acc[i][v] = vf32_acc(acc[i][v], av, bv[v]);
        }
        a += col;
        b += nv * VF32_LANES;
    }
    INGOT_UNROLL
    for (int i = 0; i < mr; i++) {
        INGOT_UNROLL
        for (int v = 0; v < nv; v++)
            finish(t, acc[i][v], i, v);
    }
}

/* A case for each height: the compiler makes one straight-line tile of each, and drops those above GEMM_MR. */
#define TILE_CASE(rows, nv) \
    case rows: \
        if (rows <= GEMM_MR) \
            tile(t, rows, nv); \
        break;
#define TILE_CASES(nv) \
    TILE_CASE(1, nv) TILE_CASE(2, nv) TILE_CASE(3, nv) TILE_CASE(4, nv) TILE_CASE(5, nv) TILE_CASE(6, nv) \
    TILE_CASE(7, nv) TILE_CASE(8, nv) TILE_CASE(9, nv) TILE_CASE(10, nv) TILE_CASE(11, nv) TILE_CASE(12, nv)

static void tile_wide(const tile_job *t, int mr)
{
    switch (mr) { TILE_CASES(2) }
}

static void tile_narrow(const tile_job *t, int mr)
{
    switch (mr) { TILE_CASES(1) }
}

static int panel_width(int64_t n, int64_t panel) { return n - panel * PANEL <= VF32_LANES ? VF32_LANES : PANEL; }

int64_t INGOT_FN(gemm_panels_f32)(int64_t n) { return n / PANEL + (n % PANEL != 0); }

int64_t INGOT_FN(gemm_packed_f32)(int64_t n, int64_t k)
{
    const int64_t panels = INGOT_FN(gemm_panels_f32)(n);
    return n <= 0 ? 0 : ((panels - 1) * PANEL + panel_width(n, panels - 1)) * k;
}

/* Steps are taken sixteen at a time, so that either way of storing B is read along its cache lines. */
void INGOT_FN(gemm_pack_f32)(float *packed, const float *b, ptrdiff_t b_row, ptrdiff_t b_col, int64_t n, int64_t k,
                             int64_t p0, int64_t p1)
{
    enum { STEPS = 16 };

    for (int64_t p = p0; p < p1; p++) {
        const int width = panel_width(n, p), have = (int)min64(n - p * PANEL, width);
        float *to = packed + p * PANEL * k;
        const float *from = b + p * PANEL * b_col;

        for (int64_t l = 0; l < k; l += STEPS, to += STEPS * width, from += STEPS * b_row) {
            const int steps = (int)min64(STEPS, k - l);

            memset(to, 0, (size_t)(steps * width) * sizeof *to);
            for (int i = 0; b_col == 1 && i < steps; i++)
                memcpy(to + i * width, from + i * b_row, (size_t)have * sizeof *to);
            for (int j = 0; b_col != 1 && j < have; j++)
                for (int i = 0; i < steps; i++)
                    to[i * width + j] = from[i * b_row + j * b_col];
        }
    }
}

/* Rows [m0, m1) at one panel, for steps [k0, k1). */
static void run_strip(const ingot_gemm *g, const float *a, const float *packed, float *c, const ingot_epilogue *e,
                      int64_t row, int mr, int64_t panel, int64_t k0, int64_t k1)
{
    const int width = panel_width(g->n, panel);
    const int64_t at = row * g->ldc + panel * PANEL;
    const bool first = k0 == 0, last = k1 == g->k;
    tile_job t = {
        .a = a + row * g->a_row + k0 * g->a_col,
        .b = packed + panel * PANEL * g->k + k0 * width,
        .c = c + at,
        .bias = first && e->bias ? e->bias + panel * PANEL : NULL,
        .row_bias = first && e->row_bias ? e->row_bias + row : NULL,
        .onto = !first ? c + at : e->residual ? e->residual + at : NULL,
        .a_row = g->a_row, .a_col = g->a_col, .ldc = g->ldc, .k = k1 - k0,
        .n = (int)min64(g->n - panel * PANEL, PANEL),
        .alpha = g->alpha, .low = -INFINITY, .high = INFINITY,
    };

    if (last)
        clip_range(e, &t.low, &t.high);
    if (width == PANEL)
        tile_wide(&t, mr);
    else
        tile_narrow(&t, mr);
    if (last && act_follows(e))
        INGOT_FN(act_rows_f32)(t.c, g->ldc, mr, t.n, e);
}

/* Rows [m0, m1) of panels [p0, p1) for one chunk of k: strips of rows of nearly equal height, all panels for each. */
static void run_block(const ingot_gemm *g, const float *a, const float *packed, float *c, const ingot_epilogue *e,
                      int64_t m0, int64_t m1, int64_t p0, int64_t p1, int64_t k0)
{
    const int64_t k1 = min64(g->k, k0 + K_CHUNK);
    int64_t strips = (m1 - m0 + GEMM_MR - 1) / GEMM_MR;

    for (int64_t row = m0; row < m1; strips--) {
        const int mr = (int)((m1 - row + strips - 1) / strips);
        for (int64_t p = p0; p < p1; p++)
            run_strip(g, a, packed, c, e, row, mr, p, k0, k1);
        row += mr;
    }
}

void INGOT_FN(gemm_f32)(const ingot_gemm *g, const float *a, const float *packed, float *c, const ingot_epilogue *e,
                        int64_t m0, int64_t m1, int64_t p0, int64_t p1)
{
    const int64_t chunk = g->k < K_CHUNK ? g->k + 1 : K_CHUNK, fit = BLOCK_FLOATS / (PANEL * chunk);
    const int64_t block = fit < 1 ? 1 : fit;

    for (int64_t p = p0; p < p1; p += block) {
        int64_t k0 = 0;
        do {                                        /* once even for k = 0, which leaves bias and residual */
            run_block(g, a, packed, c, e, m0, m1, p, min64(p1, p + block), k0);
            k0 += K_CHUNK;
        } while (k0 < g->k);
    }
}
