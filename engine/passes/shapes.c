/* shapes.c - shape inference with symbols, for the passes. A dimension is a size or a negative number that stands for
 * one; equal numbers are equal sizes. A strided window makes floor((d + offset) / divisor) + k of a symbol d, and the
 * same expression is given the same number again: so the two branches of a residual block are seen to agree for any
 * image size. An operator that is not listed leaves its outputs unknown, which is always right. */
#include "engine/passes/shapes.h"

#include <string.h>

#include "engine/passes/rewrite.h"

/* What a rule sees. `shapes` is both read (inputs) and written (symbols). */
typedef struct walk {
    ingot_shapes *shapes;
    const ingot_graph *graph;
    const ingot_node *node;
    ingot_shape *out; /* of output 0; rank -1 and no type when a rule is called */
} walk;

/* Sets what it can prove of output 0 and leaves the rest unknown. Rules never fail: a model that is wrong is told of by
 * the run. */
typedef void rule(walk *w);

static const ingot_shape unknown = {INGOT_UNDEFINED, -1, {0}, -1, {0}};

/* A size of which nothing is known: equal to itself alone. Symbols count down from -1, so they can never be taken for
 * sizes. */
static int64_t fresh(ingot_shapes *s) { return -1 - s->n_symbols++; }

/* The symbol of (base + offset) / divisor; a new one where it was not seen yet. `base` is a symbol. Two expressions
 * that are equal for other reasons than their text get different symbols, which is safe. A linear search: the list is
 * short, and bounded. */
static int64_t intern(ingot_shapes *s, int64_t base, int64_t offset, int64_t divisor)
{
    for (int i = 0; i < s->n_known; i++)
        if (s->known[i].base == base && s->known[i].offset == offset && s->known[i].divisor == divisor)
            return s->known[i].symbol;
    const int64_t symbol = fresh(s);
    if (s->n_known < s->known_capacity)
        s->known[s->n_known++] = (struct ingot_dim_expression){base, offset, divisor, symbol};
    return symbol;
}

const ingot_shape *ingot_shape_of(const ingot_shapes *shapes, int value)
{
    return value < 0 || value >= shapes->n ? &unknown : &shapes->of[value];
}

/* Equal symbols count as equal sizes. */
bool ingot_same_known_shape(const ingot_shape *a, const ingot_shape *b)
{
    return a->rank >= 0 && a->rank == b->rank && !memcmp(a->dim, b->dim, (size_t)a->rank * sizeof *a->dim);
}

/* What is known of input i; nothing when it is left out. */
static const ingot_shape *in(const walk *w, int i) { return ingot_shape_of(w->shapes, ingot_input(w->node, i)); }

/* The axis that an attribute names, made positive; -1 where it is out of range, also for an unknown rank of 0. Rank 0
 * has no axis, so nothing is in range there. */
static int axis_of(const ingot_node *node, const char *name, int64_t otherwise, int rank)
{
    const int64_t axis = ingot_attr_int(node, name, otherwise);
    return axis < -rank || axis >= rank ? -1 : (int)(axis < 0 ? axis + rank : axis);
}

/* ---- rules ---- */

/* Y has the type and shape of X: activations, normalizations, Softmax. */
static void same(walk *w) { *w->out = *in(w, 0); }

/* The shape depends on attributes that nobody asks about; the type is that of X. */
static void typed_like_first(walk *w) { w->out->dtype = in(w, 0)->dtype; }

/* The size that a and b broadcast to. Source: ONNX, "Broadcasting in ONNX", the multidirectional kind. */
static int64_t broadcast(ingot_shapes *s, int64_t a, int64_t b)
{
    if (a == b || b == 1)
        return a;
    if (a == 1)
        return b;
    if (a >= 0 && b >= 0)
        return fresh(s); /* they do not, which is for the plan to tell */
    return a > 1 ? a : b > 1 ? b : fresh(s); /* two different symbols: either could be 1 */
}

/* All inputs from `first` on broadcast together; the type is that of input `first`. One input of unknown rank makes the
 * rank of the result unknown. Inputs are aligned at their last axes. */
static void broadcast_from(walk *w, int first)
{
    ingot_shape out = {in(w, first)->dtype, 0, {0}, -1, {0}};
    for (int i = 0; i < w->node->n_inputs; i++) {
        const ingot_shape *a = in(w, i);
        if (a->rank < 0) {
            w->out->dtype = out.dtype;
            return;
        }
        ingot_shape wide = {out.dtype, MAX(out.rank, a->rank), {0}, -1, {0}};
        for (int d = 1; d <= wide.rank; d++)
            wide.dim[wide.rank - d] =
                broadcast(w->shapes, d <= out.rank ? out.dim[out.rank - d] : 1, d <= a->rank ? a->dim[a->rank - d] : 1);
        out = wide;
    }
    *w->out = out;
}

static void broadcast_all(walk *w) { broadcast_from(w, 0); }
/* Where: the condition, input 0, takes part in the shape but not in the type. */
static void broadcast_where(walk *w) { broadcast_from(w, 1); }

/* Comparisons and logic: broadcast, and bool. */
static void compare(walk *w)
{
    broadcast_from(w, 0);
    w->out->dtype = INGOT_BOOL;
}

static void cast(walk *w)
{
    *w->out = *in(w, 0);
    w->out->dtype = ingot_attr_dtype(w->node, "to", INGOT_UNDEFINED);
}

static void cast_like(walk *w)
{
    *w->out = *in(w, 0);
    w->out->dtype = in(w, 1)->dtype;
}

/* Shape gives a vector of as many elements as the rank of X, or the range of it that start and end pick. The number of
 * elements is known exactly where the elements are, so they are inferred first; ingot_infer_node() does so again. */
static void shape_vector(walk *w)
{
    *w->out = (ingot_shape){INGOT_INT64, 1, {0}, -1, {0}};
    ingot_infer_elements(w->shapes, w->graph, w->node, w->out);
    w->out->dim[0] = w->out->n_elements >= 0 ? w->out->n_elements : fresh(w->shapes);
}

static void size(walk *w) { *w->out = (ingot_shape){INGOT_INT64, 0, {0}, -1, {0}}; }

/* Item i of a list attribute that must have n items; `otherwise` where it is left out or has another length. */
static int64_t spatial_attr(const ingot_node *node, const char *name, int i, int n, int64_t otherwise)
{
    const ingot_attr *attr = ingot_node_attr(node, name);
    return attr && attr->type == INGOT_ATTR_INTS && attr->n == (size_t)n ? attr->ints[i] : otherwise;
}

/* One spatial dimension behind a window of `kernel` taps. Source: ONNX, Conv and MaxPool: floor((size + pads - dilation
 * * (kernel - 1) - 1) / stride) + 1; with SAME padding ceil(size / stride), which is floor((size - 1) / stride) + 1.
 * Rounding up (ceil_mode) is left open. Parameters beyond 2^31 are taken for unknown, so no sum can overflow. */
static int64_t window(walk *w, int64_t size, int64_t kernel, int i, int n_spatial)
{
    const ingot_node *node = w->node;
    const int64_t stride = spatial_attr(node, "strides", i, n_spatial, 1);
    const int64_t dilation = spatial_attr(node, "dilations", i, n_spatial, 1);
    const char *auto_pad = ingot_attr_string(node, "auto_pad", "NOTSET");
    const int64_t limit = INT32_MAX;
    if (stride <= 0 || kernel <= 0 || dilation <= 0 || stride > limit || kernel > limit || dilation > limit ||
        ingot_attr_int(node, "ceil_mode", 0))
        return fresh(w->shapes);
    int64_t offset; /* result = (size + offset) / stride + 1 */
    if (!strncmp(auto_pad, "SAME", 4)) {
        offset = -1;
    } else {
        const bool valid = !strcmp(auto_pad, "VALID");
        const int64_t before = valid ? 0 : spatial_attr(node, "pads", i, 2 * n_spatial, 0);
        const int64_t after = valid ? 0 : spatial_attr(node, "pads", i + n_spatial, 2 * n_spatial, 0);
        if (before < -limit || before > limit || after < -limit || after > limit)
            return fresh(w->shapes);
        offset = before + after - dilation * (kernel - 1) - 1;
    }
    /* Of a symbol: with a stride of 1 a shift of the size, or the size itself; else the expression, whose + 1 is left
     * off as it is the same for all. */
    if (size >= 0)
        return size <= INT64_MAX - 2 * limit && size + offset >= 0 ? (size + offset) / stride + 1 : fresh(w->shapes);
    if (stride == 1)
        return offset == -1 ? size : intern(w->shapes, size, offset + 1, 1);
    return intern(w->shapes, size, offset, stride);
}

/* (N, C, spatial...) behind a sliding window: (N, channels, windows...). Without kernel_shape the weights tell it. Rank
 * 3 at least; attributes of another length than the spatial rank count as left out. */
static void windowed(walk *w, int64_t channels, const ingot_shape *weights)
{
    const ingot_shape *x = in(w, 0);
    if (x->rank < 3)
        return;
    const int n_spatial = x->rank - 2;
    *w->out = *x;
    w->out->dim[1] = channels;
    for (int i = 0; i < n_spatial; i++) {
        const int64_t of_weights = weights && weights->rank == x->rank ? weights->dim[2 + i] : 0;
        const int64_t kernel = spatial_attr(w->node, "kernel_shape", i, n_spatial, of_weights);
        w->out->dim[2 + i] = window(w, x->dim[2 + i], kernel, i, n_spatial);
    }
}

/* Weights of Conv are (output channels, input channels / group, kernel...). */
static void conv(walk *w)
{
    const ingot_shape *weights = in(w, 1);
    windowed(w, weights->rank > 0 ? weights->dim[0] : fresh(w->shapes), weights);
}

/* The type of bytes is that of their zero point. output_dtype is Quantize-21's attribute for a node without a zero
 * point; uint8 is the default. */
static void quantized(walk *w)
{
    const ingot_dtype given = (ingot_dtype)ingot_attr_int(w->node, "output_dtype", INGOT_UNDEFINED);
    *w->out = *in(w, 0);
    w->out->dtype = ingot_input(w->node, 2) != INGOT_NONE ? in(w, 2)->dtype : given ? given : INGOT_UINT8;
}

static void dequantized(walk *w)
{
    *w->out = *in(w, 0);
    w->out->dtype = in(w, 1)->dtype;
}

/* QLinearConv: weights are input 3, and input 7, the zero point of Y, tells the type. */
static void quantized_conv(walk *w)
{
    const ingot_shape *weights = in(w, 3);
    windowed(w, weights->rank > 0 ? weights->dim[0] : fresh(w->shapes), weights);
    w->out->dtype = in(w, 7)->dtype;
}

static void pool(walk *w)
{
    if (in(w, 0)->rank >= 3)
        windowed(w, in(w, 0)->dim[1], NULL);
}

/* Weights of ConvTranspose are (input channels, output channels / group, kernel...). Spatial sizes are left open:
 * they follow from attributes in too many ways for what is gained. */
static void conv_transpose(walk *w)
{
    const ingot_shape *x = in(w, 0), *weights = in(w, 1);
    if (x->rank < 3)
        return;
    *w->out = *x;
    const int64_t group = ingot_attr_int(w->node, "group", 1);
    const bool known = weights->rank == x->rank && weights->dim[1] >= 0 && group > 0 && group < INT32_MAX &&
                       weights->dim[1] < INT32_MAX;
    w->out->dim[1] = known ? weights->dim[1] * group : fresh(w->shapes);
    for (int i = 2; i < x->rank; i++)
        w->out->dim[i] = fresh(w->shapes);
}

/* (N, C, spatial...) becomes (N, C, 1, ...). */
static void global_pool(walk *w)
{
    *w->out = *in(w, 0);
    for (int i = 2; i < w->out->rank; i++)
        w->out->dim[i] = 1;
}

/* (m, k) x (k, n), either of them perhaps transposed. The result has rank 2 even where nothing else is known. */
static void gemm(walk *w)
{
    const ingot_shape *a = in(w, 0), *b = in(w, 1);
    *w->out = (ingot_shape){a->dtype, 2, {0}, -1, {0}};
    w->out->dim[0] = a->rank == 2 ? a->dim[ingot_attr_int(w->node, "transA", 0) ? 1 : 0] : fresh(w->shapes);
    w->out->dim[1] = b->rank == 2 ? b->dim[ingot_attr_int(w->node, "transB", 0) ? 0 : 1] : fresh(w->shapes);
}

/* NumPy: the last two axes are multiplied, those before broadcast. Operands of rank 1 are left open. */
static void matmul(walk *w)
{
    const ingot_shape *a = in(w, 0), *b = in(w, 1);
    w->out->dtype = a->dtype;
    if (a->rank < 2 || b->rank < 2)
        return;
    const int rank = MAX(a->rank, b->rank);
    w->out->rank = rank;
    w->out->dim[rank - 1] = b->dim[b->rank - 1];
    w->out->dim[rank - 2] = a->dim[a->rank - 2];
    for (int d = 3; d <= rank; d++)
        w->out->dim[rank - d] =
            broadcast(w->shapes, d <= a->rank ? a->dim[a->rank - d] : 1, d <= b->rank ? b->dim[b->rank - d] : 1);
}

/* Without perm the axes are reversed. */
static void transpose(walk *w)
{
    const ingot_shape *x = in(w, 0);
    const ingot_attr *perm = ingot_node_attr(w->node, "perm");
    *w->out = *x;
    if (perm && (perm->type != INGOT_ATTR_INTS || (x->rank >= 0 && perm->n != (size_t)x->rank)))
        w->out->rank = -1;
    for (int i = 0; i < w->out->rank; i++) {
        const int64_t from = perm ? perm->ints[i] : x->rank - 1 - i;
        if (from < 0 || from >= x->rank) {
            w->out->rank = -1;
            return;
        }
        w->out->dim[i] = x->dim[from];
    }
}

/* The size of Concat's result in a dimension that is not its axis: that of any input which is not empty along the axis,
 * a known one at best. Where none is for certain, all have to agree, as those of an empty input do not count. */
static int64_t common_dim(walk *w, int d, int axis)
{
    int64_t certain = 0, any = in(w, 0)->dim[d];
    bool agree = true;
    for (int i = 0; i < w->node->n_inputs; i++) {
        const ingot_shape *x = in(w, i);
        agree &= x->dim[d] == any;
        if (x->dim[axis] > 0 && x->dim[d] >= 0)
            return x->dim[d];
        if (x->dim[axis] > 0)
            certain = x->dim[d];
    }
    return certain ? certain : agree ? any : fresh(w->shapes);
}

/* Sizes along the axis add up; the others are equal in a valid model. Operands of different ranks leave the rank open.
 * Sizes beyond 2^31 are not added up. */
static void concat(walk *w)
{
    const ingot_shape *first = in(w, 0);
    const int axis = axis_of(w->node, "axis", 0, MAX(first->rank, 0));
    w->out->dtype = first->dtype;
    if (first->rank < 0 || axis < 0)
        return;
    ingot_shape out = *first;
    for (int i = 1; i < w->node->n_inputs; i++) {
        if (in(w, i)->rank != out.rank)
            return;
        const int64_t size = in(w, i)->dim[axis];
        if (out.dim[axis] >= 0 && size >= 0 && out.dim[axis] <= INT32_MAX && size <= INT32_MAX)
            out.dim[axis] += size;
        else
            out.dim[axis] = fresh(w->shapes);
    }
    for (int d = 0; d < out.rank; d++)
        if (d != axis)
            out.dim[d] = common_dim(w, d, axis);
    *w->out = out;
}

/* Product of dimensions [begin, end): a size where all are known, a symbol where all others are 1, else a new
 * symbol. */
static int64_t product(walk *w, const ingot_shape *x, int begin, int end)
{
    int64_t size = 1, symbol = 0;
    int n_symbols = 0;
    for (int d = begin; d < end; d++) {
        if (x->dim[d] < 0) {
            symbol = x->dim[d];
            n_symbols++;
        } else if (__builtin_mul_overflow(size, x->dim[d], &size)) {
            return fresh(w->shapes);
        }
    }
    return !n_symbols ? size : n_symbols == 1 && size == 1 ? symbol : fresh(w->shapes);
}

/* Two dimensions: the product of those before the axis and of those from it on. */
static void flatten(walk *w)
{
    const ingot_shape *x = in(w, 0);
    *w->out = (ingot_shape){x->dtype, 2, {0}, -1, {0}};
    const int64_t axis = ingot_attr_int(w->node, "axis", 1);
    const bool known = x->rank >= 0 && axis >= -x->rank && axis <= x->rank;
    const int at = known ? (int)(axis < 0 ? axis + x->rank : axis) : 0;
    w->out->dim[0] = known ? product(w, x, 0, at) : fresh(w->shapes);
    w->out->dim[1] = known ? product(w, x, at, x->rank) : fresh(w->shapes);
}

/* The size that -1 stands for: what is left of x when the other dimensions are taken out of both sides. Numbers
 * multiply, and a symbol of `out` cancels the same symbol of x once. What does not cancel makes the result a new
 * symbol. */
static int64_t remaining(walk *w, const ingot_shape *x, const ingot_shape *out, int hole)
{
    bool taken[INGOT_SHAPE_RANK] = {false};
    int64_t given = 1;
    ingot_shape rest = {INGOT_UNDEFINED, 0, {0}, -1, {0}};
    for (int d = 0; d < out->rank; d++) {
        if (d == hole)
            continue;
        if (out->dim[d] >= 0) {
            if (out->dim[d] == 0 || __builtin_mul_overflow(given, out->dim[d], &given))
                return fresh(w->shapes);
            continue;
        }
        int k = 0;
        while (k < x->rank && (taken[k] || x->dim[k] != out->dim[d]))
            k++;
        if (k == x->rank)
            return fresh(w->shapes);
        taken[k] = true;
    }
    /* What is left of x: its uncancelled symbols, and its numbers as one product, which the given numbers must
     * divide. */
    int64_t size = 1;
    for (int k = 0; k < x->rank; k++) {
        if (taken[k])
            continue;
        if (x->dim[k] < 0)
            rest.dim[rest.rank++] = x->dim[k];
        else if (__builtin_mul_overflow(size, x->dim[k], &size))
            return fresh(w->shapes);
    }
    if (given == 0 || size % given)
        return fresh(w->shapes);
    rest.dim[rest.rank] = size / given;
    return rest.rank >= INGOT_SHAPE_RANK - 1 ? fresh(w->shapes) : product(w, &rest, 0, rest.rank + 1);
}

/* The shape that the elements of input `slot` tell; of their number alone the rank follows. Elements of -1 and unknown
 * ones become new symbols; to->rank stays -1 where not even the number of elements is known. */
static void read_shape(walk *w, int slot, ingot_shape *to)
{
    const ingot_shape *given = in(w, slot);
    to->rank = given->n_elements;
    if (given->n_elements < 0 && given->rank == 1 && given->dim[0] >= 0 && given->dim[0] <= INGOT_SHAPE_RANK)
        to->rank = (int)given->dim[0];
    for (int d = 0; d < to->rank; d++)
        to->dim[d] =
            given->n_elements < 0 || given->elements[d] == INGOT_MINUS_ONE ? fresh(w->shapes) : given->elements[d];
}

/* 0 copies a dimension (unless allowzero), -1 stands for what is left. Source: ONNX, Reshape-14. Of several -1, which
 * is invalid, the last is taken: the run refuses them. */
static void reshape(walk *w)
{
    const ingot_shape *x = in(w, 0), *to = in(w, 1);
    const bool copies = !ingot_attr_int(w->node, "allowzero", 0);
    int hole = -1;
    w->out->dtype = x->dtype;
    if (to->n_elements < 0) {
        read_shape(w, 1, w->out);
        return;
    }
    w->out->rank = to->n_elements;
    for (int d = 0; d < w->out->rank; d++) {
        if (to->elements[d] == INGOT_MINUS_ONE)
            hole = d;
        else if (to->elements[d] == 0 && copies)
            w->out->dim[d] = d < x->rank ? x->dim[d] : fresh(w->shapes);
        else
            w->out->dim[d] = to->elements[d];
    }
    if (hole >= 0)
        w->out->dim[hole] = x->rank >= 0 ? remaining(w, x, w->out, hole) : fresh(w->shapes);
}

/* Axes from constant input `slot`, made positive and marked; false when they are not known. `marked` has
 * INGOT_SHAPE_RANK entries, false at first; *n becomes the number of axes. An axis twice is a no. */
static bool mark_axes(walk *w, int slot, int rank, bool *marked, int *n)
{
    int64_t axes[INGOT_SHAPE_RANK];
    if (!ingot_constant_ints(w->graph, ingot_input(w->node, slot), axes, INGOT_SHAPE_RANK, n))
        return false;
    for (int i = 0; i < *n; i++) {
        const int64_t axis = axes[i] < 0 ? axes[i] + rank : axes[i];
        if (axis < 0 || axis >= rank || marked[axis])
            return false;
        marked[axis] = true;
    }
    return true;
}

/* Ones are put in at the axes, which count in the result. Source: ONNX, Unsqueeze-13. */
static void unsqueeze(walk *w)
{
    const ingot_shape *x = in(w, 0), *axes = in(w, 1);
    bool marked[INGOT_SHAPE_RANK] = {false};
    int n;
    w->out->dtype = x->dtype;
    if (x->rank < 0 || axes->rank != 1 || axes->dim[0] < 0 || axes->dim[0] + x->rank > INGOT_SHAPE_RANK ||
        !mark_axes(w, 1, x->rank + (int)axes->dim[0], marked, &n))
        return;
    w->out->rank = x->rank + n;
    for (int d = 0, k = 0; d < w->out->rank; d++)
        w->out->dim[d] = marked[d] ? 1 : x->dim[k++];
}

/* The axes go. Without axes every 1 goes: then even the rank is open, as symbols may be 1. */
static void squeeze(walk *w)
{
    const ingot_shape *x = in(w, 0);
    bool marked[INGOT_SHAPE_RANK] = {false};
    int n;
    w->out->dtype = x->dtype;
    if (x->rank < 0 || ingot_input(w->node, 1) == INGOT_NONE || !mark_axes(w, 1, x->rank, marked, &n))
        return;
    w->out->rank = 0;
    for (int d = 0; d < x->rank; d++)
        if (!marked[d])
            w->out->dim[w->out->rank++] = x->dim[d];
}

/* Dimensions at the axes become 1, or go without keepdims. No axes: all, unless noop_with_empty_axes. Source: ONNX, the
 * Reduce operators from 18 on. Axes that are given but not constant leave the rank open. */
static void reduce(walk *w)
{
    const ingot_shape *x = in(w, 0);
    bool marked[INGOT_SHAPE_RANK] = {false};
    int n = 0;
    w->out->dtype = x->dtype;
    if (x->rank < 0 || (ingot_input(w->node, 1) != INGOT_NONE && !mark_axes(w, 1, x->rank, marked, &n)))
        return;
    const bool all = n == 0 && !ingot_attr_int(w->node, "noop_with_empty_axes", 0);
    w->out->rank = 0;
    for (int d = 0; d < x->rank; d++)
        if (!all && !marked[d])
            w->out->dim[w->out->rank++] = x->dim[d];
        else if (ingot_attr_int(w->node, "keepdims", 1))
            w->out->dim[w->out->rank++] = 1;
}

/* Broadcasting in both directions, with a shape as the second operand. */
static void expand(walk *w)
{
    const ingot_shape *x = in(w, 0);
    ingot_shape to = unknown;
    read_shape(w, 1, &to);
    w->out->dtype = x->dtype;
    if (x->rank < 0 || to.rank < 0)
        return;
    w->out->rank = MAX(x->rank, to.rank);
    for (int d = 1; d <= w->out->rank; d++)
        w->out->dim[w->out->rank - d] =
            broadcast(w->shapes, d <= x->rank ? x->dim[x->rank - d] : 1, d <= to.rank ? to.dim[to.rank - d] : 1);
}

/* The input's elements are the shape; the type is that of an attribute's tensor. */
static void constant_of_shape(walk *w)
{
    const ingot_attr *value = ingot_node_attr(w->node, "value");
    read_shape(w, 0, w->out);
    if (!value || value->type == INGOT_ATTR_TENSOR)
        w->out->dtype = value ? value->tensors[0]->tensor.dtype : INGOT_FLOAT;
}

/* GatherElements: type of the data, shape of the indices. */
static void like_second(walk *w)
{
    *w->out = *in(w, 1);
    w->out->dtype = in(w, 0)->dtype;
}

/* Every dimension grows by what is added before and behind it; negative amounts cut. Pads that are not constant, or go
 * with an axes input, become `limit` and thereby new symbols. Equal shifts of equal symbols are equal again, by
 * intern(). */
static void pad(walk *w)
{
    const ingot_shape *x = in(w, 0);
    int64_t pads[2 * INGOT_SHAPE_RANK];
    int n;
    *w->out = *x;
    const bool known = ingot_input(w->node, 3) == INGOT_NONE &&
                       ingot_constant_ints(w->graph, ingot_input(w->node, 1), pads, 2 * INGOT_SHAPE_RANK, &n) &&
                       n == 2 * x->rank;
    for (int d = 0; d < x->rank; d++) {
        const int64_t limit = INT32_MAX;
        const int64_t begin = known ? pads[d] : limit, end = known ? pads[d + x->rank] : limit;
        if (begin <= -limit || begin >= limit || end <= -limit || end >= limit)
            w->out->dim[d] = fresh(w->shapes);
        else if (begin + end && x->dim[d] < 0)
            w->out->dim[d] = intern(w->shapes, x->dim[d], begin + end, 1);
        else if (begin + end)
            w->out->dim[d] = x->dim[d] <= limit ? MAX(x->dim[d] + begin + end, 0) : fresh(w->shapes);
    }
}

/* Rank and type stay, sizes do not. */
static void same_rank(walk *w)
{
    *w->out = *in(w, 0);
    for (int d = 0; d < w->out->rank; d++)
        w->out->dim[d] = fresh(w->shapes);
}

/* Sizes change along the given axes alone. Even where starts and ends are constant no size is computed along them:
 * symbols are what passes ask about. */
static void slice(walk *w)
{
    bool marked[INGOT_SHAPE_RANK] = {false};
    int n;
    *w->out = *in(w, 0);
    const bool known =
        w->out->rank >= 0 && ingot_input(w->node, 3) != INGOT_NONE && mark_axes(w, 3, w->out->rank, marked, &n);
    for (int d = 0; d < w->out->rank; d++)
        if (!known || marked[d])
            w->out->dim[d] = fresh(w->shapes);
}

/* Sizes along the axis are left open, as the parts may differ. Every output gets a symbol of its own, as infer_node()
 * calls this once for each. */
static void split(walk *w)
{
    *w->out = *in(w, 0);
    const int axis = axis_of(w->node, "axis", 0, MAX(w->out->rank, 0));
    if (w->out->rank < 0 || axis < 0)
        w->out->rank = -1;
    else
        w->out->dim[axis] = fresh(w->shapes);
}

/* A scale of exactly 1 keeps a dimension. Only where scales tell the result, not sizes (input 3), and for all axes. */
static void resize(walk *w)
{
    const ingot_shape *x = in(w, 0);
    same_rank(w);
    if (x->rank >= 3 && w->node->n_inputs < 4 && !ingot_node_attr(w->node, "axes")) {
        double scale[INGOT_SHAPE_RANK];
        const ingot_const *scales = ingot_constant(w->graph, ingot_input(w->node, 2));
        if (!scales || scales->tensor.dtype != INGOT_FLOAT || ingot_count(&scales->tensor) != x->rank)
            return;
        float raw[INGOT_SHAPE_RANK];
        ingot_const_doubles(scales, 0, x->rank, raw, scale);
        for (int d = 0; d < x->rank; d++)
            if (scale[d] == 1)
                w->out->dim[d] = x->dim[d];
    }
}

/* The axis is replaced by the dimensions of the indices. Source: ONNX, Gather-13: data.shape[:axis] + indices.shape +
 * data.shape[axis + 1:]. */
static void gather(walk *w)
{
    const ingot_shape *x = in(w, 0), *indices = in(w, 1);
    const int axis = axis_of(w->node, "axis", 0, MAX(x->rank, 0));
    w->out->dtype = x->dtype;
    if (x->rank < 0 || indices->rank < 0 || axis < 0 || x->rank + indices->rank - 1 > INGOT_SHAPE_RANK)
        return;
    w->out->rank = 0;
    for (int d = 0; d < x->rank; d++) {
        if (d != axis) {
            w->out->dim[w->out->rank++] = x->dim[d];
            continue;
        }
        for (int k = 0; k < indices->rank; k++)
            w->out->dim[w->out->rank++] = indices->dim[k];
    }
}

/* Each rule and the operators that it serves, by the alphabet. */
#define NAMES(...) (const char *const[]){__VA_ARGS__, NULL}
static const struct {
    rule *infer;
    const char *const *op_types;
} rules[] = {
    {same, NAMES("Abs", "BatchNormalization", "Ceil", "Celu", "Clip", "Cos", "CumSum", "Dropout", "Elu", "Erf", "Exp",
                 "Floor", "Gelu", "GroupNormalization", "HardSigmoid", "HardSwish", "Identity", "InstanceNormalization",
                 "LRN", "LayerNormalization", "LeakyRelu", "Log", "LogSoftmax", "Mish", "Neg", "Not", "PRelu",
                 "RMSNormalization", "Reciprocal", "Relu", "Round", "ScatterElements", "ScatterND", "Selu", "Sigmoid",
                 "Sign", "Sin", "Softmax", "Softplus", "Softsign", "Sqrt", "Swish", "Tan", "Tanh", "ThresholdedRelu",
                 "Trilu")},
    {broadcast_all, NAMES("Add", "Div", "Max", "Min", "Mod", "Mul", "Pow", "Sub", "Sum")},
    {broadcast_where, NAMES("Where")},
    {compare, NAMES("And", "Equal", "Greater", "GreaterOrEqual", "Less", "LessOrEqual", "Or", "Xor")},
    {pool, NAMES("AveragePool", "MaxPool")},
    {cast, NAMES("Cast")},
    {cast_like, NAMES("CastLike")},
    {concat, NAMES("Concat")},
    {conv, NAMES("Conv")},
    {constant_of_shape, NAMES("ConstantOfShape")},
    {conv_transpose, NAMES("ConvTranspose")},
    {dequantized, NAMES("DequantizeLinear")},
    {expand, NAMES("Expand")},
    {flatten, NAMES("Flatten")},
    {gather, NAMES("Gather")},
    {like_second, NAMES("GatherElements")},
    {gemm, NAMES("Gemm")},
    {global_pool, NAMES("GlobalAveragePool", "GlobalMaxPool")},
    {matmul, NAMES("MatMul")},
    {pad, NAMES("Pad")},
    {quantized_conv, NAMES("QLinearConv")},
    {quantized, NAMES("QuantizeLinear")},
    {reduce, NAMES("ReduceMax", "ReduceMean", "ReduceMin", "ReduceProd", "ReduceSum")},
    {reshape, NAMES("Reshape")},
    {resize, NAMES("Resize")},
    {shape_vector, NAMES("Shape")},
    {size, NAMES("Size")},
    {slice, NAMES("Slice")},
    {split, NAMES("Split")},
    {squeeze, NAMES("Squeeze")},
    {same_rank, NAMES("Tile")},
    {transpose, NAMES("Transpose")},
    {unsqueeze, NAMES("Unsqueeze")},
    {typed_like_first, NAMES("DepthToSpace")},
};
#undef NAMES

/* The rule of an operator, NULL where there is none. */
static rule *rule_of(const char *op_type)
{
    for (size_t r = 0; r < sizeof rules / sizeof *rules; r++)
        for (const char *const *name = rules[r].op_types; *name; name++)
            if (!strcmp(*name, op_type))
                return rules[r].infer;
    return NULL;
}

/* A graph input, as far as it is declared. Sequences and the other kinds are left unknown. */
static void declared(ingot_shapes *s, const ingot_type *type, ingot_shape *out)
{
    if (type->kind != INGOT_TENSOR)
        return;
    out->dtype = type->dtype;
    if (type->rank < 0 || type->rank > INGOT_SHAPE_RANK)
        return;
    out->rank = type->rank;
    for (int d = 0; d < type->rank; d++)
        out->dim[d] = type->shape[d] >= 0 ? type->shape[d] : fresh(s); /* nothing makes equal names equal sizes */
}

/* Find the rule and apply it. Outputs past the first are inferred for Split alone. A node of another domain, without a
 * rule, or that will be refused, leaves its outputs unknown. */
void ingot_infer_node(ingot_shapes *s, const ingot_graph *graph, const ingot_node *node)
{
    const int out = node->n_outputs ? node->outputs[0] : INGOT_NONE;
    if (out == INGOT_NONE || *node->domain || node->opaque)
        return;
    rule *const infer = rule_of(node->op_type);
    if (!infer)
        return;
    ingot_shape result = unknown;
    walk w = {s, graph, node, &result};
    infer(&w);
    result.n_elements = -1; /* rules copy what they start from */
    ingot_infer_elements(s, graph, node, &result);
    if (result.n_elements >= 0 && result.rank == 1)
        result.dim[0] = result.n_elements; /* of a Slice or Concat */
    s->of[out] = result;
    for (int k = 1; k < node->n_outputs && infer == split; k++)
        if (node->outputs[k] != INGOT_NONE) {
            split(&w); /* a size of its own along the axis */
            s->of[node->outputs[k]] = result;
        }
}

/* In a subgraph the declared types are not trusted, since nothing checks what is passed in. Constants tell their own
 * type, shape and elements, wherever they are; an input with a default is no constant, since a run can replace it. */
bool ingot_shapes_begin(ingot_shapes *shapes, const ingot_graph *graph, bool is_main)
{
    enum { KNOWN = 256 }; /* expressions past these count as different, which is safe */
    *shapes = (ingot_shapes){.memory = graph->arena->memory, .n = graph->n_values};
    shapes->of = ingot_alloc(shapes->memory, (size_t)shapes->n * sizeof *shapes->of);
    shapes->known = ingot_alloc(shapes->memory, KNOWN * sizeof *shapes->known);
    if (!shapes->of || !shapes->known || !ingot_find_stays(shapes, graph))
        return false;
    shapes->known_capacity = KNOWN;
    for (int v = 0; v < shapes->n; v++) {
        const ingot_const *constant = graph->values[v].is_input ? NULL : graph->values[v].constant;
        shapes->of[v] = unknown;
        if (!constant || constant->tensor.kind != INGOT_TENSOR)
            continue;
        shapes->of[v].dtype = constant->tensor.dtype;
        if (constant->tensor.rank <= INGOT_SHAPE_RANK) {
            shapes->of[v].rank = constant->tensor.rank;
            memcpy(shapes->of[v].dim, constant->tensor.shape, sizeof shapes->of[v].dim);
            ingot_constant_elements(graph, v, &shapes->of[v]);
        }
    }
    for (int i = 0; is_main && i < graph->n_inputs; i++)
        declared(shapes, &graph->values[graph->inputs[i]].type, &shapes->of[graph->inputs[i]]);
    return true;
}

bool ingot_shapes_infer(ingot_shapes *shapes, const ingot_graph *graph, bool is_main)
{
    if (!ingot_shapes_begin(shapes, graph, is_main))
        return false;
    for (int i = 0; i < graph->n_nodes; i++)
        if (graph->nodes[i]->op_type)
            ingot_infer_node(shapes, graph, graph->nodes[i]);
    return true;
}

void ingot_shapes_free(ingot_shapes *shapes)
{
    ingot_release(shapes->memory, shapes->of);
    ingot_release(shapes->memory, shapes->stays);
    ingot_release(shapes->memory, shapes->known);
}
