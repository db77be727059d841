/* test_conv_mix.c - convolutions that only mix the channels of a source which is made ready on the way. */
#include "check_conv.h"

/* The bits are those of the ordinary kernel on a source that was made ready before: pixels that the stride leaves,
 * normalized, through an activation. In two calls, of which the second may find its source in scratch memory. */
static void check_mix(const ingot_kernels *k, int ic, int oc, int height, int width, int stride, bool normalizes)
{
    const int64_t in = (int64_t)height * width, rows = (height - 1) / stride + 1, columns = (width - 1) / stride + 1;
    const int64_t out = rows * columns, blocks = 2 * blocks_of(ic), n_src = blocks * 8 * in, n_ready = blocks * 8 * out;
    const int64_t n_dst = 2 * blocks_of(oc) * 8 * out, n_weights = (int64_t)ic * oc, n_parameters = 12 * blocks;
    const ingot_conv d = { .n = 2, .groups = 1, .ic = ic, .oc = oc, .in = { 1, height, width },
                           .out = { 1, rows, columns }, .kernel = ONES, .stride = { 1, stride, stride },
                           .dilation = ONES };
    ingot_conv plain = d;
    float *src = check_randoms(n_src), *ready = check_floats(n_ready), *parameters = check_randoms(n_parameters);
    float *dst = check_floats(n_dst), *want = check_floats(n_dst), *weights = check_randoms(n_weights);
    const int64_t n_packed = k->conv_packed_f32(&d), n_scratch = k->conv_mix_scratch_f32(&d);
    float *packed = check_floats(n_packed), *scratch = check_floats(n_scratch);
    const ingot_prologue first = { parameters, { .act = INGOT_ACT_RELU } };
    const ingot_epilogue e = { .act = INGOT_ACT_RELU };
    const int64_t items = k->conv_mix_items_f32(&d);
    char what[128];
    int64_t held = -1;

    snprintf(what, sizeof what, "mix %s %d->%d %dx%d/%d", k->isa, ic, oc, height, width, stride);
    for (int64_t b = 0; b < blocks; b++) {
        float *to = ready + b * out * 8, *p = parameters + b % (blocks / 2) * 24;

        for (int64_t i = 0; i < out; i++)
            memcpy(to + 8 * i, src + 8 * (b * in + i / columns * stride * width + i % columns * stride), 32);
        if (normalizes) {
            k->scale_shift_blocked_f32(to, to, out, p, p + 8, p + 16);
            k->act_rows_f32(to, 0, 1, out * 8, &first.act);
        }
    }
    plain.in[1] = rows, plain.in[2] = columns;
    plain.stride[1] = plain.stride[2] = 1;
    pack_direct(k, &d, packed, weights);
    k->conv_f32(&plain, packed, ready, want, &e, 0, k->conv_items_f32(&plain));
    k->conv_mix_f32(&d, normalizes ? &first : NULL, packed, src, dst, &e, scratch, &held, items / 3, items);
    k->conv_mix_f32(&d, normalizes ? &first : NULL, packed, src, dst, &e, scratch, &held, 0, items / 3);
    for (int64_t i = 0; i < n_dst; i++)
        check_near(dst[i], (double)want[i], 0, what, i);
    check_free(src, n_src, what), check_free(ready, n_ready, what), check_free(parameters, n_parameters, what);
    check_free(dst, n_dst, what), check_free(want, n_dst, what), check_free(weights, n_weights, what);
    check_free(packed, n_packed, what), check_free(scratch, n_scratch, what);
}

/* Patches of a row-major source: the bits are those of the ordinary kernel. Sizes of patches, and of the steps from one
 * to the next; a source that ends within a patch. */
static void check_patches(const ingot_kernels *k, int ic, int oc, const int64_t patch[3], const int64_t step[3],
                          const int64_t out[3])
{
    ingot_conv d = { .n = 2, .groups = 1, .ic = ic, .oc = oc, .dilation = ONES, .plain_src = true };
    int64_t taps = 1, pixels = 1, in = 1, held = -1;
    char what[128];

    for (int i = 0; i < 3; i++) {
        d.kernel[i] = patch[i], d.stride[i] = step[i], d.out[i] = out[i];
        d.in[i] = out[i] * step[i] + step[i] / 2;
        taps *= patch[i], pixels *= out[i], in *= d.in[i];
    }
    const int64_t n_src = 2 * ic * in, n_dst = 2 * blocks_of(oc) * 8 * pixels, n_weights = ic * oc * taps;
    const int64_t n_packed = k->conv_packed_f32(&d), n_scratch = k->conv_mix_scratch_f32(&d);
    float *src = check_randoms(n_src), *dst = check_floats(n_dst), *want = check_floats(n_dst);
    float *weights = check_randoms(n_weights), *bias = check_randoms(oc), *packed = check_floats(n_packed);
    float *scratch = check_floats(n_scratch);
    const ingot_epilogue e = { .act = INGOT_ACT_RELU, .bias = bias };
    const int64_t items = k->conv_mix_items_f32(&d);

    snprintf(what, sizeof what, "patches %s %d->%d of %dx%dx%d", k->isa, ic, oc, (int)patch[0], (int)patch[1],
             (int)patch[2]);
    pack_direct(k, &d, packed, weights);
    k->conv_f32(&d, packed, src, want, &e, 0, k->conv_items_f32(&d));
    k->conv_mix_f32(&d, NULL, packed, src, dst, &e, scratch, &held, items / 3, items);
    k->conv_mix_f32(&d, NULL, packed, src, dst, &e, scratch, &held, 0, items / 3);
    for (int64_t i = 0; i < n_dst; i++)
        check_near(dst[i], (double)want[i], 0, what, i);
    check_free(src, n_src, what), check_free(dst, n_dst, what), check_free(want, n_dst, what);
    check_free(weights, n_weights, what), check_free(bias, oc, what), check_free(packed, n_packed, what);
    check_free(scratch, n_scratch, what);
}

/* Rows of patches that are several blocks, one, half of one, and neither; gaps between them; depth; many bands. Not
 * those that overlap, fill no blocks, or have one number. */
static void check_all_patches(const ingot_kernels *k)
{
    static const int64_t row[3] = { 1, 1, 1 };
    ingot_conv no = { .n = 1, .groups = 1, .ic = 3, .oc = 8, .in = { 1, 12, 12 }, .out = { 1, 3, 3 },
                      .kernel = { 1, 4, 4 }, .stride = { 1, 4, 4 }, .dilation = ONES, .plain_src = true };

    check_patches(k, 3, 70, (int64_t[]){ 1, 16, 16 }, (int64_t[]){ 1, 16, 16 }, (int64_t[]){ 1, 14, 13 });
    check_patches(k, 1, 9, (int64_t[]){ 1, 8, 8 }, (int64_t[]){ 1, 9, 10 }, (int64_t[]){ 1, 5, 31 });
    check_patches(k, 4, 64, (int64_t[]){ 1, 2, 2 }, (int64_t[]){ 1, 2, 2 }, (int64_t[]){ 1, 17, 33 });
    check_patches(k, 3, 40, (int64_t[]){ 1, 4, 4 }, (int64_t[]){ 1, 4, 4 }, (int64_t[]){ 1, 56, 50 });
    check_patches(k, 2, 33, (int64_t[]){ 2, 4, 6 }, (int64_t[]){ 2, 4, 6 }, (int64_t[]){ 3, 4, 5 });
    check_patches(k, 3, 24, (int64_t[]){ 2, 3, 12 }, (int64_t[]){ 3, 4, 13 }, (int64_t[]){ 2, 2, 9 });
    check_patches(k, 4, 8, (int64_t[]){ 1, 1, 10 }, (int64_t[]){ 1, 1, 10 }, (int64_t[]){ 1, 1, 40 });
    if (!k->conv_mix_scratch_f32(&no))
        check_fail("patches %s: nothing for 4x4", k->isa);
    no.stride[2] = 3;
    if (k->conv_mix_scratch_f32(&no))
        check_fail("patches %s: they overlap", k->isa);
    no.stride[2] = 4, no.ic = 1, no.kernel[1] = 3;
    if (k->conv_mix_scratch_f32(&no))
        check_fail("patches %s: half of a block", k->isa);
    no.ic = 8, memcpy(no.kernel, row, sizeof row);
    if (k->conv_mix_scratch_f32(&no))
        check_fail("patches %s: of one number", k->isa);
}

/* Bands and tiles of all sorts; and convolutions that do more than mix channels, or have groups. */
static void check_mixes(const ingot_kernels *k)
{
    ingot_conv no = { .n = 1, .groups = 1, .ic = 8, .oc = 8, .in = { 1, 9, 9 }, .out = { 1, 9, 9 }, .kernel = ONES,
                      .stride = ONES, .dilation = ONES };

    for (int normalizes = 0; normalizes < 2; normalizes++) {
        check_mix(k, 8, 8, 1, 1, 1, normalizes);
        check_mix(k, 16, 64, 7, 7, 2, normalizes);
        check_mix(k, 16, 80, 14, 14, 2, normalizes);
        check_mix(k, 19, 35, 23, 20, 1, normalizes);
        check_mix(k, 100, 72, 29, 31, 2, normalizes);
        check_mix(k, 5, 13, 41, 17, 3, normalizes);
        check_mix(k, 640, 40, 15, 16, 1, normalizes);
    }
    if (!k->conv_mix_scratch_f32(&no))
        check_fail("mix %s: nothing for a 1x1 convolution", k->isa);
    no.groups = 2;
    if (k->conv_mix_scratch_f32(&no))
        check_fail("mix %s: groups", k->isa);
    no.groups = no.pad[2] = 1, no.out[2] = 11;
    if (k->conv_mix_scratch_f32(&no))
        check_fail("mix %s: padding", k->isa);
}

static void test(const ingot_kernels *k)
{
    check_mixes(k);
    check_all_patches(k);
}

int main(void) { return check_every_isa(test, false); }
