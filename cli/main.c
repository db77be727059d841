/* main.c - the table of commands, and the way in and out: options before, error line and exit code behind. */
#include "cli/cli.h"
#include "cli/features_found.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>

static const cli_command *const commands[] = {&command_run,     &command_verify,   &command_bench,
                                              &command_inspect, &command_optimize, &command_profile,
                                              &command_diff};
enum { N_COMMANDS = sizeof commands / sizeof *commands };

/* What `ingot --help` prints: the commands by their summaries, and the exit codes. */
static void print_overview(void)
{
    printf("usage: ingot COMMAND MODEL [OPTION]...\n\nLoads a model exported to ONNX and runs it.\n\ncommands:\n");
    for (size_t i = 0; i < N_COMMANDS; i++)
        printf("  %-10s %s\n", commands[i]->name, commands[i]->summary);
    printf("\n'ingot COMMAND --help' tells the options of a command and shows examples; 'ingot --version' the "
           "version,\n'ingot --describe bash|zsh|fish|manual|manual-COMMAND' completions and manual pages.\n"
           "\nexit codes: 0 done, 1 outputs differ, 2 wrong usage, 3 not supported, 4 malformed model, 5 bad input or\n"
           "dump, 6 limit reached or out of memory, 7 a file cannot be read or written, 130 cancelled\n");
}

/* The first line stays as it is: programs read it. With --json for those that want more. */
static ingot_status print_version(bool json, ingot_error *error)
{
    cli_json *object = NULL;
    if (!json) {
        printf("ingot %s (%s)\nthreads: %d\nbuilt with: %s\n", ingot_version(), ingot_isa(), (int)ingot_n_threads(),
               CLI_FEATURES);
        return INGOT_OK;
    }
    const ingot_status st = cli_json_new(&object, error);
    if (st)
        return st;
    cli_json_text(object, "version", ingot_version());
    cli_json_text(object, "isa", ingot_isa());
    cli_json_int(object, "threads", ingot_n_threads());
    cli_json *features = cli_json_array(object, "features");
    for (const char *at = CLI_FEATURES, *end; *at; at = end + (*end == ' ')) {
        char feature[40];
        end = at + strcspn(at, " ");
        snprintf(feature, sizeof feature, "%.*s", (int)(end - at), at);
        cli_json_append_text(features, feature);
    }
    cli_json_print(object);
    return INGOT_OK;
}

/* NULL where there is none of that name. */
static const cli_command *find_command(const char *name)
{
    for (size_t i = 0; i < N_COMMANDS; i++)
        if (!strcmp(commands[i]->name, name))
            return commands[i];
    return NULL;
}

/* The error names the nearest command where one is near enough to be meant. */
static ingot_status unknown_command(const char *name, ingot_error *error)
{
    const char *names[N_COMMANDS];
    for (size_t i = 0; i < N_COMMANDS; i++)
        names[i] = commands[i]->name;
    const char *near = cli_nearest(name, names, N_COMMANDS);
    if (near)
        return cli_fail(error, INGOT_USAGE, "no command '%.100s'; did you mean '%s'?", name, near);
    return cli_fail(error, INGOT_USAGE, "no command '%.100s'; see 'ingot --help'", name);
}

/* Everything between the start of the process and its exit code. Options are parsed before any file is opened, so that
 * a misspelt one costs nothing. */
static ingot_status dispatch(int n, char **arguments, ingot_error *error)
{
    if (n < 2)
        return cli_fail(error, INGOT_USAGE, "no command given; see 'ingot --help'");
    const char *name = arguments[1];
    if (!strcmp(name, "--help") || !strcmp(name, "-h") || (!strcmp(name, "help") && n == 2)) {
        print_overview();
        return INGOT_OK;
    }
    if (!strcmp(name, "--version") || !strcmp(name, "version"))
        return print_version(n > 2 && !strcmp(arguments[2], "--json"), error);
    if (!strcmp(name, "--describe"))
        return cli_describe(n > 2 ? arguments[2] : NULL, commands, N_COMMANDS, error);
    /* "help COMMAND" and "COMMAND --help" are the same */
    const bool asks_help = !strcmp(name, "help");
    const cli_command *command = find_command(arguments[asks_help ? 2 : 1]);
    if (!command)
        return unknown_command(arguments[asks_help ? 2 : 1], error);
    if (asks_help) {
        cli_print_help(command);
        return INGOT_OK;
    }
    /* the command with its options and operands */
    const char **operands = calloc((size_t)n, sizeof *operands);
    if (!operands)
        return cli_fail(error, INGOT_LIMIT, "out of memory");
    ingot_status st = cli_parse(command, n - 2, arguments + 2, operands, error);
    if (!st && common.help)
        cli_print_help(command);
    else if (!st)
        st = command->run(operands, error);
    free(operands);
    free(common.disabled_passes.items);
    for (const cli_option *o = command->options; o->name; o++)
        if (o->kind == OPTION_LIST)
            free(((cli_list *)o->value)->items);
    return st;
}

/* A standard stream that is closed would be the next file that is opened, and what is printed would go into an output:
 * such a one becomes /dev/null. */
static void open_standard_streams(void)
{
    for (int fd = 0; fd <= 2; fd++)
        if (fcntl(fd, F_GETFD) < 0 && errno == EBADF && open("/dev/null", O_RDWR) != fd)
            break;
}

/* The exit code is the status itself. One error line goes to standard error, and nothing else does. */
int main(int argc, char **argv)
{
    ingot_error error = {.status = INGOT_OK};
    open_standard_streams();
    cli_catch_interrupts();
    ingot_status st = dispatch(argc, argv, &error);
    /* What was printed so far belongs before the message, and a full disk shows only now. */
    errno = 0;
    if ((fflush(stdout) || ferror(stdout)) && (!st || st == INGOT_DIFFERS))
        st = cli_fail(&error, INGOT_IO, "cannot write standard output: %s", strerror(errno ? errno : EIO));
    cli_progress_end();
    const char *message = error.message[0]                                     ? error.message
                          : st != INGOT_DIFFERS && st != INGOT_UNSUPPORTED ? ingot_status_name(st) : NULL;
    if (st && message)
        fprintf(stderr, "%singot:%s %s\n", cli_ink(stderr, INK_RED), cli_ink(stderr, INK_END), message);
    return (int)st;
}
