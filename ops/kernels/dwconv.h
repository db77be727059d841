/* dwconv.h - the depthwise convolution of dwconv.c for a source that is ready in pieces. */
#ifndef INGOT_OPS_KERNELS_DWCONV_H
#define INGOT_OPS_KERNELS_DWCONV_H

#include "ops/kernels/isa.h"

/* A vector of channels of the source, [row][pixel][channel]: row y, from the padding on its left on, is at first +
 * y % ring * step; the ring is a power of two. */
typedef struct dw_source {
    const float *first;
    int64_t ring;
    ptrdiff_t step;
} dw_source;

/* Rows [y0, y1) of a vector of channels of an image, of a convolution of one depth without dilation. */
void INGOT_FN(dwconv_ready)(const ingot_conv *d, const float *packed, const dw_source *src, float *dst,
                            const ingot_epilogue *e, int64_t image, int64_t vector, int64_t y0, int64_t y1);

#endif
