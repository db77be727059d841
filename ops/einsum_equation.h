/* einsum_equation.h - the equation of an Einsum, with every dimension of every operand given a label. */
#ifndef INGOT_OPS_EINSUM_EQUATION_H
#define INGOT_OPS_EINSUM_EQUATION_H

#include "ops/op.h"

/* Labels: the 52 letters, then the dimensions that an ellipsis stands for, the last one being the last label. */
enum {
    INGOT_EINSUM_LETTERS = 52,
    INGOT_EINSUM_LABELS = INGOT_EINSUM_LETTERS + INGOT_MAX_RANK,
    INGOT_EINSUM_OPERANDS = 32
};

typedef struct ingot_einsum_term {
    int n;                               /* dimensions */
    uint8_t label[INGOT_MAX_RANK];
} ingot_einsum_term;

typedef struct ingot_equation {
    int n_operands;
    ingot_einsum_term operand[INGOT_EINSUM_OPERANDS], result;
    int64_t size[INGOT_EINSUM_LABELS];   /* of a label, after broadcasting */
} ingot_equation;

/* Parse attribute `equation` and fit it to the shapes of the inputs. */
ingot_status ingot_read_equation(ingot_op_ctx *c, ingot_equation *e);

#endif
