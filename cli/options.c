/* options.c - the options of every command, read from declarative tables.
 *
 * A row says where its value goes, so that parsing, checking and help follow from one table. Options and operands may
 * come in any order; "--" ends the options; "--name=value" and "--name value" are the same. */
#include "cli/cli.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

cli_common common;

static const cli_option common_options[] = {
    {"threads", OPTION_INT, &common.n_threads, "N", "threads to run on (default: all that may be used)", 1},
    {"disable-pass", OPTION_LIST, &common.disabled_passes, "NAME", "leave out a graph pass; \"all\" for every one", 0},
    {"max-memory", OPTION_BYTES, &common.max_memory_bytes, "BYTES",
     "stop with exit code 6 rather than use more; K, M, G", 0},
    {"max-nodes", OPTION_INT, &common.max_nodes, "N", "most nodes a model may have when functions are inlined", 1},
    {"timeout", OPTION_NUMBER, &common.timeout_s, "SECONDS", "cancel loading or a run that takes longer", 0},
    {"conv-algorithm", OPTION_CHOICE, &common.conv_algorithm, "auto|direct|winograd",
     "how convolutions are computed", 0},
    {"external-data-root", OPTION_TEXT, &common.external_data_root, "DIR",
     "where links in the model's folder may lead", 0},
    {"no-mmap", OPTION_FLAG, &common.no_mmap, NULL, "read files whole while loading: they may change afterwards", 0},
    {"portable", OPTION_FLAG, &common.portable, NULL, "the same bits on every processor; slower", 0},
    {"batch-invariant", OPTION_FLAG, &common.batch_invariant, NULL,
     "the same bits for a sample alone and in any batch; slower", 0},
    {"strict", OPTION_FLAG, &common.strict, NULL, "exit 4 where types or shapes are not the declared ones", 0},
    {"color", OPTION_CHOICE, &common.color, "auto|always|never", "auto: on a terminal, unless NO_COLOR is set", 0},
    {"quiet", OPTION_FLAG, &common.quiet, NULL, "print nothing but errors, and JSON where asked for", 0},
    {"help", OPTION_FLAG, &common.help, NULL, "print this", 0},
    {NULL, OPTION_FLAG, NULL, NULL, NULL, 0},
};

const cli_option *cli_common_options(void) { return common_options; }

const cli_option *cli_option_table(const cli_command *command, int index)
{
    static const cli_option none = {.name = NULL};
    const cli_option *const pictures = command->takes_pictures ? cli_image_options() : &none;
    return index == 0 ? command->options : index == 1 ? pictures : common_options;
}

/* ---- names ------------------------------------------------------------------------------------------------------ */

enum { MAX_NAME = 40 };

/* Levenshtein distance of two short words, in one row. */
static size_t distance(const char *a, const char *b)
{
    const size_t n = strlen(b);
    size_t row[MAX_NAME + 1];
    for (size_t j = 0; j <= n; j++)
        row[j] = j;
    for (size_t i = 0; a[i]; i++) {
        size_t diagonal = row[0];
        row[0] = i + 1;
        for (size_t j = 0; j < n; j++) {
            const size_t replace = diagonal + (a[i] != b[j]);
            const size_t other = (row[j] < row[j + 1] ? row[j] : row[j + 1]) + 1;
            diagonal = row[j + 1];
            row[j + 1] = replace < other ? replace : other;
        }
    }
    return row[n];
}

/* Near is a third of the letters wrong, or all that was typed being the beginning of a name. */
const char *cli_nearest(const char *wrong, const char *const *names, size_t n)
{
    const char *best = NULL;
    size_t best_distance = strlen(wrong) / 3 + 1;
    for (size_t i = 0; i < n && strlen(wrong) <= MAX_NAME; i++) {
        if (*wrong && !strncmp(names[i], wrong, strlen(wrong))) /* a beginning is the best hint */
            return names[i];
        const size_t d = strlen(names[i]) <= MAX_NAME ? distance(wrong, names[i]) : MAX_NAME;
        if (d <= best_distance && d < strlen(names[i])) {
            best = names[i];
            best_distance = d - (d > 0);
        }
    }
    return best;
}

/* NULL where the table has none; the name need not be terminated. */
static const cli_option *find_option(const cli_option *table, const char *name, size_t size)
{
    for (; table->name; table++)
        if (strlen(table->name) == size && !memcmp(table->name, name, size))
            return table;
    return NULL;
}

/* With a hint where one is near, else with where to find them all. */
static ingot_status unknown_option(const cli_command *command, const char *argument, ingot_error *error)
{
    const char *names[64];
    char word[MAX_NAME + 2];
    size_t n = 0;
    for (int t = 0; t < CLI_TABLES; t++)
        for (const cli_option *o = cli_option_table(command, t); o->name && n < 64; o++)
            names[n++] = o->name;
    const char *bare = argument + strspn(argument, "-");
    snprintf(word, sizeof word, "%.*s", (int)strcspn(bare, "="), bare);
    const char *near = cli_nearest(word, names, n);
    if (near)
        return cli_fail(error, INGOT_USAGE, "%s: no option '%.100s'; did you mean %s%s?", command->name, argument,
                        near[1] ? "--" : "-", near);
    return cli_fail(error, INGOT_USAGE, "%s: no option '%.100s'; see 'ingot %s --help'", command->name, argument,
                    command->name);
}

/* ---- values ----------------------------------------------------------------------------------------------------- */

/* The whole text must be the number: strtoll alone would take "5x". */
static bool parse_int(const char *text, int64_t least, int64_t *value)
{
    char *end;
    errno = 0;
    const long long number = strtoll(text, &end, 10);
    if (errno || end == text || *end || number < least || number > 1000000000)
        return false;
    *value = number;
    return true;
}

/* "500M" is 500 times 2 to the 20th. Zero would mean no limit and is refused. */
static bool parse_bytes(const char *text, uint64_t *value)
{
    char *end;
    errno = 0;
    if (*text < '0' || *text > '9')
        return false;
    const unsigned long long number = strtoull(text, &end, 10);
    const char *suffix = *end ? strchr("KMG", *end) : NULL;
    const int shift = suffix ? 10 * (int)(suffix - "KMG" + 1) : 0;
    if (errno || (*end && (!suffix || end[1])) || !number || number > UINT64_MAX >> shift)
        return false;
    *value = (uint64_t)number << shift;
    return true;
}

/* Tolerances and seconds: NaN, infinity and negative numbers make no sense for either. */
static bool parse_number(const char *text, double *value)
{
    char *end;
    const double number = strtod(text, &end);
    if (end == text || *end || !isfinite(number) || number < 0)
        return false;
    *value = number;
    return true;
}

/* The place of the text among words separated by '|'. */
static bool parse_choice(const char *text, const char *words, int *value)
{
    const size_t size = strlen(text);
    for (int i = 0; *words; i++) {
        const size_t word = strcspn(words, "|");
        if (word == size && !memcmp(words, text, size)) {
            *value = i;
            return true;
        }
        words += word + (words[word] == '|');
    }
    return false;
}

/* Lists have room for every argument of the process: their items were counted before. */
static void append_text(cli_list *list, const char *text)
{
    list->items[list->n++] = text;
    list->items[list->n] = NULL;
}

/* Check a value and put it where the table says. */
static ingot_status store(const cli_command *command, const cli_option *option, const char *text, ingot_error *error)
{
    bool ok = true;
    switch (option->kind) {
    case OPTION_FLAG: *(bool *)option->value = true; break;
    case OPTION_INT: ok = parse_int(text, option->least, option->value); break;
    case OPTION_BYTES: ok = parse_bytes(text, option->value); break;
    case OPTION_NUMBER: ok = parse_number(text, option->value); break;
    case OPTION_CHOICE: ok = parse_choice(text, option->argument, option->value); break;
    case OPTION_TEXT: *(const char **)option->value = text; break;
    case OPTION_LIST: append_text(option->value, text); break;
    }
    if (ok)
        return INGOT_OK;
    return cli_fail(error, INGOT_USAGE, "%s: %s%s: '%.100s' is not %s", command->name, option->name[1] ? "--" : "-",
                    option->name, text,
                    option->kind == OPTION_INT      ? "a whole number in range"
                    : option->kind == OPTION_BYTES  ? "a number of bytes, such as 500M"
                    : option->kind == OPTION_CHOICE ? option->argument
                                                    : "a number that is not negative");
}

/* The name may hold '=' itself, the number cannot: the last one counts. */
bool cli_parse_dim(const char *text, size_t *name_size, int64_t *size)
{
    const char *equals = strrchr(text, '=');
    if (!equals || equals == text)
        return false;
    *name_size = (size_t)(equals - text);
    return parse_int(equals + 1, 0, size);
}

/* ---- the command line ------------------------------------------------------------------------------------------- */

/* Take the option at arguments[*i], and its value, which may be the argument after it. */
static ingot_status take_option(const cli_command *command, int n, char **arguments, int *i, ingot_error *error)
{
    const char *argument = arguments[*i], *value = NULL;
    const bool is_long = argument[1] == '-';
    const char *name = argument + (is_long ? 2 : 1);
    size_t size = is_long ? strcspn(name, "=") : 1;
    if (!is_long && *name == 'h' && !name[1]) {
        common.help = true;
        return INGOT_OK;
    }
    /* the command's own options go before the common ones */
    const cli_option *option = NULL;
    for (int t = 0; t < CLI_TABLES && !option; t++)
        option = find_option(cli_option_table(command, t), name, size);
    if (!option || (is_long && size == 1))
        return unknown_option(command, argument, error);
    /* "--name=value", "-nvalue" or "-n=value"; else the next argument is the value */
    if (name[size])
        value = name + size + (is_long || name[size] == '=');
    if (option->kind == OPTION_FLAG && value)
        return cli_fail(error, INGOT_USAGE, "%s: --%s takes no value", command->name, option->name);
    if (option->kind != OPTION_FLAG && !value) {
        if (*i + 1 >= n)
            return cli_fail(error, INGOT_USAGE, "%s: %.100s needs a value: %s", command->name, argument,
                            option->argument);
        value = arguments[++*i];
    }
    return store(command, option, value, error);
}

/* No list can grow longer than the command line, so that appending needs no checks. */
static ingot_status allocate_lists(const cli_option *table, int n, ingot_error *error)
{
    for (; table->name; table++) {
        cli_list *list = table->value;
        if (table->kind == OPTION_LIST && !(list->items = calloc((size_t)n + 1, sizeof *list->items)))
            return cli_fail(error, INGOT_LIMIT, "out of memory");
    }
    return INGOT_OK;
}

/* Read the arguments behind the command's name. `operands` has room for all of them; it receives those that are no
 * options. INGOT_USAGE names the argument that is wrong. Where --help comes up, reading ends there and nothing is
 * checked. */
ingot_status cli_parse(const cli_command *command, int n, char **arguments, const char **operands, ingot_error *error)
{
    int n_operands = 0, n_wanted = 1;
    bool options_ended = false;
    ingot_status st;
    /* one operand more than there are spaces between their words */
    for (const char *p = command->operands; *p; p++)
        n_wanted += *p == ' ';
    if ((st = allocate_lists(command->options, n, error)) || (st = allocate_lists(common_options, n, error)))
        return st;
    for (int i = 0; i < n; i++) {
        if (!options_ended && !strcmp(arguments[i], "--"))
            options_ended = true;
        else if (!options_ended && arguments[i][0] == '-' && arguments[i][1]) {
            if ((st = take_option(command, n, arguments, &i, error)))
                return st;
        } else
            operands[n_operands++] = arguments[i];
        if (common.help)
            return INGOT_OK;
    }
    /* too many, or too few unless the command counts them itself */
    if (n_operands > n_wanted)
        return cli_fail(error, INGOT_USAGE, "%s: '%.200s' is one argument too many; it takes %s", command->name,
                        operands[n_wanted], command->operands);
    if (n_operands < n_wanted && !command->counts_operands)
        return cli_fail(error, INGOT_USAGE, "%s needs %s; see 'ingot %s --help'", command->name, command->operands,
                        command->name);
    return INGOT_OK;
}

/* One line for each; names and values to the left, help to the right. */
static void print_options(const cli_option *table)
{
    for (; table->name; table++) {
        char left[60];
        snprintf(left, sizeof left, "%s%s %s", table->name[1] ? "--" : "-", table->name,
                 table->argument ? table->argument : "");
        printf("  %-24s %s%s\n", left, strlen(left) > 24 ? "\n                           " : "", table->help);
    }
}

/* The command's own options before those of every command, and examples at the end, which is what stays on the
 * screen. */
void cli_print_help(const cli_command *command)
{
    printf("usage: ingot %s %s [OPTION]...\n\n%s\n\noptions:\n", command->name, command->operands, command->summary);
    print_options(command->options);
    if (command->takes_pictures) {
        printf("pictures:\n");
        print_options(cli_image_options());
    }
    printf("every command:\n");
    print_options(common_options);
    printf("\nexamples:\n%s", command->examples);
}
