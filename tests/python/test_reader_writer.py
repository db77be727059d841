"""The ONNX reader and writer from outside: what is read and written again is the same model to another engine, and what
is wrong with a file is told in one line."""
import glob
import os
import random
import struct
import subprocess

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import AttributeProto, TensorProto, helper, numpy_helper

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
BUILD = os.environ.get("INGOT_BUILD") or os.path.join(ROOT, "build")
CORPUS = os.environ.get("CORPUS") or os.path.join(ROOT, "build", "models")
CASES = os.path.join(ROOT, "build", "cases")
OK, UNSUPPORTED, INVALID, LIMIT, IO = 0, 3, 4, 6, 7
FLOAT, INT64, BOOL = TensorProto.FLOAT, TensorProto.INT64, TensorProto.BOOL
X = np.array([[1.5, -2, 3], [-4, 5, -6]], np.float32)


def program(name, *arguments):
    done = subprocess.run([os.path.join(BUILD, "tests", "unit", name), *map(str, arguments)], capture_output=True, text=True)
    assert "Sanitizer" not in done.stderr and "runtime error" not in done.stderr, done.stderr
    assert done.returncode in (OK, UNSUPPORTED, INVALID, LIMIT, IO), (done.returncode, done.stderr)
    return done


def roundtrip(path, out):
    done = program("onnx_roundtrip", path, out)
    assert done.returncode == OK, done.stderr
    return str(out)


def refused(path, code, *words):
    done = program("onnx_roundtrip", path)
    lines = done.stderr.splitlines()
    assert done.returncode == code and len(lines) == 1 and lines[0].startswith(str(path)), (done.returncode, done.stderr)
    for word in words:
        assert word in lines[0], lines[0]


def session(path):
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    options.intra_op_num_threads = 1
    options.log_severity_level = 4
    return onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])


def agree(path, out, feeds):
    first, second = session(path), session(out)
    assert [o.name for o in first.get_outputs()] == [o.name for o in second.get_outputs()]
    assert [i.name for i in first.get_inputs()] == [i.name for i in second.get_inputs()]
    for a, b in zip(first.run(None, feeds), second.run(None, feeds)):
        np.testing.assert_allclose(np.asarray(b), np.asarray(a), rtol=1e-5, atol=1e-4)


def info(name, kind=FLOAT, shape=("N", 3)):
    return helper.make_tensor_value_info(name, kind, list(shape))


def model_of(graph, opset=17, functions=(), imports=(), ir_version=8):
    opsets = [helper.make_opsetid("", opset), *[helper.make_opsetid(*i) for i in imports]]
    return helper.make_model(graph, opset_imports=opsets, functions=list(functions), ir_version=ir_version)


def graph_of(nodes, initializers=(), inputs=(("x", FLOAT, ("N", 3)),), outputs=(("y", FLOAT, ("N", 3)),)):
    return helper.make_graph(nodes, "test", [info(*i) for i in inputs], [info(*o) for o in outputs], list(initializers))


def check(tmp_path, model, expected=None):
    """Send the model through reader and writer and let another engine run the result: y as expected, or as before."""
    path, out = tmp_path / "in.onnx", tmp_path / "out.onnx"
    onnx.save(model, str(path))
    roundtrip(path, out)
    onnx.checker.check_model(str(out), full_check=True)
    if expected is None:
        agree(path, out, {"x": X})
    else:
        np.testing.assert_allclose(session(out).run(None, {"x": X})[0], expected)
    return onnx.load(str(out))


def broken(tmp_path, model, code, *words):
    path = tmp_path / "broken.onnx"
    path.write_bytes(model if isinstance(model, bytes) else model.SerializeToString())
    refused(path, code, *words)


def relu_model(**options):
    return model_of(graph_of([helper.make_node("Relu", ["x"], ["y"], name="relu")]), **options)


def corpus_names():
    return sorted(os.path.basename(os.path.dirname(p)) for p in glob.glob(os.path.join(CORPUS, "*", "model.onnx")))


@pytest.mark.parametrize("name", corpus_names() or [pytest.param("", marks=pytest.mark.skip("no corpus"))])
def test_corpus_model(name, tmp_path):
    path, out = os.path.join(CORPUS, name, "model.onnx"), tmp_path / "model.onnx"
    roundtrip(path, out)
    onnx.checker.check_model(str(out))
    feeds = {}
    for i, value in enumerate(session(path).get_inputs()):
        with open(os.path.join(CORPUS, name, "test_data_set_0", f"input_{i}.pb"), "rb") as f:
            feeds[value.name] = numpy_helper.to_array(onnx.TensorProto.FromString(f.read()))
    agree(path, out, feeds)


def test_conformance_models_and_values(tmp_path):
    if not os.path.isdir(CASES):
        pytest.skip("the cases are not made")
    kinds = {"tensor_type": "tensor", "sequence_type": "sequence", "optional_type": "optional"}
    values = []
    for path in glob.glob(os.path.join(CASES, "*", "*", "model.onnx")):
        out = roundtrip(path, tmp_path / "model.onnx")
        graph = onnx.load(out).graph
        for start, infos in (("input", graph.input), ("output", graph.output)):
            for i, value in enumerate(infos):
                file = os.path.join(os.path.dirname(path), "test_data_set_0", f"{start}_{i}.pb")
                kind = kinds.get(value.type.WhichOneof("value"))
                if kind and os.path.exists(file) and os.path.getsize(file) < 4096:
                    values += [(kind, file)]
    random.Random(1).shuffle(values)
    plain = [v for v in values if v[0] == "tensor"][:100] + [v for v in values if v[0] != "tensor"]
    done = program("onnx_values", *[argument for value in plain for argument in value])
    assert done.returncode == OK, done.stdout


def test_functions(tmp_path):
    """References to attributes with and without default, inputs and outputs left out, a function in a function, overloads."""
    alpha = helper.make_node("LeakyRelu", ["a"], ["b"], name="leaky")
    alpha.attribute.append(AttributeProto(name="alpha", type=AttributeProto.FLOAT, ref_attr_name="slope"))
    inner = helper.make_function("local", "Inner", ["a"], ["b"], [alpha], [helper.make_opsetid("", 17)], [],
                                 [helper.make_attribute("slope", 0.5)])
    call = helper.make_node("Inner", ["v"], ["w"], domain="local")
    call.attribute.append(AttributeProto(name="slope", type=AttributeProto.FLOAT, ref_attr_name="outer_slope"))
    clip = helper.make_node("Clip", ["w", "low", "high"], ["z"])
    outer = helper.make_function("local", "Outer", ["v", "low", "high"], ["z", "w", "v"], [call, clip],
                                 [helper.make_opsetid("", 17), helper.make_opsetid("local", 1)], ["outer_slope"])
    nodes = [helper.make_node("Outer", ["x", "", "limit"], ["p", "q"], domain="local", name="first", outer_slope=0.25),
             helper.make_node("Outer", ["p"], ["", "r", "s"], domain="local", name="second"),
             helper.make_node("Sum", ["q", "r", "s"], ["y"])]
    limit = numpy_helper.from_array(np.float32(2), "limit")
    first = np.where(X < 0, X * 0.25, X)  # slope as the call says, then the default
    clipped = np.minimum(first, 2)
    expected = first + np.where(clipped < 0, clipped * 0.5, clipped) + clipped
    model = model_of(graph_of(nodes, [limit]), functions=[inner, outer], imports=[("local", 1)])
    model = check(tmp_path, model, expected)
    assert not model.functions and {n.domain for n in model.graph.node} == {""}


def test_function_with_subgraph(tmp_path):
    then = helper.make_graph([helper.make_node("Add", ["a", "k"], ["t"])], "then", [], [info("t")])
    other = helper.make_graph([helper.make_node("Mul", ["k", "a"], ["e"])], "else", [], [info("e")])
    body = [helper.make_node("Constant", [], ["k"], value_float=3.0), helper.make_node("ReduceSum", ["a"], ["s"], keepdims=0),
            helper.make_node("Constant", [], ["zero"], value=numpy_helper.from_array(np.float32(0))),
            helper.make_node("Greater", ["s", "zero"], ["c"]),
            helper.make_node("If", ["c"], ["b"], then_branch=then, else_branch=other)]
    choose = helper.make_function("local", "Choose", ["a"], ["b"], body, [helper.make_opsetid("", 17)])
    nodes = [helper.make_node("Choose", ["x"], ["m"], domain="local"), helper.make_node("Choose", ["m"], ["y"], domain="local")]
    check(tmp_path, model_of(graph_of(nodes), functions=[choose], imports=[("local", 1)]))


def test_captures_through_levels(tmp_path):
    """The innermost graph reads values of the outermost, and both use the same names."""
    deep = helper.make_graph([helper.make_node("Add", ["h", "w"], ["t"], name="same")], "deep", [], [info("t")])
    flat = helper.make_graph([helper.make_node("Identity", ["h"], ["f"], name="same")], "flat", [], [info("f")])
    middle = helper.make_graph([helper.make_node("If", ["c"], ["m"], then_branch=deep, else_branch=flat)], "middle", [], [info("m")])
    last = helper.make_graph([helper.make_node("Neg", ["h"], ["n"])], "last", [], [info("n")])
    nodes = [helper.make_node("Relu", ["x"], ["h"]), helper.make_node("If", ["c"], ["y"], then_branch=middle, else_branch=last)]
    initializers = [numpy_helper.from_array(np.ones(3, np.float32), "w"), numpy_helper.from_array(np.array(True), "c")]
    check(tmp_path, model_of(graph_of(nodes, initializers)))


def test_nodes_out_of_order_are_sorted(tmp_path):
    nodes = [helper.make_node("Relu", ["a"], ["y"]), helper.make_node("Neg", ["x"], ["a"])]
    path = tmp_path / "model.onnx"
    path.write_bytes(model_of(graph_of(nodes)).SerializeToString())
    out = onnx.load(roundtrip(path, tmp_path / "out.onnx"))
    assert [n.op_type for n in out.graph.node] == ["Neg", "Relu"]


def test_initializers_that_are_inputs(tmp_path):
    w = numpy_helper.from_array(np.array([1, 2, 3], np.float32), "w")
    graph = graph_of([helper.make_node("Add", ["x", "w"], ["y"])], [w], inputs=[("x", FLOAT, ("N", 3)), ("w", FLOAT, (3,))])
    model = check(tmp_path, model_of(graph, ir_version=3, opset=8))
    assert [i.name for i in model.graph.input] == ["x", "w"] and model.ir_version >= 4


def test_constants(tmp_path):
    """Every attribute that a Constant can have, and sparse ones in both forms of indices."""
    def sparse(indices):
        values = helper.make_tensor("", FLOAT, [2], [5, -7])
        return helper.make_sparse_tensor(values, helper.make_tensor("", INT64, np.shape(indices), np.ravel(indices)), [2, 3])

    nodes = [helper.make_node("Constant", [], ["a"], value_floats=[1.0, 2.0, 3.0]), helper.make_node("Constant", [], ["b"], value_int=4),
             helper.make_node("Constant", [], ["c"], value_ints=[3, -2, 1]), helper.make_node("Cast", ["b"], ["bf"], to=FLOAT),
             helper.make_node("Cast", ["c"], ["cf"], to=FLOAT), helper.make_node("Constant", [], ["d"], sparse_value=sparse([1, 5])),
             helper.make_node("Constant", [], ["e"], sparse_value=sparse([[0, 2], [1, 0]])),
             helper.make_node("Sum", ["x", "a", "bf", "cf", "d", "e"], ["y"])]
    dense = np.array([[0, 5, 0], [0, 0, -7]]) + np.array([[0, 0, 5], [-7, 0, 0]])
    check(tmp_path, model_of(graph_of(nodes)), X + [1, 2, 3] + 4 + np.array([3, -2, 1]) + dense)


def test_sparse_initializer(tmp_path):
    values = helper.make_tensor("w", FLOAT, [2], [5, -7])
    sparse = helper.make_sparse_tensor(values, helper.make_tensor("", INT64, [2], [0, 4]), [2, 3])
    graph = graph_of([helper.make_node("Add", ["x", "w"], ["y"])])
    graph.sparse_initializer.append(sparse)
    check(tmp_path, model_of(graph), X + [[5, 0, 0], [0, -7, 0]])
    sparse.values.CopyFrom(helper.make_tensor("w", FLOAT, [2], [5, -7]))
    sparse.indices.CopyFrom(helper.make_tensor("", INT64, [2], [0, 6]))
    del graph.sparse_initializer[:]
    graph.sparse_initializer.append(sparse)
    broken(tmp_path, model_of(graph), INVALID, "'w'", "index 1")
    sparse.dims[:] = [1 << 20, 1 << 20]
    del graph.sparse_initializer[:]
    graph.sparse_initializer.append(sparse)
    broken(tmp_path, model_of(graph), LIMIT, "dense")


def all_types():
    for kind in sorted(v for k, v in TensorProto.DataType.items() if k != "UNDEFINED" and not k.startswith("FLOAT6")):
        yield pytest.param(kind, id=TensorProto.DataType.Name(kind))


@pytest.mark.parametrize("kind", list(all_types()))
def test_every_type(kind, tmp_path):
    """Five elements of the type as raw data, in a typed field, and written again."""
    if kind == TensorProto.STRING:
        tensors = [helper.make_tensor("w", kind, [5], [b"a", b"", b"\x00b", "ü".encode(), b"long" * 9])]
    else:
        array = np.array([0, 1, 1, 0, 1]).astype(helper.tensor_dtype_to_np_dtype(kind))
        if kind == TensorProto.FLOAT8E8M0:
            array = np.array([1, 2, 4, 8, 1]).astype(array.dtype)
        tensors = [numpy_helper.from_array(array, "w"), helper.make_tensor("w", kind, [5], array)]
    for tensor in tensors:
        path = tmp_path / "model.onnx"
        graph = graph_of([helper.make_node("Identity", ["w"], ["y"])], [tensor], inputs=[], outputs=[("y", kind, (5,))])
        path.write_bytes(model_of(graph, opset=25, ir_version=13).SerializeToString())
        out = onnx.load(roundtrip(path, tmp_path / "out.onnx")).graph.initializer[0]
        assert out.data_type == kind
        if kind == TensorProto.STRING:
            assert out.string_data == tensor.string_data
        else:
            a, b = numpy_helper.to_array(out), numpy_helper.to_array(tensor)
            assert a.tobytes() == b.tobytes()


def external_model(path, location, offset=0, length=None, shape=(3,)):
    w = TensorProto(name="w", data_type=FLOAT, dims=shape, data_location=TensorProto.EXTERNAL)
    entries = {"location": location, "offset": str(offset)} | ({"length": str(length)} if length is not None else {})
    for key, value in entries.items():
        w.external_data.add(key=key, value=value)
    path.write_bytes(model_of(graph_of([helper.make_node("Add", ["x", "w"], ["y"])], [w])).SerializeToString())


def test_external_data(tmp_path):
    folder = tmp_path / "models"
    (folder / "sub").mkdir(parents=True)
    data = struct.pack("<5f", 9, 1, 2, 3, 9)
    (folder / "sub" / "w.bin").write_bytes(data)
    (folder / "link.bin").symlink_to("sub/w.bin")
    (tmp_path / "secret.bin").write_bytes(data)
    (folder / "leads_out.bin").symlink_to("../secret.bin")
    (folder / "out").symlink_to("..")
    os.mkfifo(folder / "pipe")
    path = folder / "model.onnx"
    for location in ("sub/w.bin", "link.bin", "./sub/../sub/w.bin"):
        external_model(path, location, 4, 12)
        out = roundtrip(path, tmp_path / "out.onnx")
        np.testing.assert_allclose(session(out).run(None, {"x": X})[0], X + [1, 2, 3])
    for location in ("../secret.bin", "leads_out.bin", "out/secret.bin", str(tmp_path / "secret.bin"), "sub/../../secret.bin"):
        external_model(path, location, 4, 12)
        refused(path, INVALID, "'w'", "outside of the model's folder")
    for location, code in (("absent.bin", IO), ("sub", IO), ("pipe", IO), ("", INVALID)):
        external_model(path, location)
        refused(path, code, "'w'")
    for offset, length, word in ((12, 12, "from byte 12"), (0, 16, "length is 16"), (1 << 63, 12, "from byte"), ("-4", 12, "'-4'"),
                                 (0, "99999999999999999999", "number")):
        external_model(path, "sub/w.bin", offset, length)
        refused(path, INVALID, "'w'", word)
    external_model(path, "sub/w.bin", 1, None, (4,))  # not aligned: read lazily
    roundtrip(path, tmp_path / "out.onnx")
    assert onnx.load(str(tmp_path / "out.onnx")).graph.initializer[0].raw_data == data[1:17]


def test_broken_files(tmp_path):
    good = relu_model().SerializeToString()
    broken(tmp_path, b"", INVALID, "empty")
    broken(tmp_path, b"<html>this is no model</html>\n" * 4, INVALID, "not an ONNX model")
    broken(tmp_path, b"name: model\nweights: 3\n", INVALID, "not an ONNX model")
    broken(tmp_path, bytes(1000), INVALID, "not an ONNX model")
    broken(tmp_path, good[:-20], INVALID, "not an ONNX model", "byte")
    refused(tmp_path / "absent.onnx", IO, "No such file")
    refused(tmp_path, IO, "regular file")


def test_broken_models(tmp_path):
    def graph(*nodes, **options):
        return model_of(graph_of([helper.make_node(*n) if isinstance(n, tuple) else n for n in nodes], **options))

    relu = ("Relu", ["x"], ["y"])
    w = numpy_helper.from_array(np.ones(3, np.float32), "w")
    short = TensorProto(name="w", data_type=FLOAT, dims=[4], raw_data=bytes(15))
    twice = helper.make_node("LeakyRelu", ["x"], ["y"], name="twice", alpha=0.5)
    twice.attribute.append(twice.attribute[0])
    alone = helper.make_node("LeakyRelu", ["x"], ["y"], name="alone")
    alone.attribute.append(AttributeProto(name="alpha", type=AttributeProto.FLOAT, ref_attr_name="a"))
    empty = helper.make_node("LeakyRelu", ["x"], ["y"], name="empty")
    empty.attribute.append(AttributeProto(name="value", type=AttributeProto.TENSOR))
    cases = [
        (graph(("Add", ["x", "lost"], ["y"], "add")), INVALID, ["'add' (Add)", "input 1", "'lost'"]),
        (graph(("Add", ["x", "b"], ["a"], "first"), ("Add", ["x", "a"], ["b"], "second"), relu), INVALID, ["'first' (Add)", "depend"]),
        (graph(relu, ("Neg", ["x"], ["y"])), INVALID, ["'y'", "twice"]),
        (graph(relu, initializers=[w, w]), INVALID, ["'w'", "twice"]),
        (graph(("Relu", ["x"], ["z"])), INVALID, ["output 'y'"]),
        (graph(relu, initializers=[short]), INVALID, ["'w'", "15 bytes", "float[4] takes 16"]),
        (graph(relu, initializers=[TensorProto(name="w", data_type=99, dims=[1])]), INVALID, ["'w'", "99"]),
        (graph(relu, initializers=[TensorProto(name="w", data_type=29, dims=[1])]), INVALID, ["'w'", "29"]),
        (graph(relu, initializers=[TensorProto(name="w", data_type=1, dims=[-1])]), INVALID, ["'w'", "shape"]),
        (graph(relu, initializers=[TensorProto(name="w", data_type=1, dims=[1 << 40, 1 << 40])]), INVALID, ["'w'", "shape"]),
        (graph(relu, initializers=[TensorProto(name="w", data_type=1, dims=[1 << 40])]), INVALID, ["'w'", "0 items"]),
        (graph(relu, initializers=[TensorProto(name="w", data_type=1, dims=[1] * 17)]), UNSUPPORTED, ["'w'", "rank 17"]),
        (graph(twice), INVALID, ["'twice'", "'alpha'", "twice"]),
        (graph(alone), INVALID, ["'alone'", "outside of a function"]),
        (graph(empty), INVALID, ["'empty'", "'value'"]),
        (graph(helper.make_node("Foo", ["x"], ["y"], domain="other")), INVALID, ["'other'"]),
        (relu_model(opset=29), UNSUPPORTED, ["29"]),
        (relu_model(opset=0), INVALID, ["version 0"]),
        (relu_model(ir_version=99), UNSUPPORTED, ["99"]),
        (relu_model(imports=[("ai.onnx", 16)]), INVALID, ["16"]),
    ]
    for model, code, words in cases:
        broken(tmp_path, model, code, *words)
    broken(tmp_path, onnx.ModelProto(ir_version=8), INVALID, "no graph")


def test_functions_without_end(tmp_path):
    opsets = [helper.make_opsetid("", 17), helper.make_opsetid("local", 1)]

    def function(name, *called):
        nodes = [helper.make_node(c, ["a"], [f"b{i}"], domain="local") for i, c in enumerate(called)]
        return helper.make_function("local", name, ["a"], ["b0"], nodes, opsets)

    def model(*functions):
        graph = graph_of([helper.make_node(functions[0].name, ["x"], ["y"], domain="local")])
        return model_of(graph, functions=functions, imports=[("local", 1)])

    broken(tmp_path, model(function("F", "G"), function("G", "F")), INVALID, "calls itself")
    broken(tmp_path, model(function("F"), function("F")), INVALID, "'F'", "twice")
    broken(tmp_path, model(*[function(f"F{i}", f"F{i + 1}") for i in range(80)]), LIMIT, "deep")
    doubling = [function(f"F{i}", f"F{i + 1}", f"F{i + 1}") for i in range(60)]
    last = helper.make_function("local", "F60", ["a"], ["b"], [helper.make_node("Relu", ["a"], ["b"])], opsets)
    broken(tmp_path, model(*doubling, last), LIMIT, "functions")


def field(number, content):
    length, size = b"", len(content)
    while size > 127:
        length, size = length + bytes([size & 127 | 128]), size >> 7
    return bytes([number << 3 | 2]) + length + bytes([size]) + content


def test_deep_and_wide_files(tmp_path):
    nested = b""
    for _ in range(20000):  # sequence types within sequence types
        nested = field(4, field(1, nested))[:1 << 24]
    broken(tmp_path, b"\x08\x08" + field(7, field(11, field(1, b"x") + field(2, nested))), INVALID, "deep")
    broken(tmp_path, b"\x08\x08" + field(7, field(1, b"") * 2_000_000), LIMIT, "memory")
    nested = b""
    for _ in range(40):  # a graph in an attribute of a node of a graph
        nested = field(1, field(4, b"If") + field(5, field(1, b"then_branch") + field(6, nested)))
    broken(tmp_path, b"\x08\x08" + field(7, nested), INVALID, "deep")


@pytest.mark.parametrize("name", ["functions", "loop"])
def test_damaged_files(name, tmp_path):
    """Any cut and any changed bit: a model, or a line."""
    body = helper.make_graph([helper.make_node("Add", ["s", "x"], ["t"]), helper.make_node("Identity", ["c"], ["d"])], "body",
                             [info("i", INT64, ()), info("c", BOOL, ()), info("s")], [info("d", BOOL, ()), info("t")])
    count = numpy_helper.from_array(np.array(3), "count")
    model = model_of(graph_of([helper.make_node("Loop", ["count", "", "x"], ["y"], body=body)], [count]))
    if name == "functions":
        leaky = helper.make_node("LeakyRelu", ["a"], ["b"])
        leaky.attribute.append(AttributeProto(name="alpha", type=AttributeProto.FLOAT, ref_attr_name="slope"))
        call = helper.make_node("F", ["x"], ["y"], domain="local", slope=0.5)
        model = model_of(graph_of([call]), functions=[helper.make_function("local", "F", ["a"], ["b"], [leaky],
                         [helper.make_opsetid("", 17)], ["slope"])], imports=[("local", 1)])
    data = bytearray(model.SerializeToString())
    path, rng = tmp_path / "damaged.onnx", random.Random(name)
    for i in range(150):
        copy = bytearray(data[:rng.randrange(1, len(data))]) if i % 3 == 0 else bytearray(data)
        for _ in range(i % 3):
            copy[rng.randrange(len(copy))] ^= 1 << rng.randrange(8)
        path.write_bytes(copy)
        done = program("onnx_roundtrip", path, tmp_path / "out.onnx")
        assert done.returncode == OK or len(done.stderr.splitlines()) == 1, done.stderr


def test_file_is_replaced_at_once(tmp_path):
    path = tmp_path / "model.onnx"
    onnx.save(relu_model(), str(path))
    roundtrip(path, path)  # onto itself, while it is mapped
    onnx.checker.check_model(str(path))
    assert os.listdir(tmp_path) == ["model.onnx"]
    assert program("onnx_roundtrip", path, tmp_path / "no" / "folder.onnx").returncode == IO
    assert program("onnx_roundtrip", path, "/dev/full").returncode == IO
    assert os.listdir(tmp_path) == ["model.onnx"]


def test_attributes_of_every_kind(tmp_path):
    """Of an operator that nobody knows: what it has is kept, lists of one and more."""
    tensors = [numpy_helper.from_array(np.float32([1, 2]), "t"), numpy_helper.from_array(np.array(["a"], object), "s"), helper.make_tensor("u", TensorProto.UINT4, [3], [1, 2, 3])]
    values = helper.make_tensor("v", FLOAT, [1], [5])
    sparse = helper.make_sparse_tensor(values, helper.make_tensor("", INT64, [1], [2]), [4])
    tensor_type = helper.make_tensor_type_proto(FLOAT, ["N", 3, None])
    types = [tensor_type, helper.make_sequence_type_proto(tensor_type), helper.make_optional_type_proto(helper.make_sequence_type_proto(tensor_type)),
             helper.make_map_type_proto(INT64, tensor_type)]
    body = helper.make_graph([helper.make_node("Relu", ["x"], ["r"])], "body", [], [info("r")])
    kept = {"f": 1.5, "i": -7, "s": b"text", "t": tensors[0], "g": body, "floats": [1.0, 2.0], "ints": [1, 2, 3], "strings": [b"a", b""], "tensors": tensors, "graphs": [body, body],
            "tp": types[3], "type_protos": types}
    node = helper.make_node("Odd", ["x"], ["y"], domain="nobody", **kept)
    node.attribute.append(helper.make_attribute("sparse", sparse))
    node.attribute.append(AttributeProto(name="sparses", type=AttributeProto.SPARSE_TENSORS, sparse_tensors=[sparse, sparse]))
    path = tmp_path / "model.onnx"
    onnx.save(model_of(graph_of([node]), imports=[("nobody", 1)], opset=21, ir_version=10), path)
    (made,) = onnx.load(roundtrip(path, tmp_path / "out.onnx")).graph.node
    attributes = {a.name: a for a in made.attribute}
    assert set(kept) <= set(attributes)
    for name in ("f", "i", "s", "floats", "ints", "strings"):
        assert helper.get_attribute_value(attributes[name]) == kept[name]
    for a, b in zip([attributes["t"].t, *attributes["tensors"].tensors], [tensors[0], *tensors]):
        assert numpy_helper.to_array(a).tolist() == numpy_helper.to_array(b).tolist() and a.data_type == b.data_type
    assert [attributes["tp"].tp, *attributes["type_protos"].type_protos] == [types[3], *types]
    for graph in (attributes["g"].g, *attributes["graphs"].graphs):
        assert [n.op_type for n in graph.node] == ["Relu"] and list(graph.node[0].input) == ["x"] and len(graph.output) == 1
    for name in ("sparse", "sparses"):          # as they are here: dense, or sparse still
        assert name in attributes


def test_branches_that_hand_on_what_is_outside(tmp_path):
    """An output of a subgraph may be a value of the graph around it, and twice the same one."""
    one = helper.make_graph([], "one", [], [info("h"), info("h")])
    two = helper.make_graph([helper.make_node("Neg", ["h"], ["n"])], "two", [], [info("n"), info("n")])
    nodes = [helper.make_node("Relu", ["x"], ["h"]), helper.make_node("If", ["c"], ["a", "b"], then_branch=one, else_branch=two), helper.make_node("Add", ["a", "b"], ["y"])]
    path = tmp_path / "model.onnx"
    for flag in (True, False):
        path.write_bytes(model_of(graph_of(nodes, [numpy_helper.from_array(np.array(flag), "c")])).SerializeToString())
        out = roundtrip(path, tmp_path / "out.onnx")
        for graph in (a.g for n in onnx.load(out).graph.node for a in n.attribute):
            assert len({o.name for o in graph.output}) == 2
        wanted = 2 * np.maximum(X, 0) if flag else -2 * np.maximum(X, 0)
        np.testing.assert_array_equal(session(out).run(None, {"x": X})[0], wanted)
