"""`ingot inspect --html`: one page that needs nothing from outside, whatever names a model holds."""
import base64
import hashlib
import html.parser
import json
import re

import numpy as np
import onnx
import pytest
from conftest import save_model
from onnx import TensorProto, helper
from test_cli import fails

HOSTILE = "</script><img src=x onerror=alert(1)>\"'&\u2028<!--"


class Page(html.parser.HTMLParser):
    """Sections, chapters, scripts and whatever could fetch something or be left open."""
    VOID = {"meta", "input", "img", "br", "link", "path", "circle", "rect", "tr", "td", "th"}

    def __init__(self, text):
        super().__init__()
        self.sections, self.chapters, self.scripts, self.foreign, self.csp, self.kind = [], [], [], [], "", None
        self.feed(text)
        self.graphs = json.loads(next((t for k, t in self.scripts if k == "application/json"), "[]"))

    def handle_starttag(self, tag, attributes):
        given = dict(attributes)
        self.sections += [given["data-title"]] if tag == "section" else []
        self.chapters += [given["data-title"]] if given.get("class") == "chapter" else []
        self.foreign += [(tag, a) for a in given if a in ("src", "onerror", "onclick", "onload") or (a == "href" and not given[a].startswith("#"))]
        self.foreign += [tag] if tag in ("link", "iframe", "img", "object", "embed") else []
        self.csp = given["content"] if given.get("http-equiv") == "Content-Security-Policy" else self.csp
        self.kind = given.get("type", "script") if tag == "script" else None
        self.scripts += [[self.kind, ""]] if self.kind else []

    def handle_data(self, data):
        if self.kind:
            self.scripts[-1][1] += data

    def handle_endtag(self, tag):
        self.kind = None


@pytest.fixture
def page(ingot, tmp_path):
    def write(model, *options):
        done = ingot("inspect", model, "--html", tmp_path / "page.html", *options)
        assert done.code == 0 and not done.err and not done.out, done.err
        parsed = Page((tmp_path / "page.html").read_text())
        assert not parsed.foreign
        for kind, text in parsed.scripts:       # those that run are the ones that the policy names
            digest = base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
            assert kind != "script" or f"'sha256-{digest}'" in parsed.csp
        assert "default-src 'none'" in parsed.csp
        return parsed
    return write


def residual(path, names=("x", "y"), n=1):
    x, y = names
    nodes, last = [], x
    for i in range(n):
        out = y if i == n - 1 else f"r{i}"
        nodes += [helper.make_node("Conv", [last, "w"], [f"c{i}"], name=f"/layer{i % 4}/block{i}/conv/Conv", pads=[1, 1, 1, 1]),
                  helper.make_node("Add", [f"c{i}", last], [f"a{i}"], name=f"/layer{i % 4}/block{i}/Add"),
                  helper.make_node("Relu", [f"a{i}"], [out], name=f"/layer{i % 4}/block{i}/relu/Relu")]
        last = out
    return save_model(path, nodes, [(x, TensorProto.FLOAT, ["N", 4, 8, 8])], [(y, TensorProto.FLOAT, None)],
                      [("w", np.random.default_rng(1).normal(size=(4, 4, 3, 3)).astype("f4"))])


def test_graphs(page, tmp_path):
    parsed = page(residual(tmp_path / "m.onnx"), "--dim", "N=2")
    assert parsed.sections == ["Overview", "Graph", "Inputs and outputs", "Memory over time", "Passes", "Parameters"]
    after, before = parsed.graphs
    assert [n["o"] for n in before["nodes"]] == ["Input", "Conv", "Add", "Relu", "Output"]
    assert before["nodes"][1]["u"] == [["c0", "float [2,4,8,8]"]]
    assert before["nodes"][1]["i"] == [["x", "float [2,4,8,8]", 0], ["w", "float [4,4,3,3]", -2]] and before["nodes"][1]["p"] == 144
    assert ["pads", "[1,1,1,1]"] in before["nodes"][1]["a"] and before["nodes"][2]["i"][1][2] == 0
    conv = after["nodes"][1]                    # all three in one: what is added to the input became weights
    assert (conv["o"], conv["f"]) == ("Conv", "Relu") and [i[2] for i in conv["i"]].count(0) == 1 and len(after["nodes"]) == 3


def test_hostile_names(page, tmp_path):
    parsed = page(residual(tmp_path / "m.onnx", names=(HOSTILE, "y" + HOSTILE)))
    assert parsed.graphs[1]["nodes"][0]["n"] == HOSTILE and len(parsed.scripts) == 3


def test_thousands_of_nodes(page, tmp_path):
    parsed = page(residual(tmp_path / "m.onnx", n=1500))
    assert [len(g["nodes"]) for g in parsed.graphs] == [1502, 4502]


def test_profile_and_verification_are_chapters(page, ingot, tmp_path):
    model = residual(tmp_path / "m.onnx")
    np.savez(tmp_path / "x.npz", input_0=np.ones((1, 4, 8, 8), "f4"))
    assert ingot("run", model, "--input", tmp_path / "x.npz", "--output-dir", tmp_path, "--quiet").code == 0
    y = np.load(tmp_path / "y.npy")
    np.savez(tmp_path / "dump.npz", input_0=np.ones((1, 4, 8, 8), "f4"), output_0=y, y=y)
    parsed = page(model, "--profile", "--dump", tmp_path / "dump.npz", "--layers", tmp_path / "dump.npz")
    assert parsed.chapters == ["Model", "Profile", "Verification"]
    assert {"Timeline", "Roofline", "Steps", "Machine", "Outputs", "Verdict", "Layers"} <= set(parsed.sections)
    assert "agrees" in (tmp_path / "page.html").read_text()


def test_models_that_would_not_run_are_shown_all_the_same(page, tmp_path):
    model = save_model(tmp_path / "m.onnx", [helper.make_node("Frobnicate", ["x"], ["y"], domain="alien")],
                       [("x", TensorProto.FLOAT, [3])], [("y", TensorProto.FLOAT, [3])], domains=[("alien", 1)])
    parsed = page(model)
    assert "Memory over time" not in parsed.sections and parsed.graphs[0]["nodes"][1]["o"] == "Frobnicate"
    assert "Frobnicate" in re.search(r"<h2>Overview</h2>.*?</section>", (tmp_path / "page.html").read_text(), re.S).group()


def test_wrong_usage(ingot, relu, tmp_path):
    fails(ingot("inspect", relu, "--html", tmp_path / "p.html", "--json"), 2, "--html")
    fails(ingot("inspect", relu, "--profile"), 2, "--html")
    fails(ingot("inspect", relu, "--html", tmp_path / "p.html", "--layers", "x.npz"), 2, "--dump")
    fails(ingot("inspect", relu, "--html", tmp_path / "no" / "p.html"), 7, "p.html")


def test_models_of_every_kind(page, ingot, tmp_path):
    """Shapes that only a run shows, outputs that are inputs, constants of every kind, nodes and producers without a name, metadata."""
    nodes = [helper.make_node("NonZero", ["x"], ["n"]), helper.make_node("Clip", ["x", "", "high"], ["c"]), helper.make_node("Identity", ["x"], ["z"]),
             helper.make_node("StringConcat", ["s", "s"], ["t"], name="text"), helper.make_node("Add", ["c", "odd"], ["y"]), helper.make_node("Add", ["e", "empty"], ["f"]),
             helper.make_node("Cast", ["n"], ["k"], to=1), helper.make_node("Mul", ["y", "one"], ["m"]), helper.make_node("Add", ["half", "half"], ["h"])]
    path = save_model(tmp_path / "m.onnx", nodes, [("x", TensorProto.FLOAT, ["N", 3]), ("e", TensorProto.FLOAT, [0, 3])],
                      [(n, t, None) for n, t in (("k", 1), ("m", 1), ("z", 1), ("t", 8), ("f", 1), ("h", 10))],
                      [("high", np.float32(1)), ("s", np.array(["a", "b"], object)), ("odd", np.float32([np.nan, np.inf, 0])), ("empty", np.zeros((0, 3), np.float32)),
                       ("one", np.float32([1, 1, 1])), ("half", np.ones(3, np.float16))], opset=20)
    model = onnx.load(path)
    model.producer_name = model.graph.name = ""
    model.metadata_props.add(key="what" + HOSTILE, value=HOSTILE)
    onnx.save(model, path)
    parsed = page(path, "--disable-pass", "all")
    texts = [u[1] for n in parsed.graphs[0]["nodes"] for u in n.get("u", [])]
    assert any("a run shows" in t for t in texts) and {"Inputs and outputs", "Parameters"} <= set(parsed.sections)
    text = (tmp_path / "page.html").read_text()
    assert "metadata" in text and "an unknown tool" in text
    data = onnx.load(path).SerializeToString().replace(b"text", b"\xff\xc3\x28\x01")        # a name that is no UTF-8
    (tmp_path / "bytes.onnx").write_bytes(data)
    parsed = page(tmp_path / "bytes.onnx")
    assert len(parsed.graphs) == 2
    for options in (["--json"], ["--dot"], []):
        done = ingot("inspect", tmp_path / "bytes.onnx", *options)
        assert done.code == 0 and done.out.isprintable or "\n" in done.out
    nothing = save_model(tmp_path / "nothing.onnx", [], [("x", TensorProto.FLOAT, [2])], [("x", TensorProto.FLOAT, [2])])
    assert "Memory over time" not in page(nothing).sections
    unknown = save_model(tmp_path / "unknown.onnx", [helper.make_node("Relu", ["x"], ["y"])], [("x", TensorProto.FLOAT, None)], [("y", TensorProto.FLOAT, None)])
    assert "Memory over time" not in page(unknown).sections and len(page(unknown).graphs) == 2


def test_verification_of_a_wrong_model(ingot, tmp_path):
    """Outputs that differ, are missing from the dump, or of another type; layers that are no numbers, and none that departs."""
    model = residual(tmp_path / "m.onnx", n=2)
    x = np.ones((1, 4, 8, 8), "f4")
    np.savez(tmp_path / "x.npz", input_0=x)
    assert ingot("run", model, "--input", tmp_path / "x.npz", "--output-dir", tmp_path, "--quiet").code == 0
    y = np.load(tmp_path / "y.npy")
    broken = y.copy()
    broken[0, 0, 0, 0] = np.nan
    np.savez(tmp_path / "dump.npz", input_0=x)
    fails(ingot("inspect", model, "--html", tmp_path / "page.html", "--dump", tmp_path / "none.npz"), 7, "none.npz")
    assert ingot("inspect", model, "--html", tmp_path / "page.html", "--dump", tmp_path / "dump.npz").code in (0, 5)
    for output, layer, word in [(y + 1, y + 1, "DIFFERS"), (y, broken, "agrees"), (y.astype("f8"), y[0], "DIFFERS"), (y, np.zeros_like(y), "agrees"), (y, y, "agrees")]:
        np.savez(tmp_path / "dump.npz", input_0=x, output_0=output)
        np.savez(tmp_path / "layers.npz", y=layer)
        done = ingot("inspect", model, "--html", tmp_path / "page.html", "--dump", tmp_path / "dump.npz", "--layers", tmp_path / "layers.npz")
        assert done.code in (0, 1) and word in (tmp_path / "page.html").read_text(), done.err
        done = ingot("verify", model, tmp_path / "dump.npz", "--layers", tmp_path / "layers.npz", "--html", tmp_path / "verify.html", "--quiet")
        assert done.code == (0 if np.array_equal(layer, y) and output is y else 1), done.err
        parsed = Page((tmp_path / "verify.html").read_text())
        assert not parsed.foreign and "Layers" in parsed.sections


def test_profiles_of_small_things(ingot, tmp_path):
    """Steps without arithmetic, without time, none at all; more steps than rows; on one thread and on two."""
    nothing = save_model(tmp_path / "nothing.onnx", [], [("x", TensorProto.FLOAT, [2])], [("x", TensorProto.FLOAT, [2])])
    for model in (nothing, residual(tmp_path / "m.onnx", n=3)):
        for threads in ("1", "2"):
            done = ingot("profile", model, "--iterations", "2", "--rows", "2", "--threads", threads, "--html", tmp_path / "p.html", "--conv-algorithm", "direct")
            assert done.code == 0 and f"{threads} thread" in done.out and not Page((tmp_path / "p.html").read_text()).foreign, done.err
    fails(ingot("profile", tmp_path / "none.onnx", "--json"), 7, "none.onnx")
    fails(ingot("profile", residual(tmp_path / "m.onnx"), "--json", "--dim", "N=1000000000"), 6)
