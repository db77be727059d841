/* fft.c - powers of two by halving (Cooley and Tukey, 1965). Any other length n becomes a convolution with a chirp,
 * since 2jk = jj + kk - (k - j)(k - j), and that two transforms of a power of two (Bluestein, 1970). */
#include "ops/fft.h"

#include <math.h>

static const double pi = 3.14159265358979323846;

/* Index i becomes the one with its bits in the other order. `bit` adds one to j from the top; numbers are exchanged
 * once, when i is the smaller. */
static void reverse_bits(double *data, int64_t m)
{
    for (int64_t i = 1, j = 0; i < m; i++) {
        int64_t bit = m >> 1;
        for (; j & bit; bit >>= 1)
            j ^= bit;
        j ^= bit;
        for (int k = 0; k < 2 && i < j; k++) {
            const double moved = data[2 * i + k];
            data[2 * i + k] = data[2 * j + k];
            data[2 * j + k] = moved;
        }
    }
}

/* Transform of the power of two, in place: pairs of numbers become transforms of length 2, those become ones of length
 * 4, and so on, each time by a[k] + root b[k] and a[k] - root b[k]. */
static void transform(const ingot_fft *fft, double *data)
{
    const int64_t m = fft->m;

    reverse_bits(data, m);
    /* Transforms of length `half` become ones of twice that. */
    for (int64_t half = 1; half < m; half *= 2)
        for (int64_t first = 0; first < m; first += 2 * half)
            for (int64_t k = 0; k < half; k++) {
                const double *root = fft->roots + 2 * (k * (m / (2 * half)));
                double *a = data + 2 * (first + k), *b = a + 2 * half;
                const double re = b[0] * root[0] - b[1] * root[1], im = b[0] * root[1] + b[1] * root[0];
                b[0] = a[0] - re;
                b[1] = a[1] - im;
                a[0] += re;
                a[1] += im;
            }
}

/* n complex numbers in place. */
static void conjugate(double *data, int64_t n)
{
    for (int64_t i = 0; i < n; i++)
        data[2 * i + 1] = -data[2 * i + 1];
}

/* to = a b, n complex numbers; `to` may be a or b. */
static void multiply(double *to, const double *a, const double *b, int64_t n)
{
    for (int64_t i = 0; i < n; i++) {
        const double re = a[2 * i] * b[2 * i] - a[2 * i + 1] * b[2 * i + 1];
        to[2 * i + 1] = a[2 * i] * b[2 * i + 1] + a[2 * i + 1] * b[2 * i];
        to[2 * i] = re;
    }
}

/* The tables. A chirp needs a power of two of 2n - 1 or more, so that the convolution does not wrap into what is read.
 * A length past 2^40 has no tables that fit in memory. */
bool ingot_fft_plan(ingot_op_ctx *c, int64_t n, ingot_fft *fft)
{
    const bool is_power = (n & (n - 1)) == 0;

    *fft = (ingot_fft){ .n = n, .m = 1 };
    if (n > INT64_C(1) << 40)
        return false;
    while (fft->m < (is_power ? n : 2 * n - 1))
        fft->m *= 2;
    fft->roots = ingot_keep(c, (size_t)fft->m * sizeof(double));
    if (!fft->roots)
        return false;
    for (int64_t k = 0; k < fft->m / 2; k++) {
        fft->roots[2 * k] = cos(2 * pi * (double)k / (double)fft->m);
        fft->roots[2 * k + 1] = -sin(2 * pi * (double)k / (double)fft->m);
    }
    if (is_power)
        return true;
    fft->chirp = ingot_keep(c, 2 * (size_t)n * sizeof(double));
    fft->spectrum = ingot_keep(c, 2 * (size_t)fft->m * sizeof(double));
    if (!fft->chirp || !fft->spectrum)
        return false;
    /* exp(-pi i k k / n) repeats after 2n, so k k is kept modulo 2n: large squares would lose the fraction of the
     * angle. */
    for (int64_t k = 0, square = 0; k < n; square = (square + 2 * k + 1) % (2 * n), k++) {   /* square: k k mod 2n */
        const double angle = pi * (double)square / (double)n;
        fft->chirp[2 * k] = cos(angle);
        fft->chirp[2 * k + 1] = -sin(angle);
        for (int part = 0; part < 2; part++) {
            const double value = part ? sin(angle) : cos(angle);
            fft->spectrum[2 * k + part] = value;
            fft->spectrum[2 * ((fft->m - k) % fft->m) + part] = value;
        }
    }
    /* The chirp's conjugate is needed transformed only. */
    transform(fft, fft->spectrum);
    return true;
}

/* A power of two is transformed in place. */
int64_t ingot_fft_scratch(const ingot_fft *fft) { return fft->chirp ? 2 * fft->m : 0; }

/* The inverse is the conjugate of the transform of the conjugate, divided by n, so that one set of tables does for
 * both. */
void ingot_fft_run(const ingot_fft *fft, double *data, double *scratch, bool inverse)
{
    const int64_t n = fft->n, m = fft->m;

    if (inverse)
        conjugate(data, n);
    if (!fft->chirp) {
        transform(fft, data);
    } else {
        /* Times the chirp, padded with zeros, convolved with the chirp's conjugate, times the chirp. */
        multiply(scratch, data, fft->chirp, n);
        for (int64_t i = 2 * n; i < 2 * m; i++)
            scratch[i] = 0;
        transform(fft, scratch);
        multiply(scratch, scratch, fft->spectrum, m);
        conjugate(scratch, m);                   /* back: the conjugate of the transform of the conjugate, over m */
        transform(fft, scratch);
        conjugate(scratch, n);
        multiply(data, scratch, fft->chirp, n);
        for (int64_t i = 0; i < 2 * n; i++)
            data[i] /= (double)m;
    }
    for (int64_t i = 0; i < 2 * n && inverse; i++)
        data[i] /= (double)n;
    if (inverse)
        conjugate(data, n);
}
