/* gemm.c - f32 matrix product with B packed into panels, and the epilogue applied before the result leaves the cache.
 *
 * B is cut into panels of PANEL columns (two vectors), each stored [k][PANEL]; the last is one vector wide when that is
 * enough, and padded with zeros. A tile of up to GEMM_MR rows by one panel lives in registers; A is read in place, one
 * broadcast per row and step. All rows of a block that stays in the second-level cache pass by one panel, while the
 * next panel is fetched a little with every step: weights that come from far away cost no more than those at hand.
 * Long k is cut into chunks of nearly equal length, whose sums are added up in C; the first brings bias and residual
 * along, so that the residual may be C itself, and the last clips. */
#include "ops/kernels/epilogue.h"

enum {
    PANEL = 2 * VF32_LANES,
    K_CHUNK = 1024,            /* steps per pass: a panel's chunk is at most 128 KiB */
    ACT_STRIPS = 4,            /* results that an activation finds in the first-level cache: 6 KiB at most */
    BLOCK_FLOATS = 96 * 1024,  /* of A that stay in the second-level cache: 384 KiB */
};

/* One tile's work: everything a strip of rows meets at one chunk of a panel. */
typedef struct tile_job {
    const float *a, *b;
    float *c;
    const float *bias, *row_bias;
    const float *onto;         /* what to add, laid out as c: the residual, or c itself from the second chunk on */
    ptrdiff_t a_row, a_col, ldc;
    int64_t k;
    const char *next;          /* packed B that other tiles will read: where this tile's share of fetching it begins, */
    int64_t next_step;         /* and its bytes for each step of k */
    bool passing;              /* fetch it as what need not stay: where vectors are split, it is there sooner so */
    int n;                     /* columns that exist, <= PANEL */
    float alpha, low, high;
    bool bare;                 /* nothing follows the sums, and all columns exist */
} tile_job;

/* Vector v of a row of which n columns exist; those past the end read as 0 and are not stored. */
INGOT_INLINE vf32 load_columns(const float *p, int n, int v)
{
    const int left = n - v * VF32_LANES;
    return left >= VF32_LANES ? vf32_load(p + v * VF32_LANES) : vf32_load_n(p + v * VF32_LANES, (size_t)left);
}

/* The columns that exist of vector v. */
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

/* Whole vectors of columns without row_bias or alpha, as most products are: bias and bounds stay in registers. */
INGOT_INLINE void finish_plain(const tile_job *t, vf32 acc[][2], int mr, int nv, bool onto)
{
    const vf32 low = vf32_set1(t->low), high = vf32_set1(t->high);
    vf32 bias[2];

    INGOT_UNROLL
    for (int v = 0; v < nv; v++)
        bias[v] = t->bias ? vf32_load(t->bias + v * VF32_LANES) : vf32_zero();
    INGOT_UNROLL
    for (int i = 0; i < mr; i++) {
        INGOT_UNROLL
        for (int v = 0; v < nv; v++) {
            const ptrdiff_t at = i * t->ldc + v * VF32_LANES;
            vf32 x = vf32_add(acc[i][v], bias[v]);
            if (onto)
                x = vf32_add(x, vf32_load(t->onto + at));
            vf32_store(t->c + at, vf32_min(high, vf32_max(low, x)));
        }
    }
}

/* What is rare goes by way of memory: [row][vector]. */
static INGOT_ONCE void finish_held(const tile_job *t, const float *held, int mr, int nv)
{
    for (int v = 0; v < nv; v++)
        for (int i = 0; i < mr; i++)
            finish(t, vf32_load(held + (i * nv + v) * VF32_LANES), i, v);
}

/* The accumulators of mr rows by nv vectors into C. */
INGOT_INLINE void finish_tile(const tile_job *t, vf32 acc[][2], int mr, int nv)
{
    _Alignas(64) float held[GEMM_MR * PANEL];

    if (mr == GEMM_MR && t->bare) {
        INGOT_UNROLL
        for (int i = 0; i < mr * nv; i++)
            vf32_store(t->c + i / nv * t->ldc + i % nv * VF32_LANES, acc[i / nv][i % nv]);
        return;
    }
    if (t->alpha == 1.0f && !t->row_bias && t->n == nv * VF32_LANES) {
        if (t->onto)
            finish_plain(t, acc, mr, nv, true);
        else
            finish_plain(t, acc, mr, nv, false);
        return;
    }
    INGOT_UNROLL
    for (int i = 0; i < mr * nv; i++)
        vf32_store(held + i * VF32_LANES, acc[i / nv][i % nv]);
    finish_held(t, held, mr, nv);
}

/* mr rows by nv vectors: for each step of k, nv loads of packed B and mr broadcasts of A feed mr * nv multiply-adds,
 * all of whose sums are in registers. With every step it fetches a part of what comes next into the second level, and
 * where there is room for more, a later step of the panel from there into the first. The lower rows are counted from a
 * pointer of their own: a distance for each row is more than there are registers for. */
INGOT_INLINE void tile(const tile_job *t, int mr, int nv, bool passing)
{
    enum { MAX_ROWS = 12, UPPER = MAX_ROWS / 2, STEPS_AHEAD = 8 };
    vf32 acc[MAX_ROWS][2];
    const float *a = t->a, *lower = t->a + UPPER * t->a_row, *b = t->b;
    const char *next = t->next;
    const ptrdiff_t row = t->a_row, col = t->a_col;
    const int64_t k = t->k, next_step = t->next_step;

    INGOT_OPAQUE(lower);
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
        for (int v = 0; VF32_LANES > 8 && v < nv; v++)
            __builtin_prefetch(b + (STEPS_AHEAD * nv + v) * VF32_LANES, 0, 3);
        INGOT_UNROLL
        for (int i = 0; i < mr; i++) {
            const vf32 av = vf32_set1(i < UPPER ? a[i * row] : lower[(i - UPPER) * row]);
            INGOT_UNROLL
            for (int v = 0; v < nv; v++)
                acc[i][v] = vf32_acc(acc[i][v], av, bv[v]);
        }
        a += col;
        lower += col;
        b += nv * VF32_LANES;
        if (__builtin_expect(VF32_LANES > 8 ? t->passing : passing, 0))
            __builtin_prefetch(next, 0, 0);
        else
            __builtin_prefetch(next, 0, 2);            /* into the second level */
        next += next_step;
    }
    finish_tile(t, acc, mr, nv);
}

/* n strips of equal height, one below the other: each begins while the last sums of the one before are under way. The
 * fetching goes on where the strip before left it. */
INGOT_INLINE void tiles(tile_job *t, int64_t n, int mr, int nv, bool passing)
{
    for (; n > 0; n--) {
        tile(t, mr, nv, passing);
        t->a += mr * t->a_row;
        t->c += mr * t->ldc;
        t->row_bias = t->row_bias ? t->row_bias + mr : NULL;
        t->onto = t->onto ? t->onto + mr * t->ldc : NULL;
        t->next += t->next_step * t->k;
    }
}

/* A case for each height: the compiler makes one straight-line tile of each, and drops those above GEMM_MR. A step of
 * two long vectors has time to ask how to fetch; of short ones, the tall tiles are there twice. */
#define TILE_CASE(rows, nv) \
    case rows: \
        if (rows <= GEMM_MR && rows > GEMM_MR / 2 && nv == 2 && VF32_LANES == 8 && t->passing) \
            tiles(t, n, rows, nv, true); \
        else if (rows <= GEMM_MR) \
            tiles(t, n, rows, nv, false); \
        break;
#define TILE_CASES(nv) \
    TILE_CASE(1, nv) TILE_CASE(2, nv) TILE_CASE(3, nv) TILE_CASE(4, nv) TILE_CASE(5, nv) TILE_CASE(6, nv) \
    TILE_CASE(7, nv) TILE_CASE(8, nv) TILE_CASE(9, nv) TILE_CASE(10, nv) TILE_CASE(11, nv) TILE_CASE(12, nv)

/* Panels of two vectors and of one. */
static void tile_wide(tile_job *t, int64_t n, int mr)
{
    switch (mr) { TILE_CASES(2) }
}

static void tile_narrow(tile_job *t, int64_t n, int mr)
{
    switch (mr) { TILE_CASES(1) }
}

/* Floats of a step of the panel: the last is one vector wide when no more columns are left. */
static int panel_width(int64_t n, int64_t panel) { return n - panel * PANEL <= VF32_LANES ? VF32_LANES : PANEL; }

/* Panels that n columns take. */
int64_t INGOT_FN(gemm_panels_f32)(int64_t n) { return n / PANEL + (n % PANEL != 0); }

/* All panels are PANEL wide but the last. */
int64_t INGOT_FN(gemm_packed_f32)(int64_t n, int64_t k)
{
    const int64_t panels = INGOT_FN(gemm_panels_f32)(n);
    return n <= 0 ? 0 : ((panels - 1) * PANEL + panel_width(n, panels - 1)) * k;
}

/* Eight columns of B, stored one after the other with `from_step` between, become parts of eight steps of a panel. */
INGOT_INLINE void pack_square(float *to, int width, const float *from, ptrdiff_t from_step)
{
    vf8 r[8];

    INGOT_UNROLL
    for (int j = 0; j < 8; j++)
        r[j] = vf8_load(from + j * from_step);
    vf8_transpose(r);
    INGOT_UNROLL
    for (int i = 0; i < 8; i++)
        vf8_store(to + i * width, r[i]);
}

/* `steps` steps of `have` columns of a B that is stored by columns. */
static void pack_columns(float *to, int width, const float *from, ptrdiff_t b_row, ptrdiff_t b_col, int steps, int have)
{
    int i = 0;

    for (; b_row == 1 && i + 8 <= steps; i += 8) {
        int j = 0;
        for (; j + 8 <= have; j += 8)
            pack_square(to + i * width + j, width, from + i + j * b_col, b_col);
        for (; j < have; j++)
            for (int l = i; l < i + 8; l++)
                to[l * width + j] = from[l + j * b_col];
    }
    for (; i < steps; i++)
        for (int j = 0; j < have; j++)
            to[i * width + j] = from[i * b_row + j * b_col];
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

            /* columns that fill up the last panel are zeros */
            if (have < width)
                memset(to, 0, (size_t)(steps * width) * sizeof *to);
            if (b_col == 1)
                for (int i = 0; i < steps; i++)
                    memcpy(to + i * width, from + i * b_row, (size_t)have * sizeof *to);
            else
                pack_columns(to, width, from, b_row, b_col, steps, have);
        }
    }
}

/* What gemm_f32 was called with. */
typedef struct product {
    const ingot_gemm *g;
    const ingot_epilogue *e;
    const float *a, *packed;
    float *c;
    int64_t chunk;             /* steps of k in a pass */
} product;

/* Where the chunk of a panel that starts at step k0 is stored. */
static const float *packed_at(const product *p, int64_t panel, int64_t k0)
{
    return p->packed + panel * PANEL * p->g->k + k0 * panel_width(p->g->n, panel);
}

/* The job of the tiles at one chunk of a panel, for row 0. */
static tile_job chunk_job(const product *p, int64_t panel, int64_t k0, int64_t k1)
{
    const ingot_gemm *g = p->g;
    const ingot_epilogue *e = p->e;
    const int64_t column = panel * PANEL;
    const bool first = k0 == 0;
    tile_job t = {
        .a = p->a + k0 * g->a_col,
        .b = packed_at(p, panel, k0),
        .c = p->c + column,
        .bias = first && e->bias ? e->bias + column : NULL,
        .row_bias = first ? e->row_bias : NULL,
        .onto = !first ? p->c + column : e->residual ? e->residual + column : NULL,
        .a_row = g->a_row, .a_col = g->a_col, .ldc = g->ldc, .k = k1 - k0,
        .n = (int)min64(g->n - column, PANEL),
        .alpha = g->alpha, .low = -INFINITY, .high = INFINITY,
    };

    if (k1 == g->k)
        clip_range(e, &t.low, &t.high);
    t.bare = t.alpha == 1.0f && !t.bias && !t.row_bias && !t.onto && t.low == -INFINITY && t.high == INFINITY &&
             t.n == panel_width(g->n, panel);
    return t;
}

/* Rows [m0, m1) at one chunk of a panel, in strips of nearly equal height, while `next` is fetched. */
static void run_chunk(const product *p, int64_t m0, int64_t m1, int64_t panel, int64_t k0, const float *next)
{
    const ingot_gemm *g = p->g;
    const int64_t k1 = min64(g->k, k0 + p->chunk);
    const int width = panel_width(g->n, panel);
    const bool act = k1 == g->k && act_follows(p->e);
    tile_job t = chunk_job(p, panel, k0, k1);
    int64_t strips = ceil_div(m1 - m0, GEMM_MR);

    t.next = next ? (const char *)next : (const char *)t.b;
    t.next_step = next ? ceil_div(width * (int64_t)sizeof *next, strips) : 0;
    t.passing = ingot_wide_is_split();
    t.a += m0 * g->a_row;
    t.c += m0 * g->ldc;
    t.row_bias = t.row_bias ? t.row_bias + m0 : NULL;
    t.onto = t.onto ? t.onto + m0 * g->ldc : NULL;
    for (int64_t row = m0; row < m1;) {
        /* as many strips as have this height, or a few where an activation follows them */
        const int64_t mr = ceil_div(m1 - row, strips), equal = (m1 - row) - (mr - 1) * strips;
        const int64_t n = act ? min64(equal, ACT_STRIPS) : equal;
        float *c = t.c;

        if (width == PANEL)
            tile_wide(&t, n, (int)mr);
        else
            tile_narrow(&t, n, (int)mr);
        if (act)
            INGOT_FN(act_rows_f32)(c, g->ldc, n * mr, t.n, p->e);
        strips -= n;
        row += n * mr;
    }
}

/* Rows [m0, m1) of panels [p0, p1). Once even for k = 0, which leaves bias and residual. */
static void run_block(const product *p, int64_t m0, int64_t m1, int64_t p0, int64_t p1)
{
    for (int64_t panel = p0; panel < p1; panel++) {
        int64_t k0 = 0;
        do {
            /* what is fetched meanwhile: the next chunk of this panel, or the first of the next panel */
            const bool ends = k0 + p->chunk >= p->g->k;
            const float *next = !ends           ? packed_at(p, panel, k0 + p->chunk)
                              : panel + 1 < p1 ? packed_at(p, panel + 1, 0)
                                               : NULL;
            run_chunk(p, m0, m1, panel, k0, next);
            k0 += p->chunk;
        } while (k0 < p->g->k);
    }
}

/* Blocks of rows small enough that their part of A is read again from near by, of nearly equal height in whole tiles;
 * for each, all panels. Where blocks and strips end changes no bit: a sum depends on its row and column alone. */
void INGOT_FN(gemm_f32)(const ingot_gemm *g, const float *a, const float *packed, float *c, const ingot_epilogue *e,
                        int64_t m0, int64_t m1, int64_t p0, int64_t p1)
{
    const int64_t chunks = max64(1, ceil_div(g->k, K_CHUNK)), chunk = ceil_div(g->k, chunks);
    const product p = { .g = g, .e = e, .a = a, .packed = packed, .c = c, .chunk = chunk };
    const int64_t fit = max64(4 * GEMM_MR, BLOCK_FLOATS / max64(chunk, 1));
    int64_t blocks = ceil_div(m1 - m0, fit);

    for (int64_t row = m0; row < m1; blocks--) {
        const int64_t even = ceil_div(m1 - row, blocks), rows = min64(m1 - row, ceil_div(even, GEMM_MR) * GEMM_MR);
        run_block(&p, row, row + rows, p0, p1);
        row += rows;
    }
}
