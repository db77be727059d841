/* pt.c - .pt files: what torch.save writes of a tensor, or of a dictionary or list of tensors.
 *
 * Such a file is a zip archive of a pickle, data.pkl, and one member data/KEY for every storage. A pickle is a program
 * for a stack machine that may call any Python function. Here nothing is called: the few opcodes that torch.save uses
 * build plain nodes, a call is looked at only to see whether it rebuilds a tensor, and whatever is not understood
 * becomes a node that is not a tensor. Every opcode takes a byte and makes at most one node and two links, so that
 * memory follows from the file's size.
 * Source: CPython, Lib/pickletools.py; PyTorch, "Serialization semantics". */
#include "cli/cli.h"

#include <stdlib.h>
#include <string.h>

enum { MOST_PICKLE_BYTES = 1 << 22, MOST_VALUES = 1 << 20 };

typedef enum node_kind { NODE_OTHER, NODE_MARK, NODE_INT, NODE_TEXT, NODE_GLOBAL, NODE_TUPLE, NODE_LIST, NODE_DICT,
                         NODE_STORAGE, NODE_TENSOR } node_kind;

/* A Python object. Items of containers are chained: a dictionary's are key, value, key, value. */
typedef struct node {
    node_kind kind;
    int64_t number;      /* of an int; of a storage the count of elements */
    const char *text;    /* of a text or a global "module name"; of a storage its key */
    size_t n_text;
    int32_t first, last; /* items: indices into links, -1 for none */
    int32_t n_items;
    ingot_dtype dtype;   /* of a storage or tensor */
    int32_t storage, shape, strides; /* of a tensor: nodes */
    int64_t offset;
} node;

typedef struct link {
    int32_t node, next;
} link;

typedef struct machine {
    uint8_t *at, *end; /* written to once: between module and name of a global */
    node *nodes;
    link *links;
    int32_t *stack, *memo;
    int32_t n_nodes, n_links, n_stack, n_memo, capacity;
    int32_t n_visited; /* items looked at for tensors */
    bool bad;
} machine;

/* ---- nodes ------------------------------------------------------------------------------------------------------ */

/* A new node, or node 0 where there is no room, which cannot happen before the pickle ends. */
static int32_t new_node(machine *m, node_kind kind)
{
    if (m->n_nodes == m->capacity) {
        m->bad = true;
        return 0;
    }
    m->nodes[m->n_nodes] = (node){.kind = kind, .first = -1, .last = -1};
    return m->n_nodes++;
}

static void push(machine *m, int32_t index)
{
    if (m->n_stack == m->capacity)
        m->bad = true;
    else
        m->stack[m->n_stack++] = index;
}

/* What is popped off an empty stack is node 0; `bad` stops the machine after the opcode. */
static int32_t pop(machine *m)
{
    if (!m->n_stack) {
        m->bad = true;
        return 0; /* node 0 is there from the start */
    }
    return m->stack[--m->n_stack];
}

static int32_t top(machine *m)
{
    if (!m->n_stack) {
        m->bad = true;
        return 0;
    }
    return m->stack[m->n_stack - 1];
}

/* Put a node at the end of a container. Cycles are possible and harmless: nothing follows them. */
static void add_item(machine *m, int32_t container, int32_t item)
{
    node *c = &m->nodes[container];
    if (m->n_links == 2 * m->capacity) {
        m->bad = true;
        return;
    }
    m->links[m->n_links] = (link){item, -1};
    if (c->last >= 0)
        m->links[c->last].next = m->n_links;
    else
        c->first = m->n_links;
    c->last = m->n_links++;
    c->n_items++;
}

/* The k-th item of a container, or node 0. */
static const node *item(const machine *m, int32_t container, int32_t k)
{
    int32_t at = m->nodes[container].first;
    while (at >= 0 && k--)
        at = m->links[at].next;
    return &m->nodes[at >= 0 ? m->links[at].node : 0];
}

/* Move everything above the topmost mark into a container, and drop the mark. */
static void take_marked(machine *m, int32_t container)
{
    int32_t at = m->n_stack;
    while (at > 0 && m->nodes[m->stack[at - 1]].kind != NODE_MARK)
        at--;
    if (!at) {
        m->bad = true;
        return;
    }
    for (int32_t i = at; i < m->n_stack; i++)
        add_item(m, container, m->stack[i]);
    m->n_stack = at - 1;
}

/* Texts of a pickle are not terminated. */
static bool is_text(const node *n, const char *text)
{
    return n->n_text == strlen(text) && !memcmp(n->text, text, n->n_text);
}

/* ---- tensors ---------------------------------------------------------------------------------------------------- */

static const struct {
    const char *storage, *dtype; /* globals of module torch */
    ingot_dtype type;
} torch_types[] = {
    {"torch FloatStorage", "torch float32", INGOT_FLOAT},
    {"torch DoubleStorage", "torch float64", INGOT_DOUBLE},
    {"torch HalfStorage", "torch float16", INGOT_FLOAT16},
    {"torch BFloat16Storage", "torch bfloat16", INGOT_BFLOAT16},
    {"torch LongStorage", "torch int64", INGOT_INT64},
    {"torch IntStorage", "torch int32", INGOT_INT32},
    {"torch ShortStorage", "torch int16", INGOT_INT16},
    {"torch CharStorage", "torch int8", INGOT_INT8},
    {"torch ByteStorage", "torch uint8", INGOT_UINT8},
    {"torch BoolStorage", "torch bool", INGOT_BOOL},
    {"torch ComplexFloatStorage", "torch complex64", INGOT_COMPLEX64},
    {"torch ComplexDoubleStorage", "torch complex128", INGOT_COMPLEX128},
    {"", "torch uint16", INGOT_UINT16},
    {"", "torch uint32", INGOT_UINT32},
    {"", "torch uint64", INGOT_UINT64},
    {"", "torch float8_e4m3fn", INGOT_FLOAT8E4M3FN},
    {"", "torch float8_e4m3fnuz", INGOT_FLOAT8E4M3FNUZ},
    {"", "torch float8_e5m2", INGOT_FLOAT8E5M2},
    {"", "torch float8_e5m2fnuz", INGOT_FLOAT8E5M2FNUZ},
};

/* From the class of a storage, or from a torch.dtype; undefined for any other thing. */
static ingot_dtype find_dtype(const node *global)
{
    for (size_t i = 0; i < sizeof torch_types / sizeof *torch_types && global->kind == NODE_GLOBAL; i++)
        if (is_text(global, torch_types[i].storage) || is_text(global, torch_types[i].dtype))
            return torch_types[i].type;
    return INGOT_UNDEFINED;
}

/* ('storage', class, key, place, count) names a member of the archive. */
static int32_t make_storage(machine *m, int32_t id)
{
    const node *key = item(m, id, 2), *class = item(m, id, 1);
    const bool fits = m->nodes[id].kind == NODE_TUPLE && is_text(item(m, id, 0), "storage") && key->kind == NODE_TEXT;
    const int32_t made = new_node(m, fits ? NODE_STORAGE : NODE_OTHER);
    m->nodes[made].text = key->text;
    m->nodes[made].n_text = key->n_text;
    m->nodes[made].dtype = find_dtype(class);
    return made;
}

static int32_t index_of(const machine *m, const node *n) { return (int32_t)(n - m->nodes); }

/* A call. _rebuild_tensor_v2(storage, offset, shape, strides, ...), _v3 with the type behind two more; a parameter
 * wraps a tensor; an ordered dictionary starts empty or from a list of pairs. */
static int32_t make_call(machine *m, int32_t function, int32_t arguments)
{
    const node *f = &m->nodes[function];
    const bool v2 = is_text(f, "torch._utils _rebuild_tensor_v2"), v3 = is_text(f, "torch._utils _rebuild_tensor_v3");
    const node *first = item(m, arguments, 0);
    if (f->kind != NODE_GLOBAL)
        return new_node(m, NODE_OTHER);
    if (is_text(f, "collections OrderedDict"))
        return new_node(m, NODE_DICT);
    if (is_text(f, "torch._utils _rebuild_parameter"))
        return index_of(m, first);
    const bool fits = (v2 || v3) && first->kind == NODE_STORAGE && item(m, arguments, 1)->kind == NODE_INT &&
                      item(m, arguments, 2)->kind == NODE_TUPLE && item(m, arguments, 3)->kind == NODE_TUPLE;
    const int32_t made = new_node(m, fits ? NODE_TENSOR : NODE_OTHER);
    node *t = &m->nodes[made];
    t->storage = index_of(m, first);
    t->offset = item(m, arguments, 1)->number;
    t->shape = index_of(m, item(m, arguments, 2));
    t->strides = index_of(m, item(m, arguments, 3));
    t->dtype = v3 ? find_dtype(item(m, arguments, 6)) : first->dtype;
    return made;
}

/* ---- opcodes ---------------------------------------------------------------------------------------------------- */

/* The next bytes of the pickle as a little-endian number. */
static uint64_t take_number(machine *m, size_t n_bytes)
{
    uint64_t value = 0;
    if ((size_t)(m->end - m->at) < n_bytes) {
        m->bad = true;
        return 0;
    }
    for (size_t i = 0; i < n_bytes; i++)
        value |= (uint64_t)m->at[i] << (8 * i);
    m->at += n_bytes;
    return value;
}

/* A pointer to the next n bytes, which stay where they are; "" past the end. */
static const char *take_bytes(machine *m, uint64_t n)
{
    const char *start = (const char *)m->at;
    if ((uint64_t)(m->end - m->at) < n) {
        m->bad = true;
        return "";
    }
    m->at += n;
    return start;
}

static int32_t make_text(machine *m, node_kind kind, const char *text, uint64_t n)
{
    const int32_t made = new_node(m, kind);
    m->nodes[made].text = text;
    m->nodes[made].n_text = m->bad ? 0 : (size_t)n;
    return made;
}

static int32_t make_int(machine *m, int64_t value)
{
    const int32_t made = new_node(m, NODE_INT);
    m->nodes[made].number = value;
    return made;
}

/* GLOBAL: module and name, each ended by a line feed. The first is turned into a space, so that one text names both. */
static int32_t take_global(machine *m)
{
    uint8_t *start = m->at;
    uint8_t *middle = memchr(start, '\n', (size_t)(m->end - start));
    uint8_t *close = middle ? memchr(middle + 1, '\n', (size_t)(m->end - middle - 1)) : NULL;
    if (!close) {
        m->bad = true;
        return 0;
    }
    *middle = ' ';
    m->at = close + 1;
    return make_text(m, NODE_GLOBAL, (const char *)start, (uint64_t)(close - start));
}

/* Remember the top of the stack under a number, as pickles do with all that they may need again. */
static void put_memo(machine *m, uint64_t index)
{
    if (index >= (uint64_t)m->capacity) {
        m->bad = true;
        return;
    }
    m->memo[index] = top(m);
    if (m->n_memo <= (int32_t)index)
        m->n_memo = (int32_t)index + 1;
}

static void get_memo(machine *m, uint64_t index)
{
    if (index >= (uint64_t)m->n_memo)
        m->bad = true;
    else
        push(m, m->memo[index]);
}

/* TUPLE1 to TUPLE3: the topmost n become one. */
static void make_tuple(machine *m, int n)
{
    const int32_t tuple = new_node(m, NODE_TUPLE);
    int32_t items[3] = {0};
    for (int i = n; i-- > 0;)
        items[i] = pop(m);
    for (int i = 0; i < n; i++)
        add_item(m, tuple, items[i]);
    push(m, tuple);
}

/* LONG1: a little-endian two's complement number; only those of 8 bytes and fewer are numbers here. */
static void take_long(machine *m)
{
    const uint64_t n = take_number(m, 1);
    const uint8_t *bytes = (const uint8_t *)take_bytes(m, n);
    uint64_t value = 0;
    for (uint64_t i = 0; i < n && i < 8 && !m->bad; i++)
        value |= (uint64_t)bytes[i] << (8 * i);
    if (n && n < 8 && !m->bad && bytes[n - 1] & 0x80)
        value |= ~UINT64_C(0) << (8 * n);
    push(m, n <= 8 ? make_int(m, (int64_t)value) : new_node(m, NODE_OTHER));
}

/* Opcodes that put things together; false when `op` is none of them. */
static bool combine(machine *m, uint8_t op)
{
    int32_t a, b, c;
    switch (op) {
    case 't': a = new_node(m, NODE_TUPLE); take_marked(m, a); push(m, a); break;
    case 'l': a = new_node(m, NODE_LIST); take_marked(m, a); push(m, a); break;
    case 'd': a = new_node(m, NODE_DICT); take_marked(m, a); push(m, a); break;
    case 0x85: make_tuple(m, 1); break;
    case 0x86: make_tuple(m, 2); break;
    case 0x87: make_tuple(m, 3); break;
    case 'a': a = pop(m); add_item(m, top(m), a); break;
    case 's': a = pop(m); b = pop(m); c = top(m); add_item(m, c, b); add_item(m, c, a); break;
    case 'e': /* what the marked things go into lies below the mark */
    case 'u':
        a = new_node(m, NODE_LIST);
        take_marked(m, a);
        b = top(m);
        for (int32_t at = m->nodes[a].first; at >= 0 && !m->bad; at = m->links[at].next)
            add_item(m, b, m->links[at].node);
        break;
    case 'R': a = pop(m); b = pop(m); push(m, make_call(m, b, a)); break;
    case 'Q': a = pop(m); push(m, make_storage(m, a)); break;
    case 'b': pop(m); break; /* BUILD: an object's attributes */
    case 0x81: pop(m); pop(m); push(m, new_node(m, NODE_OTHER)); break; /* NEWOBJ */
    case '0': pop(m); break;
    default: return false;
    }
    return true;
}

/* Run one opcode; false at the end. */
static bool step(machine *m)
{
    const uint8_t op = (uint8_t)take_number(m, 1);
    uint64_t n;
    if (m->bad || op == '.')
        return false;
    if (combine(m, op))
        return true;
    switch (op) {
    case 0x80: take_number(m, 1); break; /* PROTO */
    case 0x95: take_number(m, 8); break; /* FRAME */
    case '(': push(m, new_node(m, NODE_MARK)); break;
    case 'N': push(m, new_node(m, NODE_OTHER)); break;
    case 0x88: push(m, make_int(m, 1)); break;
    case 0x89: push(m, make_int(m, 0)); break;
    case 'K': push(m, make_int(m, (int64_t)take_number(m, 1))); break;
    case 'M': push(m, make_int(m, (int64_t)take_number(m, 2))); break;
    case 'J': push(m, make_int(m, (int32_t)(uint32_t)take_number(m, 4))); break;
    case 0x8a: take_long(m); break;
    case 'G': take_number(m, 8); push(m, new_node(m, NODE_OTHER)); break;
    case 'X': n = take_number(m, 4); push(m, make_text(m, NODE_TEXT, take_bytes(m, n), n)); break;
    case 0x8c:
    case 'U': n = take_number(m, 1); push(m, make_text(m, NODE_TEXT, take_bytes(m, n), n)); break;
    case 'c': push(m, take_global(m)); break;
    case '}': push(m, new_node(m, NODE_DICT)); break;
    case ']': push(m, new_node(m, NODE_LIST)); break;
    case ')': push(m, new_node(m, NODE_TUPLE)); break;
    case 'q': put_memo(m, take_number(m, 1)); break;
    case 'r': put_memo(m, take_number(m, 4)); break;
    case 0x94: put_memo(m, (uint64_t)m->n_memo); break;
    case 'h': get_memo(m, take_number(m, 1)); break;
    case 'j': get_memo(m, take_number(m, 4)); break;
    default: m->bad = true;
    }
    return !m->bad;
}

/* ---- the tensors that were found -------------------------------------------------------------------------------- */

/* Note a tensor under its key; what is not a tensor, or not one that can be read, is passed over. */
static ingot_status add_entry(const machine *m, cli_bundle *bundle, const node *t, const char *root, const char *key,
                              ingot_error *error)
{
    const node *storage = &m->nodes[t->storage], *shape = &m->nodes[t->shape], *strides = &m->nodes[t->strides];
    char member[400];
    if (t->kind != NODE_TENSOR)
        return INGOT_OK;
    if (!t->dtype || shape->n_items != strides->n_items || shape->n_items > INGOT_MAX_RANK)
        return cli_fail_file(error, INGOT_BAD_INPUT, bundle->path, "tensor '%s' has a type or shape that is not read",
                             cli_printable(key));
    snprintf(member, sizeof member, "%.250sdata/%.*s", root, storage->n_text < 100 ? (int)storage->n_text : 100,
             storage->text);
    const int64_t index = cli_archive_find(bundle->archive, member);
    if (index < 0)
        return cli_fail_file(error, INGOT_BAD_INPUT, bundle->path, "the data of tensor '%s' is missing",
                             cli_printable(key));
    cli_entry *entry = &bundle->entries[bundle->n];
    *entry = (cli_entry){.key = strdup(key), .index = (size_t)index, .dtype = t->dtype, .rank = shape->n_items,
                         .offset = t->offset};
    if (!entry->key)
        return cli_fail_file(error, INGOT_LIMIT, bundle->path, "out of memory");
    bundle->n++;
    for (int32_t i = 0; i < shape->n_items; i++) {
        const node *size = item(m, t->shape, i), *stride = item(m, t->strides, i);
        entry->shape[i] = size->kind == NODE_INT ? size->number : -1; /* refused when it is read */
        entry->strides[i] = stride->kind == NODE_INT ? stride->number : -1;
    }
    return INGOT_OK;
}

/* "name" of a dictionary's item, "3" of a list's, with the container's own key before it. */
static void item_key(const node *key, int32_t position, const char *prefix, char *out, size_t capacity)
{
    if (key)
        snprintf(out, capacity, "%s%s%.*s", prefix, *prefix ? "." : "", key->n_text < 200 ? (int)key->n_text : 200,
                 key->n_text ? key->text : "");
    else
        snprintf(out, capacity, "%s%s%d", prefix, *prefix ? "." : "", (int)position);
}

static bool is_container(const node *n)
{
    return n->kind == NODE_DICT || n->kind == NODE_LIST || n->kind == NODE_TUPLE;
}

/* Tensors in a container; in containers in it as well where depth is 0. */
static ingot_status add_items(machine *m, cli_bundle *bundle, const node *container, const char *root,
                              const char *prefix, int depth, ingot_error *error)
{
    const bool is_dict = container->kind == NODE_DICT;
    ingot_status st = INGOT_OK;
    int32_t position = 0;
    for (int32_t at = container->first; at >= 0 && !st; at = m->links[at].next, position++) {
        const node *key = NULL;
        char text[500];
        if (is_dict) {
            key = &m->nodes[m->links[at].node];
            if ((at = m->links[at].next) < 0)
                break;
        }
        item_key(key, position, prefix, text, sizeof text);
        const node *value = &m->nodes[m->links[at].node];
        if (m->n_visited++ > MOST_VALUES) /* one list may be in another many times */
            return cli_fail_file(error, INGOT_LIMIT, bundle->path, "holds too many values");
        if (is_container(value) && depth == 0)
            st = add_items(m, bundle, value, root, text, depth + 1, error);
        else if (bundle->n < (size_t)m->capacity)
            st = add_entry(m, bundle, value, root, text, error);
    }
    return st;
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

/* Run the pickle and list the tensors of what it leaves on the stack. */
static ingot_status list_pickle(cli_bundle *bundle, const char *root, uint8_t *data, size_t size,
                                ingot_error *error)
{
    const size_t n = size + 2;
    machine m = {.at = data, .end = data + size, .capacity = (int32_t)n};
    ingot_status st = INGOT_OK;
    m.nodes = calloc(n, sizeof *m.nodes);
    m.links = calloc(2 * n, sizeof *m.links);
    m.stack = calloc(n, sizeof *m.stack);
    m.memo = calloc(n, sizeof *m.memo);
    bundle->entries = calloc(n, sizeof *bundle->entries);
    if (!m.nodes || !m.links || !m.stack || !m.memo || !bundle->entries) {
        st = cli_fail_file(error, INGOT_LIMIT, bundle->path, "out of memory");
    } else {
        new_node(&m, NODE_OTHER); /* node 0: nothing */
        while (step(&m))
            continue;
        const node *result = &m.nodes[top(&m)];
        if (m.bad || m.n_stack != 1)
            st = cli_fail_file(error, INGOT_BAD_INPUT, bundle->path,
                               "its pickle holds more than tensors in a dictionary or list");
        else if (is_container(result))
            st = add_items(&m, bundle, result, root, "", 0, error);
        else
            st = add_entry(&m, bundle, result, root, "", error);
    }
    free(m.nodes);
    free(m.links);
    free(m.stack);
    free(m.memo);
    return st;
}

/* The folder inside the archive has the name the file had when it was saved, whatever its name is today. */
ingot_status cli_pt_list(cli_bundle *bundle, ingot_error *error)
{
    char root[300] = "";
    const char *name;
    size_t i = 0, size;
    uint8_t *data;
    /* everything lies in one folder, named after the file when it was saved */
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
    if (size > MOST_PICKLE_BYTES)
        st = cli_fail_file(error, INGOT_LIMIT, bundle->path, "its pickle of %zu bytes is too large", size);
    else
        st = list_pickle(bundle, root, data, size, error);
    free(data);
    return st;
}

/* Copy the elements that shape and strides pick out of a storage. */
ingot_status cli_pt_decode(const char *label, const uint8_t *data, size_t size_bytes, const cli_entry *entry,
                           cli_value *value, ingot_error *error)
{
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
    const ingot_status st = cli_value_alloc(value, 0, error);
    if (st)
        return st;
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
