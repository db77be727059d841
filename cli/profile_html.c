/* profile_html.c - a profile as one page: facts, time by kind of step, timeline, roofline plot, steps, graph, machine.
 * Kinds of steps keep one colour throughout, given out in the order of their time. */
#include "cli/html.h"
#include "cli/profile.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* A stretch shorter than this share of the run is left out of the timeline: it would not be seen. */
#define LEAST_VISIBLE 2e-5

/* What every part of the page needs. */
typedef struct telling {
    const profile *p;
    cli_page *page;
    profile_group *groups;
    size_t n_groups;
} telling;

/* The colour of the step's kind. */
static const char *colour_of(const telling *t, const profile_step *step)
{
    return cli_colour(profile_group_of(t->groups, t->n_groups, step->kind));
}

/* All of a step in a few lines. Returns text. */
static char *tip_of(const telling *t, const profile_step *step, char *text, size_t capacity)
{
    char flops[40], bytes[40];
    const double share = profile_share(step), speed = profile_gflops(step);
    int n = snprintf(text, capacity, "%s\n%.100s\n%.4f ms, %.1f %% of the run\n%s  %s%s%s\n", step->op,
                     cli_printable(step->info.node), (double)step->time_ns * 1e-6,
                     100 * (double)step->time_ns / fmax(1, (double)t->p->total.time_ns), step->output,
                     cli_printable(step->info.kernel), step->tile[0] ? ", tile " : "", step->tile);
    if (n > 0 && (size_t)n < capacity)
        n += snprintf(text + n, capacity - (size_t)n, "%s, %s",
                      cli_amount((double)step->info.flops_done, "FLOP", flops, sizeof flops),
                      cli_amount((double)step->info.bytes, "B", bytes, sizeof bytes));
    if (n > 0 && (size_t)n < capacity && !isnan(speed))
        n += snprintf(text + n, capacity - (size_t)n, ", %.1f GFLOP/s", speed);
    if (n > 0 && (size_t)n < capacity && !isnan(share))
        snprintf(text + n, capacity - (size_t)n, ", %.0f %% of the peak", 100 * share);
    return text;
}

/* The figures to know first, in large type. */
static void tell_facts(const telling *t)
{
    const profile *p = t->p;
    char value[60], note[120], done[40], whole[40];
    cli_page_section(t->page, "Overview", "");
    cli_facts_begin(t->page);
    snprintf(value, sizeof value, "%.3f ms", p->run_ms);
    snprintf(note, sizeof note, "median of %lld, on %d thread%s", (long long)p->n_runs, p->n_threads,
             p->n_threads == 1 ? "" : "s");
    cli_fact(t->page, "whole run", value, note);
    snprintf(value, sizeof value, "%.0f %%", 100 * profile_share(&p->total));
    cli_fact(t->page, "of the machine's peak", isnan(profile_share(&p->total)) ? "" : value,
             "least time for arithmetic and memory, over the time taken");
    snprintf(value, sizeof value, "%.0f", profile_gflops(&p->total));
    snprintf(note, sizeof note, "the machine multiplies and adds at %.0f", p->rates->gflops);
    cli_fact(t->page, "GFLOP/s", isnan(profile_gflops(&p->total)) ? "" : value, note);
    snprintf(note, sizeof note, "%s by definition",
             cli_amount((double)p->total.info.flops, "FLOP", whole, sizeof whole));
    cli_fact(t->page, "arithmetic as computed",
             cli_amount((double)p->total.info.flops_done, "FLOP", done, sizeof done), note);
    cli_fact(t->page, "memory of a run",
             cli_amount((double)ingot_session_planned_bytes(p->session), "B", value, sizeof value),
             "activations and scratch");
    cli_fact(t->page, "packed weights",
             cli_amount((double)ingot_session_packed_bytes(p->session), "B", value, sizeof value),
             "shared by all sessions");
    cli_facts_end(t->page);
}

/* A bar of all the time, and what its colours mean. */
static void tell_groups(const telling *t)
{
    const double total = fmax(1, (double)t->p->total.time_ns);
    cli_page_add(t->page, "<h3>time by operator and kernel</h3><div class=\"stack\">");
    for (size_t i = 0; i < t->n_groups; i++) {
        const profile_group *g = &t->groups[i];
        cli_page_add(t->page, "<i class=\"%s\" style=\"flex:%.4f\" data-tip=\"", cli_colour(i),
                     (double)g->time_ns / total);
        cli_page_textf(t->page, "%s\n%zu steps, %.3f ms, %.1f %%\n%.0f %% of the peak", g->kind, g->n,
                       (double)g->time_ns * 1e-6, 100 * (double)g->time_ns / total,
                       g->time_ns ? 100 * g->roof_ns / (double)g->time_ns : 0);
        cli_page_add(t->page, "\"></i>");
    }
    /* the legend has the figures */
    cli_page_add(t->page, "</div><div class=\"legend\">");
    for (size_t i = 0; i < t->n_groups; i++) {
        const profile_group *g = &t->groups[i];
        cli_page_add(t->page, "<span><i class=\"%s\"></i>", cli_colour(i));
        cli_page_text(t->page, g->kind);
        cli_page_add(t->page, " <b>%.1f %%</b> &times;%zu</span>\n", 100 * (double)g->time_ns / total, g->n);
    }
    cli_page_add(t->page, "</div>\n");
}

/* One bar of the timeline; start and length are shares of the run. */
static void tell_bar(const telling *t, const profile_step *step, double start, double length)
{
    char tip[600];
    cli_page_add(t->page, "<i class=\"%s\" style=\"left:%.4f%%;width:%.4f%%\" data-tip=\"", colour_of(t, step),
                 100 * start, 100 * length);
    cli_page_text(t->page, tip_of(t, step, tip, sizeof tip));
    cli_page_add(t->page, "\">");
    cli_page_text(t->page, length > 0.002 ? step->op : "");
    cli_page_add(t->page, "</i>");
}

/* A lane for each thread. Steps run on the first one, where they last until every thread is done. */
static void tell_timeline(const telling *t)
{
    const profile *p = t->p;
    uint64_t end = 1;
    cli_page_section(t->page, "Timeline", "The fastest run. The wheel zooms, shift and wheel move along. Thread 0 "
                     "shows whole steps, the others the stretches in which they worked.");
    for (size_t i = 0; i < p->n_steps; i++) {
        const uint64_t last = p->steps[i].info.start_ns + p->steps[i].info.time_ns;
        end = last > end ? last : end;
    }
    cli_page_add(t->page, "<div class=\"tracks\"><div>");
    for (int32_t thread = 0; thread < p->n_threads; thread++)
        cli_page_add(t->page, "<b>thread %d</b>", thread);
    cli_page_add(t->page, "</div><div class=\"timeline\"><div class=\"lanes\">\n<div class=\"lane\">");
    for (size_t i = 0; i < p->n_steps; i++) {
        const ingot_step_info *s = &p->steps[i].info;
        if ((double)s->time_ns >= LEAST_VISIBLE * (double)end)
            tell_bar(t, &p->steps[i], (double)s->start_ns / (double)end, (double)s->time_ns / (double)end);
    }
    cli_page_add(t->page, "</div>\n");
    for (int32_t thread = 1; thread < p->n_threads; thread++) {
        cli_page_add(t->page, "<div class=\"lane\">");
        for (size_t i = 0; i < p->n_stretches; i++) {
            const ingot_stretch *s = &p->stretches[i];
            if (s->thread == thread && s->step < p->n_steps && (double)s->time_ns >= LEAST_VISIBLE * (double)end)
                tell_bar(t, &p->steps[s->step], (double)s->start_ns / (double)end,
                         (double)s->time_ns / (double)end);
        }
        cli_page_add(t->page, "</div>\n");
    }
    cli_page_add(t->page, "</div></div></div>\n");
}

/* The roofs: what each memory can feed, up to what the units can do. */
static void tell_roofs(cli_chart *chart, const ingot_rates *rates)
{
    const struct {
        const char *name;
        double gbs;
    } roofs[] = {{"L2", rates->l2_gbs}, {"L3", rates->l3_gbs}, {"memory", rates->dram_gbs}};
    char text[80];
    double first_ridge = chart->x.to;
    for (size_t i = 0; i < 3; i++) {
        const double ridge = rates->gflops / roofs[i].gbs, at = fmax(chart->x.from, chart->y.from / roofs[i].gbs);
        first_ridge = fmin(first_ridge, ridge);
        cli_chart_line(chart, at, at * roofs[i].gbs, ridge, rates->gflops, i ? "line faint" : "line");
        snprintf(text, sizeof text, "%s %.0f GB/s", roofs[i].name, roofs[i].gbs);
        const double where = at * 1.2 * pow(4, (double)i); /* roofs may lie on one another, their names must not */
        cli_chart_line_label(chart, where, where * roofs[i].gbs, ridge, rates->gflops, text);
    }
    cli_chart_line(chart, first_ridge, rates->gflops, chart->x.to, rates->gflops, "line");
    snprintf(text, sizeof text, "multiply-add %.0f GFLOP/s", rates->gflops);
    cli_chart_line_label(chart, first_ridge * 10, rates->gflops, chart->x.to, rates->gflops, text);
}

/* Arithmetic as computed, not by definition: else Winograd's way would be above the roof. */
static void tell_roofline(const telling *t)
{
    const profile *p = t->p;
    char tip[600];
    /* the axes reach as far as the steps do */
    double most = 100, least = 0.1, slowest = p->rates->gflops / 100;
    cli_page_section(t->page, "Roofline", "Each dot is a step, as large as its time: arithmetic as computed per byte, "
                     "against its speed. The nearer to the roof, the less there is to gain.");
    for (size_t i = 0; i < p->n_steps; i++) {
        const ingot_step_info *s = &p->steps[i].info;
        most = s->bytes ? fmax(most, (double)s->flops_done / (double)s->bytes) : most;
        if (!s->bytes || !s->flops_done || !p->steps[i].time_ns)
            continue;
        least = fmin(least, (double)s->flops_done / (double)s->bytes);
        slowest = fmin(slowest, (double)s->flops_done / (double)p->steps[i].time_ns);
    }
    cli_chart chart = cli_chart_begin(
        t->page,
        (cli_axis){"FLOP per byte", pow(10, fmax(-3, floor(log10(least)))), pow(10, ceil(log10(most * 1.5))), true,
                   false},
        (cli_axis){"GFLOP/s", fmax(p->rates->gflops * 1e-5, slowest / 2), p->rates->gflops * 2, true, false});
    /* the roofs, then a dot for each step, as large as its share of the time */
    tell_roofs(&chart, p->rates);
    for (size_t i = 0; i < p->n_steps; i++) {
        const profile_step *step = &p->steps[i];
        const ingot_step_info *s = &step->info;
        if (!s->flops_done || !s->bytes || !step->time_ns)
            continue;
        const double part = (double)step->time_ns / fmax(1, (double)p->total.time_ns);
        cli_chart_dot(&chart, (double)s->flops_done / (double)s->bytes, (double)s->flops_done / (double)step->time_ns,
                      2.5 + 24 * sqrt(part), colour_of(t, step), tip_of(t, step, tip, sizeof tip));
    }
    cli_chart_end(&chart);
}

/* The columns of the table of steps, with what a reader may ask of each. */
static const cli_column columns[] = {
    {"#", "place in running order", true},
    {"ms", "the shortest time of all runs", true},
    {"%", "of all steps' time", true},
    {"GFLOP/s", "arithmetic by definition, over the time", true},
    {"peak %", "the least time for its arithmetic and its bytes on this machine, over its time", true},
    {"operator", "and what is fused into it", false},
    {"output", NULL, false},
    {"kernel", "algorithm and layout chosen", false},
    {"tile", "of the result that is held in registers", false},
    {"node", NULL, false},
    {"MFLOP", "arithmetic by definition", true},
    {"done", "arithmetic of the algorithm chosen, MFLOP", true},
    {"KB", "read and written once each", true},
    {"helped %", "share of its time in which the other threads worked on it", true},
    {"layout", "of the output", false},
};

/* One row for each step; bars are relative to the slowest step and to the peak. */
static void tell_steps(const telling *t)
{
    const profile *p = t->p;
    double slowest = 1;
    cli_page_section(t->page, "Steps", "In running order; a click on a column's head sorts by it.");
    cli_table_begin(t->page, columns, sizeof columns / sizeof *columns);
    for (size_t i = 0; i < p->n_steps; i++)
        slowest = fmax(slowest, (double)p->steps[i].time_ns);
    for (size_t i = 0; i < p->n_steps; i++) {
        const profile_step *s = &p->steps[i];
        const double ns = (double)s->time_ns, share = profile_share(s);
        cli_table_row(t->page);
        cli_table_number(t->page, (double)i, "%.0f");
        cli_table_bar(t->page, ns * 1e-6, "%.4f", ns / slowest);
        cli_table_number(t->page, 100 * ns / fmax(1, (double)p->total.time_ns), "%.1f");
        cli_table_number(t->page, profile_gflops(s), "%.1f");
        if (isnan(share))
            cli_table_number(t->page, share, "%.0f");
        else
            cli_table_bar(t->page, 100 * share, "%.0f", share);
        cli_table_text(t->page, s->op);
        cli_table_text(t->page, s->output);
        cli_table_text(t->page, s->info.kernel);
        cli_table_text(t->page, s->tile);
        cli_table_text(t->page, s->info.node);
        cli_table_number(t->page, s->info.flops ? (double)s->info.flops * 1e-6 : NAN, "%.2f");
        cli_table_number(t->page, s->info.flops ? (double)s->info.flops_done * 1e-6 : NAN, "%.2f");
        cli_table_number(t->page, (double)s->info.bytes * 1e-3, "%.1f");
        cli_table_number(t->page, p->n_threads > 1 && s->time_ns ? 100 * s->helped : NAN, "%.0f");
        cli_table_text(t->page, s->info.layout);
    }
    cli_table_end(t->page);
}

/* What the graph's boxes point to. */
typedef struct drawing {
    cli_graph_node *nodes;
    int64_t *sources;
    char (*tips)[600], (*details)[60];
} drawing;

/* Also of a drawing that was only half allocated. */
static void free_drawing(drawing *d)
{
    free(d->nodes);
    free(d->sources);
    free(d->tips);
    free(d->details);
}

/* Of all steps, what comes from outside included. */
static size_t count_sources(const profile *p)
{
    size_t n = 0;
    for (size_t i = 0; i < p->n_steps; i++)
        for (size_t k = 0; ingot_session_step_source(p->session, i, k) > -2; k++)
            n++;
    return n;
}

/* Every step is a box, as strongly filled as its share of the slowest step's time. */
static void fill_drawing(const telling *t, drawing *d)
{
    const profile *p = t->p;
    double slowest = 1;
    int64_t *next = d->sources;
    for (size_t i = 0; i < p->n_steps; i++)
        slowest = fmax(slowest, (double)p->steps[i].time_ns);
    for (size_t i = 0; i < p->n_steps; i++) {
        const profile_step *step = &p->steps[i];
        cli_graph_node *node = &d->nodes[i];
        snprintf(d->details[i], sizeof *d->details, "%.3f ms  %.40s", (double)step->time_ns * 1e-6, step->output);
        tip_of(t, step, d->tips[i], sizeof *d->tips);
        *node = (cli_graph_node){.title = step->op, .detail = d->details[i], .tip = d->tips[i],
                                 .css_class = colour_of(t, step), .heat = (double)step->time_ns / slowest,
                                 .sources = next};
        int64_t source;
        while ((source = ingot_session_step_source(p->session, i, node->n_sources)) > -2) {
            *next++ = source;
            node->n_sources++;
        }
    }
}

/* Texts and sources are made whole before the drawing, which only points to them. */
static ingot_status tell_graph(const telling *t, ingot_error *error)
{
    const size_t n = t->p->n_steps;
    drawing d = {.nodes = calloc(n + 1, sizeof *d.nodes), .tips = calloc(n + 1, sizeof *d.tips),
                 .sources = calloc(count_sources(t->p) + 1, sizeof *d.sources),
                 .details = calloc(n + 1, sizeof *d.details)};
    ingot_status st = INGOT_OK;
    cli_page_section(t->page, "Graph", "The steps that run, with what was fused into them; the fuller a box, the "
                     "longer it takes.");
    if (!d.nodes || !d.sources || !d.tips || !d.details) {
        st = cli_fail(error, INGOT_LIMIT, "out of memory");
    } else {
        fill_drawing(t, &d);
        st = cli_page_graph(t->page, d.nodes, n, error);
    }
    free_drawing(&d);
    return st;
}

/* What the shares of the peak were measured against. */
static void tell_machine(const telling *t)
{
    static const cli_column head[] = {{"threads", NULL, true}, {"GFLOP/s", "multiply-adds in registers", true},
                                      {"L2 GB/s", NULL, true}, {"L3 GB/s", NULL, true}, {"memory GB/s", NULL, true}};
    const ingot_machine *m = &t->p->machine;
    char note[200], l2[40], l3[40];
    snprintf(note, sizeof note, "Measured just now: multiply-adds, and bytes read. L2 %s for each core, L3 %s.",
             cli_amount((double)m->l2_bytes, "B", l2, sizeof l2), cli_amount((double)m->l3_bytes, "B", l3, sizeof l3));
    cli_page_section(t->page, "Machine", note);
    cli_table_begin(t->page, head, sizeof head / sizeof *head);
    for (int all = 0; all <= (t->p->n_threads > 1); all++) {
        const ingot_rates *rates = all ? t->p->rates : &m->one;
        cli_table_row(t->page);
        cli_table_number(t->page, all ? t->p->n_threads : 1, "%.0f");
        cli_table_number(t->page, rates->gflops, "%.1f");
        cli_table_number(t->page, rates->l2_gbs, "%.0f");
        cli_table_number(t->page, rates->l3_gbs, "%.0f");
        cli_table_number(t->page, rates->dram_gbs, "%.0f");
    }
    cli_table_end(t->page);
}

/* In the order in which a reader asks: how long, where, when, how well, which step exactly, of what graph. */
ingot_status profile_add_sections(const profile *p, cli_page *page, ingot_error *error)
{
    telling t = {.p = p, .page = page};
    if (!(t.groups = profile_groups(p, &t.n_groups)))
        return cli_fail(error, INGOT_LIMIT, "out of memory");
    tell_facts(&t);
    tell_groups(&t);
    tell_timeline(&t);
    tell_roofline(&t);
    tell_steps(&t);
    const ingot_status st = tell_graph(&t, error);
    tell_machine(&t);
    free(t.groups);
    return st;
}

/* A page of its own. */
ingot_status profile_write_html(const profile *p, const char *path, ingot_error *error)
{
    char subtitle[200];
    cli_page *page = NULL;
    snprintf(subtitle, sizeof subtitle, "profile: %zu steps, %d thread%s, %s", p->n_steps, p->n_threads,
             p->n_threads == 1 ? "" : "s", p->machine.isa);
    ingot_status st = cli_page_new(&page, cli_short_path(p->model), subtitle, error);
    if (!st && !(st = profile_add_sections(p, page, error)))
        st = cli_page_write(page, path, error);
    cli_page_free(page);
    return st;
}
