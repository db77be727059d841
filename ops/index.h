/* index.h - index tensors: checking all of them once, and reading them. */
#ifndef INGOT_OPS_INDEX_H
#define INGOT_OPS_INDEX_H

#include "ops/op.h"

/* INGOT_OK when -size <= index < size for every element; else a line that names the first that is not. */
ingot_status ingot_check_indices(ingot_op_ctx *c, const ingot_tensor *indices, int axis, int64_t size);

/* The same for n tuples of `depth` entries, entry d within shape[d]. */
ingot_status ingot_check_tuples(ingot_op_ctx *c, const ingot_tensor *indices, int64_t n, int64_t depth,
                                const int64_t *shape);

/* Offset that the i-th tuple points to: the sum of its entries, made positive, times their steps. */
int64_t ingot_tuple_offset(const ingot_tensor *indices, int64_t i, int64_t depth, const int64_t *shape,
                           const int64_t *steps);

#endif
