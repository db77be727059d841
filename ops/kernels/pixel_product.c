/* pixel_product.c - products of neighbouring pixels by a unit of weights: see pixel_product.h. */
#include "ops/kernels/pixel_product.h"

/* px pixels by nv vectors: sums in registers over all input channels. */
INGOT_INLINE void multiply(pixel_product *t, int px, int nv)
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
        accumulate_fetching(acc, src, src, src + (px - 1) * BLOCK, BLOCK, w, BLOCK, px, nv,
                            take_ahead(&soon, t->groups, w));
    }
    t->soon = soon;
    INGOT_UNROLL
    for (int p = 0; p < px; p++) {
        INGOT_UNROLL
        for (int v = 0; v < nv; v++)
            vf32_store(t->sums + p * t->row + v * VF32_LANES, acc[p][v]);
    }
}

/* a straight-line product for each number of pixels */
#define MULTIPLY_ONE(px) multiply(t, px, 1)
#define MULTIPLY_TWO(px) multiply(t, px, 2)

void INGOT_FN(multiply_pixels)(pixel_product *t, int px)
{
    switch (px) { PIXEL_CASES(CONV_PX2, MULTIPLY_TWO) }
}

void INGOT_FN(multiply_pixels_once)(pixel_product *t, int px)
{
    switch (px) { PIXEL_CASES(CONV_PX1, MULTIPLY_ONE) }
}
