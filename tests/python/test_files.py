"""What files of inputs may hold beyond the usual, what they may not, and where outputs may go."""
import io
import json
import os
import signal
import subprocess
import time
import zipfile

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper
from PIL import Image

import test_dumps
from conftest import INGOT, identity, save_model
from test_cli import fails, npy, through
from test_dumps import Tensor, fake_torch  # noqa: F401

X = np.float32([[1, -2, 3], [-4, 5, -6]])


def refused(ingot, model, path, *words, code=5, options=()):
    fails(ingot("run", model, "--input", path, *options), code, os.path.basename(path), *words)


# ---- .npy --------------------------------------------------------------------------------------------------------

@pytest.mark.parametrize("header, data", [
    ("{'descr': '|S3', 'fortran_order': False, 'shape': (2, 2), }", b"one\0\0\0two\0\0\0"), ("{'descr': '<U1', 'fortran_order': False, 'shape': (2L, 2L), }", None),
    ('{"descr": "|S3", "fortran_order": False, "shape": (2, 2)}', b"one\0\0\0two\0\0\0"),
    ("{ 'shape' :\t(2 , 2,) ,\n'fortran_order' : False , 'descr':'|S3'}  \n", b"one\0\0\0two\0\0\0")])
def test_headers_that_others_write(ingot, tmp_path, header, data):
    (tmp_path / "x.npy").write_bytes(npy(header, "aé€\0".encode("utf-32-le") if data is None else data))
    got = through(ingot, tmp_path, identity(tmp_path / "m.onnx", TensorProto.STRING, [2, 2]), tmp_path / "x.npy")
    assert got.tolist() == [["a", "é"], ["€", ""]] if data is None else [["one", ""], ["two", ""]]


@pytest.mark.parametrize("header, data, word", [
    ("{'descr': '<U1', 'fortran_order': False, 'shape': (4,)}", b"\0\xd8\0\0" * 4, "Unicode"), ("{'descr': '<U1', 'fortran_order': False, 'shape': (1,)}", b"\0\0\x11\0", "Unicode"),
    ("{'descr': '>U1', 'fortran_order': False, 'shape': (1,)}", b"\xff\0\0\0", "Unicode"), ("{'descr': '<U300000000', 'fortran_order': False, 'shape': (1,)}", b"", "not read"),
    ("{'descr': '|S9', 'fortran_order': False, 'shape': (2305843009213693952,)}", b"", "needs"), ("{'descr': '|V3', 'fortran_order': False, 'shape': (1,)}", b"abc", "not read"),
    ("{'descr': [('a', '<f4')], 'fortran_order': False, 'shape': (1,)}", b"abcd", "fields"), ("('descr', '<f4')", b"", ""), ("{descr: '<f4'}", b"", ""), ("{'descr' '<f4'}", b"", ""),
    ("{'descr': 'f', 'fortran_order': False, 'shape': ()}", b"", ""), ("{'descr': '<f4x', 'fortran_order': False, 'shape': ()}", bytes(4), ""), ("{'descr': '<f", b"", ""),
    ("{'descr': '<f4', 'fortran_order': False, 'shape': [2]}", bytes(8), ""), ("{'descr': '<f4', 'fortran_order': False 'shape': (2,)}", bytes(8), ""),
    ("{'descr': '<f4', 'fortran_order': False, 'shape': (2 3)}", bytes(8), ""), ("{'descr': '<f4', 'fortran_order': False, 'shape': (a,)}", bytes(8), ""),
    ("{'descr': '<f4', 'fortran_order': Fals, 'shape': (2,)}", bytes(8), ""), ("{'descr': '<f9223372036854775808', 'fortran_order': False, 'shape': (2,)}", bytes(8), ""),
    ("{'descr': '<f9223372036854775807', 'fortran_order': False, 'shape': (9223372036854775808,)}", bytes(8), ""), ("{" + "'x" * 400 + "': 1}", b"", "")])
def test_headers_that_are_wrong(ingot, tmp_path, header, data, word):
    (tmp_path / "bad.npy").write_bytes(npy(header, data))
    refused(ingot, identity(tmp_path / "m.onnx", TensorProto.STRING, None), tmp_path / "bad.npy", word)


@pytest.mark.parametrize("name, low, high", [("INT4", -8, 7), ("UINT4", 0, 15), ("INT2", -2, 1), ("UINT2", 0, 3)])
def test_narrow_types_hold_their_values_only(ingot, tmp_path, name, low, high):
    model = identity(tmp_path / "m.onnx", getattr(TensorProto, name), [2])
    kind = np.int8 if low < 0 else np.uint8
    np.save(tmp_path / "x.npy", np.array([low, high], kind))
    assert ingot("run", model, "--input", tmp_path / "x.npy").code == 0
    for wrong in ([low, high + 1], [low - 1 if low else 200, high]):
        np.save(tmp_path / "bad.npy", np.array(wrong).astype(kind))
        refused(ingot, model, tmp_path / "bad.npy", "outside", name.lower())


# ---- torch.save --------------------------------------------------------------------------------------------------

def save_pt(path, data, members=()):
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in [("archive/data.pkl", data), *members]:
            archive.writestr(name, content)


@pytest.mark.parametrize("order, code", [(b"little", 0), (b"big", 5)])
def test_byte_order_of_torch(ingot, relu, tmp_path, order, code):
    data, storages = test_dumps.pickled({"x": Tensor(X)})
    save_pt(tmp_path / "x.pt", data, [("archive/byteorder", order)] + [(f"archive/data/{k}", s.array.tobytes()) for k, s in storages.items()])
    done = ingot("run", relu, "--input", tmp_path / "x.pt")
    assert done.code == code and (not code or "big-endian" in done.err), done.err


def around(before, after=b""):
    """The pickle of {"x": tensor, "more": what the opcodes before leave}, written by hand around the tensor's own."""
    data, storages = test_dumps.pickled({"x": Tensor(X)})
    assert data.startswith(b"\x80\x02}q\x00") and data.endswith(b"s.")
    return data[:-1] + b"X\x04\0\0\0more" + before + b"s" + after + b".", storages


@pytest.mark.parametrize("opcodes", [
    b"\x8a\x00", b"\x8a\x01\xff", b"\x8a\x02\x00\x80", b"\x8a\x09" + bytes(8) + b"\x01", b"J\xff\xff\xff\xff", b"K\x05", b"M\x05\x01", b"G@\t!\xfbTD-\x18", b"N", b"\x88", b"\x89",
    b"(K\x01K\x02l", b"(K\x01K\x02t", b"]K\x01a", b"](K\x01K\x02e", b")", b"K\x01\x85", b"K\x01K\x02\x86", b"K\x01K\x02K\x03\x87", b"(d", b"(K\x01K\x02d", b"}", b"}(K\x01K\x02u",
    b"K\x01K\x020", b"K\x01q\x200h\x20", b"K\x01r\x21\0\0\x000j\x21\0\0\0", b"c__main__\nThing\n)\x81", b"c__main__\nThing\n)\x81}b", b"c__main__\nThing\n)R", b"U\x03abc", b"C\x03abc",
    b"X\x03\0\0\0abc", b"\x8c\x03abc", b"\x8f", b"(K\x01\x91", b"\x94K\x07", b"I12\n", b"I01\n", b"L12L\n", b"F1.5\n", b"S'a'\n", b"Va\n", b"B\x01\0\0\0a", b"\x8e\x01\0\0\0\0\0\0\0a"])
def test_other_things_in_a_pickle(ingot, relu, tmp_path, opcodes):
    """Opcodes that pickle knows: the tensor beside them is found, or the file is refused in one line; never more than that."""
    data, storages = around(opcodes)
    save_pt(tmp_path / "x.pt", data, [(f"archive/data/{k}", s.array.tobytes()) for k, s in storages.items()])
    done = ingot("run", relu, "--input", tmp_path / "x.pt", "--checksum", "--quiet")
    if done.code:
        fails(done, 5, "x.pt")
    else:
        np.save(tmp_path / "x.npy", X)
        assert done.out == ingot("run", relu, "--input", tmp_path / "x.npy", "--checksum", "--quiet").out
    assert done.code == 0 or opcodes[:1] in b"ILFSVBC\x8e\x8f(\x94"


@pytest.mark.parametrize("data", [b"\x80\x02K\x01.", b"\x80\x02]K\x01a.", b"\x80\x02}X\x01\0\0\0xK\x01s.", b"\x80\x02" + b"]" * 300000 + b".", b"\x80\x02(" + b"N" * 300000 + b"l.",
                                  b"\x80\x02K\x01K\x02.", b"\x80\x020.", b"\x80\x02t.", b"\x80\x02a.", b"\x80\x02s.", b"\x80\x02u.", b"\x80\x02e.", b"\x80\x02\x81.", b"\x80\x02b.",
                                  b"\x80\x02Q.", b"\x80\x02K", b"\x80\x02J\x01.", b"\x80\x02\x8a\xff."])
def test_pickles_without_a_tensor(ingot, relu, tmp_path, data):
    save_pt(tmp_path / "bad.pt", data)
    refused(ingot, relu, tmp_path / "bad.pt")


def test_archives_that_are_something_else(ingot, relu, tmp_path):
    save_pt(tmp_path / "bad.pt", b"", [])
    with zipfile.ZipFile(tmp_path / "bad.pt", "w") as archive:
        archive.writestr("archive/other", b"")
    refused(ingot, relu, tmp_path / "bad.pt", "data.pkl")
    with zipfile.ZipFile(tmp_path / "bad.npz", "w") as archive:
        archive.writestr("readme.txt", b"none")
    refused(ingot, relu, tmp_path / "bad.npz", "no array")
    for method in (zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA):
        with zipfile.ZipFile(tmp_path / "bad.npz", "w", method) as archive:
            held = io.BytesIO()
            np.save(held, X)
            archive.writestr("x.npy", held.getvalue())
        refused(ingot, relu, tmp_path / "bad.npz", "neither stored nor deflated")
    refused(ingot, relu, tmp_path / "none.npz", code=7)
    save_pt(tmp_path / "bad.pt", test_dumps.pickled({"x": Tensor(X)})[0])      # without its storage
    refused(ingot, relu, tmp_path / "bad.pt")
    weights = [Tensor(X)]
    test_dumps.save_zip(tmp_path / "several.pt", {"a": weights, 3: {4: weights}, "c": (weights[0], [weights[0]])})
    refused(ingot, relu, tmp_path / "several.pt")
    assert ingot("run", relu, "--input", f"x={tmp_path}/several.pt").code == 5


# ---- pictures, streams, folders ----------------------------------------------------------------------------------

@pytest.mark.parametrize("name, shape, options, code", [
    ("FLOAT16", [1, 3, 4, 6], [], 0), ("BFLOAT16", [1, 3, 4, 6], [], 0), ("DOUBLE", [1, 3, 4, 6], [], 0), ("INT32", [1, 3, 4, 6], [], 5), ("FLOAT", [3, 4, 6], [], 5),
    ("FLOAT", None, [], 0), ("UINT8", None, [], 0), ("FLOAT", [1, 4, 6, 3], [], 0), ("FLOAT", [1, 4, 6, 1], [], 5), ("FLOAT", [1, 4, 6, 1], ["--channels", "gray"], 0), ("FLOAT", [1, 5, 4, 6], [], 5),
    ("FLOAT", [1, 3, 4, 6], ["--layout", "nhwc"], 5), ("FLOAT", [1, 3, 4, 6], ["--white", "1e39"], (0, 2)), ("FLOAT16", [1, 3, 4, 6], ["--white", "70000"], 0),
    ("FLOAT", [2, 3, 4, 6], [], 5), ("FLOAT", [1, 3, 4, 7], [], 5), ("FLOAT", [1, 3, 4, 6], ["--crop", "7x4"], 5), ("FLOAT", [1, 3, 4, 6], ["--resize", "0x4"], 2),
    ("FLOAT", [1, 3, 4, 6], ["--std", "1,0,1"], 2), ("FLOAT", [1, 3, 4, 6], ["--std", "1,1,0"], 2), ("FLOAT", [1, 3, 4, 6], ["--mean", "1,,2"], 2)])
def test_pictures_for_inputs_of_every_kind(ingot, tmp_path, name, shape, options, code):
    Image.new("RGB", (6, 4), (255, 128, 0)).save(tmp_path / "p.PNG")
    model = identity(tmp_path / "m.onnx", getattr(TensorProto, name), shape)
    done = ingot("run", model, "--input", tmp_path / "p.PNG", *options)
    assert done.code in (code if isinstance(code, tuple) else (code,)), done.err
    assert done.err.count("\n") == (done.code != 0)


def test_pictures_for_inputs_by_name(ingot, tmp_path):
    Image.new("RGB", (6, 4)).save(tmp_path / "p.png")
    np.save(tmp_path / "x.npy", np.zeros([1, 3, 4, 6], np.float32))
    model, p = identity(tmp_path / "m.onnx", TensorProto.FLOAT, [1, 3, 4, 6]), tmp_path / "p.png"
    fails(ingot("run", model, "--input", f"nosuch={p}"), 5, "p.png", "no input 'nosuch'")
    named = save_model(tmp_path / "n.onnx", [helper.make_node("Relu", ["image"], ["y"])], [("image", TensorProto.FLOAT, [1, 3, 4, 6])], [("y", TensorProto.FLOAT, None)])
    fails(ingot("run", named, "--input", f"imgae={p}"), 5, "did you mean 'image'")
    fails(ingot("run", model, "--input", tmp_path / "x.npy", "--input", p), 5, "1 input", "all are given")
    fails(ingot("run", model, "--input", tmp_path / "x.npy", "--input", f"x={p}"), 2, "given twice")
    fails(ingot("run", model, "--input", f"x={tmp_path}/x.npy", "--input", f"x={tmp_path}/x.npy"), 2, "given twice")
    os.rename(tmp_path / "x.npy", tmp_path / "a=b.npy")
    assert ingot("run", model, "--input", "a=b.npy", cwd=tmp_path).code == 0     # a file of that name, and no such input


def test_made_up_inputs(ingot, tmp_path):
    """An optional input stays empty, a sequence must be given; sizes of dimensions come from what is given."""
    tensor = helper.make_tensor_type_proto(TensorProto.FLOAT, [2])
    for kind, code in ((helper.make_optional_type_proto(tensor), 0), (helper.make_sequence_type_proto(tensor), 5)):
        graph = helper.make_graph([helper.make_node("Identity", ["x"], ["y"])], "g", [helper.make_value_info("x", kind)], [helper.make_value_info("y", kind)])
        onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), tmp_path / "m.onnx")
        done = ingot("run", tmp_path / "m.onnx")
        assert done.code == code and (not code or "give it with --input" in done.err), done.err
        done = ingot("inspect", tmp_path / "m.onnx")
        assert done.code == 0 and ("no FLOPs" in done.err) == bool(code)
        assert not ingot("inspect", tmp_path / "m.onnx", "--quiet").err
    free = save_model(tmp_path / "free.onnx", [helper.make_node("Add", ["a", "b"], ["y"])], [("a", TensorProto.FLOAT, ["batch", "width"]), ("b", TensorProto.FLOAT, ["batch", 1])],
                      [("y", TensorProto.FLOAT, None)])
    np.save(tmp_path / "b.npy", np.zeros([3, 1], np.float32))
    assert "[3,5]" in ingot("run", free, "--input", f"b={tmp_path}/b.npy", "--dim", "width=5").out
    fails(ingot("run", free, "--dim", "bath=5"), 2, "did you mean 'batch'")
    fails(ingot("run", free, "--dim", "zzzzzzzz=5"), 2, "zzzzzzzz")
    fails(ingot("run", free, "--dim", "=5"), 2, "NAME=N")
    fixed = identity(tmp_path / "fixed.onnx", TensorProto.FLOAT, [2])
    fails(ingot("run", fixed, "--dim", "N=5"), 2, "no input of the model has a free dimension")


def test_pipes_and_devices(ingot, relu, tmp_path):
    """A pipe may hold more than a buffer; a device that never ends is not read; outputs may go into one."""
    wide = identity(tmp_path / "m.onnx", TensorProto.FLOAT, ["N"])
    np.save(tmp_path / "x.npy", np.arange(4000000, dtype=np.float32))
    done = subprocess.run(["bash", "-c", f"'{INGOT}' run '{wide}' --input x=<(cat '{tmp_path}/x.npy') --checksum --quiet"], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0 and done.stdout == ingot("run", wide, "--input", tmp_path / "x.npy", "--checksum", "--quiet").out
    done = subprocess.run(["bash", "-c", f"'{INGOT}' run '{wide}' --input x=<(cat '{tmp_path}/x.npy') --max-memory 8M"], capture_output=True, text=True, timeout=60)
    assert done.returncode == 6 and done.stderr.count("\n") == 1
    fails(ingot("run", wide, "--input", tmp_path / "x.npy", "--max-memory", "8M"), 6, "x.npy", "over the limit")
    fails(ingot("run", relu, "--input", "x=/dev/zero"), 7, "/dev/zero", "neither a regular file nor a pipe")
    done = ingot("profile", relu, "--iterations", "1", "--trace", "/dev/stdout", "--quiet")
    assert done.code == 0 and json.loads(done.out)["traceEvents"]
    fails(ingot("optimize", relu, "-o", "/dev/stdout"), 7, "not a regular file")
    for path in (tmp_path / ("x" * 250), "a/" * 2047 + "b"):
        assert ingot("profile", relu, "--iterations", "1", "--trace", path, "--quiet").code == 7
    fails(ingot("run", relu, "--output-dir", ""), 2, "no name")
    fails(ingot("run", relu, "--output-dir", "x" * 3001), 2, "too long")
    assert ingot("run", relu, "--output-dir", tmp_path / "a" / "b" / "c").code == 0
    assert ingot("run", relu, "--output-dir", tmp_path / "a" / "b" / "c/").code == 0


# ---- what run and inspect say ------------------------------------------------------------------------------------

def test_top_of_outputs_of_any_shape(ingot, tmp_path):
    """The classes are along the last axis that is longer than one; no classes where none are left; NaN and infinity come last."""
    x = np.float32([[[[1]], [[np.nan]], [[np.inf]], [[-np.inf]]]])
    np.save(tmp_path / "x.npy", x)
    model = identity(tmp_path / "m.onnx", TensorProto.FLOAT, [1, 4, 1, 1])
    (tmp_path / "labels").write_bytes(b"zero\r\none\r\ntwo")
    top = json.loads(ingot("run", model, "--input", tmp_path / "x.npy", "--top", "9", "--json", "--labels", tmp_path / "labels").out)["outputs"][0]
    assert [c["class"] for c in top["rows"][0]["top"]] == [2, 0, 3] and top["rows"][0]["top"][0]["label"] == "two" and top["not_finite"] == 3
    done = ingot("run", model, "--input", tmp_path / "x.npy", "--top", "9", "--softmax", "--labels", tmp_path / "labels")
    assert done.code == 0 and "two" in done.out and "zero\r" not in done.out and "NaN 1" in done.out
    for shape in ([], [0], [1, 0], [1, 1]):
        for options in ([], ["--json"], ["--softmax"]):
            np.save(tmp_path / "x.npy", np.zeros(shape, np.float32))
            assert ingot("run", identity(tmp_path / "m.onnx", TensorProto.FLOAT, shape), "--input", tmp_path / "x.npy", "--top", "3", *options).code == 0
    np.save(tmp_path / "x.npy", np.full([2], np.nan, np.float32))
    assert "NaN 2" in ingot("run", identity(tmp_path / "m.onnx", TensorProto.FLOAT, [2]), "--input", tmp_path / "x.npy", "--top", "2").out
    fails(ingot("run", model, "--top", "2", "--labels", tmp_path / "none"), 7, "none")
    for option in (["--labels", tmp_path / "labels"], ["--softmax"]):
        done = ingot("run", model, *option)
        assert done.code in (0, 2) and done.err.count("\n") == (done.code == 2)


def test_names_of_outputs_that_are_no_file_names(ingot, tmp_path):
    names = ["-x", "..", "Ärger", "n" * 300, "A_Z.9"]
    model = save_model(tmp_path / "m.onnx", [helper.make_node("Relu", ["x"], [n]) for n in names], [("x", TensorProto.FLOAT, [3])], [(n, TensorProto.FLOAT, [3]) for n in names])
    assert ingot("run", model, "--output-dir", tmp_path / "out").code == 0
    files = os.listdir(tmp_path / "out")
    assert len(files) == 5 and "A_Z.9.npy" in files and all(f[0] not in ".-" and f.isascii() and len(f) < 256 for f in files)


def test_inspect_counts_and_problems(ingot, tmp_path):
    nodes = [helper.make_node("Relu", ["x"], ["a"]), helper.make_node("Exp", ["a"], ["b"]), helper.make_node("Relu", ["b"], ["c"]), helper.make_node("Log", ["c"], ["d"]),
             helper.make_node("Gelu", ["d"], ["e"], domain="com.microsoft"), helper.make_node("Add", ["e", "c"], ["y"])]
    model = save_model(tmp_path / "m.onnx", nodes, [("x", TensorProto.FLOAT, None)], [("y", TensorProto.FLOAT, None)], domains=[("com.microsoft", 1)])
    report = json.loads(ingot("inspect", model, "--json", "--disable-pass", "all").out)
    assert {o["op_type"]: o["count"] for o in report["operators"]} == {"Relu": 2, "Add": 1, "Exp": 1, "Log": 1, "Gelu": 1}, report
    done = ingot("inspect", model)
    assert done.code == 0 and "no FLOPs" in done.err
    odd = save_model(tmp_path / "odd.onnx", [helper.make_node("No\"ne\\", ["x"], ["a"], name='a"b\\c'), helper.make_node("Other", ["a"], ["y"])], [("x", TensorProto.FLOAT, [2])],
                     [("y", TensorProto.FLOAT, [2])])
    for options in ([], ["--json"], ["--dot"], ["--quiet"]):
        done = ingot("inspect", odd, *options)
        fails(done, 3, "2 things in the model would not run") if done.out else None
        assert done.code == 3
    text = ingot("inspect", odd, "--dot").out
    assert '\\"' in text and "\\\\" in text
    typed = save_model(tmp_path / "typed.onnx", [helper.make_node("Relu", ["x"], ["y"])], [("x", TensorProto.STRING, [2])], [("y", TensorProto.STRING, [2])])
    assert ingot("inspect", typed).code in (3, 4)
    fails(ingot("inspect", save_model(tmp_path / "large.onnx", [helper.make_node("Relu", ["x"], ["y"])], [("x", TensorProto.FLOAT, [1 << 40])], [("y", TensorProto.FLOAT, None)]),
                "--max-memory", "1M"), 6)
    for arguments, word in [(["--dot", "--json"], "excludes"), (["--dot", "--support"], "excludes"), (["--json", "--html", "p"], "excludes"), (["--dot", "--html", "p"], "excludes"),
                            (["--profile"], "needs --html"), (["--dump", "d"], "needs --html"), (["--html", "p", "--layers", "l"], "needs --dump"), (["--support"], "takes no model")]:
        fails(ingot("inspect", model, *arguments), 2, word)
    fails(ingot("inspect"), 2, "needs MODEL")


def test_words_before_and_after_commands(ingot, relu):
    for arguments in (["--help"], ["-h"], ["help"]):
        assert "verify" in ingot(*arguments).out
    assert ingot("version").out == ingot("--version").out and json.loads(ingot("--version", "--json").out)
    assert ingot("help", "run").out == ingot("run", "-h").out == ingot("run", "--help").out
    fails(ingot("help", "rnu"), 2, "run")
    fails(ingot("--describe"), 2)
    fails(ingot("--describe", "manual-"), 2)
    fails(ingot("run", "--"), 2)
    assert ingot("run", "--", relu).code == 0
    for form in (["-oout.onnx"], ["-o=out.onnx"], ["-o", "out.onnx"]):
        assert ingot("optimize", relu, *form, cwd=os.path.dirname(relu)).code == 0 and onnx.load(os.path.join(os.path.dirname(relu), "out.onnx"))
        os.remove(os.path.join(os.path.dirname(relu), "out.onnx"))
    for value in ("5x", "KK", "", "0", "99999999999999999999", "18446744073709551615K", "M"):
        fails(ingot("run", relu, f"--max-memory={value}"), 2, "--max-memory")
    for value in ("", "-1", "inf", "1s"):
        fails(ingot("run", relu, f"--timeout={value}"), 2, "--timeout")
    for value in ("", "x", "-1", "1000000001", "99999999999999999999"):
        fails(ingot("run", relu, f"--threads={value}"), 2, "--threads")
    fails(ingot("run", relu, "--" + "x" * 200), 2)
    fails(ingot("run", relu, "--"  "=3"), 2)
    fails(ingot("run", relu, "-q"), 2, "-q")


def test_a_second_interrupt_ends_it_at_once(tmp_path):
    """Who waits for a pipe does not look whether the session was cancelled."""
    model = identity(tmp_path / "m.onnx", TensorProto.FLOAT, [2])
    os.mkfifo(tmp_path / "pipe")
    with subprocess.Popen([INGOT, "run", model, "--input", f"x={tmp_path}/pipe"], stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                          preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL)) as process:
        try:
            end, writer = time.monotonic() + 30, None
            while writer is None and time.monotonic() < end:
                try:
                    writer = os.open(tmp_path / "pipe", os.O_WRONLY | os.O_NONBLOCK)        # once somebody wants to read
                except OSError:
                    time.sleep(0.01)
            while process.poll() is None and time.monotonic() < end:
                process.send_signal(signal.SIGINT)
                time.sleep(0.05)
            out, err = process.communicate(timeout=20)
        finally:
            process.kill()
    os.close(writer)
    assert process.returncode == 130 and not out and err.count(b"\n") <= 1
