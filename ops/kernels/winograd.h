/* winograd.h - Winograd's way of winograd.c in its general form, as conv_direct.h has the direct one. */
#ifndef INGOT_OPS_KERNELS_WINOGRAD_H
#define INGOT_OPS_KERNELS_WINOGRAD_H

#include "ops/kernels/conv_direct.h"

void INGOT_FN(winograd_pack_view)(const ingot_conv *d, int m, float *packed, const conv_weights *weights, int64_t u0,
                                  int64_t u1);
void INGOT_FN(winograd_place_run)(const ingot_conv *d, int m, const conv_place *place, const float *packed,
                                  const float *src, float *dst, const ingot_epilogue *e, float *scratch, int64_t *held,
                                  int64_t i0, int64_t i1);

/* The same of winograd_rows.c: tiles of two neighbouring outputs, for 3x3 of stride 1. */
int64_t INGOT_FN(winograd_rows_packed)(const ingot_conv *d);
int64_t INGOT_FN(winograd_rows_scratch)(const ingot_conv *d);
int64_t INGOT_FN(winograd_rows_items)(const ingot_conv *d);
void INGOT_FN(winograd_rows_pack)(const ingot_conv *d, float *packed, const conv_weights *weights, int64_t u0,
                                  int64_t u1);
void INGOT_FN(winograd_rows_run)(const ingot_conv *d, const conv_place *place, const float *packed, const float *src,
                                 float *dst, const ingot_epilogue *e, float *scratch, int64_t *held, int64_t i0,
                                 int64_t i1);

#endif
