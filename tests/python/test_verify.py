"""`ingot verify` with values from inside the graph: pairing, the table, the first departure, rounding and mistakes."""
import json
import os
import subprocess

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper
from onnx.reference import ReferenceEvaluator

from conftest import INGOT, identity, save_model

RNG = np.random.default_rng(7)


def weights(*shape, scale=0.3):
    return (RNG.standard_normal(shape) * scale).astype(np.float32)


def torch_node(op, module, inputs, output, **attributes):
    """A node as the TorchScript exporter names it: "/block/conv/Conv"."""
    return helper.make_node(op, inputs, [output], name="/" + module.replace(".", "/") + "/" + op, **attributes)


@pytest.fixture
def net(tmp_path):
    """Conv, BatchNormalization, Relu, Conv, Relu, with its dump of layers by module path; returns what is needed to break it."""
    constants = {"w1": weights(8, 3, 3, 3), "b1": weights(8), "scale": 1 + weights(8), "bias": weights(8), "mean": weights(8),
                 "var": 1 + np.abs(weights(8)), "w2": weights(8, 8, 3, 3)}
    nodes = [torch_node("Conv", "block.conv", ["x", "w1", "b1"], "c1", pads=[1, 1, 1, 1]),
             torch_node("BatchNormalization", "block.bn", ["c1", "scale", "bias", "mean", "var"], "n1", epsilon=1e-3),
             torch_node("Relu", "block.act", ["n1"], "r1"),
             torch_node("Conv", "head", ["r1", "w2"], "c2", pads=[1, 1, 1, 1]),
             torch_node("Relu", "last", ["c2"], "y")]

    def save(name="net.onnx", **changes):
        return save_model(tmp_path / name, nodes, [("x", TensorProto.FLOAT, [1, 3, 12, 12])],
                          [("y", TensorProto.FLOAT, [1, 8, 12, 12])], [(k, changes.get(k, v)) for k, v in constants.items()])

    model = onnx.load(save())
    x = weights(1, 3, 12, 12, scale=1)
    names = ["c1", "n1", "r1", "c2", "y"]
    watched = onnx.ModelProto()
    watched.CopyFrom(model)
    del watched.graph.output[:]
    watched.graph.output.extend(helper.make_tensor_value_info(n, TensorProto.FLOAT, None) for n in names)
    values = dict(zip(names, ReferenceEvaluator(watched).run(names, {"x": x})))
    modules = {"block.conv": "c1", "block.bn": "n1", "block.act": "r1", "head": "c2", "last": "y"}
    np.savez(tmp_path / "dump.npz", input_0=x, output_0=values["y"])
    np.savez(tmp_path / "layers.npz", **{k: values[v] for k, v in modules.items()})
    np.savez(tmp_path / "named.npz", **values)
    np.savez(tmp_path / "nameless.npz", **{f"a{i}": values[n] for i, n in enumerate(names)})
    return type("Net", (), dict(path=tmp_path, save=staticmethod(save), constants=constants, nodes=nodes, values=values, x=x))


def verify(ingot, net, *arguments, model="net.onnx", layers="layers.npz"):
    done = ingot("verify", net.path / model, net.path / "dump.npz", "--layers", net.path / layers, "--json", *arguments)
    return done, json.loads(done.out) if done.out else {}


@pytest.mark.parametrize("layers, match", [("layers.npz", "module"), ("named.npz", "name"), ("nameless.npz", "guess")])
def test_pairs_by_name_module_or_shape(ingot, net, layers, match):
    done, report = verify(ingot, net, layers=layers)
    assert done.code == 0, done.err + done.out
    assert [r["value"] for r in report["layers"]] == ["c1", "n1", "r1", "c2", "y"]
    assert {r["match"] for r in report["layers"]} == {match}
    assert all(r["cosine"] > 0.999999 and r["max_abs"] < 1e-5 for r in report["layers"])


def test_values_inside_fused_nodes_are_reached(ingot, net):
    _, report = verify(ingot, net)
    assert [r["unfused"] for r in report["layers"]] == [True, True, False, True, False]
    _, report = verify(ingot, net, "--disable-pass", "all")
    assert not any(r["unfused"] for r in report["layers"])


def test_names_the_first_node_that_departs(ingot, net):
    broken = net.constants["w2"].copy()
    broken[3, 2, 1, 1] += 0.5
    net.save("bad.onnx", w2=broken)
    done, report = verify(ingot, net, model="bad.onnx")
    assert done.code == 1 and report["first"]["node"] == "/head/Conv" and report["first"]["suspects"] == ["/head/Conv"]
    assert report["first"]["inputs"][0]["is"].startswith("agrees")
    text = ingot("verify", net.path / "bad.onnx", net.path / "dump.npz", "--layers", net.path / "layers.npz")
    assert "first departs: node '/head/Conv' (Conv)" in text.out and "3 of 5 layers agree" in text.out


def test_isolate_blames_only_the_bad_node(ingot, net):
    net.save("bad.onnx", mean=net.constants["mean"] + 0.25)
    _, report = verify(ingot, net, model="bad.onnx")
    assert [r["verdict"] for r in report["layers"]] == ["agrees"] + ["MISTAKE"] * 4
    _, report = verify(ingot, net, "--isolate", "--disable-pass", "all", model="bad.onnx")
    assert [r["verdict"] for r in report["layers"]] == ["agrees", "MISTAKE", "agrees", "agrees", "agrees"]


def test_suspects_where_the_dump_has_gaps(ingot, net):
    np.savez(net.path / "layers.npz", **{"block.conv": net.values["c1"], "last": net.values["y"]})
    net.save("bad.onnx", w2=net.constants["w2"] * 1.1)
    _, report = verify(ingot, net, model="bad.onnx")
    assert report["first"]["node"] == "/last/Relu"
    assert report["first"]["suspects"] == ["/block/bn/BatchNormalization", "/block/act/Relu", "/head/Conv", "/last/Relu"]


def test_folded_modules_and_second_calls(ingot, tmp_path):
    """BatchNorm folded into Conv by the exporter leaves no node; a module called twice has numbered scopes."""
    w, x = weights(4, 4, 1, 1), weights(1, 4, 5, 5, scale=1)
    nodes = [torch_node("Conv", "conv", ["x", "w"], "c"), torch_node("Relu", "relu", ["c"], "r"),
             torch_node("Conv", "again", ["r", "w"], "d"), torch_node("Relu", "relu_1", ["d"], "y")]
    save_model(tmp_path / "m.onnx", nodes, [("x", TensorProto.FLOAT, [1, 4, 5, 5])], [("y", TensorProto.FLOAT, [1, 4, 5, 5])], [("w", w)])
    c = np.einsum("oi,nihw->nohw", w[:, :, 0, 0], x)
    r = np.maximum(c, 0)
    d = np.einsum("oi,nihw->nohw", w[:, :, 0, 0], r)
    y = np.maximum(d, 0)
    np.savez(tmp_path / "dump.npz", input_0=x, output_0=y)
    np.savez(tmp_path / "layers.npz", **{"conv": c * 2 - 1, "bn": c, "relu": r, "drop": r, "again": d, "relu@1": y})
    done = ingot("verify", tmp_path / "m.onnx", tmp_path / "dump.npz", "--layers", tmp_path / "layers.npz", "--json")
    report = json.loads(done.out)
    assert done.code == 0, done.out
    assert [(r["key"], r["match"], r["value"]) for r in report["layers"]] == [
        ("bn", "folded", "c"), ("relu", "module", "r"), ("again", "module", "d"), ("relu@1", "module", "y")]


def test_module_paths_of_the_dynamo_exporter(ingot, net):
    model = onnx.load(net.save())
    for node in model.graph.node:
        module = node.name[1:].rsplit("/", 1)[0].replace("/", ".")
        node.name = "node_" + node.output[0]
        node.metadata_props.add(key="pkg.torch.onnx.stack_trace", value="File 'x.py', line 1")
        node.metadata_props.add(key="pkg.torch.onnx.name_scopes", value=f"['', '{module.split('.')[0]}', '{module}', 'call']")
    onnx.save(model, net.path / "net.onnx")
    done, report = verify(ingot, net)
    assert done.code == 0 and {r["match"] for r in report["layers"]} == {"module"} and len(report["layers"]) == 5


def test_wrong_files_are_told_in_one_line(ingot, net):
    np.savez(net.path / "other.npz", a=np.zeros((2, 2), np.float32))
    done, _ = verify(ingot, net, layers="other.npz")
    assert done.code == 5 and "none of its 1 values" in done.err and done.err.count("\n") == 1
    done, _ = verify(ingot, net, layers="absent.npz")
    assert done.code == 7
    assert ingot("verify", net.path / "net.onnx", net.path / "dump.npz", "--isolate").code == 2


def test_a_mistake_within_tolerance_is_found(ingot, net):
    """An epsilon of 2e-3 for 1e-3 changes results by half a thousandth: too little for --rtol 1e-2, too much for rounding."""
    model = onnx.load(net.save())
    model.graph.node[1].attribute[0].f = 2e-3
    onnx.save(model, net.path / "bad.onnx")
    done, report = verify(ingot, net, "--rtol", "1e-2", "--atol", "1e-2", model="bad.onnx")
    assert done.code == 1 and report["first"]["node"] == "/block/bn/BatchNormalization" and report["first"]["blame"] == "model"
    assert report["layers"][1]["dump_from_float64"] > report["layers"][1]["rounding"] > report["layers"][1]["ingot_from_float64"]
    assert verify(ingot, net, "--rtol", "1e-2", "--atol", "1e-2", "--no-shadow", model="bad.onnx")[0].code == 0


def test_rounding_is_no_departure(ingot, net):
    """A tolerance of zero: every element that is rounded otherwise is out of it, and nothing is a mistake."""
    done, report = verify(ingot, net, "--rtol", "0", "--atol", "0")
    assert {r["verdict"] for r in report["layers"]} <= {"agrees", "rounding"} and "rounding" in {r["verdict"] for r in report["layers"]}
    assert "first" not in report and done.code == 1    # the output itself is out of tolerance
    done, report = verify(ingot, net, "--rtol", "0", "--atol", "0", "--no-shadow")
    assert "DEPARTS" in {r["verdict"] for r in report["layers"]}


def test_operators_without_a_double_form_stay_float(ingot, tmp_path):
    x, scale, zero = weights(4, 6, scale=1), np.float32(0.02), np.uint8(128)
    nodes = [helper.make_node("QuantizeLinear", ["x", "scale", "zero"], ["q"], name="quantize"),
             helper.make_node("DequantizeLinear", ["q", "scale", "zero"], ["d"], name="dequantize"), helper.make_node("Tanh", ["d"], ["y"], name="tanh")]
    save_model(tmp_path / "m.onnx", nodes, [("x", TensorProto.FLOAT, [4, 6])], [("y", TensorProto.FLOAT, [4, 6])], [("scale", scale), ("zero", zero)], opset=21)
    q, d, y = ReferenceEvaluator(str(tmp_path / "m.onnx")).run(["q", "d", "y"], {"x": x})
    np.savez(tmp_path / "dump.npz", input_0=x, output_0=y)
    np.savez(tmp_path / "layers.npz", q=q, d=d, y=y)
    done = ingot("verify", tmp_path / "m.onnx", tmp_path / "dump.npz", "--layers", tmp_path / "layers.npz")
    assert done.code == 0 and "stay float32: 'quantize' (QuantizeLinear)" in done.out, done.out


@pytest.mark.parametrize("fault, verdict", [(1, "rounding"), (1.001, "MISTAKE")])
def test_a_long_sum_over_packed_weights_is_rounding(ingot, tmp_path, fault, verdict):
    """MatMulNBits, whose K products are added one by one in the dump; and a scale that is wrong by a thousandth."""
    k, n, block = 8192, 4, 32
    packed, scales = RNG.integers(0, 256, (n, k // block, block // 2)).astype(np.uint8), RNG.uniform(0.01, 0.1, (n, k // block)).astype(np.float32)
    node = helper.make_node("MatMulNBits", ["x", "b", "s"], ["y"], domain="com.microsoft", name="product", K=k, N=n, bits=4, block_size=block)
    x, broken = weights(2, k, scale=1), scales.copy()
    broken[1, 7] *= fault
    save_model(tmp_path / "m.onnx", [node], [("x", TensorProto.FLOAT, [2, k])], [("y", TensorProto.FLOAT, [2, n])], [("b", packed), ("s", broken)],
               domains=[("com.microsoft", 1)])
    w = (np.stack([packed & 15, packed >> 4], -1).reshape(n, -1).astype(np.float32) - 8) * scales.repeat(block, 1)
    y = np.cumsum(x[:, None] * w, -1, dtype=np.float32)[..., -1]
    np.savez(tmp_path / "dump.npz", input_0=x, output_0=y)
    np.savez(tmp_path / "layers.npz", y=y)
    done = ingot("verify", tmp_path / "m.onnx", tmp_path / "dump.npz", "--layers", tmp_path / "layers.npz", "--rtol", "1e-7", "--atol", "1e-7", "--json")
    assert done.out, done.err
    report = json.loads(done.out)
    assert [r["verdict"] for r in report["layers"] if r["value"] == "y"] == [verdict], done.out


def test_bisect_passes_names_the_pass_and_the_node(ingot, net):
    broken = os.path.join(os.path.dirname(INGOT), "tests", "ingot_broken")
    if not os.path.exists(broken):
        pytest.skip(f"{broken} is not built")
    command = [broken, "verify", net.path / "net.onnx", net.path / "dump.npz", "--bisect-passes"]
    done = subprocess.run([*command, "--json"], capture_output=True, timeout=60)
    assert done.returncode == 1, done.stderr
    found = json.loads(done.stdout)["bisect_passes"]
    assert found["pass"] == "fold-batch-normalization" and found["node"] == "/block/conv/Conv" and found["value"] == "n1"
    done = subprocess.run([*command, "--disable-pass", "fold-batch-normalization"], capture_output=True, timeout=60, text=True)
    assert done.returncode == 0 and "the outputs agree with all of them" in done.stdout
    done = subprocess.run([*command[:-1], "--layers", net.path / "layers.npz", "--json"], capture_output=True, timeout=60)
    assert json.loads(done.stdout)["first"]["blame"] == "ingot"
    assert "with all of them" in ingot("verify", net.path / "net.onnx", net.path / "dump.npz", "--bisect-passes").out


@pytest.mark.parametrize("name, layers", [("/block/bn/BatchNormalization", True), ("n1", False), ("first", True)])
def test_extract_writes_a_case_that_can_be_sent(ingot, net, name, layers):
    net.save("bad.onnx", mean=net.constants["mean"] + 0.25)
    arguments = ["--layers", net.path / "layers.npz"] if layers else []
    done = ingot("verify", net.path / "bad.onnx", net.path / "dump.npz", "--extract", name, "-o", net.path / "case", *arguments)
    assert done.code == 1 and "node '/block/bn/BatchNormalization'" in done.out, done.err + done.out
    model = onnx.load(net.path / "case" / "model.onnx")
    onnx.checker.check_model(model, full_check=True)
    assert [n.op_type for n in model.graph.node] == ["BatchNormalization"] and [i.name for i in model.graph.input] == ["c1"]
    want = numpy_helper.to_array(onnx.load_tensor(net.path / "case" / "test_data_set_0" / "output_0.pb"))
    if layers:
        np.testing.assert_array_equal(want, net.values["n1"])
    assert ingot("verify", net.path / "case" / "model.onnx", net.path / "case" / "test_data_set_0").code == (1 if layers else 0)


def test_extract_says_what_is_missing(ingot, net):
    case = ("verify", net.path / "net.onnx", net.path / "dump.npz", "--extract")
    assert ingot(*case, "nowhere", "-o", net.path / "case").code == 2
    assert ingot(*case, "n1").code == 2


def test_page(ingot, net):
    net.save("bad.onnx", mean=net.constants["mean"] + 0.25)
    done = ingot("verify", net.path / "bad.onnx", net.path / "dump.npz", "--layers", net.path / "layers.npz", "--html", net.path / "page.html", "--quiet")
    page = (net.path / "page.html").read_text()
    assert done.code == 1 and page.startswith("<!doctype html>") and page.rstrip().endswith("</html>")
    for part in ("Growth of errors", "Graph", "Layers", "Differences of the worst layers", "/block/bn/BatchNormalization", "MISTAKE", "<svg"):
        assert part in page
    assert "http://" not in page.replace("http://www.w3.org", "") and "https://" not in page and "src=" not in page
    assert ingot("verify", net.path / "net.onnx", net.path / "dump.npz", "--html", net.path / "page.html").code == 2


def test_a_folder_of_many_sets(ingot, net, tmp_path):
    sets = tmp_path / "sets"
    for k in (0, 1, 2, 10):
        (sets / f"test_data_set_{k}").mkdir(parents=True)
        for name, value in (("input_0", net.x), ("output_0", net.values["y"] + (np.float32(0.5) if k == 10 else 0))):
            (sets / f"test_data_set_{k}" / f"{name}.pb").write_bytes(numpy_helper.from_array(value).SerializeToString())
    np.savez(sets / "layers.npz", other=net.x)      # no set: there are folders
    done = ingot("verify", net.path / "net.onnx", sets, "--json")
    report = json.loads(done.out)
    assert done.code == 1 and report["sets"] == 4 and report["agreeing_sets"] == 3 and not done.err
    assert report["outputs"][0]["worst_set"] == "test_data_set_10" and abs(report["outputs"][0]["max_abs"] - 0.5) < 1e-5
    done = ingot("verify", net.path / "net.onnx", sets)
    assert "3 of 4 sets agree" in done.out and "DIFFERS test_data_set_10" in done.out
    assert ingot("verify", net.path / "net.onnx", sets, "--layers", net.path / "layers.npz").code == 2
    (sets / "test_data_set_2" / "input_0.pb").write_bytes(b"nonsense")
    assert ingot("verify", net.path / "net.onnx", sets).code == 5


def test_classifiers_are_told_by_their_top_class(ingot, tmp_path):
    w = weights(4, 3)
    save_model(tmp_path / "m.onnx", [helper.make_node("MatMul", ["x", "w"], ["y"])], [("x", TensorProto.FLOAT, ["N", 4])],
               [("y", TensorProto.FLOAT, ["N", 3])], [("w", w)])
    (tmp_path / "sets").mkdir()
    for k in range(4):
        x = weights(5, 4, scale=1)
        y = x @ w
        if k == 3:
            y[0] = np.roll(y[0], 1)
        np.savez(tmp_path / "sets" / f"{k}.npz", x=x, y=y)
    report = json.loads(ingot("verify", tmp_path / "m.onnx", tmp_path / "sets", "--json").out)
    assert report["outputs"][0]["same_top_1"] == 0.95 and report["agreeing_sets"] == 3


def test_parameters_tell_modules_where_paths_are_gone(ingot, net):
    model = onnx.load(net.save())
    for node in model.graph.node:
        node.name = f"node_{node.output[0]}"
    renamed = {"w1": "block.conv.weight", "b1": "block.conv.bias", "scale": "block.bn.weight", "bias": "block.bn.bias", "w2": "head.weight"}
    for constant in model.graph.initializer:
        constant.name = renamed.get(constant.name, constant.name)
    for node in model.graph.node:
        node.input[:] = [renamed.get(name, name) for name in node.input]
    onnx.save(model, net.path / "net.onnx")
    done, report = verify(ingot, net)
    assert done.code == 0 and [(r["key"], r["match"], r["value"]) for r in report["layers"]] == [
        ("block.conv", "module", "c1"), ("block.bn", "module", "n1"), ("head", "module", "c2")]


def text_of(ingot, net, *arguments, model="net.onnx", layers="layers.npz", code=1):
    done = ingot("verify", net.path / model, net.path / "dump.npz", "--layers", net.path / layers, *arguments)
    assert done.code == code and not done.err, done.out + done.err
    return done.out


def test_the_text_says_what_the_report_says(ingot, net):
    """Suspects, guesses, rounding, values without a pair, names too long for the table, colour."""
    np.savez(net.path / "gaps.npz", **{"block.conv": net.values["c1"], "last": net.values["y"], "loss": np.float32([1]), "lr": np.float32([2])})
    net.save("bad.onnx", w2=net.constants["w2"] * 1.1)
    text = text_of(ingot, net, model="bad.onnx", layers="gaps.npz")
    assert "or one of the 3 nodes before it that the dump does not show: '/block/bn/BatchNormalization', '/block/act/Relu', '/head/Conv'\n" in text
    assert "not in the graph as such: 'loss', 'lr'\n" in text and "reads 'c2': not in the dump; made by '/head/Conv' (Conv)" in text
    assert "a guess" in text_of(ingot, net, layers="nameless.npz", code=0)
    assert "out of tolerance by rounding alone" in text_of(ingot, net, "--rtol", "0", "--atol", "0")
    assert "every node read the dump's values" in text_of(ingot, net, "--isolate", code=0)
    text = text_of(ingot, net, "--color", "always", model="bad.onnx")
    assert "\x1b[32magrees" in text and "\x1b[31mMISTAKE" in text and "\x1b" not in text_of(ingot, net, model="bad.onnx")
    model = onnx.load(net.path / "bad.onnx")
    for node in model.graph.node:
        node.name = "/" + "very_long_module_name." * 4 + node.name[1:]
    onnx.save(model, net.path / "long.onnx")
    text = text_of(ingot, net, model="long.onnx", layers="named.npz")
    rows = [line for line in text.splitlines() if line.startswith(("agrees", "MISTAKE", "rounding"))]
    assert len(rows) == 5 and max(len(word) for row in rows for word in row.split()) == 44


def test_layers_that_are_no_numbers_or_of_another_shape(ingot, net):
    layers = {k: net.values[k].copy() for k in ("c1", "n1", "r1", "c2")}
    layers["c1"][0, 0, 0, 0], layers["n1"][0, 1, 2, 3], layers["r1"][0, 0, 0, :2] = np.nan, np.inf, (-np.inf, np.nan)
    layers["c2"] = layers["c2"].reshape(8, 12, 12)[:4]
    np.savez(net.path / "layers.npz", **layers)
    done, report = verify(ingot, net)
    rows = {r["value"]: r for r in report["layers"]}
    assert done.code == 1 and {r["verdict"] for r in rows.values()} <= {"DEPARTS", "MISTAKE"} and len(rows) == 4
    text = text_of(ingot, net)
    assert "another shape or type: float [4,12,12]" in text and "0 of 4 layers agree" in text
    x = np.float32([[1, np.nan], [np.inf, -np.inf]])
    identity(net.path / "same.onnx", TensorProto.FLOAT, [2, 2])
    np.savez(net.path / "dump.npz", input_0=x, output_0=x)
    np.savez(net.path / "layers.npz", y=x)
    assert "1 of 1 layers agree" in text_of(ingot, net, model="same.onnx", code=0)


@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "int64", "strings", "empty"])
def test_layers_of_other_types(ingot, tmp_path, dtype):
    """Halves are rounded to their own precision; integers must be equal; strings are not looked at."""
    kind = {"strings": TensorProto.STRING, "bfloat16": TensorProto.BFLOAT16, "int64": TensorProto.INT64, "float16": TensorProto.FLOAT16}.get(dtype, TensorProto.FLOAT)
    shape = [0, 3] if dtype == "empty" else [4, 3]
    x = {"strings": lambda: np.array([["a", "b", "c"]] * 4), "int64": lambda: np.arange(12).reshape(4, 3), "empty": lambda: np.zeros((0, 3), np.float32)}.get(
        dtype, lambda: weights(4, 3).astype(np.float16))()
    nodes = [helper.make_node("Identity" if dtype == "strings" else "Abs", ["x"], ["a"], name="first"), helper.make_node("Identity", ["a"], ["y"], name="second")]
    save_model(tmp_path / "m.onnx", nodes, [("x", kind, shape)], [("y", kind, shape)])
    dump, layers = tmp_path / "dump", tmp_path / "layers.npz"
    dump.mkdir()
    a = x if dtype == "strings" else np.abs(x)
    for name, value in (("input_0", x), ("output_0", a)):
        tensor = numpy_helper.from_array(value.astype(object) if dtype == "strings" else value)
        if dtype == "bfloat16":
            tensor = helper.make_tensor("x", kind, shape, value.astype(np.float32).ravel())
        (dump / f"{name}.pb").write_bytes(tensor.SerializeToString())
    np.savez(layers, a=a, y=a)
    for options in ([], ["--isolate"], ["--disable-pass", "all"], ["--no-shadow"]):
        done = ingot("verify", tmp_path / "m.onnx", dump, "--layers", layers, "--json", *options)
        if dtype in ("strings", "bfloat16"):
            assert done.code in (0, 1, 5) and done.err.count("\n") <= 1, done.err
            continue
        assert done.code == 0, done.err + done.out
        assert {r["verdict"] for r in json.loads(done.out)["layers"]} == {"agrees"}


def test_bisect_passes_in_words(ingot, net):
    broken = os.path.join(os.path.dirname(INGOT), "tests", "ingot_broken")
    if not os.path.exists(broken):
        pytest.skip(f"{broken} is not built")
    command = ["verify", net.path / "net.onnx", net.path / "dump.npz"]
    done = subprocess.run([broken, *command, "--bisect-passes"], capture_output=True, timeout=60, text=True)
    assert done.returncode == 1 and "pass 'fold-batch-normalization' (run" in done.stdout and "'/block/conv/Conv'" in done.stdout
    done = subprocess.run([broken, *command, "--layers", net.path / "layers.npz"], capture_output=True, timeout=60, text=True)
    assert done.returncode == 1 and "Ingot does not compute what the model says" in done.stdout
    np.savez(net.path / "dump.npz", input_0=net.x, output_0=net.values["y"] + 1)
    assert "passes are not to blame" in ingot(*command, "--bisect-passes").out
    assert not ingot(*command, "--bisect-passes", "--quiet").out
    assert "bisect_passes" not in json.loads(ingot(*command, "--bisect-passes", "--json").out)
    np.savez(net.path / "dump.npz", input_0=net.x[:, :2], output_0=net.values["y"])
    assert ingot(*command, "--bisect-passes").code == 5


def test_extract_where_nothing_departs(ingot, net):
    case = net.path / "case"
    for options in ([], ["--json"], ["--quiet"]):
        done = ingot("verify", net.path / "net.onnx", net.path / "dump.npz", "--layers", net.path / "layers.npz", "--extract", "first", "-o", case, *options)
        assert done.code == 0 and not case.exists(), done.out + done.err
    done = ingot("verify", net.path / "net.onnx", net.path / "dump.npz", "--extract", "/head/Conv", "-o", case, "--quiet")
    assert done.code == 0 and not done.out and (case / "model.onnx").exists()
    done = ingot("verify", net.path / "net.onnx", net.path / "dump.npz", "--extract", "/head/Conv", "-o", net.path / "dump.npz" / "case")
    assert done.code == 7 and done.err.count("\n") == 1
    done = ingot("verify", net.path / "net.onnx", net.path / "dump.npz", "--extract", "/head/Conv", "-o", "a/" * 2045 + "b")
    assert done.code == 7 and done.err.count("\n") == 1


def test_keys_with_items_and_calls(ingot, tmp_path):
    """"fc:1" is the second result of module fc, "fc@1" its second call; "layers.fc" the layer in a dump of all things."""
    x = weights(2, 6, scale=1)
    nodes = [helper.make_node("Split", ["x"], ["s0", "s1"], name="/cut/Split", axis=1, num_outputs=2),
             torch_node("Relu", "act", ["s0"], "r0"), torch_node("Relu", "act_1", ["s1"], "r1"), torch_node("Add", "sum", ["r0", "r1"], "y")]
    save_model(tmp_path / "m.onnx", nodes, [("x", TensorProto.FLOAT, [2, 6])], [("y", TensorProto.FLOAT, [2, 3])], opset=18)
    a, b = x[:, :3], x[:, 3:]
    y = np.maximum(a, 0) + np.maximum(b, 0)
    dump = tmp_path / "dump.npz"
    np.savez(dump, input_0=x, output_0=y, **{"layers.cut:0": a, "layers.cut:1": b, "layers.act": np.maximum(a, 0), "layers.act@1": np.maximum(b, 0),
                                              "layers.sum": y, "layers.none:x": y[0], "layers.odd@": y[1]})
    done = ingot("verify", tmp_path / "m.onnx", dump, "--layers", dump, "--json")
    rows = {r["key"]: r for r in json.loads(done.out)["layers"]}
    assert done.code == 0, done.out
    assert [rows[f"layers.{k}"]["value"] for k in ("cut:0", "cut:1", "act", "act@1", "sum")] == ["s0", "s1", "r0", "r1", "y"]


def test_sets_in_words(ingot, net, tmp_path):
    """Sets of one name and several numbers, quiet, with outputs that are missing or another thing; a folder of files."""
    w = weights(4, 3)
    save_model(tmp_path / "m.onnx", [helper.make_node("MatMul", ["x", "w"], ["y"]), helper.make_node("Relu", ["y"], ["z"])], [("x", TensorProto.FLOAT, ["N", 4])],
               [("y", TensorProto.FLOAT, ["N", 3]), ("z", TensorProto.FLOAT, ["N", 3])], [("w", w)])
    sets = tmp_path / "sets"
    sets.mkdir()
    for name in ("a2", "a10", "b", "a02x", "1"):
        x = weights(5, 4, scale=1)
        np.savez(sets / f"{name}.npz", x=x, y=x @ w)
    done = ingot("verify", tmp_path / "m.onnx", sets)
    assert done.code == 0 and "5 of 5 sets agree" in done.out and "the same top class for 25 of 25 rows (100.00 %)" in done.out, done.out + done.err
    assert "z" not in [o["name"] for o in json.loads(ingot("verify", tmp_path / "m.onnx", sets, "--json").out)["outputs"]]
    for k in range(25):
        np.savez(sets / f"c{k}.npz", x=weights(5, 4), y=np.full([5, 3], k, np.float32))
    done = ingot("verify", tmp_path / "m.onnx", sets)
    assert done.code == 1 and "5 of 30 sets agree" in done.out and done.out.count("DIFFERS c") == 20
    done = ingot("verify", tmp_path / "m.onnx", sets, "--quiet")
    assert (done.code, done.out, done.err) == (1, "", "")
    np.savez(sets / "c7.npz", x=weights(5, 4))
    done = ingot("verify", tmp_path / "m.onnx", sets)
    assert done.code == 5 and "c7.npz" in done.err and done.err.count("\n") == 1
    np.savez(sets / "c7.npz", x=weights(5, 4), y=np.zeros([5, 3], np.int64), z=np.zeros(3, np.float32))
    assert ingot("verify", tmp_path / "m.onnx", sets).code == 1
    assert ingot("verify", tmp_path / "none.onnx", sets).code == 7
