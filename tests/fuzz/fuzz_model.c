/* fuzz_model.c - the model reader: bytes to a graph, with everything but the passes. */
#include "tests/fuzz/fuzz.h"

/* A model or a line, and a status that a file can lead to: running out of anything else would be a mistake of ours. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const ingot_model_options options = {
        .size_bytes = sizeof options, .max_memory_bytes = 256 << 20, .no_passes = true, .allow_unsupported = true};
    ingot_model *model;
    ingot_error error = {0};
    const ingot_status status = ingot_model_load_memory(data, size, &options, &model, &error);
    FUZZ_CHECK(status ? !model && *error.message : model != NULL);
    FUZZ_CHECK(!status || status == INGOT_INVALID || status == INGOT_UNSUPPORTED || status == INGOT_LIMIT);
    ingot_model_free(model);
    return 0;
}
