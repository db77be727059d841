"""Steps that the planner makes of several: attention, channels normalized, convolutions of mobile networks. One step
where it can be, right in any case."""
import os
import subprocess

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper
from onnx.reference import ReferenceEvaluator

from conftest import ROOT

BUILD = os.environ.get("INGOT_BUILD") or os.path.join(ROOT, "build")
N, H, L, S, D, V = 2, 3, 19, 33, 12, 20  # batch, heads, queries, keys, depth, depth of values


class Graph:
    """Nodes and constants as they are named on the way."""

    def __init__(self):
        self.nodes, self.constants, self.random = [], {}, np.random.default_rng(3)

    def add(self, op, *inputs, n_outputs=1, **attributes):
        names = [i if isinstance(i, str) else self.constant(i) for i in inputs]
        outputs = [f"v{len(self.nodes)}_{i}" for i in range(n_outputs)]
        self.nodes.append(helper.make_node(op, names, outputs, **attributes))
        return outputs[0] if n_outputs == 1 else outputs

    def constant(self, value):
        name = f"c{len(self.constants)}"
        self.constants[name] = np.asarray(value)
        return name

    def model(self, inputs, outputs, opset=18):
        infos = [helper.make_tensor_value_info(n, TensorProto.FLOAT, [None] * a.ndim) for n, a in inputs.items()]
        graph = helper.make_graph(self.nodes, "test", infos, [helper.make_empty_tensor_value_info(o) for o in outputs],
                                  [numpy_helper.from_array(a, n) for n, a in self.constants.items()])
        return helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=8)


def ints(*values):
    return np.array(values, np.int64)


def number(value):
    return np.array(value, np.float32)


def random(*shape):
    return np.random.default_rng(len(shape) + shape[-1]).normal(size=shape).astype(np.float32)


def attend(g, q, kt, v, scale=None, mask=None, op="Mul", axis=-1):
    """The products with what comes between them."""
    scores = g.add("MatMul", q, kt)
    if scale is not None:
        scores = g.add(op, scores, number(scale))
    if mask is not None:
        scores = g.add("Add", *mask(scores))
    return g.add("MatMul", g.add("Softmax", scores, axis=axis), v)


@pytest.fixture
def check(ingot, tmp_path):
    """Run a graph by Ingot on one and three threads and by the reference; returns how many steps were merged ones."""

    def call(g, inputs, outputs, kernel=("queries in lanes", "packed heads", "few queries"), **options):
        path = tmp_path / "model.onnx"
        onnx.save(g.model(inputs, outputs, **options), path)
        arguments, results = [], []
        for name, array in inputs.items():
            np.save(tmp_path / f"{name}.npy", array)
            arguments += ["--input", f"{name}={tmp_path}/{name}.npy"]
        for threads in (1, 3):
            ran = ingot("run", path, *arguments, "--output-dir", tmp_path / "out", "--threads", threads)
            assert ran.code == 0, ran.err
            results.append([np.load(tmp_path / "out" / f"{o}.npy") for o in outputs])
        wanted = ReferenceEvaluator(str(path)).run(None, inputs)
        for one, three, want in zip(*results, wanted):
            assert one.tobytes() == three.tobytes()
            np.testing.assert_allclose(one, want, rtol=2e-5, atol=2e-5)
        shapes = [f"{name}={','.join(map(str, array.shape))}" for name, array in inputs.items()]
        steps = subprocess.run([os.path.join(BUILD, "tests", "unit", "steps"), path, *shapes], capture_output=True, text=True, check=True)
        return sum(line in kernel for line in steps.stdout.split("\n"))

    return call


@pytest.mark.parametrize("scale, op", [(None, "Mul"), (0.3, "Mul"), (4.0, "Div")])
@pytest.mark.parametrize("mask", [None, (N, 1, 1, S), (N, H, L, S), (L, S), (1, 1, L, S), (S,)])
def test_heads(check, scale, op, mask):
    """(batch, length, heads * depth) cut into heads and put together again."""
    g = Graph()
    cut = [g.add("Transpose", g.add("Reshape", x, ints(0, 0, H, -1)), perm=p) for x, p in
           (("q", [0, 2, 1, 3]), ("k", [0, 2, 3, 1]), ("v", [0, 2, 1, 3]))]
    add = None if mask is None else lambda scores: [scores, random(*mask)]
    y = attend(g, *cut, scale, add, op)
    y = g.add("Reshape", g.add("Transpose", y, perm=[0, 2, 1, 3]), ints(0, 0, -1))
    inputs = {"q": random(N, L, H * D), "k": random(N, S, H * D), "v": random(N, S, H * V)}
    assert check(g, inputs, [y]) == 1


@pytest.mark.parametrize("length", [300, 530])
def test_long_heads(check, length):
    """So many keys and queries that each thread copies a head's keys and values, and where it does not."""
    g = Graph()
    cut = [g.add("Transpose", g.add("Reshape", x, ints(0, 0, 2, 64)), perm=p) for x, p in (("q", [0, 2, 1, 3]), ("k", [0, 2, 3, 1]), ("v", [0, 2, 1, 3]))]
    y = g.add("Reshape", g.add("Transpose", attend(g, *cut, 0.1), perm=[0, 2, 1, 3]), ints(0, 0, -1))
    assert check(g, {"q": random(2, length, 128), "k": random(2, length, 128) / 2, "v": random(2, length, 128)}, [y], ("queries in lanes",)) == 1


@pytest.mark.parametrize("queries", [1, 4, 5, 70])
@pytest.mark.parametrize("batch", [1, 2])
def test_packed_projection(check, queries, batch):
    """Sequence first and Q, K, V in one tensor, as torch.nn.MultiheadAttention has them."""
    g, e = Graph(), H * D
    x = g.add("Unsqueeze", g.add("Reshape", "x", ints(queries, batch, 3, e)), ints(0))
    x = g.add("Squeeze", g.add("Transpose", x, perm=[3, 1, 2, 0, 4]), ints(-2))
    q, k, v = (g.add("Transpose", g.add("Reshape", g.add("Gather", x, np.array(i, np.int64), axis=0),
                                        ints(queries, batch * H, D)), perm=[1, 0, 2]) for i in range(3))
    q, k, v = (g.add("Reshape", t, ints(batch, H, queries, D)) for t in (q, k, v))
    flat = g.add("Transpose", g.add("Reshape", k, ints(-1, queries, D)), perm=[0, 2, 1])
    kt = g.add("Mul", g.add("Reshape", flat, ints(batch, H, D, queries)), number(0.5))
    y = attend(g, g.add("Mul", q, number(0.5)), kt, v, axis=3)
    y = g.add("Reshape", g.add("Transpose", y, perm=[2, 0, 1, 3]), ints(-1, e))
    assert check(g, {"x": random(queries, batch, 3 * e)}, [y]) == 1


@pytest.mark.parametrize("cut", ["Split", "Slice"])
def test_channels_first(check, cut):
    """Queries, keys and values along the last axis, as attention over the pixels of an image has them."""
    g = Graph()
    x = g.add("Reshape", "x", ints(N, 3, H, D, L))
    if cut == "Split":
        parts = g.add("Split", x, n_outputs=3, num_outputs=3, axis=1)
    else:
        parts = [g.add("Slice", x, ints(i), ints(i + 1), ints(1)) for i in range(3)]
    q, k, v = (g.add("Squeeze", p, ints(1)) for p in parts)
    y = attend(g, g.add("Transpose", q, perm=[0, 1, 3, 2]), k, g.add("Transpose", v, perm=[0, 1, 3, 2]), 0.25)
    y = g.add("Transpose", y, perm=[0, 1, 3, 2])
    assert check(g, {"x": random(N, 3 * H * D, L)}, [y]) == 1


@pytest.mark.parametrize("ranks", [(2, 2, 2), (3, 3, 3), (3, 2, 3), (4, 3, 3), (4, 2, 2), (4, 4, 2)])
def test_ranks(check, ranks):
    """What is missing in front is repeated."""
    g, shapes = Graph(), [(N, H, L, D), (N, H, S, D), (N, H, S, V)]
    q, k, v = (random(*shape[4 - rank:]) for shape, rank in zip(shapes, ranks))
    kt = g.add("Transpose", "k", perm=[*range(k.ndim - 2), k.ndim - 1, k.ndim - 2])
    assert check(g, {"q": q, "k": k, "v": v}, [attend(g, "q", kt, "v", 0.3)]) == 1


def test_shared_keys(check):
    """One head of keys and values for all queries; backwards keys, which only the reshuffling can read."""
    g = Graph()
    k = g.add("Slice", "k", ints(-1), ints(-(2**62)), ints(2), ints(-1))
    y = attend(g, "q", g.add("Transpose", k, perm=[0, 1, 3, 2]), "v", 0.3)
    assert check(g, {"q": random(N, H, L, D), "k": random(N, 1, S, D), "v": random(N, 1, S, V)}, [y]) == 1


def test_hidden_row(check):
    """A row that a mask hides is what Softmax makes of it."""
    g, mask = Graph(), np.zeros((L, S), np.float32)
    mask[3, :] = -np.inf
    mask[5, 7:] = -np.inf
    y = attend(g, "q", "k", "v", 0.3, lambda scores: [mask, scores])
    assert check(g, {"q": random(N, H, L, D), "k": random(N, H, D, S), "v": random(N, H, S, V)}, [y]) == 1


def guard(g, weights, instead=0, asked=None):
    """What PyTorch puts behind the softmax of masked scores."""
    return g.add("Where", g.add("IsNaN", asked or weights), number(instead), weights)


@pytest.mark.parametrize("queries", [3, 40])
@pytest.mark.parametrize("shape", [(N, 1, 1, S), (N, H, 0, S)])
def test_hidden_rows_become_zero(check, queries, shape):
    """A whole batch hidden, by a mask that tells queries apart and by one that does not; a NaN and an infinity among the scores."""
    g, mask = Graph(), random(shape[0], shape[1], shape[2] or queries, S)
    mask[1] = -np.inf
    mask[0, 0, :, 5:] = -np.inf
    q = random(N, H, queries, D)
    q[0, 1, 1, 0], q[0, 1, 2, 0] = np.nan, np.inf
    weights = g.add("Softmax", g.add("Add", g.add("Mul", g.add("MatMul", "q", "k"), number(0.3)), mask), axis=-1)
    y = g.add("MatMul", guard(g, weights), "v")
    v = random(N, H, S, V)
    v[1, 1, 2, 0] = np.inf                                   # and zero times infinity
    assert check(g, {"q": q, "k": random(N, H, D, S), "v": v}, [y]) == 1


@pytest.mark.parametrize("what", ["one", "other", "read"])
def test_no_guard(check, what):
    """What only looks like the guard: NaN becomes 1, something else is asked about, or others read the weights."""
    g = Graph()
    scores = g.add("MatMul", "q", "k")
    weights = g.add("Softmax", scores, axis=-1)
    y = g.add("MatMul", guard(g, weights, what == "one", scores if what == "other" else None), "v")
    inputs = {"q": random(N, H, L, D), "k": random(N, H, D, S), "v": random(N, H, S, V)}
    assert check(g, inputs, [y, weights] if what == "read" else [y]) == 0


@pytest.mark.parametrize("what", ["scores", "weights", "axis", "grows", "column"])
def test_not_one_step(check, what):
    """Steps in between that somebody reads, and what only looks like attention."""
    g, outputs = Graph(), []
    scores = g.add("Mul", g.add("MatMul", "q", "k"), number(0.3))
    if what in ("grows", "column"):
        scores = g.add("Add", scores, random(2, N, H, L, S) if what == "grows" else random(L, 1))
    weights = g.add("Softmax", scores, axis=2 if what == "axis" else -1)
    outputs = {"scores": [scores], "weights": [weights]}.get(what, [])
    y = g.add("MatMul", weights, "v")
    inputs = {"q": random(N, H, L, D), "k": random(N, H, D, S), "v": random(N, H, S, V)}
    assert check(g, inputs, [y, *outputs]) == 0


def test_two_layers(check):
    """The result of one attention is cut into the heads of the next."""
    g, x = Graph(), "x"
    for _ in range(2):
        q, k, v = (g.add("Transpose", g.add("Reshape", g.add("MatMul", x, random(H * D, H * D) / 6), ints(0, 0, H, D)),
                         perm=[0, 2, 1, 3]) for _ in range(3))
        y = attend(g, q, g.add("Transpose", k, perm=[0, 1, 3, 2]), v, 0.3)
        x = g.add("Reshape", g.add("Transpose", y, perm=[0, 2, 1, 3]), ints(0, 0, H * D))
    assert check(g, {"x": random(N, L, H * D)}, [x]) == 2


NORM = ("over channels nchw8c",)
SCALED = ("direct nchw8c, scaled weights",)
PAIR = ("1x1 and depthwise nchw8c",)
POOLED = ("direct nchw to nchw8c, pooled",)


def normalize(g, x, perm, channels, axis=-1, bias=True):
    """Channels last, normalized, with numbers for each."""
    x = g.add("Transpose", x, perm=perm)
    parameters = [random(channels)] + ([random(channels) + 1] if bias else [])
    return g.add("LayerNormalization", x, *parameters, axis=axis, epsilon=1e-3)


@pytest.mark.parametrize("bias", [False, True])
@pytest.mark.parametrize("shape", [(2, 8, 5), (2, 20, 7, 9), (1, 11, 3, 4, 5), (3, 64, 9, 16)])
def test_channels(check, shape, bias):
    g, r = Graph(), len(shape)
    y = normalize(g, "x", [0, *range(2, r), 1], shape[1], bias=bias)
    y = g.add("Transpose", y, perm=[0, r - 1, *range(1, r - 1)])
    assert check(g, {"x": random(*shape)}, [y], NORM) == 1


@pytest.mark.parametrize("channels", [16, 19])
def test_channels_between_convolutions(check, channels):
    g, c = Graph(), channels
    x = g.add("Conv", "x", random(c, 3, 3, 3), random(c))
    y = g.add("Transpose", normalize(g, x, [0, 2, 3, 1], c, axis=3), perm=[0, 3, 1, 2])
    y = g.add("Add", g.add("Conv", y, random(c, c, 1, 1) / 4), x)
    assert check(g, {"x": random(2, 3, 9, 8)}, [y], NORM) == 1


@pytest.mark.parametrize("what", ["other perm", "other axis", "few", "last", "read twice"])
def test_channels_not_one_step(check, what):
    g, c = Graph(), 4 if what == "few" else 12
    perm = [0, 3, 2, 1] if what == "other perm" else [0, 2, 3, 1]
    x = g.add("Transpose", "x", perm=perm)
    y = g.add("LayerNormalization", x, random(7, c) if what == "other axis" else random(c),
              axis=2 if what == "other axis" else -1)
    z = y if what == "last" else g.add("Transpose", y, perm=[0, 3, 1, 2])
    assert check(g, {"x": random(2, c, 6, 7)}, [z, y] if what == "read twice" else [z], NORM) == 0


ACTIVATIONS = {
    "none": lambda g, x: x,
    "relu": lambda g, x: g.add("Relu", x),
    "relu6": lambda g, x: g.add("Clip", x, np.float32(0), np.float32(6)),
    "silu": lambda g, x: g.add("Mul", x, g.add("Sigmoid", x)),
    "hard swish": lambda g, x: g.add("HardSwish", x),
}


def mobile(g, x, ic, oc, act, bias=True, stride=1, kernel=3, group=None):
    """Channels are mixed, then filtered each for itself; returns both results."""
    biases = [[random(oc)] if bias else [] for _ in range(2)]
    middle = ACTIVATIONS[act](g, g.add("Conv", x, random(oc, ic, 1, 1) / 4, *biases[0]))
    y = g.add("Conv", middle, random(oc, oc // (group or oc), kernel, kernel) / 4, *biases[1], group=group or oc,
              strides=[stride, stride], pads=[kernel // 2] * 4)
    return middle, y


@pytest.mark.parametrize("act", ACTIVATIONS)
@pytest.mark.parametrize("stride, kernel, bias", [(1, 3, True), (2, 3, False), (1, 5, True), (2, 7, True)])
def test_conv_pair(check, act, stride, kernel, bias):
    """A block of a mobile network: two of its three convolutions are one step."""
    g = Graph()
    _, y = mobile(g, "x", 16, 48, act, bias, stride, kernel)
    y = g.add("Conv", ACTIVATIONS[act](g, y), random(16, 48, 1, 1) / 4)
    y = g.add("Add", y, "x") if stride == 1 else y
    assert check(g, {"x": random(2, 16, 29, 30)}, [y], PAIR) == 1


def test_conv_pairs_in_a_row(check):
    """The result of one pair goes into the next; odd channels, and no Conv behind the last."""
    g = Graph()
    _, x = mobile(g, "x", 11, 19, "relu")
    _, y = mobile(g, x, 19, 35, "silu")
    assert check(g, {"x": random(1, 11, 24, 40)}, [y], PAIR) == 2


@pytest.mark.parametrize("what", ["middle wanted", "middle read", "narrow", "groups", "weights", "bias"])
def test_not_a_conv_pair(check, what):
    g, inputs = Graph(), {"x": random(1, 16, 28, 12 if what == "narrow" else 28)}
    if what == "weights":
        inputs["w"] = random(16, 16, 1, 1)
        middle = g.add("Conv", "x", "w")
        y = g.add("Conv", middle, random(16, 1, 3, 3), group=16, pads=[1] * 4)
    elif what == "bias":
        inputs["b"] = random(16)
        middle = g.add("Conv", "x", random(16, 16, 1, 1))
        y = g.add("Conv", middle, random(16, 1, 3, 3), "b", group=16, pads=[1] * 4)
    else:
        middle, y = mobile(g, "x", 16, 16, "relu", group=4 if what == "groups" else None)
    if what == "middle read":
        y = g.add("Add", g.add("Relu", g.add("MaxPool", middle, kernel_shape=[1, 1])), y)
    assert check(g, inputs, [middle, y] if what == "middle wanted" else [y], PAIR) == 0


@pytest.mark.parametrize("act", ["none", "relu", "silu"])
@pytest.mark.parametrize("kernel, stride, pad, ceil", [(3, 2, 1, 0), (3, 2, 0, 1), (2, 2, 0, 0), (3, 1, 1, 0), (5, 2, 2, 1)])
def test_conv_pool(check, act, kernel, stride, pad, ceil):
    """A network's first two layers: bands of several rows, of which neighbours share some, and a batch."""
    g = Graph()
    x = ACTIVATIONS[act](g, g.add("Conv", "x", random(20, 3, 3, 3), random(20), strides=[2, 2], pads=[1] * 4))
    y = g.add("MaxPool", x, kernel_shape=[kernel] * 2, strides=[stride] * 2, pads=[pad] * 4, ceil_mode=ceil)
    assert check(g, {"x": random(2, 3, 150, 121)}, [y], POOLED) == 1


@pytest.mark.parametrize("what", ["wanted", "read twice", "indices", "gaps", "dilations", "small", "many channels", "weights"])
def test_not_a_conv_pool(check, what):
    g, channels = Graph(), 8 if what == "many channels" else 3
    inputs = {"x": random(1, channels, *(40, 40) if what == "small" else (90, 90))}
    if what == "weights":
        inputs["w"] = random(16, channels, 3, 3)
    x = g.add("Conv", "x", "w" if what == "weights" else random(16, channels, 3, 3))
    more = {"dilations": [2, 2]} if what == "dilations" else {}
    y = g.add("MaxPool", x, kernel_shape=[2, 2], strides=[3 if what == "gaps" else 2] * 2,
              n_outputs=2 if what == "indices" else 1, **more)
    outputs = [x, y] if what == "wanted" else [y]
    if what == "indices":
        outputs = [g.add("Add", y[0], g.add("Cast", y[1], to=TensorProto.FLOAT))]
    if what == "read twice":
        outputs = [y, g.add("GlobalAveragePool", x)]
    assert check(g, inputs, outputs, POOLED) == 0


def squeeze(g, x, channels, other_way=False):
    """Each channel gets a weight that its mean decides."""
    y = g.add("Conv", g.add("GlobalAveragePool", x), random(8, channels, 1, 1), random(8))
    y = g.add("Sigmoid", g.add("Conv", g.add("Relu", y), random(channels, 8, 1, 1), random(channels)))
    return g.add("Mul", *([y, x] if other_way else [x, y]))


@pytest.mark.parametrize("other_way", [False, True])
@pytest.mark.parametrize("channels, oc", [(16, 24), (19, 80), (72, 11)])
def test_scaled_weights(check, channels, oc, other_way):
    g = Graph()
    x = g.add("Relu", g.add("Conv", "x", random(channels, 12, 1, 1)))
    y = g.add("Conv", squeeze(g, x, channels, other_way), random(oc, channels, 1, 1), random(oc))
    y = g.add("Relu", g.add("Add", y, "z"))
    assert check(g, {"x": random(1, 12, 10, 11), "z": random(1, oc, 10, 11)}, [y], SCALED) == 1


@pytest.mark.parametrize("what", ["batch", "few pixels", "wanted", "read twice", "kernel", "groups", "by pixel",
                                  "weights"])
def test_not_scaled_weights(check, what):
    g, few = Graph(), what == "few pixels"
    inputs = {"x": random(2 if what == "batch" else 1, 16, 4 if few else 9, 5 if few else 9)}
    x = g.add("Relu", "x")
    y = g.add("Mul", x, random(1, 1, 9, 9)) if what == "by pixel" else squeeze(g, x, 16)
    size, group = 3 if what == "kernel" else 1, 2 if what == "groups" else 1
    weights = random(24, 16 // group, size, size)
    if what == "weights":
        inputs["w"], weights = weights, "w"
    z = g.add("Conv", y, weights, group=group)
    if what == "read twice":
        z = g.add("Mul", z, g.add("Conv", y, random(24, 16, 1, 1)))
    assert check(g, inputs, [y, z] if what == "wanted" else [z], SCALED) == 0


def test_scaled_weights_batch_invariant(ingot, tmp_path):
    """An image alone has the bits that it has in a batch, where that is asked for."""
    g, x = Graph(), random(3, 16, 9, 9)
    y = g.add("Conv", squeeze(g, g.add("Relu", "x"), 16), random(24, 16, 1, 1))
    onnx.save(g.model({"x": x}, [y]), tmp_path / "model.onnx")
    results = []
    for images in (x, x[1:2]):
        np.save(tmp_path / "x.npy", images)
        done = ingot("run", tmp_path / "model.onnx", "--input", tmp_path / "x.npy", "--output-dir", tmp_path,
                     "--batch-invariant")
        assert done.code == 0, done.err
        results.append(np.load(tmp_path / f"{y}.npy"))
    assert results[0][1:2].tobytes() == results[1].tobytes()


@pytest.mark.parametrize("op, attributes", [("Attention", {"form": [1] * 30}), ("LayerNormalization", {}),
                                            ("NormalizedConv", {}), ("ConvGemm", {})])
def test_models_cannot_name_it(ingot, tmp_path, op, attributes):
    """The step's operator is no part of the format: a file that uses it is refused."""
    node = helper.make_node(op, ["q", "k", "v"], ["y"], domain="ingot.internal", **attributes)
    infos = [helper.make_tensor_value_info(n, TensorProto.FLOAT, [1, 1, 4, 4]) for n in "qkv"]
    graph = helper.make_graph([node], "test", infos, [helper.make_empty_tensor_value_info("y")])
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20), helper.make_opsetid("ingot.internal", 1)],
                                ir_version=8), tmp_path / "model.onnx")
    done = ingot("run", tmp_path / "model.onnx")
    assert done.code == 3 and "no part of a model" in done.err


NORMALIZED = ("direct nchw8c, normalized source",)


def statistics(channels):
    """Scale, bias, mean and variance."""
    return [random(channels) + 2, random(channels, 1)[:, 0], random(1, channels)[0], random(channels) ** 2 + 0.5]


@pytest.mark.parametrize("act", ["relu", "relu6", "silu", "hard swish"])
@pytest.mark.parametrize("channels, oc, stride", [(16, 24, 1), (35, 80, 1), (72, 19, 2), (24, 24, 1)])
def test_normalized_source(check, act, channels, oc, stride):
    """After a pool the BatchNormalization stays; the Conv has a bias, a residual and an activation of its own. With as many channels
    behind as before, bias and statistics look alike."""
    g = Graph()
    x = g.add("MaxPool", "x", kernel_shape=[2, 2])
    x = ACTIVATIONS[act](g, g.add("BatchNormalization", x, *statistics(channels), epsilon=1e-3))
    y = g.add("Conv", x, random(oc, channels, 1, 1) / 4, random(oc), strides=[stride, stride])
    y = g.add("Relu", g.add("Add", y, "z"))
    z = random(2, oc, 12 // stride, 10 // stride)
    assert check(g, {"x": random(2, channels, 13, 11), "z": z}, [y], NORMALIZED) == 1


@pytest.mark.parametrize("what", ["wanted", "read twice", "kernel", "groups", "padding", "weights", "statistics"])
def test_not_normalized_source(check, what):
    g, inputs = Graph(), {"x": random(2, 16, 9, 10)}
    numbers = statistics(16)
    if what == "statistics":
        inputs["mean"] = numbers[2]
        numbers[2] = "mean"
    if what == "weights":
        inputs["w"] = random(8, 16, 1, 1)
    kernel = 3 if what == "kernel" else 1
    pooled = g.add("MaxPool", "x", kernel_shape=[1, 1])
    middle = g.add("Relu", g.add("BatchNormalization", pooled, *numbers))
    w = "w" if what == "weights" else random(8, 8 if what == "groups" else 16, kernel, kernel)
    y = g.add("Conv", middle, w, group=2 if what == "groups" else 1, pads=[1 if what == "padding" else 0] * 4)
    if what == "read twice":
        y = g.add("Concat", middle, y, axis=1)
    assert check(g, inputs, [middle, y] if what == "wanted" else [y], NORMALIZED) == 0


BANDS = ("first layer and dot, k in bands",)


def classify(g, x, channels, side, classes, act="relu", view="Flatten"):
    """MyNet: a Conv, its result flattened, and a Linear."""
    x = g.add("Conv", x, random(channels, 3, 3, 3), random(channels), pads=[1, 1, 1, 1])
    x = ACTIVATIONS[act](g, x)
    k = channels * side * side
    flat = g.add("Flatten", x) if view == "Flatten" else g.add("Reshape", x, ints(-1, k))
    return x, g.add("Gemm", flat, random(classes, k) / 64, random(classes), transB=1)


@pytest.mark.parametrize("batch, channels, side, classes, act, view", [
    (1, 64, 32, 10, "relu", "Reshape"), (7, 64, 32, 10, "relu", "Flatten"), (9, 40, 24, 3, "silu", "Reshape"),
    (2, 16, 60, 21, "none", "Flatten"), (5, 8, 46, 1, "relu6", "Flatten")])
def test_conv_product(check, batch, channels, side, classes, act, view):
    g = Graph()
    _, y = classify(g, "x", channels, side, classes, act, view)
    y = g.add("Relu", g.add("Add", y, random(classes)))
    assert check(g, {"x": random(batch, 3, side, side)}, [y], BANDS) == 1


@pytest.mark.parametrize("what", ["wanted", "read twice", "short", "many classes", "odd channels", "deep"])
def test_not_a_conv_product(check, what):
    g, channels, side = Graph(), 20 if what == "odd channels" else 16, 12 if what == "short" else 32
    if what == "deep":                      # not a first layer
        middle = g.add("Conv", g.add("Conv", "x", random(8, 3, 1, 1)), random(16, 8, 1, 1))
        y = g.add("Gemm", g.add("Flatten", middle), random(10, 16 * side * side) / 64, transB=1)
    else:
        middle, y = classify(g, "x", channels, side, 40 if what == "many classes" else 10)
    if what == "read twice":
        y = g.add("Add", y, g.add("ReduceMean", middle))
    assert check(g, {"x": random(3, 3, side, side)}, [middle, y] if what == "wanted" else [y], BANDS) == 0


SHUFFLED = ("channels nchw8c",)


def conv(g, x, channels, out, kernel=1, group=1, stride=1):
    """With as much padding as keeps the size."""
    weights = random(out, channels // group, kernel, kernel) / (channels // group * kernel * kernel) ** 0.5
    return g.add("Conv", x, weights, group=group, pads=[kernel // 2] * 4, strides=[stride] * 2)


def shuffle(g, x, channels, groups=2):
    x = g.add("Transpose", g.add("Reshape", x, ints(0, groups, channels // groups, 6, 9)), perm=[0, 2, 1, 3, 4])
    return g.add("Reshape", x, ints(0, channels, 6, 9))


@pytest.mark.parametrize("cut", ["Split", "Slice"])
@pytest.mark.parametrize("batch", [1, 2])
@pytest.mark.parametrize("half", [8, 10, 29])
def test_shuffled_channels(check, half, batch, cut):
    """Blocks of ShuffleNet: channels that pass two of them untouched, and both halves read in the end."""
    g = Graph()
    left, right = (conv(g, "x", 5, half) for _ in range(2))
    for _ in range(3):
        x = shuffle(g, g.add("Concat", left, right, axis=1), 2 * half)
        if cut == "Split":
            left, right = g.add("Split", x, n_outputs=2, num_outputs=2, axis=1)
        else:
            left, right = (g.add("Slice", x, ints(i * half), ints(i * half + half), ints(1)) for i in range(2))
        right = conv(g, conv(g, right, half, half, 3, half), half, half)
    x = shuffle(g, g.add("Concat", left, right, axis=-3), 2 * half)
    y, z = conv(g, x, 2 * half, 7), conv(g, x, 2 * half, 2 * half, 3, 2 * half, 2)
    assert check(g, {"x": random(batch, 5, 6, 9)}, [y, z], SHUFFLED) == 4


def test_shuffled_groups(check):
    """The channels of a convolution in groups are mixed for the next; somebody else reads what is shuffled."""
    g = Graph()
    x = shuffle(g, conv(g, "x", 12, 24, 1, 3), 24, 3)
    assert check(g, {"x": random(2, 12, 6, 9)}, [conv(g, x, 24, 24, 3, 24), x], SHUFFLED) == 1


@pytest.mark.parametrize("what", ["input", "run", "pixels"])
def test_not_shuffled(check, what):
    """Channels of an input, a plain cut, and pixels that move along."""
    g = Graph()
    x = conv(g, "x", 8, 24)
    if what == "input":
        x = shuffle(g, g.add("Concat", x, "x", axis=1), 32)
    elif what == "run":
        x = g.add("Slice", x, ints(5), ints(17), ints(1))
    else:
        x = shuffle(g, g.add("Transpose", x, perm=[0, 1, 3, 2]), 24)
    channels = {"input": 32, "run": 12, "pixels": 24}[what]
    assert check(g, {"x": random(2, 8, 6, 9) if what != "pixels" else random(2, 8, 9, 6)}, [conv(g, x, channels, 8)], SHUFFLED) == 0


ROWS = ("nhwc to nchw8c", "nchw8c to nhwc")


def to_image(g, x, channels, height, width):
    """Of rows of channels."""
    return g.add("Reshape", g.add("Transpose", x, perm=[0, 2, 1]), ints(0, channels, height, width))


def to_rows(g, x, channels):
    return g.add("Transpose", g.add("Reshape", x, ints(0, channels, -1)), perm=[0, 2, 1])


@pytest.mark.parametrize("batch", [1, 3])
@pytest.mark.parametrize("channels, height, width", [(5, 7, 9), (8, 3, 5), (20, 48, 50), (64, 12, 1), (67, 1, 13)])
def test_pixel_rows(check, batch, channels, height, width):
    """Images for one convolution of transformers, of sizes that no block or piece divides."""
    g = Graph()
    x = conv(g, to_image(g, g.add("Neg", "x"), channels, height, width), channels, channels, 3, channels)
    y = g.add("Neg", to_rows(g, x, channels))
    assert check(g, {"x": random(batch, height * width, channels)}, [y], ROWS) == 2


@pytest.mark.parametrize("what", ["class token", "rank 3", "rank 4", "pixels first", "part of the channels", "twice"])
def test_pixel_rows_elsewhere(check, what):
    """Rows within larger ones, in other orders, and of images whose pixels were never joined."""
    g, shape, weights = Graph(), (2, 35, 20), random(9, 20, 3, 3) / 13
    if what == "class token":
        shape = (2, 36, 20)
        x = to_image(g, g.add("Slice", "x", ints(1), ints(36), ints(1)), 20, 5, 7)
    elif what == "rank 3":
        x, weights = g.add("Transpose", "x", perm=[0, 2, 1]), random(9, 20, 3) / 8
    elif what == "rank 4":
        shape = (2, 5, 7, 20)
        x = g.add("Transpose", "x", perm=[0, 3, 1, 2])
    elif what == "pixels first":
        shape = (35, 2, 20)
        x = g.add("Reshape", g.add("Transpose", "x", perm=[1, 2, 0]), ints(0, 20, 5, 7))
    elif what == "part of the channels":
        shape = (2, 35, 60)
        x = to_image(g, g.add("Split", "x", n_outputs=3, num_outputs=3, axis=2)[1], 20, 5, 7)
    else:
        x = conv(g, to_image(g, "x", 20, 5, 7), 20, 20, 3, 20)
        x = to_image(g, g.add("Neg", to_rows(g, x, 20)), 20, 5, 7)
    x = g.add("Conv", x, weights)
    y = g.add("Transpose", x, perm=[0, 2, 1] if what == "rank 3" else [0, 2, 3, 1])
    assert check(g, {"x": random(*shape)}, [y], ROWS) == (4 if what == "twice" else 2)


def test_pixel_rows_read_elsewhere(check):
    """Values between that somebody else reads, or wants, are made as well."""
    g = Graph()
    image = to_image(g, "x", 20, 5, 7)
    x = conv(g, image, 20, 20, 3, 20)
    joined = g.add("Reshape", x, ints(0, 20, -1))
    y = g.add("Transpose", joined, perm=[0, 2, 1])
    other = g.add("MatMul", joined, random(35, 3))
    assert check(g, {"x": random(2, 35, 20)}, [y, image, x, other], ROWS) == 2


@pytest.mark.parametrize("what", ["pixels turned", "channels in two", "images mixed", "plain"])
def test_not_pixel_rows(check, what):
    """Orders that are no rows of channels, on either side of the convolution; and no convolution at all."""
    g, shape = Graph(), (2, 35, 20)
    if what == "pixels turned":
        shape = (2, 7, 5, 20)
        x = conv(g, g.add("Transpose", "x", perm=[0, 3, 2, 1]), 20, 20, 3, 20)
        y = g.add("Transpose", x, perm=[0, 3, 2, 1])
    elif what == "channels in two":
        x = g.add("Transpose", g.add("Reshape", "x", ints(0, 35, 10, 2)), perm=[0, 3, 2, 1])
        x = conv(g, g.add("Reshape", x, ints(0, 20, 5, 7)), 20, 20, 3, 20)
        y = g.add("Transpose", g.add("Reshape", x, ints(0, 2, 10, 35)), perm=[0, 3, 2, 1])
    elif what == "images mixed":            # as many as there are pixels
        shape = (35, 20, 5, 7)
        y = g.add("Transpose", g.add("Reshape", conv(g, "x", 20, 20, 3, 20), ints(0, 20, -1)), perm=[2, 0, 1])
    else:
        y = to_rows(g, g.add("Softmax", to_image(g, "x", 20, 5, 7), axis=3), 20)
    assert check(g, {"x": random(*shape)}, [y], ROWS) == 0


@pytest.mark.parametrize("what, n", [("grows", 1), ("same size", 1), ("joined", 2), ("shrinks", 0), ("read plain", 0),
                                     ("wanted", 0)])
def test_pixel_rows_resized(check, what, n):
    """What is enlarged for a convolution becomes blocked before that, unless somebody reads it otherwise."""
    g = Graph()
    sides = {"same size": ints(2, 16, 5, 7), "shrinks": ints(2, 16, 3, 4)}.get(what, ints(2, 16, 9, 12))
    x = g.add("Resize", to_image(g, g.add("Neg", "x"), 16, 5, 7), "", "", sides, mode="linear")
    if what == "joined":
        other = g.add("Resize", to_image(g, g.add("Abs", "x"), 16, 5, 7), "", "", sides, mode="linear")
        y = conv(g, g.add("Concat", x, other, axis=1), 32, 24)
    else:
        y = conv(g, x, 16, 24)
    outputs = [y, x] if what == "wanted" else [y]
    if what == "read plain":
        outputs.append(g.add("ArgMax", x, axis=3))
        outputs[-1] = g.add("Cast", outputs[-1], to=TensorProto.FLOAT)
    assert check(g, {"x": random(2, 35, 16)}, outputs, ROWS) == n
