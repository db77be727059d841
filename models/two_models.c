/* two_models.c - two models that share their threads: sessions that one thread runs in turn all work on the same OpenMP
 * threads, so that a second model costs memory but no threads of its own.
 *
 *     cc two_models.c $(pkg-config --cflags --libs ingot) -o two_models && ./two_models MyNet.onnx MyNet.onnx
 */
#include <dirent.h>
#include <ingot.h>
#include <stdio.h>

enum { N_MODELS = 2, N_THREADS = 2, N_RUNS = 20, BATCH = 8 };

static float pixels[BATCH][3][32][32];

/* Threads of this process. */
static int count_threads(void)
{
    DIR *tasks = opendir("/proc/self/task");
    int n = 0;
    for (const struct dirent *task; tasks && (task = readdir(tasks));)
        n += task->d_name[0] != '.';
    if (tasks)
        closedir(tasks);
    return n;
}

static ingot_status run_in_turn(ingot_session *const *sessions, ingot_error *error)
{
    const ingot_tensor x = { .dtype = INGOT_FLOAT, .rank = 4, .shape = { BATCH, 3, 32, 32 }, .data = pixels };
    for (int i = 0; i < N_RUNS * N_MODELS; i++) {
        ingot_status status = ingot_session_set_input(sessions[i % N_MODELS], NULL, &x, error);
        if (!status)
            status = ingot_session_run(sessions[i % N_MODELS], error);
        if (status)
            return status;
    }
    printf("%d models, %d runs each, %d threads in all\n", N_MODELS, N_RUNS, count_threads());
    return INGOT_OK;
}

int main(int argc, char **argv)
{
    const ingot_session_options options = { .size_bytes = sizeof options, .n_threads = N_THREADS };
    ingot_error error;
    ingot_model *models[N_MODELS] = { NULL };
    ingot_session *sessions[N_MODELS] = { NULL };
    ingot_status status = INGOT_OK;
    for (int i = 0; i < N_MODELS && !status; i++) {
        status = ingot_model_load(argc > 1 + i ? argv[1 + i] : "models/MyNet.onnx", NULL, &models[i], &error);
        if (!status)
            status = ingot_session_create(models[i], &options, &sessions[i], &error);
    }
    if (!status)
        status = run_in_turn(sessions, &error);
    if (status)
        fprintf(stderr, "two_models: %s\n", error.message);
    for (int i = 0; i < N_MODELS; i++) {
        ingot_session_free(sessions[i]);
        ingot_model_free(models[i]);
    }
    return (int)status;
}
