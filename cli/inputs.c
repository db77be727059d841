/* inputs.c - from files to model inputs, and made-up values for those that are not given.
 *
 * Files are bound first; a free dimension of a made-up input takes its size from an input that was given and has a
 * dimension of the same name, then from --dim, then 1. */
#include "cli/cli.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* What binding needs at every step, and which inputs have a value by now. */
typedef struct binder {
    const ingot_model *model;
    ingot_session *session;
    const cli_list *dims;
    cli_inputs *inputs;
    const cli_value **given; /* for every input of the model, the value bound to it */
    cli_list *pictures;      /* for every input of the model, the files of pictures that are its batch */
    size_t n_files;
} binder;

/* Room for as many values, none of them there yet; INGOT_LIMIT when memory is out. */
ingot_status cli_inputs_alloc(cli_inputs *inputs, size_t capacity, ingot_error *error)
{
    *inputs = (cli_inputs){.values = calloc(capacity + 1, sizeof *inputs->values)};
    return inputs->values ? INGOT_OK : cli_fail(error, INGOT_LIMIT, "out of memory");
}

/* Values and their list; to be called when no session is bound to them any more. */
void cli_inputs_free(cli_inputs *inputs)
{
    for (size_t i = 0; i < inputs->n; i++)
        cli_value_free(&inputs->values[i]);
    free(inputs->values);
    *inputs = (cli_inputs){.n = 0};
}

/* ---- files ------------------------------------------------------------------------------------------------------ */

/* Position of an input by name, or -1; the name need not be terminated. */
static int64_t find_input(const ingot_model *model, const char *name, size_t size)
{
    for (size_t i = 0; i < ingot_model_n_inputs(model); i++) {
        const char *candidate = ingot_model_input(model, i)->name;
        if (strlen(candidate) == size && !memcmp(candidate, name, size))
            return (int64_t)i;
    }
    return -1;
}

/* The first input in graph order that has no value yet, or -1. */
static int64_t next_input(const binder *b)
{
    for (size_t i = 0; i < ingot_model_n_inputs(b->model); i++)
        if (!b->given[i])
            return (int64_t)i;
    return -1;
}

/* The two ways in which a file has no input. */
static ingot_status all_given(const binder *b, const char *path, ingot_error *error)
{
    return cli_fail_file(error, INGOT_BAD_INPUT, path, "the model takes %zu input%s, and all are given",
                         ingot_model_n_inputs(b->model), ingot_model_n_inputs(b->model) == 1 ? "" : "s");
}

/* With the nearest name, where one is near. */
static ingot_status unknown_input(const binder *b, const char *name, const char *path, ingot_error *error)
{
    const size_t n = ingot_model_n_inputs(b->model);
    const char **names = calloc(n + 1, sizeof *names);
    for (size_t i = 0; names && i < n; i++)
        names[i] = ingot_model_input(b->model, i)->name;
    const char *near = names ? cli_nearest(name, names, n) : NULL;
    const ingot_status st =
        near ? cli_fail_file(error, INGOT_BAD_INPUT, path, "there is no input '%s'; did you mean '%s'?",
                             cli_printable(name), cli_printable(near))
             : cli_fail_file(error, INGOT_BAD_INPUT, path, "there is no input '%s'; see 'ingot inspect'",
                             cli_printable(name));
    free(names);
    return st;
}

/* Bind the value in the next free slot, which the caller has filled. index < 0: an input with an initializer. */
static ingot_status bind(binder *b, int64_t index, const char *name, const char *path, ingot_error *error)
{
    ingot_error inner = {.status = INGOT_OK};
    cli_value *value = &b->inputs->values[b->inputs->n++];
    if (index >= 0) {
        if (b->given[index])
            return cli_fail(error, INGOT_USAGE, "input '%s' is given twice", cli_printable(name));
        b->given[index] = value;
    }
    const ingot_status st = ingot_session_set_input(b->session, name, &value->tensor, &inner);
    if (st && index < 0 && strstr(inner.message, "there is no input"))
        return unknown_input(b, name, path, error);
    if (st)
        return path ? cli_fail_file(error, st, path, "%s", inner.message) : cli_fail(error, st, "%s", inner.message);
    return INGOT_OK;
}

/* Which member of a bundle an input is: the one named after it, failing that "input_K", then "arr_K", then "K". */
static int64_t find_member(const cli_bundle *bundle, size_t pattern, size_t k, const char *name)
{
    char key[40];
    if (pattern == 0)
        return cli_bundle_find(bundle, name);
    if (pattern == 1)
        return cli_bundle_find_numbered(bundle, "input", k);
    snprintf(key, sizeof key, "%s%zu", pattern == 2 ? "arr_" : "", k);
    return cli_bundle_find(bundle, key);
}

/* Bind what one pattern finds of a bundle; a lone member fits the next input whatever its key. */
static ingot_status bind_members(binder *b, cli_bundle *bundle, ingot_error *error)
{
    const size_t n_inputs = ingot_model_n_inputs(b->model);
    const int64_t next = next_input(b);
    size_t n_bound = 0;
    ingot_status st;
    for (size_t pattern = 0; pattern < 5 && !n_bound; pattern++)
        for (size_t i = 0; i < n_inputs; i++) {
            const ingot_value_info *info = ingot_model_input(b->model, i);
            const bool is_lone = pattern == 4 && bundle->n == 1 && (int64_t)i == next;
            const int64_t index = is_lone ? 0 : pattern < 4 ? find_member(bundle, pattern, i, info->name) : -1;
            if (index < 0)
                continue;
            cli_value *value = &b->inputs->values[b->inputs->n];
            if ((st = cli_bundle_read(bundle, (size_t)index, info->dtype, value, error)) ||
                (st = bind(b, (int64_t)i, info->name, bundle->path, error)))
                return st;
            n_bound++;
        }
    return n_bound ? INGOT_OK
                   : cli_fail_file(error, INGOT_BAD_INPUT, bundle->path,
                                   "nothing in it is named after an input of the model that is still to be given");
}

/* The member of that name, or the only one. */
static ingot_status read_member(const char *path, const char *name, ingot_dtype wanted, cli_value *value,
                                ingot_error *error)
{
    cli_bundle *bundle;
    ingot_status st = cli_bundle_open(path, &bundle, error);
    if (st)
        return st;
    int64_t index = cli_bundle_find(bundle, name);
    if (index < 0 && bundle->n == 1)
        index = 0;
    if (index < 0)
        st = cli_fail_file(error, INGOT_BAD_INPUT, path, "there is no '%s' in it", cli_printable(name));
    else
        st = cli_bundle_read(bundle, (size_t)index, wanted, value, error);
    cli_bundle_close(bundle);
    return st;
}

/* A .npy file as a whole, from a path that may be a pipe. */
static ingot_status read_npy(const char *path, ingot_dtype wanted, cli_value *value, ingot_error *error)
{
    uint8_t *data;
    size_t size_bytes;
    ingot_status st = cli_read_file(path, &data, &size_bytes, error);
    if (st)
        return st;
    st = cli_npy_decode(path, data, size_bytes, wanted, value, error);
    free(data);
    return st;
}

/* ---- pictures --------------------------------------------------------------------------------------------------- */

/* The first input in graph order that takes pictures and has no value yet; failing that the last that has some already,
 * whose batch grows. */
static int64_t next_picture_input(const binder *b)
{
    int64_t last = -1;
    for (size_t i = 0; i < ingot_model_n_inputs(b->model); i++) {
        if (!b->given[i] && cli_takes_pictures(ingot_model_input(b->model, i)))
            return (int64_t)i;
        last = b->pictures[i].n ? (int64_t)i : last;
    }
    return last >= 0 ? last : next_input(b);
}

/* Note a picture for the batch of its input. */
static ingot_status add_picture(binder *b, const char *name, const char *path, ingot_error *error)
{
    static const cli_value pending; /* stands for the batch until it is bound */
    const int64_t index = name ? find_input(b->model, name, strlen(name)) : next_picture_input(b);
    if (index < 0 && name)
        return unknown_input(b, name, path, error);
    if (index < 0)
        return all_given(b, path, error);
    cli_list *list = &b->pictures[index];
    if (b->given[index] && !list->n)
        return cli_fail(error, INGOT_USAGE, "input '%s' is given twice",
                        cli_printable(ingot_model_input(b->model, (size_t)index)->name));
    if (!list->items && !(list->items = calloc(b->n_files + 1, sizeof *list->items)))
        return cli_fail(error, INGOT_LIMIT, "out of memory");
    list->items[list->n++] = path;
    b->given[index] = &pending;
    return INGOT_OK;
}

/* Read and bind the batches. */
static ingot_status bind_pictures(binder *b, ingot_error *error)
{
    ingot_status st = INGOT_OK;
    for (size_t i = 0; i < ingot_model_n_inputs(b->model) && !st; i++) {
        const cli_list *list = &b->pictures[i];
        const ingot_value_info *info = ingot_model_input(b->model, i);
        cli_value *value = &b->inputs->values[b->inputs->n];
        if (!list->n)
            continue;
        b->given[i] = NULL;
        if (!(st = cli_images_read(list->items, list->n, info, value, error)))
            st = bind(b, (int64_t)i, info->name, list->items[0], error);
    }
    return st;
}

/* ---- files and names -------------------------------------------------------------------------------------------- */

/* Bind one file; `name` is NULL where only the order tells which input it is for. */
static ingot_status bind_file(binder *b, const char *name, const char *path, ingot_error *error)
{
    ingot_status st;
    if (cli_is_picture(path))
        return add_picture(b, name, path, error);
    /* a bundle without a name may hold several inputs */
    if (cli_is_bundle(path) && !name) {
        cli_bundle *bundle;
        if ((st = cli_bundle_open(path, &bundle, error)))
            return st;
        st = bind_members(b, bundle, error);
        cli_bundle_close(bundle);
        return st;
    }
    /* which input, and what type its elements should have */
    const int64_t index = name ? find_input(b->model, name, strlen(name)) : next_input(b);
    if (!name && index < 0)
        return all_given(b, path, error);
    const ingot_value_info *info = index < 0 ? NULL : ingot_model_input(b->model, (size_t)index);
    const ingot_dtype wanted = info ? info->dtype : INGOT_UNDEFINED;
    cli_value *value = &b->inputs->values[b->inputs->n];
    if (cli_is_bundle(path))
        st = read_member(path, name, wanted, value, error);
    else if (cli_has_suffix(path, ".pb"))
        st = cli_pb_read(path, info ? info->kind : INGOT_TENSOR, value, error);
    else
        st = read_npy(path, wanted, value, error); /* a pipe has no suffix */
    return st ? st : bind(b, index, name ? name : info->name, path, error);
}

/* "[NAME=]FILE": what stands before the first '=' is a name, unless the whole is a file and no input has that name. */
static ingot_status bind_argument(binder *b, const char *argument, ingot_error *error)
{
    const char *equals = strchr(argument, '=');
    if (!equals || (!access(argument, F_OK) && find_input(b->model, argument, (size_t)(equals - argument)) < 0))
        return bind_file(b, NULL, argument, error);
    char *name = strndup(argument, (size_t)(equals - argument));
    if (!name)
        return cli_fail(error, INGOT_LIMIT, "out of memory");
    const ingot_status st = bind_file(b, name, equals + 1, error);
    free(name);
    return st;
}

/* ---- inputs that are not given ---------------------------------------------------------------------------------- */

/* The size that a free dimension of this name takes. */
static int64_t size_of_symbol(const binder *b, const char *symbol)
{
    for (size_t i = 0; symbol && i < ingot_model_n_inputs(b->model); i++) {
        const ingot_value_info *info = ingot_model_input(b->model, i);
        for (int32_t d = 0; b->given[i] && d < info->rank && d < b->given[i]->tensor.rank; d++)
            if (info->symbols[d] && !strcmp(info->symbols[d], symbol))
                return b->given[i]->tensor.shape[d];
    }
    for (size_t i = 0; symbol && i < b->dims->n; i++) {
        size_t n_name;
        int64_t size;
        if (cli_parse_dim(b->dims->items[i], &n_name, &size) && strlen(symbol) == n_name &&
            !memcmp(symbol, b->dims->items[i], n_name))
            return size;
    }
    return 1;
}

/* Is there a free dimension of that name? A misspelt --dim must not pass silently. */
static bool has_symbol(const ingot_model *model, const char *name, size_t size)
{
    for (size_t i = 0; i < ingot_model_n_inputs(model); i++) {
        const ingot_value_info *info = ingot_model_input(model, i);
        for (int32_t d = 0; d < info->rank; d++)
            if (info->symbols[d] && strlen(info->symbols[d]) == size && !memcmp(info->symbols[d], name, size))
                return true;
    }
    return false;
}

/* The free dimension that was meant, or NULL. */
static const char *near_symbol(const ingot_model *model, const char *name, size_t size)
{
    const char *names[64];
    char word[64];
    size_t n = 0;
    for (size_t i = 0; i < ingot_model_n_inputs(model); i++) {
        const ingot_value_info *info = ingot_model_input(model, i);
        for (int32_t d = 0; d < info->rank && n < 64; d++)
            if (info->symbols[d])
                names[n++] = info->symbols[d];
    }
    snprintf(word, sizeof word, "%.*s", size < 60 ? (int)size : 60, name);
    const char *near = cli_nearest(word, names, n);
    return near ? near : n == 1 ? names[0] : NULL;
}

/* Before anything is read: every --dim is well formed and names a dimension of the model. */
static ingot_status check_dims(const binder *b, ingot_error *error)
{
    for (size_t i = 0; i < b->dims->n; i++) {
        const char *text = b->dims->items[i];
        size_t n_name;
        int64_t size;
        if (!cli_parse_dim(text, &n_name, &size))
            return cli_fail(error, INGOT_USAGE, "--dim: '%.100s' is not of the form NAME=N", text);
        if (has_symbol(b->model, text, n_name))
            continue;
        const char *near = near_symbol(b->model, text, n_name);
        return cli_fail(error, INGOT_USAGE, "--dim: no input of the model has a free dimension '%.*s'%s%s%s",
                        n_name < 100 ? (int)n_name : 100, text, near ? "; did you mean '" : "",
                        near ? cli_printable(near) : "", near ? "'?" : "; see 'ingot inspect'");
    }
    return INGOT_OK;
}

/* A value for an input that no file was given for. What has no declared shape or is a sequence cannot be made up; an
 * optional input is left empty. */
static ingot_status make_up(binder *b, size_t index, missing_inputs missing, ingot_error *error)
{
    const ingot_value_info *info = ingot_model_input(b->model, index);
    cli_value *value = &b->inputs->values[b->inputs->n];
    char type[300];
    value->tensor = (ingot_tensor){.dtype = info->dtype, .kind = (uint8_t)info->kind, .rank = info->rank};
    if (info->kind == INGOT_OPTIONAL) { /* an empty one */
        value->tensor.rank = 1;
        return bind(b, (int64_t)index, info->name, NULL, error);
    }
    if (info->kind != INGOT_TENSOR || info->rank < 0 || !ingot_dtype_size_bytes(info->dtype))
        return cli_fail(error, INGOT_BAD_INPUT, "input '%s' is %s: give it with --input", cli_printable(info->name),
                        cli_info_text(info, type, sizeof type));
    for (int32_t d = 0; d < info->rank; d++)
        value->tensor.shape[d] = info->shape[d] >= 0 ? info->shape[d] : size_of_symbol(b, info->symbols[d]);
    const ingot_status st = cli_value_alloc(value, 0, error);
    if (st) {
        char reason[sizeof error->message];
        snprintf(reason, sizeof reason, "%s", error->message);
        return cli_fail(error, st, "input '%s': %.300s", cli_printable(info->name), reason);
    }
    if (missing == MISSING_RANDOM)
        cli_fill_random(&value->tensor, index + 1);
    return bind(b, (int64_t)index, info->name, NULL, error);
}

/* Files first, in the order given, then made-up values for the inputs that are left. `inputs` holds what was bound
 * even on failure, for the caller to free. */
ingot_status cli_bind_inputs(const ingot_model *model, ingot_session *session, const cli_list *files,
                             const cli_list *dims, missing_inputs missing, cli_inputs *inputs, ingot_error *error)
{
    const size_t n_inputs = ingot_model_n_inputs(model);
    binder b = {model, session, dims, inputs, calloc(n_inputs + 1, sizeof *b.given),
                calloc(n_inputs + 1, sizeof *b.pictures), files->n};
    ingot_status st = cli_inputs_alloc(inputs, n_inputs + files->n, error);
    if (!st)
        st = b.given && b.pictures ? check_dims(&b, error) : cli_fail(error, INGOT_LIMIT, "out of memory");
    for (size_t i = 0; !st && i < files->n; i++)
        st = bind_argument(&b, files->items[i], error);
    if (!st)
        st = bind_pictures(&b, error);
    for (size_t i = 0; !st && i < n_inputs; i++)
        if (!b.given[i])
            st = make_up(&b, i, missing, error);
    for (size_t i = 0; b.pictures && i < n_inputs; i++)
        free(b.pictures[i].items);
    free(b.pictures);
    free(b.given);
    return st;
}
