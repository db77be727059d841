/* recurrent.h - a recurrent layer as prepared, and the run of its steps. For recurrent.c and recurrent_steps.c. */
#ifndef INGOT_OPS_RECURRENT_H
#define INGOT_OPS_RECURRENT_H

#include "ops/op.h"

/* The kernels for one element type, which is `size` bytes long. */
typedef struct ingot_cell_kernels {
    int lanes;                         /* units in a block */
    size_t size;
    void (*pack)(void *packed, const void *weights, int gates, int64_t hidden, int64_t k, int64_t b0, int64_t b1);
    void (*inputs)(const ingot_cell *d, const void *x, int64_t k, const void *packed, const void *bias, void *inputs,
                   int64_t m0, int64_t m1, int64_t b0, int64_t b1);
    void (*step)(const ingot_cell *d, const ingot_cell_step *s, int64_t b0, int64_t b1);
} ingot_cell_kernels;

typedef struct ingot_recurrent {
    ingot_cell_kernels kernels;
    ingot_cell cell[2];                /* of each direction, without bias and peepholes */
    int gates, directions;
    int64_t steps, batch, inputs, hidden;
    int64_t blocks, units;             /* units: of all blocks, so at least `hidden` */
    bool batch_first, reverse, ragged; /* ragged: the samples' lengths are an input */
    int64_t packed_w, packed_r;        /* elements of each direction: W, then R, */
    int64_t packed_direction;          /* and with them the bias of all blocks' gates and the state's bias */
    const void *packed;                /* NULL: the weights are no constants and are packed in every run */
    ingot_tensor *loaded[8];           /* inputs that are constants read from the file, or NULL */
    int64_t direction_elements;        /* scratch memory of one direction */
} ingot_recurrent;

/* What one run works on, in the layer's element type. x (steps, batch, inputs), h0 c0 y_h y_c (directions, batch,
 * hidden), y (steps, directions, batch, hidden), or with batch_first the batch axis first; peepholes (directions, 3
 * hidden). */
typedef struct ingot_recurrent_data {
    const void *x, *h0, *c0, *peepholes, *packed;
    const int32_t *lens;
    void *y, *y_h, *y_c;               /* NULL: not wanted */
    void *scratch;
} ingot_recurrent_data;

/* Elements of scratch memory that a direction needs; false when that is past counting. */
bool ingot_recurrent_scratch(ingot_recurrent *r);

void ingot_recurrent_run(ingot_op_ctx *c, const ingot_recurrent *r, const ingot_recurrent_data *data);

#endif
