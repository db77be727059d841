/* archive.c - zip archives, by libzip, read one member at a time: what .npz and .pt files are.
 *
 * Members are stored or deflated, as NumPy and PyTorch write them; deflate makes at most 1032 bytes out of one, so a
 * member that claims more than its share is refused before memory is allocated for it. */
#include "cli/cli.h"

#include <stdlib.h>
#include <string.h>
#include <zip.h>

enum { MOST_MEMBERS = 100000, MOST_INFLATION = 1032 };

/* An open archive: the path is kept for messages, n is the number of its members. */
struct cli_archive {
    char *path;
    zip_t *zip;
    size_t n;
};

/* INGOT_IO where the file cannot be opened or read, INGOT_BAD_INPUT where it is no archive. */
ingot_status cli_archive_open(const char *path, cli_archive **archive, ingot_error *error)
{
    int why = 0;
    ingot_status st = INGOT_OK;
    cli_archive *opened = calloc(1, sizeof *opened);
    *archive = NULL;
    if (!opened || !(opened->path = strdup(path))) {
        st = cli_fail(error, INGOT_LIMIT, "out of memory");
    } else if (!(opened->zip = zip_open(path, ZIP_RDONLY, &why))) {
        const bool unreadable = why == ZIP_ER_NOENT || why == ZIP_ER_OPEN || why == ZIP_ER_READ;
        zip_error_t zip_error;
        zip_error_init_with_code(&zip_error, why);
        st = cli_fail_file(error, unreadable ? INGOT_IO : INGOT_BAD_INPUT, path, "%s", zip_error_strerror(&zip_error));
        zip_error_fini(&zip_error);
    } else {
        const zip_int64_t n = zip_get_num_entries(opened->zip, 0);
        opened->n = n < 0 ? 0 : (size_t)n;
        if (opened->n > MOST_MEMBERS)
            st = cli_fail_file(error, INGOT_BAD_INPUT, path, "holds too many members");
    }
    if (st)
        cli_archive_close(opened);
    else
        *archive = opened;
    return st;
}

/* NULL is allowed; nothing is ever written back. */
void cli_archive_close(cli_archive *archive)
{
    if (!archive)
        return;
    if (archive->zip)
        zip_discard(archive->zip);
    free(archive->path);
    free(archive);
}

/* Names are taken as they are in the file: they are shown escaped and never used as paths. */
const char *cli_archive_name(const cli_archive *archive, size_t index)
{
    const char *name = index < archive->n ? zip_get_name(archive->zip, index, ZIP_FL_ENC_RAW) : NULL;
    return index >= archive->n ? NULL : name ? name : "";
}

/* Index of the member with exactly this name, or -1. */
int64_t cli_archive_find(const cli_archive *archive, const char *name)
{
    return zip_name_locate(archive->zip, name, ZIP_FL_ENC_RAW);
}

/* Read a member to its end. The size is the one its entry claims; data has room for one byte more. A wrong checksum
 * shows only at the very end, which is why the end is read for. */
static ingot_status inflate_member(cli_archive *archive, const char *label, const zip_stat_t *about, uint8_t *data,
                                   ingot_error *error)
{
    zip_file_t *file = zip_fopen_index(archive->zip, about->index, 0);
    zip_uint64_t used = 0;
    zip_int64_t n = -1;
    if (!file)
        return cli_fail_file(error, INGOT_BAD_INPUT, label, "%s", zip_strerror(archive->zip));
    /* one byte more than it claims is asked for, so that the checksum is reached and a longer member shows */
    while (used <= about->size && (n = zip_fread(file, data + used, about->size + 1 - used)) > 0)
        used += (zip_uint64_t)n;
    zip_fclose(file);
    if (n < 0 || used != about->size)
        return cli_fail_file(error, INGOT_BAD_INPUT, label, "the archive is damaged here");
    return INGOT_OK;
}

/* Read member `index` whole. *data is the caller's to free() on success, and has room for one byte more than
 * *size_bytes. INGOT_BAD_INPUT where the member is damaged or packed in another way, INGOT_LIMIT where it is too
 * large. */
ingot_status cli_archive_read(cli_archive *archive, size_t index, uint8_t **data, size_t *size_bytes,
                              ingot_error *error)
{
    char label[600];
    zip_stat_t about;
    const zip_uint64_t needed = ZIP_STAT_SIZE | ZIP_STAT_COMP_SIZE | ZIP_STAT_COMP_METHOD | ZIP_STAT_INDEX;
    snprintf(label, sizeof label, "%.350s: %.200s", archive->path, cli_archive_name(archive, index));
    if (zip_stat_index(archive->zip, index, 0, &about) || (about.valid & needed) != needed)
        return cli_fail_file(error, INGOT_BAD_INPUT, label, "the archive is damaged here");
    if (about.comp_method != ZIP_CM_STORE && about.comp_method != ZIP_CM_DEFLATE)
        return cli_fail_file(error, INGOT_BAD_INPUT, label, "neither stored nor deflated");
    /* what the entry claims is held against what it can be, before memory is asked for */
    if (about.size / MOST_INFLATION > about.comp_size + 64)
        return cli_fail_file(error, INGOT_BAD_INPUT, label, "claims more bytes than its compressed ones can hold");
    if (about.size >= cli_limit_bytes())
        return cli_fail_file(error, INGOT_LIMIT, label, "%llu bytes are over the limit",
                             (unsigned long long)about.size);
    if (!(*data = malloc((size_t)about.size + 1)))
        return cli_fail_file(error, INGOT_LIMIT, label, "out of memory");
    *size_bytes = (size_t)about.size;
    const ingot_status st = inflate_member(archive, label, &about, *data, error);
    if (st) {
        free(*data);
        *data = NULL;
    }
    return st;
}
