"""Operators of the domain com.microsoft, one node each, against what onnxruntime computes on the CPU."""
import numpy as np
import onnx
import pytest
from conftest import exact_options, save_model
from onnx import TensorProto, helper

F, I, L, U = np.float32, np.int32, np.int64, np.uint8
TYPES = {np.float32: TensorProto.FLOAT, np.int32: TensorProto.INT32, np.int64: TensorProto.INT64, np.uint8: TensorProto.UINT8,
         np.int8: TensorProto.INT8, np.uint16: TensorProto.UINT16, np.int16: TensorProto.INT16, np.bool_: TensorProto.BOOL, np.float16: TensorProto.FLOAT16, np.float64: TensorProto.DOUBLE}


def floats(rng, *shape):
    return rng.uniform(-1, 1, shape).astype(F)


def case(op_type, inputs, outputs=1, constant=(), domain="com.microsoft", tolerance=1e-5, steps=0, **attributes):
    """inputs: arrays, or None for one that is left out; `constant` ones are initializers. steps: of bytes that may differ."""
    return {"op_type": op_type, "inputs": inputs, "outputs": outputs, "constant": constant, "domain": domain,
            "tolerance": tolerance, "steps": steps, "attributes": attributes}


def caches(rng, length, pairs):
    angles = rng.uniform(0, 3, (length, pairs))
    return np.cos(angles).astype(F), np.sin(angles).astype(F)


def bytes_(rng, dtype, *shape):
    info = np.iinfo(dtype)
    return rng.integers(info.min, info.max + 1, shape).astype(dtype)


def grouped(rng, past, length, total, heads=4, shared=2, depth=16, lengths=None, packed=False, bias=False, **attributes):
    row = [floats(rng, 2, length, n * depth) for n in (heads, shared, shared)]
    if packed:
        row = [np.concatenate(row, 2), None, None]
    pasts = [floats(rng, 2, shared, past, depth) for _ in range(2)]
    more = list(caches(rng, 32, depth // 2)) if attributes.get("do_rotary") else [None, None]
    if bias:
        more += [None, floats(rng, 2, 1, length, total)]
    lengths = np.array(lengths or [total - 1] * 2, I)
    return case("GroupQueryAttention", [*row, *pasts, lengths, np.array(total, I), *more], 3, num_heads=heads, kv_num_heads=shared,
                tolerance=2e-5, **attributes)


def nbits(rng, m, k, n, block, bits=4, zeros=None, bias=False, order=False):
    blocks = -(-k // block)
    packed = bytes_(rng, U, n, blocks, block * bits // 8)
    scales = rng.uniform(0.01, 0.1, (n * blocks)).astype(F)
    zero = None if zeros is None else bytes_(rng, U, n * (-(-blocks * bits // 8))) if zeros == "bytes" else floats(rng, n * blocks) * 8
    groups = rng.permutation(np.arange(k) // block).astype(I) if order else None
    return case("MatMulNBits", [floats(rng, 2, m, k), packed, scales, zero, groups, floats(rng, n) if bias else None],
                constant=(1, 2, 3, 4, 5), tolerance=2e-4, K=k, N=n, bits=bits, block_size=block)


def dynamic_lstm(rng, dtype, kind, steps, batch, inputs, hidden, direction="bidirectional", lens=None, states=False, fed=False, **attributes):
    """Scales and zero points for each direction or each of its columns; onnxruntime rounds the same inputs and states to bytes. Weights that
    are fed have half their range: exact_options() does not reach them."""
    d = 2 if direction == "bidirectional" else 1
    shape = (d, 4 * hidden) if kind == "columns" else (d,)
    weights = [bytes_(rng, dtype, d, n, 4 * hidden) // (2 if fed else 1) for n in (inputs, hidden)]
    zero = np.full(shape, 128 if dtype == U else 0, dtype)
    scales = [rng.uniform(0.001, 0.004, shape).astype(F) for _ in range(2)]
    first = [floats(rng, d, batch, hidden) if states else None for _ in range(2)]
    return case("DynamicQuantizeLSTM", [floats(rng, steps, batch, inputs), *weights, floats(rng, d, 8 * hidden), None if lens is None else np.array(lens, I), *first,
                                        floats(rng, d, 3 * hidden) if states else None, scales[0], zero, scales[1], zero],
                3, constant=(8, 9, 10, 11) if fed else (1, 2, 3, 8, 9, 10, 11), direction=direction, hidden_size=hidden, tolerance=2e-5, **attributes)


def make_cases():
    rng = np.random.default_rng(7)
    x, row = floats(rng, 2, 5, 16), floats(rng, 16)
    ids, mask = rng.integers(0, 9, (2, 5)).astype(I), np.array([[1, 1, 1, 1, 0], [1, 1, 0, 0, 0]], I)
    yield "gelu", case("Gelu", [x])
    yield "fast_gelu", case("FastGelu", [x], tolerance=1e-4)
    yield "fast_gelu_bias", case("FastGelu", [x, row], tolerance=1e-4)
    yield "bias_gelu", case("BiasGelu", [x, row])
    yield "quick_gelu", case("QuickGelu", [x], alpha=1.5)
    yield "layer_norm", case("LayerNormalization", [x, row, row], domain="", axis=-1, epsilon=1e-3)
    yield "simplified", case("SimplifiedLayerNormalization", [x, row], domain="", axis=-1, epsilon=1e-3)
    yield "skip", case("SkipLayerNormalization", [x, x[::-1].copy(), row, row, row], 4, epsilon=1e-3)
    yield "skip_simplified", case("SkipSimplifiedLayerNormalization", [x, x[::-1].copy(), row, row], 4, epsilon=1e-3)
    tables = [floats(rng, 9, 16), floats(rng, 12, 16), floats(rng, 9, 16), row, row]
    yield "embed", case("EmbedLayerNormalization", [ids, ids[::-1].copy(), *tables, mask], 2, epsilon=1e-3)
    yield "embed_no_mask", case("EmbedLayerNormalization", [ids, None, tables[0], tables[1], None, row, row], 2)
    yield "embed_sum", case("EmbedLayerNormalization", [ids, None, tables[0], tables[1], None, row, row, mask, ids], 3)

    image, kernel = floats(rng, 1, 4, 7, 6), floats(rng, 8, 4, 3, 3)
    for act, params in (("Relu", []), ("Clip", [0.1, 0.4]), ("LeakyRelu", [0.3]), ("HardSigmoid", [0.3, 0.4]), ("Tanh", []), ("Sigmoid", [])):
        yield f"fused_conv_{act}", case("FusedConv", [image, kernel, floats(rng, 8)], constant=(1, 2), activation=act, pads=[1] * 4,
                                        **({"activation_params": params} if params else {}))
    yield "fused_conv_sum", case("FusedConv", [image, kernel, floats(rng, 8), floats(rng, 1, 8, 5, 4)], constant=(1, 2), activation="Relu")
    yield "fused_matmul", case("FusedMatMul", [floats(rng, 2, 3, 5), floats(rng, 2, 5, 4)], alpha=0.3)
    yield "fused_matmul_a", case("FusedMatMul", [floats(rng, 2, 5, 3), floats(rng, 2, 5, 4)], transA=1)
    yield "fused_matmul_b", case("FusedMatMul", [floats(rng, 2, 3, 5), floats(rng, 4, 5)], transB=1, alpha=2.0)
    yield "fused_matmul_ab", case("FusedMatMul", [floats(rng, 5, 3), floats(rng, 4, 5)], transA=1, transB=1)

    cosine, sine = caches(rng, 12, 4)
    places = rng.integers(0, 12, (2, 5)).astype(L)
    for interleaved in (0, 1):
        yield f"rotary_4d_{interleaved}", case("RotaryEmbedding", [floats(rng, 2, 3, 5, 8), places, cosine, sine], interleaved=interleaved)
        yield f"rotary_offset_{interleaved}", case("RotaryEmbedding", [floats(rng, 2, 5, 24), np.array([3], L), cosine, sine],
                                                   interleaved=interleaved, constant=(2, 3))
    yield "rotary_part", case("RotaryEmbedding", [floats(rng, 2, 5, 36), places, cosine, sine], num_heads=3, rotary_embedding_dim=8)

    weights, bias = floats(rng, 16, 48), floats(rng, 48)
    yield "attention", case("Attention", [x, weights, bias], num_heads=4)
    yield "attention_mask", case("Attention", [x, weights, bias, mask], num_heads=4)
    yield "attention_lengths", case("Attention", [x, weights, bias, np.array([5, 3], I)], num_heads=4)
    yield "attention_causal", case("Attention", [x, weights, bias, mask], num_heads=2, unidirectional=1)
    yield "attention_past", case("Attention", [x, weights, bias, None, floats(rng, 2, 2, 4, 3, 4)], 2, num_heads=4, unidirectional=1)
    yield "attention_bias", case("Attention", [x, weights, bias, None, None, floats(rng, 2, 4, 5, 5)], num_heads=4, scale=0.2)
    yield "attention_sizes", case("Attention", [x, floats(rng, 16, 40), floats(rng, 40)], num_heads=4, qkv_hidden_sizes=[16, 16, 8])

    k, v = floats(rng, 2, 7, 16), floats(rng, 2, 7, 24)
    yield "multi_head", case("MultiHeadAttention", [x, k, v], num_heads=4)
    yield "multi_head_bias", case("MultiHeadAttention", [x, k, v, floats(rng, 56)], num_heads=4)
    yield "multi_head_mask", case("MultiHeadAttention", [x, k, v, None, (rng.random((2, 7)) < 0.7).astype(I)], num_heads=4)
    yield "multi_head_added", case("MultiHeadAttention", [x, k, v, None, None, floats(rng, 1, 4, 5, 7)], num_heads=4)
    yield "multi_head_cross", case("MultiHeadAttention", [x, floats(rng, 2, 4, 7, 4), floats(rng, 2, 4, 7, 4)], num_heads=4)
    past = [floats(rng, 2, 4, 3, 4), floats(rng, 2, 4, 3, 4)]
    yield "multi_head_past", case("MultiHeadAttention", [x, x, x, None, None, None, *past], 3, num_heads=4, unidirectional=1)

    yield "grouped_prompt", grouped(rng, 0, 5, 5)
    yield "grouped_step", grouped(rng, 6, 1, 7, do_rotary=1)
    yield "grouped_buffer", grouped(rng, 12, 1, 7, lengths=[6, 4], do_rotary=1, rotary_interleaved=1)
    yield "grouped_packed", grouped(rng, 0, 6, 6, packed=True, do_rotary=1)
    yield "grouped_window", grouped(rng, 0, 20, 20, local_window_size=4, softcap=2.0)
    yield "grouped_bias", grouped(rng, 4, 1, 5, bias=True, scale=0.3)
    yield "grouped_smooth", grouped(rng, 0, 5, 5, smooth_softmax=1)

    yield "nbits", nbits(rng, 3, 64, 40, 32)
    yield "nbits_rows", nbits(rng, 20, 96, 33, 16, bias=True)
    yield "nbits_zeros", nbits(rng, 1, 80, 40, 32, zeros="bytes")
    yield "nbits_float_zeros", nbits(rng, 1, 64, 40, 32, zeros="floats")
    yield "nbits_8", nbits(rng, 2, 64, 24, 32, bits=8)
    yield "nbits_8_zeros", nbits(rng, 2, 64, 24, 32, bits=8, zeros="bytes")

    scale, zero = np.array(0.02, F), np.array(121, U)
    qx, qz = bytes_(rng, U, 2, 16, 6, 5), bytes_(rng, U, 16, 1, 1)
    out = [np.array(0.05, F), np.array(118, U)]
    for name in ("QLinearAdd", "QLinearMul"):
        yield name, case(name, [qx, scale, zero, bytes_(rng, U, 2, 16, 6, 5), scale, zero, *out], steps=1)
        yield f"{name}_broadcast", case(name, [qz, scale, zero, qx, scale, zero, *out], steps=1)
    yield "QLinearSigmoid", case("QLinearSigmoid", [qx, scale, zero, np.array(1 / 256, F), np.array(0, U)], constant=(1, 2, 3, 4), steps=1)
    yield "QLinearLeakyRelu", case("QLinearLeakyRelu", [qx, scale, zero, *out], constant=(1, 2, 3, 4), alpha=0.2, steps=1)
    yield "QLinearGlobal", case("QLinearGlobalAveragePool", [qx, scale, zero, *out], channels_last=0, steps=1)
    yield "QLinearAverage", case("QLinearAveragePool", [qx, scale, zero, *out], kernel_shape=[3, 2], pads=[1, 1, 0, 0], strides=[2, 1], steps=1)
    yield "QLinearAverage_pads", case("QLinearAveragePool", [qx, scale, zero, *out], kernel_shape=[3, 2], pads=[1, 1, 0, 0],
                                      count_include_pad=1, steps=1)
    yield "QLinearConcat", case("QLinearConcat", [*out, qx, scale, zero, qx, out[0], out[1]], axis=1, constant=(0, 1, 3, 4, 6, 7), steps=1)
    yield "QLinearSoftmax", case("QLinearSoftmax", [qx, scale, zero, np.array(1 / 256, F), np.array(0, U)], constant=(1, 2, 3, 4), axis=-1,
                                 opset=13, steps=1)
    a, b = bytes_(rng, U, 7, 20), bytes_(rng, np.int8, 20, 9)
    bs = rng.uniform(0.001, 0.01, 9).astype(F)
    bz = np.zeros(9, np.int8)
    yield "QGemm", case("QGemm", [a, scale, zero, b, bs, bz, rng.integers(-900, 900, 9).astype(I), np.array(0.1, F), np.array(128, U)],
                        constant=(1, 2, 3, 4, 5, 6, 7, 8), steps=1)
    yield "QGemm_float", case("QGemm", [a, scale, zero, np.ascontiguousarray(b.T), bs, bz], constant=(1, 2, 3, 4, 5), transB=1)
    yield "integer_to_float", case("MatMulIntegerToFloat", [a, b, scale, bs, zero, bz, floats(rng, 9)], constant=(1, 3, 5, 6))
    yield "dynamic", case("DynamicQuantizeMatMul", [floats(rng, 2, 7, 20), b, bs, bz, floats(rng, 9)], constant=(1, 2, 3, 4), tolerance=1e-4)
    for sign, kind in ((np.int8, "columns"), (U, "whole")):
        yield f"dynamic_lstm_{kind}", dynamic_lstm(rng, sign, kind, 6, 2, 8, 10)
    yield "dynamic_lstm_reverse", dynamic_lstm(rng, np.int8, "whole", 5, 3, 17, 33, direction="reverse")
    yield "dynamic_lstm_ragged", dynamic_lstm(rng, np.int8, "columns", 5, 3, 16, 20, lens=[5, 2, 4])
    yield "dynamic_lstm_states", dynamic_lstm(rng, np.int8, "columns", 40, 1, 24, 64, states=True, clip=2.0, input_forget=1)
    yield "dynamic_lstm_fed", dynamic_lstm(rng, np.int8, "columns", 4, 2, 8, 10, fed=True)
    yield "dequantize", case("DequantizeLinear", [rng.integers(0, 60000, (3, 4)).astype(np.uint16), np.array(0.02, F), np.array(30000, np.uint16)],
                             constant=(1, 2))
    yield "quantize", case("QuantizeLinear", [floats(rng, 3, 4), np.array(0.0001, F), np.array(-30, np.int16)], constant=(1, 2))
    own = np.random.default_rng(8)          # cases from here on leave the numbers of those above as they are
    last = bytes_(own, U, 2, 6, 5, 9), scale, zero, *out
    yield "QLinearGlobal_last", case("QLinearGlobalAveragePool", [*last], channels_last=1, steps=1)
    for include in (0, 1):
        yield f"QLinearAverage_last_{include}", case("QLinearAveragePool", [*last], channels_last=1, kernel_shape=[3, 2], pads=[1, 1, 0, 0],
                                                     strides=[2, 1], count_include_pad=include, steps=1)
    for direction in ("forward", "reverse", "bidirectional"):        # some samples end early, or all do
        for lens in ([5, 2, 4], [3, 1, 2], [0, 4, 4]):
            yield f"dynamic_lstm_{direction}_{'_'.join(map(str, lens))}", dynamic_lstm(own, np.int8, "columns", 5, 3, 16, 20, direction, lens)
    yield "fused_matmul_batch_a", case("FusedMatMul", [floats(own, 4, 2, 3, 5), floats(own, 2, 3, 5, 6)], transBatchA=1, alpha=2.0)
    yield "fused_matmul_batch_b", case("FusedMatMul", [floats(own, 2, 4, 5), floats(own, 5, 2, 6)], transBatchB=1)
    yield "fused_matmul_batch_ab", case("FusedMatMul", [floats(own, 5, 2, 4), floats(own, 6, 2, 5)], transBatchA=1, transA=1, transBatchB=1, transB=1)
    yield "fused_gemm", case("FusedGemm", [floats(own, 3, 4), floats(own, 4, 5), floats(own, 5)], activation="Relu", alpha=0.5, beta=2.0)
    yield "fused_gemm_leaky", case("FusedGemm", [floats(own, 3, 4), floats(own, 5, 4), floats(own, 5)], activation="LeakyRelu",
                                   activation_alpha=0.3, transB=1)


CASES = dict(make_cases())


def write(path, row, outputs):
    """The model of one node, whose outputs have no declared type, and its inputs that are no initializers."""
    names = ["" if a is None else f"i{k}" for k, a in enumerate(row["inputs"])]
    while not names[-1]:
        names.pop()
    node = helper.make_node(row["op_type"], names, outputs, domain=row["domain"], **row["attributes"])
    constants = [(f"i{k}", row["inputs"][k]) for k in row["constant"] if row["inputs"][k] is not None]
    feeds = {n: a for n, a in zip(names, row["inputs"]) if n and n not in dict(constants)}
    inputs = [(n, TYPES[a.dtype.type], a.shape) for n, a in feeds.items()]
    model = save_model(path, [node], inputs, [(o, 0, None) for o in outputs if o], constants, opset=16, domains=[("com.microsoft", 1)])
    untyped = onnx.load(model)
    for o in untyped.graph.output:
        o.ClearField("type")
    onnx.save(untyped, model)
    return model, feeds


def run(ingot, folder, row, outputs):
    model, feeds = write(folder / "m.onnx", row, outputs)
    arguments = []
    for n, a in feeds.items():
        np.save(folder / f"{n}.npy", a)
        arguments += ["--input", f"{n}={folder / n}.npy"]
    done = ingot("run", model, *arguments, "--output-dir", folder)
    assert done.code == 0, done.err
    return model, feeds, [np.load(folder / f"{o}.npy") for o in outputs if o]


@pytest.mark.parametrize("name", CASES)
def test_against_onnxruntime(ingot, tmp_path, name):
    ort = pytest.importorskip("onnxruntime")
    row = CASES[name]
    outputs = ["o0", "", "", "o3"] if row["op_type"].startswith("Skip") else [f"o{k}" for k in range(row["outputs"])]
    model, feeds, results = run(ingot, tmp_path, row, outputs)
    options = exact_options(ort)
    options.log_severity_level = 3
    options.intra_op_num_threads = 1          # with more, it gives the states of each thread's samples a scale of their own
    want = ort.InferenceSession(model, options, providers=["CPUExecutionProvider"]).run(None, feeds)
    for o, got, w in zip([o for o in outputs if o], results, want):
        assert got.shape == w.shape and got.dtype == w.dtype, (o, got.shape, w.shape, got.dtype, w.dtype)
        if row["steps"]:
            assert np.abs(got.astype(int) - w.astype(int)).max() <= row["steps"], o
        else:
            np.testing.assert_allclose(got, w, rtol=row["tolerance"], atol=row["tolerance"], err_msg=o)


# Operators whose floats are scales of integers, for which onnxruntime has float32 alone as well.
SCALES = ("QLinear", "QGemm", "DynamicQuantize", "MatMulIntegerToFloat", "DequantizeLinear", "QuantizeLinear")


@pytest.mark.parametrize("name", [n for n, row in CASES.items() if not row["op_type"].startswith(SCALES)])
def test_in_16_bits_and_in_64(ingot, tmp_path, name):
    """float16 is what exporters write for smaller files; in double, a verification tells rounding from mistakes. Both must give
    what float gives for the same numbers, rounded once or not at all."""
    rounded = [a.astype(np.float16).astype(F) if a is not None and a.dtype == F else a for a in CASES[name]["inputs"]]
    outputs = ["o0", "", "", "o3"] if CASES[name]["op_type"].startswith("Skip") else [f"o{k}" for k in range(CASES[name]["outputs"])]
    results = {}
    for dtype in (F, np.float16, np.float64):
        folder = tmp_path / np.dtype(dtype).name
        folder.mkdir()
        row = {**CASES[name], "inputs": [a.astype(dtype) if a is not None and a.dtype == F else a for a in rounded]}
        results[dtype] = run(ingot, folder, row, outputs)[2]
    for dtype, tolerance in ((np.float16, 4e-3), (np.float64, 4e-5)):
        for want, got in zip(results[F], results[dtype]):
            assert got.dtype == (dtype if want.dtype == F else want.dtype) and got.shape == want.shape
            np.testing.assert_allclose(got.astype(np.float64), want.astype(np.float64), rtol=tolerance,
                                       atol=tolerance * max(1, np.abs(want).max(initial=0)))


def test_packed_heads(ingot, tmp_path):
    """onnxruntime has no packed queries, keys and values on the CPU: they must give what they give unpacked."""
    rng = np.random.default_rng(3)
    q, k, v = (floats(rng, 2, 5, 4, 4) for _ in range(3))
    flat = [t.reshape(2, 5, 16) for t in (q, k, v)]
    results = [run(ingot, tmp_path, case("MultiHeadAttention", inputs, num_heads=4), ["o0"])[2][0]
               for inputs in (flat, [np.stack([q, k, v], 3)], [flat[0], np.stack([k, v], 3)])]
    for packed in results[1:]:
        np.testing.assert_allclose(packed, results[0], rtol=1e-6, atol=1e-6)


def test_lengths_of_a_prompt(ingot, tmp_path):
    """Rows past a sequence's length are padding: those before them must be as if it was not there."""
    rng = np.random.default_rng(4)
    row = grouped(rng, 0, 5, 5, lengths=[4, 2])
    long = run(ingot, tmp_path, row, ["o0", "o1", "o2"])[2]
    short = {**row, "inputs": [t[1:, :3] if i < 3 else t[1:] for i, t in enumerate(row["inputs"][:6])]}
    short["inputs"][6:] = [np.array(3, I)]
    np.testing.assert_allclose(long[0][1:, :3], run(ingot, tmp_path, short, ["o0", "o1", "o2"])[2][0], rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("name, missing", [("rotary_4d_0", 1), ("multi_head", 1), ("attention", 1), ("skip", 2), ("embed", 2), ("nbits", 2)])
def test_missing_inputs_are_refused(ingot, tmp_path, name, missing):
    row = {**CASES[name], "inputs": [None if k == missing else a for k, a in enumerate(CASES[name]["inputs"])]}
    model, _ = write(tmp_path / "m.onnx", row, ["o0"])
    done = ingot("run", model)
    assert done.code in (3, 4) and done.err.startswith("ingot: "), (done.code, done.err)
