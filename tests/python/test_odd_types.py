"""Operators with element types that hardly any runtime takes: beside the reference evaluator where it has them, NumPy else."""
import itertools

import numpy as np
import pytest
from onnx import TensorProto, helper, numpy_helper
from onnx.reference import ReferenceEvaluator

from conftest import save_model
from test_movement import Cases, array, ints

DRAW = np.random.default_rng(21)


def drawn(dtype, *shape):
    if dtype == bool:
        return DRAW.random(shape) < 0.3
    if np.issubdtype(dtype, np.complexfloating):
        return ((DRAW.standard_normal(shape) + 1j * DRAW.standard_normal(shape)) / 16).astype(dtype)     # where terms cancel, little is lost
    return DRAW.integers(0, 9, shape).astype(dtype)


@pytest.mark.parametrize("dynamic", [False, True])
@pytest.mark.parametrize("dtype", [bool, np.uint8, np.int64, np.complex64, np.complex128])
def test_grid_sample(ingot, tmp_path, dtype, dynamic):
    cases = Cases()
    on_pixels = np.stack(np.meshgrid(np.linspace(-1, 1, 5), np.linspace(-1, 1, 3)), -1)[None].astype(np.float32)
    between = DRAW.uniform(-1.2, 1.2, (1, 4, 5, 2)).astype(np.float32)
    for mode, padding in itertools.product(("linear", "cubic"), ("zeros", "border", "reflection")):
        for grid, corners in ((on_pixels, 1), (between, 0), (between, 1)):
            if mode == "linear" or padding == "zeros":
                cases.add("GridSample", drawn(dtype, 1, 2, 3, 5), grid, mode=mode, padding_mode=padding, align_corners=corners)
    cases.check(ingot, tmp_path, 20, dynamic)


def run_one(ingot, tmp_path, op_type, inputs, opset, outputs=("o0",), **attributes):
    """The outputs of a one-node model, and the run."""
    names = [f"i{k}" for k in range(len(inputs))]
    node = helper.make_node(op_type, names, list(outputs), **attributes)
    types = [helper.np_dtype_to_tensor_dtype(a.dtype) for a in inputs]
    model = save_model(tmp_path / "m.onnx", [node], [(n, t, a.shape) for n, t, a in zip(names, types, inputs)],
                       [(o, types[2] if o == "v" else types[0], None) for o in outputs], opset=opset)
    arguments = []
    for n, a in zip(names, inputs):
        with open(tmp_path / f"{n}.pb", "wb") as f:
            f.write(numpy_helper.from_array(a, n).SerializeToString())
        arguments += ["--input", f"{n}={tmp_path}/{n}.pb"]
    done = ingot("run", model, *arguments, "--output-dir", tmp_path, "--format", "pb")
    results = []
    for k in range(len(outputs) if done.code == 0 else 0):
        tensor = TensorProto()
        with open(tmp_path / f"output_{k}.pb", "rb") as f:
            tensor.ParseFromString(f.read())
        results.append(numpy_helper.to_array(tensor))
    return model, results, done


@pytest.mark.parametrize("mode", ["linear", "cubic", "nearest"])
@pytest.mark.parametrize("crop", [False, True])
def test_resize_of_complex_numbers_is_that_of_their_parts(ingot, tmp_path, mode, crop):
    x = drawn(np.complex64, 2, 3, 4, 5)
    attributes = {"mode": mode}
    roi = np.array([0, 0, 0.1, 0.6, 1, 1, 1.2, 0.9], np.float32)
    if crop:
        attributes.update(coordinate_transformation_mode="tf_crop_and_resize", extrapolation_value=2.5)
    scales = np.array([1, 1, 1.7, 0.6], np.float32)
    parts = [run_one(ingot, tmp_path, "Resize", [a, roi, scales], 19, **attributes)[1][0] for a in (x.real.copy(), x.imag.copy())]
    if crop:
        parts[1] = np.where(parts[1] == np.float32(2.5), 0, parts[1])
    (got,) = run_one(ingot, tmp_path, "Resize", [x, roi, scales], 19, **attributes)[1]
    np.testing.assert_allclose(got, parts[0] + 1j * parts[1], rtol=1e-6, atol=1e-7)


@pytest.mark.parametrize("mode", ["linear", "cubic"])
def test_resize_of_bool_rounds(ingot, tmp_path, mode):
    x, roi, scales = drawn(bool, 1, 2, 6, 7), np.zeros(0, np.float32), np.array([1, 1, 2, 1.5], np.float32)
    (as_float,) = run_one(ingot, tmp_path, "Resize", [x.astype(np.float32), roi, scales], 19, mode=mode)[1]
    (got,) = run_one(ingot, tmp_path, "Resize", [x, roi, scales], 19, mode=mode)[1]
    assert got.dtype == bool and np.array_equal(got, np.rint(as_float) > 0)


@pytest.mark.parametrize("dynamic", [False, True])
def test_integers_times_fractions(ingot, tmp_path, dynamic):
    cases = Cases()
    for dtype in (np.int32, np.int64, np.uint32, np.uint64):
        a, b, c = (drawn(dtype, *shape) for shape in ((4, 7), (7, 5), (4, 1)))
        cases.add("Gemm", a, b, c, alpha=0.3, beta=1.5)
        cases.add("Gemm", a, b, c[0], alpha=0.5)
        cases.add("Gemm", a, b, alpha=0.7)
        cases.add("Gemm", a, b, c, beta=0.25)
        if np.issubdtype(dtype, np.signedinteger):
            cases.add("Gemm", -a, b, c, alpha=-0.3, beta=-1.5)
            cases.add("Gemm", a.T.copy(), b.T.copy(), c, alpha=-0.9, beta=2.0, transA=1, transB=1)
    cases.check(ingot, tmp_path, 13, dynamic)


@pytest.mark.parametrize("q_type, v_type", list(itertools.permutations([np.float16, np.float32, np.float64], 2)))
def test_attention_with_values_of_another_type(ingot, tmp_path, q_type, v_type):
    q, k, v = (DRAW.standard_normal((2, 4, n, 8)).astype(t) for n, t in ((3, q_type), (5, q_type), (5, v_type)))
    mask = DRAW.random((3, 5)) < 0.7
    mask[:, 0] = True
    past = [DRAW.standard_normal((2, 4, 2, 8)).astype(t) for t in (q_type, v_type)]
    long = np.ones((3, 7), bool)
    for inputs, outputs, attributes in (([q, k, v], ["y"], {}), ([q, k, v, mask], ["y"], {"softcap": 2.0}),
                                       ([q, k, v, long, *past], ["y", "k", "v"], {"is_causal": 1})):
        model, got, done = run_one(ingot, tmp_path, "Attention", inputs, 23, outputs, **attributes)
        assert done.code == 0, done.err
        want = ReferenceEvaluator(model).run(None, {f"i{n}": a for n, a in enumerate(inputs)})
        narrow = np.float16 in (q_type, v_type)
        for g, w in zip(got, want):
            assert g.shape == w.shape
            np.testing.assert_allclose(g.astype(float), w.astype(float), rtol=0, atol=4e-3 if narrow else 1e-5)
        assert got[0].dtype == q_type and (len(got) == 1 or (got[1].dtype, got[2].dtype) == (q_type, v_type))


def text(*shape):
    return np.array([f"t{n}" for n in range(int(np.prod(shape)))], object).reshape(shape)


def texts_model(path, x, image, block, **attributes):
    node = helper.make_node("Col2Im", ["x", "image", "block"], ["y"], **attributes)
    return save_model(path, [node], [("x", TensorProto.STRING, x.shape)], [("y", TensorProto.STRING, None)],
                      [("image", ints(*image)), ("block", ints(*block))], opset=18)


@pytest.mark.parametrize("image, block, attributes", [
    ((4, 6), (2, 3), {"strides": [2, 3]}), ((5, 6), (2, 2), {"strides": [3, 2]}), ((4, 4), (2, 2), {"strides": [2, 2], "pads": [1, 1, 1, 1]}),
    ((4, 5), (2, 1), {"dilations": [2, 1], "strides": [4, 2]})])
def test_blocks_of_strings(ingot, tmp_path, image, block, attributes):
    """Where no two blocks overlap every pixel is one string, or none: as with numbers, whose sums have one term."""
    strides, dilations, pads = (attributes.get(k, d) for k, d in (("strides", [1, 1]), ("dilations", [1, 1]), ("pads", [0] * 4)))
    spots = [(image[i] + pads[i] + pads[2 + i] - dilations[i] * (block[i] - 1) - 1) // strides[i] + 1 for i in range(2)]
    x = text(2, 3 * block[0] * block[1], spots[0] * spots[1])
    want = np.full((2, 3, *image), "", object)
    for n, c, a, b, i, j in itertools.product(range(2), range(3), range(block[0]), range(block[1]), range(spots[0]), range(spots[1])):
        row, column = i * strides[0] - pads[0] + a * dilations[0], j * strides[1] - pads[1] + b * dilations[1]
        if 0 <= row < image[0] and 0 <= column < image[1]:
            want[n, c, row, column] = x[n, (c * block[0] + a) * block[1] + b, i * spots[1] + j]
    model = texts_model(tmp_path / "m.onnx", x, image, block, **attributes)
    with open(tmp_path / "x.pb", "wb") as f:
        f.write(numpy_helper.from_array(x, "x").SerializeToString())
    done = ingot("run", model, "--input", tmp_path / "x.pb", "--output-dir", tmp_path, "--format", "pb")
    assert done.code == 0, done.err
    tensor = TensorProto()
    with open(tmp_path / "output_0.pb", "rb") as f:
        tensor.ParseFromString(f.read())
    assert np.array_equal(numpy_helper.to_array(tensor).astype(str), want.astype(str))


def test_overlapping_blocks_of_strings(ingot, tmp_path):
    x = text(1, 4, 9)
    model = texts_model(tmp_path / "m.onnx", x, (4, 4), (2, 2))
    with open(tmp_path / "x.pb", "wb") as f:
        f.write(numpy_helper.from_array(x, "x").SerializeToString())
    done = ingot("run", model, "--input", tmp_path / "x.pb")
    assert done.code == 4 and done.err.count("\n") == 1 and "strings have no sum" in done.err
