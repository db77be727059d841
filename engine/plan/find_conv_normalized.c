/* find_conv_normalized.c - a BatchNormalization that could not be folded, as after a Concat, and the 1x1 Conv that
 * alone reads its result become one step: the Conv normalizes a band of its source in the cache, and the normalized
 * tensor is never written out. */
#include "engine/plan/plan.h"
#include "ops/conv_normalized.h"

/* Every such Conv of the plan. Not where somebody watches: the value in between would not be seen. */
ingot_status ingot_plan_conv_normalized(ingot_plan *plan, ingot_uses *uses, ingot_error *error)
{
    for (int s = 0; s < plan->n_steps && !plan->env->observe; s++) {
        const ingot_step *conv = plan->steps[s];
        if (!ingot_step_is(conv, "Conv") || conv->ctx.op != conv->ctx.node->op)
            continue;
        const ingot_step *norm = ingot_made_by(plan, uses, conv->inputs[0], "BatchNormalization", true);
        if (norm && ingot_conv_normalized_fits(&conv->ctx, &norm->ctx) &&
            !ingot_plan_join(plan, s, norm, false, ingot_conv_normalized_op()))
            return ingot_out_of_memory(error);
    }
    return INGOT_OK;
}
