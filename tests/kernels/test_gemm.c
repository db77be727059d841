/* test_gemm.c - the packed matrix product over shapes that cross every tile edge, and the activations. */
#include "check.h"

/* One product C = alpha A B + bias + row bias + residual, then the activation. A is m x k and B is k x n, each
 * stored as it is or transposed. */
typedef struct gemm_case {
    int64_t m, n, k;
    bool a_transposed, b_transposed, bias, row_bias, residual;
    float alpha;
    ingot_act act;
} gemm_case;

/* Element (row, col) of a matrix with leading dimension ld, stored as it is or transposed. */
static float at(const float *p, int64_t row, int64_t col, int64_t ld, bool transposed)
{
    return transposed ? p[col * ld + row] : p[row * ld + col];
}

/* C[i][j] by the definition, summed in double in the order of k. */
static double reference(const gemm_case *t, const ingot_epilogue *e, const float *a, int64_t lda, const float *b,
                        int64_t ldb, int64_t ldc, int64_t i, int64_t j)
{
    double sum = 0;
    for (int64_t l = 0; l < t->k; l++)
        sum += (double)at(a, i, l, lda, t->a_transposed) * at(b, l, j, ldb, t->b_transposed);
    sum = sum * t->alpha + (e->bias ? e->bias[j] : 0) + (e->row_bias ? e->row_bias[i] : 0);
    sum += e->residual ? e->residual[i * ldc + j] : 0;
    return check_act(sum, e);
}

/* Hold all of C against the definition, and the columns between n and ldc against the canary they were made of: no
 * kernel may write past a row's end. The tolerance grows with k, as rounding errors of a sum do. */
static void check_product(const gemm_case *t, const ingot_epilogue *e, const float *a, int64_t lda, const float *b,
                          int64_t ldb, const float *c, int64_t ldc, const char *what)
{
    for (int64_t i = 0; i < t->m; i++)
        for (int64_t j = 0; j < ldc; j++)
            check_near(c[i * ldc + j], j < t->n ? reference(t, e, a, lda, b, ldb, ldc, i, j) : CANARY,
                       4e-7 * (1 + 0.05 * (double)t->k), what, i * ldc + j);
}

/* The kernels on unpacked weights, cut at column `split`. */
static void run_small(const ingot_kernels *k, const gemm_case *t, const ingot_gemm *g, const ingot_epilogue *e,
                      const float *a, const float *b, int64_t ldb, float *c, int64_t split)
{
    void (*run)(const ingot_gemm *, const float *, const float *, ptrdiff_t, float *, const ingot_epilogue *, int64_t,
                int64_t) = t->b_transposed ? k->gemm_dot_f32 : k->gemm_axpy_f32;

    run(g, a, b, ldb, c, e, 0, split);
    run(g, a, b, ldb, c, e, split, t->n);
}

/* One product, whose leading dimensions are a little more than the sizes, so that a kernel that takes one for the
 * other is found out. Computes in uneven ranges and again in one; both must agree to the bit. */
static void check_gemm(const ingot_kernels *k, const gemm_case *t)
{
    /* sizes of all buffers, rows a little longer than the matrices */
    const int64_t lda = (t->a_transposed ? t->m : t->k) + 3, ldb = (t->b_transposed ? t->k : t->n) + 2, ldc = t->n + 5;
    const int64_t n_a = (t->a_transposed ? t->k : t->m) * lda, n_b = (t->b_transposed ? t->n : t->k) * ldb;
    const int64_t n_c = t->m * ldc, n_packed = k->gemm_packed_f32(t->n, t->k), panels = k->gemm_panels_f32(t->n);
    float *a = check_randoms(n_a), *b = check_randoms(n_b), *c = check_floats(n_c), *whole = check_floats(n_c);
    float *packed = check_floats(n_packed), *bias = check_randoms(t->n), *row_bias = check_randoms(t->m);
    float *residual = check_randoms(n_c);
    const ingot_epilogue e = {
        .act = t->act, .alpha = t->act == INGOT_ACT_CLIP ? -0.5f : 0.3f, .beta = 0.7f, .bias = t->bias ? bias : NULL,
        .row_bias = t->row_bias ? row_bias : NULL, .residual = t->residual ? residual : NULL,
    };
    const ingot_gemm g = { .m = t->m, .n = t->n, .k = t->k, .alpha = t->alpha, .a_row = t->a_transposed ? 1 : lda,
                           .a_col = t->a_transposed ? lda : 1, .ldc = ldc };
    char what[128];

    /* Packed in two calls and multiplied in strips of five rows by half of the panels, which cuts rows elsewhere
     * than the kernel does by itself; the whole product at once must then have the same bits. */
    snprintf(what, sizeof what, "gemm %s m=%d n=%d k=%d act=%d", k->isa, (int)t->m, (int)t->n, (int)t->k, (int)t->act);
    k->gemm_pack_f32(packed, b, t->b_transposed ? 1 : ldb, t->b_transposed ? ldb : 1, t->n, t->k, 0, panels / 2);
    k->gemm_pack_f32(packed, b, t->b_transposed ? 1 : ldb, t->b_transposed ? ldb : 1, t->n, t->k, panels / 2, panels);
    for (int64_t m0 = 0, m1; m0 < t->m; m0 = m1) {
        m1 = m0 + 5 < t->m ? m0 + 5 : t->m;
        k->gemm_f32(&g, a, packed, c, &e, m0, m1, 0, panels / 2);
        k->gemm_f32(&g, a, packed, c, &e, m0, m1, panels / 2, panels);
    }
    k->gemm_f32(&g, a, packed, whole, &e, 0, t->m, 0, panels);
    if (memcmp(c, whole, (size_t)n_c * sizeof *c))
        check_fail("%s: ranges change the result", what);
    check_product(t, &e, a, lda, b, ldb, c, ldc, what);
    /* a residual that is C itself: every tile must read its part before it writes it */
    if (t->residual) {                                 /* the residual may be C's own memory */
        ingot_epilogue in_place = e;
        in_place.residual = memcpy(whole, residual, (size_t)n_c * sizeof *c);
        k->gemm_f32(&g, a, packed, whole, &in_place, 0, t->m, 0, panels);
        for (int64_t i = 0; i < t->m; i++)
            if (memcmp(c + i * ldc, whole + i * ldc, (size_t)t->n * sizeof *c))
                check_fail("%s: a residual in place changes the result", what);
    }
    /* The kernels that read B where it is. The dot product wants A's rows to be contiguous, so one pair of layouts
     * is not theirs. */
    if (!t->b_transposed || !t->a_transposed) {
        run_small(k, t, &g, &e, a, b, ldb, c, t->n / 3);
        check_product(t, &e, a, lda, b, ldb, c, ldc, what);
        run_small(k, t, &g, &e, a, b, ldb, whole, 0);
        for (int64_t i = 0; i < t->m; i++)
            if (memcmp(c + i * ldc, whole + i * ldc, (size_t)t->n * sizeof *c))
                check_fail("%s: ranges of columns change the result", what);
    }
    check_free(a, n_a, what), check_free(b, n_b, what), check_free(c, n_c, what), check_free(whole, n_c, what);
    check_free(packed, n_packed, what), check_free(bias, t->n, what), check_free(row_bias, t->m, what);
    check_free(residual, n_c, what);
}

/* Rows of A against B [n][k] in stripes; nothing behind k may count, whatever lies there in A. */
static void check_stripes(const ingot_kernels *k, int64_t m, int64_t n, int64_t depth)
{
    const int64_t lda = depth + 3, blocks = (depth + INGOT_STRIPE - 1) / INGOT_STRIPE, n_b = blocks * INGOT_STRIPE * n;
    float *a = check_randoms(m * lda), *b = check_randoms(n * depth), *stripes = check_floats(n_b);
    float *c = check_floats(m * (n + 1));
    const gemm_case t = { m, n, depth, false, true, false, false, false, 0.5f, INGOT_ACT_NONE };
    const ingot_epilogue none = { .act = INGOT_ACT_NONE };
    const ingot_gemm g = { .m = m, .n = n, .k = depth, .alpha = 0.5f, .a_row = lda, .a_col = 1, .ldc = n + 1 };
    char what[128];

    snprintf(what, sizeof what, "stripes %s m=%d n=%d k=%d", k->isa, (int)m, (int)n, (int)depth);
    /* stripes [block][n][16], zeros behind k; A has other numbers there */
    for (int64_t l = 0; l < blocks * INGOT_STRIPE; l++)
        for (int64_t j = 0; j < n; j++)
            stripes[(l / INGOT_STRIPE * n + j) * INGOT_STRIPE + l % INGOT_STRIPE] = l < depth ? b[j * depth + l] : 0.0f;
    k->gemm_stripes_f32(&g, a, stripes, c);
    check_product(&t, &none, a, lda, b, depth, c, n + 1, what);
    check_free(a, m * lda, what), check_free(b, n * depth, what), check_free(stripes, n_b, what);
    check_free(c, m * (n + 1), what);
}

/* Every activation alone, over special values and numbers of usual size: ends of the exponential's range, denormals,
 * both zeros, and where a function's approximation changes from one formula to another. */
static void check_acts(const ingot_kernels *k)
{
    const float special[] = { 0.0f, -0.0f, 1e-40f, -1e-40f, INFINITY, -INFINITY, NAN, 88.0f, -88.0f, 104.0f, -104.0f,
                              1e30f, -1e30f, 0.625f, -0.625f, 1.0f, -1.0f, 3.99f, 4.01f, 1e-7f };
    enum { SPECIALS = sizeof special / sizeof *special, N = 4001 };

    for (int act = INGOT_ACT_NONE; act <= INGOT_ACT_ELU; act++) {
        const ingot_epilogue e = { .act = (ingot_act)act, .alpha = act == INGOT_ACT_CLIP ? -0.5f : 0.3f, .beta = 0.7f };
        float *x = check_floats(N), *y = check_floats(N);
        char what[64];

        snprintf(what, sizeof what, "act %s %d", k->isa, act);
        for (int i = 0; i < N; i++)
            y[i] = x[i] = i < SPECIALS ? special[i] : 12.0f * check_random();
        k->act_rows_f32(y, 0, 1, N, &e);
        for (int i = 0; i < N; i++)
            if (!isinf(x[i]) || !isnan(check_act(x[i], &e)))      /* inf * 0 in a definition is not the limit */
                check_near(y[i], check_act(x[i], &e), 4e-7, what, i);
        check_free(x, N, what), check_free(y, N, what);
    }
}

/* Every activation over 1 to 5 planes of any length: near its definition, whatever is not finite beside it, and with
 * the same bits when the planes are cut. Swish of much less than -43 may stay at -1e-17. */
static void check_planes(const ingot_kernels *k)
{
    enum { N = 77, PLANE = N + 3 };
    const float special[] = { NAN, INFINITY, -INFINITY, 1e30f, -1e30f, 43.0f, -43.0f, 88.9f, -88.9f, 0.0f };

    for (int act = INGOT_ACT_NONE; act <= INGOT_ACT_ELU; act++)
        for (int planes = 1; planes <= 5; planes++) {
            const ingot_epilogue e = { .act = (ingot_act)act, .alpha = 0.3f, .beta = 0.7f };
            float *x = check_floats(5 * PLANE), *y = check_floats(5 * PLANE), *z = check_floats(5 * PLANE);
            char what[64];

            snprintf(what, sizeof what, "act %s %d of %d planes", k->isa, act, planes);
            for (int i = 0; i < 5 * PLANE; i++)
                x[i] = y[i] = z[i] = i % 7 ? 12.0f * check_random() : special[i / 7 % 10];
            k->act_planes_f32(y, PLANE, planes, N, &e);
            for (int at = 0, n = 1; at < N; at += n, n += 3)
                k->act_planes_f32(z + at, PLANE, planes, n < N - at ? n : N - at, &e);
            if (memcmp(y, z, 5 * PLANE * sizeof *y))
                check_fail("%s: cuts change the result", what);
            for (int i = 0; i < 5 * PLANE; i++)
                if (i % PLANE >= N || i / PLANE >= planes)
                    check_near(y[i], (double)x[i], 0, what, i);
                else if (!isinf(x[i]) || !isnan(check_act(x[i], &e)))
                    check_near(y[i], check_act(x[i], &e), 4e-7, what, i);
            check_free(x, 5 * PLANE, what), check_free(y, 5 * PLANE, what), check_free(z, 5 * PLANE, what);
        }
}

/* A product of doubles, with B as it is or transposed, beside the definition; C has a gap behind each row. */
static void check_gemm_f64(const ingot_kernels *k, int64_t m, int64_t n, int64_t depth, bool transposed)
{
    const ingot_gemm_f64 g = { m, n, depth, depth, 1, transposed ? 1 : n, transposed ? depth : 1, n + 3 };
    double *a = calloc((size_t)(m * depth) + 1, sizeof *a), *b = calloc((size_t)(n * depth) + 1, sizeof *b);
    double *c = calloc((size_t)(m * g.ldc), sizeof *c);

    for (int64_t i = 0; i < m * depth; i++)
        a[i] = (double)check_random();
    for (int64_t i = 0; i < n * depth; i++)
        b[i] = (double)check_random();
    for (int64_t i = 0; i < m * g.ldc; i++)
        c[i] = (double)CANARY;
    k->gemm_f64(&g, c, a, b);
    for (int64_t i = 0; i < m; i++)
        for (int64_t j = 0; j < g.ldc; j++, check_count++) {
            double want = j < n ? 0 : (double)CANARY;
            for (int64_t l = 0; l < depth && j < n; l++)
                want += a[i * depth + l] * b[l * g.b_row + j * g.b_col];
            if (!(fabs(c[i * g.ldc + j] - want) <= 1e-13 * (1 + fabs(want))))
                check_fail("gemm_f64 %s %lld x %lld x %lld [%lld, %lld]: got %.17g, wanted %.17g", k->isa, (long long)m,
                           (long long)n, (long long)depth, (long long)i, (long long)j, c[i * g.ldc + j], want);
        }
    free(a), free(b), free(c);
}

/* Heights up to beyond two of the tallest tiles, widths around one and two panels of either vector length, and k
 * from nothing to many steps. Layouts, epilogues and activations take turns over these shapes, as all of them at
 * every shape would take too long; then k of more than one chunk, where sums are added up in C. */
static void test(const ingot_kernels *k)
{
    const int64_t ns[] = { 1, 7, 8, 15, 16, 17, 31, 32, 33, 48, 65 }, ks[] = { 0, 1, 2, 17, 64 };

    for (int64_t m = 1; m <= 26; m++)
        for (size_t i = 0; i < sizeof ns / sizeof *ns; i++)
            for (size_t j = 0; j < sizeof ks / sizeof *ks; j++) {
                /* each combination of options comes up at some shape */
                const int bits = (int)(m + (int64_t)i * 3 + (int64_t)j * 5);
                check_gemm(k, &(gemm_case){ m, ns[i], ks[j], bits & 1, bits & 2, bits & 4, bits % 5 == 0, bits & 8,
                                            bits % 3 ? 1.0f : -0.5f, (ingot_act)(bits % (INGOT_ACT_ELU + 1)) });
            }
    check_gemm(k, &(gemm_case){ 13, 70, 2500, false, true, true, false, true, 1.0f, INGOT_ACT_RELU });
    check_gemm(k, &(gemm_case){ 40, 200, 1025, true, false, true, false, false, 1.0f, INGOT_ACT_SILU });
    /* one row by weights that are fetched beforehand */
    check_gemm(k, &(gemm_case){ 1, 525, 519, false, true, true, false, true, 1.0f, INGOT_ACT_HARD_SWISH });
    /* columns past two groups of ten, rows by four, in pairs and alone, k around whole stripes */
    for (int64_t n = 1; n <= 23; n++)
        for (int64_t m = 1; m <= 7; m++)
            for (int64_t depth = n - 1; depth <= 70; depth += 11)
                check_stripes(k, m, n, depth);
    /* groups of rows that pass in pieces of k, with one or several pieces, and columns that are too many for that */
    for (int64_t n = 1; n <= 33; n += n == 1 ? 9 : n == 10 ? 21 : 1)
        for (int64_t m = 8; m <= 19; m += m == 16 ? 1 : 2)
            for (int64_t depth = 190; depth <= 1500; depth += 437)
                check_stripes(k, m, n, depth);
    check_acts(k);
    check_planes(k);
    for (int64_t m = 1; m <= 19; m++)
        for (int64_t n = 1; n <= 35; n += n % 3 + 1)
            for (int64_t depth = 0; depth <= 600; depth += depth < 4 ? 1 : 149)
                check_gemm_f64(k, m, n, depth, n & 1);
}

int main(void) { return check_every_isa(test, false); }
