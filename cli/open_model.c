/* open_model.c - loading a model and opening a session with the common options, and what Ctrl-C does meanwhile.
 *
 * While a session is open the first Ctrl-C cancels its run, which then returns INGOT_CANCELLED and is reported like any
 * other end; a second one, or one while no session is open, ends the process at once. */
#include "cli/cli.h"

#include <signal.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

/* What the signal handler sees: the session that is open, and how often Ctrl-C came. */
static ingot_session *volatile running;
static volatile sig_atomic_t interrupted;

/* Only what a signal handler may call: an atomic store inside the library, or write and _exit. */
static void on_interrupt(int signal_number)
{
    (void)signal_number;
    ingot_session *const session = running;
    if (interrupted++ || !session) {
        static const char message[] = "ingot: cancelled\n";
        if (write(STDERR_FILENO, message, sizeof message - 1) < 0)
            _exit(INGOT_IO);
        _exit(INGOT_CANCELLED);
    }
    ingot_session_cancel(session);
}

/* To be called once, before any session is open. */
void cli_catch_interrupts(void)
{
    struct sigaction action = {.sa_handler = on_interrupt, .sa_flags = SA_RESTART}, before;
    /* a process started in the background ignores Ctrl-C and goes on doing so */
    if (!sigaction(SIGINT, NULL, &before) && before.sa_handler != SIG_IGN)
        sigaction(SIGINT, &action, NULL);
}

ingot_status cli_load(const char *path, bool allow_unsupported, ingot_model **model, ingot_error *error)
{
    return cli_load_as(path, allow_unsupported, true, model, error);
}

/* A misspelt pass costs nothing when it is found before the model is read. */
static ingot_status check_passes(ingot_error *error)
{
    const char *names[100] = {"all"};
    size_t n = 1;
    for (size_t i = 0; n < 100 && ingot_pass_name(i); i++)
        names[n++] = ingot_pass_name(i);
    for (size_t i = 0; i < common.disabled_passes.n; i++) {
        const char *wrong = common.disabled_passes.items[i];
        bool known = false;
        for (size_t k = 0; k < n; k++)
            known |= !strcmp(names[k], wrong);
        const char *near = known ? NULL : cli_nearest(wrong, names, n);
        if (near)
            return cli_fail(error, INGOT_USAGE, "--disable-pass: there is no pass '%.100s'; did you mean '%s'?", wrong,
                            near);
        if (!known)
            return cli_fail(error, INGOT_USAGE, "--disable-pass: no pass '%.100s'; see 'ingot inspect'", wrong);
    }
    return INGOT_OK;
}

/* Memory and passes as the common options say; nothing outside the model's folder is opened for external data. */
ingot_status cli_load_as(const char *path, bool allow_unsupported, bool with_passes, ingot_model **model,
                         ingot_error *error)
{
    const ingot_model_options options = {
        .size_bytes = sizeof options,
        .max_memory_bytes = common.max_memory_bytes,
        .disabled_passes = common.disabled_passes.items,
        .no_passes = !with_passes,
        .portable = common.portable,
        .allow_unsupported = allow_unsupported,
        .external_data_root = common.external_data_root,
        .max_nodes = (uint64_t)common.max_nodes,
        .no_mmap = common.no_mmap,
        .timeout_s = common.timeout_s,
    };
    const ingot_status st = check_passes(error);
    if (st)
        *model = NULL;
    return st ? st : ingot_model_load(path, &options, model, error);
}

/* From here on the first Ctrl-C cancels this session's run. */
ingot_status cli_open(ingot_model *model, bool profile, ingot_session **session, ingot_error *error)
{
    const ingot_session_options options = {
        .size_bytes = sizeof options,
        .n_threads = (int32_t)common.n_threads,
        .max_memory_bytes = common.max_memory_bytes,
        .timeout_s = common.timeout_s,
        .profile = profile,
        .conv_algorithm = (ingot_conv_choice)common.conv_algorithm,
        .batch_invariant = common.batch_invariant,
        .strict = common.strict,
    };
    const ingot_status st = ingot_session_create(model, &options, session, error);
    if (!st)
        running = *session;
    return st;
}

/* The handler must not see a session that is being freed, so it is forgotten first. */
void cli_close(ingot_session *session)
{
    running = NULL;
    ingot_session_free(session);
}

/* Binding inputs is not part of load_ms: it would measure the reading of files. */
ingot_status cli_set_up(const char *path, const cli_list *files, const cli_list *dims, bool profile, cli_setup *setup,
                        ingot_error *error)
{
    ingot_status st;
    *setup = (cli_setup){.load_ms = cli_now_ms()};
    if ((st = cli_image_check(error)) || (st = cli_load(path, false, &setup->model, error)) ||
        (st = cli_open(setup->model, profile, &setup->session, error)))
        return st;
    setup->load_ms = cli_now_ms() - setup->load_ms;
    return cli_bind_inputs(setup->model, setup->session, files, dims, MISSING_RANDOM, &setup->inputs, error);
}

/* The inputs go last: the session is bound to their memory. Accepts what a failed cli_set_up() left. */
void cli_tear_down(cli_setup *setup)
{
    cli_close(setup->session);
    ingot_model_free(setup->model);
    cli_inputs_free(&setup->inputs);
}

/* Milliseconds on a clock that only runs forward; its zero means nothing. */
double cli_now_ms(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec * 1e3 + (double)now.tv_nsec * 1e-6;
}
