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

typedef struct conv_bench { int ic, oc, size, kernel, stride; bool plain; } conv_bench;

/* The same layer by Winograd; GFLOP/s count the direct way's operations. */
static void bench_winograd(const ingot_kernels *k, const ingot_conv *d, const float *src, const float *weights,
                           float *dst, int m)
{
    const int64_t n_packed = k->winograd_packed_f32(d, m), n_scratch = k->winograd_scratch_f32(d, m);
    const int64_t items = k->winograd_items_f32(d, m);
    float *packed = check_floats(n_packed), *scratch = check_floats(n_scratch);
    const ingot_epilogue e = { .act = INGOT_ACT_RELU, .bias = weights };
    char name[80];

    snprintf(name, sizeof name, "  F(%d)%s", m, k->winograd_choose_f32(d, false) == m ? ", chosen" : "");
    k->winograd_pack_f32(d, m, packed, weights, 0, k->conv_units_f32(d));
    int64_t held;
    BEST_TIME(seconds, (held = -1, k->winograd_f32(d, m, packed, src, dst, &e, scratch, &held, 0, items)))
    report(name, 18.0 * (double)(d->ic * d->oc * d->out[1] * d->out[2]), seconds);
    check_free(packed, n_packed, name), check_free(scratch, n_scratch, name);
}

static void bench_conv(const ingot_kernels *k, const conv_bench *b)
{
    const int64_t out = (b->size - 1) / b->stride + 1, pad = b->kernel / 2;
    const ingot_conv d = {
        .n = 1, .groups = 1, .ic = b->ic, .oc = b->oc, .in = { 1, b->size, b->size }, .out = { 1, out, out },
        .kernel = { 1, b->kernel, b->kernel }, .stride = { 1, b->stride, b->stride }, .dilation = { 1, 1, 1 },
        .pad = { 0, pad, pad }, .plain_src = b->plain,
    };
    const int64_t n_src = (b->plain ? b->ic : (b->ic + 7) / 8 * 8) * b->size * b->size;
    const int64_t n_dst = (b->oc + 7) / 8 * 8 * out * out, n_weights = b->oc * b->ic * b->kernel * b->kernel;
    const int64_t n_packed = k->conv_packed_f32(&d), items = k->conv_items_f32(&d);
    float *src = check_randoms(n_src), *dst = check_floats(n_dst), *weights = check_randoms(n_weights);
    float *packed = check_floats(n_packed);
    const ingot_epilogue e = { .act = INGOT_ACT_RELU, .bias = weights };
    char name[80];

    snprintf(name, sizeof name, "conv %dx%d/%d %d -> %d, %dx%d%s", b->kernel, b->kernel, b->stride, b->ic, b->oc,
             b->size, b->size, b->plain ? " plain" : "");
    k->conv_pack_f32(&d, packed, weights, 0, k->conv_units_f32(&d));
    BEST_TIME(seconds, k->conv_f32(&d, packed, src, dst, &e, 0, items))
    report(name, 2.0 * (double)(n_weights * out * out), seconds);
    for (int m = 2; b->kernel == 3 && b->stride == 1 && !b->plain && m <= 4; m += 2)
        bench_winograd(k, &d, src, weights, dst, m);
    check_free(src, n_src, name), check_free(dst, n_dst, name), check_free(weights, n_weights, name);
    check_free(packed, n_packed, name);
}

static void bench_depthwise(const ingot_kernels *k, int channels, int size, int kernel, int stride)
{
    const int64_t out = (size - 1) / stride + 1, pad = kernel / 2, n_src = (int64_t)channels * size * size;
    const ingot_conv d = {
        .n = 1,
        .groups = channels,
        .ic = channels,
        .oc = channels,
        .in = {1, size, size},
        .out = {1, out, out},
        .kernel = {1, kernel, kernel},
        .stride = {1, stride, stride},
        .dilation = {1, 1, 1},
        .pad = {0, pad, pad},
    };
    const int64_t n_dst = channels * out * out, n_weights = channels * kernel * kernel;
    const int64_t n_packed = k->dwconv_packed_f32(&d), items = k->dwconv_items_f32(&d);
    float *src = check_randoms(n_src), *dst = check_floats(n_dst), *weights = check_randoms(n_weights);
    float *packed = check_floats(n_packed);
    const ingot_epilogue e = { .act = INGOT_ACT_RELU, .bias = weights };
    char name[80];

    snprintf(name, sizeof name, "depthwise %dx%d/%d %d, %dx%d", kernel, kernel, stride, channels, size, size);
    k->dwconv_pack_f32(&d, packed, weights);
    BEST_TIME(seconds, k->dwconv_f32(&d, packed, src, dst, &e, 0, items))
    report(name, 2.0 * (double)(n_weights * out * out), seconds);
    check_free(src, n_src, name), check_free(dst, n_dst, name), check_free(weights, n_weights, name);
    check_free(packed, n_packed, name);
}

static void bench_acts(const ingot_kernels *k)
{
    enum { N = 4096 };
    float *x = check_randoms(N);

    for (int act = INGOT_ACT_RELU; act <= INGOT_ACT_ELU; act++) {
        const ingot_epilogue e = { .act = (ingot_act)act, .alpha = 0.2f, .beta = 0.5f };
        BEST_TIME(seconds, k->act_rows_f32(x, 0, 1, N, &e))
        printf("  activation %d: %.2f ns an element\n", act, seconds * 1e9 / N);
    }
    check_free(x, N, "activations");
}

static const conv_bench conv_benches[] = {
    {64, 64, 56, 3, 1, false},    {128, 128, 28, 3, 1, false}, {256, 256, 14, 3, 1, false}, {512, 512, 7, 3, 1, false},
    {32, 32, 56, 3, 1, false},    {16, 16, 112, 3, 1, false},  {128, 32, 28, 3, 1, false},  {64, 64, 224, 3, 1, false},
    {128, 128, 56, 3, 2, false},  {64, 256, 56, 1, 1, false},  {256, 64, 56, 1, 1, false},  {512, 128, 28, 1, 1, false},
    {1024, 256, 14, 1, 1, false}, {2048, 512, 7, 1, 1, false}, {16, 96, 112, 1, 1, false},  {24, 144, 56, 1, 1, false},
    {144, 24, 56, 1, 1, false},   {960, 160, 7, 1, 1, false},  {3, 64, 224, 7, 2, true},    {3, 32, 224, 3, 2, true},
    {3, 64, 224, 3, 1, true},
};

static void bench(const ingot_kernels *k)
{
    bench_peak(k);
    for (size_t i = 0; i < sizeof conv_benches / sizeof *conv_benches; i++)
        bench_conv(k, &conv_benches[i]);
    bench_depthwise(k, 32, 112, 3, 1);
    bench_depthwise(k, 96, 112, 3, 2);
    bench_depthwise(k, 144, 56, 3, 1);
    bench_depthwise(k, 384, 14, 3, 1);
    bench_depthwise(k, 672, 14, 5, 1);
    bench_depthwise(k, 672, 14, 5, 2);
    bench_depthwise(k, 960, 7, 5, 1);
    bench_depthwise(k, 80, 28, 7, 1);
    bench_acts(k);
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
