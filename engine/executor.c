/* executor.c - running a plan: binds the outside tensors, walks the steps, and runs the subgraphs that control-flow
 * operators ask for. A static step costs one call; a dynamic one is inferred, prepared and given memory first. */
#include <string.h>

#include "engine/plan/plan.h"

/* Centuries count as no deadline. */
uint64_t ingot_deadline_ns(double timeout_s)
{
    return timeout_s > 0 && timeout_s < 4e9 ? ingot_now_ns() + (uint64_t)(timeout_s * 1e9) : 0;
}

/* ---- dynamic steps ---- */

/* Prepare a step whose shapes only this run has. Packing goes through the model's cache under its lock, as in
 * planning; scratch (the step's own and one part for each thread) comes from the run arena and lives until the next
 * run. */
static ingot_status prepare_dynamic(ingot_step *step, ingot_error *error)
{
    ingot_op_ctx *c = &step->ctx;
    ingot_plan *plan = step->plan;
    ingot_status status = ingot_plan_lock(plan->env, error);
    if (status)
        return status;
    status = ingot_step_prepare(step, error);
    if (!status)
        status = ingot_files_check(plan->env->files, error);
    ingot_pack_cache_unlock(plan->env->packs, !status);
    ingot_plan_drop_block(plan->env);
    if (status)
        return status;
    c->scratch = ingot_arena_alloc(&plan->env->run_arena,
                                   c->scratch_bytes + c->thread_scratch_bytes * (size_t)ingot_team_size(c->team));
    return c->scratch ? INGOT_OK : ingot_out_of_memory(error);
}

/* Check, infer, allocate outputs, prepare: what planning does for a static step. INGOT_LATER is final here, since
 * every input is there now. An output of rank -1 stays without memory: its operator allocates it while it runs. */
static ingot_status ready_dynamic(ingot_step *step, ingot_error *error)
{
    ingot_op_ctx *c = &step->ctx;
    ingot_status status = ingot_op_check_types(c, error);
    if (status)
        return status;
    status = c->op->infer(c);
    if (status)
        return status == INGOT_LATER ? ingot_fail(error, INGOT_INVALID, "its output shape cannot be told") : status;
    for (int i = 0; i < c->n_out; i++)
        if (c->out[i] && c->out[i]->kind == INGOT_TENSOR && c->out[i]->rank >= 0 && !c->host->allocate_output(c, i))
            return ingot_out_of_memory(error);
    return c->op->prepare ? prepare_dynamic(step, error) : INGOT_OK;
}

/* Give back the dynamic values that nothing reads after this step, so that a run with dynamic shapes needs little more
 * than the values that are alive. The steps that made them and those that read them see NULL data until the next
 * run. */
static void free_dying(ingot_step *step)
{
    ingot_plan *plan = step->plan;
    for (int i = 0; i < step->n_dying; i++) {
        ingot_plan_value *value = plan->values[step->dying[i]];
        if (value->tensor.kind == INGOT_TENSOR)
            ingot_release_spare(plan->env->memory, value->tensor.data);
        value->tensor.data = NULL;
    }
}

/* ---- steps ---- */

/* With fewer operations for each byte that it writes, a step waits for memory. */
enum { MOVING_FLOPS = 8 };

/* Was the run cancelled (from any thread), or has its time run out? Asked between steps, while planning as well. */
ingot_status ingot_plan_stopped(const ingot_plan_env *env, ingot_error *error)
{
    if (!ingot_team_cancelled(env->team))
        return INGOT_OK;
    const bool is_late = env->deadline_ns && ingot_now_ns() > env->deadline_ns;
    return ingot_fail(error, INGOT_CANCELLED, "the run was cancelled%s", is_late ? ": its time is up (--timeout)" : "");
}

/* Microseconds that a step may take which can be given up between its pieces: by its multiply-adds, and by the bytes it
 * writes where those are what takes its time. 0 for other steps. */
static double long_work_us(const ingot_step *step)
{
    double bytes = 0;
    if (!(step->ctx.op->flags & INGOT_OP_LONG))
        return 0;
    for (int i = 0; i < step->ctx.n_out; i++)
        bytes += step->ctx.out[i] ? (double)ingot_storage_bytes(step->ctx.out[i]) : 0;
    const double flops_us = (double)step->flops / INGOT_FLOPS_IN_US, bytes_us = bytes / INGOT_FRESH_BYTES_IN_US;
    return (double)step->flops < MOVING_FLOPS * bytes ? MAX(flops_us, bytes_us) : flops_us;
}

/* What the step writes, where that may be memory that nobody wrote to before. Returns whether there was any. */
static bool touch_fresh(const ingot_step *step)
{
    const ingot_op_ctx *c = &step->ctx;
    bool any = false;
    if (!step->dynamic && step->plan->has_run)
        return false;
    for (int i = 0; i < c->n_out; i++)
        if (c->out[i] && c->out[i]->kind == INGOT_TENSOR && c->out[i]->rank >= 0)
            any |= ingot_team_touch(c->team, c->out[i]->data, ingot_storage_bytes(c->out[i]));
    return ingot_team_touch(c->team, c->scratch, c->scratch_bytes) || any;
}

/* An operator that was given up in its prepare() tells of memory. What a dynamic step asked for in the run before is
 * forgotten: fused nodes begin with a copy of its context. */
ingot_status ingot_step_prepare(ingot_step *step, ingot_error *error)
{
    step->ctx.scratch_bytes = step->ctx.thread_scratch_bytes = 0;
    const ingot_status status = step->ctx.op->prepare(&step->ctx);
    const ingot_status stopped = status ? ingot_plan_stopped(step->plan->env, error) : INGOT_OK;
    return stopped ? stopped : status;
}

/* Scratch is there too. Outputs are complete only where the run has not been cancelled meanwhile. */
ingot_status ingot_step_compute(ingot_step *step, ingot_error *error)
{
    ingot_op_ctx *c = &step->ctx;
    ingot_status status = touch_fresh(step) ? ingot_plan_stopped(step->plan->env, error) : INGOT_OK;
    ingot_team_expect(c->team, long_work_us(step));
    if (!status)
        status = c->op->run(c);
    ingot_team_expect(c->team, 0);
    return status;
}

/* Run one step. A static view costs nothing but a pointer: its output is its input's memory; only further outputs
 * make the operator run. Dying values are freed after a failure too. */
static ingot_status run_step(ingot_step *step, ingot_error *error)
{
    ingot_op_ctx *c = &step->ctx;
    ingot_status status = INGOT_OK;
    c->error = error;
    if (step->dynamic)
        status = ready_dynamic(step, error);
    if (step->view)
        c->out[0]->data = c->in[0]->data;
    if (!status && (!step->view || c->n_out > 1)) {
        if (step->dynamic && c->op->flops)
            step->flops = c->op->flops(c);
        status = ingot_step_compute(step, error);
    }
    if (step->n_dying)
        free_dying(step);
    return status;
}

/* All steps in order. Before each and after the last the run may be cancelled; a body without steps that a Loop runs
 * for ever must end too. Times are taken only when profiling. The error line of a step that fails gets the node's
 * name. */
static ingot_status run_steps(ingot_plan *plan, ingot_error *error)
{
    const ingot_plan_env *env = plan->env;
    for (int s = 0;; s++) {
        const ingot_status stopped = ingot_plan_stopped(env, error);
        if (stopped)
            return stopped;
        if (s == plan->n_steps) {
            plan->has_run = true;
            return INGOT_OK;
        }
        ingot_step *step = plan->steps[s];
        if (env->profile) {
            step->start_ns = ingot_now_ns();
            if (plan == env->outermost)
                ingot_team_mark(env->team, s);
        }
        ingot_status status = run_step(step, error);
        if (!status && env->observe && plan->graph == env->observed)
            status = ingot_observe_step(step, error);
        if (status)
            return status == INGOT_CANCELLED ? status : ingot_step_error(step, status, error);
        if (env->profile)
            step->time_ns = ingot_now_ns() - step->start_ns;
    }
}

/* Let a value from outside point at the caller's tensor. Known values keep their own memory, and a NULL tensor the
 * initializer. The tensor is copied, its elements are not. */
static void bind(ingot_plan_value *value, const ingot_tensor *tensor)
{
    if (value->place == INGOT_PLACE_BOUND && tensor)
        value->tensor = *tensor;
}

/* Free what is left of the run before (also of one that failed) and forget the shapes, which this run tells anew. */
static void drop_dynamic(ingot_plan *plan)
{
    for (int v = 0; v < plan->n_values; v++) {
        ingot_plan_value *value = plan->values[v];
        if (value->place != INGOT_PLACE_DYNAMIC)
            continue;
        if (value->tensor.kind == INGOT_TENSOR)
            ingot_release_spare(plan->env->memory, value->tensor.data);
        value->tensor.data = NULL;
        value->tensor.rank = -1;
    }
}

/* Inputs and captures must be those the plan was made for (ingot_plan_find). Nothing is copied, so they stay the
 * caller's until the outputs have been read. After an error the plan can be run again. */
ingot_status ingot_plan_run(ingot_plan *plan, const ingot_tensor *const *inputs, const ingot_tensor *const *captures,
                            ingot_error *error)
{
    const ingot_graph *graph = plan->graph;
    drop_dynamic(plan);
    for (int i = 0; i < graph->n_inputs; i++)
        bind(plan->values[graph->inputs[i]], inputs[i]);
    for (int i = 0; i < graph->n_captures; i++)
        bind(plan->values[graph->captures[i]], captures[i]);
    return run_steps(plan, error);
}

/* ---- subgraphs ----
 *
 * An operator like If or Loop calls a subgraph by ingot_call(). Each graph of a step has a list of plans, one for each
 * set of input shapes it met: a Loop whose shapes stay plans once, one whose shapes grow plans every time around.
 * Captured values are passed as tensors behind the inputs; those that are known while planning stay known inside. */

/* The record of a subgraph of the step's node, made at its first call and kept in the plan's arena. NULL when memory
 * is out. */
static ingot_callee *find_callee(ingot_step *step, const ingot_graph *graph)
{
    for (ingot_callee *callee = step->callees; callee; callee = callee->next)
        if (callee->graph == graph)
            return callee;
    ingot_callee *callee = ingot_arena_alloc(&step->plan->arena, sizeof *callee);
    if (!callee)
        return NULL;
    callee->graph = graph;
    callee->first_capture = step->ctx.node->n_inputs;
    callee->next = step->callees;
    step->callees = callee;
    callee->next_of_plan = step->plan->callees;
    step->plan->callees = callee;
    /* Captures of the node's subgraphs follow its own inputs, graph attributes in order. */
    const ingot_node *node = step->ctx.node;
    for (size_t a = 0; a < node->n_attrs; a++) {
        if (node->attrs[a].type != INGOT_ATTR_GRAPH && node->attrs[a].type != INGOT_ATTR_GRAPHS)
            continue;
        for (size_t g = 0; g < node->attrs[a].n; g++) {
            if (node->attrs[a].graphs[g] == graph)
                return callee;
            callee->first_capture += node->attrs[a].graphs[g]->n_captures;
        }
    }
    return callee;
}

/* The callee's plan for these shapes: from its cache, or made now. A new plan goes to the front of the list, which
 * ingot_plan_find() has made room in. The arrays for making it are the run's. */
static ingot_status plan_callee(ingot_step *step, ingot_callee *callee, const ingot_tensor *const *inputs,
                                const ingot_tensor *const *captures, ingot_plan **result, ingot_error *error)
{
    if ((*result = ingot_plan_find(&callee->plans, inputs, captures)))
        return INGOT_OK;
    const ingot_graph *graph = callee->graph;
    ingot_arena *arena = &step->plan->env->run_arena;
    ingot_plan_input *in = ingot_arena_array(arena, (size_t)(graph->n_inputs + graph->n_captures), sizeof *in);
    if (!in)
        return ingot_out_of_memory(error);
    for (int i = 0; i < graph->n_inputs; i++)
        in[i].tensor = inputs[i];
    for (int i = 0; i < graph->n_captures; i++) {
        const int outer = step->inputs[callee->first_capture + i];
        in[graph->n_inputs + i] =
            (ingot_plan_input){captures[i], step->plan->values[outer]->place == INGOT_PLACE_KNOWN};
    }
    ingot_plan *plan = NULL;
    const ingot_status status =
        ingot_plan_create(step->plan->env, graph, in, in + graph->n_inputs, NULL, &plan, error);
    if (status)
        return status;
    plan->next = callee->plans;
    callee->plans = *result = plan;
    return INGOT_OK;
}

/* A blocked value has a plain twin where it is an output; that one is handed out. The tensor stays the plan's and is
 * valid until its next run. */
int ingot_plan_output_value(const ingot_plan *plan, int value)
{
    const ingot_plan_value *v = plan->values[value];
    return v->tensor.layout != INGOT_PLAIN && v->twin != INGOT_NONE ? v->twin : value;
}

const ingot_tensor *ingot_plan_output(const ingot_plan *plan, int value)
{
    return &plan->values[ingot_plan_output_value(plan, value)]->tensor;
}

/* The context is part of a step, which leads to the plan and its captured values. Outputs point into the subgraph's
 * plan: the next call of the same graph may overwrite them, so an operator copies what it keeps. */
ingot_status ingot_plan_call(ingot_op_ctx *c, const ingot_graph *graph, const ingot_tensor *const *inputs, int n_inputs,
                             ingot_tensor *outputs, int n_outputs)
{
    ingot_step *step = (ingot_step *)((char *)c - offsetof(ingot_step, ctx));
    if (n_inputs != graph->n_inputs || n_outputs > graph->n_outputs)
        return ingot_fail(c->error, INGOT_INVALID, "subgraph '%.80s' has %d inputs and %d outputs, expected %d and %d",
                          graph->name, graph->n_inputs, graph->n_outputs, n_inputs, n_outputs);
    ingot_callee *callee = find_callee(step, graph);
    if (!callee)
        return ingot_out_of_memory(c->error);
    const ingot_tensor *const *captures = (const ingot_tensor *const *)c->in + callee->first_capture;
    ingot_plan *plan = NULL;
    ingot_status status = plan_callee(step, callee, inputs, captures, &plan, c->error);
    if (!status)
        status = ingot_plan_run(plan, inputs, captures, c->error);
    for (int i = 0; i < n_outputs && !status; i++)
        outputs[i] = *ingot_plan_output(plan, graph->outputs[i]);
    return status;
}
