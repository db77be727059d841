/* conv_pool.c - Conv and MaxPool in one step: what the planner makes of a network's first layers. The Conv's result,
 * the largest tensor of the network, lives in the threads' scratch memory, a band of rows at a time. Rows that the next
 * band sees too are kept for it. */
#include "ops/conv_pool.h"

#include <string.h>

#include "ops/conv_band.h"
#include "ops/joined.h"
#include "ops/pool.h"

/* Inputs of the Conv. */
enum { X, W };

enum {
    BAND_FLOATS = 64 * 1024,                 /* of the Conv's result, for rows that no other band needs: 256 KiB */
    LEAST_FLOATS = 64 * 1024,                /* of an image of it: what is smaller stays in the cache by itself */
    HEAD_FLOATS = 16,                        /* of a thread's scratch: the item that the rest is of (-1: none yet) */
};

/* What prepare makes; dst is this run's. */
typedef struct conv_pool {
    const ingot_op_ctx *ctx;
    ingot_conv_band band;
    ingot_pool pool;
    int64_t rows, bands;                     /* of the result, in an item; items of an image */
    int64_t plane;                           /* floats of a channel block in scratch memory */
    int64_t blocks;                          /* of the result's channels */
    float *dst;
} conv_pool;

/* Neighbouring windows may share rows, but must leave none out. */
bool ingot_conv_pool_fits(const ingot_op_ctx *conv, const ingot_op_ctx *pool)
{
    ingot_conv d;
    ingot_pool p;

    return ingot_conv_band_read(conv, &d) && ingot_max_pool_read(pool, &p) && p.dilation[1] == 1 &&
           p.kernel[1] >= p.stride[1] && p.pad[1] < p.kernel[1] && d.oc * d.out[1] * d.out[2] >= LEAST_FLOATS;
}

/* The source is read row-major, the result is blocked. */
static ingot_layout layout_conv_pool(const ingot_op_ctx *c)
{
    (void)c;
    return (ingot_layout){ INGOT_LAYOUT_NATIVE, 0 };
}

/* Bands of nearly equal size, and the rows of the Conv's result that one of them sees: windows may be far larger. */
static void cut(conv_pool *s)
{
    const ingot_pool *p = &s->pool;
    const int64_t row = p->in[2] * INGOT_BLOCK, most = BAND_FLOATS / (s->blocks * row * p->stride[1]);

    s->bands = (p->out[1] + MAX(most, 1) - 1) / MAX(most, 1);
    s->rows = (p->out[1] + s->bands - 1) / s->bands;
    s->bands = (p->out[1] + s->rows - 1) / s->rows;
    s->plane = MIN((s->rows - 1) * p->stride[1] + p->kernel[1], p->in[1]) * row;
}

/* A context for each of the two, with the value between them as a tensor without memory. */
static ingot_status prepare_conv_pool(ingot_op_ctx *c)
{
    const ingot_joined form = *(const ingot_joined *)c->state;
    conv_pool *s = c->state = ingot_keep(c, sizeof *s);
    ingot_tensor middle = { .dtype = INGOT_FLOAT, .rank = 4, .layout = INGOT_BLOCKED }, *out = &middle, *in = &middle;
    ingot_op_ctx conv = *c, pool = *c;
    ingot_conv d;

    if (!s)
        return ingot_op_out_of_memory(c);
    conv.parent = pool.parent = c;
    conv.node = form.before;
    conv.n_in = form.n_before;
    conv.out = &out;
    pool.in = &in;
    pool.n_in = 1;
    if (!ingot_conv_band_read(&conv, &d))
        return ingot_infer_made(c);
    memcpy(middle.shape, (const int64_t[]){ d.n, d.oc, d.out[1], d.out[2] }, 4 * sizeof *middle.shape);
    if (!ingot_max_pool_read(&pool, &s->pool))
        return ingot_infer_made(c);

    const ingot_status st = ingot_conv_band_prepare(&conv, &s->band);
    s->ctx = c;
    s->blocks = (d.oc + INGOT_BLOCK - 1) / INGOT_BLOCK;
    cut(s);
    ingot_want_scratch(c, 0, (size_t)(HEAD_FLOATS + s->blocks * s->plane) * sizeof(float));
    c->kernel = s->band.part.conv.minimal ? "winograd 1x4 nchw to nchw8c, pooled" : "direct nchw to nchw8c, pooled";
    return st;
}

/* Rows [from, to) of the Conv's result that windows [y0, y1) see. */
typedef struct seen { int64_t from, to; } seen;

static seen rows_seen(const ingot_pool *p, int64_t y0, int64_t y1)
{
    const int64_t from = MIN(p->in[1], MAX(0, y0 * p->stride[1] - p->pad[1]));
    return (seen){ from, MAX(from, MIN(p->in[1], (y1 - 1) * p->stride[1] - p->pad[1] + p->kernel[1])) };
}

/* Rows of the result, of one image; `held`: the band before is in scratch. */
static void run_band(const conv_pool *s, float *scratch, int64_t image, int64_t y0, int64_t y1, bool held, bool last)
{
    const ingot_kernels *k = s->ctx->kernels;
    const ingot_pool *p = &s->pool;
    const seen now = rows_seen(p, y0, y1), before = held ? rows_seen(p, y0 - s->rows, y0) : (seen){ 0, now.from };
    const int64_t row = p->in[2] * INGOT_BLOCK, kept = before.to - now.from;
    ingot_epilogue end = s->band.part.end;
    ingot_pool part = *p;

    if (last) {
        end.soon = s->ctx->soon.first;
        end.n_soon = s->ctx->soon.n;
    }
    for (int64_t b = 0; b < s->blocks && kept > 0; b++)
        memmove(scratch + b * s->plane, scratch + b * s->plane + (now.from - before.from) * row,
                (size_t)(kept * row) * sizeof *scratch);
    if (before.to < now.to)
        k->conv_band_f32(&s->band.part.conv, s->band.part.packed, s->band.src + image * s->band.image,
                         scratch + kept * row, s->plane, &end, before.to, now.to);

    /* the pool of these rows alone, where its windows begin in them */
    part.in[1] = now.to - now.from;
    part.out[1] = y1 - y0;
    part.pad[1] = now.from - (y0 * p->stride[1] - p->pad[1]);
    for (int64_t b = 0; b < s->blocks; b++)
        k->pool_blocked_f32(&part, scratch + b * s->plane,
                            s->dst + ((image * s->blocks + b) * p->out[1] + y0) * p->out[2] * INGOT_BLOCK, 0, y1 - y0);
}

/* Task over items: images by bands. */
static void run_bands(void *argument, int64_t begin, int64_t end, int thread)
{
    const conv_pool *s = argument;
    float *scratch = (float *)(void *)ingot_thread_scratch(s->ctx, thread);
    int64_t *held = (int64_t *)(void *)scratch;

    for (int64_t i = begin; i < end; i++) {
        const int64_t y0 = i % s->bands * s->rows;
        run_band(s, scratch + HEAD_FLOATS, i / s->bands, y0, MIN(s->pool.out[1], y0 + s->rows),
                 y0 > 0 && *held == i - 1, i + 1 == s->band.part.conv.n * s->bands);
        *held = i;
    }
}

static ingot_status run_conv_pool(ingot_op_ctx *c)
{
    conv_pool *s = c->state;

    s->band.src = c->in[X]->data;
    s->dst = c->out[0]->data;
    for (int thread = 0; thread < ingot_team_size(c->team); thread++)
        *(int64_t *)(void *)ingot_thread_scratch(c, thread) = -1;
    ingot_parallel(c->team, s->band.part.conv.n * s->bands, 1, run_bands, s);
    return INGOT_OK;
}

/* Of the Conv by definition: two per multiply-add. */
static int64_t count_flops(const ingot_op_ctx *c)
{
    const conv_pool *s = c->state;
    const ingot_conv *d = &s->band.part.conv;
    return 2 * d->n * d->out[1] * d->out[2] * ingot_count(c->in[W]);
}

const ingot_op ingot_ops_conv_pool[] = {
    { "ConvPool", 1, 2, INGOT_MANY, { INGOT_TYPE(FLOAT) }, ingot_infer_made, run_conv_pool,
      .prepare = prepare_conv_pool, .layout = layout_conv_pool, .flops = count_flops,
      .flags = INGOT_OP_LAZY | INGOT_OP_LONG, .domain = "ingot.internal" },
    { 0 }
};

const ingot_op *ingot_conv_pool_op(void) { return ingot_ops_conv_pool; }
