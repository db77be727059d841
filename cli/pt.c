/* pt.c - .pt files: what torch.save writes of a tensor, or of dictionaries and lists of tensors.
 *
 * Such a file is a zip archive of a pickle, data.pkl, and one member data/KEY for every storage; before PyTorch 1.6 it
 * was a row of pickles with the storages behind them (pt_legacy.c). pickle.c reads the pickle without running it.
 * Source: PyTorch, "Serialization semantics". */
#include <stdlib.h>
#include <string.h>

#include "cli/pickle.h"

enum { MOST_VALUES = 1 << 20, MOST_DEPTH = 16, MOST_REPEATS = 1024, FREE_REPEATS = 64 << 20 };

/* What listing needs at every level. */
typedef struct lister {
    cli_pickle *m;
    cli_bundle *bundle;
    cli_find_storage *find;
    const void *context;
    ingot_error *error;
} lister;

/* ---- the tensors that were found -------------------------------------------------------------------------------- */

/* Note a tensor under its key; what is not a tensor is passed over. A tensor whose type, shape or data cannot be
 * read is INGOT_BAD_INPUT, so that no value of a dump goes missing without a word. */
static ingot_status add_entry(const lister *l, const cli_node *t, const char *key)
{
    const cli_pickle *m = l->m;
    cli_bundle *bundle = l->bundle;
    const cli_node *shape = &m->nodes[t->shape], *strides = &m->nodes[t->strides];
    if (t->kind != NODE_TENSOR || bundle->n == (size_t)m->capacity)
        return INGOT_OK;
    if (!t->dtype || shape->n_items != strides->n_items || shape->n_items > INGOT_MAX_RANK)
        return cli_fail_file(l->error, INGOT_BAD_INPUT, bundle->path,
                             "tensor '%s' has a type or shape that is not read", cli_printable(key));
    cli_entry *entry = &bundle->entries[bundle->n];
    *entry = (cli_entry){.dtype = t->dtype, .rank = shape->n_items, .offset = t->offset};
    if (!l->find(l->context, &m->nodes[t->storage], entry))
        return cli_fail_file(l->error, INGOT_BAD_INPUT, bundle->path, "the data of tensor '%s' is missing",
                             cli_printable(key));
    if (!(entry->key = strdup(key)))
        return cli_fail_file(l->error, INGOT_LIMIT, bundle->path, "out of memory");
    bundle->n++;
    for (int32_t i = 0; i < shape->n_items; i++) {
        const cli_node *size = cli_pickle_item(m, t->shape, i), *stride = cli_pickle_item(m, t->strides, i);
        entry->shape[i] = size->kind == NODE_INT ? size->number : -1; /* refused when it is read */
        entry->strides[i] = stride->kind == NODE_INT ? stride->number : -1;
    }
    return INGOT_OK;
}

/* "name" of a dictionary's item, "3" of a list's, with the container's own key before it. */
static void item_key(const cli_node *key, int32_t position, const char *prefix, char *out, size_t capacity)
{
    if (key && key->kind == NODE_INT)
        snprintf(out, capacity, "%s%s%lld", prefix, *prefix ? "." : "", (long long)key->number);
    else if (key)
        snprintf(out, capacity, "%s%s%.*s", prefix, *prefix ? "." : "", key->n_text < 200 ? (int)key->n_text : 200,
                 key->n_text ? key->text : "");
    else
        snprintf(out, capacity, "%s%s%d", prefix, *prefix ? "." : "", (int)position);
}

/* May there be tensors in it? */
static bool is_container(const cli_node *n)
{
    return n->kind == NODE_DICT || n->kind == NODE_LIST || n->kind == NODE_TUPLE;
}

/* Tensors in a container and in those inside it. Calls itself, MOST_DEPTH deep at most: containers may hold
 * themselves, and one may be in another many times, which n_visited bounds. */
static ingot_status add_items(const lister *l, const cli_node *container, const char *prefix, int depth)
{
    cli_pickle *m = l->m;
    const bool is_dict = container->kind == NODE_DICT;
    ingot_status st = INGOT_OK;
    int32_t position = 0;
    for (int32_t at = container->first; at >= 0 && !st; at = m->links[at].next, position++) {
        const cli_node *key = NULL;
        char text[500];
        /* of a dictionary, keys and values follow each other */
        if (is_dict) {
            key = &m->nodes[m->links[at].node];
            if ((at = m->links[at].next) < 0)
                break;
        }
        /* the item's key, then what it is: a tensor, or a container to go into */
        item_key(key, position, prefix, text, sizeof text);
        const cli_node *value = &m->nodes[m->links[at].node];
        if (m->n_visited++ > MOST_VALUES)
            return cli_fail_file(l->error, INGOT_LIMIT, l->bundle->path, "holds too many values");
        if (!is_container(value))
            st = add_entry(l, value, text);
        else if (depth < MOST_DEPTH)
            st = add_items(l, value, text, depth + 1);
    }
    return st;
}

/* Make an entry of the bundle for each tensor that the pickle's result is or holds. `find` says where a storage's
 * elements lie, as that depends on the form of the file. */
ingot_status cli_pickle_list(cli_pickle *pickle, cli_bundle *bundle, cli_find_storage *find, const void *context,
                             ingot_error *error)
{
    const lister l = {pickle, bundle, find, context, error};
    const cli_node *result = &pickle->nodes[pickle->result];
    if (!(bundle->entries = calloc((size_t)pickle->capacity, sizeof *bundle->entries)))
        return cli_fail_file(error, INGOT_LIMIT, bundle->path, "out of memory");
    return is_container(result) ? add_items(&l, result, "", 0) : add_entry(&l, result, "");
}

/* ---- the archive ------------------------------------------------------------------------------------------------ */

/* What find_member() needs: the archive, and the folder in it that everything lies in. */
typedef struct members {
    const cli_archive *archive;
    const char *root;
} members;

/* A storage's member of the archive, data/KEY in the file's folder. False where there is none. */
static bool find_member(const void *context, const cli_node *storage, cli_entry *entry)
{
    const members *in = context;
    char member[400];
    snprintf(member, sizeof member, "%.250sdata/%.*s", in->root, storage->n_text < 100 ? (int)storage->n_text : 100,
             storage->text);
    const int64_t index = cli_archive_find(in->archive, member);
    entry->index = index < 0 ? 0 : (size_t)index;
    return index >= 0;
}

/* Storages are in the byte order of the machine that saved them. */
static ingot_status check_byte_order(const cli_bundle *bundle, const char *root, ingot_error *error)
{
    char member[400];
    uint8_t *data;
    size_t size;
    snprintf(member, sizeof member, "%.250sbyteorder", root);
    const int64_t index = cli_archive_find(bundle->archive, member);
    if (index < 0) /* older files are little-endian */
        return INGOT_OK;
    const ingot_status st = cli_archive_read(bundle->archive, (size_t)index, &data, &size, error);
    if (st)
        return st;
    const bool is_big = size == 3 && !memcmp(data, "big", 3);
    free(data);
    return is_big ? cli_fail_file(error, INGOT_BAD_INPUT, bundle->path, "saved on a big-endian machine") : INGOT_OK;
}

/* The folder inside the archive has the name the file had when it was saved, whatever its name is today. */
ingot_status cli_pt_list(cli_bundle *bundle, ingot_error *error)
{
    cli_pickle pickle = {.n_nodes = 0};
    char root[300] = "";
    const char *name;
    size_t i = 0, size;
    uint8_t *data;
    for (; (name = cli_archive_name(bundle->archive, i)); i++)
        if (cli_has_suffix(name, "/data.pkl") && strlen(name) < sizeof root)
            break;
    if (!name)
        return cli_fail_file(error, INGOT_BAD_INPUT, bundle->path, "not what torch.save writes: there is no data.pkl");
    snprintf(root, sizeof root, "%.*s", (int)(strlen(name) - strlen("data.pkl")), name);
    ingot_status st = check_byte_order(bundle, root, error);
    if (!st)
        st = cli_archive_read(bundle->archive, i, &data, &size, error);
    if (st)
        return st;
    if (!(st = cli_pickle_run(&pickle, bundle->path, data, size, error)))
        st = cli_pickle_list(&pickle, bundle, find_member, &(members){bundle->archive, root}, error);
    cli_pickle_free(&pickle);
    free(data);
    return st;
}

/* ---- elements --------------------------------------------------------------------------------------------------- */

/* Copy the elements that shape and strides pick out of a storage. INGOT_BAD_INPUT where they reach past it,
 * INGOT_LIMIT where a small file would fill the memory. */
ingot_status cli_pt_decode(const char *label, const uint8_t *data, size_t size_bytes, const cli_entry *entry,
                           cli_value *value, ingot_error *error)
{
    /* the last element that shape and strides reach, and how many there are: all from the file, so all is checked */
    const size_t size = ingot_dtype_size_bytes(entry->dtype);
    int64_t last = entry->offset, n = 1, index[INGOT_MAX_RANK] = {0}, at = entry->offset;
    bool sane = entry->offset >= 0;
    value->tensor = (ingot_tensor){.dtype = entry->dtype, .rank = entry->rank};
    memcpy(value->tensor.shape, entry->shape, sizeof entry->shape);
    for (int32_t d = 0; d < entry->rank && sane; d++) {
        int64_t reach;
        sane = entry->shape[d] >= 0 && entry->strides[d] >= 0 && !__builtin_mul_overflow(n, entry->shape[d], &n) &&
               (!entry->shape[d] || (!__builtin_mul_overflow(entry->shape[d] - 1, entry->strides[d], &reach) &&
                                     !__builtin_add_overflow(last, reach, &last)));
    }
    if (!sane || (n && last >= (int64_t)(size_bytes / size)))
        return cli_fail_file(error, INGOT_BAD_INPUT, label, "its shape reaches past its data");
    /* a stride of 0 repeats elements: an expanded tensor does so, and a small file that would fill the memory */
    if ((uint64_t)n > FREE_REPEATS && (uint64_t)n / MOST_REPEATS > size_bytes / size)
        return cli_fail_file(error, INGOT_LIMIT, label, "its strides repeat the data too often");
    const ingot_status st = cli_value_alloc(value, 0, error);
    if (st)
        return st;
    /* element by element, as strides may be any; `at` walks through the storage, `index` counts the shape */
    uint8_t *dst = value->tensor.data;
    for (int64_t i = 0; i < n; i++) {
        memcpy(dst + (size_t)i * size, data + (size_t)at * size, size);
        for (int32_t d = entry->rank - 1; d >= 0; d--) {
            at += entry->strides[d];
            if (++index[d] < entry->shape[d])
                break;
            at -= entry->strides[d] * entry->shape[d];
            index[d] = 0;
        }
    }
    for (int64_t i = 0; i < n && entry->dtype == INGOT_BOOL; i++)
        dst[i] = dst[i] != 0;
    return INGOT_OK;
}
