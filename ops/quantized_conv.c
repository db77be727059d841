/* quantized_conv.c - ConvInteger and QLinearConv. The patch that an output pixel sees is gathered into a row of 16-bit
 * elements less the zero point (padding is 0 there), weights are such rows too, and a block of pixels is a product of
 * rows: any rank, stride, dilation and group is then a matter of gathering. ConvInteger's result is these sums;
 * QLinearConv adds the bias and scales them into its output type. */
#include "ops/conv_plain.h"
#include "ops/quantized.h"

#include <string.h>

enum { PIXELS = 16 };            /* of a task: a patch each */

/* Which inputs play which part; INGOT_NONE: the operator has no such input. */
typedef struct conv_roles {
    int x, x_scale, x_zero, w, w_scale, w_zero, y_scale, y_zero, bias;
} conv_roles;

static const conv_roles integer_roles = { 0, INGOT_NONE, 2, 1, INGOT_NONE, 3, INGOT_NONE, INGOT_NONE, INGOT_NONE };
static const conv_roles linear_roles = { 0, 1, 2, 3, 4, 5, 6, 7, 8 };

typedef struct conv_state {
    const conv_roles *roles;
    ingot_conv_shape shape;
    int64_t icg, ocg, taps, pixels, length;
    const int16_t *packed;       /* constant weights; NULL: packed in every run */
    size_t patch_bytes;          /* of the patches in a thread's scratch memory; the sums come after them */
} conv_state;

typedef struct conv_work {
    ingot_op_ctx *c;
    const conv_state *state;
    int16_t *weights;
    float *scales;               /* one for each output channel */
    int x_zero, y_zero;
} conv_work;

static const ingot_tensor *input(const ingot_op_ctx *c, int i)
{
    return i != INGOT_NONE && ingot_has(c, i) ? c->in[i] : NULL;
}

/* Input i (if there is one): one element, or `channels` where that is allowed (not 0), of one of the types
 * `allowed`. */
static ingot_status check_parameter(ingot_op_ctx *c, int i, int64_t channels, uint64_t allowed)
{
    const ingot_tensor *parameter = input(c, i);
    const int64_t n = parameter ? ingot_count(parameter) : 1;

    if (n != 1 && (!channels || n != channels))
        return ingot_op_fail(c, INGOT_INVALID, "input %d has %lld elements, expected 1%s", i, (long long)n,
                             channels ? " or one for each output channel" : "");
    if (parameter && !(allowed >> parameter->dtype & 1))
        return ingot_op_fail(c, INGOT_INVALID, "input %d has type %s, which does not go with the others", i,
                             ingot_dtype_name(parameter->dtype));
    return INGOT_OK;
}

/* Sizes of the convolution, with every input checked against them. */
static ingot_status read_conv(ingot_op_ctx *c, conv_state *s)
{
    const conv_roles *r = s->roles = strcmp(c->node->op_type, "ConvInteger") ? &linear_roles : &integer_roles;
    const ingot_tensor *x = c->in[r->x], *w = c->in[r->w];
    const ingot_window *v = &s->shape.window;
    ingot_status st = ingot_conv_shape_read(c, x, w, input(c, r->bias), &s->shape);
    const int64_t oc = st ? 0 : s->shape.oc;

    if (st || (st = check_parameter(c, r->x_scale, 0, INGOT_TYPES_SCALE)) ||
        (st = check_parameter(c, r->x_zero, 0, UINT64_C(1) << x->dtype)) ||
        (st = check_parameter(c, r->w_scale, oc, INGOT_TYPES_SCALE)) ||
        (st = check_parameter(c, r->w_zero, oc, UINT64_C(1) << w->dtype)) ||
        (st = check_parameter(c, r->y_scale, 0, INGOT_TYPES_SCALE)) ||
        (st = check_parameter(c, r->y_zero, 0, INGOT_TYPES_BYTE)) ||
        (st = check_parameter(c, r->bias, oc, INGOT_TYPE(INT32))))
        return st;
    s->icg = s->shape.ic / s->shape.group;
    s->ocg = oc / s->shape.group;
    s->taps = ingot_window_volume(v->kernel, v->rank);
    s->pixels = ingot_window_volume(v->out, v->rank);
    s->length = ingot_wide_length(s->icg * s->taps);
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
    const ingot_tensor *zero = input(c, s.roles->y_zero);
    sizes[0] = s.shape.n;
    sizes[1] = s.shape.oc;
    memcpy(sizes + 2, s.shape.window.out, (size_t)s.shape.window.rank * sizeof *sizes);
    return ingot_out(c, 0, s.roles == &integer_roles ? INGOT_INT32 : zero ? zero->dtype : c->in[s.roles->x]->dtype,
                     c->in[s.roles->x]->rank, sizes);
}

/* Zero point or scale of an output channel: `i` or the only one. */
static int64_t channel(const ingot_tensor *parameter, int64_t i) { return ingot_count(parameter) == 1 ? 0 : i; }

/* Task over output channels: each one's weights, less their zero point, become one padded row. */
static void pack_channels(void *argument, int64_t begin, int64_t end, int thread)
{
    const conv_work *work = argument;
    const conv_state *s = work->state;
    const ingot_tensor *w = work->c->in[s->roles->w], *zeros = input(work->c, s->roles->w_zero);
    const int64_t k = s->icg * s->taps;

    (void)thread;
    for (int64_t i = begin; i < end; i++)
        ingot_widen_bytes_row(work->weights + i * s->length, (const char *)w->data + i * k, w->dtype, k, 1,
                              zeros ? (int)ingot_int_at(zeros, channel(zeros, i)) : 0);
}

/* Pack the weights for all plans, where they and their zero points are constants. */
static ingot_status pack_constant(ingot_op_ctx *c, conv_state *s, size_t size_bytes)
{
    const int w = s->roles->w, zero = s->roles->w_zero;
    bool fill = false;

    if (!c->constants[w] || !c->in[w]->data || (ingot_has(c, zero) && (!c->constants[zero] || !c->in[zero]->data)))
        return INGOT_OK;
    int16_t *packed = ingot_packed(c, 1, size_bytes, &fill);
    if (!packed)
        return ingot_op_fail(c, INGOT_LIMIT, "memory is out");
    if (fill)
        pack_channels(&(conv_work){ .c = c, .state = s, .weights = packed }, 0, s->shape.oc, 0);
    s->packed = packed;
    return INGOT_OK;
}

/* Packs constant weights once. Each thread holds PIXELS patches and their sums; all four sizes come from the model
 * and are overflow-checked. */
static ingot_status prepare_quantized(ingot_op_ctx *c)
{
    conv_state *s = c->state = ingot_keep(c, sizeof *s);
    size_t row_bytes, weight_bytes, sum_bytes;
    ingot_status st;

    if (!s)
        return ingot_op_fail(c, INGOT_LIMIT, "memory is out");
    if ((st = read_conv(c, s)))
        return st;
    const size_t scale_bytes = sizeof(float) * (size_t)s->shape.oc;
    if (!ingot_mul_size((size_t)s->length, sizeof(int16_t), &row_bytes) ||
        !ingot_mul_size(row_bytes, (size_t)s->shape.oc, &weight_bytes) ||
        !ingot_mul_size(row_bytes, PIXELS, &s->patch_bytes) ||
        !ingot_mul_size((size_t)s->ocg, PIXELS * sizeof(int32_t), &sum_bytes))
        return ingot_op_fail(c, INGOT_LIMIT, "memory is out");
    if ((st = pack_constant(c, s, weight_bytes)))
        return st;
    ingot_want_scratch(c, scale_bytes + (s->packed ? 0 : weight_bytes), s->patch_bytes + sum_bytes);
    c->kernel = "int16 pairs";
    return INGOT_OK;
}

/* Where the input element of output position `at` under `tap` lies in its plane, or INGOT_NONE for padding. */
static int64_t input_offset(const ingot_window *v, const int64_t *at, const int64_t *tap)
{
    int64_t offset = 0;
    for (int i = 0; i < v->rank; i++) {
        const int64_t x = at[i] * v->stride[i] + tap[i] * v->dilation[i] - v->pad_begin[i];
        if (x < 0 || x >= v->in[i])
            return INGOT_NONE;
        offset = offset * v->in[i] + x;
    }
    return offset;
}

/* The patch of output position `at` into dst: (icg, taps), less the zero point. `first`: index of the first input
 * plane. */
static void gather_patch(const conv_work *w, int64_t first, const int64_t *at, int16_t *dst)
{
    const conv_state *s = w->state;
    const ingot_window *v = &s->shape.window;
    const ingot_tensor *x = w->c->in[s->roles->x];
    const int64_t plane = ingot_window_volume(v->in, v->rank), k = s->icg * s->taps;
    int64_t tap[INGOT_MAX_SPATIAL] = { 0 };
    int16_t *to = dst;

    do {
        const int64_t offset = input_offset(v, at, tap);
        const uint8_t *u = (const uint8_t *)x->data + first * plane + MAX(offset, 0);
        const int8_t *i8 = (const int8_t *)(const void *)u;
        if (offset == INGOT_NONE)
            for (int64_t i = 0; i < s->icg; i++)
                to[i * s->taps] = 0;
        else if (x->dtype == INGOT_UINT8)
            for (int64_t i = 0; i < s->icg; i++)
                to[i * s->taps] = (int16_t)(u[i * plane] - w->x_zero);
        else
            for (int64_t i = 0; i < s->icg; i++)
                to[i * s->taps] = (int16_t)(i8[i * plane] - w->x_zero);
        to++;
    } while (ingot_window_next(tap, v->kernel, v->rank));
    memset(dst + k, 0, (size_t)(s->length - k) * sizeof *dst);
}

/* Bias and scale sums (channels of one group, PIXELS apart) into the output from `channel` on; out points at the
 * pixel. */
static void requantize_block(const conv_work *w, int32_t *sums, int64_t first, int64_t n, char *out)
{
    const conv_state *s = w->state;
    const ingot_tensor *bias = input(w->c, s->roles->bias);

    for (int64_t o = 0; o < s->ocg; o++) {
        int32_t *row = sums + o * PIXELS;
        const uint32_t b = bias ? (uint32_t)((const int32_t *)bias->data)[first + o] : 0;
        for (int64_t i = 0; i < n; i++)
            row[i] = (int32_t)((uint32_t)row[i] + b);
        ingot_requantize(out + o * s->pixels, w->c->out[0]->dtype, row, n, w->scales + first + o, 0, w->y_zero);
    }
}

/* Blocks [begin, end): batch items, groups within, blocks of PIXELS output positions within. */
static void convolve_blocks(void *argument, int64_t begin, int64_t end, int thread)
{
    const conv_work *w = argument;
    const conv_state *s = w->state;
    const ingot_window *v = &s->shape.window;
    const int64_t blocks = (s->pixels + PIXELS - 1) / PIXELS;
    int16_t *patches = (int16_t *)(void *)ingot_thread_scratch(w->c, thread);
    int32_t *sums = (int32_t *)(void *)((char *)patches + s->patch_bytes);

    for (int64_t index = begin; index < end; index++) {
        const int64_t image_group = index / blocks, group = image_group % s->shape.group;
        const int64_t pixel = index % blocks * PIXELS, n = MIN(PIXELS, s->pixels - pixel), first = group * s->ocg;
        const int16_t *weights = (s->packed ? s->packed : w->weights) + first * s->length;
        const int64_t y = image_group * s->ocg * s->pixels + pixel;
        int64_t at[INGOT_MAX_SPATIAL], rest = pixel;
        for (int i = v->rank - 1; i >= 0; rest /= v->out[i--])
            at[i] = rest % v->out[i];
        for (int64_t i = 0; i < n; i++, ingot_window_next(at, v->out, v->rank))
            gather_patch(w, image_group * s->icg, at, patches + i * s->length);
        if (s->roles == &integer_roles) {
            ingot_multiply_wide((int32_t *)w->c->out[0]->data + y, 1, s->pixels, patches, n, weights, s->ocg,
                                s->length);
        } else {
            ingot_multiply_wide(sums, 1, PIXELS, patches, n, weights, s->ocg, s->length);
            requantize_block(w, sums, first, n, (char *)w->c->out[0]->data + y);
        }
    }
}

/* The factor of a channel is x_scale * w_scale / y_scale in f32, as the specification's reference rounds it. */
static ingot_status run_quantized(ingot_op_ctx *c)
{
    const conv_state *s = c->state;
    const conv_roles *r = s->roles;
    const ingot_tensor *x_zero = input(c, r->x_zero), *y_zero = input(c, r->y_zero), *w_scale = input(c, r->w_scale);
    conv_work w = { .c = c, .state = s, .scales = (float *)(void *)c->scratch };

    if (ingot_count(c->out[0]) == 0)
        return INGOT_OK;
    w.weights = (int16_t *)(void *)(w.scales + s->shape.oc);
    w.x_zero = x_zero ? (int)ingot_int_at(x_zero, 0) : 0;
    w.y_zero = y_zero ? (int)ingot_int_at(y_zero, 0) : 0;
    for (int64_t i = 0; i < s->shape.oc && w_scale; i++)
        w.scales[i] = (float)ingot_double_at(c->in[r->x_scale], 0) *
                      (float)ingot_double_at(w_scale, channel(w_scale, i)) /
                      (float)ingot_double_at(c->in[r->y_scale], 0);
    if (!s->packed)
        ingot_parallel(c->team, s->shape.oc, 16, pack_channels, &w);
    ingot_parallel(c->team, s->shape.n * s->shape.group * ((s->pixels + PIXELS - 1) / PIXELS), 1, convolve_blocks, &w);
    return INGOT_OK;
}

/* Two per multiply-add, padding included. */
static int64_t count_flops(const ingot_op_ctx *c)
{
    const ingot_tensor *w = c->in[strcmp(c->node->op_type, "ConvInteger") ? linear_roles.w : integer_roles.w];
    return 2 * ingot_count(c->out[0]) * ingot_span(w, 1, w->rank);
}

/* the last set of types stands for the inputs after it as well, which check_parameter() looks at */
const ingot_op ingot_ops_quantized_conv[] = {
    { "ConvInteger", 10, 2, 4, { INGOT_TYPES_BYTE, INGOT_TYPES_BYTE, INGOT_TYPES_BYTE, INGOT_TYPES_BYTE },
      infer_quantized, run_quantized, prepare_quantized, .flops = count_flops },
    { "QLinearConv", 10, 8, 9, { INGOT_TYPES_BYTE, INGOT_TYPES_SCALE, INGOT_TYPES_BYTE, INGOT_TYPES_BYTE,
                                 INGOT_TYPES_SCALE, INGOT_TYPES_BYTE | INGOT_TYPES_SCALE | INGOT_TYPE(INT32) },
      infer_quantized, run_quantized, prepare_quantized, .flops = count_flops },
    { 0 }
};
