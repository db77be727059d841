/* run.c - `ingot run`: one run of a model, its outputs summarised, written to files, or as top classes. */
#include "cli/cli.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

static cli_list inputs, dims;
static const char *output_dir, *format = "npy", *labels_path;
static int64_t top;
static bool checksum, softmax, json;

static const cli_option options[] = {
    {"input", OPTION_LIST, &inputs, "[NAME=]FILE", "an input: .npy .npz .pb .pt .png .jpg .webp; else random", 0},
    {"output-dir", OPTION_TEXT, &output_dir, "DIR", "write every output to a file in this folder", 0},
    {"format", OPTION_TEXT, &format, "npy|pb", "as NAME.npy (default) or as output_K.pb", 0},
    {"dim", OPTION_LIST, &dims, "NAME=N", "size of a free dimension of inputs that are not given", 0},
    {"top", OPTION_INT, &top, "K", "print the K largest elements of each row of an output", 1},
    {"softmax", OPTION_FLAG, &softmax, NULL, "--top shows probabilities: the softmax of each row", 0},
    {"labels", OPTION_TEXT, &labels_path, "FILE", "names for --top, one a line, the first for class 0", 0},
    {"checksum", OPTION_FLAG, &checksum, NULL, "print a hash of each output and of all: equal bits have equal hashes",
     0},
    {"json", OPTION_FLAG, &json, NULL, "print one line of JSON", 0},
    {NULL, OPTION_FLAG, NULL, NULL, NULL, 0},
};

/* ---- top classes ------------------------------------------------------------------------------------------------ */

/* The names of classes, each a line of one text. */
typedef struct label_table {
    char *text; /* the file, its line ends made 0 */
    char **lines;
    int64_t n;
} label_table;

/* One name a line; Windows line ends are taken off. The lines point into the file's text. */
static ingot_status read_labels(label_table *labels, ingot_error *error)
{
    size_t size;
    uint8_t *data;
    const ingot_status st = cli_read_file(labels_path, &data, &size, error);
    if (st)
        return st;
    labels->text = realloc(data, size + 1);
    labels->lines = labels->text ? calloc(size + 1, sizeof *labels->lines) : NULL;
    if (!labels->lines) {
        if (!labels->text)
            free(data);
        return cli_fail_file(error, INGOT_LIMIT, labels_path, "out of memory");
    }
    labels->text[size] = 0;
    for (char *at = labels->text, *end = at + size; at < end;) {
        char *line_end = memchr(at, '\n', (size_t)(end - at));
        if (!line_end)
            line_end = end;
        labels->lines[labels->n++] = at;
        at = line_end + 1;
        if (line_end > labels->text && line_end[-1] == '\r')
            line_end--;
        *line_end = 0;
    }
    return INGOT_OK;
}

/* The largest element of a row after the one at `previous` (-1: none yet), of equal ones the next; -1 at the end.
 * NaN is no class. */
static int64_t next_best(const ingot_tensor *t, int64_t start, int64_t n, int64_t previous)
{
    const double limit = previous < 0 ? INFINITY : cli_element(t, start + previous);
    int64_t best = -1;
    double best_value = 0;
    for (int64_t i = 0; i < n; i++) {
        const double x = cli_element(t, start + i);
        if (isnan(x) || x > limit || (x == limit && i <= previous))
            continue;
        if (best < 0 || x > best_value) {
            best = i;
            best_value = x;
        }
    }
    return best;
}

/* What the elements of a row are divided by after exp(x - largest); 0 where there is no softmax of it. */
static double softmax_sum(const ingot_tensor *t, int64_t start, int64_t n, double largest)
{
    double sum = 0;
    for (int64_t i = 0; i < n; i++)
        sum += exp(cli_element(t, start + i) - largest);
    return isfinite(sum) ? sum : 0;
}

/* One class of a row, as a line or as an object in the row's array. */
static void tell_class(cli_json *row, int64_t place, int64_t index, double value, const label_table *labels)
{
    const char *label = index < labels->n ? labels->lines[index] : "";
    if (!row) {
        printf("  %2lld. %-8.5g class %lld  %s\n", (long long)place, value, (long long)index, cli_printable(label));
        return;
    }
    cli_json *object = cli_json_append(row);
    cli_json_int(object, "class", index);
    cli_json_number(object, softmax ? "probability" : "score", value);
    if (*label)
        cli_json_text(object, "label", label);
}

/* Classes are along the second dimension of (N, C, 1, 1), else along the last. `rows` is NULL for text. */
static void tell_top(const ingot_tensor *t, const label_table *labels, cli_json *rows)
{
    int32_t axis = t->rank - 1;
    while (axis > 0 && t->shape[axis] == 1)
        axis--;
    const int64_t n = t->shape[axis], n_rows = n ? ingot_tensor_count(t) / n : 0;
    for (int64_t row = 0; row < n_rows; row++) {
        int64_t index = next_best(t, row * n, n, -1);
        const double largest = index >= 0 ? cli_element(t, row * n + index) : 0;
        const double sum = softmax ? softmax_sum(t, row * n, n, largest) : 0;
        cli_json *object = rows ? cli_json_append(rows) : NULL, *classes = rows ? cli_json_array(object, "top") : NULL;
        if (n_rows > 1 && !rows)
            printf("  row %lld\n", (long long)row);
        for (int64_t k = 0; k < top && index >= 0; k++, index = next_best(t, row * n, n, index)) {
            const double x = cli_element(t, row * n + index);
            tell_class(classes, k + 1, index, sum > 0 ? exp(x - largest) / sum : x, labels);
        }
    }
}

/* ---- files ------------------------------------------------------------------------------------------------------ */

/* Output names hold slashes and worse; what is left of one must be a file name, and no other output's. */
static void file_name(const ingot_model *model, size_t k, char *name, size_t capacity)
{
    const char *from = ingot_model_output(model, k)->name;
    size_t used = 0;
    for (; *from && used + 1 < capacity; from++)
        name[used++] = (char)((*from >= 'a' && *from <= 'z') || (*from >= 'A' && *from <= 'Z') ||
                                      (*from >= '0' && *from <= '9') || strchr("-_.", *from)
                                  ? *from
                                  : '_');
    name[used] = 0;
    if (!used || name[0] == '.' || name[0] == '-')
        snprintf(name, capacity, "output_%zu", k);
}

/* Where two outputs' names become the same file name, both get their number behind it. */
static void output_path(const ingot_model *model, size_t k, char *path, size_t capacity)
{
    char name[100], other[100];
    if (!strcmp(format, "pb")) {
        snprintf(path, capacity, "%s/output_%zu.pb", output_dir, k);
        return;
    }
    file_name(model, k, name, sizeof name);
    for (size_t i = 0; i < ingot_model_n_outputs(model); i++) {
        file_name(model, i, other, sizeof other);
        if (i != k && !strcmp(name, other)) {
            snprintf(path, capacity, "%s/%s_%zu.npy", output_dir, name, k);
            return;
        }
    }
    snprintf(path, capacity, "%s/%s.npy", output_dir, name);
}

/* One output to its file, in the form that was asked for. */
static ingot_status write_output(const ingot_model *model, size_t k, const ingot_tensor *value, ingot_error *error)
{
    char path[4096 + 200];
    output_path(model, k, path, sizeof path);
    if (!strcmp(format, "pb"))
        return cli_pb_write(path, ingot_model_output(model, k)->name, value, error);
    return cli_npy_write(path, value, error);
}

/* One line for an output; `all` goes on with its hash. */
static void tell_checksum(const ingot_tensor *value, const char *name, uint64_t *all, cli_json *object)
{
    const uint64_t hash = cli_hash_tensor(value, CLI_HASH_START);
    char text[20];
    snprintf(text, sizeof text, "%016llx", (unsigned long long)hash);
    if (object)
        cli_json_text(object, "checksum", text);
    else
        printf("checksum %s  %s\n", text, cli_printable(name));
    *all = cli_hash(&hash, sizeof hash, *all);
}

/* Range and mean of the numbers that are finite. */
static void add_range(const ingot_tensor *t, cli_json *object)
{
    const int64_t n = ingot_tensor_count(t);
    double least = INFINITY, most = -INFINITY, sum = 0;
    int64_t n_finite = 0;
    for (int64_t i = 0; i < n; i++) {
        const double x = cli_element(t, i);
        if (!isfinite(x))
            continue;
        least = fmin(least, x);
        most = fmax(most, x);
        sum += x;
        n_finite++;
    }
    cli_json_int(object, "not_finite", n - n_finite);
    cli_json_number(object, "min", least);
    cli_json_number(object, "max", most);
    cli_json_number(object, "mean", sum / (double)n_finite);
}

/* Keys are part of the tool's contract: add to them, but do not rename or remove any. */
static void add_output(const ingot_tensor *t, const char *name, cli_json *object)
{
    static const char *const kinds[] = {"tensor", "sequence", "optional", "map"};
    cli_json_text(object, "name", name);
    cli_json_text(object, "kind", t->kind < 4 ? kinds[t->kind] : "unknown");
    cli_json_text(object, "type", ingot_dtype_name(t->dtype));
    cli_json *shape = cli_json_array(object, "shape");
    for (int32_t d = 0; d < t->rank; d++)
        cli_json_append_int(shape, t->shape[d]);
    if (t->kind == INGOT_TENSOR && t->dtype != INGOT_STRING)
        add_range(t, object);
}

/* One output, as lines or as an object of `rows`. */
static void tell_output(const ingot_tensor *value, const char *name, const label_table *labels, uint64_t *all,
                        cli_json *rows)
{
    const bool classes = top && value->kind == INGOT_TENSOR && value->rank > 0 && cli_is_float(value->dtype);
    cli_json *object = rows ? cli_json_append(rows) : NULL;
    if (object)
        add_output(value, name, object);
    else if (!common.quiet)
        cli_print_value(stdout, name, value);
    if (checksum)
        tell_checksum(value, name, all, object);
    if (classes && (object || !common.quiet))
        tell_top(value, labels, object ? cli_json_array(object, "rows") : NULL);
}

/* Values are printed as they are written, so that a failing disk leaves what came before it on the screen. */
static ingot_status report(const cli_setup *s, const label_table *labels, cli_json *object, ingot_error *error)
{
    cli_json *rows = object ? cli_json_array(object, "outputs") : NULL;
    ingot_status st = output_dir ? cli_make_folder(output_dir, error) : INGOT_OK;
    uint64_t all = CLI_HASH_START;
    for (size_t k = 0; !st && k < ingot_model_n_outputs(s->model); k++) {
        const ingot_tensor *value = ingot_session_output(s->session, k);
        if (!value)
            continue;
        tell_output(value, ingot_model_output(s->model, k)->name, labels, &all, rows);
        if (output_dir)
            st = write_output(s->model, k, value, error);
    }
    char text[20];
    snprintf(text, sizeof text, "%016llx", (unsigned long long)all);
    if (!st && checksum && object)
        cli_json_text(object, "checksum", text);
    else if (!st && checksum)
        printf("checksum %s  all outputs\n", text);
    return st;
}

/* What can be wrong with the options is checked first, and labels are read before the model: a run may take long. */
static ingot_status run(const char *const *operands, ingot_error *error)
{
    cli_setup s = {.model = NULL};
    label_table labels = {.n = 0};
    cli_json *object = NULL;
    ingot_status st = INGOT_OK;
    if (strcmp(format, "npy") && strcmp(format, "pb"))
        return cli_fail(error, INGOT_USAGE, "run: --format: '%.100s' is neither npy nor pb", format);
    if ((labels_path || softmax) && !top)
        top = 5;
    if (output_dir && strlen(output_dir) > 3000)
        return cli_fail(error, INGOT_USAGE, "run: the path of --output-dir is too long");
    if (json)
        st = cli_json_new(&object, error);
    if (!st && labels_path)
        st = read_labels(&labels, error);
    if (!st && !(st = cli_set_up(operands[0], &inputs, &dims, false, &s, error)) &&
        !(st = ingot_session_run(s.session, error)))
        st = report(&s, &labels, object, error);
    if (object && !st)
        cli_json_print(object);
    else if (object)
        cli_json_free(object);
    cli_tear_down(&s);
    free(labels.lines);
    free(labels.text);
    return st;
}

const cli_command command_run = {
    .name = "run",
    .operands = "MODEL",
    .summary = "run a model once and print or write its outputs",
    .options = options,
    .takes_pictures = true,
    .run = run,
    .examples = "  ingot run MyNet.onnx                              on random inputs\n"
                "  ingot run MyNet.onnx --input x.npy --output-dir out\n"
                "  ingot run resnet.onnx --input cat.jpg --preset imagenet --top 5 --labels imagenet.txt\n"
                "  ingot run resnet.onnx --input cat.jpg --input dog.webp --preset imagenet    a batch of two\n"
                "  ingot run MyNet.onnx --input x.npy --json | jq .outputs[0].shape\n"
                "  ingot run bert.onnx --dim batch=8 --dim sequence=128\n",
};
