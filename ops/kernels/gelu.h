/* gelu.h - GELU on vectors, x/2 (1 + erf(x / sqrt 2)) = max(x, 0) + g(|x|) where g(t) = -t/2 erfc(t / sqrt 2): from
 * polynomials for pieces of g where the processor picks their factors by lanes, else by way of 2^x. */
#ifndef INGOT_OPS_KERNELS_GELU_H
#define INGOT_OPS_KERNELS_GELU_H

#include "ops/kernels/vmath.h"

/* Vectors of 16: g about 0, 1/2, 1, .. for each of 16 pieces, the factors of the highest power of the distance first.
 * In the last piece g is below 3e-10 and becomes 0. Vectors of 8: g(t) / t about GELU_WIDTH (k + 1/2) for each of four
 * pieces, which is 0 at the end of the last. Least-squares fits in double, reweighted toward the smallest largest
 * error: 3e-9, and 1e-10. */
enum { GELU_DEGREE = VF32_LANES == 16 ? 6 : 10 };

static const _Alignas(64) float gelu_pieces_16[7][16] __attribute__((unused)) = {
    { 0.00943337101f, 0.00302712596f, -0.00592568889f, -0.00484067528f, 0.000401555386f, 0.00192298205f,
      0.0007818999f, -4.54519868e-05f, -0.000146921273f, -6.17821352e-05f, -1.45565682e-05f, -2.2644881e-06f,
      -2.4704525e-07f, -1.94844461e-08f, -1.13120713e-09f, 0 },
    { 0.000243765069f, 0.0221119132f, 0.0159952939f, -0.00257049594f, -0.00887703896f, -0.00428292435f,
      -3.95928655e-05f, 0.00083626376f, 0.00043925285f, 0.000125385835f, 2.35483658e-05f, 3.10541577e-06f,
      2.96791512e-07f, 2.09363158e-08f, 1.10300047e-09f, 0 },
    { -0.0665361285f, -0.033921998f, 0.0201586727f, 0.0360876657f, 0.0179991629f, 0.000503334391f,
      -0.00406281091f, -0.00248431996f, -0.000825350115f, -0.00018133175f, -2.81081502e-05f, -3.17010176e-06f,
      -2.64724605e-07f, -1.65503273e-08f, -7.80512932e-10f, 0 },
    { 4.12414283e-06f, -0.110009491f, -0.12098112f, -0.0566689745f, -3.78999789e-06f, 0.016433239f,
      0.0110808555f, 0.00420015026f, 0.00107057777f, 0.000194729291f, 2.59940407e-05f, 2.58701016e-06f,
      1.93864778e-07f, 1.10120109e-08f, 4.76372108e-10f, 0 },
    { 0.398942113f, 0.308057159f, 0.120985448f, -0.0161896721f, -0.0539909974f, -0.0372476578f, -0.0155114653f,
      -0.00447249366f, -0.000936810626f, -0.000145852013f, -1.7097509e-05f, -1.52128723e-06f, -1.03298881e-07f,
      -5.37338796e-09f, -2.14731066e-10f, 0 },
    { -0.5f, -0.132504955f, 0.0833154395f, 0.127469227f, 0.0852318332f, 0.0376110822f, 0.0119456379f,
      0.00282175746f, 0.000503650168f, 6.85297273e-05f, 7.14712996e-06f, 5.73382181e-07f, 3.54731249e-08f,
      1.6954439e-09f, 6.26883753e-11f, 0 },
    { 0, -0.154268771f, -0.158655256f, -0.100210801f, -0.0455002636f, -0.0155241629f, -0.00404969417f,
      -0.000814201776f, -0.000126684972f, -1.52895282e-05f, -1.43325724e-06f, -1.04442449e-07f, -5.91950355e-09f,
      -2.61037775e-10f, -8.95852403e-12f, 0 },
};
static const float gelu_pieces_4[11][4] __attribute__((unused)) = {
    { -1.19176875e-5f, -5.82594e-6f, 5.4090475e-7f, -1.5345396e-8f },
    { -5.974319e-5f, 2.1635196e-5f, -6.5672793e-7f, 4.4362825e-8f },
    { 0.0002506695f, 1.5058805e-5f, -4.2250986e-6f, -7.9625465e-8f },
    { 0.00047559524f, -0.00027307696f, 2.3656019e-5f, 1.4161682e-7f },
    { -0.0028556609f, 0.00063124765f, -7.1810995e-5f, -2.2026082e-7f },
    { -0.0012536753f, 0.0004518513f, 0.00015282433f, 2.703937e-7f },
    { 0.022716664f, -0.006109989f, -0.00023777764f, -2.6237316e-7f },
    { -0.016243896f, 0.016844176f, 0.0002688017f, 1.9696016e-7f },
    { -0.11650703f, -0.024926694f, -0.00021129832f, -1.0730113e-7f },
    { 0.28678668f, 0.020452673f, 0.000104023515f, 3.773735e-8f },
    { -0.2082524f, -0.007394607f, -2.4274972e-5f, -6.40509e-9f },
};
#define GELU_WIDTH 1.625f

/* Factors of one power, for the pieces that the low bits of k are the numbers of. */
INGOT_INLINE vf32 vf32_gelu_factors(int row, vi32 k)
{
    return vf32_pick(VF32_LANES == 16 ? gelu_pieces_16[row] : gelu_pieces_4[row], k);
}

/* 2 ulp, of four pieces 3, or 4e-9; 0 where it is less than 3e-10. NaN stays, as the least of a number and NaN is the
 * latter. Adding 1.5 * 2^23 pieces rounds to whole ones. n vectors, up to four, step by step: one alone is a chain of
 * steps that wait for each other, too long for a processor to look past it. */
INGOT_INLINE void vf32_gelus_by_pieces(vf32 *x, int n)
{
    const bool half = VF32_LANES == 16;
    const vf32 magic = vf32_set1(12582912.0f * (half ? 0.5f : 1)), last = vf32_set1(half ? 7.5f : 4 * GELU_WIDTH);
    vf32 t[4], r[4], p[4];
    vi32 k[4];

    INGOT_UNROLL
    for (int i = 0; i < n; i++) {
        t[i] = vf32_min(last, vf32_abs(x[i]));
        if (half) {
            const vf32 sum = vf32_add(t[i], magic);
            k[i] = vf32_bits(sum);
            r[i] = vf32_sub(t[i], vf32_sub(sum, magic));
        } else { /* by a hair less than 1 / GELU_WIDTH, so that both ends stay inside */
            const vf32 from = vf32_sub(t[i], vf32_set1(GELU_WIDTH / 2));
            const vf32 sum = vf32_fma(from, vf32_set1(0.61537844f), magic);
            k[i] = vf32_bits(sum);
            r[i] = vf32_fnma(vf32_sub(sum, magic), vf32_set1(GELU_WIDTH), from);
        }
        p[i] = vf32_gelu_factors(0, k[i]);
    }
    INGOT_UNROLL
    for (int power = 1; power < GELU_DEGREE + !half; power++) {
        INGOT_UNROLL
        for (int i = 0; i < n; i++)
            p[i] = vf32_fma(p[i], r[i], vf32_gelu_factors(power, k[i]));
    }
    INGOT_UNROLL
    for (int i = 0; i < n; i++)
        x[i] = half ? vf32_fma(p[i], r[i], vf32_add(vf32_gelu_factors(GELU_DEGREE, k[i]), vf32_relu(x[i])))
                    : vf32_fma(p[i], t[i], vf32_relu(x[i]));
}

/* g(t) = t/2 2^(-t Q(-t)), which here is written for -t; 5e-8, or 8 ulp. From -12.8 on, where this is -6e-36, it stays
 * so. */
INGOT_INLINE void vf32_gelus_by_exp2(vf32 *x, int n)
{
    static const float factors[] = { -2.41174985e-6f, -2.73115838e-5f, -0.000116531359f, 0.000323501707f,
                                     0.00732722692f, 0.0526934452f, -0.459137082f, 1.15111446f };
    const vf32 magic = vf32_set1(12582912.0f), half = vf32_set1(0.5f);
    vf32 t[4], q[4], sum[4];

    INGOT_UNROLL
    for (int i = 0; i < n; i++) {
        const vf32 below = vf32_from_bits(vi32_or(vf32_bits(x[i]), vi32_set1(INT32_MIN)));
        t[i] = vf32_max(vf32_set1(-12.8f), below);
        q[i] = vf32_set1(-7.67705046e-8f);
    }
    INGOT_UNROLL
    for (int k = 0; k < 8; k++) {
        INGOT_UNROLL
        for (int i = 0; i < n; i++)
            q[i] = vf32_fma(q[i], t[i], vf32_set1(factors[k]));
    }
    INGOT_UNROLL
    for (int i = 0; i < n; i++)
        sum[i] = vf32_fma(t[i], q[i], magic);
    INGOT_UNROLL
    for (int i = 0; i < n; i++)
        q[i] = vf32_fma(t[i], q[i], vf32_sub(magic, sum[i]));
    INGOT_UNROLL
    for (int i = 0; i < n; i++)
        t[i] = vf32_mul(t[i], vf32_exp2_steps(vf32_bits(sum[i])));
    INGOT_UNROLL
    for (int i = 0; i < n; i++) {
        const vf32 s = vf32_mul(q[i], vf32_set1(0.693147181f));
        const vf32 power = vf32_fma(half, vf32_fma(vf32_mul(s, s), vf32_exp_tail(s), s), half);      /* 2^q / 2 */
        x[i] = vf32_fma(t[i], power, vf32_relu(x[i]));
    }
}

INGOT_INLINE void vf32_gelus(vf32 *x, int n)
{
    if (EXP2_BITS == 0)
        vf32_gelus_by_exp2(x, n);
    else
        vf32_gelus_by_pieces(x, n);
}

INGOT_INLINE vf32 vf32_gelu(vf32 x)
{
    vf32_gelus(&x, 1);
    return x;
}

#endif
