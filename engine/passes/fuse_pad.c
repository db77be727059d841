/* fuse_pad.c - a Pad in front of a Conv or pooling becomes padding of its own, where both mean the same: zeros for Conv
 * and for an average that counts its padding, minus infinity for a maximum (or zeros, when nothing is below zero). */
#include "engine/passes/pass.h"

#include <math.h>
#include <string.h>

#include "engine/passes/rewrite.h"

enum { MAX_AMOUNT = 1 << 20 };

/* A Pad of constant mode, as ONNX lists it: amounts[axis] before and amounts[rank + axis] behind. */
typedef struct padding {
    int rank;
    int64_t amounts[2 * INGOT_MAX_RANK]; /* begins, then ends, of every axis */
    double value;
} padding;

/* What a Pad of mode constant adds; false when that is not constant, or touches the first two axes, or cuts. Pad-18's
 * input 3, axes, is not looked into: such a Pad stays. Larger amounts stay as well: what is padded might be too
 * large. */
static bool read_padding(const ingot_graph *graph, const ingot_node *pad, padding *p)
{
    int n;
    p->value = 0;
    if (strcmp(ingot_attr_string(pad, "mode", "constant"), "constant") || ingot_input(pad, 3) != INGOT_NONE ||
        ingot_input(pad, 0) == INGOT_NONE ||
        !ingot_constant_ints(graph, ingot_input(pad, 1), p->amounts, 2 * INGOT_MAX_RANK, &n) || n < 6 || n % 2 ||
        (ingot_input(pad, 2) != INGOT_NONE && !ingot_constant_number(graph, pad->inputs[2], &p->value)))
        return false;
    p->rank = n / 2;
    for (int i = 0; i < n; i++)
        if (p->amounts[i] < 0 || p->amounts[i] > MAX_AMOUNT || (i % p->rank < 2 && p->amounts[i]))
            return false;
    return true;
}

/* Then padding with 0 and with minus infinity give the same maximum. A fused activation is what the value was last put
 * through. */
static bool is_never_negative(const ingot_graph *graph, int value)
{
    const ingot_node *node = ingot_producer(graph, value);
    if (node && node->n_fused)
        node = node->fused[node->n_fused - 1].node;
    return ingot_is_op(node, "Relu") || ingot_is_op(node, "Sigmoid");
}

/* Is every window of a pooling sure to hold an element that is no padding? ONNX lists the pads of pooling as all
 * begins, then all ends, hence the index modulo n_spatial. Dilated windows and a rounded up size are not looked
 * into. */
static bool pads_fit_windows(const ingot_node *node, const int64_t *pads, int n_spatial)
{
    const ingot_attr *kernel = ingot_node_attr(node, "kernel_shape");
    if (!kernel || kernel->type != INGOT_ATTR_INTS || kernel->n != (size_t)n_spatial ||
        ingot_attr_int(node, "ceil_mode", 0) || ingot_node_attr(node, "dilations"))
        return false;
    for (int i = 0; i < 2 * n_spatial; i++)
        if (pads[i] >= kernel->ints[i % n_spatial])
            return false;
    return true;
}

/* Does padding with p.value ahead of `node` mean what padding by the node itself would? An average that did not count
 * its own padding cannot start to, unless it had none. MaxPool pads with minus infinity, and its second output would
 * number elements of the padded image. */
static bool means_the_same(const ingot_graph *graph, const ingot_node *node, const ingot_node *pad, const padding *p,
                           const int64_t *pads, bool had_pads)
{
    const int n_spatial = p->rank - 2;
    if (ingot_is_op(node, "Conv"))
        return p->value == 0;
    if (ingot_is_op(node, "AveragePool"))
        return p->value == 0 && (!had_pads || ingot_attr_int(node, "count_include_pad", 0)) &&
               pads_fit_windows(node, pads, n_spatial);
    return ingot_is_op(node, "MaxPool") && node->n_outputs == 1 && pads_fit_windows(node, pads, n_spatial) &&
           ((p->value == 0 && is_never_negative(graph, pad->inputs[0])) || (isinf(p->value) && p->value < 0));
}

/* The padding that `node` would have with that of the Pad before it; false where that cannot be. SAME computes its own
 * padding from sizes, so it cannot be added to; VALID is no padding. An overflow of the sum is a no. */
static bool add_padding(const ingot_graph *graph, const ingot_node *node, const ingot_node *pad, const padding *p,
                        int64_t *pads)
{
    const ingot_attr *own = ingot_node_attr(node, "pads");
    const char *auto_pad = ingot_attr_string(node, "auto_pad", "NOTSET");
    const int n_spatial = p->rank - 2;
    bool had_pads = false;
    if (strcmp(auto_pad, "NOTSET") && strcmp(auto_pad, "VALID"))
        return false;
    if (own && (own->type != INGOT_ATTR_INTS || own->n != 2 * (size_t)n_spatial || !strcmp(auto_pad, "VALID")))
        return false;
    for (int i = 0; i < 2 * n_spatial; i++) {
        pads[i] = p->amounts[i < n_spatial ? i + 2 : i + 4];
        if (own && own->ints[i] < 0)
            return false;
        had_pads |= own && own->ints[i];
        if (own && __builtin_add_overflow(pads[i], own->ints[i], &pads[i]))
            return false;
    }
    return means_the_same(graph, node, pad, p, pads, had_pads);
}

/* Let node `index`, which reads the result of `pad`, pad by itself. False when memory is out. auto_pad goes, as VALID
 * would forbid the pads. */
static bool fuse(ingot_graph *graph, int index, const ingot_node *pad, const int64_t *pads, int n_spatial)
{
    ingot_node *node = graph->nodes[index];
    ingot_node_remove_attr(node, "auto_pad");
    return ingot_node_set_ints(graph, node, "pads", pads, 2 * (size_t)n_spatial) &&
           (!ingot_is_op(node, "AveragePool") || ingot_node_set_int(graph, node, "count_include_pad", 1)) &&
           ingot_node_set_input(graph, index, 0, pad->inputs[0]);
}

/* The Pad stays where others read it too; dead-code takes it out otherwise. Before: y = Conv(Pad(x)); after: y =
 * Conv(x) with larger pads. */
ingot_status ingot_fuse_pad(ingot_pass_ctx *c)
{
    ingot_graph *graph = c->graph;
    for (int i = 0; i < graph->n_nodes; i++) {
        const ingot_node *node = graph->nodes[i];
        if (!ingot_is_op(node, "Conv") && !ingot_is_op(node, "AveragePool") && !ingot_is_op(node, "MaxPool"))
            continue;
        const ingot_node *pad = ingot_producer(graph, ingot_input(node, 0));
        padding p;
        if (!ingot_is_op(pad, "Pad"))
            continue;
        int64_t pads[2 * INGOT_MAX_RANK];
        if (!read_padding(graph, pad, &p) || !add_padding(graph, node, pad, &p, pads)) {
            ingot_pass_kept(c, pad, "the %s after it would pad differently", node->op_type);
            continue;
        }
        if (!fuse(graph, i, pad, pads, p.rank - 2))
            return ingot_pass_out_of_memory(c);
        c->n_done++;
    }
    return INGOT_OK;
}
