/* npz.c - .npz files: a zip archive of .npy members, read one member at a time.
 *
 * Members are stored or deflated, as NumPy writes them; deflate makes at most 1032 bytes out of one, so a member that
 * claims more than its share is refused before memory is allocated for it. */
#include "cli/cli.h"

#include <stdlib.h>
#include <string.h>
#include <zip.h>

enum { MOST_MEMBERS = 100000, MOST_INFLATION = 1032 };

typedef struct npz_member {
    char *key;
    uint64_t index;
} npz_member;

struct cli_npz {
    char *path;
    zip_t *zip;
    npz_member *members;
    size_t n;
};

static ingot_status list_members(cli_npz *npz, ingot_error *error)
{
    const zip_int64_t n = zip_get_num_entries(npz->zip, 0);
    if (n < 0 || n > MOST_MEMBERS)
        return cli_fail_file(error, INGOT_BAD_INPUT, npz->path, "holds too many members");
    if (!(npz->members = calloc((size_t)n + 1, sizeof *npz->members)))
        return cli_fail_file(error, INGOT_LIMIT, npz->path, "out of memory");
    for (zip_int64_t i = 0; i < n; i++) {
        const char *name = zip_get_name(npz->zip, (zip_uint64_t)i, ZIP_FL_ENC_RAW);
        if (!name || !cli_has_suffix(name, ".npy"))
            continue;
        npz_member *member = &npz->members[npz->n++];
        member->index = (uint64_t)i;
        if (!(member->key = strndup(name, strlen(name) - 4)))
            return cli_fail_file(error, INGOT_LIMIT, npz->path, "out of memory");
    }
    return npz->n ? INGOT_OK : cli_fail_file(error, INGOT_BAD_INPUT, npz->path, "holds no array");
}

ingot_status cli_npz_open(const char *path, cli_npz **npz, ingot_error *error)
{
    int why = 0;
    ingot_status st;
    cli_npz *opened = calloc(1, sizeof *opened);
    *npz = NULL;
    if (!opened || !(opened->path = strdup(path))) {
        st = cli_fail(error, INGOT_LIMIT, "out of memory");
    } else if (!(opened->zip = zip_open(path, ZIP_RDONLY, &why))) {
        zip_error_t zip_error;
        zip_error_init_with_code(&zip_error, why);
        st = cli_fail_file(error, why == ZIP_ER_NOENT || why == ZIP_ER_OPEN || why == ZIP_ER_READ ? INGOT_IO : INGOT_BAD_INPUT,
                           path, "%s", zip_error_strerror(&zip_error));
        zip_error_fini(&zip_error);
    } else {
        st = list_members(opened, error);
    }
    if (st)
        cli_npz_close(opened);
    else
        *npz = opened;
    return st;
}

void cli_npz_close(cli_npz *npz)
{
    if (!npz)
        return;
    for (size_t i = 0; i < npz->n; i++)
        free(npz->members[i].key);
    free(npz->members);
    if (npz->zip)
        zip_discard(npz->zip);
    free(npz->path);
    free(npz);
}

size_t cli_npz_n_keys(const cli_npz *npz) { return npz->n; }

int64_t cli_npz_find(const cli_npz *npz, const char *key)
{
    for (size_t i = 0; i < npz->n; i++)
        if (!strcmp(npz->members[i].key, key))
            return (int64_t)i;
    return -1;
}

static ingot_status inflate_member(cli_npz *npz, const char *label, const zip_stat_t *about, uint8_t *data,
                                   ingot_error *error)
{
    zip_file_t *file = zip_fopen_index(npz->zip, about->index, 0);
    zip_uint64_t used = 0;
    zip_int64_t n = -1;
    if (!file)
        return cli_fail_file(error, INGOT_BAD_INPUT, label, "%s", zip_strerror(npz->zip));
    /* one byte more than it claims is asked for, so that the checksum is reached and a longer member shows */
    while (used <= about->size && (n = zip_fread(file, data + used, about->size + 1 - used)) > 0)
        used += (zip_uint64_t)n;
    zip_fclose(file);
    if (n < 0 || used != about->size)
        return cli_fail_file(error, INGOT_BAD_INPUT, label, "the archive is damaged here");
    return INGOT_OK;
}

ingot_status cli_npz_read(cli_npz *npz, size_t index, ingot_dtype wanted, cli_value *value, ingot_error *error)
{
    char label[600];
    zip_stat_t about;
    const zip_uint64_t needed = ZIP_STAT_SIZE | ZIP_STAT_COMP_SIZE | ZIP_STAT_COMP_METHOD | ZIP_STAT_INDEX;
    snprintf(label, sizeof label, "%.350s: %.200s", npz->path, npz->members[index].key);
    if (zip_stat_index(npz->zip, npz->members[index].index, 0, &about) || (about.valid & needed) != needed)
        return cli_fail_file(error, INGOT_BAD_INPUT, label, "the archive is damaged here");
    if (about.comp_method != ZIP_CM_STORE && about.comp_method != ZIP_CM_DEFLATE)
        return cli_fail_file(error, INGOT_BAD_INPUT, label, "compressed in a way that NumPy does not use");
    if (about.size / MOST_INFLATION > about.comp_size + 64)
        return cli_fail_file(error, INGOT_BAD_INPUT, label, "claims more bytes than its compressed ones can hold");
    if (about.size >= cli_limit_bytes())
        return cli_fail_file(error, INGOT_LIMIT, label, "%llu bytes are over the limit", (unsigned long long)about.size);
    uint8_t *data = malloc((size_t)about.size + 1);
    if (!data)
        return cli_fail_file(error, INGOT_LIMIT, label, "out of memory");
    ingot_status st = inflate_member(npz, label, &about, data, error);
    if (!st)
        st = cli_npy_decode(label, data, (size_t)about.size, wanted, value, error);
    free(data);
    return st;
}
