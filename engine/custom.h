/* custom.h - operators that the host brings along: records like those of the registry, but a model's own. */
#ifndef INGOT_ENGINE_CUSTOM_H
#define INGOT_ENGINE_CUSTOM_H

#include "ops/op.h"

typedef struct ingot_custom_list ingot_custom_list;

/* Copy what the host gives (NULL-terminated, or NULL) into the arena. INGOT_USAGE says what is wrong with it. */
ingot_status ingot_custom_take(const ingot_custom_operator *const *given, ingot_arena *arena, ingot_custom_list **list,
                               ingot_error *error);

/* The record for a node, or NULL. To be asked after the registry, as passes ask that alone: of these nodes they know
 * nothing and leave them as they are. */
const ingot_op *ingot_custom_find(const ingot_custom_list *list, const ingot_node *node);

/* Tensors among the node's attributes get plain memory in the arena. False when memory is out. */
bool ingot_custom_settle(const ingot_node *node, ingot_arena *arena);

#endif
