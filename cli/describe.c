/* describe.c - what other programs want to know of the command line: completions for shells and the manual page,
 * written from the tables that parsing follows, so that they cannot fall behind. */
#include <ctype.h>
#include <string.h>

#include "cli/cli.h"

/* Visit the command's own options, those of pictures, then those of every command. */
typedef void visit_option(const cli_option *option);

static void visit(const cli_command *command, visit_option *each)
{
    for (int t = 0; t < CLI_TABLES; t++)
        for (const cli_option *o = cli_option_table(command, t); o->name; o++)
            each(o);
}

/* What stands before the option's name: two dashes, or one where it is a single letter. */
static const char *dashes(const cli_option *o) { return o->name[1] ? "--" : "-"; }

/* Does the value name a file or folder? Then the shell may complete it. */
static bool takes_file(const cli_option *o)
{
    return o->argument && (strstr(o->argument, "FILE") || strstr(o->argument, "DIR") || strstr(o->argument, "OUT"));
}

/* Words to choose from, as "auto|never": what is in capitals stands for something else. */
static bool has_choices(const cli_option *o)
{
    return o->argument && strchr(o->argument, '|') && !strpbrk(o->argument, "ABCDEFGHIJKLMNOPQRSTUVWXYZ");
}

/* Does it take names of passes? */
static bool takes_pass(const cli_option *o) { return !strcmp(o->name, "disable-pass"); }

/* The words that an option's value may be, with spaces between. */
static void print_choices(const cli_option *o)
{
    const char *name;
    if (takes_pass(o))
        printf("all");
    for (size_t i = 0; takes_pass(o) && (name = ingot_pass_name(i)); i++)
        printf(" %s", name);
    for (const char *c = has_choices(o) ? o->argument : ""; *c; c++)
        putchar(*c == '|' ? ' ' : *c);
}

/* ---- completions ------------------------------------------------------------------------------------------------ */

/* One option as a word that the shell may complete. */
static void print_word(const cli_option *o) { printf("%s%s ", dashes(o), o->name); }

/* A branch for an option whose values are known, or that takes a value that is no file. */
static void print_bash_value(const cli_option *o)
{
    if (!o->argument || (takes_file(o) && !has_choices(o)))
        return;
    printf("        %s%s) values=\"", dashes(o), o->name);
    print_choices(o);
    printf(" \" ;;\n");
}

/* A function that offers the commands as first word, then the options of the command that was typed and the values of
 * the option before, else models and other files. */
static void print_bash(const cli_command *const *commands, size_t n)
{
    printf("# bash completion for ingot\n_ingot() {\n    local word=${COMP_WORDS[COMP_CWORD]} options= values=\n"
           "    if [ \"$COMP_CWORD\" = 1 ]; then\n        COMPREPLY=($(compgen -W \"");
    for (size_t i = 0; i < n; i++)
        printf("%s ", commands[i]->name);
    printf("help --help --version\" -- \"$word\"))\n        return\n    fi\n    case ${COMP_WORDS[1]} in\n");
    for (size_t i = 0; i < n; i++) {
        printf("    %s) options=\"", commands[i]->name);
        visit(commands[i], print_word);
        printf("\"\n        case ${COMP_WORDS[COMP_CWORD-1]} in\n");
        visit(commands[i], print_bash_value);
        printf("        esac ;;\n");
    }
    printf("    esac\n    if [ -n \"$values\" ]; then\n        COMPREPLY=($(compgen -W \"$values\" -- \"$word\"))\n"
           "        return\n    fi\n    case $word in\n    -*) COMPREPLY=($(compgen -W \"$options\" -- \"$word\")) ;;\n"
           "    *) mapfile -t COMPREPLY < <(compgen -f -- \"$word\") ;;\n    esac\n}\n"
           "complete -o filenames -F _ingot ingot\n");
}

/* Text between single quotes, with what zsh and fish would read as more than text taken out. */
static void print_quoted(const char *text)
{
    for (; *text; text++)
        if (*text == '\'')
            fputs("'\\''", stdout);
        else if (*text == '[' || *text == ']' || *text == ':')
            printf("\\%c", *text);
        else
            putchar(*text);
}

/* One specification for _arguments: the star lets an option be given again, as lists are. */
static void print_zsh_option(const cli_option *o)
{
    printf(" \\\n        '*%s%s[", dashes(o), o->name);
    print_quoted(o->help);
    printf("]%s%s", o->argument ? ":value:" : "", takes_file(o) ? "_files" : "");
    if (has_choices(o) || takes_pass(o)) {
        printf("(");
        print_choices(o);
        printf(")");
    } else if (o->argument && !takes_file(o)) {
        printf(" ");
    }
    printf("'");
}

/* Commands with their summaries as the second word, then the command's own options and files. */
static void print_zsh(const cli_command *const *commands, size_t n)
{
    printf("#compdef ingot\nif (( CURRENT == 2 )); then\n    local -a commands=(");
    for (size_t i = 0; i < n; i++) {
        printf("\n        '%s:", commands[i]->name);
        print_quoted(commands[i]->summary);
        printf("'");
    }
    printf(")\n    _describe command commands\n    return\nfi\ncase ${words[2]} in\n");
    for (size_t i = 0; i < n; i++) {
        printf("%s)\n    _arguments", commands[i]->name);
        visit(commands[i], print_zsh_option);
        printf(" \\\n        '*:file:_files' ;;\n");
    }
    printf("esac\n");
}

/* The command whose options are being printed: visit() hands nothing through. */
static const char *fish_command;

/* One line for each option and command; an option that takes a file completes files, others take a word of their
 * own. */
static void print_fish_option(const cli_option *o)
{
    printf("complete -c ingot -n '__fish_seen_subcommand_from %s' -%c %s%s -d '", fish_command,
           o->name[1] ? 'l' : 's', o->name, !o->argument ? "" : takes_file(o) ? " -r -F" : " -x");
    for (const char *text = o->help; *text; text++)
        printf(*text == '\'' ? "\\'" : "%c", *text);
    printf("'");
    if (has_choices(o) || takes_pass(o)) {
        printf(" -a '");
        print_choices(o);
        printf("'");
    }
    printf("\n");
}

/* Commands where none is typed yet, then the options of each. */
static void print_fish(const cli_command *const *commands, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        fish_command = commands[i]->name;
        printf("complete -c ingot -n __fish_use_subcommand -a %s -d '%s'\n", fish_command, commands[i]->summary);
        visit(commands[i], print_fish_option);
    }
}

/* ---- the manual ------------------------------------------------------------------------------------------------- */

/* Text of a manual page: a dash is written so that it can be searched, a leading dot or quote so that it is no
 * request. */
static void print_roff(const char *text)
{
    bool line_start = true;
    for (; *text; text++) {
        if (line_start && (*text == '.' || *text == '\''))
            fputs("\\&", stdout);
        if (*text == '-' || *text == '\\')
            putchar('\\');
        putchar(*text == '\\' ? 'e' : *text);
        line_start = *text == '\n';
    }
}

/* An option as a tagged paragraph: its name in bold, its value in italics, the help below. */
static void print_roff_option(const cli_option *o)
{
    printf(".TP\n.B ");
    print_roff(dashes(o));
    print_roff(o->name);
    if (o->argument) {
        printf(" \\fI");
        print_roff(o->argument);
        printf("\\fR");
    }
    printf("\n");
    print_roff(o->help);
    printf("\n");
}

/* All options of a table. */
static void print_table(const cli_option *table)
{
    for (const cli_option *o = table; o->name; o++)
        print_roff_option(o);
}

/* What every page ends with. */
static void print_manual_end(void)
{
    printf(".SH EXIT STATUS\n0 done, or all outputs agree; 1 outputs differ; 2 wrong usage; 3 valid, but an operator, "
           "type or version that is not there; 4 a malformed model; 5 an input or dump that does not fit or is "
           "malformed; 6 a limit was reached or memory ran out; 7 a file cannot be read or written; 130 cancelled.\n"
           ".SH ENVIRONMENT\n.TP\n.B INGOT_ISA\nThe highest instruction set that kernels may use: baseline, "
           "avx2, avxvnni, avx512, avx512vnni or neon.\n.TP\n.B NO_COLOR\nWhere it is set and not empty, nothing is "
           "coloured unless \\-\\-color says so.\n");
}

/* The page ingot-NAME of one command: its options, those of pictures where it takes them, and those of every one. */
static void print_command_manual(const cli_command *command)
{
    printf(".TH INGOT-");
    for (const char *c = command->name; *c; c++)
        putchar(toupper((unsigned char)*c));
    printf(" 1 \"\" \"ingot %s\"\n.nh\n.ad l\n.SH NAME\ningot\\-%s \\- ", ingot_version(), command->name);
    print_roff(command->summary);
    printf("\n.SH SYNOPSIS\n.B ingot %s\n%s [OPTION]...\n.SH OPTIONS\n", command->name, command->operands);
    print_table(command->options);
    if (command->takes_pictures)
        printf(".SH PICTURES\n");
    print_table(cli_option_table(command, 1));
    printf(".SH OPTIONS OF EVERY COMMAND\n");
    print_table(cli_common_options());
    printf(".SH EXAMPLES\n.nf\n");
    print_roff(command->examples);
    printf(".fi\n");
    print_manual_end();
    printf(".SH SEE ALSO\n.BR ingot (1)\n");
}

/* A page of section 1: name and synopsis, a section for each command with its options and examples, then what all of
 * them share: options, exit codes, environment. */
static void print_manual(const cli_command *const *commands, size_t n)
{
    printf(".TH INGOT 1 \"\" \"ingot %s\"\n.nh\n.ad l\n.SH NAME\ningot \\- load models exported to ONNX and run them\n"
           ".SH SYNOPSIS\n", ingot_version());
    for (size_t i = 0; i < n; i++)
        printf("%s.B ingot %s\n%s [OPTION]...\n", i ? ".br\n" : "", commands[i]->name, commands[i]->operands);
    for (size_t i = 0; i < n; i++) {
        printf(".SH INGOT ");
        for (const char *c = commands[i]->name; *c; c++)
            putchar(toupper((unsigned char)*c));
        printf("\n");
        print_roff(commands[i]->summary);
        printf(".\n");
        print_table(commands[i]->options);
        printf(".PP\nExamples:\n.PP\n.nf\n");
        print_roff(commands[i]->examples);
        printf(".fi\n");
    }
    printf(".SH PICTURES\nCommands that take pictures as inputs decode PNG, JPEG and WebP. Several for the same input "
           "are a batch. Scaling has the bits of Pillow, the rest the arithmetic of torchvision in float.\n");
    print_table(cli_image_options());
    printf(".SH EVERY COMMAND\n");
    print_table(cli_common_options());
    print_manual_end();
    printf(".SH SEE ALSO\n");
    for (size_t i = 0; i < n; i++)
        printf(".BR ingot\\-%s (1)%s\n", commands[i]->name, i + 1 < n ? "," : "");
}

/* ---- the way in ------------------------------------------------------------------------------------------------- */

/* A form that --describe knows, and what prints it. */
typedef struct writer {
    const char *name;
    void (*print)(const cli_command *const *commands, size_t n);
} writer;

static const writer writers[] = {
    {"bash", print_bash}, {"zsh", print_zsh}, {"fish", print_fish}, {"manual", print_manual}};

/* Print the form that was asked for, "manual-run" for the page of a command; INGOT_USAGE where form is NULL or none of
 * them. */
ingot_status cli_describe(const char *form, const cli_command *const *commands, size_t n, ingot_error *error)
{
    for (size_t i = 0; i < sizeof writers / sizeof *writers; i++)
        if (form && !strcmp(form, writers[i].name)) {
            writers[i].print(commands, n);
            return INGOT_OK;
        }
    for (size_t i = 0; i < n; i++)
        if (form && !strncmp(form, "manual-", 7) && !strcmp(form + 7, commands[i]->name)) {
            print_command_manual(commands[i]);
            return INGOT_OK;
        }
    return cli_fail(error, INGOT_USAGE, "--describe takes bash, zsh, fish, manual or manual-COMMAND");
}
