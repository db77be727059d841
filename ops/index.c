/* index.c - see index.h. */
#include "ops/index.h"
#include "ops/movement.h"

/* INVALID, with the index, where it is among the indices, and the dimension that it leaves. */
static ingot_status fail_index(ingot_op_ctx *c, int64_t at, int64_t index, int64_t axis, int64_t size)
{
    return ingot_op_fail(c, INGOT_INVALID,
                         "index %lld (element %lld of the indices) is outside of dimension %lld of size %lld",
                         (long long)index, (long long)at, (long long)axis, (long long)size);
}

/* ONNX allows -size to size - 1. A bad index may be an input's fault as much as the model's; INVALID names the
 * element either way. */
ingot_status ingot_check_indices(ingot_op_ctx *c, const ingot_tensor *indices, int axis, int64_t size)
{
    const int64_t n = ingot_count(indices), *wide = indices->dtype == INGOT_INT64 ? indices->data : NULL;
    for (int64_t i = 0; i < n; i++) {
        const int64_t index = wide ? wide[i] : ingot_index_at(indices, i, 0);
        if (index < -size || index >= size)
            return fail_index(c, i, index, axis, size);
    }
    return INGOT_OK;
}

/* As above for n tuples of depth entries, each against its own dimension of shape. depth 0 has nothing to check. */
ingot_status ingot_check_tuples(ingot_op_ctx *c, const ingot_tensor *indices, int64_t n, int64_t depth,
                                const int64_t *shape)
{
    for (int64_t i = 0; i < n; i++)
        for (int64_t d = 0; d < depth; d++) {
            const int64_t index = ingot_int_at(indices, i * depth + d);
            if (index < -shape[d] || index >= shape[d])
                return fail_index(c, i * depth + d, index, d, shape[d]);
        }
    return INGOT_OK;
}

/* Where tuple i points, in elements; it must have passed ingot_check_tuples. */
int64_t ingot_tuple_offset(const ingot_tensor *indices, int64_t i, int64_t depth, const int64_t *shape,
                           const int64_t *steps)
{
    int64_t offset = 0;
    for (int64_t d = 0; d < depth; d++) {
        const int64_t index = ingot_int_at(indices, i * depth + d);
        offset += (index < 0 ? index + shape[d] : index) * steps[d];
    }
    return offset;
}
