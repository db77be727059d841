/* plan.h - what running a graph takes for one set of input shapes: steps in order with their contexts bound to tensors
 * whose places in one arena are fixed. A plan belongs to one session (its tensors are the session's). */
#ifndef INGOT_PLAN_PLAN_H
#define INGOT_PLAN_PLAN_H

#include <pthread.h>

#include "ops/host.h"
#include "ops/op.h"

typedef struct ingot_plan ingot_plan;
typedef struct ingot_step ingot_step;

/* Where a value's elements are. */
typedef enum ingot_place {
    INGOT_PLACE_NONE,      /* not computed by any step */
    INGOT_PLACE_KNOWN,     /* constant, or computed while planning */
    INGOT_PLACE_BOUND,     /* a graph input or captured value: the caller's memory, set before each run */
    INGOT_PLACE_ARENA,     /* at `offset` of the plan's arena */
    INGOT_PLACE_VIEW,      /* `shift` bytes into the memory of value `root`, whose place they share */
    INGOT_PLACE_DYNAMIC    /* allocated while running, when the shape is known */
} ingot_place;

typedef struct ingot_plan_value {
    ingot_tensor tensor;       /* rank -1: shape known only while running */
    const ingot_const *constant;
    ingot_place place;
    int root;                  /* value whose memory this one shares; itself when it has its own */
    size_t shift;              /* where in it, in bytes */
    int first, last;           /* steps between which the memory is in use (of a root: with all its views) */
    size_t offset, size_bytes;
    bool is_output;            /* must survive the run */
    int twin;                  /* the same value in the other layout, or INGOT_NONE */
    int producer;              /* step, or INGOT_NONE */
} ingot_plan_value;

/* Plans of one subgraph of a step's node, by input shapes; see executor.c. */
typedef struct ingot_callee {
    const ingot_graph *graph;
    int first_capture;         /* of the node's inputs */
    ingot_plan *plans;
    struct ingot_callee *next;         /* of the step */
    struct ingot_callee *next_of_plan; /* of all steps, those too that were computed while planning */
} ingot_callee;

struct ingot_step {
    ingot_op_ctx ctx;
    ingot_plan *plan;
    int *inputs, *outputs;     /* plan values, or INGOT_NONE; ctx.in[i] points to values[inputs[i]].tensor */
    bool dynamic;              /* infer and prepare run again in every run */
    bool view;                 /* output 0 is the memory of input 0 as it is */
    int n_dying, *dying;       /* dynamic values that are freed after this step */
    ingot_callee *callees;
    uint64_t start_ns, time_ns;
    int64_t flops;
    const ingot_node *before;  /* the node that became one step with its own, which read its result; or NULL */
    const char *fused;         /* text, once it was asked for */
};

/* What all plans of a session share. */
typedef struct ingot_plan_env {
    ingot_memory *memory;          /* the session's account */
    struct ingot_pack_cache *packs;/* the model's */
    ingot_file *files;             /* the model's, that constants are read from */
    bool keep_constants;           /* those that are read stay with the packs, for all plans; else with the plan */
    ingot_team *team;
    const ingot_kernels *kernels;
    uint64_t deadline_ns;          /* monotonic clock; 0: none */
    bool profile;
    ingot_observe_fn *observe;     /* told of every value of graph `observed`, or NULL */
    void *observer;
    const ingot_graph *observed;
    ingot_conv_choice conv_algorithm;
    bool batch_invariant;
    const struct ingot_plan *outermost; /* the plan that the session runs: its steps mark what the team records */
    ingot_read_block read_block;
    ingot_arena run_arena;         /* memory of one run: strings, items of sequences, state of dynamic steps */
} ingot_plan_env;

struct ingot_plan {
    ingot_plan_env *env;
    const ingot_graph *graph;
    ingot_arena arena;             /* steps, states, known values */
    ingot_host host;
    ingot_plan_value **values;     /* the graph's values by id, then reordered twins */
    int n_values, value_capacity;
    ingot_step **steps;
    int n_steps;
    int n_signature;
    ingot_tensor *signature;       /* graph inputs, then captures: types and shapes the plan was made for */
    char *memory;                  /* arena_bytes, then scratch_bytes */
    size_t arena_bytes, scratch_bytes;
    bool has_run;                  /* to its end, so that all of its memory was written to */
    ingot_callee *callees;         /* of all steps, for freeing them */
    bool keeps;                    /* what operators ask for now lives as long as the plan, not as the run */
    double shared_us;              /* rough estimate of what threads may share, on one, for deciding whether more pay */
    bool has_dynamic, is_short;    /* some steps are dynamic; the last run took too little time for a team */
    ingot_plan *next;              /* in a cache, newest first */
};

/* An outside value to plan with: its tensor, and whether the elements are known now and for good. */
typedef struct ingot_plan_input {
    const ingot_tensor *tensor;
    bool known;
} ingot_plan_input;

/* Plan `graph` for inputs (one per graph input, NULL tensor: use its constant) and captures. `wanted` marks further
 * values (by id) that must survive the run, or is NULL. */
ingot_status ingot_plan_create(ingot_plan_env *env, const ingot_graph *graph, const ingot_plan_input *inputs,
                               const ingot_plan_input *captures, const bool *wanted, ingot_plan **plan,
                               ingot_error *error);
void ingot_plan_free(ingot_plan *plan);
void ingot_plan_free_list(ingot_plan *plans);

/* The plan of the list that fits these inputs and captures, brought to the front; NULL where none does, and then
 * the oldest plans are freed so that one more can be put in front of the list: it never holds more than eight. */
ingot_plan *ingot_plan_find(ingot_plan **plans, const ingot_tensor *const *inputs,
                            const ingot_tensor *const *captures);

/* INGOT_CANCELLED, with a line, once the run has to end. */
ingot_status ingot_plan_stopped(const ingot_plan_env *env, ingot_error *error);
/* prepare() of a step, under the packs' lock; INGOT_CANCELLED where the run had to end meanwhile. */
ingot_status ingot_step_prepare(ingot_step *step, ingot_error *error);
/* Run the operator of a step whose inputs and outputs have memory, in pieces where it may take long. */
ingot_status ingot_step_compute(ingot_step *step, ingot_error *error);
/* Lock the packs, unless that takes so long that the run has to end meanwhile. */
ingot_status ingot_plan_lock(const ingot_plan_env *env, ingot_error *error);

/* The planner's guess at a middling machine's thread: floating-point operations in a microsecond. */
#define INGOT_FLOPS_IN_US 50e3

/* Give back the memory that constants are read into; due after prepare(). */
void ingot_plan_drop_block(ingot_plan_env *env);

/* Run the plan on them. Dynamic values and outputs stay until the next run. */
ingot_status ingot_plan_run(ingot_plan *plan, const ingot_tensor *const *inputs, const ingot_tensor *const *captures,
                            ingot_error *error);

/* Run a subgraph for an operator: what ingot_call() forwards to. */
ingot_status ingot_plan_call(ingot_op_ctx *c, const ingot_graph *graph, const ingot_tensor *const *inputs, int n_inputs,
                             ingot_tensor *outputs, int n_outputs);

/* The monotonic clock's time after which work that may take timeout_s (0: any time) has to stop; 0 for none. */
uint64_t ingot_deadline_ns(double timeout_s);

/* The tensor of graph value `value` after a run, row-major, and the plan's value that it is. */
const ingot_tensor *ingot_plan_output(const ingot_plan *plan, int value);
int ingot_plan_output_value(const ingot_plan *plan, int value);

/* lend.c: before a run, let outputs lie in memory of the caller (`given`, one for each; NULL data: the plan's own);
 * after it, copy those that could not. INGOT_BAD_INPUT where type or shape are others. */
ingot_status ingot_plan_lend(ingot_plan *plan, const ingot_tensor *given, const ingot_tensor *const *inputs,
                             ingot_error *error);
ingot_status ingot_plan_deliver(const ingot_plan *plan, const ingot_tensor *given, ingot_error *error);

/* Show the step's outputs to env->observe (observe.c). INGOT_LIMIT when memory is out. */
ingot_status ingot_observe_step(ingot_step *step, ingot_error *error);

/* --- the stages of planning, each in a file of its own --- */

/* infer.c: types and shapes of every value, steps for what is not known already. */
ingot_status ingot_plan_infer(ingot_plan *plan, const ingot_plan_input *inputs, const ingot_plan_input *captures,
                              const bool *wanted, ingot_error *error);
/* One step of it: shapes of its outputs, or their elements where all inputs are known. INGOT_LATER: neither can be told
 * before a run. */
ingot_status ingot_plan_infer_step(ingot_plan *plan, ingot_step *step, ingot_error *error);
/* merge.c: several steps become one that does the same better. Before steps that nobody needs are dropped. */
ingot_status ingot_plan_merge(ingot_plan *plan, const bool *wanted, ingot_error *error);
/* layout.c: which values are blocked; inserts Reorder steps. */
ingot_status ingot_plan_layout(ingot_plan *plan, ingot_error *error);
/* find_pixel_rows.c: Transposes between blocked images and rows of channels, with what is between, become part of the
 * Reorder. */
ingot_status ingot_plan_pixel_rows(ingot_plan *plan, ingot_error *error);
/* memory_plan.c: lifetimes, sharing, offsets; allocates the arena and binds the tensors. */
ingot_status ingot_plan_memory(ingot_plan *plan, ingot_error *error);
/* Before steps are prepared: LIMIT where one value alone is too much. */
ingot_status ingot_plan_check_sizes(const ingot_plan *plan, ingot_error *error);
/* share.c: views, parts of a whole, in-place results. Lifetimes must be known, and grow with what is shared. */
void ingot_plan_share(ingot_plan *plan);
/* The value whose memory `id` uses in the end, and where in it, in bytes. */
int ingot_plan_root(const ingot_plan *plan, int id, size_t *shift);

/* --- shared by the stages --- */

/* merge.c: by value, the step that makes it, or INGOT_NONE, and how often it is read. */
typedef struct ingot_uses {
    int *producers, *readers;
} ingot_uses;

bool ingot_step_is(const ingot_step *step, const char *op_type); /* static, of the default domain, making floats */
/* The step of this operator that makes `value` as its output 0, if nothing else reads it (`alone`), or whoever reads it
 * (`alone` false). NULL where there is none. */
ingot_step *ingot_made_by(const ingot_plan *plan, const ingot_uses *uses, int value, const char *op_type, bool alone);
/* One step of operator `op` in the place of plan->steps[s], whose node it keeps, and of `before`, which that one alone
 * reads and which is left without readers. Its inputs are all those of one of them, `before` where it leads, and then
 * those of the other but for the first; input 0 is that of `before` in any case. False when memory is out. */
bool ingot_plan_join(ingot_plan *plan, int s, const ingot_step *before, bool leads, const ingot_op *op);
/* find_attention.c: scaled dot-product attention. find_channel_norm.c: LayerNormalization of the channels of images.
 * find_conv_scaled.c: a 1x1 Conv of a product by channels. find_conv_normalized.c: a 1x1 Conv of normalized channels.
 * find_conv_product.c: a first Conv with the classifier behind it. find_conv_pair.c: a 1x1 Conv with the depthwise Conv
 * behind it, and a first Conv with its MaxPool. These come late, as their steps have the nodes of Convs.
 * find_shuffle.c: channels that are shuffled; it adds steps, so nothing comes behind it. */
ingot_status ingot_plan_attention(ingot_plan *plan, ingot_uses *uses, ingot_error *error);
ingot_status ingot_plan_channel_norm(ingot_plan *plan, ingot_uses *uses, ingot_error *error);
ingot_status ingot_plan_conv_scaled(ingot_plan *plan, ingot_uses *uses, ingot_error *error);
ingot_status ingot_plan_conv_normalized(ingot_plan *plan, ingot_uses *uses, ingot_error *error);
ingot_status ingot_plan_conv_product(ingot_plan *plan, ingot_uses *uses, ingot_error *error);
ingot_status ingot_plan_conv_pair(ingot_plan *plan, ingot_uses *uses, ingot_error *error);
ingot_status ingot_plan_shuffle(ingot_plan *plan, ingot_uses *uses, ingot_error *error);

enum { INGOT_STRIDED_RANK = 4 };

/* Elements of a value, evenly spaced along each dimension. */
typedef struct ingot_strided {
    int value;
    int64_t offset, shape[INGOT_STRIDED_RANK], strides[INGOT_STRIDED_RANK];
} ingot_strided;

/* strided.c: all of a value; and the same elements in the value that they come from, where a run keeps them.
 * producers[v] is the step that makes value v, or INGOT_NONE. */
ingot_strided ingot_strided_whole(const ingot_plan *plan, int value);
void ingot_strided_trace(const ingot_plan *plan, const int *producers, ingot_strided *view);

int ingot_plan_add_value(ingot_plan *plan, const ingot_tensor *tensor); /* INGOT_NONE: memory is out */
/* A step for `node`, whose values are given by plan value ids; not yet in plan->steps. */
ingot_step *ingot_plan_make_step(ingot_plan *plan, const ingot_node *node, const int *inputs, int n_inputs,
                                 const int *outputs, int n_outputs);
/* Give lazy constants among the step's inputs memory, unless the operator reads them itself. */
ingot_status ingot_step_settle_constants(ingot_step *step, ingot_error *error);
/* The same for lazy constants that are outputs themselves. */
ingot_status ingot_plan_settle_outputs(ingot_plan *plan, ingot_error *error);
/* Prefix the error line with the node. */
ingot_status ingot_step_error(const ingot_step *step, ingot_status status, ingot_error *error);

/* pack_cache.c: memory made once per (node, tag) and shared by all plans of a model. */
typedef struct ingot_pack_cache ingot_pack_cache;
ingot_pack_cache *ingot_pack_cache_create(ingot_memory *memory);
void ingot_pack_cache_free(ingot_pack_cache *cache);
void *ingot_pack_cache_get(ingot_pack_cache *cache, const void *node, uint64_t tag, size_t size_bytes,
                           bool *fill);
bool ingot_pack_cache_try_lock(ingot_pack_cache *cache, int milliseconds);
void ingot_pack_cache_lock(ingot_pack_cache *cache);
void ingot_pack_cache_unlock(ingot_pack_cache *cache, bool keep_new); /* false: forget what was added since locking */
uint64_t ingot_pack_cache_bytes(const ingot_pack_cache *cache);

/* evaluate.c: run one node whose inputs are all known; outputs get memory in `arena`. Used by constant folding. */
ingot_status ingot_evaluate(ingot_plan_env *env, ingot_arena *arena, const ingot_node *node,
                            const ingot_const *const *inputs, ingot_const **outputs, ingot_error *error);

#endif
