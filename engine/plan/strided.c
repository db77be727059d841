/* strided.c - reading a value where its elements come from. Steps that only rearrange (Reshape, Transpose, Slice,
 * Split, Gather of one index) are followed back while the elements stay evenly spaced along every dimension. */
#include "engine/plan/plan.h"

/* The dimension of shape along which a step of `stride` elements moves; INGOT_NONE where it moves along several.
 * steps[j] is the distance of neighbours along dimension j. The largest dimension that fits is the one; a stride that
 * is no multiple of it, or runs past its end, crosses dimensions. */
static int moved_dimension(int rank, const int64_t *shape, const int64_t *steps, int64_t stride)
{
    for (int j = 0; j < rank; j++)
        if (shape[j] > 1 && stride >= steps[j])
            return stride % steps[j] == 0 && stride / steps[j] < shape[j] ? j : INGOT_NONE;
    return INGOT_NONE;
}

/* The view of a row-major tensor `of` becomes one of the tensor whose element `offset` + sum of index[j] * strides[j]
 * is of's element at index. False, with nothing changed, where a dimension of the view crosses those of `of`. Each
 * dimension of the view moves along one dimension of `of` and stays within it, so the new stride is that many of the
 * other tensor's. Dimensions of 1, and repeated ones (stride 0), stay. */
static bool compose(ingot_strided *view, const ingot_tensor *of, int64_t offset, const int64_t *strides)
{
    int64_t steps[INGOT_MAX_RANK], last[INGOT_MAX_RANK], rest = view->offset, next = 1;
    ingot_strided result = *view;

    for (int j = of->rank - 1; j >= 0; j--) {
        steps[j] = next;
        next *= of->shape[j];
    }
    if (rest < 0 || rest >= next)
        return false;
    for (int j = 0; j < of->rank; j++) {                 /* the index of the view's first element */
        last[j] = rest / steps[j];
        rest %= steps[j];
        offset += last[j] * strides[j];
    }
    for (int d = 0; d < INGOT_STRIDED_RANK; d++) {
        if (view->shape[d] == 1 || view->strides[d] == 0)
            continue;
        const int j = view->strides[d] > 0 ? moved_dimension(of->rank, of->shape, steps, view->strides[d]) : INGOT_NONE;
        if (j == INGOT_NONE)
            return false;
        const int64_t by = view->strides[d] / steps[j];
        last[j] += (view->shape[d] - 1) * by;
        if (last[j] >= of->shape[j])
            return false;
        result.strides[d] = by * strides[j];
    }
    result.offset = offset;
    *view = result;
    return true;
}

/* One step back from view->value, by what the operator says of itself (INGOT_OP_VIEW, or strided()). False, with
 * nothing changed, where the elements are made, or where the step is dynamic. Operators with others fused into them
 * make new elements. */
static bool step_back(const ingot_plan *plan, const int *producers, ingot_strided *view)
{
    const int s = producers[view->value];
    int64_t offset, strides[INGOT_MAX_RANK];
    int output = 0;

    if (s == INGOT_NONE || plan->steps[s]->dynamic)
        return false;
    ingot_step *step = plan->steps[s];
    while (step->outputs[output] != view->value)
        output++;
    const bool same = step->ctx.op->flags & INGOT_OP_VIEW && output == 0;
    if (step->ctx.node->n_fused || step->inputs[0] == INGOT_NONE || (!same && !step->ctx.op->strided))
        return false;
    if (!same && (!step->ctx.op->strided(&step->ctx, output, &offset, strides) ||
                  !compose(view, step->ctx.out[output], offset, strides)))
        return false;
    view->value = step->inputs[0];
    return true;
}

/* A plain tensor of at most INGOT_STRIDED_RANK dimensions, with dimensions of 1 put in front. Strides are 0 along
 * dimensions of 1, so a caller may widen those to repeat elements. */
ingot_strided ingot_strided_whole(const ingot_plan *plan, int value)
{
    const ingot_tensor *t = &plan->values[value]->tensor;
    ingot_strided view = {.value = value};
    int64_t next = 1;

    for (int d = INGOT_STRIDED_RANK - 1; d >= 0; d--) {
        const int own = d - (INGOT_STRIDED_RANK - t->rank);
        view.shape[d] = own < 0 ? 1 : t->shape[own];
        view.strides[d] = view.shape[d] == 1 ? 0 : next;
        next *= view.shape[d];
    }
    return view;
}

/* As far back as it goes. The step that made view->value may then have no reader left. Ends, as steps only read values
 * of earlier ones. */
void ingot_strided_trace(const ingot_plan *plan, const int *producers, ingot_strided *view)
{
    while (step_back(plan, producers, view))
        continue;
}
