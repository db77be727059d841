/* share.c - which values need no memory of their own. Views show their source's; the pieces that Split makes lie in
 * what it cuts; what Concat joins is written to its place at once, so that nothing is left to copy; an elementwise
 * result takes over the memory of an input that dies with it. */
#include "engine/plan/plan.h"

/* Views of views lead to the root; every one on the way may lie somewhere inside the next. No cycles: share() links a
 * value only to what is a root already and is not its own. */
int ingot_plan_root(const ingot_plan *plan, int id, size_t *shift)
{
    *shift = 0;
    for (; plan->values[id]->root != id; id = plan->values[id]->root)
        *shift += plan->values[id]->shift;
    return id;
}

/* For those who do not ask where in it. */
static int root_of(const ingot_plan *plan, int id)
{
    size_t shift;
    return ingot_plan_root(plan, id, &shift);
}

/* Does the memory belong to the plan's arena, so that it may be overwritten? Inputs and constants may not. Dynamic
 * values have memory of their own that comes and goes, so they do not count either. */
static bool in_arena(const ingot_plan *plan, int id)
{
    return plan->values[root_of(plan, id)]->place == INGOT_PLACE_ARENA;
}

/* Let value `id` use the memory of `source`, from `offset` bytes on; the memory is then in use while either is. The
 * root's life is stretched at once, so that later decisions see it. */
static void share(ingot_plan *plan, int id, int source, size_t offset)
{
    ingot_plan_value *value = plan->values[id];
    value->root = ingot_plan_root(plan, source, &value->shift);
    value->shift += offset;
    value->place = INGOT_PLACE_VIEW;
    ingot_plan_value *root = plan->values[value->root];
    root->first = MIN(root->first, value->first);
    root->last = MAX(root->last, value->last);
    root->is_output |= value->is_output;
}

/* The input whose memory output 0 of step s may take over, or INGOT_NONE. It must end with this step and have just the
 * output's size and layout; otherwise elements would be overwritten before they are read. */
static int dying_input(const ingot_plan *plan, const ingot_step *step, int s)
{
    const ingot_tensor *out = step->ctx.out[0];
    for (int i = 0; i < step->ctx.n_in; i++) {
        const int id = step->inputs[i];
        if (id == INGOT_NONE || !in_arena(plan, id))
            continue;
        const int root = root_of(plan, id);
        const ingot_tensor *in = &plan->values[id]->tensor;
        bool fits = plan->values[root]->last == s && !plan->values[root]->is_output && in->layout == out->layout &&
                    ingot_same_shape(in, out) && ingot_storage_bytes(in) == ingot_storage_bytes(out);
        for (int k = 0; k < step->ctx.n_in && fits; k++) /* another view of the same memory may be read elsewhere */
            fits = step->inputs[k] == INGOT_NONE || step->inputs[k] == id || root_of(plan, step->inputs[k]) != root;
        if (fits)
            return id;
    }
    return INGOT_NONE;
}

/* Output 0 of a view, where the source's memory stays what it is for the whole run. Blocked values are no row-major
 * memory to show in another shape. Of a dynamic value, or a constant, the view keeps memory of its own. */
static void share_view(ingot_plan *plan, ingot_step *step)
{
    const int source = step->ctx.n_in ? step->inputs[0] : INGOT_NONE;
    if (source == INGOT_NONE || plan->values[source]->tensor.layout != INGOT_PLAIN)
        return;
    const ingot_place place = plan->values[root_of(plan, source)]->place;
    if (place == INGOT_PLACE_ARENA || place == INGOT_PLACE_BOUND) {
        share(plan, step->outputs[0], source, 0);
        step->view = true;
    }
}

/* Is output 0 the first elements of input 0 in their order, though the operator could rearrange them? So it is with a
 * Transpose that moves dimensions of 1 only. A copy of the context is asked, without an error line, as the question may
 * be refused. */
static bool keeps_order(const ingot_step *step)
{
    ingot_op_ctx c = step->ctx;
    int64_t offset, strides[INGOT_MAX_RANK], next = 1;
    c.error = NULL;
    if (!c.op->strided || c.n_out != 1 || c.node->n_fused || !c.op->strided(&c, 0, &offset, strides) || offset)
        return false;
    for (int d = c.out[0]->rank - 1; d >= 0; d--) {
        if (c.out[0]->shape[d] != 1 && strides[d] != next)
            return false;
        next *= c.out[0]->shape[d];
    }
    return true;
}

/* The outputs of a Split of memory in the arena, up to one that nobody wants: its size is not known, so neither is
 * where the next begins. The others are copied. */
static void share_pieces(ingot_plan *plan, const ingot_step *step)
{
    size_t offset = 0;
    if (step->inputs[0] == INGOT_NONE || !in_arena(plan, step->inputs[0]) || !step->ctx.op->in_runs(&step->ctx))
        return;
    for (int i = 0; i < step->ctx.n_out && step->outputs[i] != INGOT_NONE; i++) {
        share(plan, step->outputs[i], step->inputs[0], offset);
        offset += ingot_storage_bytes(step->ctx.out[i]);
    }
}

/* Where the memory of value `id` would begin in a Concat's output if the value were to lie `offset` bytes into it; -1
 * where the memory is not to be moved. A value that is itself a view begins `shift` bytes into its memory, which would
 * then begin that much earlier. */
static int64_t base_of(const ingot_plan *plan, int id, int64_t offset)
{
    size_t shift;
    if (id == INGOT_NONE || !in_arena(plan, id))
        return -1;
    ingot_plan_root(plan, id, &shift);
    return offset - (int64_t)shift;
}

static int64_t input_bytes(const ingot_step *step, int i) { return (int64_t)ingot_storage_bytes(step->ctx.in[i]); }

/* Do all inputs lie behind each other in one memory already? Then the output is what they are. So it is where a Split
 * is joined again. */
static bool joined_already(const ingot_plan *plan, const ingot_step *step)
{
    const int root = root_of(plan, step->inputs[0]);
    const int64_t base = base_of(plan, step->inputs[0], 0);
    int64_t offset = 0;
    for (int i = 0; i < step->ctx.n_in; offset += input_bytes(step, i++))
        if (root_of(plan, step->inputs[i]) != root || !in_arena(plan, root) ||
            base_of(plan, step->inputs[i], offset) != base)
            return false;
    return root != root_of(plan, step->outputs[0]);
}

/* Does input k, `offset` bytes into the output, lie in the memory of `root` just where that memory, begun at `base`,
 * has it? */
static bool lies_in(const ingot_plan *plan, const ingot_step *step, int k, int64_t offset, int root, int64_t base)
{
    return root_of(plan, step->inputs[k]) == root && base_of(plan, step->inputs[k], offset) == base;
}

/* May the memory behind input i, `offset` bytes into the output, become part of the output's? It has to be where some
 * step writes it, and what it covers of the output, to the left and to the right of i, must be inputs that lie in it
 * just there. What lies in the memory but is no input of the Concat would be overwritten by the other inputs. */
static bool can_join(const ingot_plan *plan, const ingot_step *step, int i, int64_t offset)
{
    const int root = root_of(plan, step->inputs[i]);
    const int64_t base = base_of(plan, step->inputs[i], offset);
    const int64_t end = base + (int64_t)ingot_storage_bytes(&plan->values[root]->tensor);
    if (base < 0 || end > (int64_t)ingot_storage_bytes(step->ctx.out[0]) || plan->values[root]->producer == INGOT_NONE)
        return false;
    int64_t first = offset;
    for (int k = i - 1; k >= 0 && first > base; k--) {
        first -= input_bytes(step, k);
        if (!lies_in(plan, step, k, first, root, base))
            return false;
    }
    first = offset + input_bytes(step, i);
    for (int k = i + 1; k < step->ctx.n_in && first < end; first += input_bytes(step, k++))
        if (!lies_in(plan, step, k, first, root, base))
            return false;
    return true;
}

/* Put the inputs of a Concat where its output has them. Inputs that cannot lie in place are copied by the operator,
 * which leaves the others alone. */
static void join(ingot_plan *plan, const ingot_step *step)
{
    const int out = step->outputs[0];
    int64_t offset = 0;
    for (int i = 0; i < step->ctx.n_in; i++)
        if (step->inputs[i] == INGOT_NONE)
            return;
    if (!step->ctx.op->in_runs(&step->ctx))
        return;
    if (joined_already(plan, step)) {
        share(plan, out, step->inputs[0], 0);
        return;
    }
    for (int i = 0; i < step->ctx.n_in; offset += input_bytes(step, i++)) {
        const int64_t base = base_of(plan, step->inputs[i], offset);
        const int root = root_of(plan, step->inputs[i]);
        if (base >= 0 && root != root_of(plan, out) && can_join(plan, step, i, offset))
            share(plan, root, out, (size_t)base);
    }
}

/* Views and pieces in running order; then joins from the last on, so that a chain of them, each longer by one piece
 * (DenseNet), ends up in the longest; then in-place results, which see how long memory has come to be in use. */
void ingot_plan_share(ingot_plan *plan)
{
    for (int s = 0; s < plan->n_steps; s++) {
        ingot_step *step = plan->steps[s];
        if (step->dynamic || step->outputs[0] == INGOT_NONE)
            continue;
        if (step->ctx.op->flags & INGOT_OP_VIEW || keeps_order(step))
            share_view(plan, step);
        else if (step->ctx.op->flags & INGOT_OP_SPLITS && step->ctx.op->in_runs)
            share_pieces(plan, step);
    }
    for (int s = plan->n_steps; s-- > 0;) {
        const ingot_step *step = plan->steps[s];
        if (!step->dynamic && step->outputs[0] != INGOT_NONE && step->ctx.op->flags & INGOT_OP_JOINS &&
            plan->values[step->outputs[0]]->place == INGOT_PLACE_ARENA)
            join(plan, step);
    }
    for (int s = 0; s < plan->n_steps; s++) {
        const ingot_step *step = plan->steps[s];
        if (step->dynamic || step->outputs[0] == INGOT_NONE || !(step->ctx.op->flags & INGOT_OP_INPLACE) ||
            plan->values[step->outputs[0]]->place != INGOT_PLACE_ARENA)
            continue;
        const int dying = dying_input(plan, step, s);
        if (dying != INGOT_NONE)
            share(plan, step->outputs[0], dying, 0);
    }
}
