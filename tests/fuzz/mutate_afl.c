/* mutate_afl.c - the mutator of mutate.c as AFL++ loads it: AFL_CUSTOM_MUTATOR_LIBRARY=build/tests/fuzz/mutate_afl.so.
 * AFL++ keeps mutating bytes by its own means beside it, so what libFuzzer's mutation of bytes is replaced by is plain.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/fuzz/fuzz.h"

void *afl_custom_init(void *afl, unsigned seed);
size_t afl_custom_fuzz(void *state, uint8_t *data, size_t size, uint8_t **out, uint8_t *other, size_t n_other,
                       size_t max_size);
void afl_custom_deinit(void *state);

/* What lasts from one call to the next: a sequence of seeds, and room for the result, which AFL++ reads from. */
typedef struct mutator {
    unsigned seed;
    uint8_t *out;
    size_t capacity;
} mutator;

/* As in the targets; here it ends the fuzzer. */
void fuzz_fail(const char *condition, const char *file, int line)
{
    fprintf(stderr, "%s:%d: not so: %s\n", file, line, condition);
    abort();
}

/* The seed is AFL++'s, so that a run can be repeated. */
void *afl_custom_init(void *afl, unsigned seed)
{
    (void)afl;
    mutator *m = calloc(1, sizeof *m);
    if (m)
        m->seed = seed;
    return m;
}

/* A mutation of `data`; *out stays the mutator's. 0 has AFL++ pass the turn. */
size_t afl_custom_fuzz(void *state, uint8_t *data, size_t size, uint8_t **out, uint8_t *other, size_t n_other,
                       size_t max_size)
{
    mutator *m = state;
    (void)other;
    (void)n_other;
    *out = NULL;
    if (size > max_size)
        return 0;
    if (m->capacity < max_size) {
        free(m->out);
        m->out = malloc(max_size);
        m->capacity = m->out ? max_size : 0;
        if (!m->out)
            return 0;
    }
    memcpy(m->out, data, size);
    *out = m->out;
    return LLVMFuzzerCustomMutator(m->out, size, max_size, m->seed++);
}

void afl_custom_deinit(void *state)
{
    mutator *m = state;
    free(m->out);
    free(m);
}
