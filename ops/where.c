/* where.c - Where: elements of X or Y, as a condition says. Only the size of an element matters. */
#include "ops/broadcast.h"

/* An element of 16 bytes: a string or a complex128. */
typedef struct bytes16 { uint64_t low, high; } bytes16;

/* One loop with the steps of X and Y as constants, so that compilers turn it into selects. */
#define PICK(T, x_step, y_step) \
    for (int64_t i = 0; i < n; i++) { \
        const T from_x = x[i * (x_step)], from_y = y[i * (y_step)]; \
        to[i] = condition[i] ? from_x : from_y; \
    }

/* Rows of one element size. A condition that is the same for the whole row makes a copy, else a select; operands
 * repeat or move on. */
#define ROW(T) \
    static void where_##T(void *dst, const void *const *in, const int *step, int64_t n, const void *argument) \
    { \
        const uint8_t *condition = in[0]; \
        const T *x = in[1], *y = in[2]; \
        T *to = dst; \
        (void)argument; \
        if (!step[0]) { \
            const T *from = *condition ? x : y; \
            const int from_step = step[*condition ? 1 : 2]; \
            for (int64_t i = 0; i < n; i++) \
                to[i] = from[i * from_step]; \
        } else if (step[1] && step[2]) { \
            PICK(T, 1, 1) \
        } else if (step[1]) { \
            PICK(T, 1, 0) \
        } else if (step[2]) { \
            PICK(T, 0, 1) \
        } else { \
            PICK(T, 0, 0) \
        } \
    }
ROW(uint8_t)
ROW(uint16_t)
ROW(uint32_t)
ROW(uint64_t)
ROW(bytes16)

/* All three broadcast; X and Y must have one type. */
static ingot_status infer_where(ingot_op_ctx *c)
{
    if (c->in[1]->dtype != c->in[2]->dtype)
        return ingot_op_fail(c, INGOT_INVALID, "X and Y have different element types");
    return ingot_out_broadcast(c, 0, c->in[1]->dtype);
}

/* The row for the size of an element. */
static ingot_status run_where(ingot_op_ctx *c)
{
    static ingot_row_fn *const rows[] = { [1] = where_uint8_t, [2] = where_uint16_t, [4] = where_uint32_t,
                                          [8] = where_uint64_t, [16] = where_bytes16 };
    return ingot_broadcast(c, c->out[0], c->in, 3, 16384, rows[ingot_dtype_size_bytes(c->out[0]->dtype)], NULL);
}

const ingot_op ingot_ops_where[] = {
    { "Where", 9, 3, 3, { INGOT_TYPE(BOOL), INGOT_TYPES_ALL, INGOT_TYPES_ALL }, infer_where, run_where,
      .flags = INGOT_OP_INPLACE | INGOT_OP_LONG },
    {0},
};
