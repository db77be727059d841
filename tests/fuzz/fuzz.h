/* fuzz.h - what the fuzz targets share. Each target is a file with LLVMFuzzerTestOneInput(): libFuzzer's entry, which
 * AFL++ takes too, and which replay.c calls for the kept corpus in ordinary builds. A finding is a crash, a sanitizer's
 * report, or an assertion here. */
#ifndef INGOT_TESTS_FUZZ_H
#define INGOT_TESTS_FUZZ_H

#include "engine/ingot.h"
#include "onnx/reader.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
size_t LLVMFuzzerMutate(uint8_t *data, size_t size, size_t max_size); /* libFuzzer's own, for mutators to use */
size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t size, size_t max_size, unsigned seed);

/* A failed check ends the process, so that the fuzzer keeps the input. It stays in every build. */
#define FUZZ_CHECK(condition) ((condition) ? (void)0 : fuzz_fail(#condition, __FILE__, __LINE__))
void fuzz_fail(const char *condition, const char *file, int line);

enum { FUZZ_MAX_INPUTS = 4 };

/* Load a model from bytes with limits of memory, nodes and time, run it on made-up inputs and free all. Where both runs
 * end well, the bits of the outputs on 1 and on `n_threads` threads must be the same. Returns what came of it on one.
 */
ingot_status fuzz_run_model(const void *data, size_t size, bool passes, int n_threads);

/* The same with passes and without, which must come to the same end where no limit is in the way. */
void fuzz_same_verdict(const void *data, size_t size, int n_threads);

/* A model of one node with n_inputs float inputs of the given ranks and sizes, serialized; free() it. */
uint8_t *fuzz_one_node(Onnx__NodeProto *node, size_t n_inputs, const int *ranks, int64_t sizes[][INGOT_MAX_RANK],
                       size_t *size_bytes);

#endif
