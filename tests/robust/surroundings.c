/* surroundings.c - what a host keeps: surroundings MODEL checks that loading and running leave the floating-point
 * environment, locale, folder, umask and signal handlers as they were, in calls that fail and runs that are cancelled
 * too, that a model in the host's memory leaves that as it was, and that sessions run inside a parallel region of the
 * host, many at once. */
#include <fenv.h>
#include <locale.h>
#include <omp.h>
#include <pthread.h>
#include <signal.h>
#include <sys/stat.h>
#include <unistd.h>

#include "tests/robust/robust.h"

enum { N_SIGNALS = 32, N_ROUNDS = 50, N_THREADS = 4 };

/* What belongs to the whole process, and a library must leave as it is. */
typedef struct surroundings {
    fenv_t floating;
    char locale[256], folder[1024];
    mode_t mask;
    struct sigaction handlers[N_SIGNALS];
} surroundings;

/* Take down the surroundings as they are. umask can only be read by setting it. */
static void look(surroundings *s)
{
    memset(s, 0, sizeof *s);
    NEED(!fegetenv(&s->floating) && getcwd(s->folder, sizeof s->folder));
    snprintf(s->locale, sizeof s->locale, "%s", setlocale(LC_ALL, NULL));
    s->mask = umask(0);
    umask(s->mask);
    for (int i = 1; i < N_SIGNALS; i++)
        sigaction(i, NULL, &s->handlers[i]);
}

/* Status flags (inexact and such) may be raised: the control words are what a host sets. Of a signal only the
 * handler is compared. */
static void compare(const surroundings *a, const surroundings *b)
{
#if defined(__x86_64__)
    NEED((a->floating.__mxcsr & ~0x3fu) == (b->floating.__mxcsr & ~0x3fu));
    NEED(a->floating.__control_word == b->floating.__control_word);
#endif
    NEED(!strcmp(a->locale, b->locale) && !strcmp(a->folder, b->folder) && a->mask == b->mask);
    for (int i = 1; i < N_SIGNALS; i++)
        NEED(a->handlers[i].sa_handler == b->handlers[i].sa_handler);
}

/* The hash of one run, in a session of its own. */
static uint64_t run_once(ingot_model *model, const ingot_tensor *inputs, int n_threads)
{
    const ingot_session_options options = {.size_bytes = sizeof options, .n_threads = n_threads};
    ingot_session *session;
    NEED(!ingot_session_create(model, &options, &session, NULL));
    for (size_t i = 0; i < ingot_model_n_inputs(model); i++)
        NEED(!ingot_session_set_input(session, ingot_model_input(model, i)->name, &inputs[i], NULL));
    NEED(!ingot_session_run(session, NULL));
    const uint64_t hash = hash_outputs(model, session);
    ingot_session_free(session);
    return hash;
}

/* A model in the caller's memory, which stays as it is, gives the same bits as the file. */
static void run_from_memory(const char *path, const ingot_tensor *inputs, uint64_t expected)
{
    FILE *file = fopen(path, "rbe");
    long size = 0;
    NEED(file && !fseek(file, 0, SEEK_END) && (size = ftell(file)) > 0 && !fseek(file, 0, SEEK_SET));
    char *data = malloc((size_t)size), *copy = malloc((size_t)size);
    ingot_model *model;
    NEED(data && copy && fread(data, 1, (size_t)size, file) == (size_t)size);
    fclose(file);
    memcpy(copy, data, (size_t)size);
    NEED(!ingot_model_load_memory(data, (size_t)size, NULL, &model, NULL));
    NEED(run_once(model, inputs, 2) == expected && run_once(model, inputs, 1) == expected);
    NEED(!memcmp(data, copy, (size_t)size));
    ingot_model_free(model);
    free(data);
    free(copy);
}

/* The control words of all threads of a region of the host, whose threads the engine's own regions use as well. */
static void look_at_threads(fenv_t *floating)
{
#pragma omp parallel num_threads(N_THREADS)
    NEED(!fegetenv(&floating[omp_get_thread_num()]));
}

/* One session that ends as it should: by its time, by its memory, by a cancel that came before, for want of inputs. */
static void end_badly(ingot_model *model, const ingot_tensor *inputs, int n_threads, ingot_status expected)
{
    const ingot_session_options options = {.size_bytes = sizeof options, .n_threads = n_threads,
                                           .timeout_s = expected == INGOT_CANCELLED ? 1e-9 : 0,
                                           .max_memory_bytes = expected == INGOT_LIMIT ? 1 << 14 : 0};
    ingot_session *session;
    ingot_error error;
    NEED(!ingot_session_create(model, &options, &session, NULL));
    for (size_t i = 0; i < ingot_model_n_inputs(model) && expected != INGOT_BAD_INPUT; i++)
        NEED(!ingot_session_set_input(session, ingot_model_input(model, i)->name, &inputs[i], NULL));
    NEED(ingot_session_run(session, &error) == expected);
    ingot_session_free(session);
}

/* With control words that are not the usual ones - numbers that underflow are 0, results are rounded down - everything
 * that can go well or badly leaves them as they are, on the threads of the host's regions too. */
static void fail_in_every_way(const char *path, ingot_model *model, const ingot_tensor *inputs)
{
    static const ingot_status ends[] = {INGOT_OK, INGOT_CANCELLED, INGOT_LIMIT, INGOT_BAD_INPUT};
    fenv_t threads[2][N_THREADS], usual;
    surroundings before, after;
    ingot_model *none;
    NEED(!fegetenv(&usual));
    look_at_threads(threads[0]); /* made here, as a new thread inherits the words of the one that makes it */
    fenv_t odd = usual;
#if defined(__x86_64__)
    odd.__mxcsr |= 0xe040; /* flush to zero, round to zero, denormals are zero */
#endif
    NEED(!fesetenv(&odd));
    look(&before);
    NEED(ingot_model_load("/nowhere/at-all.onnx", NULL, &none, NULL) == INGOT_IO);
    NEED(ingot_model_load_memory(path, strlen(path), NULL, &none, NULL) == INGOT_INVALID);
    for (size_t i = 0; i < sizeof ends / sizeof *ends; i++)
        for (int n = 1; n <= N_THREADS; n += N_THREADS - 1)
            end_badly(model, inputs, n, ends[i]);
    look(&after);
    look_at_threads(threads[1]);
    compare(&before, &after);
#if defined(__x86_64__)
    NEED((after.floating.__mxcsr & ~0x3fu) == (odd.__mxcsr & ~0x3fu));
    for (int i = 1; i < N_THREADS; i++)
        NEED((threads[0][i].__mxcsr & ~0x3fu) == (threads[1][i].__mxcsr & ~0x3fu));
#endif
    NEED(!fesetenv(&usual));
}

int main(int argc, char **argv)
{
    surroundings before, after;
    ingot_model *model;
    ingot_error error;
    ingot_tensor inputs[MAX_INPUTS];
    if (argc < 2)
        return 2;
    NEED(setlocale(LC_ALL, "C"));
    umask(027);
    /* what the host has, with a umask that is not the usual one */
    look(&before);
    if (ingot_model_load(argv[1], NULL, &model, &error))
        return fprintf(stderr, "%s\n", error.message), 1;
    NEED(make_inputs(model, 2, 1, inputs) >= 0);
    const uint64_t expected = run_once(model, inputs, 1);
    NEED(run_once(model, inputs, 2) == expected);
    /* one thread, two, and a model in memory: the same bits, and nothing changed */
    run_from_memory(argv[1], inputs, expected);
    look(&after);
    compare(&before, &after);
    fail_in_every_way(argv[1], model, inputs);
    look(&after);
    compare(&before, &after);
    /* many sessions at once on the host's threads, each with a team of its own */
    int n_equal = 0;
#pragma omp parallel for num_threads(N_THREADS) reduction(+ : n_equal)
    for (int i = 0; i < N_ROUNDS; i++)
        n_equal += run_once(model, inputs, 2) == expected;
    NEED(n_equal == N_ROUNDS);
    look(&after);
    compare(&before, &after);
    ingot_model_free(model);
    printf("%d sessions inside a parallel region; nothing else changed\n", N_ROUNDS);
    return 0;
}
