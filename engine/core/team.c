/* team.c - work sharing inside one region of threads (region.h).
 *
 * Thread 0 publishes a job (task, argument, size) with a new generation. Each thread has a share of the chunks and
 * claims them in order by compare-and-swap: what lies side by side stays in one thread's cache. Then it helps the
 * others, so a thread that was not scheduled in time costs nothing but its share. A claim fails when the generation has
 * moved on, and shares are closed before a job's parameters change, so that parameters read too late are never used.
 * Waiting threads spin for a short while, yield, and sleep in the end: one that spins for long may keep the thread that
 * it waits for from a processor.
 *
 * libgomp ends the process when it cannot create a thread, so ingot_team_create() tries first whether that many threads
 * can be had. */
#include "engine/core/team.h"

#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "engine/core/cgroup.h"
#include "engine/core/region.h"
#include "engine/core/tensor.h"

/* A share is claimed in at least FEWEST_CLAIMS. SPINS are pauses before a waiting thread yields, YIELDS before it
 * sleeps; MAX_SPANS is what one thread can record in a run. */
enum {
    CHUNKS_PER_THREAD = 16,
    FEWEST_CLAIMS = 4,
    SPINS = 2000,
    YIELDS = 1000,
    MAX_THREADS = 256,
    MAX_SPANS = 16384,
};

/* Work that takes longer is split into pieces of that length, between which it can be cancelled; microseconds of the
 * planner, which holds machines for slow. */
enum { LONG_US = 10000, PIECE_US = 2000 };

/* What one thread recorded; only that thread writes it. */
typedef struct record {
    size_t n;
    ingot_team_span spans[MAX_SPANS];
} record;

/* What was claimed of one thread's share, in a cache line of its own. */
typedef struct share {
    _Alignas(64) _Atomic uint64_t word; /* generation << 32 | next chunk */
} share;

enum { CLOSED = UINT32_MAX / 2 }; /* more chunks than a job can have */

/* One job at a time: task to n_chunks are its parameters, written by thread 0 before the shares and `generation` are,
 * in the cache line that waiting threads look at. n_done counts chunks that are finished, in another line; stop ends
 * the helpers' loops. */
struct ingot_team {
    _Alignas(64) _Atomic uint32_t generation;
    _Atomic int n_shares;
    _Atomic(ingot_task *) task;
    _Atomic(void *) argument;
    _Atomic int64_t n;
    _Atomic uint32_t n_chunks;
    _Atomic bool stop;
    _Atomic int64_t n_pieces;   /* of long work; 0: it is not long, or must be done whole */
    int size;
    int active;                 /* threads of the region that is running; 0 outside */
    share *shares;              /* one for each thread */
    _Alignas(64) _Atomic uint32_t n_done;
    const _Atomic bool *cancel; /* does not change while a region runs, as deadline_ns */
    uint64_t deadline_ns;
    record **records;           /* one for each thread; NULL unless recording */
    _Atomic int64_t mark;
};

/* Wait a moment: pause at first, since the next job is usually microseconds away, then give the processor to
 * others. */
static void relax(unsigned *spins)
{
    if (++*spins < SPINS) {
#if defined(__x86_64__)
        __builtin_ia32_pause();
#endif
    } else if (*spins < SPINS + YIELDS) {
        sched_yield();
    } else {
        nanosleep(&(struct timespec){.tv_nsec = 20000}, NULL);
    }
}

/* Before a region, or between its jobs. */
void ingot_team_watch(ingot_team *team, const _Atomic bool *cancel, uint64_t deadline_ns)
{
    team->cancel = cancel;
    team->deadline_ns = deadline_ns;
}

/* Both hold from then on until the run ends. */
bool ingot_team_cancelled(const ingot_team *team)
{
    return (team->cancel && atomic_load_explicit(team->cancel, memory_order_relaxed)) ||
           (team->deadline_ns && ingot_now_ns() > team->deadline_ns);
}

/* Relaxed: the release of the next job publishes it along. */
void ingot_team_expect(ingot_team *team, double work_us)
{
    const int64_t n_pieces = work_us > LONG_US ? (int64_t)MIN(work_us / PIECE_US, 1e6) : 0;
    atomic_store_explicit(&team->n_pieces, n_pieces, memory_order_relaxed);
}

/* One clock for spans, the executor's times, deadlines and measurements, so that they can be compared. */
uint64_t ingot_now_ns(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

/* Border number i of `parts` nearly equal parts of n. */
static int64_t border(int64_t n, int64_t i, int64_t parts) { return n / parts * i + n % parts * i / parts; }

/* Claim and run chunks of generation `generation` until none is left, those of the own share first: several at once,
 * but fewer and fewer, so that threads end at about the same time. Returns whether there was any. Parameters are read
 * before the shares: if a new job is published meanwhile, those are closed or of its generation, and no claim succeeds.
 * The release of n_done makes the results visible to thread 0. */
static bool work(ingot_team *team, uint32_t generation, int thread)
{
    ingot_task *task = atomic_load_explicit(&team->task, memory_order_relaxed);
    void *argument = atomic_load_explicit(&team->argument, memory_order_relaxed);
    const int64_t n = atomic_load_explicit(&team->n, memory_order_relaxed);
    const int64_t n_chunks = atomic_load_explicit(&team->n_chunks, memory_order_relaxed);
    const int n_shares = atomic_load_explicit(&team->n_shares, memory_order_relaxed);
    const bool is_long = atomic_load_explicit(&team->n_pieces, memory_order_relaxed);
    const bool may_skip = is_long && n_chunks > team->size;
    uint32_t n_done = 0;
    atomic_thread_fence(memory_order_acquire);
    for (int i = 0; i < n_shares; i++) {
        const int owner = (thread + i) % n_shares;
        const int64_t end = border(n_chunks, owner + 1, n_shares), most = n_chunks / n_shares / FEWEST_CLAIMS;
        share *s = &team->shares[owner];
        uint64_t word = atomic_load_explicit(&s->word, memory_order_acquire);
        while (word >> 32 == generation && (uint32_t)word < end) {
            const int64_t chunk = (uint32_t)word;
            const int64_t count = is_long ? 1 : MAX(1, MIN(most, (end - chunk) / 2));
            if (!atomic_compare_exchange_weak(&s->word, &word, word + (uint64_t)count))
                continue;
            if (!may_skip || !ingot_team_cancelled(team))
                task(argument, border(n, chunk, n_chunks), border(n, chunk + count, n_chunks), thread);
            n_done += (uint32_t)count;
            word = atomic_load_explicit(&s->word, memory_order_acquire);
        }
    }
    if (n_done)
        atomic_fetch_add_explicit(&team->n_done, n_done, memory_order_release);
    return n_done > 0;
}

/* The same, taking the time where that is wanted. The mark is read first: once the work is done it may change. */
static void work_and_record(ingot_team *team, uint32_t generation, int thread)
{
    if (!team->records) {
        work(team, generation, thread);
        return;
    }
    record *r = team->records[thread];
    const int64_t mark = atomic_load_explicit(&team->mark, memory_order_relaxed);
    const uint64_t start = ingot_now_ns();
    if (work(team, generation, thread) && r->n < MAX_SPANS)
        r->spans[r->n++] = (ingot_team_span){start, ingot_now_ns(), mark};
}

/* Life of a helper thread during one run: take part in each new generation until the run ends. A generation that was
 * over before this thread looked costs one failed claim. */
static void wait_for_work(ingot_team *team, int thread)
{
    uint32_t seen = 0;
    unsigned spins = 0;
    while (!atomic_load_explicit(&team->stop, memory_order_acquire)) {
        const uint32_t generation = atomic_load_explicit(&team->generation, memory_order_acquire);
        if (generation == seen) {
            relax(&spins);
            continue;
        }
        seen = generation;
        spins = 0;
        work_and_record(team, generation, thread);
    }
}

/* Long work on one thread, in pieces. */
static void run_alone(ingot_team *team, int64_t n, int64_t n_chunks, ingot_task *task, void *argument)
{
    const int64_t size = (n + n_chunks - 1) / n_chunks;
    for (int64_t begin = 0; begin < n && !ingot_team_cancelled(team); begin += size)
        task(argument, begin, MIN(begin + size, n), 0);
}

/* Shares of generation `generation`: closed, or beginning with their first chunks. */
static void set_shares(ingot_team *team, uint32_t generation, bool closed, int64_t n_chunks)
{
    for (int i = 0; i < team->active; i++) {
        const uint64_t next = closed ? CLOSED : (uint64_t)border(n_chunks, i, team->active);
        atomic_store_explicit(&team->shares[i].word, (uint64_t)generation << 32 | next, memory_order_release);
    }
}

/* Every chunk has at least `grain` items, and there are a few more chunks than threads so that a slow thread delays
 * little. The release stores of the shares publish the parameters; the caller works too and returns when all chunks are
 * done. Chunk borders depend on n, grain and the number of threads, which is why a task may not let an element's value
 * depend on them. */
void ingot_parallel(ingot_team *team, int64_t n, int64_t grain, ingot_task *task, void *argument)
{
    if (n <= 0)
        return;
    const int64_t n_pieces = atomic_load_explicit(&team->n_pieces, memory_order_relaxed);
    const int64_t n_chunks = MIN(n / MAX(grain, 1), MAX((int64_t)team->active * CHUNKS_PER_THREAD, n_pieces));
    if (n_chunks <= 1 || (team->active <= 1 && !n_pieces)) {
        task(argument, 0, n, 0);
        return;
    }
    if (team->active <= 1) {
        run_alone(team, n, n_chunks, task, argument);
        return;
    }
    const uint32_t generation = atomic_load_explicit(&team->generation, memory_order_relaxed) + 1;
    set_shares(team, generation, true, n_chunks);
    atomic_thread_fence(memory_order_release);
    atomic_store_explicit(&team->task, task, memory_order_relaxed);
    atomic_store_explicit(&team->argument, argument, memory_order_relaxed);
    atomic_store_explicit(&team->n, n, memory_order_relaxed);
    atomic_store_explicit(&team->n_chunks, (uint32_t)n_chunks, memory_order_relaxed);
    atomic_store_explicit(&team->n_shares, team->active, memory_order_relaxed);
    atomic_store_explicit(&team->n_done, 0, memory_order_relaxed);
    set_shares(team, generation, false, n_chunks);
    atomic_store_explicit(&team->generation, generation, memory_order_release);
    work_and_record(team, generation, 0);
    for (unsigned spins = 0; atomic_load_explicit(&team->n_done, memory_order_acquire) < (uint32_t)n_chunks;)
        relax(&spins);
}

/* See ingot_team_expect(). */
bool ingot_parallel_long(ingot_team *team, int64_t n, int64_t grain, ingot_task *task, void *argument, double work_us)
{
    ingot_team_expect(team, work_us);
    ingot_parallel(team, n, grain, task, argument);
    ingot_team_expect(team, 0);
    return !ingot_team_cancelled(team);
}

/* Less than LARGE bytes are not worth it. PAGE is the distance that reaches all pages, PIECE what is touched before the
 * next look: 64 pages, as one may take 50 us where a virtual machine's host has to find it first. */
enum { LARGE = 1 << 20, PAGE = 4096, PIECE = 256 << 10 };

/* Memory that may be new to the process. */
typedef struct fresh {
    char *data;
    size_t size_bytes;
} fresh;

/* Write to each page of [begin, end), counted in pieces, what it holds already; reading it first would map the page of
 * zeros. */
static void touch_pages(void *argument, int64_t begin, int64_t end, int thread)
{
    const fresh *f = argument;
    const size_t stop = MIN((size_t)end * PIECE, f->size_bytes);
    (void)thread;
    for (size_t at = (size_t)begin * PIECE; at < stop; at += PAGE) {
        char none = 0;
        __atomic_compare_exchange_n(f->data + at, &none, none, false, __ATOMIC_RELAXED, __ATOMIC_RELAXED);
    }
}

bool ingot_team_touch(ingot_team *team, void *data, size_t size_bytes)
{
    const int64_t n = (int64_t)(size_bytes / PIECE) + 1;
    if (size_bytes < LARGE || !data)
        return false;
    ingot_parallel_long(team, n, 1, touch_pages, &(fresh){data, size_bytes}, (double)n * LONG_US);
    return true;
}

/* At least 1, also outside of a run: the calling thread. */
int ingot_team_active(const ingot_team *team) { return MAX(team->active, 1); }

/* The last to arrive opens the barrier for the others and resets it for the next round. The round is read before
 * arriving: afterwards the last to arrive may have begun the next. */
void ingot_barrier_wait(ingot_barrier *barrier, uint32_t parties)
{
    const uint32_t round = atomic_load_explicit(&barrier->round, memory_order_relaxed);
    if (parties <= 1)
        return;
    if (atomic_fetch_add_explicit(&barrier->arrived, 1, memory_order_acq_rel) + 1 == parties) {
        atomic_store_explicit(&barrier->arrived, 0, memory_order_relaxed);
        atomic_store_explicit(&barrier->round, round + 1, memory_order_release);
        return;
    }
    for (unsigned spins = 0; atomic_load_explicit(&barrier->round, memory_order_acquire) == round;)
        relax(&spins);
}

/* What the threads of one run have in common. */
typedef struct region {
    ingot_team *team;
    void (*body)(void *);
    void *argument;
} region;

/* Thread 0 runs the body, the others wait for its work until it is done. */
static void run_in_region(void *argument, int thread, int n_threads)
{
    const region *r = argument;
    ingot_team *team = r->team;
    if (thread) {
        wait_for_work(team, thread);
        return;
    }
    team->active = n_threads;
    r->body(r->argument);
    team->active = 0;
    atomic_store_explicit(&team->stop, true, memory_order_release);
}

/* There may be fewer threads than asked for, so `active` takes the number that came. One run at a time per team. */
void ingot_team_run(ingot_team *team, void (*body)(void *), void *argument)
{
    if (team->size <= 1) {
        body(argument);
        return;
    }
    region r = {team, body, argument};
    atomic_store(&team->stop, false);
    atomic_store(&team->generation, 0);
    ingot_region_run(team->size, run_in_region, &r);
}

/* ---- how many threads ---- */

/* Hyperthreads and offline processors are not told apart: what the mask allows is what is counted. 1 where the mask
 * cannot be read, as with more processors than cpu_set_t holds. */
int ingot_default_threads(void)
{
    cpu_set_t set;
    int n = sched_getaffinity(0, sizeof set, &set) ? 1 : CPU_COUNT(&set);
    const double granted = ingot_cgroup_processors(); /* rounded down, but at least 1 */
    if (granted > 0 && granted < n)
        n = (int)granted;
    return MAX(1, MIN(n, MAX_THREADS));
}

/* Keeps a probing thread alive until all of them exist: only then is it certain that they can be had at once. */
static void *wait_at_gate(void *gate)
{
    pthread_mutex_lock(gate);
    pthread_mutex_unlock(gate);
    return NULL;
}

/* How many of `wanted` further threads can be had at once. The gate stays locked until all are made; then they end at
 * once. */
static int probe_threads(int wanted)
{
    pthread_t threads[MAX_THREADS];
    pthread_mutex_t gate = PTHREAD_MUTEX_INITIALIZER;
    int n = 0;
    pthread_mutex_lock(&gate);
    while (n < wanted && !pthread_create(&threads[n], NULL, wait_at_gate, &gate))
        n++;
    pthread_mutex_unlock(&gate);
    for (int i = 0; i < n; i++)
        pthread_join(threads[i], NULL);
    return n;
}

/* Asks for threads only to see how many there can be. A team that is smaller than wanted is no error. The probe is made
 * once for each team. */
ingot_team *ingot_team_create(int n_threads)
{
    ingot_team *team = aligned_alloc(_Alignof(ingot_team), sizeof *team);
    if (!team)
        return NULL;
    memset(team, 0, sizeof *team);
    const int wanted = ingot_region_most(n_threads > 0 ? MIN(n_threads, (int)MAX_THREADS) : ingot_default_threads());
    team->size = wanted > 1 ? 1 + probe_threads(wanted - 1) : 1;
    team->shares = aligned_alloc(_Alignof(share), (size_t)team->size * sizeof *team->shares);
    if (!team->shares) {
        free(team);
        return NULL;
    }
    for (int i = 0; i < team->size; i++)
        atomic_init(&team->shares[i].word, CLOSED);
    return team;
}

/* NULL is allowed. Not while the team runs. */
void ingot_team_free(ingot_team *team)
{
    for (int i = 0; team && team->records && i < team->size; i++)
        free(team->records[i]);
    if (team) {
        free(team->records);
        free(team->shares);
    }
    free(team);
}

/* How many threads a run has, thread 0 among them. */
int ingot_team_size(const ingot_team *team) { return team->size; }

/* ---- recording ---- */

/* All or nothing: after a failure the team records nothing and works as before. */
bool ingot_team_record(ingot_team *team)
{
    record **records = calloc((size_t)team->size, sizeof *records);
    bool complete = records != NULL;
    for (int i = 0; complete && i < team->size; i++)
        complete = (records[i] = calloc(1, sizeof **records)) != NULL;
    if (complete) {
        team->records = records;
        return true;
    }
    for (int i = 0; records && i < team->size; i++)
        free(records[i]);
    free(records);
    return false;
}

/* Between runs, so that no thread is writing. */
void ingot_team_forget(ingot_team *team)
{
    for (int i = 0; team->records && i < team->size; i++)
        team->records[i]->n = 0;
}

/* Relaxed: the release of the next job publishes it along. */
void ingot_team_mark(ingot_team *team, int64_t mark)
{
    atomic_store_explicit(&team->mark, mark, memory_order_relaxed);
}

/* Valid until the next run; NULL where there is none. */
const ingot_team_span *ingot_team_spans(const ingot_team *team, int thread, size_t *n)
{
    *n = team->records && thread < team->size ? team->records[thread]->n : 0;
    return *n ? team->records[thread]->spans : NULL;
}
