/* simd_avx512.h - vf32, vi32, vm32 with 16 lanes on AVX-512 (f, bw, dq, vl). What each primitive means is written in
 * simd_generic.h; the 8-lane type of this build is simd_avx2.h's. */
#ifndef INGOT_OPS_KERNELS_SIMD_AVX512_H
#define INGOT_OPS_KERNELS_SIMD_AVX512_H

#include <immintrin.h>

#include "ops/kernels/isa.h"
#include "ops/kernels/simd_avx2.h"

#define VF32_LANES 16
typedef __m512 vf32;
typedef __m512i vi32;
typedef __mmask16 vm32;

#define GEMM_MR 12        /* rows of the matrix product's tile; two vectors wide */
#define CONV_PX1 14       /* pixels of a convolution tile that is one vector wide */
#define CONV_PX2 14       /* the same for two vectors */
#define CONV_HELD 14      /* the same where both vectors of weights keep a register */
#define CONV_MINIMAL 2    /* only where vectors are split: else its loads and stores cost what it saves */
#define CONV_UNROLL INGOT_UNROLL_TWICE   /* the loop over a tile's channels: integers take ports from multiply-adds */
#define DW_PIXELS 14      /* of a depthwise tile */
#define EXP2_BITS 5       /* vi32_exp2_table has 2^5 entries */

INGOT_INLINE vm32 vm32_first(size_t n) { return (vm32)((1u << n) - 1u); }

INGOT_INLINE vi32 vi32_load(const int32_t *p) { return _mm512_loadu_si512(p); }
INGOT_INLINE void vi32_store(int32_t *p, vi32 a) { _mm512_storeu_si512(p, a); }
INGOT_INLINE vi32 vi32_load_n(const int32_t *p, size_t n) { return _mm512_maskz_loadu_epi32(vm32_first(n), p); }
INGOT_INLINE void vi32_store_n(int32_t *p, vi32 a, size_t n) { _mm512_mask_storeu_epi32(p, vm32_first(n), a); }
INGOT_INLINE vi32 vi32_set1(int32_t x) { return _mm512_set1_epi32(x); }
INGOT_INLINE vi32 vi32_add(vi32 a, vi32 b) { return _mm512_add_epi32(a, b); }
INGOT_INLINE vi32 vi32_sub(vi32 a, vi32 b) { return _mm512_sub_epi32(a, b); }
INGOT_INLINE vi32 vi32_mul(vi32 a, vi32 b) { return _mm512_mullo_epi32(a, b); }
INGOT_INLINE vi32 vi32_min(vi32 a, vi32 b) { return _mm512_min_epi32(a, b); }
INGOT_INLINE vi32 vi32_max(vi32 a, vi32 b) { return _mm512_max_epi32(a, b); }
INGOT_INLINE vi32 vi32_and(vi32 a, vi32 b) { return _mm512_and_si512(a, b); }
INGOT_INLINE vi32 vi32_or(vi32 a, vi32 b) { return _mm512_or_si512(a, b); }
INGOT_INLINE vi32 vi32_xor(vi32 a, vi32 b) { return _mm512_xor_si512(a, b); }
INGOT_INLINE vi32 vi32_shl(vi32 a, int count) { return _mm512_slli_epi32(a, (unsigned)count); }
INGOT_INLINE vi32 vi32_shr(vi32 a, int count) { return _mm512_srli_epi32(a, (unsigned)count); }
INGOT_INLINE vi32 vi32_sar(vi32 a, int count) { return _mm512_srai_epi32(a, (unsigned)count); }

/* acc + the sum of the products of both 16-bit halves of each lane: in place, as for vectors of 8 */
INGOT_INLINE vi32 vi32_dot2(vi32 acc, vi32 a, vi32 b)
{
    __asm__("vpaddd %1, %0, %0" : "+v"(acc) : "v"(_mm512_madd_epi16(a, b)));
    return acc;
}

INGOT_INLINE vi32 vi32_load_i8(const void *p, bool is_signed)
{
    const __m128i x = _mm_loadu_si128(p);
    return is_signed ? _mm512_cvtepi8_epi32(x) : _mm512_cvtepu8_epi32(x);
}
INGOT_INLINE vi32 vi32_load_i16(const int16_t *p, ptrdiff_t next)   /* eight from p, the next eight from p + next */
{
    if (__builtin_constant_p(next) && next == 8)
        return _mm512_cvtepi16_epi32(_mm256_loadu_si256((const __m256i *)(const void *)p));
    const __m256i x = _mm256_castsi128_si256(_mm_loadu_si128((const __m128i *)(const void *)p));
    return _mm512_cvtepi16_epi32(
        _mm256_inserti128_si256(x, _mm_loadu_si128((const __m128i *)(const void *)(p + next)), 1));
}
INGOT_INLINE void vi32_store_i8(void *p, vi32 a) { _mm_storeu_si128(p, _mm512_cvtepi32_epi8(a)); }
INGOT_INLINE void vi32_store_i8_blocks(char *p, ptrdiff_t next, int n, vi32 a)   /* n times eight, `next` apart */
{
    const __m128i x = _mm512_cvtepi32_epi8(a);
    _mm_storel_epi64((__m128i *)(void *)p, x);
    if (n > 1)
        _mm_storel_epi64((__m128i *)(void *)(p + next), _mm_unpackhi_epi64(x, x));
}
INGOT_INLINE void vi32_store_i16(int16_t *p, vi32 a)
{
    _mm256_storeu_si256((__m256i *)(void *)p, _mm512_cvtepi32_epi16(a));
}
INGOT_INLINE vi32 vi32_repeat8(vi8 a) { return _mm512_broadcast_i64x4(a); }
INGOT_INLINE vi8 vi32_low8(vi32 a) { return _mm512_castsi512_si256(a); }
INGOT_INLINE vi8 vi32_high8(vi32 a) { return _mm512_extracti64x4_epi64(a, 1); }

#define VF64_LANES 8
#define GEMM_MR_64 8
typedef __m512d vf64;
INGOT_INLINE vf64 vf64_load(const double *p) { return _mm512_loadu_pd(p); }
INGOT_INLINE void vf64_store(double *p, vf64 a) { _mm512_storeu_pd(p, a); }
INGOT_INLINE vf64 vf64_set1(double x) { return _mm512_set1_pd(x); }
INGOT_INLINE vf64 vf64_acc(vf64 acc, vf64 a, vf64 b)
{
    __asm__("vfmadd231pd %2, %1, %0" : "+v"(acc) : "v"(a), "v"(b));
    return acc;
}

INGOT_INLINE vf32 vf32_load_f16(const uint16_t *p)
{
    return _mm512_cvtph_ps(_mm256_loadu_si256((const __m256i *)(const void *)p));
}
INGOT_INLINE void vf32_store_f16(uint16_t *p, vf32 a)
{
    _mm256_storeu_si256((__m256i *)(void *)p, _mm512_cvtps_ph(a, _MM_FROUND_TO_NEAREST_INT));
}
INGOT_INLINE vf32 vf32_load(const float *p) { return _mm512_loadu_ps(p); }
INGOT_INLINE void vf32_store(float *p, vf32 a) { _mm512_storeu_ps(p, a); }
INGOT_INLINE vf32 vf32_load_n(const float *p, size_t n) { return _mm512_maskz_loadu_ps(vm32_first(n), p); }
INGOT_INLINE void vf32_store_n(float *p, vf32 a, size_t n) { _mm512_mask_storeu_ps(p, vm32_first(n), a); }
INGOT_INLINE vf32 vf32_set1(float x) { return _mm512_set1_ps(x); }
INGOT_INLINE vf32 vf32_zero(void) { return _mm512_setzero_ps(); }
INGOT_INLINE vf32 vf32_add(vf32 a, vf32 b) { return _mm512_add_ps(a, b); }
INGOT_INLINE vf32 vf32_sub(vf32 a, vf32 b) { return _mm512_sub_ps(a, b); }
INGOT_INLINE vf32 vf32_mul(vf32 a, vf32 b) { return _mm512_mul_ps(a, b); }
INGOT_INLINE vf32 vf32_div(vf32 a, vf32 b) { return _mm512_div_ps(a, b); }
INGOT_INLINE vf32 vf32_min(vf32 a, vf32 b) { return _mm512_min_ps(a, b); }
INGOT_INLINE vf32 vf32_max(vf32 a, vf32 b) { return _mm512_max_ps(a, b); }
INGOT_INLINE vf32 vf32_fma(vf32 a, vf32 b, vf32 c) { return _mm512_fmadd_ps(a, b, c); }
INGOT_INLINE vf32 vf32_fnma(vf32 a, vf32 b, vf32 c) { return _mm512_fnmadd_ps(a, b, c); }

INGOT_INLINE vf32 vf32_acc(vf32 acc, vf32 a, vf32 b)
{
    __asm__("vfmadd231ps %2, %1, %0" : "+v"(acc) : "v"(a), "v"(b));
    return acc;
}

/* Row `row` of a tile: acc[v] += *a * b[v], n times. A broadcast inside the multiply-add saves an instruction and costs
 * a load where the row has another vector: every second row does so, which keeps both below what a cycle has room for.
 */
INGOT_INLINE void vf32_acc_row(vf32 *acc, const float *a, const vf32 *b, int n, int row)
{
    const bool inside = n == 1 || row % 2;
    const vf32 repeated = vf32_set1(*a);

    INGOT_UNROLL
    for (int v = 0; v < n; v++) {
        if (inside)
            __asm__("vfmadd231ps %1%{1to16%}, %2, %0" : "+v"(acc[v]) : "m"(*a), "v"(b[v]));
        else
            acc[v] = vf32_acc(acc[v], repeated, b[v]);
    }
}

/* Half a vector costs half as much where vectors are split; broadcasts by themselves would keep the multiply-adds
 * waiting there. */
INGOT_INLINE void vf32_acc_row_short(vf32 *acc, const float *a, const vf32 *b, int n)
{
    if (n > 1)
        __asm__("vfmadd231ps %1%{1to16%}, %2, %0" : "+v"(acc[0]) : "m"(*a), "v"(b[0]));
    __asm__("vfmadd231ps %1%{1to8%}, %t2, %t0" : "+v"(acc[n - 1]) : "m"(*a), "v"(b[n - 1]));
}

INGOT_INLINE void vf32_acc_row_reading(vf32 *acc, const float *a, vf32 b, const float *second)
{
    const vf32 both[2] = { b, vf32_load(second) };
    vf32_acc_row(acc, a, both, 2, 0);
}

INGOT_INLINE vf32 vf32_sqrt(vf32 a) { return _mm512_sqrt_ps(a); }
INGOT_INLINE vf32 vf32_round(vf32 a) { return _mm512_roundscale_ps(a, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC); }
INGOT_INLINE vf32 vf32_floor(vf32 a) { return _mm512_roundscale_ps(a, _MM_FROUND_TO_NEG_INF | _MM_FROUND_NO_EXC); }
INGOT_INLINE vf32 vf32_ceil(vf32 a) { return _mm512_roundscale_ps(a, _MM_FROUND_TO_POS_INF | _MM_FROUND_NO_EXC); }
INGOT_INLINE vf32 vf32_trunc(vf32 a) { return _mm512_roundscale_ps(a, _MM_FROUND_TO_ZERO | _MM_FROUND_NO_EXC); }
INGOT_INLINE vi32 vf32_to_i32(vf32 a) { return _mm512_cvtps_epi32(a); }
INGOT_INLINE vf32 vf32_from_i32(vi32 a) { return _mm512_cvtepi32_ps(a); }
INGOT_INLINE vi32 vf32_bits(vf32 a) { return _mm512_castps_si512(a); }
INGOT_INLINE vf32 vf32_from_bits(vi32 a) { return _mm512_castsi512_ps(a); }

/* x * 2^n for whole numbers n from -252 to 254, in floats; the result may be denormal */
INGOT_INLINE vf32 vf32_scale2(vf32 x, vf32 n) { return _mm512_scalef_ps(x, n); }

INGOT_INLINE vf32 vf32_pick(const float *table, vi32 k) { return _mm512_permutexvar_ps(k, vf32_load(table)); }

INGOT_INLINE vi32 vi32_exp2_table(vi32 k)
{
    const vi32 low = _mm512_setr_epi32(
        0x3f800000, 0x3f7ecd87, 0x3f7daac3, 0x3f7c980f, 0x3f7b95c2, 0x3f7aa43a, 0x3f79c3d3, 0x3f78f4f0,
        0x3f7837f0, 0x3f778d3a, 0x3f76f532, 0x3f767043, 0x3f75fed7, 0x3f75a15b, 0x3f75583f, 0x3f7523f6);
    const vi32 high = _mm512_setr_epi32(
        0x3f7504f3, 0x3f74fbaf, 0x3f7508a4, 0x3f752c4d, 0x3f75672a, 0x3f75b9be, 0x3f76248c, 0x3f76a81e,
        0x3f7744fd, 0x3f77fbb8, 0x3f78ccdf, 0x3f79b907, 0x3f7ac0c7, 0x3f7be4ba, 0x3f7d257d, 0x3f7e83b3);
    return _mm512_permutex2var_epi32(low, k, high);
}

INGOT_INLINE vm32 vf32_lt(vf32 a, vf32 b) { return _mm512_cmp_ps_mask(a, b, _CMP_LT_OQ); }
INGOT_INLINE vm32 vf32_le(vf32 a, vf32 b) { return _mm512_cmp_ps_mask(a, b, _CMP_LE_OQ); }
INGOT_INLINE vm32 vf32_eq(vf32 a, vf32 b) { return _mm512_cmp_ps_mask(a, b, _CMP_EQ_OQ); }
INGOT_INLINE vm32 vi32_lt(vi32 a, vi32 b) { return _mm512_cmplt_epi32_mask(a, b); }
INGOT_INLINE vm32 vi32_eq(vi32 a, vi32 b) { return _mm512_cmpeq_epi32_mask(a, b); }
INGOT_INLINE vm32 vm32_and(vm32 a, vm32 b) { return (vm32)(a & b); }
INGOT_INLINE vm32 vm32_or(vm32 a, vm32 b) { return (vm32)(a | b); }
INGOT_INLINE vm32 vm32_not(vm32 a) { return (vm32)~a; }
INGOT_INLINE bool vm32_any(vm32 a) { return a != 0; }
INGOT_INLINE vf32 vf32_select(vm32 m, vf32 a, vf32 b) { return _mm512_mask_blend_ps(m, b, a); }
INGOT_INLINE vi32 vi32_select(vm32 m, vi32 a, vi32 b) { return _mm512_mask_blend_epi32(m, b, a); }

INGOT_INLINE vf8 vf32_low8(vf32 a) { return _mm512_castps512_ps256(a); }
INGOT_INLINE vf8 vf32_high8(vf32 a) { return _mm512_extractf32x8_ps(a, 1); }
INGOT_INLINE vf32 vf32_from8(vf8 low, vf8 high) { return _mm512_insertf32x8(_mm512_castps256_ps512(low), high, 1); }

INGOT_INLINE vf32 vf32_repeat8(vf8 a) { return _mm512_broadcast_f32x8(a); }

INGOT_INLINE vf32 vf32_lows8(vf32 a, vf32 b) { return _mm512_shuffle_f32x4(a, b, 0x44); }
INGOT_INLINE vf32 vf32_highs8(vf32 a, vf32 b) { return _mm512_shuffle_f32x4(a, b, 0xee); }

/* Eight floats each from two places; where a vector has room for eight only, the first. */
INGOT_INLINE vf32 vf32_load_pair8(const float *p, const float *q) { return vf32_from8(vf8_load(p), vf8_load(q)); }

/* The blocks of a vector: eight channels each, `stride` elements apart in memory, of which the first n exist. With a
 * stride of 0 the second is lost. */
INGOT_INLINE vf32 vf32_load_blocks(const float *p, ptrdiff_t stride, int n)
{
    return vf32_from8(vf8_load(p), n > 1 ? vf8_load(p + stride) : vf8_zero());
}

INGOT_INLINE void vf32_store_blocks(float *p, ptrdiff_t stride, int n, vf32 a)
{
    if (n > 1)
        vf8_store(p + stride, vf32_high8(a));
    vf8_store(p, vf32_low8(a));
}

INGOT_INLINE float vf32_hsum(vf32 a) { return vf8_hsum(vf8_add(vf32_low8(a), vf32_high8(a))); }
INGOT_INLINE float vf32_hmax(vf32 a) { return vf8_hmax(vf8_max(vf32_low8(a), vf32_high8(a))); }
INGOT_INLINE float vf32_hmin(vf32 a) { return vf8_hmin(vf8_min(vf32_low8(a), vf32_high8(a))); }

#endif
