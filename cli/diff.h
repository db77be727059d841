/* diff.h - what the files of `ingot diff` share: two models as lists of nodes, which nodes and constants were matched,
 * and what the telling needs. Side 0 is the first model, side 1 the second. */
#ifndef CLI_DIFF_H
#define CLI_DIFF_H

#include "cli/cli.h"

enum { DIFF_NONE = -1 };

/* Where a value of a graph comes from. */
typedef enum diff_origin { FROM_NOTHING, FROM_INPUT, FROM_CONSTANT, FROM_NODE } diff_origin;

/* A value by its name; node and output, or number of the input or constant. */
typedef struct diff_value {
    const char *name;
    diff_origin origin;
    size_t index, output;
} diff_value;

/* A node with what matching looks at. */
typedef struct diff_node {
    ingot_node_info info;
    uint64_t key;      /* operator, attributes, types of constant inputs */
    uint64_t op;       /* operator alone */
    int64_t match;     /* of the other side, or DIFF_NONE */
} diff_node;

typedef struct diff_constant {
    const char *name;
    ingot_tensor type; /* without data */
    int64_t match;
} diff_constant;

typedef struct diff_side {
    const char *path;
    ingot_model *model;
    diff_node *nodes;
    size_t n_nodes;
    diff_constant *constants;
    size_t n_constants;
    diff_value *values; /* sorted by name */
    size_t n_values;
} diff_side;

/** Load a model and list what it is made of. What was made so far is in `side` on failure too. */
ingot_status diff_load(const char *path, bool with_passes, diff_side *side, ingot_error *error);
void diff_free(diff_side *side);

/* The value of that name; one from nothing where there is none. */
diff_value diff_find(const diff_side *side, const char *name);

/** Match nodes of the two sides, then the constants that matched nodes read at the same places, then those of equal
 * names (diff_match.c). INGOT_LIMIT when memory is out. */
ingot_status diff_match(diff_side sides[2], ingot_error *error);

/* Do the two values come from the same place: matched nodes, inputs of one number, constants? */
bool diff_same_origin(const diff_side sides[2], const char *name0, const char *name1);

/* How the elements of two matched constants differ. */
typedef struct diff_weight {
    bool same, same_type; /* same: type, shape and elements, within the tolerances */
    cli_errors errors;
} diff_weight;
ingot_status diff_weigh(const diff_side sides[2], size_t constant, double rtol, double atol, diff_weight *weight,
                        ingot_error *error);

#endif
