/* test_reduce.c - folds of rows over lengths that cross every tail, with NaN and infinities among the elements. */
#include "check.h"

enum { LARGEST = 300, N_FOLDS = INGOT_FOLD_PROD + 1 };

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

static void check_row(const ingot_kernels *k, ingot_fold fold, size_t n, float special)
{
    float *src = check_randoms((int64_t)n);
    if (n && special != 0)
        src[n * 2 / 3] = special;
    const double got = k->fold_row_f32(fold, src, n, 0.5f), want = reference(fold, src, 1, n, 0.5);
    check_near((float)got, want, 1e-6, "fold_row", (int64_t)n * N_FOLDS + fold);
    check_free(src, (int64_t)n, "fold_row");
}

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

static void check_reduce(const ingot_kernels *k)
{
    const float specials[] = {0, NAN, INFINITY, -INFINITY};
    for (int fold = 0; fold < N_FOLDS; fold++)
        for (int s = 0; s < 4; s++) {
            for (size_t n = 0; n <= LARGEST; n++)
                check_row(k, (ingot_fold)fold, n, specials[s]);
            check_row(k, (ingot_fold)fold, 5000, specials[s]);
            for (size_t n = 1; n <= 70; n++)
                for (size_t rows = 1; rows <= 4; rows++)
                    check_rows(k, (ingot_fold)fold, rows, n, specials[s]);
        }
}

int main(void) { return check_every_isa(check_reduce); }
