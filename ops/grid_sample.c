/* grid_sample.c - GridSample reads an image at positions that a grid gives, and AffineGrid makes such grids. A position
 * becomes a short list of taps (offset and weight) once; all channels then use the list. */
#include <math.h>
#include <string.h>

#include "ops/movement.h"
#include "ops/row_loops.h"
#include "ops/scalar.h"
#include "ops/weights.h"

enum { X, GRID };
/* The taps of a cubic position grow as 4 to the number of dimensions, hence a limit to those. */
enum { MAX_SPATIAL = 4, POSITIONS = 32 };                  /* positions whose taps are made before they are used */

typedef enum sample_mode { LINEAR, NEAREST, CUBIC } sample_mode;
typedef enum padding { ZEROS, BORDER, REFLECTION } padding;

/* An element of the image to read, counted from the beginning of a channel, and its share; an offset below 0 is padding
 * that counts as 0. */
typedef struct tap {
    int64_t offset;
    double weight;
} tap;

/* The taps of a position between four pixels, linearly: those from `offset` on and those below, left before right; -1
 * where the position is not between pixels, and has plain taps. */
typedef struct square {
    int64_t offset;
    float weight[4];
} square;

/* The node between prepare and run. most_taps: those that a position has at most, which are 1, 2 or 4 for each
 * dimension. */
typedef struct sampler {
    const ingot_op_ctx *ctx;
    sample_mode mode;
    padding padding;
    bool align_corners, whole;           /* whole: weights are integers, as the elements are */
    bool squares;                        /* floats in a plane, linearly: most positions lie between four pixels */
    int spatial;                         /* dimensions */
    int64_t size[MAX_SPATIAL];           /* of the input image */
    int64_t channels, pixels, positions; /* of an image: input elements, output elements per channel */
    int most_taps;
    size_t item_bytes;
    const void *x;
    const ingot_tensor *grid;
    void *y;
} sampler;

#define T float
#define WEIGHT float
#define TYPED(name) name##_f32
#include "ops/grid_sample_loops.h"
#undef T
#undef TYPED
#define T float _Complex
#define TYPED(name) name##_c64
#include "ops/grid_sample_loops.h"
#undef T
#undef WEIGHT
#undef TYPED
#define T double
#define WEIGHT double
#define TYPED(name) name##_f64
#include "ops/grid_sample_loops.h"
#undef T
#undef TYPED
#define T double _Complex
#define TYPED(name) name##_c128
#include "ops/grid_sample_loops.h"

/* Fold x back into [low, high] at its ends, as often as it takes. `times` counts the whole turns: after an even number
 * x comes back from the end that it left by, else from the other. A range of nothing has one position. */
static double reflect(double x, double low, double high)
{
    const double range = high - low, past = x < low ? low - x : x > high ? x - high : 0;
    const double times = range > 0 ? floor(past / range) : 0, rest = past - times * range;

    if (past == 0)
        return x;
    if (!(range > 0))
        return low;
    return (fmod(times, 2) == 0) == (x < low) ? low + rest : high - rest;
}

/* A grid value as a position along a dimension. Grids of float are computed in float, as everybody does. -1 and 1 are
 * the middles of the outermost pixels with align_corners, else their outer edges. `index` is that of the value in the
 * grid. */
static double denormalize(const sampler *s, int64_t index, int64_t size)
{
    if (s->grid->dtype == INGOT_DOUBLE) {
        const double g = ((const double *)s->grid->data)[index], n = (double)size;
        return s->align_corners ? (g + 1) / 2 * (n - 1) : ((g + 1) * n - 1) / 2;
    }
    const float g = ((const float *)s->grid->data)[index], n = (float)size;
    return (double)(s->align_corners ? (g + 1) / 2 * (n - 1) : ((g + 1) * n - 1) / 2);
}

/* The pixel that stands at i, a whole number; -1: none, which counts as 0. Border takes the nearest pixel there is, and
 * so does reflection after it has folded the position. Positions far outside must not overflow the integer. */
static int64_t pixel_at(const sampler *s, double i, int64_t size)
{
    const double low = s->align_corners ? 0 : -0.5, high = (double)size - (s->align_corners ? 1 : 0.5);

    if (s->padding == ZEROS)
        return i >= 0 && i < (double)size ? (int64_t)i : -1;
    if (s->padding == REFLECTION)
        i = reflect(i, low, high);
    return i > 0 ? MIN((int64_t)MIN(i, 0x1p62), size - 1) : 0;
}

/* Taps along one dimension of `size` pixels around position x; returns how many, with their pixels and weights. Border
 * and reflection move the position itself (but for cubic, which pads pixels), zeros only drop taps. NaN is a position
 * outside. The cubic weights are those of Keys's convolution (1981) with a = -0.75. */
static int dimension_taps(const sampler *s, double x, int64_t size, int64_t *pixel, double *weight)
{
    const double low = s->align_corners ? 0 : -0.5, high = (double)size - (s->align_corners ? 1 : 0.5);
    const double a = -0.75;                                /* of the cubic convolution */

    if (s->mode == NEAREST)
        x = rint(x);
    if (isnan(x))
        x = low - 1;
    if (s->padding == BORDER && s->mode != CUBIC && (x < low || x > high))
        x = MIN(MAX(x, 0), (double)(size - 1));
    if (s->padding == REFLECTION && s->mode != CUBIC)      /* cubic pads pixels, not positions, as PyTorch does */
        x = reflect(x, low, high);
    /* x lies between pixel `before` and the next, d behind the first. */
    const double before = floor(x), d = x - before;
    if (s->mode == NEAREST) {
        pixel[0] = pixel_at(s, x, size);
        weight[0] = 1;
        return 1;
    }
    if (s->mode == LINEAR) {
        pixel[0] = pixel_at(s, before, size);
        pixel[1] = pixel_at(s, before + 1, size);
        weight[0] = 1 - d;
        weight[1] = d;
        return 2;
    }
    for (int i = 0; i < 4; i++) {
        const double away = fabs(d - (double)(i - 1));
        pixel[i] = pixel_at(s, before + (double)(i - 1), size);
        weight[i] = away <= 1 ? ((a + 2) * away - (a + 3)) * away * away + 1
                              : ((a * away - 5 * a) * away + 8 * a) * away - 4 * a;
    }
    return 4;
}

/* Weights of integers are integers, as in the standard's reference evaluator: cut toward zero, so that a position
 * between pixels gets 0, and one on a pixel that pixel. Those of bool are 1 where they are not 0. */
static double whole_weight(const sampler *s, double weight)
{
    return s->ctx->in[X]->dtype == INGOT_BOOL ? weight != 0 : trunc(weight);
}

/* The taps of output position `at` of an image: the product of those of its dimensions. Taps that are padding are left
 * out; returns how many remain, at most most_taps. */
static int position_taps(const sampler *s, int64_t image, int64_t at, tap *taps)
{
    const int64_t grid = (image * s->positions + at) * s->spatial;
    int n = 1;

    taps[0] = (tap){ 0, 1 };
    for (int d = 0; d < s->spatial; d++) {
        int64_t pixel[4];
        double weight[4];
        const double x = denormalize(s, grid + s->spatial - 1 - d, s->size[d]);  /* the grid has x before y before z */
        const int n_own = dimension_taps(s, x, s->size[d], pixel, weight);
        int to = n * n_own;
        for (int i = n - 1; i >= 0; i--)                   /* from the end, so that none is lost */
            for (int k = n_own - 1; k >= 0; k--)
                taps[--to] = (tap){ pixel[k] < 0 || taps[i].offset < 0 ? -1 : taps[i].offset * s->size[d] + pixel[k],
                                    taps[i].weight * (s->whole ? whole_weight(s, weight[k]) : weight[k]) };
        n *= n_own;
    }
    int kept = 0;
    for (int i = 0; i < n; i++)
        if (taps[i].offset >= 0 && (!s->whole || taps[i].weight != 0))
            taps[kept++] = taps[i];
    return kept;
}

/* The square of output position `at`; without branches but one, as most positions of most grids have one. Padding and
 * what it does to positions does not matter there. False where there is none. */
static bool square_taps(const sampler *s, int64_t image, int64_t at, square *taps)
{
    const int64_t grid = (image * s->positions + at) * 2, height = s->size[0], width = s->size[1];
    const double x = denormalize(s, grid, width), y = denormalize(s, grid + 1, height);

    if (!(x >= 0 && y >= 0 && x < (double)(width - 1) && y < (double)(height - 1)))
        return false;
    const int64_t column = (int64_t)x, row = (int64_t)y;
    const double right = x - (double)column, below = y - (double)row;
    *taps = (square){ row * width + column,
                      { (float)((1 - below) * (1 - right)), (float)((1 - below) * right), (float)(below * (1 - right)),
                        (float)(below * right) } };
    return true;
}

/* Positions [first, first + n) by their squares, or plain taps where they have none. */
INGOT_VECTOR_LOOPS static void sample_squares(const sampler *s, const square *squares, const tap *taps,
                                              const int *n_taps, int64_t image, int64_t first, int64_t n)
{
    const int64_t width = s->size[1];

    for (int64_t channel = 0; channel < s->channels; channel++) {
        const int64_t plane = image * s->channels + channel;
        const float *x = (const float *)s->x + plane * s->pixels;
        float *y = (float *)s->y + plane * s->positions + first;
        for (int64_t p = 0; p < n; p++) {
            const tap *t = taps + p * s->most_taps;
            float sum = 0;
            if (squares[p].offset >= 0) {
                const float *from = x + squares[p].offset, *weight = squares[p].weight;
                sum = weight[0] * from[0] + weight[1] * from[1] + weight[2] * from[width] + weight[3] * from[width + 1];
            } else {
                for (int i = 0; i < n_taps[p]; i++)
                    sum += (float)t[i].weight * x[t[i].offset];
            }
            y[p] = sum;
        }
    }
}

/* One tap at most: elements of any type, of n positions from `first` on. A position without a tap gets the type's zero,
 * which for text is the empty one. */
static void copy_taps(const sampler *s, const tap *taps, const int *n_taps, int64_t image, int64_t first, int64_t n)
{
    const void *zero = ingot_zero_of(s->ctx->in[X]->dtype);

    for (int64_t channel = 0; channel < s->channels; channel++) {
        const int64_t plane = image * s->channels + channel;
        const char *x = (const char *)s->x + (size_t)(plane * s->pixels) * s->item_bytes;
        char *y = (char *)s->y + (size_t)(plane * s->positions + first) * s->item_bytes;
        for (int64_t p = 0; p < n; p++)
            memcpy(y + (size_t)p * s->item_bytes,
                   n_taps[p] ? x + (size_t)taps[p * s->most_taps].offset * s->item_bytes : zero, s->item_bytes);
    }
}

/* Bool: is any of the taps true? Integers have one tap at most, since their weights are 0 or 1, and are copied. */
static void any_tap(const sampler *s, const tap *taps, const int *n_taps, int64_t image, int64_t first, int64_t n)
{
    for (int64_t channel = 0; channel < s->channels; channel++) {
        const int64_t plane = image * s->channels + channel;
        const bool *x = (const bool *)s->x + plane * s->pixels;
        bool *y = (bool *)s->y + plane * s->positions + first;
        for (int64_t p = 0; p < n; p++) {
            y[p] = false;
            for (int i = 0; i < n_taps[p]; i++)
                y[p] |= x[taps[p * s->most_taps + i].offset];
        }
    }
}

/* The sums of taps of a block, by the type of the elements. Nearest has one tap, and copies. */
static void apply_taps(const sampler *s, const tap *taps, const int *n_taps, int64_t image, int64_t first, int64_t n)
{
    const ingot_dtype dtype = s->ctx->in[X]->dtype;

    if (s->mode == NEAREST || (s->whole && dtype != INGOT_BOOL))
        copy_taps(s, taps, n_taps, image, first, n);
    else if (s->whole)
        any_tap(s, taps, n_taps, image, first, n);
    else if (dtype == INGOT_DOUBLE)
        sample_f64(s, taps, n_taps, image, first, n);
    else if (dtype == INGOT_COMPLEX64)
        sample_c64(s, taps, n_taps, image, first, n);
    else if (dtype == INGOT_COMPLEX128)
        sample_c128(s, taps, n_taps, image, first, n);
    else
        sample_f32(s, taps, n_taps, image, first, n);
}

/* Blocks [begin, end) of positions, counted through all images. Taps do not depend on the channel, so they are made
 * once for all of them. */
static void sample_blocks(void *argument, int64_t begin, int64_t end, int thread)
{
    const sampler *s = argument;
    const int64_t blocks = (s->positions + POSITIONS - 1) / POSITIONS;
    tap *taps = (tap *)(void *)ingot_thread_scratch(s->ctx, thread);
    square squares[POSITIONS];
    int n_taps[POSITIONS];

    for (int64_t block = begin; block < end; block++) {
        /* The taps of all positions of the block, then all channels with them. */
        const int64_t image = block / blocks, first = block % blocks * POSITIONS,
                      n = MIN(s->positions - first, POSITIONS);
        for (int64_t p = 0; p < n; p++) {
            squares[p].offset = -1;
            if (!s->squares || !square_taps(s, image, first + p, squares + p))
                n_taps[p] = position_taps(s, image, first + p, taps + p * s->most_taps);
        }
        if (s->squares)
            sample_squares(s, squares, taps, n_taps, image, first, n);
        else
            apply_taps(s, taps, n_taps, image, first, n);
    }
}

/* The grid is (N, D1.., spatial), X (N, C, ...) with the same number of spatial dimensions, at most MAX_SPATIAL. Only
 * nearest can take text. INVALID: an unknown mode or padding_mode, or shapes that do not fit.
 * UNSUPPORTED: more dimensions. */
static ingot_status read_sampler(ingot_op_ctx *c, sampler *s)
{
    const ingot_tensor *x = c->in[X], *grid = c->in[GRID];
    const char *mode = ingot_attr_string(c->node, "mode", "linear");
    const char *edges = ingot_attr_string(c->node, "padding_mode", "zeros");

    /* Names that are not known end as the default, which the check then tells from the real one. */
    s->mode = !strcmp(mode, "nearest") ? NEAREST : !strcmp(mode, "cubic") ? CUBIC : LINEAR;
    s->padding = !strcmp(edges, "border") ? BORDER : !strcmp(edges, "reflection") ? REFLECTION : ZEROS;
    if ((s->mode == LINEAR && strcmp(mode, "linear")) || (s->padding == ZEROS && strcmp(edges, "zeros")))
        return ingot_op_fail(c, INGOT_INVALID, "mode '%.40s' or padding_mode '%.40s' is not known", mode, edges);
    s->align_corners = ingot_attr_int(c->node, "align_corners", 0) != 0;
    s->spatial = x->rank - 2;
    if (s->spatial < 1 || grid->rank != x->rank || grid->shape[0] != x->shape[0] ||
        grid->shape[grid->rank - 1] != s->spatial)
        return ingot_op_fail(c, INGOT_INVALID, "the grid's shape does not fit that of X");
    if (s->spatial > MAX_SPATIAL)
        return ingot_op_fail(c, INGOT_UNSUPPORTED, "%d spatial dimensions (at most %d)", s->spatial, MAX_SPATIAL);
    if (s->mode != NEAREST && x->dtype == INGOT_STRING)
        return ingot_op_fail(c, INGOT_INVALID, "strings cannot be interpolated");
    s->whole = s->mode != NEAREST && (ingot_is_integer(x->dtype) || x->dtype == INGOT_BOOL);
    /* Sizes of the image, and taps of all its dimensions multiplied. */
    s->most_taps = 1;
    for (int d = 0; d < s->spatial; d++) {
        s->size[d] = x->shape[2 + d];
        s->most_taps *= s->mode == NEAREST ? 1 : s->mode == LINEAR ? 2 : 4;
    }
    s->channels = x->shape[1];
    s->pixels = ingot_span(x, 2, x->rank);
    s->positions = ingot_span(grid, 1, grid->rank - 1);
    return INGOT_OK;
}

/* Y is (N, C) with the grid's spatial dimensions. The type is X's, whatever that of the grid. */
static ingot_status infer_grid_sample(ingot_op_ctx *c)
{
    const ingot_tensor *x = c->in[X], *grid = c->in[GRID];
    int64_t shape[INGOT_MAX_RANK];
    sampler s;
    ingot_status st = read_sampler(c, &s);

    if (st)
        return st;
    memcpy(shape, x->shape, 2 * sizeof *shape);
    memcpy(shape + 2, grid->shape + 1, (size_t)s.spatial * sizeof *shape);
    return ingot_out(c, 0, x->dtype, x->rank, shape);
}

/* Each thread keeps the taps of POSITIONS grid points and uses them for every channel. */
static ingot_status prepare_grid_sample(ingot_op_ctx *c)
{
    sampler *s = c->state = ingot_keep(c, sizeof *s);

    if (!s)
        return ingot_op_out_of_memory(c);
    const ingot_status st = read_sampler(c, s);
    if (!st)
        ingot_want_scratch(c, ingot_widen_bytes(c), (size_t)s->most_taps * POSITIONS * sizeof(tap));
    return st;
}

/* An image without pixels has nothing to sample, even for zeros padding, and is INVALID. */
static ingot_status run_plain(ingot_op_ctx *c)
{
    sampler *s = c->state;
    const int64_t blocks = c->in[X]->shape[0] * ((s->positions + POSITIONS - 1) / POSITIONS);

    if (ingot_count(c->out[0]) == 0)
        return INGOT_OK;
    if (s->pixels == 0)
        return ingot_op_fail(c, INGOT_INVALID, "the image to sample has no pixels");
    s->ctx = c;
    s->squares = s->mode == LINEAR && s->spatial == 2 && c->in[X]->dtype == INGOT_FLOAT;
    s->x = c->in[X]->data;
    s->grid = c->in[GRID];
    s->y = c->out[0]->data;
    s->item_bytes = ingot_dtype_size_bytes(c->in[X]->dtype);
    ingot_parallel(c->team, blocks, 4, sample_blocks, s);
    return INGOT_OK;
}

/* 16-bit floats are widened, in X and in the grid. */
static ingot_status run_grid_sample(ingot_op_ctx *c)
{
    const bool narrow = ingot_is_16bit(c->in[X]->dtype) || ingot_is_16bit(c->in[GRID]->dtype);
    return narrow ? ingot_run_widened(c, run_plain) : run_plain(c);
}

/* ---- AffineGrid ---- */

/* theta is (N, 2, 3) or (N, 3, 4), size (N, C, [D,] H, W); the grid has one coordinate pair or triple for each pixel.
 * LATER until size is known. INVALID: other shapes of theta. */
static ingot_status infer_affine_grid(ingot_op_ctx *c)
{
    const ingot_tensor *theta = c->in[0];
    int64_t size[5], shape[5];
    int n;
    ingot_status st = ingot_ints(c, 1, size, 5, &n);

    if (st)
        return st;
    if (n < 4 || theta->rank != 3 || theta->shape[0] != size[0] || theta->shape[1] != n - 2 || theta->shape[2] != n - 1)
        return ingot_op_fail(c, INGOT_INVALID, "theta must have shape (N, 2, 3) or (N, 3, 4) and size 4 or 5 entries");
    for (int d = 0; d < n - 1; d++)
        shape[d] = d == 0 ? size[0] : size[d + 1];
    shape[n - 1] = n - 2;
    return ingot_out(c, 0, theta->dtype, n, shape);
}

/* The middle of pixel i of n on a scale from -1 to 1, or with align_corners those of the outermost at -1 and 1. A
 * single pixel is in the middle, at 0. */
static double base_position(int64_t i, int64_t n, bool align_corners)
{
    if (align_corners)
        return n > 1 ? -1 + 2 * (double)i / (double)(n - 1) : 0;
    return -1 + (2 * (double)i + 1) / (double)n;
}

/* Task over rows of pixels of all images: theta times the homogeneous position of each. ONNX orders coordinates x, y,
 * z, the reverse of the dimensions. Along a row x alone changes, so that a coordinate is start + slope x. */
static void affine_rows(void *argument, int64_t begin, int64_t end, int thread)
{
    const ingot_op_ctx *c = argument;
    const bool align_corners = ingot_attr_int(c->node, "align_corners", 0) != 0;
    ingot_tensor *y = c->out[0];
    float *floats = y->dtype == INGOT_FLOAT ? y->data : NULL;
    const int spatial = y->rank - 2;
    const int64_t width = y->shape[spatial];

    (void)thread;
    for (int64_t row = begin; row < end; row++) {
        double base[3] = { 0 }, start[3], slope[3];
        int64_t image = row;
        for (int d = 1; d < spatial; d++) {                /* y, z; then the number of the image is left */
            const int64_t n = y->shape[spatial - d];
            base[d] = base_position(image % n, n, align_corners);
            image /= n;
        }
        for (int r = 0; r < spatial; r++) {
            const int64_t at = (image * spatial + r) * (spatial + 1);
            slope[r] = ingot_double_at(c->in[0], at);
            start[r] = ingot_double_at(c->in[0], at + spatial);
            for (int k = 1; k < spatial; k++)
                start[r] += base[k] * ingot_double_at(c->in[0], at + k);
        }
        for (int64_t i = 0, at = row * width * spatial; i < width; i++) {
            const double x = base_position(i, width, align_corners);
            for (int r = 0; r < spatial; r++, at++)
                if (floats)
                    floats[at] = (float)(start[r] + slope[r] * x);
                else
                    ingot_put_double(y, at, start[r] + slope[r] * x);
        }
    }
}

static ingot_status run_affine_grid(ingot_op_ctx *c)
{
    const ingot_tensor *y = c->out[0];
    const int64_t pixels = ingot_count(y) / (y->rank - 2), width = y->shape[y->rank - 2];

    if (pixels)
        ingot_parallel(c->team, pixels / width, 1 + 4096 / width, affine_rows, c);
    return INGOT_OK;
}

#define X_TYPES                                                                                                        \
    (INGOT_TYPES_NUMERIC | INGOT_TYPE(BOOL) | INGOT_TYPE(STRING) | INGOT_TYPE(COMPLEX64) | INGOT_TYPE(COMPLEX128))

const ingot_op ingot_ops_grid_sample[] = {
    { "GridSample", 16, 2, 2, { X_TYPES, INGOT_TYPES_FLOAT }, infer_grid_sample, run_grid_sample,
      .prepare = prepare_grid_sample },
    { "AffineGrid", 20, 2, 2, { INGOT_TYPES_FLOAT, INGOT_TYPE(INT64) }, infer_affine_grid, run_affine_grid },
    {0},
};
