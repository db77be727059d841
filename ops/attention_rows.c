/* attention_rows.c - y = softmax(scale q k' + bias) v. A block of queries at a time: its scores against all keys lie in
 * the thread's scratch memory, become weights there, and are multiplied by v. Keys and values of a head are packed once
 * for all queries that a thread has of it, or read as they lie when there are few. Doubles take plain loops. */
#include <math.h>
#include <string.h>

#include "ops/attention.h"
#include "ops/narrow.h"
#include "ops/scalar.h"

enum { FEW = 4, BLOCK_FLOATS = 8192, TILE_ROWS = 12 };   /* queries up to which nothing is packed; scores of a block */

/* Queries of a block: as many as leave its scores in the first-level cache, in whole tiles, of which there are one to
 * five. */
static int64_t block_rows(const ingot_attention *a)
{
    const int64_t tiles = BLOCK_FLOATS / TILE_ROWS / MAX(a->keys, 1);
    return MIN(a->queries, MAX(1, MIN(tiles, 5)) * TILE_ROWS);
}

/* Packing K and V pays off only when enough queries share them; rows that do not lie together leave no choice. Doubles
 * are never packed; their loops read rows as they are. */
static bool packs(const ingot_attention *a)
{
    return a->dtype == INGOT_FLOAT &&
           (a->queries > FEW || a->q_at.column != 1 || a->k_at.column != 1 || a->v_at.column != 1);
}

/* Nothing between the two products but a scale, numbers to add and the softmax: whole rows are done at once. A mask is
 * allowed where a row hidden as a whole may become NaN, as Softmax makes it: the kernel does not look for one. */
static bool is_plain(const ingot_attention *a)
{
    return a->dtype == INGOT_FLOAT && a->stage == INGOT_STAGE_ALL && !a->scores && !(a->softcap > 0) && !a->narrow &&
           (a->precision == INGOT_UNDEFINED || a->precision == INGOT_FLOAT) && !a->valid && !a->is_causal &&
           a->left < 0 && a->right < 0 && (!a->mask || a->exact) && a->keys > 0;
}

/* Sets a->columns. The names are what profiles show. */
const char *ingot_attention_choose(const ingot_op_ctx *c, ingot_attention *a, bool is_all)
{
    a->columns = is_all && is_plain(a) && ingot_attention_in_columns(c, a);
    return a->columns ? "queries in lanes" : packs(a) ? "packed heads" : "few queries";
}

/* Keys [*low, *high) that position and padding let a query see. Position is the standard's: the query's own number
 * after the past, or counted from the end of the valid keys. A window of INT32_MAX or more is no window; this also
 * keeps the sums from overflowing. */
static void attended(const ingot_attention *a, int64_t batch, int64_t query, int64_t *low, int64_t *high)
{
    const int64_t position = query + (a->valid ? a->valid[batch] - a->queries : a->past);

    *low = 0;
    *high = a->mask ? MIN(a->keys, a->mask_keys) : a->keys;
    if (a->valid)
        *high = MIN(*high, a->valid[batch]);
    if (a->is_causal)
        *high = MIN(*high, position + 1);
    if (a->right >= 0 && a->right < INT32_MAX)
        *high = MIN(*high, position + a->right + 1);
    if (a->left >= 0 && a->left < INT32_MAX)
        *low = MAX(0, position - a->left);
    *high = MAX(*high, 0);
    *low = MIN(*low, *high);
}

/* value as it would be after being stored as dtype: what softmax_precision asks for. */
static double round_to(ingot_dtype dtype, double value)
{
    switch (dtype) {
    case INGOT_FLOAT16: return (double)ingot_half_to_float(ingot_double_to_half(value));
    case INGOT_BFLOAT16: return (double)ingot_bfloat_to_float(ingot_double_to_bfloat(value));
    case INGOT_FLOAT: return (double)(float)value;
    default: return value;
    }
}

/* Scores become what they would be in the 16-bit type that they stand for. */
static void narrow_row_f32(const ingot_kernels *kernels, const ingot_attention *a, float *score, int64_t n)
{
    if (a->narrow)
        ingot_round_to(kernels, score, n, a->narrow);
}

/* Double is never narrow. The function is there because attention_loops.h names it for either type. */
static void narrow_row_f64(const ingot_kernels *kernels, const ingot_attention *a, const double *score, int64_t n)
{
    (void)kernels;
    (void)a;
    (void)score;
    (void)n;
}

/* Softmax of one row of n scores in place; in 16-bit steps where the specification's function would take such. */
static void softmax_row_f32(const ingot_kernels *kernels, const ingot_attention *a, float *score, int64_t n)
{
    if (a->narrow && a->precision == INGOT_UNDEFINED)
        ingot_softmax_narrow(kernels, score, n, a->narrow);
    else
        kernels->softmax_f32(score, score, n);
}

static void softmax_row_f64(const ingot_kernels *kernels, const ingot_attention *a, double *score, int64_t n)
{
    (void)kernels;
    (void)a;
    ingot_softmax_f64(score, n);
}

#define T float
#define TYPED(name) name##_f32
#include "ops/attention_loops.h"
#undef T
#undef TYPED
#define T double
#define TYPED(name) name##_f64
#include "ops/attention_loops.h"

/* What the tasks share. Item i is block i % blocks of head i / blocks, all images' heads in a row. */
typedef struct attention_call {
    ingot_op_ctx *ctx;
    const ingot_attention *a;
    int64_t blocks;                      /* of queries, per head */
} attention_call;

/* A block: rows of q and y, and where the thread works. q and y begin at the block's first query; k and v at the first
 * key of the head that the queries share. scores has room for `rows` rows. packed_k and packed_v are NULL where nothing
 * is packed. */
typedef struct block {
    int64_t rows, high;                  /* high: no row attends to keys from there on */
    const void *q, *k, *v;
    void *y, *scores;
    const float *packed_k, *packed_v;
} block;

/* A whole number of 64-byte lines, so that the parts of a thread's scratch stay aligned. Also the distance of rows of
 * scores in run_plain_block(). */
static size_t round_floats(int64_t n) { return ((size_t)n + 15) / 16 * 16; }

/* Floats (or doubles) of the three parts of a thread's memory: scores, packed keys, packed values. The packed parts are
 * empty where packs() says no. */
static void measure(const ingot_op_ctx *c, const ingot_attention *a, size_t part[3])
{
    part[0] = (size_t)block_rows(a) * round_floats(a->keys);
    part[1] = packs(a) ? round_floats(c->kernels->gemm_packed_f32(a->keys, a->depth)) : 0;
    part[2] = packs(a) ? round_floats(c->kernels->gemm_packed_f32(a->v_depth, a->keys)) : 0;
}

/* Bytes each thread needs: a block of scores, and the packed K and V of one head. */
size_t ingot_attention_scratch(const ingot_op_ctx *c, const ingot_attention *a)
{
    size_t part[3];
    if (a->columns)
        return ingot_attention_columns_floats(c, a) * sizeof(float);
    measure(c, a, part);
    return (part[0] + part[1] + part[2]) * ingot_dtype_size_bytes(a->dtype);
}

/* K^T and V of one key head in the panels that gemm_f32 reads; all query heads of its group reuse them. */
static void pack_head(const ingot_kernels *k, const ingot_attention *a, const block *b, float *packed_k,
                      float *packed_v)
{
    k->gemm_pack_f32(packed_k, b->k, a->k_at.column, a->k_at.row, a->keys, a->depth, 0, k->gemm_panels_f32(a->keys));
    k->gemm_pack_f32(packed_v, b->v, a->v_at.row, a->v_at.column, a->v_depth, a->keys, 0,
                     k->gemm_panels_f32(a->v_depth));
}

/* scores (rows, keys) = scale * Q K^T, `stride` from row to row. Packed keys go through the tiled product, few queries
 * through dots over the keys up to the highest one visible. */
static void score_block_f32(const ingot_kernels *k, const ingot_attention *a, const block *b, float scale,
                            ptrdiff_t stride)
{
    const ingot_gemm g = { .m = b->rows, .n = a->keys, .k = a->depth, .alpha = scale, .a_row = a->q_at.row,
                           .a_col = a->q_at.column, .ldc = stride };
    const ingot_epilogue e = { .act = INGOT_ACT_NONE };

    if (b->packed_k)
        k->gemm_f32(&g, b->q, b->packed_k, b->scores, &e, 0, b->rows, 0, k->gemm_panels_f32(b->high));
    else
        k->gemm_dot_f32(&g, b->q, b->k, a->k_at.row, b->scores, &e, 0, b->high);
}

/* Y (rows, v_depth) = scores V; the unpacked form stops at the highest visible key. */
static void weigh_block_f32(const ingot_kernels *k, const ingot_attention *a, const block *b, ptrdiff_t stride)
{
    const ingot_gemm g = { .m = b->rows, .n = a->v_depth, .k = b->packed_v ? a->keys : b->high, .alpha = 1,
                           .a_row = stride, .a_col = 1, .ldc = a->y_at.row };
    const ingot_epilogue e = { .act = INGOT_ACT_NONE };

    if (b->packed_v)
        k->gemm_f32(&g, b->scores, b->packed_v, b->y, &e, 0, b->rows, 0, k->gemm_panels_f32(a->v_depth));
    else
        k->gemm_axpy_f32(&g, b->scores, b->v, a->v_at.row, b->y, &e, 0, a->v_depth);
}

/* The two products for doubles, as their definition says: no kernel has them. */
static void score_block_f64(const ingot_attention *a, const block *b)
{
    for (int64_t i = 0; i < b->rows; i++)
        for (int64_t j = 0; j < b->high; j++) {
            const double *q = (const double *)b->q + i * a->q_at.row, *k = (const double *)b->k + j * a->k_at.row;
            double sum = 0;
            for (int64_t l = 0; l < a->depth; l++)
                sum += q[l] * k[l];
            ((double *)b->scores)[i * a->keys + j] = a->scale * sum;
        }
}

/* y (rows, v_depth) = weights times v; keys past b->high have no weight. */
static void weigh_block_f64(const ingot_attention *a, const block *b)
{
    for (int64_t i = 0; i < b->rows; i++) {
        double *y = (double *)b->y + i * a->y_at.row;
        for (int64_t l = 0; l < a->v_depth; l++)
            y[l] = 0;
        for (int64_t j = 0; j < b->high; j++) {
            const double *v = (const double *)b->v + j * a->v_at.row, weight = ((double *)b->scores)[i * a->keys + j];
            for (int64_t l = 0; l < a->v_depth; l++)
                y[l] += weight * v[l];
        }
    }
}

/* Keys past *high are attended to by no query of the block (all, when the scores are shown). */
static int64_t block_high(const ingot_attention *a, int64_t batch, int64_t first, int64_t rows)
{
    int64_t most = a->scores ? a->keys : 0, low, high;

    for (int64_t i = 0; i < rows && most < a->keys; i++) {
        attended(a, batch, first + i, &low, &high);
        most = MAX(most, high);
    }
    return most;
}

/* One stage on its own: its rows come from a->scores, or go there. */
static void run_stage(const ingot_kernels *k, const ingot_attention *a, block *b, int64_t first_row)
{
    const size_t row_bytes = (size_t)a->keys * ingot_dtype_size_bytes(a->dtype);
    const bool is_float = a->dtype == INGOT_FLOAT;
    char *rows = (char *)a->scores + (size_t)first_row * row_bytes;

    b->high = a->keys;
    if (a->stage == INGOT_STAGE_SCORES) {
        is_float ? score_block_f32(k, a, b, (float)a->scale, a->keys) : score_block_f64(a, b);
        memcpy(rows, b->scores, (size_t)b->rows * row_bytes);
    } else if (a->stage == INGOT_STAGE_VALUES) {
        memcpy(b->scores, rows, (size_t)b->rows * row_bytes);
        is_float ? weigh_block_f32(k, a, b, a->keys) : weigh_block_f64(a, b);
    } else {
        for (int64_t i = 0; i < b->rows; i++, rows += row_bytes)
            is_float ? finish_row_f32(k, a, first_row + i, (float *)(void *)rows)
                     : finish_row_f64(k, a, first_row + i, (double *)(void *)rows);
    }
}

/* The block where the scale goes along with the softmax, and rows of scores begin on cache lines. */
static void run_plain_block(const ingot_kernels *k, const ingot_attention *a, block *b, int64_t first_row)
{
    const int64_t query = first_row % a->queries, head = first_row / a->queries;
    const int64_t mask_at = head / a->heads * a->mask_at.batch + head % a->heads * a->mask_at.head +
                            query * a->mask_at.row;
    const ptrdiff_t stride = (ptrdiff_t)round_floats(a->keys);

    score_block_f32(k, a, b, 1.0f, stride);
    k->softmax_scaled_f32(b->scores, stride, b->rows, a->keys, (float)a->scale,
                          a->mask ? (const float *)a->mask->data + mask_at : NULL, a->mask_at.row);
    float *row = b->scores;                                /* NaN in one weight of a row is NaN in all */
    for (int64_t i = 0; i < b->rows && a->nan_is_zero; i++, row += stride)
        if (isnan(row[0]))
            memset(row, 0, (size_t)a->keys * sizeof *row);
    weigh_block_f32(k, a, b, stride);
}

/* One block of queries of one head: scores, then mask and softmax row by row, then values. No visible key leaves
 * nothing to weigh. */
static void run_block(const ingot_kernels *k, const ingot_attention *a, block *b, int64_t first_row)
{
    const bool is_float = a->dtype == INGOT_FLOAT;

    if (a->stage != INGOT_STAGE_ALL) {
        run_stage(k, a, b, first_row);
        return;
    }
    if (is_plain(a)) {
        run_plain_block(k, a, b, first_row);
        return;
    }
    /* Scores with the scale; those past `high` are left as they are, because finish_row overwrites them. */
    if (b->high && is_float)
        score_block_f32(k, a, b, (float)a->scale, a->keys);
    else if (b->high)
        score_block_f64(a, b);
    for (int64_t i = 0; i < b->rows; i++) {
        if (is_float)
            finish_row_f32(k, a, first_row + i, (float *)b->scores + i * a->keys);
        else
            finish_row_f64(k, a, first_row + i, (double *)b->scores + i * a->keys);
    }
    if (!b->high)
        for (int64_t i = 0; i < b->rows; i++)
            memset((char *)b->y + (size_t)(i * a->y_at.row) * ingot_dtype_size_bytes(a->dtype), 0,
                   (size_t)a->v_depth * ingot_dtype_size_bytes(a->dtype));
    else if (is_float)
        weigh_block_f32(k, a, b, a->keys);
    else
        weigh_block_f64(a, b);
}

/* data + elements, where the size of an element is known only at run time. */
static const void *offset(const void *data, const ingot_attention *a, int64_t elements)
{
    return (const char *)data + elements * (int64_t)ingot_dtype_size_bytes(a->dtype);
}

/* Task over (image, head, block of queries). Items of one head follow each other, so its packed K and V are kept
 * while the key head stays the same. */
static void run_blocks(void *argument, int64_t begin, int64_t end, int thread)
{
    const attention_call *call = argument;
    const ingot_attention *a = call->a;
    char *memory = ingot_thread_scratch(call->ctx, thread);
    const int64_t rows = block_rows(a);
    int64_t packed = -1;                 /* key head that the packed memory holds */
    size_t part[3];

    measure(call->ctx, a, part);
    float *packed_k = (float *)(void *)memory + part[0], *packed_v = packed_k + part[1];
    for (int64_t item = begin; item < end; item++) {
        /* Where the item's block lies: first query, head, image, and the key head that it shares. */
        const int64_t first = item % call->blocks * rows, at = item / call->blocks;
        const int64_t head = at % a->heads, batch = at / a->heads, kv_head = head / (a->heads / a->kv_heads);
        block b = { .rows = MIN(a->queries - first, rows), .scores = memory };
        b.high = block_high(a, batch, first, b.rows);
        b.q = offset(a->q, a, batch * a->q_at.batch + head * a->q_at.head + first * a->q_at.row);
        b.k = offset(a->k, a, batch * a->k_at.batch + kv_head * a->k_at.head);
        b.v = offset(a->v, a, batch * a->v_at.batch + kv_head * a->v_at.head);
        b.y = (char *)a->y + (batch * a->y_at.batch + head * a->y_at.head + first * a->y_at.row) *
                                 (int64_t)ingot_dtype_size_bytes(a->dtype);
        /* The thread's packed head serves all blocks that follow, until another head begins. */
        if (packs(a)) {
            if (packed != batch * a->kv_heads + kv_head)
                pack_head(call->ctx->kernels, a, &b, packed_k, packed_v);
            packed = batch * a->kv_heads + kv_head;
            b.packed_k = packed_k;
            b.packed_v = packed_v;
        }
        run_block(call->ctx->kernels, a, &b, at * a->queries + first);
    }
}

/* As many multiply-adds as other operators share out. */
int64_t ingot_attention_grain(const ingot_attention *a, int64_t queries)
{
    return 1 + 32768 / (1 + queries * a->keys * (a->depth + a->v_depth));
}

/* Every block of every head is its own item of work; they share nothing they write. */
void ingot_attention_run(ingot_op_ctx *c, const ingot_attention *a)
{
    if (a->columns) {
        ingot_attention_run_columns(c, a);
        return;
    }
    const int64_t rows = block_rows(a);
    attention_call call = { .ctx = c, .a = a, .blocks = rows > 0 ? (a->queries + rows - 1) / rows : 0 };

    ingot_parallel(c->team, a->batch * a->heads * call.blocks, ingot_attention_grain(a, rows), run_blocks, &call);
}
