/* conv_band.c - a network's first Conv for a classifier or a pool behind it: what the planner makes of two layers. */
#include "ops/conv_band.h"

#include "ops/conv_blocked.h"
#include "ops/fused.h"
#include "ops/weights.h"

/* Inputs of Conv. */
enum { X, W, B };

enum { MOST_FLOATS = 8192 };             /* of a band: with its classifier's weights it stays in the cache */

static const ingot_tensor *bias_of(const ingot_op_ctx *c) { return c->node->n_inputs > B ? c->in[B] : NULL; }

bool ingot_conv_band_read(const ingot_op_ctx *conv, ingot_conv *d)
{
    ingot_op_ctx copy = *conv;
    ingot_conv_shape shape;
    const bool constant = conv->constants[W] && (!bias_of(conv) || conv->constants[B]);

    if (!constant || !ingot_chain_is_activation(conv) || conv->in[X]->dtype != INGOT_FLOAT ||
        ingot_conv_shape_read(&copy, conv->in[X], conv->in[W], bias_of(conv), &shape) ||
        !ingot_conv_blocked_fits(&shape) || !ingot_conv_reads_plain(&shape) || shape.window.rank != 2)
        return false;
    ingot_conv_describe(&shape, d);
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
    ingot_conv_shape shape;
    ingot_conv_blocked blocked;
    ingot_chain chain;
    ingot_status st = ingot_conv_shape_read(conv, conv->in[X], conv->in[W], bias_of(conv), &shape);

    b->rows = ingot_conv_band_rows(conv);
    if (st || (st = ingot_conv_blocked_prepare(conv, &shape, W, INGOT_PLAIN, INGOT_BLOCKED, &blocked)) ||
        (st = ingot_chain_prepare(conv, conv->out[0], INGOT_CHAIN_ACT, &chain)))
        return st;
    b->kernels = conv->kernels;
    b->conv = blocked.conv;
    b->packed = blocked.packed;
    b->image = ingot_span(conv->in[X], 1, conv->in[X]->rank);
    b->end = chain.kernel;
    return bias_of(conv) ? ingot_constant_floats(conv, B, &b->end.bias) : INGOT_OK;
}

void ingot_conv_band_make(void *argument, int64_t image, int64_t band, float *to, const float *soon, int64_t n_soon)
{
    const ingot_conv_band *b = argument;
    ingot_epilogue end = b->end;

    end.soon = soon;
    end.n_soon = n_soon;
    b->kernels->conv_band_f32(&b->conv, b->packed, b->src + image * b->image, to,
                              b->rows * b->conv.out[2] * INGOT_BLOCK, &end, band * b->rows, (band + 1) * b->rows);
}
