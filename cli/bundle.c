/* bundle.c - files that hold several named values: .npz, whose members are .npy files, .pt (pt.c) and .safetensors. */
#include "cli/cli.h"

#include <stdlib.h>
#include <string.h>

/* By the name's ending alone; what the file really is shows when it is opened. */
bool cli_is_bundle(const char *path)
{
    return cli_has_suffix(path, ".npz") || cli_has_suffix(path, ".pt") || cli_has_suffix(path, ".pth") ||
           cli_has_suffix(path, ".safetensors");
}

/* One key for every member that is a .npy file, the name without its ending. Members are not opened. */
static ingot_status list_arrays(cli_bundle *bundle, ingot_error *error)
{
    const char *name;
    size_t n = 0;
    while (cli_archive_name(bundle->archive, n))
        n++;
    if (!(bundle->entries = calloc(n + 1, sizeof *bundle->entries)))
        return cli_fail_file(error, INGOT_LIMIT, bundle->path, "out of memory");
    for (size_t i = 0; (name = cli_archive_name(bundle->archive, i)); i++) {
        if (!cli_has_suffix(name, ".npy"))
            continue;
        cli_entry *entry = &bundle->entries[bundle->n++];
        entry->index = i;
        if (!(entry->key = strndup(name, strlen(name) - 4)))
            return cli_fail_file(error, INGOT_LIMIT, bundle->path, "out of memory");
    }
    return INGOT_OK;
}

/* Is the file a zip archive, or too short to be anything? Older .pt files are not. */
static bool is_zip(const char *path)
{
    uint8_t start[2];
    return cli_read_range(path, 0, sizeof start, start, NULL) || (start[0] == 'P' && start[1] == 'K');
}

/* The entries of the file, by its form: the ending decides between .safetensors, .npz and .pt, and the first bytes
 * between the two forms of .pt. */
static ingot_status list_contents(cli_bundle *bundle, ingot_error *error)
{
    if (cli_has_suffix(bundle->path, ".safetensors"))
        return cli_safetensors_list(bundle, error);
    bundle->is_npz = cli_has_suffix(bundle->path, ".npz");
    if (!bundle->is_npz && !is_zip(bundle->path))
        return cli_pt_list_legacy(bundle, error);
    const ingot_status st = cli_archive_open(bundle->path, &bundle->archive, error);
    if (st)
        return st;
    return bundle->is_npz ? list_arrays(bundle, error) : cli_pt_list(bundle, error);
}

/* Only the list of contents is read here; elements are read when they are asked for. */
ingot_status cli_bundle_open(const char *path, cli_bundle **bundle, ingot_error *error)
{
    cli_bundle *opened = calloc(1, sizeof *opened);
    *bundle = NULL;
    if (!opened)
        return cli_fail(error, INGOT_LIMIT, "out of memory");
    opened->path = path;
    ingot_status st = list_contents(opened, error);
    if (!st && !opened->n)
        st = cli_fail_file(error, INGOT_BAD_INPUT, path, "holds no %s", opened->is_npz ? "array" : "tensor");
    if (st)
        cli_bundle_close(opened);
    else
        *bundle = opened;
    return st;
}

/* NULL and half-made bundles are allowed. */
void cli_bundle_close(cli_bundle *bundle)
{
    if (!bundle)
        return;
    for (size_t i = 0; i < bundle->n; i++)
        free(bundle->entries[i].key);
    free(bundle->entries);
    free(bundle->member);
    cli_archive_close(bundle->archive);
    free(bundle);
}

/* Index of the entry, or -1. Keys are compared whole. */
int64_t cli_bundle_find(const cli_bundle *bundle, const char *key)
{
    for (size_t i = 0; i < bundle->n; i++)
        if (!strcmp(bundle->entries[i].key, key))
            return (int64_t)i;
    return -1;
}

/* "input_0"; in what PyTorch saved also item 0 of a list "inputs" or "input", or "input" itself where there is only
 * one. */
int64_t cli_bundle_find_numbered(const cli_bundle *bundle, const char *role, size_t k)
{
    char keys[4][80];
    snprintf(keys[0], sizeof keys[0], "%.50s_%zu", role, k);
    snprintf(keys[1], sizeof keys[1], "%.50ss.%zu", role, k);
    snprintf(keys[2], sizeof keys[2], "%.50s.%zu", role, k);
    snprintf(keys[3], sizeof keys[3], "%.50s", role);
    int64_t index = -1;
    for (size_t i = 0; i < (k ? 3 : 4) && index < 0; i++)
        index = cli_bundle_find(bundle, keys[i]);
    return index;
}

/* The member of the archive that holds the entry's elements. It is kept for the next that asks for it: PyTorch's
 * tensors share storages, and a small file may have many tensors of one large storage. */
static ingot_status read_member(cli_bundle *bundle, const cli_entry *entry, ingot_error *error)
{
    if (bundle->member && bundle->member_index == entry->index)
        return INGOT_OK;
    free(bundle->member);
    bundle->member = NULL;
    bundle->member_index = entry->index;
    return cli_archive_read(bundle->archive, entry->index, &bundle->member, &bundle->member_bytes, error);
}

/* Elements that lie in the file itself, of .safetensors and older .pt files: their place and size are the entry's. */
static ingot_status read_plain(cli_bundle *bundle, const char *label, const cli_entry *entry, cli_value *value,
                               ingot_error *error)
{
    uint8_t *data = entry->size_bytes < cli_limit_bytes() ? malloc((size_t)entry->size_bytes + 1) : NULL;
    if (!data)
        return cli_fail_file(error, INGOT_LIMIT, label, "does not fit memory");
    ingot_status st = cli_read_range(bundle->path, entry->start, (size_t)entry->size_bytes, data, error);
    if (!st)
        st = cli_pt_decode(label, data, (size_t)entry->size_bytes, entry, value, error);
    free(data);
    return st;
}

/* A .npy member says itself what it holds; of bare elements the entry says it. */
ingot_status cli_bundle_read(cli_bundle *bundle, size_t index, ingot_dtype wanted, cli_value *value, ingot_error *error)
{
    const cli_entry *entry = &bundle->entries[index];
    char label[600];
    snprintf(label, sizeof label, "%.350s: %.200s", bundle->path, entry->key);
    if (!bundle->archive)
        return read_plain(bundle, label, entry, value, error);
    const ingot_status st = read_member(bundle, entry, error);
    if (st)
        return st;
    return bundle->is_npz ? cli_npy_decode(label, bundle->member, bundle->member_bytes, wanted, value, error)
                          : cli_pt_decode(label, bundle->member, bundle->member_bytes, entry, value, error);
}
