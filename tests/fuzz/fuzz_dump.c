/* fuzz_dump.c - the readers of dumps and pictures. The first byte chooses the form; the rest is the file. */
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "cli/cli.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* By the form's number, as the input's first byte chooses it. A reader tells forms by the name's ending. */
static const char *const suffixes[] = {".npy", ".npz", ".pt", ".safetensors", ".pb", ".png", ".jpg"};
enum { N_SUFFIXES = sizeof suffixes / sizeof *suffixes };

/* In memory; one file for each form. */
static const char *file_path(size_t form)
{
    static char paths[N_SUFFIXES][64];
    if (!*paths[form])
        snprintf(paths[form], sizeof paths[form], "/dev/shm/ingot-fuzz-%d%s", (int)getpid(), suffixes[form]);
    return paths[form];
}

/* When the fuzzer ends by itself; after a crash the last file is left behind, which may help. */
static void remove_files(void)
{
    for (size_t i = 0; i < N_SUFFIXES; i++)
        unlink(file_path(i));
}

/* A file of named values: its contents, and the first eight of them. */
static void read_bundle(const char *path)
{
    cli_bundle *bundle;
    if (cli_bundle_open(path, &bundle, NULL))
        return;
    for (size_t i = 0; i < bundle->n && i < 8; i++) {
        cli_value value = {0};
        if (!cli_bundle_read(bundle, i, INGOT_UNDEFINED, &value, NULL))
            cli_value_free(&value);
    }
    cli_bundle_close(bundle);
}

/* A file of a single value: .npy (form 0) from memory, .pb (4) as a value of any kind, and pictures. */
static ingot_status read_value(size_t form, const uint8_t *data, size_t size, const char *path, cli_value *value)
{
    if (form == 0)
        return cli_npy_decode("fuzz.npy", data, size, INGOT_UNDEFINED, value, NULL);
    if (form == 4)
        return cli_pb_read(path, (ingot_kind)(size % 3), value, NULL);
    return cli_image_read(path, NULL, value, NULL);
}

/* The readers open files by name, so the bytes go to a file in memory first. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    /* limits as of a small machine, set once; the files are removed at the end */
    static bool started;
    if (!started) {
        started = true;
        common.max_memory_bytes = 64 << 20;
        atexit(remove_files);
    }
    if (!size)
        return 0;
    const size_t form = data[0] % N_SUFFIXES;
    const char *path = file_path(form);
    FILE *file = fopen(path, "wb");
    if (!file || fwrite(data + 1, 1, size - 1, file) != size - 1 || fclose(file))
        abort();
    /* .npz, .pt and .safetensors hold several values */
    if (form >= 1 && form <= 3) {
        read_bundle(path);
        return 0;
    }
    cli_value value = {0};
    if (!read_value(form, data + 1, size - 1, path, &value))
        cli_value_free(&value);
    return 0;
}
