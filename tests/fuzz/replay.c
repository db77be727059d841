/* replay.c - runs the inputs of a kept corpus through a fuzz target: replay [-N] FILE... The target's own checks end
 * the process; getting to the end is the test. With -N each input is followed by N of its mutations by mutate.c, the
 * same ones each time, in targets that take models. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/fuzz/fuzz.h"

enum { MAX_BYTES = 16384 };

/* The input in memory of its own, so that a sanitizer sees reads past its end. */
static void run_input(const uint8_t *data, size_t size)
{
    uint8_t *copy = malloc(size + 1);
    if (!copy)
        abort();
    if (size)
        memcpy(copy, data, size);
    LLVMFuzzerTestOneInput(copy, size);
    free(copy);
}

/* One after the other from the same input; FUZZ_LAST names a file that holds the one that runs, to be looked at
 * where it fails. */
static void run_mutations(const uint8_t *data, size_t size, int n)
{
    static uint8_t changed[MAX_BYTES];
    for (unsigned seed = 0; seed < (unsigned)n && size <= MAX_BYTES; seed++) {
        memcpy(changed, data, size);
        const size_t changed_bytes = LLVMFuzzerCustomMutator(changed, size, sizeof changed, seed);
        const char *path = getenv("FUZZ_LAST");
        FILE *last = path ? fopen(path, "wb") : NULL;
        if (last && (fwrite(changed, 1, changed_bytes, last) != changed_bytes || fclose(last)))
            abort();
        run_input(changed, changed_bytes);
    }
}

/* Each file is one input. No inputs at all counts as a failure: the corpus was not found then. */
int main(int argc, char **argv)
{
    const int n_mutations = argc > 1 && argv[1][0] == '-' ? atoi(argv[1] + 1) : 0;
    int n = 0;
    for (int i = 1 + (n_mutations > 0); i < argc; i++) {
        FILE *file = fopen(argv[i], "rb");
        long size;
        if (!file || fseek(file, 0, SEEK_END) || (size = ftell(file)) < 0 || fseek(file, 0, SEEK_SET))
            return fprintf(stderr, "%s cannot be read\n", argv[i]), 1;
        uint8_t *data = malloc((size_t)size + 1);
        if (!data || fread(data, 1, (size_t)size, file) != (size_t)size)
            return fprintf(stderr, "%s cannot be read\n", argv[i]), 1;
        fclose(file);
        run_input(data, (size_t)size);
        run_mutations(data, (size_t)size, n_mutations);
        free(data);
        n += 1 + (size <= MAX_BYTES ? n_mutations : 0);
    }
    printf("%d inputs\n", n);
    return n == 0;
}
