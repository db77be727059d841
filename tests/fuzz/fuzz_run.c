/* fuzz_run.c - load, plan and run, with limits. The last byte chooses passes and the number of threads, so that a model
 * file is an input as it is. */
#include "tests/fuzz/fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const unsigned choice = size ? data[size - 1] : 0;
    fuzz_run_model(data, size, choice & 1, choice & 2 ? 4 : 2);
    return 0;
}
