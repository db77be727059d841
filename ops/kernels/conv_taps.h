/* conv_taps.h - convolutions of narrow images, tap by tap; for conv_direct.c, whose items these are in their cases. */
#ifndef INGOT_OPS_KERNELS_CONV_TAPS_H
#define INGOT_OPS_KERNELS_CONV_TAPS_H

#include "ops/kernels/conv_direct.h"
#include "ops/kernels/conv_end.h"

/* Is this the way to go? Stride 1, one group, two axes, whole units of output channels. */
bool INGOT_FN(conv_taps_fit)(const ingot_conv *d);

/* Where an item's rows are. Steps are in floats. */
typedef struct taps_item {
    const float *src, *weights;         /* of the image, of the unit */
    ptrdiff_t plane, weight_tap, weight_block;
    int64_t blocks;
    tile_end end;                       /* dst and residual: of the image and the unit's first block */
} taps_item;

/* Output rows [y0, y1) of an item; output (y, x) goes where `place` says. */
void INGOT_FN(conv_taps_run)(const ingot_conv *d, const conv_place *place, const taps_item *it, int64_t y0, int64_t y1);

#endif
