/* conv_phases.h - a transposed convolution as ordinary ones: the output positions that are equal modulo the stride see
 * the same taps, so each such phase is a convolution of stride 1 with every stride-th tap, mirrored. */
#ifndef INGOT_OPS_CONV_PHASES_H
#define INGOT_OPS_CONV_PHASES_H

#include "ops/conv_blocked.h"

typedef struct ingot_conv_phases {
    int n;
    struct ingot_conv_phase *list;
    int64_t oc, batch, out[3];           /* of the whole result */
    size_t phase_bytes, scratch_bytes, thread_scratch_bytes;
} ingot_conv_phases;

/* Does it work: rank, dilations of 1, a tap at least in every phase, few phases? */
bool ingot_conv_phases_fits(const ingot_conv_shape *shape);

/* `shape` is the transposed convolution's; its constant weights, (ic, oc / group, kernel...), are input `weights`.
 * Source and result are blocked. */
ingot_status ingot_conv_phases_prepare(ingot_op_ctx *c, const ingot_conv_shape *shape, int weights,
                                       ingot_conv_phases *phases);

/* epilogue: bias and activation. scratch: phases->scratch_bytes. */
void ingot_conv_phases_run(ingot_op_ctx *c, const ingot_conv_phases *phases, const float *src, float *dst,
                           const ingot_epilogue *epilogue, char *scratch);

#endif
