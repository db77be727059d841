"""Every command on every kind of file, where the k-th allocation fails, for every k that there is."""
import errno
import os
import shutil

import numpy as np
import onnx
import PIL.Image
import pytest
from onnx import TensorProto, helper, numpy_helper

import test_dumps
from conftest import identity, save_model
from test_dumps import Tensor, fake_torch  # noqa: F401
from test_robust import LIMIT, OK, faulty

X = np.arange(6, dtype=np.float32).reshape(2, 3) - 2
DIFFERS = 1


def branching(path, weight, op, version=17):
    """y = op(Relu(x w)) + x, with a subgraph beside it."""
    then = helper.make_graph([helper.make_node(op, ["r"], ["t"])], "then", [], [helper.make_tensor_value_info("t", TensorProto.FLOAT, None)])
    other = helper.make_graph([helper.make_node("Identity", ["r"], ["e"])], "else", [], [helper.make_tensor_value_info("e", TensorProto.FLOAT, None)])
    nodes = [helper.make_node("MatMul", ["x", "w"], ["m"], name="/a/MatMul"), helper.make_node("Relu", ["m"], ["r"], name="/b/Relu"),
             helper.make_node("If", ["flag"], ["i"], then_branch=then, else_branch=other), helper.make_node("Add", ["i", "x"], ["y"], name="/c/Add")]
    return save_model(path, nodes, [("x", TensorProto.FLOAT, ["N", 3]), ("flag", TensorProto.BOOL, [])], [("y", TensorProto.FLOAT, ["N", 3])], [("w", weight)],
                      opset=version)


@pytest.fixture
def files(tmp_path, monkeypatch):
    """Small models, and an input for them in each form."""
    monkeypatch.chdir(tmp_path)
    nodes = [helper.make_node("MatMul", ["x", "w"], ["m"], name="/a/MatMul"), helper.make_node("Relu", ["m"], ["r"], name="/b/Relu"),
             helper.make_node("Add", ["r", "x"], ["y"], name="/c/Add")]
    w = np.float32([[1, 0, 2], [0, 1, 0], [1, 1, 0]])
    save_model("m.onnx", nodes, [("x", TensorProto.FLOAT, ["N", 3])], [("y", TensorProto.FLOAT, ["N", 3])], [("w", w)])
    save_model("bad.onnx", nodes, [("x", TensorProto.FLOAT, ["N", 3])], [("y", TensorProto.FLOAT, ["N", 3])], [("w", w + 1)])
    branching("if.onnx", w, "Sigmoid")
    branching("else.onnx", w + np.float32(0.5), "Tanh", 18)
    identity("picture.onnx", TensorProto.FLOAT, ["N", 3, 4, 4])
    identity("text.onnx", TensorProto.STRING, [2])
    save_model("sequence.onnx", [helper.make_node("SequenceConstruct", ["x", "x"], ["y"])], [("x", TensorProto.FLOAT, [2, 3])], [])
    model = onnx.load("sequence.onnx")
    model.graph.output.append(helper.make_tensor_sequence_value_info("y", TensorProto.FLOAT, [2, 3]))
    onnx.save(model, "sequence.onnx")
    np.save("text.npy", np.array(["one", "zwölf"]))
    np.save("x.npy", X)
    np.save("turned.npy", np.asfortranarray(X))
    np.savez_compressed("x.npz", x=X)
    test_dumps.save_zip("x.pt", {"x": Tensor(X)})
    (tmp_path / "old.pt").write_bytes(test_dumps.legacy_bytes({"x": Tensor(X)}))
    (tmp_path / "x.safetensors").write_bytes(test_dumps.safetensors_bytes({"x": X}))
    (tmp_path / "x.pb").write_bytes(numpy_helper.from_array(X).SerializeToString())
    for kind in ("png", "jpg", "webp"):
        PIL.Image.new("RGB", (7, 9), (200, 100, 50)).save(f"p.{kind}")
    (tmp_path / "labels").write_text("ant\nbee\ncat\n")
    r = np.maximum(X @ w, 0)
    np.savez("layers.npz", **{"a": X @ w, "b": r, "c": r + X})
    np.savez("dump.npz", input_0=X, output_0=r + X)
    for k in range(2):
        (tmp_path / "sets" / f"test_data_set_{k}").mkdir(parents=True)
        for name, value in (("input_0", X), ("output_0", r + X)):
            (tmp_path / "sets" / f"test_data_set_{k}" / f"{name}.pb").write_bytes(numpy_helper.from_array(value).SerializeToString())
    return tmp_path


COMMANDS = [*(f"run m.onnx --input {name}" for name in ("turned.npy", "x.npz", "x.pt", "old.pt", "x.safetensors", "x.pb")),
            *(f"run picture.onnx --input p.{kind} --resize 5 --crop 4" for kind in ("png", "jpg", "webp")),
            "run picture.onnx --input p.png --input p.jpg --preset imagenet --resize 4x4 --crop 4", "run text.onnx --input text.npy --output-dir out",
            "run sequence.onnx --output-dir out --format pb --checksum", "run m.onnx --input x.npy --softmax --labels labels --json --checksum",
            "verify m.onnx sets", "verify m.onnx sets --json", "verify bad.onnx dump.npz --layers layers.npz",
            "verify bad.onnx dump.npz --layers layers.npz --isolate --extract first -o case", "diff if.onnx else.onnx", "diff if.onnx else.onnx --json",
            "diff m.onnx bad.onnx --after-passes --rtol 0.1", "inspect if.onnx --html page.html",
            "inspect m.onnx --html page.html --dump dump.npz --layers layers.npz", "optimize if.onnx -o out.onnx --json"]


@pytest.mark.parametrize("command", COMMANDS)
def test_each_allocation_fails(files, command):
    """One line, exit code 6 and no output but whole files, or done as if nothing was."""
    whole = faulty("malloc 0 0", *command.split(), "--threads", "1")
    assert whole.returncode in (OK, DIFFERS), whole.stderr
    clean, failed = 0, 0
    for k in range(1, 3000):
        for made in ("out", "case"):
            shutil.rmtree(made, ignore_errors=True)
        done = faulty(f"malloc {k} {errno.ENOMEM}", *command.split(), "--threads", "1")
        assert done.returncode in (whole.returncode, LIMIT), (k, done.returncode, done.stderr)
        assert done.stderr.count("\n") == (done.returncode == LIMIT), (k, done.stderr)
        assert not any(name.endswith(".tmp") for _, _, names in os.walk(".") for name in names), k
        failed += done.returncode == LIMIT
        clean = 0 if done.returncode == LIMIT else clean + 1
        if clean == 8:
            break
    assert clean == 8 and failed > 5
