/* epilogue.h - the part of an epilogue that tiles apply on registers. Clipping costs two instructions, so every tile
 * clips: to everything when there is nothing to clip. Other activations follow over finished strips (act.c). */
#ifndef INGOT_OPS_KERNELS_EPILOGUE_H
#define INGOT_OPS_KERNELS_EPILOGUE_H

#include <math.h>

#include "ops/kernels/isa.h"

/* Vectors of Swish that may share a division: with many lanes it takes longer than the products that make one of
 * two. */
enum { SILUS = VF32_LANES > 8 ? 2 : 1 };

/* GELU of the n vectors of a tile, px pixels of each, to where whole blocks of them go. */
void INGOT_FN(gelu_tile)(const float *held, int n, float *dst, int px, ptrdiff_t pixel, ptrdiff_t vector,
                         ptrdiff_t plane);

/* Swish of a tile of SILUS vectors or twice that, likewise: what act_planes_f32() makes of them. */
void INGOT_FN(silu_tile)(const float *held, float *dst, int px, int nv, ptrdiff_t pixel, ptrdiff_t vector,
                         ptrdiff_t plane);

INGOT_INLINE void clip_range(const ingot_epilogue *e, float *low, float *high)
{
    *low = e->act == INGOT_ACT_RELU ? 0.0f : e->act == INGOT_ACT_CLIP ? e->alpha : -INFINITY;
    *high = e->act == INGOT_ACT_CLIP ? e->beta : INFINITY;
}

INGOT_INLINE bool act_follows(const ingot_epilogue *e)
{
    return e->act != INGOT_ACT_NONE && e->act != INGOT_ACT_RELU && e->act != INGOT_ACT_CLIP;
}

#endif
