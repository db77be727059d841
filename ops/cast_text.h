/* cast_text.h - numbers to strings and back, as Cast does it. */
#ifndef INGOT_OPS_CAST_TEXT_H
#define INGOT_OPS_CAST_TEXT_H

#include "ops/op.h"

/* out[0] = in[0], one of them of strings and the other of numbers. Whole numbers are written as such; floats with the
 * fewest digits that give the same number back, and with an exponent below 1e-4 and from 1e16 on. Text that is no
 * number is refused. */
ingot_status ingot_run_to_text(ingot_op_ctx *c);
ingot_status ingot_run_from_text(ingot_op_ctx *c, bool saturate, int round_mode);

#endif
