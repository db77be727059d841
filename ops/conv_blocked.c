/* conv_blocked.c - which kernel a convolution goes to, its packed weights, and the split over the team.
 * Each algorithm is a row of functions of one form, so that packing and running know none of them by name. */
#include "ops/conv_blocked.h"

#include <string.h>

#include "ops/blocked.h"

/* FEW_CHANNELS fill half of a block at most, so that reading them row-major is cheaper than blocking them. HEAD_FLOATS
 * is room in front of a thread's scratch for an int64_t that says what the rest holds (-1: nothing yet), so that a task
 * can go on with it. */
enum {
    FEW_CHANNELS = 4,                        /* that would fill less than half of a block */
    HEAD_FLOATS = 16,                        /* of a thread's scratch: what the rest holds, an int64_t */
    MOST_SOON = 160 * 1024,                  /* floats of weights that the step before asks for */
    GROUP_CHANNELS = 16, GROUP_PIXELS = 128, /* of a group that Winograd tiles are worth it for, at least */
};

typedef struct run_call run_call;

/* An algorithm. Counts and sizes: packed() floats of packed weights, units() independent parts of the packing,
 * scratch() floats for each thread, items() independent parts of the work. pack() and run() do a range of those. */
struct ingot_conv_algorithm {
    const char *names[5];                    /* by variant */
    int (*variant)(const ingot_kernels *k, const ingot_conv *d, ingot_conv_choice choice); /* -1: not for this one */
    int64_t (*packed)(const ingot_conv_blocked *b, const ingot_kernels *k);
    int64_t (*units)(const ingot_conv_blocked *b, const ingot_kernels *k);
    void (*pack)(const run_call *call, int64_t begin, int64_t end);
    int64_t (*scratch)(const ingot_conv_blocked *b, const ingot_kernels *k);
    int64_t (*items)(const ingot_conv_blocked *b, const ingot_kernels *k);
    void (*run)(const run_call *call, int64_t begin, int64_t end, float *scratch);
};

/* One run, or one packing, as the tasks share it. `to_pack` is where pack() writes; dst, src and epilogue are only set
 * for run(). */
struct run_call {
    const ingot_op_ctx *ctx;
    const ingot_conv_blocked *b;
    const ingot_kernels *k;
    const float *src, *weights, *packed;
    float *dst, *to_pack;
    const ingot_epilogue *epilogue;
};

/* --- direct: any convolution --- */

enum { DIRECT_BLOCKED, DIRECT_PLAIN, DIRECT_MINIMAL };

/* A blocked source, or a row-major one of few channels; its rows possibly by minimal filtering, which is Winograd's way
 * in one dimension. It never declines. */
static int direct_variant(const ingot_kernels *k, const ingot_conv *d, ingot_conv_choice choice)
{
    if (!d->plain_src)
        return DIRECT_BLOCKED;
    const bool minimal = choice != INGOT_CONV_DIRECT && k->conv_minimal_f32(d, choice == INGOT_CONV_WINOGRAD);
    return minimal ? DIRECT_MINIMAL : DIRECT_PLAIN;
}

/* The functions of a row pass on to the kernels; what differs between algorithms is in there. */
static int64_t direct_packed(const ingot_conv_blocked *b, const ingot_kernels *k)
{
    return k->conv_packed_f32(&b->conv);
}

static int64_t direct_units(const ingot_conv_blocked *b, const ingot_kernels *k) { return k->conv_units_f32(&b->conv); }

/* Weights (oc, ic / group, kernel...) as the kernel reads them, units [begin, end). */
static void direct_pack(const run_call *call, int64_t begin, int64_t end)
{
    call->k->conv_pack_f32(&call->b->conv, call->to_pack, call->weights, begin, end);
}

/* For the algorithms that work in registers and the output alone. */
static int64_t no_scratch(const ingot_conv_blocked *b, const ingot_kernels *k) { return (void)b, (void)k, 0; }

static int64_t direct_items(const ingot_conv_blocked *b, const ingot_kernels *k) { return k->conv_items_f32(&b->conv); }

/* Items [begin, end): each is a part of the result of its own. */
static void direct_run(const run_call *call, int64_t begin, int64_t end, float *scratch)
{
    (void)scratch;
    call->k->conv_f32(&call->b->conv, call->packed, call->src, call->dst, call->epilogue, begin, end);
}

/* --- mixing: 1x1, or patches side by side, of a source that is made ready; weights are packed as for direct --- */

/* Without a prologue, where a stride leaves pixels that lie apart, or a row-major source has patches, and they are read
 * often enough; the variant tells which. */
static int mixing_variant(const ingot_kernels *k, const ingot_conv *d, ingot_conv_choice choice)
{
    const int64_t enough = (d->plain_src ? 8 : 4) * k->lanes;

    (void)choice;
    return d->stride[2] > 1 && d->oc >= enough && k->conv_mix_scratch_f32(d) > 0 ? d->plain_src : -1;
}

/* The head, then a band of the source. */
static int64_t mixing_scratch(const ingot_conv_blocked *b, const ingot_kernels *k)
{
    return HEAD_FLOATS + k->conv_mix_scratch_f32(&b->conv);
}

static int64_t mixing_items(const ingot_conv_blocked *b, const ingot_kernels *k)
{
    return k->conv_mix_items_f32(&b->conv);
}

/* The band's number lies in the first bytes of the scratch, as for Winograd. */
static void mixing_run(const run_call *call, int64_t begin, int64_t end, float *scratch)
{
    call->k->conv_mix_f32(&call->b->conv, call->b->prologue, call->packed, call->src, call->dst, call->epilogue,
                          scratch + HEAD_FLOATS, (int64_t *)(void *)scratch, begin, end);
}

/* --- depthwise: every channel is a group --- */

/* One filter for each channel: blocks are independent lanes, and there is no sum over channels to make a product of. */
static int depthwise_variant(const ingot_kernels *k, const ingot_conv *d, ingot_conv_choice choice)
{
    (void)k, (void)choice;
    return d->groups > 1 && d->groups == d->ic && d->ic == d->oc && !d->plain_src ? 0 : -1;
}

static int64_t depthwise_packed(const ingot_conv_blocked *b, const ingot_kernels *k)
{
    return k->dwconv_packed_f32(&b->conv);
}

static int64_t depthwise_units(const ingot_conv_blocked *b, const ingot_kernels *k) { return (void)b, (void)k, 1; }

/* There is a single unit; an empty range must not pack. */
static void depthwise_pack(const run_call *call, int64_t begin, int64_t end)
{
    if (begin < end)
        call->k->dwconv_pack_f32(&call->b->conv, call->to_pack, call->weights);
}

static int64_t depthwise_items(const ingot_conv_blocked *b, const ingot_kernels *k)
{
    return k->dwconv_items_f32(&b->conv);
}

static void depthwise_run(const run_call *call, int64_t begin, int64_t end, float *scratch)
{
    (void)scratch;
    call->k->dwconv_f32(&call->b->conv, call->packed, call->src, call->dst, call->epilogue, begin, end);
}

/* --- winograd: 3x3 of stride 1 or 2; the variant is the tile --- */

/* A group of an image, as a convolution of its own; all of it, where there is one group. */
static ingot_conv part_of(const ingot_conv *d)
{
    ingot_conv part = *d;

    if (d->groups > 1) {
        part.n = part.groups = 1;
        part.ic /= d->groups;
        part.oc /= d->groups;
    }
    return part;
}

static int64_t parts_of(const ingot_conv *d) { return d->groups > 1 ? d->n * d->groups : 1; }

/* The kernel chooses the tile by the sizes (0: not worth it, or not 3x3 of stride 1 or 2), unless the session asks for
 * one way. Groups are computed one by one, so that they need blocks of their own; of small ones the kernel's estimates
 * are too low. */
static int winograd_variant(const ingot_kernels *k, const ingot_conv *d, ingot_conv_choice choice)
{
    const ingot_conv part = part_of(d);
    const bool whole = d->groups == 1 || (part.ic % INGOT_BLOCK == 0 && part.oc % INGOT_BLOCK == 0);
    const bool small = d->groups > 1 && (part.ic < GROUP_CHANNELS || d->out[1] * d->out[2] < GROUP_PIXELS);

    if (d->plain_src || choice == INGOT_CONV_DIRECT || !whole || (small && choice != INGOT_CONV_WINOGRAD))
        return -1;
    const int m = k->winograd_choose_f32(&part, choice == INGOT_CONV_WINOGRAD);
    return m > 0 ? m : -1;
}

/* The transformed weights are larger than the weights by the tile's size: (m + 2)^2 numbers for 9, whatever the
 * stride. */
static int64_t winograd_packed(const ingot_conv_blocked *b, const ingot_kernels *k)
{
    const ingot_conv part = part_of(&b->conv);
    return b->conv.groups * k->winograd_packed_f32(&part, b->variant);
}

/* Units of one group after the other. */
static int64_t winograd_units(const ingot_conv_blocked *b, const ingot_kernels *k)
{
    const ingot_conv part = part_of(&b->conv);
    return b->conv.groups * k->conv_units_f32(&part);
}

static void winograd_pack(const run_call *call, int64_t begin, int64_t end)
{
    const ingot_conv part = part_of(&call->b->conv);
    const int64_t units = call->k->conv_units_f32(&part), filters = part.ic * part.oc * part.kernel[1] * part.kernel[2];
    const int64_t packed = call->k->winograd_packed_f32(&part, call->b->variant);

    for (int64_t group = begin / units; group * units < end; group++)
        call->k->winograd_pack_f32(&part, call->b->variant, call->to_pack + group * packed,
                                   call->weights + group * filters, MAX(begin - group * units, 0),
                                   MIN(end - group * units, units));
}

/* The head, then the transformed tiles that a thread works on. */
static int64_t winograd_scratch(const ingot_conv_blocked *b, const ingot_kernels *k)
{
    const ingot_conv part = part_of(&b->conv);
    return HEAD_FLOATS + k->winograd_scratch_f32(&part, b->variant);
}

static int64_t winograd_items(const ingot_conv_blocked *b, const ingot_kernels *k)
{
    const ingot_conv part = part_of(&b->conv);
    return parts_of(&b->conv) * k->winograd_items_f32(&part, b->variant);
}

/* Items [begin, end) of part i. The tile's number lies in the first bytes of the scratch, see
 * ingot_conv_blocked_run(). */
static void winograd_run_part(const run_call *call, const ingot_conv *part, int64_t i, int64_t begin, int64_t end,
                              float *scratch)
{
    const ingot_conv *d = &call->b->conv;
    const int64_t group = i % d->groups, packed = call->k->winograd_packed_f32(part, call->b->variant);
    const int64_t from = i * part->ic * d->in[1] * d->in[2], to = i * part->oc * d->out[1] * d->out[2];
    ingot_epilogue epilogue = *call->epilogue;

    if (epilogue.bias)
        epilogue.bias += group * part->oc;
    if (epilogue.residual)
        epilogue.residual += to;
    if (group + 1 < d->groups) {
        epilogue.soon = call->packed + (group + 1) * packed;
        epilogue.n_soon = MIN(packed, MOST_SOON);
    }
    call->k->winograd_f32(part, call->b->variant, call->packed + group * packed, call->src + from, call->dst + to,
                          &epilogue, scratch + HEAD_FLOATS, (int64_t *)(void *)scratch, begin, end);
}

/* Where there are parts, their tiles have the same numbers. */
static void winograd_run(const run_call *call, int64_t begin, int64_t end, float *scratch)
{
    const ingot_conv part = part_of(&call->b->conv);
    const int64_t items = call->k->winograd_items_f32(&part, call->b->variant);

    for (int64_t i = begin / items; i * items < end; i++) {
        if (call->b->conv.groups > 1)
            *(int64_t *)(void *)scratch = -1;
        winograd_run_part(call, &part, i, MAX(begin - i * items, 0), MIN(end - i * items, items), scratch);
    }
}

/* --- strassen: 1x1 of stride 1 --- */

/* Sizes decide, as for Winograd's way. */
static int strassen_variant(const ingot_kernels *k, const ingot_conv *d, ingot_conv_choice choice)
{
    return choice != INGOT_CONV_DIRECT && k->strassen_choose_f32(d, choice == INGOT_CONV_WINOGRAD) ? 0 : -1;
}

static int64_t strassen_packed(const ingot_conv_blocked *b, const ingot_kernels *k)
{
    return k->strassen_packed_f32(&b->conv);
}

static int64_t strassen_units(const ingot_conv_blocked *b, const ingot_kernels *k)
{
    return k->strassen_units_f32(&b->conv);
}

static void strassen_pack(const run_call *call, int64_t begin, int64_t end)
{
    call->k->strassen_pack_f32(&call->b->conv, call->to_pack, call->weights, begin, end);
}

/* The head, then sums of a band and products. */
static int64_t strassen_scratch(const ingot_conv_blocked *b, const ingot_kernels *k)
{
    return HEAD_FLOATS + k->strassen_scratch_f32(&b->conv);
}

static int64_t strassen_items(const ingot_conv_blocked *b, const ingot_kernels *k)
{
    return k->strassen_items_f32(&b->conv);
}

static void strassen_run(const run_call *call, int64_t begin, int64_t end, float *scratch)
{
    call->k->strassen_f32(&call->b->conv, call->packed, call->src, call->dst, call->epilogue, scratch + HEAD_FLOATS,
                          (int64_t *)(void *)scratch, begin, end);
}

/* --- transposed: the convolutions of its phases, each directly or by Winograd tiles; the variant is the tile --- */

/* Only sizes decide, as for Winograd's way. */
static int transposed_variant(const ingot_kernels *k, const ingot_conv *d, ingot_conv_choice choice)
{
    return choice == INGOT_CONV_DIRECT ? 0 : k->deconv_choose_f32(d, choice == INGOT_CONV_WINOGRAD);
}

/* A stride of s makes s phases along an axis, each an ordinary convolution of some of the taps; the kernel knows
 * them. */
static int64_t transposed_packed(const ingot_conv_blocked *b, const ingot_kernels *k)
{
    return k->deconv_packed_f32(&b->conv, b->variant);
}

static int64_t transposed_units(const ingot_conv_blocked *b, const ingot_kernels *k)
{
    return k->deconv_units_f32(&b->conv);
}

/* The weights are (ic, oc / group, kernel...) here. */
static void transposed_pack(const run_call *call, int64_t begin, int64_t end)
{
    call->k->deconv_pack_f32(&call->b->conv, call->b->variant, call->to_pack, call->weights, begin, end);
}

static int64_t transposed_scratch(const ingot_conv_blocked *b, const ingot_kernels *k)
{
    return b->variant ? HEAD_FLOATS + k->deconv_scratch_f32(&b->conv, b->variant) : 0;
}

static int64_t transposed_items(const ingot_conv_blocked *b, const ingot_kernels *k)
{
    return k->deconv_items_f32(&b->conv, b->variant);
}

/* Only tiles need scratch memory. */
static void transposed_run(const run_call *call, int64_t begin, int64_t end, float *scratch)
{
    call->k->deconv_f32(&call->b->conv, call->b->variant, call->packed, call->src, call->dst, call->epilogue,
                        scratch ? scratch + HEAD_FLOATS : NULL, (int64_t *)(void *)scratch, begin, end);
}

/* In order of preference; the one before the transposed takes everything. */
static const ingot_conv_algorithm algorithms[] = {
    { { "depthwise nchw8c" },
      depthwise_variant,
      depthwise_packed,
      depthwise_units,
      depthwise_pack,
      no_scratch,
      depthwise_items,
      depthwise_run },
    { { NULL, "winograd 1x2 nchw8c", "winograd 2x2 nchw8c", NULL, "winograd 4x4 nchw8c" },
      winograd_variant,
      winograd_packed,
      winograd_units,
      winograd_pack,
      winograd_scratch,
      winograd_items,
      winograd_run },
    { { "strassen nchw8c" },
      strassen_variant,
      strassen_packed,
      strassen_units,
      strassen_pack,
      strassen_scratch,
      strassen_items,
      strassen_run },
    { { "direct nchw8c, collected pixels", "direct nchw to nchw8c, collected patches" },
      mixing_variant,
      direct_packed,
      direct_units,
      direct_pack,
      mixing_scratch,
      mixing_items,
      mixing_run },
    { { "direct nchw8c", "direct nchw to nchw8c", "winograd 1x4 nchw to nchw8c" },
      direct_variant,
      direct_packed,
      direct_units,
      direct_pack,
      no_scratch,
      direct_items,
      direct_run },
    { { "transposed nchw8c", "transposed winograd 1x2 nchw8c", "transposed winograd 2x2 nchw8c", NULL,
        "transposed winograd 4x4 nchw8c" },
      transposed_variant,
      transposed_packed,
      transposed_units,
      transposed_pack,
      transposed_scratch,
      transposed_items,
      transposed_run },
};

enum { MIXING = 3, DIRECT = 4, TRANSPOSED = sizeof algorithms / sizeof *algorithms - 1 };

/* A dimension of size 0 leaves nothing to compute or to sum, and more than three spatial axes have no kernel: the plain
 * loops deal with both. */
bool ingot_conv_blocked_fits(const ingot_conv_shape *shape)
{
    const ingot_window *v = &shape->window;

    return v->rank <= 3 && shape->n > 0 && shape->ic > 0 && shape->oc > 0 && ingot_window_volume(v->in, v->rank) > 0 &&
           ingot_window_volume(v->out, v->rank) > 0;
}

/* Only for one group, and not transposed: the other kernels read blocked sources only. */
bool ingot_conv_reads_plain(const ingot_conv_shape *shape)
{
    return !shape->transposed && shape->group == 1 && shape->ic <= FEW_CHANNELS;
}

/* Three axes, those that are missing first. Missing axes have size and stride 1 and no padding. */
void ingot_conv_describe(const ingot_conv_shape *shape, ingot_conv *d)
{
    const ingot_window *v = &shape->window;

    *d = (ingot_conv){ .n = shape->n, .groups = shape->group, .ic = shape->ic, .oc = shape->oc };
    ingot_window_axes(v->in, v->rank, 1, d->in);
    ingot_window_axes(v->out, v->rank, 1, d->out);
    ingot_window_axes(v->kernel, v->rank, 1, d->kernel);
    ingot_window_axes(v->stride, v->rank, 1, d->stride);
    ingot_window_axes(v->dilation, v->rank, 1, d->dilation);
    ingot_window_axes(v->pad_begin, v->rank, 0, d->pad);
}

/* Task over units of the packing. */
static void pack_units(void *argument, int64_t begin, int64_t end, int thread)
{
    const run_call *call = argument;

    (void)thread;
    call->b->algorithm->pack(call, begin, end);
}

/* Constant weights are packed once for all plans; the tag tells the ways of packing apart. So does the number of lanes,
 * as sessions may run different builds of the kernels. LIMIT where memory is out. */
static ingot_status pack_constant(ingot_op_ctx *c, int input, ingot_conv_blocked *b)
{
    const uint64_t way = (uint64_t)(b->algorithm - algorithms) * 16 + (uint64_t)b->variant;
    void *owned = NULL;
    bool fill = false;
    float *packed =
        ingot_packed(c, UINT64_C(0x43) << 32 | way << 8 | (uint64_t)c->kernels->lanes, b->packed_bytes, &fill);

    if (packed && fill) {
        const float *weights = ingot_read_constant(c, input, &owned);
        run_call call = { .ctx = c, .b = b, .k = c->kernels, .weights = weights, .to_pack = packed };
        if (!weights || !ingot_pack(c, b->algorithm->units(b, c->kernels), pack_units, &call, b->packed_bytes))
            packed = NULL;
        ingot_unread_constant(c, owned);
    }
    b->packed = packed;
    if (packed)
        c->reads = (ingot_reads){ packed, MIN((int64_t)(b->packed_bytes / sizeof(float)), (int64_t)MOST_SOON) };
    return packed ? INGOT_OK : ingot_op_out_of_memory(c);
}

/* Choose the algorithm, and count what it needs; `packed`: the weights are packed beforehand, not in every run. Nothing
 * is allocated here. */
static void plan(const ingot_op_ctx *c, const ingot_conv_shape *shape, int src_layout, int dst_layout, bool packed,
                 ingot_conv_blocked *b)
{
    const int64_t in = ingot_window_volume(shape->window.in, shape->window.rank);
    const int64_t out = ingot_window_volume(shape->window.out, shape->window.rank);
    const int64_t in_blocks = (shape->ic + INGOT_BLOCK - 1) / INGOT_BLOCK;
    const int64_t out_blocks = (shape->oc + INGOT_BLOCK - 1) / INGOT_BLOCK;

    memset(b, 0, sizeof *b);
    ingot_conv_describe(shape, &b->conv);
    b->conv.plain_src = src_layout == INGOT_PLAIN && ingot_conv_reads_plain(shape);
    b->algorithm = shape->transposed ? &algorithms[TRANSPOSED] : algorithms;
    ingot_conv one = b->conv; /* what the algorithm is chosen for: another has other roundings */
    one.n = c->batch_invariant ? 1 : one.n;
    /* The first that does not decline; direct takes all that remain. */
    while ((b->variant = b->algorithm->variant(c->kernels, &one, c->conv_algorithm)) < 0)
        b->algorithm++;
    b->conv.minimal = b->algorithm == &algorithms[DIRECT] && b->variant == DIRECT_MINIMAL;
    /* Sizes of everything that the choice needs: packed weights, and both sides in the other layout. */
    b->packed_bytes = ingot_aligned_bytes(b->algorithm->packed(b, c->kernels), sizeof(float));
    b->block_src = src_layout == INGOT_PLAIN && !b->conv.plain_src;
    b->unblock_dst = dst_layout == INGOT_PLAIN;
    b->src_bytes = b->block_src ? ingot_aligned_bytes(shape->n * in_blocks * INGOT_BLOCK * in, sizeof(float)) : 0;
    b->dst_bytes = b->unblock_dst ? ingot_aligned_bytes(shape->n * out_blocks * INGOT_BLOCK * out, sizeof(float)) : 0;
    b->scratch_bytes = b->src_bytes + b->dst_bytes + (packed ? 0 : b->packed_bytes);
    b->thread_scratch_bytes = ingot_aligned_bytes(b->algorithm->scratch(b, c->kernels), sizeof(float));
}

/* Weights that are no constant leave b->packed NULL, and room in scratch memory for packing them. */
ingot_status ingot_conv_blocked_prepare(ingot_op_ctx *c, const ingot_conv_shape *shape, int weights, int src_layout,
                                        int dst_layout, ingot_conv_blocked *b)
{
    const bool constant = c->constants && c->constants[weights];

    plan(c, shape, src_layout, dst_layout, constant, b);
    return constant ? pack_constant(c, weights, b) : INGOT_OK;
}

/* Blocked sources only. */
bool ingot_conv_takes_prologue(const ingot_kernels *k, const ingot_conv_shape *shape)
{
    ingot_conv d;

    if (shape->transposed || !ingot_conv_blocked_fits(shape) || ingot_conv_reads_plain(shape))
        return false;
    ingot_conv_describe(shape, &d);
    return k->conv_mix_scratch_f32(&d) > 0;
}

/* The weights stay as they are packed. */
void ingot_conv_blocked_normalize(const ingot_op_ctx *c, ingot_conv_blocked *b, const ingot_prologue *prologue)
{
    b->algorithm = &algorithms[MIXING];
    b->variant = 0;
    b->prologue = prologue;
    b->thread_scratch_bytes = ingot_aligned_bytes(b->algorithm->scratch(b, c->kernels), sizeof(float));
}

/* Task over the algorithm's items. */
static void run_items(void *argument, int64_t begin, int64_t end, int thread)
{
    const run_call *call = argument;
    void *scratch = call->b->thread_scratch_bytes ? ingot_thread_scratch(call->ctx, thread) : NULL;

    call->b->algorithm->run(call, begin, end, scratch);
}

/* Scratch memory: the blocked source, the blocked result, the packed weights; each only where it is needed. */
void ingot_conv_blocked_run(ingot_op_ctx *c, const ingot_conv_blocked *b, const float *src, const float *weights,
                            float *dst, const ingot_epilogue *epilogue, char *scratch)
{
    const ingot_conv *d = &b->conv;
    /* Shapes for the conversion of layouts, which does not care how the pixels are divided into axes. */
    const ingot_tensor in = { .rank = 5, .shape = { d->n, d->ic, d->in[0], d->in[1], d->in[2] } };
    const ingot_tensor out = { .rank = 5, .shape = { d->n, d->oc, d->out[0], d->out[1], d->out[2] } };
    ingot_epilogue end = *epilogue;
    run_call call = { .ctx = c,
                      .b = b,
                      .k = c->kernels,
                      .src = src,
                      .weights = weights,
                      .packed = b->packed,
                      .dst = dst,
                      .epilogue = &end };

    end.soon = c->soon.first;
    end.n_soon = c->soon.n;

    /* The source in blocks, room for the result in blocks, the weights where they are not packed yet. */
    if (b->block_src) {
        ingot_block(c, &in, src, (float *)(void *)scratch);
        call.src = (float *)(void *)scratch;
    }
    if (b->unblock_dst)
        call.dst = (float *)(void *)(scratch + b->src_bytes);
    if (!b->packed) {
        call.packed = call.to_pack = (float *)(void *)(scratch + b->src_bytes + b->dst_bytes);
        ingot_parallel(c->team, b->algorithm->units(b, call.k), 1, pack_units, &call);
    }
    for (int thread = 0; b->thread_scratch_bytes && thread < ingot_team_size(c->team); thread++)
        *(int64_t *)(void *)ingot_thread_scratch(c, thread) = -1;      /* nothing yet */
    /* All items; then the result row-major, where it is wanted so. */
    ingot_parallel(c->team, b->algorithm->items(b, c->kernels), 1, run_items, &call);
    if (b->unblock_dst)
        ingot_unblock(c, &out, call.dst, dst);
}

/* Task over units. */
static void scale_units(void *argument, int64_t begin, int64_t end, int thread)
{
    const run_call *call = argument;

    (void)thread;
    call->k->conv_scale_f32(&call->b->conv, call->to_pack, call->packed, call->weights, begin, end);
}

/* `weights` of the call are the scale here. */
void ingot_conv_blocked_scale(ingot_op_ctx *c, const ingot_conv_blocked *b, const float *scale, float *scaled)
{
    run_call call = { .ctx = c, .b = b, .k = c->kernels, .weights = scale, .packed = b->packed, .to_pack = scaled };

    ingot_parallel(c->team, c->kernels->conv_units_f32(&b->conv), 1, scale_units, &call);
}

/* What profiles show; a variant without a name is never chosen. */
const char *ingot_conv_blocked_name(const ingot_conv_blocked *b) { return b->algorithm->names[b->variant]; }

/* With r taps along an axis, Winograd's way multiplies at (m + r - 1)^2 points of each tile of m^2 results, the direct
 * way r^2 times for each; a stride of two takes one more point, and m = 1 is 2 along rows. A transposed convolution has
 * as many phases as its stride, of equal taps; one with a dilation has as many as that. */
static int64_t winograd_flops(const ingot_conv *d, int m, bool transposed)
{
    int64_t products = 2 * d->n * d->ic * d->oc;

    for (int i = 1; i < 3; i++) {
        const int64_t parts = transposed ? d->stride[i] : 1, phases = transposed ? parts : d->dilation[i];
        const int64_t of_phase = (d->out[i] + phases - 1) / phases, tile = m == 1 ? i : m;
        const int64_t points = tile + d->kernel[i] / parts + d->stride[i] / parts - 2;
        products *= (of_phase + tile - 1) / tile * phases * points;
    }
    return products;
}

/* The tile is what conv_f32 holds in registers: pixels times channels. Depthwise has no such tile, and keeps the
 * presets. */
void ingot_conv_blocked_describe(const ingot_op_ctx *c, const ingot_conv_blocked *b, ingot_op_work *work)
{
    const ingot_kernels *k = c->kernels;
    const bool wide = b->conv.oc / b->conv.groups > k->lanes;

    if (b->algorithm->variant == depthwise_variant)
        return;
    work->tile_rows = k->conv_tile_pixels(&b->conv);
    work->tile_columns = wide ? 2 * k->lanes : k->lanes;
    if (b->conv.minimal)                     /* six products for four results of three taps */
        work->flops = work->flops / b->conv.out[2] * ((b->conv.out[2] + 3) / 4) * 2;
    if (b->algorithm->variant == strassen_variant) {         /* packed: seven quarters of the weights */
        work->flops = work->flops / 8 * 7;
        work->bytes += (int64_t)b->packed_bytes / 7 * 3;
    }
    if (b->algorithm->variant == winograd_variant || (b->algorithm == &algorithms[TRANSPOSED] && b->variant)) {
        const ingot_conv part = part_of(&b->conv);
        const int64_t weights = b->conv.groups * part.ic * part.oc * part.kernel[1] * part.kernel[2];
        work->flops = parts_of(&b->conv) * winograd_flops(&part, b->variant, b->algorithm == &algorithms[TRANSPOSED]);
        work->bytes += (int64_t)b->packed_bytes - weights * (int64_t)sizeof(float);
    }
}
