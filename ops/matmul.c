/* matmul.c - MatMul and Gemm. Both become a list of matrix products of one size: MatMul's batches are offsets into A
 * and B, and transposing is a matter of strides. */
#include <math.h>
#include <string.h>

#include "ops/conv_band.h"
#include "ops/conv_plain.h"
#include "ops/conv_product.h"
#include "ops/fused.h"
#include "ops/joined.h"
#include "ops/matmul_shape.h"
#include "ops/scalar.h"
#include "ops/weights.h"

/* Inputs of both operators; C is Gemm's alone, and may be missing. */
enum { A, B, C, N_INPUTS };

/* Of a node, kept from prepare to its runs. When constants were packed by the plan, B itself need not be in memory:
 * `loaded` then has no B. Only `product`'s addresses and direction, `host.data` and `epilogue` change from run to
 * run. */
typedef struct matmul_state {
    ingot_product product;
    bool fast;                           /* float, or by way of float: by the kernels */
    ingot_product_plan plan;
    ingot_tensor *loaded[N_INPUTS];      /* constants read from the file, or NULL */
    ingot_chain chain;
    ingot_tensor host;                   /* own result, before fused nodes */
    ingot_epilogue epilogue;             /* of this run */
} matmul_state;

/* Size of dimension i of the result's batch; false when A's and B's do not broadcast. */
static bool broadcast_size(int64_t a, int64_t b, int64_t *size)
{
    *size = a == 1 ? b : a;
    return a == b || a == 1 || b == 1;
}

/* The product's sizes and the result's shape by the rules of numpy.matmul: a vector A counts as one row and a vector
 * B as one column, and that dimension is left out of the result; dimensions before the last two broadcast. p is
 * filled for dense row-major matrices, alpha = beta = 1, without addresses. INVALID when the inner sizes differ or a
 * batch does not broadcast. shape has room for INGOT_MAX_RANK + 2. */
ingot_status ingot_matmul_shape(ingot_op_ctx *c, const ingot_tensor *a, const ingot_tensor *b, ingot_product *p,
                                int64_t *shape, int *rank)
{
    char a_text[128], b_text[128];
    const int a_batch = MAX(a->rank - 2, 0), b_batch = MAX(b->rank - 2, 0), batch = MAX(a_batch, b_batch);
    bool fits = a->rank > 0 && b->rank > 0;

    memset(p, 0, sizeof *p);
    /* The two matrices: A (m, k), B (k, n); a vector lacks the outer one of these sizes. */
    if (fits) {
        p->m = a->rank > 1 ? a->shape[a->rank - 2] : 1;
        p->k = a->shape[a->rank - 1];
        p->n = b->rank > 1 ? b->shape[b->rank - 1] : 1;
        fits = p->k == b->shape[MAX(b->rank - 2, 0)];
    }
    /* The batch, from its last dimension on; one that a tensor does not have counts 1. */
    for (int i = 0; i < batch && fits; i++) {
        const int ai = i - (batch - a_batch), bi = i - (batch - b_batch);
        fits = broadcast_size(ai < 0 ? 1 : a->shape[ai], bi < 0 ? 1 : b->shape[bi], &shape[i]);
    }
    if (!fits)
        return ingot_op_fail(c, INGOT_INVALID, "shapes %s and %s do not multiply",
                             ingot_shape_text(a, a_text, sizeof a_text), ingot_shape_text(b, b_text, sizeof b_text));
    /* The result: the batch, then m and n unless they came from a vector. */
    *rank = batch;
    if (a->rank > 1)
        shape[(*rank)++] = p->m;
    if (b->rank > 1)
        shape[(*rank)++] = p->n;
    p->matrices = 1;
    for (int i = 0; i < batch; i++)
        p->matrices *= shape[i];
    p->a_row = p->k;
    p->b_row = p->n;
    p->a_col = p->b_col = 1;
    p->alpha = p->beta = 1.0f;
    return INGOT_OK;
}

/* Where each of n matrices of a broadcast batch begins in tensor: size elements apart, a dimension of 1 repeats. */
void ingot_matmul_offsets(const ingot_tensor *tensor, const int64_t *batch, int n_batch, int64_t size, int64_t *at,
                          int64_t n)
{
    const int own = MAX(tensor->rank - 2, 0);

    for (int64_t matrix = 0; matrix < n; matrix++) {
        int64_t rest = matrix, index = 0, stride = 1;
        for (int i = n_batch - 1; i >= 0; i--) {
            const int mine = i - (n_batch - own);
            const int64_t position = rest % batch[i];
            rest /= batch[i];
            if (mine < 0)
                continue;
            index += tensor->shape[mine] == 1 ? 0 : position * stride;
            stride *= tensor->shape[mine];
        }
        at[matrix] = index * size;
    }
}

/* numpy.matmul's shape, rank 1 included, then that of the fused chain. */
static ingot_status infer_matmul(ingot_op_ctx *c)
{
    int64_t shape[INGOT_MAX_RANK + 2];
    int rank;
    ingot_product p;
    ingot_status st = ingot_matmul_shape(c, c->in[A], c->in[B], &p, shape, &rank);

    if (st || (st = ingot_out(c, 0, c->in[A]->dtype, rank, shape)))
        return st;
    return ingot_chain_infer(c);
}

/* Common to MatMul and Gemm; shape and rank are those of the product itself. The host tensor is the product's own
 * output: its rank and shape differ from c->out[0] when something is fused behind. What the kernels can do while they
 * store (bias, residual, activation) is asked for in f32 only; the rest of a chain runs after the product. Scratch:
 * the chain's, then the widened copies of 16-bit tensors, then the product's own. */
static ingot_status prepare_product(ingot_op_ctx *c, matmul_state *s, const int64_t *shape, int rank)
{
    const ingot_dtype dtype = c->in[A]->dtype;
    const int n_own = MIN(c->node->n_inputs, N_INPUTS);
    ingot_product *p = &s->product;
    ingot_status st;

    s->host = *c->out[0];
    s->host.rank = rank;
    memcpy(s->host.shape, shape, (size_t)rank * sizeof *shape);
    s->fast = dtype == INGOT_FLOAT || ingot_is_16bit(dtype);
    /* What the kernel can do while it stores, of what is fused behind. */
    const unsigned in_kernel = INGOT_CHAIN_ACT | (ingot_product_takes_residual(p) ? INGOT_CHAIN_RESIDUAL : 0u) |
                               (ingot_product_takes_bias(p) ? INGOT_CHAIN_BIAS : 0u);
    if ((st = ingot_chain_prepare(c, &s->host, dtype == INGOT_FLOAT ? in_kernel : 0u, &s->chain)))
        return st;
    if (s->fast && (st = ingot_product_prepare(c, p, dtype == INGOT_FLOAT ? B : INGOT_NONE, &s->plan)))
        return st;
    /* A B that was packed is never read again in its first form: its constant stays in the file. */
    for (int i = 0; i < n_own; i++)
        if ((i != B || !s->plan.packed) && (st = ingot_load_constant(c, i, &s->loaded[i])))
            return st;
    ingot_want_scratch(c, s->chain.scratch_bytes + ingot_widen_bytes(c) + s->plan.scratch_bytes,
                       s->plan.thread_scratch_bytes);
    c->kernel = s->fast ? ingot_product_name(&s->plan) : "plain";
    return INGOT_OK;
}

/* A single B (rank 2 or less) makes one tall product of the whole batch, which fills the tiles best; otherwise each
 * matrix has its offsets into A and B, computed once here. */
static ingot_status prepare_matmul(ingot_op_ctx *c)
{
    matmul_state *s = c->state = ingot_keep(c, sizeof *s);
    int64_t shape[INGOT_MAX_RANK + 2];
    int rank;
    ingot_status st;

    if (!s)
        return ingot_op_out_of_memory(c);
    ingot_product *p = &s->product;
    if ((st = ingot_matmul_shape(c, c->in[A], c->in[B], p, shape, &rank)))
        return st;
    const int n_batch = MAX(MAX(c->in[A]->rank, c->in[B]->rank) - 2, 0);
    if (c->in[B]->rank <= 2) {                   /* one B: all rows of A are one matrix */
        p->m *= p->matrices;
        p->matrices = 1;
    }
    if (p->matrices > 1) {
        p->a_at = ingot_keep(c, (size_t)p->matrices * sizeof *p->a_at);
        p->b_at = ingot_keep(c, (size_t)p->matrices * sizeof *p->b_at);
        if (!p->a_at || !p->b_at)
            return ingot_op_out_of_memory(c);
        ingot_matmul_offsets(c->in[A], shape, n_batch, p->m * p->k, p->a_at, p->matrices);
        ingot_matmul_offsets(c->in[B], shape, n_batch, p->k * p->n, p->b_at, p->matrices);
    }
    return prepare_product(c, s, shape, rank);
}

/* Can alpha or beta multiply an integer without a fraction? */
static bool is_whole(float value) { return value == floorf(value) && fabsf(value) < 2147483648.0f; }

/* A and B are matrices, transposed by swapping their steps; C is optional and broadcasts one way, to (m, n): a step
 * of 0 repeats its row or column. beta counts only with C. `flatten`: an A of higher rank counts as (N, the rest),
 * which is how a Flatten before this node is left out. INVALID when the shapes do not fit. */
static ingot_status read_gemm(ingot_op_ctx *c, bool flatten, ingot_product *p)
{
    /* `deep`: A still has the shape from before the Flatten. */
    const ingot_tensor *a = c->in[A], *b = c->in[B], *d = c->node->n_inputs > C ? c->in[C] : NULL;
    const bool ta = ingot_attr_int(c->node, "transA", 0) != 0, tb = ingot_attr_int(c->node, "transB", 0) != 0;
    char a_text[128], b_text[128];

    memset(p, 0, sizeof *p);
    const bool deep = flatten && a->rank > 2 && !ta;
    const int64_t k = deep ? ingot_span(a, 1, a->rank) : a->rank == 2 ? a->shape[!ta] : -1;
    if ((a->rank != 2 && !deep) || b->rank != 2 || k != b->shape[tb])
        return ingot_op_fail(c, INGOT_INVALID, "shapes %s and %s do not multiply with transA %d and transB %d",
                             ingot_shape_text(a, a_text, sizeof a_text), ingot_shape_text(b, b_text, sizeof b_text), ta,
                             tb);
    /* Sizes, and steps that make transposing free. */
    p->matrices = 1;
    p->m = a->shape[ta];
    p->k = k;
    p->pixels = a->layout == INGOT_BLOCKED ? ingot_span(a, 2, a->rank) : 0;
    p->n = b->shape[!tb];
    p->a_row = ta ? 1 : p->k;
    p->a_col = ta ? p->m : 1;
    p->b_row = tb ? 1 : p->n;
    p->b_col = tb ? p->k : 1;
    p->alpha = ingot_attr_float(c->node, "alpha", 1.0f);
    p->beta = d ? ingot_attr_float(c->node, "beta", 1.0f) : 0.0f;
    p->has_d = d != NULL;
    if (!d)
        return INGOT_OK;
    /* C: one number, a row, a column or a whole matrix. */
    const int64_t rows = d->rank > 1 ? d->shape[d->rank - 2] : 1, columns = d->rank > 0 ? d->shape[d->rank - 1] : 1;
    if (d->rank > 2 || (rows != 1 && rows != p->m) || (columns != 1 && columns != p->n))
        return ingot_op_fail(c, INGOT_INVALID, "input C of shape %s does not broadcast to %lld x %lld",
                             ingot_shape_text(d, a_text, sizeof a_text), (long long)p->m, (long long)p->n);
    p->d_row = rows == 1 ? 0 : columns;
    p->d_col = columns == 1 ? 0 : 1;
    return INGOT_OK;
}

/* Y is (m, n), before what is fused behind it. */
static ingot_status infer_gemm(ingot_op_ctx *c)
{
    ingot_product p;
    ingot_status st = read_gemm(c, false, &p);

    if (st || (st = ingot_out(c, 0, c->in[A]->dtype, 2, (const int64_t[]){ p.m, p.n })))
        return st;
    return ingot_chain_infer(c);
}

/* As for MatMul; here A may come with the shape that it has before the Flatten that was dropped, and be made in bands
 * of so many pixels (0: it is there). */
static ingot_status prepare_bands(ingot_op_ctx *c, int64_t band)
{
    matmul_state *s = c->state = ingot_keep(c, sizeof *s);
    ingot_status st;

    if (!s)
        return ingot_op_out_of_memory(c);
    if ((st = read_gemm(c, true, &s->product)))
        return st;
    s->product.band = band;
    return prepare_product(c, s, (const int64_t[]){ s->product.m, s->product.n }, 2);
}

static ingot_status prepare_gemm(ingot_op_ctx *c) { return prepare_bands(c, 0); }

/* Asked by the pass that drops a Flatten before Gemm: may this node take the unflattened A, in blocks of channels?
 * Only where B is a constant that is packed for A's order of channels anyway, and every block of channels is full.
 * Errors of the shapes are not reported here. */
static bool flattens_gemm(const ingot_op_ctx *c)
{
    const ingot_tensor *a = c->in[A];
    ingot_product p;
    ingot_op_ctx quiet = *c;
    ingot_error none;

    quiet.error = &none;
    return a->dtype == INGOT_FLOAT && c->constants[B] && !read_gemm(&quiet, false, &p) &&
           ingot_product_takes_blocked(&p);
}

/* A flattened A may be blocked; the result is a matrix, and plain. */
static ingot_layout layout_gemm(const ingot_op_ctx *c)
{
    const ingot_tensor *a = c->in[A];
    const bool whole = a->rank > 2 && a->rank <= 5 && a->shape[1] % INGOT_BLOCK == 0;
    return whole ? (ingot_layout){ INGOT_LAYOUT_FOLLOW, 1u << A } : (ingot_layout){ INGOT_LAYOUT_PLAIN, 0 };
}

/* Integers with factors that have a fraction: the exact product, then alpha AB + beta C in double, cut toward zero and
 * kept modulo the type's size. */
static void run_fractions(ingot_op_ctx *c, const ingot_product *p)
{
    ingot_product plain = *p;
    ingot_tensor *y = c->out[0];

    plain.alpha = 1;
    plain.beta = 0;
    plain.has_d = false;
    plain.d = NULL;
    ingot_product_plain(c, y->dtype, &plain);
    for (int64_t i = 0; i < p->m * p->n; i++) {
        double value = (double)p->alpha * ingot_double_at(y, i);
        if (p->has_d)
            value += (double)p->beta * ingot_double_at(c->in[C], i / p->n * p->d_row + i % p->n * p->d_col);
        const bool past = value >= 0x1p63 && value < 0x1p64; /* of int64, not of uint64 */
        const ingot_tensor from = { .dtype = INGOT_DOUBLE, .data = &value };
        ingot_put_int(y, i, past ? (int64_t)(uint64_t)value : ingot_saturated_int(&from, 0));
    }
}

/* The tiled product for f32, and for 16-bit floats that were widened to it; another way for f64 and integers. */
static ingot_status run_product(ingot_op_ctx *c)
{
    matmul_state *s = c->state;
    ingot_product *p = &s->product;

    p->a = c->in[A]->data;
    p->b = c->in[B]->data;
    p->c = c->out[0]->data;
    p->d = p->has_d ? c->in[C]->data : NULL;
    p->backward = !p->backward;
    if (ingot_is_integer(c->in[A]->dtype) && !(is_whole(p->alpha) && is_whole(p->beta)))
        run_fractions(c, p);
    else if (s->fast)
        ingot_product_run(c, p, &s->plan, &s->epilogue, c->scratch);
    else
        ingot_product_plain(c, c->in[A]->dtype, p);
    return INGOT_OK;
}

/* Binds constants that prepare has loaded, widens 16-bit floats around the product, then finishes the chain. */
static ingot_status run_matmul(ingot_op_ctx *c)
{
    matmul_state *s = c->state;
    ingot_tensor *in[N_INPUTS] = { NULL }, *out = &s->host;
    ingot_op_ctx sub = *c;
    ingot_status st;

    sub.n_in = MIN(c->node->n_inputs, N_INPUTS);
    for (int i = 0; i < sub.n_in; i++)
        in[i] = s->loaded[i] ? s->loaded[i] : c->in[i];
    s->host.data = ingot_chain_begin(c, &s->chain, c->scratch, &s->epilogue);
    sub.parent = c;
    sub.in = in;
    sub.out = &out;
    sub.n_out = 1;
    ingot_advance_scratch(&sub, s->chain.scratch_bytes);
    st = ingot_is_16bit(s->host.dtype) ? ingot_run_widened(&sub, run_product) : run_product(&sub);
    return st ? st : ingot_chain_finish(c, &s->chain);
}

/* 2 m n k: the last dimension of A is k, or its first when Gemm transposes A; a flattened A has k in all but one. */
static int64_t count_flops(const ingot_op_ctx *c)
{
    const ingot_tensor *a = c->in[A];
    const bool gemm = !strcmp(c->node->op_type, "Gemm"), transposed = gemm && ingot_attr_int(c->node, "transA", 0);
    const int64_t k = gemm && !transposed ? ingot_span(a, 1, a->rank) : a->shape[transposed ? 0 : a->rank - 1];
    return 2 * ingot_count(c->out[0]) * k;
}

/* For the profile: the tile of the microkernel, where panels are what the plan chose. */
static void describe_product(const ingot_op_ctx *c, ingot_op_work *work)
{
    const matmul_state *s = c->state;

    if (s->fast && s->plan.way == INGOT_PRODUCT_PANELS) {
        work->tile_rows = c->kernels->gemm_rows;
        work->tile_columns = 2 * c->kernels->lanes;
    }
}

/* --- a Gemm whose A is made by a Conv on the way, and never lies in memory as a whole --- */

/* Of the step: the Gemm as a context of its own, whose A has no memory, and what makes that. */
typedef struct conv_gemm {
    ingot_op_ctx gemm;
    ingot_tensor middle;
    ingot_conv_band band;
} conv_gemm;

bool ingot_conv_product_fits(const ingot_op_ctx *conv, const ingot_op_ctx *gemm)
{
    return flattens_gemm(gemm) && ingot_conv_band_rows(conv) > 0;
}

/* A context for each of the two, with the value between them as a tensor without memory. */
static ingot_status prepare_conv_gemm(ingot_op_ctx *c)
{
    const ingot_joined form = *(const ingot_joined *)c->state;
    conv_gemm *s = ingot_keep(c, sizeof *s);
    ingot_tensor **out = ingot_keep(c, sizeof *out);
    ingot_op_ctx conv = *c;
    ingot_conv_shape shape;
    ingot_status st;

    if (!s || !out || !ingot_joined_rest(c, &s->middle, form.n_before, &s->gemm))
        return ingot_op_out_of_memory(c);
    c->state = s;
    conv.parent = c;
    conv.node = form.before;
    conv.n_in = form.n_before;
    if ((st = ingot_conv_shape_read(&conv, c->in[0], c->in[1], NULL, &shape)))
        return st;
    s->middle = (ingot_tensor){ .dtype = INGOT_FLOAT, .rank = 4, .layout = INGOT_BLOCKED,
                                .shape = { shape.n, shape.oc, shape.window.out[0], shape.window.out[1] } };
    *out = &s->middle;
    conv.out = out;
    if ((st = ingot_conv_band_prepare(&conv, &s->band)))
        return st;
    if ((st = prepare_bands(&s->gemm, s->band.rows * shape.window.out[1])))
        return st;
    ingot_want_scratch(c, s->gemm.scratch_bytes, s->gemm.thread_scratch_bytes);
    c->kernel = "first layer and dot, k in bands";
    return INGOT_OK;
}

static ingot_status run_conv_gemm(ingot_op_ctx *c)
{
    conv_gemm *s = c->state;
    ingot_product *p = &((matmul_state *)s->gemm.state)->product;
    ingot_op_ctx gemm = s->gemm;

    s->band.src = c->in[0]->data;
    p->make = ingot_conv_band_make;
    p->argument = &s->band;
    gemm.scratch = c->scratch;
    gemm.scratch_bytes = c->scratch_bytes;
    gemm.thread_scratch_bytes = c->thread_scratch_bytes;
    gemm.error = c->error;
    gemm.soon = c->soon;
    return run_matmul(&gemm);
}

/* Two per multiply-add of both. */
static int64_t count_both_flops(const ingot_op_ctx *c)
{
    const conv_gemm *s = c->state;
    const ingot_product *p = &((const matmul_state *)s->gemm.state)->product;

    return 2 * (p->m * p->n * p->k + ingot_count(&s->middle) * ingot_span(c->in[1], 1, c->in[1]->rank));
}

/* bfloat16 and float16 go by way of float; integers as the standard has them for both operators. */
#define TYPES (INGOT_TYPES_FLOAT | INGOT_TYPE(INT32) | INGOT_TYPE(INT64) | INGOT_TYPE(UINT32) | INGOT_TYPE(UINT64))

const ingot_op ingot_ops_matmul[] = {
    { "MatMul", 1, 2, 2, { TYPES }, infer_matmul, run_matmul, .prepare = prepare_matmul, .flops = count_flops,
      .describe = describe_product, .flags = INGOT_OP_LAZY | INGOT_OP_FUSES | INGOT_OP_LONG },
    { "Gemm", 1, 2, 3, { TYPES }, infer_gemm, run_matmul, .prepare = prepare_gemm, .flops = count_flops,
      .describe = describe_product, .flags = INGOT_OP_LAZY | INGOT_OP_FUSES | INGOT_OP_LONG, .layout = layout_gemm,
      .flattens = flattens_gemm },
    { "ConvGemm", 1, 2, INGOT_MANY, { INGOT_TYPE(FLOAT) }, ingot_infer_made, run_conv_gemm,
      .prepare = prepare_conv_gemm, .flops = count_both_flops,
      .flags = INGOT_OP_LAZY | INGOT_OP_FUSES | INGOT_OP_LONG, .domain = "ingot.internal" },
    { 0 }
};

const ingot_op *ingot_conv_product_op(void) { return &ingot_ops_matmul[2]; }
