/* gather_channels.c - each channel of a blocked image is a channel of one of several others. Pieces of images are
 * shared out over the team, as convolutions share them out: what a thread has computed stays in its cache. */
#include "ops/gather_channels.h"

#include <string.h>

#include "ops/blocked.h"

/* What prepare finds out. */
typedef struct gather_channels {
    const ingot_op_ctx *ctx;
    const ingot_channel *from;
    int64_t channels, blocks, pixels, pieces;    /* pieces of PIECE pixels that an image is cut into */
} gather_channels;

enum { PIECE = 56 };

/* All inputs are blocked; there are at most 32. */
static ingot_layout layout_gather_channels(const ingot_op_ctx *c)
{
    return (ingot_layout){INGOT_LAYOUT_NATIVE, UINT32_MAX >> (32 - c->n_in)};
}

/* The result is (N, C, D1...) of floats; the inputs differ from it in C alone. */
static ingot_status prepare_gather_channels(ingot_op_ctx *c)
{
    const ingot_channel *from = c->state;
    gather_channels *s = c->state = ingot_keep(c, sizeof *s);
    const ingot_tensor *y = c->out[0];

    if (!s)
        return ingot_op_out_of_memory(c);
    *s = (gather_channels){.ctx = c, .from = from, .channels = y->shape[1], .pixels = ingot_span(y, 2, y->rank)};
    s->blocks = (s->channels + INGOT_BLOCK - 1) / INGOT_BLOCK;
    s->pieces = (s->pixels + PIECE - 1) / PIECE;
    c->kernel = "channels nchw8c";
    return INGOT_OK;
}

static const float zeros[PIECE * INGOT_BLOCK];    /* for channels past the last */

/* n pixels of a block; src[k] is channel k of the first pixel. Written out, as eight pointers fit the registers. */
static void gather_pixels(float *restrict dst, const float *const *src, int64_t n)
{
    const float *c0 = src[0], *c1 = src[1], *c2 = src[2], *c3 = src[3];
    const float *c4 = src[4], *c5 = src[5], *c6 = src[6], *c7 = src[7];

    for (int64_t p = 0; p < n * INGOT_BLOCK; p += INGOT_BLOCK) {
        const float low[4] = {c0[p], c1[p], c2[p], c3[p]}, high[4] = {c4[p], c5[p], c6[p], c7[p]};
        memcpy(dst + p, low, sizeof low);
        memcpy(dst + p + 4, high, sizeof high);
    }
}

/* Task over (image, piece, block), the block running fastest. */
static void gather_pieces(void *argument, int64_t begin, int64_t end, int thread)
{
    const gather_channels *s = argument;
    const ingot_op_ctx *c = s->ctx;

    (void)thread;
    for (int64_t i = begin; i < end; i++) {
        const int64_t block = i % s->blocks, piece = i / s->blocks % s->pieces, image = i / s->blocks / s->pieces;
        const int64_t p0 = piece * PIECE, n = MIN(PIECE, s->pixels - p0), first = block * INGOT_BLOCK;
        const int lanes = (int)MIN(INGOT_BLOCK, s->channels - first);
        float *dst = (float *)c->out[0]->data + ((image * s->blocks + block) * s->pixels + p0) * INGOT_BLOCK;
        const float *src[INGOT_BLOCK] = {zeros, zeros, zeros, zeros, zeros, zeros, zeros, zeros};
        for (int k = 0; k < lanes; k++) {
            const ingot_channel from = s->from[first + k];
            const ingot_tensor *x = c->in[from.input];
            const int64_t plane = image * ((x->shape[1] + INGOT_BLOCK - 1) / INGOT_BLOCK) + from.channel / INGOT_BLOCK;
            src[k] = (const float *)x->data + (plane * s->pixels + p0) * INGOT_BLOCK + from.channel % INGOT_BLOCK;
        }
        gather_pixels(dst, src, n);
    }
}

/* A piece of a block is too little for a thread of its own. */
static ingot_status run_gather_channels(ingot_op_ctx *c)
{
    const gather_channels *s = c->state;

    ingot_parallel(c->team, c->out[0]->shape[0] * s->pieces * s->blocks, 8, gather_pieces, (void *)s);
    return INGOT_OK;
}

const ingot_op ingot_ops_gather_channels[] = {
    {"GatherChannels", 1, 1, INGOT_MANY, {INGOT_TYPE(FLOAT)}, ingot_infer_made, run_gather_channels,
     .prepare = prepare_gather_channels, .flags = INGOT_OP_LONG, .layout = layout_gather_channels,
     .domain = "ingot.internal"},
    {0},
};
