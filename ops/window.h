/* window.h - the spatial attributes that convolutions and pools share (kernel_shape, strides, dilations, pads,
 * auto_pad, ceil_mode, output_shape, output_padding), checked and resolved against the input's shape. */
#ifndef INGOT_OPS_WINDOW_H
#define INGOT_OPS_WINDOW_H

#include "ops/op.h"

enum { INGOT_MAX_SPATIAL = INGOT_MAX_RANK - 2 };

/* Output position o of dimension i reads the input at o * stride[i] + tap * dilation[i] - pad_begin[i]; in a transposed
 * convolution input and output change places. All values fit 31 bits, so their products fit int64. */
typedef struct ingot_window {
    int rank;                              /* spatial dimensions */
    int64_t in[INGOT_MAX_SPATIAL], out[INGOT_MAX_SPATIAL];
    int64_t kernel[INGOT_MAX_SPATIAL], stride[INGOT_MAX_SPATIAL], dilation[INGOT_MAX_SPATIAL];
    int64_t pad_begin[INGOT_MAX_SPATIAL], pad_end[INGOT_MAX_SPATIAL];
} ingot_window;

/* Resolve the node's attributes for an input x of (N, C, spatial...). `weights` gives the kernel's size where there is
 * a weight tensor (O, I, kernel...); NULL: kernel_shape has to be there. With ceil_mode, rounds the output size up but
 * leaves out windows that begin past the input and its first padding. */
ingot_status ingot_window_resolve(ingot_op_ctx *c, const ingot_tensor *x, const ingot_tensor *weights,
                                  ingot_window *window);

/* One window as large as the whole of x (N, C, spatial...), for global pools. */
void ingot_window_whole(const ingot_tensor *x, ingot_window *window);

/* Output `index` gets the type, (N, C) of input 0 and behind them the window's output sizes. */
ingot_status ingot_window_out(ingot_op_ctx *c, int index, ingot_dtype dtype, const ingot_window *window);

/* As ingot_window_resolve() for a transposed convolution, with output_padding and output_shape. */
ingot_status ingot_window_resolve_transposed(ingot_op_ctx *c, const ingot_tensor *x, const ingot_tensor *weights,
                                             ingot_window *window);

/* Read the attribute `name` of `n` integers in [minimum, 2^31) into values; where it is absent, all become
 * `otherwise`. */
ingot_status ingot_window_ints(ingot_op_ctx *c, const char *name, int64_t *values, int n, int64_t minimum,
                               int64_t otherwise);

/* Outputs [*begin, *end) of dimension i whose tap `tap` falls inside the input. */
void ingot_window_inside(const ingot_window *window, int i, int64_t tap, int64_t *begin, int64_t *end);

/* The `rank` values, one per axis, as three: those of the axes that are missing come first and are `missing`. rank
 * <= 3. */
void ingot_window_axes(const int64_t *values, int rank, int64_t missing, int64_t axes[3]);

/* Products of the sizes: of the input, the output and the kernel. */
int64_t ingot_window_volume(const int64_t *sizes, int rank);

/* Step an odometer over `sizes`: false after the last position, when it is back at zero. rank 0 has one position. */
bool ingot_window_next(int64_t *position, const int64_t *sizes, int rank);

#endif
