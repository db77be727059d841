"""Groups of DequantizeLinear, an operator and QuantizeLinear compute in integers: the operators they become, the results against
the float operator's, and what another engine makes of the rewritten model."""
import numpy as np
import onnx
import pytest
from conftest import exact_options, save_model
from onnx import TensorProto, helper, numpy_helper

SCALE = {"x": 0.03, "z": 0.02, "y": 0.05}


def quantize(name, out, zero, **attributes):
    return helper.make_node("QuantizeLinear", [name, f"{out}_scale", f"{zero}_zero"], [f"{out}_q"], **attributes)


def dequantize(name, out, zero, scale=None, **attributes):
    return helper.make_node("DequantizeLinear", [name, f"{scale or out}_scale", f"{zero}_zero"], [f"{out}_f"], **attributes)


def weights(rng, shape, axis):
    """A constant int8 tensor `w` with a scale for each index of the axis."""
    scales = rng.uniform(0.002, 0.02, shape[axis]).astype(np.float32)
    constants = [("w_q", rng.integers(-127, 128, shape).astype(np.int8)), ("w_scale", scales), ("w_zero", np.zeros(shape[axis], np.int8))]
    return [dequantize("w_q", "w", "w", axis=axis)], constants


def bias(rng, n, constants):
    scale = np.float32(SCALE["x"]) * dict(constants)["w_scale"]
    constants += [("b_q", rng.integers(-3000, 3000, n).astype(np.int32)), ("b_scale", scale), ("b_zero", np.zeros(n, np.int32))]
    return dequantize("b_q", "b", "b", axis=0)


def conv(rng, act=()):
    nodes, constants = weights(rng, (12, 8, 3, 3), 0)
    nodes += [bias(rng, 12, constants), helper.make_node("Conv", ["x_f", "w_f", "b_f"], ["y0" if act else "y_r"], pads=[1, 1, 1, 1])]
    if act:
        nodes.append(helper.make_node(act[0], ["y0", *[f"limit{i}" for i in range(len(act) - 1)]], ["y_r"]))
        constants += [(f"limit{i}", np.float32(v)) for i, v in enumerate(act[1:])]
    return nodes, constants, (2, 8, 9, 7), ["QLinearConv"] + (["Clip"] if act else [])


def gemm(rng, transposed):
    nodes, constants = weights(rng, (10, 24) if transposed else (24, 10), 0 if transposed else 1)
    nodes += [bias(rng, 10, constants), helper.make_node("Gemm", ["x_f", "w_f", "b_f"], ["y_r"], transB=int(transposed))]
    return nodes, constants, (5, 24), ["QGemm"]


def matmul(rng):
    nodes, constants = weights(rng, (24, 10), 1)
    return nodes + [helper.make_node("MatMul", ["x_f", "w_f"], ["y_r"])], constants, (2, 3, 24), ["QLinearMatMul"]


def one(op_type, becomes, shape=(2, 16, 6, 5), constants=(), **attributes):
    inputs = ["x_f", *[name for name, _ in constants]]
    return [helper.make_node(op_type, inputs, ["y_r"], **attributes)], list(constants), shape, becomes


CASES = {
    "conv": lambda rng: conv(rng),
    "conv_relu": lambda rng: conv(rng, ("Relu",)),
    "conv_clip": lambda rng: conv(rng, ("Clip", 0.0, 3.0)),
    "gemm": lambda rng: gemm(rng, False),
    "gemm_transposed": lambda rng: gemm(rng, True),
    "matmul": matmul,
    "add": lambda rng: ([helper.make_node("Add", ["x_f", "z_f"], ["y_r"])], [], (2, 16, 6, 5), ["QLinearAdd"]),
    "mul": lambda rng: ([helper.make_node("Mul", ["z_f", "x_f"], ["y_r"])], [], (2, 16, 6, 5), ["QLinearMul"]),
    "concat": lambda rng: ([helper.make_node("Concat", ["x_f", "z_f"], ["y_r"], axis=1)], [], (2, 4, 6, 5), ["QLinearConcat"]),
    "global": lambda rng: one("GlobalAveragePool", ["QLinearGlobalAveragePool"]),
    "average": lambda rng: one("AveragePool", ["QLinearAveragePool"], kernel_shape=[3, 2], pads=[1, 1, 0, 0], strides=[2, 1]),
    "mean": lambda rng: one("ReduceMean", ["QLinearGlobalAveragePool", "Squeeze"], axes=[2, 3], keepdims=0),
    "sigmoid": lambda rng: one("Sigmoid", ["QLinearSigmoid"]),
    "leaky": lambda rng: one("LeakyRelu", ["QLinearLeakyRelu"], alpha=0.2),
    "max": lambda rng: one("MaxPool", ["MaxPool"], kernel_shape=[3, 3], strides=[2, 2], pads=[1, 1, 1, 1]),
    "reshape": lambda rng: one("Reshape", ["Reshape"], constants=[("shape", np.array([2, -1], np.int64))]),
    "transpose": lambda rng: one("Transpose", ["Transpose"], perm=[0, 2, 3, 1]),
}
SAME = ("max", "reshape", "transpose")      # operators whose result has the input's scale


def build(path, name, dtype):
    rng = np.random.default_rng(list(name.encode()))
    nodes, constants, shape, becomes = CASES[name](rng)
    zero = dtype(5 if dtype == np.uint8 and name.endswith("relu") else 120 if dtype == np.uint8 else -9)
    out = "x" if name in SAME else "y"
    constants += [(f"{n}_scale", np.float32(s)) for n, s in SCALE.items()] + [("a_zero", zero)]
    z_shape = (16, 1, 1) if name == "add" else shape
    inputs = [("x", TensorProto.FLOAT, shape)] + ([("z", TensorProto.FLOAT, z_shape)] if any("z_f" in n.input for n in nodes) else [])
    before = [q for n, _, _ in inputs for q in (quantize(n, n, "a"), dequantize(f"{n}_q", n, "a"))]
    q = helper.make_node("QuantizeLinear", ["y_r", f"{out}_scale", "a_zero"], ["y_q"])
    dq = helper.make_node("DequantizeLinear", ["y_q", f"{out}_scale", "a_zero"], ["y"])
    model = save_model(path, before + nodes + [q, dq], inputs, [("y", TensorProto.FLOAT, None)], constants, opset=13)
    feeds = {n: rng.uniform(-3, 3, s).astype(np.float32) for n, _, s in inputs}
    return model, feeds, becomes, SCALE[out]


@pytest.mark.parametrize("dtype", [np.uint8, np.int8])
@pytest.mark.parametrize("name", CASES)
def test_group(ingot, tmp_path, name, dtype):
    ort = pytest.importorskip("onnxruntime")
    model, feeds, becomes, scale = build(tmp_path / "m.onnx", name, dtype)
    options = ort.SessionOptions()
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
    want = ort.InferenceSession(model, options, providers=["CPUExecutionProvider"]).run(None, feeds)[0]
    arguments = []
    for n, x in feeds.items():
        np.save(tmp_path / f"{n}.npy", x)
        arguments += ["--input", f"{n}={tmp_path / n}.npy"]
    done = ingot("run", model, *arguments, "--output-dir", tmp_path)
    assert done.code == 0, done.err
    got = np.load(tmp_path / "y.npy")
    assert got.shape == want.shape
    steps = np.abs(got - want) / scale
    assert steps.max() < 1.01 and (steps > 0.5).sum() <= 1 + 0.03 * steps.size, (steps.max(), (steps > 0.5).mean())
    done = ingot("optimize", model, "-o", tmp_path / "o.onnx")
    assert done.code == 0, done.err
    kinds = [n.op_type for n in onnx.load(str(tmp_path / "o.onnx")).graph.node]
    clamped = "Clip" not in becomes or not (name == "conv_relu" and dtype == np.int8 and "Clip" not in kinds)
    assert clamped and [k for k in kinds if k not in ("QuantizeLinear", "DequantizeLinear")] == becomes
    assert kinds.count("DequantizeLinear") == 1 and kinds.count("QuantizeLinear") == len(feeds)
    exact = exact_options(ort) if dtype == np.uint8 else ort.SessionOptions()
    again = ort.InferenceSession(str(tmp_path / "o.onnx"), exact, providers=["CPUExecutionProvider"]).run(None, feeds)[0]
    assert (np.abs(again - want) / scale).max() < 1.01


@pytest.mark.parametrize("shared", [False, True])
def test_dynamic(ingot, tmp_path, shared):
    """DynamicQuantizeLinear, MatMulInteger, Cast, Mul and Add are one operator, and give the same numbers to the bit."""
    ort = pytest.importorskip("onnxruntime")
    rng = np.random.default_rng(3)
    nodes, constants = [helper.make_node("DynamicQuantizeLinear", ["x"], ["q", "s", "z"])], []
    for k in range(1 + shared):
        constants += [(f"w{k}", rng.integers(0, 256, (24, 10)).astype(np.uint8)), (f"ws{k}", rng.uniform(0.001, 0.01, 10).astype(np.float32)),
                      (f"wz{k}", rng.integers(100, 140, 10).astype(np.uint8)), (f"b{k}", rng.uniform(-1, 1, 10).astype(np.float32))]
        nodes += [helper.make_node("MatMulInteger", ["q", f"w{k}", "z", f"wz{k}"], [f"m{k}"]),
                  helper.make_node("Cast", [f"m{k}"], [f"c{k}"], to=TensorProto.FLOAT), helper.make_node("Mul", ["s", f"ws{k}"], [f"ss{k}"]),
                  helper.make_node("Mul", [f"c{k}", f"ss{k}"], [f"t{k}"]), helper.make_node("Add", [f"b{k}", f"t{k}"], [f"y{k}"])]
    outputs = [(f"y{k}", TensorProto.FLOAT, (2, 3, 10)) for k in range(1 + shared)]
    model = save_model(tmp_path / "m.onnx", nodes, [("x", TensorProto.FLOAT, (2, 3, 24))], outputs, constants)
    x = rng.uniform(-3, 2, (2, 3, 24)).astype(np.float32)
    np.save(tmp_path / "x.npy", x)
    results = []
    for options in ([], ["--disable-pass", "fuse-dynamic-quantize"]):
        assert ingot("run", model, "--input", f"x={tmp_path / 'x.npy'}", "--output-dir", tmp_path, *options).code == 0
        results.append([np.load(tmp_path / f"{name}.npy") for name, _, _ in outputs])
    np.testing.assert_array_equal(results[0], results[1])
    assert ingot("optimize", model, "-o", tmp_path / "o.onnx").code == 0
    kinds = [n.op_type for n in onnx.load(str(tmp_path / "o.onnx")).graph.node]
    assert kinds == (["DynamicQuantizeLinear"] + 2 * ["MatMulIntegerToFloat"] if shared else ["DynamicQuantizeMatMul"])
    again = ort.InferenceSession(str(tmp_path / "o.onnx"), providers=["CPUExecutionProvider"]).run(None, {"x": x})
    np.testing.assert_allclose(results[0], again, rtol=1e-4, atol=1e-4)


def test_weights_alone_stay_float(ingot, tmp_path):
    """Without quantized activations there is nothing to compute in integers."""
    rng = np.random.default_rng(1)
    nodes, constants = weights(rng, (24, 10), 1)
    nodes.append(helper.make_node("MatMul", ["x", "w_f"], ["y"]))
    model = save_model(tmp_path / "m.onnx", nodes, [("x", TensorProto.FLOAT, (3, 24))], [("y", TensorProto.FLOAT, (3, 10))], constants)
    assert ingot("optimize", model, "-o", tmp_path / "o.onnx").code == 0
    assert [n.op_type for n in onnx.load(str(tmp_path / "o.onnx")).graph.node] == ["MatMul"]


def test_weights_may_be_quantized_in_the_model(ingot, tmp_path):
    """Training for quantization leaves float weights with QuantizeLinear and DequantizeLinear behind them."""
    rng = np.random.default_rng(5)
    constants = [("w", rng.uniform(-1, 1, (12, 8, 3, 3)).astype(np.float32)), ("w_scale", rng.uniform(0.01, 0.02, 12).astype(np.float32)),
                 ("w_zero", np.zeros(12, np.int8)), ("x_scale", np.float32(0.03)), ("y_scale", np.float32(0.05)), ("a_zero", np.int8(0))]
    nodes = [quantize("x", "x", "a"), dequantize("x_q", "x", "a"), quantize("w", "w", "w", axis=0), dequantize("w_q", "w", "w", axis=0),
             helper.make_node("Conv", ["x_f", "w_f"], ["y_r"]), helper.make_node("Relu", ["y_r"], ["y0"]), quantize("y0", "y", "a"),
             helper.make_node("DequantizeLinear", ["y_q", "y_scale", "a_zero"], ["y"])]
    model = save_model(tmp_path / "m.onnx", nodes, [("x", TensorProto.FLOAT, (1, 8, 6, 5))], [("y", TensorProto.FLOAT, None)], constants)
    np.save(tmp_path / "x.npy", rng.uniform(-3, 3, (1, 8, 6, 5)).astype(np.float32))
    results = []
    for options in ([], ["--disable-pass", "use-integers"]):
        assert ingot("run", model, "--input", f"x={tmp_path / 'x.npy'}", "--output-dir", tmp_path, *options).code == 0
        results.append(np.load(tmp_path / "y.npy"))
    assert np.abs(results[0] - results[1]).max() < 0.0501 and results[0].any()
    assert ingot("optimize", model, "-o", tmp_path / "o.onnx").code == 0
    kinds = [n.op_type for n in onnx.load(str(tmp_path / "o.onnx")).graph.node]
    assert kinds == ["QuantizeLinear", "QLinearConv", "Clip", "DequantizeLinear"]


def test_result_may_stay_float(ingot, tmp_path):
    """A product whose result nobody quantizes is one of integers all the same."""
    rng = np.random.default_rng(2)
    nodes, constants = weights(rng, (24, 10), 1)
    constants += [("x_scale", np.float32(0.03)), ("a_zero", np.uint8(120))]
    nodes = [quantize("x", "x", "a"), dequantize("x_q", "x", "a"), *nodes, helper.make_node("MatMul", ["x_f", "w_f"], ["y"])]
    model = save_model(tmp_path / "m.onnx", nodes, [("x", TensorProto.FLOAT, (3, 24))], [("y", TensorProto.FLOAT, (3, 10))], constants)
    x = rng.uniform(-3, 3, (3, 24)).astype(np.float32)
    np.save(tmp_path / "x.npy", x)
    assert ingot("optimize", model, "-o", tmp_path / "o.onnx").code == 0
    assert [n.op_type for n in onnx.load(str(tmp_path / "o.onnx")).graph.node] == ["QuantizeLinear", "MatMulIntegerToFloat"]
    assert ingot("run", model, "--input", f"x={tmp_path / 'x.npy'}", "--output-dir", tmp_path).code == 0
    values = dict(constants)
    bytes_ = np.clip(np.rint(x / np.float32(0.03)) + 120, 0, 255) - 120
    want = bytes_ @ values["w_q"].astype(np.float64) * 0.03 * values["w_scale"]
    np.testing.assert_allclose(np.load(tmp_path / "y.npy"), want, rtol=1e-5, atol=1e-5)
