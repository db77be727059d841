"""Every pass: the graph is run before and after it, by onnxruntime and by Ingot, and its operators are counted."""
import collections
import glob
import json
import os
import subprocess
import sys

import numpy as np
import onnx
import pytest
from conftest import ROOT, save_model
from onnx import TensorProto, helper, numpy_helper

ort = pytest.importorskip("onnxruntime")

FLOAT, INT64 = TensorProto.FLOAT, TensorProto.INT64


def node(op, inputs, outputs, **attributes):
    return helper.make_node(op, inputs.split(), outputs.split(), **attributes)


class Weights(dict):
    """Initializers by name, made up when asked for."""

    def __init__(self):
        super().__init__()
        self.random = np.random.default_rng(7)

    def add(self, name, *shape, low=-1.0, high=1.0, dtype=np.float32):
        self[name] = self.random.uniform(low, high, shape).astype(dtype)
        return name

    def put(self, name, value, dtype=np.float32):
        self[name] = np.asarray(value, dtype)
        return name

    def normalization(self, name, channels, dtype=np.float32):
        """Parameters of a BatchNormalization; the input list behind the first."""
        parts = [self.add(f"{name}_scale", channels, low=0.5, high=1.5, dtype=dtype), self.add(f"{name}_shift", channels, dtype=dtype),
                 self.add(f"{name}_mean", channels, dtype=dtype), self.add(f"{name}_var", channels, low=0.3, high=2, dtype=dtype)]
        self[parts[0]][0] *= -1
        return " ".join(parts)


def session(path):
    options = ort.SessionOptions()
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
    options.log_severity_level = 4
    options.intra_op_num_threads = 1
    return ort.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])


def save(path, nodes, inputs, outputs, weights, opset=20, ir_version=8, as_inputs=False):
    kinds = {np.dtype("float32"): FLOAT, np.dtype("int64"): INT64, np.dtype("float64"): TensorProto.DOUBLE, np.dtype("float16"): TensorProto.FLOAT16}
    infos = [helper.make_tensor_value_info(n, kinds[a.dtype], ["N", *a.shape[1:]] if a.ndim > 1 else a.shape) for n, a in inputs.items()]
    if as_inputs:
        infos += [helper.make_tensor_value_info(n, kinds[a.dtype], a.shape) for n, a in weights.items()]
    graph = helper.make_graph(nodes, "test", infos, [helper.make_empty_tensor_value_info(o) for o in outputs.split()],
                              [numpy_helper.from_array(a, n) for n, a in weights.items()])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=ir_version)
    with open(path, "wb") as file:
        file.write(model.SerializeToString())


@pytest.fixture
def optimize(ingot, tmp_path):
    """Save a model, compare its outputs before and after the passes and by Ingot, and count the operators that are left."""

    def call(nodes, inputs, outputs, weights=None, expected=None, rtol=2e-5, atol=2e-5, **options):
        before, after = tmp_path / "before.onnx", tmp_path / "after.onnx"
        save(before, nodes, inputs, outputs, weights or {}, **options)
        done = ingot("optimize", before, "-o", after)
        assert done.code == 0, done.err
        wanted = expected if expected is not None else session(before).run(None, inputs)
        arguments = []
        for name, array in inputs.items():
            np.save(tmp_path / f"{name}.npy", array)
            arguments += ["--input", f"{name}={tmp_path}/{name}.npy"]
        ran = ingot("run", before, *arguments, "--output-dir", tmp_path / "out")
        assert ran.code == 0, ran.err
        got = session(after).run(None, inputs)
        for name, want, other in zip(outputs.split(), wanted, got):
            np.testing.assert_allclose(other, want, rtol=rtol, atol=atol, err_msg=f"{name} of the written model")
            own = np.load(tmp_path / "out" / f"{name}.npy")
            np.testing.assert_allclose(own, want, rtol=rtol, atol=atol, err_msg=f"{name} by ingot")
        model = onnx.load(after)
        call.model, call.report = model, done.out
        return collections.Counter(n.op_type for n in model.graph.node)

    return call


def image(*shape):
    return {"x": np.random.default_rng(1).normal(size=shape).astype(np.float32)}


# ---- BatchNormalization ----

CONVS = [  # input, weights, attributes
    ((2, 6, 9, 8), (13, 6, 3, 3), {}),
    ((2, 6, 9, 8), (13, 6, 3, 3), dict(pads=[1, 0, 2, 1], strides=[2, 1])),
    ((2, 6, 9, 8), (12, 2, 3, 3), dict(group=3, dilations=[2, 2])),
    ((2, 6, 9, 8), (18, 1, 3, 3), dict(group=6, auto_pad="SAME_UPPER")),
    ((2, 6, 17), (7, 6, 3), {}),
    ((1, 3, 5, 6, 7), (4, 3, 2, 3, 2), {}),
]


@pytest.mark.parametrize("bias", [False, True])
@pytest.mark.parametrize("x, shape, attributes", CONVS)
def test_into_conv(optimize, x, shape, attributes, bias):
    w = Weights()
    conv = f"x {w.add('w', *shape)}" + (f" {w.add('b', shape[0])}" if bias else "")
    left = optimize([node("Conv", conv, "c", **attributes),
                     node("BatchNormalization", f"c {w.normalization('n', shape[0])}", "y")], image(*x), "y", w)
    assert left == {"Conv": 1}


@pytest.mark.parametrize("group, bias", [(1, False), (2, True), (3, False)])
def test_into_conv_transpose(optimize, group, bias):
    w = Weights()
    inputs = f"x {w.add('w', 6, 4, 3, 3)}" + (f" {w.add('b', 4 * group)}" if bias else "")
    left = optimize([node("ConvTranspose", inputs, "c", group=group, strides=[2, 2], pads=[1, 1, 0, 0]),
                     node("BatchNormalization", f"c {w.normalization('n', 4 * group)}", "y")], image(2, 6, 5, 4), "y", w)
    assert left == {"ConvTranspose": 1}


@pytest.mark.parametrize("c_shape", [None, (), (1,), (8,), (1, 8), (5, 1), (5, 8)])
@pytest.mark.parametrize("transposed", [0, 1])
def test_into_gemm(optimize, c_shape, transposed):
    w = Weights()
    inputs = "x " + w.add("w", *((8, 6) if transposed else (6, 8)))
    if c_shape is not None:
        inputs += " " + w.add("c", *c_shape)
    left = optimize([node("Gemm", inputs, "g", transB=transposed, alpha=0.5, beta=3.0),
                     node("BatchNormalization", f"g {w.normalization('n', 8)}", "y")], image(5, 6), "y", w)
    folds = c_shape not in [(5, 1), (5, 8)]  # a bias that differs from row to row stays what it is
    assert left == ({"Gemm": 1} if folds else {"Gemm": 1, "BatchNormalization": 1})


def test_into_matmul(optimize):
    w = Weights()
    left = optimize([node("MatMul", f"x {w.add('w', 6, 8)}", "m"),
                     node("BatchNormalization", f"m {w.normalization('n', 8)}", "y")], image(5, 6), "y", w)
    assert left == {"Gemm": 1}


def test_into_matmul_and_add(optimize):
    w = Weights()
    left = optimize([node("MatMul", f"x {w.add('w', 6, 8)}", "m"), node("Add", f"{w.add('b', 8)} m", "a"),
                     node("BatchNormalization", f"a {w.normalization('n', 8)}", "y")], image(5, 6), "y", w)
    assert left == {"Gemm": 1}


def test_through_transpose(optimize):
    w = Weights()
    left = optimize([node("MatMul", f"x {w.add('w', 6, 8)}", "m"), node("Add", f"m {w.add('b', 8)}", "a"),
                     node("Transpose", "a", "t", perm=[0, 2, 1]),
                     node("BatchNormalization", f"t {w.normalization('n', 8)}", "y")], image(2, 5, 6), "y", w)
    assert left == {"MatMul": 1, "Add": 1, "Transpose": 1}


@pytest.mark.parametrize("shape, channels, folds", [
    ([-1, 8], 8, True),             # rows of all images behind each other
    ([0, 5, 2, 4], 5, False),       # channels are rows
    ([0, 8, 5], 8, False),          # as many channels, of other elements
])
def test_through_reshape(optimize, shape, channels, folds):
    w = Weights()
    left = optimize([node("MatMul", f"x {w.add('w', 6, 8)}", "m"), node("Reshape", f"m {w.put('s', shape, np.int64)}", "r"),
                     node("BatchNormalization", f"r {w.normalization('n', channels)}", "y")], image(2, 5, 6), "y", w)
    assert left["BatchNormalization"] == (0 if folds else 1)
    left = optimize([node("MatMul", "x w", "m"), node("Flatten", "m", "f", axis=2),
                     node("BatchNormalization", f"f {w.normalization('f', 8)}", "y")], image(2, 5, 6), "y", w)
    assert left["BatchNormalization"] == 0


def test_into_all_branches(optimize):
    w = Weights()
    left = optimize([node("Conv", f"x {w.add('v', 5, 4, 1, 1)}", "c"), node("Conv", f"x {w.add('w', 3, 4, 1, 1)}", "d"),
                     node("Concat", "c d", "j", axis=1),
                     node("BatchNormalization", f"j {w.normalization('n', 8)}", "y")], image(2, 4, 6, 6), "y", w)
    assert left == {"Conv": 2, "Concat": 1}


def test_not_into_both_sides_of_add(optimize):
    w = Weights()
    left = optimize([node("Conv", f"x {w.add('v', 5, 4, 1, 1)}", "c"), node("Sigmoid", "x", "s"),
                     node("Conv", f"s {w.add('w', 5, 4, 3, 3)}", "d", pads=[1] * 4), node("Add", "c d", "j"),
                     node("BatchNormalization", f"j {w.normalization('n', 5)}", "y")], image(2, 4, 6, 6), "y", w)
    assert left == {"Conv": 2, "Sigmoid": 1, "Add": 1, "BatchNormalization": 1}


@pytest.mark.parametrize("op, attributes, folds", [
    ("AveragePool", dict(kernel_shape=[3, 3], pads=[1] * 4), True),
    ("AveragePool", dict(kernel_shape=[3, 3], pads=[1] * 4, count_include_pad=1), False),
    ("AveragePool", dict(kernel_shape=[2, 2], count_include_pad=1), True),
    ("GlobalAveragePool", {}, True),
    ("MaxPool", dict(kernel_shape=[2, 2]), False),  # one factor is negative
])
def test_through_pooling(optimize, op, attributes, folds):
    w = Weights()
    left = optimize([node("Conv", f"x {w.add('w', 5, 4, 1, 1)}", "c"), node(op, "c", "p", **attributes),
                     node("BatchNormalization", f"p {w.normalization('n', 5)}", "y")], image(2, 4, 6, 6), "y", w)
    assert left["BatchNormalization"] == (0 if folds else 1)


def test_row_of_normalizations(optimize):
    w = Weights()
    rest = [node("BatchNormalization", f"{a} {w.normalization(a + 'n', 5)}", b) for a, b in ("ab", "bc", "cy")]
    assert optimize([node("Conv", f"x {w.add('w', 5, 4, 1, 1)}", "a"), *rest], image(2, 4, 6, 6), "y", w) == {"Conv": 1}
    rest[0].input[0] = "x"
    w.pop("w")
    assert optimize(rest, image(2, 5, 6, 6), "y", w) == {"BatchNormalization": 1}


@pytest.mark.parametrize("pads, folds", [([0] * 4, True), ([0, 1, 0, 0], False)])
@pytest.mark.parametrize("group", [1, 2])
def test_forward_into_conv(optimize, pads, folds, group):
    w = Weights()
    left = optimize([node("BatchNormalization", f"x {w.normalization('n', 4)}", "b"),
                     node("Conv", f"b {w.add('w', 6, 4 // group, 3, 3)} {w.add('c', 6)}", "d", pads=pads, group=group),
                     node("BatchNormalization", f"d {w.normalization('m', 6)}", "y")], image(2, 4, 6, 6), "y", w)
    assert left["BatchNormalization"] == (0 if folds else 1)


def test_padding_does_not_matter_without_shift(optimize):
    w = Weights()
    inputs = w.normalization("n", 4)
    w["n_shift"][:] = w["n_mean"][:] = 0
    left = optimize([node("BatchNormalization", f"x {inputs}", "b"),
                     node("Conv", f"b {w.add('w', 6, 4, 3, 3)}", "y", pads=[1] * 4)], image(2, 4, 6, 6), "y", w)
    assert left == {"Conv": 1}


@pytest.mark.parametrize("transposed", [0, 1])
def test_forward_into_gemm(optimize, transposed):
    w = Weights()
    left = optimize([node("BatchNormalization", f"x {w.normalization('n', 3)}", "b"), node("Flatten", "b", "f"),
                     node("Gemm", f"f {w.add('w', *((5, 12) if transposed else (12, 5)))} {w.add('c', 5)}", "g",
                          transB=transposed, alpha=2.0, beta=0.5),
                     node("BatchNormalization", f"g {w.normalization('m', 5)}", "y")], image(2, 3, 2, 2), "y", w)
    assert left == {"Flatten": 1, "Gemm": 1}


def test_not_forward_at_the_price_of_accuracy(optimize):
    w = Weights()
    inputs = w.normalization("n", 3)
    w["n_mean"] += 100
    left = optimize([node("BatchNormalization", f"x {inputs}", "b"), node("Conv", f"b {w.add('w', 5, 3, 1, 1)}", "y")],
                    {"x": image(2, 3, 4, 4)["x"] + 100}, "y", w, atol=1e-3)
    assert left["BatchNormalization"] == 1


def test_weights_of_two_convs(optimize):
    w = Weights()
    w.add("w", 4, 4, 1, 1)
    left = optimize([node("Conv", "x w", "a"), node("BatchNormalization", f"a {w.normalization('n', 4)}", "b"),
                     node("Conv", "b w", "c"), node("BatchNormalization", f"c {w.normalization('m', 4)}", "d"),
                     node("Conv", "d w", "y")], image(2, 4, 6, 6), "y", w)
    assert left == {"Conv": 3}


@pytest.mark.parametrize("case", ["output", "two readers", "training", "computed"])
def test_stays(optimize, case):
    w = Weights()
    names = w.normalization("n", 5)
    nodes = [node("Conv", f"x {w.add('w', 5, 4, 1, 1)}", "c"), node("BatchNormalization", f"c {names}", "y")]
    outputs = "y"
    if case == "output":
        outputs = "y c"
    elif case == "two readers":
        nodes.append(node("Relu", "c", "z"))
        outputs = "y z"
    elif case == "training":
        nodes[1] = node("BatchNormalization", f"c {names}", "y m v", training_mode=1)
        outputs = "y m v"
    else:
        w.pop("n_shift")
        w.put("axes", [0, 2, 3], np.int64)
        nodes.insert(1, node("ReduceMean", "c axes", "n_shift", keepdims=0))
    assert optimize(nodes, image(2, 4, 6, 6), outputs, w)["BatchNormalization"] == 1
    assert "kept" in optimize.report


def test_double_precision(optimize):
    w = Weights()
    w.add("w", 4, 5, dtype=np.float64)
    left = optimize([node("Gemm", "x w", "c"), node("BatchNormalization", f"c {w.normalization('n', 5, np.float64)}", "y")],
                    {"x": image(2, 4)["x"].astype(np.float64)}, "y", w, rtol=1e-12, atol=1e-12)
    assert left == {"Gemm": 1}


def test_initializers_as_inputs(optimize):
    """Constants in files of IR version 3, defaults that a run may replace from version 4 on."""
    w = Weights()
    nodes = [node("Conv", f"x {w.add('w', 5, 4, 1, 1)}", "c"), node("BatchNormalization", f"c {w.normalization('n', 5)}", "y")]
    assert optimize(nodes, image(2, 4, 6, 6), "y", w, as_inputs=True, ir_version=3, opset=9) == {"Conv": 1}
    assert optimize(nodes, image(2, 4, 6, 6), "y", w, as_inputs=True, ir_version=8)["BatchNormalization"] == 1


# ---- the other passes ----

SCALES = [  # operator behind a Conv, shape of its constant, does it fold
    ("Mul", (5, 1, 1), True), ("Mul", (1, 5, 1, 1), True), ("Mul", (), True), ("Mul", (5,), False), ("Mul", (2, 5, 1, 1), False),
    ("Div", (5, 1, 1), True), ("Add", (5, 1, 1), True), ("Add", (1,), True), ("Sub", (5, 1, 1), True), ("Add", (5, 6, 5), False),
]


@pytest.mark.parametrize("op, shape, folds", SCALES)
def test_scale_and_shift(optimize, op, shape, folds):
    w = Weights()
    left = optimize([node("Conv", f"x {w.add('w', 5, 4, 1, 1)}", "c"), node(op, f"c {w.add('s', *shape, low=0.5, high=2)}", "y")],
                    image(2, 4, 6, 5), "y", w)
    assert left == ({"Conv": 1} if folds else {"Conv": 1, op: 1})


def test_scale_of_rows(optimize):
    w = Weights()
    left = optimize([node("MatMul", f"x {w.add('w', 6, 8)}", "m"), node("Add", f"m {w.add('b', 8)}", "a"), node("Mul", f"{w.add('s', 8)} a", "y")],
                    image(2, 5, 6), "y", w)
    assert left == {"MatMul": 1, "Add": 1}
    nodes = [node("Sub", "one x", "y"), node("Div", "one x", "z")]  # what cannot be said as scale and shift of x
    w.put("one", 1)
    assert optimize(nodes, image(2, 3), "y z", {"one": w["one"]}) == {"Sub": 1, "Div": 1}


def test_identities(optimize):
    w = Weights()
    w.put("same", [0, -1, 4], np.int64), w.put("zero", 0), w.put("one", [1.0]), w.put("pads", [0] * 6, np.int64)
    left = optimize([node("Identity", "x", "a"), node("Dropout", "a", "b"), node("Cast", "b", "c", to=FLOAT), node("Add", "zero c", "d"),
                     node("Mul", "d one", "e"), node("Transpose", "e", "f", perm=[0, 1, 2]), node("Reshape", "f same", "g"),
                     node("Pad", "g pads", "h"), node("Concat", "h", "i", axis=1), node("Abs", "i", "j"), node("Identity", "j", "y")],
                    image(2, 3, 4), "y", w)
    assert left == {"Abs": 1}


def test_masks_of_nothing(optimize):
    """Constants of many elements that are all 0 or 1, computed ones too."""
    w, full = Weights(), np.ones((3, 4), np.float32)
    w.put("mask", np.zeros((1, 1, 4))), w.put("full", full), w.put("shown", full > 0, bool), w.put("low", -np.inf), w.put("zero", 0)
    nodes = [node("Add", "x mask", "a"), node("Mul", "full a", "b"), node("Where", "shown zero low", "m"), node("Add", "b m", "c"), node("Abs", "c", "y")]
    assert optimize(nodes, image(2, 3, 4), "y", w) == {"Abs": 1}
    w["full"][2, 3] = 2
    assert optimize(nodes, image(2, 3, 4), "y", w) == {"Mul": 1, "Abs": 1}
    assert optimize([node("Add", "x mask", "y")], image(2, 3, 1), "y", {"mask": w["mask"]}) == {"Add": 1}


def test_what_only_looks_like_nothing(optimize):
    w = Weights()
    w.put("wide", np.zeros((1, 1, 1, 4))), w.put("turned", [0, 4, 3], np.int64)
    left = optimize([node("Add", "x wide", "a"), node("Reshape", "x turned", "b"), node("Identity", "x", "y")], image(2, 3, 4), "a b y", w)
    assert left == {"Add": 1, "Reshape": 1, "Identity": 1}


@pytest.mark.parametrize("nodes, left", [
    ([node("Expand", "r s", "e"), node("Div", "x e", "y")], {"ReduceMax": 1, "Div": 1}),
    ([node("Expand", "r s", "e"), node("Sub", "e x", "y")], {"ReduceMax": 1, "Sub": 1}),
    ([node("Expand", "r s", "e"), node("Add", "e r", "y")], {"ReduceMax": 1, "Expand": 1, "Add": 1}),
    ([node("Expand", "r s", "e"), node("Add", "e e", "y")], {"ReduceMax": 1, "Expand": 1, "Add": 1}),
    ([node("Expand", "r s", "e"), node("Add", "e x", "a"), node("Mul", "a e", "y")], {"ReduceMax": 1, "Expand": 1, "Add": 1, "Mul": 1}),
    ([node("Shape", "x", "z"), node("Expand", "r z", "e"), node("Mul", "e x", "y")], {"ReduceMax": 1, "Mul": 1}),
])
def test_expand_for_who_broadcasts(optimize, nodes, left):
    w = Weights()
    w.put("s", [1, 5, 6], np.int64), w.put("axes", [2], np.int64)
    assert optimize([node("ReduceMax", "x axes", "r"), *nodes], image(2, 5, 6), "y", w) == left


def test_constants_are_folded(optimize):
    w = Weights()
    w.put("two", 2.0), w.put("one", [1], np.int64)
    left = optimize([node("Shape", "x", "s"), node("Gather", "s one", "n"), node("ConstantOfShape", "n", "z"),
                     node("Exp", "two", "e"), node("Add", "z e", "f"), node("Add", "x f", "y")], image(2, 3), "y", w)
    assert left == {"Add": 1}


def test_random_is_not_folded(ingot, tmp_path):
    save(tmp_path / "before.onnx", [node("RandomNormal", "", "r", shape=[3]), node("RandomNormal", "", "q", shape=[3]),
                                    node("Add", "r q", "s"), node("Add", "x s", "y")], image(2, 3), "y", {})
    assert ingot("optimize", tmp_path / "before.onnx", "-o", tmp_path / "after.onnx").code == 0
    assert len(onnx.load(tmp_path / "after.onnx").graph.node) == 4


def test_common_subexpressions(optimize):
    w = Weights()
    w.put("a", [1.5]), w.put("b", [1.5])
    left = optimize([node("Add", "x a", "p"), node("Add", "x b", "q"), node("Exp", "p", "r"), node("Exp", "q", "s"),
                     node("Softmax", "r", "t", axis=0), node("Softmax", "s", "u", axis=1), node("Sub", "t u", "y")], image(2, 3), "y", w)
    assert left == {"Add": 1, "Exp": 1, "Softmax": 2, "Sub": 1}


def test_transposes(optimize):
    left = optimize([node("Transpose", "x", "a", perm=[0, 2, 3, 1]), node("Transpose", "a", "b", perm=[0, 3, 1, 2]),
                     node("Transpose", "b", "c", perm=[1, 0, 2, 3]), node("Transpose", "c", "d", perm=[0, 2, 3, 1]),
                     node("Relu", "d", "y")], image(2, 3, 4, 5), "y")
    assert left == {"Transpose": 1, "Relu": 1}


PADS = [  # node after the Pad, its attributes, value, does it take the padding in
    ("Conv", dict(), 0, True), ("Conv", dict(pads=[1, 0, 0, 1]), 0, True), ("Conv", dict(), 1, False),
    ("Conv", dict(auto_pad="SAME_UPPER"), 0, False),
    ("AveragePool", dict(kernel_shape=[3, 3]), 0, True),
    ("AveragePool", dict(kernel_shape=[3, 3], pads=[1] * 4), 0, False),
    ("AveragePool", dict(kernel_shape=[3, 3], pads=[1] * 4, count_include_pad=1), 0, False),  # padding as wide as the window
    ("MaxPool", dict(kernel_shape=[3, 3]), -np.inf, True), ("MaxPool", dict(kernel_shape=[3, 3]), 0, False),
]


@pytest.mark.parametrize("op, attributes, value, fuses", PADS)
def test_pad(optimize, op, attributes, value, fuses):
    w = Weights()
    w.put("pads", [0, 0, 1, 2, 0, 0, 2, 0], np.int64), w.put("value", value)
    inputs = f"p {w.add('w', 5, 4, 3, 3)}" if op == "Conv" else "p"
    left = optimize([node("Pad", "x pads value", "p"), node(op, inputs, "y", **attributes)], image(2, 4, 7, 6), "y", w)
    assert left["Pad"] == (0 if fuses else 1)


def test_gemm_from_matmul(optimize):
    w = Weights()
    nodes = [node("MatMul", f"x {w.add('w', 6, 8)}", "m"), node("Add", f"m {w.add('b', 8)}", "y")]
    assert optimize(nodes, image(5, 6), "y", w) == {"Gemm": 1}
    assert optimize(nodes, image(2, 5, 6), "y", w) == {"MatMul": 1, "Add": 1}


def fused(report, name):
    return int(next(line for line in report.splitlines() if line.startswith(name)).split()[1])


ACTIVATIONS = ["Relu", "Sigmoid", "Tanh", "HardSwish", "HardSigmoid", "LeakyRelu", "Elu", "Gelu"]


@pytest.mark.parametrize("op", ACTIVATIONS)
def test_residual_and_activation(optimize, op):
    w = Weights()
    left = optimize([node("Conv", f"x {w.add('w', 4, 4, 3, 3)} {w.add('b', 4)}", "c", pads=[1] * 4), node("Abs", "x", "r"), node("Add", "r c", "a"),
                     node(op, "a", "y")], image(2, 4, 6, 6), "y", w)
    assert left == {"Conv": 1, "Abs": 1, "Add": 1, op: 1}  # written as the nodes they were
    assert fused(optimize.report, "fuse-conv-add") == fused(optimize.report, "fuse-activation") == 1


# Pairs of convolutions of one input with 8 channels, (kernel, attributes) each, and whether they become one.
SIDE_BY_SIDE = [
    (((3, 3), dict(pads=[1] * 4)), ((1, 1), {}), True), (((1, 1), {}), ((5, 5), dict(pads=[2] * 4)), True),
    (((5, 5), dict(pads=[2, 1, 2, 3])), ((3, 2), dict(pads=[1, 0, 1, 1])), True),
    (((3, 3), dict(pads=[1] * 4, strides=[2, 2])), ((1, 1), dict(strides=[2, 2])), True),
    (((3, 3), dict(pads=[2] * 4, dilations=[2, 2])), ((1, 1), {}), True),
    (((5, 5), dict(pads=[4] * 4, dilations=[2, 2])), ((3, 3), dict(pads=[2] * 4, dilations=[2, 2])), True),
    (((3, 3), dict(pads=[1] * 4, group=4)), ((1, 1), dict(group=4)), True), (((3,), dict(pads=[1, 1])), ((1,), {}), True),
    (((3, 3, 3), dict(pads=[1] * 6)), ((1, 3, 1), dict(pads=[0, 1, 0, 0, 1, 0])), True), (((1, 1), {}), ((1, 1), {}), True),
    (((1, 1), dict(pads=[1] * 4)), ((3, 3), dict(pads=[2] * 4)), True),
    (((1, 3), dict(pads=[0, 1, 0, 1])), ((3, 1), dict(pads=[1, 0, 1, 0])), False),       # neither lies in the other
    (((3, 3), dict(pads=[1] * 4)), ((3, 3), dict(pads=[2] * 4, dilations=[2, 2])), False),
    (((3, 3), dict(pads=[3] * 4, dilations=[3, 3])), ((1, 1), dict(pads=[0, 0, 0, 0], group=2)), False),
    (((3, 3), dict(pads=[1] * 4, strides=[1, 2])), ((1, 1), dict(pads=[0, 0, 0, 0], strides=[1, 2], group=8)), False),
    (((5, 5), dict(pads=[2] * 4)), ((3, 3), dict(pads=[0, 0, 2, 2])), True), (((3, 3), {}), ((3, 3), {}), False),   # small inputs are refused
]


@pytest.mark.parametrize("first, second, merges", SIDE_BY_SIDE)
def test_parallel_convolutions(optimize, first, second, merges):
    """The sum of two convolutions of one input is a convolution, where one window lies in the other; three go in turn."""
    w, nodes = Weights(), []
    for name, (kernel, attributes) in zip("abc", (first, second, second)):
        bias = "" if name == "b" else w.add(name + "b", 16)
        nodes.append(node("Conv", f"x {w.add(name + 'w', 16, 8 // attributes.get('group', 1), *kernel)} {bias}", name, **attributes))
    nodes += [node("Add", "a b", "s"), node("Relu", "x", "unrelated"), node("Add", "c s", "t"), node("Relu", "t", "y")]
    left = optimize(nodes, image(2, 8, *[9, 8, 7][:len(first[0])]), "y unrelated", w, rtol=1e-4, atol=1e-4)
    assert (left["Conv"], left["Add"]) == ((1, 0) if merges else (3, 2))


@pytest.mark.parametrize("group", [1, 2, 8])
@pytest.mark.parametrize("kernel, pads", [(3, 1), (1, 0), (5, 2)])
def test_normalization_beside_convolution(optimize, group, kernel, pads):
    """As RepVGG has it: an identity that is normalized is a convolution of one pixel."""
    w = Weights()
    conv = node("Conv", f"x {w.add('w', 8, 8 // group, kernel, kernel)}", "c", pads=[pads] * 4, group=group)
    beside = node("BatchNormalization", f"x {w.normalization('m', 8)}", "b")
    nodes = [conv, node("BatchNormalization", f"c {w.normalization('n', 8)}", "d"), beside, node("Add", "b d", "y")]
    assert optimize(nodes, image(2, 8, 7, 6), "y", w, rtol=1e-4, atol=1e-4) == {"Conv": 1}


@pytest.mark.parametrize("group, order", [(1, "x c"), (8, "c x"), (2, "x c")])
def test_convolution_plus_its_input(optimize, group, order):
    """The input itself is one, too; a normalization of the sum then folds."""
    w = Weights()
    nodes = [node("Conv", f"x {w.add('w', 8, 8 // group, 3, 3)}", "c", pads=[1] * 4, group=group), node("Add", order, "s"),
             node("BatchNormalization", f"s {w.normalization('n', 8)}", "y")]
    assert optimize(nodes, image(2, 8, 7, 6), "y", w, rtol=1e-4, atol=1e-4) == {"Conv": 1}


@pytest.mark.parametrize("case", ["output", "reader", "twice", "input", "channels"])
def test_parallel_convolutions_that_stay(optimize, case):
    w = Weights()
    nodes = [node("Sigmoid", "x", "z"), node("Conv", f"x {w.add('aw', 4, 4, 3, 3)}", "a", pads=[1] * 4),
             node("Conv", f"{'z' if case == 'input' else 'x'} {w.add('bw', 1 if case == 'channels' else 4, 4, 1, 1)}", "b"),
             node("Add", "b b" if case == "twice" else "a b", "y")] + [node("Relu", "b", "r")] * (case == "reader")
    left = optimize(nodes, image(2, 4, 6, 6), {"output": "y b", "reader": "y r"}.get(case, "y"), w, rtol=1e-4, atol=1e-4)
    assert left["Conv"] == (1 if case == "twice" else 2) and left["Add"] == 1


@pytest.mark.parametrize("disabled", [(), ("--disable-pass", "use-floats")])
def test_halves(optimize, ingot, tmp_path, disabled):
    """A network of float16: products are computed in float, with what follows them; the rest stays float16."""
    w, half = Weights(), np.float16
    for name, shape in dict(w=(12, 4, 3, 3), b=(12,), v=(12, 3), c=(3,), u=(12, 12, 1, 1)).items():
        w.add(name, *shape, dtype=half)
    x = {"x": np.random.default_rng(1).normal(size=(2, 4, 9, 8)).astype(half)}
    nodes = [node("Conv", "x w b", "p", pads=[1] * 4), node("BatchNormalization", f"p {w.normalization('n', 12, dtype=half)}", "q"),
             node("Relu", "q", "r"), node("MaxPool", "r", "s", kernel_shape=[2, 2]), node("Conv", "s u", "t"), node("Sigmoid", "t", "i"),
             node("GlobalAveragePool", "i", "g"), node("Flatten", "g", "f"), node("MatMul", "f v", "m"), node("Add", "m c", "y")]
    left = optimize(nodes, x, "r t y", w, rtol=4e-3, atol=4e-3)
    assert left["BatchNormalization"] == left["MatMul"] == 0 and left["Gemm"] == 1 and left["Cast"] == 8
    assert {i.data_type for i in optimize.model.graph.initializer} == {FLOAT}
    done = ingot("run", tmp_path / "before.onnx", "--input", f"x={tmp_path}/x.npy", "--output-dir", tmp_path / "again", *disabled)
    assert done.code == 0, done.err
    for name in "rty":
        again, got = np.load(tmp_path / "again" / f"{name}.npy"), np.load(tmp_path / "out" / f"{name}.npy")
        assert again.dtype == half
        np.testing.assert_allclose(again, got, rtol=2e-2, atol=2e-2)  # rounded more often


def test_halves_scaled_twice(optimize):
    """Weights of float16 that were computed as floats are scaled once more."""
    w = Weights()
    w.add("w", 4, 2, 3, 3, dtype=np.float16)
    m = w.normalization("m", 4, dtype=np.float16)
    w["m_scale"] = np.abs(w["m_scale"])  # goes through the pool
    nodes = [node("ConvTranspose", "x w", "c", group=2), node("BatchNormalization", f"c {w.normalization('n', 4, dtype=np.float16)}", "d"),
             node("MaxPool", "d", "e", kernel_shape=[2, 2]), node("BatchNormalization", f"e {m}", "y")]
    x = np.random.default_rng(1).normal(size=(1, 4, 5, 5)).astype(np.float16)
    assert optimize(nodes, {"x": x}, "y", w, rtol=2e-2, atol=2e-2)["BatchNormalization"] == 0


@pytest.mark.parametrize("options", [(), ("--disable-pass", "all")])
def test_halves_beside_floats(ingot, tmp_path, options):
    """Bounds of another type are refused, although both types would become float."""
    w = Weights()
    w.add("w", 4, 4, 1, 1, dtype=np.float16), w.put("low", -0.5), w.put("high", 0.75)
    x = np.ones((1, 4, 3, 3), np.float16)
    save(tmp_path / "m.onnx", [node("Conv", "x w", "c"), node("Clip", "c low high", "y")], {"x": x}, "y", w)
    done = ingot("run", tmp_path / "m.onnx", *options)
    assert done.code == 4 and "bound" in done.err


def test_clip_with_bounds(optimize):
    w = Weights()
    w.put("low", -0.5), w.put("high", 0.75)
    optimize([node("Conv", f"x {w.add('w', 4, 4, 1, 1)}", "c"), node("Clip", "c low high", "y")], image(2, 4, 6, 6), "y", w)
    assert fused(optimize.report, "fuse-activation") == 1


@pytest.mark.parametrize("other, fuses", [((4, 1, 6), 1), ((1, 4, 6, 6), 1), ((6,), 1), ((3, 2, 4, 6, 6), 0), ((2, 4, 6, 6), 0)])
def test_add_of_another_shape(optimize, other, fuses):
    """A fused Add must not make the result larger; the last one could, for all that is known of the batch."""
    w = Weights()
    optimize([node("Conv", f"x {w.add('w', 4, 4, 1, 1)}", "c"), node("Add", f"c {w.add('z', *other)}", "a"), node("Relu", "a", "y")],
             image(2, 4, 6, 6), "y", w)
    assert fused(optimize.report, "fuse-conv-add") == fuses


CENTERED = [node("ReduceMean", "x last", "m"), node("Sub", "x m", "d"), node("Pow", "d two", "q"), node("ReduceMean", "q last", "v"),
            node("Add", "v eps", "ve"), node("Sqrt", "ve", "s")]
SPELLINGS = [
    ("Swish", [node("Sigmoid", "x", "s"), node("Mul", "s x", "y")]),
    ("Swish", [node("Mul", "k x", "a"), node("Sigmoid", "a", "s"), node("Mul", "s x", "y")]),
    ("Mish", [node("Softplus", "x", "s"), node("Tanh", "s", "t"), node("Mul", "x t", "y")]),
    ("HardSwish", [node("Add", "x three", "a"), node("Clip", "a zero six", "c"), node("Mul", "c x", "m"), node("Div", "m six", "y")]),
    ("HardSwish", [node("Add", "three x", "a"), node("Clip", "a zero six", "c"), node("Div", "c six", "h"), node("Mul", "x h", "y")]),
    ("HardSigmoid", [node("Add", "x three", "a"), node("Clip", "a zero six", "c"), node("Div", "c six", "y")]),
    ("Gelu", [node("Div", "x root", "d"), node("Erf", "d", "e"), node("Add", "e one", "a"), node("Mul", "x a", "m"), node("Mul", "m half", "y")]),
    ("Gelu", [node("Div", "x root", "d"), node("Erf", "d", "e"), node("Add", "one e", "a"), node("Mul", "half x", "m"), node("Mul", "m a", "y")]),
    ("Gelu", [node("Mul", "x iroot", "d"), node("Erf", "d", "e"), node("Add", "one e", "a"), node("Mul", "half a", "m"), node("Mul", "m x", "y")]),
    ("Gelu", [node("Pow", "x three", "p"), node("Mul", "p k", "q"), node("Add", "x q", "r"), node("Mul", "r c0", "s"), node("Tanh", "s", "t"),
              node("Add", "t one", "u"), node("Mul", "x half", "h"), node("Mul", "h u", "y")]),
    ("Gelu", [node("Mul", "x half", "h"), node("Mul", "x c0", "c"), node("Mul", "x k", "q"), node("Mul", "q x", "r"), node("Add", "r one", "s"),
              node("Mul", "c s", "t"), node("Tanh", "t", "u"), node("Add", "u one", "v"), node("Mul", "h v", "y")]),
    ("LayerNormalization", [*CENTERED, node("Div", "d s", "n"), node("Mul", "n w", "g"), node("Add", "g b", "y")]),
    ("RMSNormalization", [node("Pow", "x two", "q"), node("ReduceMean", "q last", "v"), node("Add", "v eps", "ve"), node("Sqrt", "ve", "s"),
                          node("Reciprocal", "s", "r"), node("Mul", "x r", "n"), node("Mul", "w n", "y")]),
]


@pytest.mark.parametrize("op, nodes", SPELLINGS)
def test_spelled_out(optimize, op, nodes):
    w = Weights()
    for name, value in dict(one=1, two=2, three=3, six=6, zero=0, half=0.5, root=2 ** 0.5, iroot=0.5 ** 0.5, k=0.044715, c0=(2 / np.pi) ** 0.5,
                            eps=1e-5).items():
        w.put(name, value)
    w.put("last", [-1], np.int64), w.add("w", 8), w.add("b", 8)
    assert optimize(nodes, image(3, 8), "y", w) == {op: 1}
    inner = nodes[-2].output[0]
    assert optimize(nodes + [node("Abs", inner, "z")], image(3, 8), "y z", w)[op] == 0


@pytest.mark.parametrize("attributes", [dict(kernel_shape=[3, 3], pads=[1, 7, 1, 1]), dict(kernel_shape=[2, 2], pads=[1, 1, 1, 1], dilations=[7, 7])])
def test_averages_of_padding_alone(ingot, tmp_path, attributes):
    """They are 0 before a BatchNormalization, not behind it. onnxruntime does not take such a model."""
    w = Weights()
    x = image(2, 4, 6, 6)["x"]
    save(tmp_path / "m.onnx", [node("Conv", f"x {w.add('w', 4, 4, 1, 1)}", "c"), node("AveragePool", "c", "p", **attributes),
                               node("BatchNormalization", f"p {w.normalization('n', 4)}", "y")], {"x": x}, "y", w)
    np.save(tmp_path / "x.npy", x)
    outputs = []
    for folder, options in (("passes", ()), ("none", ("--disable-pass", "all"))):
        done = ingot("run", tmp_path / "m.onnx", "--input", tmp_path / "x.npy", "--output-dir", tmp_path / folder, *options)
        assert done.code == 0, done.err
        outputs.append(np.load(tmp_path / folder / "y.npy"))
    np.testing.assert_allclose(*outputs, rtol=2e-5, atol=2e-5)


def test_spelled_out_with_a_number_of_higher_rank(optimize):
    """It makes the result's rank its own."""
    w = Weights()
    nodes = [node("Mul", "x k", "h"), node("Div", "x root", "d"), node("Erf", "d", "e"), node("Add", "one e", "a"), node("Mul", "h a", "y")]
    w.put("k", np.full((1, 1, 1), 0.5)), w.put("root", 2 ** 0.5), w.put("one", 1)
    assert optimize(nodes, image(3, 8), "y", w)["Gelu"] == 0


def test_pass_names(ingot, tmp_path):
    w = Weights()
    path = tmp_path / "before.onnx"
    save(path, [node("Conv", f"x {w.add('w', 5, 4, 1, 1)}", "c"), node("BatchNormalization", f"c {w.normalization('n', 5)}", "y")],
         image(1, 4, 3, 3), "y", w)
    for disabled, left in [("fold-batch-normalization", 2), ("all", 2), ("fuse-pad", 1)]:
        assert ingot("optimize", path, "-o", tmp_path / "after.onnx", "--disable-pass", disabled).code == 0
        assert len(onnx.load(tmp_path / "after.onnx").graph.node) == left
    done = ingot("optimize", path, "-o", tmp_path / "after.onnx", "--disable-pass", "fold-everything")
    assert done.code == 2 and "fold-everything" in done.err


def test_inside_subgraphs(optimize):
    w = Weights()
    w.put("no", False, bool)
    branch = [helper.make_graph([node("Identity", f"{outer}", "i"), node("Identity", "i", "j"), node(op, "j", "o")], op, [],
                                [helper.make_empty_tensor_value_info("o")]) for op, outer in (("Exp", "p"), ("Neg", "q"))]
    left = optimize([node("Exp", "x", "p"), node("Exp", "x", "q"),
                     helper.make_node("If", ["no"], ["y"], then_branch=branch[0], else_branch=branch[1])], image(2, 3), "y", w)
    assert left == {"Exp": 1, "If": 1}
    assert all([n.op_type for n in a.g.node] in (["Exp"], ["Neg"]) for n in optimize.model.graph.node for a in n.attribute)


# ---- old forms: what they mean in NumPy, where onnxruntime has never known them ----

def softmax(x, axis):
    flat = x.reshape(int(np.prod(x.shape[:axis])), -1)
    e = np.exp(flat - flat.max(1, keepdims=True))
    return (e / e.sum(1, keepdims=True)).reshape(x.shape)


X = image(2, 3, 4, 5)["x"]
ROW = np.float32([1, 2, 3])
OLD = [  # opset, node, further inputs, expected
    (1, node("Add", "x r", "y", broadcast=1, axis=1), {"r": ROW}, X + ROW[:, None, None]),
    (6, node("Mul", "x r", "y", broadcast=1, axis=-3), {"r": ROW}, X * ROW[:, None, None]),
    (6, node("Sub", "x r", "y", broadcast=1), {"r": np.float32([1, 2, 3, 4, 5])}, X - np.float32([1, 2, 3, 4, 5])),
    (6, node("Pow", "x r", "y", broadcast=1), {"r": np.float32([2])}, X ** 2),
    (1, node("Relu", "x", "y", consumed_inputs=[0]), {}, np.maximum(X, 0)),
    (1, node("Reshape", "x", "y", shape=[2, 0, -1]), {}, X.reshape(2, 3, 20)),
    (1, node("Cast", "x", "y", to="INT64"), {}, X.astype(np.int64)),
    (1, node("Selu", "x", "y"), {}, np.where(X > 0, X, 1.6732 * np.expm1(X)) * 1.0507),
    (1, node("Tile", "x t a", "y"), {"t": np.int64([2]), "a": np.int64([1])}, np.tile(X, (1, 2, 1, 1))),
    (1, node("PRelu", "x r", "y"), {"r": ROW}, np.where(X > 0, X, X * ROW[:, None, None])),
    (1, node("Pad", "x", "y", paddings=[0, 0, 1, 0, 0, 0, 0, 2], value=2.0), {}, np.pad(X, [(0, 0), (0, 0), (1, 0), (0, 2)], constant_values=2)),
    (2, node("Pad", "x", "y", pads=[0, 0, 1, 0, 0, 0, 0, 2]), {}, np.pad(X, [(0, 0), (0, 0), (1, 0), (0, 2)])),
    (1, node("Upsample", "x", "y", height_scale=2.0, width_scale=3.0), {}, X.repeat(2, 2).repeat(3, 3)),
    (7, node("Upsample", "x", "y", scales=[1.0, 1.0, 2.0, 2.0]), {}, X.repeat(2, 2).repeat(2, 3)),
    (9, node("Upsample", "x s", "y"), {"s": np.float32([1, 1, 2, 3])}, X.repeat(2, 2).repeat(3, 3)),
    (10, node("Resize", "x s", "y"), {"s": np.float32([1, 1, 0.5, 1])}, X[:, :, ::2]),
    (1, node("Concat", "x x", "y"), {}, np.concatenate([X, X], 1)),
    (1, node("Split", "x", "y z", axis=1, split=[1, 2]), {}, X[:, :1]),
    (11, node("Split", "x", "y z", axis=0), {}, X[:1]),
    (13, node("Split", "x", "y z", axis=0), {}, X[:1]),
    (1, node("Slice", "x", "y", axes=[1, 3], starts=[1, -2], ends=[9, 9]), {}, X[:, 1:, :, -2:]),
    (1, node("Squeeze", "u", "y", axes=[0]), {"u": X[None]}, X),
    (11, node("Unsqueeze", "x", "y", axes=[0, -1]), {}, X[None, ..., None]),
    (6, node("Clip", "x", "y", min=-0.5, max=0.5), {}, X.clip(-0.5, 0.5)),
    (10, node("Clip", "x", "y", max=0.5), {}, X.clip(None, 0.5)),
    (1, node("TopK", "x", "y i", k=2, axis=2), {}, -np.sort(-X, 2)[:, :, :2]),
    (6, node("Softmax", "x", "y", axis=2), {}, softmax(X, 2)),
    (12, node("Softmax", "x", "y"), {}, softmax(X, 1)),
    (12, node("LogSoftmax", "x", "y", axis=-1), {}, np.log(softmax(X.reshape(-1, 5), 1)).reshape(X.shape)),
    (12, node("ReduceSum", "x", "y", axes=[1, -1]), {}, X.sum((1, 3), keepdims=True)),
    (11, node("ReduceMean", "x", "y", axes=[2], keepdims=0), {}, X.mean(2)),
    (17, node("ReduceMax", "x", "y"), {}, X.max(keepdims=True).reshape(1, 1, 1, 1)),
    (1, node("Dropout", "x", "y", is_test=1, ratio=0.5), {}, X),
    (7, node("Dropout", "x", "y", ratio=0.3), {}, X),
    (9, node("Scatter", "x i u", "y", axis=0), {"i": np.zeros((1, 3, 4, 5), np.int64), "u": np.ones((1, 3, 4, 5), np.float32)},
     np.concatenate([np.ones((1, 3, 4, 5), np.float32), X[1:]])),
    (6, node("Gemm", "m w r", "y", broadcast=1), {"m": X[0, 0], "w": X[1, 0].T.copy(), "r": np.float32([1, 2, 3, 4])},
     X[0, 0] @ X[1, 0].T + np.float32([1, 2, 3, 4])),
    (6, node("BatchNormalization", "x r r r r", "y", is_test=1, epsilon=1e-5), {"r": ROW},
     (X - ROW[:, None, None]) / np.sqrt(ROW + 1e-5)[:, None, None] * ROW[:, None, None] + ROW[:, None, None]),
    (8, node("BatchNormalization", "x e e e e", "y", spatial=0), {"e": np.abs(X[0]) + 1},
     (X - np.abs(X[0]) - 1) / np.sqrt(np.abs(X[0]) + 1 + 1e-5) * (np.abs(X[0]) + 1) + np.abs(X[0]) + 1),
    (18, node("GroupNormalization", "c s s", "y", num_groups=2), {"c": X.reshape(2, 6, 2, 5), "s": np.float32([1, 2])},
     (lambda g, s: ((g - g.mean((2, 3, 4), keepdims=True)) / np.sqrt(g.var((2, 3, 4), keepdims=True) + 1e-5) * s + s).reshape(2, 6, 2, 5))(
         X.reshape(2, 2, 3, 2, 5), np.float32([1, 2]).reshape(1, 2, 1, 1, 1))),
    (1, node("LpPool", "x", "y", kernel_shape=[4, 5], p=2.0), {}, np.sqrt((X ** 2).sum((2, 3), keepdims=True))),
]


@pytest.mark.parametrize("constant", [True, False])
@pytest.mark.parametrize("opset, old, extra, expected", OLD, ids=[f"{o[1].op_type}-{o[0]}-{i}" for i, o in enumerate(OLD)])
def test_old_form(optimize, opset, old, extra, expected, constant):
    """Also what is written afterwards is right for a runtime that knows new forms only."""
    inputs = {"x": X} if "x" in old.input else {}
    first = old.input[0]
    inputs.update({n: a for n, a in extra.items() if not constant or n == first or not inputs})
    if old.op_type == "PRelu" and not constant:
        pytest.skip("a slope that is not constant is refused")
    weights = {n: a for n, a in extra.items() if n not in inputs}
    old = onnx.NodeProto.FromString(old.SerializeToString())
    nodes = [old]
    optimize(nodes, inputs, "y", weights, expected=[expected], opset=opset, atol=1e-4, rtol=1e-4)


# ---- the corpus ----

def corpus_entries():
    folder = os.environ.get("CORPUS") or os.path.join(os.path.dirname(__file__), "..", "..", "build", "models")
    for name in (os.path.join(folder, "manifest.json"), os.path.join(folder, "..", "..", "..", "shared", "models", "manifest.json")):
        if os.path.exists(name):
            entries = json.load(open(name))
            entries = entries.get("models", entries) if isinstance(entries, dict) else entries
            entries = entries if isinstance(entries, list) else [dict(e, name=n) for n, e in entries.items()]
            return [(e, os.path.join(folder, e["name"])) for e in entries if os.path.exists(os.path.join(folder, e["name"], "model.onnx"))]
    return []


def load_values(folder, kind):
    paths = sorted(glob.glob(f"{folder}/{kind}_*.pb"), key=lambda p: int(p.rsplit("_", 1)[1][:-3]))
    return [numpy_helper.to_array(TensorProto.FromString(open(p, "rb").read())) for p in paths]


@pytest.mark.parametrize("entry, folder", [pytest.param(e, f, id=e["name"]) for e, f in corpus_entries()] or
                         [pytest.param(None, "", marks=pytest.mark.skip("no corpus"))])
def test_corpus(ingot, tmp_path, entry, folder):
    """What the passes make of a model gives what it gave before them, in another runtime."""
    assert ingot("optimize", f"{folder}/model.onnx", "-o", tmp_path / "after.onnx").code == 0
    before, after = session(f"{folder}/model.onnx"), session(tmp_path / "after.onnx")
    for data in sorted(glob.glob(f"{folder}/test_data_set_*")):
        feeds = dict(zip([i.name for i in after.get_inputs()], load_values(data, "input")))
        for output, value, want in zip(entry["outputs"], after.run(None, feeds), before.run(None, feeds)):
            np.testing.assert_allclose(value, want, rtol=output.get("rtol", entry["rtol"]), atol=output.get("atol", entry["atol"]))


@pytest.mark.parametrize("swapped", [False, True])
def test_bias_and_residual(optimize, swapped):
    """A Linear and the connection around it run as one step."""
    w = Weights()
    optimize([node("MatMul", f"x {w.add('w', 24, 24)}", "p"), node("Add", f"p {w.add('b', 24)}", "q"),
              node("Add", "q x" if swapped else "x q", "y")], image(2, 5, 24), "y", w)
    assert "fuse-conv-add: 2 of 2" in optimize.report


# ---- one row of many ----

def tokens(*shape):
    return {"x": np.random.default_rng(3).normal(size=shape).astype(np.float32)}


def layer(w, batch_first, index, axis=1):
    """Attention and what follows it in the last layer of a transformer (2 heads of 4), and the row that its readers want."""
    w.put("heads", [7, -1, 3, 8] if not batch_first else [-1, 7, 3, 8], np.int64), w.put("rows", [-1, 8], np.int64)
    w.put("apart", [7, -1, 4], np.int64), w.put("batches", [-1, 2, 7, 4], np.int64), w.put("joined", [7, -1, 8], np.int64)
    w.put("i", index, np.int64), w.put("root", 0.5), w.put("q", 0, np.int64), w.put("k", 1, np.int64), w.put("v", 2, np.int64)
    nodes = [node("Transpose", "x", "t", perm=[1, 0, 2]), node("MatMul", f"t {w.add('qkv', 8, 24)}", "a"), node("Reshape", "a heads", "b")]
    for part in "qkv":
        nodes += [node("Gather", f"b {part}", f"{part}1", axis=2), node("Reshape", f"{part}1 apart", f"{part}2"),
                  node("Transpose", f"{part}2", f"{part}3", perm=[1, 0, 2]), node("Reshape", f"{part}3 batches", f"{part}4")]
    return nodes + [
        node("Transpose", "k4", "k5", perm=[0, 1, 3, 2]), node("Mul", "q4 root", "q5"), node("MatMul", "q5 k5", "c"),
        node("Softmax", "c", "d", axis=-1), node("MatMul", "d v4", "e"), node("Transpose", "e", "f", perm=[2, 0, 1, 3]),
        node("Reshape", "f rows", "g"), node("Gemm", f"g {w.add('o', 8, 8)} {w.add('ob', 8)}", "h", transB=1), node("Reshape", "h joined", "l"),
        node("Transpose", "l", "m", perm=[1, 0, 2]), node("Add", "m x", "n"),
        node("LayerNormalization", f"n {w.add('s', 8)} {w.add('sb', 8)}", "o1", axis=-1), node("MatMul", f"o1 {w.add('u', 8, 16)}", "p"),
        node("Add", f"p {w.add('ub', 16)}", "r"), node("Gelu", "r", "g1"), node("MatMul", f"g1 {w.add('dn', 16, 8)}", "s1"), node("Add", "n s1", "t1"),
        node("Gather", "t1 i", "z", axis=axis), node("MatMul", f"z {w.add('head', 8, 5)}", "y")]


@pytest.mark.parametrize("batch", [1, 3])
@pytest.mark.parametrize("index", [0, 6, -1, -7, [2]])
def test_last_layer_of_one_token(optimize, index, batch):
    """A Gather of one token moves up to the queries, through the Gemm between two Reshapes, and to the input of the sum."""
    w = Weights()
    left = optimize(layer(w, False, index), tokens(batch, 7, 8), "y", w)
    assert fused(optimize.report, "pick-early") == 17
    assert left["Gather"] == 3 + 2 + 1
    shapes = onnx.shape_inference.infer_shapes(optimize.model).graph.value_info
    dims = {v.name: [d.dim_value for d in v.type.tensor_type.shape.dim] for v in shapes}
    assert dims[next(n.input[0] for n in optimize.model.graph.node if n.op_type == "Gelu")][1:] == [1, 16]


# What makes the value, its shape as x, axis and index of the Gather, and how many nodes the Gather moves past.
PICKED = {
    "a product": ([("MatMul", "x w", {})], (2, 5, 8), 1, 3, 1),
    "columns": ([("MatMul", "x w", {})], (2, 5, 8), 2, 3, 0),
    "batches": ([("MatMul", "x w", {})], (4, 5, 8), 0, 0, 1),
    "a batch that might not be there": ([("MatMul", "x w", {})], (4, 5, 8), 0, 1, 0),
    "batches of both operands": ([("MatMul", "x c", {})], (3, 5, 8), 0, 1, 0),
    "rows where the batch is the other's": ([("MatMul", "x c", {})], (1, 5, 8), 1, 1, 1),
    "a product of higher rank on the right": ([("MatMul", "x c", {})], (5, 8), 1, 1, 0),
    "rows of a Gemm": ([("Gemm", "x w", {})], (5, 8), 0, -1, 1),
    "a Gemm that adds rows": ([("Gemm", "x w rows", {})], (5, 8), 0, -1, 0),
    "columns of a Gemm": ([("Gemm", "x w", {})], (5, 8), 1, 2, 0),
    "a transposed Gemm": ([("Gemm", "x w", dict(transA=1))], (8, 5), 0, 2, 0),
    "a constant of all rows": ([("MatMul", "x w", {}), ("Add", "%s c", {})], (3, 8, 8), 1, 3, 2),
    "a constant of lower rank": ([("MatMul", "x w", {}), ("Mul", "%s v", {})], (3, 8, 8), 1, 3, 2),
    "sums of what is broadcast": ([("MatMul", "x w", {}), ("Add", "%s one", {})], (3, 8, 8), 1, 3, 2),
    "sums that make the axis": ([("MatMul", "x w", {}), ("Add", "%s c", {})], (8, 8), 0, 1, 0),
    "normalized along it": ([("MatMul", "x w", {}), ("LayerNormalization", "%s cv", dict(axis=1))], (3, 8, 8), 1, 3, 0),
    "normalized behind it": ([("MatMul", "x w", {}), ("LayerNormalization", "%s v", dict(axis=2))], (3, 8, 8), 1, 3, 2),
    "softmax along it": ([("MatMul", "x w", {}), ("Softmax", "%s", dict(axis=1))], (3, 8, 8), 1, 3, 0),
    "softmax behind it": ([("MatMul", "x w", {}), ("Softmax", "%s", dict(axis=-1))], (3, 8, 8), 1, 3, 2),
    "an axis of its own": ([("MatMul", "x w", {}), ("Reshape", "%s to", {})], (4, 6, 8), 1, 1, 2),
    "an axis that another one is made of": ([("MatMul", "x w", {}), ("Reshape", "%s mixed", {})], (4, 6, 8), 1, 1, 0),
    "a sum twice of one": ([("MatMul", "x w", {}), ("Add", "%s %s", {})], (3, 8, 8), 1, 3, 2),
    "without a product": ([("Relu", "x", {}), ("Transpose", "%s", dict(perm=[1, 0, 2]))], (3, 8, 8), 1, 2, 0),
    "a product behind others": ([("MatMul", "x w", {}), ("Transpose", "%s", dict(perm=[1, 2, 0])), ("Erf", "%s", {})], (3, 8, 8), 0, 3, 3),
}


@pytest.mark.parametrize("name", PICKED)
def test_one_row_of_many(optimize, name):
    made, shape, axis, index, moves = PICKED[name]
    w = Weights()
    w.add("w", 8, 8), w.add("c", 3, 8, 8), w.add("v", 8), w.add("cv", 8, 8), w.add("one", 3, 1, 8), w.add("rows", 5, 8)
    w.put("to", [0, 6, 2, -1], np.int64), w.put("mixed", [0, 3, 16], np.int64), w.put("i", index, np.int64)
    nodes, last = [], "x"
    for k, (op, inputs, attributes) in enumerate(made):
        nodes.append(node(op, inputs.replace("%s", last), f"m{k}", **attributes))
        last = f"m{k}"
    optimize([*nodes, node("Gather", f"{last} i", "y", axis=axis)], tokens(*shape), "y", w)
    assert fused(optimize.report, "pick-early") == moves


@pytest.mark.parametrize("readers", ["another row", "all", "the same row", "an output"])
def test_more_readers_of_rows(optimize, readers):
    w = Weights()
    w.put("i", 1, np.int64), w.put("j", 2, np.int64)
    nodes = [node("MatMul", f"x {w.add('w', 8, 8)}", "m"), node("Gather", "m i", "y", axis=1)]
    nodes += {"another row": [node("Gather", "m j", "z", axis=1)], "all": [node("ReduceSum", "m", "z")],
              "the same row": [node("Gather", "m i", "g", axis=1), node("Neg", "g", "z")], "an output": []}[readers]
    optimize(nodes, tokens(2, 4, 8), "y m" if readers == "an output" else "y z", w)
    assert fused(optimize.report, "pick-early") == (readers == "the same row")


@pytest.mark.parametrize("index", [4, -5])
def test_row_that_is_not_there(ingot, tmp_path, index):
    """Refused in the same words with the pass and without."""
    path = save_model(tmp_path / "m.onnx", [node("MatMul", "x w", "m"), node("Gather", "m i", "y", axis=1)], [("x", FLOAT, [2, 4, 8])],
                      [("y", FLOAT, None)], [("w", np.ones((8, 8), np.float32)), ("i", np.int64(index))], opset=18)
    done = [ingot("run", path, *options) for options in ([], ["--disable-pass", "pick-early"])]
    assert done[0].code == done[1].code != 0 and done[0].err == done[1].err


# ---- shapes that are not declared --------------------------------------------------------------------------------

UNDECLARED = {
    "gemm": ([helper.make_node("Gemm", ["x", "b"], ["y"], transA=1)], {}, {"x": (3, 2), "b": (3, 4)}),
    "matmul": ([helper.make_node("MatMul", ["x", "b"], ["y"])], {}, {"x": (4, 2, 3), "b": (3, 5)}),
    "matmul, more on the right": ([helper.make_node("MatMul", ["x", "b"], ["y"])], {}, {"x": (2, 3), "b": (4, 3, 5)}),
    "conv": ([helper.make_node("Conv", ["x", "b"], ["y"], auto_pad="VALID")], {}, {"x": (1, 2, 5, 5), "b": (3, 2, 3, 3)}),
    "conv and same": ([helper.make_node("Conv", ["x", "b"], ["y"], auto_pad="SAME_UPPER", strides=[2, 2])], {}, {"x": (1, 2, 5, 5), "b": (3, 2, 3, 3)}),
    "transposed conv": ([helper.make_node("ConvTranspose", ["x", "b"], ["y"])], {}, {"x": (1, 2, 5, 5), "b": (2, 3, 3, 3)}),
    "pool and ceil": ([helper.make_node("MaxPool", ["x"], ["y"], kernel_shape=[2, 2], strides=[2, 2], ceil_mode=1)], {}, {"x": (1, 2, 5, 5)}),
    "pad": ([helper.make_node("Pad", ["x", "p"], ["y"])], {"p": np.int64([1, 0, 2, 0])}, {"x": (2, 3)}),
    "pad nothing": ([helper.make_node("Pad", ["x", "p"], ["y"])], {"p": np.int64([0, 0, 0, 0])}, {"x": (2, 3)}),
    "pads that are given": ([helper.make_node("Cast", ["q"], ["p"], to=TensorProto.INT64), helper.make_node("Pad", ["x", "p"], ["y"])], {}, {"x": (2, 3), "q": (4,)}),
    "cut": ([helper.make_node("Pad", ["x", "p"], ["y"])], {"p": np.int64([-1, 0, 0, 1])}, {"x": (2, 3)}),
    "resize": ([helper.make_node("Resize", ["x", "", "s"], ["y"])], {"s": np.float32([1, 1, 2, 2])}, {"x": (1, 2, 3, 3)}),
    "resize to sizes": ([helper.make_node("Resize", ["x", "", "", "n"], ["y"])], {"n": np.int64([1, 2, 6, 6])}, {"x": (1, 2, 3, 3)}),
    "resize some axes": ([helper.make_node("Resize", ["x", "", "s"], ["y"], axes=[2, 3])], {"s": np.float32([2, 2])}, {"x": (1, 2, 3, 3)}),
    "gather": ([helper.make_node("Cast", ["i"], ["j"], to=TensorProto.INT64), helper.make_node("Gather", ["x", "j"], ["y"])], {}, {"x": (4, 3), "i": (2, 2)}),
    "many axes gathered": ([helper.make_node("Gather", ["x", "j"], ["y"])], {"j": np.zeros([1, 1, 1, 2, 1, 1], np.int64)}, {"x": (1, 1, 2, 3)}),
    "concat": ([helper.make_node("Concat", ["x", "b"], ["y"], axis=0)], {}, {"x": (2, 3), "b": (4, 3)}),
    "concat with a constant": ([helper.make_node("Concat", ["x", "c"], ["y"], axis=1)], {"c": np.ones([2, 2], np.float32)}, {"x": (2, 3)}),
    "flatten": ([helper.make_node("Flatten", ["x"], ["y"], axis=-1)], {}, {"x": (2, 3, 4)}),
    "reshape": ([helper.make_node("Reshape", ["x", "n"], ["y"])], {"n": np.int64([0, -1, 2])}, {"x": (2, 3, 4)}),
    "reshape to nothing": ([helper.make_node("Reshape", ["x", "n"], ["y"], allowzero=1)], {"n": np.int64([0, 4])}, {"x": (2, 0)}),
    "reshape by a shape": ([helper.make_node("Shape", ["b"], ["n"]), helper.make_node("Reshape", ["x", "n"], ["y"])], {}, {"x": (2, 6), "b": (3, 4)}),
    "transpose": ([helper.make_node("Transpose", ["x"], ["y"])], {}, {"x": (2, 3, 4)}),
    "split": ([helper.make_node("Split", ["x"], ["a", "", "c"], num_outputs=3, axis=1), helper.make_node("Add", ["a", "c"], ["y"])], {}, {"x": (2, 9)}),
    "slice": ([helper.make_node("Slice", ["x", "f", "t", "a"], ["y"])], {"f": np.int64([1]), "t": np.int64([3]), "a": np.int64([-1])}, {"x": (2, 4)}),
    "where": ([helper.make_node("Greater", ["x", "b"], ["g"]), helper.make_node("Where", ["g", "x", "b"], ["y"])], {}, {"x": (2, 3), "b": (3,)}),
}


@pytest.mark.parametrize("declared", ["nothing", "ranks", "names", "one name", "sizes"])
@pytest.mark.parametrize("name", UNDECLARED)
def test_shapes_that_are_not_declared(ingot, tmp_path, name, declared):
    """The same bits with passes and without them, whatever is known of the inputs."""
    nodes, constants, inputs = UNDECLARED[name]
    random = np.random.default_rng(1)
    arguments, rows = [], []
    for key, shape in inputs.items():
        array = random.standard_normal(shape).astype(np.float32)
        if key in "iq":
            array = np.zeros(shape, np.float32)
        np.save(tmp_path / f"{key}.npy", array)
        arguments += ["--input", f"{key}={tmp_path}/{key}.npy"]
        rows.append((key, TensorProto.FLOAT, {"nothing": None, "ranks": [None] * len(shape), "names": [f"{key}{d}" for d in range(len(shape))],
                                              "one name": [f"n{n}" for n in shape], "sizes": list(shape)}[declared]))
    # what comes of it is read twice, so that passes ask for its shape
    last = [helper.make_node("Shape", ["y"], ["shape"]), helper.make_node("Reshape", ["y", "shape"], ["r"]), helper.make_node("Relu", ["r"], ["z"])]
    path = save_model(tmp_path / "m.onnx", [*nodes, *last], rows, [("z", TensorProto.FLOAT, None)], list(constants.items()), opset=18)
    done = [ingot("run", path, *arguments, "--checksum", "--quiet", *options) for options in ([], ["--disable-pass", "all"])]
    assert done[0].code == done[1].code == 0, done[0].err + done[1].err
    assert done[0].out == done[1].out


def test_variants():
    """Models that passes rewrite, with one damage each, end with passes as without: tests/fuzz/variants.py."""
    replay = os.path.join(os.environ.get("INGOT_BUILD") or os.path.join(ROOT, "build"), "tests", "fuzz", "replay_run")
    if not os.path.exists(replay):
        pytest.skip("replay_run is not built")
    done = subprocess.run([sys.executable, os.path.join(ROOT, "tests", "fuzz", "variants.py"), replay, "--every", "3"], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
