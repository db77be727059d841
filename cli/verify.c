/* verify.c - `ingot verify`: run a model on the inputs of a dump and hold its outputs against those of the dump. */
#include <string.h>

#include "cli/verify.h"

verify_options verify_opts = {.rtol = 1e-3, .atol = 1e-5};

static const cli_option options[] = {
    {"rtol", OPTION_NUMBER, &verify_opts.rtol, "R", "tolerance relative to the expected value (default 1e-3)", 0},
    {"atol", OPTION_NUMBER, &verify_opts.atol, "A", "absolute tolerance, added to it (default 1e-5)", 0},
    {"layers", OPTION_TEXT, &verify_opts.layers, "FILE",
     "compare values inside the graph too, and name the first node that departs", 0},
    {"isolate", OPTION_FLAG, &verify_opts.isolate, NULL,
     "every node reads the values of --layers: one bad node is not blamed on those after it", 0},
    {"no-shadow", OPTION_FLAG, &verify_opts.no_shadow, NULL,
     "no float64 runs to tell rounding from mistakes: tolerances alone decide", 0},
    {"bisect-passes", OPTION_FLAG, &verify_opts.bisect, NULL,
     "where the outputs agree without passes and not with them: name the pass and the node", 0},
    {"extract", OPTION_TEXT, &verify_opts.extract, "NODE",
     "write the smallest model around a node, with inputs and outputs; \"first\": what departs", 0},
    {"o", OPTION_TEXT, &verify_opts.folder, "DIR", "the folder for --extract", 0},
    {"html", OPTION_TEXT, &verify_opts.html, "FILE.html", "write a page: graph, growth of errors, table, histograms",
     0},
    {"json", OPTION_FLAG, &verify_opts.json, NULL, "print one line of JSON", 0},
    {NULL, OPTION_FLAG, NULL, NULL, NULL, 0},
};

/* What was found of the outputs, and the JSON that it goes into; both pointers are NULL where none was asked for. */
typedef struct verdict {
    size_t n_outputs, n_agree;
    cli_json *report, *rows;
} verdict;

/* The same elements as doubles, where they are floats. */
static ingot_status widen_value(cli_value *value, ingot_error *error)
{
    const ingot_dtype from = value->tensor.dtype;
    cli_value wide = {.tensor = value->tensor};
    if (value->tensor.kind != INGOT_TENSOR || (from != INGOT_FLOAT && from != INGOT_FLOAT16 && from != INGOT_BFLOAT16))
        return INGOT_OK;
    wide.tensor.dtype = INGOT_DOUBLE;
    const ingot_status st = cli_value_alloc(&wide, 0, error);
    for (int64_t i = 0; i < ingot_tensor_count(&value->tensor) && !st; i++)
        ((double *)wide.tensor.data)[i] = cli_element(&value->tensor, i);
    if (st)
        return st;
    cli_value_free(value);
    *value = wide;
    return INGOT_OK;
}

/* An input that the dump does not have stays unbound: it may have a default, and the run tells when it is missed. */
ingot_status verify_bind(const ingot_model *model, ingot_session *session, cli_dump *dump, bool in_double,
                         cli_inputs *inputs, ingot_error *error)
{
    const size_t n = ingot_model_n_inputs(model);
    ingot_status st = cli_inputs_alloc(inputs, n, error);
    for (size_t k = 0; !st && k < n; k++) {
        const ingot_value_info *info = ingot_model_input(model, k);
        bool found;
        cli_value *value = &inputs->values[inputs->n];
        if ((st = cli_dump_read(dump, "input", k, info, &found, value, error)) || !found)
            continue;
        inputs->n++;
        if (in_double && (st = widen_value(value, error)))
            break;
        st = ingot_session_set_input(session, info->name, &value->tensor, error);
    }
    return st;
}

/* One line for an output that agrees, a second one with the first difference for one that does not. */
static void print_row(verdict *v, const char *name, const ingot_tensor *want, bool same, const cli_difference *d)
{
    char type[300];
    cli_type_text(want, type, sizeof type);
    if (verify_opts.json) {
        cli_json *row = cli_json_append(v->rows);
        cli_json_text(row, "name", name);
        cli_json_text(row, "type", type);
        cli_json_bool(row, "agrees", same);
        cli_json_number(row, "max_abs", d->max_abs);
        cli_json_number(row, "max_rel", d->max_rel);
        cli_json_int(row, "elements", d->n);
        cli_json_int(row, "differing", d->n_differ);
        if (!same)
            cli_json_text(row, "first", d->first);
        return;
    }
    if (common.quiet)
        return;
    printf("%s%-7s%s %s  %s  max abs %.3g  max rel %.3g\n", cli_ink(stdout, same ? INK_GREEN : INK_RED),
           same ? "agrees" : "DIFFERS", cli_ink(stdout, INK_END), cli_printable(name), type, d->max_abs, d->max_rel);
    if (!same)
        printf("        %lld of %lld elements; the first: %s\n", (long long)d->n_differ, (long long)d->n, d->first);
}

/* Outputs that the dump leaves out are passed over: PyTorch's dumps may hold only some. */
static ingot_status compare_outputs(const cli_setup *s, cli_dump *dump, verdict *v, ingot_error *error)
{
    for (size_t k = 0; k < ingot_model_n_outputs(s->model); k++) {
        const ingot_value_info *info = ingot_model_output(s->model, k);
        const ingot_tensor *got = ingot_session_output(s->session, k);
        cli_value want = {.decoded = false};
        cli_difference d;
        bool found;
        const ingot_status st = cli_dump_read(dump, "output", k, info, &found, &want, error);
        if (st)
            return st;
        if (!found)
            continue;
        if (!got) {
            cli_value_free(&want);
            return cli_fail(error, INGOT_INVALID, "the model did not compute output '%s'", cli_printable(info->name));
        }
        const bool same = cli_compare(got, &want.tensor, verify_opts.rtol, verify_opts.atol, &d);
        v->n_outputs++;
        v->n_agree += same;
        print_row(v, info->name, &want.tensor, same, &d);
        cli_value_free(&want);
    }
    return INGOT_OK;
}

/* A dump with more outputs than the model belongs to another model; one without any proves nothing. */
static ingot_status check_extent(const cli_setup *s, cli_dump *dump, const char *path, const verdict *v,
                                 ingot_error *error)
{
    cli_value extra = {.decoded = false};
    bool found;
    const ingot_status st = cli_dump_read(dump, "output", ingot_model_n_outputs(s->model), NULL, &found, &extra, error);
    if (st)
        return st;
    cli_value_free(&extra);
    if (found)
        return cli_fail_file(error, INGOT_BAD_INPUT, path, "holds more outputs than the model's %zu",
                             ingot_model_n_outputs(s->model));
    return v->n_outputs ? INGOT_OK : cli_fail_file(error, INGOT_BAD_INPUT, path, "holds no output to compare with");
}

/* Fill the rows, judge them and report; *departs tells whether any does. */
static ingot_status compare_layers(const char *path, verify_graph *graph, cli_dump *dump, verify_rows *rows,
                                   cli_json *report, bool *departs, ingot_error *error)
{
    cli_bundle *layers = NULL;
    char note[600] = "";
    ingot_status st = cli_bundle_open(verify_opts.layers, &layers, error);
    if (!st && !(st = verify_survey(graph, dump, error)) && !(st = verify_pair(graph, layers, rows, error)))
        st = verify_fill(path, graph, dump, layers, rows, error);
    if (!st && !verify_opts.no_shadow)
        st = verify_shadow(path, graph, dump, rows, note, sizeof note, error);
    if (!st && report)
        verify_json_rows(graph, rows, report);
    else if (!st && !common.quiet)
        verify_print_rows(graph, rows, note);
    if (!st && verify_opts.html)
        st = verify_write_html(graph, rows, verify_opts.html, path, note, error);
    *departs = !st && verify_first(rows) >= 0;
    cli_bundle_close(layers);
    return st;
}

/* What needs the graph without passes: --layers and --extract. */
static ingot_status look_inside(const char *path, cli_dump *dump, cli_json *report, bool *departs, ingot_error *error)
{
    verify_graph graph = {.model = NULL};
    verify_rows rows = {.n = 0};
    ingot_status st = verify_graph_load(path, &graph, error);
    if (!st && verify_opts.layers)
        st = compare_layers(path, &graph, dump, &rows, report, departs, error);
    if (!st && verify_opts.extract)
        st = verify_extract(&graph, dump, verify_opts.layers ? &rows : NULL, verify_opts.extract, verify_opts.folder,
                            error);
    verify_rows_free(&rows);
    verify_graph_free(&graph);
    return st;
}

/* The verdict is the last line that is printed, and the exit code says the same. */
static ingot_status conclude(verdict *v, bool layers_depart)
{
    const bool all = v->n_agree == v->n_outputs;
    if (verify_opts.json) {
        cli_json_bool(v->report, "agrees", all && !layers_depart);
        cli_json_number(v->report, "rtol", verify_opts.rtol);
        cli_json_number(v->report, "atol", verify_opts.atol);
        cli_json_print(v->report);
        v->report = NULL;
    } else if (!common.quiet) {
        printf("%zu of %zu outputs agree (rtol %g, atol %g)\n", v->n_agree, v->n_outputs, verify_opts.rtol,
               verify_opts.atol);
    }
    return all && !layers_depart ? INGOT_OK : INGOT_DIFFERS;
}

/* Outputs first, as always; then what was asked for beside them. */
static ingot_status compare_all(cli_setup *s, const char *const *operands, cli_dump **dump, verdict *v,
                                ingot_error *error)
{
    bool layers_depart = false;
    ingot_status st;
    if ((st = cli_load(operands[0], false, &s->model, error)) || (st = cli_open(s->model, false, &s->session, error)) ||
        (st = cli_dump_open(operands[1], dump, error)) ||
        (st = verify_bind(s->model, s->session, *dump, false, &s->inputs, error)) ||
        (st = ingot_session_run(s->session, error)) || (st = compare_outputs(s, *dump, v, error)) ||
        (st = check_extent(s, *dump, operands[1], v, error)))
        return st;
    /* what lies inside, and which pass is to blame, where that was asked for */
    if ((verify_opts.layers || verify_opts.extract) &&
        (st = look_inside(operands[0], *dump, v->report, &layers_depart, error)))
        return st;
    if (verify_opts.bisect && (st = verify_bisect(operands[0], *dump, s->model, v->report, error)))
        return st;
    return conclude(v, layers_depart);
}

/* Options that need each other are checked before any file is opened. */
static ingot_status run(const char *const *operands, ingot_error *error)
{
    cli_setup s = {.model = NULL};
    cli_dump *dump = NULL;
    verdict v = {.n_outputs = 0};
    if ((verify_opts.isolate || verify_opts.html) && !verify_opts.layers)
        return cli_fail(error, INGOT_USAGE, "%s needs --layers", verify_opts.isolate ? "--isolate" : "--html");
    if (!verify_opts.extract != !verify_opts.folder)
        return cli_fail(error, INGOT_USAGE, "--extract NODE and -o DIR need each other");
    const bool one_set = verify_opts.layers || verify_opts.extract || verify_opts.bisect;
    /* a folder of many dumps goes another way */
    if (verify_has_sets(operands[1]))
        return one_set
                   ? cli_fail(error, INGOT_USAGE, "--layers, --extract and --bisect-passes take one set of the folder")
                   : verify_sets(operands[0], operands[1], error);
    ingot_status st = verify_opts.json ? cli_json_new(&v.report, error) : INGOT_OK;
    if (st)
        return st;
    if (verify_opts.json)
        v.rows = cli_json_array(v.report, "outputs");
    st = compare_all(&s, operands, &dump, &v, error);
    if (v.report)
        cli_json_free(v.report);
    cli_dump_close(dump);
    cli_tear_down(&s);
    return st;
}

const cli_command command_verify = {
    .name = "verify",
    .operands = "MODEL DUMP",
    .summary = "run a model on a dump's inputs and compare its outputs with the dump's",
    .options = options,
    .run = run,
    .examples =
        "  ingot verify MyNet.onnx test_data_set_0           a folder with input_K.pb and output_K.pb\n"
        "  ingot verify MyNet.onnx MyNet                     all test sets in a folder\n"
        "  ingot verify MyNet.onnx dump.npz --rtol 1e-4      keys input_K and output_K, or the graph's names\n"
        "  ingot verify MyNet.onnx dump.pt --json     torch.save({'inputs': [x], 'outputs': [y]}, 'dump.pt')\n"
        "  ingot verify MyNet.onnx dump.pt --layers dump.pt      which layer? models/dump_layers.py writes it\n",
};
