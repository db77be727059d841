/* optimize.c - `ingot optimize`: what the passes made of a model, as an ONNX file for any runtime. */
#include "cli/cli.h"

/* The value of -o. */
static const char *out_path;

static const cli_option options[] = {
    {"o", OPTION_TEXT, &out_path, "OUT.onnx", "the file to write", 0},
    {NULL, OPTION_FLAG, NULL, NULL, NULL, 0},
};

/* Writes the model and then tells what each pass did. */
static ingot_status run(const char *const *operands, ingot_error *error)
{
    ingot_model *model = NULL;
    ingot_model_summary summary;
    const char *report;
    ingot_status st;
    if (!out_path)
        return cli_fail(error, INGOT_USAGE, "optimize needs -o OUT.onnx; see 'ingot optimize --help'");
    /* a model that cannot be run here may still be made smaller for another runtime */
    if (!(st = cli_load(operands[0], true, &model, error)) && !(st = ingot_model_save(model, out_path, error)) &&
        !common.quiet) {
        for (size_t i = 0; (report = ingot_model_pass_report(model, i)); i++)
            puts(report);
        ingot_model_summarize(model, &summary);
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
