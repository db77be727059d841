/* region_none.c - a build without OpenMP: one thread. */
#include "engine/core/region.h"

int ingot_region_most(int wanted)
{
    (void)wanted;
    return 1;
}

void ingot_region_run(int n_threads, ingot_region_fn *function, void *argument)
{
    (void)n_threads;
    function(argument, 0, 1);
}
