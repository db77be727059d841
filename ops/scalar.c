/* scalar.c - see scalar.h. */
#include "ops/scalar.h"

#include <math.h>
#include <string.h>

uint16_t ingot_double_to_half(double value) { return ingot_float_to_half(ingot_round_to_odd(value)); }
uint16_t ingot_double_to_bfloat(double value) { return ingot_float_to_bfloat(ingot_round_to_odd(value)); }

/* A cast of a double outside of the type is undefined in C: saturate to [lowest, past), and NaN is 0. */
static int64_t clamp_double(double value, double lowest, double past)
{
    if (isnan(value))
        return 0;
    return value < lowest ? (int64_t)lowest : value >= past ? (past >= 0x1p63 ? INT64_MAX : (int64_t)past - 1)
                                                            : (int64_t)value;
}

/* Stores into any numeric type; integers keep the low bits. */
void ingot_put_int(ingot_tensor *t, int64_t i, int64_t value)
{
    switch (t->dtype) {
    case INGOT_BOOL: ((uint8_t *)t->data)[i] = value != 0; break;
    case INGOT_UINT8:
    case INGOT_INT8: ((uint8_t *)t->data)[i] = (uint8_t)value; break;
    case INGOT_UINT16:
    case INGOT_INT16: ((uint16_t *)t->data)[i] = (uint16_t)value; break;
    case INGOT_UINT32:
    case INGOT_INT32: ((uint32_t *)t->data)[i] = (uint32_t)value; break;
    case INGOT_UINT64:
    case INGOT_INT64: ((uint64_t *)t->data)[i] = (uint64_t)value; break;
    default: ingot_put_double(t, i, (double)value);
    }
}

/* Stores into any numeric type, saturating integers. */
void ingot_put_double(ingot_tensor *t, int64_t i, double value)
{
    const int bits = 8 * (int)ingot_dtype_size_bytes(t->dtype);
    switch (t->dtype) {
    case INGOT_FLOAT: ((float *)t->data)[i] = (float)value; break;
    case INGOT_DOUBLE: ((double *)t->data)[i] = value; break;
    case INGOT_FLOAT16: ((uint16_t *)t->data)[i] = ingot_double_to_half(value); break;
    case INGOT_BFLOAT16: ((uint16_t *)t->data)[i] = ingot_double_to_bfloat(value); break;
    case INGOT_BOOL: ((uint8_t *)t->data)[i] = value != 0; break;
    case INGOT_UINT64:
        ((uint64_t *)t->data)[i] = !(value > 0) ? 0 : value >= 0x1p64 ? UINT64_MAX : (uint64_t)value;
        break;
    case INGOT_UINT8:
    case INGOT_UINT16:
    case INGOT_UINT32: ingot_put_int(t, i, clamp_double(value, 0, ldexp(1, bits))); break;
    case INGOT_INT8:
    case INGOT_INT16:
    case INGOT_INT32:
    case INGOT_INT64: ingot_put_int(t, i, clamp_double(value, -ldexp(1, bits - 1), ldexp(1, bits - 1))); break;
    default: break; /* callers have checked the type */
    }
}

/* Content of any numeric type as int64: a float is cut toward 0. */
int64_t ingot_saturated_int(const ingot_tensor *t, int64_t i)
{
    if (ingot_is_float(t->dtype))
        return clamp_double(ingot_double_at(t, i), -0x1p63, 0x1p63);
    const int64_t value = ingot_int_at(t, i);
    return t->dtype == INGOT_UINT64 && value < 0 ? INT64_MAX : value;
}

void ingot_softmax_f64(double *row, int64_t n)
{
    double largest = -INFINITY, sum = 0;

    for (int64_t i = 0; i < n; i++)
        largest = MAX(largest, row[i]);
    for (int64_t i = 0; i < n; i++)
        sum += row[i] = exp(row[i] - largest);
    for (int64_t i = 0; i < n; i++)
        row[i] /= sum;
}
