/* layout.c - which values are kept blocked (NCHW8c). Operators that work on blocked tensors (convolution, pooling)
 * give blocked results; elementwise operators follow what they read; everything else is plain. A Reorder step
 * converts a value on the first edge whose two ends differ, and its result serves all further readers. */
#include <string.h>

#include "engine/plan/plan.h"

/* Bit i of the rule's mask says whether input i may be blocked; others are always plain. Inputs past the mask's width
 * are plain. */
static bool takes_part(const ingot_layout *rule, int input) { return input < 32 && (rule->inputs >> input & 1); }

/* Does a node that follows its inputs find more bytes blocked than plain? Equal amounts go with blocked, as the next
 * convolution is likely to want that. */
static bool follows_blocked(const ingot_plan *plan, const ingot_step *step, const ingot_layout *rule)
{
    size_t blocked = 0, plain = 0;
    for (int i = 0; i < step->ctx.n_in; i++) {
        if (!takes_part(rule, i) || step->inputs[i] == INGOT_NONE)
            continue;
        const ingot_plan_value *value = plan->values[step->inputs[i]];
        *(value->tensor.layout == INGOT_BLOCKED ? &blocked : &plain) += ingot_storage_bytes(&value->tensor);
    }
    return blocked > plain || (blocked && blocked == plain);
}

/* A step of the internal operator Reorder from value to value, named after the value it converts; NULL when memory is
 * out. The node lives in the plan's arena and its name is the graph's; values that were added have no name. */
static ingot_step *make_reorder(ingot_plan *plan, int from, int to, ingot_error *error)
{
    bool known;
    ingot_node *node = ingot_arena_alloc(&plan->arena, sizeof *node);
    if (!node)
        return NULL;
    *node = (ingot_node){.name = "", .op_type = "Reorder", .domain = "ingot.internal", .version = 1,
                         .n_inputs = 1, .n_all_inputs = 1, .n_outputs = 1};
    node->op = ingot_op_find(node->domain, node->op_type, 1, &known);
    if (from < plan->graph->n_values)
        node->name = plan->graph->values[from].name;
    ingot_step *step = ingot_plan_make_step(plan, node, &from, 1, &to, 1);
    if (step)
        step->ctx.error = error;
    return step && !ingot_step_settle_constants(step, error) ? step : NULL;
}

/* Layout decisions for one step; `steps` collects the new step list. */
typedef struct rewriter {
    ingot_plan *plan;
    ingot_step **steps;
    int n_steps, capacity;
    ingot_error *error;
    unsigned char *wanted;               /* by value, how its readers want it */
} rewriter;

/* Append to the new list, which is doubled in the plan's arena. False when memory is out. The old list stays behind in
 * the arena. */
static bool push(rewriter *r, ingot_step *step)
{
    if (r->n_steps == r->capacity) {
        const int capacity = 2 * r->capacity + 16;
        ingot_step **steps = ingot_arena_array(&r->plan->arena, (size_t)capacity, sizeof *steps);
        if (!steps)
            return false;
        if (r->n_steps)
            memcpy(steps, r->steps, (size_t)r->n_steps * sizeof *steps);
        r->steps = steps;
        r->capacity = capacity;
    }
    r->steps[r->n_steps++] = step;
    return true;
}

/* The value with the elements of `id` in `layout`; adds a Reorder step where there is none yet. INGOT_NONE: no memory.
 * A value has two layouts at most, so one twin link each way is all there is to keep. */
static int in_layout(rewriter *r, int id, uint8_t layout)
{
    ingot_plan *plan = r->plan;
    if (plan->values[id]->tensor.layout == layout)
        return id;
    if (plan->values[id]->twin != INGOT_NONE)
        return plan->values[id]->twin;
    ingot_tensor tensor = plan->values[id]->tensor;
    tensor.layout = layout;
    tensor.data = NULL;
    const int twin = ingot_plan_add_value(plan, &tensor);
    if (twin == INGOT_NONE)
        return INGOT_NONE;
    plan->values[twin]->place = INGOT_PLACE_ARENA;
    plan->values[twin]->twin = id;
    plan->values[id]->twin = twin;
    ingot_step *step = make_reorder(plan, id, twin, r->error);
    return step && push(r, step) ? twin : INGOT_NONE;
}

/* Dynamic steps are always plain. */
static ingot_layout rule_of(const ingot_step *step)
{
    const ingot_op_ctx *c = &step->ctx;
    return !step->dynamic && c->op->layout ? c->op->layout(c) : (ingot_layout){INGOT_LAYOUT_PLAIN, 0};
}

/* How readers want a value. Some take it blocked; some find it better so: they are blocked in any case, or all that is
 * made of it is wanted so; for others it is better plain. */
enum { TAKEN_BLOCKED = 1, BETTER_BLOCKED = 2, BETTER_PLAIN = 4 };

/* Do all readers find it better blocked? */
static bool better_blocked(const rewriter *r, int value)
{
    return (r->wanted[value] & (BETTER_BLOCKED | BETTER_PLAIN)) == BETTER_BLOCKED;
}

/* Fills r->wanted from all steps, readers first. False when memory is out. */
static bool find_wanted(rewriter *r)
{
    ingot_plan *plan = r->plan;
    r->wanted = ingot_arena_array(&plan->arena, (size_t)plan->n_values + 1, sizeof *r->wanted);
    for (int v = 0; r->wanted && v < plan->n_values; v++)
        r->wanted[v] = plan->values[v]->is_output ? BETTER_PLAIN : 0;
    for (int s = plan->n_steps - 1; r->wanted && s >= 0; s--) {
        const ingot_step *step = plan->steps[s];
        const ingot_layout rule = rule_of(step);
        const bool better = rule.kind == INGOT_LAYOUT_NATIVE || (rule.kind == INGOT_LAYOUT_FOLLOW &&
                            step->ctx.n_out == 1 && better_blocked(r, step->outputs[0]));
        for (int i = 0; i < step->ctx.n_in; i++)
            if (step->inputs[i] != INGOT_NONE) {
                const bool taken = rule.kind != INGOT_LAYOUT_PLAIN && takes_part(&rule, i);
                r->wanted[step->inputs[i]] |= (taken ? TAKEN_BLOCKED : 0) |
                                              (taken && better ? BETTER_BLOCKED : BETTER_PLAIN);
            }
    }
    return r->wanted != NULL;
}

/* Bytes that a step reads of inputs that could be blocked. */
static size_t read_bytes(const ingot_plan *plan, const ingot_step *step, const ingot_layout *rule)
{
    size_t sum = 0;
    for (int i = 0; i < step->ctx.n_in; i++)
        if (takes_part(rule, i) && step->inputs[i] != INGOT_NONE)
            sum += ingot_storage_bytes(&plan->values[step->inputs[i]]->tensor);
    return sum;
}

/* Does the operator read one image alone that could be blocked, with whole blocks of channels, and make another? */
static bool maps_image(const ingot_op_ctx *c, const ingot_layout *rule)
{
    const ingot_tensor *x = c->n_in > 0 ? c->in[0] : NULL;
    return rule->inputs == 1 && x && x->rank >= 3 && x->rank == c->out[0]->rank && x->shape[1] % INGOT_BLOCK == 0 &&
           ingot_count(x) > 0;
}

/* Should a step that could follow its inputs be blocked? Where it makes more than it reads, its inputs are the smaller
 * ones to convert, so its readers decide: blocked inputs become plain where nobody takes the result blocked, and a
 * plain image becomes blocked where everybody is better off so. That goes for one of the same size too, which is
 * perhaps made of rows of channels (find_pixel_rows.c). */
static bool is_better_blocked(const rewriter *r, const ingot_step *step, const ingot_layout *rule)
{
    const ingot_op_ctx *c = &step->ctx;
    const bool blocked = follows_blocked(r->plan, step, rule);
    if (c->n_out != 1 || !c->out[0])
        return blocked;
    const size_t read = read_bytes(r->plan, step, rule), made = ingot_storage_bytes(c->out[0]);
    if (blocked)
        return made <= read || r->wanted[step->outputs[0]] & TAKEN_BLOCKED;
    return made >= read && maps_image(c, rule) && better_blocked(r, step->outputs[0]);
}

/* Choose the step's layout, convert the inputs that have another one, mark its outputs. Only values of rank 3 and more
 * can be blocked. False when memory is out. An operator of INGOT_LAYOUT_NATIVE is always blocked, one of
 * INGOT_LAYOUT_FOLLOW where that is better. Contexts are pointed at the tensors that the step now reads. */
static bool place_step(rewriter *r, ingot_step *step)
{
    ingot_op_ctx *c = &step->ctx;
    const ingot_layout rule = rule_of(step);
    bool blocked = rule.kind == INGOT_LAYOUT_NATIVE;
    if (rule.kind == INGOT_LAYOUT_FOLLOW)
        blocked = is_better_blocked(r, step, &rule);
    for (int i = 0; i < c->n_in; i++) {
        if (step->inputs[i] == INGOT_NONE)
            continue;
        const int id = in_layout(r, step->inputs[i], blocked && takes_part(&rule, i) ? INGOT_BLOCKED : INGOT_PLAIN);
        if (id == INGOT_NONE)
            return false;
        step->inputs[i] = id;
        c->in[i] = &r->plan->values[id]->tensor;
    }
    const int n_blocked = c->op->flags & INGOT_OP_SPLITS ? c->n_out : 1;
    for (int i = 0; blocked && i < n_blocked; i++)
        if (c->out[i] && c->out[i]->rank >= 3)
            c->out[i]->layout = INGOT_BLOCKED;
    return push(r, step);
}

/* Outputs are handed out plain: readers outside see the graph's value id, so the plain tensor takes that place. False
 * when memory is out. */
static bool plain_outputs(rewriter *r)
{
    ingot_plan *plan = r->plan;
    for (int v = 0; v < plan->graph->n_values; v++) {
        ingot_plan_value *value = plan->values[v];
        if (!value->is_output || value->tensor.layout == INGOT_PLAIN)
            continue;
        const int twin = in_layout(r, v, INGOT_PLAIN);
        if (twin == INGOT_NONE)
            return false;
        value->is_output = false;
        plan->values[twin]->is_output = true;
    }
    return true;
}

/* One walk in running order: a step's inputs have their layouts when it is reached. plan->steps is replaced at the end,
 * so that a failure leaves the old list, with contexts that may point at twins. */
ingot_status ingot_plan_layout(ingot_plan *plan, ingot_error *error)
{
    rewriter r = {.plan = plan, .error = error};
    if (!find_wanted(&r))
        return ingot_out_of_memory(error);
    for (int s = 0; s < plan->n_steps; s++)
        if (!place_step(&r, plan->steps[s]))
            return ingot_out_of_memory(error);
    if (!plain_outputs(&r))
        return ingot_out_of_memory(error);
    plan->steps = r.steps;
    plan->n_steps = r.n_steps;
    return INGOT_OK;
}
