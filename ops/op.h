/* op.h - what an operator is: one constant record per (domain, name, first opset version of its form), and the context
 * in which its functions are called. A family of operators is one file: the functions, and a table of records at its
 * end that registry.c lists.
 *
 * The life of a node: infer() for its output types and shapes; prepare() once per plan, when all shapes are known;
 * run() every time. A node whose shapes depend on data not known when planning is inferred and prepared anew in every
 * run. */
#ifndef INGOT_OPS_OP_H
#define INGOT_OPS_OP_H

#include "engine/core/graph.h"
#include "engine/core/team.h"
#include "ops/kernels/kernels.h"

typedef struct ingot_op ingot_op;
typedef struct ingot_op_ctx ingot_op_ctx;
typedef struct ingot_host ingot_host;

/* Returned by infer() where it needs the elements of an input that are not known yet: see ingot_need(). */
#define INGOT_LATER ((ingot_status)-1)

/* What a node could do with blocked (NCHW8c) tensors, given its shapes; see layout() below. */
typedef enum ingot_layout_kind {
    INGOT_LAYOUT_PLAIN = 0,  /* row-major inputs and outputs only */
    INGOT_LAYOUT_FOLLOW,     /* inputs in `inputs` and output 0 all in one layout, whichever; an output of rank 2 or
                                less stays plain */
    INGOT_LAYOUT_NATIVE,     /* wants the inputs in `inputs` blocked and gives output 0 blocked */
} ingot_layout_kind;

typedef struct ingot_layout {
    ingot_layout_kind kind;
    uint32_t inputs;         /* bit i: input i takes part; the others stay plain */
} ingot_layout;

/* What run() reads first of packed weights, so that the step before may ask for it; or nothing. */
typedef struct ingot_reads {
    const float *first;
    int64_t n;
} ingot_reads;

struct ingot_op_ctx {
    const ingot_node *node;          /* attributes and fused nodes */
    const ingot_op *op;
    int n_in, n_out;                 /* all inputs: the operator's own, captured ones, fused ones */
    ingot_tensor **in;               /* in[i] NULL: left out. When planning, in[i]->data is NULL where not known */
    ingot_tensor **out;              /* out[i] NULL: nobody wants it */
    const ingot_const **constants;   /* constants[i]: input i is this constant (perhaps lazy); else NULL */
    const ingot_kernels *kernels;
    ingot_team *team;
    void *state;                     /* what prepare() left for run(); from ingot_keep() */
    char *scratch;                   /* as ingot_want_scratch() asked, during run(); 64-byte aligned */
    size_t scratch_bytes, thread_scratch_bytes;
    const char *kernel;              /* algorithm chosen, for profiles; a constant string or from ingot_keep() */
    ingot_error *error;
    ingot_conv_choice conv_algorithm; /* what the session asks for */
    bool batch_invariant;            /* choices must not depend on the size of the batch */
    ingot_reads reads, soon;         /* what prepare() found, and, when running, that of the next step which has any */
    ingot_host *host;                /* the engine's side: the functions below use it */
    ingot_op_ctx *parent;            /* of a copy that an operator made to call another one: the original; else NULL */
};

typedef ingot_status ingot_op_fn(ingot_op_ctx *c);

enum {
    INGOT_OP_VIEW = 1,      /* output 0 is input 0's elements with another shape: no copy when planned (run() must copy
                               when the two differ in data, for the cases that are not) */
    INGOT_OP_INPLACE = 2,   /* output 0 may share the memory of any input of the same size that dies here */
    INGOT_OP_RANDOM = 4,    /* not a function of its inputs: never folded, never merged */
    INGOT_OP_LAZY = 8,      /* prepare() reads constants through c->constants; in[i]->data of a lazy one is NULL (not
                               of input 0) */
    INGOT_OP_SHAPE_ONLY = 16, /* reads the types and shapes of its inputs but not their elements (Shape, Size) */
    INGOT_OP_FUSES = 32,    /* runs the nodes that are fused into it as well: see fused.h */
    INGOT_OP_SPLITS = 64,   /* the outputs are pieces of input 0; where output 0 is blocked, so are the others */
    INGOT_OP_JOINS = 128,   /* output 0 is made of the inputs, as pieces */
    INGOT_OP_LONG = 512,    /* may take long, and computes numbers alone, which lead to no address: where the run is
                               cancelled, run() may be left with parts undone */
    INGOT_OP_KINDS = 256,   /* takes sequences and optionals too, and looks at the kinds itself; others get tensors */
};

enum { INGOT_MANY = 0x7fffffff };

/* What a prepared node really does, where its kernel knows better than the node: for profiles. */
typedef struct ingot_op_work {
    int64_t flops;                   /* of the algorithm chosen; preset to what flops() counts */
    int64_t bytes;                   /* read and written; preset to the size of all inputs and outputs */
    int tile_rows, tile_columns;     /* of the result that is held in registers; preset to 0 */
} ingot_op_work;

struct ingot_op {
    const char *op_type;
    int since;                       /* first opset version of the form; older forms are rewritten (upgrade.c) */
    int min_inputs, max_inputs;      /* INGOT_MANY: variadic */
    uint64_t types[6];               /* allowed element types of input i; 0: that of input 0 (from the first 0 on) */
    ingot_op_fn *infer, *run;        /* required */
    ingot_op_fn *prepare;            /* optional */
    unsigned flags;
    ingot_layout (*layout)(const ingot_op_ctx *c);    /* NULL: plain. Called after infer() */
    int64_t (*flops)(const ingot_op_ctx *c);          /* NULL: none counted */
    void (*describe)(const ingot_op_ctx *c, ingot_op_work *work); /* NULL: the presets. Called after prepare() */
    const char *domain;              /* NULL: ai.onnx */
    int until;                       /* last opset version that has this operator; 0: the newest */
    /* May input 0 (N, C * D1 * ...) come as the (N, C, D1, ...) that it was, blocked where layout() takes that? Asked
     * after infer(), for prepare() and run(). NULL: no. */
    bool (*flattens)(const ingot_op_ctx *c);
    /* For SPLITS and JOINS: do the pieces lie in the whole one behind the other, each in one run? The planner may then
     * place them there, and run() must skip pieces whose data already is. Called after layouts are chosen. */
    bool (*in_runs)(const ingot_op_ctx *c);
    /* Is output `output` made of elements of input 0 in even steps: element (i0, i1, ...) that of number
     * *offset + i0 strides[0] + i1 strides[1] + ...? What reads it may then read input 0 instead. Called after infer();
     * NULL: no. */
    bool (*strided)(ingot_op_ctx *c, int output, int64_t *offset, int64_t *strides);
};

/* The record for a node of (domain, op_type, version), or NULL with *known telling whether any version exists. */
const ingot_op *ingot_op_find(const char *domain, const char *op_type, int version, bool *known);

/* Enumerate the registry: the index-th record, or NULL past the last. */
const ingot_op *ingot_op_at(size_t index);

/* As many inputs as the operator takes, and none left out that it needs? INVALID with a line that names the node. */
ingot_status ingot_op_check_inputs(const ingot_op *op, const ingot_node *node, ingot_error *error);

/* Are the inputs there that the operator needs, tensors where it takes no others, and of types that its record allows?
 * Those of a rank that is not known yet pass. INVALID or UNSUPPORTED, with a line, otherwise. */
ingot_status ingot_op_check_types(const ingot_op_ctx *c, ingot_error *error);

/* The element types that input `i` may have; 0: that of input 0. */
uint64_t ingot_op_types(const ingot_op *op, int i);

/* Fill c->error with "<message>" (the engine puts file and node before it) and return the status. */
ingot_status ingot_op_fail(ingot_op_ctx *c, ingot_status status, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
static inline ingot_status ingot_op_out_of_memory(ingot_op_ctx *c) { return ingot_out_of_memory(c->error); }

/* --- in infer() --- */

/* infer() of operators that the planner makes: it has checked what they get, and models cannot name them. */
ingot_status ingot_infer_made(ingot_op_ctx *c);

/* checked sizes */
ingot_status ingot_out(ingot_op_ctx *c, int index, ingot_dtype dtype, int rank, const int64_t *shape);
ingot_status ingot_out_like(ingot_op_ctx *c, int index, const ingot_tensor *like);      /* type and shape */
ingot_status ingot_out_broadcast(ingot_op_ctx *c, int index, ingot_dtype dtype);  /* all own inputs broadcast (NumPy) */
/* Output whose shape only run() finds out: run() then calls ingot_out_resize(). For sequences and such too. */
ingot_status ingot_out_unknown(ingot_op_ctx *c, int index, ingot_kind kind, ingot_dtype dtype);
/* INGOT_OK when input i's elements are there, else INGOT_LATER to be returned. Absent inputs count as there. */
ingot_status ingot_need(ingot_op_ctx *c, int i);
bool ingot_has(const ingot_op_ctx *c, int i);   /* input i is given */

/* An axis attribute or element: -rank <= axis < rank, made positive. INGOT_INVALID with a line otherwise. */
ingot_status ingot_axis(ingot_op_ctx *c, int64_t axis, int rank, int *result);
/* The int64/int32 elements of input i as int64 (max at most `capacity`); *n receives the count. INGOT_LATER as need. */
ingot_status ingot_ints(ingot_op_ctx *c, int i, int64_t *values, int capacity, int *n);

/* --- in prepare() --- */

void *ingot_keep(ingot_op_ctx *c, size_t size_bytes);  /* zeroed, lives as long as the plan; NULL: memory is out */
/* Ask for scratch memory in run(): shared, and a slice for each thread. */
void ingot_want_scratch(ingot_op_ctx *c, size_t shared_bytes, size_t per_thread_bytes);
/* Memory shared by all plans and sessions of the model, made once per (c->node, tag): *fill tells whether the caller
 * has to fill it now (others wait). Packed weights go here. NULL: memory is out. */
void *ingot_packed(ingot_op_ctx *c, uint64_t tag, size_t size_bytes, bool *fill);
/* Fill it by a task over n pieces on all threads; false, with some left out, where the run has to end. */
bool ingot_pack(ingot_op_ctx *c, int64_t n, ingot_task *task, void *argument, size_t size_bytes);
/* Float elements of constant input i for packing: as they are, or read into *owned (free with ingot_unread). NULL:
 * memory is out. */
const void *ingot_read_constant(ingot_op_ctx *c, int i, void **owned);
void ingot_unread_constant(ingot_op_ctx *c, void *owned);
/* Memory to work in while preparing; the caller frees it. NULL: memory is out. */
void *ingot_work_alloc(ingot_op_ctx *c, size_t size_bytes);
void ingot_work_free(ingot_op_ctx *c, void *memory);

/* --- in run() --- */

char *ingot_thread_scratch(const ingot_op_ctx *c, int thread);
bool ingot_cancelled(const ingot_op_ctx *c);
/* The same in a loop over elements, asked at some of them. */
static inline bool ingot_cancelled_at(const ingot_op_ctx *c, int64_t i) { return i % 65536 == 0 && ingot_cancelled(c); }
/* Give output `index` its shape and memory (tensor kinds), when infer() left it unknown. */
ingot_status ingot_out_resize(ingot_op_ctx *c, int index, ingot_dtype dtype, int rank, const int64_t *shape);
/* Memory that lives until the session's next run: strings, items of sequences. Not cleared. NULL: memory is out. */
void *ingot_run_alloc(ingot_op_ctx *c, size_t size_bytes);
/* Copy a value's elements (and items, and strings' bytes) into run memory, so that it outlives its source. */
ingot_status ingot_run_copy(ingot_op_ctx *c, const ingot_tensor *from, ingot_tensor *to);
/* Run a subgraph on `inputs` (its graph inputs, in order); captured values come from this node. outputs[i] are valid
 * until the next call for the same graph. */
ingot_status ingot_call(ingot_op_ctx *c, const ingot_graph *graph, const ingot_tensor *const *inputs, int n_inputs,
                        ingot_tensor *outputs, int n_outputs);

#endif
