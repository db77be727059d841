/* find_attention.c - scaled dot-product attention as exporters spell it: MatMul(Softmax(scale Q K' [+ mask]), V), where
 * the scale is a number on the scores, on Q, on K', or on several of them, and weights that are NaN may become 0. With
 * every shape known it is found by looking, and its last product becomes one step of the internal operator Attention,
 * which reads Q, K and V where their elements come from: heads need not be cut out and transposed first. A Transpose of
 * the result is written in place as well. The graph keeps its nodes; steps that nobody needs any more are dropped with
 * the others. */
#include <string.h>

#include "engine/plan/plan.h"
#include "ops/attention.h"

/* What all functions here look into: the steps, and who makes and reads each value. */
typedef struct finder {
    ingot_plan *plan;
    ingot_uses *uses;
} finder;

/* An attention that was recognized: where its operands come from, strides and all. */
typedef struct found {
    ingot_strided q, k, v;               /* K as (batch, heads, depth, keys) */
    int mask;                            /* or INGOT_NONE */
    double scale;
    bool nan_is_zero;
} found;

/* See ingot_made_by(). */
static ingot_step *made_by(const finder *f, int value, const char *op_type, bool alone)
{
    return ingot_made_by(f->plan, f->uses, value, op_type, alone);
}

/* A known number: the one element of a float constant, which may still lie in the file. False where it is none. The
 * rank does not matter. Lazy constants are read without giving them memory. */
static bool read_number(const finder *f, int value, double *number)
{
    const ingot_plan_value *v = f->plan->values[value];
    float x;

    if (v->place != INGOT_PLACE_KNOWN || v->tensor.dtype != INGOT_FLOAT || ingot_count(&v->tensor) != 1)
        return false;
    if (v->tensor.data)
        memcpy(&x, v->tensor.data, sizeof x);
    else if (v->constant)
        ingot_const_read(v->constant, &x);
    else
        return false;
    *number = (double)x;
    return true;
}

/* What `value` is a multiple of, by a Mul or Div with a number that changes no shape; the factor goes into the scale.
 * `value` itself where there is none, or where others read the result and it may not be left out (`alone`). For Div the
 * number must be the divisor; for Mul it may be either operand. */
static int unscaled(const finder *f, int value, bool alone, double *scale)
{
    const ingot_step *mul = made_by(f, value, "Mul", alone), *div = made_by(f, value, "Div", alone);
    const ingot_step *step = mul ? mul : div;
    double factor;

    for (int i = 0; step && !step->ctx.node->n_fused && i < (mul ? 2 : 1); i++) {
        if (!read_number(f, step->inputs[1 - i], &factor) || !ingot_same_shape(step->ctx.in[i], step->ctx.out[0]) ||
            (div && factor == 0))
            continue;
        *scale = div ? *scale / factor : *scale * factor;
        return step->inputs[i];
    }
    return value;
}

/* All of an operand as (batch, heads, rows, columns), repeated where the product broadcasts it. The rank is at most
 * INGOT_STRIDED_RANK, which the callers have checked. */
static ingot_strided operand(const finder *f, int value, const ingot_strided *scores)
{
    ingot_strided view = ingot_strided_whole(f->plan, value);

    ingot_strided_trace(f->plan, f->uses->producers, &view);
    for (int d = 0; d < 2; d++)
        view.shape[d] = scores->shape[d];                /* a step of 0 where that was 1 */
    return view;
}

/* The product Q K' behind `scores`, which may be scaled; `whole` is what Softmax reads. Fills in q, k and scale, and
 * the mask where a pass has fused its Add into the product. False where there is no such product. The rank of the
 * product's operands is 2 at least, and its shape that of the scores: no scale in between has broadcast. */
static bool find_product(const finder *f, int scores, const ingot_strided *whole, found *a)
{
    a->scale = 1;
    const int inside = unscaled(f, scores, true, &a->scale);
    const ingot_step *product = made_by(f, inside, "MatMul", true);
    if (!product || product->ctx.node->n_fused > 1 || product->ctx.node->n_inputs != 2)
        return false;
    if (product->ctx.node->n_fused) {                    /* the mask, fused into the product */
        const ingot_fused *add = &product->ctx.node->fused[0];
        if (a->mask != INGOT_NONE || a->scale != 1 || strcmp(add->node->op_type, "Add") || add->node->n_inputs != 2)
            return false;
        a->mask = product->inputs[add->first_input];
    }
    if (product->ctx.in[0]->rank < 2 || product->ctx.in[1]->rank < 2 ||
        !ingot_same_shape(product->ctx.out[0], &f->plan->values[scores]->tensor))
        return false;
    a->q = operand(f, unscaled(f, product->inputs[0], false, &a->scale), whole);
    a->k = operand(f, unscaled(f, product->inputs[1], false, &a->scale), whole);
    return a->q.shape[2] == whole->shape[2] && a->k.shape[3] == whole->shape[3];
}

/* Does the mask add to scores of this shape without making them larger, along whole rows of keys? Aligned at the last
 * axes, each of the mask's dimensions is 1 or that of the scores. */
static bool mask_fits(const finder *f, int mask, const ingot_tensor *scores)
{
    if (mask == INGOT_NONE)
        return true;
    const ingot_tensor *t = &f->plan->values[mask]->tensor;
    bool fits = t->kind == INGOT_TENSOR && t->dtype == INGOT_FLOAT && t->rank >= 1 && t->rank <= scores->rank &&
                t->shape[t->rank - 1] == scores->shape[scores->rank - 1];
    for (int d = 1; fits && d <= t->rank; d++)
        fits = t->shape[t->rank - d] == 1 || t->shape[t->rank - d] == scores->shape[scores->rank - d];
    return fits;
}

/* The Softmax that makes `weights`, which the product alone reads; or the one behind Where(IsNaN(x), 0, x), by which
 * PyTorch makes zeros of the rows that a mask hides. NULL: none. */
static const ingot_step *find_softmax(const finder *f, int weights, bool *nan_is_zero)
{
    const ingot_step *where = made_by(f, weights, "Where", true);
    double instead;

    *nan_is_zero = where && !where->ctx.node->n_fused && read_number(f, where->inputs[1], &instead) && instead == 0 &&
                   ingot_same_shape(where->ctx.in[2], where->ctx.out[0]);
    if (!*nan_is_zero)
        return made_by(f, weights, "Softmax", true);
    /* what Where asks about, and what it passes on, are the same */
    const int x = where->inputs[2], asked = where->inputs[0];
    const int s = asked == INGOT_NONE || f->uses->readers[asked] != 1 ? INGOT_NONE : f->uses->producers[asked];
    const ingot_node *is_nan = s == INGOT_NONE ? NULL : f->plan->steps[s]->ctx.node;
    if (!is_nan || *is_nan->domain || strcmp(is_nan->op_type, "IsNaN") || f->plan->steps[s]->inputs[0] != x ||
        f->uses->readers[x] != 2)
        return NULL;
    return made_by(f, x, "Softmax", false);
}

/* Is this step the last product of an attention? Nothing is empty, the batches of all operands broadcast to those of
 * the scores, and what lies in between is read by nobody else and is no output. Softmax must be of the form that
 * normalizes one axis (13 and later), and that axis the last one. The Add of a mask may have its operands either way
 * round. */
static bool find_attention(const finder *f, const ingot_step *step, found *a)
{
    const ingot_node *node = step->ctx.node;
    if (!ingot_step_is(step, "MatMul") || node->n_fused || step->ctx.n_in != 2)
        return false;
    const ingot_step *softmax = find_softmax(f, step->inputs[0], &a->nan_is_zero);
    if (!softmax || softmax->ctx.op->until)
        return false;
    /* Softmax along the keys, of scores that nothing else reads; values of no higher rank than those. */
    const ingot_tensor *scores = softmax->ctx.in[0], *v = step->ctx.in[1], *y = step->ctx.out[0];
    const int64_t axis = ingot_attr_int(softmax->ctx.node, "axis", -1);
    if ((axis != -1 && axis != scores->rank - 1) || scores->rank < 2 || scores->rank > INGOT_STRIDED_RANK ||
        v->rank < 2 || v->rank > scores->rank || y->rank != scores->rank || ingot_count(scores) == 0 ||
        ingot_count(y) == 0 || f->uses->readers[softmax->inputs[0]] != 1)
        return false;
    for (int d = 0; d < y->rank - 2; d++)
        if (y->shape[d] != scores->shape[d])
            return false;
    /* With a mask: one operand of the Add is the scores, the other the mask. Else Softmax reads the scores as they
     * are. */
    const ingot_strided whole = ingot_strided_whole(f->plan, softmax->inputs[0]);
    const ingot_step *add = made_by(f, softmax->inputs[0], "Add", true);
    bool is_it = false;
    a->mask = INGOT_NONE;
    for (int i = 0; add && !add->ctx.node->n_fused && i < 2 && !is_it; i++) {
        a->mask = add->inputs[1 - i];
        is_it = find_product(f, add->inputs[i], &whole, a);
    }
    if (!add)
        is_it = find_product(f, softmax->inputs[0], &whole, a);
    if (!is_it || !mask_fits(f, a->mask, scores) || a->q.shape[3] == 0)
        return false;
    a->v = operand(f, step->inputs[1], &whole);
    return true;
}

/* The steps of a view, as the operator takes them. In elements, for batch, head, row and column. */
static ingot_heads heads_of(const ingot_strided *view)
{
    return (ingot_heads){view->strides[0], view->strides[1], view->strides[2], view->strides[3]};
}

/* Where the result goes: into its own value, or into that of a Transpose that alone reads it, if its last dimension
 * stays the last. Strides come from the Transpose itself: they tell along which dimension of the product each of its
 * own runs. Returns the value that the new step makes. */
static int place_result(const finder *f, ingot_step *step, ingot_heads *at)
{
    const int own = step->outputs[0];
    const ingot_strided whole = ingot_strided_whole(f->plan, own);
    ingot_heads *result = at;

    *result = heads_of(&whole);
    result->column = 1;
    for (int s = 0; s < f->plan->n_steps && f->uses->readers[own] == 1; s++) {
        ingot_step *next = f->plan->steps[s];
        int64_t offset, strides[INGOT_MAX_RANK], place[INGOT_STRIDED_RANK] = {0}, size = 1;
        if (next->inputs[0] != own || !ingot_step_is(next, "Transpose") ||
            !next->ctx.op->strided(&next->ctx, 0, &offset, strides))
            continue;
        const ingot_tensor *to = next->ctx.out[0];
        if (to->shape[to->rank - 1] != whole.shape[3] || strides[to->rank - 1] != 1)
            return own;
        for (int d = to->rank - 1; d >= 0; d--) {        /* dimension d of the Transpose is dimension k of the result */
            for (int k = 0; k < INGOT_STRIDED_RANK; k++)
                if (whole.shape[k] > 1 && to->shape[d] == whole.shape[k] && strides[d] == whole.strides[k])
                    place[k] = size;
            size *= to->shape[d];
        }
        *result = (ingot_heads){place[0], place[1], place[2], 1};
        return next->outputs[0];
    }
    return own;
}

/* The node of the new step, named after the product; NULL when memory is out. The form travels as an attribute of
 * integers, since a step gets its parameters from its node. It lives in the plan's arena. */
static ingot_node *make_node(ingot_plan *plan, const ingot_node *last, const ingot_attention_form *form)
{
    ingot_node *node = ingot_arena_alloc(&plan->arena, sizeof *node);
    ingot_attr *attr = ingot_arena_alloc(&plan->arena, sizeof *attr);
    const int64_t *ints = ingot_arena_copy(&plan->arena, form, sizeof *form);
    bool known;

    if (!node || !attr || !ints)
        return NULL;
    *attr = (ingot_attr){.name = "form", .type = INGOT_ATTR_INTS, .n = sizeof *form / sizeof *ints, .ints = ints};
    *node = (ingot_node){.name = last->name, .op_type = "Attention", .domain = "ingot.internal", .version = 1,
                         .n_inputs = 4, .n_all_inputs = 4, .n_outputs = 1, .n_attrs = 1, .attrs = attr};
    node->op = ingot_op_find(node->domain, node->op_type, 1, &known);
    return node;
}

/* Put an Attention in the place of plan->steps[s]. False when memory is out. The steps in front keep their places and
 * are dropped later, where nobody else reads what they make. */
static bool replace(finder *f, int s, const found *a)
{
    ingot_plan *plan = f->plan;
    ingot_step *last = plan->steps[s];
    ingot_attention_form form = {
        .batch = a->q.shape[0], .heads = a->q.shape[1], .queries = a->q.shape[2], .depth = a->q.shape[3],
        .keys = a->k.shape[3], .v_depth = a->v.shape[3], .q_first = a->q.offset, .k_first = a->k.offset,
        .v_first = a->v.offset, .q_at = heads_of(&a->q), .v_at = heads_of(&a->v),
        .k_at = {a->k.strides[0], a->k.strides[1], a->k.strides[3], a->k.strides[2]},
        .nan_is_zero = a->nan_is_zero,
    };
    const float scale = (float)a->scale;

    memcpy(&form.scale_bits, &scale, sizeof scale);
    if (a->mask != INGOT_NONE) {
        const ingot_strided mask = ingot_strided_whole(plan, a->mask);
        form.mask_at = heads_of(&mask);
    }
    const int to = place_result(f, last, &form.y_at);
    const int inputs[4] = {a->q.value, a->k.value, a->v.value, a->mask};
    const ingot_node *node = make_node(plan, last->ctx.node, &form);
    ingot_step *step = node ? ingot_plan_make_step(plan, node, inputs, 4, &to, 1) : NULL;
    if (!step)
        return false;
    plan->steps[s] = step;
    if (to != last->outputs[0]) {                        /* the Transpose has nothing to do any more */
        ingot_step *transpose = plan->steps[f->uses->producers[to]];
        transpose->outputs[0] = INGOT_NONE;
        transpose->ctx.out[0] = NULL;
        f->uses->producers[last->outputs[0]] = INGOT_NONE;
        f->uses->producers[to] = s;
    }
    return true;
}

/* Every attention of the plan, in running order: what one makes may be cut into the heads of the next. INGOT_LIMIT when
 * memory is out; the plan is then only fit to be freed. */
ingot_status ingot_plan_attention(ingot_plan *plan, ingot_uses *uses, ingot_error *error)
{
    finder f = {plan, uses};

    for (int s = 0; s < plan->n_steps; s++) {
        found a;
        if (find_attention(&f, plan->steps[s], &a) && !replace(&f, s, &a))
            return ingot_out_of_memory(error);
    }
    return INGOT_OK;
}
