/* team.h - the threads of one run. One region of threads (OpenMP's parallel region) spans the run: thread 0 walks the
 * steps, the others wait for work that ingot_parallel() hands out. With one thread OpenMP is not entered. */
#ifndef INGOT_CORE_TEAM_H
#define INGOT_CORE_TEAM_H

#include "engine/core/status.h"

typedef struct ingot_team ingot_team;

/* Part [begin, end) of the work, on thread `thread` of the team. Which parts a thread gets changes nothing in the
 * result: every output element is computed by one call, in an order that depends on the shape alone. */
typedef void ingot_task(void *argument, int64_t begin, int64_t end, int thread);

/* n_threads 0: ingot_default_threads(). The threads themselves start with the first run. NULL when memory is out. */
ingot_team *ingot_team_create(int n_threads);
void ingot_team_free(ingot_team *team);
int ingot_team_size(const ingot_team *team);

/* The smaller of the affinity mask's and the cgroup quota's processors, at least 1. */
int ingot_default_threads(void);

/* Call body(argument) with the team's threads standing by; ingot_parallel() may be used inside. */
void ingot_team_run(ingot_team *team, void (*body)(void *), void *argument);

/* The monotonic clock in nanoseconds: only differences count. */
uint64_t ingot_now_ns(void);

/* A stretch of time in which a thread worked on one call of ingot_parallel(); times of the monotonic clock. */
typedef struct ingot_team_span {
    uint64_t start_ns, end_ns;
    int64_t mark;              /* that was set when it began */
} ingot_team_span;

/* Record such stretches from now on; false when memory is out. Not while the team runs. */
bool ingot_team_record(ingot_team *team);
void ingot_team_forget(ingot_team *team);             /* drop what was recorded so far */
void ingot_team_mark(ingot_team *team, int64_t mark); /* by the thread that calls ingot_parallel(), before it does */
/* What `thread` recorded, in order of time; the end is left out when there was too much. *n is 0 where nothing was. */
const ingot_team_span *ingot_team_spans(const ingot_team *team, int thread, size_t *n);

/* When work may be given up: *cancel becomes true (NULL: never), or the monotonic clock passes deadline_ns (0:
 * never). */
void ingot_team_watch(ingot_team *team, const _Atomic bool *cancel, uint64_t deadline_ns);
bool ingot_team_cancelled(const ingot_team *team);

/* The calls of ingot_parallel() from now on take about work_us microseconds together. Where that is long they are
 * split into more ranges, and ranges that have not begun are left out once the team is cancelled: only for tasks whose
 * results nobody follows as indices. 0: none of this. By the thread that calls ingot_parallel(). */
void ingot_team_expect(ingot_team *team, double work_us);

/* What a middling machine writes in a microsecond to memory that the system has just given. */
#define INGOT_FRESH_BYTES_IN_US 1e3

/* Have the system clear the pages of memory that may be new, where it is much: the first write to one waits for that,
 * on some virtual machines 8 ms for 2 MiB, and whoever writes many in a row cannot be given up. Ends early once the
 * team is cancelled. What the memory holds stays. Returns whether it was much. */
bool ingot_team_touch(ingot_team *team, void *data, size_t size_bytes);

/* Split [0, n) into ranges of at least `grain` items and run the task on them; returns when all are done. Runs on the
 * calling thread alone outside ingot_team_run() and for n < 2 * grain. Not to be called from within a task. */
void ingot_parallel(ingot_team *team, int64_t n, int64_t grain, ingot_task *task, void *argument);

/* The same for work of about work_us microseconds that may be given up, as for ingot_team_expect(), which is 0
 * afterwards. False, with ranges left out, once the team is cancelled. */
bool ingot_parallel_long(ingot_team *team, int64_t n, int64_t grain, ingot_task *task, void *argument, double work_us);

/* How many threads ingot_parallel() has just now. Its task may let threads wait for each other at a barrier when n is
 * at most that many and the grain is 1, so that each item has a thread of its own. */
int ingot_team_active(const ingot_team *team);

typedef struct ingot_barrier {
    _Atomic uint32_t arrived, round;     /* zero at first */
} ingot_barrier;

/* Returns when `parties` threads have called it. What they wrote before is then seen by all. */
void ingot_barrier_wait(ingot_barrier *barrier, uint32_t parties);

#endif
