/* graph.h - a model's graph: values and nodes in flat arrays, addressed by index. The reader builds it, passes rewrite
 * it, the planner turns it into steps, the writer saves it. Everything lives in the model's arena.
 *
 * Invariants, kept by the functions below: node order is running order once ingot_graph_sort() was called; a value has
 * one producer (a node, or none for inputs, constants and captures); its uses are listed. */
#ifndef INGOT_CORE_GRAPH_H
#define INGOT_CORE_GRAPH_H

#include "engine/core/model_file.h"
#include "engine/core/status.h"
#include "engine/core/team.h"
#include "engine/core/tensor.h"

typedef struct ingot_graph ingot_graph;
typedef struct ingot_node ingot_node;

enum { INGOT_NONE = -1 }; /* an input or output that is left out, a value without producer */

/* A type as declared: dimensions of -1 are free and may have a name. */
typedef struct ingot_type {
    ingot_kind kind;
    ingot_dtype dtype;         /* INGOT_UNDEFINED: not declared; for a map its values' type */
    ingot_dtype key_dtype;     /* of a map */
    int32_t rank;              /* -1: not declared */
    int64_t *shape;
    const char **symbols;
    struct ingot_type *item;   /* of a sequence, an optional or a map */
} ingot_type;

/* A constant. Its elements may lie in an open file, or in memory at any alignment (lazy, both), and may stand for
 * element[i] * scale[index of i along scale_axis], rounded once (lazy as well): folding a BatchNormalization costs no
 * copy of the weights. Read a lazy one through ingot_const_read(); tensor.data of any other can be used as it is. */
typedef struct ingot_const {
    ingot_tensor tensor;
    const void *source;        /* elements in the file's order and type, at any alignment; NULL: in `file` */
    ingot_file *file;          /* holds them from byte `offset` on, where source is NULL */
    uint64_t offset;
    const struct ingot_const *narrow;  /* or this one's, of a 16-bit float type, as floats */
    const double *scale;       /* shape[scale_axis] factors, or NULL; float and double tensors only */
    int scale_axis;
    bool from_file;            /* an initializer of the file, not computed by a pass */
} ingot_const;

typedef struct ingot_use {
    int node, slot;            /* values that node->inputs[slot] reads */
    struct ingot_use *next;
} ingot_use;

typedef struct ingot_value {
    const char *name;          /* never NULL; "" only for values that passes made and nobody named */
    ingot_type type;           /* as declared; trust what is computed instead */
    ingot_const *constant;     /* an initializer or a folded value; NULL for the others */
    int producer;              /* node, or INGOT_NONE */
    int n_uses;                /* inputs of nodes (also fused and captured ones) that read it */
    ingot_use *uses;
    int n_outputs;             /* times it is a graph output */
    bool is_input;             /* a graph input; with a constant too: an input with a default (IR 3) */
    bool is_capture;           /* in a subgraph: comes from the graph around it */
} ingot_value;

typedef enum ingot_attr_type {
    INGOT_ATTR_FLOAT = 1, INGOT_ATTR_INT, INGOT_ATTR_STRING, INGOT_ATTR_TENSOR, INGOT_ATTR_GRAPH,
    INGOT_ATTR_FLOATS, INGOT_ATTR_INTS, INGOT_ATTR_STRINGS, INGOT_ATTR_TENSORS, INGOT_ATTR_GRAPHS,
    INGOT_ATTR_SPARSE_TENSOR, INGOT_ATTR_SPARSE_TENSORS, INGOT_ATTR_TYPE, INGOT_ATTR_TYPES
} ingot_attr_type; /* sparse tensors are made dense by the reader */

/* A decoded attribute: n items in the member that its type says (one item for the singular types). */
typedef struct ingot_attr {
    const char *name;
    ingot_attr_type type;
    size_t n;
    union {
        const float *floats;
        const int64_t *ints;
        const ingot_string *strings;  /* also terminated by a 0 byte past size_bytes */
        ingot_const *const *tensors;
        ingot_graph *const *graphs;
        const ingot_type *types;
    };
} ingot_attr;

/* A node that a pass fused into the one before it: it reads that one's result at chain_slot; its other inputs are the
 * host's inputs from first_input on, in order. Kept whole, so that the writer and verification can take it out
 * again. */
typedef struct ingot_fused {
    ingot_node *node;          /* node->inputs and outputs keep the value ids it had on its own */
    int chain_slot;
    int first_input;           /* index into the host's inputs; node->n_inputs - 1 of them */
} ingot_fused;

struct ingot_node {
    const char *name, *op_type, *domain; /* domain "" is ai.onnx; op_type NULL: removed */
    const char *module;        /* path of the PyTorch module it comes from, "layer1.0.conv1"; NULL: not known */
    int version;               /* opset version of the domain whose form this node has */
    int n_inputs;              /* the operator's own; then come n_captures of subgraphs, then those of fused nodes */
    int n_captures;
    int n_all_inputs;
    int *inputs;               /* value ids, or INGOT_NONE */
    int n_outputs;
    int *outputs;
    size_t n_attrs;
    ingot_attr *attrs;
    int n_fused;
    ingot_fused *fused;
    const void *op;            /* const ingot_op * of the registry, once resolved */
    bool opaque;               /* it will be refused: passes take it for an operator that they do not know */
};

struct ingot_graph {
    ingot_arena *arena;
    const char *name;
    int n_values, value_capacity;
    ingot_value *values;
    int n_nodes, node_capacity;
    ingot_node **nodes;
    int n_inputs, n_outputs;
    int *inputs;               /* value ids; constants with is_input are listed too */
    int *outputs;
    /* Of a subgraph: values[captures[i]] is the node's inputs[n_inputs + offset + i], where offset counts the
     * captures of the node's earlier subgraphs. */
    int n_captures;
    int *captures;
    struct ingot_names *names; /* value names to ids */
};

/* A new, empty graph in the arena; NULL when memory is out, as with every function below that returns a pointer or,
 * where it returns an id, INGOT_NONE. */
ingot_graph *ingot_graph_create(ingot_arena *arena, const char *name);

int ingot_graph_add_value(ingot_graph *graph, const char *name); /* name is copied; NULL for none. Duplicates are kept
                                                                    apart: look up first where names must be unique */
int ingot_graph_find_value(const ingot_graph *graph, const char *name); /* by name, or INGOT_NONE */

/* A constant value made of a copy of tensor. */
int ingot_graph_add_constant(ingot_graph *graph, const char *name, const ingot_tensor *tensor);
ingot_const *ingot_const_create(ingot_arena *arena, const ingot_tensor *tensor); /* copies data and strings */

/* Append a node with its value ids (copied). Name and strings are copied, attributes are taken over as they are. */
ingot_node *ingot_graph_add_node(ingot_graph *graph, const char *name, const char *op_type, const char *domain,
                                 int version, const int *inputs, int n_inputs, const int *outputs, int n_outputs);

void ingot_graph_add_input(ingot_graph *graph, int value);
void ingot_graph_add_output(ingot_graph *graph, int value);

/* Make inputs[slot] of node read value (or nothing: INGOT_NONE); slots past the last grow the own inputs. */
bool ingot_node_set_input(ingot_graph *graph, int node, int slot, int value);
bool ingot_node_set_n_inputs(ingot_graph *graph, int node, int n_inputs); /* shorten or lengthen with INGOT_NONE */
bool ingot_node_add_captures(ingot_graph *graph, int node, const int *values, int n);
bool ingot_node_set_output(ingot_graph *graph, int node, int index, int value); /* value becomes the node's */

/* Every reader of `from`, and every graph output that is `from`, becomes one of `to`. */
bool ingot_graph_replace(ingot_graph *graph, int from, int to);

void ingot_graph_remove_node(ingot_graph *graph, int node); /* its inputs lose a use; its outputs their producer */

/* The node that alone reads value, when nothing else does and it is no graph output; else INGOT_NONE. */
int ingot_graph_only_user(const ingot_graph *graph, int value);

/* Move `node` into `host`: host's result at host->outputs[0] is node's input chain_slot and nothing else reads it. host
 * takes over node's output and its other inputs. */
bool ingot_graph_fuse(ingot_graph *graph, int host, int node, int chain_slot);

/* Put the nodes in running order (stable) and drop removed ones. INGOT_INVALID names a node on a cycle. */
ingot_status ingot_graph_sort(ingot_graph *graph, ingot_error *error);

/* Attributes. The getters return the default where the attribute is absent; types were checked when loading. */
const ingot_attr *ingot_node_attr(const ingot_node *node, const char *name);
int64_t ingot_attr_int(const ingot_node *node, const char *name, int64_t otherwise);
/* An element type; UNDEFINED for a number that stands for none. */
ingot_dtype ingot_attr_dtype(const ingot_node *node, const char *name, ingot_dtype otherwise);
float ingot_attr_float(const ingot_node *node, const char *name, float otherwise);
const char *ingot_attr_string(const ingot_node *node, const char *name, const char *otherwise);
const ingot_graph *ingot_attr_graph(const ingot_node *node, const char *name); /* or NULL */
bool ingot_node_remove_attr(ingot_node *node, const char *name);
bool ingot_node_set_ints(ingot_graph *graph, ingot_node *node, const char *name, const int64_t *values, size_t n);
bool ingot_node_set_int(ingot_graph *graph, ingot_node *node, const char *name, int64_t value);
bool ingot_node_set_float(ingot_graph *graph, ingot_node *node, const char *name, float value);
bool ingot_node_set_string(ingot_graph *graph, ingot_node *node, const char *name, const char *value);

/* A float constant of the elements of a 16-bit one, widened as they are read; NULL when memory is out. */
ingot_const *ingot_const_widened(ingot_arena *arena, const ingot_const *narrow);

/* Is tensor.data not usable as it is? */
bool ingot_const_is_lazy(const ingot_const *constant);
/* Write the constant's elements, row-major, to dst (count * element size bytes). Where a file cannot be read they are
 * zeros, and ingot_files_check() tells. */
void ingot_const_read(const ingot_const *constant, void *dst);
/* The same by all threads of a team; false, with a part read, once it is cancelled. */
bool ingot_const_read_by(ingot_team *team, const ingot_const *constant, void *dst);
/* The same for `n` elements from element `first` on. */
void ingot_const_read_range(const ingot_const *constant, int64_t first, int64_t n, void *dst);
/* Give a lazy constant memory of its own in the arena; does nothing to others. False when memory is out. */
bool ingot_const_materialize(ingot_arena *arena, ingot_const *constant);

#endif
