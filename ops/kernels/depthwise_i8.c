/* depthwise_i8.c - convolution of one channel with one channel, eight side by side. Elements are 16-bit numbers less
 * the zero point and are widened to lanes of 32 bits as they are read; multiplying pairs is then a product of the lower
 * halves. Pixels are taken in tiles, so that each weight is loaded once for several. */
#include "ops/kernels/isa.h"

enum { TILE = 6, PER_VECTOR = VF32_LANES / 8 };

/* What all tiles of a row share; add and scale are for every lane. */
typedef struct finish_job {
    const ingot_dot_out *o;
    vi32 add;
    vf32 scale;
    const int64_t *tap_at;
    int64_t taps;
    const int32_t *weights;
} finish_job;

/* One vector of pixels, of which n exist. */
INGOT_INLINE void finish(const finish_job *f, char *dst, vi32 x, int n)
{
    const vf32 low = vf32_set1(f->o->low), high = vf32_set1(f->o->high);
    const vf32 y = vf32_mul(vf32_from_i32(vi32_add(x, f->add)), f->scale);

    vi32_store_i8_blocks(dst, 8, n, vi32_add(vf32_to_i32(vf32_min(vf32_max(y, low), high)), vi32_set1(f->o->zero)));
}

/* n pixels by `vectors` vectors, which have room for them. The last ones begin earlier where they would pass the end,
 * and compute some pixels again. A step of 8 that the compiler knows of makes two loads of a vector one. */
INGOT_INLINE void tile(const finish_job *f, char *dst, const int16_t *src, ptrdiff_t step, int64_t n, int vectors)
{
    const int64_t last = n < PER_VECTOR ? 0 : n - PER_VECTOR;
    const ptrdiff_t next = n < PER_VECTOR ? 0 : step;
    int64_t at[TILE];
    vi32 acc[TILE];

    INGOT_UNROLL
    for (int v = 0; v < vectors; v++) {
        at[v] = min64(v * PER_VECTOR, last);
        acc[v] = vi32_set1(0);
    }
    for (int64_t tap = 0; tap < f->taps; tap++) {
        const vi32 w = vi32_repeat8(vi8_load(f->weights + tap * 8));
        const int16_t *from = src + f->tap_at[tap];
        INGOT_UNROLL
        for (int v = 0; v < vectors; v++)
            acc[v] = vi32_dot2(acc[v], vi32_load_i16(from + at[v] * step, step == 8 ? 8 : next), w);
    }
    INGOT_UNROLL
    for (int v = 0; v < vectors; v++)
        finish(f, dst + at[v] * 8, acc[v], n < PER_VECTOR ? 1 : PER_VECTOR);
}

/* All pixels of a row, whose steps are 8 or any. */
INGOT_INLINE void row(const finish_job *f, char *dst, const int16_t *src, ptrdiff_t step, int64_t n)
{
    enum { PIXELS = TILE * PER_VECTOR };

    for (; n >= PIXELS; n -= PIXELS, dst += PIXELS * 8, src += PIXELS * step)
        tile(f, dst, src, step, PIXELS, TILE);
    if (n > 4 * PER_VECTOR)
        tile(f, dst, src, step, n, TILE);
    else if (n > 2 * PER_VECTOR)
        tile(f, dst, src, step, n, 4);
    else if (n > PER_VECTOR)
        tile(f, dst, src, step, n, 2);
    else if (n > 0)
        tile(f, dst, src, step, n, 1);
}

/* Upper halves of the weights are cleared, so that the upper halves of negative elements do not count. */
void INGOT_FN(depthwise_i8)(void *dst, const int16_t *src, ptrdiff_t step, const int64_t *tap_at, int64_t taps,
                            const int32_t *weights, int64_t n, const ingot_dot_out *o)
{
    const finish_job f = { o, vi32_repeat8(vi8_load(o->add)), vf32_repeat8(vf8_load(o->scale)), tap_at, taps, weights };

    if (step == 8 && n >= PER_VECTOR)
        row(&f, dst, src, 8, n);
    else
        row(&f, dst, src, step, n);
}
