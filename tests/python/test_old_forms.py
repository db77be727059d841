"""Operators in the forms of old opsets, which are rewritten to the newest: results beside NumPy."""
import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, helper, numpy_helper

DRAW = np.random.default_rng(11)
X = DRAW.standard_normal((2, 3, 4, 5)).astype(np.float32)
ROW = DRAW.standard_normal(3).astype(np.float32)
ONES = np.ones_like(X)


def softmax(x, axis):
    flat = x.reshape(int(np.prod(x.shape[:axis])), -1)
    e = np.exp(flat - flat.max(axis=1, keepdims=True))
    return (e / e.sum(axis=1, keepdims=True)).reshape(x.shape)


def normalized(x, scale, bias, mean, variance):
    shape = (1, -1, 1, 1)
    return (x - mean.reshape(shape)) / np.sqrt(variance.reshape(shape) + 1e-5) * scale.reshape(shape) + bias.reshape(shape)


# op_type, opset, attributes, inputs, expected outputs
FORMS = [
    ("Add", 1, {"broadcast": 1, "axis": 1, "consumed_inputs": [0, 0]}, [X, ROW], [X + ROW.reshape(3, 1, 1)]),
    ("Mul", 6, {"broadcast": 1, "axis": -3}, [X, ROW], [X * ROW.reshape(3, 1, 1)]),
    ("Sub", 6, {"broadcast": 1}, [X, X[0, 0, 0]], [X - X[0, 0, 0]]),
    ("Pow", 1, {"broadcast": 1}, [np.abs(X), np.float32(2)], [np.abs(X) ** 2]),
    ("And", 1, {"broadcast": 1, "axis": 1}, [X > 0, ROW > 0], [(X > 0) & (ROW > 0).reshape(3, 1, 1)]),
    ("Greater", 1, {"broadcast": 1, "axis": 1}, [X, ROW], [X > ROW.reshape(3, 1, 1)]),
    ("Equal", 1, {"broadcast": 1}, [np.arange(6).reshape(2, 3), np.array([0, 4, 5])], [np.array([[1, 0, 0], [0, 1, 1]], bool)]),
    ("BatchNormalization", 1, {"consumed_inputs": [0] * 5, "is_test": 1}, [X, ROW, ROW, ROW, np.abs(ROW)],
     [normalized(X, ROW, ROW, ROW, np.abs(ROW))]),
    ("BatchNormalization", 6, {"is_test": 1}, [X, ROW, ROW, ROW, np.abs(ROW)], [normalized(X, ROW, ROW, ROW, np.abs(ROW))]),
    ("BatchNormalization", 7, {"spatial": 0}, [X, X[0], X[1], X[0], np.abs(X[1])],
     [(X - X[0]) / np.sqrt(np.abs(X[1]) + 1e-5) * X[0] + X[1]]),
    ("Cast", 1, {"to": "INT64"}, [X * 3], [(X * 3).astype(np.int64)]),
    ("Clip", 1, {"min": -0.5, "max": 0.25, "consumed_inputs": [0]}, [X], [np.clip(X, -0.5, 0.25)]),
    ("Clip", 6, {"max": 0.25}, [X], [np.minimum(X, 0.25)]),
    ("Concat", 1, {}, [X, X], [np.concatenate([X, X], 1)]),
    ("Dropout", 1, {"is_test": 1, "consumed_inputs": [0]}, [X], [X]),
    ("Dropout", 6, {"is_test": 1, "ratio": 0.7}, [X], [X, ONES]),
    ("Dropout", 7, {"ratio": 0.7}, [X], [X, ONES]),
    ("Dropout", 10, {"ratio": 0.7}, [X], [X, ONES > 0]),
    ("Elu", 1, {"alpha": 2.0, "consumed_inputs": [0]}, [X], [np.where(X < 0, 2 * np.expm1(X), X)]),
    ("Gemm", 1, {"broadcast": 1, "alpha": 0.5, "transB": 1}, [X[0, 0], X[1, 0], np.float32(3)], [0.5 * X[0, 0] @ X[1, 0].T + 3]),
    ("Hardmax", 1, {"axis": 3}, [X], [(X == X.max(axis=3, keepdims=True)).astype(np.float32)]),
    ("LogSoftmax", 1, {}, [X], [np.log(softmax(X, 1))]),
    ("Max", 1, {"consumed_inputs": [0, 0]}, [X, ONES], [np.maximum(X, 1)]),
    ("PRelu", 1, {"consumed_inputs": [0, 0]}, [X, ROW], [np.where(X < 0, X * ROW.reshape(3, 1, 1), X)]),
    ("PRelu", 6, {}, [X, ROW[:1]], [np.where(X < 0, X * ROW[0], X)]),
    ("PRelu", 6, {}, [X, ROW.reshape(3, 1, 1)], [np.where(X < 0, X * ROW.reshape(3, 1, 1), X)]),
    ("Pad", 1, {"paddings": [0, 1, 0, 0, 0, 0, 2, 0], "value": 1.5}, [X],
     [np.pad(X, ((0, 0), (1, 0), (0, 2), (0, 0)), constant_values=1.5)]),
    ("Pad", 2, {"pads": [0, 0, 1, 1, 0, 0, 1, 1], "mode": "reflect"}, [X], [np.pad(X, ((0, 0), (0, 0), (1, 1), (1, 1)), "reflect")]),
    ("ReduceSum", 1, {"axes": [1, -1], "keepdims": 0}, [X], [X.sum(axis=(1, 3))]),
    ("ReduceMax", 11, {"axes": [2]}, [X], [X.max(axis=2, keepdims=True)]),
    ("Reshape", 1, {"shape": [2, 0, -1], "consumed_inputs": [0]}, [X], [X.reshape(2, 3, 20)]),
    ("Scatter", 9, {"axis": 1}, [X[0, 0], np.array([[1, 3]]), np.array([[7, 8]], np.float32)],
     [np.concatenate([[[X[0, 0, 0, 0], 7, X[0, 0, 0, 2], 8, X[0, 0, 0, 4]]], X[0, 0, 1:]]).astype(np.float32)]),
    ("Selu", 1, {"consumed_inputs": [0]}, [X], [1.0507 * np.where(X < 0, 1.6732 * np.expm1(X), X)]),
    ("Slice", 1, {"starts": [1, -3], "ends": [2, 1000], "axes": [1, 3]}, [X], [X[:, 1:2, :, -3:]]),
    ("Softmax", 1, {"axis": 2}, [X], [softmax(X, 2)]),
    ("Softmax", 11, {}, [X], [softmax(X, 1)]),
    ("Split", 1, {"axis": 1, "split": [1, 2]}, [X], [X[:, :1], X[:, 1:]]),
    ("Split", 1, {"axis": 1}, [X, np.array([2, 1], np.float32)], [X[:, :2], X[:, 2:]]),
    ("Split", 2, {"axis": 2}, [X], [X[:, :, :2], X[:, :, 2:]]),
    ("Squeeze", 1, {"axes": [0]}, [X[:1]], [X[0]]),
    ("Tile", 1, {}, [X, np.array(2, np.float32), np.array(1, np.float32)], [np.concatenate([X, X], 1)]),
    ("TopK", 1, {"k": 2, "axis": 2}, [X], [-np.sort(-X, axis=2)[:, :, :2], np.argsort(-X, axis=2, kind="stable")[:, :, :2]]),
    ("Unsqueeze", 1, {"axes": [0, 3]}, [X[0]], [X[0][None, :, :, None]]),
    ("Upsample", 7, {"scales": [1.0, 1.0, 2.0, 3.0]}, [X], [X.repeat(2, 2).repeat(3, 3)]),
    ("Upsample", 9, {}, [X, np.array([1, 1, 2, 1], np.float32)], [X.repeat(2, 2)]),
    ("Resize", 10, {}, [X, np.array([1, 1, 2, 2], np.float32)], [X.repeat(2, 2).repeat(2, 3)]),
]


@pytest.mark.parametrize("constant", [False, True], ids=["fed", "constant"])
@pytest.mark.parametrize("op_type, opset, attributes, inputs, want", FORMS, ids=lambda v: str(v) if isinstance(v, (str, int)) else "")
def test_old_form(ingot, tmp_path, op_type, opset, attributes, inputs, want, constant):
    """Once with all inputs fed, once with all but the first as initializers."""
    inputs = [np.asarray(x) for x in inputs]
    node = helper.make_node(op_type, [f"x{i}" for i in range(len(inputs))], [f"y{i}" for i in range(len(want))], **attributes)
    infos = [helper.make_tensor_value_info(f"x{i}", helper.np_dtype_to_tensor_dtype(x.dtype), x.shape) for i, x in enumerate(inputs)]
    outputs = [helper.make_tensor_value_info(f"y{i}", TensorProto.UNDEFINED, None) for i in range(len(want))]
    for i, y in enumerate(want):
        outputs[i].type.tensor_type.elem_type = helper.np_dtype_to_tensor_dtype(np.asarray(y).dtype)
        outputs[i].type.tensor_type.ClearField("shape")
    fed = 1 if constant else len(inputs)
    graph = helper.make_graph([node], "old", infos[:fed], outputs, [numpy_helper.from_array(x, f"x{i}") for i, x in enumerate(inputs)][fed:])
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=4), tmp_path / "model.onnx")
    for kind, values in (("input", inputs[:fed]), ("output", want)):
        for i, value in enumerate(values):
            value = np.asarray(value)
            value = value.astype(np.float32) if value.dtype == np.float64 else value
            (tmp_path / f"{kind}_{i}.pb").write_bytes(numpy_helper.from_array(value).SerializeToString())
    done = ingot("verify", tmp_path / "model.onnx", tmp_path, "--rtol", "1e-5", "--atol", "1e-6")
    assert done.code == 0, done.out + done.err


@pytest.mark.parametrize("lengths", [None, [3, 1]], ids=["whole", "sequence_lens"])
@pytest.mark.parametrize("directions", [[0, 0], [1, 0], [1, 1]], ids=str)
def test_batched_scan(ingot, tmp_path, lengths, directions):
    """Scan of opset 8: state and two scanned inputs with a batch in front, beside a loop in NumPy."""
    state, x, y = (DRAW.standard_normal(shape).astype(np.float32) for shape in ((2, 4), (2, 3, 4), (2, 3, 4)))
    names = [("s", (4,)), ("a", (4,)), ("b", (4,)), ("t", (4,)), ("z", (4,))]
    infos = {name: helper.make_tensor_value_info(name, TensorProto.FLOAT, shape) for name, shape in names}
    body = helper.make_graph([helper.make_node("Add", ["s", "a"], ["t"]), helper.make_node("Mul", ["t", "b"], ["z"])], "body",
                             [infos["s"], infos["a"], infos["b"]], [infos["t"], infos["z"]])
    node = helper.make_node("Scan", ["n" if lengths else "", "state", "x", "y"], ["last", "all"], body=body, num_scan_inputs=2,
                            directions=directions)
    inputs = {"state": state, "x": x, "y": y} | ({"n": np.array(lengths)} if lengths else {})
    last, every = state.copy(), np.zeros_like(x)
    for i in range(2):
        n = lengths[i] if lengths else 3
        for k in range(n):
            last[i] += x[i, n - 1 - k if directions[0] else k]
            every[i, k] = last[i] * y[i, n - 1 - k if directions[1] else k]
    outputs = [helper.make_tensor_value_info("last", TensorProto.FLOAT, [2, 4]), helper.make_tensor_value_info("all", TensorProto.FLOAT, [2, 3, 4])]
    graph = helper.make_graph([node], "scan", [helper.make_tensor_value_info(k, helper.np_dtype_to_tensor_dtype(v.dtype), v.shape)
                                               for k, v in inputs.items()], outputs)
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 8)], ir_version=4), tmp_path / "model.onnx")
    for kind, values in (("input", inputs.values()), ("output", (last, every))):
        for i, value in enumerate(values):
            (tmp_path / f"{kind}_{i}.pb").write_bytes(numpy_helper.from_array(value).SerializeToString())
    done = ingot("verify", tmp_path / "model.onnx", tmp_path, "--rtol", "1e-5", "--atol", "1e-6")
    assert done.code == 0, done.out + done.err
    session = onnxruntime.InferenceSession(str(tmp_path / "model.onnx"))
    for got, want in zip(session.run(None, inputs), (last, every)):
        assert np.allclose(got, want, 1e-5, 1e-6)


@pytest.mark.parametrize("size", [[2, 3, 9, 10], ["n", 3, "h", "w"]], ids=["fixed", "dynamic"])
@pytest.mark.parametrize("producer", ["pytorch", "another"])
def test_aligned_corners(ingot, tmp_path, producer, size):
    """PyTorch aligns the corners of whole pixels whatever the scales say; others those of the scaled size."""
    x, scales = DRAW.standard_normal((2, 3, 9, 10)).astype(np.float32), np.array([1, 1, 0.5, 1.67], np.float32)
    want = x
    for axis in (2, 3):
        n, scaled = want.shape[axis], float(want.shape[axis] * scales[axis])
        out = int(scaled)
        at = np.arange(out) * (n - 1) / ((out if producer == "pytorch" else scaled) - 1)
        want = np.apply_along_axis(lambda row: np.interp(at, np.arange(n), row), axis, want)
    node = helper.make_node("Resize", ["x", "", "scales"], ["y"], mode="linear", coordinate_transformation_mode="align_corners")
    graph = helper.make_graph([node], "resize", [helper.make_tensor_value_info("x", TensorProto.FLOAT, size)],
                              [helper.make_tensor_value_info("y", TensorProto.FLOAT, None)], [numpy_helper.from_array(scales, "scales")])
    onnx.save(helper.make_model(graph, producer_name=producer, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), tmp_path / "model.onnx")
    for kind, value in (("input", x), ("output", want.astype(np.float32))):
        (tmp_path / f"{kind}_0.pb").write_bytes(numpy_helper.from_array(value).SerializeToString())
    for options in ((), ("--disable-pass", "all")):
        done = ingot("verify", tmp_path / "model.onnx", tmp_path, "--rtol", "1e-5", "--atol", "1e-5", *options)
        assert done.code == 0, done.out + done.err
