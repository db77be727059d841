/* fuzz_dump.c - the readers of dumps and pictures. The first byte chooses the form; the rest is the file, or in the
 * last form the pickle in a .pt archive, as changed bytes of an archive would end at its checksums. */
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "cli/cli.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* By the form's number, as the input's first byte chooses it. A reader tells forms by the name's ending. */
static const char *const suffixes[] = {".npy", ".npz", ".pt", ".safetensors", ".pb", ".png", ".jpg", ".pth"};
enum { NPY, NPZ, PT, SAFETENSORS, PB, PNG, JPEG, PICKLE, N_SUFFIXES };

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

/* The checksum of zip archives: CRC-32 of IEEE 802.3, bit by bit. */
static uint32_t crc32_of(const uint8_t *data, size_t size)
{
    uint32_t crc = UINT32_MAX;
    for (size_t i = 0; i < size; i++) {
        crc ^= data[i];
        for (int bit = 0; bit < 8; bit++)
            crc = crc >> 1 ^ (crc & 1 ? 0xedb88320u : 0);
    }
    return ~crc;
}

/* A member that is stored as it is: its header, name and bytes into `file`, and its entry of the directory, n_directory
 * bytes so far, into `directory`. */
static void add_member(FILE *file, const char *name, const uint8_t *data, size_t size, uint8_t *directory,
                       size_t *n_directory)
{
    const uint32_t start = (uint32_t)ftell(file), crc = crc32_of(data, size), bytes = (uint32_t)size;
    const uint16_t n_name = (uint16_t)strlen(name);
    uint8_t local[30] = {'P', 'K', 3, 4, 20}, *entry = directory + *n_directory;
    memcpy(local + 14, (uint32_t[]){crc, bytes, bytes}, 12);
    memcpy(local + 26, &n_name, 2);
    fwrite(local, 1, sizeof local, file);
    fwrite(name, 1, n_name, file);
    fwrite(data, 1, size, file);
    memcpy(entry, (uint8_t[46]){'P', 'K', 1, 2, 20, 0, 20}, 46);
    memcpy(entry + 16, (uint32_t[]){crc, bytes, bytes}, 12);
    memcpy(entry + 28, &n_name, 2);
    memcpy(entry + 42, &start, 4);
    memcpy(entry + 46, name, n_name);
    *n_directory += 46u + n_name;
}

/* A .pt archive whose data.pkl is the input, with two storages of 64 bytes. */
static void write_archive(FILE *file, const uint8_t *data, size_t size)
{
    static const uint8_t storage[64] = {1, 0, 0, 0, 2};
    uint8_t directory[256], end[22] = {'P', 'K', 5, 6, 0, 0, 0, 0, 3, 0, 3};
    size_t n = 0;
    add_member(file, "a/data.pkl", data, size, directory, &n);
    add_member(file, "a/data/0", storage, sizeof storage, directory, &n);
    add_member(file, "a/data/1", storage, sizeof storage, directory, &n);
    memcpy(end + 12, (uint32_t[]){(uint32_t)n, (uint32_t)ftell(file)}, 8);
    fwrite(directory, 1, n, file);
    fwrite(end, 1, sizeof end, file);
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

/* A file of a single value: .npy from memory, .pb as a value of any kind, and pictures. */
static ingot_status read_value(size_t form, const uint8_t *data, size_t size, const char *path, cli_value *value)
{
    if (form == NPY)
        return cli_npy_decode("fuzz.npy", data, size, INGOT_UNDEFINED, value, NULL);
    if (form == PB)
        return cli_pb_read(path, (ingot_kind)(size % 3), value, NULL);
    return cli_images_read(&path, 1, NULL, value, NULL);
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
    if (!file)
        abort();
    if (form == PICKLE)
        write_archive(file, data + 1, size - 1);
    else
        fwrite(data + 1, 1, size - 1, file);
    if (ferror(file) || fclose(file))
        abort();
    /* .npz, .pt and .safetensors hold several values */
    if (form == NPZ || form == PT || form == SAFETENSORS || form == PICKLE) {
        read_bundle(path);
        return 0;
    }
    cli_value value = {0};
    if (!read_value(form, data + 1, size - 1, path, &value))
        cli_value_free(&value);
    return 0;
}
