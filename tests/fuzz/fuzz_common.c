/* fuzz_common.c - running whatever bytes a fuzzer came up with, and making models of one node. */
#include "tests/fuzz/fuzz.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Small enough that thousands of inputs a second can be tried. */
enum { MEMORY_BYTES = 64 << 20, MAX_NODES = 2000, MAX_INPUT_BYTES = 1 << 20 };
static const double max_seconds = 0.5;

/* abort(), so that fuzzers and sanitizers see it as a crash and keep the input. */
void fuzz_fail(const char *condition, const char *file, int line)
{
    fprintf(stderr, "%s:%d: not so: %s\n", file, line, condition);
    abort();
}

/* Zeros, and small numbers where it is float; free dimensions are 2. False where the model says too little or asks
 * for too much; nothing is allocated then. */
static bool make_input(const ingot_value_info *info, ingot_tensor *tensor)
{
    *tensor = (ingot_tensor){.dtype = info->dtype, .kind = (uint8_t)info->kind, .rank = info->rank};
    if (info->kind != INGOT_TENSOR || info->rank < 0 || info->dtype == INGOT_STRING ||
        !ingot_dtype_size_bytes(info->dtype))
        return false;
    /* sizes come from the model: each is bounded before it is multiplied */
    int64_t bytes = (int64_t)ingot_dtype_size_bytes(info->dtype);
    for (int i = 0; i < info->rank; i++) {
        tensor->shape[i] = info->shape[i] < 0 ? 2 : info->shape[i];
        if (tensor->shape[i] > MAX_INPUT_BYTES || (bytes *= tensor->shape[i]) > MAX_INPUT_BYTES)
            return false;
    }
    if (ingot_tensor_alloc(tensor, NULL))
        return false;
    if (info->dtype == INGOT_FLOAT)
        for (int64_t i = 0; i < ingot_tensor_count(tensor); i++)
            ((float *)tensor->data)[i] = 0.25f * (float)(i % 7 - 3);
    return true;
}

/* The outputs' bytes one after the other, plain tensors alone. The caller frees them. */
static uint8_t *collect_outputs(const ingot_model *model, const ingot_session *session, size_t *n)
{
    uint8_t *all = NULL;
    *n = 0;
    for (size_t i = 0; i < ingot_model_n_outputs(model); i++) {
        const ingot_tensor *t = ingot_session_output(session, i);
        FUZZ_CHECK(t);
        if (t->kind != INGOT_TENSOR || t->dtype == INGOT_STRING)
            continue;
        const size_t bytes = (size_t)ingot_tensor_count(t) * ingot_dtype_size_bytes(t->dtype);
        all = realloc(all, *n + bytes + 1);
        FUZZ_CHECK(all);
        if (bytes)
            memcpy(all + *n, t->data, bytes);
        *n += bytes;
    }
    return all;
}

/* Two runs, as the second one takes other ways than the first (it plans nothing and finds its memory made). The
 * outputs' bytes are the caller's to free, *n of them; NULL where either run does not end well, which must have a
 * line. Returns the status. */
static ingot_status run_session(ingot_model *model, int n_threads, const ingot_tensor *inputs, size_t n_inputs,
                                uint8_t **outputs, size_t *n)
{
    const ingot_session_options options = {.size_bytes = sizeof options,
                                           .n_threads = n_threads,
                                           .max_memory_bytes = MEMORY_BYTES,
                                           .timeout_s = max_seconds};
    ingot_session *session;
    ingot_error error = {0};
    *outputs = NULL;
    ingot_status status = ingot_session_create(model, &options, &session, &error);
    for (size_t i = 0; i < n_inputs && !status; i++)
        status = ingot_session_set_input(session, ingot_model_input(model, i)->name, &inputs[i], &error);
    for (int run = 0; run < 2 && !status; run++)
        status = ingot_session_run(session, &error);
    FUZZ_CHECK(!status || *error.message);
    if (!status)
        *outputs = collect_outputs(model, session, n);
    ingot_session_free(session);
    return status;
}

/* Operators whose outputs differ from session to session. A search for their names in the bytes is enough: it only
 * keeps a comparison from being made. */
static bool is_random(const void *data, size_t size)
{
    static const char *const names[] = {"Random", "Multinomial", "Bernoulli", "Dropout"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        if (memmem(data, size, names[i], strlen(names[i])))
            return true;
    return false;
}

/* A model whose inputs cannot all be made up is loaded and freed, and not run. */
ingot_status fuzz_run_model(const void *data, size_t size, bool passes, int n_threads)
{
    const char *const all[] = {"all", NULL};
    const ingot_model_options options = {.size_bytes = sizeof options,
                                         .max_memory_bytes = MEMORY_BYTES,
                                         .max_nodes = MAX_NODES,
                                         .timeout_s = max_seconds,
                                         .disabled_passes = passes ? NULL : all};
    ingot_model *model;
    ingot_error error = {0};
    ingot_tensor inputs[FUZZ_MAX_INPUTS];
    size_t n_inputs = 0, n_one = 0, n_many = 0;
    ingot_status status = ingot_model_load_memory(data, size, &options, &model, &error);
    if (status) {
        FUZZ_CHECK(*error.message && !model);
        return status;
    }
    /* as many inputs as can be made up, then the runs if that is all of them */
    const size_t n_wanted = ingot_model_n_inputs(model);
    while (n_inputs < n_wanted && n_inputs < FUZZ_MAX_INPUTS &&
           make_input(ingot_model_input(model, n_inputs), &inputs[n_inputs]))
        n_inputs++;
    if (n_inputs == n_wanted) {
        uint8_t *one, *many = NULL;
        status = run_session(model, 1, inputs, n_inputs, &one, &n_one);
        if (!status && n_threads > 1)
            run_session(model, n_threads, inputs, n_inputs, &many, &n_many);
        if (many && !is_random(data, size)) /* where time ran out once there is nothing to compare */
            FUZZ_CHECK(n_one == n_many && (!n_one || !memcmp(one, many, n_one)));
        free(one);
        free(many);
    }
    while (n_inputs)
        ingot_tensor_free(&inputs[--n_inputs]);
    ingot_model_free(model);
    return status;
}

/* The class of an end that the model alone decides; limits of memory and time are reached earlier on one of two ways.
 */
static int verdict(ingot_status status)
{
    return status == INGOT_LIMIT || status == INGOT_CANCELLED ? -1 : (int)status;
}

/* The statuses are told where they differ: they are what has to be looked into. */
void fuzz_same_verdict(const void *data, size_t size, int n_threads)
{
    const ingot_status with = fuzz_run_model(data, size, true, n_threads);
    const ingot_status without = fuzz_run_model(data, size, false, n_threads);
    if (verdict(with) >= 0 && verdict(without) >= 0 && with != without) {
        fprintf(stderr, "with passes %s, without %s\n", ingot_status_name(with), ingot_status_name(without));
        FUZZ_CHECK(with == without);
    }
}

/* Everything lies on the stack until it is packed, as protobuf-c's messages are linked by pointers. */
uint8_t *fuzz_one_node(Onnx__NodeProto *node, size_t n_inputs, const int *ranks, int64_t sizes[][INGOT_MAX_RANK],
                       size_t *size_bytes)
{
    static char *names[] = {"x0", "x1", "x2", "x3"}, *output = "y";
    Onnx__ModelProto model = ONNX__MODEL_PROTO__INIT;
    Onnx__GraphProto graph = ONNX__GRAPH_PROTO__INIT;
    Onnx__OperatorSetIdProto opset = ONNX__OPERATOR_SET_ID_PROTO__INIT, *opsets = &opset;
    Onnx__ValueInfoProto inputs[FUZZ_MAX_INPUTS], result = ONNX__VALUE_INFO_PROTO__INIT;
    Onnx__ValueInfoProto *input_list[FUZZ_MAX_INPUTS], *results = &result;
    Onnx__TypeProto types[FUZZ_MAX_INPUTS];
    Onnx__TypeProto__Tensor tensors[FUZZ_MAX_INPUTS];
    Onnx__TensorShapeProto shapes[FUZZ_MAX_INPUTS];
    Onnx__TensorShapeProto__Dimension dims[FUZZ_MAX_INPUTS][INGOT_MAX_RANK],
        *dim_lists[FUZZ_MAX_INPUTS][INGOT_MAX_RANK];
    /* each input: a value of a tensor type with known sizes */
    for (size_t i = 0; i < n_inputs; i++) {
        onnx__value_info_proto__init(input_list[i] = &inputs[i]);
        onnx__type_proto__init(inputs[i].type = &types[i]);
        onnx__type_proto__tensor__init(types[i].tensor_type = &tensors[i]);
        onnx__tensor_shape_proto__init(tensors[i].shape = &shapes[i]);
        inputs[i].name = names[i];
        types[i].value_case = ONNX__TYPE_PROTO__VALUE_TENSOR_TYPE;
        tensors[i].has_elem_type = true;
        tensors[i].elem_type = INGOT_FLOAT;
        shapes[i].n_dim = (size_t)ranks[i];
        shapes[i].dim = dim_lists[i];
        for (int d = 0; d < ranks[i]; d++) {
            onnx__tensor_shape_proto__dimension__init(dim_lists[i][d] = &dims[i][d]);
            dims[i][d].value_case = ONNX__TENSOR_SHAPE_PROTO__DIMENSION__VALUE_DIM_VALUE;
            dims[i][d].dim_value = sizes[i][d];
        }
    }
    /* the node's lists, the graph around it, and the model around that */
    result.name = output;
    node->n_input = n_inputs;
    node->input = names;
    node->n_output = 1;
    node->output = &output;
    graph.n_node = 1;
    graph.node = &node;
    graph.n_input = n_inputs;
    graph.input = input_list;
    graph.n_output = 1;
    graph.output = &results;
    opset.has_version = true;
    opset.version = 21;
    model.has_ir_version = true;
    model.ir_version = 10;
    model.graph = &graph;
    model.n_opset_import = 1;
    model.opset_import = &opsets;
    uint8_t *bytes = malloc(*size_bytes = onnx__model_proto__get_packed_size(&model));
    FUZZ_CHECK(bytes);
    onnx__model_proto__pack(&model, bytes);
    return bytes;
}
