/* axis_copy.c - one memcpy for each outer index. */
#include "ops/axis_copy.h"

#include <string.h>

/* Copy n indices of one axis between two tensors that agree in all others: outer runs of n * inner_bytes each. An
 * empty run returns early, as its pointers may be NULL. */
void ingot_copy_axis(ingot_axis_view to, ingot_axis_view from, int64_t n, int64_t outer, size_t inner_bytes)
{
    const size_t run_bytes = (size_t)n * inner_bytes;
    if (!run_bytes)
        return;
    char *dst = (char *)to.data + (size_t)to.first * inner_bytes;
    const char *src = (const char *)from.data + (size_t)from.first * inner_bytes;
    for (int64_t o = 0; o < outer; o++) {
        memcpy(dst, src, run_bytes);
        dst += (size_t)to.axis * inner_bytes;
        src += (size_t)from.axis * inner_bytes;
    }
}
