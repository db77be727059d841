/* image_resize.c - scaling pictures as Pillow does, bit for bit: a filter whose width grows with the reduction
 * (antialiased), first along rows and then along columns, in 22-bit fixed point, each pass rounded to bytes. So what a
 * model trained with torchvision sees on PIL images is what it sees here. Source: Pillow, "Resample.c" (the method). */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "cli/cli.h"

enum { PRECISION = 22 };

/* ---- filters: their value at a distance, which is 0 from `support` on ------------------------------------------- */

static double bilinear(double x) { return fabs(x) < 1 ? 1 - fabs(x) : 0; }

/* Keys' cubic convolution with a = -0.5. */
static double bicubic(double x)
{
    const double a = -0.5;
    x = fabs(x);
    if (x < 1)
        return ((a + 2) * x - (a + 3)) * x * x + 1;
    return x < 2 ? (((x - 5) * x + 8) * x - 4) * a : 0;
}

static double sinc(double x) { return x == 0 ? 1 : sin(x * M_PI) / (x * M_PI); }

static double lanczos(double x) { return fabs(x) < 3 ? sinc(x) * sinc(x / 3) : 0; }

/* In the order of --filter's words. */
static const struct {
    double support, (*at)(double x);
} filters[] = {{1, bilinear}, {2, bicubic}, {3, lanczos}};

/* ---- one direction ---------------------------------------------------------------------------------------------- */

/* For each place of the result, the first source place, how many, and their weights. */
typedef struct taps {
    size_t most;
    size_t *first, *n;
    int32_t *weights; /* `most` for each */
} taps;

static void free_taps(taps *t)
{
    free(t->first);
    free(t->n);
    free(t->weights);
}

/* Weights add up to one before they are rounded. False when memory is out. */
static bool make_taps(taps *t, size_t from, size_t to, int filter)
{
    const double scale = (double)from / (double)to, wide = fmax(scale, 1), support = filters[filter].support * wide;
    t->most = (size_t)ceil(support) * 2 + 1;
    t->first = calloc(to, sizeof *t->first);
    t->n = calloc(to, sizeof *t->n);
    t->weights = calloc(to, t->most * sizeof *t->weights);
    double *exact = calloc(t->most, sizeof *exact);
    const bool made = t->first && t->n && t->weights && exact;
    for (size_t i = 0; i < to && made; i++) {
        const double centre = ((double)i + 0.5) * scale;
        const int64_t low = (int64_t)(centre - support + 0.5), high = (int64_t)(centre + support + 0.5);
        double sum = 0;
        t->first[i] = low > 0 ? (size_t)low : 0;
        t->n[i] = (high < (int64_t)from ? (size_t)high : from) - t->first[i];
        for (size_t k = 0; k < t->n[i]; k++)
            sum += exact[k] = filters[filter].at(((double)(t->first[i] + k) - centre + 0.5) / wide);
        for (size_t k = 0; k < t->n[i]; k++) {
            const double weight = (sum != 0 ? exact[k] / sum : exact[k]) * (1 << PRECISION);
            t->weights[i * t->most + k] = (int32_t)(weight < 0 ? weight - 0.5 : weight + 0.5);
        }
    }
    free(exact);
    return made;
}

/* One element of the result: source elements lie `stride` bytes apart. */
static uint8_t weigh(const uint8_t *src, size_t stride, const int32_t *weights, size_t n)
{
    int32_t sum = 1 << (PRECISION - 1);
    for (size_t k = 0; k < n; k++)
        sum += src[k * stride] * weights[k];
    sum >>= PRECISION;
    return sum < 0 ? 0 : sum > 255 ? 255 : (uint8_t)sum;
}

/* ---- both directions -------------------------------------------------------------------------------------------- */

static void scale_rows(const cli_pixels *src, cli_pixels *dst, const taps *t)
{
    const size_t c = src->channels;
    for (size_t y = 0; y < dst->height; y++)
        for (size_t x = 0; x < dst->width; x++)
            for (size_t k = 0; k < c; k++)
                dst->data[(y * dst->width + x) * c + k] =
                    weigh(src->data + (y * src->width + t->first[x]) * c + k, c, t->weights + x * t->most, t->n[x]);
}

static void scale_columns(const cli_pixels *src, cli_pixels *dst, const taps *t)
{
    const size_t row = src->width * src->channels;
    for (size_t y = 0; y < dst->height; y++)
        for (size_t x = 0; x < row; x++)
            dst->data[y * row + x] =
                weigh(src->data + t->first[y] * row + x, row, t->weights + y * t->most, t->n[y]);
}

/* One pass; the picture is replaced. */
static ingot_status scale(const char *path, cli_pixels *p, bool rows, size_t to, int filter, ingot_error *error)
{
    cli_pixels scaled = {.data = NULL};
    taps t = {.most = 0};
    ingot_status st = cli_pixels_alloc(path, rows ? to : p->width, rows ? p->height : to, p->channels, &scaled, error);
    if (!st && !make_taps(&t, rows ? p->width : p->height, to, filter))
        st = cli_fail_file(error, INGOT_LIMIT, path, "out of memory");
    if (!st) {
        (rows ? scale_rows : scale_columns)(p, &scaled, &t);
        free(p->data);
        *p = scaled;
    } else {
        free(scaled.data);
    }
    free_taps(&t);
    return st;
}

/* A direction whose size stays is left as it is, as Pillow does. */
ingot_status cli_pixels_resize(const char *path, cli_pixels *p, size_t width, size_t height, int filter,
                               ingot_error *error)
{
    ingot_status st = INGOT_OK;
    if (width != p->width)
        st = scale(path, p, true, width, filter, error);
    if (!st && height != p->height)
        st = scale(path, p, false, height, filter, error);
    return st;
}
