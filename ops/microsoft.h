/* microsoft.h - operators of the domain com.microsoft that the standard can say, in standard nodes. */
#ifndef INGOT_OPS_MICROSOFT_H
#define INGOT_OPS_MICROSOFT_H

#include "engine/core/graph.h"

/* Rewrite such nodes of one graph (not of its subgraphs), among them the normalizations that ONNX Runtime keeps in the
 * default domain. New nodes are appended: sort afterwards. *n_rewritten counts the rewritten ones.
 * Returns INGOT_OK; INGOT_UNSUPPORTED or INGOT_INVALID with a line about the node; INGOT_LIMIT when memory is out. */
ingot_status ingot_microsoft_rewrite(ingot_graph *graph, int *n_rewritten, ingot_error *error);

#endif
