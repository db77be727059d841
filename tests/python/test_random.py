"""Operators that draw numbers: type, shape, moments, and what a seed promises. The values are the engine's own."""
import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

FLOATS = {TensorProto.FLOAT: np.float32, TensorProto.DOUBLE: np.float64, TensorProto.FLOAT16: np.float16}


@pytest.fixture
def draw(ingot, tmp_path):
    """Run one node and give its output."""
    def call(op_type, inputs=(), elem_type=TensorProto.FLOAT, opset=22, **attributes):
        node = helper.make_node(op_type, [f"x{i}" for i in range(len(inputs))], ["y"], **attributes)
        infos = [helper.make_tensor_value_info(f"x{i}", helper.np_dtype_to_tensor_dtype(x.dtype), x.shape) for i, x in enumerate(inputs)]
        graph = helper.make_graph([node], "random", infos, [helper.make_tensor_value_info("y", elem_type, None)])
        onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=9), tmp_path / "model.onnx")
        arguments = []
        for i, x in enumerate(inputs):
            np.save(tmp_path / f"x{i}.npy", x)
            arguments += ["--input", tmp_path / f"x{i}.npy"]
        done = ingot("run", tmp_path / "model.onnx", *arguments, "--output-dir", tmp_path)
        assert done.code == 0, done.err
        return np.load(tmp_path / "y.npy")

    return call


@pytest.mark.parametrize("given", FLOATS.values(), ids=lambda t: t.__name__)
@pytest.mark.parametrize("wanted", [None, TensorProto.BOOL, TensorProto.INT32, TensorProto.DOUBLE], ids=str)
def test_bernoulli(draw, given, wanted):
    p = np.repeat(np.array([0, 0.25, 0.9, 1], given), 4000).reshape(4, 40, 100)
    dtype = wanted or helper.np_dtype_to_tensor_dtype(np.dtype(given))
    y = draw("Bernoulli", [p], dtype, **({"dtype": wanted} if wanted else {}))
    assert y.dtype == helper.tensor_dtype_to_np_dtype(dtype) and y.shape == p.shape
    assert set(np.unique(y.astype(int))) == {0, 1}
    assert np.allclose(y.astype(float).mean(axis=(1, 2)), [0, 0.25, 0.9, 1], atol=0.04)
    assert not y[0].any() and y[3].all()


def test_a_seed_repeats(draw):
    p = np.full((100, 10), 0.5, np.float32)
    assert np.array_equal(draw("Bernoulli", [p], seed=7.0), draw("Bernoulli", [p], seed=7.0))
    assert not np.array_equal(draw("Bernoulli", [p], seed=7.0), draw("Bernoulli", [p], seed=8.0))


@pytest.mark.parametrize("number", FLOATS, ids=lambda n: FLOATS[n].__name__)
def test_moments(draw, number):
    y = draw("RandomNormal", (), number, shape=[50, 400], mean=3.0, scale=2.0, dtype=number)
    assert y.dtype == FLOATS[number] and abs(y.astype(float).mean() - 3) < 0.1 and abs(y.astype(float).std() - 2) < 0.1
    y = draw("RandomUniformLike", [np.zeros((50, 400), FLOATS[number])], number, low=-1.0, high=5.0)
    assert y.shape == (50, 400) and y.min() >= -1 and y.max() <= 5 and abs(y.astype(float).mean() - 2) < 0.1


def test_multinomial(draw):
    y = draw("Multinomial", [np.log(np.array([[0.7, 0.2, 0.1]], np.float32))], TensorProto.INT32, sample_size=20000)
    assert y.shape == (1, 20000) and np.allclose(np.bincount(y[0]) / 20000, [0.7, 0.2, 0.1], atol=0.02)
