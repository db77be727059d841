/* hash.c - FNV-1a over 64 bits (Fowler, Noll, Vo): a few lines, the same everywhere, good enough to tell two results
 * apart. */
#include "cli/cli.h"

enum { MOST_DEPTH = 8 }; /* of sequences in optionals in sequences */

/* One byte at a time: an xor and a product modulo 2^64. */
uint64_t cli_hash(const void *data, size_t size_bytes, uint64_t start)
{
    const unsigned char *bytes = data;
    for (size_t i = 0; i < size_bytes; i++)
        start = (start ^ bytes[i]) * UINT64_C(0x100000001b3);
    return start;
}

/* Type, shape and elements; calls itself for the items of sequences and the like. */
static uint64_t hash_value(const ingot_tensor *t, uint64_t hash, int depth)
{
    const int32_t head[] = {(int32_t)t->dtype, t->kind, t->rank};
    const int64_t n = t->kind == INGOT_TENSOR ? ingot_tensor_count(t) : t->kind == INGOT_MAP ? 2 : t->shape[0];
    hash = cli_hash(head, sizeof head, hash);
    hash = cli_hash(t->shape, (size_t)t->rank * sizeof *t->shape, hash);
    for (int64_t i = 0; i < n && t->kind != INGOT_TENSOR && depth < MOST_DEPTH; i++)
        hash = hash_value((const ingot_tensor *)t->data + i, hash, depth + 1);
    if (t->kind != INGOT_TENSOR)
        return hash;
    if (t->dtype != INGOT_STRING)
        return cli_hash(t->data, (size_t)n * ingot_dtype_size_bytes(t->dtype), hash);
    for (int64_t i = 0; i < n; i++) {
        const ingot_string *string = (const ingot_string *)t->data + i;
        hash = cli_hash(&string->size_bytes, sizeof string->size_bytes, hash);
        hash = cli_hash(string->data, string->size_bytes, hash);
    }
    return hash;
}

uint64_t cli_hash_tensor(const ingot_tensor *tensor, uint64_t start) { return hash_value(tensor, start, 0); }
