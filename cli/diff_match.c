/* diff_match.c - which nodes of two models are the same ones. Names tell little, as exporters number nodes and a node
 * more shifts all numbers behind it. So the two lists, in running order, are aligned as lines of text are: an alignment
 * pairs nodes of one operator, best with equal attributes and equal names. Nodes that only stand elsewhere in the order
 * are paired afterwards, by what they read. */
#include <stdlib.h>
#include <string.h>

#include "cli/diff.h"

/* ---- listing ---------------------------------------------------------------------------------------------------- */

static int by_name(const void *a, const void *b)
{
    return strcmp(((const diff_value *)a)->name, ((const diff_value *)b)->name);
}

diff_value diff_find(const diff_side *side, const char *name)
{
    const diff_value wanted = {.name = name};
    const diff_value *found =
        *name ? bsearch(&wanted, side->values, side->n_values, sizeof wanted, by_name) : NULL;
    return found ? *found : wanted;
}

/* Inputs, constants, and what nodes make, by name. */
static ingot_status list_values(diff_side *side, ingot_error *error)
{
    const size_t n_inputs = ingot_model_n_inputs(side->model);
    size_t n = n_inputs + side->n_constants;
    for (size_t i = 0; i < side->n_nodes; i++)
        n += side->nodes[i].info.n_outputs;
    if (!(side->values = calloc(n + 1, sizeof *side->values)))
        return cli_fail(error, INGOT_LIMIT, "out of memory");
    for (size_t i = 0; i < n_inputs; i++)
        side->values[side->n_values++] = (diff_value){ingot_model_input(side->model, i)->name, FROM_INPUT, i, 0};
    for (size_t i = 0; i < side->n_constants; i++)
        side->values[side->n_values++] = (diff_value){side->constants[i].name, FROM_CONSTANT, i, 0};
    for (size_t i = 0; i < side->n_nodes; i++)
        for (size_t k = 0; k < side->nodes[i].info.n_outputs; k++)
            if (side->nodes[i].info.outputs[k][0])
                side->values[side->n_values++] = (diff_value){side->nodes[i].info.outputs[k], FROM_NODE, i, k};
    qsort(side->values, side->n_values, sizeof *side->values, by_name);
    return INGOT_OK;
}

/* Equal keys: the same operator with the same attributes, whatever their order, on constants of the same types. */
static void make_key(diff_side *side, size_t index)
{
    diff_node *node = &side->nodes[index];
    ingot_attribute_info attribute;
    uint64_t sum = 0;
    node->op = cli_hash(node->info.op_type, strlen(node->info.op_type) + 1,
                        cli_hash(node->info.domain, strlen(node->info.domain), CLI_HASH_START));
    for (size_t a = 0; ingot_model_attribute(side->model, index, a, &attribute); a++)
        sum += attribute.hash;
    node->key = cli_hash(&sum, sizeof sum, cli_hash(node->info.fused, strlen(node->info.fused), node->op));
    for (size_t k = 0; k < node->info.n_inputs; k++) {
        const diff_value value = diff_find(side, node->info.inputs[k]);
        node->key = cli_hash(&value.origin, sizeof value.origin, node->key);
        if (value.origin == FROM_CONSTANT) {
            const ingot_tensor *t = &side->constants[value.index].type;
            node->key = cli_hash(t->shape, (size_t)(t->rank > 0 ? t->rank : 0) * sizeof *t->shape, node->key);
        }
    }
}

ingot_status diff_load(const char *path, bool with_passes, diff_side *side, ingot_error *error)
{
    const ingot_status st = cli_load_as(path, true, with_passes, &side->model, error);
    size_t n = 0;
    ingot_node_info info;
    const char *name;
    ingot_tensor type;
    side->path = path;
    if (st)
        return st;
    while (ingot_model_node(side->model, n, &info))
        n++;
    side->nodes = calloc(n + 1, sizeof *side->nodes);
    side->n_nodes = n;
    for (n = 0; ingot_model_weight(side->model, n, &name, &type); n++)
        ;
    side->constants = calloc(n + 1, sizeof *side->constants);
    side->n_constants = n;
    if (!side->nodes || !side->constants)
        return cli_fail(error, INGOT_LIMIT, "out of memory");
    for (size_t i = 0; i < side->n_nodes; i++) {
        side->nodes[i].match = DIFF_NONE;
        ingot_model_node(side->model, i, &side->nodes[i].info);
    }
    for (size_t i = 0; i < side->n_constants; i++) {
        diff_constant *c = &side->constants[i];
        c->match = DIFF_NONE;
        ingot_model_weight(side->model, i, &c->name, &c->type);
    }
    const ingot_status listed = list_values(side, error);
    for (size_t i = 0; i < side->n_nodes && !listed; i++)
        make_key(side, i);
    return listed;
}

void diff_free(diff_side *side)
{
    free(side->nodes);
    free(side->constants);
    free(side->values);
    ingot_model_free(side->model);
}

/* ---- aligning --------------------------------------------------------------------------------------------------- */

/* What it is worth to pair two nodes; 0: they must not be. */
static uint32_t worth(const diff_node *a, const diff_node *b)
{
    if (a->op != b->op)
        return 0;
    return (a->key == b->key ? 6 : 2) + !strcmp(a->info.name, b->info.name);
}

static void pair(diff_side sides[2], size_t i, size_t j)
{
    sides[0].nodes[i].match = (int64_t)j;
    sides[1].nodes[j].match = (int64_t)i;
}

/* The same at both ends of the lists: what lies between is the smaller problem. */
static void pair_ends(diff_side sides[2], size_t *from, size_t end[2])
{
    const diff_node *a = sides[0].nodes, *b = sides[1].nodes;
    for (; *from < end[0] && *from < end[1] && worth(&a[*from], &b[*from]) >= 6; ++*from)
        pair(sides, *from, *from);
    for (; end[0] > *from && end[1] > *from && worth(&a[end[0] - 1], &b[end[1] - 1]) >= 6; end[0]--, end[1]--)
        pair(sides, end[0] - 1, end[1] - 1);
}

enum { MOST_CELLS = 1 << 28 };

/* The alignment of the largest worth, by dynamic programming over both lists: a byte for each pair of nodes says which
 * way is best from there, so lists of ten thousand nodes need 100 MB. Beyond MOST_CELLS only the ends and what is alike
 * in all it reads are paired. Source: Needleman and Wunsch 1970. */
static ingot_status align(diff_side sides[2], ingot_error *error)
{
    size_t from = 0, end[2] = {sides[0].n_nodes, sides[1].n_nodes};
    pair_ends(sides, &from, end);
    const size_t n = end[0] - from, m = end[1] - from;
    const diff_node *a = sides[0].nodes + from, *b = sides[1].nodes + from;
    if (!n || !m || n > MOST_CELLS / m)
        return INGOT_OK;
    enum { SKIP_FIRST, SKIP_SECOND, PAIR };
    uint8_t *ways = malloc(n * m);
    uint32_t *row = calloc(m + 1, sizeof *row); /* the worth of what is left, from (i, j) on */
    if (!ways || !row) {
        free(ways);
        free(row);
        return cli_fail(error, INGOT_LIMIT, "out of memory");
    }
    for (size_t i = n; i-- > 0;) {
        uint32_t diagonal = 0;
        for (size_t j = m; j-- > 0;) {
            const uint32_t w = worth(&a[i], &b[j]), paired = w ? diagonal + w : 0;
            const uint32_t skipped = row[j] >= row[j + 1] ? row[j] : row[j + 1];
            ways[i * m + j] = w && paired >= skipped ? PAIR : row[j] >= row[j + 1] ? SKIP_FIRST : SKIP_SECOND;
            diagonal = row[j];
            row[j] = w && paired >= skipped ? paired : skipped;
        }
    }
    for (size_t i = 0, j = 0; i < n && j < m;) {
        const uint8_t way = ways[i * m + j];
        if (way == PAIR)
            pair(sides, from + i, from + j);
        i += way != SKIP_SECOND;
        j += way != SKIP_FIRST;
    }
    free(ways);
    free(row);
    return INGOT_OK;
}

bool diff_same_origin(const diff_side sides[2], const char *name0, const char *name1)
{
    const diff_value a = diff_find(&sides[0], name0), b = diff_find(&sides[1], name1);
    if (a.origin != b.origin)
        return false;
    if (a.origin == FROM_NODE)
        return sides[0].nodes[a.index].match == (int64_t)b.index && a.output == b.output;
    return a.origin != FROM_INPUT || a.index == b.index;
}

/* Do two nodes read the same? */
static bool reads_same(const diff_side sides[2], const diff_node *a, const diff_node *b)
{
    if (a->info.n_inputs != b->info.n_inputs)
        return false;
    for (size_t k = 0; k < a->info.n_inputs; k++)
        if (!diff_same_origin(sides, a->info.inputs[k], b->info.inputs[k]))
            return false;
    return true;
}

/* What is left over in both: the same node at another place of the running order. */
static void pair_moved(diff_side sides[2])
{
    for (size_t i = 0; i < sides[0].n_nodes; i++) {
        const diff_node *a = &sides[0].nodes[i];
        for (size_t j = 0; a->match < 0 && j < sides[1].n_nodes; j++)
            if (sides[1].nodes[j].match < 0 && sides[1].nodes[j].key == a->key &&
                reads_same(sides, a, &sides[1].nodes[j]))
                pair(sides, i, j);
    }
}

/* Of matched nodes, constants at the same place; then those that have a name in common. */
static void pair_constants(diff_side sides[2])
{
    for (size_t i = 0; i < sides[0].n_nodes; i++) {
        const diff_node *a = &sides[0].nodes[i], *b = a->match < 0 ? NULL : &sides[1].nodes[a->match];
        for (size_t k = 0; b && k < a->info.n_inputs && k < b->info.n_inputs; k++) {
            const diff_value x = diff_find(&sides[0], a->info.inputs[k]), y = diff_find(&sides[1], b->info.inputs[k]);
            if (x.origin != FROM_CONSTANT || y.origin != FROM_CONSTANT || sides[0].constants[x.index].match >= 0 ||
                sides[1].constants[y.index].match >= 0)
                continue;
            sides[0].constants[x.index].match = (int64_t)y.index;
            sides[1].constants[y.index].match = (int64_t)x.index;
        }
    }
    for (size_t i = 0; i < sides[0].n_constants; i++) {
        diff_constant *a = &sides[0].constants[i];
        const diff_value y = a->match < 0 ? diff_find(&sides[1], a->name) : (diff_value){.name = ""};
        if (y.origin == FROM_CONSTANT && sides[1].constants[y.index].match < 0) {
            a->match = (int64_t)y.index;
            sides[1].constants[y.index].match = (int64_t)i;
        }
    }
}

ingot_status diff_match(diff_side sides[2], ingot_error *error)
{
    const ingot_status st = align(sides, error);
    if (st)
        return st;
    pair_moved(sides);
    pair_constants(sides);
    return INGOT_OK;
}

/* ---- weights ---------------------------------------------------------------------------------------------------- */

/* All elements, with memory of their own. */
static ingot_status read_weight(const diff_side *side, size_t index, cli_value *value, ingot_error *error)
{
    value->tensor = side->constants[index].type;
    const ingot_status st = cli_value_alloc(value, 0, error);
    if (!st)
        ingot_model_weight_read(side->model, index, value->tensor.data);
    return st;
}

/* Strings and other kinds than numbers are the same or they are not. */
ingot_status diff_weigh(const diff_side sides[2], size_t index, double rtol, double atol, diff_weight *weight,
                        ingot_error *error)
{
    const diff_constant *a = &sides[0].constants[index];
    cli_value values[2] = {{.decoded = false}, {.decoded = false}};
    ingot_status st = read_weight(&sides[0], index, &values[0], error);
    if (!st)
        st = read_weight(&sides[1], (size_t)a->match, &values[1], error);
    if (!st) {
        const ingot_tensor *x = &values[0].tensor, *y = &values[1].tensor;
        cli_difference difference;
        weight->same_type = x->dtype == y->dtype && x->rank == y->rank &&
                            !memcmp(x->shape, y->shape, (size_t)x->rank * sizeof *x->shape);
        /* equal bytes are the quick and usual case */
        weight->same = weight->same_type && x->dtype != INGOT_STRING &&
                       !memcmp(x->data, y->data, (size_t)ingot_tensor_count(x) * ingot_dtype_size_bytes(x->dtype));
        if (!weight->same) {
            weight->same = weight->same_type && cli_compare(y, x, rtol, atol, &difference);
            weight->errors = cli_measure(y, x, rtol, atol);
        }
    }
    cli_value_free(&values[0]);
    cli_value_free(&values[1]);
    return st;
}
