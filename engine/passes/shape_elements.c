/* shape_elements.c - what is known of the elements of small integer values: exporters compute the shapes for Reshape
 * and Expand with Shape, Gather, Slice and Concat. An element is a number >= 0, a symbol as in shapes.h, or
 * INGOT_MINUS_ONE. */
#include "engine/passes/shapes.h"

#include <string.h>

#include "engine/passes/rewrite.h"

/* The same elements in another shape: what a Reshape of a scalar to a vector does. */
static void one(const ingot_shape *x, ingot_shape *out)
{
    out->n_elements = x->n_elements;
    memcpy(out->elements, x->elements, sizeof out->elements);
}

/* The dimensions from start to end, either counted from the back when negative. Source: ONNX, Shape-15: out of range
 * bounds are clamped. Symbols of dimensions become symbols of elements. */
static void of_shape(const ingot_node *node, const ingot_shape *x, ingot_shape *out)
{
    if (x->rank < 0)
        return;
    int64_t start = ingot_attr_int(node, "start", 0), end = ingot_attr_int(node, "end", x->rank);
    start = MIN(MAX(start < 0 ? start + x->rank : start, 0), x->rank);
    end = MIN(MAX(end < 0 ? end + x->rank : end, 0), x->rank);
    out->n_elements = 0;
    for (int64_t d = start; d < end; d++)
        out->elements[out->n_elements++] = x->dim[d];
}

/* The product, where all dimensions are numbers. A symbol times anything has no number of its own here, so the count is
 * left unknown. */
static void of_size(const ingot_shape *x, ingot_shape *out)
{
    int64_t count = 1;
    for (int d = 0; d < x->rank; d++)
        if (x->dim[d] < 0 || __builtin_mul_overflow(count, x->dim[d], &count))
            return;
    if (x->rank >= 0) {
        out->n_elements = 1;
        out->elements[0] = count;
    }
}

/* Elements that constant indices pick from a vector. Negative indices count from the end. An index out of range leaves
 * the elements unknown: the run reports it. */
static void gathered(const ingot_graph *graph, const ingot_node *node, const ingot_shape *x, ingot_shape *out)
{
    int64_t indices[INGOT_SHAPE_RANK];
    int n;
    if (x->rank != 1 || !ingot_constant_ints(graph, ingot_input(node, 1), indices, INGOT_SHAPE_RANK, &n))
        return;
    for (int i = 0; i < n; i++) {
        const int64_t at = indices[i] < 0 ? indices[i] + x->n_elements : indices[i];
        if (at < 0 || at >= x->n_elements)
            return;
        out->elements[i] = x->elements[at];
    }
    out->n_elements = n;
}

/* Is input `slot` left out, or a constant vector of one element, which is a or b? */
static bool is_one_of(const ingot_graph *graph, const ingot_node *node, int slot, int64_t a, int64_t b)
{
    int64_t element;
    int n;
    return ingot_input(node, slot) == INGOT_NONE ||
           (ingot_constant_ints(graph, node->inputs[slot], &element, 1, &n) && n == 1 &&
            (element == a || element == b));
}

/* A range of a vector, with steps of 1. Bounds are clamped as Slice-13 has it. */
static void sliced(const ingot_graph *graph, const ingot_node *node, const ingot_shape *x, ingot_shape *out)
{
    int64_t start, end;
    int n;
    if (x->rank != 1 || !ingot_constant_ints(graph, ingot_input(node, 1), &start, 1, &n) || n != 1 ||
        !ingot_constant_ints(graph, ingot_input(node, 2), &end, 1, &n) || n != 1 ||
        !is_one_of(graph, node, 3, 0, -1) || !is_one_of(graph, node, 4, 1, 1))
        return;
    start = MIN(MAX(start < 0 ? start + x->n_elements : start, 0), x->n_elements);
    end = MIN(MAX(end < 0 ? end + x->n_elements : end, 0), x->n_elements);
    out->n_elements = 0;
    for (int64_t i = start; i < end; i++)
        out->elements[out->n_elements++] = x->elements[i];
}

/* Vectors one behind the other. Scalars cannot be joined in ONNX, hence rank 1 throughout. */
static void joined(const ingot_shapes *shapes, const ingot_node *node, ingot_shape *out)
{
    int n = 0;
    for (int i = 0; i < node->n_inputs; i++) {
        const ingot_shape *x = ingot_shape_of(shapes, node->inputs[i]);
        if (x->n_elements < 0 || x->rank != 1 || n + x->n_elements > INGOT_SHAPE_RANK)
            return;
        for (int k = 0; k < x->n_elements; k++)
            out->elements[n++] = x->elements[k];
    }
    out->n_elements = n;
}

/* Operators that are not listed leave the elements unknown (n_elements -1), which is always right, and so do nodes that
 * would be refused: who takes the elements needs them no more. out->n_elements is -1 when it is called. Cast to int64
 * alone, because another type could cut numbers off. */
void ingot_infer_elements(const ingot_shapes *shapes, const ingot_graph *graph, const ingot_node *node,
                          ingot_shape *out)
{
    const ingot_shape *x = ingot_shape_of(shapes, ingot_input(node, 0));
    const bool stays = ingot_value_stays(shapes, ingot_input(node, 0));
    if (ingot_is_op(node, "Shape") && stays)
        of_shape(node, x, out);
    else if (ingot_is_op(node, "Size") && stays)
        of_size(x, out);
    else if (x->n_elements < 0 || x->rank < 0 || x->rank > 1)
        return;
    else if (ingot_is_op(node, "Gather"))
        gathered(graph, node, x, out);
    else if (ingot_is_op(node, "Slice"))
        sliced(graph, node, x, out);
    else if (ingot_is_op(node, "Concat"))
        joined(shapes, node, out);
    else if (ingot_is_op(node, "Unsqueeze") || ingot_is_op(node, "Squeeze") || ingot_is_op(node, "Identity") ||
             (ingot_is_op(node, "Reshape") && x->n_elements == (out->rank == 1 ? out->dim[0] : out->rank == 0)) ||
             (ingot_is_op(node, "Cast") && ingot_attr_int(node, "to", 0) == INGOT_INT64))
        one(x, out);
    /* asked last, as looking an operator up takes time */
    if (out->n_elements >= 0 && !ingot_types_fit(shapes, node))
        out->n_elements = -1;
}

/* Numbers below -1 mean nothing in a shape: such a constant counts as unknown. -1 has a code of its own, since negative
 * numbers are symbols. */
void ingot_constant_elements(const ingot_graph *graph, int value, ingot_shape *out)
{
    int64_t elements[INGOT_SHAPE_RANK];
    int n;
    if (!ingot_constant_ints(graph, value, elements, INGOT_SHAPE_RANK, &n))
        return;
    for (int i = 0; i < n; i++) {
        if (elements[i] < -1)
            return;
        out->elements[i] = elements[i] < 0 ? INGOT_MINUS_ONE : elements[i];
    }
    out->n_elements = n;
}

/* A symbol among them leaves them unknown. */
ingot_const *ingot_elements_constant(ingot_arena *arena, const ingot_shape *shape)
{
    int64_t elements[INGOT_SHAPE_RANK + 1] = {0};
    ingot_tensor tensor = {.dtype = INGOT_INT64, .rank = shape->rank, .data = elements};
    if (shape->n_elements < 0 || shape->dtype != INGOT_INT64 || shape->rank < 0)
        return NULL;
    for (int d = 0; d < shape->rank; d++)
        tensor.shape[d] = shape->dim[d];
    if (ingot_count(&tensor) != shape->n_elements)
        return NULL;
    for (int i = 0; i < shape->n_elements; i++) {
        const int64_t element = shape->elements[i];
        if (element < 0 && element != INGOT_MINUS_ONE)
            return NULL;
        elements[i] = element < 0 ? -1 : element;
    }
    return ingot_const_create(arena, &tensor);
}
