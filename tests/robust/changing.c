/* changing.c - files that change while a model uses them: changing ROUNDS FOLDER MODEL [DATA]. The files are copied to
 * FOLDER, and one of them (DATA, external data beside the model, where it is given) is cut short, written over, removed
 * or replaced between loading and running, or cut at random moments while it is loaded and packed. What comes back is
 * INGOT_IO with a line, or the right bits; a signal ends this program. */
#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <sys/stat.h>
#include <unistd.h>

#include "tests/robust/robust.h"

static ingot_tensor inputs[MAX_INPUTS];
static uint64_t expected;
static char model_path[512], victim[512], original[512];

/* A whole file's bytes over another's; the file keeps its identity where it is there already. */
static void copy_file(const char *from, const char *to)
{
    static char buffer[1 << 16];
    ssize_t n;
    const int in = open(from, O_RDONLY | O_CLOEXEC), out = open(to, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    NEED(in >= 0 && out >= 0);
    while ((n = read(in, buffer, sizeof buffer)) > 0)
        NEED(write(out, buffer, (size_t)n) == n);
    NEED(!n && !close(in) && !close(out));
}

/* Size of the file that is going to suffer. */
static off_t victim_bytes(void)
{
    struct stat info;
    NEED(!stat(victim, &info));
    return info.st_size;
}

/* What may happen to a file. */
static void cut(void) { NEED(!truncate(victim, victim_bytes() / 3)); }
static void empty(void) { NEED(!truncate(victim, 0)); }
static void drop(void) { NEED(!unlink(victim)); }

static void write_over(void)
{
    static const char zeros[4096];
    const int file = open(victim, O_WRONLY | O_CLOEXEC);
    NEED(file >= 0);
    for (off_t at = 0, n = victim_bytes(); at + (off_t)sizeof zeros <= n; at += (off_t)sizeof zeros)
        NEED(pwrite(file, zeros, sizeof zeros, at) == sizeof zeros);
    NEED(!close(file));
}

static void replace(void)
{
    char other[600];
    snprintf(other, sizeof other, "%s.new", victim);
    copy_file(original, other);
    NEED(!truncate(other, 100) && !rename(other, victim));
}

static void keep(void) {}

/* Load, do `harm` to the file, run; what ingot_model_load() or the run returned. */
static ingot_status load_and_run(void (*harm)(void), bool no_mmap)
{
    const ingot_model_options options = {.size_bytes = sizeof options, .no_mmap = no_mmap};
    ingot_error error = {0};
    ingot_model *model;
    ingot_session *session = NULL;
    ingot_status status = ingot_model_load(model_path, &options, &model, &error);
    if (!status) {
        harm();
        NEED(!ingot_session_create(model, NULL, &session, NULL));
        for (size_t i = 0; i < ingot_model_n_inputs(model); i++)
            NEED(!ingot_session_set_input(session, ingot_model_input(model, i)->name, &inputs[i], NULL));
        status = ingot_session_run(session, &error);
    }
    if (!status)
        NEED(hash_outputs(model, session) == expected);
    else
        NEED(error.status == status && error.message[0]);
    ingot_session_free(session);
    ingot_model_free(model);
    return status;
}

static _Atomic double cut_at_ms;

/* Cuts when it is time. */
static void *cut_later(void *argument)
{
    const double start = now_ms();
    (void)argument;
    while (now_ms() - start < cut_at_ms)
        continue;
    cut();
    return NULL;
}

/* Cut at random moments between the start of loading and the end of the run. */
static int cut_meanwhile(int n_rounds, double takes_ms)
{
    uint64_t seed = 5;
    int refused = 0;
    for (int i = 0; i < n_rounds; i++) {
        pthread_t thread;
        copy_file(original, victim);
        atomic_store(&cut_at_ms, takes_ms * (double)(next_random(&seed) >> 11) * 0x1p-53);
        NEED(!pthread_create(&thread, NULL, cut_later, NULL));
        const ingot_status status = load_and_run(keep, false);
        pthread_join(thread, NULL);
        /* a file that is cut before it is opened is malformed */
        NEED(status == INGOT_OK || status == INGOT_IO || status == INGOT_INVALID);
        refused += status != INGOT_OK;
    }
    return refused;
}

int main(int argc, char **argv)
{
    ingot_model *model;
    ingot_session *session;
    ingot_error error;
    if (argc < 4)
        return 2;
    /* names in the folder, and the files in it */
    const char *name = strrchr(argv[3], '/') ? strrchr(argv[3], '/') + 1 : argv[3];
    snprintf(model_path, sizeof model_path, "%s/%s", argv[2], name);
    copy_file(argv[3], model_path);
    const char *data = argc > 4 ? strrchr(argv[4], '/') ? strrchr(argv[4], '/') + 1 : argv[4] : name;
    snprintf(victim, sizeof victim, "%s/%s", argv[2], data);
    snprintf(original, sizeof original, "%s", argv[argc > 4 ? 4 : 3]);
    copy_file(original, victim);
    /* the bits to expect */
    if (ingot_model_load(model_path, NULL, &model, &error) || ingot_session_create(model, NULL, &session, &error))
        return fprintf(stderr, "%s\n", error.message), 1;
    const int n_inputs = make_inputs(model, 1, 1, inputs);
    NEED(n_inputs >= 0);
    for (int i = 0; i < n_inputs; i++)
        NEED(!ingot_session_set_input(session, ingot_model_input(model, (size_t)i)->name, &inputs[i], NULL));
    NEED(!ingot_session_run(session, NULL));
    expected = hash_outputs(model, session);
    /* a session whose plan is made has all it needs */
    cut();
    NEED(!ingot_session_run(session, NULL) && hash_outputs(model, session) == expected);
    ingot_session_free(session);
    ingot_model_free(model);
    /* those that change what the open file holds are refused, the others do not matter */
    static void (*const harms[])(void) = {cut, empty, write_over, drop, replace, keep};
    for (size_t i = 0; i < sizeof harms / sizeof *harms; i++) {
        copy_file(original, victim);
        usleep(20000); /* a change within the file system's tick of the one before is not seen */
        NEED(load_and_run(harms[i], false) == (i < 3 ? INGOT_IO : INGOT_OK));
        copy_file(original, victim);
        NEED(load_and_run(harms[i], true) == INGOT_OK); /* read whole */
    }
    copy_file(original, victim);
    const double start = now_ms();
    NEED(!load_and_run(keep, false));
    const int n_rounds = atoi(argv[1]), refused = cut_meanwhile(n_rounds, now_ms() - start);
    free_inputs(inputs, n_inputs);
    printf("%d cuts while loading and packing: %d refused, %d in time; no signal\n", n_rounds, refused,
           n_rounds - refused);
    return 0;
}
