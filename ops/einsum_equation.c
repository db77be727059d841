/* einsum_equation.c - parsing "ij,jk->ik". An ellipsis stands for as many dimensions as its operand has beyond its
 * letters, aligned at the last one, so that operands with fewer broadcast as NumPy's do. */
#include "ops/einsum_equation.h"

#include <string.h>

/* A term as written: letters, with the ellipsis at position `ellipsis` among them, or -1. `letter` holds labels, not
 * characters. Where the term is the result's, the ellipsis is as wide as the widest operand's. */
typedef struct written {
    int n, ellipsis;
    uint8_t letter[INGOT_MAX_RANK];
} written;

/* INVALID, with the equation (cut off at 100 characters) and what is wrong with it. */
static ingot_status malformed(ingot_op_ctx *c, const char *text, const char *what)
{
    return ingot_op_fail(c, INGOT_INVALID, "equation '%.100s': %s", text, what);
}

/* A < Z < a < z, as the standard orders them. -1: no letter. */
static int letter_label(char letter)
{
    return letter >= 'A' && letter <= 'Z' ? letter - 'A' : letter >= 'a' && letter <= 'z' ? letter - 'a' + 26 : -1;
}

/* Read up to a comma, an arrow or the end, where *at then points. Blanks mean nothing. INVALID: two ellipses, another
 * character, or more letters than a tensor has dimensions. */
static ingot_status read_term(ingot_op_ctx *c, const char *text, const char **at, written *w)
{
    const char *p = *at;

    w->n = 0;
    w->ellipsis = -1;
    for (; *p && *p != ',' && *p != '-'; p++) {
        if (*p == ' ')
            continue;
        if (!strncmp(p, "...", 3)) {
            if (w->ellipsis >= 0)
                return malformed(c, text, "a term has two ellipses");
            w->ellipsis = w->n;
            p += 2;
            continue;
        }
        if (letter_label(*p) < 0)
            return malformed(c, text, "a term holds something else than letters and an ellipsis");
        if (w->n == INGOT_MAX_RANK)
            return malformed(c, text, "a term has too many letters");
        w->letter[w->n++] = (uint8_t)letter_label(*p);
    }
    *at = p;
    return INGOT_OK;
}

/* The term with its ellipsis of `dims` dimensions spelled out as the last `dims` labels, so that operands with fewer
 * dimensions share the rightmost. False: more dimensions than a tensor may have. */
static bool expand(const written *w, int dims, ingot_einsum_term *term)
{
    term->n = 0;
    if (w->n + dims > INGOT_MAX_RANK)
        return false;
    for (int i = 0; i <= w->n; i++) {
        for (int d = 0; d < dims && i == w->ellipsis; d++)
            term->label[term->n++] = (uint8_t)(INGOT_EINSUM_LABELS - dims + d);
        if (i < w->n)
            term->label[term->n++] = w->letter[i];
    }
    return true;
}

/* Record the sizes of an operand's labels. One that has size 1 here and another size elsewhere broadcasts; a label that
 * occurs twice in the term (a diagonal) must have one size. INVALID otherwise. */
static ingot_status fit_operand(ingot_op_ctx *c, ingot_equation *e, int i)
{
    const ingot_einsum_term *term = &e->operand[i];

    for (int d = 0; d < term->n; d++) {
        int64_t *size = &e->size[term->label[d]];
        const int64_t own = c->in[i]->shape[d];
        for (int before = 0; before < d; before++)
            if (term->label[before] == term->label[d] && c->in[i]->shape[before] != own)
                return ingot_op_fail(c, INGOT_INVALID, "input %d: dimensions %d and %d have one label and two sizes", i,
                                     before, d);
        if (*size < 0 || *size == 1)
            *size = own;
        else if (own != 1 && own != *size)
            return ingot_op_fail(c, INGOT_INVALID, "input %d: dimension %d has size %lld where others have %lld", i, d,
                                 (long long)own, (long long)*size);
    }
    return INGOT_OK;
}

/* All terms in front of the arrow, each fitted to its input; *most receives the largest number of dimensions that an
 * ellipsis stands for. INVALID: a term that has not as many labels as its input has dimensions, or not one term for
 * each input. */
static ingot_status read_operands(ingot_op_ctx *c, const char *text, const char **at, ingot_equation *e, int *most)
{
    *most = 0;
    for (int i = 0; i < e->n_operands; i++) {
        written w;
        ingot_status st = read_term(c, text, at, &w);
        if (st)
            return st;
        /* What the letters do not cover is the ellipsis. */
        const int dims = c->in[i]->rank - w.n;
        if (dims < 0 || (dims > 0 && w.ellipsis < 0))
            return ingot_op_fail(c, INGOT_INVALID, "equation '%.100s': term %d does not fit an input of rank %d", text,
                                 i, c->in[i]->rank);
        expand(&w, dims, &e->operand[i]);
        *most = MAX(*most, dims);
        if ((st = fit_operand(c, e, i)))
            return st;
        if (**at == ',' && i < e->n_operands - 1)
            ++*at;
        else if (**at == ',' || i < e->n_operands - 1)
            return malformed(c, text, "the number of terms is not that of the inputs");
    }
    return INGOT_OK;
}

/* No arrow: the ellipsis, then the letters that occur once, in their order. False when there are too many of them. */
static bool imply_result(const ingot_equation *e, written *w)
{
    /* A letter that occurs twice, in one operand or in two, is summed over. */
    int uses[INGOT_EINSUM_LETTERS] = {0};

    w->n = w->ellipsis = 0;
    for (int i = 0; i < e->n_operands; i++)
        for (int d = 0; d < e->operand[i].n; d++)
            if (e->operand[i].label[d] < INGOT_EINSUM_LETTERS)
                uses[e->operand[i].label[d]]++;
    for (int letter = 0; letter < INGOT_EINSUM_LETTERS; letter++) {
        if (uses[letter] != 1)
            continue;
        if (w->n == INGOT_MAX_RANK)
            return false;
        w->letter[w->n++] = (uint8_t)letter;
    }
    return true;
}

/* Operands first, since their shapes tell what an ellipsis is; then the result's term, written or implied. -1 marks a
 * label that nobody has named. */
ingot_status ingot_read_equation(ingot_op_ctx *c, ingot_equation *e)
{
    const char *text = ingot_attr_string(c->node, "equation", ""), *at = text;
    bool seen[INGOT_EINSUM_LABELS] = {false};
    written w;
    int most;
    ingot_status st;

    e->n_operands = c->n_in;
    if (c->n_in > INGOT_EINSUM_OPERANDS)
        return ingot_op_fail(c, INGOT_UNSUPPORTED, "%d inputs (at most %d)", c->n_in, INGOT_EINSUM_OPERANDS);
    for (int label = 0; label < INGOT_EINSUM_LABELS; label++)
        e->size[label] = -1;
    if ((st = read_operands(c, text, &at, e, &most)))
        return st;
    /* The arrow and the result's term, which must be all that is left. */
    if (*at == '-') {
        if (at[1] != '>')
            return malformed(c, text, "'-' stands without '>'");
        at += 2;
        if ((st = read_term(c, text, &at, &w)))
            return st;
        if (*at)
            return malformed(c, text, "something follows the result's term");
    } else if (!imply_result(e, &w)) {
        return malformed(c, text, "the result has too many dimensions");
    }
    if (!expand(&w, w.ellipsis >= 0 ? most : 0, &e->result))
        return malformed(c, text, "the result has too many dimensions");
    /* The result may name each label once, and only labels that an operand has. */
    for (int d = 0; d < e->result.n; d++) {
        const int label = e->result.label[d];
        if (e->size[label] < 0 || seen[label])
            return malformed(c, text, "the result names a letter twice, or one that no operand has");
        seen[label] = true;
    }
    return INGOT_OK;
}
