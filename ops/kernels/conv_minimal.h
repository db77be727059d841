/* conv_minimal.h - rows of a convolution with three taps by minimal filtering, F(4, 3), for conv_first.c. */
#ifndef INGOT_OPS_KERNELS_CONV_MINIMAL_H
#define INGOT_OPS_KERNELS_CONV_MINIMAL_H

#include "ops/kernels/conv_end.h"

enum {
    MINIMAL_OUTPUTS = 4,                /* of a tile */
    MINIMAL_POINTS = 6,
    MINIMAL_PLANES = MINIMAL_POINTS - 1,    /* of a transformed source: the last point reads the first's, one further */
    MINIMAL_COLUMNS = 64,               /* of a window, at most */
    MINIMAL_STEP = VF32_LANES / MINIMAL_OUTPUTS,        /* tiles side by side: a multiple, whose places are vectors */
    MINIMAL_TILES = CONV_HELD < 8 ? CONV_HELD : 8,      /* and at most */
};

/* Weights [oc][ic][kernel] of units [u0, u1): [unit][point][ic][kernel row][output channel of the unit]. */
void INGOT_FN(minimal_pack)(const ingot_conv *d, float *packed, const float *weights, int64_t u0, int64_t u1);

/* The planes, `plane` floats apart, of rows of a source: `places` of each, which are whole vectors; the tiles are at
 * every fourth. Of a row, four numbers more are read. */
void INGOT_FN(minimal_source)(float *to, ptrdiff_t plane, int64_t places, const float *from, ptrdiff_t pitch,
                              int64_t rows);

/* What is fetched beside the tiles: `groups` of lines with each. */
typedef struct beside {
    ahead soon;
    int groups;
} beside;

/* What all rows of a unit of `nv` vectors have in common. */
typedef struct minimal_unit {
    const float *weights;
    const int32_t *at;                  /* where the rows of a filter, `rows` with all channels, are in a plane */
    int64_t rows, columns;              /* columns: of the output */
    ptrdiff_t plane;                    /* from one plane of the source to the next */
    const tile_end *end;                /* but for the places */
    int nv;
    beside *beside;                     /* a point's products are a tile */
} minimal_unit;

/* A row of outputs; src is its first place in the first plane. */
void INGOT_FN(minimal_run)(const minimal_unit *u, const float *src, float *dst, const float *residual);

#endif
