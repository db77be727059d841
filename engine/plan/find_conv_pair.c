/* find_conv_pair.c - a Conv and the step that alone reads its result become one, so that the tensor between them is
 * never written out: a 1x1 Conv and a depthwise one, the widest tensor of a mobile network's block; a network's first
 * Conv and its MaxPool, often the network's largest. */
#include "engine/plan/plan.h"
#include "ops/conv_pair.h"
#include "ops/conv_pool.h"

/* What may come behind a Conv, and the operator that does both. */
static const struct {
    const char *op_type;
    bool (*fits)(const ingot_op_ctx *conv, const ingot_op_ctx *behind);
    const ingot_op *(*op)(void);
} followers[] = {
    {"Conv", ingot_conv_pair_fits, ingot_conv_pair_op},
    {"MaxPool", ingot_conv_pool_fits, ingot_conv_pool_op},
};

/* Every such pair of the plan. Not where somebody watches: the value in between would not be seen. */
ingot_status ingot_plan_conv_pair(ingot_plan *plan, ingot_uses *uses, ingot_error *error)
{
    for (int s = 0; s < plan->n_steps && !plan->env->observe; s++) {
        const ingot_step *step = plan->steps[s];
        for (size_t i = 0; i < sizeof followers / sizeof *followers; i++) {
            if (!ingot_step_is(step, followers[i].op_type))
                continue;
            const ingot_step *conv = ingot_made_by(plan, uses, step->inputs[0], "Conv", true);
            if (conv && conv->ctx.op == conv->ctx.node->op && followers[i].fits(&conv->ctx, &step->ctx) &&
                !ingot_plan_join(plan, s, conv, true, followers[i].op()))
                return ingot_out_of_memory(error);
        }
    }
    return INGOT_OK;
}
