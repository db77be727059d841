/* test_reduce.c - folds of rows over lengths that cross every tail, with NaN and infinities among the elements, and
 * weighted sums of rows. */
#include "check.h"

/* LARGEST: rows longer than several unrolled rounds of the widest vectors. A fold is any of ingot_fold. */
enum { LARGEST = 300, N_FOLDS = INGOT_FOLD_PROD + 1 };

/* The fold of n elements `stride` apart by its definition, in double. shift is taken off before the exponential
 * alone. */
static double reference(ingot_fold fold, const float *src, ptrdiff_t stride, size_t n, double shift)
{
    double acc = fold == INGOT_FOLD_MAX ? -INFINITY : fold == INGOT_FOLD_MIN ? INFINITY : fold == INGOT_FOLD_PROD;
    for (size_t i = 0; i < n; i++) {
        const double x = (double)src[(ptrdiff_t)i * stride];
        switch (fold) {
        case INGOT_FOLD_SUM: acc += x; break;
        case INGOT_FOLD_ABS: acc += fabs(x); break;
        case INGOT_FOLD_SQUARE: acc += x * x; break;
        case INGOT_FOLD_EXP: acc += exp(x - shift); break;
        case INGOT_FOLD_MAX: acc = isnan(acc) || isnan(x) ? NAN : x > acc ? x : acc; break;
        case INGOT_FOLD_MIN: acc = isnan(acc) || isnan(x) ? NAN : x < acc ? x : acc; break;
        case INGOT_FOLD_PROD: acc *= x; break;
        }
    }
    return acc;
}

/* One row, contiguous, with `special` (unless 0) among its elements: two thirds along, which is in the vectors' part
 * of a long row and in the tail of a short one. */
static void check_row(const ingot_kernels *k, ingot_fold fold, size_t n, float special)
{
    float *src = check_randoms((int64_t)n);
    if (n && special != 0)
        src[n * 2 / 3] = special;
    /* the kernel's result, and what rounding allows it */
    const double got = k->fold_row_f32(fold, src, n, 0.5f), want = reference(fold, src, 1, n, 0.5);
    const double size = reference(INGOT_FOLD_ABS, src, 1, n, 0);      /* a sum's error grows with its terms */
    const double tolerance = fold == INGOT_FOLD_SUM && isfinite(size) ? 1e-6 + 2e-8 * size : 1e-6;
    check_near((float)got, want, tolerance, "fold_row", (int64_t)n * N_FOLDS + fold);
    check_free(src, (int64_t)n, "fold_row");
}

/* Rows folded into one, element by element, with rows further apart than they are long. */
static void check_rows(const ingot_kernels *k, ingot_fold fold, size_t rows, size_t n, float special)
{
    const int64_t total = (int64_t)(rows * (n + 3));
    float *src = check_randoms(total), *dst = check_floats((int64_t)n), *shift = check_randoms((int64_t)n);
    if (special != 0)
        src[(rows / 2) * (n + 3) + n / 2] = special;
    k->fold_rows_f32(fold, dst, src, (ptrdiff_t)n + 3, rows, n, shift);
    for (size_t j = 0; j < n; j++)
        check_near(dst[j], reference(fold, src + j, (ptrdiff_t)n + 3, rows, (double)shift[j]), 2e-6, "fold_rows",
                   (int64_t)(j * N_FOLDS) + fold);
    check_free(src, total, "fold_rows");
    check_free(dst, (int64_t)n, "fold_rows");
    check_free(shift, (int64_t)n, "fold_rows");
}

/* The first or last of the largest of n elements, by definition. */
static size_t find_largest(const float *src, ptrdiff_t stride, size_t n, float sign, bool last)
{
    size_t best = 0;
    for (size_t i = 1; i < n; i++) {
        const float x = src[(ptrdiff_t)i * stride] * sign, y = src[(ptrdiff_t)best * stride] * sign;
        if (isnan(y) ? isnan(x) && last : isnan(x) || x > y || (x == y && last))
            best = i;
    }
    return best;
}

/* The position of the largest or smallest element, in one row of n and in n columns of 5 rows. There are few
 * distinct values, so that ties are many: `last` says which of equal elements is meant. With a special value there
 * are several of it as well, and the first NaN, or the last, wins over all numbers. */
static void check_arg(const ingot_kernels *k, size_t n, float special, float sign, bool last)
{
    const size_t rows = 5;
    float *src = check_floats((int64_t)(rows * n)), *best = check_floats((int64_t)n), one;
    int32_t *index = calloc(n, sizeof *index);
    for (size_t i = 0; i < rows * n; i++)
        src[i] = floorf(check_random() * 4);
    if (special != 0) {
        src[n / 3] = src[n / 2] = special;
        src[n * rows / 2] = special;
    }
    /* in one row of n */
    const int32_t got = k->arg_row_f32(&one, src, n, sign, last);
    if ((size_t)got != find_largest(src, 1, n, sign, last))
        check_fail("arg_row n=%d: %d", (int)n, got);
    /* in columns: the first row is where the search begins */
    memcpy(best, src, n * sizeof *best);
    for (size_t j = 0; j < n; j++)
        best[j] *= sign;
    for (size_t r = 1; r < rows; r++)
        k->arg_rows_f32(best, index, src + r * n, n, (int32_t)r, sign, last);
    for (size_t j = 0; j < n; j++, check_count++)
        if ((size_t)index[j] != find_largest(src + j, (ptrdiff_t)n, rows, sign, last))
            check_fail("arg_rows n=%d column %d: %d", (int)n, (int)j, index[j]);
    free(index);
    check_free(src, (int64_t)(rows * n), "arg");
    check_free(best, (int64_t)n, "arg");
}

/* Sums of a blocked image, one for each of the eight channels. */
static void check_pixels(const ingot_kernels *k, size_t pixels)
{
    float *src = check_randoms((int64_t)pixels * 8);
    double sums[8];
    k->sum_pixels_f32(sums, src, pixels);
    for (int l = 0; l < 8; l++)
        check_near((float)sums[l], reference(INGOT_FOLD_SUM, src + l, 8, pixels, 0), 2e-6, "sum_pixels", l);
    check_free(src, (int64_t)pixels * 8, "sum_pixels");
}

/* Weighted sums of rows: 4 of them, each of `taps` of 9 rows that are further apart than they are long. */
static void check_blend(const ingot_kernels *k, int64_t taps, int64_t n)
{
    const int64_t rows = 4, src_rows = 9, src_row = n + 3, dst_row = n + 5;
    float *src = check_randoms(src_rows * src_row), *dst = check_floats(rows * dst_row);
    float *weight = check_randoms(rows * taps);
    int64_t *index = calloc((size_t)(rows * taps), sizeof *index);

    for (int64_t t = 0; t < rows * taps; t++)
        index[t] = 5 * t % src_rows;
    k->blend_rows_f32(dst, dst_row, src, src_row, index, weight, taps, rows, n);
    for (int64_t i = 0; i < rows * dst_row; i++) {
        const int64_t row = i / dst_row, at = i % dst_row;
        double want = at < n ? 0 : (double)CANARY;
        for (int64_t t = row * taps; t < (row + 1) * taps && at < n; t++)
            want += (double)weight[t] * (double)src[index[t] * src_row + at];
        check_near(dst[i], want, 1e-6, "blend_rows", i);
    }
    free(index);
    check_free(src, src_rows * src_row, "blend_rows");
    check_free(dst, rows * dst_row, "blend_rows");
    check_free(weight, rows * taps, "blend_rows");
}

/* Every fold with every special value, over all lengths up to LARGEST and one that is long enough for partial sums. */
static void check_reduce(const ingot_kernels *k)
{
    const float specials[] = {0, NAN, INFINITY, -INFINITY};
    for (int fold = 0; fold < N_FOLDS; fold++)
        for (int s = 0; s < 4; s++) {
            /* every tail of every unrolled loop, with an empty row */
            for (size_t n = 0; n <= LARGEST; n++)
                check_row(k, (ingot_fold)fold, n, specials[s]);
            check_row(k, (ingot_fold)fold, 5000, specials[s]);
            for (size_t n = 1; n <= 70; n++)
                for (size_t rows = 1; rows <= 19; rows += rows < 4 ? 1 : 5)
                    check_rows(k, (ingot_fold)fold, rows, n, specials[s]);
        }
    for (size_t pixels = 0; pixels <= 300; pixels += pixels < 20 ? 1 : 35)
        check_pixels(k, pixels);
    for (int64_t n = 0; n <= 150; n++)
        for (int64_t taps = 1; taps <= 5; taps++)
            check_blend(k, taps, n);
    for (int s = 0; s < 4; s++)
        for (size_t n = 1; n <= 100; n++)
            for (int i = 0; i < 4; i++)
                check_arg(k, n, specials[s], i & 1 ? 1.0f : -1.0f, i & 2);
}

int main(void) { return check_every_isa(check_reduce, false); }
