/* custom.c - operators of the host. Each becomes a record with the functions below, which call the host's and check
 * what they leave: a shape that was not told, a status that is none, a failure without a line. The host sees the
 * context through ingot_custom alone, so that nothing of it can be changed but elements of outputs. The records are
 * marked as random, which keeps the planner from computing them beforehand. */
#include "engine/custom.h"

#include <string.h>

#include "engine/model.h"

/* The record comes first: a context's `op` leads to what the host gave. */
typedef struct host_op {
    ingot_op op;
    ingot_custom_operator given;
} host_op;

struct ingot_custom_list {
    size_t n;
    host_op *ops;
};

/* One call of one of the host's functions. */
struct ingot_custom {
    ingot_op_ctx *ctx;
    bool runs;          /* run(), not infer() */
    bool failed;        /* a line is in ctx->error */
};

static const ingot_custom_operator *given_of(const ingot_op_ctx *c) { return &((const host_op *)c->op)->given; }

/* ---- calling the host ---- */

/* Call one of the host's functions. A status that no function may return, INGOT_LATER of ours among them, and a failure
 * without a line become INGOT_USAGE and a line of ours. */
static ingot_status call_host(ingot_custom *node, ingot_custom_fn *function, const char *name)
{
    ingot_op_ctx *c = node->ctx;
    const ingot_status status = function(node, given_of(c)->user);
    switch ((int)status) {
    case INGOT_OK:
        return INGOT_OK;
    case INGOT_USAGE: case INGOT_UNSUPPORTED: case INGOT_INVALID: case INGOT_BAD_INPUT: case INGOT_LIMIT: case INGOT_IO:
        return node->failed ? status : ingot_op_fail(c, status, "the host's %s() failed (%s)", name,
                                                     ingot_status_name(status));
    case INGOT_CANCELLED:
        return ingot_op_fail(c, INGOT_CANCELLED, "the run was cancelled");
    default:
        return ingot_op_fail(c, INGOT_USAGE, "the host's %s() returned %d, which is no status", name, (int)status);
    }
}

/* Constants are read from the file first, so that the host sees their elements. What an earlier call told of the
 * outputs is forgotten: each has to be told anew. */
static ingot_status infer_custom(ingot_op_ctx *c)
{
    for (int i = 0; i < c->n_in; i++)
        if (c->in[i] && !c->in[i]->data && c->constants[i] && ingot_const_is_lazy(c->constants[i]))
            return INGOT_LATER;
    for (int i = 0; i < c->n_out; i++)
        if (c->out[i])
            c->out[i]->dtype = INGOT_UNDEFINED;
    ingot_custom node = { .ctx = c };
    const ingot_status status = call_host(&node, given_of(c)->infer, "infer");
    for (int i = 0; i < c->n_out && !status; i++)
        if (c->out[i] && !c->out[i]->dtype)
            return ingot_op_fail(c, INGOT_USAGE, "the host's infer() did not tell the type of output %d", i);
    return status;
}

/* Outputs whose shape only the run tells have it afterwards. Strings that the host leaves out are empty. */
static ingot_status run_custom(ingot_op_ctx *c)
{
    for (int i = 0; i < c->n_out; i++)
        if (c->out[i] && c->out[i]->rank >= 0 && c->out[i]->dtype == INGOT_STRING && c->out[i]->data)
            memset(c->out[i]->data, 0, ingot_storage_bytes(c->out[i]));
    ingot_custom node = { .ctx = c, .runs = true };
    const ingot_status status = call_host(&node, given_of(c)->run, "run");
    for (int i = 0; i < c->n_out && !status; i++)
        if (c->out[i] && c->out[i]->rank < 0)
            return ingot_op_fail(c, INGOT_USAGE, "the host's run() did not tell the shape of output %d", i);
    return status;
}

/* For records whose operator counts; negative counts are none. */
static int64_t count_flops(const ingot_op_ctx *c)
{
    const ingot_custom node = { .ctx = (ingot_op_ctx *)c };
    const int64_t flops = given_of(c)->flops(&node, given_of(c)->user);
    return MAX(flops, 0);
}

/* ---- records ---- */

/* A host may not give an operator without name or functions, one of ONNX's own domain, or one that is here already. */
static ingot_status check_given(const ingot_custom_operator *given, ingot_error *error)
{
    static const char *const closed[] = { "", "ai.onnx", "ingot.internal" };
    bool known;

    if (!given->op_type || !*given->op_type || !given->domain)
        return ingot_fail(error, INGOT_USAGE, "an operator of the host has no op_type or no domain");
    for (size_t i = 0; i < sizeof closed / sizeof *closed; i++)
        if (!strcmp(given->domain, closed[i]))
            return ingot_fail(error, INGOT_USAGE, "operator '%.80s' of the host: the domain '%s' is not open to hosts",
                              given->op_type, closed[i]);
    ingot_op_find(given->domain, given->op_type, INT32_MAX, &known);
    if (known)
        return ingot_fail(error, INGOT_USAGE, "operator '%.80s' of the host: the library has one in domain '%.80s'",
                          given->op_type, given->domain);
    if (!given->infer || !given->run)
        return ingot_fail(error, INGOT_USAGE, "operator '%.80s' of the host has no infer() or no run()",
                          given->op_type);
    if (given->min_inputs < 0 || (given->max_inputs != -1 && given->max_inputs < given->min_inputs) ||
        given->first < 0 || (given->last && given->last < given->first))
        return ingot_fail(error, INGOT_USAGE, "operator '%.80s' of the host: its numbers of inputs or versions make no "
                          "sense", given->op_type);
    return INGOT_OK;
}

/* False when memory is out. */
static bool make_record(host_op *record, ingot_arena *arena)
{
    ingot_custom_operator *given = &record->given;
    given->op_type = ingot_arena_string(arena, given->op_type, strlen(given->op_type));
    given->domain = ingot_arena_string(arena, given->domain, strlen(given->domain));
    record->op = (ingot_op){ .op_type = given->op_type, .since = MAX(given->first, 1), .min_inputs = given->min_inputs,
                             .max_inputs = given->max_inputs < 0 ? INGOT_MANY : given->max_inputs,
                             .infer = infer_custom, .run = run_custom, .flags = INGOT_OP_RANDOM,
                             .flops = given->flops ? count_flops : NULL, .domain = given->domain,
                             .until = given->last };
    for (int i = 0; i < 6; i++)
        record->op.types[i] = given->types[i] ? given->types[i] : INGOT_TYPES_ALL;
    return given->op_type && given->domain;
}

/* See custom.h. *list stays NULL where nothing is given. */
ingot_status ingot_custom_take(const ingot_custom_operator *const *given, ingot_arena *arena, ingot_custom_list **list,
                               ingot_error *error)
{
    size_t n = 0;
    *list = NULL;
    while (given && given[n])
        n++;
    if (!n)
        return INGOT_OK;
    ingot_custom_list *made = ingot_arena_alloc(arena, sizeof *made);
    if (!made || !(made->ops = ingot_arena_array(arena, n, sizeof *made->ops)))
        return ingot_out_of_memory(error);
    for (made->n = 0; made->n < n; made->n++) {
        host_op *record = &made->ops[made->n];
        ingot_status status = ingot_take_options(&record->given, sizeof record->given, given[made->n], error);
        if (!status)
            status = check_given(&record->given, error);
        if (!status && !make_record(record, arena))
            status = ingot_out_of_memory(error);
        if (status)
            return status;
    }
    *list = made;
    return INGOT_OK;
}

/* The first that fits: the host has the order in its hands. */
const ingot_op *ingot_custom_find(const ingot_custom_list *list, const ingot_node *node)
{
    for (size_t i = 0; list && i < list->n; i++) {
        const ingot_op *op = &list->ops[i].op;
        if (!strcmp(op->op_type, node->op_type) && !strcmp(op->domain, node->domain) && op->since <= node->version &&
            (!op->until || node->version <= op->until))
            return op;
    }
    return NULL;
}

/* While loading, when the model is still one thread's. */
bool ingot_custom_settle(const ingot_node *node, ingot_arena *arena)
{
    for (size_t a = 0; a < node->n_attrs; a++)
        if (node->attrs[a].type == INGOT_ATTR_TENSOR &&
            !ingot_const_materialize(arena, (ingot_const *)node->attrs[a].tensors[0]))
            return false;
    return true;
}

/* ---- what the host's functions may ask ---- */

size_t ingot_custom_n_inputs(const ingot_custom *node)
{
    return (size_t)MIN(node->ctx->n_in, node->ctx->node->n_inputs);
}

size_t ingot_custom_n_outputs(const ingot_custom *node) { return (size_t)node->ctx->n_out; }

/* NULL past the last too. */
const ingot_tensor *ingot_custom_input(const ingot_custom *node, size_t index)
{
    return index < ingot_custom_n_inputs(node) ? node->ctx->in[index] : NULL;
}

/* In run() only the shapes that infer() left open are taken; the others may be told again, if they are the same. */
ingot_status ingot_custom_set_output(ingot_custom *node, size_t index, ingot_dtype dtype, int32_t rank,
                                     const int64_t *shape)
{
    ingot_op_ctx *c = node->ctx;
    if (index >= (size_t)c->n_out || !c->out[index])
        return INGOT_OK;
    const ingot_tensor *out = c->out[index];
    ingot_tensor told = { .dtype = dtype, .rank = rank };
    node->failed = true;    /* where it ends with one of the lines below */
    if (dtype <= INGOT_UNDEFINED || dtype >= INGOT_N_DTYPES || rank > INGOT_MAX_RANK || rank < (node->runs ? 0 : -1))
        return ingot_op_fail(c, INGOT_USAGE, "the host gives output %zu type %d and rank %d", index, (int)dtype, rank);
    for (int i = 0; i < rank; i++)
        told.shape[i] = shape[i];
    char text[200], before[200];
    if (rank >= 0 && !ingot_checked_size(&told, NULL, NULL))
        return ingot_op_fail(c, INGOT_USAGE, "the host gives output %zu shape %s", index,
                             ingot_shape_text(&told, text, sizeof text));
    if (node->runs && (out->dtype != dtype || (out->rank >= 0 && !ingot_same_shape(out, &told))))
        return ingot_op_fail(c, INGOT_USAGE, "the host's run() gives output %zu type %s and shape %s, and infer() gave "
                             "%s and %s", index, ingot_dtype_name(dtype), ingot_shape_text(&told, text, sizeof text),
                             ingot_dtype_name(out->dtype),
                             out->rank < 0 ? "none" : ingot_shape_text(out, before, sizeof before));
    node->failed = false;
    if (rank < 0)
        return ingot_out_unknown(c, (int)index, INGOT_TENSOR, dtype);
    if (!node->runs)
        return ingot_out(c, (int)index, dtype, rank, told.shape);
    if (out->rank >= 0)
        return INGOT_OK;
    const ingot_status status = ingot_out_resize(c, (int)index, dtype, rank, told.shape);
    if (!status && dtype == INGOT_STRING)
        memset(c->out[index]->data, 0, ingot_storage_bytes(c->out[index]));
    node->failed = status != INGOT_OK;
    return status;
}

/* Nothing of it but its elements can be changed. */
const ingot_tensor *ingot_custom_output(const ingot_custom *node, size_t index)
{
    if (!node->runs || index >= ingot_custom_n_outputs(node))
        return NULL;
    const ingot_tensor *out = node->ctx->out[index];
    return out && out->rank >= 0 ? out : NULL;
}

/* Lists and single items look the same but for is_list. */
bool ingot_custom_attribute(const ingot_custom *node, const char *name, ingot_attribute *attribute)
{
    const ingot_attr *attr = ingot_node_attr(node->ctx->node, name);
    *attribute = (ingot_attribute){ 0 };
    if (!attr)
        return false;
    attribute->n = attr->n;
    attribute->is_list = attr->type >= INGOT_ATTR_FLOATS;
    switch (attr->type) {
    case INGOT_ATTR_FLOAT: case INGOT_ATTR_FLOATS:
        attribute->dtype = INGOT_FLOAT;
        attribute->floats = attr->floats;
        return true;
    case INGOT_ATTR_INT: case INGOT_ATTR_INTS:
        attribute->dtype = INGOT_INT64;
        attribute->ints = attr->ints;
        return true;
    case INGOT_ATTR_STRING: case INGOT_ATTR_STRINGS:
        attribute->dtype = INGOT_STRING;
        attribute->strings = attr->strings;
        return true;
    case INGOT_ATTR_TENSOR:
        attribute->tensor = &attr->tensors[0]->tensor;
        return true;
    default:
        return false;
    }
}

/* The node's attribute of that name and type, if it has one. */
static const ingot_attr *find_number(const ingot_custom *node, const char *name, ingot_attr_type type)
{
    const ingot_attr *attr = ingot_node_attr(node->ctx->node, name);
    return attr && attr->type == type ? attr : NULL;
}

int64_t ingot_custom_int(const ingot_custom *node, const char *name, int64_t otherwise)
{
    const ingot_attr *attr = find_number(node, name, INGOT_ATTR_INT);
    return attr ? attr->ints[0] : otherwise;
}

float ingot_custom_float(const ingot_custom *node, const char *name, float otherwise)
{
    const ingot_attr *attr = find_number(node, name, INGOT_ATTR_FLOAT);
    return attr ? attr->floats[0] : otherwise;
}

/* While inferring there is no run that the memory could belong to. */
void *ingot_custom_alloc(ingot_custom *node, size_t size_bytes)
{
    return node->runs ? ingot_run_alloc(node->ctx, size_bytes) : NULL;
}

bool ingot_custom_cancelled(const ingot_custom *node) { return ingot_cancelled(node->ctx); }

/* On the calling thread alone where the session has decided that more do not pay. */
void ingot_custom_parallel(ingot_custom *node, int64_t n, int64_t grain, ingot_custom_task *task, void *argument)
{
    ingot_parallel(node->ctx->team, n, grain, task, argument);
}

/* The last line counts. */
ingot_status ingot_custom_fail(ingot_custom *node, ingot_status status, const char *message)
{
    node->failed = true;
    return ingot_op_fail(node->ctx, status, "%s", message ? message : "");
}
