/* fused.c - the beginning of a chain becomes the kernel's epilogue: activation(result + residual). A fused node after
 * that keeps its operator record, so a pass of its own is that record's run() on a context whose chain input is the
 * result so far. Results in the middle share the output's memory as long as their size is the output's; when a
 * broadcast makes the result grow, what comes before it lies in scratch memory. */
#include "ops/fused.h"

#include <math.h>
#include <string.h>

#include "ops/weights.h"

/* Context of fused node f: its chain input is s->chain, its output *out, and its other inputs are those of the host
 * from fused->first_input on. UNSUPPORTED: a node of more inputs than a stage has room for. */
static ingot_status bind_stage(ingot_op_ctx *c, int f, ingot_chain_stage *s, ingot_tensor *out)
{
    const ingot_fused *fused = &c->node->fused[f];
    const ingot_node *node = fused->node;
    int next = fused->first_input;

    s->ctx = *c;
    s->ctx.parent = c;
    s->ctx.node = node;
    s->ctx.op = node->op;
    s->ctx.state = NULL;
    s->ctx.n_in = node->n_inputs;
    s->ctx.n_out = 1;
    if (node->n_inputs > INGOT_FUSED_INPUTS || !s->ctx.op)
        return ingot_op_fail(&s->ctx, INGOT_UNSUPPORTED, "fused %s has %d inputs", node->op_type, node->n_inputs);
    for (int i = 0; i < node->n_inputs; i++) {
        s->in[i] = i == fused->chain_slot ? &s->chain : c->in[next];
        s->constants[i] = i == fused->chain_slot || !c->constants ? NULL : c->constants[next];
        next += i != fused->chain_slot;
    }
    s->chain_slot = fused->chain_slot;
    s->first_input = fused->first_input;
    s->out = out;
    s->ctx.in = s->in;
    s->ctx.constants = s->constants;
    s->ctx.out = &s->out;
    return INGOT_OK;
}

/* Shape inference of the operators fused behind a host, each seeing the previous one's output as the chain's value.
 * c->out[0] holds the host's own shape on entry and the chain's on return. An error is the fused operator's own. */
ingot_status ingot_chain_infer(ingot_op_ctx *c)
{
    for (int f = 0; f < c->node->n_fused; f++) {
        ingot_chain_stage s;
        ingot_status st = bind_stage(c, f, &s, c->out[0]);
        s.chain = *c->out[0];
        s.chain.data = NULL;
        if (st || (st = s.ctx.op->infer(&s.ctx)))
            return st;
    }
    return INGOT_OK;
}

/* The layout a host can offer once every fused operator agrees; one that wants plain memory makes the whole chain
 * plain. Inputs are numbered as the fused node's, so the chain's own slot is skipped. */
ingot_layout ingot_chain_layout(const ingot_op_ctx *c, ingot_layout own)
{
    const ingot_layout plain = { INGOT_LAYOUT_PLAIN, 0 };

    for (int f = 0; f < c->node->n_fused && own.kind != INGOT_LAYOUT_PLAIN; f++) {
        ingot_tensor out = *c->out[0];
        ingot_op_ctx copy = *c;
        ingot_chain_stage s;
        if (bind_stage(&copy, f, &s, &out) || !s.ctx.op->layout)
            return plain;
        s.chain = out;                           /* an elementwise chain that grows is refused by its shapes */
        /* The fused operator's own wish must take in the chain; its other inputs are then named by the host's
         * numbers. */
        const ingot_layout wish = s.ctx.op->layout(&s.ctx);
        if (wish.kind == INGOT_LAYOUT_PLAIN || !(wish.inputs >> s.chain_slot & 1))
            return plain;
        for (int i = 0, next = s.first_input; i < s.ctx.n_in; i++) {
            if (i != s.chain_slot && wish.inputs >> i & 1)
                own.inputs |= UINT32_C(1) << next;
            next += i != s.chain_slot;
        }
    }
    return own;
}

/* A scalar constant of fused node s's input i; `otherwise` when it is left out. NaN when it is no constant. Those of
 * type float only, as the kernels have no other. */
static float scalar_constant(const ingot_chain_stage *s, int i, float otherwise)
{
    float value = NAN;

    if (i >= s->ctx.n_in || !s->in[i])
        return otherwise;
    if (s->constants[i] && s->in[i]->dtype == INGOT_FLOAT && ingot_count(s->in[i]) == 1)
        ingot_const_read(s->constants[i], &value);
    return value;
}

/* Activations by name, with the attributes that become alpha and beta. */
static const struct {
    const char *op_type;
    ingot_act act;
    const char *alpha, *beta;
    float alpha_default, beta_default;
} activations[] = {
    { "Relu", INGOT_ACT_RELU, NULL, NULL, 0.0f, 0.0f },
    { "Clip", INGOT_ACT_CLIP, NULL, NULL, 0.0f, 0.0f },
    { "LeakyRelu", INGOT_ACT_LEAKY_RELU, "alpha", NULL, 0.01f, 0.0f },
    { "HardSigmoid", INGOT_ACT_HARD_SIGMOID, "alpha", "beta", 0.2f, 0.5f },
    { "HardSwish", INGOT_ACT_HARD_SWISH, NULL, NULL, 0.0f, 0.0f },
    { "Sigmoid", INGOT_ACT_SIGMOID, NULL, NULL, 0.0f, 0.0f },
    { "Swish", INGOT_ACT_SILU, "alpha", NULL, 1.0f, 0.0f },
    { "Tanh", INGOT_ACT_TANH, NULL, NULL, 0.0f, 0.0f },
    { "Gelu", INGOT_ACT_GELU, NULL, NULL, 0.0f, 0.0f },
    { "Elu", INGOT_ACT_ELU, "alpha", NULL, 1.0f, 0.0f },
};

/* Make fused node s the kernel's activation; false when the kernel has none like it. Clip takes its bounds from inputs,
 * which must be constants. */
static bool take_activation(const ingot_chain_stage *s, ingot_epilogue *e)
{
    const ingot_node *node = s->ctx.node;

    for (size_t i = 0; i < sizeof activations / sizeof *activations; i++) {
        if (*node->domain || strcmp(node->op_type, activations[i].op_type))
            continue;
        float alpha = activations[i].alpha_default, beta = activations[i].beta_default;
        ingot_act act = activations[i].act;
        if (act == INGOT_ACT_CLIP) {
            alpha = scalar_constant(s, 1, -INFINITY);
            beta = scalar_constant(s, 2, INFINITY);
        }
        if (activations[i].alpha)
            alpha = ingot_attr_float(node, activations[i].alpha, alpha);
        if (activations[i].beta)
            beta = ingot_attr_float(node, activations[i].beta, beta);
        if (act == INGOT_ACT_GELU && strcmp(ingot_attr_string(node, "approximate", "none"), "none"))
            act = INGOT_ACT_GELU_TANH;
        if (act == INGOT_ACT_SILU && alpha != 1.0f)
            act = INGOT_ACT_SWISH;
        if (isnan(alpha) || isnan(beta))
            return false;
        e->act = act;
        e->alpha = alpha;
        e->beta = beta;
        return true;
    }
    return false;
}

/* Asked while planning: nothing is kept. */
bool ingot_chain_is_activation(const ingot_op_ctx *c)
{
    ingot_tensor out = *c->out[0];
    ingot_op_ctx copy = *c;
    ingot_epilogue e;
    ingot_chain_stage s;

    if (c->node->n_fused != 1)
        return c->node->n_fused == 0;
    if (bind_stage(&copy, 0, &s, &out))
        return false;
    s.chain = out;
    return take_activation(&s, &e);
}

/* One element for each position of the last dimension, the same everywhere else? Such an Add can be done while a row of
 * results is in registers. */
static bool is_bias(const ingot_tensor *other, const ingot_tensor *result)
{
    return other->rank > 0 && result->rank > 0 && other->rank <= result->rank && other->layout == INGOT_PLAIN &&
           other->shape[other->rank - 1] == result->shape[result->rank - 1] &&
           ingot_count(other) == other->shape[other->rank - 1];
}

/* Make fused node s part of the kernel's epilogue; false when it has to be a pass of its own. Only what comes first can
 * be: once there is a stage, or an activation, the kernel is done. An Add is a bias or a residual, each once; anything
 * else must be an activation. */
static bool take_into_kernel(ingot_op_ctx *c, unsigned in_kernel, ingot_chain *chain, const ingot_chain_stage *s)
{
    if (!in_kernel || chain->n_stages || chain->kernel.act != INGOT_ACT_NONE || s->chain.dtype != INGOT_FLOAT)
        return false;
    if (*s->ctx.node->domain || strcmp(s->ctx.node->op_type, "Add"))
        return in_kernel & INGOT_CHAIN_ACT && take_activation(s, &chain->kernel);
    /* An Add: its other input decides. */
    const ingot_tensor *other = c->in[s->first_input];
    if (s->ctx.n_in == 2 && in_kernel & INGOT_CHAIN_BIAS && chain->bias == INGOT_NONE && is_bias(other, &s->chain)) {
        chain->bias = s->first_input;
        return true;
    }
    if (!(in_kernel & INGOT_CHAIN_RESIDUAL) || chain->residual != INGOT_NONE || s->ctx.n_in != 2 ||
        !ingot_same_shape(other, &s->chain) || other->layout != s->chain.layout)
        return false;
    chain->residual = s->first_input;
    return true;
}

/* Does the result before stage f lie in the output's memory? Only if all after it do. A stage that reads and writes the
 * same memory must be able to (INGOT_OP_INPLACE). */
static bool shares_output(const ingot_op_ctx *c, const ingot_chain *chain, int f)
{
    for (int i = f; i < chain->n_stages; i++)
        if (ingot_storage_bytes(&chain->stages[i].chain) != ingot_storage_bytes(c->out[0]) ||
            !(chain->stages[i].ctx.op->flags & INGOT_OP_INPLACE))
            return false;
    return true;
}

/* The other inputs of stage s that are lazy constants. A pass of its own reads elements, not packed weights. */
static ingot_status load_constants(ingot_op_ctx *c, ingot_chain_stage *s)
{
    ingot_status st = INGOT_OK;

    for (int i = 0, next = s->first_input; i < s->ctx.n_in && !st; i++)
        if (i != s->chain_slot)
            st = ingot_load_constant(c, next++, &s->loaded[i]);
    return st;
}

/* Every intermediate begins on a cache line. */
static size_t aligned_bytes(const ingot_tensor *tensor)
{
    return (ingot_storage_bytes(tensor) + INGOT_ALIGNMENT - 1) / INGOT_ALIGNMENT * INGOT_ALIGNMENT;
}

/* Scratch memory of the stages themselves; they run one after the other, so they share it. */
static size_t own_scratch(const ingot_op_ctx *c, const ingot_chain *chain)
{
    size_t most = 0;

    for (int f = 0; f < chain->n_stages; f++) {
        const ingot_op_ctx *s = &chain->stages[f].ctx;
        most = MAX(most, s->scratch_bytes + (size_t)ingot_team_size(c->team) * s->thread_scratch_bytes);
    }
    return most;
}

/* Plan the fused operators: what in_kernel allows goes into the host's epilogue, each other one becomes a stage with an
 * intermediate between. host is the host's own output; its data pointer is set later. LIMIT where memory is out. */
ingot_status ingot_chain_prepare(ingot_op_ctx *c, const ingot_tensor *host, unsigned in_kernel, ingot_chain *chain)
{
    const int n = c->node->n_fused;
    ingot_tensor now = *host;

    memset(chain, 0, sizeof *chain);
    chain->residual = chain->bias = INGOT_NONE;
    if (n > 0 && !(chain->stages = ingot_keep(c, (size_t)n * sizeof *chain->stages)))
        return ingot_op_out_of_memory(c);
    /* Each fused node in order; `now` is the result before it. */
    for (int f = 0; f < n; f++) {
        ingot_chain_stage *s = &chain->stages[chain->n_stages];
        ingot_tensor after = now;
        ingot_status st = bind_stage(c, f, s, &after);
        s->chain = now;
        s->chain.data = NULL;
        if (st || (st = s->ctx.op->infer(&s->ctx)))
            return st;
        /* The kernel's part leaves no stage: the next node takes its place. */
        if (take_into_kernel(c, in_kernel, chain, s))
            continue;
        after.layout = now.layout;
        if ((st = load_constants(c, s)))
            return st;
        if (s->ctx.op->prepare && (st = s->ctx.op->prepare(&s->ctx)))
            return st;
        now = after;
        chain->n_stages++;
    }
    ingot_status st = INGOT_OK;
    if (chain->residual != INGOT_NONE)
        st = ingot_load_constant(c, chain->residual, &chain->loaded_residual);
    if (chain->bias != INGOT_NONE && !st)
        st = ingot_load_constant(c, chain->bias, &chain->loaded_bias);
    if (st)
        return st;
    /* Scratch memory: what the stages use while they run, and results in the middle that have no place in the
     * output. */
    for (int f = 0; f < chain->n_stages; f++)
        if (!shares_output(c, chain, f))
            chain->scratch_bytes += aligned_bytes(&chain->stages[f].chain);
    chain->scratch_bytes += own_scratch(c, chain);
    return INGOT_OK;
}

/* Bind pointers for one run and return where the host writes. Intermediates follow the stages' own scratch, except
 * those that may use the output's memory. Inputs are looked up in each run, because their tensors may change between
 * runs. */
void *ingot_chain_begin(ingot_op_ctx *c, ingot_chain *chain, char *scratch, ingot_epilogue *kernel)
{
    char *const own = scratch;

    scratch += own_scratch(c, chain);
    for (int f = 0; f < chain->n_stages; f++) {
        ingot_chain_stage *s = &chain->stages[f];
        s->ctx.scratch = own;
        s->chain.data = c->out[0]->data;
        if (!shares_output(c, chain, f)) {
            s->chain.data = scratch;
            scratch += aligned_bytes(&s->chain);
        }
        s->out = f + 1 < chain->n_stages ? &s[1].chain : c->out[0];
        for (int i = 0, next = s->first_input; i < s->ctx.n_in; i++)
            if (i != s->chain_slot) {
                s->in[i] = s->loaded[i] ? s->loaded[i] : c->in[next];
                next++;
            }
    }
    /* The epilogue's pointers are this run's. */
    *kernel = chain->kernel;
    if (chain->residual != INGOT_NONE)
        kernel->residual = (chain->loaded_residual ? chain->loaded_residual : c->in[chain->residual])->data;
    if (chain->bias != INGOT_NONE)
        kernel->bias = (chain->loaded_bias ? chain->loaded_bias : c->in[chain->bias])->data;
    return chain->n_stages ? chain->stages[0].chain.data : c->out[0]->data;
}

/* Run the stages in order, with this run's team, error and cancel flag; the first failure ends the chain. */
ingot_status ingot_chain_finish(ingot_op_ctx *c, ingot_chain *chain)
{
    ingot_status st = INGOT_OK;

    for (int f = 0; f < chain->n_stages && !st; f++) {
        ingot_chain_stage *s = &chain->stages[f];
        s->ctx.team = c->team;
        s->ctx.error = c->error;
        s->ctx.host = c->host;
        s->ctx.parent = c;
        st = s->ctx.op->run(&s->ctx);
    }
    return st;
}
