"""Rows that fuzzing found, made small: each was a crash, a report of a sanitizer, or another verdict with passes than without."""
from models import *  # noqa: F403

X = info("x", FLOAT, [2, 3])
relu_of_x = node("Relu", ["x"], ["y"], name="n")

for text, unread in [
    ("is not there", node("NoSuchOp", ["x"], ["z"])),
    ("does not take what it gets", node("MatMul", ["x", "x"], ["z"])),
    ("has the wrong type", node("Not", ["x"], ["z"])),
    ("reads another that nobody else does", node("NoSuchOp", ["z2"], ["z"])),
]:
    made = graph([relu_of_x, node("Relu", ["x"], ["z2"], name="n2"), unread], [X], ["y"])
    case(f"odd: an operator that {text}, and whose output nobody reads", OK, "", model(made))

# A form of old that reads nothing of it.
unknown = node("NoSuchOp", ["x"], ["z"])
old = graph([unknown, node("Unsqueeze", ["x", "z"], ["y"], name="culprit", axes=[0, 0])], [X], ["y"])
op_case("fuzzing: an operator that is not there, for an input that Unsqueeze did not have", "twice", model(old, 9))

# What passes take out is checked all the same.
for text, made, code, pattern in [
    ("Pad: a mode that there is not, of zeros", op("Pad", [(2, 3), ints(0, 0, 0, 0)], mode="guess"), INVALID, "mode"),
    ("Pad: two zeros for two axes", op("Pad", [(2, 3), ints(0, 0)]), INVALID, "pads"),
    ("Pad: zeros for axis 2 of two", op("Pad", [(2, 3), ints(0, 0), None, ints(2)]), INVALID, "ax"),
    ("Pad: zeros, with a value of another type", op("Pad", [(2, 3), ints(0, 0, 0, 0), np.int32(1)]), INVALID, "constant_value"),
    ("Identity: of two inputs", op("Identity", [(2, 3), (2, 3)]), INVALID, "2 inputs"),
    ("Expand: 2 to 5", op("Expand", [(2,), ints(5)]), INVALID, "broadcast"),
    ("SplitToSequence: by a float", op("SplitToSequence", [(2, 3), np.float32(8e31)]), UNSUPPORTED, "type float"),
    ("Transpose: perm in order, shorter than the shape", op("Transpose", [(2, 3, 4)], perm=[0, 1]), INVALID, "perm"),
    ("Concat: axis 5 of a single input", op("Concat", [(2, 3)], axis=5), INVALID, "axis"),
    ("Sum: one input of a type that it does not take", op("Sum", [of(BOOL, 2)]), UNSUPPORTED, "type bool"),
    ("Mul: by one, of a type that it does not take", op("Mul", [of(BOOL, 2), np.array(True)]), UNSUPPORTED, "type bool"),
    ("Add: of zero of another type", op("Add", [of(DOUBLE, 2), np.float32(0)]), INVALID, "type"),
    ("QuantizeLinear: to a type of number INT_MIN", op("QuantizeLinear", [(2, 4), np.float32(0.5)], output_dtype=MIN32), UNSUPPORTED,
     "output_dtype"),
]:
    op_case("fuzzing: " + text, pattern, made, code)

# What is taken for its shape or its type alone, and what is made of shapes, is checked all the same.
refused = node("Sqrt", ["b"], ["t"], name="culprit")
B = info("b", BOOL, [2, 3])
for text, rest in [
    ("its type", [node("CastLike", ["x", "t"], ["y"])]),
    ("its types twice", [node("CastLike", ["x", "t"], ["u"]), node("CastLike", ["u", "t"], ["y"])]),
    ("its shape", [node("Shape", ["t"], ["u"]), node("Expand", ["x", "u"], ["y"])]),
    ("its size", [node("Size", ["t"], ["u"]), node("CastLike", ["u", "x"], ["y"])]),
]:
    for i, n in enumerate(rest):
        n.name = f"n{i}"
    op_case(f"fuzzing: Sqrt: of bools, read for {text}", "type bool", model(graph([refused, *rest], [X, B], ["y"])), UNSUPPORTED)

constants = [numpy_helper.from_array(v, k) for k, v in [
    ("zero", ints(0)), ("one", ints(1)), ("five", ints(5)), ("byte", np.array([1], np.uint8)), ("number", np.array([1], np.int32))]]
for text, made, code, pattern in [
    ("Gather: of a shape by bytes", node("Gather", ["s", "byte"], ["t"]), UNSUPPORTED, "type uint8"),
    ("Gather: of a shape along axis 5", node("Gather", ["s", "one"], ["t"], axis=5), INVALID, "axis"),
    ("Slice: of a shape along axis 5", node("Slice", ["s", "zero", "one", "five"], ["t"]), INVALID, "axis"),
    ("Slice: of a shape in steps of 0", node("Slice", ["s", "zero", "one", "zero", "zero"], ["t"]), INVALID, "step"),
    ("Reshape: of a shape of two to five", node("Reshape", ["s", "five"], ["t"]), INVALID, "elements"),
    ("Squeeze: of a shape of two", node("Squeeze", ["s", "zero"], ["t"]), INVALID, "axis|size"),
    ("Unsqueeze: of a shape along axis 5", node("Unsqueeze", ["s", "five"], ["t"]), INVALID, "axis|axes"),
    ("Concat: of a shape and another type", node("Concat", ["s", "number"], ["t"], axis=0), INVALID, "type"),
    ("Shape: of two values", node("Shape", ["x", "x"], ["t"]), INVALID, "2 inputs"),
    ("CastLike: of three values", node("CastLike", ["s", "s", "x"], ["t"]), INVALID, "3 inputs"),
    ("Concat: without its axis", node("Concat", ["s"], ["t"]), INVALID, "'axis' is missing"),
]:
    made.name = "culprit"
    nodes = [node("Shape", ["x"], ["s"], name="n"), made, node("CastLike", ["t", "x"], ["u"], name="n2"), node("Neg", ["u"], ["y"], name="n3")]
    known = graph(nodes, [X], ["y"], constants)
    op_case("fuzzing: " + text, pattern, model(known), code)
    half = graph([*nodes, node("Relu", ["x"], ["z"], name="n4")], [info("x", FLOAT, ["n", 3])], ["y", "z"], constants)
    op_case(f"fuzzing: {text}, of which one element is known", pattern, model(half), code)

# Ranges whose 255th part is 0 or infinite: the zero point is no number.
for text, most in (("denormals", 4e-45), ("the largest floats", 3e38)):
    case(f"odd: DynamicQuantizeLinear of {text}", OK, "", op("DynamicQuantizeLinear", [np.float32([-most, most, 0])]))

for text, inputs in [("Mean", ["s"]), ("Add", ["s", "zero"]), ("Mul", ["s", "one"])]:
    constants = [numpy_helper.from_array(np.float32(v), k) for k, v in [("zero", 0), ("one", 1)] if k in inputs]
    made = graph([node("SequenceConstruct", ["x"], ["s"], name="n"), node(text, inputs, ["y"])], [X], ["y"], constants)
    op_case(f"fuzzing: {text}: of a sequence, which would stay as it is", "sequence", model(made))

# Numbers that stand for no element type, or for one if they were cut to 32 bits.
for number in (256, 1 << 32 | 1, MIN64):
    twice = graph([node("Cast", ["x"], ["t"], name="n", to=number), node("Cast", ["t"], ["y"], to=number)], [X], ["y"])
    case(f"fuzzing: Cast: twice to type {number}", UNSUPPORTED, f"element type {number}", model(twice))
    empty = graph([node("SequenceEmpty", [], ["s"], dtype=number), node("SequenceLength", ["s"], ["y"], name="n")], [X], ["y"])
    case(f"fuzzing: SequenceEmpty: of type {number}", UNSUPPORTED, f"culprit.*element type {number}", model(empty))

# What one step of a pass takes into another is checked all the same, whatever the batch. Weights are 2x2 or 2x2x1x1.
parts = {"w": np.eye(2, dtype=np.float32), "k": floats(2, 2, 1, 1), "b": floats(2), "three": floats(3), "zero": np.float64(0), "s": np.float32(0.5),
         "z": np.int8(0), "q": np.zeros((2, 2, 1, 1), np.int8), "p": np.zeros(2, np.int32), "u": np.uint8(0), "five": ints(5), "pads": ints(*[0] * 8),
         "double": np.float64(0), "wide": floats(32, 3), "deep": floats(1, 1, 1, 1, 3)}


def chain(*nodes, shape=("n", 2, 4, 4), opset=21):
    """A model whose nodes read x and the parts, and make y."""
    read = {i for n in nodes for i in n.input}
    return model(graph(nodes, [info("x", FLOAT, shape)], ["y"], [numpy_helper.from_array(np.asarray(v), k) for k, v in parts.items() if k in read]), opset)


norm = node("BatchNormalization", ["c", "b", "b", "b", "b"], ["y"], name="n")
quantized = [node("QuantizeLinear", ["x", "s", "z"], ["x_q"], name="n"), node("DequantizeLinear", ["x_q", "s", "z"], ["x_f"], name="n2"),
             node("DequantizeLinear", ["q", "s", "z"], ["w_f"], name="n3")]
behind = [node("Conv", ["x_f", "w_f", "b_f"], ["c"], name="n4"), node("QuantizeLinear", ["c", "s", "z"], ["y"], name="n5")]
for text, nodes, code, pattern in [
    ("Add: of a double zero to what a Conv makes", [node("Conv", ["x", "k"], ["c"], name="n"), node("Add", ["c", "zero"], ["y"])], INVALID, "type"),
    ("Conv: a bias of three for two channels, before BatchNormalization", [node("Conv", ["x", "k", "three"], ["c"]), norm], INVALID, "bias"),
    ("Conv: a bias that is a matrix, before BatchNormalization", [node("Conv", ["x", "k", "w"], ["c"]), norm], INVALID, "bias"),
    ("BatchNormalization: of more channels than it has numbers, before a Gemm",
     [node("Flatten", ["x"], ["f"], name="n"), node("BatchNormalization", ["f", "b", "b", "b", "b"], ["c"]), node("Gemm", ["c", "wide"], ["y"], name="n2")],
     INVALID, "channels"),
    ("Gemm: of a C of five axes, behind a BatchNormalization",
     [node("BatchNormalization", ["x", "b", "b", "b", "b"], ["c"], name="n"), node("Flatten", ["c"], ["f"], name="n2"),
      node("Gemm", ["f", "wide", "deep"], ["y"])], INVALID, "broadcast"),
    ("DequantizeLinear: a zero point that is a sequence, for the bias of a Conv",
     [*quantized, node("SequenceConstruct", ["u"], ["t"], name="n6"), node("DequantizeLinear", ["p", "s", "t"], ["b_f"]), *behind], INVALID, "sequence"),
    ("Pad: zeros by a double, before a Conv",
     [node("Pad", ["x", "pads", "double"], ["c"]), node("Conv", ["c", "k"], ["y"], name="n")], INVALID, "constant_value"),
    ("Gelu: of an approximation that there is not, behind a Conv",
     [node("Conv", ["x", "k"], ["c"], name="n"), node("Gelu", ["c"], ["y"], approximate="guess")], INVALID, "approximate"),
    ("DequantizeLinear: a zero point of another type, for the bias of a Conv",
     [*quantized, node("DequantizeLinear", ["p", "s", "u"], ["b_f"]), *behind], INVALID, "type"),
    ("NoSuchOp: for the zero point of a bias",
     [*quantized, node("NoSuchOp", ["u"], ["t"]), node("DequantizeLinear", ["p", "s", "t"], ["b_f"], name="n6"), *behind], UNSUPPORTED, "no such operator"),
    ("DequantizeLinear: of floats, for the bias of a Conv", [*quantized, node("DequantizeLinear", ["b", "s"], ["b_f"]), *behind], UNSUPPORTED, "type float"),
]:
    op_case("fuzzing: " + text, pattern, chain(*nodes), code)

turned = [node("Transpose", ["five"], ["t"], name="n"), node("Expand", ["x", "t"], ["y"]), node("Expand", ["x", "y"], ["z"], name="n2")]
op_case("fuzzing: Expand: 2 to a five that was turned", "broadcast", chain(*turned, shape=(2,)))
case("odd: Reshape of an empty batch, with -1 for a size that it has", OK, "", op("Reshape", [(0, 3, 4), ints(0, -1, 4)]))
op_case("fuzzing: Reshape: of an empty batch, with -1 for what is left", "not determined", op("Reshape", [(0, 3, 4), ints(0, -1)]))
far = [node("Pad", ["x", "far"], ["c"], name="n"), node("Conv", ["c", "k"], ["y"])]
parts["far"] = ints(0, 0, 0, 0, 0, 0, 0, 2147483647)
op_case("fuzzing: Conv: of what is padded by 2147483647", "spatial size", chain(*far, shape=(0, 2, 4, 4)), UNSUPPORTED)
alone = [node("QuantizeLinear", ["b", "s", "z"], ["t"], name="n"), node("DequantizeLinear", ["t", "s", "z"], ["y"], name="n2")]
case("odd: QuantizeLinear of a constant alone", OK, "", chain(*alone))

# Its rank was not asked for, and of a list of no lists there is no first number.
for text, split in (("a list of no lists", np.zeros((1, 0), np.int64)), ("a number in two brackets", np.array([[1]]))):
    op_case(f"fuzzing: SplitToSequence: by {text}", "rank 2", op("SplitToSequence", [(2, 3), split]))
case("odd: SplitToSequence by the largest number", OK, "", op("SplitToSequence", [(2, 3), np.int64(MAX64)]))

# Only a run knows the rank of an item.
item = [node("SequenceConstruct", ["x"], ["t"], name="n"), node("SequenceAt", ["t", "place"], ["c"], name="n2")]
parts["place"] = np.int64(0)
op_case("fuzzing: Transpose: back and forth by three axes of two", "perm", chain(
    *item, node("Transpose", ["c"], ["d"], perm=[1, 2, 0]), node("Transpose", ["d"], ["y"], perm=[2, 0, 1]), shape=(2, 3)))
