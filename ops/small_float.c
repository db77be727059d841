/* small_float.c - each type is described by where its fields lie and what its topmost codes mean. Source: the ONNX
 * documents "Float stored in 8 bits" and "Float stored in 4 bits"; OCP Microscaling Formats for 6 bits. */
#include "ops/small_float.h"

#include <math.h>

/* One type: fields from the top are sign, exponent, mantissa; codes above `largest` are infinity or NaN, where the
 * type has them. */
typedef struct format {
    int mantissa_bits, bias;
    uint8_t sign;              /* the bit */
    uint8_t largest;           /* code of the largest number */
    uint8_t infinity;          /* code, or 0 */
    uint8_t nan;               /* code, or 0: none */
    bool one_nan;              /* without sign, in place of the negative zero */
} format;

/* By element type; a type that is not here is none of these. */
static const format formats[INGOT_N_DTYPES] = {
    [INGOT_FLOAT8E4M3FN] = { 3, 7, 0x80, 0x7e, 0, 0x7f, false },
    [INGOT_FLOAT8E4M3FNUZ] = { 3, 8, 0x80, 0x7f, 0, 0x80, true },
    [INGOT_FLOAT8E5M2] = { 2, 15, 0x80, 0x7b, 0x7c, 0x7e, false },
    [INGOT_FLOAT8E5M2FNUZ] = { 2, 16, 0x80, 0x7f, 0, 0x80, true },
    [INGOT_FLOAT4E2M1] = { 1, 1, 0x08, 0x07, 0, 0, false },
    [INGOT_FLOAT6E2M3] = { 3, 1, 0x20, 0x1f, 0, 0, false },
    [INGOT_FLOAT6E3M2] = { 2, 3, 0x20, 0x1f, 0, 0, false },
};

/* Exact, as float holds all of these. E8M0 is a bare exponent. Exponent 0 stands for denormal numbers. */
float ingot_small_to_float(uint8_t code, ingot_dtype dtype)
{
    if (dtype == INGOT_FLOAT8E8M0)
        return code == 0xff ? NAN : ldexpf(1.0f, code - 127);
    const format *f = &formats[dtype];
    const uint8_t magnitude = code & (f->sign - 1);
    const int exponent = magnitude >> f->mantissa_bits, mantissa = magnitude & ((1 << f->mantissa_bits) - 1);
    float value;

    /* NaN in the place of the negative zero, then what lies past the largest, then numbers. */
    if (f->one_nan && code == f->nan)
        return NAN;
    if (magnitude > f->largest)
        value = f->infinity && magnitude == f->infinity ? INFINITY : NAN;
    else if (exponent == 0)
        value = ldexpf((float)mantissa, 1 - f->bias - f->mantissa_bits);
    else
        value = ldexpf((float)(mantissa + (1 << f->mantissa_bits)), exponent - f->bias - f->mantissa_bits);
    return code & f->sign ? -value : value;
}

/* The code of a positive finite number, rounded to nearest even, perhaps past the largest. */
static int encode(double value, const format *f)
{
    int exponent;
    frexp(value, &exponent);
    if (exponent > 20)
        return 1 << 8;
    int unit = exponent - 1 - f->mantissa_bits;    /* exponent of the last place */
    unit = MAX(unit, 1 - f->bias - f->mantissa_bits);
    const int steps = (int)nearbyint(ldexp(value, -unit));
    /* `steps` holds the hidden bit, which adds one to the exponent field; a carry out of the mantissa does the same */
    return ((unit + f->bias + f->mantissa_bits - 1) << f->mantissa_bits) + steps;
}

/* Rounded to nearest even. What is too large becomes the largest number with `saturate`, or where the type has no
 * NaN, else infinity or NaN. NaN without a code of its own becomes the negative zero's. */
uint8_t ingot_double_to_small(double value, ingot_dtype dtype, bool saturate)
{
    const format *f = &formats[dtype];
    const uint8_t sign = signbit(value) ? f->sign : 0;

    if (isnan(value))
        return f->one_nan ? f->nan : f->nan ? f->nan | sign : f->sign;
    const int code = isinf(value) ? 1 << 8 : value == 0 ? 0 : encode(fabs(value), f);
    if (code == 0)
        return f->one_nan ? 0 : sign;
    if (code <= f->largest)
        return (uint8_t)code | sign;
    if (saturate || !f->nan)
        return f->largest | sign;
    return f->one_nan ? f->nan : (f->infinity ? f->infinity : f->nan) | sign;
}

/* Powers of two alone: the sign is dropped, and the mode says where numbers in between go. Without `saturate` zero,
 * infinity and what is too large become NaN. */
uint8_t ingot_double_to_e8m0(double value, ingot_round_mode mode, bool saturate)
{
    int exponent;

    value = fabs(value);
    if (isnan(value) || (!saturate && (value == 0 || isinf(value))))
        return 0xff;
    if (isinf(value))
        return 0xfe;
    const double mantissa = 2 * frexp(value, &exponent);           /* in [1, 2), or 0 */
    exponent += 126;
    if (mantissa > 1 && (mode == INGOT_ROUND_UP || (mode == INGOT_ROUND_NEAREST && mantissa >= 1.5)))
        exponent++;
    if (value == 0 || exponent < 0)
        return 0;
    return exponent > 0xfe ? saturate ? 0xfe : 0xff : (uint8_t)exponent;
}
