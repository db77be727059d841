/* find_pixel_rows.c - transformers that keep one row of channels for each pixel (N, H * W, C), and make images of them
 * for a convolution: Transpose, Reshape, Reorder, and back. Rows of channels are nearly blocked already, so that one
 * Reorder between the two copies eight channels at a time, where three steps would transpose twice. It runs when
 * layouts are chosen, as only then the Reorders are known. Steps that somebody else needs stay. */
#include <string.h>

#include "engine/plan/plan.h"
#include "ops/blocked.h"

/* Is the step a Reorder of an image, from this layout to the other? */
static bool is_reorder(const ingot_step *step, uint8_t from)
{
    const ingot_op_ctx *c = &step->ctx;
    return !strcmp(c->node->domain, "ingot.internal") && !strcmp(c->node->op_type, "Reorder") && !c->state &&
           c->in[0]->layout == from && c->out[0]->layout != from && c->in[0]->dtype == INGOT_FLOAT;
}

/* Images with one or two dimensions of pixels, channels in front or behind; there are some. */
static bool has_pixels(const ingot_tensor *t) { return (t->rank == 3 || t->rank == 4) && ingot_count(t) > 0; }

/* By value, the step that makes it, unless that step works on blocked memory, which has no strides: of those just
 * Reorders. NULL when memory is out. */
static int *find_producers(ingot_plan *plan)
{
    int *producers = ingot_arena_array(&plan->arena, (size_t)plan->n_values + 1, sizeof *producers);

    for (int v = 0; producers && v < plan->n_values; v++)
        producers[v] = INGOT_NONE;
    for (int s = 0; producers && s < plan->n_steps; s++) {
        const ingot_op_ctx *c = &plan->steps[s]->ctx;
        const bool blocked = (c->n_in > 0 && c->in[0] && c->in[0]->layout == INGOT_BLOCKED) ||
                             (c->n_out > 0 && c->out[0] && c->out[0]->layout == INGOT_BLOCKED);
        for (int i = 0; i < c->n_out; i++)
            if (plan->steps[s]->outputs[i] != INGOT_NONE && (!blocked || is_reorder(plan->steps[s], INGOT_BLOCKED)))
                producers[plan->steps[s]->outputs[i]] = s;
    }
    return producers;
}

/* How far apart the pixels of a view are, where dimensions `from` to `to` are those of an image, evenly spaced; 0 where
 * they are not, or where there is just one. */
static int64_t pixel_stride(const ingot_strided *view, int from, int to)
{
    int64_t stride = 0, n = 1;

    for (int d = to - 1; d >= from; d--) {
        if (view->shape[d] == 1)
            continue;
        if (stride && view->strides[d] != n * stride)
            return 0;
        if (!stride)
            stride = view->strides[d];
        n *= view->shape[d];
    }
    return stride;
}

/* A step of the Reorder's operator from value to value, in the place of plan->steps[s]; false when memory is out. */
static bool replace(ingot_plan *plan, int s, const ingot_node *node, int from, int to, const ingot_pixel_rows *rows,
                    const char *kernel)
{
    ingot_step *step = ingot_plan_make_step(plan, node, &from, 1, &to, 1);

    if (!step || !(step->ctx.state = ingot_arena_copy(&plan->arena, rows, sizeof *rows)))
        return false;
    step->ctx.kernel = kernel;
    plan->steps[s] = step;
    return true;
}

/* A Reorder to blocked, of an image whose elements come from rows of channels: it reads those. False when memory is
 * out. */
static bool read_rows(ingot_plan *plan, const int *producers, int s)
{
    const ingot_step *step = plan->steps[s];

    if (!is_reorder(step, INGOT_PLAIN) || !has_pixels(step->ctx.in[0]))
        return true;
    const int n = INGOT_STRIDED_RANK - step->ctx.in[0]->rank;
    ingot_strided view = ingot_strided_whole(plan, step->inputs[0]);
    ingot_strided_trace(plan, producers, &view);
    const ingot_plan_value *source = plan->values[view.value];
    const ingot_pixel_rows rows = {view.offset, view.strides[n], pixel_stride(&view, n + 2, INGOT_STRIDED_RANK)};
    if (view.strides[n + 1] != 1 || rows.pixel_stride < view.shape[n + 1] ||
        (source->place != INGOT_PLACE_ARENA && source->place != INGOT_PLACE_BOUND))
        return true;
    return replace(plan, s, step->ctx.node, view.value, step->outputs[0], &rows, "nhwc to nchw8c");
}

/* A Transpose to rows of channels, of an image that was reordered from blocked: it is done from that. False when memory
 * is out. */
static bool write_rows(ingot_plan *plan, const int *producers, int s)
{
    const ingot_step *step = plan->steps[s];

    if (!ingot_step_is(step, "Transpose") || !has_pixels(step->ctx.out[0]))
        return true;
    const int n = INGOT_STRIDED_RANK - step->ctx.out[0]->rank, last = INGOT_STRIDED_RANK - 1;
    ingot_strided view = ingot_strided_whole(plan, step->outputs[0]);
    ingot_strided_trace(plan, producers, &view);
    const ingot_step *reorder = producers[view.value] == INGOT_NONE ? NULL : plan->steps[producers[view.value]];
    if (!reorder || !is_reorder(reorder, INGOT_BLOCKED))
        return true;
    const ingot_tensor *image = reorder->ctx.in[0];
    const int64_t channels = image->shape[1], pixels = ingot_span(image, 2, image->rank);
    if (view.offset || view.shape[n] != image->shape[0] || view.shape[last] != channels ||
        ingot_count(image) != ingot_count(step->ctx.out[0]) || pixel_stride(&view, n + 1, last) != 1 ||
        view.strides[last] != pixels || (view.shape[n] > 1 && view.strides[n] != channels * pixels))
        return true;
    const ingot_pixel_rows rows = {0, channels * pixels, channels};
    return replace(plan, s, reorder->ctx.node, reorder->inputs[0], step->outputs[0], &rows, "nchw8c to nhwc");
}

/* Drop steps that nobody reads any more. One walk against the running order: a step is met after all of its readers.
 * False when memory is out. */
static bool drop_unread(ingot_plan *plan)
{
    bool *read = ingot_arena_array(&plan->arena, (size_t)plan->n_values + 1, sizeof *read);
    int kept = plan->n_steps;

    if (!read)
        return false;
    for (int v = 0; v < plan->n_values; v++)
        read[v] = plan->values[v]->is_output;
    for (int s = plan->n_steps - 1; s >= 0; s--) {
        ingot_step *step = plan->steps[s];
        bool used = false;
        for (int i = 0; i < step->ctx.n_out; i++)
            used = used || (step->outputs[i] != INGOT_NONE && read[step->outputs[i]]);
        if (!used)
            continue;
        for (int i = 0; i < step->ctx.n_in; i++)
            if (step->inputs[i] != INGOT_NONE)
                read[step->inputs[i]] = true;
        plan->steps[--kept] = step;
    }
    plan->steps += kept;
    plan->n_steps -= kept;
    return true;
}

/* Not where somebody watches: the values in between would not be seen. */
ingot_status ingot_plan_pixel_rows(ingot_plan *plan, ingot_error *error)
{
    if (plan->env->observe || plan->n_steps == 0)
        return INGOT_OK;
    const int *producers = find_producers(plan);
    bool known = producers != NULL;
    for (int s = 0; s < plan->n_steps && known; s++)
        known = plan->steps[s]->dynamic || (read_rows(plan, producers, s) && write_rows(plan, producers, s));
    return known && drop_unread(plan) ? INGOT_OK : ingot_out_of_memory(error);
}
