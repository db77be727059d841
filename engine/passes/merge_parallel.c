/* merge_parallel.c - two convolutions of one input whose results are added are one convolution with the sum of their
 * weights, where the window of one lies in that of the other; the input itself, or a BatchNormalization of it, is one
 * of a single pixel. Networks that are trained with several branches and exported as they are lose most of their
 * arithmetic so. Source: Ding et al., "RepVGG: Making VGG-style ConvNets Great Again", 2021. */
#include <math.h>
#include <string.h>

#include "engine/passes/absorb.h"
#include "engine/passes/rewrite.h"

enum { MAX_AXES = 3, MAX_EXTENT = 1 << 20 };

/* One of the two that are added. Element i of the result sees i * stride + t * dilation - before, t < kernel. */
typedef struct branch {
    int node, weights, bias; /* weights: INGOT_NONE for a BatchNormalization, and for the input itself, of no node */
    int64_t channels, group;
    int n_axes;
    struct branch_axis {
        int64_t kernel, stride, dilation, before, after;
    } axis[MAX_AXES];
} branch;

/* Elements of an attribute, or `otherwise` where it is left out; false where there are more or less of them. */
static bool read_ints(const ingot_node *node, const char *name, int n, int64_t otherwise, int64_t *values)
{
    const ingot_attr *attr = ingot_node_attr(node, name);
    for (int i = 0; i < n; i++)
        values[i] = attr && attr->n == (size_t)n ? attr->ints[i] : otherwise;
    return !attr || attr->n == (size_t)n;
}

/* May the branch be looked into along this axis? With pads that make up for the window no size of the input is refused,
 * so that a merged branch cannot be refused in other words than its own. */
static bool is_tame(const struct branch_axis *x)
{
    return x->kernel >= 1 && x->kernel <= MAX_EXTENT && x->dilation >= 1 && x->dilation <= MAX_EXTENT &&
           x->before >= 0 && x->before <= MAX_EXTENT && x->after >= 0 && x->after <= MAX_EXTENT &&
           x->before + x->after >= (x->kernel - 1) * x->dilation;
}

/* A Conv with constant weights and bias, whose pads are numbers. */
static bool read_conv(const ingot_graph *graph, const ingot_node *node, branch *b)
{
    int64_t strides[MAX_AXES], dilations[MAX_AXES], pads[2 * MAX_AXES];
    b->weights = ingot_input(node, 1);
    b->bias = ingot_input(node, 2);
    if (node->n_fused || !ingot_is_weights(graph, b->weights, 3) ||
        strcmp(ingot_attr_string(node, "auto_pad", "NOTSET"), "NOTSET"))
        return false;
    const ingot_tensor *w = &graph->values[b->weights].constant->tensor;
    b->channels = w->shape[0];
    b->group = ingot_attr_int(node, "group", 1);
    b->n_axes = w->rank - 2;
    if (b->n_axes > MAX_AXES || b->group < 1 || b->channels < 1 || b->channels % b->group || w->shape[1] < 1 ||
        !ingot_is_row_bias(graph, b->bias, b->channels) || !read_ints(node, "strides", b->n_axes, 1, strides) ||
        !read_ints(node, "dilations", b->n_axes, 1, dilations) || !read_ints(node, "pads", 2 * b->n_axes, 0, pads))
        return false;
    bool tame = true;
    for (int i = 0; i < b->n_axes; i++) {
        const int64_t kernel = w->shape[2 + i];
        b->axis[i] = (struct branch_axis){.kernel = kernel,
                                          .stride = strides[i],
                                          .dilation = kernel == 1 ? 1 : dilations[i],
                                          .before = pads[i],
                                          .after = pads[b->n_axes + i]};
        tame &= is_tame(&b->axis[i]);
    }
    return tame;
}

/* What makes `value`, where that is a branch from `input` and the Add alone reads it; or that input, whose `channels`
 * are known. Without weights there may be any number of axes. */
static bool read_branch(const ingot_graph *graph, int value, int input, int64_t channels, branch *b)
{
    const ingot_node *node = ingot_producer(graph, value);
    if (value == input) {
        *b = (branch){.node = INGOT_NONE, .weights = INGOT_NONE, .bias = INGOT_NONE, .channels = channels};
        return true;
    }
    if (!node || node->outputs[0] != value || ingot_input(node, 0) != input ||
        ingot_graph_only_user(graph, value) == INGOT_NONE)
        return false;
    *b = (branch){.node = ingot_node_of(graph, value), .weights = INGOT_NONE, .bias = INGOT_NONE};
    return ingot_is_op(node, "Conv") ? read_conv(graph, node, b)
                                     : ingot_has_constant_statistics(graph, node, &b->channels);
}

/* Does the window of `small` lie in that of `large`, so that both see the same places? at[i] becomes where it begins.
 * Sizes of the results are equal for every input where the pads beyond the windows are. */
static bool lies_in(const branch *large, const branch *small, int64_t *at)
{
    for (int i = 0; i < large->n_axes; i++) {
        const struct branch_axis *l = &large->axis[i], *s = &small->axis[i];
        const int64_t shift = l->before - s->before;
        if (l->stride != s->stride || (s->kernel > 1 && l->dilation != s->dilation) || shift < 0 ||
            shift % l->dilation || shift / l->dilation + s->kernel > l->kernel ||
            l->before + l->after - (l->kernel - 1) * l->dilation !=
                s->before + s->after - (s->kernel - 1) * s->dilation)
            return false;
        at[i] = shift / l->dilation;
    }
    return true;
}

/* Can `small` be merged into the convolution `large`? `input` is what both read. */
static bool can_merge(const ingot_graph *graph, const ingot_shape *input, const branch *large, branch *small,
                      int64_t *at)
{
    if (large->weights == INGOT_NONE || large->channels != small->channels)
        return false;
    const ingot_tensor *w = &graph->values[large->weights].constant->tensor;
    if (input->rank != w->rank || input->dim[1] != w->shape[1] * large->group || input->dtype != w->dtype)
        return false;
    if (small->weights == INGOT_NONE) {
        small->n_axes = large->n_axes;
        for (int i = 0; i < small->n_axes; i++)
            small->axis[i] = (struct branch_axis){.kernel = 1, .stride = 1, .dilation = 1};
        return input->dim[1] == small->channels && lies_in(large, small, at);
    }
    const ingot_tensor *v = &graph->values[small->weights].constant->tensor;
    return v->dtype == w->dtype && v->rank == w->rank && v->shape[1] == w->shape[1] && small->group == large->group &&
           lies_in(large, small, at);
}

/* Where in a row of weights (input channels of a group by window) of `large` element k of one of `small` belongs. */
static int64_t place_of(const branch *large, const branch *small, const int64_t *at, int64_t k)
{
    int64_t place = 0, step = 1;
    for (int i = large->n_axes - 1; i >= 0; i--) {
        place += (k % small->axis[i].kernel + at[i]) * step;
        k /= small->axis[i].kernel;
        step *= large->axis[i].kernel;
    }
    return place + k * step;
}

/* The weights of `large` with those of `small` added, each rounded once, in *id. scale: a BatchNormalization's. Row by
 * row, as there may be little memory. *finite false, and nothing made, where a sum is no finite number. */
static bool add_weights(ingot_graph *graph, const branch *large, const branch *small, const int64_t *at,
                        const double *scale, int *id, bool *finite)
{
    const ingot_const *into = graph->values[large->weights].constant;
    const ingot_const *from = scale ? NULL : graph->values[small->weights].constant;
    const ingot_tensor *t = &into->tensor;
    const int64_t n = ingot_span(t, 1, t->rank), m = from ? ingot_span(&from->tensor, 1, t->rank) : 1;
    double *sum = ingot_alloc(graph->arena->memory, 2 * (size_t)(n + m) * sizeof *sum), *other = sum + 2 * n;
    char *data = ingot_arena_alloc(graph->arena, ingot_storage_bytes(t));
    *finite = sum && data;
    for (int64_t row = 0; *finite && row < large->channels; row++) {
        ingot_const_doubles(into, row * n, n, sum + n, sum);
        if (from)
            ingot_const_doubles(from, row * m, m, other + m, other);
        for (int64_t k = 0; from && k < m; k++)
            sum[place_of(large, small, at, k)] += other[k];
        if (scale) /* input channel `row` of all, in the row of its group */
            sum[place_of(large, small, at, row % t->shape[1])] += scale[row];
        for (int64_t k = 0; k < n; k++) {
            const double stored = t->dtype == INGOT_FLOAT ? (double)(((float *)data)[row * n + k] = (float)sum[k])
                                                          : (((double *)data)[row * n + k] = sum[k]);
            *finite &= isfinite(stored) != 0;
        }
    }
    *id = *finite ? ingot_add_computed(graph, large->weights, data) : INGOT_NONE;
    ingot_release(graph->arena->memory, sum);
    return data && sum && (*id != INGOT_NONE || !*finite);
}

/* The convolution `large` does the work of `small`, and of the Add number `index`. */
static ingot_status merge(ingot_pass_ctx *c, int index, const branch *large, const branch *small, const int64_t *at)
{
    ingot_graph *graph = c->graph;
    const int64_t n = large->channels;
    const int sum = graph->nodes[index]->outputs[0];
    ingot_affine affine = {n, ingot_alloc(graph->arena->memory, (size_t)n * sizeof(double)),
                           ingot_row_doubles(graph, small->bias, n), 0};
    int weights = INGOT_NONE;
    bool ok = affine.scale && affine.shift, finite = true;
    for (int64_t i = 0; ok && i < n; i++)
        affine.scale[i] = 1;
    const bool norm = small->weights == INGOT_NONE;
    if (ok && norm && small->node != INGOT_NONE)
        finite = ingot_append_normalization(graph, graph->nodes[small->node], &affine);
    if (ok && finite)
        ok = add_weights(graph, large, small, at, norm ? affine.scale : NULL, &weights, &finite);
    if (ok && finite) {
        const char *name = graph->values[large->bias == INGOT_NONE ? large->weights : large->bias].name;
        const ingot_dtype dtype = graph->values[weights].constant->tensor.dtype;
        const int bias = ingot_affine_bias(graph, large->bias, name, dtype, n, 1, NULL, affine.shift);
        ok = ingot_set_weights(graph, large->node, weights, bias);
        if (ok && small->node != INGOT_NONE)
            ingot_graph_remove_node(graph, small->node);
        ok = ok && ingot_take_over_output(graph, large->node, sum, index);
        c->n_done++;
    } else if (ok) {
        ingot_pass_kept(c, graph->nodes[index], "a factor is not a finite number");
    }
    ingot_release(graph->arena->memory, affine.shift);
    ingot_release(graph->arena->memory, affine.scale);
    return ok ? INGOT_OK : ingot_pass_out_of_memory(c);
}

/* What both operands of an Add come from, or INGOT_NONE: one operand may be it. */
static int common_input(const ingot_graph *graph, const ingot_node *add)
{
    int from[2];
    for (int k = 0; k < 2; k++) {
        const ingot_node *node = ingot_producer(graph, add->inputs[k]);
        from[k] = node ? ingot_input(node, 0) : INGOT_NONE;
    }
    return from[0] != INGOT_NONE && (from[0] == from[1] || from[0] == add->inputs[1]) ? from[0]
           : from[1] != INGOT_NONE && from[1] == add->inputs[0]                       ? from[1]
                                                                                      : INGOT_NONE;
}

/* More than two branches go one after the other. */
static ingot_status merge_all(ingot_pass_ctx *c, const ingot_shapes *shapes)
{
    ingot_graph *graph = c->graph;
    ingot_status status = INGOT_OK;
    for (int i = 0; !status && i < graph->n_nodes; i++) {
        const ingot_node *node = graph->nodes[i];
        branch a, b;
        int64_t at[MAX_AXES];
        if (!ingot_is_op(node, "Add") || node->n_inputs != 2 || node->n_fused || ingot_output(node) == INGOT_NONE ||
            node->inputs[0] == node->inputs[1])
            continue;
        const int input = common_input(graph, node);
        const ingot_shape *shape = ingot_shape_of(shapes, input);
        if (input == INGOT_NONE || shape->rank < 3 || !read_branch(graph, node->inputs[0], input, shape->dim[1], &a) ||
            !read_branch(graph, node->inputs[1], input, shape->dim[1], &b))
            continue;
        if (can_merge(graph, shape, &a, &b, at))
            status = merge(c, i, &a, &b, at);
        else if (can_merge(graph, shape, &b, &a, at))
            status = merge(c, i, &b, &a, at);
    }
    return status;
}

/* Before: y = Add(Conv(x, V), Conv(x, W)); after: y = Conv(x, V + W). */
ingot_status ingot_merge_parallel(ingot_pass_ctx *c) { return ingot_with_shapes(c, merge_all); }
