/* machine.c - what this machine can do at most: multiply-adds a second, and bytes read a second from the second- and
 * last-level caches and from memory, on one thread and on all.
 *
 * Every rate is the best of the rounds that fit into a few hundredths of a second: whatever disturbs a round only makes
 * it slower. In a round each thread does the same work on memory of its own. */
#include <stdio.h>
#include <unistd.h>

#include "engine/core/memory.h"
#include "engine/core/team.h"
#include "engine/core/tensor.h"
#include "ops/kernels/kernels.h"

enum {
    L2_BYTES = 512 * 1024, L3_BYTES = 8 * 1024 * 1024,       /* where the system does not tell */
    DRAM_BYTES = 64 * 1024 * 1024, MOST_BYTES = 128 * 1024 * 1024,
    ROUND_BYTES = 16 * 1024 * 1024,                          /* that a thread reads in a round, at least once each */
    FMA_ROUNDS = 200000,
};

#ifndef _SC_LEVEL2_CACHE_SIZE      /* musl: sysconf() knows nothing of caches */
#define _SC_LEVEL2_CACHE_SIZE (-1)
#define _SC_LEVEL3_CACHE_SIZE (-1)
#endif

/* For each rate; three rounds are made however long they take. */
#define SECONDS_EACH 0.03

/* One kind of work, the same for every thread. */
typedef struct probe {
    const ingot_kernels *kernels;
    ingot_team *team;
    const float *data;         /* NULL: multiply-adds */
    int64_t floats, passes;    /* that a thread has to itself, and how often it reads them in a round */
    int n_threads;
    double best;               /* work of a round in 10^9 a second */
    _Atomic int64_t work;      /* operations or bytes of the round */
    volatile float sink;
} probe;

/* The monotonic clock in seconds. */
static double now_s(void) { return 1e-9 * (double)ingot_now_ns(); }

/* Items are shares of a thread; which thread takes which does not matter. The sums go nowhere, but keep the compiler
 * from leaving out the reads. */
static void work(void *argument, int64_t begin, int64_t end, int thread)
{
    probe *p = argument;
    int64_t done = 0;
    float sum = 0;
    (void)thread;
    for (int64_t share = begin; share < end; share++) {
        if (!p->data) {
            int64_t flops;
            sum += p->kernels->fma_peak_f32(FMA_ROUNDS, &flops);
            done += flops;
        }
        for (int64_t pass = 0; p->data && pass < p->passes; pass++) {
            sum += p->kernels->read_peak_f32(p->data + share * p->floats, p->floats);
            done += p->floats * (int64_t)sizeof(float);
        }
    }
    atomic_fetch_add(&p->work, done);
    if (sum > 1e30f) /* never, but the compiler cannot know */
        p->sink = sum;
}

/* Rounds until the time is up; the first warms caches and clocks and counts like the others. n_threads items at a grain
 * of 1, so that each can go to a thread of its own. */
static void run_rounds(void *argument)
{
    probe *p = argument;
    const double start = now_s();
    for (int round = 0; round < 3 || now_s() - start < SECONDS_EACH; round++) {
        const double before = now_s();
        atomic_store(&p->work, 0);
        ingot_parallel(p->team, p->n_threads, 1, work, p);
        const double rate = 1e-9 * (double)atomic_load(&p->work) / (now_s() - before);
        p->best = MAX(p->best, rate);
    }
}

/* The threads' shares are parts of `data`; NULL stands for multiply-adds. Shares smaller than ROUND_BYTES are read
 * several times in a round, so that a round is long against the start of a job. */
static double measure(const probe *like, const float *data, size_t share_bytes, int n_threads)
{
    probe p = {.kernels = like->kernels, .team = like->team, .data = data, .n_threads = n_threads,
               .floats = (int64_t)(share_bytes / sizeof(float)),
               .passes = MAX(1, ROUND_BYTES / (int64_t)MAX(share_bytes, 1u))};
    if (n_threads > 1)
        ingot_team_run(p.team, run_rounds, &p);
    else
        run_rounds(&p);
    return p.best;
}

/* Half of the second-level cache is read, and a quarter of the last one, which is shared with others. With l2 and l3
 * shares each thread reads memory of its own, and none more than its part of `data`. */
static void measure_all(const probe *like, const ingot_machine *machine, const float *data, size_t data_bytes,
                        int n_threads, ingot_rates *rates)
{
    const size_t n = (size_t)n_threads;
    const size_t l2 = (size_t)machine->l2_bytes / 2, l3 = (size_t)machine->l3_bytes / 4 / n;
    rates->gflops = measure(like, NULL, 0, n_threads);
    rates->l2_gbs = measure(like, data, MIN(l2, data_bytes / n), n_threads);
    rates->l3_gbs = measure(like, data, MIN(MAX(l3, 2 * l2), data_bytes / n), n_threads);
    rates->dram_gbs = measure(like, data, data_bytes / n, n_threads);
}

/* Size of the cache at that level as the system tells ("1024K"); a virtual machine's processor itself may tell its
 * host's, so that is asked second. */
static uint64_t cache_bytes(int level, int name, uint64_t otherwise)
{
    char path[80];
    unsigned long long size = 0;
    snprintf(path, sizeof path, "/sys/devices/system/cpu/cpu0/cache/index%d/size", level);
    FILE *file = fopen(path, "re");
    if (file) {
        if (fscanf(file, "%lluK", &size) != 1)
            size = 0;
        fclose(file);
    }
    const long told = sysconf(name);
    return size ? size * 1024 : told > 0 ? (uint64_t)told : otherwise;
}

/* Memory that no cache holds: twice the last-level cache, within limits that keep the measurement short. INGOT_USAGE
 * for a negative number of threads, INGOT_LIMIT when memory is out; nothing is left allocated. */
ingot_status ingot_machine_measure(int32_t n_threads, ingot_machine *machine, ingot_error *error)
{
    if (n_threads < 0)
        return ingot_fail(error, INGOT_USAGE, "%d threads are not possible", n_threads);
    ingot_memory memory = {.limit_bytes = 0};
    const ingot_kernels *kernels = ingot_kernels_best();
    *machine = (ingot_machine){.isa = kernels->isa, .l2_bytes = cache_bytes(2, _SC_LEVEL2_CACHE_SIZE, L2_BYTES),
                               .l3_bytes = cache_bytes(3, _SC_LEVEL3_CACHE_SIZE, L3_BYTES)};
    const size_t bytes = (size_t)MIN(MAX(2 * machine->l3_bytes, (uint64_t)DRAM_BYTES), (uint64_t)MOST_BYTES);
    ingot_team *team = ingot_team_create(n_threads);
    float *data = ingot_alloc(&memory, bytes);
    if (!team || !data) {
        ingot_team_free(team);
        ingot_release(&memory, data);
        return ingot_fail(error, INGOT_LIMIT, "out of memory for measuring the machine");
    }
    for (size_t i = 0; i < bytes / sizeof *data; i++) /* pages that were never written may all be the same one */
        data[i] = 1.0f;
    /* One thread first, then all; with one thread there is nothing to add. */
    const probe like = {.kernels = kernels, .team = team};
    machine->n_threads = ingot_team_size(team);
    measure_all(&like, machine, data, bytes, 1, &machine->one);
    machine->all = machine->one;
    if (machine->n_threads > 1)
        measure_all(&like, machine, data, bytes, machine->n_threads, &machine->all);
    ingot_release(&memory, data);
    ingot_team_free(team);
    return INGOT_OK;
}
