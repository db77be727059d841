/* find_conv_pair.c - a 1x1 Conv and the depthwise Conv that alone reads its result become one step, so that the tensor
 * between them, the widest of a mobile network's block, is never written out. */
#include "engine/plan/plan.h"
#include "ops/conv_pair.h"

/* One step in the place of `depthwise`, which is plan->steps[s] and keeps its node; false when memory is out. The first
 * Conv's step is left without readers. */
static bool replace(ingot_plan *plan, int s, const ingot_step *mix)
{
    const ingot_step *depthwise = plan->steps[s];
    const int n_mix = mix->ctx.n_in, n = n_mix + depthwise->ctx.n_in - 1;
    int *inputs = ingot_arena_array(&plan->arena, (size_t)n, sizeof *inputs);
    ingot_conv_pair *form = ingot_arena_alloc(&plan->arena, sizeof *form);

    if (!inputs || !form)
        return false;
    for (int i = 0; i < n; i++)
        inputs[i] = i < n_mix ? mix->inputs[i] : depthwise->inputs[i - n_mix + 1];
    ingot_step *step = ingot_plan_make_step(plan, depthwise->ctx.node, inputs, n, depthwise->outputs, 1);
    if (!step)
        return false;
    *form = (ingot_conv_pair){mix->ctx.node, n_mix};
    step->ctx.op = ingot_conv_pair_op();
    step->ctx.state = form;
    step->before = mix->ctx.node;
    plan->steps[s] = step;
    return true;
}

/* Every such pair of the plan. Not where somebody watches: the value in between would not be seen. */
ingot_status ingot_plan_conv_pair(ingot_plan *plan, ingot_uses *uses, ingot_error *error)
{
    for (int s = 0; s < plan->n_steps && !plan->env->observe; s++) {
        const ingot_step *step = plan->steps[s];
        if (!ingot_step_is(step, "Conv"))
            continue;
        const ingot_step *mix = ingot_made_by(plan, uses, step->inputs[0], "Conv", true);
        if (mix && mix->ctx.op == mix->ctx.node->op && ingot_conv_pair_fits(&mix->ctx, &step->ctx) &&
            !replace(plan, s, mix))
            return ingot_out_of_memory(error);
    }
    return INGOT_OK;
}
