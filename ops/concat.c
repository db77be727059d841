/* concat.c - Concat and Split: tensors put together and taken apart along one axis. On the channel axis both can keep
 * the blocked layout as long as every boundary falls between two blocks of channels. */
#include "ops/movement.h"

/* A tensor as (outer, axis, inner), of which the axis may be cut. In the blocked layout the channels count in blocks.
 * Only the channel axis is cut there, and only between blocks: layout_concat() and layout_split() see to it. */
static void split_sizes(const ingot_tensor *t, int axis, int64_t *outer, int64_t *size, int64_t *inner)
{
    *outer = ingot_span(t, 0, axis);
    *size = t->shape[axis];
    *inner = ingot_span(t, axis + 1, t->rank);
    if (t->layout == INGOT_BLOCKED) {
        *size /= INGOT_BLOCK;
        *inner *= INGOT_BLOCK;
    }
}

/* Copy `part` into its place in `whole` (to_whole), or out of it. The place starts at index *first of the axis, in
 * units of split_sizes(); *first moves past it, so that a caller goes through the parts in order. */
static void copy_part(ingot_op_ctx *c, const ingot_tensor *whole, const ingot_tensor *part, int axis, int64_t *first,
                      bool to_whole)
{
    const size_t item = ingot_dtype_size_bytes(whole->dtype);
    int64_t outer, size, inner, part_size;
    split_sizes(whole, axis, &outer, &size, &inner);
    split_sizes(part, axis, &outer, &part_size, &inner);
    /* A box of `outer` rows: dense in the part, a whole row of the tensor apart in the other. */
    const int64_t shape[2] = {outer, part_size * inner};
    const int64_t whole_steps[2] = {size * inner, 1}, part_steps[2] = {part_size * inner, 1};
    char *in_whole = (char *)whole->data + (size_t)(*first * inner) * item;
    *first += part_size;
    if (in_whole == part->data)
        return; /* the planner has put it there */
    if (to_whole) {
        const ingot_copy copy = ingot_copy_box(whole, 2, shape, part_steps, whole_steps);
        ingot_copy_run(c->team, &copy, part->data, in_whole);
    } else {
        const ingot_copy copy = ingot_copy_box(whole, 2, shape, whole_steps, part_steps);
        ingot_copy_run(c->team, &copy, in_whole, part->data);
    }
}

/* The first input that is not empty along the axis; 0 where all are. */
static int first_part(const ingot_op_ctx *c, int axis)
{
    for (int i = 0; i < c->n_in; i++)
        if (c->in[i] && axis < c->in[i]->rank && c->in[i]->shape[axis])
            return i;
    return 0;
}

/* All inputs agree in type, rank and every dimension but 'axis', where the sizes add up; INVALID where they do not. The
 * other sizes of one that is empty along the axis do not matter, as in PyTorch and ONNX Runtime: a cache that begins
 * empty may have none. */
static ingot_status infer_concat(ingot_op_ctx *c)
{
    int64_t shape[INGOT_MAX_RANK];
    int axis;
    const ingot_status status = ingot_axis(c, ingot_attr_int(c->node, "axis", 0), c->in[0]->rank, &axis);
    if (status)
        return status;
    const int model = first_part(c, axis);
    const ingot_tensor *x = c->in[model];
    for (int d = 0; d < x->rank; d++)
        shape[d] = d == axis ? 0 : x->shape[d];
    for (int i = 0; i < c->n_in; i++) {
        const ingot_tensor *t = c->in[i];
        if (!t)
            return ingot_op_fail(c, INGOT_INVALID, "input %d is left out", i);
        if (t->dtype != x->dtype || t->rank != x->rank)
            return ingot_op_fail(c, INGOT_INVALID, "input %d has type %s and rank %d, input %d %s and %d", i,
                                 ingot_dtype_name(t->dtype), t->rank, model, ingot_dtype_name(x->dtype), x->rank);
        /* Every other dimension as in that one; the sum comes from the file and may overflow. */
        for (int d = 0; d < x->rank && t->shape[axis]; d++)
            if (d != axis && t->shape[d] != shape[d])
                return ingot_op_fail(c, INGOT_INVALID, "input %d has size %lld in dimension %d, input %d %lld", i,
                                     (long long)t->shape[d], d, model, (long long)shape[d]);
        if (__builtin_add_overflow(shape[axis], t->shape[axis], &shape[axis]))
            return ingot_op_fail(c, INGOT_INVALID, "the sum of the sizes in dimension %d is too large", axis);
    }
    return ingot_out(c, 0, x->dtype, x->rank, shape);
}

/* Parts follow each other along the axis; first counts how far they have come. Parts that the planner has placed inside
 * of the output cost nothing. */
static ingot_status run_concat(ingot_op_ctx *c)
{
    int64_t first = 0;
    int axis;
    const ingot_status status = ingot_axis(c, ingot_attr_int(c->node, "axis", 0), c->in[0]->rank, &axis);
    for (int i = 0; i < c->n_in && !status; i++)
        copy_part(c, c->out[0], c->in[i], axis, &first, true);
    return status;
}

/* Do parts of `whole` lie in it one behind the other? Anything before the axis scatters them. The axis was checked by
 * infer. Blocked parts have no padding (see cuts_blocks). */
static bool lies_in_runs(const ingot_op_ctx *c, const ingot_tensor *whole)
{
    const int64_t axis = ingot_attr_int(c->node, "axis", 0);
    return ingot_span(whole, 0, (int)(axis < 0 ? axis + whole->rank : axis)) == 1;
}

/* Concat's whole is its output, Split's its input. */
static bool concat_in_runs(const ingot_op_ctx *c) { return lies_in_runs(c, c->out[0]); }

static bool split_in_runs(const ingot_op_ctx *c) { return lies_in_runs(c, c->in[0]); }

/* Can a tensor be cut along the axis between blocks of channels? Whole blocks only: one that two parts share would have
 * to be taken apart. */
static bool cuts_blocks(const ingot_op_ctx *c, const ingot_tensor *t)
{
    const int64_t axis = ingot_attr_int(c->node, "axis", 0);
    return t->dtype == INGOT_FLOAT && t->rank >= 3 && t->rank <= 5 && (axis == 1 || axis == 1 - t->rank) &&
           t->shape[1] % INGOT_BLOCK == 0;
}

/* Blocked inputs can stay so where every part fills whole blocks. The mask has 32 bits, so no more inputs. */
static ingot_layout layout_concat(const ingot_op_ctx *c)
{
    ingot_layout follow = {INGOT_LAYOUT_FOLLOW, 0};
    for (int i = 0; i < c->n_in; i++) {
        if (i >= 32 || !cuts_blocks(c, c->in[i]))
            return (ingot_layout){INGOT_LAYOUT_PLAIN, 0};
        follow.inputs |= UINT32_C(1) << i;
    }
    return follow;
}

/* As layout_concat: each part must begin on a block of channels. An output that nobody wants has no shape to check, so
 * everything stays plain. */
static ingot_layout layout_split(const ingot_op_ctx *c)
{
    for (int i = 0; i < c->n_out; i++)
        if (!c->out[i] || !cuts_blocks(c, c->out[i]))
            return (ingot_layout){INGOT_LAYOUT_PLAIN, 0};
    return (ingot_layout){INGOT_LAYOUT_FOLLOW, 1};
}

/* Size of part i along the axis: from 'split', or even parts of which the last may be smaller. INVALID: num_outputs
 * that is not the number of outputs, or equal parts (opset 13, no num_outputs) that do not come out even. From opset 18
 * on the last part may be smaller, and even empty. */
static ingot_status split_size(ingot_op_ctx *c, int64_t size, int i, int64_t *part)
{
    if (ingot_has(c, 1)) {
        *part = ingot_int_at(c->in[1], i);
        return INGOT_OK;
    }
    const ingot_attr *attr = ingot_node_attr(c->node, "num_outputs");
    const int64_t n = attr ? attr->ints[0] : c->n_out;
    if (n != c->n_out)
        return ingot_op_fail(c, INGOT_INVALID, "'num_outputs' is %lld, but the node has %d", (long long)n, c->n_out);
    if (!attr && size % n)
        return ingot_op_fail(c, INGOT_INVALID, "a dimension of %lld does not split into %lld equal parts",
                             (long long)size, (long long)n);
    const int64_t even = size / n + (size % n != 0);
    *part = MAX(MIN(even, size - even * i), 0);
    return INGOT_OK;
}

/* Sizes come from the input 'split', else from num_outputs; they must add up to the dimension, checked by subtraction
 * so that no sum can overflow. LATER while 'split' is computed and not known. */
static ingot_status infer_split(ingot_op_ctx *c)
{
    const ingot_tensor *x = c->in[0];
    int64_t shape[INGOT_MAX_RANK], total = 0;
    int axis;
    ingot_status status = ingot_axis(c, ingot_attr_int(c->node, "axis", 0), x->rank, &axis);
    if (!status)
        status = ingot_need(c, 1);
    if (status)
        return status;
    if (ingot_has(c, 1) && (c->in[1]->rank != 1 || c->in[1]->shape[0] != c->n_out))
        return ingot_op_fail(c, INGOT_INVALID, "'split' must list %d sizes, one for each output", c->n_out);
    for (int d = 0; d < x->rank; d++)
        shape[d] = x->shape[d];
    /* `shape` takes each part's size in turn. */
    for (int i = 0; i < c->n_out && !status; i++) {
        status = split_size(c, x->shape[axis], i, &shape[axis]);
        if (!status && (shape[axis] < 0 || shape[axis] > x->shape[axis] - total))
            return ingot_op_fail(c, INGOT_INVALID, "part %d of size %lld does not fit dimension %d of size %lld", i,
                                 (long long)shape[axis], axis, (long long)x->shape[axis]);
        total += shape[axis];
        if (!status)
            status = ingot_out(c, i, x->dtype, x->rank, shape);
    }
    if (!status && total != x->shape[axis])
        return ingot_op_fail(c, INGOT_INVALID, "the parts add up to %lld, dimension %d has %lld", (long long)total,
                             axis, (long long)x->shape[axis]);
    return status;
}

/* An output nobody uses is skipped, but its part still counts. */
static ingot_status run_split(ingot_op_ctx *c)
{
    int64_t first = 0;
    int axis;
    ingot_status status = ingot_axis(c, ingot_attr_int(c->node, "axis", 0), c->in[0]->rank, &axis);
    for (int i = 0; i < c->n_out && !status; i++) {
        int64_t part = 0;
        status = split_size(c, c->in[0]->shape[axis], i, &part);
        if (c->out[i])
            copy_part(c, c->in[0], c->out[i], axis, &first, false);
        else
            first += part;
    }
    return status;
}

/* Each part is the input from an offset on, with the input's own steps. False behind a part that nobody wants, whose
 * size is unknown here. */
static bool strided_split(ingot_op_ctx *c, int output, int64_t *offset, int64_t *strides)
{
    const ingot_tensor *x = c->in[0];
    int axis;
    if (ingot_axis(c, ingot_attr_int(c->node, "axis", 0), x->rank, &axis))
        return false;
    ingot_steps(x, strides);
    *offset = 0;
    for (int i = 0; i < output; i++) {
        if (!c->out[i])
            return false;
        *offset += c->out[i]->shape[axis] * strides[axis];
    }
    return true;
}

const ingot_op ingot_ops_concat[] = {
    {"Concat", 4, 1, INGOT_MANY, {INGOT_TYPES_ALL}, infer_concat, run_concat,
     .flags = INGOT_OP_JOINS | INGOT_OP_LONG, .layout = layout_concat, .in_runs = concat_in_runs},
    {"Split", 13, 1, 2, {INGOT_TYPES_ALL, INGOT_TYPE(INT64)}, infer_split, run_split,
     .flags = INGOT_OP_SPLITS | INGOT_OP_LONG, .layout = layout_split, .in_runs = split_in_runs,
     .strided = strided_split},
    {0},
};
