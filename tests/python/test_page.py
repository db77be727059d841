"""`ingot inspect --html`: one page that needs nothing from outside, whatever names a model holds."""
import base64
import hashlib
import html.parser
import json
import re

import numpy as np
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
    conv = after["nodes"][1]                    # all three in one, which reads the input twice
    assert (conv["o"], conv["f"]) == ("Conv", "Add Relu") and [i[2] for i in conv["i"]].count(0) == 2 and len(after["nodes"]) == 3


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
