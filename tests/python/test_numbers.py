"""What engine/NUMBERS.md promises of bits: quick checks; tests/contract.py has the models."""
import os

import numpy as np
import pytest
from onnx import TensorProto, helper

from conftest import save_model

NAN, INF, TINY = np.float32("nan"), np.float32("inf"), np.float32(1e-39)
X = np.array([NAN, INF, -INF, 0.0, -0.0, TINY, -TINY, 1e38, -3.5, 2.0] * 7, np.float32)


def run(ingot, tmp_path, op, arrays, want, isa, **attributes):
    names = [f"x{i}" for i in range(len(arrays))]
    save_model(tmp_path / "m.onnx", [helper.make_node(op, names, ["y"], **attributes)], [(n, TensorProto.FLOAT, a.shape) for n, a in zip(names, arrays)],
               [("y", TensorProto.FLOAT, None)])
    arguments = []
    for name, a in zip(names, arrays):
        np.save(tmp_path / f"{name}.npy", a)
        arguments += ["--input", f"{name}={tmp_path / name}.npy"]
    done = ingot("run", tmp_path / "m.onnx", "--output-dir", tmp_path, *arguments, env={**os.environ, "INGOT_ISA": isa})
    assert done.code == 0, done.err
    np.testing.assert_array_equal(np.load(tmp_path / "y.npy"), want)


@pytest.mark.parametrize("isa", ["baseline", "avx2", "avx512"])
def test_special_values_follow_ieee_754(ingot, tmp_path, isa):
    other = np.roll(X, 3)
    with np.errstate(all="ignore"):
        run(ingot, tmp_path, "Relu", [X], np.where(X < 0, np.float32(0), X), isa)
        run(ingot, tmp_path, "Add", [X, other], X + other, isa)
        run(ingot, tmp_path, "Mul", [X, other], X * other, isa)
        run(ingot, tmp_path, "Div", [X, other], X / other, isa)
        run(ingot, tmp_path, "Max", [X, other], np.maximum(X, other), isa)
        run(ingot, tmp_path, "Min", [X, other], np.minimum(X, other), isa)
        run(ingot, tmp_path, "Sqrt", [X], np.sqrt(X), isa)
        run(ingot, tmp_path, "Neg", [X], -X, isa)
        run(ingot, tmp_path, "MatMul", [np.eye(10, dtype=np.float32) * np.float32(0.25), X[:20].reshape(10, 2)],
            np.where(np.isfinite(X[:20].reshape(10, 2)).all(0), X[:20].reshape(10, 2) * np.float32(0.25), NAN), isa)


@pytest.mark.parametrize("isa", ["baseline", "avx2", "avx512"])
def test_denormals_are_kept(ingot, tmp_path, isa):
    x = np.full((1, 8, 6, 6), TINY)
    w = np.zeros((8, 8, 1, 1), np.float32)
    w[:, 0] = 0.5
    run(ingot, tmp_path, "Conv", [x, w], np.full((1, 8, 6, 6), TINY * np.float32(0.5)), isa)
    run(ingot, tmp_path, "MatMul", [x[0, 0], np.eye(6, dtype=np.float32)], x[0, 0], isa)
    run(ingot, tmp_path, "ReduceSum", [x[0, 0]], np.float32(np.full((1, 1), 36 * TINY)), isa)


@pytest.mark.parametrize("isa", ["baseline", "avx2", "avx512"])
def test_max_pool_keeps_nan(ingot, tmp_path, isa):
    x = np.arange(64, dtype=np.float32).reshape(1, 1, 8, 8)
    x[0, 0, 2, 3] = NAN
    want = x.reshape(4, 2, 4, 2).max((1, 3)).reshape(1, 1, 4, 4)
    run(ingot, tmp_path, "MaxPool", [x], want, isa, kernel_shape=[2, 2], strides=[2, 2])


@pytest.fixture
def conv(tmp_path):
    rng = np.random.default_rng(3)
    nodes = [helper.make_node("Conv", ["x", "w"], ["c"], pads=[1, 1, 1, 1]), helper.make_node("Sigmoid", ["c"], ["y"])]
    return save_model(tmp_path / "conv.onnx", nodes, [("x", TensorProto.FLOAT, ["N", 64, 7, 7])], [("y", TensorProto.FLOAT, None)],
                      [("w", rng.standard_normal((64, 64, 3, 3)).astype(np.float32))])


def checksum(ingot, model, *arguments, **environment):
    done = ingot("run", model, "--checksum", "--quiet", *arguments, env={**os.environ, **environment})
    assert done.code == 0 and len(done.out.splitlines()) == 2, done.err
    return done.out


def test_checksums_tell_bits_apart(ingot, conv):
    one = checksum(ingot, conv, "--dim", "N=3")
    assert one.startswith("checksum ") and one.splitlines()[1].endswith("all outputs")
    assert {checksum(ingot, conv, "--dim", "N=3", "--threads", str(n)) for n in (1, 2, 5)} == {one}
    assert checksum(ingot, conv, "--dim", "N=2") != one
    assert len({checksum(ingot, conv, "--portable", INGOT_ISA=isa) for isa in ("baseline", "avx2", "avx512")}) == 1


@pytest.mark.parametrize("arguments, isa", [(["--portable"], "avx512"), ([], "avx2"), ([], "baseline")])
def test_only_wide_vectors_choose_by_units(ingot, tmp_path, arguments, isa):
    """A 1x1 convolution that Strassen's way is chosen for where AVX-512 passes through units of half its width."""
    model = save_model(tmp_path / "m.onnx", [helper.make_node("Conv", ["x", "w"], ["y"])], [("x", TensorProto.FLOAT, [1, 512, 14, 14])],
                       [("y", TensorProto.FLOAT, None)], [("w", np.random.default_rng(7).standard_normal((512, 512, 1, 1)).astype(np.float32))])
    assert len({checksum(ingot, model, *arguments, INGOT_ISA=isa, INGOT_WIDE=wide) for wide in ("split", "whole")}) == 1


@pytest.mark.parametrize("channels", [8, 24, 40, 58, 72])
def test_split_vectors_keep_bits(ingot, tmp_path, channels):
    """Where AVX-512 passes through units of half its width, a last vector of one block is computed in its first half."""
    rng = np.random.default_rng(6)
    nodes = [helper.make_node("Conv", ["x", "w", "b"], ["c"]), helper.make_node("Relu", ["c"], ["r"]),
             helper.make_node("Conv", ["r", "v"], ["d"]), helper.make_node("Add", ["d", "c"], ["e"]), helper.make_node("Tanh", ["e"], ["y"])]
    floats = {"w": (channels, 20, 1, 1), "b": (channels,), "v": (channels, channels, 1, 1)}
    model = save_model(tmp_path / "m.onnx", nodes, [("x", TensorProto.FLOAT, [2, 20, 14, 15])], [("y", TensorProto.FLOAT, None)],
                       [(name, rng.standard_normal(shape).astype(np.float32)) for name, shape in floats.items()])
    assert len({checksum(ingot, model, "--threads", str(n), INGOT_WIDE=wide) for n in (1, 2) for wide in ("split", "whole")}) == 1


def of_batches(ingot, tmp_path, model, x, ranges, axis=0, y_axis=0, **environment):
    """y of the first range of x, whose bits all parts that follow have, too."""
    whole = None
    for first, end in ranges:
        np.save(tmp_path / "x.npy", x.take(range(first, end), axis))
        done = ingot("run", model, "--input", tmp_path / "x.npy", "--output-dir", tmp_path, "--batch-invariant", env={**os.environ, **environment})
        assert done.code == 0, done.err
        y = np.load(tmp_path / "y.npy")
        whole = y if whole is None else whole
        np.testing.assert_array_equal(y, whole.take(range(first, end), y_axis))
    return whole


def test_a_sample_has_its_bits_in_any_batch(ingot, conv, tmp_path):
    x = np.random.default_rng(4).standard_normal((16, 64, 7, 7)).astype(np.float32)
    of_batches(ingot, tmp_path, conv, x, [(0, 16), (0, 1), (7, 8), (15, 16)])


@pytest.mark.parametrize("op_type, flip", [("Gemm", 0), ("Gemm", 1), ("MatMul", 0)])
@pytest.mark.parametrize("k, n", [(100, 64), (1500, 300), (2048, 1000), (700, 5000), (20000, 10)])
def test_a_row_has_its_bits_in_any_batch(ingot, tmp_path, op_type, flip, k, n):
    rng = np.random.default_rng(k)
    w, x = rng.standard_normal((n, k) if flip else (k, n)).astype(np.float32), rng.standard_normal((11, k)).astype(np.float32)
    node = helper.make_node(op_type, ["x", "w"], ["y"], **({"transB": flip} if flip else {}))
    model = save_model(tmp_path / "m.onnx", [node], [("x", TensorProto.FLOAT, ["N", k])], [("y", TensorProto.FLOAT, None)], [("w", w)])
    y = of_batches(ingot, tmp_path, model, x, [(0, 11), (4, 5), (2, 6)])
    np.testing.assert_allclose(y, x.astype(float) @ (w.T if flip else w), rtol=1e-4, atol=1e-3 * np.sqrt(k) / 10)


def test_a_normalized_row_has_its_bits_in_any_batch(ingot, tmp_path):
    rng = np.random.default_rng(8)
    parameters = [(name, rng.uniform(0.5, 2, 37).astype(np.float32)) for name in "sbmv"]
    model = save_model(tmp_path / "m.onnx", [helper.make_node("BatchNormalization", ["x", *"sbmv"], ["y"])],
                       [("x", TensorProto.FLOAT, ["N", 37])], [("y", TensorProto.FLOAT, None)], parameters)
    x = rng.standard_normal((9, 37)).astype(np.float32)
    of_batches(ingot, tmp_path, model, x, [(0, 9), (4, 5)])


def test_a_row_of_packed_bits_has_its_bits_in_any_batch(ingot, tmp_path):
    rng = np.random.default_rng(9)
    packed = [("b", rng.integers(0, 256, (40, 4, 16)).astype(np.uint8)), ("s", rng.uniform(0.01, 0.1, 160).astype(np.float32))]
    node = helper.make_node("MatMulNBits", ["x", "b", "s"], ["y"], domain="com.microsoft", K=128, N=40, bits=4, block_size=32)
    model = save_model(tmp_path / "m.onnx", [node], [("x", TensorProto.FLOAT, ["N", 128])], [("y", TensorProto.FLOAT, None)], packed,
                       domains=[("com.microsoft", 1)])
    of_batches(ingot, tmp_path, model, rng.standard_normal((11, 128)).astype(np.float32), [(0, 11), (4, 5), (2, 6)])


@pytest.mark.parametrize("m, k, n", [(1, 384, 1536), (1, 1536, 384), (5, 997, 67), (8, 33, 4095), (3, 9000, 8), (1, 40000, 10), (2, 200, 5000)])
def test_few_rows_have_their_bits_on_any_threads(ingot, tmp_path, m, k, n):
    """Weights from afar that lie by rows, which threads share by chunks of k, or where rows are long, by columns."""
    rng = np.random.default_rng(k)
    floats = {"w": rng.standard_normal((k, n)) / np.sqrt(k), "b": rng.standard_normal(n), "r": rng.standard_normal((m, n))}
    floats = {name: value.astype(np.float32) for name, value in floats.items()}
    nodes = [helper.make_node("MatMul", ["x", "w"], ["p"]), helper.make_node("Add", ["p", "b"], ["q"]),
             helper.make_node("Add", ["q", "r"], ["s"]), helper.make_node("Relu", ["s"], ["y"])]
    model = save_model(tmp_path / "m.onnx", nodes, [("x", TensorProto.FLOAT, [m, k])], [("y", TensorProto.FLOAT, None)], list(floats.items()))
    assert len({checksum(ingot, model, "--threads", str(t)) for t in (1, 2, 3, 5)}) == 1
    x = rng.standard_normal((m, k)).astype(np.float32)
    np.savez(tmp_path / "io.npz", x=x, y=np.maximum(x.astype(float) @ floats["w"] + floats["b"] + floats["r"], 0).astype(np.float32))
    assert ingot("verify", model, tmp_path / "io.npz", "--rtol", "2e-5", "--atol", "2e-5", "--threads", "2").code == 0


@pytest.mark.parametrize("op_type, gates", [("RNN", 1), ("GRU", 3), ("LSTM", 4)])
@pytest.mark.parametrize("isa", ["baseline", "avx2", "avx512"])
def test_a_sequence_has_its_bits_in_any_batch(ingot, tmp_path, op_type, gates, isa):
    rng = np.random.default_rng(5)
    hidden, inputs = 37, 29
    weights = [("w", (1, gates * hidden, inputs)), ("r", (1, gates * hidden, hidden))]
    model = save_model(tmp_path / "m.onnx", [helper.make_node(op_type, ["x", "w", "r"], ["y", "h"], hidden_size=hidden)],
                       [("x", TensorProto.FLOAT, [7, "N", inputs])], [("y", TensorProto.FLOAT, None)],
                       [(n, (rng.standard_normal(s) * 0.2).astype(np.float32)) for n, s in weights])
    x = rng.standard_normal((7, 5, inputs)).astype(np.float32)
    of_batches(ingot, tmp_path, model, x, [(0, 5), (0, 1), (4, 5), (1, 3), (0, 3)], axis=1, y_axis=2, INGOT_ISA=isa)
