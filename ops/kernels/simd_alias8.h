/* simd_alias8.h - where the natural vector has 8 lanes: vf32 is vf8 under its other name. */
#ifndef INGOT_OPS_KERNELS_SIMD_ALIAS8_H
#define INGOT_OPS_KERNELS_SIMD_ALIAS8_H

#include "ops/kernels/isa.h"

#define VF32_LANES 8
#define vf32 vf8
#define vi32 vi8
#define vm32 vm8

#define GEMM_MR GEMM_MR_8
#define CONV_PX1 CONV_PX1_8
#define CONV_PX2 CONV_PX2_8
#define CONV_HELD CONV_HELD_8
#define CONV_MINIMAL CONV_MINIMAL_8
#define CONV_UNROLL       /* small tiles: the compiler unrolls the loop over their channels by itself */
#define DW_PIXELS DW_PIXELS_8

#define EXP2_BITS EXP2_BITS_8

#define vi32_load vi8_load
#define vi32_store vi8_store
#define vi32_load_n vi8_load_n
#define vi32_store_n vi8_store_n
#define vi32_set1 vi8_set1
#define vi32_add vi8_add
#define vi32_sub vi8_sub
#define vi32_mul vi8_mul
#define vi32_min vi8_min
#define vi32_max vi8_max
#define vi32_and vi8_and
#define vi32_or vi8_or
#define vi32_xor vi8_xor
#define vi32_shl vi8_shl
#define vi32_shr vi8_shr
#define vi32_sar vi8_sar
#define vi32_lt vi8_lt
#define vi32_eq vi8_eq
#define vi32_select vi8_select
#define vi32_dot2 vi8_dot2
#define vi32_load_i8 vi8_load_i8
#define vi32_store_i8 vi8_store_i8
#define vi32_store_i16 vi8_store_i16
#define vf32_pick vf8_pick
#define vi32_exp2_table vi8_exp2_table

#define VF64_LANES 4
#define GEMM_MR_64 GEMM_MR_D4
#define vf64 vd4
#define vf64_load vd4_load
#define vf64_store vd4_store
#define vf64_set1 vd4_set1
#define vf64_acc vd4_acc

#define vf32_load_f16 vf8_load_f16
#define vf32_store_f16 vf8_store_f16
#define vf32_load vf8_load
#define vf32_store vf8_store
#define vf32_load_n vf8_load_n
#define vf32_store_n vf8_store_n
#define vf32_set1 vf8_set1
#define vf32_zero vf8_zero
#define vf32_add vf8_add
#define vf32_sub vf8_sub
#define vf32_mul vf8_mul
#define vf32_div vf8_div
#define vf32_min vf8_min
#define vf32_max vf8_max
#define vf32_fma vf8_fma
#define vf32_fnma vf8_fnma
#define vf32_acc vf8_acc
#define vf32_sqrt vf8_sqrt
#define vf32_round vf8_round
#define vf32_floor vf8_floor
#define vf32_ceil vf8_ceil
#define vf32_trunc vf8_trunc
#define vf32_to_i32 vf8_to_i32
#define vf32_from_i32 vf8_from_i32
#define vf32_bits vf8_bits
#define vf32_from_bits vf8_from_bits
#define vf32_lt vf8_lt
#define vf32_le vf8_le
#define vf32_eq vf8_eq
#define vf32_select vf8_select
#define vf32_hsum vf8_hsum
#define vf32_hmax vf8_hmax
#define vf32_hmin vf8_hmin
#define vm32_and vm8_and
#define vm32_or vm8_or
#define vm32_not vm8_not
#define vm32_any vm8_any

INGOT_INLINE vi32 vi32_repeat8(vi8 a) { return a; }

INGOT_INLINE vi32 vi32_load_i16(const int16_t *p, ptrdiff_t next)
{
    (void)next;
    return vi8_load_i16(p);
}

INGOT_INLINE void vi32_store_i8_blocks(char *p, ptrdiff_t next, int n, vi32 a)
{
    (void)next, (void)n;
    vi8_store_i8(p, a);
}

/* x * 2^n for whole numbers n from -252 to 254, in floats; in two steps, so that the result may be denormal */
INGOT_INLINE vf32 vf32_scale2(vf32 x, vf32 n)
{
    const vi32 whole = vf32_to_i32(n), half = vi32_sar(whole, 1), rest = vi32_sub(whole, half), bias = vi32_set1(127);
    const vf32 y = vf32_mul(x, vf32_from_bits(vi32_shl(vi32_add(half, bias), 23)));
    return vf32_mul(y, vf32_from_bits(vi32_shl(vi32_add(rest, bias), 23)));
}

/* Row `row` of a tile: acc[v] += *a * b[v], n times. */
INGOT_INLINE void vf32_acc_row(vf32 *acc, const float *a, const vf32 *b, int n, int row)
{
    const vf32 repeated = vf32_set1(*a);

    (void)row;
    INGOT_UNROLL
    for (int v = 0; v < n; v++)
        acc[v] = vf32_acc(acc[v], repeated, b[v]);
}

INGOT_INLINE void vf32_acc_row_short(vf32 *acc, const float *a, const vf32 *b, int n) { vf32_acc_row(acc, a, b, n, 0); }

INGOT_INLINE void vf32_acc_row_reading(vf32 *acc, const float *a, vf32 b, const float *second)
{
    const vf32 repeated = vf32_set1(*a);

    acc[0] = vf32_acc(acc[0], repeated, b);
    acc[1] = vf8_acc_load(acc[1], repeated, second);
}

INGOT_INLINE vf32 vf32_repeat8(vf8 a) { return a; }

/* Halves of two vectors; for code that is there for two blocks in a vector alone. */
INGOT_INLINE vf32 vf32_lows8(vf32 a, vf32 b) { return (void)b, a; }
INGOT_INLINE vf32 vf32_highs8(vf32 a, vf32 b) { return (void)a, b; }

INGOT_INLINE vf32 vf32_load_pair8(const float *p, const float *q)
{
    (void)q;
    return vf8_load(p);
}

/* One vector is one block of eight channels here, so stride and n have nothing to say. */
INGOT_INLINE vf32 vf32_load_blocks(const float *p, ptrdiff_t stride, int n)
{
    (void)stride, (void)n;
    return vf8_load(p);
}

INGOT_INLINE void vf32_store_blocks(float *p, ptrdiff_t stride, int n, vf32 a)
{
    (void)stride, (void)n;
    vf8_store(p, a);
}

#endif
