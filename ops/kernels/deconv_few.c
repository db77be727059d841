/* deconv_few.c - transposed f32 convolution to at most four channels, blocked.
 *
 * Vectors of output channels would be empty for the most part. So their lanes are filled with taps: the product of a
 * row of source pixels by the weights of all taps, whose channels lie side by side, is what every pixel adds to the
 * output around it, and is then added there, four floats at a time: past the channels that exist, they are anything.
 * An output meets its source rows in ascending order, however the work is cut.
 *
 * Work items are (image, window of the output), whose sums stay in the first-level cache. */
#include "ops/kernels/deconv_few.h"
#include "ops/kernels/pixel_product.h"

enum {
    FEW = 4,                            /* channels of a sum */
    SUM_FLOATS = 8192,                  /* of the products of a piece of a row, at most */
    PIECE_FLOATS = 2048,                /* wanted, but for a tile at least: 8 KiB beside a window */
    WINDOW_FLOATS = 8192,               /* of an item's outputs: 32 KiB */
    COLUMNS = 128,                      /* of an item, at most */
    LEAST_ROWS = 16,                    /* of an item, unless there are fewer */
};

/* Floats of a pixel's product: all taps, in whole vectors. */
static int64_t sums_of(const ingot_conv *d)
{
    return ceil_div(d->kernel[1] * d->kernel[2] * d->oc, VF32_LANES) * VF32_LANES;
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
                const int64_t sum = tap * d->oc + o, unit = sum / UNIT, width = unit_width_of(sums_of(d), unit);
                packed[unit * UNIT * channels + i * width + sum % UNIT] = weights[(i * d->oc + o) * taps + tap];
            }
}

/* How the output is cut: into windows of nearly equal size that fit the buffer, whole rows where those are short
 * enough. Where bands touch, source rows are multiplied twice; two bands at least are for threads to share. */
typedef struct windows {
    int64_t columns, rows;              /* of a window; those at the ends may be smaller */
    int64_t strips, bands;
} windows;

static windows windows_of(const ingot_conv *d)
{
    windows w = { .strips = ceil_div(d->out[2], COLUMNS) };

    w.columns = ceil_div(d->out[2], w.strips);
    w.strips = ceil_div(d->out[2], w.columns);
    w.bands = max64(ceil_div(d->out[1], WINDOW_FLOATS / FEW / w.columns), min64(2, ceil_div(d->out[1], LEAST_ROWS)));
    w.rows = ceil_div(d->out[1], w.bands);
    w.bands = ceil_div(d->out[1], w.rows);
    return w;
}

/* Windows of all images. */
int64_t INGOT_FN(deconv_few_items)(const ingot_conv *d)
{
    const windows w = windows_of(d);
    return d->n * w.bands * w.strips;
}

/* The sums of n neighbouring pixels at src, a tile at a time. */
static void multiply_row(const ingot_conv *d, const float *packed, const float *src, float *sums, int64_t n)
{
    const int64_t row = sums_of(d), blocks = ceil_div(d->ic, BLOCK);
    int64_t tiles = ceil_div(n, CONV_PX2);
    pixel_product t = { .blocks = blocks, .plane = d->in[1] * d->in[2] * BLOCK, .row = row };

    for (int64_t x = 0; x < n; tiles--) {
        const int px = (int)ceil_div(n - x, tiles);
        t.src = src + x * BLOCK;
        for (int64_t unit = 0; unit * UNIT < row; unit++) {
            t.weights = packed + unit * blocks * BLOCK * UNIT;
            t.weight_block = BLOCK * unit_width_of(row, unit);
            t.sums = sums + x * row + unit * UNIT;
            if (unit_width_of(row, unit) == UNIT)
                INGOT_FN(multiply_pixels)(&t, px);
            else
                INGOT_FN(multiply_pixels_once)(&t, px);
        }
        x += px;
    }
}

/* The channels of a tap, wherever they lie. */
typedef float few_vector __attribute__((vector_size(FEW * sizeof(float)), aligned(sizeof(float)), may_alias));
typedef int32_t few_mask __attribute__((vector_size(FEW * sizeof(float)), aligned(sizeof(float)), may_alias));

/* Output rows [y0, y1) by columns [x0, x1) of an image, and the sums of their channels, side by side. */
typedef struct window {
    int64_t y0, y1, x0, x1;
    float *sums;
} window;

/* Outputs begin at the bias. */
static void start_sums(const ingot_conv *d, const float *bias, const window *w)
{
    const int64_t n = (w->y1 - w->y0) * (w->x1 - w->x0);
    few_vector start = { 0 };

    for (int64_t o = 0; bias && o < d->oc; o++)
        start[o] = bias[o];
    for (int64_t i = 0; i < n; i++)
        ((few_vector *)(void *)w->sums)[i] = start;
}

/* Add what source pixels [x0, x1) of a row give to output row y, by the taps of one kernel row. */
static __attribute__((noinline)) void add_row(const ingot_conv *d, const float *products, int64_t x0, int64_t x1,
                                              const window *w, int64_t y)
{
    const int64_t row = sums_of(d), stride = d->stride[2];
    float *sums = w->sums + (y - w->y0) * (w->x1 - w->x0) * FEW;

    for (int64_t k = 0; k < d->kernel[2]; k++) {
        /* source pixel x goes to column x * stride + shift of the window */
        const int64_t shift = k * d->dilation[2] - d->pad[2] - w->x0, width = w->x1 - w->x0;
        const int64_t from = max64(x0, shift < 0 ? ceil_div(-shift, stride) : 0);
        const int64_t to = min64(x1, width <= shift ? 0 : (width - 1 - shift) / stride + 1);
        const float *product = products + (from - x0) * row + k * d->oc;
        float *sum = sums + (from * stride + shift) * FEW;

        for (int64_t x = from; x < to; x++, product += row, sum += stride * FEW)
            *(few_vector *)(void *)sum += *(const few_vector *)(const void *)product;
    }
}

/* Source indices [first, end) of an axis that reach outputs [from, to). */
typedef struct reach { int64_t first, end; } reach;

static reach reach_of(const ingot_conv *d, int axis, int64_t from, int64_t to)
{
    const int64_t least = from + d->pad[axis] - (d->kernel[axis] - 1) * d->dilation[axis];

    return (reach){ least <= 0 ? 0 : ceil_div(least, d->stride[axis]),
                    min64(d->in[axis], (to - 1 + d->pad[axis]) / d->stride[axis] + 1) };
}

/* All that the source gives to a window, row by row, in pieces whose products fit the buffer. */
static void add_source(const ingot_conv *d, const float *packed, const float *src, const window *w)
{
    const int64_t piece = max64(CONV_PX2, PIECE_FLOATS / sums_of(d));
    const reach rows = reach_of(d, 1, w->y0, w->y1), columns = reach_of(d, 2, w->x0, w->x1);
    _Alignas(64) float products[SUM_FLOATS + FEW];

    for (int64_t i = rows.first; i < rows.end; i++)
        for (int64_t x = columns.first; x < columns.end; x += piece) {
            const int64_t x1 = min64(x + piece, columns.end);
            multiply_row(d, packed, src + (i * d->in[2] + x) * BLOCK, products, x1 - x);
            for (int64_t k = 0; k < d->kernel[1]; k++) {
                const int64_t y = i * d->stride[1] + k * d->dilation[1] - d->pad[1];
                if (y >= w->y0 && y < w->y1)
                    add_row(d, products + k * d->kernel[2] * d->oc, x, x1, w, y);
            }
        }
}

/* The sums to their places, each after the residual and the activation; channels that do not exist are zeros. */
static void finish_window(const ingot_conv *d, const ingot_epilogue *e, const window *w, float *dst,
                          const float *residual)
{
    const few_vector none = { 0 };
    const few_mask exists = (few_mask){ 0, 1, 2, 3 } < (int32_t)d->oc;
    const int64_t width = w->x1 - w->x0;
    const float *sums = w->sums;

    for (int64_t y = w->y0; residual && y < w->y1; y++)
        for (int64_t x = 0; x < width; x++)
            ((few_vector *)(void *)w->sums)[(y - w->y0) * width + x] +=
                *(const few_vector *)(const void *)(residual + (y * d->out[2] + w->x0 + x) * BLOCK);
    INGOT_FN(act_rows_f32)(w->sums, 0, 1, (w->y1 - w->y0) * width * FEW, e);
    for (int64_t y = w->y0; y < w->y1; y++) {
        few_vector *to = (few_vector *)(void *)(dst + (y * d->out[2] + w->x0) * BLOCK);
        for (int64_t x = 0; x < width; x++, sums += FEW) {
            *to++ = (few_vector)(*(const few_mask *)(const void *)sums & exists);
            *to++ = none;
        }
    }
}

/* Items [i0, i1). */
void INGOT_FN(deconv_few_run)(const ingot_conv *d, const float *packed, const float *src, float *dst,
                              const ingot_epilogue *e, int64_t i0, int64_t i1)
{
    const windows s = windows_of(d);
    const int64_t in = ceil_div(d->ic, BLOCK) * d->in[1] * d->in[2] * BLOCK, out = d->out[1] * d->out[2] * BLOCK;
    _Alignas(64) float sums[WINDOW_FLOATS];

    for (int64_t i = i0; i < i1; i++) {
        const int64_t image = i / s.strips / s.bands;
        const int64_t y0 = i / s.strips % s.bands * s.rows, x0 = i % s.strips * s.columns;
        const window w = { y0, min64(d->out[1], y0 + s.rows), x0, min64(d->out[2], x0 + s.columns), sums };

        start_sums(d, e->bias, &w);
        add_source(d, packed, src + image * in, &w);
        finish_window(d, e, &w, dst + image * out, e->residual ? e->residual + image * out : NULL);
    }
}
