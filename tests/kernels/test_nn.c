/* test_nn.c - normalization, softmax, layout and pooling kernels against their definitions in double. */
#include "tests/kernels/check.h"

/* What a normalization is made of, over one strip of n: moments, sum of squares, and the ways to scale and shift.
 * The elements have a mean of 3, so that a variance from squares that cancel would show. */
static void check_norm(const ingot_kernels *k, int64_t n)
{
    float *x = check_randoms(n), *y = check_floats(n), *scale = check_randoms(n), *add = check_randoms(n);
    double mean = 0, variance = 0, squares = 0, got_mean, got_variance;
    char what[64];

    snprintf(what, sizeof what, "norm %s n %lld", k->isa, (long long)n);
    for (int64_t i = 0; i < n; i++) {
        x[i] += 3.0f;
        mean += (double)x[i] / (double)n;
        squares += (double)x[i] * (double)x[i];
    }
    for (int64_t i = 0; i < n; i++)
        variance += ((double)x[i] - mean) * ((double)x[i] - mean) / (double)n;
    /* the three sums, then the two ways to scale, with numbers for all elements and for each */
    k->moments_f32(x, n, &got_mean, &got_variance);
    check_near((float)got_mean, mean, 1e-6, what, 0);
    check_near((float)got_variance, variance, 1e-6, what, 1);
    check_near((float)k->sum_squares_f32(x, n), squares, 1e-6, what, 2);
    k->scale_shift_f32(y, x, n, 2.5f, -0.75f, 0.5f);
    for (int64_t i = 0; i < n; i++)
        check_near(y[i], ((double)x[i] - 2.5) * -0.75 + 0.5, 1e-6, what, i);
    for (int with_add = 0; with_add < 2; with_add++) {
        k->scale_row_f32(y, x, n, 2.5f, -0.75f, scale, with_add ? add : NULL);
        for (int64_t i = 0; i < n; i++)
            check_near(y[i], ((double)x[i] - 2.5) * -0.75 * (double)scale[i] + (with_add ? (double)add[i] : 0), 1e-6,
                       what, i);
    }
    k->scale_row_f32(x, x, n, 0.0f, 1.0f, scale, NULL);       /* in place */
    check_free(x, n, what), check_free(y, n, what), check_free(scale, n, what), check_free(add, n, what);
}

/* Rows of n, one after the other, normalized as LayerNormalization does it; a bias may be missing. */
static void check_norm_rows(const ingot_kernels *k, int64_t rows, int64_t n, bool with_add)
{
    float *x = check_randoms(rows * n), *y = check_floats(rows * n), *scale = check_randoms(n), *add = check_randoms(n);
    char what[64];

    snprintf(what, sizeof what, "norm_rows %s %lld of %lld", k->isa, (long long)rows, (long long)n);
    k->norm_rows_f32(y, x, rows, n, 1e-3, scale, with_add ? add : NULL);
    for (int64_t r = 0; r < rows; r++) {
        double mean = 0, variance = 0;
        for (int64_t i = 0; i < n; i++)
            mean += (double)x[r * n + i] / (double)n;
        for (int64_t i = 0; i < n; i++)
            variance += ((double)x[r * n + i] - mean) * ((double)x[r * n + i] - mean) / (double)n;
        for (int64_t i = 0; i < n; i++)
            check_near(y[r * n + i], ((double)x[r * n + i] - mean) / sqrt(variance + 1e-3) * (double)scale[i] +
                       (with_add ? (double)add[i] : 0), 1e-6, what, r * n + i);
    }
    check_free(x, rows * n, what), check_free(y, rows * n, what), check_free(scale, n, what), check_free(add, n, what);
}

/* Scale and shift of blocked pixels, with numbers of their own for each of the eight channels. */
static void check_scale_blocked(const ingot_kernels *k, int64_t pixels)
{
    const int64_t n = pixels * 8;
    float *x = check_randoms(n), *y = check_floats(n), *p = check_randoms(24);

    k->scale_shift_blocked_f32(y, x, pixels, p, p + 8, p + 16);
    for (int64_t i = 0; i < n; i++)
        check_near(y[i], ((double)x[i] - (double)p[i % 8]) * (double)p[8 + i % 8] + (double)p[16 + i % 8], 1e-6,
                   "scale_shift_blocked", i);
    check_free(x, n, "x"), check_free(y, n, "scale_shift_blocked"), check_free(p, 24, "p");
}

/* Softmax and its logarithm over one row of numbers from -20 to 20, of which many exponentials vanish beside the
 * largest. A special value in the middle: -infinity counts as nothing, NaN spreads over the row. */
static void check_softmax(const ingot_kernels *k, int64_t n, float special)
{
    float *x = check_randoms(n), *y = check_floats(n), *z = check_floats(n);
    double most = -INFINITY, sum = 0;
    char what[64];

    snprintf(what, sizeof what, "softmax %s n %lld", k->isa, (long long)n);
    for (int64_t i = 0; i < n; i++)
        x[i] *= 20.0f;
    if (special != 0.0f)
        x[n / 2] = special;
    for (int64_t i = 0; i < n; i++)
        most = (double)x[i] > most ? (double)x[i] : most;
    for (int64_t i = 0; i < n; i++)
        sum += exp((double)x[i] - most);
    k->softmax_f32(y, x, n);
    k->log_softmax_f32(z, x, n);
    for (int64_t i = 0; i < n; i++) {
        check_near(y[i], exp((double)x[i] - most) / sum, 1e-6, what, i);
        check_near(z[i], (double)x[i] - most - log(sum), 1e-6, what, i);
    }
    check_free(x, n, what), check_free(y, n, what), check_free(z, n, what);
}

/* Rows of softmax(scale x + mask), in place, with rows further apart than they are long: what lies between them must
 * stay as it was. With a mask the scale is negative, so that the largest x is not the largest element. `special`
 * goes into the mask, as a padding mask's -infinity does. */
static void check_softmax_scaled(const ingot_kernels *k, int64_t rows, int64_t n, bool masked, float special)
{
    const int64_t stride = n + 3, mask_stride = n + 1;
    const float scale = masked ? -0.5f : 3.0f;
    float *x = check_randoms(rows * stride), *y = check_floats(rows * stride);
    float *mask = check_randoms(rows * mask_stride);
    char what[80];

    snprintf(what, sizeof what, "softmax_scaled %s %lld rows of %lld", k->isa, (long long)rows, (long long)n);
    if (special != 0.0f)
        mask[n / 2] = special;
    /* in place, so that y is the source too */
    memcpy(y, x, (size_t)(rows * stride) * sizeof *x);
    k->softmax_scaled_f32(y, stride, rows, n, scale, masked ? mask : NULL, mask_stride);
    for (int64_t i = 0; i < rows; i++) {
        double most = -INFINITY, sum = 0, z[1000];
        for (int64_t j = 0; j < n; j++) {
            z[j] = (double)scale * (double)x[i * stride + j] + (masked ? (double)mask[i * mask_stride + j] : 0);
            most = z[j] > most ? z[j] : most;
        }
        for (int64_t j = 0; j < n; j++)
            sum += exp(z[j] - most);
        for (int64_t j = 0; j < stride; j++)
            check_near(y[i * stride + j], j < n ? exp(z[j] - most) / sum : (double)x[i * stride + j], 1e-6, what, j);
    }
    check_free(x, rows * stride, what), check_free(y, rows * stride, what), check_free(mask, rows * mask_stride, what);
}

/* Scores with a query in each column, and the way back from there: columns are left as exponentials with the inverse
 * of their sum beside, and scale_transposed writes the first width - 3 of them as rows. What it was not asked for
 * must stay. */
static void check_softmax_columns(const ingot_kernels *k, int64_t rows, int vectors, bool with_add, float special)
{
    const int64_t width = vectors * k->lanes, n = rows * width, n_dst = width * (rows + 2);
    float *x = check_randoms(n), *y = check_floats(n), *add = check_randoms(rows), *inverse = check_floats(width);
    float *dst = check_floats(n_dst);
    char what[80];

    snprintf(what, sizeof what, "softmax_columns %s %lld x %lld", k->isa, (long long)rows, (long long)width);
    if (special != 0.0f)
        x[n / 2] = special;
    memcpy(y, x, (size_t)n * sizeof *x);
    k->softmax_columns_f32(y, rows, width, 3.0f, with_add ? add : NULL, inverse);
    k->scale_transposed_f32(dst, rows + 2, y, width, rows, width - 3, inverse);
    for (int64_t j = 0; j < width; j++) {
        double most = -INFINITY, sum = 0, z[100];
        for (int64_t i = 0; i < rows; i++) {
            z[i] = 3.0 * (double)x[i * width + j] + (with_add ? (double)add[i] : 0);
            most = z[i] > most ? z[i] : most;
        }
        for (int64_t i = 0; i < rows; i++)
            sum += exp(z[i] - most);
        check_near(inverse[j], 1 / sum, 1e-6, what, j);
        for (int64_t i = 0; i < rows + 2; i++)
            check_near(dst[j * (rows + 2) + i], j < width - 3 && i < rows ? exp(z[i] - most) / sum : (double)CANARY,
                       1e-6, what, i);
    }
    check_free(x, n, what), check_free(y, n, what), check_free(add, rows, what), check_free(inverse, width, what);
    check_free(dst, n_dst, what);
}

/* Pixels of a blocked image, of which the lanes past the last channel hold what they like. */
static void check_norm_channels(const ingot_kernels *k, int64_t channels, int64_t pixels, int64_t p0, bool with_add)
{
    const int64_t n = (channels + 7) / 8 * 8 * pixels;
    float *x = check_randoms(n), *y = check_floats(n), *scale = check_randoms(channels), *add = check_randoms(channels);
    float *whole = check_floats(n);
    char what[80];

    snprintf(what, sizeof what, "norm_channels %s %lld of %lld", k->isa, (long long)pixels, (long long)channels);
    k->norm_channels_f32(y, x, channels, pixels, p0, (p0 + pixels) / 2, 1e-3f, scale, with_add ? add : NULL);
    k->norm_channels_f32(y, x, channels, pixels, (p0 + pixels) / 2, pixels, 1e-3f, scale, with_add ? add : NULL);
    k->norm_channels_f32(whole, x, channels, pixels, p0, pixels, 1e-3f, scale, with_add ? add : NULL);
    if (memcmp(whole, y, (size_t)n * sizeof *y))
        check_fail("%s: ranges change the result", what);
    for (int64_t p = 0; p < pixels; p++) {
        double mean = 0, variance = 0;
        for (int64_t c = 0; c < channels; c++)
            mean += (double)x[(c / 8 * pixels + p) * 8 + c % 8] / (double)channels;
        for (int64_t c = 0; c < channels; c++) {
            /* the definition takes real channels alone */
            const double d = (double)x[(c / 8 * pixels + p) * 8 + c % 8] - mean;
            variance += d * d / (double)channels;
        }
        for (int64_t c = 0; c < channels; c++) {
            const int64_t at = (c / 8 * pixels + p) * 8 + c % 8;
            const double z = ((double)x[at] - mean) / sqrt(variance + 1e-3) * (double)scale[c];
            check_near(y[at], p < p0 ? (double)CANARY : z + (with_add ? (double)add[c] : 0), 2e-6, what, at);
        }
    }
    check_free(x, n, what), check_free(y, n, what), check_free(whole, n, what);
    check_free(scale, channels, what), check_free(add, channels, what);
}

/* A block of channels to eight lanes and back, pixels [p0, p1) alone: lanes past the last channel become zero, other
 * pixels keep what they have. */
static void check_reorder(const ingot_kernels *k, int64_t channels, int64_t pixels, int64_t p0, int64_t p1)
{
    const int64_t have = channels < 8 ? channels : 8;
    float *x = check_randoms(channels * pixels), *y = check_floats(8 * pixels), *z = check_floats(have * pixels);

    k->block_f32(y, x, channels, pixels, p0, p1);
    k->unblock_f32(z, y, channels, pixels, p0, p1);
    for (int64_t p = 0; p < pixels; p++)
        for (int64_t c = 0; c < 8; c++) {
            /* pixels outside of the range keep their canaries, both ways */
            const bool inside = p >= p0 && p < p1;
            const float want = !inside ? CANARY : c < channels ? x[c * pixels + p] : 0.0f;
            check_near(y[p * 8 + c], (double)want, 0, "block", p * 8 + c);
            if (c < have)
                check_near(z[c * pixels + p], (double)want, 0, "unblock", c * pixels + p);
        }
    check_free(x, channels * pixels, "x"), check_free(y, 8 * pixels, "block"), check_free(z, have * pixels, "unblock");
}

/* Output element (z, y, x) of lane c by the definition. */
static double pool_at(const ingot_pool *d, const float *src, const int64_t *at, int c)
{
    double result = d->max ? -INFINITY : 0;
    int64_t t[3], count = 0;

    for (t[0] = 0; t[0] < d->kernel[0]; t[0]++)
        for (t[1] = 0; t[1] < d->kernel[1]; t[1]++)
            for (t[2] = 0; t[2] < d->kernel[2]; t[2]++) {
                int64_t offset = 0;
                bool inside = true, padded = true;
                for (int i = 0; i < 3; i++) {
                    /* in the source, or only in its padding, which averages may count */
                    const int64_t p = at[i] * d->stride[i] + t[i] * d->dilation[i] - d->pad[i];
                    inside &= p >= 0 && p < d->in[i];
                    padded &= p < d->in[i] + d->pad_end[i];
                    offset = offset * d->in[i] + p;
                }
                count += d->count_padding ? padded : inside;
                if (!inside)
                    continue;
                const double v = (double)src[offset * 8 + c];
                result = !d->max ? result + v : isnan(v) || v > result ? v : result;
            }
    return d->max ? result : count ? result / (double)count : 0;
}

/* One pool over `blocks` channel blocks, computed in two ranges of rows, with a NaN in the middle of the source: a
 * window that meets it gives NaN, others do not notice. */
static void check_pool(const ingot_kernels *k, ingot_pool d, int64_t blocks)
{
    int64_t in = blocks * 8, out = blocks * 8, at[3];
    for (int i = 0; i < 3; i++)
        in *= d.in[i], out *= d.out[i];
    float *x = check_randoms(in), *y = check_floats(out);
    x[in / 2] = NAN;
    const int64_t rows = blocks * d.out[0] * d.out[1], row = d.out[2] * 8;
    char what[96];

    snprintf(what, sizeof what, "pool %s max %d %lldx%lld kernel %lld stride %lld pad %lld", k->isa, d.max,
             (long long)d.in[1], (long long)d.in[2], (long long)d.kernel[2], (long long)d.stride[2],
             (long long)d.pad[2]);
    /* two ranges of rows */
    k->pool_blocked_f32(&d, x, y, 0, rows / 2);
    k->pool_blocked_f32(&d, x, y, rows / 2, rows);
    for (int64_t r = 0; r < rows; r++)
        for (int64_t i = 0; i < row; i++) {
            const int64_t block = r / (d.out[0] * d.out[1]);
            at[0] = r / d.out[1] % d.out[0], at[1] = r % d.out[1], at[2] = i / 8;
            check_near(y[r * row + i], pool_at(&d, x + block * in / blocks, at, (int)(i % 8)), 1e-6, what, r * row + i);
        }
    check_free(x, in, what), check_free(y, out, what);
}

/* Windows of three columns that lack their first or last one, or none, in rows of all widths that are few; of one row
 * to three, and cut off above and below. */
static void check_pools_of_three(const ingot_kernels *k)
{
    for (int64_t stride = 1; stride <= 2; stride++)
        for (int64_t pad = 0; pad < 2; pad++)
            for (int64_t lacks = 0; lacks < 2; lacks++)
                for (int64_t width = 3 - pad; width < 12; width++)
                    for (int64_t rows = 1; rows <= 3; rows++) {
                        const int64_t room = width + pad - 3 + lacks, from = rows == 3 ? pad : 0;
                        const ingot_pool d = { .in = { 1, 5, width }, .kernel = { 1, rows, 3 }, .max = true,
                                               .out = { 1, (5 + 2 * from - rows) / stride + 1, room / stride + 1 },
                                               .stride = { 1, stride, stride }, .dilation = { 1, 1, 1 },
                                               .pad = { 0, from, pad }, .pad_end = { 0, from, lacks } };
                        check_pool(k, d, 3);
                    }
}

/* Kernels 1 to 3 by strides 1 to 3, with and without dilation, padding, padding that counts and a last window that
 * begins in the padding; both maximum and average. Then three dimensions, and rows wider than the kernel's buffer. */
static void check_pools(const ingot_kernels *k)
{
    for (int kernel = 1; kernel <= 3; kernel++)
        for (int stride = 1; stride <= 3; stride++)
            for (int bits = 0; bits < 16; bits++) {
                /* each bit is an option; the last one chooses between maximum and average */
                const int64_t dilation = bits & 1 ? 2 : 1, pad = bits & 2 ? kernel - 1 : 0, extra = bits & 4 ? 1 : 0;
                ingot_pool d = { .in = { 1, 7, 11 }, .out = { 1, 1, 1 }, .kernel = { 1, kernel, kernel },
                                 .stride = { 1, stride, stride }, .dilation = { 1, dilation, dilation },
                                 .pad = { 0, pad, pad }, .pad_end = { 0, pad, pad },
                                 .max = bits & 8, .count_padding = bits & 4 };
                for (int i = 1; i < 3; i++)
                    d.out[i] =
                        (d.in[i] + 2 * pad - (kernel - 1) * dilation - 1) / stride + 1 + (stride > 1 ? extra : 0);
                check_pool(k, d, 3);
            }
    check_pool(k, (ingot_pool){ .in = { 4, 5, 6 }, .out = { 2, 3, 3 }, .kernel = { 2, 2, 3 }, .stride = { 2, 2, 2 },
                                .dilation = { 1, 1, 1 }, .pad = { 0, 1, 1 }, .pad_end = { 0, 1, 1 } }, 2);
    ingot_pool wide = { .in = { 2, 3, 420 }, .out = { 2, 2, 420 }, .kernel = { 1, 2, 3 }, .stride = { 1, 1, 1 },
                        .dilation = { 1, 1, 1 }, .pad = { 0, 0, 1 }, .pad_end = { 0, 0, 1 } };
    for (int max = 0; max < 2; max++) {
        wide.max = max;
        wide.kernel[2] = 3;
        wide.out[2] = 420;
        check_pool(k, wide, 2);                      /* rows longer than the buffer, then windows that are */
        wide.kernel[2] = 201;
        wide.out[2] = 222;
        check_pool(k, wide, 1);
    }
}

/* What would be a denormal is 0: a mask of -100 does not cost a hundred times the time. */
static void check_softmax_far(const ingot_kernels *k, int64_t n)
{
    float *x = check_floats(n), *y = check_floats(n);

    for (int64_t i = 0; i < n; i++)
        x[i] = i % 3 ? -100.0f : 2.0f;
    k->softmax_f32(y, x, n);
    k->softmax_scaled_f32(x, n, 1, n, 1.0f, NULL, 0);
    for (int64_t i = 0; i < n; i++) {
        const double want = i % 3 ? 0 : 1.0 / (double)((n + 2) / 3);
        check_near(y[i], want, want * 1e-6, "softmax far", i);
        check_near(x[i], want, want * 1e-6, "softmax_scaled far", i);
    }
    check_free(x, n, "softmax far"), check_free(y, n, "softmax far");
}

/* The mean over all pixels of a block, one for each channel. */
static void check_mean(const ingot_kernels *k, int64_t pixels)
{
    float *x = check_randoms(pixels * 8), *y = check_floats(8);
    double want[8] = { 0 };

    for (int64_t i = 0; i < pixels * 8; i++)
        want[i % 8] += (double)x[i] / (double)pixels;
    k->mean_blocked_f32(y, x, pixels);
    for (int i = 0; i < 8; i++)
        check_near(y[i], want[i], 1e-6, "mean_blocked", i);
    check_free(x, pixels * 8, "x"), check_free(y, 8, "mean_blocked");
}

/* Lengths up to 70 cross two vectors and every tail; the long ones need sums in parts. Each kernel that treats NaN
 * and -infinity on purpose gets a row with one. */
static void test(const ingot_kernels *k)
{
    for (int64_t n = 1; n <= 70; n++) {
        check_norm(k, n);
        check_norm_rows(k, n % 20 + 1, n, n & 1);
        check_softmax(k, n, 0.0f);
        check_softmax_far(k, n);
        check_scale_blocked(k, n);
        check_mean(k, n);
    }
    /* longer than the chunks that sums are taken in */
    check_norm(k, 5000);
    check_norm_rows(k, 3, 5000, true);
    check_softmax(k, 1000, 0.0f);
    /* a special value in a row of whole vectors and a tail */
    check_softmax(k, 37, -INFINITY);
    check_softmax(k, 37, NAN);
    check_mean(k, 1000);
    for (int64_t n = 1; n <= 70; n++)
        check_softmax_scaled(k, n % 11 + 1, n, n & 1, 0.0f);
    check_softmax_scaled(k, 2, 1000, true, 0.0f);
    check_softmax_scaled(k, 3, 37, true, -INFINITY);
    check_softmax_scaled(k, 3, 37, true, NAN);
    check_softmax_scaled(k, 1, 1, true, -INFINITY);
    for (int64_t n = 1; n <= 37; n++)
        check_softmax_columns(k, n, (int)(n % 2) + 1, n % 3, 0.0f);
    check_softmax_columns(k, 13, 1, false, -INFINITY);
    check_softmax_columns(k, 13, 2, true, NAN);
    /* whole blocks and parts of one, groups of pixels and their rests, and as many as are held at a time */
    for (int64_t pixels = 61; pixels <= 150; pixels += 11)
        check_norm_channels(k, pixels % 2 ? 40 : 13, pixels, pixels / 7, pixels & 2);
    check_norm_channels(k, 600, 37, 3, true);
    for (int64_t channels = 1; channels <= 41; channels += 4)
        for (int64_t pixels = 1; pixels <= 19; pixels++)
            check_norm_channels(k, channels, pixels, pixels / 3, channels & 4);
    for (int64_t channels = 1; channels <= 10; channels++)
        for (int64_t pixels = 1; pixels <= 40; pixels += 13)
            check_reorder(k, channels, pixels, pixels / 4, pixels);
    check_pools(k);
    check_pools_of_three(k);
}

int main(void) { return check_every_isa(test, false); }
