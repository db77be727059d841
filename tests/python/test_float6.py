"""The 6-bit floats: four in three bytes in files, a byte each in memory."""
import ml_dtypes
import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

X = np.array([0.0, -0.0, 0.06, 0.0625, 0.3, -1.1, 7.4, 7.5, 8.0, -27.0, 28.0, 1e9, -1e9], np.float32)
TYPES = [(TensorProto.FLOAT6E2M3, ml_dtypes.float6_e2m3fn), (TensorProto.FLOAT6E3M2, ml_dtypes.float6_e3m2fn)]


def check(ingot, folder, nodes, inputs, want, initializers=()):
    infos = [helper.make_tensor_value_info(f"x{i}", helper.np_dtype_to_tensor_dtype(x.dtype), x.shape) for i, x in enumerate(inputs)]
    output = helper.make_tensor_value_info("y", helper.np_dtype_to_tensor_dtype(want.dtype), want.shape)
    graph = helper.make_graph(nodes, "float6", infos, [output], list(initializers))
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 28)], ir_version=14), folder / "model.onnx")
    for i, x in enumerate(inputs):
        (folder / f"input_{i}.pb").write_bytes(numpy_helper.from_array(x).SerializeToString())
    (folder / "output_0.pb").write_bytes(numpy_helper.from_array(want).SerializeToString())
    done = ingot("verify", folder / "model.onnx", folder, "--rtol", "0", "--atol", "0")
    assert done.code == 0, done.out + done.err


@pytest.mark.parametrize("number, dtype", TYPES, ids=["e2m3", "e3m2"])
def test_cast(ingot, tmp_path, number, dtype):
    check(ingot, tmp_path, [helper.make_node("Cast", ["x0"], ["y"], to=number)], [X], X.astype(dtype))
    check(ingot, tmp_path, [helper.make_node("Cast", ["x0"], ["y"], to=TensorProto.FLOAT)], [X.astype(dtype)], X.astype(dtype).astype(np.float32))
    codes = np.arange(64, dtype=np.uint8).view(dtype)
    check(ingot, tmp_path, [helper.make_node("Cast", ["x0"], ["y"], to=TensorProto.FLOAT16)], [codes], codes.astype(np.float16))


@pytest.mark.parametrize("number, dtype", TYPES, ids=["e2m3", "e3m2"])
@pytest.mark.parametrize("raw", [True, False], ids=["raw", "int32_data"])
@pytest.mark.parametrize("n", [1, 2, 3, 4, 13])
def test_initializer(ingot, tmp_path, number, dtype, raw, n):
    want = X[:n].astype(dtype)
    constant = numpy_helper.from_array(want, "c")
    if not raw:
        constant = TensorProto(name="c", data_type=number, dims=[n], int32_data=want.view(np.uint8).tolist())
    check(ingot, tmp_path, [helper.make_node("Identity", ["c"], ["y"])], [], want, [constant])


@pytest.mark.parametrize("number, dtype", TYPES, ids=["e2m3", "e3m2"])
def test_quantize(ingot, tmp_path, number, dtype):
    scale, zero = np.array(0.5, np.float32), np.array(0, dtype)
    codes = (X / scale).astype(dtype)
    check(ingot, tmp_path, [helper.make_node("QuantizeLinear", ["x0", "x1", "x2"], ["y"])], [X, scale, zero], codes)
    check(ingot, tmp_path, [helper.make_node("DequantizeLinear", ["x0", "x1"], ["y"])], [codes, scale], codes.astype(np.float32) * scale)
