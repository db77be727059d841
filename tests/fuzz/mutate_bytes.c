/* mutate_bytes.c - what stands for libFuzzer's mutation of bytes where libFuzzer is not there: plain, and the same for
 * the same bytes. */
#include <string.h>

#include "tests/fuzz/fuzz.h"

/* One byte changed, taken out or put in; what changes which follows from the bytes that are there. */
size_t LLVMFuzzerMutate(uint8_t *data, size_t size, size_t max_size)
{
    uint32_t state = 2166136261u;
    for (size_t i = 0; i < size; i++)
        state = (state ^ data[i]) * 16777619u;
    const size_t at = size ? state / 8 % size : 0;
    if (state % 4 == 0 && size < max_size) {
        memmove(data + at + 1, data + at, size - at);
        data[at] = (uint8_t)(state >> 16);
        return size + 1;
    }
    if (state % 4 == 1 && size) {
        memmove(data + at, data + at + 1, size - at - 1);
        return size - 1;
    }
    if (size)
        data[at] ^= (uint8_t)(1u << (state >> 24) % 8);
    return size;
}
