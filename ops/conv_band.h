/* conv_band.h - a Conv that reads a row-major image, by bands of rows for somebody who uses them up in the cache. */
#ifndef INGOT_OPS_CONV_BAND_H
#define INGOT_OPS_CONV_BAND_H

#include "ops/conv_part.h"

/* What prepare makes; `src` is the run's. */
typedef struct ingot_conv_band {
    const ingot_kernels *kernels;
    ingot_conv_part part;
    int64_t rows, image;                 /* of a band; floats from one image of the source to the next */
    const float *src;
} ingot_conv_band;

/* A Conv with constant weights that nothing but an activation follows, and that can be made by bands, in the kernels'
 * terms; false: it is no such one. A context as it is after infer(). */
bool ingot_conv_band_read(const ingot_op_ctx *conv, ingot_conv *d);

/* Rows of a band for a classifier, all of the same size and a whole number of stripes; 0: not for this one. */
int64_t ingot_conv_band_rows(const ingot_op_ctx *conv);

/* Packs the weights. */
ingot_status ingot_conv_band_prepare(ingot_op_ctx *conv, ingot_conv_band *b);

/* Band `band` of image `image`, blocked, into memory of its own. What is read next is fetched beside the arithmetic. */
void ingot_conv_band_make(void *argument, int64_t image, int64_t band, float *to, const float *soon, int64_t n_soon);

#endif
