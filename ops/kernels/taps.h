/* taps.h - which taps of a window fall inside of its source. */
#ifndef INGOT_OPS_KERNELS_TAPS_H
#define INGOT_OPS_KERNELS_TAPS_H

#include "ops/kernels/isa.h"

/* Taps [from, to) of one axis; from == to: none. */
typedef struct tap_range { int64_t from, to; } tap_range;

/* Of `taps` taps, `step` apart from `start` on, those in [0, size). Most windows have a step of 1, and no division. */
INGOT_INLINE tap_range taps_inside(int64_t start, int64_t step, int64_t taps, int64_t size)
{
    const int64_t left = size - 1 - start, from = start >= 0 ? 0 : step == 1 ? -start : ceil_div(-start, step);
    const int64_t to = left < 0 ? 0 : min64(taps, (step == 1 ? left : left / step) + 1);

    return (tap_range){ min64(from, max64(0, to)), max64(0, to) };
}

#endif
