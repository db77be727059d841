/* pt_legacy.c - .pt files as PyTorch wrote them before 1.6, and still does on request: five pickles in a row (a magic
 * number, the version, facts of the machine, the object itself, the keys of the storages), then the storages in the
 * order of the keys, each the count of its elements in eight bytes and the elements.
 * Source: PyTorch, torch/serialization.py, _legacy_save(). */
#include <stdlib.h>
#include <string.h>

#include "cli/pickle.h"

/* The storages that the object uses, each once, sorted by key, and where they lie in the file; start 0: not known. */
typedef struct storages {
    const cli_node **nodes;
    uint64_t *start, *size_bytes;
    size_t n;
} storages;

/* By length and then by bytes: any order will do for a search. */
static int by_key(const void *a, const void *b)
{
    const cli_node *x = *(const cli_node *const *)a, *y = *(const cli_node *const *)b;
    if (x->n_text != y->n_text)
        return x->n_text < y->n_text ? -1 : 1;
    return x->n_text ? memcmp(x->text, y->text, x->n_text) : 0;
}

/* Index of the storage with the key that the node has, or -1. */
static ptrdiff_t find_storage(const storages *in, const cli_node *key)
{
    const cli_node **found = in->n ? bsearch(&key, in->nodes, in->n, sizeof *in->nodes, by_key) : NULL;
    return found ? found - in->nodes : -1;
}

/* Where a storage lies in the file. False where the list of keys did not name it. */
static bool find_range(const void *context, const cli_node *storage, cli_entry *entry)
{
    const storages *in = context;
    const ptrdiff_t i = find_storage(in, storage);
    if (i < 0 || !in->start[i])
        return false;
    entry->start = in->start[i];
    entry->size_bytes = in->size_bytes[i];
    return true;
}

/* Room for all storage nodes of the object, which name a storage as often as a tensor uses it. False: out of memory. */
static bool collect(const cli_pickle *object, storages *in)
{
    /* room for all of them, then each key once */
    size_t n = 0;
    for (int32_t i = 0; i < object->n_nodes; i++)
        n += object->nodes[i].kind == NODE_STORAGE;
    in->nodes = calloc(n + 1, sizeof *in->nodes);
    in->start = calloc(n + 1, sizeof *in->start);
    in->size_bytes = calloc(n + 1, sizeof *in->size_bytes);
    if (!in->nodes || !in->start || !in->size_bytes)
        return false;
    for (int32_t i = 0; i < object->n_nodes; i++)
        if (object->nodes[i].kind == NODE_STORAGE)
            in->nodes[in->n++] = &object->nodes[i];
    qsort(in->nodes, in->n, sizeof *in->nodes, by_key);
    n = in->n;
    in->n = 0;
    for (size_t i = 0; i < n; i++)
        if (!in->n || by_key(&in->nodes[i], &in->nodes[in->n - 1]))
            in->nodes[in->n++] = in->nodes[i];
    return true;
}

/* Walk over the storages behind the pickles, in the order of the keys. Only the object tells the type of a storage, and
 * every count is held against the bytes that are left. */
static ingot_status locate(const cli_bundle *bundle, const cli_pickle *keys, storages *in, const uint8_t *data,
                           size_t size_bytes, ingot_error *error)
{
    const cli_node *list = &keys->nodes[keys->result];
    uint64_t at = (uint64_t)(keys->at - data);
    for (int32_t link = list->kind == NODE_LIST ? list->first : -1; link >= 0; link = keys->links[link].next) {
        const ptrdiff_t i = find_storage(in, &keys->nodes[keys->links[link].node]);
        const ingot_dtype dtype = i < 0 ? INGOT_UNDEFINED : in->nodes[i]->dtype;
        uint64_t count = 0;
        for (int b = 0; b < 8 && size_bytes - at >= 8; b++)
            count |= (uint64_t)data[at + (uint64_t)b] << 8 * b;
        if (!dtype || size_bytes - at < 8 || count > (size_bytes - at - 8) / ingot_dtype_size_bytes(dtype))
            return cli_fail_file(error, INGOT_BAD_INPUT, bundle->path, "its storages reach past the end of the file");
        in->start[i] = at + 8;
        in->size_bytes[i] = count * ingot_dtype_size_bytes(dtype);
        at += 8 + in->size_bytes[i];
    }
    return INGOT_OK;
}

/* Find the storages that the object names, then list its tensors with them. */
static ingot_status list_tensors(cli_bundle *bundle, cli_pickle *object, const cli_pickle *keys, const uint8_t *data,
                                 size_t size_bytes, ingot_error *error)
{
    storages in = {.n = 0};
    ingot_status st = collect(object, &in) ? INGOT_OK : cli_fail(error, INGOT_LIMIT, "out of memory");
    if (!st && !(st = locate(bundle, keys, &in, data, size_bytes, error)))
        st = cli_pickle_list(object, bundle, find_range, &in, error);
    free(in.nodes);
    free(in.start);
    free(in.size_bytes);
    return st;
}

/* The whole file is read, as the places of the storages are known only from walking over all of them. The first
 * pickle, the magic number, is compared as bytes. */
ingot_status cli_pt_list_legacy(cli_bundle *bundle, ingot_error *error)
{
    static const uint8_t magic[] = {0x80, 2, 0x8a, 10, 0x6c, 0xfc, 0x9c, 0x46, 0xf9, 0x20, 0x6a, 0xa8, 0x50, 0x19, '.'};
    enum { VERSION = 0, MACHINE, OBJECT, KEYS, N_PICKLES };
    cli_pickle pickles[N_PICKLES] = {{.n_nodes = 0}};
    uint8_t *data = NULL;
    size_t size, at = sizeof magic;
    ingot_status st = cli_read_file(bundle->path, &data, &size, error);
    if (st)
        return st;
    if (size < sizeof magic || memcmp(data, magic, sizeof magic))
        st = cli_fail_file(error, INGOT_BAD_INPUT, bundle->path, "not what torch.save writes");
    for (int i = 0; i < N_PICKLES && !st; i++) {
        st = cli_pickle_run(&pickles[i], bundle->path, data + at, size - at, error);
        at = st ? at : (size_t)(pickles[i].at - data);
    }
    if (!st)
        st = list_tensors(bundle, &pickles[OBJECT], &pickles[KEYS], data, size, error);
    for (int i = 0; i < N_PICKLES; i++)
        cli_pickle_free(&pickles[i]);
    free(data);
    return st;
}
