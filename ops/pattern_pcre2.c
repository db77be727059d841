/* pattern_pcre2.c - regular expressions by PCRE2, whose syntax contains nearly all of RE2's. Its search may go back and
 * try again: the steps and the memory of a match are limited, so that no pattern can hang or exhaust the process. */
#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>

#include "ops/pattern.h"

/* A match that takes more steps or memory is given up with LIMIT. */
enum { MATCH_STEPS = 5000000, HEAP_KIB = 65536 };

/* Match one text as a whole: 1, 0, or a negative error of PCRE2. */
static int match_text(const pcre2_code *code, pcre2_match_data *data, pcre2_match_context *limits, ingot_string text)
{
    const int found = pcre2_match(code, (PCRE2_SPTR)(text.size_bytes ? text.data : ""), text.size_bytes, 0,
                                  PCRE2_ANCHORED | PCRE2_ENDANCHORED, data, limits);
    return found >= 0 ? 1 : found == PCRE2_ERROR_NOMATCH ? 0 : found;
}

/* String i cannot be matched: LIMIT where a bound was met, BAD_INPUT where the text itself is at fault (no UTF-8). */
static ingot_status fail_match(ingot_op_ctx *c, int64_t i, int error)
{
    PCRE2_UCHAR text[128] = { 0 };
    const bool limit = error == PCRE2_ERROR_MATCHLIMIT || error == PCRE2_ERROR_DEPTHLIMIT ||
                       error == PCRE2_ERROR_HEAPLIMIT || error == PCRE2_ERROR_NOMEMORY;

    pcre2_get_error_message(error, text, sizeof text);
    return ingot_op_fail(c, limit ? INGOT_LIMIT : INGOT_BAD_INPUT, "string %lld: %s", (long long)i, (const char *)text);
}

/* matches[i] becomes 1 where all of text i matches the pattern, else 0. The pattern is compiled for each call: it is
 * an attribute of one node, and texts are many. A pattern that does not compile is INVALID, with the place in it. */
ingot_status ingot_match_pattern(ingot_op_ctx *c, const ingot_string *pattern, const ingot_string *texts, int64_t n,
                                 uint8_t *matches)
{
    int error = 0;
    PCRE2_SIZE at = 0;
    PCRE2_UCHAR text[128] = { 0 };
    pcre2_code *code = pcre2_compile((PCRE2_SPTR)(pattern->size_bytes ? pattern->data : ""), pattern->size_bytes,
                                     PCRE2_UTF, &error, &at, NULL);
    pcre2_match_data *data = code ? pcre2_match_data_create_from_pattern(code, NULL) : NULL;
    pcre2_match_context *limits = pcre2_match_context_create(NULL);
    ingot_status st = INGOT_OK;

    /* The pattern's own error, or no memory; else the limits of a match. */
    if (!code) {
        pcre2_get_error_message(error, text, sizeof text);
        st = ingot_op_fail(c, INGOT_INVALID, "pattern, at byte %zu: %s", (size_t)at, (const char *)text);
    } else if (!data || !limits) {
        st = ingot_op_out_of_memory(c);
    } else {
        pcre2_set_match_limit(limits, MATCH_STEPS);
        pcre2_set_heap_limit(limits, HEAP_KIB);
    }
    for (int64_t i = 0; i < n && !st; i++) {
        const int found = match_text(code, data, limits, texts[i]);
        matches[i] = found > 0;
        if (found < 0)
            st = fail_match(c, i, found);
    }
    pcre2_match_context_free(limits);
    pcre2_match_data_free(data);
    pcre2_code_free(code);
    return st;
}
