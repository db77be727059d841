/* check.h - what kernel tests share: repeatable random numbers, buffers with canaries, comparison against a reference
 * computed in double, and a loop over every instruction set of this machine. */
#ifndef INGOT_TESTS_KERNELS_CHECK_H
#define INGOT_TESTS_KERNELS_CHECK_H

#if defined(__x86_64__)
#include <cpuid.h>
#endif
#include <math.h>
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

/* Comparisons over all instruction sets, as failures are counted, too. One process runs one file of tests, on one
 * thread. */
extern int64_t check_count;

/* Count a failure and print its line, given as for printf without the newline. After twenty the lines stop, as one
 * wrong kernel fails everywhere; the count goes on. */
__attribute__((format(printf, 1, 2))) void check_fail(const char *format, ...);

/* Uniform in [-1, 1]: a linear congruential generator, whose constants are those of "Numerical Recipes". The seed is
 * set anew for each instruction set, so that all of them see the same numbers. */
float check_random(void);

/* n floats between canaries, on a cache line as tensors are; free with check_free. */
float *check_floats(int64_t n);

/* As check_floats(), with numbers from check_random() in place of canaries. */
float *check_randoms(int64_t n);

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
void check_free(float *p, int64_t n, const char *what);

/* |got - want| <= tolerance * (1 + |want|), or the same infinity, or both NaN: relative for large numbers and
 * absolute for those around zero, where sums cancel. `what` and `index` are for the line that tells of a failure. */
void check_near(float got, double want, double tolerance, const char *what, int64_t index);

/* act(x) by its definition, in double. alpha and beta mean what they mean in ingot_epilogue: the bounds of a clip,
 * the slope of a leaky Relu, the line of a hard sigmoid. */
double check_act(double x, const ingot_epilogue *e);

/* Run `test` at every instruction set of this machine, but for those that repeat another where integer products are not
 * what it looks at. Reports for the harness: 0 where nothing failed. A run that compared nothing counts as failed, so
 * that a loop whose bounds went wrong cannot pass. */
int check_every_isa(void (*test)(const ingot_kernels *k), bool integer_products);

#endif
