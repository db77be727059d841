/* conv_plain_loops.h - the loops of conv_plain.c for one element type T; TYPED(name) adds the type to a name. Included
 * once per type. */

/* One plane of the output: batch item and output channel `index`. Rows of the last dimension are the inner loop. */
static void TYPED(conv_plane)(const conv_call *call, int64_t index)
{
    const ingot_conv_shape *s = call->shape;
    const ingot_window *v = &s->window;
    const int last = v->rank - 1;
    const int64_t n = index / s->oc, o = index % s->oc, icg = s->ic / s->group, first = o / (s->oc / s->group) * icg;
    const int64_t iw = v->in[last], ow = v->out[last], kw = v->kernel[last], stride = v->stride[last];
    const int64_t in_plane = ingot_window_volume(v->in, v->rank), taps = ingot_window_volume(v->kernel, v->rank);
    const T *w = (const T *)call->w + o * icg * taps;
    const T bias = call->b ? ((const T *)call->b)[o] : 0;
    T *row = (T *)call->y + index * ingot_window_volume(v->out, v->rank);
    int64_t at[INGOT_MAX_SPATIAL] = { 0 };

    do {
        for (int64_t i = 0; i < ow; i++)
            row[i] = bias;
        for (int64_t i = 0; i < icg; i++) {
            const T *plane = (const T *)call->x + (n * s->ic + first + i) * in_plane;
            int64_t tap[INGOT_MAX_SPATIAL] = { 0 }, offset;
            const T *weight = w + i * taps;
            do {
                if (!input_row(v, at, tap, &offset))
                    continue;
                for (int64_t k = 0; k < kw; k++) {
                    int64_t begin, end;
                    ingot_window_inside(v, last, k, &begin, &end);
                    const T *src = plane + offset * iw + begin * stride + k * v->dilation[last] - v->pad_begin[last];
                    for (int64_t p = begin; p < end; p++, src += stride)
                        row[p] += weight[k] * *src;
                }
            } while (weight += kw, ingot_window_next(tap, v->kernel, last));
        }
        row += ow;
    } while (ingot_window_next(at, v->out, last));
}

/* The same for the transposed convolution: every input row is added to the output rows that its taps reach. */
static void TYPED(conv_transpose_plane)(const conv_call *call, int64_t index)
{
    const ingot_conv_shape *s = call->shape;
    const ingot_window *v = &s->window;          /* its in and out are swapped: "output" here means x's position */
    const int last = v->rank - 1;
    const int64_t ocg = s->oc / s->group, icg = s->ic / s->group;
    const int64_t n = index / s->oc, o = index % s->oc, first = o / ocg * icg;
    const int64_t xw = v->out[last], kw = v->kernel[last], stride = v->stride[last];
    const int64_t x_plane = ingot_window_volume(v->out, v->rank), taps = ingot_window_volume(v->kernel, v->rank);
    const int64_t y_plane = ingot_window_volume(v->in, v->rank);
    const T bias = call->b ? ((const T *)call->b)[o] : 0;
    T *y = (T *)call->y + index * y_plane;

    for (int64_t i = 0; i < y_plane; i++)
        y[i] = bias;
    for (int64_t i = 0; i < icg && x_plane > 0; i++) {
        const T *row = (const T *)call->x + (n * s->ic + first + i) * x_plane;
        int64_t at[INGOT_MAX_SPATIAL] = { 0 };
        do {
            const T *weight = (const T *)call->w + ((first + i) * ocg + o % ocg) * taps;
            int64_t tap[INGOT_MAX_SPATIAL] = { 0 }, offset;
            do {
                if (!input_row(v, at, tap, &offset))
                    continue;
                for (int64_t k = 0; k < kw; k++) {
                    int64_t begin, end;
                    ingot_window_inside(v, last, k, &begin, &end);
                    T *dst = y + offset * v->in[last] + begin * stride + k * v->dilation[last] - v->pad_begin[last];
                    for (int64_t p = begin; p < end; p++, dst += stride)
                        *dst += weight[k] * row[p];
                }
            } while (weight += kw, ingot_window_next(tap, v->kernel, last));
            row += xw;
        } while (ingot_window_next(at, v->out, last));
    }
}
