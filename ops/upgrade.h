/* upgrade.h - bringing the nodes of old opsets into the newest form of their operator, so that everything after it
 * knows one form only. */
#ifndef INGOT_OPS_UPGRADE_H
#define INGOT_OPS_UPGRADE_H

#include "engine/core/graph.h"

/* Rewrite the nodes of one graph (not of its subgraphs) that belong to the default domain. New nodes are appended: sort
 * afterwards. *n_upgraded counts the rewritten ones. producer: the name in the file, or NULL; "pytorch" means one thing
 * otherwise than the standard, which is set right.
 * Returns INGOT_OK; INGOT_INVALID or INGOT_UNSUPPORTED with a line about the node; INGOT_LIMIT when memory is out. */
ingot_status ingot_upgrade(ingot_graph *graph, const char *producer, int *n_upgraded, ingot_error *error);

/* An operator that has another name since: what it was called, what it is, and the last opset version with that
 * name. */
typedef struct ingot_renamed {
    const char *from, *to;
    int last;
} ingot_renamed;

/* The index-th of them; false past the last. */
bool ingot_renamed_op(size_t index, ingot_renamed *renamed);

/* A form whose inputs behind the first had the first one's type, where the newest form takes integers: they are cast.
 * `last` is its last version. */
typedef struct ingot_old_types {
    const char *op_type;
    int last, n_inputs;
    uint64_t types;
} ingot_old_types;

/* The index-th of them; false past the last. */
bool ingot_old_types_at(size_t index, ingot_old_types *old);

#endif
