/* deconv_few.c - transposed f32 convolution to at most four channels, blocked.
 *
 * Vectors of output channels would be empty for the most part. So their lanes are filled with taps: the product of a
 * row of source pixels by the weights of all taps, four channels for each, is what every pixel adds to the output
 * around it, and is then added there. An output meets its source rows in ascending order, however the work is cut.
 *
 * Work items are (image, band of output rows). */
#include "ops/kernels/deconv_few.h"
#include "ops/kernels/pixel_product.h"

enum {
    FEW = 4,                            /* channels of a tap */
    SUM_FLOATS = 8192,                  /* of the products of a piece of a row: 32 KiB */
    BAND = 16,                          /* output rows of an item */
};

/* Floats of a pixel's product: all taps, in whole units. */
static int64_t sums_of(const ingot_conv *d)
{
    return ceil_div(d->kernel[1] * d->kernel[2] * FEW, UNIT) * UNIT;
}

/* Two dimensions, at most FEW channels, sums of a tile that fit the buffer, and lanes well filled: sums in whole
 * units may be three quarters of what a vector for each tap would be, as the ordinary way has it, but not more. */
bool INGOT_FN(deconv_few_fits)(const ingot_conv *d)
{
    const int64_t taps = d->kernel[1] * d->kernel[2];

    return d->groups == 1 && d->oc <= FEW && d->in[0] == 1 && d->kernel[0] == 1 && d->out[0] == 1 && d->pad[0] == 0 &&
           taps <= SUM_FLOATS / CONV_PX2 / FEW / 2 && sums_of(d) * 4 <= taps * VF32_LANES * 3;
}

/* Floats of packed weights: a pixel's sums for each input channel. */
int64_t INGOT_FN(deconv_few_packed)(const ingot_conv *d) { return sums_of(d) * ceil_div(d->ic, BLOCK) * BLOCK; }

/* Weights [ic][oc][taps] become [unit][channel][tap and channel of the unit]. */
void INGOT_FN(deconv_few_pack)(const ingot_conv *d, float *packed, const float *weights)
{
    const int64_t taps = d->kernel[1] * d->kernel[2], channels = ceil_div(d->ic, BLOCK) * BLOCK;

    memset(packed, 0, (size_t)INGOT_FN(deconv_few_packed)(d) * sizeof *packed);
    for (int64_t i = 0; i < d->ic; i++)
        for (int64_t o = 0; o < d->oc; o++)
            for (int64_t tap = 0; tap < taps; tap++) {
                const int64_t sum = tap * FEW + o;
                packed[(sum / UNIT * channels + i) * UNIT + sum % UNIT] = weights[(i * d->oc + o) * taps + tap];
            }
}

/* Bands of all images. */
int64_t INGOT_FN(deconv_few_items)(const ingot_conv *d) { return d->n * ceil_div(d->out[1], BAND); }

/* The sums of n neighbouring pixels at src, a tile at a time. */
static void multiply_row(const ingot_conv *d, const float *packed, const float *src, float *sums, int64_t n)
{
    const int64_t row = sums_of(d), blocks = ceil_div(d->ic, BLOCK);
    int64_t tiles = ceil_div(n, CONV_PX2);
    pixel_product t = { .blocks = blocks, .plane = d->in[1] * d->in[2] * BLOCK, .weight_block = BLOCK * UNIT,
                        .row = row };

    for (int64_t x = 0; x < n; tiles--) {
        const int px = (int)ceil_div(n - x, tiles);
        t.src = src + x * BLOCK;
        for (int64_t unit = 0; unit < row / UNIT; unit++) {
            t.weights = packed + unit * blocks * BLOCK * UNIT;
            t.sums = sums + x * row + unit * UNIT;
            INGOT_FN(multiply_pixels)(&t, px);
        }
        x += px;
    }
}

/* The channels of a tap, wherever they lie. */
typedef float few_vector __attribute__((vector_size(FEW * sizeof(float)), aligned(sizeof(float)), may_alias));

/* Add what source pixels [x0, x1) of a row give to one output row, by the taps of one kernel row. */
static void add_row(const ingot_conv *d, const float *sums, int64_t x0, int64_t x1, float *dst)
{
    const int64_t row = sums_of(d), stride = d->stride[2];

    for (int64_t k = 0; k < d->kernel[2]; k++) {
        const int64_t shift = k * d->dilation[2] - d->pad[2];       /* pixel x goes to x * stride + shift */
        const int64_t from = max64(x0, shift < 0 ? ceil_div(-shift, stride) : 0);
        const int64_t to = min64(x1, d->out[2] <= shift ? 0 : (d->out[2] - 1 - shift) / stride + 1);

        for (int64_t x = from; x < to; x++) {
            few_vector *out = (few_vector *)(void *)(dst + (x * stride + shift) * BLOCK);
            *out += *(const few_vector *)(const void *)(sums + (x - x0) * row + k * FEW);
        }
    }
}

/* Where outputs begin: at bias and residual. */
static void start_rows(const ingot_conv *d, const ingot_epilogue *e, float *dst, const float *residual, int64_t pixels)
{
    float start[BLOCK] = { 0 };

    for (int64_t o = 0; e->bias && o < d->oc; o++)
        start[o] = e->bias[o];
    for (int64_t i = 0; i < pixels; i++)
        for (int j = 0; j < BLOCK; j++)
            dst[i * BLOCK + j] = start[j] + (residual ? residual[i * BLOCK + j] : 0.0f);
}

/* Output rows [y0, y1) of an image. */
static void run_band(const ingot_conv *d, const float *packed, const float *src, float *dst, int64_t y0, int64_t y1)
{
    /* source rows that reach the band, and how many pixels' sums fit the buffer */
    const int64_t piece = SUM_FLOATS / sums_of(d), reach = (d->kernel[1] - 1) * d->dilation[1];
    const int64_t least = y0 + d->pad[1] - reach, first = least <= 0 ? 0 : ceil_div(least, d->stride[1]);
    const int64_t end = min64(d->in[1], (y1 - 1 + d->pad[1]) / d->stride[1] + 1);
    float sums[SUM_FLOATS];

    for (int64_t i = first; i < end; i++)
        for (int64_t x = 0; x < d->in[2]; x += piece) {
            const int64_t x1 = min64(x + piece, d->in[2]);
            multiply_row(d, packed, src + (i * d->in[2] + x) * BLOCK, sums, x1 - x);
            for (int64_t k = 0; k < d->kernel[1]; k++) {
                const int64_t y = i * d->stride[1] + k * d->dilation[1] - d->pad[1];
                if (y >= y0 && y < y1)
                    add_row(d, sums + k * d->kernel[2] * FEW, x, x1, dst + y * d->out[2] * BLOCK);
            }
        }
}

/* Items [i0, i1): a band starts at bias and residual, gets what source rows add to it, and its activation at last,
 * all while it is in the cache. */
void INGOT_FN(deconv_few_run)(const ingot_conv *d, const float *packed, const float *src, float *dst,
                              const ingot_epilogue *e, int64_t i0, int64_t i1)
{
    const int64_t bands = ceil_div(d->out[1], BAND), in = ceil_div(d->ic, BLOCK) * d->in[1] * d->in[2] * BLOCK;

    for (int64_t i = i0; i < i1; i++) {
        const int64_t image = i / bands, y0 = i % bands * BAND, y1 = min64(d->out[1], y0 + BAND);
        const int64_t at = image * d->out[1] * d->out[2] * BLOCK, rows = at + y0 * d->out[2] * BLOCK;

        start_rows(d, e, dst + rows, e->residual ? e->residual + rows : NULL, (y1 - y0) * d->out[2]);
        run_band(d, packed, src + image * in, dst + at, y0, y1);
        INGOT_FN(act_rows_f32)(dst + rows, 0, 1, (y1 - y0) * d->out[2] * BLOCK, e);
    }
}
