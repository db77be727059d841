/* quantized_pool.c - pools of bytes: QLinearAveragePool and QLinearGlobalAveragePool as ONNX Runtime's quantizers write
 * them, and MaxPool of blocked tensors. Sums are exact; a mean is scaled and rounded once. */
#include "ops/quantized_pool.h"

#include <string.h>

#include "ops/blocked.h"
#include "ops/quantized.h"

/* Inputs of the means. MaxPool has X alone, at the same place. */
enum { X, X_SCALE, X_ZERO, Y_SCALE, Y_ZERO };

/* ---- the largest ---- */

/* What the threads share. */
typedef struct max_work {
    const ingot_op_ctx *c;
    const ingot_window *window;
} max_work;

/* Which line of the input a tap sees from the output line at `at`, as its number in the plane; false where it is
 * padding. Dimensions before the last only. */
static bool find_row(const ingot_window *v, const int64_t *at, const int64_t *tap, int64_t *row)
{
    *row = 0;
    for (int i = 0; i < v->rank - 1; i++) {
        const int64_t x = at[i] * v->stride[i] + tap[i] * v->dilation[i] - v->pad_begin[i];
        if (x < 0 || x >= v->in[i])
            return false;
        *row = *row * v->in[i] + x;
    }
    return true;
}

/* Task over the output's lines: each tap's pixels that exist are one call of the kernel. A line begins with the least
 * value; windows without any tap inside keep it. */
static void max_lines(void *argument, int64_t begin, int64_t end, int thread)
{
    const max_work *w = argument;
    const ingot_window *v = w->window;
    const ingot_tensor *x = w->c->in[X];
    const int last = v->rank - 1;
    const bool is_signed = x->dtype == INGOT_INT8;
    const int64_t lines = ingot_window_volume(v->out, last), in_plane = ingot_window_volume(v->in, v->rank);

    (void)thread;
    for (int64_t i = begin; i < end; i++) {
        char *dst = (char *)w->c->out[0]->data + i * v->out[last] * INGOT_BLOCK;
        const char *plane = (const char *)x->data + i / lines * in_plane * INGOT_BLOCK;
        /* The line's place, its least value, then tap by tap over all its pixels. */
        int64_t at[INGOT_MAX_SPATIAL], tap[INGOT_MAX_SPATIAL] = { 0 }, rest = i % lines, row, from, to;
        for (int d = last - 1; d >= 0; rest /= v->out[d--])
            at[d] = rest % v->out[d];
        memset(dst, is_signed ? 0x80 : 0, (size_t)(v->out[last] * INGOT_BLOCK));
        do {
            ingot_window_inside(v, last, tap[last], &from, &to);
            if (!find_row(v, at, tap, &row) || from >= to)
                continue;
            const int64_t column = from * v->stride[last] + tap[last] * v->dilation[last] - v->pad_begin[last];
            w->c->kernels->max_pixels_i8(dst + from * INGOT_BLOCK, plane + (row * v->in[last] + column) * INGOT_BLOCK,
                                         v->stride[last] * INGOT_BLOCK, to - from, is_signed);
        } while (ingot_window_next(tap, v->kernel, v->rank));
    }
}

/* MaxPool of a blocked tensor of bytes; the order of bytes is that of the numbers, so that scale and zero point do
 * not matter. */
void ingot_max_pool_bytes(ingot_op_ctx *c, const ingot_window *window)
{
    max_work w = { c, window };
    const int64_t lines = ingot_window_volume(window->out, window->rank - 1);
    ingot_parallel(c->team, ingot_blocks(c->in[X]) * lines, 1 + 512 / (1 + window->out[window->rank - 1]), max_lines,
                   &w);
}

/* ---- means ---- */

/* What the threads share; out has the zero point and limits of Y. */
typedef struct mean_work {
    const ingot_op_ctx *c;
    ingot_window window;
    ingot_dot_out out;
    int x_zero;
    float scale;                 /* of X over that of Y */
    bool count_padding;
    int64_t channels;            /* side by side, where they come last; else 1 */
} mean_work;

/* One window as large as the image? */
static bool is_global(const ingot_op_ctx *c) { return !strcmp(c->node->op_type, "QLinearGlobalAveragePool"); }

/* Is X (N, sizes..., C)? */
static bool is_channels_last(const ingot_op_ctx *c) { return ingot_attr_int(c->node, "channels_last", 0) != 0; }

/* The window from the attributes, or one as large as the image, with all parameters checked. Scales belong to whole
 * tensors. */
static ingot_status read_window(ingot_op_ctx *c, ingot_window *v)
{
    const ingot_tensor *x = c->in[X];
    const uint64_t type = UINT64_C(1) << x->dtype;
    ingot_tensor image = *x;
    ingot_status st;

    if ((st = ingot_quantized_check(c, X_SCALE, 0, 1, INGOT_TYPES_SCALE)) ||
        (st = ingot_quantized_check(c, X_ZERO, 0, 1, type)) ||
        (st = ingot_quantized_check(c, Y_SCALE, 0, 1, INGOT_TYPES_SCALE)) ||
        (st = ingot_quantized_check(c, Y_ZERO, 0, 1, type)))
        return st;
    if (x->rank < 3)
        return ingot_op_fail(c, INGOT_INVALID, "input 0 has rank %d, expected at least 3", x->rank);
    if (is_channels_last(c)) {
        image.shape[1] = x->shape[x->rank - 1];
        memcpy(image.shape + 2, x->shape + 1, (size_t)(x->rank - 2) * sizeof *image.shape);
    }
    if (!is_global(c))
        return ingot_window_resolve(c, &image, NULL, v);
    ingot_window_whole(&image, v);
    return INGOT_OK;
}

/* (N, C, out...), or (N, out..., C). */
static ingot_status infer_mean(ingot_op_ctx *c)
{
    const ingot_tensor *x = c->in[X];
    int64_t sizes[INGOT_MAX_RANK];
    ingot_window v;
    const ingot_status st = read_window(c, &v);

    if (st || !is_channels_last(c))
        return st ? st : ingot_window_out(c, 0, x->dtype, &v);
    memcpy(sizes, x->shape, (size_t)x->rank * sizeof *sizes);
    memcpy(sizes + 1, v.out, (size_t)v.rank * sizeof *sizes);
    return ingot_out(c, 0, x->dtype, x->rank, sizes);
}

/* Means of everything can be had from blocks, which they keep; other windows are computed on plain tensors. */
static ingot_layout layout_mean(const ingot_op_ctx *c)
{
    const bool fits = is_global(c) && !is_channels_last(c) && c->in[X]->rank <= 5 && ingot_count(c->in[X]) > 0;
    return (ingot_layout){ fits ? INGOT_LAYOUT_FOLLOW : INGOT_LAYOUT_PLAIN, fits };
}

/* The rounded mean of n elements with this sum, as a byte of Y; n = 0 gives the zero point. */
static uint8_t round_mean(const mean_work *w, int64_t sum, int64_t n)
{
    const float mean = n ? (float)(sum - n * w->x_zero) / (float)n : 0.0f;
    uint8_t byte;

    w->c->kernels->quantize_i8(&byte, &(float){ mean * w->scale }, 1, 1.0f, w->out.zero, w->out.low, w->out.high);
    return byte;
}

/* An element of either type of byte. */
static int byte_at(const ingot_tensor *x, int64_t i)
{
    return x->dtype == INGOT_INT8 ? ((const int8_t *)x->data)[i] : ((const uint8_t *)x->data)[i];
}

/* Task over blocks of channels of whole planes: eight sums at once, in stretches whose sums fit 32 bits. */
static void mean_blocks(void *argument, int64_t begin, int64_t end, int thread)
{
    const mean_work *w = argument;
    const ingot_tensor *x = w->c->in[X];
    const int64_t plane = ingot_window_volume(w->window.in, w->window.rank);

    (void)thread;
    for (int64_t i = begin; i < end; i++) {
        int64_t total[INGOT_BLOCK] = { 0 };
        for (int64_t at = 0; at < plane; at += 1 << 20) {        /* whose sums fit 32 bits */
            int32_t sums[INGOT_BLOCK];
            w->c->kernels->sum_pixels_i8(sums, (const uint8_t *)x->data + (i * plane + at) * INGOT_BLOCK,
                                         MIN(plane - at, 1 << 20), x->dtype == INGOT_INT8);
            for (int ch = 0; ch < INGOT_BLOCK; ch++)
                total[ch] += sums[ch];
        }
        for (int ch = 0; ch < INGOT_BLOCK; ch++)
            ((uint8_t *)w->c->out[0]->data)[i * INGOT_BLOCK + ch] = round_mean(w, total[ch], plane);
    }
}

/* Task over output elements of plain tensors: every tap inside the input is added. The divisor counts these, or with
 * count_include_pad all that the padded input has. */
static void mean_elements(void *argument, int64_t begin, int64_t end, int thread)
{
    const mean_work *w = argument;
    const ingot_window *v = &w->window;
    const ingot_tensor *x = w->c->in[X];
    const int64_t pixels = ingot_window_volume(v->out, v->rank), plane = ingot_window_volume(v->in, v->rank);

    (void)thread;
    for (int64_t i = begin; i < end; i++) {
        int64_t at[INGOT_MAX_SPATIAL], tap[INGOT_MAX_SPATIAL] = { 0 };
        int64_t rest = i / w->channels % pixels, sum = 0, n = 0, padded = 1, row;
        const int64_t image = i / w->channels / pixels * plane;
        /* The element's place, and how many taps the padded input has. */
        for (int d = v->rank - 1; d >= 0; rest /= v->out[d--]) {
            at[d] = rest % v->out[d];
            const int64_t room = v->in[d] + v->pad_end[d] - (at[d] * v->stride[d] - v->pad_begin[d]);
            padded *= MIN(v->kernel[d], (room + v->dilation[d] - 1) / v->dilation[d]);
        }
        do {
            const int last = v->rank - 1;
            const int64_t column = at[last] * v->stride[last] + tap[last] * v->dilation[last] - v->pad_begin[last];
            if (column < 0 || column >= v->in[last] || !find_row(v, at, tap, &row))
                continue;
            sum += byte_at(x, (image + row * v->in[last] + column) * w->channels + i % w->channels);
            n++;
        } while (ingot_window_next(tap, v->kernel, v->rank));
        if (w->count_padding)    /* padding is a true 0 */
            sum += (padded - n) * w->x_zero;
        ((uint8_t *)w->c->out[0]->data)[i] = round_mean(w, sum, w->count_padding ? padded : n);
    }
}

/* The tensors' scales become one factor. */
static ingot_status run_mean(ingot_op_ctx *c)
{
    mean_work w = { .c = c, .x_zero = ingot_quantized_zero(c, X_ZERO),
                    .scale = ingot_quantized_scale(c, X_SCALE) / ingot_quantized_scale(c, Y_SCALE),
                    .count_padding = ingot_attr_int(c->node, "count_include_pad", 0) != 0,
                    .channels = is_channels_last(c) ? c->in[X]->shape[c->in[X]->rank - 1] : 1 };
    const ingot_status st = read_window(c, &w.window);

    if (st)
        return st;
    ingot_quantized_out(c->out[0]->dtype, ingot_quantized_zero(c, Y_ZERO), &w.out);
    const int64_t work = 1 + 8192 / (1 + ingot_window_volume(w.window.kernel, w.window.rank));
    if (c->in[X]->layout == INGOT_BLOCKED)
        ingot_parallel(c->team, ingot_blocks(c->in[X]), 1 + work / INGOT_BLOCK, mean_blocks, &w);
    else
        ingot_parallel(c->team, ingot_count(c->out[0]), work, mean_elements, &w);
    return INGOT_OK;
}

#define MEAN(name) \
    { name, 1, 4, 5, { INGOT_TYPES_BYTE, INGOT_TYPES_SCALE, INGOT_TYPES_BYTE, INGOT_TYPES_SCALE, INGOT_TYPES_BYTE }, \
      infer_mean, run_mean, .layout = layout_mean, .domain = "com.microsoft" }

const ingot_op ingot_ops_quantized_pool[] = {
    MEAN("QLinearAveragePool"),
    MEAN("QLinearGlobalAveragePool"),
    { 0 }
};
