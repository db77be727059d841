/* table.c - this build's kernels in one struct. A build of the integer products alone takes all others from the build
 * INGOT_BASE. */
#include "ops/kernels/isa.h"

#ifndef INGOT_BASE
#define INGOT_BASE INGOT_ISA
#endif

#define INGOT_BASE_FN(name) INGOT_JOIN(name, INGOT_BASE)

extern const ingot_kernels INGOT_FN(ingot_kernels);

#define X(type, name, params) type INGOT_BASE_FN(name) params;
INGOT_KERNELS_COMMON(X)
#undef X

const ingot_kernels INGOT_FN(ingot_kernels) = {
    .isa = INGOT_ISA_NAME,
    .lanes = VF32_LANES,
    .gemm_rows = GEMM_MR,
    .dot_bytes = DOT_BYTES,
#define X(type, name, params) .name = INGOT_BASE_FN(name),
    INGOT_KERNELS_COMMON(X)
#undef X
#define X(type, name, params) .name = INGOT_FN(name),
    INGOT_KERNELS_DOT(X)
#undef X
};
