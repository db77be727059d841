/* check.h - what kernel tests share: repeatable random numbers, buffers with canaries, comparison against a reference
 * computed in double, and a loop over every instruction set of this machine. */
#ifndef INGOT_TESTS_KERNELS_CHECK_H
#define INGOT_TESTS_KERNELS_CHECK_H

#if defined(__x86_64__)
#include <cpuid.h>
#endif
#include <math.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "ops/kernels/kernels.h"

/* What lies around every buffer of floats: no random number of these tests is as large, so an element that is still
 * CANARY was never written, and a canary that is not was written by mistake. CANARIES of them cover two vectors of
 * any instruction set. */
#define CANARY 12345.678f
enum { CANARIES = 32 };

/* Failures and comparisons over all instruction sets, and the state of the random numbers. One process runs one file
 * of tests, on one thread. */
static int check_failures;
static int64_t check_count;
static uint32_t check_seed = 1;

/* Count a failure and print its line, given as for printf without the newline. After twenty the lines stop, as one
 * wrong kernel fails everywhere; the count goes on. */
static inline void check_fail(const char *format, ...)
{
    va_list args;
    if (check_failures++ >= 20)
        return;
    va_start(args, format);
    vprintf(format, args);
    va_end(args);
    printf("\n");
}

/* Uniform in [-1, 1]: a linear congruential generator, whose constants are those of "Numerical Recipes". The seed is
 * set anew for each instruction set, so that all of them see the same numbers. */
static inline float check_random(void)
{
    check_seed = check_seed * 1664525u + 1013904223u;
    return (float)(int32_t)check_seed * (1.0f / 2147483648.0f);
}

/* n floats between canaries, on a cache line as tensors are; free with check_free. */
static inline float *check_floats(int64_t n)
{
    float *p = aligned_alloc(64, (((size_t)n + 2 * CANARIES) * sizeof *p + 63) / 64 * 64);
    if (!p)
        abort();
    for (int64_t i = 0; i < n + 2 * CANARIES; i++)
        p[i] = CANARY;
    return p + CANARIES;
}

/* As check_floats(), with numbers from check_random() in place of canaries. */
static inline float *check_randoms(int64_t n)
{
    float *p = check_floats(n);
    for (int64_t i = 0; i < n; i++)
        p[i] = check_random();
    return p;
}

/* Are the upper halves of the vector registers clean, as a kernel has to leave them? What the baseline's code costs
 * otherwise no other test would show. To be asked at once after the kernel; true where one cannot tell, as under the
 * address sanitizer, which leaves helpers as functions. */
static inline bool check_upper_halves(void)
{
#if defined(__x86_64__) && !defined(__SANITIZE_ADDRESS__)
    uint32_t a = 0xd, b, c = 1, d;

    if (__get_cpuid_max(0, NULL) < 0xd || !__builtin_cpu_supports("avx"))
        return true;
    __asm__("cpuid" : "+a"(a), "=b"(b), "+c"(c), "=d"(d));
    if (!(a & 4))                                       /* XGETBV does not tell what is in use */
        return true;
    __asm__ volatile("xgetbv" : "=a"(a), "=d"(d) : "c"(1));
    return !(a & 4);
#else
    return true;
#endif
}

/* Frees the buffer, after a look at the canaries around its n floats. */
static inline void check_free(float *p, int64_t n, const char *what)
{
    for (int i = 0; i < CANARIES; i++)
        if (p[-1 - i] != CANARY || p[n + i] != CANARY) {
            check_fail("%s: wrote outside of its %lld results", what, (long long)n);
            break;
        }
    free(p - CANARIES);
}

/* |got - want| <= tolerance * (1 + |want|), or the same infinity, or both NaN: relative for large numbers and
 * absolute for those around zero, where sums cancel. `what` and `index` are for the line that tells of a failure. */
static inline void check_near(float got, double want, double tolerance, const char *what, int64_t index)
{
    check_count++;
    if (isnan(want) ? isnan(got) : isinf(want) ? got == want : fabs(got - want) <= tolerance * (1.0 + fabs(want)))
        return;
    check_fail("%s [%lld]: got %.9g, wanted %.9g", what, (long long)index, got, want);
}

/* act(x) by its definition, in double. alpha and beta mean what they mean in ingot_epilogue: the bounds of a clip,
 * the slope of a leaky Relu, the line of a hard sigmoid. */
static inline double check_act(double x, const ingot_epilogue *e)
{
    const double a = e->alpha, b = e->beta;
    switch (e->act) {
    case INGOT_ACT_NONE: break;
    case INGOT_ACT_RELU: return x < 0 ? 0 : x;
    case INGOT_ACT_CLIP: return x < a ? a : x > b ? b : x;
    case INGOT_ACT_LEAKY_RELU: return x < 0 ? a * x : x;
    case INGOT_ACT_HARD_SIGMOID: x = a * x + b; return x < 0 ? 0 : x > 1 ? 1 : x;
    case INGOT_ACT_HARD_SWISH: return x * (x < -3 ? 0 : x > 3 ? 1 : x / 6 + 0.5);
    case INGOT_ACT_SIGMOID: return 1 / (1 + exp(-x));
    case INGOT_ACT_SILU: return x / (1 + exp(-x));
    case INGOT_ACT_SWISH: return x / (1 + exp(-a * x));
    case INGOT_ACT_TANH: return tanh(x);
    case INGOT_ACT_GELU: return 0.5 * x * (1 + erf(x * M_SQRT1_2));
    case INGOT_ACT_GELU_TANH: return 0.5 * x * (1 + tanh(sqrt(M_2_PI) * (x + 0.044715 * x * x * x)));
    case INGOT_ACT_ELU: return x < 0 ? a * expm1(x) : x;
    }
    return x;
}

/* Is all but the integer products that of one of the n levels before, as where a level differs in those alone? */
static inline bool check_is_repeated(const ingot_kernels *k, int n)
{
    bool is_repeated = false;
    for (int i = 0; i < n && !is_repeated; i++) {
        const ingot_kernels *earlier = ingot_kernels_at(i);
        is_repeated = true;
#define X(type, name, params) is_repeated &= earlier->name == k->name;
        INGOT_KERNELS_COMMON(X)
#undef X
    }
    return is_repeated;
}

/* Run `test` at every instruction set of this machine, but for those that repeat another where integer products are not
 * what it looks at. Reports for the harness: 0 where nothing failed. A run that compared nothing counts as failed, so
 * that a loop whose bounds went wrong cannot pass. */
static inline int check_every_isa(void (*test)(const ingot_kernels *k), bool integer_products)
{
    const ingot_kernels *k;
    for (int i = 0; (k = ingot_kernels_at(i)); i++) {
        if (!integer_products && check_is_repeated(k, i))
            continue;
        check_seed = 1;
        test(k);
        printf("%s: %lld values checked, %d failures\n", k->isa, (long long)check_count, check_failures);
    }
    return check_failures || !check_count;
}

#endif
