/* verify_extract.c - `ingot verify --extract`: the smallest model around a node, with its inputs and expected outputs
 * in the layout of the ONNX tests, for a report of what is wrong with it. */
#include <stdlib.h>
#include <string.h>

#include "cli/verify.h"

/* What the case is made of, and where it goes. */
typedef struct extraction {
    const verify_graph *graph;
    const verify_rows *rows; /* NULL: there is no dump of layers */
    const ingot_session *session;
    const char *folder;
    size_t n_dumped, n_values;
} extraction;

/* The dump's value where it has one, else what the graph computes without passes. */
static ingot_status write_value(extraction *e, const char *role, size_t k, const char *name, ingot_error *error)
{
    const int64_t index = verify_graph_find(e->graph, name);
    const int64_t row = index < 0 || !e->rows ? VERIFY_NONE : e->graph->values[index].row;
    const ingot_tensor *tensor = ingot_session_value(e->session, name);
    char path[4096];
    if (row >= 0 && tensor && e->rows->rows[row].want.tensor.dtype == tensor->dtype && e->rows->rows[row].same_shape) {
        tensor = &e->rows->rows[row].want.tensor;
        e->n_dumped++;
    }
    e->n_values++;
    if (!tensor)
        return cli_fail(error, INGOT_UNSUPPORTED, "value '%s' is not computed", cli_printable(name));
    if (snprintf(path, sizeof path, "%s/test_data_set_0/%s_%zu.pb", e->folder, role, k) >= (int)sizeof path)
        return cli_fail_file(error, INGOT_IO, e->folder, "the path is too long");
    return cli_pb_write(path, name, tensor, error);
}

/* Inputs and outputs in the order of the model that was written. */
static ingot_status write_values(extraction *e, const char *path, ingot_error *error)
{
    ingot_model *model = NULL;
    ingot_status st = ingot_model_load(path, NULL, &model, error);
    for (size_t k = 0; !st && k < ingot_model_n_inputs(model); k++)
        st = write_value(e, "input", k, ingot_model_input(model, k)->name, error);
    for (size_t k = 0; !st && k < ingot_model_n_outputs(model); k++)
        st = write_value(e, "output", k, ingot_model_output(model, k)->name, error);
    ingot_model_free(model);
    return st;
}

/* The node by its name or by one of its values; "first" is the one that departs first. */
static const ingot_node_info *find_node(const verify_graph *graph, const verify_rows *rows, const char *name)
{
    const int64_t value = verify_graph_find(graph, name);
    for (size_t i = 0; i < graph->n_nodes; i++)
        if (*name && !strcmp(graph->nodes[i].name, name))
            return &graph->nodes[i];
    if (value < 0 && !strcmp(name, "first") && rows && verify_first(rows) >= 0)
        return &graph->nodes[graph->values[rows->rows[verify_first(rows)].value].node];
    return value < 0 ? NULL : &graph->nodes[graph->values[value].node];
}

/* Values have to be asked for before the run. */
static ingot_status run_node(const verify_graph *graph, const ingot_node_info *node, cli_dump *dump,
                             ingot_session *session, cli_inputs *inputs, ingot_error *error)
{
    ingot_status st = verify_bind(graph->model, session, dump, false, inputs, error);
    for (size_t k = 0; !st && k < node->n_inputs; k++)
        if (*node->inputs[k])
            st = ingot_session_request(session, node->inputs[k], error);
    for (size_t k = 0; !st && k < node->n_outputs; k++)
        if (*node->outputs[k])
            st = ingot_session_request(session, node->outputs[k], error);
    return st ? st : ingot_session_run(session, error);
}

/* "first" with nothing that departs writes nothing and is no error. */
ingot_status verify_extract(const verify_graph *graph, cli_dump *dump, const verify_rows *rows, const char *name,
                            const char *folder, ingot_error *error)
{
    const ingot_node_info *node = find_node(graph, rows, name);
    ingot_session *session = NULL;
    cli_inputs inputs = {.n = 0};
    char path[4096];
    if (!node && !strcmp(name, "first"))
        return INGOT_OK; /* nothing departs */
    if (!node)
        return cli_fail(error, INGOT_USAGE, "there is no node '%s' to extract", cli_printable(name));
    if (snprintf(path, sizeof path, "%s/test_data_set_0", folder) >= (int)sizeof path)
        return cli_fail_file(error, INGOT_IO, folder, "the path is too long");
    /* the folder, a run for the values, the model, and its inputs and outputs */
    ingot_status st = cli_make_folder(path, error);
    snprintf(path, sizeof path, "%s/model.onnx", folder);
    if (!st && !(st = cli_open(graph->model, false, &session, error)))
        st = run_node(graph, node, dump, session, &inputs, error);
    extraction e = {.graph = graph, .rows = rows, .session = session, .folder = folder};
    if (!st && !(st = ingot_session_extract(session, *node->name ? node->name : node->outputs[0], path, error)))
        st = write_values(&e, path, error);
    if (!st && !common.quiet && !verify_opts.json)
        printf("wrote %s: node '%s' (%s); %zu of its %zu values are the dump's\n", cli_printable(folder),
               cli_printable(node->name), cli_printable(node->op_type), e.n_dumped, e.n_values);
    cli_close(session);
    cli_inputs_free(&inputs);
    return st;
}
