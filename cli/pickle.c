/* pickle.c - reading pickles without running them.
 *
 * A pickle is a program for a stack machine that may call any Python function. Here nothing is called: the few opcodes
 * that torch.save uses build plain nodes, a call is looked at only to see whether it rebuilds a tensor, and whatever is
 * not understood becomes a node that is not a tensor. Every opcode takes a byte and makes at most one node and two
 * links, so that memory follows from the pickle's size.
 * Source: CPython, Lib/pickletools.py. */
#include "cli/pickle.h"

#include <stdlib.h>
#include <string.h>

enum { MOST_PICKLE_BYTES = 1 << 22 };

/* ---- nodes ------------------------------------------------------------------------------------------------------ */

/* A new node, or node 0 where there is no room, which cannot happen before the pickle ends. */
static int32_t new_node(cli_pickle *m, cli_node_kind kind)
{
    if (m->n_nodes == m->capacity) {
        m->bad = true;
        return 0;
    }
    m->nodes[m->n_nodes] = (cli_node){.kind = kind, .first = -1, .last = -1};
    return m->n_nodes++;
}

/* Onto the stack; it has as much room as the pickle has bytes. */
static void push(cli_pickle *m, int32_t index)
{
    if (m->n_stack == m->capacity)
        m->bad = true;
    else
        m->stack[m->n_stack++] = index;
}

/* What is popped off an empty stack is node 0; `bad` stops the machine after the opcode. */
static int32_t pop(cli_pickle *m)
{
    if (!m->n_stack) {
        m->bad = true;
        return 0; /* node 0 is there from the start */
    }
    return m->stack[--m->n_stack];
}

/* The top of the stack, which stays there. */
static int32_t top(cli_pickle *m)
{
    if (!m->n_stack) {
        m->bad = true;
        return 0;
    }
    return m->stack[m->n_stack - 1];
}

/* Put a node at the end of a container. Cycles are possible and harmless: nothing follows them. */
static void add_item(cli_pickle *m, int32_t container, int32_t item)
{
    cli_node *c = &m->nodes[container];
    if (m->n_links == 2 * m->capacity) {
        m->bad = true;
        return;
    }
    m->links[m->n_links] = (cli_link){item, -1};
    if (c->last >= 0)
        m->links[c->last].next = m->n_links;
    else
        c->first = m->n_links;
    c->last = m->n_links++;
    c->n_items++;
}

/* The k-th item of a container, or node 0. */
const cli_node *cli_pickle_item(const cli_pickle *m, int32_t container, int32_t k)
{
    int32_t at = m->nodes[container].first;
    while (at >= 0 && k--)
        at = m->links[at].next;
    return &m->nodes[at >= 0 ? m->links[at].node : 0];
}

/* Move everything above the topmost mark into a container, and drop the mark. */
static void take_marked(cli_pickle *m, int32_t container)
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
bool cli_node_is(const cli_node *n, const char *text)
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
static ingot_dtype find_dtype(const cli_node *global)
{
    for (size_t i = 0; i < sizeof torch_types / sizeof *torch_types && global->kind == NODE_GLOBAL; i++)
        if (cli_node_is(global, torch_types[i].storage) || cli_node_is(global, torch_types[i].dtype))
            return torch_types[i].type;
    return INGOT_UNDEFINED;
}

/* ('storage', class, key, place, count) names a member of the archive. */
static int32_t make_storage(cli_pickle *m, int32_t id)
{
    const cli_node *key = cli_pickle_item(m, id, 2), *class = cli_pickle_item(m, id, 1);
    const bool fits = m->nodes[id].kind == NODE_TUPLE && cli_node_is(cli_pickle_item(m, id, 0), "storage") &&
                      key->kind == NODE_TEXT;
    const int32_t made = new_node(m, fits ? NODE_STORAGE : NODE_OTHER);
    m->nodes[made].text = key->text;
    m->nodes[made].n_text = key->n_text;
    m->nodes[made].dtype = find_dtype(class);
    return made;
}

/* From a pointer to a node back to its index. */
static int32_t index_of(const cli_pickle *m, const cli_node *n) { return (int32_t)(n - m->nodes); }

/* A call. _rebuild_tensor_v2(storage, offset, shape, strides, ...), _v3 with the type behind two more; a parameter
 * wraps a tensor; an ordered dictionary starts empty or from a list of pairs. */
static int32_t make_call(cli_pickle *m, int32_t function, int32_t arguments)
{
    const cli_node *f = &m->nodes[function];
    /* which function, of the few that matter */
    const bool v2 = cli_node_is(f, "torch._utils _rebuild_tensor_v2");
    const bool v3 = cli_node_is(f, "torch._utils _rebuild_tensor_v3");
    const cli_node *first = cli_pickle_item(m, arguments, 0);
    if (f->kind != NODE_GLOBAL)
        return new_node(m, NODE_OTHER);
    if (cli_node_is(f, "collections OrderedDict"))
        return new_node(m, NODE_DICT);
    if (cli_node_is(f, "torch._utils _rebuild_parameter"))
        return index_of(m, first);
    const bool fits = (v2 || v3) && first->kind == NODE_STORAGE && cli_pickle_item(m, arguments, 1)->kind == NODE_INT &&
                      cli_pickle_item(m, arguments, 2)->kind == NODE_TUPLE &&
                      cli_pickle_item(m, arguments, 3)->kind == NODE_TUPLE;
    const int32_t made = new_node(m, fits ? NODE_TENSOR : NODE_OTHER);
    cli_node *t = &m->nodes[made];
    t->storage = index_of(m, first);
    t->offset = cli_pickle_item(m, arguments, 1)->number;
    t->shape = index_of(m, cli_pickle_item(m, arguments, 2));
    t->strides = index_of(m, cli_pickle_item(m, arguments, 3));
    t->dtype = v3 ? find_dtype(cli_pickle_item(m, arguments, 6)) : first->dtype;
    return made;
}

/* ---- opcodes ---------------------------------------------------------------------------------------------------- */

/* The next bytes of the pickle as a little-endian number. */
static uint64_t take_number(cli_pickle *m, size_t n_bytes)
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
static const char *take_bytes(cli_pickle *m, uint64_t n)
{
    const char *start = (const char *)m->at;
    if ((uint64_t)(m->end - m->at) < n) {
        m->bad = true;
        return "";
    }
    m->at += n;
    return start;
}

/* A node that points to text in the pickle itself; nothing is copied. */
static int32_t make_text(cli_pickle *m, cli_node_kind kind, const char *text, uint64_t n)
{
    const int32_t made = new_node(m, kind);
    m->nodes[made].text = text;
    m->nodes[made].n_text = m->bad ? 0 : (size_t)n;
    return made;
}

/* A node with a number. */
static int32_t make_int(cli_pickle *m, int64_t value)
{
    const int32_t made = new_node(m, NODE_INT);
    m->nodes[made].number = value;
    return made;
}

/* GLOBAL: module and name, each ended by a line feed. The first is turned into a space, so that one text names both. */
static int32_t take_global(cli_pickle *m)
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
static void put_memo(cli_pickle *m, uint64_t index)
{
    if (index >= (uint64_t)m->capacity) {
        m->bad = true;
        return;
    }
    m->memo[index] = top(m);
    if (m->n_memo <= (int32_t)index)
        m->n_memo = (int32_t)index + 1;
}

/* Push what was remembered under a number. */
static void get_memo(cli_pickle *m, uint64_t index)
{
    if (index >= (uint64_t)m->n_memo)
        m->bad = true;
    else
        push(m, m->memo[index]);
}

/* TUPLE1 to TUPLE3: the topmost n become one. */
static void make_tuple(cli_pickle *m, int n)
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
static void take_long(cli_pickle *m)
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
static bool combine(cli_pickle *m, uint8_t op)
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
static bool step(cli_pickle *m)
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

/* ---- the whole program ------------------------------------------------------------------------------------------ */

/* Every opcode makes at most one node and takes a byte, so the pickle's size bounds all four arrays; their pages are
 * touched only as nodes are made. */
ingot_status cli_pickle_run(cli_pickle *m, const char *path, uint8_t *data, size_t size_bytes, ingot_error *error)
{
    const size_t n = (size_bytes < MOST_PICKLE_BYTES ? size_bytes : MOST_PICKLE_BYTES) + 2;
    *m = (cli_pickle){.at = data, .end = data + size_bytes, .capacity = (int32_t)n};
    m->nodes = calloc(n, sizeof *m->nodes);
    m->links = calloc(2 * n, sizeof *m->links);
    m->stack = calloc(n, sizeof *m->stack);
    m->memo = calloc(n, sizeof *m->memo);
    if (!m->nodes || !m->links || !m->stack || !m->memo)
        return cli_fail_file(error, INGOT_LIMIT, path, "out of memory");
    /* run to the end; one thing must be left on the stack, which is the result */
    new_node(m, NODE_OTHER); /* node 0: nothing */
    while (step(m))
        continue;
    m->result = top(m);
    if (m->bad || m->n_stack != 1)
        return cli_fail_file(error, INGOT_BAD_INPUT, path,
                             "its pickle holds more than tensors in a dictionary or list");
    return INGOT_OK;
}

/* What cli_pickle_run() allocated, whether it succeeded or not. The bytes of the pickle are the caller's. */
void cli_pickle_free(cli_pickle *m)
{
    free(m->nodes);
    free(m->links);
    free(m->stack);
    free(m->memo);
}
