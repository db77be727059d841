/* absorb.h - moving a factor and a shift per channel, y = x * scale[channel] + shift[channel], out of the graph and
 * into the constants of the nodes around it. Arithmetic is in double and each constant is rounded once; scaled weights
 * share the elements of the original (see ingot_const). */
#ifndef INGOT_PASSES_ABSORB_H
#define INGOT_PASSES_ABSORB_H

#include "engine/passes/pass.h"
#include "engine/passes/shapes.h"

/* y = x * scale[c] + shift[c] for channel c of n. Owned by the pass that made it; the functions below only read it. */
typedef struct ingot_affine {
    int64_t n; /* channels */
    double *scale, *shift;
    double growth; /* of rounding errors, when what it is applied to is summed before it: see forward */
} ingot_affine;

/* One attempt to fold an affine: made on the stack by a pass, used for one call. `reason` is a line for the report, and
 * is written only where the call ends with *done false. */
typedef struct ingot_absorb {
    ingot_pass_ctx *c;
    const ingot_shapes *shapes;
    const ingot_affine *affine;
    bool adds_nodes;  /* an Add for the shift may come behind a MatMul, which has no bias */
    char reason[120]; /* why not, where nothing was changed */
} ingot_absorb;

/* Make what computes `value` compute value * scale + shift along `axis` of it instead. *done tells whether that could
 * be; nothing was changed when not. `value` keeps its id (the caller moves its readers); values further up that changed
 * got new names. */
ingot_status ingot_absorb_back(ingot_absorb *a, int value, int axis, bool *done);

/* Make the node that reads `value` apply scale and shift along axis 1, so that it can be given the value from before.
 */
ingot_status ingot_absorb_forward(ingot_absorb *a, int value, bool *done);

/* Does a BatchNormalization use the statistics of its inputs, all of them constants of one length, *n, and give the
 * normalized value alone? Node may be NULL. */
bool ingot_has_constant_statistics(const ingot_graph *graph, const ingot_node *node, int64_t *n);

/* affine becomes "first affine, then node", which is such a BatchNormalization. False when a factor would not be a
 * finite number, or memory is out. */
bool ingot_append_normalization(const ingot_graph *graph, const ingot_node *node, ingot_affine *affine);

/* --- constants: ids of new values, INGOT_NONE when memory is out --- */

bool ingot_is_weights(const ingot_graph *graph, int value, int min_rank); /* a constant of type float or double */

/* value times factors[index along axis]. An axis past 1 must be the one that has factors already, if any has. */
int ingot_scale_axis(ingot_graph *graph, int value, int axis, const double *factors);

/* A constant like `value`, without factors of its own, whose elements are `data` in the graph's arena. */
int ingot_add_computed(ingot_graph *graph, int value, void *data);

/* The same where the factor is factors[i0 / (shape[0] / group) * shape[1] + i1] for the indices of axes 0 and 1. */
int ingot_scale_groups(ingot_graph *graph, int value, int64_t group, const double *factors);

/* value * scale + shift for a bias, which may be INGOT_NONE: then shift alone. One element is spread to n. */
int ingot_affine_bias(ingot_graph *graph, int value, const char *name, ingot_dtype dtype, int64_t n, double factor,
                      const double *scale, const double *shift);

/* Is value absent, or a constant that gives each of n columns one number (or all the same)? */
bool ingot_is_row_bias(const ingot_graph *graph, int value, int64_t n);

/* The n numbers of such a constant, of any rank, to be released; zeros where it is absent. NULL when memory is out. */
double *ingot_row_doubles(const ingot_graph *graph, int value, int64_t n);

/* Give a Conv, ConvTranspose or Gemm other weights and bias. False where an id is INGOT_NONE or memory is out. */
bool ingot_set_weights(ingot_graph *graph, int node, int weights, int bias);

#endif
