/* act.c - activations over a strip of finished results that is still in the first-level cache. */
#include "ops/kernels/vmath.h"

/* One activation for all vectors of the strips: `expression` of v, with a and b holding alpha and beta. */
#define ACT_LOOP(expression) \
    for (int64_t row = 0; row < rows; row++) { \
        float *p = data + row * stride; \
        int64_t i = 0; \
        for (; i + VF32_LANES <= n; i += VF32_LANES) { \
            const vf32 v = vf32_load(p + i); \
            vf32_store(p + i, (expression)); \
        } \
        if (i < n) { \
            const vf32 v = vf32_load_n(p + i, (size_t)(n - i)); \
            vf32_store_n(p + i, (expression), (size_t)(n - i)); \
        } \
    } \
    break

INGOT_INLINE vf32 hard_sigmoid(vf32 v, vf32 slope, vf32 offset)
{
    return vf32_max(vf32_zero(), vf32_min(vf32_set1(1.0f), vf32_fma(v, slope, offset)));
}

INGOT_INLINE vf32 elu(vf32 v, vf32 alpha)
{
    const vf32 negative = vf32_mul(alpha, vf32_sub(vf32_exp(vf32_min(vf32_zero(), v)), vf32_set1(1.0f)));
    return vf32_select(vf32_lt(v, vf32_zero()), negative, v);
}

/* x/2 (1 + erf(x / sqrt 2)) */
INGOT_INLINE vf32 gelu(vf32 v)
{
    const vf32 half = vf32_mul(v, vf32_set1(0.5f));
    return vf32_fma(half, vf32_erf(vf32_mul(v, vf32_set1(0.707106781f))), half);
}

/* x/2 (1 + tanh(sqrt(2 / pi) (x + 0.044715 x^3))) */
INGOT_INLINE vf32 gelu_tanh(vf32 v)
{
    const vf32 half = vf32_mul(v, vf32_set1(0.5f)), v2 = vf32_mul(v, v);
    const vf32 slope = vf32_fma(v2, vf32_set1(0.0356774081f), vf32_set1(0.797884561f));
    return vf32_fma(half, vf32_tanh(vf32_mul(v, slope)), half);
}

void INGOT_FN(act_rows_f32)(float *data, ptrdiff_t stride, int64_t rows, int64_t n, const ingot_epilogue *e)
{
    const vf32 a = vf32_set1(e->alpha), b = vf32_set1(e->beta), zero = vf32_zero(), sixth = vf32_set1(1.0f / 6.0f);

    switch (e->act) {
    case INGOT_ACT_NONE: break;
    case INGOT_ACT_RELU: ACT_LOOP(vf32_max(zero, v));
    case INGOT_ACT_CLIP: ACT_LOOP(vf32_min(b, vf32_max(a, v)));
    case INGOT_ACT_LEAKY_RELU: ACT_LOOP(vf32_select(vf32_lt(v, zero), vf32_mul(a, v), v));
    case INGOT_ACT_HARD_SIGMOID: ACT_LOOP(hard_sigmoid(v, a, b));
    case INGOT_ACT_HARD_SWISH: ACT_LOOP(vf32_mul(v, hard_sigmoid(v, sixth, vf32_set1(0.5f))));
    case INGOT_ACT_SIGMOID: ACT_LOOP(vf32_sigmoid(v));
    case INGOT_ACT_SILU: ACT_LOOP(vf32_mul(v, vf32_sigmoid(v)));
    case INGOT_ACT_TANH: ACT_LOOP(vf32_tanh(v));
    case INGOT_ACT_GELU: ACT_LOOP(gelu(v));
    case INGOT_ACT_GELU_TANH: ACT_LOOP(gelu_tanh(v));
    case INGOT_ACT_ELU: ACT_LOOP(elu(v, a));
    }
}
