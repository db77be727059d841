/* reorder.c - between row-major (C, pixels) and blocked (C / 8, pixels, 8), one block of channels at a time. */
#include "ops/kernels/isa.h"

enum { BLOCK = 8 };

/* Pixels [p0, p1) of one block's channels, eight by eight through registers; lanes past the last channel become 0. */
void INGOT_FN(block_f32)(float *dst, const float *src, int64_t channels, int64_t pixels, int64_t p0, int64_t p1)
{
    int64_t p = p0;
    vf8 r[BLOCK];

    /* whole blocks: eight rows of eight pixels are transposed */
    for (; channels >= BLOCK && p + BLOCK <= p1; p += BLOCK) {
        INGOT_UNROLL
        for (int c = 0; c < BLOCK; c++)
            r[c] = vf8_load(src + c * pixels + p);
        vf8_transpose(r);
        INGOT_UNROLL
        for (int i = 0; i < BLOCK; i++)
            vf8_store(dst + (p + i) * BLOCK, r[i]);
    }
    for (; p < p1; p++)
        for (int c = 0; c < BLOCK; c++)
            dst[p * BLOCK + c] = c < channels ? src[c * pixels + p] : 0.0f;
}

/* The way back; lanes past the last channel are left out. */
void INGOT_FN(unblock_f32)(float *dst, const float *src, int64_t channels, int64_t pixels, int64_t p0, int64_t p1)
{
    const int64_t have = channels < BLOCK ? channels : BLOCK;
    int64_t p = p0;
    vf8 r[BLOCK];

    /* whole blocks again; the pixels left over go one by one */
    for (; have == BLOCK && p + BLOCK <= p1; p += BLOCK) {
        INGOT_UNROLL
        for (int i = 0; i < BLOCK; i++)
            r[i] = vf8_load(src + (p + i) * BLOCK);
        vf8_transpose(r);
        INGOT_UNROLL
        for (int c = 0; c < BLOCK; c++)
            vf8_store(dst + c * pixels + p, r[c]);
    }
    for (; p < p1; p++)
        for (int64_t c = 0; c < have; c++)
            dst[c * pixels + p] = src[p * BLOCK + c];
}
