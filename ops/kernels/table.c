/* table.c - this build's kernels in one struct. */
#include "ops/kernels/isa.h"

extern const ingot_kernels INGOT_FN(ingot_kernels);

const ingot_kernels INGOT_FN(ingot_kernels) = {
    .isa = INGOT_ISA_NAME,
    .lanes = VF32_LANES,
    .gemm_rows = GEMM_MR,
    .conv_pixels = {CONV_PX1, CONV_PX2},
#define X(type, name, params) .name = INGOT_FN(name),
    INGOT_KERNELS(X)
#undef X
};
