/* trial.c - what keeps verdicts the same with passes and without: before the first pass each node's operator is asked
 * as the planner will ask it. Where one refuses nothing is rewritten, so that the planner finds the node and says why.
 *
 * A size that is not known yet is tried as two numbers. Where both are refused with the same line it does not hang on
 * the number, as every line tells the sizes that it is about; passes then leave that node alone. What neither shows is
 * each pass's own care: see refused.c. */
#include <string.h>

#include "engine/passes/pass.h"
#include "engine/passes/rewrite.h"
#include "engine/passes/shapes.h"
#include "ops/host.h"

/* Elements that an operator may read to tell a shape: lists of axes, sizes and pads are short. */
enum { DATA_BYTES = 4096, N_GUESSES = 2 };
static const int64_t guesses[N_GUESSES] = {64, 96};

/* How much is known of a node's inputs. */
typedef enum knowledge { TYPES, RANKS, SIZES } knowledge;

/* The inputs and outputs of one node at a time. The arrays are as long as any node needs. */
typedef struct trial {
    ingot_pass_ctx *c;
    ingot_graph *graph;
    ingot_shapes shapes;
    ingot_arena arena;
    ingot_host host;
    ingot_tensor *in, *out;
    ingot_tensor **in_list, **out_list;
    const ingot_const **constants;
    uint8_t *kinds; /* of all values, as far as they are known to be no tensors */
    int64_t guess;  /* for sizes that are not known */
    int64_t data[DATA_BYTES / sizeof(int64_t)];
    size_t used_bytes;
} trial;

/* Room for the elements of a tensor, or NULL. */
static void *take(trial *t, const ingot_tensor *tensor)
{
    const size_t bytes = ingot_aligned_bytes((int64_t)ingot_storage_bytes(tensor), 1);
    if (bytes > sizeof t->data - t->used_bytes)
        return NULL;
    void *data = (char *)t->data + t->used_bytes;
    t->used_bytes += bytes;
    return data;
}

/* A number as it is, and the guess for a symbol. */
static int64_t number(const trial *t, int64_t size)
{
    return size == INGOT_MINUS_ONE ? -1 : size < 0 ? t->guess : size;
}

/* A constant, its elements read where they are few. */
static void read_constant(trial *t, const ingot_const *constant, ingot_tensor *tensor)
{
    *tensor = constant->tensor;
    if (!ingot_const_is_lazy(constant) || tensor->kind != INGOT_TENSOR || tensor->dtype == INGOT_STRING ||
        ingot_storage_bytes(tensor) > sizeof t->data)
        return;
    if ((tensor->data = take(t, tensor)))
        ingot_const_read(constant, tensor->data);
}

/* What is known of a value, as a tensor. Where only the type is, rank 0 stands for any. */
static knowledge read_value(trial *t, int value, ingot_tensor *tensor)
{
    const ingot_shape *shape = ingot_shape_of(&t->shapes, value);
    const ingot_const *constant = ingot_constant(t->graph, value);
    if (constant) {
        read_constant(t, constant, tensor);
        return SIZES;
    }
    *tensor = (ingot_tensor){.dtype = shape->dtype, .kind = t->kinds[value],
                             .rank = shape->dtype ? MAX(shape->rank, 0) : -1};
    if (!shape->dtype || shape->rank < 0 || tensor->kind != INGOT_TENSOR)
        return TYPES;
    knowledge known = SIZES;
    for (int d = 0; d < shape->rank; d++) {
        known = shape->dim[d] < 0 ? RANKS : known;
        tensor->shape[d] = number(t, shape->dim[d]);
    }
    if (!ingot_checked_size(tensor, NULL, NULL)) { /* the planner refuses it, and operators need not ask */
        tensor->rank = 0;
        return TYPES;
    }
    /* elements that follow from shapes */
    if (shape->dtype == INGOT_INT64 && shape->n_elements >= 0 && ingot_count(tensor) == shape->n_elements) {
        int64_t *data = tensor->data = take(t, tensor);
        for (int i = 0; data && i < shape->n_elements; i++) {
            known = shape->elements[i] < 0 && shape->elements[i] != INGOT_MINUS_ONE ? RANKS : known;
            data[i] = number(t, shape->elements[i]);
        }
    }
    return known;
}

/* Fill the context with what is known, and guesses. */
static knowledge read_inputs(trial *t, const ingot_node *node)
{
    knowledge known = SIZES;
    t->used_bytes = 0;
    for (int i = 0; i < node->n_inputs; i++) {
        const int value = node->inputs[i];
        t->in_list[i] = value == INGOT_NONE ? NULL : &t->in[i];
        t->constants[i] = ingot_constant(t->graph, value);
        if (value != INGOT_NONE)
            known = MIN(known, read_value(t, value, &t->in[i]));
    }
    for (int k = 0; k < node->n_outputs; k++) {
        t->out[k] = (ingot_tensor){.rank = -1};
        t->out_list[k] = node->outputs[k] == INGOT_NONE ? NULL : &t->out[k];
    }
    return known;
}

/* What the operator said of its outputs is known from here on: all of it, or (of guesses) type and rank. */
static void keep_outputs(trial *t, const ingot_node *node, knowledge known)
{
    for (int k = 0; k < node->n_outputs; k++) {
        const ingot_tensor *out = &t->out[k];
        if (node->outputs[k] == INGOT_NONE)
            continue;
        t->kinds[node->outputs[k]] = out->kind;
        if (out->kind != INGOT_TENSOR)
            continue;
        ingot_shape *shape = &t->shapes.of[node->outputs[k]];
        shape->dtype = out->dtype;
        if (out->rank < 0 || out->rank > INGOT_SHAPE_RANK || (known != SIZES && shape->rank >= 0))
            continue;
        shape->rank = out->rank;
        for (int d = 0; d < out->rank; d++)
            shape->dim[d] = known == SIZES ? out->shape[d] : -1 - t->shapes.n_symbols++;
        if (shape->n_elements != ingot_count(out))
            shape->n_elements = -1;
    }
}

/* Small constants that are made of constants are computed, as shapes may hang on them: like the planner does. They are
 * constants for the time of the trial. */
static ingot_status compute(trial *t, int index)
{
    const ingot_node *node = t->graph->nodes[index];
    const ingot_pass_options *options = t->c->options;
    size_t bytes = 0;
    bool small = options->evaluate;
    for (int i = 0; i < node->n_inputs && small; i++)
        if (node->inputs[i] != INGOT_NONE) {
            const ingot_const *constant = t->constants[i];
            small = constant && ingot_add_size(bytes, ingot_storage_bytes(&constant->tensor), &bytes);
        }
    for (int k = 0; k < node->n_outputs && small; k++)
        small = t->out[k].rank >= 0 && ingot_add_size(bytes, ingot_storage_bytes(&t->out[k]), &bytes);
    if (!small || bytes > DATA_BYTES)
        return INGOT_OK;
    const ingot_status status = options->evaluate(options->engine, t->graph, index, NULL);
    for (int k = 0; k < node->n_outputs && !status; k++)
        if (node->outputs[k] != INGOT_NONE)
            ingot_constant_elements(t->graph, node->outputs[k], &t->shapes.of[node->outputs[k]]);
    return status == INGOT_INVALID ? status : INGOT_OK;
}

/* With one guess after the other: is it refused both times, in the same words? */
static bool is_refused_anyhow(trial *t, ingot_op_ctx *c)
{
    ingot_error errors[N_GUESSES] = {{0}};
    ingot_status status = INGOT_INVALID;
    for (int g = 0; g < N_GUESSES && (status == INGOT_INVALID || status == INGOT_UNSUPPORTED); g++) {
        t->guess = guesses[g];
        read_inputs(t, c->node);
        c->error = &errors[g];
        status = c->op->infer(c);
    }
    c->error = NULL;
    if (!status)
        keep_outputs(t, c->node, RANKS);
    return (status == INGOT_INVALID || status == INGOT_UNSUPPORTED) && !strcmp(errors[0].message, errors[1].message);
}

/* Ask the operator of node `index`. What holds subgraphs, and operators that are not Ingot's, are not asked. */
static ingot_status try_node(trial *t, int index)
{
    ingot_node *node = t->graph->nodes[index];
    bool exists;
    ingot_op_ctx c = {.node = node, .n_in = node->n_inputs, .n_out = node->n_outputs, .in = t->in_list,
                      .out = t->out_list, .constants = t->constants, .host = &t->host};
    c.op = ingot_op_find(node->domain, node->op_type, node->version, &exists);
    if (!c.op || node->n_all_inputs > node->n_inputs)
        return INGOT_OK;
    for (size_t a = 0; a < node->n_attrs; a++)
        if (node->attrs[a].type == INGOT_ATTR_GRAPH || node->attrs[a].type == INGOT_ATTR_GRAPHS)
            return INGOT_OK;
    const knowledge known = read_inputs(t, node);
    ingot_status status = ingot_op_check_types(&c, NULL);
    if (status || known == TYPES)
        return status;
    if (known == RANKS) {
        node->opaque = is_refused_anyhow(t, &c);
        return INGOT_OK;
    }
    status = c.op->infer(&c);
    if (status)
        return status == INGOT_LATER ? INGOT_OK : status;
    keep_outputs(t, node, SIZES);
    status = c.op->flags & INGOT_OP_RANDOM ? INGOT_OK : compute(t, index);
    /* elements that follow from shapes make a constant, so that what is computed from them is computed too */
    if (!status && ingot_output(node) != INGOT_NONE && !t->graph->values[node->outputs[0]].constant)
        t->graph->values[node->outputs[0]].constant =
            ingot_elements_constant(&t->arena, ingot_shape_of(&t->shapes, node->outputs[0]));
    return status;
}

/* The arrays for nodes are in one block. False when memory is out. */
static bool make_room(trial *t)
{
    size_t n_in = 1, n_out = 1, bytes_in, bytes_out;
    const size_t each = sizeof *t->in + sizeof *t->in_list + sizeof *t->constants;
    for (int i = 0; i < t->graph->n_nodes; i++) {
        n_in = MAX(n_in, (size_t)t->graph->nodes[i]->n_inputs);
        n_out = MAX(n_out, (size_t)t->graph->nodes[i]->n_outputs);
    }
    if (!ingot_mul_size(n_in, each, &bytes_in) || !ingot_mul_size(n_out, each, &bytes_out) ||
        !ingot_add_size(bytes_in, bytes_out, &bytes_in))
        return false;
    t->in = ingot_zalloc(t->graph->arena->memory, bytes_in);
    t->kinds = ingot_zalloc(t->graph->arena->memory, (size_t)t->graph->n_values + 1);
    if (!t->in || !t->kinds)
        return false;
    t->out = t->in + n_in;
    t->in_list = (ingot_tensor **)(t->out + n_out);
    t->out_list = t->in_list + n_in;
    t->constants = (const ingot_const **)(t->out_list + n_out);
    for (int i = 0; t->c->is_main && i < t->graph->n_inputs; i++)
        t->kinds[t->graph->inputs[i]] = (uint8_t)t->graph->values[t->graph->inputs[i]].type.kind;
    return true;
}

/* Shapes are read of all values, as nothing is put in the place of any. What was computed is forgotten: whether
 * constants are folded is for others to say. In a subgraph, which may not be called at all, one node does not decide
 * over the others. */
ingot_status ingot_try_nodes(ingot_pass_ctx *c)
{
    ingot_graph *graph = c->graph;
    ingot_memory *memory = graph->arena->memory;
    trial t = {.c = c, .graph = graph, .arena = {.memory = memory}, .host = {.memory = memory}, .guess = guesses[0]};
    const bool ok = make_room(&t) && ingot_shapes_begin(&t.shapes, graph, c->is_main);
    if (ok)
        memset(t.shapes.stays, true, (size_t)t.shapes.n);
    for (int i = 0; ok && !c->refused && i < graph->n_nodes; i++) {
        ingot_infer_node(&t.shapes, graph, graph->nodes[i]);
        const ingot_status status = try_node(&t, i);
        if (status != INGOT_INVALID && status != INGOT_UNSUPPORTED)
            continue;
        graph->nodes[i]->opaque = true;
        c->refused = c->is_main;
    }
    for (int v = 0; v < graph->n_values; v++)
        if (graph->values[v].producer != INGOT_NONE)
            graph->values[v].constant = NULL;
    if (t.shapes.memory)
        ingot_shapes_free(&t.shapes);
    ingot_release(memory, t.in);
    ingot_release(memory, t.kinds);
    ingot_arena_free(&t.arena);
    return ok ? INGOT_OK : ingot_pass_out_of_memory(c);
}
