/* fft.h - the discrete Fourier transform of any length, in double. Complex numbers are pairs (real, imaginary). */
#ifndef INGOT_OPS_FFT_H
#define INGOT_OPS_FFT_H

#include "ops/op.h"

typedef struct ingot_fft {
    int64_t n;                 /* length */
    int64_t m;                 /* of the power of two that it is computed with */
    double *roots;             /* exp(-2 pi i k / m) for k < m / 2 */
    double *chirp;             /* exp(-pi i k k / n) for k < n, and the transform of its conjugate; NULL: n is m */
    double *spectrum;
} ingot_fft;

/* In prepare(): tables for length n >= 1. False: memory is out. */
bool ingot_fft_plan(ingot_op_ctx *c, int64_t n, ingot_fft *fft);

/* Doubles of scratch memory that a run needs. */
int64_t ingot_fft_scratch(const ingot_fft *fft);

/* data[k] = sum of exp(-2 pi i j k / n) data[j]; with `inverse` the other sign, divided by n. */
void ingot_fft_run(const ingot_fft *fft, double *data, double *scratch, bool inverse);

#endif
