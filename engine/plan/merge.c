/* merge.c - several steps that one does better. Here is what the finders of such steps share; they run when every shape
 * is known, and leave behind steps that nobody needs. */
#include <string.h>

#include "engine/plan/plan.h"
#include "ops/joined.h"

/* Who makes and who reads each value; one that must survive the run counts as read once more. Both arrays are in the
 * plan's arena, by value id. False when memory is out. */
static bool count_uses(ingot_plan *plan, const bool *wanted, ingot_uses *uses)
{
    uses->producers = ingot_arena_array(&plan->arena, (size_t)plan->n_values + 1, sizeof *uses->producers);
    uses->readers = ingot_arena_array(&plan->arena, (size_t)plan->n_values + 1, sizeof *uses->readers);
    if (!uses->producers || !uses->readers)
        return false;
    for (int v = 0; v < plan->n_values; v++) {
        uses->producers[v] = INGOT_NONE;
        uses->readers[v] = v < plan->graph->n_values && (plan->graph->values[v].n_outputs || (wanted && wanted[v]));
    }
    for (int s = 0; s < plan->n_steps; s++) {
        const ingot_step *step = plan->steps[s];
        for (int i = 0; i < step->ctx.n_in; i++)
            if (step->inputs[i] != INGOT_NONE)
                uses->readers[step->inputs[i]]++;
        for (int i = 0; i < step->ctx.n_out; i++)
            if (step->outputs[i] != INGOT_NONE)
                uses->producers[step->outputs[i]] = s;
    }
    return true;
}

/* Static, and of this operator of the default domain, on floats? Operators of other domains may share the name and mean
 * something else. */
bool ingot_step_is(const ingot_step *step, const char *op_type)
{
    return !step->dynamic && !*step->ctx.node->domain && !strcmp(step->ctx.node->op_type, op_type) &&
           step->outputs[0] != INGOT_NONE && step->ctx.out[0]->dtype == INGOT_FLOAT;
}

/* See plan.h. NULL for values that no step makes, among them inputs and constants. */
ingot_step *ingot_made_by(const ingot_plan *plan, const ingot_uses *uses, int value, const char *op_type, bool alone)
{
    const int s = value == INGOT_NONE ? INGOT_NONE : uses->producers[value];
    ingot_step *step = s == INGOT_NONE ? NULL : plan->steps[s];
    const bool is_it = step && ingot_step_is(step, op_type) && step->outputs[0] == value;
    return is_it && (!alone || uses->readers[value] == 1) ? step : NULL;
}

/* The state is what the operator's prepare() finds. */
bool ingot_plan_join(ingot_plan *plan, int s, const ingot_step *before, bool leads, const ingot_op *op)
{
    const ingot_step *replaced = plan->steps[s], *lead = leads ? before : replaced, *rest = leads ? replaced : before;
    const int n_lead = lead->ctx.n_in, n = n_lead + rest->ctx.n_in - 1;
    int *inputs = ingot_arena_array(&plan->arena, (size_t)n, sizeof *inputs);
    ingot_joined *form = ingot_arena_alloc(&plan->arena, sizeof *form);

    if (!inputs || !form)
        return false;
    for (int i = 0; i < n; i++)
        inputs[i] = i < n_lead ? lead->inputs[i] : rest->inputs[i - n_lead + 1];
    inputs[0] = before->inputs[0];
    ingot_step *step = ingot_plan_make_step(plan, replaced->ctx.node, inputs, n, replaced->outputs, 1);
    if (!step)
        return false;
    *form = (ingot_joined){before->ctx.node, before->ctx.n_in};
    step->ctx.op = op;
    step->ctx.state = form;
    step->before = before->ctx.node;
    plan->steps[s] = step;
    return true;
}

/* In the order in which they look. */
static ingot_status (*const finders[])(ingot_plan *plan, ingot_uses *uses, ingot_error *error) = {
    ingot_plan_attention,    ingot_plan_channel_norm, ingot_plan_conv_scaled, ingot_plan_conv_normalized,
    ingot_plan_conv_product, ingot_plan_conv_pair,    ingot_plan_shuffle,
};

/* All finders, one after the other; a step that one has made is of no operator that another looks for. INGOT_LIMIT when
 * memory is out; the plan must then be freed. */
ingot_status ingot_plan_merge(ingot_plan *plan, const bool *wanted, ingot_error *error)
{
    ingot_uses uses;
    if (!count_uses(plan, wanted, &uses))
        return ingot_out_of_memory(error);
    ingot_status status = INGOT_OK;
    for (size_t i = 0; i < sizeof finders / sizeof *finders && !status; i++)
        status = finders[i](plan, &uses, error);
    return status;
}
