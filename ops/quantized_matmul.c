/* quantized_matmul.c - MatMulInteger and QLinearMatMul. Both operands are widened to 16 bits with their zero points
 * taken off, B turned so that its columns are rows (once per model where it is a constant), and tiles of the result are
 * products of rows. MatMulInteger's result is these sums; QLinearMatMul scales them into its output type, tile by tile.
 */
#include "ops/matmul_shape.h"
#include "ops/quantized.h"

#include <string.h>

enum { TILE_M = 8, TILE_N = 64 };

/* Which inputs play which part; INGOT_NONE: the operator has no such input. */
typedef struct matmul_roles {
    int a, a_scale, a_zero, b, b_scale, b_zero, y_scale, y_zero;
} matmul_roles;

static const matmul_roles integer_roles = { 0, INGOT_NONE, 2, 1, INGOT_NONE, 3, INGOT_NONE, INGOT_NONE };
static const matmul_roles linear_roles = { 0, 1, 2, 3, 4, 5, 6, 7 };

typedef struct matmul_state {
    const matmul_roles *roles;
    ingot_product product;       /* its offsets count matrices */
    int64_t length, a_matrices, b_matrices;
    const int16_t *packed;       /* constant B; NULL: packed in every run */
    size_t a_bytes;              /* of A in scratch memory */
} matmul_state;

typedef struct matmul_work {
    ingot_op_ctx *c;
    const matmul_state *state;
    int16_t *a, *b;
} matmul_work;

/* Which input is which differs between MatMulInteger and QLinearMatMul; all else is shared. */
static const matmul_roles *find_roles(const ingot_op_ctx *c)
{
    return strcmp(c->node->op_type, "MatMulInteger") ? &linear_roles : &integer_roles;
}

static const ingot_tensor *input(const ingot_op_ctx *c, int i)
{
    return i != INGOT_NONE && ingot_has(c, i) ? c->in[i] : NULL;
}

/* Scales and zero points belong to the tensor, to a line (row of A and Y, column of B), or to a line of each matrix. */
static int64_t parameter_index(const ingot_tensor *parameter, int64_t lines, int64_t matrix, int64_t line)
{
    const int64_t n = ingot_count(parameter);
    return n == 1 ? 0 : n == lines ? line : matrix * lines + line;
}

/* A zero point is one number, or one for each row or column; left out it is 0. */
static int zero_of(const ingot_tensor *zeros, int64_t lines, int64_t matrix, int64_t line)
{
    return zeros ? (int)ingot_int_at(zeros, parameter_index(zeros, lines, matrix, line)) : 0;
}

static float scale_of(const ingot_tensor *scales, int64_t lines, int64_t matrix, int64_t line)
{
    return (float)ingot_double_at(scales, parameter_index(scales, lines, matrix, line));
}

/* Does input i (if there is one) have as many elements as parameter_index() expects, and one of the types `allowed`? */
static ingot_status check_parameter(ingot_op_ctx *c, int i, int64_t lines, int64_t matrices, uint64_t allowed)
{
    const ingot_tensor *parameter = input(c, i);
    const int64_t n = parameter ? ingot_count(parameter) : 1;

    if (n != 1 && n != lines && n != lines * matrices)
        return ingot_op_fail(c, INGOT_INVALID, "input %d has %lld elements for %lld matrices of %lld lines", i,
                             (long long)n, (long long)matrices, (long long)lines);
    if (parameter && !(allowed >> parameter->dtype & 1))
        return ingot_op_fail(c, INGOT_INVALID, "input %d has type %s, which does not go with the others", i,
                             ingot_dtype_name(parameter->dtype));
    return INGOT_OK;
}

/* Sizes of the product and shape of the result, with every input checked against them. */
static ingot_status read_product(ingot_op_ctx *c, matmul_state *s, int64_t *shape, int *rank)
{
    const matmul_roles *r = s->roles = find_roles(c);
    const ingot_tensor *a = c->in[r->a], *b = c->in[r->b];
    ingot_product *p = &s->product;
    ingot_status st = ingot_matmul_shape(c, a, b, p, shape, rank);

    if (st)
        return st;
    s->a_matrices = ingot_span(a, 0, MAX(a->rank - 2, 0));
    s->b_matrices = ingot_span(b, 0, MAX(b->rank - 2, 0));
    s->length = ingot_wide_length(p->k);
    if ((st = check_parameter(c, r->a_scale, p->m, s->a_matrices, INGOT_TYPES_SCALE)) ||
        (st = check_parameter(c, r->a_zero, p->m, s->a_matrices, UINT64_C(1) << a->dtype)) ||
        (st = check_parameter(c, r->b_scale, p->n, s->b_matrices, INGOT_TYPES_SCALE)) ||
        (st = check_parameter(c, r->b_zero, p->n, s->b_matrices, UINT64_C(1) << b->dtype)) ||
        (st = check_parameter(c, r->y_scale, p->m, p->matrices, INGOT_TYPES_SCALE)))
        return st;
    return check_parameter(c, r->y_zero, p->m, p->matrices, INGOT_TYPES_BYTE);
}

/* numpy.matmul's shape; int32 for MatMulInteger, else the type of Y's zero point. */
static ingot_status infer_quantized(ingot_op_ctx *c)
{
    matmul_state s;
    int64_t shape[INGOT_MAX_RANK + 2];
    int rank;
    ingot_status st = read_product(c, &s, shape, &rank);

    if (st)
        return st;
    const ingot_tensor *zero = input(c, s.roles->y_zero);
    return ingot_out(c, 0,
                     s.roles == &integer_roles ? INGOT_INT32
                     : zero                    ? zero->dtype
                                               : c->in[s.roles->a]->dtype,
                     rank, shape);
}

/* Columns [begin, end), counted through all matrices of B, become rows of w->b. */
static void pack_columns(void *argument, int64_t begin, int64_t end, int thread)
{
    const matmul_work *w = argument;
    const matmul_state *s = w->state;
    const ingot_product *p = &s->product;
    const ingot_tensor *b = w->c->in[s->roles->b], *zeros = input(w->c, s->roles->b_zero);

    (void)thread;
    for (int64_t i = begin; i < end; i++) {
        const int64_t matrix = i / p->n, column = i % p->n;
        ingot_widen_bytes_row(w->b + i * s->length, (const char *)b->data + matrix * p->k * p->n + column, b->dtype,
                              p->k, p->n, zero_of(zeros, p->n, matrix, column));
    }
}

/* Task over the rows of all matrices of A. */
static void pack_rows(void *argument, int64_t begin, int64_t end, int thread)
{
    const matmul_work *w = argument;
    const matmul_state *s = w->state;
    const ingot_product *p = &s->product;
    const ingot_tensor *a = w->c->in[s->roles->a], *zeros = input(w->c, s->roles->a_zero);

    (void)thread;
    for (int64_t i = begin; i < end; i++)
        ingot_widen_bytes_row(w->a + i * s->length, (const char *)a->data + i * p->k, a->dtype, p->k, 1,
                              zero_of(zeros, p->m, i / p->m, i % p->m));
}

/* Pack B for all plans, where it and its zero points are constants. */
static ingot_status pack_constant(ingot_op_ctx *c, matmul_state *s, size_t size_bytes)
{
    const int b = s->roles->b, zero = s->roles->b_zero;
    bool fill = false;

    if (!c->constants[b] || !c->in[b]->data || (ingot_has(c, zero) && (!c->constants[zero] || !c->in[zero]->data)))
        return INGOT_OK;
    int16_t *packed = ingot_packed(c, 1, size_bytes, &fill);
    if (!packed)
        return ingot_op_fail(c, INGOT_LIMIT, "memory is out");
    if (fill)
        pack_columns(&(matmul_work){ c, s, NULL, packed }, 0, s->b_matrices * s->product.n, 0);
    s->packed = packed;
    return INGOT_OK;
}

static ingot_status prepare_quantized(ingot_op_ctx *c)
{
    matmul_state *s = c->state = ingot_keep(c, sizeof *s);
    int64_t shape[INGOT_MAX_RANK + 2];
    size_t row_bytes, b_bytes, all_bytes;
    int rank;

    if (!s)
        return ingot_op_fail(c, INGOT_LIMIT, "memory is out");
    ingot_status st = read_product(c, s, shape, &rank);
    if (st)
        return st;
    ingot_product *p = &s->product;
    const ingot_tensor *a = c->in[s->roles->a], *b = c->in[s->roles->b];
    const int n_batch = MAX(MAX(a->rank, b->rank) - 2, 0);
    p->a_at = ingot_keep(c, (size_t)p->matrices * sizeof *p->a_at);
    p->b_at = ingot_keep(c, (size_t)p->matrices * sizeof *p->b_at);
    if (!p->a_at || !p->b_at || !ingot_mul_size((size_t)s->length, sizeof(int16_t), &row_bytes) ||
        !ingot_mul_size(row_bytes, (size_t)(s->a_matrices * p->m), &s->a_bytes) ||
        !ingot_mul_size(row_bytes, (size_t)(s->b_matrices * p->n), &b_bytes) ||
        !ingot_add_size(s->a_bytes, b_bytes, &all_bytes))
        return ingot_op_fail(c, INGOT_LIMIT, "memory is out");
    ingot_matmul_offsets(a, shape, n_batch, 1, p->a_at, p->matrices);
    ingot_matmul_offsets(b, shape, n_batch, 1, p->b_at, p->matrices);
    if ((st = pack_constant(c, s, b_bytes)))
        return st;
    ingot_want_scratch(c, s->packed ? s->a_bytes : all_bytes, 0);
    c->kernel = "int16 pairs";
    return INGOT_OK;
}

/* Scale a tile of sums (rows x columns, TILE_N apart) at (row, column) of `matrix` into the output. */
static void requantize_tile(const matmul_work *w, const int32_t *sums, int64_t matrix, int64_t row, int64_t rows,
                            int64_t column, int64_t columns)
{
    const matmul_roles *r = w->state->roles;
    const ingot_product *p = &w->state->product;
    const ingot_op_ctx *c = w->c;
    const ingot_tensor *y = c->out[0], *zeros = input(c, r->y_zero);
    float b_scale[TILE_N], scale[TILE_N];

    for (int64_t j = 0; j < columns; j++)
        b_scale[j] = scale_of(c->in[r->b_scale], p->n, p->b_at[matrix], column + j);
    for (int64_t i = 0; i < rows; i++) {
        const float a_scale = scale_of(c->in[r->a_scale], p->m, p->a_at[matrix], row + i);
        const float y_scale = scale_of(c->in[r->y_scale], p->m, matrix, row + i);
        for (int64_t j = 0; j < columns; j++)
            scale[j] = a_scale * b_scale[j] / y_scale;
        ingot_requantize((char *)y->data + (matrix * p->m + row + i) * p->n + column, y->dtype, sums + i * TILE_N,
                         columns, scale, 1, zero_of(zeros, p->m, matrix, row + i));
    }
}

/* Tiles [begin, end) of the result: matrix by matrix, rows of tiles within. */
static void multiply_tiles(void *argument, int64_t begin, int64_t end, int thread)
{
    const matmul_work *w = argument;
    const matmul_state *s = w->state;
    const ingot_product *p = &s->product;
    const int64_t down = (p->m + TILE_M - 1) / TILE_M, across = (p->n + TILE_N - 1) / TILE_N;
    int32_t sums[TILE_M * TILE_N];

    (void)thread;
    for (int64_t i = begin; i < end; i++) {
        const int64_t matrix = i / (down * across), row = i / across % down * TILE_M, column = i % across * TILE_N;
        const int64_t rows = MIN(TILE_M, p->m - row), columns = MIN(TILE_N, p->n - column);
        const int16_t *a = w->a + (p->a_at[matrix] * p->m + row) * s->length;
        const int16_t *b = (s->packed ? s->packed : w->b) + (p->b_at[matrix] * p->n + column) * s->length;
        if (s->roles == &integer_roles) {
            int32_t *y = (int32_t *)w->c->out[0]->data + (matrix * p->m + row) * p->n + column;
            ingot_multiply_wide(y, p->n, 1, a, rows, b, columns, s->length);
        } else {
            ingot_multiply_wide(sums, TILE_N, 1, a, rows, b, columns, s->length);
            requantize_tile(w, sums, matrix, row, rows, column, columns);
        }
    }
}

/* Packs A, and B unless it was a constant, then shares out tiles of every product. */
static ingot_status run_quantized(ingot_op_ctx *c)
{
    const matmul_state *s = c->state;
    const ingot_product *p = &s->product;
    matmul_work w = { c, s, (int16_t *)(void *)c->scratch, (int16_t *)(void *)(c->scratch + s->a_bytes) };
    const int64_t down = (p->m + TILE_M - 1) / TILE_M, across = (p->n + TILE_N - 1) / TILE_N;

    if (ingot_count(c->out[0]) == 0)
        return INGOT_OK;
    ingot_parallel(c->team, s->a_matrices * p->m, 16, pack_rows, &w);
    if (!s->packed)
        ingot_parallel(c->team, s->b_matrices * p->n, 16, pack_columns, &w);
    ingot_parallel(c->team, p->matrices * down * across, 1, multiply_tiles, &w);
    return INGOT_OK;
}

static int64_t count_flops(const ingot_op_ctx *c)
{
    const ingot_tensor *a = c->in[0];
    return 2 * ingot_count(c->out[0]) * (a->rank ? a->shape[a->rank - 1] : 1);
}

/* the last set of types stands for the inputs after it as well, which check_parameter() looks at */
const ingot_op ingot_ops_quantized_matmul[] = {
    { "MatMulInteger", 10, 2, 4, { INGOT_TYPES_BYTE, INGOT_TYPES_BYTE, INGOT_TYPES_BYTE, INGOT_TYPES_BYTE },
      infer_quantized, run_quantized, prepare_quantized, .flops = count_flops },
    { "QLinearMatMul", 10, 8, 8, { INGOT_TYPES_BYTE, INGOT_TYPES_SCALE, INGOT_TYPES_BYTE, INGOT_TYPES_BYTE,
                                   INGOT_TYPES_SCALE, INGOT_TYPES_BYTE | INGOT_TYPES_SCALE },
      infer_quantized, run_quantized, prepare_quantized, .flops = count_flops },
    { 0 }
};
