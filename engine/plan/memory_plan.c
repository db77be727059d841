/* memory_plan.c - where every value lives. What shares memory is decided first (share.c); the rest is laid out in one
 * arena: largest first, each at the lowest offset that is free during its whole life (the greedy-by-size strategy of
 * TensorFlow Lite's and XNNPACK's planners). */
#include <stdlib.h>
#include <string.h>

#include "engine/plan/plan.h"

/* A value lives from the step that makes it to the last that reads it; outputs live past the last step. A value nobody
 * reads lives through its own step. Inputs and constants have no producer and are never placed. */
static void find_lifetimes(ingot_plan *plan)
{
    for (int v = 0; v < plan->n_values; v++) {
        plan->values[v]->first = plan->n_steps;
        plan->values[v]->last = -1;
    }
    for (int s = 0; s < plan->n_steps; s++) {
        const ingot_step *step = plan->steps[s];
        for (int i = 0; i < step->ctx.n_in; i++)
            if (step->inputs[i] != INGOT_NONE)
                plan->values[step->inputs[i]]->last = s;
        for (int i = 0; i < step->ctx.n_out; i++)
            if (step->outputs[i] != INGOT_NONE) {
                ingot_plan_value *value = plan->values[step->outputs[i]];
                value->producer = value->first = s;
                value->last = MAX(value->last, s);
            }
    }
    for (int v = 0; v < plan->n_values; v++)
        if (plan->values[v]->is_output)
            plan->values[v]->last = plan->n_steps;
}

/* ---- offsets ---- */

/* Largest first; of equal ones the earlier, so that the plan does not depend on qsort's order. */
static int by_size(const void *a, const void *b)
{
    const ingot_plan_value *x = *(ingot_plan_value *const *)a, *y = *(ingot_plan_value *const *)b;
    if (x->size_bytes != y->size_bytes)
        return x->size_bytes < y->size_bytes ? 1 : -1;
    return (x->first > y->first) - (x->first < y->first);
}

/* Lowest offset where `value` fits beside the placed ones it overlaps in time; `placed` is sorted by offset. O(placed)
 * for each value. Two values overlap in time where neither ends before the other begins: at the step between them both
 * are in use. */
static size_t find_offset(const ingot_plan_value *value, ingot_plan_value *const *placed, int n_placed)
{
    size_t offset = 0;
    for (int i = 0; i < n_placed; i++) {
        const ingot_plan_value *other = placed[i];
        if (other->last < value->first || value->last < other->first)
            continue;
        if (other->offset >= offset && other->offset - offset >= value->size_bytes)
            return offset;
        offset = MAX(offset, other->offset + other->size_bytes);
    }
    return offset;
}

/* Offsets and arena_bytes, all in multiples of INGOT_ALIGNMENT; sizes are rounded up past the next multiple, so that
 * even an empty value has an address of its own. The list of placed values stays sorted by offset. False on overflow or
 * when memory is out. Views have another place and are skipped; their root covers their life. */
static bool assign_offsets(ingot_plan *plan)
{
    ingot_plan_value **todo = ingot_arena_array(&plan->arena, (size_t)plan->n_values + 1, sizeof *todo);
    ingot_plan_value **placed = ingot_arena_array(&plan->arena, (size_t)plan->n_values + 1, sizeof *placed);
    int n = 0, n_placed = 0;
    if (!todo || !placed)
        return false;
    for (int v = 0; v < plan->n_values; v++) {
        ingot_plan_value *value = plan->values[v];
        if (value->place != INGOT_PLACE_ARENA || value->producer == INGOT_NONE)
            continue;
        const size_t size = ingot_storage_bytes(&value->tensor);
        value->size_bytes = (size + INGOT_ALIGNMENT) / INGOT_ALIGNMENT * INGOT_ALIGNMENT;
        todo[n++] = value;
    }
    qsort(todo, (size_t)n, sizeof *todo, by_size);
    for (int k = 0; k < n; k++) {
        ingot_plan_value *value = todo[k];
        value->offset = find_offset(value, placed, n_placed);
        size_t end;
        if (!ingot_add_size(value->offset, value->size_bytes, &end))
            return false;
        plan->arena_bytes = MAX(plan->arena_bytes, end);
        /* Insert where the order of offsets wants it. */
        int at = n_placed++;
        for (; at > 0 && placed[at - 1]->offset > value->offset; at--)
            placed[at] = placed[at - 1];
        placed[at] = value;
    }
    return true;
}

/* Which dynamic values are freed after which step. A value that is read twice by its last step is listed twice: freeing
 * NULL is allowed. False when memory is out. */
static bool find_dying(ingot_plan *plan)
{
    for (int s = 0; s < plan->n_steps; s++) {
        ingot_step *step = plan->steps[s];
        step->dying = ingot_arena_array(&plan->arena, (size_t)(step->ctx.n_in + step->ctx.n_out), sizeof *step->dying);
        if (!step->dying)
            return false;
        for (int i = 0; i < step->ctx.n_in + step->ctx.n_out; i++) {
            const int id = i < step->ctx.n_in ? step->inputs[i] : step->outputs[i - step->ctx.n_in];
            if (id == INGOT_NONE || plan->values[id]->place != INGOT_PLACE_DYNAMIC || plan->values[id]->last != s)
                continue;
            step->dying[step->n_dying++] = id;
        }
    }
    return true;
}

/* Write the final addresses into the tensors. All static steps share the scratch behind the arena, since only one step
 * runs at a time. A view lies `shift` bytes into its root. */
static void bind_tensors(ingot_plan *plan)
{
    for (int v = 0; v < plan->n_values; v++) {
        ingot_plan_value *value = plan->values[v];
        size_t shift;
        const ingot_plan_value *root = plan->values[ingot_plan_root(plan, v, &shift)];
        if (root->place == INGOT_PLACE_ARENA && root->producer != INGOT_NONE)
            value->tensor.data = plan->memory + root->offset + shift;
    }
    for (int s = 0; s < plan->n_steps; s++)
        if (!plan->steps[s]->dynamic)
            plan->steps[s]->ctx.scratch = plan->memory + plan->arena_bytes;
}

/* Returns INGOT_LIMIT with a line; a part of a MiB counts as a whole one. */
static ingot_status needs_too_much(size_t bytes, ingot_error *error)
{
    return ingot_fail(error, INGOT_LIMIT, "the plan needs %zu MiB of memory, which are not to be had or more than "
                                          "--max-memory allows", (bytes >> 20) + (bytes % (1 << 20) != 0));
}

/* The line for a plan that is too large names the node of its largest value, which is where to look. Returns
 * INGOT_LIMIT. */
static ingot_status too_large(const ingot_plan *plan, size_t total, ingot_error *error)
{
    const ingot_plan_value *largest = NULL;
    for (int v = 0; v < plan->n_values; v++)
        if (plan->values[v]->place == INGOT_PLACE_ARENA && plan->values[v]->producer != INGOT_NONE &&
            (!largest || plan->values[v]->size_bytes > largest->size_bytes))
            largest = plan->values[v];
    needs_too_much(total, error);
    return largest ? ingot_step_error(plan->steps[largest->producer], INGOT_LIMIT, error) : INGOT_LIMIT;
}

/* A value that alone is more than everything may take. Preparing its step could take long, and tables as large. */
ingot_status ingot_plan_check_sizes(const ingot_plan *plan, ingot_error *error)
{
    const uint64_t limit = plan->env->memory->limit_bytes;
    for (int s = 0; s < plan->n_steps && limit; s++) {
        const ingot_step *step = plan->steps[s];
        for (int i = 0; i < step->ctx.n_out && !step->dynamic; i++) {
            const size_t bytes = step->ctx.out[i] && step->ctx.out[i]->kind == INGOT_TENSOR
                                     ? ingot_storage_bytes(step->ctx.out[i]) : 0;
            if (bytes > limit) {
                needs_too_much(bytes, error);
                return ingot_step_error(step, INGOT_LIMIT, error);
            }
        }
    }
    return INGOT_OK;
}

/* One allocation holds the arena and the scratch. Order matters: sharing needs lifetimes and makes them longer, offsets
 * need both. */
ingot_status ingot_plan_memory(ingot_plan *plan, ingot_error *error)
{
    size_t total;
    find_lifetimes(plan);
    ingot_plan_share(plan);
    if (!assign_offsets(plan) || !find_dying(plan) ||
        !ingot_add_size(plan->arena_bytes, plan->scratch_bytes, &total))
        return ingot_out_of_memory(error);
    plan->memory = ingot_alloc(plan->env->memory, total + INGOT_ALIGNMENT);
    if (!plan->memory)
        return too_large(plan, total, error);
    bind_tensors(plan);
    return INGOT_OK;
}
