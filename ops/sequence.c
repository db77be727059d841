/* sequence.c - sequences and optionals. Their items live in run memory (they are copied when they enter), so that a
 * sequence can be shared by any number of values without anyone owning it. */
#include <string.h>

#include "ops/axis_copy.h"
#include "ops/op.h"

/* Type sets for up to six inputs; the last set holds for the rest. */
#define TENSORS {INGOT_TYPES_ALL, INGOT_TYPES_ALL, INGOT_TYPES_ALL, INGOT_TYPES_ALL, INGOT_TYPES_ALL, INGOT_TYPES_ALL}

#define POSITION {INGOT_TYPES_ALL, INGOT_TYPES_INDEX}
#define POSITION_LAST {INGOT_TYPES_ALL, INGOT_TYPES_ALL, INGOT_TYPES_INDEX}

/* Memory is asked for in the run. */
/* How many items there will be is not known before the run. */
static ingot_status infer_sequence(ingot_op_ctx *c)
{
    return ingot_out_unknown(c, 0, INGOT_SEQUENCE, c->n_in && c->in[0] ? c->in[0]->dtype : INGOT_FLOAT);
}

/* An optional with an element of the input's type, or an empty one. */
static ingot_status infer_optional(ingot_op_ctx *c)
{
    return ingot_out_unknown(c, 0, INGOT_OPTIONAL, c->n_in && c->in[0] ? c->in[0]->dtype : INGOT_FLOAT);
}

/* A tensor of which nothing is known before the run. */
static ingot_status infer_any(ingot_op_ctx *c) { return ingot_out_unknown(c, 0, INGOT_TENSOR, INGOT_UNDEFINED); }

/* Kinds are not in the operators' records: INVALID for a value of another one. */
static ingot_status need_kind(ingot_op_ctx *c, int i, ingot_kind kind)
{
    if (c->in[i]->kind == kind)
        return INGOT_OK;
    return ingot_op_fail(c, INGOT_INVALID, "input %d is not %s", i,
                         kind == INGOT_SEQUENCE ? "a sequence" : kind == INGOT_OPTIONAL ? "an optional" : "a tensor");
}

/* Items are tensors one behind the other. */
static ingot_tensor *items_of(const ingot_tensor *value) { return value->data; }

/* Make `out` a value of n items in fresh run memory. */
static ingot_status make_items(ingot_op_ctx *c, ingot_tensor *out, ingot_kind kind, ingot_dtype dtype, int64_t n)
{
    size_t size_bytes;
    if (!ingot_mul_size((size_t)n, sizeof(ingot_tensor), &size_bytes))
        return ingot_op_out_of_memory(c);
    *out = (ingot_tensor){.dtype = dtype, .kind = (uint8_t)kind, .rank = 1, .shape = {n}};
    out->data = ingot_run_alloc(c, size_bytes);
    return out->data ? INGOT_OK : ingot_op_out_of_memory(c);
}

/* Give a whole value as output 0: tensors are copied, the others shared, since items are never changed. */
static ingot_status give(ingot_op_ctx *c, const ingot_tensor *value)
{
    if (value->kind != INGOT_TENSOR) {
        *c->out[0] = *value;
        return INGOT_OK;
    }
    const ingot_status status = ingot_out_resize(c, 0, value->dtype, value->rank, value->shape);
    if (!status && ingot_storage_bytes(value))
        memcpy(c->out[0]->data, value->data, ingot_storage_bytes(value));
    return status;
}

/* The position that input `i` names among n items; negative ones count from the end; `last` is the largest allowed.
 * INVALID outside. */
static ingot_status read_position(ingot_op_ctx *c, int i, int64_t n, int64_t last, int64_t *position)
{
    if (ingot_count(c->in[i]) != 1)
        return ingot_op_fail(c, INGOT_INVALID, "input %d must be one position", i);
    const int64_t given = ingot_int_at(c->in[i], 0);
    if (given < -n || given > last)
        return ingot_op_fail(c, INGOT_INVALID, "position %lld is not in a sequence of %lld", (long long)given,
                             (long long)n);
    *position = given < 0 ? given + n : given;
    return INGOT_OK;
}

/* All inputs have one type, which is that of the sequence. */
static ingot_status run_construct(ingot_op_ctx *c)
{
    const int n = c->node->n_inputs;
    ingot_status status = make_items(c, c->out[0], INGOT_SEQUENCE, c->in[0]->dtype, n);
    for (int i = 0; i < n && !status; i++)
        status = ingot_run_copy(c, c->in[i], &items_of(c->out[0])[i]);
    return status;
}

/* A sequence without items, of the type that dtype names. */
static ingot_status run_empty(ingot_op_ctx *c)
{
    const ingot_dtype dtype = ingot_attr_dtype(c->node, "dtype", INGOT_FLOAT);
    if (!dtype)
        return ingot_op_fail(c, INGOT_UNSUPPORTED, "attribute dtype: element type %lld",
                             (long long)ingot_attr_int(c->node, "dtype", INGOT_FLOAT));
    return make_items(c, c->out[0], INGOT_SEQUENCE, dtype, 0);
}

/* A copy of the item. */
static ingot_status run_at(ingot_op_ctx *c)
{
    int64_t position = 0;
    ingot_status status = need_kind(c, 0, INGOT_SEQUENCE);
    if (status || (status = read_position(c, 1, c->in[0]->shape[0], c->in[0]->shape[0] - 1, &position)))
        return status;
    return give(c, &items_of(c->in[0])[position]);
}

/* A new sequence that shares the old one's items; without a position the tensor goes to the end. */
static ingot_status run_insert(ingot_op_ctx *c)
{
    ingot_status status = need_kind(c, 0, INGOT_SEQUENCE);
    const int64_t n = c->in[0]->shape[0];
    int64_t at = n;
    if (status || (ingot_has(c, 2) && (status = read_position(c, 2, n, n, &at))))
        return status;
    const ingot_tensor from = *c->in[0];
    if (c->in[1]->kind != INGOT_TENSOR || (n && from.dtype && c->in[1]->dtype != from.dtype))
        return ingot_op_fail(c, INGOT_INVALID, "the item is not a tensor of type %s", ingot_dtype_name(from.dtype));
    if ((status = make_items(c, c->out[0], INGOT_SEQUENCE, from.dtype, n + 1)))
        return status;
    /* Old items are shared, the new one is copied. */
    ingot_tensor *to = items_of(c->out[0]);
    for (int64_t i = 0; i < n; i++)
        to[i + (i >= at)] = items_of(&from)[i];
    return ingot_run_copy(c, c->in[1], &to[at]);
}

/* A new sequence without one item, the last when no position is given. */
static ingot_status run_erase(ingot_op_ctx *c)
{
    ingot_status status = need_kind(c, 0, INGOT_SEQUENCE);
    const int64_t n = c->in[0]->shape[0];
    int64_t at = n - 1;
    if (status || (ingot_has(c, 1) && (status = read_position(c, 1, n, n - 1, &at))))
        return status;
    if (n < 1)
        return ingot_op_fail(c, INGOT_INVALID, "nothing can be erased from an empty sequence");
    if ((status = make_items(c, c->out[0], INGOT_SEQUENCE, c->in[0]->dtype, n - 1)))
        return status;
    for (int64_t i = 0; i < n; i++)
        if (i != at)
            items_of(c->out[0])[i - (i > at)] = items_of(c->in[0])[i];
    return INGOT_OK;
}

/* A scalar of int64. */
static ingot_status run_length(ingot_op_ctx *c)
{
    ingot_status status = need_kind(c, 0, INGOT_SEQUENCE);
    if (status || (status = ingot_out_resize(c, 0, INGOT_INT64, 0, NULL)))
        return status;
    *(int64_t *)c->out[0]->data = c->in[0]->shape[0];
    return INGOT_OK;
}

/* ---- cutting up and joining ---- */

/* The sizes of the parts that SplitToSequence makes of `length`; *n of them, in run memory. split is a list of sizes,
 * one size for all (the last part may be smaller), or left out: 1. INVALID when they do not sum to `length`. */
static ingot_status part_sizes(ingot_op_ctx *c, int64_t length, int64_t **sizes, int64_t *n)
{
    const ingot_tensor *split = ingot_has(c, 1) ? c->in[1] : NULL;
    const bool listed = split && split->rank == 1;
    if (split && split->rank > 1)
        return ingot_op_fail(c, INGOT_INVALID, "'split' has rank %d, expected a number or a list", split->rank);
    const int64_t each = split && !listed ? ingot_int_at(split, 0) : 1;
    if (each < 1)
        return ingot_op_fail(c, INGOT_INVALID, "parts of %lld elements are not possible", (long long)each);
    *n = listed ? ingot_count(split) : length / each + (length % each != 0);
    if (!(*sizes = ingot_run_alloc(c, (size_t)*n * sizeof **sizes)))
        return ingot_op_out_of_memory(c);
    /* Sizes are taken off what is left, so that none can reach past the end. */
    int64_t left = length;
    for (int64_t i = 0; i < *n; i++) {
        const int64_t size = listed ? ingot_int_at(split, i) : MIN(each, left);
        if (size < 0 || size > left)
            return ingot_op_fail(c, INGOT_INVALID, "the parts do not sum to the axis' size %lld", (long long)length);
        (*sizes)[i] = size;
        left -= size;
    }
    return left ? ingot_op_fail(c, INGOT_INVALID, "the parts do not sum to the axis' size %lld", (long long)length)
                : INGOT_OK;
}

/* Parts are copied. keepdims = 0 takes the axis away from parts of 1; it only counts without split. */
static ingot_status run_split(ingot_op_ctx *c)
{
    const ingot_tensor from = *c->in[0];
    int axis;
    int64_t *sizes = NULL, n = 0, first = 0;
    ingot_status status = ingot_axis(c, ingot_attr_int(c->node, "axis", 0), from.rank, &axis);
    if (status || (status = part_sizes(c, from.shape[axis], &sizes, &n)))
        return status;
    const bool keep = ingot_has(c, 1) || ingot_attr_int(c->node, "keepdims", 1);
    const size_t inner_bytes = (size_t)ingot_span(&from, axis + 1, from.rank) * ingot_dtype_size_bytes(from.dtype);
    if ((status = make_items(c, c->out[0], INGOT_SEQUENCE, from.dtype, n)))
        return status;
    for (int64_t i = 0; i < n; first += sizes[i++]) {
        /* A part has the input's shape but for the axis. */
        ingot_tensor *item = &items_of(c->out[0])[i];
        *item = from;
        item->shape[axis] = sizes[i];
        if (!(item->data = ingot_run_alloc(c, ingot_storage_bytes(item))))
            return ingot_op_out_of_memory(c);
        ingot_copy_axis((ingot_axis_view){ item->data, sizes[i], 0 },
                        (ingot_axis_view){ from.data, from.shape[axis], first }, sizes[i], ingot_span(&from, 0, axis),
                        inner_bytes);
        if (!keep) {
            item->rank--;
            memmove(&item->shape[axis], &item->shape[axis + 1], (size_t)(item->rank - axis) * sizeof *item->shape);
        }
    }
    return INGOT_OK;
}

/* Shape of the items joined along `axis`: an existing one, or a new one, along which each item counts 1. INVALID for
 * items of other types or shapes. */
static ingot_status joined_shape(ingot_op_ctx *c, const ingot_tensor *sequence, int axis, bool new_axis, int64_t *shape)
{
    const ingot_tensor *items = items_of(sequence), *first = items;
    for (int d = 0; d < first->rank + new_axis; d++)
        shape[d] = d < axis ? first->shape[d] : d == axis ? 0 : first->shape[d - new_axis];
    /* All items like the first one; sizes along an existing axis add up. */
    for (int64_t i = 0; i < sequence->shape[0]; i++) {
        const ingot_tensor *item = &items[i];
        bool fits = item->kind == INGOT_TENSOR && item->rank == first->rank && item->dtype == first->dtype;
        for (int d = 0; d < first->rank && fits; d++)
            fits = (d == axis && !new_axis) || item->shape[d] == first->shape[d];
        if (!fits)
            return ingot_op_fail(c, INGOT_INVALID, "item %lld of the sequence does not fit the first", (long long)i);
        if (__builtin_add_overflow(shape[axis], new_axis ? 1 : item->shape[axis], &shape[axis]))
            return ingot_op_fail(c, INGOT_INVALID, "the joined items are too large");
    }
    return INGOT_OK;
}

/* An empty sequence has no shape to give: INVALID. */
static ingot_status run_concat(ingot_op_ctx *c)
{
    ingot_status status = need_kind(c, 0, INGOT_SEQUENCE);
    const int64_t n = c->in[0]->shape[0];
    const bool new_axis = ingot_attr_int(c->node, "new_axis", 0) != 0;
    if (status)
        return status;
    if (n < 1)
        return ingot_op_fail(c, INGOT_INVALID, "an empty sequence cannot be joined");
    const ingot_tensor *items = items_of(c->in[0]);
    int axis;
    int64_t shape[INGOT_MAX_RANK + 1];
    if ((status = ingot_axis(c, ingot_attr_int(c->node, "axis", 0), items->rank + new_axis, &axis)) ||
        (status = joined_shape(c, c->in[0], axis, new_axis, shape)) ||
        (status = ingot_out_resize(c, 0, items->dtype, items->rank + new_axis, shape)))
        return status;
    const ingot_tensor *out = c->out[0];
    const size_t inner_bytes = (size_t)ingot_span(out, axis + 1, out->rank) * ingot_dtype_size_bytes(out->dtype);
    /* Each item's slice of the result, one after the other. */
    int64_t first = 0;
    for (int64_t i = 0; i < n; i++) {
        const int64_t size = new_axis ? 1 : items[i].shape[axis];
        ingot_copy_axis((ingot_axis_view){ out->data, shape[axis], first }, (ingot_axis_view){ items[i].data, size, 0 },
                        size, ingot_span(out, 0, axis), inner_bytes);
        first += size;
    }
    return INGOT_OK;
}

/* ---- optionals ---- */

/* Without an input an optional is empty. */
static ingot_status run_optional(ingot_op_ctx *c)
{
    if (!ingot_has(c, 0))
        return make_items(c, c->out[0], INGOT_OPTIONAL, INGOT_FLOAT, 0);
    const ingot_tensor from = *c->in[0];
    const ingot_status status = make_items(c, c->out[0], INGOT_OPTIONAL, from.dtype, 1);
    return status ? status : ingot_run_copy(c, &from, items_of(c->out[0]));
}

/* A tensor or sequence counts as an optional that has it. */
static ingot_status run_has_element(ingot_op_ctx *c)
{
    const ingot_tensor *in = ingot_has(c, 0) ? c->in[0] : NULL;
    const bool has = in && (in->kind != INGOT_OPTIONAL || in->shape[0] > 0);
    const ingot_status status = ingot_out_resize(c, 0, INGOT_BOOL, 0, NULL);
    if (!status)
        *(uint8_t *)c->out[0]->data = has;
    return status;
}

/* INVALID when there is nothing to get. */
static ingot_status run_get_element(ingot_op_ctx *c)
{
    if (c->in[0]->kind != INGOT_OPTIONAL)
        return give(c, c->in[0]);
    if (c->in[0]->shape[0] < 1)
        return ingot_op_fail(c, INGOT_INVALID, "the optional is empty");
    return give(c, items_of(c->in[0]));
}

/* ---- SequenceMap ---- */

/* The body runs once for each item: it gets items of sequences, and tensors as they are; its results become items of
 * the outputs. All sequences must be as long as the first one. */
static ingot_status run_map(ingot_op_ctx *c)
{
    const ingot_graph *body = ingot_attr_graph(c->node, "body");
    ingot_status status = need_kind(c, 0, INGOT_SEQUENCE);
    if (status || !body)
        return status ? status : ingot_op_fail(c, INGOT_INVALID, "attribute 'body' is missing");
    const int n_in = c->node->n_inputs, n_out = c->n_out;
    const int64_t n = c->in[0]->shape[0];
    const ingot_tensor **arguments = ingot_run_alloc(c, (size_t)n_in * sizeof *arguments);
    ingot_tensor *results = ingot_run_alloc(c, (size_t)n_out * sizeof *results);
    if (!arguments || !results)
        return ingot_op_out_of_memory(c);
    for (int k = 0; k < n_out && !status; k++)
        if (c->out[k])
            status = make_items(c, c->out[k], INGOT_SEQUENCE, INGOT_FLOAT, n);
    for (int64_t i = 0; i < n && !status; i++) {
        for (int k = 0; k < n_in; k++) {
            arguments[k] = c->in[k];
            if (c->in[k]->kind == INGOT_SEQUENCE) {
                if (c->in[k]->shape[0] != n)
                    return ingot_op_fail(c, INGOT_INVALID, "input %d has another number of items than input 0", k);
                arguments[k] = &items_of(c->in[k])[i];
            }
        }
        status = ingot_call(c, body, arguments, n_in, results, n_out);
        for (int k = 0; k < n_out && !status; k++)
            if (c->out[k]) {
                status = ingot_run_copy(c, &results[k], &items_of(c->out[k])[i]);
                c->out[k]->dtype = results[k].dtype;
            }
    }
    return status;
}

/* Each output is a sequence, of a type that the body tells. */
static ingot_status infer_map(ingot_op_ctx *c)
{
    for (int i = 0; i < c->n_out; i++)
        ingot_out_unknown(c, i, INGOT_SEQUENCE, INGOT_UNDEFINED);
    return INGOT_OK;
}

const ingot_op ingot_ops_sequence[] = {
    {"SequenceConstruct", 11, 1, INGOT_MANY, TENSORS, infer_sequence, run_construct},
    {"SequenceEmpty", 11, 0, 0, TENSORS, infer_sequence, run_empty},
    {"SequenceAt", 11, 2, 2, POSITION, infer_any, run_at, .flags = INGOT_OP_KINDS},
    {"SequenceInsert", 11, 2, 3, POSITION_LAST, infer_sequence, run_insert, .flags = INGOT_OP_KINDS},
    {"SequenceErase", 11, 1, 2, POSITION, infer_sequence, run_erase, .flags = INGOT_OP_KINDS},
    {"SequenceLength", 11, 1, 1, TENSORS, infer_any, run_length, .flags = INGOT_OP_KINDS},
    {"SplitToSequence", 11, 1, 2, POSITION, infer_sequence, run_split},
    {"ConcatFromSequence", 11, 1, 1, TENSORS, infer_any, run_concat, .flags = INGOT_OP_KINDS},
    {"SequenceMap", 17, 1, INGOT_MANY, TENSORS, infer_map, run_map, .flags = INGOT_OP_KINDS},
    {"Optional", 15, 0, 1, TENSORS, infer_optional, run_optional, .flags = INGOT_OP_KINDS},
    {"OptionalHasElement", 15, 0, 1, TENSORS, infer_any, run_has_element, .flags = INGOT_OP_KINDS},
    {"OptionalGetElement", 15, 1, 1, TENSORS, infer_any, run_get_element, .flags = INGOT_OP_KINDS},
    {0},
};
