/* convert.h - elements of one number type into another, as Cast does it. */
#ifndef INGOT_OPS_CONVERT_H
#define INGOT_OPS_CONVERT_H

#include "ops/half.h"
#include "ops/small_float.h"

/* From and to which type; the last two matter for the 8-bit floats only. */
typedef struct ingot_conversion {
    ingot_dtype from, to;
    bool saturate;
    ingot_round_mode round_mode;
    const ingot_kernels *kernels;      /* NULL, for few numbers: the same, slower for 16-bit floats */
} ingot_conversion;

/* Convert n elements; any number types and bool, not strings or complex. Floats are rounded once, to nearest. Floats
 * become integers toward zero, cut off at the range of int32 or int64 (uint64 beyond), of which narrower types keep the
 * low bits; NaN becomes 0. Integers keep their low bits. */
void ingot_convert(const ingot_conversion *conversion, void *dst, const void *src, int64_t n);

#endif
