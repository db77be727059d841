/* conv_blocked.h - float convolution by the kernels for blocked tensors, whatever layout source and result have. */
#ifndef INGOT_OPS_CONV_BLOCKED_H
#define INGOT_OPS_CONV_BLOCKED_H

#include "ops/conv_plain.h"

/* A kernel and the way to it. `variant` is the kernel's own (winograd: the tile). */
typedef struct ingot_conv_algorithm ingot_conv_algorithm;

typedef struct ingot_conv_blocked {
    ingot_conv conv;
    const ingot_conv_algorithm *algorithm;
    int variant;
    const float *packed;                 /* NULL: the weights are no constant and are packed in every run */
    size_t packed_bytes;
    bool block_src, unblock_dst;         /* through scratch memory of our own */
    size_t src_bytes, dst_bytes;         /* of those */
    size_t scratch_bytes, thread_scratch_bytes;
    const ingot_prologue *prologue;      /* what happens to the source before, or NULL */
} ingot_conv_blocked;

/* Can the kernels do it? Rank, and sizes that are not zero. */
bool ingot_conv_blocked_fits(const ingot_conv_shape *shape);

/* The convolution in the kernels' terms. */
void ingot_conv_describe(const ingot_conv_shape *shape, ingot_conv *d);

/* Does a convolution of these channels read its source best as it is, row-major? */
bool ingot_conv_reads_plain(const ingot_conv_shape *shape);

/* Choose the algorithm for a source and a result in these layouts. Input `weights` is packed once for all plans when it
 * is a constant, else in every run. The caller asks for the scratch memory. */
ingot_status ingot_conv_blocked_prepare(ingot_op_ctx *c, const ingot_conv_shape *shape, int weights, int src_layout,
                                        int dst_layout, ingot_conv_blocked *b);

/* Could the kernels normalize the source of this convolution on the way? */
bool ingot_conv_takes_prologue(const ingot_kernels *k, const ingot_conv_shape *shape);

/* From now on the source of such a convolution, which is prepared, is normalized on the way; asks for more scratch
 * memory. */
void ingot_conv_blocked_normalize(const ingot_op_ctx *c, ingot_conv_blocked *b, const ingot_prologue *prologue);

/* src and dst in the layouts that prepare was told; scratch: b->scratch_bytes. `weights` is not read when packed. */
void ingot_conv_blocked_run(ingot_op_ctx *c, const ingot_conv_blocked *b, const float *src, const float *weights,
                            float *dst, const ingot_epilogue *epilogue, char *scratch);

/* Constant weights of a convolution of one group by the direct kernel, as they are packed (b->packed_bytes), with each
 * input channel times scale[channel]: for a run with b->packed set to them. */
void ingot_conv_blocked_scale(ingot_op_ctx *c, const ingot_conv_blocked *b, const float *scale, float *scaled);

/* What a run computes, for profiles. */
void ingot_conv_blocked_describe(const ingot_op_ctx *c, const ingot_conv_blocked *b, ingot_op_work *work);

const char *ingot_conv_blocked_name(const ingot_conv_blocked *b);

#endif
