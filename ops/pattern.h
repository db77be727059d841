/* pattern.h - regular expressions, from a library that the build found or did without. */
#ifndef INGOT_OPS_PATTERN_H
#define INGOT_OPS_PATTERN_H

#include "ops/op.h"

/* matches[i] = 1 where the pattern matches all of texts[i] (both UTF-8), else 0. INGOT_INVALID: no such pattern;
 * INGOT_BAD_INPUT: text that is not UTF-8; INGOT_LIMIT: a text takes too many steps; INGOT_UNSUPPORTED: built without.
 */
ingot_status ingot_match_pattern(ingot_op_ctx *c, const ingot_string *pattern, const ingot_string *texts, int64_t n,
                                 uint8_t *matches);

#endif
