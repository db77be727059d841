/* verify_pair.c - which value of the graph is it that PyTorch dumped under this key?
 *
 * By name: the key is the value's own, as dumps made from the graph have them. By module: the key is a module's path,
 * as models/dump_layers.py writes it, "layer1.0.conv1", with "@1" for its second call and ":1" for the second tensor of
 * a tuple; exporters leave the path with the nodes (failing that, with the parameters'
 * names), and the module's result is the last value of its nodes that others
 * read. A module that left no nodes was folded into the one before it (BatchNorm into Conv), whose value is then its
 * own. And where not a single key is known either way, by shape and order, which is a guess. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "cli/verify.h"

/* A key taken apart, and what the tensor is like. */
typedef struct dumped {
    size_t entry;
    const char *key;
    char path[400];
    int call, item; /* item -1: not of a tuple */
    int32_t rank;
    int64_t shape[INGOT_MAX_RANK], count;
    double mean, rms;
    int64_t value;  /* found, or VERIFY_NONE */
    bool has_nodes; /* its module left some */
    verify_match match;
} dumped;

/* One search for pairs: the keys, and the nodes of the module that is looked at. */
typedef struct pairing {
    verify_graph *graph;
    dumped *keys;
    size_t n;
    bool *inside; /* by node: scratch of one search */
} pairing;

/* ---- keys ------------------------------------------------------------------------------------------------------- */

/* "layers.fc:1" -> path "fc", item 1. A dump of all things has its layers beneath "layers". */
static void parse_key(dumped *d)
{
    const char *key = strncmp(d->key, "layers.", 7) ? d->key : d->key + 7;
    snprintf(d->path, sizeof d->path, "%s", key);
    d->item = -1;
    char *mark = strrchr(d->path, ':');
    if (mark && mark[1] && strspn(mark + 1, "0123456789") == strlen(mark + 1)) {
        d->item = atoi(mark + 1);
        *mark = 0;
    }
    mark = strrchr(d->path, '@');
    if (mark && mark[1] && strspn(mark + 1, "0123456789") == strlen(mark + 1)) {
        d->call = atoi(mark + 1);
        *mark = 0;
    }
}

/* Is it one of the inputs and outputs beside the layers in the same file? */
static bool is_role(const char *key)
{
    return !strncmp(key, "inputs.", 7) || !strncmp(key, "outputs.", 8) || !strncmp(key, "input_", 6) ||
           !strncmp(key, "output_", 7) || !strcmp(key, "inputs") || !strcmp(key, "outputs");
}

/* Every entry is read once, for its shape and size: headers alone do not tell them in every format. */
static ingot_status list_keys(pairing *p, cli_bundle *layers, ingot_error *error)
{
    ingot_status st = INGOT_OK;
    for (size_t i = 0; i < layers->n && !st; i++) {
        cli_value value = {.decoded = false};
        dumped *d = &p->keys[p->n];
        *d = (dumped){.entry = i, .key = layers->entries[i].key, .value = VERIFY_NONE};
        if (is_role(d->key) && verify_graph_find(p->graph, d->key) < 0)
            continue;
        if ((st = cli_bundle_read(layers, i, INGOT_UNDEFINED, &value, error)))
            break;
        parse_key(d);
        d->rank = value.tensor.rank;
        memcpy(d->shape, value.tensor.shape, sizeof d->shape);
        d->count = ingot_tensor_count(&value.tensor);
        verify_describe(&value.tensor, &d->mean, &d->rms);
        cli_value_free(&value);
        p->n++;
    }
    return st;
}

/* ---- by module -------------------------------------------------------------------------------------------------- */

/* Has the value exactly the dumped shape? */
static bool shape_fits(const verify_value *v, const dumped *d)
{
    return v->rank == d->rank && !memcmp(v->shape, d->shape, (size_t)d->rank * sizeof *d->shape);
}

/* Does a node outside read the value, or is it an output of the graph? */
static bool escapes(const pairing *p, const verify_value *v)
{
    const verify_graph *graph = p->graph;
    for (size_t i = 0; i < ingot_model_n_outputs(graph->model); i++)
        if (!strcmp(ingot_model_output(graph->model, i)->name, v->name))
            return true;
    for (size_t i = v->node + 1; i < graph->n_nodes; i++)
        for (size_t k = 0; k < graph->nodes[i].n_inputs && !p->inside[i]; k++)
            if (!strcmp(graph->nodes[i].inputs[k], v->name))
                return true;
    return false;
}

/* Mark the nodes of one call of the module. Calls are runs of neighbouring nodes where there are as many runs as calls,
 * else equal shares of the nodes. Returns how many nodes the module has. */
static size_t mark_call(pairing *p, const char *path, int call_index, int n_calls)
{
    const verify_graph *graph = p->graph;
    size_t n = 0, n_runs = 0, k = 0, run = 0;
    bool before = false;
    for (size_t i = 0; i < graph->n_nodes; i++) {
        const bool within = verify_is_within(graph->nodes[i].module, path);
        n += within;
        n_runs += within && !before;
        before = within;
    }
    before = false;
    for (size_t i = 0; i < graph->n_nodes; i++) {
        const bool within = verify_is_within(graph->nodes[i].module, path);
        run += within && !before;
        before = within;
        /* the node's call, by its run or by its share */
        const size_t call = n_runs == (size_t)n_calls ? run - 1 : n ? k * (size_t)n_calls / n : 0;
        p->inside[i] = within && (n_calls == 1 || call == (size_t)call_index);
        k += within;
    }
    return n;
}

/* The module's result: of the values that leave it the last of the dumped shape, or the item-th; else the last with as
 * many elements, else the last. */
static int64_t find_result(const pairing *p, const dumped *d)
{
    int64_t exact = VERIFY_NONE, close = VERIFY_NONE, last = VERIFY_NONE;
    int n_exact = 0;
    for (size_t i = 0; i < p->graph->n_values; i++) {
        const verify_value *v = &p->graph->values[i];
        if (!p->inside[v->node] || v->rank < 0 || !escapes(p, v))
            continue;
        int64_t count = 1;
        for (int32_t k = 0; k < v->rank; k++)
            count *= v->shape[k];
        last = (int64_t)i;
        if (count == d->count)
            close = (int64_t)i;
        if (shape_fits(v, d) && (d->item < 0 || n_exact++ <= d->item))
            exact = (int64_t)i;
    }
    return exact >= 0 ? exact : close >= 0 ? close : last;
}

/* Where exporters left no paths at all: mark the nodes that read the module's own parameters, as "fc.weight" for "fc".
 * False when there are none. */
static bool mark_readers(pairing *p, const char *path)
{
    const size_t n = strlen(path);
    bool any = false;
    for (size_t i = 0; i < p->graph->n_nodes; i++)
        if (*p->graph->nodes[i].module)
            return false;
    for (size_t i = 0; i < p->graph->n_nodes; i++) {
        p->inside[i] = false;
        for (size_t k = 0; k < p->graph->nodes[i].n_inputs; k++) {
            const char *name = p->graph->nodes[i].inputs[k];
            p->inside[i] |= n && !strncmp(name, path, n) && name[n] == '.' && !strchr(name + n + 1, '.');
        }
        any |= p->inside[i];
    }
    return any;
}

/* How often the dump saw the module called: one more than the highest number behind "@". */
static int count_calls(const pairing *p, const char *path)
{
    int n_calls = 0;
    for (size_t i = 0; i < p->n; i++)
        if (!strcmp(p->keys[i].path, path) && p->keys[i].call >= n_calls)
            n_calls = p->keys[i].call + 1;
    return n_calls;
}

/* Find the key's module among the nodes, and its result. The TorchScript exporter gives further calls of "relu"
 * names of their own, "relu_1" and so on. */
static void match_module(pairing *p, dumped *d)
{
    char numbered[420];
    const int n_calls = count_calls(p, d->path);
    snprintf(numbered, sizeof numbered, "%s_%d", d->path, d->call ? d->call : 1);
    const bool is_numbered = n_calls > 1 && !count_calls(p, numbered) && mark_call(p, numbered, 0, 1);
    if (is_numbered)
        d->has_nodes = mark_call(p, d->call ? numbered : d->path, 0, 1) > 0;
    else
        d->has_nodes = mark_call(p, d->path, d->call, n_calls) > 0 || mark_readers(p, d->path);
    d->match = MATCH_MODULE;
    d->value = d->has_nodes ? find_result(p, d) : VERIFY_NONE;
}

/* How far the elements of a value are from those of a key, by size alone. */
static double unlikeness(const verify_value *v, const dumped *d) { return hypot(v->rms - d->rms, v->mean - d->mean); }

/* A module without nodes behind one of the same shape whose node multiplies: it was folded into that one (BatchNorm
 * into Conv), whose own result is gone then. Which of the two a value is shows in its elements, as some exporters give
 * the node the name of the one and some that of the other. */
static void match_folded(pairing *p)
{
    static const char *const hosts[] = {"Conv", "ConvTranspose", "Gemm", "MatMul", "Add"};
    for (size_t i = 1; i < p->n; i++) {
        dumped *d = &p->keys[i], *before = d - 1;
        const verify_value *v = &p->graph->values[before->value < 0 ? 0 : before->value];
        bool can_host = false;
        /* one without nodes, behind one that was found by its module and has the same shape */
        if (d->value >= 0 || d->has_nodes || before->value < 0 || before->match != MATCH_MODULE || !shape_fits(v, d))
            continue;
        for (size_t k = 0; k < sizeof hosts / sizeof *hosts; k++)
            can_host |= !strcmp(p->graph->nodes[v->node].op_type, hosts[k]);
        if (!can_host || unlikeness(v, d) >= unlikeness(v, before))
            continue;
        d->value = before->value;
        d->match = MATCH_FOLDED;
        before->value = VERIFY_NONE;
    }
}

/* ---- by shape and order ----------------------------------------------------------------------------------------- */

/* Near enough, by one percent of the elements' size, to be taken for the same. */
static bool looks_alike(const verify_value *v, const dumped *d) { return unlikeness(v, d) <= 0.01 * d->rms; }

/* Each key in turn takes the next value of its shape whose elements are of the same size, else the next of its shape.
 */
static void match_guesses(pairing *p)
{
    size_t next = 0;
    for (size_t i = 0; i < p->n; i++) {
        dumped *d = &p->keys[i];
        int64_t first = VERIFY_NONE, alike = VERIFY_NONE;
        for (size_t v = next; v < p->graph->n_values && alike < 0; v++) {
            if (!shape_fits(&p->graph->values[v], d))
                continue;
            first = first < 0 ? (int64_t)v : first;
            alike = looks_alike(&p->graph->values[v], d) ? (int64_t)v : alike;
        }
        d->value = alike >= 0 ? alike : first;
        d->match = MATCH_GUESS;
        next = d->value >= 0 ? (size_t)d->value + 1 : next;
    }
}

/* ---- rows ------------------------------------------------------------------------------------------------------- */

/* Rows in running order; two keys of one value (a module and the one around it) share nothing: the first has it. */
static ingot_status make_rows(pairing *p, verify_rows *rows, ingot_error *error)
{
    rows->rows = calloc(p->n + 1, sizeof *rows->rows);
    rows->unpaired = calloc(p->n + 1, sizeof *rows->unpaired);
    if (!rows->rows || !rows->unpaired)
        return cli_fail(error, INGOT_LIMIT, "out of memory");
    /* in the order of the values, so that rows are in running order */
    for (size_t v = 0; v < p->graph->n_values; v++)
        for (size_t i = 0; i < p->n; i++) {
            if (p->keys[i].value != (int64_t)v || p->graph->values[v].row >= 0)
                continue;
            p->graph->values[v].row = (int64_t)rows->n;
            rows->rows[rows->n++] = (verify_row){
                .entry = p->keys[i].entry, .key = p->keys[i].key, .value = (int64_t)v, .match = p->keys[i].match};
        }
    for (size_t i = 0; i < p->n; i++)
        if (p->keys[i].value < 0)
            rows->unpaired[rows->n_unpaired++] = p->keys[i].key;
    return INGOT_OK;
}

/* Each key by its own name, by the name without marks, then as a module's path. Guesses are made only where not one
 * key was found otherwise: a dump that names its values would only be confused by them. */
ingot_status verify_pair(verify_graph *graph, cli_bundle *layers, verify_rows *rows, ingot_error *error)
{
    pairing p = {.graph = graph,
                 .keys = calloc(layers->n + 1, sizeof *p.keys),
                 .inside = calloc(graph->n_nodes + 1, sizeof *p.inside)};
    bool any = false;
    *rows = (verify_rows){.n = 0};
    ingot_status st = p.keys && p.inside ? list_keys(&p, layers, error) : cli_fail(error, INGOT_LIMIT, "out of memory");
    for (size_t i = 0; i < p.n && !st; i++) {
        p.keys[i].value = verify_graph_find(graph, p.keys[i].key);
        p.keys[i].match = MATCH_NAME;
        if (p.keys[i].value < 0)
            p.keys[i].value = verify_graph_find(graph, p.keys[i].path);
        if (p.keys[i].value < 0)
            match_module(&p, &p.keys[i]);
        any |= p.keys[i].value >= 0;
    }
    /* what folding left without nodes, or guesses where nothing is known */
    if (!st && any)
        match_folded(&p);
    else if (!st)
        match_guesses(&p);
    if (!st)
        st = make_rows(&p, rows, error);
    if (!st && !rows->n)
        st = cli_fail_file(error, INGOT_BAD_INPUT, layers->path, "none of its %zu values is one of the graph's", p.n);
    free(p.keys);
    free(p.inside);
    return st;
}

/* The rows with the values that they hold. */
void verify_rows_free(verify_rows *rows)
{
    for (size_t i = 0; i < rows->n; i++) {
        cli_value_free(&rows->rows[i].got);
        cli_value_free(&rows->rows[i].want);
        cli_value_free(&rows->rows[i].exact);
    }
    free(rows->rows);
    free(rows->unpaired);
}
