/* test_winograd.c - convolutions with fewer multiplications, by Winograd and Strassen, and transposed ones by phases,
 * against the definition. */
#include "check_conv.h"

/* Transposed: kernels smaller than, equal to and larger than the stride, dilations that share a factor with it or do
 * not, and a few output channels, which have a kernel of their own. */
static const conv_case deconv_cases[] = {
    { "2x2 stride 2", 1, 1, 16, 40, { 1, 14, 34 }, { 1, 2, 2 }, { 1, 2, 2 }, ONES, NONE, NONE, false },
    { "2x2 stride 2, in parts", 1, 1, 2100, 40, { 1, 6, 26 }, { 1, 2, 2 }, { 1, 2, 2 }, ONES, NONE, NONE, false },
    { "3x2 stride 3x2", 2, 1, 20, 70, { 1, 24, 8 }, { 1, 3, 2 }, { 1, 3, 2 }, ONES, NONE, NONE, false },
    { "2x2 stride 2, groups", 1, 3, 24, 48, { 1, 22, 10 }, { 1, 2, 2 }, { 1, 2, 2 }, ONES, NONE, NONE, false },
    { "2x2x2 stride 2", 1, 1, 9, 16, { 4, 6, 10 }, { 2, 2, 2 }, { 2, 2, 2 }, ONES, NONE, NONE, false },
    { "4x4 stride 2", 2, 1, 24, 8, { 1, 10, 12 }, { 1, 4, 4 }, { 1, 2, 2 }, ONES, { 0, 1, 1 }, { 0, 1, 1 }, false },
    { "3x3 stride 2", 1, 1, 8, 24, { 1, 10, 12 }, { 1, 3, 3 }, { 1, 2, 2 }, ONES, { 0, 1, 1 }, { 0, 0, 0 }, false },
    { "3x3 stride 1", 1, 1, 8, 16, { 1, 6, 15 }, { 1, 3, 3 }, ONES, ONES, { 0, 1, 1 }, { 0, 1, 1 }, false },
    { "stride above kernel", 1, 1, 8, 8, { 1, 10, 11 }, { 1, 2, 2 }, { 1, 4, 3 }, ONES, NONE, NONE, false },
    { "dilation 2", 1, 1, 8, 8, { 1, 9, 13 }, { 1, 3, 3 }, { 1, 1, 2 }, { 1, 2, 2 }, { 0, 1, 2 }, NONE, false },
    { "dilation 3 stride 2", 1, 1, 8, 8, { 1, 9, 14 }, { 1, 3, 3 }, { 1, 2, 2 }, { 1, 3, 3 }, NONE, NONE, false },
    { "dilation 6 stride 4", 1, 1, 8, 8, { 1, 17, 19 }, { 1, 2, 3 }, { 1, 4, 4 }, { 1, 6, 6 }, NONE, NONE, false },
    { "dilation 2 stride 1", 2, 1, 8, 24, { 1, 9, 13 }, { 1, 3, 3 }, ONES, { 1, 2, 2 }, { 0, 2, 2 }, { 0, 1, 1 },
      false },
    { "dilation 4 stride 2", 1, 1, 16, 8, { 1, 11, 14 }, { 1, 3, 3 }, { 1, 2, 2 }, { 1, 4, 4 }, { 0, 3, 4 }, NONE,
      false },
    { "deep padding", 1, 1, 8, 8, { 1, 4, 5 }, { 1, 4, 4 }, { 1, 2, 2 }, ONES, { 0, 3, 3 }, { 0, 3, 3 }, false },
    { "1-D", 1, 1, 8, 8, { 1, 1, 40 }, { 1, 1, 7 }, { 1, 1, 3 }, ONES, { 0, 0, 2 }, { 0, 0, 1 }, false },
    { "3-D", 1, 1, 8, 8, { 5, 6, 8 }, { 3, 2, 3 }, { 2, 2, 2 }, ONES, { 1, 0, 1 }, NONE, false },
    { "groups", 1, 2, 16, 32, { 1, 8, 10 }, { 1, 3, 3 }, { 1, 2, 2 }, ONES, { 0, 1, 1 }, NONE, false },
    { "groups of 3 to 2", 1, 4, 12, 8, { 1, 8, 10 }, { 1, 3, 3 }, { 1, 2, 2 }, ONES, { 0, 1, 1 }, NONE, false },
    { "from one pixel", 2, 1, 20, 40, { 1, 4, 4 }, { 1, 4, 4 }, ONES, ONES, NONE, NONE, false },
    { "to one column", 1, 1, 8, 8, { 1, 9, 5 }, { 1, 3, 7 }, { 1, 2, 3 }, { 1, 1, 2 }, { 0, 1, 4 }, { 0, 0, 4 },
      false },
    { "4x4 stride 2 to 3", 2, 1, 12, 3, { 1, 20, 23 }, { 1, 4, 4 }, { 1, 2, 2 }, ONES, { 0, 1, 1 }, NONE, false },
    { "to 3, in windows", 1, 1, 9, 3, { 1, 40, 300 }, { 1, 4, 4 }, { 1, 2, 2 }, ONES, { 0, 1, 1 }, NONE, false },
    { "9x9 stride 3 to 1", 1, 1, 8, 1, { 1, 7, 30 }, { 1, 9, 9 }, { 1, 3, 3 }, ONES, { 0, 4, 4 }, { 0, 2, 2 }, false },
    { "dilated to 4", 1, 1, 17, 4, { 1, 9, 14 }, { 1, 3, 4 }, { 1, 3, 2 }, { 1, 2, 3 }, { 0, 2, 5 }, NONE, false },
    { "1-D to 2", 1, 1, 3, 2, { 1, 1, 50 }, { 1, 1, 8 }, { 1, 1, 4 }, ONES, { 0, 0, 9 }, { 0, 0, 2 }, false },
    { "2x2 stride 2 to 1", 3, 1, 9, 1, { 1, 5, 7 }, { 1, 2, 2 }, { 1, 2, 2 }, ONES, NONE, NONE, false },
    { "4x4 from narrow rows", 2, 1, 32, 70, { 1, 8, 8 }, { 1, 4, 4 }, { 1, 2, 2 }, ONES, { 0, 1, 1 }, { 0, 1, 1 },
      false },
    { "3x5 from narrow rows", 1, 1, 64, 64, { 1, 9, 14 }, { 1, 3, 5 }, { 1, 2, 2 }, { 1, 1, 2 }, { 0, 2, 1 }, NONE,
      false },
    { "dw transposed", 1, 8, 8, 8, { 1, 8, 10 }, { 1, 4, 4 }, { 1, 2, 2 }, ONES, { 0, 1, 1 }, { 0, 1, 1 }, false },
};

/* 3x3 at stride 1 only: sizes that are and are not multiples of a tile, and more tiles than one block of them holds. */
static const conv_case winograd_cases[] = {
    { "whole tiles", 1, 1, 16, 16, { 1, 8, 12 }, { 1, 3, 3 }, ONES, ONES, { 0, 1, 1 }, { 0, 1, 1 }, false },
    { "odd size", 1, 1, 8, 40, { 1, 7, 9 }, { 1, 3, 3 }, ONES, ONES, { 0, 1, 1 }, { 0, 1, 1 }, false },
    { "batch", 5, 1, 24, 24, { 1, 7, 7 }, { 1, 3, 3 }, ONES, ONES, { 0, 1, 1 }, { 0, 1, 1 }, false },
    { "no padding", 1, 1, 8, 8, { 1, 13, 6 }, { 1, 3, 3 }, ONES, ONES, NONE, NONE, false },
    { "wide padding", 1, 1, 8, 8, { 1, 3, 5 }, { 1, 3, 3 }, ONES, ONES, { 0, 3, 4 }, { 0, 4, 3 }, false },
    { "many tiles", 1, 1, 72, 72, { 1, 41, 38 }, { 1, 3, 3 }, ONES, ONES, { 0, 1, 1 }, { 0, 1, 1 }, false },
    { "one pixel", 1, 1, 11, 13, { 1, 1, 1 }, { 1, 3, 3 }, ONES, ONES, { 0, 1, 1 }, { 0, 1, 1 }, false },
};

/* Halves of whole blocks, for Strassen's way: pixels that are even and odd, of one band and of several, whose last has
 * one pixel or more; units that are whole, short or of one vector; and depth. */
static const conv_case strassen_cases[] = {
    { "strassen two pixels", 1, 1, 16, 16, { 1, 1, 2 }, ONES, ONES, ONES, NONE, NONE, false },
    { "strassen three pixels", 3, 1, 32, 64, { 1, 3, 1 }, ONES, ONES, ONES, NONE, NONE, false },
    { "strassen 7x7", 2, 1, 48, 144, { 1, 7, 7 }, ONES, ONES, ONES, NONE, NONE, false },
    { "strassen short end", 1, 1, 64, 80, { 1, 14, 14 }, ONES, ONES, ONES, NONE, NONE, false },
    { "strassen one vector", 1, 1, 80, 96, { 1, 9, 29 }, ONES, ONES, ONES, NONE, NONE, false },
    { "strassen bands", 2, 1, 512, 32, { 1, 5, 37 }, ONES, ONES, ONES, NONE, NONE, false },
    { "strassen last pixel", 1, 1, 4096, 16, { 1, 1, 57 }, ONES, ONES, ONES, NONE, NONE, false },
    { "strassen depth", 1, 1, 16, 48, { 3, 5, 4 }, ONES, ONES, ONES, NONE, NONE, false },
};

/* Dilations, which only tiles of 2x2 and 4x4 are for: phases of equal and of different sizes, down to a pixel. */
static const conv_case dilated_cases[] = {
    { "dilation 2", 1, 1, 16, 16, { 1, 8, 12 }, { 1, 3, 3 }, ONES, { 1, 2, 2 }, { 0, 2, 2 }, { 0, 2, 2 }, false },
    { "dilation 2, odd size", 3, 1, 13, 40, { 1, 9, 15 }, { 1, 3, 3 }, ONES, { 1, 2, 2 }, { 0, 2, 2 }, { 0, 2, 2 },
      false },
    { "dilation 4", 1, 1, 24, 24, { 1, 29, 18 }, { 1, 3, 3 }, ONES, { 1, 4, 4 }, { 0, 4, 4 }, { 0, 4, 4 }, false },
    { "dilation 3, no padding", 1, 1, 8, 8, { 1, 16, 21 }, { 1, 3, 3 }, ONES, { 1, 3, 3 }, NONE, NONE, false },
    { "dilation 3, wide padding", 1, 1, 8, 8, { 1, 3, 5 }, { 1, 3, 3 }, ONES, { 1, 3, 3 }, { 0, 4, 7 }, { 0, 5, 3 },
      false },
    { "dilation above the image", 1, 1, 8, 9, { 1, 5, 6 }, { 1, 3, 3 }, ONES, { 1, 7, 7 }, { 0, 7, 7 }, { 0, 7, 7 },
      false },
    { "dilation 2, many tiles", 1, 1, 72, 72, { 1, 41, 38 }, { 1, 3, 3 }, ONES, { 1, 2, 2 }, { 0, 2, 2 }, { 0, 2, 2 },
      false },
};

/* A stride of two, which only tiles of 2x2 are for. */
static const conv_case strided_cases[] = {
    { "stride 2, whole tiles", 1, 1, 16, 40, { 1, 16, 24 }, { 1, 3, 3 }, { 1, 2, 2 }, ONES, { 0, 1, 1 }, { 0, 1, 1 },
      false },
    { "stride 2, odd size", 3, 1, 13, 24, { 1, 14, 9 }, { 1, 3, 3 }, { 1, 2, 2 }, ONES, { 0, 1, 1 }, { 0, 1, 1 },
      false },
    { "stride 2, no padding", 1, 1, 8, 9, { 1, 13, 7 }, { 1, 3, 3 }, { 1, 2, 2 }, ONES, NONE, NONE, false },
    { "stride 2, wide padding", 1, 1, 8, 8, { 1, 3, 5 }, { 1, 3, 3 }, { 1, 2, 2 }, ONES, { 0, 3, 4 }, { 0, 4, 3 },
      false },
    { "stride 2, many tiles", 1, 1, 72, 72, { 1, 81, 78 }, { 1, 3, 3 }, { 1, 2, 2 }, ONES, { 0, 1, 1 }, { 0, 1, 1 },
      false },
    { "stride 2, one pixel", 1, 1, 11, 13, { 1, 1, 1 }, { 1, 3, 3 }, { 1, 2, 2 }, ONES, { 0, 1, 1 }, { 0, 1, 1 },
      false },
};

/* Two taps, which only tiles of 2x2 are for. */
static const conv_case two_taps_cases[] = {
    { "two taps", 2, 1, 16, 40, { 1, 8, 8 }, { 1, 2, 2 }, ONES, ONES, { 0, 1, 1 }, NONE, false },
    { "two taps, odd size", 1, 1, 13, 9, { 1, 10, 16 }, { 1, 2, 2 }, ONES, ONES, { 0, 1, 1 }, { 0, 2, 0 }, false },
};

/* Transposed, with phases of two taps and of three. */
static const conv_case pairs_transposed[] = {
    { "4x4 stride 2", 2, 1, 40, 24, { 1, 16, 20 }, { 1, 4, 4 }, { 1, 2, 2 }, ONES, { 0, 1, 1 }, { 0, 1, 1 }, false },
    { "4x4 stride 2, odd", 1, 1, 9, 13, { 1, 15, 13 }, { 1, 4, 4 }, { 1, 2, 2 }, ONES, NONE, { 0, 1, 3 }, false },
    { "4x6 stride 2, 3", 1, 1, 33, 8, { 1, 16, 19 }, { 1, 4, 6 }, { 1, 2, 3 }, ONES, { 0, 3, 1 }, NONE, false },
};
static const conv_case triples_transposed[] = {
    { "3x3 stride 1", 2, 1, 24, 16, { 1, 9, 15 }, { 1, 3, 3 }, ONES, ONES, { 0, 1, 1 }, { 0, 1, 1 }, false },
    { "6x6 stride 2", 1, 1, 17, 11, { 1, 20, 23 }, { 1, 6, 6 }, { 1, 2, 2 }, ONES, { 0, 2, 2 }, { 0, 2, 1 }, false },
};

/* Winograd with m bound to it, so that it looks like the others. */
static const ingot_kernels *winograd;

#define BIND(m) \
    static int64_t winograd_packed_##m(const ingot_conv *d) { return winograd->winograd_packed_f32(d, m); } \
    static int64_t winograd_items_##m(const ingot_conv *d) { return winograd->winograd_items_f32(d, m); } \
    static void winograd_pack_##m(const ingot_kernels *k, const ingot_conv *d, float *packed, const float *weights) \
    { \
        for (int64_t u = 0, units = k->conv_units_f32(d); u < units; u++) \
            k->winograd_pack_f32(d, m, packed, weights, u, u + 1); \
    } \
    static void winograd_run_##m(const ingot_conv *d, const float *packed, const float *src, float *dst, \
                                 const ingot_epilogue *e, int64_t i0, int64_t i1) \
    { \
        const int64_t n = winograd->winograd_scratch_f32(d, m); \
        float *scratch = check_floats(n); \
        const int64_t half = (i0 + i1) / 2;      /* in two calls, of which the second may find its source there */ \
        int64_t held = -1; \
        winograd->winograd_f32(d, m, packed, src, dst, e, scratch, &held, i0, half); \
        winograd->winograd_f32(d, m, packed, src, dst, e, scratch, &held, half, i1); \
        check_free(scratch, n, "winograd scratch"); \
    }
BIND(1)
BIND(2)
BIND(4)

static int64_t strassen_packed(const ingot_conv *d) { return winograd->strassen_packed_f32(d); }
static int64_t strassen_items(const ingot_conv *d) { return winograd->strassen_items_f32(d); }
static void strassen_pack(const ingot_kernels *k, const ingot_conv *d, float *packed, const float *weights)
{
    for (int64_t u = 0, units = k->strassen_units_f32(d); u < units; u++)
        k->strassen_pack_f32(d, packed, weights, u, u + 1);
}
static void strassen_run(const ingot_conv *d, const float *packed, const float *src, float *dst,
                         const ingot_epilogue *e, int64_t i0, int64_t i1)
{
    const int64_t n = winograd->strassen_scratch_f32(d), half = (i0 + i1) / 2;
    float *scratch = check_floats(n);
    int64_t held = -1;

    winograd->strassen_f32(d, packed, src, dst, e, scratch, &held, i0, half);
    winograd->strassen_f32(d, packed, src, dst, e, scratch, &held, half, i1);
    check_free(scratch, n, "strassen scratch");
}

/* The same for a transposed one; 0 is the direct way. */
#define BIND_TRANSPOSED(m) \
    static int64_t transposed_packed_##m(const ingot_conv *d) { return winograd->deconv_packed_f32(d, m); } \
    static int64_t transposed_items_##m(const ingot_conv *d) { return winograd->deconv_items_f32(d, m); } \
    static void transposed_pack_##m(const ingot_kernels *k, const ingot_conv *d, float *packed, const float *weights) \
    { \
        for (int64_t u = 0, units = k->deconv_units_f32(d); u < units; u++) \
            k->deconv_pack_f32(d, m, packed, weights, u, u + 1); \
    } \
    static void transposed_run_##m(const ingot_conv *d, const float *packed, const float *src, float *dst, \
                                   const ingot_epilogue *e, int64_t i0, int64_t i1) \
    { \
        const int64_t n = winograd->deconv_scratch_f32(d, m), half = (i0 + i1) / 2; \
        float *scratch = check_floats(n); \
        int64_t held = -1; \
        winograd->deconv_f32(d, m, packed, src, dst, e, scratch, &held, i0, half); \
        winograd->deconv_f32(d, m, packed, src, dst, e, scratch, &held, half, i1); \
        check_free(scratch, n, "transposed scratch"); \
    }
BIND_TRANSPOSED(0)
BIND_TRANSPOSED(1)
BIND_TRANSPOSED(2)
BIND_TRANSPOSED(4)

/* By phases, each directly or in Winograd's way, which has to be possible for the cases of that. minimal[m / 2] makes
 * tiles of m x m. */
static void check_transposed(const ingot_kernels *k)
{
    const algorithm plain = { true, 4e-7, transposed_packed_0, transposed_pack_0, transposed_items_0,
                              transposed_run_0 };
    const algorithm minimal[] = {
        { true, 1e-6, transposed_packed_1, transposed_pack_1, transposed_items_1, transposed_run_1 },
        { true, 1e-6, transposed_packed_2, transposed_pack_2, transposed_items_2, transposed_run_2 },
        { true, 4e-6, transposed_packed_4, transposed_pack_4, transposed_items_4, transposed_run_4 },
    };

    check_cases(k, &plain, 1, LIST(deconv_cases));
    check_cases(k, &minimal[1], 1, LIST(pairs_transposed));
    check_cases(k, LIST(minimal), LIST(triples_transposed));
    for (size_t i = 0; i < sizeof deconv_cases / sizeof *deconv_cases; i++) {
        const ingot_conv d = transposed_of(&deconv_cases[i]);
        const int m = k->deconv_choose_f32(&d, true);
        if (m)
            check_conv(k, &minimal[m / 2], 1, &deconv_cases[i], &(ending){ INGOT_ACT_SILU, true, true }, 1);
    }
}

/* What Strassen's way takes, and what it does not: a kernel, a stride, padding, groups, halves that are no whole
 * blocks, a single pixel. Where vectors are split it is worth it for many channels on either side. */
static void check_strassen(const ingot_kernels *k)
{
    const algorithm strassen = { false, 2e-6, strassen_packed, strassen_pack, strassen_items, strassen_run };
    static const conv_case others[] = {
        { "3x3", 1, 1, 256, 256, { 1, 16, 16 }, { 1, 3, 3 }, ONES, ONES, NONE, NONE, false },
        { "stride", 1, 1, 256, 256, { 1, 16, 16 }, ONES, { 1, 2, 2 }, ONES, NONE, NONE, false },
        { "padding", 1, 1, 256, 256, { 1, 16, 16 }, ONES, ONES, ONES, { 0, 1, 1 }, NONE, false },
        { "padding after", 1, 1, 256, 256, { 1, 16, 16 }, ONES, ONES, ONES, NONE, { 0, 0, 1 }, false },
        { "groups", 1, 2, 256, 256, { 1, 16, 16 }, ONES, ONES, ONES, NONE, NONE, false },
        { "input channels", 1, 1, 264, 256, { 1, 16, 16 }, ONES, ONES, ONES, NONE, NONE, false },
        { "output channels", 1, 1, 256, 252, { 1, 16, 16 }, ONES, ONES, ONES, NONE, NONE, false },
        { "pixel", 1, 1, 256, 256, { 1, 1, 1 }, ONES, ONES, ONES, NONE, NONE, false },
        { "row-major", 1, 1, 256, 256, { 1, 16, 16 }, ONES, ONES, ONES, NONE, NONE, true },
    };
    static const conv_case many = { "many", 1, 1, 512, 512, { 1, 14, 14 }, ONES, ONES, ONES, NONE, NONE, false };
    static const conv_case few = { "few", 1, 1, 32, 512, { 1, 14, 14 }, ONES, ONES, ONES, NONE, NONE, false };
    const ingot_conv worth = conv_of(&many), not = conv_of(&few);

    check_cases(k, &strassen, 1, LIST(strassen_cases));
    for (size_t i = 0; i < sizeof others / sizeof *others; i++) {
        const ingot_conv d = conv_of(&others[i]);
        if (k->strassen_choose_f32(&d, true))
            check_fail("strassen %s: %s is taken", k->isa, others[i].name);
    }
    if (!k->strassen_choose_f32(&worth, true) || !k->strassen_choose_f32(&not, true))
        check_fail("strassen %s: what is possible is not", k->isa);
    if (k->strassen_choose_f32(&worth, false) != (k->lanes == 16 && ingot_wide_is_split()) ||
        k->strassen_choose_f32(&not, false))
        check_fail("strassen %s: chosen where it is slower, or not where it is faster", k->isa);
}

/* Each algorithm's lists. F(4x4) is held less tightly: its transforms lose more bits. */
static void test(const ingot_kernels *k)
{
    const algorithm tiles[] = {
        { false, 1e-6, winograd_packed_1, winograd_pack_1, winograd_items_1, winograd_run_1 },
        { false, 1e-6, winograd_packed_2, winograd_pack_2, winograd_items_2, winograd_run_2 },
        { false, 4e-6, winograd_packed_4, winograd_pack_4, winograd_items_4, winograd_run_4 },
    };

    winograd = k;
    check_transposed(k);
    check_strassen(k);
    check_cases(k, &tiles[1], 1, LIST(two_taps_cases));
    check_cases(k, &tiles[1], 1, LIST(strided_cases));
    check_cases(k, &tiles[1], 2, LIST(dilated_cases));
    check_cases(k, LIST(tiles), LIST(winograd_cases));
}

int main(void) { return check_every_isa(test, false); }
