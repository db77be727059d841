/* region.h - several threads for a while. One of region_*.c is built, as meson.build chooses: with OpenMP, or without,
 * where everything runs on the calling thread. */
#ifndef INGOT_CORE_REGION_H
#define INGOT_CORE_REGION_H

/* Called once on each of n_threads threads; number 0 is the calling one. */
typedef void ingot_region_fn(void *argument, int thread, int n_threads);

/* Threads that a region can have: at most `wanted`, 1 where there are no regions. */
int ingot_region_most(int wanted);

/* Call `function` on n_threads threads (perhaps fewer: it is told) and return when all are done. Where no region can be
 * opened just now, it is called on the calling thread alone. */
void ingot_region_run(int n_threads, ingot_region_fn *function, void *argument);

#endif
