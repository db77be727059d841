/* strings.c - StringConcat and StringSplit. The bytes of new strings live in run memory; the parts of a split string
 * are stretches of the original, so that nothing is copied. */
#include <string.h>

#include "ops/broadcast.h"

/* ---- StringConcat ---- */

/* Both inputs broadcast against each other. */
static ingot_status infer_concat(ingot_op_ctx *c) { return ingot_out_broadcast(c, 0, INGOT_STRING); }

/* Puts both halves' lengths into a pass, so that one block of memory takes all bytes. */
static void add_lengths(void *dst, const void *const *in, const int *step, int64_t n, const void *argument)
{
    const ingot_string *a = in[0], *b = in[1];
    ingot_string *to = dst;

    (void)argument;
    for (int64_t i = 0; i < n; i++)
        to[i] = (ingot_string){ NULL, a[i * step[0]].size_bytes + b[i * step[1]].size_bytes };
}

/* The bytes of one row; every element already points at its place, which is as long as both parts. */
static void join_row(void *dst, const void *const *in, const int *step, int64_t n, const void *argument)
{
    const ingot_string *a = in[0], *b = in[1];
    ingot_string *to = dst;

    (void)argument;
    for (int64_t i = 0; i < n; i++) {
        const ingot_string *x = &a[i * step[0]], *y = &b[i * step[1]];
        char *text = (char *)(uintptr_t)to[i].data;
        if (x->size_bytes)
            memcpy(text, x->data, x->size_bytes);
        if (y->size_bytes)
            memcpy(text + x->size_bytes, y->data, y->size_bytes);
    }
}

/* Two walks: the first adds up lengths, so that all text needs one allocation; the second fills it. */
static ingot_status run_concat(ingot_op_ctx *c)
{
    const int64_t n = ingot_count(c->out[0]);
    ingot_string *to = c->out[0]->data;
    size_t total = 0;
    ingot_status st = ingot_broadcast(c, c->out[0], c->in, 2, INT64_MAX, add_lengths, NULL);

    for (int64_t i = 0; i < n && !st; i++)
        if (!ingot_add_size(total, to[i].size_bytes, &total))
            st = ingot_op_fail(c, INGOT_LIMIT, "the strings are too long");
    if (st)
        return st;
    char *text = ingot_run_alloc(c, MAX(total, 1));
    if (!text)
        return ingot_op_out_of_memory(c);
    for (int64_t i = 0; i < n; text += to[i++].size_bytes)
        to[i].data = text;
    return ingot_broadcast(c, c->out[0], c->in, 2, INT64_MAX, join_row, NULL);
}

/* ---- StringSplit ---- */

/* How to split: at every `delimiter`, or at runs of white space where that is empty; at most `limit` times. */
typedef struct split_rule {
    ingot_string delimiter;
    int64_t limit;
} split_rule;

/* What Python's str.split() parts at, within ASCII. */
static bool is_space(char ch) { return ch == ' ' || (ch >= '\t' && ch <= '\r') || (ch >= 0x1c && ch <= 0x1f); }

/* No delimiter means white space; a negative maxsplit no limit. */
static split_rule read_rule(const ingot_op_ctx *c)
{
    const ingot_attr *delimiter = ingot_node_attr(c->node, "delimiter");
    const int64_t limit = ingot_attr_int(c->node, "maxsplit", -1);
    const ingot_string none = { "", 0 };

    return (split_rule){ delimiter && delimiter->n ? delimiter->strings[0] : none, limit < 0 ? INT64_MAX : limit };
}

/* Parts at white space: leading and trailing space belongs to none, but the last part of a limit keeps its end. Returns
 * how many there are; parts may be NULL. */
static int64_t split_at_space(ingot_string text, int64_t limit, ingot_string *parts)
{
    const char *at = text.data, *end = text.data + text.size_bytes;
    int64_t n = 0;

    for (;;) {
        while (at < end && is_space(*at))
            at++;
        if (at == end)
            return n;
        const char *begin = at;
        while (at < end && (n == limit || !is_space(*at)))
            at++;
        if (n == limit)
            while (at > begin && is_space(at[-1]))
                at--;
        if (parts)
            parts[n] = (ingot_string){ begin, (size_t)(at - begin) };
        if (n++ == limit)
            return n;
    }
}

/* Parts of text, counted and, if parts is not NULL, stored; they point into text. n delimiters make n + 1 parts,
 * empty ones included. */
static int64_t split(const split_rule *rule, ingot_string text, ingot_string *parts)
{
    const ingot_string *d = &rule->delimiter;
    int64_t n = 0;

    if (!text.size_bytes)                        /* its pointer may be anything */
        text.data = "";
    if (!d->size_bytes)
        return split_at_space(text, rule->limit, parts);
    for (;;) {
        const char *found = n < rule->limit ? memmem(text.data, text.size_bytes, d->data, d->size_bytes) : NULL;
        const size_t length = found ? (size_t)(found - text.data) : text.size_bytes;
        if (parts)
            parts[n] = (ingot_string){ text.data, length };
        n++;
        if (!found)
            return n;
        text.data += length + d->size_bytes;
        text.size_bytes -= length + d->size_bytes;
    }
}

/* Y gets one more dimension, as long as the longest list of parts, which is known after the run; the counts have
 * X's shape. */
static ingot_status infer_split(ingot_op_ctx *c)
{
    if (c->in[0]->rank == INGOT_MAX_RANK)
        return ingot_op_fail(c, INGOT_UNSUPPORTED, "rank %d leaves no room for another dimension", INGOT_MAX_RANK);
    const ingot_status st = ingot_out_unknown(c, 0, INGOT_TENSOR, INGOT_STRING);
    return st || c->n_out < 2 ? st : ingot_out(c, 1, INGOT_INT64, c->in[0]->rank, c->in[0]->shape);
}

/* Two passes: how many parts the longest split has, then the parts, filled up with empty strings. */
static ingot_status run_split(ingot_op_ctx *c)
{
    const split_rule rule = read_rule(c);
    const ingot_tensor *x = c->in[0];
    const ingot_string *text = x->data;
    const int64_t n = ingot_count(x);
    int64_t most = 0, shape[INGOT_MAX_RANK + 1];

    for (int64_t i = 0; i < n; i++) {
        const int64_t parts = split(&rule, text[i], NULL);
        most = MAX(most, parts);
        if (c->n_out > 1 && c->out[1])
            ((int64_t *)c->out[1]->data)[i] = parts;
    }
    /* The longest row is known: the parts themselves. */
    if (!c->out[0])
        return INGOT_OK;
    memcpy(shape, x->shape, (size_t)x->rank * sizeof *shape);
    shape[x->rank] = most;
    const ingot_status st = ingot_out_resize(c, 0, INGOT_STRING, x->rank + 1, shape);
    for (int64_t i = 0; i < n && !st; i++) {
        ingot_string *row = (ingot_string *)c->out[0]->data + i * most;
        for (int64_t j = split(&rule, text[i], row); j < most; j++)
            row[j] = (ingot_string){ "", 0 };
    }
    return st;
}

const ingot_op ingot_ops_strings[] = {
    { "StringConcat", 20, 2, 2, { INGOT_TYPE(STRING) }, infer_concat, run_concat },
    { "StringSplit", 20, 1, 1, { INGOT_TYPE(STRING) }, infer_split, run_split },
    { 0 }
};
