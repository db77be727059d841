/* pixel_product.c - products of neighbouring pixels by a unit of weights: see pixel_product.h. */
#include "ops/kernels/pixel_product.h"

/* px pixels by nv vectors: sums in registers over all input channels. */
INGOT_INLINE void multiply(pixel_product *t, int px, int nv, bool ends_short)
{
    vf32 acc[MAX_PIXELS][2];
    ahead soon = t->soon;
    const float *src = t->src, *w = t->weights;

    INGOT_UNROLL
    for (int p = 0; p < px; p++) {
        INGOT_UNROLL
        for (int v = 0; v < nv; v++)
            acc[p][v] = vf32_zero();
    }
    for (int64_t b = 0; b < t->blocks; b++, src += t->plane, w += t->weight_block) {
        fetch_next(src + t->plane, BLOCK, px);
        if (ends_short) {
            fetch_ahead(&soon, t->groups);
            accumulate_short(acc, src, w, BLOCK, px, nv);
        } else {
            accumulate_fetching(acc, src, src, src + (px - 1) * BLOCK, BLOCK, w, BLOCK, px, nv,
                                take_ahead(&soon, t->groups, w));
        }
    }
    t->soon = soon;
    INGOT_UNROLL
    for (int p = 0; p < px; p++) {
        INGOT_UNROLL
        for (int v = 0; v < nv; v++)
            vf32_store(t->sums + p * t->row + v * VF32_LANES, acc[p][v]);
    }
}

/* a straight-line product for each number of pixels; for most of them one more */
#define MULTIPLY_ONE(px) multiply(t, px, 1, false)
#define MULTIPLY_TWO(px) multiply(t, px, 2, false)
#define MULTIPLY_ONE_SHORT(px) multiply(t, px, 1, true)
#define MULTIPLY_TWO_SHORT(px) multiply(t, px, 2, true)

#define SHORT_CASES(tile) \
    PIXEL_CASE(8, CONV_PX2, tile) PIXEL_CASE(9, CONV_PX2, tile) PIXEL_CASE(10, CONV_PX2, tile) \
    PIXEL_CASE(11, CONV_PX2, tile) PIXEL_CASE(12, CONV_PX2, tile) PIXEL_CASE(13, CONV_PX2, tile) \
    PIXEL_CASE(14, CONV_PX2, tile)

enum { LEAST_SHORT = VF32_LANES > 8 ? 8 : MAX_PIXELS + 1 };

void INGOT_FN(multiply_pixels)(pixel_product *t, int px)
{
    if (t->ends_short && px >= LEAST_SHORT)
        switch (px) { SHORT_CASES(MULTIPLY_TWO_SHORT) }
    else
        switch (px) { PIXEL_CASES(CONV_PX2, MULTIPLY_TWO) }
}

void INGOT_FN(multiply_pixels_once)(pixel_product *t, int px)
{
    if (t->ends_short && px >= LEAST_SHORT)
        switch (px) { SHORT_CASES(MULTIPLY_ONE_SHORT) }
    else
        switch (px) { PIXEL_CASES(CONV_PX1, MULTIPLY_ONE) }
}

void INGOT_FN(multiply_strips)(pixel_product *t, int64_t pixels, int width)
{
    int64_t strips = ceil_div(pixels, width == UNIT ? most_pixels(pixels) : CONV_PX1);

    t->groups = (int)ceil_div(width / 8, max64(1, strips));
    for (; pixels > 0; strips--) {
        const int px = (int)ceil_div(pixels, strips);

        if (width == UNIT)
            INGOT_FN(multiply_pixels)(t, px);
        else
            INGOT_FN(multiply_pixels_once)(t, px);
        t->src += px * BLOCK;
        t->sums += px * t->row;
        pixels -= px;
    }
}
