/* test_int8.c - integer products, depthwise rows and elementwise work on bytes, at every instruction set against plain
 * loops: results are the same bits everywhere, for all signs and zero points and at the ends of the types' ranges. */
#include "check.h"

/* Elements behind the end of a buffer, which kernels may read in whole vectors but must not let count. */
enum { SLACK = 64 };

typedef struct dot_case {
    int64_t rows, n, taps, blocks, k;    /* k of the taps * blocks * 8 elements of a row count */
    bool a_signed, b_signed;
    int a_zero, b_zero;                  /* of column j: b_zero + j % 3, but for the middle of the type */
    bool extreme;                        /* all elements at the ends of their ranges: pairs would saturate */
} dot_case;

/* 0 to 255, all about as often. */
static int random_byte(void) { return (int)((check_random() * 0.5f + 0.5f) * 255.9f); }

/* n bytes with SLACK behind; with `extreme`, 0 and 255 alone (or -128 and 127). */
static uint8_t *random_bytes(int64_t n, bool extreme, bool is_signed)
{
    uint8_t *p = malloc((size_t)n + SLACK);
    if (!p)
        abort();
    for (int64_t i = 0; i < n + SLACK; i++) {
        const int r = random_byte();
        p[i] = (uint8_t)(!extreme ? r : r < 32 ? (is_signed ? 128 : 0) : is_signed ? 127 : 255);
    }
    return p;
}

/* The number that a byte stands for. */
static int value(uint8_t byte, bool is_signed) { return is_signed ? (int8_t)byte : byte; }

/* Integers have no tolerance. A negative index tells of a canary. */
static void check_same(int64_t got, int64_t want, const char *what, int64_t index)
{
    check_count++;
    if (got != want)
        check_fail("%s [%lld]: got %lld, wanted %lld", what, (long long)index, (long long)got, (long long)want);
}

/* By the definition: scaled, clamped, rounded to even. */
static int requantize(float x, float low, float high, int zero)
{
    x = x > low ? x : low;
    x = x < high ? x : high;
    return (int)rintf(x) + zero;
}

/* The three outputs of one product: sums, bytes in blocks of eight columns, floats. `want` has the exact sums
 * [rows][n], from which bytes and floats follow by the definition. Sums are computed in two ranges of panels with
 * canaries behind; the bytes' bounds are those of a signed byte less its zero point. */
static void check_outputs(const ingot_kernels *k, const ingot_dot *d, const void *a, const void *packed,
                          const int32_t *add, const int32_t *want, int64_t rows, const char *what)
{
    const int64_t panels = k->dot_panels_i8(d), columns = k->dot_columns_i8(d), blocks = (d->n + 7) / 8;
    float *scale = check_randoms(columns), *bias = check_randoms(columns), *floats = check_floats(rows * d->n);
    int32_t *sums = malloc((size_t)(rows * d->n + SLACK) * sizeof *sums);
    uint8_t *bytes = malloc((size_t)(rows * blocks * 8));
    ingot_dot_out o = { .kind = INGOT_DOT_INT32, .add = add, .row = d->n, .block = 8 };

    /* scales that bring sums of many products into a byte's range and beyond */
    for (int64_t j = 0; j < columns; j++)
        scale[j] *= 0.002f;
    for (int i = 0; i < SLACK; i++)
        sums[rows * d->n + i] = 77;
    k->dot_i8(d, a, packed, sums, &o, rows, 0, panels / 2);
    k->dot_i8(d, a, packed, sums, &o, rows, panels / 2, panels);
    for (int64_t i = 0; i < rows * d->n; i++)
        check_same(sums[i], want[i], what, i);
    for (int i = 0; i < SLACK; i++)
        check_same(sums[rows * d->n + i], 77, what, -1);
    /* bytes in blocks of eight columns, row after row within a block */
    o = (ingot_dot_out){ .kind = INGOT_DOT_BYTE, .add = add, .scale = scale, .low = -131, .high = 124, .zero = 3,
                         .row = 8, .block = rows * 8, .whole_blocks = true };
    k->dot_i8(d, a, packed, bytes, &o, rows, 0, panels);
    for (int64_t i = 0; i < rows * d->n; i++) {
        const int64_t row = i / d->n, j = i % d->n;
        check_same((int8_t)bytes[j / 8 * rows * 8 + row * 8 + j % 8],
                   (int8_t)requantize((float)want[i] * scale[j], -131, 124, 3), what, i);
    }
    /* floats with a bias: the same roundings as here, so the same bits */
    o = (ingot_dot_out){ .kind = INGOT_DOT_FLOAT, .add = add, .scale = scale, .bias = bias, .row = d->n, .block = 8 };
    k->dot_i8(d, a, packed, floats, &o, rows, 0, panels);
    for (int64_t i = 0; i < rows * d->n; i++) {
        const float product = (float)want[i] * scale[i % d->n];
        check_near(floats[i], product + bias[i % d->n], 0, what, i);
    }
    check_free(scale, columns, what);
    check_free(bias, columns, what);
    check_free(floats, rows * d->n, what);
    free(sums);
    free(bytes);
}

/* A B that lies by columns is packed to the same bytes as one that lies by rows, of which several columns are taken at
 * a time. */
static void check_by_columns(const ingot_kernels *k, const ingot_dot *d, const char *packed, const uint8_t *b,
                             int64_t depth, const int32_t *zeros, const char *what)
{
    const int64_t bytes = k->dot_packed_i8(d);
    uint8_t *columns = malloc((size_t)(d->n * depth));
    char *again = aligned_alloc(64, ((size_t)bytes + 63) / 64 * 64);

    for (int64_t l = 0; l < depth; l++)
        for (int64_t j = 0; j < d->n; j++)
            columns[j * depth + l] = b[l * d->n + j];
    memset(again, 42, (size_t)bytes);       /* a narrow last panel does not fill its place */
    k->dot_pack_i8(d, again, columns, 1, depth, depth, zeros, 0, k->dot_panels_i8(d));
    if (memcmp(packed, again, (size_t)bytes))
        check_fail("%s: other bytes from columns", what);
    free(columns), free(again);
}

/* One product. Rows lie twice as far apart as their pieces need, and taps backwards, as the rows and taps of an
 * image do not lie side by side. Signs, zero points of both sides and k that fills no whole piece come from the
 * case. */
static void check_dot(const ingot_kernels *k, const dot_case *t)
{
    const int64_t length = t->taps * t->blocks * 8, n_a = t->rows * length * 2;
    uint8_t *a = random_bytes(n_a, t->extreme, t->a_signed), *b = random_bytes(t->n * t->k, t->extreme, t->b_signed);
    int64_t tap_at[16];
    ingot_dot d = { .n = t->n, .taps = t->taps, .blocks = t->blocks, .tap_at = tap_at, .block_step = 16,
                    .row_step = 2 * length, .a_signed = t->a_signed, .b_signed = t->b_signed,
                    .b_zeros = t->b_zero != (t->b_signed ? 0 : 128) };
    const int64_t panels = k->dot_panels_i8(&d), columns = k->dot_columns_i8(&d), bytes = k->dot_packed_i8(&d);
    char *packed = aligned_alloc(64, ((size_t)bytes + 127) / 64 * 64);
    char *line = aligned_alloc(64, (size_t)((n_a + SLACK) * k->dot_bytes + 63) / 64 * 64);
    int32_t *zeros = calloc((size_t)columns, sizeof *zeros), *add = malloc((size_t)columns * sizeof *add);
    int32_t *bias = malloc((size_t)columns * sizeof *bias), *want = malloc((size_t)(t->rows * t->n) * sizeof *want);
    char what[160];

    snprintf(what, sizeof what, "dot %s rows=%d n=%d taps=%d blocks=%d k=%d signs=%d%d zeros=%d,%d", k->isa,
             (int)t->rows, (int)t->n, (int)t->taps, (int)t->blocks, (int)t->k, t->a_signed, t->b_signed, t->a_zero,
             t->b_zero);
    for (int64_t i = 0; i < t->taps; i++)
        tap_at[i] = (t->taps - 1 - i) * t->blocks * 16;
    for (int64_t j = 0; j < t->n; j++) {
        zeros[j] = t->b_zero + (d.b_zeros ? (int32_t)(j % 3) : 0);
        bias[j] = random_byte() * 1000 - 100000;
    }
    /* A as the kernel reads it, B packed in two ranges with a canary behind, and the columns' constants */
    k->dot_line_i8(line, a, n_a + SLACK, t->a_signed, t->a_zero);
    memset(packed, 42, (size_t)bytes + 64);
    k->dot_pack_i8(&d, packed, b, t->n, 1, t->k, zeros, 0, panels / 2);
    k->dot_pack_i8(&d, packed, b, t->n, 1, t->k, zeros, panels / 2, panels);
    check_same(packed[bytes], 42, what, -2);
    check_by_columns(k, &d, packed, b, t->k, zeros, what);
    k->dot_add_i8(&d, packed, bias, t->a_zero, add);
    for (int64_t i = 0; i < t->rows; i++)
        for (int64_t j = 0; j < t->n; j++) {
            int64_t sum = bias[j];
            for (int64_t l = 0; l < t->k; l++) {
                const int64_t piece = l / 8, at = tap_at[piece / t->blocks] + piece % t->blocks * 16 + l % 8;
                sum += (value(a[i * 2 * length + at], t->a_signed) - t->a_zero) *
                       (value(b[l * t->n + j], t->b_signed) - zeros[j]);
            }
            want[i * t->n + j] = (int32_t)sum;
        }
    check_outputs(k, &d, line, packed, add, want, t->rows, what);
    free(a), free(b), free(packed), free(line), free(zeros), free(add), free(bias), free(want);
}

/* From one element to many pieces; each pair of signs; zero points in the middle and at the ends of the types; and
 * all elements at the ends of their ranges, where instructions that add pairs in 16 bits would saturate. */
static void check_dots(const ingot_kernels *k)
{
    static const dot_case cases[] = {
        { 1, 1, 1, 1, 1, false, true, 0, 0, false },      { 1, 10, 1, 40, 317, false, true, 128, 0, false },
        { 13, 33, 1, 3, 20, false, true, 7, 0, false },   { 7, 16, 3, 2, 48, true, true, -3, 0, false },
        { 25, 70, 2, 3, 48, true, true, 5, -9, false },   { 12, 32, 9, 1, 72, false, false, 130, 125, false },
        { 6, 17, 1, 9, 70, false, false, 255, 0, false }, { 5, 8, 1, 4, 32, true, false, -128, 128, false },
        { 3, 64, 1, 64, 512, false, true, 255, 0, true }, { 14, 40, 1, 64, 512, true, true, -128, 0, true },
        { 2, 24, 1, 64, 512, false, false, 0, 0, true },
    };

    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        check_dot(k, &cases[i]);
}

/* Rows of a 3x3 depthwise convolution over an image of 11 pixels across. */
static void check_depthwise(const ingot_kernels *k)
{
    enum { WIDTH = 40, TAPS = 9 };
    int16_t src[WIDTH * 3 * 8 + SLACK];
    int64_t tap_at[TAPS];
    int32_t weights[TAPS * 8], add[8];
    float scale[8];

    for (size_t i = 0; i < sizeof src / sizeof *src; i++)
        src[i] = (int16_t)(random_byte() - random_byte());
    for (int i = 0; i < TAPS; i++)
        tap_at[i] = (i / 3 * WIDTH + i % 3) * 8;
    for (int i = 0; i < TAPS * 8; i++)
        weights[i] = (uint16_t)(int16_t)(random_byte() - random_byte());
    for (int c = 0; c < 8; c++) {
        add[c] = random_byte() * 50 - 6000;
        scale[c] = 0.002f + check_random() * 0.001f;
    }
    const ingot_dot_out o = { .kind = INGOT_DOT_BYTE, .add = add, .scale = scale, .low = -100, .high = 155,
                              .zero = 100 };
    /* strides of 1 and 2, and every length of a row */
    for (int step = 1; step <= 2; step++)
        for (int64_t n = 0; n <= (WIDTH - 2) / step; n++) {
            uint8_t got[WIDTH * 8 + 1];
            got[n * 8] = 42;
            k->depthwise_i8(got, src, step * 8, tap_at, TAPS, weights, n, &o);
            for (int64_t i = 0; i < n * 8; i++) {
                int32_t sum = add[i % 8];
                for (int tap = 0; tap < TAPS; tap++)
                    sum += src[i / 8 * step * 8 + i % 8 + tap_at[tap]] * (int16_t)weights[tap * 8 + i % 8];
                check_same(got[i], requantize((float)sum * scale[i % 8], -100, 155, 100), "depthwise", i);
            }
            check_same(got[n * 8], 42, "depthwise wrote too far", n);
        }
}

/* What is done to bytes one by one: widening, to and from float, and sums and products of two quantized tensors
 * (mode 1 the product, mode 2 with a single element on one side). Each has a canary behind its last element. */
static void check_elementwise(const ingot_kernels *k, int64_t n, bool is_signed)
{
    uint8_t *x = random_bytes(n, false, is_signed), *y = random_bytes(n, false, is_signed), got[200];
    float *floats = check_floats(n), *from = check_randoms(n);
    int16_t wide[200];
    const int zero = is_signed ? -5 : 120;
    const float low = (float)((is_signed ? -128 : 0) - zero), high = low + 255.0f;

    /* one way and back */
    wide[n] = 4242;
    k->widen_i8(wide, x, n, is_signed, zero);
    k->dequantize_i8(floats, x, n, is_signed, 0.37f, zero);
    for (int64_t i = 0; i < n; i++) {
        check_same(wide[i], value(x[i], is_signed) - zero, "widen", i);
        check_near(floats[i], (float)(value(x[i], is_signed) - zero) * 0.37f, 0, "dequantize", i);
    }
    check_same(wide[n], 4242, "widen wrote too far", n);
    if (n > 3) {
        from[0] = NAN, from[1] = INFINITY, from[2] = -INFINITY, from[3] = 0.05f;
    }
    got[n] = 42;
    /* NaN becomes the lower limit, infinities the limits */
    k->quantize_i8(got, from, n, 0.02f, zero, low, high);
    for (int64_t i = 0; i < n; i++)
        check_same(value(got[i], is_signed), requantize(from[i] / 0.02f, low, high, zero), "quantize", i);
    check_same(got[n], 42, "quantize wrote too far", n);
    /* sum and product, of whole operands and with a single element */
    for (int mode = 0; mode < 4; mode++) {
        const ingot_mix m = { .product = mode & 1, .b_single = mode & 2, .is_signed = is_signed, .a_zero = 3,
                              .b_zero = -7, .zero = zero, .a_scale = mode & 1 ? 0.01f : 0.6f, .b_scale = 0.55f,
                              .low = low, .high = high };
        if (n == 0)
            continue;
        k->mix_i8(got, x, y, n, &m);
        for (int64_t i = 0; i < n; i++) {
            const float a = (float)(value(x[i], is_signed) - 3);
            const float b = (float)(value(y[m.b_single ? 0 : i], is_signed) + 7);
            const float scaled_a = a * m.a_scale, scaled_b = b * m.b_scale, product = a * b;
            const float r = m.product ? product * m.a_scale : scaled_a + scaled_b;
            check_same(value(got[i], is_signed), requantize(r, low, high, zero), "mix", i);
        }
        check_same(got[n], 42, "mix wrote too far", n);
    }
    free(x), free(y);
    check_free(floats, n, "dequantize");
    check_free(from, n, "quantize");
}

/* The smallest and largest of 0 and n numbers; NaN is passed over. What low and high held before does not count. */
static void check_range(const ingot_kernels *k, int64_t n)
{
    float *x = check_randoms(n), low = 1, high = -1, want_low = 0, want_high = 0;

    if (n > 2)
        x[n / 2] = NAN;
    for (int64_t i = 0; i < n; i++) {
        want_low = x[i] < want_low ? x[i] : want_low;
        want_high = x[i] > want_high ? x[i] : want_high;
    }
    k->range_f32(x, n, &low, &high);
    check_near(low, want_low, 0, "range low", n);
    check_near(high, want_high, 0, "range high", n);
    check_free(x, n, "range");
}

/* Largest and sum over the pixels of a block of bytes; the maximum's source has its pixels 16 bytes apart. */
static void check_pixels(const ingot_kernels *k, int64_t n, bool is_signed)
{
    uint8_t *x = random_bytes(n * 16, false, is_signed), *y = random_bytes(n * 8, false, is_signed);
    uint8_t *got = malloc((size_t)n * 8 + 1);
    int32_t sums[8], want[8] = { 0 };

    memcpy(got, y, (size_t)n * 8 + 1);
    /* onto what is there, then the sums of the same bytes */
    k->max_pixels_i8(got, x, 16, n, is_signed);
    for (int64_t i = 0; i < n * 8; i++) {
        const int a = value(x[i / 8 * 16 + i % 8], is_signed), b = value(y[i], is_signed);
        check_same(value(got[i], is_signed), a > b ? a : b, "max", i);
        want[i % 8] += b;
    }
    k->sum_pixels_i8(sums, y, n, is_signed);
    for (int c = 0; c < 8; c++)
        check_same(sums[c], want[c], "sum", n);
    free(x), free(y), free(got);
}

/* Lengths: all up to 40, then steps of 9 to beyond two of the widest vectors of bytes. */
static void check_all(const ingot_kernels *k)
{
    check_dots(k);
    check_depthwise(k);
    for (int64_t n = 0; n < 140; n += n < 40 ? 1 : 9) {
        check_range(k, n);
        for (int is_signed = 0; is_signed < 2; is_signed++) {
            check_elementwise(k, n, is_signed);
            check_pixels(k, n, is_signed);
        }
    }
}

int main(void) { return check_every_isa(check_all, true); }
