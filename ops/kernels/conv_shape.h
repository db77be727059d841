/* conv_shape.h - what follows from a direct convolution's numbers, for packing its weights (conv_pack.c) and for
 * running it (conv_direct.c). */
#ifndef INGOT_OPS_KERNELS_CONV_SHAPE_H
#define INGOT_OPS_KERNELS_CONV_SHAPE_H

#include "ops/kernels/conv_direct.h"

struct conv_shape {
    int64_t in[3], out[3];              /* one row each when `flat` */
    conv_place place;
    bool flat, apart;                   /* flat: only mixes channels. apart: and its outputs are no row in dst */
    int64_t merge, groups;              /* groups merged into one, and the number of those */
    int64_t group_ic, group_oc;
    int64_t ic_block, ic_blocks;        /* channels that lie together in src, and how many times per group */
    int64_t taps, units;                /* units per group */
    int64_t unit_floats, group_floats;  /* of packed weights; the last unit may be smaller */
    int64_t tap_step, block_step;       /* rows of a unit's width, from tap to tap and from channel block to block */
    int64_t in_image, out_image;        /* floats of an image */
    int64_t in_plane, out_plane;        /* from one block (plain: channel) to the next */
    int64_t rows, band, bands;          /* rows (flat: pixels) of an image, of a band, and bands */
    bool by_units;                      /* the bands of a unit follow each other, not the units of a band */
};

/* All but the bands. place says where outputs lie in dst; NULL: as they come, one after the other. */
conv_shape INGOT_FN(conv_sizes_of)(const ingot_conv *d, const conv_place *place);
/* All of it. */
conv_shape INGOT_FN(conv_shape_of)(const ingot_conv *d, const conv_place *place);

#endif
