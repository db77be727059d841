/* pickle.h - what a pickle builds, read without running anything (pickle.c). */
#ifndef CLI_PICKLE_H
#define CLI_PICKLE_H

#include "cli/cli.h"

typedef enum cli_node_kind {
    NODE_OTHER,
    NODE_MARK,
    NODE_INT,
    NODE_TEXT,
    NODE_GLOBAL,
    NODE_TUPLE,
    NODE_LIST,
    NODE_DICT,
    NODE_STORAGE,
    NODE_TENSOR
} cli_node_kind;

/* A Python object. Items of containers are chained: a dictionary's are key, value, key, value. */
typedef struct cli_node {
    cli_node_kind kind;
    int64_t number;   /* of an int */
    const char *text; /* of a text or a global "module name"; of a storage its key */
    size_t n_text;
    int32_t first, last; /* items: indices into links, -1 for none */
    int32_t n_items;
    ingot_dtype dtype;               /* of a storage or tensor */
    int32_t storage, shape, strides; /* of a tensor: nodes */
    int64_t offset;
} cli_node;

typedef struct cli_link {
    int32_t node, next;
} cli_link;

/* The machine, and after the run the nodes that it built. */
typedef struct cli_pickle {
    uint8_t *at, *end; /* written to once: between module and name of a global */
    cli_node *nodes;
    cli_link *links;
    int32_t *stack, *memo;
    int32_t n_nodes, n_links, n_stack, n_memo, capacity;
    int32_t n_visited; /* items looked at for tensors */
    int32_t result;    /* the node that is left on the stack */
    bool bad;
} cli_pickle;

/**
 * Read one pickle. `at` is behind it afterwards, and its texts point into `data`, which is written to.
 * path     for messages.
 * Returns  INGOT_OK, INGOT_BAD_INPUT or INGOT_LIMIT; to be freed with cli_pickle_free() in any case.
 */
ingot_status cli_pickle_run(cli_pickle *pickle, const char *path, uint8_t *data, size_t size_bytes, ingot_error *error);
void cli_pickle_free(cli_pickle *pickle);

/* The k-th item of a container, or node 0, which is nothing. */
const cli_node *cli_pickle_item(const cli_pickle *pickle, int32_t container, int32_t k);

/* Is it this text? Texts of a pickle are not terminated. */
bool cli_node_is(const cli_node *node, const char *text);

/* Where the elements of a storage are: the member of an archive, or bytes of the file. False: there is no such storage.
 */
typedef bool cli_find_storage(const void *context, const cli_node *storage, cli_entry *entry);

/** List the tensors of what a pickle built as the bundle's entries (pt.c). */
ingot_status cli_pickle_list(cli_pickle *pickle, cli_bundle *bundle, cli_find_storage *find, const void *context,
                             ingot_error *error);

#endif
