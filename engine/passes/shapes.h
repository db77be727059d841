/* shapes.h - what can be proven about types and shapes before any input is there. Declared types are trusted for graph
 * inputs alone (every run checks those); the rest is computed from them. */
#ifndef INGOT_PASSES_SHAPES_H
#define INGOT_PASSES_SHAPES_H

#include "engine/core/graph.h"

enum { INGOT_SHAPE_RANK = 8 }; /* shapes of a higher rank count as not known */

#define INGOT_MINUS_ONE INT64_MIN /* an element of -1, since -1 itself is a symbol */

/* dim[i] >= 0 is a size; equal negative numbers are equal sizes that are not known. Plain data, copied by
 * assignment. */
typedef struct ingot_shape {
    ingot_dtype dtype; /* INGOT_UNDEFINED: not known */
    int rank;          /* -1: not known */
    int64_t dim[INGOT_SHAPE_RANK];
    int n_elements; /* of a small integer value, or -1: see shape_elements.c */
    int64_t elements[INGOT_SHAPE_RANK];
} ingot_shape;

/* Made once by a pass and read by it; owns `of`, `stays` and `known`. The list of known expressions gives an expression
 * that comes again the symbol it had: (base + offset) / divisor. */
typedef struct ingot_shapes {
    ingot_memory *memory;
    int n;
    ingot_shape *of; /* by value id, for the ids there were when computed */
    bool *stays;     /* the same: see ingot_value_stays() */
    int64_t n_symbols;
    struct ingot_dim_expression {
        int64_t base, offset, divisor, symbol;
    } * known;
    int n_known, known_capacity;
} ingot_shapes;

/* Walk a sorted graph; is_main tells that its inputs are those of the model. False when memory is out;
 * ingot_shapes_free() is right in either case. */
bool ingot_shapes_infer(ingot_shapes *shapes, const ingot_graph *graph, bool is_main);
void ingot_shapes_free(ingot_shapes *shapes);

/* The same in two parts: what is known of constants and inputs, and what can be proven of the outputs of one node. */
bool ingot_shapes_begin(ingot_shapes *shapes, const ingot_graph *graph, bool is_main);
void ingot_infer_node(ingot_shapes *shapes, const ingot_graph *graph, const ingot_node *node);

/* What is known of a value; nothing (rank -1) for INGOT_NONE and for values added since. */
const ingot_shape *ingot_shape_of(const ingot_shapes *shapes, int value);
bool ingot_same_known_shape(const ingot_shape *a, const ingot_shape *b); /* both known and equal */

/* Does the value stay needed where nobody asks for its shape or type any more? What is known of another is not to be
 * used in its place: the node that makes it might be refused, and must not become one that nobody needs. find_stays()
 * makes the list; false when memory is out. */
bool ingot_value_stays(const ingot_shapes *shapes, int value);
bool ingot_find_stays(ingot_shapes *shapes, const ingot_graph *graph);

/* Does the operator take the types of its inputs, as far as they are known? A node that would be refused must stay, so
 * that it is refused with passes as without. False for operators that are not Ingot's. */
bool ingot_types_fit(const ingot_shapes *shapes, const ingot_node *node);

/* What is known of the elements of output 0 of a node, and of a constant. */
void ingot_infer_elements(const ingot_shapes *shapes, const ingot_graph *graph, const ingot_node *node,
                          ingot_shape *out);
void ingot_constant_elements(const ingot_graph *graph, int value, ingot_shape *out);

/* A constant of a value's elements; NULL where they are not all known numbers of int64, or memory is out. */
ingot_const *ingot_elements_constant(ingot_arena *arena, const ingot_shape *shape);

#endif
