/* pixel_product.h - products of neighbouring pixels by a unit of weights, which the caller adds where they belong. */
#ifndef INGOT_OPS_KERNELS_PIXEL_PRODUCT_H
#define INGOT_OPS_KERNELS_PIXEL_PRODUCT_H

#include "ops/kernels/conv_tile.h"

/* Pixels of a row by a unit, over all blocks of input channels. Steps are in floats. */
typedef struct pixel_product {
    const float *src, *weights;
    float *sums;                        /* as many as a whole unit has for each pixel */
    int64_t blocks;
    ptrdiff_t plane, weight_block;      /* from block to block, of src and of weights */
    ptrdiff_t row;                      /* from pixel to pixel of the sums */
    ahead soon;                         /* fetched on the way, `groups` of lines with every block */
    int groups;                         /* set by multiply_strips() */
    bool ends_short;                    /* see unit_ends_short() */
} pixel_product;

/* px pixels, at most CONV_PX2, by a unit of two vectors. */
void INGOT_FN(multiply_pixels)(pixel_product *t, int px);

/* px pixels, at most CONV_PX1, by a unit of one vector. */
void INGOT_FN(multiply_pixels_once)(pixel_product *t, int px);

/* Any number of pixels by a unit of `width` channels, in strips of nearly equal length, which together ask for as many
 * cache lines as the unit's weights have. */
void INGOT_FN(multiply_strips)(pixel_product *t, int64_t pixels, int width);

/* What to ask for during a product: the next one's weights, of size floats, behind its own. The product that ends the
 * last unit asks for what is read after the convolution, as `after` says; NULL: for nothing. */
INGOT_INLINE ahead read_after(const float *weights, int64_t size, bool ends, const ingot_epilogue *after)
{
    if (!ends)
        return (ahead){ weights + size, weights + 2 * size };
    return after ? (ahead){ after->soon, after->soon + after->n_soon } : (ahead){ NULL, NULL };
}

#endif
