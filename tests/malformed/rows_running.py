"""Rows about what takes for ever or grows while it runs: loops, scans, and the texts of Einsum."""
from models import *  # noqa: F403

A = (2, 3)
TRUE = numpy_helper.from_array(np.array(True), "c")
MANY = numpy_helper.from_array(np.array(MAX64), "m")
X = info("x", FLOAT, [2])
ITERATION = [info("i", INT64, []), info("k", BOOL, [])]

for text, shapes, equation, pattern in [
    ("empty", [A, A], "", "equation"), ("one term for two operands", [A, A], "ij->ij", "equation|operand"), ("three terms for two operands", [A, A], "ij,jk,k->i", "input|operand"),
    ("a letter that is no letter", [A], "i1->i", "equation"), ("a letter that is not there", [A], "ij->k", "equation"), ("an output letter twice", [A], "ij->ii", "equation"),
    ("two arrows", [A], "ij->i->j", "equation"), ("half an arrow", [A], "ij-", "equation"), ("an arrow backwards", [A], "ij<-ij", "equation"),
    ("more letters than axes", [A], "ijk->i", "equation|operand"), ("fewer letters than axes", [A], "i->i", "equation|operand"),
    ("two ellipses", [A], "......->...", "equation"), ("two dots", [A], "..->i", "equation"), ("an ellipsis in the output alone", [A], "ij->i...", None),
    ("sizes that differ", [A, A], "ij,jk->ik", "equation|operand|size"), ("30 letters", [A], "abcdefghijklmnopqrstuvwxyzABCD->a", "equation"),
    ("100,000 letters", [A], "i" * 100000 + "->i", "equation"), ("100,000 commas", [A], "," * 100000, "equation|operand"), ("a line end", [A], "i\nj->i", "equation"),
    ("no UTF-8", [A], b"\xff\xfe->\xfd", "equation"), ("a zero byte", [A], b"ij\0->ij", None), ("arrow alone", [A], "->", "equation|operand"), ("comma at the end", [A], "ij,->ij", "equation|operand"),
    ("17 letters in the output", [(1,) * 9, (1,) * 9], "abcdefghi,jklmnopqr->abcdefghijklmnopqr", "equation"),
    ("spaces alone", [A], "   ", "equation|operand"), ("one letter for two sizes", [A], "ii->i", "equation|operand|size")]:
    if pattern:
        op_case("Einsum: " + text, pattern, op("Einsum", shapes, equation=equation))
op_case("Einsum: no equation", "equation", op("Einsum", [A]))
op_case("Einsum: an output of terabytes", "", op("Einsum", [(1 << 14,)] * 4, equation="a,b,c,d->abcd"), LIMIT)
case("odd: Einsum of 10^19 products that are one", OK, "", op("Einsum", [(1 << 13,)] * 5, equation="a,b,c,d,e->"))


def loop(count="m", condition="c", body=None, carried=("x",), outputs=("y",), constants=(TRUE, MANY), inputs=(X,), **attributes):
    body = body or graph([node("Identity", ["k"], ["t"], name="n1"), node("Relu", ["v"], ["w"], name="n2")], ITERATION + [untyped("v")], ["t", "w"], name="body")
    return model(graph([node("Loop", [count, condition, *carried], list(outputs), body=body)], inputs, outputs, constants))


growing = graph([node("Identity", ["k"], ["t"], name="n1"), node("Concat", ["v", "v"], ["w"], name="n2", axis=0)], ITERATION + [untyped("v")], ["t", "w"], name="body")
collecting = graph([node("Identity", ["k"], ["t"], name="n1"), node("Identity", ["v"], ["w"], name="n2"), node("Relu", ["v"], ["z"], name="n3")],
                   ITERATION + [untyped("v")], ["t", "w", "z"], name="body")
nested = graph([node("Identity", ["k"], ["t"], name="n1"), node("Loop", ["m", "c", "v"], ["w"], name="n2", body=graph(
    [node("Identity", ["k2"], ["t2"], name="n3"), node("Relu", ["v2"], ["w2"], name="n4")], [info("i2", INT64, []), info("k2", BOOL, []), untyped("v2")], ["t2", "w2"],
    name="inner"))], ITERATION + [untyped("v")], ["t", "w"], name="body")
constant_body = graph([node("Identity", ["k"], ["t"], name="n1"), node("Relu", ["v"], ["w"], name="n2")], ITERATION + [untyped("v")], ["t", "w"], name="body")
W = numpy_helper.from_array(floats(2), "x")
for text, made, code, pattern, *options in [
    ("for ever", loop(), CANCELLED, "", "--timeout", "0.3"),
    ("for ever without a count", loop(count=""), CANCELLED, "", "--timeout", "0.3"),
    ("for ever without count and condition", loop(count="", condition=""), CANCELLED, "", "--timeout", "0.3"),
    ("for ever over constants", loop(body=constant_body, inputs=(), constants=(TRUE, MANY, W)), CANCELLED, "", "--timeout", "0.3"),
    ("for ever, twice nested", loop(body=nested), CANCELLED, "", "--timeout", "0.3"),
    ("that doubles each time", loop(body=growing), LIMIT, "culprit|memory", "--max-memory", "64M"),
    ("that doubles constants each time", loop(body=growing, inputs=(), constants=(TRUE, MANY, W)), LIMIT, "culprit|memory", "--max-memory", "64M"),
    ("that collects for ever", loop(body=collecting, outputs=("y", "z")), LIMIT, "culprit|memory", "--max-memory", "24M"),
    ("without a body", model(graph([node("Loop", ["m", "c", "x"], ["y"])], [X], ["y"], [TRUE, MANY])), INVALID, "culprit.*body"),
    ("whose body is a number", loop(body=5), INVALID, "culprit.*body"),
    ("with more outputs than the body", loop(outputs=("y", "z", "q")), INVALID, "culprit"),
    ("with more values than the body takes", loop(carried=("x", "x")), INVALID, "culprit"),
    ("with fewer values than the body takes", loop(carried=()), INVALID, "culprit"),
    ("with two counts", loop(constants=(TRUE, numpy_helper.from_array(ints(1, 2), "m"))), INVALID, "culprit"),
    ("with a count of floats", loop(constants=(TRUE, numpy_helper.from_array(np.float32(1), "m"))), UNSUPPORTED, "culprit"),
    ("with two conditions", loop(constants=(numpy_helper.from_array(np.array([True, True]), "c"), MANY)), INVALID, "culprit"),
    ("whose condition becomes a float", loop(body=graph([node("Identity", ["v"], ["t"]), node("Relu", ["v"], ["w"])], ITERATION + [untyped("v")], ["t", "w"])), INVALID, "culprit"),
    ("whose body has no nodes, for ever", loop(count="", body=graph([], ITERATION + [untyped("v")], ["k", "v"], name="body")), CANCELLED, "", "--timeout", "0.3"),
    ("that collects items of different shapes", loop(body=graph([node("Identity", ["k"], ["t"]), node("Concat", ["v", "v"], ["w"], axis=0, name="n"), node("Relu", ["v"], ["z"])],
                                                                ITERATION + [untyped("v")], ["t", "w", "z"]), outputs=("y", "z"),
                                                     constants=(TRUE, numpy_helper.from_array(np.array(3), "m"))), INVALID, "culprit"),
]:
    case("loop: " + text, code, pattern, made, *options)
case("odd: a loop whose value changes its type", OK, "", loop(
    body=graph([node("Identity", ["k"], ["t"]), node("Cast", ["v"], ["w"], to=INT64)], ITERATION + [untyped("v")], ["t", "w"]),
    constants=(TRUE, numpy_helper.from_array(np.array(3), "m"))))
case("odd: a count of MIN", OK, "", loop(constants=(TRUE, numpy_helper.from_array(np.array(MIN64), "m"))))


def scan(count=1, body=None, inputs=("x", "s"), outputs=("y", "z"), infos=(info("x", FLOAT, [2]), info("s", FLOAT, [4, 2])), **attributes):
    body = body or graph([node("Add", ["v", "e"], ["w"], name="n1"), node("Relu", ["e"], ["r"], name="n2")], [untyped("v"), untyped("e")], ["w", "r"], name="body")
    return model(graph([node("Scan", list(inputs), list(outputs), body=body, num_scan_inputs=count, **attributes)], infos, outputs))


for text, made in [("no scan inputs", scan(0)), ("-1 scan inputs", scan(-1)), ("MIN scan inputs", scan(MIN64)), ("9 scan inputs", scan(9)), ("MAX scan inputs", scan(MAX64)),
                   ("an axis past the rank", scan(scan_input_axes=[5])), ("an axis of MIN", scan(scan_input_axes=[MIN64])), ("an output axis past the rank", scan(scan_output_axes=[7])),
                   
                   ("a scalar to scan", scan(infos=(info("x", FLOAT, [2]), info("s", FLOAT, [])))), ("more outputs than the body", scan(outputs=("y", "z", "q"))),
                   ("lengths that differ", scan(2, body=graph([node("Add", ["v", "e"], ["w"], name="n")], [untyped("v"), untyped("e")], ["w"]), outputs=("y",),
                                                infos=(info("x", FLOAT, [3]), info("s", FLOAT, [4]))))]:
    case("scan: " + text, INVALID, "culprit", made)
