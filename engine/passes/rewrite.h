/* rewrite.h - what several passes need to look at a graph and to change it. */
#ifndef INGOT_PASSES_REWRITE_H
#define INGOT_PASSES_REWRITE_H

#include "engine/core/graph.h"

/* Is node (which may be NULL or removed) this operator of the default domain? */
bool ingot_is_op(const ingot_node *node, const char *op_type);

/* The node that makes the value, or NULL for inputs, constants, captures and INGOT_NONE. */
ingot_node *ingot_producer(const ingot_graph *graph, int value);

/* The node that alone reads the value, when it is no graph output; else NULL. */
ingot_node *ingot_single_reader(const ingot_graph *graph, int value);

/* Input `slot`, and output 0; INGOT_NONE where it is left out. */
int ingot_input(const ingot_node *node, int slot);
int ingot_output(const ingot_node *node);

/* The constant that the value is, or NULL. An input with a default is no constant: a run can replace it. */
const ingot_const *ingot_constant(const ingot_graph *graph, int value);

/* The elements of a constant of integers; false when it is none, or has more than capacity. */
bool ingot_constant_ints(const ingot_graph *graph, int value, int64_t *elements, int capacity, int *n);

/* The one element of a constant of any float or integer type. */
bool ingot_constant_number(const ingot_graph *graph, int value, double *number);

/* Elements [first, first + n) of a float or double constant as double, not rounded where it stands for scaled ones.
 * `raw` has room for n elements of its type. */
void ingot_const_doubles(const ingot_const *constant, int64_t first, int64_t n, void *raw, double *elements);

/* All elements as double, to be released; NULL when memory is out. */
double *ingot_const_all_doubles(const ingot_graph *graph, const ingot_const *constant);

/* A new constant of the given type and shape from doubles, each rounded once. Its name starts with `name` and is
 * unique. INGOT_NONE when memory is out, as with every id below. */
int ingot_add_doubles(ingot_graph *graph, const char *name, ingot_dtype dtype, int rank, const int64_t *shape,
                      const double *elements);
int ingot_add_ints(ingot_graph *graph, const char *name, const int64_t *elements, int64_t n); /* int64, rank 1 */

/* A new value with a unique name that starts with `name`. */
int ingot_add_unique_value(ingot_graph *graph, const char *name);

/* Append a node of the default domain with one output, a new value; returns that value. */
int ingot_add_op(ingot_graph *graph, const char *name, const char *op_type, int version, const int *inputs,
                 int n_inputs);

/* A node Cast of `from` to `dtype`, which makes `to`; false when memory is out. */
bool ingot_add_cast(ingot_graph *graph, int from, int to, ingot_dtype dtype);

/* Take out a node whose output is its input `in`: readers of the output read `in`. A graph output keeps its name, so
 * where the output is one, the producer of `in` makes it; *done false (nothing changed) where that cannot be. The
 * result is false when memory is out. */
bool ingot_bypass(ingot_graph *graph, int node, int in, bool *done);

/* Make `node` produce `value` in place of its output 0, after whatever produced `value` is removed. */
bool ingot_take_over_output(ingot_graph *graph, int node, int value, int remove);

/* Every graph from `graph` down through the subgraphs in node attributes, outer ones first. To be released; NULL when
 * memory is out. */
ingot_graph **ingot_all_graphs(ingot_graph *graph, int *n);

/* The number of the node in graph->nodes that makes `value`, or INGOT_NONE. */
int ingot_node_of(const ingot_graph *graph, int value);

/* Does the node's operator run nodes that are fused into it? */
bool ingot_can_host(const ingot_node *node);

/* Fuse node into host, which can; see ingot_graph_fuse(). Optional inputs that the host does not have are listed as
 * left out first, so that its operator finds every input at the operator's own place. False when memory is out. */
bool ingot_fuse_into(ingot_graph *graph, int host, int node, int chain_slot);

#endif
