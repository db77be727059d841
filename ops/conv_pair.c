/* conv_pair.c - two Convs in one step: what the planner makes of a 1x1 Conv whose result only a depthwise Conv reads.
 * The result of the first lives in the threads' scratch memory, a few rows at a time. */
#include "ops/conv_pair.h"

#include "ops/conv_blocked.h"
#include "ops/fused.h"
#include "ops/joined.h"
#include "ops/weights.h"

/* Inputs of either Conv. */
enum { X, W, B };

/* What prepare makes; src and dst are this run's. */
typedef struct pair_state {
    const ingot_op_ctx *ctx;
    ingot_pair pair;
    int64_t items;
    const float *src;
    float *dst;
} pair_state;

/* Bias of a Conv, if it has one; constant or not. */
static const ingot_tensor *bias_of(const ingot_op_ctx *c) { return c->node->n_inputs > B ? c->in[B] : NULL; }

/* One of the two in the kernels' terms; false where it is nothing for them. */
static bool read_conv(const ingot_op_ctx *c, ingot_conv_shape *shape, ingot_conv *d)
{
    ingot_op_ctx copy = *c;
    const bool constant = c->constants[W] && (!bias_of(c) || c->constants[B]);

    if (!constant || ingot_conv_shape_read(&copy, c->in[X], c->in[W], bias_of(c), shape) ||
        !ingot_conv_blocked_fits(shape) || !ingot_chain_is_activation(c))
        return false;
    ingot_conv_describe(shape, d);
    return true;
}

/* Weights and biases must be constants, and nothing but an activation may follow either. */
bool ingot_conv_pair_fits(const ingot_op_ctx *mix, const ingot_op_ctx *depthwise)
{
    ingot_conv_shape first, second;
    ingot_pair pair;

    return read_conv(mix, &first, &pair.mix) && read_conv(depthwise, &second, &pair.depthwise) &&
           !ingot_conv_reads_plain(&first) && mix->kernels->pair_items_f32(&pair) > 0;
}

/* Source and result are blocked. */
static ingot_layout layout_pair(const ingot_op_ctx *c)
{
    (void)c;
    return (ingot_layout){ INGOT_LAYOUT_NATIVE, 1u << X };
}

/* Packs the weights of one Conv, given as a context of its own, and puts bias and activation together. */
static ingot_status prepare_one(ingot_op_ctx *c, ingot_conv *d, const float **packed, ingot_epilogue *end)
{
    ingot_conv_shape shape;
    ingot_conv_blocked blocked;
    ingot_chain chain;
    ingot_status st = ingot_conv_shape_read(c, c->in[X], c->in[W], bias_of(c), &shape);

    if (st || (st = ingot_conv_blocked_prepare(c, &shape, W, INGOT_BLOCKED, INGOT_BLOCKED, &blocked)) ||
        (st = ingot_chain_prepare(c, c->out[0], INGOT_CHAIN_ACT, &chain)))
        return st;
    *d = blocked.conv;
    *packed = blocked.packed;
    *end = chain.kernel;
    return bias_of(c) ? ingot_constant_floats(c, B, &end->bias) : INGOT_OK;
}

/* A context for each of the two, with the value between them as a tensor without memory. */
static ingot_status prepare_pair(ingot_op_ctx *c)
{
    const ingot_joined form = *(const ingot_joined *)c->state;
    pair_state *s = c->state = ingot_keep(c, sizeof *s);
    ingot_tensor middle = *c->in[X], *out = &middle;
    ingot_op_ctx mix = *c, depthwise;

    if (!s || !ingot_joined_rest(c, &middle, form.n_before, &depthwise))
        return ingot_op_out_of_memory(c);
    middle.shape[1] = c->in[W]->shape[0];
    middle.layout = INGOT_BLOCKED;
    middle.data = NULL;
    mix.parent = c;
    mix.node = form.before;
    mix.n_in = form.n_before;
    mix.out = &out;

    ingot_pair *p = &s->pair;
    ingot_status st = prepare_one(&mix, &p->mix, &p->mix_packed, &p->mix_end);
    if (st || (st = prepare_one(&depthwise, &p->depthwise, &p->depthwise_packed, &p->depthwise_end)))
        return st;
    s->ctx = c;
    s->items = c->kernels->pair_items_f32(p);
    ingot_want_scratch(c, 0, (size_t)c->kernels->pair_scratch_f32(p) * sizeof(float));
    c->kernel = "1x1 and depthwise nchw8c";
    return INGOT_OK;
}

/* Task over items. */
static void pair_items(void *argument, int64_t begin, int64_t end, int thread)
{
    const pair_state *s = argument;

    s->ctx->kernels->pair_f32(&s->pair, s->src, s->dst, (float *)(void *)ingot_thread_scratch(s->ctx, thread), begin,
                              end);
}

static ingot_status run_pair(ingot_op_ctx *c)
{
    pair_state *s = c->state;

    s->src = c->in[X]->data;
    s->dst = c->out[0]->data;
    ingot_parallel(c->team, s->items, 1, pair_items, s);
    return INGOT_OK;
}

/* Of one of them: two per multiply-add. */
static int64_t flops_of(const ingot_conv *d)
{
    const int64_t sums = d->n * d->oc * d->out[0] * d->out[1] * d->out[2];
    return 2 * sums * (d->ic / d->groups) * d->kernel[0] * d->kernel[1] * d->kernel[2];
}

/* By definition: rows that are computed twice count once. */
static int64_t count_flops(const ingot_op_ctx *c)
{
    const pair_state *s = c->state;
    return flops_of(&s->pair.mix) + flops_of(&s->pair.depthwise);
}

const ingot_op ingot_ops_conv_pair[] = {
    { "ConvPair", 1, 2, INGOT_MANY, { INGOT_TYPE(FLOAT) }, ingot_infer_made, run_pair, .prepare = prepare_pair,
      .layout = layout_pair, .flops = count_flops, .flags = INGOT_OP_LAZY | INGOT_OP_LONG, .domain = "ingot.internal" },
    { 0 }
};

const ingot_op *ingot_conv_pair_op(void) { return ingot_ops_conv_pair; }
