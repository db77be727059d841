/* conv.c - Conv and ConvTranspose. float goes to the blocked kernels, in whatever layout the planner chose; the other
 * types to loops that follow the definition. */
#include "ops/conv_normalized.h"
#include "ops/conv_scaled.h"

#include "ops/conv_blocked.h"
#include "ops/fused.h"
#include "ops/joined.h"
#include "ops/strip.h"
#include "ops/weights.h"

#include <math.h>
#include <string.h>

/* Inputs: X (N, ic, D1...), W (oc, ic / group, kernel...) or transposed (ic, oc / group, kernel...), and B (oc), which
 * may be left out. */
enum { X, W, B, N_INPUTS };

/* What prepare decides: the sizes, one of two ways, and the fused nodes. weights and bias are set only for constants
 * that the way needs in memory as they are; packed weights belong to `blocked`. */
typedef struct conv_state {
    ingot_conv_shape shape;
    ingot_tensor *weights, *bias;        /* constants read from the file, or NULL */
    ingot_chain chain;
    bool fast;                           /* by the blocked kernels */
    ingot_conv_blocked blocked;
    ingot_tensor host;                   /* own result, before fused nodes */
    size_t scaled_at;                    /* in scratch memory: weights that are scaled in every run */
} conv_state;

/* The two operators differ in shapes, kernel and plain loops, which the shape tells apart from there on. Both share
 * everything that has to do with fused nodes and layouts. */
static bool is_transposed(const ingot_op_ctx *c) { return !strcmp(c->op->op_type, "ConvTranspose"); }

/* Check inputs against each other and resolve the window (pads, auto_pad, output_shape). INVALID with a line that says
 * what does not fit. Fused nodes' inputs follow the own ones in c->in, so the bias is looked for by the node's
 * count. */
static ingot_status read_shape(ingot_op_ctx *c, ingot_conv_shape *shape)
{
    const ingot_tensor *bias = c->node->n_inputs > B ? c->in[B] : NULL;
    return is_transposed(c) ? ingot_conv_transposed_shape_read(c, c->in[X], c->in[W], bias, shape)
                            : ingot_conv_shape_read(c, c->in[X], c->in[W], bias, shape);
}

/* (N, oc, D1...), into sizes[rank]. */
static void output_shape(const ingot_conv_shape *shape, int64_t *sizes)
{
    sizes[0] = shape->n;
    sizes[1] = shape->oc;
    memcpy(sizes + 2, shape->window.out, (size_t)shape->window.rank * sizeof *sizes);
}

/* Y (N, oc, D1...), then the shape of whatever is fused behind it. Only shapes are read, so this never waits for
 * data. */
static ingot_status infer_conv(ingot_op_ctx *c)
{
    ingot_conv_shape shape;
    int64_t sizes[INGOT_MAX_RANK];
    ingot_status st = read_shape(c, &shape);

    if (st)
        return st;
    output_shape(&shape, sizes);
    st = ingot_out(c, 0, c->in[X]->dtype, c->in[X]->rank, sizes);
    return st ? st : ingot_chain_infer(c);
}

/* f32 on the blocked kernels. A residual can be added in the kernel only if it has the blocked layout too. Activations
 * always can. Bias is the kernel's own business. */
static ingot_status prepare_fast(ingot_op_ctx *c, conv_state *s)
{
    const int layout = c->out[0]->layout;
    const unsigned in_kernel = INGOT_CHAIN_ACT | (layout == INGOT_BLOCKED ? INGOT_CHAIN_RESIDUAL : 0u);
    ingot_status st = ingot_chain_prepare(c, &s->host, in_kernel, &s->chain);

    if (st || (st = ingot_conv_blocked_prepare(c, &s->shape, W, c->in[X]->layout, layout, &s->blocked)))
        return st;
    ingot_want_scratch(c, s->chain.scratch_bytes + s->blocked.scratch_bytes, s->blocked.thread_scratch_bytes);
    c->kernel = ingot_conv_blocked_name(&s->blocked);
    return INGOT_OK;
}

/* Chooses between the blocked kernels and the plain loops, and loads constant weights for the latter. c->out[0] may be
 * larger than the host, whose shape is the convolution's own: a fused node may broadcast. */
static ingot_status prepare_conv(ingot_op_ctx *c)
{
    conv_state *s = c->state = ingot_keep(c, sizeof *s);
    ingot_status st;

    if (!s)
        return ingot_op_out_of_memory(c);
    if ((st = read_shape(c, &s->shape)) || (st = ingot_load_constant(c, B, &s->bias)))
        return st;
    s->host = *c->out[0];
    output_shape(&s->shape, s->host.shape);
    s->host.rank = c->in[X]->rank;
    s->fast = s->host.dtype == INGOT_FLOAT && ingot_conv_blocked_fits(&s->shape);
    if (s->fast)
        return prepare_fast(c, s);
    if ((st = ingot_load_constant(c, W, &s->weights)) || (st = ingot_chain_prepare(c, &s->host, 0, &s->chain)))
        return st;
    ingot_want_scratch(c, s->chain.scratch_bytes + ingot_widen_bytes(c), 0);
    c->kernel = "plain";
    return INGOT_OK;
}

/* The plain loops, in f32 or f64. c->in[W] and c->in[B] have been replaced by the constants that prepare loaded. */
static ingot_status run_plain(ingot_op_ctx *c)
{
    const conv_state *s = c->state;

    ingot_conv_plain(c->team, c->in[X]->dtype, &s->shape, c->in[X]->data, c->in[W]->data,
                     c->n_in > B && c->in[B] ? c->in[B]->data : NULL, c->out[0]->data);
    return INGOT_OK;
}

/* Everything the blocked kernels do not take; 16-bit floats are widened around the plain loops. The copy of the context
 * has the convolution's own inputs and output only, which is what the widening goes through. */
static ingot_status run_slow(ingot_op_ctx *c, conv_state *s)
{
    ingot_tensor *in[N_INPUTS] = { c->in[X], s->weights ? s->weights : c->in[W] }, *out = &s->host;
    ingot_op_ctx sub = *c;

    if (c->node->n_inputs > B && c->in[B])
        in[B] = s->bias ? s->bias : c->in[B];
    sub.parent = c;
    sub.in = in;
    sub.n_in = c->node->n_inputs;
    sub.out = &out;
    sub.n_out = 1;
    ingot_advance_scratch(&sub, s->chain.scratch_bytes);
    return ingot_is_16bit(s->host.dtype) ? ingot_run_widened(&sub, run_plain) : run_plain(&sub);
}

/* The kernel writes to the chain's host tensor and applies the epilogue; the chain finishes the rest. Scratch memory:
 * the chain's first, then the way's own. */
static ingot_status run_with(ingot_op_ctx *c, const ingot_conv_blocked *blocked)
{
    conv_state *s = c->state;
    ingot_epilogue kernel;
    ingot_status st = INGOT_OK;

    s->host.data = ingot_chain_begin(c, &s->chain, c->scratch, &kernel);
    if (s->fast) {
        if (c->node->n_inputs > B && c->in[B])
            kernel.bias = (s->bias ? s->bias : c->in[B])->data;
        ingot_conv_blocked_run(c, blocked, c->in[X]->data, c->in[W]->data, s->host.data, &kernel,
                               c->scratch + s->chain.scratch_bytes);
    } else {
        st = run_slow(c, s);
    }
    return st ? st : ingot_chain_finish(c, &s->chain);
}

static ingot_status run_conv(ingot_op_ctx *c)
{
    const conv_state *s = c->state;
    return run_with(c, &s->blocked);
}

/* Asks for blocked input where the fast way fits, but for few channels, which are read as they are. The output is
 * blocked even then. An error in the shapes makes it plain; infer has reported it. */
static ingot_layout layout_conv(const ingot_op_ctx *c)
{
    const ingot_layout plain = { INGOT_LAYOUT_PLAIN, 0 };
    ingot_op_ctx copy = *c;
    ingot_conv_shape shape;

    if (c->out[0]->dtype != INGOT_FLOAT || read_shape(&copy, &shape) || !ingot_conv_blocked_fits(&shape))
        return plain;
    const bool reads_plain = c->in[X]->layout == INGOT_PLAIN && ingot_conv_reads_plain(&shape);
    return ingot_chain_layout(c, (ingot_layout){ INGOT_LAYOUT_NATIVE, reads_plain ? 0u : 1u << X });
}

/* Two per multiply-add, padding included: weights (oc, ic, ...) meet every output, and transposed ones (ic, oc, ...)
 * every input. */
static int64_t count_flops(const ingot_op_ctx *c)
{
    const ingot_tensor *w = c->in[W];
    return 2 * ingot_count(is_transposed(c) ? c->in[X] : c->out[0]) * ingot_span(w, 1, w->rank);
}

/* Profiles show the algorithm's own numbers; for the plain loops the presets are right. */
static void describe_conv(const ingot_op_ctx *c, ingot_op_work *work)
{
    const conv_state *s = c->state;

    if (s->fast)
        ingot_conv_blocked_describe(c, &s->blocked, work);
}

/* --- a Conv whose weights are scaled in every run, instead of its input --- */

/* In squeeze-and-excitation blocks, weights are much fewer than the pixels that a Mul would go over; with as many
 * output channels as pixels they are not. Each image of a batch has scales of its own, so a batch keeps its Mul: then
 * so must one image where the bits may not depend on that. */
bool ingot_conv_scaled_fits(const ingot_op_ctx *conv, const ingot_op_ctx *mul, int scale)
{
    const ingot_tensor *x = mul->in[1 - scale], *by = mul->in[scale];
    ingot_op_ctx copy = *conv;
    ingot_conv_shape shape;
    bool fits = !conv->batch_invariant && mul->node->n_fused == 0 && mul->n_in == 2 && x->rank == by->rank &&
                conv->constants[W] && ingot_same_shape(x, mul->out[0]) && !read_shape(&copy, &shape) &&
                ingot_conv_blocked_fits(&shape) && !ingot_conv_reads_plain(&shape) && shape.n == 1 &&
                shape.group == 1 && by->shape[1] == shape.ic && ingot_count(by) == shape.ic &&
                shape.oc < ingot_window_volume(shape.window.in, shape.window.rank);

    for (int i = 0; fits && i < shape.window.rank; i++)
        fits = shape.window.kernel[i] == 1;
    return fits;
}

/* The scale is the last input, behind those of fused nodes. */
static ingot_layout layout_scaled(const ingot_op_ctx *c)
{
    ingot_layout layout = layout_conv(c);

    if (layout.kind == INGOT_LAYOUT_NATIVE)
        layout.inputs |= UINT32_C(1) << (c->n_in - 1);
    return layout;
}

/* Room for the scaled weights behind the scratch memory of the convolution itself. */
static ingot_status prepare_scaled(ingot_op_ctx *c)
{
    c->conv_algorithm = INGOT_CONV_DIRECT;              /* as weights are scaled */

    const ingot_status st = prepare_conv(c);
    conv_state *s = c->state;

    if (st)
        return st;
    s->scaled_at = c->scratch_bytes;
    ingot_want_scratch(c, c->scratch_bytes + s->blocked.packed_bytes, c->thread_scratch_bytes);
    c->kernel = "direct nchw8c, scaled weights";
    return INGOT_OK;
}

/* Blocked or not, a single pixel's channels lie one after the other. */
static ingot_status run_scaled(ingot_op_ctx *c)
{
    const conv_state *s = c->state;
    ingot_conv_blocked blocked = s->blocked;
    float *scaled = (float *)(void *)(c->scratch + s->scaled_at);

    ingot_conv_blocked_scale(c, &s->blocked, c->in[c->n_in - 1]->data, scaled);
    blocked.packed = scaled;
    return run_with(c, &blocked);
}

/* --- a 1x1 Conv whose source is normalized on the way --- */

/* Inputs of BatchNormalization after X, as they come behind those of the Conv. */
enum { SCALE, BIAS, MEAN, VARIANCE, N_STATISTICS };

/* Statistics are constants, and nothing but an activation lies between the two. */
bool ingot_conv_normalized_fits(const ingot_op_ctx *conv, const ingot_op_ctx *norm)
{
    ingot_op_ctx copy = *conv;
    ingot_conv_shape shape;
    bool fits = !ingot_attr_int(norm->node, "training_mode", 0) && ingot_attr_int(norm->node, "spatial", 1) &&
                norm->n_out == 1 && norm->in[X]->dtype == INGOT_FLOAT && ingot_chain_is_activation(norm) &&
                conv->constants[W] && conv->node->n_inputs > W && !read_shape(&copy, &shape) &&
                ingot_conv_takes_prologue(conv->kernels, &shape);

    for (int i = 0; i < N_STATISTICS; i++)
        fits = fits && norm->constants[1 + i] && ingot_count(norm->in[1 + i]) == norm->in[X]->shape[1];
    return fits;
}

/* Per block of channels: means, then factors, then biases. Lanes past the last channel become 0. */
static ingot_status read_statistics(ingot_op_ctx *norm, ingot_prologue *prologue)
{
    const int64_t channels = norm->in[0]->shape[1], blocks = (channels + INGOT_BLOCK - 1) / INGOT_BLOCK;
    const double epsilon = (double)ingot_attr_float(norm->node, "epsilon", 1e-5f);
    float *p = ingot_keep(norm, (size_t)(blocks * 3 * INGOT_BLOCK) * sizeof *p);
    ingot_tensor *in[N_STATISTICS];

    prologue->parameters = p;
    if (!p)
        return ingot_op_out_of_memory(norm);
    for (int i = 0; i < N_STATISTICS; i++) {
        const ingot_status st = ingot_load_constant(norm, 1 + i, &in[i]);
        if (st)
            return st;
        in[i] = in[i] ? in[i] : norm->in[1 + i];
    }
    for (int64_t i = 0; i < channels; i++) {
        float *at = p + i / INGOT_BLOCK * 3 * INGOT_BLOCK + i % INGOT_BLOCK;
        at[0] = (float)ingot_parameter(in[MEAN], i);
        at[INGOT_BLOCK] =
            (float)(ingot_parameter(in[SCALE], i) / sqrt(ingot_parameter(in[VARIANCE], i) + epsilon));
        at[2 * INGOT_BLOCK] = (float)ingot_parameter(in[BIAS], i);
    }
    return INGOT_OK;
}

/* The Conv as ever, and a context for the BatchNormalization with its activation. */
static ingot_status prepare_normalized(ingot_op_ctx *c)
{
    const ingot_joined form = *(const ingot_joined *)c->state;
    ingot_prologue *prologue = ingot_keep(c, sizeof *prologue);
    ingot_tensor source = *c->in[X], *out = &source;
    ingot_op_ctx norm;
    ingot_chain chain;
    ingot_status st;

    if (!prologue || !ingot_joined_rest(c, c->in[X], c->n_in - form.n_before + 1, &norm))
        return ingot_op_out_of_memory(c);
    norm.node = form.before;
    norm.out = &out;
    c->conv_algorithm = INGOT_CONV_DIRECT;              /* whose packed weights the way with a prologue takes */
    if ((st = prepare_conv(c)) || (st = read_statistics(&norm, prologue)) ||
        (st = ingot_chain_prepare(&norm, &source, INGOT_CHAIN_ACT, &chain)))
        return st;

    conv_state *s = c->state;
    prologue->act = chain.kernel;
    ingot_conv_blocked_normalize(c, &s->blocked, prologue);
    ingot_want_scratch(c, c->scratch_bytes, s->blocked.thread_scratch_bytes);
    c->kernel = "direct nchw8c, normalized source";
    return INGOT_OK;
}

#define CONV(name) \
    { name, 1, 2, 3, { INGOT_TYPES_FLOAT }, infer_conv, run_conv, .prepare = prepare_conv, .layout = layout_conv, \
      .flops = count_flops, .describe = describe_conv, .flags = INGOT_OP_LAZY | INGOT_OP_FUSES | INGOT_OP_LONG }

const ingot_op ingot_ops_conv[] = {
    CONV("Conv"),
    CONV("ConvTranspose"),
    { "ScaledConv", 1, 2, INGOT_MANY, { INGOT_TYPE(FLOAT) }, ingot_infer_made, run_scaled, .prepare = prepare_scaled,
      .layout = layout_scaled, .flops = count_flops, .describe = describe_conv,
      .flags = INGOT_OP_LAZY | INGOT_OP_FUSES | INGOT_OP_LONG, .domain = "ingot.internal" },
    { "NormalizedConv", 1, 2, INGOT_MANY, { INGOT_TYPE(FLOAT) }, ingot_infer_made, run_conv,
      .prepare = prepare_normalized, .layout = layout_conv, .flops = count_flops, .describe = describe_conv,
      .flags = INGOT_OP_LAZY | INGOT_OP_FUSES | INGOT_OP_LONG, .domain = "ingot.internal" },
    { 0 }
};

const ingot_op *ingot_conv_scaled_op(void) { return &ingot_ops_conv[2]; }
const ingot_op *ingot_conv_normalized_op(void) { return &ingot_ops_conv[3]; }
