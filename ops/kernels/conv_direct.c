/* conv_direct.c - direct f32 convolution into blocked channels, without an intermediate image.
 *
 * A tile is some neighbouring pixels of a row by one or two vectors of output channels, held in registers over all
 * taps and input channels: per input channel, one weight vector each and one broadcast per pixel. Rows that a tap
 * misses are left out; within a row, pixels are cut into runs that meet the same taps. The longest run takes its two
 * neighbours along, whose missing taps read zeros, so that a padded 3x3 row is a single run.
 *
 * Work items are (image, group, band of rows, unit of output channels), the unit running fastest: a band of the source
 * stays in the second-level cache while all units pass over it. Small images of few units have the band running
 * fastest. A convolution that only mixes channels (1x1, stride 1) is one long row, cut into bands by pixels.
 *
 * Groups whose channels do not fill blocks are merged with their neighbours, with zero weights between them. */
#include "ops/kernels/conv_direct.h"
#include "ops/kernels/conv_end.h"
#include "ops/kernels/conv_first.h"
#include "ops/kernels/conv_ready.h"
#include "ops/kernels/conv_shape.h"
#include "ops/kernels/conv_taps.h"
#include "ops/kernels/taps.h"

enum { PART_BYTES = 128 * 1024 };       /* of a unit's weights, in the second-level cache */

static const float zeros[BLOCK];

/* One tile's work. Steps are in floats. */
typedef struct tile_job {
    const float *src, *weights;         /* at the first pixel's first tap */
    tile_end end;
    int64_t blocks, block_channels;
    int64_t rest;                       /* channels of the last block, where it is not whole; else 0 */
    int64_t taps[3];                    /* taps to visit along each axis */
    tap_range first, last;              /* taps along the width that the first and the last pixel have */
    ptrdiff_t pixel, tap[3], plane;     /* steps in src */
    ptrdiff_t weight_tap[3], weight_block;
    ahead next_unit;
    bool cold;                          /* the first unit to pass over this band */
    bool ends_short;                    /* the last vector has one block, and half of one costs half as much */
    const float *later;                 /* pixels that are read after this band, or NULL; `later_plane` apart */
    ptrdiff_t later_plane;
} tile_job;

/* Ask for the next tile's pixels of a source row: its rows are too many streams for the processor to see by itself. */
INGOT_INLINE void fetch_pixels(const tile_job *t, const float *src, int px)
{
    if (!t->cold || t->pixel < BLOCK)
        return;
    INGOT_UNROLL
    for (int p = px; p < 2 * px; p += 2)
        __builtin_prefetch(src + p * t->pixel, 0, 2);
    if (t->pixel > BLOCK) {
        INGOT_UNROLL
        for (int p = px + 1; p < 2 * px; p += 2)
            __builtin_prefetch(src + p * t->pixel, 0, 2);
    }
}

/* Do the first and the last pixel have all the taps that the pixels between them have? */
static bool has_all_taps(const tile_job *t)
{
    return t->first.from <= 0 && t->first.to >= t->taps[2] && t->last.from <= 0 && t->last.to >= t->taps[2];
}

/* px pixels by nv vectors: sums in registers over all taps and channels, then finished. In a row-major source without
 * dilation, the taps of a row lie as the channels of a block do, and are taken likewise. */
INGOT_INLINE void tile(tile_job *t, int px, int nv)
{
    const ptrdiff_t pixel = t->pixel, to_last = (px - 1) * pixel;
    const bool taps_touch = t->block_channels == 1 && t->tap[2] == 1 && has_all_taps(t);
    const int64_t taps = taps_touch ? 1 : t->taps[2], channels = taps_touch ? t->taps[2] : t->block_channels;
    ahead next_unit = t->next_unit;
    vf32 acc[MAX_PIXELS][2];

    start(&t->end, acc, px, nv);
    /* channel blocks, then the rows of taps that exist, then the taps of a row: weights are read as they are packed */
    for (int64_t b = 0; b < t->blocks; b++)
        for (int64_t z = 0; z < t->taps[0]; z++)
            for (int64_t y = 0; y < t->taps[1]; y++) {
                const float *src = t->src + b * t->plane + z * t->tap[0] + y * t->tap[1];
                const float *w = t->weights + b * t->weight_block + z * t->weight_tap[0] + y * t->weight_tap[1];

                for (int64_t x = 0; x < taps; x++, src += t->tap[2], w += t->weight_tap[2]) {
                    const float *first = x >= t->first.from && x < t->first.to ? src : zeros;
                    const float *last = x >= t->last.from && x < t->last.to ? src + to_last : zeros;

                    fetch_ahead(&next_unit, 1);
                    if (x == 0) {
                        fetch_pixels(t, src, px);
                        fetch_next(src + (y + 1 < t->taps[1] ? t->tap[1] : t->plane - y * t->tap[1]), pixel, px);
                    }
                    if ((nv == 2 ? px > HALF : px == CONV_PX1) && pixel == BLOCK && channels == BLOCK)
                        accumulate(acc, src, first, last, BLOCK, w, BLOCK, px, nv);       /* known: in the addresses */
                    else if (nv == 2 && px % 7 == 0 && pixel == 2 * BLOCK && channels == BLOCK)
                        accumulate(acc, src, first, last, 2 * BLOCK, w, BLOCK, px, nv);
                    else
                        accumulate(acc, src, first, last, pixel, w, channels, px, nv);
                }
            }
    t->next_unit = next_unit;
    finish(&t->end, acc, px, nv, nv == 2, false);
}

/* On to the pixels behind px of them. */
INGOT_INLINE void move_on(tile_job *t, int px)
{
    t->src += px * BLOCK;
    if (t->later)
        t->later += px * BLOCK;
    t->end.dst += px * t->end.pixel;
    if (t->end.residual)
        t->end.residual += px * t->end.pixel;
}

/* Ask for the pixels of a later band that lie where a tile's do in this one. */
INGOT_INLINE void fetch_later(const float *later, int px)
{
    INGOT_UNROLL
    for (int p = 0; later && p < px; p += 2)
        __builtin_prefetch(later + p * BLOCK, 0, 2);
}

/* n tiles side by side, as tile(), for one tap of neighbouring pixels, which all have it: as little as can be is done
 * beside the sums, since mobile networks mix as few as 16 channels. Channels that only fill up the last block are left
 * out. ends_short: as the job's. */
INGOT_INLINE void tiles_mixed(tile_job *t, int px, int nv, bool ends_short, int64_t n)
{
    const int64_t whole = t->blocks - (t->rest > 0);
    ahead next_unit = t->next_unit;

    for (; n > 0; n--, move_on(t, px)) {
        const float *src = t->src, *w = t->weights, *later = t->later;
        vf32 acc[MAX_PIXELS][2];

        start(&t->end, acc, px, nv);
        for (int64_t b = 0; b < (ends_short ? t->blocks : whole); b++, src += t->plane, w += t->weight_block) {
            fetch_ahead(&next_unit, 1);
            fetch_pixels(t, src, px);
            fetch_later(later, px);
            later = later ? later + t->later_plane : NULL;
            fetch_next(src + t->plane, BLOCK, px);
            if (ends_short)
                accumulate_short(acc, src, w, b < whole ? BLOCK : t->rest, px, nv);
            else
                accumulate(acc, src, src, src + (px - 1) * BLOCK, BLOCK, w, BLOCK, px, nv);
        }
        if (ends_short) {
            finish_few(&t->end, acc, px, nv);
        } else {
            accumulate(acc, src, src, src + (px - 1) * BLOCK, BLOCK, w, t->rest, px, nv);
            finish(&t->end, acc, px, nv, true, true);
        }
    }
    t->next_unit = next_unit;
}

/* As tile(), for two rows of HALF pixels, which lie side by side in dst but `jump` floats apart in src: weights are
 * read once for both. The rows have the same taps. */
INGOT_INLINE void tile_rows(tile_job *t, ptrdiff_t jump)
{
    const ptrdiff_t pixel = t->pixel;
    ahead next_unit = t->next_unit;
    vf32 acc[MAX_PIXELS][2];

    start(&t->end, acc, 2 * HALF, 2);
    for (int64_t b = 0; b < t->blocks; b++)
        for (int64_t y = 0; y < t->taps[1]; y++)
            for (int64_t x = 0; x < t->taps[2]; x++) {
                const float *src = t->src + b * t->plane + y * t->tap[1] + x * t->tap[2];
                const float *w = t->weights + b * t->weight_block + y * t->weight_tap[1] + x * t->weight_tap[2];
                const bool has_first = x >= t->first.from && x < t->first.to;
                const bool has_last = x >= t->last.from && x < t->last.to;
                const float *first[2] = { has_first ? src : zeros, has_first ? src + jump : zeros };
                const float *last[2] = { has_last ? src + (HALF - 1) * pixel : zeros,
                                         has_last ? src + jump + (HALF - 1) * pixel : zeros };

                fetch_ahead(&next_unit, 1);
                if (pixel == 2 * BLOCK)               /* a known number becomes part of the addresses */
                    accumulate_rows(acc, src, jump, first, last, 2 * BLOCK, w);
                else
                    accumulate_rows(acc, src, jump, first, last, pixel, w);
            }
    t->next_unit = next_unit;
    finish(&t->end, acc, 2 * HALF, 2, true, false);
}

/* Can a tile of one vector take the taps of a row together? Where the first pixel misses one at most, which is the
 * first, and the last pixel one, the last; where there are many registers. */
static bool takes_triples(const tile_job *t, int px)
{
    const bool has_copy = t->pixel == BLOCK ? px % HALF == 0 : t->pixel == 2 * BLOCK && px == 2 * HALF;

    return VF32_LANES > 8 && has_copy && t->block_channels == BLOCK && t->taps[0] == 1 && t->taps[2] == 3 &&
           t->tap[2] == BLOCK && t->first.from <= 1 && t->first.to == 3 &&
           t->last.from == 0 && t->last.to >= 2;
}

/* As tile(), or tile_rows(), of one vector for rows of three taps. */
INGOT_INLINE void tile_triples(tile_job *t, ptrdiff_t jump, int stride, int px, int rows)
{
    const ptrdiff_t to_last = ((px - 1) * stride + 2) * BLOCK;
    const bool has_first = t->first.from == 0, has_last = t->last.to == 3;
    ahead next_unit = t->next_unit;
    vf32 acc[MAX_PIXELS][2];

    start(&t->end, acc, rows * px, 1);
    for (int64_t b = 0; b < t->blocks; b++)
        for (int64_t y = 0; y < t->taps[1]; y++) {
            const float *src = t->src + b * t->plane + y * t->tap[1];
            const float *w = t->weights + b * t->weight_block + y * t->weight_tap[1];
            const float *first[2] = { has_first ? src : zeros, has_first ? src + jump : zeros };
            const float *last[2] = { has_last ? src + to_last : zeros, has_last ? src + jump + to_last : zeros };

            fetch_ahead(&next_unit, 3);
            accumulate_triples(acc, src, jump, first, last, stride, w, px, rows);
        }
    t->next_unit = next_unit;
    finish(&t->end, acc, rows * px, 1, false, false);
}

/* Rows of twice HALF pixels, with either stride; of HALF, one or two of them, without. */
static INGOT_ONE_REGION void tile_one_triples(tile_job *t, ptrdiff_t jump, int px, bool two_rows)
{
    if (t->pixel > BLOCK)
        tile_triples(t, 0, 2, 2 * HALF, 1);
    else if (two_rows)
        tile_triples(t, jump, 1, HALF, 2);
    else if (px == HALF)
        tile_triples(t, 0, 1, HALF, 1);
    else
        tile_triples(t, 0, 1, 2 * HALF, 1);
}

#define TILE_ONE(px) tile(t, px, 1)
#define TILE_TWO(px) tile(t, px, 2)

/* One straight-line tile for each number of pixels, for units of one and of two vectors. */
static void tile_one(tile_job *t, int px)
{
    switch (px) { PIXEL_CASES(CONV_PX1, TILE_ONE) }
}

static INGOT_ONE_REGION void tile_two(tile_job *t, int px)
{
    switch (px) { PIXEL_CASES(CONV_PX2, TILE_TWO) }
}

/* Has a tile one tap, which all of its pixels have, and do these lie side by side? */
static bool mixes_channels(const tile_job *t)
{
    return t->pixel == BLOCK && t->block_channels == BLOCK && t->taps[0] == 1 && t->taps[1] == 1 && t->taps[2] == 1 &&
           has_all_taps(t);
}

/* Other tiles than those that nearly all of them are. */
static void tiles_of_any(tile_job *t, void (*tile_any)(tile_job *t, int px), int px, int64_t n)
{
    for (; n > 0; n--, move_on(t, px))
        tile_any(t, px);
}

/* The most pixels, where the last vector ends short. */
static __attribute__((noinline)) INGOT_ONE_REGION void tiles_short_two(tile_job *t, int64_t n)
{
    tiles_mixed(t, CONV_PX2, 2, true, n);
}

static __attribute__((noinline)) INGOT_ONE_REGION void tiles_short_one(tile_job *t, int64_t n)
{
    tiles_mixed(t, CONV_PX1, 1, true, n);
}

/* The numbers of pixels of nearly all tiles. */
static INGOT_ONE_REGION void tiles_mixed_two(tile_job *t, int px, int64_t n)
{
    if (VF32_LANES > 8 && t->ends_short && px == CONV_PX2) {
        tiles_short_two(t, n);
        return;
    }
    switch (px) {
    case CONV_PX2: tiles_mixed(t, CONV_PX2, 2, false, n); break;
    case CONV_PX2 - 1: tiles_mixed(t, CONV_PX2 - 1, 2, false, n); break;
    case CONV_PX2 - 2: tiles_mixed(t, CONV_PX2 - 2, 2, false, n); break;
    default: tiles_of_any(t, tile_two, px, n);
    }
}

static void tiles_mixed_one(tile_job *t, int px, int64_t n)
{
    if (VF32_LANES > 8 && t->ends_short && px == CONV_PX1) {
        tiles_short_one(t, n);
        return;
    }
    switch (px) {
    case CONV_PX1: tiles_mixed(t, CONV_PX1, 1, false, n); break;
    case CONV_PX1 - 1: tiles_mixed(t, CONV_PX1 - 1, 1, false, n); break;
    default: tiles_of_any(t, tile_one, px, n);
    }
}

/* n neighbouring pixels with a single tap, from where the job stands on; in tiles of nearly equal width. */
static void run_mixed(tile_job *t, bool two, int64_t n)
{
    const int64_t tiles = ceil_div(n, two ? most_pixels(n) : CONV_PX1), least = n / tiles, wider = n % tiles;

    t->taps[0] = t->taps[1] = t->taps[2] = 1;
    t->first = t->last = (tap_range){ 0, 1 };
    if (wider > 0)
        (two ? tiles_mixed_two : tiles_mixed_one)(t, (int)least + 1, wider);
    (two ? tiles_mixed_two : tiles_mixed_one)(t, (int)least, tiles - wider);
}

static INGOT_ONE_REGION void tile_two_rows(tile_job *t, ptrdiff_t jump) { tile_rows(t, jump); }

/* The taps of output index i along an axis that fall inside the source; from == to when none does. */
static tap_range taps_at(const ingot_conv *d, const conv_shape *s, int axis, int64_t i)
{
    return taps_inside(i * d->stride[axis] - d->pad[axis], d->dilation[axis], d->kernel[axis], s->in[axis]);
}

/* One item: where it is, and the job of its tiles, of which each tile fills in place and taps. */
typedef struct item {
    const ingot_conv *d;
    const conv_shape *s;
    const ingot_epilogue *e;
    const float *src, *weights;         /* of the image, group and unit */
    float *dst;
    const float *residual;
    int64_t row0, row1;                 /* flat: pixels */
    int64_t src_from;                   /* flat: the pixel that src begins with */
    int width;                          /* of the unit */
    tile_job job;
} item;

/* Are two ranges of taps the same? */
static bool same(tap_range a, tap_range b) { return a.from == b.from && a.to == b.to; }

/* Do rows of HALF pixels by one vector take their taps together, as takes_triples() has it? */
static bool rows_take_triples(const ingot_conv *d)
{
    return d->kernel[2] == 3 && d->stride[2] == 1 && d->dilation[2] == 1 && d->pad[2] <= 1 &&
           HALF + 1 - d->pad[2] <= d->in[2];
}

/* Could a tile take this row and the next, as wholes? In images without depth, of blocked sources; where there are many
 * registers. */
static bool takes_rows(const item *it, int64_t row, int64_t x0, int64_t x1)
{
    const ingot_conv *d = it->d;
    const conv_shape *s = it->s;

    return VF32_LANES > 8 && (it->width == UNIT || rows_take_triples(d)) && x0 == 0 && x1 == HALF &&
           s->out[2] == HALF && s->out[0] == 1 && d->kernel[0] == 1 && s->ic_block == BLOCK &&
           s->place.size[2] == HALF && s->place.step[1] == 1 && row + 1 < it->row1 &&
           same(taps_at(d, s, 1, row), taps_at(d, s, 1, row + 1));
}

/* Pixels [x0, x1) of row (z, y), or of it and the next. All have the taps `taps`, but the first and the last maybe
 * fewer. */
static void run_row(item *it, int64_t z, int64_t y, bool two_rows, int64_t x0, int64_t x1, tap_range taps)
{
    const ingot_conv *d = it->d;
    const conv_shape *s = it->s;
    const int most = it->width == UNIT ? widest_tile() : CONV_PX1;
    /* taps of depth and height are the same for the whole row, and those outside are left out of the loops */
    const tap_range tz = taps_at(d, s, 0, z), ty = taps_at(d, s, 1, y);
    const int64_t in_z = z * d->stride[0] - d->pad[0] + tz.from * d->dilation[0];
    const int64_t in_y = y * d->stride[1] - d->pad[1] + ty.from * d->dilation[1];
    tile_job *t = &it->job;
    int64_t tiles = ceil_div(x1 - x0, most);

    t->taps[0] = tz.to - tz.from;
    t->taps[1] = ty.to - ty.from;
    t->taps[2] = taps.to - taps.from;
    t->weights = it->weights + tz.from * t->weight_tap[0] + ty.from * t->weight_tap[1] + taps.from * t->weight_tap[2];
    /* tiles of nearly equal width, so that no tile of a pixel or two is left at the end */
    for (int64_t x = x0; x < x1; tiles--) {
        const int px = (int)ceil_div(x1 - x, tiles);
        const int64_t in_x = x * d->stride[2] - d->pad[2] + taps.from * d->dilation[2];
        const int64_t at = place_at(&s->place, z, y, x) * BLOCK;
        const tap_range first = x == x0 || px == 1 ? taps_at(d, s, 2, x) : taps;
        const tap_range last = x + px == x1 ? taps_at(d, s, 2, x1 - 1) : taps;

        t->src = it->src + ((in_z * s->in[1] + in_y) * s->in[2] + in_x - it->src_from) * s->ic_block;
        t->end.dst = it->dst + at;
        t->end.residual = it->residual ? it->residual + at : NULL;
        t->first = (tap_range){ first.from - taps.from, first.to - taps.from };
        t->last = (tap_range){ last.from - taps.from, last.to - taps.from };
        if (VF32_LANES > 8 && it->width < UNIT && (two_rows || takes_triples(t, px)))
            tile_one_triples(t, d->stride[1] * s->in[2] * BLOCK, px, two_rows);
        else if (VF32_LANES > 8 && two_rows)
            tile_two_rows(t, d->stride[1] * s->in[2] * BLOCK);
        else if (mixes_channels(t))
            (it->width == UNIT ? tiles_mixed_two : tiles_mixed_one)(t, px, 1);
        else
            (it->width == UNIT ? tile_two : tile_one)(t, px);
        x += px;
    }
}

/* Pixels [x0, x1) of all rows of the item, which all have the taps `taps` along the width. */
static void run_rows(item *it, int64_t x0, int64_t x1, tap_range taps)
{
    for (int64_t row = it->row0; row < it->row1 && x0 < x1; row++) {
        const bool two_rows = takes_rows(it, row, x0, x1);
        run_row(it, row / it->s->out[1], row % it->s->out[1], two_rows, x0, x1, taps);
        row += two_rows;
    }
}

/* Pixels [x0, x1) of the item's rows, in runs that have the same taps. */
static void run_equal_runs(item *it, int64_t x0, int64_t x1)
{
    while (x0 < x1) {
        const tap_range taps = taps_at(it->d, it->s, 2, x0);
        int64_t end = x0 + 1;

        while (end < x1 && same(taps, taps_at(it->d, it->s, 2, end)))
            end++;
        run_rows(it, x0, end, taps);
        x0 = end;
    }
}

/* Places of a tile's pixels, in floats, and from each block of channels to the next. */
typedef struct pixel_places {
    int64_t at[MAX_PIXELS];
    ptrdiff_t plane;
} pixel_places;

/* The pixels of some blocks, from some places to others. */
static __attribute__((noinline)) void move_pixels(float *dst, const pixel_places *to, const float *src,
                                                  const pixel_places *from, int64_t blocks, int px)
{
    for (int64_t b = 0; b < blocks; b++, dst += to->plane, src += from->plane)
        for (int p = 0; p < px; p++)
            vf8_store(dst + to->at[p], vf8_load(src + from->at[p]));
}

/* A tile of px pixels from number `first` on that goes on in the next row of outputs: by way of `held`, where they lie
 * side by side. */
static __attribute__((noinline)) void tile_across(const item *it, tile_job *t, int64_t first, int px)
{
    _Alignas(64) float held[MAX_PIXELS * UNIT], residual[MAX_PIXELS * UNIT];
    const int64_t width = it->d->out[2], blocks = ceil_div(t->end.channels, BLOCK);
    const tile_end end = t->end;
    pixel_places apart = { .plane = it->s->out_plane }, side = { .plane = MAX_PIXELS * BLOCK };
    const conv_place *place = &it->s->place;
    const int64_t jump = place->step[1] * place->size[2] - width * place->step[2];      /* to the next row */
    int64_t x = first % width, at = place_at(place, 0, first / width, x);

    for (int p = 0; p < px; p++, at += place->step[2]) {
        apart.at[p] = at * BLOCK;
        side.at[p] = p * BLOCK;
        if (++x == width) {
            x = 0;
            at += jump;
        }
    }
    if (it->residual)
        move_pixels(residual, &side, it->residual, &apart, blocks, px);
    t->end.dst = held;
    t->end.residual = it->residual ? residual : NULL;
    t->end.pixel = BLOCK;
    t->end.plane = side.plane;
    t->end.vector = VECTOR_BLOCKS * side.plane;
    (it->width == UNIT ? tiles_mixed_two : tiles_mixed_one)(t, px, 1);
    t->end = end;
    move_pixels(it->dst, &apart, held, &side, blocks, px);
}

/* Outputs that lie apart: as in run_mixed(), but those tiles that end where a row of outputs does not go together. */
static __attribute__((noinline)) void run_apart(item *it)
{
    const conv_shape *s = it->s;
    const int64_t n = it->row1 - it->row0, width = it->d->out[2];
    const int64_t tiles = ceil_div(n, it->width == UNIT ? most_pixels(n) : CONV_PX1), least = n / tiles;
    tile_job *t = &it->job;
    int64_t wider = n % tiles;

    t->weights = it->weights;
    t->taps[0] = t->taps[1] = t->taps[2] = 1;
    t->first = t->last = (tap_range){ 0, 1 };
    for (int64_t p = it->row0; p < it->row1;) {
        const int px = (int)least + (wider > 0);
        const int64_t left = wider > 0 ? wider : (it->row1 - p) / px, here = min64(left, (width - p % width) / px);
        const int64_t at = place_at(&s->place, 0, p / width, p % width) * BLOCK;

        t->src = it->src + p * BLOCK;
        t->end.dst = it->dst + at;
        t->end.residual = it->residual ? it->residual + at : NULL;
        if (here > 0)
            (it->width == UNIT ? tiles_mixed_two : tiles_mixed_one)(t, px, here);
        else
            tile_across(it, t, p, px);
        p += max64(here, 1) * px;
        wider -= max64(here, 1);
    }
}

/* A row is cut in three: pixels on the left that miss taps, the long run, and those on the right. Each part is
 * computed for all rows of the item before the next. */
static void run_part(item *it)
{
    const tap_range all = { 0, it->d->kernel[2] };
    const int64_t width = it->s->out[2];
    int64_t begin = 0, end;

    if (it->s->apart) {
        run_apart(it);
        return;
    }
    if (it->s->flat && it->s->ic_block == BLOCK) {
        it->job.src = it->src + (it->row0 - it->src_from) * BLOCK;
        it->job.weights = it->weights;
        it->job.end.dst = it->dst + it->row0 * BLOCK;
        it->job.end.residual = it->residual ? it->residual + it->row0 * BLOCK : NULL;
        run_mixed(&it->job, it->width == UNIT, it->row1 - it->row0);
        return;
    }
    if (it->s->flat) {
        run_row(it, 0, 0, false, it->row0, it->row1, all);
        return;
    }
    /* the run of outputs that have all taps; none, where the kernel is wider than the source */
    while (begin < width && !same(all, taps_at(it->d, it->s, 2, begin)))
        begin++;
    for (end = begin; end < width && same(all, taps_at(it->d, it->s, 2, end));)
        end++;
    if (begin < end) {                  /* the long run takes a neighbour along on each side */
        begin = max64(0, begin - 1);
        end = min64(width, end + 1);
    }
    run_equal_runs(it, 0, begin);
    run_rows(it, begin, end, all);
    run_equal_runs(it, end, width);
}

/* An item with many weights goes over its rows several times, each with as many channel blocks as have about PART_BYTES
 * of weights, which stay in the cache for all of its tiles, while those of the next part are fetched: sums go on from
 * what is in dst by then. The parts depend on nothing but channels and taps. */
static void run_item(item *it)
{
    const int64_t blocks = it->job.blocks, bytes = it->s->unit_floats / UNIT * it->width * (int64_t)sizeof(float);
    const int64_t parts = max64(1, ceil_div(bytes, PART_BYTES)), chunk = ceil_div(blocks, parts);

    if (it->s->ic_block != BLOCK || parts == 1) {
        run_part(it);
        return;
    }
    for (int64_t b = 0; b < blocks; b += chunk) {
        item part = *it;

        part.src += b * part.job.plane;
        part.weights += b * part.job.weight_block;
        part.job.blocks = min64(chunk, blocks - b);
        part.job.later = it->job.later ? it->job.later + b * it->job.later_plane : NULL;
        part.job.rest = b + chunk < blocks ? 0 : it->job.rest;
        if (b > 0) {
            part.job.end.bias = NULL;
            part.residual = it->dst;
        }
        if (b + chunk < blocks) {
            part.job.end.low = -INFINITY;
            part.job.end.high = INFINITY;
            part.job.end.act = NULL;
            const float *next = part.weights + chunk * part.job.weight_block;
            ask_for(&part.job.next_unit, next, next + min64(chunk, blocks - b - chunk) * part.job.weight_block);
        }
        run_part(&part);
    }
}

/* What all tiles have in common. Field by field: a copy of what has just been written in pieces waits for all of them.
 */
static void set_common(tile_job *t, const ingot_conv *d, const conv_shape *s, const ingot_epilogue *e)
{
    const ptrdiff_t pixel = s->ic_block, row = s->in[2] * pixel;

    clip_range(e, &t->end.low, &t->end.high);
    t->end.act = act_follows(e) ? e : NULL;
    t->end.residual = NULL;
    t->end.pixel = s->place.step[2] * BLOCK;
    t->end.plane = s->out_plane;
    t->end.vector = VECTOR_BLOCKS * s->out_plane;
    t->blocks = s->ic_blocks;
    t->block_channels = s->ic_block;
    t->rest = s->ic_block == BLOCK ? s->group_ic % BLOCK : 0;
    t->pixel = d->stride[2] * pixel;
    t->tap[0] = d->dilation[0] * s->in[1] * row;
    t->tap[1] = d->dilation[1] * row;
    t->tap[2] = d->dilation[2] * pixel;
    t->plane = s->in_plane;
    t->next_unit = (ahead){ NULL, NULL, ingot_wide_is_split() };
    t->cold = false;
    t->later = NULL;
}

/* The same for the tiles of a unit. */
static void set_unit(tile_job *t, const ingot_conv *d, const conv_shape *s, const ingot_epilogue *e, int64_t group,
                     int64_t unit)
{
    const int width = unit_width_of(s->group_oc, unit);

    t->end.bias = e->bias ? e->bias + group * s->group_oc + unit * UNIT : NULL;
    t->end.channels = (int)min64(s->group_oc - unit * UNIT, width);
    t->ends_short = unit_ends_short(s->group_oc, unit);
    t->weight_tap[2] = width * s->tap_step;
    t->weight_tap[1] = t->weight_tap[2] * d->kernel[2];
    t->weight_tap[0] = t->weight_tap[1] * d->kernel[1];
    t->weight_block = width * s->block_step;
}

/* Items [i0, i1), with outputs one after the other. */
void INGOT_FN(conv_f32)(const ingot_conv *d, const float *packed, const float *src, float *dst, const ingot_epilogue *e,
                        int64_t i0, int64_t i1)
{
    if (INGOT_FN(conv_first_fits)(d))
        INGOT_FN(conv_first_run)(d, packed, src, dst, e, i0, i1);
    else
        INGOT_FN(conv_place_run)(d, NULL, packed, src, dst, e, i0, i1);
}

/* Makes `it`, whose d, s, e and job are there, item i: where its image, group, band and unit are. On the way it fetches
 * the weights of the item behind it, unless they have been in use before, and what is read behind the last. Field by
 * field, as set_common(). */
static void set_item(item *it, const float *packed, const float *src, float *dst, int64_t i)
{
    const ingot_conv *d = it->d;
    const conv_shape *s = it->s;
    const ingot_epilogue *e = it->e;
    const int64_t unit = s->by_units ? i / s->bands % s->units : i % s->units;
    const int64_t band = s->by_units ? i % s->bands : i / s->units % s->bands;
    const int64_t group = i / s->units / s->bands % s->groups, image = i / s->units / s->bands / s->groups;
    const int64_t out = image * s->out_image + (group * s->group_oc + unit * UNIT) / BLOCK * s->out_plane;

    it->src = src + image * s->in_image + group * s->group_ic / s->ic_block * s->in_plane;
    it->weights = packed + group * s->group_floats + unit * s->unit_floats;
    it->dst = dst + out;
    it->residual = e->residual ? e->residual + out : NULL;
    it->row0 = band * s->band;
    it->row1 = min64(s->rows, (band + 1) * s->band);
    it->width = unit_width_of(s->group_oc, unit);
    set_unit(&it->job, d, s, e, group, unit);

    const float *next = it->weights + it->width * (s->unit_floats / UNIT);
    const int64_t floats = unit_width_of(s->group_oc, unit + 1 < s->units ? unit + 1 : 0) * (s->unit_floats / UNIT);
    const int64_t left = group + 1 < s->groups && band + 1 == s->bands ? s->units : s->units - unit - 1;
    if (i + 1 == d->n * s->groups * s->bands * s->units)
        ask_for(&it->job.next_unit, e->soon, e->soon + e->n_soon);
    else if (left > 0)
        ask_for(&it->job.next_unit, next + (s->by_units ? floats / s->bands * band : 0),
                next + (s->by_units ? floats / s->bands * (band + 1) : floats));
    else
        ask_for(&it->job.next_unit, NULL, NULL);
}

/* An item whose rows are too short for tiles of their own. */
static void run_taps(const item *it)
{
    taps_item taps = {
        .src = it->src, .weights = it->weights, .plane = it->job.plane, .weight_tap = it->job.weight_tap[2],
        .weight_block = it->job.weight_block, .blocks = it->job.blocks, .end = it->job.end,
    };

    taps.end.dst = it->dst;
    taps.end.residual = it->residual;
    INGOT_FN(conv_taps_run)(it->d, &it->s->place, &taps, it->row0, it->row1);
}

/* Items [i0, i1). A source band is cold for its first unit, whose tiles fetch pixels ahead. */
void INGOT_FN(conv_place_run)(const ingot_conv *d, const conv_place *place, const float *packed, const float *src,
                              float *dst, const ingot_epilogue *e, int64_t i0, int64_t i1)
{
    const conv_shape s = INGOT_FN(conv_shape_of)(d, place);
    const bool by_taps = INGOT_FN(conv_taps_fit)(d);
    item it = { .d = d, .s = &s, .e = e };

    set_common(&it.job, d, &s, e);
    for (int64_t i = i0; i < i1; i++) {
        set_item(&it, packed, src, dst, i);
        if (by_taps) {
            run_taps(&it);
            continue;
        }
        it.job.cold = (s.by_units ? i / s.bands : i) % s.units == 0 || i == i0;
        run_item(&it);
    }
}

/* What run_row() does, for rows of one tap that each go to a place of their own. */
void INGOT_FN(conv_mix_rows)(const ingot_conv *d, const conv_shape *s, const float *packed, const float *src,
                             float *dst, int64_t ring, ptrdiff_t dst_row, ptrdiff_t dst_vector,
                             const ingot_epilogue *e, int64_t unit, int64_t y0, int64_t y1)
{
    const bool two = unit_width_of(s->group_oc, unit) == UNIT;
    const int64_t width = d->in[2];
    tile_job t;

    set_common(&t, d, s, e);
    set_unit(&t, d, s, e, 0, unit);
    t.weights = packed + unit * s->unit_floats;
    t.end.pixel = VF32_LANES;
    t.end.plane = BLOCK;
    t.end.vector = dst_vector;
    for (int64_t y = y0; y < y1; y++) {
        t.src = src + y * width * BLOCK;
        t.end.dst = dst + y % ring * dst_row;
        run_mixed(&t, two, width);
    }
}

/* --- mixing channels of a source that is made ready first (conv_ready.c), band by band --- */

/* The last unit to pass over a band asks for what the next one is made of: it is read at once then, when there is
 * nothing else to do. Items go on to i1, those behind them are other threads'. */
static void set_later(item *it, const float *src, int64_t i, int64_t i1)
{
    const conv_shape *s = it->s;
    const int64_t band = i / s->units + 1;
    const bool follows = band * s->units < i1 && i + 1 == band * s->units;

    it->job.later = follows ? src + band / s->bands * s->in_image + band % s->bands * s->band * BLOCK : NULL;
    it->job.later_plane = s->in_plane;
}

/* Items [i0, i1): images by bands by units, as above. */
void INGOT_FN(conv_mix_f32)(const ingot_conv *d, const ingot_prologue *first, const float *packed, const float *src,
                            float *dst, const ingot_epilogue *e, float *scratch, int64_t *held, int64_t i0, int64_t i1)
{
    const ingot_conv ready = ready_conv(d);
    conv_shape s = INGOT_FN(conv_shape_of)(&ready, NULL);
    const int64_t image = d->in[0] * d->in[1] * d->in[2] * (d->plain_src ? d->ic : BLOCK * s.ic_blocks);
    item it = { .d = &ready, .s = &s, .e = e };

    set_common(&it.job, &ready, &s, e);
    s.by_units = false;                 /* a band is made ready once */
    for (int64_t i = i0; i < i1; i++) {
        const int64_t band = i / s.units;

        set_item(&it, packed, src, dst, i);
        if (band != *held)
            INGOT_FN(conv_make_ready)(d, first, &s, scratch, src + band / s.bands * image, it.row0, it.row1);
        *held = band;
        if (first && image == s.in_image)                /* what a stride leaves lies apart */
            set_later(&it, src, i, i1);
        it.src = scratch;
        it.src_from = it.row0;
        it.job.plane = ready_plane(&s);
        run_item(&it);
    }
}
