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
