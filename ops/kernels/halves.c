/* halves.c - 16-bit floats to float and back, a vector at a time; the rest of an array through a vector on the stack.
 * The bits are those of the conversions in engine/core/tensor.h, of NaN too, whatever the instruction set makes of
 * one. */
#include "ops/kernels/isa.h"

/* Exactly. The processor would make signalling NaN quiet: their bits are shifted instead. */
INGOT_INLINE vf32 widen(const uint16_t *src, bool bfloat)
{
    const int16_t *codes = (const int16_t *)src;

    if (bfloat)
        return vf32_from_bits(vi32_shl(vi32_load_i16(codes, 8), 16));
    const vf32 wide = vf32_load_f16(src);
    const vm32 number = vf32_eq(wide, wide);
    if (!vm32_any(vm32_not(number)))
        return wide;
    const vi32 code = vi32_load_i16(codes, 8), payload = vi32_shl(vi32_and(code, vi32_set1(0x7fff)), 13);
    const vi32 sign = vi32_and(code, vi32_set1(INT32_MIN)), infinity = vi32_set1(0x7f800000);
    return vf32_select(number, wide, vf32_from_bits(vi32_or(sign, vi32_or(infinity, payload))));
}

/* To nearest, ties to even. bfloat16 NaN keep their upper bits and become quiet; those of float16 lose all but the
 * sign. */
INGOT_INLINE void narrow(uint16_t *dst, vf32 x, bool bfloat)
{
    const vi32 bits = vf32_bits(x);
    const vm32 number = vf32_eq(x, x);

    if (bfloat) {
        const vi32 high = vi32_shr(bits, 16), odd = vi32_and(high, vi32_set1(1));
        const vi32 rounded = vi32_shr(vi32_add(vi32_add(bits, vi32_set1(0x7fff)), odd), 16);
        vi32_store_i16((int16_t *)dst, vi32_select(number, rounded, vi32_or(high, vi32_set1(0x40))));
    } else {
        const vi32 nan = vi32_or(vi32_and(bits, vi32_set1(INT32_MIN)), vi32_set1(0x7fc00000));
        vf32_store_f16(dst, vf32_select(number, x, vf32_from_bits(nan)));
    }
}

/* The loops, for one type each. */
INGOT_INLINE void widen_all(float *dst, const uint16_t *src, int64_t n, bool bfloat)
{
    uint16_t rest[VF32_LANES] = {0};
    int64_t i = 0;

    for (; i + VF32_LANES <= n; i += VF32_LANES)
        vf32_store(dst + i, widen(src + i, bfloat));
    if (i == n)
        return;
    memcpy(rest, src + i, (size_t)(n - i) * sizeof *rest);
    vf32_store_n(dst + i, widen(rest, bfloat), (size_t)(n - i));
}

INGOT_INLINE void narrow_all(uint16_t *dst, const float *src, int64_t n, bool bfloat)
{
    uint16_t rest[VF32_LANES];
    int64_t i = 0;

    for (; i + VF32_LANES <= n; i += VF32_LANES)
        narrow(dst + i, vf32_load(src + i), bfloat);
    if (i == n)
        return;
    narrow(rest, vf32_load_n(src + i, (size_t)(n - i)), bfloat);
    memcpy(dst + i, rest, (size_t)(n - i) * sizeof *rest);
}

void INGOT_FN(widen_f32)(float *dst, const uint16_t *src, int64_t n, bool bfloat)
{
    if (bfloat)
        widen_all(dst, src, n, true);
    else
        widen_all(dst, src, n, false);
}

void INGOT_FN(narrow_f32)(uint16_t *dst, const float *src, int64_t n, bool bfloat)
{
    if (bfloat)
        narrow_all(dst, src, n, true);
    else
        narrow_all(dst, src, n, false);
}
