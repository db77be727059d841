/* control.c - If, Loop and Scan. Their subgraphs are planned and run by the engine through ingot_call(); what is here
 * carries values from one iteration to the next. A subgraph's outputs live in its plan's memory until its next run, so
 * carried values are copied to buffers of the loop (two per value, used in turn) and scan outputs are appended to
 * buffers that grow by doubling. */
#include <string.h>

#include "ops/axis_copy.h"
#include "ops/host.h"
#include "ops/op.h"

/* LIMIT is also what a limit on the session's memory gives. */
/* Nothing can be said about the outputs before the subgraphs have run: the branches of an If may differ in shape, and
 * the length of a scan output may be the number of iterations. Even the type is left to the run. */
static ingot_status infer_unknown(ingot_op_ctx *c)
{
    for (int i = 0; i < c->n_out; i++)
        ingot_out_unknown(c, i, INGOT_TENSOR, INGOT_UNDEFINED);
    return INGOT_OK;
}

/* Make output `index` a copy of a subgraph's output, which lives only until that subgraph runs again. An output that
 * nobody wants, or that the node does not have, is skipped. Sequences and optionals are passed on: their items are not
 * in the subgraph's memory. */
static ingot_status give(ingot_op_ctx *c, int index, const ingot_tensor *value)
{
    if (index >= c->n_out || !c->out[index])
        return INGOT_OK;
    if (value->kind != INGOT_TENSOR) {
        *c->out[index] = *value; /* items live in run memory */
        return INGOT_OK;
    }
    const ingot_status status = ingot_out_resize(c, index, value->dtype, value->rank, value->shape);
    if (!status && ingot_storage_bytes(value) > 0)
        memcpy(c->out[index]->data, value->data, ingot_storage_bytes(value));
    return status;
}

/* A condition is one bool of any rank; everything else is INVALID. `what` begins the message. */
static ingot_status read_bool(ingot_op_ctx *c, const ingot_tensor *t, const char *what, bool *value)
{
    if (t->kind != INGOT_TENSOR || t->dtype != INGOT_BOOL || ingot_count(t) != 1)
        return ingot_op_fail(c, INGOT_INVALID, "%s must be one bool", what);
    *value = *(const uint8_t *)t->data != 0;
    return INGOT_OK;
}

/* The subgraph in an attribute; If, Loop and Scan cannot do without, so a missing one is INVALID. */
static ingot_status need_graph(ingot_op_ctx *c, const char *name, const ingot_graph **graph)
{
    *graph = ingot_attr_graph(c->node, name);
    return *graph ? INGOT_OK : ingot_op_fail(c, INGOT_INVALID, "attribute '%s' is missing", name);
}

/* ---- If ---- */

/* Runs one branch. Its outputs' shapes are known only now, so they are given to the outputs as they are. The branches
 * take no inputs: what they read from outside they capture, and ingot_call() finds it in this node. */
static ingot_status run_if(ingot_op_ctx *c)
{
    bool condition = false;
    const ingot_graph *branch;
    ingot_status status = read_bool(c, c->in[0], "the condition", &condition);
    if (status || (status = need_graph(c, condition ? "then_branch" : "else_branch", &branch)))
        return status;
    ingot_tensor *results = ingot_run_alloc(c, (size_t)c->n_out * sizeof *results);
    if (!results)
        return ingot_op_out_of_memory(c);
    status = ingot_call(c, branch, NULL, 0, results, c->n_out);
    for (int i = 0; i < c->n_out && !status; i++)
        status = give(c, i, &results[i]);
    return status;
}

/* ---- what Loop and Scan share ---- */

/* A carried value: its present tensor, in one of two buffers, buffers[turn]. The other receives the next one. Buffers
 * only grow, so that a value of constant shape is allocated twice in all. */
typedef struct carried {
    ingot_tensor tensor;
    void *buffers[2];
    size_t capacity[2];
    int turn;
} carried;

/* A scan output: items appended one after the other, used_bytes so far of capacity_bytes. They are joined along an axis
 * when the loop has ended, since their number is known only then. */
typedef struct collected {
    ingot_tensor item;      /* type and shape of each; rank -1 before the first */
    char *data;
    size_t used_bytes, capacity_bytes;
} collected;

/* A Loop or Scan while it runs. results receives all of the body's outputs: Loop's condition first, then the carried
 * values, then what is collected. Its memory is not that of the run, so that a buffer can be given back when it
 * grows. */
typedef struct loop {
    ingot_op_ctx *c;
    ingot_memory *memory;
    const ingot_graph *body;
    int n_carried, n_collected;
    carried *values;
    collected *outputs;
    const ingot_tensor **arguments;        /* of the body */
    ingot_tensor *results;
} loop;

/* Takes what Loop and Scan share; a failure leaves a loop that close_loop accepts. rank -1 marks a collected output
 * with no item yet. n_extra: the body's inputs that are not carried (Loop's counter and condition, Scan's slices). */
static ingot_status open_loop(loop *l, ingot_op_ctx *c, int n_carried, int n_collected, int n_extra)
{
    l->c = c;
    l->memory = c->host->memory;
    l->n_carried = n_carried;
    l->n_collected = n_collected;
    l->values = ingot_zalloc(l->memory, (size_t)n_carried * sizeof *l->values);
    l->outputs = ingot_zalloc(l->memory, (size_t)n_collected * sizeof *l->outputs);
    l->arguments = ingot_zalloc(l->memory, (size_t)(n_carried + n_extra) * sizeof *l->arguments);
    l->results = ingot_zalloc(l->memory, (size_t)(1 + n_carried + n_collected) * sizeof *l->results);
    if (!l->values || !l->outputs || !l->arguments || !l->results)
        return ingot_op_out_of_memory(c);
    for (int i = 0; i < n_collected; i++)
        l->outputs[i].item.rank = -1;
    return INGOT_OK;
}

/* Frees everything that open_loop and the iterations took, also when half of it is missing. */
static void close_loop(loop *l)
{
    for (int i = 0; i < l->n_carried && l->values; i++) {
        ingot_release(l->memory, l->values[i].buffers[0]);
        ingot_release(l->memory, l->values[i].buffers[1]);
    }
    for (int i = 0; i < l->n_collected && l->outputs; i++)
        ingot_release(l->memory, l->outputs[i].data);
    ingot_release(l->memory, l->values);
    ingot_release(l->memory, l->outputs);
    ingot_release(l->memory, l->arguments);
    ingot_release(l->memory, l->results);
}

/* Keep a copy of a carried value for the next iteration. Two buffers take turns, because the body may still read the
 * old value while the new one is copied; sequences are shared, not copied. LIMIT where memory is out. */
static ingot_status carry(loop *l, carried *value, const ingot_tensor *from)
{
    if (from->kind != INGOT_TENSOR) {
        value->tensor = *from;
        return INGOT_OK;
    }
    const int turn = value->turn ^= 1;
    const size_t size_bytes = ingot_storage_bytes(from);
    /* Half as much again is taken, for values that grow by a little each time, as generated text does. */
    if (!value->buffers[turn] || value->capacity[turn] < size_bytes) {
        ingot_release(l->memory, value->buffers[turn]);
        value->capacity[turn] = size_bytes + size_bytes / 2;
        if (!(value->buffers[turn] = ingot_alloc(l->memory, value->capacity[turn])))
            return ingot_op_out_of_memory(l->c);
    }
    value->tensor = *from;
    value->tensor.data = value->buffers[turn];
    if (size_bytes)
        memcpy(value->tensor.data, from->data, size_bytes);
    return INGOT_OK;
}

/* Append one iteration's result to a scan output; memory doubles, so n iterations cost O(n). ONNX wants one shape and
 * type for all of them. INVALID where they differ, or for a sequence. */
static ingot_status collect(loop *l, int index, const ingot_tensor *from)
{
    collected *output = &l->outputs[index];
    if (from->kind != INGOT_TENSOR)
        return ingot_op_fail(l->c, INGOT_INVALID, "scan output %d is not a tensor", index);
    if (output->item.rank < 0)
        output->item = *from;
    else if (!ingot_same_shape(&output->item, from) || output->item.dtype != from->dtype)
        return ingot_op_fail(l->c, INGOT_INVALID, "scan output %d changes its shape or type between iterations", index);
    const size_t size_bytes = ingot_storage_bytes(from);
    /* Twice of what is needed now; the sum cannot overflow, as both are sizes of memory that exists. */
    if (output->capacity_bytes - output->used_bytes < size_bytes || !output->data) {
        size_t capacity;
        if (!ingot_mul_size(2, output->used_bytes + size_bytes, &capacity))
            return ingot_op_out_of_memory(l->c);
        char *data = ingot_alloc(l->memory, capacity);
        if (!data)
            return ingot_op_out_of_memory(l->c);
        if (output->used_bytes)
            memcpy(data, output->data, output->used_bytes);
        ingot_release(l->memory, output->data);
        output->data = data;
        output->capacity_bytes = capacity;
    }
    if (size_bytes)
        memcpy(output->data + output->used_bytes, from->data, size_bytes);
    output->used_bytes += size_bytes;
    return INGOT_OK;
}

/* Type and shape of an item that no iteration gave: what the body declares, free dimensions 0. A body that declares
 * nothing gives scalars of float: an output must have some type. */
static void declared_item(const loop *l, int body_output, ingot_tensor *item)
{
    const ingot_type *type = &l->body->values[l->body->outputs[body_output]].type;
    item->dtype = type->dtype ? type->dtype : INGOT_FLOAT;
    item->rank = MAX(0, MIN(type->rank, INGOT_MAX_RANK - 1));
    for (int i = 0; i < item->rank; i++)
        item->shape[i] = MAX((int64_t)0, type->shape[i]);
}

/* Output `index` of the node: the n items of collected output k, joined along a new dimension `axis` of rank + 1, in
 * reverse order where `backward`. body_output tells the declared type when there was no iteration. INVALID: an axis out
 * of range. */
static ingot_status give_collected(loop *l, int k, int index, int64_t n, int body_output, int64_t axis, bool backward)
{
    ingot_op_ctx *c = l->c;
    collected *output = &l->outputs[k];
    if (index >= c->n_out || !c->out[index])
        return INGOT_OK;
    if (output->item.rank < 0)
        declared_item(l, body_output, &output->item);
    const ingot_tensor *item = &output->item;
    int64_t shape[INGOT_MAX_RANK];
    int at;
    ingot_status status = ingot_axis(c, axis, item->rank + 1, &at);
    if (status)
        return status;
    if (item->rank >= INGOT_MAX_RANK)
        return ingot_op_fail(c, INGOT_UNSUPPORTED, "scan output %d has more than %d dimensions", k, INGOT_MAX_RANK);
    /* The item's shape with n put in at the axis. */
    for (int i = 0; i <= item->rank; i++)
        shape[i] = i < at ? item->shape[i] : i == at ? n : item->shape[i - 1];
    if ((status = ingot_out_resize(c, index, item->dtype, item->rank + 1, shape)))
        return status;
    const size_t inner_bytes = (size_t)ingot_span(item, at, item->rank) * ingot_dtype_size_bytes(item->dtype);
    const size_t item_bytes = ingot_storage_bytes(item);
    for (int64_t i = 0; i < n; i++)
        ingot_copy_axis((ingot_axis_view){c->out[index]->data, n, backward ? n - 1 - i : i},
                        (ingot_axis_view){output->data + (size_t)i * item_bytes, 1, 0}, 1, ingot_span(item, 0, at),
                        inner_bytes);
    return INGOT_OK;
}

/* ---- Loop ---- */

/* Iterate until the condition or the count ends it; *n receives the number of iterations. The body sees the iteration's
 * number (int64) and the condition (bool), both of rank 0, then the carried values. CANCELLED between two iterations;
 * any failure of the body ends the loop. */
static ingot_status iterate(loop *l, int64_t count, bool condition, int64_t *n)
{
    ingot_op_ctx *c = l->c;
    int64_t i = 0;
    uint8_t go_on = condition;
    const ingot_tensor iteration = {.dtype = INGOT_INT64, .data = &i};
    const ingot_tensor condition_in = {.dtype = INGOT_BOOL, .data = &go_on};
    ingot_status status = INGOT_OK;
    /* The arguments point at tensors that change in place, so they are bound once. */
    l->arguments[0] = &iteration;
    l->arguments[1] = &condition_in;
    for (int k = 0; k < l->n_carried; k++)
        l->arguments[2 + k] = &l->values[k].tensor;
    for (; i < count && go_on && !status; i++) {
        if (ingot_cancelled(c))
            return ingot_op_fail(c, INGOT_CANCELLED, "the run was cancelled");
        status = ingot_call(c, l->body, l->arguments, 2 + l->n_carried, l->results, 1 + l->n_carried + l->n_collected);
        bool next = false;
        if (!status)
            status = read_bool(c, &l->results[0], "the body's condition", &next);
        for (int k = 0; k < l->n_collected && !status; k++)
            status = collect(l, k, &l->results[1 + l->n_carried + k]);
        for (int k = 0; k < l->n_carried && !status; k++)
            status = carry(l, &l->values[k], &l->results[1 + k]);
        go_on = next;
    }
    *n = i;
    return status;
}

/* Loop with both forms of end: a trip count, a condition, both, or neither. The body gives the condition, the carried
 * values, then the scan outputs. Inputs: M and cond, which may be left out, and the first value of each carried one.
 * INVALID where the body's outputs are too few for those, or the node has more outputs than the body gives. */
static ingot_status run_loop(ingot_op_ctx *c)
{
    loop l = {0};
    ingot_status status = need_graph(c, "body", &l.body);
    if (status)
        return status;
    const int n_carried = MAX(0, c->node->n_inputs - 2);
    int64_t count = INT64_MAX, n = 0;
    bool condition = true;
    /* Without a count and a condition the loop ends when the body's condition is false, or when the run is
     * cancelled. */
    if (ingot_has(c, 0) && (c->in[0]->kind != INGOT_TENSOR || ingot_count(c->in[0]) != 1))
        return ingot_op_fail(c, INGOT_INVALID, "the trip count must be one number");
    if (ingot_has(c, 0))
        count = ingot_int_at(c->in[0], 0);
    if (ingot_has(c, 1) && (status = read_bool(c, c->in[1], "the condition", &condition)))
        return status;
    const int n_collected = l.body->n_outputs - 1 - n_carried;
    if (n_collected < 0 || c->n_out > n_carried + n_collected)
        return ingot_op_fail(c, INGOT_INVALID, "the body has %d outputs for %d carried values, the node %d",
                             l.body->n_outputs, n_carried, c->n_out);
    /* Everything that can be wrong in the node has been checked; from here on memory is held. */
    status = open_loop(&l, c, n_carried, n_collected, 2);
    /* The first values of what is carried, then the iterations, then the outputs: carried ones as they ended, collected
     * ones joined along their first axis. */
    for (int k = 0; k < n_carried && !status; k++)
        status = c->in[2 + k] ? carry(&l, &l.values[k], c->in[2 + k])
                              : ingot_op_fail(c, INGOT_INVALID, "carried value %d is missing", k);
    if (!status)
        status = iterate(&l, count, condition, &n);
    for (int k = 0; k < n_carried && !status; k++)
        status = give(c, k, &l.values[k].tensor);
    for (int k = 0; k < n_collected && !status; k++)
        status = give_collected(&l, k, n_carried + k, n, 1 + n_carried + k, 0, false);
    close_loop(&l);
    return status;
}

/* ---- Scan ---- */

/* Item k of an optional list attribute. 0, the default of all of them, where the list is missing or shorter. */
static int64_t list_item(const ingot_op_ctx *c, const char *name, int k)
{
    const ingot_attr *attr = ingot_node_attr(c->node, name);
    return attr && attr->type == INGOT_ATTR_INTS && (size_t)k < attr->n ? attr->ints[k] : 0;
}

/* One scan input and the slice of it that the body sees: `tensor` has the shape without the axis, and memory of its own
 * that cut() fills for each iteration. */
typedef struct slice {
    const ingot_tensor *from;
    ingot_tensor tensor;
    int axis;
    bool backward;
} slice;

/* Scan inputs: each loses its scanned axis, and all must be equally long along theirs. Fills slices[0, n) for the
 * inputs from[]; *length receives their common length. INVALID: an input left out, a scalar, an axis out of range,
 * different lengths. */
static ingot_status open_slices(ingot_op_ctx *c, slice *slices, int n, const ingot_tensor *const *from, int64_t *length)
{
    for (int k = 0; k < n; k++) {
        slice *s = &slices[k];
        s->from = from[k];
        if (!s->from || s->from->kind != INGOT_TENSOR || s->from->rank < 1)
            return ingot_op_fail(c, INGOT_INVALID, "scan input %d must have an axis to scan", k);
        const ingot_status status = ingot_axis(c, list_item(c, "scan_input_axes", k), s->from->rank, &s->axis);
        if (status)
            return status;
        s->backward = list_item(c, "scan_input_directions", k) != 0;
        if (k && s->from->shape[s->axis] != *length)
            return ingot_op_fail(c, INGOT_INVALID, "scan inputs have lengths %lld and %lld", (long long)*length,
                                 (long long)s->from->shape[s->axis]);
        *length = s->from->shape[s->axis];
        s->tensor = *s->from;
        s->tensor.rank--;
        for (int i = s->axis; i < s->tensor.rank; i++)
            s->tensor.shape[i] = s->from->shape[i + 1];
        if (!(s->tensor.data = ingot_run_alloc(c, ingot_storage_bytes(&s->tensor))))
            return ingot_op_out_of_memory(c);
    }
    return INGOT_OK;
}

/* Copy slice i of a scan input to its buffer, counted from the end when its direction is backward. Along the first axis
 * that is one copy, else one for each index before the axis. */
static void cut(slice *s, int64_t i)
{
    const int64_t length = s->from->shape[s->axis];
    const size_t inner_bytes =
        (size_t)ingot_span(s->from, s->axis + 1, s->from->rank) * ingot_dtype_size_bytes(s->from->dtype);
    ingot_copy_axis((ingot_axis_view){s->tensor.data, 1, 0},
                    (ingot_axis_view){s->from->data, length, s->backward ? length - 1 - i : i}, 1,
                    ingot_span(s->from, 0, s->axis), inner_bytes);
}

/* One iteration for every slice; a cancelled run ends between two of them. The body's inputs are the states, then the
 * slices; its outputs the states, then what is collected. */
static ingot_status scan(loop *l, slice *slices, int n_slices, int64_t length)
{
    ingot_status status = INGOT_OK;
    for (int k = 0; k < l->n_carried; k++)
        l->arguments[k] = &l->values[k].tensor;
    for (int k = 0; k < n_slices; k++)
        l->arguments[l->n_carried + k] = &slices[k].tensor;
    for (int64_t i = 0; i < length && !status; i++) {
        if (ingot_cancelled(l->c))
            return ingot_op_fail(l->c, INGOT_CANCELLED, "the run was cancelled");
        for (int k = 0; k < n_slices; k++)
            cut(&slices[k], i);
        status = ingot_call(l->c, l->body, l->arguments, l->n_carried + n_slices, l->results,
                            l->n_carried + l->n_collected);
        for (int k = 0; k < l->n_collected && !status; k++)
            status = collect(l, k, &l->results[l->n_carried + k]);
        for (int k = 0; k < l->n_carried && !status; k++)
            status = carry(l, &l->values[k], &l->results[k]);
    }
    return status;
}

/* Scan: the states come first among the inputs, then num_scan_inputs inputs to slice. Each state is also an output; the
 * others are the collected ones, joined along scan_output_axes. INVALID: counts of inputs and outputs that do not fit
 * each other or the body. */
static ingot_status run_scan(ingot_op_ctx *c)
{
    loop l = {0};
    ingot_status status = need_graph(c, "body", &l.body);
    if (status)
        return status;
    const int64_t n_scanned = ingot_attr_int(c->node, "num_scan_inputs", 0);
    if (n_scanned < 1 || n_scanned > c->node->n_inputs)
        return ingot_op_fail(c, INGOT_INVALID, "attribute 'num_scan_inputs': %lld is not allowed with %d inputs",
                             (long long)n_scanned, c->node->n_inputs);
    const int n_slices = (int)n_scanned, n_carried = c->node->n_inputs - n_slices;
    const int n_collected = l.body->n_outputs - n_carried;
    if (n_collected < 0 || c->n_out > n_carried + n_collected)
        return ingot_op_fail(c, INGOT_INVALID, "the body has %d outputs for %d states, the node %d", l.body->n_outputs,
                             n_carried, c->n_out);
    /* Slices live in the run's memory, which needs no release; the loop's buffers are taken last. */
    int64_t length = 0;
    slice *slices = ingot_run_alloc(c, (size_t)n_slices * sizeof *slices);
    status = slices ? open_slices(c, slices, n_slices, (const ingot_tensor *const *)c->in + n_carried, &length)
                    : ingot_op_out_of_memory(c);
    if (status || (status = open_loop(&l, c, n_carried, n_collected, n_slices)))
        goto done;
    for (int k = 0; k < n_carried && !status; k++)
        status = c->in[k] ? carry(&l, &l.values[k], c->in[k])
                          : ingot_op_fail(c, INGOT_INVALID, "state %d is missing", k);
    if (!status)
        status = scan(&l, slices, n_slices, length);
    for (int k = 0; k < n_carried && !status; k++)
        status = give(c, k, &l.values[k].tensor);
    for (int k = 0; k < n_collected && !status; k++)
        status = give_collected(&l, k, n_carried + k, length, n_carried + k, list_item(c, "scan_output_axes", k),
                                list_item(c, "scan_output_directions", k) != 0);
done:
    close_loop(&l);
    return status;
}

/* ---- Scan of opset 8: (sequence_lens, states..., scan inputs...), all with a batch in front ---- */

/* What a batched Scan has besides the loop: its inputs without the batch axis, of one sample at a time. The views' data
 * pointers are set anew for each sample. */
typedef struct batch {
    int64_t n, length;             /* samples; elements along the axis that is scanned */
    const ingot_tensor **views;    /* states, then scan inputs */
    size_t *step_bytes;            /* from one sample of an input to the next */
    slice *slices;
} batch;

/* Every input loses its first axis, which must be equally long for all; a scan input needs another one to scan. INVALID
 * otherwise, also for a batch of no samples, which would leave the outputs' shapes unknown. */
static ingot_status open_batch(ingot_op_ctx *c, batch *b, int n_carried, int n_slices)
{
    const int n = n_carried + n_slices;
    ingot_tensor *views = ingot_run_alloc(c, (size_t)n * sizeof *views);
    b->views = ingot_run_alloc(c, (size_t)n * sizeof *b->views);
    b->step_bytes = ingot_run_alloc(c, (size_t)n * sizeof *b->step_bytes);
    b->slices = ingot_run_alloc(c, (size_t)n_slices * sizeof *b->slices);
    if (!views || !b->views || !b->step_bytes || !b->slices)
        return ingot_op_out_of_memory(c);
    for (int k = 0; k < n; k++) {
        const ingot_tensor *in = c->in[1 + k];
        if (!in || in->kind != INGOT_TENSOR || in->rank < 1 || (k && in->shape[0] != b->n) || !in->shape[0])
            return ingot_op_fail(c, INGOT_INVALID, "input %d must have a batch axis as long as that of the others",
                                 1 + k);
        b->n = in->shape[0];
        b->views[k] = &views[k];
        views[k] = *in;
        views[k].rank--;
        memmove(views[k].shape, in->shape + 1, (size_t)views[k].rank * sizeof *views[k].shape);
        b->step_bytes[k] = ingot_storage_bytes(&views[k]);
    }
    return open_slices(c, b->slices, n_slices, b->views + n_carried, &b->length);
}

/* Set the views to sample i and *length to how much of it is scanned. A shorter sample is as if there were no more.
 * INVALID: a length of sequence_lens that is negative or past the scanned axis. */
static ingot_status select_sample(ingot_op_ctx *c, batch *b, int64_t i, int n_carried, int n_slices, int64_t *length)
{
    *length = b->length;
    if (c->in[0]) {
        if (ingot_count(c->in[0]) != b->n)
            return ingot_op_fail(c, INGOT_INVALID, "sequence_lens must have one element for each sample");
        *length = ingot_int_at(c->in[0], i);
        if (*length < 0 || *length > b->length)
            return ingot_op_fail(c, INGOT_INVALID, "sequence_lens has %lld, for %lld elements", (long long)*length,
                                 (long long)b->length);
    }
    for (int k = 0; k < n_carried + n_slices; k++) {
        ingot_tensor *view = (ingot_tensor *)(uintptr_t)b->views[k];
        view->data = (char *)c->in[1 + k]->data + (size_t)i * b->step_bytes[k];
        if (k >= n_carried)
            view->shape[0] = *length;
    }
    return INGOT_OK;
}

/* Sample i of output `index` gets `bytes` bytes and zeros behind them; the first one gives the output its shape: that
 * of `like` with the batch in front, and `length` between the two unless it is INGOT_NONE. INVALID where samples differ
 * in shape or type, as their scan outputs would not stack. */
static ingot_status give_sample(ingot_op_ctx *c, int index, const batch *b, int64_t i, const ingot_tensor *like,
                                int64_t length, const void *data, size_t bytes)
{
    if (index >= c->n_out || !c->out[index])
        return INGOT_OK;
    const int added = length == INGOT_NONE ? 1 : 2;
    int64_t shape[INGOT_MAX_RANK + 2] = {b->n, length};
    memcpy(shape + added, like->shape, (size_t)like->rank * sizeof *shape);
    ingot_tensor *out = c->out[index];
    if (i == 0) {
        const ingot_status status = ingot_out_resize(c, index, like->dtype, like->rank + added, shape);
        if (status)
            return status;
    } else if (out->dtype != like->dtype || out->rank != like->rank + added ||
               memcmp(out->shape, shape, (size_t)out->rank * sizeof *shape)) {
        return ingot_op_fail(c, INGOT_INVALID, "output %d changes its shape or type between samples", index);
    }
    const size_t step = ingot_storage_bytes(out) / (size_t)b->n;
    char *to = (char *)out->data + (size_t)i * step;
    if (bytes)
        memcpy(to, data, bytes);
    if (step > bytes)
        memset(to + bytes, 0, step - bytes);
    return INGOT_OK;
}

/* One sample from its states to its part of the outputs. The collected buffers are emptied first; what they hold after
 * the scan begins the sample's part, and the rest of it is zeros. */
static ingot_status scan_sample(loop *l, batch *b, int64_t i, int n_slices)
{
    int64_t length = 0;
    ingot_status status = select_sample(l->c, b, i, l->n_carried, n_slices, &length);
    for (int k = 0; k < l->n_carried && !status; k++)
        status = carry(l, &l->values[k], b->views[k]);
    for (int k = 0; k < l->n_collected; k++)
        l->outputs[k].used_bytes = 0;
    if (!status)
        status = scan(l, b->slices, n_slices, length);
    for (int k = 0; k < l->n_carried && !status; k++) {
        const ingot_tensor *state = &l->values[k].tensor;
        status = give_sample(l->c, k, b, i, state, INGOT_NONE, state->data, ingot_storage_bytes(state));
    }
    for (int k = 0; k < l->n_collected && !status; k++) {
        collected *output = &l->outputs[k];
        if (output->item.rank < 0)
            declared_item(l, l->n_carried + k, &output->item);
        status = give_sample(l->c, l->n_carried + k, b, i, &output->item, b->length, output->data, output->used_bytes);
    }
    return status;
}

/* The samples one after the other: each scans on its own, over as many elements as sequence_lens says. Opset 8 gives
 * directions in the attribute "directions", and scans along the first axis after the batch. */
static ingot_status run_scan_8(ingot_op_ctx *c)
{
    loop l = {0};
    batch b = {0};
    ingot_status status = need_graph(c, "body", &l.body);
    if (status)
        return status;
    const int64_t n_scanned = ingot_attr_int(c->node, "num_scan_inputs", 0);
    if (n_scanned < 1 || n_scanned >= c->node->n_inputs)
        return ingot_op_fail(c, INGOT_INVALID, "attribute 'num_scan_inputs': %lld is not allowed with %d inputs",
                             (long long)n_scanned, c->node->n_inputs);
    const int n_slices = (int)n_scanned, n_carried = c->node->n_inputs - 1 - n_slices;
    const int n_collected = l.body->n_outputs - n_carried;
    if (n_collected < 0 || c->n_out > n_carried + n_collected)
        return ingot_op_fail(c, INGOT_INVALID, "the body has %d outputs for %d states, the node %d", l.body->n_outputs,
                             n_carried, c->n_out);
    status = open_batch(c, &b, n_carried, n_slices);
    for (int k = 0; k < n_slices && !status; k++)
        b.slices[k].backward = list_item(c, "directions", k) != 0;
    if (!status)
        status = open_loop(&l, c, n_carried, n_collected, n_slices);
    for (int64_t i = 0; i < b.n && !status; i++)
        status = scan_sample(&l, &b, i, n_slices);
    close_loop(&l);
    return status;
}

const ingot_op ingot_ops_control[] = {
    {"If", 1, 1, 1, {INGOT_TYPE(BOOL)}, infer_unknown, run_if},
    {"Loop", 1, 0, INGOT_MANY, {INGOT_TYPE(INT64), INGOT_TYPE(BOOL), INGOT_TYPES_ALL, INGOT_TYPES_ALL, INGOT_TYPES_ALL,
                                INGOT_TYPES_ALL}, infer_unknown, run_loop, .flags = INGOT_OP_KINDS},
    {"Scan", 8, 0, INGOT_MANY, {INGOT_TYPE(INT64), INGOT_TYPES_ALL, INGOT_TYPES_ALL, INGOT_TYPES_ALL, INGOT_TYPES_ALL,
                                INGOT_TYPES_ALL}, infer_unknown, run_scan_8, .until = 8},
    {"Scan", 9, 1, INGOT_MANY, {INGOT_TYPES_ALL, INGOT_TYPES_ALL, INGOT_TYPES_ALL, INGOT_TYPES_ALL, INGOT_TYPES_ALL,
                                INGOT_TYPES_ALL}, infer_unknown, run_scan},
    {0},
};
