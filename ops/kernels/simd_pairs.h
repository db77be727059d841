/* simd_pairs.h - how integer products are summed where there is no instruction for bytes: operands are 16-bit numbers
 * less their zero points, and pairs of products are added up in 32 bits. Nothing saturates: the products of numbers of
 * nine bits and a sign are far from the limits. */
#ifndef INGOT_OPS_KERNELS_SIMD_PAIRS_H
#define INGOT_OPS_KERNELS_SIMD_PAIRS_H

#include "ops/kernels/isa.h"

#define DOT_BYTES 2       /* of an operand element */
#define DOT_GROUP 2       /* elements that one step takes of a lane */

INGOT_INLINE vi32 vi32_dot(vi32 acc, vi32 a, vi32 b) { return vi32_dot2(acc, a, b); }

#endif
