/* text.c - one-line messages, and names from files made fit to print. */
#include "cli/cli.h"

#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

/* The shortest form only, no surrogates, up to U+10FFFF. */
int32_t cli_next_code_point(const char **at, const char *end)
{
    const unsigned char *p = (const unsigned char *)*at;
    const int n = p[0] < 0x80 ? 1 : p[0] < 0xc2 ? 0 : p[0] < 0xe0 ? 2 : p[0] < 0xf0 ? 3 : p[0] < 0xf5 ? 4 : 0;
    if (!n || end - *at < n) {
        ++*at;
        return -1;
    }
    int32_t code = n == 1 ? p[0] : p[0] & (0xff >> (n + 1));
    for (int i = 1; i < n; i++) {
        if ((p[i] & 0xc0) != 0x80) {
            ++*at;
            return -1;
        }
        code = code << 6 | (p[i] & 0x3f);
    }
    const bool overlong = (n == 3 && code < 0x800) || (n == 4 && code < 0x10000);
    if (overlong || (code >= 0xd800 && code < 0xe000) || code > 0x10ffff) {
        ++*at;
        return -1;
    }
    *at += n;
    return code;
}

/* Is all of it UTF-8, by the rules of cli_next_code_point()? */
bool cli_is_utf8(const char *text, size_t size_bytes)
{
    const char *at = text, *end = text + size_bytes;
    while (at < end)
        if (cli_next_code_point(&at, end) < 0)
            return false;
    return true;
}

/* Nothing is cut in the middle of a character or of an escape. */
char *cli_escape(char *out, size_t capacity, const char *text, size_t size_bytes)
{
    const char *at = text, *end = text + size_bytes;
    size_t used = 0;
    while (at < end) {
        const char *start = at;
        const int32_t code = cli_next_code_point(&at, end);
        /* C0 and C1 control characters, and the ones that turn the direction of text around */
        const bool plain = code >= 0x20 && code != 0x7f && !(code >= 0x80 && code < 0xa0) &&
                           !(code >= 0x202a && code <= 0x202e) && !(code >= 0x2028 && code <= 0x2029) &&
                           !(code >= 0x2066 && code <= 0x2069);
        const size_t n = (size_t)(at - start), needs = plain ? n : 4 * n;
        if (used + needs + (at < end ? 4 : 1) > capacity) {
            snprintf(out + used, capacity - used, "...");
            return out;
        }
        if (plain)
            memcpy(out + used, start, n);
        for (size_t i = 0; !plain && i < n; i++)
            snprintf(out + used + 4 * i, 5, "\\x%02x", (unsigned char)start[i]);
        used += needs;
    }
    out[used] = 0;
    return out;
}

/* In one of four buffers that take turns, so that one printf() may show four names. Not for threads. */
const char *cli_printable(const char *name)
{
    static char texts[4][160];
    static unsigned turn;
    return cli_escape(texts[turn++ % 4], sizeof *texts, name, strlen(name));
}

/* The message is made printable as a whole: its arguments come from files and from the command line. */
static ingot_status vfail(ingot_error *error, ingot_status status, const char *path, const char *format,
                          va_list arguments)
{
    char raw[1200];
    size_t used = 0;
    if (path) {
        /* the end of a long path says more than its start */
        const size_t size = strlen(path), most = 250;
        used = (size_t)snprintf(raw, sizeof raw, "%s%s: ", size > most ? "..." : "",
                                size > most ? path + size - most : path);
    }
    vsnprintf(raw + used, sizeof raw - used, format, arguments);
    if (error) {
        error->status = status;
        cli_escape(error->message, sizeof error->message, raw, strlen(raw));
    }
    return status;
}

/* Set the error's status and line from a format; returns the status, for the caller to pass on. */
ingot_status cli_fail(ingot_error *error, ingot_status status, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    vfail(error, status, NULL, format, arguments);
    va_end(arguments);
    return status;
}

/* The same with a file's name before the line. */
ingot_status cli_fail_file(ingot_error *error, ingot_status status, const char *path, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    vfail(error, status, path, format, arguments);
    va_end(arguments);
    return status;
}

/* "[N,3,224,224]": a free dimension by its name, "?" where it has none. */
static void shape_text(const int64_t *shape, const char *const *symbols, int32_t rank, char *text, size_t capacity)
{
    size_t used = (size_t)snprintf(text, capacity, "[");
    for (int32_t i = 0; i < rank && used + 30 < capacity; i++) {
        const char *comma = i ? "," : "";
        const char *symbol = symbols && symbols[i] && symbols[i][0] ? cli_printable(symbols[i]) : "?";
        if (shape[i] < 0)
            used += (size_t)snprintf(text + used, capacity - used, "%s%.20s", comma, symbol);
        else
            used += (size_t)snprintf(text + used, capacity - used, "%s%lld", comma, (long long)shape[i]);
    }
    if (used < capacity)
        snprintf(text + used, capacity - used, "]");
}

/* Type and shape of a value that is there, "float [1,10]"; returns text. */
char *cli_type_text(const ingot_tensor *tensor, char *text, size_t capacity)
{
    int used;
    switch (tensor->kind) {
    case INGOT_SEQUENCE: snprintf(text, capacity, "sequence of %lld", (long long)tensor->shape[0]); break;
    case INGOT_OPTIONAL: snprintf(text, capacity, "optional, %s", tensor->shape[0] ? "present" : "empty"); break;
    case INGOT_MAP: snprintf(text, capacity, "map"); break;
    default:
        used = snprintf(text, capacity, "%s ", ingot_dtype_name(tensor->dtype));
        shape_text(tensor->shape, NULL, tensor->rank, text + used, capacity - (size_t)used);
    }
    return text;
}

/* Type and shape that a model declares, free dimensions by their names; returns text. */
char *cli_info_text(const ingot_value_info *info, char *text, size_t capacity)
{
    static const char *const kinds[] = {"", "sequence of ", "optional ", "map of "};
    const int used = snprintf(text, capacity, "%s%s ", (unsigned)info->kind < 4 ? kinds[info->kind] : "",
                              ingot_dtype_name(info->dtype));
    if (info->rank >= 0)
        shape_text(info->shape, info->symbols, info->rank, text + used, capacity - (size_t)used);
    else
        snprintf(text + used, capacity - (size_t)used, "of any shape");
    return text;
}

/* Decimal prefixes, one digit behind the point. */
char *cli_amount(double amount, const char *unit, char *text, size_t capacity)
{
    static const char *const prefixes[] = {"", "k", "M", "G", "T", "P"};
    size_t p = 0;
    for (; amount >= 999.95 && p < 5; p++)
        amount /= 1000;
    snprintf(text, capacity, p ? "%.1f %s%s" : "%.0f %s%s", amount, prefixes[p], unit);
    return text;
}

/* Behind the last slash but one. */
const char *cli_short_path(const char *path)
{
    const char *name = path + strlen(path);
    for (int slashes = 0; name > path && (name[-1] != '/' || slashes++ < 1); name--)
        ;
    return name;
}

/* One item; the text is cut where it is full. */
static size_t item_text(const ingot_attribute_info *a, size_t i, char *text, size_t capacity)
{
    char string[80];
    int n = 0;
    if (a->floats)
        n = snprintf(text, capacity, "%.6g", (double)a->floats[i]);
    else if (a->ints)
        n = snprintf(text, capacity, "%lld", (long long)a->ints[i]);
    else
        n = snprintf(text, capacity, "'%s'", cli_escape(string, sizeof string, a->strings[i].data,
                                                        a->strings[i].size_bytes));
    return n < 0 ? 0 : (size_t)n < capacity ? (size_t)n : capacity - 1;
}

/* Types past 5 but for the sparse tensor and the type are lists. */
char *cli_attribute_text(const ingot_attribute_info *a, char *text, size_t capacity)
{
    static const char *const others[] = {[4] = "a tensor", [5] = "a graph", [9] = "tensors", [10] = "graphs",
                                         [11] = "a sparse tensor", [12] = "sparse tensors", [13] = "a type",
                                         [14] = "types"};
    const bool is_list = a->type >= 6 && a->type <= 8;
    size_t used = 0;
    if (!a->floats && !a->ints && !a->strings && !is_list) {
        snprintf(text, capacity, "%s (%016llx)", a->type > 3 && a->type < 15 ? others[a->type] : "something",
                 (unsigned long long)a->hash);
        return text;
    }
    used += (size_t)snprintf(text, capacity, "%s", is_list ? "[" : "");
    for (size_t i = 0; i < a->n; i++) {
        if (used + 90 > capacity) {
            used += (size_t)snprintf(text + used, capacity - used, ", ...");
            break;
        }
        used += (size_t)snprintf(text + used, capacity - used, "%s", i ? "," : "");
        used += item_text(a, i, text + used, capacity - used);
    }
    snprintf(text + used, capacity - used, "%s", is_list ? "]" : "");
    return text;
}
