/* peak.c - what the multiply-add units can do at most: the yardstick of the benchmarks. */
#include "ops/kernels/isa.h"

/* Run `iterations` rounds of independent accumulations in registers. *flops receives the operations done, a
 * multiply-add counting two; the result only keeps the work from being optimized away. */
float INGOT_FN(fma_peak_f32)(int64_t iterations, int64_t *flops)
{
    enum { CHAINS = 10 };    /* covers latency 4 at two a cycle, and fits 16 registers */
    vf32 acc[CHAINS], a = vf32_set1(0.999f), b = vf32_set1(1e-3f);

    INGOT_UNROLL
    for (int i = 0; i < CHAINS; i++)
        acc[i] = vf32_set1((float)i);
    for (int64_t n = 0; n < iterations; n++) {
        INGOT_UNROLL
        for (int i = 0; i < CHAINS; i++)
            acc[i] = vf32_fma(acc[i], a, b);
    }
    INGOT_UNROLL
    for (int i = 1; i < CHAINS; i++)
        acc[0] = vf32_add(acc[0], acc[i]);
    *flops = iterations * CHAINS * VF32_LANES * 2;
    return vf32_hsum(acc[0]);
}
