/* region_openmp.c - regions by OpenMP. A child that was forked after a parallel region hangs in its own first one, and
 * within another region (of the caller's program) a second one would get no threads: both stay on one thread. */
#include "engine/core/region.h"

#include <omp.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <unistd.h>

static _Atomic pid_t openmp_process; /* the process that entered OpenMP first; 0: none yet */

/* May this process use OpenMP? Not in a child whose parent used it before the fork. The first process that asks is
 * remembered for good. */
static bool openmp_allowed(void)
{
    const pid_t self = getpid();
    pid_t first = 0;
    return atomic_compare_exchange_strong(&openmp_process, &first, self) || first == self;
}

/* OpenMP has no bound of its own that could be asked for without starting threads. */
int ingot_region_most(int wanted) { return wanted; }

/* OpenMP may give fewer threads than asked for. */
void ingot_region_run(int n_threads, ingot_region_fn *function, void *argument)
{
    if (omp_in_parallel() || !openmp_allowed()) {
        function(argument, 0, 1);
        return;
    }
    #pragma omp parallel num_threads(n_threads)
    function(argument, omp_get_thread_num(), omp_get_num_threads());
}
