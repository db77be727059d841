/* resize.c - Resize. Axes that stay as they are in front of the first that moves make up items, those behind the last
 * make up runs of elements; a blocked tensor is one whose runs are eight times as long. Nearest copies runs by a table
 * of positions for each axis, for elements of any type. Linear and cubic go axis by axis through each item: first those
 * that shrink, then those that grow, so that what lies in between is small. */
#include <math.h>
#include <string.h>

#include "ops/convert.h"
#include "ops/resize_table.h"

/* Inputs; all but X may be missing or empty. */
enum { X, ROI, SCALES, SIZES };

/* One node. Axes that move are in `axes` with their tables; items in front of them and `inner` elements behind them
 * are left as they are. work is float for floats up to 32 bits, else double. */
typedef struct resize_state {
    ingot_resize_rule rule;
    int n_axes;                          /* from the first that moves to the last */
    ingot_resize_axis axes[INGOT_MAX_RANK];
    int n_passes, pass[INGOT_MAX_RANK];  /* axes in the order in which they are interpolated */
    int64_t items, inner;                /* src is (items, axes[].in, inner), dst (items, axes[].out, inner) */
    int64_t item_in, item_out, between;  /* elements; the largest that lies between two passes */
    ingot_dtype dtype, work;             /* of the elements, and what they are interpolated in */
    double extrapolation;
    bool extrapolates;
    bool complex;                        /* the last axis is that of the parts */
    const ingot_kernels *kernels;
    const char *src;
    char *dst;
} resize_state;

/* An axis with `inner` elements inside: every output row is a weighted sum of input rows. */
static void resize_rows_f32(const resize_state *s, const ingot_resize_axis *axis, const float *src, float *dst,
                            int64_t inner)
{
    s->kernels->blend_rows_f32(dst, inner, src, inner, axis->index, axis->weight_f32, axis->taps, axis->out, inner);
}

static void resize_rows_f64(const resize_state *s, const ingot_resize_axis *axis, const double *src, double *dst,
                            int64_t inner)
{
    const int64_t *index = axis->index;
    const double *weight = axis->weight_f64;

    (void)s;
    for (int64_t o = 0; o < axis->out; o++, dst += inner)
        for (int64_t k = 0; k < axis->taps; k++, index++, weight++)
            for (int64_t e = 0; e < inner; e++)
                dst[e] = k ? dst[e] + *weight * src[*index * inner + e] : *weight * src[*index * inner + e];
}

/* The passes of ops/resize_loops.h in both working types. */
#define T float
#define TYPED(name) name##_f32
#include "ops/resize_loops.h"
#undef T
#undef TYPED
#define T double
#define TYPED(name) name##_f64
#include "ops/resize_loops.h"

/* ---- attributes, sizes and scales ---- */

/* An attribute that is one of a list of words, the first being the default; INVALID for any other. */
static ingot_status read_word(ingot_op_ctx *c, const char *name, const char *const *words, int *result)
{
    const char *word = ingot_attr_string(c->node, name, words[0]);
    for (*result = 0; words[*result]; ++*result)
        if (!strcmp(words[*result], word))
            return INGOT_OK;
    return ingot_op_fail(c, INGOT_INVALID, "attribute '%s': '%.40s' is not known", name, word);
}

/* The attributes into a rule; the words stand in the order of the enums. Antialiasing means nothing to nearest. */
static ingot_status read_rule(ingot_op_ctx *c, ingot_resize_rule *rule)
{
    static const char *const modes[] = {"nearest", "linear", "cubic", NULL};
    static const char *const coordinates[] = {
        "half_pixel", "half_pixel_symmetric", "pytorch_half_pixel", "align_corners", "asymmetric", "tf_crop_and_resize",
        "tf_half_pixel_for_nn", NULL
    };
    static const char *const nearest[] = {"round_prefer_floor", "round_prefer_ceil", "floor", "ceil", NULL};
    int mode, coordinate, rounding;
    ingot_status st;

    if ((st = read_word(c, "mode", modes, &mode)) || (st = read_word(c, "nearest_mode", nearest, &rounding)) ||
        (st = read_word(c, "coordinate_transformation_mode", coordinates, &coordinate)))
        return st;
    rule->mode = (ingot_resize_mode)mode;
    rule->coordinates = (ingot_coordinates)coordinate;
    rule->nearest = (ingot_nearest)rounding;
    rule->antialias = ingot_attr_int(c->node, "antialias", 0) != 0 && rule->mode != INGOT_RESIZE_NEAREST;
    rule->exclude_outside = ingot_attr_int(c->node, "exclude_outside", 0) != 0;
    rule->cubic_a = (double)ingot_attr_float(c->node, "cubic_coeff_a", -0.75f);
    return INGOT_OK;
}

/* The axes that inputs roi, scales and sizes speak of, in their order: the attribute's, or all. INVALID for one out
 * of range or named twice. */
static ingot_status read_axes(ingot_op_ctx *c, int *axes, int *n)
{
    const ingot_attr *attr = ingot_node_attr(c->node, "axes");
    const int rank = c->in[X]->rank;
    bool seen[INGOT_MAX_RANK] = {false};

    *n = attr ? (int)MIN(attr->n, (size_t)INGOT_MAX_RANK + 1) : rank;
    if (*n > rank || (attr && attr->type != INGOT_ATTR_INTS))
        return ingot_op_fail(c, INGOT_INVALID, "attribute 'axes' must list at most %d integers", rank);
    for (int i = 0; i < *n; i++) {
        ingot_status st = ingot_axis(c, attr ? attr->ints[i] : i, rank, &axes[i]);
        if (st)
            return st;
        if (seen[axes[i]])
            return ingot_op_fail(c, INGOT_INVALID, "attribute 'axes' names axis %d twice", axes[i]);
        seen[axes[i]] = true;
    }
    return INGOT_OK;
}

/* Resize counts an empty input as one left out. */
static bool is_given(const ingot_op_ctx *c, int i) { return ingot_has(c, i) && ingot_count(c->in[i]) > 0; }

/* out = floor(in * scale) in f32, as ONNX has it. Negated comparisons also refuse NaN. */
static ingot_status read_scales(ingot_op_ctx *c, const int *axes, int n, ingot_resize_axis *all)
{
    for (int i = 0; i < n; i++) {
        ingot_resize_axis *axis = &all[axes[i]];
        const float scale = ((const float *)c->in[SCALES]->data)[i], size = scale * (float)axis->in;
        if (!(scale > 0) || !isfinite(scale) || !(size < 0x1p62f))
            return ingot_op_fail(c, INGOT_INVALID, "a scale of %g is not possible for %lld elements", (double)scale,
                                 (long long)axis->in);
        axis->scale = (double)scale;
        axis->out = scale == 1 ? axis->in : (int64_t)size;
    }
    return INGOT_OK;
}

/* out as the input says, and scale = out / in. A policy that keeps the aspect ratio takes one scale for all axes, the
 * smallest or largest, and rounds the sizes anew. */
static ingot_status read_sizes(ingot_op_ctx *c, const int *axes, int n, ingot_resize_axis *all)
{
    static const char *const policies[] = {"stretch", "not_larger", "not_smaller", NULL};
    double common = 0;
    int policy;
    ingot_status st = read_word(c, "keep_aspect_ratio_policy", policies, &policy);

    for (int i = 0; i < n && !st; i++) {
        ingot_resize_axis *axis = &all[axes[i]];
        axis->out = ingot_int_at(c->in[SIZES], i);
        if (axis->out < 0 || (axis->in == 0 && axis->out > 0))
            return ingot_op_fail(c, INGOT_INVALID, "a size of %lld is not possible for %lld elements",
                                 (long long)axis->out, (long long)axis->in);
        /* An empty axis has no scale; 1 keeps it empty. */
        axis->scale = axis->in ? (double)axis->out / (double)axis->in : 1;
        common = i == 0 ? axis->scale : policy == 1 ? MIN(common, axis->scale) : MAX(common, axis->scale);
    }
    /* Keeping the aspect ratio: the common scale gives all sizes anew, rounded half up. */
    for (int i = 0; i < n && !st && policy; i++) {
        ingot_resize_axis *axis = &all[axes[i]];
        const double size = common * (double)axis->in + 0.5;
        if (!(size < 0x1p62))
            return ingot_op_fail(c, INGOT_INVALID, "the sizes are too large");
        axis->scale = common;
        axis->out = (int64_t)size;
    }
    return st;
}

/* Everything but the tables: `all` receives every axis of X. Exactly one of scales and sizes is given, one number for
 * each axis; a roi is needed by tf_crop_and_resize alone, all begins, then all ends. LATER while their content is not
 * known. */
static ingot_status read_resize(ingot_op_ctx *c, ingot_resize_rule *rule, ingot_resize_axis *all)
{
    const ingot_tensor *x = c->in[X];
    int axes[INGOT_MAX_RANK], n;
    ingot_status st;

    if ((st = read_rule(c, rule)) || (st = read_axes(c, axes, &n)) || (st = ingot_need(c, SCALES)) ||
        (st = ingot_need(c, SIZES)))
        return st;
    for (int i = 0; i < x->rank; i++)
        all[i] = (ingot_resize_axis){ .in = x->shape[i], .out = x->shape[i], .scale = 1, .end = 1 };
    if (is_given(c, SCALES) == is_given(c, SIZES))
        return ingot_op_fail(c, INGOT_INVALID, "exactly one of scales and sizes must be given");
    /* Scales or sizes, one for each axis. */
    const int by = is_given(c, SCALES) ? SCALES : SIZES;
    if (ingot_count(c->in[by]) != n)
        return ingot_op_fail(c, INGOT_INVALID, "%lld %s for %d axes", (long long)ingot_count(c->in[by]),
                             by == SCALES ? "scales" : "sizes", n);
    if ((st = by == SCALES ? read_scales(c, axes, n, all) : read_sizes(c, axes, n, all)))
        return st;
    if (rule->coordinates != INGOT_CROP_AND_RESIZE)
        return INGOT_OK;
    if ((st = ingot_need(c, ROI)))
        return st;
    if (!ingot_has(c, ROI) || ingot_count(c->in[ROI]) != 2 * n)
        return ingot_op_fail(c, INGOT_INVALID, "tf_crop_and_resize needs a roi of %d numbers", 2 * n);
    for (int i = 0; i < n; i++) {
        all[axes[i]].begin = ingot_double_at(c->in[ROI], i);
        all[axes[i]].end = ingot_double_at(c->in[ROI], n + i);
    }
    return INGOT_OK;
}

/* Each axis has its new size. Strings have nothing between them: linear and cubic are INVALID. */
static ingot_status infer_resize(ingot_op_ctx *c)
{
    ingot_resize_axis all[INGOT_MAX_RANK];
    ingot_resize_rule rule;
    int64_t shape[INGOT_MAX_RANK];
    ingot_status st = read_resize(c, &rule, all);

    if (st)
        return st;
    if (rule.mode != INGOT_RESIZE_NEAREST && c->in[X]->dtype == INGOT_STRING)
        return ingot_op_fail(c, INGOT_INVALID, "strings cannot be interpolated");
    for (int i = 0; i < c->in[X]->rank; i++)
        shape[i] = all[i].out;
    return ingot_out(c, 0, c->in[X]->dtype, c->in[X]->rank, shape);
}

/* Blocked as plain, when neither batch nor channels move: a block is then eight elements more in a run. */
static ingot_layout layout_resize(const ingot_op_ctx *c)
{
    ingot_op_ctx reader = *c;
    ingot_resize_axis all[INGOT_MAX_RANK];
    ingot_resize_rule rule;
    const ingot_tensor *x = c->in[X];
    const bool can = x->dtype == INGOT_FLOAT && x->rank >= 3 && x->rank <= 5 && !read_resize(&reader, &rule, all) &&
                     rule.coordinates != INGOT_CROP_AND_RESIZE && ingot_resize_keeps(&rule, &all[0]) &&
                     ingot_resize_keeps(&rule, &all[1]);

    return (ingot_layout){ can ? INGOT_LAYOUT_FOLLOW : INGOT_LAYOUT_PLAIN, can };
}

/* ---- tables ---- */

/* Fold the axes in front of and behind those that move, and fill the tables of the others. Passes: axes that shrink
 * first, from the outermost, then those that grow, from the innermost. LIMIT when memory is out. */
static ingot_status plan_axes(ingot_op_ctx *c, resize_state *s, ingot_resize_axis *all, int rank)
{
    int first = 0, last = rank;

    s->items = s->inner = 1;
    /* What does not move in front becomes items, what does not move behind becomes runs. */
    while (first < rank && ingot_resize_keeps(&s->rule, &all[first]))
        s->items *= all[first++].in;
    while (last > first && ingot_resize_keeps(&s->rule, &all[last - 1]))
        s->inner *= all[--last].in;
    s->n_axes = last - first;
    /* Tables for all axes in between, those that stay included. */
    for (int i = 0; i < s->n_axes; i++) {
        s->axes[i] = all[first + i];
        const ingot_status status = ingot_resize_fill(c, &s->rule, &s->axes[i]);
        if (status)
            return status;
        for (int64_t o = 0; o < s->axes[i].out && s->axes[i].outside; o++)
            s->extrapolates |= s->axes[i].outside[o];
    }
    for (int i = 0; i < s->n_axes; i++)
        if (!ingot_resize_keeps(&s->rule, &s->axes[i]) && s->axes[i].out <= s->axes[i].in)
            s->pass[s->n_passes++] = i;
    for (int i = s->n_axes - 1; i >= 0; i--)
        if (s->axes[i].out > s->axes[i].in)
            s->pass[s->n_passes++] = i;
    return INGOT_OK;
}

/* Elements of an item before, between and after the passes; false when they are too many to count in bytes. */
static bool measure(resize_state *s)
{
    size_t size[INGOT_MAX_RANK + 1];

    for (int p = 0; p <= s->n_passes; p++) {
        size[p] = (size_t)s->inner;
        for (int a = 0; a < s->n_axes; a++) {
            /* An axis has its new size once its pass is done. */
            bool done = false;
            for (int q = 0; q < p; q++)
                done |= s->pass[q] == a;
            if (!ingot_mul_size(size[p], (size_t)(done ? s->axes[a].out : s->axes[a].in), &size[p]))
                return false;
        }
        if (size[p] > PTRDIFF_MAX / 64)
            return false;
        if (p > 0 && p < s->n_passes)
            s->between = MAX(s->between, (int64_t)size[p]);
    }
    s->item_in = (int64_t)size[0];
    s->item_out = (int64_t)size[s->n_passes];
    return true;
}

/* A blocked tensor gets one more axis, of the elements of a block, and counts its channels in blocks. Scratch of a
 * thread: two buffers between passes, and an item in the working type on either side. */
static ingot_status prepare_resize(ingot_op_ctx *c)
{
    resize_state *s = c->state = ingot_keep(c, sizeof *s);
    ingot_resize_axis all[INGOT_MAX_RANK];
    const ingot_tensor *x = c->in[X];
    int rank = x->rank;
    ingot_status st;

    if (!s)
        return ingot_op_out_of_memory(c);
    if ((st = read_resize(c, &s->rule, all)))
        return st;
    /* Blocks of channels, and the channels of a block behind the pixels. */
    if (x->layout == INGOT_BLOCKED) {
        all[1].in = all[1].out = (x->shape[1] + INGOT_BLOCK - 1) / INGOT_BLOCK;
        all[rank++] = (ingot_resize_axis){ .in = INGOT_BLOCK, .out = INGOT_BLOCK, .scale = 1, .end = 1 };
    }
    if (ingot_count(c->out[0]) == 0)
        return INGOT_OK;
    s->dtype = x->dtype;
    if (x->dtype == INGOT_COMPLEX64 || x->dtype == INGOT_COMPLEX128) { /* real and imaginary parts, as one more axis */
        all[rank++] = (ingot_resize_axis){ .in = 2, .out = 2, .scale = 1, .end = 1 };
        s->dtype = x->dtype == INGOT_COMPLEX64 ? INGOT_FLOAT : INGOT_DOUBLE;
        s->complex = true;
    }
    s->work = x->dtype == INGOT_FLOAT || x->dtype == INGOT_FLOAT16 || x->dtype == INGOT_BFLOAT16 ? INGOT_FLOAT
                                                                                                 : INGOT_DOUBLE;
    s->extrapolation = (double)ingot_attr_float(c->node, "extrapolation_value", 0);
    if ((st = plan_axes(c, s, all, rank)))
        return st;
    if (!measure(s))
        return ingot_op_fail(c, INGOT_LIMIT, "the result is too large");
    c->kernel = s->rule.mode == INGOT_RESIZE_NEAREST  ? "nearest"
                : s->rule.mode == INGOT_RESIZE_LINEAR ? "linear"
                                                      : "cubic";
    if (s->rule.mode != INGOT_RESIZE_NEAREST && s->n_passes) {
        const int64_t converted = s->dtype == s->work ? 0 : s->item_in + s->item_out;
        ingot_want_scratch(c, 0, (size_t)(2 * s->between + converted) * ingot_dtype_size_bytes(s->work));
    }
    return INGOT_OK;
}

/* ---- running ---- */

/* dst[o] = src[index[o]], runs of `bytes`; the usual lengths have loops with a constant size. */
static void gather_runs(char *dst, const char *src, const int64_t *index, int64_t n, size_t bytes)
{
    if (bytes == sizeof(float)) {
        float *to = (float *)(void *)dst;
        const float *from = (const float *)(const void *)src;
        for (int64_t o = 0; o < n; o++)
            to[o] = from[index[o]];
        return;
    }
    if (bytes == INGOT_BLOCK * sizeof(float)) {      /* a blocked pixel: a copy of known size */
        for (int64_t o = 0; o < n; o++)
            memcpy(dst + (size_t)o * INGOT_BLOCK * sizeof(float), src + (size_t)index[o] * INGOT_BLOCK * sizeof(float),
                   INGOT_BLOCK * sizeof(float));
        return;
    }
    for (int64_t o = 0; o < n; o++)
        memcpy(dst + (size_t)o * bytes, src + (size_t)index[o] * bytes, bytes);
}

/* The 2x enlargement of a row of floats: each stands twice. */
static void double_row(float *dst, const float *src, int64_t n)
{
    for (int64_t i = 0; i < n; i++)
        dst[2 * i] = dst[2 * i + 1] = src[i];
}

/* Does the table repeat each element once? index holds o / 2 then. */
static bool doubles(const ingot_resize_axis *axis)
{
    if (axis->out != 2 * axis->in)
        return false;
    for (int64_t o = 0; o < axis->out; o++)
        if (axis->index[o] != o / 2)
            return false;
    return true;
}

/* One item: rows along the last axis. A row that reads what the row before it read is a copy of that. */
static void nearest_item(const resize_state *s, const char *src, char *dst, bool twice)
{
    const size_t run = (size_t)s->inner * ingot_dtype_size_bytes(s->dtype);
    const ingot_resize_axis *last = &s->axes[s->n_axes - 1];
    const int64_t rows = s->item_out / s->inner / last->out;
    const size_t row_bytes = (size_t)last->out * run;
    int64_t before = -1;

    for (int64_t row = 0; row < rows; row++, dst += row_bytes) {
        /* Which row of the source, by the tables of the outer axes. */
        int64_t rest = row, from = 0, step = last->in;
        for (int a = s->n_axes - 2; a >= 0; a--) {
            from += s->axes[a].index[rest % s->axes[a].out] * step;
            rest /= s->axes[a].out;
            step *= s->axes[a].in;
        }
        if (from == before)
            memcpy(dst, dst - row_bytes, row_bytes);
        else if (twice)
            double_row((float *)(void *)dst, (const float *)(const void *)(src + (size_t)from * run), last->in);
        else
            gather_runs(dst, src + (size_t)from * run, last->index, last->out, run);
        before = from;
    }
}

/* Task over items. */
static void nearest_items(void *argument, int64_t begin, int64_t end, int thread)
{
    const resize_state *s = argument;
    const size_t size = ingot_dtype_size_bytes(s->dtype);
    const bool twice = s->inner == 1 && size == sizeof(float) && doubles(&s->axes[s->n_axes - 1]);

    (void)thread;
    for (int64_t i = begin; i < end; i++)
        nearest_item(s, s->src + (size_t)(i * s->item_in) * size, s->dst + (size_t)(i * s->item_out) * size, twice);
}

/* Interpolated values to the element type: integers are rounded to nearest even and clamped, and bool as the integers 0
 * and 1. */
static void store(const resize_state *s, void *dst, double *values, int64_t n)
{
    const ingot_conversion to = { .from = s->work, .to = s->dtype };
    const int bits = 8 * (int)ingot_dtype_size_bytes(s->dtype);
    const bool is_signed = (INGOT_TYPES_SIGNED >> s->dtype & 1) != 0;

    if (s->dtype == INGOT_BOOL)
        for (int64_t i = 0; i < n; i++)
            values[i] = rint(values[i]) > 0;
    if (ingot_is_integer(s->dtype)) {
        /* The largest 64-bit integer is no double: the one before 2^63 or 2^64 takes its place. */
        const double low = is_signed ? -ldexp(1, bits - 1) : 0, past = ldexp(1, is_signed ? bits - 1 : bits);
        const double high = bits == 64 ? nextafter(past, 0) : past - 1;
        for (int64_t i = 0; i < n; i++)
            values[i] = rint(MIN(MAX(values[i], low), high));
    }
    ingot_convert(&to, dst, values, n);
}

/* Task over items: convert if need be, all passes, convert back. */
static void interpolate_items(void *argument, int64_t begin, int64_t end, int thread)
{
    const ingot_op_ctx *c = argument;
    const resize_state *s = c->state;
    const size_t size = ingot_dtype_size_bytes(s->dtype), work = ingot_dtype_size_bytes(s->work);
    const ingot_conversion widen = { .from = s->dtype, .to = s->work, .kernels = c->kernels };
    char *spare = ingot_thread_scratch(c, thread), *other = spare + (size_t)s->between * work;
    char *wide = other + (size_t)s->between * work, *made = wide + (size_t)s->item_in * work;

    for (int64_t i = begin; i < end; i++) {
        const char *src = s->src + (size_t)(i * s->item_in) * size;
        char *dst = s->dst + (size_t)(i * s->item_out) * size;
        /* Of the working type already: passes read X and write Y directly. */
        const bool converts = s->dtype != s->work;
        const void *from = converts ? wide : src;
        void *to = converts ? made : dst;
        if (converts)
            ingot_convert(&widen, wide, src, s->item_in);
        if (s->work == INGOT_FLOAT)
            resize_item_f32(s, from, to, (float *const[]){ (void *)spare, (void *)other });
        else
            resize_item_f64(s, from, to, (double *const[]){ (void *)spare, (void *)other });
        if (converts)
            store(s, dst, (double *)(void *)made, s->item_out);
    }
}

/* Elements with a position outside of the input get the extrapolation value, over what the passes have written; the
 * imaginary part of a complex one is 0. Only tf_crop_and_resize has such positions. */
static void extrapolate(const resize_state *s, ingot_tensor *y)
{
    const ingot_conversion to = { .from = INGOT_DOUBLE, .to = s->dtype, .saturate = true };
    const size_t size = ingot_dtype_size_bytes(s->dtype);
    const int64_t parts = s->complex ? 2 : 1, runs = ingot_count(y) * parts / s->inner;
    char value[2][16] = {{0}};

    ingot_convert(&to, value[0], &s->extrapolation, 1);
    for (int64_t run = 0; run < runs; run++) {
        int64_t rest = run;
        /* One axis outside is enough. */
        bool outside = false;
        for (int a = s->n_axes - 1; a >= 0; a--) {
            outside |= s->axes[a].outside[rest % s->axes[a].out];
            rest /= s->axes[a].out;
        }
        for (int64_t e = 0; e < s->inner && outside; e++)
            memcpy((char *)y->data + (size_t)(run * s->inner + e) * size, value[e % parts], size);
    }
}

/* Nothing to interpolate is a copy. The extrapolation value is a float, which not all types can hold. */
static ingot_status run_resize(ingot_op_ctx *c)
{
    resize_state *s = c->state;
    const int64_t grain = 1 + 16384 / (s->item_out + 1);

    if (ingot_count(c->out[0]) == 0)
        return INGOT_OK;
    s->kernels = c->kernels;
    s->src = c->in[X]->data;
    s->dst = c->out[0]->data;
    if (!s->n_passes)
        memcpy(s->dst, s->src, ingot_storage_bytes(c->in[X]));
    else if (s->rule.mode == INGOT_RESIZE_NEAREST)
        ingot_parallel(c->team, s->items, grain, nearest_items, s);
    else
        ingot_parallel(c->team, s->items, grain, interpolate_items, c);
    if (s->extrapolates && s->dtype == INGOT_STRING)
        return ingot_op_fail(c, INGOT_INVALID, "a string cannot be extrapolated by a number");
    if (s->extrapolates)
        extrapolate(s, c->out[0]);
    return INGOT_OK;
}

/* The roi has a type of its own, whatever X has. */
#define ROI_TYPES (INGOT_TYPE(FLOAT16) | INGOT_TYPE(FLOAT) | INGOT_TYPE(DOUBLE) | INGOT_TYPE(BFLOAT16))
#define X_TYPES                                                                                                        \
    (INGOT_TYPES_NUMERIC | INGOT_TYPE(BOOL) | INGOT_TYPE(STRING) | INGOT_TYPE(COMPLEX64) | INGOT_TYPE(COMPLEX128))

const ingot_op ingot_ops_resize[] = {
    { "Resize", 11, 1, 4, { X_TYPES, ROI_TYPES, INGOT_TYPE(FLOAT), INGOT_TYPE(INT64) }, infer_resize, run_resize,
      .prepare = prepare_resize, .flags = INGOT_OP_LONG, .layout = layout_resize },
    {0},
};
