/* broken_pass.c - the pass fold-batch-normalization with a mistake in it, for a test of `ingot verify --bisect-passes`.
 * The linker puts it in the place of the real one (--wrap), so that the program is otherwise the one that is built. */
#include <string.h>

#include "engine/passes/pass.h"
#include "engine/passes/rewrite.h"

ingot_pass_fn __wrap_ingot_fold_batch_normalization, __real_ingot_fold_batch_normalization;

/* Add a half to the bias of the last Conv that has one. */
static void spoil(ingot_graph *graph)
{
    for (int i = graph->n_nodes - 1; i >= 0; i--) {
        const ingot_const *bias =
            ingot_is_op(graph->nodes[i], "Conv") ? ingot_constant(graph, ingot_input(graph->nodes[i], 2)) : NULL;
        double *elements = bias ? ingot_const_all_doubles(graph, bias) : NULL;
        if (!elements)
            continue;
        for (int64_t k = 0; k < ingot_count(&bias->tensor); k++)
            elements[k] += 0.5;
        ingot_node_set_input(graph, i, 2,
                             ingot_add_doubles(graph, "spoilt", INGOT_FLOAT, 1, bias->tensor.shape, elements));
        ingot_release(graph->arena->memory, elements);
        return;
    }
}

ingot_status __wrap_ingot_fold_batch_normalization(ingot_pass_ctx *c)
{
    const int before = c->n_done;
    const ingot_status status = __real_ingot_fold_batch_normalization(c);
    if (!status && c->n_done > before)
        spoil(c->graph);
    return status;
}
