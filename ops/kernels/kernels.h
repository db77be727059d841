/* kernels.h - every kernel, once. The list makes the struct below, the table of each instruction set, and the tests.
 *
 * Kernels know nothing of graphs, nodes, allocation or threads: a kernel that is worth splitting takes a range of work
 * items, and its result does not depend on how the caller cuts the ranges. Pointers to float need only the alignment of
 * float. A buffer written to may not overlap one read from, unless the kernel's comment allows it.
 *
 * To add a kernel: write INGOT_FN(name) in a file of this folder, list it under its file here, and give it a check in
 * tests/kernels. */
#ifndef INGOT_OPS_KERNELS_KERNELS_H
#define INGOT_OPS_KERNELS_KERNELS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* What happens to a result before it is stored: activation(result + bias + residual). */
typedef enum ingot_act {
    INGOT_ACT_NONE = 0,
    INGOT_ACT_RELU,
    INGOT_ACT_CLIP,            /* to [alpha, beta] */
    INGOT_ACT_LEAKY_RELU,      /* x < 0 ? alpha x : x */
    INGOT_ACT_HARD_SIGMOID,    /* alpha x + beta, clipped to [0, 1] */
    INGOT_ACT_HARD_SWISH,      /* x times the hard sigmoid of 1/6 and 1/2 */
    INGOT_ACT_SIGMOID,
    INGOT_ACT_SILU,            /* x sigmoid(x) */
    INGOT_ACT_SWISH,           /* x sigmoid(alpha x) */
    INGOT_ACT_TANH,
    INGOT_ACT_GELU,            /* the exact form, by erf */
    INGOT_ACT_GELU_TANH,
    INGOT_ACT_ELU,             /* x < 0 ? alpha (exp(x) - 1) : x */
} ingot_act;

typedef struct ingot_epilogue {
    ingot_act act;
    float alpha, beta;         /* of the activation */
    const float *bias;         /* one per column of a product, or per output channel of a convolution; or NULL */
    const float *row_bias;     /* matrix products only: one per row of the result; or NULL */
    const float *residual;     /* laid out as the result, and may be the result's own memory; or NULL */
    const float *soon;         /* what is read next: convolutions ask for n_soon floats of it on the way; or NULL */
    int64_t n_soon;
} ingot_epilogue;

/* Functions of one variable; a and b are their parameters. */
typedef enum ingot_map {
    INGOT_MAP_ABS, INGOT_MAP_NEG, INGOT_MAP_CEIL, INGOT_MAP_FLOOR,
    INGOT_MAP_ROUND,           /* ties to even */
    INGOT_MAP_SIGN,            /* -1, 0 or 1 */
    INGOT_MAP_SQRT, INGOT_MAP_RECIPROCAL, INGOT_MAP_EXP, INGOT_MAP_LOG, INGOT_MAP_SIN, INGOT_MAP_COS, INGOT_MAP_TAN,
    INGOT_MAP_ASIN, INGOT_MAP_ACOS, INGOT_MAP_ATAN, INGOT_MAP_SINH, INGOT_MAP_COSH, INGOT_MAP_TANH, INGOT_MAP_ASINH,
    INGOT_MAP_ACOSH, INGOT_MAP_ATANH, INGOT_MAP_ERF,
    INGOT_MAP_RELU,
    INGOT_MAP_CLIP,            /* min(b, max(a, x)) */
    INGOT_MAP_LEAKY_RELU,      /* x < 0 ? a x : x */
    INGOT_MAP_ELU,             /* x < 0 ? a (exp(x) - 1) : x */
    INGOT_MAP_SELU,            /* b times the above */
    INGOT_MAP_CELU,            /* x < 0 ? a (exp(x / a) - 1) : x */
    INGOT_MAP_SIGMOID,
    INGOT_MAP_HARD_SIGMOID,    /* a x + b, clipped to [0, 1] */
    INGOT_MAP_HARD_SWISH,      /* x times the above, of 1/6 and 1/2 */
    INGOT_MAP_SOFTPLUS,        /* log(1 + exp(x)) */
    INGOT_MAP_SOFTSIGN,        /* x / (1 + |x|) */
    INGOT_MAP_THRESHOLDED_RELU, /* x > a ? x : 0 */
    INGOT_MAP_GELU, INGOT_MAP_GELU_TANH, INGOT_MAP_MISH,
    INGOT_MAP_SWISH,           /* x sigmoid(a x) */
    INGOT_MAP_SHRINK,          /* x < -a ? x + b : x > a ? x - b : 0 */
    INGOT_N_MAPS
} ingot_map;

/* Functions of x and y. MIN and MAX give NaN when either is NaN. */
typedef enum ingot_binary {
    INGOT_BINARY_ADD, INGOT_BINARY_SUB, INGOT_BINARY_MUL, INGOT_BINARY_DIV, INGOT_BINARY_MIN, INGOT_BINARY_MAX,
    INGOT_BINARY_PRELU,        /* x < 0 ? x y : x */
    INGOT_N_BINARIES
} ingot_binary;

/* n elements: p[i], or with a period of 1 or 8 instead of 0, p[i % period]. */
typedef struct ingot_operand {
    const float *p;
    int period;
} ingot_operand;

/* A matrix product: C = act(alpha A B + bias + residual), C is m x n and row-major with ldc elements from row to row.
 * A[i][l] is a[i * a_row + l * a_col], so A may be transposed. Every result is summed over k in one order, which m, n,
 * k and the instruction set alone decide: cutting rows and columns into ranges never changes a bit. */
typedef struct ingot_gemm {
    int64_t m, n, k;
    int64_t whole_k;           /* of which k is a chunk, whose B has to come from as far as the whole; 0: k itself */
    float alpha;
    ptrdiff_t a_row, a_col, ldc;
} ingot_gemm;

/* The same of doubles: C = A B, and B[l][j] is b[l * b_row + j * b_col]. */
typedef struct ingot_gemm_f64 {
    int64_t m, n, k;
    ptrdiff_t a_row, a_col, b_row, b_col, ldc;
} ingot_gemm_f64;

/* A convolution. Spatial axes are depth, height, width: those a model does not have come first, with size 1, kernel
 * 1, stride 1, dilation 1 and no padding. Weights are [oc][ic / groups][kernel...], row-major.
 *
 * Blocked tensors are (N, ceil(C / 8), D, H, W, 8), "nchw8c": eight channels of a pixel together. Channels that fill
 * up the last block hold finite numbers of no meaning; kernels write them when their block is written. */
typedef struct ingot_conv {
    int64_t n, groups, ic, oc;
    int64_t in[3], out[3], kernel[3], stride[3], dilation[3];
    int64_t pad[3];            /* before the first element; what comes after the last follows from out[] */
    bool plain_src;            /* src is row-major (N, C, D, H, W); meant for few input channels */
    bool minimal;              /* its rows are done by minimal filtering, where conv_minimal_f32 says so */
} ingot_conv;

/* What becomes of a convolution's source before: (x - mean) factor + bias, with eight of each for every channel block
 * one after the other, and then an activation. */
typedef struct ingot_prologue {
    const float *parameters;
    ingot_epilogue act;
} ingot_prologue;

/* Two convolutions one after the other, with their packed weights and what follows each; src and dst are blocked. */
typedef struct ingot_pair {
    ingot_conv mix, depthwise;
    const float *mix_packed, *depthwise_packed;
    ingot_epilogue mix_end, depthwise_end;
} ingot_pair;

/* A pool over blocked tensors, with a convolution's axes: the largest element, or the mean. */
typedef struct ingot_pool {
    int64_t in[3], out[3], kernel[3], stride[3], dilation[3];
    int64_t pad[3], pad_end[3];
    bool max, count_padding;   /* the mean counts elements of the padding as well */
} ingot_pool;

/* A product of 8-bit integers, exact modulo 2^32: C[i][j] = sum over l of (A[i][l] - zero of A)(B[l][j] - zero of B's
 * column j) + bias[j]. A lies in memory as operand elements (ingot_kernels.dot_bytes: the bytes themselves, or 16-bit
 * numbers less the zero point) in pieces of 8: l runs over `taps` times `blocks` pieces, so that a row may be a row of
 * a matrix as well as what an output pixel of a convolution sees. All offsets count elements. */
typedef struct ingot_dot {
    int64_t n, taps, blocks;
    const int64_t *tap_at;     /* from a row's beginning to the first piece of each tap */
    ptrdiff_t block_step;      /* from a piece to the next one of the tap */
    const int32_t *row_at;     /* where rows begin; NULL: row_step apart */
    ptrdiff_t row_step;
    bool a_signed, b_signed;
    bool b_zeros;              /* columns of B may have zero points other than 0 */
} ingot_dot;

/* What becomes of the sums: they are stored as they are; times a scale and rounded to a byte; times a scale, plus a
 * bias, as float. Arrays have dot_columns_i8() elements. */
typedef enum ingot_dot_kind { INGOT_DOT_INT32, INGOT_DOT_BYTE, INGOT_DOT_FLOAT } ingot_dot_kind;

typedef struct ingot_dot_out {
    ingot_dot_kind kind;
    const int32_t *add;        /* from dot_add_i8() */
    const float *scale, *bias; /* bias NULL: none */
    float low, high;           /* limits of the rounded product: those of the byte's type, less its zero point */
    int zero;                  /* that is added to it then */
    ptrdiff_t row, block;      /* elements of the result from row to row, and from 8 columns to the next 8 */
    bool whole_blocks;         /* the result has room for 8 columns where fewer exist */
} ingot_dot_out;

/* Two tensors of bytes become one: round((a - a_zero) a_scale + (b - b_zero) b_scale) + zero, or for a product
 * round((a - a_zero) (b - b_zero) a_scale) + zero; limits as in ingot_dot_out. */
typedef struct ingot_mix {
    bool product, is_signed, b_single;   /* b_single: b is one byte for all */
    int a_zero, b_zero, zero;
    float a_scale, b_scale, low, high;
} ingot_mix;

/* Functions of a recurrent cell's gates. */
typedef enum ingot_gate_function {
    INGOT_GATE_SIGMOID,
    INGOT_GATE_TANH,
    INGOT_GATE_RELU,
    INGOT_GATE_LEAKY_RELU,     /* x < 0 ? alpha x : x */
    INGOT_GATE_HARD_SIGMOID,   /* alpha x + beta, clipped to [0, 1] */
    INGOT_GATE_ELU,            /* x < 0 ? alpha (exp(x) - 1) : x */
    INGOT_GATE_AFFINE,         /* alpha x + beta */
    INGOT_GATE_THRESHOLDED_RELU, /* x >= alpha ? x : 0 */
    INGOT_GATE_SCALED_TANH,    /* alpha tanh(beta x) */
    INGOT_GATE_SOFTSIGN,       /* x / (1 + |x|) */
    INGOT_GATE_SOFTPLUS        /* log(1 + exp(x)) */
} ingot_gate_function;

typedef struct ingot_gate {
    ingot_gate_function function;
    float alpha, beta;
} ingot_gate;

typedef enum ingot_cell_kind {
    INGOT_CELL_RNN,
    INGOT_CELL_GRU_BEFORE,     /* GRU with linear_before_reset: the reset gate is applied to the product */
    INGOT_CELL_GRU,            /* it is applied to the state, so a step has two halves */
    INGOT_CELL_LSTM
} ingot_cell_kind;

/* A recurrent layer. Gates stand in ONNX's order: i o f c (LSTM), z r h (GRU). Units are taken in blocks of as many as
 * a vector has lanes (1 for double), and what belongs to a block lies gate after gate. A state is a row of all blocks'
 * lanes; those past the last unit hold finite numbers of no meaning. */
typedef struct ingot_cell {
    ingot_cell_kind kind;
    int64_t hidden;            /* units */
    bool input_forget;         /* LSTM: the forget gate is 1 - i */
    float clip;                /* limit of what the gates' functions get; INFINITY: none */
    ingot_gate gate[3];        /* f, g, h */
    const void *peepholes;     /* LSTM: (3, hidden), for i o f; or NULL */
    const void *state_bias;    /* GRU_BEFORE: a row like the state's, added to the product of the candidate */
    bool one_sum;              /* a row's bits do not depend on how many rows there are; a single one is slower */
} ingot_cell;

/* One step of a batch. Rows are `..._row` elements apart; h, h_next, cell and reset are states, `state_row` apart. */
typedef struct ingot_cell_step {
    int64_t batch;
    int half;                  /* GRU: 0, then 1 when all units have done 0 */
    bool summed;               /* `inputs` hold the state's part too: no product here */
    bool backward;             /* last block first: what one step read last the next reads first. Changes no bit */
    const void *packed;        /* recurrent weights; GRU: of this half's gates */
    void *inputs;              /* the inputs' part of all gates; GRU keeps z here from half to half */
    const void *h;
    void *h_next, *cell, *reset;
    void *y;                   /* (batch, hidden): the new state once more; or NULL */
    ptrdiff_t inputs_row, state_row, y_row;
} ingot_cell_step;

/* How the elements of a row become one: their sum, that of their magnitudes, squares, or exp(x - shift); the largest or
 * smallest (NaN if there is one); the product. */
typedef enum ingot_fold {
    INGOT_FOLD_SUM, INGOT_FOLD_ABS, INGOT_FOLD_SQUARE, INGOT_FOLD_EXP, INGOT_FOLD_MAX, INGOT_FOLD_MIN, INGOT_FOLD_PROD
} ingot_fold;

enum {
    INGOT_STRIPE = 16,                   /* rows of B side by side, of a product that is split over k */
    INGOT_FLOATS_AT_HAND = 64 * 1024,    /* that may lie in the second-level cache */
};

/* X(result type, name, parameters), grouped by file: those that every build has, and those that are built again for
 * processors with instructions for them. */
#define INGOT_KERNELS(X) INGOT_KERNELS_COMMON(X) INGOT_KERNELS_DOT(X)

#define INGOT_KERNELS_DOT(X) \
    /* dot_i8.c: B[l][j] is b[l * b_row + j * b_col] for l < k when packed; the rest of the pieces counts nothing. \
       zeros (NULL: 0) are one for each column. Rows [0, rows) at the columns of panels [p0, p1) then. dot_line_i8 \
       makes operand elements of n bytes. */ \
    X(int64_t, dot_panels_i8, (const ingot_dot *d)) \
    X(int64_t, dot_columns_i8, (const ingot_dot *d)) \
    X(int64_t, dot_packed_i8, (const ingot_dot *d)) \
    X(void, dot_pack_i8, (const ingot_dot *d, void *packed, const void *b, ptrdiff_t b_row, ptrdiff_t b_col, \
                          int64_t k, const int32_t *zeros, int64_t p0, int64_t p1)) \
    X(void, dot_add_i8, (const ingot_dot *d, const void *packed, const int32_t *bias, int a_zero, int32_t *add)) \
    X(void, dot_line_i8, (void *dst, const void *src, int64_t n, bool is_signed, int zero)) \
    X(void, dot_i8, (const ingot_dot *d, const void *a, const void *packed, void *dst, const ingot_dot_out *o, \
                     int64_t rows, int64_t p0, int64_t p1))

#define INGOT_KERNELS_COMMON(X) \
    /* act.c: rows strips of n floats, `stride` apart, in place */ \
    X(void, act_rows_f32, (float *data, ptrdiff_t stride, int64_t rows, int64_t n, const ingot_epilogue *e)) \
    /* the same for planes that hold channels of the same pixels: by twos, from the first one on, the last bits of a \
       number may depend on its neighbour in the other plane, but on no other pixel */ \
    X(void, act_planes_f32, (float *data, ptrdiff_t plane, int64_t planes, int64_t n, const ingot_epilogue *e)) \
    /* attend.c: for each of `width` columns (one or two vectors) of rows x width scores, exp(x - the largest), where \
       x is scale times the score plus add[row] (NULL: 0); inverse[] receives 1 / its sum. And src (rows x columns) by \
       columns: dst[j * dst_row + i] = src[i * src_row + j] * factor[j]. */ \
    X(void, softmax_columns_f32, (float *data, int64_t rows, int64_t width, float scale, const float *add, \
                                  float *inverse)) \
    X(void, scale_transposed_f32, (float *dst, ptrdiff_t dst_row, const float *src, ptrdiff_t src_row, int64_t rows, \
                                   int64_t columns, const float *factor)) \
    /* blend.c: row r of dst, n floats, is the sum over t of weight[r][t] times row index[r][t] of src; taps > 0 */ \
    X(void, blend_rows_f32, (float *dst, ptrdiff_t dst_row, const float *src, ptrdiff_t src_row, const int64_t *index, \
                             const float *weight, int64_t taps, int64_t rows, int64_t n)) \
    /* binary.c: dst may be the memory of an operand of period 0 */ \
    X(void, binary_f32, (ingot_binary function, float *dst, ingot_operand x, ingot_operand y, int64_t n)) \
    /* The same for rows of at most 512 numbers, one behind the other in dst; operands of a period of 0 or 1, the next \
       row's begin x_row and y_row numbers further. dst may be the memory of one that lies as dst does. */ \
    X(void, binary_rows_f32, (ingot_binary function, float *dst, ingot_operand x, ptrdiff_t x_row, ingot_operand y, \
                              ptrdiff_t y_row, int64_t rows, int64_t n)) \
    /* cell.c and cell_f64.c: elements are float or double. Packing takes `gates` matrices (hidden, k), one after \
       the other, into blocks [b0, b1) of gates * k * lanes elements. inputs: the same blocks of rows [m0, m1) of x, \
       with k numbers each, times those weights plus bias, into rows of all blocks' gates. step: these blocks. */ \
    X(void, cell_pack_f32, (void *packed, const void *weights, int gates, int64_t hidden, int64_t k, int64_t b0, \
                            int64_t b1)) \
    X(void, cell_inputs_f32, (const ingot_cell *d, const void *x, int64_t k, const void *packed, const void *bias, \
                              void *inputs, int64_t m0, int64_t m1, int64_t b0, int64_t b1)) \
    X(void, cell_step_f32, (const ingot_cell *d, const ingot_cell_step *s, int64_t b0, int64_t b1)) \
    X(void, cell_pack_f64, (void *packed, const void *weights, int gates, int64_t hidden, int64_t k, int64_t b0, \
                            int64_t b1)) \
    X(void, cell_inputs_f64, (const ingot_cell *d, const void *x, int64_t k, const void *packed, const void *bias, \
                              void *inputs, int64_t m0, int64_t m1, int64_t b0, int64_t b1)) \
    X(void, cell_step_f64, (const ingot_cell *d, const ingot_cell_step *s, int64_t b0, int64_t b1)) \
    /* gemm_f64.c */ \
    X(void, gemm_f64, (const ingot_gemm_f64 *g, double *c, const double *a, const double *b)) \
    /* halves.c: 16-bit floats (bfloat16, or else float16) to float, exactly, and back, to nearest even */ \
    X(void, widen_f32, (float *dst, const uint16_t *src, int64_t n, bool bfloat)) \
    X(void, narrow_f32, (uint16_t *dst, const float *src, int64_t n, bool bfloat)) \
    /* map.c and map_f64.c: dst may be src. The second computes in double with the C library. */ \
    X(void, map_f32, (ingot_map function, float *dst, const float *src, int64_t n, float a, float b)) \
    X(void, map_f64, (ingot_map function, double *dst, const double *src, int64_t n, double a, double b)) \
    /* conv_direct.c, conv_pack.c: any convolution, dst blocked. Weights are packed in units [u0, u1), the work is cut \
       into items. conv_packed_f32 counts floats. conv_minimal_f32: can rows of a row-major source be done by minimal \
       filtering, and is it faster, or wherever it is possible? conv_tile_pixels: how \
       many outputs side by side a tile holds in registers. */ \
    X(bool, conv_minimal_f32, (const ingot_conv *d, bool wherever_possible)) \
    X(int, conv_tile_pixels, (const ingot_conv *d)) \
    X(int64_t, conv_units_f32, (const ingot_conv *d)) \
    X(int64_t, conv_packed_f32, (const ingot_conv *d)) \
    X(void, conv_pack_f32, (const ingot_conv *d, float *packed, const float *weights, int64_t u0, int64_t u1)) \
    /* Weights packed in units [u0, u1), each input channel of them times its scale. */ \
    X(void, conv_scale_f32, (const ingot_conv *d, float *dst, const float *packed, const float *scale, int64_t u0, \
                             int64_t u1)) \
    X(int64_t, conv_items_f32, (const ingot_conv *d)) \
    X(void, conv_f32, (const ingot_conv *d, const float *packed, const float *src, float *dst, \
                       const ingot_epilogue *e, int64_t i0, int64_t i1)) \
    /* conv_first.c: rows [y0, y1) of an image by a convolution that reads a row-major src, into a dst that begins \
       with row y0 and whose channel blocks are `plane` floats apart; no residual. conv_band_floats_f32: of a dst \
       that has these rows alone (0: not for this one). */ \
    X(int64_t, conv_band_floats_f32, (const ingot_conv *d, int64_t rows)) \
    X(void, conv_band_f32, (const ingot_conv *d, const float *packed, const float *src, float *dst, int64_t plane, \
                            const ingot_epilogue *e, int64_t y0, int64_t y1)) \
    /* A convolution that only mixes channels (1x1, one group, blocked src), of what a stride leaves and a prologue \
       (NULL: none) makes of its source; or one of patches of a row-major src which do not overlap and whose numbers \
       fill blocks, without a prologue. Weights as above. scratch holds conv_mix_scratch_f32 floats (0: not for this \
       one), is best aligned to 64 bytes, and belongs to one call at a time. *held as for winograd_f32. */ \
    X(int64_t, conv_mix_scratch_f32, (const ingot_conv *d)) \
    X(int64_t, conv_mix_items_f32, (const ingot_conv *d)) \
    X(void, conv_mix_f32, (const ingot_conv *d, const ingot_prologue *first, const float *packed, const float *src, \
                           float *dst, const ingot_epilogue *e, float *scratch, int64_t *held, int64_t i0, \
                           int64_t i1)) \
    /* deconv.c: transposed convolutions, src and dst blocked. d->in and d->out are the operator's, the rest its \
       attributes; weights are [ic][oc / groups][kernel...]. Units and items as above. m: 0, or what deconv_choose_f32 \
       says of Winograd's way; that, scratch and *held as for winograd_f32. */ \
    X(int, deconv_choose_f32, (const ingot_conv *d, bool wherever_possible)) \
    X(int64_t, deconv_units_f32, (const ingot_conv *d)) \
    X(int64_t, deconv_packed_f32, (const ingot_conv *d, int m)) \
    X(void, deconv_pack_f32, (const ingot_conv *d, int m, float *packed, const float *weights, int64_t u0, \
                              int64_t u1)) \
    X(int64_t, deconv_scratch_f32, (const ingot_conv *d, int m)) \
    X(int64_t, deconv_items_f32, (const ingot_conv *d, int m)) \
    X(void, deconv_f32, (const ingot_conv *d, int m, const float *packed, const float *src, float *dst, \
                         const ingot_epilogue *e, float *scratch, int64_t *held, int64_t i0, int64_t i1)) \
    /* dwconv.c: groups = ic = oc, src and dst blocked. Items as above; dwconv_packed_f32 counts floats. */ \
    X(int64_t, dwconv_packed_f32, (const ingot_conv *d)) \
    X(void, dwconv_pack_f32, (const ingot_conv *d, float *packed, const float *weights)) \
    X(int64_t, dwconv_items_f32, (const ingot_conv *d)) \
    X(void, dwconv_f32, (const ingot_conv *d, const float *packed, const float *src, float *dst, \
                         const ingot_epilogue *e, int64_t i0, int64_t i1)) \
    /* depthwise_i8.c: n output pixels of eight channels, `step` elements apart in src, which holds 16-bit numbers, \
       eight of a pixel together; weights are [taps][8]. Arrays of *o have 8 elements; src may be read 8 elements too \
       far. */ \
    X(void, depthwise_i8, (void *dst, const int16_t *src, ptrdiff_t step, const int64_t *tap_at, int64_t taps, \
                           const int32_t *weights, int64_t n, const ingot_dot_out *o)) \
    /* depthwise_pair.c: a convolution that only mixes channels, and a depthwise one of its result, which lies in \
       scratch memory alone; both packed by the kernels above. 0 items: not for these two, or not worth it. scratch is \
       best aligned to 64 bytes and belongs to one call at a time. */ \
    X(int64_t, pair_items_f32, (const ingot_pair *x)) \
    X(int64_t, pair_scratch_f32, (const ingot_pair *x)) \
    X(void, pair_f32, (const ingot_pair *x, const float *src, float *dst, float *scratch, int64_t i0, int64_t i1)) \
    /* gemm.c: B[l][j] is b[l * b_row + j * b_col] when packed, panels [p0, p1) at a time; then rows [m0, m1) of the \
       columns of panels [p0, p1). gemm_packed_f32 counts floats. */ \
    X(int64_t, gemm_panels_f32, (int64_t n)) \
    X(int64_t, gemm_packed_f32, (int64_t n, int64_t k)) \
    X(void, gemm_pack_f32, (float *packed, const float *b, ptrdiff_t b_row, ptrdiff_t b_col, int64_t n, int64_t k, \
                            int64_t p0, int64_t p1)) \
    X(void, gemm_f32, (const ingot_gemm *g, const float *a, const float *packed, float *c, const ingot_epilogue *e, \
                       int64_t m0, int64_t m1, int64_t p0, int64_t p1)) \
    /* gemv.c: few rows, all of them, by columns [n0, n1) of B as stored. dot: B[l][j] is w[j * ldw + l], and a_col \
       is 1. axpy: B[l][j] is b[l * ldb + j]. */ \
    X(void, gemm_dot_f32, (const ingot_gemm *g, const float *a, const float *w, ptrdiff_t ldw, float *c, \
                           const ingot_epilogue *e, int64_t n0, int64_t n1)) \
    X(void, gemm_axpy_f32, (const ingot_gemm *g, const float *a, const float *b, ptrdiff_t ldb, float *c, \
                            const ingot_epilogue *e, int64_t n0, int64_t n1)) \
    /* The plain product, with B in stripes of INGOT_STRIPE rows: B[l][j] is stripes[l / 16][j][l % 16], zeros behind \
       the last row. a_col is 1. */ \
    X(void, gemm_stripes_f32, (const ingot_gemm *g, const float *a, const float *stripes, float *c)) \
    /* norm.c: mean and variance (of all, not of a sample) of n elements; (src - sub) mul + add with one set for all, \
       with a set per lane of n blocked pixels, and as (src - sub) mul scale[i] + add[i] (NULL: 0). dst may be src. */ \
    X(void, moments_f32, (const float *src, int64_t n, double *mean, double *variance)) \
    X(double, sum_squares_f32, (const float *src, int64_t n)) \
    X(void, scale_shift_f32, (float *dst, const float *src, int64_t n, float sub, float mul, float add)) \
    X(void, scale_shift_blocked_f32, (float *dst, const float *src, int64_t n, const float *sub, const float *mul, \
                                      const float *add)) \
    X(void, scale_row_f32, (float *dst, const float *src, int64_t n, float sub, float mul, const float *scale, \
                            const float *add)) \
    /* LayerNormalization of rows of n > 0 floats: (x - mean) / sqrt(variance + epsilon) scale[i] + add[i] (NULL: 0); \
       and of each pixel of [p0, p1) of a blocked image, over its channels. dst may be src. */ \
    X(void, norm_rows_f32, (float *dst, const float *src, int64_t rows, int64_t n, double epsilon, const float *scale, \
                            const float *add)) \
    X(void, norm_channels_f32, (float *dst, const float *src, int64_t channels, int64_t pixels, int64_t p0, \
                                int64_t p1, float epsilon, const float *scale, const float *add)) \
    /* peak.c: the yardsticks. Results only keep the work from being optimized away. */ \
    X(float, fma_peak_f32, (int64_t iterations, int64_t *flops)) \
    X(float, read_peak_f32, (const float *src, int64_t n)) \
    /* quantize_i8.c: (src - zero) as 16-bit numbers; round(src / scale) between the limits, plus zero; (src - zero) \
       scale; the range of n elements and 0, where NaN is left out */ \
    X(void, widen_i8, (int16_t *dst, const void *src, int64_t n, bool is_signed, int zero)) \
    X(void, quantize_i8, (void *dst, const float *src, int64_t n, float scale, int zero, float low, float high)) \
    X(void, dequantize_i8, (float *dst, const void *src, int64_t n, bool is_signed, float scale, int zero)) \
    X(void, range_f32, (const float *src, int64_t n, float *low, float *high)) \
    X(void, mix_i8, (void *dst, const void *a, const void *b, int64_t n, const ingot_mix *m)) \
    /* dst = max(dst, src) for n pixels of 8 bytes, those of src `step` bytes apart; the sums over n such pixels */ \
    X(void, max_pixels_i8, (void *dst, const void *src, ptrdiff_t step, int64_t n, bool is_signed)) \
    X(void, sum_pixels_i8, (int32_t *sums, const void *src, int64_t n, bool is_signed)) \
    /* reduce_rows.c: n >= 0 elements to one number (0, an infinity or 1 for none). rows >= 1, `stride` apart, onto \
       each other into dst; n elements of shift are read for INGOT_FOLD_EXP, else shift is any pointer to n floats. */ \
    X(double, fold_row_f32, (ingot_fold fold, const float *src, size_t n, float shift)) \
    X(void, fold_rows_f32, (ingot_fold fold, float *dst, const float *src, ptrdiff_t stride, size_t rows, size_t n, \
                            const float *shift)) \
    /* Sums over the pixels of a block of 8 channels. */ \
    X(void, sum_pixels_f32, (double *sums, const float *src, size_t pixels)) \
    /* The largest of n > 0 elements times sign (1, or -1 for the smallest), and where it is: the first or the last of \
       equal ones; NaN is the largest. arg_rows_f32 does so in n columns at once, one row more with each call. */ \
    X(int32_t, arg_row_f32, (float *best, const float *src, size_t n, float sign, bool last)) \
    X(void, arg_rows_f32, (float *best, int32_t *index, const float *src, size_t n, int32_t row, float sign, \
                           bool last)) \
    /* winograd.c: 3x3 and 2x2 convolutions of stride 1, and 3x3 ones of stride 2, with fewer multiplications, by \
       output tiles of m x m (2; or, of 3x3 ones of stride 1, 4, and 1 for tiles of 1 x 2), where winograd_choose_f32 \
       gives an m, not 0: where that is faster, or wherever it is possible. Units are those of conv_units_f32. scratch \
       holds winograd_scratch_f32 floats, is best aligned to 64 bytes, and belongs to one call at a time. *held tells \
       which part of the source it holds from the call before, on the same src; -1: none. */ \
    X(int, winograd_choose_f32, (const ingot_conv *d, bool wherever_possible)) \
    X(int64_t, winograd_packed_f32, (const ingot_conv *d, int m)) \
    X(void, winograd_pack_f32, (const ingot_conv *d, int m, float *packed, const float *weights, int64_t u0, \
                                int64_t u1)) \
    X(int64_t, winograd_scratch_f32, (const ingot_conv *d, int m)) \
    X(int64_t, winograd_items_f32, (const ingot_conv *d, int m)) \
    X(void, winograd_f32, (const ingot_conv *d, int m, const float *packed, const float *src, float *dst, \
                           const ingot_epilogue *e, float *scratch, int64_t *held, int64_t i0, int64_t i1)) \
    /* strassen.c: 1x1 convolutions of stride 1 with seven eighths of the multiplications, where strassen_choose_f32 \
       says so: where that is faster, or wherever it is possible. All else as in winograd.c. */ \
    X(bool, strassen_choose_f32, (const ingot_conv *d, bool wherever_possible)) \
    X(int64_t, strassen_packed_f32, (const ingot_conv *d)) \
    X(int64_t, strassen_units_f32, (const ingot_conv *d)) \
    X(void, strassen_pack_f32, (const ingot_conv *d, float *packed, const float *weights, int64_t u0, int64_t u1)) \
    X(int64_t, strassen_scratch_f32, (const ingot_conv *d)) \
    X(int64_t, strassen_items_f32, (const ingot_conv *d)) \
    X(void, strassen_f32, (const ingot_conv *d, const float *packed, const float *src, float *dst, \
                           const ingot_epilogue *e, float *scratch, int64_t *held, int64_t i0, int64_t i1)) \
    /* pool_blocked.c: rows [i0, i1) of all outputs, (images * blocks, depth, height); the mean of a block's pixels */ \
    X(void, pool_blocked_f32, (const ingot_pool *d, const float *src, float *dst, int64_t i0, int64_t i1)) \
    X(void, mean_blocked_f32, (float *dst, const float *src, int64_t pixels)) \
    /* reorder.c: pixels [p0, p1) of a block of up to 8 channels, from row-major to blocked and back; missing channels \
       become 0 */ \
    X(void, block_f32, (float *dst, const float *src, int64_t channels, int64_t pixels, int64_t p0, int64_t p1)) \
    X(void, unblock_f32, (float *dst, const float *src, int64_t channels, int64_t pixels, int64_t p0, int64_t p1)) \
    /* softmax_rows.c: one row; dst may be src */ \
    X(void, softmax_f32, (float *dst, const float *src, int64_t n)) \
    X(void, log_softmax_f32, (float *dst, const float *src, int64_t n)) \
    /* softmax of scale x + mask, in place, over rows of n > 0 floats that lie stride apart; mask may be NULL, and its \
       rows lie mask_stride apart, which may be 0 */ \
    X(void, softmax_scaled_f32, (float *data, ptrdiff_t stride, int64_t rows, int64_t n, float scale, \
                                 const float *mask, ptrdiff_t mask_stride))

typedef struct ingot_kernels {
    const char *isa;         /* "baseline", "avx2", "avxvnni", "avx512", "avx512vnni" or "neon" */
    int lanes;               /* floats in a vector of natural width */
    int gemm_rows;           /* of a matrix product's tile, two vectors wide */
    int dot_bytes;           /* of an operand element of integer products: 1 or 2 */
#define X(type, name, params) type (*name) params;
    INGOT_KERNELS(X)
#undef X
} ingot_kernels;

/* The fastest table that this processor can run and the environment variable INGOT_ISA allows. Its value is the name of
 * the highest instruction set wanted; a name that this build does not know limits nothing. Never NULL; any thread. */
const ingot_kernels *ingot_kernels_best(void);

/* The tables to choose from, slowest first: those this processor can run and INGOT_ISA allows. NULL past the last. */
const ingot_kernels *ingot_kernels_at(int index);

/* Are operations on 512 bits two on 256? Kernels of that width then choose algorithms and tiles by other costs, and all
 * kernels fetch otherwise: what has been measured with such units are AMD's processors, with those of 512 bits Intel's.
 * So says the processor, or before it the environment variable INGOT_WIDE: "split" or "whole". The answer never
 * changes. */
bool ingot_wide_is_split(void);

#endif
