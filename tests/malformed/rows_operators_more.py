"""Rows about operators that move, choose and make elements, and those of sequences, strings and signals."""
from models import *  # noqa: F403

V = (2, 3)

# ---- shapes ----
for text, shape, attributes in [
    ("another count", ints(4, 2), {}), ("two sizes of -1", ints(-1, -1), {}), ("a size of -2", ints(-2, 3), {}), ("a size of MIN", ints(MIN64, 3), {}),
    ("sizes that overflow", ints(1 << 62, 1 << 62), {}), ("sizes of 6 modulo 2^64", ints((1 << 62) + 1, 4, 1), {}), ("a 0 past the rank", ints(6, 1, 0), {}),
    ("0 and -1", ints(0, 0, -1), {"allowzero": 1}), ("-1 that does not divide", ints(4, -1), {}), ("a shape of rank 2", ints(2, 3).reshape(1, 2), {}),
    ("17 sizes", ints(*[1] * 17), {}), ("no sizes", ints(), {})]:
    op_case("Reshape: " + text, "", op("Reshape", [V, shape], **attributes))
op_case("Reshape: a shape of floats", "float", op("Reshape", [V, floats(2)]), UNSUPPORTED)
for text, axes in [("an axis past the rank", ints(5)), ("an axis of MIN", ints(MIN64)), ("an axis of size 2", ints(0)), ("axes of rank 2", ints(0).reshape(1, 1)),
                   ("100 axes", ints(*[0] * 100))]:
    op_case("Squeeze: " + text, "", op("Squeeze", [V, axes]))
for text, axes in [("an axis past the rank", ints(5)), ("an axis of MAX", ints(MAX64)), ("an axis twice", ints(0, 0)), ("the same axis from behind", ints(0, -4))]:
    op_case("Unsqueeze: " + text, "", op("Unsqueeze", [V, axes]))
op_case("Unsqueeze: to rank 20", "", op("Unsqueeze", [V, ints(*range(18))]))
for text, perm in [("too short", [0]), ("too long", [0, 1, 2]), ("an axis twice", [0, 0]), ("an axis past the rank", [0, 2]), ("a negative axis", [0, -1]),
                   ("MIN", [MIN64, 0])]:
    op_case("Transpose: " + text, "", op("Transpose", [V], perm=perm))
op_case("Flatten: an axis of 3", "axis", op("Flatten", [V], axis=3))
op_case("Flatten: an axis of MIN", "axis", op("Flatten", [V], axis=MIN64))
for text, shape in [("shapes that do not broadcast", ints(2, 4)), ("a negative size", ints(-5, 3)), ("sizes that overflow", ints(1 << 62, 2, 3)),
                    ("a shape of rank 2", ints(2, 3).reshape(1, 2))]:
    op_case("Expand: " + text, "", op("Expand", [V, shape]))
op_case("Expand: to terabytes", "", op("Expand", [(1,), ints(1 << 40)]), LIMIT)
for text, repeats, code in [("too few repeats", ints(2), INVALID), ("a repeat of -1", ints(-1, 1), INVALID), ("repeats that overflow", ints(1 << 62, 1 << 62), INVALID),
                            ("terabytes", ints(1 << 38, 1), LIMIT), ("floats", floats(2), UNSUPPORTED)]:
    op_case("Tile: " + text, "", op("Tile", [V, repeats]), code)
for kind in ("DepthToSpace", "SpaceToDepth"):
    for size in (0, -1, 3, MIN64, 1 << 32):
        op_case(f"{kind}: a blocksize of {size}", "", op(kind, [(1, 4, 4, 4)], blocksize=size))
    op_case(f"{kind}: rank 2", "", op(kind, [V], blocksize=2))
op_case("Concat: an axis past the rank", "axis", op("Concat", [V, V], axis=2))
op_case("Concat: an axis of MIN", "axis", op("Concat", [V, V], axis=MIN64))
op_case("Concat: ranks that differ", "", op("Concat", [V, (2, 3, 1)], axis=0))
op_case("Concat: sizes that differ", "", op("Concat", [V, (2, 4)], axis=0))
op_case("Concat: types that differ", "type", op("Concat", [V, of(INT64, 2, 3)], axis=0))
for text, inputs, attributes in [
    ("sizes that do not add up", [(6, 2), ints(2, 3)], {}), ("a negative size", [(6, 2), ints(-2, 8)], {}), ("sizes that overflow", [(6, 2), ints(MAX64, MIN64 + 7)], {}),
    ("an axis past the rank", [(6, 2), ints(3, 3)], {"axis": 2}), ("as many sizes as outputs", [(6, 2), ints(2, 2, 2)], {}),
    ("num_outputs of 0", [(6, 2)], {"num_outputs": 0}), ("num_outputs of MIN", [(6, 2)], {"num_outputs": MIN64}), ("num_outputs of 3", [(6, 2)], {"num_outputs": 3})]:
    op_case("Split: " + text, "", op("Split", inputs, 2, **attributes))
for text, inputs in [("a step of 0", [V, ints(0), ints(1), ints(0), ints(0)]), ("an axis past the rank", [V, ints(0), ints(1), ints(2)]),
                     ("an axis twice", [V, ints(0, 0), ints(1, 1), ints(0, 0)]), ("starts and ends of two lengths", [V, ints(0), ints(1, 1)]),
                     ("more starts than axes", [V, ints(0, 0, 0), ints(1, 1, 1)]), ("starts of rank 2", [V, ints(0).reshape(1, 1), ints(1).reshape(1, 1)]),
                     ("starts of floats", [V, floats(1), floats(1)])]:
    op_case("Slice: " + text, "", op("Slice", inputs), UNSUPPORTED if text == "starts of floats" else INVALID)
for text, inputs in [("bounds of MIN and MAX", [V, ints(MIN64), ints(MAX64), ints(0), ints(1)]), ("MIN and MAX backwards", [V, ints(MAX64), ints(MIN64), ints(0), ints(-1)]),
                     ("a step of MIN", [V, ints(1), ints(MIN64), ints(0), ints(MIN64)]), ("a step of MAX", [V, ints(0), ints(MAX64), ints(0), ints(MAX64)])]:
    case("odd: Slice with " + text, OK, "", op("Slice", inputs))
for text, inputs, attributes in [
    ("too few pads", [V, ints(1, 1)], {}), ("pads of -9", [V, ints(-9, 0, 0, 0)], {}), ("pads that overflow", [V, ints(MAX64, 0, MAX64, 0)], {}),
    ("pads of MIN", [V, ints(MIN64, 0, MIN64, 0)], {}), ("a mode that there is not", [V, ints(0, 0, 0, 0)], {"mode": "guess"}),
    ("reflections of nothing", [(0, 3), ints(1, 0, 1, 0)], {"mode": "reflect"}), ("edges of nothing", [(0, 3), ints(1, 0, 1, 0)], {"mode": "edge"}),
    ("an axis past the rank", [V, ints(1, 1), None, ints(5)], {}), ("an axis twice", [V, ints(1, 1, 1, 1), None, ints(0, 0)], {}),
    ("a value of another type", [V, ints(0, 0, 0, 0), ints(1)[0]], {}), ("two values", [V, ints(0, 0, 0, 0), floats(2)], {})]:
    op_case("Pad: " + text, "", op("Pad", inputs, **attributes))
op_case("Pad: to terabytes", "", op("Pad", [V, ints(1 << 38, 0, 0, 0)]), LIMIT)
op_case("CenterCropPad: a negative size", "", op("CenterCropPad", [V, ints(-1, 2)]))
op_case("CenterCropPad: axes past the rank", "", op("CenterCropPad", [V, ints(1)], axes=[4]))

# ---- indices ----
for kind, index in (("Gather", (0, 2)), ("GatherElements", (0, 2))):
    for bad in (2, -3, MIN64, MAX64):
        op_case(f"{kind}: an index of {bad}", "", op(kind, [V, ints(0, bad, 0).reshape(1, 3)]))
    op_case(f"{kind}: an axis past the rank", "axis", op(kind, [V, ints(0).reshape(1, 1)], axis=2))
    op_case(f"{kind}: an axis of MIN", "axis", op(kind, [V, ints(0).reshape(1, 1)], axis=MIN64))
    op_case(f"{kind}: indices of floats", "", op(kind, [V, floats(1, 1)]), UNSUPPORTED)
op_case("Gather: from a scalar", "", op("Gather", [(), ints(0)]))
op_case("Gather: int32 indices past the end", "", op("Gather", [V, np.array([MIN32], np.int32)]))
op_case("GatherElements: indices of another rank", "", op("GatherElements", [V, ints(0)]))
op_case("GatherElements: indices larger than the data", "", op("GatherElements", [V, np.zeros((2, 9), np.int64)]))
for text, inputs, attributes in [
    ("an index past the end", [V, ints(0, 5).reshape(1, 2)], {}), ("an index of MIN", [V, ints(MIN64, 0).reshape(1, 2)], {}),
    ("tuples longer than the rank", [V, ints(0, 0, 0).reshape(1, 3)], {}),
    ("batch_dims of 5", [V, ints(0, 0).reshape(1, 2)], {"batch_dims": 5}), ("batch_dims of -1", [V, ints(0, 0).reshape(1, 2)], {"batch_dims": -1}),
    ("batches that differ", [V, ints(0, 0, 0).reshape(3, 1)], {"batch_dims": 1}), ("scalar indices", [V, np.int64(0)], {})]:
    op_case("GatherND: " + text, "", op("GatherND", inputs, **attributes))
for bad in (2, -3, MIN64, MAX64):
    op_case(f"ScatterElements: an index of {bad}", "", op("ScatterElements", [V, ints(0, bad, 0).reshape(1, 3), floats(1, 3)]))
    op_case(f"ScatterND: an index of {bad}", "", op("ScatterND", [V, ints(bad).reshape(1, 1), floats(1, 3)]))
for text, inputs, attributes in [
    ("updates of another shape", [V, ints(0).reshape(1, 1), floats(1, 2)], {}), ("indices larger than the data", [V, np.zeros((1, 5), np.int64), floats(1, 5)], {}),
    ("an axis past the rank", [V, ints(0).reshape(1, 1), floats(1, 1)], {"axis": 4}), ("a reduction that there is not", [V, ints(0).reshape(1, 1), floats(1, 1)],
                                                                                       {"reduction": "guess"}),
    ("updates of another type", [V, ints(0).reshape(1, 1), ints(0).reshape(1, 1)], {})]:
    op_case("ScatterElements: " + text, "", op("ScatterElements", inputs, **attributes))
for text, inputs in [("updates of another shape", [V, ints(0).reshape(1, 1), floats(1, 4)]), ("tuples longer than the rank", [V, ints(0, 0, 0).reshape(1, 3), floats(1)]),
                     ("scalar indices", [V, np.int64(0), floats(2, 3)])]:
    op_case("ScatterND: " + text, "", op("ScatterND", inputs))
op_case("TensorScatter: a place past the end", "", op("TensorScatter", [(1, 2, 4, 2), floats(1, 2, 2, 2), ints(9)], opset=24))
op_case("TensorScatter: a negative place", "", op("TensorScatter", [(1, 2, 4, 2), floats(1, 2, 2, 2), ints(-1)], opset=24))
for text, depth in [("a depth of -1", ints(-1)[0]), ("a depth of MIN", ints(MIN64)[0]), ("two depths", ints(3, 3))]:
    op_case("OneHot: " + text, "", op("OneHot", [ints(0, 1), depth, floats(2)]))
op_case("OneHot: a depth of terabytes", "", op("OneHot", [ints(0, 1), ints(1 << 40)[0], floats(2)]), LIMIT)
case("odd: OneHot with a depth of NaN", OK, "", op("OneHot", [ints(0, 1), np.float32(np.nan), floats(2)]))
op_case("OneHot: three values", "", op("OneHot", [ints(0, 1), ints(3)[0], floats(3)]))
op_case("OneHot: an axis past the rank", "axis", op("OneHot", [ints(0, 1), ints(3)[0], floats(2)], axis=5))
for text, k in [("k larger than the axis", ints(9)), ("k of -1", ints(-1)), ("k of MIN", ints(MIN64)), ("two ks", ints(1, 1)), ("no k", ints())]:
    op_case("TopK: " + text, "", op("TopK", [V, k], 2))
op_case("TopK: an axis past the rank", "axis", op("TopK", [V, ints(1)], 2, axis=2))
op_case("TopK: of a scalar", "", op("TopK", [(), ints(1)], 2))
for kind in ("ArgMax", "ArgMin"):
    op_case(f"{kind}: an axis past the rank", "axis", op(kind, [V], axis=2))
    op_case(f"{kind}: of nothing", "", op(kind, [(0, 3)], axis=0))
for kind in ("ReduceSum", "ReduceMean", "ReduceMax", "ReduceL2", "ReduceLogSumExp"):
    op_case(f"{kind}: an axis past the rank", "ax", op(kind, [V, ints(2)]))
    op_case(f"{kind}: an axis of MIN", "ax", op(kind, [V, ints(MIN64)]))
    op_case(f"{kind}: an axis twice", "ax", op(kind, [V, ints(0, -2)]))
op_case("Compress: an axis past the rank", "axis", op("Compress", [V, np.array([True])], axis=2))
op_case("Compress: a condition longer than the axis", "", op("Compress", [V, np.array([False, False, True])], axis=0))
op_case("Compress: a condition of rank 2", "", op("Compress", [V, np.array([[True]])], axis=0))
op_case("ReverseSequence: a length past the end", "", op("ReverseSequence", [V, ints(1, 1, 9)]))
op_case("ReverseSequence: a negative length", "", op("ReverseSequence", [V, ints(1, 1, -1)]))
op_case("ReverseSequence: one axis for both", "", op("ReverseSequence", [V, ints(1, 1)], batch_axis=0, time_axis=0))
op_case("Unique: an axis past the rank", "axis", op("Unique", [V], 4, axis=2))
op_case("Trilu: two ks", "", op("Trilu", [V, ints(1, 1)]))
op_case("Trilu: of a vector", "", op("Trilu", [(3,)]))
for value in (MIN64, MAX64):
    case(f"odd: Trilu with k of {value}", OK, "", op("Trilu", [V, ints(value)[0]]))
    case(f"odd: EyeLike with k of {value}", OK, "", op("EyeLike", [V], k=value))
op_case("EyeLike: of a vector", "", op("EyeLike", [(3,)]))
op_case("NonMaxSuppression: boxes of 3 numbers", "", op("NonMaxSuppression", [(1, 4, 3), (1, 1, 4)]))
op_case("NonMaxSuppression: scores of other boxes", "", op("NonMaxSuppression", [(1, 4, 4), (1, 1, 5)]))
op_case("NonMaxSuppression: two thresholds", "", op("NonMaxSuppression", [(1, 4, 4), (1, 1, 4), ints(3), floats(2)]))

# ---- making ----
for text, inputs, code in [("a delta of 0", [ints(0)[0], ints(5)[0], ints(0)[0]], INVALID), ("NaN", [np.float32(0), np.float32(np.nan), np.float32(1)], INVALID),
                           ("infinity", [np.float32(0), np.float32(np.inf), np.float32(1)], INVALID), ("terabytes", [ints(0)[0], ints(1 << 40)[0], ints(1)[0]], LIMIT),
                           ("all of 64 bits", [ints(MIN64)[0], ints(MAX64)[0], ints(1)[0]], INVALID), ("a start of two", [ints(0, 0), ints(5)[0], ints(1)[0]], INVALID),
                           ("a tiny delta", [np.float32(0), np.float32(1e30), np.float32(1e-30)], INVALID), ("types that differ", [ints(0)[0], np.float32(5), ints(1)[0]], INVALID)]:
    op_case("Range: " + text, "", op("Range", inputs), code)
for text, shape, code in [("a negative size", ints(-1), INVALID), ("sizes that overflow", ints(1 << 40, 1 << 40), INVALID), ("terabytes", ints(1 << 40), LIMIT),
                          ("17 sizes", ints(*[1] * 17), INVALID), ("a shape of rank 2", ints(2).reshape(1, 1), INVALID), ("a shape of floats", floats(1), UNSUPPORTED)]:
    op_case("ConstantOfShape: " + text, "", op("ConstantOfShape", [shape]), code)
op_case("ConstantOfShape: a value of two", "value", op("ConstantOfShape", [ints(2)], value=tensor("", FLOAT, [2], float_data=[1, 2])))
for kind in ("RandomNormal", "RandomUniform"):
    op_case(f"{kind}: a negative size", "", op(kind, [], shape=[-1]))
    op_case(f"{kind}: terabytes", "", op(kind, [], shape=[1 << 40]), LIMIT)
    op_case(f"{kind}: no shape", "shape", op(kind, []))
op_case("Multinomial: a sample_size of MIN", "", op("Multinomial", [V], sample_size=MIN64))
op_case("Multinomial: terabytes", "", op("Multinomial", [V], sample_size=1 << 40), LIMIT)
for kind in ("HannWindow", "HammingWindow", "BlackmanWindow"):
    op_case(f"{kind}: a negative size", "", op(kind, [ints(-1)[0]]))
    op_case(f"{kind}: terabytes", "", op(kind, [ints(1 << 40)[0]]), LIMIT)

# ---- pictures ----
P = (1, 1, 4, 4)
for text, inputs, attributes, code in [
    ("scales of 0", [P, None, np.array([1, 1, 0, 1], np.float32)], {}, INVALID), ("negative scales", [P, None, np.array([1, 1, -1, 1], np.float32)], {}, INVALID),
    ("scales of NaN", [P, None, np.array([1, 1, np.nan, 1], np.float32)], {}, INVALID), ("scales of infinity", [P, None, np.array([1, 1, np.inf, 1], np.float32)], {}, INVALID),
    ("too few scales", [P, None, floats(2)], {}, INVALID), ("scales of 1e30", [P, None, np.array([1, 1, 1e30, 1], np.float32)], {}, INVALID),
    ("negative sizes", [P, None, None, ints(1, 1, -4, 4)], {}, INVALID), ("sizes that overflow", [P, None, None, ints(1, 1, 1 << 40, 1 << 40)], {}, INVALID),
    ("terabytes", [P, None, None, ints(1, 1, 1 << 20, 1 << 20)], {}, LIMIT), ("neither scales nor sizes", [P], {}, INVALID),
    ("both scales and sizes", [P, None, floats(4), ints(1, 1, 4, 4)], {}, INVALID), ("a mode that there is not", [P, None, floats(4)], {"mode": "guess"}, INVALID),
    ("coordinates that there are not", [P, None, floats(4)], {"coordinate_transformation_mode": "guess"}, INVALID),
    ("a nearest_mode that there is not", [P, None, floats(4)], {"nearest_mode": "guess"}, INVALID),
    ("axes past the rank", [P, None, floats(1)], {"axes": [7]}, INVALID), ("an axis twice", [P, None, floats(2)], {"axes": [2, 2]}, INVALID),
    ("regions of the wrong length", [P, floats(3), floats(4)], {"coordinate_transformation_mode": "tf_crop_and_resize"}, INVALID),
    ("a policy that there is not", [P, None, None, ints(1, 1, 4, 4)], {"keep_aspect_ratio_policy": "guess"}, INVALID)]:
    op_case("Resize: " + text, "", op("Resize", inputs, **attributes), code)
for text, inputs, attributes in [("a grid of rank 3", [P, (1, 4, 2)], {}), ("a grid of 3 numbers", [P, (1, 4, 4, 3)], {}), ("a grid of another batch", [P, (2, 4, 4, 2)], {}),
                                 ("a mode that there is not", [P, (1, 4, 4, 2)], {"mode": "guess"}), ("padding that there is not", [P, (1, 4, 4, 2)], {"padding_mode": "guess"})]:
    op_case("GridSample: " + text, "", op("GridSample", inputs, **attributes))
case("odd: GridSample at NaN and infinity", OK, "", op("GridSample", [floats(1, 1, 2, 2), np.array([[[[np.nan, np.inf], [-1e38, 1e38]]]], np.float32)]))
for text, inputs, attributes in [
    ("a batch past the end", [P, floats(1, 4), ints(7)], {}), ("a negative batch", [P, floats(1, 4), ints(-1)], {}), ("regions of 3 numbers", [P, floats(1, 3), ints(0)], {}),
    ("batches of another length", [P, floats(1, 4), ints(0, 0)], {}), ("an output_height of 0", [P, floats(1, 4), ints(0)], {"output_height": 0}),
    ("an output_height of MIN", [P, floats(1, 4), ints(0)], {"output_height": MIN64}), ("a mode that there is not", [P, floats(1, 4), ints(0)], {"mode": "guess"})]:
    op_case("RoiAlign: " + text, "", op("RoiAlign", inputs, **attributes))
op_case("MaxRoiPool: a batch past the end", "", op("MaxRoiPool", [P, np.array([[9, 0, 0, 1, 1]], np.float32)], pooled_shape=[2, 2]))
op_case("MaxRoiPool: a batch of NaN", "", op("MaxRoiPool", [P, np.array([[np.nan, 0, 0, 1, 1]], np.float32)], pooled_shape=[2, 2]))
op_case("MaxRoiPool: a pooled_shape of 0", "", op("MaxRoiPool", [P, floats(1, 5)], pooled_shape=[0, 2]))
op_case("AffineGrid: a negative size", "", op("AffineGrid", [(1, 2, 3), ints(1, 1, -4, 4)]))
op_case("AffineGrid: a theta of another batch", "", op("AffineGrid", [(2, 2, 3), ints(1, 1, 4, 4)]))
op_case("Col2Im: an image that does not fit", "", op("Col2Im", [(1, 4, 9), ints(9, 9), ints(2, 2)]))
op_case("Col2Im: a block of 0", "", op("Col2Im", [(1, 4, 9), ints(4, 4), ints(0, 2)]))
op_case("Col2Im: a negative image", "", op("Col2Im", [(1, 4, 9), ints(-4, 4), ints(2, 2)]))
case("op: Col2Im: a block of 2^40 elements that fits nowhere", OK, "", op("Col2Im", [floats(1, 1 << 40, 0), ints(5, 5), ints(1 << 20, 1 << 20)]))
case("op: Flatten: an input of 2^95 elements, before its last axis", LIMIT, "size", op("Flatten", [(1 << 31, 1 << 31, 1 << 31, 4)], axis=3))
for text, inputs, attributes in [("offsets that do not fit", [P, floats(1, 1, 2, 2), floats(1, 7, 3, 3)], {}), ("a group of 0", [P, floats(1, 1, 2, 2), floats(1, 8, 3, 3)], {"group": 0}),
                                 ("an offset_group of 3", [P, floats(1, 1, 2, 2), floats(1, 8, 3, 3)], {"offset_group": 3}),
                                 ("a mask that does not fit", [P, floats(1, 1, 2, 2), floats(1, 8, 3, 3), None, floats(1, 3, 3, 3)], {})]:
    op_case("DeformConv: " + text, "", op("DeformConv", inputs, **attributes))

# ---- signals ----
op_case("DFT: an axis past the rank", "axis", op("DFT", [(1, 8, 1), None, ints(9)[0]]))
op_case("DFT: a negative length", "", op("DFT", [(1, 8, 1), ints(-1)[0]]))
op_case("DFT: a length of terabytes", "", op("DFT", [(1, 8, 1), ints(1 << 40)[0]]), LIMIT)
op_case("DFT: three parts of a number", "", op("DFT", [(1, 8, 3)]))
op_case("STFT: a step of 0", "", op("STFT", [(1, 16, 1), ints(0)[0], None, ints(4)[0]]))
op_case("STFT: a step of MIN", "", op("STFT", [(1, 16, 1), ints(MIN64)[0], None, ints(4)[0]]))
op_case("STFT: a frame longer than the signal", "", op("STFT", [(1, 16, 1), ints(2)[0], None, ints(99)[0]]))
op_case("STFT: a window of another length", "", op("STFT", [(1, 16, 1), ints(2)[0], floats(5), ints(4)[0]]))
for bad in (-1, 1 << 40):
    op_case(f"MelWeightMatrix: {bad} bins", "", op("MelWeightMatrix", [ints(bad)[0], ints(16)[0], ints(8000)[0], np.float32(0), np.float32(4000)]), LIMIT if bad > 0 else INVALID)
op_case("MelWeightMatrix: a rate of 0", "", op("MelWeightMatrix", [ints(8)[0], ints(16)[0], ints(0)[0], np.float32(0), np.float32(4000)]))
op_case("Det: no square", "", op("Det", [V]))

# ---- losses, training, features ----
op_case("NegativeLogLikelihoodLoss: a class past the end", "", op("NegativeLogLikelihoodLoss", [V, ints(0, 7)]))
op_case("NegativeLogLikelihoodLoss: a class of MIN", "", op("NegativeLogLikelihoodLoss", [V, ints(0, MIN64)]))
op_case("NegativeLogLikelihoodLoss: weights of another length", "", op("NegativeLogLikelihoodLoss", [V, ints(0, 1), floats(9)]))
op_case("SoftmaxCrossEntropyLoss: a class past the end", "", op("SoftmaxCrossEntropyLoss", [V, ints(0, 7)]))
op_case("SoftmaxCrossEntropyLoss: a reduction that there is not", "reduction", op("SoftmaxCrossEntropyLoss", [V, ints(0, 1)], reduction="guess"))
op_case("ArrayFeatureExtractor: an index past the end", "", op("ArrayFeatureExtractor", [V, ints(5)], domain="ai.onnx.ml"), BAD_INPUT)
op_case("ArrayFeatureExtractor: an index of MIN", "", op("ArrayFeatureExtractor", [V, ints(MIN64)], domain="ai.onnx.ml"), BAD_INPUT)

# ---- sequences ----
def sequence(op_type, *rest, **attributes):
    """A node on the sequence of x and x."""
    infos, names, constants = [info("x", FLOAT, [2, 3])], ["s"], []
    for i, value in enumerate(rest):
        names.append(f"r{i}")
        if isinstance(value, str):
            names[-1] = value
        else:
            constants.append(numpy_helper.from_array(np.asarray(value), f"r{i}"))
    return model(graph([node("SequenceConstruct", ["x", "x"], ["s"], name="first"), node(op_type, names, ["y"], **attributes)], infos, ["y"], constants))


for bad in (2, -3, MIN64, MAX64):
    op_case(f"SequenceAt: place {bad}", "", sequence("SequenceAt", ints(bad)[0]))
    op_case(f"SequenceErase: place {bad}", "", sequence("SequenceErase", ints(bad)[0]))
    op_case(f"SequenceInsert: place {bad}", "", sequence("SequenceInsert", "x", ints(3 if bad == 2 else bad)[0]))
op_case("SequenceAt: a place that is a sequence", "", sequence("SequenceAt", "s"))
op_case("SequenceErase: a place that is a sequence", "", sequence("SequenceErase", "s"))
op_case("SequenceAt: two places", "", sequence("SequenceAt", ints(0, 1)))
op_case("SequenceInsert: another type", "", sequence("SequenceInsert", ints(1, 2)))
op_case("SequenceInsert: a sequence into itself", "", sequence("SequenceInsert", "s"))
op_case("ConcatFromSequence: an axis past the rank", "axis", sequence("ConcatFromSequence", axis=5))
op_case("ConcatFromSequence: no axis", "axis", sequence("ConcatFromSequence"))
op_case("Relu: of a sequence", "sequence", sequence("Relu"))
op_case("Add: of sequences", "sequence", sequence("Add", "s"))
op_case("SequenceAt: of a tensor", "", op("SequenceAt", [V, ints(0)[0]]))
op_case("SplitToSequence: sizes that do not add up", "", op("SplitToSequence", [V, ints(5, 5)]))
op_case("SplitToSequence: a size of 0", "", op("SplitToSequence", [V, ints(0)[0]]))
op_case("SplitToSequence: a size of -1", "", op("SplitToSequence", [V, ints(-1)[0]]))
op_case("OptionalGetElement: of nothing", "", model(graph([node("Optional", [], ["o"], name="first", type=helper.make_tensor_type_proto(FLOAT, [2])),
                                                           node("OptionalGetElement", ["o"], ["y"])])))
op_case("Loop: a count that is a sequence", "", model(graph([node("SequenceConstruct", ["x"], ["s"], name="first"), node("Loop", ["s", "", "x"], ["y"], body=graph(
    [node("Identity", ["c"], ["d"]), node("Identity", ["v"], ["w"])], [info("i", INT64, []), info("c", BOOL, []), untyped("v")], ["d", "w"]))],
    [info("x", FLOAT, [2])])))

# ---- strings ----
T = tensor("x0", STRING, [2], string_data=[b"a", b"b"])
op_case("StringSplit: of numbers", "type", op("StringSplit", [V], 2), UNSUPPORTED)
op_case("StringConcat: shapes that do not broadcast", "", op("StringConcat", [T, tensor("x1", STRING, [3], string_data=[b"a"] * 3)]))
op_case("RegexFullMatch: a pattern that is none", "", op("RegexFullMatch", [T], pattern="("))
op_case("RegexFullMatch: no pattern", "pattern", op("RegexFullMatch", [T]))
case("odd: a pattern that would take for ever", OK, "", op("RegexFullMatch", [tensor("x0", STRING, [1], string_data=[b"a" * 40])], pattern="(a*)*(a*)*(a*)*b"))
case("odd: a locale that there is not", OK, "", op("StringNormalizer", [T], case_change_action="UPPER", locale="no_WHERE.x"))
op_case("StringNormalizer: an action that there is not", "", op("StringNormalizer", [T], case_change_action="GUESS"))
tfidf = dict(max_gram_length=2, max_skip_count=0, min_gram_length=1, mode="TF", ngram_counts=[0, 2], ngram_indexes=[0, 1, 2], pool_int64s=[1, 2, 3, 4])
for text, changed in [("counts that go down", {"ngram_counts": [5, 0]}), ("negative counts", {"ngram_counts": [-1, 2]}), ("counts past the pool", {"ngram_counts": [0, 99]}),
                      ("a negative index", {"ngram_indexes": [0, -1, 2]}), ("an index of MAX", {"ngram_indexes": [0, MAX64, 2]}), ("too few indexes", {"ngram_indexes": [0]}),
                      ("lengths of 0", {"min_gram_length": 0}), ("a mode that there is not", {"mode": "GUESS"}),
                      ("a skip of MIN", {"max_skip_count": MIN64}), ("too few weights", {"weights": [0.5], "mode": "IDF"}), ("no pool", {"pool_int64s": []})]:
    op_case("TfIdfVectorizer: " + text, "", op("TfIdfVectorizer", [ints(1, 2, 3)], **{**tfidf, **changed}), INVALID)

# ---- left out in the middle ----
for kind in ("SequenceConstruct", "Concat", "Sum", "Max", "Mean", "Einsum"):
    op_case(f"{kind}: an input left out", "", op(kind, [V, None, V], **({"axis": 0} if kind == "Concat" else {"equation": "ij,ij,ij"} if kind == "Einsum" else {})))
