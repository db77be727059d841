/* cancel.c - how long a cancelled run goes on: cancel N_MOMENTS LIMIT_MS MODEL... cancels runs at random moments, by
 * ingot_session_cancel() and by a deadline in turns, on one thread and on all, and fails where one returned later than
 * LIMIT_MS (0: only tells). After each the session must give the same bits as before. Deadlines that end planning come
 * last: another session on that model must not see anything of it. */
#include <math.h>
#include <pthread.h>
#include <stdatomic.h>
#include <unistd.h>

#include "tests/robust/robust.h"

/* When to cancel which run, counted from `begun`; cancelled_ms is when it was done. */
typedef struct moment {
    ingot_session *session;
    double at_ms, cancelled_ms;
    _Atomic bool begun;
} moment;

/* Cancel when its time has come: at_ms after the run began, which `begun` tells. */
static void *wait_and_cancel(void *argument)
{
    moment *m = argument;
    while (!atomic_load(&m->begun))
        usleep(10);
    const double start = now_ms();
    while (now_ms() - start < m->at_ms)
        usleep(20);
    m->cancelled_ms = now_ms();
    ingot_session_cancel(m->session);
    return NULL;
}

/* One run that is cancelled after at_ms; returns how much later it came back, or -1 where it was done before. A
 * cancel that comes after the end counts for the next run, so that one is made here to take it. */
static double cancel_once(ingot_session *session, double at_ms)
{
    moment m = {.session = session, .at_ms = at_ms};
    pthread_t thread;
    ingot_error error;
    /* the thread waits for `begun`, so that its start does not count */
    NEED(!pthread_create(&thread, NULL, wait_and_cancel, &m));
    atomic_store(&m.begun, true);
    const ingot_status status = ingot_session_run(session, &error);
    const double end = now_ms();
    pthread_join(thread, NULL);
    NEED(status == INGOT_OK || status == INGOT_CANCELLED);
    if (status == INGOT_OK &&
        ingot_session_run(session, &error)) /* the cancel came after the end: it ends the next run */
        NEED(error.status == INGOT_CANCELLED);
    return status == INGOT_OK ? -1 : end - m.cancelled_ms;
}

/* Worst of n moments within runs of `takes_ms`; *n_hit receives how many came in time. A run that is not disturbed
 * must then give the bits it gave before. */
static double worst_of(ingot_session *session, const ingot_model *model, int n, double takes_ms, uint64_t hash,
                       int *n_hit)
{
    uint64_t seed = 7;
    double worst = 0;
    for (int i = 0; i < n; i++) {
        const double late = cancel_once(session, takes_ms * (double)(next_random(&seed) >> 11) * 0x1p-53);
        *n_hit += late >= 0;
        worst = late > worst ? late : worst;
    }
    NEED(!ingot_session_run(session, NULL));
    NEED(hash_outputs(model, session) == hash);
    return worst;
}

/* The same with a deadline: a session of its own for each moment, planned before the time counts. A run that came in
 * time does not count; returns the worst that did not. */
static double worst_deadline(ingot_model *model, const ingot_tensor *inputs, int n_inputs, int n_threads, int n,
                             double takes_ms)
{
    uint64_t seed = 9;
    double worst = 0;
    for (int i = 0; i < n; i++) {
        const double at_ms = 0.05 + takes_ms * (double)(next_random(&seed) >> 11) * 0x1p-53;
        const ingot_session_options options = {
            .size_bytes = sizeof options, .n_threads = n_threads, .timeout_s = at_ms / 1e3};
        ingot_session *session;
        NEED(!ingot_session_create(model, &options, &session, NULL));
        for (int k = 0; k < n_inputs; k++)
            NEED(!ingot_session_set_input(session, ingot_model_input(model, (size_t)k)->name, &inputs[k], NULL));
        NEED(!ingot_session_plan(session, NULL));
        const double start = now_ms();
        const ingot_status status = ingot_session_run(session, NULL);
        const double late = now_ms() - start - at_ms;
        NEED(status == INGOT_OK || status == INGOT_CANCELLED);
        worst = status && late > worst ? late : worst;
        ingot_session_free(session);
    }
    return worst;
}

/* A session that plans and runs within at_ms on a model just loaded; then one without a deadline, which must find
 * nothing half packed. Returns how late the first came back, -1 where it was done in time; *took_ms: how long the
 * second, or the first if it was not cut off, worked. */
static double cut_planning(const char *path, const ingot_tensor *inputs, int n_inputs, int n_threads, double at_ms,
                           uint64_t hash, double *took_ms)
{
    ingot_model *model;
    double late = -1;
    NEED(!ingot_model_load(path, NULL, &model, NULL));
    for (int cut = at_ms > 0; cut >= 0; cut--) {
        const ingot_session_options options = {
            .size_bytes = sizeof options, .n_threads = n_threads, .timeout_s = cut ? at_ms / 1e3 : 0};
        ingot_session *session;
        NEED(!ingot_session_create(model, &options, &session, NULL));
        for (int k = 0; k < n_inputs; k++)
            NEED(!ingot_session_set_input(session, ingot_model_input(model, (size_t)k)->name, &inputs[k], NULL));
        const double start = now_ms();
        const ingot_status status = ingot_session_run(session, NULL);
        *took_ms = now_ms() - start;
        NEED(status == INGOT_OK || (cut && status == INGOT_CANCELLED));
        late = status ? *took_ms - at_ms : late;
        NEED(status || hash_outputs(model, session) == hash);
        ingot_session_free(session);
    }
    ingot_model_free(model);
    return late;
}

/* Worst of n deadlines that end planning or the first run. */
static double worst_planning(const char *path, const ingot_tensor *inputs, int n_inputs, int n_threads, int n,
                             uint64_t hash)
{
    uint64_t seed = 11;
    double worst = 0, takes_ms, ignored;
    cut_planning(path, inputs, n_inputs, n_threads, 0, hash, &takes_ms);
    for (int i = 0; i < n; i++) {
        const double at_ms = 0.05 + takes_ms * (double)(next_random(&seed) >> 11) * 0x1p-53;
        const double late = cut_planning(path, inputs, n_inputs, n_threads, at_ms, hash, &ignored);
        worst = late > worst ? late : worst;
    }
    return worst;
}

/* One model on n_threads (0: all); returns the worst of both ways, 1e9 where the model cannot be run at all. */
static double try_model(const char *path, int n_threads, int n_moments)
{
    ingot_model *model;
    ingot_session *session;
    ingot_error error;
    ingot_tensor inputs[MAX_INPUTS];
    const ingot_session_options options = {.size_bytes = sizeof options, .n_threads = n_threads};
    if (ingot_model_load(path, NULL, &model, &error) || ingot_session_create(model, &options, &session, &error))
        return fprintf(stderr, "%s\n", error.message), 1e9;
    const int n_inputs = make_inputs(model, 1, 1, inputs);
    NEED(n_inputs >= 0);
    for (int i = 0; i < n_inputs; i++)
        NEED(!ingot_session_set_input(session, ingot_model_input(model, (size_t)i)->name, &inputs[i], NULL));
    NEED(!ingot_session_run(session, &error));
    /* the first run planned; the second tells how long a run takes */
    const uint64_t hash = hash_outputs(model, session);
    const double start = now_ms();
    NEED(!ingot_session_run(session, &error));
    const double takes_ms = now_ms() - start;
    int n_hit = 0;
    const double worst = worst_of(session, model, n_moments, takes_ms, hash, &n_hit);
    const double late = worst_deadline(model, inputs, n_inputs, n_threads, n_moments / 4, takes_ms);
    const double planning = worst_planning(path, inputs, n_inputs, n_threads, n_moments / 4, hash);
    printf("%-60s %d thread%s: a run %.1f ms; worst of %d cancels (%d in time) %.2f ms, of %d deadlines %.2f ms, "
           "with planning %.2f ms\n", path, ingot_session_n_threads(session), n_threads == 1 ? " " : "s", takes_ms,
           n_moments, n_hit, worst, n_moments / 4, late, planning);
    ingot_session_free(session);
    free_inputs(inputs, n_inputs);
    ingot_model_free(model);
    return fmax(worst, fmax(late, planning));
}

/* N_MOMENTS LIMIT_MS MODEL...: each model on one thread, then on all (n_threads 0). */
int main(int argc, char **argv)
{
    if (argc < 4)
        return 2;
    const int n_moments = atoi(argv[1]);
    const double limit_ms = atof(argv[2]);
    double worst = 0;
    for (int i = 3; i < argc; i++)
        for (int n_threads = 1; n_threads >= 0; n_threads--) {
            const double late = try_model(argv[i], n_threads, n_moments);
            worst = late > worst ? late : worst;
        }
    printf("worst: %.2f ms\n", worst);
    return limit_ms > 0 && worst > limit_ms;
}
