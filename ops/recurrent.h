/* recurrent.h - a recurrent layer as prepared, and the run of its steps. For recurrent.c and recurrent_steps.c. */
#ifndef INGOT_OPS_RECURRENT_H
#define INGOT_OPS_RECURRENT_H

#include "ops/op.h"

typedef enum ingot_cell { INGOT_CELL_RNN, INGOT_CELL_GRU, INGOT_CELL_LSTM } ingot_cell;

typedef enum ingot_gate_function {
    INGOT_GATE_SIGMOID,
    INGOT_GATE_TANH,
    INGOT_GATE_RELU,
    INGOT_GATE_LEAKY_RELU,
    INGOT_GATE_HARD_SIGMOID,
    INGOT_GATE_ELU,
    INGOT_GATE_AFFINE,
    INGOT_GATE_THRESHOLDED_RELU,
    INGOT_GATE_SCALED_TANH,
    INGOT_GATE_SOFTSIGN,
    INGOT_GATE_SOFTPLUS
} ingot_gate_function;

typedef struct ingot_gate {
    ingot_gate_function function;
    float alpha, beta;
} ingot_gate;

typedef struct ingot_recurrent {
    ingot_cell cell;
    int gates, directions;
    int64_t steps, batch, inputs, hidden;
    bool batch_first, reverse, linear_before_reset, input_forget;
    float clip;                        /* 0: none */
    ingot_gate activation[2][3];       /* f g h of each direction */
    int64_t packed_w, packed_r;        /* floats: W of one direction; R of one gate */
    int64_t packed_floats;             /* of all */
    const float *packed;               /* NULL: the weights are no constants and are packed in every run */
    ingot_tensor *loaded[8];           /* inputs that are constants read from the file, or NULL */
    int64_t direction_floats;          /* scratch memory of one direction */
} ingot_recurrent;

/* What one run works on. x (steps, batch, inputs), h0 c0 y_h y_c (directions, batch, hidden), y (steps, directions,
 * batch, hidden), or with batch_first the batch axis first; bias (directions, 2 gates hidden); peepholes (directions, 3
 * hidden). */
typedef struct ingot_recurrent_data {
    const float *x, *bias, *h0, *c0, *peepholes, *packed;
    const int32_t *lens;
    float *y, *y_h, *y_c;              /* NULL: not wanted */
    float *scratch;
} ingot_recurrent_data;

void ingot_recurrent_run(ingot_op_ctx *c, const ingot_recurrent *r, const ingot_recurrent_data *data);

#endif
