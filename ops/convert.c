/* convert.c - float, double, the integers of whole bytes and bool have a loop for each pair. The other types take a
 * step before or after, through a small buffer: narrow floats are widened exactly on the way in and rounded from double
 * on the way out; 2- and 4-bit integers are bytes on the way in and cut from int64 on the way out. */
#include "ops/convert.h"

#include <math.h>
#include <string.h>

#include "ops/scalar.h"

/* Elements of the buffers; and of the inner loops that are to be vector code: a number that compilers know, without
 * which they make none when asked for small code. */
enum { CHUNK = 512, BLOCK = 64 };

typedef void convert_fn(void *restrict dst, const void *restrict src, int64_t n);

/* Toward zero, cut off at the ends of the type; NaN fails every comparison and becomes 0. In C the cast of a number
 * that does not fit is undefined, hence the bounds, which are exact in double. */
static inline int32_t to_int32(double x)
{
    return x > -0x1p31 && x < 0x1p31 ? (int32_t)x : x < 0 ? INT32_MIN : x > 0 ? INT32_MAX : 0;
}

/* The same for int64: the bounds are powers of two because INT64_MAX is no double. */
static inline int64_t to_int64(double x)
{
    return x > -0x1p63 && x < 0x1p63 ? (int64_t)x : x < 0 ? INT64_MIN : x > 0 ? INT64_MAX : 0;
}

/* Negative numbers go by way of int64, so that they wrap as the narrower types do. */
static inline uint64_t to_uint64(double x)
{
    return x < 0x1p63 ? (uint64_t)to_int64(x) : x < 0x1p64 ? (uint64_t)x : x > 0 ? UINT64_MAX : 0;
}

/* ---- direct pairs: X(destination, its C type, value of x from a float, from an integer) ---- */

#define DESTINATIONS(X, S, ST, V, often) \
    X(FLOAT, float, S, ST, (float)x, often) \
    X(DOUBLE, double, S, ST, (double)x, often) \
    X(BOOL, uint8_t, S, ST, x != 0, often) \
    X(UINT8, uint8_t, S, ST, V(uint8_t, to_int32), often) \
    X(INT8, int8_t, S, ST, V(int8_t, to_int32), often) \
    X(UINT16, uint16_t, S, ST, V(uint16_t, to_int32), often) \
    X(INT16, int16_t, S, ST, V(int16_t, to_int32), often) \
    X(UINT32, uint32_t, S, ST, V(uint32_t, to_int64), often) \
    X(INT32, int32_t, S, ST, V(int32_t, to_int32), often) \
    X(UINT64, uint64_t, S, ST, V(uint64_t, to_uint64), often) \
    X(INT64, int64_t, S, ST, V(int64_t, to_int64), often)
#define FROM_FLOAT(T, convert) (T)convert((double)x)
#define FROM_INTEGER(T, convert) (T)x

/* The integers. */
#define INTEGERS \
    (INGOT_TYPE(UINT8) | INGOT_TYPE(INT8) | INGOT_TYPE(UINT16) | INGOT_TYPE(INT16) | INGOT_TYPE(UINT32) | \
     INGOT_TYPE(INT32) | INGOT_TYPE(UINT64) | INGOT_TYPE(INT64))

/* X(source, its C type, how its values become integers, the destinations that are worth vector code); bool is read as
 * uint8 */
#define SOURCES(X) \
    X(FLOAT, float, FROM_FLOAT, INGOT_TYPE(BOOL) | INGOT_TYPE(DOUBLE)) \
    X(DOUBLE, double, FROM_FLOAT, INGOT_TYPE(FLOAT)) \
    X(UINT8, uint8_t, FROM_INTEGER, INGOT_TYPE(FLOAT) | INGOT_TYPE(INT32) | INGOT_TYPE(INT64)) \
    X(INT8, int8_t, FROM_INTEGER, INGOT_TYPE(FLOAT) | INGOT_TYPE(INT32)) \
    X(UINT16, uint16_t, FROM_INTEGER, 0) \
    X(INT16, int16_t, FROM_INTEGER, 0) \
    X(UINT32, uint32_t, FROM_INTEGER, 0) \
    X(INT32, int32_t, FROM_INTEGER, INTEGERS | INGOT_TYPE(FLOAT)) \
    X(UINT64, uint64_t, FROM_INTEGER, 0) \
    X(INT64, int64_t, FROM_INTEGER, INGOT_TYPE(INT32) | INGOT_TYPE(BOOL))

/* One loop for each pair, in blocks where it is used often. */
#define LOOP(D, DT, S, ST, value, often) \
    static void S##_to_##D(void *restrict dst, const void *restrict src, int64_t n) \
    { \
        const ST *from = src; \
        DT *to = dst; \
        for (; (often) >> INGOT_##D & 1 && n >= BLOCK; n -= BLOCK, from += BLOCK, to += BLOCK) \
            for (int i = 0; i < BLOCK; i++) { \
                const ST x = from[i]; \
                to[i] = (value); \
            } \
        for (int64_t i = 0; i < n; i++) { \
            const ST x = from[i]; \
            to[i] = (value); \
        } \
    }
#define LOOPS(S, ST, V, often) DESTINATIONS(LOOP, S, ST, V, often)
SOURCES(LOOPS)

#define ENTRY(D, DT, S, ST, value, often) [INGOT_##D] = S##_to_##D,
#define ENTRIES(S, ST, V, often) [INGOT_##S] = { DESTINATIONS(ENTRY, S, ST, V, 0) },
/* direct[from][to]; NULL where a type is not among the sources or destinations. */
static convert_fn *const direct[INGOT_N_DTYPES][INGOT_N_DTYPES] = { SOURCES(ENTRIES) };

/* Are all of a block within int32? NaN is not. */
static bool fit_int32(const float *src)
{
    int all = 1;
    for (int i = 0; i < BLOCK; i++)
        all &= fabsf(src[i]) < 0x1p31f;
    return all;
}

/* Floats to an integer type, by way of int32 in blocks where it holds them all. */
static void cut_floats(void *dst, const float *src, int64_t n, ingot_dtype to)
{
    const int64_t size_bytes = (int64_t)ingot_dtype_size_bytes(to);

    for (int64_t at = 0; at < n; at += BLOCK) {
        const float *in = src + at;
        void *out = (char *)dst + at * size_bytes;
        const int64_t some = MIN(n - at, BLOCK);
        int32_t whole[BLOCK];
        if (some < BLOCK || !fit_int32(in)) {
            direct[INGOT_FLOAT][to](out, in, some);
            continue;
        }
        for (int i = 0; i < BLOCK; i++)
            whole[i] = (int32_t)in[i];
        direct[INGOT_INT32][to](out, whole, BLOCK);
    }
}

/* ---- the steps before and after ---- */

/* The type that elements of `dtype` are read as: itself where there are loops for it; bytes for those that a byte holds
 * as it is; else floats, which hold every narrow float exactly. */
static ingot_dtype read_type(ingot_dtype dtype)
{
    switch (dtype) {
    case INGOT_BOOL:
    case INGOT_UINT4:
    case INGOT_UINT2: return INGOT_UINT8;
    case INGOT_INT4:
    case INGOT_INT2: return INGOT_INT8;
    default: return direct[dtype][dtype] ? dtype : INGOT_FLOAT;
    }
}

/* The type that elements of `dtype` are made from, when they come from `source`. 16-bit floats are rounded from float
 * only when the source is one: a double would be rounded twice on that way. */
static ingot_dtype write_type(ingot_dtype dtype, ingot_dtype source)
{
    switch (dtype) {
    case INGOT_INT4:
    case INGOT_UINT4:
    case INGOT_INT2:
    case INGOT_UINT2: return INGOT_INT64;
    case INGOT_BOOL: return INGOT_BOOL;
    case INGOT_FLOAT16:
    case INGOT_BFLOAT16: return source == INGOT_FLOAT ? INGOT_FLOAT : INGOT_DOUBLE;
    default: return direct[dtype][dtype] ? dtype : INGOT_DOUBLE;
    }
}

/* n elements of the narrow float type c->from to floats, exactly. */
static void widen(const ingot_conversion *c, float *dst, const void *src, int64_t n)
{
    const ingot_dtype dtype = c->from;
    const uint8_t *codes = src;
    if (dtype == INGOT_FLOAT16 || dtype == INGOT_BFLOAT16)
        ingot_widen(c->kernels, dst, src, n, dtype);
    else
        for (int64_t i = 0; i < n; i++)
            dst[i] = ingot_small_to_float(codes[i], dtype);
}

/* The low bits of each number, as a byte; the sign bit of a signed type is spread over the byte. */
static void cut_integers(uint8_t *dst, const int64_t *src, int64_t n, ingot_dtype dtype)
{
    const int bits = dtype == INGOT_INT4 || dtype == INGOT_UINT4 ? 4 : 2;
    const int mask = (1 << bits) - 1, sign = dtype == INGOT_INT4 || dtype == INGOT_INT2 ? 1 << (bits - 1) : 0;

    for (int64_t i = 0; i < n; i++)
        dst[i] = (uint8_t)((((int)src[i] & mask) ^ sign) - sign);
}

/* n doubles, at most CHUNK, to 16-bit floats, rounded once. */
static void round_to_halves(const ingot_conversion *c, void *dst, const double *src, int64_t n)
{
    float odd[CHUNK];

    for (int64_t i = 0; i < n; i++)
        odd[i] = ingot_round_to_odd(src[i]);
    ingot_narrow_to(c->kernels, dst, odd, n, c->to);
}

/* To 8 bits and less, rounded once, with saturation or round_mode. */
static void round_doubles(const ingot_conversion *c, uint8_t *dst, const double *src, int64_t n)
{
    for (int64_t i = 0; i < n; i++)
        dst[i] = c->to == INGOT_FLOAT8E8M0 ? ingot_double_to_e8m0(src[i], c->round_mode, c->saturate)
                                           : ingot_double_to_small(src[i], c->to, c->saturate);
}

/* Types that need no step take the whole array at once; the others go through a buffer of CHUNK elements. dst may be
 * src where the types are the same. */
void ingot_convert(const ingot_conversion *c, void *dst, const void *src, int64_t n)
{
    const ingot_dtype from = read_type(c->from), to = write_type(c->to, from);
    const size_t from_bytes = ingot_dtype_size_bytes(c->from), to_bytes = ingot_dtype_size_bytes(c->to);
    /* reads: the loop can read the source itself; writes: it can write the destination itself. */
    const bool reads = direct[c->from][c->from] || c->from == INGOT_BOOL || from != INGOT_FLOAT, writes = to == c->to;
    float wide[CHUNK];
    union { double doubles[CHUNK]; int64_t integers[CHUNK]; } made;

    if (c->from == c->to) {
        memmove(dst, src, (size_t)n * from_bytes);
        return;
    }
    for (int64_t at = 0; at < n; at += CHUNK) {
        const int64_t some = reads && writes ? n : MIN(n - at, CHUNK);
        const void *in = (const char *)src + (size_t)at * from_bytes;
        void *out = (char *)dst + (size_t)at * to_bytes;
        /* Before: floats out of the narrow type, for floats already the end. Then the loop, into the destination or the
         * buffer. After: what the buffer holds becomes the narrow type; float to 16 bits is this alone. */
        if (!reads) {
            float *floats = c->to == INGOT_FLOAT ? out : wide;
            widen(c, floats, in, some);
            in = floats;
        }
        void *result = writes ? out : (void *)&made;
        if (from == INGOT_FLOAT && INTEGERS >> to & 1)
            cut_floats(result, in, some, to);
        else if (from != INGOT_FLOAT || to != INGOT_FLOAT)
            direct[from][to](result, in, some);
        if (to == INGOT_FLOAT && !writes)
            ingot_narrow_to(c->kernels, out, in, some, c->to);
        else if (to == INGOT_INT64 && !writes)
            cut_integers(out, made.integers, some, c->to);
        else if (c->to == INGOT_FLOAT16 || c->to == INGOT_BFLOAT16)
            round_to_halves(c, out, made.doubles, some);
        else if (!writes)
            round_doubles(c, out, made.doubles, some);
        if (reads && writes)
            break;
    }
}
