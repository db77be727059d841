/* resize_table.c - the tables of a resized axis. Output position y lies at x = f(y) in the input. Linear interpolation
 * and cubic convolution weigh the inputs around x by a function of their distance; antialiasing stretches that function
 * by the factor the axis shrinks by, and so takes more inputs. Inputs past the ends are the outermost ones. */
#include "ops/resize_table.h"

#include <math.h>

enum { LOOK_EVERY = 100000 }; /* table entries, about a millisecond */

/* Does the axis stay as it is? Size and scale say so, and a crop must take all of it. A scale that is 1 but for
 * rounding counts as 1. */
bool ingot_resize_keeps(const ingot_resize_rule *rule, const ingot_resize_axis *axis)
{
    const bool whole =
        rule->coordinates != INGOT_CROP_AND_RESIZE || (fabs(axis->begin) < 1e-9 && fabs(axis->end - 1) < 1e-9);
    return axis->in == axis->out && fabs(axis->scale - 1) <= 1e-9 && whole;
}

/* Where output position y lies in the input, by coordinate_transformation_mode; formulas: ONNX, "Resize". */
static double position(const ingot_resize_rule *rule, const ingot_resize_axis *axis, double y)
{
    const double in = (double)axis->in, out = axis->scale * in;    /* as the scale has it, not rounded */

    switch (rule->coordinates) {
    case INGOT_ALIGN_CORNERS: return out == 1 ? 0 : y * (in - 1) / (out - 1);
    case INGOT_ASYMMETRIC: return y / axis->scale;
    case INGOT_HALF_PIXEL_FOR_NN: return (y + 0.5) / axis->scale;
    case INGOT_PYTORCH_HALF_PIXEL: return out == 1 ? -0.5 : (y + 0.5) / axis->scale - 0.5;
    case INGOT_HALF_PIXEL_SYMMETRIC: return in / 2 * (1 - (double)axis->out / out) + (y + 0.5) / axis->scale - 0.5;
    case INGOT_CROP_AND_RESIZE: {
        const double size = (axis->end - axis->begin) * (in - 1);
        return axis->begin * (in - 1) + (out == 1 ? size / 2 : y * size / (out - 1));
    }
    default: return (y + 0.5) / axis->scale - 0.5;
    }
}

/* The four roundings of ONNX; the position is bounded by the caller, so casts are safe. */
static int64_t nearest_index(const ingot_resize_rule *rule, double x)
{
    switch (rule->nearest) {
    case INGOT_NEAREST_FLOOR: return (int64_t)floor(x);
    case INGOT_NEAREST_CEIL: return (int64_t)ceil(x);
    case INGOT_ROUND_PREFER_CEIL: return (int64_t)floor(x + 0.5);
    default: return (int64_t)ceil(x - 0.5);
    }
}

/* Weight of an input at a distance: a triangle, or cubic convolution with the attribute cubic_coeff_a. Cubic: R.
 * Keys, "Cubic convolution interpolation", 1981. */
static double weigh(const ingot_resize_rule *rule, double distance)
{
    const double d = fabs(distance), a = rule->cubic_a;

    if (rule->mode == INGOT_RESIZE_LINEAR)
        return d < 1 ? 1 - d : 0;
    if (d <= 1)
        return ((a + 2) * d - (a + 3)) * d * d + 1;
    return d < 2 ? ((a * d - 5 * a) * d + 8 * a) * d - 4 * a : 0;
}

/* The inputs around x: axis->taps of them, from `first` steps after the one before x on, with weights of their
 * distance times `stretch`. Indices past the ends are clamped; exclude_outside gives those no weight. Weights are
 * then made to sum to 1. */
static void fill_taps(const ingot_resize_rule *rule, const ingot_resize_axis *axis, double x, int64_t first,
                      double stretch, int64_t *index, double *weight)
{
    const double before = ceil(x) - 1;             /* x - before lies in (0, 1] */
    double sum = 0;

    for (int64_t i = 0; i < axis->taps; i++) {
        const double at = before + (double)(first + i);
        index[i] = (int64_t)MIN(MAX(at, 0), (double)(axis->in - 1));
        weight[i] = weigh(rule, (x - at) * stretch);
        if (rule->exclude_outside && (at < 0 || at >= (double)axis->in))
            weight[i] = 0;
        sum += weight[i];
    }
    if (sum != 0 && (rule->antialias || rule->exclude_outside))
        for (int64_t i = 0; i < axis->taps; i++)
            weight[i] /= sum;
}

/* The tables of one axis, in memory of the plan: for each output position its inputs and weights. LIMIT when memory is
 * out or the tables would be too large. An axis of many millions takes seconds, so that a cancel is looked for. */
ingot_status ingot_resize_fill(ingot_op_ctx *c, const ingot_resize_rule *rule, ingot_resize_axis *axis)
{
    const double support = rule->mode == INGOT_RESIZE_CUBIC ? 2 : 1;
    const double stretch = rule->antialias ? MIN(axis->scale, 1) : 1;
    const bool nearest = rule->mode == INGOT_RESIZE_NEAREST, crops = rule->coordinates == INGOT_CROP_AND_RESIZE;
    const double reach = ceil(support / stretch);  /* inputs on either side */
    size_t n, bytes;

    if (!(reach < 0x1p40))
        return ingot_op_out_of_memory(c);
    axis->taps = nearest ? 1 : 2 * (int64_t)reach;
    if (!ingot_mul_size((size_t)axis->out, (size_t)axis->taps, &n) || !ingot_mul_size(n, sizeof(double), &bytes))
        return ingot_op_out_of_memory(c);
    /* Memory for the tables. */
    axis->index = ingot_keep(c, bytes);
    axis->weight_f64 = nearest ? NULL : ingot_keep(c, bytes);
    axis->weight_f32 = nearest ? NULL : ingot_keep(c, bytes);
    axis->outside = crops ? ingot_keep(c, (size_t)axis->out) : NULL;
    if (!axis->index || (!nearest && (!axis->weight_f64 || !axis->weight_f32)) || (crops && !axis->outside))
        return ingot_op_out_of_memory(c);
    const double last = (double)(axis->in - 1), margin = 2 * reach + 8;    /* no position past it reads anything else */
    for (int64_t y = 0, next = 0; y < axis->out; y++) {
        if (y >= next) {
            if (ingot_cancelled(c))
                return ingot_op_fail(c, INGOT_CANCELLED, "the run was cancelled");
            next = y + 1 + LOOK_EVERY / axis->taps;
        }
        double x = position(rule, axis, (double)y);
        if (crops && !(x >= 0 && x <= last)) {
            axis->outside[y] = true;
            x = 0;
        }
        /* Positions far outside all read the same edge; bounded, they fit integers. */
        x = x > -margin ? MIN(x, last + margin) : -margin;
        if (nearest)
            axis->index[y] = MIN(MAX(nearest_index(rule, x), 0), axis->in - 1);
        else
            fill_taps(rule, axis, x, 1 - (int64_t)reach, stretch, axis->index + y * axis->taps,
                      axis->weight_f64 + y * axis->taps);
    }
    for (size_t i = 0; i < n && !nearest; i++)
        axis->weight_f32[i] = (float)axis->weight_f64[i];
    return INGOT_OK;
}
