/* op.c - what operators use to check their inputs, declare their outputs and ask the engine for memory. */
#include "ops/op.h"

#include <stdio.h>
#include <string.h>

#include "ops/host.h"

/* Report one sentence about the node; the engine puts the node's name in front. Returns status, so a failure is one
 * statement. */
ingot_status ingot_op_fail(ingot_op_ctx *c, ingot_status status, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    ingot_vfail(c->error, status, format, arguments);
    va_end(arguments);
    return status;
}

ingot_status ingot_infer_made(ingot_op_ctx *c)
{
    return ingot_op_fail(c, INGOT_UNSUPPORTED, "this operator is no part of a model");
}

/* Is input i of a type that the operator's record allows? A set of 0, at this input or one before it, stands for the
 * type of input 0; the last set also serves all further inputs. An input whose rank is not known yet passes: it is
 * checked again when the step is made ready in the run. */
static ingot_status check_type(const ingot_op_ctx *c, int i, ingot_error *error)
{
    const ingot_tensor *in = c->in[i], *first = c->in[0];
    if (in->kind != INGOT_TENSOR && !(c->op->flags & INGOT_OP_KINDS))
        return ingot_fail(error, INGOT_INVALID, "input %d is a sequence, optional or map, expected a tensor", i);
    if (in->kind != INGOT_TENSOR || in->rank < 0)
        return INGOT_OK;
    const uint64_t allowed = ingot_op_types(c->op, i);
    if (allowed && !(allowed >> in->dtype & 1))
        return ingot_fail(error, INGOT_UNSUPPORTED, "input %d has type %s, which is not supported here", i,
                          ingot_dtype_name(in->dtype));
    if (!allowed && first && first->dtype && in->dtype != first->dtype && first->kind == INGOT_TENSOR)
        return ingot_fail(error, INGOT_INVALID, "input %d has type %s, but input 0 has type %s", i,
                          ingot_dtype_name(in->dtype), ingot_dtype_name(first->dtype));
    return INGOT_OK;
}

/* Fused inputs and captures are not checked: their nodes have records of their own. */
ingot_status ingot_op_check_types(const ingot_op_ctx *c, ingot_error *error)
{
    const int n = MIN(c->node->n_inputs, c->n_in);
    for (int i = 0; i < n; i++) {
        const ingot_status status = c->in[i]               ? check_type(c, i, error)
                                    : i < c->op->min_inputs ? ingot_fail(error, INGOT_INVALID, "input %d is missing", i)
                                                            : INGOT_OK;
        if (status)
            return status;
    }
    return INGOT_OK;
}

/* Declare an output; one that is left out is no error. Sizes come from the model, so rank and byte size are checked
 * here for every operator. */
ingot_status ingot_out(ingot_op_ctx *c, int index, ingot_dtype dtype, int rank, const int64_t *shape)
{
    if (index >= c->n_out || !c->out[index])
        return INGOT_OK;
    ingot_tensor *out = c->out[index];
    if (rank > INGOT_MAX_RANK)
        return ingot_op_fail(c, INGOT_UNSUPPORTED, "output %d would have rank %d (at most %d)", index, rank,
                             INGOT_MAX_RANK);
    out->kind = INGOT_TENSOR;
    out->dtype = dtype;
    out->rank = rank;
    for (int i = 0; i < rank; i++)
        out->shape[i] = shape[i];
    if (!ingot_checked_size(out, NULL, NULL)) {
        char text[200];
        return ingot_op_fail(c, INGOT_INVALID, "output %d would have shape %s", index,
                             ingot_shape_text(out, text, sizeof text));
    }
    return INGOT_OK;
}

/* An output of like's type and shape; errors as ingot_out. */
ingot_status ingot_out_like(ingot_op_ctx *c, int index, const ingot_tensor *like)
{
    return ingot_out(c, index, like->dtype, like->rank, like->shape);
}

/* An output of the broadcast shape of all inputs, by numpy's rules: dimensions are matched from the last one, and a
 * size of 1 repeats. Inputs that are left out do not count. INVALID when two sizes differ. */
ingot_status ingot_out_broadcast(ingot_op_ctx *c, int index, ingot_dtype dtype)
{
    int64_t shape[INGOT_MAX_RANK];
    int rank = 0;
    const int n_own = MIN(c->n_in, c->node->n_inputs);
    for (int i = 0; i < n_own; i++)
        if (c->in[i])
            rank = MAX(rank, c->in[i]->rank);
    for (int d = 0; d < rank; d++)
        shape[d] = 1;
    for (int i = 0; i < n_own; i++) {
        if (!c->in[i])
            continue;
        for (int d = 0; d < c->in[i]->rank; d++) {
            /* Dimensions are counted from the last one. */
            const int64_t size = c->in[i]->shape[d];
            int64_t *to = &shape[rank - c->in[i]->rank + d];
            if (*to == 1)
                *to = size;
            else if (size != 1 && size != *to)
                return ingot_op_fail(c, INGOT_INVALID, "input %d: dimension %d of %lld does not broadcast to %lld", i,
                                     d, (long long)size, (long long)*to);
        }
    }
    return ingot_out(c, index, dtype, rank, shape);
}

/* An output whose shape only the run can tell (rank -1), or that is a sequence or optional. */
ingot_status ingot_out_unknown(ingot_op_ctx *c, int index, ingot_kind kind, ingot_dtype dtype)
{
    if (index < c->n_out && c->out[index]) {
        c->out[index]->kind = (uint8_t)kind;
        c->out[index]->dtype = dtype;
        c->out[index]->rank = -1;
    }
    return INGOT_OK;
}

/* Whether input i is there: neither past the list's end nor left unnamed in it. */
bool ingot_has(const ingot_op_ctx *c, int i) { return i < c->n_in && c->in[i]; }

/* LATER if input i has no content yet, so that inference is repeated in the run; an absent input is fine. */
ingot_status ingot_need(ingot_op_ctx *c, int i)
{
    return !ingot_has(c, i) || c->in[i]->data ? INGOT_OK : INGOT_LATER;
}

/* An axis in [-rank, rank - 1], as ONNX counts them, to [0, rank - 1]; INVALID otherwise. */
ingot_status ingot_axis(ingot_op_ctx *c, int64_t axis, int rank, int *result)
{
    if (axis < -rank || axis >= rank)
        return ingot_op_fail(c, INGOT_INVALID, "axis %lld is not allowed for rank %d", (long long)axis, rank);
    *result = (int)(axis < 0 ? axis + rank : axis);
    return INGOT_OK;
}

/* The content of a small int input (axes, shape, pads). LATER while it is not known; n is 0 when it is absent. */
ingot_status ingot_ints(ingot_op_ctx *c, int i, int64_t *values, int capacity, int *n)
{
    *n = 0;
    if (!ingot_has(c, i))
        return INGOT_OK;
    const ingot_tensor *t = c->in[i];
    if (t->dtype != INGOT_INT64 && t->dtype != INGOT_INT32)
        return ingot_op_fail(c, INGOT_INVALID, "input %d has type %s, expected int64", i, ingot_dtype_name(t->dtype));
    if (t->rank > 1 || ingot_count(t) > capacity)
        return ingot_op_fail(c, INGOT_INVALID, "input %d must be a list of at most %d numbers", i, capacity);
    if (!t->data && ingot_count(t))
        return INGOT_LATER;
    *n = (int)ingot_count(t);
    for (int k = 0; k < *n; k++)
        values[k] = ingot_int_at(t, k);
    return INGOT_OK;
}

/* The context that the engine made: copies are not known to it. */
static ingot_op_ctx *original(ingot_op_ctx *c)
{
    while (c->parent)
        c = c->parent;
    return c;
}

/* Zeroed memory that lives as long as the plan; NULL when it is out. */
void *ingot_keep(ingot_op_ctx *c, size_t size_bytes) { return c->host->keep(original(c), size_bytes); }

/* Ask for scratch in prepare: shared_bytes for the call, per_thread_bytes for each thread. */
void ingot_want_scratch(ingot_op_ctx *c, size_t shared_bytes, size_t per_thread_bytes)
{
    c->scratch_bytes = (shared_bytes + INGOT_ALIGNMENT - 1) / INGOT_ALIGNMENT * INGOT_ALIGNMENT;
    c->thread_scratch_bytes = (per_thread_bytes + INGOT_ALIGNMENT - 1) / INGOT_ALIGNMENT * INGOT_ALIGNMENT;
}

/* Memory for a packed constant that all plans of the model share, found by its node and tag; *fill says that the
 * caller is the one to fill it. A copy's own node counts: a step of two nodes has constants of both. NULL when
 * memory is out, or the run has to end. */
void *ingot_packed(ingot_op_ctx *c, uint64_t tag, size_t size_bytes, bool *fill)
{
    void *packed = c->host->packed(original(c), c->node, tag, size_bytes, fill);
    return packed && *fill && ingot_team_touch(c->team, packed, size_bytes) && ingot_cancelled(c) ? NULL : packed;
}

/* Pieces of at least one; expected to take as long as writing size_bytes to new memory. */
bool ingot_pack(ingot_op_ctx *c, int64_t n, ingot_task *task, void *argument, size_t size_bytes)
{
    return ingot_parallel_long(c->team, n, 1, task, argument, (double)size_bytes / INGOT_FRESH_BYTES_IN_US);
}

/* The block that constants are read into, made larger where it is too small; memory of its own where it is taken, as
 * when an operator packs several constants together. NULL when memory is out. */
static void *take_block(ingot_op_ctx *c, size_t size_bytes)
{
    ingot_host *host = c->host;
    ingot_read_block *block = host->block;
    if (block->taken) {
        void *own = ingot_alloc(host->memory, size_bytes);
        ingot_team_touch(c->team, own, size_bytes);
        return own;
    }
    if (!block->data || block->size_bytes < size_bytes) {
        ingot_release(host->memory, block->data);
        block->data = ingot_alloc(host->memory, size_bytes);
        block->size_bytes = block->data ? size_bytes : 0;
        ingot_team_touch(c->team, block->data, block->size_bytes);
    }
    block->taken = block->data != NULL;
    return block->data;
}

/* A constant's data, where it lies in memory if its elements may lie there; else read, and *owned is then what
 * ingot_unread_constant frees. NULL when memory is out, or the run has to end. */
const void *ingot_read_constant(ingot_op_ctx *c, int i, void **owned)
{
    *owned = NULL;
    const ingot_const *constant = c->constants[i];
    if (!constant || !ingot_const_is_lazy(constant))
        return c->in[i]->data;
    if (!constant->scale && constant->source &&
        (uintptr_t)constant->source % ingot_dtype_size_bytes(constant->tensor.dtype) == 0)
        return constant->source;
    *owned = take_block(c, ingot_storage_bytes(&constant->tensor));
    return *owned && ingot_const_read_by(c->team, constant, *owned) ? *owned : NULL;
}

/* The end of ingot_read_constant, also after it failed. */
void ingot_unread_constant(ingot_op_ctx *c, void *owned)
{
    if (owned && owned == c->host->block->data)
        c->host->block->taken = false;
    else
        ingot_release(c->host->memory, owned);
}

/* Memory that the caller frees again within the same call. */
void *ingot_work_alloc(ingot_op_ctx *c, size_t size_bytes) { return ingot_alloc(c->host->memory, size_bytes); }

/* NULL is fine. */
void ingot_work_free(ingot_op_ctx *c, void *memory) { ingot_release(c->host->memory, memory); }

/* A thread's own part of scratch, per_thread_bytes of ingot_want_scratch, behind the shared part. */
char *ingot_thread_scratch(const ingot_op_ctx *c, int thread)
{
    return c->scratch + c->scratch_bytes + (size_t)thread * c->thread_scratch_bytes;
}

/* Long loops ask between steps. */
bool ingot_cancelled(const ingot_op_ctx *c)
{
    return ingot_team_cancelled(c->team);
}

/* ingot_out during the run, with memory for the shape that is only known now. */
ingot_status ingot_out_resize(ingot_op_ctx *c, int index, ingot_dtype dtype, int rank, const int64_t *shape)
{
    if (index >= c->n_out || !c->out[index])
        return INGOT_OK;
    const ingot_status status = ingot_out(c, index, dtype, rank, shape);
    if (status)
        return status;
    return c->host->allocate_output(c, index) ? INGOT_OK : ingot_op_out_of_memory(c);
}

/* Memory for values that outlive the call but not the run, as items of sequences; NULL when it is out. */
void *ingot_run_alloc(ingot_op_ctx *c, size_t size_bytes) { return c->host->run_alloc(original(c), size_bytes); }

/* How deep values may hold values. */
enum { MAX_NESTING = 64 };

/* Recursive for sequences and optionals, to MAX_NESTING so that a model cannot use up the stack. */
static ingot_status copy_value(ingot_op_ctx *c, const ingot_tensor *from, ingot_tensor *to, int depth)
{
    if (depth > MAX_NESTING)
        return ingot_op_fail(c, INGOT_LIMIT, "a value nests more than %d deep", MAX_NESTING);
    const bool items = from->kind != INGOT_TENSOR;
    const size_t size_bytes = items ? (size_t)from->shape[0] * sizeof(ingot_tensor) : ingot_storage_bytes(from);
    *to = *from;
    to->data = ingot_run_alloc(c, size_bytes);
    if (!to->data)
        return ingot_op_out_of_memory(c);
    /* Items of a sequence, a map or an optional are tensors one behind the other. */
    if (items) {
        for (int64_t i = 0; i < from->shape[0]; i++) {
            const ingot_tensor *item = (const ingot_tensor *)from->data + i;
            const ingot_status status = copy_value(c, item, (ingot_tensor *)to->data + i, depth + 1);
            if (status)
                return status;
        }
        return INGOT_OK;
    }
    if (size_bytes)
        memcpy(to->data, from->data, size_bytes);
    /* Strings refer to text elsewhere, which is copied too. */
    if (from->dtype == INGOT_STRING)
        for (int64_t i = 0; i < ingot_count(from); i++) {
            ingot_string *text = (ingot_string *)to->data + i;
            char *bytes = ingot_run_alloc(c, text->size_bytes);
            if (!bytes)
                return ingot_op_out_of_memory(c);
            if (text->size_bytes)
                memcpy(bytes, text->data, text->size_bytes);
            text->data = bytes;
        }
    return INGOT_OK;
}

/* A deep copy in memory of the run; LIMIT when that is out. */
ingot_status ingot_run_copy(ingot_op_ctx *c, const ingot_tensor *from, ingot_tensor *to)
{
    return copy_value(c, from, to, 0);
}

/* Run a subgraph (a body of If, Loop, Scan) on these inputs; the engine does it, as ops knows no executor. */
ingot_status ingot_call(ingot_op_ctx *c, const ingot_graph *graph, const ingot_tensor *const *inputs, int n_inputs,
                        ingot_tensor *outputs, int n_outputs)
{
    return c->host->call(c, graph, inputs, n_inputs, outputs, n_outputs);
}
