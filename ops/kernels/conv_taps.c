/* conv_taps.c - direct f32 convolution of narrow images: tap by tap.
 *
 * A tile ends where its row does, and tiles of a few pixels read all weights for little. Seen from one tap, though, the
 * source is one long row: its pixels by the tap's weights are products of whole tiles, which are then added to the sums
 * of the outputs that they belong to, row by row. Sums stay in the first-level cache until their end. A tap's weights
 * lie together, so that the processor sees by itself what is read next. */
#include "ops/kernels/conv_taps.h"
#include "ops/kernels/pixel_product.h"

enum {
    SUM_FLOATS = 4096,                  /* of an item's outputs at a time: 16 KiB */
    LEAST_CHANNELS = 64,                /* that adding is little beside */
};

/* Rows that cut into tiles of less than two thirds of their width. Only sizes that all phases of a transposed
 * convolution share are asked for. */
bool INGOT_FN(conv_taps_fit)(const ingot_conv *d)
{
    const int64_t width = d->in[2], tiles = ceil_div(width, CONV_PX2);
    bool fits = d->groups == 1 && !d->plain_src && d->ic >= LEAST_CHANNELS && d->oc % UNIT == 0 &&
                d->in[0] == 1 && d->out[0] == 1 && d->kernel[0] == 1 && d->pad[0] == 0 &&
                d->kernel[1] * d->kernel[2] > 1;

    for (int i = 1; i < 3; i++)
        fits &= d->stride[i] == 1;
    return fits && width * 3 < tiles * CONV_PX2 * 2 && d->out[2] * UNIT <= SUM_FLOATS;
}

/* Rows [y0, y1) of the output, whose sums fit the buffer, as one tap sees them. */
typedef struct tap_view {
    const ingot_conv *d;
    float *sums;                        /* [row][x][output channel of the unit] */
    int64_t y0, dy, dx;                 /* source (y, x) goes to output (y - dy, x - dx) */
} tap_view;

/* Add n pixels' products from source pixel `at` on to their outputs. */
static void add_products(const tap_view *v, const float *product, int64_t at, int64_t n)
{
    const int64_t width = v->d->in[2], out = v->d->out[2];

    while (n > 0) {
        const int64_t y = at / width, x = at % width, end = min64(width, x + n);
        const int64_t from = max64(x, v->dx), to = min64(end, out + v->dx);
        const float *add = product + (from - x) * UNIT;
        float *sum = v->sums + ((y - v->dy - v->y0) * out + from - v->dx) * UNIT;

        for (int64_t i = 0; i < (to - from) * UNIT; i += VF32_LANES)
            vf32_store(sum + i, vf32_add(vf32_load(sum + i), vf32_load(add + i)));
        product += (end - x) * UNIT;
        n -= end - x;
        at += end - x;
    }
}

/* What one tap gives to output rows [y0, y1). */
static void run_tap(tap_view *v, pixel_product *p, const float *src, int64_t y1)
{
    const ingot_conv *d = v->d;
    const int64_t first = max64(0, v->y0 + v->dy), last = min64(d->in[1], y1 + v->dy);
    const int64_t end = last * d->in[2];
    int64_t at = first * d->in[2], tiles = ceil_div(end - at, CONV_PX2);

    for (; at < end; tiles--) {
        const int px = (int)ceil_div(end - at, tiles);
        p->src = src + at * BLOCK;
        INGOT_FN(multiply_pixels)(p, px);
        add_products(v, p->sums, at, px);
        at += px;
    }
}

/* Sums of one row to their places. */
static void finish_row(const ingot_conv *d, const conv_place *place, const tile_end *t, float *sums, int64_t y)
{
    const int64_t row = place_at(place, 0, y, 0);
    const vf32 low = vf32_set1(t->low), high = vf32_set1(t->high);

    for (int v = 0; t->residual && v < 2; v++)
        for (int64_t x = 0; x < d->out[2]; x++) {
            float *sum = sums + x * UNIT + v * VF32_LANES;
            const float *residual = t->residual + (row + x * place->step[2]) * BLOCK + v * VECTOR_BLOCKS * t->plane;
            vf32_store(sum, vf32_add(vf32_load(sum), vf32_load_blocks(residual, t->plane, VECTOR_BLOCKS)));
        }
    if (t->act)
        INGOT_FN(act_rows_f32)(sums, 0, 1, d->out[2] * UNIT, t->act);
    for (int64_t x = 0; x < d->out[2]; x++, sums += UNIT)
        for (int v = 0; v < 2; v++) {
            const vf32 sum = vf32_load(sums + v * VF32_LANES);
            vf32_store_blocks(t->dst + (row + x * place->step[2]) * BLOCK + v * VECTOR_BLOCKS * t->plane, t->plane,
                              VECTOR_BLOCKS, vf32_min(high, vf32_max(low, sum)));
        }
}

void INGOT_FN(conv_taps_run)(const ingot_conv *d, const conv_place *place, const taps_item *it, int64_t y0, int64_t y1)
{
    _Alignas(64) float sums[SUM_FLOATS], product[MAX_PIXELS * UNIT];
    const int64_t row = d->out[2] * UNIT, rows = SUM_FLOATS / row;
    pixel_product p = { .sums = product, .blocks = it->blocks, .plane = it->plane, .weight_block = it->weight_block,
                        .row = UNIT };

    for (; y0 < y1; y0 += rows) {
        const int64_t end = min64(y1, y0 + rows);
        tap_view v = { .d = d, .sums = sums, .y0 = y0 };

        for (int64_t i = 0; i < (end - y0) * row; i += UNIT)
            for (int j = 0; j < 2; j++)
                vf32_store(sums + i + j * VF32_LANES, start_at_bias(&it->end, j));
        for (int64_t ky = 0; ky < d->kernel[1]; ky++)
            for (int64_t kx = 0; kx < d->kernel[2]; kx++) {
                v.dy = ky * d->dilation[1] - d->pad[1];
                v.dx = kx * d->dilation[2] - d->pad[2];
                p.weights = it->weights + (ky * d->kernel[2] + kx) * it->weight_tap;
                run_tap(&v, &p, it->src, end);
            }
        for (int64_t y = y0; y < end; y++)
            finish_row(d, place, &it->end, sums + (y - y0) * row, y);
    }
}
