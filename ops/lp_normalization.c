/* lp_normalization.c - normalizations without parameters: LRN across neighbouring channels, LpNormalization along one
 * axis, MeanVarianceNormalization over any axes. They are rare, so plain loops in double serve all types; floats of
 * MeanVarianceNormalization take the kernels of the other normalizations. */
#include <math.h>

#include "ops/movement.h"
#include "ops/weights.h"
#include "ops/window.h"

/* Only f32 and f64 get here: 16-bit floats are widened before. */
static void store(const ingot_tensor *tensor, int64_t index, double value)
{
    if (tensor->dtype == INGOT_DOUBLE)
        ((double *)tensor->data)[index] = value;
    else
        ((float *)tensor->data)[index] = (float)value;
}

/* Element `index` as a double. */
static double load(const ingot_tensor *tensor, int64_t index)
{
    return tensor->dtype == INGOT_DOUBLE ? ((const double *)tensor->data)[index]
                                         : (double)((const float *)tensor->data)[index];
}

/* Nothing but widening needs memory, for all three operators. */
static ingot_status prepare_widened(ingot_op_ctx *c)
{
    ingot_want_scratch(c, ingot_widen_bytes(c), 0);
    return INGOT_OK;
}

/* --- LRN: y = x / (bias + alpha / size * sum of squares over `size` channels around)^beta --- */

/* X (N, C, D1...); size may exceed C, its window is cut to the channels. */
static ingot_status infer_lrn(ingot_op_ctx *c)
{
    const int64_t size = ingot_attr_int(c->node, "size", 0);

    if (size < 1 || size > INT32_MAX)
        return ingot_op_fail(c, INGOT_INVALID, "attribute 'size': %lld is not allowed (at least 1)", (long long)size);
    if (c->in[0]->rank < 2)
        return ingot_op_fail(c, INGOT_INVALID, "input 0 has rank %d, expected at least 2", c->in[0]->rank);
    return ingot_out_like(c, 0, c->in[0]);
}

/* Positions [begin, end) of (image, pixel). The window of channel k is [k - (size - 1) / 2, k + size / 2], both rounded
 * down: an even size reaches one further up. Squares are summed anew for each channel, so that no error piles up. */
static void lrn_pixels(void *argument, int64_t begin, int64_t end, int thread)
{
    const ingot_op_ctx *c = argument;
    const ingot_tensor *x = c->in[0];
    const int64_t channels = x->shape[1], plane = ingot_span(x, 2, x->rank), size = ingot_attr_int(c->node, "size", 1);
    const double alpha = (double)ingot_attr_float(c->node, "alpha", 1e-4f) / (double)size;
    const double beta = (double)ingot_attr_float(c->node, "beta", 0.75f);
    const double bias = (double)ingot_attr_float(c->node, "bias", 1.0f);

    (void)thread;
    for (int64_t i = begin; i < end; i++) {
        const int64_t at = i / plane * channels * plane + i % plane;
        for (int64_t k = 0; k < channels; k++) {
            const int64_t from = MAX(0, k - (size - 1) / 2), to = MIN(channels, k + size / 2 + 1);
            double sum = 0;
            for (int64_t j = from; j < to; j++)
                sum += load(x, at + j * plane) * load(x, at + j * plane);
            store(c->out[0], at + k * plane, load(x, at + k * plane) / pow(bias + alpha * sum, beta));
        }
    }
}

/* In f32 or f64, as everything below that ends in _wide. */
static ingot_status run_lrn_wide(ingot_op_ctx *c)
{
    const ingot_tensor *x = c->in[0];
    ingot_parallel(c->team, x->shape[0] * ingot_span(x, 2, x->rank), 64, lrn_pixels, c);
    return INGOT_OK;
}

/* --- LpNormalization: x / norm along the axis, 0 where the norm is 0 --- */

/* p is 1 or 2; Y is like X. INVALID: another p, or an axis out of range. */
static ingot_status infer_lp(ingot_op_ctx *c)
{
    const int64_t p = ingot_attr_int(c->node, "p", 2);
    int axis;

    if (p != 1 && p != 2)
        return ingot_op_fail(c, INGOT_INVALID, "attribute 'p': %lld is not allowed (1 or 2)", (long long)p);
    ingot_status st = ingot_axis(c, ingot_attr_int(c->node, "axis", -1), c->in[0]->rank, &axis);
    return st ? st : ingot_out_like(c, 0, c->in[0]);
}

/* Task over vectors along the axis: each is divided by its norm. A norm of 0 gives 0, as in the specification's
 * reference. The elements of a vector are `inner` apart. */
static void lp_strips(void *argument, int64_t begin, int64_t end, int thread)
{
    const ingot_op_ctx *c = argument;
    const ingot_tensor *x = c->in[0];
    const int64_t p = ingot_attr_int(c->node, "p", 2), axis = ingot_attr_int(c->node, "axis", -1);
    const int at_axis = (int)(axis < 0 ? axis + x->rank : axis);
    const int64_t n = x->shape[at_axis], inner = ingot_span(x, at_axis + 1, x->rank);

    (void)thread;
    for (int64_t i = begin; i < end; i++) {
        /* The vector's norm, then its elements divided by it. */
        const int64_t at = i / inner * n * inner + i % inner;
        double sum = 0;
        for (int64_t k = 0; k < n; k++) {
            const double value = load(x, at + k * inner);
            sum += p == 1 ? fabs(value) : value * value;
        }
        const double norm = p == 1 ? sum : sqrt(sum);
        for (int64_t k = 0; k < n; k++)
            store(c->out[0], at + k * inner, norm == 0 ? 0 : load(x, at + k * inner) / norm);
    }
}

/* An axis of size 0 leaves no elements. */
static ingot_status run_lp_wide(ingot_op_ctx *c)
{
    const ingot_tensor *x = c->in[0];
    const int64_t axis = ingot_attr_int(c->node, "axis", -1), n = x->shape[axis < 0 ? axis + x->rank : axis];

    if (n > 0)
        ingot_parallel(c->team, ingot_count(x) / n, 1 + 4096 / n, lp_strips, c);
    return INGOT_OK;
}

/* --- MeanVarianceNormalization: (x - mean) / (standard deviation + 1e-9) over `axes` --- */

/* Sizes and strides of the axes that are kept (as positions) and of those that are reduced. Steps count elements of
 * X. */
typedef struct axis_split {
    int n_kept, n_reduced;
    int64_t kept[INGOT_MAX_RANK], kept_step[INGOT_MAX_RANK], reduced[INGOT_MAX_RANK], reduced_step[INGOT_MAX_RANK];
} axis_split;

/* Sorts X's dimensions into those averaged over and those kept; axes are (0, 2, 3) without the attribute, (N, H, W) of
 * an image. INVALID: an axis out of range, also one of the usual ones where X has fewer than four dimensions. */
static ingot_status split_axes(ingot_op_ctx *c, axis_split *s)
{
    static const int64_t usual[] = { 0, 2, 3 };
    const ingot_tensor *x = c->in[0];
    const ingot_attr *attr = ingot_node_attr(c->node, "axes");
    const size_t n = attr ? attr->n : 3;
    bool reduce[INGOT_MAX_RANK] = { false };

    for (size_t i = 0; i < n; i++) {
        int axis;
        ingot_status st = ingot_axis(c, attr ? attr->ints[i] : usual[i], x->rank, &axis);
        if (st)
            return st;
        reduce[axis] = true;
    }
    s->n_kept = s->n_reduced = 0;
    /* Each dimension goes to one of the lists, with its size and step. */
    for (int d = 0; d < x->rank; d++) {
        int64_t *size = reduce[d] ? &s->reduced[s->n_reduced] : &s->kept[s->n_kept];
        *size = x->shape[d];
        *(reduce[d] ? &s->reduced_step[s->n_reduced++] : &s->kept_step[s->n_kept++]) = ingot_span(x, d + 1, x->rank);
    }
    return INGOT_OK;
}

/* Y is like X; the axes are checked. */
static ingot_status infer_mean_variance(ingot_op_ctx *c)
{
    axis_split s;
    ingot_status st = split_axes(c, &s);
    return st ? st : ingot_out_like(c, 0, c->in[0]);
}

/* One run. The reduced axes at the end of X are one row of `row` elements; `split` has the others. */
typedef struct mean_variance {
    const ingot_op_ctx *c;
    axis_split split;
    int64_t row;
} mean_variance;

/* Mean and variance of the n elements from `first` on: the mean first, as squares about 0 cancel far from it. */
static void row_moments(const ingot_op_ctx *c, int64_t first, int64_t n, double *mean, double *variance)
{
    const ingot_tensor *x = c->in[0];
    double sum = 0, squares = 0;

    if (x->dtype == INGOT_FLOAT) {
        c->kernels->moments_f32((const float *)x->data + first, n, mean, variance);
        return;
    }
    for (int64_t i = first; i < first + n; i++)
        sum += load(x, i);
    *mean = sum / (double)n;
    for (int64_t i = first; i < first + n; i++)
        squares += (load(x, i) - *mean) * (load(x, i) - *mean);
    *variance = squares / (double)n;
}

/* y = (x - mean) / divisor for n elements from `first` on. */
static void normalize_row(const ingot_op_ctx *c, int64_t first, int64_t n, double mean, double divisor)
{
    const ingot_tensor *x = c->in[0];
    const float near = (float)mean;

    if (x->dtype == INGOT_FLOAT) {
        c->kernels->scale_shift_f32((float *)c->out[0]->data + first, (const float *)x->data + first, n, near,
                                    (float)(1 / divisor), (float)(((double)near - mean) / divisor));
        return;
    }
    for (int64_t i = first; i < first + n; i++)
        store(c->out[0], i, (load(x, i) - mean) / divisor);
}

/* Positions [begin, end) of the kept axes, each normalized by its own mean and deviation. Those of rows are joined as
 * they come, without a second look at the elements. Source: T. Chan, G. Golub, R. LeVeque, "Updating Formulae and a
 * Pairwise Algorithm for Computing Sample Variances", 1979. */
static void normalize_positions(void *argument, int64_t begin, int64_t end, int thread)
{
    const mean_variance *m = argument;
    const axis_split *s = &m->split;
    const int64_t n_rows = ingot_window_volume(s->reduced, s->n_reduced);
    int64_t at[INGOT_MAX_RANK] = { 0 }, kept[INGOT_MAX_RANK];

    (void)thread;
    for (int64_t i = begin; i < end; i++) {
        int64_t row = ingot_locate(s->n_kept, s->kept, s->kept_step, i, kept);
        double mean = 0, squares = 0;
        for (int64_t r = 0; r < n_rows; r++, ingot_advance(s->n_reduced, s->reduced, s->reduced_step, at, &row)) {
            double row_mean, row_variance;
            row_moments(m->c, row, m->row, &row_mean, &row_variance);
            const double off = row_mean - mean;
            mean += off / (double)(r + 1);
            squares += row_variance + off * off * (double)r / (double)(r + 1);
        }
        const double divisor = sqrt(squares / (double)n_rows) + 1e-9;
        for (int64_t r = 0; r < n_rows; r++, ingot_advance(s->n_reduced, s->reduced, s->reduced_step, at, &row))
            normalize_row(m->c, row, m->row, mean, divisor);
    }
}

static ingot_status run_mean_variance_wide(ingot_op_ctx *c)
{
    mean_variance m = { .c = c, .row = 1 };
    axis_split *s = &m.split;
    const ingot_status st = split_axes(c, s);

    if (st || ingot_count(c->in[0]) == 0)
        return st;
    while (s->n_reduced && s->reduced_step[s->n_reduced - 1] == m.row)
        m.row *= s->reduced[--s->n_reduced];
    const int64_t folded = m.row * ingot_window_volume(s->reduced, s->n_reduced);
    ingot_parallel(c->team, ingot_window_volume(s->kept, s->n_kept), 1 + 8192 / folded, normalize_positions, &m);
    return INGOT_OK;
}

/* The run functions of the table: 16-bit floats are widened around the wide way. */
#define RUN(name) \
    static ingot_status run_##name(ingot_op_ctx *c) \
    { \
        return ingot_is_16bit(c->in[0]->dtype) ? ingot_run_widened(c, run_##name##_wide) : run_##name##_wide(c); \
    }
RUN(lrn)
RUN(lp)
RUN(mean_variance)

const ingot_op ingot_ops_lp_normalization[] = {
    { "LRN", 1, 1, 1, { INGOT_TYPES_FLOAT }, infer_lrn, run_lrn, .prepare = prepare_widened },
    { "LpNormalization", 1, 1, 1, { INGOT_TYPES_FLOAT }, infer_lp, run_lp, .prepare = prepare_widened },
    { "MeanVarianceNormalization", 9, 1, 1, { INGOT_TYPES_FLOAT }, infer_mean_variance, run_mean_variance,
      .prepare = prepare_widened },
    { 0 }
};
