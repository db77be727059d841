/* soak.c - one process for long: soak RUNS MODEL... runs the models in turns, with free dimensions that change from run
 * to run, and prints the resident memory twenty times. It fails where memory after the first tenth grows by more than 4
 * MiB. */
#include <unistd.h>

#include "tests/robust/robust.h"

enum { MAX_MODELS = 16, N_SIZES = 5, LINES = 20, SLACK_KIB = 4096 };

/* Resident memory of this process in KiB, as Linux counts it. */
static long resident(void)
{
    long total = 0, pages = 0;
    FILE *file = fopen("/proc/self/statm", "re");
    NEED(file && fscanf(file, "%ld %ld", &total, &pages) == 2);
    fclose(file);
    return pages * (sysconf(_SC_PAGESIZE) / 1024);
}

/* Each run binds the next size of the next model, so that plans come and go; a session keeps what it may keep. */
int main(int argc, char **argv)
{
    static ingot_tensor inputs[MAX_MODELS][N_SIZES][MAX_INPUTS];
    ingot_model *models[MAX_MODELS];
    ingot_session *sessions[MAX_MODELS];
    ingot_error error;
    const int n_models = argc - 2;
    if (n_models < 1 || n_models > MAX_MODELS)
        return 2;
    const long n_runs = atol(argv[1]);
    for (int m = 0; m < n_models; m++) {
        if (ingot_model_load(argv[2 + m], NULL, &models[m], &error) ||
            ingot_session_create(models[m], NULL, &sessions[m], &error))
            return fprintf(stderr, "%s\n", error.message), 1;
        for (int s = 0; s < N_SIZES; s++)
            NEED(make_inputs(models[m], 1 + s, 1, inputs[m][s]) >= 0);
    }
    /* the models in turns, and after each round the next size */
    long early = 0, now = 0, failed = 0;
    for (long run = 0; run < n_runs; run++) {
        const int m = (int)(run % n_models), s = (int)(run / n_models % N_SIZES);
        for (size_t i = 0; i < ingot_model_n_inputs(models[m]); i++)
            NEED(!ingot_session_set_input(sessions[m], ingot_model_input(models[m], i)->name, &inputs[m][s][i], NULL));
        failed += ingot_session_run(sessions[m], NULL) !=
                  INGOT_OK; /* a free size may not fit the model: that must not leak either */
        /* about LINES looks at the memory; the first after a tenth of the runs is what later ones may exceed by
         * SLACK_KIB */
        if (run % (n_runs / LINES + 1) == n_runs / LINES) {
            now = resident();
            early = run * 10 >= n_runs && !early ? now : early;
            printf("%9ld runs  %7ld KiB\n", run + 1, now);
            fflush(stdout);
        }
    }
    for (int m = 0; m < n_models; m++) {
        ingot_session_free(sessions[m]);
        ingot_model_free(models[m]);
        for (int s = 0; s < N_SIZES; s++)
            free_inputs(inputs[m][s], MAX_INPUTS);
    }
    printf("%ld runs of %d models, %ld refused; memory grew by %ld KiB after the first tenth\n", n_runs, n_models,
           failed, now - early);
    return now - early > SLACK_KIB;
}
