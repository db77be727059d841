/* damage.c - models that arrived damaged: damage N_CUTS N_FLIPS MODEL... cuts each model at N_CUTS places and changes a
 * bit at N_FLIPS places, and loads and runs what is left, in one process, with limits of memory and time. Getting to
 * the end is the test; it tells what came of them and what took longest. */
#include "tests/robust/robust.h"

enum { N_STATUSES = 256, MEMORY_BYTES = 1 << 30 };

/* Milliseconds of processor time that this process has taken: others on the machine do not count. */
static double cpu_ms(void)
{
    struct timespec t;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
    return 1e3 * (double)t.tv_sec + 1e-6 * (double)t.tv_nsec;
}

/* How often each status came out, and the longest that one file took (of those that were refused, too): which change
 * of the model it was. */
typedef struct tally {
    long n[N_STATUSES];
    double worst_ms, refused_ms;
    char worst[64], refused[64];
} tally;

/* Load and run; the status of whatever failed first. Inputs have the declared shapes, free dimensions being 1; a
 * model that asks for what cannot be made up here counts as INGOT_BAD_INPUT and is not run. */
static ingot_status use(const void *data, size_t size)
{
    const ingot_model_options loading = {
        .size_bytes = sizeof loading, .max_memory_bytes = MEMORY_BYTES, .timeout_s = 2};
    const ingot_session_options running = {
        .size_bytes = sizeof running, .n_threads = 1, .max_memory_bytes = MEMORY_BYTES, .timeout_s = 2};
    ingot_model *model;
    ingot_session *session;
    ingot_error error = {0};
    ingot_tensor inputs[MAX_INPUTS] = {{0}};
    ingot_status status = ingot_model_load_memory(data, size, &loading, &model, &error);
    if (status) {
        NEED(error.message[0] && !strchr(error.message, '\n'));
        return status;
    }
    status = ingot_session_create(model, &running, &session, &error);
    const size_t n = ingot_model_n_inputs(model);
    for (size_t i = 0; i < n && i < MAX_INPUTS && !status; i++) {
        const ingot_value_info *info = ingot_model_input(model, i);
        ingot_tensor *t = &inputs[i];
        *t = (ingot_tensor){.dtype = info->dtype, .kind = (uint8_t)info->kind, .rank = info->rank};
        int64_t count = 1;
        for (int d = 0; d < info->rank && count < 1 << 24; d++)
            count *= t->shape[d] = info->shape[d] < 0 ? 1 : info->shape[d];
        if (info->kind != INGOT_TENSOR || info->rank < 0 || count >= 1 << 24 || ingot_tensor_alloc(t, &error))
            status = INGOT_BAD_INPUT;
        else
            status = ingot_session_set_input(session, info->name, t, &error);
    }
    if (!status)
        status = ingot_session_run(session, &error);
    ingot_session_free(session);
    ingot_model_free(model);
    for (size_t i = 0; i < MAX_INPUTS; i++)
        ingot_tensor_free(&inputs[i]);
    return status;
}

/* Use one damaged model and add what came of it to the tally. */
static void count(tally *t, const void *data, size_t size, const char *change, uint64_t place)
{
    const double start = cpu_ms();
    const ingot_status status = use(data, size);
    const double took = cpu_ms() - start;
    t->n[status & (N_STATUSES - 1)]++;
    if (status != INGOT_OK && status != INGOT_CANCELLED && took > t->refused_ms) {
        t->refused_ms = took;
        snprintf(t->refused, sizeof t->refused, "%s %llu", change, (unsigned long long)place);
    }
    if (took > t->worst_ms) {
        t->worst_ms = took;
        snprintf(t->worst, sizeof t->worst, "%s %llu", change, (unsigned long long)place);
    }
}

/* The cuts and flips of one model, at places that are the same each time. */
static void damage(const char *path, int n_cuts, int n_flips, tally *t)
{
    FILE *file = fopen(path, "rbe");
    long size = 0;
    uint64_t seed = 1;
    NEED(file && !fseek(file, 0, SEEK_END) && (size = ftell(file)) > 0 && !fseek(file, 0, SEEK_SET));
    uint8_t *data = malloc((size_t)size);
    NEED(data && fread(data, 1, (size_t)size, file) == (size_t)size);
    fclose(file);
    /* cuts: what is left of a download that broke off */
    for (int i = 0; i < n_cuts; i++) {
        const size_t n = (size_t)(next_random(&seed) % (uint64_t)size);
        uint8_t *copy = malloc(n + 1); /* of its own, so that a sanitizer sees reads past its end */
        NEED(copy);
        memcpy(copy, data, n);
        count(t, copy, n, "cut at byte", n);
        free(copy);
    }
    /* single bits, each put back after its turn */
    for (int i = 0; i < n_flips; i++) {
        const uint64_t bit = next_random(&seed) % ((uint64_t)size * 8);
        data[bit / 8] ^= (uint8_t)(1 << bit % 8);
        count(t, data, (size_t)size, "bit", bit);
        data[bit / 8] ^= (uint8_t)(1 << bit % 8);
    }
    free(data);
}

int main(int argc, char **argv)
{
    tally t = {0};
    if (argc < 4)
        return 2;
    for (int i = 3; i < argc; i++) {
        damage(argv[i], atoi(argv[1]), atoi(argv[2]), &t);
        fflush(stdout);
    }
    /* what came of all of them, by status */
    long total = 0;
    printf("%d models:", argc - 3);
    for (int s = 0; s < N_STATUSES; s++) {
        total += t.n[s];
        if (t.n[s])
            printf(" %s %ld,", ingot_status_name((ingot_status)s), t.n[s]);
    }
    printf(" %ld in all; the longest took %.0f ms (%s), the longest refusal %.0f ms (%s)\n", total, t.worst_ms, t.worst,
           t.refused_ms, t.refused);
    return 0;
}
