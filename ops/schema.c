/* schema.c - what ONNX says of every operator: when it came, how many outputs it has and which attributes of which
 * types, over all its versions. Checked once when a model is loaded, so that nobody behind has to: an attribute that is
 * misspelt or has another type would silently count as absent. Inputs and element types are checked by the operators'
 * own records.
 *
 * An attribute is NAME:TYPES, a letter for each type that some version gives it, "!" where every version requires it,
 * and "!4" where those from opset 4 on do:
 * f float, i int, s string, t tensor, g graph, p sparse tensor, y type; the capital is a list of them.
 * Source: the operator schemas of ONNX 1.23, which tests/python/test_schema.py compares with these rows. */
#include "ops/schema.h"

#include <stdlib.h>
#include <string.h>

/* An operator over all its versions; see the top of the file for the attributes' form. */
typedef struct schema {
    const char *op_type;
    int since;       /* first opset version that has it */
    int max_outputs; /* 0: any number */
    const char *attributes;
} schema;

/* Sorted by name, for bsearch(). */
static const schema schemas_default[] = {
    {"Abs", 1, 1, "consumed_inputs:I"},
    {"Acos", 7, 1, ""},
    {"Acosh", 9, 1, ""},
    {"Add", 1, 1, "axis:i broadcast:i consumed_inputs:I"},
    {"AffineGrid", 20, 1, "align_corners:i"},
    {"And", 1, 1, "axis:i broadcast:i"},
    {"ArgMax", 1, 1, "axis:i keepdims:i select_last_index:i"},
    {"ArgMin", 1, 1, "axis:i keepdims:i select_last_index:i"},
    {"Asin", 7, 1, ""},
    {"Asinh", 9, 1, ""},
    {"Atan", 7, 1, ""},
    {"Atanh", 9, 1, ""},
    {"Attention", 23, 4,
     "is_causal:i kv_num_heads:i left_window_size:i q_num_heads:i qk_matmul_output_mode:i right_window_size:i "
     "scale:f softcap:f softmax_precision:i"},
    {"AveragePool", 1, 1, "auto_pad:s ceil_mode:i count_include_pad:i dilations:I kernel_shape:I! pads:I strides:I"},
    {"BatchNormalization", 1, 5, "consumed_inputs:I epsilon:f is_test:i momentum:f spatial:i training_mode:i"},
    {"Bernoulli", 15, 1, "dtype:i seed:f"},
    {"BitCast", 26, 1, "to:i!"},
    {"BitShift", 11, 1, "direction:s!"},
    {"BitwiseAnd", 18, 1, ""},
    {"BitwiseNot", 18, 1, ""},
    {"BitwiseOr", 18, 1, ""},
    {"BitwiseXor", 18, 1, ""},
    {"BlackmanWindow", 17, 1, "output_datatype:i periodic:i"},
    {"Cast", 1, 1, "round_mode:s saturate:i to:is!"},
    {"CastLike", 15, 1, "round_mode:s saturate:i"},
    {"CausalConvWithState", 27, 2, "activation:s"},
    {"Ceil", 1, 1, "consumed_inputs:I"},
    {"Celu", 12, 1, "alpha:f"},
    {"CenterCropPad", 18, 1, "axes:I"},
    {"Clip", 1, 1, "consumed_inputs:I max:f min:f"},
    {"Col2Im", 18, 1, "dilations:I pads:I strides:I"},
    {"Compress", 9, 1, "axis:i"},
    {"Concat", 1, 1, "axis:i!4"},
    {"ConcatFromSequence", 11, 1, "axis:i! new_axis:i"},
    {"Constant", 1, 1,
     "sparse_value:p value:t value_float:f value_floats:F value_int:i value_ints:I value_string:s "
     "value_strings:S"},
    {"ConstantOfShape", 9, 1, "value:t"},
    {"Conv", 1, 1, "auto_pad:s dilations:I group:i kernel_shape:I pads:I strides:I"},
    {"ConvInteger", 10, 1, "auto_pad:s dilations:I group:i kernel_shape:I pads:I strides:I"},
    {"ConvTranspose", 1, 1,
     "auto_pad:s dilations:I group:i kernel_shape:I output_padding:I output_shape:I pads:I strides:I"},
    {"Cos", 7, 1, ""},
    {"Cosh", 9, 1, ""},
    {"CumProd", 26, 1, "exclusive:i reverse:i"},
    {"CumSum", 11, 1, "exclusive:i reverse:i"},
    {"DFT", 17, 1, "axis:i inverse:i onesided:i"},
    {"DeformConv", 19, 1, "dilations:I group:i kernel_shape:I offset_group:i pads:I strides:I"},
    {"DepthToSpace", 1, 1, "blocksize:i! mode:s"},
    {"DequantizeLinear", 10, 1, "axis:i block_size:i output_dtype:i"},
    {"Det", 11, 1, ""},
    {"Div", 1, 1, "axis:i broadcast:i consumed_inputs:I"},
    {"Dropout", 1, 2, "consumed_inputs:I is_test:i ratio:f seed:i"},
    {"DynamicQuantizeLinear", 11, 3, ""},
    {"Einsum", 12, 1, "equation:s!"},
    {"Elu", 1, 1, "alpha:f consumed_inputs:I"},
    {"Equal", 1, 1, "axis:i broadcast:i"},
    {"Erf", 9, 1, ""},
    {"Exp", 1, 1, "consumed_inputs:I"},
    {"Expand", 8, 1, ""},
    {"EyeLike", 9, 1, "dtype:i k:i"},
    {"Flatten", 1, 1, "axis:i"},
    {"Floor", 1, 1, "consumed_inputs:I"},
    {"GRU", 1, 2,
     "activation_alpha:F activation_beta:F activations:S clip:f direction:s hidden_size:i layout:i "
     "linear_before_reset:i output_sequence:i"},
    {"Gather", 1, 1, "axis:i"},
    {"GatherElements", 11, 1, "axis:i"},
    {"GatherND", 11, 1, "batch_dims:i"},
    {"Gelu", 20, 1, "approximate:s"},
    {"Gemm", 1, 1, "alpha:f beta:f broadcast:i transA:i transB:i"},
    {"GlobalAveragePool", 1, 1, ""},
    {"GlobalLpPool", 1, 1, "p:fi"},
    {"GlobalMaxPool", 1, 1, ""},
    {"Greater", 1, 1, "axis:i broadcast:i"},
    {"GreaterOrEqual", 12, 1, ""},
    {"GridSample", 16, 1, "align_corners:i mode:s padding_mode:s"},
    {"GroupNormalization", 18, 1, "epsilon:f num_groups:i! stash_type:i"},
    {"HammingWindow", 17, 1, "output_datatype:i periodic:i"},
    {"HannWindow", 17, 1, "output_datatype:i periodic:i"},
    {"HardSigmoid", 1, 1, "alpha:f beta:f consumed_inputs:I"},
    {"HardSwish", 14, 1, ""},
    {"Hardmax", 1, 1, "axis:i"},
    {"Identity", 1, 1, ""},
    {"If", 1, 0, "else_branch:g! then_branch:g!"},
    {"ImageDecoder", 20, 1, "pixel_format:s"},
    {"InstanceNormalization", 1, 1, "consumed_inputs:I epsilon:f"},
    {"IsInf", 10, 1, "detect_negative:i detect_positive:i"},
    {"IsNaN", 9, 1, ""},
    {"LRN", 1, 1, "alpha:f beta:f bias:f size:i!"},
    {"LSTM", 1, 3,
     "activation_alpha:F activation_beta:F activations:S clip:f direction:s hidden_size:i input_forget:i "
     "layout:i output_sequence:i"},
    {"LayerNormalization", 17, 3, "axis:i epsilon:f stash_type:i"},
    {"LeakyRelu", 1, 1, "alpha:f consumed_inputs:I"},
    {"Less", 1, 1, "axis:i broadcast:i"},
    {"LessOrEqual", 12, 1, ""},
    {"LinearAttention", 27, 2, "chunk_size:i kv_num_heads:i! q_num_heads:i! scale:f update_rule:s"},
    {"Log", 1, 1, "consumed_inputs:I"},
    {"LogSoftmax", 1, 1, "axis:i"},
    {"Loop", 1, 0, "body:g!"},
    {"LpNormalization", 1, 1, "axis:i p:i"},
    {"LpPool", 1, 1, "auto_pad:s ceil_mode:i dilations:I kernel_shape:I!2 p:fi pads:I strides:I"},
    {"MatMul", 1, 1, ""},
    {"MatMulInteger", 10, 1, ""},
    {"Max", 1, 1, "consumed_inputs:I"},
    {"MaxPool", 1, 2, "auto_pad:s ceil_mode:i dilations:I kernel_shape:I! pads:I storage_order:i strides:I"},
    {"MaxRoiPool", 1, 1, "pooled_shape:I! spatial_scale:f"},
    {"MaxUnpool", 9, 1, "kernel_shape:I! pads:I strides:I"},
    {"Mean", 1, 1, "consumed_inputs:I"},
    {"MeanVarianceNormalization", 9, 1, "axes:I"},
    {"MelWeightMatrix", 17, 1, "output_datatype:i"},
    {"Min", 1, 1, "consumed_inputs:I"},
    {"Mish", 18, 1, ""},
    {"Mod", 10, 1, "fmod:i"},
    {"Mul", 1, 1, "axis:i broadcast:i consumed_inputs:I"},
    {"Multinomial", 7, 1, "dtype:i sample_size:i seed:f"},
    {"Neg", 1, 1, "consumed_inputs:I"},
    {"NegativeLogLikelihoodLoss", 12, 1, "ignore_index:i reduction:s"},
    {"NonMaxSuppression", 10, 1, "center_point_box:i"},
    {"NonZero", 9, 1, ""},
    {"Not", 1, 1, ""},
    {"OneHot", 9, 1, "axis:i"},
    {"Optional", 15, 1, "type:y"},
    {"OptionalGetElement", 15, 1, ""},
    {"OptionalHasElement", 15, 1, ""},
    {"Or", 1, 1, "axis:i broadcast:i"},
    {"PRelu", 1, 1, "consumed_inputs:I"},
    {"Pad", 1, 1, "mode:s paddings:I pads:I value:f"},
    {"Pow", 1, 1, "axis:i broadcast:i"},
    {"QLinearConv", 10, 1, "auto_pad:s dilations:I group:i kernel_shape:I pads:I strides:I"},
    {"QLinearMatMul", 10, 1, ""},
    {"QuantizeLinear", 10, 1, "axis:i block_size:i output_dtype:i precision:i saturate:i"},
    {"RMSNormalization", 23, 1, "axis:i epsilon:f stash_type:i"},
    {"RNN", 1, 2,
     "activation_alpha:F activation_beta:F activations:S clip:f direction:s hidden_size:i layout:i "
     "output_sequence:i"},
    {"RandomNormal", 1, 1, "dtype:i mean:f scale:f seed:f shape:I!"},
    {"RandomNormalLike", 1, 1, "dtype:i mean:f scale:f seed:f"},
    {"RandomUniform", 1, 1, "dtype:i high:f low:f seed:f shape:I!"},
    {"RandomUniformLike", 1, 1, "dtype:i high:f low:f seed:f"},
    {"Range", 11, 1, "stash_type:i"},
    {"Reciprocal", 1, 1, "consumed_inputs:I"},
    {"ReduceL1", 1, 1, "axes:I keepdims:i noop_with_empty_axes:i"},
    {"ReduceL2", 1, 1, "axes:I keepdims:i noop_with_empty_axes:i"},
    {"ReduceLogSum", 1, 1, "axes:I keepdims:i noop_with_empty_axes:i"},
    {"ReduceLogSumExp", 1, 1, "axes:I keepdims:i noop_with_empty_axes:i"},
    {"ReduceMax", 1, 1, "axes:I keepdims:i noop_with_empty_axes:i"},
    {"ReduceMean", 1, 1, "axes:I keepdims:i noop_with_empty_axes:i"},
    {"ReduceMin", 1, 1, "axes:I keepdims:i noop_with_empty_axes:i"},
    {"ReduceProd", 1, 1, "axes:I keepdims:i noop_with_empty_axes:i"},
    {"ReduceSum", 1, 1, "axes:I keepdims:i noop_with_empty_axes:i"},
    {"ReduceSumSquare", 1, 1, "axes:I keepdims:i noop_with_empty_axes:i"},
    {"RegexFullMatch", 20, 1, "pattern:s"},
    {"Relu", 1, 1, "consumed_inputs:I"},
    {"Reshape", 1, 1, "allowzero:i consumed_inputs:I shape:I"},
    {"Resize", 10, 1,
     "antialias:i axes:I coordinate_transformation_mode:s cubic_coeff_a:f exclude_outside:i "
     "extrapolation_value:f keep_aspect_ratio_policy:s mode:s nearest_mode:s"},
    {"ReverseSequence", 10, 1, "batch_axis:i time_axis:i"},
    {"RoiAlign", 10, 1,
     "coordinate_transformation_mode:s mode:s output_height:i output_width:i sampling_ratio:i spatial_scale:f"},
    {"RotaryEmbedding", 23, 1, "interleaved:i num_heads:i rotary_embedding_dim:i"},
    {"Round", 11, 1, ""},
    {"STFT", 17, 1, "onesided:i"},
    {"Scan", 8, 0,
     "body:g! directions:I num_scan_inputs:i! scan_input_axes:I scan_input_directions:I scan_output_axes:I "
     "scan_output_directions:I"},
    {"Scatter", 9, 1, "axis:i"},
    {"ScatterElements", 11, 1, "axis:i reduction:s"},
    {"ScatterND", 11, 1, "reduction:s"},
    {"Selu", 1, 1, "alpha:f consumed_inputs:I gamma:f"},
    {"SequenceAt", 11, 1, ""},
    {"SequenceConstruct", 11, 1, ""},
    {"SequenceEmpty", 11, 1, "dtype:i"},
    {"SequenceErase", 11, 1, ""},
    {"SequenceInsert", 11, 1, ""},
    {"SequenceLength", 11, 1, ""},
    {"SequenceMap", 17, 0, "body:g!"},
    {"Shape", 1, 1, "end:i start:i"},
    {"Shrink", 9, 1, "bias:f lambd:f"},
    {"Sigmoid", 1, 1, "consumed_inputs:I"},
    {"Sign", 9, 1, ""},
    {"Sin", 7, 1, ""},
    {"Sinh", 9, 1, ""},
    {"Size", 1, 1, ""},
    {"Slice", 1, 1, "axes:I ends:I starts:I"},
    {"Softmax", 1, 1, "axis:i"},
    {"SoftmaxCrossEntropyLoss", 12, 2, "ignore_index:i reduction:s"},
    {"Softplus", 1, 1, ""},
    {"Softsign", 1, 1, ""},
    {"SpaceToDepth", 1, 1, "blocksize:i! mode:s"},
    {"Split", 1, 0, "axis:i num_outputs:i split:I"},
    {"SplitToSequence", 11, 1, "axis:i keepdims:i"},
    {"Sqrt", 1, 1, "consumed_inputs:I"},
    {"Squeeze", 1, 1, "axes:I"},
    {"StringConcat", 20, 1, ""},
    {"StringNormalizer", 10, 1, "case_change_action:s is_case_sensitive:i locale:s stopwords:S"},
    {"StringSplit", 20, 2, "delimiter:s maxsplit:i"},
    {"Sub", 1, 1, "axis:i broadcast:i consumed_inputs:I"},
    {"Sum", 1, 1, "consumed_inputs:I"},
    {"SwiGLU", 28, 1, "alpha:f"},
    {"Swish", 24, 1, "alpha:f"},
    {"Tan", 7, 1, ""},
    {"Tanh", 1, 1, "consumed_inputs:I"},
    {"TensorScatter", 24, 1, "axis:i mode:s"},
    {"TfIdfVectorizer", 9, 1,
     "max_gram_length:i! max_skip_count:i! min_gram_length:i! mode:s! ngram_counts:I! ngram_indexes:I! "
     "pool_int64s:I pool_strings:S weights:F"},
    {"ThresholdedRelu", 10, 1, "alpha:f"},
    {"Tile", 1, 1, ""},
    {"TopK", 1, 2, "axis:i k:i largest:i sorted:i"},
    {"Transpose", 1, 1, "perm:I"},
    {"Trilu", 14, 1, "upper:i"},
    {"Unique", 11, 4, "axis:i sorted:i"},
    {"Unsqueeze", 1, 1, "axes:I"},
    {"Upsample", 1, 1, "height_scale:f mode:s scales:F width_scale:f"},
    {"Where", 9, 1, ""},
    {"Xor", 1, 1, "axis:i broadcast:i"},
};

/* The same for ai.onnx.ml. */
static const schema schemas_ml[] = {
    {"ArrayFeatureExtractor", 1, 1, ""},
    {"Binarizer", 1, 1, "threshold:f"},
    {"CastMap", 1, 1, "cast_to:s map_form:s max_map:i"},
    {"CategoryMapper", 1, 1, "cats_int64s:I cats_strings:S default_int64:i default_string:s"},
    {"DictVectorizer", 1, 1, "int64_vocabulary:I string_vocabulary:S"},
    {"FeatureVectorizer", 1, 1, "inputdimensions:I"},
    {"Imputer", 1, 1, "imputed_value_floats:F imputed_value_int64s:I replaced_value_float:f replaced_value_int64:i"},
    {"LabelEncoder", 1, 1,
     "classes_strings:S default_float:f default_int64:i default_string:s default_tensor:t keys_floats:F "
     "keys_int64s:I keys_strings:S keys_tensor:t values_floats:F values_int64s:I values_strings:S "
     "values_tensor:t"},
    {"LinearClassifier", 1, 2,
     "classlabels_ints:I classlabels_strings:S coefficients:F! intercepts:F multi_class:i post_transform:s"},
    {"LinearRegressor", 1, 1, "coefficients:F intercepts:F post_transform:s targets:i"},
    {"Normalizer", 1, 1, "norm:s"},
    {"OneHotEncoder", 1, 1, "cats_int64s:I cats_strings:S zeros:i"},
    {"SVMClassifier", 1, 2,
     "classlabels_ints:I classlabels_strings:S coefficients:F kernel_params:F kernel_type:s post_transform:s "
     "prob_a:F prob_b:F rho:F support_vectors:F vectors_per_class:I"},
    {"SVMRegressor", 1, 1,
     "coefficients:F kernel_params:F kernel_type:s n_supports:i one_class:i post_transform:s rho:F "
     "support_vectors:F"},
    {"Scaler", 1, 1, "offset:F scale:F"},
    {"TreeEnsemble", 5, 1,
     "aggregate_function:i leaf_targetids:I! leaf_weights:t! membership_values:t n_targets:i "
     "nodes_falseleafs:I! nodes_falsenodeids:I! nodes_featureids:I! nodes_hitrates:t "
     "nodes_missing_value_tracks_true:I nodes_modes:t! nodes_splits:t! nodes_trueleafs:I! nodes_truenodeids:I! "
     "post_transform:i tree_roots:I!"},
    {"TreeEnsembleClassifier", 1, 2,
     "base_values:F base_values_as_tensor:t class_ids:I class_nodeids:I class_treeids:I class_weights:F "
     "class_weights_as_tensor:t classlabels_int64s:I classlabels_strings:S nodes_falsenodeids:I "
     "nodes_featureids:I nodes_hitrates:F nodes_hitrates_as_tensor:t nodes_missing_value_tracks_true:I "
     "nodes_modes:S nodes_nodeids:I nodes_treeids:I nodes_truenodeids:I nodes_values:F "
     "nodes_values_as_tensor:t post_transform:s"},
    {"TreeEnsembleRegressor", 1, 1,
     "aggregate_function:s base_values:F base_values_as_tensor:t n_targets:i nodes_falsenodeids:I "
     "nodes_featureids:I nodes_hitrates:F nodes_hitrates_as_tensor:t nodes_missing_value_tracks_true:I "
     "nodes_modes:S nodes_nodeids:I nodes_treeids:I nodes_truenodeids:I nodes_values:F "
     "nodes_values_as_tensor:t post_transform:s target_ids:I target_nodeids:I target_treeids:I "
     "target_weights:F target_weights_as_tensor:t"},
    {"ZipMap", 1, 1, "classlabels_int64s:I classlabels_strings:S"},
};

/* For bsearch: the key is a name. */
static int compare(const void *op_type, const void *row) { return strcmp(op_type, ((const schema *)row)->op_type); }

/* NULL for operators that are not of ONNX itself, or newer than these rows: nothing is known of them here, and
 * nothing checked. */
static const schema *find_schema(const char *domain, const char *op_type)
{
    if (!*domain)
        return bsearch(op_type, schemas_default, sizeof schemas_default / sizeof *schemas_default,
                       sizeof *schemas_default, compare);
    if (!strcmp(domain, "ai.onnx.ml"))
        return bsearch(op_type, schemas_ml, sizeof schemas_ml / sizeof *schemas_ml, sizeof *schemas_ml, compare);
    return NULL;
}

/* The types that the attribute may have, as letters up to a blank; NULL where the operator has none of the name. */
static const char *find_types(const char *attributes, const char *name)
{
    const size_t length = strlen(name);
    for (const char *at = attributes; *at; at += strcspn(at, " "), at += *at == ' ')
        if (!strncmp(at, name, length) && at[length] == ':')
            return at + length + 1;
    return NULL;
}

/* Does a letter of the list, up to a blank, stand for the type? */
static bool allows(const char *types, ingot_attr_type type)
{
    static const char letters[] = {
        [INGOT_ATTR_FLOAT] = 'f', [INGOT_ATTR_INT] = 'i', [INGOT_ATTR_STRING] = 's', [INGOT_ATTR_TENSOR] = 't',
        [INGOT_ATTR_GRAPH] = 'g', [INGOT_ATTR_SPARSE_TENSOR] = 'p', [INGOT_ATTR_TYPE] = 'y', [INGOT_ATTR_FLOATS] = 'F',
        [INGOT_ATTR_INTS] = 'I', [INGOT_ATTR_STRINGS] = 'S', [INGOT_ATTR_TENSORS] = 'T', [INGOT_ATTR_GRAPHS] = 'G',
    };
    if ((size_t)type >= sizeof letters || !letters[type])
        return false;
    for (; *types && *types != ' '; types++)
        if (*types == letters[type])
            return true;
    return false;
}

/* Every attribute that the node's version requires must be there; INVALID names the first that is not. */
static ingot_status check_required(const ingot_node *node, const char *attributes, ingot_error *error)
{
    for (const char *at = attributes; *at; at += *at == ' ') {
        const char *name = at;
        const size_t length = strcspn(at, ":");
        bool given = false;
        at += strcspn(at, "! ");
        if (*at != '!')
            continue;
        const long from = strtol(at + 1, (char **)&at, 10);
        if (node->version < from)
            continue;
        for (size_t i = 0; i < node->n_attrs && !given; i++)
            given = strlen(node->attrs[i].name) == length && !memcmp(node->attrs[i].name, name, length);
        if (!given)
            return ingot_fail(error, INGOT_INVALID, "attribute '%.*s' is missing", (int)length, name);
    }
    return INGOT_OK;
}

/* Either branch of an If may be the one that runs, so both have to give all of its outputs. */
static ingot_status check_branches(const ingot_node *node, ingot_error *error)
{
    for (size_t i = 0; i < node->n_attrs; i++)
        if (node->attrs[i].type == INGOT_ATTR_GRAPH && node->attrs[i].graphs[0]->n_outputs != node->n_outputs)
            return ingot_fail(error, INGOT_INVALID, "'%s' has %d outputs, the node %d", node->attrs[i].name,
                              node->attrs[i].graphs[0]->n_outputs, node->n_outputs);
    return INGOT_OK;
}

/* A node's version, number of outputs and attributes, INVALID where the standard does not have them so; the
 * operator's record tells whether Ingot has it. */
ingot_status ingot_schema_check(const ingot_node *node, ingot_error *error)
{
    const schema *row = find_schema(node->domain, node->op_type);
    if (!row)
        return INGOT_OK;
    /* ONNX Runtime had this one in the default domain before the standard did: see microsoft.c */
    if (node->version < row->since && strcmp(node->op_type, "LayerNormalization"))
        return ingot_fail(error, INGOT_INVALID, "came with opset %d, the model imports %d", row->since, node->version);
    if (row->max_outputs && node->n_outputs > row->max_outputs)
        return ingot_fail(error, INGOT_INVALID, "%d outputs, it has at most %d", node->n_outputs, row->max_outputs);
    for (size_t i = 0; i < node->n_attrs; i++) {
        const char *types = find_types(row->attributes, node->attrs[i].name);
        if (!types)
            return ingot_fail(error, INGOT_INVALID, "there is no attribute '%.80s'", node->attrs[i].name);
        if (!allows(types, node->attrs[i].type))
            return ingot_fail(error, INGOT_INVALID, "attribute '%s' has the wrong type", node->attrs[i].name);
    }
    const ingot_status status = check_required(node, row->attributes, error);
    return status || strcmp(node->op_type, "If") ? status : check_branches(node, error);
}

/* The first version that has the operator; 1 where it is not known. */
int ingot_schema_since(const char *domain, const char *op_type)
{
    const schema *row = find_schema(domain, op_type);
    return row ? row->since : 1;
}
