/* check_conv.c - convolutions into blocked channels, and their gradients, held against the definition. */
#include "check_conv.h"

ingot_conv conv_of(const conv_case *t)
{
    ingot_conv d = { .n = t->n, .groups = t->groups, .ic = t->ic, .oc = t->oc, .plain_src = t->plain_src };
    for (int i = 0; i < 3; i++) {
        d.in[i] = t->in[i], d.kernel[i] = t->kernel[i], d.stride[i] = t->stride[i], d.dilation[i] = t->dilation[i];
        d.pad[i] = t->before[i];
        d.out[i] = (t->in[i] + t->before[i] + t->after[i] - (t->kernel[i] - 1) * t->dilation[i] - 1) / t->stride[i] + 1;
    }
    return d;
}

ingot_conv transposed_of(const conv_case *t)
{
    ingot_conv d = conv_of(t);
    for (int i = 0; i < 3; i++) {
        d.in[i] = d.out[i];
        d.out[i] = t->in[i];
    }
    return d;
}

/* Where element (n, c, pixel) of a tensor of `channels` is. */
static int64_t place(int64_t channels, int64_t pixels, int64_t n, int64_t c, int64_t pixel, bool plain)
{
    return plain ? (n * channels + c) * pixels + pixel
                 : ((n * blocks_of(channels) + c / 8) * pixels + pixel) * 8 + c % 8;
}

/* Add what one tap of one filter gives to the sums of an output channel. `src` is a channel of the source, whose pixels
 * are `step` apart. A convolution reads its source at output * stride + tap * dilation - pad; its gradient reads there
 * what it writes, and the other way around. Taps outside count nothing. */
static void add_tap(const ingot_conv *d, const int64_t tap[3], double weight, const float *src, int64_t step,
                    bool transposed, double *sums)
{
    const int64_t *few = transposed ? d->in : d->out, *many = transposed ? d->out : d->in;
    int64_t from[3];

    for (int i = 0; i < 3; i++)
        from[i] = tap[i] * d->dilation[i] - d->pad[i];
    for (int64_t z = 0; z < few[0]; z++)
        for (int64_t y = 0; y < few[1]; y++) {
            const int64_t at[2] = { from[0] + z * d->stride[0], from[1] + y * d->stride[1] };
            const int64_t few_row = (z * few[1] + y) * few[2], many_row = (at[0] * many[1] + at[1]) * many[2];
            if (at[0] < 0 || at[0] >= many[0] || at[1] < 0 || at[1] >= many[1])
                continue;
            for (int64_t x = 0, column = from[2]; x < few[2]; x++, column += d->stride[2])
                if (column >= 0 && column < many[2])
                    sums[transposed ? many_row + column : few_row + x] +=
                        weight * src[(transposed ? few_row + x : many_row + column) * step];
        }
}

/* What an algorithm is held against: the sums by the definition, (N, channels, pixels) in double, without bias. A
 * convolution's weights are [oc][ic / groups][kernel], a transposed one's [ic][oc / groups][kernel]. */
static double *reference(const ingot_conv *d, const float *src, const float *weights, bool transposed)
{
    const int64_t ic = d->ic / d->groups, own_oc = d->oc / d->groups, taps = pixels_of(d->kernel);
    double *sums = calloc((size_t)(d->n * d->oc * pixels_of(d->out)), sizeof *sums);

    if (!sums)
        abort();
    for (int64_t i = 0; i < d->n * d->oc * ic * taps; i++) {
        const int64_t tap = i % taps, c = i / taps % ic, plane = i / taps / ic, n = plane / d->oc, oc = plane % d->oc;
        const int64_t k[3] = { tap / d->kernel[2] / d->kernel[1], tap / d->kernel[2] % d->kernel[1],
                               tap % d->kernel[2] };
        const int64_t source = oc / own_oc * ic + c;
        const int64_t filter = transposed ? source * own_oc + oc % own_oc : oc * ic + c;
        add_tap(d, k, weights[filter * taps + tap], src + place(d->ic, pixels_of(d->in), n, source, 0, d->plain_src),
                d->plain_src ? 1 : 8, transposed, sums + plane * pixels_of(d->out));
    }
    return sums;
}

/* A case's numbers. A source has whole blocks of channels unless it is row-major; the bias is one for each channel,
 * the residual laid out as the result. */
typedef struct conv_data {
    ingot_conv d;
    int64_t n_src, n_weights, n_dst;
    float *src, *weights, *bias, *residual;
    double *sums;                      /* by the definition: see reference() */
} conv_data;

static conv_data make_data(const conv_case *t, bool transposed)
{
    conv_data x = { .d = transposed ? transposed_of(t) : conv_of(t) };
    const ingot_conv *d = &x.d;

    x.n_src = d->n * pixels_of(d->in) * (d->plain_src ? d->ic : blocks_of(d->ic) * 8);
    x.n_weights = d->oc * (d->ic / d->groups) * pixels_of(d->kernel);
    x.n_dst = d->n * pixels_of(d->out) * blocks_of(d->oc) * 8;
    x.src = check_randoms(x.n_src);
    x.weights = check_randoms(x.n_weights);
    x.bias = check_randoms(d->oc);
    x.residual = check_randoms(x.n_dst);
    x.sums = reference(d, x.src, x.weights, transposed);
    return x;
}

static void free_data(conv_data *x, const char *what)
{
    check_free(x->src, x->n_src, what), check_free(x->weights, x->n_weights, what);
    check_free(x->bias, x->d.oc, what), check_free(x->residual, x->n_dst, what);
    free(x->sums);
}

/* Hold every output against sum + bias + residual through the activation. Lanes past the last channel of a block
 * must have been written with something finite, as later kernels read them. */
static void check_result(const conv_data *x, const float *dst, const ingot_epilogue *e, double tolerance,
                         const char *what)
{
    const ingot_conv *d = &x->d;
    const int64_t pixels = pixels_of(d->out), terms = d->ic / d->groups * pixels_of(d->kernel);

    for (int64_t n = 0; n < d->n; n++)
        for (int64_t c = 0; c < blocks_of(d->oc) * 8; c++)
            for (int64_t p = 0; p < pixels; p++) {
                const int64_t i = place(d->oc, pixels, n, c, p, false);

                /* lanes past the last channel: later layers multiply them by zero weights, so NaN must not be there */
                if (c >= d->oc) {
                    if (!isfinite(dst[i]) || dst[i] == CANARY)
                        check_fail("%s: padding channel holds %g", what, dst[i]);
                    continue;
                }
                const double sum = x->sums[(n * d->oc + c) * pixels + p] + (e->bias ? e->bias[c] : 0) +
                                   (e->residual ? e->residual[i] : 0);
                check_near(dst[i], check_act(sum, e), tolerance * (1 + 0.05 * (double)terms), what, i);
            }
}

/* One algorithm with one ending. */
static void check_run(const algorithm *a, const conv_data *x, const ingot_conv *d, const float *packed,
                      const ending *end, const char *what)
{
    const int64_t items = a->items(d);
    float *dst = check_floats(x->n_dst), *again = check_randoms(x->n_dst);
    ingot_epilogue e = { .act = end->act, .alpha = -0.5f, .beta = 0.7f, .bias = end->bias ? x->bias : NULL,
                         .residual = end->residual ? x->residual : NULL };

    /* backwards, so that no item may rely on one before it */
    for (int64_t i = items - 1; i >= 0; i--)
        a->run(d, packed, x->src, dst, &e, i, i + 1);
    check_result(x, dst, &e, a->tolerance, what);
    if (end->residual)
        e.residual = memcpy(again, x->residual, (size_t)x->n_dst * sizeof *again);
    a->run(d, packed, x->src, again, &e, 0, items);
    if (memcmp(dst, again, (size_t)x->n_dst * sizeof *dst))
        check_fail("%s: ranges change the result", what);
    check_free(dst, x->n_dst, what), check_free(again, x->n_dst, what);
}

void check_conv(const ingot_kernels *k, const algorithm *a, size_t n_algorithms, const conv_case *t,
                const ending *ends, size_t n_ends)
{
    conv_data x = make_data(t, a->transposed);

    for (const algorithm *end = a + n_algorithms; a < end; a++) {
        ingot_conv d = x.d;
        d.minimal = a->minimal;
        const int64_t n_packed = a->packed(&d);
        float *packed = check_floats(n_packed);
        char what[128];

        a->pack(k, &d, packed, x.weights);
        for (size_t i = 0; i < n_ends; i++) {
            snprintf(what, sizeof what, "conv %s %s act=%d", k->isa, t->name, (int)ends[i].act);
            check_run(a, &x, &d, packed, &ends[i], what);
        }
        check_free(packed, n_packed, t->name);
    }
    free_data(&x, t->name);
}

void check_cases(const ingot_kernels *k, const algorithm *a, size_t n_algorithms, const conv_case *list, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        const ending ends[] = { { INGOT_ACT_NONE, false, false }, { (ingot_act)(1 + i % INGOT_ACT_ELU), true, i % 3 } };
        check_conv(k, a, n_algorithms, &list[i], LIST(ends));
    }
}
