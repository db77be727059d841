/* dot_i8.c - products of 8-bit integers with B packed into panels, exact modulo 2^32 on every processor.
 *
 * As in gemm.c, a tile of up to GEMM_MR rows by a panel of two vectors lives in registers. A lane sums a column; each
 * step multiplies DOT_GROUP elements of a row, broadcast, with those of the column. What an operand element is depends
 * on the instructions (simd_pairs.h, simd_vnni.h). 16-bit ones have no zero points any more. Of bytes, those of A are
 * made unsigned and those of B signed, and the zero points are taken off afterwards:
 *
 *     sum (a - za)(b - zb) = sum a b - zb sum a - za sum (b - zb)
 *
 * The last sum is a constant of the column, part of dot_add_i8(). The one before is needed only where columns have zero
 * points: the panel's second vector holds ones then, so that it sums A's rows.
 *
 * A packed B begins with the columns' sums and zero points, and has its panels after them. */
#include "ops/kernels/isa.h"

enum {
    PANEL = 2 * VF32_LANES,
    VECTOR_BYTES = VF32_LANES * 4,
    STEPS = 8 / DOT_GROUP,     /* that a piece takes */
    BLOCK_BYTES = 384 * 1024,  /* of packed B that stay in the second-level cache */
    MAX_ROWS = 12, FEW_ROWS = 1 + GEMM_MR / 8,
    OUTSIDE = DOT_BYTES == 1,  /* zero points are taken off after the product */
};

/* One tile's work. */
typedef struct tile_job {
    const char *a[MAX_ROWS];
    const char *b;
    const int64_t *tap_at;
    int64_t taps, blocks, block_bytes;
    const ingot_dot_out *o;
    const int32_t *zeros;      /* of the columns, where the second vector has summed the rows; else NULL */
    char *dst;
    int64_t column;
    int rows, n;               /* rows and columns that exist */
} tile_job;

/* Does a panel's second vector sum A's rows? Then it has one vector of columns, else two. */
static bool sums_rows(const ingot_dot *d) { return OUTSIDE && d->b_zeros; }
static int64_t panel_columns(const ingot_dot *d) { return sums_rows(d) ? VF32_LANES : PANEL; }
static int64_t count_steps(const ingot_dot *d) { return d->taps * d->blocks * STEPS; }

/* Vectors of a panel: one when that holds the last columns. */
static int panel_vectors(const ingot_dot *d, int64_t panel)
{
    return !sums_rows(d) && d->n - panel * PANEL <= VF32_LANES ? 1 : 2;
}

/* Panels of a product, and columns with those that fill up the last panel: `scale`, `bias` and `add` have as many. */
int64_t INGOT_FN(dot_panels_i8)(const ingot_dot *d) { return ceil_div(d->n, panel_columns(d)); }
int64_t INGOT_FN(dot_columns_i8)(const ingot_dot *d) { return INGOT_FN(dot_panels_i8)(d) * panel_columns(d); }

/* Where a panel begins in packed memory. */
static int64_t panel_at(const ingot_dot *d, int64_t panel)
{
    return 2 * (int64_t)sizeof(int32_t) * INGOT_FN(dot_columns_i8)(d) + panel * 2 * VECTOR_BYTES * count_steps(d);
}

/* Bytes of packed B: where a panel past the last one would begin. */
int64_t INGOT_FN(dot_packed_i8)(const ingot_dot *d) { return panel_at(d, INGOT_FN(dot_panels_i8)(d)); }

/* Element l of a column's lane. */
INGOT_INLINE void put(char *lane, int64_t l, int vectors, int value)
{
    char *at = lane + l / DOT_GROUP * vectors * VECTOR_BYTES + l % DOT_GROUP * DOT_BYTES;
    const int16_t wide = (int16_t)value;

    if (OUTSIDE)
        *at = (char)value;
    else
        memcpy(at, &wide, sizeof wide);
}

/* Column j, which has k elements b_row apart; its lane is cleared. Returns the sum of its elements less zero. */
static int32_t pack_column(const ingot_dot *d, char *lane, int vectors, const uint8_t *b, ptrdiff_t b_row, int64_t k,
                           int zero)
{
    const int off = !OUTSIDE ? zero : d->b_signed ? 0 : 128;
    uint32_t sum = 0;

    for (int64_t l = 0; l < k; l++) {
        const int value = d->b_signed ? (int8_t)b[l * b_row] : b[l * b_row];
        put(lane, l, vectors, value - off);
        sum += (uint32_t)(value - zero);
    }
    return (int32_t)sum;
}

/* nv vectors of neighbouring columns that all exist, step by step, which are `stride` bytes apart: rows of b are read
 * as they come. zeros are their zero points, sums receive those of the elements less them. */
INGOT_INLINE void pack_rows(const ingot_dot *d, char *panel, int64_t stride, const uint8_t *b, ptrdiff_t b_row,
                            int64_t k, const int32_t *zeros, int32_t *sums, int nv)
{
    const vi32 low = vi32_set1(DOT_BYTES == 1 ? 0xff : 0xffff), middle = vi32_set1(d->b_signed ? 0 : 128);

    for (int v = 0; v < nv; v++) {
        const vi32 zero = zeros ? vi32_load(zeros + v * VF32_LANES) : vi32_set1(0);
        vi32 sum = vi32_set1(0);

        for (int64_t l = 0; l < k; l += DOT_GROUP) {
            vi32 step = vi32_set1(0);
            for (int i = 0; i < DOT_GROUP && l + i < k; i++) {
                const vi32 x = vi32_load_i8(b + (l + i) * b_row + v * VF32_LANES, d->b_signed);
                const vi32 less = vi32_sub(x, zero), element = OUTSIDE ? vi32_sub(x, middle) : less;
                step = vi32_or(step, vi32_shl(vi32_and(element, low), i * 8 * DOT_BYTES));
                sum = vi32_add(sum, less);
            }
            vi32_store((int32_t *)(void *)(panel + l / DOT_GROUP * stride + v * VECTOR_BYTES), step);
        }
        vi32_store(sums + v * VF32_LANES, sum);
    }
}

/* Panels [p0, p1), and at the front of packed B the sums and offsets of their columns. Columns past n have sum 0 and
 * lanes of zeros, so that they multiply to nothing. */
void INGOT_FN(dot_pack_i8)(const ingot_dot *d, void *packed, const void *b, ptrdiff_t b_row, ptrdiff_t b_col, int64_t k,
                           const int32_t *zeros, int64_t p0, int64_t p1)
{
    const int64_t columns = panel_columns(d);
    int32_t *sums = packed, *offs = sums + INGOT_FN(dot_columns_i8)(d);

    for (int64_t p = p0; p < p1; p++) {
        const int vectors = panel_vectors(d, p);
        const bool whole = b_col == 1 && (p + 1) * columns <= d->n;
        char *panel = (char *)packed + panel_at(d, p);

        memset(panel, 0, (size_t)(count_steps(d) * vectors * VECTOR_BYTES));
        if (whole)
            pack_rows(d, panel, vectors * VECTOR_BYTES, (const uint8_t *)b + p * columns, b_row, k,
                      zeros ? zeros + p * columns : NULL, sums + p * columns, sums_rows(d) ? 1 : 2);
        for (int64_t j = 0; j < columns; j++) {
            const int64_t column = p * columns + j;
            const int zero = zeros && column < d->n ? zeros[column] : 0;
            char *lane = panel + j * 4;

            /* offsets follow what elements were packed as: bytes without a sign went 128 lower */
            offs[column] = zero - (d->b_signed ? 0 : 128);
            if (!whole)
                sums[column] = column < d->n ? pack_column(d, lane, vectors, (const uint8_t *)b + column * b_col,
                                                           b_row, k, zero) : 0;
            for (int64_t l = 0; sums_rows(d) && l < k; l++)
                put(lane + VECTOR_BYTES, l, vectors, 1);
        }
    }
}

/* What is added to every sum of a column: its bias, and where A's zero point is still in its elements, less that
 * times the sum of the column's elements. Arithmetic is unsigned, as it may wrap around. */
void INGOT_FN(dot_add_i8)(const ingot_dot *d, const void *packed, const int32_t *bias, int a_zero, int32_t *add)
{
    const int64_t columns = INGOT_FN(dot_columns_i8)(d);
    const int32_t *sums = packed;
    const uint32_t off = OUTSIDE ? (uint32_t)(a_zero + (d->a_signed ? 128 : 0)) : 0;

    for (int64_t j = 0; j < columns; j++)
        add[j] = (int32_t)((bias && j < d->n ? (uint32_t)bias[j] : 0) - off * (uint32_t)sums[j]);
}

/* Elements of A as the products read them: bytes as they are, or 16-bit numbers less the zero point. */
void INGOT_FN(dot_line_i8)(void *dst, const void *src, int64_t n, bool is_signed, int zero)
{
    const uint8_t *u = src;
    int16_t *wide = dst;

    if (OUTSIDE)
        memcpy(dst, src, (size_t)n);
    else if (is_signed)
        for (int64_t i = 0; i < n; i++)
            wide[i] = (int16_t)((int8_t)u[i] - zero);
    else
        for (int64_t i = 0; i < n; i++)
            wide[i] = (int16_t)(u[i] - zero);
}

/* A group of neighbouring elements of a row in every lane; `flip` turns signed bytes to unsigned ones, 128 higher. */
INGOT_INLINE vi32 broadcast(const char *p, bool flip)
{
    int32_t group;

    memcpy(&group, p, sizeof group);
    return flip ? vi32_xor(vi32_set1(group), vi32_set1((int32_t)0x80808080)) : vi32_set1(group);
}

/* One row's results of a vector, 32 bits each, to p, as far as there are columns. */
INGOT_INLINE void store_words(const ingot_dot_out *o, char *p, vi32 x, int n)
{
    int32_t lanes[VF32_LANES];

    if (o->block == 8 && n >= VF32_LANES) {
        vi32_store((int32_t *)(void *)p, x);
        return;
    }
    vi32_store(lanes, x);
    for (int j = 0; j < VF32_LANES && j < n; j += 8)
        memcpy(p + j / 8 * o->block * 4, lanes + j, (size_t)(o->whole_blocks || n - j >= 8 ? 8 : n - j) * 4);
}

/* The same for bytes, the last block of which may not be whole. */
INGOT_INLINE void store_some_bytes(const ingot_dot_out *o, char *p, vi32 x, int n)
{
    uint8_t bytes[VF32_LANES];

    vi32_store_i8(bytes, x);
    for (int j = 0; j < VF32_LANES && j < n; j += 8)
        memcpy(p + j / 8 * o->block, bytes + j, (size_t)(n - j < 8 ? n - j : 8));
}

/* A vector of columns: what finish_() needs of each. */
typedef struct column_job {
    const tile_job *t;
    const int32_t *sums;
    char *dst;
    vi32 add, zeros;
    vf32 scale, bias;
    int n;
} column_job;

/* Row i's sums with all that dot_add_i8() says; `zeros`: less the row's sum times the columns' zero points. */
INGOT_INLINE vi32 complete(const column_job *c, int i, bool zeros)
{
    const int32_t *sums = c->sums + i * PANEL;
    const vi32 x = vi32_add(vi32_load(sums), c->add);

    return zeros ? vi32_sub(x, vi32_mul(c->zeros, vi32_load(sums + VF32_LANES))) : x;
}

/* Quantized results: scaled, clamped, rounded, and the zero point added; `whole`: all eight bytes of a block are
 * stored, even past the last column. */
INGOT_INLINE void finish_bytes(const column_job *c, bool zeros, bool whole)
{
    const ingot_dot_out *o = c->t->o;
    const vf32 low = vf32_set1(o->low), high = vf32_set1(o->high);
    const vi32 zero = vi32_set1(o->zero);
    const int blocks = (c->n + 7) / 8;
    char *dst = c->dst;

    for (int i = 0; i < c->t->rows; i++, dst += o->row) {
        const vf32 y = vf32_mul(vf32_from_i32(complete(c, i, zeros)), c->scale);
        const vi32 x = vi32_add(vf32_to_i32(vf32_min(vf32_max(y, low), high)), zero);
        if (whole)
            vi32_store_i8_blocks(dst, o->block, blocks, x);
        else
            store_some_bytes(o, dst, x, c->n);
    }
}

/* Results of 32 bits: sums as they are, or floats with scale and bias. */
INGOT_INLINE void finish_words(const column_job *c, bool zeros)
{
    const ingot_dot_out *o = c->t->o;

    for (int i = 0; i < c->t->rows; i++) {
        vi32 x = complete(c, i, zeros);
        if (o->kind == INGOT_DOT_FLOAT) {
            const vf32 y = vf32_mul(vf32_from_i32(x), c->scale);
            x = vf32_bits(o->bias ? vf32_add(y, c->bias) : y);
        }
        store_words(o, c->dst + i * o->row * 4, x, c->n);
    }
}

/* Rows of sums, two vectors each, become results of the output's kind; for vector v. */
static void finish(const tile_job *t, const int32_t *sums, int v)
{
    const ingot_dot_out *o = t->o;
    const int64_t column = t->column + v * VF32_LANES, size = o->kind == INGOT_DOT_BYTE ? 1 : 4;
    const column_job c = {
        .t = t, .sums = sums + v * VF32_LANES, .dst = t->dst + column / 8 * o->block * size,
        .add = vi32_load(o->add + column), .zeros = t->zeros ? vi32_load(t->zeros + column) : vi32_set1(0),
        .scale = o->kind == INGOT_DOT_INT32 ? vf32_zero() : vf32_load(o->scale + column),
        .bias = o->bias ? vf32_load(o->bias + column) : vf32_zero(), .n = t->n - v * VF32_LANES,
    };

    if (c.n <= 0)
        return;
    if (size == 4 && t->zeros)
        finish_words(&c, true);
    else if (size == 4)
        finish_words(&c, false);
    else if (!o->whole_blocks && c.n < VF32_LANES)
        finish_bytes(&c, t->zeros != NULL, false);
    else if (t->zeros)
        finish_bytes(&c, true, true);
    else
        finish_bytes(&c, false, true);
}

/* mr rows by nv vectors; `flip` makes bytes of A unsigned. */
INGOT_INLINE void tile(const tile_job *t, int32_t *sums, int mr, int nv, bool flip)
{
    vi32 acc[MAX_ROWS][2];
    const char *b = t->b;

    INGOT_UNROLL
    for (int i = 0; i < mr; i++) {
        INGOT_UNROLL
        for (int v = 0; v < nv; v++)
            acc[i][v] = vi32_set1(0);
    }
    for (int64_t tap = 0; tap < t->taps; tap++) {
        int64_t at = t->tap_at[tap] * DOT_BYTES;
        for (int64_t block = 0; block < t->blocks; block++, at += t->block_bytes) {
            INGOT_UNROLL
            for (int s = 0; s < STEPS; s++) {
                vi32 bv[2];
                INGOT_UNROLL
                for (int v = 0; v < nv; v++)
                    bv[v] = vi32_load((const int32_t *)(const void *)(b + (s * nv + v) * VECTOR_BYTES));
                INGOT_UNROLL
                for (int i = 0; i < mr; i++) {
                    const vi32 av = broadcast(t->a[i] + at + s * 4, flip);
                    INGOT_UNROLL
                    for (int v = 0; v < nv; v++)
                        acc[i][v] = vi32_dot(acc[i][v], av, bv[v]);
                }
            }
            b += STEPS * nv * VECTOR_BYTES;
        }
    }
    INGOT_UNROLL
    for (int i = 0; i < mr; i++) {
        INGOT_UNROLL
        for (int v = 0; v < nv; v++)
            vi32_store(sums + i * PANEL + v * VF32_LANES, acc[i][v]);
    }
}

/* Three heights only, as each is a copy of the loop: a tile may be higher than its rows, and the rest is not stored. */
INGOT_INLINE void tile_height(const tile_job *t, int32_t *sums, int nv, bool flip)
{
    if (t->rows > GEMM_MR / 2)
        tile(t, sums, GEMM_MR, nv, flip);
    else if (t->rows > FEW_ROWS)
        tile(t, sums, GEMM_MR / 2, nv, flip);
    else
        tile(t, sums, FEW_ROWS, nv, flip);
}

/* Two vectors or one, by unsigned or signed bytes of A. */
static void tile_wide(const tile_job *t, int32_t *sums) { tile_height(t, sums, 2, false); }
static void tile_narrow(const tile_job *t, int32_t *sums) { tile_height(t, sums, 1, false); }
static void tile_wide_signed(const tile_job *t, int32_t *sums) { tile_height(t, sums, 2, true); }
static void tile_narrow_signed(const tile_job *t, int32_t *sums) { tile_height(t, sums, 1, true); }

/* Up to GEMM_MR rows from `row` on at panels [p0, p1); the tile may be higher, and repeats the last row then. */
static void run_strip(const ingot_dot *d, const char *a, const char *packed, char *dst, const ingot_dot_out *o,
                      int64_t row, int rows, int64_t p0, int64_t p1)
{
    const int64_t size = o->kind == INGOT_DOT_BYTE ? 1 : 4;
    const bool flip = OUTSIDE && d->a_signed;
    int32_t sums[MAX_ROWS * PANEL];
    tile_job t = {
        .tap_at = d->tap_at, .taps = d->taps, .blocks = d->blocks, .block_bytes = d->block_step * DOT_BYTES, .o = o,
        .zeros = sums_rows(d) ? (const int32_t *)(const void *)packed + INGOT_FN(dot_columns_i8)(d) : NULL,
        .dst = dst + row * o->row * size, .rows = rows,
    };

    for (int i = 0; i < MAX_ROWS; i++) {
        /* rows that do not exist repeat the last one, whose results are not stored again */
        const int64_t at = row + (i < rows ? i : rows - 1);
        t.a[i] = a + (d->row_at ? d->row_at[at] : at * d->row_step) * DOT_BYTES;
    }
    for (int64_t p = p0; p < p1; p++) {
        const int vectors = panel_vectors(d, p);
        t.b = packed + panel_at(d, p);
        t.column = p * panel_columns(d);
        t.n = (int)min64(d->n - t.column, panel_columns(d));
        /* sums of the tile, then its results, vector by vector; a vector that summed rows has no results of its own */
        if (vectors == 2)
            (flip ? tile_wide_signed : tile_wide)(&t, sums);
        else
            (flip ? tile_narrow_signed : tile_narrow)(&t, sums);
        finish(&t, sums, 0);
        if (vectors == 2 && !t.zeros)
            finish(&t, sums, 1);
    }
}

/* Panels in blocks that stay in the second-level cache; all rows pass over a block, strip by strip. */
void INGOT_FN(dot_i8)(const ingot_dot *d, const void *a, const void *packed, void *dst, const ingot_dot_out *o,
                      int64_t rows, int64_t p0, int64_t p1)
{
    const int64_t fit = BLOCK_BYTES / (1 + count_steps(d) * 2 * VECTOR_BYTES), block = fit < 1 ? 1 : fit;

    for (int64_t p = p0; p < p1; p += block)
        for (int64_t row = 0; row < rows; row += GEMM_MR)
            run_strip(d, a, packed, dst, o, row, (int)min64(rows - row, GEMM_MR), p, min64(p1, p + block));
}
