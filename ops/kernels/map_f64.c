/* map_f64.c - the functions of map.c as their definitions say, in double with the C library: what tensors of double
 * use, and what tests hold map.c against. */
#include <math.h>

#include "ops/kernels/isa.h"

/* min(high, max(low, x)); NaN stays */
static double clip(double x, double low, double high)
{
    x = x < low ? low : x;
    return x > high ? high : x;
}

/* X(function, expression of x and the parameters a and b) */
#define MAPS(X) \
    X(ABS, fabs(x)) \
    X(NEG, -x) \
    X(CEIL, ceil(x)) \
    X(FLOOR, floor(x)) \
    X(ROUND, nearbyint(x)) \
    X(SIGN, x < 0 ? -1 : x > 0 ? 1 : x) \
    X(SQRT, sqrt(x)) \
    X(RECIPROCAL, 1 / x) \
    X(EXP, exp(x)) \
    X(LOG, log(x)) \
    X(SIN, sin(x)) \
    X(COS, cos(x)) \
    X(TAN, tan(x)) \
    X(ASIN, asin(x)) \
    X(ACOS, acos(x)) \
    X(ATAN, atan(x)) \
    X(SINH, sinh(x)) \
    X(COSH, cosh(x)) \
    X(TANH, tanh(x)) \
    X(ASINH, asinh(x)) \
    X(ACOSH, x < 1 ? NAN : acosh(x)) /* musl's gives numbers */ \
    X(ATANH, atanh(x)) \
    X(ERF, erf(x)) \
    X(RELU, x < 0 ? 0 : x) \
    X(CLIP, clip(x, a, b)) \
    X(LEAKY_RELU, x < 0 ? a * x : x) \
    X(ELU, x < 0 ? a * expm1(x) : x) \
    X(SELU, b * (x < 0 ? a * expm1(x) : x)) \
    X(CELU, x < 0 ? a * expm1(x / a) : x) \
    X(SIGMOID, 1 / (1 + exp(-x))) \
    X(HARD_SIGMOID, clip(a * x + b, 0, 1)) \
    X(HARD_SWISH, x * clip(x / 6 + 0.5, 0, 1)) \
    X(SOFTPLUS, (x > 0 ? x : 0) + log1p(exp(-fabs(x)))) \
    X(SOFTSIGN, x / (1 + fabs(x))) \
    X(THRESHOLDED_RELU, x <= a ? 0 : x) \
    X(GELU, 0.5 * x * (1 + erf(x * 0.70710678118654752440))) \
    X(GELU_TANH, 0.5 * x * (1 + tanh(0.79788456080286535588 * (x + 0.044715 * x * x * x)))) \
    X(MISH, x * tanh((x > 0 ? x : 0) + log1p(exp(-fabs(x))))) \
    X(SWISH, x / (1 + exp(-a * x))) \
    X(SHRINK, x < -a ? x + b : x > a ? x - b : x == x ? 0 : x)

/* One function over an array, with its parameters. */
typedef void map_loop(double *dst, const double *src, int64_t n, double a, double b);

#define X(name, expression) \
    static void map_##name(double *dst, const double *src, int64_t n, double a, double b) \
    { \
        (void)a, (void)b; \
        for (int64_t i = 0; i < n; i++) { \
            const double x = src[i]; \
            dst[i] = (expression); \
        } \
    }
MAPS(X)
#undef X

static map_loop *const loops[INGOT_N_MAPS] = {
#define X(name, expression) [INGOT_MAP_##name] = map_##name,
    MAPS(X)
#undef X
};

/* n elements by the function's definition. */
void INGOT_FN(map_f64)(ingot_map function, double *dst, const double *src, int64_t n, double a, double b)
{
    loops[function](dst, src, n, a, b);
}
