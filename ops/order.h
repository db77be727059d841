/* order.h - a total order of the elements of any number type, as unsigned integers: key(a) < key(b) when a < b. -0
 * equals 0, and NaN equals NaN and comes after everything else. And sorting by such keys. */
#ifndef INGOT_OPS_ORDER_H
#define INGOT_OPS_ORDER_H

#include "engine/core/tensor.h"

/* Keys of n elements of a tensor of numbers or bool: first, first + step, ... */
void ingot_order_keys(const ingot_tensor *tensor, int64_t first, int64_t step, int64_t n, uint64_t *keys);

/* An element by its key. */
typedef struct ingot_keyed {
    uint64_t key;
    int64_t index;
} ingot_keyed;

/* Sort n elements by rising keys; those with equal keys stay in order. `other` has room for as many; returns whichever
 * of the two ended up sorted. */
ingot_keyed *ingot_sort_keyed(ingot_keyed *list, ingot_keyed *other, int64_t n);

#endif
