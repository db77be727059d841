/* graph.c - building and rewriting graphs. Use lists are kept up to date by every function that changes an input, so a
 * pass can ask who reads a value at any moment. */
#include "engine/core/graph.h"

#include <string.h>

/* ---- names: an open-addressing table from value names to ids ---- */

/* Kept at most half full by register_name(). */
typedef struct ingot_names {
    uint32_t capacity, used; /* capacity is a power of two */
    int *ids;                /* value id, or INGOT_NONE for an empty slot */
} ingot_names;

/* Only tells where to look first: names are compared whole. Source: Fowler, Noll and Vo's 32-bit FNV-1a. */
static uint32_t hash_name(const char *name)
{
    uint32_t hash = 2166136261u; /* FNV-1a */
    for (; *name; name++)
        hash = (hash ^ (unsigned char)*name) * 16777619u;
    return hash;
}

/* The slot of the name, or the empty one where it would go. It ends, because the table is at most half full. Linear
 * probing; nothing is ever taken out of the table. */
static uint32_t find_slot(const ingot_graph *graph, const char *name)
{
    const ingot_names *names = graph->names;
    uint32_t slot = hash_name(name) & (names->capacity - 1);
    while (names->ids[slot] != INGOT_NONE && strcmp(graph->values[names->ids[slot]].name, name))
        slot = (slot + 1) & (names->capacity - 1);
    return slot;
}

/* A table of `capacity` slots (a power of two) with everything the old one had. False when memory is out. The old one
 * stays in use after a failure. */
static bool grow_names(ingot_graph *graph, uint32_t capacity)
{
    ingot_names *names = graph->names;
    int *old = names->ids;
    const uint32_t old_capacity = names->capacity;
    int *ids = ingot_arena_array(graph->arena, capacity, sizeof *ids);
    if (!ids)
        return false;
    memset(ids, 0xff, capacity * sizeof *ids);
    names->ids = ids;
    names->capacity = capacity;
    for (uint32_t i = 0; i < old_capacity; i++)
        if (old[i] != INGOT_NONE)
            ids[find_slot(graph, graph->values[old[i]].name)] = old[i];
    return true;
}

/* Enter a value's name. The first value of a name keeps it: later duplicates stay nameless for lookups. False when
 * memory is out. */
static bool register_name(ingot_graph *graph, int id)
{
    ingot_names *names = graph->names;
    if (2 * (names->used + 1) > names->capacity && !grow_names(graph, 2 * names->capacity))
        return false;
    const uint32_t slot = find_slot(graph, graph->values[id].name);
    if (names->ids[slot] == INGOT_NONE) {
        names->ids[slot] = id;
        names->used++;
    }
    return true;
}

/* ---- growing arrays in an arena: doubled, the old ones stay behind until the model is freed ---- */

/* Make room for item n of *array, a pointer to items of item_bytes each. False when memory is out; nothing changes
 * then. Pointers to items of the old array are of no use afterwards. */
static bool grow(ingot_arena *arena, void *array, int *capacity, int n, size_t item_bytes)
{
    void **items = array;
    if (n < *capacity)
        return true;
    const int larger = *capacity ? 2 * *capacity : 16;
    void *copy = ingot_arena_array(arena, (size_t)larger, item_bytes);
    if (!copy)
        return false;
    if (n)
        memcpy(copy, *items, (size_t)n * item_bytes);
    *items = copy;
    *capacity = larger;
    return true;
}

/* Append one id to an exactly sized list. The list is doubled when its length is a power of two, so no capacity need be
 * kept. False when memory is out. */
static bool append_id(ingot_arena *arena, int **list, int *n, int id)
{
    if ((*n & (*n - 1)) == 0) { /* full at every power of two */
        int *copy = ingot_arena_array(arena, *n ? 2 * (size_t)*n : 1, sizeof *copy);
        if (!copy)
            return false;
        if (*n)
            memcpy(copy, *list, (size_t)*n * sizeof *copy);
        *list = copy;
    }
    (*list)[(*n)++] = id;
    return true;
}

/* NULL when memory is out; the arena owns everything the graph ever allocates. 64 slots for names to begin with; `name`
 * NULL is "". */
ingot_graph *ingot_graph_create(ingot_arena *arena, const char *name)
{
    ingot_graph *graph = ingot_arena_alloc(arena, sizeof *graph);
    if (!graph)
        return NULL;
    graph->arena = arena;
    graph->name = ingot_arena_string(arena, name ? name : "", name ? strlen(name) : 0);
    graph->names = ingot_arena_alloc(arena, sizeof *graph->names);
    return graph->name && graph->names && grow_names(graph, 64) ? graph : NULL;
}

/* A new value has no producer, no use and an unknown type. INGOT_NONE when memory is out. graph->values may move, so
 * pointers to values do not outlive this call; ids do. */
int ingot_graph_add_value(ingot_graph *graph, const char *name)
{
    if (!grow(graph->arena, &graph->values, &graph->value_capacity, graph->n_values, sizeof *graph->values))
        return INGOT_NONE;
    ingot_value *value = &graph->values[graph->n_values];
    memset(value, 0, sizeof *value);
    value->name = ingot_arena_string(graph->arena, name ? name : "", name ? strlen(name) : 0);
    value->producer = INGOT_NONE;
    value->type.rank = -1;
    if (!value->name)
        return INGOT_NONE;
    const int id = graph->n_values++;
    if (*value->name && !register_name(graph, id)) {
        graph->n_values--;
        return INGOT_NONE;
    }
    return id;
}

/* Where a name was given twice, the first value has it. Values without a name are never found. */
int ingot_graph_find_value(const ingot_graph *graph, const char *name)
{
    return *name ? graph->names->ids[find_slot(graph, name)] : INGOT_NONE;
}

/* Nothing is added when memory is out: the caller sees it in n_inputs. */
void ingot_graph_add_input(ingot_graph *graph, int value)
{
    if (append_id(graph->arena, &graph->inputs, &graph->n_inputs, value))
        graph->values[value].is_input = true;
}

/* A value may be an output more than once, hence a count. Want of memory shows in n_outputs. */
void ingot_graph_add_output(ingot_graph *graph, int value)
{
    if (append_id(graph->arena, &graph->outputs, &graph->n_outputs, value))
        graph->values[value].n_outputs++;
}

/* ---- uses ---- */

/* Note that node reads value at slot. INGOT_NONE, an input left out, has no uses. False when memory is out. The newest
 * use comes first in the list. */
static bool add_use(ingot_graph *graph, int value, int node, int slot)
{
    if (value == INGOT_NONE)
        return true;
    ingot_use *use = ingot_arena_alloc(graph->arena, sizeof *use);
    if (!use)
        return false;
    ingot_value *v = &graph->values[value];
    *use = (ingot_use){node, slot, v->uses};
    v->uses = use;
    v->n_uses++;
    return true;
}

/* Take the note out again; records come from the arena and are not reused. A linear search along the value's readers. A
 * use that is not listed is no error. */
static void remove_use(ingot_graph *graph, int value, int node, int slot)
{
    if (value == INGOT_NONE)
        return;
    ingot_value *v = &graph->values[value];
    for (ingot_use **use = &v->uses; *use; use = &(*use)->next)
        if ((*use)->node == node && (*use)->slot == slot) {
            *use = (*use)->next;
            v->n_uses--;
            return;
        }
}

/* Replace the whole input list of a node, keeping use lists right. `inputs` is taken over and must live in the arena.
 * False when memory is out, with use lists that lack some: the graph can then only be freed. */
static bool set_inputs(ingot_graph *graph, int index, int *inputs, int n)
{
    ingot_node *node = graph->nodes[index];
    for (int i = 0; i < node->n_all_inputs; i++)
        remove_use(graph, node->inputs[i], index, i);
    node->inputs = inputs;
    node->n_all_inputs = n;
    for (int i = 0; i < n; i++)
        if (!add_use(graph, inputs[i], index, i))
            return false;
    return true;
}

/* A copy of node's inputs with `extra` free slots opened at `at`. Moves first_input of what is fused, too, so the
 * caller must go through with it. NULL when memory is out. */
static int *widen(const ingot_graph *graph, const ingot_node *node, int at, int extra)
{
    int *inputs = ingot_arena_array(graph->arena, (size_t)(node->n_all_inputs + extra), sizeof *inputs);
    if (!inputs)
        return NULL;
    for (int i = 0; i < at; i++)
        inputs[i] = node->inputs[i];
    for (int i = 0; i < extra; i++)
        inputs[at + i] = INGOT_NONE;
    for (int i = at; i < node->n_all_inputs; i++)
        inputs[i + extra] = node->inputs[i];
    for (int i = 0; i < node->n_fused; i++)
        if (node->fused[i].first_input >= at)
            node->fused[i].first_input += extra;
    return inputs;
}

/* Output values become the node's. "ai.onnx" is another name of the default domain, kept as "". NULL when memory is
 * out. The node comes last; its place in running order is found by ingot_graph_sort(). All strings and id lists are
 * copied. */
ingot_node *ingot_graph_add_node(ingot_graph *graph, const char *name, const char *op_type, const char *domain,
                                 int version, const int *inputs, int n_inputs, const int *outputs, int n_outputs)
{
    ingot_arena *arena = graph->arena;
    ingot_node *node = ingot_arena_alloc(arena, sizeof *node);
    if (!node || !grow(arena, &graph->nodes, &graph->node_capacity, graph->n_nodes, sizeof *graph->nodes))
        return NULL;
    if (!strcmp(domain, "ai.onnx"))
        domain = "";
    node->name = ingot_arena_string(arena, name, strlen(name));
    node->op_type = ingot_arena_string(arena, op_type, strlen(op_type));
    node->domain = ingot_arena_string(arena, domain, strlen(domain));
    node->version = version;
    node->outputs = ingot_arena_copy(arena, outputs, (size_t)n_outputs * sizeof *outputs);
    int *own = ingot_arena_copy(arena, inputs, (size_t)n_inputs * sizeof *inputs);
    if (!node->name || !node->op_type || !node->domain || !node->outputs || !own)
        return NULL;
    const int index = graph->n_nodes++;
    graph->nodes[index] = node;
    node->n_inputs = n_inputs;
    node->n_outputs = n_outputs;
    for (int i = 0; i < n_outputs; i++)
        if (outputs[i] != INGOT_NONE)
            graph->values[outputs[i]].producer = index;
    return set_inputs(graph, index, own, n_inputs) ? node : NULL;
}

/* Own inputs come first, then captures, then those of fused nodes: lengthening opens slots between the first two
 * groups, shortening closes them, and either moves first_input of what is fused. New slots are INGOT_NONE. False when
 * memory is out. */
bool ingot_node_set_n_inputs(ingot_graph *graph, int index, int n_inputs)
{
    ingot_node *node = graph->nodes[index];
    const int change = n_inputs - node->n_inputs;
    if (change > 0) {
        int *inputs = widen(graph, node, node->n_inputs, change);
        if (!inputs)
            return false;
        node->n_inputs = n_inputs;
        return set_inputs(graph, index, inputs, node->n_all_inputs + change);
    }
    if (change < 0) {
        int *inputs = ingot_arena_array(graph->arena, (size_t)(node->n_all_inputs + change), sizeof *inputs);
        if (!inputs)
            return false;
        for (int i = 0, k = 0; i < node->n_all_inputs; i++)
            if (i < n_inputs || i >= node->n_inputs)
                inputs[k++] = node->inputs[i];
        for (int i = 0; i < node->n_fused; i++)
            node->fused[i].first_input += change;
        node->n_inputs = n_inputs;
        return set_inputs(graph, index, inputs, node->n_all_inputs + change);
    }
    return true;
}

/* False when memory is out. Use lists of the old and the new value follow. A slot past all inputs lengthens the node's
 * own ones first. */
bool ingot_node_set_input(ingot_graph *graph, int index, int slot, int value)
{
    ingot_node *node = graph->nodes[index];
    if (slot >= node->n_all_inputs && !ingot_node_set_n_inputs(graph, index, slot + 1))
        return false;
    remove_use(graph, node->inputs[slot], index, slot);
    node->inputs[slot] = value;
    return add_use(graph, value, index, slot);
}

/* New captures go behind those already there and before the inputs of fused nodes: the order of the node's subgraphs.
 * False when memory is out. */
bool ingot_node_add_captures(ingot_graph *graph, int index, const int *values, int n)
{
    ingot_node *node = graph->nodes[index];
    const int at = node->n_inputs + node->n_captures;
    int *inputs = widen(graph, node, at, n);
    if (!inputs)
        return false;
    for (int i = 0; i < n; i++)
        inputs[at + i] = values[i];
    node->n_captures += n;
    return set_inputs(graph, index, inputs, node->n_all_inputs + n);
}

/* The old value loses its producer, if that was this node. False where there is no such output. A producer that `value`
 * had before is not told: the caller has removed it, or gives it another output. */
bool ingot_node_set_output(ingot_graph *graph, int index, int output, int value)
{
    ingot_node *node = graph->nodes[index];
    if (output >= node->n_outputs)
        return false;
    const int old = node->outputs[output];
    if (old != INGOT_NONE && graph->values[old].producer == index)
        graph->values[old].producer = INGOT_NONE;
    node->outputs[output] = value;
    if (value != INGOT_NONE)
        graph->values[value].producer = index;
    return true;
}

/* Producers stay as they are: only readers and graph outputs move. False when memory is out. `next` is read first, as
 * each use goes from one list to the other. Fused nodes read through their host's inputs, so they follow. */
bool ingot_graph_replace(ingot_graph *graph, int from, int to)
{
    if (from == to)
        return true;
    for (ingot_use *use = graph->values[from].uses, *next; use; use = next) {
        next = use->next;
        if (!ingot_node_set_input(graph, use->node, use->slot, to))
            return false;
    }
    for (int i = 0; i < graph->n_outputs; i++)
        if (graph->outputs[i] == from) {
            graph->outputs[i] = to;
            graph->values[from].n_outputs--;
            graph->values[to].n_outputs++;
        }
    return true;
}

/* The record stays in place with op_type NULL, so that indices hold; ingot_graph_sort() drops it. Cannot fail: no use
 * is added. */
void ingot_graph_remove_node(ingot_graph *graph, int index)
{
    ingot_node *node = graph->nodes[index];
    set_inputs(graph, index, NULL, 0);
    for (int i = 0; i < node->n_outputs; i++)
        if (node->outputs[i] != INGOT_NONE && graph->values[node->outputs[i]].producer == index)
            graph->values[node->outputs[i]].producer = INGOT_NONE;
    node->op_type = NULL;
}

/* A node that reads the value twice does not count: n_uses is 2. */
int ingot_graph_only_user(const ingot_graph *graph, int value)
{
    const ingot_value *v = &graph->values[value];
    return v->n_uses == 1 && !v->n_outputs ? v->uses->node : INGOT_NONE;
}

/* The host's inputs grow by those of the node except the chain, and its output 0 becomes the node's. The node's record
 * is copied whole, so that it can be written out again. False when memory is out. Uses of the value between are removed
 * with the node, so it is left without reader and producer. */
bool ingot_graph_fuse(ingot_graph *graph, int host_index, int index, int chain_slot)
{
    ingot_node *host = graph->nodes[host_index], *node = graph->nodes[index];
    ingot_arena *arena = graph->arena;
    const int extra = node->n_all_inputs - 1, first = host->n_all_inputs;
    ingot_fused *fused = ingot_arena_array(arena, (size_t)host->n_fused + 1, sizeof *fused);
    ingot_node *kept = ingot_arena_copy(arena, node, sizeof *node);
    int *inputs = widen(graph, host, first, extra);
    if (!fused || !kept || !inputs)
        return false;
    kept->inputs = ingot_arena_copy(arena, node->inputs, (size_t)node->n_all_inputs * sizeof *node->inputs);
    kept->outputs = ingot_arena_copy(arena, node->outputs, (size_t)node->n_outputs * sizeof *node->outputs);
    if (!kept->inputs || !kept->outputs)
        return false;
    /* From here on nothing can fail but the use lists. */
    if (host->n_fused)
        memcpy(fused, host->fused, (size_t)host->n_fused * sizeof *fused);
    fused[host->n_fused] = (ingot_fused){kept, chain_slot, first};
    host->fused = fused;
    host->n_fused++;
    for (int i = 0, k = first; i < node->n_all_inputs; i++)
        if (i != chain_slot)
            inputs[k++] = node->inputs[i];
    ingot_graph_remove_node(graph, index);
    return set_inputs(graph, host_index, inputs, first + extra) &&
           ingot_node_set_output(graph, host_index, 0, kept->outputs[0]);
}

/* ---- order ---- */

/* Renumber nodes: order[k] is the old index of the k-th node that stays. Uses and producers hold node numbers, so both
 * are renumbered. False when memory is out, with nothing changed. */
static bool apply_order(ingot_graph *graph, const int *order, int n)
{
    ingot_node **nodes = ingot_arena_array(graph->arena, (size_t)n + 1, sizeof *nodes);
    int *renumbered = ingot_arena_array(graph->arena, (size_t)graph->n_nodes + 1, sizeof *renumbered);
    if (!nodes || !renumbered)
        return false;
    for (int k = 0; k < n; k++) {
        nodes[k] = graph->nodes[order[k]];
        renumbered[order[k]] = k;
    }
    for (int v = 0; v < graph->n_values; v++) {
        ingot_value *value = &graph->values[v];
        if (value->producer != INGOT_NONE)
            value->producer = renumbered[value->producer];
        for (ingot_use *use = value->uses; use; use = use->next)
            use->node = renumbered[use->node];
    }
    graph->nodes = nodes;
    graph->n_nodes = n;
    graph->node_capacity = n + 1;
    return true;
}

/* Kahn's algorithm with a heap would be stable in one pass; this walks in file order and defers what is not ready,
 * which is one pass for the usual sorted file. All arrays have an entry for each node and are the arena's. */
typedef struct sorter {
    ingot_graph *graph;
    int *missing;   /* per node: inputs whose producer has not been placed */
    int *order;
    int n_placed;
    int *ready;     /* nodes that became ready by others: placed at once, first in first out */
} sorter;

/* Append node `index` and all earlier ones that waited for it alone; later ones are met by the walk in their turn.
 * `ready` is a queue that is empty between calls. Each node is placed once, each use looked at once: linear in the size
 * of the graph. */
static void place(sorter *s, int index)
{
    int head = 0, tail = 0;
    s->ready[tail++] = index;
    while (head < tail) {
        const int current = s->ready[head++];
        const ingot_node *node = s->graph->nodes[current];
        s->order[s->n_placed++] = current;
        s->missing[current] = -1;
        for (int i = 0; i < node->n_outputs; i++) {
            if (node->outputs[i] == INGOT_NONE)
                continue;
            for (const ingot_use *use = s->graph->values[node->outputs[i]].uses; use; use = use->next)
                if (--s->missing[use->node] == 0 && use->node < index)
                    s->ready[tail++] = use->node;
        }
    }
}

/* missing counts inputs, not producers, so a node that reads one value twice waits twice and is released twice. What is
 * never released is on a cycle or behind one. INGOT_INVALID or INGOT_LIMIT leave the order as it was. */
ingot_status ingot_graph_sort(ingot_graph *graph, ingot_error *error)
{
    const size_t n = (size_t)graph->n_nodes + 1;
    sorter s = {graph, ingot_arena_array(graph->arena, n, sizeof(int)), ingot_arena_array(graph->arena, n, sizeof(int)),
                0, ingot_arena_array(graph->arena, n, sizeof(int))};
    int n_alive = 0;
    if (!s.missing || !s.order || !s.ready)
        return ingot_out_of_memory(error);
    /* How many inputs each node waits for. */
    for (int i = 0; i < graph->n_nodes; i++) {
        const ingot_node *node = graph->nodes[i];
        n_alive += node->op_type != NULL;
        for (int k = 0; k < node->n_all_inputs; k++)
            s.missing[i] += node->inputs[k] != INGOT_NONE && graph->values[node->inputs[k]].producer != INGOT_NONE;
    }
    for (int i = 0; i < graph->n_nodes; i++)
        if (s.missing[i] == 0 && graph->nodes[i]->op_type)
            place(&s, i);
    for (int i = 0; i < graph->n_nodes; i++)
        if (graph->nodes[i]->op_type && s.missing[i] >= 0)
            return ingot_fail(error, INGOT_INVALID, "node '%s' (%s): its inputs depend on its own output",
                              graph->nodes[i]->name, graph->nodes[i]->op_type);
    return apply_order(graph, s.order, n_alive) ? INGOT_OK : ingot_out_of_memory(error);
}
