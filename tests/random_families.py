"""What tests/random_operators.py draws: for each family of operators a table of name and generator.

A generator takes a Draw and the operator's name and gives a Case. Sizes are small and often 1, sometimes 0; optional inputs
and attributes are sometimes left out, axes sometimes negative."""
import dataclasses
import functools

import ml_dtypes
import numpy as np
from onnx import helper

HALVES = [np.float16, ml_dtypes.bfloat16]
FLOATS = [np.float32, np.float32, np.float64, *HALVES]
SIGNED = [np.int8, np.int16, np.int32, np.int64]
UNSIGNED = [np.uint8, np.uint16, np.uint32, np.uint64]
INTEGERS = SIGNED + UNSIGNED
NUMBERS = FLOATS + INTEGERS
MOVABLE = [np.float32, np.float64, np.float16, *INTEGERS, np.bool_]


@dataclasses.dataclass(eq=False)
class Case:
    """One node and its inputs. wide: the reference computes half types in float32, as sums should be."""
    op: str
    inputs: list
    attributes: dict = dataclasses.field(default_factory=dict)
    outputs: tuple = (True,)
    wide: bool = False
    name: str = ""
    family: str = ""
    seed: int = 0
    known: bool = False

    def with_inputs(self, inputs):
        return dataclasses.replace(self, inputs=inputs)


class Draw:
    """Draws what cases are made of; the same for the same seed."""

    def __init__(self, seed):
        self.rng = np.random.default_rng(seed)

    def pick(self, options):
        return options[int(self.rng.integers(len(options)))]

    def chance(self, p):
        return bool(self.rng.random() < p)

    def between(self, low, high):
        """An integer, both ends included."""
        return int(self.rng.integers(low, high + 1))

    def shape(self, low=0, high=4, most=6, zero=0.04):
        """Sizes of a rank between low and high; a fifth of them 1, and some 0."""
        def size():
            return 0 if self.chance(zero) else 1 if self.chance(0.2) else self.between(2, most)
        return tuple(size() for _ in range(self.between(low, high)))

    def axis(self, rank):
        """An axis of a rank, from the front or the back."""
        return self.between(-rank, rank - 1)

    def axes(self, rank):
        """Some distinct axes in any order."""
        chosen = self.rng.permutation(rank)[:self.between(1, rank)]
        return [int(a) - rank * self.chance(0.4) for a in chosen]

    def array(self, dtype, shape=(), low=-3.0, high=3.0):
        """Elements of a range; the integers of unsigned types from 0 on."""
        dtype = np.dtype(dtype)
        if dtype == np.bool_:
            return np.asarray(self.rng.integers(0, 2, shape)).astype(bool)
        if dtype.kind in "iu":
            low, high = (0 if dtype.kind == "u" else -20), 20
            return np.asarray(self.rng.integers(low, high + 1, shape)).astype(dtype)
        return np.asarray(self.rng.uniform(low, high, shape)).astype(dtype)

    def broadcast(self, count=2, high=4, most=5):
        """Shapes that broadcast together: sizes dropped from the front or set to 1."""
        whole = self.shape(0, high, most)
        shapes = []
        for _ in range(count):
            part = whole[self.between(0, len(whole)) if self.chance(0.4) else 0:]
            shapes.append(tuple(1 if self.chance(0.2) else n for n in part))
        return shapes

    def some(self, **attributes):
        """Each attribute with an even chance; the others keep their defaults."""
        return {name: value for name, value in attributes.items() if self.chance(0.5)}


def ints(values):
    return np.array(values, dtype=np.int64)


# --- one input, element by element

def unary(types, low=-3.0, high=3.0, **ranges):
    """An operator of one input; ranges gives the bounds of its float attributes."""
    def generate(d, op):
        attributes = d.some(**{name: float(np.float32(d.rng.uniform(*bounds))) for name, bounds in ranges.items()})
        return Case(op, [d.array(d.pick(types), d.shape(), low, high)], attributes)
    return generate


def special(d, op):
    """IsNaN and IsInf: what they look for is there."""
    x = d.array(d.pick([np.float32, np.float64, np.float16]), d.shape())
    x[np.asarray(d.rng.random(x.shape) < 0.3)] = d.pick([np.nan, np.inf, -np.inf])
    return Case(op, [x], d.some(detect_negative=0, detect_positive=0) if op == "IsInf" else {})


def clip(d, op):
    dtype = d.pick(NUMBERS)
    low, high = sorted([d.array(dtype), d.array(dtype)], key=float)
    return Case(op, [d.array(dtype, d.shape()), low if d.chance(0.7) else None, high if d.chance(0.7) else None])


def gelu(d, op):
    return Case(op, [d.array(d.pick(FLOATS), d.shape())], d.some(approximate="tanh"), wide=True)


UNARY = {
    **{op: unary(FLOATS) for op in ("Sigmoid", "Tanh", "Exp", "Sin", "Cos", "Atan", "Sinh", "Cosh", "Asinh", "Erf", "Softplus",
                                    "Softsign", "HardSwish", "Mish", "Ceil", "Floor", "Round", "Reciprocal")},
    **{op: unary(FLOATS, 0.05, 5) for op in ("Log", "Sqrt")},
    "Tan": unary(FLOATS, -1.2, 1.2), "Asin": unary(FLOATS, -1, 1), "Acos": unary(FLOATS, -1, 1),
    "Acosh": unary(FLOATS, 1.1, 5), "Atanh": unary(FLOATS, -0.9, 0.9),
    "Abs": unary(NUMBERS), "Sign": unary(NUMBERS), "Neg": unary(FLOATS + SIGNED), "Relu": unary(FLOATS + SIGNED),
    "Not": unary([np.bool_]), "BitwiseNot": unary(INTEGERS), "Identity": unary(MOVABLE), "IsNaN": special, "IsInf": special,
    "Elu": unary(FLOATS, alpha=(0.1, 2)), "LeakyRelu": unary(FLOATS, alpha=(0, 1)), "Celu": unary([np.float32], alpha=(0.5, 2)),
    "Selu": unary(FLOATS, alpha=(0.5, 2), gamma=(0.5, 2)), "ThresholdedRelu": unary(FLOATS, alpha=(-1, 2)),
    "HardSigmoid": unary(FLOATS, alpha=(0.1, 0.6), beta=(0, 1)), "Shrink": unary(FLOATS, bias=(0, 1), lambd=(0, 1)),
    "Clip": clip, "Gelu": gelu,
}


# --- two inputs or more, broadcast

def binary(types, low=-3.0, high=3.0):
    def generate(d, op):
        dtype = d.pick(types)
        return Case(op, [d.array(dtype, shape, low, high) for shape in d.broadcast()])
    return generate


def variadic(types):
    def generate(d, op):
        dtype = d.pick(types)
        return Case(op, [d.array(dtype, shape) for shape in d.broadcast(d.between(1, 4))], wide=True)
    return generate


def divide(d, op):
    """Divisors are not 0. Integers are not negative: the reference rounds down where the standard says towards zero."""
    dtype, (a, b) = d.pick(NUMBERS), d.broadcast()
    x, y = d.array(dtype, a), d.array(dtype, b)
    if np.dtype(dtype).kind == "i":
        x, y = abs(x), abs(y)
    return Case(op, [x, np.asarray(np.where(abs(y) < 0.1, 1, y)).astype(dtype)])


def modulo(d, op):
    dtype, (a, b) = d.pick([np.float32, np.float64, *INTEGERS]), d.broadcast()
    y = d.array(dtype, b)
    fmod = np.dtype(dtype).kind == "f" or d.chance(0.5)
    return Case(op, [d.array(dtype, a), np.asarray(np.where(abs(y) < 0.1, 1, y)).astype(dtype)], {"fmod": 1} if fmod else {})


def power(d, op):
    a, b = d.broadcast()
    x, y = d.array(d.pick([np.float32, np.float64]), a, 0.1, 3), d.array(d.pick([np.float32, np.int32, np.int64]), b)
    return Case(op, [x, y % 4])


def shift(d, op):
    dtype, (a, b) = d.pick(UNSIGNED), d.broadcast()
    return Case(op, [d.array(dtype, a), d.array(dtype, b) % np.dtype(dtype).type(7)], {"direction": d.pick(["LEFT", "RIGHT"])})


def prelu(d, op):
    dtype, shape = d.pick(FLOATS), d.shape(1, 4)
    slope = tuple(1 if d.chance(0.3) else n for n in shape[d.between(0, len(shape) - 1):])
    return Case(op, [d.array(dtype, shape), d.array(dtype, slope)])


def where(d, op):
    dtype, (c, a, b) = d.pick(MOVABLE), d.broadcast(3)
    return Case(op, [d.array(np.bool_, c), d.array(dtype, a), d.array(dtype, b)])


BINARY = {
    **{op: binary(NUMBERS) for op in ("Add", "Sub", "Mul", "Less", "LessOrEqual", "Greater", "GreaterOrEqual")},
    **{op: binary(INTEGERS) for op in ("BitwiseAnd", "BitwiseOr", "BitwiseXor")},
    **{op: binary([np.bool_]) for op in ("And", "Or", "Xor")},
    "Equal": binary(NUMBERS + [np.bool_]), "Div": divide, "Mod": modulo, "Pow": power, "BitShift": shift, "PRelu": prelu,
    "Max": variadic(NUMBERS), "Min": variadic(NUMBERS), "Sum": variadic(FLOATS), "Mean": variadic(FLOATS), "Where": where,
}


# --- along axes

def reduce(types, low=-3.0):
    def generate(d, op):
        shape = d.shape(0, 4)
        axes = ints(d.axes(len(shape))) if shape and d.chance(0.7) else ints([]) if d.chance(0.2) else None
        return Case(op, [d.array(d.pick(types), shape, low), axes], d.some(keepdims=0, noop_with_empty_axes=1), wide=True)
    return generate


def arg(d, op):
    """Few distinct values, so that there are ties."""
    shape = d.shape(1, 4, zero=0)
    x = d.array(d.pick([np.float32, np.float64, np.float16, *INTEGERS]), shape)
    attributes = d.some(axis=d.axis(len(shape)), keepdims=0, select_last_index=1)
    return Case(op, [np.floor(x).astype(x.dtype)], attributes)


def cumsum(d, op):
    shape = d.shape(1, 4)
    x = d.array(d.pick([np.float32, np.float64, np.int32, np.int64]), shape)
    return Case(op, [x, np.array(d.axis(len(shape)), d.pick([np.int32, np.int64]))], d.some(exclusive=1, reverse=1))


def topk(d, op):
    shape = d.shape(1, 4, most=9, zero=0)
    axis = d.axis(len(shape))
    x = d.array(d.pick([np.float32, np.float64, np.int32, np.int64]), shape)
    attributes = {"axis": axis, "sorted": 1, **d.some(largest=0)}
    return Case(op, [x, ints([d.between(1, shape[axis])])], attributes, outputs=(True, True))


REDUCE = {
    **{op: reduce(FLOATS + [np.int32, np.int64]) for op in ("ReduceSum", "ReduceL1")},
    **{op: reduce([np.float32, np.float64, np.float16])
       for op in ("ReduceMean", "ReduceL2", "ReduceSumSquare", "ReduceLogSumExp")},
    **{op: reduce([np.float32, np.float64, np.int32, np.uint8, np.int8]) for op in ("ReduceMax", "ReduceMin")},
    "ReduceProd": reduce([np.float32, np.float64]), "ReduceLogSum": reduce([np.float32, np.float64], 0.1),
    "ArgMax": arg, "ArgMin": arg, "CumSum": cumsum, "TopK": topk,
}


# --- movement

def concat(d, op):
    shape, dtype = d.shape(1, 4), d.pick(MOVABLE)
    axis = d.axis(len(shape))
    parts = [shape[:axis % len(shape)] + (d.between(0, 4),) + shape[axis % len(shape) + 1:] for _ in range(d.between(1, 4))]
    return Case(op, [d.array(dtype, part) for part in parts], {"axis": axis})


def split(d, op):
    count, sizes = d.between(1, 4), None
    shape = list(d.shape(1, 4))
    axis = d.axis(len(shape))
    if d.chance(0.6):
        sizes = [d.between(0, 3) for _ in range(count)]
        shape[axis] = sum(sizes)
        inputs, attributes = [ints(sizes)], {}
    else:  # as equal as can be; the last one is smaller
        part = d.between(1, 3)
        shape[axis] = part * count - (d.between(0, part - 1) if part > 1 and count > 1 else 0)
        inputs, attributes = [], {"num_outputs": count}
    return Case(op, [d.array(d.pick(MOVABLE), shape), *inputs], {"axis": axis, **attributes}, outputs=(True,) * count)


def slices(d, op):
    shape = d.shape(1, 4, most=8)
    axes = d.axes(len(shape))
    steps = [d.pick([1, 1, 2, 3, -1, -2, 10, -10]) for _ in axes]
    kind = d.pick([np.int32, np.int64])
    starts, ends = ([d.between(-10, 10) if d.chance(0.9) else d.pick([-2**31, 2**31 - 1]) for _ in axes] for _ in range(2))
    extra = [axes, steps] if d.chance(0.8) else [axes] if d.chance(0.5) else []
    if not extra:
        starts, ends = (v[:len(shape)] for v in (starts, ends))
    return Case(op, [d.array(d.pick(MOVABLE), shape), *(np.array(v, kind) for v in (starts, ends, *extra))])


def gather(d, op):
    shape = d.shape(1, 4, zero=0)
    axis = d.axis(len(shape))
    n = shape[axis]
    indices = np.asarray(d.rng.integers(-n, n, d.shape(0, 3))).astype(d.pick([np.int32, np.int64]))
    return Case(op, [d.array(d.pick(MOVABLE), shape), indices], {"axis": axis} if axis or d.chance(0.5) else {})


def gather_elements(d, op):
    shape = d.shape(1, 4, zero=0)
    axis = d.axis(len(shape))
    part = tuple(d.between(0, 6) if i == axis % len(shape) else d.between(1, n) for i, n in enumerate(shape))
    indices = np.asarray(d.rng.integers(-shape[axis], shape[axis], part)).astype(d.pick([np.int32, np.int64]))
    return Case(op, [d.array(d.pick(MOVABLE), shape), indices], {"axis": axis})


def nd_indices(d, shape, lead):
    """Index rows into the front of shape, their leading sizes lead."""
    depth = d.between(1, len(shape))
    rows = [d.rng.integers(-n, n, lead) for n in shape[:depth]]
    return np.asarray(np.stack(rows, -1)).astype(np.int64)


def gather_nd(d, op):
    shape = d.shape(1, 4, zero=0)
    batch = d.between(0, len(shape) - 1)
    indices = nd_indices(d, shape[batch:], shape[:batch] + d.shape(0, 2))
    return Case(op, [d.array(d.pick(MOVABLE), shape), indices], {"batch_dims": batch} if batch else {})


def scatter_elements(d, op):
    """Without a reduction each element is written once: the order is not defined."""
    shape, reduction = d.shape(1, 3, zero=0), d.pick(["none", "none", "add", "mul", "max", "min"])
    axis, dtype = d.axis(len(shape)), d.pick([np.float32, np.float64, np.int32, np.int64])
    n = shape[axis]
    part = tuple(d.between(1, m) for m in shape)
    indices = np.asarray(d.rng.integers(-n, n, part))
    if reduction == "none":
        order = np.argsort(d.rng.random(part[:axis % len(shape)] + (n,) + part[axis % len(shape) + 1:]), axis)
        indices = np.take(order, np.arange(part[axis]), axis) - n * d.chance(0.3)
    return Case(op, [d.array(dtype, shape), indices.astype(np.int64), d.array(dtype, part)],
                {"axis": axis, **({"reduction": reduction} if reduction != "none" else {})})


def scatter_nd(d, op):
    shape, dtype = d.shape(1, 4, zero=0), d.pick([np.float32, np.float64, np.int32, np.int64])
    reduction = d.pick(["none", "add", "mul", "max", "min"])
    indices = nd_indices(d, shape, d.shape(0, 2))
    depth = indices.shape[-1]
    if reduction == "none":
        whole = int(np.prod(shape[:depth]))
        flat = d.rng.permutation(whole)[:d.between(0, whole)]
        indices = np.stack(np.unravel_index(flat, shape[:depth]), -1).astype(np.int64)
    updates = d.array(dtype, indices.shape[:-1] + shape[depth:])
    return Case(op, [d.array(dtype, shape), indices, updates], {"reduction": reduction} if reduction != "none" else {})


def transpose(d, op):
    shape = d.shape(0, 6, most=4)
    perm = [int(a) for a in d.rng.permutation(len(shape))]
    return Case(op, [d.array(d.pick(MOVABLE), shape)], d.some(perm=perm) if shape else {})


def pad(d, op):
    """Negative amounts crop; reflect stays within one period."""
    shape, dtype = d.shape(1, 4, zero=0), d.pick([np.float32, np.float64, np.int32, np.int64])
    mode = d.pick(["constant", "edge", "reflect"])
    axes = d.axes(len(shape)) if d.chance(0.4) else None
    sizes = [shape[a] for a in axes] if axes else shape
    low, most = (-1 if mode == "constant" else 0), 3
    ends = [[d.between(low if n > 2 else 0, most if mode != "reflect" else min(most, n - 1)) for n in sizes] for _ in range(2)]
    value = d.array(dtype) if mode == "constant" and d.chance(0.7) else None
    inputs = [d.array(dtype, shape), ints(ends[0] + ends[1]), value] + ([ints(axes)] if axes else [])
    return Case(op, inputs, {"mode": mode} if mode != "constant" or d.chance(0.5) else {})


def tile(d, op):
    shape = d.shape(1, 4)
    return Case(op, [d.array(d.pick(MOVABLE), shape), ints([d.between(0 if d.chance(0.1) else 1, 3) for _ in shape])])


def expand(d, op):
    a, b = d.broadcast()
    return Case(op, [d.array(d.pick(MOVABLE), a), ints(b)])


def reshape(d, op):
    shape = d.shape(0, 4, zero=0)
    left, sizes = int(np.prod(shape)), []
    while left > 1 and len(sizes) < 4:
        size = d.pick([n for n in range(1, left + 1) if left % n == 0])
        sizes, left = sizes + [size], left // size
    sizes += [left] if left > 1 else []
    for i in range(min(len(sizes), len(shape))):
        sizes[i] = 0 if sizes[i] == shape[i] and d.chance(0.5) else sizes[i]
    if sizes and d.chance(0.5):
        sizes[d.axis(len(sizes))] = -1
    return Case(op, [d.array(d.pick(MOVABLE), shape), ints(sizes)])


def squeeze(d, op):
    shape = d.shape(1, 5)
    ones = [i - len(shape) * d.chance(0.5) for i, n in enumerate(shape) if n == 1]
    return Case(op, [d.array(d.pick(MOVABLE), shape)] + ([ints(ones)] if ones and d.chance(0.6) else []))


def unsqueeze(d, op):
    shape, extra = d.shape(0, 3), d.between(1, 3)
    chosen = d.rng.permutation(len(shape) + extra)[:extra]
    return Case(op, [d.array(d.pick(MOVABLE), shape), ints([int(a) - (len(shape) + extra) * d.chance(0.4) for a in chosen])])


def flatten(d, op):
    shape = d.shape(0, 4)
    attributes = d.some(axis=d.between(-len(shape), len(shape))) if shape else {"axis": 0}
    return Case(op, [d.array(d.pick(MOVABLE), shape)], attributes)


def blocks(d, op):
    b = d.between(1, 3)
    n, c, h, w = (d.between(1, 3) for _ in range(4))
    shape = (n, c * b * b, h, w) if op == "DepthToSpace" else (n, c, h * b, w * b)
    return Case(op, [d.array(d.pick([np.float32, np.float64, np.float16]), shape)],
                {"blocksize": b, **(d.some(mode="CRD") if op == "DepthToSpace" else {})})


def trilu(d, op):
    k = [np.array(d.between(-5, 5), np.int64)] if d.chance(0.7) else []
    return Case(op, [d.array(d.pick(MOVABLE), d.shape(2, 4)), *k], d.some(upper=0))


def resize(d, op):
    """Nearest: with whole or half factors, so that no position falls on the border between two elements by rounding alone."""
    shape = (d.between(1, 2), d.between(1, 3), d.between(1, 5), d.between(1, 5))
    attributes = {"mode": "nearest", "coordinate_transformation_mode": d.pick(["asymmetric", "half_pixel"]),
                  "nearest_mode": d.pick(["floor", "ceil", "round_prefer_floor", "round_prefer_ceil"])}
    x = d.array(d.pick([np.float32, np.int32, np.uint8]), shape)
    return Case(op, [x, None, np.array([1, 1, d.pick([1, 2, 3, 0.5]), d.pick([1, 2, 4])], np.float32)], attributes)


def one_hot(d, op):
    depth, shape = d.between(1, 5), d.shape(0, 3)
    indices = np.asarray(d.rng.integers(-depth, depth, shape)).astype(np.int64)
    values = d.array(d.pick([np.float32, np.int32, np.int64]), (2,))
    return Case(op, [indices, ints(depth if d.chance(0.5) else [depth]), values], d.some(axis=d.axis(len(shape) + 1)))


def reverse_sequence(d, op):
    shape, axes = d.shape(2, 4, zero=0), d.pick([(0, 1), (1, 0)])
    lengths = d.rng.integers(0, shape[axes[0]] + 1, shape[axes[1]]).astype(np.int64)
    return Case(op, [d.array(d.pick(MOVABLE), shape), lengths], {"time_axis": axes[0], "batch_axis": axes[1]})


def compress(d, op):
    shape = d.shape(1, 4, zero=0)
    axis = d.axis(len(shape)) if d.chance(0.7) else None
    n = int(np.prod(shape)) if axis is None else shape[axis]
    inputs = [d.array(d.pick(MOVABLE), shape), d.array(np.bool_, (d.between(1, n),))]
    return Case(op, inputs, {} if axis is None else {"axis": axis})


def whole(types):
    """An operator of one tensor and no attributes."""
    return lambda d, op: Case(op, [d.array(d.pick(types), d.shape(1, 4))])


def shape_of(d, op):
    x = d.array(d.pick(MOVABLE), d.shape(0, 4))
    return Case(op, [x], d.some(start=d.between(-5, 5), end=d.between(-5, 5)) if op == "Shape" else {})


def unique(d, op):
    """Few distinct values; along an axis slices are compared."""
    shape = d.shape(1, 3, zero=0)
    x = d.array(d.pick([np.int64, np.int8, np.uint8]), shape) % 3
    return Case(op, [x], d.some(sorted=1, axis=d.axis(len(shape))), outputs=(True,) * 4)


def arange(d, op):
    dtype, step = d.pick([np.int32, np.int64, np.int16]), d.pick([1, 2, 3, -1, -2])
    return Case(op, [np.array(v, dtype) for v in (d.between(-10, 10), d.between(-10, 10), step)])


def crop_pad(d, op):
    shape = d.shape(1, 4, zero=0)
    axes = d.axes(len(shape)) if d.chance(0.6) else None
    return Case(op, [d.array(d.pick([np.float32, np.int32]), shape), ints([d.between(1, 7) for _ in axes or shape])],
                {"axes": axes} if axes else {})


MOVEMENT = {
    "ReverseSequence": reverse_sequence, "Compress": compress, "NonZero": whole(MOVABLE), "Shape": shape_of, "Size": shape_of,
    "Unique": unique, "Range": arange, "CenterCropPad": crop_pad,
    "Concat": concat, "Split": split, "Slice": slices, "Gather": gather, "GatherElements": gather_elements, "GatherND": gather_nd,
    "ScatterElements": scatter_elements, "ScatterND": scatter_nd, "Transpose": transpose, "Pad": pad, "Tile": tile,
    "Expand": expand, "Reshape": reshape, "Squeeze": squeeze, "Unsqueeze": unsqueeze, "Flatten": flatten, "DepthToSpace": blocks,
    "SpaceToDepth": blocks, "Trilu": trilu, "Resize": resize, "OneHot": one_hot,
}


# --- windows

def window(d, rank, kernel, dilated=True):
    """Strides, pads (smaller than the kernel) and dilations, each left out at times."""
    attributes = d.some(strides=[d.between(1, 3) for _ in range(rank)], pads=[d.between(0, k - 1) for k in kernel * 2])
    if dilated and d.chance(0.4):
        attributes["dilations"] = [d.between(1, 3) for _ in range(rank)]
    return attributes


def sizes_for(d, kernel, attributes):
    """Spatial sizes that hold at least one window."""
    spread = [(k - 1) * s + 1 for k, s in zip(kernel, attributes.get("dilations", [1] * len(kernel)))]
    return tuple(s + d.between(0, 6) for s in spread)


def conv(d, op):
    rank, group = d.pick([1, 2, 2, 2, 3]), d.pick([1, 1, 2, 3])
    kernel = [d.between(1, 4 if rank < 3 else 2) for _ in range(rank)]
    attributes = {"group": group, **window(d, rank, kernel), **d.some(kernel_shape=kernel)}
    c, m, dtype = group * d.between(1, 3), group * d.between(1, 4), d.pick([np.float32, np.float32, np.float64, np.float16])
    x = d.array(dtype, (d.between(1, 2), c) + sizes_for(d, kernel, attributes), -1, 1)
    bias = [d.array(dtype, (m,))] if d.chance(0.5) else []
    return Case(op, [x, d.array(dtype, (m, c // group, *kernel), -1, 1), *bias], attributes, wide=True)


def conv_transpose(d, op):
    rank, group = d.pick([1, 2, 2]), d.pick([1, 1, 2])
    kernel = [d.between(1, 3) for _ in range(rank)]
    attributes = {"group": group, "kernel_shape": kernel, **window(d, rank, kernel)}
    c, m, dtype = group * d.between(1, 3), d.between(1, 3), d.pick([np.float32, np.float32, np.float64])
    x = d.array(dtype, (d.between(1, 2), c) + tuple(d.between(3, 6) for _ in kernel), -1, 1)
    if d.chance(0.3) and "strides" in attributes:
        attributes["output_padding"] = [d.between(0, s - 1) for s in attributes["strides"]]
    bias = [d.array(dtype, (m * group,))] if d.chance(0.5) else []
    return Case(op, [x, d.array(dtype, (c, m, *kernel), -1, 1), *bias], attributes)


def pool(d, op):
    rank = d.pick([1, 2, 2, 3])
    kernel = [d.between(1, 3) for _ in range(rank)]
    attributes = {"kernel_shape": kernel, **window(d, rank, kernel), **d.some(ceil_mode=1)}
    if op == "AveragePool":
        attributes.update(d.some(count_include_pad=1))
    if op == "LpPool":
        attributes.update(d.some(p=d.between(1, 3)))
        attributes.pop("ceil_mode", None)
    dtype = d.pick([np.float32, np.float32, np.float64])
    return Case(op, [d.array(dtype, (d.between(1, 2), d.between(1, 3)) + sizes_for(d, kernel, attributes))], attributes)


def global_pool(d, op):
    rank, dtype = d.pick([2, 2, 2, 1, 3]), d.pick([np.float32, np.float64, np.float16])
    return Case(op, [d.array(dtype, (d.between(1, 2), d.between(1, 4)) + d.shape(rank, rank, zero=0))], wide=True)


def integer_conv(d, op):
    rank, group = d.pick([1, 2, 2]), d.pick([1, 1, 2])
    kernel = [d.between(1, 3) for _ in range(rank)]
    attributes = {"group": group, **window(d, rank, kernel)}
    c, m = group * d.between(1, 3), group * d.between(1, 4)
    x = d.array(np.uint8, (d.between(1, 2), c) + sizes_for(d, kernel, attributes))
    zeros = [d.array(np.uint8)] if d.chance(0.7) else []
    return Case(op, [x, d.array(np.uint8, (m, c // group, *kernel)), *zeros], attributes)


def same_pad(d, op):
    """Conv with the pads left to auto_pad."""
    kernel, dtype = [d.between(1, 3) for _ in range(2)], d.pick([np.float32, np.float64])
    attributes = {"auto_pad": d.pick(["SAME_UPPER", "SAME_LOWER", "VALID"]),
                  **d.some(strides=[d.between(1, 3) for _ in range(2)])}
    x = d.array(dtype, (d.between(1, 2), 2) + tuple(d.between(3, 8) for _ in kernel), -1, 1)
    return Case("Conv", [x, d.array(dtype, (d.between(1, 3), 2, *kernel), -1, 1)], {"kernel_shape": kernel, **attributes})


def col2im(d, op):
    image, block = [d.between(3, 6) for _ in range(2)], [d.between(1, 3) for _ in range(2)]
    attributes = d.some(strides=[d.between(1, 2) for _ in range(2)], pads=[d.between(0, 1) for _ in range(4)])
    steps, pads = attributes.get("strides", [1, 1]), attributes.get("pads", [0] * 4)
    count = int(np.prod([(image[i] + pads[i] + pads[i + 2] - block[i]) // steps[i] + 1 for i in range(2)]))
    x = d.array(np.float32, (d.between(1, 2), d.between(1, 3) * block[0] * block[1], count))
    return Case(op, [x, ints(image), ints(block)], attributes)


def grid_sample(d, op):
    n, c = d.between(1, 2), d.between(1, 3)
    x = d.array(np.float32, (n, c, d.between(2, 5), d.between(2, 5)))
    grid = d.array(np.float32, (n, d.between(1, 4), d.between(1, 4), 2), -1.3, 1.3)
    padding = d.pick(["border", "reflection"])
    return Case(op, [x, grid], d.some(mode=d.pick(["linear", "cubic"]), padding_mode=padding, align_corners=1))


WINDOWS = {"ConvInteger": integer_conv, "Conv with auto_pad": same_pad, "Col2Im": col2im, "GridSample": grid_sample,
           "Conv": conv, "ConvTranspose": conv_transpose, "MaxPool": pool, "AveragePool": pool, "LpPool": pool,
           "GlobalAveragePool": global_pool, "GlobalMaxPool": global_pool}


# --- products

def matrices(d, high=3):
    """Two shapes that multiply, leading sizes broadcast, each possibly a vector."""
    m, k, n = (d.between(0 if d.chance(0.03) else 1, 9) for _ in range(3))
    a, b = d.broadcast(2, high, 3)
    left, right = a + (m, k), b + (k, n)
    return (k,) if d.chance(0.1) else left, (k,) if d.chance(0.1) else right


def matmul(d, op):
    dtype, (a, b) = d.pick([np.float32, np.float32, np.float64, np.float16, np.int32, np.int64, np.uint32]), matrices(d)
    return Case(op, [d.array(dtype, a), d.array(dtype, b)], wide=True)


def gemm(d, op):
    m, k, n = (d.between(1, 20) for _ in range(3))
    attributes = d.some(transA=1, transB=1, alpha=0.5, beta=2.0)
    dtype = d.pick([np.float32, np.float32, np.float64, np.float16])
    a, b = (k, m) if "transA" in attributes else (m, k), (n, k) if "transB" in attributes else (k, n)
    c = [d.array(dtype, d.pick([(m, n), (1, n), (n,), (m, 1), (1, 1), (1,), ()]))] if d.chance(0.7) else []
    return Case(op, [d.array(dtype, a), d.array(dtype, b), *c], attributes, wide=True)


def einsum(d, op):
    equation = d.pick(["ij,jk->ik", "bij,bjk->bik", "ij->ji", "ij->i", "ii->i", "ij,ij->", "i,j->ij", "bhid,bhjd->bhij",
                       "...ij,...jk->...ik", "ij,jk,kl->il", "ijk,jil->kl", "ij,kj", "b...i,bi->b...", "abc,cd,def->abef",
                       "ii", "ijk->k"])
    sizes, more = {letter: d.between(1, 4) for letter in "abcdefhijkl"}, d.shape(0, 2, zero=0)
    shapes = [tuple(sum(((more if c == "." else (sizes[c],)) for c in term.replace("...", ".")), ()))
              for term in equation.split("->")[0].split(",")]
    dtype = d.pick([np.float32, np.float64, np.int32])
    return Case(op, [d.array(dtype, shape) for shape in shapes], {"equation": equation})


def integer_product(d, op):
    (a, b), kinds = matrices(d, 2), [d.pick([np.uint8, np.int8]) for _ in range(2)]
    zeros = [d.array(kind) for kind in kinds] if d.chance(0.6) else []
    return Case(op, [d.array(kinds[0], a), d.array(kinds[1], b), *zeros])


def quantized_product(d, op):
    """The result's scale is odd and the others whole: nothing lies on the border between two integers, where texts differ."""
    (a, b), kinds = matrices(d, 2), [d.pick([np.uint8, np.int8]) for _ in range(3)]
    scales = [np.float32(d.pick(choice)) for choice in ([1, 2, 4], [1, 2], [7, 35, 101])]
    inputs = [d.array(kinds[0], a), scales[0], d.array(kinds[0]), d.array(kinds[1], b), scales[1], d.array(kinds[1])]
    return Case(op, [np.asarray(v) for v in inputs + [scales[2], d.array(kinds[2])]])


def determinant(d, op):
    n = d.between(1, 5)
    return Case(op, [d.array(d.pick([np.float32, np.float64]), d.shape(0, 2) + (n, n))])


PRODUCTS = {"QLinearMatMul": quantized_product, "Det": determinant, "MatMul": matmul,
            "Gemm": gemm, "Einsum": einsum, "MatMulInteger": integer_product}


# --- normalization

def softmax(d, op):
    shape = d.shape(1, 4)
    return Case(op, [d.array(d.pick(FLOATS), shape, -8, 8)], d.some(axis=d.axis(len(shape))), wide=True)


def channels(d, low=2, high=4):
    return d.shape(low, high, zero=0)


def batch_norm(d, op):
    shape, dtype = channels(d), d.pick([np.float32, np.float64])
    rows = [d.array(dtype, shape[1:2], low, 2) for low in (-1, -1, -1, 0.2)]
    return Case(op, [d.array(dtype, shape), *rows], d.some(epsilon=1e-3))


def layer_norm(d, op):
    shape, dtype = channels(d, 1), d.pick([np.float32, np.float64, np.float16])
    axis = d.axis(len(shape))
    scale = shape[axis % len(shape):]
    bias = [d.array(dtype, scale)] if op == "LayerNormalization" and d.chance(0.6) else []
    return Case(op, [d.array(dtype, shape), d.array(dtype, scale), *bias], {"axis": axis, "epsilon": 1e-2}, wide=True)


def instance_norm(d, op):
    shape, dtype = channels(d, 3), d.pick([np.float32, np.float64])
    return Case(op, [d.array(dtype, shape), d.array(dtype, shape[1:2]), d.array(dtype, shape[1:2])], {"epsilon": 1e-2})


def group_norm(d, op):
    """Groups of one element, or of four and more: of two near elements alone the reference's variance is nothing but rounding."""
    groups = d.between(1, 3)
    each = d.between(1, 3)
    c = groups * each
    sizes = d.pick([(d.between(4, 6),), (d.between(2, 4), d.between(2, 4)), (1,) if each == 1 else (5, 1)])
    shape = (d.between(1, 2), c) + sizes
    return Case(op, [d.array(np.float32, shape), d.array(np.float32, (c,)), d.array(np.float32, (c,))],
                {"num_groups": groups, "epsilon": 1e-2})


def lrn(d, op):
    attributes = {"size": d.pick([1, 3, 5]), **d.some(alpha=0.01, beta=0.5, bias=2.0)}
    n, c, *sizes = channels(d, 4, 4)
    return Case(op, [d.array(np.float32, (c if d.chance(0.6) else n, c, *sizes))], attributes)


def lp_norm(d, op):
    shape = channels(d, 1)
    return Case(op, [d.array(d.pick([np.float32, np.float64]), shape, 0.1)], d.some(axis=d.axis(len(shape)), p=1))


def mean_variance(d, op):
    """Over two axes or more: of two near elements alone the reference's variance is nothing but rounding."""
    axes = d.pick([[0, 2, 3], [2, 3], [1, 2, 3], [0, 1], [0, 1, 2, 3], [1, -1]])
    return Case(op, [d.array(np.float32, tuple(d.between(2, 4) for _ in range(4)))], {"axes": axes})


NORMALIZATION = {"Softmax": softmax, "LogSoftmax": softmax, "BatchNormalization": batch_norm, "LayerNormalization": layer_norm,
                 "InstanceNormalization": instance_norm, "GroupNormalization": group_norm, "LRN": lrn, "LpNormalization": lp_norm,
                 "MeanVarianceNormalization": mean_variance, "Hardmax": softmax}


# --- quantized numbers and other types

def quantize(d, op):
    """By tensor or by axis; to or from 8 and 16 bits. The float side is kept off the borders between two integers."""
    shape = d.shape(1, 4)
    axis, kind = d.axis(len(shape)), d.pick([np.uint8, np.int8, np.uint16, np.int16])
    by_axis = d.chance(0.5)
    size = shape[axis:][:1] if by_axis else ()
    scale = np.asarray(d.rng.choice([0.25, 0.5, 1, 2], size)).astype(np.float32)
    zero = [d.array(kind, size)] if op == "DequantizeLinear" or d.chance(0.7) else []
    attributes = {"axis": axis} if by_axis else {}
    if op == "DequantizeLinear":
        return Case(op, [d.array(kind, shape), scale, *zero], attributes)
    x = (np.round(d.array(np.float32, shape, -300, 300)) + np.float32(0.0625)).astype(np.float32)
    return Case(op, [x, scale, *zero], attributes)


def dynamic_quantize(d, op):
    return Case(op, [d.array(np.float32, d.shape(1, 4, zero=0))], outputs=(True, True, True))


def cast(d, op):
    """Between types, values within both."""
    source, target = d.pick(MOVABLE + [ml_dtypes.bfloat16]), d.pick(MOVABLE + [ml_dtypes.bfloat16])
    x = d.array(source, d.shape())
    if np.dtype(target).kind == "u":
        x = abs(x)
    return Case(op, [x], {"to": int(helper.np_dtype_to_tensor_dtype(np.dtype(target)))})


def cast_like(d, op):
    case = cast(d, op)
    target = helper.tensor_dtype_to_np_dtype(case.attributes.pop("to"))
    return Case(op, [*case.inputs, d.array(target, d.shape(0, 2))])


NUMERIC = {"QuantizeLinear": quantize, "DequantizeLinear": quantize, "DynamicQuantizeLinear": dynamic_quantize, "Cast": cast,
           "CastLike": cast_like}


# --- recurrent

def recurrent(gates, d, op):
    """Forward, as far as the reference goes; every optional input given or left out."""
    steps, batch, size, hidden = d.between(1, 5), d.between(1, 3), d.between(1, 5), d.between(1, 5)
    inputs = [d.array(np.float32, (steps, batch, size), -1, 1), d.array(np.float32, (1, gates * hidden, size), -1, 1),
              d.array(np.float32, (1, gates * hidden, hidden), -1, 1),
              d.array(np.float32, (1, 2 * gates * hidden), -1, 1) if d.chance(0.6) else None, None,
              d.array(np.float32, (1, batch, hidden), -1, 1) if d.chance(0.5) else None]
    if op == "LSTM":
        inputs += [d.array(np.float32, (1, batch, hidden), -1, 1) if inputs[5] is not None else None,
                   d.array(np.float32, (1, 3 * hidden), -1, 1) if d.chance(0.3) else None]
    attributes = {"hidden_size": hidden, **(d.some(linear_before_reset=1) if op == "GRU" else {})}
    return Case(op, inputs, attributes, outputs=(True, True))


RECURRENT = {op: functools.partial(recurrent, gates) for op, gates in (("RNN", 1), ("GRU", 3), ("LSTM", 4))}

FAMILIES = {"unary": UNARY, "binary": BINARY, "reduce": REDUCE, "movement": MOVEMENT, "windows": WINDOWS, "products": PRODUCTS,
            "normalization": NORMALIZATION, "numeric": NUMERIC, "recurrent": RECURRENT}


def first_type(case):
    return case.inputs[0].dtype


def uneven(case):
    return len(set(case.attributes.get("pads", [0]))) > 1


def before_all(case):
    """Shape: does its end lie before the first axis."""
    return case.attributes.get("end", 0) < -case.inputs[0].ndim


def backwards(case):
    """Slice: does a negative step start before the first element."""
    if len(case.inputs) < 5:
        return False
    shape = case.inputs[0].shape
    return any(step < 0 and start < -shape[axis] for start, axis, step in zip(case.inputs[1], *case.inputs[3:]))


# Operator: (which cases, why the reference evaluator's answer is not the standard's). They are skipped, and counted;
# --engine onnxruntime has most of them.
WRONG_REFERENCE = {
    "GlobalMaxPool": (lambda case: case.inputs[0].ndim != 4, "it takes the last two axes, however many there are"),
    "MaxPool": (lambda case: uneven(case) or "ceil_mode" in case.attributes, "it mixes up uneven pads, and those with ceil_mode"),
    "AveragePool": (lambda case: "ceil_mode" in case.attributes, "it shifts windows by half of what ceil_mode adds at the end"),
    "ConvTranspose": (lambda case: case.attributes["group"] > 1, "every group gets the first one's bias and one channel"),
    "LRN": (lambda case: case.inputs[0].shape[0] != case.inputs[0].shape[1], "it counts samples where it should count channels"),
    "Shape": (before_all, "it counts an end before the first axis from the back again"),
    "Slice": (backwards, "it does not clamp the start of a negative step to the first element"),
    "GridSample": (lambda case: case.attributes.get("mode") == "cubic" and case.attributes.get("padding_mode") == "border",
                   "it clamps the point where each of its neighbours should be"),
    "Erf": (lambda case: first_type(case) == np.float64, "it computes float64 in float32"),
    "Gelu": (lambda case: first_type(case) == np.float64, "it computes float64 in float32"),
    "HardSwish": (lambda case: first_type(case) == np.float64, "its 1/6 is a float32"),
}
