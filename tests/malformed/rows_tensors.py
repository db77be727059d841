"""Rows about constants: tensors that lie about their size or type, sparse tensors, and external data."""
import os

from models import *  # noqa: F403

RAW4 = floats(4).tobytes()

for text, constant, code, pattern in [
    ("raw data too short", tensor("w", FLOAT, [4], raw_data=RAW4[:-1]), INVALID, "'w'"),
    ("raw data too long", tensor("w", FLOAT, [4], raw_data=RAW4 + b"\0"), INVALID, "'w'"),
    ("no data at all", tensor("w", FLOAT, [4]), INVALID, "'w'"),
    ("a negative size", tensor("w", FLOAT, [-4], raw_data=RAW4), INVALID, "'w'"),
    ("two negative sizes", tensor("w", FLOAT, [-2, -2], raw_data=RAW4), INVALID, "'w'"),
    ("a size of MIN", tensor("w", FLOAT, [MIN64], raw_data=RAW4), INVALID, "'w'"),
    ("a size of MAX", tensor("w", FLOAT, [MAX64], raw_data=RAW4), INVALID, "'w'"),
    ("2^62 elements", tensor("w", FLOAT, [1 << 62], raw_data=RAW4), INVALID, "'w'"),
    ("sizes whose product is 4 modulo 2^64", tensor("w", FLOAT, [1 << 62, 1 << 62, 4], raw_data=RAW4), INVALID, "'w'"),
    ("sizes whose product is 0 modulo 2^64", tensor("w", FLOAT, [1 << 32, 1 << 32], raw_data=b""), INVALID, "'w'"),
    ("bytes whose product is 16 modulo 2^64", tensor("w", FLOAT, [(1 << 62) + 4], raw_data=RAW4), INVALID, "'w'"),
    ("a zero among huge sizes", tensor("w", FLOAT, [1 << 62, 1 << 62, 0], raw_data=b""), INVALID, "'w'"),
    ("a terabyte without data", tensor("w", FLOAT, [1 << 38]), INVALID, "'w'"),
    ("17 dimensions", tensor("w", FLOAT, [1] * 17, raw_data=RAW4[:4]), UNSUPPORTED, "'w'"),
    ("100,000 dimensions", tensor("w", FLOAT, [1] * 100000, raw_data=RAW4[:4]), UNSUPPORTED, "'w'"),
    ("element type 0", tensor("w", 0, [4], raw_data=RAW4), INVALID, "'w'"),
    ("element type 99", tensor("w", 99, [4], raw_data=RAW4), INVALID, "'w'"),
    ("element type -1", TensorProto.FromString(field(1, 4) + field(2, -1) + field(8, "w") + field(9, RAW4)), INVALID, "'w'"),
    ("too few of float_data", tensor("w", FLOAT, [4], float_data=[1, 2, 3]), INVALID, "'w'"),
    ("too many of float_data", tensor("w", FLOAT, [4], float_data=[1] * 5), INVALID, "'w'"),
    ("int64_data for floats", tensor("w", FLOAT, [4], int64_data=[1] * 4), INVALID, "'w'"),
    ("float_data for integers", tensor("w", INT64, [4], float_data=[1] * 4), INVALID, "'w'"),
    ("strings as raw data", tensor("w", STRING, [4], raw_data=b"abcd"), INVALID, "'w'"),
    ("too few strings", tensor("w", STRING, [4], string_data=[b"a"]), INVALID, "'w'"),
    ("int4 with too few bytes", tensor("w", TensorProto.INT4, [4], raw_data=b"a"), INVALID, "'w'"),
    ("int4 with too many bytes", tensor("w", TensorProto.INT4, [4], raw_data=b"abc"), INVALID, "'w'"),
    ("complex with half an element", tensor("w", TensorProto.COMPLEX64, [2], raw_data=RAW4[:12]), INVALID, "'w'"),
    ("complex with odd float_data", tensor("w", TensorProto.COMPLEX64, [2], float_data=[1, 2, 3]), INVALID, "'w'"),
    ("segments", tensor("w", FLOAT, [4], float_data=[1] * 3, segment=TensorProto.Segment(begin=0, end=4)), UNSUPPORTED, "'w'"),
]:
    case("tensor: " + text, code, pattern, with_constant(constant))
case("odd: both raw and typed data", OK, "", with_constant(tensor("w", FLOAT, [4], raw_data=RAW4, float_data=[1] * 4)))
case("odd: a tensor without elements", OK, "", model(graph([node("Add", ["x", "w"], ["y"])], [info("x", FLOAT, [0, 4])], ["y"], [
    tensor("w", FLOAT, [0, 4])])))
case("odd: bools that are neither 0 nor 1", OK, "", model(graph([node("Not", ["w"], ["y"])], [], ["y"], [
    tensor("w", BOOL, [4], raw_data=b"\0\1\2\xff")])))
case("odd: floats that do not lie aligned", OK, "", with_constant(tensor("wwwww"[:1], FLOAT, [4], raw_data=RAW4)))


# ---- sparse ----
def sparse(values, indices, dims, name="w"):
    made = with_constant(numpy_helper.from_array(floats(4), "unused"))
    del made.graph.initializer[:]
    given = onnx.SparseTensorProto(dims=dims)
    if values is not None:
        given.values.CopyFrom(values)
        given.values.name = name
    if indices is not None:
        given.indices.CopyFrom(indices)
    made.graph.sparse_initializer.append(given)
    return made


two = numpy_helper.from_array(floats(2))
for text, made, code, pattern in [
    ("an index past the end", sparse(two, numpy_helper.from_array(ints(0, 4)), [4]), INVALID, "'w'"),
    ("a negative index", sparse(two, numpy_helper.from_array(ints(0, -1)), [4]), INVALID, "'w'"),
    ("an index of MIN", sparse(two, numpy_helper.from_array(ints(0, MIN64)), [4]), INVALID, "'w'"),
    ("more values than indices", sparse(two, numpy_helper.from_array(ints(0)), [4]), INVALID, "'w'"),
    ("indices of the wrong width", sparse(two, numpy_helper.from_array(np.zeros((2, 3), np.int64)), [4]), INVALID, "'w'"),
    ("indices of rank 3", sparse(two, numpy_helper.from_array(np.zeros((2, 1, 1), np.int64)), [4]), INVALID, "'w'"),
    ("float indices", sparse(two, numpy_helper.from_array(floats(2)), [4]), INVALID, "'w'"),
    ("int32 indices", sparse(two, numpy_helper.from_array(np.zeros(2, np.int32)), [4]), INVALID, "'w'"),
    ("values of rank 2", sparse(numpy_helper.from_array(floats(2, 1)), numpy_helper.from_array(ints(0, 1)), [4]), INVALID, "'w'"),
    ("a coordinate past its axis", sparse(two, numpy_helper.from_array(np.array([[0, 0], [0, 5]])), [4, 4]), INVALID, "'w'"),
    ("no indices", sparse(two, None, [4]), INVALID, "'w'"),
    ("no values", sparse(None, numpy_helper.from_array(ints(0, 1)), [4]), INVALID, "initializer"),
    ("a terabyte", sparse(two, numpy_helper.from_array(ints(0, 1)), [1 << 38]), LIMIT, "'w'"),
    ("sizes that overflow", sparse(two, numpy_helper.from_array(ints(0, 1)), [1 << 40, 1 << 40]), INVALID, "'w'"),
    ("a negative size", sparse(two, numpy_helper.from_array(ints(0, 1)), [-4]), INVALID, "'w'"),
    ("40 dimensions", sparse(two, numpy_helper.from_array(ints(0, 1)), [1] * 40), UNSUPPORTED, "'w'"),
    ("strings", sparse(tensor("", STRING, [1], string_data=[b"a"]), numpy_helper.from_array(ints(0)), [4]), UNSUPPORTED, "'w'"),
    ("values that lie", sparse(tensor("", FLOAT, [2], raw_data=b"ab"), numpy_helper.from_array(ints(0, 1)), [4]), INVALID, "'w'"),
    ("indices that lie", sparse(two, tensor("", INT64, [2], raw_data=b"ab"), [4]), INVALID, "'w'"),
    ("no size at all", sparse(two, numpy_helper.from_array(ints(0, 1)), []), INVALID, "'w'"),
]:
    case("sparse: " + text, code, pattern, made)
case("odd: sparse indices out of order and twice", OK, "", sparse(two, numpy_helper.from_array(ints(3, 3)), [4]))


# ---- external data ----
def external(*entries, name="w", dims=(4,), dtype=FLOAT, size=16):
    """A model whose constant lies in a file; entries are pairs, and 'data' of `size` bytes is there."""
    given = tensor(name, dtype, list(dims), data_location=TensorProto.EXTERNAL)
    for key, value in entries:
        given.external_data.add(key=key, value=value)

    def make(folder):
        with open(os.path.join(folder, "data"), "wb") as file:
            file.write(bytes(size))
        return with_constant(given)
    return make


def with_files(made, prepare):
    def make(folder):
        result = made(folder)
        prepare(folder)
        return result
    return make


def link(target, name):
    return lambda folder: os.symlink(target, os.path.join(folder, name))


def outside(folder):
    """A file beside the model's folder, a link to it within, and a folder that leads out."""
    with open(os.path.join(os.path.dirname(folder), "outside"), "wb") as file:
        file.write(bytes(16))
    os.symlink("../outside", os.path.join(folder, "linked"))
    os.symlink("..", os.path.join(folder, "up"))


def loop(folder):
    os.symlink("b", os.path.join(folder, "a"))
    os.symlink("a", os.path.join(folder, "b"))


D = ("location", "data")
for text, made, code, pattern in [
    ("no location", external(("offset", "0")), INVALID, "'w'.*location"),
    ("an empty location", external(("location", "")), INVALID, "'w'.*location"),
    ("a file that is not there", external(("location", "nowhere")), IO, "'w'.*'nowhere'"),
    ("an absolute path", external(("location", "/etc/passwd")), INVALID, "'w'.*passwd.*outside"),
    ("a path upwards", external(("location", "../../../../etc/passwd")), INVALID, "'w'.*passwd.*outside"),
    ("a path down and up", external(("location", "a/../../x")), IO, "'w'"),
    ("a link out of the folder", with_files(external(("location", "linked")), outside), INVALID, "'w'.*linked.*external-data-root"),
    ("a folder that leads out", with_files(external(("location", "up/outside")), outside), INVALID, "'w'.*up/outside.*external-data-root"),
    ("an absolute link", with_files(external(("location", "l")), link("/etc/passwd", "l")), INVALID, "'w'.*'l'.*external-data-root"),
    ("links in a circle", with_files(external(("location", "a")), loop), INVALID, "'w'.*'a'"),
    ("a folder", with_files(external(("location", "f")), lambda f: os.mkdir(os.path.join(f, "f"))), IO, "'w'.*'f'.*regular"),
    ("the folder itself", external(("location", ".")), IO, "'w'.*regular"),
    ("a pipe", with_files(external(("location", "p")), lambda f: os.mkfifo(os.path.join(f, "p"))), IO, "'w'.*'p'.*regular"),
    ("a device", external(("location", "/dev/zero")), INVALID, "'w'.*zero"),
    ("its own process", external(("location", "/proc/self/mem")), INVALID, "'w'.*mem"),
    ("a name of 5,000 letters", external(("location", "n" * 5000)), IO, "'w'"),
    ("a path of 5,000 folders", external(("location", "d/" * 5000 + "x")), IO, "'w'"),
    ("an empty file", with_files(external(("location", "e")), lambda f: open(os.path.join(f, "e"), "w").close()), INVALID, "'w'.*'e'"),
    ("a file too short", external(D, size=15), INVALID, "'w'.*'data'"),
    ("an offset at the end", external(D, ("offset", "16")), INVALID, "'w'.*'data'"),
    ("an offset past the end", external(D, ("offset", "17")), INVALID, "'w'.*'data'"),
    ("an offset of 2^64 - 16", external(D, ("offset", str((1 << 64) - 16))), INVALID, "'w'.*'data'"),
    ("an offset of 2^64", external(D, ("offset", str(1 << 64))), INVALID, "'w'.*offset"),
    ("a negative offset", external(D, ("offset", "-1")), INVALID, "'w'.*offset"),
    ("an offset of letters", external(D, ("offset", "0x10")), INVALID, "'w'.*offset"),
    ("an empty offset", external(D, ("offset", "")), INVALID, "'w'.*offset"),
    ("an offset with a blank", external(D, ("offset", " 0")), INVALID, "'w'.*offset"),
    ("a length too small", external(D, ("length", "15")), INVALID, "'w'.*length"),
    ("a length too large", external(D, ("length", "17")), INVALID, "'w'.*length"),
    ("a length of 2^64", external(D, ("length", str(1 << 64))), INVALID, "'w'.*length"),
    ("a terabyte in a small file", external(D, dims=(1 << 38,)), INVALID, "'w'.*'data'"),
    ("sizes that overflow", external(D, dims=(1 << 40, 1 << 40)), INVALID, "'w'"),
    ("strings", external(D, dtype=STRING), INVALID, "'w'.*strings"),
    ("a location that is no UTF-8", external(("location", "caf\u00e9\n")), IO, "'w'"),
]:
    case("external: " + text, code, pattern, made)


def attribute_outside(folder):
    given = tensor("t", FLOAT, [4], data_location=TensorProto.EXTERNAL)
    given.external_data.add(key="location", value="../secret")
    return model(graph([node("Constant", [], ["y"], value=given)]))


def sparse_outside(folder):
    given = tensor("", FLOAT, [2], data_location=TensorProto.EXTERNAL)
    given.external_data.add(key="location", value="/etc/passwd")
    return sparse(given, numpy_helper.from_array(ints(0, 1)), [4])


case("external: an attribute's tensor outside", INVALID, "culprit.*secret.*outside", attribute_outside)
case("external: a sparse tensor's values outside", INVALID, "'w'.*passwd.*outside", sparse_outside)
case("odd: a link within the folder", OK, "", with_files(external(("location", "l")), link("data", "l")))
case("odd: a link that an option allows", OK, "", with_files(external(("location", "linked")), outside), "--external-data-root", "..")
case("odd: external data of no elements", OK, "", lambda folder: model(graph([node("Identity", ["w"], ["y"])], [], ["y"], [
    external(("location", "nowhere"), dims=(0,))(folder).graph.initializer[0]])))
case("external: the option's folder is another", INVALID, "'w'.*linked", with_files(external(("location", "linked")), outside),
     "--external-data-root", "/usr")
