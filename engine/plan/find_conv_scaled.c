/* find_conv_scaled.c - squeeze-and-excitation: a Mul gives each channel of an image a weight of its own, and a 1x1 Conv
 * alone reads the result. The Conv's weights are multiplied instead: they are fewer. */
#include "engine/plan/plan.h"
#include "ops/conv_scaled.h"

/* One step in the place of `conv`, which is plan->steps[s] and keeps its node; false when memory is out. The Mul's step
 * is left without readers. */
static bool replace(ingot_plan *plan, int s, const ingot_step *mul, int scale)
{
    const ingot_step *conv = plan->steps[s];
    const int n = conv->ctx.n_in;
    int *inputs = ingot_arena_array(&plan->arena, (size_t)n + 1, sizeof *inputs);

    if (!inputs)
        return false;
    inputs[0] = mul->inputs[1 - scale];
    for (int i = 1; i < n; i++)
        inputs[i] = conv->inputs[i];
    inputs[n] = mul->inputs[scale];
    ingot_step *step = ingot_plan_make_step(plan, conv->ctx.node, inputs, n + 1, conv->outputs, 1);
    if (!step)
        return false;
    step->ctx.op = ingot_conv_scaled_op();
    plan->steps[s] = step;
    return true;
}

/* Every such Conv of the plan. Not where somebody watches: the product would not be seen. */
ingot_status ingot_plan_conv_scaled(ingot_plan *plan, ingot_uses *uses, ingot_error *error)
{
    for (int s = 0; s < plan->n_steps && !plan->env->observe; s++) {
        const ingot_step *conv = plan->steps[s];
        if (!ingot_step_is(conv, "Conv") || conv->ctx.op != conv->ctx.node->op)
            continue;
        const ingot_step *mul = ingot_made_by(plan, uses, conv->inputs[0], "Mul", true);
        for (int scale = 0; mul && scale < 2; scale++)
            if (ingot_conv_scaled_fits(&conv->ctx, &mul->ctx, scale)) {
                if (!replace(plan, s, mul, scale))
                    return ingot_out_of_memory(error);
                break;
            }
    }
    return INGOT_OK;
}
