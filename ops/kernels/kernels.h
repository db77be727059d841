/* kernels.h - every kernel, once. The list makes the struct below, the table of each instruction set, and the tests.
 *
 * Kernels know nothing of graphs, nodes, allocation or threads: a kernel that is worth splitting takes a range of work
 * items, and its result does not depend on how the caller cuts the ranges. Pointers to float need only the alignment of
 * float. A buffer written to may not overlap one read from, unless the kernel's comment allows it.
 *
 * To add a kernel: write INGOT_FN(name) in a file of this folder, list it under its file here, and give it a check in
 * tests/kernels. */
#ifndef INGOT_OPS_KERNELS_KERNELS_H
#define INGOT_OPS_KERNELS_KERNELS_H

#include <stddef.h>
#include <stdint.h>

/* X(result type, name, parameters), grouped by file. */
#define INGOT_KERNELS(X) \
    /* peak.c */ \
    X(float, fma_peak_f32, (int64_t iterations, int64_t *flops))

typedef struct ingot_kernels {
    const char *isa;         /* "baseline", "avx2", "avx512" or "neon" */
    int lanes;               /* floats in a vector of natural width */
#define X(type, name, params) type (*name) params;
    INGOT_KERNELS(X)
#undef X
} ingot_kernels;

/* The fastest table that this processor can run and the environment variable INGOT_ISA allows. Its value is the name of
 * the highest instruction set wanted; a name that this build does not know limits nothing. Never NULL; any thread. */
const ingot_kernels *ingot_kernels_best(void);

/* The tables to choose from, slowest first: those this processor can run and INGOT_ISA allows. NULL past the last. */
const ingot_kernels *ingot_kernels_at(int index);

#endif
