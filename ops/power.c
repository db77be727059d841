/* power.c - Pow and Mod. */
#include <math.h>

#include "ops/convert.h"
#include "ops/row_loops.h"

/* Elements that a mixed Pow converts at a time, on the stack. */
enum { CHUNK = 256 };

/* ---- Pow ---- */

INGOT_ROW(pow_each, float, float, float, powf(x, y))
INGOT_ROW(square, float, float, float, ((void)y, x * x))
INGOT_ROW(cube, float, float, float, ((void)y, x * x * x))
INGOT_ROW(root, float, float, float, ((void)y, x == -INFINITY ? INFINITY : sqrtf(x + 0.0f)))  /* + 0 turns -0 into 0 */
INGOT_ROW(reciprocal, float, float, float, ((void)y, 1.0f / x))
INGOT_ROW(pow_DOUBLE, double, double, double, pow(x, y))

/* float to the power of float. The exponents that models are full of, 2, 3, 0.5 and -1, take loops of their own where
 * one exponent serves the whole row. */
static void pow_FLOAT(void *dst, const void *const *in, const int *step, int64_t n, const void *argument)
{
    const float exponent = *(const float *)in[1];
    ingot_row_fn *row = pow_each;

    if (!step[1])
        row = exponent == 2 ? square : exponent == 3 ? cube : exponent == 0.5f ? root : exponent == -1 ? reciprocal
                                                                                                     : pow_each;
    row(dst, in, step, n, argument);
}

/* x to the power of y by squaring, with wrapping. For y < 0 what is left of 1 / x^-y as an integer: only 1 and -1
 * have any (and 0 gives 0). */
static int64_t pow_integer(int64_t x, int64_t y)
{
    uint64_t result = 1, square_of = (uint64_t)x;

    if (y < 0)
        return x == 1 ? 1 : x == -1 ? (y % 2 ? -1 : 1) : 0;
    for (; y; y >>= 1) {
        if (y & 1)
            result *= square_of;
        square_of *= square_of;
    }
    return (int64_t)result;
}

/* Element types of a mixed Pow, whose result has the base's. */
typedef struct mixed_types {
    ingot_dtype base, exponent;
} mixed_types;

/* Any base and exponent: both integers in int64, else in double; converted, computed and converted back in chunks. */
static void pow_mixed(void *dst, const void *const *in, const int *step, int64_t n, const void *argument)
{
    const mixed_types *types = argument;
    const bool integers = ingot_is_integer(types->base) && ingot_is_integer(types->exponent);
    const ingot_dtype wide = integers ? INGOT_INT64 : INGOT_DOUBLE;
    const ingot_conversion widen[] = { { .from = types->base, .to = wide }, { .from = types->exponent, .to = wide } };
    const ingot_conversion back = { .from = wide, .to = types->base };
    union { int64_t integers[CHUNK]; double doubles[CHUNK]; } x[2];

    for (int64_t at = 0; at < n; at += CHUNK) {
        const int64_t some = MIN(n - at, CHUNK);
        for (int i = 0; i < 2; i++) {
            const size_t size_bytes = ingot_dtype_size_bytes(widen[i].from);
            ingot_convert(&widen[i], &x[i], (const char *)in[i] + (size_t)(at * step[i]) * size_bytes,
                          step[i] ? some : 1);
        }
        for (int64_t k = some - 1; k >= 0; k--)        /* backwards: an operand that repeats lies in element 0 */
            if (integers)
                x[0].integers[k] = pow_integer(x[0].integers[k * step[0]], x[1].integers[k * step[1]]);
            else
                x[0].doubles[k] = pow(x[0].doubles[k * step[0]], x[1].doubles[k * step[1]]);
        ingot_convert(&back, (char *)dst + (size_t)at * ingot_dtype_size_bytes(types->base), &x[0], some);
    }
}

/* Y has the base's type, whatever the exponent's is. */
static ingot_status infer_pow(ingot_op_ctx *c) { return ingot_out_broadcast(c, 0, c->in[0]->dtype); }

/* A float base with one exponent of another type, as exporters write it, uses the loops for floats when the exponent
 * is exact as a float. 16-bit floats are computed as floats and rounded once. */
static ingot_status run_pow(ingot_op_ctx *c)
{
    const mixed_types types = { c->in[0]->dtype, c->in[1]->dtype };
    const ingot_narrow narrow = { c->kernels, .row = pow_FLOAT, .dtype = types.base, .n_in = 2 };
    const bool is_narrow = types.base == INGOT_FLOAT16 || types.base == INGOT_BFLOAT16;
    ingot_tensor *in[] = { c->in[0], c->in[1] }, exponent = *in[1];
    float value;

    /* One exponent of another type, if float has it exactly. */
    if (types.base == INGOT_FLOAT && types.exponent != INGOT_FLOAT && ingot_count(in[1]) == 1) {
        const double number = ingot_double_at(in[1], 0);
        value = (float)number;
        if ((double)value == number) {
            exponent.dtype = INGOT_FLOAT;
            exponent.data = &value;
            in[1] = &exponent;
        }
    }
    if (types.base == INGOT_FLOAT && in[1]->dtype == INGOT_FLOAT)
        return ingot_broadcast(c, c->out[0], in, 2, 4096, pow_FLOAT, NULL);
    if (types.base == INGOT_DOUBLE && types.exponent == INGOT_DOUBLE)
        return ingot_broadcast(c, c->out[0], in, 2, 2048, pow_DOUBLE, NULL);
    if (is_narrow && types.exponent == types.base)
        return ingot_broadcast(c, c->out[0], in, 2, 4096, ingot_row_narrow, &narrow);
    return ingot_broadcast(c, c->out[0], in, 2, 2048, pow_mixed, &types);
}

/* ---- Mod: of the divisor's sign (floor), or of the dividend's (trunc); x mod 0 is 0 for integers ---- */

/* Python's %: the result has the divisor's sign, zero included. */
static double floor_mod(double x, double y)
{
    const double rest = fmod(x, y);
    return rest == 0 ? copysign(0, y) : (rest < 0) != (y < 0) ? rest + y : rest;
}

/* floor_mod in floats, for float and the 16-bit types. */
static float floor_modf(float x, float y)
{
    const float rest = fmodf(x, y);
    return rest == 0 ? copysignf(0, y) : (rest < 0) != (y < 0) ? rest + y : rest;
}

/* Remainders of integers: by 0 the result is 0, and by -1 too, without the division whose overflow would trap. */
#define rest_of(T, W) (T)(y == 0 ? 0 : x % y)
#define trunc_of(T, W) (T)(y == 0 || y == (T)-1 ? 0 : x % y)
#define floor_of(T, W) (T)(y == 0 || y == (T)-1 ? 0 : x % y + (x % y != 0 && (x < 0) != (y < 0) ? y : 0))
#define ROW(op, dtype, T, W) INGOT_ROW(op##_##dtype, T, T, T, op##_of(T, W))
INGOT_UNSIGNED_ROWS(ROW, rest)
INGOT_SIGNED_ROWS(ROW, trunc)
INGOT_SIGNED_ROWS(ROW, floor)
INGOT_ROW(trunc_FLOAT, float, float, float, fmodf(x, y))
INGOT_ROW(trunc_DOUBLE, double, double, double, fmod(x, y))
INGOT_ROW(floor_FLOAT, float, float, float, floor_modf(x, y))
INGOT_ROW(floor_DOUBLE, double, double, double, floor_mod(x, y))

/* By the attribute fmod, then by element type. Unsigned integers have one remainder only. */
static ingot_row_fn *const mod_rows[2][INGOT_N_DTYPES] = {
    { INGOT_UNSIGNED_ROWS(INGOT_ROW_ENTRY, rest) INGOT_SIGNED_ROWS(INGOT_ROW_ENTRY, floor)
      [INGOT_FLOAT] = floor_FLOAT, [INGOT_DOUBLE] = floor_DOUBLE },
    { INGOT_UNSIGNED_ROWS(INGOT_ROW_ENTRY, rest) INGOT_SIGNED_ROWS(INGOT_ROW_ENTRY, trunc)
      [INGOT_FLOAT] = trunc_FLOAT, [INGOT_DOUBLE] = trunc_DOUBLE },
};

/* Unlike Pow, Mod has one type for both; different ones are INVALID. */
static ingot_status infer_mod(ingot_op_ctx *c)
{
    if (c->in[0]->dtype != c->in[1]->dtype)
        return ingot_op_fail(c, INGOT_INVALID, "inputs have different element types");
    return infer_pow(c);
}

/* The attribute fmod chooses C's remainder, which the standard asks for with floats; both kinds are there for all
 * types. */
static ingot_status run_mod(ingot_op_ctx *c)
{
    const ingot_dtype dtype = c->in[0]->dtype;
    ingot_row_fn *const *rows = mod_rows[ingot_attr_int(c->node, "fmod", 0) != 0];
    const ingot_narrow narrow = { c->kernels, .row = rows[INGOT_FLOAT], .dtype = dtype, .n_in = 2 };

    if (dtype == INGOT_FLOAT16 || dtype == INGOT_BFLOAT16)
        return ingot_broadcast(c, c->out[0], c->in, 2, 4096, ingot_row_narrow, &narrow);
    return ingot_broadcast(c, c->out[0], c->in, 2, 4096, rows[dtype], NULL);
}

/* Bases as the standard has them; exponents may be of any numeric type. */
#define TYPES_BASE (INGOT_TYPES_FLOAT | INGOT_TYPES_INDEX)

const ingot_op ingot_ops_power[] = {
    { "Pow", 7, 2, 2, { TYPES_BASE, INGOT_TYPES_NUMERIC }, infer_pow, run_pow, .flags = INGOT_OP_INPLACE },
    { "Mod", 10, 2, 2, { INGOT_TYPES_NUMERIC, 0 }, infer_mod, run_mod, .flags = INGOT_OP_INPLACE },
    {0},
};
