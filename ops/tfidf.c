/* tfidf.c - TfIdfVectorizer: counts how often each n-gram of a pool occurs in the rows of the input. The pool's n-grams
 * are sorted when planning, by size and items; a run looks every stretch of items up by bisection. */
#include <stdlib.h>
#include <string.h>

#include "ops/op.h"

/* Items of the pool or of the input: one of the three is set. */
typedef struct items {
    const ingot_string *strings;
    const int64_t *longs;
    const int32_t *ints;
} items;

/* An n-gram of the pool, and the place in Y that counts it. */
typedef struct gram {
    const items *pool;
    int64_t first, size;         /* in the pool */
    int64_t slot;                /* in the output */
    int64_t order;               /* of equal ones the last in the pool counts */
} gram;

/* The attributes, and the pool's n-grams of the sizes that are asked for, sorted. */
typedef struct tfidf_state {
    items pool;
    gram *grams;
    int64_t n_grams, min_size, max_size, skips, width;
    bool counts;                 /* or mere presence */
    const float *weights;        /* of the slots; NULL: 1 */
} tfidf_state;

/* What the threads share: X as (rows, columns), Y as (rows, width), which starts as zeros. */
typedef struct tfidf_work {
    const tfidf_state *state;
    items x;
    int64_t columns;
    float *y;
} tfidf_work;

/* Order of two items: strings by bytes, then length; integers by value. */
static int compare_items(const items *a, int64_t i, const items *b, int64_t j)
{
    if (a->strings) {
        const ingot_string *s = &a->strings[i], *t = &b->strings[j];
        const size_t common = MIN(s->size_bytes, t->size_bytes);
        const int order = common ? memcmp(s->data, t->data, common) : 0;
        return order ? order : (s->size_bytes > t->size_bytes) - (s->size_bytes < t->size_bytes);
    }
    const int64_t x = a->longs ? a->longs[i] : a->ints[i], y = b->longs ? b->longs[j] : b->ints[j];
    return (x > y) - (x < y);
}

/* Order of pool n-gram g and the `size` items of x from `at` on, `step` apart. */
static int compare_gram(const gram *g, const items *x, int64_t at, int64_t step, int64_t size)
{
    int order = (g->size > size) - (g->size < size);
    for (int64_t i = 0; i < size && !order; i++)
        order = compare_items(g->pool, g->first + i, x, at + i * step);
    return order;
}

/* For qsort: equal n-grams keep the pool's order, so a search finds the first. */
static int compare_grams(const void *a, const void *b)
{
    const gram *g = a, *h = b;
    const int order = compare_gram(g, h->pool, h->first, 1, h->size);
    return order ? order : (g->order > h->order) - (g->order < h->order);
}

/* The n-gram equal to these items, or NULL: the last one that is not greater. */
static const gram *find_gram(const tfidf_state *s, const items *x, int64_t at, int64_t step, int64_t size)
{
    int64_t low = 0, high = s->n_grams;

    while (low < high) {
        const int64_t middle = low + (high - low) / 2;
        if (compare_gram(&s->grams[middle], x, at, step, size) <= 0)
            low = middle + 1;
        else
            high = middle;
    }
    return low && !compare_gram(&s->grams[low - 1], x, at, step, size) ? &s->grams[low - 1] : NULL;
}

/* The attribute if it has this type and is not empty. */
static const ingot_attr *attr_of_type(const ingot_op_ctx *c, const char *name, ingot_attr_type type)
{
    const ingot_attr *attr = ingot_node_attr(c->node, name);
    return attr && attr->type == type && attr->n ? attr : NULL;
}

/* Width of the output: one more than the largest index. INVALID when the list is missing or an index is negative or
 * too large. */
static ingot_status read_width(ingot_op_ctx *c, int64_t *width)
{
    const ingot_attr *indexes = attr_of_type(c, "ngram_indexes", INGOT_ATTR_INTS);

    if (!indexes)
        return ingot_op_fail(c, INGOT_INVALID, "attribute ngram_indexes is missing");
    *width = 0;
    for (size_t i = 0; i < indexes->n; i++) {
        if (indexes->ints[i] < 0 || indexes->ints[i] >= INT32_MAX)
            return ingot_op_fail(c, INGOT_INVALID, "ngram_indexes has %lld", (long long)indexes->ints[i]);
        *width = MAX(*width, indexes->ints[i] + 1);
    }
    return INGOT_OK;
}

/* X (C) or (N, C); Y (width) or (N, width), where width is the highest index of ngram_indexes plus one. */
static ingot_status infer_tfidf(ingot_op_ctx *c)
{
    const ingot_tensor *x = c->in[0];
    int64_t width = 0;
    const ingot_status st = read_width(c, &width);

    if (st)
        return st;
    if (x->rank > 2)
        return ingot_op_fail(c, INGOT_INVALID, "input has rank %d, expected at most 2", x->rank);
    return x->rank == 2 ? ingot_out(c, 0, INGOT_FLOAT, 2, (const int64_t[]){ x->shape[0], width })
                        : ingot_out(c, 0, INGOT_FLOAT, 1, &width);
}

/* TF counts, IDF weighs what occurs, TFIDF weighs the counts. Too few weights would be read past their end, so they
 * are INVALID. */
static ingot_status read_mode(ingot_op_ctx *c, tfidf_state *s)
{
    const char *mode = ingot_attr_string(c->node, "mode", "");
    const ingot_attr *weights = attr_of_type(c, "weights", INGOT_ATTR_FLOATS);

    if (strcmp(mode, "TF") && strcmp(mode, "IDF") && strcmp(mode, "TFIDF"))
        return ingot_op_fail(c, INGOT_INVALID, "attribute mode is none of TF, IDF and TFIDF");
    s->counts = mode[0] == 'T';
    s->weights = strcmp(mode, "TF") && weights ? weights->floats : NULL;
    if (s->weights && (int64_t)weights->n < s->width)
        return ingot_op_fail(c, INGOT_INVALID, "%zu weights for %lld n-grams", weights->n, (long long)s->width);
    s->min_size = ingot_attr_int(c->node, "min_gram_length", 1);
    s->max_size = ingot_attr_int(c->node, "max_gram_length", 1);
    s->skips = ingot_attr_int(c->node, "max_skip_count", 0);
    if (s->min_size < 1 || s->max_size < s->min_size || s->skips < 0)
        return ingot_op_fail(c, INGOT_INVALID, "n-grams of %lld to %lld items with %lld skipped",
                             (long long)s->min_size, (long long)s->max_size, (long long)s->skips);
    return INGOT_OK;
}

/* List the n-grams of the sizes asked for: those of size k begin in the pool at ngram_counts[k - 1]. INVALID where
 * counts, pool and indexes do not fit each other. s->grams has room for one for each item of the pool. */
static ingot_status list_grams(ingot_op_ctx *c, tfidf_state *s, int64_t n_items)
{
    const ingot_attr *counts = attr_of_type(c, "ngram_counts", INGOT_ATTR_INTS);
    const ingot_attr *indexes = attr_of_type(c, "ngram_indexes", INGOT_ATTR_INTS);
    int64_t order = 0;

    for (size_t i = 0; counts && i < counts->n; i++) {
        const int64_t size = (int64_t)i + 1, end = i + 1 < counts->n ? counts->ints[i + 1] : n_items;
        int64_t first = counts->ints[i];
        if (first < 0 || first > end || end > n_items || (end - first) % size)
            return ingot_op_fail(c, INGOT_INVALID, "ngram_counts does not fit a pool of %lld", (long long)n_items);
        /* All n-grams count in the order of ngram_indexes, those that nobody asks for too. */
        for (; first < end; first += size, order++) {
            if (order >= (int64_t)indexes->n)
                return ingot_op_fail(c, INGOT_INVALID, "more n-grams than ngram_indexes");
            if (size >= s->min_size && size <= s->max_size)
                s->grams[s->n_grams++] = (gram){ &s->pool, first, size, indexes->ints[order], order };
        }
    }
    qsort(s->grams, (size_t)s->n_grams, sizeof *s->grams, compare_grams);
    return INGOT_OK;
}

/* Sorts the pool's n-grams once, so that each run searches by halves. */
static ingot_status prepare_tfidf(ingot_op_ctx *c)
{
    const ingot_attr *strings = attr_of_type(c, "pool_strings", INGOT_ATTR_STRINGS);
    const ingot_attr *longs = attr_of_type(c, "pool_int64s", INGOT_ATTR_INTS);
    const bool wants_strings = c->in[0]->dtype == INGOT_STRING;
    const ingot_attr *pool = wants_strings ? strings : longs;
    tfidf_state *s = c->state = ingot_keep(c, sizeof *s);
    ingot_status st;

    if (!pool)
        return ingot_op_fail(c, INGOT_INVALID, "attribute %s is missing",
                             wants_strings ? "pool_strings" : "pool_int64s");
    /* At most one n-gram begins at each item of the pool. */
    gram *grams = ingot_keep(c, pool->n * sizeof *grams);
    if (!s || !grams)
        return ingot_op_out_of_memory(c);
    s->grams = grams;
    if (wants_strings)
        s->pool.strings = pool->strings;
    else
        s->pool.longs = pool->ints;
    if ((st = read_width(c, &s->width)) || (st = read_mode(c, s)))
        return st;
    return list_grams(c, s, (int64_t)pool->n);
}

/* Count one row: items with 0 to `skips` others between them. Single items are the same for every distance, and count
 * once. */
static void count_row(const tfidf_work *w, int64_t row)
{
    const tfidf_state *s = w->state;
    const int64_t begin = row * w->columns, end = begin + w->columns;
    float *y = w->y + row * s->width;
    int64_t smallest = s->min_size;

    for (int64_t step = 1; step <= s->skips + 1 && step <= MAX(w->columns, 1) && smallest <= s->max_size; step++) {
        /* Every place where an n-gram may begin, and every size that still fits. */
        for (int64_t at = begin; at < end; at++)
            for (int64_t size = smallest; size <= s->max_size && (size - 1) <= (end - 1 - at) / step; size++) {
                const gram *g = find_gram(s, &w->x, at, step, size);
                if (g)
                    y[g->slot] += 1.0f;
            }
        smallest = MAX(smallest, 2);
    }
    /* Counts or presence, times the weights. */
    for (int64_t i = 0; i < s->width; i++) {
        const float n = s->counts || y[i] == 0.0f ? y[i] : 1.0f;
        y[i] = s->weights ? n * s->weights[i] : n;
    }
}

/* Task over rows. */
static void count_rows(void *argument, int64_t begin, int64_t end, int thread)
{
    (void)thread;
    for (int64_t row = begin; row < end; row++)
        count_row(argument, row);
}

/* Rows are counted on their own; Y starts as zeros. */
static ingot_status run_tfidf(ingot_op_ctx *c)
{
    const ingot_tensor *x = c->in[0];
    tfidf_work w = { .state = c->state, .y = c->out[0]->data };
    const int64_t rows = x->rank == 2 ? x->shape[0] : 1;

    w.columns = x->rank ? x->shape[x->rank - 1] : 1;
    if (x->dtype == INGOT_STRING)
        w.x.strings = x->data;
    else if (x->dtype == INGOT_INT64)
        w.x.longs = x->data;
    else
        w.x.ints = x->data;
    memset(w.y, 0, (size_t)ingot_count(c->out[0]) * sizeof *w.y);
    ingot_parallel(c->team, rows, 4, count_rows, &w);
    return INGOT_OK;
}

const ingot_op ingot_ops_tfidf[] = {
    { "TfIdfVectorizer", 9, 1, 1, { INGOT_TYPE(STRING) | INGOT_TYPES_INDEX }, infer_tfidf, run_tfidf, prepare_tfidf },
    { 0 }
};
