/* pool.h - a pool in the kernels' terms, for operators that have one in them. */
#ifndef INGOT_OPS_POOL_H
#define INGOT_OPS_POOL_H

#include "ops/op.h"

/* Of a MaxPool of floats in two dimensions without indices; false: it is no such one. A context as it is after
 * infer(). */
bool ingot_max_pool_read(const ingot_op_ctx *c, ingot_pool *d);

#endif
