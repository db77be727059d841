/* compare.c - operators whose result is bool: Equal, Less, Greater, LessOrEqual, GreaterOrEqual, IsNaN, IsInf. */
#include <math.h>
#include <string.h>

#include "ops/row_loops.h"
#include "ops/small_float.h"

/* ---- rows ---- */

/* IEEE 754 decides for floats: a comparison with NaN is false, and -0 equals 0. Greater is Less with x and y
 * exchanged. */
#define equal_of(T, W) (x == y)
#define less_of(T, W) (x < y)
#define less_or_equal_of(T, W) (x <= y)

#define ROW(op, dtype, T, W) INGOT_ROW(op##_##dtype, T, T, uint8_t, op##_of(T, W))
#define ROWS(op) \
    INGOT_INTEGER_ROWS(ROW, op) \
    INGOT_VECTOR_LOOPS ROW(op, FLOAT, float, float) \
    ROW(op, DOUBLE, double, double)
#define ENTRIES(op) INGOT_INTEGER_ROWS(INGOT_ROW_ENTRY, op) [INGOT_FLOAT] = op##_FLOAT, [INGOT_DOUBLE] = op##_DOUBLE

/* One function for each operator and element type; the other comparisons come from these three. */
ROWS(equal)
ROWS(less)
ROWS(less_or_equal)

/* Equal bytes; nothing is known of their encoding. memcmp() must not see the NULL of an empty string. */
static bool same_text(ingot_string a, ingot_string b)
{
    return a.size_bytes == b.size_bytes && (!a.size_bytes || !memcmp(a.data, b.data, a.size_bytes));
}

INGOT_ROW(equal_STRING, ingot_string, ingot_string, uint8_t, same_text(x, y))

typedef ingot_row_fn *const row_table[INGOT_N_DTYPES];
/* bool compares as the bytes 0 and 1; text has no order. */
static row_table equal_rows = { ENTRIES(equal), [INGOT_BOOL] = equal_UINT8, [INGOT_STRING] = equal_STRING };
static row_table less_rows = { ENTRIES(less) };
static row_table less_or_equal_rows = { ENTRIES(less_or_equal) };

/* ---- comparisons ---- */

/* The result is bool, broadcast as for arithmetic; the inputs' types must be the same. The standard has no comparison
 * of mixed types, so that is INVALID. */
static ingot_status infer_compare(ingot_op_ctx *c)
{
    if (c->in[0]->dtype != c->in[1]->dtype)
        return ingot_op_fail(c, INGOT_INVALID, "inputs have different element types");
    return ingot_out_broadcast(c, 0, INGOT_BOOL);
}

/* out = x op y, or y op x where swapped. 16-bit floats are widened a chunk at a time, exactly, so the answer is theirs.
 * UNSUPPORTED: a type without a row. */
static ingot_status compare(ingot_op_ctx *c, const row_table *rows, bool swapped)
{
    ingot_tensor *const in[] = { c->in[swapped], c->in[!swapped] };
    const ingot_dtype dtype = in[0]->dtype;
    const ingot_narrow narrow = { c->kernels, .row = (*rows)[INGOT_FLOAT], .dtype = dtype, .n_in = 2, .to_bool = true };

    if (dtype == INGOT_FLOAT16 || dtype == INGOT_BFLOAT16)
        return ingot_broadcast(c, c->out[0], in, 2, 8192, ingot_row_narrow, &narrow);
    if (!(*rows)[dtype])
        return ingot_op_fail(c, INGOT_UNSUPPORTED, "element type %s", ingot_dtype_name(dtype));
    return ingot_broadcast(c, c->out[0], in, 2, 16384, (*rows)[dtype], NULL);
}

static ingot_status run_equal(ingot_op_ctx *c) { return compare(c, &equal_rows, false); }
static ingot_status run_less(ingot_op_ctx *c) { return compare(c, &less_rows, false); }
static ingot_status run_greater(ingot_op_ctx *c) { return compare(c, &less_rows, true); }
static ingot_status run_less_or_equal(ingot_op_ctx *c) { return compare(c, &less_or_equal_rows, false); }
static ingot_status run_greater_or_equal(ingot_op_ctx *c) { return compare(c, &less_or_equal_rows, true); }

/* ---- IsNaN, IsInf: which classes of numbers answer true ---- */

/* Which classes of numbers answer true, in a tensor of `dtype`. */
typedef struct classes {
    ingot_dtype dtype;
    bool nan, infinity, negative_infinity;
} classes;

/* IsNaN and IsInf on a row of floats, from their bits: without a branch, so that compilers make vector code of it. */
INGOT_VECTOR_LOOPS static void row_classify_floats(void *dst, const void *const *in, const int *step, int64_t n,
                                                   const void *argument)
{
    const uint32_t infinity = 0x7f800000, sign = 0x80000000;
    const classes *wanted = argument;
    const uint8_t nan = wanted->nan, above = wanted->infinity, below = wanted->negative_infinity;
    const float *x = in[0];
    uint8_t *restrict to = dst;

    (void)step;
    for (int64_t i = 0; i < n; i++) {
        uint32_t bits;
        memcpy(&bits, &x[i], sizeof bits);
        to[i] = (((bits & ~sign) > infinity) & nan) | ((bits == infinity) & above) |
                ((bits == (infinity | sign)) & below);
    }
}

/* IsNaN and IsInf on a row: one answer for each class of value; 8-bit floats are widened as they come. */
static void row_classify(void *dst, const void *const *in, const int *step, int64_t n, const void *argument)
{
    const classes *wanted = argument;
    const ingot_dtype dtype = wanted->dtype;
    uint8_t *to = dst;

    for (int64_t i = 0; i < n; i++) {
        const int64_t at = i * step[0];
        const double x = dtype == INGOT_DOUBLE ? ((const double *)in[0])[at]
                                               : (double)ingot_small_to_float(((const uint8_t *)in[0])[at], dtype);
        to[i] = isnan(x) ? wanted->nan : isinf(x) ? (x > 0 ? wanted->infinity : wanted->negative_infinity) : 0;
    }
}

/* 16-bit floats are widened by ingot_row_narrow. 8-bit floats and doubles are told apart in the row. Shapes are equal:
 * nothing is really broadcast. */
static ingot_status classify(ingot_op_ctx *c, classes wanted)
{
    const ingot_dtype dtype = c->in[0]->dtype;
    const ingot_narrow narrow = { c->kernels, .row = row_classify_floats, .argument = &wanted, .dtype = dtype,
                                  .n_in = 1, .to_bool = true };

    wanted.dtype = dtype;
    if (dtype == INGOT_FLOAT16 || dtype == INGOT_BFLOAT16)
        return ingot_broadcast(c, c->out[0], c->in, 1, 8192, ingot_row_narrow, &narrow);
    return ingot_broadcast(c, c->out[0], c->in, 1, 16384,
                           dtype == INGOT_FLOAT ? row_classify_floats : row_classify, &wanted);
}

static ingot_status run_is_nan(ingot_op_ctx *c) { return classify(c, (classes){ .nan = true }); }

/* detect_positive and detect_negative may switch off either sign, or both. */
static ingot_status run_is_inf(ingot_op_ctx *c)
{
    return classify(c, (classes){ .infinity = ingot_attr_int(c->node, "detect_positive", 1) != 0,
                                  .negative_infinity = ingot_attr_int(c->node, "detect_negative", 1) != 0 });
}

/* The answer has the input's shape. */
static ingot_status infer_bool(ingot_op_ctx *c) { return ingot_out(c, 0, INGOT_BOOL, c->in[0]->rank, c->in[0]->shape); }

#define COMPARE(name, since, types, run) { name, since, 2, 2, { types, 0 }, infer_compare, run }
#define TYPES_CLASSIFIED (INGOT_TYPES_FLOAT | INGOT_TYPES_FLOAT8)

const ingot_op ingot_ops_compare[] = {
    COMPARE("Equal", 7, INGOT_TYPES_NUMERIC | INGOT_TYPE(BOOL) | INGOT_TYPE(STRING), run_equal),
    COMPARE("Less", 7, INGOT_TYPES_NUMERIC, run_less),
    COMPARE("Greater", 7, INGOT_TYPES_NUMERIC, run_greater),
    COMPARE("LessOrEqual", 12, INGOT_TYPES_NUMERIC, run_less_or_equal),
    COMPARE("GreaterOrEqual", 12, INGOT_TYPES_NUMERIC, run_greater_or_equal),
    { "IsNaN", 9, 1, 1, { TYPES_CLASSIFIED }, infer_bool, run_is_nan },
    { "IsInf", 10, 1, 1, { TYPES_CLASSIFIED }, infer_bool, run_is_inf },
    {0},
};
