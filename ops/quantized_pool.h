/* quantized_pool.h - the largest byte of each window, for blocked tensors. */
#ifndef INGOT_OPS_QUANTIZED_POOL_H
#define INGOT_OPS_QUANTIZED_POOL_H

#include "ops/window.h"

/* Output 0 from input 0, both blocked and of bytes. A window that sees nothing but padding gives the lowest number. */
void ingot_max_pool_bytes(ingot_op_ctx *c, const ingot_window *window);

#endif
