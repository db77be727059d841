/* winograd.c - 3x3 and 2x2 convolution of stride 1 by minimal filtering: F(m x m, 3 x 3) for m = 2 and 4, and
 * F(2 x 2, 2 x 2), which phases of transposed convolutions are done by; and 3x3 of stride 2. m = 1 stands for tiles of
 * 1 x 2, see winograd_rows.c.
 *
 * With r taps, both the source patch of a tile and the filter are evaluated at m + r - 1 points along each axis;
 * products at the points, summed over input channels, are interpolated to the m x m outputs. With points p_i (the last
 * at infinity) and M(x) = prod (x - p_i):
 *   source  B'[i] = coefficients of M(x) / (x - p_i); at infinity those of M
 *   filter  G[i]  = p_i^k / prod_{l != i} (p_i - p_l), k = 0..r-1; at infinity 0 0 1
 *   output  A'[j][i] = p_i^j; at infinity only the highest power counts
 * m = 2 takes 0, 1, and for three taps -1; m = 4 takes 0, +-1/sqrt 2, +-sqrt 2, which lose half as many bits as 0,
 * +-1, +-2. Filters are transformed in double.
 *
 * With a stride of 2 the outer two of three taps meet source pixels of one parity, the middle one those of the other.
 * Along an axis the outer ones are F(2, 2), three points, and the middle one takes a product for each of two results:
 * 25 products instead of 36 for 2 x 2 results. The last two points have one filter, so that there are 16 to be packed.
 *
 * With a dilation of D the outputs that are D apart along both axes, a phase, meet only pixels that are D apart: each
 * of the D x D phases is an image of its own, whose tiles have their pixels at these steps.
 *
 * A block of tiles (of one image or several) is transformed for all input channels into scratch memory, V[point][ic
 * block][tile][8]. For each unit of output channels the products go to M[point][tile][UNIT], still in the second-level
 * cache, and from there through the inverse transform to dst. Work items are (block of tiles, unit), the unit running
 * fastest, and a block is transformed once for all of its items that follow each other on one scratch memory.
 *
 * Source: A. Lavin and S. Gray, "Fast Algorithms for Convolutional Neural Networks", 2015. */
#include "ops/kernels/epilogue.h"
#include "ops/kernels/pixel_product.h"
#include "ops/kernels/winograd.h"

enum {
    MAX_POINTS = 6,
    MAX_M = 4,
    V_BYTES = 384 * 1024,               /* of a block's transformed source */
    FILTER_BYTES = 640 * 1024,          /* of filters that stay in the second-level cache */
    MANY_BYTES = 4096 * 1024,           /* of filters that should pass by few times: */
    LARGE_V_BYTES = (VF32_LANES > 8 ? 960 : 384) * 1024,    /* a block is larger then, where caches are */
    LEAST_TILES = 28, MOST_TILES = 64,  /* of a block, unless there are fewer */
    SHARED_BLOCKS = 4, SHARED_TILES = 8, /* blocks and their tiles, where units are too few for threads to share */
    LINE = 16,                          /* floats; keeps the points out of each other's cache sets */
};

#define SQRT2 1.41421356237309504880

/* What follows from a convolution's numbers and m. */
typedef struct wino_shape {
    int m, points, filters;             /* along an axis; the last of the filters is that of all points left */
    int64_t dilation;
    int64_t tiles_y, tiles_x, tiles;    /* of a phase of an image; of all images */
    int64_t block, blocks;              /* tiles of a block, and blocks */
    int64_t ic_blocks, units;
    int64_t v_block, v_point, m_point;  /* floats from one channel block, or point, to the next */
    int64_t in_plane, out_plane;
} wino_shape;

/* Points along an axis, and filters, which are fewer with a stride of 2. */
static int filters_of(const ingot_conv *d, int m) { return m + (int)d->kernel[1] - 1; }
static int points_of(const ingot_conv *d, int m) { return filters_of(d, m) + (d->stride[1] == 2); }

/* Blocks that all tiles are cut into. A small layer, whose filters are in cache anyway, has enough of them to share. */
static int64_t choose_blocks(const wino_shape *s, int64_t ic)
{
    const int64_t tile_bytes = (int64_t)sizeof(float) * s->points * s->points * ic;
    const int64_t filters = (int64_t)sizeof(float) * s->filters * s->filters * ic * s->units * UNIT;
    const int64_t v_bytes = filters >= MANY_BYTES ? LARGE_V_BYTES : V_BYTES;
    const int64_t most = max64(LEAST_TILES, min64(MOST_TILES, v_bytes / tile_bytes)), least = ceil_div(s->tiles, most);

    if (s->units >= SHARED_BLOCKS || filters > FILTER_BYTES)
        return least;
    /* two taps: there are three other phases to share */
    const int64_t wanted = s->points == 3 ? SHARED_BLOCKS / 2 : SHARED_BLOCKS;
    const int64_t shared = max64(least, min64(ceil_div(wanted, s->units), s->tiles / SHARED_TILES));
    return s->units % 2 && shared % 2 && shared > 1 ? shared + 1 : shared;
}

/* Blocks are made nearly equal after their number is chosen. V's channel blocks hold whole vectors of tiles, and a
 * LINE keeps the points apart in cache sets. */
static wino_shape wino_shape_of(const ingot_conv *d, int m)
{
    wino_shape s = { .m = m, .points = points_of(d, m), .filters = filters_of(d, m),
                     .dilation = d->dilation[1], .in_plane = d->in[1] * d->in[2] * BLOCK,
                     .out_plane = d->out[1] * d->out[2] * BLOCK };

    s.tiles_y = ceil_div(d->out[1], m * s.dilation);
    s.tiles_x = ceil_div(d->out[2], m * s.dilation);
    s.tiles = d->n * s.dilation * s.dilation * s.tiles_y * s.tiles_x;
    s.units = ceil_div(d->oc, UNIT);
    s.blocks = choose_blocks(&s, ceil_div(d->ic, BLOCK) * BLOCK);
    s.block = s.blocks ? ceil_div(s.tiles, s.blocks) : 0;
    s.blocks = s.block ? ceil_div(s.tiles, s.block) : 0;
    s.ic_blocks = ceil_div(d->ic, BLOCK);
    s.v_block = ceil_div(s.block, VECTOR_BLOCKS) * VECTOR_BLOCKS * BLOCK;
    s.v_point = s.ic_blocks * s.v_block + LINE;
    s.m_point = s.block * UNIT + LINE;
    return s;
}

/* Floats of the transformed filters: whole vectors of output channels by whole blocks of input channels, at all
 * points. */
int64_t INGOT_FN(winograd_packed_f32)(const ingot_conv *d, int m)
{
    if (m == 1)
        return INGOT_FN(winograd_rows_packed)(d);
    return ceil_div(d->oc, VF32_LANES) * VF32_LANES * ceil_div(d->ic, BLOCK) * BLOCK * filters_of(d, m) *
           filters_of(d, m);
}

/* Floats of scratch memory for one thread: V and M of one block of tiles. */
int64_t INGOT_FN(winograd_scratch_f32)(const ingot_conv *d, int m)
{
    if (m == 1)
        return INGOT_FN(winograd_rows_scratch)(d);

    const wino_shape s = wino_shape_of(d, m);
    return s.points * s.points * (s.v_point + s.m_point);
}

/* Work items: blocks of tiles by units of output channels. */
int64_t INGOT_FN(winograd_items_f32)(const ingot_conv *d, int m)
{
    if (m == 1)
        return INGOT_FN(winograd_rows_items)(d);

    const wino_shape s = wino_shape_of(d, m);
    return s.blocks * s.units;
}

/* Could this convolution be done here at all? */
static bool suits(const ingot_conv *d)
{
    bool fits =
        d->groups == 1 && !d->plain_src && d->kernel[0] == 1 && d->pad[0] == 0 && d->in[0] == 1 && d->out[0] == 1;

    for (int i = 1; i < 3; i++)
        fits &= d->kernel[i] == d->kernel[1] && d->stride[i] == d->stride[1] && d->dilation[i] == d->dilation[1];
    if (d->dilation[1] > 1)             /* no more phases than outputs */
        return fits && d->stride[1] == 1 && d->kernel[1] == 3 && d->dilation[1] <= min64(d->out[1], d->out[2]);
    return fits && ((d->stride[1] <= 2 && d->kernel[1] == 3) || (d->stride[1] == 1 && d->kernel[1] == 2));
}

/* How many outputs along an axis there are for each tap that lies inside of the source, all taps together. */
static double inner_taps(const ingot_conv *d, int axis)
{
    int64_t n = 0;

    for (int64_t t = 0; t < d->kernel[axis]; t++) {
        const int64_t at = t * d->dilation[axis] - d->pad[axis], stride = d->stride[axis];
        n += max64(0, min64(d->out[axis], ceil_div(d->in[axis] - at, stride)) - max64(0, ceil_div(-at, stride)));
    }
    return (double)n;
}

/* Cycles until `bytes` of weights have come `times` times. Measured with a network around: what does not fit the second
 * level comes at some 12 bytes a cycle, and many megabytes, which other layers have driven out, at 5 the first time. */
static double streaming(double bytes, double times)
{
    enum { L2_BYTES = 512 * 1024, COLD_BYTES = 2048 * 1024 };

    if (bytes <= L2_BYTES)
        return 0;
    return bytes / (bytes > COLD_BYTES ? 5 : 12) + bytes / 12 * (times - 1);
}

/* Estimated cycles: the slower of multiplying and fetching weights, and the transforms, measured per vector. m = 0 is
 * the direct way. */
static double cycles(const ingot_conv *d, int m)
{
    const double ic = (double)(ceil_div(d->ic, BLOCK) * BLOCK), oc = (double)(ceil_div(d->oc, VF32_LANES) * VF32_LANES);
    const double per_cycle = (wide_is_split() ? 0.9 : 1.8) * VF32_LANES;
    const wino_shape s = wino_shape_of(d, m > 1 ? m : 2);
    const double tiles = (double)(m == 1 ? d->n * d->out[1] * s.tiles_x : s.tiles);
    const double taps = (double)(d->kernel[1] * d->kernel[2]), points = m > 1 ? s.points * s.points : 12;
    const double pixels = (double)(d->n * d->out[1] * d->out[2]);
    /* taps of the direct way, which leaves out those outside where that is more than an edge */
    const double direct = s.dilation > 1 ? (double)d->n * inner_taps(d, 1) * inner_taps(d, 2) : pixels * taps;
    /* multiply-adds at 90 % of two a cycle (one where vectors are split), which narrow tiles do not reach with a
     * stride, the weights' way from memory, and the transforms */
    const double slower = !m && d->stride[1] == 2 && VF32_LANES == 8 ? 1.2 : 1;
    const double products = (m ? tiles * points : direct) * ic * oc / per_cycle * slower;
    const double packed = m > 1 ? s.filters * s.filters : m ? points : taps;
    const double blocks = (double)(m > 1 ? s.blocks : m ? INGOT_FN(winograd_rows_items)(d) / s.units : 1);
    const double weights = streaming(packed * ic * oc * sizeof(float), blocks);
    const double source = s.dilation > 1 ? 5 : 3;       /* patches are copied first */
    const double transforms = m ? tiles * points * (ic * source + oc * 4) / VF32_LANES : 0;

    return (products > weights ? products : weights) + transforms;
}

/* m (2, 4 or 1) by estimated cycles, or 0 where this would not be five percent (with a stride, eight) faster than the
 * direct way, or cannot be done; wherever_possible leaves out the comparison. */
int INGOT_FN(winograd_choose_f32)(const ingot_conv *d, bool wherever_possible)
{
    if (!suits(d))
        return 0;

    static const int tiles[] = { 2, 4, 1 };
    /* with a dilation there are no rows of neighbours; others have tiles of 2 x 2 alone */
    const int n = d->dilation[1] > 1 ? 2 : d->kernel[1] == 3 && d->stride[1] == 1 ? 3 : 1;
    int m = tiles[0];
    double best = cycles(d, m);

    for (int i = 1; i < n; i++) {
        const double other = cycles(d, tiles[i]);
        if (other < best) {
            best = other;
            m = tiles[i];
        }
    }
    return wherever_possible || best < (d->stride[1] == 2 ? 0.92 : 0.95) * cycles(d, 0) ? m : 0;
}

/* G: filter to points. */
static void filter_matrix(int m, int points, int stride, double g[MAX_POINTS][3])
{
    static const double two[] = { 0, 1, -1 }, four[] = { 0, SQRT2 / 2, -SQRT2 / 2, SQRT2, -SQRT2 };
    static const double strided[4][3] = { { -1, 0, 0 }, { 1, 0, 1 }, { 0, 0, 1 }, { 0, 1, 0 } };
    const double *p = m == 2 ? two : four;
    const int finite = points - 1;

    if (stride == 2) {
        memcpy(g, strided, sizeof strided);
        return;
    }
    for (int i = 0; i < finite; i++) {
        double divisor = 1;
        for (int l = 0; l < finite; l++)
            divisor *= l == i ? 1 : p[i] - p[l];
        g[i][0] = 1 / divisor;
        g[i][1] = p[i] / divisor;
        g[i][2] = p[i] * p[i] / divisor;
    }
    for (int k = 0; k < 3; k++)
        g[finite][k] = k == points - m;
}

/* Filters [y * 3 + x] of a unit's output channels, side by side so that the loops over them become vectors. Taps that
 * do not exist are zero. */
typedef struct filters { double at[9][UNIT]; } filters;

/* Input channel ic of the filters of a unit; zeros past the last channels of either side. */
static void load_filters(filters *f, const ingot_conv *d, const conv_weights *w, int64_t oc, int64_t ic)
{
    memset(f, 0, sizeof *f);
    for (int64_t o = 0; o < UNIT && oc + o < d->oc && ic < d->ic; o++)
        for (int64_t y = 0; y < d->kernel[1]; y++)
            for (int64_t x = 0; x < d->kernel[2]; x++)
                f->at[y * 3 + x][o] = w->first[(oc + o) * w->oc + ic * w->ic + y * w->tap[1] + x * w->tap[2]];
}

/* to[o] = a[0] x[0][o] + a[1] x[step][o] + a[2] x[2 step][o] */
INGOT_INLINE void combine(double *to, const double a[3], double (*x)[UNIT], int step)
{
    for (int o = 0; o < UNIT; o++)
        to[o] = a[0] * x[0][o] + a[1] * x[step][o] + a[2] * x[2 * step][o];
}

/* G f G' of `width` filters; point by point, `step` floats apart. */
static void transform_filters(double g[MAX_POINTS][3], int points, filters *f, float *to, int width, int64_t step)
{
    double rows[3][UNIT], result[UNIT];

    for (int i = 0; i < points; i++) {
        for (int x = 0; x < 3; x++)
            combine(rows[x], g[i], f->at + x, 3);
        for (int j = 0; j < points; j++, to += step) {
            combine(result, g[j], rows, 1);
            for (int o = 0; o < width; o++)
                to[o] = (float)result[o];
        }
    }
}

/* Units are [point][ic][output channel of the unit]. */
void INGOT_FN(winograd_pack_view)(const ingot_conv *d, int m, float *packed, const conv_weights *weights, int64_t u0,
                                  int64_t u1)
{
    const int points = filters_of(d, m);
    const int64_t ic = ceil_div(d->ic, BLOCK) * BLOCK;
    double g[MAX_POINTS][3];
    filters f;

    if (m == 1) {
        INGOT_FN(winograd_rows_pack)(d, packed, weights, u0, u1);
        return;
    }
    filter_matrix(m, points, (int)d->stride[1], g);
    for (int64_t u = u0; u < u1; u++) {
        const int width = unit_width_of(d->oc, u);
        float *to = packed + u * UNIT * ic * points * points;

        for (int64_t c = 0; c < ic; c++) {
            load_filters(&f, d, weights, u * UNIT, c);
            transform_filters(g, points, &f, to + c * width, width, ic * width);
        }
    }
}

/* Weights as Conv stores them, [oc][ic][kernel]. */
void INGOT_FN(winograd_pack_f32)(const ingot_conv *d, int m, float *packed, const float *weights, int64_t u0,
                                 int64_t u1)
{
    const int64_t row = d->kernel[2], taps = d->kernel[1] * row;
    const conv_weights view = { .first = weights, .oc = d->ic * taps, .ic = taps, .tap = { 0, row, 1 } };

    INGOT_FN(winograd_pack_view)(d, m, packed, &view, u0, u1);
}

/* What the number of points says about a tile; the compiler knows it in each copy of what follows. */
INGOT_INLINE int outputs_of(int points) { return points == 6 ? 4 : 2; }

/* B' x along one axis. */
INGOT_INLINE void source_1d(int points, const vf32 x[MAX_POINTS], vf32 y[MAX_POINTS])
{
    if (points == 3) {
        y[0] = vf32_sub(x[1], x[0]);
        y[1] = x[1];
        y[2] = vf32_sub(x[2], x[1]);
        return;
    }
    if (points == 4) {
        y[0] = vf32_sub(x[2], x[0]);
        y[1] = vf32_add(x[1], x[2]);
        y[2] = vf32_sub(x[2], x[1]);
        y[3] = vf32_sub(x[3], x[1]);
        return;
    }
    if (points == 5) {                  /* a stride of 2 */
        y[0] = vf32_sub(x[2], x[0]);
        y[1] = x[2];
        y[2] = vf32_sub(x[4], x[2]);
        y[3] = x[1];
        y[4] = x[3];
        return;
    }

    const vf32 c = vf32_set1(2.5f), half = vf32_set1(0.5f), two = vf32_set1(2.0f);
    const vf32 near = vf32_set1((float)(SQRT2 / 2)), far = vf32_set1((float)SQRT2);
    const vf32 even1 = vf32_fnma(two, x[2], x[4]), odd1 = vf32_fnma(two, x[1], x[3]);
    const vf32 even2 = vf32_fnma(half, x[2], x[4]), odd2 = vf32_fnma(half, x[1], x[3]);
    y[0] = vf32_fnma(c, x[2], vf32_add(x[0], x[4]));
    y[1] = vf32_fma(near, odd1, even1);
    y[2] = vf32_fnma(near, odd1, even1);
    y[3] = vf32_fma(far, odd2, even2);
    y[4] = vf32_fnma(far, odd2, even2);
    y[5] = vf32_fnma(c, x[3], vf32_add(x[1], x[5]));
}

/* A' x along one axis. */
INGOT_INLINE void output_1d(int points, const vf32 x[MAX_POINTS], vf32 y[MAX_M])
{
    const vf32 sum1 = vf32_add(x[1], x[2]), difference1 = vf32_sub(x[1], x[2]);

    if (points == 3) {
        y[0] = vf32_add(x[0], x[1]);
        y[1] = sum1;
        return;
    }
    if (points == 4) {
        y[0] = vf32_add(x[0], sum1);
        y[1] = vf32_add(difference1, x[3]);
        return;
    }
    if (points == 5) {
        y[0] = vf32_add(vf32_add(x[0], x[1]), x[3]);
        y[1] = vf32_add(sum1, x[4]);
        return;
    }

    const vf32 sum2 = vf32_add(x[3], x[4]), difference2 = vf32_sub(x[3], x[4]);
    const vf32 odd1 = vf32_mul(difference1, vf32_set1((float)(SQRT2 / 2)));
    const vf32 odd2 = vf32_mul(difference2, vf32_set1((float)SQRT2));
    const vf32 half = vf32_set1(0.5f), two = vf32_set1(2.0f);
    y[0] = vf32_add(x[0], vf32_add(sum1, sum2));
    y[1] = vf32_add(odd1, odd2);
    y[2] = vf32_fma(two, sum2, vf32_mul(half, sum1));
    y[3] = vf32_add(vf32_fma(two, odd2, vf32_mul(half, odd1)), x[5]);
}

/* One call's work. */
typedef struct wino_job {
    const ingot_conv *d;
    const wino_shape *s;
    const ingot_epilogue *e;
    const float *src, *packed;
    float *dst, *v, *products;
    conv_place place;
} wino_job;

/* A tile's source: where its rows are, in the plane itself or, at the edges, in a copy filled up with zeros. */
typedef struct patch {
    const float *data;
    ptrdiff_t row;                      /* floats from one row to the next */
} patch;

/* A patch at the edge, or of pixels that are `dilation` apart: a copy, filled up with zeros. One for any number of
 * points is enough. */
static __attribute__((noinline)) patch copy_patch(const ingot_conv *d, const wino_shape *s, const float *plane,
                                                  int64_t y0, int64_t x0, float *copy)
{
    const int64_t points = s->points, width = d->in[2], step = s->dilation;
    const int64_t left = max64(0, min64(points, ceil_div(-x0, step)));
    const int64_t right = max64(left, min64(points, ceil_div(width - x0, step)));
    float *to = copy;

    for (int64_t y = y0; y < y0 + points * step; y += step) {
        const bool exists = y >= 0 && y < d->in[1];
        const int64_t first = exists ? left : points, last = exists ? right : points;
        const float *row = plane + (y * width + x0) * BLOCK;
        int64_t x = 0;

        for (; x < first; x++, to += BLOCK)
            vf8_store(to, vf8_zero());
        for (; x < last; x++, to += BLOCK)
            vf8_store(to, vf8_load(row + x * step * BLOCK));
        for (; x < points; x++, to += BLOCK)
            vf8_store(to, vf8_zero());
    }
    return (patch){ copy, points * BLOCK };
}

/* The patch of `points` x `points` pixels whose first is (y0, x0) of a plane. */
INGOT_INLINE patch find_patch(const wino_job *j, const float *plane, int64_t y0, int64_t x0, int points, float *copy)
{
    const int64_t height = j->d->in[1], width = j->d->in[2];

    if (y0 < 0 || x0 < 0 || y0 + points > height || x0 + points > width || j->s->dilation > 1)
        return copy_patch(j->d, j->s, plane, y0, x0, copy);
    return (patch){ plane + (y0 * width + x0) * BLOCK, width * BLOCK };
}

/* One vector of tiles, one channel block: B' patch B to the points' places in V. */
INGOT_INLINE void transform_patches(int points, const patch *p, float *v, int64_t v_point)
{
    vf32 columns[MAX_POINTS][MAX_POINTS], in[MAX_POINTS], out[MAX_POINTS];

    INGOT_UNROLL
    for (int x = 0; x < points; x++) {
        INGOT_UNROLL
        for (int y = 0; y < points; y++)
            in[y] = vf32_load_pair8(p[0].data + y * p[0].row + x * BLOCK,
                                    p[VECTOR_BLOCKS - 1].data + y * p[VECTOR_BLOCKS - 1].row + x * BLOCK);
        source_1d(points, in, out);
        INGOT_UNROLL
        for (int y = 0; y < points; y++)
            columns[y][x] = out[y];
    }
    INGOT_UNROLL
    for (int y = 0; y < points; y++) {
        source_1d(points, columns[y], out);
        INGOT_UNROLL
        for (int x = 0; x < points; x++)
            vf32_store(v + (y * points + x) * v_point, out[x]);
    }
}

/* Tile index to image and the first output row and column. */
typedef struct tile_place { int64_t image, y, x; } tile_place;

static tile_place place_of(const wino_shape *s, int64_t tile)
{
    const int64_t step = s->dilation, in_phase = tile % (s->tiles_y * s->tiles_x);
    const int64_t phase = tile / (s->tiles_y * s->tiles_x), y = phase / step % step, x = phase % step;
    return (tile_place){ phase / (step * step), in_phase / s->tiles_x * s->m * step + y,
                         in_phase % s->tiles_x * s->m * step + x };
}

/* The tile behind it. */
static void next_place(const wino_shape *s, tile_place *at)
{
    const int64_t step = s->dilation, rows = s->m * step;

    at->x += rows;
    if (at->x < s->tiles_x * rows)
        return;
    at->x %= step;
    at->y += rows;
    if (at->y < s->tiles_y * rows)
        return;
    at->y %= step;
    if (++at->x < step)                 /* the next phase */
        return;
    at->x = 0;
    if (++at->y < step)
        return;
    at->y = 0;
    at->image++;
}

/* V of `count` tiles from tile0 on, channel block by channel block: rows of few planes are streams that the processor
 * sees, and where a vector is half of a line of V, the other half follows at once. A vector's second tile repeats the
 * first where there is no other. */
INGOT_INLINE void transform_source(const wino_job *j, int points, int64_t tile0, int64_t count)
{
    const wino_shape *s = j->s;
    const int stride = points == 5 ? 2 : 1;
    float copies[VECTOR_BLOCKS][MAX_POINTS * MAX_POINTS * BLOCK];
    tile_place places[MOST_TILES + VECTOR_BLOCKS - 1];
    patch patches[VECTOR_BLOCKS];

    places[0] = place_of(s, tile0);
    for (int64_t t = 1; t < count + VECTOR_BLOCKS - 1; t++) {
        places[t] = places[t - 1];
        if (t < count)
            next_place(s, &places[t]);
    }
    for (int64_t b = 0; b < s->ic_blocks; b++)
        for (int64_t t = 0; t < count; t += VECTOR_BLOCKS) {
            /* a vector holds the same channels of one tile or of two */
            for (int i = 0; i < VECTOR_BLOCKS; i++) {
                const tile_place *at = &places[t + i];
                const float *plane = j->src + (at->image * s->ic_blocks + b) * s->in_plane;
                patches[i] = find_patch(j, plane, at->y * stride - j->d->pad[1], at->x * stride - j->d->pad[2],
                                        points, copies[i]);
            }
            transform_patches(points, patches, j->v + b * s->v_block + t * BLOCK, s->v_point);
        }
}

/* Copies for each number of points, so that the compiler knows it. */
static void transform_source_3(const wino_job *j, int64_t tile0, int64_t count)
{
    transform_source(j, 3, tile0, count);
}
static void transform_source_4(const wino_job *j, int64_t tile0, int64_t count)
{
    transform_source(j, 4, tile0, count);
}
static void transform_source_5(const wino_job *j, int64_t tile0, int64_t count)
{
    transform_source(j, 5, tile0, count);
}
static void transform_source_6(const wino_job *j, int64_t tile0, int64_t count)
{
    transform_source(j, 6, tile0, count);
}

/* All products of a unit: filter by filter, and those of the points that have it. The next filter is asked for in even
 * portions over the strips; at the very last, what is read after the convolution. */
static void multiply_points(const wino_job *j, int64_t unit, int64_t count, bool last)
{
    const wino_shape *s = j->s;
    const int width = unit_width_of(j->d->oc, unit);
    const int n_filters = s->filters * s->filters, spare = s->points - s->filters;
    const int64_t ic = s->ic_blocks * BLOCK;
    pixel_product p = { .blocks = s->ic_blocks, .plane = s->v_block, .weight_block = BLOCK * width, .row = UNIT,
                        .ends_short = unit_ends_short(j->d->oc, unit) };

    for (int f = 0; f < n_filters; f++) {
        const int y0 = f / s->filters, x0 = f % s->filters;
        const int y1 = y0 + (y0 == s->filters - 1 ? spare : 0), x1 = x0 + (x0 == s->filters - 1 ? spare : 0);

        p.weights = j->packed + (unit * UNIT * n_filters + f * width) * ic;
        p.soon = read_after(p.weights, width * ic, f == n_filters - 1 && unit + 1 == s->units, last ? j->e : NULL);
        for (int y = y0; y <= y1; y++)
            for (int x = x0; x <= x1; x++) {
                p.src = j->v + (y * s->points + x) * s->v_point;
                p.sums = j->products + (y * s->points + x) * s->m_point;
                INGOT_FN(multiply_strips)(&p, count, width);
            }
    }
}

/* Where a tile's outputs of one vector of channels go. */
typedef struct tile_out {
    float *dst;
    const float *residual;
    ptrdiff_t row, column, plane;
    int rows, columns, blocks;          /* that exist */
    vf32 bias, low, high;
} tile_out;

/* A row of a tile's outputs, from `at` on: bias, residual, clipping. */
INGOT_INLINE void finish_row(const tile_out *o, vf32 *row, ptrdiff_t at, int m)
{
    INGOT_UNROLL
    for (int x = 0; x < m; x++)
        row[x] = vf32_add(row[x], o->bias);
    if (o->residual) {
        const float *residual = o->residual + at;
        INGOT_UNROLL
        for (int x = 0; x < m; x++)
            if (x < o->columns)
                row[x] = vf32_add(row[x], vf32_load_blocks(residual + x * o->column, o->plane, o->blocks));
    }
    INGOT_UNROLL
    for (int x = 0; x < m; x++) {
        if (x >= o->columns)
            break;
        vf32_store_blocks(o->dst + at + x * o->column, o->plane, o->blocks,
                          vf32_min(o->high, vf32_max(o->low, row[x])));
    }
}

/* A' products A, then the epilogue on registers. */
INGOT_INLINE void transform_output(int points, const float *products, int64_t m_point, const tile_out *o)
{
    const int m = outputs_of(points);
    vf32 columns[MAX_M][MAX_POINTS], in[MAX_POINTS], out[MAX_M];

    INGOT_UNROLL
    for (int x = 0; x < points; x++) {
        INGOT_UNROLL
        for (int y = 0; y < points; y++)
            in[y] = vf32_load(products + (y * points + x) * m_point);
        output_1d(points, in, out);
        INGOT_UNROLL
        for (int y = 0; y < m; y++)
            columns[y][x] = out[y];
    }
    INGOT_UNROLL
    for (int y = 0; y < m; y++) {
        /* tiles at the lower and right edge have fewer outputs */
        if (y >= o->rows)
            break;
        output_1d(points, columns[y], out);
        finish_row(o, out, y * o->row, m);
    }
}

/* Copies as above. */
static void transform_output_3(const float *p, int64_t m_point, const tile_out *o)
{
    transform_output(3, p, m_point, o);
}
static void transform_output_4(const float *p, int64_t m_point, const tile_out *o)
{
    transform_output(4, p, m_point, o);
}
static void transform_output_5(const float *p, int64_t m_point, const tile_out *o)
{
    transform_output(5, p, m_point, o);
}
static void transform_output_6(const float *p, int64_t m_point, const tile_out *o)
{
    transform_output(6, p, m_point, o);
}

/* An activation that is more than clipping, on what a tile has written: its rows, or pixel by pixel where they lie
 * apart. */
static void act_on_tile(const tile_out *o, const ingot_epilogue *e)
{
    const bool apart = o->column != BLOCK;

    for (int b = 0; b < o->blocks; b++)
        for (int x = 0; x < (apart ? o->columns : 1); x++)
            INGOT_FN(act_rows_f32)(o->dst + b * o->plane + x * o->column, o->row, o->rows,
                                   (apart ? 1 : o->columns) * BLOCK, e);
}

/* A tile's M of one vector of channels to where `o` says. */
static void finish_tile(const wino_job *j, const float *products, const tile_out *o)
{
    const wino_shape *s = j->s;

    if (s->points == 3)
        transform_output_3(products, s->m_point, o);
    else if (s->points == 4)
        transform_output_4(products, s->m_point, o);
    else if (s->points == 5)
        transform_output_5(products, s->m_point, o);
    else
        transform_output_6(products, s->m_point, o);
    if (act_follows(j->e))
        act_on_tile(o, j->e);
}

/* M of a unit to dst. A tile's vectors of channels lie side by side in M, and follow each other. */
static void finish_tiles(const wino_job *j, int64_t unit, int64_t tile0, int64_t count)
{
    const ingot_conv *d = j->d;
    const wino_shape *s = j->s;
    const int vectors = unit_width_of(d->oc, unit) / VF32_LANES;
    tile_place at = place_of(s, tile0);
    tile_out o[2];
    float low, high;

    clip_range(j->e, &low, &high);
    for (int v = 0; v < vectors; v++) {
        const int64_t oc = unit * UNIT + v * VF32_LANES, left = min64(VF32_LANES, d->oc - oc);
        o[v] = (tile_out){
            .row = s->dilation * j->place.step[1] * j->place.size[2] * BLOCK,
            .column = s->dilation * j->place.step[2] * BLOCK,
            .plane = s->out_plane, .blocks = (int)ceil_div(left, BLOCK),
            .bias = j->e->bias ? vf32_load_n(j->e->bias + oc, (size_t)left) : vf32_zero(),
            .low = vf32_set1(low), .high = vf32_set1(high),
        };
    }
    for (int64_t t = 0; t < count; t++, next_place(s, &at)) {
        if (at.y >= d->out[1] || at.x >= d->out[2])         /* phases may have fewer tiles than the first */
            continue;
        int64_t to = (at.image * ceil_div(d->oc, BLOCK) + unit * UNIT / BLOCK) * s->out_plane +
                     place_at(&j->place, 0, at.y, at.x) * BLOCK;

        for (int v = 0; v < vectors; v++, to += VECTOR_BLOCKS * s->out_plane) {
            o[v].dst = j->dst + to;
            o[v].residual = j->e->residual ? j->e->residual + to : NULL;
            o[v].rows = (int)min64(s->m, ceil_div(d->out[1] - at.y, s->dilation));
            o[v].columns = (int)min64(s->m, ceil_div(d->out[2] - at.x, s->dilation));
            finish_tile(j, j->products + t * UNIT + v * VF32_LANES, &o[v]);
        }
    }
}

/* Items [i0, i1). *held is the block whose V is in scratch, or -1: items of one block follow each other, so the
 * transform is done once for all of its units, even over several calls. */
void INGOT_FN(winograd_place_run)(const ingot_conv *d, int m, const conv_place *place, const float *packed,
                                  const float *src, float *dst, const ingot_epilogue *e, float *scratch, int64_t *held,
                                  int64_t i0, int64_t i1)
{
    if (m == 1) {
        INGOT_FN(winograd_rows_run)(d, place, packed, src, dst, e, scratch, held, i0, i1);
        return;
    }
    wino_shape s = wino_shape_of(d, m);

    s.out_plane = place->size[1] * place->size[2] * BLOCK;
    const wino_job j = { .place = *place, .d = d, .s = &s, .e = e, .src = src, .packed = packed, .dst = dst,
                         .v = scratch, .products = scratch + s.points * s.points * s.v_point };

    for (int64_t i = i0; i < i1; i++) {
        const int64_t block = i / s.units, unit = i % s.units;
        const int64_t tile0 = block * s.block, count = min64(s.block, s.tiles - tile0);

        /* the first item of a block transforms its source; the others find it in scratch */
        if (block != *held) {
            if (s.points == 3)
                transform_source_3(&j, tile0, count);
            else if (s.points == 4)
                transform_source_4(&j, tile0, count);
            else if (s.points == 5)
                transform_source_5(&j, tile0, count);
            else
                transform_source_6(&j, tile0, count);
            *held = block;
        }
        /* products at all points, then back to outputs */
        multiply_points(&j, unit, count, i + 1 == s.blocks * s.units);
        finish_tiles(&j, unit, tile0, count);
    }
}

/* With outputs one after the other. */
void INGOT_FN(winograd_f32)(const ingot_conv *d, int m, const float *packed, const float *src, float *dst,
                            const ingot_epilogue *e, float *scratch, int64_t *held, int64_t i0, int64_t i1)
{
    const conv_place place = { .size = { 1, d->out[1], d->out[2] }, .step = { 1, 1, 1 } };

    INGOT_FN(winograd_place_run)(d, m, &place, packed, src, dst, e, scratch, held, i0, i1);
}
