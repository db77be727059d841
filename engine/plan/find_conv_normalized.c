/* find_conv_normalized.c - a BatchNormalization that could not be folded, as after a Concat, and the 1x1 Conv that
 * alone reads its result become one step: the Conv normalizes a band of its source in the cache, and the normalized
 * tensor is never written out. */
#include "engine/plan/plan.h"
#include "ops/conv_normalized.h"

/* One step in the place of `conv`, which is plan->steps[s] and keeps its node; false when memory is out. The step of
 * the BatchNormalization is left without readers. */
static bool replace(ingot_plan *plan, int s, const ingot_step *norm)
{
    const ingot_step *conv = plan->steps[s];
    const int n_conv = conv->ctx.n_in, n = n_conv + norm->ctx.n_in - 1;
    int *inputs = ingot_arena_array(&plan->arena, (size_t)n, sizeof *inputs);
    ingot_conv_normalized *form = ingot_arena_alloc(&plan->arena, sizeof *form);

    if (!inputs || !form)
        return false;
    for (int i = 0; i < n; i++)
        inputs[i] = i < n_conv ? conv->inputs[i] : norm->inputs[i - n_conv + 1];
    inputs[0] = norm->inputs[0];
    ingot_step *step = ingot_plan_make_step(plan, conv->ctx.node, inputs, n, conv->outputs, 1);
    if (!step)
        return false;
    *form = (ingot_conv_normalized){norm->ctx.node, norm->ctx.n_in};
    step->ctx.op = ingot_conv_normalized_op();
    step->ctx.state = form;
    step->before = norm->ctx.node;
    plan->steps[s] = step;
    return true;
}

/* Every such Conv of the plan. Not where somebody watches: the value in between would not be seen. */
ingot_status ingot_plan_conv_normalized(ingot_plan *plan, ingot_uses *uses, ingot_error *error)
{
    for (int s = 0; s < plan->n_steps && !plan->env->observe; s++) {
        const ingot_step *conv = plan->steps[s];
        if (!ingot_step_is(conv, "Conv") || conv->ctx.op != conv->ctx.node->op)
            continue;
        const ingot_step *norm = ingot_made_by(plan, uses, conv->inputs[0], "BatchNormalization", true);
        if (norm && ingot_conv_normalized_fits(&conv->ctx, &norm->ctx) && !replace(plan, s, norm))
            return ingot_out_of_memory(error);
    }
    return INGOT_OK;
}
