/* html_graph.c - drawing a graph as SVG: boxes in rows from top to bottom, in lanes side by side.
 *
 * A box's row is one below the lowest of its sources. A box keeps its lane from its own row down to the row above its
 * last reader, and its edges run down in that lane before they turn into a reader: so no edge ever crosses a box. A box
 * takes over the lane of its first source where that is free again, else the nearest one that is. */
#include "cli/html.h"

#include <stdlib.h>
#include <string.h>

enum { BOX_WIDTH = 196, BOX_HEIGHT = 38, LANE = BOX_WIDTH + 20, ROW = BOX_HEIGHT + 26 };

/* Where a box goes, in rows and lanes; which it keeps, and the list of the boxes of its row. */
typedef struct place {
    size_t row, last; /* its own, and that of its last reader */
    size_t lane;
    size_t next;      /* in the same row, or n */
} place;

/* A source that comes after its reader would not end: it is no source. */
static bool is_source(size_t reader, int64_t source) { return source >= 0 && (uint64_t)source < reader; }

/* Rows, and last readers; returns the number of rows. */
static size_t place_rows(const cli_graph_node *nodes, size_t n, place *places)
{
    size_t n_rows = 0;
    for (size_t i = 0; i < n; i++) {
        for (size_t k = 0; k < nodes[i].n_sources; k++)
            if (is_source(i, nodes[i].sources[k]) && places[nodes[i].sources[k]].row >= places[i].row)
                places[i].row = places[nodes[i].sources[k]].row + 1;
        places[i].last = places[i].row;
        for (size_t k = 0; k < nodes[i].n_sources; k++)
            if (is_source(i, nodes[i].sources[k]) && places[nodes[i].sources[k]].last < places[i].row)
                places[nodes[i].sources[k]].last = places[i].row;
        n_rows = places[i].row >= n_rows ? places[i].row + 1 : n_rows;
    }
    return n_rows;
}

/* The free lane nearest to `wanted`; there are always more lanes than boxes. free_from[l] is the first row in which
 * lane l is free. */
static size_t nearest_lane(const size_t *free_from, size_t n, size_t wanted, size_t row)
{
    for (size_t d = 0; d < n; d++) {
        if (wanted >= d && free_from[wanted - d] <= row)
            return wanted - d;
        if (wanted + d < n && free_from[wanted + d] <= row)
            return wanted + d;
    }
    return 0;
}

/* Row by row, in the order of the nodes within a row. first[r] is the head of row r's list. Returns the number of
 * lanes that are used. */
static size_t place_lanes(const cli_graph_node *nodes, size_t n, place *places, size_t *first, size_t n_rows,
                          size_t *free_from)
{
    size_t n_lanes = 0;
    for (size_t r = 0; r < n_rows; r++)
        first[r] = n;
    /* the boxes of each row as a list in the order of the nodes */
    for (size_t i = n; i-- > 0; first[places[i].row] = i)
        places[i].next = first[places[i].row];
    for (size_t r = 0; r < n_rows; r++)
        for (size_t i = first[r]; i < n; i = places[i].next) {
            /* the lane of the first source that is one, else the leftmost */
            size_t wanted = 0;
            for (size_t k = nodes[i].n_sources; k-- > 0;)
                if (is_source(i, nodes[i].sources[k]))
                    wanted = places[nodes[i].sources[k]].lane;
            places[i].lane = nearest_lane(free_from, n, wanted, r);
            free_from[places[i].lane] = places[i].last > r ? places[i].last : r + 1;
            n_lanes = places[i].lane >= n_lanes ? places[i].lane + 1 : n_lanes;
        }
    return n_lanes;
}

/* Down the source's lane, then over to the reader. */
static void add_edge(cli_page *page, const place *source, const place *reader)
{
    const size_t x0 = source->lane * LANE + BOX_WIDTH / 2, x1 = reader->lane * LANE + BOX_WIDTH / 2;
    const size_t y0 = source->row * ROW + BOX_HEIGHT, y1 = reader->row * ROW, turn = y1 - (ROW - BOX_HEIGHT);
    cli_page_add(page, "<path d=\"M%zu %zuV%zuC%zu %zu %zu %zu %zu %zu\"/>\n", x0, y0, turn, x0, y1 - 6, x1, turn + 6,
                 x1, y1);
}

/* Text of at most `most` bytes, the last or the first ones, with a mark where some are missing. */
static void add_cut(cli_page *page, const char *text, int most, bool keeps_end)
{
    const size_t n = strlen(text), kept = (size_t)most - 1;
    if (n <= (size_t)most)
        cli_page_text(page, text);
    else if (keeps_end)
        cli_page_textf(page, "\u2026%s", text + n - kept);
    else
        cli_page_textf(page, "%.*s\u2026", (int)kept, text);
}

/* Two lines of text, cut to the box's width; the tip has them whole. */
static void add_box(cli_page *page, const cli_graph_node *node, const place *at)
{
    const size_t x = at->lane * LANE, y = at->row * ROW;
    cli_page_add(page, "<g data-tip=\"");
    cli_page_text(page, node->tip ? node->tip : "");
    cli_page_add(page, "\"><rect class=\"%s\" x=\"%zu\" y=\"%zu\" width=\"%d\" height=\"%d\" rx=\"6\" "
                 "style=\"--heat:%.0f%%\"/><text x=\"%zu\" y=\"%zu\">", node->css_class, x, y, BOX_WIDTH, BOX_HEIGHT,
                 6 + 44 * node->heat, x + 9, y + 16);
    add_cut(page, node->title, 26, false);
    cli_page_add(page, "</text><text x=\"%zu\" y=\"%zu\">", x + 9, y + 30);
    add_cut(page, node->detail, 29, node->keeps_end);
    cli_page_add(page, "</text></g>\n");
}

/* Edges first, so that boxes lie on top of their ends. */
ingot_status cli_page_graph(cli_page *page, const cli_graph_node *nodes, size_t n, ingot_error *error)
{
    place *places = calloc(n + 1, sizeof *places);
    size_t *first = calloc(n + 1, sizeof *first), *free_from = calloc(n + 1, sizeof *free_from);
    ingot_status st = INGOT_OK;
    if (!places || !first || !free_from) {
        st = cli_fail(error, INGOT_LIMIT, "out of memory");
    } else if (n) {
        const size_t n_rows = place_rows(nodes, n, places);
        const size_t n_lanes = place_lanes(nodes, n, places, first, n_rows, free_from);
        const size_t width = n_lanes * LANE, height = n_rows * ROW;
        cli_page_add(page, "<div class=\"graph\"><svg viewBox=\"-2 -2 %zu %zu\" width=\"%zu\" height=\"%zu\">\n", width,
                     height, width, height);
        for (size_t i = 0; i < n; i++)
            for (size_t k = 0; k < nodes[i].n_sources; k++)
                if (is_source(i, nodes[i].sources[k]))
                    add_edge(page, &places[nodes[i].sources[k]], &places[i]);
        for (size_t i = 0; i < n; i++)
            add_box(page, &nodes[i], &places[i]);
        cli_page_add(page, "</svg></div>\n");
    }
    free(places);
    free(first);
    free(free_from);
    return st;
}
