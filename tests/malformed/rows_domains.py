"""Rows about operators of com.microsoft and ai.onnx.ml, and further ones of ai.onnx: each input and attribute that is looked at."""
from models import *  # noqa: F403

V, MS, ML = (2, 3), "com.microsoft", "ai.onnx.ml"
U8, SCALE, ZERO = of(UINT8, 2, 3), np.float32(0.5), np.uint8(3)


def ms(name, pattern, op_type, inputs, n_outputs=1, code=INVALID, **attributes):
    op_case(f"{op_type}: {name}", pattern, op(op_type, inputs, n_outputs, domain=MS, **attributes), code)


def ml(name, pattern, op_type, inputs, n_outputs=1, code=INVALID, **attributes):
    op_case(f"{op_type}: {name}", pattern, op(op_type, inputs, n_outputs, domain=ML, **attributes), code)


# ---- com.microsoft: quantized ----
for name, inputs in [("no parts", [SCALE, ZERO]), ("a part without its scale", [SCALE, ZERO, U8]), ("two thirds of a part", [SCALE, ZERO, U8, SCALE, ZERO, U8, SCALE]),
                     ("a scale of rank 2", [floats(2, 2), ZERO, U8, SCALE, ZERO]), ("a zero point of another type", [SCALE, np.int8(1), U8, SCALE, ZERO]),
                     ("parts of other sizes", [SCALE, ZERO, U8, SCALE, ZERO, of(UINT8, 2, 4), SCALE, ZERO]),
                     ("parts of other ranks", [SCALE, ZERO, U8, SCALE, ZERO, of(UINT8, 2), SCALE, ZERO]),
                     ("parts of other types", [SCALE, ZERO, U8, SCALE, ZERO, of(INT8, 2, 3), SCALE, np.int8(1)]),
                     ("a part that is left out", [SCALE, ZERO, U8, SCALE, ZERO, None, SCALE, ZERO]), ("a part's scale of two", [SCALE, ZERO, U8, floats(2), ZERO]),
                     ("a part's zero point of another type", [SCALE, ZERO, U8, SCALE, np.int8(1)])]:
    ms(name, "", "QLinearConcat", inputs, axis=0)
ms("an axis past the rank", "axis", "QLinearConcat", [SCALE, ZERO, U8, SCALE, ZERO], axis=2)
for kind in ("QLinearSoftmax", "QLinearSigmoid", "QLinearLeakyRelu"):
    attributes = {"opset": AttributeProto(name="opset", type=AttributeProto.INT, i=13)} if kind == "QLinearSoftmax" else {}
    for name, inputs in [("a scale of two", [U8, floats(2), ZERO, SCALE, ZERO]), ("a zero point of another type", [U8, SCALE, np.int8(1), SCALE, ZERO]),
                         ("a result's scale of two", [U8, SCALE, ZERO, floats(2), ZERO]), ("a result's zero point of another type", [U8, SCALE, ZERO, SCALE, np.int8(1)])]:
        constants = [numpy_helper.from_array(np.asarray(a), f"x{i}") for i, a in enumerate(inputs) if i]
        made = node(kind, [f"x{i}" for i in range(5)], ["y"], MS, **attributes)
        op_case(f"{kind}: {name}", "", model(graph([made], [info("x0", UINT8, [2, 3])], ["y"], constants), domains=[MS]))
for kind in ("QLinearAdd", "QLinearMul"):
    for name, inputs in [("shapes that do not broadcast", [U8, SCALE, ZERO, of(UINT8, 2, 4), SCALE, ZERO, SCALE, ZERO]),
                         ("operands of other types", [U8, SCALE, ZERO, of(INT8, 2, 3), SCALE, np.int8(0), SCALE, ZERO]),
                         ("a scale of two", [U8, floats(2), ZERO, U8, SCALE, ZERO, SCALE, ZERO]), ("another scale of two", [U8, SCALE, ZERO, U8, floats(2), ZERO, SCALE, ZERO]),
                         ("a result's scale of two", [U8, SCALE, ZERO, U8, SCALE, ZERO, floats(2), ZERO])]:
        ms(name, "", kind, inputs)
for name, inputs, attributes in [("a scale of two", [of(UINT8, 1, 2, 4, 4), floats(2), ZERO, SCALE, ZERO], {}), ("rank 2", [U8, SCALE, ZERO, SCALE, ZERO], {})]:
    ms(name, "", "QLinearGlobalAveragePool", inputs, **attributes)
for name, inputs, attributes in [("a scale of two", [of(UINT8, 1, 2, 4, 4), floats(2), ZERO, SCALE, ZERO], {"kernel_shape": [2, 2]}),
                                 ("a stride of 0", [of(UINT8, 1, 2, 4, 4), SCALE, ZERO, SCALE, ZERO], {"kernel_shape": [2, 2], "strides": [0, 1]}),
                                 ("channels last and a kernel of 0", [of(UINT8, 1, 4, 4, 2), SCALE, ZERO, SCALE, ZERO], {"kernel_shape": [0, 2], "channels_last": 1})]:
    ms(name, "", "QLinearAveragePool", inputs, **attributes)

# ---- com.microsoft: attention, experts, random numbers ----
for name, inputs, attributes in [
    ("no heads", [(1, 2, 8), (1, 2, 8), (1, 2, 8)], {"num_heads": 0, "kv_num_heads": 1}), ("heads that do not divide", [(1, 2, 8), (1, 2, 8), (1, 2, 8)], {"num_heads": 3, "kv_num_heads": 1}),
    ("rank 2", [(2, 8), (2, 8), (2, 8)], {"num_heads": 2, "kv_num_heads": 2}), ("batches that differ", [(1, 2, 8), (2, 2, 8), (2, 2, 8)], {"num_heads": 2, "kv_num_heads": 2})]:
    lengths = [None, None, np.int32([1]), np.int32(2)]
    ms(name, "", "GroupQueryAttention", inputs + lengths, 3, **attributes)
for name, inputs, attributes in [("no heads", [(2, 3, 4), (4, 12), (12,)], {"num_heads": 0}), ("weights of another size", [(2, 3, 4), (5, 12), (12,)], {"num_heads": 2})]:
    ms(name, "", "Attention", inputs, **attributes)
for name, inputs in [("a gamma of rank 2", [(1, 2, 3), (1, 2, 3), (3, 1)]), ("a skip of another shape", [(1, 2, 3), (1, 2, 4), (3,)]), ("a gamma of another size", [V, V, (4,)])]:
    ms(name, "", "SkipLayerNormalization", inputs)
ms("shapes that differ", "", "BiasGelu", [V, (2, 4)])
ms("integers", "", "QuickGelu", [of(INT64, 2)], code=UNSUPPORTED)

# ---- ai.onnx.ml ----
ml("columns of nothing", "", "ArrayFeatureExtractor", [V, ints()])
ml("no input dimension", "", "ArrayFeatureExtractor", [(), ints(0)])
ml("a column past the last", "", "ArrayFeatureExtractor", [V, ints(3)], code=BAD_INPUT)
ml("a negative column", "", "ArrayFeatureExtractor", [V, ints(-1)], code=BAD_INPUT)
ml("rank 3", "", "Normalizer", [(2, 3, 4)], norm="L2")
ml("a norm that there is not", "norm", "Normalizer", [V], norm="L3")
ml("categories of another type", "categories", "OneHotEncoder", [of(STRING, 2)], cats_int64s=[1, 2])
ml("no categories", "", "OneHotEncoder", [V])
ml("an element that is no category", "", "OneHotEncoder", [np.array([1, 5])], cats_int64s=[1, 2], zeros=0, code=BAD_INPUT)
ml("as many widths as inputs", "inputdimensions", "FeatureVectorizer", [V, V], inputdimensions=[3])
ml("a negative width", "", "FeatureVectorizer", [V, V], inputdimensions=[3, -3])
ml("rows that differ", "", "FeatureVectorizer", [V, (4, 3)], inputdimensions=[3, 3])
ml("offsets of another length", "", "Scaler", [V], offset=[1.0, 2.0], scale=[1.0])
ml("no offset", "", "Scaler", [V], scale=[1.0, 2.0])
ml("imputed values of another length", "", "Imputer", [V], imputed_value_floats=[1.0, 2.0], replaced_value_float=0.0)
ml("nothing to impute", "", "Imputer", [V])
ml("labels of another number", "labels", "ZipMap", [V], classlabels_strings=["a", "b"])
ml("no labels", "", "ZipMap", [V])
ml("rank 3", "", "ZipMap", [(1, 2, 3)], classlabels_strings=["a", "b", "c"])
for kind, shared in (("SVMClassifier", {"kernel_type": "LINEAR", "classlabels_ints": [0, 1]}), ("SVMRegressor", {"kernel_type": "LINEAR"})):
    outputs = 2 if kind == "SVMClassifier" else 1
    ml("no coefficients", "", kind, [V], outputs, **shared)
    ml("a kernel that there is not", "", kind, [V], outputs, **(shared | {"kernel_type": "CUBIC", "coefficients": [1.0, 2.0, 3.0], "rho": [0.0]}))
    ml("rank 3", "", kind, [(1, 2, 3)], outputs, **shared, coefficients=[1.0, 2.0, 3.0], rho=[0.0])
    ml("support vectors of another size", "", kind, [V], outputs, **shared, support_vectors=[1.0] * 5, coefficients=[1.0] * 2, rho=[0.0], n_supports=2,
       vectors_per_class=[1, 1])
for kind in ("LinearClassifier", "LinearRegressor"):
    ml("coefficients of another size", "", kind, [V], 2 if kind == "LinearClassifier" else 1, coefficients=[1.0] * 4, intercepts=[0.0, 0.0], **(
        {"classlabels_ints": [0, 1]} if kind == "LinearClassifier" else {"targets": 2}))
    ml("rank 3", "", kind, [(1, 2, 3)], 2 if kind == "LinearClassifier" else 1, coefficients=[1.0] * 6, intercepts=[0.0, 0.0], **(
        {"classlabels_ints": [0, 1]} if kind == "LinearClassifier" else {"targets": 2}))

# ---- ai.onnx: what other rows leave out ----
for kind in ("Equal", "Less", "GreaterOrEqual", "And", "Add", "Mod", "BitwiseAnd", "BitShift", "PRelu", "Max", "Mean"):
    left = of(BOOL, 2) if kind == "And" else of(INT64, 2) if kind in ("BitwiseAnd",) else of(TensorProto.UINT8, 2) if kind == "BitShift" else (2,)
    right = of(INT64, 2) if kind != "BitwiseAnd" else of(INT32, 2)
    right = of(TensorProto.UINT16, 2) if kind == "BitShift" else right
    op_case(f"{kind}: types that differ further", "", op(kind, [left, right], **({"direction": "LEFT"} if kind == "BitShift" else {})))
op_case("Where: types that differ further", "", op("Where", [of(BOOL, 2), (2,), of(INT64, 2)]))
op_case("Pow: a boolean exponent", "", op("Pow", [(2,), of(BOOL, 2)]), UNSUPPORTED)
op_case("Concat: no axis", "axis", op("Concat", [V, V]))
op_case("Concat: an input that is left out", "", op("Concat", [V, None, V], axis=0))
op_case("CumSum: two axes", "axis", op("CumSum", [V, ints(0, 1)]))
op_case("BitCast: types of two sizes", "", op("BitCast", [V], opset=26, to=INT64))
op_case("RandomUniform: 17 sizes", "shape", op("RandomUniform", [], shape=[1] * 17))
op_case("RandomNormal: a type of integers", "", op("RandomNormal", [], shape=[2], dtype=7))
op_case("RandomNormalLike: a type of integers", "", op("RandomNormalLike", [V], dtype=7))
op_case("Multinomial: rank 1", "", op("Multinomial", [(3,)], sample_size=2))
op_case("Multinomial: no classes", "", op("Multinomial", [(2, 0)], sample_size=2))
op_case("Multinomial: a negative sample", "", op("Multinomial", [V], sample_size=-1))
op_case("Multinomial: a type of floats", "", op("Multinomial", [V], dtype=1))
op_case("ReverseSequence: rank 1", "", op("ReverseSequence", [(3,), of(INT64, 3)]))
op_case("ReverseSequence: two axes that are one", "", op("ReverseSequence", [V, of(INT64, 2)], batch_axis=1, time_axis=1))
op_case("ReverseSequence: a batch axis of 2", "", op("ReverseSequence", [(2, 3, 4), of(INT64, 4)], batch_axis=2, time_axis=0))
op_case("ReverseSequence: lengths of another number", "sequence_lens", op("ReverseSequence", [V, of(INT64, 2)], batch_axis=1, time_axis=0))
op_case("ReverseSequence: lengths of rank 2", "", op("ReverseSequence", [V, of(INT64, 3, 1)], batch_axis=1, time_axis=0))
op_case("SpaceToDepth: channels that overflow", "", op("SpaceToDepth", [(1, 1 << 40, 0, 0)], blocksize=1 << 20))
op_case("DepthToSpace: sizes that overflow", "", op("DepthToSpace", [(1, 0, 1 << 50, 1)], blocksize=1 << 20))
op_case("StringNormalizer: rank 3", "", op("StringNormalizer", [of(STRING, 1, 1, 2)]))
op_case("StringNormalizer: two rows", "", op("StringNormalizer", [of(STRING, 2, 2)]))
op_case("StringSplit: rank 16", "", op("StringSplit", [of(STRING, *[1] * 16)], 2), UNSUPPORTED)
op_case("TfIdfVectorizer: rank 3", "", op("TfIdfVectorizer", [of(INT64, 1, 1, 2)], mode="TF", min_gram_length=1, max_gram_length=1, max_skip_count=0, ngram_counts=[0], ngram_indexes=[0],
                                         pool_int64s=[1]))
op_case("Resize: strings between strings", "", op("Resize", [of(STRING, 1, 1, 2, 2), None, floats(4, value=2)], mode="linear"))
op_case("TensorScatter: types that differ", "", op("TensorScatter", [(2, 4, 3), of(INT64, 2, 1, 3)], opset=24))
op_case("TensorScatter: ranks that differ", "", op("TensorScatter", [(2, 4, 3), (2, 3)], opset=24))
op_case("TensorScatter: another size", "", op("TensorScatter", [(2, 4, 3), (2, 1, 5)], opset=24))
op_case("TensorScatter: more than there is", "", op("TensorScatter", [(2, 4, 3), (2, 5, 3)], opset=24))
op_case("TensorScatter: indices of another number", "write_indices", op("TensorScatter", [(2, 4, 3), (2, 1, 3), ints(0, 0, 0)], opset=24))
op_case("TensorScatter: indices of rank 2", "write_indices", op("TensorScatter", [(2, 4, 3), (2, 1, 3), ints(0, 0).reshape(2, 1)], opset=24))
op_case("ArgMax: an axis for a number", "", op("ArgMax", [()], axis=1))
op_case("ArgMax: nothing to choose from", "", op("ArgMax", [(0, 3)], axis=0))
op_case("TopK: k of rank 2", "", op("TopK", [V, ints(1).reshape(1, 1)], 2))
op_case("AffineGrid: another batch", "", op("AffineGrid", [(1, 2, 3), ints(2, 1, 4, 4)]))
op_case("AffineGrid: a theta of rank 2", "", op("AffineGrid", [(2, 3), ints(1, 1, 4, 4)]))
op_case("AffineGrid: three sizes", "", op("AffineGrid", [(1, 2, 3), ints(1, 1, 4)]))
op_case("AffineGrid: a theta of another size", "", op("AffineGrid", [(1, 3, 3), ints(1, 1, 4, 4)]))
op_case("Det: rank 1", "", op("Det", [(3,)]))
op_case("Det: not square", "", op("Det", [(3, 2)]))
op_case("NonMaxSuppression: boxes of five", "", op("NonMaxSuppression", [(1, 2, 5), (1, 1, 2)]))
op_case("NonMaxSuppression: scores of rank 2", "", op("NonMaxSuppression", [(1, 2, 4), (1, 2)]))
op_case("NonMaxSuppression: another batch", "", op("NonMaxSuppression", [(1, 2, 4), (2, 1, 2)]))
op_case("NonMaxSuppression: another number of scores", "", op("NonMaxSuppression", [(1, 2, 4), (1, 1, 3)]))
op_case("NegativeLogLikelihoodLoss: weights of another size", "", op("NegativeLogLikelihoodLoss", [V, of(INT64, 2), (4,)]))
op_case("NegativeLogLikelihoodLoss: weights of rank 2", "", op("NegativeLogLikelihoodLoss", [V, of(INT64, 2), (3, 1)]))
op_case("NegativeLogLikelihoodLoss: another batch", "", op("NegativeLogLikelihoodLoss", [V, of(INT64, 3)]))
op_case("NegativeLogLikelihoodLoss: rank 1", "", op("NegativeLogLikelihoodLoss", [(3,), of(INT64)]))
op_case("OneHot: values of rank 2", "", op("OneHot", [of(INT64, 2), ints(3)[0], floats(2, 1)]))
op_case("EyeLike: a type that there is not", "", op("EyeLike", [V], dtype=99), UNSUPPORTED)
op_case("ScatterElements: ranks that differ", "", op("ScatterElements", [V, of(INT64, 2), (2,)]))
op_case("ScatterND: updates of another type", "", op("ScatterND", [V, of(INT64, 1, 1), of(INT64, 1, 3)]))
op_case("ScatterND: indices of rank 0", "", op("ScatterND", [V, of(INT64), (3,)]))
op_case("ScatterND: indices deeper than the data", "", op("ScatterND", [V, of(INT64, 1, 3), (1,)]))
op_case("GatherND: batches past the rank", "", op("GatherND", [V, of(INT64, 2, 1)], batch_dims=2))
op_case("GatherND: negative batches", "", op("GatherND", [V, of(INT64, 2, 1)], batch_dims=-1))
op_case("GatherND: indices of rank 0", "", op("GatherND", [V, of(INT64)]))
op_case("QuantizeLinear: a type that is not the zero point's", "output_dtype", op("QuantizeLinear", [V, SCALE, ZERO], opset=21, output_dtype=INT8))
op_case("QLinearMatMul: floats beside integers", "", op("QLinearMatMul", [of(TensorProto.FLOAT8E4M3FN, 2, 2), SCALE, tensor("x2", TensorProto.FLOAT8E4M3FN, [], raw_data=b"\0"),
                                                              of(UINT8, 2, 2), SCALE, ZERO, SCALE, ZERO]))
op_case("LpPool: a p of 0", "", op("LpPool", [(1, 1, 4, 4)], kernel_shape=[2, 2], p=0))
op_case("MaxPool: pads of another number", "pads", op("MaxPool", [(1, 1, 4, 4)], kernel_shape=[2, 2], pads=[1, 1, 1]))
op_case("MaxPool: a kernel larger than the image", "", op("MaxPool", [(1, 1, 4, 4)], kernel_shape=[9, 9]))
op_case("ConvTranspose: sizes of another number", "output_shape", op("ConvTranspose", [(1, 1, 4, 4), (1, 1, 3, 3)], output_shape=[5]))
op_case("Conv: an image of 2^31", "", op("Conv", [(1, 0, 1 << 31, 1), (0, 0, 1, 1)]), UNSUPPORTED)
op_case("Unsqueeze: past rank 16", "", op("Unsqueeze", [tuple([1] * 16), ints(0)]))
op_case("DFT: a length of two", "", op("DFT", [(1, 4, 1), ints(2, 2)], opset=20))
op_case("MelWeightMatrix: two numbers of bands", "", op("MelWeightMatrix", [ints(1, 2), ints(8)[0], ints(8)[0], floats(), floats(value=2.0)]))
op_case("HannWindow: two sizes", "", op("HannWindow", [ints(1, 2)]))
