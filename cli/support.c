/* support.c - `ingot inspect --support`: every operator that runs, with the opset versions and element types, from the
 * library's registry. As Markdown, it is the page ops/SUPPORT.md. */
#include "cli/cli.h"

#include <stdlib.h>
#include <string.h>

enum { N_SETS = sizeof ((ingot_operator_info *)NULL)->types / sizeof(uint64_t) };

/* By domain, name, then version. */
static int by_name(const void *a, const void *b)
{
    const ingot_operator_info *x = a, *y = b;
    int order = strcmp(x->domain, y->domain);
    if (!order)
        order = strcmp(x->op_type, y->op_type);
    return order ? order : (x->first > y->first) - (x->first < y->first);
}

/* All operators in order; the caller frees them. NULL when memory is out. */
static ingot_operator_info *collect(size_t *n)
{
    ingot_operator_info info;
    *n = 0;
    while (ingot_operator(*n, &info))
        ++*n;
    ingot_operator_info *all = calloc(*n + 1, sizeof *all);
    for (size_t i = 0; all && i < *n; i++)
        ingot_operator(i, &all[i]);
    if (all)
        qsort(all, *n, sizeof *all, by_name);
    return all;
}

/* How many of the sets tell something: those of inputs that there are, without equal ones at the end. */
static int count_sets(const ingot_operator_info *op)
{
    int n = op->max_inputs < 0 || op->max_inputs > N_SETS ? N_SETS : op->max_inputs;
    while (n > 1 && op->types[n - 1] == op->types[n - 2])
        n--;
    return n;
}

/* The names of a set; one that has nearly all is told by what it lacks. */
static void print_types(uint64_t types)
{
    int lacking = 0;
    for (int t = 1; t < INGOT_N_DTYPES; t++)
        lacking += !(types >> t & 1);
    if (lacking < INGOT_N_DTYPES / 3)
        printf("any%s", lacking ? " but" : "");
    for (int t = 1, first = lacking >= INGOT_N_DTYPES / 3; t < INGOT_N_DTYPES; t++)
        if ((types >> t & 1) == (lacking >= INGOT_N_DTYPES / 3)) {
            printf("%s%s", first ? "" : " ", ingot_dtype_name((ingot_dtype)t));
            first = 0;
        }
}

/* One operator form as a row of the table. Neighbouring inputs with the same types share a mention. */
static void print_row(const ingot_operator_info *op)
{
    const int n = count_sets(op);
    printf("| %s | %d", op->op_type, (int)op->first);
    if (op->last != op->first)
        printf(op->last ? " to %d" : " and up", (int)op->last);
    printf(" | ");
    for (int i = 0; i < n; i++) {
        int last = i;
        while (last + 1 < n && op->types[last + 1] == op->types[i])
            last++;
        if (i)
            printf("; ");
        if (n > 1 && last == n - 1)
            printf("from %d on: ", i);
        else if (last > i)
            printf("%d to %d: ", i, last);
        else if (n > 1)
            printf("%d: ", i);
        print_types(op->types[i]);
        i = last;
    }
    printf(" |\n");
}

/* The page, a table for each domain. */
static void print_page(const ingot_operator_info *all, size_t n)
{
    printf("# Operators that run\n\n"
           "Made from the registry by `ingot inspect --support > ops/SUPPORT.md`. Versions are those of the domain's\n"
           "operator set. The types are those of the inputs, by their number; of sequences, optionals and maps, those\n"
           "of what is in them.\n");
    for (size_t i = 0; i < n; i++) {
        if (!i || strcmp(all[i].domain, all[i - 1].domain))
            printf("\n## %s\n\n| operator | versions | types |\n| --- | --- | --- |\n",
                   all[i].domain[0] ? all[i].domain : "ai.onnx");
        print_row(&all[i]);
    }
}

/* The same for programs: every set by itself, nothing put together. */
static void fill_json(const ingot_operator_info *all, size_t n, cli_json *object)
{
    cli_json *rows = cli_json_array(object, "operators");
    for (size_t i = 0; i < n; i++) {
        cli_json *row = cli_json_append(rows);
        cli_json_text(row, "domain", all[i].domain);
        cli_json_text(row, "op_type", all[i].op_type);
        cli_json_int(row, "first", all[i].first);
        cli_json_int(row, "last", all[i].last);
        cli_json_int(row, "min_inputs", all[i].min_inputs);
        cli_json_int(row, "max_inputs", all[i].max_inputs);
        cli_json *inputs = cli_json_array(row, "inputs");
        for (int k = 0; k < N_SETS; k++) {
            cli_json *types = cli_json_array(cli_json_append(inputs), "types");
            for (int t = 1; t < INGOT_N_DTYPES; t++)
                if (all[i].types[k] >> t & 1)
                    cli_json_append_text(types, ingot_dtype_name((ingot_dtype)t));
        }
    }
}

/* `last` is 0 in the JSON for the newest form. */
ingot_status cli_print_support(bool json, ingot_error *error)
{
    cli_json *object = NULL;
    size_t n;
    ingot_operator_info *all = collect(&n);
    ingot_status st = all ? INGOT_OK : cli_fail(error, INGOT_LIMIT, "out of memory");
    if (!st && json && !(st = cli_json_new(&object, error))) {
        fill_json(all, n, object);
        cli_json_print(object);
    } else if (!st) {
        print_page(all, n);
    }
    free(all);
    return st;
}
