/* reduce.c - ReduceSum and its family: Y = finish(fold of f(X) over some dimensions).
 *
 * Dimensions that lie behind each other and share their fate are merged first. Then there are two loops: either the
 * innermost dimension is reduced, and each result folds whole rows to numbers; or it is kept, and rows are folded onto
 * each other, up to WIDTH columns at a time. Every result is folded by one thread, in an order that the shape decides.
 * Floats go through the f32 kernels and add up in double; integers are exact, modulo their size as in C; the other
 * float types are read as double. */
#include <math.h>
#include <string.h>

#include "ops/convert.h"
#include "ops/movement.h"
#include "ops/row_loops.h"
#include "ops/scalar.h"

/* WIDTH columns are folded at a time; ROWS rows of floats before they are added in double; rows of SHORT elements side
 * by side; GRAIN elements make a task. */
enum { WIDTH = 256, ROWS = 64, SHORT = 32, GRAIN = 16 * 1024 };

/* The operators; what they fold by, and what is done with the fold, is below. */
typedef enum reduce_kind {
    REDUCE_SUM, REDUCE_MEAN, REDUCE_L1, REDUCE_L2, REDUCE_SUM_SQUARE, REDUCE_LOG_SUM, REDUCE_LOG_SUM_EXP, REDUCE_MAX,
    REDUCE_MIN, REDUCE_PROD
} reduce_kind;

/* Each kind's name, and the fold that it begins with. */
static const struct {
    const char *op_type;
    ingot_fold fold;
} kinds[] = {
    [REDUCE_SUM] = {"ReduceSum", INGOT_FOLD_SUM},
    [REDUCE_MEAN] = {"ReduceMean", INGOT_FOLD_SUM},
    [REDUCE_L1] = {"ReduceL1", INGOT_FOLD_ABS},
    [REDUCE_L2] = {"ReduceL2", INGOT_FOLD_SQUARE},
    [REDUCE_SUM_SQUARE] = {"ReduceSumSquare", INGOT_FOLD_SQUARE},
    [REDUCE_LOG_SUM] = {"ReduceLogSum", INGOT_FOLD_SUM},
    [REDUCE_LOG_SUM_EXP] = {"ReduceLogSumExp", INGOT_FOLD_EXP},
    [REDUCE_MAX] = {"ReduceMax", INGOT_FOLD_MAX},
    [REDUCE_MIN] = {"ReduceMin", INGOT_FOLD_MIN},
    [REDUCE_PROD] = {"ReduceProd", INGOT_FOLD_PROD},
};

/* A running fold: floats of any type, or integers modulo 2^64. */
typedef union reduce_total {
    double real;
    int64_t integer;
} reduce_total;

/* Dimensions to walk: sizes, and steps in elements. */
typedef struct reduce_dims {
    int n;
    int64_t shape[INGOT_MAX_RANK], step[INGOT_MAX_RANK];
} reduce_dims;

/* One run. kept and folded hold the outer dimensions, merged; the innermost one is `row`. With row_kept a unit of
 * work gives up to WIDTH results, else one. */
typedef struct reduce_job {
    const ingot_kernels *kernels;
    const ingot_tensor *x;
    ingot_tensor *y;
    reduce_kind kind;
    bool integers;       /* fold as integers; then is_unsigned tells how uint64 compares */
    bool is_unsigned;
    int64_t count;       /* elements folded into one result */
    reduce_dims kept, folded;
    int64_t row;         /* innermost dimension, contiguous: folded to a number, or columns of rows */
    bool row_kept;
    int64_t blocks;      /* of WIDTH columns, when kept */
} reduce_job;

/* Which dimensions go: those in 'axes', or all without it unless noop_with_empty_axes. LATER while the axes are not
 * known; INVALID for one that is out of range or named twice. */
static ingot_status read_reduced(ingot_op_ctx *c, bool *reduced)
{
    const int rank = c->in[0]->rank;
    int64_t axes[INGOT_MAX_RANK];
    int n;
    ingot_status status = ingot_ints(c, 1, axes, INGOT_MAX_RANK, &n);
    if (status)
        return status;
    const bool all = n == 0 && !ingot_attr_int(c->node, "noop_with_empty_axes", 0);
    for (int d = 0; d < rank; d++)
        reduced[d] = all;
    for (int i = 0; i < n && !status; i++) {
        int axis = 0;
        status = ingot_axis(c, axes[i], rank, &axis);
        if (!status && reduced[axis])
            status = ingot_op_fail(c, INGOT_INVALID, "axis %d is listed twice", axis);
        if (!status)
            reduced[axis] = true;
    }
    return status;
}

/* Reduced dimensions become 1, or go with keepdims = 0. The type stays. */
static ingot_status infer_reduce(ingot_op_ctx *c)
{
    const ingot_tensor *x = c->in[0];
    const bool keep = ingot_attr_int(c->node, "keepdims", 1) != 0;
    bool reduced[INGOT_MAX_RANK];
    int64_t shape[INGOT_MAX_RANK];
    int rank = 0;
    const ingot_status status = read_reduced(c, reduced);
    if (status)
        return status;
    for (int d = 0; d < x->rank; d++)
        if (!reduced[d] || keep)
            shape[rank++] = reduced[d] ? 1 : x->shape[d];
    return ingot_out(c, 0, x->dtype, rank, shape);
}

/* n elements from `first` on: integers as int64 in row[], other types as double. */
static void load_row(const reduce_job *job, int64_t first, int64_t n, reduce_total *row)
{
    const ingot_dtype dtype = job->x->dtype;
    const ingot_conversion as = {.from = dtype, .to = job->integers ? INGOT_INT64 : INGOT_DOUBLE,
                                 .kernels = job->kernels};
    ingot_convert(&as, row, (const char *)job->x->data + (size_t)first * ingot_dtype_size_bytes(dtype), n);
}

#define JOIN(member, T, expression)                                                                                    \
    for (int64_t i = 0; i < n; i++) {                                                                                  \
        const T a = (T)acc[i].member, b = (T)x[i].member;                                                              \
        acc[i].member = (expression);                                                                                  \
    }                                                                                                                  \
    break

/* x where the condition holds, else y; without a branch, which nobody could foretell. */
#define CHOOSE(condition, x, y) ((y) ^ (((x) ^ (y)) & ((uint64_t)0 - (uint64_t)(condition))))

/* Fold n elements into n others, in unsigned arithmetic: sums and products wrap, where signed overflow would be
 * undefined. */
INGOT_VECTOR_LOOPS static void join_integers(ingot_fold fold, bool is_unsigned, reduce_total *acc,
                                             const reduce_total *x, int64_t n)
{
    const uint64_t flip = is_unsigned ? 0 : UINT64_C(1) << 63;       /* makes the order that of unsigned numbers */
    switch (fold) {
    case INGOT_FOLD_ABS: JOIN(integer, uint64_t, (int64_t)(b & flip ? a - b : a + b));
    case INGOT_FOLD_SQUARE: JOIN(integer, uint64_t, (int64_t)(a + b * b));
    case INGOT_FOLD_PROD: JOIN(integer, uint64_t, (int64_t)(a * b));
    case INGOT_FOLD_MAX: JOIN(integer, uint64_t, (int64_t)CHOOSE((a ^ flip) < (b ^ flip), b, a));
    case INGOT_FOLD_MIN: JOIN(integer, uint64_t, (int64_t)CHOOSE((a ^ flip) > (b ^ flip), b, a));
    default: JOIN(integer, uint64_t, (int64_t)(a + b));
    }
}

/* The same of reals. Each has its shift, which LogSumExp takes off against overflow; NULL: 0. Once a NaN, Max and Min
 * stay NaN. */
INGOT_VECTOR_LOOPS static void join_reals(ingot_fold fold, reduce_total *acc, const reduce_total *x, int64_t n,
                                          const double *shift)
{
    switch (fold) {
    case INGOT_FOLD_ABS: JOIN(real, double, a + fabs(b));
    case INGOT_FOLD_SQUARE: JOIN(real, double, a + b * b);
    case INGOT_FOLD_EXP: JOIN(real, double, a + exp(b - (shift ? shift[i] : 0)));
    case INGOT_FOLD_PROD: JOIN(real, double, a * b);
    case INGOT_FOLD_MAX: JOIN(real, double, a >= b || isnan(a) ? a : b);
    case INGOT_FOLD_MIN: JOIN(real, double, a <= b || isnan(a) ? a : b);
    default: JOIN(real, double, a + b);
    }
}

/* One or the other, by the job's type. */
static void join(const reduce_job *job, ingot_fold fold, reduce_total *acc, const reduce_total *x, int64_t n,
                 const double *shift)
{
    if (job->integers)
        join_integers(fold, job->is_unsigned, acc, x, n);
    else
        join_reals(fold, acc, x, n, shift);
}

/* How partial results of a fold are folded. */
static ingot_fold fold_of_parts(ingot_fold fold)
{
    return fold == INGOT_FOLD_MAX || fold == INGOT_FOLD_MIN || fold == INGOT_FOLD_PROD ? fold : INGOT_FOLD_SUM;
}

/* What an empty reduction gives: 0, 1 for a product, the type's lowest or highest number for Max and Min. */
static reduce_total neutral(const reduce_job *job, ingot_fold fold)
{
    reduce_total total = {0};
    const bool one = fold == INGOT_FOLD_PROD, low = fold == INGOT_FOLD_MAX, high = fold == INGOT_FOLD_MIN;
    if (!job->integers) {
        total.real = one ? 1 : low ? -INFINITY : high ? INFINITY : 0;
        return total;
    }
    /* The limits of the type. */
    const ingot_dtype dtype = job->x->dtype;
    const int bits = 8 * (int)ingot_dtype_size_bytes(dtype);
    const bool is_signed = INGOT_TYPES_SIGNED >> dtype & 1;
    if (dtype == INGOT_BOOL)
        total.integer = one || high;
    else if (low || high)
        total.integer = is_signed
                            ? (high ? (int64_t)(UINT64_MAX >> (65 - bits)) : -(int64_t)(UINT64_MAX >> (65 - bits)) - 1)
                            : (high ? (int64_t)(UINT64_MAX >> (64 - bits)) : 0);
    else
        total.integer = one;
    return total;
}

/* Fold one contiguous row of job->row elements, from element `first` on, into *total. Stretches of WIDTH are folded
 * onto each other, and then halves of one: that loses fewer bits than one long sum. */
static void fold_number(const reduce_job *job, ingot_fold fold, int64_t first, double shift, reduce_total *total)
{
    const ingot_fold of_parts = fold_of_parts(fold);
    reduce_total parts[WIDTH], row[WIDTH];
    double shifts[WIDTH];
    int64_t n = MIN(WIDTH, job->row);

    if (job->x->dtype == INGOT_FLOAT) {
        const float *src = (const float *)job->x->data + first;
        row[0].real = job->kernels->fold_row_f32(fold, src, (size_t)job->row, (float)shift);
        join_reals(of_parts, total, row, 1, NULL);
        return;
    }
    /* The first stretch needs no folding where an element is what it is folded as. */
    if (fold == of_parts)
        load_row(job, first, n, parts);
    for (int64_t i = 0; i < n && fold != of_parts; i++) {
        parts[i] = (reduce_total){0};
        shifts[i] = shift;
    }
    for (int64_t begin = fold == of_parts ? n : 0; begin < job->row; begin += WIDTH) {
        const int64_t some = MIN(WIDTH, job->row - begin);
        load_row(job, first + begin, some, row);
        join(job, fold, parts, row, some, shifts);
    }
    for (; n > 1; n -= n / 2)
        join(job, of_parts, parts, parts + (n - n / 2), n / 2, NULL);
    join(job, of_parts, total, parts, n, NULL);
}

/* Fold `rows` rows of n columns, `step` apart, onto total[0..n). Floats are added up in float for ROWS rows at a
 * time, then in double. shift has one number for each column. */
static void fold_columns(const reduce_job *job, ingot_fold fold, int64_t first, int64_t step, int64_t rows, int64_t n,
                         const double *shift, reduce_total *total)
{
    reduce_total row[WIDTH];

    if (job->x->dtype == INGOT_FLOAT) {
        float part[WIDTH], shifts[WIDTH];
        for (int64_t j = 0; j < n; j++)
            shifts[j] = (float)shift[j];
        for (int64_t r = 0; r < rows; r += ROWS) {
            job->kernels->fold_rows_f32(fold, part, (const float *)job->x->data + first + r * step, (ptrdiff_t)step,
                                        (size_t)MIN(ROWS, rows - r), (size_t)n, shifts);
            for (int64_t j = 0; j < n; j++)
                row[j].real = (double)part[j];
            join_reals(fold_of_parts(fold), total, row, n, NULL);
        }
        return;
    }
    for (int64_t r = 0; r < rows; r++) {
        load_row(job, first + r * step, n, row);
        join(job, fold, total, row, n, shift);
    }
}

/* Fold everything that belongs to n results (one, when rows become numbers) whose elements start at `first`. */
static void fold_results(const reduce_job *job, ingot_fold fold, int64_t first, int64_t n, const double *shift,
                         reduce_total *total)
{
    const reduce_dims *dims = &job->folded;
    int64_t index[INGOT_MAX_RANK] = {0}, times = 1, rows = 1, step = 0;
    int outer = dims->n;
    for (int64_t j = 0; j < n; j++)
        total[j] = neutral(job, fold);
    if (job->count == 0)
        return;
    /* The innermost folded dimension is walked by the kernel, as rows that lie `step` apart. */
    if (job->row_kept && outer > 0) {
        rows = dims->shape[--outer];
        step = dims->step[outer];
    }
    for (int d = 0; d < outer; d++)
        times *= dims->shape[d];
    for (int64_t i = 0; i < times; i++) {
        if (job->row_kept)
            fold_columns(job, fold, first, step, rows, n, shift, total);
        else
            fold_number(job, fold, first, shift[0], total);
        ingot_advance(outer, dims->shape, dims->step, index, &first);
    }
}

/* From the fold of reals to the result: the mean's division, the root, the logarithm. */
static double finish_real(const reduce_job *job, double total, double shift)
{
    switch (job->kind) {
    case REDUCE_MEAN: return total / (double)job->count;
    case REDUCE_L2: return sqrt(total);
    case REDUCE_LOG_SUM: return log(total);
    case REDUCE_LOG_SUM_EXP: return log(total) + shift;
    default: return total;
    }
}

/* The same of integers: a mean is cut toward 0, and 0 of no elements. */
static int64_t finish_integer(const reduce_job *job, int64_t total)
{
    if (job->kind != REDUCE_MEAN)
        return total;
    return job->count == 0     ? 0
           : job->is_unsigned ? (int64_t)((uint64_t)total / (uint64_t)job->count)
                              : total / job->count;
}

/* Results [at, at + n) from their folds. Integers from reals are cut off at the limits of their type. */
static void store_results(const reduce_job *job, int64_t at, int64_t n, reduce_total *total, const double *shift)
{
    ingot_tensor *y = job->y;
    const ingot_conversion as = {.from = job->integers ? INGOT_INT64 : INGOT_DOUBLE, .to = y->dtype,
                                 .kernels = job->kernels};
    for (int64_t j = 0; j < n; j++)
        if (job->integers)
            total[j].integer = finish_integer(job, total[j].integer);
        else
            total[j].real = finish_real(job, total[j].real, shift[j]);
    if (job->integers || ingot_is_float(y->dtype))
        ingot_convert(&as, (char *)y->data + (size_t)at * ingot_dtype_size_bytes(y->dtype), total, n);
    else
        for (int64_t j = 0; j < n; j++)
            ingot_put_double(y, at + j, total[j].real);
}

/* What LogSumExp takes off: the largest of each result, where that is a number. */
static void shift_by(const reduce_total *largest, int64_t n, double *shift)
{
    for (int64_t j = 0; j < n; j++)
        shift[j] = isfinite(largest[j].real) ? largest[j].real : 0;
}

/* Units of work [begin, end): a kept index and, when rows are kept, a block of columns of it. */
static void reduce_part(void *argument, int64_t begin, int64_t end, int thread)
{
    const reduce_job *job = argument;
    const ingot_fold fold = kinds[job->kind].fold;
    (void)thread;
    for (int64_t unit = begin; unit < end; unit++) {
        int64_t index[INGOT_MAX_RANK];
        const int64_t kept = unit / job->blocks, column = unit % job->blocks * WIDTH;
        const int64_t n = job->row_kept ? MIN(WIDTH, job->row - column) : 1;
        const int64_t first = ingot_locate(job->kept.n, job->kept.shape, job->kept.step, kept, index) + column;
        const int64_t at = job->row_kept ? kept * job->row + column : kept;
        reduce_total total[WIDTH];
        double shift[WIDTH];
        for (int64_t j = 0; j < n; j++)
            shift[j] = 0;
        /* Two walks: first the largest of each result, then the sum of exponentials below it. */
        if (job->kind == REDUCE_LOG_SUM_EXP) {
            fold_results(job, INGOT_FOLD_MAX, first, n, shift, total);
            shift_by(total, n, shift);
        }
        fold_results(job, fold, first, n, shift, total);
        store_results(job, at, n, total, shift);
    }
}

/* Task over rows of the plain case: float rows that lie one behind the other, each folded to one result. */
static void reduce_rows(void *argument, int64_t begin, int64_t end, int thread)
{
    const reduce_job *job = argument;
    const ingot_fold fold = kinds[job->kind].fold;
    const size_t n = (size_t)job->row;
    const float *x = job->x->data;
    float *y = job->y->data;
    (void)thread;
    for (int64_t row = begin; row < end; row++) {
        const float *src = x + row * job->row;
        double shift = job->kind == REDUCE_LOG_SUM_EXP ? job->kernels->fold_row_f32(INGOT_FOLD_MAX, src, n, 0) : 0;
        shift = isfinite(shift) ? shift : 0;
        y[row] = (float)finish_real(job, job->kernels->fold_row_f32(fold, src, n, (float)shift), shift);
    }
}

/* n short rows that are loaded already, folded side by side: each step takes one element of all of them. */
static void fold_short(const reduce_job *job, ingot_fold fold, const reduce_total *rows, int64_t n, const double *shift,
                       reduce_total *total)
{
    reduce_total column[WIDTH];
    for (int64_t j = 0; j < n; j++)
        total[j] = neutral(job, fold);
    for (int64_t i = 0; i < job->row; i++) {
        for (int64_t j = 0; j < n; j++)
            column[j] = rows[j * job->row + i];
        join(job, fold, total, column, n, shift);
    }
}

/* The same of floats whose exponentials are added up, by the kernels for rows of vectors: a row of its own would leave
 * most of a vector unused. Gives the folds and what was taken off. */
static void fold_short_floats(const reduce_job *job, int64_t row, int64_t n, double *shift, reduce_total *total)
{
    const float *x = (const float *)job->x->data + row * job->row;
    float columns[WIDTH], part[WIDTH], shifts[WIDTH];
    for (int64_t i = 0; i < job->row; i++)
        for (int64_t j = 0; j < n; j++)
            columns[i * n + j] = x[j * job->row + i];
    job->kernels->fold_rows_f32(INGOT_FOLD_MAX, part, columns, (ptrdiff_t)n, (size_t)job->row, (size_t)n, NULL);
    for (int64_t j = 0; j < n; j++) {
        shifts[j] = isfinite(part[j]) ? part[j] : 0;
        shift[j] = (double)shifts[j];
    }
    job->kernels->fold_rows_f32(INGOT_FOLD_EXP, part, columns, (ptrdiff_t)n, (size_t)job->row, (size_t)n, shifts);
    for (int64_t j = 0; j < n; j++)
        total[j].real = (double)part[j];
}

/* Task over rows of the plain case that are SHORT: of other types than float, or for LogSumExp. */
static void reduce_short(void *argument, int64_t begin, int64_t end, int thread)
{
    const reduce_job *job = argument;
    const int64_t together = WIDTH / job->row;
    (void)thread;
    for (int64_t row = begin; row < end; row += together) {
        const int64_t n = MIN(together, end - row);
        reduce_total rows[WIDTH], total[WIDTH];
        double shift[WIDTH];
        if (job->x->dtype == INGOT_FLOAT) {
            fold_short_floats(job, row, n, shift, total);
            store_results(job, row, n, total, shift);
            continue;
        }
        load_row(job, row * job->row, n * job->row, rows);
        for (int64_t j = 0; j < n; j++)
            shift[j] = 0;
        if (job->kind == REDUCE_LOG_SUM_EXP) {
            fold_short(job, INGOT_FOLD_MAX, rows, n, shift, total);
            shift_by(total, n, shift);
        }
        fold_short(job, kinds[job->kind].fold, rows, n, shift, total);
        store_results(job, row, n, total, shift);
    }
}

/* Units of work of the flat case: up to ROWS float rows, folded onto each other where Y has room for them. */
static void reduce_columns(void *argument, int64_t begin, int64_t end, int thread)
{
    const reduce_job *job = argument;
    const double count = (double)job->count;
    (void)thread;
    for (int64_t unit = begin; unit < end; unit++) {
        int64_t index[INGOT_MAX_RANK];
        const int64_t kept = unit / job->blocks, column = unit % job->blocks * WIDTH;
        const int64_t n = MIN(WIDTH, job->row - column);
        const int64_t first = ingot_locate(job->kept.n, job->kept.shape, job->kept.step, kept, index) + column;
        float *y = (float *)job->y->data + kept * job->row + column;
        job->kernels->fold_rows_f32(kinds[job->kind].fold, y, (const float *)job->x->data + first,
                                    (ptrdiff_t)job->folded.step[0], (size_t)job->count, (size_t)n, NULL);
        for (int64_t j = 0; j < n && job->kind == REDUCE_MEAN; j++)
            y[j] = (float)((double)y[j] / count);
        for (int64_t j = 0; j < n && job->kind == REDUCE_L2; j++)
            y[j] = sqrtf(y[j]);
    }
}

/* The task: the general one, or a kernel call for each row or stretch of columns. Floats have that where only the
 * innermost of two merged dimensions goes, or (without a logarithm) a single short one that is not. Short rows of other
 * types, or for LogSumExp, are folded several at a time. */
static ingot_task *choose_task(const reduce_job *job)
{
    const bool floats = job->x->dtype == INGOT_FLOAT;
    const bool is_short = job->row <= SHORT && (!floats || job->kind == REDUCE_LOG_SUM_EXP);
    if (!job->row_kept && job->folded.n == 0 && job->kept.n <= 1 && job->count > 0)
        return is_short ? reduce_short : floats ? reduce_rows : reduce_part;
    if (!floats || !job->row_kept || job->kind == REDUCE_LOG_SUM || job->kind == REDUCE_LOG_SUM_EXP)
        return reduce_part;
    return job->folded.n == 1 && job->count >= 1 && job->count <= ROWS ? reduce_columns : reduce_part;
}

/* Merge neighbouring dimensions that are kept or folded alike, leave out those of 1, and set the innermost one
 * apart. */
static void split_dims(reduce_job *job, const bool *reduced)
{
    const ingot_tensor *x = job->x;
    int64_t shape[INGOT_MAX_RANK], step = 1;
    bool folds[INGOT_MAX_RANK];
    int n = 0;
    job->count = 1;
    for (int d = 0; d < x->rank; d++) {
        if (reduced[d])
            job->count *= x->shape[d];
        if (x->shape[d] == 1)
            continue;
        if (n > 0 && folds[n - 1] == reduced[d]) {
            shape[n - 1] *= x->shape[d];
        } else {
            shape[n] = x->shape[d];
            folds[n++] = reduced[d];
        }
    }
    /* The innermost dimension, then steps of those outside of it. */
    job->row = n > 0 ? shape[n - 1] : 1;
    job->row_kept = n > 0 ? !folds[n - 1] : true;
    job->blocks = job->row_kept ? (job->row + WIDTH - 1) / WIDTH : 1;
    int64_t steps[INGOT_MAX_RANK];
    for (int d = n; d-- > 0; step *= shape[d])
        steps[d] = step;
    for (int d = 0; d < n - 1; d++) {
        reduce_dims *dims = folds[d] ? &job->folded : &job->kept;
        dims->shape[dims->n] = shape[d];
        dims->step[dims->n++] = steps[d];
    }
}

/* Sums or means over the pixels of a blocked tensor, for blocks of channels [begin, end). Y may be blocked or plain. */
static void sum_blocks(void *argument, int64_t begin, int64_t end, int thread)
{
    const reduce_job *job = argument;
    const ingot_tensor *x = job->x;
    const int64_t blocks = (x->shape[1] + INGOT_BLOCK - 1) / INGOT_BLOCK;
    const double scale = job->kind == REDUCE_MEAN ? 1.0 / (double)job->count : 1.0;
    (void)thread;
    for (int64_t block = begin; block < end; block++) {
        double sums[INGOT_BLOCK];
        /* The last block of an image may hold fewer channels, which a plain Y has no room for. */
        const int64_t first = block % blocks * INGOT_BLOCK, n = MIN(INGOT_BLOCK, x->shape[1] - first);
        float *y = job->y->layout == INGOT_BLOCKED
                       ? (float *)job->y->data + block * INGOT_BLOCK
                       : (float *)job->y->data + block / blocks * x->shape[1] + first;
        job->kernels->sum_pixels_f32(sums, (const float *)x->data + block * job->count * INGOT_BLOCK,
                                     (size_t)job->count);
        for (int64_t i = 0; i < (job->y->layout == INGOT_BLOCKED ? INGOT_BLOCK : n); i++)
            y[i] = (float)(sums[i] * scale);
    }
}

/* Sums and means over all that follows the channels can read blocked tensors: each lane is a channel, which is what
 * is kept. Axes must be known when planning. */
static ingot_layout layout_sum(const ingot_op_ctx *c)
{
    const ingot_tensor *x = c->in[0];
    ingot_op_ctx copy = *c;
    bool reduced[INGOT_MAX_RANK], fits = x->dtype == INGOT_FLOAT && x->rank >= 3 && x->rank <= 5;
    /* Errors are not reported from here. */
    copy.error = NULL;
    fits = fits && read_reduced(&copy, reduced) == INGOT_OK && ingot_span(x, 2, x->rank) > 0;
    for (int d = 0; fits && d < x->rank; d++)
        fits = reduced[d] == (d >= 2);
    return (ingot_layout){fits ? INGOT_LAYOUT_FOLLOW : INGOT_LAYOUT_PLAIN, fits};
}

/* An empty Y is left alone; empty folds give each kind's neutral element. */
static ingot_status run_reduce(ingot_op_ctx *c)
{
    const ingot_dtype dtype = c->in[0]->dtype;
    reduce_job job = {.kernels = c->kernels, .x = c->in[0], .y = c->out[0]};
    bool reduced[INGOT_MAX_RANK];
    const ingot_status status = read_reduced(c, reduced);
    if (status || ingot_count(job.y) == 0)
        return status;
    while (strcmp(kinds[job.kind].op_type, c->op->op_type))
        job.kind++;
    /* The kinds that end in a function of reals fold integers as reals too. */
    job.integers = !ingot_is_float(dtype) && job.kind != REDUCE_LOG_SUM && job.kind != REDUCE_LOG_SUM_EXP &&
                   job.kind != REDUCE_L2;
    job.is_unsigned = dtype == INGOT_UINT64;
    /* Blocked tensors come for sums over all pixels alone. */
    if (job.x->layout == INGOT_BLOCKED) {
        job.count = ingot_span(job.x, 2, job.x->rank);
        ingot_parallel(c->team, job.x->shape[0] * ((job.x->shape[1] + INGOT_BLOCK - 1) / INGOT_BLOCK),
                       MAX(GRAIN / (INGOT_BLOCK * job.count), 1), sum_blocks, &job);
        return INGOT_OK;
    }
    split_dims(&job, reduced);
    /* A unit folds `each` elements; a task has GRAIN of them or one unit. */
    const int64_t units = job.row_kept ? ingot_count(job.y) / job.row * job.blocks : ingot_count(job.y);
    const int64_t each = MAX(ingot_count(job.x) / units, 1);
    ingot_parallel(c->team, units, MAX(GRAIN / each, 1), choose_task(&job), &job);
    return INGOT_OK;
}

/* Max and Min have booleans too, since opset 20. */
#define NUMBERS {INGOT_TYPES_NUMERIC, INGOT_TYPE(INT64)}
#define ORDERED {INGOT_TYPES_NUMERIC | INGOT_TYPE(BOOL), INGOT_TYPE(INT64)}

const ingot_op ingot_ops_reduce[] = {
    {"ReduceSum", 13, 1, 2, NUMBERS, infer_reduce, run_reduce, .layout = layout_sum},
    {"ReduceMean", 18, 1, 2, NUMBERS, infer_reduce, run_reduce, .layout = layout_sum},
    {"ReduceL1", 18, 1, 2, NUMBERS, infer_reduce, run_reduce},
    {"ReduceL2", 18, 1, 2, NUMBERS, infer_reduce, run_reduce},
    {"ReduceSumSquare", 18, 1, 2, NUMBERS, infer_reduce, run_reduce},
    {"ReduceLogSum", 18, 1, 2, NUMBERS, infer_reduce, run_reduce},
    {"ReduceLogSumExp", 18, 1, 2, NUMBERS, infer_reduce, run_reduce},
    {"ReduceMax", 18, 1, 2, ORDERED, infer_reduce, run_reduce},
    {"ReduceMin", 18, 1, 2, ORDERED, infer_reduce, run_reduce},
    {"ReduceProd", 18, 1, 2, NUMBERS, infer_reduce, run_reduce},
    {0},
};
