"""Operators that move, select or fold elements, over element types, ranks and odd sizes, beside the reference evaluator.

Each test is one model of many nodes: once with shapes, axes and indices as initializers, so that planning sees them, and once
as graph inputs, so that shapes are known only while running."""
import ml_dtypes
import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper
from onnx.reference import ReferenceEvaluator

TYPES = [np.float32, np.float64, np.float16, np.int8, np.uint8, np.int16, np.uint16, np.int32, np.uint32, np.int64, np.uint64,
         np.bool_, np.complex64, np.complex128, np.str_]
RNG = np.random.default_rng(7)


def array(dtype, *shape):
    """Random elements; few distinct ones in the integers, so that there are ties."""
    if dtype == np.str_:
        return np.array([f"s{i % 7}" for i in range(int(np.prod(shape)))], dtype=object).reshape(shape)
    if dtype == np.bool_:
        return RNG.integers(0, 2, shape).astype(bool)
    if np.issubdtype(dtype, np.integer):
        return RNG.integers(0 if np.issubdtype(dtype, np.unsignedinteger) else -50, 50, shape).astype(dtype)
    values = RNG.standard_normal(shape)
    return (values + (1j * RNG.standard_normal(shape) if np.issubdtype(dtype, np.complexfloating) else 0)).astype(dtype)


def ints(*values):
    return np.array(values, dtype=np.int64)


class Cases:
    """Nodes of one model, each with inputs of its own."""

    def __init__(self):
        self.nodes, self.values, self.outputs, self.squares = [], {}, [], set()

    def add(self, op, *inputs, outputs=1, **attributes):
        index = len(self.nodes)
        if op == "ReduceSumSquare":
            self.squares.add(f"n{index}")
        names = []
        for i, value in enumerate(inputs):
            names.append("" if value is None else f"n{index}i{i}")
            if value is not None:
                self.values[names[-1]] = np.asarray(value)
        results = [f"n{index}o{i}" for i in range(outputs)]
        self.nodes.append(helper.make_node(op, names, results, name=f"n{index}", **attributes))
        self.outputs += results

    def check(self, ingot, folder, opset, dynamic):
        values = {name: numpy_helper.from_array(v, name) for name, v in self.values.items()}
        is_input = {name: dynamic or name.endswith("i0") for name in values}
        empty = onnx.TypeProto()
        graph = helper.make_graph(
            self.nodes, "cases",
            [helper.make_tensor_value_info(n, v.data_type, [None] * len(v.dims)) for n, v in values.items() if is_input[n]],
            [onnx.ValueInfoProto(name=name, type=empty) for name in self.outputs],
            [v for n, v in values.items() if not is_input[n]])
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=10)
        wanted = ReferenceEvaluator(model).run(None, {n: self.values[n] for n in values if is_input[n]})
        for i, name in enumerate(self.outputs):  # the evaluator widens integers here
            if name[:-2] in self.squares:
                wanted[i] = np.asarray(wanted[i]).astype(self.values[name[:-2] + "i0"].dtype)
        for info, result in zip(graph.output, wanted):
            kind = TensorProto.STRING if result.dtype.kind in "OU" else helper.np_dtype_to_tensor_dtype(result.dtype)
            info.CopyFrom(helper.make_tensor_value_info(info.name, kind, [None] * result.ndim))
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=10)
        dump = folder / "dump"
        dump.mkdir()
        onnx.save(model, str(folder / "model.onnx"))
        for i, name in enumerate(n for n in values if is_input[n]):
            (dump / f"input_{i}.pb").write_bytes(values[name].SerializeToString())
        for i, result in enumerate(wanted):
            result = np.asarray(result, dtype=object) if result.dtype.kind in "OU" else np.asarray(result)
            (dump / f"output_{i}.pb").write_bytes(numpy_helper.from_array(result, self.outputs[i]).SerializeToString())
        done = ingot("verify", folder / "model.onnx", dump, "--rtol", "1e-5", "--atol", "1e-6")
        bad = [line for line in done.out.splitlines() if not line.startswith("agrees")]
        names = {f"n{i}": n.op_type for i, n in enumerate(self.nodes)}
        assert done.code == 0, "\n".join(bad + [done.err] + [f"{line.split()[1]}: {names[line.split()[1].split('o')[0]]}"
                                                             for line in bad if line.startswith("differs")])


@pytest.fixture(params=[False, True], ids=["known", "dynamic"])
def check(request, ingot, tmp_path):
    return lambda cases, opset=21: cases.check(ingot, tmp_path, opset, request.param)


@pytest.mark.parametrize("dtype", TYPES, ids=lambda t: t.__name__)
def test_every_type_moves(check, dtype):
    cases, x = Cases(), array(dtype, 3, 4, 5)
    cases.add("Reshape", x, ints(0, -1))
    cases.add("Flatten", x, axis=2)
    cases.add("Squeeze", x[:1], ints(0))
    cases.add("Unsqueeze", x, ints(-1, 1))
    cases.add("Transpose", x, perm=[2, 0, 1])
    cases.add("Concat", x, x[:, :2], x[:, :1], axis=1)
    cases.add("Split", x, ints(1, 0, 3), axis=1, outputs=3)
    cases.add("Slice", x, ints(-1, 1), ints(-100, 4), ints(0, 2), ints(-2, 2))
    cases.add("Expand", x[:, :1], ints(2, 1, 6, 1))
    cases.add("Tile", x, ints(2, 1, 3))
    cases.add("Gather", x, ints(-1, 0, 2, 2).reshape(2, 2), axis=1)
    cases.add("GatherElements", x, RNG.integers(-4, 4, (3, 2, 5)), axis=1)
    cases.add("GatherND", x, ints(0, -1, 2, 3).reshape(2, 2))
    cases.add("ScatterElements", x, RNG.permutation(4)[:2].reshape(1, 2, 1).astype(np.int64), array(dtype, 1, 2, 1), axis=1)
    cases.add("ScatterND", x, ints(2, 0).reshape(2, 1), array(dtype, 2, 4, 5))
    cases.add("Pad", x, ints(1, 0, 2, 0, 1, 3), array(dtype))
    cases.add("DepthToSpace", array(dtype, 2, 12, 2, 3), blocksize=2, mode="CRD")
    cases.add("SpaceToDepth", array(dtype, 2, 3, 4, 6), blocksize=2)
    cases.add("ReverseSequence", array(dtype, 4, 3, 2), ints(4, 0, 2), time_axis=0, batch_axis=1)
    cases.add("Compress", x, np.array([False, True, True]), axis=1)
    cases.add("Shape", x, start=1, end=-1)
    cases.add("Size", x)
    if dtype != np.str_:  # the evaluator has no empty string for these
        cases.add("NonZero", x)
        cases.add("CenterCropPad", x, ints(2, 7), axes=[0, 2])
        cases.add("Trilu", x, np.int64(1), upper=0)
    if dtype not in (np.str_, np.complex64, np.complex128, np.bool_):
        cases.add("Unique", x, outputs=4)
        cases.add("Unique", array(dtype, 9, 2), outputs=4, axis=0)
    if dtype in (np.float32, np.float64, np.int32, np.int64, np.float16, np.uint8):
        cases.add("OneHot", ints(0, -1, 9, 2), np.int64(3), np.array([2, 5], dtype), axis=0)
    check(cases)


@pytest.mark.parametrize("item", [np.int8, np.float16, np.float32, np.float64, np.complex128], ids=lambda t: t.__name__)
def test_transposes(check, item):
    cases = Cases()
    for shape, perms in {(37, 53): [(1, 0)], (5, 17, 33): [(0, 2, 1), (1, 0, 2), (2, 1, 0), (1, 2, 0)], (2, 3, 16, 18):
                         [(0, 2, 3, 1), (0, 3, 1, 2), (3, 2, 1, 0), (0, 2, 1, 3)], (2, 1, 3, 1, 4): [(4, 3, 2, 1, 0)],
                         (0, 3): [(1, 0)]}.items():
        for perm in perms:
            cases.add("Transpose", array(item, *shape), perm=list(perm))
    check(cases)


def test_large_copies_are_shared_out(check):
    cases, x = Cases(), array(np.int8, 6, 300, 301).astype(np.float32)
    cases.add("Transpose", x, perm=[0, 2, 1])
    cases.add("Concat", x, x, axis=0)
    cases.add("Slice", x, ints(1), ints(299), ints(1))
    cases.add("Expand", x[:, :, :1], ints(6, 300, 301))
    cases.add("Expand", np.float32(3), ints(300, 1001))
    cases.add("Pad", x, ints(0, 2, 3, 0, 2, 3), mode="reflect")
    cases.add("Gather", x, RNG.integers(0, 300, 500), axis=1)
    cases.add("ReduceMean", x, ints(0, 2))
    cases.add("ReduceSum", x, ints(1))
    cases.add("ArgMax", x, axis=1)
    check(cases)


def test_slices(check):
    cases, x = Cases(), array(np.int32, 7, 6)
    huge = np.iinfo(np.int64)
    for start, end, step in [(0, huge.max, 1), (huge.min, huge.max, 3), (-1, huge.min, -1), (huge.max, huge.min, -2),
                             (5, 2, 1), (2, 5, -1), (3, 3, 1), (-3, -1, 1), (1, 6, huge.max), (6, 0, -5)]:
        cases.add("Slice", x, ints(start), ints(end), ints(0), ints(step))
    check(cases)


def test_pads(check):
    cases, x = Cases(), array(np.float32, 3, 4, 5)
    for mode in ("constant", "reflect", "edge", "wrap"):
        cases.add("Pad", x, ints(0, 2, 1, 0, 1, 4), mode=mode)
        cases.add("Pad", x, ints(1, 0, 0, 2, 0, 0), mode=mode)
        cases.add("Pad", x, ints(0, 1, 0, 0, 1, 0), mode=mode)
        cases.add("Pad", x, ints(2, 1), None, ints(-1), mode=mode)
        cases.add("Pad", x[:1, :1], ints(2, 9, 0, 1, 3, 11), mode=mode)
    check(cases)


@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.int32, np.int64, np.uint64, np.uint32], ids=lambda t: t.__name__)
def test_reductions(check, dtype):
    cases = Cases()
    whole = ["ReduceSum", "ReduceMax", "ReduceMin", "ReduceProd", "ReduceL1", "ReduceSumSquare"]
    real = ["ReduceMean", "ReduceL2", "ReduceLogSum", "ReduceLogSumExp"]
    for op in whole + (real if np.issubdtype(dtype, np.floating) else []):
        for shape, axes in [((5, 33), (1,)), ((33, 5), (0,)), ((3, 70, 300), (1,)), ((4, 5, 6, 7), (0, 2)), ((4, 5, 6, 7), (1, 3)),
                            ((2, 3, 49), (2,)), ((2, 3, 4, 5), (2, 3)), ((1, 7, 1), (0, 2)), ((9,), (-1,)), ((2, 2000), (0, 1)),
                            ((300, 7), (1,)), ((17, 32), (1,))]:
            x = array(dtype, *shape)
            # sums that cancel would show the rounding of the reference, which adds float32 in another order
            x = np.abs(x) if op in ("ReduceSum", "ReduceMean") and np.issubdtype(dtype, np.floating) else x
            x = np.abs(x) + 1 if op == "ReduceLogSum" else x
            x = (x % 3 + 1).astype(dtype) if op == "ReduceProd" and not np.issubdtype(dtype, np.floating) else x
            x = (1 + x / 100).astype(dtype) if op == "ReduceProd" and np.issubdtype(dtype, np.floating) else x
            cases.add(op, x, ints(*axes), keepdims=len(cases.nodes) % 2)
        cases.add(op, np.abs(array(dtype, 3, 4)) + 1)
        cases.add(op, np.abs(array(dtype, 3, 4)) + 1, ints(), noop_with_empty_axes=1)
    check(cases)


def test_special_floats(check):
    cases = Cases()
    x = np.array([[1, np.nan, 3], [np.inf, 2, -np.inf], [0.0, -0.0, 0], [-np.inf, -np.inf, -np.inf]], dtype=np.float32)
    for op in ("ReduceMax", "ReduceMin", "ReduceSum", "ReduceL1"):
        cases.add(op, x, ints(1))
        cases.add(op, x, ints(0))
    cases.add("ReduceLogSumExp", np.array([[1, np.nan, 3], [-np.inf, 2, -np.inf], [0.0, -200, 0]] * 50, dtype=np.float32), ints(1))
    cases.add("ReduceLogSumExp", np.array([[1000, 1000.5], [-2000, -2001]], dtype=np.float32), ints(1))
    for axis in (0, 1):
        cases.add("ReduceLogSumExp", np.array([[1e300, 1e300], [5e11 + 9000, 5e11 + 9000.5]]), ints(axis))
    cases.add("ArgMax", x, axis=1)
    cases.add("ArgMin", x, axis=1)
    cases.add("ArgMax", x, axis=0)
    cases.add("ArgMin", x[2:], axis=0)
    check(cases)


@pytest.mark.parametrize("dtype", [np.float32, np.float16, np.int8, np.uint8, np.int64, np.uint64], ids=lambda t: t.__name__)
def test_searches(check, dtype):
    cases, x = Cases(), array(dtype, 4, 90, 3)
    extremes = np.array([0, np.iinfo(dtype).max, np.iinfo(dtype).min] if np.issubdtype(dtype, np.integer) else [0, 1, -1], dtype)
    for axis in (0, 1, -1):
        for flag in (0, 1):
            cases.add("ArgMax", x, axis=axis, keepdims=flag, select_last_index=flag)
            cases.add("ArgMin", x, axis=axis, keepdims=flag, select_last_index=flag)
            cases.add("TopK", x, ints(3), axis=axis, largest=flag, outputs=2)
    cases.add("ArgMin", extremes)
    cases.add("ArgMax", extremes)
    cases.add("TopK", array(dtype, 2, 600), ints(600), outputs=2)
    cases.add("TopK", array(dtype, 2, 600), ints(1), outputs=2)
    cases.add("TopK", array(dtype, 2, 6), ints(0), outputs=2)
    check(cases)


@pytest.mark.parametrize("dtype", [np.float16, ml_dtypes.bfloat16, np.float64, np.int8, np.int64, np.uint64], ids=lambda t: t.__name__)
def test_searches_of_long_rows(check, dtype):
    """Rows of several stretches: the extremes lie in one, at both ends of another, or in several, and NaN before all."""
    whole = np.issubdtype(dtype, np.integer)
    info = np.iinfo(dtype) if whole else ml_dtypes.finfo(dtype)
    cases = Cases()
    for size in (255, 257, 600):
        for places in ((3,), (255, 256), (0, 254, 599), range(600)):
            x = np.abs(array(np.float32, 4, size) * 9).astype(np.int8).astype(dtype)
            at = [p for p in places if p < size]
            x[0, at], x[1, at], x[2, at[-1:]] = info.max, info.min, info.max
            if not whole:
                x[3] = -x[3]  # among them -0, which is no less than 0
                x[2, at[-1:]], x[3, at] = np.inf, -np.inf if len(at) % 2 else np.nan
            for last in (0, 1):
                cases.add("ArgMax", x, axis=1, select_last_index=last)
                cases.add("ArgMin", x, axis=1, select_last_index=last)
                cases.add("ArgMax", x.T.copy(), axis=0, select_last_index=last)
                cases.add("ArgMin", x.T.copy(), axis=0, select_last_index=last)
    check(cases)


@pytest.mark.parametrize("dtype", [np.float32, np.float16, np.float64, np.int8, np.int32, np.int64, np.uint64], ids=lambda t: t.__name__)
def test_sorts(check, dtype):
    """Around the length from which digits are sorted, and around the share of a row from which all of it is."""
    cases = Cases()
    for size in (1, 2, 31, 32, 33, 64, 300):
        x = array(dtype, 3, size, 2)
        x[0] *= 2 if dtype in (np.int8, np.float16) else 20000000  # digits of every place
        if np.issubdtype(dtype, np.floating):
            x[1] = np.round(x[1]) + 0  # ties; 0 has one sign, since only a stable sort of numpy's tells -0 from it
        for largest in (0, 1):
            for k in sorted({size, max(1, size // 8), min(size, size // 8 + 1)}):
                cases.add("TopK", x, ints(k), axis=1, largest=largest, outputs=2)
                cases.add("TopK", x[0].T.copy(), ints(k), axis=-1, largest=largest, outputs=2)
        for row in (x[0, :, 0], x[1, :, 0], x[2, :, 1]):
            cases.add("Unique", row, outputs=4)
            cases.add("Unique", row, outputs=4, sorted=0)
            cases.add("Unique", row, axis=0, outputs=4)
        cases.add("Unique", x[2], outputs=4)
        cases.add("Unique", x[1], axis=0, outputs=4)
    check(cases)


def test_reduced_scatters(check):
    cases = Cases()
    for dtype in (np.float32, np.float64, np.int32, np.int64, np.float16):
        for reduction in ("add", "mul", "max", "min"):
            cases.add("ScatterElements", array(dtype, 4, 5), RNG.integers(-4, 4, (3, 5)), array(dtype, 3, 5), axis=0,
                      reduction=reduction)
            cases.add("ScatterND", array(dtype, 4, 5), RNG.integers(0, 4, (6, 1)), array(dtype, 6, 5), reduction=reduction)
    check(cases)


@pytest.mark.parametrize("share", [0, 0.002, 0.5, 1])
def test_non_zero(check, share):
    """Masks longer than the stretch that is looked at together, with rows that end anywhere in it."""
    cases = Cases()
    for dtype in (np.bool_, np.float32, np.float16, np.float64, np.int8, np.int64):
        for shape in [(), (1,), (2051,), (1, 3000), (3000, 1), (41, 3, 25), (3, 0, 4)]:
            x = (RNG.random(shape) < share) * (-1 if dtype != np.bool_ else 1)
            cases.add("NonZero", np.asarray(x).astype(dtype))
    cases.add("NonZero", np.array([np.nan, -0.0, 0.0, 1e-45, np.inf], np.float32))
    check(cases)


def test_running_sums(check):
    cases = Cases()
    for dtype in (np.float32, np.float64, np.int32, np.int64):
        for axis in (0, -1):
            for reverse, exclusive in [(0, 0), (0, 1), (1, 0), (1, 1)]:
                cases.add("CumSum", array(dtype, 4, 5, 3), np.int32(axis), reverse=reverse, exclusive=exclusive)
    check(cases)


def test_ranges(check):
    cases = Cases()
    for dtype in (np.float32, np.float64, np.int16, np.int32, np.int64):
        for row in [(0, 10, 3), (10, 0, -3), (5, 5, 1), (3, 1, 1), (-7, 8, 5), (-3, 2000, 3)]:
            cases.add("Range", *[np.array(v, dtype) for v in row])
    cases.add("EyeLike", array(np.int32, 3, 5), k=-1)
    cases.add("EyeLike", array(np.float32, 3, 5), k=7, dtype=TensorProto.INT64)
    cases.add("ConstantOfShape", ints(2, 0, 3), value=numpy_helper.from_array(np.array([7], dtype=np.int8)))
    cases.add("ConstantOfShape", ints(2, 3))
    check(cases)


BAD = {
    "index": ("Gather", [array(np.float32, 3, 4), ints(3)], {"axis": 0}, "outside of dimension 0 of size 3"),
    "element index": ("GatherElements", [array(np.float32, 3, 4), ints(-5).reshape(1, 1)], {"axis": 1}, "outside of dimension 1"),
    "tuple": ("GatherND", [array(np.float32, 3, 4), ints(0, 4)], {}, "outside of dimension 1"),
    "scattered index": ("ScatterND", [array(np.float32, 3), ints(-4).reshape(1, 1), array(np.float32, 1)], {}, "outside of"),
    "axis": ("Squeeze", [array(np.float32, 1, 4), ints(2)], {}, "axis 2 is not allowed"),
    "axis twice": ("Unsqueeze", [array(np.float32, 4), ints(0, 0)], {}, "listed twice"),
    "two free dimensions": ("Reshape", [array(np.float32, 4), ints(-1, -1)], {}, "more than one -1"),
    "elements": ("Reshape", [array(np.float32, 4), ints(3)], {}, "do not fit"),
    "overflow": ("Expand", [array(np.float32, 1), ints(1 << 40, 1 << 40)], {}, "shape"),
    "tiles": ("Tile", [array(np.float32, 3), ints(1 << 62)], {}, "too large"),
    "step": ("Slice", [array(np.float32, 4), ints(0), ints(4), ints(0), ints(0)], {}, "step of axis 0 is 0"),
    "parts": ("Split", [array(np.float32, 4), ints(5)], {}, "does not fit"),
    "pads": ("Pad", [array(np.float32, 4), ints(-3, -3)], {}, "do not fit dimension 0"),
    "empty reflection": ("Pad", [array(np.float32, 0), ints(1, 1)], {"mode": "reflect"}, "empty"),
    "k": ("TopK", [array(np.float32, 4), ints(5)], {}, "'K' is 5"),
    "delta": ("Range", [ints(0).reshape(()), ints(5).reshape(()), ints(0).reshape(())], {}, "'delta' is 0"),
    "lengths": ("ReverseSequence", [array(np.float32, 3, 2), ints(4, 1)], {}, "outside of 0 to 3"),
    "concat": ("Concat", [array(np.float32, 3, 2), array(np.float32, 2, 3)], {"axis": 0}, "size 3 in dimension 1"),
}


@pytest.mark.parametrize("name", BAD)
def test_errors(ingot, tmp_path, name):
    op, inputs, attributes, text = BAD[name]
    names = [f"i{i}" for i in range(len(inputs))]
    values = [numpy_helper.from_array(np.asarray(v), n) for n, v in zip(names, inputs)]
    out = 2 if op == "TopK" else 1
    graph = helper.make_graph([helper.make_node(op, names, [f"y{i}" for i in range(out)], name="node", **attributes)], "bad",
                              [helper.make_tensor_value_info("i0", values[0].data_type, list(values[0].dims))],
                              [helper.make_tensor_value_info("y0", values[0].data_type, None)], values[1:])
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=8), str(tmp_path / "m.onnx"))
    (tmp_path / "x.pb").write_bytes(values[0].SerializeToString())
    done = ingot("run", tmp_path / "m.onnx", "--input", tmp_path / "x.pb")
    assert done.code in (3, 4, 5), done.err
    assert text in done.err and "'node'" in done.err


@pytest.mark.parametrize("known", [True, False])
@pytest.mark.parametrize("shapes, axis", [(((0, 0), (2, 3), (4, 3)), 0), (((2, 3), (0, 7), (1, 3)), -2), (((2, 0, 5), (2, 4, 3)), 1),
                                          (((0, 4), (0, 5)), 0)])
def test_concat_of_nothing(ingot, tmp_path, shapes, axis, known):
    """Other sizes of an input that is empty along the axis do not matter, whatever is known of them beforehand."""
    inputs = {f"x{i}": array(np.float32, *shape) for i, shape in enumerate(shapes)}
    parts = [x for x in inputs.values() if x.shape[axis]] or [inputs["x0"]]
    want = np.exp(np.concatenate(parts, axis).reshape(-1))
    infos = [helper.make_tensor_value_info(n, TensorProto.FLOAT, x.shape if known else [f"{n}_{d}" for d in range(x.ndim)])
             for n, x in inputs.items()]
    nodes = [helper.make_node("Concat", list(inputs), ["c"], axis=axis), helper.make_node("Reshape", ["c", "all"], ["r"]),
             helper.make_node("Exp", ["r"], ["y"])]
    graph = helper.make_graph(nodes, "empty", infos, [helper.make_tensor_value_info("y", TensorProto.FLOAT, None)],
                              [numpy_helper.from_array(ints(-1), "all")])
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=8), str(tmp_path / "m.onnx"))
    np.savez(tmp_path / "io.npz", y=want, **inputs)
    for options in ((), ("--disable-pass", "all")):
        done = ingot("verify", tmp_path / "m.onnx", tmp_path / "io.npz", "--rtol", "1e-5", *options)
        assert done.code == 0, done.out + done.err


@pytest.mark.parametrize("channels", [24, 20])
def test_between_convolutions(ingot, tmp_path, channels):
    """Concat, Split and means over pixels where convolutions keep channels in blocks of 8, and where they do not fill them."""
    weights = {"w": array(np.float32, channels, 8, 1, 1), "v": array(np.float32, 8, 8 + channels, 1, 1), "parts": ints(8, channels - 8),
               "pixels": ints(2, 3), "last": ints(-1, -2)}
    nodes = [helper.make_node("Conv", ["x", "w"], ["a"]), helper.make_node("Split", ["a", "parts"], ["b", "c"], axis=1),
             helper.make_node("Concat", ["c", "x", "b"], ["d"], axis=1), helper.make_node("Conv", ["d", "v"], ["y0"]),
             helper.make_node("ReduceMean", ["d", "pixels"], ["e"]), helper.make_node("Conv", ["e", "v"], ["y1"]),
             helper.make_node("ReduceMean", ["a", "last"], ["y2"], keepdims=0),
             helper.make_node("ReduceSum", ["a", "pixels"], ["y3"], keepdims=0), helper.make_node("Relu", ["c"], ["y4"])]
    x = array(np.float32, 2, 8, 5, 7)
    graph = helper.make_graph(nodes, "blocks", [helper.make_tensor_value_info("x", TensorProto.FLOAT, x.shape)],
                              [helper.make_tensor_value_info(f"y{i}", TensorProto.FLOAT, None) for i in range(5)],
                              [numpy_helper.from_array(v, n) for n, v in weights.items()])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=8)
    onnx.save(model, str(tmp_path / "m.onnx"))
    dump = tmp_path / "dump"
    dump.mkdir()
    (dump / "input_0.pb").write_bytes(numpy_helper.from_array(x, "x").SerializeToString())
    for i, y in enumerate(ReferenceEvaluator(model).run(None, {"x": x})):
        (dump / f"output_{i}.pb").write_bytes(numpy_helper.from_array(y, f"y{i}").SerializeToString())
    done = ingot("verify", tmp_path / "m.onnx", dump, "--rtol", "1e-5", "--atol", "2e-5")
    assert done.code == 0, done.out + done.err


@pytest.mark.parametrize("size, count", [(5, 1), (1, 1), (0, 0)])
def test_a_slice_backwards_from_before_the_first_element(ingot, tmp_path, size, count):
    """The standard clamps such a start to the first element; NumPy, and so the reference, gives nothing."""
    bounds = [numpy_helper.from_array(ints(v), n) for n, v in (("start", -10), ("end", -2**31), ("axis", 0), ("step", -1))]
    graph = helper.make_graph(
        [helper.make_node("Slice", ["x", *(b.name for b in bounds)], ["y"])], "slice",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [size])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [None])], bounds)
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=9), tmp_path / "model.onnx")
    x = np.arange(7, 7 + size, dtype=np.float32)
    np.save(tmp_path / "x.npy", x)
    done = ingot("run", tmp_path / "model.onnx", "--input", tmp_path / "x.npy", "--output-dir", tmp_path)
    assert done.code == 0 and np.load(tmp_path / "y.npy").tolist() == x[:count].tolist(), done.err
