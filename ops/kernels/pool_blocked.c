/* pool_blocked.c - pools over blocked tensors, eight channels at a time.
 *
 * Work items are rows of the output, (image and block, depth, height). Columns are folded first: the rows of a window
 * become one line in a small buffer, with -infinity or 0 where the padding is, and the windows of that line follow.
 * An average multiplies them by what they count, which is one number for all windows inside of the source. Kernels
 * wider than the buffer take each window by itself. */
#include <math.h>

#include "ops/kernels/taps.h"

enum {
    BLOCK = 8,
    WIDE = 4,                           /* vectors that are summed up side by side */
    VECTOR_PIXELS = VF32_LANES / BLOCK,
    LINE = 192,                         /* pixels of the buffer */
};

/* The taps of output index i along an axis that fall inside the source. */
static tap_range taps_at(const ingot_pool *d, int axis, int64_t i)
{
    return taps_inside(i * d->stride[axis] - d->pad[axis], d->dilation[axis], d->kernel[axis], d->in[axis]);
}

/* Taps of output index i that do not reach past the padded source. */
static int64_t padded_taps(const ingot_pool *d, int axis, int64_t i)
{
    const int64_t room = d->in[axis] + d->pad_end[axis] - (i * d->stride[axis] - d->pad[axis]);
    return min64(d->kernel[axis], (room + d->dilation[axis] - 1) / d->dilation[axis]);
}

/* A window by the taps it has, or what all windows of a row share; steps count floats. */
typedef struct window_job {
    const float *src;
    int64_t taps[3];
    ptrdiff_t step[3], pixel;
    double outer_count;                 /* what an average divides by, but for the taps along the row */
} window_job;

/* What an average's sum is multiplied by, with `taps` counted along the row. */
static float scale_of(const window_job *j, int64_t taps)
{
    const double count = j->outer_count * (double)taps;
    return count > 0 ? (float)(1.0 / count) : 0.0f;
}

/* n pixels of one value. */
static void fill(float *dst, int64_t n, float value)
{
    for (int64_t i = 0; i < n * BLOCK; i++)
        dst[i] = value;
}

/* The larger one, or NaN when either is. */
INGOT_INLINE vf32 largest(vf32 a, vf32 b) { return vf32_select(vf32_eq(a, a), vf32_max(a, b), a); }

/* `wide` vectors of fold_columns(), the last one of them with `have` floats. */
INGOT_INLINE void fold_vectors(const window_job *j, const float *first, float *dst, int wide, size_t have, bool max)
{
    vf32 acc[WIDE];

    INGOT_UNROLL
    for (int v = 0; v < wide; v++)
        acc[v] = max ? vf32_set1(-INFINITY) : vf32_zero();
    for (int64_t z = 0; z < j->taps[0]; z++) {
        const float *src = first + z * j->step[0];
        for (int64_t y = 0; y < j->taps[1]; y++, src += j->step[1]) {
            INGOT_UNROLL
            for (int v = 0; v < wide; v++) {
                const vf32 x = have == VF32_LANES ? vf32_load(src + v * VF32_LANES) : vf32_load_n(src, have);
                acc[v] = max ? largest(acc[v], x) : vf32_add(acc[v], x);
            }
        }
    }
    INGOT_UNROLL
    for (int v = 0; v < wide; v++)
        vf32_store(dst + v * VF32_LANES, acc[v]);
}

/* dst[i] = the largest, or the sum, of src[i] in all rows of the windows that job describes, n > 0 floats. */
INGOT_INLINE void fold_columns(const window_job *j, float *dst, int64_t n, bool max)
{
    int64_t i = 0;

    for (; !max && i + WIDE * VF32_LANES <= n; i += WIDE * VF32_LANES)
        fold_vectors(j, j->src + i, dst + i, WIDE, VF32_LANES, max);
    for (; i < n; i += VF32_LANES)
        fold_vectors(j, j->src + i, dst + i, 1, (size_t)min64(VF32_LANES, n - i), max);
}

/* One vector of fold_columns_fast(), whose rows are summed up too. */
INGOT_INLINE vf32 fold_column(const window_job *j, const float *src, size_t have, vf32 *sum)
{
    vf32 acc = have == VF32_LANES ? vf32_load(src) : vf32_load_n(src, have), all = acc;

    for (int64_t y = 1; y < j->taps[1]; y++) {
        src += j->step[1];
        const vf32 x = have == VF32_LANES ? vf32_load(src) : vf32_load_n(src, have);
        acc = vf32_max(acc, x);
        all = vf32_add(all, x);
    }
    *sum = vf32_add(*sum, all);
    return acc;
}

/* What fold_columns() does, for windows of one plane that hold no NaN. False where they may: the sum of all floats is
 * NaN then, as it is of infinities of both signs. */
INGOT_INLINE bool fold_columns_fast(const window_job *j, float *dst, int64_t n)
{
    vf32 sums[2] = { vf32_zero(), vf32_zero() };
    int64_t i = 0;

    for (; i + 2 * VF32_LANES <= n; i += 2 * VF32_LANES) {
        INGOT_UNROLL
        for (int v = 0; v < 2; v++)
            vf32_store(dst + i + v * VF32_LANES, fold_column(j, j->src + i + v * VF32_LANES, VF32_LANES, &sums[v]));
    }
    for (; i < n; i += VF32_LANES)
        vf32_store(dst + i, fold_column(j, j->src + i, (size_t)min64(VF32_LANES, n - i), &sums[0]));

    const vf32 sum = vf32_add(sums[0], sums[1]);
    return !vm32_any(vm32_not(vf32_eq(sum, sum)));
}

/* n pixels of dst from the line: window p begins p * pixel floats into it. `exact`: there may be NaN. */
INGOT_INLINE void fold_line(const float *line, float *dst, int64_t n, int64_t taps, ptrdiff_t step, ptrdiff_t pixel,
                            bool exact)
{
    for (int64_t p = 0; p < n; p += VECTOR_PIXELS) {
        const float *first = line + p * pixel, *second = first + (p + 1 < n ? pixel : 0);
        vf32 acc = vf32_load_pair8(first, second);
        for (int64_t t = 1; t < taps; t++) {
            const vf32 x = vf32_load_pair8(first + t * step, second + t * step);
            acc = exact ? largest(acc, x) : vf32_max(acc, x);
        }
        if (p + VECTOR_PIXELS <= n)
            vf32_store(dst + p * BLOCK, acc);
        else
            vf32_store_n(dst + p * BLOCK, acc, (size_t)(n - p) * BLOCK);
    }
}

/* Source columns that n outputs of a row see. */
static int64_t reach(const ingot_pool *d, int64_t n)
{
    return (n - 1) * d->stride[2] + (d->kernel[2] - 1) * d->dilation[2] + 1;
}

/* Outputs [x0, x0 + n) of a row, the largest ones. Job: the window of source column 0. */
static void max_run(const ingot_pool *d, window_job j, float *dst, int64_t x0, int64_t n)
{
    const int64_t start = x0 * d->stride[2] - d->pad[2], columns = reach(d, n);
    const int64_t from = min64(columns, max64(0, -start)), to = max64(from, min64(columns, d->in[2] - start));
    float line[(LINE + VECTOR_PIXELS) * BLOCK];
    bool exact = false;

    /* the line: padding, columns of the source, padding */
    fill(line, from, -INFINITY);
    if (from < to) {
        j.src += (start + from) * BLOCK;
        exact = j.taps[0] != 1 || j.taps[1] < 1 || !fold_columns_fast(&j, line + from * BLOCK, (to - from) * BLOCK);
        if (exact)
            fold_columns(&j, line + from * BLOCK, (to - from) * BLOCK, true);
    }
    fill(line + to * BLOCK, columns - to, -INFINITY);
    if (exact)
        fold_line(line, dst, n, d->kernel[2], j.step[2], j.pixel, true);
    else if (d->kernel[2] == 3)         /* a loop of known length */
        fold_line(line, dst, n, 3, j.step[2], j.pixel, false);
    else
        fold_line(line, dst, n, d->kernel[2], j.step[2], j.pixel, false);
}

/* n pixels of dst from sums along columns: windows as in fold_line(), their sums times `scale`. */
INGOT_INLINE void sum_line(const float *line, float *dst, int64_t n, int64_t taps, ptrdiff_t step, ptrdiff_t pixel,
                           float scale)
{
    for (int64_t p = 0; p < n; p += VECTOR_PIXELS) {
        const float *first = line + p * pixel, *second = first + (p + 1 < n ? pixel : 0);
        vf32 acc = vf32_load_pair8(first, second);
        for (int64_t t = 1; t < taps; t++)
            acc = vf32_add(acc, vf32_load_pair8(first + t * step, second + t * step));
        acc = vf32_mul(acc, vf32_set1(scale));
        if (p + VECTOR_PIXELS <= n)
            vf32_store(dst + p * BLOCK, acc);
        else
            vf32_store_n(dst + p * BLOCK, acc, (size_t)(n - p) * BLOCK);
    }
}

/* Outputs [x0, x0 + n) of a row, averages. Job: the window of source column 0. */
static void average_run(const ingot_pool *d, window_job j, float *dst, int64_t x0, int64_t n)
{
    const int64_t start = x0 * d->stride[2] - d->pad[2], columns = reach(d, n), wide = reach(d, 1);
    const int64_t from = min64(columns, max64(0, -start)), to = max64(from, min64(columns, d->in[2] - start));
    float line[(LINE + VECTOR_PIXELS) * BLOCK];

    fill(line, from, 0.0f);
    if (from < to) {
        j.src += (start + from) * BLOCK;
        fold_columns(&j, line + from * BLOCK, (to - from) * BLOCK, false);
    }
    fill(line + to * BLOCK, columns - to, 0.0f);
    /* windows that reach into the padding one by one, those between them together */
    for (int64_t p = 0, next; p < n; p = next) {
        const int64_t at = start + p * d->stride[2], room = d->in[2] - wide - at;
        const tap_range taps = taps_at(d, 2, x0 + p);
        const int64_t counted = d->count_padding ? padded_taps(d, 2, x0 + p) : taps.to - taps.from;
        const float *first = line + p * j.pixel, scale = scale_of(&j, counted);
        next = at < 0 || room < 0 ? p + 1 : min64(n, p + room / d->stride[2] + 1);
        if (d->kernel[2] == 3)          /* a loop of known length */
            sum_line(first, dst + p * BLOCK, next - p, 3, j.step[2], j.pixel, scale);
        else
            sum_line(first, dst + p * BLOCK, next - p, d->kernel[2], j.step[2], j.pixel, scale);
    }
}

/* A row of one block, window by window. Job: the windows of source column 0. */
static void pool_windows(const ingot_pool *d, const window_job *j, float *dst)
{
    for (int64_t x = 0; x < d->out[2]; x++) {
        const tap_range taps = taps_at(d, 2, x);
        const int64_t counted = d->count_padding ? padded_taps(d, 2, x) : taps.to - taps.from;
        const float *rows = j->src + (x * d->stride[2] - d->pad[2]) * BLOCK;
        vf8 acc = vf8_set1(d->max ? -INFINITY : 0.0f);
        for (int64_t z = 0; z < j->taps[0]; z++)
            for (int64_t y = 0; y < j->taps[1]; y++)
                for (int64_t t = taps.from; t < taps.to; t++) {
                    const vf8 v = vf8_load(rows + z * j->step[0] + y * j->step[1] + t * j->step[2]);
                    /* the largest keeps NaN, of either */
                    acc = d->max ? vf8_select(vm8_or(vf8_lt(acc, v), vm8_not(vf8_eq(v, v))), v, acc)
                                 : vf8_add(acc, v);
                }
        vf8_store(dst + x * BLOCK, d->max ? acc : vf8_mul(acc, vf8_set1(scale_of(j, counted))));
    }
}

/* The largest of a column's three pixels, `down` and then `further` floats apart, all of which are added to *sum. */
INGOT_INLINE vf8 largest_of_column(const float *src, ptrdiff_t down, ptrdiff_t further, vf8 sum[2])
{
    const vf8 a = vf8_load(src), b = vf8_load(src + down), c = vf8_load(src + down + further);

    sum[0] = vf8_fma(a, b, sum[0]);
    sum[1] = vf8_add(sum[1], c);
    return vf8_max(vf8_max(a, b), c);
}

/* n windows of three columns, one or two apart, that lie inside of the source, but the first one may lack its first
 * column, and a further one its last. All of it must be numbers: false where there may be a NaN, which their sum is
 * then. Columns are read once for all windows that share them. */
INGOT_INLINE bool max_windows(const window_job *j, const float *src, float *dst, int64_t n, bool lacks_first,
                              bool lacks_last, int stride)
{
    enum { TAPS = 3 };
    const ptrdiff_t down = j->taps[1] > 1 ? j->step[1] : 0, further = j->taps[1] > 2 ? j->step[1] : 0;
    const int shared = TAPS - stride;
    vf8 column[TAPS], sums[2][2] = { { vf8_zero(), vf8_zero() }, { vf8_zero(), vf8_zero() } };

    column[0] = lacks_first ? vf8_set1(-INFINITY) : largest_of_column(src, down, further, sums[0]);
    if (shared > 1)
        column[1] = largest_of_column(src + BLOCK, down, further, sums[1]);
    for (int64_t p = 0; p < n; p++, src += stride * BLOCK, dst += BLOCK) {
        INGOT_UNROLL
        for (int t = shared; t < TAPS; t++)
            column[t] = largest_of_column(src + t * BLOCK, down, further, sums[t % 2]);
        vf8_store(dst, vf8_max(vf8_max(column[0], column[1]), column[2]));
        INGOT_UNROLL
        for (int t = 0; t < shared; t++)
            column[t] = column[t + stride];
    }
    if (lacks_last) {
        if (shared == 1)
            column[1] = largest_of_column(src + BLOCK, down, further, sums[1]);
        vf8_store(dst, vf8_max(column[0], column[1]));
    }
    const vf8 sum = vf8_add(vf8_add(sums[0][0], sums[0][1]), vf8_add(sums[1][0], sums[1][1]));
    return !vm8_any(vm8_not(vf8_eq(sum, sum)));
}

/* A row of one block, where its windows are as above. False, and nothing to be kept, where they are not. */
static bool max_row(const ingot_pool *d, const window_job *j, float *dst)
{
    const int64_t stride = d->stride[2], pad = d->pad[2], room = d->in[2] - d->kernel[2] + pad;
    const int64_t whole = room < 0 ? 0 : (stride > 1 ? room / 2 : room) + 1, n = min64(d->out[2], whole);
    const bool lacks_last = n < d->out[2] && n * stride == room + 1;

    if (!d->max || d->kernel[2] != 3 || stride > 2 || d->dilation[2] != 1 || pad > 1 || j->taps[0] != 1 ||
        j->taps[1] < 1 || j->taps[1] > 3 || n < 1 || n + lacks_last < d->out[2])
        return false;
    return stride == 1 ? max_windows(j, j->src - pad * BLOCK, dst, n, pad > 0, lacks_last, 1)
                       : max_windows(j, j->src - pad * BLOCK, dst, n, pad > 0, lacks_last, 2);
}

/* Row (z, y) of one block. Kernels that reach further than the buffer take their windows whole. */
static void pool_row(const ingot_pool *d, const float *src, float *dst, int64_t z, int64_t y)
{
    const tap_range tz = taps_at(d, 0, z), ty = taps_at(d, 1, y);
    const int64_t width = d->out[2];
    window_job j = {
        .src = src + ((z * d->stride[0] - d->pad[0] + tz.from * d->dilation[0]) * d->in[1] +
                      y * d->stride[1] - d->pad[1] + ty.from * d->dilation[1]) * d->in[2] * BLOCK,
        .taps = {tz.to - tz.from, ty.to - ty.from, 0},
        .step = {d->dilation[0] * d->in[1] * d->in[2] * BLOCK, d->dilation[1] * d->in[2] * BLOCK,
                 d->dilation[2] * BLOCK},
        .pixel = d->stride[2] * BLOCK,
        .outer_count = (double)(d->count_padding ? padded_taps(d, 0, z) * padded_taps(d, 1, y)
                                                 : (tz.to - tz.from) * (ty.to - ty.from)),
    };

    if (max_row(d, &j, dst))
        return;
    if (reach(d, 1) > LINE) {
        pool_windows(d, &j, dst);
        return;
    }
    const int64_t run = (LINE - reach(d, 1)) / d->stride[2] + 1;
    for (int64_t x = 0; x < width; x += run) {
        if (d->max)
            max_run(d, j, dst + x * BLOCK, x, min64(run, width - x));
        else
            average_run(d, j, dst + x * BLOCK, x, min64(run, width - x));
    }
}

/* Rows [i0, i1) of the output, in the order of images and blocks, depth, height. */
void INGOT_FN(pool_blocked_f32)(const ingot_pool *d, const float *src, float *dst, int64_t i0, int64_t i1)
{
    const int64_t in = d->in[0] * d->in[1] * d->in[2] * BLOCK, rows = d->out[0] * d->out[1];
    int64_t block = i0 / rows, z = i0 % rows / d->out[1], y = i0 % d->out[1];

    for (int64_t i = i0; i < i1; i++) {
        pool_row(d, src + block * in, dst + i * d->out[2] * BLOCK, z, y);
        if (++y < d->out[1])
            continue;
        y = 0;
        if (++z < d->out[0])
            continue;
        z = 0;
        block++;
    }
}

/* The mean of each channel, added up in chunks so that long planes lose nothing. */
void INGOT_FN(mean_blocked_f32)(float *dst, const float *src, int64_t pixels)
{
    enum { CHUNK = 256 };
    double sum[BLOCK] = { 0 };
    float part[BLOCK];

    for (int64_t p = 0; p < pixels; p += CHUNK) {
        const int64_t end = min64(pixels, p + CHUNK);
        vf8 a = vf8_zero(), b = vf8_zero(), c = vf8_zero(), e = vf8_zero();
        int64_t i = p;
        for (; i + 4 <= end; i += 4) {
            a = vf8_add(a, vf8_load(src + i * BLOCK));
            b = vf8_add(b, vf8_load(src + (i + 1) * BLOCK));
            c = vf8_add(c, vf8_load(src + (i + 2) * BLOCK));
            e = vf8_add(e, vf8_load(src + (i + 3) * BLOCK));
        }
        for (; i < end; i++)
            a = vf8_add(a, vf8_load(src + i * BLOCK));
        vf8_store(part, vf8_add(vf8_add(a, b), vf8_add(c, e)));
        for (int k = 0; k < BLOCK; k++)
            sum[k] += (double)part[k];
    }
    for (int k = 0; k < BLOCK; k++)
        dst[k] = (float)(sum[k] / (double)pixels);
}
