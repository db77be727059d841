/* attention_columns.c - attention without more than a scale and numbers for keys, many queries at once: a panel of them
 * lies in the lanes. scores' (keys, queries) = K Q' is stored as a panel, which the softmax goes down and which is the
 * packed operand of y' (v_depth, queries) = V' weights'. K and V are read where they are, whatever their steps, or from
 * a copy whose rows lie together: what is read once for every block has to stay in the second-level cache, of which
 * rows that are a power of two apart use a part alone. */
#include <math.h>
#include <string.h>

#include "ops/attention.h"

enum { COPY_BYTES = 256 * 1024, COPY_BLOCKS = 8 };       /* of K and V, and of queries, from which a copy pays */

/* One attention, as its tasks share it: item i is block i % blocks of head i / blocks. */
typedef struct columns_call {
    ingot_op_ctx *ctx;
    const ingot_attention *a;
    int64_t width, blocks;               /* queries of a block; blocks of a head */
    bool copies;
} columns_call;

/* K or V of one head, as the products read it. */
typedef struct rows_of {
    const float *data;
    ptrdiff_t row, column;
} rows_of;

/* Queries next to each other: two vectors. */
static int64_t block_width(const ingot_op_ctx *c) { return 2 * c->kernels->lanes; }

/* Can this way be taken, and does it pay? A mask may tell keys apart, but not queries. */
bool ingot_attention_in_columns(const ingot_op_ctx *c, const ingot_attention *a)
{
    return a->queries > c->kernels->lanes / 2 && (!a->mask || a->mask_at.row == 0);
}

/* Does a head's K and V, copied once, serve so many blocks that this pays? Both lie in memory as large as the sizes
 * here, so that none of them overflows. */
static bool copies(const ingot_op_ctx *c, const ingot_attention *a)
{
    return a->k_at.column == 1 && a->v_at.column == 1 && a->queries >= COPY_BLOCKS * block_width(c) &&
           a->keys * (a->depth + a->v_depth) * (int64_t)sizeof(float) >= COPY_BYTES;
}

/* Floats of a block of queries: Q', scores, y' and factors. */
static int64_t block_floats(const ingot_attention *a, int64_t width)
{
    return (a->depth + a->keys + a->v_depth + 1) * width;
}

/* Floats of a thread: those of a block, and a head's K and V where they are copied. */
size_t ingot_attention_columns_floats(const ingot_op_ctx *c, const ingot_attention *a)
{
    return (size_t)(block_floats(a, block_width(c)) + (copies(c, a) ? a->keys * (a->depth + a->v_depth) : 0));
}

/* Weights of one query that are NaN become zeros, whose sum needs no factor. */
static void clear_column(float *weights, int64_t keys, int64_t width, float *inverse)
{
    for (int64_t k = 0; k < keys; k++)
        weights[k * width] = 0;
    *inverse = 1;
}

/* One block of queries of one head, whose keys and values these are. Columns past the last query, up to whole vectors,
 * are computed with queries of zeros and not stored. */
static void run_columns(const columns_call *call, int64_t head, int64_t first, const rows_of *keys,
                        const rows_of *values, float *memory)
{
    static const ingot_epilogue nothing = { .act = INGOT_ACT_NONE };
    const ingot_kernels *k = call->ctx->kernels;
    const ingot_attention *a = call->a;
    const int64_t n = MIN(a->queries - first, call->width), width = n <= k->lanes ? k->lanes : call->width;
    const int64_t batch = head / a->heads, own = head % a->heads;
    const float *q = (const float *)a->q + batch * a->q_at.batch + own * a->q_at.head + first * a->q_at.row;
    const float *mask = a->mask ? (const float *)a->mask->data + batch * a->mask_at.batch + own * a->mask_at.head
                                : NULL;
    float *y = (float *)a->y + batch * a->y_at.batch + own * a->y_at.head + first * a->y_at.row;
    float *packed_q = memory, *scores = packed_q + a->depth * width, *result = scores + a->keys * width;
    float *inverse = result + a->v_depth * width;
    const ingot_gemm score = { .m = a->keys, .n = width, .k = a->depth, .alpha = 1.0f, .a_row = keys->row,
                               .a_col = keys->column, .ldc = width };
    const ingot_gemm weigh = { .m = a->v_depth, .n = width, .k = a->keys, .alpha = 1.0f, .a_row = values->column,
                               .a_col = values->row, .ldc = width };

    k->gemm_pack_f32(packed_q, q, a->q_at.column, a->q_at.row, n, a->depth, 0, 1);
    k->gemm_f32(&score, keys->data, packed_q, scores, &nothing, 0, a->keys, 0, 1);
    k->softmax_columns_f32(scores, a->keys, width, (float)a->scale, mask, inverse);
    for (int64_t i = 0; i < n && a->nan_is_zero; i++)
        if (isnan(inverse[i]))
            clear_column(scores + i, a->keys, width, inverse + i);
    k->gemm_f32(&weigh, values->data, scores, result, &nothing, 0, a->v_depth, 0, 1);
    k->scale_transposed_f32(y, a->y_at.row, result, width, a->v_depth, n, inverse);
}

/* n elements of each of `rows` rows, one row behind the other. */
static rows_of copy_rows(float *to, const rows_of *from, int64_t rows, int64_t n)
{
    for (int64_t i = 0; i < rows; i++)
        memcpy(to + i * n, from->data + i * from->row, (size_t)n * sizeof *to);
    return (rows_of){ to, n, 1 };
}

/* Task over (image, head, block of queries). Grouped queries read the key head that they share. */
static void run_items(void *argument, int64_t begin, int64_t end, int thread)
{
    const columns_call *call = argument;
    const ingot_attention *a = call->a;
    float *memory = (float *)(void *)ingot_thread_scratch(call->ctx, thread);
    float *copy = memory + block_floats(a, call->width);
    rows_of keys = {0}, values = {0};
    int64_t held = -1;                   /* key head of the copy */

    for (int64_t i = begin; i < end; i++) {
        const int64_t head = i / call->blocks, kv = head % a->heads / (a->heads / a->kv_heads);
        const int64_t batch = head / a->heads, wanted = batch * a->kv_heads + kv;
        if (wanted != held) {
            keys = (rows_of){ (const float *)a->k + batch * a->k_at.batch + kv * a->k_at.head, a->k_at.row,
                              a->k_at.column };
            values = (rows_of){ (const float *)a->v + batch * a->v_at.batch + kv * a->v_at.head, a->v_at.row,
                                a->v_at.column };
            if (call->copies) {
                keys = copy_rows(copy, &keys, a->keys, a->depth);
                values = copy_rows(copy + a->keys * a->depth, &values, a->keys, a->v_depth);
            }
            held = wanted;
        }
        run_columns(call, head, i % call->blocks * call->width, &keys, &values, memory);
    }
}

/* Blocks share nothing that they write, so the bits are the same for any number of threads. */
void ingot_attention_run_columns(ingot_op_ctx *c, const ingot_attention *a)
{
    const int64_t width = block_width(c);
    columns_call call = { .ctx = c, .a = a, .width = width, .blocks = (a->queries + width - 1) / width,
                          .copies = copies(c, a) };

    ingot_parallel(c->team, a->batch * a->heads * call.blocks, ingot_attention_grain(a, width), run_items, &call);
}
