/* verify_page.c - a verification as a chapter of the page that `ingot inspect --html` writes. */
#include "cli/verify.h"

/* The outputs of one run beside the dump's. */
static ingot_status add_outputs(cli_page *page, const cli_setup *s, cli_dump *dump, ingot_error *error)
{
    static const cli_column columns[] = {{"output", NULL, false}, {"verdict", NULL, false}, {"type", NULL, false},
                                         {"max abs", NULL, true}, {"max rel", NULL, true},
                                         {"first difference", NULL, false}};
    char type[300], note[200];
    snprintf(note, sizeof note, "Beside what the dump has; tolerances: %g of the value and %g.", verify_opts.rtol,
             verify_opts.atol);
    cli_page_section(page, "Outputs", note);
    cli_table_begin(page, columns, sizeof columns / sizeof *columns);
    for (size_t k = 0; k < ingot_model_n_outputs(s->model); k++) {
        const ingot_value_info *info = ingot_model_output(s->model, k);
        const ingot_tensor *got = ingot_session_output(s->session, k);
        cli_value want = {.decoded = false};
        cli_difference d;
        bool found;
        const ingot_status st = cli_dump_read(dump, "output", k, info, &found, &want, error);
        if (st)
            return st;
        if (!found || !got)
            continue;
        const bool same = cli_compare(got, &want.tensor, verify_opts.rtol, verify_opts.atol, &d);
        cli_table_row(page);
        cli_table_text(page, info->name);
        cli_page_add(page, "<td class=\"verdict %s\">%s</td>", same ? "c4" : "c5", same ? "agrees" : "DIFFERS");
        cli_table_text(page, cli_type_text(&want.tensor, type, sizeof type));
        cli_table_number(page, d.max_abs, "%.3g");
        cli_table_number(page, d.max_rel, "%.3g");
        cli_table_text(page, same ? "" : d.first);
        cli_value_free(&want);
    }
    cli_table_end(page);
    return INGOT_OK;
}

/* Pairs the layers, fills and judges the rows, and tells them. */
static ingot_status add_layers(cli_page *page, const char *path, cli_dump *dump, const char *layers_path,
                               ingot_error *error)
{
    verify_graph graph = {.model = NULL};
    verify_rows rows = {.n = 0};
    cli_bundle *layers = NULL;
    char note[600] = "";
    ingot_status st = verify_graph_load(path, &graph, error);
    if (!st && !(st = cli_bundle_open(layers_path, &layers, error)) && !(st = verify_survey(&graph, dump, error)) &&
        !(st = verify_pair(&graph, layers, &rows, error)) &&
        !(st = verify_fill(path, &graph, dump, layers, &rows, error)) &&
        !(st = verify_shadow(path, &graph, dump, &rows, note, sizeof note, error)))
        st = verify_add_sections(page, &graph, &rows, note, error);
    verify_rows_free(&rows);
    verify_graph_free(&graph);
    cli_bundle_close(layers);
    return st;
}

/* The run and the dump are the same as those of `ingot verify`. */
ingot_status verify_add(cli_page *page, const char *path, const char *dump_path, const char *layers_path,
                        ingot_error *error)
{
    cli_setup s = {.model = NULL};
    cli_dump *dump = NULL;
    ingot_status st = cli_load(path, false, &s.model, error);
    if (!st && !(st = cli_open(s.model, false, &s.session, error)) && !(st = cli_dump_open(dump_path, &dump, error)) &&
        !(st = verify_bind(s.model, s.session, dump, false, &s.inputs, error)) &&
        !(st = ingot_session_run(s.session, error)))
        st = add_outputs(page, &s, dump, error);
    if (!st && layers_path)
        st = add_layers(page, path, dump, layers_path, error);
    cli_dump_close(dump);
    cli_tear_down(&s);
    return st;
}
