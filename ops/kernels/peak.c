/* peak.c - what the processor can do at most, in multiply-adds and in bytes read: the yardsticks of benchmarks and
 * profiles. */
#include "ops/kernels/isa.h"

enum { CHAINS = 10 };        /* covers latency 4 at two a cycle, and fits 16 registers */

/* The sum of everything, which the callers return so that no compiler can leave the loops out. */
INGOT_INLINE float sum_of(vf32 acc[CHAINS])
{
    INGOT_UNROLL
    for (int i = 1; i < CHAINS; i++)
        acc[0] = vf32_add(acc[0], acc[i]);
    return vf32_hsum(acc[0]);
}

/* Run `iterations` rounds of independent accumulations in registers, the way the kernels accumulate. *flops receives
 * the operations done, a multiply-add counting two. */
float INGOT_FN(fma_peak_f32)(int64_t iterations, int64_t *flops)
{
    const vf32 a = vf32_set1(1e-20f * (float)iterations);    /* sums stay what they are: not infinite, not denormal */
    vf32 acc[CHAINS];

    INGOT_UNROLL
    for (int i = 0; i < CHAINS; i++)
        acc[i] = vf32_set1((float)i);
    for (int64_t n = 0; n < iterations; n++) {
        INGOT_UNROLL
        for (int i = 0; i < CHAINS; i++)
            acc[i] = vf32_acc(acc[i], a, acc[i]);
    }
    *flops = iterations * CHAINS * VF32_LANES * 2;
    return sum_of(acc);
}

/* Read n floats from the first to the last; up to a round's worth at the end are left out. */
float INGOT_FN(read_peak_f32)(const float *src, int64_t n)
{
    const int64_t round = CHAINS * VF32_LANES;
    vf32 acc[CHAINS];

    INGOT_UNROLL
    for (int i = 0; i < CHAINS; i++)
        acc[i] = vf32_zero();
    for (; n >= round; n -= round, src += round) {
        INGOT_UNROLL
        for (int i = 0; i < CHAINS; i++)
            acc[i] = vf32_add(acc[i], vf32_load(src + i * VF32_LANES));
    }
    return sum_of(acc);
}
