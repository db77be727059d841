"""The Python package: onnxruntime's interface, values of every type, errors, threads, the ONNX backend, the command."""
import json
import os
import subprocess
import sys
import threading

import numpy as np
import onnx
import onnxruntime
import pytest
from conftest import identity, save_model
from onnx import TensorProto, helper

if os.environ.get("INGOT_BINDINGS"):     # tests/run.py has built it: then it must import
    import ingot
else:
    ingot = pytest.importorskip("ingot")

DTYPES = ["float32", "float64", "float16", "int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64", "bool", "complex64"]


def test_as_onnxruntime(corpus):
    """The same code gives the same answers with either engine."""
    for name in ("mynet_ts_bn_dyn", "gru", "bert2_ts"):
        path = os.path.join(corpus(name), "model.onnx")
        results = []
        for engine in (onnxruntime, ingot):
            options = engine.SessionOptions()
            options.intra_op_num_threads = 2
            options.graph_optimization_level = engine.GraphOptimizationLevel.ORT_ENABLE_ALL
            session = engine.InferenceSession(path, sess_options=options, providers=["CPUExecutionProvider"])
            random, feed = np.random.default_rng(1), {}
            for argument in session.get_inputs():
                shape = [d if isinstance(d, int) else 2 for d in argument.shape]
                integer = "int" in argument.type
                feed[argument.name] = random.integers(0, 2, shape).astype("int64") if integer else random.random(shape, "float32")
            outputs = session.run([o.name for o in session.get_outputs()], feed)
            said = [(a.name, a.type, a.shape) for a in session.get_inputs()] + [(a.name, a.type) for a in session.get_outputs()]
            results.append((said, outputs, session.get_modelmeta().producer_name, session.get_providers()))
        ort, own = results
        assert own[0] == ort[0] and own[2] == ort[2] and own[3] == ["CPUExecutionProvider"]
        for mine, theirs in zip(own[1], ort[1]):
            np.testing.assert_allclose(mine, theirs, rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("dtype", DTYPES)
def test_types(tmp_path, dtype):
    number = helper.np_dtype_to_tensor_dtype(np.dtype(dtype))
    session = ingot.InferenceSession(identity(tmp_path / "m.onnx", number, ["N", "M"]))
    for value in (np.arange(6).reshape(2, 3), np.arange(12).reshape(2, 6)[:, ::2], np.arange(6).reshape(3, 2).T, np.zeros((0, 3))):
        value = value.astype(dtype) if value.flags.c_contiguous else np.asarray(value, dtype)[...]
        (result,) = session.run(None, {"x": value})
        assert result.dtype == value.dtype and np.array_equal(result, value)
    strided = np.ones((4, 6), dtype)[::2, ::3]
    assert np.array_equal(session.run(["y"], {"x": strided})[0], strided)


def test_strings_and_sequences(tmp_path):
    session = ingot.InferenceSession(identity(tmp_path / "s.onnx", TensorProto.STRING, ["N"]))
    assert session.run(None, {"x": np.array(["a", "", "ä"], dtype=object)})[0].tolist() == ["a", "", "ä"]
    split = save_model(tmp_path / "q.onnx", [helper.make_node("SplitToSequence", ["x"], ["y"], axis=0)], [("x", TensorProto.FLOAT, [4, 2])], [],
                       opset=17)
    model = onnx.load(split)
    model.graph.output.append(helper.make_tensor_sequence_value_info("y", TensorProto.FLOAT, None))
    x = np.arange(8, dtype="float32").reshape(4, 2)
    (parts,) = ingot.load(model.SerializeToString()).session.run(None, {"x": x})
    assert [p.tolist() for p in parts] == [[row] for row in x.tolist()]


def test_results_are_the_callers(tmp_path):
    """Outputs survive the next run, and are not the input's memory where the model only renames it."""
    call = ingot.load(save_model(tmp_path / "m.onnx", [helper.make_node("Flatten", ["x"], ["y"])], [("x", TensorProto.FLOAT, ["N", 2, 2])],
                                 [("y", TensorProto.FLOAT, ["N", 4])]))
    x = np.ones((1, 2, 2), "float32")
    first = call(x)
    x[:] = 2
    second = call(x)
    assert first.tolist() == [[1] * 4] and second.tolist() == [[2] * 4]
    assert call(np.ones((3, 2, 2), "float32")).shape == (3, 4)


@pytest.mark.parametrize("conv", [True, False])
@pytest.mark.parametrize("threads", [1, 2])
def test_every_run_has_the_same_bits(tmp_path, conv, threads):
    """A classifier goes through its weights in one direction and in the other by turns, whichever batch the run before had."""
    random = np.random.default_rng(3)
    weights = {"w": random.standard_normal((16, 3, 3, 3), "float32"), "b": random.standard_normal((7, 16 * 40 * 40), "float32") / 160}
    nodes = [helper.make_node("Conv", ["x", "w"], ["c"], pads=[1] * 4), helper.make_node("Flatten", ["c"], ["f"]),
             helper.make_node("Gemm", ["f", "b"], ["y"], transB=1)]
    x = random.standard_normal((19, 3, 40, 40) if conv else (19, 16 * 40 * 40), "float32")
    inputs = [("x" if conv else "f", TensorProto.FLOAT, ["N", *x.shape[1:]])]
    model = save_model(tmp_path / "m.onnx", nodes if conv else nodes[2:], inputs, [("y", TensorProto.FLOAT, ["N", 7])],
                       list(weights.items()) if conv else [("b", weights["b"])])
    options = ingot.SessionOptions()
    options.intra_op_num_threads = threads
    once, often = (ingot.InferenceSession(model, sess_options=options) for _ in range(2))
    want = once.run(None, {inputs[0][0]: x})[0]
    image = np.pad(x, ((0, 0), (0, 0), (1, 1), (1, 1))) if conv else None
    windows = np.lib.stride_tricks.sliding_window_view(image, (3, 3), axis=(2, 3)) if conv else None
    flat = np.einsum("ncyxij,ocij->noyx", windows, weights["w"]).reshape(19, -1) if conv else x
    np.testing.assert_allclose(want, flat @ weights["b"].T, rtol=1e-3, atol=1e-3)
    for n in (1, 1, 1, 19, 2, 2, 8, 19, 19, 1):
        assert often.run(None, {inputs[0][0]: x[:n]})[0].tobytes() == want[:n].tobytes()


class Lent:
    """Something that is no array but lends its memory by DLPack, as a torch tensor does."""

    def __init__(self, array):
        self.array = array

    def __dlpack__(self, **arguments):
        return self.array.__dlpack__(**arguments)

    def __dlpack_device__(self):
        return self.array.__dlpack_device__()


def test_dlpack_and_binding(relu):
    session = ingot.InferenceSession(relu)
    x = np.array([[-1, 0, 2]], "float32")
    assert session.run(None, {"x": Lent(x)})[0].tolist() == [[0, 0, 2]]
    binding, out = session.io_binding(), np.empty((1, 3), "float32")
    binding.bind_cpu_input("x", x)
    binding.bind_output("y", "cpu", 0, np.float32, (1, 3), out.ctypes.data)
    session.run_with_iobinding(binding)
    assert out.tolist() == [[0, 0, 2]]
    binding.bind_output("y")
    binding.bind_ortvalue_input("x", ingot.OrtValue.ortvalue_from_numpy(-x))
    session.run_with_iobinding(binding)
    assert binding.copy_outputs_to_cpu()[0].tolist() == [[1, 0, 0]] and np.from_dlpack(binding.get_outputs()[0]).shape == (1, 3)
    with pytest.raises(ingot.InvalidArgument):
        binding.bind_ortvalue_output("y", ingot.OrtValue(np.empty((2, 3), "float32")))
        session.run_with_iobinding(binding)


def test_errors(relu, tmp_path):
    session = ingot.InferenceSession(relu)
    with pytest.raises(ValueError, match=r"input 'x' has shape \[2,4\], expected \[\?,3\]"):
        session.run(None, {"x": np.zeros((2, 4), "float32")})
    with pytest.raises(ingot.InvalidArgument, match="input 'x' is missing"):
        session.run(None, {})
    with pytest.raises(ingot.InvalidArgument, match="no output 'z'"):
        session.run(["z"], {"x": np.zeros((1, 3), "float32")})
    with pytest.raises(OSError, match="nowhere.onnx"):
        ingot.InferenceSession(str(tmp_path / "nowhere.onnx"))
    with pytest.raises(ingot.InvalidGraph):
        ingot.InferenceSession(b"not a model")
    foreign = save_model(tmp_path / "f.onnx", [helper.make_node("Foo", ["x"], ["y"])], [("x", 1, [1])], [("y", 1, [1])])
    with pytest.raises(NotImplementedError, match="Foo"):
        ingot.InferenceSession(foreign)
    assert session.run(None, {"x": np.ones((1, 3), "float32")})[0].sum() == 3    # still in order


def test_threads(corpus):
    """Runs of several threads on one session object do not mix."""
    session = ingot.InferenceSession(os.path.join(corpus("mynet_ts_bn_dyn"), "model.onnx"))
    inputs = [np.random.default_rng(i).random((1 + i % 3, 3, 32, 32), "float32") for i in range(8)]
    expected = [session.run(None, {"input": x})[0] for x in inputs]
    wrong = []

    def work(i):
        for _ in range(20):
            if not np.array_equal(session.run(None, {"input": inputs[i]})[0], expected[i]):
                wrong.append(i)

    threads = [threading.Thread(target=work, args=(i,)) for i in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong


def test_profile_and_optimized_model(relu, tmp_path):
    options = ingot.SessionOptions()
    options.enable_profiling, options.profile_file_prefix = True, str(tmp_path / "p")
    options.optimized_model_filepath = str(tmp_path / "o.onnx")
    session = ingot.InferenceSession(relu, options)
    session.run(None, {"x": np.ones((1, 3), "float32")})
    with open(session.end_profiling(), encoding="utf-8") as f:
        assert [e["args"]["op_name"] for e in json.load(f)] == ["Relu"]
    assert onnx.load(tmp_path / "o.onnx").graph.node[0].op_type == "Relu"


def test_backend():
    """The ONNX project's own runner, on one letter of its node tests; tests/backend.py runs them all."""
    done = subprocess.run([sys.executable, os.path.join(os.path.dirname(__file__), "..", "backend.py"), "test_ma"], capture_output=True, text=True)
    assert done.returncode == 0 and ", 0 failed" in done.stdout.splitlines()[-1], done.stdout[-2000:] + done.stderr[-1000:]


def test_command(relu):
    done = subprocess.run([sys.executable, "-m", "ingot", "inspect", relu], capture_output=True, text=True)
    assert done.returncode == 0 and "Relu" in done.stdout, done.stderr


def test_quick_way(tmp_path):
    """Plain arrays take one call into C; whatever else is given goes the general way, with the same answers and errors."""
    session = ingot.InferenceSession(save_model(
        tmp_path / "m.onnx", [helper.make_node("Add", ["a", "b"], ["sum"]), helper.make_node("Shape", ["sum"], ["shape"])],
        [("a", TensorProto.FLOAT, ["N", "M"]), ("b", TensorProto.FLOAT, [])],
        [("sum", TensorProto.FLOAT, ["N", "M"]), ("shape", TensorProto.INT64, [2])]))
    a, b = np.arange(6, dtype="float32").reshape(2, 3), np.array(2, "float32")
    assert session._runner(None, {"a": a, "b": b})[0].tolist() == (a + b).tolist()
    assert [v.tolist() for v in session.run(["shape", "sum"], {"b": b, "a": a})] == [[2, 3], (a + b).tolist()]
    assert session.run(None, {"a": a[:, ::2], "b": b})[0].tolist() == (a + b)[:, ::2].tolist()      # each of these is not for it
    assert session.run(("sum",), {"a": a, "b": b})[0].tolist() == (a + b).tolist()
    assert session.run(None, {"a": a[:0], "b": b})[0].shape == (0, 3)
    for feed, line in (({"a": a}, "input 'b' is missing"), ({"a": a, "b": b, "c": b}, "no input 'c'"), ({"a": a.astype("int32"), "b": b}, "'a'"),
                       ({"a": a[0], "b": b}, "'a'")):
        with pytest.raises(ingot.InvalidArgument, match=line):
            session.run(None, feed)
    with pytest.raises(ingot.InvalidArgument, match="no output 'z'"):
        session.run(["z"], {"a": a, "b": b})
    counts = sys.getrefcount(a), sys.getrefcount(b)
    for _ in range(100):
        session.run(None, {"a": a, "b": b})
        session._runner(None, {"a": a, "b": a.T})
    assert (sys.getrefcount(a), sys.getrefcount(b)) == counts


def test_free_dimensions(relu):
    options = ingot.SessionOptions()
    options.add_free_dimension_override_by_name("N", 2)
    session = ingot.InferenceSession(relu, options)
    assert session.get_inputs()[0].shape == [2, 3]
    assert session.run(None, {"x": np.ones((2, 3), "float32")})[0].shape == (2, 3)
    with pytest.raises(ingot.InvalidArgument, match="'x' has size 1 in dimension 0"):
        session.run(None, {"x": np.ones((1, 3), "float32")})


def test_run_async(relu):
    session, done, got = ingot.InferenceSession(relu), threading.Event(), []

    def callback(results, user_data, error):
        got.append((results, user_data, error))
        done.set()

    for feed in ({"x": np.ones((1, 3), "float32")}, {}):
        done.clear()
        session.run_async(None, feed, callback, "mine")
        assert done.wait(60)
    assert got[0][0][0].tolist() == [[1, 1, 1]] and got[0][1:] == ("mine", "")
    assert got[1][:2] == ([], "mine") and "'x' is missing" in got[1][2]


def test_ort_values():
    """Each of these says what onnxruntime's says."""
    array = np.arange(6, dtype="float32").reshape(2, 3)
    said = [(v.data_type(), v.element_type(), v.shape(), v.tensor_size_in_bytes(), v.is_tensor(), v.is_sparse_tensor(), v.is_tensor_sequence())
            for v in (engine.OrtValue.ortvalue_from_numpy(a) for engine in (onnxruntime, ingot) for a in (array, array.astype("int64")))]
    assert said[:2] == said[2:]
    assert ingot.OrtValue.from_dlpack(ingot.OrtValue.ortvalue_from_numpy(array)).numpy().tolist() == array.tolist()


def test_what_is_easily_got_wrong(relu):
    """Python's own numbers take the model's type; what cannot be meant is answered by what can."""
    session = ingot.InferenceSession(relu)
    assert session.run(None, {"x": [[-1, 2.5, 3]]})[0].tolist() == [[0, 2.5, 3]]
    with pytest.raises(ingot.InvalidArgument, match=r"\['y'\]"):
        session.run("y", {"x": np.ones((1, 3), "float32")})
    with pytest.raises(ingot.InvalidArgument, match=r"\{'x': array\}, not as list"):
        session.run(None, [np.ones((1, 3), "float32")])
    with pytest.raises(ingot.InvalidArgument, match="has type double, expected float"):
        session.run(None, {"x": np.ones((1, 3))})
