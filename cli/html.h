/* html.h - what the commands that write HTML share: the frame of a self-contained page (style and script inside,
 * nothing fetched from anywhere), sections, facts, sortable tables, bars, SVG charts, and graphs.
 *
 * A page is written from top to bottom into memory and reaches its file whole or not at all:
 *
 *     cli_page *page;
 *     if ((st = cli_page_new(&page, "resnet18", "where the time of a run goes", error)))
 *         return st;
 *     cli_page_section(page, "Steps", "the slowest first");
 *     cli_table_begin(page, columns, n_columns);
 *     cli_table_row(page);
 *     cli_table_text(page, name);
 *     cli_table_number(page, value, "%.3f");
 *     cli_table_end(page);
 *     st = cli_page_write(page, path, error);
 *     cli_page_free(page);
 *
 * Functions that take a text escape it; cli_page_add() alone does not. Colours are CSS classes, so that one page serves
 * light and dark. Running out of memory shows in cli_page_write(). */
#ifndef CLI_HTML_H
#define CLI_HTML_H

#include "cli/cli.h"

typedef struct cli_page cli_page;

/** Begin a page; both texts are escaped. INGOT_LIMIT when memory is out. */
ingot_status cli_page_new(cli_page **page, const char *title, const char *subtitle, ingot_error *error);
/** End the page and write it. INGOT_IO or INGOT_LIMIT. */
ingot_status cli_page_write(cli_page *page, const char *path, ingot_error *error);
void cli_page_free(cli_page *page); /* NULL is allowed */

/* Markup as it is: texts from a file must not be among the arguments. */
void cli_page_add(cli_page *page, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* Text between tags or inside a quoted attribute. */
void cli_page_text(cli_page *page, const char *text);
/* The same from a format. */
void cli_page_textf(cli_page *page, const char *format, ...) __attribute__((format(printf, 2, 3)));

/** End the chapter before, if any, and begin one: the sections that follow belong to it. Of several chapters the page
 * shows one at a time. */
void cli_page_chapter(cli_page *page, const char *title);

/** End the section before, if any, and begin one; it gets an entry in the page's navigation. note may be "". */
void cli_page_section(cli_page *page, const char *title, const char *note);

/* Facts are shown side by side in large type, such as "median 3.41 ms" with a note below it. */
void cli_facts_begin(cli_page *page);
void cli_fact(cli_page *page, const char *label, const char *value, const char *note);
void cli_facts_end(cli_page *page);

/* One of the eight colours that tell kinds apart, as the name of a CSS class; past the last all are grey. */
const char *cli_colour(size_t index);

/* ---- tables: sortable by a click on a column's head, with a field to filter rows ---- */

typedef struct cli_column {
    const char *title, *tip; /* tip: what the column means; or NULL */
    bool is_number;          /* right-aligned, and sorted as a number, the largest first */
} cli_column;

void cli_table_begin(cli_page *page, const cli_column *columns, size_t n);
void cli_table_row(cli_page *page);
void cli_table_text(cli_page *page, const char *text);
/* The same behind a dot in the colour of a class. */
void cli_table_marked(cli_page *page, const char *text, const char *css_class);
/* `format` shows a double, such as "%.2f ms"; NaN is shown as an empty cell. */
void cli_table_number(cli_page *page, double value, const char *format) __attribute__((format(printf, 3, 0)));
/* A number with a bar behind it; share from 0 to 1 is the bar's length. */
void cli_table_bar(cli_page *page, double value, const char *format, double share)
    __attribute__((format(printf, 3, 0)));
void cli_table_end(cli_page *page);

/* ---- charts: SVG with a plot area and two axes ---- */

typedef struct cli_axis {
    const char *title;
    double from, to; /* from < to; both > 0 where is_log */
    bool is_log, is_whole; /* is_whole: of things counted, so that no number between two is marked */
} cli_axis;

typedef struct cli_chart {
    cli_page *page;
    cli_axis x, y;
} cli_chart;

/** Begin a chart with its axes and grid; cli_chart_end() ends it. */
cli_chart cli_chart_begin(cli_page *page, cli_axis x, cli_axis y);
void cli_chart_end(cli_chart *chart);
/* A straight line between two points of the axes, cut at the plot area; class "line", "line faint" or a colour. */
void cli_chart_line(cli_chart *chart, double x0, double y0, double x1, double y1, const char *css_class);
/* A dot with a tip that shows when it is pointed at. */
void cli_chart_dot(cli_chart *chart, double x, double y, double radius, const char *css_class, const char *tip);
/* A filled rectangle between two corners, with a tip. */
void cli_chart_rect(cli_chart *chart, double x0, double y0, double x1, double y1, const char *css_class,
                    const char *tip);
/* Text beside a point: dx and dy in pixels. */
void cli_chart_label(cli_chart *chart, double x, double y, double dx, double dy, const char *text);
/* Text that begins above the first point and runs along the line to the second. */
void cli_chart_line_label(cli_chart *chart, double x0, double y0, double x1, double y1, const char *text);

/* ---- a graph that can be searched and folded (view.js): between the two stands JSON, graphs with commas between -- */

void cli_page_view_begin(cli_page *page);
void cli_page_view_end(cli_page *page);

/* ---- graphs (html_graph.c): boxes from top to bottom, edges between them ---- */

typedef struct cli_graph_node {
    const char *title, *detail; /* two lines */
    bool keeps_end;             /* of a detail that is too long the end is shown, not the beginning */
    const char *tip;            /* shows when the box is pointed at; or NULL */
    const char *css_class;      /* a colour; or "" */
    double heat;                /* 0 to 1: how strongly the box is filled */
    const int64_t *sources;     /* nodes before this one in the array whose results it reads */
    size_t n_sources;
} cli_graph_node;

/** Draw the graph; every source must have a lower index than its reader (others are left out). INGOT_LIMIT when memory
 * is out. */
ingot_status cli_page_graph(cli_page *page, const cli_graph_node *nodes, size_t n, ingot_error *error);

#endif
