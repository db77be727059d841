/* value.c - values that the tool made or was given: memory, single elements, one-line summaries. */
#include "cli/cli.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* --max-memory, or 16 GiB where it is not given: a bound for what a header may claim. */
uint64_t cli_limit_bytes(void) { return common.max_memory_bytes ? common.max_memory_bytes : UINT64_C(16) << 30; }

/* Sizes come from files and from --dim: they are multiplied with care and held against the limit. */
ingot_status cli_value_alloc(cli_value *value, size_t extra_bytes, ingot_error *error)
{
    ingot_tensor *t = &value->tensor;
    uint64_t size = ingot_dtype_size_bytes(t->dtype);
    for (int32_t i = 0; i < t->rank; i++)
        if (t->shape[i] < 0 || __builtin_mul_overflow(size, (uint64_t)t->shape[i], &size))
            return cli_fail(error, INGOT_LIMIT, "a tensor's size does not fit memory");
    if (__builtin_add_overflow(size, extra_bytes, &size) || size > cli_limit_bytes())
        return cli_fail(error, INGOT_LIMIT, "a tensor of %llu bytes is over the limit of %llu",
                        (unsigned long long)size, (unsigned long long)cli_limit_bytes());
    /* pages of zeros come from the system as they are touched; aligned, as the engine's own are */
    if (posix_memalign(&t->data, 64, size ? (size_t)size : 1)) {
        t->data = NULL;
        return cli_fail(error, INGOT_LIMIT, "out of memory for a tensor of %llu bytes", (unsigned long long)size);
    }
    memset(t->data, 0, (size_t)size);
    value->decoded = false;
    return INGOT_OK;
}

/* The memory goes back the way it came: decoded values are the library's. The value can be used again. */
void cli_value_free(cli_value *value)
{
    if (value->decoded)
        ingot_tensor_free(&value->tensor);
    else
        free(value->tensor.data);
    *value = (cli_value){.decoded = false};
}

/* ---- elements --------------------------------------------------------------------------------------------------- */

/* Floats of 16 bits and fewer: sign, exponent, mantissa, from the top. What the largest exponent means differs. */
typedef enum special_values { SPECIAL_IEEE, SPECIAL_ALL_ONES, SPECIAL_NEGATIVE_ZERO, SPECIAL_NONE } special_values;

static const struct small_float {
    int n_exponent_bits, n_mantissa_bits, bias;
    special_values specials;
} small_floats[INGOT_N_DTYPES] = {
    [INGOT_FLOAT16] = {5, 10, 15, SPECIAL_IEEE},
    [INGOT_BFLOAT16] = {8, 7, 127, SPECIAL_IEEE},
    [INGOT_FLOAT8E4M3FN] = {4, 3, 7, SPECIAL_ALL_ONES},
    [INGOT_FLOAT8E4M3FNUZ] = {4, 3, 8, SPECIAL_NEGATIVE_ZERO},
    [INGOT_FLOAT8E5M2] = {5, 2, 15, SPECIAL_IEEE},
    [INGOT_FLOAT8E5M2FNUZ] = {5, 2, 16, SPECIAL_NEGATIVE_ZERO},
    [INGOT_FLOAT4E2M1] = {2, 1, 1, SPECIAL_NONE},
    [INGOT_FLOAT6E2M3] = {2, 3, 1, SPECIAL_NONE},
    [INGOT_FLOAT6E3M2] = {3, 2, 3, SPECIAL_NONE},
};

/* By the formats' definitions, as a table says them: value = mantissa * 2^(exponent - bias - mantissa bits). Source:
 * IEEE 754; Micikevicius and others, "FP8 formats for deep learning"; ONNX, "Float stored in 8 bits". */
static double decode_small(ingot_dtype dtype, unsigned bits)
{
    if (dtype == INGOT_FLOAT8E8M0) /* an exponent alone */
        return bits == 255 ? NAN : ldexp(1, (int)bits - 127);
    const struct small_float f = small_floats[dtype];
    const unsigned magnitude = bits & ((1U << (f.n_exponent_bits + f.n_mantissa_bits)) - 1);
    const unsigned mantissa = magnitude & ((1U << f.n_mantissa_bits) - 1);
    const unsigned exponent = magnitude >> f.n_mantissa_bits, top = (1U << f.n_exponent_bits) - 1;
    const bool negative = bits >> (f.n_exponent_bits + f.n_mantissa_bits) & 1;
    double value;
    if (f.specials == SPECIAL_IEEE && exponent == top)
        value = mantissa ? NAN : INFINITY;
    else if (f.specials == SPECIAL_ALL_ONES && exponent == top && mantissa + 1 == 1U << f.n_mantissa_bits)
        value = NAN;
    else if (f.specials == SPECIAL_NEGATIVE_ZERO && negative && !magnitude)
        value = NAN;
    else
        value = ldexp(exponent ? (1U << f.n_mantissa_bits) + mantissa : mantissa,
                      (exponent ? (int)exponent : 1) - f.bias - f.n_mantissa_bits);
    return negative ? -value : value;
}

/* Every type whose elements are compared with a tolerance. */
bool cli_is_float(ingot_dtype dtype)
{
    return dtype == INGOT_FLOAT || dtype == INGOT_DOUBLE || dtype == INGOT_FLOAT8E8M0 ||
           ((unsigned)dtype < INGOT_N_DTYPES && small_floats[dtype].n_exponent_bits);
}

/* Any number type as double; of complex numbers the real part, of strings 0. Integers past 2^53 are rounded. */
double cli_element(const ingot_tensor *t, int64_t i)
{
    switch (t->dtype) {
    case INGOT_COMPLEX64: return (double)((const float *)t->data)[2 * i];
    case INGOT_FLOAT: return (double)((const float *)t->data)[i];
    case INGOT_COMPLEX128: return ((const double *)t->data)[2 * i];
    case INGOT_DOUBLE: return ((const double *)t->data)[i];
    case INGOT_INT4:
    case INGOT_INT2:
    case INGOT_INT8: return ((const int8_t *)t->data)[i];
    case INGOT_UINT16: return ((const uint16_t *)t->data)[i];
    case INGOT_INT16: return ((const int16_t *)t->data)[i];
    case INGOT_UINT32: return ((const uint32_t *)t->data)[i];
    case INGOT_INT32: return ((const int32_t *)t->data)[i];
    case INGOT_UINT64: return (double)((const uint64_t *)t->data)[i];
    case INGOT_INT64: return (double)((const int64_t *)t->data)[i];
    case INGOT_BOOL:
    case INGOT_UINT4:
    case INGOT_UINT2:
    case INGOT_UINT8: return ((const uint8_t *)t->data)[i];
    case INGOT_FLOAT16:
    case INGOT_BFLOAT16: return decode_small(t->dtype, ((const uint16_t *)t->data)[i]);
    case INGOT_UNDEFINED:
    case INGOT_STRING: return 0;
    default: return decode_small(t->dtype, ((const uint8_t *)t->data)[i]);
    }
}

/* 64-bit integers are printed exactly, floats with six digits, strings escaped and cut. */
void cli_print_element(FILE *out, const ingot_tensor *t, int64_t i)
{
    char text[60];
    switch (t->dtype) {
    case INGOT_STRING: {
        const ingot_string *s = (const ingot_string *)t->data + i;
        fprintf(out, "\"%s\"", cli_escape(text, sizeof text, s->size_bytes ? s->data : "", s->size_bytes));
        break;
    }
    case INGOT_BOOL: fputs(((const uint8_t *)t->data)[i] ? "true" : "false", out); break;
    case INGOT_INT64: fprintf(out, "%lld", (long long)((const int64_t *)t->data)[i]); break;
    case INGOT_UINT64: fprintf(out, "%llu", (unsigned long long)((const uint64_t *)t->data)[i]); break;
    case INGOT_COMPLEX64:
        fprintf(out, "%g%+gi", cli_element(t, i), (double)((const float *)t->data)[2 * i + 1]);
        break;
    case INGOT_COMPLEX128: fprintf(out, "%g%+gi", cli_element(t, i), ((const double *)t->data)[2 * i + 1]); break;
    default: fprintf(out, "%.6g", cli_element(t, i));
    }
}

/* ---- summaries -------------------------------------------------------------------------------------------------- */

/* NaN takes no part in the range and the mean; it is counted. */
static void print_range(FILE *out, const ingot_tensor *t, int64_t n)
{
    double low = INFINITY, high = -INFINITY, sum = 0;
    int64_t n_nan = 0;
    for (int64_t i = 0; i < n; i++) {
        const double x = cli_element(t, i);
        if (isnan(x)) {
            n_nan++;
            continue;
        }
        low = x < low ? x : low;
        high = x > high ? x : high;
        sum += x;
    }
    if (n_nan < n)
        fprintf(out, "  min %.6g  max %.6g  mean %.6g", low, high, sum / (double)(n - n_nan));
    if (n_nan)
        fprintf(out, "  NaN %lld", (long long)n_nan);
}

/* One line, short enough to read; of a sequence one line more for each of its first items. */
void cli_print_value(FILE *out, const char *name, const ingot_tensor *t)
{
    enum { N_FIRST = 4 };
    char type[300];
    fprintf(out, "%s  %s", cli_printable(name), cli_type_text(t, type, sizeof type));
    if (t->kind == INGOT_TENSOR) {
        const int64_t n = ingot_tensor_count(t);
        const bool ranged = t->dtype != INGOT_STRING && t->dtype != INGOT_COMPLEX64 && t->dtype != INGOT_COMPLEX128;
        if (n > 1 && ranged)
            print_range(out, t, n);
        if (n > 0)
            fputs("  =", out);
        for (int64_t i = 0; i < n && i < N_FIRST; i++) {
            fputc(' ', out);
            cli_print_element(out, t, i);
        }
        if (n > N_FIRST)
            fputs(" ...", out);
    }
    fputc('\n', out);
    if ((t->kind == INGOT_SEQUENCE || t->kind == INGOT_OPTIONAL) && t->shape[0] > 0) {
        const ingot_tensor *items = t->data;
        for (int64_t i = 0; i < t->shape[0] && i < N_FIRST; i++)
            fprintf(out, "  item %lld  %s\n", (long long)i, cli_type_text(items + i, type, sizeof type));
        if (t->shape[0] > N_FIRST)
            fputs("  ...\n", out);
    }
}
