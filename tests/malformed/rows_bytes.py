"""Rows about the file as bytes: what is no protobuf, or no model, or a model that lies about sizes."""
from models import *  # noqa: F403

GOOD = relu().SerializeToString()
BIG = with_constant(numpy_helper.from_array(floats(1, 4), "w")).SerializeToString()

for text, content, pattern in [
    ("empty file", b"", "empty"),
    ("one zero byte", b"\0", "byte|no graph"),
    ("a text file", b"hello, this is not a model\n", "not an ONNX model.*byte"),
    ("a zip file's header", b"PK\3\4" + bytes(60), "not an ONNX model"),
    ("zeros", bytes(1000), "not an ONNX model.*byte"),
    ("all ones", b"\xff" * 1000, "not an ONNX model.*byte"),
    ("a picture's header", b"\x89PNG\r\n\x1a\n" + bytes(40), "not an ONNX model.*byte"),
    ("field number zero", b"\2\0" + GOOD, "byte 1"),
    ("wire type 3", field(1, b"", 3) + GOOD, "byte"),
    ("wire type 4", field(1, b"", 4) + GOOD, "byte"),
    ("wire type 6", field(1, b"", 6) + GOOD, "byte"),
    ("wire type 7", field(1, b"", 7) + GOOD, "byte"),
    ("a number of eleven bytes", b"\x08" + b"\xff" * 10 + b"\1" + GOOD, "ten bytes at byte"),
    ("a tag of eleven bytes", b"\xff" * 10 + b"\1" + GOOD, "byte"),
    ("a field number past 2^29", varint(1 << 33 | 2) + b"\0" + GOOD, "byte"),
    ("a length of 2^63", b"\x3a" + varint(1 << 63), "longer than the data.*byte"),
    ("a length of -1", b"\x3a" + varint(-1), "longer than the data.*byte"),
    ("a length of 2^32", b"\x3a" + varint(1 << 32) + GOOD, "longer than the data.*byte"),
    ("a length one too large", b"\x3a" + varint(len(RAW_GRAPH) + 1) + RAW_GRAPH, "longer than the data.*byte"),
    ("the file ends in a fixed64", GOOD + b"\x09\1\2\3", "ends within a number.*byte"),
    ("the file ends in a fixed32", GOOD + b"\x0d\1\2", "ends within a number.*byte"),
    ("the file ends in a tag", GOOD + b"\xff", "ends within a number.*byte"),
    ("an inner length passes the outer end", field(7, b"\x0a\x7f" + b"x" * 9), "longer than the data.*byte"),
    ("graph as a number", field(1, 10) + field(7, 5) + OPSET, "no graph|not an ONNX"),
    ("graph as fixed32", field(1, 10) + field(7, b"abcd", 5) + OPSET, "no graph|not an ONNX"),
    ("IR version as text", field(1, "ten") + field(7, RAW_GRAPH) + OPSET, "IR version|not an ONNX"),
    ("opset version as text", field(1, 10) + field(7, RAW_GRAPH) + field(8, field(2, "new")), "opset|not an ONNX|Relu"),
    ("a node that is a number", raw_model(field(1, 7) + RAW_GRAPH), "not an ONNX"),
    ("a node's input that is a number", raw_model(field(1, field(1, 7) + field(2, "z") + field(4, "Relu")) + RAW_GRAPH),
     "not an ONNX|z"),
    ("an op_type that is a number", raw_model(field(1, field(1, "x") + field(2, "z") + field(4, 9)) + RAW_GRAPH),
     "not an ONNX|node"),
    ("a tensor that is text", raw_model(RAW_GRAPH + field(5, "weights")), "byte|not an ONNX"),
    ("packed dims that end in a number", raw_model(RAW_GRAPH + field(5, field(1, b"\2\xff") + field(8, "w"))), "not an ONNX"),
    ("float_data of five bytes", raw_model(RAW_GRAPH + field(5, field(1, 1) + field(2, 1) + field(4, b"12345") + field(8, "w"))),
     "not an ONNX"),
    ("double_data of nine bytes", raw_model(RAW_GRAPH + field(5, field(1, 1) + field(2, 11) + field(10, b"123456789") +
                                                              field(8, "w"))), "not an ONNX"),
    ("raw_data that is a number", raw_model(RAW_GRAPH + field(5, field(1, 1) + field(2, 1) + field(9, 5) + field(8, "w"))),
     "not an ONNX|initializer 'w'"),
    ("raw_data as fixed32", raw_model(RAW_GRAPH + field(5, field(1, 1) + field(2, 1) + field(9, b"abcd", 5) + field(8, "w"))),
     "not an ONNX|initializer 'w'"),
    ("dims as text of letters", raw_model(RAW_GRAPH + field(5, field(1, "\xff\xff") + field(8, "w"))), "not an ONNX|w"),
    ("an attribute that is empty bytes of a number", raw_model(field(1, field(5, 5) + field(2, "z") + field(4, "Relu")) + RAW_GRAPH),
     "not an ONNX"),
]:
    case("bytes: " + text, INVALID, pattern, content)

# Where it is cut: within a tag, a length, a name, the weights, and by one byte.
for percent in (3, 10, 25, 50, 75, 90, 97):
    case(f"bytes: cut at {percent} %", INVALID, "byte|no graph|IR version|nothing produces|not there|no output", BIG[:len(BIG) * percent // 100])
case("bytes: cut by one byte", INVALID, "byte", BIG[:-1])


def nested_type(depth):
    inner = field(1, field(1, 1))
    for _ in range(depth):
        inner = field(4, field(1, inner))
    return raw_model(RAW_NODE + field(2, "g") + field(11, field(1, "x") + field(2, inner)) + field(12, field(1, "y")))


def nested_graph(depth):
    inner = RAW_NODE
    for _ in range(depth):
        inner = field(1, field(2, "y") + field(4, "If") + field(5, field(1, "g") + field(6, inner)))
    return raw_model(inner)


case("bytes: types nested 1,000 deep", INVALID, "nest too deep at byte", nested_type(1000))
case("bytes: types nested 100,000 deep", INVALID, "nest too deep at byte", nested_type(20000))
case("bytes: types nested 40 deep", LIMIT, "value 'x'.*nest|'x'", nested_type(40))
case("bytes: graphs nested 30 deep", INVALID, "byte|node", nested_graph(30))
case("bytes: graphs nested 9,000 deep", INVALID, "nest too deep at byte", nested_graph(9000))
case("bytes: 200,000 empty nodes", LIMIT, "memory", raw_model(field(1, b"") * 200000 + RAW_GRAPH))
case("bytes: 200,000 empty tensors", LIMIT, "memory", raw_model(RAW_GRAPH + field(5, b"") * 200000))
case("bytes: 200,000 empty inputs of a node", INVALID, "Relu.*inputs|inputs.*Relu",
     raw_model(field(1, field(1, "") * 200000 + field(2, "y") + field(4, "Relu")) + field(12, field(1, "y"))))
case("bytes: 100,000 empty attributes", LIMIT, "memory",
     raw_model(field(1, field(1, "x") + field(2, "y") + field(4, "Relu") + field(5, b"") * 100000) + field(11, field(1, "x")) +
               field(12, field(1, "y"))))
case("bytes: 100,000 empty opsets", INVALID, "version 0", raw_model(RAW_GRAPH, field(8, b"") * 100000))
case("bytes: 100,000 empty functions", LIMIT, "memory", raw_model(RAW_GRAPH, OPSET + field(25, b"") * 100000))
case("bytes: 100,000 empty graph inputs", INVALID, "input 0 has no name", raw_model(field(11, b"") * 100000))
case("bytes: 100,000 empty dims of a type", UNSUPPORTED, "'x'|rank",
     raw_model(RAW_NODE + field(11, field(1, "x") + field(2, field(1, field(1, 1) + field(2, field(1, b"") * 100000)))) +
               field(12, field(1, "y"))))
case("bytes: a name of a megabyte", INVALID, "aaaa", raw_model(field(1, field(1, "a" * (1 << 20)) + field(2, "y") + field(4, "Relu")) +
                                                                field(12, field(1, "y"))))
case("bytes: a name with line ends", INVALID, r"\\x0a", raw_model(field(1, field(1, "a\nb\rc\x1b[31m") + field(2, "y") +
                                                                      field(4, "Relu")) + field(12, field(1, "y"))))
case("bytes: a name that is no UTF-8", INVALID, r"\\xff", raw_model(field(1, field(1, b"\xff\xfe\xc3") + field(2, "y") + field(4, "Relu"))
                                                                     + field(12, field(1, "y"))))
case("bytes: a name with format letters", INVALID, "%s%n%d", raw_model(field(1, field(1, "%s%n%d%999999d") + field(2, "y") +
                                                                           field(4, "Relu")) + field(12, field(1, "y"))))
case("bytes: a name with a zero byte", INVALID, "'a'|'a|not an ONNX", raw_model(field(1, field(1, b"a\0b") + field(2, "y") + field(4, "Relu")) +
                                                             field(12, field(1, "y"))))

# Odd, but protobuf and ONNX allow it.
case("odd: an empty graph", OK, "", field(1, 10) + field(7, b"") + OPSET)
case("odd: unknown fields", OK, "", field(900, "whatever") + GOOD + field(901, 5))
case("odd: fields of the graph in two parts", OK, "", field(1, 10) + field(7, RAW_NODE) +
     field(7, field(2, "g") + field(11, field(1, "x") + field(2, field(1, field(1, 1) + field(2, field(1, field(1, 3)))))) +
           field(12, field(1, "y"))) + OPSET)
case("odd: graph before versions", OK, "", field(7, RAW_NODE + field(11, field(1, "x") + field(2, field(1, field(1, 1) + field(2, field(
    1, field(1, 3)))))) + field(12, field(1, "y"))) + OPSET + field(1, 10))
case("odd: the version twice, the last counts", OK, "", field(1, 99) + GOOD)
case("odd: a documentation of a megabyte", OK, "", GOOD + field(6, "d" * (1 << 20)))

for text, content, code, pattern in [
    ("no graph", field(1, 10) + OPSET, INVALID, "no graph"),
    ("no IR version", field(7, RAW_GRAPH) + OPSET, INVALID, "IR version"),
    ("IR version 0", relu(ir_version=0), INVALID, "IR version"),
    ("IR version -1", relu(ir_version=-1), INVALID, "IR version"),
    ("IR version 1000", relu(ir_version=1000), UNSUPPORTED, "IR version 1000"),
    ("IR version 2^62", relu(ir_version=1 << 62), UNSUPPORTED, "IR version"),
    ("opset 0", relu(opset=0), INVALID, "version 0 of domain"),
    ("opset -5", relu(opset=-5), INVALID, "version -5 of domain"),
    ("opset 9999", relu(opset=9999), UNSUPPORTED, "opset 9999"),
    ("opset 2^40", relu(opset=1 << 40), INVALID, "version 1099511627776 of domain"),
    ("no opset", raw_model(RAW_GRAPH, b""), INVALID, "opset|domain|Relu"),
    ("another domain's opset alone", raw_model(RAW_GRAPH, field(8, field(1, "other") + field(2, 1))), INVALID, "opset|domain|Relu"),
    ("two versions of a domain", raw_model(RAW_GRAPH, OPSET + field(8, field(2, 13))), INVALID, "versions 21 and 13"),
]:
    case("header: " + text, code, pattern, content)
