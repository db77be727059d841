/* matmul_nbits.c - MatMulNBits: A times a B of 2, 4 or 8 bits an element, with a scale for every block of a column, as
 * quantizers of language models write it. A few columns at a time become floats in the thread's own memory, so that B
 * stays small in memory, and are multiplied from there. 16-bit floats are widened before and rounded behind.
 * Source: https://github.com/microsoft/onnxruntime/blob/main/docs/ContribOperators.md#com.microsoft.MatMulNBits */
#include "ops/weights.h"

/* Inputs: A (..., K), packed B, and scales are required; zero points, g_idx (a block for each element of k) and bias
 * may be missing. */
enum { A, B, SCALES, ZEROS, GROUPS, BIAS };
/* Columns that are widened at a time, and up to how many rows of A dot products are used instead of packing. */
enum { COLUMNS = 32, FEW_ROWS = 8 };

/* Sizes that stay the same from run to run. A block is `block` consecutive elements of one column of B, that is of k,
 * with one scale and one zero point; the last block of a column may be shorter in use but is stored whole. */
typedef struct nbits_state {
    int64_t m, n, k, bits, block, blocks;    /* blocks: of a column */
    size_t wide_bytes, packed_bytes;         /* a thread's floats of COLUMNS columns, as they are and in panels */
    const int32_t *groups;                   /* block of each element of k, where they are out of order; or NULL */
} nbits_state;

/* Sizes from the attributes N, K, bits and block_size, with every input checked against them. B holds n columns of
 * `blocks` blocks, packed without gaps; zero points are packed in bytes (each column from a byte of its own) or
 * floats; zero points, g_idx and bias may be missing. INVALID when a size does not fit; UNSUPPORTED for widths of
 * elements that are not 2, 4 or 8 bits. Products of sizes are checked for overflow, as they come from the file. */
static ingot_status read_nbits(ingot_op_ctx *c, nbits_state *s)
{
    const ingot_tensor *a = c->in[A], *scales = c->in[SCALES];

    *s = (nbits_state){ .n = ingot_attr_int(c->node, "N", 0), .k = ingot_attr_int(c->node, "K", 0),
                        .bits = ingot_attr_int(c->node, "bits", 4), .block = ingot_attr_int(c->node, "block_size", 0) };
    if (s->n < 1 || s->k < 1 || s->block < 8 || s->block > INT32_MAX || s->k > INT32_MAX || s->n > INT32_MAX ||
        (s->bits != 2 && s->bits != 4 && s->bits != 8))
        return ingot_op_fail(c, INGOT_UNSUPPORTED, "N %lld, K %lld, bits %lld, block_size %lld", (long long)s->n,
                             (long long)s->k, (long long)s->bits, (long long)s->block);
    /* A, then B and the scales, whose sizes follow from N, K and the blocks. */
    s->blocks = (s->k + s->block - 1) / s->block;
    if (a->rank < 1 || a->shape[a->rank - 1] != s->k)
        return ingot_op_fail(c, INGOT_INVALID, "the last dimension of A is not K, %lld", (long long)s->k);
    s->m = ingot_span(a, 0, a->rank - 1);
    size_t scale_count = 0, byte_count = 0;
    if (s->block * s->bits % 8 || !ingot_mul_size((size_t)s->n, (size_t)s->blocks, &scale_count) ||
        !ingot_mul_size(scale_count, (size_t)(s->block * s->bits / 8), &byte_count) ||
        (size_t)ingot_count(c->in[B]) != byte_count || (size_t)ingot_count(scales) != scale_count)
        return ingot_op_fail(c, INGOT_INVALID, "B or the scales do not have the size of %lld columns of %lld blocks",
                             (long long)s->n, (long long)s->blocks);
    /* The inputs that may be missing. */
    if (ingot_has(c, ZEROS)) {
        const bool bytes = c->in[ZEROS]->dtype == INGOT_UINT8;
        const int64_t want = s->n * (bytes ? (s->blocks * s->bits + 7) / 8 : s->blocks);
        if (ingot_count(c->in[ZEROS]) != want)
            return ingot_op_fail(c, INGOT_INVALID, "there are %lld zero points, expected %lld",
                                 (long long)ingot_count(c->in[ZEROS]), (long long)want);
    }
    if (ingot_has(c, GROUPS) && ingot_count(c->in[GROUPS]) < s->k)
        return ingot_op_fail(c, INGOT_INVALID, "g_idx has fewer than K elements");
    if (ingot_has(c, BIAS) && ingot_count(c->in[BIAS]) != s->n)
        return ingot_op_fail(c, INGOT_INVALID, "the bias does not have N elements");
    return INGOT_OK;
}

/* A's shape with N in place of K. */
static ingot_status infer_nbits(ingot_op_ctx *c)
{
    nbits_state s;
    int64_t shape[INGOT_MAX_RANK];
    const ingot_status st = read_nbits(c, &s);

    if (st)
        return st;
    for (int i = 0; i < c->in[A]->rank; i++)
        shape[i] = i < c->in[A]->rank - 1 ? c->in[A]->shape[i] : s.n;
    return ingot_out(c, 0, c->in[A]->dtype, c->in[A]->rank, shape);
}

/* Memory of a thread: COLUMNS columns of B as floats, and, where A has many rows, the same in the panels of the tiled
 * product. */
static ingot_status prepare_nbits(ingot_op_ctx *c)
{
    nbits_state *s = c->state = ingot_keep(c, sizeof *s);
    ingot_status st;

    if (!s)
        return ingot_op_out_of_memory(c);
    if ((st = read_nbits(c, s)))
        return st;
    s->wide_bytes = ((size_t)MIN(COLUMNS, s->n) * (size_t)s->k * sizeof(float) + INGOT_ALIGNMENT - 1) /
                    INGOT_ALIGNMENT * INGOT_ALIGNMENT;
    if (s->m > FEW_ROWS || c->batch_invariant)
        s->packed_bytes = (size_t)c->kernels->gemm_packed_f32(MIN(COLUMNS, s->n), s->k) * sizeof(float);
    ingot_want_scratch(c, ingot_one_type_bytes(c),
                       ingot_any_double(c) ? (size_t)s->k * sizeof(double) : s->wide_bytes + s->packed_bytes);
    return INGOT_OK;
}

/* Element i of a packed row, low bits first. */
static int element(const uint8_t *row, int64_t i, int64_t bits)
{
    return row[i * bits / 8] >> (i * bits % 8) & ((1 << bits) - 1);
}

/* The zero point of a block of a column: left out, it is the middle of the range; bytes hold it in as many bits as an
 * element; else it is a float already. */
static double zero_of(const ingot_op_ctx *c, const nbits_state *s, int64_t column, int64_t block)
{
    if (!ingot_has(c, ZEROS))
        return 1 << (s->bits - 1);
    const ingot_tensor *zeros = c->in[ZEROS];
    if (zeros->dtype != INGOT_UINT8)
        return ingot_double_at(zeros, column * s->blocks + block);
    return element((const uint8_t *)zeros->data + column * ((s->blocks * s->bits + 7) / 8), block, s->bits);
}

/* A column of B as k floats: (element - zero point) * scale. With g_idx each element names its block; without, blocks
 * follow each other, and for 4 bits the sixteen values that a block can have are computed once and looked up. */
static void widen_column(const ingot_op_ctx *c, const nbits_state *s, int64_t column, float *to)
{
    const float *scales = (const float *)c->in[SCALES]->data + column * s->blocks;
    const uint8_t *bytes = (const uint8_t *)c->in[B]->data + column * s->blocks * (s->block * s->bits / 8);

    if (s->groups) {
        for (int64_t i = 0; i < s->k; i++)
            to[i] = ((float)element(bytes, i, s->bits) - (float)zero_of(c, s, column, s->groups[i])) *
                    scales[s->groups[i]];
        return;
    }
    /* In order: the sixteen values of a 4-bit block are worked out once for all its elements. */
    for (int64_t block = 0; block < s->blocks; block++) {
        const float zero = (float)zero_of(c, s, column, block), scale = scales[block];
        const int64_t end = MIN(s->k, (block + 1) * s->block);
        float values[16];
        for (int v = 0; v < 16; v++)
            values[v] = ((float)v - zero) * scale;
        int64_t i = block * s->block;
        for (; s->bits == 4 && i + 2 <= end; i += 2) {
            to[i] = values[bytes[i / 2] & 15];
            to[i + 1] = values[bytes[i / 2] >> 4];
        }
        for (; i < end; i++)
            to[i] = ((float)element(bytes, i, s->bits) - zero) * scale;
    }
}

/* Task over groups of COLUMNS columns of the result. The columns of a group are widened once and multiplied with all
 * rows of A at once: with few rows as dot products straight from the columns, else packed for the tiled product. */
static void multiply_columns(void *argument, int64_t begin, int64_t end, int thread)
{
    ingot_op_ctx *c = argument;
    const nbits_state *s = c->state;
    char *const own = ingot_thread_scratch(c, thread);
    float *wide = (float *)(void *)own, *packed = (float *)(void *)(own + s->wide_bytes);

    for (int64_t i = begin; i < end; i++) {
        const int64_t first = i * COLUMNS, n = MIN(COLUMNS, s->n - first);
        const ingot_gemm g = { .m = s->m, .n = n, .k = s->k, .alpha = 1, .a_row = s->k, .a_col = 1, .ldc = s->n };
        const ingot_epilogue e = { .bias = ingot_has(c, BIAS) ? (const float *)c->in[BIAS]->data + first : NULL };
        float *y = (float *)c->out[0]->data + first;

        for (int64_t j = 0; j < n; j++)
            widen_column(c, s, first + j, wide + j * s->k);
        if (!s->packed_bytes) {
            c->kernels->gemm_dot_f32(&g, c->in[A]->data, wide, s->k, y, &e, 0, n);
            continue;
        }
        const int64_t panels = c->kernels->gemm_panels_f32(n);
        c->kernels->gemm_pack_f32(packed, wide, 1, s->k, n, s->k, 0, panels);
        c->kernels->gemm_f32(&g, c->in[A]->data, packed, y, &e, 0, s->m, 0, panels);
    }
}

/* Task over columns, in double: as the definition says. */
static void multiply_columns_f64(void *argument, int64_t begin, int64_t end, int thread)
{
    const ingot_op_ctx *c = argument;
    const nbits_state *s = c->state;
    double *wide = (double *)(void *)ingot_thread_scratch(c, thread);

    for (int64_t j = begin; j < end; j++) {
        const double *a = c->in[A]->data, *scales = (const double *)c->in[SCALES]->data + j * s->blocks;
        const uint8_t *bytes = (const uint8_t *)c->in[B]->data + j * s->blocks * (s->block * s->bits / 8);
        for (int64_t i = 0; i < s->k; i++) {
            const int64_t block = s->groups ? s->groups[i] : i / s->block;
            wide[i] = (element(bytes, i, s->bits) - zero_of(c, s, j, block)) * scales[block];
        }
        for (int64_t row = 0; row < s->m; row++, a += s->k) {
            double sum = ingot_has(c, BIAS) ? ((const double *)c->in[BIAS]->data)[j] : 0;
            for (int64_t i = 0; i < s->k; i++)
                sum += a[i] * wide[i];
            ((double *)c->out[0]->data)[row * s->n + j] = sum;
        }
    }
}

/* g_idx is an input, so its values are checked in every run before they index scales. */
static ingot_status run_plain(ingot_op_ctx *c)
{
    nbits_state *s = c->state;

    s->groups = ingot_has(c, GROUPS) ? c->in[GROUPS]->data : NULL;
    for (int64_t i = 0; s->groups && i < s->k; i++)
        if (s->groups[i] < 0 || s->groups[i] >= s->blocks)
            return ingot_op_fail(c, INGOT_INVALID, "g_idx %d is outside of %lld blocks", s->groups[i],
                                 (long long)s->blocks);
    if (s->m > 0 && c->in[A]->dtype == INGOT_DOUBLE)
        ingot_parallel(c->team, s->n, 1, multiply_columns_f64, c);
    else if (s->m > 0)
        ingot_parallel(c->team, (s->n + COLUMNS - 1) / COLUMNS, 1, multiply_columns, c);
    return INGOT_OK;
}

static ingot_status run_nbits(ingot_op_ctx *c) { return ingot_run_in_one_type(c, run_plain); }

/* A multiply and an add for each of K elements of every result. */
static int64_t count_flops(const ingot_op_ctx *c)
{
    return 2 * ingot_count(c->out[0]) * ingot_attr_int(c->node, "K", 0);
}

/* Double is more than there is elsewhere: float64 runs beside need it. */
#define FLOATS INGOT_TYPES_FLOAT

const ingot_op ingot_ops_matmul_nbits[] = {
    { "MatMulNBits", 1, 3, 6, { FLOATS, INGOT_TYPE(UINT8), FLOATS, FLOATS | INGOT_TYPE(UINT8), INGOT_TYPE(INT32),
                                FLOATS },
      infer_nbits, run_nbits, .prepare = prepare_nbits, .flops = count_flops,
      .flags = INGOT_OP_LONG, .domain = "com.microsoft" },
    { 0 }
};
