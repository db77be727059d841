/* kernels.c - which table of kernels to use, asked anew each time: nothing is cached, so nothing needs a lock. */
#include "ops/kernels/kernels.h"

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

/* The tables that this processor can run and INGOT_ISA allows, from the plainest on; NULL past the last. */
const ingot_kernels *ingot_kernels_at(int index)
{
    const int allowed = count_allowed();
    int usable = 0;

    for (int i = 0; i < allowed; i++)
        if (!ingot_isas[i].usable || ingot_isas[i].usable())
            if (usable++ == index)
                return ingot_isas[i].kernels;
    return NULL;
}

/* From the fastest down, so that the processor is asked once as a rule: in a virtual machine its answers take long. The
 * plainest is usable everywhere, so there always is one. */
const ingot_kernels *ingot_kernels_best(void)
{
    int i = count_allowed() - 1;

    while (ingot_isas[i].usable && !ingot_isas[i].usable())
        i--;
    return ingot_isas[i].kernels;
}
