/* map.c - functions of one variable over arrays of float. One row of the list below makes one loop; the tail of an
 * array goes through the same vector code as the rest, so that cutting it into ranges changes no bit. Only the tangent,
 * whose poles ask for more digits, calls the C library for each lane. */
#include "ops/kernels/gelu.h"
#include "ops/kernels/vmath.h"

/* f of the C library for each lane. */
INGOT_INLINE vf32 each_lane(vf32 x, float (*f)(float))
{
    float lanes[VF32_LANES];

    vf32_store(lanes, x);
    for (int i = 0; i < VF32_LANES; i++)
        lanes[i] = f(lanes[i]);
    return vf32_load(lanes);
}

/* atan(x) = r + r^3 P(r^2) for r = |x| up to 1, and pi/2 more for r = -1 / |x| beyond, with the sign of x; 1.4 ulp */
INGOT_INLINE vf32 arc_tangent(vf32 x)
{
    const vf32 magnitude = vf32_abs(x), one = vf32_set1(1.0f), zero = vf32_zero();
    const vm32 far = vf32_lt(one, magnitude);
    const vf32 r = vf32_select(far, vf32_div(vf32_set1(-1.0f), magnitude), magnitude), r2 = vf32_mul(r, r);
    vf32 p = vf32_set1(0.00292057614f);

    p = vf32_fma(p, r2, vf32_set1(-0.0163674764f));
    p = vf32_fma(p, r2, vf32_set1(0.0432111435f));
    p = vf32_fma(p, r2, vf32_set1(-0.0755215511f));
    p = vf32_fma(p, r2, vf32_set1(0.106659777f));
    p = vf32_fma(p, r2, vf32_set1(-0.142110482f));
    p = vf32_fma(p, r2, vf32_set1(0.199937716f));
    p = vf32_fma(p, r2, vf32_set1(-0.333331525f));
    p = vf32_fma(vf32_mul(r, r2), p, vf32_select(far, vf32_set1(-4.37113883e-8f), zero));   /* pi/2 in two parts */
    p = vf32_add(vf32_select(far, vf32_set1(1.57079637f), zero), vf32_add(r, p));
    return vf32_copysign(p, x);
}

/* asin(r) - r = r^3 P(r^2) for r = |x| up to 1/2, and for r = sqrt((1 - |x|) / 2) beyond, where asin(|x|) is
 * pi/2 - 2 asin(r). Past 1 NaN, the root of a negative number. */
INGOT_INLINE vf32 arc_less_chord(vf32 magnitude, vf32 *r)
{
    const vf32 half = vf32_set1(0.5f), rest = vf32_mul(half, vf32_sub(vf32_set1(1.0f), magnitude));
    const vm32 far = vf32_lt(half, magnitude);
    const vf32 r2 = vf32_select(far, rest, vf32_mul(magnitude, magnitude));
    vf32 p = vf32_set1(0.0383283794f);

    *r = vf32_select(far, vf32_sqrt(rest), magnitude);
    p = vf32_fma(p, r2, vf32_set1(0.0264333207f));
    p = vf32_fma(p, r2, vf32_set1(0.0450202227f));
    p = vf32_fma(p, r2, vf32_set1(0.0749876127f));
    p = vf32_fma(p, r2, vf32_set1(0.166666731f));
    return vf32_mul(vf32_mul(*r, r2), p);
}

/* The last part of a difference is the rest of pi/2, or of pi, past the nearest float. */
INGOT_INLINE vf32 arc_sine(vf32 x)
{
    const vf32 magnitude = vf32_abs(x), two = vf32_set1(2.0f);
    vf32 r;
    const vf32 more = arc_less_chord(magnitude, &r), rest = vf32_fma(two, more, vf32_set1(4.37113883e-8f));
    const vf32 far = vf32_sub(vf32_fnma(two, r, vf32_set1(1.57079637f)), rest);
    return vf32_copysign(vf32_select(vf32_lt(vf32_set1(0.5f), magnitude), far, vf32_add(r, more)), x);
}

/* acos(x) = pi/2 - asin(x) near 0, 2 asin(r) near 1, pi - 2 asin(r) near -1 */
INGOT_INLINE vf32 arc_cosine(vf32 x)
{
    vf32 r;
    const vf32 more = arc_less_chord(vf32_abs(x), &r), arc = vf32_copysign(vf32_add(r, more), x);
    const vf32 twice = vf32_add(arc, arc), half = vf32_set1(0.5f);
    const vf32 near = vf32_sub(vf32_set1(1.57079637f), vf32_add(arc, vf32_set1(4.37113883e-8f)));
    const vf32 beyond = vf32_add(vf32_set1(3.14159274f), vf32_sub(twice, vf32_set1(8.74227766e-8f)));
    return vf32_select(vf32_lt(x, vf32_set1(-0.5f)), beyond, vf32_select(vf32_lt(half, x), twice, near));
}

/* e^|x| / 2, from 88 on as a product of roots, which overflows where the hyperbolic functions do and not before.
 * e^-|x| / 2 is a quarter over it. */
INGOT_INLINE vf32 half_exp_of_magnitude(vf32 x)
{
    const vf32 half = vf32_set1(0.5f), magnitude = vf32_abs(x);
    const vm32 far = vf32_lt(vf32_set1(88.0f), magnitude);
    const vf32 e = vf32_exp(vf32_select(far, vf32_mul(half, magnitude), magnitude));
    return vf32_mul(vf32_select(far, e, vf32_set1(1.0f)), vf32_mul(half, e));
}

INGOT_INLINE vf32 hyperbolic_cosine(vf32 x)
{
    const vf32 e = half_exp_of_magnitude(x);
    return vf32_add(e, vf32_div(vf32_set1(0.25f), e));
}

/* x + x^3 P(x^2) up to 1, where the exponentials cancel */
INGOT_INLINE vf32 hyperbolic_sine(vf32 x)
{
    const vf32 e = half_exp_of_magnitude(x), x2 = vf32_mul(x, x), far = vf32_sub(e, vf32_div(vf32_set1(0.25f), e));
    vf32 p = vf32_set1(2.80630071e-6f);

    p = vf32_fma(p, x2, vf32_set1(0.000198380989f));
    p = vf32_fma(p, x2, vf32_set1(0.00833333969f));
    p = vf32_fma(p, x2, vf32_set1(0.166666666f));
    p = vf32_fma(vf32_mul(x, x2), p, x);
    return vf32_select(vf32_lt(vf32_set1(1.0f), vf32_abs(x)), vf32_copysign(far, x), p);
}

/* log(1 + x) for x from 0 to infinity; NaN below -1 */
INGOT_INLINE vf32 log_of_one_more(vf32 x)
{
    return vf32_select(vf32_lt(x, vf32_set1(INFINITY)), vf32_log1p_finite(x), x);
}

/* log(x + root(x)) as log(1 + sum), where the sum is x - 1 + root(x); past 1e9, where squares may overflow, log(2 x) */
INGOT_INLINE vf32 log_with_root(vf32 x, vf32 sum)
{
    const vm32 far = vf32_lt(vf32_set1(1e9f), x);
    return vf32_add(log_of_one_more(vf32_select(far, x, sum)), vf32_select(far, vf32_set1(0.693147181f), vf32_zero()));
}

/* log(|x| + sqrt(x^2 + 1)), with the sign of x; the root less 1 is x^2 / (1 + root) */
INGOT_INLINE vf32 area_sine(vf32 x)
{
    const vf32 magnitude = vf32_abs(x), one = vf32_set1(1.0f), x2 = vf32_mul(x, x);
    const vf32 root = vf32_sqrt(vf32_add(x2, one));
    return vf32_copysign(log_with_root(magnitude, vf32_add(magnitude, vf32_div(x2, vf32_add(one, root)))), x);
}

/* log(x + sqrt(x^2 - 1)) from 1 on; NaN below */
INGOT_INLINE vf32 area_cosine(vf32 x)
{
    const vf32 one = vf32_set1(1.0f), more = vf32_sub(x, one);
    const vf32 root = vf32_sqrt(vf32_fma(more, more, vf32_add(more, more)));

    return vf32_select(vf32_lt(x, one), vf32_set1(NAN), log_with_root(x, vf32_add(more, root)));
}

/* log((1 + |x|) / (1 - |x|)) / 2, with the sign of x */
INGOT_INLINE vf32 area_tangent(vf32 x)
{
    const vf32 magnitude = vf32_abs(x), twice = vf32_add(magnitude, magnitude);
    const vf32 ratio = vf32_div(twice, vf32_sub(vf32_set1(1.0f), magnitude));
    return vf32_copysign(vf32_mul(vf32_set1(0.5f), log_of_one_more(ratio)), x);
}

/* 1 with the sign of x. */
INGOT_INLINE vf32 sign(vf32 x)
{
    const vf32 one = vf32_copysign(vf32_set1(1.0f), x), zero = vf32_zero();
    return vf32_select(vm32_or(vf32_lt(x, zero), vf32_lt(zero, x)), one, x);     /* zeros and NaN stay */
}

/* x - bias above lambd, x + bias below -lambd, 0 between; NaN stays. */
INGOT_INLINE vf32 shrink(vf32 x, vf32 lambd, vf32 bias)
{
    const vf32 zero = vf32_zero(), low = vf32_select(vf32_lt(x, vf32_sub(zero, lambd)), vf32_add(x, bias), zero);
    return vf32_select(vf32_eq(x, x), vf32_select(vf32_lt(lambd, x), vf32_sub(x, bias), low), x);
}

/* X(function, expression of the vector v and the parameters a and b) */
#define MAPS(X) \
    X(ABS, vf32_abs(v)) \
    X(NEG, vf32_from_bits(vi32_xor(vf32_bits(v), vi32_set1(INT32_MIN)))) \
    X(CEIL, vf32_ceil(v)) \
    X(FLOOR, vf32_floor(v)) \
    X(ROUND, vf32_round(v)) \
    X(SIGN, sign(v)) \
    X(SQRT, vf32_sqrt(v)) \
    X(RECIPROCAL, vf32_div(one, v)) \
    X(EXP, vf32_exp(v)) \
    X(LOG, vf32_log(v)) \
    X(SIN, vf32_sin(v)) \
    X(COS, vf32_cos(v)) \
    X(TAN, each_lane(v, tanf)) \
    X(ASIN, arc_sine(v)) \
    X(ACOS, arc_cosine(v)) \
    X(ATAN, arc_tangent(v)) \
    X(SINH, hyperbolic_sine(v)) \
    X(COSH, hyperbolic_cosine(v)) \
    X(TANH, vf32_tanh(v)) \
    X(ASINH, area_sine(v)) \
    X(ACOSH, area_cosine(v)) \
    X(ATANH, area_tangent(v)) \
    X(ERF, vf32_erf(v)) \
    X(RELU, vf32_relu(v)) \
    X(CLIP, vf32_clip(v, a, b)) \
    X(LEAKY_RELU, vf32_leaky_relu(v, a)) \
    X(ELU, vf32_elu(v, a, one, one)) \
    X(SELU, vf32_elu(v, vf32_mul(a, b), one, b)) \
    X(CELU, vf32_elu(v, a, a, one)) \
    X(SIGMOID, vf32_sigmoid(v)) \
    X(HARD_SIGMOID, vf32_hard_sigmoid(v, a, b)) \
    X(HARD_SWISH, vf32_hard_swish(v)) \
    X(SOFTPLUS, vf32_softplus(v)) \
    X(SOFTSIGN, vf32_div(v, vf32_add(one, vf32_abs(v)))) \
    X(THRESHOLDED_RELU, vf32_select(vf32_le(v, a), vf32_zero(), v)) \
    X(GELU, vf32_gelu(v)) \
    X(GELU_TANH, vf32_gelu_tanh(v)) \
    X(MISH, vf32_mish(v)) \
    X(SWISH, vf32_mul(v, vf32_sigmoid(vf32_mul(a, v)))) \
    X(SHRINK, shrink(v, a, b))

/* One function over whole vectors of an array, with its parameters spread over vectors. */
typedef void map_loop(float *dst, const float *src, int64_t n, vf32 a, vf32 b, vf32 one);

#define X(name, expression) \
    static void map_##name(float *dst, const float *src, int64_t n, vf32 a, vf32 b, vf32 one) \
    { \
        (void)a, (void)b, (void)one; \
        for (int64_t i = 0; i < n; i += VF32_LANES) { \
            const vf32 v = vf32_load(src + i); \
            vf32_store(dst + i, (expression)); \
        } \
    }
MAPS(X)
#undef X

static map_loop *const loops[INGOT_N_MAPS] = {
/* the loops by function, in the order of the enumeration */
#define X(name, expression) [INGOT_MAP_##name] = map_##name,
    MAPS(X)
#undef X
};

/* n elements through the loop of one function; those of the last, partial vector in a vector of their own. */
void INGOT_FN(map_f32)(ingot_map function, float *dst, const float *src, int64_t n, float a, float b)
{
    const int64_t rest = n % VF32_LANES, whole = n - rest;
    const vf32 one = vf32_set1(1.0f);
    float lanes[VF32_LANES];

    loops[function](dst, src, whole, vf32_set1(a), vf32_set1(b), one);
    if (rest) {
        vf32_store(lanes, vf32_load_n(src + whole, (size_t)rest));
        loops[function](lanes, lanes, VF32_LANES, vf32_set1(a), vf32_set1(b), one);
        vf32_store_n(dst + whole, vf32_load(lanes), (size_t)rest);
    }
}
