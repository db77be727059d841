/* pool.c - MaxPool, AveragePool, LpPool, their global forms (one window over everything) and MaxUnpool.
 * The loops here serve every type, rank and attribute; f32 in two dimensions goes to the kernels. */
#include <float.h>
#include <math.h>
#include <string.h>

#include "ops/pool.h"

#include "ops/blocked.h"
#include "ops/quantized_pool.h"
#include "ops/weights.h"
#include "ops/window.h"

enum { PIECE = 256 };                    /* the most outputs of a row that are made together */

/* Taps of n outputs that lie side by side: elements `step` apart in x, from `offset` on in their plane, for each of
 * `taps` that are tap_step apart; or those outputs as a whole, before the first tap and after the last. where: a
 * maximum's offset, or NULL. counts, times outer_count: an average's divisors. */
typedef struct tap_row {
    const void *x;
    void *y;
    int64_t *where;
    double *sums;
    int64_t n, step, taps, tap_step, offset;
    const int64_t *counts;
    double outer_count, p;
} tap_row;

/* A pool of one element type: what its outputs begin with, taps, and the results of sums (or NULL). */
typedef struct pool_loops {
    void (*clear)(const tap_row *r);
    void (*tap)(const tap_row *r);
    void (*store)(const tap_row *r);
    size_t item_bytes;
} pool_loops;

/* One node's pool, and in each run its tensors. A plane is one channel of one image. counts: taps of the last
 * dimension that an average divides by, per output of it; else NULL. indices and column_major are MaxPool's,
 * count_include_pad AveragePool's, p LpPool's. */
typedef struct pool_call {
    ingot_window window;
    int64_t planes, in_plane, out_plane;
    const void *x;
    void *y;
    int64_t *indices;                    /* MaxPool's second output, or NULL */
    bool column_major, count_include_pad;
    ingot_pool blocked;                  /* for the kernels, when x is blocked */
    const ingot_kernels *kernels;
    double p;
    const pool_loops *loops;
    int64_t *counts;
} pool_call;

/* The taps of one window that lie inside the input, as a small box of input positions: first is where they begin,
 * count how many there are along each dimension, at the current one. */
typedef struct taps {
    int64_t first[INGOT_MAX_SPATIAL], count[INGOT_MAX_SPATIAL], at[INGOT_MAX_SPATIAL];
} taps;

/* The taps inside of output `at` of dimension i: the position of the first, and how many; 0 where there is none, as
 * with padding beyond the kernel. */
static int64_t taps_inside(const ingot_window *v, int i, int64_t at, int64_t *first)
{
    const int64_t begin = at * v->stride[i] - v->pad_begin[i], d = v->dilation[i];
    const int64_t skip = begin < 0 ? (-begin + d - 1) / d : 0;
    const int64_t end = v->in[i] > begin ? MIN(v->kernel[i], (v->in[i] - begin + d - 1) / d) : 0;

    *first = begin + skip * d;
    return MAX(end - skip, 0);
}

/* Taps of output `at` that do not reach past the padded input: AveragePool's divisor when padding counts. A window of
 * ceil_mode may reach beyond it. */
static int64_t taps_padded(const ingot_window *v, int i, int64_t at)
{
    const int64_t room = v->in[i] + v->pad_end[i] - (at * v->stride[i] - v->pad_begin[i]), d = v->dilation[i];
    return MIN(v->kernel[i], (room + d - 1) / d);
}

/* Row-major offset in a plane to column-major, the first dimension running fastest, as MaxPool's storage_order 1
 * wants its indices. */
static int64_t column_major(const ingot_window *v, int64_t offset)
{
    int64_t result = 0;

    for (int i = v->rank - 1; i >= 0; i--) {
        result += offset % v->in[i] * ingot_window_volume(v->in, i);
        offset /= v->in[i];
    }
    return result;
}

static void clear_sums(const tap_row *r) { memset(r->sums, 0, (size_t)r->n * sizeof *r->sums); }

/* The loops of ops/pool_loops.h for each element type; SUMS: the type has averages and norms too. */
#define SUMS 1
#define IS_NAN(x) isnan(x)
#define T float
#define LOWEST (-INFINITY)
#define TYPED(name) name##_f32
#include "ops/pool_loops.h"
#undef T
#undef TYPED
#define T double
#define TYPED(name) name##_f64
#include "ops/pool_loops.h"
#undef SUMS
#undef IS_NAN
#undef T
#undef LOWEST
#undef TYPED
#define SUMS 0
#define IS_NAN(x) false
#define T int8_t
#define LOWEST INT8_MIN
#define TYPED(name) name##_i8
#include "ops/pool_loops.h"
#undef T
#undef LOWEST
#undef TYPED
#define T uint8_t
#define LOWEST 0
#define TYPED(name) name##_u8
#include "ops/pool_loops.h"

/* What becomes of a window's elements. */
enum { POOL_MAX, POOL_AVERAGE, POOL_LP };

/* The operator's name tells, with or without "Global". */
static int pool_kind(const ingot_op_ctx *c)
{
    return strstr(c->node->op_type, "Max") ? POOL_MAX : strstr(c->node->op_type, "Average") ? POOL_AVERAGE : POOL_LP;
}

static bool is_global(const ingot_op_ctx *c) { return !strncmp(c->node->op_type, "Global", 6); }

/* The window from the attributes, INVALID where they do not fit X (N, C, D1...). A global pool is a window as large
 * as the image. */
static ingot_status resolve(ingot_op_ctx *c, ingot_window *v)
{
    const ingot_tensor *x = c->in[0];

    if (!is_global(c))
        return ingot_window_resolve(c, x, NULL, v);
    if (x->rank < 2)
        return ingot_op_fail(c, INGOT_INVALID, "input 0 has rank %d, expected at least 2", x->rank);
    ingot_window_whole(x, v);
    return INGOT_OK;
}

/* Y and MaxPool's Indices have the same shape (N, C, out...). */
static ingot_status infer_pool(ingot_op_ctx *c)
{
    ingot_window v;
    ingot_status st = resolve(c, &v);

    if (st || (st = ingot_window_out(c, 0, c->in[0]->dtype, &v)))
        return st;
    return ingot_window_out(c, 1, INGOT_INT64, &v);
}

/* The attribute p of LpPool is an integer, and was a float in the first version; 2 by default. */
static double read_p(const ingot_node *node)
{
    const ingot_attr *attr = ingot_node_attr(node, "p");
    return !attr ? 2 : attr->type == INGOT_ATTR_FLOAT ? (double)attr->floats[0] : (double)attr->ints[0];
}

/* The pool in the kernels' terms: three axes, those that are missing first, as axes of size 1 that change nothing. */
static void describe(const ingot_window *v, ingot_pool *d, int kind, bool count_padding)
{
    ingot_window_axes(v->in, v->rank, 1, d->in);
    ingot_window_axes(v->out, v->rank, 1, d->out);
    ingot_window_axes(v->kernel, v->rank, 1, d->kernel);
    ingot_window_axes(v->stride, v->rank, 1, d->stride);
    ingot_window_axes(v->dilation, v->rank, 1, d->dilation);
    ingot_window_axes(v->pad_begin, v->rank, 0, d->pad);
    ingot_window_axes(v->pad_end, v->rank, 0, d->pad_end);
    d->max = kind == POOL_MAX;
    d->count_padding = count_padding;
}

bool ingot_max_pool_read(const ingot_op_ctx *c, ingot_pool *d)
{
    ingot_op_ctx copy = *c;
    ingot_window v;

    if (c->in[0]->dtype != INGOT_FLOAT || (c->n_out > 1 && c->out[1]) || resolve(&copy, &v) || v.rank != 2)
        return false;
    describe(&v, d, POOL_MAX, false);
    return true;
}

/* Types that only some pools have are kept out by the table of operators; 16-bit floats come as float. */
static const pool_loops *loops_of(int kind, ingot_dtype dtype, bool places)
{
    if (kind == POOL_AVERAGE)
        return dtype == INGOT_DOUBLE ? &average_f64 : &average_f32;
    if (kind == POOL_LP)
        return dtype == INGOT_DOUBLE ? &lp_f64 : &lp_f32;
    switch (dtype) {
    case INGOT_DOUBLE: return places ? &place_f64 : &max_f64;
    case INGOT_INT8: return places ? &place_i8 : &max_i8;
    case INGOT_UINT8: return places ? &place_u8 : &max_u8;
    default: return places ? &place_f32 : &max_f32;
    }
}

/* (N, C) alone is a row of one. */
static void make_row(ingot_window *v)
{
    v->rank = 1;
    v->in[0] = v->out[0] = v->kernel[0] = v->stride[0] = v->dilation[0] = 1;
    v->pad_begin[0] = v->pad_end[0] = 0;
}

/* Sets counts. False when memory is out. */
static bool count_taps(ingot_op_ctx *c, pool_call *s)
{
    const ingot_window *v = &s->window;
    const int last = v->rank - 1;

    s->counts = ingot_keep(c, (size_t)v->out[last] * sizeof *s->counts);
    for (int64_t i = 0, first; s->counts && i < v->out[last]; i++)
        s->counts[i] = s->count_include_pad ? taps_padded(v, last, i) : taps_inside(v, last, i, &first);
    return s->counts;
}

/* Attributes and sizes once per plan, and the loops for X's type. */
static ingot_status prepare_pool(ingot_op_ctx *c)
{
    pool_call *s = c->state = ingot_keep(c, sizeof *s);
    const ingot_dtype dtype = c->in[0]->dtype;
    const int kind = pool_kind(c);
    ingot_status st;

    if (!s)
        return ingot_op_out_of_memory(c);
    if ((st = resolve(c, &s->window)))
        return st;
    if (!s->window.rank)
        make_row(&s->window);
    s->planes = c->in[0]->shape[0] * c->in[0]->shape[1];
    s->in_plane = ingot_window_volume(s->window.in, s->window.rank);
    s->out_plane = ingot_window_volume(s->window.out, s->window.rank);
    s->column_major = ingot_attr_int(c->node, "storage_order", 0) != 0;
    s->count_include_pad = ingot_attr_int(c->node, "count_include_pad", 0) != 0;
    s->p = read_p(c->node);
    if (s->p <= 0)
        return ingot_op_fail(c, INGOT_INVALID, "attribute 'p': %g is not allowed (more than 0)", s->p);
    s->loops = loops_of(kind, dtype, c->n_out > 1 && c->out[1]);
    if (kind == POOL_AVERAGE && c->in[0]->layout != INGOT_BLOCKED && !count_taps(c, s))
        return ingot_op_out_of_memory(c);
    ingot_want_scratch(c, ingot_widen_bytes(c), 0);
    s->kernels = c->kernels;
    c->kernel = c->in[0]->layout == INGOT_BLOCKED ? "nchw8c" : "plain";
    if (c->in[0]->layout == INGOT_BLOCKED)
        describe(&s->window, &s->blocked, kind, s->count_include_pad);
    return INGOT_OK;
}

/* One row of windows in dimensions before the last: their box of taps, and what an average divides by. False where no
 * tap lies inside. */
static bool outer_taps(const pool_call *s, const int64_t *at, taps *t, double *count)
{
    const ingot_window *v = &s->window;
    bool some = true;

    *count = 1;
    for (int i = 0; i < v->rank - 1; i++) {
        t->count[i] = taps_inside(v, i, at[i], &t->first[i]);
        t->at[i] = 0;
        *count *= (double)(s->count_include_pad ? taps_padded(v, i, at[i]) : t->count[i]);
        some = some && t->count[i] > 0;
    }
    return some;
}

/* All taps of outputs [begin, begin + r->n) that lie in one row of the input, the one that `row` elements precede in
 * its plane. One output takes them at once, several take one after the other. */
static void take_row(const pool_call *s, const tap_row *r, const char *plane, int64_t row, int64_t begin)
{
    const ingot_window *v = &s->window;
    const int last = v->rank - 1;
    const int64_t d = v->dilation[last], step = v->stride[last], pad = v->pad_begin[last], end = begin + r->n;
    const int64_t before = pad - (end - 1) * step, past = v->in[last] + pad - begin * step;
    const int64_t k_end = past > 0 ? MIN(v->kernel[last], (past + d - 1) / d) : 0;
    tap_row tap = *r;

    tap.step = step;
    tap.tap_step = d;
    for (int64_t k = before > 0 ? (before + d - 1) / d : 0; k < k_end; k += tap.taps) {
        int64_t from, to;
        tap.taps = r->n == 1 ? k_end - k : 1;
        ingot_window_inside(v, last, k, &from, &to);
        from = MAX(from, begin);
        tap.n = MIN(to, end) - from;
        if (tap.n <= 0)
            continue;
        tap.offset = row + from * step + k * d - pad;
        tap.x = plane + (size_t)tap.offset * s->loops->item_bytes;
        tap.y = (char *)r->y + (size_t)(from - begin) * s->loops->item_bytes;
        tap.where = r->where ? r->where + (from - begin) : NULL;
        tap.sums = r->sums + (from - begin);
        s->loops->tap(&tap);
    }
}

/* Outputs [begin, begin + r->n) of a row whose windows have the box of taps t in the dimensions before the last;
 * `plane` elements of X come before theirs. */
static void make_piece(const pool_call *s, const tap_row *r, taps *t, bool some, int64_t plane, int64_t begin)
{
    const ingot_window *v = &s->window;
    const int last = v->rank - 1;

    s->loops->clear(r);
    for (bool more = some; more; more = ingot_window_next(t->at, t->count, last)) {
        int64_t row = 0;
        for (int i = 0; i < last; i++)
            row = row * v->in[i] + t->first[i] + t->at[i] * v->dilation[i];
        take_row(s, r, (const char *)s->x + (size_t)plane * s->loops->item_bytes, row * v->in[last], begin);
    }
    if (s->loops->store)
        s->loops->store(r);
    for (int64_t i = 0; r->where && i < r->n; i++) {
        const int64_t where = MAX(r->where[i], 0);
        r->where[i] = plane + (s->column_major ? column_major(v, where) : where);
    }
}

/* Task over rows of the output of plain tensors, piece by piece. Windows of a piece begin within one row of the input,
 * so that most taps of one are taps of all. */
static void run_plain_rows(void *argument, int64_t begin, int64_t end, int thread)
{
    const pool_call *s = argument;
    const ingot_window *v = &s->window;
    const int last = v->rank - 1;
    const int64_t plane_rows = s->out_plane / v->out[last], piece = MIN(PIECE, 1 + v->in[last] / v->stride[last]);
    double sums[PIECE];
    taps t;

    (void)thread;
    for (int64_t row = begin; row < end; row++) {
        int64_t at[INGOT_MAX_SPATIAL] = { 0 }, rest = row % plane_rows;
        tap_row r = { .sums = sums, .p = s->p };

        for (int i = last - 1; i >= 0; rest /= v->out[i--])
            at[i] = rest % v->out[i];
        const bool some = outer_taps(s, at, &t, &r.outer_count);
        for (int64_t o = 0; o < v->out[last]; o += piece) {
            r.n = MIN(piece, v->out[last] - o);
            r.y = (char *)s->y + (size_t)(row * v->out[last] + o) * s->loops->item_bytes;
            r.where = s->indices ? s->indices + row * v->out[last] + o : NULL;
            r.counts = s->counts ? s->counts + o : NULL;
            make_piece(s, &r, &t, some, row / plane_rows * s->in_plane, o);
        }
    }
}

/* Task over rows of the output of blocked tensors. */
static void run_rows(void *argument, int64_t begin, int64_t end, int thread)
{
    const pool_call *s = argument;

    (void)thread;
    s->kernels->pool_blocked_f32(&s->blocked, s->x, s->y, begin, end);
}

/* Task over blocks of channels: the mean of whole planes. */
static void run_means(void *argument, int64_t begin, int64_t end, int thread)
{
    const pool_call *s = argument;

    (void)thread;
    for (int64_t i = begin; i < end; i++)
        s->kernels->mean_blocked_f32((float *)s->y + i * INGOT_BLOCK,
                                     (const float *)s->x + i * s->in_plane * INGOT_BLOCK, s->in_plane);
}

/* Plain: the mean or the maximum of whole planes [begin, end). */
static void run_plain_planes(void *argument, int64_t begin, int64_t end, int thread)
{
    const pool_call *s = argument;
    const bool mean = s->loops == &average_f32;

    (void)thread;
    for (int64_t i = begin; i < end; i++)
        ((float *)s->y)[i] = (float)(s->kernels->fold_row_f32(mean ? INGOT_FOLD_SUM : INGOT_FOLD_MAX,
                                                              (const float *)s->x + i * s->in_plane,
                                                              (size_t)s->in_plane, 0.0f) /
                                     (mean ? (double)s->in_plane : 1));
}

/* Bytes have their own maximum. Otherwise kernels for blocks: means of whole planes, or rows. */
static ingot_status run_blocked(ingot_op_ctx *c)
{
    pool_call *s = c->state;
    const int64_t blocks = ingot_blocks(c->in[0]), rows = blocks * s->blocked.out[0] * s->blocked.out[1];

    if (c->in[0]->dtype != INGOT_FLOAT) {
        ingot_max_pool_bytes(c, &s->window);
        return INGOT_OK;
    }
    s->x = c->in[0]->data;
    s->y = c->out[0]->data;
    if (is_global(c) && !s->blocked.max)
        ingot_parallel(c->team, blocks, 1 + 1024 / s->in_plane, run_means, s);
    else
        ingot_parallel(c->team, rows, 1 + 256 / s->blocked.out[2], run_rows, s);
    return INGOT_OK;
}

/* The most taps of a window that can lie inside. */
static int64_t window_taps(const ingot_window *v)
{
    int64_t n = 1;

    for (int i = 0; i < v->rank; i++)
        n *= MIN(v->kernel[i], v->in[i]);
    return MAX(n, 1);
}

/* Any rank and type, row by row. Global averages and maxima in f32 are those of long rows, which kernels have. */
static ingot_status run_plain(ingot_op_ctx *c)
{
    pool_call *s = c->state;

    s->x = c->in[0]->data;
    s->y = c->out[0]->data;
    s->indices = c->n_out > 1 && c->out[1] ? c->out[1]->data : NULL;
    if (is_global(c) && (s->loops == &average_f32 || s->loops == &max_f32) && s->in_plane > 0) {
        ingot_parallel(c->team, s->planes, 1 + 16384 / s->in_plane, run_plain_planes, s);
    } else if (s->out_plane > 0) {
        const int64_t row = s->window.out[s->window.rank - 1];
        ingot_parallel(c->team, s->planes * (s->out_plane / row), 1 + 16384 / (row * window_taps(&s->window)),
                       run_plain_rows, s);
    }
    return INGOT_OK;
}

/* Blocked f32 has its own kernels; 16-bit floats are widened around the plain loops. */
static ingot_status run_pool(ingot_op_ctx *c)
{
    if (c->in[0]->layout == INGOT_BLOCKED)
        return run_blocked(c);
    return ingot_is_16bit(c->in[0]->dtype) ? ingot_run_widened(c, run_plain) : run_plain(c);
}

/* Blocked, unless indices are asked for, or the few channels of a plain tensor would fill less than half of a block. */
static ingot_layout layout_pool(const ingot_op_ctx *c)
{
    const ingot_tensor *x = c->in[0];
    const bool bytes = x->dtype == INGOT_UINT8 || x->dtype == INGOT_INT8;
    const bool can = (x->dtype == INGOT_FLOAT || bytes) && x->rank >= 3 && x->rank <= 5 && pool_kind(c) != POOL_LP &&
                     !(c->n_out > 1 && c->out[1]) && ingot_count(x) > 0 && ingot_count(c->out[0]) > 0;
    const bool worth = x->layout == INGOT_BLOCKED || (x->shape[1] >= INGOT_BLOCK / 2 && !is_global(c));

    return (ingot_layout){ can && worth ? INGOT_LAYOUT_NATIVE : INGOT_LAYOUT_PLAIN, can && worth };
}

/* --- MaxUnpool: indices count in the shape that undoes the pool; output_shape may be larger, zeros past it --- */

/* natural: the shape that undoes the pool, (size - 1) stride - pads + kernel in each dimension; shape: that of Y,
 * which input 2 may enlarge. INVALID when indices have another shape than X, or Y would be smaller than natural. LATER
 * while input 2 is not known. */
static ingot_status read_unpool(ingot_op_ctx *c, int64_t *natural, int64_t *shape)
{
    const ingot_tensor *x = c->in[0];
    const int rank = x->rank - 2;
    int64_t kernel[INGOT_MAX_SPATIAL], stride[INGOT_MAX_SPATIAL], pads[2 * INGOT_MAX_SPATIAL];
    ingot_status st;
    int n = 0;

    if (rank < 1 || !ingot_same_shape(x, c->in[1]))
        return ingot_op_fail(c, INGOT_INVALID,
                             "input 0 has rank %d (expected at least 3) and must have input 1's shape", x->rank);
    if ((st = ingot_window_ints(c, "kernel_shape", kernel, rank, 1, 1)) ||
        (st = ingot_window_ints(c, "strides", stride, rank, 1, 1)) ||
        (st = ingot_window_ints(c, "pads", pads, 2 * rank, 0, 0)) ||
        (st = ingot_ints(c, 2, shape, INGOT_MAX_RANK, &n)))
        return st;
    if (ingot_has(c, 2) && n != x->rank)
        return ingot_op_fail(c, INGOT_INVALID, "input 2 has %d sizes, expected %d", n, x->rank);
    /* The natural shape; sizes are bounded, so that nothing overflows. */
    memcpy(natural, x->shape, 2 * sizeof *natural);
    for (int i = 0; i < rank; i++) {
        const int64_t size = MIN(x->shape[2 + i], INT32_MAX);
        natural[2 + i] = MAX((size - 1) * stride[i] - pads[i] - pads[rank + i] + kernel[i], 0);
    }
    if (!ingot_has(c, 2))
        memcpy(shape, natural, (size_t)x->rank * sizeof *shape);
    for (int i = 0; i < x->rank; i++)
        if (shape[i] < natural[i])
            return ingot_op_fail(c, INGOT_INVALID, "input 2 asks for %lld in dimension %d, which needs %lld",
                                 (long long)shape[i], i, (long long)natural[i]);
    return INGOT_OK;
}

/* Y has X's type, and the natural shape or that of input 2. */
static ingot_status infer_unpool(ingot_op_ctx *c)
{
    int64_t natural[INGOT_MAX_RANK], shape[INGOT_MAX_RANK];
    ingot_status st = read_unpool(c, natural, shape);
    return st ? st : ingot_out(c, 0, c->in[0]->dtype, c->in[0]->rank, shape);
}

/* Indices count over the whole natural output, before output_shape enlarges it; each is checked against that, as it
 * is data. Y is zeros but for X's elements at their indices. */
static ingot_status run_unpool(ingot_op_ctx *c)
{
    const size_t size = ingot_dtype_size_bytes(c->in[0]->dtype);
    const int64_t *indices = c->in[1]->data, n = ingot_count(c->in[0]);
    int64_t natural[INGOT_MAX_RANK], shape[INGOT_MAX_RANK];
    ingot_tensor full = *c->in[0];
    char *y = c->out[0]->data;
    ingot_status st = read_unpool(c, natural, shape);

    if (st)
        return st;
    memcpy(full.shape, natural, sizeof natural);
    const int64_t limit = ingot_count(&full);
    const bool is_natural = ingot_same_shape(&full, c->out[0]);
    memset(y, 0, ingot_storage_bytes(c->out[0]));
    /* An index of the natural shape is taken apart and put together in that of Y, if that is another. */
    for (int64_t i = 0; i < n; i++) {
        int64_t rest = indices[i], at = is_natural ? rest : 0, step = 1;
        if (rest < 0 || rest >= limit)
            return ingot_op_fail(c, INGOT_INVALID, "index %lld is outside the output of %lld elements",
                                 (long long)rest, (long long)limit);
        for (int d = full.rank - 1; d >= 0 && !is_natural; d--) {
            at += rest % natural[d] * step;
            rest /= natural[d];
            step *= shape[d];
        }
        memcpy(y + (size_t)at * size, (const char *)c->in[0]->data + (size_t)i * size, size);
    }
    return INGOT_OK;
}

#define POOL(name, types)                                                                                              \
    {                                                                                                                  \
        name, 1, 1, 1, { types }, infer_pool, run_pool, .prepare = prepare_pool, .layout = layout_pool,                \
            .flags = INGOT_OP_LONG                                                                                     \
    }

const ingot_op ingot_ops_pool[] = {
    POOL("MaxPool", INGOT_TYPES_FLOAT | INGOT_TYPE(INT8) | INGOT_TYPE(UINT8)),
    POOL("AveragePool", INGOT_TYPES_FLOAT),
    POOL("LpPool", INGOT_TYPES_FLOAT),
    POOL("GlobalMaxPool", INGOT_TYPES_FLOAT),
    POOL("GlobalAveragePool", INGOT_TYPES_FLOAT),
    POOL("GlobalLpPool", INGOT_TYPES_FLOAT),
    { "MaxUnpool", 9, 2, 3, { INGOT_TYPES_FLOAT, INGOT_TYPE(INT64), INGOT_TYPE(INT64) }, infer_unpool,
      .run = run_unpool },
    { 0 }
};
