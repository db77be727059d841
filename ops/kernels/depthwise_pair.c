/* depthwise_pair.c - a 1x1 convolution followed by a depthwise one, as mobile networks expand channels only to filter
 * each of them. What lies between the two is often the largest tensor of a network, and never reaches memory here.
 *
 * An item is (image, band of rows, unit of channels), the unit running fastest. It goes down its band a few rows of the
 * result at a time: the source rows that those see are computed into a ring of rows in scratch memory, about as large
 * as the first-level cache, between zeros for the padding, and filtered there. Only rows where bands meet are computed
 * twice. Every number is the same as from the two kernels one after the other. */
#include "ops/kernels/conv_shape.h"
#include "ops/kernels/conv_tile.h"
#include "ops/kernels/dwconv.h"

enum {
    RING_BYTES = 36 * 1024,             /* to aim at */
    FEW_ITEMS = 8,                      /* are cut further, for a few threads to share */
    LEAST_ROWS = 7,                     /* of a band that is cut for that */
    LEAST_WIDTH = 20,                   /* of rows: the small tensors of narrow ones stay in the caches anyway */
    MAX_KERNEL = 7,
    UNIT_VECTORS = UNIT / VF32_LANES,
};

/* How the work is cut, and the scratch memory: for each vector of a unit's channels, `ring` rows of `row` floats. */
typedef struct pair_shape {
    int64_t units, band, bands;
    int64_t step, ring, row, plane;     /* step: rows of the result at a time; plane: floats of a vector */
} pair_shape;

/* Is the first convolution one pixel wide, and the second depthwise over its result, with nothing unusual? */
static bool fits(const ingot_conv *m, const ingot_conv *d)
{
    bool fits = m->groups == 1 && !m->plain_src && m->n == d->n && d->groups == m->oc && d->ic == m->oc &&
                d->oc == m->oc && d->in[0] == 1 && d->out[0] == 1 && d->kernel[0] == 1;

    for (int i = 0; i < 3; i++)
        fits = fits && m->kernel[i] == 1 && m->stride[i] == 1 && m->pad[i] == 0 && m->in[i] == m->out[i] &&
               d->in[i] == m->out[i] && d->dilation[i] == 1 && d->kernel[i] <= MAX_KERNEL &&
               d->stride[i] <= d->kernel[i] && d->pad[i] < d->kernel[i];
    return fits && d->in[2] >= LEAST_WIDTH && d->out[1] > 0 && d->out[2] > 0;
}

/* Rows of the source that n rows of the result see. */
static int64_t rows_seen(const ingot_conv *d, int64_t n) { return (n - 1) * d->stride[1] + d->kernel[1]; }

static pair_shape pair_shape_of(const ingot_pair *x)
{
    const ingot_conv *d = &x->depthwise;
    const int64_t seen = (d->out[2] - 1) * d->stride[2] + d->kernel[2];
    pair_shape s = { .units = ceil_div(x->mix.oc, UNIT), .bands = 1 };

    while (d->n * s.units * s.bands < FEW_ITEMS && ceil_div(d->out[1], s.bands + 1) >= LEAST_ROWS)
        s.bands++;
    s.band = ceil_div(d->out[1], s.bands);
    s.bands = ceil_div(d->out[1], s.band);
    /* the source's last columns may be more than the result sees */
    s.row = max64(seen, d->pad[2] + d->in[2]) * VF32_LANES;
    for (s.ring = 1; s.ring < d->kernel[1];)
        s.ring *= 2;
    while (s.ring < rows_seen(d, s.band) && 2 * s.ring * s.row * UNIT_VECTORS * (int64_t)sizeof(float) <= RING_BYTES)
        s.ring *= 2;
    s.step = (s.ring - d->kernel[1]) / d->stride[1] + 1;
    s.plane = s.ring * s.row;
    return s;
}

/* Work items, or 0: images by bands by units. */
int64_t INGOT_FN(pair_items_f32)(const ingot_pair *x)
{
    if (!fits(&x->mix, &x->depthwise))
        return 0;
    const pair_shape s = pair_shape_of(x);
    return x->mix.n * s.bands * s.units;
}

/* Floats of the vectors of one unit. */
int64_t INGOT_FN(pair_scratch_f32)(const ingot_pair *x)
{
    return fits(&x->mix, &x->depthwise) ? UNIT_VECTORS * pair_shape_of(x).plane : 0;
}

/* Zeros on both sides of all rows, where nothing is ever written. */
static void zero_padding(const ingot_conv *d, const pair_shape *s, float *scratch)
{
    const int64_t left = d->pad[2] * VF32_LANES, right = left + d->in[2] * VF32_LANES;

    for (int64_t y = 0; y < UNIT_VECTORS * s->ring; y++, scratch += s->row) {
        for (int64_t i = 0; i < left; i += VF32_LANES)
            vf32_store(scratch + i, vf32_zero());
        for (int64_t i = right; i < s->row; i += VF32_LANES)
            vf32_store(scratch + i, vf32_zero());
    }
}

/* Rows [y0, y1) of the result, one unit of an image, which begins at src. */
static void run_band(const ingot_pair *x, const pair_shape *s, const conv_shape *mix, const float *src, float *dst,
                     float *scratch, int64_t image, int64_t unit, int64_t y0, int64_t y1)
{
    const ingot_conv *d = &x->depthwise;
    const int64_t first = unit * UNIT_VECTORS, end_vector = min64(first + UNIT_VECTORS, ceil_div(d->oc, VF32_LANES));
    int64_t made = max64(0, y0 * d->stride[1] - d->pad[1]);          /* the first source row that is not there yet */

    for (int64_t y = y0; y < y1; y += s->step) {
        const int64_t end = min64(y1, y + s->step);
        const int64_t need = max64(made, min64(d->in[1], (end - 1) * d->stride[1] - d->pad[1] + d->kernel[1]));

        INGOT_FN(conv_mix_rows)(&x->mix, mix, x->mix_packed, src, scratch + d->pad[2] * VF32_LANES, s->ring, s->row,
                                s->plane, &x->mix_end, unit, made, need);
        made = need;
        for (int64_t v = first; v < end_vector; v++) {
            const dw_source rows = { scratch + (v - first) * s->plane, s->ring, s->row };
            INGOT_FN(dwconv_ready)(d, x->depthwise_packed, &rows, dst, &x->depthwise_end, image, v, y, end);
        }
    }
}

/* Items [i0, i1). */
void INGOT_FN(pair_f32)(const ingot_pair *x, const float *src, float *dst, float *scratch, int64_t i0, int64_t i1)
{
    const ingot_conv *m = &x->mix, *d = &x->depthwise;
    const pair_shape s = pair_shape_of(x);
    const conv_shape mix = INGOT_FN(conv_sizes_of)(m, NULL);
    const int64_t in_image = ceil_div(m->ic, BLOCK) * BLOCK * m->in[1] * m->in[2];

    zero_padding(d, &s, scratch);
    for (int64_t i = i0; i < i1; i++) {
        const int64_t band = i / s.units % s.bands, image = i / s.units / s.bands, y0 = band * s.band;
        run_band(x, &s, &mix, src + image * in_image, dst, scratch, image, i % s.units, y0,
                 min64(d->out[1], y0 + s.band));
    }
}
