/* verify_graph.c - the graph that verification talks about: the one of the file, without passes, since that is what a
 * dump of layers was taken from. */
#include <stdlib.h>
#include <string.h>

#include "cli/verify.h"

static const verify_graph *sorting; /* for by_name(): qsort() hands nothing through */

/* Indices by the names of the values they stand for. */
static int by_name(const void *a, const void *b)
{
    return strcmp(sorting->values[*(const size_t *)a].name, sorting->values[*(const size_t *)b].name);
}

/* All nodes, and a value for each of their outputs that has a name. */
static bool list_values(verify_graph *graph)
{
    ingot_model_summary about;
    size_t n_outputs = 0;
    ingot_model_summarize(graph->model, &about);
    if (!(graph->nodes = calloc(about.n_nodes + 1, sizeof *graph->nodes)))
        return false;
    for (; graph->n_nodes < about.n_nodes; graph->n_nodes++) {
        if (!ingot_model_node(graph->model, graph->n_nodes, &graph->nodes[graph->n_nodes]))
            return false;
        n_outputs += graph->nodes[graph->n_nodes].n_outputs;
    }
    graph->values = calloc(n_outputs + 1, sizeof *graph->values);
    graph->by_name = calloc(n_outputs + 1, sizeof *graph->by_name);
    if (!graph->values || !graph->by_name)
        return false;
    for (size_t i = 0; i < graph->n_nodes; i++)
        for (size_t k = 0; k < graph->nodes[i].n_outputs; k++)
            if (*graph->nodes[i].outputs[k]) {
                graph->by_name[graph->n_values] = graph->n_values;
                graph->values[graph->n_values++] =
                    (verify_value){.name = graph->nodes[i].outputs[k], .node = i, .rank = -1, .row = VERIFY_NONE};
            }
    sorting = graph;
    qsort(graph->by_name, graph->n_values, sizeof *graph->by_name, by_name);
    return true;
}

/* What was made so far is in *graph even on failure, for verify_graph_free(). */
ingot_status verify_graph_load(const char *path, verify_graph *graph, ingot_error *error)
{
    const ingot_model_options options = {.size_bytes = sizeof options,
                                         .max_memory_bytes = common.max_memory_bytes,
                                         .portable = common.portable,
                                         .no_passes = true};
    *graph = (verify_graph){.model = NULL};
    const ingot_status st = ingot_model_load(path, &options, &graph->model, error);
    if (st)
        return st;
    return list_values(graph) ? INGOT_OK : cli_fail(error, INGOT_LIMIT, "out of memory");
}

/* Also of a graph that was only half loaded. */
void verify_graph_free(verify_graph *graph)
{
    free(graph->nodes);
    free(graph->values);
    free(graph->by_name);
    ingot_model_free(graph->model);
}

/* Binary search over the names. */
int64_t verify_graph_find(const verify_graph *graph, const char *name)
{
    size_t low = 0, high = graph->n_values;
    while (low < high) {
        const size_t middle = low + (high - low) / 2;
        const int order = strcmp(graph->values[graph->by_name[middle]].name, name);
        if (!order)
            return (int64_t)graph->by_name[middle];
        if (order < 0)
            low = middle + 1;
        else
            high = middle;
    }
    return VERIFY_NONE;
}

/* Paths are compared part by part: "layer1.0" holds "layer1.0.conv1" but not "layer1.01". */
bool verify_is_within(const char *module, const char *path)
{
    const size_t n = strlen(path);
    return n && !strncmp(module, path, n) && (!module[n] || module[n] == '.');
}
