/* channel_norm.c - LayerNormalization over the channels of blocked images: what the planner makes of Transpose,
 * LayerNormalization, Transpose back. Pixels are shared out over the team; each is normalized where it lies. */
#include "ops/blocked.h"

/* Inputs as those of LayerNormalization; BIAS may be left out. */
enum { X, SCALE, BIAS };

/* What prepare finds out, and what each run adds: the pointers. bias is NULL where there is none. */
typedef struct channel_norm {
    const ingot_kernels *kernels;
    int64_t channels, pixels, pieces;    /* pieces of PIECE pixels that an image is cut into */
    float epsilon;
    const float *src, *scale, *bias;
    float *dst;
} channel_norm;

enum { PIECE = 64 };

/* Blocked, even where that costs a Reorder: row-major, each pixel's channels would lie a plane apart. */
static ingot_layout layout_channel_norm(const ingot_op_ctx *c)
{
    (void)c;
    return (ingot_layout){INGOT_LAYOUT_NATIVE, 1};
}

/* X is (N, C, D1...) of floats; scale and bias have C elements each. */
static ingot_status prepare_channel_norm(ingot_op_ctx *c)
{
    channel_norm *s = c->state = ingot_keep(c, sizeof *s);
    const ingot_tensor *x = c->in[X];

    if (!s)
        return ingot_op_out_of_memory(c);
    s->kernels = c->kernels;
    s->channels = x->shape[1];
    s->pixels = ingot_span(x, 2, x->rank);
    s->pieces = (s->pixels + PIECE - 1) / PIECE;
    s->epsilon = ingot_attr_float(c->node, "epsilon", 1e-5f);
    c->kernel = "over channels nchw8c";
    return INGOT_OK;
}

/* Task over pieces of images. Mean and variance are taken over the channels of each pixel, and the lanes past the last
 * channel are left out of them. */
static void norm_pieces(void *argument, int64_t begin, int64_t end, int thread)
{
    const channel_norm *s = argument;
    const int64_t image = (s->channels + INGOT_BLOCK - 1) / INGOT_BLOCK * INGOT_BLOCK * s->pixels;

    (void)thread;
    while (begin < end) {                                /* the pieces of one image at once */
        const int64_t n = begin / s->pieces, p0 = begin % s->pieces, p1 = MIN(s->pieces, p0 + end - begin);
        s->kernels->norm_channels_f32(s->dst + n * image, s->src + n * image, s->channels, s->pixels, p0 * PIECE,
                                      MIN(s->pixels, p1 * PIECE), s->epsilon, s->scale, s->bias);
        begin += p1 - p0;
    }
}

/* Pieces go to the team by the dozen, so that one is worth its call. */
static ingot_status run_channel_norm(ingot_op_ctx *c)
{
    channel_norm *s = c->state;

    s->src = c->in[X]->data;
    s->scale = c->in[SCALE]->data;
    s->bias = ingot_has(c, BIAS) ? c->in[BIAS]->data : NULL;
    s->dst = c->out[0]->data;
    ingot_parallel(c->team, c->in[X]->shape[0] * s->pieces, 1 + 8192 / (PIECE * s->channels), norm_pieces, s);
    return INGOT_OK;
}

const ingot_op ingot_ops_channel_norm[] = {
    {"LayerNormalization", 1, 2, 3, {INGOT_TYPE(FLOAT)}, ingot_infer_made, run_channel_norm,
     .prepare = prepare_channel_norm, .flags = INGOT_OP_INPLACE | INGOT_OP_LONG, .layout = layout_channel_norm,
     .domain = "ingot.internal"},
    {0},
};
