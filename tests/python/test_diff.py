"""`ingot diff`: what differs between two models, in text, JSON and exit code."""
import json

import numpy as np
import onnx
import pytest
from conftest import save_model
from onnx import TensorProto, helper

W = np.arange(12, dtype=np.float32).reshape(4, 3) + 1


def chain(path, ops, weight=W, opset=17, out="y", prefix="n", shape=("N", 3)):
    """x -> MatMul(w) -> ops ..., each a name or a (name, attributes) pair; nodes and values are numbered."""
    nodes, last = [helper.make_node("MatMul", ["x", "w"], [f"{prefix}0"], name=f"{prefix}_0")], f"{prefix}0"
    for i, op in enumerate(ops, 1):
        name, attributes = op if isinstance(op, tuple) else (op, {})
        value = out if i == len(ops) else f"{prefix}{i}"
        nodes.append(helper.make_node(name, [last], [value], name=f"{prefix}_{i}", **attributes))
        last = value
    return save_model(path, nodes, [("x", TensorProto.FLOAT, list(shape))], [(out, TensorProto.FLOAT, None)],
                      [("w", np.ascontiguousarray(weight.T))], opset=opset)


@pytest.fixture
def diff(ingot, tmp_path):
    """The JSON and exit code of two models, and the text's lines that tell a difference."""
    def compare(a, b, *options):
        done, text = ingot("diff", a, b, "--json", *options), ingot("diff", a, b, *options)
        assert done.code == text.code and not done.err and not text.err and done.code in (0, 1), done.err
        report = json.loads(done.out)
        assert report["same"] == (done.code == 0)
        return report, [line for line in text.out.splitlines() if line[:2] in ("- ", "+ ", "~ ")]
    return compare


def test_same(diff, tmp_path):
    ops = ["Relu", ("LeakyRelu", {"alpha": 0.5}), "Sigmoid"]
    a, b = chain(tmp_path / "a.onnx", ops), chain(tmp_path / "b.onnx", ops, prefix="other")
    for pair in ((a, a), (a, b)):
        report, lines = diff(*pair)
        assert report["same"] and not lines
    assert report["nodes"]["same"] == 4 and report["nodes"]["renamed"] == 4 and report["weights"]["same"] == 1


def test_quiet_is_an_exit_code(ingot, tmp_path):
    a, b = chain(tmp_path / "a.onnx", ["Relu"]), chain(tmp_path / "b.onnx", ["Tanh"])
    done = ingot("diff", a, b, "--quiet")
    assert (done.code, done.out, done.err) == (1, "", "")
    assert ingot("diff", a, a, "--quiet").code == 0
    assert ingot("diff", a, tmp_path / "no.onnx").code == 7
    assert ingot("diff", a).code == 2


def test_inserted_node_is_found_although_all_names_shift(diff, tmp_path):
    ops = ["Relu", "Sigmoid", "Tanh", "Relu", "Abs"]
    report, lines = diff(chain(tmp_path / "a.onnx", ops), chain(tmp_path / "b.onnx", ops[:2] + ["Neg"] + ops[2:]))
    nodes = report["nodes"]
    assert [n["op_type"] for n in nodes["added"]] == ["Neg"] and not nodes["removed"] and nodes["same"] == 5
    (changed,) = nodes["changed"]       # what reads the new node now
    assert changed["op_type"] == "Tanh" and [d["what"] for d in changed["differences"]] == ["input 0"]
    assert "Sigmoid" in changed["differences"][0]["a"] and "Neg" in changed["differences"][0]["b"]
    assert sum(line.startswith("+ Neg") for line in lines) == 1


def test_attributes(diff, tmp_path):
    a = chain(tmp_path / "a.onnx", ["Relu", ("LeakyRelu", {"alpha": 0.5}), ("Softmax", {"axis": 1})])
    b = chain(tmp_path / "b.onnx", ["Relu", ("LeakyRelu", {"alpha": 0.25}), "Softmax"])
    report, lines = diff(a, b)
    nodes = report["nodes"]
    assert nodes["same"] == 2 and not nodes["added"] + nodes["removed"]
    assert [d for n in nodes["changed"] for d in n["differences"]] == [
        {"what": "alpha", "a": "0.5", "b": "0.25"}, {"what": "axis", "a": "1", "b": "nothing"}]


def test_subgraph(diff, tmp_path):
    def model(path, op):
        then = helper.make_graph([helper.make_node(op, ["x"], ["t"])], "then", [], [helper.make_tensor_value_info("t", 1, None)])
        other = helper.make_graph([helper.make_node("Neg", ["x"], ["e"])], "else", [], [helper.make_tensor_value_info("e", 1, None)])
        return save_model(path, [helper.make_node("If", ["c"], ["y"], then_branch=then, else_branch=other)],
                          [("c", TensorProto.BOOL, []), ("x", TensorProto.FLOAT, [3])], [("y", TensorProto.FLOAT, None)])
    a, b = model(tmp_path / "a.onnx", "Abs"), model(tmp_path / "b.onnx", "Exp")
    assert diff(a, a)[0]["same"]
    report, _ = diff(a, b)
    assert [d["what"] for d in report["nodes"]["changed"][0]["differences"]] == ["then_branch"]


@pytest.mark.parametrize("change, max_abs, max_rel, differing", [
    (lambda w: w, 0, 0, None), (lambda w: w + np.float32(0.5), 0.5, 0.5, 12), (lambda w: w * np.where(w == 4, 2, 1).astype("f4"), 4, 1, 1)])
def test_weights(diff, tmp_path, change, max_abs, max_rel, differing):
    a, b = chain(tmp_path / "a.onnx", ["Relu"]), chain(tmp_path / "b.onnx", ["Relu"], weight=change(W))
    report, lines = diff(a, b)
    if not differing:
        assert report["weights"]["same"] == 1 and report["same"]
        return
    (row,) = report["weights"]["changed"]
    assert (row["max_abs"], row["max_rel"], row["differing"], row["elements"]) == (max_abs, max_rel, differing, 12)
    assert not report["nodes"]["changed"] and len(lines) == 1
    assert diff(a, b, "--atol", "4")[0]["same"] and not diff(a, b, "--rtol", "0.1")[0]["same"]


def test_other_type_of_weights(diff, tmp_path):
    def model(path, dtype):
        return save_model(path, [helper.make_node("Add", ["x", "w"], ["y"])], [("x", helper.np_dtype_to_tensor_dtype(np.dtype(dtype)), [3])],
                          [("y", helper.np_dtype_to_tensor_dtype(np.dtype(dtype)), [3])], [("w", np.array([1, 0.1, 4], dtype))])
    report, lines = diff(model(tmp_path / "a.onnx", "float32"), model(tmp_path / "b.onnx", "float16"))
    (row,) = report["weights"]["changed"]
    assert row["type_a"] == "float [3]" and row["type_b"] == "float16 [3]" and 0 < row["max_abs"] < 1e-3
    assert [r["name"] for r in report["inputs"] + report["outputs"]] == ["input 0", "output 0"]


def test_interface_opset_and_metadata(diff, tmp_path):
    a, b = chain(tmp_path / "a.onnx", ["Relu"]), chain(tmp_path / "b.onnx", ["Relu"], opset=18, out="z", shape=(2, 3))
    model = onnx.load(b)
    model.producer_name = "someone"
    model.metadata_props.add(key="labels", value="cat\ndog")
    onnx.save(model, b)
    report, lines = diff(a, b)
    assert report["opsets"] == [{"name": "operator set ai.onnx", "a": "17", "b": "18"}]
    assert report["inputs"] == [{"name": "input 0", "a": "x float [N,3]", "b": "x float [2,3]"}]
    assert report["outputs"][0]["b"].startswith("z ")
    assert {"name": "labels", "a": None, "b": "cat\ndog"} in report["metadata"]
    assert "+ labels: cat\\x0adog" in lines and "~ producer: tests -> someone" in lines
    assert "metadata" not in diff(a, b, "--no-metadata")[0]


def test_hostile_names_stay_on_their_line(diff, tmp_path):
    a = chain(tmp_path / "a.onnx", ["Relu", "Abs"])
    b = chain(tmp_path / "b.onnx", ["Relu", "Neg", "Abs"], prefix="\x1b[31m\n- evil")
    _, lines = diff(a, b)
    assert all("\x1b" not in line for line in lines) and sum(line.startswith("- ") for line in lines) == 0


def test_after_passes(diff, tmp_path):
    a = chain(tmp_path / "a.onnx", ["Identity", "Relu"])
    b = chain(tmp_path / "b.onnx", ["Relu"])
    assert not diff(a, b)[0]["same"] and diff(a, b, "--after-passes")[0]["same"]


def test_bench(diff, tmp_path):
    a = chain(tmp_path / "a.onnx", ["Relu"])
    report, _ = diff(a, a, "--bench", "--iterations", "3", "--dim", "N=4")
    bench = report["bench"]
    assert all(0 < bench[side]["min_ms"] <= bench[side]["median_ms"] and bench[side]["load_ms"] > 0 for side in "ab")
    assert bench["ratio"] == pytest.approx(bench["b"]["median_ms"] / bench["a"]["median_ms"], rel=1e-3)


def test_batch_normalization_between_two_exports(ingot, corpus):
    a, b = corpus("mynet") + "/model.onnx", corpus("mynet_bn") + "/model.onnx"
    report = json.loads(ingot("diff", a, b, "--json").out)
    assert "BatchNormalization" in [n["op_type"] for n in report["nodes"]["added"]]
    assert not report["nodes"]["removed"]


def model(path, nodes, constants=(), inputs=("x",), outputs=("y",), **options):
    """Inputs and outputs are floats of any shape."""
    return save_model(path, nodes, [(n, TensorProto.FLOAT, None) for n in inputs], [(n, TensorProto.FLOAT, None) for n in outputs], constants, **options)


def changes(report):
    return {(d["what"], d["a"], d["b"]) for n in report["nodes"]["changed"] for d in n["differences"]}


def test_what_a_node_reads(diff, tmp_path):
    """Another input of the graph, a constant, a node, or nothing, where it read something else."""
    def clip(name, low, high, before=()):
        return model(tmp_path / name, [*before, helper.make_node("Clip", ["x", low, high], ["y"], name="clip")], [("one", np.float32(1)), ("two", np.float32(2))],
                     inputs=("x", "low"))
    abs_node = helper.make_node("Abs", ["low"], ["a"], name="abs")
    plain = clip("a.onnx", "low", "")
    for b, wanted in [(clip("b.onnx", "one", ""), ("input 1", "input 'low'", "constant 'one'")), (clip("c.onnx", "", ""), ("input 1", "input 'low'", "nothing")),
                      (clip("d.onnx", "low", "two"), ("input 2", "nothing", "constant 'two'")),
                      (clip("e.onnx", "a", "", [abs_node]), ("input 1", "input 'low'", "Abs 'abs'"))]:
        report, lines = diff(plain, b)
        assert wanted in changes(report) and any("Clip 'clip'" in line for line in lines)
        assert (wanted[0], wanted[2], wanted[1]) in changes(diff(b, plain)[0])
    more = model(tmp_path / "f.onnx", [helper.make_node("Clip", ["x"], ["y"], name="clip")], inputs=("x", "low"))
    assert ("input 1", "input 'low'", "nothing") in changes(diff(plain, more)[0])


def test_attributes_that_one_has(diff, tmp_path):
    a = model(tmp_path / "a.onnx", [helper.make_node("Softmax", ["x"], ["y"], name="s")])
    b = model(tmp_path / "b.onnx", [helper.make_node("Softmax", ["x"], ["y"], name="s", axis=1)])
    assert changes(diff(a, b)[0]) == {("axis", "nothing", "1")} and changes(diff(b, a)[0]) == {("axis", "1", "nothing")}


def test_moved_nodes_are_pairs(diff, tmp_path):
    """Branches listed in another order: each node has its twin, although the orders cross."""
    left = [helper.make_node("Relu", ["x"], ["l"], name="left"), helper.make_node("Abs", ["l"], ["la"], name="left abs")]
    right = [helper.make_node("Tanh", ["x"], ["r"], name="right"), helper.make_node("Neg", ["r"], ["rn"], name="right neg")]
    end = [helper.make_node("Sub", ["la", "rn"], ["y"], name="end")]
    report, lines = diff(model(tmp_path / "a.onnx", left + right + end), model(tmp_path / "b.onnx", right + left + end))
    assert report["same"] and report["nodes"]["same"] == 5 and not lines
    other = [helper.make_node("Relu", ["x"], ["l"], name="left"), helper.make_node("Abs", ["r"], ["la"], name="left abs")]
    report, _ = diff(model(tmp_path / "a.onnx", left + right + end), model(tmp_path / "c.onnx", right + other + end))
    assert [n["name"] for n in report["nodes"]["added"]] == ["left abs"] and [n["name"] for n in report["nodes"]["removed"]] == ["left", "left abs"]


@pytest.mark.parametrize("a, b, words", [
    (np.arange(6, dtype=np.float32), np.arange(8, dtype=np.float32), "float [6] -> float [8]"), (np.array(["a", "b"]), np.array(["a", "c"]), "other elements"),
    (np.arange(6, dtype=np.float32), np.arange(6, dtype=np.float32).reshape(2, 3), "float [6] -> float [2,3]"), (np.array(["a", "b"]), np.array(["a", "b"]), None),
    (np.float32([np.nan, 1]), np.float32([np.nan, 1]), None), (np.float32([np.nan, 1]), np.float32([2, 1]), "1 of 2 differ")])
def test_constants_of_any_kind(diff, tmp_path, a, b, words):
    def holder(name, value):
        return model(tmp_path / name, [helper.make_node("Size", ["w"], ["n"]), helper.make_node("Cast", ["n"], ["y"], to=1)],
                     [("w", value.astype(object) if value.dtype.kind == "U" else value)])
    report, lines = diff(holder("a.onnx", a), holder("b.onnx", b))
    assert report["same"] == (words is None) and (words is None or any(words in line for line in lines)), lines


def test_what_only_one_has(diff, tmp_path):
    """Operator sets, properties, inputs, outputs and constants."""
    node = helper.make_node("Relu", ["x"], ["y"])
    a = model(tmp_path / "a.onnx", [node], outputs=("y",))
    b = model(tmp_path / "b.onnx", [node, helper.make_node("Gelu", ["x"], ["z"], domain="com.microsoft")], [("w", np.float32([1]))], inputs=("x", "extra"),
              outputs=("y", "z"), domains=[("com.microsoft", 1)])
    report, lines = diff(a, b)
    assert {"name": "operator set com.microsoft", "a": None, "b": "1"} in report["opsets"] and "+ operator set com.microsoft: 1" in lines
    assert report["inputs"] == [{"name": "input 1", "a": None, "b": "extra float"}] or report["inputs"][0]["a"] is None
    assert report["outputs"][0]["a"] is None
    report, lines = diff(b, a)
    assert "- operator set com.microsoft: 1" in lines and report["inputs"][0]["b"] is None and report["nodes"]["removed"]


def test_fused_operators_are_told(diff, tmp_path):
    w = np.ones((2, 3, 1, 1), np.float32)
    def conv(name, *after):
        nodes, last = [helper.make_node("Conv", ["x", "w"], ["c"], name="conv")], "c"
        for i, op in enumerate(after):
            nodes.append(helper.make_node(op, [last], [f"a{i}"]))
            last = f"a{i}"
        return save_model(tmp_path / name, [*nodes, helper.make_node("Exp", [last], ["y"])], [("x", TensorProto.FLOAT, [1, 3, 4, 4])],
                          [("y", TensorProto.FLOAT, None)], [("w", w)])
    report, lines = diff(conv("a.onnx", "Relu"), conv("b.onnx", "Sigmoid"), "--after-passes")
    assert any(what == "fused" for what, *_ in changes(report)) or report["nodes"]["added"]
    assert not report["same"] and lines
