/* logic.c - And, Or, Xor on bool, and the bitwise operators and shifts of integers. */
#include <string.h>

#include "ops/row_loops.h"

/* ---- rows; W is the unsigned type to compute in ---- */

#define BITS(T) (8 * sizeof(T))
#define and_of(T, W) (T)(x & y)
#define or_of(T, W) (T)(x | y)
#define xor_of(T, W) (T)(x ^ y)
/* What leaves at one end is lost; a shift by the width or more, or by less than 0, loses everything. */
#define left_of(T, W) (T)((uint64_t)y < BITS(T) ? (W)x << y : 0)
#define right_of(T, W) (T)((uint64_t)y < BITS(T) ? x >> y : 0)
#define arithmetic_of(T, W) (T)(x >> ((uint64_t)y < BITS(T) ? (W)y : BITS(T) - 1))

#define ROW(op, dtype, T, W) INGOT_ROW(op##_##dtype, T, T, T, op##_of(T, W))
INGOT_INTEGER_ROWS(ROW, and)
INGOT_INTEGER_ROWS(ROW, or)
INGOT_INTEGER_ROWS(ROW, xor)
INGOT_INTEGER_ROWS(ROW, left)
INGOT_UNSIGNED_ROWS(ROW, right)
INGOT_SIGNED_ROWS(ROW, arithmetic)

/* The row function of each element type; a shift to the right differs for signed types, whose sign comes in at the
 * left. */
typedef ingot_row_fn *const row_table[INGOT_N_DTYPES];
#define BITWISE(op) { INGOT_INTEGER_ROWS(INGOT_ROW_ENTRY, op) [INGOT_BOOL] = op##_UINT8 }
static row_table and_rows = BITWISE(and), or_rows = BITWISE(or), xor_rows = BITWISE(xor);
static row_table left_rows = { INGOT_INTEGER_ROWS(INGOT_ROW_ENTRY, left) };
static row_table right_rows = { INGOT_UNSIGNED_ROWS(INGOT_ROW_ENTRY, right)
                                    INGOT_SIGNED_ROWS(INGOT_ROW_ENTRY, arithmetic) };

/* ---- operators ---- */

/* Both inputs have one type, which is also the result's: bool for And, Or and Xor, integers for the bitwise ones and
 * the shifts. Shapes broadcast. INVALID: two types. */
static ingot_status infer_logic(ingot_op_ctx *c)
{
    if (c->in[0]->dtype != c->in[1]->dtype)
        return ingot_op_fail(c, INGOT_INVALID, "inputs have different element types");
    return ingot_out_broadcast(c, 0, c->in[0]->dtype);
}

/* The table has a row function for every type that the operator's row in the list below lets in. bool is stored as a
 * byte of 0 or 1, so that the bytes' own operations are right. */
static ingot_status run_rows(ingot_op_ctx *c, const row_table *rows)
{
    return ingot_broadcast(c, c->out[0], c->in, 2, 16384, (*rows)[c->in[0]->dtype], NULL);
}

static ingot_status run_and(ingot_op_ctx *c) { return run_rows(c, &and_rows); }
static ingot_status run_or(ingot_op_ctx *c) { return run_rows(c, &or_rows); }
static ingot_status run_xor(ingot_op_ctx *c) { return run_rows(c, &xor_rows); }

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
