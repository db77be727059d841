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

/* A loop over dst, with x and y read by X_AT and Y_AT: from the arrays, or from the vector that rx or ry holds. */
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

/* One function over n elements of px and py; of an operand that repeats, one vector is there. Passing it as a vector
 * would cost some 500 cycles a call: a function that takes one returns with the upper halves of the registers set, and
 * the processor pays at the next instruction of the baseline's code, and again when it comes back. */
typedef void binary_loop(float *dst, const float *px, const float *py, int64_t n);

#define X(name, expression) \
    static void each_##name(float *dst, const float *px, const float *py, int64_t n) \
    { \
        LOOP(expression, LOADED, LOADED); \
    } \
    static void left_##name(float *dst, const float *px, const float *py, int64_t n) \
    { \
        const vf32 rx = vf32_load(px); \
        LOOP(expression, REPEATED, LOADED); \
    } \
    static void right_##name(float *dst, const float *px, const float *py, int64_t n) \
    { \
        const vf32 ry = vf32_load(py); \
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

/* One vector of an operand that repeats, or the operand itself. */
static const float *repeat(ingot_operand x, float lanes[VF32_LANES])
{
    if (!x.period)
        return x.p;
    if (x.period == 1)
        vf32_store(lanes, vf32_set1(*x.p));
    else
        for (int i = 0; i < VF32_LANES; i++)
            lanes[i] = x.p[i % 8];
    return lanes;
}

/* Where both operands repeat, the left one is spread over dst first and read from there: a fourth kind of loop would
 * be code that hardly any model runs. */
void INGOT_FN(binary_f32)(ingot_binary function, float *dst, ingot_operand x, ingot_operand y, int64_t n)
{
    float left[VF32_LANES], right[VF32_LANES];
    const float *px = repeat(x, left), *py = repeat(y, right);

    if (x.period && y.period) {
        const vf32 rx = vf32_load(px);
        int64_t i = 0;
        for (; i + VF32_LANES <= n; i += VF32_LANES)
            vf32_store(dst + i, rx);
        vf32_store_n(dst + i, rx, (size_t)(n - i));
        px = dst;
        x.period = 0;
    }
    loops[function][x.period ? 1 : y.period ? 2 : 0](dst, px, py, n);
}

enum { ROWS = 512 };           /* numbers that short rows are gathered by */

/* Rows of an operand, one behind the other: where they lie so they stay, else they go to `to`, which has room for a
 * vector behind them, as the last of a row may reach into the next one. */
INGOT_INLINE const float *gather_rows(ingot_operand x, ptrdiff_t step, int64_t rows, int64_t n, float *to)
{
    if (!x.period && step == n)
        return x.p;
    for (int64_t r = 0; r < rows; r++) {
        const float *p = x.p + r * step;
        float *row = to + r * n;
        const vf32 one = vf32_set1(*p);
        if (x.period)
            for (int64_t i = 0; i < n; i += VF32_LANES)
                vf32_store(row + i, one);
        else
            for (int64_t i = 0; i < n; i += VF32_LANES)
                vf32_store(row + i, i + VF32_LANES <= n ? vf32_load(p + i) : vf32_load_n(p + i, (size_t)(n - i)));
    }
    return to;
}

/* Rows are gathered until they fill a good many vectors. What all rows have in common is gathered once. */
void INGOT_FN(binary_rows_f32)(ingot_binary function, float *dst, ingot_operand x, ptrdiff_t x_row, ingot_operand y,
                               ptrdiff_t y_row, int64_t rows, int64_t n)
{
    float left[ROWS + VF32_LANES], right[ROWS + VF32_LANES];
    const int64_t most = ROWS / n;
    const float *px = left, *py = right;

    for (int64_t r = 0; r < rows; r += most) {
        const int64_t count = min64(most, rows - r);
        if (r == 0 || x_row != 0)
            px = gather_rows((ingot_operand){ x.p + r * x_row, x.period }, x_row, count, n, left);
        if (r == 0 || y_row != 0)
            py = gather_rows((ingot_operand){ y.p + r * y_row, y.period }, y_row, count, n, right);
        loops[function][0](dst + r * n, px, py, count * n);
    }
}
