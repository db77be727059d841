/* conv_minimal.c - F(4, 3): four neighbouring results of three taps by six products instead of twelve, as winograd.c
 * explains it, along rows alone. For a few input channels the transforms in two dimensions cost more than they save.
 *
 * With points 0, +-a, +-b and infinity, where a = 1 / sqrt 2 and b = sqrt 2, a tile's source d becomes
 *   d0 - 2.5 d2 + d4,  (d4 - 2 d2) +- a (d3 - 2 d1),  (d4 - d2 / 2) +- b (d3 - d1 / 2),  d1 - 2.5 d3 + d5
 * which is taken at every place of a row, not at every fourth: vectors do it without a shuffle, and the last point has
 * the first one's numbers. Results are sums of the products m, with s and t those of a pair, u and v their differences:
 *   m0 + s + t,  a u + b v,  s / 2 + 2 t,  a^3 u + b^3 v + m5 */
#include "ops/kernels/conv_minimal.h"

#define SQRT2 1.41421356237309504880

/* A filter at all points, `step` floats apart. */
static void transform_taps(float *to, const float *taps, int64_t step)
{
    static const double points[] = { 0, SQRT2 / 2, -SQRT2 / 2, SQRT2, -SQRT2 }, divisors[] = { 1, -1.5, -1.5, 6, 6 };

    for (int i = 0; i < MINIMAL_POINTS - 1; i++, to += step)
        *to = (float)(((double)taps[0] + points[i] * ((double)taps[1] + points[i] * (double)taps[2])) / divisors[i]);
    *to = taps[2];
}

void INGOT_FN(minimal_pack)(const ingot_conv *d, float *packed, const float *weights, int64_t u0, int64_t u1)
{
    const int64_t rows = d->ic * d->kernel[0] * d->kernel[1];

    for (int64_t u = u0; u < u1; u++) {
        const int width = unit_width_of(d->oc, u), channels = (int)min64(width, d->oc - u * UNIT);
        float *to = packed + u * UNIT * rows * MINIMAL_POINTS;

        memset(to, 0, (size_t)(rows * MINIMAL_POINTS * width) * sizeof *to);
        for (int o = 0; o < channels; o++)
            for (int64_t i = 0; i < rows; i++)
                transform_taps(to + i * width + o, weights + ((u * UNIT + o) * rows + i) * 3, rows * width);
    }
}

void INGOT_FN(minimal_source)(float *to, ptrdiff_t plane, int64_t places, const float *from, ptrdiff_t pitch,
                              int64_t rows)
{
    const vf32 a = vf32_set1((float)(SQRT2 / 2)), b = vf32_set1((float)SQRT2);
    const vf32 two = vf32_set1(2), half = vf32_set1(0.5f), both = vf32_set1(2.5f);

    for (; rows > 0; rows--, from += pitch, to += places)
        for (int64_t x = 0; x < places; x += VF32_LANES) {
            const float *d = from + x;
            float *place = to + x;
            const vf32 d1 = vf32_load(d + 1), d2 = vf32_load(d + 2), d3 = vf32_load(d + 3), d4 = vf32_load(d + 4);
            const vf32 even_a = vf32_fnma(two, d2, d4), odd_a = vf32_fnma(two, d1, d3);
            const vf32 even_b = vf32_fnma(half, d2, d4), odd_b = vf32_fnma(half, d1, d3);

            vf32_store(place, vf32_add(vf32_load(d), vf32_fnma(both, d2, d4)));
            vf32_store(place + plane, vf32_fma(a, odd_a, even_a));
            vf32_store(place + 2 * plane, vf32_fnma(a, odd_a, even_a));
            vf32_store(place + 3 * plane, vf32_fma(b, odd_b, even_b));
            vf32_store(place + 4 * plane, vf32_fnma(b, odd_b, even_b));
        }
}

/* The four results of a tile, of one vector of channels, from its products, `point` floats apart. To those of the first
 * and of the last point the bias was added. */
INGOT_INLINE void transform_products(vf32 y[MINIMAL_OUTPUTS], const float *products, ptrdiff_t point, vf32 bias)
{
    vf32 m[MINIMAL_POINTS];

    INGOT_UNROLL
    for (int i = 0; i < MINIMAL_POINTS; i++)
        m[i] = vf32_load(products + i * point);
    const vf32 s = vf32_add(m[1], m[2]), u = vf32_sub(m[1], m[2]), t = vf32_add(m[3], m[4]), v = vf32_sub(m[3], m[4]);
    y[0] = vf32_add(m[0], vf32_add(s, t));
    y[1] = vf32_fma(vf32_set1((float)(SQRT2 / 2)), u, vf32_fma(vf32_set1((float)SQRT2), v, bias));
    y[2] = vf32_fma(vf32_set1(0.5f), s, vf32_fma(vf32_set1(2), t, bias));
    y[3] = vf32_fma(vf32_set1((float)(SQRT2 / 4)), u, vf32_fma(vf32_set1((float)(2 * SQRT2)), v, m[5]));
}

/* A tile's end by way of memory, of vector v of channels: `left` of its results exist. */
static __attribute__((noinline)) void finish_slowly(const tile_end *end, int v, const vf32 y[MINIMAL_OUTPUTS],
                                                    float *dst, const float *residual, int64_t left)
{
    _Alignas(64) float held[MINIMAL_OUTPUTS * VF32_LANES];
    tile_end t = *end;

    for (int p = 0; p < MINIMAL_OUTPUTS; p++)
        vf32_store(held + p * VF32_LANES, y[p]);
    t.channels = end->channels - v * VF32_LANES;
    t.dst = dst;
    t.residual = residual;
    finish_held(&t, held, (int)min64(left, MINIMAL_OUTPUTS), 1);
}

/* `columns` results of vector v of channels. */
INGOT_INLINE void finish_tiles(const tile_end *end, int v, const float *products, ptrdiff_t point, float *dst,
                               const float *residual, int64_t columns)
{
    const vf32 bias = start_at_bias(end, v), low = vf32_set1(end->low), high = vf32_set1(end->high);
    const bool whole = end->channels - v * VF32_LANES > VF32_LANES - BLOCK && !residual;
    const bool clips_high = end->high < INFINITY;
    const ptrdiff_t plane = end->plane;

    for (; columns > 0; columns -= MINIMAL_OUTPUTS, products += VF32_LANES, dst += MINIMAL_OUTPUTS * BLOCK) {
        vf32 y[MINIMAL_OUTPUTS];

        transform_products(y, products, point, bias);
        if (whole && columns >= MINIMAL_OUTPUTS) {
            INGOT_UNROLL
            for (int p = 0; p < MINIMAL_OUTPUTS; p++) {
                y[p] = vf32_max(low, y[p]);
                y[p] = clips_high ? vf32_min(high, y[p]) : y[p];
                vf32_store_blocks(dst + p * BLOCK, plane, VECTOR_BLOCKS, y[p]);
            }
        } else {
            const vf32 copy[MINIMAL_OUTPUTS] = { y[0], y[1], y[2], y[3] };      /* the others stay in registers */
            finish_slowly(end, v, copy, dst, residual, columns);
        }
        residual = residual ? residual + MINIMAL_OUTPUTS * BLOCK : NULL;
    }
}

/* The products of px tiles by nv vectors at all points, [point][vector][tile]. */
INGOT_INLINE void multiply(const minimal_unit *u, const float *src, float *products, int px, int nv)
{
    const float *w = u->weights;

    for (int i = 0; i < MINIMAL_POINTS; i++) {
        const bool ends = i == 0 || i == MINIMAL_PLANES;
        const float *from = i == MINIMAL_PLANES ? src + 1 : src + i * u->plane;
        vf32 acc[MAX_PIXELS][2];

        INGOT_UNROLL
        for (int v = 0; v < nv; v++) {
            const vf32 bias = ends ? start_at_bias(u->end, v) : vf32_zero();
            INGOT_UNROLL
            for (int p = 0; p < px; p++)
                acc[p][v] = bias;
        }
        for (int64_t k = 0; k < u->rows; k++, w += nv * VF32_LANES) {
            const float *at = from + u->at[k];
            vf32 wv[2];

            INGOT_UNROLL
            for (int v = 0; v < nv; v++)
                wv[v] = vf32_load(w + v * VF32_LANES);
            INGOT_UNROLL
            for (int p = 0; p < px; p++)
                vf32_acc_row(acc[p], at + p * MINIMAL_OUTPUTS, wv, nv, 0);
        }
        INGOT_UNROLL
        for (int v = 0; v < nv; v++) {
            INGOT_UNROLL
            for (int p = 0; p < px; p++, products += VF32_LANES)
                vf32_store(products, acc[p][v]);
        }
        fetch_ahead(&u->beside->soon, u->beside->groups);
    }
}

/* Tiles whose places are whole vectors: what is behind the last one of a row is not used. */
#define MULTIPLY_ONE(px) multiply(u, src, products, px, 1)
#define MULTIPLY_TWO(px) multiply(u, src, products, px, 2)
#define MINIMAL_CASES(most, tile) \
    PIXEL_CASE(MINIMAL_STEP, most, tile) PIXEL_CASE(2 * MINIMAL_STEP, most, tile) \
    PIXEL_CASE(3 * MINIMAL_STEP, most, tile)

static void multiply_one(const minimal_unit *u, const float *src, float *products, int px)
{
    switch (px) { MINIMAL_CASES(MINIMAL_TILES, MULTIPLY_ONE) }
}

static void multiply_two(const minimal_unit *u, const float *src, float *products, int px)
{
    switch (px) { MINIMAL_CASES(MINIMAL_TILES, MULTIPLY_TWO) }
}

/* In groups of nearly equal size: the products of a group stay in the first-level cache. */
void INGOT_FN(minimal_run)(const minimal_unit *u, const float *src, float *dst, const float *residual)
{
    _Alignas(64) float products[MINIMAL_POINTS * MINIMAL_TILES * UNIT];
    const tile_end *end = u->end;

    /* the second condition: no code where it is never taken */
    for (int64_t left = u->columns; left > 0 && CONV_MINIMAL > 0;) {
        const int64_t tiles = ceil_div(left, MINIMAL_OUTPUTS), equal = ceil_div(tiles, ceil_div(tiles, MINIMAL_TILES));
        const int px = (int)ceil_div(equal, MINIMAL_STEP) * MINIMAL_STEP, nv = u->nv;
        const int64_t columns = px * MINIMAL_OUTPUTS;

        if (nv == 2)
            multiply_two(u, src, products, px);
        else
            multiply_one(u, src, products, px);
        for (int v = 0; v < nv; v++)
            finish_tiles(end, v, products + v * px * VF32_LANES, nv * px * VF32_LANES, dst + v * end->vector,
                         residual ? residual + v * end->vector : NULL, min64(left, columns));
        src += columns;
        dst += columns * BLOCK;
        residual = residual ? residual + columns * BLOCK : NULL;
        left -= columns;
    }
}
