/* order.c - a float's bits order like its value once negative numbers are turned round; a signed integer's once the
 * sign bit is. Keys are sorted digit by digit, from the last one on, which compares nothing and so never guesses wrong;
 * digits that all keys share are passed over, and these are most where numbers are small or narrow. */
#include "ops/order.h"

#include <string.h>

#include "ops/row_loops.h"

/* A key that sorts as the number does: -0 equals 0 and NaN is largest, as numpy sorts them. */
static inline uint64_t key_of_float(float value)
{
    uint32_t bits;
    if (value != value)
        return UINT64_MAX;
    value += 0.0f; /* -0 becomes 0 */
    memcpy(&bits, &value, sizeof bits);
    return bits >> 31 ? ~bits : bits | 0x80000000u;
}

/* As key_of_float, for doubles. */
static inline uint64_t key_of_double(double value)
{
    uint64_t bits;
    if (value != value)
        return UINT64_MAX;
    value += 0.0;
    memcpy(&bits, &value, sizeof bits);
    return bits >> 63 ? ~bits : bits | UINT64_C(1) << 63;
}

/* The same for the bits of a float of 16; `infinity`: those of its largest number. */
static inline uint64_t key_of_narrow(uint32_t bits, uint32_t infinity)
{
    const uint32_t size = bits & 0x7fff, key = size == bits ? 0x8000 + size : 0x8000 - size;
    return size > infinity ? UINT64_MAX : key;
}

/* Keys of n elements from `first` on, `step` apart. Equal numbers get equal keys, and unsigned order of keys is the
 * order of the numbers. Smaller integers go by way of int64. */
INGOT_VECTOR_LOOPS void ingot_order_keys(const ingot_tensor *tensor, int64_t first, int64_t step, int64_t n,
                                         uint64_t *keys)
{
    const void *data = tensor->data;
    /* The types that are sorted most have loops of their own. */
    switch (tensor->dtype) {
    case INGOT_FLOAT:
        for (int64_t i = 0; i < n; i++)
            keys[i] = key_of_float(((const float *)data)[first + i * step]);
        break;
    case INGOT_FLOAT16:
        for (int64_t i = 0; i < n; i++)
            keys[i] = key_of_narrow(((const uint16_t *)data)[first + i * step], 0x7c00);
        break;
    case INGOT_BFLOAT16:
        for (int64_t i = 0; i < n; i++)
            keys[i] = key_of_narrow(((const uint16_t *)data)[first + i * step], 0x7f80);
        break;
    case INGOT_DOUBLE:
        for (int64_t i = 0; i < n; i++)
            keys[i] = key_of_double(((const double *)data)[first + i * step]);
        break;
    case INGOT_UINT64:
        for (int64_t i = 0; i < n; i++)
            keys[i] = ((const uint64_t *)data)[first + i * step];
        break;
    case INGOT_INT64:
        for (int64_t i = 0; i < n; i++)
            keys[i] = ((const uint64_t *)data)[first + i * step] ^ UINT64_C(1) << 63;
        break;
    default:
        for (int64_t i = 0; i < n; i++)
            keys[i] = (uint64_t)ingot_int_at(tensor, first + i * step) ^ UINT64_C(1) << 63;
    }
}

enum { FEW = 32, DIGITS = 256 };

/* A few are put in order one by one. */
static void insert_few(ingot_keyed *list, int64_t n)
{
    for (int64_t i = 1; i < n; i++) {
        const ingot_keyed moving = list[i];
        int64_t at = i;
        for (; at > 0 && list[at - 1].key > moving.key; at--)
            list[at] = list[at - 1];
        list[at] = moving;
    }
}

ingot_keyed *ingot_sort_keyed(ingot_keyed *list, ingot_keyed *other, int64_t n)
{
    uint64_t differ = 0;
    if (n <= FEW) {
        insert_few(list, n);
        return list;
    }
    for (int64_t i = 1; i < n; i++)
        differ |= list[i].key ^ list[0].key;
    for (int shift = 0; shift < 64; shift += 8) {
        int64_t places[DIGITS + 1] = {0};
        if (!(differ >> shift & (DIGITS - 1)))
            continue;
        /* Where the first with each digit goes is known once the smaller ones are counted. */
        for (int64_t i = 0; i < n; i++)
            places[(list[i].key >> shift & (DIGITS - 1)) + 1]++;
        for (int d = 0; d < DIGITS; d++)
            places[d + 1] += places[d];
        for (int64_t i = 0; i < n; i++)
            other[places[list[i].key >> shift & (DIGITS - 1)]++] = list[i];
        ingot_keyed *const sorted = other;
        other = list;
        list = sorted;
    }
    return list;
}
