"""Convolutions, pools, products and normalizations: random shapes against definitions in numpy, in both layouts and any
number of threads; attributes and shapes that make no sense."""
import itertools
import random

import numpy as np
import pytest
from conftest import save_model
from onnx import TensorProto, helper

FLOAT = TensorProto.FLOAT


def windows(x, kernel, stride, dilation, pads, value=0.0):
    """(N, C, out..., kernel...) of x (N, C, in...), padded with value."""
    rank = len(kernel)
    x = np.pad(x, [(0, 0), (0, 0)] + list(zip(pads[:rank], pads[rank:])), constant_values=value)
    out = [(x.shape[2 + i] - (kernel[i] - 1) * dilation[i] - 1) // stride[i] + 1 for i in range(rank)]
    y = np.empty(x.shape[:2] + tuple(out) + tuple(kernel), x.dtype)
    for tap in itertools.product(*map(range, kernel)):
        at = tuple(slice(t * d, t * d + (o - 1) * s + 1, s) for t, d, o, s in zip(tap, dilation, out, stride))
        y[(Ellipsis, *tap)] = x[(slice(None), slice(None), *at)]
    return y


def conv(x, w, b, group, stride, dilation, pads):
    rank, icg, ocg = x.ndim - 2, w.shape[1], w.shape[0] // group
    patches = windows(x, w.shape[2:], stride, dilation, pads)
    taps = tuple(range(2 + rank, 2 + 2 * rank))
    parts = [np.tensordot(patches[:, g * icg:(g + 1) * icg], w[g * ocg:(g + 1) * ocg], ((1, *taps), range(1, 2 + rank)))
             for g in range(group)]
    return np.moveaxis(np.concatenate(parts, -1), -1, 1) + b.reshape(-1, *[1] * rank)


def conv_transpose(x, w, b, group, stride, pads):
    """Spread x with zeros and convolve with the mirrored weights."""
    rank, kernel = x.ndim - 2, w.shape[2:]
    spread = np.zeros(x.shape[:2] + tuple((n - 1) * s + 1 for n, s in zip(x.shape[2:], stride)), x.dtype)
    spread[(slice(None), slice(None), *(slice(None, None, s) for s in stride))] = x
    parts = np.split(w, group)
    mirrored = np.concatenate([np.flip(np.swapaxes(p, 0, 1), tuple(range(2, 2 + rank))) for p in parts])
    around = [k - 1 for k in kernel] * 2
    full = conv(spread, mirrored, b, group, [1] * rank, [1] * rank, around)
    return full[(slice(None), slice(None), *(slice(p, n - q) for p, q, n in zip(pads[:rank], pads[rank:], full.shape[2:])))]


def scaled(rng, shape, n):
    """Random weights whose sums over n terms are about 1."""
    return (rng.standard_normal(shape) / np.sqrt(n)).astype(np.float32)


def check(ingot, tmp_path, node, arrays, want, follow=()):
    """Run the node (and the ones that follow) on arrays; the second input is a constant, so that weights are packed."""
    names = list(node.input)
    constants = [(n, a) for n, a in zip(names, arrays) if n in ("w", "b")]
    inputs = [(n, FLOAT, a.shape) for n, a in zip(names, arrays) if n not in ("w", "b")]
    model = save_model(tmp_path / "m.onnx", [node, *follow], inputs, [("y", FLOAT, None)], constants, opset=21)
    np.savez(tmp_path / "io.npz", y=want.astype(np.float32), **{n: a for n, a in zip(names, arrays) if n not in ("w", "b")})
    for options in ((), ("--disable-pass", "all", "--threads", "2")):
        done = ingot("verify", model, tmp_path / "io.npz", "--rtol", "2e-5", "--atol", "2e-5", *options)
        assert done.code == 0, (str(node), done.out + done.err)


@pytest.mark.parametrize("seed", range(24))
def test_conv(ingot, tmp_path, seed):
    pick, rng = random.Random(seed), np.random.default_rng(seed)
    rank, group = pick.choice([1, 2, 2, 3]), pick.choice([1, 1, 2, 3, 8])
    icg, ocg = pick.choice([1, 3, 4, 8, 12]), pick.choice([1, 4, 8, 17])
    kernel = [pick.randint(1, 4) for _ in range(rank)]
    stride, dilation = [[pick.choice([1, 1, 2]) for _ in range(rank)] for _ in range(2)]
    if seed % 3 == 0:                                   # what winograd takes
        kernel, stride, dilation = [3] * rank, [1] * rank, [1] * rank
    pads = [pick.randint(0, 2) for _ in range(2 * rank)]
    x = rng.standard_normal([pick.randint(1, 2), group * icg] + [pick.randint(7, 12) for _ in range(rank)]).astype(np.float32)
    w = scaled(rng, [group * ocg, icg] + kernel, icg * np.prod(kernel))
    b = rng.standard_normal(group * ocg).astype(np.float32)
    y = conv(x.astype(float), w.astype(float), b, group, stride, dilation, pads)
    node = helper.make_node("Conv", ["x", "w", "b"], ["t"], group=group, strides=stride, dilations=dilation, pads=pads)
    add = helper.make_node("Add", ["t", "t"], ["u"])
    check(ingot, tmp_path, node, [x, w, b], np.maximum(2 * y, 0), [add, helper.make_node("Relu", ["u"], ["y"])])


@pytest.mark.parametrize("computed", [False, True])
@pytest.mark.parametrize("channels, patch, step, out", [
    (3, (16, 16), (16, 16), (4, 5)), (4, (2, 2), (2, 2), (16, 15)), (1, (2, 3, 4), (2, 4, 5), (2, 3, 9))])
def test_patches(ingot, tmp_path, channels, patch, step, out, computed):
    """What transformers embed: windows that do not overlap, and enough results that they are collected."""
    rng = np.random.default_rng(5)
    x = rng.standard_normal([3, channels] + [n * s + s // 2 for n, s in zip(out, step)]).astype(np.float32)
    w = scaled(rng, [200, channels, *patch], channels * np.prod(patch))
    b = rng.standard_normal(200).astype(np.float32)
    y = conv(x.astype(float), w.astype(float), b, 1, step, [1] * len(out), [0] * 2 * len(out))[:, :, *(slice(n) for n in out)]
    name = "v" if computed else "w"
    node = helper.make_node("Conv", ["x", name, "b"], ["t"], strides=step, kernel_shape=patch)
    check(ingot, tmp_path, node, [x, w, b], np.maximum(y, 0), [helper.make_node("Relu", ["t"], ["y"])])


@pytest.mark.parametrize("seed", range(16))
def test_conv_transpose(ingot, tmp_path, seed):
    pick, rng = random.Random(seed), np.random.default_rng(seed)
    rank, group = pick.choice([1, 2, 2, 3]), pick.choice([1, 1, 2, 8])
    kernel, stride = [pick.randint(1, 4) for _ in range(rank)], [pick.randint(1, 3) for _ in range(rank)]
    pads = [pick.randint(0, min(1, k - 1)) for k in kernel] * 2
    icg, ocg = pick.choice([1, 3, 8]), pick.choice([1, 4, 9])
    x = rng.standard_normal([pick.randint(1, 2), group * icg] + [pick.randint(2, 7) for _ in range(rank)]).astype(np.float32)
    w = scaled(rng, [group * icg, ocg] + kernel, icg * np.prod(kernel))
    b = rng.standard_normal(group * ocg).astype(np.float32)
    y = conv_transpose(x.astype(float), w.astype(float), b, group, stride, pads)
    node = helper.make_node("ConvTranspose", ["x", "w", "b"], ["t"], group=group, strides=stride, pads=pads)
    check(ingot, tmp_path, node, [x, w, b], np.where(y < 0, 0.1 * y, y),
          [helper.make_node("LeakyRelu", ["t"], ["y"], alpha=0.1)])


@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.float16])
def test_conv_transpose_types_and_computed_weights(ingot, tmp_path, dtype):
    """Few and many channels, weights that are an input, and element types that no fast kernel takes."""
    elem = helper.np_dtype_to_tensor_dtype(np.dtype(dtype))
    for seed, (ic, oc, group, kernel, stride) in enumerate([(5, 3, 1, 4, 2), (16, 24, 2, 3, 2), (9, 1, 1, 2, 2), (8, 8, 8, 3, 1)]):
        rng = np.random.default_rng(seed)
        x = rng.standard_normal((2, ic, 5, 6)).astype(dtype)
        w = (rng.standard_normal((ic, oc // group, kernel, kernel)) / (ic * kernel)).astype(dtype)
        want = conv_transpose(x.astype(float), w.astype(float), np.zeros(oc), group, [stride] * 2, [1] * 4).astype(dtype)
        node = helper.make_node("ConvTranspose", ["x", "w"], ["y"], group=group, strides=[stride] * 2, pads=[1] * 4)
        for constant in (True, False):
            model = save_model(tmp_path / "m.onnx", [node], [("x", elem, x.shape)] + ([] if constant else [("w", elem, w.shape)]),
                               [("y", elem, None)], [("w", w)] if constant else [])
            np.savez(tmp_path / "io.npz", x=x, y=want, **({} if constant else {"w": w}))
            tolerance = "4e-3" if dtype == np.float16 else "2e-5"
            done = ingot("verify", model, tmp_path / "io.npz", "--rtol", tolerance, "--atol", tolerance, "--threads", "2")
            assert done.code == 0, (seed, constant, done.out + done.err)


@pytest.mark.parametrize("seed", range(12))
@pytest.mark.parametrize("op", ["MaxPool", "AveragePool"])
def test_pool(ingot, tmp_path, op, seed):
    pick, rng = random.Random(seed), np.random.default_rng(seed)
    rank = pick.choice([1, 2, 2, 3])
    kernel = [pick.randint(1, 3) for _ in range(rank)]
    stride, dilation = [[pick.randint(1, 2) for _ in range(rank)] for _ in range(2)]
    pads = [pick.randint(0, k - 1) for k in kernel] * 2
    x = rng.standard_normal([2, pick.choice([3, 8, 20])] + [pick.randint(6, 11) for _ in range(rank)]).astype(np.float32)
    taps = tuple(range(-rank, 0))
    if op == "MaxPool":
        y = windows(x, kernel, stride, dilation, pads, -np.inf).max(taps)
    else:
        y = np.nanmean(windows(x.astype(float), kernel, stride, dilation, pads, np.nan), taps)
    node = helper.make_node(op, ["x"], ["y"], kernel_shape=kernel, strides=stride, dilations=dilation, pads=pads)
    check(ingot, tmp_path, node, [x], y)


@pytest.mark.parametrize("shape,kernel,stride,dilation,pads", [
    ((2, 2, 3, 600), [2, 3], [1, 1], [1, 1], [0, 1, 1, 1]), ((1, 1, 700), [5], [2], [3], [4, 4]), ((1, 3, 40, 1, 5), [5, 1, 1], [1] * 3, [1] * 3, [2, 0, 0] * 2),
    ((1, 2, 4, 9), [4, 9], [1, 1], [1, 1], [0] * 4), ((2, 1, 5, 4), [2, 2], [9, 9], [1, 1], [1] * 4)])
def test_pool_of_few_channels(ingot, tmp_path, shape, kernel, stride, dilation, pads):
    """Rows of any length, one output or one tap wide: every pool, and where a maximum was, the first of equals."""
    rng, taps = np.random.default_rng(len(shape)), tuple(range(-len(kernel), 0))
    x = rng.integers(-9, 9, shape).astype(np.float32)
    names = dict(kernel_shape=kernel, strides=stride, dilations=dilation, pads=pads)
    around = windows(x, kernel, stride, dilation, pads, np.nan)
    places = windows(np.arange(x.size, dtype=float).reshape(shape), kernel, stride, dilation, pads, np.nan)
    best = np.nanmax(around, taps)
    first = np.nanmin(np.where(around == best[(...,) + (None,) * len(kernel)], places, np.nan), taps).astype(np.int64)
    padded = windows(x, kernel, stride, dilation, pads, 0)
    for op, attributes, want in [("MaxPool", {}, {"y": best, "i": first}), ("MaxPool", {}, {"y": best}),
                                 ("AveragePool", {}, {"y": np.nanmean(around, taps)}),
                                 ("AveragePool", {"count_include_pad": 1}, {"y": padded.mean(taps)}),
                                 ("LpPool", {"p": 2}, {"y": np.sqrt((padded.astype(float) ** 2).sum(taps))})]:
        node = helper.make_node(op, ["x"], list(want), **names, **attributes)
        model = save_model(tmp_path / "m.onnx", [node], [("x", FLOAT, shape)],
                           [(name, FLOAT if name == "y" else TensorProto.INT64, None) for name in want], opset=21)
        np.savez(tmp_path / "io.npz", x=x, **{name: a if name == "i" else a.astype(np.float32) for name, a in want.items()})
        done = ingot("verify", model, tmp_path / "io.npz", "--rtol", "2e-6", "--atol", "1e-6", "--threads", "2")
        assert done.code == 0, (op, attributes, done.out + done.err)


@pytest.mark.parametrize("algorithm", ["auto", "direct", "winograd"])
@pytest.mark.parametrize("dilation", [6, 7, 100000, 2**31 - 1])
def test_dilation_above_the_image(ingot, tmp_path, dilation, algorithm):
    """The middle tap alone meets the image, however far away the others are."""
    rng = np.random.default_rng(dilation)
    x, w = rng.standard_normal((3, 16, 6, 6)).astype(np.float32), rng.standard_normal((16, 16, 3, 3)).astype(np.float32)
    node = helper.make_node("Conv", ["x", "w"], ["y"], dilations=[dilation] * 2, pads=[dilation] * 4)
    model = save_model(tmp_path / "m.onnx", [node], [("x", FLOAT, x.shape)], [("y", FLOAT, None)], [("w", w)])
    np.savez(tmp_path / "io.npz", x=x, y=np.einsum("oi,nihw->nohw", w[:, :, 1, 1], x))
    done = ingot("verify", model, tmp_path / "io.npz", "--rtol", "1e-5", "--atol", "1e-5", "--conv-algorithm", algorithm, "--timeout", "20")
    assert done.code == 0, done.out + done.err


@pytest.mark.parametrize("shape", [(1, 3, 7, 6), (1, 16, 7, 6)])
def test_pool_larger_than_its_input(ingot, tmp_path, shape):
    """With ceil_mode a stride may make room for one window that reaches past everything, as in some EfficientNets."""
    x = np.random.default_rng(1).standard_normal(shape).astype(np.float32)
    for op, kernel, stride, pad, code in [("AveragePool", 3000, 3000, 1, 0), ("MaxPool", 9, 5, 0, 0), ("MaxPool", 9, 2, 0, 4)]:
        pool = helper.make_node(op, ["c"], ["y"], kernel_shape=[kernel] * 2, strides=[stride] * 2, pads=[pad] * 4, ceil_mode=1)
        eye = np.eye(shape[1], dtype=np.float32)[:, :, None, None]
        model = save_model(tmp_path / "m.onnx", [helper.make_node("Conv", ["x", "w"], ["c"]), pool], [("x", FLOAT, shape)], [("y", FLOAT, None)],
                           [("w", eye)], opset=21)
        y = x.mean((2, 3), keepdims=True) if op == "AveragePool" else x.max((2, 3), keepdims=True)
        np.savez(tmp_path / "io.npz", x=x, y=y)
        done = ingot("verify", model, tmp_path / "io.npz", "--rtol", "2e-6", "--atol", "1e-6", "--threads", "2")
        assert done.code == code, (op, kernel, stride, done.out + done.err)


@pytest.mark.parametrize("m", [1, 5, 40])
@pytest.mark.parametrize("n,k", [(10, 20000), (33, 70), (64, 1), (300, 997)])
@pytest.mark.parametrize("flip", [0, 1])
def test_gemm(ingot, tmp_path, m, n, k, flip):
    rng = np.random.default_rng(m + n + flip)
    a, w = rng.standard_normal((m, k)).astype(np.float32), rng.standard_normal((k, n)).astype(np.float32)
    b = rng.standard_normal(n).astype(np.float32)
    scale = 1 / np.sqrt(k)
    y = scale * (a.astype(float) @ w) + 2 * b
    node = helper.make_node("Gemm", ["a", "w", "b"], ["y"], transB=flip, alpha=float(scale), beta=2.0)
    check(ingot, tmp_path, node, [a, w.T.copy() if flip else w, b], y)


@pytest.mark.parametrize("a,w", [((3, 4), (4, 5)), ((2, 3, 4), (4, 5)), ((20, 3, 4), (20, 4, 5)), ((2, 1, 9, 4), (1, 3, 4, 5)),
                                 ((4,), (2, 4, 5)), ((2, 3, 4), (4,)), ((4,), (4,)), ((0, 3, 4), (4, 5)), ((2, 0), (0, 3)), ((2, 3), (3, 0))])
def test_matmul(ingot, tmp_path, a, w):
    rng = np.random.default_rng(1)
    x, w = rng.standard_normal(a).astype(np.float32), rng.standard_normal(w).astype(np.float32)
    check(ingot, tmp_path, helper.make_node("MatMul", ["x", "w"], ["y"]), [x, w], np.matmul(x.astype(float), w))


@pytest.mark.parametrize("channels,side,n,batch,read_twice", [(16, 40, 10, 1, False), (24, 32, 3, 5, False), (16, 40, 17, 2, True),
                                                              (12, 40, 10, 2, False), (8, 48, 40, 1, False)])
def test_flatten_before_gemm(ingot, tmp_path, channels, side, n, batch, read_twice):
    """A classifier straight on a feature map: its weights take the blocked order where channels fill whole blocks."""
    rng = np.random.default_rng(channels + n)
    x, w = rng.standard_normal((batch, 3, side, side)).astype(np.float32), scaled(rng, (channels, 3, 1, 1), 3)
    k = channels * side * side
    fc, b = scaled(rng, (n, k), k), scaled(rng, (n,), 1)
    nodes = [helper.make_node("Conv", ["x", "w"], ["c"]), helper.make_node("Relu", ["c"], ["r"]), helper.make_node("Flatten", ["r"], ["f"]),
             helper.make_node("Gemm", ["f", "fc", "b"], ["y"], transB=1)] + read_twice * [helper.make_node("Neg", ["f"], ["z"])]
    features = np.maximum(np.einsum("nchw,oc->nohw", x, w[:, :, 0, 0]), 0).reshape(batch, -1)
    want = {"y": features @ fc.T + b, **({"z": -features} if read_twice else {})}
    model = save_model(tmp_path / "m.onnx", nodes, [("x", FLOAT, x.shape)], [(name, FLOAT, None) for name in want],
                       [("w", w), ("fc", fc), ("b", b)])
    np.savez(tmp_path / "io.npz", x=x, **want)
    for threads in (1, 3):
        done = ingot("verify", model, tmp_path / "io.npz", "--rtol", "2e-5", "--atol", "2e-5", "--threads", threads)
        assert done.code == 0, done.out + done.err


@pytest.mark.parametrize("channels", [3, 16])
def test_statistics_of_inference(ingot, tmp_path, channels):
    """A BatchNormalization that is not training gives the mean and variance that it got."""
    rng = np.random.default_rng(channels)
    arrays = {n: rng.uniform(0.5, 2, channels).astype(np.float32) for n in ("scale", "shift", "mean", "var")}
    x = rng.standard_normal((2, channels, 4, 4)).astype(np.float32)
    model = save_model(tmp_path / "m.onnx", [helper.make_node("BatchNormalization", ["x", *arrays], ["y", "m", "v"])],
                       [("x", FLOAT, x.shape)], [(n, FLOAT, None) for n in "ymv"], list(arrays.items()), opset=15)
    column = {n: a.reshape(-1, 1, 1) for n, a in arrays.items()}
    y = (x - column["mean"]) / np.sqrt(column["var"] + 1e-5) * column["scale"] + column["shift"]
    np.savez(tmp_path / "io.npz", x=x, y=y, m=arrays["mean"], v=arrays["var"])
    done = ingot("verify", model, tmp_path / "io.npz", "--rtol", "2e-5", "--atol", "2e-5")
    assert done.code == 0, done.out + done.err


@pytest.mark.parametrize("channels", [1, 8, 13, 40])
@pytest.mark.parametrize("rows", [1, 300])
def test_normalization_of_rows(ingot, tmp_path, rows, channels):
    rng = np.random.default_rng(channels)
    arrays = [rng.uniform(0.5, 2, channels).astype(np.float32) for _ in range(4)]
    x = rng.standard_normal((rows, channels)).astype(np.float32)
    y = (x - arrays[2]) / np.sqrt(arrays[3] + 1e-5) * arrays[0] + arrays[1]
    check(ingot, tmp_path, helper.make_node("BatchNormalization", list("xsbmv"), ["y"]), [x, *arrays], y)


@pytest.mark.parametrize("axis", [1, 2, 3])
def test_layer_normalization(ingot, tmp_path, axis):
    rng = np.random.default_rng(axis)
    x = rng.standard_normal((2, 3, 4, 5)).astype(np.float32)
    w, b = (rng.standard_normal(x.shape[axis:]).astype(np.float32) for _ in range(2))
    axes = tuple(range(axis, 4))
    z = (x - x.mean(axes, keepdims=True)) / np.sqrt(x.var(axes, keepdims=True) + 1e-5)
    check(ingot, tmp_path, helper.make_node("LayerNormalization", ["x", "w", "b"], ["y"], axis=axis), [x, w, b], z * w + b)


@pytest.mark.parametrize("kind", [FLOAT, TensorProto.DOUBLE])
@pytest.mark.parametrize("axes", [None, [2, 3], [3], [0, 1], [1, -1], [0, 2], [0, 1, 2, 3]])
def test_mean_variance_normalization(ingot, tmp_path, kind, axes):
    """Rows at the end, in the middle and of one element; images whose means are 500 apart, as they are joined to one."""
    rng = np.random.default_rng(len(axes or "all"))
    dtype = helper.tensor_dtype_to_np_dtype(kind)
    x = (rng.standard_normal((3, 5, 7, 37)) + 500 * np.arange(3).reshape(3, 1, 1, 1)).astype(dtype)
    over = tuple([0, 2, 3] if axes is None else axes)
    y = (x - x.mean(over, np.float64, keepdims=True)) / (x.std(over, np.float64, keepdims=True) + 1e-9)
    node = helper.make_node("MeanVarianceNormalization", ["x"], ["y"], **({} if axes is None else {"axes": axes}))
    model = save_model(tmp_path / "m.onnx", [node], [("x", kind, x.shape)], [("y", kind, None)], [], opset=13)
    np.savez(tmp_path / "io.npz", x=x, y=y.astype(dtype))
    for threads in (1, 3):
        done = ingot("verify", model, tmp_path / "io.npz", "--rtol", "1e-6", "--atol", "1e-6", "--threads", threads)
        assert done.code == 0, done.out + done.err


WINDOWED = [("Conv", ["x", "w"]), ("ConvTranspose", ["x", "w"]), ("MaxPool", ["x"]), ("AveragePool", ["x"])]
REFUSED = [("strides", [0, 1], "0 is not allowed (at least 1)"), ("strides", [1], "1 values, expected 2"),
           ("dilations", [-1, 1], "-1 is not allowed (at least 1)"), ("dilations", [1, 2 ** 62], "too large"),
           ("pads", [-1, 0, 0, 0], "-1 is not allowed (at least 0)"), ("auto_pad", "SOME", "'SOME' is not one of")]


@pytest.mark.parametrize("op,inputs", WINDOWED)
@pytest.mark.parametrize("name,value,words", REFUSED)
def test_refused(ingot, tmp_path, op, inputs, name, value, words):
    attributes = {name: value} if op.startswith("Conv") else {"kernel_shape": [2, 2], name: value}
    shapes = {"x": (1, 3, 8, 8), "w": (3, 3, 3, 3)}
    model = save_model(tmp_path / "m.onnx", [helper.make_node(op, inputs, ["y"], **attributes)],
                       [(n, FLOAT, shapes[n]) for n in inputs], [("y", FLOAT, None)], opset=21)
    done = ingot("run", model)
    assert done.code == 4 and f"attribute '{name}'" in done.err and words in done.err, done.err


@pytest.mark.parametrize("group", [0, -1, 2, -2 ** 63])
def test_refused_group(ingot, tmp_path, group):
    model = save_model(tmp_path / "m.onnx", [helper.make_node("Conv", ["x", "w"], ["y"], group=group)],
                       [("x", FLOAT, (1, 3, 8, 8)), ("w", FLOAT, (4, 3, 3, 3))], [("y", FLOAT, None)])
    assert ingot("run", model).code == 4
