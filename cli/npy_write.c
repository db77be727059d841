/* npy_write.c - writing .npy files. Types that NumPy does not have become raw elements ("|V1", "<V2"), as NumPy's own
 * extension types do; the 2- and 4-bit integers become int8 and uint8. */
#include "cli/cli.h"

#include <stdlib.h>
#include <string.h>

/* What the header calls each type; NULL: none of the types that can be written this way. */
static const char *const descrs[INGOT_N_DTYPES] = {
    [INGOT_FLOAT] = "<f4",        [INGOT_UINT8] = "|u1",        [INGOT_INT8] = "|i1",
    [INGOT_UINT16] = "<u2",       [INGOT_INT16] = "<i2",        [INGOT_INT32] = "<i4",
    [INGOT_INT64] = "<i8",        [INGOT_BOOL] = "|b1",         [INGOT_FLOAT16] = "<f2",
    [INGOT_DOUBLE] = "<f8",       [INGOT_UINT32] = "<u4",       [INGOT_UINT64] = "<u8",
    [INGOT_COMPLEX64] = "<c8",    [INGOT_COMPLEX128] = "<c16",  [INGOT_BFLOAT16] = "<V2",
    [INGOT_FLOAT8E4M3FN] = "|V1", [INGOT_FLOAT8E4M3FNUZ] = "|V1", [INGOT_FLOAT8E5M2] = "|V1",
    [INGOT_FLOAT8E5M2FNUZ] = "|V1", [INGOT_FLOAT4E2M1] = "|V1", [INGOT_FLOAT8E8M0] = "|V1",
    [INGOT_UINT4] = "|u1",        [INGOT_INT4] = "|i1",         [INGOT_UINT2] = "|u1",
    [INGOT_INT2] = "|i1",         [INGOT_FLOAT6E2M3] = "|V1",   [INGOT_FLOAT6E3M2] = "|V1",
};

/* Strings as "<Un", n being the longest in characters; what is not UTF-8 becomes U+FFFD. */
static ingot_status encode_strings(const ingot_tensor *tensor, size_t *length, uint32_t **codes, ingot_error *error)
{
    const ingot_string *strings = tensor->data;
    const size_t n = (size_t)ingot_tensor_count(tensor);
    size_t size;
    *length = 1;
    for (size_t i = 0; i < n; i++) {
        size_t count = 0;
        const char *at = strings[i].data, *end = at + strings[i].size_bytes;
        for (; at < end; count++)
            cli_next_code_point(&at, end);
        *length = count > *length ? count : *length;
    }
    if (__builtin_mul_overflow(n, *length * sizeof **codes, &size) || size > cli_limit_bytes() ||
        !(*codes = calloc(size / sizeof **codes + 1, sizeof **codes)))
        return cli_fail(error, INGOT_LIMIT, "out of memory for strings");
    for (size_t i = 0; i < n; i++) {
        const char *at = strings[i].data, *end = at + strings[i].size_bytes;
        for (uint32_t *code = *codes + i * *length; at < end; code++) {
            const int32_t next = cli_next_code_point(&at, end);
            *code = next < 0 ? 0xfffd : (uint32_t)next;
        }
    }
    return INGOT_OK;
}

/* The header is padded with spaces so that the elements begin at a multiple of 64. Returns its size. */
static size_t write_header(char *out, size_t capacity, const char *descr, const ingot_tensor *tensor)
{
    size_t used = 10;
    used += (size_t)snprintf(out + used, capacity - used, "{'descr': '%s', 'fortran_order': False, 'shape': (", descr);
    for (int32_t i = 0; i < tensor->rank; i++)
        used += (size_t)snprintf(out + used, capacity - used, "%lld,%s", (long long)tensor->shape[i],
                                 i + 1 < tensor->rank ? " " : "");
    used += (size_t)snprintf(out + used, capacity - used, "), }");
    const size_t padded = (used + 1 + 63) / 64 * 64;
    memset(out + used, ' ', padded - used);
    out[padded - 1] = '\n';
    memcpy(out, "\x93NUMPY\x01\x00", 8);
    out[8] = (char)((padded - 10) & 0xff);
    out[9] = (char)((padded - 10) >> 8);
    return padded;
}

/* Always little-endian and row-major, version 1 of the format, which every reader knows. */
ingot_status cli_npy_write(const char *path, const ingot_tensor *tensor, ingot_error *error)
{
    char header[640], text_descr[40];
    const char *descr = (unsigned)tensor->dtype < INGOT_N_DTYPES ? descrs[tensor->dtype] : NULL;
    size_t item = ingot_dtype_size_bytes(tensor->dtype);
    uint32_t *codes = NULL;
    ingot_status st;
    if (tensor->kind != INGOT_TENSOR)
        return cli_fail_file(error, INGOT_USAGE, path, "a .npy file holds one tensor; use --format pb for this value");
    if (tensor->dtype == INGOT_STRING) {
        size_t length;
        if ((st = encode_strings(tensor, &length, &codes, error)))
            return st;
        item = length * sizeof *codes;
        snprintf(text_descr, sizeof text_descr, "<U%zu", length);
        descr = text_descr;
    }
    if (!descr)
        return cli_fail_file(error, INGOT_UNSUPPORTED, path, "a value of undefined type cannot be written");
    /* header and elements, without a copy of either */
    const size_t n_header = write_header(header, sizeof header, descr, tensor);
    const size_t size = (size_t)ingot_tensor_count(tensor) * item;
    st = cli_write_file(path, (cli_bytes[]){{header, n_header}, {codes ? codes : tensor->data, size}}, 2, error);
    free(codes);
    return st;
}
