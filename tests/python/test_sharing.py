"""Values that share memory: random graphs of Concat, Split, Reshape and elementwise operators, whose pieces lie in each other, are
read late, joined twice or handed out, beside the reference evaluator. All arithmetic is exact, so every byte must agree."""
import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper
from onnx.reference import ReferenceEvaluator

from conftest import save_model


def draw(random, batch, side):
    """Nodes on values of shape (batch, C, side, side), C a multiple of 4 (so that some fill whole blocks of channels)."""
    nodes, channels = [], {"x": 16, "y": 8}

    def add(op, inputs, sizes, **attributes):
        names = [f"v{len(channels) + i}" for i in range(len(sizes))]
        nodes.append(helper.make_node(op, inputs, names, **attributes))
        channels.update(zip(names, sizes))

    for _ in range(random.integers(6, 24)):
        names = list(channels)
        name = names[random.integers(len(names))]
        kind = random.integers(6)
        if kind < 2 and channels[name] < 200:
            parts = [names[i] for i in random.integers(0, len(names), random.integers(2, 5))]
            add("Concat", parts, [sum(channels[p] for p in parts)], axis=int(random.choice([1, -3])))
        elif kind == 2 and channels[name] >= 8:
            first = 4 * int(random.integers(1, channels[name] // 4))
            size = f"s{first}_{channels[name] - first}"
            add("Split", [name, size], [first, channels[name] - first], axis=1)
        elif kind == 3:
            add("MaxPool", [name], [channels[name]], kernel_shape=[1, 1])
        elif kind == 4:
            same = [n for n in names if channels[n] == channels[name]]
            add("Add", [name, same[random.integers(len(same))]], [channels[name]])
        else:
            add(str(random.choice(["Neg", "Relu", "Identity"])), [name], [channels[name]])
    sizes = {n.input[1] for n in nodes if n.op_type == "Split"}
    initializers = [(s, np.array([int(v) for v in s[1:].split("_")])) for s in sizes]
    unread = [n for n in channels if not any(n in node.input for node in nodes)]
    kept = list(dict.fromkeys(unread + [list(channels)[random.integers(len(channels))] for _ in range(3)]))
    outputs = [(n, TensorProto.FLOAT, [batch, channels[n], side, side]) for n in kept if n not in ("x", "y")]
    inputs = [("x", TensorProto.FLOAT, [batch, 16, side, side]), ("y", TensorProto.FLOAT, [batch, 8, side, side])]
    return nodes, inputs, outputs, initializers


@pytest.mark.parametrize("batch", [1, 2])
def test_random_graphs(ingot, tmp_path, batch):
    for seed in range(40):
        random = np.random.default_rng(seed)
        nodes, inputs, outputs, initializers = draw(random, batch, 3)
        if not outputs:
            continue
        model = save_model(tmp_path / "m.onnx", nodes, inputs, outputs, initializers)
        feeds = {name: random.integers(-9, 9, shape).astype(np.float32) for name, _, shape in inputs}
        for name, value in feeds.items():
            np.save(tmp_path / f"{name}.npy", value)
        expected = ReferenceEvaluator(onnx.load(model)).run(None, feeds)
        for options in ([], ["--disable-pass", "all"]):
            done = ingot("run", model, *[f"--input={n}={tmp_path}/{n}.npy" for n in feeds], "--output-dir", tmp_path / "out", *options)
            assert done.code == 0, f"seed {seed}: {done.err}"
            for (name, _, _), value in zip(outputs, expected):
                assert np.array_equal(np.load(tmp_path / "out" / f"{name}.npy"), value), f"seed {seed}: {name} {options}"


def test_many_pieces(ingot, tmp_path):
    """Planning takes time in proportion to the pieces: a Split into thousands and a Concat of them."""
    n = 5000
    nodes = [helper.make_node("Split", ["x"], [f"s{i}" for i in range(n)], axis=0, num_outputs=n),
             *[helper.make_node("Neg", [f"s{i}"], [f"a{i}"]) for i in range(n)],
             helper.make_node("Concat", [f"a{i}" for i in range(n)], ["y"], axis=0)]
    model = save_model(tmp_path / "m.onnx", nodes, [("x", TensorProto.FLOAT, [2 * n])], [("y", TensorProto.FLOAT, [2 * n])], opset=18)
    x = np.arange(2 * n, dtype="float32")
    np.save(tmp_path / "x.npy", x)
    done = ingot("run", model, "--input", tmp_path / "x.npy", "--output-dir", tmp_path / "out", timeout=20)
    assert done.code == 0 and np.array_equal(np.load(tmp_path / "out" / "y.npy"), -x)
