/* fuzz_einsum.c - Einsum's equations. A byte for the number of operands, one for the rank of each, one for each size,
 * and the rest is the equation. */
#include "tests/fuzz/fuzz.h"

#include <stdlib.h>
#include <string.h>

/* Bytes that are not there count as rank 0 and size 1, and any rest, even none, is an equation. Ranks are up to 6
 * and sizes up to 3, so that most equations that fit their operands run in no time. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    int ranks[FUZZ_MAX_INPUTS];
    int64_t sizes[FUZZ_MAX_INPUTS][INGOT_MAX_RANK];
    Onnx__NodeProto node = ONNX__NODE_PROTO__INIT;
    Onnx__AttributeProto equation = ONNX__ATTRIBUTE_PROTO__INIT, *attributes = &equation;
    if (!size)
        return 0;
    const size_t n_inputs = 1 + data[0] % 3;
    size_t at = 1, n_bytes;
    /* the operands' shapes */
    for (size_t i = 0; i < n_inputs; i++) {
        ranks[i] = at < size ? data[at++] % 7 : 0;
        for (int d = 0; d < ranks[i]; d++)
            sizes[i][d] = at < size ? data[at++] % 4 : 1;
    }
    /* the rest as the node's attribute */
    equation.name = "equation";
    equation.has_type = equation.has_s = true;
    equation.type = ONNX__ATTRIBUTE_PROTO__ATTRIBUTE_TYPE__STRING;
    equation.s.len = size - at;
    equation.s.data = (uint8_t *)(uintptr_t)(data + at);
    node.op_type = "Einsum";
    node.n_attribute = 1;
    node.attribute = &attributes;
    uint8_t *model = fuzz_one_node(&node, n_inputs, ranks, sizes, &n_bytes);
    fuzz_run_model(model, n_bytes, false, 4);
    free(model);
    return 0;
}
