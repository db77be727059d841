/* random.c - seeded values for inputs that are not given: the same on every machine and in every run. Floats are
 * normally distributed; integers and booleans are 0 or 1, which are valid indices into nearly everything. */
#include "cli/cli.h"

#include <math.h>
#include <string.h>

/* Source: Steele, Lea, Flood, "Fast splittable pseudorandom number generators" (SplitMix64). */
static uint64_t next_bits(uint64_t *state)
{
    uint64_t z = *state += UINT64_C(0x9e3779b97f4a7c15);
    z = (z ^ z >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ z >> 27) * UINT64_C(0x94d049bb133111eb);
    return z ^ z >> 31;
}

/* Box and Muller's method; one of the pair is enough. */
static float next_normal(uint64_t *state)
{
    const uint64_t bits = next_bits(state);
    const float u = (float)((bits >> 40) + 1) * 0x1p-24f, v = (float)(bits & 0xffffff) * 0x1p-24f;
    return sqrtf(-2 * logf(u)) * cosf(6.2831853f * v);
}

/* A float's sign, exponent and top mantissa bits in 16 bits; too small becomes 0. */
static uint16_t to_half(float value)
{
    uint32_t bits;
    memcpy(&bits, &value, sizeof bits);
    const uint32_t magnitude = bits & 0x7fffffff;
    if (magnitude < 0x38800000)
        return 0;
    return (uint16_t)((bits >> 16 & 0x8000) | (magnitude - 0x38000000) >> 13);
}

/* The same numbers for every float type, rounded towards zero where the type is narrower. */
static void fill_floats(ingot_tensor *t, int64_t n, uint64_t *state)
{
    uint32_t bits;
    for (int64_t i = 0; i < n; i++) {
        const float value = next_normal(state);
        memcpy(&bits, &value, sizeof bits);
        if (t->dtype == INGOT_DOUBLE)
            ((double *)t->data)[i] = (double)value;
        else if (t->dtype == INGOT_FLOAT16)
            ((uint16_t *)t->data)[i] = to_half(value);
        else if (t->dtype == INGOT_BFLOAT16)
            ((uint16_t *)t->data)[i] = (uint16_t)(bits >> 16);
        else
            ((float *)t->data)[i] = value;
    }
}

/* Each input has a seed of its own, so that its values do not depend on which others are given. */
void cli_fill_random(ingot_tensor *t, uint64_t seed)
{
    const size_t size = ingot_dtype_size_bytes(t->dtype);
    const int64_t n = ingot_tensor_count(t);
    uint64_t state = seed << 32;
    /* complex numbers as twice as many floats */
    ingot_tensor parts = *t;
    switch (t->dtype) {
    case INGOT_STRING: break; /* empty strings */
    case INGOT_FLOAT:
    case INGOT_DOUBLE:
    case INGOT_FLOAT16:
    case INGOT_BFLOAT16: fill_floats(t, n, &state); break;
    case INGOT_COMPLEX64:
    case INGOT_COMPLEX128:
        parts.dtype = t->dtype == INGOT_COMPLEX64 ? INGOT_FLOAT : INGOT_DOUBLE;
        fill_floats(&parts, 2 * n, &state);
        break;
    default: /* integers, little-endian: the lowest byte; of the smallest floats a small number */
        for (int64_t i = 0; i < n; i++)
            ((uint8_t *)t->data)[(size_t)i * size] = (uint8_t)(next_bits(&state) >> 63);
    }
}
