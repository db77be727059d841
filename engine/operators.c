/* operators.c - what the library runs, told from the registry to those who ask without a model. */
#include <string.h>

#include "ops/op.h"
#include "ops/schema.h"
#include "ops/upgrade.h"

/* "" where the record has none: the default domain. */
static const char *domain_of(const ingot_op *op) { return op->domain ? op->domain : ""; }

/* Those that the planner makes are told to nobody: no model can have them. */
static bool is_internal(const ingot_op *op) { return !strcmp(domain_of(op), "ingot.internal"); }

/* Forms of one operator lie between each other: the next one ends this, and one without an older one serves from the
 * operator's first version on, by way of upgrade.c. Linear in the registry, for each operator: a listing is made
 * once. */
static void find_versions(const ingot_op *op, ingot_operator_info *info)
{
    const ingot_op *other;

    info->first = ingot_schema_since(domain_of(op), op->op_type);
    info->last = op->until;
    for (size_t i = 0; (other = ingot_op_at(i)); i++) {
        if (other == op || strcmp(other->op_type, op->op_type) || strcmp(domain_of(other), domain_of(op)))
            continue;
        if (other->since < op->since)
            info->first = op->since;
        else if (!info->last || other->since <= info->last)
            info->last = other->since - 1;
    }
    ingot_old_types old;
    for (size_t i = 0; ingot_old_types_at(i, &old); i++)
        if (!*domain_of(op) && !strcmp(old.op_type, op->op_type) && info->first <= old.last)
            info->first = old.last + 1;
}

/* A set of 0, which stands for the type of input 0, is told as input 0's set. */
static void fill(const ingot_op *op, ingot_operator_info *info)
{
    *info = (ingot_operator_info){ .domain = domain_of(op), .op_type = op->op_type, .min_inputs = op->min_inputs };
    info->max_inputs = op->max_inputs == INGOT_MANY ? -1 : op->max_inputs;
    for (int i = 0; i < 6; i++) {
        const uint64_t types = ingot_op_types(op, i);
        info->types[i] = types ? types : op->types[0];
    }
    find_versions(op, info);
}

/* The index-th name that an operator had: what it runs is the newest form of another. False past the last. */
static bool fill_renamed(size_t index, ingot_operator_info *info)
{
    ingot_renamed renamed;
    bool known;
    const ingot_op *op = ingot_renamed_op(index, &renamed) ? ingot_op_find("", renamed.to, INT32_MAX, &known) : NULL;

    if (!op)
        return false;
    fill(op, info);
    info->op_type = renamed.from;
    info->first = ingot_schema_since("", renamed.from);
    info->last = renamed.last;
    return true;
}

/* The index-th form with types of its own, which is rewritten to the newest one. False past the last. */
static bool fill_old(size_t index, ingot_operator_info *info)
{
    ingot_old_types old;
    bool known;
    const ingot_op *op = ingot_old_types_at(index, &old) ? ingot_op_find("", old.op_type, INT32_MAX, &known) : NULL;

    if (!op)
        return false;
    fill(op, info);
    info->first = ingot_schema_since("", old.op_type);
    info->last = old.last;
    info->max_inputs = old.n_inputs;
    for (int i = 1; i < 6; i++)
        info->types[i] = info->types[1] | old.types;
    return true;
}

/* Indices count the records that are not internal, then the names that operators had, then the old forms with types of
 * their own. False past the last. */
bool ingot_operator(size_t index, ingot_operator_info *info)
{
    const ingot_op *op = NULL;

    for (size_t i = 0; (op = ingot_op_at(i)); i++)
        if (!is_internal(op) && index-- == 0)
            break;
    if (op) {
        fill(op, info);
        return true;
    }
    size_t n = 0;
    while (fill_renamed(n, info))
        if (n++ == index)
            return true;
    return fill_old(index - n, info);
}
