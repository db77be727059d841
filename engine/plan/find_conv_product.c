/* find_conv_product.c - a network of one Conv and a classifier: the Conv's result is flattened and multiplied by a
 * constant, and nobody else reads it. One step makes a band of it at a time and multiplies that in the cache. */
#include "engine/plan/plan.h"
#include "ops/conv_product.h"

/* Every such Gemm of the plan. Not where somebody watches: the values in between would not be seen. */
ingot_status ingot_plan_conv_product(ingot_plan *plan, ingot_uses *uses, ingot_error *error)
{
    for (int s = 0; s < plan->n_steps && !plan->env->observe; s++) {
        const ingot_step *gemm = plan->steps[s];
        if (!ingot_step_is(gemm, "Gemm"))
            continue;
        const ingot_step *flat = ingot_made_by(plan, uses, gemm->inputs[0], "Reshape", true);
        if (!flat)
            flat = ingot_made_by(plan, uses, gemm->inputs[0], "Flatten", true);
        const ingot_step *conv = flat ? ingot_made_by(plan, uses, flat->inputs[0], "Conv", true) : NULL;
        if (conv && flat->ctx.node->n_fused == 0 && flat->ctx.in[0]->shape[0] == gemm->ctx.in[0]->shape[0] &&
            conv->ctx.op == conv->ctx.node->op && ingot_conv_product_fits(&conv->ctx, &gemm->ctx) &&
            !ingot_plan_join(plan, s, conv, true, ingot_conv_product_op()))
            return ingot_out_of_memory(error);
    }
    return INGOT_OK;
}
