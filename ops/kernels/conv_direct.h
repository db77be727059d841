/* conv_direct.h - the direct convolution of conv_direct.c in its general form: weights stored in any order, and outputs
 * that lie apart in dst. What a plain convolution does not need, a transposed one does. */
#ifndef INGOT_OPS_KERNELS_CONV_DIRECT_H
#define INGOT_OPS_KERNELS_CONV_DIRECT_H

#include "ops/kernels/isa.h"

/* Where output i of each axis goes in a dst of `size`: to first + i * step. */
typedef struct conv_place {
    int64_t size[3], first[3], step[3];
} conv_place;

/* Pixel of dst for output (z, y, x). */
INGOT_INLINE int64_t place_at(const conv_place *p, int64_t z, int64_t y, int64_t x)
{
    const int64_t row = (p->first[0] + z * p->step[0]) * p->size[1] + p->first[1] + y * p->step[1];
    return row * p->size[2] + p->first[2] + x * p->step[2];
}

/* Steps in floats through the weights: from group to group, and within a group from output channel to output channel,
 * input channel to input channel, and tap to tap. */
typedef struct conv_weights {
    const float *first;
    ptrdiff_t group, oc, ic, tap[3];
} conv_weights;

void INGOT_FN(conv_pack_view)(const ingot_conv *d, float *packed, const conv_weights *weights, int64_t u0, int64_t u1);
int64_t INGOT_FN(conv_place_items)(const ingot_conv *d, const conv_place *place);
void INGOT_FN(conv_place_run)(const ingot_conv *d, const conv_place *place, const float *packed, const float *src,
                              float *dst, const ingot_epilogue *e, int64_t i0, int64_t i1);

typedef struct conv_shape conv_shape;

/* Rows [y0, y1) of an image, the channels of one unit, of a convolution that only mixes channels: row y is written to
 * dst + y % ring * dst_row, pixel by pixel a whole vector of channels each; the unit's vectors are dst_vector apart.
 * s: from conv_sizes_of(), once for many rows. */
void INGOT_FN(conv_mix_rows)(const ingot_conv *d, const conv_shape *s, const float *packed, const float *src,
                             float *dst, int64_t ring, ptrdiff_t dst_row, ptrdiff_t dst_vector,
                             const ingot_epilogue *e, int64_t unit, int64_t y0, int64_t y1);

#endif
