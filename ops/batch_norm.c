/* batch_norm.c - BatchNormalization, with given statistics or (training_mode) with those of the batch.
 * Older forms arrive in the newest one; spatial=0, which versions up to 8 have, keeps its attribute: then every
 * position has statistics of its own, as if it were a channel of one pixel. */
#include <math.h>
#include <string.h>

#include "ops/fused.h"
#include "ops/row_loops.h"
#include "ops/strip.h"
#include "ops/weights.h"

/* In the order of the standard; X is the only one that is not per channel. */
enum { X, SCALE, BIAS, MEAN, VARIANCE, N_INPUTS };

/* The operator's state between prepare and run: X as (n, channels, plane), what is fused behind it, and where this run
 * reads and writes. A plan runs once at a time, so run may set fields. */
typedef struct batch_norm {
    ingot_strips strips;
    int64_t n, channels, plane;
    bool training, blocked, rows;        /* rows: of channels, where a plane is one float */
    double epsilon, momentum;
    ingot_op_ctx *ctx;
    ingot_chain chain;
    ingot_epilogue epilogue;             /* of this run: an activation, applied while a strip is in the cache */
    ingot_tensor host;                   /* own result, before fused nodes */
    float *parameters;                   /* sub, mul and add of each channel, in blocks of 8 */
} batch_norm;

/* X (N, C, D1...) as n images of channels planes; spatial = 0 (before opset 9) counts every element after N as its own
 * channel. Scale, bias, mean and variance need one element per channel. INVALID otherwise. A list (C) is one image; a
 * zero size is allowed and leaves nothing to do. */
static ingot_status read_sizes(ingot_op_ctx *c, batch_norm *s)
{
    const ingot_tensor *x = c->in[X];
    const bool spatial = ingot_attr_int(c->node, "spatial", 1) != 0;

    if (x->rank < 1)
        return ingot_op_fail(c, INGOT_INVALID, "input 0 is a scalar");
    s->n = x->rank > 1 ? x->shape[0] : 1;
    s->channels = x->rank == 1 ? x->shape[0] : spatial ? x->shape[1] : ingot_span(x, 1, x->rank);
    s->plane = spatial && x->rank > 2 ? ingot_span(x, 2, x->rank) : 1;
    s->training = ingot_attr_int(c->node, "training_mode", 0) != 0;
    s->epsilon = (double)ingot_attr_float(c->node, "epsilon", 1e-5f);
    s->momentum = (double)ingot_attr_float(c->node, "momentum", 0.9f);
    for (int i = SCALE; i < N_INPUTS; i++)
        if (ingot_count(c->in[i]) != s->channels)
            return ingot_op_fail(c, INGOT_INVALID, "input %d has %lld elements, expected one for each of %lld channels",
                                 i, (long long)ingot_count(c->in[i]), (long long)s->channels);
    return INGOT_OK;
}

/* Y is like X; the running and saved statistics have the shape of the inputs they follow. Fused nodes may then change
 * output 0, so they come last. */
static ingot_status infer_batch_norm(ingot_op_ctx *c)
{
    batch_norm s = { .n = 0 };
    ingot_status st = read_sizes(c, &s);

    if (st || (st = ingot_out_like(c, 0, c->in[X])))
        return st;
    for (int i = 1; i < c->n_out; i++)           /* running mean and variance, then saved ones in old versions */
        if ((st = ingot_out_like(c, i, c->in[i % 2 ? MEAN : VARIANCE])))
            return st;
    return ingot_chain_infer(c);
}

/* Sizes the scratch of the fused chain and of the per-channel parameters that blocked rows read. */
static ingot_status prepare_batch_norm(ingot_op_ctx *c)
{
    batch_norm *s = c->state = ingot_keep(c, sizeof *s);
    ingot_status st;

    if (!s)
        return ingot_op_out_of_memory(c);
    if ((st = read_sizes(c, s)))
        return st;
    /* The normalization itself gives X's shape; what is fused behind it may broadcast that to a larger one. */
    s->host = *c->in[X];
    s->host.layout = c->out[0] ? c->out[0]->layout : INGOT_PLAIN;
    if ((st = ingot_chain_prepare(c, &s->host, s->host.dtype == INGOT_FLOAT ? INGOT_CHAIN_ACT : 0u, &s->chain)))
        return st;
    s->blocked = c->in[X]->layout == INGOT_BLOCKED;
    s->rows = s->plane == 1 && !s->training && c->in[X]->dtype == INGOT_FLOAT;
    /* Scratch memory: that of the chain, of widening, then the parameters. */
    const size_t blocks = (size_t)((s->channels + INGOT_BLOCK - 1) / INGOT_BLOCK);
    const size_t parameters = s->blocked || s->rows ? 3 * blocks * INGOT_BLOCK * sizeof(float) : 0;
    ingot_want_scratch(c, s->chain.scratch_bytes + ingot_widen_bytes(c) + parameters, 0);
    c->kernel = s->training ? "batch statistics" : "scale and shift";
    return INGOT_OK;
}

/* Statistics are optional outputs, and f32 or f64 whatever X is. The fourth and fifth are saved ones, which versions
 * before 14 have; one that nobody wants is left out. */
static void store(const ingot_op_ctx *c, int output, int64_t index, double value)
{
    if (output >= c->n_out || !c->out[output])
        return;
    if (c->out[output]->dtype == INGOT_DOUBLE)
        ((double *)c->out[output]->data)[index] = value;
    else
        ((float *)c->out[output]->data)[index] = (float)value;
}

/* Mean and variance of a channel over the batch: those of its planes, put together. The variance is that of the
 * population (divided by the count), as the standard says, and is taken about the mean of all images in a second pass:
 * squares less the squared mean would cancel. */
static void batch_moments(const batch_norm *s, int64_t channel, double *mean, double *variance)
{
    double sum = 0, squares = 0;

    for (int64_t n = 0; n < s->n; n++) {
        ingot_strip_moments(&s->strips, (n * s->channels + channel) * s->plane, s->plane, mean, variance);
        sum += *mean;
    }
    const double all = s->n > 0 ? sum / (double)s->n : 0;
    for (int64_t n = 0; n < s->n; n++) {
        ingot_strip_moments(&s->strips, (n * s->channels + channel) * s->plane, s->plane, mean, variance);
        squares += *variance + (*mean - all) * (*mean - all);
    }
    *mean = all;
    *variance = s->n > 0 ? squares / (double)s->n : 0;
}

/* Training: this batch's moments, and running = old * momentum + batch * (1 - momentum) as since opset 9. *mean and
 * *variance receive what the normalization itself uses: the batch's. */
static void train_channels(const batch_norm *s, int64_t channel, double *mean, double *variance)
{
    const ingot_op_ctx *c = s->ctx;
    const double old_mean = ingot_parameter(c->in[MEAN], channel),
                 old_variance = ingot_parameter(c->in[VARIANCE], channel);

    batch_moments(s, channel, mean, variance);
    store(c, 1, channel, old_mean * s->momentum + *mean * (1 - s->momentum));
    store(c, 2, channel, old_variance * s->momentum + *variance * (1 - s->momentum));
    store(c, 3, channel, *mean);
    store(c, 4, channel, *variance);
}

/* Channels [begin, end) of all images. y = (x - mean) scale / sqrt(variance + epsilon) + bias, with the parameters in
 * double and one pass over the elements. A fused activation follows while the plane is in the cache. */
static void run_channels(void *argument, int64_t begin, int64_t end, int thread)
{
    const batch_norm *s = argument;
    const ingot_op_ctx *c = s->ctx;

    (void)thread;
    for (int64_t i = begin; i < end; i++) {
        double mean = ingot_parameter(c->in[MEAN], i), variance = ingot_parameter(c->in[VARIANCE], i);
        if (s->training)
            train_channels(s, i, &mean, &variance);
        const double mul = ingot_parameter(c->in[SCALE], i) / sqrt(variance + s->epsilon);
        for (int64_t n = 0; n < s->n; n++) {
            const int64_t at = (n * s->channels + i) * s->plane;
            ingot_strip_scale(&s->strips, at, s->plane, mean, mul, ingot_parameter(c->in[BIAS], i));
            if (s->epilogue.act)
                s->strips.kernels->act_rows_f32((float *)s->strips.dst + at, s->plane, 1, s->plane, &s->epilogue);
        }
    }
}

/* Blocks [begin, end) of 8 channels of one image; blocked layout. Each is one run of plane * 8 floats; lanes past the
 * last channel are computed like the others. */
static void run_blocks(void *argument, int64_t begin, int64_t end, int thread)
{
    const batch_norm *s = argument;
    const int64_t blocks = (s->channels + INGOT_BLOCK - 1) / INGOT_BLOCK, size = s->plane * INGOT_BLOCK;

    (void)thread;
    for (int64_t i = begin; i < end; i++) {
        const float *p = s->parameters + i % blocks * 3 * INGOT_BLOCK;
        s->strips.kernels->scale_shift_blocked_f32((float *)s->strips.dst + i * size,
                                                   (const float *)s->strips.src + i * size, s->plane, p,
                                                   p + INGOT_BLOCK, p + 2 * INGOT_BLOCK);
        if (s->epilogue.act)
            s->strips.kernels->act_rows_f32((float *)s->strips.dst + i * size, size, 1, size, &s->epilogue);
    }
}

/* Rows [begin, end) of channels that lie side by side: channels of one pixel. */
INGOT_VECTOR_LOOPS static void run_rows(void *argument, int64_t begin, int64_t end, int thread)
{
    const batch_norm *s = argument;

    (void)thread;
    for (int64_t i = begin; i < end; i++) {
        const float *x = (const float *)s->strips.src + i * s->channels;
        float *y = (float *)s->strips.dst + i * s->channels;
        for (int64_t c = 0; c < s->channels; c += INGOT_BLOCK) {
            const float *p = s->parameters + c * 3;
            const int64_t n = MIN(INGOT_BLOCK, s->channels - c);
            for (int64_t k = 0; k < n; k++)
                y[c + k] = (x[c + k] - p[k]) * p[INGOT_BLOCK + k] + p[2 * INGOT_BLOCK + k];
        }
        if (s->epilogue.act)
            s->strips.kernels->act_rows_f32(y, s->channels, 1, s->channels, &s->epilogue);
    }
}

/* Per block of channels: INGOT_BLOCK means, then factors scale / sqrt(variance + epsilon), then biases. Made in every
 * run because the statistics may be inputs of the graph; they are few. */
static void fill_parameters(const batch_norm *s)
{
    const ingot_op_ctx *c = s->ctx;

    for (int64_t i = 0; i < (s->channels + INGOT_BLOCK - 1) / INGOT_BLOCK * INGOT_BLOCK; i++) {
        float *p = s->parameters + i / INGOT_BLOCK * 3 * INGOT_BLOCK + i % INGOT_BLOCK;
        const bool real = i < s->channels;       /* lanes past the channels stay finite */
        p[0] = real ? (float)ingot_parameter(c->in[MEAN], i) : 0.0f;
        p[INGOT_BLOCK] = real ? (float)(ingot_parameter(c->in[SCALE], i) /
                                        sqrt(ingot_parameter(c->in[VARIANCE], i) + s->epsilon)) : 0.0f;
        p[2 * INGOT_BLOCK] = real ? (float)ingot_parameter(c->in[BIAS], i) : 0.0f;
    }
}

/* Without training the statistics that are given are those that come out. */
static void keep_statistics(const batch_norm *s)
{
    for (int k = 1; k < s->ctx->n_out; k++)
        for (int64_t i = 0; s->ctx->out[k] && i < s->channels; i++)
            store(s->ctx, k, i, ingot_parameter(s->ctx->in[k % 2 ? MEAN : VARIANCE], i));
}

/* X in f32 or f64: channels are shared out, or (image, block) pairs where X is blocked. The grains make a task worth a
 * few microseconds. */
static ingot_status run_wide(ingot_op_ctx *c)
{
    batch_norm *s = c->state;

    s->ctx = c;
    s->strips = (ingot_strips){ c->kernels, c->in[X]->dtype, c->in[X]->data, c->out[0]->data };
    if (!s->training)
        keep_statistics(s);
    if (s->blocked || s->rows) {
        s->parameters = (float *)(void *)c->scratch;
        fill_parameters(s);
    }
    if (s->blocked) {
        ingot_parallel(c->team, s->n * ((s->channels + INGOT_BLOCK - 1) / INGOT_BLOCK), 1 + 2048 / (s->plane + 1),
                       run_blocks, s);
    } else if (s->rows) {
        ingot_parallel(c->team, s->n, 1 + 16384 / (s->channels + 1), run_rows, s);
    } else {
        ingot_parallel(c->team, s->channels, 1 + 16384 / (s->plane * s->n + 1), run_channels, s);
    }
    return INGOT_OK;
}

/* The normalization writes to the host tensor of the fused chain; the chain's other steps finish from there. c->out[0]
 * is replaced in a copy of the context, so that what is fused sees the whole result as its input. */
static ingot_status run_batch_norm(ingot_op_ctx *c)
{
    batch_norm *s = c->state;
    ingot_tensor *out[INGOT_WIDEN_MAX];
    ingot_op_ctx sub = *c;

    s->host.data = ingot_chain_begin(c, &s->chain, c->scratch, &s->epilogue);
    sub.parent = c;
    sub.n_in = N_INPUTS;
    sub.n_out = MIN(c->n_out, N_INPUTS);
    memcpy(out, c->out, (size_t)sub.n_out * sizeof *out);
    out[0] = &s->host;
    sub.out = out;
    ingot_advance_scratch(&sub, s->chain.scratch_bytes);
    const bool wide = ingot_is_16bit(c->in[X]->dtype);
    const ingot_status st = wide ? ingot_run_widened(&sub, run_wide) : run_wide(&sub);
    return st ? st : ingot_chain_finish(c, &s->chain);
}

/* Blocked channels suit inference on f32 only: training needs the sums of a whole channel. */
static ingot_layout layout_batch_norm(const ingot_op_ctx *c)
{
    const ingot_tensor *x = c->in[X];
    const bool can = x->dtype == INGOT_FLOAT && x->rank >= 3 && x->rank <= 5 && ingot_attr_int(c->node, "spatial", 1) &&
                     !ingot_attr_int(c->node, "training_mode", 0);
    return ingot_chain_layout(c, (ingot_layout){ can ? INGOT_LAYOUT_FOLLOW : INGOT_LAYOUT_PLAIN, can });
}

const ingot_op ingot_ops_batch_norm[] = { { "BatchNormalization",
                                            1,
                                            5,
                                            5,
                                            { INGOT_TYPES_FLOAT, INGOT_TYPES_FLOAT, INGOT_TYPES_FLOAT,
                                              INGOT_TYPES_FLOAT, INGOT_TYPES_FLOAT },
                                            infer_batch_norm,
                                            run_batch_norm,
                                            .prepare = prepare_batch_norm,
                                            .layout = layout_batch_norm,
                                            .flags = INGOT_OP_FUSES | INGOT_OP_LONG },
                                          { 0 } };
