"""Elementwise operators: element types and shapes beside the reference evaluator, and the corners that it leaves undefined,
where the wanted values are written down here."""
import ml_dtypes
import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from test_movement import Cases

RNG = np.random.default_rng(11)
INTEGERS = [np.int8, np.uint8, np.int16, np.uint16, np.int32, np.uint32, np.int64, np.uint64]
FLOATS = [np.float32, np.float64, np.float16]
SHAPES = [((3, 4, 5), (3, 4, 5)), ((3, 4, 5), ()), ((), (3, 4, 5)), ((3, 4, 5), (5,)), ((3, 1, 5), (4, 1)), ((7, 1), (1, 9)),
          ((2, 3, 1, 4, 1), (3, 6, 1, 2)), ((0, 3), (1, 3)), ((1,), (1, 1, 1)), ((2, 5, 3), (2, 1, 1)), ((17, 1025), (1025,)),
          ((3, 50, 1), (3, 1, 16)), ((2, 3, 40, 14), (2, 3, 40, 1)), ((5, 3, 19), (19,)), ((4, 2, 130), (4, 1, 130)), ((2, 3, 5, 7), (2, 1, 5, 1))]


@pytest.fixture(params=[False, True], ids=["known", "dynamic"])
def check(request, ingot, tmp_path):
    return lambda cases, opset=21: cases.check(ingot, tmp_path, opset, request.param)


def numbers(dtype, shape, low=-9, high=9):
    if np.issubdtype(dtype, np.unsignedinteger):
        low = max(low, 0)
    if np.issubdtype(dtype, np.integer):
        return RNG.integers(low, high, shape).astype(dtype)
    return np.asarray(RNG.uniform(low, high, shape)).astype(dtype)


@pytest.mark.parametrize("dtype", INTEGERS + FLOATS, ids=lambda t: t.__name__)
def test_broadcasting(check, dtype):
    cases = Cases()
    for a, b in SHAPES:
        x, y = numbers(dtype, a), numbers(dtype, b)
        for op in ("Add", "Sub", "Mul", "Min", "Max", "Less", "Greater", "LessOrEqual", "GreaterOrEqual", "Equal"):
            cases.add(op, x, y)
        cases.add("Where", np.asarray(x > 2), x, y)
        if np.issubdtype(dtype, np.integer):
            for op in ("BitwiseAnd", "BitwiseOr", "BitwiseXor"):
                cases.add(op, x, y)
            cases.add("Div", np.abs(x), numbers(dtype, b, 1))
            cases.add("Mod", x, numbers(dtype, b, 1))
        else:
            cases.add("Div", x, numbers(dtype, b, 1))
            cases.add("Mod", x, numbers(dtype, b, 1), fmod=1)
            cases.add("Sum", x, y)
    check(cases)


@pytest.mark.parametrize("dtype", INTEGERS + FLOATS, ids=lambda t: t.__name__)
def test_one_input(check, dtype):
    cases, x = Cases(), numbers(dtype, (5, 7), -4, 5)
    cases.add("Abs", x)
    cases.add("Sign", x)
    cases.add("Clip", x, dtype(1), dtype(3))
    cases.add("Clip", x, None, dtype(2))
    cases.add("Clip", x, dtype(3), dtype(1))
    if np.issubdtype(dtype, np.integer):
        cases.add("BitwiseNot", x)
    if not np.issubdtype(dtype, np.unsignedinteger):
        cases.add("Neg", x)
        cases.add("Relu", x)
    check(cases)


@pytest.mark.parametrize("channels", [5, 8, 12])
def test_blocked_operands(check, channels):
    """After a convolution tensors may be blocked: every way for an operand to meet one."""
    cases, x = Cases(), numbers(np.float32, (2, 3, 6, 7), -1, 1)
    weights = numbers(np.float32, (channels, 3, 3, 3), -1, 1)

    def conv():
        cases.add("Conv", x, weights)
        return cases.outputs[-1]

    def chain(op, *inputs, **attributes):
        index = len(cases.nodes)
        names = []
        for i, value in enumerate(inputs):
            names.append(value if isinstance(value, str) else f"n{index}i{i + 1}")
            if not isinstance(value, str):
                cases.values[names[-1]] = np.asarray(value)
        cases.nodes.append(helper.make_node(op, names, [f"n{index}o0"], name=f"n{index}", **attributes))
        cases.outputs.append(f"n{index}o0")
        return cases.outputs[-1]

    one, two = conv(), conv()
    for op in ("Add", "Mul", "Sub", "Div", "Max"):
        for shape in ((), (1,), (channels, 1, 1), (1, channels, 1, 1), (2, channels, 1, 1), (1, 1, 4, 5), (2, 1, 1, 1), (5,)):
            operand = numbers(np.float32, shape, 1, 3)
            chain("Relu", chain(op, one, operand))
            if op != "Div":  # by numbers near zero
                chain("Sigmoid", chain(op, operand, two))
        chain("Tanh", chain(op, chain("Abs", one), chain("Exp", two)))
    gate = chain("Sigmoid", chain("GlobalAveragePool", one))
    chain("Neg", chain("Mul", one, gate))
    chain("PRelu", one, numbers(np.float32, (channels, 1, 1), 0, 1))
    check(cases)


def run(ingot, folder, op, inputs, opset=21, **attributes):
    """The output of one node; inputs are arrays."""
    types = [TensorProto.STRING if v.dtype == object else helper.np_dtype_to_tensor_dtype(v.dtype) for v in inputs]
    names = [f"x{i}" for i in range(len(inputs))]
    graph = helper.make_graph(
        [helper.make_node(op, names, ["y"], **attributes)], "one",
        [helper.make_tensor_value_info(n, t, v.shape) for n, t, v in zip(names, types, inputs)],
        [onnx.ValueInfoProto(name="y", type=onnx.TypeProto())])
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=10), folder / "one.onnx")
    arguments = []
    for name, value in zip(names, inputs):
        (folder / f"{name}.pb").write_bytes(numpy_helper.from_array(value, name).SerializeToString())
        arguments += ["--input", f"{name}={folder / name}.pb"]
    done = ingot("run", folder / "one.onnx", *arguments, "--output-dir", folder, "--format", "pb", "--quiet")
    assert done.code == 0, done.err
    result = TensorProto()
    result.ParseFromString((folder / "output_0.pb").read_bytes())
    return numpy_helper.to_array(result)


@pytest.mark.parametrize("op", ["Softmax", "LogSoftmax"])
@pytest.mark.parametrize("shape", [(2, 3, 2), (2, 700, 3), (3, 1, 5), (1, 137, 19), (2, 40, 256), (2, 5, 257), (1, 3, 1100), (2, 2, 0), (0, 2, 2)])
def test_softmax_of_strips_side_by_side(ingot, tmp_path, op, shape):
    x = numbers(np.float32, shape, -20, 20)
    if x.size > 100:
        x[0, :2, 0], x[0, 1, 1] = -np.inf, -np.inf
        x[-1, 2, -1], x[-1, :, -2] = np.nan, -np.inf
    with np.errstate(all="ignore"):
        wide = x.astype(np.float64)
        power = np.exp(wide - wide.max(1, keepdims=True))
        want = power / power.sum(1, keepdims=True) if op == "Softmax" else wide - wide.max(1, keepdims=True) - np.log(power.sum(1, keepdims=True))
    np.testing.assert_allclose(run(ingot, tmp_path, op, [x], axis=1), want, rtol=3e-6, atol=1e-30 if op == "Softmax" else 3e-6)


@pytest.mark.parametrize("dtype", [np.int8, np.int16, np.int32, np.int64], ids=lambda t: t.__name__)
def test_integers_never_trap(ingot, tmp_path, dtype):
    low, high = np.iinfo(dtype).min, np.iinfo(dtype).max
    x, y = np.array([7, low, low, -7, high], dtype), np.array([0, -1, 0, 2, -1], dtype)
    assert run(ingot, tmp_path, "Div", [x, y]).tolist() == [0, low, 0, -3, -high]
    assert run(ingot, tmp_path, "Mod", [x, y]).tolist() == [0, 0, 0, 1, 0]
    assert run(ingot, tmp_path, "Mod", [x, y], fmod=1).tolist() == [0, 0, 0, -1, 0]
    assert run(ingot, tmp_path, "Abs", [np.array([low, -3], dtype)]).tolist() == [low, 3]
    assert run(ingot, tmp_path, "Add", [np.array([high], dtype), np.array([1], dtype)]).tolist() == [low]
    assert run(ingot, tmp_path, "Mul", [np.array([high], dtype), np.array([2], dtype)]).tolist() == [-2]
    bits = np.array([-1, 8, 64, 100, 1], dtype)
    ones = np.full(5, -1, dtype)
    assert run(ingot, tmp_path, "BitShift", [ones, bits], 28, direction="RIGHT").tolist() == [-1] * 5
    wanted = [0, -256 if dtype != np.int8 else 0, 0, 0, -2]
    assert run(ingot, tmp_path, "BitShift", [ones, bits], 28, direction="LEFT").tolist() == wanted


def test_not_a_number_spreads(ingot, tmp_path):
    x, y = np.array([np.nan, 1, np.nan], np.float32), np.array([1, np.nan, np.nan], np.float32)
    for op in ("Min", "Max", "Add"):
        for dtype in FLOATS:
            assert np.isnan(run(ingot, tmp_path, op, [x.astype(dtype), y.astype(dtype)])).all(), (op, dtype)
    for op in ("Relu", "Sigmoid", "Tanh", "Exp", "Erf", "Gelu", "Softplus", "Log", "Sin", "HardSwish", "Sign", "Round", "Elu", "Mish"):
        assert np.isnan(run(ingot, tmp_path, op, [x]))[[0, 2]].all(), op


@pytest.mark.parametrize("count", [2, 3, 17])
@pytest.mark.parametrize("dtype", [np.float16, ml_dtypes.bfloat16], ids=lambda t: t.__name__)
def test_sums_of_16_bits_round_once(ingot, tmp_path, dtype, count):
    terms = [numbers(np.float32, (2, 3, 40) if k % 2 else (3, 1)).astype(dtype) for k in range(count)]
    total = sum(np.broadcast_to(t, (2, 3, 40)).astype(np.float32) for t in terms)
    for op, wanted in (("Sum", total), ("Mean", total / np.float32(count))):
        np.testing.assert_array_equal(run(ingot, tmp_path, op, terms), wanted.astype(dtype), err_msg=op)
    assert np.signbit(run(ingot, tmp_path, "Sum", [np.array([-0.0], dtype)] * count).astype(np.float32))


@pytest.mark.parametrize("power", [2, 3, 0.5, -1, 1, 0, 2.5])
def test_powers(ingot, tmp_path, power):
    x = np.array([0.0, -0.0, 1.5, 3, 1e-30, np.inf], np.float32)
    if power not in (0.5, 2.5):
        x = np.concatenate([x, -x])
    with np.errstate(all="ignore"):
        wanted = np.power(x, np.float32(power))
    for exponent in (np.array(power, np.float32), np.array([power] * len(x), np.float32), np.array(power, np.float64)):
        np.testing.assert_allclose(run(ingot, tmp_path, "Pow", [x, exponent]), wanted, rtol=1e-6)
    assert run(ingot, tmp_path, "Pow", [np.array([2, -1, 0, 5], np.int32), np.array(-3, np.int64)]).tolist() == [0, -1, 0, 0]
    assert run(ingot, tmp_path, "Pow", [np.array([-np.inf], np.float32), np.array(0.5, np.float32)])[0] == np.inf


def test_casts_out_of_range(ingot, tmp_path):
    x = np.array([np.nan, np.inf, -np.inf, 3e9, -3e9, 1e30, -1.7, 300.9], np.float32)
    wanted = {TensorProto.INT32: [0, 2**31 - 1, -2**31, 2**31 - 1, -2**31, 2**31 - 1, -1, 300],
              TensorProto.INT64: [0, 2**63 - 1, -2**63, 3000000000, -3000000000, 2**63 - 1, -1, 300],
              TensorProto.BOOL: [True] * 8}
    for to, values in wanted.items():
        assert run(ingot, tmp_path, "Cast", [x], to=to).tolist() == values
    assert run(ingot, tmp_path, "Cast", [np.array([300, -1, 65536], np.int64)], to=TensorProto.UINT8).tolist() == [44, 255, 0]
    # 1 + 2^-11 + 2^-40 lies above the middle of two halves: rounding twice would give 1
    assert run(ingot, tmp_path, "Cast", [np.array([1 + 2**-11 + 2**-40])], to=TensorProto.FLOAT16)[0] == np.float16(1 + 2**-10)


@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.uint8, np.int8, np.int32, np.int64], ids=lambda t: t.__name__)
def test_casts_of_whole_blocks(ingot, tmp_path, dtype):
    """Long arrays take loops of 64 elements: some full of small numbers, some with one that int32 does not hold, and a rest."""
    x = numbers(np.float64, 64 * 7 + 5, -1000, 1000)
    x[[3, 64, 127]] = 0, -0.0, 0.5
    if np.issubdtype(dtype, np.integer):
        x = x.astype(np.int64)
        if dtype == np.int64:
            x[[130, 200, 300]] = 2**40 + 7, 2**32, -2**33 - 5
        x = x.astype(dtype)
    else:
        x[[130, 191, 192, 320, 400, 450]] = np.nan, np.inf, -2.0**31, 2.0**31, -3e9, 2.0**63
        x = x.astype(dtype)
    for to in [np.bool_, np.float32, np.float64] + INTEGERS:
        with np.errstate(all="ignore"):
            wanted = x.astype(to)
        if np.issubdtype(dtype, np.floating) and to in INTEGERS:
            size = 64 if to in (np.uint32, np.uint64, np.int64) else 32
            whole = [0 if np.isnan(v) else int(max(min(v, 1e30), -1e30)) for v in x]
            top = 2**64 if to == np.uint64 else 2**(size - 1)
            wanted = np.array([max(min(v, top - 1), -2**(size - 1)) % 2**64 for v in whole], np.uint64).astype(to)
        got = run(ingot, tmp_path, "Cast", [x], to=helper.np_dtype_to_tensor_dtype(np.dtype(to)))
        np.testing.assert_array_equal(got, wanted, err_msg=str(to))
        assert got.dtype == to


def test_casts_of_every_half(ingot, tmp_path):
    halves = np.arange(2**16, dtype=np.uint16).view(np.float16)[:-3]         # the rest is less than a block
    wide = run(ingot, tmp_path, "Cast", [halves], to=TensorProto.FLOAT)
    np.testing.assert_array_equal(wide, halves.astype(np.float32))
    assert np.array_equal(np.signbit(wide), np.signbit(halves))
    # the halves again, and what lies in the middle between two, which goes to the even one
    finite = np.sort(halves[np.isfinite(halves)]).astype(np.float32)
    for x in (wide, (finite[1:] + finite[:-1]) / 2, np.nextafter(finite, np.float32(np.inf))):
        got = run(ingot, tmp_path, "Cast", [x], to=TensorProto.FLOAT16)
        np.testing.assert_array_equal(got, x.astype(np.float16))


@pytest.mark.parametrize("shape", [(3, 701), (290, 9)], ids=str)
@pytest.mark.parametrize("dtype", [np.uint8, np.int8, np.int32, np.uint64, np.int64, np.float64], ids=lambda t: t.__name__)
def test_long_reductions(ingot, tmp_path, dtype, shape):
    """Rows of more than one stretch of 256 elements, folded to numbers and onto each other; and many short ones."""
    x = numbers(dtype, shape, -100 if shape[0] == 3 else 1, 100)  # short sums must not cancel
    x.flat[1001], x.flat[1957] = (np.nan, -np.inf) if dtype == np.float64 else (np.iinfo(dtype).max, np.iinfo(dtype).min)
    folds = {"ReduceSum": np.sum, "ReduceMax": np.max, "ReduceMin": np.min, "ReduceProd": np.prod,
             "ReduceL1": lambda a, **k: np.sum(np.abs(a), **k), "ReduceSumSquare": lambda a, **k: np.sum(a * a, **k)}
    for op, fold in folds.items():
        for axis in (0, 1):
            with np.errstate(all="ignore"):
                kept = {} if "Max" in op or "Min" in op else dict(dtype=dtype)
                wanted = fold(x.astype(np.int64) if op == "ReduceL1" and dtype == np.int8 else x, axis=axis, **kept)
            got = run(ingot, tmp_path, op, [x, np.array([axis])], opset=18, keepdims=0)
            np.testing.assert_allclose(got, wanted, rtol=1e-12 if dtype == np.float64 else 0, err_msg=f"{op} {axis}")


@pytest.mark.parametrize("rows", [1, 2, 3, 8, 13, 64, 65])
def test_reductions_of_short_outer_axes(ingot, tmp_path, rows):
    """Rows of floats folded onto each other, in pieces of 256 columns; more than 64 rows add up in double."""
    x = RNG.standard_normal((3, rows, 19, 27)).astype(np.float32)
    x[1, rows // 2, 3, 4], x[2, rows - 1, 18, 26] = np.nan, np.inf
    wide = x.astype(np.float64)
    folds = {"ReduceSum": wide.sum(1), "ReduceMean": wide.mean(1), "ReduceMax": wide.max(1), "ReduceMin": wide.min(1),
             "ReduceProd": wide.prod(1), "ReduceL1": abs(wide).sum(1), "ReduceL2": np.sqrt((wide * wide).sum(1)),
             "ReduceSumSquare": (wide * wide).sum(1)}
    for op, wanted in folds.items():
        got = run(ingot, tmp_path, op, [x, np.array([1])], opset=18, keepdims=0)
        np.testing.assert_allclose(got, wanted, rtol=1e-5, atol=2e-6, err_msg=op)
        assert run(ingot, tmp_path, op, [x, np.array([1])], opset=18).shape == (3, 1, 19, 27)


def test_numbers_and_text(ingot, tmp_path):
    numbers_ = [1.0, 0.1, -2.5, 314.15926, 1e-5, 1.5e20, 123456789.0, 0.0, -0.0, 1 / 3, np.inf, -np.inf, np.nan]
    for dtype in (np.float32, np.float64):
        text = run(ingot, tmp_path, "Cast", [np.array(numbers_, dtype)], to=TensorProto.STRING)
        back = run(ingot, tmp_path, "Cast", [text.astype(object)], to=helper.np_dtype_to_tensor_dtype(np.dtype(dtype)))
        np.testing.assert_array_equal(back, np.array(numbers_, dtype))
    assert [str(t) for t in text[:6]] == ["1.0", "0.1", "-2.5", "314.15926", "1e-05", "1.5e+20"]
    words = np.array(["9223372036854775807", "-12", "1e3"], dtype=object)
    assert run(ingot, tmp_path, "Cast", [words], to=TensorProto.INT64).tolist() == [2**63 - 1, -12, 1000]
    with pytest.raises(AssertionError, match="not a number"):
        run(ingot, tmp_path, "Cast", [np.array(["twelve"], dtype=object)], to=TensorProto.FLOAT)


def test_threads_change_nothing(ingot, tmp_path):
    x = RNG.standard_normal((3, 70001)).astype(np.float32)
    gate = RNG.standard_normal((3, 1)).astype(np.float32)
    for op, inputs in (("Exp", [x]), ("Mul", [x, gate]), ("Gelu", [x]), ("Pow", [np.abs(x), gate])):
        results = []
        for threads in (1, 2, 3):
            def limited(*arguments, n=threads, **options):
                return ingot(*arguments, "--threads", n, **options)
            results.append(run(limited, tmp_path, op, inputs).tobytes())
        assert results[0] == results[1] == results[2], op
