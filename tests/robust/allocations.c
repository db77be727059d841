/* allocations.c - every allocation fails once: allocations [--pieces] MODEL... loads, plans, runs and saves each model
 * with the k-th allocation failing, alone and from the k-th on, for every k until nothing fails any more. Each time the
 * call that saw it returns INGOT_LIMIT with a line, everything can be freed, and where all went well in spite of it the
 * outputs have the same bits. Leaks and bad reads are for the sanitizers to see. Calls are caught by the linker's
 * --wrap. After --pieces each piece of an arena counts as an allocation too: those fail only now and then by
 * themselves, when a chunk is full, and every place that asks for one has to be ready for it. */
#include <stdatomic.h>
#include <unistd.h>

#include "engine/core/memory.h"
#include "tests/robust/robust.h"

static _Atomic long n_calls, first_failing; /* counted from 1; 0: none fails */
static _Atomic int from_there_on;

/* Does this call fail? Calls are counted over all threads, so that a thread's own allocations take part. */
static int fails(void)
{
    const long call = atomic_fetch_add(&n_calls, 1) + 1, first = atomic_load(&first_failing);
    return first && (call == first || (from_there_on && call > first));
}

/* The linker's names: calls of malloc() in the engine go to __wrap_malloc(), and __real_malloc() is libc's own. */
void *__real_malloc(size_t n);
void *__real_calloc(size_t n, size_t size);
void *__real_realloc(void *p, size_t n);
void *__real_aligned_alloc(size_t alignment, size_t n);
void *__wrap_malloc(size_t n);
void *__wrap_calloc(size_t n, size_t size);
void *__wrap_realloc(void *p, size_t n);
void *__wrap_aligned_alloc(size_t alignment, size_t n);

void *__wrap_malloc(size_t n) { return fails() ? NULL : __real_malloc(n); }
void *__wrap_calloc(size_t n, size_t size) { return fails() ? NULL : __real_calloc(n, size); }
void *__wrap_realloc(void *p, size_t n) { return fails() ? NULL : __real_realloc(p, n); }
void *__wrap_aligned_alloc(size_t alignment, size_t n) { return fails() ? NULL : __real_aligned_alloc(alignment, n); }

/* The same for pieces of arenas, whose account hears of it as if a chunk had not been there. */
void *__real_ingot_arena_alloc(ingot_arena *arena, size_t n);
void *__real_ingot_arena_array(ingot_arena *arena, size_t n, size_t size);
void *__real_ingot_arena_copy(ingot_arena *arena, const void *data, size_t n);
char *__real_ingot_arena_string(ingot_arena *arena, const char *text, size_t n);
void *__wrap_ingot_arena_alloc(ingot_arena *arena, size_t n);
void *__wrap_ingot_arena_array(ingot_arena *arena, size_t n, size_t size);
void *__wrap_ingot_arena_copy(ingot_arena *arena, const void *data, size_t n);
char *__wrap_ingot_arena_string(ingot_arena *arena, const char *text, size_t n);

static bool pieces;

/* Does this piece fail? */
static bool piece_fails(ingot_arena *arena)
{
    if (!pieces || !fails())
        return false;
    atomic_store(&arena->memory->ran_out, true);
    return true;
}

void *__wrap_ingot_arena_alloc(ingot_arena *arena, size_t n)
{
    return piece_fails(arena) ? NULL : __real_ingot_arena_alloc(arena, n);
}

void *__wrap_ingot_arena_array(ingot_arena *arena, size_t n, size_t size)
{
    return piece_fails(arena) ? NULL : __real_ingot_arena_array(arena, n, size);
}

void *__wrap_ingot_arena_copy(ingot_arena *arena, const void *data, size_t n)
{
    return piece_fails(arena) ? NULL : __real_ingot_arena_copy(arena, data, n);
}

char *__wrap_ingot_arena_string(ingot_arena *arena, const char *text, size_t n)
{
    return piece_fails(arena) ? NULL : __real_ingot_arena_string(arena, text, n);
}

/* Load, create, bind, plan, run twice, save; *hash is that of the outputs where all went well. Whatever failed, all
 * of it is freed; a saved model is removed again. Returns the first status that was not INGOT_OK. */
static ingot_status use_model(const char *path, const ingot_tensor *inputs, uint64_t *hash, ingot_error *error)
{
    const ingot_session_options options = {.size_bytes = sizeof options, .n_threads = 2};
    char saved[64];
    ingot_model *model = NULL;
    ingot_session *session = NULL;
    ingot_status status = ingot_model_load(path, NULL, &model, error);
    if (!status)
        status = ingot_session_create(model, &options, &session, error);
    for (size_t i = 0; !status && i < ingot_model_n_inputs(model); i++)
        status = ingot_session_set_input(session, ingot_model_input(model, i)->name, &inputs[i], error);
    if (!status)
        status = ingot_session_plan(session, error);
    for (int run = 0; run < 2 && !status; run++)
        status = ingot_session_run(session, error);
    if (!status)
        *hash = hash_outputs(model, session);
    snprintf(saved, sizeof saved, "/tmp/ingot-allocations-%d.onnx", (int)getpid());
    if (!status)
        status = ingot_model_save(model, saved, error);
    unlink(saved);
    ingot_session_free(session);
    ingot_model_free(model);
    return status;
}

/* Every k, once with the k-th call failing alone and once with all from there on. A k beyond the last call ends the
 * round: nothing failed then. Returns the number of failures that were tried, -1 where a result was wrong. */
static long try_model(const char *path)
{
    ingot_model *model;
    ingot_error error = {0};
    ingot_tensor inputs[MAX_INPUTS];
    uint64_t expected = 0, hash = 0;
    long tried = 0, calls = 0;
    if (ingot_model_load(path, NULL, &model, &error))
        return fprintf(stderr, "%s\n", error.message), -1;
    /* inputs and the bits to expect, while nothing fails yet */
    const int n_inputs = make_inputs(model, 2, 1, inputs);
    NEED(n_inputs >= 0);
    ingot_model_free(model);
    if (use_model(path, inputs, &expected, &error))
        return fprintf(stderr, "%s\n", error.message), -1;
    for (int onward = 0; onward < 2; onward++) {
        atomic_store(&from_there_on, onward);
        /* the k-th call fails, until there is no k-th call */
        for (long k = 1;; k++, tried++) {
            error = (ingot_error){0};
            atomic_store(&n_calls, 0);
            atomic_store(&first_failing, k);
            const ingot_status status = use_model(path, inputs, &hash, &error);
            /* no more failures: what follows is the test's own */
            atomic_store(&first_failing, 0);
            /* a failure that the engine can do without may go unnoticed, but then the bits must be right */
            if (status && (status != INGOT_LIMIT || !error.message[0]))
                return fprintf(stderr, "%s: allocation %ld fails: %s: %s\n", path, k, ingot_status_name(status),
                               error.message), -1;
            if (!status && hash != expected)
                return fprintf(stderr, "%s: allocation %ld fails: other bits\n", path, k), -1;
            calls = atomic_load(&n_calls);
            if (calls < k)
                break;
        }
    }
    printf("%s: %ld allocations, %ld failures\n", path, calls, tried);
    free_inputs(inputs, n_inputs);
    return tried;
}

/* Any model with a wrong result ends it with 1; the number of failures tried is told for each. */
int main(int argc, char **argv)
{
    long total = 0;
    pieces = argc > 1 && !strcmp(argv[1], "--pieces");
    for (int i = 1 + pieces; i < argc; i++) {
        const long tried = try_model(argv[i]);
        if (tried < 0)
            return 1;
        total += tried;
    }
    printf("%ld failures tried\n", total);
    return 0;
}
