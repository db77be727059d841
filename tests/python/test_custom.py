"""Operators of the host: the program tests/unit/custom_operators.c brings some that work and some that break their promises."""
import os
import subprocess

import numpy as np
import onnx
import pytest
from conftest import ROOT, save_model
from onnx import TensorProto, helper

BUILD = os.environ.get("INGOT_BUILD") or os.path.join(ROOT, "build")
FLOAT = TensorProto.FLOAT


def run(model, *options, code=0):
    done = subprocess.run([os.path.join(BUILD, "tests", "unit", "custom_operators"), str(model), *map(str, options)], capture_output=True, text=True,
                          timeout=60)
    assert done.returncode == code, done.stdout + done.stderr
    lines = done.stdout.splitlines()
    assert done.stderr == "" and (code == 0 or len(lines) == 1), done.stdout + done.stderr
    return lines


def host(op, inputs="x", outputs="y", **attributes):
    return helper.make_node(op, inputs.split(), outputs.split(), name="n_" + op, domain="test.host", **attributes)


def save(path, *nodes, outputs=(("y", FLOAT, None),), initializers=(), version=2):
    return save_model(path, list(nodes), [("x", FLOAT, ["N"])], list(outputs), initializers, domains=[("test.host", version)])


@pytest.mark.parametrize("threads", [1, 2, 3])
def test_runs_among_others(tmp_path, threads):
    """Before and behind it passes work as ever; it is inferred once for a shape and runs every time."""
    model = save(tmp_path / "m.onnx", helper.make_node("Neg", ["x"], ["a"]), helper.make_node("Neg", ["a"], ["b"]), host("Double", "b", "c"),
                 helper.make_node("Relu", ["c"], ["d"]), helper.make_node("Add", ["d", "x"], ["y"]))
    assert run(model, "--threads", threads) == ["float 1.5 4.5 7.5 10.5 13.5 16.5", "1 infers, 2 runs"]


def test_passes_leave_it_alone(tmp_path):
    """Not folded although its input is a constant, not merged with an equal one; saved as it was, attributes too."""
    model = save(tmp_path / "m.onnx", host("Double", "w", "a"), host("Double", "w", "b"), helper.make_node("Add", ["a", "b"], ["c"]),
                 helper.make_node("Add", ["c", "x"], ["y"]), initializers=[("w", np.arange(6, dtype="float32"))])
    assert run(model, "--save", tmp_path / "s.onnx") == ["float 0.5 5.5 10.5 15.5 20.5 25.5", "2 infers, 4 runs"]
    saved = onnx.load(tmp_path / "s.onnx")
    assert [n.op_type for n in saved.graph.node] == ["Double", "Double", "Add", "Add"]
    assert {(o.domain, o.version) for o in saved.opset_import} >= {("test.host", 2)}
    assert run(tmp_path / "s.onnx")[0] == "float 0.5 5.5 10.5 15.5 20.5 25.5"


def test_in_a_subgraph(tmp_path):
    body = [helper.make_graph([node], name, [], [helper.make_tensor_value_info(node.output[0], FLOAT, None)])
            for name, node in (("then", host("Double", "x", "t")), ("else", helper.make_node("Neg", ["x"], ["e"])))]
    model = save(tmp_path / "m.onnx", helper.make_node("ReduceSum", ["x"], ["s"], keepdims=0), helper.make_node("Greater", ["s", "zero"], ["c"]),
                 helper.make_node("If", ["c"], ["y"], then_branch=body[0], else_branch=body[1]), initializers=[("zero", np.float32(0))])
    assert run(model)[0] == "float 1 3 5 7 9 11"


def test_shape_of_the_run(tmp_path):
    model = save(tmp_path / "m.onnx", host("Pick", "x", "p"), helper.make_node("Neg", ["p"], ["y"]))
    assert run(model)[0] == "float -2.5 -3.5 -4.5 -5.5"


def test_attributes_and_strings(tmp_path):
    table = helper.make_tensor("table", TensorProto.INT64, [3], [5, 6, 7])
    model = save(tmp_path / "m.onnx", host("Words", number=3, real=0.5, text="abc", numbers=[1, 2], reals=[0.25], texts=["p", "q"], table=table),
                 outputs=[("y", TensorProto.STRING, None)])
    said = "number:3 real:0.5 text:abc numbers*:1:2 reals*:0.25 texts*:p:q table:5:6:7 none- 10 0.5"
    assert run(model)[0] == f"string [{said}] []"


def test_left_out(tmp_path):
    for inputs, outputs, expected in (("x", "y", ["float 0.5 1.5 2.5 3.5 4.5 5.5"]), ("x x", "y z", ["float 100.5 101.5 102.5 103.5 104.5 105.5", "int64 2"])):
        infos = [("y", FLOAT, None), ("z", TensorProto.INT64, [])][: len(expected)]
        assert run(save(tmp_path / "m.onnx", host("Two", inputs, outputs), outputs=infos))[:-1] == expected


BROKEN = [
    ("NoShape", 2, "the host's infer() did not tell the type of output 0"),
    ("Negative", 2, "the host gives output 0 shape [2,?]"),
    ("Huge", 2, "the host gives output 0 shape ["),
    ("Rank", 2, "the host gives output 0 type 1 and rank 99"),
    ("Type", 2, "the host gives output 0 type 29 and rank 0"),
    ("Status", 2, "the host's infer() returned -1, which is no status"),
    ("OtherShape", 2, "the host's run() gives output 0 type float and shape [5], and infer() gave float and [6]"),
    ("OtherType", 2, "the host's run() gives output 0 type int64 and shape [6], and infer() gave float and [6]"),
    ("Silent", 2, "the host's run() did not tell the shape of output 0"),
    ("Refuse", 5, "these numbers\\x0aare not liked"),
    ("Mute", 3, "the host's run() failed (not supported)"),
]


@pytest.mark.parametrize("op, code, line", BROKEN, ids=[b[0] for b in BROKEN])
def test_broken_promises(tmp_path, op, code, line):
    (said,) = run(save(tmp_path / "m.onnx", host(op)), code=code)
    assert f"node 'n_{op}' ({op}): {line}" in said, said


def test_limits_and_cancel(tmp_path):
    greedy, endless = save(tmp_path / "g.onnx", host("Greedy")), save(tmp_path / "e.onnx", host("Endless"))
    assert "n_Greedy" in run(greedy, "--limit", 100 << 20, code=6)[0]
    assert run(endless, "--cancel", code=130)[0].endswith("the run was cancelled")


def test_what_the_engine_checks(tmp_path):
    """Types, numbers of inputs and versions, as with its own operators; operators that are not brought along."""
    cast = helper.make_node("Cast", ["x"], ["i"], to=TensorProto.INT64)
    assert "input 0 has type int64" in run(save(tmp_path / "m.onnx", cast, host("Double", "i")), code=3)[0]
    assert "2 inputs, expected 1 to 1" in run(save(tmp_path / "m.onnx", host("Double", "x x")), code=4)[0]
    assert "domain test.host has no such operator here" in run(save(tmp_path / "m.onnx", host("Double"), version=4), code=3)[0]
    assert "domain test.host has no such operator here" in run(save(tmp_path / "m.onnx", host("Double")), "--missing", code=3)[0]
    assert "have no double form" in run(save(tmp_path / "m.onnx", host("Double")), "--double", code=3)[0]


@pytest.mark.parametrize("name, line", [("/Relu", "the domain '' is not open to hosts"), ("ai.onnx/Mine", "the domain 'ai.onnx' is not open"),
                                        ("ai.onnx.ml/Scaler", "the library has one in domain 'ai.onnx.ml'")])
def test_names_that_are_taken(tmp_path, name, line):
    assert line in run(save(tmp_path / "m.onnx", host("Two")), "--rename", name, code=2)[0]


def test_options_of_another_size(tmp_path):
    model = save(tmp_path / "m.onnx", host("Double"))
    assert "size_bytes" in run(model, "--size", 0, code=2)[0]
    assert run(model, "--size", 4096)[0] == "float 1 3 5 7 9 11"         # a newer host: what this library knows of it counts
