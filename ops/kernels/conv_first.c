/* conv_first.c - f32 convolution of few input channels that lie row-major, as a network's first layer has them, into
 * blocked channels.
 *
 * A work item is a window: some output columns of some output rows of an image, as many as see no more of the source
 * than fits the first-level cache. That part of the source is copied once, with its padding. Then there are no edges
 * left: a tile is some neighbouring pixels by one or two vectors of output channels in registers, and one loop over all
 * taps of all channels, whose places in the window are listed. All units of output channels pass over the window.
 *
 * Weights are packed as conv_direct.c does, and taps are added in the same order. Rows of three taps can be done by
 * minimal filtering instead (conv_minimal.c), which has the window transformed before units pass over it. */
#include "ops/kernels/conv_first.h"
#include "ops/kernels/conv_end.h"
#include "ops/kernels/conv_minimal.h"

enum {
    WINDOW_FLOATS = 8192,               /* 32 KiB */
    MOST_TAPS = 512,                    /* of all channels: with more, weights should pass over more pixels at once */
    ENOUGH_ITEMS = 16,                  /* for a few threads to share */
};

/* How the output is cut into windows, and what of the source one of them holds: [ic][depth][height][pitch], and behind
 * it, for minimal filtering, the planes that it is transformed to, [plane][ic][depth][height][places]. */
typedef struct windows {
    int64_t columns, rows;              /* outputs of a window; those at the ends may be smaller */
    int64_t strips, bands;              /* windows along width and height */
    int64_t in_rows, pitch, places;
    int64_t taps;                       /* that a sum has: with minimal filtering, each point's */
    int64_t source, plane;              /* floats of a window's source, and of a plane */
} windows;

/* Source columns that n neighbouring outputs of an axis see. */
static int64_t seen(const ingot_conv *d, int axis, int64_t n)
{
    return (n - 1) * d->stride[axis] + (d->kernel[axis] - 1) * d->dilation[axis] + 1;
}

/* Floats of a row of the planes, in whole vectors. */
static int64_t places_of(const ingot_conv *d, int64_t columns)
{
    return d->minimal ? ceil_div(columns, VF32_LANES) * VF32_LANES : 0;
}

/* Source columns of a window's row, of n outputs: those that are read, whether used or not. */
static int64_t window_columns(const ingot_conv *d, int64_t n)
{
    return d->minimal ? places_of(d, n) + MINIMAL_OUTPUTS : seen(d, 2, n);
}

/* Floats of a window's row, so that copying may write whole vectors and one more. */
static int64_t pitch_of(const ingot_conv *d, int64_t columns)
{
    return ceil_div(window_columns(d, columns), VF32_LANES) * VF32_LANES + VF32_LANES;
}

/* Floats that a row of the source takes in a window, with all channels. */
static int64_t row_floats(const ingot_conv *d, int64_t columns)
{
    return d->ic * d->kernel[0] * (pitch_of(d, columns) + MINIMAL_PLANES * places_of(d, columns));
}

/* The most outputs along an axis that see no more than n of the source. */
static int64_t outputs_within(const ingot_conv *d, int axis, int64_t n)
{
    return max64(1, (n - seen(d, axis, 1)) / d->stride[axis] + 1);
}

/* Rows as a whole where one fits, else in strips; then as many rows as fit. Fewer, where threads would have too few
 * windows to share: of rows first, and of columns where there is a single row. */
static windows windows_of(const ingot_conv *d)
{
    const int64_t channels = d->ic * d->kernel[0], images = d->n * d->out[0];
    const int64_t width = WINDOW_FLOATS / (channels * seen(d, 1, 1)) - 2 * VF32_LANES;
    windows w = { .taps = channels * d->kernel[1] * (d->minimal ? 1 : d->kernel[2]) };

    w.strips = ceil_div(d->out[2], d->minimal ? MINIMAL_COLUMNS : outputs_within(d, 2, width));
    if (d->out[1] == 1)
        w.strips = max64(w.strips, min64(ceil_div(ENOUGH_ITEMS, images), d->out[2] / (4 * CONV_PX2)));
    w.columns = ceil_div(d->out[2], w.strips);
    if (d->minimal)                     /* whole tiles */
        w.columns = ceil_div(w.columns, MINIMAL_OUTPUTS) * MINIMAL_OUTPUTS;
    w.strips = ceil_div(d->out[2], w.columns);
    w.pitch = pitch_of(d, w.columns);
    w.places = places_of(d, w.columns);
    w.bands = max64(ceil_div(d->out[1], outputs_within(d, 1, WINDOW_FLOATS / row_floats(d, w.columns))),
                    min64(d->out[1], ceil_div(ENOUGH_ITEMS, images * w.strips)));
    w.rows = ceil_div(d->out[1], w.bands);
    w.bands = ceil_div(d->out[1], w.rows);
    w.in_rows = seen(d, 1, w.rows);
    w.source = channels * w.in_rows * w.pitch;
    w.plane = channels * w.in_rows * w.places;
    return w;
}

/* One group, few taps, and a window that holds at least a pixel's. */
bool INGOT_FN(conv_first_fits)(const ingot_conv *d)
{
    const int64_t taps = d->ic * d->kernel[0] * d->kernel[1] * d->kernel[2];

    return d->plain_src && d->groups == 1 && taps <= MOST_TAPS &&
           d->ic * d->kernel[0] * seen(d, 1, 1) * pitch_of(d, 1) <= WINDOW_FLOATS;
}

/* Three taps side by side. Taken where it saves enough of the products: measured, a tile's results cost as much as 28
 * multiply-adds with every vector of output channels, and its source as much as 50 times its share of nine rows. */
bool INGOT_FN(conv_minimal_f32)(const ingot_conv *d, bool wherever_possible)
{
    const int64_t rows = d->ic * d->kernel[0] * d->kernel[1], vectors = ceil_div(d->oc, VF32_LANES);
    const int64_t tiles = ceil_div(d->out[2], VF32_LANES) * MINIMAL_STEP;
    const int64_t cost = vectors * (MINIMAL_POINTS * rows + 28) + 50 * rows / 9;
    const bool pays = CONV_MINIMAL == 1 || (CONV_MINIMAL == 2 && wide_is_split());
    ingot_conv minimal = *d;

    minimal.minimal = true;
    if (!pays || !INGOT_FN(conv_first_fits)(d) || d->kernel[2] != 3 || d->stride[2] != 1 || d->dilation[2] != 1 ||
        seen(d, 1, 1) * row_floats(&minimal, MINIMAL_COLUMNS) > WINDOW_FLOATS)
        return false;
    return wherever_possible || tiles * cost < vectors * d->out[2] * 3 * rows;
}

/* Windows of all images and output depths. */
int64_t INGOT_FN(conv_first_items)(const ingot_conv *d)
{
    const windows w = windows_of(d);
    return d->n * d->out[0] * w.bands * w.strips;
}

/* One row of a window: n floats from column x of a source row, where those outside are zeros; NULL: all are. Vectors
 * are stored whole: what one writes past its part is written again by the next, or lies behind the row. */
INGOT_INLINE void copy_row(float *to, const float *row, int64_t x, int64_t n, int64_t width)
{
    const int64_t from = row ? min64(n, max64(0, -x)) : n, end = max64(from, min64(n, width - x));
    int64_t j = from;

    for (int64_t i = 0; i < from; i += VF32_LANES)
        vf32_store(to + i, vf32_zero());
    for (; j + VF32_LANES <= end; j += VF32_LANES)
        vf32_store(to + j, vf32_load(row + x + j));
    if (j < end) {
        vf32_store(to + j, vf32_load_n(row + x + j, (size_t)(end - j)));
        j += VF32_LANES;                                 /* zeros follow the last of the source */
    }
    for (; j < n; j += VF32_LANES)
        vf32_store(to + j, vf32_zero());
}

/* The window's part of the source, for outputs from (z, y, x) on: `rows` rows, n columns wide. */
static void fill_window(const ingot_conv *d, const windows *w, float *window, const float *image, int64_t z, int64_t y,
                        int64_t x, int64_t rows, int64_t n)
{
    const int64_t in_z = z * d->stride[0] - d->pad[0], in_y = y * d->stride[1] - d->pad[1];
    const int64_t in_x = x * d->stride[2] - d->pad[2];

    for (int64_t c = 0; c < d->ic; c++, image += d->in[0] * d->in[1] * d->in[2])
        for (int64_t tz = 0; tz < d->kernel[0]; tz++, window += w->in_rows * w->pitch)
            for (int64_t r = 0; r < rows; r++) {
                const int64_t iz = in_z + tz * d->dilation[0], iy = in_y + r;
                const bool inside = iz >= 0 && iz < d->in[0] && iy >= 0 && iy < d->in[1];
                copy_row(window + r * w->pitch, inside ? image + (iz * d->in[1] + iy) * d->in[2] : NULL, in_x, n,
                         d->in[2]);
            }
}

/* The planes of a window's source, `rows` of each channel. */
static void fill_planes(const ingot_conv *d, const windows *w, float *window, int64_t rows)
{
    const float *from = window;
    float *to = window + w->source;

    for (int64_t c = 0; c < d->ic * d->kernel[0]; c++, from += w->in_rows * w->pitch, to += w->in_rows * w->places)
        INGOT_FN(minimal_source)(to, w->plane, w->places, from, w->pitch, rows);
}

/* Where each tap of each channel is in a window, from the first pixel's first one on. */
static void list_taps(const ingot_conv *d, const windows *w, int32_t *at)
{
    const int64_t pitch = d->minimal ? w->places : w->pitch, columns = d->minimal ? 1 : d->kernel[2];

    for (int64_t plane = 0; plane < d->ic * d->kernel[0]; plane++)
        for (int64_t y = 0; y < d->kernel[1]; y++)
            for (int64_t x = 0; x < columns; x++)
                *at++ = (int32_t)((plane * w->in_rows + y * d->dilation[1]) * pitch + x * d->dilation[2]);
}

/* A tile's work. */
typedef struct first_tile {
    const float *src, *weights;         /* src: the first pixel's first tap, in the window */
    const int32_t *at;
    int64_t taps;
    ptrdiff_t pixel;
    tile_end end;
} first_tile;

/* Hard Swish ends tiles of one large vector on registers, as the first layers of mobile networks have it. */
INGOT_INLINE bool swish_ends(int px, int nv) { return VECTOR_BLOCKS > 1 && nv == 1 && px == CONV_PX1; }

/* Does an activation end the tiles? Swish, too, where its vectors share divisions. Others follow over whole rows. */
static bool ends_tiles(const ingot_conv *d, const ingot_epilogue *e)
{
    const bool hard = e->act == INGOT_ACT_HARD_SWISH && swish_ends(CONV_PX1, unit_width_of(d->oc, 0) / VF32_LANES);
    return !d->minimal && (hard || (SILUS > 1 && e->act == INGOT_ACT_SILU));
}

/* px pixels by nv vectors over all taps. */
INGOT_INLINE void tile(const first_tile *t, int px, int nv)
{
    const float *w = t->weights;
    const ptrdiff_t pixel = t->pixel;
    vf32 acc[MAX_PIXELS][2];

    start(&t->end, acc, px, nv);
    for (int64_t i = 0; i < t->taps; i++, w += nv * VF32_LANES) {
        const float *src = t->src + t->at[i];
        if (VECTOR_BLOCKS > 1 && px == MAX_PIXELS && pixel == 2)   /* known distances are part of addresses */
            accumulate(acc, src, src, src + (px - 1) * 2, 2, w, 1, px, nv);
        else
            accumulate(acc, src, src, src + (px - 1) * pixel, pixel, w, 1, px, nv);
    }
    finish(&t->end, acc, px, nv, false, swish_ends(px, nv));
}

/* n neighbouring tiles: each begins while the last sums of the one before are under way. */
INGOT_INLINE void tiles(first_tile *t, int64_t n, int px, int nv)
{
    for (; n > 0; n--) {
        tile(t, px, nv);
        t->src += px * t->pixel;
        t->end.dst += px * BLOCK;
        t->end.residual = t->end.residual ? t->end.residual + px * BLOCK : NULL;
    }
}

#define TILE_ONE(px) tiles(t, n, px, 1)
#define TILE_TWO(px) tiles(t, n, px, 2)

/* A pixel, or an even number of them: half the code, and rows of odd widths are rare. */
#define EVEN_CASES(most, tile) \
    PIXEL_CASE(1, most, tile) PIXEL_CASE(2, most, tile) PIXEL_CASE(4, most, tile) PIXEL_CASE(6, most, tile) \
    PIXEL_CASE(8, most, tile) PIXEL_CASE(10, most, tile) PIXEL_CASE(12, most, tile) PIXEL_CASE(14, most, tile)

static void tile_one(first_tile *t, int64_t n, int px)
{
    switch (px) { EVEN_CASES(CONV_PX1, TILE_ONE) }
}

/* Tiles of the most pixels by two vectors, for a stride of 2, where of the last vector the first block alone matters
 * and half a vector costs half as much. */
static __attribute__((noinline)) INGOT_ONE_REGION void tiles_short(first_tile *t, int64_t n)
{
    enum { PX = CONV_HELD, STRIDE = 2 };

    for (; n > 0; n--, t->src += PX * STRIDE, t->end.dst += PX * BLOCK) {
        const float *w = t->weights;
        vf32 acc[MAX_PIXELS][2];

        start(&t->end, acc, PX, 2);
        for (int64_t i = 0; i < t->taps; i++, w += UNIT) {
            const float *src = t->src + t->at[i];
            const vf32 wv[2] = { vf32_load(w), vf32_load(w + VF32_LANES) };

            INGOT_UNROLL
            for (int p = 0; p < PX; p++)
                vf32_acc_row_short(acc[p], src + p * STRIDE, wv, 2);
        }
        finish_few(&t->end, acc, PX, 2);
    }
}

/* Do they serve these? */
INGOT_INLINE bool is_short(const first_tile *t, int px)
{
    return px == CONV_HELD && t->pixel == 2 && !t->end.residual && unit_ends_short(t->end.channels, 0);
}

static void tile_two(first_tile *t, int64_t n, int px)
{
    if (is_short(t, px)) {
        tiles_short(t, n);
        return;
    }
    switch (px) { EVEN_CASES(CONV_HELD, TILE_TWO) }
}

/* Pixels of the next tile of a row that has `left`, in tiles of nearly equal, even width; a last odd one is alone. */
INGOT_INLINE int next_pixels(int64_t left, int64_t most)
{
    const int64_t equal = ceil_div(left, ceil_div(left, most));
    return left == 1 ? 1 : (int)(min64(left, equal + equal % 2) / 2 * 2);
}

/* n neighbouring tiles of px pixels. */
typedef struct tile_run { int64_t n; int px; } tile_run;

enum { MOST_RUNS = 4 };

/* How a row is cut into tiles: in wide ones, and where its width is even, the last two are of nearly equal width. */
static int cut_row(int64_t columns, int64_t most, tile_run *runs)
{
    const int width = next_pixels(columns, most);
    int n_runs = 0;

    for (int64_t left = columns; left > 0; n_runs++) {
        const int64_t n = left % 2 ? left / width : left / width - 1;
        runs[n_runs] = n > 0 ? (tile_run){ n, width } : (tile_run){ 1, next_pixels(left, most) };
        left -= runs[n_runs].n * runs[n_runs].px;
    }
    return n_runs;
}

/* Neighbouring tiles of a row. */
INGOT_INLINE void run_tiles(first_tile *t, const tile_run *runs, int n_runs, bool two, beside *b)
{
    for (int i = 0; i < n_runs; i++) {
        if (two)
            tile_two(t, runs[i].n, runs[i].px);
        else
            tile_one(t, runs[i].n, runs[i].px);
        fetch_ahead(&b->soon, b->groups * (int)runs[i].n);
    }
}

/* One unit of output channels of a window: `rows` rows of `columns` pixels each, whose first is pixel `at` of dst's
 * planes. An activation that tiles do not end with follows row by row. */
static void run_unit(const ingot_conv *d, const windows *w, first_tile *t, const float *window, float *dst,
                     const float *residual, const ingot_epilogue *act, int64_t at, int64_t rows, int64_t columns,
                     bool two, beside *b)
{
    const int64_t blocks = ceil_div(t->end.channels, BLOCK), pitch = d->minimal ? w->places : w->pitch;
    tile_run runs[MOST_RUNS];
    const int n_runs = d->minimal ? 0 : cut_row(columns, two ? CONV_HELD : CONV_PX1, runs);   /* divides a lot */
    const minimal_unit minimal = { t->weights, t->at, t->taps, columns, w->plane, &t->end, two ? 2 : 1, b };

    for (int64_t y = 0; y < rows; y++) {
        const int64_t row = (at + y * d->out[2]) * BLOCK;
        const float *src = window + y * d->stride[1] * pitch;

        if (d->minimal) {
            INGOT_FN(minimal_run)(&minimal, src, dst + row, residual ? residual + row : NULL);
        } else {
            t->src = src;
            t->end.dst = dst + row;
            t->end.residual = residual ? residual + row : NULL;
            run_tiles(t, runs, n_runs, two, b);
        }
        if (act)
            INGOT_FN(act_planes_f32)(dst + row, t->end.plane, blocks, columns * BLOCK, act);
    }
}

/* Where a window is among the outputs of an image, and where its results go: to the pixel `at` of planes of `pixels`
 * each, of dst and residual, which are the image's. */
typedef struct window_place {
    int64_t z, y, x, rows, columns;
    float *dst;
    const float *residual;
    int64_t pixels, at;
} window_place;

/* One window: copied, and passed over by all units. */
static void run_window(const ingot_conv *d, const windows *w, const int32_t *taps, float *window, const float *packed,
                       const float *image, const window_place *p, const ingot_epilogue *e, beside *b)
{
    const int64_t rows = seen(d, 1, p->rows), taps_packed = w->taps * (d->minimal ? MINIMAL_POINTS : 1);
    const bool in_tiles = ends_tiles(d, e);
    const ingot_epilogue *const after = act_follows(e) && !in_tiles ? e : NULL;

    fill_window(d, w, window, image, p->z, p->y, p->x, rows, window_columns(d, p->columns));
    if (d->minimal)
        fill_planes(d, w, window, rows);
    for (int64_t unit = 0; unit * UNIT < d->oc; unit++) {
        const int width = unit_width_of(d->oc, unit);
        const int64_t to = unit * UNIT * p->pixels;
        first_tile t = {
            .weights = packed + unit * UNIT * taps_packed, .at = taps, .taps = w->taps, .pixel = d->stride[2],
            .end = end_of(e, unit * UNIT, (int)min64(width, d->oc - unit * UNIT)),
        };

        t.end.pixel = BLOCK;
        t.end.plane = p->pixels * BLOCK;
        t.end.vector = VECTOR_BLOCKS * t.end.plane;
        t.end.act = in_tiles ? e : NULL;
        run_unit(d, w, &t, d->minimal ? window + w->source : window, p->dst + to,
                 p->residual ? p->residual + to : NULL, after, p->at, p->rows, p->columns, width == UNIT, b);
    }
}

/* Windows [i0, i1). */
void INGOT_FN(conv_first_run)(const ingot_conv *d, const float *packed, const float *src, float *dst,
                              const ingot_epilogue *e, int64_t i0, int64_t i1)
{
    const windows w = windows_of(d);
    const int64_t in_image = d->ic * d->in[0] * d->in[1] * d->in[2], pixels = d->out[0] * d->out[1] * d->out[2];
    const int64_t out_image = ceil_div(d->oc, BLOCK) * pixels * BLOCK;
    int32_t taps[MOST_TAPS];
    _Alignas(64) float window[WINDOW_FLOATS];

    list_taps(d, &w, taps);
    for (int64_t i = i0; i < i1; i++) {
        /* the window: image, depth, band of rows, strip of columns */
        const int64_t strip = i % w.strips, band = i / w.strips % w.bands, z = i / w.strips / w.bands % d->out[0];
        const int64_t image = i / w.strips / w.bands / d->out[0], x = strip * w.columns, y = band * w.rows;
        const window_place p = {
            .z = z, .y = y, .x = x, .rows = min64(w.rows, d->out[1] - y), .columns = min64(w.columns, d->out[2] - x),
            .dst = dst + image * out_image, .residual = e->residual ? e->residual + image * out_image : NULL,
            .pixels = pixels, .at = (z * d->out[1] + y) * d->out[2] + x,
        };

        run_window(d, &w, taps, window, packed, src + image * in_image, &p, e, &(beside){ .groups = 0 });
    }
}

/* Of images without depth whose rows fit a window; minimal filtering has narrower ones in any case. */
int64_t INGOT_FN(conv_band_floats_f32)(const ingot_conv *d, int64_t rows)
{
    if (!INGOT_FN(conv_first_fits)(d) || d->out[0] != 1 || (!d->minimal && windows_of(d).strips != 1))
        return 0;
    return ceil_div(d->oc, BLOCK) * BLOCK * rows * d->out[2];
}

void INGOT_FN(conv_band_f32)(const ingot_conv *d, const float *packed, const float *src, float *dst, int64_t plane,
                             const ingot_epilogue *e, int64_t y0, int64_t y1)
{
    const windows w = windows_of(d);
    const int64_t of_row = d->minimal ? MINIMAL_POINTS * ceil_div(w.columns, MINIMAL_OUTPUTS * MINIMAL_TILES) * w.strips
                                      : ceil_div(d->out[2], CONV_PX2);
    const int64_t tiles = ceil_div(d->oc, UNIT) * (y1 - y0) * of_row;
    beside b = { .soon = { e->soon, e->soon + e->n_soon },
                 .groups = (int)ceil_div(e->n_soon, tiles * LINES * LINE_FLOATS) };
    int32_t taps[MOST_TAPS];
    _Alignas(64) float window[WINDOW_FLOATS];

    list_taps(d, &w, taps);
    for (int64_t y = y0; y < y1; y += w.rows)
        for (int64_t x = 0; x < d->out[2]; x += w.columns) {
            const window_place p = { .y = y, .x = x, .rows = min64(w.rows, y1 - y),
                                     .columns = min64(w.columns, d->out[2] - x), .dst = dst,
                                     .pixels = plane / BLOCK, .at = (y - y0) * d->out[2] + x };

            run_window(d, &w, taps, window, packed, src, &p, e, &b);
        }
}
