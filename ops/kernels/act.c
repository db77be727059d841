/* act.c - activations over a strip of finished results that is still in the first-level cache. */
#include "ops/kernels/epilogue.h"
#include "ops/kernels/gelu.h"
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

/* Two vectors from p on and two from q on, side by side. */
INGOT_INLINE void gelu_pairs(float *p, float *q)
{
    vf32 x[4] = { vf32_load(p), vf32_load(p + VF32_LANES), vf32_load(q), vf32_load(q + VF32_LANES) };

    vf32_gelus(x, 4);
    vf32_store(p, x[0]);
    vf32_store(p + VF32_LANES, x[1]);
    vf32_store(q, x[2]);
    vf32_store(q + VF32_LANES, x[3]);
}

/* Four vectors at a time, of two rows where a row is one of a product's tile. */
static void gelu_rows(float *data, ptrdiff_t stride, int64_t rows, int64_t n)
{
    enum { PAIR = 2 * VF32_LANES };

    for (int64_t row = 0; row < rows; row++) {
        const bool two = n == PAIR && row + 1 < rows;
        float *p = data + row * stride, *const end = p + n;

        for (; end - p >= (two ? PAIR : 2 * PAIR); p += 2 * PAIR)
            gelu_pairs(p, p + (two ? stride : PAIR));
        row += two;
        for (; end - p >= VF32_LANES; p += VF32_LANES)
            vf32_store(p, vf32_gelu(vf32_load(p)));
        if (p < end)
            vf32_store_n(p, vf32_gelu(vf32_load_n(p, (size_t)(end - p))), (size_t)(end - p));
    }
}

void INGOT_FN(gelu_tile)(const float *held, int n, float *dst, int px, ptrdiff_t pixel, ptrdiff_t vector,
                         ptrdiff_t plane)
{
    const ptrdiff_t turn = vector - (px - 1) * pixel;
    int p = 0;

    for (; n > 0; n -= 4, held += 4 * VF32_LANES) {
        const int count = n < 4 ? n : 4;
        vf32 x[4];

        for (int i = 0; i < 4; i++)
            x[i] = vf32_load(held + (i < count ? i : 0) * VF32_LANES);
        vf32_gelus(x, 4);
        INGOT_UNROLL
        for (int i = 0; i < 4; i++) {
            if (i >= count)
                break;
            vf32_store_blocks(dst, plane, VF32_LANES / 8, x[i]);
            p = p + 1 == px ? 0 : p + 1;
            dst += p == 0 ? turn : pixel;
        }
    }
}

/* Do two vectors of Swish share a division? Not where long ones are split: there it takes no longer than the products
 * that replace it. */
static bool silus_share(void) { return SILUS > 1 && !wide_is_split(); }

/* Each vector by its own division. The blocks of one follow each other in a ring of rows. */
static void silu_apart(const float *held, float *dst, int px, int nv, ptrdiff_t pixel, ptrdiff_t vector,
                       ptrdiff_t plane)
{
    for (int v = 0; v < nv; v++, dst += vector)
        for (int p = 0; p < px; p++, held += VF32_LANES) {
            const vf32 x = vf32_silu(vf32_load(held));

            if (plane == 8)
                vf32_store(dst + p * pixel, x);
            else
                vf32_store_blocks(dst + p * pixel, plane, VF32_LANES / 8, x);
        }
}

void INGOT_FN(silu_tile)(const float *held, float *dst, int px, int nv, ptrdiff_t pixel, ptrdiff_t vector,
                         ptrdiff_t plane)
{
    if (!silus_share()) {
        silu_apart(held, dst, px, nv, pixel, vector, plane);
        return;
    }
    for (int v = 0; v < nv; v += 2, held += 2 * px * VF32_LANES, dst += 2 * vector)
        for (int p = 0; p < px; p++) {
            const float *at = held + p * VF32_LANES;
            vf32 x = vf32_load(at), y = vf32_load(at + px * VF32_LANES);

            vf32_silu_pair(&x, &y);
            vf32_store_blocks(dst + p * pixel, plane, VF32_LANES / 8, x);
            vf32_store_blocks(dst + p * pixel + vector, plane, VF32_LANES / 8, y);
        }
}

/* One loop for each activation, chosen once for all rows. The tail of a row goes through the same vector code as the
 * rest, so that an element's bits do not depend on where in a strip it lies. */
void INGOT_FN(act_rows_f32)(float *data, ptrdiff_t stride, int64_t rows, int64_t n, const ingot_epilogue *e)
{
    const vf32 a = vf32_set1(e->alpha), b = vf32_set1(e->beta), one = vf32_set1(1.0f);

    switch (e->act) {
    case INGOT_ACT_NONE: break;
    case INGOT_ACT_RELU: ACT_LOOP(vf32_relu(v));
    case INGOT_ACT_CLIP: ACT_LOOP(vf32_clip(v, a, b));
    case INGOT_ACT_LEAKY_RELU: ACT_LOOP(vf32_leaky_relu(v, a));
    case INGOT_ACT_HARD_SIGMOID: ACT_LOOP(vf32_hard_sigmoid(v, a, b));
    case INGOT_ACT_HARD_SWISH: ACT_LOOP(vf32_hard_swish(v));
    case INGOT_ACT_SIGMOID: ACT_LOOP(vf32_sigmoid(v));
    case INGOT_ACT_SILU: ACT_LOOP(vf32_silu(v));
    case INGOT_ACT_SWISH: ACT_LOOP(vf32_swish(v, a));
    case INGOT_ACT_TANH: ACT_LOOP(vf32_tanh(v));
    case INGOT_ACT_GELU: gelu_rows(data, stride, rows, n); break;
    case INGOT_ACT_GELU_TANH: ACT_LOOP(vf32_gelu_tanh(v));
    case INGOT_ACT_ELU: ACT_LOOP(vf32_elu(v, a, one, one));
    }
}

/* Swish of two planes, whose vectors share divisions. */
static void silu_planes(float *p, float *q, int64_t n)
{
    vf32 x, y;
    int64_t i = 0;

    for (; i + VF32_LANES <= n; i += VF32_LANES) {
        x = vf32_load(p + i), y = vf32_load(q + i);
        vf32_silu_pair(&x, &y);
        vf32_store(p + i, x), vf32_store(q + i, y);
    }
    if (i < n) {
        x = vf32_load_n(p + i, (size_t)(n - i)), y = vf32_load_n(q + i, (size_t)(n - i));
        vf32_silu_pair(&x, &y);
        vf32_store_n(p + i, x, (size_t)(n - i)), vf32_store_n(q + i, y, (size_t)(n - i));
    }
}

void INGOT_FN(act_planes_f32)(float *data, ptrdiff_t plane, int64_t planes, int64_t n, const ingot_epilogue *e)
{
    const bool pairs = e->act == INGOT_ACT_SILU && silus_share();

    for (; pairs && planes > 1; planes -= 2, data += 2 * plane)
        silu_planes(data, data + plane, n);
    INGOT_FN(act_rows_f32)(data, plane, planes, n, e);
}
