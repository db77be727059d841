/* upgrade.h - bringing the nodes of old opsets into the newest form of their operator, so that everything after it
 * knows one form only. */
#ifndef INGOT_OPS_UPGRADE_H
#define INGOT_OPS_UPGRADE_H

#include "engine/core/graph.h"

/* Rewrite the nodes of one graph (not of its subgraphs) that belong to the default domain. New nodes are appended: sort
 * afterwards. *n_upgraded counts the rewritten ones.
 * Returns INGOT_OK; INGOT_INVALID or INGOT_UNSUPPORTED with a line about the node; INGOT_LIMIT when memory is out. */
ingot_status ingot_upgrade(ingot_graph *graph, int *n_upgraded, ingot_error *error);

#endif
