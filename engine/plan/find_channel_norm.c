/* find_channel_norm.c - Transpose, LayerNormalization, Transpose back, as networks of convolutions normalize the
 * channels of each pixel, becomes one step of an internal operator that reads and writes blocked images: they stay as
 * they are. */
#include <string.h>

#include "engine/plan/plan.h"

/* Does the Transpose move dimension 1 to the end, or the last one to place 1 (`back`), and keep the others in order?
 * (N, C, spatial...) to (N, spatial..., C), or back; a perm that is left out would reverse all dimensions. */
static bool moves_channels(const ingot_step *step, bool back)
{
    const ingot_attr *perm = ingot_node_attr(step->ctx.node, "perm");
    const int rank = step->ctx.in[0]->rank;

    if (rank < 3 || rank > 5 || !perm || perm->n != (size_t)rank || perm->ints[0] != 0)
        return false;
    for (int d = 1; d < rank; d++) {
        const int64_t want = back ? (d == 1 ? rank - 1 : d - 1) : (d == rank - 1 ? 1 : d + 1);
        if (perm->ints[d] != want)
            return false;
    }
    return true;
}

/* One number for each of n channels. Scale or bias of the normalization. */
static bool is_vector(const ingot_tensor *t, int64_t n)
{
    return t->kind == INGOT_TENSOR && t->dtype == INGOT_FLOAT && t->rank == 1 && t->shape[0] == n;
}

/* Is `back`, a step of the plan, the end of such a normalization? Returns that, or NULL. Fewer channels than a block
 * holds would be padding mostly. All values between have one reader. */
static const ingot_step *find_norm(const ingot_plan *plan, const ingot_uses *uses, const ingot_step *back)
{
    if (!ingot_step_is(back, "Transpose") || !moves_channels(back, true))
        return NULL;
    const ingot_step *norm = ingot_made_by(plan, uses, back->inputs[0], "LayerNormalization", true);
    const ingot_step *there = norm ? ingot_made_by(plan, uses, norm->inputs[0], "Transpose", true) : NULL;
    if (!there || !moves_channels(there, false) || norm->ctx.node->n_fused)
        return NULL;
    const ingot_op_ctx *c = &norm->ctx;
    const int rank = c->in[0]->rank;
    const int64_t axis = ingot_attr_int(c->node, "axis", -1), channels = c->in[0]->shape[rank - 1];
    bool fits = (axis == -1 || axis == rank - 1) && channels >= INGOT_BLOCK && ingot_count(c->in[0]) > 0;
    for (int i = 1; i < c->n_in && fits; i++)
        fits = norm->inputs[i] == INGOT_NONE ? i == 2 : is_vector(c->in[i], channels);
    for (int i = 1; i < c->n_out && fits; i++)           /* mean and deviation are not kept */
        fits = norm->outputs[i] == INGOT_NONE || !uses->readers[norm->outputs[i]];
    return fits ? norm : NULL;
}

/* One step in the place of `back`, which is plan->steps[s], named after the LayerNormalization and with its attributes.
 * False when memory is out. The step reads what the first Transpose read, and makes what the last one made. */
static bool replace(ingot_plan *plan, const ingot_uses *uses, int s, const ingot_step *norm)
{
    const ingot_step *there = plan->steps[uses->producers[norm->inputs[0]]];
    const int inputs[3] = {there->inputs[0], norm->inputs[1], norm->ctx.n_in > 2 ? norm->inputs[2] : INGOT_NONE};
    ingot_node *node = ingot_arena_alloc(&plan->arena, sizeof *node);
    bool known;

    if (!node)
        return false;
    *node = (ingot_node){.name = norm->ctx.node->name, .op_type = "LayerNormalization", .domain = "ingot.internal",
                         .version = 1, .n_inputs = 3, .n_all_inputs = 3, .n_outputs = 1,
                         .n_attrs = norm->ctx.node->n_attrs, .attrs = norm->ctx.node->attrs};
    node->op = ingot_op_find(node->domain, node->op_type, 1, &known);
    ingot_step *step = ingot_plan_make_step(plan, node, inputs, 3, plan->steps[s]->outputs, 1);
    if (step)
        plan->steps[s] = step;
    return step != NULL;
}

/* Every such normalization of the plan; the steps it replaces are left without readers. */
ingot_status ingot_plan_channel_norm(ingot_plan *plan, ingot_uses *uses, ingot_error *error)
{
    for (int s = 0; s < plan->n_steps; s++) {
        const ingot_step *norm = find_norm(plan, uses, plan->steps[s]);
        if (norm && !replace(plan, uses, s, norm))
            return ingot_out_of_memory(error);
    }
    return INGOT_OK;
}
