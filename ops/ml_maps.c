/* ml_maps.c - operators with maps: ZipMap, DictVectorizer, CastMap. A map is two items: its keys, a tensor of rank 1,
 * and its values, a sequence of scalars (or a tensor of rank 1, where it comes from a caller). */
#include <stdlib.h>
#include <string.h>

#include "ops/cast_text.h"
#include "ops/ml.h"
#include "ops/scalar.h"

/* Run memory is asked for in sizes that the data give, so that it can run out in the midst of a run. */
/* ---- ZipMap: every row of scores becomes a map from labels to scores ---- */

/* A label for each column of X; the output is a sequence of maps, of which only the element type is known. */
static ingot_status infer_zip(ingot_op_ctx *c)
{
    int64_t n, width;
    const ingot_ml_labels labels = ingot_ml_read_labels(c, "classlabels_int64s");
    const ingot_status st = ingot_ml_rows(c, &n, &width);

    if (st)
        return st;
    if (labels.n != width)
        return ingot_op_fail(c, INGOT_INVALID, "%lld labels for %lld scores", (long long)labels.n, (long long)width);
    return ingot_out_unknown(c, 0, INGOT_SEQUENCE, INGOT_FLOAT);
}

/* A sequence of n maps. All maps share one tensor of keys, the labels. Scores are copied, since the maps outlive
 * them. Memory: n maps, then two parts for each; an item for every score. */
static ingot_status run_zip(ingot_op_ctx *c)
{
    const ingot_ml_labels labels = ingot_ml_read_labels(c, "classlabels_int64s");
    int64_t n, width;
    const ingot_status st = ingot_ml_rows(c, &n, &width);
    size_t n_scores, item_bytes, map_bytes;

    if (st)
        return st;
    /* Sizes come from the data and are counted with care. */
    if (!ingot_mul_size((size_t)n, (size_t)width, &n_scores) ||
        !ingot_mul_size(n_scores, sizeof(ingot_tensor), &item_bytes) ||
        !ingot_mul_size((size_t)n, 3 * sizeof(ingot_tensor), &map_bytes))
        return ingot_op_out_of_memory(c);
    const ingot_tensor keys = { .dtype = ingot_ml_label_dtype(&labels), .rank = 1, .shape = { width },
                                .data = labels.ints ? (void *)(uintptr_t)labels.ints
                                                    : (void *)(uintptr_t)labels.strings };
    ingot_tensor *maps = ingot_run_alloc(c, map_bytes), *items = ingot_run_alloc(c, item_bytes);
    float *scores = ingot_run_alloc(c, n_scores * sizeof *scores);
    if (!maps || !items || !scores)
        return ingot_op_out_of_memory(c);
    if (n_scores)
        memcpy(scores, c->in[0]->data, n_scores * sizeof *scores);
    for (int64_t i = 0; i < n * width; i++)
        items[i] = (ingot_tensor){ .dtype = INGOT_FLOAT, .data = &scores[i] };
    /* Each map is its two parts: the shared keys, and a sequence of the row's scores. */
    for (int64_t row = 0; row < n; row++) {
        ingot_tensor *parts = maps + n + 2 * row;
        parts[0] = keys;
        parts[1] = (ingot_tensor){ .dtype = INGOT_FLOAT, .kind = INGOT_SEQUENCE, .rank = 1, .shape = { width },
                                   .data = items + row * width };
        maps[row] = (ingot_tensor){ .dtype = INGOT_FLOAT, .kind = INGOT_MAP, .rank = 1, .shape = { 2 }, .data = parts };
    }
    *c->out[0] = (ingot_tensor){ .dtype = INGOT_FLOAT, .kind = INGOT_SEQUENCE, .rank = 1, .shape = { n },
                                 .data = maps };
    return INGOT_OK;
}

/* ---- reading maps ---- */

/* The keys of the input, and their number. Another kind of value is INVALID; a map whose parts do not fit each other
 * is BAD_INPUT, as a caller may have made it. After this check value_of may be used for every i < n. */
static ingot_status read_map(ingot_op_ctx *c, const ingot_tensor **keys, int64_t *n)
{
    const ingot_tensor *parts = c->in[0]->data;

    if (c->in[0]->kind != INGOT_MAP)
        return ingot_op_fail(c, INGOT_INVALID, "the input is not a map");
    *keys = &parts[0];
    *n = ingot_count(&parts[0]);
    if (parts[1].kind == INGOT_SEQUENCE ? parts[1].shape[0] != *n : ingot_count(&parts[1]) != *n)
        return ingot_op_fail(c, INGOT_BAD_INPUT, "a map of other keys than values");
    for (int64_t i = 0; i < *n && parts[1].kind == INGOT_SEQUENCE; i++) {
        const ingot_tensor *item = (const ingot_tensor *)parts[1].data + i;
        if (item->kind != INGOT_TENSOR || ingot_count(item) != 1 || item->dtype != parts[1].dtype)
            return ingot_op_fail(c, INGOT_BAD_INPUT, "value %lld of the map is not one element", (long long)i);
    }
    return INGOT_OK;
}

/* Value i of the map: the tensor that holds it, and where. */
static const ingot_tensor *value_of(const ingot_op_ctx *c, int64_t i, int64_t *at)
{
    const ingot_tensor *values = (const ingot_tensor *)c->in[0]->data + 1;
    const bool items = values->kind == INGOT_SEQUENCE;

    *at = items ? 0 : i;
    return items ? (const ingot_tensor *)values->data + i : values;
}

/* ---- DictVectorizer: the values of the vocabulary's keys, in its order ---- */

/* A vector of as many elements as the vocabulary, of the type of the map's values. Exactly one of the two
 * vocabularies must be given. */
static ingot_status infer_dict(ingot_op_ctx *c)
{
    int64_t n_ints, n_strings;

    ingot_ml_ints(c, "int64_vocabulary", &n_ints);
    ingot_ml_strings(c, "string_vocabulary", &n_strings);
    if (!n_ints == !n_strings)
        return ingot_op_fail(c, INGOT_INVALID, "one of int64_vocabulary and string_vocabulary must be given");
    return ingot_out(c, 0, c->in[0]->dtype, 1, (int64_t[]){ MAX(n_ints, n_strings) });
}

/* Does the map's key i equal entry k of the vocabulary? */
static bool same_key(const ingot_tensor *keys, int64_t i, const int64_t *ints, const ingot_string *strings, int64_t k)
{
    if (ints)
        return ingot_int_at(keys, i) == ints[k];
    const ingot_string *key = (const ingot_string *)keys->data + i;
    return key->size_bytes == strings[k].size_bytes &&
           (!key->size_bytes || !memcmp(key->data, strings[k].data, key->size_bytes));
}

/* Y[k] is the value at key vocabulary[k]. A key that the map does not have gives 0, or the empty string. The first of
 * equal keys counts. */
static ingot_status run_dict(ingot_op_ctx *c)
{
    int64_t n_ints, n_strings, n_keys = 0, at;
    const int64_t *ints = ingot_ml_ints(c, "int64_vocabulary", &n_ints);
    const ingot_string *strings = ingot_ml_strings(c, "string_vocabulary", &n_strings);
    const ingot_tensor *keys = NULL;
    const ingot_status st = read_map(c, &keys, &n_keys);

    if (st)
        return st;
    if ((keys->dtype == INGOT_STRING) != (strings != NULL))
        return ingot_op_fail(c, INGOT_BAD_INPUT, "the map's keys are of another type than the vocabulary");
    const ingot_tensor *out = c->out[0];
    const size_t size = ingot_dtype_size_bytes(out->dtype);
    /* A linear search for each entry: maps have few keys. */
    for (int64_t k = 0; k < ingot_count(out); k++) {
        int64_t i = 0;
        while (i < n_keys && !same_key(keys, i, ints, strings, k))
            i++;
        char *to = (char *)out->data + (size_t)k * size;
        memset(to, 0, size);
        if (i < n_keys) {
            const ingot_tensor *value = value_of(c, i, &at);
            memcpy(to, (const char *)value->data + (size_t)at * size, size);
        } else if (out->dtype == INGOT_STRING) {
            *(ingot_string *)(void *)to = (ingot_string){ "", 0 };
        }
    }
    return INGOT_OK;
}

/* ---- CastMap: the values in the order of their keys, or at their keys ---- */

/* The attribute cast_to; UNDEFINED for a text that the standard does not have. */
static ingot_dtype cast_type(const ingot_op_ctx *c)
{
    const char *to = ingot_attr_string(c->node, "cast_to", "TO_FLOAT");
    return !strcmp(to, "TO_FLOAT")    ? INGOT_FLOAT
           : !strcmp(to, "TO_INT64")  ? INGOT_INT64
           : !strcmp(to, "TO_STRING") ? INGOT_STRING
                                      : INGOT_UNDEFINED;
}

/* SPARSE: keys are positions in a row of max_map; DENSE: values follow each other in the order of keys. */
static bool is_sparse(const ingot_op_ctx *c)
{
    return !strcmp(ingot_attr_string(c->node, "map_form", "DENSE"), "SPARSE");
}

/* (1, number of values), which only the run knows, or (1, max_map) when sparse. */
static ingot_status infer_cast(ingot_op_ctx *c)
{
    const int64_t most = ingot_attr_int(c->node, "max_map", 1);

    if (cast_type(c) == INGOT_UNDEFINED)
        return ingot_op_fail(c, INGOT_INVALID, "attribute 'cast_to' is '%.40s'",
                             ingot_attr_string(c->node, "cast_to", ""));
    if (is_sparse(c) && most < 1)
        return ingot_op_fail(c, INGOT_INVALID, "attribute 'max_map' is %lld", (long long)most);
    if (is_sparse(c))
        return ingot_out(c, 0, cast_type(c), 2, (int64_t[]){ 1, most });
    return ingot_out_unknown(c, 0, INGOT_TENSOR, cast_type(c));
}

/* A place in the order of keys: entry `index` of the map has the key. */
typedef struct ranked {
    int64_t key, index;
} ranked;

/* For qsort; entries of equal keys keep their order. */
static int by_key(const void *a, const void *b)
{
    const ranked *x = a, *y = b;
    return x->key != y->key ? (x->key > y->key) - (x->key < y->key) : (x->index > y->index) - (x->index < y->index);
}

/* The values of the map by the order of its keys, as a vector in run memory. */
static ingot_status sort_values(ingot_op_ctx *c, const ranked *order, int64_t n, ingot_tensor *values)
{
    const ingot_dtype dtype = c->in[0]->dtype;
    const size_t size = ingot_dtype_size_bytes(dtype);
    int64_t at;

    *values = (ingot_tensor){ .dtype = dtype, .rank = 1, .shape = { n }, .data = ingot_run_alloc(c, (size_t)n * size) };
    if (!values->data)
        return ingot_op_out_of_memory(c);
    for (int64_t i = 0; i < n; i++) {
        const ingot_tensor *value = value_of(c, order[i].index, &at);
        memcpy((char *)values->data + (size_t)i * size, (const char *)value->data + (size_t)at * size, size);
    }
    return INGOT_OK;
}

/* Between texts and numbers as Cast does it, by its own functions; `from` and `to` are vectors of the same length,
 * to->data is set here. Without a change of type the data are shared. */
static ingot_status convert(ingot_op_ctx *c, ingot_tensor *from, ingot_tensor *to)
{
    ingot_op_ctx sub = *c;

    sub.parent = c;
    sub.in = &from;
    sub.out = &to;
    to->data = ingot_run_alloc(c, ingot_storage_bytes(to));
    if (!to->data)
        return ingot_op_out_of_memory(c);
    if (from->dtype == to->dtype)
        to->data = from->data;
    else if (to->dtype == INGOT_STRING)
        return ingot_run_to_text(&sub);
    else if (from->dtype == INGOT_STRING)
        return ingot_run_from_text(&sub, true, 0);
    else
        for (int64_t i = 0; i < ingot_count(from); i++)
            ingot_put_double(to, i, ingot_double_at(from, i));
    return INGOT_OK;
}

/* The row of the output from the sorted, converted values. Where it is sparse, keys past its end are left out, and
 * what no key names is 0, or the text that ONNX Runtime has there. A negative key is BAD_INPUT. */
static ingot_status place(ingot_op_ctx *c, const ranked *order, const ingot_tensor *values)
{
    const size_t size = ingot_dtype_size_bytes(values->dtype);
    const int64_t width = c->out[0]->shape[1], n = ingot_count(values);
    const bool sparse = is_sparse(c);
    char *to = c->out[0]->data;

    memset(to, 0, (size_t)width * size);
    for (int64_t i = 0; i < width && sparse && values->dtype == INGOT_STRING; i++)
        ((ingot_string *)c->out[0]->data)[i] = (ingot_string){ "0.f", 3 };
    for (int64_t i = 0; i < n; i++) {
        const int64_t at = sparse ? order[i].key : i;
        if (at < 0)
            return ingot_op_fail(c, INGOT_BAD_INPUT, "the map has the key %lld", (long long)at);
        if (at < width)
            memcpy(to + (size_t)at * size, (const char *)values->data + (size_t)i * size, size);
    }
    return INGOT_OK;
}

/* Keys must be int64. A dense output gets its width here, from the map. */
static ingot_status run_cast(ingot_op_ctx *c)
{
    const ingot_tensor *keys = NULL;
    ingot_tensor values;
    int64_t n = 0;
    ingot_status st = read_map(c, &keys, &n);

    if (st)
        return st;
    if (keys->dtype != INGOT_INT64)
        return ingot_op_fail(c, INGOT_BAD_INPUT, "the map's keys are not int64");
    if (!is_sparse(c) && (st = ingot_out_resize(c, 0, cast_type(c), 2, (int64_t[]){ 1, n })))
        return st;
    /* The order of the keys, then the values in that order, converted. */
    ranked *order = ingot_run_alloc(c, (size_t)n * sizeof *order);
    if (!order)
        return ingot_op_out_of_memory(c);
    for (int64_t i = 0; i < n; i++)
        order[i] = (ranked){ ingot_int_at(keys, i), i };
    qsort(order, (size_t)n, sizeof *order, by_key);
    ingot_tensor cast = { .dtype = cast_type(c), .rank = 1, .shape = { n } };
    if ((st = sort_values(c, order, n, &values)) || (st = convert(c, &values, &cast)))
        return st;
    return place(c, order, &cast);
}

#define VALUES (INGOT_TYPE(FLOAT) | INGOT_TYPE(DOUBLE) | INGOT_TYPE(INT64) | INGOT_TYPE(STRING))
#define ML .domain = INGOT_ML_DOMAIN

const ingot_op ingot_ops_ml_maps[] = {
    { "CastMap", 1, 1, 1, { INGOT_TYPE(FLOAT) | INGOT_TYPE(STRING) }, infer_cast, run_cast,
      .flags = INGOT_OP_KINDS, ML },
    { "DictVectorizer", 1, 1, 1, { VALUES }, infer_dict, run_dict, .flags = INGOT_OP_KINDS, ML },
    { "ZipMap", 1, 1, 1, { INGOT_TYPE(FLOAT) }, infer_zip, run_zip, ML },
    { 0 }
};
