/* reduce_rows.c - folding rows of floats: into one number each, or onto each other.
 *
 * Sums run in four vectors over stretches of STRETCH elements whose totals add up in double, so that the error does not
 * grow with the length; the order depends on the length and the instruction set alone. Extremes keep NaN. */
#include <math.h>

#include "ops/kernels/isa.h"
#include "ops/kernels/vmath.h"

enum { STRETCH = 1024, WIDE = 4, TOGETHER = 8 };

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

/* What two parts give together. Extremes keep a NaN of acc by the select, and one of x as vf32_max() itself does. */
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

/* The first n of VF32_LANES elements, and neutral ones. */
INGOT_INLINE vf32 load_tail(ingot_fold fold, const float *src, size_t n)
{
    static const int32_t numbers[] = { 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15 };
    return vf32_select(vi32_lt(vi32_load(numbers), vi32_set1((int32_t)n)), vf32_load_n(src, n),
                       vf32_set1(neutral(fold)));
}

/* The lanes of acc folded into total. */
INGOT_INLINE double join_lanes(ingot_fold fold, double total, vf32 acc)
{
    if (fold == INGOT_FOLD_MAX || fold == INGOT_FOLD_MIN) {
        const double best = (double)(fold == INGOT_FOLD_MAX ? vf32_hmax(acc) : vf32_hmin(acc));
        if (total != total || vm32_any(vm32_not(vf32_eq(acc, acc))))
            return NAN;
        return fold == INGOT_FOLD_MAX ? (best > total ? best : total) : (best < total ? best : total);
    }
    if (fold == INGOT_FOLD_PROD) {
        float lanes[VF32_LANES];
        vf32_store(lanes, acc);
        for (int l = 0; l < VF32_LANES; l++)
            total *= (double)lanes[l];
        return total;
    }
    return total + (double)vf32_hsum(acc);
}

/* n elements in stretches: WIDE vectors side by side, then single vectors, then the tail filled up with elements
 * that change nothing. Each stretch's total joins the others in double. */
INGOT_INLINE double fold_row(ingot_fold fold, const float *src, size_t n, float shift)
{
    const vf32 by = vf32_set1(shift);
    double total = fold == INGOT_FOLD_EXP ? 0 : (double)neutral(fold);
    for (size_t begin = 0; begin < n; begin += STRETCH) {
        const size_t end = n - begin < STRETCH ? n : begin + STRETCH;
        vf32 acc[WIDE];
        size_t i = begin;
        INGOT_UNROLL
        for (int w = 0; w < WIDE; w++)
            acc[w] = vf32_set1(fold == INGOT_FOLD_EXP ? 0.0f : neutral(fold));
        for (; i + WIDE * VF32_LANES <= end; i += WIDE * VF32_LANES) {
            INGOT_UNROLL
            for (int w = 0; w < WIDE; w++)
                acc[w] = join(fold, acc[w], map(fold, vf32_load(src + i + w * VF32_LANES), by));
        }
        for (; i + VF32_LANES <= end; i += VF32_LANES)
            acc[0] = join(fold, acc[0], map(fold, vf32_load(src + i), by));
        if (i < end)
            acc[1] = join(fold, acc[1], map(fold, load_tail(fold, src + i, end - i), by));
        total = join_lanes(fold, total, join(fold, join(fold, acc[0], acc[1]), join(fold, acc[2], acc[3])));
    }
    return total;
}

/* Fold `rows` <= TOGETHER rows onto dst[0..n), which counts as one more row unless `first`. */
INGOT_INLINE void fold_group(ingot_fold fold, float *dst, const float *src, ptrdiff_t stride, int rows, size_t n,
                             const float *shift, bool first)
{
    for (size_t j = 0; j < n; j += VF32_LANES) {
        const size_t width = n - j < VF32_LANES ? n - j : VF32_LANES;
        const bool whole = width == VF32_LANES;
        vf32 by = vf32_zero(), acc;
        if (fold == INGOT_FOLD_EXP)
            by = whole ? vf32_load(shift + j) : vf32_load_n(shift + j, width);
        if (whole) {
            acc = map(fold, vf32_load(src + j), by);
            for (int r = 1; r < rows; r++)
                acc = join(fold, acc, map(fold, vf32_load(src + r * stride + j), by));
            vf32_store(dst + j, first ? acc : join(fold, vf32_load(dst + j), acc));
        } else {
            acc = map(fold, vf32_load_n(src + j, width), by);
            for (int r = 1; r < rows; r++)
                acc = join(fold, acc, map(fold, vf32_load_n(src + r * stride + j, width), by));
            vf32_store_n(dst + j, first ? acc : join(fold, vf32_load_n(dst + j, width), acc), width);
        }
    }
}

/* Rows onto dst, TOGETHER at a time and then those left, so that dst is read and written once for several rows. */
INGOT_INLINE void fold_rows(ingot_fold fold, float *dst, const float *src, ptrdiff_t stride, size_t rows, size_t n,
                            const float *shift)
{
    size_t r = 0;
    for (; r + TOGETHER <= rows; r += TOGETHER)
        fold_group(fold, dst, src + (ptrdiff_t)r * stride, stride, TOGETHER, n, shift, r == 0);
    if (r < rows)
        fold_group(fold, dst, src + (ptrdiff_t)r * stride, stride, (int)(rows - r), n, shift, r == 0);
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

/* One row to one number, in double: the caller rounds it, or takes a root or a logarithm first. */
double INGOT_FN(fold_row_f32)(ingot_fold fold, const float *src, size_t n, float shift)
{
    double result = 0;
#define CALL(kind) result = fold_row(kind, src, n, shift)
    EACH_FOLD(CALL)
#undef CALL
    return result;
}

/* Rows folded into one, element by element, in float. */
void INGOT_FN(fold_rows_f32)(ingot_fold fold, float *dst, const float *src, ptrdiff_t stride, size_t rows, size_t n,
                             const float *shift)
{
#define CALL(kind) fold_rows(kind, dst, src, stride, rows, n, shift)
    EACH_FOLD(CALL)
#undef CALL
}

/* Sums of a blocked image by channel, in double over stretches as long as those of a row. */
void INGOT_FN(sum_pixels_f32)(double *sums, const float *src, size_t pixels)
{
    for (int l = 0; l < 8; l++)
        sums[l] = 0;
    for (size_t begin = 0; begin < pixels; begin += STRETCH / 8) {
        const size_t end = pixels - begin < STRETCH / 8 ? pixels : begin + STRETCH / 8;
        vf8 acc[WIDE];
        float lanes[8];
        size_t p = begin;
        INGOT_UNROLL
        for (int w = 0; w < WIDE; w++)
            acc[w] = vf8_zero();
        /* four chains, as each addition waits for the one before it in its chain */
        for (; p + WIDE <= end; p += WIDE) {
            INGOT_UNROLL
            for (int w = 0; w < WIDE; w++)
                acc[w] = vf8_add(acc[w], vf8_load(src + (p + (size_t)w) * 8));
        }
        for (; p < end; p++)
            acc[0] = vf8_add(acc[0], vf8_load(src + p * 8));
        vf8_store(lanes, vf8_add(vf8_add(acc[0], acc[1]), vf8_add(acc[2], acc[3])));
        for (int l = 0; l < 8; l++)
            sums[l] += (double)lanes[l];
    }
}

/* ---- where the largest element is: of x times sign, so that -1 finds the smallest. NaN counts as the largest. ---- */

/* Is x to replace best? */
INGOT_INLINE vm32 is_better(vf32 x, vf32 best, bool last)
{
    const vm32 above = last ? vf32_le(best, x) : vf32_lt(best, x), nan = vm32_not(vf32_eq(x, x));
    return vm32_or(vm32_and(nan, last ? nan : vf32_eq(best, best)), vm32_and(above, vf32_eq(best, best)));
}

/* One more row for n searches that run side by side: best and index take over where its elements are better. best
 * holds elements times sign. */
void INGOT_FN(arg_rows_f32)(float *best, int32_t *index, const float *src, size_t n, int32_t row, float sign, bool last)
{
    const vi32 number = vi32_set1(row);
    for (size_t j = 0; j < n; j += VF32_LANES) {
        const size_t width = n - j < VF32_LANES ? n - j : VF32_LANES;
        const vf32 x = vf32_mul(vf32_load_n(src + j, width), vf32_set1(sign)), old = vf32_load_n(best + j, width);
        const vm32 better = is_better(x, old, last);
        vf32_store_n(best + j, vf32_select(better, x, old), width);
        vi32_store_n(index + j, vi32_select(better, number, vi32_load_n(index + j, width)), width);
    }
}

/* Is x better than best, or as good? NaN is better than any number and as good as NaN. */
INGOT_INLINE bool beats(float x, float best) { return x > best || (x != x && best == best); }
INGOT_INLINE bool ties(float x, float best) { return x == best || (x != x && best != best); }

/* The position in one row, -1 for an empty one. Each lane searches by itself; then the lanes are compared, of equal
 * ones the first or last position wins, and the tail follows one by one. */
int32_t INGOT_FN(arg_row_f32)(float *best, const float *src, size_t n, float sign, bool last)
{
    float values[VF32_LANES];
    int32_t found[VF32_LANES], where = -1;
    vf32 most = vf32_set1(-INFINITY);
    vi32 index = vi32_set1(-1);
    size_t i = 0;
    for (; i + VF32_LANES <= n; i += VF32_LANES) {     /* each lane for itself; index counts vectors */
        const vf32 x = vf32_mul(vf32_load(src + i), vf32_set1(sign));
        const vm32 better = vm32_or(is_better(x, most, last), vi32_eq(index, vi32_set1(-1)));
        most = vf32_select(better, x, most);
        index = vi32_select(better, vi32_set1((int32_t)(i / VF32_LANES)), index);
    }
    vf32_store(values, most);
    vi32_store(found, index);
    for (int l = 0; l < VF32_LANES && i > 0; l++) {
        /* lanes are compared by value, and by place where values tie */
        const int32_t at = found[l] * VF32_LANES + l;
        if (where < 0 || beats(values[l], *best) || (ties(values[l], *best) && (at < where) != last)) {
            *best = values[l];
            where = at;
        }
    }
    for (; i < n; i++) {
        const float x = src[i] * sign;
        if (where < 0 || beats(x, *best) || (last && ties(x, *best))) {
            *best = x;
            where = (int32_t)i;
        }
    }
    return where;
}
