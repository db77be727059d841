/* strip.h - the pieces of normalizations over a contiguous strip, for float (by the kernels) and double tensors alike.
 * Positions and lengths count elements. */
#ifndef INGOT_OPS_STRIP_H
#define INGOT_OPS_STRIP_H

#include "ops/op.h"

typedef struct ingot_strips {
    const ingot_kernels *kernels;
    ingot_dtype dtype;                   /* FLOAT or DOUBLE */
    const void *src;
    void *dst;
} ingot_strips;

/* Mean and variance (divided by n) of src[at, at + n). */
void ingot_strip_moments(const ingot_strips *s, int64_t at, int64_t n, double *mean, double *variance);
double ingot_strip_squares(const ingot_strips *s, int64_t at, int64_t n);   /* sum of squares */

/* dst = (src - sub) mul + add over [at, at + n). */
void ingot_strip_scale(const ingot_strips *s, int64_t at, int64_t n, double sub, double mul, double add);

/* dst[at + i] = (src[at + i] - sub) mul scale[i] + add[i]; scale and add are of the same dtype, add may be NULL. */
void ingot_strip_scale_row(const ingot_strips *s, int64_t at, int64_t n, double sub, double mul, const void *scale,
                           const void *add);

/* Element `index` of a tensor of any float type as a parameter; 0 where tensor is NULL. */
double ingot_parameter(const ingot_tensor *tensor, int64_t index);

#endif
