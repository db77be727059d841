/* cpu_other.c - processors that have no kernels of their own run the plain C build. */
#include "ops/kernels/cpu.h"

extern const ingot_kernels ingot_kernels_baseline;

const ingot_isa_level ingot_isas[] = {
    { &ingot_kernels_baseline, NULL },
    { NULL, NULL },
};

bool ingot_cpu_splits_wide(void) { return false; }
