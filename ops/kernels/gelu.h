/* gelu.h - GELU on vectors, x/2 (1 + erf(x / sqrt 2)) = max(x, 0) + g(|x|) where g(t) = -t/2 erfc(t / sqrt 2): from
 * polynomials for pieces of g where the processor picks their factors by lanes, else by way of 2^x. */
#ifndef INGOT_OPS_KERNELS_GELU_H
#define INGOT_OPS_KERNELS_GELU_H

#include "ops/kernels/vmath.h"

/* g about 0, 1/2, 1, .. for each of 16 pieces, or about 0, 1, 2, .. for each of 8: the factors of the highest power of
 * the distance first. In the last piece g is below 3e-10 and becomes 0. Least-squares fits in double, reweighted toward
 * the smallest largest error: 3e-9, and 4e-10. */
enum { GELU_DEGREE = VF32_LANES == 16 ? 6 : 8 };

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
static const _Alignas(64) float gelu_pieces_8[9][8] __attribute__((unused)) = {
    { -0.000871196389f, 0.000829553348f, -0.00031974123f, 3.79761805e-05f, 1.107143e-05f, -2.48041806e-06f,
      -1.02198975e-07f, 0 },
    { -0.000386619184f, -0.00122962368f, 0.00109025906f, -0.000349974871f, 1.56689439e-05f, 7.15256283e-06f,
      1.8525904e-07f, 0 },
    { 0.0101891467f, -0.00603544153f, 0.000443080207f, 0.000777554989f, -0.000148623105f, -1.42051758e-05f,
      -2.31224135e-07f, 0 },
    { -6.63301398e-05f, 0.0161279347f, -0.00899400283f, -2.64812275e-06f, 0.000437905168f, 2.2736227e-05f,
      2.74139779e-07f, 0 },
    { -0.0664787367f, 0.020162873f, 0.0179976784f, -0.00406272803f, -0.000825256575f, -2.81243028e-05f,
      -2.65604911e-07f, 0 },
    { -1.11796419e-06f, -0.120985128f, -3.10807422e-07f, 0.011079805f, 0.00107059139f, 2.60217457e-05f,
      1.94759878e-07f, 0 },
    { 0.398942322f, 0.120985411f, -0.0539909899f, -0.0155114625f, -0.000936812663f, -1.70972562e-05f,
      -1.03279312e-07f, 0 },
    { -0.5f, 0.0833154693f, 0.0852318034f, 0.0119456435f, 0.000503650634f, 7.14686848e-06f, 3.54624667e-08f, 0 },
    { 0, -0.158655256f, -0.0455002636f, -0.00404969417f, -0.000126684958f, -1.43325792e-06f, -5.91959148e-09f, 0 },
};

/* Factors of one power, for the pieces that the low bits of k are the numbers of. */
INGOT_INLINE vf32 vf32_gelu_factors(int row, vi32 k)
{
    return vf32_pick(vf32_load(VF32_LANES == 16 ? gelu_pieces_16[row] : gelu_pieces_8[row]), k);
}

/* 2 ulp, or 4e-9; 0 where it is less than 3e-10. NaN stays, as the least of a number and NaN is the latter. Adding
 * 1.5 * 2^23 pieces rounds to whole ones. n vectors, up to four, step by step: one alone is a chain of steps that wait
 * for each other, too long for a processor to look past it. */
INGOT_INLINE void vf32_gelus_by_pieces(vf32 *x, int n)
{
    const float piece = 8.0f / VF32_LANES;
    const vf32 magic = vf32_set1(12582912.0f * piece), last = vf32_set1(8.0f - piece);
    vf32 r[4], p[4];
    vi32 k[4];

    INGOT_UNROLL
    for (int i = 0; i < n; i++) {
        const vf32 t = vf32_min(last, vf32_abs(x[i])), sum = vf32_add(t, magic);
        k[i] = vf32_bits(sum);
        r[i] = vf32_sub(t, vf32_sub(sum, magic));
        p[i] = vf32_gelu_factors(0, k[i]);
    }
    INGOT_UNROLL
    for (int power = 1; power < GELU_DEGREE; power++) {
        INGOT_UNROLL
        for (int i = 0; i < n; i++)
            p[i] = vf32_fma(p[i], r[i], vf32_gelu_factors(power, k[i]));
    }
    INGOT_UNROLL
    for (int i = 0; i < n; i++)
        x[i] = vf32_fma(p[i], r[i], vf32_add(vf32_gelu_factors(GELU_DEGREE, k[i]), vf32_relu(x[i])));
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
