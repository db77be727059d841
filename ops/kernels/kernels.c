/* kernels.c - which table of kernels to use. INGOT_ISA is read anew each time; the processor is asked once, as in a
 * virtual machine its answers take longer than loading a small model. */
#include "ops/kernels/kernels.h"

#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "ops/kernels/cpu.h"

/* How many of ingot_isas INGOT_ISA lets through. */
static int count_allowed(void)
{
    const char *cap = getenv("INGOT_ISA");
    int n = 0;

    for (; ingot_isas[n].kernels; n++)
        if (cap && !strcmp(cap, ingot_isas[n].kernels->isa))
            return n + 1;
    return n;
}

/* Can this processor run the level? Whoever asks first keeps the answer; it is the same for all who do at once. */
static bool is_usable(int level)
{
    enum { UNKNOWN, NO, YES, MAX_LEVELS = 16 };
    static _Atomic signed char answers[MAX_LEVELS];
    int answer = atomic_load_explicit(&answers[level], memory_order_relaxed);

    if (answer == UNKNOWN) {
        answer = !ingot_isas[level].usable || ingot_isas[level].usable() ? YES : NO;
        atomic_store_explicit(&answers[level], (signed char)answer, memory_order_relaxed);
    }
    return answer == YES;
}

/* The tables that this processor can run and INGOT_ISA allows, from the plainest on; NULL past the last. */
const ingot_kernels *ingot_kernels_at(int index)
{
    const int allowed = count_allowed();
    int usable = 0;

    for (int i = 0; i < allowed; i++)
        if (is_usable(i))
            if (usable++ == index)
                return ingot_isas[i].kernels;
    return NULL;
}

/* From the fastest down. The plainest is usable everywhere, so there always is one. */
const ingot_kernels *ingot_kernels_best(void)
{
    int i = count_allowed() - 1;

    while (!is_usable(i))
        i--;
    return ingot_isas[i].kernels;
}

bool ingot_wide_is_split(void)
{
    enum { UNKNOWN, WHOLE, SPLIT };
    static _Atomic signed char kept;
    int answer = atomic_load_explicit(&kept, memory_order_relaxed);

    if (answer == UNKNOWN) {
        const char *told = getenv("INGOT_WIDE");
        const bool whole = told && !strcmp(told, "whole"), split = told && !strcmp(told, "split");
        answer = split || (!whole && ingot_cpu_splits_wide()) ? SPLIT : WHOLE;
        atomic_store_explicit(&kept, (signed char)answer, memory_order_relaxed);
    }
    return answer == SPLIT;
}
