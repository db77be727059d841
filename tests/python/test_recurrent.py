"""RNN, GRU and LSTM against their definitions in numpy: directions, layouts, lengths, options, element types, and weights
that are no constants; the same bits for any number of threads."""
import random

import numpy as np
import pytest
from conftest import save_model
from onnx import TensorProto, helper

GATES = {"RNN": 1, "GRU": 3, "LSTM": 4}
TYPES = {"float": (TensorProto.FLOAT, np.float32, 1e-5), "double": (TensorProto.DOUBLE, np.float64, 1e-12),
         "float16": (TensorProto.FLOAT16, np.float16, 2e-3)}


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def step(op, x, h, c, w, r, b, p, options):
    """One step of (batch, ...) rows: the new h and c."""
    limit = options.get("clip", np.inf)
    f, g = lambda v: sigmoid(np.clip(v, -limit, limit)), lambda v: np.tanh(np.clip(v, -limit, limit))
    wb, rb = np.split(b, 2)
    gx, gh = np.split(x @ w.T + wb, GATES[op], 1), np.split(h @ r.T + rb, GATES[op], 1)
    if op == "RNN":
        return g(gx[0] + gh[0]), c
    if op == "GRU":
        z, reset = f(gx[0] + gh[0]), f(gx[1] + gh[1])
        hidden = h.shape[1]
        other = reset * gh[2] if options.get("linear_before_reset") else (reset * h) @ r[2 * hidden:].T + rb[2 * hidden:]
        return (1 - z) * g(gx[2] + other) + z * h, c
    pi, po, pf = np.split(p, 3)
    i = f(gx[0] + gh[0] + pi * c)
    forget = 1 - i if options.get("input_forget") else f(gx[2] + gh[2] + pf * c)
    c = forget * c + i * g(gx[3] + gh[3])
    return f(gx[1] + gh[1] + po * c) * np.tanh(c), c


def recurrent(op, x, w, r, b, lens, h0, c0, p, reverse, options):
    """(steps, batch, hidden) and the last h and c of one direction."""
    y, h, c = np.zeros(x.shape[:2] + h0.shape[1:]), h0.copy(), c0.copy()
    for n, length in enumerate(lens):
        for t in reversed(range(length)) if reverse else range(length):
            one = slice(n, n + 1)
            h[one], c[one] = step(op, x[t, one], h[one], c[one], w, r, b, p, options)
            y[t, n] = h[n]
    return y, h, c


def make(tmp_path, op, seed, type_name="float", sizes=None, constant=True):
    """A random layer's model, its inputs and the outputs wanted."""
    pick, rng = random.Random(f"{op}{seed}"), np.random.default_rng(seed)
    elem, dtype, _ = TYPES[type_name]
    steps, batch, inputs, hidden = sizes or [pick.choice(n) for n in ([1, 5, 8], [1, 1, 2, 7], [1, 6, 20], [3, 8, 16, 37])]
    direction = pick.choice(["forward", "reverse", "bidirectional"])
    d, gates = 2 if direction == "bidirectional" else 1, GATES[op] * hidden
    options = {"clip": 0.5} if pick.random() < 0.3 else {}
    if op == "GRU":
        options["linear_before_reset"] = pick.randint(0, 1)
    if op == "LSTM":
        options["input_forget"] = pick.randint(0, 1)

    def values(*shape, scale=1.0):
        return (scale * rng.standard_normal(shape)).astype(dtype)

    data = {"x": values(steps, batch, inputs), "w": values(d, gates, inputs, scale=max(inputs, 1)**-0.5),
            "r": values(d, gates, hidden, scale=hidden**-0.5), "b": values(d, 2 * gates), "lens": None,
            "h0": values(d, batch, hidden), "c0": values(d, batch, hidden), "p": values(d, 3 * hidden)}
    if pick.random() < 0.5:
        data["lens"] = rng.integers(0, steps + 1, batch).astype(np.int32)
    full = {k: None if v is None else v.astype(float) for k, v in data.items()}
    for name in ("b", "h0", "c0", "p"):
        if pick.random() < 0.3 or (name == "c0" or name == "p") and op != "LSTM":
            data[name], full[name] = None, np.zeros_like(full[name])
    lens = [steps] * batch if data["lens"] is None else data["lens"]
    ys, hs, cs = zip(*(recurrent(op, full["x"], full["w"][i], full["r"][i], full["b"][i], lens, full["h0"][i], full["c0"][i],
                                 full["p"][i], direction == "reverse" or i == 1, options) for i in range(d)))
    want = {"y": np.stack(ys, 1), "yh": np.stack(hs), "yc": np.stack(cs)}
    layout = pick.randint(0, 1)
    if layout:                                         # the batch comes first
        order = {"x": (1, 0, 2), "h0": (1, 0, 2), "c0": (1, 0, 2), "y": (2, 0, 1, 3), "yh": (1, 0, 2), "yc": (1, 0, 2)}
        data = {k: v if v is None else np.ascontiguousarray(v.transpose(order[k])) if k in order else v for k, v in data.items()}
        want = {k: v.transpose(order[k]) for k, v in want.items()}
    names = [k if data[k] is not None else "" for k in list(data)[:8 if op == "LSTM" else 6]]
    outputs = ["y", "yh", "yc"][:3 if op == "LSTM" else 2]
    node = helper.make_node(op, names, outputs, hidden_size=hidden, direction=direction, layout=layout, **options)
    fixed = [(k, data[k]) for k in ("w", "r", "b", "p") if constant and k in names and data[k] is not None]
    fed = {k: data[k] for k in names if k and k not in dict(fixed)}
    model = save_model(tmp_path / "m.onnx", [node],
                       [(k, TensorProto.INT32 if k == "lens" else elem, v.shape) for k, v in fed.items()],
                       [(k, elem, None) for k in outputs], fixed, opset=14)
    np.savez(tmp_path / "io.npz", **fed, **{k: want[k].astype(dtype) for k in outputs})
    return model, fed


@pytest.mark.parametrize("seed", range(12))
@pytest.mark.parametrize("op", GATES)
def test_layers(ingot, tmp_path, op, seed):
    model, _ = make(tmp_path, op, seed)
    done = ingot("verify", model, tmp_path / "io.npz", "--rtol", "1e-5", "--atol", "1e-5")
    assert done.code == 0, done.out + done.err


@pytest.mark.parametrize("type_name", TYPES)
@pytest.mark.parametrize("op", GATES)
def test_types_and_computed_weights(ingot, tmp_path, op, type_name):
    for seed, constant in ((100, True), (101, False), (102, False)):
        model, _ = make(tmp_path, op, seed, type_name, constant=constant)
        tolerance = str(TYPES[type_name][2])
        done = ingot("verify", model, tmp_path / "io.npz", "--rtol", tolerance, "--atol", tolerance)
        assert done.code == 0, (seed, done.out + done.err)


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("op", GATES)
def test_threads_change_no_bit(ingot, tmp_path, op, seed):
    """Steps large enough to be shared out."""
    model, fed = make(tmp_path, op, 200 + seed, sizes=(6, 3, 40, 200))
    for name, value in fed.items():
        np.save(tmp_path / f"{name}.npy", value)
    given = [part for name in fed for part in ("--input", f"{name}={tmp_path / name}.npy")]
    results = []
    for threads in (1, 2, 3, 5):
        folder = tmp_path / str(threads)
        done = ingot("run", model, *given, "--threads", threads, "--output-dir", folder)
        assert done.code == 0, done.err
        results.append([path.read_bytes() for path in sorted(folder.iterdir())])
    assert len(results[0]) > 1 and all(result == results[0] for result in results)
    done = ingot("verify", model, tmp_path / "io.npz", "--rtol", "1e-5", "--atol", "1e-5", "--threads", "2")
    assert done.code == 0, done.out + done.err


@pytest.mark.parametrize("steps, batch", [(1, 1), (1, 3), (3, 1), (3, 2)])
@pytest.mark.parametrize("op", GATES)
def test_runs_by_turns_change_no_bit(ingot, tmp_path, op, steps, batch):
    """A session's runs go through the blocks of units to and fro: each of them gives what the first one gave."""
    for seed in (400, 401):
        model, fed = make(tmp_path, op, seed, sizes=(steps, batch, 20, 150))
        for name, value in fed.items():
            np.save(tmp_path / f"{name}.npy", value)
        given = [part for name in fed for part in ("--input", f"{name}={tmp_path / name}.npy")]
        done = ingot("run", model, *given, "--threads", "1", "--output-dir", tmp_path / "first")
        assert done.code == 0, done.err
        first = {path.stem: np.load(path) for path in (tmp_path / "first").iterdir()}
        assert len(first) >= 2
        (tmp_path / "sets").mkdir(exist_ok=True)
        for k in range(4):
            np.savez(tmp_path / "sets" / f"{k}.npz", **fed, **first)
        for threads in ("1", "3"):
            done = ingot("verify", model, tmp_path / "sets", "--rtol", "0", "--atol", "0", "--threads", threads)
            assert done.code == 0 and "4 of 4 sets" in done.out, done.out + done.err
        done = ingot("verify", model, tmp_path / "io.npz", "--rtol", "1e-5", "--atol", "1e-5")
        assert done.code == 0, done.out + done.err


def test_types_must_agree(ingot, tmp_path):
    arrays = {"w": np.zeros((1, 4, 2), np.float32), "r": np.zeros((1, 4, 4), np.float64)}
    model = save_model(tmp_path / "m.onnx", [helper.make_node("RNN", ["x", "w", "r"], ["y"], hidden_size=4)],
                       [("x", TensorProto.FLOAT, (3, 1, 2))], [("y", TensorProto.FLOAT, None)], arrays.items())
    done = ingot("run", model)
    assert done.code == 4 and "RNN" in done.err, done.err


def test_lengths_outside_of_the_steps(ingot, tmp_path):
    for length in (-1, 4):
        arrays = {"w": np.zeros((1, 4, 2), np.float32), "r": np.zeros((1, 4, 4), np.float32)}
        model = save_model(tmp_path / "m.onnx", [helper.make_node("RNN", ["x", "w", "r", "", "n"], ["y"], hidden_size=4)],
                           [("x", TensorProto.FLOAT, (3, 1, 2)), ("n", TensorProto.INT32, (1,))],
                           [("y", TensorProto.FLOAT, None)], arrays.items())
        np.save(tmp_path / "n.npy", np.array([length], np.int32))
        done = ingot("run", model, "--input", f"n={tmp_path}/n.npy")
        assert done.code == 4 and "sequence length" in done.err, done.err


@pytest.mark.parametrize("sizes", [(0, 2, 3, 5), (4, 0, 3, 5), (4, 2, 0, 5), (1, 1, 1, 1)])
@pytest.mark.parametrize("op", GATES)
def test_sizes_of_zero(ingot, tmp_path, op, sizes):
    """No steps leave the initial state, no inputs the bias alone."""
    for seed in range(3):
        model, _ = make(tmp_path, op, 300 + seed, sizes=sizes)
        done = ingot("verify", model, tmp_path / "io.npz", "--rtol", "1e-5", "--atol", "1e-5", "--threads", "2")
        assert done.code == 0, done.out + done.err
