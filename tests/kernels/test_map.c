/* test_map.c - functions of one and two variables: against the C library in double, over special values and random
 * numbers of every magnitude, in place, and cut into ranges. */
#include "check.h"

/* Largest error allowed, in units in the last place of the true result, plus `absolute` where terms cancel or a
 * function has zeros away from 0. */
static const struct {
    ingot_map function;
    const char *name;
    double ulps, absolute, low, high;          /* low, high: random arguments, besides those of every magnitude */
    float a, b;
} maps[] = {
    { INGOT_MAP_ABS, "abs", 0, 0, -9, 9, 0, 0 },
    { INGOT_MAP_NEG, "neg", 0, 0, -9, 9, 0, 0 },
    { INGOT_MAP_CEIL, "ceil", 0, 0, -9, 9, 0, 0 },
    { INGOT_MAP_FLOOR, "floor", 0, 0, -9, 9, 0, 0 },
    { INGOT_MAP_ROUND, "round", 0, 0, -9, 9, 0, 0 },
    { INGOT_MAP_SIGN, "sign", 0, 0, -9, 9, 0, 0 },
    { INGOT_MAP_SQRT, "sqrt", 0.51, 0, 0, 9, 0, 0 },
    { INGOT_MAP_RECIPROCAL, "reciprocal", 0.51, 0, -9, 9, 0, 0 },
    { INGOT_MAP_EXP, "exp", 2, 0, -104, 89, 0, 0 },
    { INGOT_MAP_LOG, "log", 2, 0, 0, 4, 0, 0 },
    { INGOT_MAP_SIN, "sin", 2, 1e-7, -20, 20, 0, 0 },
    { INGOT_MAP_COS, "cos", 2, 1e-7, -20, 20, 0, 0 },
    { INGOT_MAP_TAN, "tan", 2, 0, -9, 9, 0, 0 },
    { INGOT_MAP_ASIN, "asin", 2, 0, -1, 1, 0, 0 },
    { INGOT_MAP_ACOS, "acos", 2, 0, -1, 1, 0, 0 },
    { INGOT_MAP_ATAN, "atan", 2, 0, -9, 9, 0, 0 },
    { INGOT_MAP_SINH, "sinh", 3, 0, -9, 9, 0, 0 },
    { INGOT_MAP_COSH, "cosh", 3, 0, -9, 9, 0, 0 },
    { INGOT_MAP_TANH, "tanh", 3, 0, -10, 10, 0, 0 },
    { INGOT_MAP_ASINH, "asinh", 3, 0, -9, 9, 0, 0 },
    { INGOT_MAP_ACOSH, "acosh", 3, 0, 1, 9, 0, 0 },
    { INGOT_MAP_ATANH, "atanh", 3, 0, -1, 1, 0, 0 },
    { INGOT_MAP_ERF, "erf", 3, 0, -4, 4, 0, 0 },
    { INGOT_MAP_RELU, "relu", 0, 0, -9, 9, 0, 0 },
    { INGOT_MAP_CLIP, "clip", 0, 0, -9, 9, -1.5f, 2.25f },
    { INGOT_MAP_CLIP, "clip, crossed", 0, 0, -9, 9, 3.0f, -2.0f },
    { INGOT_MAP_LEAKY_RELU, "leaky_relu", 0.51, 0, -9, 9, 0.1f, 0 },
    { INGOT_MAP_ELU, "elu", 3, 0, -20, 4, 1.5f, 0 },
    { INGOT_MAP_SELU, "selu", 4, 0, -20, 4, 1.6732632f, 1.050701f },
    { INGOT_MAP_CELU, "celu", 4, 0, -20, 4, 0.7f, 0 },
    { INGOT_MAP_SIGMOID, "sigmoid", 4, 0, -100, 30, 0, 0 },
    { INGOT_MAP_HARD_SIGMOID, "hard_sigmoid", 2, 1e-7, -9, 9, 0.2f, 0.5f },
    { INGOT_MAP_HARD_SWISH, "hard_swish", 2, 4e-7, -9, 9, 0, 0 },
    { INGOT_MAP_SOFTPLUS, "softplus", 4, 0, -30, 30, 0, 0 },
    { INGOT_MAP_SOFTSIGN, "softsign", 2, 0, -9, 9, 0, 0 },
    { INGOT_MAP_THRESHOLDED_RELU, "thresholded_relu", 0, 0, -9, 9, 0.75f, 0 },
    { INGOT_MAP_GELU, "gelu", 8, 5e-8, -6, 6, 0, 0 },
    { INGOT_MAP_GELU_TANH, "gelu_tanh", 4, 5e-8, -6, 6, 0, 0 },
    { INGOT_MAP_MISH, "mish", 4, 1e-37, -30, 30, 0, 0 },
    { INGOT_MAP_SWISH, "swish", 4, 4e-7, -30, 30, 1.5f, 0 },
    { INGOT_MAP_SHRINK, "shrink", 0.51, 0, -9, 9, 1.5f, 0.5f },
};

/* N: many rounds of any vector length, and odd, so that there is always a tail. */
enum { N_MAPS = sizeof maps / sizeof *maps, N = 20011 };

/* The largest error of each function so far, in units in the last place; told where it is more than one. */
static double worst[N_MAPS];

/* A special value, a number of any magnitude, or one of [low, high]. */
static float argument(int64_t i, double low, double high)
{
    static const float special[] = {
        0.0f,          -0.0f,          NAN,      INFINITY, -INFINITY, 1e-45f, -1e-45f, 1e-39f, -1e-39f, 1.17549435e-38f,
        3.4028235e38f, -3.4028235e38f, 1,        -1,       0.5f,      -0.5f,  1.5f,    2.5f,   -2.5f,   8388607.5f,
        88.72283f,     -87.33654f,     -103.97f, 0.625f,   4,         -4,     1e-10f,  8192,   8193,    1e9f};
    const int64_t n_special = sizeof special / sizeof *special;

    if (i < n_special)
        return special[i];
    /* half in the function's own range, half of any magnitude from 2^-60 to 2^60 */
    if (i % 2)
        return (float)(low + (high - low) * 0.5 * (1 + (double)check_random()));
    return ldexpf(check_random(), (int)(60 * check_random()));
}

/* One unit in the last place of x as a float; below the normal numbers, of the smallest of them. */
static double ulp_of(float x)
{
    int exponent;
    frexpf(x, &exponent);
    return ldexp(1.0, (exponent < -125 ? -125 : exponent) - 24);
}

/* Is a function 0 for x, rather than so small that its products with other numbers are denormals? */
static bool vanishes(ingot_map function, double x) { return function == INGOT_MAP_SIGMOID && x < -80; }

/* One function over N arguments: apart from dst to y, and in place in pieces of 1 to 37 elements to z. Both must
 * have the same bits, as an array is cut differently for another number of threads; and y must be as near to the
 * double function as the table says. */
static void check_map(const ingot_kernels *k, int m)
{
    float *x = check_floats(N), *y = check_floats(N), *z = check_floats(N);

    for (int64_t i = 0; i < N; i++)
        z[i] = x[i] = argument(i, maps[m].low, maps[m].high);
    k->map_f32(maps[m].function, y, x, N, maps[m].a, maps[m].b);
    /* pieces of every length up to 37, which begin at every offset within a vector */
    for (int64_t at = 0, n = 1; at < N; at += n, n = n % 37 + 1)
        k->map_f32(maps[m].function, z + at, z + at, n < N - at ? n : N - at, maps[m].a, maps[m].b);
    for (int64_t i = 0; i < N; i++) {
        const double in = x[i];
        double want;
        k->map_f64(maps[m].function, &want, &in, 1, maps[m].a, maps[m].b);
        if (vanishes(maps[m].function, in))
            want = 0;
        check_count++;
        if (memcmp(&y[i], &z[i], sizeof *y) && !(isnan(y[i]) && isnan(z[i])))
            check_fail("%s %s(%.9g): %.9g in one range, %.9g in another", maps[m].name, k->isa, in, y[i], z[i]);
        if (isnan(want) ? isnan(y[i]) : (float)want == y[i])
            continue;
        if (isnan(want) && isinf(in))      /* a product with an infinity that the definition leaves open */
            continue;
        const double error = fabs(y[i] - want), ulps = (error - maps[m].absolute) / ulp_of((float)want);
        if (isnan(y[i]) || isinf(y[i]) || !(ulps <= maps[m].ulps))
            check_fail("%s %s(%.9g): got %.9g, wanted %.9g, %.2f ulp", maps[m].name, k->isa, in, y[i], want, ulps);
        worst[m] = fmax(worst[m], error / ulp_of((float)want));
    }
    check_free(x, N, maps[m].name), check_free(y, N, maps[m].name), check_free(z, N, maps[m].name);
}

/* The definition of a function of two variables; NaN spreads. */
static double binary(ingot_binary function, double x, double y)
{
    switch (function) {
    case INGOT_BINARY_ADD: return x + y;
    case INGOT_BINARY_SUB: return x - y;
    case INGOT_BINARY_MUL: return x * y;
    case INGOT_BINARY_DIV: return x / y;
    case INGOT_BINARY_MIN: return isnan(x) || isnan(y) ? NAN : x < y ? x : y;
    case INGOT_BINARY_MAX: return isnan(x) || isnan(y) ? NAN : x > y ? x : y;
    case INGOT_BINARY_PRELU: return x < 0 ? x * y : x;
    case INGOT_N_BINARIES: break;
    }
    return NAN;
}

/* n elements, of operands that are whole (period 0) or repeat after `period` elements: 1 is a scalar, 8 a block's
 * channels. NaN is among either operand where it is long enough. A whole first operand may be dst itself. */
static void check_binary(const ingot_kernels *k, ingot_binary function, int x_period, int y_period, int64_t n)
{
    const int64_t n_x = x_period ? x_period : n, n_y = y_period ? y_period : n;
    float *x = check_randoms(n_x), *y = check_randoms(n_y), *z = check_floats(n);
    char what[80];

    /* NaN where its operand's position differs from the other's */
    if (n_x > 2)
        x[1] = NAN;
    if (n_y > 3)
        y[2] = NAN;
    snprintf(what, sizeof what, "binary %s %d, periods %d and %d", k->isa, (int)function, x_period, y_period);
    k->binary_f32(function, z, (ingot_operand){ x, x_period }, (ingot_operand){ y, y_period }, n);
    if (!check_upper_halves())
        check_fail("%s: leaves upper halves set", what);
    for (int64_t i = 0; i < n; i++)
        check_near(z[i], binary(function, x[i % n_x], y[i % n_y]), 2e-7, what, i);
    check_free(z, n, what);
    /* the first operand's memory as the result's */
    if (!x_period) {
        z = check_floats(n);
        memcpy(z, x, (size_t)n * sizeof *z);
        k->binary_f32(function, z, (ingot_operand){ z, 0 }, (ingot_operand){ y, y_period }, n);
        for (int64_t i = 0; i < n; i++)
            check_near(z[i], binary(function, x[i], y[i % n_y]), 2e-7, what, i);
        check_free(z, n, what);
    }
    check_free(x, n_x, what), check_free(y, n_y, what);
}

/* The bits of a float, and what they stand for. */
static uint32_t bits_of(float x)
{
    uint32_t bits;
    memcpy(&bits, &x, sizeof bits);
    return bits;
}

static float float_of(uint32_t bits)
{
    float x;
    memcpy(&x, &bits, sizeof x);
    return x;
}

/* What a 16-bit code means, by definition: a NaN keeps its bits at the upper end of the float's. */
static uint32_t wide_bits(uint16_t code, bool bfloat)
{
    const int exponent = code >> 10 & 0x1f, fraction = code & 0x3ff;
    const uint32_t sign = (uint32_t)(code & 0x8000) << 16;

    if (bfloat)
        return (uint32_t)code << 16;
    if (exponent == 0x1f)
        return sign | 0x7f800000 | (uint32_t)fraction << 13;
    return sign | bits_of(ldexpf((float)(exponent ? fraction + 0x400 : fraction), (exponent ? exponent : 1) - 25));
}

/* The nearest code of a float, by definition: ties to the even one, past the largest infinity; of NaN see halves.c. */
static uint16_t narrow_bits(float x, bool bfloat)
{
    const uint32_t bits = bits_of(x);
    const int digits = bfloat ? 8 : 11, lowest = bfloat ? -133 : -24;      /* of significance; exponent of the least */
    const uint16_t sign = (uint16_t)(bits >> 16 & 0x8000), infinity = bfloat ? 0x7f80 : 0x7c00;
    int exponent;

    if (isnan(x))
        return bfloat ? (uint16_t)(bits >> 16 | 0x40) : sign | 0x7e00;
    if (isinf(x) || x == 0)
        return x == 0 ? sign : sign | infinity;
    frexp((double)x, &exponent);
    const int unit = exponent - digits < lowest ? lowest : exponent - digits;
    const double steps = nearbyint(fabs(ldexp((double)x, -unit)));
    /* the hidden bit of `steps` adds one to the exponent's field, and so does a carry */
    const long code = ((long)(unit - lowest) << (digits - 1)) + (long)steps;
    return (uint16_t)(code > infinity ? sign | infinity : sign | code);
}

/* Every code to float; and to codes every code's float, its neighbours, the middle to the next code and that one's
 * neighbours; in pieces, so that tails are at every offset. */
static void check_half(const ingot_kernels *k, bool bfloat)
{
    enum { CODES = 65536, SOME = 37 };

    for (int at = 0, n = 1; at < CODES; at += n, n = n % SOME + 1) {
        uint16_t codes[SOME], back[SOME];
        float *wide = check_floats(SOME);
        n = n < CODES - at ? n : CODES - at;
        for (int i = 0; i < n; i++)
            codes[i] = (uint16_t)(at + i);
        k->widen_f32(wide, codes, n, bfloat);
        for (int i = 0; i < n; i++, check_count++)
            if (bits_of(wide[i]) != wide_bits(codes[i], bfloat))
                check_fail("widen %s %04x: got %08x", k->isa, codes[i], bits_of(wide[i]));
        for (int offset = -1; offset < 5; offset++) {
            const int middle = bfloat ? 0x8000 : 0x1000, more = offset < 2 ? offset : middle + offset - 3;
            for (int i = 0; i < n; i++)
                wide[i] = float_of(wide_bits(codes[i], bfloat) + (uint32_t)more);
            k->narrow_f32(back, wide, n, bfloat);
            for (int i = 0; i < n; i++, check_count++)
                if (back[i] != narrow_bits(wide[i], bfloat))
                    check_fail("narrow %s %08x: got %04x, wanted %04x", k->isa, bits_of(wide[i]), back[i],
                               narrow_bits(wide[i], bfloat));
        }
        if (wide[n] != CANARY)
            check_fail("widen %s: wrote past its end", k->isa);
        check_free(wide, SOME, "widen");
    }
}

/* Rows of n, an operand's next one x_row or y_row further: beside the definition, and in the first operand's place. */
static void check_binary_rows(const ingot_kernels *k, int x_period, int64_t x_row, int y_period, int64_t y_row,
                              int64_t rows, int64_t n)
{
    const ingot_binary function = (ingot_binary)((rows + n) % INGOT_N_BINARIES);
    const int64_t n_x = (rows - 1) * x_row + (x_period ? 1 : n), n_y = (rows - 1) * y_row + (y_period ? 1 : n);
    float *x = check_randoms(n_x), *y = check_randoms(n_y), *z = check_floats(rows * n);
    char what[120];

    snprintf(what, sizeof what, "binary rows %s %d, periods %d and %d, steps %d and %d, %d of %d", k->isa,
             (int)function, x_period, y_period, (int)x_row, (int)y_row, (int)rows, (int)n);
    for (int in_place = 0; in_place <= (!x_period && x_row == n); in_place++) {
        if (in_place)
            memcpy(z, x, (size_t)n_x * sizeof *z);
        k->binary_rows_f32(function, z, (ingot_operand){ in_place ? z : x, x_period }, x_row,
                           (ingot_operand){ y, y_period }, y_row, rows, n);
        if (!check_upper_halves())
            check_fail("%s: leaves upper halves set", what);
        for (int64_t i = 0; i < rows * n; i++)
            check_near(z[i], binary(function, x[i / n * x_row + (x_period ? 0 : i % n)],
                                    y[i / n * y_row + (y_period ? 0 : i % n)]), 2e-7, what, i);
    }
    check_free(x, n_x, what), check_free(y, n_y, what), check_free(z, rows * n, what);
}

/* All functions of one variable; those of two with every pair of periods, over lengths that cross several vectors. */
static void test(const ingot_kernels *k)
{
    const int periods[] = { 0, 1, 8 };

    check_half(k, false);
    check_half(k, true);
    for (int m = 0; m < N_MAPS; m++)
        check_map(k, m);
    for (int f = 0; f < INGOT_N_BINARIES; f++)
        for (int x = 0; x < 3; x++)
            for (int y = 0; y < 3; y++)
                for (int64_t n = 0; n < 40; n++)
                    check_binary(k, (ingot_binary)f, periods[x], periods[y], n);
    for (int64_t n = 1; n <= 128; n += n < 40 ? 1 : 29)
        for (int64_t rows = 1; rows < 70; rows = rows * 3 + 1)
            for (int way = 0; way < 36; way++) {
                const int64_t steps[] = { 0, n, n + 3 };
                check_binary_rows(k, way & 1, steps[way / 4 % 3], way >> 1 & 1, steps[way / 12], rows, n);
            }
    for (int m = 0; m < N_MAPS; m++)
        if (worst[m] > 1)
            printf("%s %s: at most %.2f ulp\n", k->isa, maps[m].name, worst[m]);
}

int main(void) { return check_every_isa(test, false); }
