/* forks.c - a process that forks: forks MODEL ROUNDS. In each round a child is forked before any run, after one, or
 * while another thread runs; the child runs a session of its own, and one it inherited where none was running, and must
 * come back within ten seconds with the parent's bits. */
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/robust/robust.h"

static ingot_model *model;
static ingot_tensor inputs[MAX_INPUTS];
static _Atomic bool stop;

/* A session of two threads with all inputs bound. */
static ingot_session *open_session(void)
{
    const ingot_session_options options = {.size_bytes = sizeof options, .n_threads = 2};
    ingot_session *session;
    NEED(!ingot_session_create(model, &options, &session, NULL));
    for (size_t i = 0; i < ingot_model_n_inputs(model); i++)
        NEED(!ingot_session_set_input(session, ingot_model_input(model, i)->name, &inputs[i], NULL));
    return session;
}

/* The hash of one run of a session of its own. */
static uint64_t run_new(void)
{
    ingot_session *session = open_session();
    NEED(!ingot_session_run(session, NULL));
    const uint64_t hash = hash_outputs(model, session);
    ingot_session_free(session);
    return hash;
}

/* A thread that always runs. */
static void *run_on(void *argument)
{
    ingot_session *session = open_session();
    (void)argument;
    while (!atomic_load(&stop))
        NEED(!ingot_session_run(session, NULL));
    ingot_session_free(session);
    return NULL;
}

/* Fork; the child runs and tells by its exit code whether the bits are right. `inherited` may be NULL; else it is a
 * session of the parent that was not running, whose threads the child does not have. SIGALRM ends a child that
 * hangs. */
static void fork_and_check(ingot_session *inherited, uint64_t expected)
{
    int status;
    const pid_t child = fork();
    NEED(child >= 0);
    /* in the child, nothing but _exit(): the parent's buffers are not its to flush */
    if (!child) {
        alarm(10);
        bool good = run_new() == expected;
        if (inherited)
            good = !ingot_session_run(inherited, NULL) && hash_outputs(model, inherited) == expected && good;
        _exit(good ? 0 : 1);
    }
    NEED(waitpid(child, &status, 0) == child);
    if (WIFSIGNALED(status))
        fprintf(stderr, "the child was ended by signal %d%s\n", WTERMSIG(status),
                WTERMSIG(status) == SIGALRM ? ": it hung" : "");
    NEED(WIFEXITED(status) && WEXITSTATUS(status) == 0);
}

int main(int argc, char **argv)
{
    ingot_error error;
    pthread_t runner;
    if (argc < 3)
        return 2;
    const int n_rounds = atoi(argv[2]);
    if (ingot_model_load(argv[1], NULL, &model, &error))
        return fprintf(stderr, "%s\n", error.message), 1;
    NEED(make_inputs(model, 2, 1, inputs) >= 0);
    /* the bits to expect, from one thread */
    const ingot_session_options one = {.size_bytes = sizeof one, .n_threads = 1};
    ingot_session *first;
    NEED(!ingot_session_create(model, &one, &first, NULL));
    for (size_t i = 0; i < ingot_model_n_inputs(model); i++)
        NEED(!ingot_session_set_input(first, ingot_model_input(model, i)->name, &inputs[i], NULL));
    NEED(!ingot_session_run(first, NULL));
    const uint64_t expected = hash_outputs(model, first);
    ingot_session_free(first);
    for (int i = 0; i < n_rounds / 3; i++) /* before: the parent never had a team */
        fork_and_check(NULL, expected);
    ingot_session *session = open_session();
    for (int i = 0; i < n_rounds / 3; i++) { /* after */
        NEED(!ingot_session_run(session, NULL));
        fork_and_check(session, expected);
    }
    NEED(!pthread_create(&runner, NULL, run_on, NULL));
    for (int i = 0; i < n_rounds / 3; i++) /* during another thread's run */
        fork_and_check(session, expected);
    atomic_store(&stop, true);
    pthread_join(runner, NULL);
    ingot_session_free(session);
    printf("%d children, none hung\n", n_rounds / 3 * 3);
    return 0;
}
