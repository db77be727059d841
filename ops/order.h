/* order.h - a total order of the elements of any number type, as unsigned integers: key(a) < key(b) when a < b. -0
 * equals 0, and NaN equals NaN and comes after everything else. */
#ifndef INGOT_OPS_ORDER_H
#define INGOT_OPS_ORDER_H

#include "engine/core/tensor.h"

/* Keys of n elements of a tensor of numbers or bool: first, first + step, ... */
void ingot_order_keys(const ingot_tensor *tensor, int64_t first, int64_t step, int64_t n, uint64_t *keys);

#endif
