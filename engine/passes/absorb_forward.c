/* absorb_forward.c - folding scale and shift into the one node that reads a value: Conv(x * s + t) is Conv with weights
 * scaled along the input channels and the weights' sums over t added to the bias. Zero padding would have to pad with
 * -t/s instead, so a padded Conv takes a scale without shift only.
 *
 * The sum is then one of large numbers where a mean is far from 0 and what is left of it after the shift is small:
 * rounding errors grow. Where they would grow more than twice, nothing is folded. (Folding back has no such price:
 * there the sum is the same one, scaled.) */
#include <stdio.h>
#include <string.h>

#include "engine/passes/absorb.h"
#include "engine/passes/rewrite.h"

/* Of rounding errors, see above; ingot_affine.growth is the estimate that is held against it. */
static const double MAX_GROWTH = 2;

/* A scale alone goes through zero padding. A shift does not: the padding stands for zeros of the normalized value. */
static bool has_shift(const ingot_affine *affine)
{
    for (int64_t i = 0; i < affine->n; i++)
        if (affine->shift[i] != 0)
            return true;
    return false;
}

/* SAME may pad, depending on sizes: it counts as padding. */
static bool is_padded(const ingot_node *node)
{
    const ingot_attr *pads = ingot_node_attr(node, "pads");
    const char *auto_pad = ingot_attr_string(node, "auto_pad", "NOTSET");
    bool padded = strcmp(auto_pad, "NOTSET") && strcmp(auto_pad, "VALID");
    for (size_t i = 0; !strcmp(auto_pad, "NOTSET") && pads && pads->type == INGOT_ATTR_INTS && i < pads->n; i++)
        padded |= pads->ints[i] != 0;
    return padded;
}

/* Note the reason for the report and return false. Unlike in the walk back there is one reader, so one reason. */
static bool refuse(ingot_absorb *a, const char *text)
{
    snprintf(a->reason, sizeof a->reason, "%s", text);
    return false;
}

/* sums[column] += weight * shift[of its row] over matrix weights seen as (outer, n, inner): the sum over n and inner of
 * each outer index. Weights are (rows, n, inner...), and the rows of group g take shifts [g * n, (g + 1) * n). Sums are
 * in double, in the order of the elements, so that a bias does not depend on threads. False when memory is out. */
static bool sum_rows(const ingot_graph *graph, const ingot_const *weights, int64_t group, const double *shift,
                     double *sums)
{
    const ingot_tensor *t = &weights->tensor;
    const int64_t n = t->shape[1], inner = ingot_span(t, 2, t->rank), row = n * inner, per_group = t->shape[0] / group;
    double *elements = ingot_alloc(graph->arena->memory, 2 * (size_t)row * sizeof *elements + 1);
    for (int64_t m = 0; elements && m < t->shape[0]; m++) {
        const double *of_group = shift + m / per_group * n;
        double sum = 0;
        ingot_const_doubles(weights, m * row, row, elements + row, elements);
        for (int64_t i = 0; i < row; i++)
            sum += elements[i] * of_group[i / inner];
        sums[m] = sum;
    }
    ingot_release(graph->arena->memory, elements);
    return elements;
}

/* The same for weights (k, n) where the shift goes with k. Rows are read one by one, as the constant may still lie in
 * the file. False when memory is out. */
static bool sum_columns(const ingot_graph *graph, const ingot_const *weights, const double *shift, double *sums)
{
    const int64_t k = weights->tensor.shape[0], n = weights->tensor.shape[1];
    double *elements = ingot_alloc(graph->arena->memory, 2 * (size_t)n * sizeof *elements + 1);
    for (int64_t i = 0; i < n; i++)
        sums[i] = 0;
    for (int64_t r = 0; elements && r < k; r++) {
        ingot_const_doubles(weights, r * n, n, elements + n, elements);
        for (int64_t i = 0; i < n; i++)
            sums[i] += elements[i] * shift[r];
    }
    ingot_release(graph->arena->memory, elements);
    return elements;
}

/* Weights are (oc, ic / group, kernel...): channel c of group g scales index c % (ic / group) of that group's rows.
 * Everything is checked here, so that apply_conv() can fail for want of memory only. */
static bool conv_fits(ingot_absorb *a, const ingot_node *node)
{
    const ingot_graph *graph = a->c->graph;
    const int64_t group = ingot_attr_int(node, "group", 1);
    if (!ingot_is_weights(graph, ingot_input(node, 1), 3))
        return refuse(a, "the weights of the Conv after it are not constant");
    const int64_t *shape = graph->values[node->inputs[1]].constant->tensor.shape;
    if (group < 1 || a->affine->n % group || shape[1] != a->affine->n / group || shape[0] % group || !shape[0])
        return refuse(a, "channels of the Conv after it differ");
    if (!ingot_is_row_bias(graph, ingot_input(node, 2), shape[0]))
        return refuse(a, "the bias of the Conv after it is not constant");
    return !is_padded(node) || !has_shift(a->affine) || refuse(a, "the Conv after it pads with zeros");
}

/* The new bias sums each output channel's weights over the shifts of its inputs. Old weights and bias stay in the graph
 * without readers and cost no memory where they lie in a file. False when memory is out. */
static bool apply_conv(ingot_absorb *a, int index)
{
    ingot_graph *graph = a->c->graph;
    const ingot_node *node = graph->nodes[index];
    const int weights = node->inputs[1], old_bias = ingot_input(node, 2);
    const ingot_const *constant = graph->values[weights].constant;
    const int64_t group = ingot_attr_int(node, "group", 1), oc = constant->tensor.shape[0];
    const char *name = graph->values[old_bias == INGOT_NONE ? weights : old_bias].name;
    double *sums = ingot_alloc(graph->arena->memory, (size_t)oc * sizeof *sums);
    bool ok = sums && sum_rows(graph, constant, group, a->affine->shift, sums);
    const int bias =
        ok ? ingot_affine_bias(graph, old_bias, name, constant->tensor.dtype, oc, 1, NULL, sums) : INGOT_NONE;
    ok = ok && ingot_set_weights(graph, index, ingot_scale_groups(graph, weights, group, a->affine->scale), bias);
    ingot_release(graph->arena->memory, sums);
    return ok;
}

/* Gemm reads (rows, k), where k is n channels of `k / n` elements each. k is more than n where a flattened image is
 * read: each channel then has k / n elements in a row. With transA the channels would lie along rows, which is not
 * handled. */
static bool gemm_fits(ingot_absorb *a, const ingot_node *node)
{
    const ingot_graph *graph = a->c->graph;
    const int trans_b = ingot_attr_int(node, "transB", 0) != 0;
    if (ingot_attr_int(node, "transA", 0) || !ingot_is_weights(graph, ingot_input(node, 1), 2) ||
        graph->values[node->inputs[1]].constant->tensor.rank != 2)
        return refuse(a, "the weights of the Gemm after it are not constant");
    const int64_t *shape = graph->values[node->inputs[1]].constant->tensor.shape;
    if (!shape[0] || !shape[1] || shape[trans_b] % a->affine->n)
        return refuse(a, "channels of the Gemm after it differ");
    return ingot_is_row_bias(graph, ingot_input(node, 2), shape[1 - trans_b]) ||
           refuse(a, "the bias of the Gemm after it is not constant");
}

/* C takes alpha * sum over k of B[k][n] * t[k]; a flattened image has one shift for each block of k. */
static bool apply_gemm(ingot_absorb *a, int index)
{
    ingot_graph *graph = a->c->graph;
    ingot_node *node = graph->nodes[index];
    const int weights = node->inputs[1], old_bias = ingot_input(node, 2);
    const int trans_b = ingot_attr_int(node, "transB", 0) != 0;
    const ingot_const *constant = graph->values[weights].constant;
    const int64_t n = constant->tensor.shape[1 - trans_b], k = constant->tensor.shape[trans_b],
                  block = k / a->affine->n;
    const char *name = graph->values[old_bias == INGOT_NONE ? weights : old_bias].name;
    const double alpha = (double)ingot_attr_float(node, "alpha", 1), beta = (double)ingot_attr_float(node, "beta", 1);
    double *sums = ingot_alloc(graph->arena->memory, (size_t)n * sizeof *sums);
    double *scale = ingot_alloc(graph->arena->memory, 2 * (size_t)k * sizeof *scale), *shift = scale + k;
    bool ok = sums && scale;
    for (int64_t i = 0; ok && i < k; i++) {
        scale[i] = a->affine->scale[i / block];
        shift[i] = a->affine->shift[i / block];
    }
    ok = ok && (trans_b ? sum_rows(graph, constant, 1, shift, sums) : sum_columns(graph, constant, shift, sums));
    for (int64_t i = 0; ok && i < n; i++)
        sums[i] *= alpha;
    const int bias =
        ok ? ingot_affine_bias(graph, old_bias, name, constant->tensor.dtype, n, beta, NULL, sums) : INGOT_NONE;
    ok = ok && ingot_set_weights(graph, index, ingot_scale_axis(graph, weights, trans_b, scale), bias);
    ingot_node_remove_attr(node, "beta");
    ingot_release(graph->arena->memory, sums);
    ingot_release(graph->arena->memory, scale);
    return ok;
}

/* Does node turn (N, C, ...) into (N, C * ...)? A Reshape must keep the batch, proven by equal sizes or symbols, so
 * that channels stay blocks of consecutive columns. */
static bool is_flatten(const ingot_absorb *a, const ingot_node *node)
{
    const ingot_shape *from = ingot_shape_of(a->shapes, ingot_input(node, 0));
    const ingot_shape *to = ingot_shape_of(a->shapes, node->outputs[0]);
    if (ingot_is_op(node, "Flatten"))
        return ingot_attr_int(node, "axis", 1) == 1;
    return ingot_is_op(node, "Reshape") && from->rank >= 2 && to->rank == 2 && from->dim[0] == to->dim[0] &&
           from->dim[0] != 0;
}

/* The reader may be a Conv or Gemm, the latter also behind a flattening of (N, C, ...). Nothing is changed unless every
 * check has passed. Before: y = x * s + t, [Flatten], Conv or Gemm; after: x, [Flatten], Conv or Gemm with other
 * weights. The caller takes the affine node out. INGOT_LIMIT leaves a graph that must not be used. */
ingot_status ingot_absorb_forward(ingot_absorb *a, int value, bool *done)
{
    ingot_graph *graph = a->c->graph;
    *done = false;
    ingot_node *flatten = NULL, *reader = ingot_single_reader(graph, value);
    int at = value;
    if (reader && reader->n_outputs == 1 && ingot_output(reader) != INGOT_NONE && is_flatten(a, reader)) {
        flatten = reader;
        at = flatten->outputs[0];
        reader = ingot_single_reader(graph, at);
    }
    if (!reader || ingot_input(reader, 0) != at || reader->n_fused)
        return INGOT_OK;
    /* Asked for any reader that takes the value as its input 0, before it is known whether it could take the
     * factors. */
    if (a->affine->growth > MAX_GROWTH) {
        refuse(a, "the node after it would lose accuracy");
        return INGOT_OK;
    }
    const int index = graph->values[at].uses->node;
    const bool is_conv = ingot_is_op(reader, "Conv") && !flatten, is_gemm = ingot_is_op(reader, "Gemm");
    if (!(is_conv ? conv_fits(a, reader) : is_gemm && gemm_fits(a, reader)))
        return INGOT_OK;
    if (!(is_conv ? apply_conv(a, index) : apply_gemm(a, index)))
        return ingot_pass_out_of_memory(a->c);
    if (flatten) { /* its result is not what it was: another name */
        const int renamed = ingot_add_unique_value(graph, graph->values[at].name);
        const int maker = graph->values[at].producer;
        if (renamed == INGOT_NONE || !ingot_graph_replace(graph, at, renamed) ||
            !ingot_node_set_output(graph, maker, 0, renamed))
            return ingot_pass_out_of_memory(a->c);
    }
    *done = true;
    return INGOT_OK;
}
