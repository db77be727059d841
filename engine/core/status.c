/* status.c - error lines. Names come from files, so every line is made printable before a caller sees it: control
 * characters become \xNN and broken UTF-8 is escaped byte by byte. */
#include "engine/core/status.h"

#include <stdio.h>
#include <string.h>

/* Length of the UTF-8 sequence at s (1 to 4) that may be shown, or 0: for what is no such sequence in its shortest
 * form, and for control characters, those of Unicode included, which end lines or turn the direction of text around.
 * Source: RFC 3629, the forms of one to four bytes. Ends at a terminator, which is no continuation byte. */
static size_t printable_length(const unsigned char *s)
{
    static const struct {
        unsigned char mask, lead;
        unsigned least, most;
    } forms[] = {{0x80, 0x00, 0x20, 0x7e}, {0xe0, 0xc0, 0xa0, 0x7ff}, {0xf0, 0xe0, 0x800, 0xffff},
                 {0xf8, 0xf0, 0x10000, 0x10ffff}};
    size_t n = 0;
    while (n < 4 && (s[0] & forms[n].mask) != forms[n].lead)
        n++;
    if (n == 4)
        return 0;
    unsigned code = s[0] & (unsigned char)~forms[n].mask;
    for (size_t i = 1; i <= n; i++) {
        if ((s[i] & 0xc0) != 0x80)
            return 0;
        code = code << 6 | (s[i] & 0x3f);
    }
    const bool is_control = (code >= 0x2028 && code <= 0x202e) || (code >= 0x2066 && code <= 0x2069);
    const bool is_surrogate = code >= 0xd800 && code < 0xe000;
    return code < forms[n].least || code > forms[n].most || is_control || is_surrogate ? 0 : n + 1;
}

/* Copy as much of src as fits; where something is cut the line ends in "...". dst is always terminated, and no escape
 * or character is cut in two. capacity is 4 at least. */
static void copy_printable(char *dst, size_t capacity, const char *src)
{
    size_t used = 0;
    while (*src) {
        size_t n = printable_length((const unsigned char *)src);
        char piece[8];
        if (n) {
            memcpy(piece, src, n);
            piece[n] = 0;
        } else {
            n = 1;
            snprintf(piece, sizeof piece, "\\x%02x", (unsigned)(unsigned char)*src);
        }
        const size_t length = strlen(piece);
        if (used + length + 4 > capacity) {
            memcpy(dst + used, "...", 3);
            used += 3;
            break;
        }
        memcpy(dst + used, piece, length);
        used += length;
        src += n;
    }
    dst[used] = 0;
}

/* The line is formatted with room to spare and then made printable into the caller's buffer. error may be NULL;
 * status is returned either way, so that callers can return the call. */
ingot_status ingot_vfail(ingot_error *error, ingot_status status, const char *format, va_list arguments)
{
    if (error) {
        char line[2 * sizeof error->message];
        vsnprintf(line, sizeof line, format, arguments);
        error->status = status;
        copy_printable(error->message, sizeof error->message, line);
    }
    return status;
}

/* See ingot_vfail(); the usual way to end a function with a line. */
ingot_status ingot_fail(ingot_error *error, ingot_status status, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    ingot_vfail(error, status, format, arguments);
    va_end(arguments);
    return status;
}

/* Whether the system has no more or a limit was reached is the same to who reads it. */
ingot_status ingot_out_of_memory(ingot_error *error)
{
    return ingot_fail(error, INGOT_LIMIT, "out of memory, or past the memory limit");
}

/* The prefix takes at most 253 bytes; where both do not fit, the end of the line is cut. Escaping again leaves escapes
 * as they are. */
void ingot_error_prefix(ingot_error *error, const char *format, ...)
{
    if (!error)
        return;
    char line[256 + sizeof error->message];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(line, 254, format, arguments);
    va_end(arguments);
    strcat(line, ": ");
    strcat(line, error->message);
    copy_printable(error->message, sizeof error->message, line);
}

/* A few words for a status, for callers that have no error line. */
const char *ingot_status_name(ingot_status status)
{
    static const struct { ingot_status status; const char *name; } names[] = {
        {INGOT_OK, "ok"},               {INGOT_DIFFERS, "outputs differ"},  {INGOT_USAGE, "wrong usage"},
        {INGOT_UNSUPPORTED, "not supported"}, {INGOT_INVALID, "malformed model"}, {INGOT_BAD_INPUT, "bad input"},
        {INGOT_LIMIT, "limit reached"}, {INGOT_IO, "input/output error"},   {INGOT_CANCELLED, "cancelled"},
    };
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        if (names[i].status == status)
            return names[i].name;
    return "unknown status";
}
