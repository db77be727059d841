/* widen.h - a float model made a double one (widen.c). */
#ifndef INGOT_ENGINE_WIDEN_H
#define INGOT_ENGINE_WIDEN_H

#include "engine/core/graph.h"

/* Make every float, float16 and bfloat16 of the graph and its subgraphs a double. noise: the largest relative
 * disturbance of a weight, 0 for none; seed: of its random numbers. `report` (or NULL) receives one line that names the
 * nodes which stay float. INGOT_LIMIT when memory is out. */
ingot_status ingot_widen_graph(ingot_graph *graph, double noise, uint64_t seed,
                         void (*report)(void *sink, const char *line), void *sink, ingot_error *error);

/* The type that a value of this one has afterwards. */
ingot_dtype ingot_wide_dtype(ingot_dtype dtype);

/* The same for a type that is declared elsewhere. */
void ingot_widen_type(ingot_type *type);

#endif
