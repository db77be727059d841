/* normalization.c - normalizations with statistics of their own input and a learned scale: InstanceNormalization and
 * GroupNormalization over the channels of a group, LayerNormalization and RMSNormalization over the last axes. */
#include <math.h>
#include <string.h>

#include "ops/strip.h"
#include "ops/weights.h"

/* Inputs of all four operators; LayerNormalization's bias may be missing, RMSNormalization has none. */
enum { X, SCALE, BIAS };

/* --- groups of channels: (N, groups, channels, plane) --- */

/* What a run of either operator needs. strips, scale and bias are bound in each run; the rest follows from shapes and
 * attributes. */
typedef struct group_norm {
    ingot_strips strips;
    int64_t n, groups, channels, plane;
    const ingot_tensor *scale, *bias;
    bool per_group;                      /* scale and bias: one for each group, as version 18 had it */
    double epsilon;
} group_norm;

/* GroupNormalization and, with a group for each channel, InstanceNormalization: X (N, C, D1...). Scale and bias count
 * channels, or groups in opset 18. INVALID for too low a rank, groups that do not divide C, or parameters of another
 * length. */
static ingot_status read_groups(ingot_op_ctx *c, group_norm *s)
{
    const ingot_tensor *x = c->in[X];
    const bool instance = *c->node->op_type == 'I';

    if (x->rank < (instance ? 3 : 2))
        return ingot_op_fail(c, INGOT_INVALID, "input 0 has rank %d, expected at least %d", x->rank, instance ? 3 : 2);
    s->n = x->shape[0];
    s->groups = instance ? x->shape[1] : ingot_attr_int(c->node, "num_groups", 0);
    if (!instance && s->groups < 1)
        return ingot_op_fail(c, INGOT_INVALID, "attribute 'num_groups': %lld is not allowed (at least 1)",
                             (long long)s->groups);
    if (s->groups > 0 && x->shape[1] % s->groups)
        return ingot_op_fail(c, INGOT_INVALID, "attribute 'num_groups': %lld does not divide %lld channels",
                             (long long)s->groups, (long long)x->shape[1]);
    s->channels = s->groups > 0 ? x->shape[1] / s->groups : 1;
    s->plane = ingot_span(x, 2, x->rank);
    s->epsilon = (double)ingot_attr_float(c->node, "epsilon", 1e-5f);
    /* Parameters of channels; of groups in the form of opset 18 alone. */
    const int64_t n = ingot_count(c->in[SCALE]);
    s->per_group = n != x->shape[1];
    if ((s->per_group && (n != s->groups || c->op->until == 0)) || ingot_count(c->in[BIAS]) != n)
        return ingot_op_fail(c, INGOT_INVALID,
                             "scale has %lld and bias %lld elements, expected one for each of %lld channels",
                             (long long)n, (long long)ingot_count(c->in[BIAS]), (long long)x->shape[1]);
    return INGOT_OK;
}

/* Y like X. */
static ingot_status infer_groups(ingot_op_ctx *c)
{
    group_norm s = { .n = 0 };
    ingot_status st = read_groups(c, &s);
    return st ? st : ingot_out_like(c, 0, c->in[X]);
}

/* Scratch only for 16-bit floats, which are widened around the loops. */
static ingot_status prepare_groups(ingot_op_ctx *c)
{
    group_norm *s = c->state = ingot_keep(c, sizeof *s);

    if (!s)
        return ingot_op_out_of_memory(c);
    ingot_want_scratch(c, ingot_widen_bytes(c), 0);
    return read_groups(c, s);
}

/* Task over (image, group) pairs, which are contiguous: moments first, then scale and shift channel by channel. */
static void run_groups_range(void *argument, int64_t begin, int64_t end, int thread)
{
    const group_norm *s = argument;

    (void)thread;
    for (int64_t i = begin; i < end; i++) {
        const int64_t group = i % s->groups, at = i * s->channels * s->plane;
        double mean, variance;
        ingot_strip_moments(&s->strips, at, s->channels * s->plane, &mean, &variance);
        const double inverse = 1 / sqrt(variance + s->epsilon);
        for (int64_t k = 0; k < s->channels; k++) {
            const int64_t parameter = s->per_group ? group : group * s->channels + k;
            ingot_strip_scale(&s->strips, at + k * s->plane, s->plane, mean,
                              inverse * ingot_parameter(s->scale, parameter), ingot_parameter(s->bias, parameter));
        }
    }
}

/* Both forms, in f32 or f64. A task takes some thousand elements at least. */
static ingot_status run_groups_wide(ingot_op_ctx *c)
{
    group_norm *s = c->state;

    s->strips = (ingot_strips){ c->kernels, c->in[X]->dtype, c->in[X]->data, c->out[0]->data };
    s->scale = c->in[SCALE];
    s->bias = c->in[BIAS];
    ingot_parallel(c->team, s->n * s->groups, 1 + 8192 / (s->channels * s->plane + 1), run_groups_range, s);
    return INGOT_OK;
}

/* 16-bit floats are computed as floats and rounded once. */
static ingot_status run_groups(ingot_op_ctx *c)
{
    return ingot_is_16bit(c->in[X]->dtype) ? ingot_run_widened(c, run_groups_wide) : run_groups_wide(c);
}

/* --- the last axes: rows of n elements --- */

/* Scale or bias of a row. It broadcasts to X: most often it has the shape of a row and is used as it lies. */
typedef struct row_parameter {
    int64_t rows;                        /* 1: the same for all rows, else one for each */
    bool direct;
    const void *data;
    size_t bytes;                        /* of scratch memory when it has to be spread out */
} row_parameter;

/* As group_norm, for rows; `axis` is where a row begins. Scale and bias may have a NULL address: then they are 1 and
 * 0. */
typedef struct row_norm {
    ingot_strips strips;
    int64_t rows, n;
    int axis;
    bool rms;
    row_parameter scale, bias;
    double epsilon;
    const ingot_op_ctx *ctx;
} row_norm;

/* LayerNormalization and RMSNormalization: rows before 'axis', n elements from it on. Scale and bias broadcast one
 * way to X; bias may be missing. INVALID for an axis out of range or parameters that do not broadcast. */
static ingot_status read_rows(ingot_op_ctx *c, row_norm *s)
{
    const ingot_tensor *x = c->in[X];
    ingot_status st = ingot_axis(c, ingot_attr_int(c->node, "axis", -1), x->rank, &s->axis);

    if (st)
        return st;
    s->rms = *c->node->op_type == 'R';
    s->rows = ingot_span(x, 0, s->axis);
    s->n = ingot_span(x, s->axis, x->rank);
    s->epsilon = (double)ingot_attr_float(c->node, "epsilon", 1e-5f);
    for (int i = SCALE; i <= BIAS; i++) {
        if (!ingot_has(c, i))
            continue;
        const ingot_tensor *p = c->in[i];
        const int skip = x->rank - p->rank;
        bool fits = skip >= 0;
        for (int d = 0; d < p->rank && fits; d++)
            fits = p->shape[d] == 1 || p->shape[d] == x->shape[skip + d];
        if (!fits)
            return ingot_op_fail(c, INGOT_INVALID, "input %d does not broadcast to input 0", i);
    }
    return INGOT_OK;
}

/* A parameter of n elements in X's own type is read where it is; others are spread out to full rows in scratch. One
 * that varies along dimensions before the axis needs a row for each row of X. */
static void plan_parameter(const ingot_op_ctx *c, const row_norm *s, int input, row_parameter *p)
{
    const ingot_tensor *x = c->in[X], *t = ingot_has(c, input) ? c->in[input] : NULL;

    memset(p, 0, sizeof *p);
    p->rows = 1;
    if (!t)
        return;
    for (int d = 0; d < t->rank; d++)
        if (x->rank - t->rank + d < s->axis && t->shape[d] != 1)
            p->rows = s->rows;
    /* 16-bit floats are widened before the parameters are looked at */
    const bool same_type = t->dtype == x->dtype ||
                           (ingot_is_16bit(x->dtype) && (t->dtype == INGOT_FLOAT || ingot_is_16bit(t->dtype)));
    p->direct = p->rows == 1 && ingot_count(t) == s->n && same_type;
    if (!p->direct)
        p->bytes = ((size_t)(p->rows * s->n) * sizeof(double) + INGOT_ALIGNMENT) / INGOT_ALIGNMENT * INGOT_ALIGNMENT;
}

/* Y like X; mean and inverse deviation keep X's rank with ones from the axis on, in stash_type. */
static ingot_status infer_rows(ingot_op_ctx *c)
{
    row_norm s = { .rows = 0 };
    ingot_status st = read_rows(c, &s);
    int64_t shape[INGOT_MAX_RANK];

    if (st || (st = ingot_out_like(c, 0, c->in[X])))
        return st;
    for (int i = 0; i < c->in[X]->rank; i++)
        shape[i] = i < s.axis ? c->in[X]->shape[i] : 1;
    /* The statistics. */
    const ingot_dtype stash = ingot_attr_int(c->node, "stash_type", INGOT_FLOAT) == INGOT_BFLOAT16 ? INGOT_BFLOAT16
                                                                                                   : INGOT_FLOAT;
    for (int i = 1; i < c->n_out; i++)
        if ((st = ingot_out(c, i, stash, c->in[X]->rank, shape)))
            return st;
    return INGOT_OK;
}

/* Scratch: widened copies, then parameters that have to be spread out. */
static ingot_status prepare_rows(ingot_op_ctx *c)
{
    row_norm *s = c->state = ingot_keep(c, sizeof *s);
    ingot_status st;

    if (!s)
        return ingot_op_out_of_memory(c);
    if ((st = read_rows(c, s)))
        return st;
    plan_parameter(c, s, SCALE, &s->scale);
    plan_parameter(c, s, BIAS, &s->bias);
    ingot_want_scratch(c, ingot_widen_bytes(c) + s->scale.bytes + s->bias.bytes, 0);
    return INGOT_OK;
}

/* Sets p->data to where the parameter's elements are; spreads them out over `scratch`, in the float type that rows
 * have, unless they lie as wanted. Returns the scratch memory behind them. */
static char *bind_parameter(const ingot_op_ctx *c, const row_norm *s, int input, row_parameter *p, char *scratch)
{
    const ingot_tensor *x = c->in[X], *t = ingot_has(c, input) ? c->in[input] : NULL;
    const int first = p->rows == 1 ? s->axis : 0;

    p->data = t ? t->data : NULL;
    if (!t || p->direct)
        return scratch;
    p->data = scratch;
    for (int64_t i = 0; i < p->rows * s->n; i++) {
        int64_t rest = i, at = 0, step = 1;
        for (int d = x->rank - 1; d >= first && d >= x->rank - t->rank; d--) {
            const int64_t size = t->shape[d - (x->rank - t->rank)];
            at += size == 1 ? 0 : rest % x->shape[d] * step;
            step *= size;
            rest /= x->shape[d];
        }
        if (x->dtype == INGOT_DOUBLE)
            ((double *)(void *)scratch)[i] = ingot_parameter(t, at);
        else
            ((float *)(void *)scratch)[i] = (float)ingot_parameter(t, at);
    }
    return scratch + p->bytes;
}

/* The parameter's row for this row of X; most have only one. */
static const void *row_of(const row_norm *s, const row_parameter *p, int64_t row)
{
    const size_t size = ingot_dtype_size_bytes(s->strips.dtype);
    return !p->data || p->rows == 1 ? p->data : (const char *)p->data + (size_t)(row * s->n) * size;
}

/* Can a kernel do whole rows? f32 with one scale and bias for all rows, and only Y to be written. */
static bool rows_at_once(const row_norm *s)
{
    return s->strips.dtype == INGOT_FLOAT && !s->rms && s->n > 0 && s->scale.rows == 1 && s->bias.rows == 1 &&
           (s->ctx->n_out < 2 || !s->ctx->out[1]) && (s->ctx->n_out < 3 || !s->ctx->out[2]);
}

/* Task over rows. RMS has no mean to take off; the statistics are stored when they are outputs. */
static void run_rows_range(void *argument, int64_t begin, int64_t end, int thread)
{
    const row_norm *s = argument;
    const ingot_op_ctx *c = s->ctx;

    (void)thread;
    /* Mean and deviation of other types or outputs: row by row in double precision. */
    if (rows_at_once(s)) {
        s->strips.kernels->norm_rows_f32((float *)s->strips.dst + begin * s->n,
                                         (const float *)s->strips.src + begin * s->n, end - begin, s->n, s->epsilon,
                                         s->scale.data, s->bias.data);
        return;
    }
    for (int64_t i = begin; i < end; i++) {
        double mean = 0, variance;
        if (s->rms)
            variance = ingot_strip_squares(&s->strips, i * s->n, s->n) / (double)MAX(s->n, 1);
        else
            ingot_strip_moments(&s->strips, i * s->n, s->n, &mean, &variance);
        const double inverse = 1 / sqrt(variance + s->epsilon);
        ingot_strip_scale_row(&s->strips, i * s->n, s->n, mean, inverse, row_of(s, &s->scale, i),
                              row_of(s, &s->bias, i));
        if (c->n_out > 1 && c->out[1])
            ((float *)c->out[1]->data)[i] = (float)mean;
        if (c->n_out > 2 && c->out[2])
            ((float *)c->out[2]->data)[i] = (float)inverse;
    }
}

/* Parameters that must be spread out are so in each run, before the threads begin. */
static ingot_status run_rows_wide(ingot_op_ctx *c)
{
    row_norm *s = c->state;
    char *scratch = c->scratch;

    s->ctx = c;
    s->strips = (ingot_strips){ c->kernels, c->in[X]->dtype, c->in[X]->data, c->out[0]->data };
    scratch = bind_parameter(c, s, SCALE, &s->scale, scratch);
    bind_parameter(c, s, BIAS, &s->bias, scratch);
    ingot_parallel(c->team, s->rows, 1 + 8192 / (s->n + 1), run_rows_range, s);
    return INGOT_OK;
}

/* Statistics in bfloat16 beside an f32 X need the widened way as well. */
static bool has_16bit(const ingot_op_ctx *c)
{
    return ingot_is_16bit(c->in[X]->dtype) || (c->n_out > 1 && c->out[1] && ingot_is_16bit(c->out[1]->dtype)) ||
           (c->n_out > 2 && c->out[2] && ingot_is_16bit(c->out[2]->dtype));
}

/* Statistics are narrowed with Y where they are bfloat16. */
static ingot_status run_rows(ingot_op_ctx *c)
{
    return has_16bit(c) ? ingot_run_widened(c, run_rows_wide) : run_rows_wide(c);
}

const ingot_op ingot_ops_normalization[] = {
    { "InstanceNormalization", 1, 3, 3, { INGOT_TYPES_FLOAT }, infer_groups, run_groups, .prepare = prepare_groups,
      .flags = INGOT_OP_INPLACE | INGOT_OP_LONG },
    { "GroupNormalization", 18, 3, 3, { INGOT_TYPES_FLOAT }, infer_groups, run_groups, .prepare = prepare_groups,
      .until = 20, .flags = INGOT_OP_INPLACE | INGOT_OP_LONG },
    { "GroupNormalization", 21, 3, 3, { INGOT_TYPES_FLOAT }, infer_groups, run_groups, .prepare = prepare_groups,
      .flags = INGOT_OP_INPLACE | INGOT_OP_LONG },
    { "LayerNormalization", 17, 2, 3, { INGOT_TYPES_FLOAT }, infer_rows, run_rows, .prepare = prepare_rows,
      .flags = INGOT_OP_INPLACE | INGOT_OP_LONG },
    { "RMSNormalization", 23, 2, 2, { INGOT_TYPES_FLOAT, INGOT_TYPES_FLOAT }, infer_rows, run_rows,
      .prepare = prepare_rows, .flags = INGOT_OP_INPLACE | INGOT_OP_LONG },
    { 0 }
};
