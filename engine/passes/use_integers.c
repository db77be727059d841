/* use_integers.c - operators between DequantizeLinear and QuantizeLinear compute in integers: convolutions become
 * QLinearConv, products QLinearMatMul or QGemm, sums QLinearAdd, means QLinearGlobalAveragePool, and what only moves
 * elements around moves the bytes. The operators beyond the standard are those that ONNX Runtime's quantizers write.
 *
 * Runs before constants are folded, while the weights are still bytes. A result differs from the float operator's by
 * what that rounds on the way, a step of the quantization at most. An activation in between is a clamp of the bytes:
 * quantizing keeps the order of numbers, so clamping after it is the same as before. */
#include "engine/passes/pass.h"

#include <math.h>
#include <string.h>

#include "engine/passes/rewrite.h"
#include "engine/passes/shapes.h"

#define MICROSOFT "com.microsoft"

/* Bytes, and what they stand for: value ids. A number is (byte - zero) * scale (ONNX, DequantizeLinear). scale and zero
 * are constants; zero is made where it was left out. */
typedef struct quantized {
    int bytes, scale, zero;
    ingot_dtype dtype;
    int axis; /* of the scales, where there are several */
} quantized;

/* What every function here gets. `failed` is looked at by the callers at the end: in between, a function that fails for
 * want of memory returns what stands for "not here". */
typedef struct rewriter {
    ingot_pass_ctx *c;
    ingot_graph *graph;
    const ingot_shapes *shapes;
    bool failed; /* memory is out */
} rewriter;

/* The place of a group that ends in QuantizeLinear. It reaches from DequantizeLinear over the core and perhaps an
 * activation to QuantizeLinear. */
typedef struct group {
    int core, act, last; /* nodes; act INGOT_NONE: no activation between core and QuantizeLinear */
    quantized out;       /* bytes: INGOT_NONE for a result that stays float */
} group;

/* ---- looking ---- */

/* Type and shape of a constant, or NULL. Its elements are read through read_numbers(): data may be NULL. */
static const ingot_tensor *constant_tensor(const rewriter *r, int value)
{
    const ingot_const *constant = ingot_constant(r->graph, value);
    return constant && constant->tensor.kind == INGOT_TENSOR ? &constant->tensor : NULL;
}

/* Elements of a constant; -1 where the value is none, so that no comparison with a count holds. */
static int64_t count_constant(const rewriter *r, int value)
{
    const ingot_tensor *t = constant_tensor(r, value);
    return t ? ingot_count(t) : -1;
}

/* All elements of a constant of numbers as double, to be released; NULL where it is none, or memory is out. Want of
 * memory sets r->failed as well, so that it is told apart from "not a constant". */
static double *read_numbers(rewriter *r, int value, int64_t *n)
{
    const ingot_tensor *constant = constant_tensor(r, value);
    ingot_memory *memory = r->graph->arena->memory;
    if (!constant || !(ingot_is_integer(constant->dtype) || ingot_is_float(constant->dtype)))
        return NULL;
    ingot_tensor t = *constant;
    *n = ingot_count(&t);
    double *numbers = ingot_alloc(memory, (size_t)*n * sizeof *numbers + 1);
    t.data = ingot_alloc(memory, ingot_storage_bytes(&t) + 1);
    r->failed |= !numbers || !t.data;
    if (!r->failed)
        ingot_const_read(ingot_constant(r->graph, value), t.data);
    for (int64_t i = 0; !r->failed && i < *n; i++)
        numbers[i] = ingot_double_at(&t, i);
    ingot_release(memory, t.data);
    if (!r->failed)
        return numbers;
    ingot_release(memory, numbers);
    return NULL;
}

/* A scalar zero of a type of bytes, for operators that ask for one. Its element may be written afterwards, see
 * add_byte(): the constant has memory of its own. */
static int add_zero(rewriter *r, ingot_dtype dtype)
{
    uint8_t none = 0;
    const ingot_tensor t = {.dtype = dtype, .data = &none};
    const int value = ingot_add_unique_value(r->graph, "zero_point");
    if (value != INGOT_NONE)
        r->graph->values[value].constant = ingot_const_create(r->graph->arena, &t);
    r->failed |= value == INGOT_NONE || !r->graph->values[value].constant;
    return value;
}

/* Scale and zero point of a Quantize or DequantizeLinear are constants, one or (with `many`) one for each index of an
 * axis; the type is known. q->dtype must be set by the caller for a node without a zero point. Blocked scales and a
 * precision other than float are left to the float operators. */
static bool read_parameters(rewriter *r, const ingot_node *node, bool many, quantized *q)
{
    const ingot_tensor *scale = constant_tensor(r, ingot_input(node, 1)), *zero;
    if (!scale || scale->dtype != INGOT_FLOAT || ingot_attr_int(node, "block_size", 0) ||
        ingot_attr_int(node, "precision", INGOT_FLOAT) > INGOT_FLOAT ||
        (ingot_count(scale) != 1 && (!many || scale->rank != 1)))
        return false;
    q->scale = ingot_input(node, 1);
    q->zero = ingot_input(node, 2);
    zero = q->zero == INGOT_NONE ? NULL : constant_tensor(r, q->zero);
    if (q->zero != INGOT_NONE && (!zero || ingot_count(zero) != ingot_count(scale)))
        return false;
    if (zero)
        q->dtype = zero->dtype;
    if (q->dtype != INGOT_UINT8 && q->dtype != INGOT_INT8) /* an attribute may hold any number */
        return false;
    q->axis = (int)ingot_attr_int(node, "axis", 1);
    if (q->zero == INGOT_NONE)
        q->zero = add_zero(r, q->dtype);
    return !r->failed;
}

/* Is the value dequantized bytes? q is filled only as far as it got where the answer is no. The bytes may be a constant
 * or computed. */
static bool find_bytes(rewriter *r, int value, bool many, quantized *q)
{
    const ingot_node *node = ingot_producer(r->graph, value);
    if (!ingot_is_op(node, "DequantizeLinear") || ingot_attr_int(node, "output_dtype", INGOT_FLOAT) > INGOT_FLOAT)
        return false;
    const int bytes = ingot_input(node, 0);
    const ingot_tensor *constant = constant_tensor(r, bytes);
    *q = (quantized){.bytes = bytes};
    const ingot_dtype dtype = constant ? constant->dtype : ingot_shape_of(r->shapes, bytes)->dtype;
    q->dtype = dtype;
    return bytes != INGOT_NONE && read_parameters(r, node, many, q) && (!dtype || dtype == q->dtype);
}

/* Constant bytes, with scales along `axis` if there are several. A negative axis counts from the end; ONNX's default is
 * 1. */
static bool find_weights(rewriter *r, int value, int axis, quantized *q)
{
    if (!find_bytes(r, value, true, q) || !constant_tensor(r, q->bytes))
        return false;
    const ingot_tensor *t = constant_tensor(r, q->bytes);
    const int given = q->axis < 0 ? q->axis + t->rank : q->axis;
    return count_constant(r, q->scale) == 1 ||
           (given == axis && axis < t->rank && count_constant(r, q->scale) == t->shape[axis]);
}

/* Do both stand for the same numbers? Values are compared, not ids: a file may hold the same scale many times. */
static bool same_parameters(rewriter *r, const quantized *a, const quantized *b)
{
    double x = 0, y = 0, z = 0, w = 0;
    return a->dtype == b->dtype && ingot_constant_number(r->graph, a->scale, &x) &&
           ingot_constant_number(r->graph, b->scale, &y) && ingot_constant_number(r->graph, a->zero, &z) &&
           ingot_constant_number(r->graph, b->zero, &w) && x == y && z == w;
}

/* ---- building ---- */

/* A constant of int32: round(bias / (x_scale * w_scale)), what the sums are in. Where the bias was quantized so these
 * are its integers again. INGOT_NONE: it is no constant, or does not fit. QLinearConv asks for a bias of exactly this
 * scale and zero point 0. A bias that was quantized in another unit is brought to this one, each number rounded once.
 * Want of memory shows in r->failed. */
static int make_bias(rewriter *r, int value, const quantized *x, const quantized *w, int64_t n)
{
    const ingot_node *node = ingot_producer(r->graph, value);
    const bool dequantized = ingot_is_op(node, "DequantizeLinear") && ingot_input(node, 2) == INGOT_NONE;
    ingot_memory *memory = r->graph->arena->memory;
    int64_t n_bias = 0, n_scale = 1, n_w = 0, n_zero = 0;
    double x_scale = 1, *bias, *scale = NULL, *w_scale = read_numbers(r, w->scale, &n_w), *zero = NULL;
    bias = read_numbers(r, ingot_is_op(node, "DequantizeLinear") ? ingot_input(node, 0) : value, &n_bias);
    if (ingot_is_op(node, "DequantizeLinear"))
        scale = read_numbers(r, ingot_input(node, 1), &n_scale);
    if (ingot_is_op(node, "DequantizeLinear") && !dequantized)
        zero = read_numbers(r, ingot_input(node, 2), &n_zero);
    int32_t *ints = ingot_alloc(memory, (size_t)n * sizeof *ints + 1);
    /* Everything must be there and as long as the output has channels, or of one element. */
    bool fits = ints && bias && w_scale && n_bias == n && ingot_constant_number(r->graph, x->scale, &x_scale) &&
                (!ingot_is_op(node, "DequantizeLinear") || (scale && (n_scale == 1 || n_scale == n))) &&
                (!zero || n_zero == 1 || n_zero == n) &&
                (zero || dequantized || !ingot_is_op(node, "DequantizeLinear"));
    /* All in double: products of an int32 and two floats. */
    for (int64_t i = 0; fits && i < n; i++) {
        const double offset = zero ? zero[n_zero == 1 ? 0 : i] : 0, unit = scale ? scale[n_scale == 1 ? 0 : i] : 1;
        const double sum = rint((bias[i] - offset) * unit / (x_scale * w_scale[n_w == 1 ? 0 : i]));
        fits = fabs(sum) < 2147483648.0;
        ints[i] = fits ? (int32_t)sum : 0;
    }
    int result = INGOT_NONE;
    if (fits) {
        const ingot_tensor t = {.dtype = INGOT_INT32, .rank = 1, .shape = {n}, .data = ints};
        result = ingot_add_unique_value(r->graph, "bias_quantized");
        if (result != INGOT_NONE)
            r->graph->values[result].constant = ingot_const_create(r->graph->arena, &t);
        r->failed |= result == INGOT_NONE || !r->graph->values[result].constant;
    }
    ingot_release(memory, bias);
    ingot_release(memory, scale);
    ingot_release(memory, w_scale);
    ingot_release(memory, zero);
    ingot_release(memory, ints);
    return result;
}

/* The node becomes another operator with these inputs. Outputs and attributes stay. False, with r->failed set, when
 * memory is out. */
static bool become(rewriter *r, int index, const char *op_type, const char *domain, int version, const int *inputs,
                   int n)
{
    ingot_node *node = r->graph->nodes[index];
    node->op_type = op_type;
    node->domain = domain;
    node->version = version;
    node->op = NULL;
    bool ok = ingot_node_set_n_inputs(r->graph, index, n);
    for (int i = 0; i < n && ok; i++)
        ok = ingot_node_set_input(r->graph, index, i, inputs[i]);
    r->failed |= !ok;
    return ok;
}

/* ---- operators, each of which tells whether it could ---- */

/* x * w + bias in int32, scaled to the output's bytes. Weights may have a scale for each output channel (axis 0);
 * without QuantizeLinear behind it there is no integer convolution to use. */
static bool use_conv(rewriter *r, int index, const quantized *out)
{
    const ingot_node *node = r->graph->nodes[index];
    const int bias = ingot_input(node, 2);
    quantized x, w;
    int ints = INGOT_NONE;
    if (out->bytes == INGOT_NONE || !find_bytes(r, ingot_input(node, 0), false, &x) ||
        !find_weights(r, ingot_input(node, 1), 0, &w))
        return false;
    const ingot_tensor *weights = constant_tensor(r, w.bytes);
    if (weights->rank < 3 ||
        (bias != INGOT_NONE && (ints = make_bias(r, bias, &x, &w, weights->shape[0])) == INGOT_NONE))
        return false;
    const int inputs[] = {x.bytes, x.scale, x.zero, w.bytes, w.scale, w.zero, out->scale, out->zero, ints};
    return become(r, index, "QLinearConv", "", 10, inputs, ints == INGOT_NONE ? 8 : 9);
}

/* QGemm gives bytes, or floats where no output scale is given, so a QuantizeLinear is not needed. alpha and beta must
 * be 1; beta is no attribute of QGemm and goes. */
static bool use_gemm(rewriter *r, int index, const quantized *out)
{
    ingot_node *node = r->graph->nodes[index];
    const int bias = ingot_input(node, 2), axis = ingot_attr_int(node, "transB", 0) ? 0 : 1;
    quantized x, w;
    int ints = INGOT_NONE;
    if (ingot_attr_float(node, "alpha", 1) != 1 || (bias != INGOT_NONE && ingot_attr_float(node, "beta", 1) != 1) ||
        !find_bytes(r, ingot_input(node, 0), false, &x) || !find_weights(r, ingot_input(node, 1), axis, &w))
        return false;
    const ingot_tensor *weights = constant_tensor(r, w.bytes);
    if (weights->rank != 2 ||
        (bias != INGOT_NONE && (ints = make_bias(r, bias, &x, &w, weights->shape[axis])) == INGOT_NONE))
        return false;
    const int inputs[] = {x.bytes, x.scale, x.zero, w.bytes, w.scale, w.zero, ints, out->scale, out->zero};
    ingot_node_remove_attr(node, "beta");
    return become(r, index, "QGemm", MICROSOFT, 1, inputs, out->bytes != INGOT_NONE ? 9 : ints == INGOT_NONE ? 6 : 7);
}

/* Without QuantizeLinear behind it, only where B is constant: a product of activations is better off in float then. B
 * is a matrix of constant bytes, with a scale for each column perhaps, or (for QLinearMatMul) any bytes of one
 * scale. */
static bool use_matmul(rewriter *r, int index, const quantized *out)
{
    const ingot_node *node = r->graph->nodes[index];
    const int b = ingot_input(node, 1);
    quantized x, w;
    if (!find_bytes(r, ingot_input(node, 0), false, &x))
        return false;
    const bool constant = find_weights(r, b, 1, &w) && constant_tensor(r, w.bytes)->rank == 2;
    if (!constant && (out->bytes == INGOT_NONE || !find_bytes(r, b, false, &w)))
        return false;
    if (out->bytes == INGOT_NONE) {
        const int inputs[] = {x.bytes, w.bytes, x.scale, w.scale, x.zero, w.zero};
        return become(r, index, "MatMulIntegerToFloat", MICROSOFT, 1, inputs, 6);
    }
    const int inputs[] = {x.bytes, x.scale, x.zero, w.bytes, w.scale, w.zero, out->scale, out->zero};
    return become(r, index, "QLinearMatMul", "", 10, inputs, 8);
}

/* QLinearAdd and QLinearMul. ONNX Runtime's operators for both; they ask that all types of bytes are the same. */
static bool use_mix(rewriter *r, int index, const quantized *out)
{
    const ingot_node *node = r->graph->nodes[index];
    quantized a, b;
    if (out->bytes == INGOT_NONE || !find_bytes(r, ingot_input(node, 0), false, &a) ||
        !find_bytes(r, ingot_input(node, 1), false, &b) || a.dtype != b.dtype || a.dtype != out->dtype)
        return false;
    const int inputs[] = {a.bytes, a.scale, a.zero, b.bytes, b.scale, b.zero, out->scale, out->zero};
    return become(r, index, ingot_is_op(node, "Add") ? "QLinearAdd" : "QLinearMul", MICROSOFT, 1, inputs, 8);
}

/* Operators of one input, with a name of their own for bytes. QLinearAveragePool has no dilations, so a node with them
 * is left alone, and pools of bytes want rank 3. */
static bool use_one(rewriter *r, int index, const quantized *out)
{
    static const char *const names[][2] = {
        {"GlobalAveragePool", "QLinearGlobalAveragePool"}, {"AveragePool", "QLinearAveragePool"},
        {"Sigmoid", "QLinearSigmoid"}, {"LeakyRelu", "QLinearLeakyRelu"},
    };
    const ingot_node *node = r->graph->nodes[index];
    quantized x;
    if (out->bytes == INGOT_NONE || !find_bytes(r, ingot_input(node, 0), false, &x) || x.dtype != out->dtype ||
        ingot_node_attr(node, "dilations"))
        return false;
    const int inputs[] = {x.bytes, x.scale, x.zero, out->scale, out->zero};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        if (ingot_is_op(node, names[i][0]) &&
            (i > 1 || ingot_shape_of(r->shapes, ingot_input(node, 0))->rank >= 3))
            return become(r, index, names[i][1], MICROSOFT, 1, inputs, 5);
    return false;
}

/* ReduceMean over all but the first two dimensions is a global pool; without keepdims a Squeeze follows. Axes are
 * constants; they may be negative and in any order, but each once. The Squeeze has the axes that were reduced. */
static bool use_mean(rewriter *r, int index, const quantized *out)
{
    ingot_node *node = r->graph->nodes[index];
    const ingot_shape *shape = ingot_shape_of(r->shapes, ingot_input(node, 0));
    int64_t axes[INGOT_SHAPE_RANK];
    int n = 0;
    bool seen[INGOT_SHAPE_RANK] = {false};
    quantized x;
    if (out->bytes == INGOT_NONE || shape->rank < 3 || shape->rank > 5 ||
        !ingot_constant_ints(r->graph, ingot_input(node, 1), axes, INGOT_SHAPE_RANK, &n) || n != shape->rank - 2 ||
        !find_bytes(r, ingot_input(node, 0), false, &x) || x.dtype != out->dtype)
        return false;
    /* Exactly the spatial axes: n of them, none twice, none below 2. */
    for (int i = 0; i < n; i++) {
        axes[i] += axes[i] < 0 ? shape->rank : 0;
        if (axes[i] < 2 || axes[i] >= shape->rank || seen[axes[i]])
            return false;
        seen[axes[i]] = true;
    }
    const int inputs[] = {x.bytes, x.scale, x.zero, out->scale, out->zero};
    /* The pool keeps its dimensions of 1, so a Squeeze takes them out again. */
    if (!ingot_attr_int(node, "keepdims", 1)) {
        const int pooled = ingot_add_unique_value(r->graph, node->name);
        const int squeeze[2] = {pooled, ingot_add_ints(r->graph, "axes", axes, n)}, result = node->outputs[0];
        if (pooled == INGOT_NONE || squeeze[1] == INGOT_NONE || !ingot_node_set_output(r->graph, index, 0, pooled) ||
            !ingot_graph_add_node(r->graph, node->name, "Squeeze", "", 13, squeeze, 2, &result, 1))
            r->failed = true;
        node = r->graph->nodes[index];
    }
    ingot_node_remove_attr(node, "keepdims");
    ingot_node_remove_attr(node, "noop_with_empty_axes");
    return !r->failed && become(r, index, "QLinearGlobalAveragePool", MICROSOFT, 1, inputs, 5);
}

/* What moves elements of input 0 without looking at them (or takes the largest): where the numbers mean the same.
 * MaxPool qualifies as the order of bytes is that of the numbers (scales are positive). Further outputs, such as
 * MaxPool's indices, are not looked into. */
static bool use_move(rewriter *r, int index, const quantized *out)
{
    ingot_node *node = r->graph->nodes[index];
    quantized x;
    if (out->bytes == INGOT_NONE || !find_bytes(r, ingot_input(node, 0), false, &x) || !same_parameters(r, &x, out))
        return false;
    for (int i = 1; i < node->n_outputs; i++)
        if (node->outputs[i] != INGOT_NONE)
            return false;
    node->version = MAX(node->version, 13); /* from there on all of them take bytes */
    node->op = NULL;
    r->failed |= !ingot_node_set_input(r->graph, index, 0, x.bytes);
    return !r->failed;
}

enum { MAX_PARTS = 32 };

/* Where all parts have the parameters of the result bytes are joined as they are; else QLinearConcat requantizes each
 * part. */
static bool use_concat(rewriter *r, int index, const quantized *out)
{
    const ingot_node *node = r->graph->nodes[index];
    int inputs[2 + 3 * MAX_PARTS] = {out->scale, out->zero}, bytes[MAX_PARTS];
    bool same = true;
    if (out->bytes == INGOT_NONE || node->n_inputs > MAX_PARTS)
        return false;
    const int n = node->n_inputs;
    for (int i = 0; i < n; i++) {
        quantized x;
        if (!find_bytes(r, ingot_input(node, i), false, &x) || x.dtype != out->dtype)
            return false;
        same &= same_parameters(r, &x, out);
        bytes[i] = inputs[2 + 3 * i] = x.bytes;
        inputs[3 + 3 * i] = x.scale;
        inputs[4 + 3 * i] = x.zero;
    }
    return same ? become(r, index, "Concat", "", MAX(node->version, 13), bytes, n)
                : become(r, index, "QLinearConcat", MICROSOFT, 1, inputs, 2 + 3 * n);
}

/* Which function tries which operator. A function changes no node unless it returns true, want of memory aside. */
static const struct rule {
    const char *op_type;
    bool (*use)(rewriter *r, int index, const quantized *out);
} rules[] = {
    {"Conv", use_conv}, {"Gemm", use_gemm}, {"MatMul", use_matmul}, {"Add", use_mix}, {"Mul", use_mix},
    {"GlobalAveragePool", use_one}, {"AveragePool", use_one}, {"Sigmoid", use_one}, {"LeakyRelu", use_one},
    {"ReduceMean", use_mean}, {"Concat", use_concat}, {"MaxPool", use_move}, {"Reshape", use_move},
    {"Flatten", use_move}, {"Transpose", use_move}, {"Squeeze", use_move}, {"Unsqueeze", use_move},
    {"Slice", use_move}, {"Gather", use_move}, {"Identity", use_move}, {"Expand", use_move}, {"Tile", use_move},
    {"DepthToSpace", use_move}, {"SpaceToDepth", use_move},
};

/* NULL for an operator that stays float. */
static const struct rule *find_rule(const ingot_node *node)
{
    for (size_t i = 0; i < sizeof rules / sizeof *rules; i++)
        if (ingot_is_op(node, rules[i].op_type))
            return &rules[i];
    return NULL;
}

/* ---- activations ---- */

/* The byte that a number becomes, within the type. Source: ONNX, QuantizeLinear: round half to even, add the zero
 * point, saturate. fmin() and the comparison let infinities become the type's limits. */
static double quantize(double number, double scale, double zero, ingot_dtype dtype)
{
    const double low = dtype == INGOT_INT8 ? -128 : 0, q = rint(number / scale) + zero;
    return q > low ? fmin(q, low + 255) : low;
}

/* Limits of Relu or Clip in bytes; false when they are not known. Bounds of a Clip that are left out stay infinite. */
static bool read_limits(rewriter *r, const ingot_node *act, const quantized *out, double *low, double *high)
{
    double scale = 1, zero = 0;
    *low = ingot_is_op(act, "Relu") ? 0 : -INFINITY;
    *high = INFINITY;
    if (!ingot_constant_number(r->graph, out->scale, &scale) || !ingot_constant_number(r->graph, out->zero, &zero) ||
        !(scale > 0))
        return false;
    if (ingot_is_op(act, "Clip") &&
        ((ingot_input(act, 1) != INGOT_NONE && !ingot_constant_number(r->graph, ingot_input(act, 1), low)) ||
         (ingot_input(act, 2) != INGOT_NONE && !ingot_constant_number(r->graph, ingot_input(act, 2), high))))
        return false;
    *low = quantize(*low, scale, zero, out->dtype);
    *high = quantize(*high, scale, zero, out->dtype);
    return true;
}

/* A scalar constant of that byte; the cast keeps the two's complement of a negative one. */
static int add_byte(rewriter *r, ingot_dtype dtype, double number)
{
    const int value = add_zero(r, dtype);
    if (!r->failed)
        *(uint8_t *)r->graph->values[value].constant->tensor.data = (uint8_t)(int)number;
    return value;
}

/* The core's bytes are the group's result, between the limits of the activation if these are narrower than the type.
 * `maker` is looked up, as a Squeeze may have been added behind the core. A Clip of bytes is what the activation
 * becomes where it has something to cut. */
static void finish_group(rewriter *r, const group *g, double low, double high)
{
    ingot_graph *graph = r->graph;
    const int result = g->out.bytes;
    int maker = graph->values[graph->nodes[g->last]->inputs[0]].producer; /* the core, or a node behind it */
    const double least = g->out.dtype == INGOT_INT8 ? -128 : 0;
    if (g->act == INGOT_NONE || (low <= least && high >= least + 255)) {
        if (g->act != INGOT_NONE) {
            maker = graph->values[graph->nodes[g->act]->inputs[0]].producer;
            ingot_graph_remove_node(graph, g->act);
        }
        r->failed |= !ingot_take_over_output(graph, maker, result, g->last);
        return;
    }
    /* The activation's node becomes the Clip, between the core's bytes and the result. */
    const int between = ingot_add_unique_value(graph, "quantized");
    maker = graph->values[graph->nodes[g->act]->inputs[0]].producer;
    const int inputs[3] = {between, add_byte(r, g->out.dtype, low), add_byte(r, g->out.dtype, high)};
    if (r->failed || between == INGOT_NONE || !ingot_node_set_output(graph, maker, 0, between) ||
        !become(r, g->act, "Clip", "", 13, inputs, 3) || !ingot_take_over_output(graph, g->act, result, g->last))
        r->failed = true;
}

/* The group that ends in QuantizeLinear node `last`, if it is one. Values between the nodes must have no other readers:
 * they are not computed any more. The DequantizeLinear nodes stay for now, since they may have other readers. */
static void use_group(rewriter *r, int last)
{
    ingot_graph *graph = r->graph;
    const ingot_node *node = graph->nodes[last];
    group g = {.last = last, .act = INGOT_NONE, .core = ingot_node_of(graph, ingot_input(node, 0))};
    double low = 0, high = 0;
    /* The result's bytes and what they stand for. */
    g.out = (quantized){.bytes = ingot_output(node),
                        .dtype = (ingot_dtype)ingot_attr_int(node, "output_dtype", INGOT_UINT8)};
    if (!g.out.dtype)
        g.out.dtype = INGOT_UINT8;
    if (g.core == INGOT_NONE || ingot_single_reader(graph, node->inputs[0]) != node ||
        !read_parameters(r, node, false, &g.out))
        return;
    /* One step further up where an activation comes first. */
    if (ingot_is_op(graph->nodes[g.core], "Relu") || ingot_is_op(graph->nodes[g.core], "Clip")) {
        const ingot_node *act = graph->nodes[g.core];
        g.act = g.core;
        g.core = ingot_node_of(graph, ingot_input(act, 0));
        if (g.core == INGOT_NONE || ingot_single_reader(graph, act->inputs[0]) != act ||
            !read_limits(r, act, &g.out, &low, &high))
            return;
    }
    const struct rule *rule = find_rule(graph->nodes[g.core]);
    if (rule && rule->use(r, g.core, &g.out) && !r->failed) {
        finish_group(r, &g, low, high);
        r->c->n_done++;
    }
}

/* Products whose result stays float. The products that became part of a group have another operator by now, so they are
 * not met again. */
static void use_product(rewriter *r, int index)
{
    const quantized none = {.bytes = INGOT_NONE, .scale = INGOT_NONE, .zero = INGOT_NONE};
    const ingot_node *node = r->graph->nodes[index];
    const bool gemm = ingot_is_op(node, "Gemm"), matmul = ingot_is_op(node, "MatMul");
    if ((gemm && use_gemm(r, index, &none)) || (matmul && use_matmul(r, index, &none)))
        r->c->n_done++;
}

/* Weights that the file has as floats and quantizes become bytes, as training for quantization leaves them. Done by
 * running the QuantizeLinear; where that fails the node simply stays. Counted, so that the graph is sorted again. */
static void quantize_constants(rewriter *r)
{
    const ingot_pass_options *options = r->c->options;
    for (int i = 0; i < r->graph->n_nodes && options->evaluate; i++) {
        const ingot_node *node = r->graph->nodes[i];
        const int out = ingot_is_op(node, "QuantizeLinear") ? ingot_output(node) : INGOT_NONE;
        bool constant = out != INGOT_NONE && !r->graph->values[out].n_outputs;
        for (int k = 0; constant && k < node->n_inputs; k++)
            constant = node->inputs[k] == INGOT_NONE || ingot_constant(r->graph, node->inputs[k]);
        if (constant && !options->evaluate(options->engine, r->graph, i, NULL)) {
            ingot_graph_remove_node(r->graph, i);
            r->c->n_done++;
        }
    }
}

/* Before: y = QuantizeLinear(Conv(DequantizeLinear(x), DequantizeLinear(W))); after: y = QLinearConv(x, W). Groups
 * first, as they say what the result's bytes are; then products whose result stays float; then the DequantizeLinear
 * nodes that lost their readers. Nodes that are added come behind the first n and are not visited. */
ingot_status ingot_use_integers(ingot_pass_ctx *c)
{
    ingot_graph *graph = c->graph;
    ingot_shapes shapes;
    rewriter r = {.c = c, .graph = graph, .shapes = &shapes};
    quantize_constants(&r);
    r.failed = !ingot_shapes_infer(&shapes, graph, c->is_main);
    const int n = graph->n_nodes;
    for (int i = 0; i < n && !r.failed; i++)
        if (ingot_is_op(graph->nodes[i], "QuantizeLinear"))
            use_group(&r, i);
    for (int i = 0; i < n && !r.failed; i++)
        if (graph->nodes[i]->op_type)
            use_product(&r, i);
    for (int i = n - 1; i >= 0 && !r.failed; i--) { /* nobody reads them any more */
        const int out = ingot_is_op(graph->nodes[i], "DequantizeLinear") ? ingot_output(graph->nodes[i]) : INGOT_NONE;
        if (out != INGOT_NONE && !graph->values[out].n_uses && !graph->values[out].n_outputs)
            ingot_graph_remove_node(graph, i);
    }
    ingot_shapes_free(&shapes);
    return r.failed ? ingot_pass_out_of_memory(c) : INGOT_OK;
}
