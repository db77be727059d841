/* fold_scale_shift.c - Mul, Div, Add and Sub with a constant that is one number, or one for each channel, go into the
 * weights and bias of the convolution or matrix product before them: layer scales, and what is left of a normalization
 * that an exporter took apart. */
#include "engine/passes/absorb.h"

#include <math.h>

#include "engine/passes/rewrite.h"

/* Declared shapes may claim anything; no weights have more channels. */
enum { MAX_CHANNELS = 1 << 20 };

/* The axis of `shape` along which constant `t` varies, when there is one such axis at most and the result has the same
 * shape; for a single number the axis where channels usually are. INGOT_NONE otherwise. Source: ONNX, "Broadcasting in
 * ONNX": shapes are aligned at their last axes. The caller replaces the INGOT_NONE that a constant of one element
 * gets. */
static int channel_axis(const ingot_shape *shape, const ingot_tensor *t)
{
    int axis = INGOT_NONE;
    if (shape->rank < 2 || t->rank > shape->rank)
        return INGOT_NONE;
    for (int d = 0; d < t->rank; d++)
        if (t->shape[d] != 1) {
            if (axis != INGOT_NONE)
                return INGOT_NONE;
            axis = shape->rank - t->rank + d;
            if (shape->dim[axis] != t->shape[d])
                return INGOT_NONE;
        }
    return axis;
}

/* What the node does, as scale and shift of n channels. False when memory is out or a factor is not finite. Division
 * becomes a factor of 1 / c in double, which rounds to float once, with the weights. */
static bool read_affine(const ingot_graph *graph, const ingot_node *node, const ingot_const *constant,
                        ingot_affine *affine)
{
    double *elements = ingot_const_all_doubles(graph, constant);
    const bool one = ingot_count(&constant->tensor) == 1, is_add = ingot_is_op(node, "Add"),
               is_sub = ingot_is_op(node, "Sub");
    bool ok = elements;
    for (int64_t i = 0; ok && i < affine->n; i++) {
        const double element = elements[one ? 0 : i];
        affine->scale[i] = ingot_is_op(node, "Mul") ? element : ingot_is_op(node, "Div") ? 1 / element : 1;
        affine->shift[i] = is_add ? element : is_sub ? -element : 0;
        ok = isfinite(affine->scale[i]) && isfinite(affine->shift[i]);
    }
    ingot_release(graph->arena->memory, elements);
    return ok;
}

/* Node `index` has its constant at slot, and channels along `axis` of the other operand. INGOT_OK without a change
 * where it does not fit; reasons are not reported, since most Muls and Adds of a model are not meant to be folded. */
static ingot_status fold(ingot_pass_ctx *c, const ingot_shapes *shapes, int index, int slot, int axis)
{
    ingot_graph *graph = c->graph;
    const ingot_node *node = graph->nodes[index];
    const int value = node->inputs[1 - slot], out = node->outputs[0];
    const int64_t n = ingot_shape_of(shapes, value)->dim[axis];
    double *numbers = ingot_alloc(graph->arena->memory, 2 * (size_t)n * sizeof *numbers);
    if (!numbers)
        return ingot_pass_out_of_memory(c);
    ingot_affine affine = {n, numbers, numbers + n, 0};
    ingot_absorb back = {c, shapes, &affine, false, ""};
    ingot_status status = INGOT_OK;
    bool done = false;
    if (read_affine(graph, node, graph->values[node->inputs[slot]].constant, &affine))
        status = ingot_absorb_back(&back, value, axis, &done);
    ingot_release(graph->arena->memory, numbers);
    if (!done)
        return status;
    c->n_done++;
    return ingot_take_over_output(graph, graph->values[value].producer, out, index) ? INGOT_OK
                                                                                    : ingot_pass_out_of_memory(c);
}

/* Operands of Mul and Add may be swapped; of Div and Sub the second has to be the constant. `i` stays a valid number
 * while folding adds nodes, because these come at the end. */
static ingot_status fold_all(ingot_pass_ctx *c, const ingot_shapes *shapes)
{
    const ingot_graph *graph = c->graph;
    ingot_status status = INGOT_OK;
    for (int i = 0; !status && i < graph->n_nodes; i++) {
        const ingot_node *node = graph->nodes[i];
        const bool commutes = ingot_is_op(node, "Mul") || ingot_is_op(node, "Add");
        if ((!commutes && !ingot_is_op(node, "Div") && !ingot_is_op(node, "Sub")) || node->n_fused ||
            node->n_inputs != 2 || ingot_output(node) == INGOT_NONE)
            continue;
        const int slot = ingot_is_weights(graph, node->inputs[1], 0) ? 1 : 0;
        if ((slot == 0 && !commutes) || !ingot_is_weights(graph, node->inputs[slot], 0) ||
            node->inputs[1 - slot] == INGOT_NONE)
            continue;
        const ingot_shape *shape = ingot_shape_of(shapes, node->inputs[1 - slot]);
        const ingot_tensor *t = &graph->values[node->inputs[slot]].constant->tensor;
        int axis = channel_axis(shape, t);
        if (ingot_count(t) == 1 && t->rank <= shape->rank) /* any axis will do; of a MatMul the last */
            axis = ingot_is_op(ingot_producer(graph, node->inputs[1 - slot]), "MatMul") ? shape->rank - 1 : 1;
        if (shape->rank >= 2 && axis != INGOT_NONE && shape->dim[axis] > 0 && shape->dim[axis] <= MAX_CHANNELS)
            status = fold(c, shapes, i, slot, axis);
    }
    return status;
}

/* Before: y = Conv(x, W, b) * s, or + t; after: y = Conv(x, W * s, b * s + t). No Add is put behind a MatMul for a
 * shift: it would only stand in the place of the one that was there. */
ingot_status ingot_fold_scale_shift(ingot_pass_ctx *c) { return ingot_with_shapes(c, fold_all); }
