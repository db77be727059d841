/* simd_generic.h - vf8, vi8, vm8 in plain C with the compilers' 16-byte vectors: the reference, and the fallback of
 * every processor. A pair of halves in a struct stays in registers where a 32-byte vector type would live in memory.
 *
 * What the primitives mean, on every instruction set:
 *   load, store       no alignment needed; load_n and store_n touch the first n <= lanes elements only, the rest
 *                     reads 0
 *   load_f16          16-bit floats to float, and store_f16 to nearest even; which NaN one becomes is unspecified, but
 *                     0x7fc00000 becomes 0x7e00 and 0xffc00000 0xfe00
 *   min(a, b)         a < b ? a : b, and max(a, b) is a > b ? a : b: b when either is NaN or both are zero
 *   fma(a, b, c)      a * b + c; fnma is c - a * b; rounded once where the processor can, else twice
 *   acc(c, a, b)      fma for loops that accumulate; by way of double here, so that the products of long sums are not
 *                     rounded and results stay as near to PyTorch's as with a fused multiply-add
 *   acc_load          acc(c, a, load(b))
 *   acc_row           a row of a tile: acc[v] = acc(acc[v], *a, b[v]) for n vectors; the row number only says how;
 *                     acc_row_reading is that of two vectors, of which the second is read when it is needed,
 *                     acc_row_short that of which the last vector is only summed in its first eight lanes
 *   round             to nearest, ties to even; floor, ceil, trunc as in math.h; NaN and infinities stay
 *   to_i32            to nearest even; outside of the int32 range the result is unspecified
 *   bits, from_bits   the same 32 bits seen as integers and back
 *   shr, sar          shift right, filling with zeros or with the sign; count is 0..31
 *   pick(table, k)    lane i is table[k[i] mod n], of n = 16 floats where there are 16 lanes and 4 where there are 8;
 *                     only where EXP2_BITS is not 0
 *   exp2_table(k)     for j = k mod 2^EXP2_BITS the bits of 2^(j / 2^EXP2_BITS), less j << (23 - EXP2_BITS)
 *   lt, le, eq        false when either is NaN; select(m, a, b) is m ? a : b
 *   transpose         eight vectors as the rows of a matrix become its columns
 *   hsum, hmax, hmin  over the lanes, halves first; hmax and hmin of NaN are unspecified */
#ifndef INGOT_OPS_KERNELS_SIMD_GENERIC_H
#define INGOT_OPS_KERNELS_SIMD_GENERIC_H

#include <math.h>

#ifdef __SSE2__          /* every x86-64 processor multiplies pairs of 16-bit numbers in one instruction */
#include <emmintrin.h>
#endif

#include "ops/kernels/isa.h"

typedef float v4f __attribute__((vector_size(16)));
typedef float v4f_memory __attribute__((vector_size(16), aligned(4), may_alias));
typedef double v4d __attribute__((vector_size(32)));
typedef int32_t v4i __attribute__((vector_size(16)));
typedef uint32_t v4u __attribute__((vector_size(16)));
typedef struct { v4f lo, hi; } vf8;
typedef struct { v4i lo, hi; } vi8;
typedef struct { v4i lo, hi; } vm8;

#define GEMM_MR_8 2       /* rows of the matrix product's tile; two vectors wide */
#define CONV_PX1_8 4      /* pixels of a convolution tile that is one vector wide */
#define CONV_PX2_8 2      /* the same for two vectors */
#define CONV_HELD_8 2     /* the same where both vectors of weights keep a register */
#define CONV_MINIMAL_8 0  /* no minimal filtering of first layers */
#define DW_PIXELS_8 4     /* of a depthwise tile: few as their code is large here */
#define EXP2_BITS_8 0     /* no table */

#define V4F_SPLAT(x) ((v4f){ (x), (x), (x), (x) })
#define V4I_SPLAT(x) ((v4i){ (x), (x), (x), (x) })

INGOT_INLINE v4i v4i_select(v4i m, v4i a, v4i b) { return (m & a) | (~m & b); }
INGOT_INLINE v4f v4f_select(v4i m, v4f a, v4f b) { return (v4f)v4i_select(m, (v4i)a, (v4i)b); }

INGOT_INLINE vi8 vi8_load(const int32_t *p) { vi8 r; memcpy(&r, p, sizeof r); return r; }
INGOT_INLINE void vi8_store(int32_t *p, vi8 a) { memcpy(p, &a, sizeof a); }
INGOT_INLINE vi8 vi8_set1(int32_t x) { return (vi8){ V4I_SPLAT(x), V4I_SPLAT(x) }; }

INGOT_INLINE vi8 vi8_load_n(const int32_t *p, size_t n)
{
    vi8 r = vi8_set1(0);
    memcpy(&r, p, n * sizeof *p);
    return r;
}

INGOT_INLINE void vi8_store_n(int32_t *p, vi8 a, size_t n) { memcpy(p, &a, n * sizeof *p); }
INGOT_INLINE vi8 vi8_add(vi8 a, vi8 b) { return (vi8){ (v4i)((v4u)a.lo + (v4u)b.lo), (v4i)((v4u)a.hi + (v4u)b.hi) }; }
INGOT_INLINE vi8 vi8_sub(vi8 a, vi8 b) { return (vi8){ (v4i)((v4u)a.lo - (v4u)b.lo), (v4i)((v4u)a.hi - (v4u)b.hi) }; }
INGOT_INLINE vi8 vi8_mul(vi8 a, vi8 b) { return (vi8){ (v4i)((v4u)a.lo * (v4u)b.lo), (v4i)((v4u)a.hi * (v4u)b.hi) }; }
INGOT_INLINE vi8 vi8_min(vi8 a, vi8 b)
{
    return (vi8){ v4i_select(a.lo < b.lo, a.lo, b.lo), v4i_select(a.hi < b.hi, a.hi, b.hi) };
}
INGOT_INLINE vi8 vi8_max(vi8 a, vi8 b)
{
    return (vi8){ v4i_select(a.lo > b.lo, a.lo, b.lo), v4i_select(a.hi > b.hi, a.hi, b.hi) };
}
INGOT_INLINE vi8 vi8_and(vi8 a, vi8 b) { return (vi8){ a.lo & b.lo, a.hi & b.hi }; }
INGOT_INLINE vi8 vi8_or(vi8 a, vi8 b) { return (vi8){ a.lo | b.lo, a.hi | b.hi }; }
INGOT_INLINE vi8 vi8_xor(vi8 a, vi8 b) { return (vi8){ a.lo ^ b.lo, a.hi ^ b.hi }; }
INGOT_INLINE vi8 vi8_shl(vi8 a, int count) { return (vi8){ (v4i)((v4u)a.lo << count), (v4i)((v4u)a.hi << count) }; }
INGOT_INLINE vi8 vi8_shr(vi8 a, int count) { return (vi8){ (v4i)((v4u)a.lo >> count), (v4i)((v4u)a.hi >> count) }; }
INGOT_INLINE vi8 vi8_sar(vi8 a, int count) { return (vi8){ a.lo >> count, a.hi >> count }; }

#ifdef __SSE2__
INGOT_INLINE v4i v4i_dot2(v4i acc, v4i a, v4i b)
{
    return (v4i)((v4u)acc + (v4u)_mm_madd_epi16((__m128i)a, (__m128i)b));
}
#else
INGOT_INLINE v4i v4i_dot2(v4i acc, v4i a, v4i b)
{
    const v4i low = (v4i)((v4u)a << 16) >> 16, low_b = (v4i)((v4u)b << 16) >> 16;
    return (v4i)((v4u)acc + (v4u)(low * low_b) + (v4u)((a >> 16) * (b >> 16)));
}
#endif
INGOT_INLINE vi8 vi8_dot2(vi8 acc, vi8 a, vi8 b)
{
    return (vi8){ v4i_dot2(acc.lo, a.lo, b.lo), v4i_dot2(acc.hi, a.hi, b.hi) };
}

INGOT_INLINE vi8 vi8_load_i16(const int16_t *p)
{
    return (vi8){ { p[0], p[1], p[2], p[3] }, { p[4], p[5], p[6], p[7] } };
}

INGOT_INLINE vi8 vi8_load_i8(const void *p, bool is_signed)
{
    const uint8_t *u = p;
    const int8_t *s = p;
    return is_signed ? (vi8){ { s[0], s[1], s[2], s[3] }, { s[4], s[5], s[6], s[7] } }
                     : (vi8){ { u[0], u[1], u[2], u[3] }, { u[4], u[5], u[6], u[7] } };
}

INGOT_INLINE void vi8_store_i16(int16_t *p, vi8 a)
{
    for (int i = 0; i < 4; i++) {
        p[i] = (int16_t)a.lo[i];
        p[4 + i] = (int16_t)a.hi[i];
    }
}

INGOT_INLINE void vi8_store_i8(void *p, vi8 a)
{
    uint8_t *u = p;
    for (int i = 0; i < 4; i++) {
        u[i] = (uint8_t)a.lo[i];
        u[4 + i] = (uint8_t)a.hi[i];
    }
}

INGOT_INLINE vf8 vf8_load(const float *p)
{
    const v4f_memory *v = (const v4f_memory *)(const void *)p;
    return (vf8){ v[0], v[1] };
}

INGOT_INLINE void vf8_store(float *p, vf8 a)
{
    v4f_memory *v = (v4f_memory *)(void *)p;
    v[0] = a.lo;
    v[1] = a.hi;
}

INGOT_INLINE vf8 vf8_set1(float x) { return (vf8){ V4F_SPLAT(x), V4F_SPLAT(x) }; }
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

INGOT_INLINE vf8 vf8_add(vf8 a, vf8 b) { return (vf8){ a.lo + b.lo, a.hi + b.hi }; }
INGOT_INLINE vf8 vf8_sub(vf8 a, vf8 b) { return (vf8){ a.lo - b.lo, a.hi - b.hi }; }
INGOT_INLINE vf8 vf8_mul(vf8 a, vf8 b) { return (vf8){ a.lo * b.lo, a.hi * b.hi }; }
INGOT_INLINE vf8 vf8_div(vf8 a, vf8 b) { return (vf8){ a.lo / b.lo, a.hi / b.hi }; }
INGOT_INLINE vf8 vf8_min(vf8 a, vf8 b)
{
    return (vf8){ v4f_select(a.lo < b.lo, a.lo, b.lo), v4f_select(a.hi < b.hi, a.hi, b.hi) };
}
INGOT_INLINE vf8 vf8_max(vf8 a, vf8 b)
{
    return (vf8){ v4f_select(a.lo > b.lo, a.lo, b.lo), v4f_select(a.hi > b.hi, a.hi, b.hi) };
}
INGOT_INLINE vf8 vf8_fma(vf8 a, vf8 b, vf8 c) { return (vf8){ a.lo * b.lo + c.lo, a.hi * b.hi + c.hi }; }
INGOT_INLINE vf8 vf8_fnma(vf8 a, vf8 b, vf8 c) { return (vf8){ c.lo - a.lo * b.lo, c.hi - a.hi * b.hi }; }

/* a * b + c with the product and the sum in double, which hold both but for the last bit of a far exponent. */
INGOT_INLINE v4f v4f_acc(v4f c, v4f a, v4f b)
{
    const v4d product = __builtin_convertvector(a, v4d) * __builtin_convertvector(b, v4d);
    return __builtin_convertvector(product + __builtin_convertvector(c, v4d), v4f);
}
INGOT_INLINE vf8 vf8_acc(vf8 acc, vf8 a, vf8 b)
{
    return (vf8){v4f_acc(acc.lo, a.lo, b.lo), v4f_acc(acc.hi, a.hi, b.hi)};
}
INGOT_INLINE vf8 vf8_acc_load(vf8 acc, vf8 a, const float *p) { return vf8_acc(acc, a, vf8_load(p)); }

INGOT_INLINE v4f v4f_sqrt(v4f a) { return (v4f){ sqrtf(a[0]), sqrtf(a[1]), sqrtf(a[2]), sqrtf(a[3]) }; }
INGOT_INLINE vf8 vf8_sqrt(vf8 a) { return (vf8){ v4f_sqrt(a.lo), v4f_sqrt(a.hi) }; }

/* Adding and taking away 2^23 with x's sign rounds |x| < 2^23 to an integer; the sign is put back for -0. */
INGOT_INLINE v4f v4f_round(v4f a)
{
    const v4i sign = (v4i)a & V4I_SPLAT(INT32_MIN);
    const v4f magnitude = (v4f)((v4i)a ^ sign), big = V4F_SPLAT(8388608.0f);
    const v4f rounded = (v4f)((v4i)((magnitude + big) - big) | sign);
    return v4f_select(magnitude < big, rounded, a);
}

INGOT_INLINE v4f v4f_floor(v4f a)
{
    const v4f r = v4f_round(a);
    return v4f_select(r > a, r - V4F_SPLAT(1.0f), r);
}

INGOT_INLINE v4f v4f_negate(v4f a) { return (v4f)((v4i)a ^ V4I_SPLAT(INT32_MIN)); }
INGOT_INLINE v4f v4f_ceil(v4f a) { return v4f_negate(v4f_floor(v4f_negate(a))); }

INGOT_INLINE v4f v4f_trunc(v4f a)
{
    const v4i sign = (v4i)a & V4I_SPLAT(INT32_MIN);
    return (v4f)((v4i)v4f_floor((v4f)((v4i)a ^ sign)) | sign);
}

INGOT_INLINE vf8 vf8_round(vf8 a) { return (vf8){ v4f_round(a.lo), v4f_round(a.hi) }; }
INGOT_INLINE vf8 vf8_floor(vf8 a) { return (vf8){ v4f_floor(a.lo), v4f_floor(a.hi) }; }
INGOT_INLINE vf8 vf8_ceil(vf8 a) { return (vf8){ v4f_ceil(a.lo), v4f_ceil(a.hi) }; }
INGOT_INLINE vf8 vf8_trunc(vf8 a) { return (vf8){ v4f_trunc(a.lo), v4f_trunc(a.hi) }; }

INGOT_INLINE vi8 vf8_to_i32(vf8 a)
{
    return (vi8){ __builtin_convertvector(v4f_round(a.lo), v4i), __builtin_convertvector(v4f_round(a.hi), v4i) };
}

INGOT_INLINE vf8 vf8_from_i32(vi8 a)
{
    return (vf8){ __builtin_convertvector(a.lo, v4f), __builtin_convertvector(a.hi, v4f) };
}

INGOT_INLINE vi8 vf8_bits(vf8 a) { return (vi8){ (v4i)a.lo, (v4i)a.hi }; }
INGOT_INLINE vf8 vf8_from_bits(vi8 a) { return (vf8){ (v4f)a.lo, (v4f)a.hi }; }

INGOT_INLINE vf8 vf8_pick(const float *table, vi8 k) { return (void)k, vf8_set1(*table); }
INGOT_INLINE vi8 vi8_exp2_table(vi8 k) { return (void)k, vi8_set1(0x3f800000); }

INGOT_INLINE vm8 vf8_lt(vf8 a, vf8 b) { return (vm8){ a.lo < b.lo, a.hi < b.hi }; }
INGOT_INLINE vm8 vf8_le(vf8 a, vf8 b) { return (vm8){ a.lo <= b.lo, a.hi <= b.hi }; }
INGOT_INLINE vm8 vf8_eq(vf8 a, vf8 b) { return (vm8){ a.lo == b.lo, a.hi == b.hi }; }
INGOT_INLINE vm8 vi8_lt(vi8 a, vi8 b) { return (vm8){ a.lo < b.lo, a.hi < b.hi }; }
INGOT_INLINE vm8 vi8_eq(vi8 a, vi8 b) { return (vm8){ a.lo == b.lo, a.hi == b.hi }; }
INGOT_INLINE vm8 vm8_and(vm8 a, vm8 b) { return (vm8){ a.lo & b.lo, a.hi & b.hi }; }
INGOT_INLINE vm8 vm8_or(vm8 a, vm8 b) { return (vm8){ a.lo | b.lo, a.hi | b.hi }; }
INGOT_INLINE vm8 vm8_not(vm8 a) { return (vm8){ ~a.lo, ~a.hi }; }
INGOT_INLINE bool vm8_any(vm8 a)
{
    const v4i m = a.lo | a.hi;
    return (m[0] | m[1] | m[2] | m[3]) != 0;
}
INGOT_INLINE vf8 vf8_select(vm8 m, vf8 a, vf8 b)
{
    return (vf8){ v4f_select(m.lo, a.lo, b.lo), v4f_select(m.hi, a.hi, b.hi) };
}
INGOT_INLINE vi8 vi8_select(vm8 m, vi8 a, vi8 b)
{
    return (vi8){ v4i_select(m.lo, a.lo, b.lo), v4i_select(m.hi, a.hi, b.hi) };
}

/* n 2^-24 for the denormal code n; for the others the exponent is rebiased by 127 - 15 = 112. */
INGOT_INLINE vf8 vf8_load_f16(const uint16_t *p)
{
    const vi8 code = vi8_load_i16((const int16_t *)p), magnitude = vi8_and(code, vi8_set1(0x7fff));
    const vi8 small = vf8_bits(vf8_mul(vf8_from_i32(magnitude), vf8_set1(0x1p-24f))), wide = vi8_shl(magnitude, 13);
    const vi8 large = vi8_select(vi8_lt(magnitude, vi8_set1(0x7c00)), vi8_add(wide, vi8_set1(112 << 23)),
                                 vi8_or(wide, vi8_set1(0x7f800000)));
    const vi8 result = vi8_select(vi8_lt(magnitude, vi8_set1(0x0400)), small, large);
    return vf8_from_bits(vi8_or(result, vi8_and(code, vi8_set1(INT32_MIN))));
}

/* As ingot_float_to_half() does it, whose comments tell what the numbers are. */
INGOT_INLINE void vf8_store_f16(uint16_t *p, vf8 a)
{
    const vi8 bits = vf8_bits(a), magnitude = vi8_and(bits, vi8_set1(INT32_MAX)), one = vi8_set1(1);
    const vi8 sign = vi8_and(vi8_shr(bits, 16), vi8_set1(0x8000));
    const vi8 small = vi8_sub(vf8_bits(vf8_add(vf8_from_bits(magnitude), vf8_set1(0.5f))), vi8_set1(0x3f000000));
    const vi8 biased = vi8_add(magnitude, vi8_set1(0xfff - (112 << 23)));
    const vi8 normal = vi8_shr(vi8_add(biased, vi8_and(vi8_shr(magnitude, 13), one)), 13);
    const vi8 finite = vi8_select(vi8_lt(magnitude, vi8_set1(0x38800000)), small, normal);
    const vi8 infinity = vi8_set1(0x7c00), nan = vi8_set1(0x7e00);
    const vi8 special = vi8_select(vi8_lt(vi8_set1(0x7f800000), magnitude), nan, infinity);
    const vi8 result = vi8_select(vi8_lt(magnitude, vi8_set1(0x477ff000)), finite, special);
    vi8_store_i16((int16_t *)p, vi8_or(result, sign));
}

typedef double v2d __attribute__((vector_size(16)));
typedef double v2d_memory __attribute__((vector_size(16), aligned(8), may_alias));
typedef struct { v2d lo, hi; } vd4;
#define GEMM_MR_D4 4
INGOT_INLINE vd4 vd4_load(const double *p)
{
    const v2d_memory *v = (const v2d_memory *)(const void *)p;
    return (vd4){ v[0], v[1] };
}
INGOT_INLINE void vd4_store(double *p, vd4 a)
{
    v2d_memory *v = (v2d_memory *)(void *)p;
    v[0] = a.lo;
    v[1] = a.hi;
}
INGOT_INLINE vd4 vd4_set1(double x) { return (vd4){ { x, x }, { x, x } }; }
INGOT_INLINE vd4 vd4_acc(vd4 acc, vd4 a, vd4 b) { return (vd4){ acc.lo + a.lo * b.lo, acc.hi + a.hi * b.hi }; }

INGOT_INLINE float vf8_hsum(vf8 a)
{
    const v4f s = a.lo + a.hi;
    return (s[0] + s[2]) + (s[1] + s[3]);
}

INGOT_INLINE float vf8_hmax(vf8 a)
{
    const v4f s = v4f_select(a.lo > a.hi, a.lo, a.hi);
    const float x = s[0] > s[2] ? s[0] : s[2], y = s[1] > s[3] ? s[1] : s[3];
    return x > y ? x : y;
}

INGOT_INLINE float vf8_hmin(vf8 a)
{
    const v4f s = v4f_select(a.lo < a.hi, a.lo, a.hi);
    const float x = s[0] < s[2] ? s[0] : s[2], y = s[1] < s[3] ? s[1] : s[3];
    return x < y ? x : y;
}

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
