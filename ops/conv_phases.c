/* conv_phases.c - along one axis, output o = i * stride + tap - pad. With o + pad = stride * q + r only the taps r, r +
 * stride, ... reach o, tap r + stride * j from input q - j. So phase r is a convolution with J = ceil((kernel - r) /
 * stride) taps, mirrored, whose first output is the smallest o of the phase. Each phase is computed on its own and its
 * pixels, which are whole blocks of channels, are then laid between those of the others. */
#include "ops/conv_phases.h"

#include <string.h>

#include "ops/blocked.h"

enum { MAX_PHASES = 16 };

typedef struct ingot_conv_phase {
    ingot_conv_blocked conv;
    int64_t first[3], step[3], out[3];   /* where its outputs go: first + step * i; three axes, missing ones first */
    int64_t tap[INGOT_MAX_SPATIAL];      /* r of each axis */
    ingot_conv_shape shape;
} ingot_conv_phase;

bool ingot_conv_phases_fits(const ingot_conv_shape *shape)
{
    const ingot_window *v = &shape->window;
    int64_t phases = 1;

    if (!ingot_conv_blocked_fits(shape))
        return false;
    for (int i = 0; i < v->rank; i++) {
        phases *= MIN(v->stride[i], MAX_PHASES + 1);
        if (v->dilation[i] != 1 || v->kernel[i] < v->stride[i])
            return false;
    }
    return phases <= MAX_PHASES;
}

/* The phase whose taps begin at p->tap; false when no output belongs to it. */
static bool describe(const ingot_conv_shape *whole, ingot_conv_phase *p)
{
    const ingot_window *v = &whole->window;
    ingot_window *w = &p->shape.window;

    p->shape = *whole;
    for (int i = 0; i < 3; i++) {
        p->first[i] = 0;
        p->step[i] = p->out[i] = 1;
    }
    for (int i = 0; i < v->rank; i++) {
        const int64_t s = v->stride[i], r = p->tap[i], pad = v->pad_begin[i];
        const int64_t first = ((r - pad) % s + s) % s, taps = (v->kernel[i] - r + s - 1) / s;
        if (first >= v->out[i])
            return false;
        w->kernel[i] = taps;
        w->stride[i] = 1;
        w->out[i] = (v->out[i] - 1 - first) / s + 1;
        w->pad_begin[i] = taps - 1 - (first + pad - r) / s;
        w->pad_end[i] = 0;
        p->first[i + 3 - v->rank] = first;
        p->step[i + 3 - v->rank] = s;
        p->out[i + 3 - v->rank] = w->out[i];
    }
    return true;
}

/* The phase's weights (oc, ic / group, taps...) out of all weights (ic, oc / group, kernel...). */
static void pick_weights(const ingot_conv_shape *whole, const ingot_conv_phase *p, const float *all, float *picked)
{
    const ingot_window *v = &whole->window, *w = &p->shape.window;
    const int64_t icg = whole->ic / whole->group, ocg = whole->oc / whole->group;
    const int64_t kernel = ingot_window_volume(v->kernel, v->rank);

    for (int64_t o = 0; o < whole->oc; o++)
        for (int64_t i = 0; i < icg; i++) {
            const float *from = all + ((o / ocg * icg + i) * ocg + o % ocg) * kernel;
            int64_t tap[INGOT_MAX_SPATIAL] = { 0 };
            do {
                int64_t at = 0;
                for (int d = 0; d < v->rank; d++)
                    at = at * v->kernel[d] + p->tap[d] + (w->kernel[d] - 1 - tap[d]) * v->stride[d];
                *picked++ = from[at];
            } while (ingot_window_next(tap, w->kernel, w->rank));
        }
}

static ingot_status pack_all(ingot_op_ctx *c, const ingot_conv_shape *shape, int input, ingot_conv_phases *phases,
                             char *packed)
{
    void *owned = NULL;
    const float *weights = ingot_read_constant(c, input, &owned);
    float *picked = ingot_work_alloc(c, ingot_storage_bytes(c->in[input]));
    const bool done = weights && picked;

    for (int i = 0; i < phases->n && done; i++) {
        const ingot_conv_phase *p = &phases->list[i];
        pick_weights(shape, p, weights, picked);
        ingot_conv_blocked_pack(c, &p->conv, picked, (float *)(void *)packed);
        packed += p->conv.packed_bytes;
    }
    ingot_work_free(c, picked);
    ingot_unread_constant(c, input, owned);
    return done ? INGOT_OK : ingot_op_fail(c, INGOT_LIMIT, "memory is out");
}

ingot_status ingot_conv_phases_prepare(ingot_op_ctx *c, const ingot_conv_shape *shape, int weights,
                                       ingot_conv_phases *phases)
{
    const ingot_window *v = &shape->window;
    int64_t tap[INGOT_MAX_SPATIAL] = { 0 };
    size_t packed_bytes = 0;
    bool fill = false;

    memset(phases, 0, sizeof *phases);
    phases->batch = shape->n;
    phases->oc = shape->oc;
    ingot_window_axes(v->out, v->rank, 1, phases->out);
    if (!(phases->list = ingot_keep(c, MAX_PHASES * sizeof *phases->list)))
        return ingot_op_fail(c, INGOT_LIMIT, "memory is out");
    do {
        ingot_conv_phase *p = &phases->list[phases->n];
        memcpy(p->tap, tap, sizeof tap);
        if (!describe(shape, p))
            continue;
        ingot_conv_blocked_plan(c, &p->shape, INGOT_BLOCKED, INGOT_BLOCKED, true, &p->conv);
        const int64_t blocks = shape->n * ((shape->oc + INGOT_BLOCK - 1) / INGOT_BLOCK);
        const int64_t floats = blocks * INGOT_BLOCK * ingot_window_volume(p->out, 3);
        phases->phase_bytes = MAX(phases->phase_bytes, (size_t)floats * sizeof(float));
        phases->thread_scratch_bytes = MAX(phases->thread_scratch_bytes, p->conv.thread_scratch_bytes);
        packed_bytes += p->conv.packed_bytes;
        phases->n++;
    } while (ingot_window_next(tap, v->stride, v->rank));
    phases->scratch_bytes = (phases->phase_bytes + INGOT_ALIGNMENT - 1) / INGOT_ALIGNMENT * INGOT_ALIGNMENT;

    char *packed = ingot_packed(c, UINT64_C(0x54) << 32 | (uint64_t)c->kernels->lanes, packed_bytes, &fill);
    ingot_status st = packed ? INGOT_OK : ingot_op_fail(c, INGOT_LIMIT, "memory is out");
    if (!st && fill)
        st = pack_all(c, shape, weights, phases, packed);
    for (int i = 0; i < phases->n && !st; i++) {
        phases->list[i].conv.packed = (const float *)(const void *)packed;
        packed += phases->list[i].conv.packed_bytes;
    }
    return st;
}

typedef struct lay_call {
    const ingot_conv_phases *phases;
    const ingot_conv_phase *p;
    const float *src;
    float *dst;
} lay_call;

/* Rows [begin, end) of a phase, of all blocks, to their places. */
static void lay_rows(void *argument, int64_t begin, int64_t end, int thread)
{
    const lay_call *call = argument;
    const ingot_conv_phase *p = call->p;
    const int64_t *out = call->phases->out, step = p->step[2] * INGOT_BLOCK;

    (void)thread;
    for (int64_t i = begin; i < end; i++) {
        const int64_t block = i / (p->out[0] * p->out[1]);
        const int64_t z = p->first[0] + i / p->out[1] % p->out[0] * p->step[0],
                      y = p->first[1] + i % p->out[1] * p->step[1];
        const float *src = call->src + i * p->out[2] * INGOT_BLOCK;
        float *dst = call->dst + (((block * out[0] + z) * out[1] + y) * out[2] + p->first[2]) * INGOT_BLOCK;
        for (int64_t x = 0; x < p->out[2]; x++, src += INGOT_BLOCK, dst += step)
            memcpy(dst, src, INGOT_BLOCK * sizeof *dst);
    }
}

void ingot_conv_phases_run(ingot_op_ctx *c, const ingot_conv_phases *phases, const float *src, float *dst,
                           const ingot_epilogue *epilogue, char *scratch)
{
    const int64_t blocks = phases->batch * ((phases->oc + INGOT_BLOCK - 1) / INGOT_BLOCK);

    for (int i = 0; i < phases->n; i++) {
        const ingot_conv_phase *p = &phases->list[i];
        lay_call call = { phases, p, (float *)(void *)scratch, dst };
        float *result = phases->n == 1 ? dst : (float *)(void *)scratch;
        ingot_conv_blocked_run(c, &p->conv, src, NULL, result, epilogue, NULL);
        if (phases->n > 1)
            ingot_parallel(c->team, blocks * p->out[0] * p->out[1], 1 + 1024 / p->out[2], lay_rows, &call);
    }
}
