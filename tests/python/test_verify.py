"""`ingot verify` with values from inside the graph: pairing, the table, the first departure, rounding and mistakes."""
import json
import os
import subprocess

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper
from onnx.reference import ReferenceEvaluator

from conftest import INGOT, save_model

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
