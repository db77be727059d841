/* conv_end.h - how a tile of a convolution begins and ends, however its sums are taken: at the bias, and with residual,
 * activation and the stores into blocked channels. */
#ifndef INGOT_OPS_KERNELS_CONV_END_H
#define INGOT_OPS_KERNELS_CONV_END_H

#include "ops/kernels/conv_tile.h"
#include "ops/kernels/epilogue.h"
#include "ops/kernels/vmath.h"

/* Where the results of a tile go, and what happens to them before. Steps are in floats. */
typedef struct tile_end {
    float *dst;
    const float *bias, *residual;       /* bias: of the unit's first channel; or NULL */
    ptrdiff_t pixel, plane, vector;     /* steps in dst and residual: to the next pixel, block, vector of channels */
    int channels;                       /* output channels that exist, of those in the unit */
    float low, high;
    const ingot_epilogue *act;          /* an activation that is more than clipping, or NULL */
} tile_end;

/* Where the sums of a vector's channels begin: at their bias, 0 past the last channel. */
INGOT_INLINE vf32 start_at_bias(const tile_end *t, int v)
{
    const int left = t->channels - v * VF32_LANES;

    if (!t->bias)
        return vf32_zero();
    return left >= VF32_LANES ? vf32_load(t->bias + v * VF32_LANES)
                              : vf32_load_n(t->bias + v * VF32_LANES, (size_t)left);
}

/* All sums of a tile begin there. */
INGOT_INLINE void start(const tile_end *t, vf32 acc[MAX_PIXELS][2], int px, int nv)
{
    INGOT_UNROLL
    for (int v = 0; v < nv; v++) {
        const vf32 bias = start_at_bias(t, v);
        INGOT_UNROLL
        for (int p = 0; p < px; p++)
            acc[p][v] = bias;
    }
}

/* Residual, activation or clipping, and the blocks that exist, of px pixels by nv vectors. Hard Swish is little enough
 * work to be done on the way. */
static INGOT_ONCE void finish_held(const tile_end *t, float *held, int px, int nv)
{
    const vf32 low = vf32_set1(t->low), high = vf32_set1(t->high);
    const bool swish = t->act && t->act->act == INGOT_ACT_HARD_SWISH;

    for (int v = 0; t->residual && v < nv; v++)
        for (int p = 0; p < px; p++) {
            const int blocks = (t->channels - v * VF32_LANES + BLOCK - 1) / BLOCK;
            const float *residual = t->residual + v * t->vector + p * t->pixel;
            float *x = held + (v * px + p) * VF32_LANES;
            vf32_store(x, vf32_add(vf32_load(x), vf32_load_blocks(residual, t->plane, blocks)));
        }
    if (t->act && t->act->act == INGOT_ACT_GELU && t->channels > nv * VF32_LANES - BLOCK) {
        INGOT_FN(gelu_tile)(held, px * nv, t->dst, px, t->pixel, t->vector, t->plane);
        return;
    }
    if (t->act && t->act->act == INGOT_ACT_SILU && nv >= SILUS && t->channels > nv * VF32_LANES - BLOCK) {
        INGOT_FN(silu_tile)(held, t->dst, px, nv, t->pixel, t->vector, t->plane);
        return;
    }
    if (t->act && !swish)
        INGOT_FN(act_planes_f32)(held, px * VF32_LANES, nv, px * VF32_LANES, t->act);
    for (int v = 0; v < nv; v++) {
        const int blocks = (t->channels - v * VF32_LANES + BLOCK - 1) / BLOCK;
        float *dst = t->dst + v * t->vector;

        if (swish)
            for (int p = 0; p < px; p++, held += VF32_LANES)
                vf32_store_blocks(dst + p * t->pixel, t->plane, blocks, vf32_hard_swish(vf32_load(held)));
        else if (t->act && blocks >= VECTOR_BLOCKS)              /* nothing to clip */
            for (int p = 0; p < px; p++, held += VF32_LANES)
                vf32_store_blocks(dst + p * t->pixel, t->plane, VECTOR_BLOCKS, vf32_load(held));
        else
            for (int p = 0; p < px; p++, held += VF32_LANES)
                vf32_store_blocks(dst + p * t->pixel, t->plane, blocks,
                                  vf32_min(high, vf32_max(low, vf32_load(held))));
    }
}

/* Stores neighbouring pixels two by two, so that every store is a whole vector. */
INGOT_INLINE void store_pairs(float *dst, ptrdiff_t vector, const ptrdiff_t plane[2], vf32 acc[MAX_PIXELS][2], int px,
                              int nv)
{
    INGOT_UNROLL
    for (int v = 0; v < nv; v++) {
        INGOT_UNROLL
        for (int p = 0; p + 1 < px; p += 2) {
            vf32_store(dst + v * vector + plane[v] + p * BLOCK, vf32_highs8(acc[p][v], acc[p + 1][v]));
            vf32_store(dst + v * vector + p * BLOCK, vf32_lows8(acc[p][v], acc[p + 1][v]));
        }
        if (px % 2)
            vf32_store_blocks(dst + v * vector + (px - 1) * BLOCK, plane[v], VECTOR_BLOCKS, acc[px - 1][v]);
    }
}

/* The same on registers, where clipping is the activation: of a residual or a limit that there is not, nothing but a
 * branch. A last block that does not exist lies on the one before, which is stored after it. ends_short: neither has
 * the last vector one, and pixels lie side by side. */
INGOT_INLINE void finish_whole(const tile_end *t, vf32 acc[MAX_PIXELS][2], int px, int nv, bool residuals, bool mixed,
                               bool ends_short)
{
    const bool whole = t->channels > nv * VF32_LANES - BLOCK;
    const ptrdiff_t vector = t->vector, plane[2] = { nv > 1 || whole ? t->plane : 0, whole ? t->plane : 0 };
    const ptrdiff_t pixel = ends_short ? BLOCK : t->pixel;
    const int last = ends_short ? nv - 1 : nv;
    float *dst = t->dst;

    if (residuals && t->residual) {
        INGOT_UNROLL
        for (int i = 0; i < px * nv; i++) {
            const float *residual = t->residual + i / px * vector + i % px * pixel;
            const vf32 x = vf32_load_blocks(residual, plane[i / px], i / px < last ? VECTOR_BLOCKS : 1);
            acc[i % px][i / px] = vf32_add(acc[i % px][i / px], x);
        }
    }
    if (t->low > -INFINITY) {
        const vf32 low = vf32_set1(t->low);
        INGOT_UNROLL
        for (int i = 0; i < px * nv; i++)
            acc[i % px][i / px] = vf32_max(low, acc[i % px][i / px]);
    }
    if (t->high < INFINITY) {
        const vf32 high = vf32_set1(t->high);
        INGOT_UNROLL
        for (int i = 0; i < px * nv; i++)
            acc[i % px][i / px] = vf32_min(high, acc[i % px][i / px]);
    }
    if (VECTOR_BLOCKS > 1 && mixed && pixel == BLOCK) {
        store_pairs(dst, vector, plane, acc, px, last);
        INGOT_UNROLL
        for (int p = 0; p < px && last < nv; p++)
            vf32_store_blocks(dst + last * vector + p * BLOCK, 0, 1, acc[p][last]);
        return;
    }
    INGOT_UNROLL
    for (int i = 0; i < px * nv; i++)
        vf32_store_blocks(dst + i / px * vector + i % px * pixel, plane[i / px], VECTOR_BLOCKS, acc[i % px][i / px]);
}

/* Sums in memory, vector after vector. */
INGOT_INLINE void hold(float *held, vf32 acc[MAX_PIXELS][2], int px, int nv)
{
    INGOT_UNROLL
    for (int v = 0; v < nv; v++) {
        INGOT_UNROLL
        for (int p = 0; p < px; p++)
            vf32_store(held + (v * px + p) * VF32_LANES, acc[p][v]);
    }
}

/* The end of every tile: on registers, or by way of memory where an activation follows. Residuals have code of their
 * own where they are not rare, and so has hard Swish where tiles are `mixed`, as mobile networks have it. */
INGOT_INLINE void finish(const tile_end *t, vf32 acc[MAX_PIXELS][2], int px, int nv, bool residuals, bool mixed)
{
    _Alignas(64) float held[MAX_PIXELS * 2 * VF32_LANES];
    /* where all registers hold sums, there is none to do it in */
    const bool room = mixed && (nv == 1 || px <= CONV_HELD);
    const bool swish = room && t->act && t->act->act == INGOT_ACT_HARD_SWISH && !t->residual;

    if (swish)
        INGOT_UNROLL
        for (int i = 0; i < px * nv; i++)
            acc[i % px][i / px] = vf32_hard_swish(acc[i % px][i / px]);
    /* the usual end: clipping is all that follows */
    if ((!t->act || swish) && (residuals || !t->residual)) {
        finish_whole(t, acc, px, nv, residuals, mixed, false);
        return;
    }
    hold(held, acc, px, nv);
    finish_held(t, held, px, nv);
}

/* The same in less code, for tiles that are few: on registers without an activation and side by side alone. */
INGOT_INLINE void finish_few(const tile_end *t, vf32 acc[MAX_PIXELS][2], int px, int nv)
{
    _Alignas(64) float held[MAX_PIXELS * 2 * VF32_LANES];

    if (!t->act && t->pixel == BLOCK) {
        finish_whole(t, acc, px, nv, true, true, true);
        return;
    }
    hold(held, acc, px, nv);
    finish_held(t, held, px, nv);
}

/* The end that an epilogue asks for: its bias from channel `first` on, of which `channels` exist, and its activation.
 * The places are the caller's. */
INGOT_INLINE tile_end end_of(const ingot_epilogue *e, int64_t first, int channels)
{
    tile_end t = { .bias = e->bias ? e->bias + first : NULL, .channels = channels, .act = act_follows(e) ? e : NULL };

    clip_range(e, &t.low, &t.high);
    return t;
}

#endif
