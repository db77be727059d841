"""Rows about graphs, names, functions and attributes: what the pieces say of each other."""
from models import *  # noqa: F403

X = info("x", FLOAT, [2, 3])
W = numpy_helper.from_array(floats(2, 3), "w")
TRUE = numpy_helper.from_array(np.array(True), "c")


def of_nodes(*nodes, inputs=(X,), outputs=("y",), initializers=(), **options):
    return model(graph(nodes, inputs, outputs, initializers), **options)


def chain(n, close):
    """n nodes in a row; `close` joins the end to the beginning."""
    nodes = [node("Relu", [f"v{i}"], [f"v{i + 1}"], name=f"n{i}") for i in range(n)]
    nodes[0].input[0] = f"v{n}" if close else "x"
    return of_nodes(*nodes, outputs=[f"v{n}"])


relu_of_x = node("Relu", ["x"], ["y"])
for text, made, pattern in [
    ("a node without op_type", of_nodes(node("", ["x"], ["y"])), "culprit"),
    ("a node without anything", of_nodes(onnx.NodeProto(), relu_of_x), "node"),
    ("an input that nothing produces", of_nodes(node("Relu", ["nowhere"], ["y"])), "culprit.*nowhere"),
    ("a graph output that nothing produces", of_nodes(relu_of_x, outputs=["y", "nowhere"]), "nowhere"),
    ("a graph output without a name", of_nodes(relu_of_x, outputs=["y", ""]), "output 1|output"),
    ("a graph output twice", of_nodes(relu_of_x, outputs=["y", "y"]), "'y'.*twice"),
    ("a graph input twice", of_nodes(relu_of_x, inputs=(X, X)), "'x'.*twice"),
    ("a graph input without a name", of_nodes(relu_of_x, inputs=(X, untyped(""))), "input 1 has no name"),
    ("a value defined by two nodes", of_nodes(relu_of_x, node("Neg", ["x"], ["y"], name="n")), "'y'.*twice"),
    ("a value defined twice by one node", of_nodes(node("Split", ["x"], ["y", "y"], num_outputs=2)), "'y'.*twice"),
    ("a node that writes a graph input", of_nodes(relu_of_x, node("Relu", ["y"], ["x"], name="n")), "'x'.*twice"),
    ("a node that writes an initializer", of_nodes(relu_of_x, node("Relu", ["y"], ["w"], name="n"), initializers=[W]), "'w'.*twice"),
    ("two initializers of a name", of_nodes(relu_of_x, initializers=[W, W]), "'w'.*twice"),
    ("an initializer without a name", of_nodes(relu_of_x, initializers=[numpy_helper.from_array(floats(1))]), "has no name"),
    ("a node that reads itself", of_nodes(node("Add", ["x", "y"], ["y"])), "cycle|culprit"),
    ("a cycle of two", of_nodes(node("Add", ["x", "b"], ["a"], name="n1"), node("Relu", ["a"], ["b"], name="n2"), outputs=["b"]), "n[12]"),
    ("a cycle of 5,000", chain(5000, True), "n[0-9]"),
    ("a cycle beside the output", of_nodes(relu_of_x, node("Add", ["x", "b"], ["a"], name="n1"), node("Relu", ["a"], ["b"], name="n2")),
     "n[12]"),
    ("a sequence where a tensor is declared", of_nodes(node("SequenceConstruct", ["x"], ["s"], name="n"),
                                                       node("Relu", ["s"], ["y"])), "culprit"),
    ("a tensor where a sequence is wanted", of_nodes(node("SequenceLength", ["x"], ["y"])), "culprit"),
]:
    case("graph: " + text, INVALID, pattern, made)

for text, made, code, pattern in [
    ("an operator that there is not", of_nodes(node("NoSuchOp", ["x"], ["y"])), UNSUPPORTED, "culprit.*NoSuchOp"),
    ("a domain that there is not", of_nodes(node("Relu", ["x"], ["y"], domain="nowhere.org"), domains=["nowhere.org"]), UNSUPPORTED,
     "culprit.*nowhere.org"),
    ("a domain that is not imported", of_nodes(node("Relu", ["x"], ["y"], domain="nowhere.org")), INVALID, "culprit.*nowhere.org"),
    ("an operator newer than the opset", of_nodes(node("Gelu", ["x"], ["y"]), opset=13), INVALID, "culprit.*Gelu"),
    ("an operator with a name of 100,000 letters", of_nodes(node("R" * 100000, ["x"], ["y"])), UNSUPPORTED, "culprit|RRRR"),
    ("a node with 100,000 inputs", of_nodes(node("Relu", ["x"] * 100000, ["y"])), INVALID, "culprit.*inputs"),
    ("a node with 100,000 outputs", of_nodes(node("Relu", ["x"], ["y"] + [f"o{i}" for i in range(100000)])), INVALID, "culprit"),
    ("a node with two outputs where there is one", of_nodes(node("Relu", ["x"], ["y", "z"])), INVALID, "culprit.*output"),
    ("100,000 attributes", of_nodes(node("Relu", ["x"], ["y"], **{f"a{i}": i for i in range(50000)})), LIMIT, "culprit.*50000 attributes"),
]:
    case("node: " + text, code, pattern, made)
case("odd: a node without outputs", OK, "", of_nodes(node("Relu", ["x"], [], name="n"), relu_of_x))
case("odd: a graph without outputs", OK, "", of_nodes(relu_of_x, outputs=[]))
case("odd: a chain of 20,000 nodes", OK, "", chain(20000, False))
case("odd: nodes in reverse", OK, "", of_nodes(*[node("Relu", [f"v{i + 1}"], [f"v{i}"], name=f"n{i}") for i in range(50)],
                                              node("Relu", ["x"], ["v50"], name="first"), outputs=["v0"]))
case("odd: a node nobody needs", OK, "", of_nodes(relu_of_x, node("Relu", ["x"], ["z"], name="n")))
case("odd: an output left out", OK, "", of_nodes(relu_of_x, node("TopK", ["x", "k"], ["", "i"], name="n"),
                                                  initializers=[numpy_helper.from_array(ints(1), "k")], outputs=["y", "i"]))
case("odd: an input that is an output", OK, "", of_nodes(relu_of_x, outputs=["y", "x"]))
case("odd: an initializer that is an output", OK, "", of_nodes(relu_of_x, initializers=[W], outputs=["y", "w"]))
case("odd: one name for a node's input twice", OK, "", of_nodes(node("Add", ["x", "x"], ["y"])))

# ---- declared types ----
for text, value, code, pattern in [
    ("an element type of 99", info("x", 99, [2]), INVALID, "'x'"),
    ("an element type of -1", onnx.ValueInfoProto.FromString(field(1, "x") + field(2, field(1, field(1, -1)))), INVALID, "'x'"),
    ("an element type of 0", info("x", 0, [2]), BAD_INPUT, "'x'"),
    ("a size of 2^62", info("x", FLOAT, [1 << 62, 4]), LIMIT, "'x'"),
    ("sizes whose product overflows", info("x", FLOAT, [1 << 32, 1 << 32]), LIMIT, "'x'"),
    ("terabytes", info("x", FLOAT, [1 << 40]), LIMIT, "'x'|memory"),
    ("40 dimensions", info("x", FLOAT, [1] * 40), UNSUPPORTED, "'x'"),
    ("no type", untyped("x"), BAD_INPUT, "'x'"),
]:
    case("type: " + text, code, pattern, of_nodes(relu_of_x, inputs=(value,)))
case("type: the declared output is of another type", INVALID, "'y'|culprit", of_nodes(relu_of_x, outputs=[info("y", INT64, [2, 3])]))
case("odd: a negative size stands for a free one", OK, "", of_nodes(relu_of_x, inputs=(info("x", FLOAT, [-1, 2]),)))
case("odd: the declared output has another rank", OK, "", of_nodes(relu_of_x, outputs=[info("y", FLOAT, [2])]))
case("odd: the declared output has another size", OK, "", of_nodes(relu_of_x, outputs=[info("y", FLOAT, [7, 7])]))

# ---- attributes ----
A = AttributeProto


def leaky(*attributes):
    made = node("LeakyRelu", ["x"], ["y"])
    made.attribute.extend(attributes)
    return of_nodes(made)


for text, attributes, pattern in [
    ("text for a float", [helper.make_attribute("alpha", "no")], "culprit.*alpha"),
    ("an integer for a float", [helper.make_attribute("alpha", 1)], "culprit.*alpha"),
    ("floats for a float", [helper.make_attribute("alpha", [1.0, 2.0])], "culprit.*alpha"),
    ("a tensor for a float", [helper.make_attribute("alpha", W)], "culprit.*alpha"),
    ("twice", [helper.make_attribute("alpha", 0.1), helper.make_attribute("alpha", 0.2)], "culprit.*alpha"),
    ("no name", [A(type=A.FLOAT, f=1)], "culprit.*attribute"),
    ("a type of 99", [A.FromString(field(1, "alpha") + field(20, 99))], "culprit.*alpha"),
    ("no type and no value", [A(name="alpha")], "culprit.*alpha"),
    ("a tensor that is not there", [A(name="alpha", type=A.TENSOR)], "culprit.*alpha"),
    ("a graph that is not there", [A(name="alpha", type=A.GRAPH)], "culprit.*alpha"),
    ("a type that is not there", [A(name="alpha", type=A.TYPE_PROTO)], "culprit.*alpha"),
    ("a reference outside of a function", [A(name="alpha", type=A.FLOAT, ref_attr_name="beta")], "culprit.*alpha.*beta"),
    ("one that the operator does not have", [helper.make_attribute("beta", 0.1)], "culprit.*beta"),
    ("a broken tensor", [A(name="alpha", type=A.TENSOR, t=tensor("t", FLOAT, [2, -1]))], "culprit.*alpha"),
    ("tensors with one that overflows", [A(name="alpha", type=A.TENSORS, tensors=[tensor("t", FLOAT, [1 << 40, 1 << 40])])],
     "culprit.*alpha"),
]:
    case("attribute: " + text, INVALID, pattern, leaky(*attributes))


# ---- functions ----
def function(name, inputs, outputs, nodes, **options):
    return helper.make_function("local", name, inputs, outputs, nodes, [helper.make_opsetid("", 21), helper.make_opsetid("local", 1)],
                                **options)


def call(name, inputs=("x",), outputs=("y",), **attributes):
    return node(name, list(inputs), list(outputs), domain="local", **attributes)


def with_functions(functions, *nodes):
    return of_nodes(*nodes, functions=functions, domains=["local"])


identity = function("F", ["a"], ["b"], [node("Identity", ["a"], ["b"], name="body")])
unnamed = function("", ["a"], ["b"], [node("Identity", ["a"], ["b"])])
for text, made, pattern in [
    ("calls itself", with_functions([function("F", ["a"], ["b"], [call("F", ["a"], ["b"])])], call("F")), "culprit.*itself"),
    ("calls itself by way of another", with_functions([function("F", ["a"], ["b"], [call("G", ["a"], ["b"])]), function(
        "G", ["a"], ["b"], [call("F", ["a"], ["b"])])], call("F")), "culprit.*itself"),
    ("calls itself in a branch", with_functions([function("F", ["a"], ["b"], [node("If", ["a"], ["b"], then_branch=graph(
        [call("F", ["a"], ["r"])], outputs=["r"]), else_branch=graph([call("F", ["a"], ["r"])], outputs=["r"]))])], call("F")),
     "culprit.*itself"),
    ("defined twice", with_functions([identity, identity], call("F")), "'F'.*twice"),
    ("no name", with_functions([unnamed], call("F")), "function"),
    ("too many inputs", with_functions([identity], call("F", ["x", "x"])), "culprit.*inputs"),
    ("too many outputs", with_functions([identity], call("F", ["x"], ["y", "z"])), "culprit.*outputs"),
    ("an input twice", with_functions([function("F", ["a", "a"], ["b"], [node("Identity", ["a"], ["b"])])], call("F", ["x", "x"])),
     "culprit.*'a' twice"),
    ("an output that no node makes", with_functions([function("F", ["a"], ["b"], [])], call("F")), "culprit.*output 0|culprit.*each"),
    ("a value that two nodes make", with_functions([function("F", ["a"], ["b"], [node("Relu", ["a"], ["b"]), node("Neg", ["a"], ["b"])])],
                                                   call("F")), "culprit.*once"),
    ("reads what it does not have", with_functions([function("F", ["a"], ["b"], [node("Add", ["a", "x"], ["b"], name="body")])], call("F")),
     "culprit.*'x'"),
    ("an attribute of another type", with_functions([function("F", ["a"], ["b"], [(lambda n: (n.attribute.append(A(
        name="alpha", type=A.FLOAT, ref_attr_name="s")), n)[1])(node("LeakyRelu", ["a"], ["b"], name="body"))], attributes=["s"])],
        call("F", s="text")), "culprit.*alpha|culprit.*'s'"),
]:
    case("function: " + text, INVALID, pattern, made)


def bomb(levels, width):
    """Every function calls the next one `width` times."""
    functions = []
    for level in range(levels):
        name = f"F{level + 1}" if level + 1 < levels else None
        nodes = [call(name, [f"v{i}" if i else "a"], [f"v{i + 1}"]) if name else node("Relu", [f"v{i}" if i else "a"], [f"v{i + 1}"])
                 for i in range(width)]
        functions.append(function(f"F{level}", ["a"], [f"v{width}"], nodes))
    return with_functions(functions, call("F0"))


case("function: 2^40 nodes", LIMIT, "culprit.*(nodes|grow|memory)", bomb(40, 2))
case("function: 10^30 nodes", LIMIT, "culprit.*(nodes|grow|memory)", bomb(30, 10))
case("function: 1,000^8 nodes", LIMIT, "culprit.*(nodes|grow|memory)", bomb(8, 1000))
case("function: calls nested 100 deep", LIMIT, "culprit.*64 deep", bomb(100, 1))
case("odd: calls nested 60 deep", OK, "", bomb(60, 1))
case("odd: a function nobody calls calls itself", OK, "", with_functions([function("F", ["a"], ["b"], [call("F", ["a"], ["b"])])],
                                                                          relu_of_x))


# ---- subgraphs ----
def branches(then_branch, else_branch=None, outputs=("y",), condition="c", constants=(TRUE,), inputs=(X,)):
    attributes = {"then_branch": then_branch}
    if else_branch:
        attributes["else_branch"] = else_branch
    return of_nodes(node("If", [condition], list(outputs), **attributes), inputs=inputs, outputs=outputs, initializers=constants)


good_branch = graph([node("Relu", ["x"], ["r"], name="inner")], outputs=["r"], name="branch")
two_outputs = graph([node("Relu", ["x"], ["r"], name="inner"), node("Neg", ["x"], ["q"], name="other")], outputs=["r", "q"])


def deep(levels):
    """By hand, as protobuf's own library refuses to nest further than 100 messages."""
    negative = graph([node("Neg", ["x"], ["q"])], outputs=["q"]).SerializeToString()
    inner = graph([node("Relu", ["x"], ["r"], name="innermost")], outputs=["r"]).SerializeToString()
    for level in range(levels):
        name = "r" if level + 1 < levels else "y"
        choose = field(1, "c") + field(2, name) + field(4, "If")
        for attribute_name, branch in (("then_branch", inner), ("else_branch", negative)):
            choose += field(5, field(1, attribute_name) + field(6, branch) + field(20, 5))
        inner = field(1, choose) + field(2, "g") + field(12, field(1, name))
    return raw_model(inner + field(5, TRUE.SerializeToString()) + field(11, X.SerializeToString()))


for text, made, pattern in [
    ("no else_branch", branches(good_branch), "culprit.*else_branch"),
    ("a branch that is an integer", branches(1, good_branch), "culprit.*then_branch"),
    ("branches of different lengths", branches(two_outputs, good_branch), "culprit"),
    ("more outputs than the branches", branches(good_branch, good_branch, outputs=["y", "z"]), "culprit.*output"),
    ("a branch with inputs", branches(graph([node("Relu", ["i"], ["r"])], [X, info("i")], ["r"]), good_branch), "culprit|'x'.*twice"),
    ("a branch that reads what is nowhere", branches(graph([node("Relu", ["nowhere"], ["r"], name="inner")], outputs=["r"]), good_branch),
     "nowhere"),
    ("a branch whose output is nowhere", branches(graph([], outputs=["nowhere"]), good_branch), "nowhere"),
    ("a condition of two elements", branches(good_branch, good_branch, constants=[numpy_helper.from_array(np.array([True, False]), "c")]),
     "culprit"),
    ("a condition without elements", branches(good_branch, good_branch, constants=[numpy_helper.from_array(np.zeros(0, bool), "c")]),
     "culprit"),
    ("an If that reads its own output", of_nodes(node("If", ["c"], ["y"], then_branch=graph([node("Relu", ["y"], ["r"])], outputs=["r"]),
                                                      else_branch=good_branch), initializers=[TRUE]), "culprit|'y'"),
    ("a branch that refers to a node behind", of_nodes(
        node("If", ["c"], ["t"], then_branch=graph([node("Relu", ["y"], ["r"])], outputs=["r"]), else_branch=good_branch),
        node("Relu", ["t"], ["y"], name="n"), initializers=[TRUE]), "culprit|'n'|'y'"),
]:
    case("subgraph: " + text, INVALID, pattern, made)
case("subgraph: a condition that is float", UNSUPPORTED, "culprit.*type float",
     branches(good_branch, good_branch, constants=[numpy_helper.from_array(floats(1), "c")]))
case("odd: a branch that uses an outer name again", OK, "",
     branches(graph([node("Relu", ["x"], ["y"], name="inner")], outputs=["y"]), good_branch))
case("odd: a function that imports no domain", OK, "", with_functions(
    [helper.make_function("local", "F", ["a"], ["b"], [node("Relu", ["a"], ["b"], name="body")], [])], call("F")))
case("subgraph: nested 80 deep", INVALID, "nest too deep", deep(80))
case("subgraph: nested 33 deep", INVALID, "nest too deep", deep(33))
case("odd: subgraphs nested 20 deep", OK, "", deep(20))

# ---- functions whose parts do not fit, attributes and types that are rarely seen ----
def referring(name="alpha", to="s", kind=A.FLOAT, op_type="LeakyRelu"):
    """A node of a function's body whose attribute is the function's."""
    made = node(op_type, ["a"], ["b"], name="body")
    made.attribute.append(A(name=name, type=kind, ref_attr_name=to))
    return made


handed = graph([node("Relu", ["x"], ["r"])], outputs=["r"])
inner = graph([node("If", ["a"], ["r"], name="deep"), ], outputs=["r"])
for name in ("then_branch", "else_branch"):
    inner.node[0].attribute.append(A(name=name, type=A.GRAPH, ref_attr_name="g"))
for text, made, pattern, code in [
    ("a default that is a reference", with_functions([function("F", ["a"], ["b"], [referring()], attribute_protos=[A(name="s", type=A.FLOAT, ref_attr_name="t")])], call("F")),
     "culprit.*'s'.*reference", INVALID),
    ("a reference outside of functions", with_functions([function("F", ["a"], ["b"], [referring()], attributes=["s"])], call(
        "F", s=A(name="s", type=A.FLOAT, ref_attr_name="t"))), "culprit.*attribute 's'.*outside of a function", INVALID),
    ("an output that is an input which is left out", with_functions([function("F", ["a"], ["a"], [])], call("F", [])), "culprit.*output 0", INVALID),
    ("an input without a name", with_functions([function("F", [""], ["b"], [node("Relu", [""], ["b"])])], call("F")), "culprit.*without a name", INVALID),
    ("a graph that is handed on into a graph", with_functions([function("F", ["a"], ["b"], [node(
        "If", ["a"], ["b"], name="body", then_branch=inner, else_branch=inner)], attributes=["g"])], call("F", g=handed)), "culprit.*handed to a function", UNSUPPORTED)]:
    case("function: " + text, code, pattern, made)
case("odd: a function of no version that hands its input on", OK, "", with_functions([helper.make_function("local", "F", ["a"], ["a"], [], [])], call("F")))
case("odd: a function that hands its input on", OK, "", with_functions([function("F", ["a"], ["a"], [])], call("F")))
case("odd: a default that is not wanted", OK, "", with_functions([function("F", ["a"], ["b"], [referring()], attribute_protos=[A(name="t", type=A.FLOAT, f=1.0), A(
    name="s", type=A.FLOAT, f=0.5)])], call("F")))
case("attribute: a graph for a constant", INVALID, "", of_nodes(node("Constant", [], ["c"], value=handed), node("Add", ["x", "c"], ["y"], name="add")))
many = node("Relu", ["x"], ["y"])
many.attribute.extend(A(name=f"a{i}", type=A.INT, i=1) for i in range(1025))
case("attribute: 1,025 of them", LIMIT, "culprit", of_nodes(many))
for number in (15, 99, -1, MIN32):
    wrong = field(1, field(1, "x") + field(2, "y") + field(3, "culprit") + field(4, "Relu") + field(5, field(1, "a") + field(20, number)))
    case(f"attribute: type {number}", INVALID, "culprit", raw_model(wrong + field(2, "g") + field(11, field(1, "x")) + field(12, field(1, "y"))))
shift = node("BitShift", ["x", "x"], ["y"])
shift.attribute.append(A(name="direction", s=b"LEFT"))
case("odd: an attribute of bytes without a type", OK, "", model(graph([shift], [info("x", UINT8, [2])])))
slope = node("LeakyRelu", ["x"], ["y"])
slope.attribute.append(A(name="alpha", f=0.5))
case("odd: an attribute of a float without a type", OK, "", of_nodes(slope))
for text, value_type, code in [("sparse tensor", onnx.TypeProto(sparse_tensor_type=onnx.TypeProto.SparseTensor(elem_type=FLOAT)), OK),
                               ("sparse tensor of no type", onnx.TypeProto(sparse_tensor_type=onnx.TypeProto.SparseTensor(elem_type=99)), INVALID),
                               ("nothing", onnx.TypeProto(), OK)]:
    made = model(graph([node("Relu", ["x"], ["r"])], [info("x", FLOAT, [2])], ["y"]))
    made.graph.node.append(node("Abs", ["r"], ["y"], name="abs"))
    made.graph.value_info.append(onnx.ValueInfoProto(name="r", type=value_type))
    made.graph.value_info.append(onnx.ValueInfoProto(name="r", type=value_type))
    made.graph.value_info.append(onnx.ValueInfoProto())
    made.graph.value_info.append(onnx.ValueInfoProto(name="unheard of"))
    case(f"{'odd' if code == OK else 'type'}: a value declared as " + text, code, "", made)
opaque = field(1, "r") + field(2, field(7, field(1, "d") + field(2, "n")))
case("type: an opaque value", UNSUPPORTED, "opaque", raw_model(
    field(1, field(1, "x") + field(2, "r") + field(4, "Relu")) + field(1, field(1, "r") + field(2, "y") + field(4, "Abs")) + field(2, "g") + field(11, field(1, "x")) +
    field(12, field(1, "y")) + field(13, opaque)))
twice = relu()
twice.opset_import.append(helper.make_opsetid("", 21))
case("odd: an operator set imported twice", OK, "", twice)
other = relu()
other.opset_import.append(helper.make_opsetid("ai.onnx", 20))
case("opset: two versions of one domain", INVALID, "version", other)
old = relu(ir_version=2)
del old.opset_import[:]
case("odd: IR version 2 without operator sets", OK, "", old)
noname = relu()
noname.graph.name = ""
case("odd: a graph without a name", OK, "", noname)
