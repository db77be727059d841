/* archive_none.c - stands in for archive.c where libzip was not found. No archive is ever opened. */
#include "cli/cli.h"

/* The one function of these that is ever called; the line says what is missing from the build. */
ingot_status cli_archive_open(const char *path, cli_archive **archive, ingot_error *error)
{
    *archive = NULL;
    return cli_fail_file(error, INGOT_UNSUPPORTED, path,
                         "this ingot was built without libzip, which reads .npz and .pt files");
}

void cli_archive_close(cli_archive *archive) { (void)archive; }

const char *cli_archive_name(const cli_archive *archive, size_t index) { return archive && index ? "" : NULL; }

int64_t cli_archive_find(const cli_archive *archive, const char *name) { return archive && name ? 0 : -1; }

ingot_status cli_archive_read(cli_archive *archive, size_t index, uint8_t **data, size_t *size_bytes,
                              ingot_error *error)
{
    (void)archive, (void)index, (void)data, (void)size_bytes;
    return cli_fail(error, INGOT_UNSUPPORTED, "this ingot was built without libzip");
}
