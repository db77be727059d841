/* recognize.c - single operators that exporters for older opsets spelled out: Gelu, LayerNormalization, Swish and
 * others. A spelling is one line of text, matched against the graph from its last node up; operands of Add and Mul may
 * be swapped. In a spelling x is any value, w and b are constant vectors along the last axis, e is a constant number,
 * `last` stands for axes that are the last axis alone, and a numeral for a constant number. Nothing is replaced when a
 * value in between has readers outside of the spelling. */
#include "engine/passes/pass.h"

#include <ctype.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "engine/passes/rewrite.h"
#include "engine/passes/shapes.h"
#include "ops/op.h"

/* The parts that spellings share. Numbers are compared within 1e-6 of themselves: 1.4142135 is sqrt(2), 0.70710677 its
 * inverse, 0.7978846 sqrt(2 / pi), 0.044715 the factor of Gelu's tanh form. */
#define SIXTH "0.16666667"
#define CLIP "Clip(Add(x, 3), 0, 6)"
#define ERF "Add(Erf(Div(x, 1.4142135)), 1)"
#define ERF_MUL "Add(Erf(Mul(x, 0.70710677)), 1)"
#define TANH "Add(Tanh(Mul(Add(x, Mul(Pow(x, 3), 0.044715)), 0.7978846)), 1)"
#define TANH_MUL "Add(Tanh(Mul(Add(x, Mul(Mul(x, Mul(x, x)), 0.044715)), 0.7978846)), 1)"
#define TANH_FACTORED "Add(Tanh(Mul(Mul(x, 0.7978846), Add(Mul(Mul(x, 0.044715), x), 1))), 1)"
#define CENTERED "Sub(x, ReduceMean(x, last))"
#define DEVIATION "Sqrt(Add(ReduceMean(Pow(" CENTERED ", 2), last), e))"
#define DEVIATION_MUL "Sqrt(Add(ReduceMean(Mul(" CENTERED ", " CENTERED "), last), e))"
#define MAGNITUDE "Sqrt(Add(ReduceMean(Pow(x, 2), last), e))"

typedef enum extra { NOTHING, SIXTH_AND_HALF, TANH_FORM, ALPHA, EPSILON } extra; /* attributes of the result */

/* text: the pattern, in the language that the head of this file describes. op_type and version: what it becomes, at
 * least of that opset. inputs: which of its letters become inputs, in order. */
static const struct spelling {
    const char *text, *op_type;
    int version;
    const char *inputs; /* letters of the spelling */
    extra attributes;
} spellings[] = {
    {"Mul(x, Sigmoid(x))", "Swish", 24, "x", NOTHING},
    {"Mul(x, Sigmoid(Mul(x, e)))", "Swish", 24, "x", ALPHA},
    {"Div(Mul(x, " CLIP "), 6)", "HardSwish", 14, "x", NOTHING},
    {"Mul(Mul(x, " CLIP "), " SIXTH ")", "HardSwish", 14, "x", NOTHING},
    {"Div(" CLIP ", 6)", "HardSigmoid", 6, "x", SIXTH_AND_HALF},
    {"Mul(" CLIP ", " SIXTH ")", "HardSigmoid", 6, "x", SIXTH_AND_HALF},
    {"Mul(x, HardSigmoid(x))", "HardSwish", 14, "x", NOTHING},
    {"Mul(x, Tanh(Softplus(x)))", "Mish", 18, "x", NOTHING},
    {"Mul(Mul(x, " ERF "), 0.5)", "Gelu", 20, "x", NOTHING},
    {"Mul(x, Mul(" ERF ", 0.5))", "Gelu", 20, "x", NOTHING},
    {"Mul(Mul(x, 0.5), " ERF ")", "Gelu", 20, "x", NOTHING},
    {"Mul(Mul(x, " ERF_MUL "), 0.5)", "Gelu", 20, "x", NOTHING},
    {"Mul(x, Mul(" ERF_MUL ", 0.5))", "Gelu", 20, "x", NOTHING},
    {"Mul(Mul(x, 0.5), " ERF_MUL ")", "Gelu", 20, "x", NOTHING},
    {"Mul(Mul(x, " TANH "), 0.5)", "Gelu", 20, "x", TANH_FORM},
    {"Mul(x, Mul(" TANH ", 0.5))", "Gelu", 20, "x", TANH_FORM},
    {"Mul(Mul(x, 0.5), " TANH ")", "Gelu", 20, "x", TANH_FORM},
    {"Mul(Mul(x, " TANH_MUL "), 0.5)", "Gelu", 20, "x", TANH_FORM},
    {"Mul(x, Mul(" TANH_MUL ", 0.5))", "Gelu", 20, "x", TANH_FORM},
    {"Mul(Mul(x, 0.5), " TANH_MUL ")", "Gelu", 20, "x", TANH_FORM},
    {"Mul(Mul(x, 0.5), " TANH_FACTORED ")", "Gelu", 20, "x", TANH_FORM},
    {"Add(Mul(Div(" CENTERED ", " DEVIATION "), w), b)", "LayerNormalization", 17, "xwb", EPSILON},
    {"Add(Mul(Div(" CENTERED ", " DEVIATION_MUL "), w), b)", "LayerNormalization", 17, "xwb", EPSILON},
    {"Mul(Mul(x, Reciprocal(" MAGNITUDE ")), w)", "RMSNormalization", 23, "xw", EPSILON},
    {"Mul(Mul(x, Div(1, " MAGNITUDE ")), w)", "RMSNormalization", 23, "xw", EPSILON},
    {"Mul(Div(x, " MAGNITUDE "), w)", "RMSNormalization", 23, "xw", EPSILON},
};

/* MAX_NODES is more than the longest spelling has. */
enum { N_SPELLINGS = sizeof spellings / sizeof *spellings, MAX_NODES = 24 };

/* The state of matching one spelling at one node. values[letter] is the value id bound to a letter, INGOT_NONE while it
 * is free; nodes[] are those matched so far, the one that makes the result first. Copied as a whole to go back to where
 * an alternative began. */
typedef struct match {
    const ingot_graph *graph;
    const ingot_shapes *shapes;
    int values[128]; /* by letter */
    double number;
    int rank; /* the largest of the numbers' */
    int n_nodes, nodes[MAX_NODES];
} match;

/* Axes are one constant: -1, or rank - 1 where the rank is known. `of` is what the axes are axes of. Opset 18
 * reductions have axes as an input; older ones were brought to that form. */
static bool is_last_axis(const match *m, int value, int of)
{
    int64_t axis;
    int n;
    const ingot_shape *shape = ingot_shape_of(m->shapes, of);
    return ingot_constant_ints(m->graph, value, &axis, 1, &n) && n == 1 &&
           (axis == -1 || (shape->rank > 0 && axis == shape->rank - 1));
}

/* A constant of one element. */
static bool read_number(match *m, int value, double *number)
{
    if (!ingot_constant_number(m->graph, value, number))
        return false;
    m->rank = MAX(m->rank, ingot_constant(m->graph, value)->tensor.rank);
    return true;
}

/* The same letter must stand for the same value everywhere in a spelling. e gives its number to m->number, and is
 * bound to no value. */
static bool bind(match *m, char letter, int value)
{
    if (letter == 'e')
        return read_number(m, value, &m->number);
    if (letter != 'x') {
        const ingot_const *constant = ingot_constant(m->graph, value);
        if (!constant || constant->tensor.kind != INGOT_TENSOR || constant->tensor.rank != 1)
            return false;
    }
    int *bound = &m->values[(unsigned char)letter];
    if (*bound == INGOT_NONE)
        *bound = value;
    return *bound == value;
}

/* The end of the operand that starts at text: the comma or parenthesis behind it. Depth counts parentheses that opened
 * behind text. */
static const char *skip(const char *text)
{
    for (int depth = 0;; text++) {
        if (depth == 0 && (*text == ',' || *text == ')' || !*text))
            return text;
        depth += (*text == '(') - (*text == ')');
    }
}

static bool match_value(match *m, const char *text, int value);

/* Operands of `node` from text on, each an input in order; `swapped` exchanges the two of Add and Mul. The node must
 * have as many inputs as the text has operands. `text` points behind the opening parenthesis. */
static bool match_operands(match *m, const char *text, const ingot_node *node, bool swapped)
{
    int slot = 0;
    for (;; slot++, text = skip(text) + 1) {
        while (*text == ' ')
            text++;
        const int value = ingot_input(node, swapped ? 1 - slot : slot);
        const bool matched =
            !strncmp(text, "last", 4) ? is_last_axis(m, value, node->inputs[0]) : match_value(m, text, value);
        if (value == INGOT_NONE || !matched)
            return false;
        if (*skip(text) != ',')
            return slot + 1 == node->n_inputs;
    }
}

/* Does the spelling at text compute value? Recursion is as deep as the spellings of the table. A lower-case letter is
 * bound, a digit begins a number, anything else is an operator with its operands. For Add and Mul both orders are
 * tried, the second from the state before the first. ingot_attr_int() gives 1 where keepdims is absent, which is also
 * its default. */
static bool match_value(match *m, const char *text, int value)
{
    if (value == INGOT_NONE)
        return false;
    if (islower((unsigned char)*text))
        return bind(m, *text, value);
    if (isdigit((unsigned char)*text)) {
        const double wanted = strtod(text, NULL);
        double number;
        return read_number(m, value, &number) && fabs(number - wanted) <= 1e-6 * fabs(wanted);
    }
    /* An operator: its name up to the parenthesis, then its operands. */
    const char *open = strchr(text, '(');
    const ingot_node *node = ingot_producer(m->graph, value);
    const size_t length = (size_t)(open - text);
    if (!node || !node->op_type || strncmp(node->op_type, text, length) || !ingot_is_op(node, node->op_type) ||
        strlen(node->op_type) != length || node->n_fused || node->outputs[0] != value || m->n_nodes == MAX_NODES ||
        !ingot_attr_int(node, "keepdims", 1))
        return false;
    m->nodes[m->n_nodes++] = ingot_node_of(m->graph, value);
    const bool commutes = ingot_is_op(node, "Add") || ingot_is_op(node, "Mul");
    const match before = *m;
    if (match_operands(m, open + 1, node, false))
        return true;
    *m = before;
    return commutes && node->n_inputs == 2 && match_operands(m, open + 1, node, true);
}

/* A linear search: there are a dozen of them at most. */
static bool is_matched(const match *m, int node)
{
    for (int i = 0; i < m->n_nodes; i++)
        if (m->nodes[i] == node)
            return true;
    return false;
}

/* Are all values in between read by the matched nodes alone? nodes[0] makes the result. Otherwise taking the nodes out
 * would leave a reader without its value. The same node may have been matched twice, as CENTERED is in two places. */
static bool is_closed(const match *m)
{
    const int root = m->nodes[0];
    for (int i = 1; i < m->n_nodes; i++) {
        const ingot_value *value = &m->graph->values[m->graph->nodes[m->nodes[i]]->outputs[0]];
        if (m->nodes[i] == root || value->n_outputs)
            return false;
        for (const ingot_use *use = value->uses; use; use = use->next)
            if (!is_matched(m, use->node))
                return false;
    }
    return true;
}

/* Conditions that the text does not tell. The registry must know the new operator, so that nothing that runs becomes
 * something that does not. */
static bool fits(const match *m, const struct spelling *s)
{
    const ingot_shape *x = ingot_shape_of(m->shapes, m->values['x']);
    bool known;
    if (!ingot_op_find("", s->op_type, s->version, &known) || !is_closed(m) ||
        m->rank > MAX(x->rank, 0)) /* [[2]] makes a matrix of a vector */
        return false;
    if (s->attributes == ALPHA && (double)(float)m->number != m->number) /* as an attribute is a float */
        return false;
    for (const char *letter = s->inputs; *letter; letter++) /* vectors must be as long as the last axis */
        if (*letter != 'x' &&
            (x->rank < 1 ||
             x->dim[x->rank - 1] != m->graph->values[m->values[(unsigned char)*letter]].constant->tensor.shape[0]))
            return false;
    /* A HardSigmoid within a spelling must be the one that HardSwish is made of: 1 / 6 and 0.5. */
    for (int i = 0; i < m->n_nodes; i++) {
        const ingot_node *node = m->graph->nodes[m->nodes[i]];
        if (ingot_is_op(node, "HardSigmoid") && (fabsf(ingot_attr_float(node, "alpha", 0.2f) - 1.0f / 6) > 1e-7f ||
                                                 ingot_attr_float(node, "beta", 0.5f) != 0.5f))
            return false;
    }
    return true;
}

/* What the new operator needs besides its inputs. HardSwish is x * max(0, min(1, x / 6 + 0.5)), and its HardSigmoid has
 * these factors. False when memory is out. */
static bool set_attributes(ingot_graph *graph, ingot_node *node, extra attributes, double number)
{
    switch (attributes) {
    case NOTHING:
        return true;
    case SIXTH_AND_HALF:
        return ingot_node_set_float(graph, node, "alpha", 1.0f / 6) && ingot_node_set_float(graph, node, "beta", 0.5f);
    case TANH_FORM:
        return ingot_node_set_string(graph, node, "approximate", "tanh");
    case ALPHA:
        return ingot_node_set_float(graph, node, "alpha", (float)number);
    case EPSILON:
        return ingot_node_set_float(graph, node, "epsilon", (float)number) &&
               ingot_node_set_int(graph, node, "axis", -1);
    }
    return false;
}

/* The matched nodes go, and one takes over the output of the last. A node matched twice is removed once. The new node
 * is at least of the last node's version. False when memory is out. */
static bool replace(ingot_graph *graph, const match *m, const struct spelling *s)
{
    const ingot_node *root = graph->nodes[m->nodes[0]];
    const char *name = root->name;
    const int out = root->outputs[0], version = MAX(root->version, s->version);
    int inputs[4], n = 0;
    for (const char *letter = s->inputs; *letter; letter++)
        inputs[n++] = m->values[(unsigned char)*letter];
    /* Out with the matched nodes first: the new one makes the same output. */
    for (int i = 0; i < m->n_nodes; i++)
        if (graph->nodes[m->nodes[i]]->op_type)
            ingot_graph_remove_node(graph, m->nodes[i]);
    ingot_node *node = ingot_graph_add_node(graph, name, s->op_type, "", version, inputs, n, &out, 1);
    return node && set_attributes(graph, node, s->attributes, m->number);
}

/* Only nodes that were there at the start are tried as the end of a spelling; a later run sees the new ones.
 * match_value() looks at a graph that earlier matches have changed already, and removed nodes have no op_type. */
static ingot_status recognize_all(ingot_pass_ctx *c, const ingot_shapes *shapes)
{
    ingot_graph *graph = c->graph;
    ingot_status status = INGOT_OK;
    const int n_nodes = graph->n_nodes;
    for (int s = 0; s < N_SPELLINGS; s++) /* spelling by spelling: some contain others that stand further down */
        for (int i = 0; !status && i < n_nodes; i++) {
            match m = {.graph = graph, .shapes = shapes};
            memset(m.values, 0xff, sizeof m.values);
            if (!graph->nodes[i]->op_type || !graph->nodes[i]->n_outputs ||
                !match_value(&m, spellings[s].text, graph->nodes[i]->outputs[0]) || !fits(&m, &spellings[s]))
                continue;
            if (!replace(graph, &m, &spellings[s]))
                status = ingot_pass_out_of_memory(c);
            c->n_done++;
        }
    return status;
}

/* Before: y = Mul(x, Sigmoid(x)), say; after: y = Swish(x). */
ingot_status ingot_recognize(ingot_pass_ctx *c) { return ingot_with_shapes(c, recognize_all); }
