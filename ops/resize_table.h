/* resize_table.h - what one axis of a Resize reads: for every output position the input positions and their weights.
 * Interpolation is separable, so that this is all there is to know about an axis. */
#ifndef INGOT_OPS_RESIZE_TABLE_H
#define INGOT_OPS_RESIZE_TABLE_H

#include "ops/op.h"

typedef enum ingot_resize_mode { INGOT_RESIZE_NEAREST, INGOT_RESIZE_LINEAR, INGOT_RESIZE_CUBIC } ingot_resize_mode;

typedef enum ingot_coordinates {
    INGOT_HALF_PIXEL, INGOT_HALF_PIXEL_SYMMETRIC, INGOT_PYTORCH_HALF_PIXEL, INGOT_ALIGN_CORNERS, INGOT_ASYMMETRIC,
    INGOT_CROP_AND_RESIZE, INGOT_HALF_PIXEL_FOR_NN /* the last in opset 11 only */
} ingot_coordinates;

typedef enum ingot_nearest {
    INGOT_ROUND_PREFER_FLOOR, INGOT_ROUND_PREFER_CEIL, INGOT_NEAREST_FLOOR, INGOT_NEAREST_CEIL
} ingot_nearest;

typedef struct ingot_resize_rule {
    ingot_resize_mode mode;
    ingot_coordinates coordinates;
    ingot_nearest nearest;
    bool antialias, exclude_outside;
    double cubic_a;
} ingot_resize_rule;

typedef struct ingot_resize_axis {
    int64_t in, out;           /* in > 0 when out > 0 */
    double scale;              /* positive and finite */
    double begin, end;         /* region of the input, from 0 to 1; INGOT_CROP_AND_RESIZE only */
    int64_t taps;              /* inputs for each output */
    int64_t *index;            /* [out][taps], each in [0, in) */
    double *weight_f64;        /* [out][taps]; NULL for INGOT_RESIZE_NEAREST */
    float *weight_f32;         /* the same */
    bool *outside;             /* [out]: the position lies outside the input; INGOT_CROP_AND_RESIZE only, else NULL */
} ingot_resize_axis;

/* Does the axis come out as it went in? */
bool ingot_resize_keeps(const ingot_resize_rule *rule, const ingot_resize_axis *axis);

/* Fill taps, index, weights and outside; the rest is given. LIMIT where memory is out. */
ingot_status ingot_resize_fill(ingot_op_ctx *c, const ingot_resize_rule *rule, ingot_resize_axis *axis);

#endif
