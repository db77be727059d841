/* tensor.c - sizes, shapes and single elements. */
#include "engine/core/tensor.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* By ONNX's number of the type (TensorProto.DataType). Sizes are those in memory, where a 2-, 4- or 6-bit element has a
 * byte for itself. */
static const struct {
    const char *name;
    size_t size_bytes;
} dtypes[INGOT_N_DTYPES] = {
    [INGOT_UNDEFINED] = {"undefined", 0},          [INGOT_FLOAT] = {"float", 4},
    [INGOT_UINT8] = {"uint8", 1},                  [INGOT_INT8] = {"int8", 1},
    [INGOT_UINT16] = {"uint16", 2},                [INGOT_INT16] = {"int16", 2},
    [INGOT_INT32] = {"int32", 4},                  [INGOT_INT64] = {"int64", 8},
    [INGOT_STRING] = {"string", sizeof(ingot_string)}, [INGOT_BOOL] = {"bool", 1},
    [INGOT_FLOAT16] = {"float16", 2},              [INGOT_DOUBLE] = {"double", 8},
    [INGOT_UINT32] = {"uint32", 4},                [INGOT_UINT64] = {"uint64", 8},
    [INGOT_COMPLEX64] = {"complex64", 8},          [INGOT_COMPLEX128] = {"complex128", 16},
    [INGOT_BFLOAT16] = {"bfloat16", 2},            [INGOT_FLOAT8E4M3FN] = {"float8e4m3fn", 1},
    [INGOT_FLOAT8E4M3FNUZ] = {"float8e4m3fnuz", 1}, [INGOT_FLOAT8E5M2] = {"float8e5m2", 1},
    [INGOT_FLOAT8E5M2FNUZ] = {"float8e5m2fnuz", 1}, [INGOT_UINT4] = {"uint4", 1},
    [INGOT_INT4] = {"int4", 1},                    [INGOT_FLOAT4E2M1] = {"float4e2m1", 1},
    [INGOT_FLOAT8E8M0] = {"float8e8m0", 1},        [INGOT_UINT2] = {"uint2", 1},
    [INGOT_INT2] = {"int2", 1},                    [INGOT_FLOAT6E2M3] = {"float6e2m3", 1},
    [INGOT_FLOAT6E3M2] = {"float6e3m2", 1},
};

/* The name in ONNX's own spelling of types, in lower case; static text. */
const char *ingot_dtype_name(ingot_dtype dtype)
{
    return (unsigned)dtype < INGOT_N_DTYPES ? dtypes[dtype].name : "unknown";
}

/* Bytes of one element in memory, where 2- and 4-bit types take a whole byte; 0 for what is no type. A string counts as
 * its record, without the bytes that this points to. */
size_t ingot_dtype_size_bytes(ingot_dtype dtype)
{
    return (unsigned)dtype < INGOT_N_DTYPES ? dtypes[dtype].size_bytes : 0;
}

/* Sizes are those of a tensor whose whole size was checked, so that no part of the product can overflow. 1 for an empty
 * range. Dimensions of -1 must have been ruled out. */
int64_t ingot_span(const ingot_tensor *tensor, int begin, int end)
{
    int64_t product = 1;
    for (int i = begin; i < end; i++)
        product *= tensor->shape[i];
    return product;
}

/* 1 for a scalar. */
int64_t ingot_count(const ingot_tensor *tensor) { return ingot_span(tensor, 0, tensor->rank); }

/* The public name of the same. */
int64_t ingot_tensor_count(const ingot_tensor *tensor) { return ingot_count(tensor); }

/* Blocked tensors are float or bytes, and padded to whole blocks of channels: (N, ceil(C/8), spatial..., 8). */
size_t ingot_storage_bytes(const ingot_tensor *tensor)
{
    if (tensor->layout == INGOT_BLOCKED) {
        const int64_t blocks = (tensor->shape[1] + INGOT_BLOCK - 1) / INGOT_BLOCK;
        return (size_t)(tensor->shape[0] * blocks * INGOT_BLOCK * ingot_span(tensor, 2, tensor->rank)) *
               ingot_dtype_size_bytes(tensor->dtype);
    }
    return (size_t)ingot_count(tensor) * ingot_dtype_size_bytes(tensor->dtype);
}

/* PTRDIFF_MAX / 16 leaves room for padding to blocks and alignment without further checks. count and size_bytes may be
 * NULL, and are set only where the answer is yes. Types of size 0 count as one byte. */
bool ingot_checked_size(const ingot_tensor *tensor, int64_t *count, size_t *size_bytes)
{
    if (tensor->rank < 0 || tensor->rank > INGOT_MAX_RANK)
        return false;
    /* Dimensions of 0 make the size 0, whatever the others are; the others must still be sensible. */
    int64_t product = 1;
    bool empty = false;
    for (int i = 0; i < tensor->rank; i++) {
        if (tensor->shape[i] < 0)
            return false;
        if (tensor->shape[i] == 0)
            empty = true;
        else if (__builtin_mul_overflow(product, tensor->shape[i], &product))
            return false;
    }
    const int64_t item = (int64_t)MAX(ingot_dtype_size_bytes(tensor->dtype), (size_t)1);
    if (product > PTRDIFF_MAX / 16 / item)
        return false;
    if (count)
        *count = empty ? 0 : product;
    if (size_bytes)
        *size_bytes = empty ? 0 : (size_t)(product * item);
    return true;
}

/* Ranks and sizes alone; element types and layouts may differ. Ranks must be known (not -1). */
bool ingot_same_shape(const ingot_tensor *a, const ingot_tensor *b)
{
    return a->rank == b->rank && !memcmp(a->shape, b->shape, (size_t)a->rank * sizeof *a->shape);
}

/* Stops early rather than cut a number where the text would not fit; a size that is not known is "?". Returns text. 24
 * bytes are the longest number with its comma. */
char *ingot_shape_text(const ingot_tensor *tensor, char *text, size_t capacity)
{
    size_t used = (size_t)snprintf(text, capacity, "[");
    for (int i = 0; i < tensor->rank && used + 24 < capacity; i++) {
        const char *comma = i ? "," : "";
        if (tensor->shape[i] < 0)
            used += (size_t)snprintf(text + used, capacity - used, "%s?", comma);
        else
            used += (size_t)snprintf(text + used, capacity - used, "%s%lld", comma, (long long)tensor->shape[i]);
    }
    snprintf(text + used, capacity - used, "]");
    return text;
}

/* One of the types in INGOT_TYPES_FLOAT. */
bool ingot_is_float(ingot_dtype dtype) { return (INGOT_TYPES_FLOAT >> dtype) & 1; }

/* One of the types in INGOT_TYPES_INTEGER. */
bool ingot_is_integer(ingot_dtype dtype) { return (INGOT_TYPES_INTEGER >> dtype) & 1; }

/* Packed types lie unpacked in memory, one element in each byte. Float types are cut towards 0, and what does
 * not fit is INT64_MIN. The tensor must have data, and i be within it. A uint64 past INT64_MAX wraps. */
int64_t ingot_int_at(const ingot_tensor *t, int64_t i)
{
    switch (t->dtype) {
    case INGOT_BOOL:
    case INGOT_UINT4:
    case INGOT_UINT2:
    case INGOT_UINT8: return ((const uint8_t *)t->data)[i];
    case INGOT_INT4:
    case INGOT_INT2:
    case INGOT_INT8: return ((const int8_t *)t->data)[i];
    case INGOT_UINT16: return ((const uint16_t *)t->data)[i];
    case INGOT_INT16: return ((const int16_t *)t->data)[i];
    case INGOT_UINT32: return ((const uint32_t *)t->data)[i];
    case INGOT_INT32: return ((const int32_t *)t->data)[i];
    case INGOT_UINT64: return (int64_t)((const uint64_t *)t->data)[i];
    case INGOT_INT64: return ((const int64_t *)t->data)[i];
    default: {
        const double x = ingot_double_at(t, i);
        return x >= -0x1p63 && x < 0x1p63 ? (int64_t)x : INT64_MIN;
    }
    }
}

/* 64-bit integers beyond 2^53 are rounded; use ingot_int_at() where that matters. The small float types have their
 * conversions elsewhere and give 0 here. */
double ingot_double_at(const ingot_tensor *t, int64_t i)
{
    switch (t->dtype) {
    case INGOT_FLOAT: return (double)((const float *)t->data)[i];
    case INGOT_DOUBLE: return ((const double *)t->data)[i];
    case INGOT_FLOAT16: return (double)ingot_half_to_float(((const uint16_t *)t->data)[i]);
    case INGOT_BFLOAT16: return (double)ingot_bfloat_to_float(((const uint16_t *)t->data)[i]);
    case INGOT_UINT64: return (double)((const uint64_t *)t->data)[i];
    case INGOT_BOOL:
    case INGOT_UINT8:
    case INGOT_INT8:
    case INGOT_UINT16:
    case INGOT_INT16:
    case INGOT_UINT32:
    case INGOT_INT32:
    case INGOT_UINT4:
    case INGOT_INT4:
    case INGOT_UINT2:
    case INGOT_INT2:
    case INGOT_INT64: return (double)ingot_int_at(t, i);
    default: return 0; /* callers have checked the type */
    }
}

/* bfloat16 is the upper half of a float, so this is exact. */
float ingot_bfloat_to_float(uint16_t bfloat)
{
    const uint32_t bits = (uint32_t)bfloat << 16;
    float value;
    memcpy(&value, &bits, sizeof value);
    return value;
}

/* Adding 0x7fff and the lowest bit that stays rounds to nearest, ties to even; a carry into the exponent is right. */
uint16_t ingot_float_to_bfloat(float value)
{
    uint32_t bits;
    memcpy(&bits, &value, sizeof bits);
    if ((bits & 0x7fffffff) > 0x7f800000)
        return (uint16_t)(bits >> 16 | 0x40); /* NaN stays NaN */
    return (uint16_t)((bits + 0x7fff + (bits >> 16 & 1)) >> 16);
}

/* Exact, as every half is a float: the exponent is rebiased by 127 - 15 = 112. Source: IEEE 754, binary16. */
float ingot_half_to_float(uint16_t half)
{
    const uint32_t sign = (uint32_t)(half & 0x8000) << 16, exponent = half >> 10 & 0x1f, mantissa = half & 0x3ff;
    uint32_t bits;
    float value;
    if (exponent == 0) { /* zero or denormal: mantissa times 2^-24 */
        value = (float)mantissa * 0x1p-24f;
        return sign ? -value : value;
    }
    bits = sign | (exponent == 0x1f ? 0x7f800000 : (exponent + 112) << 23) | mantissa << 13;
    memcpy(&value, &bits, sizeof value);
    return value;
}

/* To nearest, ties to even. Three ranges: too large (infinity), denormal halves, and normal ones, where rounding works
 * on the bits as for bfloat16. 0x477ff000 is 65520, half way between the largest half and the next power; 0x38800000 is
 * 2^-14, the smallest normal half. */
uint16_t ingot_float_to_half(float value)
{
    uint32_t bits;
    memcpy(&bits, &value, sizeof bits);
    /* The sign goes straight to its place; the rest is looked at as a number of bits. */
    const uint32_t sign = bits >> 16 & 0x8000, magnitude = bits & 0x7fffffff;
    if (magnitude > 0x7f800000)
        return (uint16_t)(sign | 0x7e00); /* NaN */
    if (magnitude >= 0x477ff000)
        return (uint16_t)(sign | 0x7c00); /* rounds to infinity */
    if (magnitude < 0x38800000) {         /* denormal half: add a power of two so that float rounding does the work */
        float shifted;
        memcpy(&shifted, &magnitude, sizeof shifted);
        shifted += 0.5f;
        memcpy(&bits, &shifted, sizeof bits);
        return (uint16_t)(sign | (bits - 0x3f000000));
    }
    return (uint16_t)(sign | ((magnitude - 0x38000000 + 0xfff + (magnitude >> 13 & 1)) >> 13));
}

