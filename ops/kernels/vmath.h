/* vmath.h - exp, log, sine, erf and the activations on vectors, inlined into the kernels that need them.
 *
 * The polynomials are least-squares fits reweighted toward the smallest largest error, made for this file in double and
 * rounded to float; each comment gives formula, range and largest error: against the C library's double, over every
 * 211th float, on the baseline and with fused multiply-add. NaN gives NaN everywhere. */
#ifndef INGOT_OPS_KERNELS_VMATH_H
#define INGOT_OPS_KERNELS_VMATH_H

#include <math.h>

#include "ops/kernels/isa.h"

/* P of exp(r) = 1 + r + r^2 P(r), |r| <= ln 2 / 2 */
INGOT_INLINE vf32 vf32_exp_tail(vf32 r)
{
    vf32 p = vf32_set1(0.00138145592f);
    p = vf32_fma(p, r, vf32_set1(0.0083687352f));
    p = vf32_fma(p, r, vf32_set1(0.041668389f));
    p = vf32_fma(p, r, vf32_set1(0.166665211f));
    return vf32_fma(p, r, vf32_set1(0.49999994f));
}

/* x = n ln 2 + r, where n is a whole multiple of 2^-EXP2_BITS and |r| <= ln 2 / 2 of that; |x| < 2^18. Adding 1.5 times
 * a power of two rounds to such multiples, and leaves n 2^EXP2_BITS in the low bits of the sum. */
typedef struct vf32_power { vf32 n, r; vi32 k; } vf32_power;

INGOT_INLINE vf32_power vf32_power_of(vf32 x)
{
    const vf32 magic = vf32_set1((float)(12582912 >> EXP2_BITS));
    const vf32 sum = vf32_fma(x, vf32_set1(1.44269504f), magic), n = vf32_sub(sum, magic);
    const vf32 r = vf32_fnma(n, vf32_set1(0.693145752f), x);         /* ln 2 in two parts, the first with 15 bits */

    return (vf32_power){ .n = n, .r = vf32_fnma(n, vf32_set1(1.42860677e-6f), r), .k = vf32_bits(sum) };
}

/* exp(r) - 1 = r P(r) for the r above: 1e-9 with 32 steps, 3e-8 with 8 */
INGOT_INLINE vf32 vf32_exp_rest(vf32 r)
{
    const vf32 one = vf32_set1(1.0f), cubic = vf32_set1(EXP2_BITS == 5 ? 0.166666667f : 0.166642934f);
    const vf32 square = vf32_set1(EXP2_BITS == 5 ? 0.5f : 0.500064909f);

    if (EXP2_BITS == 0)
        return vf32_fma(vf32_mul(r, r), vf32_exp_tail(r), r);
    return vf32_mul(r, vf32_fma(r, vf32_fma(r, cubic, square), one));
}

/* exp(x) = 2^whole(n) * 2^fraction(n) * exp(r); 1.5 ulp, for -170 < x < 170 */
INGOT_INLINE vf32 vf32_exp_within(vf32 x)
{
    const vf32_power p = vf32_power_of(x);
    const vi32 step = vi32_shl(vi32_and(p.k, vi32_set1((1 << EXP2_BITS) - 1)), 23 - EXP2_BITS);
    const vf32 fraction = vf32_from_bits(vi32_add(step, vi32_exp2_table(p.k))), rest = vf32_exp_rest(p.r);

    if (EXP2_BITS == 0)
        return vf32_scale2(vf32_add(rest, vf32_set1(1.0f)), p.n);
    return vf32_scale2(vf32_fma(fraction, rest, fraction), vf32_floor(p.n));
}

/* The same for all x: overflows to infinity and underflows through the denormals to 0. Clamping keeps NaN. */
INGOT_INLINE vf32 vf32_exp(vf32 x)
{
    return vf32_exp_within(vf32_max(vf32_set1(-110.0f), vf32_min(vf32_set1(90.0f), x)));
}

/* 2^(k / 2^EXP2_BITS) where that is no denormal, for k in the low bits */
INGOT_INLINE vf32 vf32_exp2_steps(vi32 k)
{
    return vf32_from_bits(vi32_add(vi32_shl(k, 23 - EXP2_BITS), vi32_exp2_table(k)));
}

/* For -87.4 < x < 88.8, where exp(x) is no denormal; 5e-8 from the square that ends the series with 32 steps. Only
 * where there are steps. */
INGOT_INLINE vf32 vf32_exp_in_steps(vf32 x)
{
    const vf32 one = vf32_set1(1.0f);
    const vf32_power p = vf32_power_of(x);
    const vf32 slope = EXP2_BITS == 5 ? vf32_fma(p.r, vf32_set1(0.49999997f), vf32_set1(1.00001466f))
        : vf32_fma(p.r, vf32_fma(p.r, vf32_set1(0.166642934f), vf32_set1(0.500064909f)), one);
    return vf32_mul(vf32_exp2_steps(p.k), vf32_fma(p.r, slope, one));
}

/* For sums with something larger: 1e-38 where exp(x) is less, infinity from 3.2e38 on. */
INGOT_INLINE vf32 vf32_exp_normal(vf32 x)
{
    if (EXP2_BITS == 0)
        return vf32_exp(x);
    return vf32_exp_in_steps(vf32_max(vf32_set1(-87.3f), vf32_min(vf32_set1(88.73f), x)));
}

/* y, but 0 where exp(x) is below 1.8e-35, so that a thousandth of y is no denormal either: wherever one goes, it
 * costs a hundred cycles. */
INGOT_INLINE vf32 vf32_unless_far(vf32 x, vf32 y)
{
    return vf32_select(vf32_lt(x, vf32_set1(-80.0f)), vf32_zero(), y);
}

/* exp(x) for x of at most 1. */
INGOT_INLINE vf32 vf32_exp_below(vf32 x)
{
    const vf32 inside = vf32_max(vf32_set1(-80.0f), x);
    return vf32_unless_far(x, EXP2_BITS == 0 ? vf32_exp(inside) : vf32_exp_in_steps(inside));
}

/* The sign bit cleared, and the sign bit taken from another number: exact, also for NaN and zeros. */
INGOT_INLINE vf32 vf32_abs(vf32 x) { return vf32_from_bits(vi32_and(vf32_bits(x), vi32_set1(INT32_MAX))); }

INGOT_INLINE vf32 vf32_copysign(vf32 magnitude, vf32 sign)
{
    return vf32_from_bits(vi32_or(vf32_bits(vf32_abs(magnitude)), vi32_and(vf32_bits(sign), vi32_set1(INT32_MIN))));
}

/* 1 + exp(-x) for -88.8 < x < 87.4: exp_in_steps() with the signs turned around in its constants, and the sum in the
 * last multiply-add. Where that need not be `exact`, one number is enough for ln 2: it is off by 2e-9, and n by 127 at
 * most. Only where there are steps. */
INGOT_INLINE vf32 vf32_exp_plus_one_within(vf32 x, bool exact)
{
    const vf32 one = vf32_set1(1.0f), magic = vf32_set1((float)(12582912 >> EXP2_BITS));
    const vf32 sum = vf32_fma(x, vf32_set1(-1.44269504f), magic), n = vf32_sub(sum, magic);
    const vf32 r = exact ? vf32_fma(n, vf32_set1(1.42860677e-6f), vf32_fma(n, vf32_set1(0.693145752f), x))
                         : vf32_fma(n, vf32_set1(0.693147181f), x);
    const vf32 slope = EXP2_BITS == 5 ? vf32_fma(r, vf32_set1(0.49999997f), vf32_set1(-1.00001466f))
        : vf32_fma(r, vf32_fma(r, vf32_set1(-0.166642934f), vf32_set1(0.500064909f)), vf32_set1(-1.0f));
    return vf32_fma(vf32_exp2_steps(vf32_bits(sum)), vf32_fma(r, slope, one), one);
}

/* The same for all x, infinity for x < -88.73 */
INGOT_INLINE vf32 vf32_exp_plus_one(vf32 x, bool exact)
{
    if (EXP2_BITS == 0)
        return vf32_add(vf32_set1(1.0f), vf32_exp(vf32_sub(vf32_zero(), x)));
    return vf32_exp_plus_one_within(vf32_min(vf32_set1(87.3f), vf32_max(vf32_set1(-88.73f), x)), exact);
}

/* sigmoid(x) = 1 / (1 + exp(-x)); 4 ulp, but 0 where that is below 1.8e-35 */
INGOT_INLINE vf32 vf32_sigmoid(vf32 x)
{
    return vf32_unless_far(x, vf32_div(vf32_set1(1.0f), vf32_exp_plus_one(x, true)));
}

/* tanh(x) = x + x^3 P(x^2) for |x| < 0.625, else sign(x) (1 - 2 / (exp(2 |x|) + 1)); 1.3 ulp */
INGOT_INLINE vf32 vf32_tanh(vf32 x)
{
    const vf32 magnitude = vf32_abs(x), one = vf32_set1(1.0f), x2 = vf32_mul(x, x);
    const vf32 e = vf32_exp_normal(vf32_add(magnitude, magnitude));
    const vf32 large = vf32_copysign(vf32_sub(one, vf32_div(vf32_set1(2.0f), vf32_add(e, one))), x);
    vf32 p = vf32_set1(-0.00571704516f);

    p = vf32_fma(p, x2, vf32_set1(0.020650588f));
    p = vf32_fma(p, x2, vf32_set1(-0.0537434965f));
    p = vf32_fma(p, x2, vf32_set1(0.133314908f));
    p = vf32_fma(p, x2, vf32_set1(-0.333332837f));
    return vf32_select(vf32_lt(magnitude, vf32_set1(0.625f)), vf32_fma(vf32_mul(x, x2), p, x), large);
}

/* erf(x) = x P(x^2) for |x| < 1 */
INGOT_INLINE vf32 vf32_erf_near(vf32 x)
{
    const vf32 x2 = vf32_mul(x, x);
    vf32 p = vf32_set1(7.85386146e-5f);

    p = vf32_fma(p, x2, vf32_set1(-0.000801019371f));
    p = vf32_fma(p, x2, vf32_set1(0.00518832775f));
    p = vf32_fma(p, x2, vf32_set1(-0.0268538129f));
    p = vf32_fma(p, x2, vf32_set1(0.112835854f));
    p = vf32_fma(p, x2, vf32_set1(-0.37612626f));
    p = vf32_fma(p, x2, vf32_set1(1.12837911f));
    return vf32_mul(x, p);
}

/* erfc(x) = 1 - erf(x) = exp(-Q(x)) for 1 <= x <= 4 */
INGOT_INLINE vf32 vf32_erfc_far(vf32 x)
{
    vf32 q = vf32_set1(2.16867575e-5f);

    q = vf32_fma(q, x, vf32_set1(-0.000441335229f));
    q = vf32_fma(q, x, vf32_set1(0.00420455588f));
    q = vf32_fma(q, x, vf32_set1(-0.0252082404f));
    q = vf32_fma(q, x, vf32_set1(0.108418547f));
    q = vf32_fma(q, x, vf32_set1(0.633219898f));
    q = vf32_fma(q, x, vf32_set1(1.12957835f));
    q = vf32_fma(q, x, vf32_set1(-0.000188036793f));
    return vf32_exp(vf32_sub(vf32_zero(), q));
}

/* 2.5 ulp; |x| is cut off at 4, where erf rounds to 1 */
INGOT_INLINE vf32 vf32_erf(vf32 x)
{
    const vf32 magnitude = vf32_min(vf32_set1(4.0f), vf32_abs(x));
    const vf32 far = vf32_copysign(vf32_sub(vf32_set1(1.0f), vf32_erfc_far(magnitude)), x);
    return vf32_select(vf32_lt(magnitude, vf32_set1(1.0f)), vf32_erf_near(x), far);
}

/* exp(x) - 1 for x <= 0, without the loss of digits near 0: with exp's n and q = exp(r) - 1 it is 2^n q + (2^n - 1);
 * 2 ulp. */
INGOT_INLINE vf32 vf32_expm1_negative(vf32 x)
{
    const vf32 clamped = vf32_max(vf32_set1(-20.0f), x);                                 /* keeps NaN */
    const vf32 n = vf32_round(vf32_mul(clamped, vf32_set1(1.44269504f)));
    const vf32 power = vf32_from_bits(vi32_shl(vi32_add(vf32_to_i32(n), vi32_set1(127)), 23));
    const vf32 r = vf32_fnma(n, vf32_set1(1.42860677e-6f), vf32_fnma(n, vf32_set1(0.693145752f), clamped));
    const vf32 q = vf32_fma(vf32_mul(r, r), vf32_exp_tail(r), r);
    return vf32_fma(power, q, vf32_sub(power, vf32_set1(1.0f)));
}

/* log(x) = k ln 2 + log(1 + f) with 1 + f in [sqrt 1/2, sqrt 2) and, for s = f / (2 + f), z = s^2 and h = f^2 / 2,
 * log(1 + f) = f - (h - s (h + z P(z))): the series of 2 atanh(s), arranged so that f comes last; 0.9 ulp. Negative
 * numbers give NaN, zero -infinity. */
INGOT_INLINE vf32 vf32_log(vf32 x)
{
    const vm32 tiny = vf32_lt(x, vf32_set1(1.17549435e-38f));
    const vi32 bits = vf32_bits(vf32_select(tiny, vf32_mul(x, vf32_set1(8388608.0f)), x));
    const vi32 exponent = vi32_sar(vi32_sub(bits, vi32_set1(0x3f3504f3)), 23);
    const vf32 f = vf32_sub(vf32_from_bits(vi32_sub(bits, vi32_shl(exponent, 23))), vf32_set1(1.0f));
    const vf32 k = vf32_sub(vf32_from_i32(exponent), vf32_select(tiny, vf32_set1(23.0f), vf32_zero()));
    const vf32 s = vf32_div(f, vf32_add(f, vf32_set1(2.0f))), z = vf32_mul(s, s);
    const vf32 h = vf32_mul(vf32_mul(f, f), vf32_set1(0.5f));
    vf32 p = vf32_set1(0.23332268f);

    p = vf32_fma(p, z, vf32_set1(0.285507411f));
    p = vf32_fma(p, z, vf32_set1(0.400001228f));
    p = vf32_fma(p, z, vf32_set1(0.666666687f));
    p = vf32_mul(s, vf32_fma(p, z, h));
    p = vf32_sub(vf32_sub(h, vf32_fma(k, vf32_set1(1.42860677e-6f), p)), f);
    p = vf32_sub(vf32_mul(k, vf32_set1(0.693145752f)), p);
    p = vf32_select(vf32_lt(x, vf32_set1(INFINITY)), p, x);                              /* infinity and NaN */
    p = vf32_select(vf32_lt(x, vf32_zero()), vf32_set1(NAN), p);
    return vf32_select(vf32_eq(x, vf32_zero()), vf32_set1(-INFINITY), p);
}

/* log(1 + x) for finite x >= 0: log(u) + (x - (u - 1)) / u, where u = 1 + x as rounded; 2 ulp */
INGOT_INLINE vf32 vf32_log1p_finite(vf32 x)
{
    const vf32 one = vf32_set1(1.0f), u = vf32_add(one, x);
    return vf32_add(vf32_log(u), vf32_div(vf32_sub(x, vf32_sub(u, one)), u));
}

/* sin(x + quadrant pi / 2). x = n pi/2 + r with |r| <= pi/4 and pi/2 in three parts, whose products with n are exact;
 * sin(r) = r + r^3 P(r^2), cos(r) = 1 - r^2/2 + r^4 Q(r^2). For |x| <= 8192: 2 ulp, or 1e-7 of 1 near a zero far out.
 */
INGOT_INLINE vf32 vf32_sine(vf32 x, int quadrant)
{
    const vf32 n = vf32_round(vf32_mul(x, vf32_set1(0.636619772f)));
    const vi32 q = vi32_add(vf32_to_i32(n), vi32_set1(quadrant));
    vf32 r = vf32_fnma(n, vf32_set1(1.5703125f), x);
    r = vf32_fnma(n, vf32_set1(4.837512969970703125e-4f), r);
    r = vf32_fnma(n, vf32_set1(7.54978995489188e-8f), r);
    const vf32 r2 = vf32_mul(r, r);
    vf32 s = vf32_set1(-0.000195172979f), c = vf32_set1(2.44384501e-5f);

    s = vf32_fma(s, r2, vf32_set1(0.008332178f));
    s = vf32_fma(s, r2, vf32_set1(-0.166666552f));
    s = vf32_fma(vf32_mul(s, r2), r, r);
    c = vf32_fma(c, r2, vf32_set1(-0.00138873677f));
    c = vf32_fma(c, r2, vf32_set1(0.0416666456f));
    c = vf32_fma(vf32_mul(c, r2), r2, vf32_fnma(vf32_set1(0.5f), r2, vf32_set1(1.0f)));
    const vm32 even = vi32_eq(vi32_and(q, vi32_set1(1)), vi32_set1(0));
    const vi32 sign = vi32_shl(vi32_and(q, vi32_set1(2)), 30);
    return vf32_from_bits(vi32_xor(vf32_bits(vf32_select(even, s, c)), sign));
}

/* Past 8192 the C library reduces the argument, lane by lane. */
INGOT_INLINE vf32 vf32_sine_far(vf32 near, vf32 x, float (*far)(float))
{
    float lanes[VF32_LANES], results[VF32_LANES];

    if (!vm32_any(vf32_lt(vf32_set1(8192.0f), vf32_abs(x))))
        return near;
    vf32_store(lanes, x);
    vf32_store(results, near);
    for (int i = 0; i < VF32_LANES; i++)
        if (fabsf(lanes[i]) > 8192.0f)
            results[i] = far(lanes[i]);
    return vf32_load(results);
}

/* sin is quadrant 0, cos the next one. */
INGOT_INLINE vf32 vf32_sin(vf32 x) { return vf32_sine_far(vf32_sine(x, 0), x, sinf); }
INGOT_INLINE vf32 vf32_cos(vf32 x) { return vf32_sine_far(vf32_sine(x, 1), x, cosf); }

INGOT_INLINE vf32 vf32_relu(vf32 x) { return vf32_max(vf32_zero(), x); }                 /* keeps NaN */
INGOT_INLINE vf32 vf32_clip(vf32 x, vf32 low, vf32 high) { return vf32_min(high, vf32_max(low, x)); }

/* x < 0 ? slope x : x; NaN is not below 0 and passes. */
INGOT_INLINE vf32 vf32_leaky_relu(vf32 x, vf32 slope)
{
    return vf32_select(vf32_lt(x, vf32_zero()), vf32_mul(slope, x), x);
}

/* slope x + offset, clipped to [0, 1]. */
INGOT_INLINE vf32 vf32_hard_sigmoid(vf32 x, vf32 slope, vf32 offset)
{
    return vf32_clip(vf32_fma(x, slope, offset), vf32_zero(), vf32_set1(1.0f));
}

/* x times the hard sigmoid of 1/6 and 1/2. */
INGOT_INLINE vf32 vf32_hard_swish(vf32 x)
{
    return vf32_mul(x, vf32_hard_sigmoid(x, vf32_set1(1.0f / 6.0f), vf32_set1(0.5f)));
}

/* x < 0 ? below (exp(x / width) - 1) : above x */
INGOT_INLINE vf32 vf32_elu(vf32 x, vf32 below, vf32 width, vf32 above)
{
    const vf32 negative = vf32_mul(below, vf32_expm1_negative(vf32_div(vf32_min(vf32_zero(), x), width)));
    return vf32_select(vf32_lt(x, vf32_zero()), negative, vf32_mul(above, x));
}

/* x sigmoid(a x), written as one division; 4 ulp for |a x| < 43 */
INGOT_INLINE vf32 vf32_swish(vf32 x, vf32 a) { return vf32_div(x, vf32_exp_plus_one(vf32_mul(a, x), false)); }
INGOT_INLINE vf32 vf32_silu(vf32 x) { return vf32_div(x, vf32_exp_plus_one(x, false)); }

/* The last of two vectors with one division, as 1 / u = v / (u v): 4 ulp, but -9e-18 below -43. An element that is NaN
 * or infinite does not make its neighbour so. For many lanes, where a division takes longer than five products. */
INGOT_INLINE void vf32_silu_pair(vf32 *x, vf32 *y)
{
    const vf32 low = vf32_set1(-43.0f), high = vf32_set1(43.0f);

    if (EXP2_BITS == 0) {
        *x = vf32_silu(*x);
        *y = vf32_silu(*y);
        return;
    }
    const vf32 a = vf32_max(low, *x), b = vf32_max(low, *y);         /* max keeps NaN, and min drops it */
    const vf32 u = vf32_exp_plus_one_within(vf32_min(a, high), false);
    const vf32 v = vf32_exp_plus_one_within(vf32_min(b, high), false);
    const vf32 inverse = vf32_div(vf32_set1(1.0f), vf32_mul(u, v));

    *x = vf32_mul(a, vf32_mul(v, inverse));
    *y = vf32_mul(b, vf32_mul(u, inverse));
}

/* log(1 + exp(x)) = max(x, 0) + log(1 + exp(-|x|)) */
INGOT_INLINE vf32 vf32_softplus(vf32 x)
{
    return vf32_add(vf32_relu(x), vf32_log1p_finite(vf32_exp(vf32_sub(vf32_zero(), vf32_abs(x)))));
}

/* x tanh(log(1 + e^x)) = x w / (w + 2), w = e^x (e^x + 2); past 20 the fraction is 1 */
INGOT_INLINE vf32 vf32_mish(vf32 x)
{
    const vf32 e = vf32_exp(vf32_min(vf32_set1(20.0f), x)), two = vf32_set1(2.0f), w = vf32_mul(e, vf32_add(e, two));
    return vf32_mul(x, vf32_div(w, vf32_add(w, two)));
}

/* x/2 (1 + tanh(u)) with u = sqrt(2 / pi) (x + 0.044715 x^3), which is x / (1 + exp(-2 u)); 4e-8, or 4 ulp */
INGOT_INLINE vf32 vf32_gelu_tanh(vf32 x)
{
    const vf32 slope = vf32_fma(vf32_mul(x, x), vf32_set1(0.0713548163f), vf32_set1(1.59576912f));
    return vf32_div(x, vf32_exp_plus_one(vf32_mul(x, slope), false));
}

#endif
