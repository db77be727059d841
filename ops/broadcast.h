/* broadcast.h - element-by-element work over tensors of different shapes, as NumPy broadcasts them: shapes are
 * collapsed to the fewest dimensions, and rows along the innermost go to a function that sees plain arrays. */
#ifndef INGOT_OPS_BROADCAST_H
#define INGOT_OPS_BROADCAST_H

#include "ops/half.h"
#include "ops/op.h"

enum { INGOT_BROADCAST_INPUTS = 3 };

/* n elements of the output. step[i] is 1 when input i has n elements too, 0 when one stands for all. dst may be the
 * memory of an input of step 1. */
typedef void ingot_row_fn(void *dst, const void *const *in, const int *step, int64_t n, const void *argument);

/* The same for `rows` short rows, one behind the other in the output; row_step[i] elements from one to the next in
 * input i. */
typedef void ingot_rows_fn(void *dst, const void *const *in, const int *step, const int64_t *row_step, int64_t rows,
                           int64_t n, const void *argument);

/* Run `row` over out's elements. Each in[i] broadcasts to out's shape (checked: INGOT_INVALID), all are row-major.
 * `grain`: elements worth a thread. */
ingot_status ingot_broadcast(ingot_op_ctx *c, const ingot_tensor *out, ingot_tensor *const *in, int n_in, int64_t grain,
                             ingot_row_fn *row, const void *argument);
/* The same, with `rows` where rows are short. */
ingot_status ingot_broadcast_rows(ingot_op_ctx *c, const ingot_tensor *out, ingot_tensor *const *in, int n_in,
                                  int64_t grain, ingot_row_fn *row, ingot_rows_fn *rows, const void *argument);

/* A row function for 16-bit floats: its argument says how to do it in float. Inputs are widened, the result is rounded
 * once, unless it is bool. */
typedef struct ingot_narrow {
    const ingot_kernels *kernels;
    ingot_row_fn *row;         /* on float inputs */
    const void *argument;
    ingot_dtype dtype;         /* INGOT_FLOAT16 or INGOT_BFLOAT16 */
    int n_in;
    bool first_is_bool;        /* input 0 is bool and passes as it is */
    bool to_bool;
} ingot_narrow;
void ingot_row_narrow(void *dst, const void *const *in, const int *step, int64_t n, const void *narrow);

#endif
