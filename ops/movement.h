/* movement.h - moving elements around: what the operators that only rearrange elements are made of. Elements are runs
 * of bytes here; what they mean does not matter. A string is moved as its ingot_string: the text itself stays where it
 * is. */
#ifndef INGOT_OPS_MOVEMENT_H
#define INGOT_OPS_MOVEMENT_H

#include <string.h>

#include "ops/op.h"

enum { INGOT_COPY_RANK = 2 * INGOT_MAX_RANK };

/* The element at index (i0, i1, ...) of a box is read at from + sum(i * from_step) and written to + sum(i * to_step),
 * in elements. A from_step of 0 repeats an element, a negative one reverses a dimension. Dimensions go from the one
 * with the largest to_step to the one with the smallest; the elements written are distinct and do not overlap those
 * read. */
typedef struct ingot_copy {
    int rank;
    size_t item_bytes;
    int64_t shape[INGOT_COPY_RANK], from_step[INGOT_COPY_RANK], to_step[INGOT_COPY_RANK];
} ingot_copy;

/* Row-major steps, in elements. */
void ingot_steps(const ingot_tensor *tensor, int64_t *steps);

/* A copy of the box `shape` from a tensor with the steps `from` to one with the steps `to`. */
ingot_copy ingot_copy_box(const ingot_tensor *typed, int rank, const int64_t *shape, const int64_t *from,
                          const int64_t *to);

void ingot_copy_run(ingot_team *team, const ingot_copy *copy, const void *from, void *to);

/* Copy size_bytes with all threads. */
void ingot_copy_bytes(ingot_team *team, void *to, const void *from, size_t size_bytes);

/* Write n copies of the item. */
void ingot_fill(ingot_team *team, void *to, int64_t n, const void *item, size_t item_bytes);

/* The zero of a type: 0, false, the empty string. */
const void *ingot_zero_of(ingot_dtype dtype);

/* Fill with it. */
void ingot_fill_zero(ingot_team *team, ingot_tensor *tensor);

/* run() of operators that are a view: the elements of input 0, with another shape. */
ingot_status ingot_run_view(ingot_op_ctx *c);

/* Move on to the next index of a box, last dimension fastest; *offset follows by `step`. Wraps to the first at the end.
 */
static inline void ingot_advance(int rank, const int64_t *shape, const int64_t *step, int64_t *index, int64_t *offset)
{
    for (int d = rank; d-- > 0;) {
        *offset += step[d];
        if (++index[d] < shape[d])
            return;
        *offset -= step[d] * shape[d];
        index[d] = 0;
    }
}

/* memcpy() of what is often a single element, which then takes no call. */
static inline void ingot_copy_few(void *to, const void *from, size_t size_bytes)
{
    switch (size_bytes) {
    case 4: memcpy(to, from, 4); break;
    case 8: memcpy(to, from, 8); break;
    default: memcpy(to, from, size_bytes);
    }
}

/* Element i of a tensor of indices (int32 or int64) that are checked; negative ones count from the end of `size`. */
static inline int64_t ingot_index_at(const ingot_tensor *indices, int64_t i, int64_t size)
{
    const int64_t index = indices->dtype == INGOT_INT64 ? ((const int64_t *)indices->data)[i]
                                                         : ((const int32_t *)indices->data)[i];
    return index < 0 ? index + size : index;
}

/* Set index to the `number`-th of the box; returns its offset. */
static inline int64_t ingot_locate(int rank, const int64_t *shape, const int64_t *step, int64_t number, int64_t *index)
{
    int64_t offset = 0;
    for (int d = rank; d-- > 0;) {
        index[d] = number % shape[d];
        number /= shape[d];
        offset += index[d] * step[d];
    }
    return offset;
}

#endif
