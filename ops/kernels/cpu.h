/* cpu.h - the instruction sets of this architecture. One of cpu_*.c is built, as meson.build chooses. */
#ifndef INGOT_OPS_KERNELS_CPU_H
#define INGOT_OPS_KERNELS_CPU_H

#include <stdbool.h>

#include "ops/kernels/kernels.h"

typedef struct ingot_isa_level {
    const ingot_kernels *kernels;
    bool (*usable)(void);        /* by processor and operating system; NULL: always */
} ingot_isa_level;

extern const ingot_isa_level ingot_isas[];    /* slowest first; ends with kernels NULL */

/* Does the processor take two turns, in units of 256 bits, for what it is told to do with 512? */
bool ingot_cpu_splits_wide(void);

#endif
