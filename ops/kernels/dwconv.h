/* dwconv.h - the depthwise convolution of dwconv.c for a source that has its padding already. */
#ifndef INGOT_OPS_KERNELS_DWCONV_H
#define INGOT_OPS_KERNELS_DWCONV_H

#include "ops/kernels/isa.h"

/* Pixels that a row of `columns` of them takes, with what vectors may read behind it. */
int64_t INGOT_FN(dwconv_row)(int64_t columns);

/* A channel block of the source in pieces: row y, from the padding on its left on, is at first + y % ring * step, and
 * rows above and below the image are at zeros. */
typedef struct dw_source {
    const float *first, *zeros;
    int64_t ring;
    ptrdiff_t step;
} dw_source;

/* Rows [y0, y1) of channel block `plane` of all images' blocks, of a convolution of one depth without dilation. */
void INGOT_FN(dwconv_padded)(const ingot_conv *d, const float *packed, const dw_source *src, float *dst,
                             const ingot_epilogue *e, int64_t plane, int64_t y0, int64_t y1);

#endif
