/* blend.c - weighted sums of rows of floats: interpolation along an axis. */
#include "ops/kernels/isa.h"

/* Vectors of a row that are summed side by side; and the floats of a blocked pixel. */
enum { TOGETHER = 4, BLOCK = 8 };

/* A row's terms: row index[t] of src weighs weight[t]. */
typedef struct blend {
    const float *src, *weight;
    ptrdiff_t src_row;
    const int64_t *index;
    int64_t taps;
} blend;

/* A vector of term t from element `at` on; with `n` not 0 its first n elements. */
INGOT_INLINE vf32 load(const blend *b, int64_t t, int64_t at, size_t n)
{
    const float *src = b->src + b->index[t] * b->src_row + at;
    return n ? vf32_load_n(src, n) : vf32_load(src);
}

/* `vectors` vectors of the sum from element `at` on; with `n` not 0 the first n elements of one vector. */
INGOT_INLINE void blend_vectors(const blend *b, float *dst, int64_t at, int vectors, size_t n)
{
    vf32 sum[TOGETHER], weight = vf32_set1(b->weight[0]);

    INGOT_UNROLL
    for (int v = 0; v < vectors; v++)
        sum[v] = vf32_mul(weight, load(b, 0, at + v * VF32_LANES, n));
    for (int64_t t = 1; t < b->taps; t++) {
        weight = vf32_set1(b->weight[t]);
        INGOT_UNROLL
        for (int v = 0; v < vectors; v++)
            sum[v] = vf32_fma(weight, load(b, t, at + v * VF32_LANES, n), sum[v]);
    }
    INGOT_UNROLL
    for (int v = 0; v < vectors; v++)
        if (n)
            vf32_store_n(dst + at, sum[v], n);
        else
            vf32_store(dst + at + v * VF32_LANES, sum[v]);
}

/* Rows of one blocked pixel. */
static void blend_pixels(blend b, float *dst, ptrdiff_t dst_row, int64_t rows)
{
    for (int64_t r = 0; r < rows; r++, b.index += b.taps, b.weight += b.taps) {
        vf8 sum = vf8_mul(vf8_set1(b.weight[0]), vf8_load(b.src + b.index[0] * b.src_row));
        for (int64_t t = 1; t < b.taps; t++)
            sum = vf8_fma(vf8_set1(b.weight[t]), vf8_load(b.src + b.index[t] * b.src_row), sum);
        vf8_store(dst + r * dst_row, sum);
    }
}

void INGOT_FN(blend_rows_f32)(float *dst, ptrdiff_t dst_row, const float *src, ptrdiff_t src_row, const int64_t *index,
                              const float *weight, int64_t taps, int64_t rows, int64_t n)
{
    blend b = { src, weight, src_row, index, taps };

    if (n == BLOCK) {
        blend_pixels(b, dst, dst_row, rows);
        return;
    }
    for (int64_t r = 0; r < rows; r++, dst += dst_row, b.index += taps, b.weight += taps) {
        int64_t i = 0;
        for (; i + TOGETHER * VF32_LANES <= n; i += TOGETHER * VF32_LANES)
            blend_vectors(&b, dst, i, TOGETHER, 0);
        for (; i + VF32_LANES <= n; i += VF32_LANES)
            blend_vectors(&b, dst, i, 1, 0);
        if (i < n)
            blend_vectors(&b, dst, i, 1, (size_t)(n - i));
    }
}
