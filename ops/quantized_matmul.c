/* quantized_matmul.c - matrix products of 8-bit integers: MatMulInteger and QLinearMatMul, and MatMulIntegerToFloat,
 * DynamicQuantizeMatMul and QGemm as ONNX Runtime's quantizers write them. Which input plays which part is all that
 * tells them apart before the product; what becomes of its sums is the kernels' affair (ingot_dot_kind).
 *
 * B is packed once per model where it is a constant. A is read where it lies if its rows are whole pieces of bytes, and
 * laid out as operand elements else. Where scales or zero points belong to rows of A, rows are multiplied one by
 * one. */
#include "ops/matmul_shape.h"
#include "ops/quantized.h"
#include "ops/quantized_float8.h"
#include "ops/small_float.h"

#include <string.h>

/* Rows of a task at least, and how many tasks are aimed at. */
enum { ITEM_ROWS = 96, ITEMS = 16 };

/* Which inputs of an operator play which part; NO where it has no such input. Inputs that a model may leave out are
 * found missing in a run. */
typedef struct matmul_roles {
    const char *op_type;
    int a, a_scale, a_zero, b, b_scale, b_zero, y_scale, y_zero, bias;
    ingot_dot_kind kind;         /* without y_scale a byte becomes a float */
    bool dynamic;                /* A is float, and quantized first */
} matmul_roles;

#define NO INGOT_NONE
static const matmul_roles all_roles[] = {
    { "MatMulInteger", 0, NO, 2, 1, NO, 3, NO, NO, NO, INGOT_DOT_INT32, false },
    { "QLinearMatMul", 0, 1, 2, 3, 4, 5, 6, 7, NO, INGOT_DOT_BYTE, false },
    { "MatMulIntegerToFloat", 0, 2, 4, 1, 3, 5, NO, NO, 6, INGOT_DOT_FLOAT, false },
    { "DynamicQuantizeMatMul", 0, NO, NO, 1, 2, 3, NO, NO, 4, INGOT_DOT_FLOAT, true },
    { "QGemm", 0, 1, 2, 3, 4, 5, 7, 8, 6, INGOT_DOT_BYTE, false },
};

/* One node's product. a_matrices and b_matrices count what the tensors hold; product.matrices what is computed, after
 * broadcasting. columns are those of one B with what fills up its last panel; the sizes named _bytes are of scratch
 * memory. */
typedef struct matmul_state {
    const matmul_roles *roles;
    ingot_dot_kind kind;
    ingot_product product;       /* its offsets count matrices; rows and columns of A and B by its steps */
    int64_t length, a_rows, a_matrices, b_matrices, columns;   /* a_rows: of all matrices */
    float alpha;
    bool by_rows;                /* parameters of A or Y differ between rows */
    bool direct;                 /* A is read where it lies */
    ingot_dot dot;
    const char *packed;          /* constant B; NULL: packed in every run */
    size_t matrix_bytes, packed_bytes, a_bytes, parameter_bytes, quantized_bytes;
} matmul_state;

/* A run. bytes, a and packed are A and B in the forms they go through; scales, add and biases are parameters by
 * column. */
typedef struct matmul_work {
    ingot_op_ctx *c;
    const matmul_state *state;
    const uint8_t *bytes;        /* A, as it is or quantized */
    char *a;                     /* A as operand elements */
    const char *packed;
    float *scales;               /* of all columns of all matrices of B */
    int32_t *add;
    float *biases;               /* of float results: one for each column; NULL: none */
    float a_scale;               /* of a dynamically quantized A */
    int a_zero;
    int64_t row_items, panel_items;
} matmul_work;

/* A row is one stretch: a window of one tap at distance 0. */
static const int64_t one_tap[1] = { 0 };

/* ---- shapes ---- */

/* The row of all_roles for this operator. */
static const matmul_roles *find_roles(const ingot_op_ctx *c)
{
    const matmul_roles *r = all_roles;
    while (strcmp(r->op_type, c->node->op_type))
        r++;                     /* every record below has its row */
    return r;
}

/* QGemm's operands are matrices, either of which may be transposed by swapping its steps. INVALID when they do not
 * multiply. */
static ingot_status read_gemm(ingot_op_ctx *c, matmul_state *s, int64_t *shape, int *rank)
{
    const ingot_tensor *a = c->in[s->roles->a], *b = c->in[s->roles->b];
    const bool ta = ingot_attr_int(c->node, "transA", 0) != 0, tb = ingot_attr_int(c->node, "transB", 0) != 0;
    ingot_product *p = &s->product;

    if (a->rank != 2 || b->rank != 2 || a->shape[!ta] != b->shape[tb])
        return ingot_op_fail(c, INGOT_INVALID, "the shapes of A and B do not multiply");
    *p = (ingot_product){ .matrices = 1, .m = a->shape[ta], .k = a->shape[!ta], .n = b->shape[!tb] };
    p->a_row = ta ? 1 : p->k;
    p->a_col = ta ? p->m : 1;
    p->b_row = tb ? 1 : p->n;
    p->b_col = tb ? p->k : 1;
    shape[0] = p->m;
    shape[1] = p->n;
    *rank = 2;
    return INGOT_OK;
}

/* Sizes of the product and shape of the result, with every input checked against them. Scales and zero points belong
 * to a whole tensor, or to rows of A and Y, or columns of B, of one or of every matrix. INVALID where one does not
 * fit; a bias that is not a vector over columns is UNSUPPORTED. */
static ingot_status read_product(ingot_op_ctx *c, matmul_state *s, int64_t *shape, int *rank)
{
    const matmul_roles *r = s->roles = find_roles(c);
    const ingot_tensor *a = c->in[r->a], *b = c->in[r->b];
    ingot_product *p = &s->product;
    const bool gemm = !strcmp(r->op_type, "QGemm");
    ingot_status st = gemm ? read_gemm(c, s, shape, rank) : ingot_matmul_shape(c, a, b, p, shape, rank);

    if (st)
        return st;
    /* A result without a scale of its own is a float. */
    s->kind = r->kind == INGOT_DOT_BYTE && !ingot_quantized_input(c, r->y_scale) ? INGOT_DOT_FLOAT : r->kind;
    s->alpha = gemm ? ingot_attr_float(c->node, "alpha", 1.0f) : 1.0f;
    s->a_matrices = ingot_span(a, 0, MAX(a->rank - 2, 0));
    s->b_matrices = ingot_span(b, 0, MAX(b->rank - 2, 0));
    if ((st = ingot_quantized_check(c, r->a_scale, p->m, s->a_matrices, INGOT_TYPES_SCALE)) ||
        (st = ingot_quantized_check(c, r->a_zero, p->m, s->a_matrices, UINT64_C(1) << a->dtype)) ||
        (st = ingot_quantized_check(c, r->b_scale, p->n, s->b_matrices, INGOT_TYPES_SCALE)) ||
        (st = ingot_quantized_check(c, r->b_zero, p->n, s->b_matrices, UINT64_C(1) << b->dtype)) ||
        (st = ingot_quantized_check(c, r->y_scale, p->m, p->matrices, INGOT_TYPES_SCALE)) ||
        (st = ingot_quantized_check(c, r->y_zero, p->m, p->matrices, INGOT_TYPES_BYTE)))
        return st;
    const ingot_tensor *bias = ingot_quantized_input(c, r->bias);
    if (bias && (ingot_count(bias) != p->n || bias->dtype != (gemm ? INGOT_INT32 : INGOT_FLOAT)))
        return ingot_op_fail(c, INGOT_UNSUPPORTED, "a bias that is not one number for each of %lld columns",
                             (long long)p->n);
    return INGOT_OK;
}

/* numpy.matmul's shape; int32, float, or a byte of the type of Y's zero point (without one, A's). */
static ingot_status infer_quantized(ingot_op_ctx *c)
{
    matmul_state s = { 0 };
    int64_t shape[INGOT_MAX_RANK + 2];
    int rank;
    const ingot_status st = read_product(c, &s, shape, &rank);

    if (st)
        return st;
    const ingot_tensor *zero = ingot_quantized_input(c, s.roles->y_zero);
    return ingot_out(c, 0, s.kind == INGOT_DOT_INT32 ? INGOT_INT32 : s.kind == INGOT_DOT_FLOAT ? INGOT_FLOAT
                     : zero ? zero->dtype : c->in[s.roles->a]->dtype, rank, shape);
}

/* ---- preparing ---- */

/* The zero point of a column of a matrix of B, 0 where there is none. */
static int b_zero_at(const ingot_op_ctx *c, const matmul_state *s, int64_t matrix, int64_t column)
{
    return (int)ingot_quantized_at(ingot_quantized_input(c, s->roles->b_zero), s->product.n, matrix, column, 0);
}

/* Task over the matrices of B: pack one, with the zero points of its columns, which are kept in w->add for the
 * while. */
static void pack_matrices(void *argument, int64_t begin, int64_t end, int thread)
{
    const matmul_work *w = argument;
    const matmul_state *s = w->state;
    const ingot_product *p = &s->product;

    (void)thread;
    for (int64_t i = begin; i < end; i++) {
        int32_t *zeros = w->add + i * s->columns;      /* what is added comes later */
        for (int64_t j = 0; j < p->n; j++)
            zeros[j] = b_zero_at(w->c, s, i, j);
        w->c->kernels->dot_pack_i8(&s->dot, (char *)(uintptr_t)w->packed + i * (int64_t)s->matrix_bytes,
                                   (const char *)w->c->in[s->roles->b]->data + i * p->k * p->n, p->b_row, p->b_col,
                                   p->k, zeros, 0, w->c->kernels->dot_panels_i8(&s->dot));
    }
}

/* Pack B for all plans, where it and its zero points are constants; else s->packed stays NULL. LIMIT when memory is
 * out. */
static ingot_status pack_constant(ingot_op_ctx *c, matmul_state *s)
{
    const uint64_t tag = UINT64_C(0x514d) << 32 | (uint64_t)c->kernels->dot_bytes << 8 | (uint64_t)c->kernels->lanes;
    bool fill = false;

    if (!ingot_quantized_known(c, s->roles->b) || !ingot_quantized_known(c, s->roles->b_zero))
        return INGOT_OK;
    char *packed = ingot_packed(c, tag, s->packed_bytes, &fill);
    int32_t *zeros = fill ? ingot_work_alloc(c, s->parameter_bytes) : NULL;
    if (!packed || (fill && !zeros))
        return ingot_op_out_of_memory(c);
    if (fill)
        ingot_parallel(c->team, s->b_matrices, 1, pack_matrices,
                       &(matmul_work){ .c = c, .state = s, .packed = packed, .add = zeros });
    ingot_work_free(c, zeros);
    s->packed = packed;
    return INGOT_OK;
}

/* Does any column's zero point matter, given how the kernels hold bytes of this sign? Unsigned ones are shifted by
 * 128. Not known yet counts as yes. */
static bool has_zeros(const ingot_op_ctx *c, const matmul_state *s)
{
    const int middle = c->in[s->roles->b]->dtype == INGOT_INT8 ? 0 : 128;

    if (!ingot_quantized_known(c, s->roles->b_zero))
        return true;
    for (int64_t i = 0; i < s->b_matrices * s->product.n; i++)
        if (b_zero_at(c, s, i / s->product.n, i % s->product.n) != middle)
            return true;
    return false;
}

/* Does a parameter belong to its whole tensor? */
static bool is_single(const ingot_op_ctx *c, int i)
{
    const ingot_tensor *parameter = ingot_quantized_input(c, i);
    return !parameter || ingot_count(parameter) == 1;
}

/* Sizes of everything that is packed or laid out; they come from the model and are checked (LIMIT). Rows are filled
 * up to whole pieces of INGOT_BLOCK elements; `direct` needs no filling up, elements as bytes, and rows in order. */
static ingot_status plan_sizes(ingot_op_ctx *c, matmul_state *s)
{
    const ingot_product *p = &s->product;
    const matmul_roles *r = s->roles;
    size_t panel_bytes, count;

    s->length = (p->k + INGOT_BLOCK - 1) / INGOT_BLOCK * INGOT_BLOCK;
    s->dot = (ingot_dot){ .n = p->n, .taps = 1, .blocks = s->length / INGOT_BLOCK, .tap_at = one_tap,
                          .block_step = INGOT_BLOCK, .row_step = s->length, .b_zeros = has_zeros(c, s),
                          .a_signed = c->in[r->a]->dtype == INGOT_INT8, .b_signed = c->in[r->b]->dtype == INGOT_INT8 };
    /* How A is read, and whether its rows have parameters. */
    s->a_rows = s->a_matrices * p->m;
    s->by_rows = !is_single(c, r->a_scale) || !is_single(c, r->a_zero) || !is_single(c, r->y_scale) ||
                 !is_single(c, r->y_zero);
    s->direct = c->kernels->dot_bytes == 1 && s->length == p->k && p->a_col == 1;
    if (!ingot_mul_size((size_t)s->length + 16, (size_t)p->n + 64, &panel_bytes) ||
        !ingot_mul_size(panel_bytes, 4 * (size_t)MAX(s->b_matrices, 1), &count) ||
        !ingot_mul_size((size_t)s->length + 16, 2 * (size_t)MAX(p->m, 1), &panel_bytes) ||
        !ingot_mul_size(panel_bytes, (size_t)MAX(s->a_matrices, 1), &count))
        return ingot_op_out_of_memory(c);
    s->columns = c->kernels->dot_columns_i8(&s->dot);
    s->matrix_bytes = ingot_aligned_bytes(c->kernels->dot_packed_i8(&s->dot), 1);
    s->packed_bytes = s->matrix_bytes * (size_t)s->b_matrices;
    s->a_bytes = s->direct ? 0 : ingot_aligned_bytes(s->a_matrices * p->m * s->length, (size_t)c->kernels->dot_bytes);
    s->parameter_bytes = ingot_aligned_bytes(s->b_matrices * s->columns, sizeof(float));
    s->quantized_bytes = r->dynamic ? ingot_aligned_bytes(s->a_matrices * p->m * p->k, 1) : 0;
    return INGOT_OK;
}

/* A single B makes one tall product of the whole batch, unless rows have parameters, whose number counts within a
 * matrix. Offsets count matrices here, as operands are laid out anew. */
static ingot_status prepare_quantized(ingot_op_ctx *c)
{
    matmul_state *s = c->state = ingot_keep(c, sizeof *s);
    int64_t shape[INGOT_MAX_RANK + 2];
    int rank;

    if (!s)
        return ingot_op_out_of_memory(c);
    ingot_status st = read_product(c, s, shape, &rank);
    if (st || ingot_count(c->out[0]) == 0 || (st = plan_sizes(c, s)))
        return st;                               /* without results sizes need not be sensible */
    ingot_product *p = &s->product;
    const ingot_tensor *a = c->in[s->roles->a], *b = c->in[s->roles->b];
    const int n_batch = MAX(MAX(a->rank, b->rank) - 2, 0);
    if (b->rank <= 2 && !s->by_rows) {
        p->m *= p->matrices;
        p->matrices = 1;
    }
    /* Which matrices each product takes. */
    p->a_at = ingot_keep(c, (size_t)p->matrices * sizeof *p->a_at);
    p->b_at = ingot_keep(c, (size_t)p->matrices * sizeof *p->b_at);
    if (!p->a_at || !p->b_at)
        return ingot_op_out_of_memory(c);
    if (p->matrices > 1) {
        ingot_matmul_offsets(a, shape, n_batch, 1, p->a_at, p->matrices);
        ingot_matmul_offsets(b, shape, n_batch, 1, p->b_at, p->matrices);
    }
    if ((st = pack_constant(c, s)))
        return st;
    ingot_want_scratch(c, 3 * s->parameter_bytes + s->quantized_bytes + s->a_bytes + (s->packed ? 0 : s->packed_bytes),
                       s->by_rows ? 2 * ingot_aligned_bytes(s->columns, sizeof(float)) : 0);
    c->kernel = s->direct ? "int8 in place" : "int8";
    return INGOT_OK;
}

/* ---- running ---- */

/* The zero point of a row of A, that of this run when A is quantized dynamically. */
static int a_zero_at(const matmul_work *w, int64_t matrix, int64_t row)
{
    const ingot_tensor *zeros = ingot_quantized_input(w->c, w->state->roles->a_zero);
    return w->state->roles->dynamic ? w->a_zero
                                    : (int)ingot_quantized_at(zeros, w->state->product.m, matrix, row, 0);
}

/* Task over the rows of all matrices of A: operand elements, the last piece filled up with anything. */
static void lay_rows(void *argument, int64_t begin, int64_t end, int thread)
{
    const matmul_work *w = argument;
    const matmul_state *s = w->state;
    const ingot_product *p = &s->product;
    const int64_t size = w->c->kernels->dot_bytes;

    (void)thread;
    for (int64_t i = begin; i < end; i++) {
        const int64_t matrix = i / p->m, row = i % p->m;
        const uint8_t *from = w->bytes + matrix * p->m * p->k + row * p->a_row;
        const int zero = a_zero_at(w, matrix, row);
        char *to = w->a + i * s->length * size;
        /* What fills up the last piece meets zeros of B. */
        memset(to + p->k * size, 0, (size_t)((s->length - p->k) * size));
        if (p->a_col == 1)
            w->c->kernels->dot_line_i8(to, from, p->k, s->dot.a_signed, zero);
        else
            for (int64_t l = 0; l < p->k; l++)
                w->c->kernels->dot_line_i8(to + l * size, from + l * p->a_col, 1, s->dot.a_signed, zero);
    }
}

/* Part of one product: `rows` rows from `row` on, at panels [p0, p1). scale and add are for rows with parameters of
 * their own; NULL: those of the matrix's columns. */
static void multiply(const matmul_work *w, int64_t matrix, int64_t row, int64_t rows, int64_t p0, int64_t p1,
                     const float *scale, const int32_t *add)
{
    const matmul_state *s = w->state;
    const ingot_product *p = &s->product;
    const ingot_tensor *y_zero = ingot_quantized_input(w->c, s->roles->y_zero);
    const int64_t first = p->a_at[matrix] * p->m + row, at = p->b_at[matrix] * s->columns;
    const int64_t size = s->kind == INGOT_DOT_BYTE ? 1 : 4;
    ingot_dot_out out = { .kind = s->kind };

    if (s->kind == INGOT_DOT_BYTE)
        ingot_quantized_out(w->c->out[0]->dtype, (int)ingot_quantized_at(y_zero, p->m, matrix, row, 0), &out);
    out.row = p->n;
    out.block = INGOT_BLOCK;
    out.add = add ? add : w->add + at;
    out.scale = scale ? scale : w->scales + at;
    out.bias = s->kind == INGOT_DOT_FLOAT ? w->biases : NULL;
    w->c->kernels->dot_i8(&s->dot, w->a + first * s->length * w->c->kernels->dot_bytes,
                          w->packed + p->b_at[matrix] * (int64_t)s->matrix_bytes,
                          (char *)w->c->out[0]->data + (matrix * p->m + row) * p->n * size, &out, rows, p0, p1);
}

/* Factors of all columns of a matrix of B: a_scale * b_scale * alpha / y_scale in float, zeros for columns that only
 * fill up a panel. */
static void read_scales(const matmul_work *w, int64_t b_matrix, float a_scale, float y_scale, float *scales)
{
    const matmul_state *s = w->state;
    const ingot_tensor *b_scale = ingot_quantized_input(w->c, s->roles->b_scale);
    const int64_t n = s->product.n;

    if (b_scale && b_scale->dtype == INGOT_FLOAT && ingot_count(b_scale) == n && s->alpha == 1 && y_scale == 1) {
        for (int64_t j = 0; j < n; j++)          /* what changes with every run when A is quantized dynamically */
            scales[j] = a_scale * ((const float *)b_scale->data)[j];
        memset(scales + n, 0, (size_t)(s->columns - n) * sizeof *scales);
        return;
    }
    for (int64_t j = 0; j < s->columns; j++)
        scales[j] = j >= n ? 0.0f
                    : a_scale * (float)ingot_quantized_at(b_scale, n, b_matrix, j, 1) * s->alpha / y_scale;
}

/* Bias that is added to the sums: only QGemm has one. */
static const int32_t *int_bias(const matmul_work *w)
{
    const ingot_tensor *bias = ingot_quantized_input(w->c, w->state->roles->bias);
    return bias && bias->dtype == INGOT_INT32 ? bias->data : NULL;
}

/* Task over rows with parameters of their own: scales and sums are made anew for each row, in the thread's memory. */
static void multiply_rows(void *argument, int64_t begin, int64_t end, int thread)
{
    const matmul_work *w = argument;
    const matmul_state *s = w->state;
    const ingot_product *p = &s->product;
    const ingot_tensor *a_scale = ingot_quantized_input(w->c, s->roles->a_scale);
    const ingot_tensor *y_scale = ingot_quantized_input(w->c, s->roles->y_scale);
    char *const own = ingot_thread_scratch(w->c, thread);
    float *scales = (float *)(void *)own;
    int32_t *add = (int32_t *)(void *)(own + ingot_aligned_bytes(s->columns, sizeof(float)));

    for (int64_t i = begin; i < end; i++) {
        const int64_t matrix = i / p->m, row = i % p->m;
        read_scales(w, p->b_at[matrix], (float)ingot_quantized_at(a_scale, p->m, p->a_at[matrix], row, 1),
                    (float)ingot_quantized_at(y_scale, p->m, matrix, row, 1), scales);
        w->c->kernels->dot_add_i8(&s->dot, w->packed + p->b_at[matrix] * (int64_t)s->matrix_bytes, int_bias(w),
                                  a_zero_at(w, p->a_at[matrix], row), add);
        multiply(w, matrix, row, 1, 0, w->c->kernels->dot_panels_i8(&s->dot), scales, add);
    }
}

/* Task over parts of all products: ranges of rows by ranges of panels, cut alike for every matrix. */
static void multiply_items(void *argument, int64_t begin, int64_t end, int thread)
{
    const matmul_work *w = argument;
    const int64_t m = w->state->product.m, panels = w->c->kernels->dot_panels_i8(&w->state->dot);

    (void)thread;
    for (int64_t i = begin; i < end; i++) {
        const int64_t matrix = i / (w->row_items * w->panel_items), part = i % (w->row_items * w->panel_items);
        const int64_t r = part / w->panel_items, p = part % w->panel_items, row = m * r / w->row_items;
        multiply(w, matrix, row, m * (r + 1) / w->row_items - row, panels * p / w->panel_items,
                 panels * (p + 1) / w->panel_items, NULL, NULL);
    }
}

/* What the threads share while A becomes bytes. */
typedef struct quantize_job {
    const ingot_kernels *kernels;
    const float *src;
    uint8_t *dst;
    float scale;
    int zero;
} quantize_job;

/* Task over elements. */
static void quantize_range(void *argument, int64_t begin, int64_t end, int thread)
{
    const quantize_job *q = argument;

    (void)thread;
    q->kernels->quantize_i8(q->dst + begin, q->src + begin, end - begin, q->scale, q->zero, (float)-q->zero,
                            255.0f - (float)q->zero);
}

/* A to bytes, as DynamicQuantizeLinear does it: one scale and zero point for the whole tensor, from its range. */
static void quantize_a(matmul_work *w, uint8_t *to)
{
    const ingot_tensor *a = w->c->in[w->state->roles->a];
    quantize_job q = { .kernels = w->c->kernels, .src = a->data, .dst = to };

    ingot_dynamic_scale(w->c->kernels, a->data, ingot_count(a), &q.scale, &q.zero);
    ingot_parallel(w->c->team, ingot_count(a), 16384, quantize_range, &q);
    w->bytes = to;
    w->a_scale = q.scale;
    w->a_zero = q.zero;
}

/* A and B as the kernels want them, and the parameters of all columns. `next` is scratch memory. */
static void lay_out(matmul_work *w, char *next)
{
    const matmul_state *s = w->state;
    const matmul_roles *r = s->roles;
    ingot_op_ctx *c = w->c;
    const ingot_tensor *bias = ingot_quantized_input(c, r->bias);

    /* A: quantized if it is float, then as operand elements. */
    w->bytes = c->in[r->a]->data;
    w->a_scale = s->by_rows ? 1.0f : ingot_quantized_scale(c, r->a_scale);
    if (r->dynamic)
        quantize_a(w, (uint8_t *)next);
    next += s->quantized_bytes;
    w->a = s->direct ? (char *)(uintptr_t)w->bytes : next;
    next += s->a_bytes;
    if (!s->direct)
        ingot_parallel(c->team, s->a_rows, 1 + 16384 / (1 + s->length), lay_rows, w);
    /* B, unless it was a constant. */
    w->packed = s->packed ? s->packed : next;
    if (!s->packed)
        ingot_parallel(c->team, s->b_matrices, 1, pack_matrices, w);
    /* Parameters of columns, unless rows make their own. */
    const float y_scale = s->by_rows ? 1.0f : ingot_quantized_scale(c, r->y_scale);
    for (int64_t i = 0; i < s->b_matrices && !s->by_rows; i++) {
        read_scales(w, i, w->a_scale, y_scale, w->scales + i * s->columns);
        c->kernels->dot_add_i8(&s->dot, w->packed + i * (int64_t)s->matrix_bytes, int_bias(w), a_zero_at(w, 0, 0),
                               w->add + i * s->columns);
    }
    if (bias && bias->dtype == INGOT_FLOAT) {
        memset(w->biases, 0, s->parameter_bytes);
        memcpy(w->biases, bias->data, (size_t)s->product.n * sizeof(float));
    } else {
        w->biases = NULL;
    }
}

/* Packs A, and B unless it was a constant, then shares out parts of every product. */
static ingot_status run_quantized(ingot_op_ctx *c)
{
    const matmul_state *s = c->state;
    const ingot_product *p = &s->product;
    const int64_t panels = c->kernels->dot_panels_i8(&s->dot);
    matmul_work w = { .c = c, .state = s, .scales = (float *)(void *)c->scratch,
                      .add = (int32_t *)(void *)(c->scratch + s->parameter_bytes),
                      .biases = (float *)(void *)(c->scratch + 2 * s->parameter_bytes) };

    if (ingot_count(c->out[0]) == 0)
        return INGOT_OK;
    lay_out(&w, c->scratch + 3 * s->parameter_bytes);
    if (s->by_rows) {
        ingot_parallel(c->team, p->matrices * p->m, 1, multiply_rows, &w);
        return INGOT_OK;
    }
    w.row_items = MAX(1, p->m / ITEM_ROWS);
    w.panel_items = MAX(1, MIN(panels, (ITEMS + w.row_items * p->matrices - 1) / (w.row_items * p->matrices)));
    if (p->m * p->n * MAX(p->k, 1) < 32768)
        w.row_items = w.panel_items = 1;
    ingot_parallel(c->team, p->matrices * w.row_items * w.panel_items, 1, multiply_items, &w);
    return INGOT_OK;
}

/* A multiply and an add for each of the k elements behind a result. */
static int64_t count_flops(const ingot_op_ctx *c)
{
    const ingot_tensor *a = c->in[0];
    const bool transposed = ingot_attr_int(c->node, "transA", 0) != 0;
    return a->rank ? 2 * ingot_count(c->out[0]) * a->shape[transposed ? 0 : a->rank - 1] : 0;
}

/* QLinearMatMul from opset 21 on: 8-bit floats go their own way. */
static bool is_float8(const ingot_op_ctx *c) { return INGOT_TYPES_FLOAT8 >> c->in[0]->dtype & 1; }

static ingot_status infer_any(ingot_op_ctx *c)
{
    if (is_float8(c) != (INGOT_TYPES_FLOAT8 >> c->in[3]->dtype & 1))
        return ingot_op_fail(c, INGOT_INVALID, "one operand is of 8-bit floats, the other of integers");
    return is_float8(c) ? ingot_float8_matmul_infer(c) : infer_quantized(c);
}

static ingot_status prepare_any(ingot_op_ctx *c) { return is_float8(c) ? INGOT_OK : prepare_quantized(c); }

static ingot_status run_any(ingot_op_ctx *c) { return is_float8(c) ? ingot_float8_matmul_run(c) : run_quantized(c); }

/* the last set of types stands for the inputs after it as well, which ingot_quantized_check() looks at */
#define BYTES INGOT_TYPES_BYTE
#define SCALES INGOT_TYPES_SCALE
#define PRODUCT(name, since, min, max, origin, ...) \
    { name, since, min, max, { __VA_ARGS__ }, infer_quantized, run_quantized, prepare_quantized, \
      .flops = count_flops, .flags = INGOT_OP_LONG, .domain = origin }

const ingot_op ingot_ops_quantized_matmul[] = {
    PRODUCT("MatMulInteger", 10, 2, 4, NULL, BYTES, BYTES, BYTES, BYTES),
    PRODUCT("QLinearMatMul", 10, 8, 8, NULL, BYTES, SCALES, BYTES, BYTES, SCALES, BYTES | SCALES),
    { "QLinearMatMul", 21, 8, 8,
      { BYTES | INGOT_TYPES_FLOAT8, SCALES, BYTES | INGOT_TYPES_FLOAT8, BYTES | INGOT_TYPES_FLOAT8, SCALES,
        BYTES | INGOT_TYPES_FLOAT8 | SCALES },
      infer_any, run_any, prepare_any, .flops = count_flops, .flags = INGOT_OP_LONG },
    PRODUCT("MatMulIntegerToFloat", 1, 4, 7, "com.microsoft", BYTES, BYTES, SCALES, SCALES, BYTES, BYTES | SCALES),
    PRODUCT("DynamicQuantizeMatMul", 1, 3, 5, "com.microsoft", INGOT_TYPE(FLOAT), BYTES, SCALES, BYTES, SCALES),
    PRODUCT("QGemm", 1, 6, 9, "com.microsoft", BYTES, SCALES, BYTES, BYTES, SCALES,
            BYTES | SCALES | INGOT_TYPE(INT32)),
    { 0 }
};
