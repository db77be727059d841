"""ai.onnx.ml beside ONNX Runtime and the reference evaluator, on models of one node that are made here by hand."""
import warnings

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, helper, numpy_helper
from onnx.reference import ReferenceEvaluator

onnxruntime.set_default_logger_severity(4)
DRAW = np.random.default_rng(7)
X = DRAW.standard_normal((9, 4)).astype(np.float32)
TRANSFORMS = ["NONE", "SOFTMAX", "LOGISTIC", "SOFTMAX_ZERO"]


def value_info(name, array):
    if isinstance(array, dict):
        key, value = next(iter(array.items()))
        keys = TensorProto.STRING if isinstance(key, str) else TensorProto.INT64
        values = TensorProto.STRING if isinstance(value, str) else TensorProto.FLOAT
        return helper.make_value_info(name, helper.make_map_type_proto(keys, helper.make_tensor_type_proto(values, [])))
    dtype = TensorProto.STRING if array.dtype.kind in "UO" else helper.np_dtype_to_tensor_dtype(array.dtype)
    return helper.make_tensor_value_info(name, dtype, array.shape)


def one_node(op_type, inputs, n_outputs, opset, attributes):
    node = helper.make_node(op_type, [f"x{i}" for i in range(len(inputs))], [f"y{i}" for i in range(n_outputs)],
                            domain="ai.onnx.ml", **attributes)
    infos = [value_info(f"x{i}", x) for i, x in enumerate(inputs)]
    graph = helper.make_graph([node], "ml", infos, [helper.make_empty_tensor_value_info(f"y{i}") for i in range(n_outputs)])
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17), helper.make_opsetid("ai.onnx.ml", opset)], ir_version=8)


def by_runtime(model, inputs):
    session = onnxruntime.InferenceSession(model.SerializeToString())
    return session.run(None, {f"x{i}": x for i, x in enumerate(inputs)})


def by_reference(model, inputs):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        results = ReferenceEvaluator(model).run(None, {f"x{i}": x for i, x in enumerate(inputs)})
    schema = onnx.defs.get_schema(model.graph.node[0].op_type, model.opset_import[1].version, "ai.onnx.ml")     # it keeps double there
    return [r.astype(np.float32) if o.type_str == "tensor(float)" else r for r, o in zip(results, schema.outputs)]


def map_proto(value):
    texts = isinstance(next(iter(value)), str)
    proto = onnx.MapProto(key_type=TensorProto.STRING if texts else TensorProto.INT64)
    if texts:
        proto.string_keys.extend(key.encode() for key in value)
    else:
        proto.keys.extend(value)
    items = [np.array(v, dtype=object if isinstance(v, str) else np.float32) for v in value.values()]
    proto.values.CopyFrom(onnx.SequenceProto(elem_type=onnx.SequenceProto.TENSOR, tensor_values=map(numpy_helper.from_array, items)))
    return proto


def to_proto(value):
    if isinstance(value, dict):
        return map_proto(value)
    if isinstance(value, list):
        return onnx.SequenceProto(elem_type=onnx.SequenceProto.MAP, map_values=map(map_proto, value))
    return numpy_helper.from_array(value.astype(object) if value.dtype.kind == "U" else value)


@pytest.fixture
def agree(ingot, tmp_path):
    """Does the command agree with what is expected (or computed by an oracle) for one node?"""
    def check(op_type, inputs, oracles, n_outputs=1, opset=3, rtol=1e-5, **attributes):
        inputs = inputs if isinstance(inputs, list) else [inputs]
        model = one_node(op_type, inputs, n_outputs, opset, attributes)
        for oracle in oracles:
            want = oracle if isinstance(oracle, list) else oracle(model, inputs)
            for i, y in enumerate(want):             # readers need to know the kinds of the outputs
                model.graph.output[i].CopyFrom(
                    helper.make_value_info(f"y{i}", helper.make_sequence_type_proto(helper.make_map_type_proto(
                        TensorProto.STRING if isinstance(next(iter(y[0])), str) else TensorProto.INT64,
                        helper.make_tensor_type_proto(TensorProto.FLOAT, [])))) if isinstance(y, list) else value_info(f"y{i}", y))
            for old in tmp_path.iterdir():
                old.unlink()
            onnx.save(model, tmp_path / "model.onnx")
            for kind, values in (("input", inputs), ("output", want)):
                for i, value in enumerate(values):
                    (tmp_path / f"{kind}_{i}.pb").write_bytes(to_proto(value).SerializeToString())
            done = ingot("verify", tmp_path / "model.onnx", tmp_path, "--rtol", rtol, "--atol", 1e-6)
            assert done.code == 0, f"{op_type} {attributes}: {done.out}{done.err}"

    return check


BOTH = [by_runtime, by_reference]


@pytest.mark.parametrize("transform", TRANSFORMS)
def test_linear(agree, transform):
    rows = DRAW.standard_normal((3, 4)).ravel().tolist()
    for labels in ({"classlabels_ints": [5, -1, 7]}, {"classlabels_strings": ["a", "", "ccc"]}):
        agree("LinearClassifier", X, BOTH, 2, 1, coefficients=rows, intercepts=[0.1, -0.2, 0.3], post_transform=transform, **labels)
    agree("LinearClassifier", X, [by_reference], 2, 1, coefficients=rows[:4], intercepts=[0.1], classlabels_ints=[0, 1], post_transform=transform)
    agree("LinearClassifier", X.astype(np.int64), BOTH, 2, 1, coefficients=rows[:8], intercepts=[0.1, 0.2], classlabels_ints=[4, 3],
          post_transform=transform)
    agree("LinearRegressor", X, [by_runtime], 1, 1, coefficients=rows[:8], intercepts=[0.5, -2.0], targets=2, post_transform=transform)


def test_linear_without_labels(agree):
    agree("LinearClassifier", X, BOTH, 2, 1, coefficients=[1.0, -1.0, 0.5, 0.0], intercepts=[0.25])
    agree("LinearClassifier", X, [by_reference], 2, 1, coefficients=[1.0, -1.0, 0.5, 0.0], intercepts=[0.25], classlabels_ints=[6])
    agree("LinearClassifier", X[0], [by_runtime], 2, 1, coefficients=[1.0] * 8, intercepts=[0.0, 1.0], classlabels_ints=[6, 7])
    agree("LinearRegressor", X[0], [by_runtime], 1, 1, coefficients=[1.0, 2.0, 3.0, 4.0])


@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.int32, np.int64])
def test_features(agree, dtype):
    x = (X * 3).astype(dtype)
    oracle = [by_runtime] if dtype in (np.float32, np.int64) else [by_reference]
    agree("Scaler", x, [[((x - np.float64(0.5)) * 2.5).astype(np.float32)]], offset=[0.5], scale=[2.5])
    agree("Scaler", x, [by_runtime], offset=[0.5, 1.0, 2.0, 3.0], scale=[2.0, 3.0, 4.0, 5.0])
    for norm in ("L1", "L2"):
        agree("Normalizer", x, [by_runtime], norm=norm)
        agree("Normalizer", x[0], [by_runtime], norm=norm)
    size = np.maximum(np.abs(x).max(axis=1, keepdims=True).astype(np.float64), 1e-30)
    agree("Normalizer", x, [[(x / size).astype(np.float32)]], norm="MAX")
    agree("FeatureVectorizer", [x, x[:, :1]], [by_runtime], inputdimensions=[4, 1])
    agree("FeatureVectorizer", [x[:, 0], x], [[np.concatenate([x[:, :1], 0 * x[:, :1], x[:, :3]], 1).astype(np.float32)]],
          inputdimensions=[2, 3])
    agree("OneHotEncoder", np.abs(x).astype(np.int64).astype(dtype), [by_reference], cats_int64s=[3, 0, 1])
    name, values = ("imputed_value_floats", [9.0, 8.0, 7.0, 6.0]) if x.dtype.kind == "f" else ("imputed_value_int64s", [9, 8, 7, 6])
    agree("Imputer", np.abs(x).astype(np.int64).astype(dtype), oracle, **{name: values})
    agree("Imputer", np.abs(x).astype(np.int64).astype(dtype), oracle, **{name: values[:1]})
    agree("Binarizer", x, BOTH if dtype == np.float32 else [by_reference], threshold=1.0)
    agree("ArrayFeatureExtractor", [x, np.array([2, 0])], BOTH)


def test_imputed_nan(agree):
    x = np.where(X > 0.5, np.nan, X).astype(np.float32)
    agree("Imputer", x, BOTH, imputed_value_floats=[1.0, 2.0, 3.0, 4.0], replaced_value_float=float("nan"))


def test_strings(agree):
    x = np.array([["b", "zz"], ["", "a"]], dtype=object)
    agree("OneHotEncoder", x, [by_runtime], cats_strings=["a", "b", ""])
    agree("LabelEncoder", x, [by_runtime], opset=1, classes_strings=["a", "b"], default_int64=-7)
    agree("LabelEncoder", np.array([[1, 0], [2, -1]]), [by_runtime], opset=1, classes_strings=["a", "b"], default_string="no")
    agree("CategoryMapper", x, [by_runtime], opset=1, cats_strings=["a", "b"], cats_int64s=[40, 30], default_int64=-2)
    agree("CategoryMapper", np.array([30, 40, 50]), [by_runtime], opset=1, cats_strings=["a", "b"], cats_int64s=[40, 30])
    agree("LabelEncoder", x, BOTH, opset=2, keys_strings=["a", "b"], values_floats=[0.5, 1.5], default_float=-1.0)


def test_maps(agree):
    scores = DRAW.random((3, 2)).astype(np.float32)
    agree("ZipMap", scores, [by_runtime], opset=1, classlabels_int64s=[10, -20])
    agree("ZipMap", scores, [by_runtime], opset=1, classlabels_strings=["yes", "no"])
    agree("ZipMap", scores[0], [by_runtime], opset=1, classlabels_strings=["yes", "no"])
    vocabulary = {"a": 1.5, "zz": 2.5}
    agree("DictVectorizer", vocabulary, [[np.array([0, 2.5, 1.5], np.float32)]], opset=1, string_vocabulary=["b", "zz", "a"])
    agree("DictVectorizer", {4: 1.5, 9: 2.5}, [[np.array([2.5, 0], np.float32)]], opset=1, int64_vocabulary=[9, 5])
    agree("CastMap", {7: 1.5, 2: -2.75}, [by_runtime], opset=1, cast_to="TO_FLOAT")
    agree("CastMap", {7: 1.5, 2: -2.75}, [by_runtime], opset=1, cast_to="TO_INT64", map_form="SPARSE", max_map=4)
    agree("CastMap", {7: "1.5", 2: "-2"}, [[np.array([[-2, 1.5]], np.float32)]], opset=1, cast_to="TO_FLOAT")
    agree("CastMap", {1: 1.5}, [[np.array([["0.f", "1.5"]], object)]], opset=1, cast_to="TO_STRING", map_form="SPARSE", max_map=2)


def svm(n_classes, per_class, kernel, probabilities=False):
    n, pairs = sum(per_class), n_classes * (n_classes - 1) // 2
    draw = np.random.default_rng(n)
    attributes = dict(kernel_type=kernel, kernel_params=[0.4, 0.3, 2.0], vectors_per_class=per_class, rho=draw.normal(size=pairs).tolist(),
                      support_vectors=draw.normal(size=n * 4).tolist(), coefficients=draw.normal(size=n * (n_classes - 1)).tolist(),
                      classlabels_ints=list(range(3, 3 + n_classes)))
    if probabilities:
        attributes |= dict(prob_a=draw.normal(size=pairs).tolist(), prob_b=draw.normal(size=pairs).tolist())
    return attributes


@pytest.mark.parametrize("kernel", ["LINEAR", "POLY", "RBF", "SIGMOID"])
def test_support_vectors(agree, kernel):
    for n_classes, per_class in ((2, [3, 2]), (3, [2, 3, 1]), (4, [1, 2, 1, 2])):
        agree("SVMClassifier", X, BOTH, 2, 1, rtol=1e-4, **svm(n_classes, per_class, kernel))
        agree("SVMClassifier", X, [by_runtime], 2, 1, rtol=1e-3, **svm(n_classes, per_class, kernel, True))
    draw = np.random.default_rng(2)
    agree("SVMRegressor", X, BOTH, 1, 1, rtol=1e-4, kernel_type=kernel, kernel_params=[0.4, 0.3, 2.0], n_supports=3, rho=[0.3],
          support_vectors=draw.normal(size=12).tolist(), coefficients=draw.normal(size=3).tolist())


@pytest.mark.parametrize("transform", TRANSFORMS)
def test_support_vectors_transformed(agree, transform):
    agree("SVMClassifier", X, BOTH, 2, 1, rtol=1e-4, post_transform=transform, **svm(3, [2, 3, 1], "RBF"))
    agree("SVMClassifier", X, [by_reference], 2, 1, rtol=1e-4, post_transform=transform, **svm(2, [2, 2], "RBF"))


def test_linear_support_vectors(agree):
    rows = DRAW.normal(size=12).tolist()
    linear = dict(rho=[0.2, 0.2, 0.2], kernel_type="LINEAR", kernel_params=[0.0, 0.0, 3.0])
    agree("SVMClassifier", X, [by_runtime], 2, 1, rtol=1e-4, coefficients=rows, classlabels_ints=[1, 2, 3], **linear)
    agree("SVMRegressor", X, BOTH, 1, 1, coefficients=rows[:4], **linear)
    agree("SVMRegressor", X, BOTH, 1, 1, coefficients=rows[:4], one_class=1, **linear)


def forest(kind, n_trees, n_targets, depth=3, modes=("BRANCH_LEQ",), several=False):
    """Complete trees with random tests; a leaf has a weight for one target, or for all."""
    draw, nodes = np.random.default_rng(n_trees), {k: [] for k in ("treeids", "nodeids", "featureids", "modes", "values", "truenodeids",
                                                                   "falsenodeids", "missing_value_tracks_true")}
    leaves = {k: [] for k in ("treeids", "nodeids", "ids", "weights")}
    for tree in range(n_trees):
        for node in range(2 ** (depth + 1) - 1):
            leaf = node >= 2 ** depth - 1
            row = (tree, node, int(draw.integers(4)), "LEAF" if leaf else str(draw.choice(modes)), float(np.float32(draw.normal())),
                   0 if leaf else 2 * node + 1, 0 if leaf else 2 * node + 2, int(draw.integers(2)))
            for name, value in zip(nodes, row):
                nodes[name].append(value)
            for target in range(n_targets) if several else [int(draw.integers(n_targets))]:
                if leaf:
                    for name, value in zip(leaves, (tree, node, target, float(np.float32(draw.normal())))):
                        leaves[name].append(value)
    return {f"nodes_{k}": v for k, v in nodes.items()} | {f"{kind}_{k}": v for k, v in leaves.items()}


ALL_MODES = ["BRANCH_LEQ", "BRANCH_LT", "BRANCH_GTE", "BRANCH_GT"]


@pytest.mark.parametrize("aggregate", ["SUM", "AVERAGE", "MIN", "MAX"])
def test_tree_regressor(agree, aggregate):
    for modes in (["BRANCH_LEQ"], ALL_MODES):
        trees = forest("target", 5, 2, modes=modes, several=True)
        agree("TreeEnsembleRegressor", X, BOTH, 1, n_targets=2, aggregate_function=aggregate, base_values=[0.5, -0.5], **trees)
        agree("TreeEnsembleRegressor", X.astype(np.float64), [by_reference], 1, n_targets=2, aggregate_function=aggregate, **trees)


@pytest.mark.parametrize("transform", TRANSFORMS)
def test_tree_classifier(agree, transform):
    trees = forest("class", 6, 3, modes=ALL_MODES)
    missing = np.where(X > 1, np.nan, X).astype(np.float32)
    for x in (X, missing):
        agree("TreeEnsembleClassifier", x, BOTH, 2, post_transform=transform, classlabels_int64s=[4, 5, 9], **trees)
    agree("TreeEnsembleClassifier", X, BOTH, 2, post_transform=transform, classlabels_strings=["x", "y", "z"], base_values=[0.1, 0.2, 0.3],
          **forest("class", 4, 3, several=True))
    agree("TreeEnsembleClassifier", X, [by_reference], 2, post_transform=transform, classlabels_int64s=[0, 1], **forest("class", 3, 1))


def test_trees_with_tensors(agree):
    trees = forest("target", 3, 1)
    exact = np.array(trees.pop("nodes_values")), np.array(trees.pop("target_weights"))
    agree("TreeEnsembleRegressor", X.astype(np.float64), [by_runtime], 1, n_targets=1, **trees,
          nodes_values_as_tensor=numpy_helper.from_array(exact[0]), target_weights_as_tensor=numpy_helper.from_array(exact[1]))


@pytest.mark.parametrize("change, words", [
    ({"nodes_truenodeids": [99] * 15}, "out of range"), ({"nodes_featureids": [4] * 15}, "out of range"),
    ({"nodes_modes": ["LEAF"] * 14}, "same number"), ({"nodes_nodeids": [0] * 15}, "two nodes"), ({"target_ids": [7] * 8}, "target 7"),
    ({"nodes_modes": ["BRANCH_LEQ"] * 15}, "circle"), ({"target_nodeids": [77] * 8}, "no such leaf"), ({"base_values": [1.0] * 3}, "base_values")])
def test_malformed_trees(ingot, tmp_path, change, words):
    attributes = forest("target", 1, 1) | change
    onnx.save(one_node("TreeEnsembleRegressor", [X], 1, 3, dict(n_targets=1, **attributes)), tmp_path / "model.onnx")
    np.save(tmp_path / "x.npy", X)
    done = ingot("run", tmp_path / "model.onnx", "--input", tmp_path / "x.npy")
    assert done.code == 4 and words in done.err
