/* bench_kernels.c - speed of the heavy kernels on one thread: GFLOP/s by definition of the operation, and what is
 * really computed as a share of the measured multiply-add peak.
 *
 *     bench_kernels [ISA ...]          shapes of common networks; all instruction sets unless some are named
 *     bench_kernels [ISA ...] < ROWS   one shape a line, as kernels.py writes them from models:
 *         conv TIMES N IC OC GROUPS H W KH KW SH SW DH DW PH PW OH OW LABEL
 *         gemm TIMES M N K LABEL
 *         network LABEL                begins a new sum of times
 *
 * Not run by the tests. */
#include <time.h>
#include <unistd.h>

#include "tests/kernels/check.h"

static double peak_gflops, sum_us;

static double now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

/* Shortest of several runs of body, in seconds. */
#define BEST_TIME(best, body) \
    double best = 1e9; \
    for (double run = 0, start = now(); run < 5 || (now() - start < 0.03 && run < 2000); run++) { \
        const double t0 = now(); \
        body; \
        const double t1 = now() - t0; \
        best = t1 < best ? t1 : best; \
    }

/* `done` are the operations of the algorithm, `flops` those of the definition. Returns microseconds. */
static double report(const char *name, double flops, double done, double seconds)
{
    printf("  %-44s %9.1f us %8.1f GFLOP/s %6.1f %%\n", name, seconds * 1e6, flops / seconds * 1e-9,
           100 * done / seconds * 1e-9 / peak_gflops);
    return seconds * 1e6;
}

/* The yardstick of all that follows. */
static void bench_peak(const ingot_kernels *k)
{
    int64_t flops = 0;
    volatile float sink;
    BEST_TIME(seconds, sink = k->fma_peak_f32(300000, &flops))
    (void)sink;
    peak_gflops = (double)flops / seconds * 1e-9;
    printf("%s: peak %.1f GFLOP/s\n", k->isa, peak_gflops);
}

/* C (m, n) = A (m, k) B (k, n), B packed before. Few rows also go the way that reads B, stored (n, k), as it is. */
static double bench_gemm(const ingot_kernels *k, int64_t m, int64_t n, int64_t depth, const char *label)
{
    const ingot_gemm g = { .m = m, .n = n, .k = depth, .alpha = 1.0f, .a_row = depth, .a_col = 1, .ldc = n };
    const int64_t n_packed = k->gemm_packed_f32(n, depth), panels = k->gemm_panels_f32(n);
    const double flops = 2.0 * (double)(m * n * depth);
    float *a = check_randoms(m * depth), *b = check_randoms(n * depth), *c = check_floats(m * n);
    float *packed = check_floats(n_packed);
    const ingot_epilogue e = { .act = INGOT_ACT_RELU, .bias = b };
    char name[100];
    double us;

    snprintf(name, sizeof name, "gemm %lld x %lld x %lld%s", (long long)m, (long long)n, (long long)depth, label);
    k->gemm_pack_f32(packed, b, n, 1, n, depth, 0, panels);
    BEST_TIME(seconds, k->gemm_f32(&g, a, packed, c, &e, 0, m, 0, panels))
    us = report(name, flops, flops, seconds);
    if (m <= 4) {
        BEST_TIME(dot, k->gemm_dot_f32(&g, a, b, depth, c, &e, 0, n))
        const double other = report("  dot", flops, flops, dot);
        us = other < us ? other : us;
    }
    check_free(a, m * depth, name), check_free(b, n * depth, name), check_free(c, m * n, name);
    check_free(packed, n_packed, name);
    return us;
}

/* Memory of one convolution. */
typedef struct conv_buffers {
    int64_t n_src, n_dst, n_weights;
    float *src, *dst, *weights;
} conv_buffers;

static int64_t blocks_of(int64_t channels) { return (channels + 7) / 8 * 8; }

/* A bias is read from the weights, so there are at least as many of them. */
static conv_buffers make_buffers(const ingot_conv *d)
{
    conv_buffers b = { .n_src = d->n * (d->plain_src ? d->ic : blocks_of(d->ic)) * d->in[1] * d->in[2],
                       .n_dst = d->n * blocks_of(d->oc) * d->out[1] * d->out[2],
                       .n_weights = d->oc * (d->ic / d->groups) * d->kernel[1] * d->kernel[2] };
    b.src = check_randoms(b.n_src);
    b.dst = check_floats(b.n_dst);
    b.weights = check_randoms(b.n_weights + d->oc);
    return b;
}

/* By definition: two for each multiply-add, padding included. */
static double flops_of(const ingot_conv *d)
{
    return 2.0 * (double)(d->n * d->oc * (d->ic / d->groups) * d->kernel[1] * d->kernel[2] * d->out[1] * d->out[2]);
}

/* By Winograd's way; it is the layer's time where the planner chooses it, so `us` is that of the choice. */
static double bench_winograd(const ingot_kernels *k, const ingot_conv *d, const conv_buffers *b, int m, double us)
{
    const int64_t n_packed = k->winograd_packed_f32(d, m), n_scratch = k->winograd_scratch_f32(d, m);
    const int64_t items = k->winograd_items_f32(d, m);
    const double tiles = (double)(d->n * ((d->out[1] + m - 1) / m) * ((d->out[2] + m - 1) / m));
    float *packed = check_floats(n_packed), *scratch = check_floats(n_scratch);
    const ingot_epilogue e = { .act = INGOT_ACT_RELU, .bias = b->weights };
    const bool chosen = k->winograd_choose_f32(d, false) == m;
    char name[80];

    snprintf(name, sizeof name, "  F(%d)%s", m, chosen ? ", chosen" : "");
    k->winograd_pack_f32(d, m, packed, b->weights, 0, k->conv_units_f32(d));
    int64_t held;
    BEST_TIME(seconds, (held = -1, k->winograd_f32(d, m, packed, b->src, b->dst, &e, scratch, &held, 0, items)))
    const double points = (double)(m + d->kernel[1] + d->stride[1] - 2);
    const double own = report(name, flops_of(d), 2 * tiles * points * points * (double)(d->ic * d->oc), seconds);
    check_free(packed, n_packed, name), check_free(scratch, n_scratch, name);
    return chosen ? own : us;
}

/* The kernel that the planner would take, and both Winograd tiles where they are possible. Returns the choice's time in
 * microseconds. */
static double bench_conv(const ingot_kernels *k, const ingot_conv *d, const char *label)
{
    const bool depthwise = d->groups > 1 && d->groups == d->ic && d->ic == d->oc;
    const int64_t n_packed = depthwise ? k->dwconv_packed_f32(d) : k->conv_packed_f32(d);
    const int64_t items = depthwise ? k->dwconv_items_f32(d) : k->conv_items_f32(d);
    const conv_buffers b = make_buffers(d);
    float *packed = check_floats(n_packed);
    const ingot_epilogue e = { .act = INGOT_ACT_RELU, .bias = b.weights };
    char name[160];
    double us;

    snprintf(name, sizeof name, "%s %lldx%lld/%lld %lld -> %lld, %lldx%lld%s%s", depthwise ? "depthwise" : "conv",
             (long long)d->kernel[1], (long long)d->kernel[2], (long long)d->stride[1], (long long)d->ic,
             (long long)d->oc, (long long)d->in[1], (long long)d->in[2], d->plain_src ? " plain" : "", label);
    if (depthwise) {
        k->dwconv_pack_f32(d, packed, b.weights);
        BEST_TIME(seconds, k->dwconv_f32(d, packed, b.src, b.dst, &e, 0, items))
        us = report(name, flops_of(d), flops_of(d), seconds);
    } else {
        k->conv_pack_f32(d, packed, b.weights, 0, k->conv_units_f32(d));
        BEST_TIME(seconds, k->conv_f32(d, packed, b.src, b.dst, &e, 0, items))
        us = report(name, flops_of(d), flops_of(d), seconds);
    }
    const int most = d->kernel[1] == 3 && d->stride[1] == 1 ? 4 : 2;
    for (int m = 2; !depthwise && k->winograd_choose_f32(d, true) && m <= most; m += 2)
        us = bench_winograd(k, d, &b, m, us);
    check_free(b.src, b.n_src, name), check_free(b.dst, b.n_dst, name);
    check_free(b.weights, b.n_weights + d->oc, name), check_free(packed, n_packed, name);
    return us;
}

/* The epilogue's activations, over a strip that stays in the first-level cache. */
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

static void run_step(const ingot_kernels *k, const ingot_cell *d, ingot_cell_step *s, float *parts, float *state,
                     int64_t i)
{
    const int64_t states = s->batch * s->state_row;

    s->backward = i % 2;
    s->inputs = parts + i * s->batch * s->inputs_row;
    s->h = state + i % 2 * states;
    s->h_next = state + (i + 1) % 2 * states;
    k->cell_step_f32(d, s, 0, (d->hidden + k->lanes - 1) / k->lanes);
}

/* An LSTM of 32 steps: the inputs' part of all, then step after step. */
static void bench_lstm(const ingot_kernels *k, int64_t hidden, int64_t inputs, int64_t batch)
{
    enum { GATES = 4, STEPS = 32 };
    const int64_t blocks = (hidden + k->lanes - 1) / k->lanes, units = blocks * k->lanes, row = GATES * units;
    const int64_t rows = STEPS * batch, states = batch * units;
    float *x = check_randoms(rows * inputs), *w = check_randoms(GATES * hidden * (inputs + hidden));
    float *packed_w = check_floats(row * inputs), *packed_r = check_floats(row * hidden), *bias = check_randoms(row);
    float *parts = check_floats(rows * row), *state = check_randoms(3 * states);
    const ingot_gate logistic = { INGOT_GATE_SIGMOID, 0, 0 }, curve = { INGOT_GATE_TANH, 0, 0 };
    const ingot_cell d = { .kind = INGOT_CELL_LSTM, .hidden = hidden, .clip = INFINITY,
                           .gate = { logistic, curve, curve } };
    char name[100];

    k->cell_pack_f32(packed_w, w, GATES, hidden, inputs, 0, blocks);
    k->cell_pack_f32(packed_r, w + GATES * hidden * inputs, GATES, hidden, hidden, 0, blocks);
    for (int64_t i = 0; i < row * hidden; i++)
        packed_r[i] *= 0.05f;
    BEST_TIME(part, k->cell_inputs_f32(&d, x, inputs, packed_w, bias, parts, 0, rows, 0, blocks))
    snprintf(name, sizeof name, "lstm %lld -> %lld batch %lld, inputs' part", (long long)inputs, (long long)hidden,
             (long long)batch);
    report(name, 2.0 * (double)(rows * row * inputs), 2.0 * (double)(rows * row * inputs), part);
    ingot_cell_step s = { .batch = batch, .packed = packed_r, .inputs_row = row, .cell = state + 2 * states,
                          .state_row = units };
    BEST_TIME(steps, for (int64_t i = 0; i < STEPS; i++) run_step(k, &d, &s, parts, state, i))
    report("  steps", 2.0 * (double)(rows * row * hidden), 2.0 * (double)(rows * row * hidden), steps);
    check_free(x, rows * inputs, name), check_free(w, GATES * hidden * (inputs + hidden), name);
    check_free(packed_w, row * inputs, name), check_free(packed_r, row * hidden, name), check_free(bias, row, name);
    check_free(parts, rows * row, name), check_free(state, 3 * states, name);
}

/* ---- shapes of common networks ---- */

static const struct { int ic, oc, size, kernel, stride, groups; } common_convs[] = {
    {64, 64, 56, 3, 1, 1},    {128, 128, 28, 3, 1, 1},  {256, 256, 14, 3, 1, 1},  {512, 512, 7, 3, 1, 1},
    {32, 32, 56, 3, 1, 1},    {16, 16, 112, 3, 1, 1},   {128, 32, 28, 3, 1, 1},   {64, 64, 224, 3, 1, 1},
    {128, 128, 56, 3, 2, 1},  {64, 256, 56, 1, 1, 1},   {256, 64, 56, 1, 1, 1},   {512, 128, 28, 1, 1, 1},
    {1024, 256, 14, 1, 1, 1}, {2048, 512, 7, 1, 1, 1},  {16, 96, 112, 1, 1, 1},   {24, 144, 56, 1, 1, 1},
    {144, 24, 56, 1, 1, 1},   {960, 160, 7, 1, 1, 1},   {3, 64, 224, 7, 2, 1},    {3, 32, 224, 3, 2, 1},
    {3, 64, 224, 3, 1, 1},    {32, 32, 112, 3, 1, 32},  {96, 96, 112, 3, 2, 96},  {144, 144, 56, 3, 1, 144},
    {384, 384, 14, 3, 1, 384}, {672, 672, 14, 5, 1, 672}, {672, 672, 14, 5, 2, 672}, {960, 960, 7, 5, 1, 960},
    {80, 80, 28, 7, 1, 80},
};

static const int common_gemms[][3] = { {256, 256, 256}, {512, 512, 512}, {128, 768, 768}, {197, 3072, 768},
                                       {197, 768, 3072}, {16, 768, 768}, {4, 512, 512}, {1, 1000, 512} };

static void bench_common(const ingot_kernels *k)
{
    for (size_t i = 0; i < sizeof common_convs / sizeof *common_convs; i++) {
        const int64_t size = common_convs[i].size, kernel = common_convs[i].kernel, stride = common_convs[i].stride;
        const int64_t out = (size - 1) / stride + 1;
        const ingot_conv d = {
            .n = 1, .groups = common_convs[i].groups, .ic = common_convs[i].ic, .oc = common_convs[i].oc,
            .in = { 1, size, size }, .out = { 1, out, out }, .kernel = { 1, kernel, kernel },
            .stride = { 1, stride, stride }, .dilation = { 1, 1, 1 }, .pad = { 0, kernel / 2, kernel / 2 },
            .plain_src = common_convs[i].ic < 5,
        };
        bench_conv(k, &d, "");
    }
    bench_acts(k);
    for (size_t i = 0; i < sizeof common_gemms / sizeof *common_gemms; i++)
        bench_gemm(k, common_gemms[i][0], common_gemms[i][1], common_gemms[i][2], "");
    bench_lstm(k, 48, 96, 1);
    bench_lstm(k, 256, 256, 1);
    bench_lstm(k, 256, 256, 8);
    bench_lstm(k, 512, 512, 32);
}

/* ---- shapes from a file ---- */

enum { MAX_ROWS = 4096, ROW_BYTES = 256 };
static char rows[MAX_ROWS][ROW_BYTES];
static int n_rows;

/* All of standard input, since every instruction set goes through it; longer lines and further rows are left out. */
static void read_rows(void)
{
    for (; n_rows < MAX_ROWS && fgets(rows[n_rows], ROW_BYTES, stdin); n_rows++)
        rows[n_rows][strcspn(rows[n_rows], "\n")] = 0;
}

/* What the network's kernels take in all, each as often as it occurs. */
static void end_network(void)
{
    if (sum_us > 0)
        printf("  %-44s %9.1f us in all\n", "", sum_us);
    sum_us = 0;
}

/* One line of the file; see the head of this one. */
static void bench_row(const ingot_kernels *k, const char *row)
{
    long long v[16];
    int times, at = 0;
    if (!strncmp(row, "network ", 8)) {
        end_network();
        bench_peak(k); /* clocks drift */
        printf("%s\n", row + 8);
    } else if (sscanf(row, "gemm %d %lld %lld %lld%n", &times, v, v + 1, v + 2, &at) == 4) {
        sum_us += times * bench_gemm(k, v[0], v[1], v[2], row + at);
    } else if (sscanf(row, "conv %d %lld %lld %lld %lld %lld %lld %lld %lld %lld %lld %lld %lld %lld %lld %lld %lld%n",
                      &times, v, v + 1, v + 2, v + 3, v + 4, v + 5, v + 6, v + 7, v + 8, v + 9, v + 10, v + 11, v + 12,
                      v + 13, v + 14, v + 15, &at) == 17) {
        const ingot_conv d = {
            .n = v[0], .ic = v[1], .oc = v[2], .groups = v[3], .in = { 1, v[4], v[5] }, .kernel = { 1, v[6], v[7] },
            .stride = { 1, v[8], v[9] }, .dilation = { 1, v[10], v[11] }, .pad = { 0, v[12], v[13] },
            .out = { 1, v[14], v[15] }, .plain_src = v[3] == 1 && v[1] < 5,
        };
        sum_us += times * bench_conv(k, &d, row + at);
    } else if (*row) {
        printf("  what is '%s'?\n", row);
    }
}

static void bench(const ingot_kernels *k)
{
    bench_peak(k);
    if (!n_rows)
        bench_common(k);
    for (int i = 0; i < n_rows; i++)
        bench_row(k, rows[i]);
    end_network();
}

int main(int argc, char **argv)
{
    const ingot_kernels *k;
    if (!isatty(0))
        read_rows();
    for (int i = 0; (k = ingot_kernels_at(i)); i++) {
        bool wanted = argc < 2;
        for (int j = 1; j < argc; j++)
            wanted |= !strcmp(argv[j], k->isa);
        if (wanted)
            bench(k);
    }
    return 0;
}
