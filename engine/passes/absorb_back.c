/* absorb_back.c - folding scale and shift into what computes a value. The search walks up from the value through nodes
 * that pass a factor on (Transpose, Reshape, Concat, Add of a constant, pooling) to nodes with constant weights, and
 * only when every way ends in such a node does the second step change anything. A list of places to visit stands in
 * for recursion. */
#include <stdio.h>
#include <string.h>

#include "engine/passes/absorb.h"
#include "engine/passes/rewrite.h"

enum { MAX_PLACES = 32 };

/* A value on the way up: channels [first, first + n) of the affine lie along `axis` of it. */
typedef struct place {
    int value, axis, rank; /* rank -1: not known */
    int64_t first, n;
    bool shift; /* the shift goes this way, too: not above an Add of a constant, which takes it */
} place;

/* The walk upwards. `places` is both the list of what is still to be looked at and, when the check has passed
 * everywhere, of what has to be changed; it lies on the caller's stack. */
typedef struct search {
    ingot_absorb *a;
    ingot_graph *graph;
    int n_places;
    place places[MAX_PLACES];
} search;

/* Keep the first reason: later ones are about places that do not matter any more. `format` has one %s, for `what`; the
 * report shows the text behind the name of the node that stays. Returns false, so that a check can return the call. */
static bool refuse(search *s, const char *format, const char *what)
{
    if (!*s->a->reason)
        snprintf(s->a->reason, sizeof s->a->reason, format, what);
    return false;
}

/* Ways fork at a Concat only; more than MAX_PLACES of them are not worth following. */
static bool add_place(search *s, place p)
{
    if (p.value == INGOT_NONE || s->n_places == MAX_PLACES)
        return refuse(s, "its input comes from too many nodes%s", "");
    s->places[s->n_places++] = p;
    return true;
}

/* ---- may it be? Each function looks at one node and adds the places above it ---- */

/* Output channels are axis 0 of the weights. Weights have rank 3 at least (oc, ic / group, kernel...), and a bias that
 * is left out counts as constant: it is made. */
static bool check_conv(search *s, const place *p, const ingot_node *node)
{
    const int weights = ingot_input(node, 1);
    if (p->axis != 1 || !ingot_is_weights(s->graph, weights, 3) ||
        !ingot_is_row_bias(s->graph, ingot_input(node, 2), p->n))
        return refuse(s, "the weights or bias of its %s are not constant", node->op_type);
    return s->graph->values[weights].constant->tensor.shape[0] == p->n ||
           refuse(s, "channels of its %s differ", "Conv");
}

/* Output channels are axis 1 of the weights, times groups along axis 0. ONNX has the weights as (ic, oc / group,
 * kernel...), so the count along axis 1 alone does not tell oc. Rows of one group stand together, which is why axis 0
 * has to be a multiple of group. */
static bool check_conv_transpose(search *s, const place *p, const ingot_node *node)
{
    const int weights = ingot_input(node, 1);
    const int64_t group = ingot_attr_int(node, "group", 1);
    if (p->axis != 1 || !ingot_is_weights(s->graph, weights, 3) ||
        !ingot_is_row_bias(s->graph, ingot_input(node, 2), p->n))
        return refuse(s, "the weights or bias of its %s are not constant", node->op_type);
    const int64_t *shape = s->graph->values[weights].constant->tensor.shape;
    return (group > 0 && p->n % group == 0 && shape[1] == p->n / group && shape[0] % group == 0) ||
           refuse(s, "channels of its %s differ", "ConvTranspose");
}

/* Channels are the columns of the product. A bias that differs from row to row cannot take a shift along them. B is (k,
 * n), or (n, k) with transB; C broadcasts to (m, n), and is taken only as a row or as one number. */
static bool check_gemm(search *s, const place *p, const ingot_node *node)
{
    const int weights = ingot_input(node, 1);
    if (p->axis != 1 || !ingot_is_weights(s->graph, weights, 2) ||
        !ingot_is_row_bias(s->graph, ingot_input(node, 2), p->n))
        return refuse(s, "the weights or bias of its %s are not constant", node->op_type);
    const ingot_tensor *t = &s->graph->values[weights].constant->tensor;
    return (t->rank == 2 && t->shape[ingot_attr_int(node, "transB", 0) ? 0 : 1] == p->n) ||
           refuse(s, "channels of its %s differ", "Gemm");
}

/* Channels are the columns, so the last axis: the rank must be known to tell that they are. Weights of a higher rank
 * are a stack of matrices whose last axis is the columns in each of them. */
static bool check_matmul(search *s, const place *p, const ingot_node *node)
{
    const int weights = ingot_input(node, 1);
    if (!ingot_is_weights(s->graph, weights, 2))
        return refuse(s, "the weights of its %s are not constant", "MatMul");
    const ingot_tensor *t = &s->graph->values[weights].constant->tensor;
    if (p->rank < 0)
        return refuse(s, "the rank of its %s is not known", "MatMul");
    if (p->shift && !s->a->adds_nodes)
        return refuse(s, "its %s has no bias", "MatMul");
    return (p->axis == p->rank - 1 && t->shape[t->rank - 1] == p->n) ||
           refuse(s, "its channels are not the columns of its %s", "MatMul");
}

/* Does constant `value`, broadcast into a value of p's rank, vary along p's axis at most? Its count is then 1 or p->n.
 * The constant may have a lower rank than p: ONNX aligns shapes at their ends before it broadcasts. */
static bool is_channel_constant(const ingot_graph *graph, const place *p, int value)
{
    if (p->rank < 0 || !ingot_is_weights(graph, value, 0))
        return false;
    const ingot_tensor *t = &graph->values[value].constant->tensor;
    if (t->rank > p->rank)
        return false;
    for (int d = 0; d < t->rank; d++)
        if (t->shape[d] != 1 && (d + p->rank - t->rank != p->axis || t->shape[d] != p->n))
            return false;
    return true;
}

/* The slot of an Add whose input is constant, or INGOT_NONE. */
static int constant_operand(const ingot_graph *graph, const ingot_node *node)
{
    return ingot_constant(graph, ingot_input(node, 1))   ? 1
           : ingot_constant(graph, ingot_input(node, 0)) ? 0
                                                         : INGOT_NONE;
}

/* (x + b) * s + t = x * s + (b * s + t): the constant takes the shift, what is above it the scale. A constant of p's
 * rank could be what gives the sum its rank, so the other operand must be proven to have that rank too. */
static bool check_add(search *s, const place *p, const ingot_node *node)
{
    const int slot = constant_operand(s->graph, node);
    if (slot != INGOT_NONE) {
        place up = *p;
        up.value = ingot_input(node, 1 - slot);
        up.shift = false;
        return is_channel_constant(s->graph, p, ingot_input(node, slot)) &&
                       (ingot_constant(s->graph, node->inputs[slot])->tensor.rank < p->rank ||
                        ingot_shape_of(s->a->shapes, up.value)->rank == p->rank)
                   ? add_place(s, up)
                   : refuse(s, "its input comes from %s of a constant", "Add");
    }
    return refuse(s, "its input comes from %s",
                  node->op_type); /* two sums rounded where one was: seen to cost accuracy */
}

/* Channels come from another axis; perm also tells the rank. */
static bool check_transpose(search *s, const place *p, const ingot_node *node)
{
    const ingot_attr *perm = ingot_node_attr(node, "perm");
    if (!perm || perm->type != INGOT_ATTR_INTS || perm->n > INGOT_MAX_RANK || (size_t)p->axis >= perm->n ||
        perm->ints[p->axis] < 0 || perm->ints[p->axis] >= (int64_t)perm->n)
        return refuse(s, "its input comes from %s", node->op_type);
    place up = *p;
    up.value = ingot_input(node, 0);
    up.rank = (int)perm->n;
    up.axis = (int)perm->ints[p->axis];
    return add_place(s, up);
}

/* Each operand takes its own range of channels, so all of their numbers must be known. Where a channel count is a
 * symbol, the range of the operands behind it could not be told. */
static bool check_concat(search *s, const place *p, const ingot_node *node)
{
    int64_t first = p->first;
    if (ingot_attr_int(node, "axis", INGOT_MAX_RANK) != p->axis)
        return refuse(s, "its input comes from %s along another axis", node->op_type);
    for (int i = 0; i < node->n_inputs; i++) {
        const ingot_shape *shape = ingot_shape_of(s->a->shapes, ingot_input(node, i));
        if (shape->rank <= p->axis || shape->dim[p->axis] < 0)
            return refuse(s, "its input comes from %s of values with unknown channels", node->op_type);
        const place up = {node->inputs[i], p->axis, shape->rank, first, shape->dim[p->axis], p->shift};
        if (!add_place(s, up))
            return false;
        first += up.n;
    }
    return first == p->first + p->n || refuse(s, "channels of its %s differ", "Concat");
}

/* Elements behind an axis, or 0 where they are not known or too many. */
static int64_t elements_behind(const ingot_shape *shape, int axis)
{
    int64_t n = 1;
    for (int d = axis + 1; d < shape->rank; d++)
        if (shape->dim[d] < 0 || __builtin_mul_overflow(n, shape->dim[d], &n))
            return 0;
    return n;
}

/* Elements stay in order, so channels come from the axis of the same size with as many elements behind it; those
 * before it need not be known. */
static bool check_reshape(search *s, const place *p, const ingot_node *node)
{
    const ingot_shape *to = ingot_shape_of(s->a->shapes, p->value);
    const ingot_shape *from = ingot_shape_of(s->a->shapes, ingot_input(node, 0));
    const int64_t behind = elements_behind(to, p->axis);
    int axis = from->rank - 1;
    while (axis >= 0 && (from->dim[axis] != p->n || elements_behind(from, axis) != behind))
        axis--;
    if (axis < 0 || behind == 0 || to->rank <= p->axis || to->dim[p->axis] != p->n)
        return refuse(s, "its input comes from %s of other channels", node->op_type);
    return add_place(s, (place){node->inputs[0], axis, from->rank, p->first, p->n, p->shift});
}

/* An average of x * scale + shift is the average of x, scaled and shifted, as long as padding is not counted. An
 * average that counts padding mixes zeros in, and those would have to be -shift / scale; so would one of padding alone,
 * which a window reaches whose padding is as long as it is, or that leaves elements out. */
static bool check_average(search *s, const place *p, const ingot_node *node)
{
    const ingot_attr *pads = ingot_node_attr(node, "pads"), *kernel = ingot_node_attr(node, "kernel_shape");
    bool padded =
        !strncmp(ingot_attr_string(node, "auto_pad", "NOTSET"), "SAME", 4) || ingot_attr_int(node, "ceil_mode", 0);
    bool reaches = true;
    for (size_t i = 0; pads && pads->type == INGOT_ATTR_INTS && i < pads->n; i++) {
        padded |= pads->ints[i] != 0;
        reaches &= pads->ints[i] <= 0 || (kernel && kernel->type == INGOT_ATTR_INTS && 2 * kernel->n == pads->n &&
                                          pads->ints[i] < kernel->ints[i % kernel->n]);
    }
    if (p->axis != 1 || !reaches ||
        (padded && (ingot_attr_int(node, "count_include_pad", 0) || ingot_node_attr(node, "dilations"))))
        return refuse(s, "its input comes from a padded %s", node->op_type);
    place up = *p;
    up.value = ingot_input(node, 0);
    return add_place(s, up);
}

/* The largest of x * scale + shift is that of x, scaled and shifted, as long as no factor is negative. */
static bool check_max(search *s, const place *p, const ingot_node *node)
{
    if (p->axis != 1 || node->n_outputs != 1)
        return refuse(s, "its input comes from %s", node->op_type);
    for (int64_t i = 0; i < p->n; i++)
        if (!(s->a->affine->scale[p->first + i] > 0))
            return refuse(s, "its input comes from %s and a factor is not positive", node->op_type);
    place up = *p;
    up.value = ingot_input(node, 0);
    return add_place(s, up);
}

/* ---- do it: new constants for one node. False when memory is out ---- */

/* The bias of Conv, ConvTranspose or Gemm, scaled and shifted; named after the weights where there was none. Where the
 * shift stays with an Add further down, the old bias is scaled only. Returns the id of the new constant, INGOT_NONE
 * when memory is out. */
static int scaled_bias(search *s, const place *p, const ingot_node *node, double factor)
{
    static const double zeros[1] = {0};
    const ingot_graph *graph = s->graph;
    const ingot_affine *affine = s->a->affine;
    const int old = ingot_input(node, 2), weights = ingot_input(node, 1);
    const char *name = graph->values[old == INGOT_NONE ? weights : old].name;
    double *none = NULL;
    if (!p->shift && p->n > 1 && !(none = ingot_alloc(graph->arena->memory, (size_t)p->n * sizeof *none)))
        return INGOT_NONE;
    /* Zeros in the place of the shift; for one channel the static one will do. */
    for (int64_t i = 0; none && i < p->n; i++)
        none[i] = 0;
    const int id = ingot_affine_bias(s->graph, old, name, graph->values[weights].constant->tensor.dtype, p->n, factor,
                                     affine->scale + p->first,
                                     p->shift ? affine->shift + p->first
                                     : none   ? none
                                              : zeros);
    ingot_release(graph->arena->memory, none);
    return id;
}

/* W[oc] * s[oc] and b * s + t. `index` is the node's number in the graph: adding constants may move graph->values, but
 * nodes stay where they are. */
static bool apply_conv(search *s, const place *p, int index)
{
    const ingot_node *node = s->graph->nodes[index];
    const int bias = scaled_bias(s, p, node, 1);
    return ingot_set_weights(s->graph, index,
                             ingot_scale_axis(s->graph, node->inputs[1], 0, s->a->affine->scale + p->first), bias);
}

/* As apply_conv, with factors that go with group and axis 1. */
static bool apply_conv_transpose(search *s, const place *p, int index)
{
    const ingot_node *node = s->graph->nodes[index];
    const int bias = scaled_bias(s, p, node, 1);
    const int64_t group = ingot_attr_int(node, "group", 1);
    return ingot_set_weights(
        s->graph, index, ingot_scale_groups(s->graph, node->inputs[1], group, s->a->affine->scale + p->first), bias);
}

/* alpha stays with the product; beta goes into the new bias. Y = alpha * A B + beta * C, so (alpha * A B) * s needs s
 * in B alone, while C becomes beta * C * s + t with a beta of 1. */
static bool apply_gemm(search *s, const place *p, int index)
{
    ingot_node *node = s->graph->nodes[index];
    const int axis = ingot_attr_int(node, "transB", 0) ? 0 : 1;
    const int bias = scaled_bias(s, p, node, (double)ingot_attr_float(node, "beta", 1));
    ingot_node_remove_attr(node, "beta");
    return ingot_set_weights(s->graph, index,
                             ingot_scale_axis(s->graph, node->inputs[1], axis, s->a->affine->scale + p->first), bias);
}

/* MatMul has no bias, so a shift becomes an Add behind it. The product then gets a new output, and the Add makes the
 * value that readers know. */
static bool apply_matmul(search *s, const place *p, int index)
{
    ingot_graph *graph = s->graph;
    ingot_node *node = graph->nodes[index];
    const ingot_tensor *t = &graph->values[node->inputs[1]].constant->tensor;
    const int out = node->outputs[0];
    const int weights = ingot_scale_axis(graph, node->inputs[1], t->rank - 1, s->a->affine->scale + p->first);
    if (weights == INGOT_NONE || !ingot_node_set_input(graph, index, 1, weights))
        return false;
    if (!p->shift)
        return true;
    const int sum[2] = {ingot_add_unique_value(graph, graph->values[out].name),
                        ingot_affine_bias(graph, INGOT_NONE, graph->values[weights].name, t->dtype, p->n, 1, NULL,
                                          s->a->affine->shift + p->first)};
    return sum[0] != INGOT_NONE && sum[1] != INGOT_NONE && ingot_node_set_output(graph, index, 0, sum[0]) &&
           ingot_graph_add_node(graph, node->name, "Add", "", 14, sum, 2, &out, 1);
}

/* The new constant varies along the channels even where the old one was a single number. It keeps the type of the old
 * one, and has as few dimensions as it takes to lie along p's axis: (n, 1, 1) for channels of an image. False when
 * memory is out. */
static bool apply_add(search *s, const place *p, int index)
{
    ingot_graph *graph = s->graph;
    const ingot_node *node = graph->nodes[index];
    const ingot_affine *affine = s->a->affine;
    const int slot = constant_operand(graph, node);
    const int old = node->inputs[slot];
    const ingot_tensor *t = &graph->values[old].constant->tensor;
    double *bias = ingot_row_doubles(graph, old, p->n);
    int64_t shape[INGOT_MAX_RANK] = {p->n};
    const int rank = p->rank - p->axis;
    for (int d = 1; d < rank; d++)
        shape[d] = 1;
    for (int64_t i = 0; bias && i < p->n; i++)
        bias[i] = bias[i] * affine->scale[p->first + i] + (p->shift ? affine->shift[p->first + i] : 0);
    const int id = bias ? ingot_add_doubles(graph, graph->values[old].name, t->dtype, rank, shape, bias) : INGOT_NONE;
    ingot_release(graph->arena->memory, bias);
    return id != INGOT_NONE && ingot_node_set_input(graph, index, slot, id);
}

/* What scale and shift can go through, or end in. A row with check alone passes them on to the places that check
 * added. */
static const struct row {
    const char *op_type;
    bool (*check)(search *s, const place *p, const ingot_node *node);
    bool (*apply)(search *s, const place *p, int index); /* NULL: nothing but its inputs changes */
} rows[] = {
    {"Conv", check_conv, apply_conv},
    {"ConvTranspose", check_conv_transpose, apply_conv_transpose},
    {"Gemm", check_gemm, apply_gemm},
    {"MatMul", check_matmul, apply_matmul},
    {"Add", check_add, apply_add},
    {"Transpose", check_transpose, NULL},
    {"Concat", check_concat, NULL},
    {"Reshape", check_reshape, NULL},
    {"Flatten", check_reshape, NULL},
    {"AveragePool", check_average, NULL},
    {"GlobalAveragePool", check_average, NULL},
    {"MaxPool", check_max, NULL},
    {"GlobalMaxPool", check_max, NULL},
};

/* The rules for the node's operator, or NULL for one that nothing is folded into. Only operators of the default domain
 * have a row. */
static const struct row *find_row(const ingot_node *node)
{
    for (size_t r = 0; r < sizeof rows / sizeof *rows; r++)
        if (ingot_is_op(node, rows[r].op_type))
            return &rows[r];
    return NULL;
}

/* Is the value read here alone, and made by a node that is known? Another reader, or a graph output, would see values
 * that are scaled. Fused nodes come after the node's own result, where a factor cannot be put. False with a reason in
 * the search. */
static bool check(search *s, const place *p)
{
    const ingot_value *value = &s->graph->values[p->value];
    const ingot_node *node = ingot_producer(s->graph, p->value);
    char count[16];
    snprintf(count, sizeof count, "%d", value->n_uses);
    if (value->n_uses > 1)
        return refuse(s, "its input feeds %s nodes", count);
    if (value->n_outputs)
        return refuse(s, "its input is a graph output%s", "");
    if (!node)
        return refuse(s, value->is_input ? "its input is a graph input%s" : "its input has no node%s", "");
    const struct row *row = find_row(node);
    if (!row || node->n_fused || node->outputs[0] != p->value)
        return refuse(s, "its input comes from %.60s", node->op_type);
    return row->check(s, p, node);
}

/* A value that means something else now must not keep its name. Place 0 is the caller's value, which the caller
 * replaces itself. False when memory is out. */
static bool rename_value(ingot_graph *graph, int value)
{
    const int maker = graph->values[value].producer;
    const int renamed = ingot_add_unique_value(graph, graph->values[value].name);
    return renamed != INGOT_NONE && ingot_graph_replace(graph, value, renamed) &&
           ingot_node_set_output(graph, maker, 0, renamed);
}

/* Two walks over the same list: the first only looks and fills it, so a refusal anywhere leaves the graph alone; the
 * second changes constants. Values between get new names, as their elements are others now. Returns INGOT_OK with *done
 * false where the graph is as before, and INGOT_LIMIT when memory is out: the graph is then half changed and must not
 * be used. */
ingot_status ingot_absorb_back(ingot_absorb *a, int value, int axis, bool *done)
{
    search s = {.a = a, .graph = a->c->graph};
    *done = false;
    add_place(&s, (place){value, axis, ingot_shape_of(a->shapes, value)->rank, 0, a->affine->n, true});
    /* Look: the list grows while it is walked. */
    for (int i = 0; i < s.n_places; i++) {
        const place p = s.places[i];
        if (!check(&s, &p))
            return INGOT_OK;
    }
    for (int i = 0; i < s.n_places; i++) {
        const place *p = &s.places[i];
        const int index = s.graph->values[p->value].producer;
        const struct row *row = find_row(s.graph->nodes[index]);
        if (row->apply && !row->apply(&s, p, index))
            return ingot_pass_out_of_memory(a->c);
    }
    for (int i = 1; i < s.n_places; i++)
        if (!rename_value(s.graph, s.places[i].value))
            return ingot_pass_out_of_memory(a->c);
    *done = true;
    return INGOT_OK;
}
