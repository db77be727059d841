"""Is each model that is one damage away from one that passes rewrite refused, or run, with passes as without?

    python3 tests/fuzz/variants.py REPLAY [--every N] [MODEL ...]

REPLAY is build/tests/fuzz/replay_run, or the same program of a build with sanitizers. The models are those below and the ones named:
inputs and outputs are left out, exchanged and added, constants get other types, shapes and numbers, attributes other values, declared
types and the opset change, and a node is put before each input. Of all these, 12,000 for the models below, every N-th is tried. The
variants that fail stay in a folder that is named; keep them small in tests/fuzz/corpus/run.
"""
import argparse
import os
import subprocess
import sys
import tempfile

import numpy as np
import onnx
from onnx import AttributeProto, TensorProto, helper, numpy_helper

FLOAT, DOUBLE, INT64, INT32, BOOL, INT8 = (getattr(TensorProto, t) for t in ("FLOAT", "DOUBLE", "INT64", "INT32", "BOOL", "INT8"))
TYPES = (FLOAT, DOUBLE, INT64, INT32, BOOL, INT8, TensorProto.FLOAT16, TensorProto.UINT8)
NUMBERS = (-(1 << 63), -(1 << 31), -3, -1, 0, 1, 2, 3, 5, 100, (1 << 31) - 1, (1 << 63) - 1)
FLOATS = (0.0, -1.0, 1e30, float("nan"), float("inf"))
WORDS = ("", "guess", "VALID", "SAME_UPPER", "edge", "constant", "tanh", "none")

CONSTANTS = {
    "w": np.linspace(-1, 1, 36, dtype=np.float32).reshape(4, 1, 3, 3), "k": np.eye(4, dtype=np.float32).reshape(4, 4, 1, 1), "m": np.eye(4, dtype=np.float32),
    "b": np.linspace(0.5, 1, 4, dtype=np.float32), "wq": np.arange(16, dtype=np.int8).reshape(4, 4, 1, 1), "bq": np.arange(4, dtype=np.int32),
    "mq": np.arange(16, dtype=np.uint8).reshape(4, 4), "s": np.float32(0.1), "z": np.uint8(3), "zi": np.int8(0), "zb": np.int32(0), "half": np.float32(0.5),
    "root": np.float32(2 ** 0.5), "one": np.float32(1), "zero": np.float32(0), "two": np.float32(2), "eps": np.float32(1e-5), "last": np.array([-1]),
    "pads": np.array([0, 0, 1, 1, 0, 0, 1, 1]), "none": np.zeros(8, np.int64), "first": np.array([0]), "rest": np.array([-1]), "yes": np.array(False)}

NORM = "BatchNormalization"
MODELS = [  # a row: shape of x, opset, and nodes as "output = operator inputs" with attributes
    ("N,4,5,5", 17, [("c = Conv x w b", dict(group=4, pads=[1, 1, 1, 1])), (f"n = {NORM} c b b b b", {}), ("y = Relu n", {})]),
    ("2,4,5,5", 17, [("p = Pad x pads", {}), ("c = Conv p k", {}), ("r = Add c x9", {}), ("y = Clip r zero two", {})]),
    ("2,4,5,5", 17, [("c = Conv x k", {}), ("p = AveragePool c", dict(kernel_shape=[2, 2])), (f"n = {NORM} p b b b b", {}), ("y = Sigmoid n", {})]),
    ("N,4,5,5", 17, [(f"n = {NORM} x b b b b", {}), ("y = Conv n k", {})]),
    ("N,4,5,5", 17, [("c = Conv x w b", dict(group=4, pads=[1, 1, 1, 1])), (f"n = {NORM} x b b b b", {}), ("d = Conv x w", dict(group=4, pads=[1, 1, 1, 1])),
                     ("s = Add c n", {}), ("t = Add d s", {}), ("y = Add x t", {})]),
    ("N,4", 17, [("p = MatMul x m", {}), ("a = Add p b", {}), (f"y = {NORM} a b b b b", {})]),
    ("N,4", 20, [("h = Div x root", {}), ("e = Erf h", {}), ("a = Add e one", {}), ("p = Mul x a", {}), ("y = Mul p half", {})]),
    ("2,3,4", 18, [("u = ReduceMean x last", {}), ("d = Sub x u", {}), ("q = Pow d two", {}), ("v = ReduceMean q last", {}), ("e = Add v eps", {}),
                   ("r = Sqrt e", {}), ("n = Div d r", {}), ("g = Mul n b", {}), ("y = Add g b", {})]),
    ("1,4,5,5", 13, [("xq = QuantizeLinear x s z", {}), ("xf = DequantizeLinear xq s z", {}), ("wf = DequantizeLinear wq s zi", {}),
                     ("bf = DequantizeLinear bq s zb", {}), ("c = Conv xf wf bf", {}), ("r = Relu c", {}), ("y = QuantizeLinear r s z", {})]),
    ("2,4", 13, [("q,qs,qz = DynamicQuantizeLinear x", {}), ("p = MatMulInteger q mq qz z", {}), ("f = Cast p", dict(to=FLOAT)), ("t = Mul qs s", {}),
                 ("u = Mul f t", {}), ("y = Add u b", {})]),
    ("N,4,5,5", 17, [("t = Transpose x", dict(perm=[0, 2, 3, 1])), ("u = Transpose t", dict(perm=[0, 3, 1, 2])), ("d = Dropout u half yes", {}),
                     ("i = Identity d", {}), ("a = Add i zero", {}), ("p = Pad a none", {}), ("y = Cast p", dict(to=FLOAT))]),
    ("2,4,5", 17, [("t = Shape x", {}), ("g = Gather t first", {}), ("u = Concat g rest", dict(axis=0)), ("r = Reshape x u", {}), ("f = Flatten r", {}),
                   ("e = Expand f u9", {}), ("y = CastLike e x", {})]),
]


def make(shape, opset, rows):
    """A model of a row; an input that nothing makes is a second one of the graph's, x9 like x and u9 a list of two."""
    dims = [int(d) if d.isdigit() else d for d in shape.split(",")]
    nodes = []
    for text, attributes in rows:
        outputs, call = text.split(" = ")
        op, *inputs = call.split()
        nodes.append(helper.make_node(op, inputs, outputs.split(","), **attributes))
    read = {i for n in nodes for i in n.input}
    infos = [helper.make_tensor_value_info(n, t, d) for n, t, d in (("x", FLOAT, dims), ("x9", FLOAT, dims), ("u9", INT64, [2])) if n in read]
    graph = helper.make_graph(nodes, "g", infos, [helper.make_empty_tensor_value_info("y")],
                              [numpy_helper.from_array(np.asarray(a), n) for n, a in CONSTANTS.items() if n in read])
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=8)


def tensors(tensor):
    """Other constants in the place of one."""
    array = numpy_helper.to_array(tensor)
    with np.errstate(all="ignore"):
        others = [array.astype(helper.tensor_dtype_to_np_dtype(t)) for t in TYPES if t != tensor.data_type]
        others += [np.full(array.shape, np.array(v).astype(array.dtype)) for v in (NUMBERS if array.dtype.kind in "iu" else FLOATS)]
    others += [array.reshape(s) for s in ((1, *array.shape), (*array.shape, 1), (1, 1, 1, 1, 1, array.size), (array.size,))]
    others += [array[:0], array[:1], np.concatenate([array, array])] if array.ndim else [np.stack([array, array]), array.reshape(1)[:0]]
    if array.dtype.kind == "i" and 0 < array.size <= 8:
        for i, number in ((i, n) for i in range(array.size) for n in NUMBERS if np.iinfo(array.dtype).min <= n <= np.iinfo(array.dtype).max):
            others.append(array.copy())
            others[-1].reshape(-1)[i] = number
    return [numpy_helper.from_array(np.ascontiguousarray(o).reshape(o.shape), tensor.name) for o in others]


def attributes(attribute):
    """Other values for an attribute, and of other types."""
    value, name = helper.get_attribute_value(attribute), attribute.name
    others = {AttributeProto.INT: NUMBERS, AttributeProto.FLOAT: FLOATS, AttributeProto.STRING: WORDS}.get(attribute.type, ())
    if attribute.type == AttributeProto.INTS:
        value = list(value)
        others = [value[:-1] or [1], value + [1], value[::-1], *(value[:i] + [n] + value[i + 1:] for i in range(len(value)) for n in NUMBERS)]
    return [helper.make_attribute(name, o) for o in (*others, 1, 0.5, "guess", [1, 1])]


def inserted(value):
    """What may come between a value and its reader: nodes, and constants that they read."""
    calls = [(op, [value], {}) for op in ("Identity", "Shape", "Transpose", "Neg", "Not", "Sqrt", "Relu", "Flatten", "Squeeze", "NonZero", "SequenceConstruct",
                                          "Optional", "Dropout", "GlobalAveragePool", "NoSuchOp")]
    calls += [("Cast", [value], dict(to=t)) for t in TYPES] + [("Concat", [value, value], dict(axis=a)) for a in (0, 1, 5)]
    for op in ("Add", "Mul", "Div", "Pow"):
        calls += [(op, [value, c], {}) for c in (np.float32(0), np.float32(1), np.int64(1), np.float64(0), np.ones((1,) * 5, np.float32), np.zeros(0, np.float32))]
    for op, lists in (("Reshape", ([-1], [0, -1], [1, 1, -1])), ("Expand", ([1], [2, 1, 1, 1, 1])), ("Unsqueeze", ([0], [1])), ("Pad", ([0] * 4, [0] * 8))):
        calls += [(op, [value, np.array(a)], {}) for a in lists]
    for op, inputs, options in calls:
        names = [i if isinstance(i, str) else "put_c" for i in inputs]
        yield helper.make_node(op, names, ["put"], **options), [numpy_helper.from_array(np.asarray(i), "put_c") for i in inputs if not isinstance(i, str)]


def infos(info):
    """Other declarations of a value."""
    dims = [d.dim_value if d.HasField("dim_value") else d.dim_param for d in info.type.tensor_type.shape.dim]
    made = [helper.make_tensor_value_info(info.name, t, dims) for t in TYPES]
    shapes = [None, [], [1, *dims], [*dims, 1], dims[1:], *(dims[:i] + [d] + dims[i + 1:] for i in range(len(dims)) for d in (0, 1, 3, "q"))]
    return [*made, *(helper.make_tensor_value_info(info.name, info.type.tensor_type.elem_type, s) for s in shapes), onnx.ValueInfoProto(name=info.name)]


def edits(model):
    """Functions that each change a copy of the model in one place."""
    graph = model.graph
    values = [*(i.name for i in graph.input), *(t.name for t in graph.initializer), *(o for n in graph.node for o in n.output if o)]
    for n, node in enumerate(graph.node):
        for i, name in enumerate(node.input):
            for other in ["", *values]:
                yield lambda g, n=n, i=i, other=other: g.node[n].input.__setitem__(i, other)
            yield lambda g, n=n, i=i: g.node[n].input.__delitem__(i)
            for put, constants in inserted(name) if name else ():
                def insert(g, n=n, i=i, put=put, constants=constants):
                    g.node[n].input[i] = "put"
                    g.node.insert(n, put)
                    g.initializer.extend(constants)
                yield insert
        for more in (["x"], [""], ["", "x"], [values[-1]]):
            yield lambda g, n=n, more=more: g.node[n].input.extend(more)
        for more in (["o2"], ["", "o2"], [node.output[0]]):
            yield lambda g, n=n, more=more: (g.node[n].output.extend(more), g.output.add(name=more[-1]))
        yield lambda g, n=n: g.output.add(name=g.node[n].output[0])
        for op in sorted({m.op_type for m in graph.node} | {"Identity", "Not", "MaxPool", "Gelu"}):
            yield lambda g, n=n, op=op: setattr(g.node[n], "op_type", op)
        for a, attribute in enumerate(node.attribute):
            for other in attributes(attribute):
                yield lambda g, n=n, a=a, other=other: g.node[n].attribute[a].CopyFrom(other)
            yield lambda g, n=n, a=a: g.node[n].attribute.__delitem__(a)
        for name, value in (("axis", 5), ("to", 7), ("approximate", "guess"), ("auto_pad", "VALID"), ("count_include_pad", 1), ("transB", 1), ("keepdims", 0),
                            ("training_mode", 1), ("mode", "edge"), ("round_mode", "guess"), ("dilations", [2, 2]), ("ceil_mode", 1)):
            if all(a.name != name for a in node.attribute):
                yield lambda g, n=n, name=name, value=value: g.node[n].attribute.append(helper.make_attribute(name, value))
    for i, tensor in enumerate(graph.initializer):
        for other in tensors(tensor):
            yield lambda g, i=i, other=other: g.initializer[i].CopyFrom(other)
        given = helper.make_tensor_value_info(tensor.name, tensor.data_type, list(tensor.dims))
        yield lambda g, given=given: g.input.append(given)
        yield lambda g, given=given, i=i: (g.input.append(given), g.initializer.__delitem__(i))
    for i, info in enumerate(graph.input):
        for other in infos(info):
            yield lambda g, i=i, other=other: g.input[i].CopyFrom(other)
    yield lambda g: g.output[0].CopyFrom(helper.make_tensor_value_info("y", INT32, [7]))


def variants(model):
    """The model with each of its edits, and in other versions of the standard."""
    for edit in edits(model):
        copy = onnx.ModelProto()
        copy.CopyFrom(model)
        edit(copy.graph)
        yield copy
    for opset in (6, 7, 9, 11, 13, 18, 22):
        copy = onnx.ModelProto()
        copy.CopyFrom(model)
        copy.opset_import[0].version = opset
        yield copy


def failing(replay, paths):
    """Those of the files that end the program; it is run for fewer and fewer of them until each is alone."""
    if not paths or not subprocess.run([replay, *paths], stdout=subprocess.DEVNULL, stderr=None if len(paths) == 1 else subprocess.DEVNULL).returncode:
        return []
    middle = len(paths) // 2
    return paths if len(paths) == 1 else failing(replay, paths[:middle]) + failing(replay, paths[middle:])


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("replay")
    parser.add_argument("models", nargs="*")
    parser.add_argument("--every", type=int, default=1)
    options = parser.parse_intermixed_args()
    folder = tempfile.mkdtemp(prefix="variants-")
    models = [make(*row) for row in MODELS] + [onnx.load(m) for m in options.models]
    failed, paths, n = [], [], 0

    def flush():
        failed.extend(failing(options.replay, paths))
        for path in set(paths) - set(failed):
            os.remove(path)
        paths.clear()

    for i, variant in enumerate(v for m in models for v in variants(m)):
        if i % options.every:
            continue
        paths.append(os.path.join(folder, f"{i}.onnx"))
        with open(paths[-1], "wb") as file:
            file.write(variant.SerializeToString())
        n += 1
        if len(paths) == 500:
            flush()
    flush()
    print(f"variants: {n} models, {len(failed)} failed" + "".join(f"\n{path}" for path in failed))
    if not failed:
        os.rmdir(folder)
    return bool(failed)


if __name__ == "__main__":
    sys.exit(main())
