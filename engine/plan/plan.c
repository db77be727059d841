/* plan.c - making and freeing plans, and the pieces that the stages of planning share. */
#include "engine/plan/plan.h"

#include <string.h>

/* A context is always part of a step, so the step is found by its offset. Never call it with a context made by
 * itself. */
static ingot_step *step_of(ingot_op_ctx *c) { return (ingot_step *)((char *)c - offsetof(ingot_step, ctx)); }

/* ---- the host functions behind an operator's context ---- */

/* State that prepare() leaves for run(): in the plan's arena, as long as the plan. Zeroed; NULL past the limit. */
static void *host_keep(ingot_op_ctx *c, size_t size_bytes)
{
    const ingot_step *step = step_of(c);
    /* A dynamic step is prepared anew in every run: its state goes with the run. */
    if (step->dynamic) {
        void *memory = ingot_arena_alloc(&step->plan->env->run_arena, size_bytes);
        return memory;
    }
    return ingot_arena_alloc(&step->plan->arena, size_bytes);
}

/* Packed weights belong to the model, so that all of its plans and sessions share one copy. Called while the cache's
 * lock is held, as preparing steps does. */
static void *host_packed(ingot_op_ctx *c, const ingot_node *node, uint64_t tag, size_t size_bytes, bool *fill)
{
    return ingot_pack_cache_get(step_of(c)->plan->env->packs, node, tag, size_bytes, fill);
}

/* Memory that goes with the next run; NULL past the limit. While known values are computed (plan->keeps) it comes from
 * the plan, as they outlive the run. */
static void *host_run_alloc(ingot_op_ctx *c, size_t size_bytes)
{
    ingot_plan *plan = step_of(c)->plan;
    return ingot_arena_alloc(plan->keeps ? &plan->arena : &plan->env->run_arena, size_bytes);
}

/* While planning (no arena yet) and for known values outputs live in the plan; while running they are dynamic. A
 * dynamic value's old memory is given back first. False past the limit, with data NULL. */
static bool host_allocate_output(ingot_op_ctx *c, int index)
{
    ingot_step *step = step_of(c);
    ingot_plan *plan = step->plan;
    ingot_plan_value *value = plan->values[step->outputs[index]];
    const size_t size_bytes = ingot_storage_bytes(&value->tensor);
    if (value->place == INGOT_PLACE_DYNAMIC) {
        ingot_release_spare(plan->env->memory, value->tensor.data);
        value->tensor.data = ingot_alloc_spare(plan->env->memory, size_bytes);
    } else {
        value->tensor.data = ingot_arena_alloc(&plan->arena, size_bytes);
    }
    return value->tensor.data != NULL;
}

/* ---- values and steps ---- */

/* Values are reached through pointers, so that contexts can keep the address of a tensor while the array grows. tensor
 * NULL: type and shape are not known yet. Ids below graph->n_values are the graph's own. */
int ingot_plan_add_value(ingot_plan *plan, const ingot_tensor *tensor)
{
    if (plan->n_values == plan->value_capacity) {
        const int capacity = plan->value_capacity ? 2 * plan->value_capacity : MAX(64, plan->graph->n_values + 16);
        ingot_plan_value **values = ingot_arena_array(&plan->arena, (size_t)capacity, sizeof *values);
        if (!values)
            return INGOT_NONE;
        if (plan->n_values)
            memcpy(values, plan->values, (size_t)plan->n_values * sizeof *values);
        plan->values = values;
        plan->value_capacity = capacity;
    }
    ingot_plan_value *value = ingot_arena_alloc(&plan->arena, sizeof *value);
    if (!value)
        return INGOT_NONE;
    if (tensor)
        value->tensor = *tensor;
    else
        value->tensor.rank = -1;
    value->root = plan->n_values;
    value->twin = value->producer = INGOT_NONE;
    plan->values[plan->n_values] = value;
    return plan->n_values++;
}

/* Contexts point at the tensors of their values: what a later stage changes there, operators see. NULL when memory is
 * out. Ids are copied; the node is not, and must outlive the plan. */
ingot_step *ingot_plan_make_step(ingot_plan *plan, const ingot_node *node, const int *inputs, int n_inputs,
                                 const int *outputs, int n_outputs)
{
    ingot_arena *arena = &plan->arena;
    ingot_step *step = ingot_arena_alloc(arena, sizeof *step);
    if (!step)
        return NULL;
    step->plan = plan;
    step->inputs = ingot_arena_copy(arena, inputs, (size_t)n_inputs * sizeof *inputs);
    step->outputs = ingot_arena_copy(arena, outputs, (size_t)n_outputs * sizeof *outputs);
    ingot_op_ctx *c = &step->ctx;
    *c = (ingot_op_ctx){.node = node, .op = node->op, .n_in = n_inputs, .n_out = n_outputs, .kernel = "",
                        .kernels = plan->env->kernels, .team = plan->env->team,
                        .host = &plan->host, .conv_algorithm = plan->env->conv_algorithm,
                        .batch_invariant = plan->env->batch_invariant};
    c->in = ingot_arena_array(arena, (size_t)n_inputs, sizeof *c->in);
    c->out = ingot_arena_array(arena, (size_t)n_outputs, sizeof *c->out);
    c->constants = ingot_arena_array(arena, (size_t)n_inputs, sizeof *c->constants);
    if (!step->inputs || !step->outputs || !c->in || !c->out || !c->constants)
        return NULL;
    /* Operands that are left out stay NULL. */
    for (int i = 0; i < n_inputs; i++)
        if (inputs[i] != INGOT_NONE) {
            c->in[i] = &plan->values[inputs[i]]->tensor;
            c->constants[i] = plan->values[inputs[i]]->constant;
        }
    for (int i = 0; i < n_outputs; i++)
        if (outputs[i] != INGOT_NONE)
            c->out[i] = &plan->values[outputs[i]]->tensor;
    return step;
}

/* Returns the status it was given, so that the caller can return the call. */
ingot_status ingot_step_error(const ingot_step *step, ingot_status status, ingot_error *error)
{
    ingot_error_prefix(error, "node '%.80s' (%s)", step->ctx.node->name, step->ctx.node->op_type);
    return status;
}

/* Another session may hold the lock for as long as it packs. */
ingot_status ingot_plan_lock(const ingot_plan_env *env, ingot_error *error)
{
    ingot_status status = INGOT_OK;
    while (!status && !ingot_pack_cache_try_lock(env->packs, 5))
        status = ingot_plan_stopped(env, error);
    return status;
}

/* Give a lazy constant memory: the model's, which all plans share, or the plan's own where constants are read for the
 * moment only. The cache must not be locked by the caller. */
static ingot_status settle(ingot_plan *plan, const ingot_const *constant, ingot_tensor *tensor, ingot_error *error)
{
    if (!constant || tensor->data || !ingot_const_is_lazy(constant))
        return INGOT_OK;
    ingot_pack_cache *packs = plan->env->keep_constants ? plan->env->packs : NULL;
    const size_t size_bytes = ingot_storage_bytes(&constant->tensor);
    bool fill = true;
    if (packs && ingot_plan_lock(plan->env, error))
        return INGOT_CANCELLED;
    void *data = packs ? ingot_pack_cache_get(packs, constant, 0, size_bytes, &fill)
                       : ingot_arena_alloc(&plan->arena, size_bytes);
    ingot_status status = data ? INGOT_OK : ingot_out_of_memory(error);
    if (data && fill) {
        ingot_team_touch(plan->env->team, data, size_bytes);
        if (!ingot_const_read_by(plan->env->team, constant, data))
            status = ingot_plan_stopped(plan->env, error);
    }
    if (!status)
        status = ingot_files_check(plan->env->files, error);
    if (packs)
        ingot_pack_cache_unlock(packs, !status);
    tensor->data = status ? NULL : data;
    return status;
}

/* Operators with INGOT_OP_LAZY read constants themselves (they pack them), but for input 0, which is data even where it
 * is constant; those with INGOT_OP_SHAPE_ONLY need no elements. */
ingot_status ingot_step_settle_constants(ingot_step *step, ingot_error *error)
{
    if (step->ctx.op->flags & INGOT_OP_SHAPE_ONLY)
        return INGOT_OK;
    ingot_status status = INGOT_OK;
    const int n = step->ctx.op->flags & INGOT_OP_LAZY ? MIN(1, step->ctx.n_in) : step->ctx.n_in;
    for (int i = 0; i < n && !status; i++)
        status = step->ctx.in[i] ? settle(step->plan, step->ctx.constants[i], step->ctx.in[i], error) : INGOT_OK;
    return status;
}

/* An output that is a constant is handed to the caller as it is, so it needs plain memory. */
ingot_status ingot_plan_settle_outputs(ingot_plan *plan, ingot_error *error)
{
    ingot_status status = INGOT_OK;
    for (int v = 0; v < plan->n_values && !status; v++)
        if (plan->values[v]->is_output)
            status = settle(plan, plan->values[v]->constant, &plan->values[v]->tensor, error);
    return status;
}

/* ---- plans ---- */

/* Copies of the outside tensors; only their types and shapes are ever compared. Rank -2 stands for an input that was
 * not bound. False when memory is out. Data pointers are copied along and never followed. */
static bool keep_signature(ingot_plan *plan, const ingot_plan_input *inputs, const ingot_plan_input *captures)
{
    const ingot_graph *graph = plan->graph;
    plan->n_signature = graph->n_inputs + graph->n_captures;
    plan->signature = ingot_arena_array(&plan->arena, (size_t)plan->n_signature, sizeof *plan->signature);
    if (!plan->signature)
        return false;
    for (int i = 0; i < plan->n_signature; i++) {
        const ingot_plan_input *input = i < graph->n_inputs ? &inputs[i] : &captures[i - graph->n_inputs];
        if (input->tensor)
            plan->signature[i] = *input->tensor;
        else
            plan->signature[i].rank = -2; /* not bound: the constant */
    }
    return true;
}

/* Microseconds that a step which threads may share takes on one of a middling machine: 50 GFLOP/s, 10 GB/s, and a call.
 * Operators leave little work to the calling thread. A dynamic step counts as long, since nothing is known of it. Good
 * enough to tell microseconds from milliseconds, which is all that is asked of it. */
static double shared_us(const ingot_step *step)
{
    enum { FEW_FLOPS = 4 * 32768, FEW_BYTES = 64 << 10 };
    double in = 0, out = 0;
    if (step->dynamic)
        return 1000;
    for (int i = 0; i < step->ctx.n_in; i++)
        in += step->ctx.in[i] ? (double)ingot_storage_bytes(step->ctx.in[i]) : 0;
    for (int i = 0; i < step->ctx.n_out; i++)
        out += step->ctx.out[i] ? (double)ingot_storage_bytes(step->ctx.out[i]) : 0;
    if (step->ctx.op->flops && step->flops < FEW_FLOPS && out < FEW_BYTES)
        return 0;
    return (double)step->flops / INGOT_FLOPS_IN_US + (in + out) / 10e3 + 0.1;
}

/* What was read while preparing is packed by now. */
void ingot_plan_drop_block(ingot_plan_env *env)
{
    ingot_release(env->memory, env->read_block.data);
    env->read_block = (ingot_read_block){0};
}

/* Each step learns what the next one that reads weights will read first; steps in between are few and short. */
static void link_reads(ingot_plan *plan)
{
    enum { NEAR = 3 };

    for (int i = 0; i < plan->n_steps; i++)
        for (int j = i + 1; j < plan->n_steps && j <= i + NEAR && !plan->steps[i]->ctx.soon.first; j++)
            plan->steps[i]->ctx.soon = plan->steps[j]->ctx.reads;
}

/* Prepare static steps under the cache's lock, as weights are packed on the way. scratch_bytes becomes the most that
 * one step asks for; shared_us sums up the estimates. One lock around all of them: a second session that plans the same
 * model waits and finds the packs made. After a failure the cache forgets this plan's new packs. */
static ingot_status prepare_steps(ingot_plan *plan, ingot_error *error)
{
    ingot_status status = ingot_plan_lock(plan->env, error);
    if (status)
        return status;
    for (int i = 0; i < plan->n_steps && !status; i++) {
        ingot_step *step = plan->steps[i];
        ingot_op_ctx *c = &step->ctx;
        c->error = error;
        if (step->dynamic) {
            plan->shared_us += shared_us(step);
            plan->has_dynamic = true;
            continue;
        }
        if ((status = ingot_plan_stopped(plan->env, error)))
            break;
        if (c->op->prepare && (status = ingot_step_prepare(step, error)) && status != INGOT_CANCELLED)
            ingot_step_error(step, status, error);
        step->flops = !status && c->op->flops ? c->op->flops(c) : 0;
        plan->shared_us += shared_us(step);
        const size_t scratch = c->scratch_bytes + c->thread_scratch_bytes * (size_t)ingot_team_size(plan->env->team);
        plan->scratch_bytes = MAX(plan->scratch_bytes, scratch);
    }
    link_reads(plan);
    if (!status)
        status = ingot_files_check(plan->env->files, error);
    ingot_pack_cache_unlock(plan->env->packs, !status);
    ingot_plan_drop_block(plan->env);
    return status;
}

/* The stages in their order: types and shapes, layouts, preparation, memory. ingot_plan_free() accepts what a failed
 * one leaves. *result is NULL after a failure. */
ingot_status ingot_plan_create(ingot_plan_env *env, const ingot_graph *graph, const ingot_plan_input *inputs,
                               const ingot_plan_input *captures, const bool *wanted, ingot_plan **result,
                               ingot_error *error)
{
    ingot_status status = INGOT_LIMIT;
    *result = NULL;
    ingot_plan *plan = ingot_zalloc(env->memory, sizeof *plan);
    if (!plan)
        return ingot_out_of_memory(error);
    plan->env = env;
    plan->graph = graph;
    plan->arena.memory = env->memory;
    plan->host = (ingot_host){env->memory,    &env->read_block,      host_keep, host_packed,
                              host_run_alloc, host_allocate_output, ingot_plan_call};
    if (!keep_signature(plan, inputs, captures)) {
        status = ingot_out_of_memory(error);
        goto fail;
    }
    if ((status = ingot_plan_infer(plan, inputs, captures, wanted, error)))
        goto fail;
    if ((status = ingot_plan_layout(plan, error)))
        goto fail;
    if ((status = ingot_plan_pixel_rows(plan, error)))
        goto fail;
    if ((status = ingot_plan_check_sizes(plan, error)))
        goto fail;
    if ((status = prepare_steps(plan, error)))
        goto fail;
    if ((status = ingot_plan_memory(plan, error)))
        goto fail;
    *result = plan;
    return INGOT_OK;
fail:
    ingot_plan_free(plan);
    return status;
}

/* Plans of subgraphs go with their steps; dynamic values are freed one by one, as they are not in the arena. NULL is
 * allowed. Sequences' items are in arenas and go with those. Spares are those of values that plans had. */
void ingot_plan_free(ingot_plan *plan)
{
    if (!plan)
        return;
    for (ingot_callee *callee = plan->callees; callee; callee = callee->next_of_plan)
        ingot_plan_free_list(callee->plans);
    for (int i = 0; i < plan->n_values; i++)
        if (plan->values[i]->place == INGOT_PLACE_DYNAMIC && plan->values[i]->tensor.kind == INGOT_TENSOR)
            ingot_release(plan->env->memory, plan->values[i]->tensor.data);
    ingot_drop_spares(plan->env->memory);
    ingot_release(plan->env->memory, plan->memory);
    ingot_arena_free(&plan->arena);
    ingot_release(plan->env->memory, plan);
}

/* From the front; each is unlinked before it is freed. */
void ingot_plan_free_list(ingot_plan *plans)
{
    for (ingot_plan *next; plans; plans = next) {
        next = plans->next;
        ingot_plan_free(plans);
    }
}

/* Sequences and the other kinds are compared by kind and element type alone. Ranks of -2 match no tensor. */
static bool same_signature(const ingot_tensor *planned, const ingot_tensor *given)
{
    if (!given)
        return planned->rank == -2;
    return planned->dtype == given->dtype && planned->kind == given->kind &&
           (given->kind != INGOT_TENSOR || ingot_same_shape(planned, given));
}

/* A NULL tensor matches an input that was not bound when the plan was made. */
static bool matches(const ingot_plan *plan, const ingot_tensor *const *inputs, const ingot_tensor *const *captures)
{
    const ingot_graph *graph = plan->graph;
    for (int i = 0; i < graph->n_inputs; i++)
        if (!same_signature(&plan->signature[i], inputs[i]))
            return false;
    for (int i = 0; i < graph->n_captures; i++)
        if (!same_signature(&plan->signature[graph->n_inputs + i], captures[i]))
            return false;
    return true;
}

enum { MAX_PLANS = 8 }; /* in a list; each has an arena of its own */

/* A list kept by latest use: what is found moves to the front, and what was not used for longest goes when there are
 * too many. `oldest` stops at the link behind the first MAX_PLANS - 1, so that one more fits. */
ingot_plan *ingot_plan_find(ingot_plan **plans, const ingot_tensor *const *inputs, const ingot_tensor *const *captures)
{
    int n = 0;
    ingot_plan **link = plans, **oldest = plans;
    for (; *link; link = &(*link)->next) {
        if (matches(*link, inputs, captures)) {
            ingot_plan *plan = *link;
            *link = plan->next;
            plan->next = *plans;
            return *plans = plan;
        }
        if (++n < MAX_PLANS)
            oldest = &(*link)->next;
    }
    ingot_plan_free_list(*oldest);
    *oldest = NULL;
    return NULL;
}
