/* find_shuffle.c - channels that are shuffled between convolutions: Reshape, Transpose and Reshape back, and the Slices
 * and Concats around them. A convolution that reads the result gets its channels in one step, each from the convolution
 * that made it: nothing becomes row-major on the way, and channels that pass several blocks untouched are not copied in
 * each. Steps that nobody needs any more are dropped with the others. */
#include "engine/plan/plan.h"
#include "ops/gather_channels.h"

/* MOST_SOURCES: bits of a layout's mask. The others bound the time that planning takes. */
enum { MOST_SOURCES = 32, MOST_HOPS = 64, MOST_CHANNELS = 8192 };

/* A shuffled value: its channels, and the values that they come from. */
typedef struct shuffle {
    ingot_channel *channels;
    int sources[MOST_SOURCES], n_sources;
} shuffle;

/* Images of floats, with one or two dimensions of pixels. */
static bool is_image(const ingot_tensor *t)
{
    return t->kind == INGOT_TENSOR && t->dtype == INGOT_FLOAT && (t->rank == 3 || t->rank == 4) && ingot_count(t) > 0;
}

/* Do they differ in channels alone? */
static bool same_pixels(const ingot_tensor *a, const ingot_tensor *b)
{
    bool same = a->rank == b->rank && a->shape[0] == b->shape[0];
    for (int d = 2; d < a->rank && same; d++)
        same = a->shape[d] == b->shape[d];
    return same;
}

/* Does the operator give blocked results whatever it reads? */
static bool is_blocked(const ingot_step *step)
{
    return !step->dynamic && step->ctx.op->layout && step->ctx.op->layout(&step->ctx).kind == INGOT_LAYOUT_NATIVE;
}

/* Channel *channel of image *value, seen through steps that only rearrange; false where it is none of another image. */
static bool trace_channel(const ingot_plan *plan, const ingot_uses *uses, int *value, int64_t *channel)
{
    const ingot_tensor *image = &plan->values[*value]->tensor;
    const int64_t pixels = ingot_span(image, 2, image->rank);
    ingot_strided view = ingot_strided_whole(plan, *value);
    const int axis = INGOT_STRIDED_RANK - image->rank + 1;

    view.shape[axis] = 1;
    view.strides[axis] = 0;
    view.offset = *channel * pixels;
    const ingot_strided before = view;
    ingot_strided_trace(plan, uses->producers, &view);
    const ingot_tensor *from = &plan->values[view.value]->tensor;
    if (!is_image(from) || !same_pixels(from, image) || view.offset % pixels || view.offset / pixels >= from->shape[1])
        return false;
    for (int d = 0; d < INGOT_STRIDED_RANK; d++)      /* images lie behind each other, pixels as they did */
        if (view.shape[d] > 1 && view.strides[d] != (d < axis ? from->shape[1] * pixels : before.strides[d]))
            return false;
    *value = view.value;
    *channel = view.offset / pixels;
    return true;
}

/* Is the step a Concat of channels? */
static bool joins_channels(const ingot_step *step)
{
    const int64_t axis = ingot_attr_int(step->ctx.node, "axis", 0);
    return ingot_step_is(step, "Concat") && !step->ctx.node->n_fused &&
           (axis == 1 || axis == 1 - step->ctx.out[0]->rank);
}

/* The image and channel that channel *channel of *value comes from in the end; false where that is none that a
 * convolution or the like made. */
static bool find_source(const ingot_plan *plan, const ingot_uses *uses, int *value, int64_t *channel)
{
    for (int hop = 0; hop < MOST_HOPS; hop++) {
        if (!trace_channel(plan, uses, value, channel) || uses->producers[*value] == INGOT_NONE)
            return false;
        const ingot_step *step = plan->steps[uses->producers[*value]];
        if (!joins_channels(step))
            return is_blocked(step) && step->outputs[0] == *value;
        int i = 0;
        for (; *channel >= step->ctx.in[i]->shape[1]; i++)
            *channel -= step->ctx.in[i]->shape[1];
        *value = step->inputs[i];
    }
    return false;
}

/* The number of a source, which becomes one where it is none yet; MOST_SOURCES: there are too many. */
static int source_number(shuffle *s, int value)
{
    int i = 0;
    while (i < s->n_sources && s->sources[i] != value)
        i++;
    if (i == s->n_sources && i < MOST_SOURCES)
        s->sources[s->n_sources++] = value;
    return i;
}

/* Fills in `s` for `value`; false where its channels come from elsewhere, or in so long runs that they are not shuffled
 * at all. */
static bool find_shuffle(const ingot_plan *plan, const ingot_uses *uses, int value, shuffle *s)
{
    const int64_t n = plan->values[value]->tensor.shape[1];
    int64_t runs = 0;

    for (int64_t c = 0; c < n; c++) {
        ingot_channel *at = &s->channels[c];
        int source = value;
        at->channel = c;
        if (!find_source(plan, uses, &source, &at->channel))
            return false;
        at->input = source_number(s, source);
        if (at->input == MOST_SOURCES)
            return false;
        runs += c == 0 || at->input != at[-1].input || at->channel != at[-1].channel + 1;
    }
    return 2 * runs > n;
}

/* Where `step` reads an image, blocked, that only rearranging makes: that image; else INGOT_NONE. */
static int rearranged(const ingot_plan *plan, const ingot_uses *uses, const ingot_step *step)
{
    const int value = step->ctx.n_in > 0 ? step->inputs[0] : INGOT_NONE;
    const int s = value == INGOT_NONE ? INGOT_NONE : uses->producers[value];

    if (s == INGOT_NONE || !is_blocked(step) || !(step->ctx.op->layout(&step->ctx).inputs & 1) ||
        !is_image(&plan->values[value]->tensor) || plan->values[value]->tensor.shape[1] > MOST_CHANNELS)
        return INGOT_NONE;
    const ingot_op *op = plan->steps[s]->ctx.op;
    return !plan->steps[s]->dynamic && (op->strided || op->flags & INGOT_OP_VIEW) ? value : INGOT_NONE;
}

/* A step that gathers `value` anew, as another value; NULL when memory is out. */
static ingot_step *make_gather(ingot_plan *plan, int value, const shuffle *s)
{
    const ingot_tensor tensor = plan->values[value]->tensor;
    const int to = ingot_plan_add_value(plan, &tensor);
    ingot_node *node = ingot_arena_alloc(&plan->arena, sizeof *node);
    bool known;

    if (to == INGOT_NONE || !node)
        return NULL;
    plan->values[to]->place = INGOT_PLACE_ARENA;
    *node = (ingot_node){.name = plan->graph->values[value].name, .op_type = "GatherChannels",
                         .domain = "ingot.internal", .version = 1, .n_inputs = s->n_sources,
                         .n_all_inputs = s->n_sources, .n_outputs = 1};
    node->op = ingot_op_find(node->domain, node->op_type, 1, &known);
    ingot_step *step = ingot_plan_make_step(plan, node, s->sources, s->n_sources, &to, 1);
    if (step)
        step->ctx.state = s->channels;
    return step;
}

/* Gathers in front of the steps that read them, which make a longer list; the last finder, as it changes the numbers of
 * steps. Not where somebody watches: the values in between would not be seen. */
ingot_status ingot_plan_shuffle(ingot_plan *plan, ingot_uses *uses, ingot_error *error)
{
    const int n_values = plan->graph->n_values;
    ingot_step **steps = ingot_arena_array(&plan->arena, 2 * (size_t)plan->n_steps, sizeof *steps);
    int *gathered = ingot_arena_array(&plan->arena, (size_t)n_values + 1, sizeof *gathered), n = 0;

    if (plan->env->observe)
        return INGOT_OK;
    if (!steps || !gathered)
        return ingot_out_of_memory(error);
    for (int v = 0; v < n_values; v++)
        gathered[v] = INGOT_NONE;
    for (int i = 0; i < plan->n_steps; i++) {
        ingot_step *step = plan->steps[i];
        const int value = rearranged(plan, uses, step);
        const ingot_status stopped = ingot_plan_stopped(plan->env, error);
        shuffle s = {.n_sources = 0};
        if (stopped)
            return stopped;
        if (value != INGOT_NONE && value < n_values && gathered[value] == INGOT_NONE) {
            const size_t channels = (size_t)plan->values[value]->tensor.shape[1];
            s.channels = ingot_arena_array(&plan->arena, channels, sizeof *s.channels);
            if (!s.channels)
                return ingot_out_of_memory(error);
            if (find_shuffle(plan, uses, value, &s)) {
                if (!(steps[n] = make_gather(plan, value, &s)))
                    return ingot_out_of_memory(error);
                gathered[value] = steps[n++]->outputs[0];
            }
        }
        if (value != INGOT_NONE && value < n_values && gathered[value] != INGOT_NONE) {
            step->inputs[0] = gathered[value];
            step->ctx.in[0] = &plan->values[gathered[value]]->tensor;
        }
        steps[n++] = step;
    }
    plan->steps = steps;
    plan->n_steps = n;
    return INGOT_OK;
}
