/* recurrent.h - a recurrent layer as prepared, and the run of its steps. For recurrent.c and recurrent_steps.c. */
#ifndef INGOT_OPS_RECURRENT_H
#define INGOT_OPS_RECURRENT_H

#include "ops/quantized.h"

/* The kernels for one element type, which is `size` bytes long. */
typedef struct ingot_cell_kernels {
    int lanes;                         /* units in a block */
    size_t size;
    void (*pack)(void *packed, const void *weights, int gates, int64_t hidden, int64_t k, int64_t b0, int64_t b1);
    void (*inputs)(const ingot_cell *d, const void *x, int64_t k, const void *packed, const void *bias, void *inputs,
                   int64_t m0, int64_t m1, int64_t b0, int64_t b1);
    void (*step)(const ingot_cell *d, const ingot_cell_step *s, int64_t b0, int64_t b1);
} ingot_cell_kernels;

/* A product with weights that are bytes: k numbers a row, `length` with what fills up the last piece. */
typedef struct ingot_byte_product {
    int64_t k, length;
    ingot_dot dot;
} ingot_byte_product;

typedef struct ingot_recurrent {
    ingot_cell_kernels kernels;
    ingot_cell cell[2];                /* of each direction, without bias and peepholes */
    int gates, directions;
    int64_t steps, batch, inputs, hidden;
    int64_t blocks, units;             /* units: of all blocks, so at least `hidden` */
    bool batch_first, reverse, ragged; /* ragged: the samples' lengths are an input */
    int turn;                          /* 1: the first step goes through the blocks from the last to the first */
    int64_t packed_w, packed_r;        /* elements of each direction: W, then R, */
    int64_t packed_direction;          /* and with them the bias of all blocks' gates and the state's bias */
    const void *packed;                /* NULL: the weights are no constants and are packed in every run */
    ingot_tensor *loaded[8];           /* inputs that are constants read from the file, or NULL */
    int64_t direction_elements;        /* scratch memory of one direction */
    bool integer;                      /* DynamicQuantizeLSTM: products of bytes, W's and R's */
    ingot_byte_product bytes[2];
    int64_t columns;                   /* of either, with those that fill up a panel */
    size_t integer_bytes;              /* scratch memory of one direction's products */
} ingot_recurrent;

/* What one run works on, in the layer's element type. x (steps, batch, inputs), h0 c0 y_h y_c (directions, batch,
 * hidden), y (steps, directions, batch, hidden), or with batch_first the batch axis first; peepholes (directions, 3
 * hidden). */
typedef struct ingot_recurrent_data {
    const void *x, *h0, *c0, *peepholes, *packed;
    const int32_t *lens;
    void *y, *y_h, *y_c;               /* NULL: not wanted */
    void *scratch;
    char *integer_scratch;             /* directions * integer_bytes */
} ingot_recurrent_data;

/* Elements of scratch memory that a direction needs; false when that is past counting. */
bool ingot_recurrent_scratch(ingot_recurrent *r);

/* quantized_recurrent.c: sizes and packing of weights that are bytes, and their products. */
bool ingot_recurrent_is_integer(const ingot_op_ctx *c);
ingot_status ingot_integer_plan(ingot_op_ctx *c, ingot_recurrent *r);
void ingot_integer_pack(const ingot_op_ctx *c, const ingot_recurrent *r, int d, char *to, int32_t *zeros);

/* x: rows of k numbers, x_row apart; gates: rows that the products are added to. lens: NULL, or how many steps each row
 * takes part in; one that ended before this step has no say in the scale. */
typedef struct ingot_integer_job {
    const float *x;
    int64_t k, rows;
    ptrdiff_t x_row, gates_row;
    float *gates;
    const void *packed;
    char *scratch;
    const int32_t *lens;
    int64_t step;
} ingot_integer_job;

void ingot_integer_add(const ingot_op_ctx *c, const ingot_recurrent *r, int which, int d, const ingot_integer_job *job);

void ingot_recurrent_run(ingot_op_ctx *c, const ingot_recurrent *r, const ingot_recurrent_data *data);

#endif
