/* reorder.c - between row-major (C, pixels) and blocked (C / 8, pixels, 8), one block of channels at a time. */
#include "ops/kernels/isa.h"

enum { BLOCK = 8 };

void INGOT_FN(block_f32)(float *dst, const float *src, int64_t channels, int64_t pixels, int64_t p0, int64_t p1)
{
    if (channels >= BLOCK) {
        for (int64_t p = p0; p < p1; p++)
            for (int c = 0; c < BLOCK; c++)
                dst[p * BLOCK + c] = src[c * pixels + p];
        return;
    }
    for (int64_t p = p0; p < p1; p++)
        for (int c = 0; c < BLOCK; c++)
            dst[p * BLOCK + c] = c < channels ? src[c * pixels + p] : 0.0f;
}

void INGOT_FN(unblock_f32)(float *dst, const float *src, int64_t channels, int64_t pixels, int64_t p0, int64_t p1)
{
    const int64_t have = channels < BLOCK ? channels : BLOCK;
    enum { STEP = 16 };                     /* pixels: two cache lines of each channel */

    for (int64_t p = p0; p < p1; p += STEP) {
        const int64_t end = p1 - p < STEP ? p1 - p : STEP;
        for (int64_t c = 0; c < have; c++)
            for (int64_t i = 0; i < end; i++)
                dst[c * pixels + p + i] = src[(p + i) * BLOCK + c];
    }
}
