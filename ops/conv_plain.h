/* conv_plain.h - convolution as its definition says, for any rank, group and attribute: what serves the types and
 * shapes that no fast kernel takes, and what the fast ones are tested against. */
#ifndef INGOT_OPS_CONV_PLAIN_H
#define INGOT_OPS_CONV_PLAIN_H

#include "ops/window.h"

typedef struct ingot_conv_shape {
    int64_t n, ic, oc, group;            /* channels of the whole tensors */
    bool transposed;
    ingot_window window;
} ingot_conv_shape;

/* Check input x, weights w and bias b (NULL: none) of a convolution against each other and its attributes, and resolve
 * the window. */
ingot_status ingot_conv_shape_read(ingot_op_ctx *c, const ingot_tensor *x, const ingot_tensor *w, const ingot_tensor *b,
                                   ingot_conv_shape *shape);

/* The same for a transposed convolution, whose weights are (ic, oc / group, kernel...). */
ingot_status ingot_conv_transposed_shape_read(ingot_op_ctx *c, const ingot_tensor *x, const ingot_tensor *w,
                                              const ingot_tensor *b, ingot_conv_shape *shape);

/* y (n, oc, window.out...) = convolution of x (n, ic, window.in...) with w (oc, ic / group, window.kernel...) plus b
 * (oc; NULL: none), or the transposed one where the shape says so. All are of `dtype`, FLOAT or DOUBLE, and
 * row-major. */
void ingot_conv_plain(ingot_team *team, ingot_dtype dtype, const ingot_conv_shape *shape, const void *x, const void *w,
                      const void *b, void *y);

#endif
