/* lend.c - outputs in memory of the caller. Where an output has memory of its own in the arena, everything that lies
 * there is moved to the caller's, so that the step that computes it writes it in place. Where it has none (it is an
 * input, a constant, a part of something larger, or of a shape that only the run tells) it is copied after the run. */
#include <string.h>

#include "engine/plan/plan.h"

static size_t size_of(const ingot_tensor *t) { return t->rank >= 0 && t->data ? ingot_storage_bytes(t) : 0; }

/* Do the two have bytes in common? An output that lies in an input would be written before the input was read. */
static bool meets(const ingot_tensor *a, const ingot_tensor *b)
{
    const uintptr_t x = (uintptr_t)a->data, y = (uintptr_t)b->data;
    return x < y + size_of(b) && y < x + size_of(a);
}

/* The value whose place in the arena is that of output `value` and of nothing else; INGOT_NONE where there is none. */
static int own_root(const ingot_plan *plan, int value)
{
    size_t shift;
    const int root = ingot_plan_root(plan, value, &shift);
    const ingot_plan_value *r = plan->values[root];
    const ingot_tensor *t = &plan->values[value]->tensor;
    const bool placed = r->place == INGOT_PLACE_ARENA && r->producer != INGOT_NONE && !shift;
    const bool plain = t->kind == INGOT_TENSOR && t->dtype != INGOT_STRING && t->rank >= 0;
    return placed && plain && ingot_storage_bytes(&r->tensor) == ingot_storage_bytes(t) ? root : INGOT_NONE;
}

/* Let all values that lie in the root's memory lie at `place`. */
static void move(ingot_plan *plan, int root, char *place)
{
    size_t shift;
    if (plan->values[root]->tensor.data == place)
        return;
    for (int v = 0; v < plan->n_values; v++)
        if (ingot_plan_root(plan, v, &shift) == root)
            plan->values[v]->tensor.data = place + shift;
}

/* The line for memory that is not the output's. */
static ingot_status misfit(const ingot_plan *plan, int value, const ingot_tensor *got, const ingot_tensor *given,
                           ingot_error *error)
{
    char text[200], expected[200];
    return ingot_fail(error, INGOT_BAD_INPUT, "output '%.80s' is %s %s, what is bound to it %s %s",
                      plan->graph->values[value].name, ingot_dtype_name(got->dtype),
                      ingot_shape_text(got, text, sizeof text), ingot_dtype_name(given->dtype),
                      ingot_shape_text(given, expected, sizeof expected));
}

static bool fits(const ingot_tensor *got, const ingot_tensor *given)
{
    return got->kind == INGOT_TENSOR && got->dtype == given->dtype && ingot_same_shape(got, given);
}

ingot_status ingot_plan_lend(ingot_plan *plan, const ingot_tensor *given, const ingot_tensor *const *inputs,
                             ingot_error *error)
{
    const ingot_graph *graph = plan->graph;
    for (int i = 0; i < graph->n_outputs; i++) {
        const int value = ingot_plan_output_value(plan, graph->outputs[i]);
        const int root = own_root(plan, value);
        const ingot_tensor *got = &plan->values[value]->tensor;
        if (given[i].data && got->rank >= 0 && !fits(got, &given[i]))
            return misfit(plan, graph->outputs[i], got, &given[i], error);
        bool taken = root == INGOT_NONE;
        for (int k = 0; k < i && !taken; k++)
            taken = own_root(plan, ingot_plan_output_value(plan, graph->outputs[k])) == root;
        if (taken)
            continue;
        bool lent = given[i].data != NULL;
        for (int k = 0; k < graph->n_inputs && lent; k++)
            lent = !inputs[k] || !meets(inputs[k], &given[i]);
        move(plan, root, lent ? given[i].data : plan->memory + plan->values[root]->offset);
    }
    return INGOT_OK;
}

ingot_status ingot_plan_deliver(const ingot_plan *plan, const ingot_tensor *given, ingot_error *error)
{
    const ingot_graph *graph = plan->graph;
    for (int i = 0; i < graph->n_outputs; i++) {
        const ingot_tensor *got = ingot_plan_output(plan, graph->outputs[i]);
        if (!given[i].data || got->data == given[i].data)
            continue;
        if (!fits(got, &given[i]))
            return misfit(plan, graph->outputs[i], got, &given[i], error);
        if (got->data)
            memmove(given[i].data, got->data, size_of(got));
    }
    return INGOT_OK;
}
