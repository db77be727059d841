/* half.c - kernels, or the conversions of tensor.h. */
#include "ops/half.h"

/* n FLOAT16 or BFLOAT16 numbers to f32, exactly. */
void ingot_widen(const ingot_kernels *kernels, float *dst, const void *src, int64_t n, ingot_dtype dtype)
{
    const uint16_t *from = src;
    const bool bfloat = dtype == INGOT_BFLOAT16;

    if (kernels)
        kernels->widen_f32(dst, from, n, bfloat);
    else
        for (int64_t i = 0; i < n; i++)
            dst[i] = bfloat ? ingot_bfloat_to_float(from[i]) : ingot_half_to_float(from[i]);
}

/* n f32 numbers to FLOAT16 or BFLOAT16. */
void ingot_narrow_to(const ingot_kernels *kernels, void *dst, const float *src, int64_t n, ingot_dtype dtype)
{
    uint16_t *to = dst;
    const bool bfloat = dtype == INGOT_BFLOAT16;

    if (kernels)
        kernels->narrow_f32(to, src, n, bfloat);
    else
        for (int64_t i = 0; i < n; i++)
            to[i] = bfloat ? ingot_float_to_bfloat(src[i]) : ingot_float_to_half(src[i]);
}
