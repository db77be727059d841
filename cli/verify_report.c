/* verify_report.c - what a verification found, for people and for programs: the table of layers, and the first node
 * whose result departs with what it read. */
#include <stdlib.h>
#include <string.h>

#include "cli/verify.h"

enum { WIDEST = 44 }; /* columns that a name may take; of a longer one the end is shown */

static const char *const match_names[] = {"name", "module", "folded", "guess"};
static const char *const verdict_names[] = {"agrees", "rounding", "DEPARTS", "MISTAKE"};
static const cli_ink_kind verdict_inks[] = {INK_GREEN, INK_YELLOW, INK_RED, INK_RED};

/* In capitals where it is bad, so that it is seen without colours. */
const char *verify_verdict_name(const verify_row *row) { return verdict_names[row->verdict]; }

/* The end of a long name says more than its start. */
static const char *tail(const char *text)
{
    const size_t n = strlen(text);
    return n > WIDEST ? text + n - WIDEST : text;
}

/* Rows are in running order, so the first that departs is the first in the graph. */
int64_t verify_first(const verify_rows *rows)
{
    for (size_t i = 0; i < rows->n; i++)
        if (rows->rows[i].seen && rows->rows[i].verdict >= VERDICT_DEPARTS)
            return (int64_t)i;
    return VERIFY_NONE;
}

/* ---- the table -------------------------------------------------------------------------------------------------- */

/* One line; columns that need a bound are left out where there is none. */
static void print_row(const verify_graph *graph, const verify_row *row, int value_width, int node_width)
{
    const verify_value *value = &graph->values[row->value];
    const ingot_node_info *node = &graph->nodes[value->node];
    const cli_errors *e = &row->errors;
    char type[300];
    const char *shape = strchr(cli_type_text(&row->got.tensor, type, sizeof type), '[');
    printf("%s%-8s%s  %-*s  %-*s  %-16s", cli_ink(stdout, verdict_inks[row->verdict]), verdict_names[row->verdict],
           cli_ink(stdout, INK_END), value_width, tail(cli_printable(value->name)), node_width,
           tail(cli_printable(node->name)), shape);
    if (e->measured)
        printf("  %9.3g %9.3g  %9.3g %9.3g  %9.3g  %.8f", e->max_abs, e->mean_abs, e->max_rel, e->mean_rel, e->max_ulps,
               e->cosine);
    else
        printf("  another shape or type: %s", cli_type_text(&row->want.tensor, type, sizeof type));
    if (row->has_bound)
        printf("  %9.3g %9.3g %9.3g", row->ours.max, row->theirs.max, row->bound.max);
    printf("%s%s\n",
           row->match == MATCH_GUESS    ? "  (a guess)"
           : row->match == MATCH_FOLDED ? "  (folded)"
                                        : "",
           row->unfused ? "  (unfused)" : "");
}

/* The larger of a width and that of a name as it will be shown. */
static int widest(int width, const char *text)
{
    const int n = (int)strlen(tail(cli_printable(text)));
    return n > width ? n : width;
}

/* Columns are as wide as the longest name in them. Rows of values that no run showed are left out. */
static void print_table(const verify_graph *graph, const verify_rows *rows)
{
    int value_width = 5, node_width = 4;
    for (size_t i = 0; i < rows->n; i++) {
        const verify_value *value = &graph->values[rows->rows[i].value];
        value_width = widest(value_width, value->name);
        node_width = widest(node_width, graph->nodes[value->node].name);
    }
    printf("%-8s  %-*s  %-*s  %-16s  %9s %9s  %9s %9s  %9s  %s\n", "", value_width, "value", node_width, "node",
           "shape", "max abs", "mean abs", "max rel", "mean rel", "ULPs",
           "cosine      float64: Ingot     dump  rounding");
    for (size_t i = 0; i < rows->n; i++)
        if (rows->rows[i].seen)
            print_row(graph, &rows->rows[i], value_width, node_width);
}

/* ---- the first departure ---------------------------------------------------------------------------------------- */

/* What is known of a value that the node reads, as one line of text. */
static void input_text(const verify_graph *graph, const verify_rows *rows, const char *name, char *text,
                       size_t capacity)
{
    const int64_t index = verify_graph_find(graph, name);
    const int64_t row = index < 0 ? VERIFY_NONE : graph->values[index].row;
    if (index < 0)
        snprintf(text, capacity, "given (an input or a constant)");
    else if (row < 0 || !rows->rows[row].seen)
        snprintf(text, capacity, "not in the dump; made by '%s' (%s)",
                 cli_printable(graph->nodes[graph->values[index].node].name),
                 cli_printable(graph->nodes[graph->values[index].node].op_type));
    else
        snprintf(text, capacity, "%s: max abs %.3g, max rel %.3g", verdict_names[rows->rows[row].verdict],
                 rows->rows[row].errors.max_abs, rows->rows[row].errors.max_rel);
}

/* Mark the nodes that lie between a node and the nearest values that were compared: one of them is to blame. Nodes are
 * in running order, so one walk back is enough. Returns how many there are. */
static size_t mark_suspects(const verify_graph *graph, const verify_rows *rows, size_t node, bool *suspect)
{
    size_t n = 0;
    suspect[node] = true;
    for (size_t i = node + 1; i-- > 0;) {
        n += suspect[i];
        for (size_t k = 0; k < graph->nodes[i].n_inputs && suspect[i]; k++) {
            const int64_t value = verify_graph_find(graph, graph->nodes[i].inputs[k]);
            if (value >= 0 && (graph->values[value].row < 0 || !rows->rows[graph->values[value].row].seen))
                suspect[graph->values[value].node] = true;
        }
    }
    return n;
}

/* Whose mistake it is, as far as the float64 run can tell: it computes what the model says. */
static const char *blame(const verify_row *row)
{
    if (!verify_is_near(row->ours, row->bound))
        return "Ingot does not compute what the model says";
    return "the model does not say what the dump shows";
}

/* The first departure: where, by how much, whose mistake, what the node read, and which other nodes may be to blame. */
static void print_first(const verify_graph *graph, const verify_rows *rows, const verify_row *row)
{
    const ingot_node_info *node = &graph->nodes[graph->values[row->value].node];
    bool *suspect = calloc(graph->n_nodes + 1, sizeof *suspect);
    /* nodes that the dump does not show between this one and what it read */
    const size_t n = suspect ? mark_suspects(graph, rows, graph->values[row->value].node, suspect) : 0;
    char text[300];
    printf("first departs: node '%s' (%s), value '%s', in the dump '%s' (by %s)\n", cli_printable(node->name),
           cli_printable(node->op_type), cli_printable(graph->values[row->value].name), cli_printable(row->key),
           match_names[row->match]);
    /* the worst element, and whose mistake it looks like */
    if (row->errors.worst >= 0 && row->errors.measured) {
        printf("  element %lld is ", (long long)row->errors.worst);
        cli_print_element(stdout, &row->got.tensor, row->errors.worst);
        printf(", expected ");
        cli_print_element(stdout, &row->want.tensor, row->errors.worst);
        printf("; %lld of %lld elements are out of tolerance\n", (long long)row->errors.n_differ,
               (long long)row->errors.n);
    }
    if (row->has_bound)
        printf("  %s: Ingot is %.3g from the float64 result, the dump %.3g; rounding explains %.3g\n", blame(row),
               row->ours.max, row->theirs.max, row->bound.max);
    for (size_t k = 0; k < node->n_inputs; k++) {
        if (!*node->inputs[k])
            continue;
        input_text(graph, rows, node->inputs[k], text, sizeof text);
        printf("  reads '%s': %s\n", cli_printable(node->inputs[k]), text);
    }
    if (n > 1)
        printf("  or one of the %zu nodes before it that the dump does not show:", n - 1);
    for (size_t i = 0, shown = 0; n > 1 && i < graph->n_nodes; i++)
        if (suspect[i] && &graph->nodes[i] != node && shown++ < 8)
            printf("%s '%s'", shown > 1 ? "," : "", cli_printable(graph->nodes[i].name));
    if (n > 1)
        printf("%s\n", n > 9 ? ", ..." : "");
    free(suspect);
}

/* The table, the first departure, what has no pair, and the counts at the end. */
void verify_print_rows(const verify_graph *graph, const verify_rows *rows, const char *note)
{
    const int64_t first = verify_first(rows);
    size_t n_seen = 0, n_agree = 0, n_guess = 0, n_rounding = 0;
    for (size_t i = 0; i < rows->n; i++) {
        n_seen += rows->rows[i].seen;
        n_agree += rows->rows[i].seen && rows->rows[i].verdict == VERDICT_AGREES;
        n_rounding += rows->rows[i].seen && rows->rows[i].verdict == VERDICT_ROUNDING;
        n_guess += rows->rows[i].match == MATCH_GUESS;
    }
    print_table(graph, rows);
    if (*note)
        printf("%s\n", note);
    if (first >= 0)
        print_first(graph, rows, &rows->rows[first]);
    for (size_t i = 0; i < rows->n_unpaired; i++)
        printf("%s '%s'%s", i ? "," : "not in the graph as such:", cli_printable(rows->unpaired[i]),
               i + 1 == rows->n_unpaired ? "\n" : "");
    if (n_seen < rows->n)
        printf("%zu more are known before the run (shapes and constants)\n", rows->n - n_seen);
    printf("%zu of %zu layers agree", n_agree, n_seen);
    if (n_rounding)
        printf("; %zu more are out of tolerance by rounding alone", n_rounding);
    printf("%s%s\n", n_guess ? "; they were paired by shape and order, a guess" : "",
           verify_opts.isolate ? "; every node read the dump's values" : "");
}

/* ---- JSON ------------------------------------------------------------------------------------------------------- */

/* One object of the array "layers". */
static void json_row(const verify_graph *graph, const verify_row *row, cli_json *object)
{
    const verify_value *value = &graph->values[row->value];
    const cli_errors *e = &row->errors;
    char type[300];
    cli_json_text(object, "value", value->name);
    cli_json_text(object, "key", row->key);
    cli_json_text(object, "match", match_names[row->match]);
    cli_json_text(object, "node", graph->nodes[value->node].name);
    cli_json_text(object, "op_type", graph->nodes[value->node].op_type);
    cli_json_text(object, "type", cli_type_text(row->seen ? &row->got.tensor : &row->want.tensor, type, sizeof type));
    cli_json_text(object, "verdict", row->seen ? verdict_names[row->verdict] : "not run");
    cli_json_bool(object, "unfused", row->unfused);
    cli_json_number(object, "max_abs", e->max_abs);
    cli_json_number(object, "mean_abs", e->mean_abs);
    cli_json_number(object, "max_rel", e->max_rel);
    cli_json_number(object, "mean_rel", e->mean_rel);
    cli_json_number(object, "max_ulps", e->max_ulps);
    cli_json_number(object, "cosine", e->cosine);
    cli_json_int(object, "differing", e->n_differ);
    if (!row->has_bound)
        return;
    cli_json_number(object, "ingot_from_float64", row->ours.max);
    cli_json_number(object, "ingot_from_float64_rms", row->ours.rms);
    cli_json_number(object, "dump_from_float64", row->theirs.max);
    cli_json_number(object, "dump_from_float64_rms", row->theirs.rms);
    cli_json_number(object, "rounding", row->bound.max);
    cli_json_number(object, "rounding_rms", row->bound.rms);
}

/* "layers" has all rows, "not_in_graph" the keys without one; "first" is there only where something departs. */
void verify_json_rows(const verify_graph *graph, const verify_rows *rows, cli_json *report)
{
    const int64_t first = verify_first(rows);
    cli_json *layers = cli_json_array(report, "layers");
    for (size_t i = 0; i < rows->n; i++)
        json_row(graph, &rows->rows[i], cli_json_append(layers));
    cli_json *unpaired = cli_json_array(report, "not_in_graph");
    for (size_t i = 0; i < rows->n_unpaired; i++)
        cli_json_append_text(unpaired, rows->unpaired[i]);
    if (first < 0)
        return;
    const verify_value *value = &graph->values[rows->rows[first].value];
    const ingot_node_info *node = &graph->nodes[value->node];
    bool *suspect = calloc(graph->n_nodes + 1, sizeof *suspect);
    cli_json *found = cli_json_object(report, "first");
    if (rows->rows[first].has_bound)
        cli_json_text(found, "blame",
                      verify_is_near(rows->rows[first].ours, rows->rows[first].bound) ? "model" : "ingot");
    cli_json_text(found, "node", node->name);
    cli_json_text(found, "value", value->name);
    cli_json *inputs = cli_json_array(found, "inputs");
    for (size_t k = 0; k < node->n_inputs; k++) {
        char text[300];
        cli_json *input = cli_json_append(inputs);
        input_text(graph, rows, node->inputs[k], text, sizeof text);
        cli_json_text(input, "value", node->inputs[k]);
        cli_json_text(input, "is", text);
    }
    cli_json *suspects = cli_json_array(found, "suspects");
    if (suspect)
        mark_suspects(graph, rows, value->node, suspect);
    for (size_t i = 0; suspect && i < graph->n_nodes; i++)
        if (suspect[i])
            cli_json_append_text(suspects, graph->nodes[i].name);
    free(suspect);
}
