/* fold_batch_normalization.c - BatchNormalization with constant statistics is y = x * s + t per channel, with
 * s = scale / sqrt(var + epsilon) and t = B - mean * s. It goes into the constants of the nodes before it, else into
 * the Conv or Gemm after it; several in a row become one first. What stays runs as one multiply and add. */
#include "engine/passes/absorb.h"

#include <math.h>
#include <string.h>

#include "engine/passes/rewrite.h"

/* Inputs are X, scale, B, mean and var in this order (BatchNormalization-15). */
bool ingot_has_constant_statistics(const ingot_graph *graph, const ingot_node *node, int64_t *n)
{
    if (!ingot_is_op(node, "BatchNormalization") || node->n_inputs < 5 || node->n_fused ||
        ingot_attr_int(node, "training_mode", 0))
        return false;
    for (int i = 1; i < 5; i++) {
        if (!ingot_is_weights(graph, node->inputs[i], 1))
            return false;
        const ingot_tensor *t = &graph->values[node->inputs[i]].constant->tensor;
        if (t->rank != 1 || (i > 1 && t->shape[0] != *n) || t->shape[0] == 0)
            return false;
        *n = t->shape[0];
    }
    for (int i = 1; i < node->n_outputs; i++)
        if (node->outputs[i] != INGOT_NONE)
            return false;
    return node->n_outputs > 0 && node->outputs[0] != INGOT_NONE && node->inputs[0] != INGOT_NONE;
}

/* Composition: (x * S + T) * s + t = x * (S * s) + (T * s + t). growth compares, in root mean square over the channels,
 * the terms that a sum sees after folding forward (|scale| + |mean * s|) to those before (|scale| + |B|). */
bool ingot_append_normalization(const ingot_graph *graph, const ingot_node *node, ingot_affine *affine)
{
    const double epsilon = (double)ingot_attr_float(node, "epsilon", 1e-5f);
    double *of[5] = {NULL};
    double folded = 0, plain = 0; /* squares of how large the numbers are that get summed */
    bool ok = true;
    for (int i = 1; i < 5; i++)
        ok &= (of[i] = ingot_const_all_doubles(graph, graph->values[node->inputs[i]].constant)) != NULL;
    for (int64_t i = 0; ok && i < affine->n; i++) {
        const double s = of[1][i] / sqrt(of[4][i] + epsilon), t = of[2][i] - of[3][i] * s;
        const double far = fabs(of[1][i]) + fabs(of[3][i] * s), near = fabs(of[1][i]) + fabs(of[2][i]);
        folded += far * far;
        plain += near * near;
        affine->scale[i] *= s;
        affine->shift[i] = affine->shift[i] * s + t;
        ok = isfinite(affine->scale[i]) && isfinite(affine->shift[i]);
    }
    affine->growth = MAX(affine->growth, sqrt(folded / plain));
    for (int i = 1; i < 5; i++)
        ingot_release(graph->arena->memory, of[i]);
    return ok;
}

/* The last of a row of them takes over what the whole row does. Scale and B become those of the row, mean 0, var 1 and
 * epsilon 0: it then computes x * scale + shift exactly. False when memory is out. */
static bool merge_row(ingot_graph *graph, int index, int input, const ingot_affine *affine)
{
    ingot_node *node = graph->nodes[index];
    const ingot_dtype dtype = graph->values[node->inputs[1]].constant->tensor.dtype;
    double *numbers = ingot_alloc(graph->arena->memory, 2 * (size_t)affine->n * sizeof *numbers);
    if (!numbers)
        return false;
    for (int64_t i = 0; i < affine->n; i++) {
        numbers[i] = 0;
        numbers[affine->n + i] = 1;
    }
    const double *of[5] = {NULL, affine->scale, affine->shift, numbers, numbers + affine->n};
    bool ok = ingot_node_set_input(graph, index, 0, input) && ingot_node_set_float(graph, node, "epsilon", 0);
    for (int i = 1; ok && i < 5; i++) {
        const char *name = graph->values[node->inputs[i]].name;
        const int id = ingot_add_doubles(graph, name, dtype, 1, &affine->n, of[i]);
        ok = id != INGOT_NONE && ingot_node_set_input(graph, index, i, id);
    }
    ingot_release(graph->arena->memory, numbers);
    return ok;
}

/* Node `index` ends a row of `n_row` nodes that reads `input`; they become affine. Merging comes first and counts by
 * itself; then back is tried, which loses no accuracy, and forward last. What could not be folded is reported with both
 * reasons. */
static ingot_status fold_row(ingot_pass_ctx *c, const ingot_shapes *shapes, int index, int n_row, int input,
                             const ingot_affine *affine)
{
    ingot_graph *graph = c->graph;
    ingot_node *node = graph->nodes[index];
    ingot_absorb back = {c, shapes, affine, true, ""}, forward = back;
    const int out = node->outputs[0];
    bool done;
    if (n_row > 1) { /* first, so that `input` has one reader afterwards */
        int *row = ingot_alloc(graph->arena->memory, (size_t)n_row * sizeof *row);
        if (!row)
            return ingot_pass_out_of_memory(c);
        for (int i = 0, at = index; i < n_row; i++, at = ingot_node_of(graph, graph->nodes[at]->inputs[0]))
            row[i] = at;
        const bool ok = merge_row(graph, index, input, affine);
        for (int i = 1; ok && i < n_row; i++)
            ingot_graph_remove_node(graph, row[i]);
        ingot_release(graph->arena->memory, row);
        if (!ok)
            return ingot_pass_out_of_memory(c);
        c->n_done += n_row - 1;
    }
    /* Back, into what computes the input: its maker then makes the normalization's own output. */
    ingot_status status = ingot_absorb_back(&back, input, 1, &done);
    if (!status && done) {
        c->n_done++;
        const int maker = graph->values[input].producer;
        return ingot_take_over_output(graph, maker, out, index) ? INGOT_OK : ingot_pass_out_of_memory(c);
    }
    if (!status)
        status = ingot_absorb_forward(&forward, out, &done);
    if (!status && done) {
        c->n_done++;
        ingot_graph_remove_node(graph, index);
        return ingot_graph_replace(graph, out, input) ? INGOT_OK : ingot_pass_out_of_memory(c);
    }
    ingot_pass_kept(c, node, "%s%s%s", back.reason, *forward.reason ? " and " : "", forward.reason);
    return status;
}

/* Find the row of normalizations that ends here, compose it in double, and fold it. Only the last of a row does
 * anything, so each row is handled once. Rows fork nowhere: every value between has one reader. */
static ingot_status fold_one(ingot_pass_ctx *c, const ingot_shapes *shapes, int index)
{
    ingot_graph *graph = c->graph;
    const ingot_node *node = graph->nodes[index];
    int64_t n = 0, other = 0;
    if (!ingot_has_constant_statistics(graph, node, &n)) {
        ingot_pass_kept(c, node,
                        ingot_attr_int(node, "training_mode", 0) ? "it is in training mode"
                                                                 : "its statistics are not constant");
        return INGOT_OK;
    }
    /* Only the last of a row goes on. */
    const ingot_node *next = ingot_single_reader(graph, node->outputs[0]);
    if (ingot_has_constant_statistics(graph, next, &other) && next->inputs[0] == node->outputs[0] && other == n)
        return INGOT_OK; /* that one ends the row */
    int n_row = 1, first = index;
    for (;;) { /* up to the first of the row */
        const int up = ingot_node_of(graph, graph->nodes[first]->inputs[0]);
        if (up == INGOT_NONE || !ingot_has_constant_statistics(graph, graph->nodes[up], &other) || other != n ||
            ingot_graph_only_user(graph, graph->nodes[first]->inputs[0]) == INGOT_NONE)
            break;
        first = up;
        n_row++;
    }
    double *numbers = ingot_alloc(graph->arena->memory, 2 * (size_t)n * sizeof *numbers);
    if (!numbers)
        return ingot_pass_out_of_memory(c);
    /* Begin with the identity, y = x * 1 + 0. */
    ingot_affine affine = {n, numbers, numbers + n, 0};
    for (int64_t i = 0; i < n; i++) {
        affine.scale[i] = 1;
        affine.shift[i] = 0;
    }
    /* Compose from the first of the row down to its last. */
    bool finite = true;
    for (int at = first; finite;) {
        finite = ingot_append_normalization(graph, graph->nodes[at], &affine);
        if (at == index)
            break;
        at = ingot_graph_only_user(graph, graph->nodes[at]->outputs[0]);
    }
    ingot_status status = INGOT_OK;
    if (finite)
        status = fold_row(c, shapes, index, n_row, graph->nodes[first]->inputs[0], &affine);
    else
        ingot_pass_kept(c, node, "a factor is not a finite number");
    ingot_release(graph->arena->memory, numbers);
    return status;
}

/* In running order, so that the nodes of a row are met before the one that ends it. */
static ingot_status fold_all(ingot_pass_ctx *c, const ingot_shapes *shapes)
{
    ingot_status status = INGOT_OK;
    for (int i = 0; !status && i < c->graph->n_nodes; i++)
        if (ingot_is_op(c->graph->nodes[i], "BatchNormalization"))
            status = fold_one(c, shapes, i);
    return status;
}

/* Before: y = BatchNormalization(Conv(x, W, b)); after: y = Conv(x, W * s, b * s + t). */
ingot_status ingot_fold_batch_normalization(ingot_pass_ctx *c) { return ingot_with_shapes(c, fold_all); }
