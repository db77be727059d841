/* narrow.c - each step is a loop over the row, so that all of them are vector code; the rounding goes through a few
 * hundred 16-bit numbers on the stack. */
#include "ops/narrow.h"

#include "ops/half.h"

/* The stack buffer, and up to where sums are rounded at each term. */
enum {
    CHUNK = 512,      /* numbers rounded at a time: 1 KiB */
    FEW_TERMS = 16,   /* see sum_of */
};

/* Round n floats to what the 16-bit type `dtype` can hold, in place. */
void ingot_round_to(const ingot_kernels *kernels, float *values, int64_t n, ingot_dtype dtype)
{
    uint16_t narrow[CHUNK];

    for (int64_t at = 0; at < n; at += CHUNK) {
        const int64_t part = MIN(n - at, CHUNK);
        ingot_narrow_to(kernels, narrow, values + at, part, dtype);
        ingot_widen(kernels, values + at, narrow, part, dtype);
    }
}

/* The sum, to be rounded once. The reference rounds bfloat16 after every term, which loses all terms once the sum is
 * 256 times as large; up to FEW_TERMS the difference is one of the last place, and taken over to agree with it. */
static float sum_of(const ingot_kernels *kernels, const float *row, int64_t n, ingot_dtype dtype)
{
    float sum = 0;

    if (dtype != INGOT_BFLOAT16 || n > FEW_TERMS)
        return (float)kernels->fold_row_f32(INGOT_FOLD_SUM, row, (size_t)n, 0);
    for (int64_t i = 0; i < n; i++)
        sum = ingot_bfloat_to_float(ingot_float_to_bfloat(sum + row[i]));
    return sum;
}

/* Softmax of one row in place, rounded to dtype after each step as an evaluator rounds that computes it step by step
 * in 16 bits: x - max, exp, the sum, the quotient. */
void ingot_softmax_narrow(const ingot_kernels *kernels, float *row, int64_t n, ingot_dtype dtype)
{
    const float largest = (float)kernels->fold_row_f32(INGOT_FOLD_MAX, row, (size_t)n, 0);

    kernels->binary_f32(INGOT_BINARY_SUB, row, (ingot_operand){ row, 0 }, (ingot_operand){ &largest, 1 }, n);
    ingot_round_to(kernels, row, n, dtype);
    kernels->map_f32(INGOT_MAP_EXP, row, row, n, 0, 0);
    ingot_round_to(kernels, row, n, dtype);
    float sum = sum_of(kernels, row, n, dtype);
    ingot_round_to(kernels, &sum, 1, dtype);
    kernels->binary_f32(INGOT_BINARY_DIV, row, (ingot_operand){ row, 0 }, (ingot_operand){ &sum, 1 }, n);
    ingot_round_to(kernels, row, n, dtype);
}
