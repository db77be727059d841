/* row_loops.h - row functions of two inputs (see broadcast.h) from one expression, for the types that have no kernels.
 * The loops are written out by which input repeats, so that compilers turn them into vector code. */
#ifndef INGOT_OPS_ROW_LOOPS_H
#define INGOT_OPS_ROW_LOOPS_H

#include "ops/broadcast.h"

/* Before a function whose loops are worth vector code of some size: all but the kernels is built to be small. */
#if defined(__GNUC__) && !defined(__clang__)
#define INGOT_VECTOR_LOOPS __attribute__((optimize("O3")))
#else
#define INGOT_VECTOR_LOOPS
#endif

/* static void function: dst[i] = expression of x (TX) and y (TY); TO is the result's type. */
#define INGOT_ROW(function, TX, TY, TO, expression) \
    static void function(void *dst, const void *const *in, const int *step, int64_t n, const void *argument) \
    { \
        TO *to = dst; \
        const TX *px = in[0]; \
        const TY *py = in[1]; \
        (void)argument; \
        if (step[0] && step[1]) { \
            for (int64_t i = 0; i < n; i++) { \
                const TX x = px[i]; \
                const TY y = py[i]; \
                to[i] = (expression); \
            } \
        } else if (step[0]) { \
            const TY y = *py; \
            for (int64_t i = 0; i < n; i++) { \
                const TX x = px[i]; \
                to[i] = (expression); \
            } \
        } else { \
            const TX x = *px; \
            for (int64_t i = 0; i < n; i++) { \
                const TY y = py[i * step[1]]; \
                to[i] = (expression); \
            } \
        } \
    }

/* X(op, dtype, C type, unsigned type to compute in, so that overflow wraps) */
#define INGOT_SIGNED_ROWS(X, op) \
    X(op, INT8, int8_t, uint32_t) \
    X(op, INT16, int16_t, uint32_t) \
    X(op, INT32, int32_t, uint32_t) \
    X(op, INT64, int64_t, uint64_t)
#define INGOT_UNSIGNED_ROWS(X, op) \
    X(op, UINT8, uint8_t, uint32_t) \
    X(op, UINT16, uint16_t, uint32_t) \
    X(op, UINT32, uint32_t, uint32_t) \
    X(op, UINT64, uint64_t, uint64_t)
#define INGOT_INTEGER_ROWS(X, op) INGOT_SIGNED_ROWS(X, op) INGOT_UNSIGNED_ROWS(X, op)

/* An entry of a table indexed by element type. */
#define INGOT_ROW_ENTRY(op, dtype, T, W) [INGOT_##dtype] = op##_##dtype,

#endif
