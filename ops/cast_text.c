/* cast_text.c - see cast_text.h. Numbers are read and written the same whatever the locale. */
#include "ops/cast_text.h"

#include <errno.h>
#include <locale.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "ops/convert.h"

/* Room for any number that is written: sign, 17 digits, point and exponent. Numbers that are read may have leading or
 * trailing zeros; 511 characters are plenty. */
enum { TEXT_BYTES = 32, NUMBER_BYTES = 512 };

/* ---- to text ---- */

/* Does a float type take the number `value` back to itself when only `near` is known? `near` is the number that the
 * digits so far stand for, and goes through the type's own rounding. */
static bool same_number(ingot_dtype dtype, double value, double near)
{
    const ingot_conversion to = {
        .from = INGOT_DOUBLE, .to = dtype, .saturate = true, .round_mode = INGOT_ROUND_NEAREST
    };
    const ingot_conversion back = { .from = dtype, .to = INGOT_DOUBLE };
    double result;
    char code[8];

    ingot_convert(&to, code, &near, 1);
    ingot_convert(&back, &result, code, 1);
    return result == value;
}

/* Digits and exponent of value > 0 in the form d...e+x, as few as tell it apart. Returns the number of digits. Tries 1
 * digit, then 2, and so on: 17 always suffice for a double, and short ones are common. `value` is finite. */
static int find_digits(ingot_dtype dtype, double value, char digits[TEXT_BYTES], int *exponent)
{
    char text[TEXT_BYTES];
    int n = 0;

    for (int precision = 0; precision <= 16; precision++) {
        snprintf(text, sizeof text, "%.*e", precision, value);
        for (char *p = text; *p; p++)          /* a locale may have another decimal point */
            if (*p != 'e' && *p != '-' && *p != '+' && (*p < '0' || *p > '9'))
                *p = '.';
        n = 0;
        double near = 0;
        for (const char *p = text; *p && *p != 'e'; p++)
            if (*p != '.')
                digits[n++] = *p;
        *exponent = atoi(strchr(text, 'e') + 1);
        /* Read back without a point, so that no locale matters. */
        snprintf(text, sizeof text, "%.*se%d", n, digits, *exponent - (n - 1));
        near = strtod(text, NULL);
        if (same_number(dtype, value, near))
            break;
    }
    while (n > 1 && digits[n - 1] == '0')
        n--;
    return n;
}

/* Shortest digits that read back as the same value, in Python's form: a point always, an exponent below 1e-4 and from
 * 1e16 on. Returns the length. These are the rules of Python's repr(), which NumPy's astype(str) and so the standard's
 * test cases follow. */
static int write_float(char *text, ingot_dtype dtype, double value)
{
    char digits[TEXT_BYTES];
    int exponent, at = 0;

    if (isnan(value) || isinf(value))
        return snprintf(text, TEXT_BYTES, "%s", isnan(value) ? "nan" : value > 0 ? "inf" : "-inf");
    if (signbit(value))
        text[at++] = '-';
    if (value == 0)
        return at + snprintf(text + at, TEXT_BYTES - 1, "0.0");
    const int n = find_digits(dtype, fabs(value), digits, &exponent);
    if (exponent < -4 || exponent >= 16)
        return at + snprintf(text + at, TEXT_BYTES - 1, "%c%s%.*se%+03d", digits[0], n > 1 ? "." : "", n - 1,
                             digits + 1, exponent);
    /* Positional: from the highest place to the lowest digit, at least to one place after the point. */
    for (int place = MAX(exponent, 0); place >= MIN(exponent - n + 1, -1); place--) {
        const int i = exponent - place;        /* the digit at 10^place */
        if (place == -1)
            text[at++] = '.';
        text[at++] = i >= 0 && i < n ? digits[i] : '0';
    }
    return at;
}

/* Element i as numpy's astype(str) writes it: True and False for bool, digits for integers. `in` is not text or
 * complex. Integers of 2 and 4 bits have no reader of their own, so they go through double, exactly. */
static int write_number(char *text, const ingot_tensor *in, int64_t i)
{
    if (in->dtype == INGOT_BOOL)
        return snprintf(text, TEXT_BYTES, "%s", ingot_int_at(in, i) ? "True" : "False");
    if (in->dtype == INGOT_UINT64)
        return snprintf(text, TEXT_BYTES, "%llu", (unsigned long long)ingot_int_at(in, i));
    if (ingot_is_integer(in->dtype))
        return snprintf(text, TEXT_BYTES, "%lld", (long long)ingot_int_at(in, i));
    const ingot_conversion widen = { .from = in->dtype, .to = INGOT_DOUBLE };
    double value;
    ingot_convert(&widen, &value, (const char *)in->data + (size_t)i * ingot_dtype_size_bytes(in->dtype), 1);
    if (in->dtype == INGOT_INT4 || in->dtype == INGOT_UINT4 || in->dtype == INGOT_INT2 || in->dtype == INGOT_UINT2)
        return snprintf(text, TEXT_BYTES, "%d", (int)value);
    return write_float(text, in->dtype, value);
}

/* All texts share one allocation that lives as long as the run; n * TEXT_BYTES is checked for overflow. LIMIT where
 * memory is out. */
ingot_status ingot_run_to_text(ingot_op_ctx *c)
{
    const ingot_tensor *in = c->in[0];
    ingot_string *out = c->out[0]->data;
    const int64_t n = ingot_count(in);
    size_t size_bytes;
    char *text = ingot_mul_size((size_t)n, TEXT_BYTES, &size_bytes) ? ingot_run_alloc(c, size_bytes) : NULL;

    if (!text)
        return ingot_op_out_of_memory(c);
    for (int64_t i = 0; i < n; i++, text += TEXT_BYTES)
        out[i] = (ingot_string){ text, (size_t)write_number(text, in, i) };
    return INGOT_OK;
}

/* ---- from text ---- */

/* The number that `text` is, written to dst in the type to->to; false when it is not one, or something follows it. Text
 * of digits alone becomes an integer without a detour, since a double would lose digits past 2^53. "nan", "inf" and
 * exponents are what strtod knows. */
static bool read_number(const char *text, locale_t plain, ingot_conversion *to, void *dst)
{
    char *end;
    errno = 0;
    const long long integer = strtoll(text, &end, 10);
    const int64_t whole = integer;
    const bool exact = end != text && !*end && !errno;
    const double value = strtod_l(text, &end, plain);

    if (end == text || *end)
        return false;
    const bool to_integer = ingot_is_integer(to->to);
    to->from = exact && to_integer ? INGOT_INT64 : INGOT_DOUBLE;
    if (exact && to_integer)
        ingot_convert(to, dst, &whole, 1);
    else
        ingot_convert(to, dst, &value, 1);
    return true;
}

/* Numbers are read in the C locale whatever the process has set. BAD_INPUT, not INVALID: the model is right, the
 * text is not. */
ingot_status ingot_run_from_text(ingot_op_ctx *c, bool saturate, int round_mode)
{
    const ingot_string *in = c->in[0]->data;
    const size_t size_bytes = ingot_dtype_size_bytes(c->out[0]->dtype);
    ingot_conversion to = { .to = c->out[0]->dtype, .saturate = saturate, .round_mode = (ingot_round_mode)round_mode };
    const locale_t plain = newlocale(LC_ALL_MASK, "C", (locale_t)0);
    char text[NUMBER_BYTES], *dst = c->out[0]->data;
    ingot_status st = INGOT_OK;

    if (!plain)
        return ingot_op_out_of_memory(c);
    for (int64_t i = 0; i < ingot_count(c->in[0]) && !st; i++, dst += size_bytes) {
        /* Text is not terminated: a copy is. One that is too long for it cannot be a number that anybody wrote. */
        const size_t n = MIN(in[i].size_bytes, NUMBER_BYTES - 1);
        if (n)
            memcpy(text, in[i].data, n);
        text[n] = '\0';
        if (n != in[i].size_bytes || !read_number(text, plain, &to, dst))
            st = ingot_op_fail(c, INGOT_BAD_INPUT, "the text \"%.40s\" is not a number", text);
    }
    freelocale(plain);
    return st;
}
