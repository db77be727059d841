/* npz_none.c - stands in for npz.c where libzip was not found. */
#include "cli/cli.h"

ingot_status cli_npz_open(const char *path, cli_npz **npz, ingot_error *error)
{
    *npz = NULL;
    return cli_fail_file(error, INGOT_UNSUPPORTED, path, "this ingot was built without libzip, which reads .npz files");
}

void cli_npz_close(cli_npz *npz) { (void)npz; }

size_t cli_npz_n_keys(const cli_npz *npz) { return npz ? 1 : 0; }

int64_t cli_npz_find(const cli_npz *npz, const char *key) { return npz && key ? 0 : -1; }

ingot_status cli_npz_read(cli_npz *npz, size_t index, ingot_dtype wanted, cli_value *value, ingot_error *error)
{
    (void)npz, (void)index, (void)wanted, (void)value;
    return cli_fail(error, INGOT_UNSUPPORTED, "this ingot was built without libzip");
}
