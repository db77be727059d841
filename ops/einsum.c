/* einsum.c - Einsum. Operands are multiplied one after the other, each time summing over the labels that nobody needs
 * any more. Transposes, diagonals and broadcasting are strides. A float product runs as matrix products where two
 * groups of labels give rows and columns: of each group the longest run of one stride goes into the matrix, the others
 * into loops around it. Everything else is summed by strides. Integers wrap. 16-bit floats are computed in float. */
#include "ops/einsum_equation.h"

#include <string.h>

#include "ops/movement.h"
#include "ops/scalar.h"
#include "ops/weights.h"

enum { LABELS = INGOT_EINSUM_LABELS, NO_OPERAND = -1, SMALL_PRODUCT = 256 };
enum { TURNED_FROM = 4 };                /* terms of a sum from which a product is worth a result that is then turned */

/* Loops with their steps through both operands and the result, in elements. The last loop is the innermost. A step of 0
 * means that the operand does not have the label. */
typedef struct dims {
    int n;
    int64_t size[LABELS], a[LABELS], b[LABELS], c[LABELS];
} dims;

/* Where a walk through `dims` is: the index of each loop, and the offsets of the operands and the result, in
 * elements. */
typedef struct walk {
    int64_t index[LABELS], a, b, c;
} walk;

/* Where an operand's labels lie: the step of each label that it has, in elements. A label of size 1 in this operand
 * alone counts as one that it does not have. */
typedef struct view {
    bool has[LABELS];
    int64_t step[LABELS];
} view;

/* One step: result = sum over labels of a times b, where a is the result so far. As matrix products, the left matrix is
 * (m, k) with steps a_m and a_k, the right one (k, n) with steps b_k and b_n, and rows of the result are c_m apart;
 * `swapped` says that b is the left one. `outer` and `sum` then are the loops around the products. */
typedef struct contraction {
    int input;                           /* operand b; NO_OPERAND: the number 1 */
    dims outer, sum;                     /* loops of results, and over what is summed (outside of the matrices) */
    int64_t results, sum_rows;           /* turns of outer; of sum, without its last loop unless `matrices` */
    bool matrices, swapped;              /* by matrix products; with b as the left matrix */
    int64_t m, n, k, a_m, a_k, b_k, b_n, c_m;
    size_t packed;                       /* floats of the right matrix */
    int64_t temporary;                   /* elements of the result when it is not the last, else 0 */
} contraction;

/* The plan. Results between steps take turns in two pieces of scratch memory of `temporary` elements each; `packed` is
 * each thread's, for the largest right matrix. */
typedef struct einsum_state {
    bool is_empty;                       /* a label has size 0: the result is empty, or sums of nothing */
    int n_steps;
    contraction *steps;
    int64_t temporary;                   /* elements of the largest one */
    size_t packed;
} einsum_state;

/* A step while it runs, as its tasks share it. */
typedef struct contraction_call {
    ingot_op_ctx *ctx;
    const contraction *step;
    const void *a, *b;
    void *c;
    int64_t left, right, to, residual;   /* the matrices that matrix_rows() multiplies */
    const float *packed;
} contraction_call;

/* Set the walk to turn `number` of the first n loops. The index of each loop is a digit of the number. */
static void walk_to(walk *w, const dims *d, int n, int64_t number)
{
    w->a = w->b = w->c = 0;
    for (int i = n - 1; i >= 0; i--) {
        w->index[i] = number % d->size[i];
        number /= d->size[i];
        w->a += w->index[i] * d->a[i];
        w->b += w->index[i] * d->b[i];
        w->c += w->index[i] * d->c[i];
    }
}

/* To the next turn of the first n loops: the last one steps; one that is past its end goes back, and the one before
 * steps. */
static void walk_on(walk *w, const dims *d, int n)
{
    for (int i = n - 1; i >= 0; i--) {
        w->a += d->a[i];
        w->b += d->b[i];
        w->c += d->c[i];
        if (++w->index[i] < d->size[i])
            return;
        w->a -= d->a[i] * d->size[i];
        w->b -= d->b[i] * d->size[i];
        w->c -= d->c[i] * d->size[i];
        w->index[i] = 0;
    }
}

#define T float
#define WIDE float
#define TYPED(name) name##_f32
#include "ops/einsum_loops.h"
#undef T
#undef WIDE
#undef TYPED
#define T double
#define WIDE double
#define TYPED(name) name##_f64
#include "ops/einsum_loops.h"
#undef T
#undef WIDE
#undef TYPED
#define T uint8_t                        /* signed integers too: the low bits are the same */
#define WIDE uint32_t
#define TYPED(name) name##_u8
#include "ops/einsum_loops.h"
#undef T
#undef TYPED
#define T uint16_t
#define TYPED(name) name##_u16
#include "ops/einsum_loops.h"
#undef T
#undef TYPED
#define T uint32_t
#define TYPED(name) name##_u32
#include "ops/einsum_loops.h"
#undef T
#undef WIDE
#undef TYPED
#define T uint64_t
#define WIDE uint64_t
#define TYPED(name) name##_u64
#include "ops/einsum_loops.h"

/* ---- planning ---- */

/* Insert a loop where its steps belong: sorted by the result's step, then by a's, so that the innermost loop writes
 * neighbours. A label of size 1 needs no loop. */
static void add_dim(dims *d, int64_t size, int64_t a, int64_t b, int64_t c)
{
    int at = d->n;

    if (size == 1)
        return;
    for (; at > 0 && (d->c[at - 1] < c || (d->c[at - 1] == c && d->a[at - 1] < a)); at--) { /* largest steps outside */
        d->size[at] = d->size[at - 1];
        d->a[at] = d->a[at - 1];
        d->b[at] = d->b[at - 1];
        d->c[at] = d->c[at - 1];
    }
    d->size[at] = size;
    d->a[at] = a;
    d->b[at] = b;
    d->c[at] = c;
    d->n++;
}

/* Make one loop of two where all steps allow it. That is where a step of the outer loop is all of the inner one, in
 * both operands and the result. */
static void merge_dims(dims *d)
{
    int to = 0;

    for (int i = 1; i < d->n; i++) {
        const int64_t size = d->size[i];
        const bool joins = d->a[to] == d->a[i] * size && d->b[to] == d->b[i] * size && d->c[to] == d->c[i] * size;
        to += !joins;
        d->size[to] = joins ? d->size[to] * size : size;
        d->a[to] = d->a[i];
        d->b[to] = d->b[i];
        d->c[to] = d->c[i];
    }
    d->n = d->n ? to + 1 : 0;
}

/* The loop of the largest size, the innermost of equals. 0 where there are none. */
static int longest(const dims *d)
{
    int best = 0;
    for (int i = 1; i < d->n; i++)
        best = d->size[i] >= d->size[best] ? i : best;
    return best;
}

/* All loops of `from` but loop `without`, appended. */
static void append(dims *to, const dims *from, int without)
{
    for (int i = 0; i < from->n; i++) {
        if (i == without)
            continue;
        to->size[to->n] = from->size[i];
        to->a[to->n] = from->a[i];
        to->b[to->n] = from->b[i];
        to->c[to->n++] = from->c[i];
    }
}

/* Turns of the first n loops, cut off at INT64_MAX. */
static int64_t turns(const dims *d, int n)
{
    int64_t product = 1;
    for (int i = 0; i < n; i++)
        product = product < INT64_MAX / d->size[i] ? product * d->size[i] : INT64_MAX;
    return product;
}

/* The step as matrix products, when the result's innermost loop is a row of one. Loops over left matrices come last, so
 * that a right matrix that stays is packed once. The longest loop of `left` gives the rows, the innermost of `right`
 * the columns, the longest of s->sum the depth; a group without loops gives 1. False: the step stays as it is, because
 * the columns are not neighbours in the result, or the product is too small to be worth packing. */
static bool plan_matrices(const ingot_kernels *kernels, contraction *s, const dims *batch, const dims *left,
                          const dims *right)
{
    const int mi = longest(left), ki = longest(&s->sum), ni = right->n - 1;
    /* A group without loops has size 1 and step 0 in its place. */
    const bool has_m = left->n > 0, has_k = s->sum.n > 0, has_n = right->n > 0;
    dims over = {0};

    if (has_n && right->c[ni] != 1)
        return false;
    /* The matrices' sizes and steps; a and b change places when swapped. */
    s->m = has_m ? left->size[mi] : 1;
    s->n = has_n ? right->size[ni] : 1;
    s->k = has_k ? s->sum.size[ki] : 1;
    if (s->m * s->n * s->k < SMALL_PRODUCT || (!has_n && left->n > 0 && left->c[mi] == 1 && s->k < 16))
        return false;
    s->a_m = has_m ? (s->swapped ? left->b[mi] : left->a[mi]) : 0;
    s->c_m = has_m ? left->c[mi] : s->n;
    s->b_n = has_n ? (s->swapped ? right->a[ni] : right->b[ni]) : 0;
    s->a_k = has_k ? (s->swapped ? s->sum.b[ki] : s->sum.a[ki]) : 0;
    s->b_k = has_k ? (s->swapped ? s->sum.a[ki] : s->sum.b[ki]) : 0;
    /* Everything else becomes loops around them. */
    s->outer.n = 0;
    append(&s->outer, batch, NO_OPERAND);
    append(&s->outer, right, has_n ? ni : NO_OPERAND);
    append(&s->outer, left, has_m ? mi : NO_OPERAND);
    append(&over, &s->sum, has_k ? ki : NO_OPERAND);
    s->sum = over;
    s->results = turns(&s->outer, s->outer.n);
    s->sum_rows = turns(&s->sum, s->sum.n);
    s->packed = (size_t)kernels->gemm_packed_f32(s->n, s->k);
    return s->matrices = true;
}

/* Give the kept labels of an intermediate result their places: b's own innermost, then a's, then those of both. *count
 * receives the elements of it. False when there are too many to be counted or addressed. */
static bool place_result(const ingot_equation *e, const view *a, const view *b, const bool *kept, view *result,
                         int64_t *count)
{
    size_t n = 1;

    memset(result, 0, sizeof *result);
    /* Three rounds, innermost places first; within a round the last label is the innermost. */
    for (int round = 0; round < 3; round++)
        for (int label = LABELS - 1; label >= 0; label--) {
            const int owner = a->has[label] && b->has[label] ? 2 : a->has[label] ? 1 : 0;
            if (!kept[label] || owner != round || !(a->has[label] || b->has[label]))
                continue;
            result->has[label] = true;
            result->step[label] = (int64_t)n;
            if (!ingot_mul_size(n, (size_t)e->size[label], &n))
                return false;
        }
    *count = (int64_t)n;
    return n < PTRDIFF_MAX / 16;
}

/* Sort the labels into those of both operands and the result (batch), of a alone (left), of b alone (right), and those
 * that the result lacks (sum); then choose the way. Doubles, integers and a single operand are summed by strides; for
 * the rest either operand may be the left matrix. */
static void plan_step(const ingot_op_ctx *c, const ingot_equation *e, contraction *s, const view *a, const view *b,
                      const view *result)
{
    dims batch = {0}, left = {0}, right = {0};

    /* Each label is a loop of one of the four groups; those of the result also make the loops of the way without
     * matrices. */
    for (int label = 0; label < LABELS; label++) {
        if (!a->has[label] && !b->has[label])
            continue;
        dims *group = !result->has[label] ? &s->sum : !b->has[label] ? &left : !a->has[label] ? &right : &batch;
        add_dim(group, e->size[label], a->step[label], b->step[label], result->step[label]);
        if (result->has[label])
            add_dim(&s->outer, e->size[label], a->step[label], b->step[label], result->step[label]);
    }
    /* Labels that always go together, as those of an ellipsis often do, become one loop. */
    merge_dims(&batch);
    merge_dims(&left);
    merge_dims(&right);
    merge_dims(&s->sum);
    merge_dims(&s->outer);
    s->results = turns(&s->outer, s->outer.n);
    s->sum_rows = turns(&s->sum, s->sum.n - 1);
    if (c->in[0]->dtype == INGOT_DOUBLE || !ingot_is_float(c->in[0]->dtype) || s->input == NO_OPERAND)
        return;
    if (!plan_matrices(c->kernels, s, &batch, &left, &right)) {
        s->swapped = true;
        plan_matrices(c->kernels, s, &batch, &right, &left);
    }
}

/* The last step, for a result whose order keeps it from matrix products, where place_result() has one that does not: it
 * then makes that, which one step more puts in order. `a` and `b` are its operands. */
static void turn_last(ingot_op_ctx *c, const ingot_equation *e, einsum_state *s, const view *a, const view *b,
                      const bool *kept, const view *result)
{
    contraction *last = &s->steps[s->n_steps - 1], placed = { .input = last->input };
    const view nothing = {0};
    view order;

    if (last->matrices || turns(&last->sum, last->sum.n) < TURNED_FROM ||
        !place_result(e, a, b, kept, &order, &placed.temporary))
        return;
    plan_step(c, e, &placed, a, b, &order);
    if (!placed.matrices)
        return;
    *last = placed;
    s->steps[s->n_steps].input = NO_OPERAND;
    plan_step(c, e, &s->steps[s->n_steps++], &order, &nothing, result);
}

/* An operand's labels; those it has with size 1 where others have more are left out: it does not vary with them. Steps
 * are those of a row-major tensor. */
static void view_of(const ingot_equation *e, const ingot_einsum_term *term, const ingot_tensor *tensor, view *v)
{
    int64_t step = 1;

    memset(v, 0, sizeof *v);
    for (int d = term->n - 1; d >= 0; d--) {
        const int label = term->label[d];
        if (tensor->shape[d] == e->size[label]) {
            v->has[label] = true;
            v->step[label] += step;                  /* a repeated label walks the diagonal */
        }
        step *= tensor->shape[d];
    }
}

/* One dimension for each label of the result's term. */
static ingot_status infer_einsum(ingot_op_ctx *c)
{
    ingot_equation e;
    int64_t shape[INGOT_MAX_RANK];
    ingot_status st = ingot_read_equation(c, &e);

    if (st)
        return st;
    for (int d = 0; d < e.result.n; d++)
        shape[d] = e.size[e.result.label[d]];
    return ingot_out(c, 0, c->in[0]->dtype, e.result.n, shape);
}

/* Operands are taken from left to right, without looking for a better order. A label stays as long as the result or a
 * later operand has it; the others are summed away at once, which keeps what lies between small. A single operand is
 * multiplied by the number 1. LIMIT: a product in between that is too large. */
static ingot_status plan_steps(ingot_op_ctx *c, einsum_state *s, const ingot_equation *e)
{
    view a, b, result;

    /* `a` becomes the view of each step's result in turn. The last step may add one. */
    const int last = s->n_steps - 1;
    view_of(e, &e->operand[0], c->in[0], &a);
    for (int i = 0; i <= last; i++) {
        contraction *step = &s->steps[i];
        bool kept[LABELS] = {false};
        memset(&b, 0, sizeof b);
        step->input = e->n_operands > 1 ? i + 1 : NO_OPERAND;
        if (e->n_operands > 1)
            view_of(e, &e->operand[i + 1], c->in[i + 1], &b);
        for (int d = 0; d < e->result.n; d++)
            kept[e->result.label[d]] = true;
        for (int later = i + 2; later < e->n_operands; later++)
            for (int d = 0; d < e->operand[later].n; d++)
                kept[e->operand[later].label[d]] = true;
        /* The last step writes to the output, the others where place_result() puts the labels. */
        if (i == last)
            view_of(e, &e->result, c->out[0], &result);
        else if (!place_result(e, &a, &b, kept, &result, &step->temporary))
            return ingot_op_fail(c, INGOT_LIMIT, "an intermediate product is too large");
        plan_step(c, e, step, &a, &b, &result);
        if (i == last)
            turn_last(c, e, s, &a, &b, kept, &result);
        s->temporary = MAX(s->temporary, step->temporary);
        s->packed = MAX(s->packed, step->packed);
        a = result;
    }
    return INGOT_OK;
}

/* The plan depends on the shapes alone. A label of size 0 needs none. */
static ingot_status prepare_einsum(ingot_op_ctx *c)
{
    einsum_state *s = c->state = ingot_keep(c, sizeof *s);
    const ingot_dtype dtype = c->in[0]->dtype;
    ingot_equation e;
    ingot_status st = ingot_read_equation(c, &e);

    if (st)
        return st;
    if (s) {
        s->n_steps = MAX(e.n_operands - 1, 1);
        s->steps = ingot_keep(c, ((size_t)s->n_steps + 1) * sizeof *s->steps);  /* perhaps one more: turn_last() */
    }
    if (!s || !s->steps)
        return ingot_op_out_of_memory(c);
    for (int label = 0; label < LABELS; label++)
        s->is_empty |= e.size[label] == 0;
    if (!s->is_empty && (st = plan_steps(c, s, &e)))
        return st;
    const size_t size = ingot_is_16bit(dtype) ? sizeof(float) : ingot_dtype_size_bytes(dtype);
    ingot_want_scratch(c, ingot_widen_bytes(c) + 2 * (size_t)s->temporary * size, s->packed * sizeof(float));
    c->kernel = s->steps[MAX(e.n_operands - 2, 0)].matrices ? "matrix products" : "sums by strides";
    return INGOT_OK;
}

/* ---- running ---- */

/* Rows [m0, m1) of one product: left matrix at element `left`, result at element `to`. `adds`: to what is there
 * already, for the second and later turns of the loops over sums. */
static void multiply(const contraction_call *call, const float *packed, bool adds, int64_t left, int64_t to, int64_t m0,
                     int64_t m1)
{
    const contraction *s = call->step;
    const ingot_kernels *k = call->ctx->kernels;
    const float *a = s->swapped ? call->b : call->a;
    float *y = (float *)call->c + to;
    const ingot_gemm g = {
        .m = s->m, .n = s->n, .k = s->k, .alpha = 1, .a_row = s->a_m, .a_col = s->a_k, .ldc = s->c_m
    };
    const ingot_epilogue e = { .residual = adds ? y : NULL };

    k->gemm_f32(&g, a + left, packed, y, &e, m0, m1, 0, k->gemm_panels_f32(s->n));
}

/* The right matrix, which begins at element `right` of its operand, into panels. */
static void pack(const contraction_call *call, float *packed, int64_t right)
{
    const contraction *s = call->step;
    const ingot_kernels *k = call->ctx->kernels;
    const float *b = s->swapped ? call->a : call->b;

    k->gemm_pack_f32(packed, b + right, s->b_k, s->b_n, s->n, s->k, 0, k->gemm_panels_f32(s->n));
}

/* Turns [begin, end) of the loops around the matrices. A right matrix is packed anew only when it is another one than
 * before. */
static void matrix_turns(void *argument, int64_t begin, int64_t end, int thread)
{
    const contraction_call *call = argument;
    const contraction *s = call->step;
    float *packed = (float *)(void *)ingot_thread_scratch(call->ctx, thread);
    int64_t is_packed = -1;
    walk at, over;

    walk_to(&at, &s->outer, s->outer.n, begin);
    for (int64_t i = begin; i < end; i++, walk_on(&at, &s->outer, s->outer.n)) {
        walk_to(&over, &s->sum, s->sum.n, 0);
        for (int64_t row = 0; row < s->sum_rows; row++, walk_on(&over, &s->sum, s->sum.n)) {
            const int64_t a = at.a + over.a, b = at.b + over.b, right = s->swapped ? a : b;
            if (right != is_packed)
                pack(call, packed, right);
            is_packed = right;
            multiply(call, packed, row > 0, s->swapped ? b : a, at.c, 0, s->m);
        }
    }
}

/* Task over rows of one product. */
static void matrix_rows(void *argument, int64_t begin, int64_t end, int thread)
{
    const contraction_call *call = argument;

    (void)thread;
    multiply(call, call->packed, call->residual, call->left, call->to, begin, end);
}

/* Fewer turns than threads: one product after the other, each split by rows. Sums are added in the same order as in
 * matrix_turns(), so that the bits are equal. */
static void run_rows(contraction_call *call)
{
    const contraction *s = call->step;
    float *packed = (float *)(void *)ingot_thread_scratch(call->ctx, 0);
    walk at, over;

    walk_to(&at, &s->outer, s->outer.n, 0);
    for (int64_t i = 0; i < s->results; i++, walk_on(&at, &s->outer, s->outer.n)) {
        walk_to(&over, &s->sum, s->sum.n, 0);
        for (int64_t row = 0; row < s->sum_rows; row++, walk_on(&over, &s->sum, s->sum.n)) {
            const int64_t a = at.a + over.a, b = at.b + over.b;
            pack(call, packed, s->swapped ? a : b);
            call->packed = packed;
            call->residual = row > 0;
            call->left = s->swapped ? b : a;
            call->to = at.c;
            ingot_parallel(call->ctx->team, s->m, 1 + 65536 / (s->n * s->k), matrix_rows, call);
        }
    }
}

/* A single operand whose elements only change places; there are no more loops than the result has dimensions. */
static void run_copy(const contraction_call *call, size_t item_bytes)
{
    const dims *loops = &call->step->outer;
    ingot_copy copy = { .rank = loops->n, .item_bytes = item_bytes };

    for (int i = 0; i < loops->n; i++) {
        copy.shape[i] = loops->size[i];
        copy.from_step[i] = loops->a[i];
        copy.to_step[i] = loops->c[i];
    }
    ingot_copy_run(call->ctx->team, &copy, call->a, call->c);
}

/* The way was chosen by prepare; here the number of threads decides how it is split. Integers of equal size share
 * loops, because their low bits do not depend on the sign. */
static void run_step(contraction_call *call, ingot_dtype dtype)
{
    const contraction *s = call->step;
    /* Multiplications for one result, or for one turn around the matrices: the grain. */
    const int64_t work = MAX(turns(&s->sum, s->sum.n), 1) * (s->matrices ? s->m * s->n * s->k : 1);
    const bool real = ingot_is_float(dtype);
    ingot_task *task;

    if (s->input == NO_OPERAND && s->sum.n == 0 && s->outer.n > 0) {
        run_copy(call, ingot_dtype_size_bytes(dtype));
        return;
    }
    switch (ingot_dtype_size_bytes(dtype)) {
    case 1: task = sum_products_u8; break;
    case 2: task = sum_products_u16; break;
    case 4: task = real ? sum_products_f32 : sum_products_u32; break;
    default: task = real ? sum_products_f64 : sum_products_u64;
    }
    if (s->matrices && s->results < ingot_team_size(call->ctx->team))
        run_rows(call);
    else
        ingot_parallel(call->ctx->team, s->results, 1 + 32768 / work, s->matrices ? matrix_turns : task, call);
}

/* All steps in order. Where a label has size 0 every sum is one of nothing, which is 0. */
static ingot_status run_plain(ingot_op_ctx *c)
{
    const einsum_state *s = c->state;
    const ingot_dtype dtype = c->in[0]->dtype;
    const size_t temporary_bytes = (size_t)s->temporary * ingot_dtype_size_bytes(dtype);
    const void *a = c->in[0]->data;
    uint64_t one;
    ingot_tensor unit = { .dtype = dtype, .data = &one };

    if (s->is_empty) {
        memset(c->out[0]->data, 0, ingot_storage_bytes(c->out[0]));
        return INGOT_OK;
    }
    ingot_put_double(&unit, 0, 1);
    for (int i = 0; i < s->n_steps; i++) {
        const contraction *step = &s->steps[i];
        contraction_call call = { .ctx = c, .step = step, .a = a,
                                  .b = step->input == NO_OPERAND ? &one : c->in[step->input]->data };
        call.c = i == s->n_steps - 1 ? c->out[0]->data : (void *)(c->scratch + (size_t)(i % 2) * temporary_bytes);
        run_step(&call, dtype);
        a = call.c;
    }
    return INGOT_OK;
}

/* 16-bit floats are widened for all steps and rounded once at the end. */
static ingot_status run_einsum(ingot_op_ctx *c)
{
    return ingot_is_16bit(c->in[0]->dtype) ? ingot_run_widened(c, run_plain) : run_plain(c);
}

/* A multiply and an add for each turn of all loops, of all steps. */
static int64_t count_flops(const ingot_op_ctx *c)
{
    const einsum_state *s = c->state;
    int64_t flops = 0;

    for (int i = 0; i < s->n_steps && !s->is_empty; i++) {
        const contraction *step = &s->steps[i];
        flops +=
            2 * step->results * turns(&step->sum, step->sum.n) * (step->matrices ? step->m * step->n * step->k : 1);
    }
    return flops;
}

const ingot_op ingot_ops_einsum[] = {
    { "Einsum", 12, 1, INGOT_MANY, { INGOT_TYPES_NUMERIC }, infer_einsum, run_einsum, .prepare = prepare_einsum,
      .flops = count_flops, .flags = INGOT_OP_LONG },
    {0},
};
