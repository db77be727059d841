/* microsoft_rewrite.h - replacing a node by others. After a failure (memory is out) the functions that give a value go
 * on with any, and `failed` is set: who starts a rewrite looks at it once, at the end. */
#ifndef INGOT_OPS_MICROSOFT_REWRITE_H
#define INGOT_OPS_MICROSOFT_REWRITE_H

#include "engine/core/graph.h"

enum { INGOT_REWRITE_RESULTS = 4 };

typedef struct ingot_rewrite {
    ingot_graph *graph;
    ingot_node *node;          /* that is replaced */
    int index, version;
    int result[INGOT_REWRITE_RESULTS]; /* values that are to be its outputs, or INGOT_NONE */
    bool failed;
    ingot_error *error;
} ingot_rewrite;

/* One line that names the node; returns status. */
ingot_status ingot_rewrite_refuse(ingot_rewrite *r, ingot_status status, const char *what);

/* The node's input, or INGOT_NONE; is an output there and read? */
int ingot_rewrite_input(const ingot_rewrite *r, int slot);
bool ingot_rewrite_wants(const ingot_rewrite *r, int output);

/* Append a node of the default domain; returns its first output, a new value. A further output and attributes of the
 * node appended last. */
int ingot_rewrite_op(ingot_rewrite *r, const char *op_type, int version, const int *inputs, int n);
int ingot_rewrite_more(ingot_rewrite *r, int index);
void ingot_rewrite_int(ingot_rewrite *r, const char *name, int64_t value);
void ingot_rewrite_float(ingot_rewrite *r, const char *name, float value);
#define INGOT_ADD(r, op_type, version, ...) \
    ingot_rewrite_op(r, op_type, version, (const int[]){__VA_ARGS__}, \
                     (int)(sizeof((const int[]){__VA_ARGS__}) / sizeof(int)))

/* Constants: a list of int64 (or one, as a scalar), a number of the type that value `like` has. */
int ingot_rewrite_ints(ingot_rewrite *r, const int64_t *values, int64_t n, bool scalar);
int ingot_rewrite_number(ingot_rewrite *r, float number, int like);
#define INGOT_INTS(r, ...) \
    ingot_rewrite_ints(r, (const int64_t[]){__VA_ARGS__}, \
                       (int64_t)(sizeof((const int64_t[]){__VA_ARGS__}) / sizeof(int64_t)), false)

/* A list of one: the size of an axis of a value. */
int ingot_rewrite_size(ingot_rewrite *r, int value, int axis);

/* The rank that a value is declared to have, or -1. */
int ingot_rewrite_rank(const ingot_rewrite *r, int value);

/* microsoft_attention.c */
ingot_status ingot_rewrite_attention(ingot_rewrite *r);
ingot_status ingot_rewrite_multi_head(ingot_rewrite *r);

#endif
