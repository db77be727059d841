/* scalar.h - single elements of any number type, and rows of doubles. For loops whose time does not matter. */
#ifndef INGOT_OPS_SCALAR_H
#define INGOT_OPS_SCALAR_H

#include <math.h>
#include <string.h>

#include "engine/core/tensor.h"

/* To float with rounding to odd: cut toward 0, with the last bit set where something was cut off. A second rounding to
 * a shorter type then gives what one rounding would have. */
static inline float ingot_round_to_odd(double value)
{
    float near = (float)value;
    const double back = (double)near;
    uint32_t bits;

    memcpy(&bits, &near, sizeof bits);
    bits -= fabs(back) > fabs(value);
    bits |= back != value;                               /* a NaN stays one */
    memcpy(&near, &bits, sizeof near);
    return near;
}

/* Write an element of a tensor of integers or bool (keeping the low bits), or of floats. */
void ingot_put_int(ingot_tensor *tensor, int64_t index, int64_t value);

/* Write an element of any number type or bool: floats rounded once to nearest, integers toward zero and clamped. */
void ingot_put_double(ingot_tensor *tensor, int64_t index, double value);

/* A double to the 16-bit types, rounded once: by way of ingot_round_to_odd(), as a double that lies just beside the
 * middle of two short numbers must not be moved onto it by a first rounding. */
uint16_t ingot_double_to_half(double value);
uint16_t ingot_double_to_bfloat(double value);

/* The element as int64; floats toward zero and clamped to int64's range, NaN as 0; uint64 past it clamped. */
int64_t ingot_saturated_int(const ingot_tensor *tensor, int64_t index);

/* Softmax of a row in place, less the largest number so that exp() cannot overflow. */
void ingot_softmax_f64(double *row, int64_t n);

#endif
