/* col2im.c - Col2Im: blocks, laid out as columns, are added up into the image they were taken from. Every pixel gathers
 * the blocks that hold it, so that pixels are independent. Text has no sum: it is put together where no two blocks
 * overlap, and refused where they do. */
#include <string.h>

#include "ops/movement.h"
#include "ops/row_loops.h"
#include "ops/scalar.h"
#include "ops/window.h"

enum { X, IMAGE, BLOCK };
enum { ROW = 256 };                      /* pixels of a row that are summed together */

/* X and Y as the loops need them: X (images * channels, taps, columns), Y (images * channels, pixels). */
typedef struct folding {
    ingot_window w;                      /* out: the image; in: positions of blocks along each dimension */
    int64_t channels, pixels, taps, columns;
    ingot_tensor x, y;                   /* of complex numbers the parts */
    int64_t parts;                       /* 2 of those, else 1 */
} folding;

/* Reads image_shape, block_shape and the window's attributes, and checks that X (N, C * block, columns) has just the
 * columns such an image gives. All three products are overflow-checked, as they come from tensors. INVALID otherwise;
 * LATER while image_shape or block_shape is not known. */
static ingot_status read_folding(ingot_op_ctx *c, folding *f)
{
    ingot_window *w = &f->w;
    int64_t pads[2 * INGOT_MAX_SPATIAL];
    int rank, n;
    ingot_status st;

    if ((st = ingot_ints(c, IMAGE, w->out, INGOT_MAX_SPATIAL, &rank)) ||
        (st = ingot_ints(c, BLOCK, w->kernel, INGOT_MAX_SPATIAL, &n)))
        return st;
    if (n != rank || rank < 1 || c->in[X]->rank != 3)
        return ingot_op_fail(c, INGOT_INVALID, "%d image and %d block dimensions do not fit an input of rank %d", rank,
                             n, c->in[X]->rank);
    if ((st = ingot_window_ints(c, "strides", w->stride, rank, 1, 1)) ||
        (st = ingot_window_ints(c, "dilations", w->dilation, rank, 1, 1)) ||
        (st = ingot_window_ints(c, "pads", pads, 2 * rank, 0, 0)))
        return st;
    w->rank = rank;
    /* Positions of the block along each dimension, and the three products. */
    size_t taps = 1, columns = 1, pixels = 1;
    for (int i = 0; i < rank; i++) {
        if (w->out[i] < 0 || w->out[i] > INT32_MAX || w->kernel[i] < 1 || w->kernel[i] > INT32_MAX)
            return ingot_op_fail(c, INGOT_INVALID, "dimension %d of the image or the block is out of range", i);
        w->pad_begin[i] = pads[i];
        w->pad_end[i] = pads[rank + i];
        /* Positions of the block along this dimension, as for a pooling window without ceil_mode. */
        const int64_t room = w->out[i] + pads[i] + pads[rank + i] - w->dilation[i] * (w->kernel[i] - 1) - 1;
        w->in[i] = room < 0 ? 0 : room / w->stride[i] + 1;
        if (!ingot_mul_size(taps, (size_t)w->kernel[i], &taps) ||
            !ingot_mul_size(columns, (size_t)w->in[i], &columns) || !ingot_mul_size(pixels, (size_t)w->out[i], &pixels))
            return ingot_op_fail(c, INGOT_INVALID, "the image or the block is too large");
    }
    /* Do the sizes of X go with them? */
    const int64_t *shape = c->in[X]->shape;
    if (taps > INT64_MAX || columns > INT64_MAX || pixels > INT64_MAX || shape[1] % (int64_t)taps ||
        shape[2] != (int64_t)columns)
        return ingot_op_fail(c, INGOT_INVALID,
                             "an input of %lld x %lld does not hold whole blocks of %zu elements at %zu "
                             "positions",
                             (long long)shape[1], (long long)shape[2], taps, columns);
    f->channels = shape[1] / (int64_t)taps;
    f->taps = columns ? (int64_t)taps : 0; /* without columns nothing bounds them, and there is nothing to add */
    f->columns = (int64_t)columns;
    f->pixels = (int64_t)pixels;
    return INGOT_OK;
}

/* Y is (N, C, image_shape...). C is what remains of X's second dimension when the block's elements are divided out. */
static ingot_status infer_col2im(ingot_op_ctx *c)
{
    int64_t shape[INGOT_MAX_RANK];
    folding f;
    ingot_status st = read_folding(c, &f);

    if (st)
        return st;
    shape[0] = c->in[X]->shape[0];
    shape[1] = f.channels;
    for (int i = 0; i < f.w.rank; i++)
        shape[2 + i] = f.w.out[i];
    return ingot_out(c, 0, c->in[X]->dtype, 2 + f.w.rank, shape);
}

/* at / stride; a division takes longer than the few additions that it is for, and most blocks have a stride of 1. */
static int64_t steps_to(int64_t at, int64_t stride) { return stride == 1 ? at : at / stride; }

/* The column that holds the pixel at its tap, counted by the first `rank` axes, or -1 where none does: the block would
 * begin before the image's padding, past its last position, or between two strides. This inverts the window's rule:
 * position times stride, plus tap times dilation, less padding, is the pixel. */
static int64_t find_column(const ingot_window *w, const int64_t *pixel, const int64_t *tap, int rank)
{
    int64_t column = 0;

    for (int i = 0; i < rank; i++) {
        const int64_t at = pixel[i] + w->pad_begin[i] - tap[i] * w->dilation[i];
        const int64_t own = steps_to(at, w->stride[i]);
        if (at < 0 || own * w->stride[i] != at || own >= w->in[i])
            return -1;
        column = column * w->in[i] + own;
    }
    return column;
}

/* The sum at one pixel of a plane: of all columns that hold it. Sums of bool are its or. Of complex numbers, `part` is
 * 0 or 1 of 2. Integers are summed modulo 2^64 and cut when they are stored, floats in double. `p` is the pixel's
 * number. */
static void fold_pixel(const folding *f, int64_t plane, const int64_t *pixel, int64_t p, int64_t part)
{
    const bool whole = ingot_is_integer(f->x.dtype) || f->x.dtype == INGOT_BOOL;
    int64_t tap[INGOT_MAX_SPATIAL] = {0};
    double real = 0;
    uint64_t integer = 0;

    for (int64_t t = 0; t < f->taps; t++, ingot_window_next(tap, f->w.kernel, f->w.rank)) {
        const int64_t column = find_column(&f->w, pixel, tap, f->w.rank);
        if (column < 0)
            continue;
        const int64_t at = ((plane * f->taps + t) * f->columns + column) * f->parts + part;
        if (whole)
            integer += (uint64_t)ingot_int_at(&f->x, at);
        else
            real += ingot_double_at(&f->x, at);
    }
    ingot_tensor y = f->y;
    if (whole)
        ingot_put_int(&y, plane * f->pixels + p, y.dtype == INGOT_BOOL ? integer != 0 : (int64_t)integer);
    else
        ingot_put_double(&y, (plane * f->pixels + p) * f->parts + part, real);
}

/* How many multiples of `stride`, from 0 on, are less than `end`. */
static int64_t count_below(int64_t end, int64_t stride) { return end <= 0 ? 0 : steps_to(end - 1, stride) + 1; }

/* Floats: n <= ROW pixels of a row of a plane from `pixel` on, tap by tap, so that a tap's columns are walked along the
 * last axis. Each sum is the one of fold_pixel(). */
INGOT_VECTOR_LOOPS static void fold_floats(const folding *f, int64_t plane, const int64_t *pixel, int64_t p, int64_t n)
{
    const ingot_window *w = &f->w;
    const int last = w->rank - 1;
    int64_t tap[INGOT_MAX_SPATIAL] = {0};
    double sums[ROW] = {0};

    for (int64_t t = 0; t < f->taps; t++, ingot_window_next(tap, w->kernel, w->rank)) {
        const int64_t row = find_column(w, pixel, tap, last);
        if (row < 0)
            continue;
        /* Column c lies at pixel c * stride - first, counted from `pixel` on. */
        const int64_t first = pixel[last] + w->pad_begin[last] - tap[last] * w->dilation[last];
        const int64_t end = MIN(count_below(first + n, w->stride[last]), w->in[last]);
        const float *x = (const float *)f->x.data + (plane * f->taps + t) * f->columns + row * w->in[last];
        const int64_t begin = count_below(first, w->stride[last]), stride = w->stride[last];
        for (int64_t c = begin; c < end && stride == 1; c++)
            sums[c - first] += (double)x[c];
        for (int64_t c = begin; c < end && stride != 1; c++)
            sums[c * stride - first] += (double)x[c];
    }
    for (int64_t i = 0; i < n; i++)
        ((float *)f->y.data)[plane * f->pixels + p + i] = (float)sums[i];
}

/* The floats of a plane, row by row. */
static void fold_float_plane(const folding *f, int64_t plane)
{
    int64_t pixel[INGOT_MAX_SPATIAL] = {0}, *at = &pixel[f->w.rank - 1];

    for (int64_t p = 0, n; p < f->pixels; p += n) {
        n = MIN(ROW, f->w.out[f->w.rank - 1] - *at);
        fold_floats(f, plane, pixel, p, n);
        *at += n - 1;
        ingot_window_next(pixel, f->w.out, f->w.rank);
    }
}

/* Planes [begin, end): images times channels. `pixel` follows p through the image, last dimension fastest. */
static void fold_planes(void *argument, int64_t begin, int64_t end, int thread)
{
    const folding *f = argument;

    (void)thread;
    for (int64_t plane = begin; plane < end; plane++) {
        int64_t pixel[INGOT_MAX_SPATIAL] = {0};
        if (f->x.dtype == INGOT_FLOAT && f->parts == 1) {
            fold_float_plane(f, plane);
            continue;
        }
        for (int64_t p = 0; p < f->pixels; p++, ingot_window_next(pixel, f->w.out, f->w.rank))
            for (int64_t part = 0; part < f->parts; part++)
                fold_pixel(f, plane, pixel, p, part);
    }
}

/* Complex numbers as the floats that they are made of. A sum of complex numbers is the sum of each part, so that they
 * need no loop of their own. */
static ingot_tensor as_parts(const ingot_tensor *t)
{
    ingot_tensor view = *t;
    if (t->dtype == INGOT_COMPLEX64)
        view.dtype = INGOT_FLOAT;
    else if (t->dtype == INGOT_COMPLEX128)
        view.dtype = INGOT_DOUBLE;
    return view;
}

/* Text goes where it belongs, an empty one where no block is. INVALID where two blocks have the same pixel. */
static ingot_status fold_text(ingot_op_ctx *c, const folding *f)
{
    const size_t size = ingot_dtype_size_bytes(INGOT_STRING);
    const char *x = f->x.data, *const none = ingot_zero_of(INGOT_STRING);
    char *y = f->y.data;

    for (int64_t plane = 0; plane < c->in[X]->shape[0] * f->channels; plane++) {
        int64_t pixel[INGOT_MAX_SPATIAL] = {0};
        for (int64_t p = 0; p < f->pixels; p++, ingot_window_next(pixel, f->w.out, f->w.rank)) {
            int64_t tap[INGOT_MAX_SPATIAL] = {0}, at = -1;
            for (int64_t t = 0; t < f->taps; t++, ingot_window_next(tap, f->w.kernel, f->w.rank)) {
                const int64_t column = find_column(&f->w, pixel, tap, f->w.rank);
                if (column >= 0 && at >= 0)
                    return ingot_op_fail(c, INGOT_INVALID, "blocks of strings overlap, and strings have no sum");
                at = column < 0 ? at : (plane * f->taps + t) * f->columns + column;
            }
            memcpy(y, at < 0 ? none : x + (size_t)at * size, size);
            y += size;
        }
    }
    return INGOT_OK;
}

/* Each (image, channel) plane is summed by one thread, as its windows may overlap. Shapes are read anew because
 * image_shape and block_shape may be computed in the run. */
static ingot_status run_col2im(ingot_op_ctx *c)
{
    folding f;
    ingot_status st = read_folding(c, &f);

    if (st || ingot_count(c->out[0]) == 0)
        return st;
    f.x = as_parts(c->in[X]);
    f.y = as_parts(c->out[0]);
    f.parts = f.x.dtype == c->in[X]->dtype ? 1 : 2;
    if (f.x.dtype == INGOT_STRING)
        return fold_text(c, &f);
    ingot_parallel(c->team, c->in[X]->shape[0] * f.channels, 1, fold_planes, &f);
    return INGOT_OK;
}

#define TYPES                                                                                                          \
    (INGOT_TYPES_NUMERIC | INGOT_TYPE(BOOL) | INGOT_TYPE(STRING) | INGOT_TYPE(COMPLEX64) | INGOT_TYPE(COMPLEX128))

const ingot_op ingot_ops_col2im[] = {
    { "Col2Im", 18, 3, 3, { TYPES, INGOT_TYPE(INT64), INGOT_TYPE(INT64) }, infer_col2im, run_col2im },
    {0},
};
