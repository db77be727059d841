/* depthwise_i8.c - convolution of one channel with one channel, eight side by side. Elements are 16-bit numbers less
 * the zero point and are widened to lanes of 32 bits as they are read; multiplying pairs is then a product of the lower
 * halves. Pixels are taken in tiles, so that each weight is loaded once for several. */
#include "ops/kernels/isa.h"

enum { TILE = 6, PER_VECTOR = VF32_LANES / 8 };

/* What follows a tile's sums, for every lane. */
typedef struct finish_job {
    const ingot_dot_out *o;
    vi32 add;
    vf32 scale;
} finish_job;

/* One vector of pixels, of which n exist. */
INGOT_INLINE void finish(const finish_job *f, char *dst, vi32 x, int n)
{
    const vf32 low = vf32_set1(f->o->low), high = vf32_set1(f->o->high);
    const vf32 y = vf32_mul(vf32_from_i32(vi32_add(x, f->add)), f->scale);

    vi32_store_i8_blocks(dst, 8, n, vi32_add(vf32_to_i32(vf32_min(vf32_max(y, low), high)), vi32_set1(f->o->zero)));
}

/* `vectors` vectors of pixels. A step of 8 that the compiler knows of makes two loads of a vector one. */
INGOT_INLINE void tile(const finish_job *f, char *dst, const int16_t *src, ptrdiff_t step, const int64_t *tap_at,
                       int64_t taps, const int32_t *weights, int vectors, int n)
{
    vi32 acc[TILE];

    INGOT_UNROLL
    for (int v = 0; v < vectors; v++)
        acc[v] = vi32_set1(0);
    for (int64_t tap = 0; tap < taps; tap++) {
        const vi32 w = vi32_repeat8(vi8_load(weights + tap * 8));
        const int16_t *from = src + tap_at[tap];
        INGOT_UNROLL
        for (int v = 0; v < vectors; v++)
            acc[v] = vi32_dot2(acc[v], vi32_load_i16(from + v * PER_VECTOR * step, step), w);
    }
    INGOT_UNROLL
    for (int v = 0; v < vectors; v++)
        finish(f, dst + v * PER_VECTOR * 8, acc[v], n - v * PER_VECTOR);
}

/* Upper halves of the weights are cleared, so that the upper halves of negative elements do not count. */
void INGOT_FN(depthwise_i8)(void *dst, const int16_t *src, ptrdiff_t step, const int64_t *tap_at, int64_t taps,
                            const int32_t *weights, int64_t n, const ingot_dot_out *o)
{
    const finish_job f = { o, vi32_repeat8(vi8_load(o->add)), vf32_repeat8(vf8_load(o->scale)) };
    int64_t i = 0;

    for (; step == 8 && i + TILE * PER_VECTOR <= n; i += TILE * PER_VECTOR)
        tile(&f, (char *)dst + i * 8, src + i * 8, 8, tap_at, taps, weights, TILE, TILE * PER_VECTOR);
    for (; i + TILE * PER_VECTOR <= n; i += TILE * PER_VECTOR)
        tile(&f, (char *)dst + i * 8, src + i * step, step, tap_at, taps, weights, TILE, TILE * PER_VECTOR);
    for (; i + PER_VECTOR <= n; i += PER_VECTOR)
        tile(&f, (char *)dst + i * 8, src + i * step, step, tap_at, taps, weights, 1, PER_VECTOR);
    for (; i < n; i++)                                 /* half of a vector: the next pixel is this one again */
        tile(&f, (char *)dst + i * 8, src + i * step, 0, tap_at, taps, weights, 1, 1);
}
