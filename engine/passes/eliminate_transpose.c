/* eliminate_transpose.c - two Transposes in a row are one. Where they undo each other it is one that moves nothing,
 * which eliminate-identity takes out. */
#include "engine/passes/pass.h"

#include "engine/passes/rewrite.h"

/* The permutation of a Transpose; false when it is left out or malformed. A list with an axis twice passes; it is
 * composed as it is, and the operator refuses it when it is planned. */
static bool read_perm(const ingot_node *node, const int64_t **perm, size_t *n)
{
    const ingot_attr *attr = ingot_node_attr(node, "perm");
    if (!attr || attr->type != INGOT_ATTR_INTS || attr->n > INGOT_MAX_RANK)
        return false;
    for (size_t i = 0; i < attr->n; i++)
        if (attr->ints[i] < 0 || attr->ints[i] >= (int64_t)attr->n)
            return false;
    *perm = attr->ints;
    *n = attr->n;
    return true;
}

/* perm of the pair is first[second[d]]. The first one stays while others read it; dead-code takes it out otherwise.
 * Before: z = Transpose(Transpose(x, first), second); after: z = Transpose(x, both). Output axis d of the pair is axis
 * second[d] of y, and that is axis first[second[d]] of x. */
ingot_status ingot_eliminate_transpose(ingot_pass_ctx *c)
{
    ingot_graph *graph = c->graph;
    for (int i = 0; i < graph->n_nodes; i++) {
        ingot_node *second = graph->nodes[i];
        const int64_t *of_first, *of_second;
        size_t n, n_second;
        if (!ingot_is_op(second, "Transpose") || ingot_output(second) == INGOT_NONE || second->n_fused ||
            !read_perm(second, &of_second, &n_second))
            continue;
        const ingot_node *first = ingot_producer(graph, ingot_input(second, 0));
        if (!ingot_is_op(first, "Transpose") || first->n_fused || !read_perm(first, &of_first, &n) || n != n_second ||
            ingot_input(first, 0) == INGOT_NONE)
            continue;
        int64_t both[INGOT_MAX_RANK];
        for (size_t d = 0; d < n; d++)
            both[d] = of_first[of_second[d]];
        if (!ingot_node_set_ints(graph, second, "perm", both, n) ||
            !ingot_node_set_input(graph, i, 0, first->inputs[0]))
            return ingot_pass_out_of_memory(c);
        c->n_done++;
    }
    return INGOT_OK;
}
