/* custom_operators.c - operators of a host in domain "test.host", good ones and such that break their promises:
 *
 *     custom_operators MODEL [--threads N] [--cancel] [--limit BYTES] [--save FILE] [--missing]
 *
 * Binds 0.5, 1.5, ... to every input, of 6 elements in one dimension, runs twice and prints each output of the second
 * run in one line; then how often infer() and run() were called. --missing leaves the operators out, --double computes
 * in double, --rename DOMAIN/NAME and --size change the first one. The exit code is the status. test_custom.py runs
 * it. */
#include <inttypes.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "engine/ingot.h"

static _Atomic int n_infers, n_runs;

static ingot_status infer_like(ingot_custom *node, void *user)
{
    const ingot_tensor *x = ingot_custom_input(node, 0);
    (void)user;
    n_infers++;
    return ingot_custom_set_output(node, 0, x->dtype, x->rank, x->shape);
}

static ingot_status infer_nothing(ingot_custom *node, void *user)
{
    (void)node, (void)user;
    return INGOT_OK;
}

static ingot_status infer_later(ingot_custom *node, void *user)
{
    (void)user;
    return ingot_custom_set_output(node, 0, INGOT_FLOAT, -1, NULL);
}

static ingot_status infer_words(ingot_custom *node, void *user)
{
    (void)user;
    return ingot_custom_set_output(node, 0, INGOT_STRING, 1, (const int64_t[]){ 2 });
}

static ingot_status infer_negative(ingot_custom *node, void *user)
{
    (void)user;
    return ingot_custom_set_output(node, 0, INGOT_FLOAT, 2, (const int64_t[]){ 2, -3 });
}

static ingot_status infer_huge(ingot_custom *node, void *user)
{
    (void)user;
    return ingot_custom_set_output(node, 0, INGOT_FLOAT, 3, (const int64_t[]){ INT64_MAX, INT64_MAX, 5 });
}

static ingot_status infer_rank(ingot_custom *node, void *user)
{
    (void)user;
    return ingot_custom_set_output(node, 0, INGOT_FLOAT, 99, (const int64_t[99]){ 0 });
}

static ingot_status infer_type(ingot_custom *node, void *user)
{
    (void)user;
    return ingot_custom_set_output(node, 0, INGOT_N_DTYPES, 0, NULL);
}

static ingot_status infer_status(ingot_custom *node, void *user)
{
    (void)node, (void)user;
    return (ingot_status)-1;
}

/* ---- run ---- */

static void double_part(void *argument, int64_t begin, int64_t end, int32_t thread)
{
    float *const *pair = argument;
    (void)thread;
    for (int64_t i = begin; i < end; i++)
        pair[1][i] = 2 * pair[0][i];
}

static ingot_status run_double(ingot_custom *node, void *user)
{
    const ingot_tensor *x = ingot_custom_input(node, 0);
    float *pair[] = { x->data, ingot_custom_output(node, 0)->data };
    (void)user;
    n_runs++;
    ingot_custom_parallel(node, ingot_tensor_count(x), 1, double_part, pair);
    return ingot_custom_output(node, 9) || ingot_custom_input(node, 9) ? INGOT_USAGE : INGOT_OK;
}

/* The elements above 2. */
static ingot_status run_pick(ingot_custom *node, void *user)
{
    const ingot_tensor *x = ingot_custom_input(node, 0);
    const float *from = x->data;
    int64_t n = 0;
    (void)user;
    for (int64_t i = 0; i < ingot_tensor_count(x); i++)
        n += from[i] > 2;
    if (ingot_custom_output(node, 0))
        return ingot_custom_fail(node, INGOT_USAGE, "an output without a shape was given");
    const ingot_status status = ingot_custom_set_output(node, 0, INGOT_FLOAT, 1, &n);
    if (status)
        return status;
    float *to = ingot_custom_output(node, 0)->data;
    for (int64_t i = 0; i < ingot_tensor_count(x); i++)
        if (from[i] > 2)
            *to++ = from[i];
    return INGOT_OK;
}

/* Every attribute as text: the second word stays empty. */
static ingot_status run_words(ingot_custom *node, void *user)
{
    static const char *const names[] = { "number", "real", "text", "numbers", "reals", "texts", "table", "none" };
    char *text = ingot_custom_alloc(node, 500);
    int used = 0;
    (void)user;
    if (!text)
        return INGOT_LIMIT;
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        ingot_attribute a;
        used += sprintf(text + used, "%s%s", i ? " " : "", names[i]);
        if (!ingot_custom_attribute(node, names[i], &a))
            used += sprintf(text + used, "-");
        used += sprintf(text + used, a.is_list ? "*" : "");
        for (size_t k = 0; k < a.n && !a.tensor; k++) {
            if (a.dtype == INGOT_STRING)
                used += sprintf(text + used, ":%.*s", (int)a.strings[k].size_bytes, a.strings[k].data);
            else
                used += sprintf(text + used, ":%g", a.dtype == INGOT_FLOAT ? (double)a.floats[k] : (double)a.ints[k]);
        }
        for (int64_t k = 0; a.tensor && k < ingot_tensor_count(a.tensor); k++)
            used += sprintf(text + used, ":%" PRId64, ((const int64_t *)a.tensor->data)[k]);
    }
    const int64_t sum = ingot_custom_int(node, "number", 0) + ingot_custom_int(node, "real", 7);
    used += sprintf(text + used, " %" PRId64 " %g", sum, (double)ingot_custom_float(node, "real", 0));
    *(ingot_string *)ingot_custom_output(node, 0)->data = (ingot_string){ text, (size_t)used };
    return INGOT_OK;
}

static ingot_status run_nothing(ingot_custom *node, void *user)
{
    (void)node, (void)user;
    return INGOT_OK;
}

static ingot_status run_other_shape(ingot_custom *node, void *user)
{
    (void)user;
    return ingot_custom_set_output(node, 0, INGOT_FLOAT, 1, (const int64_t[]){ 5 });
}

static ingot_status run_other_type(ingot_custom *node, void *user)
{
    (void)user;
    return ingot_custom_set_output(node, 0, INGOT_INT64, 1, (const int64_t[]){ 6 });
}

static ingot_status run_refuse(ingot_custom *node, void *user)
{
    (void)user;
    return ingot_custom_fail(node, INGOT_BAD_INPUT, "these numbers\nare not liked");
}

static ingot_status run_mute(ingot_custom *node, void *user)
{
    (void)node, (void)user;
    return INGOT_UNSUPPORTED;
}

static ingot_status run_greedy(ingot_custom *node, void *user)
{
    (void)user;
    return ingot_custom_alloc(node, (size_t)1 << 30) ? INGOT_OK : INGOT_LIMIT;
}

static ingot_status run_endless(ingot_custom *node, void *user)
{
    (void)user;
    while (!ingot_custom_cancelled(node))
        nanosleep(&(struct timespec){ .tv_nsec = 100000 }, NULL);
    return INGOT_CANCELLED;
}

static int64_t count_many(const ingot_custom *node, void *user)
{
    (void)user;
    return 1000000000 * (int64_t)ingot_custom_n_outputs(node);
}

/* Reads its optional second input where it is given, and writes the second output where it is wanted. */
static ingot_status infer_two(ingot_custom *node, void *user)
{
    const ingot_tensor *x = ingot_custom_input(node, 0);
    const ingot_status status = ingot_custom_set_output(node, 0, INGOT_FLOAT, x->rank, x->shape);
    (void)user;
    return status ? status : ingot_custom_set_output(node, 1, INGOT_INT64, 0, NULL);
}

static ingot_status run_two(ingot_custom *node, void *user)
{
    const ingot_tensor *x = ingot_custom_input(node, 0), *second = ingot_custom_input(node, 1);
    (void)user;
    for (int64_t i = 0; i < ingot_tensor_count(x); i++)
        ((float *)ingot_custom_output(node, 0)->data)[i] = ((const float *)x->data)[i] + (second ? 100.0f : 0.0f);
    if (ingot_custom_output(node, 1))
        *(int64_t *)ingot_custom_output(node, 1)->data = (int64_t)ingot_custom_n_inputs(node);
    return INGOT_OK;
}

#define OPERATOR(name, most, infer_, run_) \
    { .size_bytes = sizeof(ingot_custom_operator), .domain = "test.host", .op_type = name, .min_inputs = 1, \
      .max_inputs = most, .first = 1, .last = 3, .types = { 1u << INGOT_FLOAT }, .infer = infer_, .run = run_ }

static ingot_custom_operator operators[] = {
    OPERATOR("Double", 1, infer_like, run_double), OPERATOR("Pick", 1, infer_later, run_pick),
    OPERATOR("Words", 1, infer_words, run_words), OPERATOR("Two", 2, infer_two, run_two),
    OPERATOR("NoShape", 1, infer_nothing, run_nothing), OPERATOR("Negative", 1, infer_negative, run_nothing),
    OPERATOR("Huge", 1, infer_huge, run_nothing), OPERATOR("Rank", 1, infer_rank, run_nothing),
    OPERATOR("Type", 1, infer_type, run_nothing), OPERATOR("Status", 1, infer_status, run_nothing),
    OPERATOR("OtherShape", 1, infer_like, run_other_shape), OPERATOR("OtherType", 1, infer_like, run_other_type),
    OPERATOR("Silent", 1, infer_later, run_nothing), OPERATOR("Refuse", 1, infer_like, run_refuse),
    OPERATOR("Mute", 1, infer_like, run_mute), OPERATOR("Greedy", 1, infer_like, run_greedy),
    OPERATOR("Endless", 1, infer_like, run_endless),
};
enum { N_OPERATORS = sizeof operators / sizeof *operators };

/* ---- the program ---- */

static void *cancel_soon(void *session)
{
    nanosleep(&(struct timespec){ .tv_nsec = 100000000 }, NULL);
    ingot_session_cancel(session);
    return NULL;
}

static void print_value(const ingot_tensor *t)
{
    printf("%s", ingot_dtype_name(t->dtype));
    for (int64_t i = 0; i < ingot_tensor_count(t); i++)
        switch ((int)t->dtype) {
        case INGOT_FLOAT: printf(" %g", (double)((const float *)t->data)[i]); break;
        case INGOT_INT64: printf(" %" PRId64, ((const int64_t *)t->data)[i]); break;
        case INGOT_STRING:
            printf(" [%.*s]", (int)((const ingot_string *)t->data)[i].size_bytes,
                   ((const ingot_string *)t->data)[i].data);
            break;
        default: break;
        }
    putchar('\n');
}

static ingot_status run_twice(ingot_session *session, size_t n_inputs, bool cancel, ingot_error *error)
{
    static float numbers[] = { 0.5f, 1.5f, 2.5f, 3.5f, 4.5f, 5.5f };
    const ingot_tensor x = { .dtype = INGOT_FLOAT, .rank = 1, .shape = { 6 }, .data = numbers };
    ingot_status status = INGOT_OK;
    for (int r = 0; r < 2 && !status; r++) {
        pthread_t thread;
        for (size_t i = 0; i < n_inputs && !status; i++)
            status = ingot_session_set_input(session, NULL, &x, error);
        if (cancel)
            pthread_create(&thread, NULL, cancel_soon, session);
        if (!status)
            status = ingot_session_run(session, error);
        if (cancel)
            pthread_join(thread, NULL);
    }
    return status;
}

int main(int argc, char **argv)
{
    const ingot_custom_operator *list[N_OPERATORS + 1] = { NULL };
    ingot_model_options model_options = { .size_bytes = sizeof model_options, .operators = list };
    ingot_session_options options = { .size_bytes = sizeof options };
    const char *save = NULL;
    bool cancel = false;
    ingot_error error = { INGOT_OK, "" };
    ingot_model *model = NULL;
    ingot_session *session = NULL;
    operators[0].flops = count_many;
    for (int i = 0; i < N_OPERATORS; i++)
        list[i] = &operators[i];
    for (int i = 2; i < argc; i++) {
        cancel |= !strcmp(argv[i], "--cancel");
        if (!strcmp(argv[i], "--missing"))
            model_options.operators = NULL;
        if (!strcmp(argv[i], "--double"))
            model_options.in_double = true;
        if (!strcmp(argv[i], "--threads"))
            options.n_threads = atoi(argv[i + 1]);
        if (!strcmp(argv[i], "--limit"))
            options.max_memory_bytes = strtoull(argv[i + 1], NULL, 10);
        if (!strcmp(argv[i], "--save"))
            save = argv[i + 1];
        if (!strcmp(argv[i], "--rename")) { /* DOMAIN/NAME for the first one */
            static char domain[80];
            strncpy(domain, argv[i + 1], sizeof domain - 1);
            operators[0].op_type = strchr(domain, '/') + 1;
            *strchr(domain, '/') = '\0';
            operators[0].domain = domain;
        }
        if (!strcmp(argv[i], "--size"))
            operators[0].size_bytes = strtoull(argv[i + 1], NULL, 10);
    }
    ingot_status status = ingot_model_load(argc > 1 ? argv[1] : "", &model_options, &model, &error);
    memset(list, 0, sizeof list); /* what was given has been copied */
    if (!status && save)
        status = ingot_model_save(model, save, &error);
    if (!status)
        status = ingot_session_create(model, &options, &session, &error);
    if (!status)
        status = run_twice(session, ingot_model_n_inputs(model), cancel, &error);
    for (size_t i = 0; !status && ingot_session_output(session, i); i++)
        print_value(ingot_session_output(session, i));
    if (status)
        puts(error.message);
    else
        printf("%d infers, %d runs\n", n_infers, n_runs);
    ingot_session_free(session);
    ingot_model_free(model);
    return (int)status;
}
