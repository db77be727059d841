/* safetensors.c - .safetensors files: the length of a header in eight bytes, the header, which is a JSON object of name
 * to
 * {"dtype", "shape", "data_offsets"}, then the elements, little-endian and without gaps.
 * Source: the safetensors format, github.com/huggingface/safetensors. */
#include "cli/cli.h"

#include <json-c/json.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

enum { MOST_HEADER_BYTES = 1 << 23, MOST_DEPTH = 8 };

static const struct {
    const char *name;
    ingot_dtype dtype;
} types[] = {
    {"F64", INGOT_DOUBLE},         {"F32", INGOT_FLOAT},
    {"F16", INGOT_FLOAT16},        {"BF16", INGOT_BFLOAT16},
    {"I64", INGOT_INT64},          {"I32", INGOT_INT32},
    {"I16", INGOT_INT16},          {"I8", INGOT_INT8},
    {"U64", INGOT_UINT64},         {"U32", INGOT_UINT32},
    {"U16", INGOT_UINT16},         {"U8", INGOT_UINT8},
    {"BOOL", INGOT_BOOL},          {"F8_E4M3", INGOT_FLOAT8E4M3FN},
    {"F8_E5M2", INGOT_FLOAT8E5M2}, {"F8_E8M0", INGOT_FLOAT8E8M0},
    {"C64", INGOT_COMPLEX64},
};

/* A whole number that is not negative; -1 for anything else. */
static int64_t take_size(json_object *number)
{
    const int64_t value = json_object_is_type(number, json_type_int) ? json_object_get_int64(number) : -1;
    return value < 0 || value == INT64_MAX ? -1 : value;
}

/* Fill an entry from its description; false where that is not sound. n_data: bytes behind the header. */
static bool read_entry(json_object *about, uint64_t data_start, uint64_t n_data, cli_entry *entry)
{
    json_object *dtype, *shape, *offsets;
    if (!json_object_object_get_ex(about, "dtype", &dtype) || !json_object_is_type(dtype, json_type_string) ||
        !json_object_object_get_ex(about, "shape", &shape) || !json_object_is_type(shape, json_type_array) ||
        !json_object_object_get_ex(about, "data_offsets", &offsets) || !json_object_is_type(offsets, json_type_array) ||
        json_object_array_length(offsets) != 2 || json_object_array_length(shape) > INGOT_MAX_RANK)
        return false;
    for (size_t i = 0; i < sizeof types / sizeof *types; i++)
        if (!strcmp(types[i].name, json_object_get_string(dtype)))
            entry->dtype = types[i].dtype;
    const int64_t begin = take_size(json_object_array_get_idx(offsets, 0));
    const int64_t end = take_size(json_object_array_get_idx(offsets, 1));
    if (!entry->dtype || begin < 0 || end < begin || (uint64_t)end > n_data)
        return false;
    entry->start = data_start + (uint64_t)begin;
    entry->size_bytes = (uint64_t)(end - begin);
    entry->rank = (int32_t)json_object_array_length(shape);
    uint64_t size = ingot_dtype_size_bytes(entry->dtype);
    int64_t stride = 1;
    for (int32_t i = entry->rank - 1; i >= 0; i--) {
        entry->shape[i] = take_size(json_object_array_get_idx(shape, (size_t)i));
        entry->strides[i] = stride;
        if (entry->shape[i] < 0 || __builtin_mul_overflow(size, (uint64_t)entry->shape[i], &size) ||
            __builtin_mul_overflow(stride, entry->shape[i], &stride))
            return false;
    }
    return size == entry->size_bytes;
}

static int by_place(const void *a, const void *b)
{
    const cli_entry *x = a, *y = b;
    return x->start != y->start ? (x->start > y->start) - (x->start < y->start)
                                : (x->size_bytes > y->size_bytes) - (x->size_bytes < y->size_bytes);
}

/* Entries in the order of their bytes, which have to fill the file: no tensor may lie in another, nothing between. */
static ingot_status list_entries(cli_bundle *bundle, json_object *header, uint64_t start, uint64_t n_data,
                                 ingot_error *error)
{
    uint64_t at = start;
    bundle->entries = calloc((size_t)json_object_object_length(header) + 1, sizeof *bundle->entries);
    if (!bundle->entries)
        return cli_fail_file(error, INGOT_LIMIT, bundle->path, "out of memory");
    json_object_object_foreach(header, key, about)
    {
        cli_entry *entry = &bundle->entries[bundle->n];
        if (!strcmp(key, "__metadata__"))
            continue;
        if (!read_entry(about, start, n_data, entry))
            return cli_fail_file(error, INGOT_BAD_INPUT, bundle->path,
                                 "tensor '%s' has a type, shape or place that does not fit the file",
                                 cli_printable(key));
        if (!(entry->key = strdup(key)))
            return cli_fail_file(error, INGOT_LIMIT, bundle->path, "out of memory");
        bundle->n++;
    }
    qsort(bundle->entries, bundle->n, sizeof *bundle->entries, by_place);
    for (size_t i = 0; i < bundle->n && bundle->entries[i].start == at; i++)
        at += bundle->entries[i].size_bytes;
    if (at != start + n_data)
        return cli_fail_file(error, INGOT_BAD_INPUT, bundle->path, "its tensors overlap or leave bytes unused");
    return INGOT_OK;
}

/* json-c stops at MOST_DEPTH levels, and takes some twenty bytes for each byte of the header. */
static ingot_status parse_header(cli_bundle *bundle, const uint8_t *text, uint64_t n, uint64_t n_data,
                                 ingot_error *error)
{
    json_tokener *tokener = json_tokener_new_ex(MOST_DEPTH);
    if (!tokener)
        return cli_fail_file(error, INGOT_LIMIT, bundle->path, "out of memory");
    json_object *header = json_tokener_parse_ex(tokener, (const char *)text, (int)n);
    ingot_status st;
    if (json_tokener_get_error(tokener) != json_tokener_success || !json_object_is_type(header, json_type_object))
        st = cli_fail_file(error, INGOT_BAD_INPUT, bundle->path,
                           "not a .safetensors file: its header is no JSON object");
    else
        st = list_entries(bundle, header, 8 + n, n_data, error);
    json_object_put(header);
    json_tokener_free(tokener);
    return st;
}

/* Only the header is read here. */
ingot_status cli_safetensors_list(cli_bundle *bundle, ingot_error *error)
{
    struct stat about;
    uint8_t *text, length[8];
    uint64_t n = 0;
    if (stat(bundle->path, &about))
        return cli_fail_file(error, INGOT_IO, bundle->path, "cannot open it");
    const uint64_t size = about.st_size < 0 ? 0 : (uint64_t)about.st_size;
    ingot_status st = size < 8 ? cli_fail_file(error, INGOT_BAD_INPUT, bundle->path, "not a .safetensors file")
                               : cli_read_range(bundle->path, 0, 8, length, error);
    for (int i = 0; i < 8 && !st; i++)
        n |= (uint64_t)length[i] << 8 * i;
    if (!st && n > size - 8)
        st = cli_fail_file(error, INGOT_BAD_INPUT, bundle->path, "its header reaches past the end of the file");
    if (!st && n > MOST_HEADER_BYTES)
        st = cli_fail_file(error, INGOT_LIMIT, bundle->path, "its header of %llu bytes is too large",
                           (unsigned long long)n);
    if (st)
        return st;
    if (!(text = malloc((size_t)n + 1)))
        return cli_fail_file(error, INGOT_LIMIT, bundle->path, "out of memory");
    st = cli_read_range(bundle->path, 8, (size_t)n, text, error);
    if (!st)
        st = parse_header(bundle, text, n, size - 8 - n, error);
    free(text);
    return st;
}
