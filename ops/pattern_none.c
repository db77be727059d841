/* pattern_none.c - stands in where the build has no PCRE2. */
#include "ops/pattern.h"

/* UNSUPPORTED whatever the pattern; the operator is there, so that a model says what it lacks. */
ingot_status ingot_match_pattern(ingot_op_ctx *c, const ingot_string *pattern, const ingot_string *texts, int64_t n,
                                 uint8_t *matches)
{
    (void)pattern, (void)texts, (void)n, (void)matches;
    return ingot_op_fail(c, INGOT_UNSUPPORTED, "this build has no regular expressions (it was made without PCRE2)");
}
