/* conv_transpose.c - ConvTranspose. On blocked tensors a float one is a few ordinary convolutions (conv_phases.h). On
 * plain ones it is a matrix product per group and image: the weights (oc * taps, ic) by the input (ic, pixels) give
 * what every input pixel adds to the output around each of its taps; the columns are then gathered, one output plane
 * per task. The other types follow the definition. */
#include <string.h>

#include "ops/conv_phases.h"
#include "ops/fused.h"
#include "ops/product.h"
#include "ops/weights.h"

enum { X, W, B, N_INPUTS };

typedef struct transpose_state {
    ingot_conv_shape shape;
    ingot_tensor *loaded[N_INPUTS];      /* constants read from the file, or NULL */
    ingot_chain chain;
    ingot_tensor host;                   /* own result, before fused nodes */
    ingot_epilogue epilogue;             /* of this run */
    bool blocked;
    ingot_conv_phases phases;
    bool fast;
    ingot_product product;               /* of one group of one image */
    ingot_product_plan plan;
    size_t column_bytes;
} transpose_state;

static ingot_status read_shape(ingot_op_ctx *c, ingot_conv_shape *shape)
{
    const ingot_tensor *x = c->in[X], *w = c->in[W], *b = c->node->n_inputs > B ? c->in[B] : NULL;
    const int64_t group = ingot_attr_int(c->node, "group", 1);

    if (x->rank < 3 || w->rank != x->rank)
        return ingot_op_fail(c, INGOT_INVALID, "input has rank %d and weights %d, expected the same and at least 3",
                             x->rank, w->rank);
    if (group < 1 || x->shape[1] % group || w->shape[0] != x->shape[1] || group > INT32_MAX || w->shape[1] > INT32_MAX)
        return ingot_op_fail(c, INGOT_INVALID, "%lld input channels and weights for %lld do not go with group %lld",
                             (long long)x->shape[1], (long long)w->shape[0], (long long)group);
    shape->n = x->shape[0];
    shape->ic = x->shape[1];
    shape->oc = w->shape[1] * group;
    shape->group = group;
    if (b && (b->rank != 1 || b->shape[0] != shape->oc))
        return ingot_op_fail(c, INGOT_INVALID, "the bias does not have one element for each of %lld output channels",
                             (long long)shape->oc);
    return ingot_window_resolve_transposed(c, x, w, &shape->window);
}

static void output_shape(const ingot_conv_shape *shape, int64_t *sizes)
{
    sizes[0] = shape->n;
    sizes[1] = shape->oc;
    memcpy(sizes + 2, shape->window.out, (size_t)shape->window.rank * sizeof *sizes);
}

static ingot_status infer_conv_transpose(ingot_op_ctx *c)
{
    ingot_conv_shape shape;
    int64_t sizes[INGOT_MAX_RANK];
    ingot_status st = read_shape(c, &shape);

    if (st)
        return st;
    output_shape(&shape, sizes);
    st = ingot_out(c, 0, c->in[X]->dtype, c->in[X]->rank, sizes);
    return st ? st : ingot_chain_infer(c);
}

/* Is there a product at all, of a size that can be counted? */
static bool fits(const ingot_conv_shape *shape)
{
    const int64_t pixels = ingot_window_volume(shape->window.in, shape->window.rank);
    const int64_t taps = ingot_window_volume(shape->window.kernel, shape->window.rank);
    size_t size;

    return pixels > 0 && shape->ic > 0 && shape->oc > 0 && ingot_mul_size((size_t)pixels, (size_t)taps, &size) &&
           ingot_mul_size(size, (size_t)(shape->oc / shape->group) * 2 * sizeof(float), &size);
}

/* The product W^T X of a group: m = oc * taps, n = pixels, k = ic; W lies as (k, m). Of a single pixel it is X^T W,
 * which reads W as it lies. */
static ingot_status prepare_fast(ingot_op_ctx *c, transpose_state *s)
{
    const ingot_conv_shape *shape = &s->shape;
    const int64_t pixels = ingot_window_volume(shape->window.in, shape->window.rank);
    const int64_t taps = ingot_window_volume(shape->window.kernel, shape->window.rank);
    ingot_product *p = &s->product;

    *p = (ingot_product){ .matrices = 1,
                          .m = shape->oc / shape->group * taps,
                          .n = pixels,
                          .k = shape->ic / shape->group,
                          .alpha = 1.0f,
                          .a_col = shape->oc / shape->group * taps,
                          .a_row = 1,
                          .b_row = pixels,
                          .b_col = 1 };
    if (pixels == 1)
        *p = (ingot_product){ .matrices = 1, .m = 1, .n = p->m, .k = p->k, .alpha = 1.0f, .a_row = p->k, .a_col = 1,
                              .b_row = p->m, .b_col = 1 };
    s->column_bytes = ((size_t)(p->m * p->n) * sizeof(float) + INGOT_ALIGNMENT - 1) / INGOT_ALIGNMENT * INGOT_ALIGNMENT;
    return ingot_product_prepare(c, p, INGOT_NONE, &s->plan);
}

static ingot_status prepare_blocked(ingot_op_ctx *c, transpose_state *s)
{
    ingot_status st = ingot_chain_prepare(c, &s->host, INGOT_CHAIN_ACT, &s->chain);

    if (st || (st = ingot_conv_phases_prepare(c, &s->shape, W, &s->phases)))
        return st;
    ingot_want_scratch(c, s->chain.scratch_bytes + s->phases.scratch_bytes, s->phases.thread_scratch_bytes);
    c->kernel = "phases nchw8c";
    return INGOT_OK;
}

static ingot_status prepare_conv_transpose(ingot_op_ctx *c)
{
    transpose_state *s = c->state = ingot_keep(c, sizeof *s);
    ingot_status st;

    if (!s)
        return ingot_op_fail(c, INGOT_LIMIT, "memory is out");
    if ((st = read_shape(c, &s->shape)))
        return st;
    s->host = *c->out[0];
    output_shape(&s->shape, s->host.shape);
    s->host.rank = c->in[X]->rank;
    s->blocked = c->out[0]->layout == INGOT_BLOCKED;
    for (int i = s->blocked ? B : W; i < MIN(c->node->n_inputs, N_INPUTS); i++)
        if ((st = ingot_load_constant(c, i, &s->loaded[i])))
            return st;
    if (s->blocked)
        return prepare_blocked(c, s);
    const bool single = s->host.dtype == INGOT_FLOAT;
    s->fast = (single || ingot_is_16bit(s->host.dtype)) && fits(&s->shape);
    if ((st = ingot_chain_prepare(c, &s->host, single ? INGOT_CHAIN_ACT | INGOT_CHAIN_RESIDUAL : 0u, &s->chain)) ||
        (s->fast && (st = prepare_fast(c, s))))
        return st;
    ingot_want_scratch(c, s->chain.scratch_bytes + ingot_widen_bytes(c) + s->column_bytes + s->plan.scratch_bytes,
                       s->plan.thread_scratch_bytes);
    c->kernel = s->fast ? "product and gather" : "plain";
    return INGOT_OK;
}

typedef struct gather_call {
    const transpose_state *s;
    const ingot_kernels *kernels;
    const float *columns, *bias;         /* columns: (oc of the group, taps, pixels) */
    float *dst;                          /* of the group: planes of oc */
    const float *residual;
} gather_call;

/* Add the row that tap `tap` of the last dimension makes of an input row. */
static void add_row(const ingot_window *v, const float *src, float *dst, int64_t tap)
{
    const int last = v->rank - 1;
    const int64_t stride = v->stride[last], shift = tap * v->dilation[last] - v->pad_begin[last];
    const int64_t begin = shift < 0 ? (-shift + stride - 1) / stride : 0;
    const int64_t end = shift >= v->out[last] ? 0 : MIN(v->in[last], (v->out[last] - 1 - shift) / stride + 1);

    if (stride == 1)
        for (int64_t i = begin; i < end; i++)
            dst[i + shift] += src[i];
    else if (stride == 2)
        for (int64_t i = begin; i < end; i++)
            dst[2 * i + shift] += src[i];
    else
        for (int64_t i = begin; i < end; i++)
            dst[i * stride + shift] += src[i];
}

/* Where the output row of input row `at` under `tap` begins; false when it falls outside. Both without the last
 * dimension. */
static bool output_row(const ingot_window *v, const int64_t *at, const int64_t *tap, int64_t *row)
{
    *row = 0;
    for (int i = 0; i < v->rank - 1; i++) {
        const int64_t y = at[i] * v->stride[i] + tap[i] * v->dilation[i] - v->pad_begin[i];
        if (y < 0 || y >= v->out[i])
            return false;
        *row = *row * v->out[i] + y;
    }
    *row *= v->out[v->rank - 1];
    return true;
}

/* Output planes [begin, end) of a group: bias, what the taps add, residual and activation. */
static void gather_planes(void *argument, int64_t begin, int64_t end, int thread)
{
    const gather_call *g = argument;
    const ingot_window *v = &g->s->shape.window;
    const int last = v->rank - 1;
    const int64_t plane = ingot_window_volume(v->out, v->rank), kw = v->kernel[last];
    const int64_t pixels = ingot_window_volume(v->in, v->rank);
    const int64_t taps = ingot_window_volume(v->kernel, v->rank);

    (void)thread;
    for (int64_t o = begin; o < end; o++) {
        float *dst = g->dst + o * plane;
        int64_t tap[INGOT_MAX_SPATIAL] = { 0 }, row;
        const float *src = g->columns + o * taps * pixels;
        for (int64_t i = 0; i < plane; i++)
            dst[i] = g->bias ? g->bias[o] : 0.0f;
        do {
            int64_t at[INGOT_MAX_SPATIAL] = { 0 };
            do {
                if (output_row(v, at, tap, &row))
                    for (int64_t k = 0; k < kw; k++)
                        add_row(v, src + k * pixels, dst + row, k);
                src += v->in[last];
            } while (ingot_window_next(at, v->in, last));
            src += (kw - 1) * pixels;
        } while (ingot_window_next(tap, v->kernel, last));
        for (int64_t i = 0; i < plane && g->residual; i++)
            dst[i] += g->residual[o * plane + i];
        g->kernels->act_rows_f32(dst, plane, 1, plane, &g->s->epilogue);
    }
}

static ingot_status run_fast(ingot_op_ctx *c)
{
    static const ingot_epilogue nothing = { .act = INGOT_ACT_NONE };
    transpose_state *s = c->state;
    const ingot_conv_shape *shape = &s->shape;
    const int64_t ocg = shape->oc / shape->group, plane = ingot_window_volume(shape->window.out, shape->window.rank);
    const int64_t pixels = ingot_window_volume(shape->window.in, shape->window.rank);
    const int64_t icg = shape->ic / shape->group, weights = ingot_count(c->in[W]) / shape->group;
    const float *x = c->in[X]->data, *w = c->in[W]->data, *bias = c->n_in > B && c->in[B] ? c->in[B]->data : NULL;
    float *columns = (float *)(void *)c->scratch, *y = c->out[0]->data;

    for (int64_t i = 0; i < shape->n * shape->group && plane > 0; i++) {
        const int64_t group = i % shape->group;
        gather_call g = { s, c->kernels, columns, bias ? bias + group * ocg : NULL, y + i * ocg * plane, NULL };
        if (s->epilogue.residual)
            g.residual = s->epilogue.residual + i * ocg * plane;
        s->product.a = pixels == 1 ? x + i * icg : w + group * weights;
        s->product.b = pixels == 1 ? w + group * weights : x + i * icg * pixels;
        s->product.c = columns;
        ingot_product_run(c, &s->product, &s->plan, &nothing, c->scratch + s->column_bytes);
        ingot_parallel(c->team, ocg, 1 + 2048 / plane, gather_planes, &g);
    }
    return INGOT_OK;
}

static ingot_status run_plain(ingot_op_ctx *c)
{
    const transpose_state *s = c->state;

    ingot_conv_transpose_plain(c->team, c->in[X]->dtype, &s->shape, c->in[X]->data, c->in[W]->data,
                               c->n_in > B && c->in[B] ? c->in[B]->data : NULL, c->out[0]->data);
    return INGOT_OK;
}

static ingot_status run_conv_transpose(ingot_op_ctx *c)
{
    transpose_state *s = c->state;
    ingot_tensor *in[N_INPUTS] = { NULL }, *out = &s->host;
    ingot_op_ctx sub = *c;
    ingot_status st;

    sub.n_in = MIN(c->node->n_inputs, N_INPUTS);
    for (int i = 0; i < sub.n_in; i++)
        in[i] = s->loaded[i] ? s->loaded[i] : c->in[i];
    s->host.data = ingot_chain_begin(c, &s->chain, c->scratch, &s->epilogue);
    if (s->blocked) {
        s->epilogue.bias = in[B] ? in[B]->data : NULL;
        ingot_conv_phases_run(c, &s->phases, c->in[X]->data, s->host.data, &s->epilogue,
                              c->scratch + s->chain.scratch_bytes);
        return ingot_chain_finish(c, &s->chain);
    }
    sub.parent = c;
    sub.in = in;
    sub.out = &out;
    sub.n_out = 1;
    ingot_advance_scratch(&sub, s->chain.scratch_bytes);
    ingot_op_fn *const run = s->fast ? run_fast : run_plain;
    st = ingot_is_16bit(s->host.dtype) ? ingot_run_widened(&sub, run) : run(&sub);
    return st ? st : ingot_chain_finish(c, &s->chain);
}

static ingot_layout layout_conv_transpose(const ingot_op_ctx *c)
{
    const ingot_layout plain = { INGOT_LAYOUT_PLAIN, 0 };
    ingot_op_ctx copy = *c;
    ingot_conv_shape shape;

    if (c->out[0]->dtype != INGOT_FLOAT || !c->constants[W] || read_shape(&copy, &shape) ||
        !ingot_conv_phases_fits(&shape) || ingot_window_volume(shape.window.in, shape.window.rank) == 1)
        return plain;
    return ingot_chain_layout(c, (ingot_layout){ INGOT_LAYOUT_NATIVE, 1u << X });
}

/* Two per multiply-add. */
static int64_t count_flops(const ingot_op_ctx *c)
{
    const ingot_tensor *w = c->in[W];
    return 2 * ingot_count(c->in[X]) * ingot_span(w, 1, w->rank);
}

const ingot_op ingot_ops_conv_transpose[] = { { "ConvTranspose",
                                                1,
                                                2,
                                                3,
                                                { INGOT_TYPES_FLOAT },
                                                infer_conv_transpose,
                                                run_conv_transpose,
                                                .prepare = prepare_conv_transpose,
                                                .layout = layout_conv_transpose,
                                                .flops = count_flops,
                                                .flags = INGOT_OP_LAZY | INGOT_OP_FUSES },
                                              { 0 } };
