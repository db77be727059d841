/* conv_pair.c - two Convs in one step: what the planner makes of a 1x1 Conv whose result only a depthwise Conv reads.
 * The result of the first lives in the threads' scratch memory, a few rows at a time. */
#include "ops/conv_pair.h"

#include "ops/conv_blocked.h"
#include "ops/conv_part.h"
#include "ops/joined.h"

/* Inputs of either Conv. */
enum { X, W };

/* What prepare makes; src and dst are this run's. */
typedef struct pair_state {
    const ingot_op_ctx *ctx;
    ingot_pair pair;
    int64_t items;
    const float *src;
    float *dst;
} pair_state;

/* Weights and biases must be constants, and nothing but an activation may follow either. */
bool ingot_conv_pair_fits(const ingot_op_ctx *mix, const ingot_op_ctx *depthwise)
{
    ingot_conv_shape first, second;
    ingot_pair pair;

    return ingot_conv_part_read(mix, &first, &pair.mix) && ingot_conv_part_read(depthwise, &second, &pair.depthwise) &&
           !ingot_conv_reads_plain(&first) && mix->kernels->pair_items_f32(&pair) > 0;
}

/* Source and result are blocked. */
static ingot_layout layout_pair(const ingot_op_ctx *c)
{
    (void)c;
    return (ingot_layout){ INGOT_LAYOUT_NATIVE, 1u << X };
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
    mix.conv_algorithm = INGOT_CONV_DIRECT;             /* the kernel's own way with weights packed so */

    ingot_conv_part first, second;
    ingot_status st = ingot_conv_part_prepare(&mix, INGOT_BLOCKED, &first);
    if (st || (st = ingot_conv_part_prepare(&depthwise, INGOT_BLOCKED, &second)))
        return st;
    s->ctx = c;
    s->pair = (ingot_pair){ first.conv, second.conv, first.packed, second.packed, first.end, second.end };
    s->items = c->kernels->pair_items_f32(&s->pair);
    ingot_want_scratch(c, 0, (size_t)c->kernels->pair_scratch_f32(&s->pair) * sizeof(float));
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
