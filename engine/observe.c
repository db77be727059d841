/* observe.c - showing the values of a run to whoever watches it (ingot_session_observe). A value is shown right after
 * the step that makes it, while its memory holds nothing else; one that is kept blocked is shown as a row-major copy,
 * which goes back where it came from when it was changed. */
#include "engine/plan/plan.h"
#include "ops/blocked.h"

/* INGOT_LIMIT when memory is out. The observer returns whether it changed the copy. */
static ingot_status show_blocked(ingot_step *step, const char *name, ingot_tensor *value, ingot_error *error)
{
    const ingot_plan_env *env = step->plan->env;
    ingot_tensor plain = *value;
    plain.layout = INGOT_PLAIN;
    plain.data = ingot_alloc(env->memory, MAX(ingot_storage_bytes(&plain), (size_t)1));
    if (!plain.data)
        return ingot_out_of_memory(error);
    ingot_unblock(&step->ctx, value, value->data, plain.data);
    if (env->observe(env->observer, name, step->ctx.node->name, &plain))
        ingot_block(&step->ctx, value, plain.data, value->data);
    ingot_release(env->memory, plain.data);
    return INGOT_OK;
}

/* Steps that only convert a layout make nothing new; what nobody reads may be gone already. The copy that is handed out
 * keeps the callee from changing type, shape or place. */
ingot_status ingot_observe_step(ingot_step *step, ingot_error *error)
{
    const ingot_plan *plan = step->plan;
    ingot_status status = INGOT_OK;
    for (int i = 0; i < step->ctx.n_out && !status; i++) {
        const int id = step->outputs[i];
        if (id == INGOT_NONE || id >= plan->graph->n_values || !step->ctx.out[i])
            continue;
        ingot_tensor value = *step->ctx.out[i];
        const char *name = plan->graph->values[id].name;
        if (value.rank < 0 || (!value.data && (value.kind != INGOT_TENSOR || ingot_count(&value))))
            continue;
        if (value.layout != INGOT_PLAIN)
            status = show_blocked(step, name, &value, error);
        else
            plan->env->observe(plan->env->observer, name, step->ctx.node->name, &value);
    }
    return status;
}
