/* attend.c - attention with a query in every lane: scores are stored [key][query], so that the softmax needs nothing
 * across lanes, and they are at once the packed operand of the product with the values. */
#include <math.h>

#include "ops/kernels/vmath.h"

/* scale x + add, for one vector of a row. */
INGOT_INLINE vf32 scaled_score(const float *row, int v, vf32 scale, vf32 add)
{
    return vf32_fma(vf32_load(row + v * VF32_LANES), scale, add);
}

/* The larger ones of `most` and of what a row of nv vectors holds. */
INGOT_INLINE void raise_most(vf32 most[2], const float *row, int nv, vf32 scale, const float *add)
{
    const vf32 plus = add ? vf32_set1(*add) : vf32_zero();

    INGOT_UNROLL
    for (int v = 0; v < nv; v++)
        most[v] = vf32_max(scaled_score(row, v, scale, plus), most[v]);
}

/* Columns of nv vectors: the largest of each, then exp of what is left and its sum, and the sum's inverse. add is read
 * only where it is given. A column that holds NaN, or -infinity alone, becomes NaN, as Softmax has it. */
INGOT_INLINE void softmax_vectors(float *data, int64_t rows, int nv, float scale, const float *add, float *inverse)
{
    const int width = nv * VF32_LANES;
    const vf32 scales = vf32_set1(scale);
    vf32 most[2][2], sum[2];
    int64_t i = 0;

    INGOT_UNROLL
    for (int v = 0; v < nv; v++) {
        most[0][v] = most[1][v] = vf32_set1(-INFINITY);
        sum[v] = vf32_zero();
    }
    /* the largest score of each query, in two chains: each step of a maximum waits for the one before */
    for (; i + 2 <= rows; i += 2) {
        INGOT_UNROLL
        for (int chain = 0; chain < 2; chain++)
            raise_most(most[chain], data + (i + chain) * width, nv, scales, add ? add + i + chain : NULL);
    }
    if (i < rows)
        raise_most(most[0], data + i * width, nv, scales, add ? add + i : NULL);
    INGOT_UNROLL
    for (int v = 0; v < nv; v++)
        most[0][v] = vf32_max(most[0][v], most[1][v]);
    for (i = 0; i < rows; i++) {
        INGOT_UNROLL
        for (int v = 0; v < nv; v++) {
            const vf32 below = add ? vf32_sub(scaled_score(data + i * width, v, scales, vf32_set1(add[i])), most[0][v])
                                   : scaled_score(data + i * width, v, scales, vf32_sub(vf32_zero(), most[0][v]));
            const vf32 e = vf32_exp_below(below);
            sum[v] = vf32_add(sum[v], e);
            vf32_store(data + i * width + v * VF32_LANES, e);
        }
    }
    INGOT_UNROLL
    for (int v = 0; v < nv; v++)
        vf32_store(inverse + v * VF32_LANES, vf32_div(vf32_set1(1.0f), sum[v]));
}

/* A copy of the loop for each width, with and without what is added. */
void INGOT_FN(softmax_columns_f32)(float *data, int64_t rows, int64_t width, float scale, const float *add,
                                   float *inverse)
{
    if (width == VF32_LANES && add)
        softmax_vectors(data, rows, 1, scale, add, inverse);
    else if (width == VF32_LANES)
        softmax_vectors(data, rows, 1, scale, NULL, inverse);
    else if (add)
        softmax_vectors(data, rows, 2, scale, add, inverse);
    else
        softmax_vectors(data, rows, 2, scale, NULL, inverse);
}

/* Squares of eight by eight go through registers; what is left at the edges one by one. */
void INGOT_FN(scale_transposed_f32)(float *dst, ptrdiff_t dst_row, const float *src, ptrdiff_t src_row, int64_t rows,
                                    int64_t columns, const float *factor)
{
    int64_t j = 0;

    for (; j + 8 <= columns; j += 8) {
        const vf8 f = vf8_load(factor + j);
        int64_t i = 0;
        for (; i + 8 <= rows; i += 8) {
            vf8 r[8];
            INGOT_UNROLL
            for (int l = 0; l < 8; l++)
                r[l] = vf8_mul(vf8_load(src + (i + l) * src_row + j), f);
            vf8_transpose(r);
            INGOT_UNROLL
            for (int l = 0; l < 8; l++)
                vf8_store(dst + (j + l) * dst_row + i, r[l]);
        }
        for (; i < rows; i++)
            for (int64_t l = j; l < j + 8; l++)
                dst[l * dst_row + i] = src[i * src_row + l] * factor[l];
    }
    for (; j < columns; j++)
        for (int64_t i = 0; i < rows; i++)
            dst[j * dst_row + i] = src[i * src_row + j] * factor[j];
}
