/* registry.c - every operator that Ingot has, by (domain, name, first opset version).
 * To add a family: put its name into INGOT_OP_FAMILIES and its file into ops/meson.build. */
#include "ops/op.h"

#include <string.h>

#define INGOT_OP_FAMILIES(X) \
    X(arithmetic) \
    X(cast) \
    X(channel_norm) \
    X(gather_channels) \
    X(compare) \
    X(dropout) \
    X(logic) \
    X(quantize) \
    X(grouped_attention) \
    X(matmul_nbits) \
    X(quantized_concat) \
    X(quantized_conv) \
    X(quantized_elementwise) \
    X(quantized_matmul) \
    X(quantized_pool) \
    X(strings) \
    X(tfidf) \
    X(string_normalizer) \
    X(regex) \
    X(ml_features) \
    X(ml_label_encoder) \
    X(ml_linear) \
    X(ml_maps) \
    X(ml_svm) \
    X(ml_trees) \
    X(power) \
    X(swiglu) \
    X(unary) \
    X(unary_typed) \
    X(where) \
    X(control) \
    X(identity) \
    X(image_decoder) \
    X(batch_norm) \
    X(blocked) \
    X(lp_normalization) \
    X(normalization) \
    X(pool) \
    X(softmax) \
    X(recurrent) \
    X(sequence) \
    X(conv) \
    X(conv_pair) \
    X(conv_pool) \
    X(matmul) \
    X(concat) \
    X(gather) \
    X(generate) \
    X(pad) \
    X(select) \
    X(search) \
    X(rearrange) \
    X(nms) \
    X(cumulative) \
    X(reduce) \
    X(scatter) \
    X(reshape) \
    X(slice) \
    X(transpose) \
    X(resize) \
    X(grid_sample) \
    X(roi) \
    X(attention) \
    X(flex_attention) \
    X(linear_attention) \
    X(rotary) \
    X(random_numbers) \
    X(training) \
    X(loss) \
    X(det) \
    X(signal) \
    X(spectrum) \
    X(col2im) \
    X(deform_conv) \
    X(einsum)

#define X(family) extern const ingot_op ingot_ops_##family[];
INGOT_OP_FAMILIES(X)
#undef X

/* The tables of all families, each ended by a record without a name. */
static const ingot_op *const families[] = {
#define X(family) ingot_ops_##family,
    INGOT_OP_FAMILIES(X)
#undef X
};

enum { N_FAMILIES = sizeof families / sizeof *families };

/* The default domain has two spellings, "" and "ai.onnx"; a record without a domain belongs to it. */
static bool same_domain(const ingot_op *op, const char *domain)
{
    return !strcmp(op->domain ? op->domain : "", strcmp(domain, "ai.onnx") ? domain : "");
}

/* The record for a node: of those for the operator that reach to `version`, the newest. NULL when there is none;
 * *known then tells whether the operator exists at another version, for a better message. */
const ingot_op *ingot_op_find(const char *domain, const char *op_type, int version, bool *known)
{
    const ingot_op *best = NULL;
    *known = false;
    for (size_t f = 0; f < N_FAMILIES; f++)
        for (const ingot_op *op = families[f]; op->op_type; op++) {
            if (*op->op_type != *op_type || strcmp(op->op_type, op_type) || !same_domain(op, domain))
                continue;
            *known = true;
            if (op->since <= version && (!op->until || version <= op->until) && (!best || op->since > best->since))
                best = op;
        }
    return best;
}

ingot_status ingot_op_check_inputs(const ingot_op *op, const ingot_node *node, ingot_error *error)
{
    if (node->n_inputs < op->min_inputs || node->n_inputs > op->max_inputs)
        return ingot_fail(error, INGOT_INVALID, "node '%.80s' (%.80s): %d inputs, expected %d to %d", node->name,
                          node->op_type, node->n_inputs, op->min_inputs, op->max_inputs);
    /* Of a variadic operator none may be left out, but for the first ones of Loop and Scan. */
    const bool loops = !strcmp(node->op_type, "Loop") || !strcmp(node->op_type, "Scan");
    const int n_needed = loops ? 0 : op->max_inputs == INGOT_MANY ? node->n_inputs : op->min_inputs;
    for (int i = 0; i < n_needed; i++)
        if (node->inputs[i] == INGOT_NONE)
            return ingot_fail(error, INGOT_INVALID, "node '%.80s' (%.80s): input %d is left out", node->name,
                              node->op_type, i);
    return INGOT_OK;
}

/* Types that input i may have, as bits; 0: the type of input 0, which is so from the first 0 of the record on. The
 * last of the six sets also serves all further inputs. */
uint64_t ingot_op_types(const ingot_op *op, int i)
{
    uint64_t types = op->types[0];
    for (int k = 1; k <= MIN(i, 5) && types; k++)
        types = op->types[k];
    return types;
}

/* All records in order, for listings; NULL past the end. */
const ingot_op *ingot_op_at(size_t index)
{
    for (size_t f = 0; f < N_FAMILIES; f++)
        for (const ingot_op *op = families[f]; op->op_type; op++)
            if (index-- == 0)
                return op;
    return NULL;
}
