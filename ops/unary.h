/* unary.h - one function over every element of a tensor of floats. */
#ifndef INGOT_OPS_UNARY_H
#define INGOT_OPS_UNARY_H

#include "ops/op.h"

/* out[0] = f(in[0]) for the four float types, in whichever layout both have. a and b are f's parameters. */
ingot_status ingot_run_map(ingot_op_ctx *c, ingot_map function, double a, double b);

/* The layout() of such an operator. bounded: the function makes finite numbers of finite numbers, so that the lanes
 * past the last channel do no harm. */
ingot_layout ingot_map_layout(const ingot_op_ctx *c, bool bounded);

#endif
