/* verify_html.c - a verification as one page: what departs first, how errors grow from input to output, the graph with
 * its nodes coloured by error, the table, and histograms of the worst values. */
#include "cli/html.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "cli/verify.h"

enum { N_HISTOGRAMS = 4, N_BINS = 48 };

/* Colours by verdict: green, orange and red. */
static const char *const verdict_classes[] = {"c4", "c2", "c5", "c5"};

/* What an error is measured by: the size of the elements. */
static double relative(double error, const verify_row *row) { return error / fmax(row->errors.rms, 1e-30); }

/* A plot has no place for infinity. */
static double largest(const verify_row *row) { return isfinite(row->errors.max_abs) ? row->errors.max_abs : 1e30; }

/* ---- growth ----------------------------------------------------------------------------------------------------- */

/* The curves of the plot; a row that has no bound has the first alone. */
typedef struct curve {
    const char *title, *css_class;
    double (*at)(const verify_row *row);
} curve;

/* What each curve shows of a row, relative to the size of its elements; 0 where nothing is known. */
static double difference(const verify_row *row) { return relative(largest(row), row); }
static double ours(const verify_row *row) { return row->has_bound ? relative(row->ours.max, row) : 0; }
static double theirs(const verify_row *row) { return row->has_bound ? relative(row->theirs.max, row) : 0; }
static double bound(const verify_row *row) { return row->has_bound ? relative(row->bound.max, row) : 0; }

static const curve curves[] = {
    {"Ingot from the dump", "line c0", difference},
    {"Ingot from float64", "line c1", ours},
    {"the dump from float64", "line c3", theirs},
    {"what rounding explains", "line faint", bound},
};
enum { N_CURVES = sizeof curves / sizeof *curves };

static const double LEAST = 1e-9, MOST = 1e3; /* what a plot shows */

/* Into what the plot shows. */
static double clamp(double x) { return fmin(MOST, fmax(LEAST, x)); }

/* Whole powers of ten around all that the curves show. */
static cli_axis axis_of(const verify_rows *rows)
{
    double low = MOST, high = LEAST;
    for (size_t i = 0; i < rows->n; i++)
        for (size_t k = 0; k < N_CURVES && rows->rows[i].seen; k++) {
            const double y = curves[k].at(&rows->rows[i]);
            low = y > 0 ? fmin(low, clamp(y)) : low;
            high = y > 0 ? fmax(high, clamp(y)) : high;
        }
    if (low > high)
        low = high;
    return (cli_axis){"largest error / size", pow(10, floor(log10(low))), pow(10, floor(log10(high)) + 1), true, false};
}

/* Straight lines from layer to layer; layers that the curve says nothing of are passed over. */
static void add_curve(cli_chart *chart, const verify_rows *rows, const curve *c)
{
    double x0 = 0, y0 = 0;
    for (size_t i = 0; i < rows->n; i++) {
        const verify_row *row = &rows->rows[i];
        if (!row->seen || !(c->at(row) > 0))
            continue;
        if (y0 > 0)
            cli_chart_line(chart, x0, y0, (double)i, clamp(c->at(row)), c->css_class);
        x0 = (double)i;
        y0 = clamp(c->at(row));
    }
}

/* The plot of errors over layers, with a dot for each that shows its name and verdict. */
static void add_growth(cli_page *page, const verify_graph *graph, const verify_rows *rows)
{
    char tip[500];
    cli_page_section(page, "Growth of errors",
                     "Largest error of each layer, over the size of its elements (root mean square), "
                     "from input to output. Dots have their verdict's colour.");
    cli_page_add(page, "<div class=\"legend\">");
    for (size_t i = 0; i < N_CURVES; i++)
        cli_page_add(page, "<span><i class=\"%s\"></i>%s</span>", curves[i].css_class + strlen("line "),
                     curves[i].title);
    cli_page_add(page, "</div>");
    cli_chart chart =
        cli_chart_begin(page, (cli_axis){"layer, in running order", 0, fmax(1, (double)rows->n - 1), false, true},
                        axis_of(rows));
    for (size_t i = 0; i < N_CURVES; i++)
        add_curve(&chart, rows, &curves[i]);
    for (size_t i = 0; i < rows->n; i++) {
        const verify_row *row = &rows->rows[i];
        if (!row->seen || !(difference(row) > 0))
            continue;
        snprintf(tip, sizeof tip, "%s: max abs %.3g of %.3g, %s", cli_printable(graph->values[row->value].name),
                 row->errors.max_abs, row->errors.rms, verify_verdict_name(row));
        cli_chart_dot(&chart, (double)i, clamp(difference(row)), 4, verdict_classes[row->verdict], tip);
    }
    cli_chart_end(&chart);
}

/* ---- graph ------------------------------------------------------------------------------------------------------ */

/* The row of one of the node's values, or NULL. */
static const verify_row *row_of(const verify_graph *graph, const verify_rows *rows, const ingot_node_info *node)
{
    for (size_t k = 0; k < node->n_outputs; k++) {
        const int64_t value = verify_graph_find(graph, node->outputs[k]);
        const int64_t row = value < 0 ? VERIFY_NONE : graph->values[value].row;
        if (row >= 0 && rows->rows[row].seen)
            return &rows->rows[row];
    }
    return NULL;
}

/* Does a run compute it? Shapes and constants, which are known before, would only be in the way. */
static bool is_run(const verify_graph *graph, const ingot_node_info *node)
{
    for (size_t k = 0; k < node->n_outputs; k++) {
        const int64_t value = verify_graph_find(graph, node->outputs[k]);
        if (value >= 0 && graph->values[value].rank >= 0)
            return true;
    }
    return false;
}

enum { TIP = 400 };

/* The boxes of the page's graph, with room for all nodes and for all that they read. */
typedef struct boxes {
    cli_graph_node *items;
    size_t n, n_sources;
    int64_t *sources;
    int64_t *box_of; /* by node, or VERIFY_NONE */
    char *tips;
} boxes;

/* One box; its sources are boxes that were added before, as nodes are in running order. */
static void add_box(const verify_graph *graph, const verify_rows *rows, size_t index, boxes *to)
{
    const ingot_node_info *node = &graph->nodes[index];
    const verify_row *row = row_of(graph, rows, node);
    cli_graph_node *box = &to->items[to->n];
    char *tip = to->tips + to->n * TIP;
    *box = (cli_graph_node){.title = node->op_type,
                            .detail = node->name,
                            .keeps_end = true,
                            .tip = tip,
                            .css_class = row ? verdict_classes[row->verdict] : "c8",
                            .sources = to->sources + to->n_sources};
    to->box_of[index] = (int64_t)to->n++;
    if (row)
        box->heat = fmin(1, fmax(0.1, (log10(clamp(difference(row))) + 8) / 8));
    if (row)
        snprintf(tip, TIP, "%s: %s, max abs %.3g, cosine %.6f", cli_printable(node->name), verify_verdict_name(row),
                 row->errors.max_abs, row->errors.cosine);
    else
        snprintf(tip, TIP, "%s: not in the dump", cli_printable(node->name));
    for (size_t k = 0; k < node->n_inputs; k++) {
        const int64_t value = verify_graph_find(graph, node->inputs[k]);
        const int64_t source = value < 0 ? VERIFY_NONE : to->box_of[graph->values[value].node];
        if (source >= 0) {
            to->sources[to->n_sources++] = source;
            box->n_sources++;
        }
    }
}

/* Boxes for the nodes that a run computes, in running order. INGOT_LIMIT when memory is out; the page stays valid. */
static ingot_status add_graph(cli_page *page, const verify_graph *graph, const verify_rows *rows, ingot_error *error)
{
    size_t n_inputs = 0;
    for (size_t i = 0; i < graph->n_nodes; i++)
        n_inputs += graph->nodes[i].n_inputs;
    boxes b = {.items = calloc(graph->n_nodes + 1, sizeof *b.items),
               .sources = calloc(n_inputs + 1, sizeof *b.sources),
               .box_of = calloc(graph->n_nodes + 1, sizeof *b.box_of),
               .tips = calloc(graph->n_nodes + 1, TIP)};
    ingot_status st =
        b.items && b.sources && b.box_of && b.tips ? INGOT_OK : cli_fail(error, INGOT_LIMIT, "out of memory");
    cli_page_section(page, "Graph",
                     "As it is in the file, without what is known before the run. Green: agrees; orange: out "
                     "of tolerance by rounding alone; red: departs; grey: not in the dump. The stronger the "
                     "colour, the larger the error.");
    for (size_t i = 0; i < graph->n_nodes && !st; i++) {
        b.box_of[i] = VERIFY_NONE;
        if (is_run(graph, &graph->nodes[i]))
            add_box(graph, rows, i, &b);
    }
    if (!st)
        st = cli_page_graph(page, b.items, b.n, error);
    free(b.items);
    free(b.sources);
    free(b.box_of);
    free(b.tips);
    return st;
}

/* ---- table ------------------------------------------------------------------------------------------------------ */

/* The columns of the table, with what a reader may ask of each. */
static const cli_column columns[] = {
    {"#", "place in running order", true},
    {"verdict", NULL, false},
    {"value", "name in the graph", false},
    {"operator", NULL, false},
    {"max abs", "largest difference between Ingot and the dump", true},
    {"mean abs", NULL, true},
    {"max rel", "largest difference over the expected element", true},
    {"ULPs", "most float32 numbers between the two", true},
    {"cosine", "of the angle between the two", true},
    {"Ingot", "largest distance of Ingot's result from the float64 one", true},
    {"dump", "largest distance of the dump from the float64 result", true},
    {"rounding", "how far rounding may carry a result from the float64 one", true},
    {"type", NULL, false},
    {"node", "that makes the value", false},
    {"key", "in the dump, and how it was paired", false},
};

/* One row for each value that some run computed. */
static void add_table(cli_page *page, const verify_graph *graph, const verify_rows *rows)
{
    static const char *const matches[] = {"by name", "by module", "folded", "a guess"};
    char text[500];
    cli_page_section(page, "Layers", "");
    cli_table_begin(page, columns, sizeof columns / sizeof *columns);
    for (size_t i = 0; i < rows->n; i++) {
        const verify_row *row = &rows->rows[i];
        const verify_value *value = &graph->values[row->value];
        if (!row->seen)
            continue;
        cli_table_row(page);
        cli_table_number(page, (double)i, "%.0f");
        cli_table_marked(page, verify_verdict_name(row), verdict_classes[row->verdict]);
        cli_table_text(page, value->name);
        cli_table_text(page, graph->nodes[value->node].op_type);
        cli_table_number(page, row->errors.max_abs, "%.3g");
        cli_table_number(page, row->errors.mean_abs, "%.3g");
        cli_table_number(page, row->errors.max_rel, "%.3g");
        cli_table_number(page, row->errors.max_ulps, "%.3g");
        cli_table_number(page, row->errors.cosine, "%.8f");
        cli_table_number(page, row->has_bound ? row->ours.max : NAN, "%.3g");
        cli_table_number(page, row->has_bound ? row->theirs.max : NAN, "%.3g");
        cli_table_number(page, row->has_bound ? row->bound.max : NAN, "%.3g");
        cli_table_text(page, cli_type_text(&row->got.tensor, text, sizeof text));
        cli_table_text(page, graph->nodes[value->node].name);
        snprintf(text, sizeof text, "%.300s (%s)", row->key, matches[row->match]);
        cli_table_text(page, text);
    }
    cli_table_end(page);
}

/* ---- histograms ------------------------------------------------------------------------------------------------- */

/* How bad a row is: by its verdict, then by its error over what rounding explains, or over its size. */
static double badness(const verify_row *row)
{
    if (!row->seen || !row->errors.measured || !row->errors.n)
        return -1;
    const double share = row->has_bound && row->bound.max > 0 ? fmax(row->ours.max, row->theirs.max) / row->bound.max
                                                              : difference(row) * 1e3;
    return 1e9 * (double)row->verdict + fmin(share, 1e8);
}

static double error_at(const verify_row *row, int64_t i)
{
    return fabs(cli_element(&row->got.tensor, i) - cli_element(&row->want.tensor, i));
}

/* Elements by the power of ten of their difference, as an outline of bars; what is very small is in the first. */
static void add_histogram(cli_page *page, const verify_row *row, const char *name)
{
    int64_t bins[N_BINS] = {0}, most = 1, n_equal = 0;
    double least = fmax(largest(row), 1e-30), top = row->has_bound ? fmax(least, row->bound.max) : least;
    for (int64_t i = 0; i < row->errors.n; i++)
        least = error_at(row, i) > 0 ? fmin(least, error_at(row, i)) : least;
    top = fmin(top, 1e30);
    const double last = floor(log10(top)) + 1, low = fmax(floor(log10(least)), last - 12);
    const double high = last + ceil((last - low) / 4); /* room for the words beside the bound */
    for (int64_t i = 0; i < row->errors.n; i++) {
        const double error = error_at(row, i);
        const double at = error > 0 ? (log10(error) - low) / (high - low) * N_BINS : -1;
        if (!(error > 0)) {
            n_equal += error == 0;
            continue;
        }
        int64_t *bin = &bins[at < 0 ? 0 : at >= N_BINS ? N_BINS - 1 : (int)at];
        most = ++*bin > most ? *bin : most;
    }
    cli_page_add(page, "<h3>");
    cli_page_textf(page, "%s: %lld of %lld elements are equal", cli_printable(name), (long long)n_equal,
                   (long long)row->errors.n);
    cli_page_add(page, "</h3>");
    cli_chart chart = cli_chart_begin(page, (cli_axis){"|difference|", pow(10, low), pow(10, high), true, false},
                                      (cli_axis){"elements", 0, (double)most * 1.05, false, true});
    double before = 0;
    for (int b = 0; b <= N_BINS; b++) {
        const double x = pow(10, low + (high - low) * b / N_BINS), height = b < N_BINS ? (double)bins[b] : 0;
        cli_chart_line(&chart, x, before, x, height, "line c0");
        if (b < N_BINS && height > 0)
            cli_chart_line(&chart, x, height, pow(10, low + (high - low) * (b + 1) / N_BINS), height, "line c0");
        before = height;
    }
    if (row->has_bound && row->bound.max > 0) {
        cli_chart_line(&chart, row->bound.max, 0, row->bound.max, (double)most * 1.05, "line faint");
        cli_chart_label(&chart, row->bound.max, (double)most, 6, 4, "what rounding explains");
    }
    cli_chart_end(&chart);
}

/* The worst rows, each the next worse than those before it. */
static void add_histograms(cli_page *page, const verify_graph *graph, const verify_rows *rows)
{
    double limit = INFINITY;
    cli_page_section(page, "Differences of the worst layers", "How many elements differ by how much.");
    for (int k = 0; k < N_HISTOGRAMS; k++) {
        const verify_row *worst = NULL;
        for (size_t i = 0; i < rows->n; i++)
            if (badness(&rows->rows[i]) >= 0 && badness(&rows->rows[i]) < limit &&
                (!worst || badness(&rows->rows[i]) > badness(worst)))
                worst = &rows->rows[i];
        if (!worst)
            return;
        limit = badness(worst);
        add_histogram(page, worst, graph->values[worst->value].name);
    }
}

/* ---- the page --------------------------------------------------------------------------------------------------- */

/* How many layers agree, and the first that departs. */
static void add_facts(cli_page *page, const verify_graph *graph, const verify_rows *rows, const char *note)
{
    const int64_t first = verify_first(rows);
    size_t counts[VERDICT_MISTAKE + 1] = {0}, n_seen = 0;
    char text[200], beside[300];
    for (size_t i = 0; i < rows->n; i++)
        if (rows->rows[i].seen) {
            counts[rows->rows[i].verdict]++;
            n_seen++;
        }
    cli_page_section(page, "Verdict", note);
    cli_facts_begin(page);
    snprintf(text, sizeof text, "%zu of %zu", counts[VERDICT_AGREES], n_seen);
    cli_fact(page, "layers agree", text, "");
    snprintf(text, sizeof text, "%zu", counts[VERDICT_ROUNDING]);
    cli_fact(page, "by rounding", text, "out of tolerance, and no mistake");
    snprintf(text, sizeof text, "%zu", counts[VERDICT_DEPARTS] + counts[VERDICT_MISTAKE]);
    cli_fact(page, "depart", text, first < 0 ? "" : "more than rounding explains");
    if (first >= 0) {
        const verify_value *value = &graph->values[rows->rows[first].value];
        snprintf(beside, sizeof beside, "%.200s", cli_printable(graph->nodes[value->node].name));
        cli_fact(page, "first", graph->nodes[value->node].op_type, beside);
    }
    cli_facts_end(page);
}

/* In the order in which a reader asks: the verdict, where it begins, in which part of the graph, in figures, and how
 * it looks in the elements. */
ingot_status verify_add_sections(cli_page *page, const verify_graph *graph, const verify_rows *rows, const char *note,
                                 ingot_error *error)
{
    add_facts(page, graph, rows, note);
    add_growth(page, graph, rows);
    const ingot_status st = add_graph(page, graph, rows, error);
    add_table(page, graph, rows);
    add_histograms(page, graph, rows);
    return st;
}

/* A page of its own. */
ingot_status verify_write_html(const verify_graph *graph, const verify_rows *rows, const char *path, const char *model,
                               const char *note, ingot_error *error)
{
    cli_page *page = NULL;
    const char *name = strrchr(model, '/') ? strrchr(model, '/') + 1 : model;
    ingot_status st = cli_page_new(&page, name, "Ingot beside a dump of layers", error);
    if (st)
        return st;
    if (!(st = verify_add_sections(page, graph, rows, note, error)))
        st = cli_page_write(page, path, error);
    cli_page_free(page);
    return st;
}
