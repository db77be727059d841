/* crowd.c - one model, many threads: crowd [--race] THREADS ROUNDS SESSION_THREADS MODEL... Every thread makes
 * sessions, runs them, frees them, and cancels one now and then; all outputs must have the same bits. Meant for the
 * thread sanitizer. After --race the threads count their rounds in one place without a lock, which it has to notice. */
#include <pthread.h>

#include "tests/robust/robust.h"

/* What all threads share: the model and its inputs, and the hash that every run must have. */
static ingot_model *model;
static ingot_tensor inputs[MAX_INPUTS];
static uint64_t expected;
static int n_rounds, session_threads;

/* What --race counts. Volatile, so that it is written each time. */
static volatile long n_raced;
static bool races;

/* A session with session_threads threads and all inputs bound. */
static ingot_session *open_session(void)
{
    const ingot_session_options options = {.size_bytes = sizeof options, .n_threads = session_threads};
    ingot_session *session;
    NEED(!ingot_session_create(model, &options, &session, NULL));
    for (size_t i = 0; i < ingot_model_n_inputs(model); i++)
        NEED(!ingot_session_set_input(session, ingot_model_input(model, i)->name, &inputs[i], NULL));
    return session;
}

/* One thread: rounds of a session that runs three times, is cancelled, and goes, while others read the model's
 * nodes. */
static void *take_part(void *argument)
{
    (void)argument;
    for (int round = 0; round < n_rounds; round++) {
        ingot_session *session = open_session();
        ingot_node_info node;
        if (races)
            n_raced = n_raced + 1;
        /* the first run plans, the others reuse the plan */
        for (int run = 0; run < 3; run++) {
            NEED(!ingot_session_run(session, NULL));
            NEED(hash_outputs(model, session) == expected);
        }
        /* a cancel before a run may end it or come too early to */
        ingot_session_cancel(session);
        const ingot_status status = ingot_session_run(session, NULL);
        NEED(status == INGOT_CANCELLED || status == INGOT_OK);
        for (size_t i = 0; ingot_model_node(model, i, &node); i++)
            NEED(node.op_type);
        ingot_session_free(session);
    }
    return NULL;
}

/* For each model, the bits are those of one thread alone; then the crowd works on it at once. */
int main(int argc, char **argv)
{
    pthread_t threads[64];
    ingot_error error;
    races = argc > 1 && !strcmp(argv[1], "--race");
    argv += races;
    argc -= races;
    if (argc < 5)
        return 2;
    const int n_threads = atoi(argv[1]);
    NEED(n_threads > 0 && n_threads <= 64);
    n_rounds = atoi(argv[2]);
    for (int i = 4; i < argc; i++) {
        if (ingot_model_load(argv[i], NULL, &model, &error))
            return fprintf(stderr, "%s\n", error.message), 1;
        const int n_inputs = make_inputs(model, 2, 1, inputs);
        NEED(n_inputs >= 0);
        session_threads = 1;
        ingot_session *session = open_session();
        NEED(!ingot_session_run(session, NULL));
        expected = hash_outputs(model, session);
        ingot_session_free(session);
        session_threads = atoi(argv[3]);
        for (int t = 0; t < n_threads; t++)
            NEED(!pthread_create(&threads[t], NULL, take_part, NULL));
        for (int t = 0; t < n_threads; t++)
            pthread_join(threads[t], NULL);
        ingot_model_free(model);
        free_inputs(inputs, n_inputs);
    }
    printf("%d threads of %d sessions each: all bits equal\n", n_threads, n_rounds);
    return 0;
}
