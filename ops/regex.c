/* regex.c - RegexFullMatch: does the pattern match the whole string? The matching itself is in pattern_*.c. */
#include "ops/pattern.h"

/* One bool for each string. */
static ingot_status infer_match(ingot_op_ctx *c)
{
    return ingot_out(c, 0, INGOT_BOOL, c->in[0]->rank, c->in[0]->shape);
}

/* The pattern is an attribute, and required. */
static ingot_status run_match(ingot_op_ctx *c)
{
    const ingot_attr *pattern = ingot_node_attr(c->node, "pattern");

    if (!pattern || pattern->type != INGOT_ATTR_STRING || !pattern->n)
        return ingot_op_fail(c, INGOT_INVALID, "attribute pattern is missing");
    return ingot_match_pattern(c, pattern->strings, c->in[0]->data, ingot_count(c->in[0]), c->out[0]->data);
}

const ingot_op ingot_ops_regex[] = {
    { "RegexFullMatch", 20, 1, 1, { INGOT_TYPE(STRING) }, infer_match, run_match },
    { 0 }
};
