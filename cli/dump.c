/* dump.c - dumps that a model is verified against: a folder in the layout of the ONNX tests, or a file of named
 * values. */
#include "cli/cli.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* A dump that is open; the path is the caller's. */
struct cli_dump {
    const char *path;
    cli_bundle *bundle; /* NULL: a folder */
};

/* Only the kind of dump is found out here, and a bundle's contents; path has to live as long as the dump. */
ingot_status cli_dump_open(const char *path, cli_dump **dump, ingot_error *error)
{
    struct stat about;
    *dump = NULL;
    if (stat(path, &about))
        return cli_fail_file(error, INGOT_IO, path, "cannot open it: %s", strerror(errno));
    if (!S_ISDIR(about.st_mode) && !cli_is_bundle(path))
        return cli_fail_file(error, INGOT_BAD_INPUT, path,
                             "neither a folder with input_K.pb and output_K.pb nor a .npz, .pt or .safetensors file");
    if (!(*dump = calloc(1, sizeof **dump)))
        return cli_fail(error, INGOT_LIMIT, "out of memory");
    (*dump)->path = path;
    if (S_ISDIR(about.st_mode))
        return INGOT_OK;
    const ingot_status st = cli_bundle_open(path, &(*dump)->bundle, error);
    if (st) {
        free(*dump);
        *dump = NULL;
    }
    return st;
}

/* NULL is allowed. */
void cli_dump_close(cli_dump *dump)
{
    if (dump)
        cli_bundle_close(dump->bundle);
    free(dump);
}

/* Value k of a role, "input" or "output". In a bundle the numbered keys come first, as they cannot be mistaken for
 * anything; then the graph's own names. A dump that does not have it is no error: *found tells. */
ingot_status cli_dump_read(cli_dump *dump, const char *role, size_t k, const ingot_value_info *info, bool *found,
                           cli_value *value, ingot_error *error)
{
    char key[40], path[4096];
    *found = false;
    snprintf(key, sizeof key, "%s_%zu", role, k);
    if (dump->bundle) {
        int64_t index = cli_bundle_find_numbered(dump->bundle, role, k);
        if (index < 0 && info)
            index = cli_bundle_find(dump->bundle, info->name);
        *found = index >= 0;
        return *found ? cli_bundle_read(dump->bundle, (size_t)index, info ? info->dtype : INGOT_UNDEFINED, value, error)
                      : INGOT_OK;
    }
    if (snprintf(path, sizeof path, "%s/%s.pb", dump->path, key) >= (int)sizeof path)
        return cli_fail_file(error, INGOT_IO, dump->path, "the path is too long");
    *found = !access(path, F_OK);
    return *found ? cli_pb_read(path, info ? info->kind : INGOT_TENSOR, value, error) : INGOT_OK;
}
