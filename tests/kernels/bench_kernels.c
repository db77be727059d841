/* bench_kernels.c - speed of the heavy kernels on one thread: GFLOP/s, and the share of the measured multiply-add peak.
 * Arguments: the instruction sets to run (all by default). Not run by the tests. */
#include <time.h>

#include "check.h"

static double peak_gflops;

static double now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

/* Shortest of several runs of body, in seconds. */
#define BEST_TIME(best, body) \
    double best = 1e9; \
    for (double run = 0, start = now(); run < 5 || (now() - start < 0.2 && run < 2000); run++) { \
        const double t0 = now(); \
        body; \
        const double t1 = now() - t0; \
        best = t1 < best ? t1 : best; \
    }

static void report(const char *name, double flops, double seconds)
{
    const double gflops = flops / seconds * 1e-9;
    printf("  %-44s %9.1f us %8.1f GFLOP/s %6.1f %%\n", name, seconds * 1e6, gflops, 100 * gflops / peak_gflops);
}

static void bench_peak(const ingot_kernels *k)
{
    int64_t flops = 0;
    volatile float sink;
    BEST_TIME(seconds, sink = k->fma_peak_f32(300000, &flops))
    (void)sink;
    peak_gflops = (double)flops / seconds * 1e-9;
    printf("%s: peak %.1f GFLOP/s\n", k->isa, peak_gflops);
}

static void bench_gemm(const ingot_kernels *k, int64_t m, int64_t n, int64_t depth)
{
    const ingot_gemm g = { .m = m, .n = n, .k = depth, .alpha = 1.0f, .a_row = depth, .a_col = 1, .ldc = n };
    const int64_t n_packed = k->gemm_packed_f32(n, depth), panels = k->gemm_panels_f32(n);
    float *a = check_randoms(m * depth), *b = check_randoms(n * depth), *c = check_floats(m * n);
    float *packed = check_floats(n_packed);
    const ingot_epilogue e = { .act = INGOT_ACT_RELU, .bias = b };
    char name[64];

    snprintf(name, sizeof name, "gemm %lld x %lld x %lld", (long long)m, (long long)n, (long long)depth);
    k->gemm_pack_f32(packed, b, n, 1, n, depth, 0, panels);
    BEST_TIME(seconds, k->gemm_f32(&g, a, packed, c, &e, 0, m, 0, panels))
    report(name, 2.0 * (double)(m * n * depth), seconds);
    check_free(a, m * depth, name), check_free(b, n * depth, name), check_free(c, m * n, name);
    check_free(packed, n_packed, name);
}

static void bench(const ingot_kernels *k)
{
    bench_peak(k);
    bench_gemm(k, 256, 256, 256);
    bench_gemm(k, 512, 512, 512);
    bench_gemm(k, 128, 768, 768);
    bench_gemm(k, 197, 3072, 768);
    bench_gemm(k, 197, 768, 3072);
    bench_gemm(k, 16, 768, 768);
    bench_gemm(k, 4, 512, 512);
}

int main(int argc, char **argv)
{
    const ingot_kernels *k;
    for (int i = 0; (k = ingot_kernels_at(i)); i++) {
        bool wanted = argc < 2;
        for (int j = 1; j < argc; j++)
            wanted |= !strcmp(argv[j], k->isa);
        if (wanted)
            bench(k);
    }
    return 0;
}
