/* infer.c - types and shapes. Walks the nodes in order with the real input shapes: every value gets its type and shape,
 * a value whose inputs are all known is computed at once (shape arithmetic mostly), and the rest becomes steps. Where a
 * shape depends on data that only a run has, the step is dynamic, and so is all that follows from it. */
#include <string.h>

#include "engine/plan/plan.h"

/* Values larger than this are not computed while planning, unless they are no larger than what they come from. */
enum { KNOWN_LIMIT_BYTES = 1 << 20 };

/* The line that every want of memory gets. */
/* Type and shape are taken from the tensor; the elements only where they stay the same in every run. A bound value's
 * data pointer is set anew before each run. */
static void set_outside_value(ingot_plan_value *value, const ingot_plan_input *input)
{
    value->tensor = *input->tensor;
    value->place = input->known ? INGOT_PLACE_KNOWN : INGOT_PLACE_BOUND;
    if (!input->known)
        value->tensor.data = NULL;
}

/* One plan value for each of the graph's, with the same id; constants are known at once. A bound input replaces its
 * default. False when memory is out. Tensors are copied by value: types and shapes, with data shared. Captures that the
 * caller leaves out stay unknown. */
static bool make_values(ingot_plan *plan, const ingot_plan_input *inputs, const ingot_plan_input *captures)
{
    const ingot_graph *graph = plan->graph;
    for (int i = 0; i < graph->n_values; i++) {
        const ingot_const *constant = graph->values[i].constant;
        const int id = ingot_plan_add_value(plan, constant ? &constant->tensor : NULL);
        if (id == INGOT_NONE)
            return false;
        if (constant) {
            plan->values[id]->constant = constant;
            plan->values[id]->place = INGOT_PLACE_KNOWN;
        }
    }
    /* Outside values replace what the graph has of them. */
    for (int i = 0; i < graph->n_inputs; i++)
        if (inputs[i].tensor) {
            set_outside_value(plan->values[graph->inputs[i]], &inputs[i]);
            plan->values[graph->inputs[i]]->constant = NULL;
        }
    for (int i = 0; i < graph->n_captures; i++)
        if (captures[i].tensor)
            set_outside_value(plan->values[graph->captures[i]], &captures[i]);
    return true;
}

/* Is every element that the node reads known, and may the node be computed now? Operators that read shapes only
 * (INGOT_OP_SHAPE_ONLY) do not need the elements. Random operators and nodes with subgraphs that capture are left for
 * the run. */
static bool all_known(const ingot_plan *plan, const ingot_step *step)
{
    const ingot_op_ctx *c = &step->ctx;
    if (c->op->flags & INGOT_OP_RANDOM || c->node->n_captures)
        return false;
    size_t in_bytes = 0, out_bytes = 0;
    for (int i = 0; i < c->n_in; i++) {
        if (step->inputs[i] == INGOT_NONE)
            continue;
        const ingot_plan_value *value = plan->values[step->inputs[i]];
        if (value->place != INGOT_PLACE_KNOWN && !(c->op->flags & INGOT_OP_SHAPE_ONLY))
            return false;
        in_bytes += value->tensor.kind == INGOT_TENSOR ? ingot_storage_bytes(&value->tensor) : 0;
    }
    for (int i = 0; i < c->n_out; i++)
        if (c->out[i] && c->out[i]->rank >= 0)
            out_bytes += ingot_storage_bytes(c->out[i]);
    return out_bytes <= KNOWN_LIMIT_BYTES || out_bytes <= in_bytes;
}

/* Strings and items of sequences were made in memory of the run, and known values outlive it: take copies. plan->keeps
 * makes the host's run memory the plan's meanwhile. */
static ingot_status keep_outputs(ingot_plan *plan, ingot_step *step)
{
    ingot_op_ctx *c = &step->ctx;
    ingot_status status = INGOT_OK;
    plan->keeps = true;
    for (int i = 0; i < c->n_out && !status; i++)
        if (c->out[i] && (c->out[i]->kind != INGOT_TENSOR || c->out[i]->dtype == INGOT_STRING)) {
            const ingot_tensor made = *c->out[i];
            status = ingot_run_copy(c, &made, c->out[i]);
        }
    plan->keeps = false;
    return status;
}

/* Compute a step while planning: its outputs become known. Scratch lives for this call only. On failure, and where the
 * run is cancelled meanwhile, nothing becomes known; what was allocated stays in the plan's arena until that is
 * freed. */
static ingot_status evaluate_now(ingot_plan *plan, ingot_step *step, ingot_error *error)
{
    ingot_op_ctx *c = &step->ctx;
    ingot_status status;
    if ((status = ingot_step_settle_constants(step, error)))
        return status;
    for (int i = 0; i < c->n_out; i++)
        if (c->out[i] && c->out[i]->rank >= 0 && !c->host->allocate_output(c, i))
            return ingot_out_of_memory(error);
    char *scratch = NULL;
    /* Packs made here go into the model's cache, hence its lock. */
    if (c->op->prepare) {
        if ((status = ingot_plan_lock(plan->env, error)))
            return status;
        status = ingot_step_prepare(step, error);
        if (!status)
            status = ingot_files_check(plan->env->files, error);
        ingot_pack_cache_unlock(plan->env->packs, !status);
        ingot_plan_drop_block(plan->env);
        if (status)
            return status;
        scratch = ingot_alloc(plan->env->memory,
                              c->scratch_bytes + c->thread_scratch_bytes * (size_t)ingot_team_size(c->team));
        if (!scratch)
            return ingot_out_of_memory(error);
        c->scratch = scratch;
    }
    status = ingot_step_compute(step, error);
    if (!status)
        status = ingot_plan_stopped(plan->env, error);
    if (!status)
        status = keep_outputs(plan, step);
    ingot_release(plan->env->memory, scratch);
    for (int i = 0; i < c->n_out && !status; i++)
        if (c->out[i])
            plan->values[step->outputs[i]]->place = INGOT_PLACE_KNOWN;
    return status;
}

/* Constants are read from the file only when the shape depends on them or the step is computed now: most weights go
 * straight from the file into their packed form. An input of rank -1 cannot be looked at before a run, so the step is
 * put off without asking its operator. The types of its outputs may be set all the same. */
ingot_status ingot_plan_infer_step(ingot_plan *plan, ingot_step *step, ingot_error *error)
{
    ingot_op_ctx *c = &step->ctx;
    ingot_status status;
    for (int i = 0; i < c->n_in; i++)
        if (c->in[i] && c->in[i]->rank < 0)
            return INGOT_LATER;
    if ((status = ingot_op_check_types(c, error)))
        return status;
    status = c->op->infer(c);
    if (status == INGOT_LATER) { /* perhaps only because a constant lies unaligned in the file */
        if ((status = ingot_step_settle_constants(step, error)))
            return status;
        status = c->op->infer(c);
    }
    if (status)
        return status;
    /* Shapes are known now; perhaps the elements can be, too. */
    if (all_known(plan, step))
        return evaluate_now(plan, step, error);
    for (int i = 0; i < c->n_out; i++)
        if (c->out[i] && (c->out[i]->rank < 0 || c->out[i]->kind != INGOT_TENSOR))
            return INGOT_LATER;
    return INGOT_OK;
}

/* Infer node `index` and append its step, unless all of its outputs are known already. Outputs of a dynamic step lose
 * what was inferred: the run tells it again. The error line gets the node's name. */
static ingot_status add_step(ingot_plan *plan, int index, ingot_error *error)
{
    const ingot_node *node = plan->graph->nodes[index];
    ingot_step *step =
        ingot_plan_make_step(plan, node, node->inputs, node->n_all_inputs, node->outputs, node->n_outputs);
    if (!step)
        return ingot_out_of_memory(error);
    step->ctx.error = error;
    const ingot_status status = ingot_plan_infer_step(plan, step, error);
    if (status && status != INGOT_LATER)
        return ingot_step_error(step, status, error);
    bool known = true;
    for (int i = 0; i < node->n_outputs; i++) {
        if (node->outputs[i] == INGOT_NONE)
            continue;
        ingot_plan_value *value = plan->values[node->outputs[i]];
        if (value->place == INGOT_PLACE_KNOWN)
            continue;
        known = false;
        value->place = status == INGOT_LATER ? INGOT_PLACE_DYNAMIC : INGOT_PLACE_ARENA;
        if (status == INGOT_LATER) {
            value->tensor.rank = -1;
            value->tensor.data = NULL;
        }
    }
    step->dynamic = status == INGOT_LATER;
    if (!known)
        plan->steps[plan->n_steps++] = step;
    return INGOT_OK;
}

/* Let a step that can flatten its input itself read what a Reshape or Flatten before it shows: the tensor may then stay
 * blocked. `before` is the step's index. The batch must be the same on both sides, and the source computed by a step.
 * The Reshape goes with the unused steps if this was its only reader. */
static void skip_flatten(ingot_plan *plan, ingot_step *step, int before)
{
    ingot_op_ctx *c = &step->ctx;
    if (step->dynamic || !c->op->flattens || !c->op->flattens(c))
        return;
    for (int s = before - 1; s >= 0; s--) {
        const ingot_step *source = plan->steps[s];
        if (source->outputs[0] != step->inputs[0])
            continue;
        const ingot_tensor *from = source->ctx.in[0];
        if (!source->dynamic && source->ctx.op->flags & INGOT_OP_VIEW && from->rank > 2 &&
            from->shape[0] == c->in[0]->shape[0] && plan->values[source->inputs[0]]->place == INGOT_PLACE_ARENA) {
            step->inputs[0] = source->inputs[0];
            c->in[0] = source->ctx.in[0];
        }
        return;
    }
}

/* Drop steps that no output needs, and the outputs of others that nobody reads. One walk against the running order: a
 * step is met after all of its readers. False when memory is out. */
static bool drop_unused(ingot_plan *plan, const bool *wanted)
{
    const ingot_graph *graph = plan->graph;
    bool *needed = ingot_arena_array(&plan->arena, (size_t)plan->n_values + 1, sizeof *needed);
    if (!needed)
        return false;
    /* What must survive the run is needed whatever reads it. */
    for (int i = 0; i < graph->n_values; i++)
        needed[i] = graph->values[i].n_outputs || (wanted && wanted[i]);
    for (int i = 0; i < plan->n_values; i++)
        plan->values[i]->is_output = needed[i];
    int kept = plan->n_steps;
    for (int s = plan->n_steps - 1; s >= 0; s--) {
        ingot_step *step = plan->steps[s];
        bool used = false;
        for (int i = 0; i < step->ctx.n_out; i++)
            used = used || (step->outputs[i] != INGOT_NONE && needed[step->outputs[i]]);
        if (!used)
            continue;
        if (!plan->env->observe) /* whoever watches wants to see what the Reshape shows */
            skip_flatten(plan, step, s);
        for (int i = 0; i < step->ctx.n_in; i++)
            if (step->inputs[i] != INGOT_NONE)
                needed[step->inputs[i]] = true;
        for (int i = 0; i < step->ctx.n_out; i++) {
            if (step->outputs[i] == INGOT_NONE)
                continue;
            if (i > 0 && !needed[step->outputs[i]]) { /* output 0 is always computed */
                plan->values[step->outputs[i]]->place = INGOT_PLACE_NONE;
                step->outputs[i] = INGOT_NONE;
                step->ctx.out[i] = NULL;
            }
        }
        plan->steps[--kept] = step;
    }
    /* The steps that stay have gathered at the end of the list. */
    plan->n_steps -= kept;
    memmove(plan->steps, plan->steps + kept, (size_t)plan->n_steps * sizeof *plan->steps);
    return true;
}

/* Lazy constants of the steps that remain get memory last, when those nobody needs are gone. The stages: a value for
 * each of the graph's, a step for each node that is not known, merged steps, unused steps out, constants read. */
ingot_status ingot_plan_infer(ingot_plan *plan, const ingot_plan_input *inputs, const ingot_plan_input *captures,
                              const bool *wanted, ingot_error *error)
{
    plan->steps = ingot_arena_array(&plan->arena, (size_t)plan->graph->n_nodes + 1, sizeof *plan->steps);
    if (!plan->steps || !make_values(plan, inputs, captures))
        return ingot_out_of_memory(error);
    ingot_status status = INGOT_OK;
    for (int i = 0; i < plan->graph->n_nodes; i++)
        if ((status = ingot_plan_stopped(plan->env, error)) || (status = add_step(plan, i, error)))
            return status;
    if ((status = ingot_plan_merge(plan, wanted, error)))
        return status;
    if (!drop_unused(plan, wanted))
        return ingot_out_of_memory(error);
    for (int s = 0; s < plan->n_steps; s++)
        if ((status = ingot_step_settle_constants(plan->steps[s], error)))
            return status;
    return ingot_plan_settle_outputs(plan, error);
}
