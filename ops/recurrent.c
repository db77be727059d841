/* recurrent.c - RNN, GRU and LSTM, and DynamicQuantizeLSTM, whose products are quantized_recurrent.c's.
 *
 * Units of the state are taken in blocks of a vector's lanes, and weights are packed by block, all gates together. A
 * thread computes whole blocks: first the inputs' part of their gates for every step and sample, one matrix product;
 * then step by step the state's part on top of it, and the gates combined (ops/kernels/cell.c). Between steps the
 * threads that share a direction meet.
 *
 * Gates stand in ONNX's order: i o f c (LSTM), z r h (GRU). 16-bit floats are widened to float first. */
#include <math.h>
#include <string.h>

#include "ops/recurrent.h"
#include "ops/weights.h"

/* Inputs; those from B on may be missing, INITIAL_C and P are the LSTM's alone. The last ones are those of bytes. */
enum { X, W, R, B, SEQUENCE_LENS, INITIAL_H, INITIAL_C, P, W_SCALE, W_ZERO, R_SCALE, R_ZERO };

/* ---- attributes and shapes ---- */

/* The three operators differ in gates only and share everything else here. */
static ingot_cell_kind kind_of(const ingot_op_ctx *c)
{
    if (strcmp(c->op->op_type, "GRU"))
        return strcmp(c->op->op_type, "RNN") ? INGOT_CELL_LSTM : INGOT_CELL_RNN;
    return ingot_attr_int(c->node, "linear_before_reset", 0) ? INGOT_CELL_GRU_BEFORE : INGOT_CELL_GRU;
}

/* An optional input that is left out fits; another must have exactly this shape, and X's type (sequence_lens
 * excepted). Only the first `rank` of the three sizes count. */
static ingot_status check_shape(ingot_op_ctx *c, int input, int rank, int64_t d0, int64_t d1, int64_t d2)
{
    char text[128];
    const int64_t want[3] = {d0, d1, d2};
    if (!ingot_has(c, input))
        return INGOT_OK;
    const ingot_tensor *t = c->in[input];
    const bool bytes = (input == W || input == R) && ingot_recurrent_is_integer(c);
    if (input != SEQUENCE_LENS && !bytes && t->dtype != c->in[X]->dtype)
        return ingot_op_fail(c, INGOT_INVALID, "input %d does not have the type of the first", input);
    bool fits = t->rank == rank;
    for (int i = 0; i < rank && fits; i++)
        fits = t->shape[i] == want[i];
    return fits ? INGOT_OK
                : ingot_op_fail(c, INGOT_INVALID, "input %d has shape %s, which does not fit the others", input,
                                ingot_shape_text(t, text, sizeof text));
}

/* X (T, N, inputs), W (D, gates * hidden, inputs), R (D, gates * hidden, hidden), the last two dimensions swapped where
 * they are bytes; layout 1 puts N first. D, the number of directions, is 1 or 2. B (D, 2 * gates * hidden), initial
 * states and peepholes are optional. INVALID when one does not fit. */
static ingot_status read_sizes(ingot_op_ctx *c, ingot_recurrent *r)
{
    const ingot_tensor *x = c->in[X], *w = c->in[W], *state = c->in[R];
    const ingot_cell_kind kind = kind_of(c);
    r->gates = kind == INGOT_CELL_LSTM ? 4 : kind == INGOT_CELL_RNN ? 1 : 3;
    r->batch_first = ingot_attr_int(c->node, "layout", 0) != 0;
    if (ingot_recurrent_is_integer(c) && (!ingot_has(c, W_SCALE) || !ingot_has(c, R_SCALE)))
        return ingot_op_fail(c, INGOT_INVALID, "inputs W_scale and R_scale must be given");
    if (x->rank != 3 || w->rank != 3 || state->rank != 3)
        return ingot_op_fail(c, INGOT_INVALID, "inputs X, W and R must have rank 3");
    /* Sizes from the tensors; hidden is R's. */
    r->steps = x->shape[r->batch_first ? 1 : 0];
    r->batch = x->shape[r->batch_first ? 0 : 1];
    r->inputs = x->shape[2];
    r->directions = (int)MIN(w->shape[0], (int64_t)3);
    r->integer = ingot_recurrent_is_integer(c);
    r->hidden = state->shape[r->integer ? 1 : 2];
    const int64_t gates = r->gates * r->hidden, d = w->shape[0];
    const int64_t s0 = r->batch_first ? r->batch : d, s1 = r->batch_first ? d : r->batch;
    ingot_status st;
    r->cell[0] = r->cell[1] = (ingot_cell){ .kind = kind, .hidden = r->hidden, .one_sum = c->batch_invariant };
    if (d < 1 || d > 2 || r->hidden < 1 || r->hidden > INT32_MAX)
        return ingot_op_fail(c, INGOT_INVALID, "%lld directions of %lld hidden units are not possible", (long long)d,
                             (long long)r->hidden);
    if ((st = check_shape(c, W, 3, d, r->integer ? r->inputs : gates, r->integer ? gates : r->inputs)) ||
        (st = check_shape(c, R, 3, d, r->integer ? r->hidden : gates, r->integer ? gates : r->hidden)) ||
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

/* Case does not matter, says the standard. Setting bit 0x20 makes ASCII letters small, which is all that the known
 * names have. */
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
    const int n = r->gates == 4 ? 3 : r->gates == 3 ? 2 : 1;
    const ingot_attr *attr = ingot_node_attr(c->node, "activations");
    const bool listed = attr && attr->type == INGOT_ATTR_STRINGS && attr->n > 0;
    if (listed && attr->n != (size_t)(n * r->directions))
        return ingot_op_fail(c, INGOT_INVALID, "attribute 'activations': %zu names, expected %d", attr->n,
                             n * r->directions);
    for (int i = 0; i < n * r->directions; i++) {
        const char *name = listed ? attr->strings[i].data : defaults[n == 1 ? 0 : 1 + i % n];
        ingot_gate *gate = &r->cell[i / n].gate[i % n];
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
    for (int d = 0; d < 2; d++) {
        const float clip = ingot_attr_float(c->node, "clip", 0.0f);
        r->cell[d].clip = clip > 0.0f ? clip : INFINITY;
        r->cell[d].input_forget = ingot_attr_int(c->node, "input_forget", 0) != 0;
    }
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

/* Packed weights' name among what plans share. */
enum { PACK_TAG = 0x52 };

/* The element type's kernels, and the sizes that follow from how many units their vectors hold. 16-bit floats run as
 * float. Nothing overflows here: W and R exist, and padding adds less than a block. */
static void choose_kernels(const ingot_op_ctx *c, ingot_recurrent *r)
{
    const ingot_kernels *k = c->kernels;

    if (c->in[X]->dtype == INGOT_DOUBLE)
        r->kernels = (ingot_cell_kernels){ 1, sizeof(double), k->cell_pack_f64, k->cell_inputs_f64, k->cell_step_f64 };
    else
        r->kernels = (ingot_cell_kernels){ k->lanes, sizeof(float), k->cell_pack_f32, k->cell_inputs_f32,
                                           k->cell_step_f32 };
    r->blocks = (r->hidden + r->kernels.lanes - 1) / r->kernels.lanes;
    r->units = r->blocks * r->kernels.lanes;
    r->packed_w = r->gates * r->units * r->inputs;
    r->packed_r = r->gates * r->units * r->hidden;
    r->packed_direction = r->packed_w + r->packed_r + (r->gates + 1) * r->units;
}

/* One bias of a gate. Entry i of an array of floats or doubles, plus entry j of it where there is one. */
static void put_sum(size_t size, void *to, int64_t at, const void *b, int64_t i, int64_t j)
{
    if (size == sizeof(double))
        ((double *)to)[at] = ((const double *)b)[i] + (j < 0 ? 0 : ((const double *)b)[j]);
    else
        ((float *)to)[at] = ((const float *)b)[i] + (j < 0 ? 0 : ((const float *)b)[j]);
}

/* Wb + Rb, but what GRU adds to the candidate inside of the reset stays apart. b: Wb, then Rb; or NULL. */
static void pack_bias(const ingot_recurrent *r, const void *b, char *bias)
{
    const int lanes = r->kernels.lanes;
    const size_t size = r->kernels.size;
    char *state_bias = bias + (size_t)(r->gates * r->units) * size;

    memset(bias, 0, (size_t)((r->gates + 1) * r->units) * size);
    for (int64_t i = 0; b && i < r->gates * r->hidden; i++) {
        const int64_t gate = i / r->hidden, unit = i % r->hidden, other = r->gates * r->hidden + i;
        const int64_t at = (unit / lanes * r->gates + gate) * lanes + unit % lanes;
        const bool apart = r->cell->kind == INGOT_CELL_GRU_BEFORE && gate == 2;
        put_sum(size, bias, at, b, i, apart ? -1 : other);
        if (apart)
            put_sum(size, state_bias, unit, b, other, -1);
    }
}

/* Pack W, R and B (or NULL) of every direction. GRU's candidate has a product of its own when it follows the others. */
static void pack_weights(const ingot_recurrent *r, const void *w, const void *state, const void *b, void *packed)
{
    const ingot_cell_kernels *k = &r->kernels;
    const int64_t gates = r->gates * r->hidden;
    const int first = r->cell->kind == INGOT_CELL_GRU ? 2 : r->gates;

    for (int d = 0; d < r->directions; d++) {
        char *to = (char *)packed + (size_t)(d * r->packed_direction) * k->size;
        const char *from = (const char *)state + (size_t)(d * gates * r->hidden) * k->size;
        const char *bias = b ? (const char *)b + (size_t)(d * 2 * gates) * k->size : NULL;
        k->pack(to, (const char *)w + (size_t)(d * gates * r->inputs) * k->size, r->gates, r->hidden, r->inputs, 0,
                r->blocks);
        to += (size_t)r->packed_w * k->size;
        k->pack(to, from, first, r->hidden, r->hidden, 0, r->blocks);
        if (first < r->gates)
            k->pack(to + (size_t)(first * r->units * r->hidden) * k->size,
                    from + (size_t)(first * r->hidden * r->hidden) * k->size, r->gates - first, r->hidden, r->hidden, 0,
                    r->blocks);
        pack_bias(r, bias, to + (size_t)r->packed_r * k->size);
    }
}

/* The same where W and R are bytes. zeros has room for r->columns numbers. */
static void pack_bytes(const ingot_op_ctx *c, const ingot_recurrent *r, void *packed, int32_t *zeros)
{
    for (int d = 0; d < r->directions; d++) {
        float *to = (float *)packed + d * r->packed_direction;
        const float *b = ingot_has(c, B) ? (const float *)c->in[B]->data + d * 2 * r->gates * r->hidden : NULL;
        ingot_integer_pack(c, r, d, (char *)to, zeros);
        pack_bias(r, b, (char *)(to + r->packed_w + r->packed_r));
    }
}

/* Constants that are bytes are packed for all sessions, with their zero points; else in each run. */
static ingot_status prepare_bytes(ingot_op_ctx *c, ingot_recurrent *r, size_t *bytes)
{
    ingot_status st = ingot_integer_plan(c, r);
    bool known = true, fill;

    if (st)
        return st;
    if (!ingot_mul_size((size_t)r->packed_direction, (size_t)r->directions * sizeof(float), bytes))
        return ingot_op_out_of_memory(c);
    for (int i = W; i < c->n_in; i++) /* all that is packed; scales are read in the run */
        known &= (i > B && i != W_ZERO && i != R_ZERO) || ingot_quantized_known(c, i);
    if (!known)
        return INGOT_OK;
    void *packed = ingot_packed(c, PACK_TAG, *bytes, &fill);
    int32_t *zeros = packed && fill ? ingot_work_alloc(c, (size_t)r->columns * sizeof *zeros) : NULL;
    if (!packed || (fill && !zeros))
        return ingot_op_out_of_memory(c);
    if (fill)
        pack_bytes(c, r, packed, zeros);
    ingot_work_free(c, zeros);
    r->packed = packed;
    return INGOT_OK;
}

/* All weights of the layer in the kernels' order. Constants are packed once and shared by all sessions; others are
 * packed in each run. */
static ingot_status prepare_packed(ingot_op_ctx *c, ingot_recurrent *r, size_t *bytes)
{
    const bool biased = ingot_has(c, B);
    bool fill;
    void *own_w = NULL, *own_r = NULL, *own_b = NULL;

    if (!ingot_mul_size((size_t)r->packed_direction, (size_t)r->directions * r->kernels.size, bytes))
        return ingot_op_out_of_memory(c);
    if (!c->constants[W] || !c->constants[R] || (biased && !c->constants[B]) || ingot_is_16bit(c->in[W]->dtype))
        return INGOT_OK;
    void *packed = ingot_packed(c, PACK_TAG, *bytes, &fill);
    if (!packed)
        return ingot_op_out_of_memory(c);
    r->packed = packed;
    if (!fill)
        return INGOT_OK;
    /* All constants are read, packed and let go again, also when one of them failed. */
    const void *w = ingot_read_constant(c, W, &own_w), *state = ingot_read_constant(c, R, &own_r);
    const void *b = biased ? ingot_read_constant(c, B, &own_b) : NULL;
    const bool read = w && state && (b || !biased);
    if (read)
        pack_weights(r, w, state, b, packed);
    ingot_unread_constant(c, own_w);
    ingot_unread_constant(c, own_r);
    if (biased)
        ingot_unread_constant(c, own_b);
    return read ? INGOT_OK : ingot_op_out_of_memory(c);
}

/* Everything that depends on shapes and constants: sizes, attributes, packed weights, and scratch memory for what a run
 * needs of each direction and for weights that no plan keeps. */
static ingot_status prepare_recurrent(ingot_op_ctx *c)
{
    ingot_recurrent *r = c->state = ingot_keep(c, sizeof *r);
    ingot_status st = r ? read_sizes(c, r) : ingot_op_out_of_memory(c);
    size_t packed_bytes = 0, bytes;

    if (st || (st = read_attributes(c, r)))
        return st;
    r->ragged = ingot_has(c, SEQUENCE_LENS);
    choose_kernels(c, r);
    if ((st = r->integer ? prepare_bytes(c, r, &packed_bytes) : prepare_packed(c, r, &packed_bytes)))
        return st;
    for (int i = r->packed ? SEQUENCE_LENS : W; i <= P && !r->integer; i++) /* what is not packed is read as it is */
        if (i < c->n_in && (st = ingot_load_constant(c, i, &r->loaded[i])))
            return st;
    if (!ingot_recurrent_scratch(r) ||
        !ingot_mul_size((size_t)r->direction_elements, (size_t)r->directions * r->kernels.size, &bytes) ||
        !ingot_add_size(bytes, r->packed ? 0 : packed_bytes, &bytes) ||
        !ingot_add_size(bytes, (size_t)r->directions * r->integer_bytes + INGOT_ALIGNMENT, &bytes) ||
        !ingot_add_size(bytes, ingot_widen_bytes(c), &bytes))
        return ingot_op_out_of_memory(c);
    ingot_want_scratch(c, bytes, 0);
    c->kernel = r->packed ? "packed gates" : "gates packed in every run";
    return INGOT_OK;
}

/* ---- running ---- */

/* The elements of an input; NULL when it is left out. */
static const void *input_data(const ingot_op_ctx *c, int i) { return ingot_has(c, i) ? c->in[i]->data : NULL; }

/* sequence_lens is content, so its range (0 to steps) is checked in the run. */
static ingot_status run_layer(ingot_op_ctx *c)
{
    ingot_recurrent *r = c->state;
    ingot_recurrent_data data = {
        .x = c->in[X]->data, .lens = input_data(c, SEQUENCE_LENS), .h0 = input_data(c, INITIAL_H),
        .c0 = input_data(c, INITIAL_C), .peepholes = input_data(c, P), .packed = r->packed,
        .scratch = c->scratch, .y = c->out[0] ? c->out[0]->data : NULL,
        .y_h = c->n_out > 1 && c->out[1] ? c->out[1]->data : NULL,
        .y_c = c->n_out > 2 && c->out[2] ? c->out[2]->data : NULL,
    };
    for (int64_t b = 0; b < r->batch && data.lens; b++)
        if (data.lens[b] < 0 || data.lens[b] > r->steps)
            return ingot_op_fail(c, INGOT_INVALID, "a sequence length of %d does not fit %lld steps", data.lens[b],
                                 (long long)r->steps);
    data.integer_scratch = c->scratch;
    data.scratch = c->scratch + (size_t)r->directions * r->integer_bytes;
    if (!data.packed) {
        void *packed = data.scratch;
        if (r->integer)
            pack_bytes(c, r, packed, (int32_t *)(void *)data.integer_scratch);
        else
            pack_weights(r, input_data(c, W), input_data(c, R), input_data(c, B), packed);
        data.packed = packed;
        data.scratch = (char *)packed + (size_t)(r->directions * r->packed_direction) * r->kernels.size;
    }
    ingot_recurrent_run(c, r, &data);
    r->turn = (int)((r->turn + r->steps) % 2);
    return INGOT_OK;
}

/* With constants that were read from the file in their places. */
static ingot_status run_recurrent(ingot_op_ctx *c)
{
    const ingot_recurrent *r = c->state;
    ingot_tensor *in[P + 1];
    ingot_op_ctx sub = *c;

    if (r->integer)
        return run_layer(c);
    for (int i = 0; i < c->n_in; i++)
        in[i] = r->loaded[i] ? r->loaded[i] : c->in[i];
    sub.parent = c;
    sub.in = in;
    return ingot_is_16bit(c->in[X]->dtype) ? ingot_run_widened(&sub, run_layer) : run_layer(&sub);
}

/* That all are of X's type is checked with their shapes. */
#define TYPES \
    {INGOT_TYPES_FLOAT, INGOT_TYPES_FLOAT, INGOT_TYPES_FLOAT, INGOT_TYPES_FLOAT, INGOT_TYPE(INT32)}

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
    { "DynamicQuantizeLSTM", 1, 3, 12,
      { INGOT_TYPE(FLOAT), INGOT_TYPES_BYTE, INGOT_TYPES_BYTE, INGOT_TYPE(FLOAT), INGOT_TYPE(INT32),
        INGOT_TYPE(FLOAT) | INGOT_TYPES_BYTE },
      infer_recurrent, run_recurrent, prepare_recurrent, .flops = recurrent_flops, .domain = "com.microsoft" },
    { 0 },
};
