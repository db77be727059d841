/* find_conv_product.c - a network of one Conv and a classifier: the Conv's result is flattened and multiplied by a
 * constant, and nobody else reads it. One step makes a band of it at a time and multiplies that in the cache. */
#include "engine/plan/plan.h"
#include "ops/conv_product.h"

/* One step in the place of `gemm`, which is plan->steps[s] and keeps its node; false when memory is out. The steps of
 * the Conv and of what flattens its result are left without readers. */
static bool replace(ingot_plan *plan, int s, const ingot_step *conv)
{
    const ingot_step *gemm = plan->steps[s];
    const int n_conv = conv->ctx.n_in, n = n_conv + gemm->ctx.n_in - 1;
    int *inputs = ingot_arena_array(&plan->arena, (size_t)n, sizeof *inputs);
    ingot_conv_product *form = ingot_arena_alloc(&plan->arena, sizeof *form);

    if (!inputs || !form)
        return false;
    for (int i = 0; i < n; i++)
        inputs[i] = i < n_conv ? conv->inputs[i] : gemm->inputs[i - n_conv + 1];
    ingot_step *step = ingot_plan_make_step(plan, gemm->ctx.node, inputs, n, gemm->outputs, 1);
    if (!step)
        return false;
    *form = (ingot_conv_product){conv->ctx.node, n_conv};
    step->ctx.op = ingot_conv_product_op();
    step->ctx.state = form;
    step->before = conv->ctx.node;
    plan->steps[s] = step;
    return true;
}

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
            !replace(plan, s, conv))
            return ingot_out_of_memory(error);
    }
    return INGOT_OK;
}
