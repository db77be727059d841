/* profile.h - what a profile holds, for the files that tell it: table, JSON and trace (profile.c), and HTML
 * (profile_html.c). */
#ifndef CLI_PROFILE_H
#define CLI_PROFILE_H

#include "cli/html.h"

/* A step with its shortest time; `info` has the times of the fastest run. */
typedef struct profile_step {
    ingot_step_info info;
    size_t index;
    uint64_t time_ns;
    double roof_ns;          /* the least that the machine would need for its arithmetic and its bytes */
    double helped;           /* share of the fastest run's time in which the other threads worked on it, 0 to 1 */
    char op[80];             /* "Conv + Add Relu" */
    char kind[100];          /* "Conv, direct nchw8c": operator and kernel */
    char output[120], tile[24];
} profile_step;

typedef struct profile {
    const char *model;
    const ingot_session *session;
    int32_t n_threads;
    ingot_machine machine;
    const ingot_rates *rates; /* of as many threads as the session has */
    profile_step *steps;      /* in running order */
    size_t n_steps;
    ingot_stretch *stretches; /* of the fastest run */
    size_t n_stretches;
    double run_ms;            /* a whole run's median, and the number of runs */
    int64_t n_runs;
    profile_step total;       /* sums of time, roof, flops and bytes */
} profile;

/* Sums by kind of step, largest time first. */
typedef struct profile_group {
    const char *kind;
    size_t n;
    uint64_t time_ns;
    double roof_ns;
} profile_group;

/** Groups of the steps, to be freed with free(); NULL when memory is out. */
profile_group *profile_groups(const profile *p, size_t *n);
size_t profile_group_of(const profile_group *groups, size_t n, const char *kind);

/* 10^9 operations a second, and the share of what the machine could do, 0 to 1; NaN where there is nothing to tell. */
double profile_gflops(const profile_step *step);
double profile_share(const profile_step *step);

ingot_status profile_write_html(const profile *p, const char *path, ingot_error *error);

/** Put the sections of a profile on a page (profile_html.c). */
ingot_status profile_add_sections(const profile *p, cli_page *page, ingot_error *error);

/** Profile a model on made-up inputs and put it on a page. */
ingot_status profile_add(cli_page *page, const char *path, const cli_list *sizes, ingot_error *error);

#endif
