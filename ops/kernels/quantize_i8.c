/* quantize_i8.c - between floats and bytes, and elementwise work on bytes: y = saturate(round(x / scale) + zero).
 * Values are clamped before they are rounded, so that they fit an integer; NaN becomes the lower limit. */
#include "ops/kernels/isa.h"

/* Rounded between low and high, plus zero. */
INGOT_INLINE vi32 round_between(vf32 x, vf32 low, vf32 high, vi32 zero)
{
    return vi32_add(vf32_to_i32(vf32_min(vf32_max(x, low), high)), zero);
}

/* The first n < VF32_LANES lanes as bytes. */
INGOT_INLINE void store_some(void *dst, vi32 x, int64_t n)
{
    uint8_t bytes[VF32_LANES];

    vi32_store_i8(bytes, x);
    memcpy(dst, bytes, (size_t)(n < VF32_LANES ? n : VF32_LANES));
}

/* The first n < VF32_LANES bytes, widened; the lanes past them are 0. */
INGOT_INLINE vi32 load_some(const void *src, int64_t n, bool is_signed)
{
    uint8_t bytes[16] = { 0 };

    memcpy(bytes, src, (size_t)(n < VF32_LANES ? n : VF32_LANES));
    return vi32_load_i8(bytes, is_signed);
}

/* Compilers find the instructions that widen bytes to 16 bits in plain loops. */
void INGOT_FN(widen_i8)(int16_t *dst, const void *src, int64_t n, bool is_signed, int zero)
{
    const uint8_t *u = src;
    const int8_t *s = src;
    const int16_t off = (int16_t)zero;

    for (int64_t i = 0; !is_signed && i < n; i++)
        dst[i] = (int16_t)(u[i] - off);
    for (int64_t i = 0; is_signed && i < n; i++)
        dst[i] = (int16_t)(s[i] - off);
}

/* A true division by the scale, as the standard has it: a product with its inverse would round some ties the other
 * way. */
void INGOT_FN(quantize_i8)(void *dst, const float *src, int64_t n, float scale, int zero, float low, float high)
{
    const vf32 by = vf32_set1(scale), bottom = vf32_set1(low), top = vf32_set1(high);
    const vi32 plus = vi32_set1(zero);
    uint8_t *to = dst;
    int64_t i = 0;

    for (; i + VF32_LANES <= n; i += VF32_LANES)
        vi32_store_i8(to + i, round_between(vf32_div(vf32_load(src + i), by), bottom, top, plus));
    if (i < n) {
        const vf32 x = vf32_load_n(src + i, (size_t)(n - i));
        store_some(to + i, round_between(vf32_div(x, by), bottom, top, plus), n - i);
    }
}

/* (x - zero) scale. A vector may be loaded as 16 bytes, so what is nearer to the end goes through a copy. */
void INGOT_FN(dequantize_i8)(float *dst, const void *src, int64_t n, bool is_signed, float scale, int zero)
{
    const uint8_t *from = src;
    const vf32 by = vf32_set1(scale);
    const vi32 off = vi32_set1(zero);
    int64_t i = 0;

    for (; i + 16 <= n; i += VF32_LANES)
        vf32_store(dst + i, vf32_mul(vf32_from_i32(vi32_sub(vi32_load_i8(from + i, is_signed), off)), by));
    for (; i < n; i += VF32_LANES) {
        const vf32 y = vf32_mul(vf32_from_i32(vi32_sub(load_some(from + i, n - i, is_signed), off)), by);
        vf32_store_n(dst + i, y, (size_t)min64(n - i, VF32_LANES));
    }
}

/* The smallest and largest element and 0, which a quantized range must hold. The zeros of a tail change nothing
 * then. */
void INGOT_FN(range_f32)(const float *src, int64_t n, float *low, float *high)
{
    vf32 lows[4], highs[4];
    int64_t i = 0;

    for (int v = 0; v < 4; v++)
        lows[v] = highs[v] = vf32_zero();
    for (; i + 4 * VF32_LANES <= n; i += 4 * VF32_LANES) {
        INGOT_UNROLL
        for (int v = 0; v < 4; v++) {                  /* the element first: of two that do not compare, the other */
            const vf32 x = vf32_load(src + i + v * VF32_LANES);
            lows[v] = vf32_min(x, lows[v]);
            highs[v] = vf32_max(x, highs[v]);
        }
    }
    for (; i < n; i += VF32_LANES) {
        const vf32 x = vf32_load_n(src + i, (size_t)min64(n - i, VF32_LANES));
        lows[0] = vf32_min(x, lows[0]);
        highs[0] = vf32_max(x, highs[0]);
    }
    *low = vf32_hmin(vf32_min(vf32_min(lows[0], lows[1]), vf32_min(lows[2], lows[3])));
    *high = vf32_hmax(vf32_max(vf32_max(highs[0], highs[1]), vf32_max(highs[2], highs[3])));
}

/* Sum or product of two quantized tensors in float, quantized again; b may be a single element. */
void INGOT_FN(mix_i8)(void *dst, const void *a, const void *b, int64_t n, const ingot_mix *m)
{
    const vf32 a_scale = vf32_set1(m->a_scale), b_scale = vf32_set1(m->b_scale);
    const vf32 low = vf32_set1(m->low), high = vf32_set1(m->high);
    const vi32 a_zero = vi32_set1(m->a_zero), b_zero = vi32_set1(m->b_zero), zero = vi32_set1(m->zero);
    const uint8_t *x = a, *y = b;
    const int single = m->is_signed ? (int8_t)*y : *y;
    uint8_t *to = dst;

    for (int64_t i = 0; i < n; i += VF32_LANES) {
        /* near the end, bytes go through a copy both ways */
        const bool whole = i + 16 <= n;
        const vi32 av = whole ? vi32_load_i8(x + i, m->is_signed) : load_some(x + i, n - i, m->is_signed);
        const vi32 bv = m->b_single ? vi32_set1(single)
                      : whole ? vi32_load_i8(y + i, m->is_signed) : load_some(y + i, n - i, m->is_signed);
        const vf32 af = vf32_from_i32(vi32_sub(av, a_zero)), bf = vf32_from_i32(vi32_sub(bv, b_zero));
        const vf32 r = m->product ? vf32_mul(vf32_mul(af, bf), a_scale)
                                  : vf32_add(vf32_mul(af, a_scale), vf32_mul(bf, b_scale));
        const vi32 q = round_between(r, low, high, zero);
        if (whole)
            vi32_store_i8(to + i, q);
        else
            store_some(to + i, q, n - i);
    }
}

/* dst becomes the larger of itself and n pixels of src, `step` bytes apart, in the compiler's vectors of 8 bytes. */
void INGOT_FN(max_pixels_i8)(void *dst, const void *src, ptrdiff_t step, int64_t n, bool is_signed)
{
    typedef uint8_t bytes8 __attribute__((vector_size(8)));
    const uint8_t flip = is_signed ? 0x80 : 0;         /* makes the order of signed bytes that of unsigned ones */
    const bytes8 flips = { flip, flip, flip, flip, flip, flip, flip, flip };

    for (int64_t i = 0; i < n; i++) {
        bytes8 a, b;
        memcpy(&a, (const char *)dst + i * 8, sizeof a);
        memcpy(&b, (const char *)src + i * step, sizeof b);
        const bytes8 more = (bytes8)((a ^ flips) > (b ^ flips)), r = (a & more) | (b & ~more);
        memcpy((char *)dst + i * 8, &r, sizeof r);
    }
}

/* The sums of n pixels by channel; a vector with two pixels adds its halves in the end. */
void INGOT_FN(sum_pixels_i8)(int32_t *sums, const void *src, int64_t n, bool is_signed)
{
    const uint8_t *from = src;
    int32_t lanes[VF32_LANES];
    vi32 sum = vi32_set1(0);

    for (int64_t i = 0; i < n * 8; i += VF32_LANES)
        sum = vi32_add(sum, i + 16 <= n * 8 ? vi32_load_i8(from + i, is_signed)
                                            : load_some(from + i, n * 8 - i, is_signed));
    vi32_store(lanes, sum);
    for (int c = 0; c < 8; c++)
        sums[c] = lanes[c] + (VF32_LANES > 8 ? lanes[VF32_LANES - 8 + c] : 0);
}
