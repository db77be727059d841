/* check_conv.h - what the tests of convolutions share. */
#ifndef INGOT_TESTS_KERNELS_CHECK_CONV_H
#define INGOT_TESTS_KERNELS_CHECK_CONV_H

#include "check.h"

#define ONES { 1, 1, 1 }
#define NONE { 0, 0, 0 }
#define LIST(array) (array), sizeof(array) / sizeof *(array)

/* A convolution by its sizes, (depth, height, width) each; before and after are the padding. plain_src: the source
 * is row-major, as the first layer's is, rather than blocked. */
typedef struct conv_case {
    const char *name;
    int n, groups, ic, oc;
    int in[3], kernel[3], stride[3], dilation[3], before[3], after[3];
    bool plain_src;
} conv_case;

/* Blocks of eight channels; pixels of an image. */
static inline int64_t blocks_of(int64_t channels) { return (channels + 7) / 8; }
static inline int64_t pixels_of(const int64_t size[3]) { return size[0] * size[1] * size[2]; }

/* Weights are packed one unit at a time, as threads share that work. */
static inline void pack_direct(const ingot_kernels *k, const ingot_conv *d, float *packed, const float *weights)
{
    for (int64_t u = 0, units = k->conv_units_f32(d); u < units; u++)
        k->conv_pack_f32(d, packed, weights, u, u + 1);
}

/* The kernels of one algorithm. */
typedef struct algorithm {
    bool transposed;
    double tolerance;                  /* for a few terms; see check_result */
    int64_t (*packed)(const ingot_conv *);
    void (*pack)(const ingot_kernels *, const ingot_conv *, float *, const float *);
    int64_t (*items)(const ingot_conv *);
    void (*run)(const ingot_conv *, const float *, const float *, float *, const ingot_epilogue *, int64_t, int64_t);
    bool minimal;                      /* of a row-major source: by minimal filtering */
} algorithm;

/* The kernel's description of a case, with the sizes of the result computed. */
ingot_conv conv_of(const conv_case *t);

/* The convolution whose gradient a case is: source and result change places. */
ingot_conv transposed_of(const conv_case *t);

/* What follows the sums: an activation, with or without a bias before it and a residual. */
typedef struct ending {
    ingot_act act;
    bool bias, residual;
} ending;

/* Hold a case, by each of the algorithms (all transposed or none) and with each of the endings, against the definition
 * in double. Runs items one by one from the last to the first, and then all at once, the latter with the residual in
 * place where there is one: the bits must be the same, as items go to any thread in any order. */
void check_conv(const ingot_kernels *k, const algorithm *a, size_t n_algorithms, const conv_case *t,
                const ending *ends, size_t n_ends);

/* Each case twice: bare, and with bias and an activation and, two times of three, a residual. */
void check_cases(const ingot_kernels *k, const algorithm *a, size_t n_algorithms, const conv_case *list, size_t n);

#endif
