/* ml_label_encoder.c - LabelEncoder and CategoryMapper: map every element by a table of keys and values. Keys are
 * compared byte by byte (so that even NaN can be one), sorted when planning, and found by bisection. The first
 * LabelEncoder and CategoryMapper have two lists that go either way, as the type of the input says; one that has no
 * list of integers counts. */
#include <stdlib.h>
#include <string.h>

#include "ops/ml.h"

#define TYPES_LABEL                                                                                                    \
    (INGOT_TYPE(STRING) | INGOT_TYPE(FLOAT) | INGOT_TYPE(DOUBLE) | INGOT_TYPE(INT16) | INGOT_TYPES_INDEX)

/* A key of the table; `size_bytes` of it count, at `data`, which is the table's own memory. Of equal ones, the last
 * in the table does, as in a dictionary that is filled in order. */
typedef struct label_key {
    const char *data;
    size_t size_bytes;
    int64_t index;
} label_key;

/* keys and values are vectors of one length, values[i] for keys[i]; otherwise is one element of the values' type;
 * sorted has the keys by their bytes. */
typedef struct encoder_state {
    ingot_tensor keys, values, otherwise;
    label_key *sorted;
} encoder_state;

/* The attribute prefix + "_floats", "_int64s", "_strings" or "_tensor" as a vector; false when there is none. Its data
 * is NULL for a tensor that is still in the file, which *lazy then receives. */
static bool read_column(const ingot_op_ctx *c, const char *const names[4], ingot_tensor *column,
                        const ingot_const **lazy)
{
    static const ingot_dtype dtypes[3] = { INGOT_FLOAT, INGOT_INT64, INGOT_STRING };
    static const ingot_attr_type types[3] = { INGOT_ATTR_FLOATS, INGOT_ATTR_INTS, INGOT_ATTR_STRINGS };

    *lazy = NULL;
    for (int i = 0; i < 4; i++) {
        const ingot_attr *a = ingot_node_attr(c->node, names[i]);
        if (a && i < 3 && a->type == types[i] && a->n) {
            *column = (ingot_tensor){ .dtype = dtypes[i], .rank = 1, .shape = { (int64_t)a->n } };
            column->data = i == 0 ? (void *)(uintptr_t)a->floats : i == 1 ? (void *)(uintptr_t)a->ints
                                                                           : (void *)(uintptr_t)a->strings;
            return true;
        }
        if (a && i == 3 && a->type == INGOT_ATTR_TENSOR && a->n && TYPES_LABEL >> a->tensors[0]->tensor.dtype & 1) {
            *column = a->tensors[0]->tensor;
            if (ingot_const_is_lazy(a->tensors[0]))
                *lazy = a->tensors[0];
            return true;
        }
    }
    return false;
}

/* The attributes that may hold keys, and values, in the order in which they are looked for. */
static const char *const key_names[4] = { "keys_floats", "keys_int64s", "keys_strings", "keys_tensor" };
static const char *const value_names[4] = { "values_floats", "values_int64s", "values_strings", "values_tensor" };

/* The two lists of the older operators: strings, and integers that are 0, 1, 2, ... (data is NULL) where they are not
 * given. */
static bool read_pair(const ingot_op_ctx *c, ingot_tensor *keys, ingot_tensor *values)
{
    const bool encoder = *c->node->op_type == 'L';
    int64_t n_strings, n_ints;
    const ingot_string *strings = ingot_ml_strings(c, encoder ? "classes_strings" : "cats_strings", &n_strings);
    const int64_t *ints = ingot_ml_ints(c, "cats_int64s", &n_ints);
    const ingot_tensor texts = { .dtype = INGOT_STRING, .rank = 1, .shape = { n_strings },
                                 .data = (void *)(uintptr_t)strings },
                       numbers = { .dtype = INGOT_INT64, .rank = 1, .shape = { encoder ? n_strings : n_ints },
                                   .data = (void *)(uintptr_t)(encoder ? NULL : ints) };

    *keys = c->in[0]->dtype == INGOT_STRING ? texts : numbers;
    *values = c->in[0]->dtype == INGOT_STRING ? numbers : texts;
    return n_strings > 0;
}

/* Keys and values, of whichever form the operator has. A lazy column is still in the file: lazy[0] for keys, lazy[1]
 * for values, else NULL. */
static bool read_table(const ingot_op_ctx *c, ingot_tensor *keys, ingot_tensor *values, const ingot_const *lazy[2])
{
    lazy[0] = lazy[1] = NULL;
    if (*c->node->op_type == 'C' || c->op->until)
        return read_pair(c, keys, values);
    return read_column(c, key_names, keys, &lazy[0]) && read_column(c, value_names, values, &lazy[1]);
}

/* Y has X's shape and the values' type. INVALID when the lists are missing, differ in length, or the keys are not of
 * X's type. */
static ingot_status infer_encoder(ingot_op_ctx *c)
{
    ingot_tensor keys, values;
    const ingot_const *lazy[2];

    if (!read_table(c, &keys, &values, lazy))
        return ingot_op_fail(c, INGOT_INVALID,
                             "no attribute with keys, or none with values, of a type that is supported");
    if (keys.dtype != c->in[0]->dtype || ingot_count(&keys) != ingot_count(&values))
        return ingot_op_fail(c, INGOT_INVALID, "%lld keys of %s and %lld values for an input of %s",
                             (long long)ingot_count(&keys), ingot_dtype_name(keys.dtype),
                             (long long)ingot_count(&values), ingot_dtype_name(c->in[0]->dtype));
    return ingot_out(c, 0, values.dtype, c->in[0]->rank, c->in[0]->shape);
}

/* Element i of a table or input as a key that refers to its bytes. */
static label_key key_at(const ingot_tensor *tensor, int64_t i)
{
    const size_t item = ingot_dtype_size_bytes(tensor->dtype);

    if (tensor->dtype != INGOT_STRING)
        return (label_key){ (const char *)tensor->data + (size_t)i * item, item, i };
    const ingot_string *text = (const ingot_string *)tensor->data + i;
    return (label_key){ text->data, text->size_bytes, i };
}

/* Bytes first, then length, as memcmp orders them: any total order serves the bisection. */
static int compare_bytes(const label_key *a, const label_key *b)
{
    const size_t common = MIN(a->size_bytes, b->size_bytes);
    const int order = common ? memcmp(a->data, b->data, common) : 0;
    return order ? order : (a->size_bytes > b->size_bytes) - (a->size_bytes < b->size_bytes);
}

/* For qsort, which is not stable: the index decides between equal keys, so that the last one is found. */
static int compare_keys(const void *a, const void *b)
{
    const label_key *x = a, *y = b;
    const int order = compare_bytes(x, y);
    return order ? order : (x->index > y->index) - (x->index < y->index);
}

/* What keys that are not in the table map to: one element of the values' type, from default_tensor or the typed
 * attribute, or the standard's defaults ("_Unused", -0.0, -1). INVALID for a default_tensor of another type or size. */
static ingot_status read_default(ingot_op_ctx *c, encoder_state *s)
{
    const ingot_attr *tensor = ingot_node_attr(c->node, "default_tensor");
    const ingot_attr *text = ingot_node_attr(c->node, "default_string");
    union { float f; int64_t i; int32_t i32; int16_t i16; double d; ingot_string s; } *one = ingot_keep(c, sizeof *one);

    if (!one)
        return ingot_op_out_of_memory(c);
    s->otherwise = (ingot_tensor){ .dtype = s->values.dtype, .data = one };
    if (tensor && tensor->type == INGOT_ATTR_TENSOR && tensor->n) {
        if (tensor->tensors[0]->tensor.dtype != s->values.dtype || ingot_count(&tensor->tensors[0]->tensor) != 1)
            return ingot_op_fail(c, INGOT_INVALID, "default_tensor is not one element of the values' type");
        ingot_const_read(tensor->tensors[0], one);
        return INGOT_OK;
    }
    switch (s->values.dtype) {
    case INGOT_STRING: one->s = text && text->n ? text->strings[0] : (ingot_string){ "_Unused", 7 }; break;
    case INGOT_FLOAT: one->f = ingot_attr_float(c->node, "default_float", -0.0f); break;
    case INGOT_INT64: one->i = ingot_attr_int(c->node, "default_int64", -1); break;
    case INGOT_DOUBLE: one->d = -0.0; break;
    case INGOT_INT32: one->i32 = -1; break;
    default: one->i16 = -1;
    }
    return INGOT_OK;
}

/* Give a column that is still in the file, or counts, memory of the plan. */
static bool settle(ingot_op_ctx *c, ingot_tensor *column, const ingot_const *lazy)
{
    if (column->data && !lazy)
        return true;
    column->data = ingot_keep(c, ingot_storage_bytes(column));
    if (!column->data)
        return false;
    if (lazy)
        ingot_const_read(lazy, column->data);
    for (int64_t i = 0; i < ingot_count(column) && !lazy; i++)
        ((int64_t *)column->data)[i] = i;
    return true;
}

/* Reads the table into the plan's memory, where it must be (lazy or counted columns), and sorts the keys once. */
static ingot_status prepare_encoder(ingot_op_ctx *c)
{
    encoder_state *s = c->state = ingot_keep(c, sizeof *s);
    const ingot_const *lazy[2];

    if (!s)
        return ingot_op_out_of_memory(c);
    if (!read_table(c, &s->keys, &s->values, lazy))
        return ingot_op_fail(c, INGOT_INVALID, "no keys or no values");
    const int64_t n = ingot_count(&s->keys);
    s->sorted = ingot_keep(c, (size_t)n * sizeof *s->sorted);
    if (!s->sorted || !settle(c, &s->keys, lazy[0]) || !settle(c, &s->values, lazy[1]))
        return ingot_op_out_of_memory(c);
    for (int64_t i = 0; i < n; i++)
        s->sorted[i] = key_at(&s->keys, i);
    qsort(s->sorted, (size_t)n, sizeof *s->sorted, compare_keys);
    return read_default(c, s);
}

/* Index of the value for a key, or INGOT_NONE: that of the last key in the order that is not greater, if it is
 * equal. */
static int64_t find_value(const encoder_state *s, const label_key *key)
{
    int64_t low = 0, high = ingot_count(&s->keys);

    while (low < high) {
        const int64_t middle = low + (high - low) / 2;
        if (compare_bytes(&s->sorted[middle], key) <= 0)
            low = middle + 1;
        else
            high = middle;
    }
    return low && !compare_bytes(&s->sorted[low - 1], key) ? s->sorted[low - 1].index : INGOT_NONE;
}

/* Task over elements. Values are copied as bytes; strings refer to the text of the model. */
static void encode(void *argument, int64_t begin, int64_t end, int thread)
{
    const ingot_op_ctx *c = argument;
    const encoder_state *s = c->state;
    const size_t item = ingot_dtype_size_bytes(s->values.dtype);

    (void)thread;
    for (int64_t i = begin; i < end; i++) {
        const label_key key = key_at(c->in[0], i);
        const int64_t index = find_value(s, &key);
        memcpy((char *)c->out[0]->data + (size_t)i * item,
               index == INGOT_NONE ? s->otherwise.data : (const char *)s->values.data + (size_t)index * item, item);
    }
}

/* Every element is looked up by itself. */
static ingot_status run_encoder(ingot_op_ctx *c)
{
    ingot_parallel(c->team, ingot_count(c->in[0]), 1024, encode, c);
    return INGOT_OK;
}

#define TYPES_PAIR (INGOT_TYPE(STRING) | INGOT_TYPE(INT64))
#define ML .domain = INGOT_ML_DOMAIN

const ingot_op ingot_ops_ml_label_encoder[] = {
    { "CategoryMapper", 1, 1, 1, { TYPES_PAIR }, infer_encoder, run_encoder, prepare_encoder, ML },
    { "LabelEncoder", 1, 1, 1, { TYPES_PAIR }, infer_encoder, run_encoder, prepare_encoder, .until = 1, ML },
    { "LabelEncoder", 2, 1, 1, { TYPES_LABEL }, infer_encoder, run_encoder, prepare_encoder, ML },
    { 0 }
};
