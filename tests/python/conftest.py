"""What the tests from outside share: the built command, small models, the corpus where it is unpacked."""
import os
import subprocess

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
INGOT = os.environ.get("INGOT") or os.path.join(ROOT, "build", "ingot")


def pytest_collection_modifyitems(items):
    """test_amalgamation.py comes last: its compiler works for two minutes, beside the other tests."""
    items.sort(key=lambda item: item.path.name == "test_amalgamation.py")


@pytest.fixture(scope="session", autouse=True)
def amalgamation(request, tmp_path_factory):
    """Folder of the library as one file, and the compiler that makes an object of it; None where no test wants them."""
    if not any(item.path.name == "test_amalgamation.py" for item in request.session.items):
        yield None
        return
    folder = tmp_path_factory.mktemp("one")
    subprocess.run(["python3", os.path.join(ROOT, "engine", "amalgamate.py"), str(folder)], check=True)
    with subprocess.Popen(["cc", "-O2", "-fopenmp", "-c", "ingot.c"], cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as compiler:
        yield folder, compiler
        compiler.kill()


@pytest.fixture(scope="session")
def ingot():
    """Call the command: ingot("run", model, ...) gives code, out and err. A signal or a sanitizer report fails the test."""
    if not os.path.exists(INGOT):
        pytest.skip(f"{INGOT} is not built")

    def call(*arguments, timeout=60, **options):
        done = subprocess.run([INGOT, *map(str, arguments)], stdin=subprocess.DEVNULL, capture_output=True, timeout=timeout, **options)
        done.out, done.err = done.stdout.decode(), done.stderr.decode()
        done.code = done.returncode
        assert done.code >= 0, f"killed by signal {-done.code}: {done.err}"
        assert "Sanitizer" not in done.err and "runtime error" not in done.err, done.err
        return done

    return call


def exact_options(ort):
    """Options with which onnxruntime multiplies bytes exactly: on processors without VNNI it saturates sums of two products otherwise.
    Not for models with operators of signed bytes, which it would rewrite to what it lacks."""
    options = ort.SessionOptions()
    options.add_session_config_entry("session.x64quantprecision", "1")
    return options


@pytest.fixture(scope="session")
def corpus():
    """Path of a corpus model's folder by name; skips where the corpus is not unpacked."""
    folder = os.environ.get("CORPUS") or os.path.join(ROOT, "build", "models")

    def path(name):
        if not os.path.exists(os.path.join(folder, name, "model.onnx")):
            pytest.skip(f"{name} is not in {folder}")
        return os.path.join(folder, name)

    return path


def save_model(path, nodes, inputs, outputs, initializers=(), opset=17, domains=()):
    """Write a model; inputs and outputs are rows (name, TensorProto type, shape), domains other ones and their versions."""
    infos = [[helper.make_tensor_value_info(*row) for row in rows] for rows in (inputs, outputs)]
    values = [numpy_helper.from_array(np.asarray(a), name) for name, a in initializers]
    graph = helper.make_graph(nodes, "test", *infos, values)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid(*d) for d in [("", opset), *domains]],
                              ir_version=8, producer_name="tests")
    onnx.save(model, str(path))
    return str(path)


@pytest.fixture
def relu(tmp_path):
    """y = Relu(x), x float [N,3]."""
    return save_model(tmp_path / "relu.onnx", [helper.make_node("Relu", ["x"], ["y"])],
                      [("x", TensorProto.FLOAT, ["N", 3])], [("y", TensorProto.FLOAT, ["N", 3])])


def identity(path, elem_type, shape):
    """y = Identity(x) for any type."""
    return save_model(path, [helper.make_node("Identity", ["x"], ["y"])], [("x", elem_type, shape)], [("y", elem_type, shape)])
