/* inspect.h - what the files of `ingot inspect --html` share. */
#ifndef CLI_INSPECT_H
#define CLI_INSPECT_H

#include <string.h>

#include "cli/diff.h"
#include "cli/html.h"

/* One of the graphs that the page shows. */
typedef struct inspect_view {
    const char *title;
    const diff_side *side;         /* its nodes and constants */
    const ingot_session *session;  /* planned, for types and shapes; or NULL */
} inspect_view;

/* Write a graph as JSON (inspect_graph.c). */
void inspect_add_graph(cli_page *page, const inspect_view *view);

/* What the page is to hold beside the model. */
typedef struct inspect_options {
    const char *html, *dump, *layers;
    bool profile;
    cli_list dims;
} inspect_options;

/** Write the page (inspect_html.c): the graph before and after the passes, memory over time, parameters, what the
 * passes did; and as chapters of their own a profile and a verification. */
ingot_status inspect_write_html(const char *path, const inspect_options *options, ingot_error *error);

#endif
