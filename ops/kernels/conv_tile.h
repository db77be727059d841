/* conv_tile.h - the heart of the convolutions: some pixels by one or two vectors of output channels, in registers. */
#ifndef INGOT_OPS_KERNELS_CONV_TILE_H
#define INGOT_OPS_KERNELS_CONV_TILE_H

#include "ops/kernels/isa.h"

enum {
    BLOCK = 8,                          /* channels of a block */
    VECTOR_BLOCKS = VF32_LANES / BLOCK,
    UNIT = 2 * VF32_LANES,              /* output channels of a whole unit of packed weights */
    MAX_PIXELS = 14,
    HALF = CONV_PX2 / 2,                /* pixels of a row of which a tile takes two */
    FETCHES = VF32_LANES > 8,           /* tiles ask for what they read next; with 8 lanes there is no room for it */
};

/* gcc gives registers to a whole function rather than to each loop of it: else it moves sums between registers in the
 * innermost one. */
#if defined __GNUC__ && !defined __clang__
#define INGOT_ONE_REGION __attribute__((optimize("ira-region=one")))
#else
#define INGOT_ONE_REGION
#endif

/* The vectors of a unit: the last unit of a convolution may have one where the others have two. */
INGOT_INLINE int unit_width_of(int64_t channels, int64_t unit)
{
    return channels - unit * UNIT <= VF32_LANES ? VF32_LANES : UNIT;
}

/* Has the last vector of a unit one block alone, where half of one costs half as much? */
INGOT_INLINE bool unit_ends_short(int64_t channels, int64_t unit)
{
    return channels - unit * UNIT <= unit_width_of(channels, unit) - VF32_LANES + BLOCK && wide_is_split();
}

/* The most pixels that tiles of two vectors take: as many as there are sums in registers, though one vector of weights
 * may be read with every pixel then. Processors with units of half a vector's width read too little for that. */
INGOT_INLINE int widest_tile(void) { return ingot_wide_is_split() ? CONV_HELD : CONV_PX2; }

/* The same of n side by side: where there are many, tiles with both vectors of weights in registers. */
INGOT_INLINE int most_pixels(int64_t n) { return n > 7 * CONV_PX2 ? CONV_HELD : widest_tile(); }

/* Weights that are needed soon, fetched bit by bit while others are used. */
typedef struct ahead {
    const float *next, *end;            /* nothing when they meet */
    bool near;                          /* into the first level, where what is asked for the second comes no sooner */
} ahead;

enum {
    LINE_FLOATS = 16,
    LINES = VF32_LANES > 8 ? 4 : 2,     /* of a group that is asked for at a time: more keep those at hand waiting */
    TRICKLE_LINES = 4,
};

INGOT_INLINE void ask_for(ahead *a, const float *first, const float *end)
{
    a->next = first;
    a->end = end;
}

/* Ask for a few groups of cache lines. */
INGOT_INLINE void fetch_ahead(ahead *a, int groups)
{
    for (; groups > 0 && a->next < a->end; groups--) {
        INGOT_UNROLL
        for (int i = 0; i < LINES; i++) {
            if (a->near)
                __builtin_prefetch(a->next + i * LINE_FLOATS, 0, 3);
            else
                __builtin_prefetch(a->next + i * LINE_FLOATS, 0, 2);
        }
        a->next += LINES * LINE_FLOATS;
    }
}

/* The same bit by bit, as the channels of a block pass: many lines from afar at once keep those at hand waiting. Costs
 * a load with every channel. Asked for is `next` with the first one, and `step` floats on with each that follows. */
typedef struct trickle {
    const float *next;
    ptrdiff_t step;
} trickle;

/* The next few groups for a block's channels; `near`, where there is nothing left. */
INGOT_INLINE trickle take_ahead(ahead *a, int groups, const float *near)
{
    const bool more = a->next < a->end;
    const trickle t = { more ? a->next : near, more ? groups * (TRICKLE_LINES * LINE_FLOATS / BLOCK) : 0 };

    a->next += t.step * BLOCK;
    return t;
}

/* Ask for the px pixels of a source that come after those in use: their rows lie in many pages. */
INGOT_INLINE void fetch_next(const float *src, ptrdiff_t pixel, int px)
{
    INGOT_UNROLL
    for (int p = 0; FETCHES && p < px; p += 2)
        __builtin_prefetch(src + p * pixel, 0, 3);
}

/* px pixels, `pixel` floats apart, by nv vectors, over neighbouring input channels. The first and the last pixel have
 * pointers of their own. Fetches soon.next, unless it is NULL. */
INGOT_INLINE void accumulate_fetching(vf32 acc[MAX_PIXELS][2], const float *src, const float *first, const float *last,
                                      ptrdiff_t pixel, const float *w, int64_t channels, int px, int nv, trickle soon)
{
    const int held = nv == 2 && px > CONV_HELD ? 1 : nv;

    CONV_UNROLL
    for (int64_t c = 0; c < channels; c++) {
        vf32 wv[2];
        if (soon.next) {
            __builtin_prefetch(soon.next, 0, 2);
            soon.next += soon.step;
        }
        INGOT_UNROLL
        for (int v = 0; v < held; v++)
            wv[v] = vf32_load(w + v * VF32_LANES);
        INGOT_UNROLL
        for (int v = 0; FETCHES && v < nv; v++)
            __builtin_prefetch(w + (BLOCK * nv + v) * VF32_LANES, 0, 3);
        INGOT_UNROLL
        for (int p = 0; p < px; p++) {
            const float *at = p == 0 ? first + c : p == px - 1 ? last + c : src + p * pixel;
            if (held < nv)
                vf32_acc_row_reading(acc[p], at, wv[0], w + VF32_LANES);
            else
                vf32_acc_row(acc[p], at, wv, nv, p);
        }
        src++;
        w += nv * VF32_LANES;
    }
}

/* The same where nothing is fetched. */
INGOT_INLINE void accumulate(vf32 acc[MAX_PIXELS][2], const float *src, const float *first, const float *last,
                             ptrdiff_t pixel, const float *w, int64_t channels, int px, int nv)
{
    accumulate_fetching(acc, src, first, last, pixel, w, channels, px, nv, (trickle){ NULL, 0 });
}

/* The same for pixels side by side, where of the last vector the first block alone matters. */
INGOT_INLINE void accumulate_short(vf32 acc[MAX_PIXELS][2], const float *src, const float *w, int64_t channels, int px,
                                   int nv)
{
    INGOT_ROLLED
    for (int64_t c = 0; c < channels; c++, src++, w += nv * VF32_LANES) {
        vf32 wv[2];
        INGOT_UNROLL
        for (int v = 0; v < nv; v++) {
            wv[v] = vf32_load(w + v * VF32_LANES);
            __builtin_prefetch(w + (BLOCK * nv + v) * VF32_LANES, 0, 3);
        }
        INGOT_UNROLL
        for (int p = 0; p < px; p++)
            vf32_acc_row_short(acc[p], src + p * BLOCK, wv, nv);
    }
}

/* Two rows of HALF pixels by two vectors over the channels of a block, whose ends have pointers of their own. */
INGOT_INLINE void accumulate_rows(vf32 acc[MAX_PIXELS][2], const float *src, ptrdiff_t jump, const float *first[2],
                                  const float *last[2], ptrdiff_t pixel, const float *w)
{
    CONV_UNROLL
    for (int64_t c = 0; c < BLOCK; c++, src++, w += UNIT) {
        const vf32 wv[2] = { vf32_load(w), vf32_load(w + VF32_LANES) };
        const float *rows[2] = { src, src + jump };

        __builtin_prefetch(w + BLOCK * UNIT, 0, 3);
        __builtin_prefetch(w + BLOCK * UNIT + VF32_LANES, 0, 3);
        INGOT_UNROLL
        for (int p = 0; p < 2 * HALF; p++) {
            const int row = p / HALF, x = p % HALF;
            const float *at = x == 0 ? first[row] + c : x == HALF - 1 ? last[row] + c : rows[row] + x * pixel;
            vf32_acc_row(acc[p], at, wv, 2, p);
        }
    }
}

/* px pixels of one row, or of two `jump` apart, by one vector, over three neighbouring taps and the channels of a
 * block: a source pixel is read once for all taps that meet it. Outputs are `stride` pixels apart; the first and the
 * last source pixel of each row have pointers of their own. */
INGOT_INLINE void accumulate_triples(vf32 acc[MAX_PIXELS][2], const float *src, ptrdiff_t jump, const float *first[2],
                                     const float *last[2], int stride, const float *w, int px, int rows)
{
    enum { TAPS = 3, STEP = BLOCK * VF32_LANES };
    const int inputs = (px - 1) * stride + TAPS;

    for (int64_t c = 0; c < BLOCK; c++, src++, w += VF32_LANES) {
        vf32 wv[TAPS];
        INGOT_UNROLL
        for (int x = 0; x < TAPS; x++) {
            wv[x] = vf32_load(w + x * STEP);
            __builtin_prefetch(w + (TAPS + x) * STEP, 0, 3);
        }
        INGOT_UNROLL
        for (int i = 0; i < rows * inputs; i++) {
            const int row = i / inputs, at = i % inputs;
            const vf32 pixel = vf32_set1(at == 0            ? first[row][c]
                                         : at == inputs - 1 ? last[row][c]
                                                            : src[row * jump + at * BLOCK]);
            INGOT_UNROLL
            for (int x = 0; x < TAPS; x++)
                if (at >= x && (at - x) % stride == 0 && (at - x) / stride < px) {
                    const int p = row * px + (at - x) / stride;
                    acc[p][0] = vf32_acc(acc[p][0], pixel, wv[x]);
                }
        }
    }
}

/* A case for each number of pixels: of each, the compiler makes one straight-line tile, and drops those above `most`.
 */
#define PIXEL_CASE(px, most, tile) \
    case px: \
        if (px <= most) \
            tile(px); \
        break;
#define PIXEL_CASES(most, tile) \
    PIXEL_CASE(1, most, tile) PIXEL_CASE(2, most, tile) PIXEL_CASE(3, most, tile) PIXEL_CASE(4, most, tile) \
    PIXEL_CASE(5, most, tile) PIXEL_CASE(6, most, tile) PIXEL_CASE(7, most, tile) PIXEL_CASE(8, most, tile) \
    PIXEL_CASE(9, most, tile) PIXEL_CASE(10, most, tile) PIXEL_CASE(11, most, tile) PIXEL_CASE(12, most, tile) \
    PIXEL_CASE(13, most, tile) PIXEL_CASE(14, most, tile)

#endif
