/* reduce.c - folding rows of floats: into one number each, or onto each other.
 *
 * Sums run in four vectors over stretches of STRETCH elements whose totals add up in double, so that the error does not
 * grow with the length; the order depends on the length and the instruction set alone. Extremes keep NaN. */
#include <math.h>

#include "ops/kernels/isa.h"
#include "ops/kernels/vmath.h"

enum { STRETCH = 1024, WIDE = 4 };

/* What an element contributes. */
INGOT_INLINE vf32 map(ingot_fold fold, vf32 x, vf32 shift)
{
    switch (fold) {
    case INGOT_FOLD_ABS: return vf32_abs(x);
    case INGOT_FOLD_SQUARE: return vf32_mul(x, x);
    case INGOT_FOLD_EXP: return vf32_exp(vf32_sub(x, shift));
    default: return x;
    }
}

INGOT_INLINE vf32 join(ingot_fold fold, vf32 acc, vf32 x)
{
    switch (fold) {
    case INGOT_FOLD_MAX: return vf32_select(vf32_eq(acc, acc), vf32_max(acc, x), acc);
    case INGOT_FOLD_MIN: return vf32_select(vf32_eq(acc, acc), vf32_min(acc, x), acc);
    case INGOT_FOLD_PROD: return vf32_mul(acc, x);
    default: return vf32_add(acc, x);
    }
}

/* An element that changes nothing, before map(). */
INGOT_INLINE float neutral(ingot_fold fold)
{
    switch (fold) {
    case INGOT_FOLD_EXP:
    case INGOT_FOLD_MAX: return -INFINITY;
    case INGOT_FOLD_MIN: return INFINITY;
    case INGOT_FOLD_PROD: return 1.0f;
    default: return 0.0f;
    }
}

INGOT_INLINE double join_scalar(ingot_fold fold, double acc, double x)
{
    switch (fold) {
    case INGOT_FOLD_MAX: return acc >= x || acc != acc ? acc : x;
    case INGOT_FOLD_MIN: return acc <= x || acc != acc ? acc : x;
    case INGOT_FOLD_PROD: return acc * x;
    default: return acc + x;
    }
}

INGOT_INLINE vf32 load_tail(ingot_fold fold, const float *src, size_t n)
{
    float padded[VF32_LANES];
    for (size_t i = 0; i < VF32_LANES; i++)
        padded[i] = i < n ? src[i] : neutral(fold);
    return vf32_load(padded);
}

INGOT_INLINE double fold_row(ingot_fold fold, const float *src, size_t n, float shift)
{
    const vf32 by = vf32_set1(shift);
    double total = fold == INGOT_FOLD_EXP ? 0 : (double)neutral(fold);
    for (size_t begin = 0; begin < n; begin += STRETCH) {
        const size_t end = n - begin < STRETCH ? n : begin + STRETCH;
        vf32 acc[WIDE];
        float lanes[VF32_LANES];
        size_t i = begin;
        INGOT_UNROLL
        for (int w = 0; w < WIDE; w++)
            acc[w] = vf32_set1(fold == INGOT_FOLD_EXP ? 0.0f : neutral(fold));
        for (; i + WIDE * VF32_LANES <= end; i += WIDE * VF32_LANES) {
            INGOT_UNROLL
            for (int w = 0; w < WIDE; w++)
                acc[w] = join(fold, acc[w], map(fold, vf32_load(src + i + w * VF32_LANES), by));
        }
        for (; i < end; i += VF32_LANES)
            acc[0] = join(fold, acc[0], map(fold, load_tail(fold, src + i, end - i), by));
        vf32_store(lanes, join(fold, join(fold, acc[0], acc[1]), join(fold, acc[2], acc[3])));
        for (int l = 0; l < VF32_LANES; l++)
            total = join_scalar(fold, total, (double)lanes[l]);
    }
    return total;
}

/* dst[0..VF32_LANES * wide) of all rows. */
INGOT_INLINE void fold_strip(ingot_fold fold, float *dst, const float *src, ptrdiff_t stride, size_t rows,
                             const float *shift, int wide)
{
    vf32 acc[WIDE], by[WIDE];
    INGOT_UNROLL
    for (int w = 0; w < wide; w++) {
        by[w] = fold == INGOT_FOLD_EXP ? vf32_load(shift + w * VF32_LANES) : vf32_zero();
        acc[w] = map(fold, vf32_load(src + w * VF32_LANES), by[w]);
    }
    for (size_t r = 1; r < rows; r++) {
        INGOT_UNROLL
        for (int w = 0; w < wide; w++)
            acc[w] = join(fold, acc[w], map(fold, vf32_load(src + (ptrdiff_t)r * stride + w * VF32_LANES), by[w]));
    }
    INGOT_UNROLL
    for (int w = 0; w < wide; w++)
        vf32_store(dst + w * VF32_LANES, acc[w]);
}

INGOT_INLINE void fold_rows(ingot_fold fold, float *dst, const float *src, ptrdiff_t stride, size_t rows, size_t n,
                            const float *shift)
{
    size_t j = 0;
    for (; j + WIDE * VF32_LANES <= n; j += WIDE * VF32_LANES)
        fold_strip(fold, dst + j, src + j, stride, rows, shift + j, WIDE);
    for (; j + VF32_LANES <= n; j += VF32_LANES)
        fold_strip(fold, dst + j, src + j, stride, rows, shift + j, 1);
    if (j < n) {
        const vf32 by = fold == INGOT_FOLD_EXP ? vf32_load_n(shift + j, n - j) : vf32_zero();
        vf32 acc = map(fold, vf32_load_n(src + j, n - j), by);
        for (size_t r = 1; r < rows; r++)
            acc = join(fold, acc, map(fold, vf32_load_n(src + (ptrdiff_t)r * stride + j, n - j), by));
        vf32_store_n(dst + j, acc, n - j);
    }
}

/* One loop for each fold: the constant argument leaves nothing of the switches above. */
#define EACH_FOLD(call) \
    switch (fold) { \
    case INGOT_FOLD_SUM: call(INGOT_FOLD_SUM); break; \
    case INGOT_FOLD_ABS: call(INGOT_FOLD_ABS); break; \
    case INGOT_FOLD_SQUARE: call(INGOT_FOLD_SQUARE); break; \
    case INGOT_FOLD_EXP: call(INGOT_FOLD_EXP); break; \
    case INGOT_FOLD_MAX: call(INGOT_FOLD_MAX); break; \
    case INGOT_FOLD_MIN: call(INGOT_FOLD_MIN); break; \
    case INGOT_FOLD_PROD: call(INGOT_FOLD_PROD); break; \
    }

double INGOT_FN(fold_row_f32)(ingot_fold fold, const float *src, size_t n, float shift)
{
    double result = 0;
#define CALL(kind) result = fold_row(kind, src, n, shift)
    EACH_FOLD(CALL)
#undef CALL
    return result;
}

void INGOT_FN(fold_rows_f32)(ingot_fold fold, float *dst, const float *src, ptrdiff_t stride, size_t rows, size_t n,
                             const float *shift)
{
#define CALL(kind) fold_rows(kind, dst, src, stride, rows, n, shift)
    EACH_FOLD(CALL)
#undef CALL
}
