/* replay.c - runs the inputs of a kept corpus through a fuzz target: replay FILE... The target's own checks end the
 * process; getting to the end is the test. */
#include <stdio.h>
#include <stdlib.h>

#include "tests/fuzz/fuzz.h"

/* Each file is one input. No inputs at all counts as a failure: the corpus was not found then. */
int main(int argc, char **argv)
{
    int n = 0;
    for (int i = 1; i < argc; i++) {
        FILE *file = fopen(argv[i], "rb");
        long size;
        if (!file || fseek(file, 0, SEEK_END) || (size = ftell(file)) < 0 || fseek(file, 0, SEEK_SET))
            return fprintf(stderr, "%s cannot be read\n", argv[i]), 1;
        uint8_t *data = malloc((size_t)size + 1); /* of its own, so that a sanitizer sees reads past its end */
        if (!data || fread(data, 1, (size_t)size, file) != (size_t)size)
            return fprintf(stderr, "%s cannot be read\n", argv[i]), 1;
        fclose(file);
        LLVMFuzzerTestOneInput(data, (size_t)size);
        free(data);
        n++;
    }
    printf("%d inputs\n", n);
    return n == 0;
}
