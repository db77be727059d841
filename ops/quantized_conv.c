/* quantized_conv.c - ConvInteger and QLinearConv, by the integer products of ops/kernels.
 *
 * Each image, or a group of its channels, is laid out first as operand elements with its padding around: (channel
 * blocks, positions, 8). What an output pixel sees is then a list of pieces at fixed distances from where its window
 * begins, in any number of dimensions and with any stride and dilation. Three cases differ:
 *   direct   the tensor lies like that already and needs no padding; nothing is copied
 *   narrow   up to four channels: four elements a position, so that a piece holds two neighbours of a window's row
 *   depth    groups of one channel: eight channels side by side as 16-bit numbers, by depthwise_i8
 * Results are blocks of eight channels; a tensor that is to be plain is made from them afterwards. */
#include "ops/blocked.h"
#include "ops/conv_plain.h"
#include "ops/quantized.h"

#include <string.h>

/* ITEM_ROWS: pixels of a task at least; ITEMS: tasks of one image that are aimed at; SLACK: elements that kernels may
 * read beyond a source's end. */
enum { ITEM_ROWS = 96, ITEMS = 16, NARROW = 4, SLACK = 16 };

/* Which inputs play which part; INGOT_NONE: the operator has no such input. */
typedef struct conv_roles {
    int x, x_scale, x_zero, w, w_scale, w_zero, y_scale, y_zero, bias;
} conv_roles;

/* ConvInteger (x, w, x_zero, w_zero) and QLinearConv, whose inputs are in the struct's order. */
static const conv_roles integer_roles = { 0, INGOT_NONE, 2, 1, INGOT_NONE, 3, INGOT_NONE, INGOT_NONE, INGOT_NONE };
static const conv_roles linear_roles = { 0, 1, 2, 3, 4, 5, 6, 7, 8 };

/* Which of the cases at the top of the file; `direct` is a DENSE one that needs no source. */
typedef enum conv_way { DENSE, NARROW_ROWS, DEPTHWISE } conv_way;

/* One node's convolution. icg and ocg are channels of a group; taps, pixels and in_plane count positions of the
 * window, of the output and of the input. Sizes named _bytes are those of scratch memory, in the order in which it is
 * laid out. */
typedef struct conv_state {
    const conv_roles *roles;
    ingot_conv_shape shape;
    conv_way way;
    bool direct;                 /* x is read where it lies */
    int64_t icg, ocg, taps, pixels, in_plane;
    int64_t unit;                /* elements of a position */
    int64_t blocks;              /* of input channels: of a group, or for DEPTHWISE of the whole image */
    int64_t padded[INGOT_MAX_SPATIAL], plane;   /* the padded image and its positions */
    int64_t length, columns;     /* elements of a packed column; columns of a group with those that fill up a panel */
    ingot_dot dot;
    const char *packed;          /* constant weights; NULL: packed in every run */
    size_t group_bytes;          /* of a group's packed weights */
    int32_t *add;                /* what conv_work has, where it follows from constants; else NULL */
    float *scales;
    size_t parameter_bytes, packed_bytes, arranged_bytes, source_bytes, result_bytes;
} conv_state;

/* A run: its tensors, and the image and group that are at work. row_items and panel_items tell how a group's result
 * is cut into tasks. */
typedef struct conv_work {
    ingot_op_ctx *c;
    const conv_state *state;
    int32_t *add;                /* for all channels, `columns` for each group */
    float *scales;
    const char *packed;
    char *source, *result;
    int64_t image, group, row_items, panel_items;
    ingot_dot_out out;
    int x_zero;
} conv_work;

/* Blocks that hold so many channels. */
static int64_t count_blocks(int64_t channels) { return (channels + INGOT_BLOCK - 1) / INGOT_BLOCK; }

/* ---- shapes ---- */

/* Sizes of the convolution, with every input checked against them: zero points have the type of what they belong to;
 * weights have one scale or one for each output channel; bias is int32, one for each channel. INVALID where one does
 * not fit. */
static ingot_status read_conv(ingot_op_ctx *c, conv_state *s)
{
    const conv_roles *r = s->roles = strcmp(c->node->op_type, "ConvInteger") ? &linear_roles : &integer_roles;
    const ingot_tensor *x = c->in[r->x], *w = c->in[r->w];
    const ingot_window *v = &s->shape.window;
    ingot_status st = ingot_conv_shape_read(c, x, w, ingot_quantized_input(c, r->bias), &s->shape);
    const int64_t oc = st ? 0 : s->shape.oc;

    if (st || (st = ingot_quantized_check(c, r->x_scale, 0, 1, INGOT_TYPES_SCALE)) ||
        (st = ingot_quantized_check(c, r->x_zero, 0, 1, UINT64_C(1) << x->dtype)) ||
        (st = ingot_quantized_check(c, r->w_scale, oc, 1, INGOT_TYPES_SCALE)) ||
        (st = ingot_quantized_check(c, r->w_zero, oc, 1, UINT64_C(1) << w->dtype)) ||
        (st = ingot_quantized_check(c, r->y_scale, 0, 1, INGOT_TYPES_SCALE)) ||
        (st = ingot_quantized_check(c, r->y_zero, 0, 1, INGOT_TYPES_BYTE)) ||
        (st = ingot_quantized_check(c, r->bias, oc, 1, INGOT_TYPE(INT32))))
        return st;
    s->icg = s->shape.ic / s->shape.group;
    s->ocg = oc / s->shape.group;
    s->taps = ingot_window_volume(v->kernel, v->rank);
    s->pixels = ingot_window_volume(v->out, v->rank);
    s->in_plane = ingot_window_volume(v->in, v->rank);
    return INGOT_OK;
}

/* (N, oc, D1...): int32 for ConvInteger, else the type of Y's zero point. */
static ingot_status infer_quantized(ingot_op_ctx *c)
{
    conv_state s;
    int64_t sizes[INGOT_MAX_RANK];
    const ingot_status st = read_conv(c, &s);

    if (st)
        return st;
    const ingot_tensor *zero = ingot_quantized_input(c, s.roles->y_zero);
    sizes[0] = s.shape.n;
    sizes[1] = s.shape.oc;
    memcpy(sizes + 2, s.shape.window.out, (size_t)s.shape.window.rank * sizeof *sizes);
    return ingot_out(c, 0, s.roles == &integer_roles ? INGOT_INT32 : zero ? zero->dtype : c->in[s.roles->x]->dtype,
                     c->in[s.roles->x]->rank, sizes);
}

/* Groups of one channel each, into bytes: the case that depthwise_i8 computes. */
static bool is_depthwise(const conv_state *s) { return s->icg == 1 && s->ocg == 1 && s->roles == &linear_roles; }

/* Few channels, in one group, whose window's rows are without gaps: the first convolution of a network, which sees an
 * image of three colours. */
static bool is_narrow(const conv_state *s)
{
    const ingot_window *v = &s->shape.window;
    return s->shape.group == 1 && s->icg > 0 && s->icg <= NARROW && v->dilation[v->rank - 1] == 1;
}

/* Blocked results, and blocked inputs unless there are few channels: where groups are whole blocks. Anything that is
 * not valid stays plain; inference has reported it. */
static ingot_layout layout_conv(const ingot_op_ctx *c)
{
    const ingot_layout plain = { INGOT_LAYOUT_PLAIN, 0 };
    ingot_op_ctx copy = *c;
    conv_state s;

    copy.error = NULL;
    if (c->in[0]->rank > 5 || read_conv(&copy, &s) || ingot_count(c->in[s.roles->x]) == 0 ||
        ingot_count(c->out[0]) == 0 ||
        (s.shape.group > 1 && !is_depthwise(&s) && (s.icg % INGOT_BLOCK || s.ocg % INGOT_BLOCK)))
        return plain;
    return (ingot_layout){ INGOT_LAYOUT_NATIVE, is_narrow(&s) ? 0u : 1u << s.roles->x };
}

/* ---- preparing ---- */

/* Distance in positions of a step along each dimension of the padded image, row-major. */
static void find_steps(const conv_state *s, int64_t *steps)
{
    int64_t step = 1;

    for (int i = s->shape.window.rank - 1; i >= 0; i--) {
        steps[i] = step;
        step *= s->padded[i];
    }
}

/* The padded image: its sizes, checked for overflow, and how many elements a source takes. It reaches as far as the
 * last window needs, which may be less than the padding at the end. LIMIT where offsets would not fit 32 bits. */
static ingot_status plan_source(ingot_op_ctx *c, conv_state *s)
{
    const ingot_window *v = &s->shape.window;
    const ingot_tensor *x = c->in[s->roles->x];
    size_t bytes = (size_t)s->unit * (s->way == DEPTHWISE ? sizeof(int16_t) : (size_t)c->kernels->dot_bytes);
    bool fits = true, whole = true;

    for (int i = 0; i < v->rank; i++) {
        const int64_t window = (v->kernel[i] - 1) * v->dilation[i] + 1;
        const int64_t reach = v->out[i] > 0 ? (v->out[i] - 1) * v->stride[i] + window : 0;
        s->padded[i] = MAX(v->pad_begin[i] + v->in[i], reach);
        whole &= s->padded[i] == v->in[i];
        fits &= ingot_mul_size(bytes, (size_t)s->padded[i], &bytes) && bytes < INT32_MAX;
    }
    s->plane = fits ? ingot_window_volume(s->padded, v->rank) : 0;
    s->direct = s->way == DENSE && whole && x->layout == INGOT_BLOCKED && c->kernels->dot_bytes == 1;
    if (!fits || (s->way != DEPTHWISE && !ingot_mul_size(bytes, (size_t)MAX(s->blocks, 1), &bytes)))
        return ingot_op_fail(c, INGOT_LIMIT, "an image with its padding is too large");
    s->source_bytes = s->direct ? 0 : (bytes + SLACK * sizeof(int16_t) + INGOT_ALIGNMENT) / INGOT_ALIGNMENT *
                                          INGOT_ALIGNMENT;
    return INGOT_OK;
}

/* Where the pieces of each tap and the windows of each output pixel begin, as element offsets into the source. A
 * narrow window's rows are whole taps. */
static ingot_status plan_offsets(ingot_op_ctx *c, conv_state *s)
{
    const ingot_window *v = &s->shape.window;
    const int tap_rank = s->way == NARROW_ROWS ? v->rank - 1 : v->rank;
    const int64_t taps = s->icg ? ingot_window_volume(v->kernel, tap_rank) : 0;
    int64_t steps[INGOT_MAX_SPATIAL], at[INGOT_MAX_SPATIAL] = { 0 };
    int64_t *tap_at = ingot_keep(c, sizeof *tap_at * (size_t)MAX(taps, 1));
    int32_t *row_at = s->way == DEPTHWISE ? NULL : ingot_keep(c, sizeof *row_at * (size_t)MAX(s->pixels, 1));

    if (!tap_at || (!row_at && s->way != DEPTHWISE))
        return ingot_op_out_of_memory(c);
    find_steps(s, steps);
    /* Taps from the window's begin; windows from the source's begin. */
    for (int64_t i = 0; i < taps; i++, ingot_window_next(at, v->kernel, tap_rank))
        for (int d = 0; d < tap_rank; d++)
            tap_at[i] += at[d] * v->dilation[d] * steps[d] * s->unit;
    memset(at, 0, sizeof at);
    for (int64_t i = 0; row_at && i < s->pixels; i++, ingot_window_next(at, v->out, v->rank))
        for (int d = 0; d < v->rank; d++)
            row_at[i] += (int32_t)(at[d] * v->stride[d] * steps[d] * s->unit);
    s->dot.taps = taps;
    s->dot.tap_at = tap_at;
    s->dot.row_at = row_at;
    return INGOT_OK;
}

/* Index in a packed column of channel ch under tap t, in the order in which the kernels walk pieces: taps, blocks of
 * channels, 8 elements. */
static int64_t place_in_column(const conv_state *s, int64_t t, int64_t ch)
{
    const ingot_window *v = &s->shape.window;
    const int64_t across = v->kernel[v->rank - 1];

    if (s->way == NARROW_ROWS)
        return t / across * s->dot.blocks * INGOT_BLOCK + t % across * NARROW + ch;
    return t * s->dot.blocks * INGOT_BLOCK + ch;
}

/* The zero point of an output channel's weights, 0 where there is none. */
static int weight_zero(const ingot_op_ctx *c, const conv_state *s, int64_t channel)
{
    return (int)ingot_quantized_at(ingot_quantized_input(c, s->roles->w_zero), s->shape.oc, 0, channel, 0);
}

/* All weights into `packed`, by way of columns in the order of the pieces in `arranged`; what no weight belongs to is
 * the zero point, so that it adds nothing. `zeros` has room for a group's channels. DEPTHWISE: (blocks, taps, 8),
 * less the zero point, which then needs no correction later. */
static void pack_weights(ingot_op_ctx *c, const conv_state *s, char *packed, uint8_t *arranged, int32_t *zeros)
{
    const ingot_tensor *w = c->in[s->roles->w];
    const uint8_t *from = w->data;
    const bool is_signed = w->dtype == INGOT_INT8;

    /* Groups of one channel: eight of them side by side. */
    if (s->way == DEPTHWISE) {
        int32_t *to = memset(packed, 0, s->group_bytes);
        for (int64_t i = 0; i < s->shape.oc * s->taps; i++) {
            const int64_t ch = i / s->taps, at = (ch / INGOT_BLOCK * s->taps + i % s->taps) * INGOT_BLOCK;
            const int value = is_signed ? (int8_t)from[i] : from[i];
            to[at + ch % INGOT_BLOCK] = (uint16_t)(int16_t)(value - weight_zero(c, s, ch));
        }
        return;
    }
    for (int64_t g = 0; g < s->shape.group; g++) {
        for (int64_t j = 0; j < s->ocg; j++, from += s->icg * s->taps) {
            uint8_t *column = arranged + j * s->length;
            zeros[j] = weight_zero(c, s, g * s->ocg + j);
            memset(column, zeros[j], (size_t)s->length);
            for (int64_t i = 0; i < s->icg * s->taps; i++)
                column[place_in_column(s, i % s->taps, i / s->taps)] = from[i];
        }
        c->kernels->dot_pack_i8(&s->dot, packed + g * (int64_t)s->group_bytes, arranged, 1, s->length, s->length,
                                zeros, 0, c->kernels->dot_panels_i8(&s->dot));
    }
}

/* Pack the weights for all plans, where they and their zero points are constants. The tag tells forms apart. LIMIT
 * when memory is out. */
static ingot_status pack_constant(ingot_op_ctx *c, conv_state *s)
{
    const uint64_t tag = UINT64_C(0x5143) << 32 | (uint64_t)s->way << 16 | (uint64_t)c->kernels->dot_bytes << 8 |
                         (uint64_t)c->kernels->lanes;
    bool fill = false;
    char *packed = ingot_packed(c, tag, s->packed_bytes, &fill);
    char *work = fill ? ingot_work_alloc(c, s->arranged_bytes) : NULL;

    if (!packed || (fill && !work))
        return ingot_op_out_of_memory(c);
    if (fill)
        pack_weights(c, s, packed, (uint8_t *)work + ingot_aligned_bytes(s->ocg, sizeof(int32_t)),
                     (int32_t *)(void *)work);
    ingot_work_free(c, work);
    s->packed = packed;
    return INGOT_OK;
}

/* Does any channel's weight zero point matter, given how the kernels hold bytes of this sign? They hold them as
 * signed numbers, so that 128 is the one that unsigned bytes have for nothing. Not known yet counts as yes. */
static bool has_zeros(const ingot_op_ctx *c, const conv_state *s)
{
    const bool is_signed = c->in[s->roles->w]->dtype == INGOT_INT8;

    if (!ingot_quantized_known(c, s->roles->w_zero))
        return true;
    for (int64_t i = 0; i < s->shape.oc; i++)
        if (weight_zero(c, s, i) != (is_signed ? 0 : 128))
            return true;
    return false;
}

/* Sizes of packed weights and of the memory to work in; all come from the model and are checked (LIMIT). Constant
 * weights are packed at once. */
static ingot_status plan_weights(ingot_op_ctx *c, conv_state *s)
{
    const bool depth = s->way == DEPTHWISE;
    size_t group_bytes, column_bytes;

    s->length = s->dot.taps * s->dot.blocks * INGOT_BLOCK;
    if (!ingot_mul_size((size_t)s->length, (size_t)(s->ocg + 64), &column_bytes) ||
        !ingot_mul_size(column_bytes, 4, &group_bytes))
        return ingot_op_out_of_memory(c);
    s->columns = depth ? s->blocks * INGOT_BLOCK : c->kernels->dot_columns_i8(&s->dot);
    s->group_bytes = depth ? (size_t)(s->columns * s->taps) * sizeof(int32_t)
                           : ingot_aligned_bytes(c->kernels->dot_packed_i8(&s->dot), 1);
    const int64_t groups = depth ? 1 : s->shape.group;
    if (!ingot_mul_size(s->group_bytes, (size_t)groups, &s->packed_bytes))
        return ingot_op_out_of_memory(c);
    s->arranged_bytes = ingot_aligned_bytes(s->ocg, sizeof(int32_t)) +
                        (depth ? 0 : ingot_aligned_bytes(s->ocg, (size_t)s->length));
    s->parameter_bytes = ingot_aligned_bytes(groups * s->columns, sizeof(float));
    if (ingot_quantized_known(c, s->roles->w) && ingot_quantized_known(c, s->roles->w_zero))
        return pack_constant(c, s);
    return INGOT_OK;
}

/* Scales and what is added to the sums, of all channels. The factor is x_scale * w_scale / y_scale in f32, as the
 * specification's reference rounds it. */
static void read_parameters(conv_work *w)
{
    const conv_state *s = w->state;
    const conv_roles *r = s->roles;
    ingot_op_ctx *c = w->c;
    const ingot_tensor *w_scale = ingot_quantized_input(c, r->w_scale), *bias = ingot_quantized_input(c, r->bias);
    const int32_t *biases = bias ? bias->data : NULL;
    const float x_scale = ingot_quantized_scale(c, r->x_scale), y_scale = ingot_quantized_scale(c, r->y_scale);
    const bool depth = s->way == DEPTHWISE;
    const int64_t groups = depth ? 1 : s->shape.group, channels = depth ? s->shape.oc : s->ocg;

    memset(w->add, 0, s->parameter_bytes);
    memset(w->scales, 0, s->parameter_bytes);
    for (int64_t i = 0; i < s->shape.oc; i++)
        w->scales[i / channels * s->columns + i % channels] =
            x_scale * (float)ingot_quantized_at(w_scale, s->shape.oc, 0, i, 1) / y_scale;
    for (int64_t g = 0; g < groups && !depth; g++)
        c->kernels->dot_add_i8(&s->dot, w->packed + g * (int64_t)s->group_bytes, biases ? biases + g * s->ocg : NULL,
                               w->x_zero, w->add + g * s->columns);
    if (depth && biases)
        memcpy(w->add, biases, (size_t)channels * sizeof *biases);
}

/* Where everything they follow from is constant, scales and sums are found once per plan. */
static ingot_status keep_parameters(ingot_op_ctx *c, conv_state *s)
{
    const conv_roles *r = s->roles;
    const int inputs[] = { r->x_scale, r->x_zero, r->w_scale, r->y_scale, r->bias };

    for (size_t i = 0; i < sizeof inputs / sizeof *inputs; i++)
        if (!s->packed || !ingot_quantized_known(c, inputs[i]))
            return INGOT_OK;
    s->add = ingot_keep(c, s->parameter_bytes);
    s->scales = ingot_keep(c, s->parameter_bytes);
    if (!s->add || !s->scales)
        return ingot_op_out_of_memory(c);
    read_parameters(&(conv_work){ .c = c, .state = s, .packed = s->packed, .add = s->add, .scales = s->scales,
                                  .x_zero = ingot_quantized_zero(c, r->x_zero) });
    return INGOT_OK;
}

/* The case, the layout of source and weights, and scratch memory: parameters, then packed weights where they are no
 * constants, the source, and a plain output's blocks. */
static ingot_status prepare_quantized(ingot_op_ctx *c)
{
    conv_state *s = c->state = ingot_keep(c, sizeof *s);
    const ingot_window *v = &s->shape.window;
    const ingot_tensor *x;
    ingot_status st;

    if (!s)
        return ingot_op_out_of_memory(c);
    if ((st = read_conv(c, s)) || ingot_count(c->out[0]) == 0)
        return st;                               /* without results sizes need not be sensible */
    x = c->in[s->roles->x];
    /* Which case it is, and what a position of the source holds. */
    s->way = is_depthwise(s) && x->layout == INGOT_BLOCKED          ? DEPTHWISE
             : is_narrow(s) && x->layout == INGOT_PLAIN ? NARROW_ROWS : DENSE;
    s->unit = s->way == NARROW_ROWS ? NARROW : INGOT_BLOCK;
    s->blocks = s->way == NARROW_ROWS ? 1 : count_blocks(s->way == DEPTHWISE ? s->shape.ic : s->icg);
    if ((st = plan_source(c, s)) || (st = plan_offsets(c, s)))
        return st;
    /* The product in the kernels' terms. */
    s->dot.n = s->ocg;
    s->dot.a_signed = x->dtype == INGOT_INT8;
    s->dot.b_signed = c->in[s->roles->w]->dtype == INGOT_INT8;
    s->dot.b_zeros = has_zeros(c, s);
    s->dot.blocks = s->way == NARROW_ROWS ? count_blocks(v->kernel[v->rank - 1] * NARROW) : s->blocks;
    s->dot.block_step = s->way == NARROW_ROWS ? INGOT_BLOCK : s->plane * INGOT_BLOCK;
    if ((st = plan_weights(c, s)) || (st = keep_parameters(c, s)))
        return st;
    if (c->out[0]->layout == INGOT_PLAIN)
        s->result_bytes = ingot_aligned_bytes(count_blocks(s->ocg) * INGOT_BLOCK * s->pixels,
                                                ingot_dtype_size_bytes(c->out[0]->dtype));
    ingot_want_scratch(c, 2 * s->parameter_bytes + (s->packed ? 0 : s->packed_bytes + s->arranged_bytes) +
                              (s->way == DEPTHWISE ? 0 : s->source_bytes) + s->result_bytes,
                       s->way == DEPTHWISE ? s->source_bytes
                                           : ingot_aligned_bytes(v->in[v->rank - 1] * INGOT_BLOCK, 1));
    c->kernel = s->way == DEPTHWISE ? "int8 depthwise" : s->way == NARROW_ROWS ? "int8 narrow"
                : s->direct ? "int8 in place" : "int8";
    return INGOT_OK;
}

/* ---- running ---- */

/* Where line `line` of the image lies that the padded image has as its line number `index`; false: it is padding. A
 * line runs along the last dimension. */
static bool find_line(const conv_state *s, int64_t index, int64_t *line)
{
    const ingot_window *v = &s->shape.window;
    int64_t step = 1;

    *line = 0;
    for (int i = v->rank - 2; i >= 0; i--) {
        const int64_t at = index % s->padded[i] - v->pad_begin[i];
        if (at < 0 || at >= v->in[i])
            return false;
        *line += at * step;
        step *= v->in[i];
        index /= s->padded[i];
    }
    return true;
}

/* n bytes as operand elements, in the width that the instruction set multiplies; for DEPTHWISE as 16-bit numbers less
 * the zero point. */
static void convert_line(const conv_work *w, char *dst, const void *src, int64_t n)
{
    const bool is_signed = w->state->dot.a_signed;

    if (w->state->way == DEPTHWISE)
        w->c->kernels->widen_i8((int16_t *)(void *)dst, src, n, is_signed, w->x_zero);
    else
        w->c->kernels->dot_line_i8(dst, src, n, is_signed, w->x_zero);
}

/* A line's positions of one block of channels from a plain tensor, as `unit` bytes each: `channels` is how many are
 * left from the block's first one. */
static void gather_line(const conv_state *s, uint8_t *dst, const uint8_t *src, int64_t channels, int64_t n)
{
    if (s->unit == INGOT_BLOCK) {
        ingot_interleave_bytes(dst, src, channels, s->in_plane, n);
        return;
    }
    const uint8_t *from[NARROW];
    uint8_t mask[NARROW];
    for (int ch = 0; ch < NARROW; ch++) {            /* a channel that is missing: the first one, and nothing of it */
        from[ch] = src + (ch < channels ? ch * s->in_plane : 0);
        mask[ch] = ch < channels ? 255 : 0;
    }
    for (int64_t i = 0; i < n; i++) {
        dst[i * NARROW] = from[0][i];
        dst[i * NARROW + 1] = from[1][i] & mask[1];
        dst[i * NARROW + 2] = from[2][i] & mask[2];
        dst[i * NARROW + 3] = from[3][i] & mask[3];
    }
}

/* One line of block `block` of the source's channels, with its padding: the zero point, which stands for 0, or 0
 * where elements are kept less the zero point. `buffer` holds a line of a plain tensor while it is put into blocks. */
static void copy_line(const conv_work *w, char *dst, int64_t block, int64_t index, uint8_t *buffer)
{
    const conv_state *s = w->state;
    const ingot_window *v = &s->shape.window;
    const ingot_tensor *x = w->c->in[s->roles->x];
    const int last = v->rank - 1;
    const int64_t n = v->in[last], across = s->padded[last], before = v->pad_begin[last];
    const int64_t size = s->way == DEPTHWISE ? (int64_t)sizeof(int16_t) : w->c->kernels->dot_bytes;
    const int zero = size == 1 ? w->x_zero : 0;
    int64_t line;

    if (!find_line(s, index, &line)) {
        memset(dst, zero, (size_t)(across * s->unit * size));
        return;
    }
    /* Padding on both sides, then the line between. */
    memset(dst, zero, (size_t)(before * s->unit * size));
    memset(dst + (before + n) * s->unit * size, zero, (size_t)((across - before - n) * s->unit * size));
    const uint8_t *src = x->data;
    if (x->layout == INGOT_BLOCKED) {
        const int64_t first = w->image * count_blocks(s->shape.ic) + w->group * s->icg / INGOT_BLOCK + block;
        src += (first * s->in_plane + line * n) * INGOT_BLOCK;
    } else {
        const int64_t first = w->image * s->shape.ic + w->group * s->icg + block * INGOT_BLOCK;
        gather_line(s, buffer, src + first * s->in_plane + line * n, s->icg - block * INGOT_BLOCK, n);
        src = buffer;
    }
    convert_line(w, dst + before * s->unit * size, src, n * s->unit);
}

/* Task over the lines of all blocks of the group's source; each thread has a buffer for one line. */
static void copy_lines(void *argument, int64_t begin, int64_t end, int thread)
{
    const conv_work *w = argument;
    const conv_state *s = w->state;
    const int64_t across = s->padded[s->shape.window.rank - 1], lines = s->plane / across;

    for (int64_t i = begin; i < end; i++)
        copy_line(w, w->source + i * across * s->unit * w->c->kernels->dot_bytes, i / lines, i % lines,
                  (uint8_t *)ingot_thread_scratch(w->c, thread));
}

/* Task over parts of the group's result: ranges of pixels by ranges of panels. */
static void multiply_items(void *argument, int64_t begin, int64_t end, int thread)
{
    const conv_work *w = argument;
    const conv_state *s = w->state;
    const ingot_kernels *k = w->c->kernels;
    const int64_t panels = k->dot_panels_i8(&s->dot), size = w->out.kind == INGOT_DOT_BYTE ? 1 : 4;

    (void)thread;
    for (int64_t i = begin; i < end; i++) {
        const int64_t r = i / w->panel_items, p = i % w->panel_items, row = s->pixels * r / w->row_items;
        ingot_dot d = s->dot;
        d.row_at += row;
        k->dot_i8(&d, w->source, w->packed + w->group * (int64_t)s->group_bytes,
                  w->result + row * INGOT_BLOCK * size, &w->out, s->pixels * (r + 1) / w->row_items - row,
                  panels * p / w->panel_items, panels * (p + 1) / w->panel_items);
    }
}

/* Task over (image, block of channels) of a depthwise convolution: the block's source is laid out in the thread's own
 * memory, then the kernel runs line by line of the output. */
static void convolve_planes(void *argument, int64_t begin, int64_t end, int thread)
{
    const conv_state *s = ((const conv_work *)argument)->state;
    const ingot_window *v = &s->shape.window;
    const int last = v->rank - 1;
    const int64_t across = s->padded[last], lines = s->plane / across, n = v->out[last];
    int64_t steps[INGOT_MAX_SPATIAL];

    find_steps(s, steps);
    for (int64_t i = begin; i < end; i++) {
        conv_work w = *(const conv_work *)argument;
        const int64_t block = i % s->blocks, rows = n > 0 ? s->pixels / n : 0;
        char *const source = ingot_thread_scratch(w.c, thread), *dst = w.result + i * s->pixels * INGOT_BLOCK;
        int64_t at[INGOT_MAX_SPATIAL] = { 0 };

        /* The block's image with its padding, then line by line of the result. */
        w.image = i / s->blocks;
        for (int64_t line = 0; line < lines; line++)
            copy_line(&w, source + line * across * INGOT_BLOCK * (int64_t)sizeof(int16_t), block, line, NULL);
        w.out.add = w.add + block * INGOT_BLOCK;
        w.out.scale = w.scales + block * INGOT_BLOCK;
        for (int64_t row = 0; row < rows; row++, dst += n * INGOT_BLOCK, ingot_window_next(at, v->out, last)) {
            int64_t from = 0;
            for (int d = 0; d < last; d++)
                from += at[d] * v->stride[d] * steps[d] * INGOT_BLOCK;
            w.c->kernels->depthwise_i8(dst, (const int16_t *)(const void *)source + from,
                                       v->stride[last] * INGOT_BLOCK, s->dot.tap_at, s->taps,
                                       (const int32_t *)(const void *)w.packed + block * s->taps * INGOT_BLOCK, n,
                                       &w.out);
        }
    }
}

/* The group's blocks of channels become part of the plain output (N, oc, pixels), bytes or int32. */
static void make_plain(const conv_work *w)
{
    const conv_state *s = w->state;
    const int64_t first = (w->image * s->shape.oc + w->group * s->ocg) * s->pixels;
    int32_t *ints = (int32_t *)w->c->out[0]->data + first;
    uint8_t *bytes = (uint8_t *)w->c->out[0]->data + first;

    for (int64_t ch = 0; ch < s->ocg; ch += INGOT_BLOCK) {
        const int32_t *from = (const int32_t *)(const void *)w->result + ch * s->pixels;
        const int64_t n = MIN(INGOT_BLOCK, s->ocg - ch);
        if (w->out.kind == INGOT_DOT_BYTE)
            ingot_deinterleave_bytes(bytes + ch * s->pixels, (const uint8_t *)w->result + ch * s->pixels, n, s->pixels,
                                     s->pixels);
        else
            for (int64_t i = 0; i < n * s->pixels; i++)
                ints[ch * s->pixels + i] = from[i % s->pixels * INGOT_BLOCK + i / s->pixels];
    }
}

/* One group of one image: its source, its products shared out as tasks, and where the output is plain, its
 * rearrangement. */
static void run_group(conv_work *w, bool plain)
{
    const conv_state *s = w->state;
    ingot_op_ctx *c = w->c;
    const ingot_tensor *x = c->in[s->roles->x];
    const int64_t across = s->padded[s->shape.window.rank - 1], lines = across ? s->plane / across : 0;
    const int64_t panels = c->kernels->dot_panels_i8(&s->dot);
    const int64_t in_blocks = count_blocks(s->shape.ic), out_blocks = count_blocks(s->shape.oc);

    if (s->direct)
        w->source = (char *)x->data + (w->image * in_blocks + w->group * s->icg / INGOT_BLOCK) * s->plane * INGOT_BLOCK;
    else
        ingot_parallel(c->team, s->blocks * lines, 1 + 4096 / (1 + across * s->unit), copy_lines, w);
    if (!plain)
        w->result = (char *)c->out[0]->data +
                    (w->image * out_blocks + w->group * s->ocg / INGOT_BLOCK) * s->pixels * INGOT_BLOCK;
    w->out.add = w->add + w->group * s->columns;
    w->out.scale = w->scales + w->group * s->columns;
    /* Cut by pixels first, whose weights are then read again and again from the cache. */
    w->row_items = MAX(1, s->pixels / ITEM_ROWS);
    w->panel_items = MAX(1, MIN(panels, (ITEMS + w->row_items - 1) / w->row_items));
    if (s->pixels * s->ocg * s->length < 32768)
        w->row_items = w->panel_items = 1;
    ingot_parallel(c->team, w->row_items * w->panel_items, 1, multiply_items, w);
    if (plain)
        make_plain(w);
}

/* Scratch memory in order: sums to add, scales, packed weights and their columns (unless constant), source, result. */
static ingot_status run_quantized(ingot_op_ctx *c)
{
    const conv_state *s = c->state;
    const conv_roles *r = s->roles;
    const bool plain = c->out[0]->layout == INGOT_PLAIN;
    char *next = c->scratch + 2 * s->parameter_bytes;
    conv_work w = { .c = c, .state = s, .packed = s->packed, .x_zero = ingot_quantized_zero(c, r->x_zero),
                    .add = (int32_t *)(void *)c->scratch, .scales = (float *)(void *)(c->scratch + s->parameter_bytes),
                    .out = { .kind = INGOT_DOT_INT32, .row = INGOT_BLOCK, .block = s->pixels * INGOT_BLOCK,
                             .whole_blocks = true } };

    if (ingot_count(c->out[0]) == 0)
        return INGOT_OK;
    /* Weights that come from the graph are packed in each run. */
    if (!s->packed) {
        char *const arranged = next + s->packed_bytes;
        pack_weights(c, s, next, (uint8_t *)arranged + ingot_aligned_bytes(s->ocg, sizeof(int32_t)),
                     (int32_t *)(void *)arranged);
        w.packed = next;
        next = arranged + s->arranged_bytes;
    }
    /* What is left of scratch. */
    w.source = next;
    w.result = next + (s->way == DEPTHWISE ? 0 : s->source_bytes);
    if (r == &linear_roles)
        ingot_quantized_out(c->out[0]->dtype, ingot_quantized_zero(c, r->y_zero), &w.out);
    if (s->add) {
        w.add = s->add;
        w.scales = s->scales;
    } else {
        read_parameters(&w);
    }
    if (s->way == DEPTHWISE) {
        w.result = c->out[0]->data;
        ingot_parallel(c->team, s->shape.n * s->blocks, 1, convolve_planes, &w);
        return INGOT_OK;
    }
    for (w.image = 0; w.image < s->shape.n; w.image++)
        for (w.group = 0; w.group < s->shape.group; w.group++)
            run_group(&w, plain);
    return INGOT_OK;
}

/* Two per multiply-add of a window, padding included. */
static int64_t count_flops(const ingot_op_ctx *c)
{
    const ingot_tensor *w = c->in[strcmp(c->node->op_type, "ConvInteger") ? linear_roles.w : integer_roles.w];
    return 2 * ingot_count(c->out[0]) * ingot_span(w, 1, w->rank);
}

/* the last set of types stands for the inputs after it as well, which ingot_quantized_check() looks at */
const ingot_op ingot_ops_quantized_conv[] = {
    { "ConvInteger", 10, 2, 4, { INGOT_TYPES_BYTE, INGOT_TYPES_BYTE, INGOT_TYPES_BYTE, INGOT_TYPES_BYTE },
      infer_quantized, run_quantized, prepare_quantized, .flops = count_flops, .flags = INGOT_OP_LONG },
    { "QLinearConv", 10, 8, 9, { INGOT_TYPES_BYTE, INGOT_TYPES_SCALE, INGOT_TYPES_BYTE, INGOT_TYPES_BYTE,
                                 INGOT_TYPES_SCALE, INGOT_TYPES_BYTE | INGOT_TYPES_SCALE | INGOT_TYPE(INT32) },
      infer_quantized, run_quantized, prepare_quantized, .layout = layout_conv, .flops = count_flops,
      .flags = INGOT_OP_LONG },
    { 0 }
};
