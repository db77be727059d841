/* cpu_aarch64.c - every AArch64 processor has NEON. */
#include "ops/kernels/cpu.h"

extern const ingot_kernels ingot_kernels_baseline, ingot_kernels_neon;

const ingot_isa_level ingot_isas[] = {
    { &ingot_kernels_baseline, NULL },
    { &ingot_kernels_neon, NULL },
    { NULL, NULL },
};

bool ingot_cpu_splits_wide(void) { return false; }
