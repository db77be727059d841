/* microsoft.c - operators of ONNX Runtime's own domain that are compositions of standard ones: a node is replaced by
 * the nodes that it stands for, before anything else looks at the graph. A row of the table at the end says which
 * function does so; attention has a file of its own (microsoft_attention.c). Operators that are no compositions are
 * operators of their own (quantized_*.c, matmul_nbits.c, grouped_attention.c).
 * Source: https://github.com/microsoft/onnxruntime/blob/main/docs/ContribOperators.md */
#include "ops/microsoft.h"

#include <string.h>

#include "ops/microsoft_rewrite.h"

/* ---- building ---- */

/* For all rewriters: ends the rewriting of a node with a line that names it. */
ingot_status ingot_rewrite_refuse(ingot_rewrite *r, ingot_status status, const char *what)
{
    return ingot_fail(r->error, status, "node '%.80s' (%s): %s", r->node->name, r->node->op_type, what);
}

/* The value at an input, INGOT_NONE when the node has fewer inputs or leaves it out. */
int ingot_rewrite_input(const ingot_rewrite *r, int slot)
{
    return slot < r->node->n_inputs ? r->node->inputs[slot] : INGOT_NONE;
}

/* Is this output read by a node, or an output of the graph? An output that nobody wants need not be computed. */
bool ingot_rewrite_wants(const ingot_rewrite *r, int output)
{
    const int id = output < r->node->n_outputs ? r->node->outputs[output] : INGOT_NONE;
    return id != INGOT_NONE && (r->graph->values[id].n_uses || r->graph->values[id].n_outputs);
}

/* Append a node of the standard with one output, and return that output's value. Inputs may be INGOT_NONE. Out of
 * memory is noted in r->failed, and value 0 returned: rewriters go on and the caller looks once, at the end. */
int ingot_rewrite_op(ingot_rewrite *r, const char *op_type, int version, const int *inputs, int n)
{
    const int out = ingot_graph_add_value(r->graph, NULL);
    if (out == INGOT_NONE ||
        !ingot_graph_add_node(r->graph, r->node->name, op_type, "", version, inputs, n, &out, 1)) {
        r->failed = true;
        return 0;
    }
    return out;
}

/* Give the node that was appended last one more output, number `index`; outputs between are left out. Returns its
 * value. */
int ingot_rewrite_more(ingot_rewrite *r, int index)
{
    const int last = r->graph->n_nodes - 1, out = ingot_graph_add_value(r->graph, NULL);
    ingot_node *node = r->graph->nodes[last];
    int *outputs = ingot_arena_array(r->graph->arena, (size_t)MAX(index + 1, node->n_outputs), sizeof *outputs);
    r->failed |= out == INGOT_NONE || !outputs;
    if (r->failed)
        return 0;
    for (int i = 0; i < MAX(index + 1, node->n_outputs); i++)
        outputs[i] = i < node->n_outputs ? node->outputs[i] : INGOT_NONE;
    node->n_outputs = MAX(index + 1, node->n_outputs);
    node->outputs = outputs;
    ingot_node_set_output(r->graph, last, index, out);
    return out;
}

/* Attributes are set on the node that was appended last. */
void ingot_rewrite_int(ingot_rewrite *r, const char *name, int64_t value)
{
    r->failed |= !ingot_node_set_int(r->graph, r->graph->nodes[r->graph->n_nodes - 1], name, value);
}

void ingot_rewrite_float(ingot_rewrite *r, const char *name, float value)
{
    r->failed |= !ingot_node_set_float(r->graph, r->graph->nodes[r->graph->n_nodes - 1], name, value);
}

/* A constant of int64: a vector of n, or with `scalar` (n = 1) a tensor of rank 0. */
int ingot_rewrite_ints(ingot_rewrite *r, const int64_t *values, int64_t n, bool scalar)
{
    ingot_tensor t = {.dtype = INGOT_INT64, .rank = scalar ? 0 : 1, .shape = {n}};
    t.data = ingot_arena_copy(r->graph->arena, values, (size_t)n * sizeof *values);
    const int value = t.data ? ingot_graph_add_constant(r->graph, NULL, &t) : INGOT_NONE;
    r->failed |= value == INGOT_NONE;
    return r->failed ? 0 : value;
}

/* A constant scalar of the element type of value `like`, which may not be known yet: CastLike takes care of it when
 * the types are. */
int ingot_rewrite_number(ingot_rewrite *r, float number, int like)
{
    const ingot_tensor t = {.dtype = INGOT_FLOAT, .data = &number};
    const int constant = ingot_graph_add_constant(r->graph, NULL, &t);
    r->failed |= constant == INGOT_NONE;
    return r->failed ? 0 : INGOT_ADD(r, "CastLike", 15, constant, like);
}

/* The size of a dimension as a vector of one element, computed when the model runs. */
int ingot_rewrite_size(ingot_rewrite *r, int value, int axis)
{
    return INGOT_ADD(r, "Gather", 13, INGOT_ADD(r, "Shape", 15, value), INGOT_INTS(r, axis));
}

/* The declared rank of a value; negative when it is not known. */
int ingot_rewrite_rank(const ingot_rewrite *r, int value)
{
    const ingot_value *v = value == INGOT_NONE ? NULL : &r->graph->values[value];
    return !v ? -1 : v->constant ? v->constant->tensor.rank : v->type.rank;
}

/* ---- activations ---- */

/* Gelu(x + bias) with an optional bias; FastGelu is the approximation by tanh. */
static ingot_status gelu(ingot_rewrite *r)
{
    const int x = ingot_rewrite_input(r, 0), bias = ingot_rewrite_input(r, 1);
    r->result[0] = INGOT_ADD(r, "Gelu", 20, bias == INGOT_NONE ? x : INGOT_ADD(r, "Add", 14, x, bias));
    if (!strcmp(r->node->op_type, "FastGelu"))
        r->failed |= !ingot_node_set_string(r->graph, r->graph->nodes[r->graph->n_nodes - 1], "approximate", "tanh");
    return INGOT_OK;
}

/* x * sigmoid(alpha x), which the standard calls Swish. */
static ingot_status quick_gelu(ingot_rewrite *r)
{
    r->result[0] = INGOT_ADD(r, "Swish", 24, ingot_rewrite_input(r, 0));
    ingot_rewrite_float(r, "alpha", ingot_attr_float(r->node, "alpha", 1.702f));
    return INGOT_OK;
}

/* ---- normalizations ---- */

/* LayerNormalization, or RMSNormalization for the simplified kind, of value x into results 0 to 2. */
static void normalize(ingot_rewrite *r, int x, int gamma, int beta, bool simplified, int64_t axis, float epsilon)
{
    if (simplified)
        r->result[0] = INGOT_ADD(r, "RMSNormalization", 23, x, gamma);
    else if (beta == INGOT_NONE)
        r->result[0] = INGOT_ADD(r, "LayerNormalization", 17, x, gamma);
    else
        r->result[0] = INGOT_ADD(r, "LayerNormalization", 17, x, gamma, beta);
    ingot_rewrite_int(r, "axis", axis);
    ingot_rewrite_float(r, "epsilon", epsilon);
    for (int i = 1; i < 3 && !simplified; i++)
        if (ingot_rewrite_wants(r, i))
            r->result[i] = ingot_rewrite_more(r, i);
}

/* Operators without mean and beta have the word in their names. */
static bool is_simplified(const ingot_rewrite *r) { return strstr(r->node->op_type, "Simplified") != NULL; }

/* The forms of ONNX Runtime from before the standard had these operators. Outputs: Y, then mean and inverse
 * deviation, which RMSNormalization does not have. */
static ingot_status layer_normalization(ingot_rewrite *r)
{
    if (is_simplified(r) && ingot_rewrite_wants(r, 1))
        return ingot_rewrite_refuse(r, INGOT_UNSUPPORTED, "its second output");
    normalize(r, ingot_rewrite_input(r, 0), ingot_rewrite_input(r, 1), ingot_rewrite_input(r, 2), is_simplified(r),
              ingot_attr_int(r->node, "axis", -1), ingot_attr_float(r->node, "epsilon", 1e-5f));
    return INGOT_OK;
}

/* (input, skip, gamma, [beta,] bias): the sum is normalized along the last axis, and is output 3 too, as the next
 * block's residual. The simplified kind has no beta, so that its bias is one input earlier. Outputs 1 and 2 are mean
 * and deviation. */
static ingot_status skip_normalization(ingot_rewrite *r)
{
    const bool simplified = is_simplified(r);
    const int bias = ingot_rewrite_input(r, simplified ? 3 : 4);
    int sum = INGOT_ADD(r, "Add", 14, ingot_rewrite_input(r, 0), ingot_rewrite_input(r, 1));
    if (simplified && (ingot_rewrite_wants(r, 1) || ingot_rewrite_wants(r, 2)))
        return ingot_rewrite_refuse(r, INGOT_UNSUPPORTED, "its outputs of mean or deviation");
    if (bias != INGOT_NONE)
        sum = INGOT_ADD(r, "Add", 14, sum, bias);
    normalize(r, sum, ingot_rewrite_input(r, 2), simplified ? INGOT_NONE : ingot_rewrite_input(r, 3), simplified, -1,
              ingot_attr_float(r->node, "epsilon", 1e-12f));
    if (ingot_rewrite_wants(r, 3))
        r->result[3] = sum;
    return INGOT_OK;
}

/* Rows of three tables (words, places, segments), added and normalized: the first layer of BERT. ids and segments are
 * (batch, sequence). Without place_ids the places are 0, 1, ..., so that the first `sequence` rows of the table are
 * sliced, and broadcast over the batch. Output 1 counts the ones of each mask row, none where there is no mask;
 * output 2 is the sum before normalization. */
static ingot_status embed_normalization(ingot_rewrite *r)
{
    enum { IDS, SEGMENTS, WORDS, PLACES, SEGMENT_TABLE, GAMMA, BETA, MASK, PLACE_IDS };
    const int ids = ingot_rewrite_input(r, IDS), segments = ingot_rewrite_input(r, SEGMENTS);
    const int places = ingot_rewrite_input(r, PLACES), place_ids = ingot_rewrite_input(r, PLACE_IDS);
    const int mask = ingot_rewrite_input(r, MASK);
    /* The sum of the rows of words, places and segments. */
    int sum = INGOT_ADD(r, "Gather", 13, ingot_rewrite_input(r, WORDS), ids);
    sum = INGOT_ADD(r, "Add", 14, sum,
                    place_ids != INGOT_NONE
                        ? INGOT_ADD(r, "Gather", 13, places, place_ids)
                        : INGOT_ADD(r, "Slice", 13, places, INGOT_INTS(r, 0), ingot_rewrite_size(r, ids, 1),
                                    INGOT_INTS(r, 0)));
    if (segments != INGOT_NONE)
        sum = INGOT_ADD(r, "Add", 14, sum,
                        INGOT_ADD(r, "Gather", 13, ingot_rewrite_input(r, SEGMENT_TABLE), segments));
    /* Asked now, since the node's outputs are read by others until it is replaced. */
    const bool wants_sum = ingot_rewrite_wants(r, 2), wants_mask = ingot_rewrite_wants(r, 1);
    r->result[0] = INGOT_ADD(r, "LayerNormalization", 17, sum, ingot_rewrite_input(r, GAMMA),
                             ingot_rewrite_input(r, BETA));
    ingot_rewrite_float(r, "epsilon", ingot_attr_float(r->node, "epsilon", 1e-12f));
    if (wants_mask) {
        const int counted = mask == INGOT_NONE ? INGOT_ADD(r, "Sub", 14, ids, ids) : mask;
        r->result[1] = INGOT_ADD(r, "ReduceSum", 13, counted, INGOT_INTS(r, 1));
        ingot_rewrite_int(r, "keepdims", 0);
    }
    if (wants_sum)
        r->result[2] = sum;
    return INGOT_OK;
}

/* ---- products and convolutions ---- */

/* The operand in `slot`, with its first dimension moved behind those of the batch where the attribute `name` says so:
 * (m, batch, k) to (batch, m, k). The rank must be declared then. */
static int batched_operand(ingot_rewrite *r, int slot, const char *name)
{
    const int x = ingot_rewrite_input(r, slot), rank = ingot_rewrite_rank(r, x);
    int64_t perm[INGOT_MAX_RANK];
    if (!ingot_attr_int(r->node, name, 0) || rank == 2)
        return x;
    if (rank < 2 || rank > INGOT_MAX_RANK)
        return INGOT_NONE;
    for (int i = 0; i < rank; i++)
        perm[i] = i < rank - 2 ? i + 1 : i == rank - 2 ? 0 : i;
    const int moved = INGOT_ADD(r, "Transpose", 13, x);
    r->failed |= !ingot_node_set_ints(r->graph, r->graph->nodes[r->graph->n_nodes - 1], "perm", perm, rank);
    return moved;
}

/* alpha op(A) op(B), where op may swap the last two dimensions: MatMul, or Einsum where transposing is a matter of
 * letters. */
static ingot_status fused_matmul(ingot_rewrite *r)
{
    static const char *const equations[2][2] = {
        {"...ij,...jk->...ik", "...ij,...kj->...ik"}, {"...ji,...jk->...ik", "...ji,...kj->...ik"}};
    const int a = batched_operand(r, 0, "transBatchA"), b = batched_operand(r, 1, "transBatchB");
    const bool ta = ingot_attr_int(r->node, "transA", 0) != 0, tb = ingot_attr_int(r->node, "transB", 0) != 0;
    const float alpha = ingot_attr_float(r->node, "alpha", 1);
    if (a == INGOT_NONE || b == INGOT_NONE)
        return ingot_rewrite_refuse(r, INGOT_UNSUPPORTED, "transBatchA or transBatchB, and no declared rank");
    r->result[0] = INGOT_ADD(r, ta || tb ? "Einsum" : "MatMul", ta || tb ? 12 : 13, a, b);
    if (ta || tb)
        r->failed |= !ingot_node_set_string(r->graph, r->graph->nodes[r->graph->n_nodes - 1], "equation",
                                            equations[ta][tb]);
    if (alpha != 1)
        r->result[0] = INGOT_ADD(r, "Mul", 14, r->result[0], ingot_rewrite_number(r, alpha, ingot_rewrite_input(r, 0)));
    return INGOT_OK;
}

/* Attributes of FusedConv and FusedGemm that are the activation's. */
static const char *const of_activation[] = {"activation_alpha", "activation_beta", "activation_gamma", "activation",
                                            "activation_params"};

/* Element i of the list attribute activation_params, or the attribute that FusedGemm has for it. */
static float activation_param(const ingot_rewrite *r, size_t i, float otherwise)
{
    const ingot_attr *attr = ingot_node_attr(r->node, "activation_params");
    if (attr && attr->type == INGOT_ATTR_FLOATS && i < attr->n)
        return attr->floats[i];
    return ingot_attr_float(r->node, of_activation[i], otherwise);
}

/* act(x) by the name of the activation that a fused node carries; activation_params has its one or two numbers, the
 * operator's own defaults count without. A name that is not known is UNSUPPORTED. */
static ingot_status activate(ingot_rewrite *r, const char *act, int x)
{
    static const char *const plain[] = {"Relu", "Tanh", "Sigmoid", "LeakyRelu", "HardSigmoid", "HardSwish"};
    for (size_t i = 0; i < sizeof plain / sizeof *plain; i++) {
        if (strcmp(act, plain[i]))
            continue;
        r->result[0] = INGOT_ADD(r, plain[i], 14, x);
        if (!strcmp(act, "LeakyRelu") || !strcmp(act, "HardSigmoid"))
            ingot_rewrite_float(r, "alpha", activation_param(r, 0, *act == 'L' ? 0.01f : 0.2f));
        if (!strcmp(act, "HardSigmoid"))
            ingot_rewrite_float(r, "beta", activation_param(r, 1, 0.5f));
        return INGOT_OK;
    }
    if (strcmp(act, "Clip"))
        return ingot_rewrite_refuse(r, INGOT_UNSUPPORTED, "its activation is not known");
    r->result[0] = INGOT_ADD(r, "Clip", 13, x, ingot_rewrite_number(r, activation_param(r, 0, -3.402823466e38f), x),
                             ingot_rewrite_number(r, activation_param(r, 1, 3.402823466e38f), x));
    return INGOT_OK;
}

/* The node appended last has the attributes of the one that is replaced. False when memory is out. */
static bool copy_attributes(ingot_rewrite *r)
{
    ingot_node *node = r->graph->nodes[r->graph->n_nodes - 1];
    node->attrs = ingot_arena_copy(r->graph->arena, r->node->attrs, r->node->n_attrs * sizeof *node->attrs);
    node->n_attrs = node->attrs ? r->node->n_attrs : 0;
    return node->attrs || !r->node->n_attrs;
}

/* act(Conv(X, W, B) + Z), B and Z optional, or act(Gemm(A, B, C)): the new node takes all attributes of the old one,
 * those of the activation excepted. Later passes fuse the parts again, in the engine's own way. */
static ingot_status fused_activation(ingot_rewrite *r)
{
    const char *const inner = r->node->op_type + strlen("Fused"), *act = ingot_attr_string(r->node, "activation", "");
    const int bias = ingot_rewrite_input(r, 2), z = ingot_rewrite_input(r, 3);
    int x = bias == INGOT_NONE ? INGOT_ADD(r, inner, 13, ingot_rewrite_input(r, 0), ingot_rewrite_input(r, 1))
                               : INGOT_ADD(r, inner, 13, ingot_rewrite_input(r, 0), ingot_rewrite_input(r, 1), bias);
    ingot_node *made = r->graph->nodes[r->graph->n_nodes - 1];
    r->failed |= !copy_attributes(r);
    for (size_t i = 0; i < sizeof of_activation / sizeof *of_activation; i++)
        ingot_node_remove_attr(made, of_activation[i]);
    if (z != INGOT_NONE)
        x = INGOT_ADD(r, "Add", 14, x, z);
    r->result[0] = x;
    return *act ? activate(r, act, x) : INGOT_OK;
}

/* ---- other ---- */

/* The node has the standard's form already: only its domain and version change, and it is looked up anew. */
static ingot_status rename_node(ingot_rewrite *r)
{
    r->node->domain = "";
    r->node->version = r->version;
    r->node->op = NULL;
    return INGOT_OK;
}

/* RotaryEmbedding by the standard's. Its positions are a row for each sequence; here position_ids is one number, the
 * first row's place, from which a Range is built, or one for each row. X is (batch, sequence, hidden) or (batch,
 * heads, sequence, size); without num_heads the caches, of half the size of a head, tell how to split hidden. The
 * standard wants num_heads for rank 3, so X then is reshaped to rank 4 before and back behind. */
static ingot_status rotary(ingot_rewrite *r)
{
    const int x = ingot_rewrite_input(r, 0), given = ingot_rewrite_input(r, 1), cosine = ingot_rewrite_input(r, 2);
    const int rank = ingot_rewrite_rank(r, given), x_rank = ingot_rewrite_rank(r, x);
    const int64_t heads = ingot_attr_int(r->node, "num_heads", 0), one = 1, zero = 0;
    int positions = given, turned = x;
    if (rank < 1 || rank > 2 || (x_rank != 3 && x_rank != 4))
        return ingot_rewrite_refuse(r, INGOT_UNSUPPORTED, "the ranks of input and position_ids are not declared");
    if (ingot_attr_int(r->node, "is_packed_batching", 0) || ingot_attr_float(r->node, "scale", 1) != 1)
        return ingot_rewrite_refuse(r, INGOT_UNSUPPORTED, "attribute is_packed_batching or scale");
    const int length_axis = x_rank == 4 ? 2 : 1, length = ingot_rewrite_size(r, x, length_axis);
    /* Positions from the first one: a range over the sequence, the same for each of the batch. */
    if (rank == 1) {
        const int count = INGOT_ADD(r, "Squeeze", 13, length, INGOT_INTS(r, 0));
        const int range = INGOT_ADD(r, "Range", 11, ingot_rewrite_ints(r, &zero, 1, true), count,
                                    ingot_rewrite_ints(r, &one, 1, true));
        const int shape = INGOT_ADD(r, "Concat", 13, ingot_rewrite_size(r, x, 0), length);
        ingot_rewrite_int(r, "axis", 0);
        positions = INGOT_ADD(r, "Expand", 13, INGOT_ADD(r, "Add", 14, range, given), shape);
    }
    /* Heads by the caches: (B, S, hidden) to (B, S, heads, size), then (B, heads, S, size). */
    if (x_rank == 3 && !heads) {
        const int size = INGOT_ADD(r, "Mul", 14, ingot_rewrite_size(r, cosine, 1), INGOT_INTS(r, 2));
        const int shape = INGOT_ADD(r, "Concat", 13, INGOT_INTS(r, 0, 0, -1), size);
        ingot_rewrite_int(r, "axis", 0);
        turned = INGOT_ADD(r, "Reshape", 14, x, shape);
        turned = INGOT_ADD(r, "Transpose", 13, turned);
        r->failed |= !ingot_node_set_ints(r->graph, r->graph->nodes[r->graph->n_nodes - 1], "perm",
                                          (const int64_t[]){0, 2, 1, 3}, 4);
    }
    r->result[0] = INGOT_ADD(r, "RotaryEmbedding", 23, turned, cosine, ingot_rewrite_input(r, 3), positions);
    ingot_rewrite_int(r, "interleaved", ingot_attr_int(r->node, "interleaved", 0));
    ingot_rewrite_int(r, "rotary_embedding_dim", ingot_attr_int(r->node, "rotary_embedding_dim", 0));
    if (x_rank == 3 && heads)
        ingot_rewrite_int(r, "num_heads", heads);
    /* Back to (B, S, hidden). */
    if (turned != x) {
        r->result[0] = INGOT_ADD(r, "Transpose", 13, r->result[0]);
        r->failed |= !ingot_node_set_ints(r->graph, r->graph->nodes[r->graph->n_nodes - 1], "perm",
                                          (const int64_t[]){0, 2, 1, 3}, 4);
        r->result[0] = INGOT_ADD(r, "Reshape", 14, r->result[0], INGOT_INTS(r, 0, 0, -1));
    }
    return INGOT_OK;
}

/* Which function rewrites an operator. The operators of the domain "com.microsoft"; some also appear in the default
 * domain, from exports of before the standard had them. */
static const struct row {
    const char *op_type;
    ingot_status (*rewrite)(ingot_rewrite *r);
    int version; /* of a node that is renamed */
    bool standard_too; /* ONNX Runtime has it in the default domain as well, below this version */
} rows[] = {
    {"Gelu", gelu, 0, false},
    {"FastGelu", gelu, 0, false},
    {"BiasGelu", gelu, 0, false},
    {"QuickGelu", quick_gelu, 0, false},
    {"LayerNormalization", layer_normalization, 17, true},
    {"SimplifiedLayerNormalization", layer_normalization, INT32_MAX, true},
    {"SkipLayerNormalization", skip_normalization, 0, false},
    {"SkipSimplifiedLayerNormalization", skip_normalization, 0, false},
    {"EmbedLayerNormalization", embed_normalization, 0, false},
    {"FusedConv", fused_activation, 0, false},
    {"FusedGemm", fused_activation, 0, false},
    {"FusedMatMul", fused_matmul, 0, false},
    {"RotaryEmbedding", rotary, 0, false},
    {"Attention", ingot_rewrite_attention, 0, false},
    {"MultiHeadAttention", ingot_rewrite_multi_head, 0, false},
    {"DequantizeLinear", rename_node, 21, false},
    {"QuantizeLinear", rename_node, 21, false},
    {"Trilu", rename_node, 14, false},
};

/* The node goes, and its outputs become those of the nodes that compute them now. An output that is wanted but has no
 * result is UNSUPPORTED, noticed before anything is removed. Values keep their identity (names, uses, graph outputs):
 * the makers of the results are redirected to write the old values. */
static ingot_status replace(ingot_rewrite *r)
{
    ingot_graph *graph = r->graph;
    int outputs[INGOT_REWRITE_RESULTS], n = 0;
    for (; n < r->node->n_outputs && n < INGOT_REWRITE_RESULTS; n++)
        outputs[n] = r->node->outputs[n];
    for (int i = 0; i < r->node->n_outputs; i++)
        if (ingot_rewrite_wants(r, i) && (i >= INGOT_REWRITE_RESULTS || r->result[i] == INGOT_NONE))
            return ingot_rewrite_refuse(r, INGOT_UNSUPPORTED, "one of its outputs");
    /* From here on the old outputs have no maker. */
    ingot_graph_remove_node(graph, r->index);
    for (int i = 0; i < n && !r->failed; i++) {
        const int value = r->result[i], maker = value == INGOT_NONE ? INGOT_NONE : graph->values[value].producer;
        if (outputs[i] == INGOT_NONE || maker == INGOT_NONE)
            continue;
        const ingot_node *node = graph->nodes[maker];
        for (int k = 0; k < node->n_outputs && !r->failed; k++)
            if (node->outputs[k] == value)
                r->failed |= !ingot_node_set_output(graph, maker, k, outputs[i]) ||
                             !ingot_graph_replace(graph, value, outputs[i]);
    }
    return INGOT_OK;
}

/* Does the row speak of this node? An operator that the standard has from `version` on is replaced only below it. */
static bool applies(const struct row *row, const ingot_node *node)
{
    return !strcmp(row->op_type, node->op_type) &&
           (!strcmp(node->domain, "com.microsoft") ||
            (!*node->domain && row->standard_too && node->version < row->version));
}

/* Replace every node that a row of the table knows; *n_rewritten counts them. Nodes that are appended on the way are
 * standard ones and are not visited. A node without input or output is INVALID. */
ingot_status ingot_microsoft_rewrite(ingot_graph *graph, int *n_rewritten, ingot_error *error)
{
    const int n_nodes = graph->n_nodes;
    ingot_status status = INGOT_OK;
    for (int i = 0; i < n_nodes && !status; i++) {
        ingot_node *node = graph->nodes[i];
        for (size_t k = 0; k < sizeof rows / sizeof *rows && node->op_type && !status; k++) {
            if (!applies(&rows[k], node))
                continue;
            ingot_rewrite r = {.graph = graph, .node = node, .index = i, .version = rows[k].version, .error = error};
            for (int o = 0; o < INGOT_REWRITE_RESULTS; o++)
                r.result[o] = INGOT_NONE;
            if (node->n_inputs < 1 || !node->n_outputs || node->inputs[0] == INGOT_NONE)
                return ingot_rewrite_refuse(&r, INGOT_INVALID, "it has no input or output");
            status = rows[k].rewrite(&r);
            if (!status && rows[k].rewrite != rename_node && !r.failed)
                status = replace(&r);
            if (!status && r.failed)
                status = ingot_out_of_memory(error);
            ++*n_rewritten;
            break;
        }
    }
    return status;
}
