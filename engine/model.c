/* model.c - loading: read the file, bring the graph to its newest form, run the passes, find every operator, and keep
 * what was noticed. A model does not change afterwards; only the cache of packed weights grows, under its own lock. */
#include "engine/model.h"

#include <stdlib.h>
#include <string.h>

#include "engine/passes/pass.h"
#include "engine/widen.h"
#include "ops/schema.h"

#define TEXT_(number) #number
#define TEXT(number) TEXT_(number)

/* Static text; major.minor.patch, as the header says it. */
const char *ingot_version(void)
{
    return TEXT(INGOT_VERSION_MAJOR) "." TEXT(INGOT_VERSION_MINOR) "." TEXT(INGOT_VERSION_PATCH);
}

/* The instruction set that the kernels in use were built for: chosen once, from what the processor has. */
const char *ingot_isa(void) { return ingot_kernels_best()->isa; }

/* What the machine and its cgroup allow now; a session may still get fewer. */
int32_t ingot_n_threads(void) { return ingot_default_threads(); }

/* The path it was loaded from, for error lines; "model" for one that came from memory. */
const char *ingot_model_name(const ingot_model *model) { return model->onnx->path ? model->onnx->path : "model"; }

/* One text for every failed allocation: the account's limit and the system's refusal look the same here. */
/* Append a line to a list (problems or pass reports), copied into the model's arena. False when memory is out. `last`
 * points to where the next line goes, and is moved on. */
static bool add_line(ingot_model *model, ingot_line ***last, const char *text)
{
    ingot_line *line = ingot_arena_alloc(&model->onnx->arena, sizeof *line + strlen(text) + 1);
    if (!line)
        return false;
    strcpy(line->text, text);
    **last = line;
    *last = &line->next;
    return true;
}

/* Every options struct begins with its size. NULL stands for zeros. The members that a newer library added get zeros,
 * which every option takes for its default. */
ingot_status ingot_take_options(void *full, size_t full_bytes, const void *given, ingot_error *error)
{
    memset(full, 0, full_bytes);
    if (!given)
        return INGOT_OK;
    size_t size_bytes;
    memcpy(&size_bytes, given, sizeof size_bytes);
    if (size_bytes < sizeof size_bytes)
        return ingot_fail(error, INGOT_USAGE, "size_bytes of the options is not set");
    memcpy(full, given, MIN(size_bytes, full_bytes));
    return INGOT_OK;
}

/* ---- operators ---- */

/* The operator for a node's domain, type and version, the library's or the host's, with its input count checked.
 * UNSUPPORTED means that it is missing here, INVALID that the node is wrong; *result is NULL whenever there is no
 * operator. `known` of the registry tells an operator that exists in other versions from one that does not exist. */
static ingot_status resolve_node(const ingot_model *model, const ingot_node *node, const ingot_op **result,
                                 ingot_error *error)
{
    bool known;
    const ingot_op *op = ingot_op_find(node->domain, node->op_type, node->version, &known);
    if (!op)
        op = ingot_custom_find(model->customs, node);
    const char *domain = *node->domain ? node->domain : "ai.onnx";
    *result = op;
    if (!op && known)
        return ingot_fail(error, INGOT_UNSUPPORTED, "node '%.80s' (%.80s): version %d of the operator is not supported",
                          node->name, node->op_type, node->version);
    if (!op)
        return ingot_fail(error, INGOT_UNSUPPORTED, "node '%.80s' (%.80s): domain %.80s has no such operator here",
                          node->name, node->op_type, domain);
    return ingot_op_check_inputs(op, node, error);
}

enum { MAX_GRAPH_DEPTH = 64 };

/* Find a node's operator. One that is not there is collected when `collect` says so, else an error. node->op is NULL
 * for a collected one: the model can be looked at, but has no sessions. */
static ingot_status find_operator(ingot_model *model, ingot_node *node, bool collect, ingot_error *error)
{
    const ingot_op *op;
    ingot_error problem = {0};
    const ingot_status status = resolve_node(model, node, &op, &problem);
    node->op = op;
    if (op && op == ingot_custom_find(model->customs, node) && !ingot_custom_settle(node, &model->onnx->arena))
        return ingot_out_of_memory(error);
    if (status && !(collect && status == INGOT_UNSUPPORTED))
        return ingot_fail(error, status, "%s", problem.message);
    return status && !add_line(model, &model->last_problem, problem.message) ? ingot_out_of_memory(error) : INGOT_OK;
}

/* Every node against its schema, subgraphs too. Operators always have a first output: one that is left out becomes a
 * value that nobody reads. Recursion follows subgraphs, which the reader has bounded too. */
static ingot_status check_nodes(ingot_graph *graph, int depth, ingot_error *error)
{
    if (depth > MAX_GRAPH_DEPTH)
        return ingot_fail(error, INGOT_LIMIT, "subgraphs nest more than %d deep", MAX_GRAPH_DEPTH);
    for (int i = 0; i < graph->n_nodes; i++) {
        const ingot_node *node = graph->nodes[i];
        const ingot_status wrong = ingot_schema_check(node, error);
        if (wrong) {
            ingot_error_prefix(error, "node '%.80s' (%.80s)", node->name, node->op_type);
            return wrong;
        }
        if (node->n_outputs > 0 && node->outputs[0] == INGOT_NONE) {
            const int value = ingot_graph_add_value(graph, NULL);
            if (value == INGOT_NONE || !ingot_node_set_output(graph, i, 0, value))
                return ingot_out_of_memory(error);
        }
        for (size_t a = 0; a < node->n_attrs; a++)
            for (size_t g = 0; g < node->attrs[a].n; g++) {
                const bool holds = node->attrs[a].type == INGOT_ATTR_GRAPH || node->attrs[a].type == INGOT_ATTR_GRAPHS;
                const ingot_status status =
                    holds ? check_nodes(node->attrs[a].graphs[g], depth + 1, error) : INGOT_OK;
                if (status)
                    return status;
            }
    }
    return INGOT_OK;
}

/* Find the operator of every node, fused ones and subgraphs too. INGOT_OK with lines in model->problems where `collect`
 * is set and operators are missing. */
static ingot_status resolve_graph(ingot_model *model, ingot_graph *graph, bool collect, int depth, ingot_error *error)
{
    if (depth > MAX_GRAPH_DEPTH)
        return ingot_fail(error, INGOT_LIMIT, "subgraphs nest more than %d deep", MAX_GRAPH_DEPTH);
    for (int i = 0; i < graph->n_nodes; i++) {
        ingot_node *node = graph->nodes[i];
        ingot_status status = find_operator(model, node, collect, error);
        for (int f = 0; f < node->n_fused && !status; f++)
            status = find_operator(model, node->fused[f].node, collect, error);
        if (status)
            return status;
        for (size_t a = 0; a < node->n_attrs; a++)
            for (size_t g = 0; g < node->attrs[a].n; g++)
                if ((node->attrs[a].type == INGOT_ATTR_GRAPH || node->attrs[a].type == INGOT_ATTR_GRAPHS) &&
                    (status = resolve_graph(model, node->attrs[a].graphs[g], collect, depth + 1, error)))
                    return status;
    }
    return INGOT_OK;
}

/* ---- passes ---- */

/* What evaluate_node() gets as its engine: a way to run single steps before the model is complete. */
typedef struct folder {
    ingot_model *model;
    ingot_plan_env env;
} folder;

/* The passes' way to compute a node (see ingot_pass_options.evaluate): resolves it, runs it on its constant inputs and
 * makes its outputs constants in the graph's arena. Random operators and nodes with captures are refused. Arrays of ids
 * live in an arena of the call; a failure leaves the graph's constants alone. */
static ingot_status evaluate_node(void *engine, ingot_graph *graph, int index, ingot_error *error)
{
    folder *f = engine;
    ingot_node *node = graph->nodes[index];
    const ingot_op *op;
    ingot_status status = resolve_node(f->model, node, &op, error);
    if (status || node->n_captures)
        return status ? status : ingot_fail(error, INGOT_UNSUPPORTED, "reads values of the graph around it");
    if (op->flags & INGOT_OP_RANDOM)
        return ingot_fail(error, INGOT_UNSUPPORTED, "is not a function of its inputs");
    node->op = op;
    /* Inputs as constants, in the node's order. */
    ingot_arena arena = {.memory = &f->model->memory};
    const ingot_const **inputs = ingot_arena_array(&arena, (size_t)node->n_all_inputs, sizeof *inputs);
    ingot_const **outputs = ingot_arena_array(&arena, (size_t)node->n_outputs, sizeof *outputs);
    if (!inputs || !outputs)
        status = ingot_out_of_memory(error);
    for (int i = 0; i < node->n_all_inputs && !status; i++)
        inputs[i] = node->inputs[i] == INGOT_NONE ? NULL : graph->values[node->inputs[i]].constant;
    if (!status)
        status = ingot_evaluate(&f->env, graph->arena, node, inputs, outputs, error);
    for (int i = 0; i < node->n_outputs && !status; i++)
        if (node->outputs[i] != INGOT_NONE) {
            graph->values[node->outputs[i]].constant = outputs[i];
            graph->values[node->outputs[i]].type.dtype = outputs[i]->tensor.dtype;
        }
    ingot_arena_free(&arena);
    return status;
}

/* A sink for ingot_pass_options.report. */
static void keep_report(void *sink, const char *line)
{
    ingot_model *model = sink;
    add_line(model, &model->last_report, line); /* a report that finds no memory is not worth failing for */
}

/* A sink for ingot_pass_options.ran: the names are listed in order. */
static void keep_pass_run(void *sink, const char *name)
{
    ingot_model *model = sink;
    add_line(model, &model->last_pass_run, name);
}

/* In place of passes. All that tells of types says double afterwards. Passes are left out, as the shadow must not share
 * their mistakes; old forms are brought up to date all the same. */
static ingot_status run_in_double(ingot_model *model, const ingot_model_options *options, ingot_error *error)
{
    if (model->customs)
        return ingot_fail(error, INGOT_UNSUPPORTED, "operators of the host have no double form");
    const ingot_status status = ingot_passes_upgrade(model->onnx->graph, model->onnx->producer_name, error);
    for (int i = 0; i < model->onnx->graph->n_outputs; i++)
        ingot_widen_type(&model->onnx->outputs[i].type);
    for (size_t i = 0; i < model->n_inputs; i++)
        model->inputs[i].dtype = ingot_wide_dtype(model->inputs[i].dtype);
    for (size_t i = 0; i < model->n_outputs; i++)
        model->outputs[i].dtype = ingot_wide_dtype(model->outputs[i].dtype);
    return status ? status : ingot_widen_graph(model->onnx->graph, options->noise, options->noise_seed, keep_report,
                                               model, error);
}

/* Run the passes with a team of one thread, which folding constants needs; it is gone before the model is used.
 * Without passes only old forms are brought up to date, since kernels know the newest form alone. */
static ingot_status run_passes(ingot_model *model, const ingot_model_options *options, uint64_t deadline_ns,
                               ingot_error *error)
{
    if (options->in_double)
        return run_in_double(model, options, error);
    if (options->no_passes)
        return ingot_passes_upgrade(model->onnx->graph, model->onnx->producer_name, error);
    folder f = {.model = model,
                .env = {.memory = &model->memory, .packs = model->packs, .kernels = model->kernels,
                        .files = model->onnx->files,
                        .deadline_ns = deadline_ns, .run_arena = {.memory = &model->memory}}};
    f.env.team = ingot_team_create(1);
    if (!f.env.team)
        return ingot_out_of_memory(error);
    ingot_team_watch(f.env.team, NULL, deadline_ns);
    const ingot_pass_options pass_options = {.disabled = options->disabled_passes,
                                             .fix_defaults = model->onnx->ir_version < 4,
                                             .producer = model->onnx->producer_name,
                                             .evaluate = evaluate_node, .engine = &f, .deadline_ns = deadline_ns,
                                             .most_runs = options->most_pass_runs,
                                             .ran = keep_pass_run, .report = keep_report, .sink = model};
    const ingot_status status = ingot_passes_run(model->onnx->graph, &pass_options, error);
    ingot_arena_free(&f.env.run_arena);
    ingot_team_free(f.env.team);
    return status;
}

/* ---- loading ---- */

/* Fill what the public interface tells of a value. Names and symbols are shared with the graph; a rank that no tensor
 * can have counts as unknown. */
static void describe(ingot_value_info *info, const char *name, const ingot_type *type)
{
    *info = (ingot_value_info){.name = name, .kind = type->kind, .dtype = type->dtype, .rank = type->rank};
    if (type->rank > INGOT_MAX_RANK)
        info->rank = -1;
    for (int i = 0; i < info->rank; i++) {
        info->shape[i] = type->shape[i];
        info->symbols[i] = type->symbols ? type->symbols[i] : NULL;
    }
}

/* The lists of inputs and outputs. Inputs with an initializer are optional and not listed; outputs are described as the
 * file declares them, since passes may rename or replace values. False when memory is out. */
static bool describe_interface(ingot_model *model)
{
    const ingot_graph *graph = model->onnx->graph;
    ingot_arena *arena = &model->onnx->arena;
    model->inputs = ingot_arena_array(arena, (size_t)graph->n_inputs, sizeof *model->inputs);
    model->outputs = ingot_arena_array(arena, (size_t)graph->n_outputs, sizeof *model->outputs);
    if (!model->inputs || !model->outputs)
        return false;
    for (int i = 0; i < graph->n_inputs; i++) {
        const ingot_value *value = &graph->values[graph->inputs[i]];
        if (!value->constant)
            describe(&model->inputs[model->n_inputs++], value->name, &value->type);
    }
    for (int i = 0; i < graph->n_outputs; i++)
        describe(&model->outputs[model->n_outputs++], model->onnx->outputs[i].name, &model->onnx->outputs[i].type);
    return true;
}

/* Load from a path or, where path is NULL, from bytes. One way in and one cleanup: ingot_model_free() accepts the
 * half-built model. Errors of the model itself begin with the file's name. The order: read, describe, check against the
 * schema, rewrite, find operators. *result is NULL after a failure. */
static ingot_status load(const char *path, const void *data, size_t size_bytes, const ingot_model_options *given,
                         ingot_model **result, ingot_error *error)
{
    ingot_model_options full;
    const ingot_model_options *options = &full;
    *result = NULL;
    ingot_status status = ingot_take_options(&full, sizeof full, given, error);
    if (status)
        return status;
    const uint64_t deadline_ns = ingot_deadline_ns(options->timeout_s);
    ingot_model *model = calloc(1, sizeof *model);
    if (!model)
        return ingot_out_of_memory(error);
    /* What needs no file first, so that ingot_model_free() finds everything it looks at. */
    model->memory.limit_bytes = options->max_memory_bytes ? options->max_memory_bytes : ingot_memory_of_machine();
    model->kernels = options->portable ? ingot_kernels_at(0) : ingot_kernels_best();
    atomic_store(&model->n_users, 1);
    pthread_mutex_init(&model->nodes_mutex, NULL);
    model->last_problem = &model->problems;
    model->last_report = &model->reports;
    model->last_pass_run = &model->pass_runs;
    if ((status = ingot_onnx_open(path, data, size_bytes, options, &model->memory, &model->onnx, error)))
        goto fail;
    if (!(model->packs = ingot_pack_cache_create(&model->memory)) || !describe_interface(model)) {
        status = ingot_out_of_memory(error);
        goto fail;
    }
    if ((status = ingot_custom_take(options->operators, &model->onnx->arena, &model->customs, error)))
        goto fail;
    /* Check, rewrite, resolve: passes may rely on nodes that fit their schema. */
    status = check_nodes(model->onnx->graph, 0, error);
    if (!status)
        status = run_passes(model, options, deadline_ns, error);
    /* A pass leaves a node as it is where memory lacks: what loads then is another model than it would be. */
    if (!status && model->memory.ran_out)
        status = ingot_out_of_memory(error);
    if (!status)
        status = ingot_files_check(model->onnx->files, error);
    if (!status)
        status = resolve_graph(model, model->onnx->graph, options->allow_unsupported, 0, error);
    if (status) {
        if (status != INGOT_USAGE)
            ingot_error_prefix(error, "%.200s", ingot_model_name(model));
        goto fail;
    }
    *result = model;
    return INGOT_OK;
fail:
    ingot_model_free(model);
    return status;
}

/* See load(). */
ingot_status ingot_model_load(const char *path, const ingot_model_options *options, ingot_model **model,
                              ingot_error *error)
{
    return load(path, NULL, 0, options, model, error);
}

/* The caller's bytes are used where they lie, so they must outlive the model. */
ingot_status ingot_model_load_memory(const void *data, size_t size_bytes, const ingot_model_options *options,
                                     ingot_model **model, ingot_error *error)
{
    return load(NULL, data, size_bytes, options, model, error);
}

/* Sessions read the model's graph, weights and packed copies: the last of them takes it along. From any thread; NULL is
 * allowed. Whoever counts the users down to none frees. */
void ingot_model_free(ingot_model *model)
{
    if (!model || atomic_fetch_sub(&model->n_users, 1) > 1)
        return;
    ingot_pack_cache_free(model->packs);
    ingot_onnx_close(model->onnx);
    pthread_mutex_destroy(&model->nodes_mutex);
    free(model);
}

/* Writes the graph as the passes left it; fused nodes come out as the nodes they were. */
ingot_status ingot_model_save(const ingot_model *model, const char *path, ingot_error *error)
{
    return ingot_onnx_write(model->onnx, model->onnx->graph, path, error);
}

/* ---- what it is made of ---- */

size_t ingot_model_n_inputs(const ingot_model *model) { return model->n_inputs; }

size_t ingot_model_n_outputs(const ingot_model *model) { return model->n_outputs; }

/* NULL past the last; the model's own, like all that is told below. */
const ingot_value_info *ingot_model_input(const ingot_model *model, size_t index)
{
    return index < model->n_inputs ? &model->inputs[index] : NULL;
}

/* In the order of the file, whatever passes have done. */
const ingot_value_info *ingot_model_output(const ingot_model *model, size_t index)
{
    return index < model->n_outputs ? &model->outputs[index] : NULL;
}

/* Strings in the summary are the model's and live as long as it does. */
void ingot_model_summarize(const ingot_model *model, ingot_model_summary *summary)
{
    const ingot_onnx *onnx = model->onnx;
    *summary = (ingot_model_summary){.producer = onnx->producer_name ? onnx->producer_name : "",
                                     .producer_version = onnx->producer_version ? onnx->producer_version : "",
                                     .domain = onnx->domain ? onnx->domain : "", .graph_name = onnx->graph->name,
                                     .ir_version = onnx->ir_version, .model_version = onnx->model_version,
                                     .opset = onnx->opset, .n_nodes = (size_t)onnx->graph->n_nodes,
                                     .n_parameters = onnx->n_parameters, .weight_bytes = onnx->weight_bytes};
}

/* False past the last. Both strings are the model's. */
bool ingot_model_property(const ingot_model *model, size_t index, const char **key, const char **value)
{
    if (index >= model->onnx->n_properties)
        return false;
    *key = model->onnx->properties[index].key;
    *value = model->onnx->properties[index].value;
    return true;
}

/* Names of values, "" for those left out; the array is made in the model's arena. NULL when memory is out. */
static const char *const *value_names(ingot_model *model, const int *ids, int n)
{
    const char **names = ingot_arena_array(&model->onnx->arena, (size_t)n + 1, sizeof *names);
    for (int i = 0; i < n && names; i++)
        names[i] = ids[i] == INGOT_NONE ? "" : model->onnx->graph->values[ids[i]].name;
    return names;
}

/* Bytes of the text of all operators fused into the node, each with a blank behind it. */
static size_t fused_bytes(const ingot_node *node)
{
    size_t bytes = 0;
    for (int i = 0; node && i < node->n_fused; i++)
        bytes += strlen(node->fused[i].node->op_type) + 1;
    return bytes;
}

/* That text behind what `text` holds. */
static void add_fused(char *text, const ingot_node *node)
{
    for (int i = 0; node && i < node->n_fused; i++)
        strcat(strcat(text, node->fused[i].node->op_type), " ");
}

/* The arena's memory is zeroed, so strcat() finds an empty text at first. The last blank goes. */
const char *ingot_fused_text(ingot_arena *arena, const ingot_node *before, const ingot_node *node)
{
    const size_t own = before ? strlen(before->op_type) + 1 : 0;
    char *text = ingot_arena_alloc(arena, own + fused_bytes(before) + fused_bytes(node) + 1);
    if (!text)
        return "";
    if (before)
        strcat(strcpy(text, before->op_type), " ");
    add_fused(text, before);
    add_fused(text, node);
    if (*text)
        text[strlen(text) - 1] = '\0';
    return text;
}

/* All nodes' infos; NULL when memory is out. In running order, as the passes left them. */
static ingot_node_info *describe_nodes(ingot_model *model)
{
    const ingot_graph *graph = model->onnx->graph;
    ingot_node_info *infos = ingot_arena_array(&model->onnx->arena, (size_t)graph->n_nodes, sizeof *infos);
    for (int i = 0; i < graph->n_nodes && infos; i++) {
        const ingot_node *node = graph->nodes[i];
        infos[i] = (ingot_node_info){.name = node->name, .op_type = node->op_type, .domain = node->domain,
                                     .fused = ingot_fused_text(&model->onnx->arena, NULL, node),
                                     .n_inputs = (size_t)node->n_inputs, .n_outputs = (size_t)node->n_outputs,
                                     .inputs = value_names(model, node->inputs, node->n_inputs),
                                     .outputs = value_names(model, node->outputs, node->n_outputs),
                                     .module = node->module ? node->module : ""};
        if (!infos[i].inputs || !infos[i].outputs)
            return NULL;
    }
    return infos;
}

/* They are made at the first call, which may come from any thread. False past the last node, or when memory is out. */
bool ingot_model_node(const ingot_model *model, size_t index, ingot_node_info *info)
{
    ingot_model *owner = (ingot_model *)model; /* its arena holds the infos */
    if (index >= (size_t)model->onnx->graph->n_nodes)
        return false;
    pthread_mutex_lock(&owner->nodes_mutex);
    if (!owner->nodes)
        owner->nodes = describe_nodes(owner);
    if (owner->nodes)
        *info = owner->nodes[index];
    const bool made = owner->nodes != NULL;
    pthread_mutex_unlock(&owner->nodes_mutex);
    return made;
}

/* The index-th line of a list, or NULL past its end. */
static const char *line_at(const ingot_line *line, size_t index)
{
    while (line && index--)
        line = line->next;
    return line ? line->text : NULL;
}

/* What is not supported, one line for each node; NULL past the last. */
const char *ingot_model_problem(const ingot_model *model, size_t index) { return line_at(model->problems, index); }

/* One line for each pass; NULL past the last. */
const char *ingot_model_pass_report(const ingot_model *model, size_t index) { return line_at(model->reports, index); }

/* Names of the passes in the order in which they ran; NULL past the last. */
const char *ingot_model_pass_run(const ingot_model *model, size_t index) { return line_at(model->pass_runs, index); }
