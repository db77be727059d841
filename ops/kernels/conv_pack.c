/* conv_pack.c - how a direct convolution is cut: groups that are merged, bands of rows, units of output channels; and
 * the packing of its weights by these units. conv_direct.c runs it. */
#include "ops/kernels/conv_first.h"
#include "ops/kernels/conv_minimal.h"
#include "ops/kernels/conv_shape.h"
#include "ops/kernels/conv_taps.h"
#include "ops/kernels/conv_tile.h"

enum {
    BAND_BYTES = (VF32_LANES > 8 ? 512 : 256) * 1024,    /* of the source, in the second-level cache */
    ENOUGH_ITEMS = 16,                  /* for a few threads to share */
    FEW_ITEMS = 8,                      /* are cut in two where there is no half of them */
    HALF_PIXELS = 2 * CONV_PX2,         /* of an image that is cut so, at most */
};

/* The smallest power of two, up to BLOCK, that makes n a multiple of BLOCK when multiplied. */
static int64_t times_to_fill(int64_t n)
{
    int64_t times = 1;
    while (n * times % BLOCK)
        times *= 2;
    return times;
}

/* Groups to merge so that they fill blocks on both sides, or all of them where no number does. */
static int64_t merged_groups(const ingot_conv *d)
{
    const int64_t ic = d->ic / d->groups, oc = d->oc / d->groups;
    const int64_t merge = max64(times_to_fill(oc), d->plain_src ? 1 : times_to_fill(ic));

    return d->groups % merge ? d->groups : merge;
}

/* How many rows (flat: pixels) of a source are taken at a time: as many as fit BAND_BYTES with all of their input
 * channels, fewer where threads would have too few items to share, but never less than a few tiles. The bands are
 * then made nearly equal. An odd number of units of a small image is cut once more: two threads then have as much to
 * do, and only one unit's weights in common. */
static void choose_band(const ingot_conv *d, conv_shape *s)
{
    const int64_t width = s->flat ? 1 : s->in[2] * d->stride[1], least = 4 * CONV_PX2;
    const int64_t smallest = s->flat ? least : ceil_div(least, max64(1, s->out[2]));

    s->rows = s->flat ? s->out[2] : s->out[0] * s->out[1];
    s->band = max64(smallest, BAND_BYTES / (int64_t)sizeof(float) / max64(1, s->group_ic * width));
    while (s->band > smallest && d->n * s->groups * s->units * ceil_div(s->rows, s->band) < ENOUGH_ITEMS)
        s->band = max64(smallest, s->band / 2);
    s->bands = max64(1, ceil_div(s->rows, s->band));
    s->band = ceil_div(s->rows, s->bands);
    if (s->flat) {                                    /* whole tiles */
        s->band = ceil_div(s->band, CONV_HELD) * CONV_HELD;
        s->bands = ceil_div(s->rows, s->band);
    }
    s->by_units = s->flat && s->bands == 1 && s->rows > HALF_PIXELS && s->rows <= 2 * HALF_PIXELS && s->units > 1 &&
                  d->n * s->groups * s->units % 2 && d->n * s->groups * s->units < FEW_ITEMS;
    if (s->by_units) {
        s->band = ceil_div(s->rows, 2);
        s->bands = 2;
    }
}

/* What follows from the convolution's numbers, but for the bands. place says where outputs lie in dst; NULL: as they
 * come, one after the other. */
conv_shape INGOT_FN(conv_sizes_of)(const ingot_conv *d, const conv_place *place)
{
    conv_shape s = { .flat = true, .taps = 1, .merge = merged_groups(d) };
    int64_t in_pixels = 1, out_pixels = 1, dst_pixels = 1;

    if (place)
        s.place = *place;
    /* sizes, and whether the convolution only mixes channels */
    for (int i = 0; i < 3; i++) {
        s.in[i] = d->in[i];
        s.out[i] = d->out[i];
        s.taps *= d->kernel[i];
        if (!place) {
            s.place.size[i] = d->out[i];
            s.place.step[i] = 1;
        }
        in_pixels *= d->in[i];
        out_pixels *= d->out[i];
        dst_pixels *= s.place.size[i];
        s.flat &= d->kernel[i] == 1 && d->stride[i] == 1 && d->pad[i] == 0 && d->in[i] == d->out[i];
        s.apart |= s.place.size[i] != d->out[i];
    }
    s.flat &= !s.apart || (s.out[0] == 1 && !d->plain_src);
    s.apart &= s.flat;
    if (s.flat) {
        s.in[0] = s.in[1] = s.out[0] = s.out[1] = 1;
        s.in[2] = s.out[2] = out_pixels;
    }
    /* channels of a merged group, and floats from one part of the tensors to the next */
    s.groups = d->groups / s.merge;
    s.group_ic = d->ic / s.groups;
    s.group_oc = d->oc / s.groups;
    s.ic_block = d->plain_src ? 1 : BLOCK;
    s.ic_blocks = ceil_div(s.group_ic, s.ic_block);
    s.in_plane = in_pixels * s.ic_block;
    s.out_plane = dst_pixels * BLOCK;
    s.in_image = s.in_plane * ceil_div(d->ic, s.ic_block);
    s.out_image = s.out_plane * ceil_div(d->oc, BLOCK);
    /* packed weights: the last unit of a group is half as wide where one vector holds what is left */
    s.units = ceil_div(s.group_oc, UNIT);
    s.unit_floats = UNIT * s.ic_blocks * s.ic_block * s.taps;
    s.group_floats = s.unit_floats / 2 * ceil_div(s.group_oc, VF32_LANES);
    s.tap_step = s.ic_block * (INGOT_FN(conv_taps_fit)(d) ? s.ic_blocks : 1);
    s.block_step = s.ic_block * (s.tap_step == s.ic_block ? s.taps : 1);
    return s;
}

/* All of it. */
conv_shape INGOT_FN(conv_shape_of)(const ingot_conv *d, const conv_place *place)
{
    conv_shape s = INGOT_FN(conv_sizes_of)(d, place);

    choose_band(d, &s);
    return s;
}

/* Outputs side by side in registers: most tiles of the convolution have as many. */
int INGOT_FN(conv_tile_pixels)(const ingot_conv *d)
{
    const conv_shape s = INGOT_FN(conv_shape_of)(d, NULL);
    return s.group_oc > VF32_LANES ? most_pixels(s.out[2]) : CONV_PX1;
}

/* Units of packed weights over all groups: what packing is split by. */
int64_t INGOT_FN(conv_units_f32)(const ingot_conv *d)
{
    const conv_shape s = INGOT_FN(conv_shape_of)(d, NULL);
    return s.groups * s.units;
}

/* Floats of the packed weights of all groups. */
int64_t INGOT_FN(conv_packed_f32)(const ingot_conv *d)
{
    const conv_shape s = INGOT_FN(conv_shape_of)(d, NULL);
    return s.groups * s.group_floats / (d->minimal ? 3 : 1) * (d->minimal ? MINIMAL_POINTS : 1);
}

/* Work items: images by groups by bands by units. */
int64_t INGOT_FN(conv_place_items)(const ingot_conv *d, const conv_place *place)
{
    const conv_shape s = INGOT_FN(conv_shape_of)(d, place);
    return d->n * s.groups * s.bands * s.units;
}

/* A first layer has its own way to be cut. */
int64_t INGOT_FN(conv_items_f32)(const ingot_conv *d)
{
    return INGOT_FN(conv_first_fits)(d) ? INGOT_FN(conv_first_items)(d) : INGOT_FN(conv_place_items)(d, NULL);
}

/* The weights of one output channel of a merged group, from one channel block of it, to every width-th float. Across
 * the groups that were merged they stay zero. */
static void pack_channel(const ingot_conv *d, const conv_shape *s, float *to, const conv_weights *weights,
                         int64_t group, int64_t oc, int64_t block, int width)
{
    const int64_t own_ic = d->ic / d->groups, own_oc = d->oc / d->groups, member = oc / own_oc;
    const int64_t first = member * own_ic, step = s->tap_step * width;
    const int64_t from = max64(first, block * s->ic_block), end = min64(first + own_ic, (block + 1) * s->ic_block);
    const float *w = weights->first + (group * s->merge + member) * weights->group + oc % own_oc * weights->oc;

    for (int64_t c = from; c < end; c++) {
        const float *channel = w + (c - first) * weights->ic;
        float *tap = to + (c - block * s->ic_block) * width;

        for (int64_t z = 0; z < d->kernel[0]; z++)
            for (int64_t y = 0; y < d->kernel[1]; y++)
                for (int64_t x = 0; x < d->kernel[2]; x++, tap += step)
                    *tap = channel[z * weights->tap[0] + y * weights->tap[1] + x * weights->tap[2]];
    }
}

/* 1x1 weights whose input channels lie together, in whole blocks. */
static bool has_rows(const conv_shape *s, const conv_weights *weights)
{
    return s->taps == 1 && s->merge == 1 && weights->ic == 1 && s->ic_block == BLOCK && s->group_ic % BLOCK == 0;
}

/* A whole unit of them, eight rows at a time turned into columns. */
static void pack_rows(const conv_shape *s, float *to, const float *first, int64_t row, int width)
{
    for (int o = 0; o < width; o += BLOCK)
        for (int64_t c = 0; c < s->group_ic; c += BLOCK) {
            vf8 r[BLOCK];
            for (int i = 0; i < BLOCK; i++)
                r[i] = vf8_load(first + (o + i) * row + c);
            vf8_transpose(r);
            for (int i = 0; i < BLOCK; i++)
                vf8_store(to + (c + i) * width + o, r[i]);
        }
}

/* Units are [ic block][tap][channel of the block][output channel of the unit], or [tap][channel][output channel] where
 * they are read tap by tap. */
void INGOT_FN(conv_pack_view)(const ingot_conv *d, float *packed, const conv_weights *weights, int64_t u0, int64_t u1)
{
    const conv_shape s = INGOT_FN(conv_shape_of)(d, NULL);

    for (int64_t u = u0; u < u1; u++) {
        const int64_t group = u / s.units, unit = u % s.units;
        const int width = unit_width_of(s.group_oc, unit), channels = (int)min64(width, s.group_oc - unit * UNIT);
        float *to = packed + group * s.group_floats + unit * s.unit_floats;

        if (channels == width && has_rows(&s, weights)) {
            pack_rows(&s, to, weights->first + group * weights->group + unit * UNIT * weights->oc, weights->oc, width);
            continue;
        }

        /* zeros stay in lanes past the last channel, and between groups that were merged */
        memset(to, 0, (size_t)(s.ic_blocks * s.ic_block * s.taps * width) * sizeof *to);
        for (int64_t block = 0; block < s.ic_blocks; block++, to += s.block_step * width)
            for (int o = 0; o < channels; o++)
                pack_channel(d, &s, to + o, weights, group, unit * UNIT + o, block, width);
    }
}

/* Weights as Conv stores them, [oc][ic / groups][kernel]: a view whose steps are those of a row-major tensor. */
void INGOT_FN(conv_pack_f32)(const ingot_conv *d, float *packed, const float *weights, int64_t u0, int64_t u1)
{
    const int64_t row = d->kernel[2], plane = d->kernel[1] * row, taps = d->kernel[0] * plane;
    const int64_t ic = d->ic / d->groups;
    const conv_weights view = { .first = weights, .group = d->oc / d->groups * ic * taps, .oc = ic * taps, .ic = taps,
                                .tap = { plane, row, 1 } };

    if (d->minimal)
        INGOT_FN(minimal_pack)(d, packed, weights, u0, u1);
    else
        INGOT_FN(conv_pack_view)(d, packed, &view, u0, u1);
}

/* Only for one group. Channels past the last have weights of zero. */
void INGOT_FN(conv_scale_f32)(const ingot_conv *d, float *dst, const float *packed, const float *scale, int64_t u0,
                              int64_t u1)
{
    const conv_shape s = INGOT_FN(conv_shape_of)(d, NULL);

    for (int64_t u = u0; u < u1; u++) {
        const int width = unit_width_of(s.group_oc, u);
        const float *from = packed + u * s.unit_floats;
        float *to = dst + u * s.unit_floats;

        for (int64_t row = 0; row < s.ic_blocks * s.taps * s.ic_block; row++) {
            const int64_t channel = (row / s.block_step * s.ic_block + row % s.ic_block) % (s.ic_blocks * s.ic_block);
            const vf32 by = vf32_set1(channel < d->ic ? scale[channel] : 0.0f);

            for (int i = 0; i < width; i += VF32_LANES, from += VF32_LANES, to += VF32_LANES)
                vf32_store(to, vf32_mul(by, vf32_load(from)));
        }
    }
}
