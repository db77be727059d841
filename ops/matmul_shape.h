/* matmul_shape.h - how MatMul's operands fit together, for every operator that multiplies as NumPy's matmul does. */
#ifndef INGOT_OPS_MATMUL_SHAPE_H
#define INGOT_OPS_MATMUL_SHAPE_H

#include "ops/product.h"

/* Sizes and strides of the products a x b into *p (cleared first; no offsets yet), and the result's shape: `shape` has
 * room for INGOT_MAX_RANK + 2 dimensions, of which the batch's come first even where the result has no more than those.
 */
ingot_status ingot_matmul_shape(ingot_op_ctx *c, const ingot_tensor *a, const ingot_tensor *b, ingot_product *p,
                                int64_t *shape, int *rank);

/* Fill at[] with the offset of every batch's matrix of `size` elements in a tensor whose batch dimensions may be 1. */
void ingot_matmul_offsets(const ingot_tensor *tensor, const int64_t *batch, int n_batch, int64_t size, int64_t *at,
                          int64_t n);

#endif
