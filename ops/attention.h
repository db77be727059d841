/* attention.h - scaled dot-product attention over strided queries, keys and values, for those operators that have
 * it. */
#ifndef INGOT_OPS_ATTENTION_H
#define INGOT_OPS_ATTENTION_H

#include "ops/op.h"

/* Steps between batches, heads and rows of a tensor, in elements; the elements of a row lie together. */
typedef struct ingot_heads {
    int64_t batch, head, row;
} ingot_heads;

typedef enum ingot_scores {
    INGOT_SCORES_RAW,
    INGOT_SCORES_CAPPED,
    INGOT_SCORES_BIASED,
    INGOT_SCORES_SOFTMAX
} ingot_scores;

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
    const int64_t *valid;                /* keys of each batch, or NULL: all */
} ingot_attention;

/* Memory that each thread needs, in bytes; sizes must be set. */
size_t ingot_attention_scratch(const ingot_op_ctx *c, const ingot_attention *a);
void ingot_attention_run(ingot_op_ctx *c, const ingot_attention *a);

#endif
