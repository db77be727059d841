/* dwconv.c - f32 depthwise convolution on blocked channels: one filter for each channel, groups = ic = oc.
 *
 * A band of a channel block's source is copied with its padding into a buffer of the first-level cache; then every row
 * is a run of vectors without edges. At stride 1 a vector covers as many neighbouring pixels as it has room for, so the
 * weights of a tap repeat in it. At other strides a pixel is read less often, and of wide pictures the edges alone are
 * copied. Depth, dilation and large kernels take the general way: pixel by pixel, tap by tap.
 *
 * Work items are (image, channel block, band of rows). */
#include "ops/kernels/dwconv.h"
#include "ops/kernels/epilogue.h"

enum {
    BLOCK = 8,
    PIXELS = VF32_LANES / BLOCK,        /* of a vector at stride 1 */
    BUFFER = 1536,                      /* pixels of the padded band: 48 KiB */
    MAX_KERNEL = 7,                     /* of the buffered way */
    MAX_VECTORS = 8,                    /* of a tile */
    WIDE = 48,                          /* outputs of a row that is worth reading where it lies */
    MAX_EDGE = MAX_KERNEL + PIXELS - 1, /* outputs at an end of it */
};

/* How a convolution is cut: which of the three ways it takes, and the sizes of strips, bands and planes. */
typedef struct dw_shape {
    bool buffered, direct;              /* by way of the buffer, but direct: only what is not in [left, right) */
    int64_t left, right;
    int64_t strip, strips;              /* columns computed at a time, and how often */
    int64_t rows, band, bands;          /* of an image (depth times height), of a band, and bands */
    int64_t taps, blocks, in_plane, out_plane;
} dw_shape;

/* Pixels of a row of the buffer: one more than seen, as the last vector may reach beyond, and whole vectors, so that
 * rows start on cache lines. */
static int64_t buffer_row(int64_t columns) { return ceil_div(columns + 1, PIXELS) * PIXELS; }

int64_t INGOT_FN(dwconv_row)(int64_t columns) { return buffer_row(columns); }

/* Source pixels along an axis that n outputs see. */
static int64_t reach(const ingot_conv *d, int axis, int64_t n) { return (n - 1) * d->stride[axis] + d->kernel[axis]; }

/* What does not depend on the way. */
static dw_shape dw_sizes_of(const ingot_conv *d)
{
    return (dw_shape){
        .rows = d->out[0] * d->out[1], .taps = d->kernel[0] * d->kernel[1] * d->kernel[2],
        .blocks = ceil_div(d->oc, BLOCK),
        .in_plane = d->in[0] * d->in[1] * d->in[2] * BLOCK, .out_plane = d->out[0] * d->out[1] * d->out[2] * BLOCK,
        .strip = d->out[2], .band = 1,
    };
}

/* First which way: the buffer serves two dimensions without dilation and kernels of usual size. Then strips narrow
 * enough that one row of windows takes half of the buffer, and bands as high as the buffer holds. Wide rows with a
 * stride are read in place from `left` to `right`, as far as whole vectors of windows lie inside. */
static dw_shape dw_shape_of(const ingot_conv *d)
{
    dw_shape s = dw_sizes_of(d);

    /* which way */
    s.buffered = d->in[0] == 1 && d->out[0] == 1 && d->kernel[0] == 1 && d->kernel[1] <= MAX_KERNEL &&
                 d->kernel[2] <= MAX_KERNEL && d->dilation[1] == 1 && d->dilation[2] == 1 &&
                 d->stride[1] <= MAX_KERNEL && d->stride[2] <= MAX_KERNEL;
    /* narrow the strip until one row of windows fits half of the buffer, then add rows */
    if (s.buffered) {
        while (s.strip > 1 && buffer_row(reach(d, 2, s.strip)) * d->kernel[1] > BUFFER / 2)
            s.strip = ceil_div(s.strip, 2);
        while (s.band < s.rows && buffer_row(reach(d, 2, s.strip)) * reach(d, 1, s.band + 1) <= BUFFER)
            s.band++;
    }
    if (s.buffered && d->stride[2] > 1 && d->out[2] >= WIDE && d->in[2] >= d->kernel[2]) {
        const int64_t inside = (d->in[2] + d->pad[2] - d->kernel[2]) / d->stride[2] + 1;   /* windows that end inside */
        s.left = ceil_div(d->pad[2], d->stride[2]);
        s.right = s.left + max64(0, min64(inside, d->out[2]) - s.left) / PIXELS * PIXELS;
        s.direct = s.left <= MAX_EDGE && d->out[2] - s.right <= MAX_EDGE;
    }
    /* bands of nearly equal height */
    s.strips = ceil_div(d->out[2], max64(1, s.strip));
    s.bands = ceil_div(s.rows, s.band);
    s.band = s.bands ? ceil_div(s.rows, s.bands) : 1;
    return s;
}

/* Floats of the packed weights: whole blocks of channels. */
int64_t INGOT_FN(dwconv_packed_f32)(const ingot_conv *d)
{
    const dw_shape s = dw_shape_of(d);
    return s.blocks * s.taps * BLOCK;
}

/* [channel block][tap][channel] */
void INGOT_FN(dwconv_pack_f32)(const ingot_conv *d, float *packed, const float *weights)
{
    const dw_shape s = dw_shape_of(d);

    for (int64_t b = 0; b < s.blocks; b++)
        for (int64_t tap = 0; tap < s.taps; tap++)
            for (int64_t c = b * BLOCK; c < (b + 1) * BLOCK; c++)
                *packed++ = c < d->oc ? weights[c * s.taps + tap] : 0.0f;
}

/* Work items: images by channel blocks by bands. */
int64_t INGOT_FN(dwconv_items_f32)(const ingot_conv *d)
{
    const dw_shape s = dw_shape_of(d);
    return d->n * s.blocks * s.bands;
}

/* One item: a channel block of an image. */
typedef struct dw_job {
    const ingot_conv *d;
    const float *src, *weights, *residual;
    float *dst;
    vf8 bias, low, high;
    const ingot_epilogue *act;          /* an activation that is more than clipping, or NULL */
} dw_job;

/* Pixels of a row of a tile: `dst` and `residual` at its first pixel, `src` the kh rows that it sees. */
typedef struct dw_row {
    const float *src[MAX_KERNEL], *weights, *residual;
    float *dst;
    int64_t kh, kw, stride;
    int64_t pixels;                     /* that exist in the last vector of the row's last tile */
} dw_row;

/* The epilogue of one pixel; an activation beyond clipping comes later, over whole runs. */
INGOT_INLINE vf8 dw_finish8(const dw_job *j, vf8 x, const float *residual)
{
    if (residual)
        x = vf8_add(x, vf8_load(residual));
    return vf8_min(j->high, vf8_max(j->low, x));
}

/* The vector t pixels after *v, where vectors hold two: between two of them lies the middle of both. */
INGOT_INLINE vf32 shifted(const vf32 *v, int t) { return t % 2 ? vf32_middle8(v[t / 2], v[t / 2 + 1]) : v[t / 2]; }

/* `count` vectors of neighbouring pixels at stride 1; the last holds `pixels` of them. Where a vector holds two
 * pixels, those that a tap shifts by one lie across two vectors, which are loaded once and combined in registers. */
INGOT_INLINE void dw_tile(const dw_job *j, const dw_row *r, int64_t x, int count, int kw, int pixels)
{
    const vf32 bias = vf32_repeat8(j->bias), low = vf32_repeat8(j->low), high = vf32_repeat8(j->high);
    const float *w = r->weights;
    float *dst = r->dst + x * BLOCK;
    vf32 acc[MAX_VECTORS];

    INGOT_UNROLL
    for (int i = 0; i < count; i++)
        acc[i] = bias;
    for (int64_t y = 0; y < r->kh; y++) {
        const float *src = r->src[y] + x * BLOCK;
        /* each vector of the row is loaded once, and shifted by the taps in between */
        vf32 v[MAX_VECTORS + MAX_KERNEL / 2];
        INGOT_UNROLL
        for (int i = 0; PIXELS == 2 && i < count + kw / 2; i++)
            v[i] = vf32_load(src + i * VF32_LANES);
        INGOT_UNROLL
        for (int t = 0; t < kw; t++, w += BLOCK) {
            const vf32 wv = vf32_repeat8(vf8_load(w));
            INGOT_UNROLL
            for (int i = 0; i < count; i++)
                acc[i] = vf32_acc(acc[i], PIXELS == 2 ? shifted(v + i, t) : vf32_load(src + (i + t) * BLOCK), wv);
        }
    }
    INGOT_UNROLL
    for (int i = 0; i < count; i++) {
        const size_t n = i < count - 1 ? VF32_LANES : (size_t)(pixels * BLOCK);
        vf32 v = acc[i];
        if (r->residual)
            v = vf32_add(v, vf32_load_n(r->residual + x * BLOCK + i * VF32_LANES, n));
        v = vf32_min(high, vf32_max(low, v));
        if (n == VF32_LANES)
            vf32_store(dst + i * VF32_LANES, v);
        else
            vf32_store_n(dst + i * VF32_LANES, v, n);
    }
}

/* `count` pixels at any stride. */
INGOT_INLINE void dw_strided_tile(const dw_job *j, const dw_row *r, int64_t x, int count, int64_t kw)
{
    const ptrdiff_t step = r->stride * BLOCK;
    const float *w = r->weights;
    const vf32 low = vf32_repeat8(j->low), high = vf32_repeat8(j->high);
    vf8 acc[MAX_VECTORS];

    INGOT_UNROLL
    for (int i = 0; i < count; i++)
        acc[i] = j->bias;
    for (int64_t y = 0; y < r->kh; y++) {
        const float *src = r->src[y] + x * step;
        for (int64_t t = 0; t < kw; t++, w += BLOCK, src += BLOCK) {
            const vf8 wv = vf8_load(w);
            INGOT_UNROLL
            for (int i = 0; i < count; i++)
                acc[i] = vf8_fma(vf8_load(src + i * step), wv, acc[i]);
        }
    }
    INGOT_UNROLL
    for (int i = 0; i < count; i += PIXELS) {                          /* neighbours are stored together */
        const int64_t at = (x + i) * BLOCK;
        const float *residual = r->residual ? r->residual + at : NULL;
        if (i + PIXELS > count) {
            vf8_store(r->dst + at, dw_finish8(j, acc[i], residual));
            continue;
        }
        vf32 v = vf32_join8(acc + i);
        if (residual)
            v = vf32_add(v, vf32_load(residual));
        vf32_store(r->dst + at, vf32_min(high, vf32_max(low, v)));
    }
}

/* A row of `width` pixels at stride 1, kernels of one width. */
INGOT_INLINE void dw_row_unit(const dw_job *j, const dw_row *r, int64_t width, int kw)
{
    for (int64_t x = 0; x < width;) {
        const int64_t vectors = ceil_div(width - x, PIXELS);
        const int pixels = width % PIXELS ? (int)(width % PIXELS) : PIXELS;      /* of the row's last vector */

        if (vectors >= DW_VECTORS) {                  /* 7: many pictures' widths are multiples */
            dw_tile(j, r, x, DW_VECTORS, kw, vectors == DW_VECTORS ? pixels : PIXELS);
            x += DW_VECTORS * PIXELS;
        } else if (vectors >= 4) {
            dw_tile(j, r, x, 4, kw, vectors == 4 ? pixels : PIXELS);
            x += 4 * PIXELS;
        } else {
            dw_tile(j, r, x, 1, kw, vectors == 1 ? pixels : PIXELS);
            x += PIXELS;
        }
    }
}

/* Copies for the usual kernel widths, so that the loops over taps have a known length. */
static void dw_row_3(const dw_job *j, const dw_row *r, int64_t width) { dw_row_unit(j, r, width, 3); }
static void dw_row_5(const dw_job *j, const dw_row *r, int64_t width) { dw_row_unit(j, r, width, 5); }
static void dw_row_7(const dw_job *j, const dw_row *r, int64_t width) { dw_row_unit(j, r, width, 7); }

/* A row of `width` pixels at any stride: tiles of DW_VECTORS, then pairs, then what is left. */
INGOT_INLINE void dw_row_strided(const dw_job *j, const dw_row *r, int64_t width, int64_t kw)
{
    int64_t x = 0;

    for (; x + DW_VECTORS <= width; x += DW_VECTORS)
        dw_strided_tile(j, r, x, DW_VECTORS, kw);
    for (; x + 2 <= width; x += 2)
        dw_strided_tile(j, r, x, 2, kw);
    if (x < width)
        dw_strided_tile(j, r, x, 1, kw);
}

/* The same at other strides, and for any width. */
static void dw_row_strided_3(const dw_job *j, const dw_row *r, int64_t width) { dw_row_strided(j, r, width, 3); }
static void dw_row_strided_5(const dw_job *j, const dw_row *r, int64_t width) { dw_row_strided(j, r, width, 5); }
static void dw_row_any(const dw_job *j, const dw_row *r, int64_t width) { dw_row_strided(j, r, width, r->kw); }

/* Computes one run of outputs of a row. */
typedef void dw_row_fn(const dw_job *j, const dw_row *r, int64_t width);

/* The copy for this stride and kernel width. */
static dw_row_fn *choose_row(int64_t stride, int64_t kw)
{
    if (kw == 3)
        return stride == 1 ? dw_row_3 : dw_row_strided_3;
    if (kw == 5)
        return stride == 1 ? dw_row_5 : dw_row_strided_5;
    return stride == 1 && kw == 7 ? dw_row_7 : dw_row_any;
}

/* Zeros for some pixels; returns where the next ones go, as put_copy() does. */
INGOT_INLINE float *put_zeros(float *to, int64_t pixels)
{
    for (; pixels > 0; pixels--, to += BLOCK)
        vf8_store(to, vf8_zero());
    return to;
}

/* Pixels from a row of the source. */
INGOT_INLINE float *put_copy(float *to, const float *from, int64_t pixels)
{
    for (; pixels >= PIXELS; pixels -= PIXELS, to += VF32_LANES, from += VF32_LANES)
        vf32_store(to, vf32_load(from));
    for (; pixels > 0; pixels--, to += BLOCK, from += BLOCK)
        vf8_store(to, vf8_load(from));
    return to;
}

/* Rows [y0, y0 + rows) and columns [x0, x0 + columns) of the source plane, zero outside of it and in what
 * fills up the buffer's row. Rows are short: loops of vectors here beat calls of memcpy and memset. */
static void fill_buffer(const dw_job *j, float *buffer, int64_t y0, int64_t x0, int64_t rows, int64_t columns)
{
    const int64_t height = j->d->in[1], width = j->d->in[2];
    const int64_t all = buffer_row(columns);
    /* columns of the buffer that lie in the source; the others are padding */
    const int64_t left = max64(0, min64(-x0, columns)), right = max64(left, min64(columns, width - x0));

    for (int64_t y = y0; y < y0 + rows; y++) {
        if (y < 0 || y >= height || right == left) {
            buffer = put_zeros(buffer, all);
            continue;
        }
        buffer = put_zeros(buffer, left);
        buffer = put_copy(buffer, j->src + (y * width + x0 + left) * BLOCK, right - left);
        buffer = put_zeros(buffer, all - right);
    }
}

/* The activation of outputs [x0, x1) of row y, or of n rows that are whole, as they were stored. */
static void dw_activate(const dw_job *j, int64_t y, int64_t n, int64_t x0, int64_t x1)
{
    const int64_t width = j->d->out[2];

    if (j->act && n > 0)
        INGOT_FN(act_rows_f32)(j->dst + (y * width + x0) * BLOCK, width * BLOCK, x1 - x0 < width ? n : 1,
                               (x1 - x0 < width ? x1 - x0 : n * width) * BLOCK, j->act);
}

/* Outputs [x0, x1) of row y, by the window's rows [k0, k1), which r->src has already. The activation is the caller's.
 */
static void dw_run_rows(const dw_job *j, dw_row_fn *run_row, dw_row *r, int64_t y, int64_t x0, int64_t x1, int64_t k0,
                        int64_t k1)
{
    const ingot_conv *d = j->d;
    const int64_t at = (y * d->out[2] + x0) * BLOCK;

    r->weights = j->weights + k0 * d->kernel[2] * BLOCK;
    r->dst = j->dst + at;
    r->residual = j->residual ? j->residual + at : NULL;
    r->kh = k1 - k0;
    r->kw = d->kernel[2];
    r->stride = d->stride[2];
    run_row(j, r, x1 - x0);
}

/* The same where the window's rows begin at src, src_row floats apart. */
static void dw_run(const dw_job *j, dw_row_fn *run_row, const float *src, ptrdiff_t src_row, int64_t y, int64_t x0,
                   int64_t x1, int64_t k0, int64_t k1)
{
    dw_row r;

    for (int64_t k = k0; k < k1; k++, src += src_row)
        r.src[k - k0] = src;
    dw_run_rows(j, run_row, &r, y, x0, x1, k0, k1);
}

/* Rows [y0, y1) and columns [x0, x1) by way of the buffer. */
static void dw_buffered(const dw_job *j, int64_t y0, int64_t y1, int64_t x0, int64_t x1)
{
    const ingot_conv *d = j->d;
    const int64_t columns = reach(d, 2, x1 - x0), row = buffer_row(columns) * BLOCK;
    dw_row_fn *run_row = choose_row(d->stride[2], d->kernel[2]);
    _Alignas(64) float buffer[BUFFER * BLOCK];

    fill_buffer(j, buffer, y0 * d->stride[1] - d->pad[1], x0 * d->stride[2] - d->pad[2], reach(d, 1, y1 - y0), columns);
    for (int64_t y = y0; y < y1; y++)
        dw_run(j, run_row, buffer + (y - y0) * d->stride[1] * row, row, y, x0, x1, 0, d->kernel[1]);
    dw_activate(j, y0, y1 - y0, x0, x1);
}

/* A few outputs at an end of a row, from a copy of their source with zeros for the padding. */
static void dw_edge(const dw_job *j, dw_row_fn *run_row, int64_t y, int64_t x0, int64_t x1, int64_t k0, int64_t k1)
{
    const ingot_conv *d = j->d;
    const int64_t columns = x0 < x1 ? reach(d, 2, x1 - x0) : 0;
    _Alignas(64) float buffer[MAX_KERNEL * MAX_KERNEL * (MAX_EDGE + PIXELS) * BLOCK];

    if (columns == 0)
        return;
    fill_buffer(j, buffer, y * d->stride[1] - d->pad[1] + k0, x0 * d->stride[2] - d->pad[2], k1 - k0, columns);
    dw_run(j, run_row, buffer, buffer_row(columns) * BLOCK, y, x0, x1, k0, k1);
}

/* Rows [y0, y1), but for their ends from the source itself. */
static void dw_direct(const dw_job *j, const dw_shape *s, int64_t y0, int64_t y1)
{
    const ingot_conv *d = j->d;
    const int64_t stride = d->stride[2], row = d->in[2] * BLOCK;
    dw_row_fn *run_row = choose_row(stride, d->kernel[2]);

    for (int64_t y = y0; y < y1; y++) {
        /* rows of the window that lie in the source; the others would add zeros and are left out */
        const int64_t top = y * d->stride[1] - d->pad[1];
        const int64_t k0 = min64(d->kernel[1], max64(0, -top)), k1 = max64(k0, min64(d->kernel[1], d->in[1] - top));

        const float *src = j->src + (top + k0) * row + (s->left * stride - d->pad[2]) * BLOCK;

        dw_edge(j, run_row, y, 0, s->left, k0, k1);
        dw_run(j, run_row, src, row, y, s->left, s->right, k0, k1);
        dw_edge(j, run_row, y, s->right, d->out[2], k0, k1);
        dw_activate(j, y, 1, 0, d->out[2]);
    }
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
    vf8 acc = j->bias;

    for (int64_t tz = 0; tz < d->kernel[0]; tz++)
        for (int64_t ty = 0; ty < d->kernel[1]; ty++)
            for (int64_t tx = 0; tx < d->kernel[2]; tx++, w += BLOCK)
                if (tap_inside(d, 0, z, tz, &iz) && tap_inside(d, 1, y, ty, &iy) && tap_inside(d, 2, x, tx, &ix))
                    acc = vf8_fma(vf8_load(j->src + ((iz * d->in[1] + iy) * d->in[2] + ix) * BLOCK), vf8_load(w), acc);
    vf8_store(j->dst + out, dw_finish8(j, acc, j->residual ? j->residual + out : NULL));
}

/* Rows [row0, row1) pixel by pixel, whatever the depth and the dilation. */
static void dw_general(const dw_job *j, int64_t row0, int64_t row1)
{
    for (int64_t row = row0; row < row1; row++) {
        for (int64_t x = 0; x < j->d->out[2]; x++)
            dw_pixel(j, row / j->d->out[1], row % j->d->out[1], x);
        dw_activate(j, row, 1, 0, j->d->out[2]);
    }
}

/* The job of one channel block of an image, which is `plane` of the tensors. */
static dw_job job_of(const ingot_conv *d, const dw_shape *s, const float *packed, const float *src, float *dst,
                     const ingot_epilogue *e, int64_t plane)
{
    /* the last block may have fewer channels than lanes */
    const int64_t block = plane % s->blocks;
    const size_t channels = (size_t)min64(BLOCK, d->oc - block * BLOCK);
    float low, high;

    clip_range(e, &low, &high);
    return (dw_job){
        .d = d, .src = src, .weights = packed + block * s->taps * BLOCK,
        .dst = dst + plane * s->out_plane, .residual = e->residual ? e->residual + plane * s->out_plane : NULL,
        .bias = e->bias ? vf8_load_n(e->bias + block * BLOCK, channels) : vf8_zero(),
        .low = vf8_set1(low), .high = vf8_set1(high), .act = act_follows(e) ? e : NULL,
    };
}

/* Items [i0, i1): each is a band of one channel block, by the way that dw_shape_of() chose. */
void INGOT_FN(dwconv_f32)(const ingot_conv *d, const float *packed, const float *src, float *dst,
                          const ingot_epilogue *e, int64_t i0, int64_t i1)
{
    const dw_shape s = dw_shape_of(d);

    for (int64_t i = i0; i < i1; i++) {
        const int64_t band = i % s.bands, plane = i / s.bands;
        const int64_t row0 = band * s.band, row1 = min64(s.rows, row0 + s.band);
        const dw_job j = job_of(d, &s, packed, src + plane * s.in_plane, dst, e, plane);

        if (!s.buffered)
            dw_general(&j, row0, row1);
        else if (s.direct)
            dw_direct(&j, &s, row0, row1);
        else
            for (int64_t x = 0; x < d->out[2] && row0 < row1; x += s.strip)
                dw_buffered(&j, row0, row1, x, min64(d->out[2], x + s.strip));
    }
}

/* No buffer is needed, as the rows have their padding. */
void INGOT_FN(dwconv_padded)(const ingot_conv *d, const float *packed, const dw_source *src, float *dst,
                             const ingot_epilogue *e, int64_t plane, int64_t y0, int64_t y1)
{
    const dw_shape s = dw_sizes_of(d);
    const dw_job j = job_of(d, &s, packed, NULL, dst, e, plane);
    dw_row_fn *run_row = choose_row(d->stride[2], d->kernel[2]);
    dw_row r;

    for (int64_t y = y0; y < y1; y++) {
        for (int64_t k = 0; k < d->kernel[1]; k++) {
            const int64_t row = y * d->stride[1] - d->pad[1] + k;
            r.src[k] = row < 0 || row >= d->in[1] ? src->zeros : src->first + row % src->ring * src->step;
        }
        dw_run_rows(&j, run_row, &r, y, 0, d->out[2], 0, d->kernel[1]);
    }
    dw_activate(&j, y0, y1 - y0, 0, d->out[2]);
}
