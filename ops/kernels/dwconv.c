/* dwconv.c - f32 depthwise convolution on blocked channels: one filter for each channel, groups = ic = oc.
 *
 * A vector holds a pixel of as many neighbouring channel blocks as it has room for. Rows of the source are put, so
 * arranged and with their padding, into a ring of rows of the first-level cache, a few rows of the result at a time.
 * There they have no edges, whole vectors are read whatever the stride, and no row is put twice. Rows of a window that
 * lie outside of the source are left out. Where a vector is one block, of wide rows with a stride the edges alone go
 * through the ring. Depth and large windows take the general way: pixel by pixel, tap by tap.
 *
 * Work items are (image, vector of channels, band of rows). */
#include "ops/kernels/dwconv.h"
#include "ops/kernels/epilogue.h"

enum {
    BLOCK = 8,
    BLOCKS = VF32_LANES / BLOCK,        /* of a vector */
    RING_FLOATS = 6144,                 /* 24 KiB */
    MOST_STEP = 4,                      /* rows: the next ones are put while the last ones are computed */
    MAX_KERNEL = 7, MAX_DILATION = 32,  /* of the way by the ring */
    NARROW = 7, FEW = DW_PIXELS < NARROW ? DW_PIXELS : 2,     /* pixels of smaller tiles */
    WIDE = 48,                          /* outputs of a row that is worth reading where it lies */
    ENOUGH_ITEMS = 16,                  /* for a few threads to share */
    LEAST_ROWS = 7,                     /* of a band that is cut for that */
};

/* How a convolution is cut: into strips of columns, bands of rows, and steps, the rows that are computed at a time. */
typedef struct dw_shape {
    bool ringed;
    int64_t left, right;                /* outputs that read the source where it lies; none when they are equal */
    int64_t strip;
    int64_t rows, band, bands;          /* of an image (depth times height), of a band, and bands */
    int64_t step, ring;                 /* rows; ring: a power of two */
    int64_t row;                        /* floats */
    int64_t taps, blocks, vectors, in_plane, out_plane;
} dw_shape;

/* Source pixels along an axis that n outputs see, from the first to the last. */
static int64_t reach(const ingot_conv *d, int axis, int64_t n)
{
    return (n - 1) * d->stride[axis] + (d->kernel[axis] - 1) * d->dilation[axis] + 1;
}

/* What does not depend on the way. */
static dw_shape dw_sizes_of(const ingot_conv *d)
{
    const int64_t blocks = ceil_div(d->oc, BLOCK);

    return (dw_shape){
        .rows = d->out[0] * d->out[1], .taps = d->kernel[0] * d->kernel[1] * d->kernel[2],
        .blocks = blocks, .vectors = ceil_div(blocks, BLOCKS),
        .in_plane = d->in[0] * d->in[1] * d->in[2] * BLOCK, .out_plane = d->out[0] * d->out[1] * d->out[2] * BLOCK,
        .strip = d->out[2],
    };
}

/* Rows of the ring, a power of two, for the window of one output; 0 where this is not the way: it serves two dimensions
 * and windows of usual size, also with holes. */
static int64_t least_ring(const ingot_conv *d)
{
    int64_t ring = 1;

    if (d->in[0] != 1 || d->out[0] != 1 || d->kernel[0] != 1)
        return 0;
    for (int i = 1; i < 3; i++)
        if (d->kernel[i] > MAX_KERNEL || d->dilation[i] > MAX_DILATION || d->stride[i] > MAX_KERNEL)
            return 0;
    while (ring < reach(d, 1, 1))
        ring *= 2;
    return reach(d, 2, 1) * ring * VF32_LANES <= RING_FLOATS ? ring : 0;
}

/* First which way. Then strips narrow enough that the rows of one window fit, and as many rows more as fit. Bands are
 * for threads to share. */
static dw_shape dw_shape_of(const ingot_conv *d)
{
    dw_shape s = dw_sizes_of(d);

    for (s.bands = 1; d->n * s.vectors * s.bands < ENOUGH_ITEMS && s.rows / (s.bands + 1) >= LEAST_ROWS;)
        s.bands++;
    s.band = max64(1, ceil_div(s.rows, s.bands));
    s.bands = ceil_div(s.rows, s.band);
    s.ring = least_ring(d);
    s.ringed = s.ring > 0;
    if (!s.ringed)
        return s;
    while (s.strip > 1 && reach(d, 2, s.strip) * s.ring * VF32_LANES > RING_FLOATS)
        s.strip = ceil_div(s.strip, 2);
    s.row = reach(d, 2, s.strip) * VF32_LANES;
    while (s.ring < reach(d, 1, min64(s.band, MOST_STEP)) && 2 * s.ring * s.row <= RING_FLOATS)
        s.ring *= 2;
    s.step = (s.ring - reach(d, 1, 1)) / d->stride[1] + 1;
    if (BLOCKS == 1 && d->stride[2] > 1 && d->dilation[2] == 1 && d->out[2] >= WIDE && d->in[2] >= d->kernel[2]) {
        s.left = ceil_div(d->pad[2], d->stride[2]);
        s.right = max64(s.left, min64(d->out[2], (d->in[2] + d->pad[2] - d->kernel[2]) / d->stride[2] + 1));
    }
    return s;
}

/* Floats of the packed weights: whole vectors of channels. */
int64_t INGOT_FN(dwconv_packed_f32)(const ingot_conv *d)
{
    const dw_shape s = dw_sizes_of(d);
    return s.vectors * s.taps * VF32_LANES;
}

/* [vector of channels][tap][channel] */
void INGOT_FN(dwconv_pack_f32)(const ingot_conv *d, float *packed, const float *weights)
{
    const dw_shape s = dw_sizes_of(d);

    for (int64_t first = 0; first < d->oc; first += VF32_LANES)
        for (int64_t tap = 0; tap < s.taps; tap++)
            for (int64_t c = first; c < first + VF32_LANES; c++)
                *packed++ = c < d->oc ? weights[c * s.taps + tap] : 0.0f;
}

/* Work items: images by vectors of channels by bands. */
int64_t INGOT_FN(dwconv_items_f32)(const ingot_conv *d)
{
    const dw_shape s = dw_shape_of(d);
    return d->n * s.vectors * s.bands;
}

/* One vector of channels of an image. Where its last block is the only one, the steps from block to block are 0: what
 * is computed for the second is lost. */
typedef struct dw_job {
    const ingot_conv *d;
    const float *src, *weights, *residual;
    float *dst;
    ptrdiff_t in_block, out_block;
    int blocks;
    bool clips;
    vf32 bias, low, high;
    const ingot_epilogue *act;          /* an activation that is more than clipping, or NULL */
} dw_job;

/* A row of the result, or a part of it: `dst` and `residual` at its first pixel, `src` the kh rows that it sees. */
typedef struct dw_row {
    const float *src[MAX_KERNEL], *weights, *residual;
    float *dst;
    int64_t kh, kw, stride, dilation;   /* the last two, and kw: along the row */
} dw_row;

/* The end of neighbouring pixels to which something is added: `held` are their sums. */
static __attribute__((noinline)) void dw_finish_added(const dw_job *j, const float *held, float *dst,
                                                      const float *residual, int count)
{
    for (int i = 0; i < count; i++, held += VF32_LANES, dst += BLOCK, residual += BLOCK) {
        const vf32 x = vf32_add(vf32_load(held), vf32_load_pair8(residual, residual + j->out_block));
        vf32_store_blocks(dst, j->out_block, j->blocks, vf32_min(j->high, vf32_max(j->low, x)));
    }
}

/* The end of neighbouring pixels; an activation beyond clipping comes later, over whole rows. With two blocks in a
 * vector two pixels are stored together, the second block first: it may be none. */
INGOT_INLINE void dw_finish(const dw_job *j, vf32 *acc, float *dst, const float *residual, int count)
{
    if (residual) {
        _Alignas(64) float held[DW_PIXELS * VF32_LANES];
        INGOT_UNROLL
        for (int i = 0; i < count; i++)
            vf32_store(held + i * VF32_LANES, acc[i]);
        dw_finish_added(j, held, dst, residual, count);
        return;
    }
    if (j->clips) {
        INGOT_UNROLL
        for (int i = 0; i < count; i++)
            acc[i] = vf32_min(j->high, vf32_max(j->low, acc[i]));
    }
    INGOT_UNROLL
    for (int i = 0; BLOCKS > 1 && i < count; i += 2) {
        if (i + 1 < count)
            vf32_store(dst + j->out_block + i * BLOCK, vf32_highs8(acc[i], acc[i + 1]));
        else
            vf32_store_n(dst + j->out_block + i * BLOCK, vf32_highs8(acc[i], acc[i]), BLOCK);
    }
    INGOT_UNROLL
    for (int i = 0; i < count; i += BLOCKS) {
        if (i + BLOCKS <= count)
            vf32_store(dst + i * BLOCK, vf32_lows8(acc[i], acc[i + BLOCKS - 1]));
        else
            vf32_store_n(dst + i * BLOCK, acc[i], BLOCK);
    }
}

/* acc += the pixels at src, by one tap's weights. */
INGOT_INLINE void dw_tap(vf32 *acc, const float *src, const float *weights, int count, int64_t stride)
{
    const vf32 w = vf32_load(weights);

    INGOT_UNROLL
    for (int i = 0; i < count; i++)
        acc[i] = vf32_acc(acc[i], vf32_load(src + i * stride * VF32_LANES), w);
}

/* The same by all taps of a row, whose number is known: a pixel of the source is loaded once for all that meet it. */
INGOT_INLINE void dw_taps(vf32 *acc, const float *src, const float *weights, int count, int64_t kw, int64_t stride)
{
    vf32 w[MAX_KERNEL];

    INGOT_UNROLL
    for (int64_t t = 0; t < kw; t++)
        w[t] = vf32_load(weights + t * VF32_LANES);
    INGOT_UNROLL
    for (int64_t i = 0; i < (count - 1) * stride + kw; i++) {
        const vf32 pixel = vf32_load(src + i * VF32_LANES);
        INGOT_UNROLL
        for (int64_t t = i % stride; t < kw; t += stride)
            if (t <= i && (i - t) / stride < count)
                acc[(i - t) / stride] = vf32_acc(acc[(i - t) / stride], pixel, w[t]);
    }
}

/* `count` pixels from x on. Where the kernel's width is known, the loop over a row's taps is gone. */
INGOT_INLINE void dw_tile(const dw_job *j, const dw_row *r, int64_t x, int count, int64_t kw, int64_t stride)
{
    const float *w = r->weights;
    vf32 acc[DW_PIXELS];

    INGOT_UNROLL
    for (int i = 0; i < count; i++)
        acc[i] = j->bias;
    for (int64_t y = 0; y < r->kh; y++, w += kw * VF32_LANES) {
        const float *src = r->src[y] + x * stride * VF32_LANES;
        INGOT_OPAQUE(src);                       /* one register and many distances, rather than many registers */
        if (__builtin_constant_p(kw))
            dw_taps(acc, src, w, count, kw, stride);
        else
            for (int64_t t = 0; t < kw; t++)
                dw_tap(acc, src + t * r->dilation * VF32_LANES, w + t * VF32_LANES, count, stride);
    }
    dw_finish(j, acc, r->dst + x * BLOCK, r->residual ? r->residual + x * BLOCK : NULL, count);
}

/* A row from pixel x on, by any kernel. */
static __attribute__((noinline)) void dw_row_any(const dw_job *j, const dw_row *r, int64_t x, int64_t width)
{
    for (; x + FEW <= width; x += FEW)
        dw_tile(j, r, x, FEW, r->kw, r->stride);
    for (; x < width; x++)
        dw_tile(j, r, x, 1, r->kw, r->stride);
}

/* A row of `width` pixels, in tiles. The last one may begin with pixels of the one before it, unless something is added
 * to them, which may be where the result goes. */
INGOT_INLINE void dw_row_of(const dw_job *j, const dw_row *r, int64_t width, int64_t kw, int64_t stride)
{
    const int64_t end = width < NARROW ? 0 : r->residual ? width - NARROW + 1 : width;
    int64_t x = 0;

    for (; DW_PIXELS > NARROW && x + DW_PIXELS <= width; x += DW_PIXELS)
        dw_tile(j, r, x, DW_PIXELS, kw, stride);
    for (; x < end; x += NARROW)
        dw_tile(j, r, min64(x, width - NARROW), NARROW, kw, stride);
    if (x < width)
        dw_row_any(j, r, x, width);
}

/* The usual kernels and strides, which so become part of the code. */
static void dw_row_3(const dw_job *j, const dw_row *r, int64_t width) { dw_row_of(j, r, width, 3, 1); }
static void dw_row_5(const dw_job *j, const dw_row *r, int64_t width) { dw_row_of(j, r, width, 5, 1); }
static void dw_row_7(const dw_job *j, const dw_row *r, int64_t width) { dw_row_of(j, r, width, 7, 1); }
static void dw_row_3_by_2(const dw_job *j, const dw_row *r, int64_t width) { dw_row_of(j, r, width, 3, 2); }
static void dw_row_5_by_2(const dw_job *j, const dw_row *r, int64_t width) { dw_row_of(j, r, width, 5, 2); }

/* With holes in the window, of any width. */
static void dw_row_dilated(const dw_job *j, const dw_row *r, int64_t width)
{
    dw_row_of(j, r, width, r->kw, r->stride);
}

typedef void dw_row_fn(const dw_job *j, const dw_row *r, int64_t width);

/* One of these, or NULL; also where tiles are so small that there are too many instructions for one. */
static dw_row_fn *choose_row(int64_t stride, int64_t kw, int64_t dilation)
{
    static dw_row_fn *const rows[2][3] = { { dw_row_3, dw_row_5, dw_row_7 }, { dw_row_3_by_2, dw_row_5_by_2, NULL } };
    if (dilation > 1)
        return DW_PIXELS >= NARROW ? dw_row_dilated : NULL;
    return DW_PIXELS >= NARROW && stride <= 2 && kw >= 3 && kw % 2 ? rows[stride - 1][kw / 2 - 1] : NULL;
}

/* Rows [y0, y1) of the source, some columns from x0 on, into the ring: zeros left and right of the source. */
static void dw_put_rows(const dw_job *j, const dw_shape *s, float *ring, int64_t y0, int64_t y1, int64_t x0,
                        int64_t columns)
{
    const int64_t width = j->d->in[2];
    const int64_t left = max64(0, min64(-x0, columns)), right = max64(left, min64(columns, width - x0));

    for (int64_t y = y0; y < y1; y++) {
        const float *from = j->src + (y * width + x0 + left) * BLOCK;
        float *to = ring + (y & (s->ring - 1)) * s->row;
        int64_t x = 0;

        for (; x < left; x++, to += VF32_LANES)
            vf32_store(to, vf32_zero());
        for (; BLOCKS > 1 && x + 2 <= right; x += 2, to += 2 * VF32_LANES, from += 2 * BLOCK) {
            const vf32 a = vf32_load(from), b = vf32_load(from + j->in_block);
            vf32_store(to, vf32_lows8(a, b));
            vf32_store(to + VF32_LANES, vf32_highs8(a, b));
        }
        for (; x < right; x++, to += VF32_LANES, from += BLOCK)
            vf32_store(to, vf32_load_pair8(from, from + j->in_block));
        for (; x < columns; x++, to += VF32_LANES)
            vf32_store(to, vf32_zero());
    }
}

/* Outputs [x0, x1) of rows [y0, y1), whose source is in the ring: there row y is at first + y % ring * step. */
static void dw_rows(const dw_job *j, const dw_source *src, int64_t y0, int64_t y1, int64_t x0, int64_t x1)
{
    const ingot_conv *d = j->d;
    dw_row_fn *const run_row = choose_row(d->stride[2], d->kernel[2], d->dilation[2]);
    const int64_t last = src->ring - 1, hole = d->dilation[1];
    dw_row r;

    r.kw = d->kernel[2];
    r.stride = d->stride[2];
    r.dilation = d->dilation[2];
    for (int64_t y = y0; y < y1; y++) {
        const int64_t top = y * d->stride[1] - d->pad[1], at = (y * d->out[2] + x0) * BLOCK;
        int64_t above = 0;

        /* rows of the window that lie in the source; the others would add zeros */
        r.kh = 0;
        for (int64_t k = 0, row = top; k < d->kernel[1]; k++, row += hole)
            if (row < 0)
                above++;
            else if (row < d->in[1])
                r.src[r.kh++] = src->first + (row & last) * src->step;
        r.weights = j->weights + above * d->kernel[2] * VF32_LANES;
        r.dst = j->dst + at;
        r.residual = j->residual ? j->residual + at : NULL;
        if (run_row)
            run_row(j, &r, x1 - x0);
        else
            dw_row_any(j, &r, 0, x1 - x0);
    }
    /* whole rows lie side by side */
    const bool whole = x1 - x0 == d->out[2];
    for (int64_t y = y0; j->act && y < y1; y += whole ? y1 - y0 : 1)
        INGOT_FN(act_planes_f32)(j->dst + (y * d->out[2] + x0) * BLOCK, j->out_block, j->blocks,
                                 (whole ? y1 - y0 : 1) * (x1 - x0) * BLOCK, j->act);
}

/* Columns [x0, x1) of a band, by way of the ring. */
static void dw_ringed(const dw_job *j, const dw_shape *s, int64_t y0, int64_t y1, int64_t x0, int64_t x1)
{
    const ingot_conv *d = j->d;
    int64_t made = max64(0, y0 * d->stride[1] - d->pad[1]);          /* the first source row that is not there yet */
    _Alignas(64) float ring[RING_FLOATS];
    const dw_source rows = { ring, s->ring, s->row };

    for (int64_t y = y0; y < y1; y += s->step) {
        const int64_t end = min64(y1, y + s->step);
        const int64_t need = min64(d->in[1], reach(d, 1, end) - d->pad[1]);

        dw_put_rows(j, s, ring, max64(made, y * d->stride[1] - d->pad[1]), need, x0 * d->stride[2] - d->pad[2],
                    reach(d, 2, x1 - x0));
        made = max64(made, need);
        dw_rows(j, &rows, y, end, x0, x1);
    }
}

/* Rows [y0, y1): what is read where it lies, and what is left of it and right of it. */
static void dw_band(const dw_job *j, const dw_shape *s, int64_t y0, int64_t y1)
{
    const ingot_conv *d = j->d;
    const float *first = j->src + (s->left * d->stride[2] - d->pad[2]) * BLOCK;
    const dw_source in_place = { first, INT64_C(1) << 62, d->in[2] * BLOCK };
    const bool some = s->left < s->right;

    for (int64_t x = 0; x < (some ? s->left : d->out[2]); x += s->strip)
        dw_ringed(j, s, y0, y1, x, min64(some ? s->left : d->out[2], x + s->strip));
    if (some)
        dw_rows(j, &in_place, y0, y1, s->left, s->right);
    for (int64_t x = s->right; some && x < d->out[2]; x += s->strip)
        dw_ringed(j, s, y0, y1, x, min64(d->out[2], x + s->strip));
}

/* Is source index i * stride - pad + t * dilation inside? It is put in *at. */
static bool tap_inside(const ingot_conv *d, int axis, int64_t i, int64_t t, int64_t *at)
{
    *at = i * d->stride[axis] - d->pad[axis] + t * d->dilation[axis];
    return *at >= 0 && *at < d->in[axis];
}

/* One pixel, the general way. */
static void dw_pixel(const dw_job *j, int64_t z, int64_t y, int64_t x)
{
    const ingot_conv *d = j->d;
    const int64_t out = ((z * d->out[1] + y) * d->out[2] + x) * BLOCK;
    const float *w = j->weights;
    int64_t iz, iy, ix;
    vf32 acc = j->bias;

    for (int64_t tz = 0; tz < d->kernel[0]; tz++)
        for (int64_t ty = 0; ty < d->kernel[1]; ty++)
            for (int64_t tx = 0; tx < d->kernel[2]; tx++, w += VF32_LANES)
                if (tap_inside(d, 0, z, tz, &iz) && tap_inside(d, 1, y, ty, &iy) && tap_inside(d, 2, x, tx, &ix)) {
                    const float *src = j->src + ((iz * d->in[1] + iy) * d->in[2] + ix) * BLOCK;
                    acc = vf32_fma(vf32_load_pair8(src, src + j->in_block), vf32_load(w), acc);
                }
    dw_finish(j, &acc, j->dst + out, j->residual ? j->residual + out : NULL, 1);
}

/* Rows [row0, row1) pixel by pixel, whatever the depth and the dilation. */
static void dw_general(const dw_job *j, int64_t row0, int64_t row1)
{
    const int64_t width = j->d->out[2];

    for (int64_t row = row0; row < row1; row++) {
        for (int64_t x = 0; x < width; x++)
            dw_pixel(j, row / j->d->out[1], row % j->d->out[1], x);
        if (j->act)
            INGOT_FN(act_planes_f32)(j->dst + row * width * BLOCK, j->out_block, j->blocks, width * BLOCK, j->act);
    }
}

/* The job of one vector of channels of an image. */
static dw_job job_of(const ingot_conv *d, const dw_shape *s, const float *packed, const float *src, float *dst,
                     const ingot_epilogue *e, int64_t image, int64_t vector)
{
    const int64_t plane = image * s->blocks + vector * BLOCKS;
    const int blocks = (int)min64(BLOCKS, s->blocks - vector * BLOCKS);
    const size_t channels = (size_t)min64(VF32_LANES, d->oc - vector * VF32_LANES);
    float low, high;

    clip_range(e, &low, &high);
    return (dw_job){
        .d = d, .src = src ? src + plane * s->in_plane : NULL, .weights = packed + vector * s->taps * VF32_LANES,
        .dst = dst + plane * s->out_plane, .residual = e->residual ? e->residual + plane * s->out_plane : NULL,
        .in_block = blocks > 1 ? s->in_plane : 0, .out_block = blocks > 1 ? s->out_plane : 0, .blocks = blocks,
        .clips = low > -INFINITY || high < INFINITY,
        .bias = e->bias ? vf32_load_n(e->bias + vector * VF32_LANES, channels) : vf32_zero(),
        .low = vf32_set1(low), .high = vf32_set1(high), .act = act_follows(e) ? e : NULL,
    };
}

/* Items [i0, i1): each is a band of one vector of channels. */
void INGOT_FN(dwconv_f32)(const ingot_conv *d, const float *packed, const float *src, float *dst,
                          const ingot_epilogue *e, int64_t i0, int64_t i1)
{
    const dw_shape s = dw_shape_of(d);

    for (int64_t i = i0; i < i1; i++) {
        const int64_t band = i % s.bands, vector = i / s.bands % s.vectors, image = i / s.bands / s.vectors;
        const int64_t row0 = band * s.band, row1 = min64(s.rows, row0 + s.band);
        const dw_job j = job_of(d, &s, packed, src, dst, e, image, vector);

        if (!s.ringed)
            dw_general(&j, row0, row1);
        else
            dw_band(&j, &s, row0, row1);
    }
}

/* The rows are there already. */
void INGOT_FN(dwconv_ready)(const ingot_conv *d, const float *packed, const dw_source *src, float *dst,
                            const ingot_epilogue *e, int64_t image, int64_t vector, int64_t y0, int64_t y1)
{
    const dw_shape s = dw_sizes_of(d);
    const dw_job j = job_of(d, &s, packed, NULL, dst, e, image, vector);

    dw_rows(&j, src, y0, y1, 0, d->out[2]);
}
