"""What the tables of malformed models are made with: models of one node, graphs, and serialized protobuf by hand."""
import numpy as np
import onnx
from onnx import AttributeProto, TensorProto, helper, numpy_helper

OK, UNSUPPORTED, INVALID, BAD_INPUT, LIMIT, IO, CANCELLED = 0, 3, 4, 5, 6, 7, 130
FLOAT, INT64, INT32, BOOL, STRING, UINT8, INT8, DOUBLE = (
    TensorProto.FLOAT, TensorProto.INT64, TensorProto.INT32, TensorProto.BOOL, TensorProto.STRING, TensorProto.UINT8,
    TensorProto.INT8, TensorProto.DOUBLE)
MIN64, MAX64, MIN32 = -(1 << 63), (1 << 63) - 1, -(1 << 31)

TABLE = []   # rows of case()


def case(name, code, pattern, model, *options, files=None, long=False):
    """A row: name, expected exit code, a pattern its line has (with the culprit's name), the model (ModelProto or bytes; or
    a function of the folder that writes files and returns the model), and further options of the command."""
    assert name not in {row["name"] for row in TABLE}, name
    TABLE.append({"name": name, "code": code, "pattern": pattern, "model": model, "options": options, "long": long})


def op_case(name, pattern, model, code=INVALID):
    """A row for a node that model() calls 'culprit': its line names that node."""
    case("op: " + name, code, "culprit.*" + pattern, model)


def ints(*values):
    return np.array(values, np.int64)


def floats(*shape, value=0.5):
    return np.full(shape, value, np.float32)


class of:
    """A graph input of an element type and shape; a plain tuple means float."""
    def __init__(self, dtype, *shape):
        self.dtype, self.shape = dtype, shape


def info(name, dtype=FLOAT, shape=None):
    return helper.make_tensor_value_info(name, dtype, shape)


def untyped(name):
    return onnx.ValueInfoProto(name=name)


def attribute(name, value):
    """An attribute of whatever value: helper's, a ready AttributeProto, or an empty list of integers."""
    if isinstance(value, AttributeProto):
        return value
    if isinstance(value, list) and not value:
        return AttributeProto(name=name, type=AttributeProto.INTS)
    return helper.make_attribute(name, value)


def node(op_type, inputs, outputs, domain="", name="culprit", **attributes):
    made = onnx.NodeProto(op_type=op_type, input=inputs, output=outputs, name=name, domain=domain)
    made.attribute.extend(attribute(k.rstrip("_"), v) for k, v in attributes.items())
    return made


def graph(nodes, inputs=(), outputs=("y",), initializers=(), name="graph"):
    """inputs: ValueInfos; outputs: names or ValueInfos; initializers: TensorProtos."""
    made = onnx.GraphProto(name=name)
    made.node.extend(nodes)
    made.input.extend(inputs)
    made.output.extend(o if isinstance(o, onnx.ValueInfoProto) else untyped(o) for o in outputs)
    made.initializer.extend(initializers)
    return made


def model(made, opset=21, functions=(), domains=(), ir_version=10):
    result = onnx.ModelProto(ir_version=ir_version, producer_name="malformed", graph=made)
    result.opset_import.append(helper.make_opsetid("", opset))
    result.opset_import.extend(helper.make_opsetid(d, 1) for d in domains)
    result.functions.extend(functions)
    return result


def op(op_type, inputs, n_outputs=1, opset=21, domain="", **attributes):
    """A model of one node 'culprit' with inputs x0, x1, ...: tuples and of() are graph inputs, arrays are constants, None is
    left out."""
    names, infos, constants = [], [], []
    for i, value in enumerate(inputs):
        names.append("" if value is None else f"x{i}")
        if isinstance(value, tuple):
            infos.append(info(f"x{i}", FLOAT, value))
        elif isinstance(value, of):
            infos.append(info(f"x{i}", value.dtype, value.shape))
        elif isinstance(value, TensorProto):
            constants.append(value)
        elif value is not None:
            constants.append(numpy_helper.from_array(np.asarray(value), f"x{i}"))
    outputs = ["y"] + [f"y{i}" for i in range(1, n_outputs)]
    return model(graph([node(op_type, names, outputs, domain, **attributes)], infos, outputs, constants), opset,
                 domains=[domain] if domain else [])


def tensor(name, dtype, dims, **fields):
    """A TensorProto that may lie about itself."""
    return TensorProto(name=name, data_type=dtype, dims=dims, **fields)


def relu(**options):
    return model(graph([node("Relu", ["x"], ["y"])], [info("x", FLOAT, ["N", 3])]), **options)


def with_constant(constant):
    """y = x + w where w is the constant in question."""
    return model(graph([node("Add", ["x", "w"], ["y"], name="add")], [info("x", FLOAT, [1, 4])], ["y"], [constant]))


# ---- serialized protobuf by hand ----

def varint(value):
    value &= (1 << 64) - 1
    out = bytearray()
    while value > 127:
        out.append(value & 127 | 128)
        value >>= 7
    out.append(value)
    return bytes(out)


def field(number, content, wire=None):
    """A field: bytes and str with their length, numbers as varints; wire overrides the wire type alone."""
    if isinstance(content, str):
        content = content.encode()
    if isinstance(content, int):
        return varint(number << 3 | (0 if wire is None else wire)) + varint(content)
    if wire is None or wire == 2:
        return varint(number << 3 | 2) + varint(len(content)) + content
    return varint(number << 3 | wire) + content


OPSET = field(8, field(2, 21))


def raw_model(graph_bytes, rest=OPSET):
    return field(1, 10) + field(7, graph_bytes) + rest


RAW_NODE = field(1, field(1, "x") + field(2, "y") + field(4, "Relu"))
RAW_GRAPH = RAW_NODE + field(2, "g") + field(11, field(1, "x")) + field(12, field(1, "y"))
