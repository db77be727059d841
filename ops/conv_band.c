/* conv_band.c - a network's first Conv for a classifier or a pool behind it: what the planner makes of two layers. */
#include "ops/conv_band.h"

#include "ops/conv_blocked.h"

enum { X };                              /* the input of Conv that is no constant */

enum { MOST_FLOATS = 8192 };             /* of a band: with its classifier's weights it stays in the cache */

bool ingot_conv_band_read(const ingot_op_ctx *conv, ingot_conv *d)
{
    ingot_conv_shape shape;

    if (conv->in[X]->dtype != INGOT_FLOAT || !ingot_conv_part_read(conv, &shape, d) ||
        !ingot_conv_reads_plain(&shape) || shape.window.rank != 2)
        return false;
    d->plain_src = true;
    return conv->kernels->conv_band_floats_f32(d, 1) > 0;
}

/* Whole blocks of channels, since the classifier's weights have no rows for others. */
int64_t ingot_conv_band_rows(const ingot_op_ctx *conv)
{
    ingot_conv d;

    if (!ingot_conv_band_read(conv, &d) || d.oc % INGOT_BLOCK)
        return 0;
    for (int64_t rows = d.out[1]; rows > 0; rows--) {
        const int64_t n = d.out[1] % rows || rows * d.out[2] * INGOT_BLOCK % INGOT_STRIPE
                              ? 0
                              : conv->kernels->conv_band_floats_f32(&d, rows);
        if (n > 0 && n <= MOST_FLOATS)
            return rows;
    }
    return 0;
}

ingot_status ingot_conv_band_prepare(ingot_op_ctx *conv, ingot_conv_band *b)
{
    b->kernels = conv->kernels;
    b->rows = ingot_conv_band_rows(conv);
    b->image = ingot_span(conv->in[X], 1, conv->in[X]->rank);
    return ingot_conv_part_prepare(conv, INGOT_PLAIN, &b->part);
}

void ingot_conv_band_make(void *argument, int64_t image, int64_t band, float *to, const float *soon, int64_t n_soon)
{
    const ingot_conv_band *b = argument;
    ingot_epilogue end = b->part.end;

    end.soon = soon;
    end.n_soon = n_soon;
    b->kernels->conv_band_f32(&b->part.conv, b->part.packed, b->src + image * b->image, to,
                              b->rows * b->part.conv.out[2] * INGOT_BLOCK, &end, band * b->rows, (band + 1) * b->rows);
}
