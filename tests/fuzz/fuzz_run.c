/* fuzz_run.c - load, plan and run, with limits, with passes and without. The last byte chooses the number of threads
 * that the second run has beside the first run's one, so that a model file is an input as it is. */
#include "tests/fuzz/fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const unsigned choice = size ? data[size - 1] : 0;
    fuzz_same_verdict(data, size, choice & 1 ? 1 : 4);
    return 0;
}
