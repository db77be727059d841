/* evaluate.c - running one node by itself, for constant folding: a plan of an empty graph gets the inputs as known
 * values and one step, whose outputs the planner then computes. */
#include "engine/plan/plan.h"

/* The line that every want of memory gets. */
/* Each constant becomes a known value of the plan; ids[i] is INGOT_NONE for an input left out. False when memory is
 * out. Lazy constants stay so: inference reads those it needs. */
static bool add_inputs(ingot_plan *plan, const ingot_node *node, const ingot_const *const *inputs, int *ids)
{
    for (int i = 0; i < node->n_all_inputs; i++) {
        ids[i] = INGOT_NONE;
        if (!inputs[i])
            continue;
        ids[i] = ingot_plan_add_value(plan, &inputs[i]->tensor);
        if (ids[i] == INGOT_NONE)
            return false;
        plan->values[ids[i]]->constant = inputs[i];
        plan->values[ids[i]]->place = INGOT_PLACE_KNOWN;
    }
    return true;
}

/* Empty values that inference fills. False when memory is out. */
static bool add_outputs(ingot_plan *plan, const ingot_node *node, int *ids)
{
    for (int i = 0; i < node->n_outputs; i++) {
        ids[i] = INGOT_NONE;
        if (node->outputs[i] != INGOT_NONE && (ids[i] = ingot_plan_add_value(plan, NULL)) == INGOT_NONE)
            return false;
    }
    return true;
}

/* Build the step, let inference run it (its inputs are all known), and copy its outputs into the arena. UNSUPPORTED
 * where an output is no tensor or was not computed after all. `outputs` has an entry for each of the node's, untouched
 * where the node leaves one out. */
static ingot_status compute(ingot_plan *plan, ingot_arena *arena, const ingot_node *node,
                            const ingot_const *const *inputs, ingot_const **outputs, ingot_error *error)
{
    int *in = ingot_arena_array(&plan->arena, (size_t)node->n_all_inputs, sizeof *in);
    int *out = ingot_arena_array(&plan->arena, (size_t)node->n_outputs, sizeof *out);
    if (!in || !out || !add_inputs(plan, node, inputs, in) || !add_outputs(plan, node, out))
        return ingot_out_of_memory(error);
    ingot_step *step = ingot_plan_make_step(plan, node, in, node->n_all_inputs, out, node->n_outputs);
    if (!step)
        return ingot_out_of_memory(error);
    step->ctx.error = error;
    const ingot_status status = ingot_plan_infer_step(plan, step, error);
    if (status)
        return status;
    for (int i = 0; i < node->n_outputs; i++) {
        if (out[i] == INGOT_NONE)
            continue;
        const ingot_plan_value *value = plan->values[out[i]];
        if (value->place != INGOT_PLACE_KNOWN || value->tensor.kind != INGOT_TENSOR)
            return ingot_fail(error, INGOT_UNSUPPORTED, "cannot be computed while loading");
        if (!(outputs[i] = ingot_const_create(arena, &value->tensor)))
            return ingot_out_of_memory(error);
    }
    return INGOT_OK;
}

/* Nothing of the plan outlives the call: outputs are copies in `arena`, and the run arena is emptied. The graph is
 * empty, so the plan is made at once and has neither steps nor memory to place. On failure `outputs` may be set in
 * part; the caller drops them. */
ingot_status ingot_evaluate(ingot_plan_env *env, ingot_arena *arena, const ingot_node *node,
                            const ingot_const *const *inputs, ingot_const **outputs, ingot_error *error)
{
    ingot_plan *plan = NULL;
    const ingot_graph empty = {.arena = arena};
    ingot_status status = ingot_plan_create(env, &empty, NULL, NULL, NULL, &plan, error);
    if (!status)
        status = compute(plan, arena, node, inputs, outputs, error);
    ingot_plan_free(plan);
    ingot_arena_free(&env->run_arena);
    return status;
}
