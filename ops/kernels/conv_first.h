/* conv_first.h - convolution of few, row-major input channels: a network's first layer. */
#ifndef INGOT_OPS_KERNELS_CONV_FIRST_H
#define INGOT_OPS_KERNELS_CONV_FIRST_H

#include "ops/kernels/isa.h"

bool INGOT_FN(conv_first_fits)(const ingot_conv *d);          /* else conv_direct.c does it by itself */
int64_t INGOT_FN(conv_first_items)(const ingot_conv *d);
void INGOT_FN(conv_first_run)(const ingot_conv *d, const float *packed, const float *src, float *dst,
                              const ingot_epilogue *e, int64_t i0, int64_t i1);

#endif
