/* product.h - lists of matrix products of one size, as MatMul, Gemm and others need them. */
#ifndef INGOT_OPS_PRODUCT_H
#define INGOT_OPS_PRODUCT_H

#include "ops/op.h"

/* C[i] = alpha A[i] B[i] + beta D for `matrices` matrices, m x n each; C is row-major, one matrix after the other.
 * Strides count elements. D broadcasts over rows (d_row 0), columns (d_col 0) and matrices. */
typedef struct ingot_product {
    int64_t matrices, m, n, k;
    ptrdiff_t a_row, a_col, b_row, b_col, d_row, d_col;
    int64_t *a_at, *b_at;                /* where each matrix begins; NULL: there is one */
    float alpha, beta;
    bool has_d;
    int64_t pixels;                      /* not 0: A's rows are blocked (NCHW8c), of so many pixels; B's are not */
    int64_t band;                        /* not 0: A is nowhere; make() makes so many pixels of a row, all channels,
                                            and asks for n_soon floats on the way */
    void (*make)(void *argument, int64_t row, int64_t band, float *to, const float *soon, int64_t n_soon);
    void *argument;
    bool backward;                       /* in chunks of k, or bands: the last comes first. By turns from run to run, it
                                            finds what the run before has left of B in a cache that is less than B */
    const void *a, *b, *d;               /* d NULL unless has_d */
    void *c;
} ingot_product;

/* dtype DOUBLE, or an integer type of 4 or 8 bytes (then alpha and beta are whole). */
void ingot_product_plain(const ingot_op_ctx *c, ingot_dtype dtype, ingot_product *p);

/* How a float product goes to the kernels, decided by its sizes and by whether B is constant. */
typedef enum ingot_product_way {
    INGOT_PRODUCT_PANELS,                /* B packed in panels */
    INGOT_PRODUCT_DOT,                   /* B as it is, stored [n][k] */
    INGOT_PRODUCT_SPLIT,                 /* the same with k in chunks; a constant B in stripes */
    INGOT_PRODUCT_AXPY,                  /* B as it is, stored [k][n] */
    INGOT_PRODUCT_AXPY_SPLIT,            /* the same with k in chunks */
} ingot_product_way;

typedef struct ingot_product_plan {
    ingot_product_way way;
    const float *packed;                 /* constant B: in panels, or as it is; NULL: B is no constant */
    bool whole_matrices;                 /* many matrices: a task takes whole ones */
    int64_t matrix_floats;               /* of one packed matrix */
    size_t vector_bytes, scratch_bytes, thread_scratch_bytes;
} ingot_product_plan;

/* Choose the way, and pack input `b_input` of the node when that is a constant (`b_input` INGOT_NONE: it never is). The
 * caller asks for the scratch memory. */
ingot_status ingot_product_prepare(ingot_op_ctx *c, const ingot_product *p, int b_input, ingot_product_plan *plan);

/* Can A's rows be blocked? B has to be packed for the purpose. */
bool ingot_product_takes_blocked(const ingot_product *p);
/* Is the epilogue's residual (bias) free for somebody else than D? */
bool ingot_product_takes_residual(const ingot_product *p);
bool ingot_product_takes_bias(const ingot_product *p);

/* p->a, d and c are set; p->b too unless it was packed. epilogue: activation and residual (laid out as C), or bias. */
void ingot_product_run(ingot_op_ctx *c, const ingot_product *p, const ingot_product_plan *plan,
                       const ingot_epilogue *epilogue, char *scratch);

const char *ingot_product_name(const ingot_product_plan *plan);

#endif
