/* isa.h - what a kernel source includes. Each kernel file is compiled once per instruction set with -DINGOT_ISA=<name>;
 * this header picks the vector types of that build, names its functions, and declares every listed kernel.
 *
 *   vf32 vi32 vm32   natural width: floats, 32-bit integers, masks; VF32_LANES is 16 on avx512 and 8 elsewhere
 *   vf8  vi8  vm8    always 8 lanes, one pixel of nchw8c; the same type as vf32 where that has 8 lanes
 *
 * #if on an instruction set belongs here and in simd_*.h alone. What an instruction set prefers (tile sizes) is a
 * constant in its simd header, so that kernels stay free of conditions. */
#ifndef INGOT_OPS_KERNELS_ISA_H
#define INGOT_OPS_KERNELS_ISA_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "ops/kernels/kernels.h"

#ifndef INGOT_ISA                     /* so that headers compile alone, for the test that checks it and for editors */
#define INGOT_ISA baseline
#endif

#define INGOT_JOIN_(a, b) a##_##b
#define INGOT_JOIN(a, b) INGOT_JOIN_(a, b)
#define INGOT_STRING_(a) #a
#define INGOT_STRING(a) INGOT_STRING_(a)

#define INGOT_FN(name) INGOT_JOIN(name, INGOT_ISA)     /* relu_f32 -> relu_f32_avx2 */
#define INGOT_ISA_NAME INGOT_STRING(INGOT_ISA)
#define INGOT_INLINE static inline __attribute__((always_inline, unused))

#ifdef __clang__                                       /* for loops with a constant count over registers */
#define INGOT_UNROLL _Pragma("clang loop unroll(full)")
#define INGOT_UNROLL_TWICE _Pragma("clang loop unroll_count(2)")
#define INGOT_ROLLED _Pragma("clang loop unroll(disable)")
#define INGOT_ONCE __attribute__((noinline))           /* a function that is in a build once, for all its callers */
#else
#define INGOT_UNROLL _Pragma("GCC unroll 32")
#define INGOT_UNROLL_TWICE _Pragma("GCC unroll 2")
#define INGOT_ROLLED _Pragma("GCC unroll 1")
#define INGOT_ONCE __attribute__((noinline, noclone))
#endif

/* The compiler forgets how the pointer came about. */
#define INGOT_OPAQUE(pointer) __asm__("" : "+r"(pointer))

#define INGOT_ISA_NUMBER_baseline 1
#define INGOT_ISA_NUMBER_avx2 2
#define INGOT_ISA_NUMBER_avx512 3
#define INGOT_ISA_NUMBER_neon 4
#define INGOT_ISA_NUMBER_avxvnni 5
#define INGOT_ISA_NUMBER_avx512vnni 6
#define INGOT_ISA_NUMBER INGOT_JOIN(INGOT_ISA_NUMBER, INGOT_ISA)

#if INGOT_ISA_NUMBER == INGOT_ISA_NUMBER_avx512
#include "ops/kernels/simd_avx2.h"
#include "ops/kernels/simd_avx512.h"
#include "ops/kernels/simd_pairs.h"
#elif INGOT_ISA_NUMBER == INGOT_ISA_NUMBER_avx512vnni
#include "ops/kernels/simd_avx2.h"
#include "ops/kernels/simd_avx512.h"
#include "ops/kernels/simd_vnni.h"
#elif INGOT_ISA_NUMBER == INGOT_ISA_NUMBER_avxvnni
#include "ops/kernels/simd_avx2.h"
#include "ops/kernels/simd_alias8.h"
#include "ops/kernels/simd_vnni.h"
#elif INGOT_ISA_NUMBER == INGOT_ISA_NUMBER_avx2
#include "ops/kernels/simd_avx2.h"
#include "ops/kernels/simd_alias8.h"
#include "ops/kernels/simd_pairs.h"
#elif INGOT_ISA_NUMBER == INGOT_ISA_NUMBER_neon
#include "ops/kernels/simd_neon.h"
#include "ops/kernels/simd_alias8.h"
#include "ops/kernels/simd_pairs.h"
#else
#include "ops/kernels/simd_generic.h"
#include "ops/kernels/simd_alias8.h"
#include "ops/kernels/simd_pairs.h"
#endif

INGOT_INLINE int64_t min64(int64_t a, int64_t b) { return a < b ? a : b; }
INGOT_INLINE int64_t max64(int64_t a, int64_t b) { return a > b ? a : b; }
INGOT_INLINE int64_t ceil_div(int64_t a, int64_t b) { return a / b + (a % b > 0); }     /* b > 0 */

/* Do vectors of natural width pass through units of half their width? See ingot_wide_is_split. */
INGOT_INLINE bool wide_is_split(void) { return VF32_LANES > 8 && ingot_wide_is_split(); }

#define X(type, name, params) type INGOT_FN(name) params;
INGOT_KERNELS(X)
#undef X

#endif
