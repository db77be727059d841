/* html.c - the frame of an HTML page, facts, tables and charts. Style and script are html.css and html.js, which the
 * build turns into texts. */
#include "cli/html.h"

#include <math.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

/* Made by embed_text.py; the hashes let browsers run these scripts and no others. */
extern const char cli_html_css[], cli_html_js[], cli_view_js[], cli_html_js_sha256[], cli_view_js_sha256[];

/* A stream into memory: what does not fit shows when it is closed. */
struct cli_page {
    FILE *out; /* into `text`, until it is closed */
    char *text;
    size_t size_bytes;
    bool in_section, in_chapter, has_view;
};

/* ---- the frame -------------------------------------------------------------------------------------------------- */

/* Failures are not looked at here: the stream remembers them. */
void cli_page_add(cli_page *page, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    vfprintf(page->out, format, args);
    va_end(args);
}

/* What is no character of HTML (control characters, bytes that are not UTF-8) becomes a question mark. */
void cli_page_text(cli_page *page, const char *text)
{
    const char *const end = text + strlen(text);
    while (text < end) {
        const char *const from = text;
        const int32_t c = cli_next_code_point(&text, end);
        if (c < 0)
            text = from + 1;
        const char *const entity = c == '<' ? "&lt;" : c == '>' ? "&gt;" : c == '&' ? "&amp;" : c == '"' ? "&quot;"
                                   : (c < ' ' && c != '\n') || (c >= 0x7f && c < 0xa0) ? "?" : NULL;
        if (entity)
            fputs(entity, page->out);
        else
            fwrite(from, 1, (size_t)(text - from), page->out);
    }
}

/* Longer texts are cut: what comes here are labels and tips. */
void cli_page_textf(cli_page *page, const char *format, ...)
{
    char text[1000];
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    cli_page_text(page, text);
}

/* Head and header; navigation is filled by the script from the sections' titles. */
ingot_status cli_page_new(cli_page **result, const char *title, const char *subtitle, ingot_error *error)
{
    cli_page *page = *result = calloc(1, sizeof *page);
    if (!page || !(page->out = open_memstream(&page->text, &page->size_bytes))) {
        free(page);
        *result = NULL;
        return cli_fail(error, INGOT_LIMIT, "out of memory");
    }
    cli_page_add(page, "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n"
                       "<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n"
                       "<meta name=\"color-scheme\" content=\"light dark\">\n"
                       "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; "
                       "style-src 'unsafe-inline'; script-src 'sha256-%s' 'sha256-%s'; base-uri 'none'; "
                       "form-action 'none'\">\n<title>", cli_html_js_sha256, cli_view_js_sha256);
    cli_page_text(page, title);
    cli_page_add(page, "</title>\n<style>\n%s</style>\n</head>\n<body>\n<header><div><h1>", cli_html_css);
    cli_page_text(page, title);
    cli_page_add(page, "</h1><p>");
    cli_page_text(page, subtitle);
    cli_page_add(page, "</p></div><nav></nav></header>\n<main>\n");
    return INGOT_OK;
}

/* Also of a page that was not written. */
void cli_page_free(cli_page *page)
{
    if (!page)
        return;
    if (page->out)
        fclose(page->out);
    free(page->text);
    free(page);
}

/* The tip's element and the script come last, when everything that they look for is there. */
ingot_status cli_page_write(cli_page *page, const char *path, ingot_error *error)
{
    cli_page_add(page, "%s%s", page->in_section ? "</section>\n" : "", page->in_chapter ? "</div>\n" : "");
    cli_page_add(page, "</main>\n<footer>Ingot %s</footer>\n<div id=\"tip\" hidden></div>\n<script>\n%s</script>\n",
                 ingot_version(), cli_html_js);
    if (page->has_view)
        cli_page_add(page, "<script>\n%s</script>\n", cli_view_js);
    cli_page_add(page, "</body>\n</html>\n");
    const bool failed = ferror(page->out) != 0;
    if ((fclose(page->out) != 0) | failed) { /* closed either way */
        page->out = NULL;
        return cli_fail(error, INGOT_LIMIT, "out of memory");
    }
    page->out = NULL;
    return cli_write_file(path, &(cli_bytes){page->text, page->size_bytes}, 1, error);
}

/* A chapter ends where the next begins; sections outside any are those of a page that has none. */
void cli_page_chapter(cli_page *page, const char *title)
{
    cli_page_add(page, "%s%s<div class=\"chapter\" data-title=\"", page->in_section ? "</section>\n" : "",
                 page->in_chapter ? "</div>\n" : "");
    page->in_section = false;
    page->in_chapter = true;
    cli_page_text(page, title);
    cli_page_add(page, "\">\n");
}

/* The script finds its parts by their classes, and its data in the element that no browser runs. */
void cli_page_view_begin(cli_page *page)
{
    page->has_view = true;
    cli_page_add(page, "<div class=\"view\"><input type=\"search\" placeholder=\"search nodes\" "
                       "aria-label=\"search nodes\"><div class=\"tabs\"></div><div class=\"outline\"></div>"
                       "<div class=\"canvas\"></div><div class=\"side\"></div>"
                       "<script type=\"application/json\">[");
}

void cli_page_view_end(cli_page *page) { cli_page_add(page, "]</script></div>\n"); }

/* Sections are flat: each ends where the next begins. */
void cli_page_section(cli_page *page, const char *title, const char *note)
{
    cli_page_add(page, "%s<section data-title=\"", page->in_section ? "</section>\n" : "");
    page->in_section = true;
    cli_page_text(page, title);
    cli_page_add(page, "\"><h2>");
    cli_page_text(page, title);
    cli_page_add(page, "</h2>");
    if (*note) {
        cli_page_add(page, "<p class=\"note\">");
        cli_page_text(page, note);
        cli_page_add(page, "</p>");
    }
    cli_page_add(page, "\n");
}

/* A definition list, which the style sheet lays out as tiles. */
void cli_facts_begin(cli_page *page) { cli_page_add(page, "<dl class=\"facts\">\n"); }

/* One tile: what it is, the value in large type, and a note below. */
void cli_fact(cli_page *page, const char *label, const char *value, const char *note)
{
    cli_page_add(page, "<div><dt>");
    cli_page_text(page, label);
    cli_page_add(page, "</dt><dd>");
    cli_page_text(page, value);
    cli_page_add(page, "</dd><dd class=\"note\">");
    cli_page_text(page, note);
    cli_page_add(page, "</dd></div>\n");
}

void cli_facts_end(cli_page *page) { cli_page_add(page, "</dl>\n"); }

/* c0 to c7 are hues that differ in light and dark; c8 is grey. */
const char *cli_colour(size_t index)
{
    static const char *const names[] = {"c0", "c1", "c2", "c3", "c4", "c5", "c6", "c7", "c8"};
    const size_t last = sizeof names / sizeof *names - 1;
    return names[index < last ? index : last];
}

/* ---- tables ----------------------------------------------------------------------------------------------------- */

/* Rows are ended by the next row's beginning or the table's end: HTML allows it. */
void cli_table_begin(cli_page *page, const cli_column *columns, size_t n)
{
    cli_page_add(page, "<div class=\"table\"><input type=\"search\" placeholder=\"filter rows\" "
                       "aria-label=\"filter rows\"><div class=\"scroll\"><table><thead><tr>");
    for (size_t i = 0; i < n; i++) {
        cli_page_add(page, "<th%s", columns[i].is_number ? " class=\"n\"" : "");
        if (columns[i].tip) {
            cli_page_add(page, " data-tip=\"");
            cli_page_text(page, columns[i].tip);
            cli_page_add(page, "\"");
        }
        cli_page_add(page, ">");
        cli_page_text(page, columns[i].title);
        cli_page_add(page, "</th>");
    }
    cli_page_add(page, "</tr></thead><tbody>\n");
}

/* The cells that follow belong to this row. */
void cli_table_row(cli_page *page) { cli_page_add(page, "<tr>"); }

/* A cell with text; of a long one the tip has the end as well. */
void cli_table_text(cli_page *page, const char *text)
{
    cli_page_add(page, "<td");
    if (strlen(text) > 30) {
        cli_page_add(page, " data-tip=\"");
        cli_page_text(page, text);
        cli_page_add(page, "\"");
    }
    cli_page_add(page, ">");
    cli_page_text(page, text);
    cli_page_add(page, "</td>");
}

/* A cell with text behind a dot of a colour. */
void cli_table_marked(cli_page *page, const char *text, const char *css_class)
{
    cli_page_add(page, "<td><i class=\"%s\"></i>", css_class);
    cli_page_text(page, text);
    cli_page_add(page, "</td>");
}

/* The cell's sort key is the number itself; `bar` is a share or negative for none. */
static void add_number(cli_page *page, double value, double bar, const char *format)
    __attribute__((format(printf, 4, 0)));

static void add_number(cli_page *page, double value, double bar, const char *format)
{
    char text[100] = "";
    /* an empty cell, without a bar */
    if (isnan(value)) {
        cli_page_add(page, "<td class=\"n\"></td>");
        return;
    }
    snprintf(text, sizeof text, format, value);
    cli_page_add(page, "<td class=\"n\" data-v=\"%.9g\"", value);
    if (bar >= 0)
        cli_page_add(page, " style=\"--w:%.2f%%\"", 100 * fmin(bar, 1));
    cli_page_add(page, ">");
    cli_page_text(page, text);
    cli_page_add(page, "</td>");
}

/* A cell with a number, without and with a bar behind it. */
void cli_table_number(cli_page *page, double value, const char *format) { add_number(page, value, -1, format); }

void cli_table_bar(cli_page *page, double value, const char *format, double share)
{
    add_number(page, value, share > 0 ? share : 0, format);
}

void cli_table_end(cli_page *page) { cli_page_add(page, "</tbody></table></div></div>\n"); }

/* ---- charts ----------------------------------------------------------------------------------------------------- */

enum { CHART_WIDTH = 960, CHART_HEIGHT = 440, LEFT = 74, RIGHT = 24, TOP = 16, BOTTOM = 48 };

/* 0 to 1 along the axis, and beyond for what lies outside. */
static double along(const cli_axis *axis, double value)
{
    if (axis->is_log)
        return log(fmax(value, 1e-300) / axis->from) / log(axis->to / axis->from);
    return (value - axis->from) / (axis->to - axis->from);
}

/* Places on the page, in the units of the view box; y grows downwards there. */
static double x_of(const cli_chart *chart, double x)
{
    return LEFT + along(&chart->x, x) * (CHART_WIDTH - LEFT - RIGHT);
}

static double y_of(const cli_chart *chart, double y)
{
    return CHART_HEIGHT - BOTTOM - along(&chart->y, y) * (CHART_HEIGHT - TOP - BOTTOM);
}

/* A grid line and its number. */
static void add_tick(const cli_chart *chart, bool is_x, double value)
{
    const double at = is_x ? x_of(chart, value) : y_of(chart, value);
    if (is_x)
        cli_page_add(chart->page, "<path class=\"grid\" d=\"M%.1f %dV%d\"/><text class=\"tick\" x=\"%.1f\" y=\"%d\" "
                     "text-anchor=\"middle\">%g</text>\n", at, TOP, CHART_HEIGHT - BOTTOM, at,
                     CHART_HEIGHT - BOTTOM + 18, value);
    else
        cli_page_add(chart->page, "<path class=\"grid\" d=\"M%d %.1fH%d\"/><text class=\"tick\" x=\"%d\" y=\"%.1f\" "
                     "text-anchor=\"end\">%g</text>\n", LEFT, at, CHART_WIDTH - RIGHT, LEFT - 8, at + 4, value);
}

/* Powers of ten on a logarithmic axis, else some five round numbers. */
static void add_ticks(const cli_chart *chart, bool is_x)
{
    const cli_axis *axis = is_x ? &chart->x : &chart->y;
    if (axis->is_log) {
        for (double power = ceil(log10(axis->from) - 1e-9); power <= log10(axis->to) + 1e-9; power++)
            add_tick(chart, is_x, pow(10, power));
        return;
    }
    /* steps of 1, 2 or 5 times a power of ten */
    const double span = axis->to - axis->from, rough = pow(10, floor(log10(span / 5)));
    const double fine = span / rough > 25 ? 5 * rough : span / rough > 10 ? 2 * rough : rough;
    const double step = axis->is_whole ? fmax(fine, 1) : fine;
    for (double at = ceil(axis->from / step); at * step <= axis->to * (1 + 1e-9); at++)
        add_tick(chart, is_x, at * step);
}

/* What is drawn goes into a group that is clipped to the plot area; its id must be unique in the page. */
cli_chart cli_chart_begin(cli_page *page, cli_axis x, cli_axis y)
{
    static int n_charts;
    cli_chart chart = {page, x, y};
    cli_page_add(page, "<svg class=\"chart\" viewBox=\"0 0 %d %d\" role=\"img\">\n<clipPath id=\"plot%d\"><rect "
                 "x=\"%d\" y=\"%d\" width=\"%d\" height=\"%d\"/></clipPath>\n",
                 CHART_WIDTH, CHART_HEIGHT, ++n_charts, LEFT, TOP, CHART_WIDTH - LEFT - RIGHT,
                 CHART_HEIGHT - TOP - BOTTOM);
    add_ticks(&chart, true);
    add_ticks(&chart, false);
    cli_page_add(page, "<text class=\"axis\" x=\"%d\" y=\"%d\" text-anchor=\"end\">", CHART_WIDTH - RIGHT,
                 CHART_HEIGHT - 8);
    cli_page_text(page, x.title);
    cli_page_add(page, "</text>\n<text class=\"axis\" transform=\"translate(14 %d) rotate(-90)\" text-anchor=\"end\">",
                 TOP);
    cli_page_text(page, y.title);
    cli_page_add(page, "</text>\n<g clip-path=\"url(#plot%d)\">\n", n_charts);
    return chart;
}

void cli_chart_end(cli_chart *chart) { cli_page_add(chart->page, "</g></svg>\n"); }

/* Points are given in the units of the axes. */
void cli_chart_line(cli_chart *chart, double x0, double y0, double x1, double y1, const char *css_class)
{
    cli_page_add(chart->page, "<path class=\"%s\" d=\"M%.1f %.1fL%.1f %.1f\"/>\n", css_class, x_of(chart, x0),
                 y_of(chart, y0), x_of(chart, x1), y_of(chart, y1));
}

/* radius is in the units of the view box, so that dots stay round whatever the axes are. */
void cli_chart_dot(cli_chart *chart, double x, double y, double radius, const char *css_class, const char *tip)
{
    cli_page_add(chart->page, "<circle class=\"dot %s\" cx=\"%.1f\" cy=\"%.1f\" r=\"%.1f\" data-tip=\"", css_class,
                 x_of(chart, x), y_of(chart, y), radius);
    cli_page_text(chart->page, tip);
    cli_page_add(chart->page, "\"/>\n");
}

void cli_chart_rect(cli_chart *chart, double x0, double y0, double x1, double y1, const char *css_class,
                    const char *tip)
{
    cli_page_add(chart->page, "<rect class=\"rect %s\" x=\"%.2f\" y=\"%.2f\" width=\"%.2f\" height=\"%.2f\" "
                 "data-tip=\"", css_class, x_of(chart, x0), y_of(chart, y1), x_of(chart, x1) - x_of(chart, x0),
                 y_of(chart, y0) - y_of(chart, y1));
    cli_page_text(chart->page, tip);
    cli_page_add(chart->page, "\"/>\n");
}

/* dx and dy too are in the units of the view box. */
void cli_chart_label(cli_chart *chart, double x, double y, double dx, double dy, const char *text)
{
    cli_page_add(chart->page, "<text class=\"label\" x=\"%.1f\" y=\"%.1f\">", x_of(chart, x) + dx, y_of(chart, y) + dy);
    cli_page_text(chart->page, text);
    cli_page_add(chart->page, "</text>\n");
}

/* Turned by the line's slope on the page, which the axes decide. */
void cli_chart_line_label(cli_chart *chart, double x0, double y0, double x1, double y1, const char *text)
{
    const double x = x_of(chart, x0), y = y_of(chart, y0);
    const double degrees = atan2(y_of(chart, y1) - y, x_of(chart, x1) - x) * 180 / 3.14159265358979;
    cli_page_add(chart->page, "<text class=\"label\" transform=\"translate(%.1f %.1f) rotate(%.2f)\" dy=\"-6\">", x, y,
                 degrees);
    cli_page_text(chart->page, text);
    cli_page_add(chart->page, "</text>\n");
}
