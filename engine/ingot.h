/* ingot.h - load a model exported to ONNX and run it. The only public header of libingot.
 *
 * A model is loaded once and shared; a session runs it:
 *
 *     ingot_error error;
 *     ingot_model *model;
 *     ingot_session *session;
 *     if (ingot_model_load("MyNet.onnx", NULL, &model, &error) || ingot_session_create(model, NULL, &session, &error))
 *         return puts(error.message);
 *     ingot_session_set_input(session, "x", &tensor, &error);
 *     ingot_session_run(session, &error);
 *     const ingot_tensor *y = ingot_session_output(session, 0);
 *
 * Every function that can fail returns an ingot_status and, where `error` is not NULL, fills it with one line that
 * names the file, the node and the attribute or value. The library prints nothing, ends no process and keeps no
 * global state. Threads: a model may be used by any number of threads at once; a session by one thread at a time,
 * except ingot_session_cancel(). */
#ifndef INGOT_H
#define INGOT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define INGOT_VERSION_MAJOR 0
#define INGOT_VERSION_MINOR 1
#define INGOT_VERSION_PATCH 0

#define INGOT_API __attribute__((visibility("default")))

/* What a call came to. The values are also the exit codes of the command-line tool. */
typedef enum ingot_status {
    INGOT_OK = 0,
    INGOT_DIFFERS = 1,     /* outputs are not within tolerance (the tool's verify) */
    INGOT_USAGE = 2,       /* the call or command itself is wrong */
    INGOT_UNSUPPORTED = 3, /* valid, but an operator, type or version that Ingot does not have */
    INGOT_INVALID = 4,     /* the model or its external data is malformed */
    INGOT_BAD_INPUT = 5,   /* an input or a dump does not fit the model, or is malformed */
    INGOT_LIMIT = 6,       /* a limit was reached or memory ran out */
    INGOT_IO = 7,          /* a file cannot be read or written */
    INGOT_CANCELLED = 130
} ingot_status;

/* One line of UTF-8 text; names taken from files are escaped and shortened. */
typedef struct ingot_error {
    ingot_status status;
    char message[500];
} ingot_error;

/* Element types, with the numbers of ONNX's TensorProto.DataType. In memory every element takes whole bytes: the 2-, 4-
 * and 6-bit types one byte each, bool one byte of 0 or 1, string an ingot_string, complex two floats. */
typedef enum ingot_dtype {
    INGOT_UNDEFINED = 0, INGOT_FLOAT = 1, INGOT_UINT8 = 2, INGOT_INT8 = 3, INGOT_UINT16 = 4, INGOT_INT16 = 5,
    INGOT_INT32 = 6, INGOT_INT64 = 7, INGOT_STRING = 8, INGOT_BOOL = 9, INGOT_FLOAT16 = 10, INGOT_DOUBLE = 11,
    INGOT_UINT32 = 12, INGOT_UINT64 = 13, INGOT_COMPLEX64 = 14, INGOT_COMPLEX128 = 15, INGOT_BFLOAT16 = 16,
    INGOT_FLOAT8E4M3FN = 17, INGOT_FLOAT8E4M3FNUZ = 18, INGOT_FLOAT8E5M2 = 19, INGOT_FLOAT8E5M2FNUZ = 20,
    INGOT_UINT4 = 21, INGOT_INT4 = 22, INGOT_FLOAT4E2M1 = 23, INGOT_FLOAT8E8M0 = 24, INGOT_UINT2 = 25, INGOT_INT2 = 26,
    INGOT_FLOAT6E2M3 = 27, INGOT_FLOAT6E3M2 = 28, INGOT_N_DTYPES
} ingot_dtype;

typedef struct ingot_string {
    const char *data; /* not terminated */
    size_t size_bytes;
} ingot_string;

#define INGOT_MAX_RANK 16

/* What a value is. A sequence holds shape[0] items in `data` (an array of ingot_tensor), an optional 0 or 1, a map two:
 * its keys and its values, each a tensor or a sequence. */
typedef enum ingot_kind { INGOT_TENSOR = 0, INGOT_SEQUENCE = 1, INGOT_OPTIONAL = 2, INGOT_MAP = 3 } ingot_kind;

/* A value: element type, shape and row-major elements. Who owns `data` is said where a tensor is passed. */
typedef struct ingot_tensor {
    ingot_dtype dtype;             /* of the elements; of the items' elements for the other kinds */
    uint8_t kind;                  /* ingot_kind */
    uint8_t layout;                /* 0: row-major. Other values exist only inside the engine */
    int32_t rank;                  /* 0 to INGOT_MAX_RANK; 1 for the other kinds */
    int64_t shape[INGOT_MAX_RANK]; /* counts elements */
    void *data;
} ingot_tensor;

INGOT_API const char *ingot_version(void);
INGOT_API const char *ingot_status_name(ingot_status status);
INGOT_API const char *ingot_dtype_name(ingot_dtype dtype);   /* "float", "int64", ...; "undefined" for none */
INGOT_API size_t ingot_dtype_size_bytes(ingot_dtype dtype);  /* of one element in memory; 0 for undefined */
INGOT_API int64_t ingot_tensor_count(const ingot_tensor *tensor); /* product of shape[] */

/* Name of the instruction set the kernels of this process use: "baseline", "avx2", "avxvnni", "avx512",
 * "avx512vnni" or "neon". The environment variable INGOT_ISA caps it. */
INGOT_API const char *ingot_isa(void);

/* Threads that a session takes by default: the smaller of the affinity mask and the cgroup's quota. */
INGOT_API int32_t ingot_n_threads(void);

/* Name of the index-th graph pass, in the order in which they run; NULL past the last. */
INGOT_API const char *ingot_pass_name(size_t index);

/* ---- models ---------------------------------------------------------------------------------------------------- */

typedef struct ingot_model ingot_model;

/* Options of ingot_model_load(). Fill with zeros and set size_bytes = sizeof(ingot_model_options), without which they
 * are refused; zero is the default everywhere else. */
typedef struct ingot_model_options {
    size_t size_bytes;
    uint64_t max_memory_bytes;          /* for what loading allocates; 0: what the machine has, or its cgroup allows */
    const char *const *disabled_passes; /* names of passes to leave out, NULL-terminated; "all" for every one */
    bool allow_unsupported;             /* load a model that would not run, so that it can be inspected */
    bool no_passes;                     /* keep the graph as it is in the file */
    size_t most_pass_runs;              /* stop after so many runs of passes, each of which may run several times; 0: no
                                           limit. See ingot_model_pass_run() */
    bool in_double;                     /* compute in double what the file says in float, float16 or bfloat16; without
                                           passes. A pass report names the nodes that have no double form */
    double noise;                       /* with in_double: weights are disturbed by so much of themselves at most ... */
    uint64_t noise_seed;                /* ... at random, to see how far rounding may carry a result */
    bool portable;                      /* run the kernels that every processor has: the same bits on all of them, at a
                                           price that the documentation tells */
    const char *external_data_root;     /* where external data may lie besides the model's own folder; NULL: nowhere */
    uint64_t max_nodes;                 /* of all graphs, functions inlined; 0: 40,000 more than the file could hold */
    bool no_mmap;                       /* read files whole while loading: they may change afterwards */
    double timeout_s;                   /* loading that takes longer ends with INGOT_CANCELLED; 0: none */
    const struct ingot_custom_operator *const *operators; /* that the host brings along, NULL-terminated; see below */
} ingot_model_options;

/**
 * Load a model from a file, check it and run the passes over its graph.
 * path     an ONNX ModelProto; its external data lies beneath the same folder. Files of more than 1 MiB stay open, and
 *          weights are read when a plan packs them. Where a file is written to before that, the plan or the run ends
 *          with INGOT_IO; see no_mmap where files change. Replacing or removing a file disturbs nothing.
 * options  NULL for the defaults.
 * model    receives the model; NULL on failure.
 * Returns  INGOT_OK, INGOT_IO, INGOT_INVALID, INGOT_UNSUPPORTED, INGOT_LIMIT or INGOT_USAGE (no pass of that name).
 */
INGOT_API ingot_status ingot_model_load(const char *path, const ingot_model_options *options, ingot_model **model,
                                        ingot_error *error);

/** The same from memory, which must stay unchanged until ingot_model_free(). External data is refused. */
INGOT_API ingot_status ingot_model_load_memory(const void *data, size_t size_bytes, const ingot_model_options *options,
                                               ingot_model **model, ingot_error *error);

/** Free a model. NULL is allowed. Sessions of it stay usable: the memory goes with the last of them. */
INGOT_API void ingot_model_free(ingot_model *model);

/** Write the model's graph, as the passes left it, as an ONNX file that any runtime can read. Replaces `path` at once
 * or not at all. Returns INGOT_OK, INGOT_IO or INGOT_LIMIT. */
INGOT_API ingot_status ingot_model_save(const ingot_model *model, const char *path, ingot_error *error);

/* A graph input or output as the model declares it. Valid until the model is freed. */
typedef struct ingot_value_info {
    const char *name;
    ingot_kind kind;
    ingot_dtype dtype;
    int32_t rank;                           /* -1: not declared */
    int64_t shape[INGOT_MAX_RANK];          /* -1: free */
    const char *symbols[INGOT_MAX_RANK];    /* the free dimension's name, or NULL */
} ingot_value_info;

INGOT_API size_t ingot_model_n_inputs(const ingot_model *model); /* those without an initializer */
INGOT_API size_t ingot_model_n_outputs(const ingot_model *model);
INGOT_API const ingot_value_info *ingot_model_input(const ingot_model *model, size_t index);
INGOT_API const ingot_value_info *ingot_model_output(const ingot_model *model, size_t index);

/* What the model is made of. */
typedef struct ingot_model_summary {
    const char *producer, *graph_name;
    const char *producer_version, *domain;
    int64_t ir_version, model_version;
    int64_t opset;            /* of the default domain */
    size_t n_nodes;           /* after the passes, without subgraphs */
    int64_t n_parameters;     /* elements of the initializers in the file */
    uint64_t weight_bytes;    /* of the same */
} ingot_model_summary;

INGOT_API void ingot_model_summarize(const ingot_model *model, ingot_model_summary *summary);

/** The index-th of the model's metadata properties; false past the last. The texts stay valid until the model is
 * freed. */
INGOT_API bool ingot_model_property(const ingot_model *model, size_t index, const char **key, const char **value);

/* One node of the graph, in running order. Strings and arrays stay valid until the model is freed. */
typedef struct ingot_node_info {
    const char *name, *op_type, *domain;
    const char *fused;                 /* operators the passes fused into it, such as "Add Relu"; "" for none */
    size_t n_inputs, n_outputs;
    const char *const *inputs;         /* value names, "" for an input that is left out */
    const char *const *outputs;
    const char *module;                /* path of the PyTorch module it comes from, "layer1.0.conv1"; "" not known */
} ingot_node_info;

/** Fill `node` for the index-th node; false past the last. */
INGOT_API bool ingot_model_node(const ingot_model *model, size_t index, ingot_node_info *node);

/** Name of the index-th value that a node reads beside its inputs: what its subgraphs take from the graph around them,
 * then what the operators fused into it read. NULL past the last. */
INGOT_API const char *ingot_model_node_reads(const ingot_model *model, size_t node, size_t index);

/* An attribute of a node, in the newest form of its operator. Texts and arrays stay valid until the model is freed. */
typedef struct ingot_attribute_info {
    const char *name;
    int32_t type;                      /* of ONNX's AttributeProto.AttributeType: 1 float, 2 int, 3 string, 6 to 8 lists
                                          of these; tensors, graphs and types are told by their hash alone */
    size_t n;                          /* items; one for those that are no lists */
    const float *floats;               /* n of them where it holds floats, else NULL; and so on */
    const int64_t *ints;
    const ingot_string *strings;
    uint64_t hash;                     /* of name, type and all that it holds: equal attributes have equal ones */
} ingot_attribute_info;

/** Fill `info` for the index-th attribute of the node-th node; false past the last. */
INGOT_API bool ingot_model_attribute(const ingot_model *model, size_t node, size_t index, ingot_attribute_info *info);

/** The index-th constant that the main graph reads: an initializer, or what a Constant node or a pass left.
 * type     receives element type and shape; its data is NULL.
 * Returns  false past the last. */
INGOT_API bool ingot_model_weight(const ingot_model *model, size_t index, const char **name, ingot_tensor *type);

/** Copy the elements of the index-th constant, row-major, to `data`, which has room for them. Strings stay the model's.
 * False where there is no such tensor, or its file has changed. */
INGOT_API bool ingot_model_weight_read(const ingot_model *model, size_t index, void *data);

/** The index-th operator set that the file imports; "" is ai.onnx. False past the last. */
INGOT_API bool ingot_model_opset(const ingot_model *model, size_t index, const char **domain, int64_t *version);

/** The index-th line about what would not run ("node 'x' (Foo): ..."), or NULL past the last. Only a model loaded with
 * allow_unsupported has any. */
INGOT_API const char *ingot_model_problem(const ingot_model *model, size_t index);

/** The index-th pass's report ("fold-batch-normalization: 53 of 53; ..."), or NULL past the last. */
INGOT_API const char *ingot_model_pass_report(const ingot_model *model, size_t index);

/** Name of the index-th run of a pass, in order, or NULL past the last. */
INGOT_API const char *ingot_model_pass_run(const ingot_model *model, size_t index);

/* An operator that the library runs, in one of its forms. */
typedef struct ingot_operator_info {
    const char *domain, *op_type;           /* "": ai.onnx */
    int32_t first, last;                    /* opset versions with this form, or with older ones that are rewritten to
                                               it; last is 0 where it is the newest */
    int32_t min_inputs, max_inputs;         /* max -1: any number */
    uint64_t types[6];                      /* of input i, bit t for ingot_dtype t; the last stands for all further
                                               ones. For sequences, optionals and maps: of their elements */
} ingot_operator_info;

/** Fill `info` for the index-th form of an operator, in no particular order; false past the last. */
INGOT_API bool ingot_operator(size_t index, ingot_operator_info *info);

/* ---- sessions -------------------------------------------------------------------------------------------------- */

typedef struct ingot_session ingot_session;

/* How float convolutions are computed. Winograd's way, and that of Strassen in Winograd's form for 1x1, save
 * multiplications and cost some accuracy. */
typedef enum ingot_conv_choice {
    INGOT_CONV_AUTO = 0,     /* whatever is fastest for the shape */
    INGOT_CONV_DIRECT = 1,   /* never by these */
    INGOT_CONV_WINOGRAD = 2  /* by these wherever it is possible */
} ingot_conv_choice;

/* Fill with zeros and set size_bytes = sizeof(ingot_session_options); zero is the default everywhere. */
typedef struct ingot_session_options {
    size_t size_bytes;
    int32_t n_threads;          /* 0: the smaller of the affinity mask and the cgroup's quota */
    uint64_t max_memory_bytes;  /* for plans and activations; 0: what the machine has, or its cgroup allows */
    double timeout_s;           /* a run that takes longer ends with INGOT_CANCELLED; 0: none */
    bool profile;               /* record the times that ingot_session_step() and ingot_session_stretch() tell */
    ingot_conv_choice conv_algorithm;
    bool batch_invariant;       /* choose algorithms as if the batch were one: a sample's bits do not depend on the
                                   others */
    bool strict;                /* a run whose types and shapes are not those that the file declares is INGOT_INVALID */
} ingot_session_options;

/**
 * Create a session: one thread's memory for running a model.
 * session  receives it; NULL on failure.
 * Returns  INGOT_OK, INGOT_LIMIT or INGOT_USAGE.
 * Cost     small; the first run with a new set of input shapes plans for them.
 */
INGOT_API ingot_status ingot_session_create(ingot_model *model, const ingot_session_options *options,
                                            ingot_session **session, ingot_error *error);

/** Free a session. NULL is allowed. A run of it on another thread is cancelled first and waited for. */
INGOT_API void ingot_session_free(ingot_session *session);

/**
 * Bind a tensor to a graph input. Nothing is copied: the caller keeps `tensor->data` alive and unchanged until
 * ingot_session_run() returns.
 * name     the graph input's name (an input with an initializer may be named too), or NULL for the next in graph order.
 * tensor   element type and rank must be the declared ones; a symbolic dimension takes its size from here.
 *          data is row-major and needs only its element type's alignment.
 * Returns  INGOT_OK, or INGOT_BAD_INPUT (no such input, or it does not fit; earlier bindings stay).
 */
INGOT_API ingot_status ingot_session_set_input(ingot_session *session, const char *name, const ingot_tensor *tensor,
                                               ingot_error *error);

/**
 * Have the runs that follow write a graph output to memory of the caller. Mostly the step that computes it writes it,
 * and nothing is copied. It is copied where the output is an input or a constant as it is, a part of another value, or
 * of a shape that only the run finds out.
 * tensor   element type and shape must be those that the run comes to (see ingot_session_plan() and
 *          ingot_session_value_type()), else it ends with INGOT_BAD_INPUT. `data` is written to until another is bound;
 *          it must not meet that of another output. NULL: into the session's own memory again.
 * Returns  INGOT_OK, or INGOT_BAD_INPUT (no such output, or no tensor of numbers with memory).
 */
INGOT_API ingot_status ingot_session_set_output(ingot_session *session, const char *name, const ingot_tensor *tensor,
                                                ingot_error *error);

/** Ask for a value inside the graph by name, so that ingot_session_value() finds it after the runs that follow. Values
 * that the passes removed are not there: INGOT_BAD_INPUT. */
INGOT_API ingot_status ingot_session_request(ingot_session *session, const char *name, ingot_error *error);

/* Sees a value that a node has just computed: see ingot_session_observe(). */
typedef bool ingot_observe_fn(void *user, const char *name, const char *node, ingot_tensor *value);

/**
 * Watch the values of the main graph as nodes compute them, without keeping them: memory stays that of a plain run.
 * observe  called on the thread that runs, after each node, for each of its outputs; NULL ends it. `value` is row-major
 *          and valid during the call. It may change the elements (of tensors) and return true: the nodes that follow
 *          read what it left. What is known before a run (constants) is not observed.
 */
INGOT_API void ingot_session_observe(ingot_session *session, ingot_observe_fn *observe, void *user);

/** Plan for the inputs that are bound, so that the memory is known before the run: ingot_session_planned_bytes(). The
 * session's timeout_s is for runs alone; ingot_session_cancel() ends planning, too. */
INGOT_API ingot_status ingot_session_plan(ingot_session *session, ingot_error *error);

/** Bytes that a run of the newest plan needs for activations and scratch memory, and those of packed weights. */
INGOT_API uint64_t ingot_session_planned_bytes(const ingot_session *session);
INGOT_API uint64_t ingot_session_packed_bytes(const ingot_session *session);

/** Type and shape that the newest plan gives a value of the graph, found by its name; its data is NULL, its rank -1
 * where only a run shows the shape. False where there is no such value, or no plan. */
INGOT_API bool ingot_session_value_type(const ingot_session *session, const char *name, ingot_tensor *type);

/* Where the newest plan keeps a value while it runs. */
typedef struct ingot_place_info {
    const char *value;            /* its name; "" for a copy in another layout that planning added */
    uint64_t offset, size_bytes;  /* in the plan's memory; size 0: it has no place of its own (a constant, an input, a
                                     part of another value, one whose size only a run shows) */
    size_t first, last;           /* steps between which the place is in use */
} ingot_place_info;

/** Fill `place` for the index-th value of the newest plan; false past the last. */
INGOT_API bool ingot_session_place(const ingot_session *session, size_t index, ingot_place_info *place);

/** Run the model on the bound inputs. Returns INGOT_OK, INGOT_BAD_INPUT (an input is missing), INGOT_CANCELLED,
 * INGOT_LIMIT, INGOT_INVALID or INGOT_UNSUPPORTED. */
INGOT_API ingot_status ingot_session_run(ingot_session *session, ingot_error *error);

/** Ask a running session to stop soon; from any thread, or from a signal handler. */
INGOT_API void ingot_session_cancel(ingot_session *session);

/** The index-th output, or a requested value by name; valid until the next call on the session. NULL when there is none
 * of it. */
INGOT_API const ingot_tensor *ingot_session_output(const ingot_session *session, size_t index);
INGOT_API const ingot_tensor *ingot_session_value(const ingot_session *session, const char *name);

/** Write a model of a single node, found by its name or by that of a value it makes: its constants stay, what else it
 * reads become inputs with the types and shapes of the last run. INGOT_BAD_INPUT: no such node; INGOT_UNSUPPORTED: it
 * reads sequences, or passes have fused others into it (load with no_passes); INGOT_USAGE before the first run. */
INGOT_API ingot_status ingot_session_extract(const ingot_session *session, const char *node, const char *path,
                                             ingot_error *error);

/** Number of threads the session runs on. */
INGOT_API int32_t ingot_session_n_threads(const ingot_session *session);

/* One step of the newest plan. Times are those of the last run and 0 unless the session profiles. Texts stay valid as
 * long as the session keeps the plan. */
typedef struct ingot_step_info {
    const char *node, *op_type;
    const char *kernel;           /* algorithm and layout chosen, such as "winograd 4x4 nchw8c"; may be "" */
    uint64_t time_ns, start_ns;   /* start counts from the start of the run */
    int64_t flops;                /* 2 per multiply-add of the mathematical operation; 0 where none are counted */
    int64_t bytes;                /* read and written once each; weights in the form the algorithm has them */
    const ingot_tensor *output;   /* first output: type and shape; or NULL */
    const char *fused;            /* operators that became one step with it, such as "Add Relu"; "" for none */
    const char *layout;           /* of the first output: "row-major" or "nchw8c" */
    int64_t flops_done;           /* arithmetic of the algorithm chosen: less than `flops` for Winograd's and
                                     Strassen's */
    int32_t tile_rows, tile_columns; /* of the result that is held in registers; 0 where there is no such thing */
} ingot_step_info;

/** Fill `step` for the index-th step of the newest plan; false past the last. */
INGOT_API bool ingot_session_step(const ingot_session *session, size_t index, ingot_step_info *step);

/** The step that computes the input-th input of the index-th step; -1 where none does (a constant, a graph input, an
 * input that is left out); -2 past the last input. */
INGOT_API int64_t ingot_session_step_source(const ingot_session *session, size_t index, size_t input);

/* A stretch of time in which a thread worked on its share of a step of the last run. */
typedef struct ingot_stretch {
    size_t step;
    int32_t thread;               /* 0: the one that called ingot_session_run() */
    uint64_t time_ns, start_ns;   /* as the step's */
} ingot_stretch;

/** Fill `stretch` for the index-th stretch, by thread and then by time; false past the last, and where the session does
 * not profile or runs on one thread. Of very long runs the end may be missing. */
INGOT_API bool ingot_session_stretch(const ingot_session *session, size_t index, ingot_stretch *stretch);

/* ---- operators of the host -------------------------------------------------------------------------------------- */

/* A node of an operator that the host brings along, while one of its functions is called. */
typedef struct ingot_custom ingot_custom;

/* What the host does for a node. INGOT_OK, or the class of a failure after ingot_custom_fail() said what is wrong; the
 * engine puts file and node in front of that line. Called on the thread that plans or runs; by several at once where
 * several sessions run. No C++ exception may leave it. */
typedef ingot_status ingot_custom_fn(ingot_custom *node, void *user);

/**
 * An operator of the host, for ingot_model_options.operators. Fill with zeros and set size_bytes. What is given here is
 * copied while loading, but `user` and the functions have to last until the model and all of its sessions are freed.
 * Passes leave its nodes and their inputs and outputs alone: nothing is fused, folded or computed beforehand. A node
 * whose outputs nobody needs does not run. Operators that the library has, and functions of that name in the model,
 * come first: giving one of the library's is INGOT_USAGE.
 */
typedef struct ingot_custom_operator {
    size_t size_bytes;
    const char *domain, *op_type;    /* any domain but ONNX's own */
    int32_t first, last;             /* versions of the domain that have it; first 0: from 1 on, last 0: the newest */
    int32_t min_inputs, max_inputs;  /* max -1: any number. Those from min on may be left out */
    uint64_t types[6];               /* as in ingot_operator_info: others are refused by the engine; 0: any type */
    void *user;                      /* handed to the functions */
    ingot_custom_fn *infer;          /* gives each output type and shape: ingot_custom_set_output() */
    ingot_custom_fn *run;            /* fills the outputs */
    int64_t (*flops)(const ingot_custom *node, void *user); /* NULL: none are counted. For profiles, and for whether
                                        a second thread pays */
} ingot_custom_operator;

/* Numbers of inputs and outputs that the node names, at most those that it leaves out included. */
INGOT_API size_t ingot_custom_n_inputs(const ingot_custom *node);
INGOT_API size_t ingot_custom_n_outputs(const ingot_custom *node);

/** The index-th input; NULL where it is left out. While inferring, `data` is NULL unless the elements are known then.
 * Row-major, not to be changed, valid during the call; always a tensor. */
INGOT_API const ingot_tensor *ingot_custom_input(const ingot_custom *node, size_t index);

/**
 * Tell an output's type and shape. In infer() for each output; rank -1 where only the elements of inputs can tell the
 * shape, and then again in run(), which gives it memory.
 * Returns  INGOT_OK (also for an output that nobody wants), INGOT_USAGE (no such type or shape, or not the one that
 *          infer() has told) or INGOT_LIMIT; to be returned by the function.
 */
INGOT_API ingot_status ingot_custom_set_output(ingot_custom *node, size_t index, ingot_dtype dtype, int32_t rank,
                                               const int64_t *shape);

/** In run(): the index-th output, whose `data` is to be filled. It shares no memory with inputs. NULL where nobody
 * wants it, and as long as it has no shape. Elements of strings point to what ingot_custom_alloc() gave. */
INGOT_API const ingot_tensor *ingot_custom_output(const ingot_custom *node, size_t index);

/* An attribute of a node: `n` items in the member that its type says; one item for those that are no lists. */
typedef struct ingot_attribute {
    ingot_dtype dtype;             /* INGOT_FLOAT, INGOT_INT64, INGOT_STRING; INGOT_UNDEFINED for a tensor */
    bool is_list;
    size_t n;
    const float *floats;
    const int64_t *ints;
    const ingot_string *strings;
    const ingot_tensor *tensor;    /* row-major */
} ingot_attribute;

/** Fill `attribute`; false where the node has none of that name, or one that holds other things (graphs, types, lists
 * of tensors). Valid as long as the model. */
INGOT_API bool ingot_custom_attribute(const ingot_custom *node, const char *name, ingot_attribute *attribute);

/** A number, or `otherwise` where the node has no such attribute of that type. */
INGOT_API int64_t ingot_custom_int(const ingot_custom *node, const char *name, int64_t otherwise);
INGOT_API float ingot_custom_float(const ingot_custom *node, const char *name, float otherwise);

/** In run(): memory until the session's next run, within its limit, aligned to 64 bytes and not cleared. NULL: there is
 * no more; return INGOT_LIMIT. */
INGOT_API void *ingot_custom_alloc(ingot_custom *node, size_t size_bytes);

/** Is the run to stop? Long loops ask now and then, and return INGOT_CANCELLED. */
INGOT_API bool ingot_custom_cancelled(const ingot_custom *node);

/* Part [begin, end) of the work on thread `thread`, which is below ingot_session_n_threads(). Which parts there are
 * depends on the number of threads: for results that do not, let each item be computed alone. */
typedef void ingot_custom_task(void *argument, int64_t begin, int64_t end, int32_t thread);

/** In run(): split n items into parts of at least `grain`, on the session's threads; returns when all are done. Not
 * from within a task, which may call ingot_custom_cancelled() and none of the others. */
INGOT_API void ingot_custom_parallel(ingot_custom *node, int64_t n, int64_t grain, ingot_custom_task *task,
                                     void *argument);

/** Say what is wrong in one line, and return `status`. */
INGOT_API ingot_status ingot_custom_fail(ingot_custom *node, ingot_status status, const char *message);

/* ---- the machine ------------------------------------------------------------------------------------------------ */

/* Rates measured on the running machine, in 10^9 a second. */
typedef struct ingot_rates {
    double gflops;                  /* float multiply-adds in registers, each counting 2 */
    double l2_gbs, l3_gbs, dram_gbs; /* bytes read from where they lie */
} ingot_rates;

/* What this machine can do at most: the yardstick of a profile. */
typedef struct ingot_machine {
    const char *isa;                /* as ingot_isa() */
    int32_t n_threads;
    uint64_t l2_bytes, l3_bytes;    /* a core's second-level cache, and the last-level cache */
    ingot_rates one, all;           /* on one thread, and on n_threads at once */
} ingot_machine;

/**
 * Measure the machine. Nothing is kept: what else runs at the same time lowers what is measured.
 * n_threads  0: as many as a session takes by default.
 * Returns    INGOT_OK, INGOT_USAGE or INGOT_LIMIT.
 * Cost       under half a second, and some 64 MiB of memory while it lasts.
 */
INGOT_API ingot_status ingot_machine_measure(int32_t n_threads, ingot_machine *machine, ingot_error *error);

/* ---- values in protobuf form ----------------------------------------------------------------------------------- */

/** Decode a serialized TensorProto, SequenceProto or OptionalProto of the given kind. `tensor` receives a value with
 * memory of its own, to be freed with ingot_tensor_free(); */
INGOT_API ingot_status ingot_tensor_decode(const void *data, size_t size_bytes, ingot_kind kind, ingot_tensor *tensor,
                                           ingot_error *error);

/** Serialize a value as TensorProto, SequenceProto or OptionalProto; `data` is to be freed with free(). */
INGOT_API ingot_status ingot_tensor_encode(const ingot_tensor *tensor, const char *name, void **data,
                                           size_t *size_bytes, ingot_error *error);

/** Allocate zeroed memory for tensor->data from its type and shape; ingot_tensor_free() frees it, and the items and
 * strings of a decoded value. */
INGOT_API ingot_status ingot_tensor_alloc(ingot_tensor *tensor, ingot_error *error);
INGOT_API void ingot_tensor_free(ingot_tensor *tensor);

#ifdef __cplusplus
}
#endif
#endif
