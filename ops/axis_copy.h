/* axis_copy.h - copying a range of one axis between tensors, for the operators that cut values up and join them. */
#ifndef INGOT_OPS_AXIS_COPY_H
#define INGOT_OPS_AXIS_COPY_H

#include "engine/core/tensor.h"

/* One side of a copy: elements seen as (outer, axis, inner), of which `first` is the first index of the axis used. */
typedef struct ingot_axis_view {
    void *data;
    int64_t axis; /* size of the axis */
    int64_t first;
} ingot_axis_view;

/* Copy n indices of the axis from one side to the other; an index is inner_bytes long, outer times. */
void ingot_copy_axis(ingot_axis_view to, ingot_axis_view from, int64_t n, int64_t outer, size_t inner_bytes);

#endif
