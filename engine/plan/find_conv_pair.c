/* find_conv_pair.c - a 1x1 Conv and the depthwise Conv that alone reads its result become one step, so that the tensor
 * between them, the widest of a mobile network's block, is never written out. */
#include "engine/plan/plan.h"
#include "ops/conv_pair.h"

/* Every such pair of the plan. Not where somebody watches: the value in between would not be seen. */
ingot_status ingot_plan_conv_pair(ingot_plan *plan, ingot_uses *uses, ingot_error *error)
{
    for (int s = 0; s < plan->n_steps && !plan->env->observe; s++) {
        const ingot_step *step = plan->steps[s];
        if (!ingot_step_is(step, "Conv"))
            continue;
        const ingot_step *mix = ingot_made_by(plan, uses, step->inputs[0], "Conv", true);
        if (mix && mix->ctx.op == mix->ctx.node->op && ingot_conv_pair_fits(&mix->ctx, &step->ctx) &&
            !ingot_plan_join(plan, s, mix, true, ingot_conv_pair_op()))
            return ingot_out_of_memory(error);
    }
    return INGOT_OK;
}
