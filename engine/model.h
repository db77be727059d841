/* model.h - what a loaded model is, for model.c and session.c. */
#ifndef INGOT_ENGINE_MODEL_H
#define INGOT_ENGINE_MODEL_H

#include "engine/custom.h"
#include "engine/plan/plan.h"
#include "onnx/onnx.h"

/* One line of text in a list: what is not supported, or what a pass did. In the model's arena. */
typedef struct ingot_line {
    struct ingot_line *next;
    char text[];
} ingot_line;

/* All of it but the packs and the lists under nodes_mutex is made while loading and only read afterwards, so sessions
 * on several threads share it without a lock. last_problem and last_report are where the next line goes: lists keep
 * their order. */
struct ingot_model {
    ingot_memory memory;
    ingot_onnx *onnx;
    ingot_pack_cache *packs;
    ingot_custom_list *customs;    /* operators of the host; NULL: none */
    const ingot_kernels *kernels;  /* of its sessions: packed weights have their form */
    ingot_value_info *inputs;      /* those without an initializer */
    ingot_value_info *outputs;
    size_t n_inputs;
    size_t n_outputs;
    ingot_line *problems, **last_problem;
    ingot_line *reports, **last_report;
    ingot_line *pass_runs, **last_pass_run;
    pthread_mutex_t nodes_mutex;   /* for making nodes and weights */
    ingot_node_info *nodes;        /* one for each of the graph's; NULL until they are asked for */
    const int *weights;            /* ids of constants; NULL until they are asked for */
    size_t n_weights;
    _Atomic int n_users;           /* sessions, and the caller until it frees the model */
};

/* Options that a caller gave, completed to today's form: *full receives as much as size_bytes says, and zeros. A caller
 * built with an older header has a shorter struct. INGOT_USAGE where size_bytes is not set. */
ingot_status ingot_take_options(void *full, size_t full_bytes, const void *given, ingot_error *error);

/* extract.c: write a model of one node with the types that its values have in a plan that has run. */
ingot_status ingot_extract(const ingot_model *model, const ingot_plan *plan, const char *name, const char *path,
                           ingot_error *error);

/* look.c: what ingot_session_value_type() and ingot_session_place() tell of a plan, which may be NULL. */
bool ingot_plan_value_type(const ingot_plan *plan, const char *name, ingot_tensor *type);
bool ingot_plan_place(const ingot_plan *plan, size_t index, ingot_place_info *info);

/* The name that error lines give the model. */
const char *ingot_model_name(const ingot_model *model);

/* The operators fused into a node, separated by spaces: "Add Relu". Those of `before`, a node that became one step with
 * it, or NULL, come first, with itself. Text in `arena`; "" when memory is out. */
const char *ingot_fused_text(ingot_arena *arena, const ingot_node *before, const ingot_node *node);

#endif
