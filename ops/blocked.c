/* blocked.c - layout conversion, split over the team by pieces of a channel block; and Reorder, the operator of our own
 * that the planner puts where a blocked value meets an operator that wants it plain, or the other way round. */
#include "ops/blocked.h"

#include <string.h>

enum { PIECE = 2048 };                       /* pixels: 64 KiB on either side */

/* One conversion: tensors of `pixels` pixels a channel, each block of channels cut into `pieces`. Either floats or
 * bytes. */
typedef struct move_call {
    const ingot_kernels *kernels;
    int64_t channels, pixels, pieces;
    const void *src;
    void *dst;
    bool to_blocked, bytes;
} move_call;

/* Blocks of INGOT_BLOCK channels in t (N, C, D1...), the last of each image padded. The rank must be 2 or more. */
int64_t ingot_blocks(const ingot_tensor *t)
{
    return t->shape[0] * ((t->shape[1] + INGOT_BLOCK - 1) / INGOT_BLOCK);
}

/* Floats that t takes in the blocked layout, padding lanes included. */
int64_t ingot_blocked_floats(const ingot_tensor *t)
{
    return ingot_blocks(t) * INGOT_BLOCK * ingot_span(t, 2, t->rank);
}

/* Rows of eight bytes, in words, become columns: first single bytes change places, then pairs, then fours. Byte i of
 * r[k] becomes byte k of r[i], in 12 exchanges of masked halves; see Warren, Hacker's Delight, on transposing a bit
 * matrix. Words are read in memory order, so this holds on little-endian machines. */
static void transpose_bytes(uint64_t r[INGOT_BLOCK])
{
    static const uint64_t masks[] = { UINT64_C(0x00ff00ff00ff00ff), UINT64_C(0x0000ffff0000ffff),
                                      UINT64_C(0x00000000ffffffff) };

    for (int level = 0; level < 3; level++) {
        const int step = 1 << level, shift = 8 * step;
        for (int i = 0; i < INGOT_BLOCK; i++) {
            if (i & step)
                continue;
            const uint64_t swap = (r[i] >> shift ^ r[i + step]) & masks[level];
            r[i + step] ^= swap;
            r[i] ^= swap << shift;
        }
    }
}

/* Eight pixels at a time through eight words, whose rows of missing channels are 0; the last few pixels byte by
 * byte. */
void ingot_interleave_bytes(uint8_t *dst, const uint8_t *src, int64_t channels, int64_t plane, int64_t n)
{
    int64_t i = 0;

    for (; i + INGOT_BLOCK <= n; i += INGOT_BLOCK) {
        uint64_t rows[INGOT_BLOCK] = { 0 };
        for (int64_t c = 0; c < channels && c < INGOT_BLOCK; c++)
            memcpy(&rows[c], src + c * plane + i, sizeof *rows);
        transpose_bytes(rows);
        memcpy(dst + i * INGOT_BLOCK, rows, sizeof rows);
    }
    for (; i < n; i++)
        for (int64_t c = 0; c < INGOT_BLOCK; c++)
            dst[i * INGOT_BLOCK + c] = c < channels ? src[c * plane + i] : 0;
}

/* The way back: the same transpose, since it is its own inverse. Missing channels are not written. */
void ingot_deinterleave_bytes(uint8_t *dst, const uint8_t *src, int64_t channels, int64_t plane, int64_t n)
{
    int64_t i = 0;

    for (; i + INGOT_BLOCK <= n; i += INGOT_BLOCK) {
        uint64_t rows[INGOT_BLOCK];
        memcpy(rows, src + i * INGOT_BLOCK, sizeof rows);
        transpose_bytes(rows);
        for (int64_t c = 0; c < channels && c < INGOT_BLOCK; c++)
            memcpy(dst + c * plane + i, &rows[c], sizeof *rows);
    }
    for (; i < n; i++)
        for (int64_t c = 0; c < channels && c < INGOT_BLOCK; c++)
            dst[c * plane + i] = src[i * INGOT_BLOCK + c];
}

/* Task over pieces of at most PIECE pixels of one block, so that one large image still feeds every thread. `plain` and
 * `packed` are where its first channel begins on either side, in elements. */
static void move_pieces(void *argument, int64_t begin, int64_t end, int thread)
{
    const move_call *m = argument;
    const int64_t blocks = (m->channels + INGOT_BLOCK - 1) / INGOT_BLOCK;

    (void)thread;
    for (int64_t i = begin; i < end; i++) {
        /* Which block and which pixels of it; then where they lie on both sides. */
        const int64_t block = i / m->pieces, p0 = i % m->pieces * PIECE, p1 = MIN(m->pixels, p0 + PIECE);
        const int64_t channel = block % blocks * INGOT_BLOCK,
                      plain = (block / blocks * m->channels + channel) * m->pixels;
        const int64_t packed = block * INGOT_BLOCK * m->pixels;
        const float *src = m->src;
        float *dst = m->dst;
        if (m->bytes && m->to_blocked)
            ingot_interleave_bytes((uint8_t *)m->dst + packed + p0 * INGOT_BLOCK, (const uint8_t *)m->src + plain + p0,
                                   m->channels - channel, m->pixels, p1 - p0);
        else if (m->bytes)
            ingot_deinterleave_bytes((uint8_t *)m->dst + plain + p0,
                                     (const uint8_t *)m->src + packed + p0 * INGOT_BLOCK, m->channels - channel,
                                     m->pixels, p1 - p0);
        else if (m->to_blocked)
            m->kernels->block_f32(dst + packed, src + plain, m->channels - channel, m->pixels, p0, p1);
        else
            m->kernels->unblock_f32(dst + plain, src + packed, m->channels - channel, m->pixels, p0, p1);
    }
}

/* Convert all of shape (N, C, D1...) between the two layouts; src and dst must not overlap. Elements are 4 bytes
 * (FLOAT) or 1; the operator's row below lets nothing else in. */
static void move(ingot_op_ctx *c, const ingot_tensor *shape, const void *src, void *dst, bool to_blocked)
{
    move_call m = { c->kernels, shape->shape[1], ingot_span(shape, 2, shape->rank), 0, src, dst, to_blocked,
                    ingot_dtype_size_bytes(shape->dtype) == 1 };

    m.pieces = (m.pixels + PIECE - 1) / PIECE;
    ingot_parallel(c->team, ingot_blocks(shape) * m.pieces, 1 + PIECE / (m.pixels + 1), move_pieces, &m);
}

/* Both directions for floats; bytes go by the operator alone. */
void ingot_block(ingot_op_ctx *c, const ingot_tensor *shape, const float *src, float *dst)
{
    move(c, shape, src, dst, true);
}

void ingot_unblock(ingot_op_ctx *c, const ingot_tensor *shape, const float *src, float *dst)
{
    move(c, shape, src, dst, false);
}

/* Pixels whose channels are rows on one side and blocked on the other, cut into `pieces` an image of `piece` pixels. */
typedef struct rows_call {
    ingot_pixel_rows at;
    int64_t channels, pixels, piece, pieces;
    float *rows, *blocked;
    bool to_blocked;
} rows_call;

/* n pixels, `stride` floats apart, of all channels; blocks begin `block_stride` floats apart. A block's lanes past the
 * last channel become 0. Few pixels at once: their rows stay in the cache while each block gets whole lines of it. */
static void move_rows(const rows_call *m, float *rows, float *blocked, int64_t n)
{
    const int64_t stride = m->at.pixel_stride, block_stride = m->pixels * INGOT_BLOCK;
    const int64_t whole = m->channels / INGOT_BLOCK * INGOT_BLOCK, rest = m->channels - whole;

    for (int64_t c = 0; c < whole; c += INGOT_BLOCK, blocked += block_stride)
        if (m->to_blocked)
            for (int64_t i = 0; i < n; i++)
                memcpy(blocked + i * INGOT_BLOCK, rows + i * stride + c, INGOT_BLOCK * sizeof *rows);
        else
            for (int64_t i = 0; i < n; i++)
                memcpy(rows + i * stride + c, blocked + i * INGOT_BLOCK, INGOT_BLOCK * sizeof *rows);
    for (int64_t i = 0; i < n && rest; i++)
        for (int64_t c = 0; c < (m->to_blocked ? INGOT_BLOCK : rest); c++)
            if (m->to_blocked)
                blocked[i * INGOT_BLOCK + c] = c < rest ? rows[i * stride + whole + c] : 0.0f;
            else
                rows[i * stride + whole + c] = blocked[i * INGOT_BLOCK + c];
}

/* Task over pieces of images. */
static void move_row_pieces(void *argument, int64_t begin, int64_t end, int thread)
{
    enum { AT_ONCE = 8 };
    const rows_call *m = argument;
    const int64_t lanes = (m->channels + INGOT_BLOCK - 1) / INGOT_BLOCK * INGOT_BLOCK;

    (void)thread;
    for (int64_t i = begin; i < end; i++) {
        const int64_t image = i / m->pieces, p0 = i % m->pieces * m->piece, p1 = MIN(m->pixels, p0 + m->piece);
        float *rows = m->rows + m->at.offset + image * m->at.image_stride;
        float *blocked = m->blocked + image * lanes * m->pixels;
        for (int64_t p = p0; p < p1; p += AT_ONCE)
            move_rows(m, rows + p * m->at.pixel_stride, blocked + p * INGOT_BLOCK, MIN(p1 - p, (int64_t)AT_ONCE));
    }
}

/* Between the rows and the blocked image of the step, one of which is written. */
static void run_rows(ingot_op_ctx *c, const ingot_pixel_rows *at)
{
    enum { FLOATS = PIECE * INGOT_BLOCK };
    const bool to_blocked = c->in[0]->layout == INGOT_PLAIN;
    const ingot_tensor *image = to_blocked ? c->out[0] : c->in[0], *rows = to_blocked ? c->in[0] : c->out[0];
    const int64_t channels = image->shape[1], pixels = ingot_span(image, 2, image->rank);
    const int64_t piece = MAX(FLOATS / channels / INGOT_BLOCK * INGOT_BLOCK, (int64_t)INGOT_BLOCK);
    rows_call m = { *at, channels, pixels, piece, (pixels + piece - 1) / piece, rows->data, image->data, to_blocked };

    ingot_parallel(c->team, image->shape[0] * m.pieces, 1 + FLOATS / (channels * pixels + 1), move_row_pieces, &m);
}

/* Layout is not part of the shape: the planner sets it on input and output. */
static ingot_status infer_reorder(ingot_op_ctx *c) { return ingot_out_like(c, 0, c->in[0]); }

/* Reorder is our own node between operators of different layouts; equal layouts make it a copy. */
static ingot_status run_reorder(ingot_op_ctx *c)
{
    const ingot_tensor *x = c->in[0];

    if (c->state) {
        run_rows(c, c->state);
        return INGOT_OK;
    }
    if (x->layout == c->out[0]->layout) {
        if (x->data != c->out[0]->data)
            memcpy(c->out[0]->data, x->data, ingot_storage_bytes(x));
        return INGOT_OK;
    }
    move(c, x, x->data, c->out[0]->data, x->layout == INGOT_PLAIN);
    return INGOT_OK;
}

const ingot_op ingot_ops_blocked[] = {
    { "Reorder", 1, 1, 1, { INGOT_TYPE(FLOAT) | INGOT_TYPE(UINT8) | INGOT_TYPE(INT8) }, infer_reorder, run_reorder,
      .flags = INGOT_OP_LONG, .domain = "ingot.internal" },
    { 0 }
};
