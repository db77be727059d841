/* npy.c - .npy files, read and written.
 *
 * Format: "\x93NUMPY", a version (two bytes), the size of the header (two bytes, or four from version 2 on), the
 * header, which is a Python dictionary of 'descr', 'fortran_order' and 'shape', and the elements.
 * Source: NumPy, "A simple file format for NumPy arrays" (NEP 1). */
#include "cli/cli.h"

#include <stdlib.h>
#include <string.h>

/* What a header says, before anything is known to be true of it. */
typedef struct npy_header {
    char order, code; /* '<', '>' or '|', and the letter of the type */
    int64_t item_bytes;
    bool fortran_order;
    int32_t rank;
    int64_t shape[INGOT_MAX_RANK];
} npy_header;

/* What NumPy calls the element types. Raw elements (V) are what the model says they are. */
static const struct npy_type {
    char code;
    uint8_t item_bytes;
    uint8_t word_bytes; /* what byte order applies to */
    ingot_dtype dtype;
} npy_types[] = {
    {'f', 4, 4, INGOT_FLOAT},       {'f', 8, 8, INGOT_DOUBLE},          {'f', 2, 2, INGOT_FLOAT16},
    {'i', 8, 8, INGOT_INT64},       {'i', 4, 4, INGOT_INT32},           {'i', 2, 2, INGOT_INT16},
    {'i', 1, 1, INGOT_INT8},        {'u', 8, 8, INGOT_UINT64},          {'u', 4, 4, INGOT_UINT32},
    {'u', 2, 2, INGOT_UINT16},      {'u', 1, 1, INGOT_UINT8},           {'b', 1, 1, INGOT_BOOL},
    {'c', 8, 4, INGOT_COMPLEX64},   {'c', 16, 8, INGOT_COMPLEX128},     {'V', 2, 2, INGOT_BFLOAT16},
    {'V', 1, 1, INGOT_FLOAT8E4M3FN}, {'V', 1, 1, INGOT_FLOAT8E4M3FNUZ}, {'V', 1, 1, INGOT_FLOAT8E5M2},
    {'V', 1, 1, INGOT_FLOAT8E5M2FNUZ}, {'V', 1, 1, INGOT_FLOAT8E8M0},   {'V', 1, 1, INGOT_FLOAT4E2M1},
    {'V', 1, 1, INGOT_FLOAT6E2M3},  {'V', 1, 1, INGOT_FLOAT6E3M2},
    {'i', 1, 1, INGOT_INT4},        {'i', 1, 1, INGOT_INT2},            {'u', 1, 1, INGOT_UINT4},
    {'u', 1, 1, INGOT_UINT2},       {'V', 1, 1, INGOT_INT4},            {'V', 1, 1, INGOT_INT2},
    {'V', 1, 1, INGOT_UINT4},       {'V', 1, 1, INGOT_UINT2},           {'f', 1, 1, INGOT_FLOAT8E5M2},
};
enum { N_NPY_TYPES = sizeof npy_types / sizeof *npy_types };

/* ---- the header ------------------------------------------------------------------------------------------------- */

/* The part of the header that is not read yet. */
typedef struct cursor {
    const char *at, *end;
} cursor;

/* NumPy pads its header with spaces and ends it with a line feed. */
static void skip_space(cursor *c)
{
    while (c->at < c->end && (*c->at == ' ' || *c->at == '\n' || *c->at == '\t'))
        c->at++;
}

/* Step over one character, if it is the next. */
static bool take(cursor *c, char wanted)
{
    skip_space(c);
    if (c->at == c->end || *c->at != wanted)
        return false;
    c->at++;
    return true;
}

/* Step over a word, if it is the next: True or False. */
static bool take_word(cursor *c, const char *word)
{
    const size_t n = strlen(word);
    skip_space(c);
    if ((size_t)(c->end - c->at) < n || memcmp(c->at, word, n))
        return false;
    c->at += n;
    return true;
}

/* A Python string without escapes, in either kind of quotes. */
static bool take_string(cursor *c, char *text, size_t capacity)
{
    const char quote = take(c, '\'') ? '\'' : take(c, '"') ? '"' : 0;
    const char *close = quote ? memchr(c->at, quote, (size_t)(c->end - c->at)) : NULL;
    const size_t n = close ? (size_t)(close - c->at) : 0;
    if (!close || n >= capacity)
        return false;
    memcpy(text, c->at, n);
    text[n] = 0;
    c->at = close + 1;
    return true;
}

/* A number that is not negative; false where it does not fit 64 bits. */
static bool take_int(cursor *c, int64_t *value)
{
    skip_space(c);
    const char *start = c->at;
    *value = 0;
    for (; c->at < c->end && *c->at >= '0' && *c->at <= '9'; c->at++)
        if (__builtin_mul_overflow(*value, 10, value) || __builtin_add_overflow(*value, *c->at - '0', value))
            return false;
    const bool any = c->at > start;
    if (any && c->at < c->end && *c->at == 'L') /* Python 2 wrote its long integers so */
        c->at++;
    return any;
}

/* "(2, 3)", "(3,)" or "()"; at most INGOT_MAX_RANK numbers. */
static bool take_shape(cursor *c, npy_header *h)
{
    if (!take(c, '('))
        return false;
    for (h->rank = 0; !take(c, ')'); h->rank++) {
        if (h->rank == INGOT_MAX_RANK || !take_int(c, &h->shape[h->rank]))
            return false;
        if (!take(c, ',')) {
            h->rank++;
            return take(c, ')');
        }
    }
    return true;
}

/* "<f4" and the like */
static bool take_descr(cursor *c, npy_header *h)
{
    char descr[24];
    if (!take_string(c, descr, sizeof descr) || strlen(descr) < 2)
        return false;
    const bool ordered = strchr("<>|=", descr[0]);
    cursor digits = {descr + 1 + ordered, descr + strlen(descr)};
    h->order = ordered ? descr[0] : '=';
    h->code = descr[ordered];
    h->item_bytes = 0; /* "|O" has none */
    return digits.at == digits.end || (take_int(&digits, &h->item_bytes) && digits.at == digits.end);
}

/* The three keys, in any order and nothing else. `structured` is set where 'descr' is a list of fields, for a better
 * message. */
static bool parse_header(cursor *c, npy_header *h, bool *structured)
{
    char key[24];
    unsigned seen = 0;
    if (!take(c, '{'))
        return false;
    while (!take(c, '}')) {
        if (!take_string(c, key, sizeof key) || !take(c, ':'))
            return false;
        if (!strcmp(key, "descr")) {
            seen |= 1;
            skip_space(c);
            if (c->at < c->end && *c->at == '[')
                *structured = true;
            if (!take_descr(c, h))
                return false;
        } else if (!strcmp(key, "fortran_order")) {
            seen |= 2;
            h->fortran_order = take_word(c, "True");
            if (!h->fortran_order && !take_word(c, "False"))
                return false;
        } else if (!strcmp(key, "shape")) {
            seen |= 4;
            if (!take_shape(c, h))
                return false;
        } else {
            return false;
        }
        if (!take(c, ',')) {
            if (!take(c, '}'))
                return false;
            break;
        }
    }
    return seen == 7;
}

/* Find the header's text; `offset` receives where the elements begin. */
static bool find_header(const uint8_t *data, size_t size, cursor *c, size_t *offset)
{
    if (size < 10 || memcmp(data, "\x93NUMPY", 6) || data[6] < 1 || data[6] > 3)
        return false;
    const size_t prefix = data[6] == 1 ? 10 : 12;
    if (size < prefix)
        return false;
    size_t n = (size_t)data[8] | (size_t)data[9] << 8;
    if (prefix == 12)
        n |= (size_t)data[10] << 16 | (size_t)data[11] << 24;
    if (n > size - prefix)
        return false;
    *c = (cursor){(const char *)data + prefix, (const char *)data + prefix + n};
    *offset = prefix + n;
    return true;
}

/* ---- elements --------------------------------------------------------------------------------------------------- */

/* From big-endian to the order of this machine, in place. Complex numbers are two words each; types of one byte
 * stay. */
static void reverse_words(uint8_t *data, size_t n_bytes, size_t word)
{
    for (size_t i = 0; word > 1 && i + word <= n_bytes; i += word)
        for (size_t a = 0; a < word / 2; a++) {
            const uint8_t byte = data[i + a];
            data[i + a] = data[i + word - 1 - a];
            data[i + word - 1 - a] = byte;
        }
}

/* Copy n items to row-major order, from column-major order where the header says so. */
static void copy_items(uint8_t *dst, const uint8_t *src, size_t n, size_t item, const npy_header *h)
{
    size_t strides[INGOT_MAX_RANK], index[INGOT_MAX_RANK] = {0}, at = 0, step = 1;
    if (!h->fortran_order || h->rank < 2) {
        memcpy(dst, src, n * item);
        return;
    }
    for (int32_t d = 0; d < h->rank; d++) {
        strides[d] = step;
        step *= (size_t)h->shape[d];
    }
    for (size_t i = 0; i < n; i++) {
        memcpy(dst + i * item, src + at * item, item);
        for (int32_t d = h->rank - 1; d >= 0; d--) {
            at += strides[d];
            if (++index[d] < (size_t)h->shape[d])
                break;
            at -= index[d] * strides[d];
            index[d] = 0;
        }
    }
}

/* 2- and 4-bit types take a byte each and must not hold more than their bits; a bool is 0 or 1. */
static bool check_narrow(ingot_dtype dtype, uint8_t *data, size_t n)
{
    static const int8_t ranges[INGOT_N_DTYPES][2] = {
        [INGOT_INT4] = {-8, 7}, [INGOT_UINT4] = {0, 15}, [INGOT_INT2] = {-2, 1}, [INGOT_UINT2] = {0, 3},
        [INGOT_FLOAT4E2M1] = {0, 15}, [INGOT_FLOAT6E2M3] = {0, 63}, [INGOT_FLOAT6E3M2] = {0, 63},
    };
    for (size_t i = 0; dtype == INGOT_BOOL && i < n; i++)
        data[i] = data[i] != 0;
    for (size_t i = 0; ranges[dtype][1] && i < n; i++)
        if ((int8_t)data[i] < ranges[dtype][0] || (int8_t)data[i] > ranges[dtype][1])
            return false;
    return true;
}

/* Append a code point that has been checked. Returns the number of bytes, 1 to 4. */
static size_t put_utf8(char *out, uint32_t code)
{
    if (code < 0x80) {
        out[0] = (char)code;
        return 1;
    }
    const size_t n = code < 0x800 ? 2 : code < 0x10000 ? 3 : 4;
    for (size_t i = n; i-- > 1; code >>= 6)
        out[i] = (char)(0x80 | (code & 0x3f));
    out[0] = (char)((0xf00 >> n & 0xff) | code);
    return n;
}

/* "<U5" (four bytes a character) and "|S5", both padded with zeros. The text goes behind the strings, as UTF-8; what
 * is after a string's last character that is not zero is left out. */
static ingot_status decode_strings(const char *name, const uint8_t *src, size_t n, const npy_header *h,
                                   cli_value *value, ingot_error *error)
{
    const size_t unit = h->code == 'U' ? 4 : 1, length = (size_t)h->item_bytes;
    const ingot_status st = cli_value_alloc(value, n * length * unit, error);
    if (st)
        return st;
    ingot_string *strings = value->tensor.data;
    char *text = (char *)(strings + n);
    for (size_t i = 0; i < n; i++, src += length * unit) {
        size_t used = 0, k = length;
        while (k && !src[(k - 1) * unit] && (unit == 1 || !memcmp(src + (k - 1) * unit, "\0\0\0", 4)))
            k--;
        for (size_t j = 0; j < k; j++) {
            const uint8_t *p = src + j * unit;
            const bool big = h->order == '>';
            const uint32_t code = unit == 1 ? p[0]
                                  : big ? (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3]
                                        : (uint32_t)p[3] << 24 | (uint32_t)p[2] << 16 | (uint32_t)p[1] << 8 | p[0];
            if (unit == 4 && (code > 0x10ffff || (code >= 0xd800 && code < 0xe000)))
                return cli_fail_file(error, INGOT_BAD_INPUT, name, "holds a character that is not Unicode");
            if (unit == 1)
                text[used++] = (char)code;
            else
                used += put_utf8(text + used, code);
        }
        strings[i] = (ingot_string){text, used};
        text += used;
    }
    if (h->fortran_order && h->rank > 1) {
        ingot_string *copy = malloc((n + 1) * sizeof *copy);
        if (!copy)
            return cli_fail_file(error, INGOT_LIMIT, name, "out of memory");
        memcpy(copy, strings, n * sizeof *copy);
        copy_items((uint8_t *)strings, (const uint8_t *)copy, n, sizeof *copy, h);
        free(copy);
    }
    return INGOT_OK;
}

/* The type that the model wants where the file's bytes can be that; else the type that the file says. NULL: neither. */
static const struct npy_type *find_type(const npy_header *h, ingot_dtype wanted)
{
    const struct npy_type *found = NULL;
    for (size_t i = 0; i < N_NPY_TYPES; i++) {
        const struct npy_type *t = &npy_types[i];
        if (t->code != h->code || t->item_bytes != h->item_bytes)
            continue;
        if (t->dtype == wanted)
            return t;
        if (!found && t->code != 'V') /* raw bytes mean nothing unless the model says what */
            found = t;
    }
    return found;
}

/* Everything is checked before memory is allocated: the shape times the item must be exactly the bytes that are
 * there. */
ingot_status cli_npy_decode(const char *name, const uint8_t *data, size_t size_bytes, ingot_dtype wanted,
                            cli_value *value, ingot_error *error)
{
    /* the header, and the type that its letters name */
    npy_header h = {0};
    cursor c;
    size_t offset = 0;
    bool structured = false;
    if (!find_header(data, size_bytes, &c, &offset))
        return cli_fail_file(error, INGOT_BAD_INPUT, name, "not a .npy file");
    if (!parse_header(&c, &h, &structured))
        return cli_fail_file(error, INGOT_BAD_INPUT, name, "%s",
                             structured ? "its array has fields; give a plain one" : "malformed .npy header");
    const bool text = (h.code == 'U' || h.code == 'S') && h.item_bytes < 1 << 28;
    const struct npy_type *type = text ? NULL : find_type(&h, wanted);
    if (!type && !text)
        return cli_fail_file(error, INGOT_BAD_INPUT, name, "elements of NumPy type '%c%lld' %s", h.code,
                             (long long)h.item_bytes,
                             h.code == 'O' ? "are Python objects, which are not read" : "are not read");
    /* the shape against the bytes that are there */
    const size_t item = text ? (size_t)h.item_bytes * (h.code == 'U' ? 4 : 1) : type->item_bytes;
    uint64_t n = 1, bytes;
    for (int32_t i = 0; i < h.rank; i++)
        if (__builtin_mul_overflow(n, (uint64_t)h.shape[i], &n))
            return cli_fail_file(error, INGOT_BAD_INPUT, name, "its shape is too large");
    if (__builtin_mul_overflow(n, item, &bytes) || bytes != size_bytes - offset)
        return cli_fail_file(error, INGOT_BAD_INPUT, name, "holds %zu bytes of elements where its shape needs %llu",
                             size_bytes - offset, (unsigned long long)bytes);
    /* the elements: strings get text behind them, numbers are put in order, then in this machine's byte order */
    value->tensor = (ingot_tensor){.dtype = text ? INGOT_STRING : type->dtype, .rank = h.rank};
    memcpy(value->tensor.shape, h.shape, sizeof h.shape);
    const ingot_status st = text ? decode_strings(name, data + offset, (size_t)n, &h, value, error)
                                 : cli_value_alloc(value, 0, error);
    if (st || text) {
        if (st)
            cli_value_free(value);
        return st;
    }
    copy_items(value->tensor.data, data + offset, (size_t)n, item, &h);
    if (h.order == '>')
        reverse_words(value->tensor.data, (size_t)bytes, type->word_bytes);
    if (!check_narrow(type->dtype, value->tensor.data, (size_t)n)) {
        cli_value_free(value);
        return cli_fail_file(error, INGOT_BAD_INPUT, name, "holds values outside %s", ingot_dtype_name(type->dtype));
    }
    return INGOT_OK;
}
