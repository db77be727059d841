/* deconv_few.h - transposed convolutions to few channels; for deconv.c, whose functions these are in their cases. */
#ifndef INGOT_OPS_KERNELS_DECONV_FEW_H
#define INGOT_OPS_KERNELS_DECONV_FEW_H

#include "ops/kernels/isa.h"

/* Is this the way to go? At most four output channels, no groups, two axes. */
bool INGOT_FN(deconv_few_fits)(const ingot_conv *d);

/* As the functions of deconv.c; there is one unit of weights. */
int64_t INGOT_FN(deconv_few_packed)(const ingot_conv *d);
void INGOT_FN(deconv_few_pack)(const ingot_conv *d, float *packed, const float *weights);
int64_t INGOT_FN(deconv_few_items)(const ingot_conv *d);
void INGOT_FN(deconv_few_run)(const ingot_conv *d, const float *packed, const float *src, float *dst,
                              const ingot_epilogue *e, int64_t i0, int64_t i1);

#endif
