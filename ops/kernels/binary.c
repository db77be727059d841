/* binary.c - functions of two variables over arrays of float. An operand that repeats (a scalar, or the 8 channels of a
 * block) is held in a register; where both repeat, one is spread first. */
#include "ops/kernels/vmath.h"

/* The result, but x where x is NaN. */
INGOT_INLINE vf32 with_nan(vf32 x, vf32 result) { return vf32_select(vf32_eq(x, x), result, x); }

/* X(function, expression of the vectors x and y) */
#define BINARIES(X) \
    X(ADD, vf32_add(x, y)) \
    X(SUB, vf32_sub(x, y)) \
    X(MUL, vf32_mul(x, y)) \
    X(DIV, vf32_div(x, y)) \
    X(MIN, with_nan(x, vf32_min(x, y)))          /* min and max themselves give y when either is NaN */ \
    X(MAX, with_nan(x, vf32_max(x, y))) \
    X(PRELU, vf32_leaky_relu(x, y))

/* A loop over dst, with x and y read by the expressions X_AT and Y_AT of a load function. */
#define LOOP(expression, x_at, y_at) \
    do { \
        int64_t i = 0; \
        for (; i + VF32_LANES <= n; i += VF32_LANES) { \
            const vf32 x = x_at(vf32_load(px + i), rx), y = y_at(vf32_load(py + i), ry); \
            vf32_store(dst + i, (expression)); \
        } \
        if (i < n) { \
            const size_t rest = (size_t)(n - i); \
            const vf32 x = x_at(vf32_load_n(px + i, rest), rx), y = y_at(vf32_load_n(py + i, rest), ry); \
            vf32_store_n(dst + i, (expression), rest); \
        } \
    } while (0)
/* How an operand is read: from its array, or from the register that holds what repeats. */
#define LOADED(loaded, repeated) (loaded)
#define REPEATED(loaded, repeated) (repeated)

/* One function over n elements: px and py are read where an operand is whole, rx and ry hold it where it repeats. */
typedef void binary_loop(float *dst, const float *px, const float *py, vf32 rx, vf32 ry, int64_t n);

#define X(name, expression) \
    static void each_##name(float *dst, const float *px, const float *py, vf32 rx, vf32 ry, int64_t n) \
    { \
        (void)rx, (void)ry; \
        LOOP(expression, LOADED, LOADED); \
    } \
    static void left_##name(float *dst, const float *px, const float *py, vf32 rx, vf32 ry, int64_t n) \
    { \
        (void)px, (void)ry; \
        LOOP(expression, REPEATED, LOADED); \
    } \
    static void right_##name(float *dst, const float *px, const float *py, vf32 rx, vf32 ry, int64_t n) \
    { \
        (void)py, (void)rx; \
        LOOP(expression, LOADED, REPEATED); \
    }
BINARIES(X)
#undef X

/* By function, and by which operand repeats: none, the left one, the right one. */
static binary_loop *const loops[INGOT_N_BINARIES][3] = {
#define X(name, expression) [INGOT_BINARY_##name] = { each_##name, left_##name, right_##name },
    BINARIES(X)
#undef X
};

/* One vector of an operand that repeats. */
static vf32 repeat(ingot_operand x)
{
    float lanes[VF32_LANES];

    if (x.period <= 1)
        return x.period ? vf32_set1(*x.p) : vf32_zero();
    for (int i = 0; i < VF32_LANES; i += 8)
        memcpy(lanes + i, x.p, 8 * sizeof *lanes);
    return vf32_load(lanes);
}

/* Where both operands repeat, the left one is spread over dst first and read from there: a fourth kind of loop would
 * be code that hardly any model runs. */
void INGOT_FN(binary_f32)(ingot_binary function, float *dst, ingot_operand x, ingot_operand y, int64_t n)
{
    const vf32 rx = repeat(x), ry = repeat(y);

    if (x.period && y.period) {
        int64_t i = 0;
        for (; i + VF32_LANES <= n; i += VF32_LANES)
            vf32_store(dst + i, rx);
        vf32_store_n(dst + i, rx, (size_t)(n - i));
        x = (ingot_operand){ dst, 0 };
    }
    loops[function][x.period ? 1 : y.period ? 2 : 0](dst, x.p, y.p, rx, ry, n);
}
