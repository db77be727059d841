/* microsoft_attention.c - Attention and MultiHeadAttention of ONNX Runtime by the standard's Attention. What differs
 * are the ways to give queries, keys and values (one product for all, packed, with a bias) and the masks, which all
 * become one that is added to the scores. */
#include <string.h>

#include "ops/microsoft_rewrite.h"

#define FILTER (-10000.0f) /* what hidden places get, unless mask_filter_value says so */

/* The parts of one split along an axis: `sizes` is a value with the sizes of the n parts, INGOT_NONE for equal ones. */
static void split(ingot_rewrite *r, int value, int sizes, int64_t axis, int n, int *parts)
{
    parts[0] = sizes == INGOT_NONE ? INGOT_ADD(r, "Split", 18, value) : INGOT_ADD(r, "Split", 18, value, sizes);
    ingot_rewrite_int(r, "axis", axis);
    if (sizes == INGOT_NONE)
        ingot_rewrite_int(r, "num_outputs", n);
    for (int i = 1; i < n; i++)
        parts[i] = ingot_rewrite_more(r, i);
}

/* n values one behind the other along an axis. */
static int concat(ingot_rewrite *r, const int *values, int n, int64_t axis)
{
    const int out = ingot_rewrite_op(r, "Concat", 13, values, n);
    ingot_rewrite_int(r, "axis", axis);
    return out;
}

/* What is added to scores: 0 where a key is seen, mask_filter_value elsewhere. The mask is 1 where keys are seen (B,
 * T), or (B, S, T) for each query, or counts the keys of each sequence (B); total: the value of T. The result
 * broadcasts to (B, heads, S, T), with the element type of `like`. Masks of another or no declared rank are
 * UNSUPPORTED. */
static ingot_status make_mask(ingot_rewrite *r, int mask, int total, int like, int *added)
{
    const float filter = ingot_attr_float(r->node, "mask_filter_value", FILTER);
    const int rank = ingot_rewrite_rank(r, mask);
    const int64_t zero = 0, one = 1;
    int seen = mask;

    if (rank < 1 || rank > 3)
        return ingot_rewrite_refuse(r, INGOT_UNSUPPORTED, "a mask whose rank is not declared, or is more than 3");
    /* Lengths: a key is seen when its place is below the sequence's length. */
    if (rank == 1) {
        const int count = INGOT_ADD(r, "Squeeze", 13, total, INGOT_INTS(r, 0));
        const int range = INGOT_ADD(r, "Range", 11, ingot_rewrite_ints(r, &zero, 1, true), count,
                                    ingot_rewrite_ints(r, &one, 1, true));
        const int lengths = INGOT_ADD(r, "Cast", 13, mask);
        ingot_rewrite_int(r, "to", INGOT_INT64);
        seen = INGOT_ADD(r, "Less", 13, range, INGOT_ADD(r, "Unsqueeze", 13, lengths, INGOT_INTS(r, 1)));
    } else {
        seen = INGOT_ADD(r, "Cast", 13, mask);
        ingot_rewrite_int(r, "to", INGOT_BOOL);
    }
    const int number = INGOT_ADD(r, "Where", 16, seen, ingot_rewrite_number(r, 0, like),
                                 ingot_rewrite_number(r, filter, like));
    *added = rank == 3 ? INGOT_ADD(r, "Unsqueeze", 13, number, INGOT_INTS(r, 1))
                       : INGOT_ADD(r, "Unsqueeze", 13, number, INGOT_INTS(r, 1, 2));
    return INGOT_OK;
}

/* One mask of what there is of two. */
static int add_masks(ingot_rewrite *r, int a, int b)
{
    return a == INGOT_NONE ? b : b == INGOT_NONE ? a : INGOT_ADD(r, "Add", 14, a, b);
}

/* The standard operator on queries, keys and values; mask and pasts may be INGOT_NONE. presents: where to put the
 * values of its second and third output, or NULL. A scale of 0 stands for the usual one, 1 / sqrt(head size). */
static int attend(ingot_rewrite *r, const int *qkv, int mask, int past_key, int past_value, int *presents)
{
    const int64_t heads = ingot_attr_int(r->node, "num_heads", 0);
    const int inputs[6] = {qkv[0], qkv[1], qkv[2], mask, past_key, past_value};
    const int y = ingot_rewrite_op(r, "Attention", 23, inputs, past_key != INGOT_NONE ? 6 : mask != INGOT_NONE ? 4 : 3);

    ingot_rewrite_int(r, "q_num_heads", heads);
    ingot_rewrite_int(r, "kv_num_heads", heads);
    ingot_rewrite_int(r, "is_causal", ingot_attr_int(r->node, "unidirectional", 0));
    if (ingot_attr_float(r->node, "scale", 0) != 0)
        ingot_rewrite_float(r, "scale", ingot_attr_float(r->node, "scale", 0));
    for (int i = 0; presents && i < 2; i++)
        presents[i] = ingot_rewrite_more(r, 1 + i);
    return y;
}

/* (input, weights, bias, mask_index, past, attention_bias): one product gives queries, keys and values side by side
 * in its last axis, of equal sizes or those of qkv_hidden_sizes. past is (2, B, heads, P, size), keys then values;
 * output 1 is the same with the new rows, total = P + S. */
ingot_status ingot_rewrite_attention(ingot_rewrite *r)
{
    enum { X, W, BIAS, MASK, PAST, SCORES_BIAS };
    const ingot_attr *sizes = ingot_node_attr(r->node, "qkv_hidden_sizes");
    const int mask = ingot_rewrite_input(r, MASK), past = ingot_rewrite_input(r, PAST);
    int qkv[3], pasts[2] = {INGOT_NONE, INGOT_NONE}, presents[2], added = INGOT_NONE;
    ingot_status status = INGOT_OK;

    if (ingot_attr_int(r->node, "do_rotary", 0) || ingot_attr_int(r->node, "past_present_share_buffer", 0) ||
        (sizes && sizes->n != 3))
        return ingot_rewrite_refuse(r, INGOT_UNSUPPORTED, "attribute do_rotary or past_present_share_buffer");
    /* Queries, keys and values. */
    int x = INGOT_ADD(r, "MatMul", 13, ingot_rewrite_input(r, X), ingot_rewrite_input(r, W));
    if (ingot_rewrite_input(r, BIAS) != INGOT_NONE)
        x = INGOT_ADD(r, "Add", 14, x, ingot_rewrite_input(r, BIAS));
    split(r, x, sizes ? ingot_rewrite_ints(r, sizes->ints, 3, false) : INGOT_NONE, -1, 3, qkv);
    int total = ingot_rewrite_size(r, ingot_rewrite_input(r, X), 1);
    /* The past, as keys and values without the leading dimension. */
    if (past != INGOT_NONE) {
        split(r, past, INGOT_NONE, 0, 2, pasts);
        for (int i = 0; i < 2; i++)
            pasts[i] = INGOT_ADD(r, "Squeeze", 13, pasts[i], INGOT_INTS(r, 0));
        total = INGOT_ADD(r, "Add", 14, total, ingot_rewrite_size(r, past, 3));
    }
    /* Both kinds of mask become one addend of the scores. */
    if (mask != INGOT_NONE)
        status = make_mask(r, mask, total, x, &added);
    added = add_masks(r, added, ingot_rewrite_input(r, SCORES_BIAS));
    const bool wants = ingot_rewrite_wants(r, 1);
    r->result[0] = attend(r, qkv, added, pasts[0], pasts[1], wants ? presents : NULL);
    for (int i = 0; wants && i < 2; i++)
        presents[i] = INGOT_ADD(r, "Unsqueeze", 13, presents[i], INGOT_INTS(r, 0));
    if (wants)
        r->result[1] = concat(r, presents, 2, 0);
    return status;
}

/* (B, S, N, n, H) into n times (B, S, N * H). */
static void unpack(ingot_rewrite *r, int packed, int n, int *parts)
{
    split(r, packed, INGOT_NONE, 3, n, parts);
    for (int i = 0; i < n; i++)
        parts[i] = INGOT_ADD(r, "Reshape", 14, parts[i], INGOT_INTS(r, 0, 0, -1));
}

/* (B, S, N * H) into (B, N, S, H), and back. */
static int swap_heads(ingot_rewrite *r, int value)
{
    const int out = INGOT_ADD(r, "Transpose", 13, value);
    r->failed |= !ingot_node_set_ints(r->graph, r->graph->nodes[r->graph->n_nodes - 1], "perm",
                                      (const int64_t[]){0, 2, 1, 3}, 4);
    return out;
}

/* Queries, keys and values each get their part of a bias that holds the three one behind the other. */
static void add_bias(ingot_rewrite *r, int bias, int *qkv)
{
    const int sizes[3] = {ingot_rewrite_size(r, qkv[0], -1), ingot_rewrite_size(r, qkv[1], -1),
                          ingot_rewrite_size(r, qkv[2], -1)};
    int parts[3];

    split(r, bias, concat(r, sizes, 3, 0), 0, 3, parts);
    for (int i = 0; i < 3; i++)
        qkv[i] = INGOT_ADD(r, "Add", 14, qkv[i], parts[i]);
}

/* (query, key, value, bias, key_padding_mask, attention_bias, past_key, past_value). Without key all three are packed
 * in query (B, S, heads, 3, size); without value, key holds both; a key of rank 4 is (B, heads, T, size) already, as
 * cross attention has it, and the query is brought into that form. Outputs 1 and 2 are keys and values with the past
 * before them. */
ingot_status ingot_rewrite_multi_head(ingot_rewrite *r)
{
    enum { Q, K, V, BIAS, MASK, SCORES_BIAS, PAST_K, PAST_V, PAST_LENGTH };
    const int bias = ingot_rewrite_input(r, BIAS), mask = ingot_rewrite_input(r, MASK);
    const int past = ingot_rewrite_input(r, PAST_K), key = ingot_rewrite_input(r, K);
    int qkv[3] = {ingot_rewrite_input(r, Q), key, ingot_rewrite_input(r, V)}, presents[2], added = INGOT_NONE;
    ingot_status status = INGOT_OK;
    const int key_rank = key == INGOT_NONE ? 0 : ingot_rewrite_rank(r, key);

    if (ingot_rewrite_input(r, PAST_LENGTH) != INGOT_NONE || ingot_rewrite_wants(r, 3))
        return ingot_rewrite_refuse(r, INGOT_UNSUPPORTED, "past_sequence_length, or its fourth output");
    if (bias != INGOT_NONE && key_rank == 4)
        return ingot_rewrite_refuse(r, INGOT_UNSUPPORTED, "a bias for keys of rank 4");
    /* The three of them, from however they are packed. */
    if (key == INGOT_NONE)
        unpack(r, qkv[0], 3, qkv);
    else if (qkv[2] == INGOT_NONE)
        unpack(r, key, 2, qkv + 1);
    if (bias != INGOT_NONE)
        add_bias(r, bias, qkv);
    if (key_rank == 4)
        qkv[0] = swap_heads(r, INGOT_ADD(r, "Reshape", 14, qkv[0],
                                         INGOT_INTS(r, 0, 0, ingot_attr_int(r->node, "num_heads", 0), -1)));
    int total = ingot_rewrite_size(r, qkv[1], key_rank == 4 ? 2 : 1);
    if (past != INGOT_NONE)
        total = INGOT_ADD(r, "Add", 14, total, ingot_rewrite_size(r, past, 2));
    if (mask != INGOT_NONE)
        status = make_mask(r, mask, total, qkv[0], &added);
    added = add_masks(r, added, ingot_rewrite_input(r, SCORES_BIAS));
    const bool wants = ingot_rewrite_wants(r, 1) || ingot_rewrite_wants(r, 2);
    r->result[0] = attend(r, qkv, added, past, ingot_rewrite_input(r, PAST_V), wants ? presents : NULL);
    if (key_rank == 4)
        r->result[0] = INGOT_ADD(r, "Reshape", 14, swap_heads(r, r->result[0]), INGOT_INTS(r, 0, 0, -1));
    for (int i = 0; wants && i < 2; i++)
        r->result[1 + i] = presents[i];
    return status;
}
