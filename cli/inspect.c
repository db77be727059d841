/* inspect.c - `ingot inspect`: what a model is made of, what it costs, and everything in it that would not run. */
#include "cli/inspect.h"

#include <stdlib.h>
#include <string.h>

static cli_list no_files;
static inspect_options page;
static bool json, dot, support;

static const cli_option options[] = {
    {"dim", OPTION_LIST, &page.dims, "NAME=N", "size of a free dimension, for the FLOPs and memory (default 1)", 0},
    {"json", OPTION_FLAG, &json, NULL, "print one line of JSON", 0},
    {"support", OPTION_FLAG, &support, NULL, "list the operators, versions and types that run; takes no model", 0},
    {"html", OPTION_TEXT, &page.html, "FILE.html",
     "write a page: the graph before and after the passes, memory over time, parameters", 0},
    {"profile", OPTION_FLAG, &page.profile, NULL, "with --html: profile the model too, as a chapter of the page", 0},
    {"dump", OPTION_TEXT, &page.dump, "DUMP", "with --html: verify it against a dump, as another chapter (FILE or DIR)",
     0},
    {"layers", OPTION_TEXT, &page.layers, "FILE", "with --dump: layer by layer", 0},
    {"dot", OPTION_FLAG, &dot, NULL, "print the graph in Graphviz form", 0},
    {NULL, OPTION_FLAG, NULL, NULL, NULL, 0},
};

/* How often an operator stands in the graph. */
typedef struct op_count {
    const char *domain, *op_type;
    int64_t n;
} op_count;

/* All that is found out before anything is told, so that text and JSON say the same. */
typedef struct findings {
    const ingot_model *model;
    ingot_model_summary summary;
    op_count *ops;
    size_t n_ops;
    bool planned; /* the rest is known */
    int64_t flops;
    uint64_t activation_bytes, packed_bytes;
    ingot_status plan_status;
    ingot_error plan_error; /* why it could not be planned */
} findings;

/* ---- finding out ------------------------------------------------------------------------------------------------ */

/* Equal operators side by side, so that one sweep counts them. */
static int by_operator(const void *a, const void *b)
{
    const op_count *x = a, *y = b;
    const int domains = strcmp(x->domain, y->domain);
    return domains ? domains : strcmp(x->op_type, y->op_type);
}

/* The most frequent operators first, in a fixed order where counts are equal. */
static int by_count(const void *a, const void *b)
{
    const op_count *x = a, *y = b;
    return x->n != y->n ? (x->n < y->n ? 1 : -1) : by_operator(a, b);
}

/* Nodes of the graph as the passes left it; nodes inside subgraphs are not counted. */
static ingot_status count_operators(findings *f, ingot_error *error)
{
    const size_t n = f->summary.n_nodes;
    ingot_node_info node;
    size_t used = 0;
    if (!(f->ops = calloc(n + 1, sizeof *f->ops)))
        return cli_fail(error, INGOT_LIMIT, "out of memory");
    for (size_t i = 0; i < n && ingot_model_node(f->model, i, &node); i++)
        f->ops[used++] = (op_count){node.domain ? node.domain : "", node.op_type, 1};
    qsort(f->ops, used, sizeof *f->ops, by_operator);
    for (size_t i = 0; i < used; i++) {
        if (f->n_ops && !by_operator(&f->ops[f->n_ops - 1], &f->ops[i]))
            f->ops[f->n_ops - 1].n++;
        else
            f->ops[f->n_ops++] = f->ops[i];
    }
    qsort(f->ops, f->n_ops, sizeof *f->ops, by_count);
    return INGOT_OK;
}

/* Plan for inputs of zeros: that tells FLOPs and memory, and what only shows when the shapes are known. */
static void plan(findings *f, ingot_model *model)
{
    ingot_session *session = NULL;
    cli_inputs inputs = {.n = 0};
    ingot_step_info step;
    ingot_status st = cli_open(model, false, &session, &f->plan_error);
    if (!st && !(st = cli_bind_inputs(model, session, &no_files, &page.dims, MISSING_ZERO, &inputs, &f->plan_error)))
        st = ingot_session_plan(session, &f->plan_error);
    f->plan_status = st;
    f->planned = !st;
    for (size_t i = 0; !st && ingot_session_step(session, i, &step); i++)
        f->flops += step.flops;
    if (!st) {
        f->activation_bytes = ingot_session_planned_bytes(session);
        f->packed_bytes = ingot_session_packed_bytes(session);
    }
    cli_close(session);
    cli_inputs_free(&inputs);
}

/* What would not run: what loading found, and otherwise what planning stumbled over. */
static const char *problem(const findings *f, size_t index)
{
    const char *text = ingot_model_problem(f->model, index);
    if (!text && !index && f->plan_status == INGOT_UNSUPPORTED)
        return f->plan_error.message;
    return text;
}

/* ---- telling ---------------------------------------------------------------------------------------------------- */

/* Inputs or outputs: `get` is ingot_model_input() or ingot_model_output(). */
static void print_values(const char *title, const ingot_model *model, size_t n,
                         const ingot_value_info *(*get)(const ingot_model *, size_t))
{
    char type[400];
    printf("%s:\n", title);
    for (size_t i = 0; i < n; i++)
        printf("  %-24s %s\n", cli_printable(get(model, i)->name), cli_info_text(get(model, i), type, sizeof type));
}

/* What a reader wants to know first: where the model comes from, what goes in and out, how large it is, what is in
 * it, what a run costs, and at the end what would not run. */
static void print_text(const findings *f)
{
    const ingot_model_summary *s = &f->summary;
    char amount[40];
    const char *line;
    printf("graph '%s', opset %lld, IR version %lld, made by %s\n", cli_printable(s->graph_name ? s->graph_name : ""),
           (long long)s->opset, (long long)s->ir_version,
           s->producer && s->producer[0] ? cli_printable(s->producer) : "an unknown tool");
    print_values("inputs", f->model, ingot_model_n_inputs(f->model), ingot_model_input);
    print_values("outputs", f->model, ingot_model_n_outputs(f->model), ingot_model_output);
    printf("parameters: %lld (%s)\n", (long long)s->n_parameters,
           cli_amount((double)s->weight_bytes, "B", amount, sizeof amount));
    printf("operators: %zu after the passes\n", s->n_nodes);
    for (size_t i = 0; i < f->n_ops; i++)
        printf("  %6lld  %s%s%s\n", (long long)f->ops[i].n, cli_printable(f->ops[i].domain),
               f->ops[i].domain[0] ? "." : "", cli_printable(f->ops[i].op_type));
    if ((line = ingot_model_pass_report(f->model, 0)))
        printf("passes:\n");
    for (size_t i = 0; (line = ingot_model_pass_report(f->model, i)); i++)
        printf("  %s\n", line);
    if (f->planned) {
        printf("FLOPs of a run: %s\n", cli_amount((double)f->flops, "FLOP", amount, sizeof amount));
        printf("memory of a run: %s for activations",
               cli_amount((double)f->activation_bytes, "B", amount, sizeof amount));
        printf(", %s for packed weights\n", cli_amount((double)f->packed_bytes, "B", amount, sizeof amount));
    }
    if (!problem(f, 0))
        return;
    printf("would not run:\n");
    for (size_t i = 0; (line = problem(f, i)); i++)
        printf("  %s\n", line);
}

/* The same for JSON. A free dimension is a string, its name, or "" where it has none. */
static void add_values(cli_json *array, const ingot_model *model, size_t n,
                       const ingot_value_info *(*get)(const ingot_model *, size_t))
{
    static const char *const kinds[] = {"tensor", "sequence", "optional", "map"};
    for (size_t i = 0; i < n; i++) {
        const ingot_value_info *info = get(model, i);
        cli_json *row = cli_json_append(array);
        cli_json_text(row, "name", info->name);
        cli_json_text(row, "kind", (unsigned)info->kind < 4 ? kinds[info->kind] : "unknown");
        cli_json_text(row, "type", ingot_dtype_name(info->dtype));
        if (info->rank < 0)
            continue;
        cli_json *shape = cli_json_array(row, "shape");
        for (int32_t d = 0; d < info->rank; d++) {
            if (info->shape[d] >= 0)
                cli_json_append_int(shape, info->shape[d]);
            else
                cli_json_append_text(shape, info->symbols[d] ? info->symbols[d] : "");
        }
    }
}

/* Keys are part of the tool's contract: add to them, but do not rename or remove any. */
static void fill_json(const findings *f, cli_json *object)
{
    const ingot_model_summary *s = &f->summary;
    const char *line;
    cli_json_text(object, "graph", s->graph_name ? s->graph_name : "");
    cli_json_text(object, "producer", s->producer ? s->producer : "");
    cli_json_int(object, "ir_version", s->ir_version);
    cli_json_int(object, "opset", s->opset);
    add_values(cli_json_array(object, "inputs"), f->model, ingot_model_n_inputs(f->model), ingot_model_input);
    add_values(cli_json_array(object, "outputs"), f->model, ingot_model_n_outputs(f->model), ingot_model_output);
    cli_json_int(object, "parameters", s->n_parameters);
    cli_json_int(object, "weight_bytes", (int64_t)s->weight_bytes);
    cli_json_int(object, "nodes", (int64_t)s->n_nodes);
    cli_json *ops = cli_json_array(object, "operators");
    for (size_t i = 0; i < f->n_ops; i++) {
        cli_json *row = cli_json_append(ops);
        cli_json_text(row, "domain", f->ops[i].domain);
        cli_json_text(row, "op_type", f->ops[i].op_type);
        cli_json_int(row, "count", f->ops[i].n);
    }
    cli_json *passes = cli_json_array(object, "passes");
    for (size_t i = 0; (line = ingot_model_pass_report(f->model, i)); i++)
        cli_json_append_text(passes, line);
    if (f->planned) {
        cli_json_int(object, "flops", f->flops);
        cli_json_int(object, "activation_bytes", (int64_t)f->activation_bytes);
        cli_json_int(object, "packed_bytes", (int64_t)f->packed_bytes);
    }
    cli_json *problems = cli_json_array(object, "problems");
    for (size_t i = 0; (line = problem(f, i)); i++)
        cli_json_append_text(problems, line);
}

/* A quoted Graphviz string. */
static void print_quoted(const char *text)
{
    putchar('"');
    for (const char *p = cli_printable(text); *p; p++)
        printf(*p == '"' || *p == '\\' ? "\\%c" : "%c", *p);
    putchar('"');
}

/* Values are ellipses only where they enter or leave the graph; between nodes they label the edge. A node is an edge's
 * start under the name of each of its outputs, so values are drawn as points and nodes as boxes. */
static void print_dot(const findings *f)
{
    ingot_node_info node;
    printf("digraph model {\n  node [shape=box];\n  edge [arrowsize=0.6];\n");
    for (size_t i = 0; i < ingot_model_n_inputs(f->model); i++) {
        print_quoted(ingot_model_input(f->model, i)->name);
        printf(" [shape=ellipse];\n");
    }
    for (size_t i = 0; i < ingot_model_n_outputs(f->model); i++) {
        print_quoted(ingot_model_output(f->model, i)->name);
        printf(" [shape=ellipse];\n");
    }
    /* each node with edges from what it reads and to what it makes */
    for (size_t i = 0; ingot_model_node(f->model, i, &node); i++) {
        printf("  node%zu [style=filled, label=", i);
        char label[300];
        snprintf(label, sizeof label, "%.100s%s%.100s", node.op_type, node.fused && node.fused[0] ? " + " : "",
                 node.fused ? node.fused : "");
        print_quoted(label);
        printf("];\n");
        for (size_t k = 0; k < node.n_inputs; k++)
            if (node.inputs[k][0]) {
                print_quoted(node.inputs[k]);
                printf(" -> node%zu;\n", i);
            }
        for (size_t k = 0; k < node.n_outputs; k++)
            if (node.outputs[k][0]) {
                printf("  node%zu -> ", i);
                print_quoted(node.outputs[k]);
                printf(";\n");
            }
    }
    printf("}\n");
}

/* The graph has problems: exit code 3. Inputs that cannot be made up only hide the FLOPs; a limit is an error. */
static ingot_status conclude(const findings *f, ingot_error *error)
{
    size_t n = 0;
    while (problem(f, n))
        n++;
    if (n)
        return cli_fail(error, INGOT_UNSUPPORTED, "%zu thing%s in the model would not run", n, n == 1 ? "" : "s");
    if (f->plan_status && f->plan_status != INGOT_BAD_INPUT) {
        *error = f->plan_error;
        return f->plan_status;
    }
    if (f->plan_status && !common.quiet)
        fprintf(stderr, "ingot: no FLOPs: %s\n", f->plan_error.message);
    return INGOT_OK;
}

/* Load with what is unsupported allowed, find out, tell, and conclude with the exit code. The graph is planned only
 * where nothing was found that would not run, and never for --dot, which does not need it. */
static ingot_status run(const char *const *operands, ingot_error *error)
{
    findings f = {.n_ops = 0};
    cli_json *object = NULL;
    ingot_model *model = NULL;
    /* what excludes each other, before anything is loaded */
    if (dot && (json || support))
        return cli_fail(error, INGOT_USAGE, "inspect: --dot excludes --json and --support");
    if ((json || dot || support) && page.html)
        return cli_fail(error, INGOT_USAGE, "inspect: --html excludes --json, --dot and --support");
    if ((page.profile || page.dump) && !page.html)
        return cli_fail(error, INGOT_USAGE, "inspect: --%s needs --html FILE.html", page.profile ? "profile" : "dump");
    if (page.layers && !page.dump)
        return cli_fail(error, INGOT_USAGE, "inspect: --layers needs --dump DUMP");
    if (support != !operands[0])
        return cli_fail(error, INGOT_USAGE, support ? "inspect --support takes no model"
                                                    : "inspect needs MODEL; see 'ingot inspect --help'");
    if (support)
        return cli_print_support(json, error);
    if (page.html)
        return inspect_write_html(operands[0], &page, error);
    ingot_status st = json ? cli_json_new(&object, error) : INGOT_OK;
    if (!st && !(st = cli_load(operands[0], true, &model, error))) {
        f.model = model;
        ingot_model_summarize(model, &f.summary);
        st = count_operators(&f, error);
    }
    if (!st) {
        if (!dot && !ingot_model_problem(model, 0))
            plan(&f, model);
        if (dot)
            print_dot(&f);
        else if (json)
            fill_json(&f, object);
        else if (!common.quiet)
            print_text(&f);
        st = conclude(&f, error);
        if (object) {
            cli_json_print(object);
            object = NULL;
        }
    }
    if (object)
        cli_json_free(object);
    free(f.ops);
    ingot_model_free(model);
    return st;
}

const cli_command command_inspect = {
    .name = "inspect",
    .operands = "MODEL",
    .counts_operands = true,
    .summary = "what a model is made of, what it costs, and what in it would not run",
    .options = options,
    .run = run,
    .examples = "  ingot inspect MyNet.onnx\n"
                "  ingot inspect MyNet.onnx --json | jq .operators\n"
                "  ingot inspect MyNet.onnx --html MyNet.html\n"
                "  ingot inspect MyNet.onnx --html MyNet.html --profile --dump dump.pt --layers dump.pt\n"
                "  ingot inspect --support > ops/SUPPORT.md\n"
                "  ingot inspect MyNet.onnx --dot | dot -Tsvg > MyNet.svg\n",
};
