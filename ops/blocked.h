/* blocked.h - moving tensors of floats and bytes between the row-major and the blocked (NCHW8c) layout. */
#ifndef INGOT_OPS_BLOCKED_H
#define INGOT_OPS_BLOCKED_H

#include "ops/op.h"

/* Rows of channels, one for each pixel (channels last): where a Reorder finds or leaves them, in floats. The planner
 * writes it into the step's state where the plain side is such rows and no image (N, C, ...). */
typedef struct ingot_pixel_rows {
    int64_t offset, image_stride, pixel_stride;
} ingot_pixel_rows;

/* Channel blocks of a tensor (N, C, ...), of all images; floats of a tensor when blocked. */
int64_t ingot_blocks(const ingot_tensor *tensor);
int64_t ingot_blocked_floats(const ingot_tensor *tensor);

/* dst becomes src, whose elements are those of `shape` (its data and layout are not looked at), in the other layout. */
void ingot_block(ingot_op_ctx *c, const ingot_tensor *shape, const float *src, float *dst);
void ingot_unblock(ingot_op_ctx *c, const ingot_tensor *shape, const float *src, float *dst);

/* n pixels of up to eight channels, `plane` bytes apart, to eight bytes for each pixel (missing channels: 0), and
 * back. */
void ingot_interleave_bytes(uint8_t *dst, const uint8_t *src, int64_t channels, int64_t plane, int64_t n);
void ingot_deinterleave_bytes(uint8_t *dst, const uint8_t *src, int64_t channels, int64_t plane, int64_t n);

#endif
