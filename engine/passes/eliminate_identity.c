/* eliminate_identity.c - takes out nodes that give back what they get: Identity, a Dropout that is not training, casts
 * to the type a value has, reshapes to the shape it has, adding 0 and multiplying by 1; and an Expand to what its
 * reader broadcasts to anyway. A CastLike whose type is known becomes a Cast on the way, so that it no longer hangs on
 * the value it copies the type of. */
#include "engine/passes/pass.h"

#include <string.h>

#include "engine/passes/rewrite.h"
#include "engine/passes/shapes.h"
#include "ops/op.h"

/* What the questions below are asked of: one node, and what is known of the shapes around it. */
typedef struct lookup {
    const ingot_graph *graph;
    const ingot_shapes *shapes;
    const ingot_node *node;
} lookup;

/* What is known of the input; an input left out is of unknown type and rank. */
static const ingot_shape *in(const lookup *l, int slot)
{
    return ingot_shape_of(l->shapes, ingot_input(l->node, slot));
}

/* For rows whose operator is an identity whatever its attributes. */
static bool always(const lookup *l)
{
    (void)l;
    return true;
}

/* Without training_mode, or with a constant false, and nobody asking for the mask. Source: ONNX, Dropout-13: with
 * training_mode false it copies data, and the mask is all true. */
static bool dropout(const lookup *l)
{
    const int mode = ingot_input(l->node, 2), ratio = ingot_input(l->node, 1);
    double training = 0;
    const ingot_const *constant = ingot_constant(l->graph, mode), *rate = ingot_constant(l->graph, ratio);
    if (ratio != INGOT_NONE && (!rate || ingot_count(&rate->tensor) != 1))  /* the operator asks for one number */
        return false;
    if (constant && constant->tensor.dtype == INGOT_BOOL && ingot_count(&constant->tensor) == 1) {
        bool value;
        ingot_const_read(constant, &value);
        training = value;
    } else if (mode != INGOT_NONE) {
        return false;
    }
    for (int i = 1; i < l->node->n_outputs; i++)
        if (l->node->outputs[i] != INGOT_NONE &&
            (l->graph->values[l->node->outputs[i]].n_uses || l->graph->values[l->node->outputs[i]].n_outputs))
            return false;
    return training == 0;
}

/* The type must be known; a declared one could be wrong. UNDEFINED on both sides would mean that neither is known, so
 * the first must be set. */
static bool cast(const lookup *l)
{
    return in(l, 0)->dtype && in(l, 0)->dtype == ingot_attr_dtype(l->node, "to", INGOT_UNDEFINED);
}

/* The axes stay where they are, each of them. Without perm they are reversed, which matters from rank 2 on. */
static bool transpose(const lookup *l)
{
    const ingot_attr *perm = ingot_node_attr(l->node, "perm");
    if (!perm)
        return in(l, 0)->rank == 0 || in(l, 0)->rank == 1;
    if (in(l, 0)->rank != (int)perm->n)
        return false;
    for (size_t i = 0; i < perm->n; i++)
        if (perm->type != INGOT_ATTR_INTS || perm->ints[i] != (int64_t)i)
            return false;
    return true;
}

/* Every size to expand to is 1 or the input's own. The shape of the result does not tell: it is that of an Expand which
 * is not refused. */
static bool expand(const lookup *l)
{
    const ingot_shape *x = in(l, 0), *to = in(l, 1);
    bool same = to->n_elements >= 0 && to->n_elements <= x->rank;
    for (int d = 1; same && d <= to->n_elements; d++)
        same = to->elements[to->n_elements - d] == 1 || to->elements[to->n_elements - d] == x->dim[x->rank - d];
    return same;
}

/* Does the one reader broadcast by itself, to the shape that its other input has? Sizes must fit: an Expand that would
 * be refused stays. */
static bool expand_for_reader(const lookup *l)
{
    static const char *const readers[] = {"Add", "Sub", "Mul", "Div", "Pow"};
    const int out = l->node->outputs[0];
    const ingot_shape *x = in(l, 0), *to = in(l, 1), *y = ingot_shape_of(l->shapes, out);
    const ingot_node *reader = ingot_single_reader(l->graph, out);
    bool fits = false;
    for (size_t i = 0; i < sizeof readers / sizeof *readers; i++)
        fits |= reader && ingot_is_op(reader, readers[i]);
    if (!fits || reader->n_inputs != 2 || reader->n_fused || x->rank < 0 || to->n_elements < 0)
        return false;
    for (int d = 1; fits && d <= x->rank && d <= to->n_elements; d++) {
        const int64_t size = x->dim[x->rank - d], wanted = to->elements[to->n_elements - d];
        fits = size == 1 || wanted == 1 || size == wanted;
    }
    const int other = reader->inputs[reader->inputs[0] == out];
    return fits && other != out && ingot_same_known_shape(y, ingot_shape_of(l->shapes, other));
}

/* With symbols, so also for a batch of any size. Elements keep their order in all three operators, so equal shapes make
 * them identities. */
static bool same_shape(const lookup *l)
{
    return ingot_same_known_shape(in(l, 0), ingot_shape_of(l->shapes, l->node->outputs[0]));
}

/* Variadic operators of one input: Sum, Max, Min, Mean. */
static bool single_input(const lookup *l) { return l->node->n_inputs == 1; }

/* The axis is one that the input has: Concat refuses others, of a single input too. */
static bool concat(const lookup *l)
{
    const int64_t axis = ingot_attr_int(l->node, "axis", 0), rank = in(l, 0)->rank;
    return l->node->n_inputs == 1 && -rank <= axis && axis < rank;
}

/* Is the value to pad with none, or one that the operator takes? */
static bool fits_pad(const lookup *l)
{
    const int value = ingot_input(l->node, 2);
    const ingot_const *constant = ingot_constant(l->graph, value);
    return value == INGOT_NONE ||
           (constant && ingot_count(&constant->tensor) == 1 && constant->tensor.dtype == in(l, 0)->dtype);
}

/* In any mode that there is: there is nothing to add. As many zeros as the axes take; a list of axes would have to be
 * checked as well, and nobody writes one for zeros. */
static bool zero_pads(const lookup *l)
{
    static const char *const modes[] = {"constant", "reflect", "edge", "wrap"};
    const char *mode = ingot_attr_string(l->node, "mode", modes[0]);
    int64_t pads[2 * INGOT_MAX_RANK];
    int n;
    bool zero = false;
    for (int i = 0; i < 4; i++)
        zero |= !strcmp(mode, modes[i]);
    zero = zero && ingot_input(l->node, 3) == INGOT_NONE && fits_pad(l) &&
           ingot_constant_ints(l->graph, ingot_input(l->node, 1), pads, 2 * INGOT_MAX_RANK, &n) &&
           n == 2 * in(l, 0)->rank;
    for (int i = 0; zero && i < n; i++)
        zero = pads[i] == 0;
    return zero;
}

/* Does the constant leave the shape of x as it is when it is broadcast with it? A single element fits into any shape,
 * but [1, 1] + a vector would have rank 2. */
static bool fits_into(const ingot_tensor *constant, const ingot_shape *x)
{
    bool fits = constant->rank == 0 || constant->rank <= x->rank;
    for (int d = 1; fits && d <= constant->rank; d++) {
        const int64_t size = constant->shape[constant->rank - d];
        fits = size == 1 || size == x->dim[x->rank - d];
    }
    return fits;
}

/* Is every element of the constant this number, such as of a mask that hides nothing? Of many elements floats alone are
 * looked at, as far as they are. */
static bool is_filled(const ingot_graph *graph, int value, const ingot_const *constant, double number)
{
    enum { PIECE = 64 };
    ingot_tensor t = constant->tensor;
    const int64_t n = t.kind == INGOT_TENSOR ? ingot_count(&t) : 0;
    double raw[PIECE], one;
    if (n == 1)
        return ingot_constant_number(graph, value, &one) && one == number;
    bool filled = n > 0 && ingot_is_float(t.dtype);
    t.data = raw;
    for (int64_t first = 0; filled && first < n; first += PIECE) {
        const int64_t piece = MIN(PIECE, n - first);
        ingot_const_read_range(constant, first, piece, raw);
        for (int64_t i = 0; filled && i < piece; i++)
            filled = ingot_double_at(&t, i) == number;
    }
    return filled;
}

/* Is input `slot` made of `neutral` alone, and no larger than the other input? The sign of a zero does not matter: x +
 * -0 is x, and x + 0 differs from x for x = -0 only. */
static bool is_neutral(const lookup *l, int slot, double neutral)
{
    const int value = ingot_input(l->node, slot);
    const ingot_const *constant = ingot_constant(l->graph, value);
    return l->node->n_inputs == 2 && constant && fits_into(&constant->tensor, in(l, 1 - slot)) &&
           is_filled(l->graph, value, constant, neutral);
}

static bool plus_zero(const lookup *l) { return is_neutral(l, 1, 0); }
static bool times_one(const lookup *l) { return is_neutral(l, 1, 1); }
static bool zero_plus(const lookup *l) { return is_neutral(l, 0, 0); }
static bool one_times(const lookup *l) { return is_neutral(l, 0, 1); }

/* Several rows of one operator are alternatives: the first that holds is taken. */
static const struct {
    const char *op_type;
    bool (*is_identity)(const lookup *l);
    int keeps; /* the input that the output equals */
} rows[] = {
    {"Identity", always, 0},    {"Dropout", dropout, 0},    {"Cast", cast, 0},         {"Transpose", transpose, 0},
    {"Reshape", same_shape, 0}, {"Flatten", same_shape, 0}, {"Expand", expand, 0},     {"Squeeze", same_shape, 0},
    {"Expand", expand_for_reader, 0},
    {"Concat", concat, 0},      {"Sum", single_input, 0},   {"Max", single_input, 0},  {"Min", single_input, 0},
    {"Mean", single_input, 0},  {"Pad", zero_pads, 0},      {"Add", plus_zero, 0},     {"Add", zero_plus, 1},
    {"Sub", plus_zero, 0},      {"Mul", times_one, 0},      {"Mul", one_times, 1},     {"Div", times_one, 0},
    {"Pow", times_one, 0},
};

/* CastLike(x, like) is Cast(x) to the type of `like` where that is known, where `like` stays. False when memory is
 * out. Other attributes stay: they mean the same in both operators. */
static bool resolve_cast_like(const lookup *l, ingot_graph *graph, int index)
{
    ingot_node *node = graph->nodes[index];
    const ingot_dtype dtype = in(l, 1)->dtype;
    if (!dtype || !ingot_value_stays(l->shapes, ingot_input(node, 1)))
        return true;
    node->op_type = "Cast";
    node->op = NULL;
    return ingot_node_set_int(graph, node, "to", dtype) && ingot_node_set_n_inputs(graph, index, 1);
}

/* Is it a tensor that the output equals? It may be a sequence where its element type is not known. */
static bool is_sure(const lookup *l, int slot)
{
    bool known;
    const ingot_op *op = ingot_op_find(l->node->domain, l->node->op_type, l->node->version, &known);
    return in(l, slot)->dtype || (op && op->flags & INGOT_OP_KINDS);
}

/* Take node `index` out where it is an identity. False when memory is out. Nodes with something fused into them are
 * left alone: they do more than their operator. A graph output is renamed where its maker can take over the name, else
 * the node is kept and reported. */
static bool eliminate(ingot_pass_ctx *c, const lookup *l, int index)
{
    const ingot_node *node = l->node;
    for (size_t r = 0; r < sizeof rows / sizeof *rows; r++) {
        if (!ingot_is_op(node, rows[r].op_type) || node->n_fused || !node->n_outputs ||
            ingot_input(node, rows[r].keeps) == INGOT_NONE || node->outputs[0] == INGOT_NONE ||
            !rows[r].is_identity(l) || !is_sure(l, rows[r].keeps) || !ingot_types_fit(l->shapes, node))
            continue;
        bool done;
        if (!ingot_bypass(c->graph, index, node->inputs[rows[r].keeps], &done))
            return false;
        if (done)
            c->n_done++;
        else
            ingot_pass_kept(c, node, "it gives a graph output its name");
        return true;
    }
    return true;
}

/* Shapes are computed once: taking out an identity changes no shape of the values that stay. Before: y = Identity(x),
 * f(y); after: f(x). */
ingot_status ingot_eliminate_identity(ingot_pass_ctx *c)
{
    ingot_graph *graph = c->graph;
    ingot_shapes shapes;
    bool ok = ingot_shapes_infer(&shapes, graph, c->is_main);
    for (int i = 0; ok && i < graph->n_nodes; i++) {
        const lookup l = {graph, &shapes, graph->nodes[i]};
        ok = (!ingot_is_op(l.node, "CastLike") || resolve_cast_like(&l, graph, i)) && eliminate(c, &l, i);
    }
    ingot_shapes_free(&shapes);
    return ok ? INGOT_OK : ingot_pass_out_of_memory(c);
}
