/* quantize.c - QuantizeLinear, DequantizeLinear and DynamicQuantizeLinear: y = saturate(round(x / scale) + zero) and
 * back.
 *
 * The three granularities (one scale for the tensor, one for each index of an axis, one for each block along an axis)
 * are one walk: the elements are cut into segments along which the scale either stays (step 0) or moves on with each
 * element (step 1); find_segment() alone knows the granularities. Scales and zero points are turned into floats before
 * the walk, elements in pieces of CHUNK. float holds every zero point and every result exactly, so that all types share
 * the loops: quotients are clamped first (the limits are whole, so this is the same) and rounded by adding 1.5 *
 * 2^23. */
#include <math.h>
#include <string.h>

#include "ops/convert.h"
#include "ops/quantized.h"

/* Inputs; zero points may be missing. */
enum { X, SCALE, ZERO };
enum { CHUNK = 512, GRAIN = 16384 };
/* How many elements share a scale. */
enum granularity { PER_TENSOR, PER_AXIS, PER_BLOCK };

#define ROUNDER                                                                                                        \
    12582912.0f /* 1.5 * 2^23: below 2^22, adding and subtracting it rounds to whole numbers, ties to even */

/* Integers to quantize to; all quantized types, small floats included; types that are quantized. */
#define TYPES_INT (INGOT_TYPE(UINT8) | INGOT_TYPE(INT8) | INGOT_TYPE(UINT16) | INGOT_TYPE(INT16) | INGOT_TYPE(UINT4) | \
                   INGOT_TYPE(INT4) | INGOT_TYPE(UINT2) | INGOT_TYPE(INT2))
#define TYPES_QUANTIZED (TYPES_INT | INGOT_TYPES_FLOAT8 | INGOT_TYPES_FLOAT6 | INGOT_TYPE(FLOAT4E2M1))
#define TYPES_REAL (INGOT_TYPE(FLOAT) | INGOT_TYPE(FLOAT16) | INGOT_TYPE(BFLOAT16))

/* Where the scales lie: x is (outer, axis_size, inner), in blocks of `block` along the axis. */
typedef struct scale_grid {
    enum granularity granularity;
    int64_t axis_size, inner, block, n_blocks;
} scale_grid;

/* A stretch of elements: scale of element i is scales[first + i * step]. */
typedef struct segment {
    int64_t first, length;
    int step;
} segment;

/* What a node needs in every run; the grid alone for dequantizing. */
typedef struct quantize_state {
    scale_grid grid;
    ingot_dtype precision;       /* that the division is done in */
    bool saturate;
} quantize_state;

/* What the threads share: scales and zeros have the same count, those of the grid. */
typedef struct quantize_work {
    const ingot_kernels *kernels;
    const quantize_state *state;
    const ingot_tensor *from, *to;
    const float *scales, *zeros; /* as floats, one for one */
} quantize_work;

/* ---- granularity ---- */

/* Scales of one element for each block: the shape of x but for the axis, where there is one for each begun block.
 * INVALID for any other shape. */
static ingot_status read_blocks(ingot_op_ctx *c, int axis, int64_t block, scale_grid *grid)
{
    const ingot_tensor *x = c->in[X], *scale = c->in[SCALE];
    const int64_t size = x->shape[axis];
    char x_text[128], scale_text[128];
    bool fits = block > 0 && scale->rank == x->rank;

    if (fits)
        grid->n_blocks = size / block + (size % block != 0);
    for (int i = 0; i < x->rank && fits; i++)
        fits = scale->shape[i] == (i == axis ? grid->n_blocks : x->shape[i]);
    if (!fits)
        return ingot_op_fail(c, INGOT_INVALID, "scales %s do not fit input %s with block_size %lld along axis %d",
                             ingot_shape_text(scale, scale_text, sizeof scale_text),
                             ingot_shape_text(x, x_text, sizeof x_text), (long long)block, axis);
    grid->granularity = PER_BLOCK;
    grid->block = block;
    return INGOT_OK;
}

/* How scales lie over X: one, one for each index of 'axis', or one for each block of block_size along it. Zero points
 * must lie as scales do. INVALID for counts that do not fit or an axis out of range. */
static ingot_status read_grid(ingot_op_ctx *c, scale_grid *grid)
{
    const ingot_tensor *x = c->in[X], *scale = c->in[SCALE];
    const int64_t block = ingot_attr_int(c->node, "block_size", 0);
    int axis = 0;

    memset(grid, 0, sizeof *grid);
    if (ingot_has(c, ZERO) && !ingot_same_shape(c->in[ZERO], scale) &&
        (ingot_count(c->in[ZERO]) != 1 || ingot_count(scale) != 1))
        return ingot_op_fail(c, INGOT_INVALID, "the zero points do not have the scales' shape");
    if (ingot_count(scale) == 1 && !block)
        return INGOT_OK;
    /* a vector has one axis only, whatever the attribute says */
    const ingot_status st = x->rank == 1 ? INGOT_OK : ingot_axis(c, ingot_attr_int(c->node, "axis", 1), x->rank, &axis);
    if (st || x->rank == 0)
        return st ? st : ingot_op_fail(c, INGOT_INVALID, "several scales for an input of rank 0");
    grid->axis_size = x->shape[axis];
    grid->inner = ingot_span(x, axis + 1, x->rank);
    if (block)
        return read_blocks(c, axis, block, grid);
    if (scale->rank != 1 || scale->shape[0] != grid->axis_size)
        return ingot_op_fail(c, INGOT_INVALID, "%lld scales for %lld indices of axis %d", (long long)ingot_count(scale),
                             (long long)grid->axis_size, axis);
    grid->granularity = PER_AXIS;
    return INGOT_OK;
}

/* The segment that begins at element `at`, cut off at `end`. Scales of blocks repeat along the axis: within a row of
 * `inner` elements they move on, while an innermost axis keeps one for the rest of a block. */
static segment find_segment(const scale_grid *g, int64_t at, int64_t end)
{
    segment s = { 0, end - at, 0 };

    if (g->granularity == PER_TENSOR)
        return s;
    const int64_t row = at / g->inner, column = at % g->inner, index = row % g->axis_size;
    if (g->granularity == PER_AXIS) {
        s.first = index;
        s.step = g->inner == 1;                  /* the axis is the last one: scales move on with the elements */
        s.length = g->inner == 1 ? g->axis_size - index : g->inner - column;
    } else {
        s.first = (row / g->axis_size * g->n_blocks + index / g->block) * g->inner + column;
        s.step = g->inner != 1;
        s.length = g->inner == 1 ? MIN(g->block - index % g->block, g->axis_size - index) : g->inner - column;
    }
    s.length = MIN(s.length, end - at);
    return s;
}

/* ---- elements ---- */

/* n <= CHUNK elements from `at` on as floats: where they lie, or converted into buffer by way of `through`, a 16-bit
 * type to which they are rounded first. */
static const float *read_floats(const quantize_work *w, ingot_dtype through, int64_t at, int64_t n, float *buffer)
{
    const ingot_tensor *from = w->from;
    const ingot_kernels *kernels = w->kernels;
    const char *src = (const char *)from->data + (size_t)at * ingot_dtype_size_bytes(from->dtype);
    uint16_t rounded[CHUNK];
    const ingot_conversion to_through = { from->dtype, through, true, INGOT_ROUND_NEAREST, kernels };
    const ingot_conversion to_float = { through, INGOT_FLOAT, true, INGOT_ROUND_NEAREST, kernels };

    if (from->dtype == INGOT_FLOAT && through == INGOT_FLOAT)
        return (const float *)(const void *)src;
    if (through == INGOT_FLOAT) {
        ingot_convert(&to_through, buffer, src, n);
        return buffer;
    }
    ingot_convert(&to_through, rounded, src, n);
    ingot_convert(&to_float, buffer, rounded, n);
    return buffer;
}

/* v = x / scale in the precision of the state, for n <= CHUNK elements from `at` on. int32 is divided in double, as
 * float does not hold it; a 16-bit precision rounds operand and quotient. */
static void divide(const quantize_work *w, float *v, int64_t at, int64_t n, const float *scale, int step)
{
    const ingot_dtype precision = w->state->precision;
    uint16_t rounded[CHUNK];
    const ingot_conversion down = { INGOT_FLOAT, precision, true, INGOT_ROUND_NEAREST, w->kernels };
    const ingot_conversion up = { precision, INGOT_FLOAT, true, INGOT_ROUND_NEAREST, w->kernels };

    if (w->from->dtype == INGOT_INT32 && precision == INGOT_FLOAT) {
        const int32_t *x = (const int32_t *)w->from->data + at;
        for (int64_t i = 0; i < n; i++)
            v[i] = (float)(x[i] / (double)scale[i * step]);
        return;
    }
    const float *x = read_floats(w, precision, at, n, v);
    if (step)
        for (int64_t i = 0; i < n; i++)
            v[i] = x[i] / scale[i];
    else
        for (int64_t i = 0; i < n; i++)
            v[i] = x[i] / *scale;
    if (precision != INGOT_FLOAT) {
        ingot_convert(&down, rounded, v, n);
        ingot_convert(&up, v, rounded, n);
    }
}

/* dst = clamp(round(v) + zero) in storage type T; NaN becomes the lower limit. */
#define ROUND_INTO(T)                                                                                                  \
    static inline void round_into_##T(T *dst, const float *v, int64_t n, const float *zero, int step,                  \
                                      const float *limit)                                                              \
    {                                                                                                                  \
        for (int64_t i = 0; i < n; i++) {                                                                              \
            const float z = zero[i * step], low = limit[0] - z, high = limit[1] - z;                                   \
            const float above = v[i] > low ? v[i] : low, x = above < high ? above : high;                              \
            dst[i] = (T)(int32_t)(((x + ROUNDER) - ROUNDER) + z);                                                      \
        }                                                                                                              \
    }
ROUND_INTO(uint8_t)
ROUND_INTO(uint16_t)

/* Smallest and largest value of an integer type. */
static void find_limits(ingot_dtype dtype, float *limit)
{
    const bool is_signed = (INGOT_TYPE(INT16) | INGOT_TYPE(INT8) | INGOT_TYPE(INT4) | INGOT_TYPE(INT2)) >> dtype & 1;
    const int bits = dtype == INGOT_INT2 || dtype == INGOT_UINT2 ? 2
                   : dtype == INGOT_INT4 || dtype == INGOT_UINT4 ? 4 : 8 * (int)ingot_dtype_size_bytes(dtype);

    limit[0] = is_signed ? -(float)(1 << (bits - 1)) : 0.0f;
    limit[1] = limit[0] + (float)((1 << bits) - 1);
}

/* n quotients from `at` on into the output, with zero points zero[i * step]. Small floats saturate as the attribute
 * says; integers are clamped. */
static void store(const quantize_work *w, const float *v, int64_t at, int64_t n, const float *zero, int step)
{
    const ingot_dtype dtype = w->to->dtype;
    uint8_t *bytes = (uint8_t *)w->to->data + at;
    float limit[2];

    if (!(TYPES_INT >> dtype & 1)) {
        for (int64_t i = 0; i < n; i++)
            bytes[i] = ingot_double_to_small((double)(v[i] + zero[i * step]), dtype, w->state->saturate);
        return;
    }
    find_limits(dtype, limit);
    if (ingot_dtype_size_bytes(dtype) == 2)
        round_into_uint16_t((uint16_t *)w->to->data + at, v, n, zero, step, limit);
    else if (step)
        round_into_uint8_t(bytes, v, n, zero, 1, limit);
    else
        round_into_uint8_t(bytes, v, n, zero, 0, limit);
}

/* One scale for floats on one side and bytes on the other: what the kernels do. */
static bool is_simple(const quantize_work *w, ingot_dtype real, ingot_dtype bytes)
{
    return w->state->grid.granularity == PER_TENSOR && real == INGOT_FLOAT && (INGOT_TYPES_BYTE >> bytes & 1);
}

/* Task over elements of X: chunks along which scales move or stay. The usual case is one call of a kernel. */
static void quantize_range(void *argument, int64_t begin, int64_t end, int thread)
{
    const quantize_work *w = argument;
    float v[CHUNK];

    (void)thread;
    if (is_simple(w, w->from->dtype, w->to->dtype) && w->state->precision == INGOT_FLOAT) {
        float limit[2];
        find_limits(w->to->dtype, limit);
        w->kernels->quantize_i8((uint8_t *)w->to->data + begin, (const float *)w->from->data + begin, end - begin,
                                *w->scales, (int)*w->zeros, limit[0] - *w->zeros, limit[1] - *w->zeros);
        return;
    }
    while (begin < end) {
        const segment s = find_segment(&w->state->grid, begin, MIN(end, begin + CHUNK));
        divide(w, v, begin, s.length, w->scales + s.first, s.step);
        store(w, v, begin, s.length, w->zeros + s.first, s.step);
        begin += s.length;
    }
}

/* Likewise: y = (x - zero) * scale in float, rounded to Y's type at the end. */
static void dequantize_range(void *argument, int64_t begin, int64_t end, int thread)
{
    const quantize_work *w = argument;
    const ingot_conversion narrow = { INGOT_FLOAT, w->to->dtype, true, INGOT_ROUND_NEAREST, w->kernels };
    float v[CHUNK];

    (void)thread;
    if (is_simple(w, w->to->dtype, w->from->dtype)) {
        w->kernels->dequantize_i8((float *)w->to->data + begin, (const uint8_t *)w->from->data + begin, end - begin,
                                  w->from->dtype == INGOT_INT8, *w->scales, (int)*w->zeros);
        return;
    }
    /* Stretch by stretch, straight into a float output, else by way of v. */
    while (begin < end) {
        const segment s = find_segment(&w->state->grid, begin, MIN(end, begin + CHUNK));
        const float *x = read_floats(w, INGOT_FLOAT, begin, s.length, v);
        const float *scale = w->scales + s.first, *zero = w->zeros + s.first;
        char *dst = (char *)w->to->data + (size_t)begin * ingot_dtype_size_bytes(w->to->dtype);
        float *y = w->to->dtype == INGOT_FLOAT ? (float *)(void *)dst : v;
        if (s.step)
            for (int64_t i = 0; i < s.length; i++)
                y[i] = (x[i] - zero[i]) * scale[i];
        else
            for (int64_t i = 0; i < s.length; i++)
                y[i] = (x[i] - *zero) * *scale;
        if (w->to->dtype != INGOT_FLOAT)
            ingot_convert(&narrow, dst, v, s.length);
        begin += s.length;
    }
}

/* ---- operators ---- */

/* The element type that attribute `name` asks for, or `otherwise` when it is 0 or missing; UNSUPPORTED when it is not
 * among `allowed`. */
static ingot_status read_type(ingot_op_ctx *c, const char *name, uint64_t allowed, ingot_dtype otherwise,
                              ingot_dtype *type)
{
    const int64_t given = ingot_attr_int(c->node, name, INGOT_UNDEFINED), number = given ? given : (int64_t)otherwise;

    if (number <= INGOT_UNDEFINED || number >= INGOT_N_DTYPES || !(allowed >> number & 1))
        return ingot_op_fail(c, INGOT_UNSUPPORTED, "attribute %s: element type %lld", name, (long long)number);
    *type = (ingot_dtype)number;
    return INGOT_OK;
}

/* The type comes from output_dtype or from the zero points, uint8 without either; both must agree when both are
 * there. */
static ingot_status infer_quantize(ingot_op_ctx *c)
{
    const ingot_dtype zero = ingot_has(c, ZERO) ? c->in[ZERO]->dtype : INGOT_UINT8;
    ingot_dtype type = INGOT_UNDEFINED;
    scale_grid grid;
    ingot_status st = read_type(c, "output_dtype", TYPES_QUANTIZED, zero, &type);

    if (st || (st = read_grid(c, &grid)))
        return st;
    if (ingot_has(c, ZERO) && type != zero)
        return ingot_op_fail(c, INGOT_INVALID, "output_dtype is %s, but the zero points are %s", ingot_dtype_name(type),
                             ingot_dtype_name(zero));
    return ingot_out(c, 0, type, c->in[X]->rank, c->in[X]->shape);
}

/* The type is output_dtype, or that of the scales. */
static ingot_status infer_dequantize(ingot_op_ctx *c)
{
    ingot_dtype type = INGOT_UNDEFINED;
    scale_grid grid;
    ingot_status st = read_type(c, "output_dtype", TYPES_REAL, c->in[SCALE]->dtype, &type);

    if (st || (st = read_grid(c, &grid)))
        return st;
    return ingot_out(c, 0, type, c->in[X]->rank, c->in[X]->shape);
}

/* Scratch: scales and zero points as floats. */
static ingot_status prepare_quantize(ingot_op_ctx *c)
{
    quantize_state *s = c->state = ingot_keep(c, sizeof *s);
    const ingot_dtype scale = c->in[SCALE]->dtype;
    ingot_status st;

    if (!s)
        return ingot_op_out_of_memory(c);
    if ((st = read_type(c, "precision", TYPES_REAL, TYPES_REAL >> scale & 1 ? scale : INGOT_FLOAT, &s->precision)))
        return st;
    s->saturate = ingot_attr_int(c->node, "saturate", 1) != 0;
    ingot_want_scratch(c, 2 * sizeof(float) * (size_t)ingot_count(c->in[SCALE]), 0);
    return read_grid(c, &s->grid);
}

/* DequantizeLinear multiplies in float and rounds to its output type once. */
static ingot_status prepare_dequantize(ingot_op_ctx *c)
{
    quantize_state *s = c->state = ingot_keep(c, sizeof *s);

    if (!s)
        return ingot_op_out_of_memory(c);
    ingot_want_scratch(c, 2 * sizeof(float) * (size_t)ingot_count(c->in[SCALE]), 0);
    return read_grid(c, &s->grid);
}

/* Floats and bytes with one scale may be blocked: the order of elements does not matter to them. */
static ingot_layout layout_simple(const ingot_op_ctx *c)
{
    const ingot_tensor *x = c->in[X], *y = c->out[0];
    const uint64_t types = INGOT_TYPE(FLOAT) | INGOT_TYPES_BYTE;
    const bool fits = x->rank >= 3 && x->rank <= 5 && ingot_count(x) > 0 && ingot_count(c->in[SCALE]) == 1 &&
                      (types >> x->dtype & 1) && (types >> y->dtype & 1) && !ingot_attr_int(c->node, "block_size", 0);
    return (ingot_layout){ fits ? INGOT_LAYOUT_FOLLOW : INGOT_LAYOUT_PLAIN, fits };
}

/* Turn scales and zero points into floats and run the task over all elements. Those of a blocked tensor are counted
 * with the channels that fill up its last block. */
static ingot_status run_quantize_task(ingot_op_ctx *c, ingot_task *task)
{
    const quantize_state *s = c->state;
    const int64_t n = ingot_count(c->in[SCALE]);
    float *scales = (float *)(void *)c->scratch, *zeros = scales + n;
    const quantize_work w = { c->kernels, s, c->in[X], c->out[0], scales, zeros };
    ingot_conversion conversion = { c->in[SCALE]->dtype, INGOT_FLOAT, true, INGOT_ROUND_NEAREST, c->kernels };

    /* Parameters as floats, zeros where there are no zero points. */
    ingot_convert(&conversion, scales, c->in[SCALE]->data, n);
    conversion.from = ingot_has(c, ZERO) ? c->in[ZERO]->dtype : INGOT_UNDEFINED;
    if (ingot_has(c, ZERO))
        ingot_convert(&conversion, zeros, c->in[ZERO]->data, n);
    else
        memset(zeros, 0, (size_t)n * sizeof *zeros);
    const int64_t elements = (int64_t)(ingot_storage_bytes(c->in[X]) / ingot_dtype_size_bytes(c->in[X]->dtype));
    ingot_parallel(c->team, elements, GRAIN, task, (void *)(uintptr_t)&w);
    return INGOT_OK;
}

static ingot_status run_quantize(ingot_op_ctx *c) { return run_quantize_task(c, quantize_range); }
static ingot_status run_dequantize(ingot_op_ctx *c) { return run_quantize_task(c, dequantize_range); }

/* ---- DynamicQuantizeLinear ---- */

/* DynamicQuantizeLinear: uint8 Y, and scale and zero point as scalars. */
static ingot_status infer_dynamic(ingot_op_ctx *c)
{
    ingot_status st = ingot_out(c, 0, INGOT_UINT8, c->in[X]->rank, c->in[X]->shape);
    if (st || (st = ingot_out(c, 1, INGOT_FLOAT, 0, NULL)))
        return st;
    return ingot_out(c, 2, INGOT_UINT8, 0, NULL);
}

/* The scale follows from the range of X; outputs may be unwanted. */
static ingot_status run_dynamic(ingot_op_ctx *c)
{
    const quantize_state state = { .precision = INGOT_FLOAT };
    float scale, zero;
    int whole;

    ingot_dynamic_scale(c->kernels, c->in[X]->data, ingot_count(c->in[X]), &scale, &whole);
    zero = (float)whole;
    quantize_work w = { c->kernels, &state, c->in[X], c->out[0], &scale, &zero };
    if (c->out[0])
        ingot_parallel(c->team, ingot_count(c->in[X]), GRAIN, quantize_range, &w);
    if (c->n_out > 1 && c->out[1])
        *(float *)c->out[1]->data = scale;
    if (c->n_out > 2 && c->out[2])
        *(uint8_t *)c->out[2]->data = (uint8_t)whole;
    return INGOT_OK;
}

#define TYPES_SCALE (TYPES_REAL | INGOT_TYPE(FLOAT8E8M0))

const ingot_op ingot_ops_quantize[] = {
    { "QuantizeLinear", 10, 2, 3, { TYPES_REAL | INGOT_TYPE(INT32), TYPES_SCALE | INGOT_TYPE(INT32), TYPES_QUANTIZED },
      infer_quantize, run_quantize, prepare_quantize, .layout = layout_simple },
    { "DequantizeLinear", 10, 2, 3, { TYPES_QUANTIZED | INGOT_TYPE(INT32), TYPES_SCALE }, infer_dequantize,
      run_dequantize, prepare_dequantize, .layout = layout_simple },
    { "DynamicQuantizeLinear", 11, 1, 1, { INGOT_TYPE(FLOAT) }, infer_dynamic, run_dynamic },
    { 0 }
};
