/* logic.c - And, Or, Xor on bool, and the bitwise operators and shifts of integers. */
#include <string.h>

#include "ops/row_loops.h"

/* ---- rows; W is the unsigned type to compute in ---- */

#define BITS(T) (8 * sizeof(T))
/* What leaves at one end is lost; a shift by the width or more, or by less than 0, loses everything. */
#define left_of(T, W) (T)((uint64_t)y < BITS(T) ? (W)x << y : 0)
#define right_of(T, W) (T)((uint64_t)y < BITS(T) ? x >> y : 0)
#define arithmetic_of(T, W) (T)(x >> ((uint64_t)y < BITS(T) ? (W)y : BITS(T) - 1))

#define ROW(op, dtype, T, W) INGOT_ROW(op##_##dtype, T, T, T, op##_of(T, W))
INGOT_INTEGER_ROWS(ROW, left)
INGOT_UNSIGNED_ROWS(ROW, right)
INGOT_SIGNED_ROWS(ROW, arithmetic)

/* The row function of each element type; a shift to the right differs for signed types, whose sign comes in at the
 * left. */
typedef ingot_row_fn *const row_table[INGOT_N_DTYPES];
static row_table left_rows = { INGOT_INTEGER_ROWS(INGOT_ROW_ENTRY, left) };
static row_table right_rows = { INGOT_UNSIGNED_ROWS(INGOT_ROW_ENTRY, right)
                                    INGOT_SIGNED_ROWS(INGOT_ROW_ENTRY, arithmetic) };

/* The element that stands for all of a row, as often as it fits eight bytes. */
static uint64_t repeated(const void *element, size_t item_bytes)
{
    uint64_t word;

    for (size_t i = 0; i < sizeof word; i += item_bytes)
        memcpy((char *)&word + i, element, item_bytes);
    return word;
}

/* A row of elements whose size is the argument, eight bytes at a time: And, Or and Xor are those of the bytes. */
#define ROW_OF_BYTES(op, expression) \
    static void op##_row(void *dst, const void *const *in, const int *step, int64_t n, const void *argument) \
    { \
        const size_t item_bytes = *(const size_t *)argument, size = (size_t)n * item_bytes; \
        uint64_t x = step[0] ? 0 : repeated(in[0], item_bytes), y = step[1] ? 0 : repeated(in[1], item_bytes), result; \
        size_t at = 0; \
        for (; at + sizeof x <= size; at += sizeof x) { \
            if (step[0]) \
                memcpy(&x, (const char *)in[0] + at, sizeof x); \
            if (step[1]) \
                memcpy(&y, (const char *)in[1] + at, sizeof y); \
            result = (expression); \
            memcpy((char *)dst + at, &result, sizeof result); \
        } \
        if (step[0]) \
            memcpy(&x, (const char *)in[0] + at, size - at); \
        if (step[1]) \
            memcpy(&y, (const char *)in[1] + at, size - at); \
        result = (expression); \
        memcpy((char *)dst + at, &result, size - at); \
    }
ROW_OF_BYTES(and, x & y)
ROW_OF_BYTES(or, x | y)
ROW_OF_BYTES(xor, x ^ y)

/* ---- operators ---- */

/* Both inputs have one type, which is also the result's: bool for And, Or and Xor, integers for the bitwise ones and
 * the shifts. Shapes broadcast. INVALID: two types. */
static ingot_status infer_logic(ingot_op_ctx *c)
{
    if (c->in[0]->dtype != c->in[1]->dtype)
        return ingot_op_fail(c, INGOT_INVALID, "inputs have different element types");
    return ingot_out_broadcast(c, 0, c->in[0]->dtype);
}

/* The table has a row function for every type that the operator's row in the list below lets in. */
static ingot_status run_rows(ingot_op_ctx *c, const row_table *rows)
{
    return ingot_broadcast(c, c->out[0], c->in, 2, 16384, (*rows)[c->in[0]->dtype], NULL);
}

/* bool is stored as a byte of 0 or 1, so that the bytes' own operations are right. */
static ingot_status run_bitwise(ingot_op_ctx *c, ingot_row_fn *row)
{
    const size_t item_bytes = ingot_dtype_size_bytes(c->in[0]->dtype);
    return ingot_broadcast(c, c->out[0], c->in, 2, 16384, row, &item_bytes);
}

static ingot_status run_and(ingot_op_ctx *c) { return run_bitwise(c, and_row); }
static ingot_status run_or(ingot_op_ctx *c) { return run_bitwise(c, or_row); }
static ingot_status run_xor(ingot_op_ctx *c) { return run_bitwise(c, xor_row); }

/* The direction has no default: INVALID where it is missing. */
static ingot_status run_bit_shift(ingot_op_ctx *c)
{
    const char *direction = ingot_attr_string(c->node, "direction", "");

    if (!strcmp(direction, "LEFT"))
        return run_rows(c, &left_rows);
    if (!strcmp(direction, "RIGHT"))
        return run_rows(c, &right_rows);
    return ingot_op_fail(c, INGOT_INVALID, "attribute direction is neither LEFT nor RIGHT");
}

#define LOGIC(name, since, types, run) { name, since, 2, 2, { types, 0 }, infer_logic, run, .flags = INGOT_OP_INPLACE }

const ingot_op ingot_ops_logic[] = {
    LOGIC("And", 7, INGOT_TYPE(BOOL), run_and),
    LOGIC("Or", 7, INGOT_TYPE(BOOL), run_or),
    LOGIC("Xor", 7, INGOT_TYPE(BOOL), run_xor),
    LOGIC("BitwiseAnd", 18, INGOT_TYPES_INTEGER, run_and),
    LOGIC("BitwiseOr", 18, INGOT_TYPES_INTEGER, run_or),
    LOGIC("BitwiseXor", 18, INGOT_TYPES_INTEGER, run_xor),
    LOGIC("BitShift", 11, INGOT_TYPES_INTEGER, run_bit_shift),
    {0},
};
