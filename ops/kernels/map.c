/* map.c - functions of one variable over arrays of float. One row of the list below makes one loop; the tail of an
 * array goes through the same vector code as the rest, so that cutting it into ranges changes no bit. What is not worth
 * vector code of its own calls the C library for each lane. */
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
    X(ASIN, each_lane(v, asinf)) \
    X(ACOS, each_lane(v, acosf)) \
    X(ATAN, arc_tangent(v)) \
    X(SINH, each_lane(v, sinhf)) \
    X(COSH, each_lane(v, coshf)) \
    X(TANH, vf32_tanh(v)) \
    X(ASINH, each_lane(v, asinhf)) \
    X(ACOSH, each_lane(v, acoshf)) \
    X(ATANH, each_lane(v, atanhf)) \
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

/* One function over an array, with its parameters spread over vectors. */
typedef void map_loop(float *dst, const float *src, int64_t n, vf32 a, vf32 b, vf32 one);

#define X(name, expression) \
    static void map_##name(float *dst, const float *src, int64_t n, vf32 a, vf32 b, vf32 one) \
    { \
        int64_t i = 0; \
        (void)a, (void)b, (void)one; \
        for (; i + VF32_LANES <= n; i += VF32_LANES) { \
            const vf32 v = vf32_load(src + i); \
            vf32_store(dst + i, (expression)); \
        } \
        if (i < n) { \
            const vf32 v = vf32_load_n(src + i, (size_t)(n - i)); \
            vf32_store_n(dst + i, (expression), (size_t)(n - i)); \
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

/* n elements through the loop of one function. */
void INGOT_FN(map_f32)(ingot_map function, float *dst, const float *src, int64_t n, float a, float b)
{
    loops[function](dst, src, n, vf32_set1(a), vf32_set1(b), vf32_set1(1.0f));
}
