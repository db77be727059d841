/* gather_channels.h - blocked images whose channels come from here and there: what the planner makes of the Slice,
 * Concat, Reshape and Transpose steps that shuffle channels between convolutions. */
#ifndef INGOT_OPS_GATHER_CHANNELS_H
#define INGOT_OPS_GATHER_CHANNELS_H

#include "ops/op.h"

/* Where a channel comes from: that channel of input `input`. The planner leaves one for each channel of the result in
 * the step's state. */
typedef struct ingot_channel {
    int input;
    int64_t channel;
} ingot_channel;

#endif
