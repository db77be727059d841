"""Values that are no plain tensors of floats: sequences, optionals, maps, strings, complex and narrow numbers are compared, hashed
and shown, from and to files."""
import json
import subprocess

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from conftest import INGOT, identity

A, B = np.float32([[1, 2], [3, 4]]), np.float32([5])


def sequence_model(path, optional=False):
    """y = Identity(x) of a sequence of floats, or of an optional one."""
    tensor = helper.make_tensor_type_proto(TensorProto.FLOAT, None)
    kind = helper.make_optional_type_proto(tensor) if optional else helper.make_sequence_type_proto(tensor)
    graph = helper.make_graph([helper.make_node("Identity", ["x"], ["y"])], "g", [helper.make_value_info("x", kind)], [helper.make_value_info("y", kind)])
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), path)
    return path


def proto(value):
    """As it lies in a dump: a list is a sequence, a one-tuple an optional with something in it, an empty one without."""
    if isinstance(value, list):
        return numpy_helper.from_list(value, "x")
    if isinstance(value, tuple):
        made = numpy_helper.from_optional(value[0] if value else None, "x")
        made.elem_type = onnx.OptionalProto.TENSOR
        return made
    return numpy_helper.from_array(value, "x")


def save_dump(folder, given, wanted):
    folder.mkdir(exist_ok=True)
    for name, value in (("input_0", given), ("output_0", wanted)):
        (folder / f"{name}.pb").write_bytes((value if hasattr(value, "SerializeToString") else proto(value)).SerializeToString())
    return folder


SEQUENCE = [A, B]
OBJECTS = np.array(["one", "two"], object)
COMPLEX = np.complex64([1 + 2j, 3 - 1j])


@pytest.mark.parametrize("given, wanted, words", [
    (SEQUENCE, SEQUENCE, None), (SEQUENCE, [A, B + 1], ["item 1"]), (SEQUENCE, [A + 1, B + 1], ["item 0"]), (SEQUENCE, [A], ["sequence"]),
    (SEQUENCE, [A, A], ["item 1", "[1]", "[2,2]"]), (SEQUENCE, [np.int64([[1, 2], [3, 4]]), np.int64([5])], ["item 0", "int64"]), ((A,), (A,), None), ((A,), (A + 1,), []), ((A,), (), ["empty"]),
    ((), (), None), ((), (A,), ["empty"]), (OBJECTS, OBJECTS, None), (OBJECTS, np.array(["one", "tw"], object), ["two", "tw"]),
    (OBJECTS, np.array(["one", "tvo"], object), ["tvo"]), (COMPLEX, COMPLEX, None), (COMPLEX, COMPLEX + np.complex64(1e-9j), None),
    (COMPLEX, COMPLEX * np.complex64(1j), ["2"]), (COMPLEX, np.complex64([1 + 2j, np.nan]), ["nan"]), (np.complex128([np.nan]), np.complex128([np.nan]), None)])
def test_values_are_compared(ingot, tmp_path, given, wanted, words):
    path = tmp_path / "model.onnx"
    if isinstance(given, np.ndarray):
        identity(path, TensorProto.STRING if given.dtype == object else helper.np_dtype_to_tensor_dtype(given.dtype), [None])
    else:
        sequence_model(path, isinstance(given, tuple))
    dump = save_dump(tmp_path / "dump", given, wanted)
    done = ingot("verify", path, dump)
    assert done.code == (words is not None) and not done.err, done.out + done.err
    assert all(word in done.out for word in words or ["agree"]), done.out
    report = json.loads(ingot("verify", path, dump, "--json").out)
    assert report["outputs"][0]["agrees"] == (words is None)
    hashes = [ingot("run", path, "--input", dump / f"{name}.pb", "--checksum", "--quiet") for name in ("input_0", "output_0")]
    if hashes[1].code == 0:
        assert (hashes[0].out == hashes[1].out) == (proto(given) == proto(wanted))
    if isinstance(given, (list, tuple)):
        assert ingot("run", path, "--input", dump / "input_0.pb", "--output-dir", tmp_path / "out", "--format", "pb").code == 0
        assert ingot("verify", path, save_dump(tmp_path / "again", given, proto(given))).code == 0


@pytest.fixture
def maps(ingot, tmp_path):
    """A model that makes a map of each row, and its output as a file."""
    def make(**labels):
        path = tmp_path / "maps.onnx"
        kind = TensorProto.STRING if "classlabels_strings" in labels else TensorProto.INT64
        graph = helper.make_graph([helper.make_node("ZipMap", ["x"], ["y"], domain="ai.onnx.ml", **labels)], "g",
                                  [helper.make_tensor_value_info("x", TensorProto.FLOAT, [2, 2])],
                                  [helper.make_value_info("y", helper.make_sequence_type_proto(helper.make_map_type_proto(
                                      kind, helper.make_tensor_type_proto(TensorProto.FLOAT, []))))])
        onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17), helper.make_opsetid("ai.onnx.ml", 3)], ir_version=8), path)
        np.save(tmp_path / "x.npy", A)
        done = ingot("run", path, "--input", tmp_path / "x.npy", "--output-dir", tmp_path / "out", "--format", "pb", "--checksum")
        assert done.code == 0, done.err
        return path, onnx.SequenceProto.FromString((tmp_path / "out" / "output_0.pb").read_bytes())
    return make


@pytest.mark.parametrize("labels", [{"classlabels_strings": ["cat", "dog"]}, {"classlabels_int64s": [7, 9]}])
@pytest.mark.parametrize("change, words", [
    (None, None), ("order", None), ("value", ["item 1", "key", "is 3, expected 3.5"]), ("key", ["is missing"]), ("fewer", ["expected"]), ("type", ["expected"])])
def test_maps_are_compared_by_key(ingot, maps, tmp_path, labels, change, words):
    path, made = maps(**labels)
    row = made.map_values[1]
    keys, values, is_text = row.string_keys or row.keys, row.values.tensor_values, bool(row.string_keys)
    assert len(made.map_values) == 2 and [numpy_helper.to_array(v).item() for v in values] == [3, 4]
    if change == "order":
        pairs = list(zip(keys, [onnx.TensorProto.FromString(v.SerializeToString()) for v in values]))[::-1]
        keys[:] = [k for k, _ in pairs]
        for place, (_, value) in zip(values, pairs):
            place.CopyFrom(value)
    elif change == "value":
        values[0].raw_data = np.float32(3.5).tobytes()
    elif change == "key":
        keys[1] = b"fox" if is_text else 8
    elif change == "fewer":
        del keys[1], values[1]
    elif change == "type":
        del keys[:]
        row.key_type = TensorProto.INT64 if is_text else TensorProto.STRING
        (row.keys if is_text else row.string_keys).extend([1, 2] if is_text else [b"a", b"b"])
    done = ingot("verify", path, save_dump(tmp_path / "dump", A, made))
    assert done.code == (words is not None) and not done.err, done.out + done.err
    assert all(word in done.out for word in words or ["agree"]), done.out


@pytest.mark.parametrize("name", ["FLOAT16", "BFLOAT16", "DOUBLE", "COMPLEX64", "COMPLEX128", "INT4", "UINT64", "BOOL", "FLOAT8E5M2"])
def test_inputs_of_every_type_are_made_up(ingot, tmp_path, name):
    """The same each time, and no NaN among them."""
    path = identity(tmp_path / "model.onnx", getattr(TensorProto, name), [300])
    done = [ingot("run", path, "--checksum", "--json") for _ in range(2)]
    assert done[0].code == 0 and done[0].out == done[1].out, done[0].err
    (output,) = json.loads(done[0].out)["outputs"]
    assert output["shape"] == [300] and not output.get("not_finite")


def test_long_values_are_cut(ingot, tmp_path):
    sequence = [np.float32([i]) for i in range(40)]
    (tmp_path / "x.pb").write_bytes(proto(sequence).SerializeToString())
    done = ingot("run", sequence_model(tmp_path / "model.onnx"), "--input", tmp_path / "x.pb")
    assert done.code == 0 and "sequence of 40" in done.out and "..." in done.out and done.out.count("\n") < 20
    (tmp_path / "x.pb").write_bytes(proto(()).SerializeToString())
    done = ingot("run", sequence_model(tmp_path / "model.onnx", True), "--input", tmp_path / "x.pb")
    assert done.code == 0 and "empty" in done.out


@pytest.mark.parametrize("name, shown", [
    (b"plain \xc3\xa9 \xe2\x82\xac \xf0\x9f\x98\x80", "plain \u00e9 \u20ac \U0001f600"), (b"\x1b[31m", r"\x1b[31m"), (b"a\x7fb", r"a\x7fb"), (b"\xc2\x85", r"\xc2\x85"),
    (b"\xe2\x80\xae", r"\xe2\x80\xae"), (b"\xe2\x80\xa8", r"\xe2\x80\xa8"), (b"\xe2\x81\xa6", r"\xe2\x81\xa6"), (b"\xff", r"\xff"), (b"\xc3", r"\xc3"), (b"\xc3(", r"\xc3("),
    (b"\xc0\xaf", r"\xc0\xaf"), (b"\xe0\x80\xaf", r"\xe0\x80\xaf"), (b"\xf0\x80\x80\xaf", r"\xf0\x80\x80\xaf"), (b"\xed\xa0\x80", r"\xed\xa0\x80"),
    (b"\xf4\x90\x80\x80", r"\xf4\x90\x80\x80"), (b"\xf5\x80\x80\x80", r"\xf5\x80\x80\x80"), (b"\xe2\x82", r"\xe2\x82"), (b"\xe2\x80\xb0", "\u2030")])
def test_names_are_shown_as_they_can_be(name, shown):
    """What is no UTF-8, and characters that control a terminal or turn the direction of text, are shown as bytes."""
    done = subprocess.run([INGOT, "run", b"no such " + name], capture_output=True, timeout=60)
    assert done.returncode == 7 and done.stderr.decode().startswith(f"ingot: no such {shown}: "), done.stderr


def test_long_lines_are_cut(ingot, relu):
    """Never within an escape."""
    for n in range(500, 508):
        done = ingot("run", "a" * (n - 400) + "\x01" * n)
        assert done.code == 7 and done.err.endswith("\\x01...\n") and done.err.isascii() and len(done.err) <= 508, done.err
    done = ingot("run", relu, "--input", "/".join(["folder"] * 60) + "/x.npz")
    assert done.code == 7 and done.err.startswith("ingot: ...") and "folder/x.npz: " in done.err and len(done.err) < 400
