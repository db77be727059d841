/* constant.c - constant values, and lazy ones: elements in an open file, or in memory at any alignment, perhaps scaled
 * per index of one axis. They are read in ranges so that packing needs no copy of the whole tensor. */
#include "engine/core/graph.h"

#include <string.h>

/* A copy that lives in the arena, strings with their bytes. NULL when memory is out. The tensor needs data in row-major
 * order; a lazy one has to be given memory first. */
ingot_const *ingot_const_create(ingot_arena *arena, const ingot_tensor *tensor)
{
    ingot_const *constant = ingot_arena_alloc(arena, sizeof *constant);
    if (!constant)
        return NULL;
    constant->tensor = *tensor;
    constant->tensor.data = ingot_arena_copy(arena, tensor->data, ingot_storage_bytes(tensor));
    constant->source = constant->tensor.data;
    if (!constant->tensor.data)
        return NULL;
    if (tensor->dtype == INGOT_STRING && tensor->kind == INGOT_TENSOR) {
        ingot_string *strings = constant->tensor.data;
        for (int64_t i = 0; i < ingot_count(tensor); i++) {
            strings[i].data = ingot_arena_string(arena, strings[i].data, strings[i].size_bytes);
            if (!strings[i].data)
                return NULL;
        }
    }
    return constant;
}

/* Returns the new value's id, or INGOT_NONE when memory is out. The declared type gets kind and element type; the shape
 * is the constant's own. */
int ingot_graph_add_constant(ingot_graph *graph, const char *name, const ingot_tensor *tensor)
{
    ingot_const *constant = ingot_const_create(graph->arena, tensor);
    const int id = constant ? ingot_graph_add_value(graph, name) : INGOT_NONE;
    if (id != INGOT_NONE) {
        graph->values[id].constant = constant;
        graph->values[id].type.kind = INGOT_TENSOR;
        graph->values[id].type.dtype = tensor->dtype;
    }
    return id;
}

/* True where the elements have to be read through ingot_const_read(): tensor.data is NULL but they are somewhere. */
bool ingot_const_is_lazy(const ingot_const *constant)
{
    return !constant->tensor.data && (constant->source || constant->file || constant->narrow);
}

/* Scale dst, which holds elements [first, first + n) of the constant. Element e has index (e / inner) % axis size. Rows
 * of `inner` elements share a factor; n need not begin or end at one. The product is formed in double, so a float is
 * rounded once. */
static void scale_range(const ingot_const *constant, int64_t first, int64_t n, void *dst)
{
    const ingot_tensor *t = &constant->tensor;
    const int64_t inner = ingot_span(t, constant->scale_axis + 1, t->rank), size = t->shape[constant->scale_axis];
    float *floats = dst;
    double *doubles = dst;
    for (int64_t i = 0; i < n;) {
        const int64_t row = (first + i) / inner, end = MIN(n, (row + 1) * inner - first);
        const double factor = constant->scale[row % size];
        if (t->dtype == INGOT_DOUBLE)
            for (; i < end; i++)
                doubles[i] *= factor;
        else
            for (; i < end; i++)
                floats[i] = (float)((double)floats[i] * factor);
    }
}

/* The elements stay where they are: the new constant is lazy. */
ingot_const *ingot_const_widened(ingot_arena *arena, const ingot_const *narrow)
{
    ingot_const *constant = ingot_arena_alloc(arena, sizeof *constant);
    if (!constant)
        return NULL;
    constant->tensor = narrow->tensor;
    constant->tensor.dtype = INGOT_FLOAT;
    constant->tensor.data = NULL;
    constant->narrow = narrow;
    return constant;
}

/* A range of a 16-bit constant as floats, through a buffer on the stack. */
static void read_narrow(const ingot_const *constant, int64_t first, int64_t n, float *dst)
{
    uint16_t codes[512];
    for (int64_t at = 0; at < n; at += 512) {
        const int64_t some = MIN(n - at, 512);
        ingot_const_read_range(constant, first + at, some, codes);
        for (int64_t i = 0; i < some; i++)
            dst[at + i] = constant->tensor.dtype == INGOT_FLOAT16 ? ingot_half_to_float(codes[i])
                                                                  : ingot_bfloat_to_float(codes[i]);
    }
}

/* The source may have any alignment, hence memcpy; factors are applied to the copy, each product rounded once. Elements
 * of packed or boolean types lie in the source as they do in memory. The caller keeps the range within the constant. */
void ingot_const_read_range(const ingot_const *constant, int64_t first, int64_t n, void *dst)
{
    const size_t item = ingot_dtype_size_bytes(constant->tensor.dtype);
    if (n <= 0)
        return;
    if (constant->narrow)
        read_narrow(constant->narrow, first, n, dst);
    else if (constant->source)
        memcpy(dst, (const char *)constant->source + (size_t)first * item, (size_t)n * item);
    else
        ingot_file_read(constant->file, constant->offset + (uint64_t)first * item, dst, (size_t)n * item);
    if (constant->scale)
        scale_range(constant, first, n, dst);
}

/* Room for ingot_storage_bytes() of the tensor is the caller's; one range, the whole tensor. */
void ingot_const_read(const ingot_const *constant, void *dst)
{
    ingot_const_read_range(constant, 0, ingot_count(&constant->tensor), dst);
}

enum { READ_GRAIN = 64 << 10 }; /* elements that a thread reads at once */

/* Reading one constant, split over a team. */
typedef struct read_call {
    const ingot_const *constant;
    char *to;
} read_call;

/* Task over elements. */
static void read_part(void *argument, int64_t begin, int64_t end, int thread)
{
    const read_call *call = argument;
    const size_t item = ingot_dtype_size_bytes(call->constant->tensor.dtype);
    (void)thread;
    ingot_const_read_range(call->constant, begin, end - begin, call->to + (size_t)begin * item);
}

/* In pieces that are left out then. New memory has been touched by the caller. */
bool ingot_const_read_by(ingot_team *team, const ingot_const *constant, void *dst)
{
    return ingot_parallel_long(team, ingot_count(&constant->tensor), READ_GRAIN, read_part,
                               &(read_call){constant, dst},
                               (double)ingot_storage_bytes(&constant->tensor) / INGOT_FRESH_BYTES_IN_US);
}

/* From here on the constant has plain data of its own, its factors applied. False when memory is out: nothing has
 * changed then. */
bool ingot_const_materialize(ingot_arena *arena, ingot_const *constant)
{
    if (!ingot_const_is_lazy(constant))
        return true;
    void *data = ingot_arena_alloc(arena, ingot_storage_bytes(&constant->tensor));
    if (!data)
        return false;
    ingot_const_read(constant, data);
    constant->tensor.data = data;
    constant->source = data;
    constant->scale = NULL;
    constant->file = NULL;
    constant->narrow = NULL;
    return true;
}
