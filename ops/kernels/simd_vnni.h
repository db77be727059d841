/* simd_vnni.h - how integer products are summed by VPDPBUSD: operands stay bytes, of which the first is unsigned and
 * the second signed, and four products are added to a 32-bit lane at once, without saturation in between.
 * Source: Intel 64 and IA-32 Software Developer's Manual, volume 2, "VPDPBUSD". */
#ifndef INGOT_OPS_KERNELS_SIMD_VNNI_H
#define INGOT_OPS_KERNELS_SIMD_VNNI_H

#include "ops/kernels/isa.h"

#define DOT_BYTES 1
#define DOT_GROUP 4

#if VF32_LANES == 16
INGOT_INLINE vi32 vi32_dot(vi32 acc, vi32 a, vi32 b) { return _mm512_dpbusd_epi32(acc, a, b); }
#else
INGOT_INLINE vi32 vi32_dot(vi32 acc, vi32 a, vi32 b) { return _mm256_dpbusd_avx_epi32(acc, a, b); }
#endif

#endif
