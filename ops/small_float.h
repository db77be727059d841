/* small_float.h - the float types of 8, 6 and 4 bits, to and from wider ones. */
#ifndef INGOT_OPS_SMALL_FLOAT_H
#define INGOT_OPS_SMALL_FLOAT_H

#include "engine/core/tensor.h"

#define INGOT_TYPES_FLOAT8 \
    (INGOT_TYPE(FLOAT8E4M3FN) | INGOT_TYPE(FLOAT8E4M3FNUZ) | INGOT_TYPE(FLOAT8E5M2) | INGOT_TYPE(FLOAT8E5M2FNUZ))

#define INGOT_TYPES_FLOAT6 (INGOT_TYPE(FLOAT6E2M3) | INGOT_TYPE(FLOAT6E3M2))

typedef enum ingot_round_mode { INGOT_ROUND_UP, INGOT_ROUND_DOWN, INGOT_ROUND_NEAREST } ingot_round_mode;

/* The value of a code of FLOAT8*, FLOAT6*, FLOAT4E2M1 or FLOAT8E8M0; every one is a float. */
float ingot_small_to_float(uint8_t code, ingot_dtype dtype);

/* The code nearest to value, ties to even. Past the largest number: that number when saturating (and always for
 * FLOAT6* and FLOAT4E2M1), else infinity where the type has one, else NaN. */
uint8_t ingot_double_to_small(double value, ingot_dtype dtype, bool saturate);

/* value > 0 as a power of two; `mode` says which. NaN and, unless saturating, zero and what is too large become NaN. */
uint8_t ingot_double_to_e8m0(double value, ingot_round_mode mode, bool saturate);

#endif
