/* deconv.c - transposed f32 convolution, blocked, as ordinary convolutions.
 *
 * Along an axis, output o takes tap k from input i where o + pad = i * stride + k * dilation. Outputs that are equal
 * modulo the stride, a phase, meet the same taps: every (stride / g)-th from some first one on, g being the greatest
 * common divisor of stride and dilation. Seen from one of them to the next, inputs advance by one; seen from tap to
 * tap, they go back by dilation / g. So each phase is a convolution of stride 1 with its taps reversed, whose outputs
 * lie `stride` apart. Work items and units of weights are those of all phases in a row. With m, phases are done
 * in Winograd's way by tiles of m x m. Few output channels go another way, deconv_few.c's. */
#include "ops/kernels/conv_direct.h"
#include "ops/kernels/deconv_few.h"
#include "ops/kernels/winograd.h"

enum {
    MOST_SOON = 32 * 1024,              /* floats of the next phase's weights to fetch */
    PARTS = 4,                          /* that all phases pass over one after the other */
};

/* The convolution of one phase. Weights are [ic][oc / groups][kernel...]. */
typedef struct phase {
    ingot_conv conv;
    conv_place place;
    int64_t tap_first[3], tap_step[3];  /* in the weights, the last tap first */
} phase;

/* The greatest common divisor of two positive numbers. */
static int64_t gcd(int64_t a, int64_t b)
{
    while (b) {
        const int64_t rest = a % b;
        a = b;
        b = rest;
    }
    return a;
}

/* With a stride past the output, some phases would have no outputs. */
static int64_t phases_along(const ingot_conv *d, int axis) { return min64(d->stride[axis], d->out[axis]); }

/* Phases of all three axes together. */
static int64_t count_phases(const ingot_conv *d)
{
    return phases_along(d, 0) * phases_along(d, 1) * phases_along(d, 2);
}

/* Outputs r, r + stride, ... of an axis. */
static void phase_axis(const ingot_conv *d, int axis, int64_t r, phase *p)
{
    const int64_t stride = d->stride[axis], dilation = d->dilation[axis], g = gcd(stride, dilation);
    int64_t k = 0, taps = 0;

    /* the first tap that meets an input at all, if there is one */
    while (k < stride / g && (r + d->pad[axis] - k * dilation) % stride)
        k++;
    if (k < stride / g && k < d->kernel[axis])
        taps = (d->kernel[axis] - 1 - k) / (stride / g) + 1;

    /* where the phase's first output finds the input of its last tap, which comes first in the convolution */
    const int64_t last = taps ? (r + d->pad[axis] - k * dilation) / stride - (taps - 1) * (dilation / g) : 0;
    p->conv.out[axis] = ceil_div(d->out[axis] - r, stride);
    p->conv.kernel[axis] = taps;
    p->conv.stride[axis] = 1;
    p->conv.dilation[axis] = dilation / g;
    p->conv.pad[axis] = -last;          /* negative where the first output starts inside the source */
    p->place.size[axis] = d->out[axis];
    p->place.first[axis] = r;
    p->place.step[axis] = stride;
    p->tap_first[axis] = k + (taps - 1) * (stride / g);
    p->tap_step[axis] = -(stride / g);
}

/* Phase `index` of all, the last axis running fastest. */
static phase phase_at(const ingot_conv *d, int64_t index)
{
    phase p = { .conv = *d };

    phase_axis(d, 2, index % phases_along(d, 2), &p);
    phase_axis(d, 1, index / phases_along(d, 2) % phases_along(d, 1), &p);
    phase_axis(d, 0, index / phases_along(d, 2) / phases_along(d, 1), &p);
    return p;
}

/* Units to pack. All phases have the same channels, hence the same number of units. */
int64_t INGOT_FN(deconv_units_f32)(const ingot_conv *d)
{
    return INGOT_FN(deconv_few_fits)(d) ? 1 : count_phases(d) * INGOT_FN(conv_units_f32)(d);
}

/* The tiles that all phases can be done by, or 0, as winograd_choose_f32 says it of each. */
int INGOT_FN(deconv_choose_f32)(const ingot_conv *d, bool wherever_possible)
{
    const int64_t n = count_phases(d);
    int m = INGOT_FN(deconv_few_fits)(d) ? 0 : 4;

    for (int64_t i = 0; i < n && m > 0; i++) {
        const phase p = phase_at(d, i);
        const int own = INGOT_FN(winograd_choose_f32)(&p.conv, wherever_possible);
        m = own < m ? own : m;
    }
    return m;
}

/* Floats of a phase's weights. */
static int64_t phase_floats(const phase *p, int m)
{
    return m ? INGOT_FN(winograd_packed_f32)(&p->conv, m) : INGOT_FN(conv_packed_f32)(&p->conv);
}

/* Floats of all phases' weights. */
int64_t INGOT_FN(deconv_packed_f32)(const ingot_conv *d, int m)
{
    int64_t floats = 0;

    if (INGOT_FN(deconv_few_fits)(d))
        return INGOT_FN(deconv_few_packed)(d);
    for (int64_t i = 0, n = count_phases(d); i < n; i++) {
        const phase p = phase_at(d, i);
        floats += phase_floats(&p, m);
    }
    return floats;
}

/* Floats of scratch memory, which Winograd's way needs: for the largest of the phases. */
int64_t INGOT_FN(deconv_scratch_f32)(const ingot_conv *d, int m)
{
    int64_t floats = 0;

    for (int64_t i = 0, n = m ? count_phases(d) : 0; i < n; i++) {
        const phase p = phase_at(d, i);
        floats = max64(floats, INGOT_FN(winograd_scratch_f32)(&p.conv, m));
    }
    return floats;
}

/* Items of a phase. */
static int64_t phase_items(const phase *p, int m)
{
    return m ? INGOT_FN(winograd_items_f32)(&p->conv, m) : INGOT_FN(conv_place_items)(&p->conv, &p->place);
}

/* Items of all phases in a row; their outputs are of different sizes, so each phase says how many it has. */
int64_t INGOT_FN(deconv_items_f32)(const ingot_conv *d, int m)
{
    int64_t items = 0;

    if (INGOT_FN(deconv_few_fits)(d))
        return INGOT_FN(deconv_few_items)(d);
    for (int64_t i = 0, n = count_phases(d); i < n; i++) {
        const phase p = phase_at(d, i);
        items += phase_items(&p, m);
    }
    return items;
}

/* The phases' weights one after the other; each finds its taps in the weights by steps of its own. */
void INGOT_FN(deconv_pack_f32)(const ingot_conv *d, int m, float *packed, const float *weights, int64_t u0,
                               int64_t u1)
{
    const int64_t units = INGOT_FN(conv_units_f32)(d), oc = d->oc / d->groups;
    const int64_t tap[3] = { d->kernel[1] * d->kernel[2], d->kernel[2], 1 }, taps = d->kernel[0] * tap[0];

    if (INGOT_FN(deconv_few_fits)(d)) {
        if (u0 < u1)
            INGOT_FN(deconv_few_pack)(d, packed, weights);
        return;
    }
    for (int64_t i = 0, n = count_phases(d); i < n; i++) {
        const phase p = phase_at(d, i);
        const int64_t from = max64(0, u0 - i * units), to = min64(units, u1 - i * units);
        conv_weights w = { .first = weights, .group = d->ic / d->groups * oc * taps, .oc = taps, .ic = oc * taps };

        for (int axis = 0; axis < 3; axis++) {
            w.first += p.tap_first[axis] * tap[axis];
            w.tap[axis] = p.tap_step[axis] * tap[axis];
        }
        if (from < to && m)
            INGOT_FN(winograd_pack_view)(&p.conv, m, packed, &w, from, to);
        else if (from < to)
            INGOT_FN(conv_pack_view)(&p.conv, packed, &w, from, to);
        packed += phase_floats(&p, m);
    }
}

/* A range of all items, and what they share. */
typedef struct deconv_job {
    const ingot_conv *d;
    int m;
    const float *src;
    float *dst, *scratch;
    const ingot_epilogue *e;
    int64_t *held;
    int64_t i0, i1;
} deconv_job;

/* Those of a phase's items [first, last) that are in the range, in which the first is number `at`. What the scratch
 * memory holds is a phase's own. `next`: weights of the next phase, which are fetched then; NULL: of the last, which
 * fetches what is read behind the convolution. */
static void run_phase(const deconv_job *j, const phase *p, const float *packed, const float *next, int64_t first,
                      int64_t last, int64_t at)
{
    const int64_t from = max64(first, j->i0 - at + first), to = min64(last, j->i1 - at + first);
    ingot_epilogue end = *j->e;

    if (next) {
        end.soon = next;
        end.n_soon = min64(MOST_SOON, next - packed);
    }
    if (from < to && j->m) {
        int64_t own = *j->held - at;
        INGOT_FN(winograd_place_run)(&p->conv, j->m, &p->place, packed, j->src, j->dst, &end, j->scratch, &own, from,
                                     to);
        *j->held = own + at;
    } else if (from < to) {
        INGOT_FN(conv_place_run)(&p->conv, &p->place, packed, j->src, j->dst, &end, from, to);
    }
}

/* Do all phases have one tap, and as many outputs as there are inputs? */
static bool mixes_channels(const ingot_conv *d)
{
    bool mixes = d->groups == 1;

    for (int i = 0; i < 3; i++)
        mixes &= d->kernel[i] == d->stride[i] && d->pad[i] == 0 && d->dilation[i] == 1 &&
                 d->out[i] == d->in[i] * d->stride[i];
    return mixes;
}

/* Items [i0, i1) may begin in one phase and end in another. Phases that only mix channels have the same items, which
 * are cut into PARTS: all phases pass over one before the next. */
void INGOT_FN(deconv_f32)(const ingot_conv *d, int m, const float *packed, const float *src, float *dst,
                          const ingot_epilogue *e, float *scratch, int64_t *held, int64_t i0, int64_t i1)
{
    const deconv_job j = { d, m, src, dst, scratch, e, held, i0, i1 };
    const int64_t n = count_phases(d);

    if (INGOT_FN(deconv_few_fits)(d)) {
        INGOT_FN(deconv_few_run)(d, packed, src, dst, e, i0, i1);
        return;
    }
    if (!m && n > 0 && mixes_channels(d)) {
        const phase one = phase_at(d, 0);
        const int64_t units = INGOT_FN(conv_units_f32)(d), bands = phase_items(&one, 0) / units;
        const int64_t floats = phase_floats(&one, 0);
        for (int64_t part = 0; part < PARTS; part++) {
            const int64_t first = bands * part / PARTS * units, last = bands * (part + 1) / PARTS * units;
            for (int64_t i = 0, at = first * n; i < n && at < i1; i++, at += last - first) {
                if (at + last - first <= i0)
                    continue;
                const phase p = phase_at(d, i);
                const float *own = packed + i * floats;
                run_phase(&j, &p, own, i + 1 < n ? own + floats : NULL, first, last, at);
            }
        }
        return;
    }
    for (int64_t i = 0, at = 0; i < n && at < i1; i++) {
        const phase p = phase_at(d, i);
        const int64_t items = phase_items(&p, m);
        const float *next = packed + phase_floats(&p, m);

        run_phase(&j, &p, packed, i + 1 < n ? next : NULL, 0, items, at);
        packed = next;
        at += items;
    }
}
