/* winograd_rows.c - 3x3 convolution of stride 1 by minimal filtering along rows alone: F(2, 3), with the terms of
 * winograd.c.
 *
 * For two neighbouring results four products instead of six, and 12 filters for 9 taps, where tiles of 2x2 results have
 * 4 instead of 9, and 16 filters: between the direct way and those where a small image has many channels, so that the
 * time is that of the filters' way from memory.
 *
 * A band of rows is transformed for all input channels into scratch memory, V[point][ic block][row][tile][8], with the
 * row above and the one below. The three rows of a filter read it one row apart. For each unit of output channels the
 * products go to M[filter row][point][row][tile][UNIT], whose filter rows are added on the way to dst. */
#include "ops/kernels/epilogue.h"
#include "ops/kernels/pixel_product.h"
#include "ops/kernels/winograd.h"

enum {
    OUTPUTS = 2, TAPS = 3,
    POINTS = OUTPUTS + TAPS - 1,
    FILTERS = TAPS * POINTS,
    BAND_TILES = 56,
    LINE = 16,                          /* floats; keeps the points out of each other's cache sets */
};

/* What follows from a convolution's numbers. Bands are those of an image. */
typedef struct rows_shape {
    int64_t tiles, band, bands;         /* tiles of a row, rows of a band */
    int64_t ic_blocks, units;
    int64_t v_block, v_point, m_point;  /* floats from one channel block, or point, to the next */
} rows_shape;

static rows_shape rows_shape_of(const ingot_conv *d)
{
    rows_shape s = { .tiles = ceil_div(d->out[2], OUTPUTS), .ic_blocks = ceil_div(d->ic, BLOCK),
                     .units = ceil_div(d->oc, UNIT) };

    s.bands = ceil_div(d->out[1], max64(1, BAND_TILES / s.tiles));
    s.band = ceil_div(d->out[1], s.bands);
    s.bands = ceil_div(d->out[1], s.band);
    s.v_block = (s.band + TAPS - 1) * s.tiles * BLOCK;
    s.v_point = s.ic_blocks * s.v_block + LINE;
    s.m_point = s.band * s.tiles * UNIT + LINE;
    return s;
}

int64_t INGOT_FN(winograd_rows_packed)(const ingot_conv *d)
{
    return ceil_div(d->oc, VF32_LANES) * VF32_LANES * ceil_div(d->ic, BLOCK) * BLOCK * FILTERS;
}

int64_t INGOT_FN(winograd_rows_scratch)(const ingot_conv *d)
{
    const rows_shape s = rows_shape_of(d);
    return POINTS * s.v_point + FILTERS * s.m_point;
}

/* Images by bands by units. */
int64_t INGOT_FN(winograd_rows_items)(const ingot_conv *d)
{
    const rows_shape s = rows_shape_of(d);
    return d->n * s.bands * s.units;
}

/* The filters of a unit, [row][point][ic][output channel of the unit]. Taps that do not exist are zero. */
void INGOT_FN(winograd_rows_pack)(const ingot_conv *d, float *packed, const conv_weights *w, int64_t u0, int64_t u1)
{
    const int64_t ic = ceil_div(d->ic, BLOCK) * BLOCK;

    for (int64_t u = u0; u < u1; u++) {
        const int width = unit_width_of(d->oc, u);
        const int64_t step = ic * width;

        for (int64_t c = 0; c < ic; c++)
            for (int64_t o = 0; o < width; o++) {
                const bool exists = c < d->ic && u * UNIT + o < d->oc;
                const float *from = w->first + (u * UNIT + o) * w->oc + c * w->ic;
                float *to = packed + u * UNIT * ic * FILTERS + c * width + o;

                for (int y = 0; y < TAPS; y++, to += POINTS * step, from += w->tap[1]) {
                    const double left = exists ? from[0] : 0, middle = exists ? from[w->tap[2]] : 0;
                    const double right = exists ? from[2 * w->tap[2]] : 0;
                    to[0] = (float)-left;
                    to[step] = (float)((left + middle + right) / 2);
                    to[2 * step] = (float)((left - middle + right) / 2);
                    to[3 * step] = (float)right;
                }
            }
    }
}

/* One call's work. */
typedef struct rows_job {
    const ingot_conv *d;
    const rows_shape *s;
    const ingot_epilogue *e;
    const float *packed;
    float *v, *products;
    conv_place place;
} rows_job;

/* V of `count` rows of a channel block's plane from row y on, which may begin above it and end below. */
static void transform_plane(const rows_job *j, const float *plane, float *v, int64_t y, int64_t count)
{
    const int64_t width = j->d->in[2], v_point = j->s->v_point;

    for (const int64_t end = y + count; y < end; y++)
        for (int64_t x = -j->d->pad[2], n = j->s->tiles; n > 0; n--, x += OUTPUTS, v += BLOCK) {
            vf8 in[POINTS];
            for (int i = 0; i < POINTS; i++)
                in[i] = y < 0 || y >= j->d->in[1] || x + i < 0 || x + i >= width
                            ? vf8_zero() : vf8_load(plane + (y * width + x + i) * BLOCK);
            vf8_store(v, vf8_sub(in[2], in[0]));
            vf8_store(v + v_point, vf8_add(in[1], in[2]));
            vf8_store(v + 2 * v_point, vf8_sub(in[2], in[1]));
            vf8_store(v + 3 * v_point, vf8_sub(in[3], in[1]));
        }
}

/* All products of a unit, in strips of pixels of nearly equal length. The next filter is asked for meanwhile; at the
 * very last, what is read after the convolution. */
static void multiply_band(const rows_job *j, int64_t unit, int64_t pixels, bool last)
{
    const rows_shape *s = j->s;
    const int width = unit_width_of(j->d->oc, unit);
    const int64_t filter = s->ic_blocks * BLOCK * width;
    pixel_product p = { .blocks = s->ic_blocks, .plane = s->v_block, .weight_block = BLOCK * width, .row = UNIT,
                        .ends_short = unit_ends_short(j->d->oc, unit) };

    for (int f = 0; f < FILTERS; f++) {
        p.src = j->v + f % POINTS * s->v_point + f / POINTS * s->tiles * BLOCK;
        p.sums = j->products + f * s->m_point;
        p.weights = j->packed + unit * UNIT * s->ic_blocks * BLOCK * FILTERS + f * filter;
        p.soon = read_after(p.weights, filter, f == FILTERS - 1 && unit + 1 == s->units, last ? j->e : NULL);
        INGOT_FN(multiply_strips)(&p, pixels, width);
    }
}

/* A vector of channels of one row of tiles, from channel oc on, to dst; residual is laid out as dst. */
static void finish_row(const rows_job *j, int64_t oc, const float *m, float *dst, const float *residual)
{
    const ingot_epilogue *e = j->e;
    const int64_t left = min64(VF32_LANES, j->d->oc - oc), m_point = j->s->m_point, width = j->d->out[2];
    const ptrdiff_t plane = j->place.size[1] * j->place.size[2] * BLOCK, pixel = j->place.step[2] * BLOCK;
    const int blocks = (int)ceil_div(left, BLOCK);
    const vf32 bias = e->bias ? vf32_load_n(e->bias + oc, (size_t)left) : vf32_zero();
    float low, high;

    clip_range(e, &low, &high);
    for (int64_t x = 0; x < width; x += OUTPUTS, m += UNIT) {
        vf32 sums[POINTS], out[OUTPUTS];

        INGOT_UNROLL
        for (int i = 0; i < POINTS; i++)
            sums[i] = vf32_add(vf32_load(m + i * m_point), vf32_add(vf32_load(m + (POINTS + i) * m_point),
                                                                    vf32_load(m + (2 * POINTS + i) * m_point)));
        out[0] = vf32_add(sums[0], vf32_add(sums[1], sums[2]));
        out[1] = vf32_add(vf32_sub(sums[1], sums[2]), sums[3]);
        for (int i = 0; i < OUTPUTS && x + i < width; i++) {
            const ptrdiff_t at = (x + i) * pixel;
            vf32 r = vf32_add(out[i], bias);
            if (residual)
                r = vf32_add(r, vf32_load_blocks(residual + at, plane, blocks));
            r = vf32_min(vf32_set1(high), vf32_max(vf32_set1(low), r));
            vf32_store_blocks(dst + at, plane, blocks, r);
        }
    }
    for (int b = 0; act_follows(e) && b < blocks; b++)
        INGOT_FN(act_rows_f32)(dst + b * plane, pixel, width, BLOCK, e);
}

/* Items [i0, i1); *held as in winograd.c: a band. */
void INGOT_FN(winograd_rows_run)(const ingot_conv *d, const conv_place *place, const float *packed, const float *src,
                                 float *dst, const ingot_epilogue *e, float *scratch, int64_t *held, int64_t i0,
                                 int64_t i1)
{
    const rows_shape s = rows_shape_of(d);
    const rows_job j = { .d = d, .s = &s, .e = e, .packed = packed, .v = scratch,
                         .products = scratch + POINTS * s.v_point, .place = *place };
    const int64_t in_plane = d->in[1] * d->in[2] * BLOCK, out_plane = place->size[1] * place->size[2] * BLOCK;

    for (int64_t i = i0; i < i1; i++) {
        const int64_t unit = i % s.units, band = i / s.units, image = band / s.bands;
        const int64_t y0 = band % s.bands * s.band, rows = min64(s.band, d->out[1] - y0);

        for (int64_t b = 0; band != *held && b < s.ic_blocks; b++)
            transform_plane(&j, src + (image * s.ic_blocks + b) * in_plane, j.v + b * s.v_block, y0 - d->pad[1],
                            rows + TAPS - 1);
        *held = band;
        multiply_band(&j, unit, rows * s.tiles, i + 1 == d->n * s.bands * s.units);
        for (int64_t oc = unit * UNIT; oc < min64(d->oc, (unit + 1) * UNIT); oc += VF32_LANES)
            for (int64_t y = 0; y < rows; y++) {
                const float *m = j.products + y * s.tiles * UNIT + oc % UNIT;
                const int64_t at = (image * ceil_div(d->oc, BLOCK) + oc / BLOCK) * out_plane +
                                   place_at(place, 0, y0 + y, 0) * BLOCK;
                finish_row(&j, oc, m, dst + at, e->residual ? e->residual + at : NULL);
            }
    }
}
