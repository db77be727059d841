/* upgrade.c - the forms that operators had in older opsets, each rewritten to the newest in one place. A row of the
 * table says: nodes of this operator below this version are changed by this function, and have the form of that version
 * then. Rows apply in order, so that a node climbs from form to form. Where a form depends on ranks that are not known
 * yet, nodes that compute them are put in front; folding constants takes them out again where it can. Source: the
 * operators' change log, https://github.com/onnx/onnx/blob/main/docs/Changelog.md */
#include "ops/upgrade.h"

#include <math.h>
#include <string.h>

#include "ops/op.h"

/* One row applied to one node. A rewriter changes the node in place, or removes it; nodes that it adds have their
 * newest form. */
typedef struct upgrade {
    ingot_graph *graph;
    int index;
    ingot_node *node;
    const char *name; /* argument of the row */
    int slot;         /* argument of the row */
    ingot_error *error;
} upgrade;

/* Brings a node to the form of its row's version; INVALID or UNSUPPORTED, with a sentence, where there is none. */
typedef ingot_status rewrite_fn(upgrade *u);

/* One line that names the node and its opset. */
static ingot_status refuse(upgrade *u, ingot_status status, const char *what)
{
    return ingot_fail(u->error, status, "node '%.80s' (%s, opset %d): %s", u->node->name, u->node->op_type,
                      u->node->version, what);
}

/* Building fails for one reason only. */
static ingot_status done_if(upgrade *u, bool ok)
{
    return ok ? INGOT_OK : ingot_out_of_memory(u->error);
}

/* ---- building: every function returns a value id, and takes INGOT_NONE after a failure through to the end ---- */

/* A constant of rank 0 or 1 with a copy of n elements. */
static int add_constant(upgrade *u, ingot_dtype dtype, int rank, int64_t n, const void *data)
{
    ingot_tensor t = {.dtype = dtype, .rank = rank, .shape = {n}};
    int64_t none = 0;
    t.data = n ? ingot_arena_copy(u->graph->arena, data, ingot_storage_bytes(&t)) : &none;
    return t.data ? ingot_graph_add_constant(u->graph, NULL, &t) : INGOT_NONE;
}

/* A vector of int64, and one of a single element. */
static int add_ints(upgrade *u, const int64_t *values, size_t n)
{
    return add_constant(u, INGOT_INT64, 1, (int64_t)n, values);
}
static int add_int(upgrade *u, int64_t value) { return add_ints(u, &value, 1); }

/* A new node of one or two inputs (second INGOT_NONE: one) with a new value as its output. */
static int add_op(upgrade *u, const char *op_type, int version, int first, int second)
{
    const int inputs[2] = {first, second}, out = ingot_graph_add_value(u->graph, NULL);
    if (first == INGOT_NONE || out == INGOT_NONE)
        return INGOT_NONE;
    return ingot_graph_add_node(u->graph, u->node->name, op_type, "", version, inputs, second == INGOT_NONE ? 1 : 2,
                                &out, 1)
               ? out
               : INGOT_NONE;
}

/* The node whose output is `value`, to set its attributes. */
static ingot_node *maker(upgrade *u, int value) { return u->graph->nodes[u->graph->values[value].producer]; }

/* add_op, with one integer attribute. */
static int add_op_int(upgrade *u, const char *op_type, int version, int first, int second, const char *attr,
                      int64_t value)
{
    const int out = add_op(u, op_type, version, first, second);
    return out != INGOT_NONE && ingot_node_set_int(u->graph, maker(u, out), attr, value) ? out : INGOT_NONE;
}

/* Make `value` an input of the node that is rewritten; the list grows where that is needed. */
static bool set_input(upgrade *u, int slot, int value)
{
    return value != INGOT_NONE && (slot < u->node->n_inputs || ingot_node_set_n_inputs(u->graph, u->index, slot + 1)) &&
           ingot_node_set_input(u->graph, u->index, slot, value);
}

/* The value at an input; INGOT_NONE when it is left out. */
static int input(const upgrade *u, int slot) { return slot < u->node->n_inputs ? u->node->inputs[slot] : INGOT_NONE; }

/* A number of the type that value `like` has; through CastLike where the file does not say it is float. */
static int add_number_like(upgrade *u, float number, int like)
{
    const int constant = add_constant(u, INGOT_FLOAT, 0, 1, &number);
    if (constant == INGOT_NONE || u->graph->values[like].type.dtype == INGOT_FLOAT)
        return constant;
    return add_op(u, "CastLike", 15, constant, like);
}

/* Is an output there, and read by anybody? */
static bool is_wanted(const upgrade *u, int output)
{
    const int id = output < u->node->n_outputs ? u->node->outputs[output] : INGOT_NONE;
    return id != INGOT_NONE && (u->graph->values[id].n_uses || u->graph->values[id].n_outputs);
}

/* ---- attributes that became inputs ---- */

/* Squeeze, Unsqueeze, ReduceX: axes; Split: split; Pad: pads; Reshape: shape. An absent attribute is an absent input.
 * u->name is the attribute, u->slot the input that it becomes. */
static ingot_status ints_to_input(upgrade *u)
{
    const ingot_attr *attr = ingot_node_attr(u->node, u->name);
    if (!attr)
        return INGOT_OK;
    if (attr->type != INGOT_ATTR_INTS)
        return refuse(u, INGOT_INVALID, "an attribute that should be a list of integers is not");
    const bool ok = set_input(u, u->slot, add_ints(u, attr->ints, attr->n));
    ingot_node_remove_attr(u->node, u->name);
    return done_if(u, ok);
}

/* TopK: k was required, and is a tensor of one element now. */
static ingot_status int_to_input(upgrade *u)
{
    const ingot_attr *attr = ingot_node_attr(u->node, u->name);
    if (!attr || attr->type != INGOT_ATTR_INT)
        return refuse(u, INGOT_INVALID, "a required integer attribute is missing");
    const bool ok = set_input(u, u->slot, add_int(u, attr->ints[0]));
    ingot_node_remove_attr(u->node, u->name);
    return done_if(u, ok);
}

/* A float attribute becomes an input of the type of input 0; nothing where it is absent. */
static ingot_status float_to_input(upgrade *u)
{
    const ingot_attr *attr = ingot_node_attr(u->node, u->name);
    if (!attr || input(u, 0) == INGOT_NONE)
        return INGOT_OK;
    const int number = add_number_like(u, ingot_attr_float(u->node, u->name, 0), input(u, 0));
    ingot_node_remove_attr(u->node, u->name);
    return done_if(u, number != INGOT_NONE && set_input(u, u->slot, number));
}

/* Slice: starts, ends and axes became inputs together, and steps came with them. */
static ingot_status slice_10(upgrade *u)
{
    static const char *const names[] = {"starts", "ends", "axes"};
    ingot_status status = INGOT_OK;
    for (int i = 0; i < 3 && !status; i++) {
        u->name = names[i];
        u->slot = i + 1;
        if (i < 2 && !ingot_node_attr(u->node, names[i]))
            return refuse(u, INGOT_INVALID, "starts or ends is missing");
        status = ints_to_input(u);
    }
    return status;
}

/* The first Split could have its sizes as an input of the type of the others, which may be float. */
static ingot_status split_2(upgrade *u)
{
    if (input(u, 1) == INGOT_NONE)
        return INGOT_OK;
    return done_if(u, set_input(u, 1, add_op_int(u, "Cast", 13, input(u, 1), INGOT_NONE, "to", INGOT_INT64)));
}

/* Without sizes, the number of equal parts must be told since opset 18; it is the number of outputs. */
static ingot_status split_18(upgrade *u)
{
    return input(u, 1) != INGOT_NONE
               ? INGOT_OK
               : done_if(u, ingot_node_set_int(u->graph, u->node, "num_outputs", u->node->n_outputs));
}

/* The attribute was called paddings at first. */
static ingot_status pad_2(upgrade *u)
{
    const ingot_attr *attr = ingot_node_attr(u->node, "paddings");
    if (!attr || attr->type != INGOT_ATTR_INTS)
        return refuse(u, INGOT_INVALID, "paddings is missing");
    const bool ok = ingot_node_set_ints(u->graph, u->node, "pads", attr->ints, attr->n);
    ingot_node_remove_attr(u->node, "paddings");
    return done_if(u, ok);
}

/* The axis had 1 for its default; now that is the last but one. */
static ingot_status dft_20(upgrade *u)
{
    const int64_t axis = ingot_attr_int(u->node, "axis", 1);
    ingot_node_remove_attr(u->node, "axis");
    return done_if(u, set_input(u, 2, add_constant(u, INGOT_INT64, 0, 1, &axis)));
}

/* ---- attributes with another spelling or default ---- */

/* An attribute without meaning now: what it chose follows from the outputs or shapes. */
static ingot_status drop_attr(upgrade *u)
{
    ingot_node_remove_attr(u->node, u->name);
    return INGOT_OK;
}

/* An attribute that was left out gets the value that leaving it out used to mean. */
static ingot_status default_int(upgrade *u)
{
    return ingot_node_attr(u->node, u->name) ? INGOT_OK
                                             : done_if(u, ingot_node_set_int(u->graph, u->node, u->name, u->slot));
}

/* p of LpPool and GlobalLpPool was a float for one opset. */
static ingot_status float_to_int(upgrade *u)
{
    const float value = ingot_attr_float(u->node, u->name, 2);
    if (!(value >= 1 && value <= 1e6f) || value != (float)(int)value)
        return refuse(u, INGOT_UNSUPPORTED, "p is no small whole number");
    return done_if(u, ingot_node_set_int(u->graph, u->node, u->name, (int64_t)value));
}

/* Both defaults got more digits. */
static ingot_status selu_6(upgrade *u)
{
    const float alpha = ingot_attr_float(u->node, "alpha", 1.6732f),
                gamma = ingot_attr_float(u->node, "gamma", 1.0507f);
    return done_if(u, ingot_node_set_float(u->graph, u->node, "alpha", alpha) &&
                          ingot_node_set_float(u->graph, u->node, "gamma", gamma));
}

/* Boxes were not shifted by half a pixel; the new default shifts them. */
static ingot_status roi_align_16(upgrade *u)
{
    return done_if(u, ingot_node_set_string(u->graph, u->node, "coordinate_transformation_mode", "output_half_pixel"));
}

/* bilinear and bicubic became linear and cubic, as there can be more than two dimensions. */
static ingot_status grid_sample_20(upgrade *u)
{
    const char *mode = ingot_attr_string(u->node, "mode", "bilinear");
    const char *renamed = !strcmp(mode, "bilinear") ? "linear" : !strcmp(mode, "bicubic") ? "cubic" : mode;
    return done_if(u, ingot_node_set_string(u->graph, u->node, "mode", renamed));
}

/* The type was a name. */
static ingot_status cast_6(upgrade *u)
{
    static const struct {
        const char *name;
        ingot_dtype dtype;
    } types[] = {
        {"FLOAT", INGOT_FLOAT},   {"UINT8", INGOT_UINT8},     {"INT8", INGOT_INT8},     {"UINT16", INGOT_UINT16},
        {"INT16", INGOT_INT16},   {"INT32", INGOT_INT32},     {"INT64", INGOT_INT64},   {"STRING", INGOT_STRING},
        {"BOOL", INGOT_BOOL},     {"FLOAT16", INGOT_FLOAT16}, {"DOUBLE", INGOT_DOUBLE}, {"UINT32", INGOT_UINT32},
        {"UINT64", INGOT_UINT64},
    };
    const char *to = ingot_attr_string(u->node, "to", "");
    for (size_t i = 0; i < sizeof types / sizeof *types; i++)
        if (!strcmp(types[i].name, to))
            return done_if(u, ingot_node_set_int(u->graph, u->node, "to", types[i].dtype));
    return refuse(u, INGOT_UNSUPPORTED, "it casts to a type that is not known");
}

/* ---- operators with another name ---- */

/* Only the name changed: Scatter, and Upsample once it has scales as input. */
static ingot_status rename_op(upgrade *u)
{
    u->node->op_type = u->name;
    return INGOT_OK;
}

/* Scales of an image were two attributes. */
static ingot_status upsample_7(upgrade *u)
{
    const float scales[4] = {1, 1, ingot_attr_float(u->node, "height_scale", 1),
                             ingot_attr_float(u->node, "width_scale", 1)};
    ingot_node_remove_attr(u->node, "height_scale");
    ingot_node_remove_attr(u->node, "width_scale");
    return done_if(u, set_input(u, 1, add_constant(u, INGOT_FLOAT, 1, 4, scales)));
}

/* Then a list attribute, then an input. */
static ingot_status upsample_9(upgrade *u)
{
    const ingot_attr *attr = ingot_node_attr(u->node, "scales");
    if (input(u, 1) != INGOT_NONE)
        return INGOT_OK; /* was of opset 1 */
    if (!attr || attr->type != INGOT_ATTR_FLOATS)
        return refuse(u, INGOT_INVALID, "scales is missing");
    const bool ok = set_input(u, 1, add_constant(u, INGOT_FLOAT, 1, (int64_t)attr->n, attr->floats));
    ingot_node_remove_attr(u->node, "scales");
    return done_if(u, ok);
}

/* Resize of opset 10 has (X, scales), asymmetric coordinates, and takes the pixel at or before them. That of opset 11
 * has a roi between the two, which may be empty but not left out. */
static ingot_status resize_11(upgrade *u)
{
    const ingot_tensor empty = {.dtype = INGOT_FLOAT, .rank = 1};
    const int scales = input(u, 1);
    if (scales == INGOT_NONE)
        return refuse(u, INGOT_INVALID, "scales is missing");
    const int roi = ingot_graph_add_constant(u->graph, NULL, &empty);
    return done_if(u, roi != INGOT_NONE && set_input(u, 2, scales) && set_input(u, 1, roi) &&
                          ingot_node_set_string(u->graph, u->node, "coordinate_transformation_mode", "asymmetric") &&
                          ingot_node_set_string(u->graph, u->node, "nearest_mode", "floor"));
}

/* Is the value a constant of whole numbers? */
static bool is_whole(const upgrade *u, int value)
{
    const ingot_const *constant = u->graph->values[value].constant;
    float numbers[INGOT_MAX_RANK];
    if (!constant || constant->tensor.kind != INGOT_TENSOR || constant->tensor.dtype != INGOT_FLOAT ||
        ingot_count(&constant->tensor) > INGOT_MAX_RANK)
        return false;
    ingot_const_read(constant, numbers);
    for (int64_t i = 0; i < ingot_count(&constant->tensor); i++)
        if (numbers[i] != floorf(numbers[i]))
            return false;
    return true;
}

/* PyTorch aligns the corners of the pixels that there are, but writes scales; in ONNX the corners are those of the
 * scaled size, which need not be whole. A Resize of PyTorch with such scales gets the size they come to,
 * floor(shape * scales) in float as Resize itself has it. */
static ingot_status align_whole(upgrade *u, int *n_upgraded)
{
    const char *coordinates = ingot_attr_string(u->node, "coordinate_transformation_mode", "half_pixel");
    const int x = input(u, 0), scales = input(u, 2);
    if (strcmp(coordinates, "align_corners") || x == INGOT_NONE || scales == INGOT_NONE || input(u, 3) != INGOT_NONE ||
        ingot_node_attr(u->node, "axes") || is_whole(u, scales))
        return INGOT_OK;
    const int shape = add_op_int(u, "Cast", 13, add_op(u, "Shape", 15, x, INGOT_NONE), INGOT_NONE, "to", INGOT_FLOAT);
    const int scaled = add_op(u, "Floor", 13, add_op(u, "Mul", 14, shape, scales), INGOT_NONE);
    const int sizes = add_op_int(u, "Cast", 13, scaled, INGOT_NONE, "to", INGOT_INT64);
    (*n_upgraded)++;
    return done_if(u, set_input(u, 3, sizes) && ingot_node_set_input(u->graph, u->index, 2, INGOT_NONE));
}

/* ---- forms that need other nodes ---- */

/* Softmax and its kin worked on a matrix of (dimensions before axis) x (the rest). */
static ingot_status softmax_13(upgrade *u)
{
    const int64_t axis = ingot_attr_int(u->node, "axis", 1);
    const int x = input(u, 0), y = u->node->n_outputs ? u->node->outputs[0] : INGOT_NONE;
    if (!ingot_node_set_int(u->graph, u->node, "axis", -1))
        return done_if(u, false);
    if (axis == -1 || x == INGOT_NONE || y == INGOT_NONE)
        return INGOT_OK;
    const int matrix = add_op_int(u, "Flatten", 13, x, INGOT_NONE, "axis", axis);
    const int shape = add_op(u, "Shape", 15, x, INGOT_NONE), flat = ingot_graph_add_value(u->graph, NULL);
    const int inputs[2] = {flat, shape};
    return done_if(u, matrix != INGOT_NONE && shape != INGOT_NONE && flat != INGOT_NONE && set_input(u, 0, matrix) &&
                          ingot_node_set_output(u->graph, u->index, 0, flat) &&
                          ingot_graph_add_node(u->graph, u->node->name, "Reshape", "", 14, inputs, 2, &y, 1));
}

/* Input 1 with ones behind its shape, so that its first dimension lies at `axis` of input 0. Ranks are computed by
 * the graph: the Shape of a Shape is a rank, and ConstantOfShape makes as many ones as are missing behind. INGOT_NONE
 * when memory is out. */
static int align_second(upgrade *u, int64_t axis)
{
    const int64_t one = 1;
    const ingot_tensor ones = {.dtype = INGOT_INT64, .rank = 1, .shape = {1}, .data = (void *)&one};
    const int b = input(u, 1), shape = add_op(u, "Shape", 15, b, INGOT_NONE);
    const int rank_b = add_op(u, "Shape", 15, shape, INGOT_NONE);
    int behind; /* how many ones, as a tensor of one element */
    if (axis < 0) {
        behind = add_op(u, "Sub", 14, add_int(u, -axis), rank_b);
    } else {
        const int rank_a = add_op(u, "Shape", 15, add_op(u, "Shape", 15, input(u, 0), INGOT_NONE), INGOT_NONE);
        behind = add_op(u, "Sub", 14, add_op(u, "Sub", 14, rank_a, add_int(u, axis)), rank_b);
    }
    const int filled = add_op(u, "ConstantOfShape", 9, behind, INGOT_NONE);
    ingot_const *constant = ingot_const_create(u->graph->arena, &ones);
    ingot_attr *attr = ingot_arena_alloc(u->graph->arena, sizeof *attr);
    ingot_const **item = ingot_arena_alloc(u->graph->arena, sizeof *item);
    if (filled == INGOT_NONE || !constant || !attr || !item)
        return INGOT_NONE;
    *item = constant;
    *attr = (ingot_attr){.name = "value", .type = INGOT_ATTR_TENSOR, .n = 1, .tensors = (ingot_const *const *)item};
    maker(u, filled)->attrs = attr;
    maker(u, filled)->n_attrs = 1;
    return add_op(u, "Reshape", 14, b, add_op_int(u, "Concat", 13, shape, filled, "axis", 0));
}

/* Before opset 7 the second operand was broadcast only when `broadcast` said so, from `axis` on; without an axis it
 * lay at the end, as it does now. */
static ingot_status broadcast_7(upgrade *u)
{
    const ingot_attr *axis = ingot_node_attr(u->node, "axis");
    const bool aligned = axis && axis->type == INGOT_ATTR_INT && ingot_attr_int(u->node, "broadcast", 0);
    const int64_t at = aligned ? axis->ints[0] : 0;
    ingot_node_remove_attr(u->node, "axis");
    ingot_node_remove_attr(u->node, "broadcast");
    if (!aligned || input(u, 1) == INGOT_NONE || input(u, 0) == INGOT_NONE)
        return INGOT_OK;
    if (at < -INGOT_MAX_RANK || at > INGOT_MAX_RANK)
        return refuse(u, INGOT_INVALID, "axis is out of range");
    return done_if(u, set_input(u, 1, align_second(u, at)));
}

/* The slope of PRelu had one element, or one per channel: then it must lie along axis 1 of X, where broadcasting from
 * the end would not find it. */
static ingot_status prelu_7(upgrade *u)
{
    const int slope = input(u, 1);
    if (slope == INGOT_NONE || input(u, 0) == INGOT_NONE)
        return INGOT_OK;
    const ingot_value *value = &u->graph->values[slope];
    if (value->constant ? ingot_count(&value->constant->tensor) == 1 || value->constant->tensor.rank != 1
                        : value->type.rank >= 0 && value->type.rank != 1)
        return INGOT_OK;
    return done_if(u, set_input(u, 1, align_second(u, 1)));
}

/* Inference mode alone: a Dropout that drops nothing. Its mask, all ones, was of the type of the input until opset
 * 10, and is cast back to that where it is read. */
static ingot_status dropout_12(upgrade *u)
{
    const bool training = u->node->version < 7 && !ingot_attr_int(u->node, "is_test", 0) && is_wanted(u, 1);
    if (training)
        return refuse(u, INGOT_UNSUPPORTED, "it is in training mode");
    ingot_node_remove_attr(u->node, "ratio");
    ingot_node_remove_attr(u->node, "is_test");
    if (u->node->version >= 10 || !is_wanted(u, 1) || input(u, 0) == INGOT_NONE)
        return INGOT_OK;
    const int mask = ingot_graph_add_value(u->graph, NULL), typed = u->node->outputs[1];
    const int inputs[2] = {mask, input(u, 0)};
    return done_if(u, mask != INGOT_NONE && ingot_node_set_output(u->graph, u->index, 1, mask) &&
                          ingot_graph_add_node(u->graph, u->node->name, "CastLike", "", 15, inputs, 2, &typed, 1));
}

/* Tile(X, tiles, axis) repeats along one axis; now there is a count for each: ones, with `tiles` scattered to the
 * axis. */
static ingot_status tile_6(upgrade *u)
{
    if (u->node->n_inputs < 3 || input(u, 0) == INGOT_NONE || input(u, 1) == INGOT_NONE || input(u, 2) == INGOT_NONE)
        return u->node->n_inputs == 2 ? INGOT_OK : refuse(u, INGOT_INVALID, "it has too few inputs");
    const int rank = add_op(u, "Shape", 15, add_op(u, "Shape", 15, input(u, 0), INGOT_NONE), INGOT_NONE);
    const int ones = add_op(u, "Expand", 13, add_int(u, 1), rank);
    const int axis = add_op_int(u, "Cast", 13, input(u, 2), INGOT_NONE, "to", INGOT_INT64);
    const int tiles = add_op_int(u, "Cast", 13, input(u, 1), INGOT_NONE, "to", INGOT_INT64);
    const int inputs[3] = {ones, add_op(u, "Reshape", 14, axis, add_int(u, 1)),
                           add_op(u, "Reshape", 14, tiles, add_int(u, 1))};
    const int out = ingot_graph_add_value(u->graph, NULL);
    if (ones == INGOT_NONE || inputs[1] == INGOT_NONE || inputs[2] == INGOT_NONE || out == INGOT_NONE)
        return done_if(u, false);
    return done_if(u, ingot_graph_add_node(u->graph, u->node->name, "ScatterElements", "", 18, inputs, 3, &out, 1) &&
                          ingot_node_set_n_inputs(u->graph, u->index, 2) && set_input(u, 1, out));
}

/* Scale and bias had an element for each group; now one for each channel: each element is expanded to the channels of
 * its group, whose number the graph computes from X's shape. */
static ingot_status group_normalization_21(upgrade *u)
{
    const int64_t groups = ingot_attr_int(u->node, "num_groups", 0);
    if (groups < 1 || u->node->n_inputs < 3)
        return refuse(u, INGOT_INVALID, "num_groups or an input is missing");
    const int channels = add_op_int(u, "Shape", 15, input(u, 0), INGOT_NONE, "start", 1);
    if (channels == INGOT_NONE || !ingot_node_set_int(u->graph, maker(u, channels), "end", 2))
        return done_if(u, false);
    const int per_group = add_op(u, "Div", 14, channels, add_int(u, groups));
    const int to = add_op_int(u, "Concat", 13, add_int(u, groups), per_group, "axis", 0);
    const int64_t column[2] = {groups, 1};
    for (int slot = 1; slot < 3; slot++) {
        const int spread =
            add_op(u, "Expand", 13, add_op(u, "Reshape", 14, input(u, slot), add_ints(u, column, 2)), to);
        if (!set_input(u, slot, add_op(u, "Reshape", 14, spread, add_int(u, -1))))
            return done_if(u, false);
    }
    return INGOT_OK;
}

/* BatchNormalization over each element of a sample (spatial = 0): statistics have the shape of the sample. Written
 * out as its formula, (X - mean) / sqrt(variance + epsilon) * scale + bias; the node itself goes. */
static ingot_status normalize_elements(upgrade *u)
{
    const float epsilon = ingot_attr_float(u->node, "epsilon", 1e-5f);
    const int variance = add_op(u, "Add", 14, input(u, 4), add_number_like(u, epsilon, input(u, 4)));
    const int centered = add_op(u, "Sub", 14, input(u, 0), input(u, 3));
    const int scaled =
        add_op(u, "Mul", 14, add_op(u, "Div", 14, centered, add_op(u, "Sqrt", 13, variance, INGOT_NONE)), input(u, 1));
    const int sum[2] = {scaled, input(u, 2)}, y = u->node->outputs[0];
    if (scaled == INGOT_NONE)
        return done_if(u, false);
    ingot_graph_remove_node(u->graph, u->index);
    return done_if(u, ingot_graph_add_node(u->graph, u->node->name, "Add", "", 14, sum, 2, &y, 1));
}

/* Training mode used to follow from the outputs that were asked for. saved_mean and saved_var have no successors:
 * UNSUPPORTED where they are read. Outputs that nobody reads go. */
static ingot_status batch_normalization_14(upgrade *u)
{
    const bool training = is_wanted(u, 1) || is_wanted(u, 2) || is_wanted(u, 3) || is_wanted(u, 4);
    const bool spatial = u->node->version >= 9 || ingot_attr_int(u->node, "spatial", 1);
    for (int i = 0; i < 5; i++)
        if (input(u, i) == INGOT_NONE)
            return refuse(u, INGOT_INVALID, "an input is missing");
    if (!u->node->n_outputs)
        return refuse(u, INGOT_INVALID, "it has no output");
    if (is_wanted(u, 3) || is_wanted(u, 4))
        return refuse(u, INGOT_UNSUPPORTED, "saved_mean or saved_var is used");
    ingot_node_remove_attr(u->node, "is_test");
    ingot_node_remove_attr(u->node, "spatial");
    if (!spatial && training)
        return refuse(u, INGOT_UNSUPPORTED, "it is in training mode with spatial = 0");
    if (!spatial)
        return normalize_elements(u);
    if (!training)
        ingot_node_remove_attr(u->node, "momentum");
    for (int i = training ? 3 : 1; i < u->node->n_outputs; i++)
        ingot_node_set_output(u->graph, u->index, i, INGOT_NONE);
    u->node->n_outputs = MIN(u->node->n_outputs, training ? 3 : 1);
    return done_if(u, !training || ingot_node_set_int(u->graph, u->node, "training_mode", 1));
}

/* ---- the table ---- */

/* name and slot are arguments of the function. Rows of one operator stand in the order of their versions. */
static const struct row {
    const char *op_type;
    int below;
    rewrite_fn *rewrite;
    const char *name;
    int slot;
} rows[] = {
    {"Add", 7, broadcast_7, NULL, 0},
    {"And", 7, broadcast_7, NULL, 0},
    {"Div", 7, broadcast_7, NULL, 0},
    {"Equal", 7, broadcast_7, NULL, 0},
    {"Greater", 7, broadcast_7, NULL, 0},
    {"Less", 7, broadcast_7, NULL, 0},
    {"Mul", 7, broadcast_7, NULL, 0},
    {"Or", 7, broadcast_7, NULL, 0},
    {"Pow", 7, broadcast_7, NULL, 0},
    {"Sub", 7, broadcast_7, NULL, 0},
    {"Xor", 7, broadcast_7, NULL, 0},
    {"BatchNormalization", 14, batch_normalization_14, NULL, 0},
    {"Cast", 6, cast_6, NULL, 0},
    {"Clip", 11, float_to_input, "min", 1},
    {"Clip", 11, float_to_input, "max", 2},
    {"Concat", 4, default_int, "axis", 1},
    {"DFT", 20, dft_20, NULL, 0},
    {"Dropout", 12, dropout_12, NULL, 0},
    {"GRU", 7, drop_attr, "output_sequence", 0},
    {"Gemm", 7, drop_attr, "broadcast", 0},
    {"GlobalLpPool", 2, float_to_int, "p", 0},
    {"GridSample", 20, grid_sample_20, NULL, 0},
    {"GroupNormalization", 21, group_normalization_21, NULL, 0},
    {"Hardmax", 13, softmax_13, NULL, 0},
    {"LSTM", 7, drop_attr, "output_sequence", 0},
    {"LogSoftmax", 13, softmax_13, NULL, 0},
    {"LpPool", 2, float_to_int, "p", 0},
    {"PRelu", 7, prelu_7, NULL, 0},
    {"Pad", 2, pad_2, NULL, 0},
    {"Pad", 11, ints_to_input, "pads", 1},
    {"Pad", 11, float_to_input, "value", 2},
    {"RNN", 7, drop_attr, "output_sequence", 0},
    {"ReduceL1", 18, ints_to_input, "axes", 1},
    {"ReduceL2", 18, ints_to_input, "axes", 1},
    {"ReduceLogSum", 18, ints_to_input, "axes", 1},
    {"ReduceLogSumExp", 18, ints_to_input, "axes", 1},
    {"ReduceMax", 18, ints_to_input, "axes", 1},
    {"ReduceMean", 18, ints_to_input, "axes", 1},
    {"ReduceMin", 18, ints_to_input, "axes", 1},
    {"ReduceProd", 18, ints_to_input, "axes", 1},
    {"ReduceSum", 13, ints_to_input, "axes", 1},
    {"ReduceSumSquare", 18, ints_to_input, "axes", 1},
    {"Reshape", 5, ints_to_input, "shape", 1},
    {"RoiAlign", 16, roi_align_16, NULL, 0},
    {"Scatter", 11, rename_op, "ScatterElements", 0},
    {"Selu", 6, selu_6, NULL, 0},
    {"Slice", 10, slice_10, NULL, 0},
    {"Softmax", 13, softmax_13, NULL, 0},
    {"Split", 2, split_2, NULL, 0},
    {"Split", 13, ints_to_input, "split", 1},
    {"Split", 18, split_18, NULL, 0},
    {"Squeeze", 13, ints_to_input, "axes", 1},
    {"Tile", 6, tile_6, NULL, 0},
    {"TopK", 10, int_to_input, "k", 1},
    {"Unsqueeze", 13, ints_to_input, "axes", 1},
    {"Upsample", 7, upsample_7, NULL, 0},
    {"Upsample", 9, upsample_9, NULL, 0},
    {"Upsample", 10, rename_op, "Resize", 0},
    {"Resize", 11, resize_11, NULL, 0},
};

/* Runtimes no longer know older forms, even those that did not change. */
enum { N_ROWS = sizeof rows / sizeof *rows, OLDEST_KEPT = 7 };

/* Apply the rows of one node, and give it the version whose form it has. *n_upgraded counts nodes whose version
 * changed. */
static ingot_status upgrade_node(ingot_graph *graph, int index, int *n_upgraded, ingot_error *error)
{
    ingot_node *node = graph->nodes[index];
    const int version = node->version;
    int reached = version;
    if (version < 6)
        ingot_node_remove_attr(node, "consumed_inputs");
    /* From form to form. */
    for (int r = 0; r < N_ROWS && node->op_type; r++) {
        if (version >= rows[r].below || strcmp(node->op_type, rows[r].op_type))
            continue;
        upgrade u = {graph, index, node, rows[r].name, rows[r].slot, error};
        const ingot_status status = rows[r].rewrite(&u);
        if (status)
            return status;
        reached = MAX(reached, rows[r].below);
    }
    if (!node->op_type)
        return INGOT_OK;
    node->version = MAX(reached, OLDEST_KEPT);
    bool known;
    const ingot_op *op = ingot_op_find("", node->op_type, node->version, &known);
    const ingot_op *newest = ingot_op_find("", node->op_type, INT32_MAX, &known);
    if (!op && newest) /* the form did not change, although its record starts later */
        node->version = newest->since;
    *n_upgraded += node->version != version;
    return INGOT_OK;
}

/* All nodes of the default domain of one graph; subgraphs are the caller's to walk. */
ingot_status ingot_upgrade(ingot_graph *graph, const char *producer, int *n_upgraded, ingot_error *error)
{
    const int n_nodes = graph->n_nodes; /* new ones have their newest form */
    const bool is_pytorch = producer && !strcmp(producer, "pytorch");
    ingot_status status = INGOT_OK;
    for (int i = 0; i < n_nodes && !status; i++) {
        ingot_node *node = graph->nodes[i];
        if (!node->op_type || *node->domain)
            continue;
        status = upgrade_node(graph, i, n_upgraded, error);
        if (!status && is_pytorch && node->op_type && !strcmp(node->op_type, "Resize"))
            status = align_whole(&(upgrade){graph, i, node, NULL, 0, error}, n_upgraded);
    }
    return status;
}

/* For tools that list operators: the index-th operator that only got another name, and the last version of the old
 * one. False past the end. */
bool ingot_renamed_op(size_t index, ingot_renamed *renamed)
{
    for (int r = 0; r < N_ROWS; r++)
        if (rows[r].rewrite == rename_op && index-- == 0) {
            *renamed = (ingot_renamed){rows[r].op_type, rows[r].name, rows[r].below - 1};
            return true;
        }
    return false;
}

/* And forms that took other types: split_2() and tile_6() cast them. */
bool ingot_old_types_at(size_t index, ingot_old_types *old)
{
    static const uint64_t floats = INGOT_TYPE(FLOAT) | INGOT_TYPE(DOUBLE) | INGOT_TYPE(FLOAT16);
    const ingot_old_types all[] = {{"Split", 1, 2, floats}, {"Tile", 5, 3, floats}};
    if (index >= sizeof all / sizeof *all)
        return false;
    *old = all[index];
    return true;
}
