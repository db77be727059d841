/* strassen.c - 1x1 convolution of stride 1 with seven products of halves instead of eight, by Strassen's way in
 * Winograd's form.
 *
 * A band of pixels is halved, as are the channels of either side. With the source's quarters A11 A12 A21 A22 (pixels by
 * input channels) and the weights' B11 B12 B21 B22 (input by output channels):
 *   S1 = A21 + A22   S2 = S1 - A11   S3 = A11 - A21   S4 = A12 - S2
 *   T1 = B12 - B11   T2 = B22 - T1   T3 = B22 - B12   T4 = T2 - B21
 *   P1 = A11 B11   P2 = A12 B21   P3 = S4 B22   P4 = A22 T4   P5 = S1 T1   P6 = S2 T2   P7 = S3 T3
 *   U = P1 + P6 + P7
 *   C11 = P1 + P2   C12 = P1 + P6 + P5 + P3   C21 = U - P4   C22 = U + P5
 * T1 to T4 are made when weights are packed, in double. The sums S1 to S4 of a band go to scratch memory, V[sum][ic
 * block][pixel][8]. For each unit of a half's output channels the products go to M[product][pixel][UNIT], and from
 * there to dst: the unit itself and the one that is half of all channels further. Work items are (image, band, unit),
 * the unit running fastest, and the sums of a band are made once for all of its items that follow each other on one
 * scratch memory.
 *
 * A result's error is that of the direct way for the larger of the two pixels that meet in its sums, some times over;
 * and an infinity or NaN reaches both.
 *
 * Source: V. Strassen, "Gaussian Elimination is not Optimal", 1969; S. Winograd, "On Multiplication of 2x2 Matrices",
 * 1971. */
#include "ops/kernels/epilogue.h"
#include "ops/kernels/pixel_product.h"

enum {
    PRODUCTS = 7,
    SUMS = 4,
    V_BYTES = 256 * 1024,               /* of a band's sums */
    MOST_WEIGHTS = 512 * 1024,          /* whose seven quarters are worth their memory */
    LINE = 16,                          /* floats; keeps the sums out of each other's cache sets */
};

/* What follows from a convolution's numbers. */
typedef struct strassen_shape {
    int64_t ic_blocks, oc, units;       /* of a half */
    int64_t pixels, band, bands;        /* of an image; of a half of each band but the last; of an image */
    int64_t v_block, v_sum, m_product;  /* floats from one channel block, sum or product to the next */
    int64_t plane;
} strassen_shape;

/* Bands are whole tiles of pixels, but for the last. */
static strassen_shape shape_of(const ingot_conv *d)
{
    strassen_shape s = { .ic_blocks = d->ic / BLOCK / 2, .oc = d->oc / 2, .pixels = d->out[0] * d->out[1] * d->out[2] };
    const int64_t tiles = ceil_div(s.pixels, 2 * CONV_PX2);
    const int64_t tile_bytes = SUMS * s.ic_blocks * BLOCK * CONV_PX2 * (int64_t)sizeof(float);
    const int64_t bands = ceil_div(tiles, max64(1, V_BYTES / tile_bytes));

    s.units = ceil_div(s.oc, UNIT);
    s.plane = s.pixels * BLOCK;
    s.band = min64(ceil_div(tiles, bands) * CONV_PX2, ceil_div(s.pixels, 2));
    s.bands = ceil_div(s.pixels, 2 * s.band);
    s.v_block = s.band * BLOCK;
    s.v_sum = s.ic_blocks * s.v_block + LINE;
    s.m_product = s.band * UNIT + LINE;
    return s;
}

/* Output channels of a half, as they are packed: whole vectors. */
static int64_t padded(int64_t oc) { return ceil_div(oc, VF32_LANES) * VF32_LANES; }

int64_t INGOT_FN(strassen_packed_f32)(const ingot_conv *d)
{
    return PRODUCTS * (d->ic / 2) * padded(d->oc / 2);
}

int64_t INGOT_FN(strassen_units_f32)(const ingot_conv *d) { return ceil_div(d->oc / 2, UNIT); }

int64_t INGOT_FN(strassen_scratch_f32)(const ingot_conv *d)
{
    const strassen_shape s = shape_of(d);
    return SUMS * s.v_sum + PRODUCTS * s.m_product;
}

int64_t INGOT_FN(strassen_items_f32)(const ingot_conv *d)
{
    const strassen_shape s = shape_of(d);
    return d->n * s.bands * s.units;
}

/* Halves of whole blocks on either side, and of more than one pixel. */
static bool suits(const ingot_conv *d)
{
    bool fits = d->groups == 1 && !d->plain_src && d->ic % (2 * BLOCK) == 0 && d->oc % (2 * BLOCK) == 0;

    for (int i = 0; i < 3; i++)
        fits &= d->kernel[i] == 1 && d->stride[i] == 1 && d->pad[i] == 0 && d->in[i] == d->out[i];
    return fits && d->out[0] * d->out[1] * d->out[2] > 1;
}

/* Estimated time in parts of the direct way's: the products, and what is done besides for each input channel, which all
 * output channels share, and for each result. Measured on Zen 4, with vectors of 512 bits. */
static double estimate(const ingot_conv *d) { return 0.888 + 4.7 / (double)d->oc + 5.6 / (double)d->ic; }

/* Could two threads share the work evenly? They would not a few units of which one is short. */
static bool divides_evenly(const ingot_conv *d) { return d->oc % (4 * UNIT) == 0; }

/* Where this should be three percent faster than the direct way. Whole vectors of 512 bits, multiplied two in a cycle,
 * would spend twice the share on what is done besides; with 8 lanes whole nets gain nothing, and the baseline's choices
 * are those of every processor. Packed weights are seven quarters of the weights: not of the largest ones. */
bool INGOT_FN(strassen_choose_f32)(const ingot_conv *d, bool wherever_possible)
{
    const bool gains =
        wide_is_split() && divides_evenly(d) && d->ic * d->oc <= MOST_WEIGHTS && estimate(d) < 0.97;

    return suits(d) && (wherever_possible || gains);
}

/* Units are [product][ic][output channel of the unit]. */
void INGOT_FN(strassen_pack_f32)(const ingot_conv *d, float *packed, const float *weights, int64_t u0, int64_t u1)
{
    const int64_t ic = d->ic / 2, oc = d->oc / 2;

    for (int64_t u = u0; u < u1; u++) {
        const int width = unit_width_of(oc, u);
        const int64_t exist = min64(width, oc - u * UNIT), product = ic * width;
        float *to = packed + u * UNIT * PRODUCTS * ic;

        memset(to, 0, (size_t)(PRODUCTS * product) * sizeof *to);
        for (int64_t o = 0; o < exist; o++) {
            const float *left = weights + (u * UNIT + o) * d->ic, *right = left + oc * d->ic;

            for (int64_t c = 0; c < ic; c++) {
                const double b11 = left[c], b21 = left[ic + c], b12 = right[c], b22 = right[ic + c];
                const double b[PRODUCTS] = { b11,       b21,             b22,      b22 - b12 + b11 - b21,
                                             b12 - b11, b22 - b12 + b11, b22 - b12 };
                for (int p = 0; p < PRODUCTS; p++)
                    to[p * product + c * width + o] = (float)b[p];
            }
        }
    }
}

/* One call's work. */
typedef struct strassen_job {
    const strassen_shape *s;
    const ingot_epilogue *e;
    const float *src, *packed;          /* src: of the band's image */
    float *dst, *v, *products;
    int64_t from, first, second;        /* the band's first pixel, and the pixels of its halves */
} strassen_job;

/* S1 to S4 of a band. Where the second half is a pixel shorter, that pixel is zero. */
static void add_source(const strassen_job *j)
{
    const strassen_shape *s = j->s;
    const int64_t half = s->ic_blocks * s->plane, n = j->second * BLOCK;

    for (int64_t b = 0; b < s->ic_blocks; b++) {
        const float *a11 = j->src + b * s->plane + j->from * BLOCK, *a12 = a11 + half;
        const float *a21 = a11 + j->first * BLOCK, *a22 = a21 + half;
        float *v = j->v + b * s->v_block;
        int64_t i = 0;

        for (; i + VF32_LANES <= n; i += VF32_LANES) {
            const vf32 x11 = vf32_load(a11 + i), x21 = vf32_load(a21 + i);
            const vf32 s1 = vf32_add(x21, vf32_load(a22 + i)), s2 = vf32_sub(s1, x11);
            vf32_store(v + i, s1);
            vf32_store(v + s->v_sum + i, s2);
            vf32_store(v + 2 * s->v_sum + i, vf32_sub(x11, x21));
            vf32_store(v + 3 * s->v_sum + i, vf32_sub(vf32_load(a12 + i), s2));
        }
        for (; i < j->first * BLOCK; i += BLOCK) {
            const vf8 x11 = vf8_load(a11 + i), x21 = i < n ? vf8_load(a21 + i) : vf8_zero();
            const vf8 s1 = i < n ? vf8_add(x21, vf8_load(a22 + i)) : vf8_zero(), s2 = vf8_sub(s1, x11);
            vf8_store(v + i, s1);
            vf8_store(v + s->v_sum + i, s2);
            vf8_store(v + 2 * s->v_sum + i, vf8_sub(x11, x21));
            vf8_store(v + 3 * s->v_sum + i, vf8_sub(vf8_load(a12 + i), s2));
        }
    }
}

/* All products of a unit. The next product's weights are asked for meanwhile; at the very last, what is read after the
 * convolution. */
static void multiply(const strassen_job *j, int64_t unit, bool last)
{
    const strassen_shape *s = j->s;
    const int width = unit_width_of(s->oc, unit);
    const int64_t half = s->ic_blocks * s->plane, product = s->ic_blocks * BLOCK * width;
    const float *a11 = j->src + j->from * BLOCK, *a12 = a11 + half, *a22 = a12 + j->first * BLOCK;
    const struct { const float *src; bool sum; int64_t pixels; } left[PRODUCTS] = {
        { a11, false, j->first }, { a12, false, j->first }, { j->v + 3 * s->v_sum, true, j->first },
        { a22, false, j->second }, { j->v, true, j->first }, { j->v + s->v_sum, true, j->first },
        { j->v + 2 * s->v_sum, true, j->first },
    };
    pixel_product p = { .blocks = s->ic_blocks, .weight_block = BLOCK * width, .row = UNIT,
                        .ends_short = unit_ends_short(s->oc, unit) };

    for (int i = 0; i < PRODUCTS; i++) {
        p.src = left[i].src;
        p.plane = left[i].sum ? s->v_block : s->plane;
        p.weights = j->packed + unit * UNIT * PRODUCTS * s->ic_blocks * BLOCK + i * product;
        p.sums = j->products + i * s->m_product;
        p.soon = read_after(p.weights, product, i == PRODUCTS - 1 && unit + 1 == s->units, last ? j->e : NULL);
        INGOT_FN(multiply_strips)(&p, left[i].pixels, width);
    }
}

/* Where two results of a pixel's vector of channels go: half of the channels apart. */
typedef struct strassen_out {
    float *dst;
    const float *residual;
    ptrdiff_t plane, half;
    int blocks;                         /* that exist */
    vf32 bias[2], low, high;
} strassen_out;

/* Bias, residual, clipping and the store of the result in either half of the channels, `at` floats on. */
INGOT_INLINE void finish_result(const strassen_out *o, int half, ptrdiff_t at, vf32 x, bool residual, bool high)
{
    at += half * o->half;
    x = vf32_add(x, o->bias[half]);
    if (residual)
        x = vf32_add(x, vf32_load_blocks(o->residual + at, o->plane, o->blocks));
    x = vf32_max(o->low, x);
    vf32_store_blocks(o->dst + at, o->plane, o->blocks, high ? vf32_min(o->high, x) : x);
}

/* M of a unit to dst: one vector of its channels, and the one half of all further. */
INGOT_INLINE void add_products(const strassen_job *j, const strassen_out *o, const float *products, bool residual,
                               bool high)
{
    const int64_t step = j->s->m_product, jump = j->first * BLOCK;

    for (int64_t i = 0; i < j->first; i++, products += UNIT) {
        const vf32 p1 = vf32_load(products), p5 = vf32_load(products + 4 * step);
        const vf32 u2 = vf32_add(p1, vf32_load(products + 5 * step));
        const vf32 u3 = vf32_add(u2, vf32_load(products + 6 * step));

        finish_result(o, 0, i * BLOCK, vf32_add(p1, vf32_load(products + step)), residual, high);
        finish_result(o, 1, i * BLOCK, vf32_add(vf32_add(u2, p5), vf32_load(products + 2 * step)), residual, high);
        if (i >= j->second)
            break;
        finish_result(o, 0, jump + i * BLOCK, vf32_sub(u3, vf32_load(products + 3 * step)), residual, high);
        finish_result(o, 1, jump + i * BLOCK, vf32_add(u3, p5), residual, high);
    }
}

/* All vectors of a unit to the image `out` floats into dst. */
static void finish_unit(const strassen_job *j, int64_t unit, int64_t out)
{
    const strassen_shape *s = j->s;
    const int64_t half = s->oc / BLOCK * s->plane, pixels = j->first + j->second;
    const ingot_epilogue *e = j->e;
    strassen_out o = { .plane = s->plane, .half = half };
    float low, high;

    clip_range(e, &low, &high);
    o.low = vf32_set1(low);
    o.high = vf32_set1(high);
    for (int64_t c = 0; c < unit_width_of(s->oc, unit); c += VF32_LANES) {
        const int64_t oc = unit * UNIT + c, left = min64(VF32_LANES, s->oc - oc);
        const int64_t at = out + oc / BLOCK * s->plane + j->from * BLOCK;

        o.blocks = (int)ceil_div(left, BLOCK);
        for (int h = 0; h < 2; h++)
            o.bias[h] = e->bias ? vf32_load_n(e->bias + h * s->oc + oc, (size_t)left) : vf32_zero();
        o.dst = j->dst + at;
        o.residual = e->residual ? e->residual + at : NULL;
        if (high < INFINITY)
            add_products(j, &o, j->products + c, o.residual, true);
        else if (o.residual)
            add_products(j, &o, j->products + c, true, false);
        else
            add_products(j, &o, j->products + c, false, false);
        for (int b = 0; act_follows(e) && b < 2 * o.blocks; b++)
            INGOT_FN(act_rows_f32)(o.dst + b % 2 * half + b / 2 * s->plane, 0, 1, pixels * BLOCK, e);
    }
}

/* Items [i0, i1). *held is the band whose sums are in scratch, or -1. */
void INGOT_FN(strassen_f32)(const ingot_conv *d, const float *packed, const float *src, float *dst,
                            const ingot_epilogue *e, float *scratch, int64_t *held, int64_t i0, int64_t i1)
{
    const strassen_shape s = shape_of(d);
    strassen_job j = { .s = &s, .e = e, .packed = packed, .dst = dst, .v = scratch,
                       .products = scratch + SUMS * s.v_sum };

    for (int64_t i = i0; i < i1; i++) {
        const int64_t unit = i % s.units, band = i / s.units, image = band / s.bands;
        const int64_t from = band % s.bands * 2 * s.band, pixels = min64(2 * s.band, s.pixels - from);

        j.src = src + image * 2 * s.ic_blocks * s.plane;
        j.from = from;
        j.first = ceil_div(pixels, 2);
        j.second = pixels - j.first;
        if (band != *held)
            add_source(&j);
        *held = band;
        multiply(&j, unit, i + 1 == d->n * s.bands * s.units);
        finish_unit(&j, unit, image * (d->oc / BLOCK) * s.plane);
    }
}
