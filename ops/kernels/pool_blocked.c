/* pool_blocked.c - pools over blocked tensors, eight channels at a time.
 *
 * Work items are rows of the output, (image and block, depth, height). A row is cut into runs of pixels whose windows
 * meet the same columns of the source: the long one in the middle takes whole windows, a few pixels at once. */
#include <math.h>

#include "ops/kernels/isa.h"

enum { BLOCK = 8, PIXELS = 4 };


/* The taps of output index i along an axis that fall inside the source. */
typedef struct tap_range { int64_t from, to; } tap_range;

static tap_range taps_at(const ingot_pool *d, int axis, int64_t i)
{
    const int64_t start = i * d->stride[axis] - d->pad[axis], step = d->dilation[axis];
    const int64_t from = start < 0 ? (-start + step - 1) / step : 0;
    const int64_t to = start >= d->in[axis] ? 0 : min64(d->kernel[axis], (d->in[axis] - 1 - start) / step + 1);

    return from < to ? (tap_range){ from, to } : (tap_range){ 0, 0 };
}

/* Taps of output index i that do not reach past the padded source. */
static int64_t padded_taps(const ingot_pool *d, int axis, int64_t i)
{
    const int64_t room = d->in[axis] + d->pad_end[axis] - (i * d->stride[axis] - d->pad[axis]);
    return min64(d->kernel[axis], (room + d->dilation[axis] - 1) / d->dilation[axis]);
}

/* One window's sum or maximum for px neighbouring pixels; steps count floats. */
typedef struct window_job {
    const float *src;
    int64_t taps[3];
    ptrdiff_t step[3], pixel;
} window_job;

INGOT_INLINE void fold_windows(const window_job *j, float *dst, vf8 scale, int px, bool max)
{
    vf8 acc[PIXELS];

    INGOT_UNROLL
    for (int p = 0; p < px; p++)
        acc[p] = max ? vf8_load(j->src + p * j->pixel) : vf8_zero();
    for (int64_t z = 0; z < j->taps[0]; z++)
        for (int64_t y = 0; y < j->taps[1]; y++) {
            const float *src = j->src + z * j->step[0] + y * j->step[1];
            for (int64_t x = 0; x < j->taps[2]; x++, src += j->step[2]) {
                INGOT_UNROLL
                for (int p = 0; p < px; p++) {
                    const vf8 v = vf8_load(src + p * j->pixel);
                    if (max)                                /* keeps NaN, of either */
                        acc[p] = vf8_select(vm8_or(vf8_lt(acc[p], v), vm8_not(vf8_eq(v, v))), v, acc[p]);
                    else
                        acc[p] = vf8_add(acc[p], v);
                }
            }
        }
    INGOT_UNROLL
    for (int p = 0; p < px; p++)
        vf8_store(dst + p * BLOCK, max ? acc[p] : vf8_mul(acc[p], scale));
}

static void fold_run(window_job *j, float *dst, int64_t n, double count, bool max)
{
    const vf8 scale = vf8_set1(count > 0 ? (float)(1.0 / count) : 0.0f);
    int64_t i = 0;

    for (; i + PIXELS <= n; i += PIXELS, j->src += PIXELS * j->pixel) {
        if (max)
            fold_windows(j, dst + i * BLOCK, scale, PIXELS, true);
        else
            fold_windows(j, dst + i * BLOCK, scale, PIXELS, false);
    }
    for (; i < n; i++, j->src += j->pixel) {
        if (max)
            fold_windows(j, dst + i * BLOCK, scale, 1, true);
        else
            fold_windows(j, dst + i * BLOCK, scale, 1, false);
    }
}

static void fill(float *dst, int64_t n, float value)
{
    for (int64_t i = 0; i < n * BLOCK; i++)
        dst[i] = value;
}

/* Row (z, y) of one block. */
static void pool_row(const ingot_pool *d, const float *src, float *dst, int64_t z, int64_t y)
{
    const tap_range tz = taps_at(d, 0, z), ty = taps_at(d, 1, y);
    const int64_t width = d->out[2];
    int64_t begin = 0, end;

    for (; begin < width; begin = end) {
        const tap_range tx = taps_at(d, 2, begin);
        const int64_t counted = d->count_padding ? padded_taps(d, 2, begin) : tx.to - tx.from;
        for (end = begin + 1; end < width; end++) {
            const tap_range next = taps_at(d, 2, end);
            if (next.from != tx.from || next.to != tx.to || (d->count_padding && padded_taps(d, 2, end) != counted))
                break;
        }
        window_job j = {
            .taps = {tz.to - tz.from, ty.to - ty.from, tx.to - tx.from},
            .step = {d->dilation[0] * d->in[1] * d->in[2] * BLOCK, d->dilation[1] * d->in[2] * BLOCK,
                     d->dilation[2] * BLOCK},
            .pixel = d->stride[2] * BLOCK,
        };
        const int64_t taps = j.taps[0] * j.taps[1] * j.taps[2];
        if (taps == 0) {
            fill(dst + begin * BLOCK, end - begin, d->max ? -INFINITY : 0.0f);
            continue;
        }
        j.src = src + (((z * d->stride[0] - d->pad[0] + tz.from * d->dilation[0]) * d->in[1] +
                        y * d->stride[1] - d->pad[1] + ty.from * d->dilation[1]) * d->in[2] +
                       begin * d->stride[2] - d->pad[2] + tx.from * d->dilation[2]) * BLOCK;
        const int64_t count = d->count_padding ? padded_taps(d, 0, z) * padded_taps(d, 1, y) * counted : taps;
        fold_run(&j, dst + begin * BLOCK, end - begin, (double)count, d->max);
    }
}

void INGOT_FN(pool_blocked_f32)(const ingot_pool *d, const float *src, float *dst, int64_t i0, int64_t i1)
{
    const int64_t in = d->in[0] * d->in[1] * d->in[2] * BLOCK, rows = d->out[0] * d->out[1];

    for (int64_t i = i0; i < i1; i++)
        pool_row(d, src + i / rows * in, dst + i * d->out[2] * BLOCK, i % rows / d->out[1], i % d->out[1]);
}

/* The mean of each channel, added up in chunks so that long planes lose nothing. */
void INGOT_FN(mean_blocked_f32)(float *dst, const float *src, int64_t pixels)
{
    enum { CHUNK = 256 };
    double sum[BLOCK] = { 0 };
    float part[BLOCK];

    for (int64_t p = 0; p < pixels; p += CHUNK) {
        const int64_t end = min64(pixels, p + CHUNK);
        vf8 a = vf8_zero(), b = vf8_zero(), c = vf8_zero(), e = vf8_zero();
        int64_t i = p;
        for (; i + 4 <= end; i += 4) {
            a = vf8_add(a, vf8_load(src + i * BLOCK));
            b = vf8_add(b, vf8_load(src + (i + 1) * BLOCK));
            c = vf8_add(c, vf8_load(src + (i + 2) * BLOCK));
            e = vf8_add(e, vf8_load(src + (i + 3) * BLOCK));
        }
        for (; i < end; i++)
            a = vf8_add(a, vf8_load(src + i * BLOCK));
        vf8_store(part, vf8_add(vf8_add(a, b), vf8_add(c, e)));
        for (int k = 0; k < BLOCK; k++)
            sum[k] += (double)part[k];
    }
    for (int k = 0; k < BLOCK; k++)
        dst[k] = (float)(sum[k] / (double)pixels);
}
