/* optimize.c - `ingot optimize`: what the passes made of a model, as an ONNX file for any runtime. */
#include <string.h>

#include "cli/cli.h"

/* The value of -o. */
static const char *out_path;
static bool json;

static const cli_option options[] = {
    {"o", OPTION_TEXT, &out_path, "OUT.onnx", "the file to write", 0},
    {"json", OPTION_FLAG, &json, NULL, "print what the passes did as one line of JSON", 0},
    {NULL, OPTION_FLAG, NULL, NULL, NULL, 0},
};

/* "name: 3 of 4; kept ..." as an object; what follows the counts is a note. */
static void add_report(cli_json *passes, const char *report)
{
    const char *colon = strchr(report, ':'), *note = strchr(report, ';');
    char name[80];
    int done = 0, of = 0;
    snprintf(name, sizeof name, "%.*s", colon ? (int)(colon - report) : 0, report);
    cli_json *row = cli_json_append(passes);
    cli_json_text(row, "pass", name);
    if (colon && sscanf(colon, ": %d of %d", &done, &of) == 2) {
        cli_json_int(row, "done", done);
        cli_json_int(row, "kept", of - done);
    }
    cli_json_text(row, "note", note ? note + 2 : "");
}

/* The same as the text tells. */
static void fill_json(const ingot_model *model, const ingot_model_summary *summary, cli_json *object)
{
    const char *report;
    cli_json *passes = cli_json_array(object, "passes");
    for (size_t i = 0; (report = ingot_model_pass_report(model, i)); i++)
        add_report(passes, report);
    cli_json_text(object, "file", out_path);
    cli_json_int(object, "nodes", (int64_t)summary->n_nodes);
}

/* Writes the model and then tells what each pass did. */
static ingot_status run(const char *const *operands, ingot_error *error)
{
    ingot_model *model = NULL;
    ingot_model_summary summary;
    const char *report;
    cli_json *object = NULL;
    ingot_status st;
    if (!out_path)
        return cli_fail(error, INGOT_USAGE, "optimize needs -o OUT.onnx; see 'ingot optimize --help'");
    if (json && (st = cli_json_new(&object, error)))
        return st;
    /* a model that cannot be run here may still be made smaller for another runtime */
    if (!(st = cli_load(operands[0], true, &model, error)))
        st = ingot_model_save(model, out_path, error);
    if (!st)
        ingot_model_summarize(model, &summary);
    if (object && !st) {
        fill_json(model, &summary, object);
        cli_json_print(object);
    } else if (object) {
        cli_json_free(object);
    } else if (!st && !common.quiet) {
        for (size_t i = 0; (report = ingot_model_pass_report(model, i)); i++)
            puts(report);
        printf("wrote %s: %zu node%s\n", cli_printable(out_path), summary.n_nodes, summary.n_nodes == 1 ? "" : "s");
    }
    ingot_model_free(model);
    return st;
}

const cli_command command_optimize = {
    .name = "optimize",
    .operands = "MODEL",
    .summary = "write a model as the passes leave it, as plain ONNX",
    .options = options,
    .run = run,
    .examples = "  ingot optimize MyNet.onnx -o MyNet.fast.onnx\n"
                "  ingot optimize MyNet.onnx -o out.onnx --disable-pass fold-batch-normalization\n",
};
