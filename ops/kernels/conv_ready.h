/* conv_ready.h - sources of convolutions that only mix channels, made ready band by band in scratch memory. */
#ifndef INGOT_OPS_KERNELS_CONV_READY_H
#define INGOT_OPS_KERNELS_CONV_READY_H

#include "ops/kernels/conv_shape.h"
#include "ops/kernels/conv_tile.h"

/* The convolution over pixels that are ready: those of the outputs, side by side. All that an output sees of a patch
 * are channels of its pixel. */
INGOT_INLINE ingot_conv ready_conv(const ingot_conv *d)
{
    ingot_conv ready = *d;

    for (int i = 0; i < 3; i++) {
        ready.ic *= d->kernel[i];
        ready.in[i] = d->out[i];
        ready.kernel[i] = ready.stride[i] = ready.dilation[i] = 1;
    }
    ready.plain_src = false;
    return ready;
}

/* From a channel block of the scratch memory to the next: a line more than the pixels keeps them out of each other's
 * cache sets. */
INGOT_INLINE int64_t ready_plane(const conv_shape *s) { return s->band * BLOCK + 16; }

/* All channels of pixels [from, to) of an image: patches; or those that the stride leaves, normalized, through the
 * activation. s: of ready_conv(). */
void INGOT_FN(conv_make_ready)(const ingot_conv *d, const ingot_prologue *first, const conv_shape *s, float *dst,
                               const float *src, int64_t from, int64_t to);

#endif
