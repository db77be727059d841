/* pick_early.c - where one index of an axis is all that is read, what leads there is computed for that index alone: a
 * Gather moves up through operators that treat the indices of its axis apart. A network that classifies by its first
 * token loses most of its last layer's arithmetic so. Before: Gather(f(x), i); after: Gather(f(Gather(x, [i])), 0),
 * where the axis stays and is 1 long. */
#include "engine/passes/pass.h"

#include <string.h>

#include "engine/passes/rewrite.h"
#include "engine/passes/shapes.h"

enum { MAX_SOURCES = 4, MOST_INDEX = 1 << 30 };

/* What the readers of a value ask for: n of them one index of an axis, as the node `gather` does first. n is -1 where
 * they differ. */
typedef struct want {
    int n, axis, gather;
    int64_t index;
    int picked; /* the value of that index alone, once there is one */
} want;

/* One graph. wants and moves are of the values and nodes that there were when it was looked at. */
typedef struct mover {
    ingot_graph *graph;
    const ingot_shapes *shapes;
    want *wants;
    bool *moves; /* nodes that a Gather moves past */
    bool pays;   /* a product is among them */
} mover;

/* An input that is to be picked from, along an axis of its own. */
typedef struct source {
    int node, slot, axis;
} source;

/* A node to move past: its number, what is known of its output, and the axis there. */
typedef struct past {
    const mover *m;
    const ingot_node *node;
    int index, axis;
    const ingot_shape *y;
} past;

static past at_node(const mover *m, int index, int axis)
{
    const ingot_node *node = m->graph->nodes[index];
    return (past){m, node, index, axis, ingot_shape_of(m->shapes, ingot_output(node))};
}

static const ingot_shape *shape_in(const past *p, int slot)
{
    return ingot_shape_of(p->m->shapes, ingot_input(p->node, slot));
}

/* The operands from `first` on that this axis runs through; in the others it is 1 long, or not there. -1: it cannot be
 * told. */
static int broadcast_sources(const past *p, int first, source *from)
{
    int n = 0;
    for (int i = first; i < p->node->n_inputs; i++) {
        const ingot_shape *x = shape_in(p, i);
        const int axis = p->axis - p->y->rank + x->rank;
        if (x->rank < 0)
            return -1;
        if (axis < 0 || x->dim[axis] == 1)
            continue;
        if (x->dim[axis] != p->y->dim[p->axis] || n + (first > 0) == MAX_SOURCES)
            return -1;
        from[n++] = (source){p->index, i, axis};
    }
    return n;
}

static int elementwise(const past *p, source *from) { return broadcast_sources(p, 0, from); }

/* Rows from the operator's axis on are normalized, each on its own, by parameters for no other axes. */
static int rows(const past *p, source *from)
{
    const int64_t attr = ingot_attr_int(p->node, "axis", -1), axis = attr < 0 ? attr + p->y->rank : attr;
    for (int i = 1; i < p->node->n_inputs; i++)
        if (ingot_input(p->node, i) != INGOT_NONE &&
            (shape_in(p, i)->rank < 0 || shape_in(p, i)->rank > p->y->rank - axis))
            return -1;
    from[0] = (source){p->index, 0, p->axis};
    return p->axis < axis && shape_in(p, 0)->rank == p->y->rank ? 1 : -1;
}

/* Rows of the first operand, and its batches where the second has none. */
static int matmul(const past *p, source *from)
{
    const ingot_shape *a = shape_in(p, 0);
    const int row = p->y->rank - 2;
    from[0] = (source){p->index, 0, p->axis};
    return a->rank == p->y->rank && a->dim[p->axis] == p->y->dim[p->axis] &&
                   (p->axis == row || (p->axis < row && shape_in(p, 1)->rank == 2))
               ? 1
               : -1;
}

/* Rows of A, and of C where it has some. */
static int gemm(const past *p, source *from)
{
    const int n = p->axis == 0 && !ingot_attr_int(p->node, "transA", 0) ? broadcast_sources(p, 2, from + 1) : -1;
    from[0] = (source){p->index, 0, 0};
    return n < 0 ? -1 : n + 1;
}

static int transpose(const past *p, source *from)
{
    const ingot_attr *perm = ingot_node_attr(p->node, "perm");
    if (!perm || perm->type != INGOT_ATTR_INTS || perm->n != (size_t)p->y->rank || shape_in(p, 0)->rank != p->y->rank)
        return -1;
    from[0] = (source){p->index, 0, (int)perm->ints[p->axis]};
    return perm->ints[p->axis] >= 0 && perm->ints[p->axis] < p->y->rank ? 1 : -1;
}

static bool agree(const int64_t *a, const int64_t *b, int n) { return !memcmp(a, b, (size_t)n * sizeof *a); }

/* The axis of x that is this one of y, of as many elements: all sizes agree up to there, or from there on. Else -1. */
static int axis_before(const ingot_shape *x, const ingot_shape *y, int axis)
{
    const int back = axis + x->rank - y->rank;
    if (axis < x->rank && agree(x->dim, y->dim, axis + 1))
        return axis;
    return x->rank >= 0 && back >= 0 && agree(x->dim + back, y->dim + axis, y->rank - axis) ? back : -1;
}

/* The shape that the Reshape has to be given once its input is picked from along `from`: sizes that are not known are
 * copied from there, or are what is left, where they were so before. */
static bool picked_shape(const past *p, int from, int64_t *elements)
{
    const ingot_shape *x = shape_in(p, 0), *to = shape_in(p, 1), *y = p->y;
    int n_left = 0;
    for (int d = 0; d < y->rank; d++) {
        const bool left = to->n_elements == y->rank && to->elements[d] == INGOT_MINUS_ONE;
        n_left += left;
        elements[d] = d == p->axis ? 1 : y->dim[d] > 0 ? y->dim[d] : left ? -1 : 0;
        if (elements[d] == 0 && (d >= x->rank || d == from || y->dim[d] == 0 || x->dim[d] != y->dim[d]))
            return false;
    }
    return to->n_elements == y->rank && n_left <= 1;
}

/* The node that makes an input which nobody else reads, if it is this operator; *index is its number. */
static const ingot_node *only_for(const past *p, const ingot_node *reader, const char *op_type, int *index)
{
    const ingot_graph *graph = p->m->graph;
    const int value = ingot_input(reader, 0);
    const ingot_node *node = ingot_producer(graph, value);
    if (!ingot_is_op(node, op_type) || node->n_fused || node->opaque || ingot_single_reader(graph, value) != reader ||
        !ingot_types_fit(p->m->shapes, node))
        return NULL;
    *index = graph->values[value].producer;
    return node;
}

/* Reshape(Gemm(Reshape(x))), as a product of more than two dimensions is spelled: both lists of rows come from the same
 * leading dimensions, of which the axis is one. */
static int rows_of_gemm(const past *p, source *from)
{
    int at, flat_at;
    const ingot_node *product = only_for(p, p->node, "Gemm", &at);
    const ingot_node *flat = product ? only_for(p, product, "Reshape", &flat_at) : NULL;
    if (!flat || ingot_attr_int(product, "transA", 0))
        return -1;
    const ingot_shapes *shapes = p->m->shapes;
    const ingot_shape *x = ingot_shape_of(shapes, flat->inputs[0]), *to = ingot_shape_of(shapes, flat->inputs[1]);
    const ingot_shape *c = ingot_shape_of(shapes, ingot_input(product, 2)), *y = p->y, *all = shape_in(p, 0);
    if (p->axis >= y->rank - 1 || p->axis >= x->rank || !agree(x->dim, y->dim, p->axis + 1) || all->rank != 2 ||
        all->dim[1] != y->dim[y->rank - 1] || to->n_elements != 2 || to->elements[0] != INGOT_MINUS_ONE ||
        to->elements[1] <= 0 || (ingot_input(product, 2) != INGOT_NONE && (c->rank < 0 || c->rank > 1)))
        return -1;
    from[0] = (source){flat_at, 0, p->axis};
    return 1;
}

static int reshape(const past *p, source *from)
{
    int64_t elements[INGOT_SHAPE_RANK];
    const int axis = axis_before(shape_in(p, 0), p->y, p->axis);
    from[0] = (source){p->index, 0, axis};
    return !picked_shape(p, axis, elements) ? -1 : axis >= 0 ? 1 : rows_of_gemm(p, from);
}

/* How to look past an operator: its sources, or -1. */
static const struct {
    const char *op_type;
    int (*find)(const past *p, source *from);
    bool product;
} rules[] = {
    {"Add", elementwise, false},  {"Sub", elementwise, false},     {"Mul", elementwise, false},
    {"Div", elementwise, false},  {"Pow", elementwise, false},     {"Gelu", elementwise, false},
    {"Erf", elementwise, false},  {"Relu", elementwise, false},    {"Tanh", elementwise, false},
    {"Cast", elementwise, false}, {"Sigmoid", elementwise, false}, {"LayerNormalization", rows, false},
    {"Softmax", rows, false},     {"MatMul", matmul, true},        {"Gemm", gemm, true},
    {"Reshape", reshape, false},  {"Transpose", transpose, false}, {"RMSNormalization", rows, false},
};

/* What the node has to be given so that it makes one index of the axis alone; -1 where it does more than its operator
 * says, might be refused, or is not known so well. */
static int find_sources(const past *p, source *from, bool *product)
{
    size_t r = 0;
    while (r < sizeof rules / sizeof *rules && !ingot_is_op(p->node, rules[r].op_type))
        r++;
    if (r == sizeof rules / sizeof *rules || p->node->n_fused || p->node->n_outputs != 1 || p->y->rank <= p->axis ||
        !ingot_types_fit(p->m->shapes, p->node))
        return -1;
    const int n = rules[r].find(p, from);
    *product = rules[r].product || (n > 0 && from[0].node != p->index);
    return n > 0 ? n : -1;
}

/* Is it a Gather of one known index that the axis has, where it has more? */
static bool is_pick(const mover *m, int gather, want *w)
{
    const ingot_node *node = m->graph->nodes[gather];
    const ingot_shape *x = ingot_is_op(node, "Gather") ? ingot_shape_of(m->shapes, ingot_input(node, 0)) : NULL;
    double index;
    if (!x || x->rank < 1 || !ingot_constant_number(m->graph, ingot_input(node, 1), &index) || index <= -MOST_INDEX ||
        index >= MOST_INDEX || !ingot_types_fit(m->shapes, node))
        return false;
    const int64_t attr = ingot_attr_int(node, "axis", 0), axis = attr < 0 ? attr + x->rank : attr;
    if (axis < 0 || axis >= x->rank || x->dim[axis] == 1)
        return false;
    *w = (want){1, (int)axis, gather, (int64_t)index, INGOT_NONE};
    return x->dim[axis] < 0 ? index == 0 || index == -1 : w->index >= -x->dim[axis] && w->index < x->dim[axis];
}

/* One more reader of the value wants what `w` says, along this axis. */
static void ask(const mover *m, int value, int axis, const want *w)
{
    want *all = &m->wants[value];
    const bool same = all->n > 0 && all->axis == axis && all->index == w->index;
    if (all->n == 0)
        *all = (want){1, axis, w->gather, w->index, INGOT_NONE};
    else
        all->n = same ? all->n + 1 : -1;
}

/* From the readers up: a node of which everybody wants the same asks its own inputs for it. */
static void find_moves(mover *m)
{
    for (int i = m->graph->n_nodes - 1; i >= 0; i--) {
        source from[MAX_SOURCES];
        want w;
        bool product;
        const int out = ingot_output(m->graph->nodes[i]);
        if (is_pick(m, i, &w))
            ask(m, m->graph->nodes[i]->inputs[0], w.axis, &w);
        if (out == INGOT_NONE || m->wants[out].n <= 0 || m->wants[out].n != m->graph->values[out].n_uses ||
            m->graph->values[out].n_outputs)
            continue;
        const past p = at_node(m, i, m->wants[out].axis);
        const int n = find_sources(&p, from, &product);
        for (int k = 0; k < n; k++)
            ask(m, m->graph->nodes[from[k].node]->inputs[from[k].slot], from[k].axis, &m->wants[out]);
        m->moves[i] = n > 0;
        m->pays |= n > 0 && product;
    }
}

/* The value of the wanted index alone: what its maker makes now, or a Gather. INGOT_NONE: memory is out. */
static int pick(const mover *m, int value, int axis, const want *w)
{
    ingot_graph *graph = m->graph;
    want *all = &m->wants[value];
    if (all->n > 0 && all->picked != INGOT_NONE)
        return all->picked;
    const int inputs[2] = {value, ingot_add_ints(graph, "index", &w->index, 1)};
    const char *name = graph->nodes[w->gather]->name;
    const int picked = inputs[1] == INGOT_NONE ? INGOT_NONE : ingot_add_op(graph, name, "Gather", 13, inputs, 2);
    if (picked == INGOT_NONE ||
        !ingot_node_set_int(graph, graph->nodes[graph->values[picked].producer], "axis", axis))
        return INGOT_NONE;
    all->picked = picked;
    return picked;
}

/* Output 0 is another value now, and has to have another name. */
static bool rename_output(const mover *m, int index, int *renamed)
{
    *renamed = ingot_add_unique_value(m->graph, m->graph->values[m->graph->nodes[index]->outputs[0]].name);
    return *renamed != INGOT_NONE && ingot_node_set_output(m->graph, index, 0, *renamed);
}

static bool set_shape(const mover *m, int index, const int64_t *elements, int n)
{
    const int shape = ingot_add_ints(m->graph, "shape", elements, n);
    return shape != INGOT_NONE && ingot_node_set_input(m->graph, index, 1, shape) &&
           ingot_node_set_int(m->graph, m->graph->nodes[index], "allowzero", 0);
}

/* The Gemm between two Reshapes, of which the first, `flat`, has got its new input. */
static bool move_gemm(const mover *m, int index, int flat)
{
    const int product = m->graph->values[m->graph->nodes[index]->inputs[0]].producer;
    const int64_t elements[2] = {-1, ingot_shape_of(m->shapes, m->graph->nodes[flat]->inputs[1])->elements[1]};
    int renamed;
    return set_shape(m, flat, elements, 2) && rename_output(m, flat, &renamed) &&
           ingot_node_set_input(m->graph, product, 0, renamed) && rename_output(m, product, &renamed) &&
           ingot_node_set_input(m->graph, index, 0, renamed);
}

/* The node makes what everybody wants of its output. False when memory is out. */
static bool move(const mover *m, int index)
{
    source from[MAX_SOURCES];
    int64_t elements[INGOT_SHAPE_RANK];
    bool product, ok = true;
    want *w = &m->wants[m->graph->nodes[index]->outputs[0]];
    const past p = at_node(m, index, w->axis);
    const int n = find_sources(&p, from, &product);
    const bool shapes = ingot_is_op(p.node, "Reshape");
    const bool alone = from[0].node == index;
    if (shapes)
        picked_shape(&p, alone ? from[0].axis : -1, elements);
    for (int k = 0; ok && k < n; k++) {
        const int value = m->graph->nodes[from[k].node]->inputs[from[k].slot];
        const int picked = pick(m, value, from[k].axis, w);
        ok = picked != INGOT_NONE && ingot_node_set_input(m->graph, from[k].node, from[k].slot, picked);
    }
    return ok && (alone || move_gemm(m, index, from[0].node)) &&
           (!shapes || set_shape(m, index, elements, p.y->rank)) && rename_output(m, index, &w->picked);
}

/* A Gather that was there before reads the one index that is left. */
static bool pick_last(const mover *m, int gather, int from)
{
    int64_t zero = 0;
    const ingot_const *index = ingot_constant(m->graph, m->graph->nodes[gather]->inputs[1]);
    ingot_tensor t = {.dtype = INGOT_INT64, .rank = index->tensor.rank, .data = &zero};
    for (int d = 0; d < t.rank; d++)
        t.shape[d] = 1;
    const int value = ingot_graph_add_constant(m->graph, NULL, &t);
    return value != INGOT_NONE && ingot_node_set_input(m->graph, gather, 0, from) &&
           ingot_node_set_input(m->graph, gather, 1, value);
}

/* Without a product among them moves would only change the order of what is cheap. */
static ingot_status make_moves(ingot_pass_ctx *c, const mover *m)
{
    const int n = m->graph->n_nodes;
    bool ok = true;
    for (int i = 0; m->pays && ok && i < n; i++)
        if (m->moves[i]) {
            ok = move(m, i);
            c->n_done++;
        }
    for (int i = 0; m->pays && ok && i < n; i++) {
        want w;
        const want *all = is_pick(m, i, &w) ? &m->wants[m->graph->nodes[i]->inputs[0]] : NULL;
        ok = !all || all->n <= 0 || all->picked == INGOT_NONE || pick_last(m, i, all->picked);
    }
    return ok ? INGOT_OK : ingot_pass_out_of_memory(c);
}

static ingot_status pick_early(ingot_pass_ctx *c, const ingot_shapes *shapes)
{
    ingot_memory *memory = c->graph->arena->memory;
    mover m = {c->graph, shapes, ingot_zalloc(memory, ((size_t)c->graph->n_values + 1) * sizeof *m.wants),
               ingot_zalloc(memory, (size_t)c->graph->n_nodes + 1), false};
    ingot_status status = INGOT_OK;
    if (m.wants && m.moves) {
        find_moves(&m);
        status = make_moves(c, &m);
    } else {
        status = ingot_pass_out_of_memory(c);
    }
    ingot_release(memory, m.wants);
    ingot_release(memory, m.moves);
    return status;
}

/* Shapes are known of the values that there were before: each node is looked at before its inputs change. */
ingot_status ingot_pick_early(ingot_pass_ctx *c) { return ingot_with_shapes(c, pick_early); }
