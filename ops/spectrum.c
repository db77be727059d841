/* spectrum.c - tables for spectra, made from a few numbers: HannWindow, HammingWindow, BlackmanWindow,
 * MelWeightMatrix. */
#include <math.h>
#include <string.h>

#include "ops/op.h"
#include "ops/scalar.h"

static const double pi = 3.14159265358979323846;

/* output_datatype, FLOAT unless given. */
static ingot_status read_dtype(ingot_op_ctx *c, ingot_dtype *dtype)
{
    const int64_t wanted = ingot_attr_int(c->node, "output_datatype", INGOT_FLOAT);

    *dtype = INGOT_FLOAT;
    if (wanted <= 0 || wanted >= INGOT_N_DTYPES || !(INGOT_TYPES_NUMERIC >> wanted & 1))
        return ingot_op_fail(c, INGOT_INVALID, "attribute 'output_datatype': type %lld is not allowed",
                             (long long)wanted);
    *dtype = (ingot_dtype)wanted;
    return INGOT_OK;
}

/* One integer of at least 0 from input i. LATER while it is not known, INVALID otherwise. */
static ingot_status read_size(ingot_op_ctx *c, int i, int64_t *size)
{
    int n = 0;
    ingot_status st = ingot_ints(c, i, size, 1, &n);

    if (!st && (n != 1 || *size < 0))
        return ingot_op_fail(c, INGOT_INVALID, "input %d must be one number that is not negative", i);
    return st;
}

/* A window of 'size' numbers; size is content and must be known. */
static ingot_status infer_window(ingot_op_ctx *c)
{
    int64_t size = 0;
    ingot_dtype dtype;
    ingot_status st = read_dtype(c, &dtype);

    if (st || (st = read_size(c, 0, &size)))
        return st;
    return ingot_out(c, 0, dtype, 1, &size);
}

/* Element i of a window of length n: a sum of cosines of i / n, with the window's own coefficients. A symmetric
 * window ends where it began, so that n is one less than its size. */
static ingot_status fill_window(ingot_op_ctx *c, double constant, double first, double second)
{
    const int64_t size = ingot_count(c->out[0]);
    const double n = (double)(ingot_attr_int(c->node, "periodic", 1) ? size : size - 1);

    for (int64_t i = 0; i < size; i++)
        ingot_put_double(c->out[0], i,
                         constant + first * cos(2 * pi * (double)i / n) + second * cos(4 * pi * (double)i / n));
    return INGOT_OK;
}

/* Coefficients as the standard gives them. */
static ingot_status run_hann(ingot_op_ctx *c) { return fill_window(c, 0.5, -0.5, 0); }
static ingot_status run_hamming(ingot_op_ctx *c) { return fill_window(c, 25.0 / 46, -21.0 / 46, 0); }
static ingot_status run_blackman(ingot_op_ctx *c) { return fill_window(c, 0.42, -0.5, 0.08); }

/* ---- MelWeightMatrix: a triangle over the frequencies of a spectrum for every band ---- */

/* Inputs of MelWeightMatrix, all of them scalars. */
enum { BANDS, LENGTH, RATE, LOW, HIGH };

/* (dft_length / 2 + 1, num_mel_bins): what a spectrum is multiplied with. */
static ingot_status infer_mel(ingot_op_ctx *c)
{
    int64_t bands = 0, length = 0;
    ingot_dtype dtype;
    ingot_status st = read_dtype(c, &dtype);

    if (st || (st = read_size(c, BANDS, &bands)) || (st = read_size(c, LENGTH, &length)))
        return st;
    return ingot_out(c, 0, dtype, 2, (int64_t[]){ length / 2 + 1, bands });
}

/* Mel = 2595 log10(1 + f / 700), and its inverse below; log1p and expm1 keep small ones exact. */
static double to_mel(double hertz) { return 2595 * log1p(hertz / 700) / log(10.0); }
static double to_hertz(double mel) { return 700 * expm1(mel / 2595 * log(10.0)); }

/* Column `band` rises from frequency bin at[0] to 1 at at[1] and falls until at[2]; at is in whole bins. INVALID when
 * a bin lies outside of the spectrum. */
static ingot_status fill_band(ingot_op_ctx *c, int64_t band, const double *at)
{
    ingot_tensor *y = c->out[0];
    const double rows = (double)y->shape[0];

    if (!(at[0] >= 0 && at[0] <= at[1] && at[1] <= at[2] && at[1] < rows && at[2] <= rows))
        return ingot_op_fail(c, INGOT_INVALID, "band %lld lies outside of the spectrum", (long long)band);
    for (int64_t row = (int64_t)at[0]; (double)row <= at[1]; row++)
        ingot_put_double(y, row * y->shape[1] + band, at[1] > at[0] ? ((double)row - at[0]) / (at[1] - at[0]) : 1);
    for (int64_t row = (int64_t)at[1]; (double)row < at[2]; row++)
        ingot_put_double(y, row * y->shape[1] + band, (at[2] - (double)row) / (at[2] - at[1]));
    return INGOT_OK;
}

/* Edges are evenly spaced in mel, then rounded down to bins; band k is a triangle over edges k to k + 2. Inputs are
 * scalars: number of bands, DFT length, sample rate and the two edges in hertz. */
static ingot_status run_mel(ingot_op_ctx *c)
{
    int64_t bands = 0, length = 0, rate = 0;
    ingot_status st;

    if ((st = read_size(c, BANDS, &bands)) || (st = read_size(c, LENGTH, &length)) || (st = read_size(c, RATE, &rate)))
        return st;
    if (rate < 1 || ingot_count(c->in[LOW]) != 1 || ingot_count(c->in[HIGH]) != 1)
        return ingot_op_fail(c, INGOT_INVALID, "sample_rate must be positive, and each edge one number");
    const double low = to_mel(ingot_double_at(c->in[LOW], 0)), high = to_mel(ingot_double_at(c->in[HIGH], 0));
    const double step = (high - low) / (double)(bands + 2);
    if (ingot_storage_bytes(c->out[0]))
        memset(c->out[0]->data, 0, ingot_storage_bytes(c->out[0]));
    /* Three edges make a band. */
    for (int64_t band = 0; band < bands && !st; band++) {
        double at[3];
        for (int k = 0; k < 3; k++)
            at[k] = floor((double)(length + 1) * to_hertz((double)(band + k) * step + low) / (double)rate);
        st = fill_band(c, band, at);
    }
    return st;
}

#define I INGOT_TYPES_INDEX
#define F INGOT_TYPES_FLOAT

const ingot_op ingot_ops_spectrum[] = {
    { "HannWindow", 17, 1, 1, { I }, infer_window, run_hann },
    { "HammingWindow", 17, 1, 1, { I }, infer_window, run_hamming },
    { "BlackmanWindow", 17, 1, 1, { I }, infer_window, run_blackman },
    { "MelWeightMatrix", 17, 5, 5, { I, I, I, F, F }, infer_mel, run_mel },
    {0},
};
