/* window.c - reads and checks spatial attributes once, so that no kernel has to doubt them: every value is bounded to
 * 31 bits, kernel, stride and dilation are at least 1, pads at least 0, and each window touches memory only where
 * ingot_window_inside() or the padding says so. */
#include "ops/window.h"

#include <string.h>

static const int64_t largest = INT32_MAX;

/* In the order of the words in read_auto_pad(). */
typedef enum auto_pad { PAD_NOTSET, PAD_VALID, PAD_SAME_UPPER, PAD_SAME_LOWER } auto_pad;

/* A list attribute of n integers from `minimum` to 2^31 - 1; all are `otherwise` when it is missing or empty. INVALID
 * for another length or a number outside. */
ingot_status ingot_window_ints(ingot_op_ctx *c, const char *name, int64_t *values, int n, int64_t minimum,
                               int64_t otherwise)
{
    const ingot_attr *attr = ingot_node_attr(c->node, name);

    for (int i = 0; i < n; i++)
        values[i] = otherwise;
    if (!attr || attr->n == 0)
        return INGOT_OK;
    if (attr->n != (size_t)n)
        return ingot_op_fail(c, INGOT_INVALID, "attribute '%s' has %zu values, expected %d", name, attr->n, n);
    for (int i = 0; i < n; i++) {
        if (attr->ints[i] < minimum)
            return ingot_op_fail(c, INGOT_INVALID, "attribute '%s': %lld is not allowed (at least %lld)", name,
                                 (long long)attr->ints[i], (long long)minimum);
        if (attr->ints[i] > largest)
            return ingot_op_fail(c, INGOT_INVALID, "attribute '%s': %lld is too large", name,
                                 (long long)attr->ints[i]);
        values[i] = attr->ints[i];
    }
    return INGOT_OK;
}

/* The attribute auto_pad; INVALID for a text that the standard does not have. */
static ingot_status read_auto_pad(ingot_op_ctx *c, auto_pad *mode)
{
    static const char *const names[] = { "NOTSET", "VALID", "SAME_UPPER", "SAME_LOWER" };
    const char *text = ingot_attr_string(c->node, "auto_pad", "NOTSET");

    for (int i = 0; i < 4; i++)
        if (!strcmp(text, names[i]) || (i == 0 && !*text)) {
            *mode = (auto_pad)i;
            return INGOT_OK;
        }
    return ingot_op_fail(c, INGOT_INVALID,
                         "attribute 'auto_pad': '%s' is not one of NOTSET, VALID, SAME_UPPER, SAME_LOWER", text);
}

/* Kernel, strides, dilations and explicit pads, and the input's spatial sizes: X (N, C, D1...). weights (oc, icg,
 * k1...) tell the kernel's size where there are any, and kernel_shape may repeat it; pools have the attribute alone.
 * pads do not count with an auto_pad. */
static ingot_status read_window(ingot_op_ctx *c, const ingot_tensor *x, const ingot_tensor *weights, ingot_window *w,
                                auto_pad *mode)
{
    int64_t pads[2 * INGOT_MAX_SPATIAL];
    ingot_status st;

    memset(w, 0, sizeof *w);
    if (x->rank < 3)
        return ingot_op_fail(c, INGOT_INVALID, "input 0 has rank %d, expected at least 3", x->rank);
    w->rank = x->rank - 2;
    for (int i = 0; i < w->rank; i++) {
        w->in[i] = x->shape[2 + i];
        if (w->in[i] > largest)
            return ingot_op_fail(c, INGOT_UNSUPPORTED, "input 0 has a spatial size of %lld, more than 2^31-1",
                                 (long long)w->in[i]);
    }
    /* The attributes. */
    if (!weights && !ingot_node_attr(c->node, "kernel_shape"))
        return ingot_op_fail(c, INGOT_INVALID, "attribute 'kernel_shape' is missing");
    if ((st = ingot_window_ints(c, "kernel_shape", w->kernel, w->rank, 1, 0)) ||
        (st = ingot_window_ints(c, "strides", w->stride, w->rank, 1, 1)) ||
        (st = ingot_window_ints(c, "dilations", w->dilation, w->rank, 1, 1)) ||
        (st = ingot_window_ints(c, "pads", pads, 2 * w->rank, 0, 0)) || (st = read_auto_pad(c, mode)))
        return st;
    for (int i = 0; i < w->rank; i++) {
        const int64_t size = weights ? weights->shape[2 + i] : w->kernel[i];
        if (size < 1 || size > largest)
            return ingot_op_fail(c, INGOT_INVALID, "the kernel has size %lld in spatial dimension %d", (long long)size,
                                 i);
        if (w->kernel[i] && w->kernel[i] != size)
            return ingot_op_fail(c, INGOT_INVALID, "attribute 'kernel_shape' says %lld where the weights have %lld",
                                 (long long)w->kernel[i], (long long)size);
        w->kernel[i] = size;
        w->pad_begin[i] = *mode == PAD_NOTSET ? pads[i] : 0;
        w->pad_end[i] = *mode == PAD_NOTSET ? pads[w->rank + i] : 0;
    }
    return INGOT_OK;
}

/* Cut total padding in two; the odd element goes to the end, or with `lower` to the beginning. */
static void split_padding(ingot_window *w, int i, int64_t total, bool lower)
{
    w->pad_begin[i] = lower ? total - total / 2 : total / 2;
    w->pad_end[i] = total - w->pad_begin[i];
}

/* The window of a convolution or pool, with output sizes. SAME: in / stride, rounded up, and as much padding as that
 * needs. Else (in + pads - extent) / stride + 1, rounded down, or up with ceil_mode, as long as the last window still
 * begins inside the input or its padding in front; by that one window may also reach past all of the input. INVALID
 * when a kernel does not fit. */
ingot_status ingot_window_resolve(ingot_op_ctx *c, const ingot_tensor *x, const ingot_tensor *weights,
                                  ingot_window *w)
{
    const bool ceil_mode = ingot_attr_int(c->node, "ceil_mode", 0) != 0;
    auto_pad mode;
    ingot_status st = read_window(c, x, weights, w, &mode);

    for (int i = 0; !st && i < w->rank; i++) {
        const int64_t extent = (w->kernel[i] - 1) * w->dilation[i] + 1, stride = w->stride[i];
        if (mode >= PAD_SAME_UPPER) {
            w->out[i] = (w->in[i] + stride - 1) / stride;
            split_padding(w, i, MAX((w->out[i] - 1) * stride + extent - w->in[i], 0), mode == PAD_SAME_LOWER);
            continue;
        }
        /* How far a window can move. */
        const int64_t room = w->in[i] + w->pad_begin[i] + w->pad_end[i] - extent;
        const bool rounds_up = ceil_mode && mode == PAD_NOTSET;
        if (rounds_up && room < 0 && room > -stride && w->in[i] > 0) {
            w->out[i] = 1;
            continue;
        }
        if (room < 0 && w->in[i] > 0)
            return ingot_op_fail(c, INGOT_INVALID,
                                 "a kernel that spans %lld does not fit the input of %lld with its pads",
                                 (long long)extent, (long long)w->in[i]);
        w->out[i] = room < 0 ? 0 : room / stride + 1;
        if (rounds_up && room >= 0 && room % stride &&
            w->out[i] * stride < w->in[i] + w->pad_begin[i])
            w->out[i]++;
    }
    return st;
}

/* output_shape may name the spatial sizes alone or, in old models, all of them. *given: is it there? */
static ingot_status read_output_shape(ingot_op_ctx *c, const ingot_window *w, int64_t *sizes, bool *given)
{
    const ingot_attr *attr = ingot_node_attr(c->node, "output_shape");
    int64_t all[INGOT_MAX_RANK];
    ingot_status st;

    *given = attr && attr->n > 0;
    if (!*given)
        return INGOT_OK;
    const int skip = attr->n == (size_t)w->rank + 2 ? 2 : 0;
    if ((st = ingot_window_ints(c, "output_shape", all, w->rank + skip, 0, 0)))
        return st;
    memcpy(sizes, all + skip, (size_t)w->rank * sizeof *sizes);
    return INGOT_OK;
}

/* The window of ConvTranspose. full is what all windows cover; pads are taken away from it, or follow from the size
 * that output_shape or SAME asks for. INVALID when pads take more than there is. */
ingot_status ingot_window_resolve_transposed(ingot_op_ctx *c, const ingot_tensor *x, const ingot_tensor *weights,
                                             ingot_window *w)
{
    int64_t extra[INGOT_MAX_SPATIAL], sizes[INGOT_MAX_SPATIAL] = { 0 };
    bool given = false;
    auto_pad mode;
    ingot_status st;

    if ((st = read_window(c, x, weights, w, &mode)) ||
        (st = ingot_window_ints(c, "output_padding", extra, w->rank, 0, 0)) ||
        (st = read_output_shape(c, w, sizes, &given)))
        return st;
    for (int i = 0; i < w->rank; i++) {
        const int64_t extent = (w->kernel[i] - 1) * w->dilation[i] + 1;
        const int64_t full = w->in[i] > 0 ? (w->in[i] - 1) * w->stride[i] + extent + extra[i] : 0;
        if (given || mode >= PAD_SAME_UPPER) {
            w->out[i] = given ? sizes[i] : w->in[i] * w->stride[i];
            split_padding(w, i, MAX(full - w->out[i], 0), mode != PAD_SAME_UPPER);
        } else {
            w->out[i] = w->in[i] > 0 ? full - w->pad_begin[i] - w->pad_end[i] : 0;
        }
        if (w->out[i] < 0)
            return ingot_op_fail(c, INGOT_INVALID, "attribute 'pads' takes away more than the output has (%lld)",
                                 (long long)full);
    }
    return INGOT_OK;
}

/* Outputs [*begin, *end) whose tap `tap` of dimension i lies inside the input. */
void ingot_window_inside(const ingot_window *w, int i, int64_t tap, int64_t *begin, int64_t *end)
{
    const int64_t shift = w->pad_begin[i] - tap * w->dilation[i];        /* input = output * stride - shift */
    const int64_t last = w->in[i] - 1 + shift;

    *begin = shift > 0 ? (shift + w->stride[i] - 1) / w->stride[i] : 0;
    *end = last < 0 ? 0 : MIN(w->out[i], last / w->stride[i] + 1);
    *begin = MIN(*begin, *end);
}

void ingot_window_whole(const ingot_tensor *x, ingot_window *v)
{
    memset(v, 0, sizeof *v);
    v->rank = x->rank - 2;
    for (int i = 0; i < v->rank; i++) {
        v->in[i] = v->kernel[i] = x->shape[2 + i];
        v->out[i] = v->stride[i] = v->dilation[i] = 1;
    }
}

ingot_status ingot_window_out(ingot_op_ctx *c, int index, ingot_dtype dtype, const ingot_window *v)
{
    int64_t sizes[INGOT_MAX_RANK];

    memcpy(sizes, c->in[0]->shape, 2 * sizeof *sizes);
    memcpy(sizes + 2, v->out, (size_t)v->rank * sizeof *sizes);
    return ingot_out(c, index, dtype, v->rank + 2, sizes);
}

/* Sizes of up to three dimensions as three axes, in front of which those that are missing get `missing`. */
void ingot_window_axes(const int64_t *values, int rank, int64_t missing, int64_t axes[3])
{
    for (int i = 0; i < 3; i++)
        axes[i] = i < 3 - rank ? missing : values[i - (3 - rank)];
}

/* The product of the sizes; 1 for none. */
int64_t ingot_window_volume(const int64_t *sizes, int rank)
{
    int64_t volume = 1;

    for (int i = 0; i < rank; i++)
        volume *= sizes[i];
    return volume;
}

/* The next position in row-major order within `sizes`; false, and all zeros, after the last one. */
bool ingot_window_next(int64_t *position, const int64_t *sizes, int rank)
{
    for (int i = rank - 1; i >= 0; i--) {
        if (++position[i] < sizes[i])
            return true;
        position[i] = 0;
    }
    return false;
}
