"""Rows about operators of arrays and networks: operands of the wrong rank, count, type or size, attributes and indices out of range,
divisions by zero. The node at fault is called 'culprit'."""
from models import *  # noqa: F403

I4 = (1, 4, 8, 8)
K = floats(4, 4, 3, 3)

# ---- convolutions and pools ----
for text, inputs, attributes, pattern in [
    ("an input of rank 2", [(4, 8), K], {}, ""),
    ("an input of rank 0", [(), K], {}, ""),
    ("weights of rank 2", [I4, floats(4, 4)], {}, ""),
    ("weights of rank 0", [I4, np.float32(1)], {}, ""),
    ("channels that do not fit", [I4, floats(4, 3, 3, 3)], {}, ""),
    ("a group of 0", [I4, K], {"group": 0}, "group"),
    ("a group of -1", [I4, K], {"group": -1}, "group"),
    ("a group of 3", [I4, K], {"group": 3}, ""),
    ("a group of 2^62", [I4, K], {"group": 1 << 62}, ""),
    ("a group of MIN", [I4, K], {"group": MIN64}, ""),
    ("outputs that the group does not divide", [I4, floats(3, 2, 3, 3)], {"group": 2}, ""),
    ("strides of 0", [I4, K], {"strides": [0, 1]}, "stride"),
    ("strides of -1", [I4, K], {"strides": [-1, 1]}, "stride"),
    ("three strides", [I4, K], {"strides": [1, 1, 1]}, "stride"),
    ("strides of MAX", [I4, K], {"strides": [MAX64, MAX64]}, None),
    ("dilations of 0", [I4, K], {"dilations": [1, 0]}, "dilation"),
    ("dilations of MAX", [I4, K], {"dilations": [MAX64, MAX64]}, ""),
    ("dilations of 2^62", [I4, K], {"dilations": [1 << 62, 1]}, ""),
    ("pads of -9", [I4, K], {"pads": [-9, 0, 0, 0]}, ""),
    ("pads of MAX", [I4, K], {"pads": [MAX64] * 4}, ""),
    ("pads of MIN", [I4, K], {"pads": [MIN64] * 4}, ""),
    ("three pads", [I4, K], {"pads": [1, 1, 1]}, "pads"),
    ("pads of 2^40", [I4, K], {"pads": [1 << 40] * 4}, ""),
    ("an auto_pad that there is not", [I4, K], {"auto_pad": "SIDEWAYS"}, "auto_pad"),
    ("a kernel_shape that differs", [I4, K], {"kernel_shape": [5, 5]}, "kernel_shape"),
    ("a kernel_shape of 0", [I4, K], {"kernel_shape": [0, 0]}, "kernel"),
    ("weights without elements", [I4, floats(4, 4, 0, 3)], {}, ""),
    ("a kernel larger than the picture", [(1, 4, 2, 2), K], {}, ""),
    ("a bias that does not fit", [I4, K, floats(5)], {}, ""),
    ("a bias of rank 2", [I4, K, floats(1, 4)], {}, ""),
    ("weights of another type", [I4, K.astype(np.float64)], {}, ""),
    ("only one input", [I4], {}, "input"),
    ("four inputs", [I4, K, floats(4), floats(4)], {}, "inputs"),
]:
    if pattern is not None:
        op_case("Conv: " + text, pattern, op("Conv", inputs, **attributes))
op_case("Conv: strings", "type string", op("Conv", [of(STRING, 1, 4, 8, 8), K]), UNSUPPORTED)
op_case("Conv: an output of terabytes", "", op("Conv", [I4, K], pads=[1 << 19] * 4), LIMIT)
for text, attributes in [("an output_padding of MAX", {"output_padding": [MAX64, MAX64]}), ("an output_padding of -1", {"output_padding": [-1, 0]}),
                         ("an output_shape of one", {"output_shape": [8]}), ("an output_shape of -1", {"output_shape": [-1, -1]}),
                         ("a group of 0", {"group": 0}), ("a group of 3", {"group": 3}), ("strides of 0", {"strides": [0, 0]}),
                         ("strides of 2^62", {"strides": [1 << 62, 1 << 62]}), ("pads of MAX", {"pads": [MAX64] * 4}),
                         ("pads that eat it all", {"pads": [50] * 4}), ("dilations of -1", {"dilations": [-1, -1]})]:
    op_case("ConvTranspose: " + text, "", op("ConvTranspose", [I4, K], **attributes))
op_case("ConvTranspose: an output_shape of terabytes", "", op("ConvTranspose", [I4, K], output_shape=[1 << 20, 1 << 20]), LIMIT)
for kind in ("MaxPool", "AveragePool", "LpPool"):
    for text, shape, attributes in [
        ("no kernel_shape", I4, {}), ("a kernel of 0", I4, {"kernel_shape": [0, 2]}), ("a kernel of -1", I4, {"kernel_shape": [-1, 2]}),
        ("a kernel of MAX", I4, {"kernel_shape": [MAX64, MAX64]}), ("one dimension too few", I4, {"kernel_shape": [2]}),
        ("strides of 0", I4, {"kernel_shape": [2, 2], "strides": [0, 0]}), ("a rank of 2", (4, 4), {"kernel_shape": [2, 2]}),
        ("pads of MIN", I4, {"kernel_shape": [2, 2], "pads": [MIN64] * 4}),
        ("pads larger than the kernel", I4, {"kernel_shape": [2, 2], "pads": [1 << 62] * 4}),
        ("a kernel larger than the picture", I4, {"kernel_shape": [50, 50]}),
        ("dilations of MAX", I4, {"kernel_shape": [2, 2], "dilations": [MAX64, MAX64]})]:
        op_case(f"{kind}: {text}", "", op(kind, [shape], **attributes))
op_case("LpPool: p of 0", "", op("LpPool", [I4], kernel_shape=[2, 2], p=0))
case("odd: MaxPool with a storage_order of 7", OK, "", op("MaxPool", [I4], 2, kernel_shape=[2, 2], storage_order=7))
case("odd: MaxPool of few elements in windows and pads of 2^30", OK, "",
     op("MaxPool", [(1, 1, 5)], kernel_shape=[1 << 30], pads=[(1 << 30) - 1] * 2, strides=[1 << 22]))
case("odd: Conv, and MaxPool with windows of 2^30 behind it", OK, "", model(graph(
    [node("Conv", ["x", "w"], ["c"], pads=[1] * 4),
     node("MaxPool", ["c"], ["y"], name="n", kernel_shape=[1 << 30, 3], pads=[(1 << 30) - 1, 1] * 2, strides=[1 << 29, 2])],
    [info("x", FLOAT, [1, 3, 64, 64])], ["y"], [numpy_helper.from_array(floats(64, 3, 3, 3), "w")])))
for kind in ("GlobalAveragePool", "GlobalMaxPool"):
    op_case(f"{kind}: a rank of 1", "", op(kind, [(4,)]))
U = ints(0, 5)
for text, inputs, attributes in [("rank 2", [(4, 4), U], {"kernel_shape": [2, 2]}), ("an index past the end", [(1, 1, 1, 2), ints(0, 99).reshape(1, 1, 1, 2)],
                                                                                {"kernel_shape": [2, 2]}),
                                 ("a negative index", [(1, 1, 1, 2), ints(0, -1).reshape(1, 1, 1, 2)], {"kernel_shape": [2, 2]}),
                                 ("indices of another shape", [(1, 1, 2, 2), ints(0).reshape(1, 1, 1, 1)], {"kernel_shape": [2, 2]})]:
    op_case("MaxUnpool: " + text, "", op("MaxUnpool", inputs, **attributes))

# ---- products ----
for text, a, b in [("sizes that do not fit", (2, 3), (4, 5)), ("scalars", (), ()), ("a scalar and a matrix", (), (3, 3)),
                   ("batches that do not fit", (2, 3, 4), (3, 4, 5))]:
    op_case("MatMul: " + text, "", op("MatMul", [a, b]))
    op_case("MatMul: constants, " + text, "", op("MatMul", [a, floats(*b)]))
for text, inputs, attributes in [("sizes that do not fit", [(2, 3), (4, 5)], {}), ("rank 3", [(1, 2, 3), (3, 4)], {}), ("rank 1", [(3,), (3, 4)], {}),
                                 ("transposed sizes that do not fit", [(2, 3), (3, 4)], {"transA": 1}),
                                 ("C that does not broadcast", [(2, 3), (3, 4), floats(3)], {}),
                                 ("C that is larger", [(2, 3), (3, 4), floats(5, 2, 4)], {})]:
    op_case("Gemm: " + text, "", op("Gemm", inputs, **attributes))
for text, inputs in [("sizes that do not fit", [of(UINT8, 2, 3), of(UINT8, 4, 5)]),
                     ("a zero point of the wrong length", [of(UINT8, 2, 3), of(UINT8, 3, 5), np.zeros(7, np.uint8), np.zeros(4, np.uint8)])]:
    op_case("MatMulInteger: " + text, "", op("MatMulInteger", inputs))
q = np.uint8(1)
s = np.float32(0.5)
op_case("QLinearMatMul: scales of the wrong length", "", op("QLinearMatMul", [of(UINT8, 2, 3), floats(7), q, of(UINT8, 3, 4), s, q, s, q]))
op_case("QLinearMatMul: sizes that do not fit", "", op("QLinearMatMul", [of(UINT8, 2, 3), s, q, of(UINT8, 5, 4), s, q, s, q]))
op_case("QLinearConv: a group of 0", "", op("QLinearConv", [of(UINT8, *I4), s, q, np.ones((4, 4, 3, 3), np.uint8), s, q, s, q], group=0))
op_case("QLinearConv: a bias that does not fit", "", op("QLinearConv", [of(UINT8, *I4), s, q, np.ones((4, 4, 3, 3), np.uint8), s, q, s, q,
                                                                        np.ones(3, np.int32)]))
op_case("ConvInteger: channels that do not fit", "", op("ConvInteger", [of(UINT8, *I4), np.ones((4, 3, 3, 3), np.uint8)]))
for text, scale, attributes in [("an axis of 9", floats(4), {"axis": 9}), ("an axis of MIN", floats(4), {"axis": MIN64}),
                                ("a scale of another length", floats(3), {}), ("a scale of rank 3", floats(1, 1, 4), {}),
                                ("a negative block_size", floats(1, 4), {"block_size": -1}),
                                ("a block_size of MAX", floats(1, 4), {"block_size": MAX64})]:
    op_case("QuantizeLinear: " + text, "", op("QuantizeLinear", [(2, 4), scale], **attributes))
    op_case("DequantizeLinear: " + text, "", op("DequantizeLinear", [of(UINT8, 2, 4), scale], **attributes))
op_case("QuantizeLinear: a zero point of another shape", "", op("QuantizeLinear", [(2, 4), floats(4), np.zeros(3, np.uint8)]))
op_case("QuantizeLinear: an output_dtype of 99", "", op("QuantizeLinear", [(2, 4), s], output_dtype=99), UNSUPPORTED)

# ---- normalizations ----
c4 = floats(4)
case("odd: BatchNormalization of a vector", OK, "", op("BatchNormalization", [(4,), c4, c4, c4, c4]))
case("odd: BatchNormalization with a mean of rank 2", OK, "", op("BatchNormalization", [I4, c4, c4, floats(1, 4), c4]))
case("odd: Conv with empty strides", OK, "", op("Conv", [I4, K], strides=[]))
op_case("BatchNormalization: a scale of another length", "", op("BatchNormalization", [I4, floats(3), c4, c4, c4]))
op_case("BatchNormalization: four inputs", "inputs", op("BatchNormalization", [I4, c4, c4, c4]))
op_case("BatchNormalization: a variance that is not there", "input", op("BatchNormalization", [I4, c4, c4, c4, None]))
op_case("InstanceNormalization: a scale of another length", "", op("InstanceNormalization", [I4, floats(3), c4]))
op_case("InstanceNormalization: a rank of 1", "", op("InstanceNormalization", [(4,), c4, c4]))
for text, attributes in [("an axis of 9", {"axis": 9}), ("an axis of MIN", {"axis": MIN64})]:
    op_case("LayerNormalization: " + text, "axis", op("LayerNormalization", [I4, floats(8)], **attributes))
op_case("LayerNormalization: a scale that does not fit", "", op("LayerNormalization", [I4, floats(7)]))
op_case("RMSNormalization: a scale that does not fit", "", op("RMSNormalization", [I4, floats(7)], opset=23))
op_case("GroupNormalization: 0 groups", "", op("GroupNormalization", [I4, c4, c4], num_groups=0))
op_case("GroupNormalization: 3 groups of 4", "", op("GroupNormalization", [I4, c4, c4], num_groups=3))
op_case("GroupNormalization: MIN groups", "", op("GroupNormalization", [I4, c4, c4], num_groups=MIN64))
op_case("LRN: a size of 0", "", op("LRN", [I4], size=0))
op_case("LRN: a size of MIN", "", op("LRN", [I4], size=MIN64))
op_case("LRN: a rank of 1", "", op("LRN", [(4,)], size=3))
op_case("LpNormalization: an axis of 7", "axis", op("LpNormalization", [I4], axis=7))
op_case("LpNormalization: p of 3", "", op("LpNormalization", [I4], p=3))
op_case("MeanVarianceNormalization: an axis of 7", "", op("MeanVarianceNormalization", [I4], axes=[7]))
for kind in ("Softmax", "LogSoftmax", "Hardmax"):
    op_case(f"{kind}: an axis of 4", "axis", op(kind, [I4], axis=4))
    op_case(f"{kind}: an axis of MIN", "axis", op(kind, [I4], axis=MIN64))

# ---- element by element ----
for kind in ("Add", "Mul", "Sub", "Div", "Pow", "PRelu", "Max", "Less", "Mean"):
    op_case(f"{kind}: shapes that do not broadcast", "", op(kind, [(2, 3), (2, 4)]))
for kind in ("Add", "Max", "Equal"):
    op_case(f"{kind}: types that differ", "type", op(kind, [(2,), of(INT64, 2)]))
op_case("And: floats", "type float", op("And", [(2,), (2,)]), UNSUPPORTED)
op_case("Where: shapes that do not broadcast", "", op("Where", [np.array([True, False, True]), (2,), (2,)]))
op_case("Where: a condition of floats", "type float", op("Where", [(2,), (2,), (2,)]), UNSUPPORTED)
op_case("Add: broadcast to terabytes", "", op("Add", [(1 << 21, 1), (1, 1 << 21)]), LIMIT)
for dtype in (np.int8, np.int16, np.int32, np.int64):
    low = np.array([np.iinfo(dtype).min, 7], dtype)
    case(f"odd: {np.dtype(dtype).name} MIN / -1", OK, "", op("Div", [low, np.array([-1, -1], dtype)]))
    case(f"odd: {np.dtype(dtype).name} MIN mod -1", OK, "", op("Mod", [low, np.array([-1, -1], dtype)]))
    for mode in (0, 1):
        case(f"odd: {np.dtype(dtype).name} / 0 by Mod, fmod {mode}", OK, "", op("Mod", [low, np.zeros(2, dtype)], fmod=mode))
    case(f"odd: {np.dtype(dtype).name} / 0", OK, "", op("Div", [low, np.zeros(2, dtype)]))
for value in (MIN64, -1, 64, 1 << 40):
    case(f"odd: BitShift by {value}", OK, "", op("BitShift", [np.ones(2, np.uint64), np.array([value % (1 << 64)] * 2, np.uint64)], direction="LEFT"))
    case(f"odd: integers to the power {value}", OK, "", op("Pow", [ints(-1, 3), ints(value, value)]))
op_case("BitShift: a direction that there is not", "direction", op("BitShift", [np.ones(2, np.uint8), np.ones(2, np.uint8)], direction="UP"))
case("odd: floats past every integer are cast", OK, "", op("Cast", [np.array([3e38, -3e38, np.nan, np.inf], np.float32)], to=INT32))
op_case("Cast: to 99", "", op("Cast", [(2,)], to=99), UNSUPPORTED)
op_case("Cast: to -1", "", op("Cast", [(2,)], to=-1), UNSUPPORTED)
op_case("Cast: to nothing", "'to'", op("Cast", [(2,)]))
op_case("Cast: text that is no number", "", op("Cast", [tensor("x0", STRING, [1], string_data=[b"five"])], to=FLOAT), BAD_INPUT)
op_case("Clip: a minimum of two", "", op("Clip", [(2,), floats(2)]))
op_case("Clip: a minimum of another type", "", op("Clip", [(2,), ints(1)[0]]))
op_case("Dropout: a ratio of two", "", op("Dropout", [(2,), floats(2), np.array(True)]))
op_case("CumSum: an axis of 5", "axis", op("CumSum", [(2, 3), ints(5)[0]]))
op_case("CumSum: an axis of MIN", "axis", op("CumSum", [(2, 3), ints(MIN64)[0]]))
op_case("Gelu: an approximation that there is not", "approximate", op("Gelu", [(2,)], approximate="guess"))

# ---- recurrent ----
for kind, gates in (("LSTM", 4), ("GRU", 3), ("RNN", 1)):
    w, r = floats(1, gates * 2, 3), floats(1, gates * 2, 2)
    for text, inputs, attributes in [
        ("an input of rank 2", [(5, 3), w, r], {"hidden_size": 2}), ("weights that do not fit", [(5, 1, 4), w, r], {"hidden_size": 2}),
        ("weights of rank 2", [(5, 1, 3), w[0], r], {"hidden_size": 2}),
        ("recurrence that does not fit", [(5, 1, 3), w, floats(1, gates * 2, 7)], {"hidden_size": 2}),
        ("a hidden_size that differs", [(5, 1, 3), w, r], {"hidden_size": 5}), ("a hidden_size of MIN", [(5, 1, 3), w, r], {"hidden_size": MIN64}),
        ("a bias that does not fit", [(5, 1, 3), w, r, floats(1, 3)], {"hidden_size": 2}),
        ("two directions and weights for one", [(5, 1, 3), w, r], {"hidden_size": 2, "direction": "bidirectional"}),
        ("a direction that there is not", [(5, 1, 3), w, r], {"hidden_size": 2, "direction": "sideways"}),
        ("an activation that there is not", [(5, 1, 3), w, r], {"hidden_size": 2, "activations": ["Guess"] * 3}),
        ("too few activations", [(5, 1, 3), w, r], {"hidden_size": 2, "direction": "reverse", "activations": []}),
        ("a length past the end", [(5, 1, 3), w, r, None, np.array([9], np.int32)], {"hidden_size": 2}),
        ("a negative length", [(5, 1, 3), w, r, None, np.array([-1], np.int32)], {"hidden_size": 2}),
        ("lengths for another batch", [(5, 1, 3), w, r, None, np.array([1, 1], np.int32)], {"hidden_size": 2}),
        ("a first state that does not fit", [(5, 1, 3), w, r, None, None, floats(1, 2, 2)], {"hidden_size": 2}),
    ]:
        if (kind, text) not in {("GRU", "too few activations"), ("LSTM", "too few activations"), ("RNN", "too few activations")}:
            op_case(f"{kind}: {text}", "", op(kind, inputs, **attributes))

# ---- attention ----
for text, inputs, attributes in [
    ("rank 2", [(4, 8)] * 3, {}), ("3 axes without numbers of heads", [(1, 4, 8)] * 3, {}),
    ("0 heads", [(1, 4, 8)] * 3, {"q_num_heads": 0, "kv_num_heads": 0}), ("-1 heads", [(1, 4, 8)] * 3, {"q_num_heads": -1, "kv_num_heads": -1}),
    ("heads that do not divide", [(1, 4, 8)] * 3, {"q_num_heads": 3, "kv_num_heads": 3}),
    ("MAX heads", [(1, 4, 8)] * 3, {"q_num_heads": MAX64, "kv_num_heads": MAX64}),
    ("keys of another width", [(1, 2, 4, 8), (1, 2, 4, 6), (1, 2, 4, 8)], {}),
    ("values of another length", [(1, 2, 4, 8), (1, 2, 4, 8), (1, 2, 5, 8)], {}),
    ("a mask that does not broadcast", [(1, 2, 4, 8), (1, 2, 4, 8), (1, 2, 4, 8), floats(3, 3)], {}),
    ("a mode of 9", [(1, 2, 4, 8)] * 3, {"qk_matmul_output_mode": 9}),
    ("query heads that key heads do not divide", [(1, 3, 4, 8), (1, 2, 4, 8), (1, 2, 4, 8)], {}),
]:
    op_case("Attention: " + text, "", op("Attention", inputs, opset=23, **attributes))
op_case("RotaryEmbedding: an odd width", "", op("RotaryEmbedding", [(1, 2, 4, 7), floats(4, 3), floats(4, 3), ints(0, 1, 2, 3).reshape(1, 4)], opset=23))
op_case("RotaryEmbedding: a position past the table", "", op("RotaryEmbedding", [(1, 2, 4, 8), floats(4, 4), floats(4, 4), ints(0, 1, 2, 9).reshape(1, 4)],
                                                            opset=23))
op_case("RotaryEmbedding: a negative position", "", op("RotaryEmbedding", [(1, 2, 4, 8), floats(4, 4), floats(4, 4), ints(0, 1, 2, -9).reshape(1, 4)], opset=23))
