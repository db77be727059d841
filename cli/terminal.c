/* terminal.c - what only people see: colour and progress, where a terminal is at the other end and nothing forbids
 * it. */
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cli/cli.h"

/* ---- colour ----------------------------------------------------------------------------------------------------- */

/* --color decides; else NO_COLOR (https://no-color.org), a dumb terminal, and whether it is one at all. */
static bool has_colour(FILE *out)
{
    const char *forbidden = getenv("NO_COLOR"), *terminal = getenv("TERM");
    if (common.color != COLOR_AUTO)
        return common.color == COLOR_ALWAYS;
    return !(forbidden && *forbidden) && terminal && strcmp(terminal, "dumb") != 0 && isatty(fileno(out));
}

/* Escape sequences of ECMA-48, "select graphic rendition". */
const char *cli_ink(FILE *out, cli_ink_kind kind)
{
    static const char *const sequences[] = {"\033[0m", "\033[1m", "\033[31m", "\033[32m", "\033[33m", "\033[2m"};
    return has_colour(out) ? sequences[kind] : "";
}

/* ---- progress --------------------------------------------------------------------------------------------------- */

enum { BAR = 24 };
static double started_ms, drawn_ms;
static bool is_drawn;

bool cli_shows_progress(void) { return !common.quiet && isatty(STDERR_FILENO); }

/* The first fifth of a second shows nothing, so that short work does not flicker; then at most ten times a second. */
void cli_progress(const char *what, size_t done, size_t total)
{
    const double now = cli_now_ms();
    char bar[BAR + 1];
    if (started_ms == 0)
        started_ms = now;
    if (!total || now - started_ms < 200 || now - drawn_ms < 100 || !cli_shows_progress())
        return;
    const size_t filled = done < total ? done * BAR / total : BAR;
    memset(bar, '-', BAR);
    memset(bar, '#', filled);
    bar[BAR] = 0;
    fprintf(stderr, "\r\033[K%s [%s] %zu of %zu", what, bar, done, total);
    drawn_ms = now;
    is_drawn = true;
}

/* The line goes, so that what is printed next has one of its own. */
void cli_progress_end(void)
{
    if (is_drawn)
        fputs("\r\033[K", stderr);
    is_drawn = false;
    started_ms = 0;
}
