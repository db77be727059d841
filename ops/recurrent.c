/* recurrent.c - RNN, GRU and LSTM.
 *
 * The inputs' part of all gates is one matrix product over every step and sample; a step then adds the state's part,
 * one packed product per gate with the inputs' part as its residual, and combines the gates. A step is split by columns
 * of the state (panels of the packed weights), so that a range of the state needs nothing of the others before the next
 * step; with two directions and more than one thread each direction runs whole on a thread of its own.
 *
 * Gates stand in ONNX's order: i o f c (LSTM), z r h (GRU). 16-bit floats are widened to float first. */
#include <math.h>
#include <string.h>

#include "ops/recurrent.h"
#include "ops/weights.h"

enum { X, W, R, B, SEQUENCE_LENS, INITIAL_H, INITIAL_C, P };

static ingot_status out_of_memory(ingot_op_ctx *c)
{
    return ingot_op_fail(c, INGOT_LIMIT, "out of memory, or past the memory limit");
}

/* ---- attributes and shapes ---- */

/* The three operators differ in gates only and share everything else here. */
static ingot_cell cell_of(const ingot_op_ctx *c)
{
    return !strcmp(c->op->op_type, "LSTM") ? INGOT_CELL_LSTM : !strcmp(c->op->op_type, "GRU") ? INGOT_CELL_GRU
                                                                                              : INGOT_CELL_RNN;
}

/* An optional input that is left out fits; another must have exactly this shape. */
static ingot_status check_shape(ingot_op_ctx *c, int input, int rank, int64_t d0, int64_t d1, int64_t d2)
{
    char text[128];
    const int64_t want[3] = {d0, d1, d2};
    if (!ingot_has(c, input))
        return INGOT_OK;
    const ingot_tensor *t = c->in[input];
    bool fits = t->rank == rank;
    for (int i = 0; i < rank && fits; i++)
        fits = t->shape[i] == want[i];
    return fits ? INGOT_OK
                : ingot_op_fail(c, INGOT_INVALID, "input %d has shape %s, which does not fit the others", input,
                                ingot_shape_text(t, text, sizeof text));
}

/* X (T, N, inputs), W (D, gates * hidden, inputs), R (D, gates * hidden, hidden); layout 1 puts N first. D is 1 or
 * 2. */
static ingot_status read_sizes(ingot_op_ctx *c, ingot_recurrent *r)
{
    const ingot_tensor *x = c->in[X], *w = c->in[W], *state = c->in[R];
    r->cell = cell_of(c);
    r->gates = r->cell == INGOT_CELL_LSTM ? 4 : r->cell == INGOT_CELL_GRU ? 3 : 1;
    r->batch_first = ingot_attr_int(c->node, "layout", 0) != 0;
    if (x->rank != 3 || w->rank != 3 || state->rank != 3)
        return ingot_op_fail(c, INGOT_INVALID, "inputs X, W and R must have rank 3");
    r->steps = x->shape[r->batch_first ? 1 : 0];
    r->batch = x->shape[r->batch_first ? 0 : 1];
    r->inputs = x->shape[2];
    r->directions = (int)MIN(w->shape[0], (int64_t)3);
    r->hidden = state->shape[2];
    const int64_t gates = r->gates * r->hidden, d = w->shape[0];
    const int64_t s0 = r->batch_first ? r->batch : d, s1 = r->batch_first ? d : r->batch;
    ingot_status st;
    if (d < 1 || d > 2 || r->hidden < 1 || r->hidden > INT32_MAX)
        return ingot_op_fail(c, INGOT_INVALID, "%lld directions of %lld hidden units are not possible", (long long)d,
                             (long long)r->hidden);
    if ((st = check_shape(c, W, 3, d, gates, r->inputs)) || (st = check_shape(c, R, 3, d, gates, r->hidden)) ||
        (st = check_shape(c, B, 2, d, 2 * gates, 0)) || (st = check_shape(c, SEQUENCE_LENS, 1, r->batch, 0, 0)) ||
        (st = check_shape(c, INITIAL_H, 3, s0, s1, r->hidden)) ||
        (st = check_shape(c, INITIAL_C, 3, s0, s1, r->hidden)) || (st = check_shape(c, P, 2, d, 3 * r->hidden, 0)))
        return st;
    return INGOT_OK;
}

/* Y (T, D, N, hidden), Y_h and Y_c (D, N, hidden), or with N first when layout is 1. */
static ingot_status infer_recurrent(ingot_op_ctx *c)
{
    ingot_recurrent r = {0};
    ingot_status st = read_sizes(c, &r);
    const int64_t d = r.directions;
    const int64_t y[4] = {r.batch_first ? r.batch : r.steps, r.batch_first ? r.steps : d, r.batch_first ? d : r.batch,
                          r.hidden};
    const int64_t last[3] = {r.batch_first ? r.batch : d, r.batch_first ? d : r.batch, r.hidden};
    if (st || (st = ingot_out(c, 0, c->in[X]->dtype, 4, y)) || (st = ingot_out(c, 1, c->in[X]->dtype, 3, last)))
        return st;
    return ingot_out(c, 2, c->in[X]->dtype, 3, last);
}

/* Activation functions by name, with the standard's defaults for alpha and beta. */
static const struct {
    const char *name;
    ingot_gate_function function;
    float alpha, beta;
} functions[] = {
    {"Sigmoid", INGOT_GATE_SIGMOID, 0, 0},       {"Tanh", INGOT_GATE_TANH, 0, 0},
    {"Relu", INGOT_GATE_RELU, 0, 0},             {"LeakyRelu", INGOT_GATE_LEAKY_RELU, 0.01f, 0},
    {"HardSigmoid", INGOT_GATE_HARD_SIGMOID, 0.2f, 0.5f}, {"Elu", INGOT_GATE_ELU, 1, 0},
    {"Affine", INGOT_GATE_AFFINE, 1, 0},         {"ThresholdedRelu", INGOT_GATE_THRESHOLDED_RELU, 1, 0},
    {"ScaledTanh", INGOT_GATE_SCALED_TANH, 1, 1}, {"Softsign", INGOT_GATE_SOFTSIGN, 0, 0},
    {"Softplus", INGOT_GATE_SOFTPLUS, 0, 0},
};

enum { N_FUNCTIONS = sizeof functions / sizeof *functions };

/* Entry index of an attribute that may be absent or shorter than the activations. */
static float listed_float(const ingot_op_ctx *c, const char *name, size_t index, float otherwise)
{
    const ingot_attr *attr = ingot_node_attr(c->node, name);
    return attr && attr->type == INGOT_ATTR_FLOATS && index < attr->n ? attr->floats[index] : otherwise;
}

/* Case does not matter, says the standard. */
static bool same_word(const char *a, const char *b)
{
    for (; *a && *b; a++, b++)
        if ((*a | 0x20) != (*b | 0x20))
            return false;
    return *a == *b;
}

/* One function for each gate kind and direction; a list must name all of them. Names compare without case, as
 * exporters differ. */
static ingot_status read_activations(ingot_op_ctx *c, ingot_recurrent *r)
{
    static const char *const defaults[] = {"Tanh", "Sigmoid", "Tanh", "Tanh"};
    const int n = r->cell == INGOT_CELL_LSTM ? 3 : r->cell == INGOT_CELL_GRU ? 2 : 1;
    const ingot_attr *attr = ingot_node_attr(c->node, "activations");
    const bool listed = attr && attr->type == INGOT_ATTR_STRINGS && attr->n > 0;
    if (listed && attr->n != (size_t)(n * r->directions))
        return ingot_op_fail(c, INGOT_INVALID, "attribute 'activations': %zu names, expected %d", attr->n,
                             n * r->directions);
    for (int i = 0; i < n * r->directions; i++) {
        const char *name = listed ? attr->strings[i].data : defaults[n == 1 ? 0 : 1 + i % n];
        ingot_gate *gate = &r->activation[i / n][i % n];
        int f = 0;
        while (f < N_FUNCTIONS && !same_word(functions[f].name, name))
            f++;
        if (f == N_FUNCTIONS)
            return ingot_op_fail(c, INGOT_INVALID, "attribute 'activations': '%.40s' is not known", name);
        gate->function = functions[f].function;
        gate->alpha = listed_float(c, "activation_alpha", (size_t)i, functions[f].alpha);
        gate->beta = listed_float(c, "activation_beta", (size_t)i, functions[f].beta);
    }
    return INGOT_OK;
}

/* direction must fit the weights and hidden_size must fit R: each is told twice by the model. */
static ingot_status read_attributes(ingot_op_ctx *c, ingot_recurrent *r)
{
    const char *direction = ingot_attr_string(c->node, "direction", "forward");
    const bool both = !strcmp(direction, "bidirectional");
    const int64_t hidden = ingot_attr_int(c->node, "hidden_size", r->hidden);
    r->reverse = !strcmp(direction, "reverse");
    r->clip = ingot_attr_float(c->node, "clip", 0.0f);
    r->linear_before_reset = ingot_attr_int(c->node, "linear_before_reset", 0) != 0;
    r->input_forget = ingot_attr_int(c->node, "input_forget", 0) != 0;
    if (!both && !r->reverse && strcmp(direction, "forward"))
        return ingot_op_fail(c, INGOT_INVALID, "attribute 'direction': '%.40s' is not known", direction);
    if (both != (r->directions == 2))
        return ingot_op_fail(c, INGOT_INVALID, "attribute 'direction': '%s' does not fit weights for %d directions",
                             direction, r->directions);
    if (hidden != r->hidden)
        return ingot_op_fail(c, INGOT_INVALID, "attribute 'hidden_size': %lld, but R has %lld", (long long)hidden,
                             (long long)r->hidden);
    return read_activations(c, r);
}

/* ---- packed weights ---- */

enum { PACK_TAG = 0x52 };

/* Pack W (all gates of a direction in one) and R (each gate by itself) of every direction. */
static void pack_weights(const ingot_op_ctx *c, const ingot_recurrent *r, const float *w, const float *state, float *to)
{
    const ingot_kernels *k = c->kernels;
    const int64_t gates = r->gates * r->hidden;
    for (int d = 0; d < r->directions; d++) {
        k->gemm_pack_f32(to, w + d * gates * r->inputs, 1, r->inputs, gates, r->inputs, 0, k->gemm_panels_f32(gates));
        to += r->packed_w;
        for (int g = 0; g < r->gates; g++, to += r->packed_r)
            k->gemm_pack_f32(to, state + (d * gates + g * r->hidden) * r->hidden, 1, r->hidden, r->hidden, r->hidden, 0,
                             k->gemm_panels_f32(r->hidden));
    }
}

/* W and R in the product's panels. Constants are packed once and shared by all sessions; others are packed in each
 * run. */
static ingot_status prepare_packed(ingot_op_ctx *c, ingot_recurrent *r)
{
    bool fill;
    void *own_w = NULL, *own_r = NULL;
    r->packed_w = c->kernels->gemm_packed_f32(r->gates * r->hidden, r->inputs);
    r->packed_r = c->kernels->gemm_packed_f32(r->hidden, r->hidden);
    r->packed_floats = r->directions * (r->packed_w + r->gates * r->packed_r);
    if (!c->constants[W] || !c->constants[R] || ingot_is_16bit(c->in[W]->dtype))
        return INGOT_OK;
    float *packed = ingot_packed(c, PACK_TAG, (size_t)r->packed_floats * sizeof *packed, &fill);
    if (!packed)
        return out_of_memory(c);
    r->packed = packed;
    if (!fill)
        return INGOT_OK;
    const float *w = ingot_read_constant(c, W, &own_w), *state = ingot_read_constant(c, R, &own_r);
    if (w && state)
        pack_weights(c, r, w, state, packed);
    ingot_unread_constant(c, W, own_w);
    ingot_unread_constant(c, R, own_r);
    return w && state ? INGOT_OK : out_of_memory(c);
}

/* Scratch for each direction: the inputs' part of all steps, done as one product, and the state of one step. */
static ingot_status prepare_recurrent(ingot_op_ctx *c)
{
    ingot_recurrent *r = c->state = ingot_keep(c, sizeof *r);
    ingot_status st = r ? read_sizes(c, r) : out_of_memory(c);
    if (st || (st = read_attributes(c, r)) || (st = prepare_packed(c, r)))
        return st;
    for (int i = B; i <= P; i++) /* the small ones are read as they are */
        if (i < c->n_in && (st = ingot_load_constant(c, i, &r->loaded[i])))
            return st;
    for (int i = W; i <= R; i++)
        if (!r->packed && (st = ingot_load_constant(c, i, &r->loaded[i])))
            return st;
    const int64_t gates = r->gates * r->hidden;
    r->direction_floats = r->steps * r->batch * gates + 2 * gates +               /* inputs' part, bias */
                          (2 * r->gates + 4) * r->batch * r->hidden;               /* one step */
    size_t floats, bytes;
    if (!ingot_mul_size((size_t)r->direction_floats, (size_t)r->directions, &floats) ||
        !ingot_add_size(floats, r->packed ? 0 : (size_t)r->packed_floats, &floats) ||
        !ingot_mul_size(floats, sizeof(float), &bytes))
        return out_of_memory(c);
    ingot_want_scratch(c, bytes + ingot_widen_bytes(c), 0);
    c->kernel = r->packed ? "packed gates" : "gates packed in every run";
    return INGOT_OK;
}

/* ---- running ---- */

/* The elements of an input: a constant read from the file, or the bound tensor's. */
static const void *input_data(const ingot_op_ctx *c, const ingot_recurrent *r, int i)
{
    if (!ingot_has(c, i))
        return NULL;
    return r->loaded[i] ? r->loaded[i]->data : c->in[i]->data;
}

/* sequence_lens is content, so its range (0 to steps) is checked in the run. */
static ingot_status run_f32(ingot_op_ctx *c)
{
    ingot_recurrent *r = c->state;
    float *scratch = (float *)(void *)c->scratch;
    ingot_recurrent_data data = {
        .x = c->in[X]->data, .bias = input_data(c, r, B), .lens = input_data(c, r, SEQUENCE_LENS),
        .h0 = input_data(c, r, INITIAL_H), .c0 = input_data(c, r, INITIAL_C), .peepholes = input_data(c, r, P),
        .packed = r->packed, .y = c->out[0] ? c->out[0]->data : NULL,
        .y_h = c->n_out > 1 && c->out[1] ? c->out[1]->data : NULL,
        .y_c = c->n_out > 2 && c->out[2] ? c->out[2]->data : NULL,
    };
    for (int64_t b = 0; b < r->batch && data.lens; b++)
        if (data.lens[b] < 0 || data.lens[b] > r->steps)
            return ingot_op_fail(c, INGOT_INVALID, "a sequence length of %d does not fit %lld steps", data.lens[b],
                                 (long long)r->steps);
    if (!data.packed) {
        pack_weights(c, r, input_data(c, r, W), input_data(c, r, R), scratch);
        data.packed = scratch;
        scratch += r->packed_floats;
    }
    data.scratch = scratch;
    ingot_recurrent_run(c, r, &data);
    return INGOT_OK;
}

static ingot_status run_recurrent(ingot_op_ctx *c)
{
    return ingot_is_16bit(c->in[X]->dtype) ? ingot_run_widened(c, run_f32) : run_f32(c);
}

#define TYPES \
    {INGOT_TYPE(FLOAT) | INGOT_TYPE(FLOAT16) | INGOT_TYPE(BFLOAT16), \
     INGOT_TYPE(FLOAT) | INGOT_TYPE(FLOAT16) | INGOT_TYPE(BFLOAT16), \
     INGOT_TYPE(FLOAT) | INGOT_TYPE(FLOAT16) | INGOT_TYPE(BFLOAT16), \
     INGOT_TYPE(FLOAT) | INGOT_TYPE(FLOAT16) | INGOT_TYPE(BFLOAT16), INGOT_TYPE(INT32)}

/* Both products of each step; the gates' functions do not count. */
static int64_t recurrent_flops(const ingot_op_ctx *c)
{
    const ingot_recurrent *r = c->state;
    return 2 * r->directions * r->steps * r->batch * r->gates * r->hidden * (r->inputs + r->hidden);
}

const ingot_op ingot_ops_recurrent[] = {
    { "RNN", 7, 3, 6, TYPES, infer_recurrent, run_recurrent, prepare_recurrent, INGOT_OP_LAZY,
      .flops = recurrent_flops },
    { "GRU", 7, 3, 6, TYPES, infer_recurrent, run_recurrent, prepare_recurrent, INGOT_OP_LAZY,
      .flops = recurrent_flops },
    { "LSTM", 7, 3, 8, TYPES, infer_recurrent, run_recurrent, prepare_recurrent, INGOT_OP_LAZY,
      .flops = recurrent_flops },
    { 0 },
};
