/* vmath.h - exp, tanh, sigmoid and erf on vectors, inlined into the kernels that need them.
 *
 * The polynomials are least-squares fits reweighted toward the smallest largest error, made for this file in double and
 * rounded to float; each comment gives formula and range. NaN gives NaN everywhere. */
#ifndef INGOT_OPS_KERNELS_VMATH_H
#define INGOT_OPS_KERNELS_VMATH_H

#include "ops/kernels/isa.h"

/* x * 2^n for -252 <= n <= 254, in two steps so that results may be denormal. n holds whole numbers. */
INGOT_INLINE vf32 vf32_scale2(vf32 x, vi32 n)
{
    const vi32 half = vi32_sar(n, 1), rest = vi32_sub(n, half), bias = vi32_set1(127);
    const vf32 y = vf32_mul(x, vf32_from_bits(vi32_shl(vi32_add(half, bias), 23)));
    return vf32_mul(y, vf32_from_bits(vi32_shl(vi32_add(rest, bias), 23)));
}

/* exp(x) = 2^n * exp(r), n = round(x / ln 2), |r| <= ln 2 / 2, exp(r) = 1 + r + r^2 P(r); 2 ulp. Overflows to infinity
 * and underflows through the denormals to 0. */
INGOT_INLINE vf32 vf32_exp(vf32 x)
{
    const vf32 clamped = vf32_max(vf32_set1(-110.0f), vf32_min(vf32_set1(90.0f), x));    /* keeps NaN */
    const vf32 n = vf32_round(vf32_mul(clamped, vf32_set1(1.44269504f)));
    vf32 r = vf32_fnma(n, vf32_set1(0.693145752f), clamped);         /* ln 2 in two parts, the first with 15 bits */
    vf32 p = vf32_set1(0.00138145592f);

    r = vf32_fnma(n, vf32_set1(1.42860677e-6f), r);
    p = vf32_fma(p, r, vf32_set1(0.0083687352f));
    p = vf32_fma(p, r, vf32_set1(0.041668389f));
    p = vf32_fma(p, r, vf32_set1(0.166665211f));
    p = vf32_fma(p, r, vf32_set1(0.49999994f));
    p = vf32_add(vf32_fma(vf32_mul(r, r), p, r), vf32_set1(1.0f));
    return vf32_scale2(p, vf32_to_i32(n));
}

INGOT_INLINE vf32 vf32_abs(vf32 x) { return vf32_from_bits(vi32_and(vf32_bits(x), vi32_set1(INT32_MAX))); }

INGOT_INLINE vf32 vf32_copysign(vf32 magnitude, vf32 sign)
{
    return vf32_from_bits(vi32_or(vf32_bits(vf32_abs(magnitude)), vi32_and(vf32_bits(sign), vi32_set1(INT32_MIN))));
}

/* sigmoid(x) = 1 / (1 + exp(-x)) */
INGOT_INLINE vf32 vf32_sigmoid(vf32 x)
{
    const vf32 one = vf32_set1(1.0f);
    return vf32_div(one, vf32_add(one, vf32_exp(vf32_sub(vf32_zero(), x))));
}

/* tanh(x) = x + x^3 P(x^2) for |x| < 0.625, else sign(x) (1 - 2 / (exp(2 |x|) + 1)); 3 ulp */
INGOT_INLINE vf32 vf32_tanh(vf32 x)
{
    const vf32 magnitude = vf32_abs(x), one = vf32_set1(1.0f), x2 = vf32_mul(x, x);
    const vf32 e = vf32_exp(vf32_add(magnitude, magnitude));
    const vf32 large = vf32_copysign(vf32_sub(one, vf32_div(vf32_set1(2.0f), vf32_add(e, one))), x);
    vf32 p = vf32_set1(-0.00571704516f);

    p = vf32_fma(p, x2, vf32_set1(0.020650588f));
    p = vf32_fma(p, x2, vf32_set1(-0.0537434965f));
    p = vf32_fma(p, x2, vf32_set1(0.133314908f));
    p = vf32_fma(p, x2, vf32_set1(-0.333332837f));
    return vf32_select(vf32_lt(magnitude, vf32_set1(0.625f)), vf32_fma(vf32_mul(x, x2), p, x), large);
}

/* erf(x) = x P(x^2) for |x| < 1, else sign(x) (1 - exp(-Q(|x|))) with |x| cut off at 4, where erf rounds to 1; 3 ulp */
INGOT_INLINE vf32 vf32_erf(vf32 x)
{
    const vf32 magnitude = vf32_min(vf32_set1(4.0f), vf32_abs(x)), x2 = vf32_mul(x, x);
    vf32 p = vf32_set1(7.85386146e-5f), q = vf32_set1(2.16867575e-5f);

    p = vf32_fma(p, x2, vf32_set1(-0.000801019371f));
    p = vf32_fma(p, x2, vf32_set1(0.00518832775f));
    p = vf32_fma(p, x2, vf32_set1(-0.0268538129f));
    p = vf32_fma(p, x2, vf32_set1(0.112835854f));
    p = vf32_fma(p, x2, vf32_set1(-0.37612626f));
    p = vf32_fma(p, x2, vf32_set1(1.12837911f));

    q = vf32_fma(q, magnitude, vf32_set1(-0.000441335229f));
    q = vf32_fma(q, magnitude, vf32_set1(0.00420455588f));
    q = vf32_fma(q, magnitude, vf32_set1(-0.0252082404f));
    q = vf32_fma(q, magnitude, vf32_set1(0.108418547f));
    q = vf32_fma(q, magnitude, vf32_set1(0.633219898f));
    q = vf32_fma(q, magnitude, vf32_set1(1.12957835f));
    q = vf32_fma(q, magnitude, vf32_set1(-0.000188036793f));

    const vf32 tail = vf32_exp(vf32_sub(vf32_zero(), q));
    const vf32 large = vf32_copysign(vf32_sub(vf32_set1(1.0f), tail), x);
    return vf32_select(vf32_lt(magnitude, vf32_set1(1.0f)), vf32_mul(x, p), large);
}

#endif
