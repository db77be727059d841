/* simd_avx2.h - vf8, vi8, vm8 on AVX2 + FMA. What each primitive means is written in simd_generic.h.
 * The avx512 build includes this file too, for its 8-lane type. */
#ifndef INGOT_OPS_KERNELS_SIMD_AVX2_H
#define INGOT_OPS_KERNELS_SIMD_AVX2_H

#include <immintrin.h>

#include "ops/kernels/isa.h"

typedef __m256 vf8;
typedef __m256i vi8;
typedef __m256 vm8;

#define GEMM_MR_8 6       /* rows of the matrix product's tile; two vectors wide */
#define CONV_PX1_8 12     /* pixels of a convolution tile that is one vector wide */
#define CONV_PX2_8 7      /* the same for two vectors; of weights, one has no register then */
#define CONV_HELD_8 6     /* the same where both vectors of weights keep a register */
#define CONV_MINIMAL_8 1  /* first layers by minimal filtering */
#define DW_PIXELS_8 7     /* of a depthwise tile */
#define EXP2_BITS_8 3     /* vi8_exp2_table has 2^3 entries */

INGOT_INLINE vi8 vi8_load(const int32_t *p) { return _mm256_loadu_si256((const __m256i *)(const void *)p); }
INGOT_INLINE void vi8_store(int32_t *p, vi8 a) { _mm256_storeu_si256((__m256i *)(void *)p, a); }
INGOT_INLINE vi8 vi8_set1(int32_t x) { return _mm256_set1_epi32(x); }

INGOT_INLINE vi8 vi8_first(size_t n)
{
    return _mm256_cmpgt_epi32(_mm256_set1_epi32((int)n), _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7));
}

INGOT_INLINE vi8 vi8_load_n(const int32_t *p, size_t n) { return _mm256_maskload_epi32((const int *)p, vi8_first(n)); }
INGOT_INLINE void vi8_store_n(int32_t *p, vi8 a, size_t n) { _mm256_maskstore_epi32((int *)p, vi8_first(n), a); }
INGOT_INLINE vi8 vi8_add(vi8 a, vi8 b) { return _mm256_add_epi32(a, b); }
INGOT_INLINE vi8 vi8_sub(vi8 a, vi8 b) { return _mm256_sub_epi32(a, b); }
INGOT_INLINE vi8 vi8_mul(vi8 a, vi8 b) { return _mm256_mullo_epi32(a, b); }
INGOT_INLINE vi8 vi8_min(vi8 a, vi8 b) { return _mm256_min_epi32(a, b); }
INGOT_INLINE vi8 vi8_max(vi8 a, vi8 b) { return _mm256_max_epi32(a, b); }
INGOT_INLINE vi8 vi8_and(vi8 a, vi8 b) { return _mm256_and_si256(a, b); }
INGOT_INLINE vi8 vi8_or(vi8 a, vi8 b) { return _mm256_or_si256(a, b); }
INGOT_INLINE vi8 vi8_xor(vi8 a, vi8 b) { return _mm256_xor_si256(a, b); }
INGOT_INLINE vi8 vi8_shl(vi8 a, int count) { return _mm256_slli_epi32(a, count); }
INGOT_INLINE vi8 vi8_shr(vi8 a, int count) { return _mm256_srli_epi32(a, count); }
INGOT_INLINE vi8 vi8_sar(vi8 a, int count) { return _mm256_srai_epi32(a, count); }

/* acc + the sum of the products of both 16-bit halves of each lane. In place: compilers would add up the products of
 * several steps before they come to acc, and spill a tile's sums for it. */
INGOT_INLINE vi8 vi8_dot2(vi8 acc, vi8 a, vi8 b)
{
    __asm__("vpaddd %1, %0, %0" : "+x"(acc) : "x"(_mm256_madd_epi16(a, b)));
    return acc;
}

INGOT_INLINE vi8 vi8_load_i8(const void *p, bool is_signed)
{
    const __m128i x = _mm_loadl_epi64(p);
    return is_signed ? _mm256_cvtepi8_epi32(x) : _mm256_cvtepu8_epi32(x);
}
INGOT_INLINE vi8 vi8_load_i16(const int16_t *p)
{
    return _mm256_cvtepi16_epi32(_mm_loadu_si128((const __m128i *)(const void *)p));
}
INGOT_INLINE __m128i vi8_low_halves(vi8 a)           /* the lower 16 bits of each lane */
{
    const __m256i pick = _mm256_setr_epi8(0, 1, 4, 5, 8, 9, 12, 13, -1, -1, -1, -1, -1, -1, -1, -1,
                                          0, 1, 4, 5, 8, 9, 12, 13, -1, -1, -1, -1, -1, -1, -1, -1);
    const __m256i x = _mm256_shuffle_epi8(a, pick);
    return _mm_unpacklo_epi64(_mm256_castsi256_si128(x), _mm256_extracti128_si256(x, 1));
}
INGOT_INLINE void vi8_store_i16(int16_t *p, vi8 a) { _mm_storeu_si128((__m128i *)(void *)p, vi8_low_halves(a)); }
INGOT_INLINE void vi8_store_i8(void *p, vi8 a)
{
    const __m128i pick = _mm_setr_epi8(0, 2, 4, 6, 8, 10, 12, 14, -1, -1, -1, -1, -1, -1, -1, -1);
    _mm_storel_epi64(p, _mm_shuffle_epi8(vi8_low_halves(a), pick));
}

INGOT_INLINE vf8 vf8_load_f16(const uint16_t *p)
{
    return _mm256_cvtph_ps(_mm_loadu_si128((const __m128i *)(const void *)p));
}
INGOT_INLINE void vf8_store_f16(uint16_t *p, vf8 a)
{
    _mm_storeu_si128((__m128i *)(void *)p, _mm256_cvtps_ph(a, _MM_FROUND_TO_NEAREST_INT));
}
INGOT_INLINE vf8 vf8_load(const float *p) { return _mm256_loadu_ps(p); }
INGOT_INLINE void vf8_store(float *p, vf8 a) { _mm256_storeu_ps(p, a); }
INGOT_INLINE vf8 vf8_load_n(const float *p, size_t n) { return _mm256_maskload_ps(p, vi8_first(n)); }
INGOT_INLINE void vf8_store_n(float *p, vf8 a, size_t n) { _mm256_maskstore_ps(p, vi8_first(n), a); }
INGOT_INLINE vf8 vf8_set1(float x) { return _mm256_set1_ps(x); }
INGOT_INLINE vf8 vf8_zero(void) { return _mm256_setzero_ps(); }
INGOT_INLINE vf8 vf8_add(vf8 a, vf8 b) { return _mm256_add_ps(a, b); }
INGOT_INLINE vf8 vf8_sub(vf8 a, vf8 b) { return _mm256_sub_ps(a, b); }
INGOT_INLINE vf8 vf8_mul(vf8 a, vf8 b) { return _mm256_mul_ps(a, b); }
INGOT_INLINE vf8 vf8_div(vf8 a, vf8 b) { return _mm256_div_ps(a, b); }
INGOT_INLINE vf8 vf8_min(vf8 a, vf8 b) { return _mm256_min_ps(a, b); }
INGOT_INLINE vf8 vf8_max(vf8 a, vf8 b) { return _mm256_max_ps(a, b); }
INGOT_INLINE vf8 vf8_fma(vf8 a, vf8 b, vf8 c) { return _mm256_fmadd_ps(a, b, c); }
INGOT_INLINE vf8 vf8_fnma(vf8 a, vf8 b, vf8 c) { return _mm256_fnmadd_ps(a, b, c); }

/* gcc hoists the broadcasts of an accumulating loop and then copies accumulators; the in-place form leaves it no
 * choice. */
INGOT_INLINE vf8 vf8_acc(vf8 acc, vf8 a, vf8 b)
{
    __asm__("vfmadd231ps %2, %1, %0" : "+x"(acc) : "x"(a), "x"(b));
    return acc;
}

/* acc + a * load(p) in one instruction. */
INGOT_INLINE vf8 vf8_acc_load(vf8 acc, vf8 a, const float *p)
{
    __asm__("vfmadd231ps %2, %1, %0" : "+x"(acc) : "x"(a), "m"(*(const __m256_u *)(const void *)p));
    return acc;
}

typedef __m256d vd4;
#define GEMM_MR_D4 4      /* rows of the product of doubles' tile; two vectors wide */
INGOT_INLINE vd4 vd4_load(const double *p) { return _mm256_loadu_pd(p); }
INGOT_INLINE void vd4_store(double *p, vd4 a) { _mm256_storeu_pd(p, a); }
INGOT_INLINE vd4 vd4_set1(double x) { return _mm256_set1_pd(x); }
INGOT_INLINE vd4 vd4_acc(vd4 acc, vd4 a, vd4 b)
{
    __asm__("vfmadd231pd %2, %1, %0" : "+x"(acc) : "x"(a), "x"(b));
    return acc;
}

INGOT_INLINE vf8 vf8_sqrt(vf8 a) { return _mm256_sqrt_ps(a); }
INGOT_INLINE vf8 vf8_round(vf8 a) { return _mm256_round_ps(a, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC); }
INGOT_INLINE vf8 vf8_floor(vf8 a) { return _mm256_round_ps(a, _MM_FROUND_TO_NEG_INF | _MM_FROUND_NO_EXC); }
INGOT_INLINE vf8 vf8_ceil(vf8 a) { return _mm256_round_ps(a, _MM_FROUND_TO_POS_INF | _MM_FROUND_NO_EXC); }
INGOT_INLINE vf8 vf8_trunc(vf8 a) { return _mm256_round_ps(a, _MM_FROUND_TO_ZERO | _MM_FROUND_NO_EXC); }
INGOT_INLINE vi8 vf8_to_i32(vf8 a) { return _mm256_cvtps_epi32(a); }
INGOT_INLINE vf8 vf8_from_i32(vi8 a) { return _mm256_cvtepi32_ps(a); }
INGOT_INLINE vi8 vf8_bits(vf8 a) { return _mm256_castps_si256(a); }
INGOT_INLINE vf8 vf8_from_bits(vi8 a) { return _mm256_castsi256_ps(a); }

/* To pick from all eight lanes takes AMD's Zen 3 four times as long. */
INGOT_INLINE vf8 vf8_pick(const float *table, vi8 k)
{
    return _mm256_permutevar_ps(_mm256_broadcast_ps((const __m128 *)table), k);
}

INGOT_INLINE vi8 vi8_exp2_table(vi8 k)
{
    const vi8 table = _mm256_setr_epi32(0x3f800000, 0x3f7b95c2, 0x3f7837f0, 0x3f75fed7,
                                        0x3f7504f3, 0x3f75672a, 0x3f7744fd, 0x3f7ac0c7);
    return _mm256_permutevar8x32_epi32(table, k);
}

INGOT_INLINE vm8 vf8_lt(vf8 a, vf8 b) { return _mm256_cmp_ps(a, b, _CMP_LT_OQ); }
INGOT_INLINE vm8 vf8_le(vf8 a, vf8 b) { return _mm256_cmp_ps(a, b, _CMP_LE_OQ); }
INGOT_INLINE vm8 vf8_eq(vf8 a, vf8 b) { return _mm256_cmp_ps(a, b, _CMP_EQ_OQ); }
INGOT_INLINE vm8 vi8_lt(vi8 a, vi8 b) { return _mm256_castsi256_ps(_mm256_cmpgt_epi32(b, a)); }
INGOT_INLINE vm8 vi8_eq(vi8 a, vi8 b) { return _mm256_castsi256_ps(_mm256_cmpeq_epi32(a, b)); }
INGOT_INLINE vm8 vm8_and(vm8 a, vm8 b) { return _mm256_and_ps(a, b); }
INGOT_INLINE vm8 vm8_or(vm8 a, vm8 b) { return _mm256_or_ps(a, b); }
INGOT_INLINE vm8 vm8_not(vm8 a) { return _mm256_xor_ps(a, _mm256_castsi256_ps(_mm256_set1_epi32(-1))); }
INGOT_INLINE bool vm8_any(vm8 a) { return _mm256_movemask_ps(a) != 0; }
INGOT_INLINE vf8 vf8_select(vm8 m, vf8 a, vf8 b) { return _mm256_blendv_ps(b, a, m); }
INGOT_INLINE vi8 vi8_select(vm8 m, vi8 a, vi8 b)
{
    return _mm256_castps_si256(_mm256_blendv_ps(_mm256_castsi256_ps(b), _mm256_castsi256_ps(a), m));
}

INGOT_INLINE float vf8_hsum(vf8 a)
{
    __m128 s = _mm_add_ps(_mm256_castps256_ps128(a), _mm256_extractf128_ps(a, 1));
    s = _mm_add_ps(s, _mm_movehl_ps(s, s));
    return _mm_cvtss_f32(_mm_add_ss(s, _mm_shuffle_ps(s, s, 1)));
}

INGOT_INLINE float vf8_hmax(vf8 a)
{
    __m128 s = _mm_max_ps(_mm256_castps256_ps128(a), _mm256_extractf128_ps(a, 1));
    s = _mm_max_ps(s, _mm_movehl_ps(s, s));
    return _mm_cvtss_f32(_mm_max_ss(s, _mm_shuffle_ps(s, s, 1)));
}

INGOT_INLINE float vf8_hmin(vf8 a)
{
    __m128 s = _mm_min_ps(_mm256_castps256_ps128(a), _mm256_extractf128_ps(a, 1));
    s = _mm_min_ps(s, _mm_movehl_ps(s, s));
    return _mm_cvtss_f32(_mm_min_ss(s, _mm_shuffle_ps(s, s, 1)));
}

/* Rows become columns. */
INGOT_INLINE void vf8_transpose(vf8 r[8])
{
    vf8 t[8];

    for (int i = 0; i < 8; i += 2) {
        t[i] = _mm256_unpacklo_ps(r[i], r[i + 1]);
        t[i + 1] = _mm256_unpackhi_ps(r[i], r[i + 1]);
    }
    for (int i = 0; i < 8; i += 4) {
        r[i] = _mm256_shuffle_ps(t[i], t[i + 2], 0x44);
        r[i + 1] = _mm256_shuffle_ps(t[i], t[i + 2], 0xee);
        r[i + 2] = _mm256_shuffle_ps(t[i + 1], t[i + 3], 0x44);
        r[i + 3] = _mm256_shuffle_ps(t[i + 1], t[i + 3], 0xee);
    }
    for (int i = 0; i < 4; i++) {
        t[i] = _mm256_permute2f128_ps(r[i], r[i + 4], 0x20);
        t[i + 4] = _mm256_permute2f128_ps(r[i], r[i + 4], 0x31);
    }
    memcpy(r, t, sizeof t);
}

#endif
