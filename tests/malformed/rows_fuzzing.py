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
