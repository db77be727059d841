/* test_conv.c - convolutions into blocked channels against the definition, over shapes that cross every tile edge. */
#include "check_conv.h"

/* `in` is the source's size, except for transposed convolutions, where it is the result's. The list has what
 * networks use and, for each way that the kernel can take, sizes at which that way begins or ends: widths around the
 * tiles', channels that fill no block, groups that are merged, taps that fall outside. */
static const conv_case cases[] = {
    { "3x3", 1, 1, 16, 40, { 1, 9, 23 }, { 1, 3, 3 }, ONES, ONES, { 0, 1, 1 }, { 0, 1, 1 }, false },
    { "3x3 batch", 3, 1, 8, 8, { 1, 7, 7 }, { 1, 3, 3 }, ONES, ONES, { 0, 1, 1 }, { 0, 1, 1 }, false },
    { "3x3 no padding", 1, 1, 8, 16, { 1, 6, 17 }, { 1, 3, 3 }, ONES, ONES, NONE, NONE, false },
    { "3x3 stride 2", 2, 1, 24, 24, { 1, 15, 30 }, { 1, 3, 3 }, { 1, 2, 2 }, ONES, { 0, 1, 1 }, { 0, 1, 1 }, false },
    { "3x3 stride 2 odd pads", 1, 1, 8, 56, { 1, 14, 14 }, { 1, 3, 3 }, { 1, 2, 2 }, ONES, NONE, { 0, 1, 1 }, false },
    { "3x3 to rows of 7", 2, 1, 24, 72, { 1, 15, 14 }, { 1, 3, 3 }, { 1, 2, 2 }, ONES, { 0, 1, 1 }, { 0, 1, 1 },
      false },
    { "4x5 to rows of 7", 1, 2, 32, 80, { 1, 11, 9 }, { 1, 4, 5 }, { 1, 2, 1 }, ONES, { 0, 2, 1 }, { 0, 0, 1 }, false },
    { "3x3 dilation 2", 1, 1, 8, 8, { 1, 12, 13 }, { 1, 3, 3 }, ONES, { 1, 2, 2 }, { 0, 2, 2 }, { 0, 2, 2 }, false },
    { "3x3 dilation 7", 1, 1, 8, 8, { 1, 9, 10 }, { 1, 3, 3 }, ONES, { 1, 7, 7 }, { 0, 7, 7 }, { 0, 7, 7 }, false },
    { "5x5", 1, 1, 8, 32, { 1, 8, 27 }, { 1, 5, 5 }, ONES, ONES, { 0, 2, 2 }, { 0, 2, 2 }, false },
    { "1x1", 2, 1, 32, 72, { 1, 9, 11 }, ONES, ONES, ONES, NONE, NONE, false },
    { "1x1 odd units", 1, 1, 24, 80, { 1, 7, 7 }, ONES, ONES, ONES, NONE, NONE, false },
    { "1x1 odd units, less", 1, 1, 24, 72, { 1, 4, 5 }, ONES, ONES, ONES, NONE, NONE, false },
    { "1x1 odd channels", 2, 1, 58, 58, { 1, 7, 9 }, ONES, ONES, ONES, NONE, NONE, false },
    { "1x1 odd channels in parts", 1, 1, 2090, 19, { 1, 5, 7 }, ONES, ONES, ONES, NONE, NONE, false },
    { "1x1 one pixel", 1, 1, 40, 19, { 1, 1, 1 }, ONES, ONES, ONES, NONE, NONE, false },
    { "1x1 stride 2", 1, 1, 16, 16, { 1, 9, 14 }, ONES, { 1, 2, 2 }, ONES, NONE, NONE, false },
    { "1x1 padded", 1, 1, 8, 8, { 1, 3, 4 }, ONES, ONES, ONES, { 0, 1, 2 }, { 0, 2, 1 }, false },
    { "1x7", 1, 1, 8, 8, { 1, 5, 19 }, { 1, 1, 7 }, ONES, ONES, { 0, 0, 3 }, { 0, 0, 3 }, false },
    { "7x1", 1, 1, 8, 8, { 1, 5, 19 }, { 1, 7, 1 }, ONES, ONES, { 0, 3, 0 }, { 0, 3, 0 }, false },
    { "1-D", 1, 1, 16, 16, { 1, 1, 50 }, { 1, 1, 4 }, { 1, 1, 3 }, ONES, { 0, 0, 1 }, { 0, 0, 2 }, false },
    { "3-D", 1, 1, 8, 16, { 5, 6, 7 }, { 3, 3, 3 }, { 1, 2, 1 }, ONES, ONES, ONES, false },
    { "3-D stride 2 dilation 2", 1, 1, 8, 8, { 7, 6, 9 }, { 2, 3, 2 }, { 2, 1, 2 }, { 2, 1, 2 }, ONES, ONES, false },
    { "weights in parts", 1, 1, 309, 40, { 1, 9, 17 }, { 1, 3, 3 }, ONES, ONES, { 0, 1, 1 }, { 0, 1, 1 }, false },
    { "weights in parts, 1x1", 2, 1, 2056, 24, { 1, 3, 9 }, ONES, ONES, ONES, NONE, NONE, false },
    { "odd channels", 1, 1, 11, 13, { 1, 6, 8 }, { 1, 3, 3 }, ONES, ONES, { 0, 1, 1 }, { 0, 1, 1 }, false },
    { "groups", 1, 2, 32, 48, { 1, 6, 15 }, { 1, 3, 3 }, ONES, ONES, { 0, 1, 1 }, { 0, 1, 1 }, false },
    { "groups of 4", 1, 8, 32, 32, { 1, 6, 9 }, { 1, 3, 3 }, ONES, ONES, { 0, 1, 1 }, { 0, 1, 1 }, false },
    { "groups of 4 to 2", 2, 4, 16, 8, { 1, 6, 9 }, { 1, 3, 3 }, ONES, ONES, { 0, 1, 1 }, { 0, 1, 1 }, false },
    { "groups of 16 to rows of 7", 2, 3, 48, 48, { 1, 7, 7 }, { 1, 3, 3 }, ONES, ONES, { 0, 1, 1 }, { 0, 1, 1 },
      false },
    { "groups of 16, no padding", 1, 2, 32, 32, { 1, 9, 9 }, { 1, 3, 3 }, ONES, ONES, NONE, NONE, false },
    { "groups of 16 to rows of 14", 1, 2, 32, 32, { 1, 6, 14 }, { 1, 3, 3 }, ONES, ONES, { 0, 1, 1 }, { 0, 1, 1 },
      false },
    { "groups of 16, stride 2", 1, 2, 32, 24, { 1, 9, 55 }, { 1, 3, 3 }, { 1, 2, 2 }, ONES, { 0, 1, 1 }, { 0, 1, 1 },
      false },
    { "groups of 16, stride 2 even", 1, 2, 48, 32, { 1, 4, 28 }, { 1, 3, 3 }, { 1, 2, 2 }, ONES, { 0, 1, 1 },
      { 0, 1, 0 }, false },
    { "groups of 16, padded left", 1, 2, 32, 32, { 1, 5, 8 }, { 1, 2, 3 }, ONES, ONES, { 0, 0, 1 }, NONE, false },
    { "groups of 16, 3x3x3", 1, 2, 32, 32, { 4, 5, 7 }, { 3, 3, 3 }, ONES, ONES, ONES, ONES, false },
    { "groups of 3", 1, 5, 15, 20, { 1, 6, 9 }, { 1, 3, 3 }, ONES, ONES, { 0, 1, 1 }, { 0, 1, 1 }, false },
    { "depthwise times 2", 1, 16, 16, 32, { 1, 6, 9 }, { 1, 3, 3 }, ONES, ONES, { 0, 1, 1 }, { 0, 1, 1 }, false },
    { "first layer", 2, 1, 3, 32, { 1, 20, 33 }, { 1, 7, 7 }, { 1, 2, 2 }, ONES, { 0, 3, 3 }, { 0, 3, 3 }, true },
    { "first layer 3x3", 1, 1, 3, 24, { 1, 16, 16 }, { 1, 3, 3 }, { 1, 2, 2 }, ONES, { 0, 1, 1 }, { 0, 1, 1 }, true },
    { "one channel", 1, 1, 1, 16, { 1, 16, 19 }, { 1, 3, 3 }, ONES, ONES, { 0, 1, 1 }, { 0, 1, 1 }, true },
    { "first layer 3x3x3", 2, 1, 2, 24, { 4, 7, 45 }, { 3, 3, 3 }, { 1, 2, 1 }, ONES, ONES, ONES, true },
    { "first layer dilated", 1, 1, 3, 72, { 3, 13, 31 }, { 2, 3, 5 }, { 2, 1, 3 }, { 1, 2, 3 }, { 1, 2, 4 }, ONES,
      true },
    { "first layer 11x11", 1, 1, 3, 40, { 1, 30, 57 }, { 1, 11, 11 }, { 1, 4, 4 }, ONES, { 0, 2, 2 }, { 0, 2, 2 },
      true },
    { "first layer strips", 1, 1, 4, 16, { 1, 9, 1203 }, { 1, 7, 3 }, ONES, ONES, { 0, 3, 1 }, { 0, 3, 1 }, true },
    { "first layer 1-D", 2, 1, 1, 19, { 1, 1, 977 }, { 1, 1, 10 }, { 1, 1, 2 }, ONES, { 0, 0, 4 }, { 0, 0, 5 }, true },
    { "first layer tall", 1, 1, 1, 8, { 1, 400, 1 }, { 1, 5, 3 }, ONES, ONES, { 0, 0, 1 }, { 0, 0, 1 }, true },
    { "first layer far pads", 1, 1, 1, 8, { 2, 3, 40 }, { 1, 2, 3 }, { 1, 2, 2 }, ONES, { 1, 3, 9 }, { 1, 2, 60 },
      true },
    { "wide first layer", 1, 1, 4, 8, { 1, 17, 40 }, { 1, 9, 15 }, { 1, 1, 2 }, ONES, { 0, 4, 7 }, { 0, 4, 7 }, true },
    { "plain groups", 1, 3, 6, 24, { 1, 8, 9 }, { 1, 3, 3 }, ONES, ONES, { 0, 1, 1 }, { 0, 1, 1 }, true },
    { "plain patches", 1, 1, 3, 24, { 1, 32, 48 }, { 1, 16, 16 }, { 1, 16, 16 }, ONES, NONE, NONE, true },
    { "taps all outside", 1, 1, 8, 8, { 1, 2, 2 }, { 1, 3, 3 }, ONES, { 1, 5, 5 }, { 0, 8, 8 }, { 0, 8, 8 }, false },
    { "narrow 3x3", 2, 1, 67, 64, { 1, 7, 7 }, { 1, 3, 3 }, ONES, ONES, { 0, 1, 1 }, { 0, 1, 1 }, false },
    { "narrow dilated", 1, 1, 64, 32, { 1, 9, 8 }, { 1, 2, 3 }, ONES, { 1, 3, 2 }, { 0, 4, 1 }, { 0, 0, 5 }, false },
    { "narrow unpadded", 1, 1, 64, 32, { 1, 6, 3 }, { 1, 3, 2 }, ONES, ONES, NONE, NONE, false },
    { "narrow and tall", 16, 1, 64, 32, { 1, 17, 8 }, { 1, 1, 3 }, ONES, ONES, NONE, { 0, 0, 2 }, false },
    { "narrow, outside", 1, 1, 64, 32, { 1, 2, 2 }, { 1, 3, 3 }, ONES, { 1, 5, 5 }, { 0, 8, 8 }, { 0, 8, 8 }, false },
    { "many pixels", 1, 1, 8, 64, { 1, 61, 67 }, ONES, ONES, ONES, NONE, NONE, false },
    { "1x1 short ends", 2, 1, 20, 24, { 1, 7, 14 }, ONES, ONES, ONES, NONE, NONE, false },
    { "1x1 short ends, one vector", 1, 1, 24, 70, { 1, 2, 14 }, ONES, ONES, ONES, NONE, NONE, false },
    { "1x1 short ends, all of one", 1, 1, 9, 5, { 1, 2, 28 }, ONES, ONES, ONES, NONE, NONE, false },
};

/* One filter for each channel: rows that fit the buffer, rows in strips, rows read in place but for their ends
 * (wide, with a stride), windows with holes, and what takes the general way: depth, and large windows. */
static const conv_case depthwise_cases[] = {
    {"dw 3x3", 2, 24, 24, 24, {1, 14, 14}, {1, 3, 3}, ONES, ONES, {0, 1, 1}, {0, 1, 1}, false},
    {"dw 3x3 wide", 1, 8, 8, 8, {1, 40, 113}, {1, 3, 3}, ONES, ONES, {0, 1, 1}, {0, 1, 1}, false},
    {"dw 3x3 strips", 1, 8, 8, 8, {1, 5, 700}, {1, 3, 3}, ONES, ONES, {0, 1, 1}, {0, 1, 1}, false},
    {"dw 3x3 stride 2", 1, 19, 19, 19, {1, 15, 112}, {1, 3, 3}, {1, 2, 2}, ONES, {0, 1, 1}, {0, 1, 1}, false},
    {"dw 3x3 wide stride 2", 1, 8, 8, 8, {1, 9, 113}, {1, 3, 3}, {1, 2, 2}, ONES, {0, 1, 1}, {0, 1, 1}, false},
    {"dw 5x5 wide stride 2", 1, 8, 8, 8, {1, 6, 100}, {1, 5, 5}, {1, 2, 2}, ONES, {0, 2, 2}, {0, 2, 2}, false},
    {"dw 7x7 wide stride 7", 1, 8, 8, 8, {1, 6, 400}, {1, 7, 7}, {1, 7, 7}, ONES, {0, 6, 6}, {0, 6, 6}, false},
    {"dw 4x4 wide stride 2", 1, 8, 8, 8, {1, 5, 120}, {1, 4, 4}, {1, 1, 2}, ONES, {0, 9, 3}, {0, 7, 12}, false},
    {"dw 2x2 wide far pads", 1, 8, 8, 8, {1, 3, 100}, {1, 2, 2}, {1, 2, 2}, ONES, {0, 1, 40}, {0, 1, 2}, false},
    {"dw 3x3 pad after", 1, 8, 8, 8, {1, 14, 14}, {1, 3, 3}, {1, 2, 2}, ONES, NONE, {0, 1, 1}, false},
    {"dw 5x5", 1, 16, 16, 16, {1, 7, 7}, {1, 5, 5}, ONES, ONES, {0, 2, 2}, {0, 2, 2}, false},
    {"dw 5x5 stride 2", 1, 16, 16, 16, {1, 14, 14}, {1, 5, 5}, {1, 2, 2}, ONES, {0, 2, 2}, {0, 2, 2}, false},
    {"dw 7x7", 1, 8, 8, 8, {1, 9, 21}, {1, 7, 7}, ONES, ONES, {0, 3, 3}, {0, 3, 3}, false},
    {"dw 9x9", 1, 8, 8, 8, {1, 9, 12}, {1, 9, 9}, ONES, ONES, {0, 4, 4}, {0, 4, 4}, false},
    {"dw dilation 2", 1, 8, 8, 8, {1, 9, 12}, {1, 3, 3}, ONES, {1, 2, 2}, {0, 2, 2}, {0, 2, 2}, false},
    {"dw 5x5 dilation 2", 2, 40, 40, 40, {1, 16, 16}, {1, 5, 5}, ONES, {1, 2, 2}, {0, 4, 4}, {0, 4, 4}, false},
    {"dw dilation 2 strips", 1, 8, 8, 8, {1, 12, 130}, {1, 3, 5}, ONES, {1, 2, 2}, {0, 2, 4}, {0, 2, 4}, false},
    {"dw dilated stride 2", 1, 24, 24, 24, {1, 9, 110}, {1, 3, 3}, {1, 2, 2}, {1, 2, 2}, {0, 2, 2}, {0, 2, 2}, false},
    {"dw dilation 3x1", 1, 8, 8, 8, {1, 22, 15}, {1, 3, 3}, ONES, {1, 3, 1}, {0, 3, 1}, {0, 3, 1}, false},
    {"dw dilation 1x3", 1, 8, 8, 8, {1, 9, 53}, {1, 3, 4}, {1, 1, 3}, {1, 1, 3}, {0, 1, 5}, {0, 1, 4}, false},
    {"dw dilation 12", 1, 8, 8, 8, {1, 14, 14}, {1, 3, 3}, ONES, {1, 12, 12}, {0, 12, 12}, {0, 12, 12}, false},
    {"dw dilation 32", 1, 8, 8, 8, {1, 70, 3}, {1, 3, 2}, ONES, {1, 32, 2}, {0, 32, 1}, {0, 32, 1}, false},
    {"dw dilation 40", 1, 8, 8, 8, {1, 50, 50}, {1, 2, 2}, ONES, {1, 40, 40}, {0, 20, 20}, {0, 20, 20}, false},
    {"dw stride 3 row", 1, 8, 8, 8, {1, 1, 40}, {1, 1, 5}, {1, 1, 3}, ONES, NONE, NONE, false},
    {"dw 3-D", 1, 8, 8, 8, {4, 5, 6}, {3, 3, 3}, {1, 2, 1}, ONES, ONES, ONES, false},
    {"dw outside", 1, 8, 8, 8, {1, 2, 2}, {1, 3, 3}, ONES, ONES, {0, 6, 6}, {0, 6, 6}, false},
};

static void pack_depthwise(const ingot_kernels *k, const ingot_conv *d, float *packed, const float *weights)
{
    k->dwconv_pack_f32(d, packed, weights);
}

/* Packed weights that are scaled are those that come from scaled weights. */
static void check_scale(const ingot_kernels *k, int ic, int oc, int taps)
{
    const ingot_conv d = { .n = 1, .groups = 1, .ic = ic, .oc = oc, .in = { 1, 1, 9 }, .out = { 1, 1, 10 - taps },
                           .kernel = { 1, 1, taps }, .stride = ONES, .dilation = ONES };
    const int64_t n_weights = (int64_t)ic * oc * taps, n_packed = k->conv_packed_f32(&d);
    float *weights = check_randoms(n_weights), *scale = check_randoms(ic);
    float *packed = check_floats(n_packed), *want = check_floats(n_packed), *got = check_floats(n_packed);

    pack_direct(k, &d, packed, weights);
    for (int64_t u = k->conv_units_f32(&d) - 1; u >= 0; u--)
        k->conv_scale_f32(&d, got, packed, scale, u, u + 1);
    for (int64_t i = 0; i < n_weights; i++)
        weights[i] *= scale[i / taps % ic];
    pack_direct(k, &d, want, weights);
    for (int64_t i = 0; i < n_packed; i++)
        check_near(got[i], (double)want[i], 0, "scaled weights", i);
    check_free(weights, n_weights, "scaled"), check_free(scale, ic, "scaled"), check_free(packed, n_packed, "scaled");
    check_free(want, n_packed, "scaled"), check_free(got, n_packed, "scaled");
}

/* Do first layers go by minimal filtering where that pays? With 16 lanes, where the processor splits vectors. */
static bool has_minimal(const ingot_kernels *k)
{
    return !strcmp(k->isa, "avx2") || (k->lanes == 16 && ingot_wide_is_split());
}

/* Minimal filtering of first layers: those of the list that have three taps in a row, and every width and padding, with
 * one to four channels and odd numbers of output channels. Held less tightly than the direct way, and more than the
 * same tiles in two dimensions. */
static void check_minimal(const ingot_kernels *k)
{
    const algorithm minimal = { false, 1.5e-6, k->conv_packed_f32, pack_direct, k->conv_items_f32, k->conv_f32, true };
    int taken = 0;

    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        const ingot_conv d = conv_of(&cases[i]);

        if (!k->conv_minimal_f32(&d, true))
            continue;
        taken++;
        const ending ends[] = { { INGOT_ACT_NONE, false, false }, { (ingot_act)(1 + i % INGOT_ACT_ELU), true, i % 2 } };
        check_conv(k, &minimal, 1, &cases[i], LIST(ends));
    }
    if (taken < 3)
        check_fail("minimal %s: takes %d of the first layers", k->isa, taken);
    for (int width = 1; width <= 70; width++)
        for (int pads = 0; pads < 4; pads++) {
            const conv_case row = { "minimal", 1 + width % 2, 1, 1 + width % 4, 3 + width * 5 % 70,
                                    { 1, 5, width + 2 - pads / 2 - pads % 2 }, { 1, 1 + width % 3, 3 }, ONES, ONES,
                                    { 0, 1, pads / 2 }, { 0, 2, pads % 2 }, true };
            const ingot_conv d = conv_of(&row);

            if (row.in[2] < 1)
                continue;
            if (d.out[2] != width || !k->conv_minimal_f32(&d, true))
                check_fail("minimal %s: not for width %d", k->isa, width);
            check_conv(k, &minimal, 1, &row, &(ending){ pads ? INGOT_ACT_RELU : INGOT_ACT_GELU, true, pads == 3 }, 1);
        }
}

/* What cannot be done so, or is not worth it. */
static void check_not_minimal(const ingot_kernels *k)
{
    static const conv_case others[] = {
        { "blocked", 1, 1, 3, 64, { 1, 32, 32 }, { 1, 3, 3 }, ONES, ONES, { 0, 1, 1 }, { 0, 1, 1 }, false },
        { "groups", 1, 2, 4, 64, { 1, 32, 32 }, { 1, 3, 3 }, ONES, ONES, { 0, 1, 1 }, { 0, 1, 1 }, true },
        { "stride", 1, 1, 3, 64, { 1, 32, 32 }, { 1, 3, 3 }, { 1, 1, 2 }, ONES, { 0, 1, 1 }, { 0, 1, 1 }, true },
        { "dilation", 1, 1, 3, 64, { 1, 32, 32 }, { 1, 3, 3 }, ONES, { 1, 1, 2 }, { 0, 1, 1 }, { 0, 1, 1 }, true },
        { "five taps", 1, 1, 3, 64, { 1, 32, 32 }, { 1, 3, 5 }, ONES, ONES, { 0, 1, 1 }, { 0, 1, 1 }, true },
        { "high", 1, 1, 4, 64, { 1, 90, 90 }, { 1, 40, 3 }, ONES, ONES, { 0, 1, 1 }, { 0, 1, 1 }, true },
    };
    const conv_case narrow = { "narrow", 1, 1, 3, 64, { 1, 32, 4 }, { 1, 3, 3 }, ONES, ONES, { 0, 1, 1 }, { 0, 1, 1 },
                               true };
    const ingot_conv d = conv_of(&narrow);

    for (size_t i = 0; i < sizeof others / sizeof *others; i++) {
        const ingot_conv other = conv_of(&others[i]);
        if (k->conv_minimal_f32(&other, true))
            check_fail("minimal %s: %s", k->isa, others[i].name);
    }
    if (k->conv_minimal_f32(&d, false) || k->conv_minimal_f32(&d, true) != has_minimal(k))
        check_fail("minimal %s: rows of four pixels are possible, and not worth it", k->isa);
}

/* Bands of rows in memory of their own hold the bits of the whole result. */
static void check_bands(const ingot_kernels *k, int ic, int oc, int height, int width, int stride, ingot_act act,
                        bool minimal)
{
    const int64_t rows = (height - 1) / stride + 1, columns = (width - 1) / stride + 1, out = rows * columns;
    const ingot_conv d = { .n = 1, .groups = 1, .ic = ic, .oc = oc, .in = { 1, height, width },
                           .out = { 1, rows, columns }, .kernel = { 1, 3, 3 }, .stride = { 1, stride, stride },
                           .dilation = ONES, .pad = { 0, 1, 1 }, .plain_src = true, .minimal = minimal };
    const int64_t n_src = (int64_t)ic * height * width, n_dst = blocks_of(oc) * 8 * out, band = rows / 3 + 1;
    const int64_t n_weights = (int64_t)oc * ic * 9, n_packed = k->conv_packed_f32(&d);
    float *src = check_randoms(n_src), *weights = check_randoms(n_weights), *bias = check_randoms(oc);
    float *packed = check_floats(n_packed), *want = check_floats(n_dst);
    const ingot_epilogue e = { .act = act, .bias = bias };

    pack_direct(k, &d, packed, weights);
    k->conv_f32(&d, packed, src, want, &e, 0, k->conv_items_f32(&d));
    for (int64_t y = 0; y < rows; y += band) {
        const int64_t n = y + band < rows ? band : rows - y, n_got = k->conv_band_floats_f32(&d, n);
        float *got = check_floats(n_got);

        if (n_got != blocks_of(oc) * 8 * n * columns)
            check_fail("bands %s: %lld floats", k->isa, (long long)n_got);
        k->conv_band_f32(&d, packed, src, got, n * columns * 8, &e, y, y + n);
        for (int64_t b = 0; b < blocks_of(oc); b++)
            if (memcmp(got + b * n * columns * 8, want + (b * out + y * columns) * 8, (size_t)(n * columns * 32)))
                check_fail("bands %s %d->%d %dx%d/%d: another result", k->isa, ic, oc, height, width, stride);
        check_free(got, n_got, "band");
    }
    check_free(src, n_src, "bands"), check_free(weights, n_weights, "bands"), check_free(bias, oc, "bands");
    check_free(packed, n_packed, "bands"), check_free(want, n_dst, "bands");
}

/* A 1x1 convolution and a depthwise one of its result, by the latter's sizes; ic of the former. */
typedef struct pair_case {
    const char *name;
    int n, ic, oc;
    int in[2], kernel[2], stride[2], before[2], after[2];
} pair_case;

/* Rings that hold a few rows or the whole band, bands for several items, units of one and of two vectors that are not
 * full, padding of any kind and none, sources of which the result does not see the end. */
static const pair_case pair_cases[] = {
    { "pair 3x3", 1, 16, 40, { 56, 56 }, { 3, 3 }, { 1, 1 }, { 1, 1 }, { 1, 1 } },
    { "pair 3x3 stride 2", 2, 8, 96, { 30, 112 }, { 3, 3 }, { 2, 2 }, { 1, 1 }, { 1, 1 } },
    { "pair 3x3 even stride 2", 1, 24, 24, { 15, 29 }, { 3, 3 }, { 2, 2 }, { 0, 0 }, { 1, 1 } },
    { "pair 5x5", 1, 11, 72, { 28, 28 }, { 5, 5 }, { 1, 1 }, { 2, 2 }, { 2, 2 } },
    { "pair 5x5 stride 2", 1, 40, 19, { 29, 31 }, { 5, 5 }, { 2, 2 }, { 2, 2 }, { 2, 2 } },
    { "pair 7x7", 1, 8, 8, { 20, 23 }, { 7, 7 }, { 1, 1 }, { 3, 3 }, { 3, 3 } },
    { "pair 3x5 no padding", 1, 16, 16, { 4, 40 }, { 3, 5 }, { 1, 1 }, { 0, 0 }, { 0, 0 } },
    { "pair one row", 3, 8, 48, { 1, 33 }, { 3, 3 }, { 1, 1 }, { 1, 1 }, { 1, 1 } },
    { "pair odd strides", 1, 8, 32, { 21, 44 }, { 3, 4 }, { 3, 2 }, { 2, 0 }, { 0, 3 } },
    { "pair high", 1, 8, 8, { 150, 20 }, { 3, 3 }, { 1, 1 }, { 1, 1 }, { 1, 1 } },
};

/* The two kernels one after the other; what lies in between is given back. */
static float *run_apart(const ingot_kernels *k, const ingot_pair *x, const float *src, float *dst)
{
    const int64_t n = x->mix.n * pixels_of(x->mix.out) * blocks_of(x->mix.oc) * 8;
    float *middle = check_floats(n);

    k->conv_f32(&x->mix, x->mix_packed, src, middle, &x->mix_end, 0, k->conv_items_f32(&x->mix));
    k->dwconv_f32(&x->depthwise, x->depthwise_packed, middle, dst, &x->depthwise_end, 0,
                  k->dwconv_items_f32(&x->depthwise));
    check_free(middle, n, "pair apart");
    return dst;
}

/* The pair must give what its two kernels give, whatever the items' order and however they are cut into ranges. */
static void check_pair(const ingot_kernels *k, const pair_case *t, ingot_act act)
{
    ingot_pair x = { 0 };
    x.mix = (ingot_conv){ .n = t->n, .groups = 1, .ic = t->ic, .oc = t->oc, .in = { 1, t->in[0], t->in[1] },
                          .out = { 1, t->in[0], t->in[1] }, .kernel = ONES, .stride = ONES, .dilation = ONES };
    x.depthwise = x.mix;
    x.depthwise.ic = x.depthwise.groups = t->oc;
    for (int i = 0; i < 2; i++) {
        x.depthwise.kernel[1 + i] = t->kernel[i];
        x.depthwise.stride[1 + i] = t->stride[i];
        x.depthwise.pad[1 + i] = t->before[i];
        x.depthwise.out[1 + i] = (t->in[i] + t->before[i] + t->after[i] - t->kernel[i]) / t->stride[i] + 1;
    }
    const int64_t n_src = t->n * pixels_of(x.mix.in) * blocks_of(t->ic) * 8;
    const int64_t n_dst = t->n * pixels_of(x.depthwise.out) * blocks_of(t->oc) * 8;
    const int64_t n_mix = k->conv_packed_f32(&x.mix), n_depthwise = k->dwconv_packed_f32(&x.depthwise);
    const int64_t items = k->pair_items_f32(&x), n_scratch = k->pair_scratch_f32(&x);
    float *src = check_randoms(n_src), *weights = check_randoms(t->oc * (t->ic + t->kernel[0] * t->kernel[1]));
    float *mix = check_floats(n_mix), *depthwise = check_floats(n_depthwise), *bias = check_randoms(t->oc);
    float *dst = check_floats(n_dst), *again = check_floats(n_dst), *want = check_floats(n_dst);
    float *scratch = check_floats(n_scratch);

    pack_direct(k, &x.mix, mix, weights);
    pack_depthwise(k, &x.depthwise, depthwise, weights + t->oc * t->ic);
    x.mix_packed = mix;
    x.depthwise_packed = depthwise;
    x.mix_end = (ingot_epilogue){ .act = act, .alpha = -0.5f, .beta = 0.7f, .bias = bias };
    x.depthwise_end = (ingot_epilogue){ .act = act == INGOT_ACT_NONE ? INGOT_ACT_SILU : act, .alpha = -0.3f,
                                        .beta = 0.4f, .bias = act == INGOT_ACT_NONE ? NULL : bias };
    run_apart(k, &x, src, want);
    for (int64_t i = items - 1; i >= 0; i--)
        k->pair_f32(&x, src, dst, scratch, i, i + 1);
    k->pair_f32(&x, src, again, scratch, 0, items);
    if (items == 0)
        check_fail("%s %s: not taken", t->name, k->isa);
    for (int64_t i = 0; i < n_dst; i++)
        check_near(dst[i], (double)want[i], 0, t->name, i);
    if (memcmp(dst, again, (size_t)n_dst * sizeof *dst))
        check_fail("%s %s: ranges change the result", t->name, k->isa);
    check_free(src, n_src, t->name), check_free(weights, t->oc * (t->ic + t->kernel[0] * t->kernel[1]), t->name);
    check_free(mix, n_mix, t->name), check_free(depthwise, n_depthwise, t->name), check_free(bias, t->oc, t->name);
    check_free(dst, n_dst, t->name), check_free(again, n_dst, t->name), check_free(want, n_dst, t->name);
    check_free(scratch, n_scratch, t->name);
}

/* All pairs, without and with activations; and what is none, or too narrow. */
static void check_pairs(const ingot_kernels *k)
{
    const ingot_conv mix = { .n = 1, .groups = 1, .ic = 8, .oc = 8, .in = { 1, 30, 30 }, .out = { 1, 30, 30 },
                             .kernel = ONES, .stride = ONES, .dilation = ONES };
    ingot_pair not = { .mix = mix, .depthwise = mix };

    for (size_t i = 0; i < sizeof pair_cases / sizeof *pair_cases; i++) {
        check_pair(k, &pair_cases[i], INGOT_ACT_NONE);
        check_pair(k, &pair_cases[i], i % 2 ? INGOT_ACT_CLIP : INGOT_ACT_HARD_SWISH);
        check_pair(k, &pair_cases[i], INGOT_ACT_SILU);
    }
    if (k->pair_items_f32(&not) || k->pair_scratch_f32(&not))
        check_fail("pair %s: two convolutions without groups are none", k->isa);
    not.depthwise.groups = 8;
    if (!k->pair_items_f32(&not))
        check_fail("pair %s: a depthwise one of 1x1 is taken", k->isa);
    not.depthwise.dilation[2] = 2;
    if (k->pair_items_f32(&not))
        check_fail("pair %s: one with a dilation is not", k->isa);
}

/* First layers whose tiles end with hard Swish, of one large vector, or with Swish, and others; with tiles of any other
 * width between them, and a second vector that has one block. */
static void check_swish(const ingot_kernels *k, const algorithm *direct)
{
    for (int oc = 8; oc <= 40; oc += 4)
        for (int width = 27; width <= 83; width += 14) {
            const conv_case t = { "first layer, Swish", 1, 1, 3, oc, { 1, 7, width }, { 1, 3, 3 }, { 1, 2, 2 }, ONES,
                                  { 0, 1, 1 }, { 0, 1, 1 }, true };
            const ending ends[] = { { INGOT_ACT_HARD_SWISH, true, oc % 8 }, { INGOT_ACT_SILU, true, oc % 8 },
                                    { INGOT_ACT_CLIP, oc % 8, oc > 24 } };
            check_conv(k, direct, 1, &t, LIST(ends));
        }
}

/* The lists above, each by its algorithms; then every width up to 32 in a 3x3 convolution, direct and depthwise, so
 * that each cut of a row into tiles comes up. */
static void test(const ingot_kernels *k)
{
    const algorithm direct = { false, 4e-7, k->conv_packed_f32, pack_direct, k->conv_items_f32, k->conv_f32 };
    const algorithm depthwise = { false, 4e-7, k->dwconv_packed_f32, pack_depthwise, k->dwconv_items_f32,
                                  k->dwconv_f32 };

    check_cases(k, &direct, 1, LIST(cases));
    check_swish(k, &direct);
    check_cases(k, &depthwise, 1, LIST(depthwise_cases));
    check_bands(k, 3, 64, 32, 32, 1, INGOT_ACT_RELU, false);
    check_bands(k, 1, 13, 17, 29, 2, INGOT_ACT_SILU, false);
    check_bands(k, 4, 40, 90, 35, 1, INGOT_ACT_NONE, false);
    if (has_minimal(k)) {
        check_bands(k, 3, 64, 32, 32, 1, INGOT_ACT_RELU, true);
        check_bands(k, 2, 13, 17, 29, 1, INGOT_ACT_SILU, true);
        check_bands(k, 4, 40, 9, 203, 1, INGOT_ACT_CLIP, true);
        check_minimal(k);
    }
    check_not_minimal(k);
    check_pairs(k);
    for (int channels = 1; channels <= 81; channels += 8) {
        check_scale(k, channels, 82 - channels, 1);
        check_scale(k, 16, channels + 7, 3);
    }
    /* all widths, with one to seven blocks of output channels and strides of 1 to 3 */
    for (int width = 1; width <= 32; width++) {
        conv_case rows = { "widths", 1, 1, 8, 8 + width % 7 * 8, { 1, 3, width }, { 1, 3, 3 }, ONES, ONES,
                           { 0, 1, 1 }, { 0, 1, 1 }, false };
        const ending ends[] = { { INGOT_ACT_RELU, true, width % 2 }, { INGOT_ACT_GELU, true, width % 2 } };
        check_conv(k, &direct, 1, &rows, LIST(ends));
        rows.groups = rows.oc = 8;
        rows.stride[2] = 1 + width % 3;
        check_conv(k, &depthwise, 1, &rows, ends, 1);
    }
}

int main(void) { return check_every_isa(test, false); }
