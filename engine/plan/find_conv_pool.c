/* find_conv_pool.c - a network's first Conv and the MaxPool that alone reads its result become one step, so that the
 * tensor between them, often the network's largest, is never written out. */
#include "engine/plan/plan.h"
#include "ops/conv_pool.h"

/* Every such pair of the plan. Not where somebody watches: the value in between would not be seen. */
ingot_status ingot_plan_conv_pool(ingot_plan *plan, ingot_uses *uses, ingot_error *error)
{
    for (int s = 0; s < plan->n_steps && !plan->env->observe; s++) {
        const ingot_step *step = plan->steps[s];
        if (!ingot_step_is(step, "MaxPool"))
            continue;
        const ingot_step *conv = ingot_made_by(plan, uses, step->inputs[0], "Conv", true);
        if (conv && conv->ctx.op == conv->ctx.node->op && ingot_conv_pool_fits(&conv->ctx, &step->ctx) &&
            !ingot_plan_join(plan, s, conv, true, ingot_conv_pool_op()))
            return ingot_out_of_memory(error);
    }
    return INGOT_OK;
}
