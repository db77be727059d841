/* string_normalizer.c - StringNormalizer: leaves the stop words out of a list of strings, and changes the case of the
 * rest. Case is that of ASCII: where it matters for other letters, the operator refuses rather than leave them as they
 * are. */
#include <string.h>

#include "ops/op.h"

/* In the order of the names in prepare_normalizer(). */
typedef enum letter_case { CASE_NONE, CASE_LOWER, CASE_UPPER, N_CASES } letter_case;

/* The attributes; stop words are the model's own. */
typedef struct normalizer_state {
    letter_case change;
    bool case_sensitive;
    const ingot_string *stopwords;
    size_t n_stopwords;
} normalizer_state;

/* Is no byte above 127? Other bytes belong to letters whose case is not known here. */
static bool is_ascii(const ingot_string *text)
{
    for (size_t i = 0; i < text->size_bytes; i++)
        if ((unsigned char)text->data[i] > 127)
            return false;
    return true;
}

/* ASCII only and without regard to the process's locale; text past ASCII is refused before. */
static char lower(char ch) { return ch >= 'A' && ch <= 'Z' ? (char)(ch + ('a' - 'A')) : ch; }
static char upper(char ch) { return ch >= 'a' && ch <= 'z' ? (char)(ch - ('a' - 'A')) : ch; }

/* [C] or [1, C]; how many words stay is known after the run. */
static ingot_status infer_normalizer(ingot_op_ctx *c)
{
    const ingot_tensor *x = c->in[0];

    if (x->rank != 1 && (x->rank != 2 || x->shape[0] != 1))
        return ingot_op_fail(c, INGOT_INVALID, "input has neither shape [C] nor [1,C]");
    return ingot_out_unknown(c, 0, INGOT_TENSOR, INGOT_STRING);
}

/* Attributes are checked once. Stop words past ASCII need Unicode case rules, which are not here: UNSUPPORTED. */
static ingot_status prepare_normalizer(ingot_op_ctx *c)
{
    static const char *const names[N_CASES] = { "NONE", "LOWER", "UPPER" };
    const char *change = ingot_attr_string(c->node, "case_change_action", "NONE");
    const ingot_attr *words = ingot_node_attr(c->node, "stopwords");
    normalizer_state *s = c->state = ingot_keep(c, sizeof *s);

    if (!s)
        return ingot_op_out_of_memory(c);
    while (s->change < N_CASES && strcmp(change, names[s->change]))
        s->change++;
    if (s->change == N_CASES)
        return ingot_op_fail(c, INGOT_INVALID, "attribute case_change_action is none of NONE, LOWER and UPPER");
    /* Stop words are compared in place, in whatever case they have. */
    s->case_sensitive = ingot_attr_int(c->node, "is_case_sensitive", 0) != 0;
    s->stopwords = words ? words->strings : NULL;
    s->n_stopwords = words ? words->n : 0;
    for (size_t i = 0; i < s->n_stopwords && !s->case_sensitive; i++)
        if (!is_ascii(&s->stopwords[i]))
            return ingot_op_fail(c, INGOT_UNSUPPORTED, "stop words with letters past ASCII, whatever their case");
    return INGOT_OK;
}

/* A linear search: lists are short, and a word's length rules most entries out. */
static bool is_stopword(const normalizer_state *s, const ingot_string *text)
{
    for (size_t w = 0; w < s->n_stopwords; w++) {
        const ingot_string *word = &s->stopwords[w];
        size_t i = 0;
        if (word->size_bytes != text->size_bytes)
            continue;
        while (i < text->size_bytes && (s->case_sensitive ? text->data[i] == word->data[i]
                                                          : lower(text->data[i]) == lower(word->data[i])))
            i++;
        if (i == text->size_bytes)
            return true;
    }
    return false;
}

/* Replace *text by a copy in another case, in memory of the run; UNSUPPORTED for letters past ASCII. */
static ingot_status change_case(ingot_op_ctx *c, letter_case change, ingot_string *text)
{
    if (change == CASE_NONE || !text->size_bytes)
        return INGOT_OK;
    if (!is_ascii(text))
        return ingot_op_fail(c, INGOT_UNSUPPORTED, "changing the case of letters past ASCII");
    char *copy = ingot_run_alloc(c, text->size_bytes);
    if (!copy)
        return ingot_op_out_of_memory(c);
    for (size_t i = 0; i < text->size_bytes; i++)
        copy[i] = change == CASE_LOWER ? lower(text->data[i]) : upper(text->data[i]);
    text->data = copy;
    return INGOT_OK;
}

/* What is left of the list; a single empty string when that is nothing. */
static ingot_status run_normalizer(ingot_op_ctx *c)
{
    const normalizer_state *s = c->state;
    const ingot_tensor *x = c->in[0];
    const ingot_string *text = x->data;
    const int64_t n = ingot_count(x);
    int64_t kept = 0, shape[2] = { 1, 1 };

    for (int64_t i = 0; i < n; i++)
        kept += !is_stopword(s, &text[i]);
    shape[x->rank - 1] = MAX(kept, 1);
    ingot_status st = ingot_out_resize(c, 0, INGOT_STRING, x->rank, shape);
    if (st)
        return st;
    /* Words that stay refer to X's text, unless their case changes. */
    ingot_string *to = c->out[0]->data;
    if (!kept)
        *to = (ingot_string){ "", 0 };
    for (int64_t i = 0; i < n && !st; i++)
        if (!is_stopword(s, &text[i])) {
            *to = text[i];
            st = change_case(c, s->change, to++);
        }
    return st;
}

const ingot_op ingot_ops_string_normalizer[] = {
    { "StringNormalizer", 10, 1, 1, { INGOT_TYPE(STRING) }, infer_normalizer, run_normalizer, prepare_normalizer },
    { 0 }
};
