/* quantized.c - parameters of operators on 8-bit integers. */
#include "ops/quantized.h"

#include <math.h>

/* The input that plays a part, NULL where the operator has no such input or the model leaves it out. */
const ingot_tensor *ingot_quantized_input(const ingot_op_ctx *c, int i)
{
    return i != INGOT_NONE && ingot_has(c, i) ? c->in[i] : NULL;
}

/* A scale or zero point: one, or one for each line (a row or column of a product, a channel), or one for each line of
 * each matrix; lines 0: only one is allowed. A missing one is fine. INVALID for another count, or a type that is not
 * among `allowed`: the table of operators has too few columns of types to tell. */
ingot_status ingot_quantized_check(ingot_op_ctx *c, int i, int64_t lines, int64_t matrices, uint64_t allowed)
{
    const ingot_tensor *parameter = ingot_quantized_input(c, i);
    const int64_t n = parameter ? ingot_count(parameter) : 1;

    if (n != 1 && (lines == 0 || (n != lines && n != lines * matrices)))
        return ingot_op_fail(c, INGOT_INVALID, "input %d has %lld elements for %lld lines of %lld matrices", i,
                             (long long)n, (long long)lines, (long long)matrices);
    if (parameter && !(allowed >> parameter->dtype & 1))
        return ingot_op_fail(c, INGOT_INVALID, "input %d has type %s, which does not go with the others", i,
                             ingot_dtype_name(parameter->dtype));
    return INGOT_OK;
}

/* Its element for a line of a matrix, `otherwise` where it is missing. */
double ingot_quantized_at(const ingot_tensor *parameter, int64_t lines, int64_t matrix, int64_t line, double otherwise)
{
    const int64_t n = parameter ? ingot_count(parameter) : 0;
    return !parameter ? otherwise
                      : ingot_double_at(parameter, n == 1 ? 0 : n == lines ? line : matrix * lines + line);
}

/* The zero point, or scale, of a whole tensor; 0 and 1 are the defaults. */
int ingot_quantized_zero(const ingot_op_ctx *c, int i)
{
    return (int)ingot_quantized_at(ingot_quantized_input(c, i), 1, 0, 0, 0);
}

float ingot_quantized_scale(const ingot_op_ctx *c, int i)
{
    return (float)ingot_quantized_at(ingot_quantized_input(c, i), 1, 0, 0, 1);
}

/* How sums become bytes of dtype: limits are counted before the zero point is added. */
void ingot_quantized_out(ingot_dtype dtype, int zero, ingot_dot_out *out)
{
    out->kind = INGOT_DOT_BYTE;
    out->zero = zero;
    out->low = (float)((dtype == INGOT_INT8 ? -128 : 0) - zero);
    out->high = out->low + 255.0f;
}

/* DynamicQuantizeLinear's rule, for uint8: the range always includes 0, so that zero is exact; a constant 0 gets
 * scale 1/255 rather than 0. The zero point is rounded to even and clamped, as the standard says. */
void ingot_dynamic_scale_between(float low, float high, float *scale, int *zero)
{
    *scale = (low == high ? 1.0f : high - low) / 255.0f;
    const float at = 0.0f - low / *scale;       /* no number where the scale is 0 or infinite */
    *zero = at > 0 ? (int)rintf(MIN(at, 255.0f)) : 0;
}

void ingot_dynamic_scale(const ingot_kernels *kernels, const float *x, int64_t n, float *scale, int *zero)
{
    float low, high;

    kernels->range_f32(x, n, &low, &high);
    ingot_dynamic_scale_between(low, high, scale, zero);
}

/* Is the input missing, or a constant that can be read when planning? */
bool ingot_quantized_known(const ingot_op_ctx *c, int i)
{
    return !ingot_quantized_input(c, i) || (c->constants[i] && c->in[i]->data);
}
