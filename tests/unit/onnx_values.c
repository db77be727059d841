/* onnx_values.c - decode, encode and decode again every serialized value that is named: onnx_values [tensor|sequence|
 * optional FILE]... Then each is damaged in every way that one cut or one bit can be. Exits with 1 if any differs. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "engine/core/tensor.h"

/* Kind, type, shape and every element, through all levels. Strings are compared by their bytes. */
static bool same(const ingot_tensor *a, const ingot_tensor *b)
{
    if (a->kind != b->kind || a->dtype != b->dtype || !ingot_same_shape(a, b))
        return false;
    if (a->kind == INGOT_TENSOR && a->dtype != INGOT_STRING)
        return !memcmp(a->data, b->data, ingot_storage_bytes(a));
    for (int64_t i = 0; i < ingot_count(a); i++) {
        if (a->kind != INGOT_TENSOR) {
            if (!same((const ingot_tensor *)a->data + i, (const ingot_tensor *)b->data + i))
                return false;
            continue;
        }
        const ingot_string *s = (const ingot_string *)a->data + i, *t = (const ingot_string *)b->data + i;
        if (s->size_bytes != t->size_bytes || memcmp(s->data, t->data, s->size_bytes))
            return false;
    }
    return true;
}

/* The whole file, to be freed; NULL when it cannot be opened. */
static char *read_file(const char *path, size_t *size_bytes)
{
    FILE *file = fopen(path, "rb");
    if (!file)
        return NULL;
    fseek(file, 0, SEEK_END);
    *size_bytes = (size_t)ftell(file);
    rewind(file);
    char *data = malloc(*size_bytes + 1);
    if (data && fread(data, 1, *size_bytes, file) != *size_bytes)
        *size_bytes = 0;
    fclose(file);
    return data;
}

/* Decode, encode, decode: the two decoded values must be the same. What is wrong, or NULL; all memory is freed
 * either way. */
static const char *check(const char *data, size_t size_bytes, ingot_kind kind)
{
    ingot_tensor first, second = {0};
    ingot_error error = {0};
    void *encoded = NULL;
    size_t encoded_bytes;
    const char *wrong = NULL;
    if (ingot_tensor_decode(data, size_bytes, kind, &first, &error))
        wrong = "cannot be decoded";
    else if (ingot_tensor_encode(&first, "value", &encoded, &encoded_bytes, &error))
        wrong = "cannot be encoded";
    else if (ingot_tensor_decode(encoded, encoded_bytes, kind, &second, &error))
        wrong = "cannot be decoded after encoding";
    else if (!same(&first, &second))
        wrong = "changes when encoded and decoded";
    ingot_tensor_free(&first);
    ingot_tensor_free(&second);
    free(encoded);
    return wrong;
}

/* Every cut of the first 300 bytes of a value, and every bit of them changed: an error or a value, never a crash.
 * Each bit is put back before the next. */
static void damage(char *data, size_t size_bytes, ingot_kind kind)
{
    for (size_t i = 0; i < size_bytes && i < 300; i++) {
        ingot_tensor value;
        if (!ingot_tensor_decode(data, i, kind, &value, NULL))
            ingot_tensor_free(&value);
        for (int bit = 0; bit < 8; bit++) {
            data[i] = (char)(data[i] ^ 1 << bit);
            if (!ingot_tensor_decode(data, size_bytes, kind, &value, NULL))
                ingot_tensor_free(&value);
            data[i] = (char)(data[i] ^ 1 << bit);
        }
    }
}

/* Arguments: [tensor|sequence|optional FILE]... */
int main(int argc, char **argv)
{
    int n_failed = 0;
    for (int i = 1; i + 1 < argc; i += 2) {
        const ingot_kind kind = argv[i][0] == 's' ? INGOT_SEQUENCE : argv[i][0] == 'o' ? INGOT_OPTIONAL : INGOT_TENSOR;
        size_t size_bytes = 0;
        char *data = read_file(argv[i + 1], &size_bytes);
        const char *wrong = data ? check(data, size_bytes, kind) : "cannot be read";
        if (wrong)
            printf("%s %s: %s\n", argv[i], argv[i + 1], wrong);
        else
            damage(data, size_bytes, kind);
        n_failed += wrong != NULL;
        free(data);
    }
    return n_failed ? 1 : 0;
}
