/* attention.h - scaled dot-product attention over strided queries, keys and values, for those operators that have
 * it. */
#ifndef INGOT_OPS_ATTENTION_H
#define INGOT_OPS_ATTENTION_H

#include "ops/op.h"

/* Steps between batches, heads, rows and the elements of a row, in elements. Of a mask and of Y these lie together, and
 * `column` is not read; doubles want so of Q, K and V too. */
typedef struct ingot_heads {
    int64_t batch, head, row, column;
} ingot_heads;

typedef enum ingot_scores {
    INGOT_SCORES_RAW,
    INGOT_SCORES_CAPPED,
    INGOT_SCORES_BIASED,
    INGOT_SCORES_SOFTMAX
} ingot_scores;

/* Attribute "form" of the internal operator Attention (Q, K, V, mask or none): an array of these numbers. The elements
 * of an input begin at its element ..._first. Made by the planner, which vouches for them. */
typedef struct ingot_attention_form {
    int64_t batch, heads, queries, keys, depth, v_depth;
    int64_t q_first, k_first, v_first;
    ingot_heads q_at, k_at, v_at, y_at, mask_at;
    int64_t scale_bits;                  /* a float, in the first bytes */
    int64_t nan_is_zero;
} ingot_attention_form;

/* The stages of attention; one may run some of them, with `scores` as what goes between. */
typedef enum ingot_stage { INGOT_STAGE_ALL, INGOT_STAGE_SCORES, INGOT_STAGE_SOFTMAX, INGOT_STAGE_VALUES } ingot_stage;

typedef struct ingot_attention {
    ingot_stage stage;
    int64_t batch, heads, kv_heads;      /* heads is a multiple of kv_heads */
    int64_t queries, keys;               /* rows of q and y; of k and v */
    int64_t depth, v_depth;              /* elements of a row of q and k; of v and y */
    ingot_heads q_at, k_at, v_at, y_at, mask_at;
    int64_t mask_keys;                   /* keys that the mask speaks of; none past them is attended */
    bool is_causal;
    int64_t left, right;                 /* window around the query's own position; -1: no bound */
    int64_t past;                        /* position of the first query; unless `valid` says how many keys there are */
    double scale, softcap;               /* softcap 0: none */
    ingot_dtype precision;               /* of the softmax; INGOT_UNDEFINED: that of q */
    ingot_dtype narrow;                  /* FLOAT16 or BFLOAT16: what the floats stand for, so that scores and weights
                                            are rounded to it. INGOT_UNDEFINED: floats are meant */
    ingot_scores shown;                  /* what `scores` receives */

    ingot_dtype dtype;                   /* FLOAT or DOUBLE: q, k, v, y and scores */
    const void *q, *k, *v;
    void *y;
    void *scores;                        /* (batch, heads, queries, keys); may be NULL for all stages in one */
    const ingot_tensor *mask;            /* bool, or numbers to add; NULL: none */
    bool exact;                          /* a row that the mask hides is NaN, as Softmax makes it, not 0 */
    bool nan_is_zero;                    /* for `exact`: but rows of weights that are NaN count as zeros */
    const int64_t *valid;                /* keys of each batch, or NULL: all */
    bool columns;                        /* by attention_columns.c */
} ingot_attention;

/* Choose the way by the sizes and the mask, and name it for profiles. is_all: no other inputs or outputs follow. */
const char *ingot_attention_choose(const ingot_op_ctx *c, ingot_attention *a, bool is_all);

/* attention_columns.c: whether that way can be taken for a plain attention, floats for each thread, and the way. */
bool ingot_attention_in_columns(const ingot_op_ctx *c, const ingot_attention *a);
size_t ingot_attention_columns_floats(const ingot_op_ctx *c, const ingot_attention *a);
void ingot_attention_run_columns(ingot_op_ctx *c, const ingot_attention *a);

/* Blocks of `queries` queries of one head that are worth a thread. */
int64_t ingot_attention_grain(const ingot_attention *a, int64_t queries);

/* Memory that each thread needs, in bytes; sizes and way must be set. */
size_t ingot_attention_scratch(const ingot_op_ctx *c, const ingot_attention *a);
void ingot_attention_run(ingot_op_ctx *c, const ingot_attention *a);

#endif
