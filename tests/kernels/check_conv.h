/* check_conv.h - what the tests of convolutions share. */
#ifndef INGOT_TESTS_KERNELS_CHECK_CONV_H
#define INGOT_TESTS_KERNELS_CHECK_CONV_H

#include "check.h"

#define ONES { 1, 1, 1 }
#define NONE { 0, 0, 0 }

/* Blocks of eight channels; pixels of an image. */
static inline int64_t blocks_of(int64_t channels) { return (channels + 7) / 8; }
static inline int64_t pixels_of(const int64_t size[3]) { return size[0] * size[1] * size[2]; }

/* Weights are packed one unit at a time, as threads share that work. */
static inline void pack_direct(const ingot_kernels *k, const ingot_conv *d, float *packed, const float *weights)
{
    for (int64_t u = 0, units = k->conv_units_f32(d); u < units; u++)
        k->conv_pack_f32(d, packed, weights, u, u + 1);
}

#endif
