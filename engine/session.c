/* session.c - one thread's way of running a model: bound inputs, plans for the input shapes it has met (newest first),
 * and a team of threads. */
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "engine/model.h"
#include "engine/strict.h"

/* Belongs to one thread at a time; only `cancel` and `running` are touched from elsewhere. `plans` holds a few, the
 * one in use first, and each keeps its own arena, so switching between a few input shapes plans nothing anew. */
struct ingot_session {
    ingot_model *model;
    ingot_memory memory;
    ingot_plan_env env;
    double timeout_s;
    _Atomic bool cancel, running;
    ingot_tensor *inputs;           /* one per graph input; those with is_bound are set */
    bool *is_bound;
    int next_input;                 /* for set_input without a name */
    ingot_tensor *outputs;          /* one per graph output: where it goes; without data where the plan keeps it */
    bool has_bound;                 /* an output, at some time: until then none has to be moved */
    bool *wanted;                   /* by value: asked for by ingot_session_request() */
    ingot_plan *plans;
    bool has_run, strict;
};

/* The line that every want of memory gets. */
static const ingot_graph *graph_of(const ingot_session *session) { return session->model->onnx->graph; }

/* A model with unsupported operators can be inspected and saved but not run: its first problem is the error here. The
 * threads are probed now and start with the first run. The session counts as a user of the model, which may be freed by
 * its caller from then on. */
ingot_status ingot_session_create(ingot_model *model, const ingot_session_options *given, ingot_session **result,
                                  ingot_error *error)
{
    ingot_session_options full;
    const ingot_session_options *options = &full;
    *result = NULL;
    const ingot_status status = ingot_take_options(&full, sizeof full, given, error);
    if (status)
        return status;
    if ((unsigned)options->conv_algorithm > INGOT_CONV_WINOGRAD)
        return ingot_fail(error, INGOT_USAGE, "there is no convolution algorithm %d", (int)options->conv_algorithm);
    if (options->n_threads < 0)
        return ingot_fail(error, INGOT_USAGE, "%d threads are not possible", options->n_threads);
    if (model->problems)
        return ingot_fail(error, INGOT_UNSUPPORTED, "%.150s: %s", ingot_model_name(model), model->problems->text);
    ingot_session *session = calloc(1, sizeof *session);
    if (!session)
        return ingot_out_of_memory(error);
    const ingot_graph *graph = model->onnx->graph;
    session->model = model;
    session->memory.limit_bytes = options->max_memory_bytes ? options->max_memory_bytes : ingot_memory_of_machine();
    session->timeout_s = options->timeout_s;
    session->strict = options->strict;
    session->env = (ingot_plan_env){.memory = &session->memory, .packs = model->packs,
                                    .files = model->onnx->files, .keep_constants = true,
                                    .team = ingot_team_create(options->n_threads),
                                    .kernels = model->kernels,
                                    .profile = options->profile, .conv_algorithm = options->conv_algorithm,
                                    .batch_invariant = options->batch_invariant,
                                    .run_arena = {.memory = &session->memory}};
    /* One entry for each input, and one more so that none asks for 0 bytes. */
    session->inputs = calloc((size_t)graph->n_inputs + 1, sizeof *session->inputs);
    session->is_bound = calloc((size_t)graph->n_inputs + 1, sizeof *session->is_bound);
    session->wanted = calloc((size_t)graph->n_values + 1, sizeof *session->wanted);
    session->outputs = calloc((size_t)graph->n_outputs + 1, sizeof *session->outputs);
    atomic_fetch_add(&model->n_users, 1);
    if (!session->env.team || (options->profile && !ingot_team_record(session->env.team)) || !session->inputs ||
        !session->is_bound || !session->wanted || !session->outputs) {
        ingot_session_free(session);
        return ingot_out_of_memory(error);
    }
    *result = session;
    return INGOT_OK;
}

/* Accepts NULL and a session that was only half made. A run on another thread is cancelled and waited for. Plans go
 * first: they point into the run arena and use the session's account. */
void ingot_session_free(ingot_session *session)
{
    if (!session)
        return;
    while (atomic_load(&session->running)) {
        atomic_store(&session->cancel, true);
        nanosleep(&(struct timespec){.tv_nsec = 100000}, NULL);
    }
    ingot_plan_free_list(session->plans);
    ingot_arena_free(&session->env.run_arena);
    ingot_team_free(session->env.team);
    free(session->inputs);
    free(session->is_bound);
    free(session->wanted);
    free(session->outputs);
    ingot_model_free(session->model); /* its own share of it */
    free(session);
}

/* ---- inputs ---- */

/* Position among the graph's inputs, or -1. Linear: models have few inputs. */
static int find_input(const ingot_session *session, const char *name)
{
    const ingot_graph *graph = graph_of(session);
    for (int i = 0; i < graph->n_inputs; i++)
        if (!strcmp(graph->values[graph->inputs[i]].name, name))
            return i;
    return -1;
}

/* Position of the next input, in graph order, that has no initializer; -1 past the last. Moves next_input on, which
 * set_input puts back where the tensor does not fit. */
static int take_next_input(ingot_session *session)
{
    const ingot_graph *graph = graph_of(session);
    for (int i = session->next_input; i < graph->n_inputs; i++)
        if (!graph->values[graph->inputs[i]].constant) {
            session->next_input = i + 1;
            return i;
        }
    return -1;
}

/* Does the tensor have the declared kind, element type and shape? Only declared sizes are compared: a symbol takes
 * its size from the tensor. Its own shape is checked for overflow before anything multiplies it. */
static ingot_status check_input(const ingot_session *session, const ingot_value *value, const ingot_tensor *tensor,
                                ingot_error *error)
{
    const ingot_type *type = &value->type;
    const char *file = ingot_model_name(session->model);
    char text[200], expected[200];
    if (tensor->kind != type->kind)
        return ingot_fail(error, INGOT_BAD_INPUT, "%.150s: input '%.80s' is of another kind than the model declares",
                          file, value->name);
    if (type->dtype && tensor->dtype != type->dtype && tensor->kind == INGOT_TENSOR)
        return ingot_fail(error, INGOT_BAD_INPUT, "%.150s: input '%.80s' has type %s, expected %s", file, value->name,
                          ingot_dtype_name(tensor->dtype), ingot_dtype_name(type->dtype));
    if (!ingot_checked_size(tensor, NULL, NULL) || (!tensor->data && ingot_count(tensor)))
        return ingot_fail(error, INGOT_BAD_INPUT, "%.150s: input '%.80s' has no sensible shape or no data", file,
                          value->name);
    if (tensor->kind != INGOT_TENSOR || type->rank < 0)
        return INGOT_OK;
    bool fits = tensor->rank == type->rank;
    for (int i = 0; i < type->rank && fits; i++)
        fits = type->shape[i] < 0 || type->shape[i] == tensor->shape[i];
    if (fits)
        return INGOT_OK;
    /* For the line: both shapes as text. */
    ingot_tensor declared = {.rank = MIN(type->rank, INGOT_MAX_RANK)};
    memcpy(declared.shape, type->shape, (size_t)declared.rank * sizeof *declared.shape);
    return ingot_fail(error, INGOT_BAD_INPUT, "%.150s: input '%.80s' has shape %s, expected %s", file, value->name,
                      ingot_shape_text(tensor, text, sizeof text),
                      ingot_shape_text(&declared, expected, sizeof expected));
}

/* Keeps the tensor's description, not its elements. A tensor that does not fit leaves the earlier bindings and the
 * place of the next input as they were. A model's own symbol may be bound to different sizes for two inputs: the
 * operators that meet find out. */
ingot_status ingot_session_set_input(ingot_session *session, const char *name, const ingot_tensor *tensor,
                                     ingot_error *error)
{
    const char *file = ingot_model_name(session->model);
    const int saved = session->next_input;
    const int i = name ? find_input(session, name) : take_next_input(session);
    if (i < 0 && name)
        return ingot_fail(error, INGOT_BAD_INPUT, "%.150s: there is no input '%.80s'", file, name);
    if (i < 0)
        return ingot_fail(error, INGOT_BAD_INPUT, "%.150s: all %zu inputs are bound already", file,
                          session->model->n_inputs);
    const ingot_status status =
        check_input(session, &graph_of(session)->values[graph_of(session)->inputs[i]], tensor, error);
    if (status) {
        session->next_input = saved;
        return status;
    }
    session->inputs[i] = *tensor;
    session->inputs[i].layout = INGOT_PLAIN;
    session->is_bound[i] = true;
    return INGOT_OK;
}

/* Keeps the tensor's description. Whether it fits is found out by the run, which has the output's shape. */
ingot_status ingot_session_set_output(ingot_session *session, const char *name, const ingot_tensor *tensor,
                                      ingot_error *error)
{
    const ingot_graph *graph = graph_of(session);
    const char *file = ingot_model_name(session->model);
    int i = 0;
    while (i < graph->n_outputs && strcmp(graph->values[graph->outputs[i]].name, name))
        i++;
    if (i == graph->n_outputs)
        return ingot_fail(error, INGOT_BAD_INPUT, "%.150s: there is no output '%.80s'", file, name);
    if (tensor && (tensor->kind != INGOT_TENSOR || tensor->dtype == INGOT_STRING ||
                   !ingot_checked_size(tensor, NULL, NULL) || !tensor->data))
        return ingot_fail(error, INGOT_BAD_INPUT, "%.150s: what is bound to output '%.80s' is no tensor of numbers "
                                                  "with a sensible shape and memory", file, name);
    session->outputs[i] = tensor ? *tensor : (ingot_tensor){.data = NULL};
    session->outputs[i].layout = INGOT_PLAIN;
    session->has_bound = true;
    return INGOT_OK;
}

/* A requested value must survive the run, and plans place values in memory that others reuse: the plans are dropped and
 * made anew. Outputs of the run before are gone with the plans. */
ingot_status ingot_session_request(ingot_session *session, const char *name, ingot_error *error)
{
    const ingot_graph *graph = graph_of(session);
    const int value = ingot_graph_find_value(graph, name);
    if (value == INGOT_NONE || (graph->values[value].producer == INGOT_NONE && !graph->values[value].constant &&
                                !graph->values[value].is_input))
        return ingot_fail(error, INGOT_BAD_INPUT, "%.150s: there is no value '%.80s'", ingot_model_name(session->model),
                          name);
    if (!session->wanted[value]) {
        session->wanted[value] = true;
        ingot_plan_free_list(session->plans); /* they were made without it */
        session->plans = NULL;
        session->has_run = false;
    }
    return INGOT_OK;
}

/* Plans that are made for a watched run leave out no value, so those made before go. NULL ends it. Values of the main
 * graph alone are shown. */
void ingot_session_observe(ingot_session *session, ingot_observe_fn *observe, void *user)
{
    ingot_plan_free_list(session->plans);
    session->plans = NULL;
    session->has_run = false;
    session->env.observe = observe;
    session->env.observer = user;
    session->env.observed = graph_of(session);
}

/* ---- plans ---- */

/* What a body of the team's parallel region works on; it cannot return anything, so the status goes here. Lives on the
 * stack of start_job() while the team runs. */
typedef struct job {
    ingot_session *session;
    const ingot_tensor **inputs;
    ingot_error *error;
    ingot_status status;
} job;

/* Body that plans for the job's inputs and puts the plan at the front of the list. On failure the list of plans is as
 * it was. */
static void make_plan(void *argument)
{
    job *j = argument;
    ingot_session *session = j->session;
    const ingot_graph *graph = graph_of(session);
    ingot_plan *plan = NULL;
    ingot_plan_input *outside = calloc((size_t)graph->n_inputs + 1, sizeof *outside);
    if (!outside) {
        j->status = ingot_out_of_memory(j->error);
        return;
    }
    for (int i = 0; i < graph->n_inputs; i++)
        outside[i].tensor = j->inputs[i];
    j->status = ingot_plan_create(&session->env, graph, outside, NULL, session->wanted, &plan, j->error);
    free(outside);
    if (j->status) {
        ingot_error_prefix(j->error, "%.200s", ingot_model_name(session->model));
        return;
    }
    plan->next = session->plans;
    session->plans = plan;
}

/* Planning is mostly the packing of weights: below this size, waking the team would cost more than it helps. */
enum { TEAM_FROM_WEIGHT_BYTES = 4 << 20 };

/* Bring the plan for the bound inputs to the front of the list; make it where there is none. Only metadata is compared,
 * so this is cheap where the shapes are known. */
static ingot_status choose_plan(job *j)
{
    ingot_session *session = j->session;
    if (ingot_plan_find(&session->plans, j->inputs, NULL))
        return INGOT_OK;
    if (session->model->onnx->weight_bytes < TEAM_FROM_WEIGHT_BYTES)
        make_plan(j);
    else
        ingot_team_run(session->env.team, make_plan, j);
    return j->status;
}

/* The bound tensors in graph order, NULL where the initializer serves; in memory of the run. INGOT_BAD_INPUT names the
 * first that is missing. */
static ingot_status collect_inputs(ingot_session *session, const ingot_tensor ***result, ingot_error *error)
{
    const ingot_graph *graph = graph_of(session);
    const ingot_tensor **inputs =
        ingot_arena_array(&session->env.run_arena, (size_t)graph->n_inputs + 1, sizeof *inputs);
    if (!inputs)
        return ingot_out_of_memory(error);
    for (int i = 0; i < graph->n_inputs; i++) {
        const ingot_value *value = &graph->values[graph->inputs[i]];
        if (session->is_bound[i])
            inputs[i] = &session->inputs[i];
        else if (!value->constant)
            return ingot_fail(error, INGOT_BAD_INPUT, "%.150s: input '%.80s' is not bound",
                              ingot_model_name(session->model), value->name);
    }
    *result = inputs;
    return INGOT_OK;
}

/* Body that runs the newest plan, with its outputs where the caller wants them. */
static void do_job(void *argument)
{
    job *j = argument;
    ingot_plan *plan = j->session->plans;
    if (j->session->has_bound)
        j->status = ingot_plan_lend(plan, j->session->outputs, j->inputs, j->error);
    if (!j->status)
        j->status = ingot_plan_run(plan, j->inputs, NULL, j->error);
    if (!j->status && j->session->has_bound)
        j->status = ingot_plan_deliver(plan, j->session->outputs, j->error);
    if (j->status)
        ingot_error_prefix(j->error, "%.200s", ingot_model_name(j->session->model));
}

/* What was computed must be what the model declares, wherever it declares a type: a caller relies on it. Shapes are
 * checked by ingot_check_declared(), and only where the session is strict. */
static ingot_status check_outputs(const ingot_session *session, ingot_error *error)
{
    const ingot_model *model = session->model;
    for (size_t i = 0; i < model->n_outputs; i++) {
        const ingot_value_info *declared = &model->outputs[i];
        const ingot_tensor *got = ingot_plan_output(session->plans, graph_of(session)->outputs[i]);
        if (declared->dtype && got->dtype && got->kind == INGOT_TENSOR &&
            (declared->dtype != got->dtype || declared->kind != INGOT_TENSOR))
            return ingot_fail(error, INGOT_INVALID, "%.150s: output '%.80s' is declared as %s but computed as %s",
                              ingot_model_name(model), declared->name,
                              declared->kind == INGOT_TENSOR ? ingot_dtype_name(declared->dtype) : "another kind",
                              ingot_dtype_name(got->dtype));
    }
    return INGOT_OK;
}

/* Plans with less to share than this run on the calling thread: waking the others would cost more than they help. */
enum { TEAM_FROM_US = 60 };

/* Run the newest plan, on the team if that pays. Nothing is known of dynamic steps before they run: there the time that
 * a run took decides about the next one. */
static void run_job(job *j)
{
    ingot_plan *plan = j->session->plans;
    if (plan->shared_us < TEAM_FROM_US) {
        do_job(j);
        return;
    }
    const uint64_t start = ingot_now_ns();
    if (plan->is_short)
        do_job(j);
    else
        ingot_team_run(j->session->env.team, do_job, j);
    const double us = (double)(ingot_now_ns() - start) / 1e3;
    plan->is_short = plan->has_dynamic && !j->status && us < (plan->is_short ? TEAM_FROM_US : TEAM_FROM_US / 2);
}

/* Collect inputs, find or make their plan and, unless only_plan, run it. Outputs of the run before are invalid from
 * here on; choose_plan() leaves the plan in use at the front of the list. Emptying the run arena comes before anything
 * that uses it. A team that records has its spans from this run alone. */
static ingot_status start_job(ingot_session *session, bool only_plan, ingot_error *error)
{
    job j = {.session = session, .error = error};
    session->has_run = false;
    ingot_arena_reset(&session->env.run_arena);
    ingot_status status = collect_inputs(session, &j.inputs, error);
    session->next_input = 0;
    if (status || (status = choose_plan(&j)) || only_plan)
        return status;
    session->env.outermost = session->plans;
    ingot_team_forget(session->env.team);
    run_job(&j);
    if (!j.status)
        j.status = check_outputs(session, error);
    if (!j.status && session->strict)
        j.status = ingot_check_declared(session->plans, ingot_model_name(session->model), error);
    session->has_run = !j.status;
    return j.status;
}

/* The deadline is taken before planning, so that planning for a run counts; planning alone has none. A cancel that came
 * in holds for this call only. `running` keeps a second thread out, and tells ingot_session_free() to wait. */
static ingot_status start_alone(ingot_session *session, bool only_plan, ingot_error *error)
{
    if (atomic_exchange(&session->running, true))
        return ingot_fail(error, INGOT_USAGE, "the session runs on another thread already");
    session->env.deadline_ns = only_plan ? 0 : ingot_deadline_ns(session->timeout_s);
    ingot_team_watch(session->env.team, &session->cancel, session->env.deadline_ns);
    const ingot_status status = start_job(session, only_plan, error);
    atomic_store(&session->cancel, false);
    atomic_store(&session->running, false); /* from here on it may be freed */
    return status;
}

/* Plans for the bound inputs without running; the next run with these shapes finds the plan. */
ingot_status ingot_session_plan(ingot_session *session, ingot_error *error)
{
    return start_alone(session, true, error);
}

ingot_status ingot_session_run(ingot_session *session, ingot_error *error)
{
    return start_alone(session, false, error);
}

/* One atomic store: may be called from any thread and from a signal handler. */
void ingot_session_cancel(ingot_session *session) { atomic_store(&session->cancel, true); }

/* ---- results ---- */

/* Bytes of the newest plan's arena with its scratch; 0 before the first plan. */
uint64_t ingot_session_planned_bytes(const ingot_session *session)
{
    return session->plans ? session->plans->arena_bytes + session->plans->scratch_bytes : 0;
}

/* Bytes of packed weights, which all sessions of the model share. */
uint64_t ingot_session_packed_bytes(const ingot_session *session)
{
    return ingot_pack_cache_bytes(session->model->packs);
}

/* Of the newest plan, see look.c. */
bool ingot_session_value_type(const ingot_session *session, const char *name, ingot_tensor *type)
{
    return ingot_plan_value_type(session->plans, name, type);
}

bool ingot_session_place(const ingot_session *session, size_t index, ingot_place_info *place)
{
    return ingot_plan_place(session->plans, index, place);
}

/* As many as could be had, which may be fewer than were asked for. */
int32_t ingot_session_n_threads(const ingot_session *session) { return ingot_team_size(session->env.team); }

/* NULL before a successful run. The tensor is the plan's memory and valid until the next run. */
const ingot_tensor *ingot_session_output(const ingot_session *session, size_t index)
{
    const ingot_graph *graph = graph_of(session);
    if (!session->has_run || index >= (size_t)graph->n_outputs)
        return NULL;
    return ingot_plan_output(session->plans, graph->outputs[index]);
}

/* INGOT_USAGE before a successful run; the rest is ingot_extract()'s. */
ingot_status ingot_session_extract(const ingot_session *session, const char *node, const char *path, ingot_error *error)
{
    if (!session->has_run)
        return ingot_fail(error, INGOT_USAGE, "%.150s: there was no run to take types and shapes from",
                          ingot_model_name(session->model));
    return ingot_extract(session->model, session->plans, node, path, error);
}

/* As ingot_session_output(), for values that were requested, and for outputs by name. */
const ingot_tensor *ingot_session_value(const ingot_session *session, const char *name)
{
    const ingot_graph *graph = graph_of(session);
    const int value = ingot_graph_find_value(graph, name);
    if (!session->has_run || value == INGOT_NONE || !(session->wanted[value] || graph->values[value].n_outputs))
        return NULL;
    return ingot_plan_output(session->plans, value);
}

/* 0 for what is not there, not a tensor, or of unknown shape. */
static int64_t tensor_bytes(const ingot_tensor *t)
{
    return t && t->kind == INGOT_TENSOR && t->rank >= 0 ? (int64_t)ingot_storage_bytes(t) : 0;
}

/* Does the input lie inside the output's memory, so that it needs no copy: a view, or a part of a Concat's result? */
static bool lies_within(const ingot_tensor *in, const ingot_tensor *out)
{
    const uintptr_t from = (uintptr_t)in->data, to = (uintptr_t)out->data;
    return from && to && from >= to && from + (uintptr_t)tensor_bytes(in) <= to + (uintptr_t)tensor_bytes(out);
}

/* Bytes that a step reads and writes: of all its tensors, but for what it passes on where it lies. What an operator
 * computes in place is read and written all the same. */
static int64_t step_bytes(const ingot_step *step)
{
    const ingot_op_ctx *c = &step->ctx;
    int64_t total = 0;
    for (int i = 0; i < c->n_in; i++)
        total += tensor_bytes(c->in[i]);
    for (int i = 0; i < c->n_out; i++)
        total += tensor_bytes(c->out[i]);
    for (int i = 0; i < c->n_in && c->out[0] && !(c->op->flags & INGOT_OP_INPLACE); i++)
        if (tensor_bytes(c->in[i]) && lies_within(c->in[i], c->out[0]))
            total -= 2 * tensor_bytes(c->in[i]);
    return MAX(total, 0);
}

/* Steps of the newest plan in running order; times are those of its last run with profiling, and starts count from the
 * first step's. A dynamic step has shapes only once it ran. False past the last step, or before there is a plan. The
 * text of fused operators is made when it is first asked for, so this is for the session's own thread. */
bool ingot_session_step(const ingot_session *session, size_t index, ingot_step_info *info)
{
    const ingot_plan *plan = session->plans;
    if (!plan || index >= (size_t)plan->n_steps)
        return false;
    ingot_step *step = plan->steps[index];
    const ingot_op_ctx *c = &step->ctx;
    const bool known = !step->dynamic || session->has_run;
    ingot_op_work work = {.flops = step->flops, .bytes = step_bytes(step)};
    if (!step->fused)
        step->fused = ingot_fused_text(&step->plan->arena, step->before, c->node);
    if (step->dynamic && known && c->op->flops)
        work.flops = c->op->flops(c);
    *info = (ingot_step_info){.node = c->node->name, .op_type = c->node->op_type, .kernel = c->kernel,
                              .time_ns = step->time_ns, .start_ns = step->start_ns - plan->steps[0]->start_ns,
                              .flops = work.flops, .output = c->out[0], .fused = step->fused,
                              .layout = c->out[0] && c->out[0]->layout == INGOT_BLOCKED ? "nchw8c" : "row-major"};
    /* An operator that knows better tells what it really did: Winograd multiplies less, a tile has a size. */
    if (known && c->op->describe && c->state)
        c->op->describe(c, &work);
    info->bytes = work.bytes;
    info->flops_done = work.flops;
    info->tile_rows = work.tile_rows;
    info->tile_columns = work.tile_columns;
    return true;
}

/* Values know the step that computes them; those of constants and inputs none. Returns the number of that step; -1 for
 * an input left out or made by no step; -2 out of range. */
int64_t ingot_session_step_source(const ingot_session *session, size_t index, size_t input)
{
    const ingot_plan *plan = session->plans;
    if (!plan || index >= (size_t)plan->n_steps || input >= (size_t)plan->steps[index]->ctx.n_in)
        return -2;
    const int value = plan->steps[index]->inputs[input];
    return value == INGOT_NONE ? -1 : plan->values[value]->producer;
}

/* Times count from the first step's start, as those of steps do. Indices run through thread 0's stretches, then thread
 * 1's, and so on. False past the last. */
bool ingot_session_stretch(const ingot_session *session, size_t index, ingot_stretch *stretch)
{
    const ingot_plan *plan = session->plans;
    for (int thread = 0; plan && plan->n_steps && thread < ingot_team_size(session->env.team); thread++) {
        size_t n;
        const ingot_team_span *spans = ingot_team_spans(session->env.team, thread, &n);
        if (index < n) {
            spans += index;
            *stretch = (ingot_stretch){.step = (size_t)spans->mark, .thread = thread,
                                 .start_ns = spans->start_ns - plan->steps[0]->start_ns,
                                 .time_ns = spans->end_ns - spans->start_ns};
            return true;
        }
        index -= n;
    }
    return false;
}
