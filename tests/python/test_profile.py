"""Profiles, the machine's measurement, and forced convolution algorithms, from outside."""
import collections
import html.parser
import json
import os
import re

import numpy as np
import pytest
from conftest import save_model
from onnx import TensorProto, helper, numpy_helper

ALGORITHMS = ["auto", "direct", "winograd"]


def run_outputs(ingot, folder, model, *arguments):
    """Outputs of `ingot run` by name."""
    done = ingot("run", model, "--output-dir", folder, "--quiet", *arguments)
    assert done.code == 0, done.err
    return {name[:-4]: np.load(os.path.join(folder, name)) for name in os.listdir(folder)}


def kernels(ingot, model, *arguments):
    """The kernel of every step, in running order."""
    done = ingot("profile", model, "--iterations", "1", "--json", *arguments)
    assert done.code == 0, done.err
    return [step["kernel"] for step in json.loads(done.out)["steps"]]


@pytest.fixture
def conv(tmp_path):
    """A function that writes y = Conv(x) with seeded weights, x (1, ic, side, side)."""
    def write(ic, oc, side, kernel=3, pads=1, strides=1, group=1):
        weights = np.random.default_rng(0).standard_normal((oc, ic // group, kernel, kernel)).astype(np.float32)
        node = helper.make_node("Conv", ["x", "w"], ["y"], kernel_shape=[kernel] * 2, pads=[pads] * 4, strides=[strides] * 2, group=group)
        out = (side + 2 * pads - kernel) // strides + 1
        return save_model(tmp_path / "conv.onnx", [node], [("x", TensorProto.FLOAT, [1, ic, side, side])],
                          [("y", TensorProto.FLOAT, [1, oc, out, out])], [("w", weights)])
    return write


# ---- profile -----------------------------------------------------------------------------------------------------

@pytest.fixture
def branches(tmp_path):
    """Two convolutions side by side, joined by an addition: large enough for a team of threads."""
    w = np.random.default_rng(0).standard_normal((2, 32, 32, 3, 3)).astype(np.float32)
    nodes = [helper.make_node("Conv", ["x", "w0"], ["a"], name="left", pads=[1] * 4), helper.make_node("Relu", ["a"], ["b"]),
             helper.make_node("Conv", ["x", "w1"], ["c"], name="right", pads=[1] * 4), helper.make_node("Sum", ["b", "c", "x"], ["y"])]
    shape = [1, 32, 40, 40]
    return save_model(tmp_path / "branches <&\">.onnx", nodes, [("x", TensorProto.FLOAT, shape)], [("y", TensorProto.FLOAT, shape)],
                      [("w0", w[0]), ("w1", w[1])])


def test_json(ingot, branches):
    done = ingot("profile", branches, "--iterations", "3", "--threads", "2", "--json", "--conv-algorithm", "direct")
    assert done.code == 0 and done.out.count("\n") == 1 and not done.err
    report = json.loads(done.out)
    assert report["threads"] in (1, 2) and report["runs"] == 3 and report["run_ms"] > 0
    for rates in report["machine"]["one_thread"], report["machine"]["all_threads"]:
        assert all(rates[key] > 0.1 for key in ("gflops", "l2_gbs", "l3_gbs", "dram_gbs"))
    left = next(step for step in report["steps"] if step["node"] == "left")
    assert left["op_type"] == "Conv" and left["fused"] == "Relu" and left["time_us"] > 0 and left["output"] == "float [1,32,40,40]"
    assert left["flops"] == 2 * 9 * 32 * 32 * 40 * 40 and left["flops_done"] == left["flops"]
    assert left["bytes"] == 4 * (2 * 32 * 40 * 40 + 9 * 32 * 32) and left["layout"] == "nchw8c" and "x" in left["tile"]
    assert left["peak_share"] > 0
    for key in "flops", "flops_done", "bytes":
        assert report[key] == sum(step[key] for step in report["steps"])


@pytest.mark.parametrize("kernel, tile", [(1, "6x16"), (3, "7x16")])
def test_tile_at_avx2(ingot, conv, kernel, tile, monkeypatch):
    """Six pixels where many are side by side, as the 1600 of a 1x1, and seven of a row of 40 on Intel's processors."""
    monkeypatch.setenv("INGOT_ISA", "avx2")
    monkeypatch.setenv("INGOT_WIDE", "whole")
    done = ingot("profile", conv(32, 32, 40, kernel, kernel // 2), "--json", "--conv-algorithm", "direct")
    report = json.loads(done.out)
    if report["isa"] != "avx2":
        pytest.skip("a processor without AVX2")
    assert [step["tile"] for step in report["steps"] if step["op_type"] == "Conv"] == [tile]


@pytest.mark.parametrize("m, tiles", [(2, 20 * 20), (4, 10 * 10)])
def test_winograd_counts(ingot, branches, m, tiles):
    """Arithmetic as computed: (m + 2)^2 multiplications for every tile of m x m and pair of channels."""
    done = ingot("profile", branches, "--iterations", "1", "--json", "--conv-algorithm", "winograd")
    for step in json.loads(done.out)["steps"]:
        if f"winograd {m}x{m}" in step["kernel"]:
            assert step["flops_done"] == 2 * tiles * (m + 2) ** 2 * 32 * 32
            assert step["bytes"] >= 4 * (2 * 32 * 40 * 40 + (m + 2) ** 2 * 32 * 32)
    done = ingot("profile", branches, "--iterations", "1", "--json", "--conv-algorithm", "direct")
    assert all(step["flops_done"] == step["flops"] for step in json.loads(done.out)["steps"])


def test_views_move_nothing(ingot, tmp_path):
    model = save_model(tmp_path / "view.onnx", [helper.make_node("Relu", ["x"], ["a"]), helper.make_node("Flatten", ["a"], ["b"]),
                                                helper.make_node("Neg", ["b"], ["y"])],
                       [("x", TensorProto.FLOAT, [2, 3, 4])], [("y", TensorProto.FLOAT, [2, 12])])
    steps = {s["op_type"]: s for s in json.loads(ingot("profile", model, "--json").out)["steps"]}
    assert steps["Flatten"]["bytes"] == 0 and steps["Neg"]["bytes"] == 2 * 4 * 24


@pytest.mark.parametrize("scale, reader, converted", [(4, None, [8, 8]), (4, "MaxPool", [16, 16]), (1, None, [8, 8])])
def test_smaller_side_is_converted(ingot, tmp_path, scale, reader, converted):
    """What enlarges a blocked result for nobody who wants it blocked reads the plain one; a pool wants it blocked."""
    w = np.random.default_rng(0).standard_normal((5, 3, 3, 3)).astype(np.float32)
    nodes = [helper.make_node("Conv", ["x", "w"], ["c"], pads=[1] * 4), helper.make_node("Resize", ["c", "", "s"], ["r"], mode="linear")]
    nodes += [helper.make_node(reader, ["r"], ["y"], kernel_shape=[2, 2], strides=[2, 2])] if reader else []
    side = 8 * scale // (2 if reader else 1)
    model = save_model(tmp_path / "m.onnx", nodes, [("x", TensorProto.FLOAT, [1, 3, 8, 8])],
                       [("y" if reader else "r", TensorProto.FLOAT, [1, 5, side, side])],
                       [("w", w), ("s", np.array([1, 1, scale, scale], np.float32))])
    done = ingot("profile", model, "--iterations", "1", "--json")
    assert done.code == 0, done.err
    reorders = [s["output"] for s in json.loads(done.out)["steps"] if s["op_type"] == "Reorder"]
    assert reorders == [f"float [1,5,{converted[0]},{converted[1]}]"]


@pytest.mark.parametrize("threads", [1, 2])
def test_trace(ingot, branches, tmp_path, threads):
    """Valid JSON of the trace event format: named tracks, and stretches of work that lie within their step."""
    done = ingot("profile", branches, "--iterations", "5", "--threads", threads, "--trace", tmp_path / "t.json", "--quiet")
    assert (done.code, done.out, done.err) == (0, "", "")
    trace = json.loads((tmp_path / "t.json").read_text())
    assert set(trace) == {"traceEvents", "displayTimeUnit"}
    events = trace["traceEvents"]
    names = {e["tid"]: e["args"]["name"] for e in events if e["ph"] == "M" and e["name"] == "thread_name"}
    assert set(names) <= {1, 2} and len(set(names.values())) == len(names)
    slices = [e for e in events if e["ph"] == "X"]
    assert len(slices) + len(names) + 1 == len(events)
    for e in slices:
        assert e["tid"] in names and e["pid"] == 1 and e["ts"] >= 0 and e["dur"] >= 0 and e["cat"] in ("step", "work")
    steps = [e for e in slices if e["cat"] == "step"]
    assert [e["ts"] for e in steps] == sorted(e["ts"] for e in steps) and all(e["tid"] == 1 for e in steps)
    ends = [e["ts"] + e["dur"] for e in steps]
    assert all(end <= e["ts"] + 0.002 for end, e in zip(ends, steps[1:]))
    for work in (e for e in slices if e["cat"] == "work"):
        inside = [s for s in steps if s["ts"] <= work["ts"] <= s["ts"] + s["dur"]]
        assert inside and inside[-1]["args"]["node"] == work["args"]["node"]
    assert threads == 2 or all(e["tid"] == 1 for e in slices)


@pytest.mark.parametrize("keys, shared", [(2, False), (8192, True)])
def test_only_what_is_worth_it_is_shared(ingot, tmp_path, keys, shared):
    """Heads of a decoder's step are a thread's work each where there are many keys, and the caller's own where there are few. A
    large product sees to it that there is a second thread."""
    rows = [(n, TensorProto.FLOAT, [1, 4, size, 32]) for n, size in (("q", 1), ("k", keys), ("v", keys), ("y", 1))]
    square = [(n, TensorProto.FLOAT, [256, 256]) for n in ("a", "b", "c")]
    model = save_model(tmp_path / "m.onnx", [helper.make_node("Attention", ["q", "k", "v"], ["y"], "heads"),
                                             helper.make_node("MatMul", ["a", "b"], ["c"], "product")],
                       rows[:3] + square[:2], rows[3:] + square[2:], opset=23)
    done = ingot("profile", model, "--iterations", "1", "--threads", 2, "--trace", tmp_path / "t.json", "--quiet")
    assert done.code == 0, done.err
    events = json.loads((tmp_path / "t.json").read_text())["traceEvents"]
    nodes = {e["args"]["node"] for e in events if e.get("cat") == "work"}
    assert nodes == ({"heads", "product"} if shared else {"product"})


def test_html(ingot, branches, tmp_path):
    """One well-formed page that fetches nothing; names from the model are escaped."""
    done = ingot("profile", branches, "--iterations", "3", "--html", tmp_path / "p.html", "--quiet")
    assert (done.code, done.out) == (0, ""), done.err
    text = (tmp_path / "p.html").read_text()
    page = Page()
    page.feed(text)
    assert not page.open and page.titles == ["Overview", "Timeline", "Roofline", "Steps", "Graph", "Machine"]
    assert not page.links and "http:" not in text and "https:" not in text and "@import" not in text and "url(" not in text.replace("url(#", "")
    assert "branches &lt;&amp;&quot;&gt;.onnx" in text and "<&" not in text.split("<script>")[0]
    assert page.count["circle"] >= 2 and page.count["rect"] >= 3 and page.count["tr"] >= 5
    assert ingot("profile", branches, "--html", tmp_path / "no" / "p.html", "--quiet").code == 7


def test_html_corpus(ingot, corpus, tmp_path):
    """A graph with branches that end at different depths: every step is a box, and no two boxes overlap."""
    model = os.path.join(corpus("googlenet"), "model.onnx")
    done = ingot("profile", model, "--iterations", "1", "--html", tmp_path / "p.html", "--json")
    text = (tmp_path / "p.html").read_text()
    page = Page()
    page.feed(text)
    places = re.findall(r'<rect class="\w*" x="(\d+)" y="(\d+)" width', text)
    assert len(places) == len(json.loads(done.out)["steps"]) == len(set(places)) and not page.open


class Page(html.parser.HTMLParser):
    """Checks that tags close in order; counts them."""
    VOID = {"meta", "input", "path", "circle", "br"}
    OPTIONAL = {"tr", "td", "th"}

    def __init__(self):
        super().__init__()
        self.open, self.titles, self.links, self.count = [], [], [], collections.Counter()

    def handle_starttag(self, tag, attributes):
        self.count[tag] += 1
        attributes = dict(attributes)
        if tag == "section":
            self.titles.append(attributes["data-title"])
        self.links += [value for key, value in attributes.items() if key in ("src", "href", "srcset")]
        if tag not in self.VOID | self.OPTIONAL:
            self.open.append(tag)

    def handle_startendtag(self, tag, attributes):
        self.count[tag] += 1

    def handle_endtag(self, tag):
        if tag not in self.OPTIONAL:
            assert self.open.pop() == tag


# ---- --conv-algorithm --------------------------------------------------------------------------------------------

@pytest.mark.parametrize("shape, possible", [
    ((16, 16, 12), True), ((8, 24, 7), True), ((13, 5, 9), True), ((64, 64, 1), True), ((8, 8, 5, 3, 0), True),
    ((8, 24, 9, 3, 1, 2), True),      # stride 2
    ((3, 8, 10, 3, 1, 2), False),     # few channels are read as they are
    ((8, 8, 9, 3, 1, 3), False),      # stride 3
    ((32, 48, 17, 3, 1, 1, 2), True), ((64, 32, 15, 3, 1, 1, 4), True),     # groups, of one unit and of several
    ((48, 48, 9, 3, 1, 2, 3), True),  # the same with a stride
    ((24, 24, 9, 3, 1, 1, 2), False), # groups that share blocks
    ((8, 8, 9, 3, 1, 1, 8), False),   # depthwise
    ((8, 8, 9, 1, 0), False),
])
def test_conv_algorithms_agree(ingot, conv, tmp_path, shape, possible):
    model = conv(*shape)
    results = []
    for algorithm in ALGORITHMS:
        folder = tmp_path / algorithm
        results.append(run_outputs(ingot, folder, model, "--conv-algorithm", algorithm)["y"])
        used = any("winograd" in kernel for kernel in kernels(ingot, model, "--conv-algorithm", algorithm))
        assert algorithm == "auto" or used == (possible and algorithm == "winograd")
    scale = np.abs(results[1]).max()
    for result in results:
        np.testing.assert_allclose(result, results[1], rtol=0, atol=2e-5 * scale)


@pytest.mark.parametrize("constant", [True, False])
def test_conv_algorithms_of_groups(ingot, tmp_path, constant):
    """A batch with everything that may follow; the same bits for any number of threads, and for a sample alone."""
    random = np.random.default_rng(0)
    w, b = (random.standard_normal(shape).astype(np.float32) for shape in ((72, 16, 3, 3), (72,)))
    nodes = [helper.make_node("Conv", ["x", "w", "b"], ["c"], group=3, pads=[1] * 4), helper.make_node("Add", ["c", "z"], ["s"]),
             helper.make_node("Relu", ["s"], ["y"])]
    inputs = [("x", TensorProto.FLOAT, ["n", 48, 13, 14]), ("z", TensorProto.FLOAT, ["n", 72, 13, 14])]
    given = [] if constant else [("w", TensorProto.FLOAT, w.shape)]
    model = save_model(tmp_path / "groups.onnx", nodes, inputs + given, [("y", TensorProto.FLOAT, None)],
                       [("b", b)] + ([("w", w)] if constant else []))
    np.save(tmp_path / "w.npy", w)
    x, z = (random.standard_normal((2, *shape[1:])).astype(np.float32) for _, _, shape in inputs)

    def run(n, threads, algorithm):
        np.save(tmp_path / "x.npy", x[:n])
        np.save(tmp_path / "z.npy", z[:n])
        paths = [f"--input={name}={tmp_path / name}.npy" for name in ("x", "z") + (() if constant else ("w",))]
        return run_outputs(ingot, tmp_path / "out", model, *paths, "--threads", threads, "--conv-algorithm", algorithm)["y"]

    want = run(2, "1", "direct")
    assert any("winograd" in kernel for kernel in kernels(ingot, model, "--dim", "n=2", "--conv-algorithm", "winograd"))
    for algorithm in ALGORITHMS:
        y = run(2, "1", algorithm)
        np.testing.assert_allclose(y, want, rtol=0, atol=2e-5 * np.abs(want).max())
        assert np.array_equal(y, run(2, "2", algorithm)) and np.array_equal(y[:1], run(1, "2", algorithm))


@pytest.mark.parametrize("width, channels, auto", [(32, 64, True), (31, 24, True), (4, 64, False), (64, 8, False)])
def test_conv_algorithms_first_layer(ingot, conv, tmp_path, width, channels, auto):
    """Three input channels: by tiles of 1x4 where the processor's kernels have them and it pays, and never by `direct`."""
    model, env = conv(3, channels, width), {**os.environ, "INGOT_ISA": "avx2"}
    steps, results = {}, {}
    for algorithm in ALGORITHMS:
        for argument in ("profile", model, "--iterations", "1", "--json"), ("run", model, "--output-dir", tmp_path / algorithm, "--quiet"):
            done = ingot(*argument, "--conv-algorithm", algorithm, env=env)
            assert done.code == 0, done.err
            if argument[0] == "profile":
                report = json.loads(done.out)
                steps[algorithm] = report["steps"][0]
        results[algorithm] = np.load(tmp_path / algorithm / "y.npy")
    if report["isa"] not in ("avx2", "avxvnni"):
        pytest.skip("the processor has no AVX2")
    assert steps["direct"]["kernel"] == "direct nchw to nchw8c" and steps["direct"]["flops_done"] == steps["direct"]["flops"]
    for algorithm, minimal in ("auto", auto), ("winograd", True):
        kernel = "winograd 1x4 nchw to nchw8c" if minimal else "direct nchw to nchw8c"
        assert steps[algorithm]["kernel"] == kernel
        if minimal:
            assert steps[algorithm]["flops_done"] == 2 * 3 * channels * width * 3 * 6 * ((width + 3) // 4)
        scale = np.abs(results["direct"]).max()
        np.testing.assert_allclose(results[algorithm], results["direct"], rtol=0, atol=1e-6 * scale)


def test_conv_algorithms_resnet(ingot, corpus):
    folder = corpus("resnet18")
    for algorithm in ALGORITHMS:
        model, data = os.path.join(folder, "model.onnx"), os.path.join(folder, "test_data_set_0")
        done = ingot("verify", model, data, "--rtol", "1e-3", "--atol", "1e-4", "--conv-algorithm", algorithm)
        assert done.code == 0, done.out
    used = sum("winograd" in kernel for kernel in kernels(ingot, model, "--conv-algorithm", "winograd"))
    assert used == 16                 # 3x3 of stride 1 and 2
    assert not any("winograd" in kernel for kernel in kernels(ingot, model, "--conv-algorithm", "direct"))


@pytest.mark.parametrize("channels", [(32, 48), (16, 16), (24, 32), (32, 24)])
@pytest.mark.parametrize("size", [1, 7, 14])
def test_conv_algorithms_pointwise(ingot, conv, tmp_path, channels, size):
    """1x1 by halves of channels and pixels: seven products instead of eight where that is possible, the same bits for any number of threads."""
    model, results = conv(*channels, size, 1, 0), {}
    possible = channels[0] % 16 == 0 and channels[1] % 16 == 0 and size > 1
    for algorithm in ALGORITHMS:
        report = json.loads(ingot("profile", model, "--iterations", "1", "--json", "--conv-algorithm", algorithm).out)
        (step,) = [step for step in report["steps"] if step["op_type"] == "Conv"]
        assert (step["kernel"] == "strassen nchw8c") == (possible and algorithm == "winograd")
        assert step["flops_done"] * (8 if possible and algorithm == "winograd" else 7) == step["flops"] * 7
        results[algorithm] = run_outputs(ingot, tmp_path / algorithm, model, "--conv-algorithm", algorithm, "--threads", "1")["y"]
        again = run_outputs(ingot, tmp_path / "2", model, "--conv-algorithm", algorithm, "--threads", "2")["y"]
        assert np.array_equal(results[algorithm], again)
        np.testing.assert_allclose(results[algorithm], results["auto"], rtol=0, atol=2e-6 * np.abs(results["auto"]).max())


def test_conv_algorithms_wide(ingot, corpus):
    """Where AVX-512 passes through units of half its width, multiplications cost more beside all else, and 4x4 pays more often."""
    folder, most = corpus("resnet18"), []
    for wide in "whole", "split":
        env = {**os.environ, "INGOT_WIDE": wide, "INGOT_ISA": "avx512"}
        done = ingot("verify", os.path.join(folder, "model.onnx"), os.path.join(folder, "test_data_set_0"), "--rtol", "1e-3", "--atol", "1e-4", env=env)
        assert done.code == 0, done.out
        report = json.loads(ingot("profile", os.path.join(folder, "model.onnx"), "--iterations", "1", "--json", env=env).out)
        most.append(sum(step["kernel"].startswith("winograd 4x4") for step in report["steps"]))
    if report["isa"] != "avx512":
        assert most[0] == most[1]
        pytest.skip("the processor has no AVX-512")
    assert most[0] < most[1] == 10


@pytest.mark.parametrize("command", ["run", "bench", "inspect", "optimize", "profile"])
def test_conv_algorithm_unknown(ingot, relu, command):
    done = ingot(command, relu, "--conv-algorithm", "fft")
    assert done.code == 2 and len(done.err.splitlines()) == 1 and "auto|direct|winograd" in done.err


def test_conv_algorithm_verify(ingot, conv, tmp_path):
    """The dump of one algorithm is verified by another."""
    model = conv(16, 16, 12)
    x = np.random.default_rng(1).standard_normal((1, 16, 12, 12)).astype(np.float32)
    (tmp_path / "dump").mkdir()
    (tmp_path / "dump" / "input_0.pb").write_bytes(numpy_helper.from_array(x, "x").SerializeToString())
    y = run_outputs(ingot, tmp_path / "out", model, "--input", tmp_path / "dump" / "input_0.pb", "--conv-algorithm", "direct")["y"]
    (tmp_path / "dump" / "output_0.pb").write_bytes(numpy_helper.from_array(y, "y").SerializeToString())
    for algorithm in ALGORITHMS:
        done = ingot("verify", model, tmp_path / "dump", "--rtol", "1e-4", "--atol", "1e-4", "--conv-algorithm", algorithm)
        assert done.code == 0, done.out
