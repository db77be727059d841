/* simd_neon.h - vf8, vi8, vm8 as pairs of 4-lane NEON registers (AArch64). What each primitive means is written in
 * simd_generic.h. NEON's own min and max return NaN for NaN, so they are built from compares here. */
#ifndef INGOT_OPS_KERNELS_SIMD_NEON_H
#define INGOT_OPS_KERNELS_SIMD_NEON_H

#include <arm_neon.h>

#include "ops/kernels/isa.h"

typedef struct { float32x4_t lo, hi; } vf8;
typedef struct { int32x4_t lo, hi; } vi8;
typedef struct { uint32x4_t lo, hi; } vm8;

#define GEMM_MR_8 6       /* rows of the matrix product's tile; two vectors wide */
#define CONV_PX1_8 12     /* pixels of a convolution tile that is one vector wide */
#define CONV_PX2_8 6      /* the same for two vectors */
#define CONV_HELD_8 6     /* the same where both vectors of weights keep a register */
#define CONV_MINIMAL_8 0  /* no minimal filtering of first layers */
#define DW_PIXELS_8 7     /* of a depthwise tile */
#define EXP2_BITS_8 0     /* no table */

/* f on both halves: one and two arguments. */
#define NEON1(type, f, a) ((type){ f((a).lo), f((a).hi) })
#define NEON2(type, f, a, b) ((type){ f((a).lo, (b).lo), f((a).hi, (b).hi) })

INGOT_INLINE vi8 vi8_load(const int32_t *p) { return (vi8){ vld1q_s32(p), vld1q_s32(p + 4) }; }
INGOT_INLINE void vi8_store(int32_t *p, vi8 a) { vst1q_s32(p, a.lo), vst1q_s32(p + 4, a.hi); }
INGOT_INLINE vi8 vi8_set1(int32_t x) { return (vi8){ vdupq_n_s32(x), vdupq_n_s32(x) }; }

INGOT_INLINE vi8 vi8_load_n(const int32_t *p, size_t n)
{
    int32_t r[8] = { 0 };
    memcpy(r, p, n * sizeof *p);
    return vi8_load(r);
}

INGOT_INLINE void vi8_store_n(int32_t *p, vi8 a, size_t n)
{
    int32_t r[8];
    vi8_store(r, a);
    memcpy(p, r, n * sizeof *p);
}

INGOT_INLINE vi8 vi8_add(vi8 a, vi8 b) { return NEON2(vi8, vaddq_s32, a, b); }
INGOT_INLINE vi8 vi8_sub(vi8 a, vi8 b) { return NEON2(vi8, vsubq_s32, a, b); }
INGOT_INLINE vi8 vi8_mul(vi8 a, vi8 b) { return NEON2(vi8, vmulq_s32, a, b); }
INGOT_INLINE vi8 vi8_min(vi8 a, vi8 b) { return NEON2(vi8, vminq_s32, a, b); }
INGOT_INLINE vi8 vi8_max(vi8 a, vi8 b) { return NEON2(vi8, vmaxq_s32, a, b); }
INGOT_INLINE vi8 vi8_and(vi8 a, vi8 b) { return NEON2(vi8, vandq_s32, a, b); }
INGOT_INLINE vi8 vi8_or(vi8 a, vi8 b) { return NEON2(vi8, vorrq_s32, a, b); }
INGOT_INLINE vi8 vi8_xor(vi8 a, vi8 b) { return NEON2(vi8, veorq_s32, a, b); }

INGOT_INLINE vi8 vi8_shl(vi8 a, int count)
{
    const int32x4_t c = vdupq_n_s32(count);
    return (vi8){ vshlq_s32(a.lo, c), vshlq_s32(a.hi, c) };
}

INGOT_INLINE vi8 vi8_sar(vi8 a, int count) { return vi8_shl(a, -count); }

INGOT_INLINE vi8 vi8_shr(vi8 a, int count)
{
    const int32x4_t c = vdupq_n_s32(-count);
    return (vi8){ vreinterpretq_s32_u32(vshlq_u32(vreinterpretq_u32_s32(a.lo), c)),
                  vreinterpretq_s32_u32(vshlq_u32(vreinterpretq_u32_s32(a.hi), c)) };
}

INGOT_INLINE int32x4_t neon_dot2(int32x4_t acc, int32x4_t a, int32x4_t b)
{
    const int16x8_t x = vreinterpretq_s16_s32(a), y = vreinterpretq_s16_s32(b);
    return vaddq_s32(acc, vpaddq_s32(vmull_s16(vget_low_s16(x), vget_low_s16(y)), vmull_high_s16(x, y)));
}

INGOT_INLINE vi8 vi8_dot2(vi8 acc, vi8 a, vi8 b)
{
    return (vi8){ neon_dot2(acc.lo, a.lo, b.lo), neon_dot2(acc.hi, a.hi, b.hi) };
}

INGOT_INLINE vi8 vi8_load_i16(const int16_t *p)
{
    const int16x8_t x = vld1q_s16(p);
    return (vi8){ vmovl_s16(vget_low_s16(x)), vmovl_high_s16(x) };
}

INGOT_INLINE vi8 vi8_load_i8(const void *p, bool is_signed)
{
    const int16x8_t x = is_signed ? vmovl_s8(vld1_s8(p)) : vreinterpretq_s16_u16(vmovl_u8(vld1_u8(p)));
    return (vi8){ vmovl_s16(vget_low_s16(x)), vmovl_high_s16(x) };
}

INGOT_INLINE void vi8_store_i16(int16_t *p, vi8 a) { vst1q_s16(p, vmovn_high_s32(vmovn_s32(a.lo), a.hi)); }
INGOT_INLINE void vi8_store_i8(void *p, vi8 a) { vst1_s8(p, vmovn_s16(vmovn_high_s32(vmovn_s32(a.lo), a.hi))); }

typedef struct { float64x2_t lo, hi; } vd4;
#define GEMM_MR_D4 4
INGOT_INLINE vd4 vd4_load(const double *p) { return (vd4){ vld1q_f64(p), vld1q_f64(p + 2) }; }
INGOT_INLINE void vd4_store(double *p, vd4 a) { vst1q_f64(p, a.lo), vst1q_f64(p + 2, a.hi); }
INGOT_INLINE vd4 vd4_set1(double x) { return (vd4){ vdupq_n_f64(x), vdupq_n_f64(x) }; }
INGOT_INLINE vd4 vd4_acc(vd4 acc, vd4 a, vd4 b)
{
    return (vd4){ vfmaq_f64(acc.lo, a.lo, b.lo), vfmaq_f64(acc.hi, a.hi, b.hi) };
}

INGOT_INLINE vf8 vf8_load_f16(const uint16_t *p)
{
    const float16x8_t x = vreinterpretq_f16_u16(vld1q_u16(p));
    return (vf8){ vcvt_f32_f16(vget_low_f16(x)), vcvt_high_f32_f16(x) };
}
INGOT_INLINE void vf8_store_f16(uint16_t *p, vf8 a)
{
    vst1q_u16(p, vreinterpretq_u16_f16(vcvt_high_f16_f32(vcvt_f16_f32(a.lo), a.hi)));
}

INGOT_INLINE vf8 vf8_load(const float *p) { return (vf8){ vld1q_f32(p), vld1q_f32(p + 4) }; }
INGOT_INLINE void vf8_store(float *p, vf8 a) { vst1q_f32(p, a.lo), vst1q_f32(p + 4, a.hi); }
INGOT_INLINE vf8 vf8_set1(float x) { return (vf8){ vdupq_n_f32(x), vdupq_n_f32(x) }; }
INGOT_INLINE vf8 vf8_zero(void) { return vf8_set1(0.0f); }

INGOT_INLINE vf8 vf8_load_n(const float *p, size_t n)
{
    float r[8] = { 0 };
    memcpy(r, p, (n < 8 ? n : 8) * sizeof *p);        /* the bound is for the compiler's warnings */
    return vf8_load(r);
}

INGOT_INLINE void vf8_store_n(float *p, vf8 a, size_t n)
{
    float r[8];
    vf8_store(r, a);
    memcpy(p, r, n * sizeof *p);
}

INGOT_INLINE vf8 vf8_add(vf8 a, vf8 b) { return NEON2(vf8, vaddq_f32, a, b); }
INGOT_INLINE vf8 vf8_sub(vf8 a, vf8 b) { return NEON2(vf8, vsubq_f32, a, b); }
INGOT_INLINE vf8 vf8_mul(vf8 a, vf8 b) { return NEON2(vf8, vmulq_f32, a, b); }
INGOT_INLINE vf8 vf8_div(vf8 a, vf8 b) { return NEON2(vf8, vdivq_f32, a, b); }
INGOT_INLINE float32x4_t neon_min(float32x4_t a, float32x4_t b) { return vbslq_f32(vcltq_f32(a, b), a, b); }
INGOT_INLINE float32x4_t neon_max(float32x4_t a, float32x4_t b) { return vbslq_f32(vcgtq_f32(a, b), a, b); }
INGOT_INLINE vf8 vf8_min(vf8 a, vf8 b) { return NEON2(vf8, neon_min, a, b); }
INGOT_INLINE vf8 vf8_max(vf8 a, vf8 b) { return NEON2(vf8, neon_max, a, b); }
INGOT_INLINE vf8 vf8_fma(vf8 a, vf8 b, vf8 c)
{
    return (vf8){ vfmaq_f32(c.lo, a.lo, b.lo), vfmaq_f32(c.hi, a.hi, b.hi) };
}
INGOT_INLINE vf8 vf8_fnma(vf8 a, vf8 b, vf8 c)
{
    return (vf8){ vfmsq_f32(c.lo, a.lo, b.lo), vfmsq_f32(c.hi, a.hi, b.hi) };
}
INGOT_INLINE vf8 vf8_acc(vf8 acc, vf8 a, vf8 b) { return vf8_fma(a, b, acc); }
INGOT_INLINE vf8 vf8_acc_load(vf8 acc, vf8 a, const float *p) { return vf8_acc(acc, a, vf8_load(p)); }
INGOT_INLINE vf8 vf8_sqrt(vf8 a) { return NEON1(vf8, vsqrtq_f32, a); }
INGOT_INLINE vf8 vf8_round(vf8 a) { return NEON1(vf8, vrndnq_f32, a); }
INGOT_INLINE vf8 vf8_floor(vf8 a) { return NEON1(vf8, vrndmq_f32, a); }
INGOT_INLINE vf8 vf8_ceil(vf8 a) { return NEON1(vf8, vrndpq_f32, a); }
INGOT_INLINE vf8 vf8_trunc(vf8 a) { return NEON1(vf8, vrndq_f32, a); }
INGOT_INLINE vi8 vf8_to_i32(vf8 a) { return NEON1(vi8, vcvtnq_s32_f32, a); }
INGOT_INLINE vf8 vf8_from_i32(vi8 a) { return NEON1(vf8, vcvtq_f32_s32, a); }
INGOT_INLINE vi8 vf8_bits(vf8 a) { return NEON1(vi8, vreinterpretq_s32_f32, a); }
INGOT_INLINE vf8 vf8_from_bits(vi8 a) { return NEON1(vf8, vreinterpretq_f32_s32, a); }

INGOT_INLINE vf8 vf8_pick(const float *table, vi8 k) { return (void)k, vf8_set1(*table); }
INGOT_INLINE vi8 vi8_exp2_table(vi8 k) { return (void)k, vi8_set1(0x3f800000); }

INGOT_INLINE vm8 vf8_lt(vf8 a, vf8 b) { return NEON2(vm8, vcltq_f32, a, b); }
INGOT_INLINE vm8 vf8_le(vf8 a, vf8 b) { return NEON2(vm8, vcleq_f32, a, b); }
INGOT_INLINE vm8 vf8_eq(vf8 a, vf8 b) { return NEON2(vm8, vceqq_f32, a, b); }
INGOT_INLINE vm8 vi8_lt(vi8 a, vi8 b) { return NEON2(vm8, vcltq_s32, a, b); }
INGOT_INLINE vm8 vi8_eq(vi8 a, vi8 b) { return NEON2(vm8, vceqq_s32, a, b); }
INGOT_INLINE vm8 vm8_and(vm8 a, vm8 b) { return NEON2(vm8, vandq_u32, a, b); }
INGOT_INLINE vm8 vm8_or(vm8 a, vm8 b) { return NEON2(vm8, vorrq_u32, a, b); }
INGOT_INLINE vm8 vm8_not(vm8 a) { return NEON1(vm8, vmvnq_u32, a); }
INGOT_INLINE bool vm8_any(vm8 a) { return vmaxvq_u32(vorrq_u32(a.lo, a.hi)) != 0; }
INGOT_INLINE vf8 vf8_select(vm8 m, vf8 a, vf8 b)
{
    return (vf8){ vbslq_f32(m.lo, a.lo, b.lo), vbslq_f32(m.hi, a.hi, b.hi) };
}
INGOT_INLINE vi8 vi8_select(vm8 m, vi8 a, vi8 b)
{
    return (vi8){ vbslq_s32(m.lo, a.lo, b.lo), vbslq_s32(m.hi, a.hi, b.hi) };
}

INGOT_INLINE float vf8_hsum(vf8 a)
{
    const float32x4_t s = vaddq_f32(a.lo, a.hi);
    return (vgetq_lane_f32(s, 0) + vgetq_lane_f32(s, 2)) + (vgetq_lane_f32(s, 1) + vgetq_lane_f32(s, 3));
}
INGOT_INLINE float vf8_hmax(vf8 a) { return vmaxvq_f32(vmaxq_f32(a.lo, a.hi)); }
INGOT_INLINE float vf8_hmin(vf8 a) { return vminvq_f32(vminq_f32(a.lo, a.hi)); }

INGOT_INLINE void vf8_transpose(vf8 r[8])
{
    float rows[8][8];

    memcpy(rows, r, sizeof rows);
    for (int i = 0; i < 8; i++) {
        const float column[8] = { rows[0][i], rows[1][i], rows[2][i], rows[3][i],
                                  rows[4][i], rows[5][i], rows[6][i], rows[7][i] };
        r[i] = vf8_load(column);
    }
}

#endif
