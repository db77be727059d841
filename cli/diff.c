/* diff.c - `ingot diff`: what is different between two models, as far as it matters to who runs them: operator sets,
 * metadata, inputs and outputs, nodes, weights. Names of inner values and nodes do not count; files that differ in
 * nothing else are the same. */
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "cli/diff.h"

static cli_list dims;
static double relative, absolute;
static bool json, bench, after_passes, no_metadata;
static int64_t iterations = 30;

static const cli_option options[] = {
    {"rtol", OPTION_NUMBER, &relative, "R", "weights nearer than this, relative to the first model's, are the same", 0},
    {"atol", OPTION_NUMBER, &absolute, "A", "and nearer than this, absolute (default of both: equal)", 0},
    {"no-metadata", OPTION_FLAG, &no_metadata, NULL, "leave out producer, versions and metadata properties", 0},
    {"after-passes", OPTION_FLAG, &after_passes, NULL, "compare the graphs as the passes leave them", 0},
    {"bench", OPTION_FLAG, &bench, NULL, "time both, run by run in turn, on made-up inputs", 0},
    {"iterations", OPTION_INT, &iterations, "N", "timed runs of each for --bench (default 30)", 1},
    {"dim", OPTION_LIST, &dims, "NAME=N", "size of a free dimension for --bench", 0},
    {"json", OPTION_FLAG, &json, NULL, "print one line of JSON", 0},
    {NULL, OPTION_FLAG, NULL, NULL, NULL, 0},
};

/* What all parts of the telling need. `object` is NULL where text is printed. */
typedef struct telling {
    diff_side *sides;
    cli_json *object;
    bool differ;
} telling;

/* A line that begins with -, + or ~, in red, green and yellow. Any such line makes the models differ. */
static void line(telling *t, char mark, const char *format, ...) __attribute__((format(printf, 3, 4)));

static void line(telling *t, char mark, const char *format, ...)
{
    va_list args;
    t->differ = true;
    if (t->object || common.quiet)
        return;
    fputs(cli_ink(stdout, mark == '-' ? INK_RED : mark == '+' ? INK_GREEN : INK_YELLOW), stdout);
    printf("%c ", mark);
    va_start(args, format);
    vprintf(format, args);
    va_end(args);
    printf("%s\n", cli_ink(stdout, INK_END));
}

/* A heading, or a sum; not a difference. */
static void say(const telling *t, const char *format, ...) __attribute__((format(printf, 2, 3)));

static void say(const telling *t, const char *format, ...)
{
    va_list args;
    if (t->object || common.quiet)
        return;
    fputs(cli_ink(stdout, INK_BOLD), stdout);
    va_start(args, format);
    vprintf(format, args);
    va_end(args);
    printf("%s\n", cli_ink(stdout, INK_END));
}

/* ---- versions and metadata -------------------------------------------------------------------------------------- */

/* Something that each model has one of; NULL where it has not. */
static void tell_fact(telling *t, cli_json *rows, const char *what, const char *a, const char *b)
{
    if ((!a && !b) || (a && b && !strcmp(a, b)))
        return;
    if (a && b)
        line(t, '~', "%s: %s -> %s", cli_printable(what), cli_printable(a), cli_printable(b));
    else
        line(t, a ? '-' : '+', "%s: %s", cli_printable(what), cli_printable(a ? a : b));
    if (!rows)
        return;
    cli_json *row = cli_json_append(rows);
    cli_json_text(row, "name", what);
    cli_json_text_or_null(row, "a", a);
    cli_json_text_or_null(row, "b", b);
}

/* Version of a domain's operator set as text, or NULL. */
static const char *opset_text(const ingot_model *model, const char *domain, char *text, size_t capacity)
{
    const char *name;
    int64_t version;
    for (size_t i = 0; ingot_model_opset(model, i, &name, &version); i++)
        if (!strcmp(name, domain)) {
            snprintf(text, capacity, "%lld", (long long)version);
            return text;
        }
    return NULL;
}

/* The domains of the first model, then those that only the second has. */
static void tell_opsets(telling *t)
{
    cli_json *rows = t->object ? cli_json_array(t->object, "opsets") : NULL;
    const char *domain;
    int64_t version;
    char texts[2][40];
    for (int side = 0; side < 2; side++)
        for (size_t i = 0; ingot_model_opset(t->sides[side].model, i, &domain, &version); i++) {
            const char *a = opset_text(t->sides[0].model, domain, texts[0], sizeof texts[0]);
            const char *b = opset_text(t->sides[1].model, domain, texts[1], sizeof texts[1]);
            char what[200];
            snprintf(what, sizeof what, "operator set %.150s", domain[0] ? domain : "ai.onnx");
            if (!side || !a)
                tell_fact(t, rows, what, a, b);
        }
}

/* Value of a metadata property, or NULL. */
static const char *property(const ingot_model *model, const char *wanted)
{
    const char *key, *value;
    for (size_t i = 0; ingot_model_property(model, i, &key, &value); i++)
        if (!strcmp(key, wanted))
            return value;
    return NULL;
}

/* Who made them, and the properties of both. */
static void tell_metadata(telling *t)
{
    cli_json *rows = t->object ? cli_json_array(t->object, "metadata") : NULL;
    ingot_model_summary s[2];
    const char *key, *value;
    char numbers[4][40];
    for (int side = 0; side < 2; side++) {
        ingot_model_summarize(t->sides[side].model, &s[side]);
        snprintf(numbers[side], sizeof numbers[side], "%lld", (long long)s[side].ir_version);
        snprintf(numbers[2 + side], sizeof numbers[side], "%lld", (long long)s[side].model_version);
    }
    tell_fact(t, rows, "IR version", numbers[0], numbers[1]);
    tell_fact(t, rows, "model version", numbers[2], numbers[3]);
    tell_fact(t, rows, "producer", s[0].producer, s[1].producer);
    tell_fact(t, rows, "producer version", s[0].producer_version, s[1].producer_version);
    tell_fact(t, rows, "domain", s[0].domain, s[1].domain);
    for (int side = 0; side < 2; side++)
        for (size_t i = 0; ingot_model_property(t->sides[side].model, i, &key, &value); i++)
            if (!side || !property(t->sides[0].model, key))
                tell_fact(t, rows, key, property(t->sides[0].model, key), property(t->sides[1].model, key));
}

/* Inputs or outputs, by their place: name and type. */
static void tell_interface(telling *t, const char *what, size_t (*count)(const ingot_model *),
                           const ingot_value_info *(*get)(const ingot_model *, size_t))
{
    char key[40], texts[2][600], type[400];
    snprintf(key, sizeof key, "%ss", what);
    cli_json *rows = t->object ? cli_json_array(t->object, key) : NULL;
    const size_t n[2] = {count(t->sides[0].model), count(t->sides[1].model)};
    for (size_t i = 0; i < n[0] || i < n[1]; i++) {
        for (int side = 0; side < 2; side++)
            if (i < n[side]) {
                const ingot_value_info *info = get(t->sides[side].model, i);
                snprintf(texts[side], sizeof texts[side], "%.150s %s", cli_printable(info->name),
                         cli_info_text(info, type, sizeof type));
            }
        snprintf(key, sizeof key, "%s %zu", what, i);
        tell_fact(t, rows, key, i < n[0] ? texts[0] : NULL, i < n[1] ? texts[1] : NULL);
    }
}

/* ---- nodes ------------------------------------------------------------------------------------------------------ */

/* Operator, name and module of a node. */
static const char *node_text(const ingot_node_info *node, char *text, size_t capacity)
{
    const char *name = node->name[0] ? node->name : node->n_outputs ? node->outputs[0] : "";
    snprintf(text, capacity, "%.80s%s%.80s '%.150s'%s%.100s%s", cli_printable(node->op_type),
             node->fused[0] ? " + " : "", cli_printable(node->fused), cli_printable(name),
             node->module[0] ? " (" : "", cli_printable(node->module), node->module[0] ? ")" : "");
    return text;
}

/* Where an input comes from, for a reader. */
static const char *origin_text(const diff_side *side, const char *name, char *text, size_t capacity)
{
    const diff_value value = diff_find(side, name);
    switch (value.origin) {
    case FROM_NODE: return node_text(&side->nodes[value.index].info, text, capacity);
    case FROM_INPUT: snprintf(text, capacity, "input '%.150s'", cli_printable(name)); break;
    case FROM_CONSTANT: snprintf(text, capacity, "constant '%.150s'", cli_printable(name)); break;
    default: snprintf(text, capacity, "nothing");
    }
    return text;
}

/* One difference of a pair of nodes; the pair itself is told before its first. */
typedef struct pair_telling {
    telling *t;
    const diff_node *a, *b;
    bool told;
    cli_json *rows, *differences;
} pair_telling;

static void difference(pair_telling *p, const char *what, const char *a, const char *b)
{
    char text[600];
    if (!p->told)
        line(p->t, '~', "%s", node_text(&p->b->info, text, sizeof text));
    if (!p->told && p->rows) {
        cli_json *row = cli_json_append(p->rows);
        cli_json_text(row, "op_type", p->b->info.op_type);
        cli_json_text(row, "a", p->a->info.name);
        cli_json_text(row, "b", p->b->info.name);
        p->differences = cli_json_array(row, "differences");
    }
    p->told = true;
    if (!p->rows && !common.quiet)
        printf("    %s: %s -> %s\n", cli_printable(what), a, b);
    if (p->rows) {
        cli_json *one = cli_json_append(p->differences);
        cli_json_text(one, "what", what);
        cli_json_text(one, "a", a);
        cli_json_text(one, "b", b);
    }
}

/* The attribute of that name, or false. */
static bool find_attribute(const diff_side *side, size_t node, const char *name, ingot_attribute_info *info)
{
    for (size_t i = 0; ingot_model_attribute(side->model, node, i, info); i++)
        if (!strcmp(info->name, name))
            return true;
    return false;
}

/* Attributes by name, those of the first node and then those that only the second has. */
static void compare_attributes(pair_telling *p, size_t i, size_t j)
{
    ingot_attribute_info x, y;
    char a[300], b[300];
    for (size_t k = 0; ingot_model_attribute(p->t->sides[0].model, i, k, &x); k++) {
        const bool both = find_attribute(&p->t->sides[1], j, x.name, &y);
        if (!both || x.hash != y.hash)
            difference(p, x.name, cli_attribute_text(&x, a, sizeof a),
                       both ? cli_attribute_text(&y, b, sizeof b) : "nothing");
    }
    for (size_t k = 0; ingot_model_attribute(p->t->sides[1].model, j, k, &y); k++)
        if (!find_attribute(&p->t->sides[0], i, y.name, &x))
            difference(p, y.name, "nothing", cli_attribute_text(&y, b, sizeof b));
}

/* What a pair reads, by place. The weights themselves are compared later. */
static void compare_inputs(pair_telling *p)
{
    const ingot_node_info *a = &p->a->info, *b = &p->b->info;
    char what[40], x[600], y[600];
    for (size_t k = 0; k < a->n_inputs || k < b->n_inputs; k++) {
        const char *from = k < a->n_inputs ? a->inputs[k] : "", *to = k < b->n_inputs ? b->inputs[k] : "";
        snprintf(what, sizeof what, "input %zu", k);
        if (!diff_same_origin(p->t->sides, from, to))
            difference(p, what, origin_text(&p->t->sides[0], from, x, sizeof x),
                       origin_text(&p->t->sides[1], to, y, sizeof y));
    }
}

/* Nodes without a partner: removed from the first, or added in the second. */
static size_t tell_lonely(telling *t, int side, cli_json *rows)
{
    char text[600];
    size_t n = 0;
    for (size_t i = 0; i < t->sides[side].n_nodes; i++) {
        const ingot_node_info *node = &t->sides[side].nodes[i].info;
        if (t->sides[side].nodes[i].match >= 0)
            continue;
        n++;
        line(t, side ? '+' : '-', "%s", node_text(node, text, sizeof text));
        if (!rows)
            continue;
        cli_json *row = cli_json_append(rows);
        cli_json_text(row, "op_type", node->op_type);
        cli_json_text(row, "name", node->name);
        cli_json_text(row, "module", node->module);
    }
    return n;
}

/* Removed, added and changed nodes, then outputs that another node makes. */
static void tell_nodes(telling *t)
{
    cli_json *object = t->object ? cli_json_object(t->object, "nodes") : NULL;
    size_t n_same = 0, n_changed = 0, n_renamed = 0;
    const size_t n_removed = tell_lonely(t, 0, object ? cli_json_array(object, "removed") : NULL);
    const size_t n_added = tell_lonely(t, 1, object ? cli_json_array(object, "added") : NULL);
    cli_json *changed = object ? cli_json_array(object, "changed") : NULL;
    for (size_t i = 0; i < t->sides[0].n_nodes; i++) {
        const diff_node *a = &t->sides[0].nodes[i], *b = a->match < 0 ? NULL : &t->sides[1].nodes[a->match];
        pair_telling p = {.t = t, .a = a, .b = b, .rows = changed};
        if (!b)
            continue;
        if (strcmp(a->info.fused, b->info.fused))
            difference(&p, "fused", cli_printable(a->info.fused), cli_printable(b->info.fused));
        compare_attributes(&p, i, (size_t)a->match);
        compare_inputs(&p);
        n_changed += p.told;
        n_same += !p.told;
        n_renamed += strcmp(a->info.name, b->info.name) != 0;
    }
    say(t, "nodes: %zu same, %zu changed, %zu removed, %zu added%s", n_same, n_changed, n_removed, n_added,
        n_renamed ? " (names differ, which does not count)" : "");
    if (object) {
        cli_json_int(object, "same", (int64_t)n_same);
        cli_json_int(object, "renamed", (int64_t)n_renamed);
    }
}

/* Outputs of the same place that come from other nodes. */
static void tell_sources(telling *t)
{
    cli_json *rows = t->object ? cli_json_array(t->object, "output_sources") : NULL;
    char what[40], x[600], y[600];
    const size_t n[2] = {ingot_model_n_outputs(t->sides[0].model), ingot_model_n_outputs(t->sides[1].model)};
    for (size_t i = 0; i < n[0] && i < n[1]; i++) {
        const char *a = ingot_model_output(t->sides[0].model, i)->name;
        const char *b = ingot_model_output(t->sides[1].model, i)->name;
        snprintf(what, sizeof what, "output %zu comes from", i);
        if (!diff_same_origin(t->sides, a, b))
            tell_fact(t, rows, what, origin_text(&t->sides[0], a, x, sizeof x),
                      origin_text(&t->sides[1], b, y, sizeof y));
    }
}

/* ---- weights ---------------------------------------------------------------------------------------------------- */

/* A pair of constants that differ. */
static void tell_weight(telling *t, const diff_constant *a, const diff_constant *b, const diff_weight *w,
                        cli_json *rows)
{
    char from[300], to[300];
    cli_type_text(&a->type, from, sizeof from);
    cli_type_text(&b->type, to, sizeof to);
    if (!w->errors.measured)
        line(t, '~', "%s: %s -> %s", cli_printable(b->name), from, w->same_type ? "other elements" : to);
    else
        line(t, '~', "%s: %s%s%s, %lld of %lld differ, max abs %.3g, max rel %.3g", cli_printable(b->name), from,
             w->same_type ? "" : " -> ", w->same_type ? "" : to, (long long)w->errors.n_differ, (long long)w->errors.n,
             w->errors.max_abs, w->errors.max_rel);
    if (!rows)
        return;
    cli_json *row = cli_json_append(rows);
    cli_json_text(row, "a", a->name);
    cli_json_text(row, "b", b->name);
    cli_json_text(row, "type_a", from);
    cli_json_text(row, "type_b", to);
    cli_json_number(row, "max_abs", w->errors.max_abs);
    cli_json_number(row, "max_rel", w->errors.measured ? w->errors.max_rel : w->errors.max_abs);
    cli_json_int(row, "elements", w->errors.n);
    cli_json_int(row, "differing", w->errors.n_differ);
}

/* Constants that only one of them has. */
static size_t tell_lonely_weights(telling *t, int side, cli_json *rows)
{
    size_t n = 0;
    char type[300];
    for (size_t i = 0; i < t->sides[side].n_constants; i++) {
        const diff_constant *c = &t->sides[side].constants[i];
        if (c->match >= 0)
            continue;
        n++;
        cli_type_text(&c->type, type, sizeof type);
        line(t, side ? '+' : '-', "%s: %s", cli_printable(c->name), type);
        if (!rows)
            continue;
        cli_json *row = cli_json_append(rows);
        cli_json_text(row, "name", c->name);
        cli_json_text(row, "type", type);
    }
    return n;
}

/* The elements of all pairs are read and compared, one pair at a time. */
static ingot_status tell_weights(telling *t, ingot_error *error)
{
    cli_json *object = t->object ? cli_json_object(t->object, "weights") : NULL;
    cli_json *rows = object ? cli_json_array(object, "changed") : NULL;
    size_t n_same = 0, n_changed = 0;
    const size_t n = t->sides[0].n_constants;
    for (size_t i = 0; i < n; i++) {
        const diff_constant *a = &t->sides[0].constants[i];
        diff_weight w = {.same = false};
        cli_progress("weights", i, n);
        if (a->match < 0)
            continue;
        const ingot_status st = diff_weigh(t->sides, i, relative, absolute, &w, error);
        if (st)
            return st;
        n_same += w.same;
        n_changed += !w.same;
        if (w.same)
            continue;
        cli_progress_end();
        tell_weight(t, a, &t->sides[1].constants[a->match], &w, rows);
    }
    cli_progress_end();
    const size_t n_removed = tell_lonely_weights(t, 0, object ? cli_json_array(object, "removed") : NULL);
    const size_t n_added = tell_lonely_weights(t, 1, object ? cli_json_array(object, "added") : NULL);
    say(t, "weights: %zu same, %zu changed, %zu removed, %zu added", n_same, n_changed, n_removed, n_added);
    if (object)
        cli_json_int(object, "same", (int64_t)n_same);
    return INGOT_OK;
}

/* ---- times ------------------------------------------------------------------------------------------------------ */

static int by_number(const void *a, const void *b)
{
    const double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

/* The two take turns, so that what else the machine does meets both alike. times[side] has room for the runs. */
static ingot_status time_both(cli_setup setups[2], double *times[2], ingot_error *error)
{
    ingot_status st = INGOT_OK;
    for (int64_t run = -3; run < iterations && !st; run++)
        for (int side = 0; side < 2 && !st; side++) {
            const double start = cli_now_ms();
            st = ingot_session_run(setups[side].session, error);
            if (run >= 0)
                times[side][run] = cli_now_ms() - start;
            cli_progress("runs", (size_t)(run < 0 ? 0 : run), (size_t)iterations);
        }
    cli_progress_end();
    return st;
}

/* Load time, median and shortest of each. Times never make models differ. */
static void tell_times(telling *t, const cli_setup setups[2], double *times[2])
{
    double medians[2];
    for (int side = 0; side < 2; side++) {
        qsort(times[side], (size_t)iterations, sizeof *times[side], by_number);
        medians[side] = (times[side][(iterations - 1) / 2] + times[side][iterations / 2]) / 2;
    }
    say(t, "times: median %.3f -> %.3f ms (%.2f times as long), fastest %.3f -> %.3f ms, load %.2f -> %.2f ms",
        medians[0], medians[1], medians[1] / medians[0], times[0][0], times[1][0], setups[0].load_ms,
        setups[1].load_ms);
    if (!t->object)
        return;
    cli_json *object = cli_json_object(t->object, "bench");
    for (int side = 0; side < 2; side++) {
        cli_json *one = cli_json_object(object, side ? "b" : "a");
        cli_json_number(one, "median_ms", medians[side]);
        cli_json_number(one, "min_ms", times[side][0]);
        cli_json_number(one, "load_ms", setups[side].load_ms);
    }
    cli_json_number(object, "ratio", medians[1] / medians[0]);
}

/* Sessions of their own, as the models above may have been loaded without passes. */
static ingot_status run_bench(telling *t, ingot_error *error)
{
    static const cli_list no_files;
    cli_setup setups[2] = {{.model = NULL}, {.model = NULL}};
    double *times[2] = {calloc((size_t)iterations, sizeof(double)), calloc((size_t)iterations, sizeof(double))};
    ingot_status st = times[0] && times[1] ? INGOT_OK : cli_fail(error, INGOT_LIMIT, "out of memory");
    for (int side = 0; side < 2 && !st; side++)
        st = cli_set_up(t->sides[side].path, &no_files, &dims, false, &setups[side], error);
    if (!st && !(st = time_both(setups, times, error)))
        tell_times(t, setups, times);
    for (int side = 0; side < 2; side++) {
        cli_tear_down(&setups[side]);
        free(times[side]);
    }
    return st;
}

/* ---- the command ------------------------------------------------------------------------------------------------ */

/* From the outside in: what a user of the model sees first. */
static ingot_status tell(telling *t, ingot_error *error)
{
    tell_opsets(t);
    if (!no_metadata)
        tell_metadata(t);
    tell_interface(t, "input", ingot_model_n_inputs, ingot_model_input);
    tell_interface(t, "output", ingot_model_n_outputs, ingot_model_output);
    tell_nodes(t);
    tell_sources(t);
    const ingot_status st = tell_weights(t, error);
    if (st)
        return st;
    if (t->object)
        cli_json_bool(t->object, "same", !t->differ);
    return bench ? run_bench(t, error) : INGOT_OK;
}

/* INGOT_DIFFERS where they are not the same, as git diff --exit-code and cmp do. */
static ingot_status run(const char *const *operands, ingot_error *error)
{
    diff_side sides[2] = {{.path = NULL}, {.path = NULL}};
    telling t = {.sides = sides};
    ingot_status st = json ? cli_json_new(&t.object, error) : INGOT_OK;
    for (int side = 0; side < 2 && !st; side++)
        st = diff_load(operands[side], after_passes, &sides[side], error);
    if (!st && !(st = diff_match(sides, error)))
        st = tell(&t, error);
    if (t.object && !st)
        cli_json_print(t.object);
    else if (t.object)
        cli_json_free(t.object);
    diff_free(&sides[0]);
    diff_free(&sides[1]);
    return st ? st : t.differ ? INGOT_DIFFERS : INGOT_OK;
}

const cli_command command_diff = {
    .name = "diff",
    .operands = "A B",
    .summary = "what is different between two models: structure, inputs and outputs, weights, times",
    .options = options,
    .run = run,
    .examples = "  ingot diff before.onnx after.onnx                      exit code 0: the same, 1: they differ\n"
                "  ingot diff epoch1.onnx epoch2.onnx --atol 1e-6         how far did the weights move?\n"
                "  ingot diff fp32.onnx fp16.onnx --bench --dim batch=8\n"
                "  ingot diff a.onnx b.onnx --no-metadata --json | jq .nodes.changed\n",
};
